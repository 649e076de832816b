"""Formulas of remainders and whole quotients, exact, for engines that lack one of them.

On floats `operator` and `math` have them. C's is written in Python's and Python's
in C's: every engine has one of the two.
Source: IEEE 754-2019, 5.3.1 (remainder).
"""

import math
from math import copysign, fmod
from typing import Any

from tinygrad_scalar.numbers.numerics import floor
from tinygrad_scalar.numbers.parts import where


def mod(a: Any, b: Any) -> Any:
    """Python's remainder, with the sign of b, by C's."""
    rest = fmod(a, b)
    moved = where((b < 0.0) == (rest < 0.0), rest, rest + b)
    return where(rest == 0.0, copysign(0.0, b), moved)


def floordiv(a: Any, b: Any) -> Any:
    """The whole part of a / b, that belongs to Python's remainder."""
    rest = a % b
    quotient = where(rest == b, -1.0, (a - rest) / b)  # the whole of an infinite b is left
    below = floor(quotient)
    nearest = where(quotient - below > 0.5, below + 1.0, below)
    zero = copysign(0.0, a / b)
    return where(b == 0.0, math.nan, where(quotient == 0.0, zero, nearest))


def truncated(a: Any, b: Any) -> Any:
    """C's remainder, with the sign of a, by Python's."""
    return copysign(abs(a) % abs(b), a)


def remainder(a: Any, b: Any) -> Any:
    """IEEE's remainder: of the two next to 0 the smaller, at a tie that of the even quotient."""
    size = abs(b)
    rest = fmod(abs(a), size + size)
    once = rest - size
    twice = where(once >= size - once, once - size, once)
    nearest = where(rest > size - rest, twice, rest)
    return copysign(1.0, a) * nearest
