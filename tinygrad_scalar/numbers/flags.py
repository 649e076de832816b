"""Whether a float has underflowed, as the processor notes it.

A result too small for a normal float that had to be rounded raises a flag, which stays until it is
lowered: one question answers for a million operations. The C library is looked for at the first
question. Where it, or the processor, has no such flag (WebAssembly), it is never up.
Source: IEEE 754-2019, section 7.5 (underflow).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

Question = Callable[[int], int]


@cache
def functions() -> tuple[Question, Question, int]:
    """C's `fetestexcept` and `feclearexcept`, and which flag is that of underflow; 0 if none is."""
    try:
        import ctypes

        library = ctypes.PyDLL("ucrtbase" if os.name == "nt" else None)
        raised, lower = library.fetestexcept, library.feclearexcept
    except (ImportError, OSError, AttributeError):
        return bool, bool, 0
    before, found = raised(-1), []
    for number in (sys.float_info.min, 1.0):
        lower(-1)
        _third = number / 3.0
        found.append(raised(-1))
    both, rounded = found
    underflow = both & ~rounded
    if before & underflow:
        _underflow()
    return raised, lower, underflow


def _underflow() -> float:
    return sys.float_info.min / 3.0


def underflowed() -> bool:
    """Whether the flag is up in this thread."""
    raised, _, underflow = functions()
    return raised(underflow) != 0


def lower() -> None:
    """Lower it."""
    _, lower, underflow = functions()
    lower(underflow)


def watched(action: Callable[..., Any], *args: Any) -> tuple[Any, bool]:
    """What it gives, and whether something underflowed in it; a flag that is up stays up."""
    before = underflowed()
    lower()
    result = action(*args)
    lost = underflowed()
    if before:
        _underflow()
    return result, lost
