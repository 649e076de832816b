"""Rules and formulas of rows, written down once, and copied wherever their rows occur.

A program with rows that an engine lacks is written in simpler rows so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.program import Program, needed, pruned
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tape import (
    ADD,
    DIV,
    EQ,
    INPUT,
    MARKERS,
    MUL,
    POW,
    SQRT,
    WHERE,
    Tape,
    TraceError,
)
from tinygrad_scalar.compiler.ir.trace import Traced, on_tape
from tinygrad_scalar.core import context
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value

ROOTS = (0.5, -0.5, 1.5, -1.5)
POWERS = (*ROOTS, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0)  # roots, products, quotients


class Template(NamedTuple):
    """Lines of code over some operands, and which line is the result; or a constant result."""

    lines: Sequence[tuple[Primitive | None, Any]]  # None and a number for a constant
    result: int
    number: float | None = None

    def placed(self, tape: Tape, operands: tuple[int, ...]) -> int:
        """The line of the result, with the template's lines written on a tape. O(lines)."""
        if self.number is not None:
            return tape.constant(self.number)
        if self.result < len(operands):
            return operands[self.result]
        places, emit = list(operands), tape.emit
        place, at = places.append, places.__getitem__
        for row, inner in self.lines:
            place(tape.constant(inner) if row is None else emit(row, tuple(map(at, inner))))
        return places[self.result]

    def where(self, numbers: Sequence[float | None]) -> Template:
        """The template where some operands are numbers: fewer lines, those that may raise too."""
        tape = Tape()
        operands = tuple([
            tape.input(k) if number is None else tape.constant(number)
            for k, number in enumerate(numbers)
        ])  # fmt: skip
        result = self.placed(tape, operands)
        place = {line: k for k, line in enumerate(operands)}
        lines: list[tuple[Primitive | None, Any]] = []
        for line in needed(tape.code, [result], range(len(tape))):
            if line not in place:
                row, inner = tape.code[line]
                known = line in tape.constants
                place[line] = len(operands) + len(lines)
                lines.append((None, inner[0]) if known else (row, tuple(place[k] for k in inner)))
        return Template(lines, place[result])


def template(rule: Callable[..., Any], count: int, *, trusting: bool) -> Template | None:
    """The template of a rule of so many operands; None if it asks for numbers, texts or leaves.

    A rule of this library is trusted to take comparisons as numbers.
    """
    recording = Recording()
    recording.trusting, recording.in_rule = trusting, True
    tape = recording.tape
    operands = [Traced(recording, tape.input(k)) for k in range(count)]
    try:
        result = on_tape(recording, rule, *operands)
    except (IndexError, ValueError, ArithmeticError, TraceError):  # there are none
        return None
    # the numbers of leaves come from the tape that it is copied to
    if recording.leaves or not recording.settled() or recording.refused is not None:
        return None
    if not isinstance(result, Traced):
        return None if isinstance(result, Value) else Template([], 0, float(result))
    lines = [
        (None, tape.constants[k]) if k in tape.constants else tape.code[k]
        for k in range(count, len(tape.code))
    ]
    return Template(lines, result.index)


def has_template(row: Primitive) -> bool:
    """Whether the formula of a row reads the same whatever its operands are."""
    return row.formula is not None and not row.whole


def kept_template(
    row: Primitive, rule: Callable[..., Any], count: int, *, trusting: bool = True
) -> Template | None:
    """The `template` of a rule of a row, made once and kept with the row."""
    make = functools.partial(template, rule, count, trusting=trusting)
    return made_once(row, (rule, count), make)  # type: ignore[no-any-return]


def made_once(row: Primitive, key: Any, make: Callable[[], Any]) -> Any:
    """What is made of a row once, and goes with it: those of one's own come and go."""
    if row.made is None:
        row.made = {}
    if key not in row.made:
        row.made[key] = make()
    return row.made[key]


def template_of(row: Primitive, count: int) -> Template:
    """The formula of a row, for so many operands."""
    assert row.formula is not None  # noqa: S101 (else it is not asked for)
    made = kept_template(row, row.formula, count)
    if made is None:
        raise TraceError(
            f"primitive {row.name!r}: its formula asks for numbers, which differ from call to "
            "call: choose by where(condition, a, b)"
        )
    return made


class Lowering(Tape):
    """A tape on which a row that is not native is written in simpler rows at once."""

    def __init__(self, native: Collection[Primitive]) -> None:
        super().__init__()
        self.native = native

    def written(self, instruction: tuple[Primitive, tuple[int, ...]]) -> int:
        """The line of the result."""
        row, operands = instruction
        line = None
        if row is POW and operands[1] in self.constants:
            line = self._power(operands[0], self.constants[operands[1]])
        elif row not in self.native:
            line = self._formula(row, operands)
        return super().written(instruction) if line is None else line

    def _formula(self, row: Primitive, operands: tuple[int, ...]) -> int | None:
        """The line of a row's formula; None without one, or where a whole number is computed."""
        if row.formula is None or not all(operands[i] in self.constants for i in row.whole):
            return None
        if row.arity is not None and not row.whole:
            return template_of(row, len(operands)).placed(self, operands)
        recording = Recording()
        recording.tape, recording.trusting = self, True
        given = [
            self.constants[k] if i in row.whole else Traced(recording, k)
            for i, k in enumerate(operands)
        ]
        with context.recorded():
            return recording.line(row.formula(*given))

    def _power(self, a: int, exponent: float) -> int | None:
        """Small whole powers as products, roots by their function."""
        if exponent not in POWERS:
            return None
        emit = self.emit
        if exponent in ROOTS:
            return self._root(a, exponent)
        count = abs(exponent)
        power = square = emit(MUL, (a, a)) if count > 1 else a
        if count > 2:
            power = emit(MUL, (square, a if count == 3.0 else square))
        return power if exponent > 0 else emit(DIV, (self.constant(1.0), power))

    def _root(self, a: int, exponent: float) -> int:
        emit = self.emit
        above = emit(ADD, (a, self.constant(0.0)))  # (−0) ** ½ is 0
        power = root = emit(SQRT, (above,))
        if exponent == 1.5:
            power = emit(MUL, (above, root))
        elif exponent < 0:
            power = emit(DIV, (self.constant(1.0), root))
            if exponent == -1.5:
                power = emit(DIV, (power, above))
        low = emit(EQ, (a, self.constant(-math.inf)))
        return emit(WHERE, (low, self.constant(math.inf if exponent > 0 else 0.0), power))


def lowered(program: Program, native: Collection[Primitive]) -> Program:
    """The program with every row that is not native written in simpler rows, where it can be."""
    kept, code = {*native, *MARKERS} - {POW}, program.code
    first = next((k for k, (row, _) in enumerate(code) if row not in kept), None)
    if first is None:
        return program
    tape = Lowering(native)
    tape.begin(code[:first])
    places = [*range(first)]
    for row, operands in code[first:]:
        given = tuple([places[k] for k in operands])
        # what is kept gets no simpler than it was
        places.append(tape.line((row, given)) if row in kept else tape.emit(row, given))
    made = pruned(
        tape.code,
        [places[k] for k in program.outputs],
        inputs=program.inputs,
        parameters=program.parameters,
        judged=[places[k] for k in program.checked],
    )
    return replace(made, apart=program.apart)


def alone(row: Primitive, native: Collection[Primitive]) -> Program:
    """The program of a row by itself, over its operands as inputs."""
    count = row.arity or 0
    code = [*((INPUT, (k,)) for k in range(count)), (row, tuple(range(count)))]
    return lowered(Program(code, [count], count, 0), native)
