"""What the checks raise."""

from __future__ import annotations

from typing import Any


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
