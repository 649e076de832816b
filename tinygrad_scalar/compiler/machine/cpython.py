"""How CPython lays out floats, lists and tuples, and instructions that read and write them.

What is made of these runs only where the layout is the one that is probed here.
"""

from __future__ import annotations

import ctypes
import functools
import sys

# Offsets in an object: its type; the number of a float, the length of a list or tuple; items.
TYPE, NUMBER, LENGTH, ITEMS = 8, 16, 16, 24


@functools.cache
def available() -> bool:
    """Whether this interpreter lays its objects out as the code expects."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if object.__basicsize__ != 16 or sys.flags.debug or hasattr(sys, "getobjects"):
        return False
    number, items = 1.2345, [6.5, 7.5]
    pair = (number, number)
    word = ctypes.c_ssize_t.from_address
    references = word(id(items)).value
    another = items
    return (
        word(id(number) + TYPE).value == id(float)
        and ctypes.c_double.from_address(id(number) + NUMBER).value == number
        and word(id(another)).value == references + 1
        and word(id(items) + LENGTH).value == 2
        and word(word(id(items) + ITEMS).value + 8).value == id(items[1])
        and word(id(pair) + LENGTH).value == 2
        and word(id(pair) + ITEMS).value == id(number)
    )


def function_of_python(name: str) -> str:
    """The address of a function of Python's, as an operand."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    return f"inttoptr (i64 {address} to ptr)"


def put() -> str:
    """Instructions that put %number in the place of the float %before, which stands at %place.

    It is written over where nobody else holds it, and else left to its holders. They end in %end.
    """
    return f"""  %number_place = getelementptr inbounds i8, ptr %before, i64 {NUMBER}
  %references = load i64, ptr %before
  %own = icmp eq i64 %references, 1
  br i1 %own, label %again, label %fresh
again:
  store double %number, ptr %number_place
  br label %end
fresh:
  %after = call ptr {function_of_python("PyFloat_FromDouble")}(double %number)
  store ptr %after, ptr %place
  call void {function_of_python("Py_DecRef")}(ptr %before)
  br label %end
end:
"""


class Instructions:
    """LLVM assembly, an instruction at a time; what is not as expected goes to the block %fail."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"

    def add(self, text: str) -> str:
        """One instruction and its result's name."""
        self.count += 1
        self.lines.append(f"  %e{self.count} = {text}")
        return f"%e{self.count}"

    def label(self, stem: str) -> str:
        """A name for a block."""
        self.count += 1
        return f"{stem}{self.count}"

    def start(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.block = label

    def field(self, thing: str, offset: int, kind: str = "ptr") -> str:
        """What stands at an offset of an object."""
        place = self.add(f"getelementptr inbounds i8, ptr {thing}, i64 {offset}")
        return self.add(f"load {kind}, ptr {place}")

    def go_on_if(self, condition: str) -> None:
        """Give up unless the condition holds."""
        label = self.label("go")
        self.lines.append(f"  br i1 {condition}, label %{label}, label %fail")
        self.start(label)

    def expect_type(self, thing: str, kind: type) -> None:
        """Give up unless an object is exactly of a type."""
        found = self.field(thing, TYPE, "i64")
        self.go_on_if(self.add(f"icmp eq i64 {found}, {id(kind)}"))

    def expect_length(self, thing: str, length: int) -> None:
        """Give up unless a list or tuple has so many items."""
        size = self.field(thing, LENGTH, "i64")
        self.go_on_if(self.add(f"icmp eq i64 {size}, {length}"))

    def items(self, thing: str, kind: type) -> str:
        """Where the items of a list or tuple stand."""
        if kind is list:
            return self.field(thing, ITEMS)
        return self.add(f"getelementptr inbounds i8, ptr {thing}, i64 {ITEMS}")

    def place(self, items: str, k: int | str) -> str:
        """Where one of them stands."""
        return self.add(f"getelementptr inbounds ptr, ptr {items}, i64 {k}")

    def item(self, items: str, k: int | str) -> str:
        """One of them."""
        return self.add(f"load ptr, ptr {self.place(items, k)}")

    def loop(self) -> tuple[str, str, str]:
        """Begin a loop: its counter, and the labels to finish it with."""
        before, top, after = self.block, self.label("loop"), self.label("after")
        self.lines.append(f"  br label %{top}")
        self.start(top)
        self.count += 1
        k = f"%k{self.count}"
        self.lines.append(f"  {k} = phi i64 [ 0, %{before} ], [ {k}n, %{top}end ]")
        return k, top, after

    def end_loop(self, k: str, top: str, after: str, count: int) -> None:
        """Finish a loop."""
        self.lines.append(f"  br label %{top}end")
        self.start(f"{top}end")
        self.lines.append(f"  {k}n = add i64 {k}, 1")
        more = self.add(f"icmp slt i64 {k}n, {count}")
        self.lines.append(f"  br i1 {more}, label %{top}, label %{after}")
        self.start(after)
