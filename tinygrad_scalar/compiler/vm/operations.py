"""A trace as arrays: its operations, a number for each pattern of them, and where numbers stand.

Large traces are looked at as a whole, by NumPy: a list in Python costs more per line than is to be
spent on it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain, compress, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.lower import alone, has_template, made_once
from tinygrad_scalar.compiler.ir.reroll import FEWEST, Loop
from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    DIV,
    DOT,
    GUARD,
    HELD,
    INPUT,
    MARKERS,
    PARAMETER,
    POW,
    SQRT,
    Line,
)
from tinygrad_scalar.compiler.llvm.builder import LIBRARY, NATIVE
from tinygrad_scalar.core.primitive import Primitive

ALONE = 10  # what an operation alone costs, measured in numbers handed on
WIDEST = 32  # operands of a row that is computed at one go
LONG = 8  # products of a sum of them that is worth an instruction of its own
_INLINE = NATIVE - LIBRARY.keys() - {DIV, SQRT} | MARKERS  # what machine code does at once
NOTHING = -1  # behind all lines: what a dot product begins with
_ROW, _LENGTH = 44, 36  # bits of a pattern: from here the row, from here its length

Array = Any
Wanted = Sequence[int]  # which numbers that come in: the inputs, and then the parameters


class Operations(NamedTuple):
    """The lines of a trace that compute something, one after the other, as arrays."""

    rows: list[Primitive]  # the rows that occur
    row: Array  # which of them each operation is
    line: Array  # its line in the trace
    start: Array  # where its operands begin in `operands`, and where the last one's end
    operands: Array  # lines
    place: Array  # of each line of the trace: the operation, −1 for a marker
    passive: Array  # of each line: a marker that no gradient is asked for
    markers: dict[Primitive, tuple[Array, Array]]  # their lines, and what they say


def operations(code: Sequence[Line], wanted: Wanted, inputs: int) -> Operations:
    """The operations of a trace with so many inputs; gradients are asked for some. O(operands)."""
    kinds = list(map(itemgetter(0), code))
    numbers = {kind: k for k, kind in enumerate(dict.fromkeys(kinds))}
    rows = list(numbers)
    row = np.fromiter(map(numbers.__getitem__, kinds), np.int64, len(code))
    computed = np.array([kind not in MARKERS for kind in rows], bool)[row]
    line = np.flatnonzero(computed)
    arity = np.array([-1 if kind.arity is None else kind.arity for kind in rows], int)
    count = arity[row[line]]
    several = np.flatnonzero(count < 0)
    count[several] = [len(code[k][1]) for k in line[several].tolist()]
    start = np.zeros(len(line) + 1, np.int64)
    np.cumsum(count, out=start[1:])
    given = map(itemgetter(1), compress(code, computed.tobytes()))
    operands = np.fromiter(chain.from_iterable(given), np.int64, int(start[-1]))
    place = np.full(len(code), -1)
    place[line] = np.arange(len(line))
    passive = ~computed
    markers = {}
    for kind in MARKERS.intersection(rows):
        lines = np.flatnonzero(row == numbers[kind])
        told = np.array([code[k][1][0] for k in lines.tolist()])
        markers[kind] = lines, told
        if kind is not CONSTANT:
            own = told + (inputs if kind is PARAMETER else 0)
            passive[lines[np.isin(own, wanted)]] = False
    return Operations(rows, row[line], line, start, operands, place, passive, markers)


def patterns(trace: Operations) -> Array:
    """A number for each operation: the same for the same row with operands of the same kinds.

    A row of more operands than `WIDEST`, a long dot product, and what is held in memory have one of
    their own, below 0.
    """
    count = np.diff(trace.start)
    numbers = trace.row << _ROW
    wide = (count > WIDEST) | np.array([kind in HELD for kind in trace.rows])[trace.row]
    wide |= np.array([kind is DOT for kind in trace.rows])[trace.row] & (count >= 2 * LONG)
    which = np.flatnonzero(~wide)
    for k in range(WIDEST):
        which = which[count[which] > k]
        if not len(which):
            break
        numbers[which] += trace.passive[trace.operands[trace.start[which] + k]].astype(int) << k
    several = np.array([kind.arity is None for kind in trace.rows])[trace.row]
    numbers[several] += count[several] << _LENGTH
    numbers[wide] = -1 - np.flatnonzero(wide)
    return numbers


def quick(row: Primitive) -> bool:
    """Whether it is worked out again sooner than its result is read from memory: by no call."""
    return made_once(row, "quick", functools.partial(_quick, row))  # type: ignore[no-any-return]


def _quick(row: Primitive) -> bool:
    if row is POW:  # mostly by a number for which it is a few products
        return True
    if row.arity is None or not (row in NATIVE or has_template(row)):
        return False
    return all(each in _INLINE for each, _ in alone(row, NATIVE).code)


class Cells:
    """The inputs, the parameters, the constants, and then what operations hand on.

    What only its own iteration of a run reads has no cell, unless there is a way back which had
    better read it than work it out again; an operation outside of `runs` has one.
    """

    def __init__(
        self,
        trace: Operations,
        runs: Sequence[Loop],
        outputs: Sequence[int],
        backwards: bool,
        sizes: tuple[int, int],
        chains: Sequence[Array],
    ) -> None:
        self.read = _read(trace, runs, outputs, chains)
        if backwards:
            self.read |= np.array([not quick(row) for row in trace.rows])[trace.row]
        self.of_line = np.zeros(len(trace.place) + 1, np.int64)
        self.count = sum(sizes)
        for kind, base in ((INPUT, 0), (PARAMETER, sizes[0])):
            if kind in trace.markers:
                lines, positions = trace.markers[kind]
                self.of_line[lines] = positions.astype(int) + base
        lines, told = trace.markers.get(CONSTANT, (np.empty(0, int), np.empty(0)))
        self.constants = told
        self.of_line[lines] = self.fresh(len(lines))
        if DOT in trace.rows:
            self.constants = np.append(told, -0.0)
            self.of_line[NOTHING] = self.fresh(1)[0]
        lines = trace.line[self.read]
        self.of_line[lines] = self.fresh(len(lines))

    def fresh(self, count: int) -> Array:
        """So many further cells."""
        self.count += count
        return np.arange(self.count - count, self.count)


def _read(
    trace: Operations, runs: Sequence[Loop], outputs: Sequence[int], chains: Sequence[Array]
) -> Array:
    """Which operations others read; in a run all iterations are alike in that.

    Of a chain, a row of operations, only the last is read.
    """
    read = np.array([row is not GUARD for row in trace.rows])[trace.row]
    unit = np.arange(len(read))  # the first operation of the iteration
    for run in runs:
        read[run.start : run.stop] = False
        first = np.arange(run.start, run.stop, run.period)
        unit[run.start : run.stop] = np.repeat(first, run.period)
    for rows in chains:
        read[rows[:, :-1]] = False
        unit[rows] = rows[:, -1:]
    reader = np.repeat(unit, np.diff(trace.start))
    producer = trace.place[trace.operands]
    read[producer[(producer >= 0) & (unit[producer] != reader)]] = True
    places = trace.place[np.asarray(outputs, int)]
    read[places[places >= 0]] = True
    for run in runs:
        part = read[run.start : run.stop].reshape(-1, run.period)
        part[:] = part.any(axis=0)
    return read


# ── where superinstructions begin ─────────────────────────────────────────────────────────────
def aligned(trace: Operations, stretch: Loop) -> Loop:
    """The stretch, begun where the fewest numbers go over from one iteration to the next."""
    period = stretch.period
    a = stretch.start + period * (stretch.iterations // 2 - 1)
    b = a + 3 * period
    read = trace.operands[trace.start[a] : trace.start[b]]
    reader = np.repeat(np.arange(3 * period), np.diff(trace.start[a : b + 1]))
    producer = trace.place[read] - a
    near = producer >= 0
    last = np.arange(3 * period)
    np.maximum.at(last, producer[near], reader[near])
    change = np.zeros(3 * period + 2, int)
    change[1 : 3 * period + 1] += 1  # a number is under way behind its operation,
    np.subtract.at(change, last + 1, 1)  # up to the last that reads it
    crossing = np.cumsum(change)[period : 2 * period]
    shift = int(crossing.argmin())
    if (crossing[0] - crossing[shift]) * stretch.iterations <= ALONE * period:
        return stretch  # less is gained than what then stands alone costs
    start = stretch.start + shift
    return Loop(start, period, (stretch.stop - start) // period)


def uniform(trace: Operations, stretch: Loop) -> list[Loop]:
    """The parts of a stretch whose iterations read their own operations in one and the same way."""
    _, inside = sources(trace, stretch)
    changes = np.flatnonzero((inside[1:] != inside[:-1]).any(axis=1)) + 1
    ends = [0, *changes.tolist(), stretch.iterations]
    return [
        Loop(stretch.start + a * stretch.period, stretch.period, b - a)
        for a, b in pairwise(ends)
        if b - a >= FEWEST
    ]


def sources(trace: Operations, stretch: Loop) -> tuple[Array, Array]:
    """Of each iteration the lines that it reads, and which operation of its own each is, or −1."""
    flat = trace.operands[trace.start[stretch.start] : trace.start[stretch.stop]]
    read = flat.reshape(stretch.iterations, -1)
    first = np.arange(stretch.start, stretch.stop, stretch.period)[:, None]
    inside = trace.place[read] - first
    inside[inside < 0] = -1
    return read, inside
