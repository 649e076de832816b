"""Superinstructions: a few operations of a trace as one instruction, forwards and backwards.

A superinstruction reads cells of memory (its operands) and writes others (its results). The
reverse one works the operations out again where that is quick, takes the gradients of the results,
and adds to those of the operands. Its derivative is the tape's own, made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.differentiate import Derivation, inner_grads_on
from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.program import Program, pruned
from tinygrad_scalar.compiler.ir.tape import ADD, GUARDS, INPUT, MUL, Tape
from tinygrad_scalar.compiler.ir.trace import Recording
from tinygrad_scalar.compiler.llvm.builder import NATIVE
from tinygrad_scalar.compiler.vm.operations import quick
from tinygrad_scalar.core.primitive import Primitive

OPERAND, INSIDE, NUMBER = "operand", "inside", "number"
Source = tuple[str, Any]  # one of these, and which operand, which operation here, which constant
Rows = Sequence[tuple[Primitive, Sequence[Source]]]


class Unsupported(Exception):  # noqa: N818 (no error: the trace is compiled another way)
    """A row whose derivative cannot be written down without the numbers of a point."""


class Superinstruction:
    """`rows` with the sources of what they read, one after the other; `results` are some of them.

    `active` operands take part in gradients; `kept` are results that only the way back reads. An
    iteration's indices are those of its operands, of its results and of what is kept.
    """

    def __init__(
        self,
        rows: Rows,
        operands: int,
        active: Sequence[int],
        results: Sequence[int],
        kept: Sequence[int] = (),
    ) -> None:
        self.operands, self.active = operands, active
        self.results = len(results)
        self.width = operands + max(1, len(results) + len(kept))
        tape, places = _written(rows, operands)
        outputs = [places[k] for k in (*results, *kept)]
        self.forward = _program(tape, outputs, operands, raising=len(tape))
        self.reverse: Program | None = None
        if active and results:
            self.reverse = self._reversed(rows, results, kept)

    def _reversed(self, rows: Rows, results: Sequence[int], kept: Sequence[int]) -> Program | None:
        """What is added to the gradients of the active operands; None if it is nothing at all."""
        recording = Recording()
        inner_grads_on(recording, orders=0)
        recording.tape, places = _written(rows, self.operands, guards=False)
        tape = recording.tape
        wanted = [tape.input(k) for k in self.active]
        total = -1
        for k, result in enumerate(results):
            slope = tape.input(self.operands + k)
            term = tape.line((MUL, (slope, places[result])))
            total = tape.line((ADD, (total, term))) if k else term
        try:
            lines = Derivation(recording, copy=False).reverse(total, wanted)
        except (ArithmeticError, ValueError, LookupError) as error:
            raise Unsupported from error
        if tape.parameters:  # an own row that closes over leaves
            raise Unsupported
        if all(tape.constants.get(line) == 0.0 for line in lines):
            return None
        count = self.operands + len(results)
        for k, result in enumerate((*results, *kept)):
            if not quick(rows[result][0]):
                tape.code[places[result]] = INPUT, (count + k,)  # it stands in its cell
        return _program(tape, lines, count + len(results) + len(kept))


def of_row(row: Primitive, active: Sequence[bool], second: float | None) -> Superinstruction:
    """A single row; its second operand may be a number that belongs to it."""
    sources: list[Source] = [(OPERAND, k) for k in range(len(active))]
    if second is not None:
        sources[1] = NUMBER, second
    results = [] if row in GUARDS else [0]
    places = [k for k, wanted in enumerate(active) if wanted]
    return Superinstruction([(row, sources)], len(active), places, results)


def _written(rows: Rows, operands: int, *, guards: bool = True) -> tuple[Tape, list[int]]:
    """The rows on a tape, over inputs as operands, and where each of them stands there."""
    tape, places = Tape(), list[int]()
    for k in range(operands):
        tape.input(k)
    for row, sources in rows:
        if row in GUARDS and not guards:
            places.append(-1)
            continue
        lines = []
        for kind, what in sources:
            if kind == NUMBER:
                lines.append(tape.constant(what))
            else:
                lines.append(what if kind == OPERAND else places[what])
        places.append(tape.line((row, tuple(lines))))
    return tape, places


def _program(tape: Tape, lines: Sequence[int], inputs: int, raising: int = 0) -> Program:
    kept = pruned(tape, lines, inputs=inputs, parameters=0, raising=range(raising))
    return lowered(kept, NATIVE)
