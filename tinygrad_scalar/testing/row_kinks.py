"""What a row says of its kinks: that they are there, and what stands for the derivative."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.undefined import by_rule, is_nan
from tinygrad_scalar.testing.comparison import run
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import finite
from tinygrad_scalar.testing.row_points import Point, value

_STEP = 1e-6


def check_kink(
    row: Primitive, point: Point, varying: Sequence[int], function: Callable[..., Any]
) -> None:
    """At a kink: all modes give the number stated, and it is one that may stand there."""
    if not row.kinks(*point):
        for i in varying:
            _check_unstated(row, point, i)
    elif not row.subgradient:
        _check_partials(row, point, varying, function)
    else:
        _check_modes(row, point, varying, function)
        if len(set(point)) >= len(point) - 1:  # one kink at a time
            _check_subgradient(row, point)


def check_defined(row: Primitive, point: Point, varying: Sequence[int]) -> None:
    """In the open domain, off the kinks that the row states, every partial is a number.

    A gradient that is 0/0 would be reported as 0 by default.
    """
    inside = all(interval.interior(x) for x, interval in zip(point, row.domain, strict=False))
    if row.kinks(*point) or not inside:
        return
    y = (row.joint or row).forward(*point)
    rules = row.all_partials(y, point)
    for i in varying:
        if is_nan(by_rule(row, rules[i], i, y, point)):
            raise GradientError(
                f"the partial of operand {i} is no number (0/0, or what it calls raised) inside "
                "the domain: write it as a row of its own with the limit there (as sinc), choose "
                "with where and callables, or state the point in kinks="
            )


def slopes_bend(numbers: Sequence[float], function: Callable[..., Any]) -> bool:
    """Whether a partial has another slope on each side, as that of x·|x| at 0, which has no kink.

    Then there is no second derivative, and no reference for the first.
    """
    for i in range(len(numbers)):
        try:
            slopes = [_partials(numbers, i, k * _STEP, function) for k in (0, -1, 1, -1 / 8, 1 / 8)]
        except (ArithmeticError, TypeError, ValueError):  # at an edge of the domain
            continue
        for y, a, b, c, d in zip(*slopes, strict=True):
            wide, close = (b - 2 * y + a) / _STEP, (d - 2 * y + c) / (_STEP / 8)
            steepest = max(abs(d - y), abs(y - c)) / (_STEP / 8)
            steady = abs(close - wide) < abs(close) / 4
            if steady and abs(close) > 1e-3 * steepest + _rounding((*numbers, y)):
                return True
    return False


def check_slopes(numbers: Sequence[float], function: Callable[..., Any]) -> None:
    """The partials at such a point, by differences."""
    found = MODES["reverse"](function, numbers, 1)
    for i in range(len(numbers)):
        below, above = (
            float(function(*(x + side * (k == i) for k, x in enumerate(numbers))))
            for side in (-_STEP, _STEP)
        )
        slope = (above - below) / (2 * _STEP)
        if abs(slope - found[i,]) > 1e-3 * abs(slope) + 10 * _STEP:
            raise GradientError(f"the partial of operand {i} is {found[i,]!r} instead of {slope!r}")


def _partials(
    numbers: Sequence[float], i: int, shift: float, function: Callable[..., Any]
) -> list[float]:
    """All partials where number i is shifted."""
    point = [x + shift * (k == i) for k, x in enumerate(numbers)]
    return list(map(float, MODES["reverse"](function, point, 1).values()))


def _check_modes(
    row: Primitive, point: Point, varying: Sequence[int], function: Callable[..., Any]
) -> None:
    """Every mode gives the number that the row states for its kinks."""
    numbers = [point[i] for i in varying]
    for mode in MODES:
        found = run(mode, function, numbers, 1)
        for k, i in enumerate(varying):
            stated = row.subgradient[i]
            if float(found[k,]) != stated:
                raise GradientError(
                    f"at this kink mode {mode} gives {found[k,]!r} for operand {i}; the row states "
                    f"subgradient {stated!r}"
                )


def _check_subgradient(row: Primitive, point: Point) -> None:
    """The stated numbers lie between the slopes on both sides, and are right along a ridge."""
    for direction in itertools.product((-1, 0, 1), repeat=len(point)):
        slopes = _slopes(row, point, direction, _STEP)
        if slopes is None:
            continue
        stated = math.fsum(d * g for d, g in zip(direction, row.subgradient, strict=True))
        if not min(slopes) - _rounding(point) <= stated <= max(slopes) + _rounding(point):
            raise GradientError(
                f"the row states subgradient {row.subgradient!r}, but in direction {direction!r} "
                f"the slopes are {slopes[0]!r} before and {slopes[1]!r} behind this kink"
            )


def _check_partials(
    row: Primitive, point: Point, varying: Sequence[int], function: Callable[..., Any]
) -> None:
    """Where the row states no number, its partials give the slope of one side or one between.

    To three digits, since slopes may bend within a step.
    """
    found = MODES["reverse"](function, [point[i] for i in varying], 1)
    for k, i in enumerate(varying):
        slopes = _slopes(row, point, [int(j == i) for j in range(len(point))], _STEP)
        if slopes is None or not finite(found[k,]):
            continue
        room = 1e-3 * max(map(abs, slopes)) + _rounding(point)
        if not min(slopes) - room <= found[k,] <= max(slopes) + room:
            raise GradientError(
                f"the partial of operand {i} is {found[k,]!r} at this kink, where the slopes are "
                f"{slopes[0]:.6g} before and {slopes[1]:.6g} behind: give one of them or a number "
                "between, or state it in subgradient="
            )


def _check_unstated(row: Primitive, point: Point, i: int) -> None:
    """A kink that the row does not state: two slopes that stay apart however near one looks."""
    direction = [int(k == i) for k in range(len(point))]
    wide, close = (_slopes(row, point, direction, step) for step in (_STEP, _STEP / 8))
    if wide is None or close is None:
        return
    jump = close[1] - close[0]
    steady = abs(jump - (wide[1] - wide[0])) < abs(jump) / 4
    if steady and abs(jump) > 1e-3 * max(map(abs, close)) + _rounding(point):
        raise GradientError(
            f"the slopes by operand {i} are {close[0]:.6g} before and {close[1]:.6g} behind this "
            "point: state it in kinks= and what stands for the derivative in subgradient="
        )


def _slopes(
    row: Primitive, point: Point, direction: Sequence[int], step: float
) -> tuple[float, float] | None:
    """Slopes before and behind a point; None at an edge of the domain and where the value jumps."""
    below, here, above = (
        value(row, tuple(x + k * step * d for x, d in zip(point, direction, strict=True)))
        for k in (-1, 0, 1)
    )
    if below is None or here is None or above is None:
        return None
    slopes = ((here - below) / step, (above - here) / step)
    jumps = max(map(abs, slopes)) * step > 1e-3
    return None if jumps else slopes


def _rounding(point: Point) -> float:
    """What rounding may change in a slope of a row whose values are of the size of its operands."""
    return 1e-9 + 64 * sys.float_info.epsilon * max(map(abs, point)) / _STEP
