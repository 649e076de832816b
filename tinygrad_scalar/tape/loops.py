"""Straight lines of code rolled up again: stretches that repeat the same rows become loops.

A trace unrolls every loop of the function; its derivative is as long again. Where the same rows
come back in the same order, and their operands are of the same kinds, one copy is enough: its
operands stand in the iteration itself, in the one before, or at an index that goes with the
iteration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.chunks import chunks
from tinygrad_scalar.tape.program import MARKERS_IN_ORDER, Line, Program

FEWEST, SHORTEST = 8, 256  # iterations and lines that are worth a loop
_SEED = 6  # rows in a row that are looked for again
_ENOUGH = 24  # lines at the same distance from their like that are taken for a loop
_PROBED = 64  # iterations


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

    kind: str  # "here", "before", "same", or the marker's name or "line" for an index
    lines: Sequence[int]  # the line in each iteration


def loops(program: Program, first: int) -> list[Loop]:
    """The loops in the lines from `first` on, in order. O(lines)."""
    code = program.code
    rows = [row for row, _ in code]
    seeds = list(zip(*(rows[k:] for k in range(_SEED)), strict=False))
    ends = _marker_ends(code)
    found: list[Loop] = []
    last: dict[Any, int] = {}
    period = alike = 0  # how far back the same rows stood, for how many lines now
    line = again = max(first, ends[-1])
    patience = 1
    while line < len(seeds):
        distance = line - last.get(seeds[line], line)
        last[seeds[line]] = line
        alike = alike + 1 if distance == period else 1
        period = distance
        line += 1
        if not period or alike < min(period, _ENOUGH) or line < again:
            continue
        loop = Loop(line - alike - period, period, 1)
        for most in (_PROBED, len(code)):  # so that no long stretch is looked through in vain
            if loop.iterations in (1, _PROBED):
                loop = _uniform(code, _repeated(rows, loop, most), ends)
        line = max(line, loop.stop)
        if loop.iterations >= FEWEST and loop.iterations * period >= SHORTEST:
            found.append(loop)
            last.clear()
            period, again, patience = 0, line, 1
        else:  # the longer nothing is found, the less often it is looked for
            again, patience = line + patience, min(2 * patience, SHORTEST)
    return found


def _repeated(rows: Sequence[Primitive], loop: Loop, most: int) -> Loop:
    """The loop for as many iterations as the rows come back in one go, at most so many."""
    start, period, _ = loop
    pattern, place = rows[start : start + period], start + period
    while place < start + period * most and rows[place : place + period] == pattern:
        place += period
    return Loop(start, period, (place - start) // period)


def _marker_ends(code: Sequence[Line]) -> list[int]:
    """Where inputs, parameters and constants end; they stand in front, in this order."""
    ends, line = [], 0
    for marker in MARKERS_IN_ORDER:
        while line < len(code) and code[line][0] is marker:
            line += 1
        ends.append(line)
    return ends


def _uniform(code: Sequence[Line], loop: Loop, ends: Sequence[int]) -> Loop:
    """The first iterations of the loop in which every operand is of one kind."""
    count = loop.iterations
    for place in range(loop.period):
        for lines in _operand_lines(code, loop._replace(iterations=count), place):
            kinds = [sum(line >= end for end in ends) for line in lines]
            if kinds.count(kinds[0]) != len(kinds):
                count = next(t for t, kind in enumerate(kinds) if kind != kinds[0])
    return loop._replace(iterations=count)


def _operand_lines(code: Sequence[Line], loop: Loop, place: int) -> Iterator[list[int]]:
    given = [code[line][1] for line in loop.lines(place)]
    arity = len(given[0])
    for position in range(arity):
        yield [operands[position] for operands in given]


def operands(program: Program, loop: Loop) -> list[list[Operand]]:
    """For each row of a loop where its operands come from. O(lines)."""
    ends = _marker_ends(program.code)
    return [
        [_operand(lines, loop, ends) for lines in _operand_lines(program.code, loop, place)]
        for place in range(loop.period)
    ]


def _operand(lines: Sequence[int], loop: Loop, ends: Sequence[int]) -> Operand:
    first, last = lines[0], lines[-1]
    if first == last and first < loop.start and lines.count(first) == len(lines):
        return Operand("same", lines)
    if last >= ends[-1]:
        steps = range(first, first + loop.period * loop.iterations, loop.period)
        if first >= loop.start and list(lines) == list(steps):
            return Operand("here", lines)
        earlier = loop.lines((last - loop.start) % loop.period)
        if first < loop.start <= last and list(lines[1:]) == list(earlier[: loop.iterations - 1]):
            return Operand("before", lines)
        return Operand("line", lines)
    return Operand(("input", "parameter", "constant")[sum(last >= end for end in ends)], lines)


def pieces(program: Program, found: Sequence[Loop], longest: int) -> list[range | Loop]:
    """The program in functions: loops, and what is between them cut to some hundred lines."""
    parts: list[range | Loop] = []
    line = 0
    for loop in [*found, Loop(len(program.code), 1, 0)]:
        if line < loop.start:
            parts += [
                range(line + part.start, line + part.stop)
                for part in chunks(loop.start - line, longest)
            ]
        if loop.iterations:
            parts.append(loop)
        line = loop.stop
    return parts
