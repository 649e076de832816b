"""Superinstructions: a few operations of a trace as one instruction, forwards and backwards.

A superinstruction reads cells of memory (its operands) and writes others (its results). The
reverse one works the operations out again from the operands, takes the gradients of the results,
and adds to those of the operands. Its derivative is the tape's own, made once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_scalar import primitives
from tinygrad_scalar.tape import ir
from tinygrad_scalar.tape.assembly import NATIVE, Target
from tinygrad_scalar.tape.code import CONSTANT, GUARDS, Tape
from tinygrad_scalar.tape.derive import Derivation, inner_grads_on
from tinygrad_scalar.tape.lowering import lowered
from tinygrad_scalar.tape.program import Line, Program, pruned
from tinygrad_scalar.tape.traced import Recording

# the indices, how many iterations, values, gradients, what must be finite, the mask of guards
ARGUMENTS = "ptr noalias %t, i64 %n, ptr noalias %v, ptr noalias %a, ptr noalias %s, ptr noalias %m"


class Unsupported(Exception):  # noqa: N818 (no error: the trace is compiled another way)
    """A row whose derivative cannot be written down without the numbers of a point."""


class Superinstruction:
    """Operations as `code` over INPUT lines that stand for the operands.

    `active` operands take part in gradients. An iteration's indices are those of its operands and
    then of its results.
    """

    def __init__(
        self, code: Sequence[Line], operands: int, active: Sequence[int], results: Sequence[int]
    ) -> None:
        self.operands, self.width = operands, operands + max(1, len(results))
        self.active = active
        tape, places = _tape(code, guards=True)
        lines = [places[k] for k in results]
        self.forward = _program(tape, lines, operands, raising=len(tape))
        self.reverse: Program | None = None
        if active and results:
            self.reverse = self._reversed(code, results)

    def _reversed(self, code: Sequence[Line], results: Sequence[int]) -> Program | None:
        """What is added to the gradients of the active operands; None if it is nothing at all."""
        recording = Recording()
        inner_grads_on(recording, orders=0)
        recording.tape, places = _tape(code, guards=False)
        tape = recording.tape
        wanted = [tape.input(k) for k in self.active]
        total: int | None = None
        for k, line in enumerate(results):
            term = tape.line((primitives.mul, (tape.input(self.operands + k), places[line])))
            total = term if total is None else tape.line((primitives.add, (total, term)))
        assert total is not None  # noqa: S101 (there are results)
        try:
            lines = Derivation(recording, copy=False).reverse(total, wanted)
        except (ArithmeticError, ValueError, LookupError) as error:
            raise Unsupported from error
        if tape.parameters:
            raise Unsupported
        if all(tape.constants.get(line) == 0.0 for line in lines):
            return None
        return _program(tape, lines, self.operands + len(results))


def _tape(code: Sequence[Line], *, guards: bool) -> tuple[Tape, list[int]]:
    """The lines on a tape, with or without guards, and where each stands there."""
    tape, places = Tape(), []
    for row, operands in code:
        if row is CONSTANT:
            places.append(tape.constant(operands[0]))
        elif row is ir.INPUT:
            places.append(tape.input(operands[0]))
        elif guards or row not in GUARDS:
            places.append(tape.line((row, tuple([places[k] for k in operands]))))
        else:
            places.append(-1)
    return tape, places


def _program(tape: Tape, lines: Sequence[int], inputs: int, raising: int = 0) -> Program:
    return lowered(pruned(tape, lines, inputs=inputs, parameters=0, raising=raising), NATIVE)


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
            self.last_guard = len(program.code)

    def function(self, name: str) -> str:
        """The function of that name."""
        self._start()
        for line in range(len(self.program.code)):
            self._line(line)
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
            f"define internal void @{name}({ARGUMENTS}) nounwind {{\nentry:\n{text}\n  ret void\n}}"
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
    def _cell(self, position: int | str, base: str) -> str:
        place = self.add(f"getelementptr i32, ptr %row, i64 {position}")
        index = self.add(f"load i32, ptr {place}")
        wide = self.add(f"zext i32 {index} to i64")
        return self.add(f"getelementptr double, ptr {base}, i64 {wide}")

    def _input_at(self, position: int | str, varying: bool) -> str:
        result = isinstance(position, int) and position >= self.body.operands
        return self.add(f"load double, ptr {self._cell(position, '%a' if result else '%v')}")

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
SUM_FORWARD = f"""define internal void @sum_forward({ARGUMENTS}) nounwind {{
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
SUM_REVERSE = f"""define internal void @sum_reverse({ARGUMENTS}) nounwind {{
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
