"""What engines run: the lines that are needed for some outputs, renumbered.

They stand in their order, but for guards and what they need, which come first: behind the last one
it is known which points count, and results can be added up at once.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from typing import Any

from tinygrad_scalar.compiler.ir.tape import (
    ADD,
    CONDITIONS,
    CONSTANT,
    GUARD,
    INPUT,
    LIBRARY,
    MARKERS,
    OWN,
    PARAMETER,
    SINES,
    SUB,
    Line,
    evaluated,
    ieee,
)

# Rows whose forward rule never raises on floats: dead lines of all others are kept for floats in,
# where a compiled function raises what the function itself does.
NEVER_RAISES = OWN | {row for row in LIBRARY if row.total}
_IN_FRONT = {INPUT: 0, PARAMETER: 1, CONSTANT: 2}
_GUARDS = len(_IN_FRONT)  # behind them come these


@dataclass(frozen=True)
class Program:
    """Lines of code, the lines of the outputs, and how many numbers come in.

    `checked` are lines of rows that raise where their result is not finite, gradients on the way to
    others, and for a batch the outputs, if they are not summed. With `guards`, the outputs count
    only where all of these hold. Where outputs are summed over points, the last `apart` are not:
    they are wanted for every point.
    """

    code: list[Line]
    outputs: list[int]
    inputs: int
    parameters: int
    checked: list[int] = field(default_factory=list)
    apart: int = 0

    @property
    def markers(self) -> int:
        """How many lines stand in front that only say what comes from outside."""
        lines = enumerate(self.code)
        return next((k for k, (row, _) in lines if row not in MARKERS), len(self.code))

    @cached_property
    def positions(self) -> dict[int, list[int]]:
        """Of the lines that are outputs, where they stand among these."""
        positions: dict[int, list[int]] = {}
        for k, line in enumerate(self.outputs):
            positions.setdefault(line, []).append(k)
        return positions

    @cached_property
    def last_guard(self) -> int:
        """The last line that is a guard, −1 if there is none."""
        code = self.code
        return next((k for k in range(len(code) - 1, -1, -1) if code[k][0] is GUARD), -1)

    @property
    def guards(self) -> bool:
        """Whether the program holds for some points only."""
        return self.last_guard >= 0

    def at_limits(self, x: Sequence[Any], p: Sequence[float]) -> tuple[list[Any], bool]:
        """The outputs in IEEE arithmetic, which raises nothing, and whether the guards hold."""
        values = evaluated(self.code, x, p, ieee)
        held = all(values[k] for k, (row, _) in enumerate(self.code) if row is GUARD)
        return [values[k] for k in self.outputs], held


def pruned(
    code: list[Line],
    outputs: Sequence[int],
    *,
    inputs: int,
    parameters: int,
    raising: Collection[int] = (),
    judged: Collection[int] = (),
) -> Program:
    """The program for some lines of code: markers, guards with what they need, and the rest.

    Of the lines `raising`, those that may raise stay, needed or not, and are checked; so are all
    that are `judged`. O(lines).
    """
    lines = needed(code, [*outputs, *judged], raising)
    checked = {k for k in lines if k in raising and code[k][0] not in NEVER_RAISES}.union(judged)
    program = Program(code, [*outputs], inputs, parameters, [*checked])
    place = dict.fromkeys(needed(code, ()), _GUARDS) if program.guards else {}
    place |= {k: _IN_FRONT[code[k][0]] for k in lines if code[k][0] in MARKERS}
    front = sorted([k for k in lines if k in place], key=place.__getitem__)
    return reordered(program, [*front, *(k for k in lines if k not in place)])


def needed(
    code: Sequence[Line], outputs: Sequence[int], raising: Collection[int] = ()
) -> list[int]:
    """The lines that outputs and guards need, and of those `raising` what may raise."""
    keep = bytearray(len(code))
    for line in outputs:
        keep[line] = 1
    line = len(code)
    for row, operands in reversed(code):
        line -= 1
        if not keep[line]:
            if row is not GUARD and (line not in raising or row in NEVER_RAISES):
                continue
            keep[line] = 1
        if row not in MARKERS:
            for operand in operands:
                keep[operand] = 1
    return list(compress(range(len(code)), keep))


def checking_outputs(program: Program) -> Program:
    """The program with its outputs among what is checked, but those that are always finite."""
    computed = {k for k in program.outputs if program.code[k][0] not in (*MARKERS, *CONDITIONS)}
    return replace(program, checked=sorted(computed.union(program.checked)))


def finiteness(program: Program) -> Program:
    """The program with one output, 0 where outputs and checked lines are finite, else NaN."""
    program = checking_outputs(program)
    code, total = [*program.code], None
    for line in program.checked:
        nothing = len(code)
        code.append((SUB, (line, line)))
        if total is not None:
            code.append((ADD, (total, nothing)))
        total = len(code) - 1
    return replace(program, code=code, outputs=[] if total is None else [total], checked=[])


def sines_with_cosines(program: Program) -> Program:
    """The program with a sine and a cosine of one operand side by side: one call gives both."""
    first: dict[int, int] = {}  # of an operand
    order = range(len(program.code))
    place = [
        first.setdefault(operands[0], k) if row in SINES else k
        for k, (row, operands) in enumerate(program.code)
    ]
    if all(map(operator.eq, place, order)):
        return program
    return reordered(program, sorted(order, key=place.__getitem__))


def reordered(program: Program, order: Sequence[int]) -> Program:
    """The lines of an order in which each stands behind its operands, as a program."""
    before, code = program.code, list[Line]()
    places = [0] * len(before)
    for place, line in enumerate(order):
        places[line] = place
        row, operands = before[line]
        if len(operands) == 2:  # most are; no marker's
            a, b = operands
            operands = places[a], places[b]
        elif row not in MARKERS:
            operands = tuple([places[k] for k in operands])
        code.append((row, operands))
    return replace(
        program,
        code=code,
        outputs=[places[line] for line in program.outputs],
        checked=sorted(places[line] for line in program.checked),
    )
