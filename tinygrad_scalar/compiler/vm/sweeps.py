"""Superinstructions as LLVM assembly: functions that go through their iterations.

Every iteration has its indices of cells in a row of a table. Values stand in one array of cells,
gradients in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.memory import SCATTER, TAKE, pairs_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT
from tinygrad_scalar.compiler.llvm import writer
from tinygrad_scalar.compiler.llvm.builder import Target
from tinygrad_scalar.compiler.vm.driver import INSTRUCTION
from tinygrad_scalar.compiler.vm.superinstructions import Superinstruction
from tinygrad_scalar.core.primitive import Primitive


class Writer(writer.Writer):
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
            self.binary = self._operations("")

    def function(self, name: str) -> str:
        """The function of that name."""
        self._start()
        self._lines(range(len(self.program.code)))
        blocks = [f"  %block{size} = alloca [{size} x double]" for size in sorted(self.blocks)]
        width, first = self.body.width, "%t"
        if self.backwards:
            blocks += [
                "  %end = sub i64 %n, 1",
                f"  %skipped = mul i64 %end, {width}",
                "  %last = getelementptr i32, ptr %t, i64 %skipped",
            ]
            width, first = -width, "%last"
        phis, after = self._finite_sum()
        body = [
            *blocks,
            "  br label %loop",
            "loop:",
            f"  %row = phi ptr [ {first}, %entry ], [ %following, %loop ]",
            "  %k = phi i64 [ %n, %entry ], [ %left, %loop ]",
            *phis,
            *self.lines,
            f"  %following = getelementptr i32, ptr %row, i64 {width}",
            "  %left = sub i64 %k, 1",
            "  %done = icmp eq i64 %left, 0",
            "  br i1 %done, label %end_of_loop, label %loop",
            "end_of_loop:",
            *after,
        ]
        text = "\n".join(["entry:", *body, "  ret void"])
        return f"define internal void {name}({INSTRUCTION}) nounwind {{\n{text}\n}}"

    def _finite_sum(self) -> tuple[list[str], list[str]]:
        """The sum of what must be finite, carried through the iterations and handed on."""
        terms = self.finite
        if not terms:
            return [], []
        while len(terms) > 1:
            pairs = [
                self.add(f"fadd {self.v} {a}, {b}")
                for a, b in zip(terms[::2], terms[1::2], strict=False)
            ]
            terms = [*pairs, *terms[2 * len(pairs) :]]
        self.lines.append(f"  %total = fadd {self.v} %sum, {terms[0]}")
        return (
            [f"  %sum = phi {self.v} [ 0.0, %entry ], [ %total, %loop ]"],
            [
                f"  %before = load {self.v}, ptr %s",
                f"  %after = fadd {self.v} %before, %total",
                f"  store {self.v} %after, ptr %s",
            ],
        )

    # ── cells ─────────────────────────────────────────────────────────────────────────────────
    def _cell(self, position: int, base: str) -> str:
        place = self.add(f"getelementptr i32, ptr %row, i64 {position}")
        index = self.add(f"load i32, ptr {place}")
        wide = self.add(f"zext i32 {index} to i64")
        return self.add(f"getelementptr double, ptr {base}, i64 {wide}")

    def _input(self, position: int) -> str:
        """An operand, the gradient of a result, or a result."""
        base, results = "%v", self.body.results
        if position >= self.body.operands + results:
            position -= results
        elif position >= self.body.operands:
            base = "%a"
        return self.add(f"load double, ptr {self._cell(position, base)}")

    def _memory(self, line: int, row: Primitive, operands: Sequence[Any]) -> str:
        if row is TAKE:
            index, table = operands
            cell = self._entry(index, self.program.code[table][1][0], "%v")
            return self.add(f"load double, ptr {cell}")
        for index, term in pairs_of(operands):
            for position in self.outputs[line]:
                cell = self._entry(index, self.body.active[position], "%a")
                self._add_to(cell, self.operand(term))
        return ""

    def _entry(self, index: int, position: int, base: str) -> str:
        """The cell of an entry, the first for what is no index; a table is told by its distance."""
        here = self.add(f"getelementptr i32, ptr %row, i64 {position}")
        distance = self.add(f"load i32, ptr {here}")
        listing = self.add(f"getelementptr i32, ptr {here}, i32 {distance}")
        length = self.add(f"sitofp i32 {self.add(f'load i32, ptr {listing}')} to double")
        x = self.operand(index)
        low = self.add(f"fcmp oge double {x}, {self.literal(0.0)}")
        inside = self.add(f"and i1 {low}, {self.add(f'fcmp olt double {x}, {length}')}")
        safe = self.add(f"select i1 {inside}, double {x}, double {self.literal(0.0)}")
        whole = self.add(f"fptosi double {safe} to i64")
        place = self.add(f"getelementptr i32, ptr {listing}, i64 {self.add(f'add i64 {whole}, 1')}")
        wide = self.add(f"zext i32 {self.add(f'load i32, ptr {place}')} to i64")
        return self.add(f"getelementptr double, ptr {base}, i64 {wide}")

    def _add_to(self, place: str, name: str) -> None:
        before = self.add(f"load double, ptr {place}")
        self.lines.append(
            f"  store double {self.add(f'fadd double {before}, {name}')}, ptr {place}"
        )

    def _write_output(self, line: int, name: str) -> None:
        row, operands = self.program.code[line]
        nothing = row is CONSTANT and operands[0] == 0.0
        if not (self.backwards and (nothing or row is SCATTER)):
            super()._write_output(line, name)

    def _write_output_at(self, position: int | str, name: str, *, apart: bool = False) -> None:
        del apart  # nothing is summed over points
        assert isinstance(position, int)  # noqa: S101 (straight lines of code)
        if self.backwards:
            self._add_to(self._cell(self.body.active[position], "%a"), name)
        else:
            place = self._cell(self.body.operands + position, "%v")
            self.lines.append(f"  store double {name}, ptr {place}")
