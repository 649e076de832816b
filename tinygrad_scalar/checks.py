"""Checks of plain arguments; the messages name the argument and what it takes."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from tinygrad_scalar.numbers.precision import is_number, is_whole


def real(x: Any, what: str) -> float:
    """A number as a float; TypeError for anything else."""
    if not is_number(x) or isinstance(x, bool):
        raise TypeError(f"{what} is a number, not {type(x).__name__}")
    try:
        return float(x)
    except OverflowError:
        raise OverflowError(
            f"{what} is too large for a float: give a number below 1.8e308"
        ) from None


def numbers(xs: Any, what: str) -> list[float]:
    """Several numbers as floats; TypeError for anything else."""
    if not isinstance(xs, Iterable):
        raise TypeError(f"{what} is a list of numbers, not {type(xs).__name__}")
    return [real(x, f"{what}[{i}]") for i, x in enumerate(xs)]


def positive(x: Any, what: str) -> float:
    """A finite number above 0; ValueError otherwise."""
    number = real(x, what)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{what} is a positive number, not {x!r}")
    return number


def not_negative(x: Any, what: str) -> float:
    """A finite number of at least 0; ValueError otherwise."""
    number = real(x, what)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{what} is a number of at least 0, not {x!r}")
    return number


def fraction(x: Any, what: str) -> float:
    """A number from 0 up to 1, without 1; ValueError otherwise."""
    number = real(x, what)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{what} is at least 0 and below 1, not {x!r}")
    return number


def whole(x: Any, what: str, least: int = 1) -> int:
    """A whole number of at least 1, or another least one; TypeError or ValueError otherwise.

    NumPy's whole numbers too, as an int.
    """
    if not is_whole(x):
        raise TypeError(f"{what} is a whole number, not {type(x).__name__}")
    if x < least:
        raise ValueError(f"{what} is at least {least}, not {x}")
    return operator.index(x)
