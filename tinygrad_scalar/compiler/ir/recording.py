"""A tape being written at a point: its numbers, its leaves, and the guards at branches.

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
import math
import sys
from collections.abc import Callable, Collection, Sequence
from types import CodeType, FrameType
from typing import Any, ClassVar, NamedTuple, NoReturn

from tinygrad_scalar.compiler.ir.tables import Lookup
from tinygrad_scalar.compiler.ir.tape import (
    COPYSIGN,
    EQ,
    GUARD,
    NE,
    Tape,
    TraceError,
    evaluated,
    ieee,
)
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.origin import close_over
from tinygrad_scalar.core.recorded import check_data
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, number

_OPERATORS = ("BINARY_OP", "UNARY_NEGATIVE", "UNARY_INVERT", "COMPARE_OP")
_TAKING = (*_OPERATORS, "CALL", "PRECALL", "KW_NAMES", "CALL_KW", "CALL_FUNCTION_KW")
# The library's own frames between an operator in a user's code and what handles it here
_BETWEEN = frozenset(
    f"tinygrad_scalar.{name}"
    for name in (
        "core.arithmetic", "core.own_rows", "core.primitive", "core.recorded", "core.ufuncs",
        "core.value", "functions", "modes.forward", "modes.tagged", "compiler.ir.lookup",
        "compiler.ir.recording", "compiler.ir.trace",
    )
)  # fmt: skip
Positions = tuple[Any, ...]
OUTSIDE = (
    "a traced value is used outside the call that traced it: return it instead of keeping it, or "
    "keep x.detach().data after an uncompiled call"
)


class Site(NamedTuple):
    """One instruction of one running call: the code, where in it, and the frame by its id."""

    code: CodeType
    offset: int
    frame: int
    goes_to: Positions | None  # the call or operator that the result is an operand of


class OnTape(Arithmetic):
    """A number that is a line of a recording."""

    # a function may set attributes of its own on a Value, and refer to it weakly
    __slots__ = ("__dict__", "__weakref__", "index", "recording")
    level = 1.5  # above Value: a closed-over Value is an operand here; below the forward modes
    made: Site | None = None  # of a comparison: see Plain

    def __init__(self, recording: Recording, index: int) -> None:
        self.recording, self.index = recording, index


class Recording:
    """A tape being written: the numbers of its point, and the leaves it closes over.

    Numbers are worked out only where a branch asks for them, in IEEE arithmetic.
    """

    # `differentiate` gives both: a gradient of a line by others, times a line; guards for what the
    # partials of a line's own row branch on
    reverse: ClassVar[Callable[[Recording, int, Sequence[int], int], list[int]]]
    branches: ClassVar[Callable[[Recording, int], None]]

    def __init__(self, point: Sequence[float] = (), decided: Collection[Any] = ()) -> None:
        # where in the code comparisons are bools, since something there looked at them closely
        self.decided = set(decided)
        self._open: set[Site] = set()  # those that nothing of this library has taken yet
        self._doubted = False  # whether something else has: then the trace is of no use
        self.tape = Tape()
        self.point = list(point)
        self.trusting = False  # in rules of this library, which see comparisons as numbers
        self.in_rule = False  # in a partial or formula, which gets plain numbers at other times
        self.numbers: list[float] = []
        self.leaves: list[Value] = []
        self.seen: list[float] = []  # what stood in the leaves when they were met
        self.found: list[tuple[Any, Any]] = []  # their data and grad, as they were found
        # id of a Value → its line, and the Value, kept so that its id stays its own
        self._lines: dict[int, tuple[int, Value]] = {}
        self.orders = 0  # of derivatives of own rows whose branches are guards of the trace
        self.judged: set[int] = set()  # lines that are gradients
        # tables by the ids of their entries: their line, and these, kept
        self.held: dict[tuple[int, ...], tuple[int, Sequence[Any]]] = {}
        self.refused: TraceError | None = None  # the first, which the function may have handled
        # a derivative inside has a policy, for which only the function itself sees kinks
        self.judges = False
        # what traced indices look up, in the function itself; None in what is written below it
        self.lookups: list[Lookup] | None = None

    def copy(self) -> Recording:
        """The same lines, to go on from: derivatives are written below the function."""
        twin = Recording(self.point, self.decided)
        twin.tape, twin.numbers = self.tape.copy(), [*self.numbers]
        twin.leaves, twin.seen, twin._lines = [*self.leaves], [*self.seen], {**self._lines}
        twin.judged = {*self.judged}
        return twin

    def cut(self, length: int, known: int) -> None:
        """Forget the lines from `length` on; only the first `known` instructions are older."""
        self.tape.cut(length, known)
        self.held.clear()
        del self.numbers[length:]
        self.judged = {line for line in self.judged if line < length}

    def taken_over(self) -> Recording:
        """What was written, for whoever goes on with it: to numbers of the trace this is over."""
        twin = Recording.__new__(Recording)
        twin.__dict__, self.__dict__ = self.__dict__, {}
        self.__class__ = Over
        return twin

    def refuse(self, why: str) -> NoReturn:
        """A TraceError, which ends the trace also where the function handles it."""
        self.refused = self.refused or TraceError(why)
        raise self.refused

    def line(self, x: Any) -> int:
        """The line of an operand: a Traced of this tape, a Value of the closure, a number."""
        if isinstance(x, OnTape):
            if x.recording is not self:
                self.refuse(OUTSIDE)
            if x.made is not None:
                self.taken(x.made)
            return x.index
        if isinstance(x, Value):
            found = self._lines.get(id(x))
            return self._closed_over(x) if found is None else found[0]
        return self.tape.constant(float(number(x)))

    def _closed_over(self, root: Value) -> int:
        """The line of a Value from outside; an inner one brings in its graph."""
        lines, tape = self._lines, self.tape
        for node in topological_order(root) if root.primitive is not None else [root]:
            if id(node) in lines:
                continue
            if node.primitive is None:
                line = tape.parameter(len(self.leaves))
                self._met(node)
            else:
                operands = tuple(
                    lines[id(x)][0] if isinstance(x, Value) else tape.constant(float(x))
                    for x in node.operands
                )
                line = tape.emit(node.primitive, operands)
            lines[id(node)] = line, node
            close_over(node)
        return lines[id(root)][0]

    def _met(self, leaf: Value) -> None:
        data, grad = leaf.data, leaf.grad
        if type(data) is not float:
            check_data(leaf, "compile")
        self.seen.append(float(data))
        self.leaves.append(leaf)
        # a traced one was written there by the function itself, before it took the leaf
        self.found.append((data, 0.0 if isinstance(grad, OnTape) else grad))

    def number(self, line: int) -> float:
        """The number of a line at the point of the trace. O(1) per line, over all calls."""
        numbers = self.numbers
        further = self.tape.code[len(numbers) : line + 1]
        evaluated(further, self.point, self.seen, ieee, numbers)
        return numbers[line]

    def knows_its_point(self) -> bool:
        """Whether there is a number for every input.

        There is none in a pattern that many lines are written by, nor in another library's trace.
        """
        return len(self.point) >= self.tape.inputs and all(map(is_number, self.point))

    def guard(self, condition: int) -> bool:
        """The outcome of a condition at this point, noted as what the trace was made for."""
        outcome = bool(self.number(condition))
        if condition not in self.tape.constants:
            self.tape.emit(GUARD, (condition, self.tape.constant(outcome)))
        return outcome

    def fixed(self, line: int) -> float:
        """The number of a line at this point, guarded to be this one, sign and all."""
        number, emit = self.number(line), self.tape.emit
        if number != number:  # noqa: PLR0124 (NaN)
            self.guard(emit(NE, (line, line)))
            return number
        self.guard(emit(EQ, (line, self.tape.constant(number))))
        if number == 0.0:
            sign = emit(COPYSIGN, (self.tape.constant(1.0), line))
            self.guard(emit(EQ, (sign, self.tape.constant(math.copysign(1.0, number)))))
        return number

    # ── comparisons ───────────────────────────────────────────────────────────────────────────
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


class Over(Recording):
    """The recording of a trace that is over, to what the function kept of it: all is refused.

    Further lines would be those of the path, and comparisons those of a point that is long gone.
    """

    def __getattr__(self, name: str) -> NoReturn:
        raise TraceError(OUTSIDE)


# ── where a comparison stands in the running code ─────────────────────────────────────────────
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
