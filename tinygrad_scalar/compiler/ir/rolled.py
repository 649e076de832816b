"""How a program with loops is written, in any language: what stands where, one copy of each loop.

A loop, or a stretch between two of them, hands numbers on in memory. Where they stand there is
planned here, for all engines that write text.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.reroll import SHORTEST, Loop, Operand, loops, operands
from tinygrad_scalar.compiler.ir.tape import HELD, MARKERS, TABLE, TAKE
from tinygrad_scalar.core.primitive import Primitive

UNCUT = 2**62  # lines: what stands between loops is one part
# Outputs that are one line, as most of a sparse Jacobian are one 0, from so many on a loop writes.
# Compilers take the square of the statements that stand one after the other, and more.
MANY = 16


class Rolled:
    """Writes one copy of the lines of a loop, with what it calls the operands of an iteration."""

    program: Program
    last_guard: int
    guarded = False  # whether there are loops in front of that
    fused = False  # whether a product and its sum are rounded once
    names: dict[Any, str]  # what a line, or a key, is called
    slots: dict[int, int]  # where lines stand in memory
    slot_count: int
    outputs: dict[int, list[int]]  # the positions of lines among the outputs
    late: set[int]  # outputs that are written at the end
    sources: dict[Loop, list[list[Operand]]]
    lanes = 1  # numbers side by side in memory
    carried: dict[tuple[int, int], str]  # (the line of the first value, a line) → its name
    carrier = ""  # how the names of those begin
    lasting = False  # whether a line between loops keeps its name to the end

    # whether one statement with an index writes all of some outputs
    _reached: Callable[[Sequence[int]], bool]
    # write the operation of a line
    _computed: Callable[[int, Primitive, Sequence[Any]], None]
    # what is read in an iteration: a constant, or what stands at an index of its own
    _fetched: Callable[[str, Sequence[Any]], str]
    # put the result of a row in memory, or give it out, at the place of its iteration
    _keep_at: Callable[[Sequence[int], int], None]
    _write_at: Callable[[Sequence[int], int], None]

    # ── the plan ──────────────────────────────────────────────────────────────────────────────
    def _parts(
        self, varying: Sequence[bool] = (), shortest: int = SHORTEST, longest: int = UNCUT
    ) -> list[Loop]:
        """Loops and what is between them, with a place in memory for all that is handed on."""
        found = loops(self.program, varying, shortest, guarded=self.guarded, fused=self.fused)
        self.sources = {loop: operands(self.program, loop, varying) for loop in found}
        self.late = self._irregular_outputs(found) | set(filter(self._repeated, self.outputs))
        parts = _pieces(self.program, found, longest)
        self._places(parts)
        return parts

    def _irregular_outputs(self, found: Sequence[Loop]) -> set[int]:
        """Lines in loops that are outputs in some iterations only, several, or out of reach yet."""
        late: set[int] = set()
        for loop in found:
            for place in range(loop.period):
                lines = [line for line in loop.lines(place) if line in self.outputs]
                positions = [position for line in lines for position in self.outputs[line]]
                single = len(lines) == len(positions) == loop.iterations
                waits = any(map(self._waits, lines))
                if lines and (waits or not (single and self._reached(positions))):
                    late.update(lines)
        return late

    def _repeated(self, line: int) -> bool:
        """Whether a line is so many outputs that a loop writes them."""
        positions = self.outputs[line]
        return len(positions) >= MANY and self._reached(positions)

    def _places(self, parts: Sequence[Loop]) -> None:
        """Places for what another part, or iteration, reads; they are used again.

        All iterations of a row stand side by side; where only the last is read, each goes over the
        one before.
        """
        last = self._last_reading(parts)
        free: dict[int, list[int]] = {}
        ending: dict[int, list[tuple[int, int]]] = {}
        for number, part in enumerate(parts):
            for size, place in ending.pop(number - 1, ()):
                free.setdefault(size, []).append(place)
            rows: Iterable[Sequence[int]] = map(part.lines, range(part.period))
            if part.iterations == 1:
                rows = [(line,) for line in range(part.start, part.stop) if line in last]
            for lines in rows:
                end = max([last.get(line, -1) for line in lines])
                if end < 0:
                    continue
                size = 1 if last.keys().isdisjoint(lines[:-1]) else len(lines)
                if not free.get(size):
                    free[size] = [self.slot_count]
                    self.slot_count += size
                place = free[size].pop()
                self.slots.update((line, place + k % size) for k, line in enumerate(lines))
                ending.setdefault(end, []).append((size, place))

    def _last_reading(self, parts: Sequence[Loop]) -> dict[int, int]:
        """For each line that is read from memory, the last part that does so."""
        code, end = self.program.code, len(parts)
        named: Container[int] = ()
        if self.lasting:
            straight = [range(part.start, part.stop) for part in parts if part not in self.sources]
            named = set(chain.from_iterable(straight))
        last: dict[int, int] = {}
        for number, part in enumerate(parts):
            last.update((line, number) for line in self._read_by(part) if line not in named)
            for operand in self._operands(part):
                if operand.kind == "line":
                    last.update(dict.fromkeys(operand.lines, number))
        last.update((line, end) for line in self.late if line not in named)
        last.update((line, end) for line in self.outputs if self._waits(line))
        elsewhere = MARKERS | HELD
        return {line: number for line, number in last.items() if code[line][0] not in elsewhere}

    def _read_by(self, part: Loop) -> Iterator[int]:
        """The lines of other parts that this one reads as they are, also as entries of a table."""
        code = self.program.code
        for row, given in code[part.start : part.start + part.period]:
            if row is TAKE and code[given[1]][0] is TABLE:
                yield from code[given[1]][1]
            if part not in self.sources and row not in MARKERS:
                yield from (k for k in given if k < part.start)
        for operand in self._operands(part):
            if operand.kind in ("same", "before"):
                yield operand.lines[0]

    def _operands(self, part: Loop) -> Iterator[Operand]:
        return (operand for row in self.sources.get(part, ()) for operand in row)

    def _waits(self, _line: int) -> bool:
        """Whether an output is written behind its own part."""
        return False

    # ── what is written ───────────────────────────────────────────────────────────────────────
    def _row(self, loop: Loop, place: int) -> None:
        """One row of a loop: its operands, the operation, and what is handed on."""
        line, lines = loop.start + place, loop.lines(place)
        row, _ = self.program.code[line]
        self._computed(line, row, [self._source(operand) for operand in self.sources[loop][place]])
        if line in self.slots:
            self._keep_at([self.slots[k] * self.lanes for k in lines], line)
        if line in self.outputs and line not in self.late:
            self._write_at([self.outputs[k][0] for k in lines], line)

    def _source(self, operand: Operand) -> Any:
        """A line here, or a key that a name is kept under."""
        lines = operand.lines
        if operand.kind in ("same", "here"):
            return lines[0]
        if operand.kind == "before":
            ends = (lines[0], lines[1])
            name = f"{self.carrier}{len(self.carried)}"
            self.names["before", ends] = self.carried.setdefault(ends, name)
            return "before", ends
        code = self.program.code
        if operand.kind == "line":
            numbers = tuple(self.slots[line] * self.lanes for line in lines)
        else:
            numbers = tuple(code[line][1][0] for line in lines)
        key = operand.kind, numbers
        if key not in self.names:
            self.names[key] = self._fetched(operand.kind, numbers)
        return key


def step_of(numbers: Sequence[int]) -> int | None:
    """The step of numbers that are in step with a counter, None for others.

    >>> step_of([3, 5, 7]), step_of([4, 4, 4]), step_of([1, 2, 4])
    (2, 0, None)
    """
    first, step = numbers[0], numbers[1] - numbers[0]
    in_step = all(number == first + step * k for k, number in enumerate(numbers))
    return step if in_step else None


def _pieces(program: Program, found: Sequence[Loop], longest: int) -> list[Loop]:
    """Loops, and what is between them in even, not too long parts, of one iteration each."""
    parts: list[Loop] = []
    line = 0
    for loop in [*found, Loop(len(program.code), 1, 0)]:
        count = -(-(loop.start - line) // longest)
        ends = [line + (loop.start - line) * k // count for k in range(count + 1)] if count else []
        parts += [Loop(a, b - a, 1) for a, b in pairwise(ends)]
        if loop.iterations:
            parts.append(loop)
        line = loop.stop
    return parts
