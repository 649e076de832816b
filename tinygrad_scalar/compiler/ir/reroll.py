"""Straight lines of code rolled up again: stretches that repeat the same rows become loops.

A trace unrolls every loop of the function; its derivative is as long again. Where the same rows
come back in the same order, and their operands are of the same kinds, one copy is enough: its
operands stand in the iteration itself, in the one before, or at an index that goes with the
iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.memory import HELD
from tinygrad_scalar.compiler.ir.program import Line, Program
from tinygrad_scalar.compiler.ir.tape import INPUT, MARKERS

FEWEST, SHORTEST = 8, 256  # iterations and lines that are worth a loop
_SEED = 6  # lines in a row that are looked for again
_ENOUGH = 24  # lines at the same distance from their like that are taken for a loop


class Loop(NamedTuple):
    """Lines `start` to `start + period · iterations`: the same rows again and again."""

    start: int
    period: int
    iterations: int

    @property
    def stop(self) -> int:
        """The line behind the last."""
        return self.start + self.period * self.iterations

    def lines(self, place: int) -> range:
        """The lines of one row of the loop, one per iteration."""
        return range(self.start + place, self.stop, self.period)


class Operand(NamedTuple):
    """Where one operand of a row of a loop comes from."""

    kind: str  # "here", "before", "same", or what is read at an index: see `_kind`
    lines: Sequence[int]  # the line in each iteration


def loops(
    program: Program, first: int, varying: Sequence[bool] = (), shortest: int = SHORTEST
) -> list[Loop]:
    """The loops of at least so many lines, from the line `first` on, in order. O(edges)."""
    patterns = _patterns(program.code, program.markers, varying)
    seeds = list(zip(*(patterns[k:] for k in range(_SEED)), strict=False))
    found: list[Loop] = []
    last: dict[Any, int] = {}
    period = alike = 0  # how far back the same lines stood, for how many lines now
    line = again = max(first, program.markers)
    patience = 1
    while line < len(seeds):
        seed = seeds[line]
        distance = line - last.get(seed, line)
        last[seed] = line
        alike = alike + 1 if distance == period else 1
        period = distance
        line += 1
        if not period or alike < min(period, _ENOUGH) or line < again:
            continue
        loop = _repeated(patterns, line - alike - period, period)
        line = max(line, loop.stop)
        if loop.iterations >= FEWEST and loop.iterations * period >= shortest:
            found.append(loop)
            last.clear()
            period, again, patience = 0, line, 1
        else:  # the longer nothing is found, the less often it is looked for
            again, patience = line + patience, min(2 * patience, SHORTEST)
    return found


def _kind(line: Line, varying: Sequence[bool]) -> str:
    """What reading a line means: "line", a marker's name, "column" for an input of each point."""
    row, operands = line
    if row not in MARKERS:
        return "line"
    return "column" if row is INPUT and varying and varying[operands[0]] else row.name


def _patterns(code: Sequence[Line], markers: int, varying: Sequence[bool]) -> list[int]:
    """A number for each line: the same for the same row with operands of the same kinds.

    Of what is held in memory there is one, which all iterations read.
    """
    kinds = [_kind(line, varying) for line in code[:markers]] + ["line"] * (len(code) - markers)
    numbers: dict[Any, int] = {}
    number = numbers.setdefault
    patterns = [0] * markers
    for line, (row, operands) in enumerate(code[markers:], markers):
        if row in HELD:
            kinds[line] = f"line {line}"
            patterns.append(-line)
        elif len(operands) == 2:  # most lines, so at once
            a, b = operands
            patterns.append(number((row, kinds[a], kinds[b]), len(numbers)))
        else:
            patterns.append(number((row, *[kinds[k] for k in operands]), len(numbers)))
    return patterns


def _repeated(patterns: Sequence[int], start: int, period: int) -> Loop:
    """The loop from `start` on, for as many iterations as its lines come back in one go."""
    once, place = patterns[start : start + period], start + period
    while patterns[place : place + period] == once:
        place += period
    return Loop(start, period, (place - start) // period)


def operands(program: Program, loop: Loop, varying: Sequence[bool] = ()) -> list[list[Operand]]:
    """For each row of a loop where its operands come from. O(edges)."""
    code = program.code
    return [
        [
            _operand(lines, loop, _kind(code[lines[0]], varying))
            for lines in zip(*(code[line][1] for line in loop.lines(place)), strict=True)
        ]
        for place in range(loop.period)
    ]


def _operand(lines: Sequence[int], loop: Loop, kind: str) -> Operand:
    first, last = lines[0], lines[-1]
    if first < loop.start and lines.count(first) == len(lines):
        return Operand("same", lines)
    if kind == "line":
        if first >= loop.start and lines == tuple(loop.lines(first - loop.start)):
            return Operand("here", lines)
        earlier = loop.lines((last - loop.start) % loop.period)
        if first < loop.start <= last and lines[1:] == tuple(earlier[:-1]):
            return Operand("before", lines)
    return Operand(kind, lines)


class Rolled:
    """Writes one copy of the lines of a loop: what it calls the operands of an iteration."""

    program: Program
    names: dict[Any, str]  # what a line, or a key, is called
    slots: dict[int, int]  # where lines stand in memory
    lanes = 1  # numbers side by side there
    carried: dict[tuple[int, int], str]  # (the line of the first value, a line) → its name
    carrier = ""  # how the names of those begin

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

    def _fetched(self, kind: str, numbers: Sequence[Any]) -> str:
        """What is read in an iteration: a constant, or what stands at an index of its own."""
        raise NotImplementedError


def step_of(numbers: Sequence[int]) -> int | None:
    """The step of numbers that are in step with a counter, None for others.

    >>> step_of([3, 5, 7]), step_of([4, 4, 4]), step_of([1, 2, 4])
    (2, 0, None)
    """
    first, step = numbers[0], numbers[1] - numbers[0]
    in_step = all(number == first + step * k for k, number in enumerate(numbers))
    return step if in_step else None


def pieces(program: Program, found: Sequence[Loop], longest: int) -> list[range | Loop]:
    """The program in functions: loops, and what is between them in even, not too long parts."""
    parts: list[range | Loop] = []
    line = 0
    for loop in [*found, Loop(len(program.code), 1, 0)]:
        count = -(-(loop.start - line) // longest)
        ends = [line + (loop.start - line) * k // count for k in range(count + 1)] if count else []
        parts += [range(a, b) for a, b in pairwise(ends)]
        if loop.iterations:
            parts.append(loop)
        line = loop.stop
    return parts
