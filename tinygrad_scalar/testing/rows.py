"""`check_primitive`: everything that a row of the table, or one of your own, must satisfy."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tinygrad_scalar.primitive import Interval, Joint, Primitive
from tinygrad_scalar.primitives import TABLE
from tinygrad_scalar.tape import compile, engines
from tinygrad_scalar.testing.checks import GradientCheck, check_grad
from tinygrad_scalar.testing.comparison import RELATIVE, UNITS
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.examination import undefined_gradients_ignored
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import Recording, finite
from tinygrad_scalar.testing.references import value_in_high_precision
from tinygrad_scalar.ufuncs import _SPELLINGS
from tinygrad_scalar.value import Value

Point = tuple[float, ...]
# Ordinary numbers, small and large ones, and where branches tend to be: 0, whole and half numbers.
_NUMBERS = (0.7, -1.3, 2.6, -0.2, 1e-3, 0.0, 1.0, -2.0, 0.5, 12.0, -30.25, 150.0)
_FROM_EDGE = (0.3, 1e-3, 1e-8)
_POINTS = 30
# Operands that count: the order of a derivative, the digits of a rounding.
_COUNTS = {"polygamma": 0, "round_to": 1}
_LENGTHS = (1, 2, 3, 4)  # of rows that take any number of operands


def check_primitive(row: Any) -> None:
    """Check a row: its value and derivatives in every mode, at edges and kinks, and its precision.

    `row` is a node's `.primitive` or what `primitive()` and `custom()` returned. Held to the best
    reference over the domain that it states: derivatives up to order 3 (2 for several operands),
    partials that keep their digits, the subgradient stated at kinks, values and partials that
    exist at closed ends of the domain, mpmath's and NumPy's function of the same name.

    Cost: about a second. Errors: GradientError naming the row, the operands and what disagrees;
    TypeError for anything but a row. Source: the rules of the table in DESIGN and CONTRIBUTING.

    >>> from tinygrad_scalar import primitive
    >>> check_primitive(primitive("cube", lambda x: x * x * x, lambda y, x: 3 * x * x))
    >>> check_primitive(primitive("cube", lambda x: x * x * x, lambda y, x: 2 * x * x))
    Traceback (most recent call last):
        ...
    tinygrad_scalar.testing.errors.GradientError: check_primitive: cube(0.7): ...
    """
    if not isinstance(row, Primitive):
        raise TypeError(
            "check_primitive takes a row: a node's .primitive or what primitive() returned, not "
            f"{type(row).__name__}"
        )
    for output in row.outputs if isinstance(row, Joint) else (row,):
        with undefined_gradients_ignored():
            _check(output)


def _check(row: Primitive) -> None:
    smooth: list[Point] = []
    checked = 0
    for point in _points(row):
        y = _value(row, point)
        if y is None:
            continue
        checked += 1
        with _named(row, point):
            if _check_at(row, point, y):
                smooth.append(point)
    if not checked:
        raise GradientError(
            f"check_primitive: {row.name} gives no number at any point of its domain "
            f"{', '.join(map(repr, row.domain))}; state where it does with domain="
        )
    for length in {len(point) for point in smooth}:
        _check_engines(row, [point for point in smooth if len(point) == length])


@contextmanager
def _named(row: Primitive, point: Point) -> Iterator[None]:
    """Errors in the block name the row and its operands."""
    try:
        yield
    except (AssertionError, ArithmeticError, TypeError, ValueError) as error:
        operands = ", ".join(map(repr, point))
        message = str(error).removeprefix("check_grad: ")
        raise GradientError(f"check_primitive: {row.name}({operands}): {message}") from error


# ── where ─────────────────────────────────────────────────────────────────────────────────────
def _points(row: Primitive) -> Iterator[Point]:
    """Points of the domain, its edges and beyond, the same ones in every run."""
    chosen = random.Random(row.name)
    for length in (row.arity,) if row.arity else _LENGTHS:
        # a row of any number of operands has one domain for all
        intervals = [row.domain[min(i, len(row.domain) - 1)] for i in range(length)]
        columns = [_numbers(interval) for interval in intervals]
        if row.name in _COUNTS:
            columns[_COUNTS[row.name]] = [0.0, 1.0, 2.0]
        if math.prod(map(len, columns)) <= _POINTS:
            yield from itertools.product(*columns)
        else:
            yield from zip(*columns, strict=False)
            count = _POINTS if row.arity else _POINTS // 3
            yield from {tuple(map(chosen.choice, columns)): None for _ in range(count)}
        yield from ((x,) * length for x in columns[0] if all(x in column for column in columns))


def _numbers(interval: Interval) -> list[float]:
    inside = [x for x in _NUMBERS if interval.interior(x)]
    edges = [(interval.low, 1.0), (interval.high, -1.0)]
    near = [edge + side * d for edge, side in edges if finite(edge) for d in (*_FROM_EDGE, 0, -1)]
    return [*inside, *near]


def _value(row: Primitive, point: Point) -> float | None:
    """The row's value; None outside its domain. An error if it is neither."""
    try:
        y = row.forward(*point)
    except TypeError:
        if row.arity is not None:
            raise
        return None  # a row of some other number of operands
    except (ArithmeticError, ValueError) as error:
        if all(x in interval for x, interval in zip(point, row.domain, strict=False)) and any(
            (interval.closed_low and x == interval.low)
            or (interval.closed_high and x == interval.high)
            for x, interval in zip(point, row.domain, strict=False)
        ):
            raise GradientError(
                f"check_primitive: {row.name}{point} failed ({error}) at a closed end of its "
                f"domain {', '.join(map(repr, row.domain))}"
            ) from error
        return None
    y = y if row.joint is None else y[row.index]
    if isinstance(y, complex) or not isinstance(y, (int, float)):
        raise GradientError(
            f"check_primitive: {row.name}{point} is {y!r}, not a real number; raise ValueError "
            "outside the domain"
        )
    return float(y) if finite(y) else None


# ── what ──────────────────────────────────────────────────────────────────────────────────────
def _check_at(row: Primitive, point: Point, y: float) -> bool:
    """All checks at one point; whether all operands may vary there, and no kink is near."""
    count = _COUNTS.get(row.name)
    if count is not None and (callable(row.partials[count]) or row.partials[count] != 0):
        raise GradientError(f"operand {count} counts: its partial must be the number 0")
    varying = [i for i in range(len(point)) if i != count and not _isolated(row, point, i)]
    function, numbers = _along(row, point, varying), [point[i] for i in varying]
    if row.kinks(*point) and row.subgradient:
        _check_kink(row, point, varying, function)
        if len(set(point)) >= len(point) - 1:  # one kink at a time
            _check_subgradient(row, point)
    check = check_grad(function, *numbers, order=3 if len(point) == 1 else 2)
    if not check.kinks:
        _check_precision(row, check, y, function, numbers)
    _check_numpy(row, point, y)
    return not check.kinks and len(varying) == len(point)


def _along(row: Primitive, point: Point, varying: Sequence[int]) -> Callable[..., Any]:
    """The row as a function of the operands that vary."""

    def function(*numbers: Any) -> Any:
        operands: list[Any] = list(point)
        for i, number in zip(varying, numbers, strict=True):
            operands[i] = number
        if row.joint is not None:
            return row.joint(*operands)[row.index]
        return row(*operands)

    return function


def _isolated(row: Primitive, point: Point, i: int) -> bool:
    """Whether no number beside operand i is in the domain: orders and counts do not vary."""
    return all(
        _value(row, (*point[:i], math.nextafter(point[i], side), *point[i + 1 :])) is None
        for side in (-math.inf, math.inf)
    )


def _check_kink(
    row: Primitive, point: Point, varying: Sequence[int], function: Callable[..., Any]
) -> None:
    """Every mode gives the number that the row states for its kinks."""
    numbers = [point[i] for i in varying]
    for mode, derivatives in MODES.items():
        found = derivatives(function, numbers, 1)
        for k, i in enumerate(varying):
            stated = row.subgradient[i]
            if float(found[k,]) != stated:
                raise GradientError(
                    f"at this kink mode {mode} gives {found[k,]!r} for operand {i}; the row states "
                    f"subgradient {stated!r}"
                )


def _check_subgradient(row: Primitive, point: Point) -> None:
    """The stated numbers lie between the slopes on both sides, and are right along a ridge."""
    step = 1e-6
    for direction in itertools.product((-1, 0, 1), repeat=len(point)):
        below, here, above = (
            _value(row, tuple(x + k * step * d for x, d in zip(point, direction, strict=True)))
            for k in (-1, 0, 1)
        )
        if below is None or here is None or above is None:
            continue
        slopes = ((here - below) / step, (above - here) / step)
        stated = math.fsum(d * g for d, g in zip(direction, row.subgradient, strict=True))
        rounding = 1e-9 + 8 * sys.float_info.epsilon * (abs(below) + abs(above)) / step
        if max(map(abs, slopes)) * step > 1e-3:  # a jump, which no number describes
            continue
        if not min(slopes) - rounding <= stated <= max(slopes) + rounding:
            raise GradientError(
                f"the row states subgradient {row.subgradient!r}, but in direction {direction!r} "
                f"the slopes are {slopes[0]!r} before and {slopes[1]!r} behind this kink"
            )


def _check_precision(
    row: Primitive,
    check: GradientCheck,
    y: float,
    function: Callable[..., Any],
    numbers: Sequence[float],
) -> None:
    """Value and partials are as precise as their operands allow: Σ |x · ∂²y/∂x_i∂x| · rounding.

    `check_grad` forgives what a formula loses through its own intermediates; a row may not.
    """
    if check.reference.startswith("Richardson") or not check.derivatives:
        return
    derivatives = {index: float(value) for index, value in check.derivatives.items()}
    slopes = MODES["reverse"](function, numbers, 1)
    # the partials of a row of many operands are computed together, and rounded together
    largest = 0.0 if row.arity else max(abs(derivatives[i,]) for i in range(len(numbers)))
    for i in range(len(numbers)):
        wanted = derivatives[i,]
        spread = math.fsum(
            abs(x * derivatives[min(i, j), max(i, j)]) for j, x in enumerate(numbers)
        )
        allowed = RELATIVE * abs(wanted) + UNITS * (spread + largest) + math.ulp(0.0)
        if not abs(slopes[i,] - wanted) <= allowed:
            raise GradientError(
                f"the partial of operand {i} has lost digits: {slopes[i,]!r} instead of "
                f"{wanted!r}; rewrite its formula without cancellation"
            )
    inputs = [Value(x) for x in numbers]
    exact = value_in_high_precision(Recording(inputs, function(*inputs)))
    spread = math.fsum(abs(x * derivatives[i,]) for i, x in enumerate(numbers))
    allowed = RELATIVE * abs(y) + UNITS * spread + math.ulp(0.0)
    if exact is not None and not abs(y - float(exact)) <= allowed:
        raise GradientError(f"the value is {y!r}, in mpmath {float(exact)!r}")


def _check_numpy(row: Primitive, point: Point, y: float) -> None:
    """NumPy's function of this name gives the same number, and on a Value this row."""
    if TABLE.get(row.name) is not row or find_spec("numpy") is None:
        return
    import numpy as np

    names = {name for name in (row.name, *_SPELLINGS) if _SPELLINGS.get(name, name) == row.name}
    for ufunc in (getattr(np, name, None) for name in names):
        if not isinstance(ufunc, np.ufunc) or ufunc.nin != len(point):
            continue
        with np.errstate(all="ignore"):
            theirs = float(ufunc(*point))
        if abs(theirs - y) > RELATIVE * abs(y):
            raise GradientError(f"the value is {y!r}, numpy.{ufunc.__name__} gives {theirs!r}")
        node = ufunc(Value(point[0]), *point[1:])
        if node.primitive is not row:
            raise GradientError(f"numpy.{ufunc.__name__} of a Value gives {node!r}")


def _check_engines(row: Primitive, points: Sequence[Point]) -> None:
    """Every engine of the tape that takes batches gives the values and partials of the row."""
    columns = list(zip(*points, strict=True))
    function = _along(row, points[0], range(len(columns)))
    for engine in set(engines()) - {"python"}:
        import numpy as np

        compiled = compile(function, engine=engine)
        batch = [np.array(column) for column in columns]
        gradient = compiled.grad(*batch)
        slopes = gradient if isinstance(gradient, tuple) else (gradient,)
        for k, (point, y) in enumerate(zip(points, compiled(*batch), strict=True)):
            wanted = MODES["reverse"](function, point, 1)
            with _named(row, point):
                size = max(abs(y), *map(abs, wanted.values()))
                _agrees(f"engine {engine}", float(y), float(function(*point)), size)
                for i, slope in enumerate(slopes):
                    what = f"the gradient of operand {i} by engine {engine}"
                    _agrees(what, float(slope[k]), wanted[i,], size)


def _agrees(what: str, found: float, wanted: float, size: float) -> None:
    """How precise an engine is, its own tests tell; here it must not be another function."""
    if not abs(found - wanted) <= 1e-9 * abs(wanted) + UNITS * size + sys.float_info.min:
        raise GradientError(f"{what} is {found!r} instead of {wanted!r}")
