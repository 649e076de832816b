"""Superinstructions as LLVM assembly, and the sweeps that go through a stream of them.

Each is a function that goes through its iterations; every iteration has its indices of cells in a
row of a table. Values stand in one array of cells, gradients in another.
"""

from __future__ import annotations

from tinygrad_scalar.tape import ir
from tinygrad_scalar.tape.assembly import Target
from tinygrad_scalar.tape.code import CONSTANT
from tinygrad_scalar.tape.superinstructions import Superinstruction

# the indices, how many iterations, values, gradients, what must be finite, the mask of guards
_ARGUMENTS = (
    "ptr noalias %t, i64 %n, ptr noalias %v, ptr noalias %a, ptr noalias %s, ptr noalias %m"
)


class Writer(ir.Writer):
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
        text = "\n".join(body)
        return (
            f"define internal void {name}({_ARGUMENTS}) nounwind {{\nentry:\n{text}\n  ret void\n}}"
        )

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

    def _write_output(self, line: int, name: str) -> None:
        row, operands = self.program.code[line]
        if not (self.backwards and row is CONSTANT and operands[0] == 0.0):
            super()._write_output(line, name)

    def _write_output_at(self, position: int | str, name: str) -> None:
        assert isinstance(position, int)  # noqa: S101 (straight lines of code)
        if not self.backwards:
            place = self._cell(self.body.operands + position, "%v")
        else:
            place = self._cell(self.body.active[position], "%a")
            before = self.add(f"load double, ptr {place}")
            name = self.add(f"fadd double {before}, {name}")
        self.lines.append(f"  store double {name}, ptr {place}")


# A sum of any length: the indices of its terms, and then of the result.
SUM_FORWARD = f"""define internal void @sum_forward({_ARGUMENTS}) nounwind {{
entry:
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi double [ -0.0, %entry ], [ %total, %loop ]
  %place = getelementptr i32, ptr %t, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %v, i64 %wide
  %term = load double, ptr %cell
  %total = fadd double %sum, %term
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  %last = getelementptr i32, ptr %t, i64 %n
  %lastindex = load i32, ptr %last
  %lastwide = zext i32 %lastindex to i64
  %result = getelementptr double, ptr %v, i64 %lastwide
  store double %total, ptr %result
  ret void
}}"""
SUM_REVERSE = f"""define internal void @sum_reverse({_ARGUMENTS}) nounwind {{
entry:
  %last = getelementptr i32, ptr %t, i64 %n
  %lastindex = load i32, ptr %last
  %lastwide = zext i32 %lastindex to i64
  %result = getelementptr double, ptr %a, i64 %lastwide
  %slope = load double, ptr %result
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr i32, ptr %t, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %a, i64 %wide
  %before = load double, ptr %cell
  %after = fadd double %before, %slope
  store double %after, ptr %cell
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""

COPY, FILL = "@llvm.memcpy.p0.p0.i64", "@llvm.memset.p0.i64"
SWEEPS = """define internal void @sweep(ptr %stream, i64 %n, ptr %functions, ptr %table, ptr %v, \
ptr %a, ptr %s, ptr %m) nounwind {
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %done, label %loop
loop:
  %place = phi ptr [ %stream, %entry ], [ %next, %loop ]
  %k = phi i64 [ %n, %entry ], [ %left, %loop ]
  %body = load i64, ptr %place
  %second = getelementptr i64, ptr %place, i64 1
  %iterations = load i64, ptr %second
  %third = getelementptr i64, ptr %place, i64 2
  %offset = load i64, ptr %third
  %slot = getelementptr ptr, ptr %functions, i64 %body
  %function = load ptr, ptr %slot
  %indices = getelementptr i32, ptr %table, i64 %offset
  call void %function(ptr %indices, i64 %iterations, ptr %v, ptr %a, ptr %s, ptr %m)
  %next = getelementptr i64, ptr %place, i64 3
  %left = sub i64 %k, 1
  %more = icmp ne i64 %left, 0
  br i1 %more, label %loop, label %done
done:
  ret void
}
define internal void @gather(ptr %indices, i64 %n, ptr %from, ptr %to) nounwind {
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %done, label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr i32, ptr %indices, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %from, i64 %wide
  %number = load double, ptr %cell
  %end = getelementptr double, ptr %to, i64 %k
  store double %number, ptr %end
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
define internal i1 @checked(ptr %s, ptr %m) nounwind {
  %sum = load double, ptr %s
  %zero = fsub double %sum, %sum
  store double %zero, ptr %s
  %flag = load i8, ptr %m
  %holds = icmp ne i8 %flag, 0
  ret i1 %holds
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"""
