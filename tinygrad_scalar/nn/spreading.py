"""Minibatches of `fit` spread over workers: model, loss and examples travel once, then parameters.

Every shard of a minibatch is computed by whichever worker is free, on a copy of the model; its
random numbers come from the seed, the step and the shard. So the numbers do not depend, to the bit,
on how many workers there are, which of them computes what, or whether there are any.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.modules import Dropout
from tinygrad_scalar.nn.randomness import seed as put
from tinygrad_scalar.nn.randomness import sources_of_randomness
from tinygrad_scalar.workers import Work, check_executor, shards_of, spread

if TYPE_CHECKING:
    from tinygrad_scalar.nn.replay import Replay


class Shards:
    """An executor, and how many shards a minibatch of `size` examples has.

    Errors: TypeError for what is no executor; ValueError for more shards than examples, or an
    optimiser of other parameters than the model's.
    """

    def __init__(
        self, executor: Any, shards: Any, size: int, model: Module, optimizer: Any
    ) -> None:
        check_executor(executor, "fit")
        self.executor, self.count = executor, len(shards_of(shards, size, "fit"))
        own = set(map(id, model.parameters()))
        if not own.issuperset(map(id, getattr(optimizer, "params", ()))):
            raise ValueError(
                "fit: with executor= or shards= the optimiser's parameters are those of the model; "
                "make the others parameters of a module"
            )

    def parts(self, batch: Sequence[int]) -> list[Sequence[int]]:
        """The examples of every shard; a last minibatch may be too short for as many."""
        count = min(self.count, len(batch))
        return [batch[a:b] for a, b in shards_of(count, len(batch), "fit")]


class Eager:
    """The mean loss over a minibatch by the model itself, on the workers."""

    def __init__(
        self, shards: Shards, model: Module, loss: Any, X: Any, y: Any, seed: object
    ) -> None:
        self.shards, self.parameters, self.seed = shards, model.parameters(), seed
        self._work = Work("fit", Examples, model, loss, list(X), list(y))

    def backward(self, batch: Sequence[int], step: int, clear: Callable[[], Any]) -> float:
        """The mean loss; `clear` is called, and its gradient added, once all of it is known."""
        numbers = [leaf.data for leaf in self.parameters]
        calls = [
            (numbers, list(part), 1.0 / len(batch), f"{self.seed}, step {step}, shard {k}")
            for k, part in enumerate(self.shards.parts(batch))
        ]
        found = spread(self.shards.executor, self._work, calls)
        clear()
        totals = [leaf.grad for leaf in self.parameters]
        for _, gradients in found:
            totals = [total + x for total, x in zip(totals, gradients, strict=True)]
        assign(self.parameters, "grad", totals)
        return math.fsum(x for losses, _ in found for x in losses) / len(batch)


class Examples:
    """What a worker keeps: a model of its own, the loss, and all examples."""

    def __init__(self, model: Module, loss: Any, X: Sequence[Any], y: Sequence[Any]) -> None:
        self.model, self.loss, self.X, self.y = model, loss, X, y
        self.parameters = model.parameters()
        for _, module in model.named_modules():
            if isinstance(module, Dropout) and module.random is None:
                module.random = random.Random()  # a thread shares Python's own with others
        self.sources = sources_of_randomness(model)

    def __call__(
        self, numbers: Sequence[Any], batch: Sequence[int], weight: float, seed: str
    ) -> tuple[list[float], list[Any]]:
        """The losses of the examples, and the weighted sum of their gradients."""
        for leaf, number in zip(self.parameters, numbers, strict=True):
            leaf.data, leaf.grad = number, 0.0
        for k, source in enumerate(self.sources):
            put(source, f"{seed}, source {k}")
        losses = losses_of(self.model, self.loss, self.X, self.y, batch, weight)
        return losses, [leaf.grad for leaf in self.parameters]


class Compiled:
    """The mean loss over a minibatch by compiled code, on the workers."""

    def __init__(self, shards: Shards, replay: Replay) -> None:
        import numpy as np

        self.shards = shards
        from tinygrad_scalar.compiler.sharded import Sharded

        call, own = replay.compiled._prepared((replay.X, replay.y), {})
        self._sharded = Sharded(own, "fit", np.array(list(call.columns)))

    def backward(self, batch: Sequence[int], step: int, clear: Callable[[], Any]) -> float:
        """As `Eager.backward`."""
        del step
        parts = [
            slice(part.start, part.stop) if isinstance(part, range) else list(part)
            for part in self.shards.parts(batch)
        ]
        from tinygrad_scalar.compiler.closed_over import add_gradients

        run = functools.partial(spread, self.shards.executor)
        data = self._sharded.data
        total, gradients = self._sharded.sums(run, parts, lambda: data[:, batch[0]])
        clear()
        add_gradients(gradients, 1 / len(batch))
        return total / len(batch)


def losses_of(
    model: Module, loss: Any, X: Sequence[Any], y: Sequence[Any], batch: Sequence[int], weight: Any
) -> list[Any]:
    """The losses of some examples; the gradient of each, times `weight`, is added to `.grad`."""
    losses = []
    for i in batch:
        value = loss(model(X[i]), y[i])
        if not isinstance(value, Value):
            raise TypeError(
                "fit: loss(outputs, target) should give a Value that depends on the parameters, "
                f"not {type(value).__name__}"
            )
        value.backward(weight)
        losses.append(value.data)
    return losses
