"""Superinstructions: a few operations of a trace as one instruction, forwards and backwards.

A superinstruction reads cells of memory (its operands) and writes others (its results). The
reverse one works the operations out again where that is quick, takes the gradients of the results,
and adds to those of the operands. Its derivative is the tape's own, made once.

As machine code it is a function that goes through its iterations, each with its indices of cells in
a row of a table. Values stand in one array of cells, gradients in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.differentiate import Derivation
from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.program import Program, pruned
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tape import (
    ADD,
    CONSTANT,
    GUARD,
    INPUT,
    MUL,
    SCATTER,
    TAKE,
    Tape,
    pairs_of,
)
from tinygrad_scalar.compiler.llvm.builder import FENCE, NATIVE, Target
from tinygrad_scalar.compiler.llvm.writer import Writer
from tinygrad_scalar.compiler.machine.text import Register
from tinygrad_scalar.compiler.vm.operations import quick
from tinygrad_scalar.core.primitive import Primitive

# The indices, how many iterations; for all instructions alike: values, gradients, what must be
# finite, the mask of guards, and the indices of all.
MEMORY = "ptr noalias %v, ptr noalias %a, ptr noalias %s, ptr noalias %m, ptr noalias %all"
ARGUMENTS = f"ptr noalias %t, i64 %n, {MEMORY}"
Rows = Sequence[tuple[Primitive, Sequence[int | float]]]


class Unsupported(Exception):  # noqa: N818 (no error: the trace is compiled another way)
    """A row whose derivative cannot be written down without the numbers of a point."""


class Superinstruction:
    """`rows` with what they read, one after the other; `results` are some of them.

    They read constants, which are floats, and by whole numbers rows, and then so many `operands`.
    `active` operands take part in gradients. An iteration's indices are those of its operands and
    of its results.
    """

    def __init__(
        self, rows: Rows, operands: int, active: Sequence[int], results: Sequence[int]
    ) -> None:
        self.operands, self.active = operands, active
        self.results = len(results)
        self.width = operands + max(1, len(results))
        tape, places = _written(rows, operands)
        outputs = [places[k] for k in results]
        self.forward = _program(tape, outputs, operands, raising=len(tape))
        self.reverse = self._reversed(rows, results) if active and results else None

    def _reversed(self, rows: Rows, results: Sequence[int]) -> Program | None:
        """What is added to the gradients of the active operands; None if it is nothing at all."""
        recording = Recording()
        recording.tape, places = _written(rows, self.operands, guards=False)
        tape = recording.tape
        wanted = [tape.input(k) for k in self.active]
        total = -1
        for k, result in enumerate(results):
            slope = tape.input(self.operands + k)
            term = tape.line((MUL, (slope, places[result])))
            total = tape.line((ADD, (total, term))) if k else term
        try:
            lines = Derivation(recording).reverse(total, wanted)
        except (ArithmeticError, ValueError, LookupError) as error:
            raise Unsupported from error
        if tape.parameters:  # an own row that closes over leaves
            raise Unsupported
        if all(tape.constants.get(line) == 0.0 for line in lines):
            return None
        count = self.operands + len(results)
        for k, result in enumerate(results):
            if not quick(rows[result][0]):
                tape.code[places[result]] = INPUT, (count + k,)  # it stands in its cell
        return _program(tape, lines, count + len(results))


def of_row(row: Primitive, active: Sequence[bool]) -> Superinstruction:
    """A single row."""
    results = [] if row is GUARD else [0]
    places = [k for k, wanted in enumerate(active) if wanted]
    return Superinstruction([(row, range(1, 1 + len(active)))], len(active), places, results)


def _written(rows: Rows, operands: int, *, guards: bool = True) -> tuple[Tape, list[int]]:
    """The rows on a tape, over inputs as operands, and where each of them stands there."""
    tape = Tape()
    places = [-1] * len(rows) + [tape.input(k) for k in range(operands)]
    for place, (row, given) in enumerate(rows):
        if guards or row is not GUARD:
            lines = [tape.constant(k) if isinstance(k, float) else places[k] for k in given]
            places[place] = tape.line((row, tuple(lines)))
    return tape, places


def _program(tape: Tape, lines: Sequence[int], inputs: int, raising: int = 0) -> Program:
    kept = pruned(tape.code, lines, inputs=inputs, parameters=0, raising=range(raising))
    return lowered(kept, NATIVE)


# ── as machine code ───────────────────────────────────────────────────────────────────────────
def index(indices: Register, k: Any) -> Register:
    """What stands in an array of indices."""
    return indices.item(k, "i32").to("zext", "i64")


def cell(base: Register, indices: Register, k: Any) -> Register:
    """The place of a number whose index stands in an array of indices."""
    return base.at(index(indices, k), "double")


def add_to(place: Register, term: Register) -> None:
    """Add to what stands there."""
    place.store(place.load(term.kind) + term)


class SweepWriter(Writer):
    """Writes a superinstruction as a function that goes through its iterations."""

    def __init__(
        self, body: Superinstruction, target: Target, *, backwards: bool, fused: bool
    ) -> None:
        program = body.reverse if backwards else body.forward
        assert program is not None  # noqa: S101 (only what there is is written)
        super().__init__(program, target, "point", ())
        self.body, self.backwards = body, backwards
        self.wanted = {*self.checked, *self.outputs}
        if not fused:
            self.contract = ""

    def function(self, name: str) -> str:
        """The function of that name."""
        self.start()
        t, n, _, _, s, *_ = self.arguments(ARGUMENTS)
        last = n - 1
        with self.loop(n) as loop:
            k = last - loop.k if self.backwards else loop.k
            self.row = t.at(k * self.body.width, "i32")
            self._lines(range(len(self.program.code)))
            held = self._carry_held(loop)
            here = self._finite_sum()
            if here is not None:  # in memory it would go through each iteration
                total = loop.carry(self.constant("double", 0.0))
                total.next = total + self.constant("double", here)
            self.lines += [FENCE] * self.quick
        if here is not None:
            s.store(s.load("double") + total)
        self.holding = held
        self._note_held()
        return self._defined(f"internal void {name}({ARGUMENTS})")

    # ── cells ─────────────────────────────────────────────────────────────────────────────────
    def _input(self, position: int) -> str:
        """An operand, the gradient of a result, or a result."""
        base, results = "%v", self.body.results
        if position >= self.body.operands + results:
            position -= results
        elif position >= self.body.operands:
            base = "%a"
        return self._cell(position, base).load("double").name

    def _cell(self, position: int, base: str) -> Register:
        return cell(self.constant("ptr", base), self.row, position)

    def _memory(self, line: int, row: Primitive, operands: Sequence[Any]) -> str:
        if row is TAKE:
            index, table = operands
            entry = self._entry(index, self.program.code[table][1][0], "%v")
            return entry.load("double").name
        for index, term in pairs_of(operands):
            for position in self.outputs[line]:
                entry = self._entry(index, self.body.active[position], "%a")
                add_to(entry, self.constant("double", self.operand(term)))
        return ""

    def _entry(self, line: int, position: int, base: str) -> Register:
        """The cell of an entry, the first for what is no index: cells are listed for all."""
        listing = self.constant("ptr", "%all").at(index(self.row, position), "i32")
        length = listing.load("i32").to("sitofp", "double")
        place = self.constant("i64", self._index(line, length.name, "i64"))
        return cell(self.constant("ptr", base), listing, place + 1)

    def _write_output(self, line: int, name: str) -> None:
        row, operands = self.program.code[line]
        nothing = row is CONSTANT and operands[0] == 0.0
        if not (self.backwards and (nothing or row is SCATTER)):
            super()._write_output(line, name)

    def _write_output_at(self, position: int | str, name: str) -> None:
        assert isinstance(position, int)  # noqa: S101 (straight lines of code)
        if self.backwards:
            add_to(self._cell(self.body.active[position], "%a"), self.constant("double", name))
        else:
            place = self._cell(self.body.operands + position, "%v")
            place.store(self.constant("double", name))
