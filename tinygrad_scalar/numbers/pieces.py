"""Formulas of the pieces for engines that run in lanes.

On numbers `numerics` has them in a third of the time, and exact in every kind of number.
"""

import math
from math import copysign
from typing import Any

from tinygrad_scalar.numbers.numerics import floor
from tinygrad_scalar.numbers.parts import product_error, where


def sign(x: Any) -> Any:
    """−1, 0 or 1."""
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, where(x == 0.0, 0.0, x)))


def step(x: Any) -> Any:
    """1 where x > 0, else 0; by relu x, of which it is the slope, so that x need not be kept."""
    y = relu(x)
    return where(y > 0.0, 1.0, y)


def relu(x: Any) -> Any:
    """max(0, x)."""
    return where(x <= 0.0, 0.0, x)


def leaky_relu(x: Any, slope: Any) -> Any:
    """x where x > 0, else slope · x."""
    return where(x > 0.0, x, slope * x)


def clip(x: Any, low: Any, high: Any) -> Any:
    """At least low, at most high; NaN where low > high, or one of the three is."""
    inside = where(x < low, low, where(x > high, high, x + 0.0 * (low + high)))
    ordinary = where(x >= low, where(x <= high, x, inside), inside)
    return where(low <= high, ordinary, math.nan)


def round_to(x: Any, digits: float) -> Any:
    """x rounded to so many decimal places, a plain number of them, half to even.

    x times the power of ten is rounded with what its own rounding lost, so that no tie is made or
    missed; exact up to 22 places either way, where that power is a float.
    """
    places = int(digits)
    scale, more = 10.0 ** min(abs(places), 22), 10.0 ** max(min(abs(places), 300) - 22, 0)
    if places >= 0:
        scaled = x * scale
        lost = product_error(x, scale, scaled)
        scaled = scaled * more
        back = _half_to_even(scaled, lost) / more / scale
    else:
        scaled = x / scale
        lost = -product_error(scaled, scale, x)
        scaled = scaled / more
        back = _half_to_even(scaled, lost) * more * scale
    return where(abs(scaled) < 2.0**53, back, x)


def _half_to_even(x: Any, lost: Any) -> Any:
    """The whole number nearest to x + lost, where lost is less than the last place of x."""
    below = floor(x)
    tie = (x - below == 0.5) & (lost != 0.0)
    return where(tie, copysign(below + where(lost > 0.0, 1.0, 0.0), x), round(x))
