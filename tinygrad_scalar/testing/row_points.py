"""Where a row is checked: in its domain, at edges and beyond, the same points in every run."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator
from operator import contains

from tinygrad_scalar.core.primitive import REAL, Interval, Primitive
from tinygrad_scalar.numbers.precision import unboxed
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.recording import finite

Point = tuple[float, ...]
# Ordinary numbers, small and large ones, and where branches tend to be: 0, whole and half numbers.
_NUMBERS = (0.7, -1.3, 2.6, -0.2, 1e-3, 3e-6, 0.0, 1.0, -2.0, 0.5, 12.0, -30.25, 150.0)
_ORDINARY = 12.0
_FROM_EDGE = (0.3, 1e-3, 1e-8)
_POINTS = 30
_LENGTHS = (1, 2, 3, 4)  # of rows that take any number of operands


def points(row: Primitive) -> Iterable[Point]:
    """Points of the domain, its edges and beyond, each once, the same ones in every run."""
    return dict.fromkeys(_chosen(row))


def _chosen(row: Primitive) -> Iterator[Point]:
    chosen = random.Random(row.name)
    for length in (row.arity,) if row.arity else _LENGTHS:
        # a row of any number of operands has one domain for all
        intervals = [row.domain[min(i, len(row.domain) - 1)] for i in range(length)]
        columns = [_numbers(interval) for interval in intervals]
        for i in row.whole:
            columns[i] = [0.0, 1.0, 2.0]
        if math.prod(map(len, columns)) <= _POINTS:
            yield from itertools.product(*columns)
        else:
            yield from zip(*columns, strict=False)
            count = _POINTS if row.arity else _POINTS // 3
            yield from (tuple(map(chosen.choice, columns)) for _ in range(count))
        yield from ((x,) * length for x in columns[0] if all(x in column for column in columns))


def _numbers(interval: Interval) -> list[float]:
    inside = [x for x in _NUMBERS if interval.interior(x)]
    edges = [(interval.low, 1.0), (interval.high, -1.0)]
    near = [edge + side * d for edge, side in edges if finite(edge) for d in (*_FROM_EDGE, 0, -1)]
    return [*inside, *near]


def value(row: Primitive, point: Point) -> float | None:
    """The row's value; None outside its domain. An error if it is neither."""
    try:
        y = row.forward(*point)
    except TypeError as error:
        if row.arity is not None:
            raise GradientError(
                f"check_primitive: {row.name}{point}: {error}; give forward one operand for each "
                "partial"
            ) from error
        return None  # a row of some other number of operands
    except (ArithmeticError, ValueError) as error:
        if _at_closed_end(row, point):
            raise GradientError(
                f"check_primitive: {row.name}{point} failed ({error}) at a closed end of its "
                f"domain {', '.join(map(repr, row.domain))}"
            ) from error
        return None
    y = unboxed(y if row.joint is None else y[row.index])
    if isinstance(y, complex) and not all(map(contains, row.domain, point)):
        return None
    if isinstance(y, complex) or not isinstance(y, (int, float)):
        raise GradientError(
            f"check_primitive: {row.name}{point} is {y!r}, not a real number; raise ValueError "
            "outside the domain"
        )
    return float(y) if finite(y) else None


def stated_but_outside(row: Primitive, point: Point) -> bool:
    """Whether the row has no value around a point inside the domain that it states.

    A row that states none may have gaps, see `unstated_end`.
    """
    stated = any(interval != REAL for interval in row.domain)
    return stated and _has_none_around(row, point)


def unstated_end(row: Primitive) -> tuple[int, float] | None:
    """An operand that states no domain, and a number of it beyond which the row has no value.

    So where all numbers without a value lie beyond those with one. Gaps between these no domain
    states.
    """
    some = list(points(row))
    without = [point for point in some if _has_none_around(row, point)]
    with_value = [point for point in some if without and value(row, point) is not None]
    for i, interval in enumerate(row.domain):
        held = [point[i] for point in with_value if i < len(point)]
        others = [point[i] for point in without if i < len(point)]
        beyond = held and not any(min(held) <= x <= max(held) for x in others)
        if interval == REAL and others and beyond:
            return i, others[0]
    return None


def _has_none_around(row: Primitive, point: Point) -> bool:
    """Whether the row has no value at a point of its domain and beside it.

    A single point without one is a pole, and large numbers may overflow.
    """
    if max(map(abs, point)) > _ORDINARY:
        return False
    around = (tuple(x * (1 + shift) + shift for x in point) for shift in (0.0, 1e-3, -1e-3))
    return all(
        all(interval.interior(x) for x, interval in zip(near, row.domain, strict=False))
        and value(row, near) is None
        for near in around
    )


def _at_closed_end(row: Primitive, point: Point) -> bool:
    """Whether the point is in the domain that the row states, and an operand on its end."""
    pairs = list(zip(point, row.domain, strict=False))
    return all(x in interval for x, interval in pairs) and any(
        x in (interval.low, interval.high) for x, interval in pairs
    )


def isolated(row: Primitive, point: Point, i: int) -> bool:
    """Whether no number beside operand i is in the domain: orders and counts do not vary."""
    return all(
        value(row, (*point[:i], math.nextafter(point[i], side), *point[i + 1 :])) is None
        for side in (-math.inf, math.inf)
    )
