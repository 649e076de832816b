"""How CPython lays out floats, lists and tuples, and NumPy its arrays: code that takes them apart.

Structures of numbers are read, written and made. A plan says where the numbers are, as rows of
whole numbers; the code is the same for all structures. It runs only where the layout is the one
that is probed here.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.core.tree import array_in

# Offsets in an object: its type; the number of a float, the length of a list or tuple; where the
# items of a list or an array stand, the items of a tuple.
TYPE, NUMBER, LENGTH, ITEMS = 8, 16, 16, 24
# In an array of NumPy: where the numbers are, how many axes it has, where their lengths are and the
# bytes from one number to the next on each, the type of the numbers; and three of its flags.
DATA, AXES, SHAPE, STEPS, NUMBERS, FLAGS = 16, 24, 32, 40, 56, 64
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400


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
    if not available():
        return False
    import numpy as np

    array, word, half = np.zeros((2, 3)), ctypes.c_ssize_t.from_address, ctypes.c_int.from_address
    constant, columns = np.zeros(3), array[:, ::2]
    constant.flags.writeable = False
    given = [id(array), id(columns), id(constant)]
    shape = word(given[0] + SHAPE).value
    steps = word(given[1] + STEPS).value
    flags = [half(each + FLAGS).value & (CONTIGUOUS | ALIGNED | WRITEABLE) for each in given]
    return (
        word(given[0] + DATA).value == array.ctypes.data
        and half(given[0] + AXES).value == 2
        and (word(shape).value, word(shape + 8).value) == (2, 3)
        and (word(steps).value, word(steps + 8).value) == columns.strides
        and word(given[0] + NUMBERS).value == id(array.dtype)
        and [each - ALIGNED for each in flags] == [CONTIGUOUS | WRITEABLE, WRITEABLE, CONTIGUOUS]
    )


def address(numbers: Any) -> int:
    """Where a NumPy array begins."""
    if arrays_available():  # in a fifth of the time
        return ctypes.c_ssize_t.from_address(id(numbers) + DATA).value
    return numbers.__array_interface__["data"][0]  # type: ignore[no-any-return]


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


def is_float(thing: Register) -> Register:
    """Whether it is a float, and of no other type."""
    return thing.at(TYPE).load("i64") == id(float)


def put(number: Register, place: Register, before: Register) -> None:
    """Put a number in the place of a float, which was loaded from there.

    It is written over where nobody else holds it, and else left to its holders. Where memory ends
    nothing is changed, and Python's error is set: `had_memory` tells afterwards, as a way out
    from here makes loops over places slower by a fifth.
    """

    def another() -> None:
        new, nothing = fresh(number), number.text.constant("ptr", "null")
        made = new != "null"
        place.store(number.text.select(made, new, before))
        let_go(number.text.select(made, before, nothing))

    alone = before.load("i64") == 1
    number.text.choose(alone, lambda: before.at(NUMBER).store(number), another)


def had_memory(text: Text) -> Register:
    """Whether all numbers could be put."""
    return text.call(function_of_python("PyErr_Occurred")) == "null"


def items(thing: Register, listed: Register) -> Register:
    """Where the items of a list stand, or of a tuple."""
    inside = thing.at(ITEMS)
    return thing.text.select(listed, inside.load(), inside)


# ── plans ─────────────────────────────────────────────────────────────────────────────────────
# Of whole numbers, or the registers that hold them. A list or tuple: in which row of objects it is
# and where there, and what it is. Floats side by side: in which row, from where on, how many; where
# they stand among the numbers. An array: also the address of its shape, and a function of Python's
# that makes such an array.
_CONTAINER = "row", "index", "kind", "length"
_RUN = "row", "start", "count", "position"
_ARRAY = "row", "index", "position", "size", "axes", "shape", "kind", "type", "made"


class Plan:
    """Where the numbers of structures stand that are side by side in a row of objects.

    Further rows are the items of containers; each of these comes behind the one that it is in.
    """

    def __init__(self) -> None:
        self.size = 0  # numbers
        self.containers: list[tuple[int, ...]] = []
        self.runs: list[tuple[int, ...]] = []
        self.arrays: list[tuple[int, ...]] = []
        self.held: list[Any] = []  # by the addresses

    @classmethod
    def of(cls, trees: Sequence[Any], kinds: Sequence[type]) -> Plan | None:
        """That of structures with None for a number; None where one is of another kind."""
        plan = cls()
        return plan if plan._add(trees, kinds, 0) else None

    def _add(self, trees: Sequence[Any], kinds: Sequence[type], row: int) -> bool:
        others, start = [i for i, tree in enumerate(trees) if tree is not None], 0
        for i in [*others, len(trees)]:
            if i > start:
                self.runs.append((row, start, i - start, self.size))
                self.size += i - start
            start = i + 1
            if i < len(trees) and not self._added(trees[i], kinds, row, i):
                return False
        return True

    def _added(self, tree: Any, kinds: Sequence[type], row: int, index: int) -> bool:
        """Whether something that is no number could be put in."""
        array = array_in(tree)
        if array is not None:
            self._add_array(array.shape, row, index)
        elif tree.__class__ in kinds:
            self.containers.append((row, index, id(tree.__class__), len(tree)))
            return self._add(tree, kinds, len(self.containers))
        return array is not None

    def _add_array(self, shape: tuple[int, ...], row: int, index: int) -> None:
        import numpy as np

        own, made = np.array(shape), partial(np.empty, shape)
        told = own.ctypes.data, id(np.ndarray), id(np.dtype(float)), id(made)
        self.arrays.append((row, index, self.size, prod(shape), len(shape), *told))
        self.held += own, made
        self.size += prod(shape)

    def words(self) -> list[int]:
        """What the code is told of it."""
        counts = len(self.containers), len(self.runs), len(self.arrays)
        parts = *self.containers, *self.runs, *self.arrays
        return [*counts, *(word for one in parts for word in one)]


# ── the machine code ──────────────────────────────────────────────────────────────────────────
@contextmanager
def _each(plan: Register, kind: Sequence[str]) -> Iterator[tuple[Register, Any]]:
    """A loop over one part of a plan, with its counter and the one at hand."""
    parts = _CONTAINER, _RUN, _ARRAY
    own = [part is kind for part in parts].index(True)
    with plan.text.loop(plan.item(own, "i64")) as loop:
        place = plan.at(3, "i64")  # found here, since most parts are empty
        for k, part in enumerate(parts[:own]):
            place = place.at(plan.item(k, "i64"), f"[{len(part)} x i64]")
        yield loop.k, place.at(loop.k, f"[{len(kind)} x i64]").named(kind)


class Structure:
    """The code for one structure; `rows` begins with the address of the row that it stands in."""

    def __init__(self, plan: Register, rows: Register, numbers: Register) -> None:
        self.text, self.plan, self.rows, self.numbers = plan.text, plan, rows, numbers

    def _place(self, one: Any) -> Register:
        return self.rows.item(one.row, "ptr").at(one.index, "ptr")

    def _enter(self, k: Register, kind: Register, thing: Register) -> None:
        """Note where the items of a list or tuple stand."""
        self.rows.at(k + 1, "ptr").store(items(thing, kind == id(list)))

    @contextmanager
    def _numbers(self) -> Iterator[tuple[Register, Register]]:
        """A loop over all places of floats, and where each is among the numbers."""
        with _each(self.plan, _RUN) as (_, one):
            row = self.rows.item(one.row, "ptr").at(one.start, "ptr")
            numbers = self.numbers.at(one.position, "double")
            with self.text.loop(one.count) as loop:
                yield row.at(loop.k, "ptr"), numbers.at(loop.k, "double")

    def read(self, other: str) -> None:
        """Take the numbers; on to a label where something is not as planned.

        Nothing of Python's or NumPy's is called, which might let other threads run, and one of them
        this very code.
        """
        self._found(other)
        with self._numbers() as (place, number):
            there = place.load()
            self.text.need(is_float(there), other)
            number.store(there.at(NUMBER).load("double"))
        with _each(self.plan, _ARRAY) as (_, one):
            thing, to = self._array(one, other), self.numbers.at(one.position, "double")
            flags, numbers = thing.at(FLAGS).load("i32"), thing.at(DATA).load()
            self.text.need((flags & ALIGNED) != 0, other)
            straight = partial(self._copy, one, to, numbers)
            in_steps = partial(self._copy_in_steps, one, to, thing)
            self.text.choose((flags & CONTIGUOUS) != 0, straight, in_steps)

    def write(self, other: str) -> None:
        """Put numbers there that nobody else would see; on to a label where they cannot be."""
        self._found(other, alone=True)
        with self._numbers() as (place, number):
            there = place.load()
            self.text.need(is_float(there), other)
            put(number.load("double"), place, there)
        self.text.need(had_memory(self.text), other)
        with _each(self.plan, _ARRAY) as (_, one):
            thing, fit = self._array(one, other), CONTIGUOUS | WRITEABLE
            self.text.need(thing.load("i64") == 1, other)
            self.text.need((thing.at(FLAGS).load("i32") & fit) == fit, other)
            self._copy(one, thing.at(DATA).load(), self.numbers.at(one.position, "double"))

    def make(self, other: str) -> None:
        """Put a new structure with the numbers there; on to a label where memory ends."""
        text = self.text
        names = (f"Py{name}_New" for name in ("List", "Tuple"))
        make = [text.constant("ptr", function_of_python(name)) for name in names]
        with _each(self.plan, _CONTAINER) as (k, one):
            new = text.call(text.select(one.kind == id(list), *make), one.length)
            self._place(one).store(new)
            text.need(new != "null", other)
            self._enter(k, one.kind, new)
        with self._numbers() as (place, number):
            new = fresh(number.load("double"))
            place.store(new)
            text.need(new != "null", other)
        with _each(self.plan, _ARRAY) as (_, one):
            made = one.made.to("inttoptr", "ptr")
            new = text.call(function_of_python("PyObject_CallNoArgs"), made)
            self._place(one).store(new)
            text.need(new != "null", other)
            self._copy(one, new.at(DATA).load(), self.numbers.at(one.position, "double"))

    def _found(self, other: str, *, alone: bool = False) -> None:
        """Note the rows of all lists and tuples that are as planned, and that nobody else holds."""
        with _each(self.plan, _CONTAINER) as (k, one):
            thing = self._place(one).load()
            self.text.need(thing.at(TYPE).load("i64") == one.kind, other)
            self.text.need(thing.at(LENGTH).load("i64") == one.length, other)
            if alone:
                self.text.need(thing.load("i64") == 1, other)
            self._enter(k, one.kind, thing)

    # ── arrays ────────────────────────────────────────────────────────────────────────────────
    def _array(self, one: Any, other: str) -> Register:
        """One of the planned type and shape."""
        thing = self._place(one).load()
        self.text.need(thing.at(TYPE).load("i64") == one.kind, other)
        self.text.need(thing.at(NUMBERS).load("i64") == one.type, other)
        self.text.need(thing.at(AXES).load("i32").to("zext", "i64") == one.axes, other)
        shape, planned = thing.at(SHAPE).load(), one.shape.to("inttoptr", "ptr")
        with self.text.loop(one.axes) as loop:
            self.text.need(shape.item(loop.k, "i64") == planned.item(loop.k, "i64"), other)
        return thing

    def _copy_in_steps(self, one: Any, to: Register, thing: Register) -> None:
        """The numbers of an array in another order; it holds some."""
        text, last = self.text, one.axes - 1
        shape, steps = one.shape.to("inttoptr", "ptr"), thing.at(STEPS).load()
        numbers = thing.at(DATA).load()
        width, step = shape.item(last, "i64"), steps.item(last, "i64")
        with text.loop(one.size.over(width)) as rows:
            with text.loop(last) as axes:  # from the last but one to the first
                rest, start = axes.carry(rows.k), axes.carry(numbers)
                axis = last - axes.k - 1
                length = shape.item(axis, "i64")
                rest.next = rest.over(length)
                start.next = start.at((rest - rest.next * length) * steps.item(axis, "i64"))
            row = to.at(rows.k * width, "double")
            with text.loop(width) as each:
                number = start.at(each.k * step).load("double")
                row.at(each.k, "double").store(number)

    def _copy(self, one: Any, to: Register, numbers: Register) -> None:
        given = to, numbers, one.size * 8, "i1 false"
        self.text.call("@llvm.memcpy.p0.p0.i64", *given, gives="void")
