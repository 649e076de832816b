"""A tape being written at a point: its numbers, its leaves, and the guards at branches."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from tinygrad_scalar.compiler.ir.sites import Comparisons, Site
from tinygrad_scalar.compiler.ir.tables import Lookup
from tinygrad_scalar.compiler.ir.tape import (
    COPYSIGN,
    EQ,
    FAILS,
    HOLDS,
    INPUT,
    NE,
    PARAMETER,
    Tape,
    TraceError,
    ieee,
)
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.origin import close_over
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import number

Reverse = Callable[[Any, int, Sequence[int], int], list[int]]


class Line(Arithmetic):
    """A number that is a line of a recording."""

    # a function may set attributes of its own on a Value, and refer to it weakly
    __slots__ = ("__dict__", "__weakref__", "index", "recording")
    level = 1.5  # above Value: a closed-over Value is an operand here; below the forward modes
    made: Site | None = None  # of a comparison: see Plain

    def __init__(self, recording: Recording, index: int) -> None:
        self.recording, self.index = recording, index


class Recording(Comparisons):
    """A tape being written: the numbers of its point, and the leaves it closes over.

    Numbers are worked out only where a branch asks for them, in IEEE arithmetic.
    """

    def __init__(self, point: Sequence[float] = (), decided: Collection[Any] = ()) -> None:
        super().__init__(decided)
        self.tape = Tape()
        self.point = list(point)
        self.trusting = False  # in rules of this library, which see comparisons as numbers
        self.in_rule = False  # in a partial or formula, which gets plain numbers at other times
        self.numbers: list[float] = []
        self.leaves: list[Value] = []
        self.seen: list[float] = []  # what stood in the leaves when they were met
        # id of a Value → its line, and the Value, kept so that its id stays its own
        self._lines: dict[int, tuple[int, Value]] = {}
        # `differentiate` gives both, which are handed the recording: one that knew itself would
        # have to wait for the garbage collector. Algorithm 6.2 on its tape,
        self.reverse: Reverse | None = None
        # and noting what the partials of an own row branch on
        self.branches: Callable[[Any, int], None] | None = None
        self.judged: set[int] = set()  # lines that are gradients
        # tables by the ids of their entries: their line, and these, kept
        self.held: dict[tuple[int, ...], tuple[int, Sequence[Any]]] = {}
        self.classes: set[int] = set()  # inputs that are class indices of `cross_entropy`
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

    def refuse(self, why: str) -> NoReturn:
        """A TraceError, which ends the trace also where the function handles it."""
        self.refused = self.refused or TraceError(why)
        raise self.refused

    def line(self, x: Any) -> int:
        """The line of an operand: a Traced of this tape, a Value of the closure, a number."""
        if isinstance(x, Line):
            if x.recording is not self:
                self.refuse(
                    "a traced value is used outside the call that traced it: return it instead of "
                    "keeping it, or keep x.detach().data after an uncompiled call"
                )
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
                self.leaves.append(node)
                self.seen.append(float(node.data))
            else:
                operands = tuple(
                    lines[id(x)][0] if isinstance(x, Value) else tape.constant(float(x))
                    for x in node.operands
                )
                line = tape.emit(node.primitive, operands)
            lines[id(node)] = line, node
            close_over(node)
        return lines[id(root)][0]

    def number(self, line: int) -> float:
        """The number of a line at the point of the trace. O(1) per line, over all calls."""
        numbers, code = self.numbers, self.tape.code
        for row, operands in code[len(numbers) : line + 1]:
            if row is INPUT:  # behind a point stand tangents, on which nothing branches
                behind = self.point and operands[0] >= len(self.point)
                numbers.append(math.nan if behind else self.point[operands[0]])
            elif row is PARAMETER:
                numbers.append(self.seen[operands[0]])
            elif len(numbers) in self.tape.constants:
                numbers.append(operands[0])
            else:
                numbers.append(ieee(row, [numbers[i] for i in operands]))
        return numbers[line]

    def guard(self, condition: int) -> bool:
        """The outcome of a condition at this point, noted as what the trace was made for."""
        outcome = bool(self.number(condition))
        if condition not in self.tape.constants:
            self.tape.emit(HOLDS if outcome else FAILS, (condition,))
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
