"""`check_primitive`: everything that a row of the table, or one of your own, must satisfy."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tinygrad_scalar.compiler import compile, engines
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.core.ufuncs import RULES
from tinygrad_scalar.core.undefined import told
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import quietly
from tinygrad_scalar.testing.checks import GradientCheck, check_grad
from tinygrad_scalar.testing.comparison import RELATIVE, UNITS
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.high_precision import value_in_high_precision
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import Recording, along
from tinygrad_scalar.testing.row_kinks import check_defined, check_kink, check_slopes, slopes_bend
from tinygrad_scalar.testing.row_points import (
    Point,
    isolated,
    points,
    stated_but_outside,
    unstated_end,
    value,
)
from tinygrad_scalar.testing.row_tails import check_far, far_points
from tinygrad_scalar.testing.tracebacks import shown_without_ours


@dataclass(frozen=True)
class PrimitiveCheck:
    """What `check_primitive` found where nothing is wrong.

    - `precision`: "checked", or "not checked" where there is no reference that is more precise than
      floats: name mpmath's function with mpmath=, and install mpmath.
    """

    precision: str


@shown_without_ours
def check_primitive(row: Any) -> PrimitiveCheck:
    """Check a row: its value and derivatives in every mode, at edges and kinks, and its precision.

    `row` is a node's `.primitive` or what `primitive()` and `custom()` returned. Held to the best
    reference over the domain that it states: derivatives up to order 3 (2 for several operands),
    value and partials that keep their digits, kinks that are stated with a number that may stand
    there, values at closed ends of the domain, NumPy's function of the same name, all engines. A
    row that states no domain may have poles and gaps, but has values on both sides: else state it.

    Cost: about a second. Errors: GradientError naming the row, the operands and what disagrees;
    TypeError for anything but a row. Source: CONTRIBUTING, "Add a primitive".

    >>> from tinygrad_scalar import primitive
    >>> check_primitive(primitive("cube", lambda x: x * x * x, lambda y, x: 3 * x * x))
    PrimitiveCheck(precision='checked')
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
    with told():
        outputs = row.outputs if isinstance(row, Joint) else (row,)
        checked = [quietly(_check, output) for output in outputs]
    return PrimitiveCheck("checked" if all(checked) else "not checked")


def _check(row: Primitive) -> bool:
    """Check one output; whether its digits could be checked anywhere."""
    end = unstated_end(row)
    if end is not None:
        raise GradientError(
            f"check_primitive: {row.name} has no value where operand {end[0]} is {end[1]!r}, or on "
            "that side at all, and states no domain: state where it has one with domain=(low, high)"
        )
    smooth: list[Point] = []
    precise = False
    checked = 0
    for point in points(row):
        y = value(row, point)
        if y is None:
            if stated_but_outside(row, point):
                raise GradientError(
                    f"check_primitive: {row.name}{point} has no value inside the domain that the "
                    f"row states, {_domain(row)}; state where it has one with domain="
                )
            continue
        checked += 1
        with _named(row, point):
            check, digits = _check_at(row, point, y)
            precise = precise or digits
            if check:
                smooth.append(point)
    for point in far_points(row):
        y = value(row, point)
        if y is not None and not row.kinks(*point):
            with _named(row, point):
                check_defined(row, point, range(len(point)))
                check_far(row, point, y, along(row, point, range(len(point))))
    if not checked:
        raise GradientError(
            f"check_primitive: {row.name} gives no number at any point of its domain "
            f"{_domain(row)}; state where it does with domain="
        )
    for length in {len(point) for point in smooth}:
        _check_engines(row, [point for point in smooth if len(point) == length])
    return precise


def _domain(row: Primitive) -> str:
    return ", ".join(map(repr, row.domain))


@contextmanager
def _named(row: Primitive, point: Point) -> Iterator[None]:
    """Errors in the block name the row and its operands."""
    try:
        yield
    except (AssertionError, ArithmeticError, TypeError, ValueError) as error:
        operands = ", ".join(map(repr, point))
        message = str(error).removeprefix("check_grad: ")
        raise GradientError(f"check_primitive: {row.name}({operands}): {message}") from error


def _check_at(row: Primitive, point: Point, y: float) -> tuple[bool, bool]:
    """All checks at one point; whether all operands may vary there, and no kink is near.

    And whether the digits were checked.
    """
    for i in row.whole:
        if callable(row.partials[i]) or row.partials[i] != 0:
            raise GradientError(f"operand {i} counts: its partial must be the number 0")
    varying = [i for i in range(len(point)) if i not in row.whole and not isolated(row, point, i)]
    function, numbers = along(row, point, varying), [point[i] for i in varying]
    check_kink(row, point, varying, function)
    check_defined(row, point, varying)
    if not row.kinks(*point) and slopes_bend(numbers, function):
        check_slopes(numbers, function)
        _check_value(y, function, numbers)
        return False, False
    check = check_grad(function, *numbers, order=3 if len(point) == 1 else 2)
    _check_value(y, function, numbers)
    precise = not check.kinks and _check_precision(row, check, function, numbers)
    _check_numpy(row, point, y)
    return not check.kinks and len(varying) == len(point), precise


def _check_precision(
    row: Primitive,
    check: GradientCheck,
    function: Callable[..., Any],
    numbers: Sequence[float],
) -> bool:
    """Partials are as precise as their operands allow: Σ |x · ∂²y/∂x_i∂x| · rounding.

    `check_grad` forgives what a formula loses through its own intermediates; a row may not.
    False where there is no reference more precise than floats.
    """
    if check.reference.startswith("Richardson") or not check.derivatives:
        return False
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
    return True


def _check_value(y: float, function: Callable[..., Any], numbers: Sequence[float]) -> None:
    """The value is as precise as the operands allow: Σ |x · ∂y/∂x| · rounding.

    Near kinks too: digits that are lost look like one.
    """
    inputs = [Value(x) for x in numbers]
    exact = value_in_high_precision(Recording(inputs, function(*inputs)))
    slopes = MODES["reverse"](function, numbers, 1)
    spread = math.fsum(abs(x * slopes[i,]) for i, x in enumerate(numbers))
    allowed = RELATIVE * abs(y) + UNITS * spread + math.ulp(0.0)
    if exact is not None and abs(y - float(exact)) > allowed:
        raise GradientError(f"the value is {y!r}, in mpmath {float(exact)!r}")


def _check_numpy(row: Primitive, point: Point, y: float) -> None:
    """NumPy's function of this name gives the same number, and on a Value this row."""
    if TABLE.get(row.name) is not row or find_spec("numpy") is None:
        return
    import numpy as np

    names = [name for name, rule in RULES.items() if rule is row]
    for ufunc in (getattr(np, name, None) for name in names):
        if not isinstance(ufunc, np.ufunc) or ufunc.nin != len(point):
            continue
        theirs = float(quietly(ufunc, *point))
        if abs(theirs - y) > RELATIVE * abs(y):
            raise GradientError(f"the value is {y!r}, numpy.{ufunc.__name__} gives {theirs!r}")
        node = ufunc(Value(point[0]), *point[1:])
        if node.primitive is not row:
            raise GradientError(f"numpy.{ufunc.__name__} of a Value gives {node!r}")


def _check_engines(row: Primitive, points: Sequence[Point]) -> None:
    """Every engine of the tape that takes batches gives the values and partials of the row."""
    columns = list(zip(*points, strict=True))
    function = along(row, points[0], range(len(columns)))
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
