"""Straight lines of code rolled up again: stretches that repeat the same rows become loops.

A trace unrolls every loop of the function; its derivative is as long again. Where the same rows
come back in the same order, and their operands are of the same kinds, one copy is enough: its
operands stand in the iteration itself, in the one before, or at an index that goes with the
iteration.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import ADD, HELD, INPUT, MARKERS, MUL, NEG, SUB, Line

FEWEST, SHORTEST = 8, 256  # iterations and lines that are worth a loop
SHORT = 64  # lines that are worth one where many points go through it
_SEED = 6  # lines in a row that are looked for again
_TRIES = 32  # distances that are tried from one line
_PARTS = 4  # of a loop whose iterations are not all alike
_PATIENCE = 256  # lines that are passed over at most, when nothing repeats for long


class Loop(NamedTuple):
    """Lines `start` to `start + period · iterations`: the same rows again and again."""

    start: int
    period: int
    iterations: int

    @property
    def size(self) -> int:
        """How many lines there are in all iterations."""
        return self.period * self.iterations

    @property
    def stop(self) -> int:
        """The line behind the last."""
        return self.start + self.size

    def lines(self, place: int) -> range:
        """The lines of one row of the loop, one per iteration."""
        return range(self.start + place, self.stop, self.period)


class Operand(NamedTuple):
    """Where one operand of a row of a loop comes from."""

    kind: str  # "here", "before", "same", or what is read at an index: see `kind_of`
    lines: Sequence[int]  # the line in each iteration


def loops(
    program: Program,
    varying: Sequence[bool] = (),
    shortest: int = SHORTEST,
    *,
    guarded: bool = True,
    fused: bool = False,
) -> list[Loop]:
    """The loops of at least so many lines, in order. O(edges).

    None goes over the last guard; those in front of it are `guarded`. Where a product and its sum
    are `fused`, rounded once, loops shorter than `SHORTEST` stand between longer ones, and part
    none of these.
    """
    code, first, least = program.code, program.markers, SHORTEST if fused else shortest
    kinds, behind = patterns(code, first, varying), max(first, program.last_guard + 1)
    found = stretches(kinds[:behind], first, least, code=code) if guarded else []
    found += stretches(kinds, behind, least, code=code)
    found = [part for loop in found for part in _alike_throughout(code, loop, least)]
    if shortest >= least:
        return found
    borders = first if guarded else behind, behind, len(code)
    ends = sorted([*found, *(Loop(line, 1, 0) for line in borders)])
    short = [
        loop._replace(start=before.stop + loop.start)
        for before, after in pairwise(ends)
        for loop in stretches(kinds[before.stop : after.start], 0, shortest)
    ]
    short = [part for loop in short for part in _alike_throughout(code, loop, shortest)]
    parting = _parting(code, sorted([*found, *short])) if short else ()
    return sorted([*found, *(loop for loop in short if loop not in parting)])


def _parting(code: Sequence[Line], found: Sequence[Loop]) -> set[Loop]:
    """The loops that begin or end, or go on to the next iteration, between a product and a sum."""
    blocks: list[int] = []  # of each line: an iteration, or a stretch between two loops
    nothing = Loop(len(code), 1, 0)
    loops: list[Loop] = []  # of each block
    for loop in [*found, nothing]:
        blocks += [len(loops)] * (loop.start - len(blocks))
        loops.append(nothing)
        for _ in range(loop.iterations):
            blocks += [len(loops)] * loop.period
            loops.append(loop)
    parting = set[Loop]()
    for line, (row, operands) in enumerate(code):
        if row is ADD or row is SUB:
            for k in operands:
                term = code[k][1][0] if code[k][0] is NEG else k
                if blocks[term] != blocks[line] and code[term][0] is MUL:
                    parting.update(loops[blocks[term] : blocks[line] + 1])
    return parting


def operands_written(program: Program) -> int:
    """How many operands its lines have where those of a loop are written once. O(edges)."""
    counts = [len(operands) for _, operands in program.code]
    rolled = loops(program)
    again = (sum(counts[loop.start + loop.period : loop.stop]) for loop in rolled)
    return sum(counts) - sum(again)


def _alike_throughout(code: Sequence[Line], loop: Loop, shortest: int) -> list[Loop]:
    """The loop in parts, each of which reads its own numbers in one and the same way.

    What is computed in the iteration itself, or the one before, need not go through memory then.
    It stays as it is if there would be many parts, or much left that is too short for a loop.
    """
    parts, rest = list[Loop](), loop
    while rest.iterations and len(parts) < _PARTS:
        count = _alike_for(code, rest)
        parts.append(rest._replace(iterations=count))
        rest = Loop(parts[-1].stop, rest.period, rest.iterations - count)
    kept = [part for part in parts if part.iterations >= FEWEST and part.size >= shortest]
    left = loop.size - sum(part.size for part in kept)
    return kept if left <= max(2 * loop.period, shortest) else [loop]


def _alike_for(code: Sequence[Line], loop: Loop) -> int:
    """For how many iterations from the first on all read their own numbers alike."""
    period = loop.period

    def near(k: int, behind: int = period) -> list[int]:
        """Where operands stand in the iteration, or a little before it."""
        start = loop.start + k * period
        lines = (line for _, given in code[start : start + period] for line in given)
        return [max(line - start, -1 - behind) for line in lines]

    if loop.iterations == 1 or near(0, 0) != near(1, 0):
        return 1
    second = near(1)
    if near(loop.iterations - 1) == second:
        return loop.iterations
    return next(k for k in range(2, loop.iterations) if near(k) != second)


def stretches(
    patterns: Sequence[int],
    first: int = 0,
    shortest: int = 0,
    longest: int | None = None,
    code: Sequence[Line] = (),
) -> list[Loop]:
    """Where patterns come back at the same distance again and again, in order, none twice.

    Of at least `shortest` lines in all and at most `longest` in an iteration. O(len(patterns)).
    With the code of the lines a loop begins behind those that only look like its iterations.
    """
    seeds = list(map(hash, zip(*(patterns[k:] for k in range(_SEED)), strict=False)))
    places = defaultdict[int, list[int]](list)
    for place, seed in enumerate(seeds[first:], first):
        places[seed].append(place)
    found: list[Loop] = []
    place = behind = first
    patience = 1
    while place < len(seeds):
        again = places[seeds[place]]
        nearest = bisect_right(again, place)
        distances = [other - place for other in again[nearest : nearest + _TRIES]]
        if longest is not None:
            distances = distances[: bisect_right(distances, longest)]
        loop = _around(patterns, place, behind, distances, code)
        if loop is None or loop.size < shortest:
            place, patience = place + patience, min(2 * patience, _PATIENCE)
        else:
            found.append(loop)
            place, behind, patience = loop.stop, loop.stop, 1
    return found


def _around(
    patterns: Sequence[int], place: int, behind: int, distances: Sequence[int], code: Sequence[Line]
) -> Loop | None:
    """The longest stretch around a place; it begins not before `behind`."""
    stop, period, seed = place, 0, patterns[place : place + _SEED]
    for distance in distances:
        if period and distance % period == 0 and place + distance <= stop:
            continue  # several periods end where one does
        once_more = place + 2 * distance
        if patterns[once_more : once_more + _SEED] != seed:
            continue
        end = _alike(patterns, place, distance)
        if end - place >= FEWEST * distance and end - place > 1.5 * (stop - place):
            stop, period = end, distance
    if not period:
        return None
    start = place
    while start > behind and patterns[start - 1] == patterns[start - 1 + period]:
        start -= 1
    while code and (stop - start) % period and _stands_apart(code, start, period):
        start += 1
    return Loop(start, period, (stop - start) // period)


def _stands_apart(code: Sequence[Line], place: int, period: int) -> bool:
    """Whether a line reads another one where the next two iterations read one and the same."""
    reads = (code[k][1] for k in (place, place + period, place + 2 * period))
    return any(b == c != a for a, b, c in zip(*reads, strict=True))


def _alike(patterns: Sequence[int], place: int, distance: int) -> int:
    """Up to where the patterns from a place on are those `distance` before."""
    size = 64
    while True:
        ahead = patterns[place + distance : place + distance + size]
        here = patterns[place : place + len(ahead)]
        if here != ahead:
            pairs = enumerate(zip(here, ahead, strict=True))
            return place + distance + next(k for k, (a, b) in pairs if a != b)
        place += len(ahead)
        if len(ahead) < size:
            return place + distance
        size *= 2


def kind_of(line: Line, varying: Sequence[bool]) -> str:
    """What reading a line means: "line", a marker's name, "column" for an input of each point."""
    row, operands = line
    if row not in MARKERS:
        return "line"
    return "column" if row is INPUT and varying and varying[operands[0]] else row.name


def patterns(code: Sequence[Line], markers: int, varying: Sequence[bool]) -> list[int]:
    """A number for each line: the same for the same row with operands of the same kinds.

    Of what is held in memory there is one, which all iterations read.
    """
    kinds = [kind_of(line, varying) for line in code[:markers]] + ["line"] * (len(code) - markers)
    numbers: dict[Any, int] = {}
    number = numbers.setdefault
    patterns = [0] * markers
    for line, (row, operands) in enumerate(code[markers:], markers):
        if row in HELD:
            kinds[line] = f"line {line}"
            patterns.append(-line)
        elif len(operands) == 2:  # most have two
            a, b = operands
            patterns.append(number((row, kinds[a], kinds[b]), len(numbers)))
        else:
            patterns.append(number((row, *[kinds[k] for k in operands]), len(numbers)))
    return patterns


def operands(program: Program, loop: Loop, varying: Sequence[bool] = ()) -> list[list[Operand]]:
    """For each row of a loop where its operands come from. O(edges)."""
    code = program.code
    return [
        [
            _operand(lines, loop, kind_of(code[lines[0]], varying))
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
