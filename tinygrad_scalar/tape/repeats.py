"""A trace as arrays, and its stretches that repeat the same rows in the same way.

Large traces are looked at as a whole here, by NumPy: a list in Python costs more per line than is
to be spent on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from tinygrad_scalar import primitives
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.code import CONSTANT, MARKERS
from tinygrad_scalar.tape.program import Line

FEWEST = 8  # iterations that are worth a superinstruction
LONGEST = 2048  # lines of one
WIDEST = 32  # operands of a row that is computed at one go
ALONE = 10  # what an operation alone costs, measured in numbers handed on
_SEED = 6  # lines in a row that are looked for again
_TRIES = 32  # distances that are tried from one line
_PATIENCE = 256  # lines that are passed over at most, when nothing repeats for long
# exponents that products, quotients and roots are written for: they belong to the row
_POWERS = (0.5, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0)
_ROW, _POWER = 44, 36  # where the row begins in a pattern, and what tells rows of one name apart

Array = Any


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


def operations(code: Sequence[Line], wanted: tuple[Primitive, Sequence[int]]) -> Operations:
    """The operations of a trace; gradients are asked for markers of a kind. O(operands)."""
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
        if kind is wanted[0]:
            passive[lines[np.isin(told, wanted[1])]] = False
    return Operations(rows, row[line], line, start, operands, place, passive, markers)


def patterns(trace: Operations) -> Array:
    """A number for each operation: the same for the same row with operands of the same kinds.

    A row of more operands than `WIDEST` has a number of its own, below 0.
    """
    count = np.diff(trace.start)
    numbers = trace.row << _ROW
    wide = count > WIDEST
    which = np.flatnonzero(~wide)
    for k in range(WIDEST):
        which = which[count[which] > k]
        if not len(which):
            break
        numbers[which] += trace.passive[trace.operands[trace.start[which] + k]].astype(int) << k
    several = np.array([kind.arity is None for kind in trace.rows])[trace.row]
    numbers[several] += count[several] << _POWER
    if primitives.pow in trace.rows:
        power = np.flatnonzero(trace.row == trace.rows.index(primitives.pow))
        exponents = trace.operands[trace.start[power] + 1]
        lines, values = trace.markers.get(CONSTANT, (np.empty(0, int), np.empty(0)))
        for k, exponent in enumerate(_POWERS, start=1):
            numbers[power[np.isin(exponents, lines[values == exponent])]] += k << _POWER
    numbers[wide] = -1 - np.flatnonzero(wide)
    return numbers


def exponent_of(code: Sequence[Line], row: Primitive, operands: Sequence[int]) -> float | None:
    """The exponent that belongs to the row of an operation."""
    if row is not primitives.pow:
        return None
    kind, numbers = code[operands[1]]
    return numbers[0] if kind is CONSTANT and numbers[0] in _POWERS else None


class Stretch(NamedTuple):
    """Operations `start` to `start + period · iterations` that repeat."""

    start: int
    period: int
    iterations: int

    @property
    def stop(self) -> int:
        """The operation behind the last."""
        return self.start + self.period * self.iterations


def stretches(pattern: Array) -> list[Stretch]:
    """Where patterns come back at the same distance, again and again, in order."""
    count = len(pattern) - _SEED + 1
    if count <= 0:
        return []
    seeds = np.zeros(count, np.int64)
    for k in range(_SEED):
        seeds *= 0x5851F42D4C957F2D
        seeds += pattern[k : k + count]
    found: list[Stretch] = []
    place = behind = 0
    patience = 1
    while place < count:
        stretch = _stretch(pattern, seeds, place, behind)
        if stretch is None:
            place, patience = place + patience, min(2 * patience, _PATIENCE)
        else:
            found.append(stretch)
            place, behind, patience = stretch.stop, stretch.stop, 1
    return found


def _stretch(pattern: Array, seeds: Array, place: int, behind: int) -> Stretch | None:
    """The longest stretch around a place; it begins not before `behind`."""
    again = np.flatnonzero(seeds[place + 1 : place + 1 + LONGEST] == seeds[place])
    best, period = place, 0
    for distance in (again[:_TRIES] + 1).tolist():
        end = _alike(pattern, place, distance)
        if end - place >= FEWEST * distance and end - place > 1.5 * (best - place):
            best, period = end, distance
    if not period or pattern[place] < 0:
        return None
    start = place
    while start > behind and pattern[start - 1] == pattern[start - 1 + period]:
        start -= 1
    return Stretch(start, period, (best - start) // period)


def _alike(pattern: Array, place: int, distance: int) -> int:
    """How far the patterns from a place on are those `distance` further on."""
    size = 64
    while True:
        ahead = pattern[place + distance : place + distance + size]
        different = ahead != pattern[place : place + len(ahead)]
        if different.any():
            return place + distance + int(different.argmax())
        place += len(ahead)
        if len(ahead) < size:
            return place + distance
        size *= 2


def aligned(trace: Operations, stretch: Stretch) -> Stretch:
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
    return Stretch(start, period, (stretch.stop - start) // period)


def uniform(trace: Operations, stretch: Stretch) -> list[Stretch]:
    """The parts of a stretch whose iterations read their own operations in one and the same way."""
    _, inside = sources(trace, stretch)
    changes = np.flatnonzero((inside[1:] != inside[:-1]).any(axis=1)) + 1
    ends = [0, *changes.tolist(), stretch.iterations]
    return [
        Stretch(stretch.start + a * stretch.period, stretch.period, b - a)
        for a, b in zip(ends, ends[1:], strict=False)
        if b - a >= FEWEST
    ]


def sources(trace: Operations, stretch: Stretch) -> tuple[Array, Array]:
    """Of each iteration the lines that it reads, and which operation of its own each is, or −1."""
    flat = trace.operands[trace.start[stretch.start] : trace.start[stretch.stop]]
    read = flat.reshape(stretch.iterations, -1)
    first = np.arange(stretch.start, stretch.stop, stretch.period)[:, None]
    inside = trace.place[read] - first
    inside[inside < 0] = -1
    return read, inside
