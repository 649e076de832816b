"""Structures of numbers as machine code takes them apart, and puts them together.

Floats stand in lists and tuples, or numbers in NumPy's arrays. A plan says where, as rows of whole
numbers; the code is the same for all structures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.cpython import (
    CONTIGUOUS,
    DATA,
    DIMENSIONS,
    FLAGS,
    ITEMS,
    LENGTH,
    NUMBER,
    NUMBERS,
    SHAPE,
    TYPE,
    WRITEABLE,
    fresh,
    function_of_python,
    hold,
    is_a,
    let_go,
    put,
)
from tinygrad_scalar.compiler.machine.text import Register
from tinygrad_scalar.core.tree import array_in


class _Container(NamedTuple):
    """A list or tuple: in which row of objects it is, where there, and what it is."""

    row: Any  # whole numbers, or the registers that hold them
    index: Any
    kind: Any
    length: Any


class _Run(NamedTuple):
    """Floats side by side: in which row of objects, from where on, how many; where as numbers."""

    row: Any
    start: Any
    count: Any
    position: Any


class _Array(NamedTuple):
    """An array: in which row of objects it is, where there, and what it is; where as numbers.

    Two functions of Python's make one, and another in the order of its numbers.
    """

    row: Any
    index: Any
    position: Any
    size: Any
    dimensions: Any
    shape: Any  # the address
    kind: Any
    type: Any  # of the numbers
    made: Any
    in_order: Any


class Plan:
    """Where the numbers of structures stand that are side by side in a row of objects.

    Further rows are the items of containers; each of these comes behind the one that it is in.
    """

    def __init__(self) -> None:
        self.size = 0  # numbers
        self.containers: list[_Container] = []
        self.runs: list[_Run] = []
        self.arrays: list[_Array] = []
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
                self.runs.append(_Run(row, start, i - start, self.size))
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
            self.containers.append(_Container(row, index, id(tree.__class__), len(tree)))
            return self._add(tree, kinds, len(self.containers))
        return array is not None

    def _add_array(self, shape: tuple[int, ...], row: int, index: int) -> None:
        import numpy as np

        own, made = np.array(shape), partial(np.empty, shape)
        told = (
            own.ctypes.data,
            id(np.ndarray),
            id(np.dtype(float)),
            id(made),
            id(np.ascontiguousarray),
        )
        self.arrays.append(_Array(row, index, self.size, prod(shape), len(shape), *told))
        self.held += own, made
        self.size += prod(shape)

    def words(self) -> list[int]:
        """What the code is told of it."""
        counts = len(self.containers), len(self.runs), len(self.arrays)
        parts = *self.containers, *self.runs, *self.arrays
        return [*counts, *(word for one in parts for word in one)]


# ── the machine code ──────────────────────────────────────────────────────────────────────────
def named(kind: Any, place: Register) -> Any:
    """Whole numbers that stand side by side, by their names."""
    return kind(*(place.item(k, "i64") for k in range(len(kind._fields))))


@contextmanager
def _each(plan: Register, kind: Any) -> Iterator[tuple[Register, Any]]:
    """A loop over one part of a plan, with its counter and the one at hand."""
    place = plan.at(3, "i64")
    parts: Sequence[Any] = _Container, _Run, _Array
    for k, part in enumerate(parts):
        record, count = f"[{len(part._fields)} x i64]", plan.item(k, "i64")
        if part is kind:
            with plan.text.loop(count) as loop:
                yield loop.k, named(kind, place.at(loop.k, record))
            return
        place = place.at(count, record)


class Structure:
    """The code for one structure; `rows` begins with the address of the row that it stands in."""

    def __init__(self, plan: Register, rows: Register, numbers: Register) -> None:
        self.text, self.plan, self.rows, self.numbers = plan.text, plan, rows, numbers

    def _place(self, one: Any) -> Register:
        return self.rows.item(one.row, "ptr").at(one.index, "ptr")

    def _enter(self, k: Register, kind: Register, thing: Register) -> None:
        """Note where the items of a list or tuple stand."""
        items = thing.at(ITEMS)
        row = self.text.select(kind == id(list), items.load(), items)
        self.rows.at(k + 1, "ptr").store(row)

    @contextmanager
    def _numbers(self) -> Iterator[tuple[Register, Register]]:
        """A loop over all places of floats, and where each is among the numbers."""
        with _each(self.plan, _Run) as (_, one):
            row = self.rows.item(one.row, "ptr").at(one.start, "ptr")
            numbers = self.numbers.at(one.position, "double")
            with self.text.loop(one.count) as loop:
                yield row.at(loop.k, "ptr"), numbers.at(loop.k, "double")

    def read(self, other: str) -> None:
        """Take the numbers; on to a label where something is not as planned."""
        self._found(other)
        with self._numbers() as (place, number):
            there = place.load()
            self.text.need(is_a(there, float), other)
            number.store(there.at(NUMBER).load("double"))
        with _each(self.plan, _Array) as (_, one):
            thing = self._array(one, other)
            straight = (thing.at(FLAGS).load("i32") & CONTIGUOUS) != 0
            thing = self.text.choose(
                straight, lambda: hold(thing), lambda: self._in_order(one, thing)
            )
            self.text.need(thing != "null", other)
            self._copy(one, self.numbers.at(one.position, "double"), thing.at(DATA).load())
            let_go(thing)

    def write(self, other: str) -> None:
        """Put numbers there that nobody else would see; on to a label where they cannot be."""
        self._found(other, alone=True)
        with self._numbers() as (place, number):
            there = place.load()
            self.text.need(is_a(there, float), other)
            put(number.load("double"), place, there)
        with _each(self.plan, _Array) as (_, one):
            thing, fit = self._array(one, other), CONTIGUOUS | WRITEABLE
            self.text.need(thing.load("i64") == 1, other)
            self.text.need((thing.at(FLAGS).load("i32") & fit) == fit, other)
            self._copy(one, thing.at(DATA).load(), self.numbers.at(one.position, "double"))

    def make(self, other: str) -> None:
        """Put a new structure with the numbers there; on to a label where memory ends."""
        text = self.text
        names = (f"Py{name}_New" for name in ("List", "Tuple"))
        make = [text.constant("ptr", function_of_python(name)) for name in names]
        with _each(self.plan, _Container) as (k, one):
            new = text.call(text.select(one.kind == id(list), *make), one.length)
            self._place(one).store(new)
            text.need(new != "null", other)
            self._enter(k, one.kind, new)
        with self._numbers() as (place, number):
            new = fresh(number.load("double"))
            place.store(new)
            text.need(new != "null", other)
        with _each(self.plan, _Array) as (_, one):
            made = one.made.to("inttoptr", "ptr")
            new = text.call(function_of_python("PyObject_CallNoArgs"), made)
            self._place(one).store(new)
            text.need(new != "null", other)
            self._copy(one, new.at(DATA).load(), self.numbers.at(one.position, "double"))

    def _found(self, other: str, *, alone: bool = False) -> None:
        """Note the rows of all lists and tuples that are as planned, and that nobody else holds."""
        with _each(self.plan, _Container) as (k, one):
            thing = self._place(one).load()
            self.text.need(thing.at(TYPE).load("i64") == one.kind, other)
            self.text.need(thing.at(LENGTH).load("i64") == one.length, other)
            if alone:
                self.text.need(thing.load("i64") == 1, other)
            self._enter(k, one.kind, thing)

    # ── arrays ────────────────────────────────────────────────────────────────────────────────
    def _array(self, one: _Array, other: str) -> Register:
        """One of the planned type and shape."""
        thing = self._place(one).load()
        self.text.need(thing.at(TYPE).load("i64") == one.kind, other)
        self.text.need(thing.at(NUMBERS).load("i64") == one.type, other)
        self.text.need(thing.at(DIMENSIONS).load("i32").to("zext", "i64") == one.dimensions, other)
        shape, planned = thing.at(SHAPE).load(), one.shape.to("inttoptr", "ptr")
        with self.text.loop(one.dimensions) as loop:
            self.text.need(shape.item(loop.k, "i64") == planned.item(loop.k, "i64"), other)
        return thing

    def _in_order(self, one: _Array, thing: Register) -> Register:
        """Another one with the same numbers in order."""
        copy = one.in_order.to("inttoptr", "ptr")
        return self.text.call(function_of_python("PyObject_CallOneArg"), copy, thing)

    def _copy(self, one: _Array, to: Register, numbers: Register) -> None:
        given = to, numbers, one.size * 8, "i1 false"
        self.text.call("@llvm.memcpy.p0.p0.i64", *given, gives="void")
