"""Stretches of a trace that repeat the same rows in the same way, found in arrays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tinygrad_scalar.compiler.ir.reroll import Loop
from tinygrad_scalar.compiler.vm.operations import Array, Operations

FEWEST = 8  # iterations that are worth a superinstruction
LONGEST = 2048  # lines of one
ALONE = 10  # what an operation alone costs, measured in numbers handed on
_SEED = 6  # lines in a row that are looked for again
_TRIES = 32  # distances that are tried from one line
_PATIENCE = 256  # lines that are passed over at most, when nothing repeats for long


def stretches(pattern: Array) -> list[Loop]:
    """Where patterns come back at the same distance, again and again, in order."""
    count = len(pattern) - _SEED + 1
    if count <= 0:
        return []
    seeds = np.zeros(count, np.int64)
    for k in range(_SEED):
        seeds *= 0x5851F42D4C957F2D
        seeds += pattern[k : k + count]
    found: list[Loop] = []
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


def _stretch(pattern: Array, seeds: Array, place: int, behind: int) -> Loop | None:
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
    return Loop(start, period, (best - start) // period)


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
