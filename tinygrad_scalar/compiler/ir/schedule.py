"""The order of the lines of a program for batches: sums where their terms arise, and loops fused.

Loops of as many iterations are one, where no iteration needs a later one. The gradient of a layer
is one loop over its neurons then, instead of one for each of its matrices: what an iteration
computes stays in registers, and goes through memory no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from tinygrad_scalar.compiler.ir.program import Program, last_guard, reordered
from tinygrad_scalar.compiler.ir.reroll import Loop, patterns, stretches
from tinygrad_scalar.compiler.ir.tape import ADD, MARKERS, MUL, SUB, Line

SHORTEST, LONGEST = 64, 256  # lines: of a loop that is worth it, and of an iteration at most
_TRIES = 8  # loops before one that it is tried with
_ADDITIONS = frozenset((ADD, SUB))


def scheduled(program: Program, varying: Sequence[bool] = ()) -> Program:
    """The program with its lines in that order, behind the guards. O(edges)."""
    first = max(program.markers, last_guard(program) + 1)
    program = reordered(program, _terms_at_once(program.code, first - 1))
    order = _Order(program.code)
    for loop in stretches(patterns(program.code, program.markers, varying), first, SHORTEST):
        order.add(loop)
    return reordered(program, order.lines()) if order.changed else program


def _terms_at_once(code: Sequence[Line], settled: int) -> list[int]:
    """Additions behind `settled`, and products only they use, right behind what they need."""
    uses = Counter(chain.from_iterable(given for row, given in code if row not in MARKERS))
    # a line stands behind its anchor: itself, or an earlier line that it follows at once
    anchor = list(range(len(code)))
    followers: dict[int, list[int]] = {}

    def follow(line: int, place: int) -> None:
        anchor[line] = place
        followers.setdefault(place, []).append(line)

    for line in range(settled + 1, len(code)):
        row, operands = code[line]
        if row not in _ADDITIONS:
            continue
        before, term = sorted(operands, key=anchor.__getitem__)
        if uses[term] != 1:
            continue
        place = anchor[term]
        inner, factors = code[term]
        if inner is MUL and place == term and term not in followers:
            needs = [anchor[k] for k in factors if code[k][0] not in MARKERS]
            place = max(settled, anchor[before], *needs)
            if settled < place < term:
                follow(term, place)
            else:
                place = term
        if place > settled:
            follow(line, place)
    return [
        k
        for line in range(len(code))
        if anchor[line] == line
        for k in (line, *followers.get(line, ()))
    ]


class _Order:
    """The order of the lines of a code: where each loop goes is decided one after the other."""

    def __init__(self, code: Sequence[Line]) -> None:
        self.code, self.changed = code, False
        self.groups: list[list[Loop]] = []  # loops that are one
        # for each line: the line that it stands at, and in which iteration of a group there
        self.places = [(line, 0) for line in range(len(code))]

    def add(self, loop: Loop) -> None:
        """Put a loop into the first group that it can go with, or into one of its own.

        That is the one it reads from, if there is one: it could not go with any before that.
        """
        for group in self.groups[-_TRIES:]:
            parts = _parts(loop, group[0].iterations)
            longest = sum(each.period for each in (*group, *parts))
            start = group[0].start
            if parts and longest <= LONGEST and all(self._follows(part, start) for part in parts):
                self._put(parts, start)
                group.extend(parts)
                self.changed = True
                return
        self._put([loop], loop.start)
        self.groups.append([loop])

    def _follows(self, loop: Loop, start: int) -> bool:
        """Whether each iteration has what it needs at that of a group that begins at `start`."""
        return all(
            operand >= loop.start or self.places[operand] <= (start, k)
            for k in range(loop.iterations)
            for line in range(loop.start + k * loop.period, loop.start + (k + 1) * loop.period)
            for operand in self.code[line][1]
        )

    def _put(self, loops: Sequence[Loop], start: int) -> None:
        for loop in loops:
            for line in range(loop.start, loop.stop):
                self.places[line] = start, (line - loop.start) // loop.period

    def lines(self) -> list[int]:
        """All lines in that order."""
        return sorted(range(len(self.code)), key=lambda line: (self.places[line], line))


def _parts(loop: Loop, iterations: int) -> list[Loop]:
    """The loop as several of so many iterations; none where it does not come out even."""
    size = loop.period * iterations
    starts = range(loop.start, loop.stop, size) if loop.iterations % iterations == 0 else ()
    return [Loop(start, loop.period, iterations) for start in starts]
