"""The order of the lines of a program for batches: sums where their terms arise, and loops fused.

Loops of as many iterations are one, where no iteration needs a later one. The gradient of a layer
is one loop over its neurons then, instead of one for each of its matrices: what an iteration
computes stays in registers, and goes through memory no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain

from tinygrad_scalar.compiler.ir.program import Program, reordered
from tinygrad_scalar.compiler.ir.reroll import SHORT, Loop, patterns, stretches
from tinygrad_scalar.compiler.ir.tape import ADD, MUL, SUB, Line

LONGEST = 256  # lines of an iteration at most
_TRIES = 8  # loops before one that it is tried with
_ADDITIONS = frozenset((ADD, SUB))


def scheduled(program: Program, varying: Sequence[bool] = ()) -> Program:
    """The program with its lines in that order, behind the guards. O(edges)."""
    code, markers = program.code, program.markers
    first = max(markers, program.last_guard + 1)
    lines = _terms_at_once(code, markers, first - 1)
    kinds = patterns(code, markers, varying)
    order = _Order(code, lines)
    ordered = [code[line] for line in lines]
    for loop in stretches([kinds[line] for line in lines], first, SHORT, code=ordered):
        order.add(loop)
    return reordered(program, order.lines())


def _terms_at_once(code: Sequence[Line], markers: int, settled: int) -> list[int]:
    """Additions behind `settled`, and products only they use, right behind what they need."""
    uses = Counter(chain.from_iterable([given for _, given in code[markers:]]))
    # a line stands behind its anchor: itself, or an earlier line that it follows at once
    anchor = list(range(len(code)))
    followers = defaultdict[int, list[int]](list)

    def follow(line: int, place: int) -> None:
        anchor[line] = place
        followers[place].append(line)

    for line in range(settled + 1, len(code)):
        row, operands = code[line]
        if row not in _ADDITIONS:
            continue
        before, term = operands
        if anchor[before] > anchor[term]:
            before, term = term, before
        if uses[term] != 1:
            continue
        place = anchor[term]
        inner, factors = code[term]
        if inner is MUL and place == term and term not in followers:
            a, b = factors
            place = max(settled, anchor[before], anchor[a], anchor[b])
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
    """An order of the lines of a code: where each loop goes is decided one after the other.

    Loops are those of the order that it begins with.
    """

    def __init__(self, code: Sequence[Line], order: Sequence[int]) -> None:
        self.code, self.order = code, order
        self.groups: list[list[Loop]] = []  # loops that are one
        # for each line: where it stood at the beginning
        self.before = sorted(range(len(order)), key=order.__getitem__)
        # for each place there: the one that it goes to, and in which iteration of a group there,
        # as one number
        self.places = [k * len(order) for k in range(len(order))]

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
                return
        self._put([loop], loop.start)
        self.groups.append([loop])

    def _follows(self, loop: Loop, start: int) -> bool:
        """Whether each iteration has what it needs at that of a group that begins at `start`."""
        size = len(self.order)
        for k in range(loop.iterations):
            for place in range(loop.start + k * loop.period, loop.start + (k + 1) * loop.period):
                for operand in self.code[self.order[place]][1]:
                    needed = self.before[operand]
                    if needed < loop.start and self.places[needed] > start * size + k:
                        return False
        return True

    def _put(self, loops: Sequence[Loop], start: int) -> None:
        size = len(self.order)
        for loop in loops:
            for place in range(loop.start, loop.stop):
                self.places[place] = start * size + (place - loop.start) // loop.period

    def lines(self) -> list[int]:
        """All lines in that order."""
        places = sorted(range(len(self.order)), key=self.places.__getitem__)
        return [self.order[place] for place in places]


def _parts(loop: Loop, iterations: int) -> list[Loop]:
    """The loop as several of so many iterations; none where it does not come out even."""
    size = loop.period * iterations
    starts = range(loop.start, loop.stop, size) if loop.iterations % iterations == 0 else ()
    return [Loop(start, loop.period, iterations) for start in starts]
