"""Long programs cut into functions of some hundred lines, and what these hand to one another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tinygrad_scalar.tape.code import MARKERS
from tinygrad_scalar.tape.program import Program


def chunks(count: int, longest: int) -> list[range]:
    """The lines of each function, as even as can be."""
    parts = max(1, -(-count // longest))
    return [range(a, b) for a, b in pairwise([count * k // parts for k in range(parts + 1)])]


def last_chunk_reading(
    program: Program, pieces: Sequence[range], kept: Sequence[int]
) -> dict[int, int]:
    """For each line that a later function reads the last one that does; `kept` to the very end."""
    chunk_of = [k for k, piece in enumerate(pieces) for _ in piece]
    last: dict[int, int] = {}
    for line, (row, operands) in enumerate(program.code):
        if row not in MARKERS:
            here = chunk_of[line]
            for operand in operands:
                if chunk_of[operand] != here:
                    last[operand] = here
    for line in kept:
        if chunk_of[line] != len(pieces) - 1:
            last[line] = len(pieces)
    return last


def slots(
    program: Program, pieces: Sequence[range], kept: Sequence[int], first: int
) -> tuple[dict[int, int], int]:
    """A place in memory for each line handed on, and how many; places are used again. O(lines).

    What is read from outside (inputs, parameters, constants) is read again instead.
    """
    last = last_chunk_reading(program, pieces, kept)
    places: dict[int, int] = {}
    free: list[int] = []
    ending: dict[int, list[int]] = {}
    count = first
    for k, piece in enumerate(pieces):
        free += ending.pop(k - 1, [])
        for line in piece:
            if line not in last or program.code[line][0] in MARKERS:
                continue
            if not free:
                free.append(count)
                count += 1
            places[line] = free.pop()
            ending.setdefault(last[line], []).append(places[line])
    return places, count
