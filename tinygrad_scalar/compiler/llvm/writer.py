"""A program as LLVM assembly: straight lines of code, for one point or for lanes of points.

Long programs are cut into functions of some hundred lines, so that compile time stays linear;
what one of them hands to a later one goes through `scratch`. Nothing is reassociated: the only
fast-math flag is `contract`, which allows a·b + c in one rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import (
    CONDITIONS,
    CONSTANT,
    GUARD,
    MARKERS,
    MEMORY,
    PARAMETER,
    SINES,
)
from tinygrad_scalar.compiler.llvm.builder import ARITHMETIC, FENCE, Assembly, Target, vector_of
from tinygrad_scalar.compiler.machine.text import Loop, Text
from tinygrad_scalar.core.primitive import Primitive

CHUNK = 2000  # lines of a function
# Inputs, parameters, outputs, scratch and the mask of guards. Scratch begins with the sums over
# points, for every lane: of outputs, and then of what must be finite. Of a batch, inputs and
# outputs are columns, and behind these is where the sums go.
_ARGUMENTS = "ptr noalias %x, ptr noalias %p, ptr noalias %out, ptr noalias %s, ptr noalias %m"
GIVEN = "ptr %x, ptr %p, ptr %out, ptr %s, ptr %m"


class Writer(Assembly):
    """Writes the functions of one program."""

    # an operation on memory: the name of what is read, None where nothing is
    _memory: Callable[[int, Primitive, Sequence[Any]], str | None]

    def __init__(self, program: Program, target: Target, how: str, varying: Sequence[bool]) -> None:
        super().__init__(target)
        self.summed = 0  # outputs that are sums over the points
        self.order: list[int] = []  # of these
        if how == "sums":
            self.summed = len(program.outputs) - program.apart
            program = self._in_order(program)
        self.program, self.at_points, self.varying = program, how != "point", varying
        self.last_guard = program.last_guard
        # a guard must not turn by the rounding that a fused operation leaves out
        self.contract = "" if self.last_guard >= 0 else "contract "
        self.wanted: set[int] = set()  # lines that are more than an operand of others
        self.tables: list[str] = []
        self.size = 0  # lines written
        self.quick = False  # whether it is made into machine code in a short time
        self.slots: dict[int, int] = {}
        self.slot_count = self.summed + 1
        self.checked = set(program.checked)
        self.outputs = program.positions
        self.late: set[int] = set()  # outputs that are written at the end

    def _in_order(self, program: Program) -> Program:
        """The outputs as their sums in lanes stand in memory: as they are worked out.

        As the parameters stand, those of a column of a matrix would be a power of two apart, and a
        cache holds few numbers that are.
        """
        outputs = program.outputs
        self.order = sorted(range(self.summed), key=outputs.__getitem__)
        sums = [outputs[k] for k in self.order]
        return replace(program, outputs=[*sums, *outputs[self.summed :]])

    # ── functions ─────────────────────────────────────────────────────────────────────────────
    def _waits(self, line: int) -> bool:
        """Whether it is not known yet, at a line of output, which points are to be summed."""
        return self.summed > 0 and line <= self.last_guard

    def start(self) -> None:
        """Begin a function, in which nothing has a name yet."""
        super().start()
        self.blocks = set()
        self.names: dict[Any, str] = {}
        self.conditions: dict[Any, str] = {}
        self.counted: list[str] = []  # of each vector, the lanes whose outputs are added up
        self.truths: set[Any] = set()  # choices among truth values, which are conditions too
        self.finite: list[str] = []
        self.holding = ""  # whether all guards here hold, as far as that is not noted yet
        self.sines: dict[Any, str] = {}  # of a sine or cosine and its operand: computed already

    def _defined(self, header: str) -> str:
        """The function that was begun, with rooms where calls find operands, or leave results."""
        self.lines[:0] = [
            f"  %block{size} = alloca [{size} x double]" for size in sorted(self.blocks)
        ]
        return self.defined(header)

    def _chunk(self, number: int) -> str:
        index = "i64 %i, i64 %again, " if self.at_points else ""
        self.lines += [FENCE] * self.quick
        return self._defined(f"internal void @chunk{number}({index}{_ARGUMENTS})")

    def _lines(self, lines: Sequence[int]) -> None:
        code, wanted, computed = self.program.code, self.wanted, self._computed
        for line in lines:
            row, operands = code[line]
            computed(line, row, operands)
            if line in wanted:
                self._hand_on(line)

    def _computed(self, line: int, row: Primitive, operands: Sequence[Any]) -> None:
        if row is GUARD:
            self._guard(*operands)
        elif row not in MARKERS:
            name = self._value(line, row, operands)
            if name is not None:
                self.names[line] = name

    def _hand_on(self, line: int) -> None:
        """Store what others need: later functions, the caller, the check for what is finite."""
        if line in self.checked:
            self.finite.append(self.operand(line))
        if line in self.slots:
            self._store(self.operand(line), "%s", self.slots[line] * self.lanes)
        if line in self.outputs and line not in self.late and not self._waits(line):
            self._write_output(line, self.operand(line))
        if line == self.last_guard:
            self._settle()

    def _settle(self) -> None:
        """Behind the last guard, write the outputs that wait for it."""
        self.contract = "contract "
        self._note_held()
        for waiting in filter(self._waits, self.outputs):
            if waiting not in self.late:
                self._write_output(waiting, self.operand(waiting))

    def _value(self, line: int, row: Primitive, operands: Sequence[Any]) -> str | None:
        if row.llvm in ARITHMETIC:
            given = ", ".join(map(self.operand, operands))
            return self.add(f"{row.llvm} {self.contract}{self.v} {given}")
        if row.llvm == "select":
            condition = self.condition(operands[0])
            first, second = self._truth(operands[1]), self._truth(operands[2])
            if first is not None and second is not None:
                self.truths.add(line)
                chosen = f"{self.b} {condition}, {self.b} {first}, {self.b} {second}"
                self.conditions[line] = self.add(f"select {chosen}")
                return None
            a, b = self.operand(operands[1]), self.operand(operands[2])
            return self.add(f"select {self.b} {condition}, {self.v} {a}, {self.v} {b}")
        if row in MEMORY:
            return self._memory(line, row, operands)
        if row in CONDITIONS:
            a, b = self.operand(operands[0]), self.operand(operands[1])
            self.conditions[line] = self.add(f"fcmp {row.llvm} {self.v} {a}, {b}")
            return None
        x = [self.operand(k) for k in operands]
        called = self._sine_or_cosine(line, row, x[0]) if row in SINES else None
        return called or self._called(row, x)

    def _sine_or_cosine(self, line: int, row: Primitive, x: str) -> str | None:
        """Both by one call where the other one is next, at one point; else None."""
        if (row, x) in self.sines:
            return self.sines.pop((row, x))
        code, both = self.program.code, self.target.address("sincos")
        alone = line + 1 == len(code) or code[line + 1][0] not in SINES
        if alone or both is None or self.v != "double":
            return None
        self.blocks.add(2)
        places = [self.add(f"getelementptr double, ptr %block2, i64 {k}") for k in (0, 1)]
        given = f"double {x}, ptr {places[0]}, ptr {places[1]}"
        self.do(f"call void inttoptr (i64 {both} to ptr)({given})")
        self.sines = {
            (one, x): self.add(f"load double, ptr {place}")
            for one, place in zip(SINES, places, strict=True)
        }
        return self.sines.pop((row, x))

    def _truth(self, line: Any) -> str | None:
        """A line that is 1 or 0, and known here as a truth value; None for others."""
        if line in self.truths:
            return self.conditions.get(line)
        row, operands = self.program.code[line] if isinstance(line, int) else (None, ())
        if row is CONSTANT and repr(operands[0]) in ("0.0", "1.0"):
            return self.truth_literal(bool(operands[0]))
        return self.conditions.get(line) if row in CONDITIONS else None

    # ── operands ──────────────────────────────────────────────────────────────────────────────
    def operand(self, line: Any) -> str:
        """The name of a line's value here: computed, loaded or written out."""
        name = self.names.get(line)
        if name is None:
            self.names[line] = name = self._loaded(line)
        return name

    def _loaded(self, line: int) -> str:
        if line in self.conditions:
            # quick selection knows no uitofp, and would leave all lines so far to the slow one
            numbers = f"{self.v} {self.literal(1.0)}, {self.v} {self.literal(0.0)}"
            return self.add(f"select {self.b} {self.conditions[line]}, {numbers}")
        slot = self.slots.get(line)
        if slot is not None:
            return self._load("%s", slot * self.lanes)
        row, operands = self.program.code[line]
        if row is CONSTANT:
            return self.literal(operands[0])
        return self._broadcast("%p", operands[0]) if row is PARAMETER else self._input(operands[0])

    def condition(self, line: Any) -> str:
        """A line as a truth value."""
        name = self.conditions.get(line)
        if name is None:
            zero = self.literal(0.0)
            name = self.add(f"fcmp une {self.v} {self.operand(line)}, {zero}")
            self.conditions[line] = name
        return name

    def _index(self, line: Any, length: str, kind: str) -> str:
        """A line as a whole number of that kind, below a length; 0 for what is no index."""
        x, zero = self.operand(line), self.literal(0.0)
        low = self.add(f"fcmp oge {self.v} {x}, {zero}")
        high = self.add(f"fcmp olt {self.v} {x}, {length}")
        inside = self.add(f"and {self.b} {low}, {high}")
        safe = self.add(f"select {self.b} {inside}, {self.v} {x}, {self.v} {zero}")
        return self.add(f"fptosi {self.v} {safe} to {kind}")

    def _input(self, position: int) -> str:
        return self._input_at(position, self.at_points and self.varying[position])

    def _input_at(self, position: int | str, varying: bool) -> str:
        if not self.at_points:
            return self._load("%x", position)
        column = self._column("%x", position)
        return self._load(column, "%i") if varying else self._broadcast(column, 0)

    def _column(self, base: str, position: int | str) -> str:
        """Where the numbers of an input or an output begin."""
        pointer = self.add(f"getelementptr inbounds ptr, ptr {base}, i64 {position}")
        return self.add(f"load ptr, ptr {pointer}, !invariant.load !0")

    # ── results ───────────────────────────────────────────────────────────────────────────────
    def _write_output(self, line: int, name: str) -> None:
        for position in self.outputs[line]:
            if position < self.summed:
                self._add_to_sum(position, name)
            else:
                self._write_output_at(position - self.summed, name)

    def _write_output_at(self, position: int | str, name: str) -> None:
        if self.at_points:
            self._store(name, self._column("%out", position), "%i")
        else:
            self._store(name, "%out", position)

    def _add_to_sum(self, position: int | str, name: str, *, masked: bool = True) -> None:
        """Of all points, or of those that count; at one point there is no vector to add up in."""
        kind = self.one if self.at_points else self.v
        counted = self._counted() if masked else []
        place = self.add(f"getelementptr {kind}, ptr %s, i64 {position}")
        total = self.add(f"load {kind}, ptr {place}{self.align}")
        for term, lanes in zip_longest(self._vectors(name), counted):
            sum_ = self.add(f"fadd contract {kind} {total}, {term}")
            chosen = f"<{self.target.lanes} x i1> {lanes}, {kind} {sum_}, {kind} {total}"
            total = self.add(f"select {chosen}") if masked else sum_
        self.do(f"store {kind} {total}, ptr {place}{self.align}")
        self._fenced()

    def _counted(self) -> list[str]:
        """Of each vector the lanes of points not counted before, with all guards holding."""
        size = self.target.lanes
        for first in range(0, self.lanes, size) if not self.counted else ():
            ids = vector_of("i64", range(first, first + size))
            first_new = self._spread("i64", "%again", size)
            name = self.add(f"icmp sge <{size} x i64> {ids}, {first_new}")
            if self.last_guard >= 0:
                lane = self.add(f"add i64 %i, {first}")
                place = self.add(f"getelementptr inbounds i8, ptr %m, i64 {lane}")
                mask = self.add(f"load <{size} x i8>, ptr {place}, align 1")
                fine = self.add(f"icmp ne <{size} x i8> {mask}, zeroinitializer")
                name = self.add(f"and <{size} x i1> {name}, {fine}")
            self.counted.append(name)
        return self.counted

    def _guard(self, condition: Any, outcome: Any) -> None:
        """Whether the condition turns out as it did in the trace, and all before it here."""
        held, asked = self.condition(condition), self._truth(outcome)
        if asked is None:  # in a loop whose iterations went one way and the other
            held, asked = self._other(held, self.condition(outcome)), self.truth_literal(False)
        if asked == self.truth_literal(False):
            held = self._other(held, self.truth_literal(True))
        self.holding = self.add(f"and {self.b} {self.holding}, {held}") if self.holding else held

    def _other(self, truth: str, than: str) -> str:
        return self.add(f"xor {self.b} {truth}, {than}")

    def _carry_held(self, loop: Loop) -> str:
        """Whether the guards of a loop hold in all iterations, to be noted behind it."""
        here, self.holding = self.holding, ""
        if not here:
            return ""
        held = loop.carry(self.constant(self.b, self.truth_literal(True)))
        held.next = self.constant(self.b, self.add(f"and {held}, {here}"))
        return held.name

    def _note_held(self) -> None:
        """The mask keeps the points where all guards here hold."""
        if not self.holding:
            return
        kind, place = self.kind("i8"), "%m"
        flag = self.add(f"zext {self.b} {self.holding} to {kind}")
        self.holding, self.counted = "", []
        if self.at_points:
            place = self.add("getelementptr inbounds i8, ptr %m, i64 %i")
        before = self.add(f"load {kind}, ptr {place}, align 1")
        after = self.add(f"and {kind} {before}, {flag}")
        self.do(f"store {kind} {after}, ptr {place}, align 1")

    def _finite_sum(self) -> str | None:
        """The sum of the checked lines here, None where none is."""
        # computed numbers, and constants by their bits: NaN and inf
        terms = [name for name in self.finite if name[0] == "%" or name[2:5] in ("7FF", "FFF")]
        if not terms:
            return None
        return functools.reduce(lambda a, b: self.add(f"fadd {self.v} {a}, {b}"), terms)

    def _note_finite(self) -> None:
        """The last of the sums is that of the checked lines: inf or NaN once one is not finite."""
        total = self._finite_sum()
        if total is not None:  # what guards keep out is none of it
            masked = self.at_points and self.last_guard >= 0
            self._add_to_sum(self.summed, total, masked=masked)

    def _table(self, kind: str, entries: Iterable[str]) -> str:
        """Numbers that belong to the code, one per iteration."""
        texts = [f"{kind} {entry}" for entry in entries]
        name = f"@table{len(self.tables)}"
        self.tables.append(
            f"{name} = internal constant [{len(texts)} x {kind}] [{', '.join(texts)}]"
        )
        return name

    def _driver(self, count: int) -> str:
        """What calls all functions, at one point or for all lanes after the other."""
        text, last = Text(), "!0 = !{}"
        if not self.at_points:
            self._call_chunks(text, count)
            s = text.constant("ptr", "%s")
            total = s.load("double")
            s.store(total - total)
            return f"{text.defined(f'void @point({GIVEN})')}\n{last}"
        # Of fewer points than lanes, the first stands there several times in front. The last lanes
        # begin where they are full, with points that were there before: these are written the same
        # twice, and in sums they do not count again. Whether vectors stand side by side or not, a
        # point is added up in the same lane.
        size, lanes = text.constant("i64", "%n"), text.constant("i64", self.lanes)
        n = text.select(size < self.lanes, lanes, size)
        first = n - size
        whole = first + (size & -self.lanes)
        with text.loop(whole, first, self.lanes) as loop:
            self._call_chunks(text, count, loop.k, "i64 0")
        with text.loop(n, whole, self.target.lanes) as loop:
            end = loop.k + self.target.lanes
            i = text.select(end < n, end, n) - self.lanes
            self._call_chunks(text, count, i, loop.k - i)
        self._add_lanes(text)
        return f"{text.defined(f'void @run(i64 %n, {GIVEN})')}\n{last}"

    def _call_chunks(self, text: Text, count: int, *index: Any) -> None:
        for k in range(count):
            text.call(f"@chunk{k}", *index, GIVEN, gives="void")

    def _add_lanes(self, text: Text) -> None:
        """Behind all else the sums over the lanes, in the order of the outputs.

        The last one tells whether all of them are finite, and what was checked: it is 0 then. Zeros
        are left in the lanes, for the next call.
        """
        lanes, s = self.target.lanes, text.constant("ptr", "%s")
        zero = text.constant(self.t, -0.0)
        order = text.constant("ptr", self._table("i32", map(str, [*self.order, self.summed])))
        sums = text.constant("ptr", "%out").item(len(self.program.outputs) - self.summed, "ptr")
        name = f"llvm.vector.reduce.fadd.v{lanes}{'f64' if self.t == 'double' else 'f32'}"
        self.declared[name] = f"{self.t} @{name}({self.t}, {self.one})"
        with text.loop(self.summed + 1) as loop:
            odd = loop.carry(zero)
            place = s.at(loop.k, self.one)
            several = place.load(self.one)
            place.store(text.constant(self.one, "zeroinitializer"))
            total = text.new(self.t, f"call reassoc {self.t} @{name}({zero}, {several})")
            sums.at(order.item(loop.k, "i32").to("zext", "i64"), self.t).store(total)
            odd.next = odd + (total - total)
        sums.at(self.summed, self.t).store(odd)
