"""Where the compiled tape comes into training: a minibatch's loss and gradient as machine code.

Compiling records one forward, so it is done only where one forward stands for all: in models and
with losses of this library alone, without dropout, on examples of one length. Everything else, and
whatever the compiler refuses, is computed eagerly; the numbers agree to rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler import compile, engines
from tinygrad_scalar.core.at_once import put_back
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.losses import binary_cross_entropy, cross_entropy, hinge, mean_squared_error
from tinygrad_scalar.nn.module import Module, standing_in
from tinygrad_scalar.nn.modules import Dropout
from tinygrad_scalar.nn.saving import architecture
from tinygrad_scalar.nn.shapes import is_list

_LOSSES = (binary_cross_entropy, cross_entropy, hinge, mean_squared_error)
_WORTH_IT = 2_000  # examples from which on compiling takes less time than it saves


class Replay:
    """The mean loss over a minibatch, compiled: `backward(batch)` adds its gradient to `.grad`."""

    def __init__(
        self, example_loss: Callable[[Any, Any], Value], X: Sequence[Any], y: Sequence[Any]
    ) -> None:
        import numpy as np

        self.compiled = compile(example_loss, engine="llvm")
        self.X, self.y = np.array(X, float), np.array(y, float)

    def backward(self, batch: Sequence[int]) -> float:
        """The mean loss over the examples at these places, as a float."""
        if isinstance(batch, range):  # all of them, as they are
            return float(self.compiled.backward(self.X, self.y))
        return float(self.compiled.backward(self.X[batch], self.y[batch]))


def compiles() -> bool:
    """Whether this machine has what compiling takes: the extra `fast`."""
    return "llvm" in engines()


def compiled(
    model: Module, loss: Callable[[Any, Any], Any], X: Sequence[Any], y: Sequence[Any], seen: int
) -> Replay | None:
    """A `Replay` of loss(model(x), target), or None where training has to go on eagerly.

    `seen` is how many examples training is going to look at, with repetition.
    """
    if not compiles() or seen < _WORTH_IT or not replayable(model, loss, X, y):
        return None
    back = put_back(model.parameters(), "grad")
    try:
        replay = Replay(lambda x, target: loss(model(x), target), X, y)
        replay.backward([0])
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    finally:
        deque(back, maxlen=0)
    return replay


def replayable(
    model: Module, loss: Callable[[Any, Any], Any], X: Sequence[Any], y: Sequence[Any]
) -> bool:
    """Whether one recorded forward stands for every example.

    Every target is tried eagerly on one example: what is wrong with it is told as it always is.
    """
    if loss not in _LOSSES or any(map(_differs, standing_in(model))):
        return False
    if len({_shape(x) for x in X}) > 1 or len({_shape(target) for target in y}) > 1:
        return False
    outputs = model(X[0])
    for target in {_hashable(target): target for target in y}.values():
        loss(outputs, target)
    return True


def _differs(thing: Any) -> bool:
    """Whether this, standing in a model, computes something else than a trace of it.

    A weight that was computed keeps its number, where a trace follows what it was computed from.
    """
    if isinstance(thing, Module):
        return architecture(thing) is None or (isinstance(thing, Dropout) and bool(thing.p))
    return isinstance(thing, Value) and thing.primitive is not None


def _hashable(thing: Any) -> Any:
    """Tuples for lists, so that targets that stand there several times are tried once."""
    return tuple(map(_hashable, thing)) if is_list(thing) else thing


def _shape(thing: Any) -> tuple[int, ...]:
    return (len(thing), *_shape(thing[0])) if is_list(thing) and len(thing) else ()
