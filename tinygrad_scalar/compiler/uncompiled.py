"""A point given to the function itself, in the mode that was asked of its compiled code.

Compiled code knows nothing of what is undefined, and of exceptions only that there is one. Where
it raises, or gives NaN or ±inf, the function is run as if it had never been compiled, so that
numbers, warnings and errors are those of the eager mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import repeat
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import agreed, arguments_like, is_real
from tinygrad_scalar.compiler.arrays.namespaces import arranged
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tape import GUARD, LT, TraceError
from tinygrad_scalar.compiler.paths import Path, values_of
from tinygrad_scalar.compiler.tracing import RaisedBeforeError
from tinygrad_scalar.core import context
from tinygrad_scalar.core.backward import gradients, leaves_of
from tinygrad_scalar.core.origin import made_before
from tinygrad_scalar.core.tree import array_in, array_of, as_lists, leaves, like, same_structure
from tinygrad_scalar.core.undefined import Policy, told
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.directional import jvp
from tinygrad_scalar.modes.grad import grad, jacobian, value_and_grad
from tinygrad_scalar.modes.run import positions
from tinygrad_scalar.modes.second_order import hessian, hvp
from tinygrad_scalar.numbers.precision import is_number

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation

Flat = Callable[[Sequence[Any]], Any]  # the function of all its numbers in one list
MODES: dict[str, Callable[..., Any]] = {
    "grad": grad,
    "value_and_grad": value_and_grad,
    "jacobian": jacobian,
    "hessian": hessian,
}


def _flat(own: Specialisation, path: Path, lines: Container[int] | None) -> Flat:
    """The function of its numbers in one list; what it returns has the structure of the path's.

    Without the function the path itself is run, or those of its `lines` that are given.
    """

    def replayed(numbers: Sequence[Any]) -> Any:
        return like(path.tree, path.replayed(path.complete_values(numbers), path.leaves, lines))

    if own.function is None or lines is not None:
        return replayed

    def flat(numbers: Sequence[Any]) -> Any:
        result = _called(own, numbers)
        check_structure(path.tree, result)
        return result

    return flat


def _called(own: Specialisation, numbers: Sequence[Any]) -> Any:
    """What the function gives for its numbers."""
    assert own.function is not None  # noqa: S101 (asked before)
    return own.function(*arguments_like(own.trees, iter(numbers)), **own.options)


def check_structure(tree: Any, other: Any) -> None:
    """TypeError unless two branches of a function return as many numbers in the same places."""
    if not same_structure(tree, other):
        raise TypeError(
            "compile: the branches of the function return different structures; "
            "let every branch return as many numbers"
        )


def uncompiled(
    own: Specialisation,
    path: Path,
    mode: str,
    x: Sequence[float],
    undefined: Policy | None = None,
    lines: Container[int] | None = None,
) -> list[float]:
    """The outputs that a kernel for the mode has. Cost: that of the eager mode.

    By the policy of the compiled function unless another one is given; `lines`: see `_flat`.
    """
    flat, undefined = _flat(own, path, lines), undefined or own.undefined
    with _as_outside():
        if mode == "backward":
            return _backward(flat, path, x, undefined)
        if mode == "value":
            return _numbers(flat(list(map(Value, x))))
        return _numbers(_derivatives(flat, mode, path.places, list(x), undefined))


def path_of_none(own: Specialisation, point: Sequence[float], failed: RaisedBeforeError) -> Path:
    """A path that no point takes, for one that is given to the function itself and not traced.

    It has the structure and the leaves of what the function returns there, for NaN, behind a guard
    that never holds. Raises what the function raises; where it returns no number, why it failed.
    """
    context.runs += 1
    started = context.runs
    with _as_outside():
        result = _called(own, list(map(Value, point)))
    found = leaves(result)
    if not found or not all(isinstance(x, Value) or is_number(x) for x in found):
        raise failed.__cause__ or failed
    recording = Recording(point)
    lines = [recording.tape.input(k) for k in range(len(point))]
    below = leaves_of([x for x in found if isinstance(x, Value)])
    lines += [recording.line(leaf) for leaf in below if made_before(leaf, started)]
    nothing = recording.tape.constant(math.nan)
    some = lines[0] if lines else nothing
    never = recording.tape.emit(LT, (some, some))
    recording.tape.emit(GUARD, (never, recording.tape.constant(1.0)))
    return Path(recording, [nothing] * len(found), like(result, [None] * len(found)), len(point))


# In a batch nothing can be raised for one point, and a warning would not tell which.
SILENT: dict[Policy, Policy] = {"warn": "subgradient", "raise": "nan"}


def silently(
    own: Specialisation,
    path: Path,
    mode: str,
    x: Sequence[float],
    numbers: Sequence[float] | None = None,
) -> Sequence[float]:
    """The same for a point of a batch, where nothing is raised and nobody is warned.

    What the function raises in an operation whose result is not used does not matter there: the
    lines that are used are run by themselves then. Where these raise too, `numbers` stay, which
    compiled code gave, or those of IEEE arithmetic.
    """
    undefined = SILENT.get(own.undefined, own.undefined)
    with told():
        with suppress(ArithmeticError, ValueError):
            return uncompiled(own, path, mode, x, undefined)
        own.raised()
        if path.raises_unused:
            with suppress(ArithmeticError, ValueError):
                return uncompiled(own, path, mode, x, undefined, path.used)
    given = path.complete(x), path.parameters()
    numbers = path.program(mode).at_limits(*given)[0] if numbers is None else numbers
    if path.recording.judges:  # a derivative inside is undefined
        return [math.nan] * len(numbers)
    values, _ = path.program("value").at_limits(*given)
    if undefined == "nan" and all(map(math.isfinite, values)):  # only the derivative raises
        values = [math.nan] * len(values)
    return without_domain(mode, values, numbers)


def without_domain(mode: str, values: Sequence[float], numbers: Sequence[float]) -> list[float]:
    """The outputs where the function raises: slopes of a value that is NaN are NaN.

    All others are those of IEEE arithmetic: ±inf at a pole, and what is computed from it.

    >>> without_domain("value_and_grad", [math.nan], [math.nan, -1.0])
    [nan, nan]
    >>> without_domain("jvp", [math.nan, 2.0], [math.nan, 2.0, 0.5, 0.25])
    [nan, 2.0, nan, 0.25]
    """
    first = values_of(mode, len(values))
    width = max(1, (len(numbers) - first) // len(values))
    return [
        x if k < first or values[(k - first) // width] == values[(k - first) // width] else math.nan
        for k, x in enumerate(numbers)
    ]


def _as_outside() -> AbstractContextManager[object]:
    """What compiled code computes is not recorded less under `no_grad`, and never traced."""
    settings = context.settings()
    if settings.recording and settings.tracer is None:
        return nullcontext()
    return context.override(recording=True, tracer=None)


def _derivatives(
    flat: Flat, mode: str, places: Sequence[int], x: Sequence[float], undefined: Policy
) -> Any:
    def of_all(*numbers: Any) -> Any:
        return flat(numbers)

    if mode in MODES:
        return MODES[mode](of_all, places, undefined=undefined)(*x)
    count = len(x) - (len(places) if mode == "hvp" else len(x) // 2)
    return directional(mode, of_all, (x[:count], x[count:]), places, (), undefined)


def directional(
    mode: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    argnums: int | Sequence[int] | None,
    constants: Container[int],
    undefined: Policy,
) -> Any:
    """`jvp` along tangents of all arguments but constants, `hvp` of those in `argnums`."""
    primals, tangents = args
    if mode == "hvp":
        places = positions(argnums, len(primals), mode)
    else:
        places = [i for i in range(len(primals)) if i not in constants]
        tangents = [tangents[i] for i in places]

    def of_chosen(*given: Any) -> Any:
        filled = dict(enumerate(primals)) | dict(zip(places, given, strict=True))
        return function(*filled.values())

    rule = hvp if mode == "hvp" else jvp
    return rule(of_chosen, [primals[i] for i in places], tangents, undefined=undefined)


def _backward(flat: Flat, path: Path, x: Sequence[float], undefined: Policy) -> list[float]:
    """The value and its gradient for the leaves that the path closes over."""
    asked = [*path.leaves, *path.looked_up_at(x)]
    context.runs += 1
    started = context.runs
    y = flat(list(map(Value, x)))
    if not isinstance(y, Value):
        return [float(y), *[0.0] * len(asked)]
    own = {id(leaf): leaf for leaf in asked}
    if any(made_before(leaf, started) and id(leaf) not in own for leaf in leaves_of([y])):
        raise TraceError(
            "backward: where it handles an exception the function reads Values that it does not "
            "read else: choose with if or where"
        )
    found = gradients([y], [1.0], [*own.values()], undefined=undefined)
    slopes = dict(zip(own, found, strict=True))
    return [y.data, *[slopes.pop(id(leaf), 0.0) for leaf in asked]]  # of one in two places once


def _numbers(results: Any) -> list[float]:
    return [float(y.data if isinstance(y, Value) else y) for y in leaves(results)]


# ── a batch among Values ──────────────────────────────────────────────────────────────────────
def holds_batch(args: Sequence[Any]) -> bool:
    """Whether one is an array of rows, or of plain numbers: then all arrays are a batch.

    Arrays of Values alone, of one axis, are a vector, as that of `grad(f)(array)`.
    """
    arrays = [array for array in map(array_in, args) if array is not None and len(array)]
    return any(array.ndim == 2 or (array.ndim == 1 and array.dtype != object) for array in arrays)


def by_points(
    at: Callable[..., Any],
    function: Callable[..., Any],
    args: Sequence[Any],
    what: str,
    *,
    lists: bool = False,
) -> Any:
    """What `at(function, *args)` gives for one point after the other, the batch as first axis.

    The function gets lists for rows, as in compiled code; `at` gets arrays, so that a gradient has
    rows, or `lists`. Cost: that of the function at every point.
    """

    def of_lists(*given: Any, **options: Any) -> Any:
        return function(*map(as_lists, given), **options)

    parts, size = list[Any](), None
    for i, x in enumerate(args):
        array = array_in(x)
        if array is not None:
            size = agreed(size, len(array), f"{what}: argument {i}")
        parts.append(repeat(x) if array is None else _points(array))
    rows = list(map(list, zip(*parts, strict=False)))
    found = [at(of_lists, *(as_lists(row) if lists else row)) for row in rows]
    for other in found:
        check_structure(found[0], other)
    columns = [array_of([*each], (len(rows),)) for each in zip(*map(leaves, found), strict=True)]
    return arranged(found[0], columns)


def _points(array: Any) -> list[Any]:
    """The numbers of an array, or its rows."""
    if array.dtype.kind in "biuf" and is_real(array):
        array = array.astype(float)
    return array.tolist() if array.ndim == 1 else [*array]
