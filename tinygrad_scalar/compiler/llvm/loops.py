"""A program with its loops as LLVM assembly: one copy of the lines, and a counter."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.reroll import (
    Loop,
    Operand,
    Rolled,
    loops,
    operands,
    pieces,
    step_of,
)
from tinygrad_scalar.compiler.ir.tape import HELD, MARKERS, TABLE, TAKE
from tinygrad_scalar.compiler.llvm import writer
from tinygrad_scalar.compiler.llvm.memory import Memory


class RollingWriter(Rolled, Memory):
    """Writes a program: loops where it has any, straight lines elsewhere."""

    carrier = "%c"

    # ── the module ────────────────────────────────────────────────────────────────────────────
    def module(self) -> str:
        """The whole text."""
        pieces = self._planned()
        functions = [self._function(k, piece) for k, piece in enumerate(pieces)]
        driver = self._driver(len(pieces))
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, *self.tables, *self.helpers.values(), *functions, driver])

    def _planned(self) -> Sequence[Any]:
        """What each function does, with a place in scratch for all that is handed on."""
        varying = self.varying if self.how != "point" else ()
        found = loops(self.program, self.last_guard + 1, varying)
        parts = pieces(self.program, found, writer.CHUNK)
        self.sources = {loop: operands(self.program, loop, varying) for loop in found}
        self.late = self._irregular_outputs(found)
        self._places(parts)
        self._hold()
        self.wanted = {*self.checked, *self.slots, *self.outputs, self.last_guard}
        self.size = sum(part.period if isinstance(part, Loop) else len(part) for part in parts)
        return [*parts, None] if self.late else parts

    # ── memory ────────────────────────────────────────────────────────────────────────────────
    def _reached(self, positions: Sequence[int]) -> bool:
        return len(set(map(self._apart, positions))) == 1

    def _places(self, parts: Sequence[range | Loop]) -> None:
        """Places in scratch for what another function, or iteration, reads; they are used again."""
        last = self._last_reading(parts)
        free: dict[int, list[int]] = {}
        ending: dict[int, list[tuple[int, int]]] = {}
        for number, part in enumerate(parts):
            for size, place in ending.pop(number - 1, ()):
                free.setdefault(size, []).append(place)
            for lines in _arrays(part, last):
                end = max([last.get(line, -1) for line in lines])
                if end < 0:
                    continue
                size = len(lines)
                if not free.get(size):
                    free[size] = [self.slot_count]
                    self.slot_count += size
                place = free[size].pop()
                for offset, line in enumerate(lines):
                    self.slots[line] = place + offset
                ending.setdefault(end, []).append((size, place))

    def _last_reading(self, parts: Sequence[range | Loop]) -> dict[int, int]:
        """For each line that is read from memory, the last function that does so."""
        code, end = self.program.code, len(parts)
        last: dict[int, int] = {}
        for number, part in enumerate(parts):
            if isinstance(part, Loop):
                for operand in (operand for row in self.sources[part] for operand in row):
                    if operand.kind == "line":
                        last.update(dict.fromkeys(operand.lines, number))
                    elif operand.kind in ("same", "before"):
                        last[operand.lines[0]] = number
                part = range(part.start, part.start + part.period)  # noqa: PLW2901 (one copy)
            else:
                last.update((line, number) for line in self._read_from(part) if line < part.start)
            last.update((line, number) for line in self._looked_up(part))
        last.update(dict.fromkeys(self.late, end))
        last.update((line, end) for line in self.outputs if self._waits(line))
        elsewhere = MARKERS | HELD
        return {line: number for line, number in last.items() if code[line][0] not in elsewhere}

    def _read_from(self, part: range) -> Iterator[int]:
        for row, given in self.program.code[part.start : part.stop]:
            if row not in MARKERS:
                yield from given

    def _looked_up(self, part: range) -> Iterator[int]:
        """The entries of the tables that are read."""
        code = self.program.code
        for row, given in code[part.start : part.stop]:
            if row is TAKE and code[given[1]][0] is TABLE:
                yield from code[given[1]][1]

    # ── functions ─────────────────────────────────────────────────────────────────────────────
    def _function(self, number: int, piece: Any) -> str:
        if piece is None:
            return self._outputs_at_last(number)
        if not isinstance(piece, Loop):
            return super()._function(number, piece)
        self._start()
        self.carried = {}
        self.indices: dict[tuple[int, ...], str] = {}
        for operand in (operand for row in self.sources[piece] for operand in row):
            first = operand.lines[0]
            if operand.kind in ("same", "before") and first not in self.held:
                self.operand(first)  # loaded ahead of the loop
        entry, self.lines = self.lines, []
        for place, row in enumerate(self.sources[piece]):
            self._row(piece, place, row)
        self._note_finite()
        phis = []
        for (first, line), name in self.carried.items():
            ways = f"[ {self.operand(first)}, %entry ], [ {self.operand(line)}, %loop ]"
            phis.append(f"  {name} = phi {self.v} {ways}")
        body = [*entry, "  br label %loop", "loop:"]
        body += ["  %k = phi i64 [ 0, %entry ], [ %next, %loop ]", *phis, *self.lines]
        body += ["  %next = add i64 %k, 1", f"  %more = icmp ult i64 %next, {piece.iterations}"]
        body += ["  br i1 %more, label %loop, label %done", "done:"]
        return self._defined(number, body)

    def _row(self, loop: Loop, place: int, sources: Sequence[Operand]) -> None:
        """One row of a loop: its operands, the operation, and what is handed on."""
        line = loop.start + place
        row, _ = self.program.code[line]
        self._computed(line, row, [self._source(operand) for operand in sources])
        lines = loop.lines(place)
        if line in self.slots:
            index = self._indexed([self.slots[k] * self.lanes for k in lines])
            self._store(self.operand(line), "%s", index)
        if line in self.outputs and line not in self.late:
            positions = [self.outputs[k][0] for k in lines]
            apart = self._apart(positions[0])
            self._write_output_at(self._indexed(positions), self.operand(line), apart=apart)
        if not self.checked.isdisjoint(lines):
            self.finite.append(self.operand(line))

    def _fetched(self, kind: str, numbers: Sequence[Any]) -> str:
        if kind == "constant":
            if len(set(map(repr, numbers))) == 1:
                return self.literal(numbers[0])
            table = self._table(self.t, [self.plain_literal(number) for number in numbers])
            return self._broadcast(table, "%k")
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
                name = self.add(f"add i64 {self.add(f'mul i64 %k, {step}')}, {key[0]}")
            else:
                table = self._table("i64", map(str, key))
                place = self.add(f"getelementptr i64, ptr {table}, i64 %k")
                name = self.add(f"load i64, ptr {place}")
            self.indices[key] = name
        return name

    def _outputs_at_last(self, number: int) -> str:
        self._start()
        for line in sorted(self.late):
            self._write_output(line, self.operand(line))
        return self._defined(number, self.lines)


def _arrays(part: range | Loop, read: Container[int]) -> Iterator[Sequence[int]]:
    """The lines that stand side by side in memory: one that is read, or those of all iterations."""
    if isinstance(part, Loop):
        return (part.lines(place) for place in range(part.period))
    return ((line,) for line in part if line in read)
