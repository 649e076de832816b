"""A program with rows that an engine lacks written in simpler rows; see `formulas`."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection
from dataclasses import replace

from tinygrad_scalar import primitives as p
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.code import COMPARISONS, CONSTANT, GUARDS, INPUT, PARAMETER, Tape
from tinygrad_scalar.tape.formulas import FORMULAS
from tinygrad_scalar.tape.program import Program, pruned
from tinygrad_scalar.tape.templates import Template, template
from tinygrad_scalar.tape.traced import Recording, Traced

_EQ = COMPARISONS["eq"]


@functools.cache
def template_of(row: Primitive, count: int) -> Template:
    """The formula of a row, for so many operands."""
    made = template(FORMULAS[row], count)
    assert made is not None  # noqa: S101 (formulas are written without branches)
    return made


class Lowering(Tape):
    """A tape on which a row that is not native is written in simpler rows at once."""

    def __init__(self, native: Collection[Primitive]) -> None:
        super().__init__()
        self.native = native

    def written(self, row: Primitive, operands: tuple[int, ...]) -> int:
        """The line of the result."""
        line = None
        if row is p.pow and operands[1] in self.constants:
            line = self._power(operands[0], self.constants[operands[1]])
        elif row is p.div:
            row, operands = self._quotient(operands)
        elif row not in self.native and row in FORMULAS and row not in GUARDS:
            line = self._formula(row, operands)
        return super().written(row, operands) if line is None else line

    def _formula(self, row: Primitive, operands: tuple[int, ...]) -> int:
        if row.arity is not None:
            return template_of(row, len(operands)).placed(self, operands)
        recording = Recording()
        recording.tape = self
        return recording.line(FORMULAS[row](*[Traced(recording, k) for k in operands]))

    def _power(self, a: int, exponent: float) -> int | None:
        """Small whole powers as products."""
        emit = self.emit
        if exponent == 0.5:
            root = emit(p.sqrt, (emit(p.add, (a, self.constant(0.0))),))  # (−0) ** ½ is 0
            low = emit(_EQ, (a, self.constant(-math.inf)))
            return emit(p.where, (low, self.constant(math.inf), root))
        count = abs(exponent)
        if count not in (1.0, 2.0, 3.0, 4.0):
            return None
        square = emit(p.mul, (a, a)) if count > 1 else a
        power = {1.0: a, 2.0: square}.get(count)
        if power is None:
            power = emit(p.mul, (square, a if count == 3.0 else square))
        return power if exponent > 0 else emit(p.div, (self.constant(1.0), power))

    def _quotient(self, operands: tuple[int, ...]) -> tuple[Primitive, tuple[int, ...]]:
        """(a/b)/b, the slope of a quotient, as a product where 1/b is there already."""
        above, below = operands
        row, inner = self.code[above]
        if row is p.neg:
            row, inner = self.code[inner[0]]
        if row is p.div and inner[1] == below:
            reciprocal = self.known.get((p.div, (self.constant(1.0), below)))
            if reciprocal is not None:
                return p.mul, (above, reciprocal)
        return p.div, operands


def lowered(program: Program, native: Collection[Primitive]) -> Program:
    """The program with every row that is not native written in simpler rows, where it can be."""
    tape = Lowering(native)
    places: list[int] = []
    place, at = places.append, places.__getitem__
    line, emit, as_it_is = tape.line, tape.emit, frozenset(native) - {p.pow, p.div}
    for row, operands in program.code:
        if row in as_it_is:  # simplified already, where it was traced
            place(line((row, tuple(map(at, operands)))))
        elif row is CONSTANT:
            place(tape.constant(operands[0]))
        elif row is INPUT:
            place(tape.input(operands[0]))
        elif row is PARAMETER:
            place(tape.parameter(operands[0]))
        else:
            place(emit(row, tuple(map(at, operands))))
    count = len(program.outputs)
    result = pruned(
        tape,
        [places[k] for k in [*program.outputs, *program.checked]],
        inputs=program.inputs,
        parameters=program.parameters,
    )
    outputs, checked = result.outputs[:count], sorted(set(result.outputs[count:]))
    return replace(result, outputs=outputs, checked=checked)
