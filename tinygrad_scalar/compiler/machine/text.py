"""LLVM's text, an instruction at a time: registers, their arithmetic, conditions and loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


def _operator(integers: str, numbers: str = "") -> Callable[[Register, Any], Register]:
    def apply(self: Register, other: Any) -> Register:
        operation = numbers if "double" in self.kind or "float" in self.kind else integers
        kind = "i1" if "cmp" in operation else self.kind
        right = other.name if isinstance(other, Register) else other
        return self.text.new(kind, f"{operation} {self.kind} {self.name}, {right}")

    return apply


class Register:
    """What an instruction gives, or a constant: its type and name, in the text of a function.

    Whole numbers are signed. `str` gives both, as they stand among the arguments of a call.
    """

    __slots__ = ("kind", "name", "next", "text")

    def __init__(self, text: Text, kind: str, name: Any) -> None:
        self.text, self.kind, self.name = text, kind, str(name)
        self.next: Register | None = None  # of what a loop carries: that of the next iteration

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    __hash__ = None  # type: ignore[assignment]  # `==` is an instruction
    __add__ = _operator("add", "fadd")
    __sub__ = _operator("sub", "fsub")
    __mul__ = _operator("mul", "fmul")
    over = _operator("sdiv", "fdiv")
    __and__ = _operator("and")
    __or__ = _operator("or")
    __lt__ = _operator("icmp slt", "fcmp olt")
    __ge__ = _operator("icmp sge", "fcmp oge")
    __eq__ = _operator("icmp eq", "fcmp oeq")  # type: ignore[assignment]
    __ne__ = _operator("icmp ne", "fcmp une")  # type: ignore[assignment]

    def to(self, operation: str, kind: str) -> Register:
        """It in another type, by an instruction such as `sitofp`."""
        return self.text.new(kind, f"{operation} {self} to {kind}")

    # ── of addresses ──────────────────────────────────────────────────────────────────────────
    def at(self, index: Any, kind: str = "i8") -> Register:
        """The address so many of a type, or bytes, behind this one."""
        number = index.name if isinstance(index, Register) else index
        return self.text.new("ptr", f"getelementptr inbounds {kind}, {self}, i64 {number}")

    def load(self, kind: str = "ptr") -> Register:
        """What stands there; vectors need stand no better than their numbers."""
        return self.text.new(kind, f"load {kind}, {self}{_aligned(kind)}")

    def item(self, index: Any, kind: str) -> Register:
        """An item of the row that begins there."""
        return self.at(index, kind).load(kind)

    def named(self, names: Sequence[str]) -> Any:
        """Whole numbers that stand there side by side, by their names."""
        return SimpleNamespace(**{name: self.item(k, "i64") for k, name in enumerate(names)})

    def store(self, what: Register) -> None:
        """Have it stand there."""
        self.text.do(f"store {what}, {self}{_aligned(what.kind)}")


def _aligned(kind: str) -> str:
    return ", align 8" if kind[0] == "<" else ""


class Loop:
    """A loop that is being written: its counter, and where it goes on; what it carries."""

    def __init__(self, text: Text, name: str, start: Any) -> None:
        self.text, self.name, self.done = text, name, f"{name}.done"
        self.k = Register(text, "i64", f"%{name}")
        self.phis = [(self.k, start)]

    def carry(self, first: Register) -> Register:
        """What the iterations hand on, from the first value on; each says what is `next`."""
        carried = Register(self.text, first.kind, f"%{self.name}.{len(self.phis)}")
        self.phis.append((carried, first))
        return carried


class Text:
    """The instructions of one function, in `lines`."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a function."""
        self.lines: list[str] = []
        self.fresh = self.labels = 0
        self.block = "entry"

    def add(self, text: str) -> str:
        """One instruction, and the name of its result."""
        name = f"%{self.fresh}"  # numbers, in order: LLVM reads them faster than names
        self.fresh += 1
        self.lines.append(f"  {name} = {text}")
        return name

    def new(self, kind: str, text: str) -> Register:
        """One instruction, and its result."""
        return Register(self, kind, self.add(text))

    def do(self, text: str) -> None:
        """One instruction that gives nothing."""
        self.lines.append(f"  {text}")

    def constant(self, kind: str, what: Any) -> Register:
        """A constant, or an argument of the function by its name."""
        return Register(self, kind, what)

    def arguments(self, kinds: str) -> list[Register]:
        """Those of a list of types and names."""
        return [Register(self, *one.split()) for one in kinds.replace(" noalias", "").split(", ")]

    def call(self, function: Any, *given: Any, gives: str = "ptr") -> Register:
        """A call of a function, by its name or by a register; of one that gives nothing too."""
        called = function.name if isinstance(function, Register) else function
        text = f"call {gives} {called}({', '.join(map(str, given))})"
        if gives != "void":
            return self.new(gives, text)
        self.do(text)
        return self.constant(gives, "")

    def select(self, condition: Register, yes: Register, no: Register) -> Register:
        """One of two values that are there already."""
        return self.new(yes.kind, f"select {condition}, {yes}, {no}")

    def spread(self, number: Register, lanes: int) -> Register:
        """A number in so many lanes."""
        kind, zeros = f"<{lanes} x {number.kind}>", f"<{lanes} x i32> zeroinitializer"
        first = self.new(kind, f"insertelement {kind} poison, {number}, i64 0")
        return self.new(kind, f"shufflevector {first}, {kind} poison, {zeros}")

    # ── where it goes on ──────────────────────────────────────────────────────────────────────
    def give(self, what: Any) -> None:
        """Leave the function with this."""
        self.do(f"ret {what}")

    def begin(self, label: str) -> None:
        """Begin a block, which follows the one before it unless that leaves."""
        if not self._left():
            self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.block = label

    def _left(self) -> bool:
        return bool(self.lines) and self.lines[-1].startswith(("  ret ", "  br "))

    def _label(self) -> str:
        self.labels += 1
        return f"b{self.labels}"

    def need(self, condition: Register, otherwise: str = "fail") -> None:
        """Go on here where a condition holds, and elsewhere at a label."""
        here = self._label()
        self.do(f"br {condition}, label %{here}, label %{otherwise}")
        self.begin(here)

    @contextmanager
    def when(self, condition: Register) -> Iterator[None]:
        """What is done only where a condition holds."""
        behind = self._label()
        self.need(condition, behind)
        yield
        self.begin(behind)

    def choose(self, condition: Register, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """What one of two gives, or None where they only do something."""
        other, end = self._label(), self._label()
        self.need(condition, other)
        a, ways = yes(), [self.block]
        self.do(f"br label %{end}")
        self.begin(other)
        b, ways = no(), [*ways, self.block]
        self.begin(end)
        return None if a is None else self.new(a.kind, f"phi {a.kind} {_phi((a, b), ways)}")

    @contextmanager
    def loop(self, n: Any, start: Any = 0, step: int = 1) -> Iterator[Loop]:
        """A loop of `k` from `start` to below `n`, which may go on at its end, `done`, at once."""
        first = start if isinstance(start, Register) else self.constant("i64", start)
        loop, before = Loop(self, self._label(), first), self.block
        self.begin(f"{loop.name}.head")
        place = len(self.lines)
        self.need(loop.k < n, loop.done)
        yield loop
        loop.k.next = loop.k + step
        ways = before, self.block
        self.do(f"br label %{loop.name}.head")
        self.lines[place:place] = [
            f"  {phi.name} = phi {phi.kind} {_phi((first, phi.next), ways)}"
            for phi, first in loop.phis
        ]
        self.begin(loop.done)

    def defined(self, header: str) -> str:
        """The text of the function; it gives nothing where nothing is given."""
        end = [] if self._left() else ["  ret void"]
        return "\n".join([f"define {header} nounwind {{", "entry:", *self.lines, *end, "}"])


def _phi(values: Sequence[Any], blocks: Sequence[str]) -> str:
    ways = zip(values, blocks, strict=True)
    return ", ".join(f"[ {value.name}, %{block} ]" for value, block in ways)
