"""The order of a program's lines: what guards need comes first, sums grow where their terms arise.

Behind the last guard it is known which points count, and results can be added up at once. A sum
written after all of its terms would keep every one of them waiting, in memory. No operation
changes, nor the operands of one: only when it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinygrad_scalar.compiler.ir.program import Line, Program, needed
from tinygrad_scalar.compiler.ir.tape import ADD, GUARDS, MARKERS, MUL, SUB

_ADDITIONS = frozenset((ADD, SUB))


def scheduled(program: Program) -> Program:
    """The program with its lines in that order. O(lines)."""
    if program.guards:
        program = _reordered(program, _guards_first(program.code))
    settled = max(program.markers - 1, last_guard(program))
    return _reordered(program, _terms_at_once(program.code, settled))


def last_guard(program: Program) -> int:
    """The last line that is a guard, −1 if there is none."""
    code = program.code
    return next((k for k in range(len(code) - 1, -1, -1) if code[k][0] in GUARDS), -1)


def _guards_first(code: Sequence[Line]) -> list[int]:
    first = set(needed(code, ()))
    return sorted(
        range(len(code)), key=lambda line: code[line][0] not in MARKERS and line not in first
    )


def _terms_at_once(code: Sequence[Line], settled: int) -> list[int]:
    """Additions behind `settled`, and products only they use, right behind what they need."""
    uses = [0] * len(code)
    for row, operands in code:
        if row not in MARKERS:
            for operand in operands:
                uses[operand] += 1
    # a line stands behind its anchor: itself, or an earlier line that it follows at once
    anchor = list(range(len(code)))
    followers: dict[int, list[int]] = {}
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
                anchor[term] = place
                followers.setdefault(place, []).append(term)
            else:
                place = term
        if place > settled:
            anchor[line] = place
            followers.setdefault(place, []).append(line)
    return [
        k
        for line in range(len(code))
        if anchor[line] == line
        for k in (line, *followers.get(line, ()))
    ]


def _reordered(program: Program, order: Sequence[int]) -> Program:
    places = [0] * len(order)
    for place, line in enumerate(order):
        places[line] = place
    code: list[Line] = []
    for line in order:
        row, operands = program.code[line]
        code.append((row, operands if row in MARKERS else tuple([places[k] for k in operands])))
    return replace(
        program,
        code=code,
        outputs=[places[line] for line in program.outputs],
        checked=sorted(places[line] for line in program.checked),
    )
