"""Formulas of the pieces for engines that run in lanes.

On numbers `numerics` has them in a third of the time, and exact in every kind of number.
"""

import math
from typing import Any

from tinygrad_scalar.numbers.parts import where


def sign(x: Any) -> Any:
    """−1, 0 or 1."""
    return where(x > 0.0, 1.0, where(x < 0.0, -1.0, where(x == 0.0, 0.0, x)))


def step(x: Any) -> Any:
    """1 where x > 0, else 0."""
    return where(x > 0.0, 1.0, where(x <= 0.0, 0.0, x))


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
