"""A program as LLVM assembly: straight lines of code, for one point or for lanes of points.

Long programs are cut into functions of some hundred lines, so that compile time stays linear;
what one of them hands to a later one goes through `scratch`. Nothing is reassociated: the only
fast-math flag is `contract`, which allows a·b + c in one rounding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygrad_scalar import primitives as p
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.chunks import chunks, slots
from tinygrad_scalar.tape.code import COMPARISONS, GUARDS, HOLDS
from tinygrad_scalar.tape.elementary import BITS, MANTISSA, POWER_OF_TWO
from tinygrad_scalar.tape.formulas import PRODUCT_ERROR
from tinygrad_scalar.tape.program import CONSTANT, INPUT, PARAMETER, Program

CHUNK = 500  # lines in one function

BINARY = {p.add: "fadd", p.sub: "fsub", p.mul: "fmul", p.div: "fdiv"}
INTRINSICS = {
    p.sqrt: "sqrt", p.abs: "fabs", p.floor: "floor", p.ceil: "ceil", p.trunc: "trunc",
    p.round: "roundeven", p.copysign: "copysign",
}  # fmt: skip
# Functions of the C library, and of its vector twin, by the row that they compute.
# fmt: off
LIBRARY = {
    p.TABLE[name]: name
    for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "hypot", "sin", "cos",
        "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
        "erf", "erfc", "pow", "fmod", "remainder",
    )
}
# fmt: on
NATIVE = frozenset(
    (
        *BINARY,
        *INTRINSICS,
        *LIBRARY,
        p.neg,
        p.where,
        PRODUCT_ERROR,
        *BITS,
        *COMPARISONS.values(),
        *GUARDS,
    )
)
_PREDICATES = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}


@dataclass
class Target:
    """What the code is made for: the type, the lanes, and the vector functions at hand."""

    type: str  # double or float
    lanes: int  # 1 for one point
    # the symbol of the vector function of a C function, and how many lanes it takes
    vector: Callable[[str, int], tuple[str, int] | None]
    callbacks: dict[Primitive, int] = field(default_factory=dict)  # row → address of a thunk


class Writer:
    """Writes the functions of one program."""

    def __init__(self, program: Program, target: Target, how: str, varying: Sequence[bool]) -> None:
        self.program, self.target, self.how, self.varying = program, target, how, varying
        self.t, self.lanes = target.type, target.lanes
        self.v = self.t if self.lanes == 1 else f"<{self.lanes} x {self.t}>"
        self.b = "i1" if self.lanes == 1 else f"<{self.lanes} x i1>"
        # a guard must not turn by the rounding that a fused operation leaves out
        self.flags = "" if program.guards else "contract "
        self.size = 8 if self.t == "double" else 4
        self.declared: dict[str, str] = {}
        self.helpers: dict[str, str] = {}
        self.slots: dict[int, int] = {}
        self.slot_count = 1  # slot 0 sums what must be finite
        self.checked = set(program.checked)
        self.outputs: dict[int, list[int]] = {}
        for k, line in enumerate(program.outputs):
            self.outputs.setdefault(line, []).append(k)
        self.lines: list[str] = []
        self.fresh = 0

    # ── small pieces of text ──────────────────────────────────────────────────────────────────
    def literal(self, number: float) -> str:
        """A constant, in every lane."""
        if self.t == "float":
            number = _as_float32(number)
        text = f"0x{struct.unpack('>Q', struct.pack('>d', number))[0]:016X}"
        if self.lanes == 1:
            return text
        return "<" + ", ".join([f"{self.t} {text}"] * self.lanes) + ">"

    def add(self, text: str) -> str:
        """One instruction, and the name of its result."""
        self.fresh += 1
        name = f"%t{self.fresh}"
        self.lines.append(f"  {name} = {text}")
        return name

    def overloaded(self) -> str:
        """How LLVM's intrinsics name the type."""
        short = "f64" if self.t == "double" else "f32"
        return short if self.lanes == 1 else f"v{self.lanes}{short}"

    # ── the module ────────────────────────────────────────────────────────────────────────────
    def module(self) -> str:
        """The whole text."""
        pieces = chunks(len(self.program.code), CHUNK)
        kept = self.program.outputs if self._accumulates_late() else ()
        self.slots, self.slot_count = slots(self.program, pieces, kept, 1)
        functions = [self._function(k, piece) for k, piece in enumerate(pieces)]
        driver = self._driver(len(pieces))
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, *self.helpers.values(), *functions, driver])

    def _accumulates_late(self) -> bool:
        return self.how == "sums" and self.program.guards

    ARGUMENTS = "ptr noalias %x, ptr noalias %p, ptr noalias %out, ptr noalias %s, ptr noalias %m"

    def _function(self, number: int, chunk: range) -> str:
        self.lines, self.fresh = [], 0
        self.names: dict[int, str] = {}
        self.conditions: dict[int, str] = {}
        self.finite: list[str] = []
        code = self.program.code
        for line in chunk:
            row, operands = code[line]
            if row in (INPUT, PARAMETER, CONSTANT):
                if line in self.outputs and not self._accumulates_late():
                    self._write_output(line, self.operand(line))
                continue
            self._line(line, row, operands)
        if chunk.stop == len(code) and self._accumulates_late():
            for line in self.outputs:
                self._write_output(line, self.operand(line))
        self._note_finite()
        body = "\n".join(self.lines)
        index = "" if self.how == "point" else "i64 %i, i64 %n, "
        attributes = "" if self.how == "point" or number else "alwaysinline "
        return (
            f"define internal void @chunk{number}({index}{self.ARGUMENTS}) {attributes}"
            f"nounwind {{\nentry:\n{body}\n  ret void\n}}"
        )

    def _line(self, line: int, row: Primitive, operands: tuple[Any, ...]) -> None:
        if row in GUARDS:
            self._guard(row, operands[0])
            return
        name = self._value(line, row, operands)
        if name is not None:
            self.names[line] = name
        if line in self.checked:
            self.finite.append(self.operand(line))
        if line in self.slots:
            self._store(self.operand(line), "%s", self.slots[line] * self.lanes)
        if line in self.outputs and not self._accumulates_late():
            self._write_output(line, self.operand(line))

    def _value(self, line: int, row: Primitive, operands: tuple[Any, ...]) -> str | None:
        if row in BINARY:
            names, (left, right) = self.names, operands
            return self.add(
                f"{BINARY[row]} {self.flags}{self.v} {names.get(left) or self.operand(left)}, "
                f"{names.get(right) or self.operand(right)}"
            )
        if row is p.neg:
            return self.add(f"fneg {self.v} {self.operand(operands[0])}")
        if row is p.where:
            condition = self.condition(operands[0])
            a, b = self.operand(operands[1]), self.operand(operands[2])
            return self.add(f"select {self.b} {condition}, {self.v} {a}, {self.v} {b}")
        if row.name in _PREDICATES and COMPARISONS.get(row.name) is row:
            a, b = self.operand(operands[0]), self.operand(operands[1])
            self.conditions[line] = self.add(f"fcmp {_PREDICATES[row.name]} {self.v} {a}, {b}")
            return None
        return self._called(row, [self.operand(k) for k in operands])

    def _called(self, row: Primitive, x: Sequence[str]) -> str:
        if row is PRODUCT_ERROR:
            a, b, product = x
            negative = self.add(f"fneg {self.v} {product}")
            return self.call(f"llvm.fma.{self.overloaded()}", self.v, (a, b, negative))
        if row in BITS:
            return self._bits(row, x[0])
        if row in INTRINSICS:
            return self.call(f"llvm.{INTRINSICS[row]}.{self.overloaded()}", self.v, x)
        if row in LIBRARY:
            return self._library(LIBRARY[row], x)
        return self._callback(row, x)

    # ── operands ──────────────────────────────────────────────────────────────────────────────
    def operand(self, line: int) -> str:
        """The name of a line's value here: computed, loaded or written out."""
        name = self.names.get(line)
        if name is None:
            self.names[line] = name = self._loaded(line)
        return name

    def _loaded(self, line: int) -> str:
        row, operands = self.program.code[line]
        if row is CONSTANT:
            return self.literal(operands[0])
        if row is PARAMETER:
            return self._broadcast("%p", operands[0])
        if row is INPUT:
            return self._input(operands[0])
        if line in self.conditions:
            return self.add(f"uitofp {self.b} {self.conditions[line]} to {self.v}")
        return self._load("%s", self.slots[line] * self.lanes)

    def condition(self, line: int) -> str:
        """A line as a truth value."""
        name = self.conditions.get(line)
        if name is None:
            zero = self.literal(0.0)
            name = self.add(f"fcmp une {self.v} {self.operand(line)}, {zero}")
            self.conditions[line] = name
        return name

    def _input(self, position: int) -> str:
        if self.how == "point":
            return self._load("%x", position)
        pointer = self.add(f"getelementptr inbounds ptr, ptr %x, i64 {position}")
        column = self.add(f"load ptr, ptr {pointer}, !invariant.load !0")
        if not self.varying[position]:
            return self._broadcast(column, 0)
        place = self.add(f"getelementptr inbounds {self.t}, ptr {column}, i64 %i")
        return self.add(f"load {self.v}, ptr {place}, align {self.size}")

    def _address(self, base: str, index: int) -> str:
        return self.add(f"getelementptr inbounds {self.t}, ptr {base}, i64 {index}")

    def _load(self, base: str, index: int) -> str:
        return self.add(f"load {self.v}, ptr {self._address(base, index)}, align {self.size}")

    def _store(self, name: str, base: str, index: int) -> None:
        address = self._address(base, index)
        self.lines.append(f"  store {self.v} {name}, ptr {address}, align {self.size}")

    def _broadcast(self, base: str, index: int) -> str:
        """One number for all lanes."""
        scalar = self.add(f"load {self.t}, ptr {self._address(base, index)}, align {self.size}")
        if self.lanes == 1:
            return scalar
        one = self.add(f"insertelement {self.v} poison, {self.t} {scalar}, i64 0")
        zeros = f"<{self.lanes} x i32> zeroinitializer"
        return self.add(f"shufflevector {self.v} {one}, {self.v} poison, {zeros}")

    # ── calls ─────────────────────────────────────────────────────────────────────────────────
    def call(self, symbol: str, kind: str, x: Sequence[str]) -> str:
        """A call of a function whose operands and result are of one type."""
        arguments = ", ".join([kind] * len(x))
        self.declared.setdefault(symbol, f"{kind} @{symbol}({arguments}) nounwind")
        given = ", ".join(f"{kind} {name}" for name in x)
        return self.add(f"call {kind} @{symbol}({given})")

    def _bits(self, row: Primitive, x: str) -> str:
        """A power of two put together, or a positive number taken apart, by its bits."""
        kind = "i64" if self.lanes == 1 else f"<{self.lanes} x i64>"

        def all_lanes(number: int) -> str:
            if self.lanes == 1:
                return str(number)
            return "<" + ", ".join([f"i64 {number}"] * self.lanes) + ">"

        if row is POWER_OF_TWO:
            whole = self.add(f"fptosi {self.v} {x} to {kind}")
            biased = self.add(f"add {kind} {whole}, {all_lanes(1023)}")
            bits = self.add(f"shl {kind} {biased}, {all_lanes(52)}")
            return self.add(f"bitcast {kind} {bits} to {self.v}")
        bits = self.add(f"bitcast {self.v} {x} to {kind}")
        if row is MANTISSA:
            rest = self.add(f"and {kind} {bits}, {all_lanes(2**52 - 1)}")
            one = self.add(f"or {kind} {rest}, {all_lanes(1023 << 52)}")
            return self.add(f"bitcast {kind} {one} to {self.v}")
        shifted = self.add(f"lshr {kind} {bits}, {all_lanes(52)}")
        exponent = self.add(f"sub {kind} {shifted}, {all_lanes(1023)}")
        return self.add(f"sitofp {kind} {exponent} to {self.v}")

    def _library(self, name: str, x: Sequence[str]) -> str:
        symbol = name if self.t == "double" else f"{name}f"
        if self.lanes == 1:
            return self.call(symbol, self.t, x)
        found = self.target.vector(symbol, len(x))
        if found is not None:
            vector, width = found
            if width == self.lanes:
                return self.call(vector, self.v, x)
            return self._in_parts(vector, width, x)
        return self._lane_by_lane(symbol, x)

    def _in_parts(self, symbol: str, width: int, x: Sequence[str]) -> str:
        """A vector function of fewer lanes, called for each part."""
        kind = f"<{width} x {self.t}>"
        parts = []
        for start in range(0, self.lanes, width):
            mask = ", ".join(f"i32 {k}" for k in range(start, start + width))
            pick = f"<{width} x i32> <{mask}>"
            pieces = [
                self.add(f"shufflevector {self.v} {name}, {self.v} poison, {pick}") for name in x
            ]
            parts.append(self.call(symbol, kind, pieces))
        while len(parts) > 1:
            mask = ", ".join(f"i32 {k}" for k in range(2 * width))
            pick = f"<{2 * width} x i32> <{mask}>"
            parts = [
                self.add(f"shufflevector {kind} {a}, {kind} {b}, {pick}")
                for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
            width *= 2
            kind = f"<{width} x {self.t}>"
        return parts[0]

    def _lane_by_lane(self, symbol: str, x: Sequence[str]) -> str:
        """A scalar function called for each lane, in a helper of its own."""
        helper = f"lanes_{symbol}"
        if helper not in self.helpers:
            arguments = ", ".join([self.t] * len(x))
            self.declared.setdefault(symbol, f"{self.t} @{symbol}({arguments}) nounwind")
            names = [f"%x{k}" for k in range(len(x))]
            lines, result = [], "poison"
            for lane in range(self.lanes):
                for k, name in enumerate(names):
                    lines.append(f"  %e{lane}_{k} = extractelement {self.v} {name}, i64 {lane}")
                given = ", ".join(f"{self.t} %e{lane}_{k}" for k in range(len(x)))
                lines.append(f"  %y{lane} = call {self.t} @{symbol}({given})")
                lines.append(
                    f"  %r{lane} = insertelement {self.v} {result}, {self.t} %y{lane}, i64 {lane}"
                )
                result = f"%r{lane}"
            header = ", ".join(f"{self.v} {name}" for name in names)
            body = "\n".join(lines)
            self.helpers[helper] = (
                f"define internal {self.v} @{helper}({header}) noinline nounwind {{\n"
                f"{body}\n  ret {self.v} {result}\n}}"
            )
        given = ", ".join(f"{self.v} {name}" for name in x)
        return self.add(f"call {self.v} @{helper}({given})")

    def _callback(self, row: Primitive, x: Sequence[str]) -> str:
        """A row that only Python knows: its forward rule is called back, lane by lane."""
        address = self.target.callbacks[row]
        count = len(x)
        block = self.add(f"alloca [{count} x double]")
        result = "poison"
        for lane in range(self.lanes):
            for k, name in enumerate(x):
                scalar = name
                if self.lanes > 1:
                    scalar = self.add(f"extractelement {self.v} {name}, i64 {lane}")
                if self.t == "float":
                    scalar = self.add(f"fpext float {scalar} to double")
                place = self.add(f"getelementptr inbounds double, ptr {block}, i64 {k}")
                self.lines.append(f"  store double {scalar}, ptr {place}")
            thunk = self.add(f"inttoptr i64 {address} to ptr")
            y = self.add(f"call double {thunk}(ptr {block})")
            if self.t == "float":
                y = self.add(f"fptrunc double {y} to float")
            if self.lanes == 1:
                return y
            result = self.add(f"insertelement {self.v} {result}, {self.t} {y}, i64 {lane}")
        return result

    # ── results ───────────────────────────────────────────────────────────────────────────────
    def _write_output(self, line: int, name: str) -> None:
        for k in self.outputs[line]:
            if self.how == "point":
                self._store(name, "%out", k)
            elif self.how == "batch":
                pointer = self.add(f"getelementptr inbounds ptr, ptr %out, i64 {k}")
                column = self.add(f"load ptr, ptr {pointer}, !invariant.load !0")
                place = self.add(f"getelementptr inbounds {self.t}, ptr {column}, i64 %i")
                self.lines.append(f"  store {self.v} {name}, ptr {place}, align {self.size}")
            else:
                counted = self._counted()
                zero = self.literal(-0.0)
                term = self.add(f"select {self.b} {counted}, {self.v} {name}, {self.v} {zero}")
                before = self._load("%out", k * self.lanes)
                after = self.add(f"fadd {self.v} {before}, {term}")
                self._store(after, "%out", k * self.lanes)

    def _counted(self) -> str:
        """The lanes that are points of the batch, with all guards holding."""
        name = self.conditions.get(-1)
        if name is None:
            ids = ", ".join(f"i64 {k}" for k in range(self.lanes))
            kind = f"<{self.lanes} x i64>"
            one = self.add(f"insertelement {kind} poison, i64 %n, i64 0")
            zeros = f"<{self.lanes} x i32> zeroinitializer"
            limit = self.add(f"shufflevector {kind} {one}, {kind} poison, {zeros}")
            name = self.add(f"icmp slt {kind} <{ids}>, {limit}")
            if self.program.guards:
                fine = self.add(f"icmp ne <{self.lanes} x i8> {self._mask()}, zeroinitializer")
                name = self.add(f"and {self.b} {name}, {fine}")
            self.conditions[-1] = name
        return name

    def _mask(self) -> str:
        place = self.add("getelementptr inbounds i8, ptr %m, i64 %i")
        return self.add(f"load <{self.lanes} x i8>, ptr {place}, align 1")

    def _guard(self, row: Primitive, line: int) -> None:
        """The mask keeps the points where the condition turns out as it did in the trace."""
        condition = self.condition(line)
        if self.how == "point":
            flag = self.add(f"zext i1 {condition} to i8")
            if row is not HOLDS:
                flag = self.add(f"xor i8 {flag}, 1")
            before = self.add("load i8, ptr %m")
            after = self.add(f"and i8 {before}, {flag}")
            self.lines.append(f"  store i8 {after}, ptr %m")
            return
        kind = f"<{self.lanes} x i8>"
        flag = self.add(f"zext {self.b} {condition} to {kind}")
        if row is not HOLDS:
            ones = ", ".join(["i8 1"] * self.lanes)
            flag = self.add(f"xor {kind} {flag}, <{ones}>")
        after = self.add(f"and {kind} {self._mask()}, {flag}")
        place = self.add("getelementptr inbounds i8, ptr %m, i64 %i")
        self.lines.append(f"  store {kind} {after}, ptr {place}, align 1")

    def _note_finite(self) -> None:
        """Slot 0 of scratch sums the checked lines: inf or NaN once one of them is not finite."""
        terms = [name for name in self.finite if name[0] == "%"]
        if not terms:
            return
        sums = [self._load("%s", 0), *terms[:3]]  # four chains, for the latency of an addition
        for k, name in enumerate(terms[3:]):
            sums[k % 4] = self.add(f"fadd {self.v} {sums[k % 4]}, {name}")
        total = sums[0]
        for term in sums[1:]:
            total = self.add(f"fadd {self.v} {total}, {term}")
        self._store(total, "%s", 0)

    def _driver(self, count: int) -> str:
        metadata = "!0 = !{}"
        if self.how == "point":
            names = "ptr %x, ptr %p, ptr %out, ptr %s, ptr %m"
            calls = "\n".join(f"  call void @chunk{k}({names})" for k in range(count))
            check = (
                "  %sum = load double, ptr %s\n"
                "  %zero = fsub double %sum, %sum\n"
                "  store double %zero, ptr %s\n"
            )
            header = f"define void @point({names}) nounwind {{"
            return f"{header}\n{calls}\n{check}  ret void\n}}\n{metadata}"
        names = "ptr %x, ptr %p, ptr %out, ptr %s, ptr %m"
        calls = "\n".join(
            f"  call void @chunk{k}(i64 %i, i64 %rest, {names})" for k in range(count)
        )
        return f"""define void @run(i64 %n, {names}) nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %rest = sub i64 %n, %i
{calls}
  %next = add i64 %i, {self.lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
{metadata}"""


def _as_float32(number: float) -> float:
    try:
        return struct.unpack("f", struct.pack("f", number))[0]  # type: ignore[no-any-return]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
