"""How CPython lays out floats, lists and tuples, and the machine code that reads and writes them.

What is made of this runs only where the layout is the one that is probed here.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from array import array

from tinygrad_scalar.compiler.machine.text import Register

# Offsets in an object: its type; the number of a float, the length of a list or tuple; where the
# items of a list or an array stand, the items of a tuple.
TYPE, NUMBER, LENGTH, ITEMS = 8, 16, 16, 24
# In an array of NumPy: where the numbers are, how many axes it has and where their lengths are, the
# type of the numbers; and two of its flags.
DATA, DIMENSIONS, SHAPE, NUMBERS, FLAGS = 16, 24, 32, 56, 64
CONTIGUOUS, WRITEABLE = 0x1, 0x400


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


@functools.cache
def arrays_available() -> bool:
    """Whether NumPy lays its arrays out as the code expects."""
    import numpy as np

    array, word, half = np.zeros((2, 3)), ctypes.c_ssize_t.from_address, ctypes.c_int.from_address
    constant, columns = np.zeros(3), array[:, ::2]
    constant.flags.writeable = False
    given = [id(array), id(columns), id(constant)]
    shape = word(given[0] + SHAPE).value
    flags = [half(each + FLAGS).value & (CONTIGUOUS | WRITEABLE) for each in given]
    return (
        word(given[0] + DATA).value == array.ctypes.data
        and half(given[0] + DIMENSIONS).value == 2
        and (word(shape).value, word(shape + 8).value) == (2, 3)
        and word(given[0] + NUMBERS).value == id(array.dtype)
        and flags == [CONTIGUOUS | WRITEABLE, WRITEABLE, CONTIGUOUS]
    )


def function_of_python(name: str) -> str:
    """The address of a function of Python's, as an operand."""
    address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    return f"inttoptr (i64 {address} to ptr)"


def fresh(number: Register) -> Register:
    """A new float."""
    return number.text.call(function_of_python("PyFloat_FromDouble"), number)


def hold(thing: Register) -> Register:
    """It with one more who holds it."""
    thing.text.call(function_of_python("Py_IncRef"), thing, gives="void")
    return thing


def let_go(thing: Register) -> None:
    """One who holds it less."""
    thing.text.call(function_of_python("Py_DecRef"), thing, gives="void")


def is_a(thing: Register, kind: type) -> Register:
    """Whether it is of exactly this type."""
    return thing.at(TYPE).load("i64") == id(kind)


def put(number: Register, place: Register, before: Register) -> None:
    """Put a number in the place of a float, which was loaded from there.

    It is written over where nobody else holds it, and else left to its holders.
    """

    def another() -> None:
        place.store(fresh(number))
        let_go(before)

    alone = before.load("i64") == 1
    number.text.choose(alone, lambda: before.at(NUMBER).store(number), another)
