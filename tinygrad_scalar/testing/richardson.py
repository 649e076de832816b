"""The reference for everything else: differences of floats, extrapolated to step 0."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.derivatives import Derivative, Index, Unsuitable, central
from tinygrad_scalar.testing.recording import Recording, finite

_SMALL = 1e-5  # numbers whose neighbourhood the usual steps jump over
_NEAR = 2.0**-40  # of the point: where curvature adds 1e-24 to a second difference
_STAIRS = 2.0**-16  # of the point: narrower ones are rounding, of code that computes in float32
_ORDINARY = 0.1  # of smaller points stairs may be wide, as those of exp(x) are
_SIDES = 8  # points on either side of it


def by_richardson(recording: Recording) -> Callable[[Index], Derivative]:
    """Derivatives of any recording, each with an estimate of its error."""

    def value(numbers: Sequence[Number]) -> float:
        return float(recording.in_floats(numbers))

    # code that a row calls loses digits of its own
    noise = max(_noise(recording), measured(value, recording.point))
    return by_differences(value, recording.point, noise)


def by_differences(
    f: Callable[[Sequence[float]], Number], at: Sequence[Number], noise: float
) -> Callable[[Index], Derivative]:
    """Derivatives of a function of floats, whose own rounding is about `noise`."""
    point = [float(x) for x in at]

    def derivative(index: Index) -> Derivative:
        sizes = [abs(point[i]) for i in index]
        scale, least = max(1.0, *sizes), min(filter(None, sizes), default=1.0)
        best = None
        # the small ones where an edge is near, and for points that are themselves small
        near = [first * least for first in (0.01, 0.1) if least < _SMALL]
        for first in (*near, *(first * scale for first in (1e-7, 1e-5, 0.001, 0.01, 0.1))):
            try:
                found = _extrapolated(f, point, index, first, noise)
            except (ArithmeticError, ValueError):
                continue
            # stairs look like a slope from afar: a wider look must confirm what a closer one saw
            if best is None or (
                found.error < best.error and abs(found.value - best.value) <= 10 * best.error
            ):
                best = found
        if best is None:
            raise Unsuitable
        return best

    return derivative


def _noise(recording: Recording) -> float:
    """What rounding changes in the output: Σ |∂(output)/∂v · v| over its nodes v."""
    terms = (abs(float(slope * node.data)) for node, slope in recording.gradients().items())
    return 4 * sys.float_info.epsilon * math.fsum(filter(finite, terms))


def measured(f: Callable[[Sequence[Number]], float], point: Sequence[Number]) -> float:
    """What rounding does to f around a point, whatever f is made of."""
    return max([_along(f, point, i) for i in range(len(point))], default=0.0)


def _along(f: Callable[[Sequence[Number]], float], point: Sequence[Number], i: int) -> float:
    """The same along number i, by second differences so near that only rounding is left in them.

    But so far that f changes: code in float32 gives the same number for millions of floats.
    Source: Moré and Wild 2011 (estimating computational noise).
    """
    x, here = float(point[i]), f(point)
    size = abs(x) or 1.0
    nearest, widest = _NEAR * size, _STAIRS * max(size, _ORDINARY)

    def at(shift: float) -> float:
        try:
            return f([*point[:i], x + shift, *point[i + 1 :]])
        except (ArithmeticError, ValueError):
            return here  # beyond an edge, which is told elsewhere

    def change(reach: float) -> float:
        return max(abs(at(reach) - here), abs(at(-reach) - here))

    step = nearest
    while not (jump := change(_SIDES * step)) and _SIDES * step < widest:
        step *= 2
    stair = jump if step > nearest else 0.0
    seconds = (abs(at(k * step) - 2 * here + at(-k * step)) for k in range(1, _SIDES + 1))
    return max(32 * math.ulp(here), 4 * stair, 4 * max(seconds))


def _extrapolated(
    function: Callable[[Sequence[float]], Number],
    point: Sequence[float],
    index: Index,
    step: float,
    noise: float,
) -> Derivative:
    """Ridders' tableau: the entry that differs least from its neighbours, rounding included."""
    best, row = Derivative(math.nan, math.inf), list[float]()
    largest = 0.0

    def f(inputs: list[float]) -> float:
        nonlocal largest
        y = float(function(inputs))
        largest = max(largest, abs(y))
        return y

    for k in range(10):
        width = step / 1.6**k
        previous, row = row, [central(f, point, index, [width] * len(index))]
        rounding = max(noise, 8 * sys.float_info.epsilon * largest) / width ** len(index)
        factor = 1.0
        for before in previous:
            factor *= 1.6**2
            row.append((row[-1] * factor - before) / (factor - 1))
            error = rounding + max(abs(row[-1] - row[-2]), abs(row[-1] - before))
            if error < best.error:
                best = Derivative(row[-1], error)
    return best
