"""How CPython lays out floats, lists and tuples, and the machine code that reads and writes them.

What is made of this runs only where the layout is the one that is probed here.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from array import array
from collections.abc import Sequence

# Offsets in an object: its type; the number of a float, the length of a list or tuple; where the
# items of a list or an array stand, the items of a tuple.
TYPE, NUMBER, LENGTH, ITEMS = 8, 16, 16, 24


@functools.cache
def available() -> bool:
    """Whether this interpreter lays its objects out as the code expects."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if object.__basicsize__ != 16 or sys.flags.debug or hasattr(sys, "getobjects"):
        return False
    number, items, words = 1.2345, [6.5, 7.5], array("q", [1, 2])
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
        and word(id(words) + ITEMS).value == words.buffer_info()[0]
        and word(id(pair) + LENGTH).value == 2
        and word(id(pair) + ITEMS).value == id(number)
    )


def function_of_python(name: str) -> str:
    """The address of a function of Python's, as an operand."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    return f"inttoptr (i64 {address} to ptr)"


def field(name: str, thing: str, offset: int | str, kind: str = "ptr", unit: str = "i8") -> str:
    """Instructions that load what stands at an offset of an object, in bytes or another unit."""
    return f"""  %{name}.place = getelementptr inbounds {unit}, ptr {thing}, i64 {offset}
  %{name} = load {kind}, ptr %{name}.place
"""


def item(name: str, row: str, index: str, kind: str = "ptr") -> str:
    """Instructions that load an item of a row."""
    return field(name, row, index, kind, kind)


def words(names: Sequence[str], base: str, first: int = 0, kind: str = "i64") -> str:
    """Instructions that load whole numbers, or addresses, that stand side by side."""
    return "".join(field(name, base, 8 * k, kind) for k, name in enumerate(names, first))


def put() -> str:
    """Instructions that put %number in the place of the float %before, which was loaded from it.

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
  store ptr %after, ptr %before.place
  call void {function_of_python("Py_DecRef")}(ptr %before)
  br label %end
end:
"""
