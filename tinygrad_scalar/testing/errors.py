"""What the checks raise."""

from __future__ import annotations

import math
from typing import Any

from tinygrad_scalar.numbers.precision import is_number


class GradientError(AssertionError):
    """A derivative is wrong, or could not be checked; the message tells what and where.

    `node` is the first node whose local derivative disagrees, if one was found.
    """

    def __init__(self, message: str, node: Any = None) -> None:
        super().__init__(message)
        self.node = node


class UncheckableError(GradientError, TypeError, ValueError):
    """A function that has no derivative to check: no number comes out, or not always the same one.

    Both a TypeError and a ValueError, so that whichever a caller expects is there.
    """


class OutsideDomainError(UncheckableError):
    """A point where the function has no value."""


def check_tolerance(rtol: Any, caller: str) -> None:
    """ValueError unless this is a relative tolerance: nothing, or everything, would pass."""
    if not is_number(rtol) or not 0 <= rtol < math.inf:
        raise ValueError(f"{caller}: rtol is a finite number of at least 0, not {rtol!r}")
