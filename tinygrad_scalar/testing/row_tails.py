"""Far from ordinary numbers: a row that is right in the middle may be wrong in its tails."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.testing.comparison import UNITS
from tinygrad_scalar.testing.derivatives import Unsuitable
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.high_precision import by_mpmath, value_in_high_precision
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import Recording

_SIZES = (1e3, 1e7, 1e12, 1e50, 1e150, 1e300, 1e-12, 1e-100, 1e-300, 1e-310)
_ALLOWED = 1e-6  # of the number: these are other functions, and digits are checked elsewhere
_LEAST = 1e-200  # a slope that is smaller may have been lost on the way, as it is in any mode
_BESIDE = 0.7  # stands for the operands that are not far


def far_points(row: Primitive) -> Iterator[tuple[float, ...]]:
    """One operand large or small, the others ordinary, in the open domain."""
    if row.arity is None or row.whole:
        return
    for i in range(row.arity):
        for x in (sign * size for size in _SIZES for sign in (1.0, -1.0)):
            point = tuple(x if k == i else _BESIDE for k in range(row.arity))
            inside = zip(point, row.domain, strict=True)
            if all(interval.interior(x) for x, interval in inside):
                yield point


def check_far(
    row: Primitive, point: Sequence[float], y: float, function: Callable[..., Any]
) -> None:
    """Value and slopes at such a point, where mpmath has the row: to six digits.

    Not where a float more or less is another number altogether, as for sin(1e300), nor of a row
    that jumps: so far out every float is beside a jump.
    """
    found = MODES["reverse"](function, point, 1)
    spread = math.fsum(abs(x * found[i,]) for i, x in enumerate(point))
    steps = any(not callable(rule) and rule == 0 for rule in row.partials)
    if steps or UNITS * spread > abs(y):
        return
    inputs = [Value(x) for x in point]
    recording = Recording(inputs, function(*inputs))
    exact = value_in_high_precision(recording)
    if exact is None:
        return
    if _differ(y, _as_float(exact), UNITS * spread + math.ulp(0.0)):
        raise GradientError(f"the value is {y!r}, in mpmath {_as_float(exact)!r}")
    with suppress(Unsuitable, ArithmeticError, TypeError, ValueError):
        for i in range(len(point)):
            _check_slope(recording, i, found[i,])


def _check_slope(recording: Recording, i: int, slope: float) -> None:
    """One partial; what the rounding of the operands may change is asked where it differs."""
    derivative = by_mpmath(recording)
    wanted = _as_float(derivative((i,)).value)
    if not _differ(slope, wanted, _LEAST):
        return
    spread = math.fsum(
        abs(x * _as_float(derivative((min(i, j), max(i, j))).value))
        for j, x in enumerate(recording.point)
    )
    if _differ(slope, wanted, UNITS * spread + _LEAST):
        raise GradientError(f"the partial of operand {i} is {slope!r}, in mpmath {wanted!r}")


def _differ(found: float, wanted: float, allowed: float) -> bool:
    """Whether two numbers differ by more than that; not beyond the floats."""
    if math.isinf(wanted) or math.isnan(allowed):
        return False
    return not abs(found - wanted) <= _ALLOWED * abs(wanted) + allowed


def _as_float(x: Any) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf
