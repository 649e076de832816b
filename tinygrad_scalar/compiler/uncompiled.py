"""A point given to the function itself, in the mode that was asked of its compiled code.

Compiled code knows nothing of what is undefined, and of exceptions only that there is one. Where
it raises, or gives NaN or ±inf, the function is run as if it had never been compiled, so that
numbers, warnings and errors are those of the eager mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tinygrad_scalar.compiler.constants import arguments_like
from tinygrad_scalar.compiler.paths import Path, Request
from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import leaves, like, same_structure
from tinygrad_scalar.core.undefined import Policy
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.directional import jvp
from tinygrad_scalar.modes.grad import jacobian, value_and_grad
from tinygrad_scalar.modes.second_order import hessian, hvp

Flat = Callable[[Sequence[Any]], Any]  # the function of all its numbers in one list


def flattened(
    function: Callable[..., Any], trees: Sequence[Any], options: dict[str, Any], path: Path
) -> Flat:
    """The function of its numbers in one list; what it returns has the structure of the path's."""

    def flat(numbers: Sequence[Any]) -> Any:
        result = function(*arguments_like(trees, iter(numbers)), **options)
        if not same_structure(path.tree, result):
            raise TypeError(
                "compile: the branches of the function return different structures; "
                "let every branch return as many numbers"
            )
        return result

    return flat


def replay(path: Path) -> Flat:
    """The same of a path alone, for a function without its source."""
    p = path.parameters()
    return lambda numbers: like(path.tree, path.replayed(path.complete_values(numbers), p))


def uncompiled(
    flat: Flat, path: Path, request: Request, x: Sequence[float], undefined: Policy
) -> list[float]:
    """The outputs that a kernel for the request has. Cost: that of the eager mode."""
    with _as_outside():
        if request.mode == "backward":
            return _backward(path, x, undefined)
        if request.mode == "value":
            return _numbers(flat(list(map(Value, x))))
        return _numbers(_derivatives(flat, request, list(x), undefined))


def _as_outside() -> AbstractContextManager[object]:
    """What compiled code computes is not recorded less under `no_grad`, and never traced."""
    settings = context.settings()
    if settings.recording and settings.tracer is None:
        return nullcontext()
    return context.override(recording=True, tracer=None)


def _derivatives(flat: Flat, request: Request, x: list[float], undefined: Policy) -> Any:
    mode, places = request.mode, request.inputs
    if mode == "jvp":
        half = len(x) // 2
        return jvp(flat, (x[:half],), (x[half:],), undefined=undefined)
    count = len(x) - len(places) if mode == "hvp" else len(x)

    def chosen(numbers: Sequence[Any]) -> Any:
        """The function of the inputs asked for; the others are constants."""
        every: list[Any] = x[:count]
        for place, number in zip(places, numbers, strict=True):
            every[place] = number
        return flat(every)

    point = [x[place] for place in places]
    if mode == "hvp":
        return hvp(chosen, (point,), (x[count:],), undefined=undefined)
    if mode == "hessian":
        return hessian(chosen, undefined=undefined)(point)
    if mode == "jacobian":
        return jacobian(chosen, undefined=undefined)(point)
    value, slopes = value_and_grad(chosen, undefined=undefined)(point)
    return slopes if mode == "grad" else [value, slopes]


def _backward(path: Path, x: Sequence[float], undefined: Policy) -> list[float]:
    """The value and its gradient for the leaves that the path closes over."""
    own, given = list(map(Value, path.parameters())), list(map(Value, path.complete(x)))
    (y,) = path.replayed(given, own)
    own += given[path.inputs :]
    if not isinstance(y, Value):
        return [float(y), *[0.0] * len(own)]
    table = y.backward(inputs=own, undefined=undefined)
    return [y.data, *[table[leaf] for leaf in own]]


def _numbers(results: Any) -> list[float]:
    return [float(y.data if isinstance(y, Value) else y) for y in leaves(results)]
