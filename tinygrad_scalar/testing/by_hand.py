"""`check_derivative`: a derivative written by hand, held against the function it belongs to."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.core.tree import aligned
from tinygrad_scalar.core.undefined import told
from tinygrad_scalar.numbers.precision import Number, is_number, quietly
from tinygrad_scalar.testing.checks import GradientCheck
from tinygrad_scalar.testing.comparison import Disagreement
from tinygrad_scalar.testing.derivatives import Derivative, Index, Unsuitable
from tinygrad_scalar.testing.errors import (
    GradientError,
    OutsideDomainError,
    UncheckableError,
    check_tolerance,
)
from tinygrad_scalar.testing.examination import examine
from tinygrad_scalar.testing.kinks import MARGIN, at_edge, bends
from tinygrad_scalar.testing.recording import Flat, SeveralOutputs, finite
from tinygrad_scalar.testing.references import expected
from tinygrad_scalar.testing.report import table
from tinygrad_scalar.testing.richardson import by_differences, measured
from tinygrad_scalar.testing.tracebacks import shown_without_ours

_ROUNDINGS = 64 * sys.float_info.epsilon  # of the largest entry: what an entry that cancels keeps
_SETTLED = 1e-3  # of the largest entry: differences in greater doubt than that tell nothing


@shown_without_ours
def check_derivative(
    f: Callable[..., Any], derivative: Callable[..., Any], *point: Any, rtol: float = 1e-9
) -> GradientCheck:
    """Check a derivative that was written by hand: `derivative(*point)` against f around the point.

    `derivative` gives what `grad(f)` would: for one argument the derivative in its structure, for
    several a tuple. f returns one number, and may be plain code over floats: then differences of
    its values, extrapolated to step 0, are the reference; else the references of `check_grad`.
    Each entry may be off by `rtol` of itself, by some roundings of the largest entry, and by the
    reference's own error. Near a kink, or where differences do not settle, the result's `kinks` say
    so and nothing was compared.
    Cost: some hundred evaluations of f per number.
    Errors: GradientError naming the entries that are wrong, or where `derivative` has another
    structure; UncheckableError where f gives no number; ValueError for another `rtol`.
    Source: Ridders 1982 (extrapolation of differences).

    >>> import math
    >>> check_derivative(lambda x: x * x, lambda x: 2 * x, 0.5).reference
    'exact rational arithmetic'
    >>> def growth(rate):
    ...     return math.exp(float(rate))
    >>> check_derivative(growth, growth, 0.5).reference
    'Richardson extrapolation of floats'
    >>> check_derivative(growth, lambda rate: 1.01 * growth(rate), 0.5)
    Traceback (most recent call last):
        ...
    tinygrad_scalar.testing.errors.GradientError: check_derivative: the derivative is wrong at ...
    """
    check_tolerance(rtol, "check_derivative")
    for what, function in (("f", f), ("derivative", derivative)):
        if not callable(function):
            raise UncheckableError(
                f"check_derivative: {what} must be callable, not {type(function).__name__}"
            )
    flat = Flat(f, point)
    given = _given(flat, derivative)
    reference, wanted, kinks = _reference(flat)
    largest = max((abs(float(value)) for value, _ in wanted.values() if finite(value)), default=0.0)
    most = _SETTLED * max(largest, *map(abs, map(float, given)))
    if any(doubt > most for _, doubt in wanted.values()):
        kinks = (*kinks, "differences of f do not settle here")
    if kinks:
        return GradientCheck(reference, 0.0, kinks, ("by hand",), {})
    worst, wrong = 0.0, []
    for (index, (value, doubt)), x in zip(wanted.items(), given, strict=True):
        exact = float(value)
        error = abs(float(x) - exact) if finite(x) else math.inf
        worst = max(worst, error / largest if largest else error)
        allowed = rtol * abs(exact) + _ROUNDINGS * largest + 10 * doubt
        if not error <= allowed:
            wrong.append(Disagreement("by hand", index, x, exact, error, allowed))
    if wrong:
        raise _failure(flat, wrong, reference)
    numbers = {index: float(value) for index, (value, _) in wanted.items()}
    return GradientCheck(reference, worst, (), ("by hand",), numbers)


def _failure(flat: Flat, wrong: Sequence[Disagreement], reference: str) -> GradientError:
    lines = [
        f"check_derivative: the derivative is wrong at {flat.at()}\n",
        *table("f", flat.names, wrong),
        f"reference: {reference}",
    ]
    return GradientError("\n".join(lines))


def _given(flat: Flat, derivative: Callable[..., Any]) -> list[Number]:
    """The numbers of the derivative by hand, in the order of those of the point.

    It gets what f gets, in lists and arrays of its own, which it may write to.
    """
    found: Any = derivative(*flat.arguments(flat.point))
    structure: Any = flat.given if len(flat.given) > 1 else flat.given[0]
    try:
        entries = aligned(structure, found, "what derivative returned")
    except ValueError:
        raise GradientError(
            f"check_derivative: derivative returned {found!r}; give what grad(f) gives: for one "
            "argument its derivative in its structure, for several a tuple of these"
        ) from None
    for x in entries:
        if not is_number(x):
            raise GradientError(f"check_derivative: derivative returned {x!r}, not a number")
    return entries


def _reference(flat: Flat) -> tuple[str, dict[Index, Derivative], tuple[str, ...]]:
    """Name and derivatives, of the recording of f or, where there is none, of f on floats."""
    with told():
        try:
            examined = examine(flat)
        except (SeveralOutputs, OutsideDomainError):
            raise
        except Exception:  # noqa: BLE001 (code over floats refuses a Value in its own way)
            return quietly(_on_floats, flat)  # type: ignore[no-any-return]
        name, found = expected(examined.recording, 1)
        return name, found, examined.reasons if found else (*examined.reasons, name)


def _on_floats(flat: Flat) -> tuple[str, dict[Index, Derivative], tuple[str, ...]]:
    def value(numbers: Sequence[Number]) -> float:
        y = flat(*map(float, numbers))
        if not is_number(y):
            raise UncheckableError(
                f"check_derivative: f returned {type(y).__name__}, not one number"
            )
        return float(y)

    try:
        noise = measured(value, flat.point)
    except (ArithmeticError, ValueError) as error:
        if isinstance(error, UncheckableError):
            raise
        raise OutsideDomainError(
            f"check_derivative: ({flat.at()}) is outside the domain of f: {error}"
        ) from error
    differences = by_differences(value, flat.point, noise)
    kinks = tuple(
        f"f has a kink, or its domain ends, at {name}={x!r}"
        for i, (name, x) in enumerate(zip(flat.names, flat.point, strict=True))
        if _no_slope(value, flat.point, i, noise)
    )
    try:
        found: dict[Index, Derivative] = {(i,): differences((i,)) for i in range(len(flat.point))}
    except Unsuitable:
        return "none", {}, ("f has no values around this point",)
    return "Richardson extrapolation of floats", found, kinks


def _no_slope(
    f: Callable[[Sequence[Number]], float], point: Sequence[Number], i: int, noise: float
) -> bool:
    """Whether f has two slopes or an edge at the point, along number i."""

    def along(x: float) -> float:
        return f([*point[:i], x, *point[i + 1 :]])

    x = float(point[i])
    if at_edge(along, x):
        return True
    try:
        turn = abs(along(x + MARGIN) - 2 * along(x) + along(x - MARGIN))
    except (ArithmeticError, ValueError):
        return False  # an edge is near, but not here
    return turn > 4 * noise and bends(along, x)
