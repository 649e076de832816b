"""LLVM assembly, an instruction at a time: memory, functions of the C library, bits, callbacks."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinygrad_scalar.compiler.ir.lower import template_of
from tinygrad_scalar.compiler.ir.tape import EVERY_ROW, GUARD, MEMORY
from tinygrad_scalar.compiler.machine.jit import machine
from tinygrad_scalar.compiler.machine.text import Text
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.precision import as_single

NATIVE = frozenset((*(row for row in EVERY_ROW if row.llvm), *MEMORY, GUARD))
ARITHMETIC = frozenset(("fadd", "fsub", "fmul", "fdiv", "fneg"))
# The bits of a NaN that no operation gives. It is left where a thunk was interrupted in front of
# its first line, which ctypes tells of and goes on.
NOTHING = 0x7FF8_0000_0DEA_DBEE
# Functions of the C library, and of its vector twin, by the row that they compute.
LIBRARY = {row: row.c for row in EVERY_ROW if row.llvm and row.llvm == row.c}
# Nothing in memory is moved across this; it is no instruction of the machine. Code that is to be
# ready soon is selected from the end of a block by a quick way, which fuses nothing, up to what it
# does not know. At this it gives up at once: so sums are rounded alike however much is spent on it.
FENCE = '  fence syncscope("singlethread") seq_cst'
# Stores between two of these: to put them in a good order takes LLVM the square of their number.
TOGETHER = 64


@functools.cache
def _in_lanes() -> frozenset[Primitive]:
    """The functions of the C library whose formulas call none, or none but these themselves."""
    found = {row for row in LIBRARY if row.formula is not None}
    while True:
        called = NATIVE - LIBRARY.keys() | found | {None}
        calling = {
            row
            for row in found
            if any(inner not in called for inner, _ in template_of(row, row.arity or 0).lines)
        }
        if not calling:
            return frozenset(found)
        found -= calling


def native_rows(dtype: str, *, lanes: bool) -> frozenset[Primitive]:
    """The rows that need no formula; in lanes, exp and its kin do where no vector library is."""
    if not lanes:
        return NATIVE - {row for row in LIBRARY if row.inlined}
    if dtype != "float64":
        return NATIVE
    host = machine()
    return NATIVE - {row for row in _in_lanes() if host.vector(LIBRARY[row], 1) is None}


@dataclass
class Target:
    """What the code is made for: the type, the lanes, and the vector functions at hand."""

    type: str  # double or float
    lanes: int  # of a vector; 1 for one point
    vector: Callable[[str, int], str | None]  # the symbol of the vector function of a C function
    callbacks: dict[Primitive, int] = field(default_factory=dict)  # row → address of a thunk
    address: Callable[[str], int | None] = lambda _: None  # of a function by its symbol
    missed: int = 0  # the address of a whole number: 1 once a thunk has given nothing


class Assembly(Text):
    """Instructions for one kind of numbers and the lanes of some vectors, collected in `lines`."""

    blocks: set[int]  # of a function, lengths of the rooms of calls: operands, or results

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target, self.t = target, target.type
        self.bytes = 8 if self.t == "double" else 4
        self.align = "" if target.lanes == 1 else f", align {self.bytes}"  # as one number has it
        self.one = f"<{target.lanes} x {self.t}>"  # the type of one vector
        self.use(1)
        self.declared: dict[str, str] = {}
        self.stores = 0

    def use(self, vectors: int) -> None:
        """Write for so many vectors side by side: a number for all points is read once for them."""
        self.vectors, self.lanes = vectors, vectors * self.target.lanes
        self.v, self.b = self.kind(self.t), self.kind("i1")

    def kind(self, one: str) -> str:
        """The type of one of these in every lane."""
        return one if self.lanes == 1 else f"<{self.lanes} x {one}>"

    def everywhere(self, one: str, text: Any) -> str:
        """A constant of that type in every lane."""
        return str(text) if self.lanes == 1 else vector_of(one, [text] * self.lanes)

    def literal(self, number: float) -> str:
        """A constant, in every lane."""
        return self.everywhere(self.t, self.plain_literal(number))

    def plain_literal(self, number: float) -> str:
        """A constant by its bits."""
        if self.t == "float":
            number = as_single(number)
        return f"0x{struct.unpack('>Q', struct.pack('>d', number))[0]:016X}"

    def truth_literal(self, truth: bool) -> str:
        """A truth value, in every lane."""
        return self.everywhere("i1", "true" if truth else "false")

    def overloaded(self) -> str:
        """How LLVM's intrinsics name the type."""
        short = "f64" if self.t == "double" else "f32"
        return short if self.lanes == 1 else f"v{self.lanes}{short}"

    def _load(self, base: str, index: int | str) -> str:
        place = self.add(f"getelementptr {self.t}, ptr {base}, i64 {index}")
        return self.add(f"load {self.v}, ptr {place}{self.align}")

    def _store(self, name: str, base: str, index: int | str) -> None:
        place = self.add(f"getelementptr {self.t}, ptr {base}, i64 {index}")
        self.do(f"store {self.v} {name}, ptr {place}{self.align}")
        self._fenced()

    def _fenced(self) -> None:
        """Behind a store: some of them are kept apart from those that follow."""
        self.stores += 1
        if self.stores % TOGETHER == 0:
            self.lines.append(FENCE)

    def _broadcast(self, base: str, index: int | str) -> str:
        """One number for all lanes."""
        if self.lanes == 1:
            return self._load(base, index)
        place = self.add(f"getelementptr {self.t}, ptr {base}, i64 {index}")
        return self._spread(self.t, self.add(f"load {self.t}, ptr {place}"), self.lanes)

    def _spread(self, one: str, name: str, lanes: int) -> str:
        return self.spread(self.constant(one, name), lanes).name

    # ── calls ───────────────────────────────────────────────────────────────────────────────────
    def _symbol_called(self, symbol: str, kind: str, x: Sequence[str]) -> str:
        """A call of a function whose operands and result are of one type."""
        address, given = self.target.address(symbol), ", ".join([f"{kind} {name}" for name in x])
        if address:  # a name would cost the linker 10 µs at each call
            return self.add(f"call {kind} inttoptr (i64 {address} to ptr)({given})")
        arguments = ", ".join([kind] * len(x))
        self.declared.setdefault(symbol, f"{kind} @{symbol}({arguments}) nounwind")
        return self.add(f"call {kind} @{symbol}({given})")

    def _called(self, row: Primitive, x: Sequence[str]) -> str:
        if row.llvm == "llvm.fma":
            a, b, product = x
            negative = self.add(f"fneg {self.v} {product}")
            return self._symbol_called(f"{row.llvm}.{self.overloaded()}", self.v, (a, b, negative))
        if row.llvm == "llvm.fabs" and self.v == "double":  # quick selection has none
            bits = self.add(f"bitcast double {x[0]} to i64")
            return self.add(f"bitcast i64 {self.add(f'and i64 {bits}, {2**63 - 1}')} to double")
        if row.llvm.startswith("bits"):
            return self._bits(row.llvm, x[0])
        if row.llvm.startswith("llvm."):
            return self._symbol_called(f"{row.llvm}.{self.overloaded()}", self.v, x)
        if row in LIBRARY:
            return self._library(LIBRARY[row], x)
        return self._each_lane(x, functools.partial(self._called_back, row))

    def _bits(self, what: str, x: str) -> str:
        """A power of two put together, or a positive number taken apart, by its bits."""
        kind, all_lanes = self.kind("i64"), functools.partial(self.everywhere, "i64")
        if what == "bits: 2**x":
            whole = self.add(f"fptosi {self.v} {x} to {kind}")
            biased = self.add(f"add {kind} {whole}, {all_lanes(1023)}")
            bits = self.add(f"shl {kind} {biased}, {all_lanes(52)}")
            return self.add(f"bitcast {kind} {bits} to {self.v}")
        bits = self.add(f"bitcast {self.v} {x} to {kind}")
        if what == "bits: mantissa":
            rest = self.add(f"and {kind} {bits}, {all_lanes(2**52 - 1)}")
            one = self.add(f"or {kind} {rest}, {all_lanes(1023 << 52)}")
            return self.add(f"bitcast {kind} {one} to {self.v}")
        shifted = self.add(f"lshr {kind} {bits}, {all_lanes(52)}")
        exponent = self.add(f"sub {kind} {shifted}, {all_lanes(1023)}")
        return self.add(f"sitofp {kind} {exponent} to {self.v}")

    def _library(self, name: str, x: Sequence[str]) -> str:
        symbol = name if self.t == "double" else f"{name}f"
        vector = self.target.vector(symbol, len(x)) if self.lanes > 1 else None
        if vector is None:
            return self._each_lane(x, lambda given: self._symbol_called(symbol, self.t, given))
        parts = zip(*map(self._vectors, x), strict=True)
        return self._joined([self._symbol_called(vector, self.one, part) for part in parts])

    def _vectors(self, name: str) -> list[str]:
        """The vectors that something consists of."""
        size = self.target.lanes
        if self.vectors == 1:
            return [name]
        return [
            self._shuffled(self.v, name, "poison", range(start, start + size))
            for start in range(0, self.lanes, size)
        ]

    def _joined(self, names: Sequence[str]) -> str:
        """Two vectors as one, or one as it is."""
        if len(names) == 1:
            return names[0]
        first, second = names
        return self._shuffled(self.one, first, second, range(self.lanes))

    def _shuffled(self, kind: str, a: str, b: str, lanes: range) -> str:
        """Some of the lanes of two vectors."""
        chosen = vector_of("i32", lanes)
        return self.add(f"shufflevector {kind} {a}, {kind} {b}, <{len(lanes)} x i32> {chosen}")

    def _each_lane(self, x: Sequence[str], one: Callable[[Sequence[str]], str]) -> str:
        """What a function makes of the numbers of each lane."""
        if self.lanes == 1:
            return one(x)
        result = "poison"
        for lane in range(self.lanes):
            y = one([self.add(f"extractelement {self.v} {name}, i64 {lane}") for name in x])
            result = self.add(f"insertelement {self.v} {result}, {self.t} {y}, i64 {lane}")
        return result

    def _called_back(self, row: Primitive, x: Sequence[str]) -> str:
        """A row that only Python knows: its forward rule is called back, in doubles.

        A thunk writes the result behind the operands, where its absence is noted: see `NOTHING`.
        """
        self.blocks.add(len(x) + 1)
        block, address = f"%block{len(x) + 1}", self.target.callbacks[row]
        for k, name in enumerate(x):
            wide = name if self.t == "double" else self.add(f"fpext float {name} to double")
            place = self.add(f"getelementptr inbounds double, ptr {block}, i64 {k}")
            self.do(f"store double {wide}, ptr {place}")
        place = self.add(f"getelementptr inbounds double, ptr {block}, i64 {len(x)}")
        self.do(f"store i64 {NOTHING}, ptr {place}")
        self.do(f"call void inttoptr (i64 {address} to ptr)(ptr {block})")
        none = self.add(f"icmp eq i64 {self.add(f'load i64, ptr {place}')}, {NOTHING}")
        missed = f"ptr inttoptr (i64 {self.target.missed} to ptr)"
        before, now = self.add(f"load i64, {missed}"), self.add(f"zext i1 {none} to i64")
        self.do(f"store i64 {self.add(f'or i64 {before}, {now}')}, {missed}")
        y = self.add(f"load double, ptr {place}")
        return y if self.t == "double" else self.add(f"fptrunc double {y} to float")


def vector_of(kind: str, texts: Iterable[Any]) -> str:
    """A constant with one of these in each lane."""
    return f"<{', '.join([f'{kind} {text}' for text in texts])}>"
