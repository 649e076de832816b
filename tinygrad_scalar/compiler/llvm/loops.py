"""A program with loops and memory as LLVM assembly.

Of a loop there is one copy of the lines, and a counter. What is held in memory is read and added to
at an index, in lanes too. Entries that stand in order as inputs, parameters or constants are read
there. Those that are computed have places in scratch; where these are not in step, a table says
where each of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.reroll import SHORT, SHORTEST, Loop, kind_of
from tinygrad_scalar.compiler.ir.rolled import Rolled, step_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT, HELD, TABLE, TAKE, length_of, pairs_of
from tinygrad_scalar.compiler.llvm import writer
from tinygrad_scalar.compiler.llvm.builder import FENCE, Target, vector_of
from tinygrad_scalar.compiler.llvm.writer import Writer
from tinygrad_scalar.core.primitive import Primitive


class Held(NamedTuple):
    """Where entries are: of what kind, and their positions there."""

    kind: str  # "input", "column" (an input of each point), "parameter", "constant" or "line"
    positions: Sequence[int]
    table: str = ""  # its name, where the positions are not in step, or the numbers are in it


class RollingWriter(Writer, Rolled):
    """Writes a program: loops where it has any, straight lines elsewhere."""

    carrier, guarded, fused = "%c", True, True
    held: dict[int, Held]

    def __init__(self, program: Program, target: Target, how: str, varying: Sequence[bool]) -> None:
        super().__init__(program, target, how, varying)
        shortest = SHORT if self.at_points else SHORTEST
        # what each function does, with a place in scratch for all that is handed on
        self.parts = self._parts(varying, shortest, writer.CHUNK)
        self._hold()
        self.wanted = {*self.checked, *self.slots, *self.outputs, self.last_guard}
        self.size = sum(part.period for part in self.parts)

    # ── the module ────────────────────────────────────────────────────────────────────────────
    def module(self) -> str:
        """The whole text."""
        functions = [self._function(k, part) for k, part in enumerate(self.parts)]
        if self.late:
            functions.append(self._outputs_at_last(len(functions)))
        driver = self._driver(len(functions))
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, *self.tables, *functions, driver])

    def _reached(self, positions: Sequence[int]) -> bool:
        return len({position < self.summed for position in positions}) == 1

    # ── functions ─────────────────────────────────────────────────────────────────────────────
    def _function(self, number: int, part: Loop) -> str:
        self.start()
        if part in self.sources:
            self._loop(part)
            if self.last_guard in range(part.start, part.stop):
                self._settle()
        else:
            self._lines(range(part.start, part.stop))
            self._note_finite()
        self._note_held()
        return self._chunk(number)

    def _loop(self, loop: Loop) -> None:
        self.carried = {}
        self.indices: dict[tuple[int, ...], str] = {}
        for operand in self._operands(loop):
            first = operand.lines[0]
            if operand.kind in ("same", "before") and first not in self.held:
                self.operand(first)  # loaded ahead of the loop
        if self.at_points:
            self._counted()
        with self.loop(loop.iterations) as here:
            self.k = here.k.name
            for place in range(loop.period):
                self._row(loop, place)
            held = self._carry_held(here)
            self._note_finite()
            for (first, line), name in self.carried.items():
                carried = here.carry(self.constant(self.v, self.operand(first)))
                carried.name = name
                carried.next = self.constant(self.v, self.operand(line))
            self.lines += [FENCE] * self.quick
        self.holding = held

    def _row(self, loop: Loop, place: int) -> None:
        super()._row(loop, place)
        if not self.checked.isdisjoint(loop.lines(place)):
            self.finite.append(self.operand(loop.start + place))

    def _keep_at(self, places: Sequence[int], line: int) -> None:
        self._store(self.operand(line), "%s", self._indexed(places))

    def _write_at(self, positions: Sequence[int], line: int) -> None:
        if positions[0] < self.summed:
            self._add_to_sum(self._indexed(positions), self.operand(line))
        else:
            places = [position - self.summed for position in positions]
            self._write_output_at(self._indexed(places), self.operand(line))

    def _fetched(self, kind: str, numbers: Sequence[Any]) -> str:
        if kind == "constant":
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
        self.start()
        for line in sorted(self.late):
            if self._repeated(line):
                self._write_repeatedly(line, self.outputs[line])
            else:
                self._write_output(line, self.operand(line))
        return self._chunk(number)

    def _write_repeatedly(self, line: int, positions: Sequence[int]) -> None:
        self.operand(line)  # loaded ahead of the loop
        if positions[0] < self.summed:
            self._counted()
        self.indices = {}
        with self.loop(len(positions)) as here:
            self.k = here.k.name
            self._write_at(positions, line)

    # ── memory ────────────────────────────────────────────────────────────────────────────────
    def _hold(self) -> None:
        """Say where everything is that is held."""
        self.held = {}
        for line, (row, operands) in enumerate(self.program.code):
            if row is TABLE:
                self.held[line] = self._entries(operands)
            elif row in HELD:
                first, length = self.slot_count, length_of(self.program.code, line)
                self.slot_count += length
                self.held[line] = Held("line", range(first, first + length))

    def _entries(self, entries: Sequence[int]) -> Held:
        code = self.program.code
        kinds = {kind_of(code[k], self.varying) for k in entries}
        kind = kinds.pop() if len(kinds) == 1 else "line"
        if kind == "constant":
            numbers = [self.plain_literal(code[k][1][0]) for k in entries]
            return Held(kind, range(len(entries)), self._table(self.t, numbers))
        if kind != "line":
            positions = [code[k][1][0] for k in entries]
        else:
            positions = []
            for k in entries:
                positions.append(self.slots.get(k, self.slot_count))
                self.slot_count += k not in self.slots  # what comes in is copied there
        in_step = len(positions) == 1 or step_of(positions) is not None
        return Held(kind, positions, "" if in_step else self._table("i32", map(str, positions)))

    def _memory(self, line: int, row: Primitive, operands: Sequence[Any]) -> str | None:
        """One operation: the name of what is read, None where nothing is."""
        if row is TAKE:
            index, held = operands
            return self._read(self.held[held], self._position(index, self.held[held]))
        here = self.held[line]
        if row is TABLE:
            if here.kind == "line":
                for k, position in zip(operands, here.positions, strict=True):
                    if self.slots.get(k) != position:
                        self._store(self.operand(k), "%s", position * self.lanes)
            return None
        start = self.add(f"getelementptr {self.t}, ptr %s, i64 {here.positions[0] * self.lanes}")
        size = len(here.positions) * self.lanes * self.bytes
        self.declared["memset"] = "void @llvm.memset.p0.i64(ptr, i8, i64, i1)"
        self.do(f"call void @llvm.memset.p0.i64(ptr {start}, i8 0, i64 {size}, i1 false)")
        for index, term in pairs_of(operands):
            self._add_at(self._position(index, here), self.operand(term))
        return None

    def _position(self, index: Any, held: Held) -> int | str:
        """The position that an index stands for; that of entry 0 for what is no index."""
        code, positions = self.program.code, held.positions
        if isinstance(index, int) and code[index][0] is CONSTANT:
            return positions[int(code[index][1][0])]
        kind = self.kind("i32")
        place = self._index(index, self.literal(float(len(positions))), kind)
        if held.table and held.kind != "constant":
            return self._gathered("i32", held.table, place)
        step = positions[1] - positions[0] if len(positions) > 1 else 1
        if step != 1:
            place = self.add(f"mul {kind} {place}, {self.everywhere('i32', step)}")
        if not positions[0]:
            return place
        return self.add(f"add {kind} {place}, {self.everywhere('i32', positions[0])}")

    def _read(self, held: Held, position: int | str) -> str:
        alike = self.lanes == 1 or isinstance(position, int)
        if held.kind == "line":
            if alike:
                return self._load("%s", self._wide(position, self.lanes))
            return self._gathered(self.t, "%s", self._in_lanes(str(position)))
        if held.kind in ("constant", "parameter"):
            base = held.table if held.kind == "constant" else "%p"
            if alike:
                return self._broadcast(base, self._wide(position))
            return self._gathered(self.t, base, str(position))
        if alike:
            return self._input_at(self._wide(position), held.kind == "column")
        columns = self._gathered("ptr", "%x", str(position))
        if held.kind == "column":
            columns = self._moved(columns)
        return self._gather(self.t, columns)

    def _add_at(self, position: int | str, term: str) -> None:
        if self.lanes == 1 or isinstance(position, int):
            place = self._wide(position, self.lanes)
            before = self._load("%s", place)
            self._store(self.add(f"fadd {self.v} {before}, {term}"), "%s", place)
            return
        places = self._pointers(self.t, "%s", self._in_lanes(position))
        after = self.add(f"fadd {self.v} {self._gather(self.t, places)}, {term}")
        short, count = self.overloaded(), self.lanes
        kinds = f"{self.v}, <{count} x ptr>, i32, <{count} x i1>"
        name = f"llvm.masked.scatter.{short}.v{count}p0"
        self.declared[name] = f"void @{name}({kinds})"
        self.do(
            f"call void @{name}({self.v} {after}, <{count} x ptr> {places}, i32 {self.bytes}, "
            f"{self._every_lane()})"
        )

    def _wide(self, position: int | str, count: int = 1) -> int | str:
        """A position as memory is indexed, in 64 bits; of so many numbers each."""
        if isinstance(position, int):
            return position * count
        return self.add(f"zext i32 {position} to i64")

    def _in_lanes(self, position: str) -> str:
        """The positions of numbers that stand in lanes side by side."""
        kind = self.kind("i32")
        first = self.add(f"mul {kind} {position}, {self.everywhere('i32', self.lanes)}")
        return self.add(f"add {kind} {first}, {vector_of('i32', range(self.lanes))}")

    def _pointers(self, kind: str, base: str, index: str) -> str:
        return self.add(f"getelementptr {kind}, ptr {base}, {self.kind('i32')} {index}")

    def _gathered(self, kind: str, base: str, index: str) -> str:
        """What stands at the indices of all lanes, or at one."""
        if self.lanes > 1:
            return self._gather(kind, self._pointers(kind, base, index))
        return self.add(f"load {kind}, ptr {self._pointers(kind, base, index)}")

    def _gather(self, kind: str, pointers: str) -> str:
        count, size = self.lanes, {"ptr": 8, "i32": 4}.get(kind, self.bytes)
        short = {"ptr": "p0", "i32": "i32", "double": "f64", "float": "f32"}[kind]
        whole, name = f"<{count} x {kind}>", f"llvm.masked.gather.v{count}{short}.v{count}p0"
        self.declared[name] = f"{whole} @{name}(<{count} x ptr>, i32, <{count} x i1>, {whole})"
        return self.add(
            f"call {whole} @{name}(<{count} x ptr> {pointers}, i32 {size}, {self._every_lane()}, "
            f"{whole} poison)"
        )

    def _every_lane(self) -> str:
        return f"{self.b} {self.truth_literal(True)}"

    def _moved(self, columns: str) -> str:
        """The numbers of these points in columns, one in each lane."""
        kind = self.kind("i64")
        lanes = vector_of("i64", range(self.lanes))
        points = self.add(f"add {kind} {self._spread('i64', '%i', self.lanes)}, {lanes}")
        return self.add(f"getelementptr {self.t}, {self.kind('ptr')} {columns}, {kind} {points}")
