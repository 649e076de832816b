"""Where a comparison stands in the running code, and whether its outcome goes straight on.

A comparison of traced numbers may stay a condition (`where(x > 0, a, b)` is one straight line of
code) only if nobody sees that it is no bool, and `is`, `type` and `match` cannot be told. So it
stays one only as the operand of a call or of an operator in the same expression, and only if that
call or operator is one of this library's. Python tells both by the positions of instructions in
the source (PEP 657); without positions every comparison is a bool.
"""

from __future__ import annotations

import bisect
import dis
import functools
import sys
from collections.abc import Collection
from types import CodeType, FrameType
from typing import Any, NamedTuple

_OPERATORS = ("BINARY_OP", "UNARY_NEGATIVE", "UNARY_INVERT", "COMPARE_OP")
_TAKING = (*_OPERATORS, "CALL", "PRECALL", "KW_NAMES", "CALL_KW", "CALL_FUNCTION_KW")
# The library's own frames between an operator in a user's code and what handles it here
_BETWEEN = frozenset(
    f"tinygrad_scalar.{name}"
    for name in (
        "core.arithmetic", "core.own_rows", "core.primitive", "core.recorded", "core.ufuncs",
        "core.value", "functions", "modes.forward", "compiler.ir.lookup", "compiler.ir.recording",
        "compiler.ir.sites", "compiler.ir.trace",
    )
)  # fmt: skip
Positions = tuple[Any, ...]


class Site(NamedTuple):
    """One instruction of one running call: the code, where in it, and the frame by its id."""

    code: CodeType
    offset: int
    frame: int
    goes_to: Positions | None  # the call or operator that the result is an operand of


def caller() -> FrameType:
    """The frame that called into the library."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") in _BETWEEN and frame.f_back is not None:
        frame = frame.f_back
    return frame


def reached(frame: FrameType, made: Site) -> bool:
    """Whether a frame is at the call or operator that takes the result of `made`."""
    at = _instructions(frame.f_code)[_place(frame.f_code, frame.f_lasti)]
    return id(frame) == made.frame and at.positions == made.goes_to


@functools.lru_cache(maxsize=256)
def _instructions(code: CodeType) -> list[dis.Instruction]:
    return list(dis.get_instructions(code))


def _place(code: CodeType, offset: int) -> int:
    """The index of the instruction at an offset, which may point behind it, into its cache."""
    offsets = [instruction.offset for instruction in _instructions(code)]
    return bisect.bisect_right(offsets, offset) - 1


@functools.lru_cache(maxsize=4096)
def _taker(code: CodeType, offset: int) -> Positions | None:
    """The positions of the call or operator that an operator's result is an operand of, or None.

    The instructions of an expression stand behind those of its operands.
    """
    place = _place(code, offset)
    here, *later = _instructions(code)[place:]
    if here.opname not in _OPERATORS or not _known(here):
        return None
    for instruction in later:
        if _known(instruction) and _around(instruction.positions, here.positions):
            return instruction.positions if instruction.opname in _TAKING else None
    return None


def _known(instruction: dis.Instruction) -> bool:
    return instruction.positions is not None and None not in instruction.positions


def _around(outer: Any, inner: Any) -> bool:
    start = (outer.lineno, outer.col_offset) <= (inner.lineno, inner.col_offset)
    end = (outer.end_lineno, outer.end_col_offset) >= (inner.end_lineno, inner.end_col_offset)
    return start and end and outer != inner


class Comparisons:
    """The comparisons of a trace: which are bools, and which still go on as numbers."""

    def __init__(self, decided: Collection[Any]) -> None:
        # where in the code they are bools, since something there looked at them closely
        self.decided = set(decided)
        self._open: set[Site] = set()  # that nothing of this library has taken yet
        self._doubted = False  # whether something else has: then the trace is of no use

    def going_on(self) -> Site | None:
        """Where the comparison stands that is made now; None if it is a bool."""
        frame = caller()
        code, offset = frame.f_code, frame.f_lasti
        made = Site(code, offset, id(frame), _taker(code, offset))
        if made.goes_to is None or made[:2] in self.decided:
            return None
        if made in self._open:  # passed once more, and never taken
            self._doubt(made)
            return None
        self._open.add(made)
        return made

    def taken(self, made: Site) -> None:
        """Note that a comparison is taken here, from where it went straight on if all is well."""
        if reached(caller(), made):  # once or, by a rule that asks again, more often
            self._open.discard(made)
        else:
            self._doubt(made)

    def _doubt(self, made: Site) -> None:
        self._doubted = True
        self.decided.add(made[:2])

    def settled(self) -> bool:
        """Whether every comparison was taken; else `decided` has grown, for another trace."""
        settled = not self._open and not self._doubted
        self.decided.update(made[:2] for made in self._open)
        self._open, self._doubted = set(), False
        return settled
