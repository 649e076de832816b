"""One point at full speed: a built-in function in machine code, Python floats in and out.

The code takes the floats apart and puts the results together itself, so that a call costs little
more than the arithmetic. It does so only for the layout of objects that is probed here; for
anything else, and wherever a guard fails or a result is not finite, it gives None, and the call
goes the general way.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

LIMIT = 1_000_000  # numbers in and out: their buffers are part of the module
SEVERAL = 500  # lists, tuples and numbers that are written out in the code
_FASTCALL = 0x80
# Offsets in an object: its type; the number of a float, the length of a list; items.
TYPE, NUMBER, LENGTH, ITEMS = 8, 16, 16, 24


class Block(NamedTuple):
    """The places of the numbers of an array: from one on, in this shape."""

    start: int
    shape: tuple[int, ...]

    def within(self, numbers: Any) -> Any:
        """What stands there, as a view."""
        return numbers[self.start : self.start + math.prod(self.shape)].reshape(self.shape)


class _Definition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


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
    return (
        word(id(number) + TYPE).value == id(float)
        and ctypes.c_double.from_address(id(number) + NUMBER).value == number
        and word(id(items) + LENGTH).value == 2
        and word(word(id(items) + ITEMS).value + 8).value == id(items[1])
        and word(id(pair) + ITEMS).value == id(number)
    )


def _api(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


class Text:
    """The entry's assembly.

    `arguments` and `tree` are the structures of arguments and result, with the places of their
    numbers, a range for those of a flat list.
    """

    def __init__(
        self,
        arguments: Sequence[Any],
        tree: Any,
        sizes: tuple[int, int, int],
        point: int,
        left: int | None = None,
    ) -> None:
        self.arguments, self.tree, self.point, self.left = arguments, tree, point, left
        self.inputs, self.outputs, self.slots = sizes
        self.lines: list[str] = []
        self.unfilled: list[tuple[str, Any]] = []  # items of lists and tuples, and their structure
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
        found = self.add(f"ptrtoint ptr {self.field(thing, TYPE)} to i64")
        self.go_on_if(self.add(f"icmp eq i64 {found}, {id(kind)}"))

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

    def module(self) -> str:
        """Buffers, declarations and the function `entry`."""
        # before the buffers are used: making lists may run the garbage collector, so that what it
        # finalizes, or another thread meanwhile, calls this very entry
        self._count_down()
        result = "" if isinstance(self.tree, int) else self._container(self.tree)
        drop = self._dropped(result) if result else ""
        self._take_apart()
        self._call()
        for items, tree in self.unfilled:
            self._fill(items, tree)
        result = result or self._float(f"{self.tree}")
        body = "\n".join(self.lines)
        return f"""
@x_buffer = internal global [{self.inputs + 1} x double] zeroinitializer, align 64
@out_buffer = internal global [{self.outputs + 1} x double] zeroinitializer, align 64
@s_buffer = internal global [{self.slots + 1} x double] zeroinitializer, align 64
@m_buffer = internal global i8 0
@left = internal global i64 {0 if self.left is None else self.left}
define ptr @entry(ptr %self, ptr %args, i64 %count) nounwind {{
entry:
  %right = icmp eq i64 %count, {len(self.arguments)}
  br i1 %right, label %begin, label %nothing
begin:
{body}
  ret ptr {result}
fail:
{drop}
  br label %nothing
nothing:
  %none = inttoptr i64 {id(None)} to ptr
  %increase = inttoptr i64 {_api("Py_IncRef")} to ptr
  call void %increase(ptr %none)
  ret ptr %none
}}"""

    def _count_down(self) -> None:
        """Where the program is but a makeshift, give up after so many calls."""
        if self.left is None:
            return
        left = self.add("load i64, ptr @left")
        after = self.add(f"sub i64 {left}, 1")
        self.lines.append(f"  store i64 {after}, ptr @left")
        more, label = self.add(f"icmp sgt i64 {left}, 0"), self.label("counted")
        self.lines.append(f"  br i1 {more}, label %{label}, label %nothing")
        self.start(label)

    def _take_apart(self) -> None:
        """Copy the numbers of the arguments to their buffer."""
        for i, argument in enumerate(self.arguments):
            self._thing(self._item("%args", str(i)), argument)

    def _thing(self, thing: str, places: Any) -> None:
        """A number, or a list of them or of lists, to its places."""
        if isinstance(places, int):
            self._number(thing, str(places))
        elif isinstance(places, range):
            self._flat(thing, str(places.start), len(places))
        elif not _alike(places):
            items = self._items(thing, len(places))
            for i, inner in enumerate(places):
                self._thing(self._item(items, str(i)), inner)
        else:
            items, width = self._items(thing, len(places)), len(places[0])
            k, top, after = self.loop()
            offset = self.add(f"add i64 {self.add(f'mul i64 {k}, {width}')}, {places[0].start}")
            self._flat(self._item(items, k), offset, width)
            self.end_loop(k, top, after, len(places))

    def _flat(self, thing: str, position: str, length: int) -> None:
        """A list of numbers, to the places from a position on."""
        items = self._items(thing, length)
        k, top, after = self.loop()
        self._number(self._item(items, k), self.add(f"add i64 {k}, {position}"))
        self.end_loop(k, top, after, length)

    def _items(self, thing: str, length: int) -> str:
        """The items of a list of that length."""
        self.expect_type(thing, list)
        size = self.field(thing, LENGTH, "i64")
        self.go_on_if(self.add(f"icmp eq i64 {size}, {length}"))
        return self.field(thing, ITEMS)

    def _item(self, items: str, k: str) -> str:
        place = self.add(f"getelementptr inbounds ptr, ptr {items}, i64 {k}")
        return self.add(f"load ptr, ptr {place}")

    def _number(self, thing: str, position: str) -> None:
        self.expect_type(thing, float)
        number = self.field(thing, NUMBER, "double")
        place = self.add(f"getelementptr inbounds double, ptr @x_buffer, i64 {position}")
        self.lines.append(f"  store double {number}, ptr {place}")

    def _call(self) -> None:
        """Run the program, and give up where a guard failed or a number is not finite."""
        self.lines.append("  store i8 1, ptr @m_buffer")
        self.lines.append("  store double 0.0, ptr @s_buffer")
        run = self.add(f"inttoptr i64 {self.point} to ptr")
        self.lines.append(
            f"  call void {run}(ptr @x_buffer, ptr null, ptr @out_buffer, ptr @s_buffer, "
            "ptr @m_buffer)"
        )
        self.go_on_if(self.add(f"icmp ne i8 {self.add('load i8, ptr @m_buffer')}, 0"))
        checked = self.add("load double, ptr @s_buffer")
        self.go_on_if(self.add(f"fcmp oeq double {checked}, 0.0"))
        k, top, after = self.loop()
        place = self.add(f"getelementptr inbounds double, ptr @out_buffer, i64 {k}")
        number = self.add(f"load double, ptr {place}")
        nothing = self.add(f"fsub double {number}, {number}")  # NaN for ±inf too
        self.go_on_if(self.add(f"fcmp ord double {nothing}, {nothing}"))
        self.end_loop(k, top, after, self.outputs)

    def _float(self, position: str) -> str:
        place = self.add(f"getelementptr inbounds double, ptr @out_buffer, i64 {position}")
        number = self.add(f"load double, ptr {place}")
        make = self.add(f"inttoptr i64 {_api('PyFloat_FromDouble')} to ptr")
        return self.add(f"call ptr {make}(double {number})")

    def _container(self, tree: Any) -> str:
        """A list or tuple for a structure of output positions, without its numbers."""
        name = "PyTuple_New" if isinstance(tree, tuple) else "PyList_New"
        make = self.add(f"inttoptr i64 {_api(name)} to ptr")
        thing = self.add(f"call ptr {make}(i64 {len(tree)})")
        if not len(tree):
            return thing
        if isinstance(tree, tuple):
            items = self.add(f"getelementptr inbounds i8, ptr {thing}, i64 {ITEMS}")
        else:
            items = self.field(thing, ITEMS)
        self.unfilled.append((items, tree))
        for i, branch in enumerate(() if isinstance(tree, range) else tree):
            if not isinstance(branch, int):
                self._put(self._container(branch), items, i)
        return thing

    def _fill(self, items: str, tree: Any) -> None:
        """Put the numbers of a list or tuple in their places."""
        if isinstance(tree, range):
            k, top, after = self.loop()
            self._put(self._float(self.add(f"add i64 {k}, {tree.start}")), items, k)
            self.end_loop(k, top, after, len(tree))
            return
        for i, branch in enumerate(tree):
            if isinstance(branch, int):
                self._put(self._float(f"{branch}"), items, i)

    def _put(self, item: str, items: str, position: int | str) -> None:
        place = self.add(f"getelementptr inbounds ptr, ptr {items}, i64 {position}")
        self.lines.append(f"  store ptr {item}, ptr {place}")

    @staticmethod
    def _dropped(thing: str) -> str:
        return f"  call void inttoptr (i64 {_api('Py_DecRef')} to ptr)(ptr {thing})"


class Entry:
    """The built-in function, with all that must live as long as it does."""

    def __init__(self, module: Any, program: Any) -> None:
        self.module, self.program = module, program
        address = module.address("entry")
        self.definition = _Definition(b"replay", address, _FASTCALL, None)
        # read when a built-in function is freed, at the interpreter's very end too: kept for ever
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.definition))
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        # what is called keeps the machine code alive, whoever made another entry meanwhile
        self.call: Any = make(ctypes.addressof(self.definition), (module, program), None)


def _containers(tree: Any, kinds: Sequence[type]) -> int:
    """How many lists and tuples a structure is made of; too many, where it has anything else."""
    if isinstance(tree, (int, range)) or (kinds == (list,) and _alike(tree)):
        return 1
    return 1 + sum(_containers(x, kinds) for x in tree) if tree.__class__ in kinds else SEVERAL


def _alike(places: Any) -> bool:
    """Whether these are lists of numbers, all of one length."""
    return (
        places.__class__ is list
        and len(places) > 0
        and all(each.__class__ is range and len(each) == len(places[0]) for each in places)
    )


def possible(arguments: Sequence[Any], tree: Any) -> bool:
    """Whether all arguments are numbers or lists of them, and the result lists and tuples."""
    several = sum(_containers(each, (list,)) for each in arguments) + _containers(
        tree, (list, tuple)
    )
    return available() and several < SEVERAL
