"""A program with its loops as LLVM assembly: one copy of the lines, and a counter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.reroll import Loop
from tinygrad_scalar.compiler.ir.rolled import Rolled, step_of
from tinygrad_scalar.compiler.llvm import writer
from tinygrad_scalar.compiler.llvm.builder import Target
from tinygrad_scalar.compiler.llvm.memory import Memory


class RollingWriter(Memory, Rolled):
    """Writes a program: loops where it has any, straight lines elsewhere."""

    carrier = "%c"

    def __init__(self, program: Program, target: Target, how: str, varying: Sequence[bool]) -> None:
        super().__init__(program, target, how, varying)
        self.parts = self._planned()

    # ── the module ────────────────────────────────────────────────────────────────────────────
    def module(self) -> str:
        """The whole text."""
        functions = [self._function(k, part) for k, part in enumerate(self.parts)]
        if self.late:
            functions.append(self._outputs_at_last(len(functions)))
        driver = self._driver(len(functions))
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, *self.tables, *functions, driver])

    def _planned(self) -> Sequence[Loop]:
        """What each function does, with a place in scratch for all that is handed on."""
        parts = self._parts(self.varying, longest=writer.CHUNK)
        self._hold()
        self.wanted = {*self.checked, *self.slots, *self.outputs, self.last_guard}
        self.size = sum(part.period for part in parts)
        return parts

    def _reached(self, positions: Sequence[int]) -> bool:
        return len(set(map(self._apart, positions))) == 1

    # ── functions ─────────────────────────────────────────────────────────────────────────────
    def _function(self, number: int, part: Loop) -> str:
        self._start()
        if part in self.sources:
            self._loop(part)
        else:
            self._lines(range(part.start, part.stop))
            self._note_finite()
        return self._chunk(number)

    def _loop(self, loop: Loop) -> None:
        self.carried = {}
        self.indices: dict[tuple[int, ...], str] = {}
        for operand in self._operands(loop):
            first = operand.lines[0]
            if operand.kind in ("same", "before") and first not in self.held:
                self.operand(first)  # loaded ahead of the loop
        if self.how == "sums":
            self._counted()
        with self.loop(loop.iterations) as here:
            self.k = here.k.name
            for place in range(loop.period):
                self._row(loop, place)
            self._note_finite()
            for (first, line), name in self.carried.items():
                carried = here.carry(self.constant(self.v, self.operand(first)))
                carried.name = name
                carried.next = self.constant(self.v, self.operand(line))
            self.lines += [writer.FENCE] * self.quick

    def _row(self, loop: Loop, place: int) -> None:
        super()._row(loop, place)
        if not self.checked.isdisjoint(loop.lines(place)):
            self.finite.append(self.operand(loop.start + place))

    def _keep_at(self, places: Sequence[int], line: int) -> None:
        self._store(self.operand(line), "%s", self._indexed(places))

    def _write_at(self, positions: Sequence[int], line: int) -> None:
        apart = self._apart(positions[0])
        self._write_output_at(self._indexed(positions), self.operand(line), apart=apart)

    def _fetched(self, kind: str, numbers: Sequence[Any]) -> str:
        if kind == "constant":
            if len(set(map(repr, numbers))) == 1:
                return self.literal(numbers[0])
            table = self._table(self.t, [self.plain_literal(number) for number in numbers])
            return self._broadcast(table, self.k)
        index = self._indexed(numbers)
        if kind == "line":
            return self._load("%s", index)
        if kind == "parameter":
            return self._broadcast("%p", index)
        return self._input_at(index, kind == "column")

    def _indexed(self, numbers: Sequence[int]) -> str:
        """The index of this iteration: in step with the counter, or out of a table."""
        key = tuple(numbers)
        name = self.indices.get(key)
        if name is None:
            step = step_of(key)
            if step is not None:
                name = self.add(f"add i64 {self.add(f'mul i64 {self.k}, {step}')}, {key[0]}")
            else:
                table = self._table("i64", map(str, key))
                place = self.add(f"getelementptr i64, ptr {table}, i64 {self.k}")
                name = self.add(f"load i64, ptr {place}")
            self.indices[key] = name
        return name

    def _outputs_at_last(self, number: int) -> str:
        self._start()
        for line in sorted(self.late):
            self._write_output(line, self.operand(line))
        return self._chunk(number)
