"""One point at full speed: a built-in function in machine code, Python floats in and out.

The code takes the floats apart and puts the results together itself, so that a call costs little
more than the arithmetic. It does so only for the layout of objects that is probed; for anything
else, and wherever a guard fails or a result is not finite, it gives None, and the call goes the
general way.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import containers, cpython
from tinygrad_scalar.compiler.machine.containers import Container
from tinygrad_scalar.compiler.machine.cpython import NUMBER, function_of_python

LIMIT = 1_000_000  # numbers in and out: their buffers are part of the module
SEVERAL = 500  # lists, tuples and numbers that are written out in the code
_FASTCALL = 0x80


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


class Text(Container):
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
        super().__init__()
        self.arguments, self.tree, self.point, self.left = arguments, tree, point, left
        self.inputs, self.outputs, self.slots = sizes

    def module(self) -> str:
        """Buffers, declarations and the function `entry`."""
        several = not isinstance(self.tree, int)
        self._count_down()
        result = drop = made = ""
        # before the buffers are used: making lists may run the garbage collector, so that what it
        # finalizes, or another thread meanwhile, calls this very entry
        if several:
            made = containers.functions(self.tree)
            kept = self.item(self.items("%self", tuple), "0")
            result = self.add(f"call ptr @result(ptr {self.items(kept, list)})")
            drop = f"  call void {function_of_python('Py_DecRef')}(ptr {result})"
        self._take_apart()
        self._call()
        if several:
            self.fill(result, self.tree, "@out_buffer")
        else:
            result = self._float(self.tree)
        body = "\n".join(self.lines)
        return f"""{made}
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
  call void {function_of_python("Py_IncRef")}(ptr %none)
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
            self._thing(self.item("%args", i), argument)

    def _thing(self, thing: str, places: Any) -> None:
        """A number, or a list of them or of lists, to its places."""
        if isinstance(places, int):
            self._number(thing, str(places))
        elif isinstance(places, range):
            self._flat(thing, str(places.start), len(places))
        elif not _alike(places):
            items = self._items(thing, len(places))
            for i, inner in enumerate(places):
                self._thing(self.item(items, i), inner)
        else:
            items, width = self._items(thing, len(places)), len(places[0])
            k, top, after = self.loop()
            offset = self.add(f"add i64 {self.add(f'mul i64 {k}, {width}')}, {places[0].start}")
            self._flat(self.item(items, k), offset, width)
            self.end_loop(k, top, after, len(places))

    def _flat(self, thing: str, position: str, length: int) -> None:
        """A list of numbers, to the places from a position on."""
        items = self._items(thing, length)
        k, top, after = self.loop()
        self._number(self.item(items, k), self.add(f"add i64 {k}, {position}"))
        self.end_loop(k, top, after, length)

    def _items(self, thing: str, length: int) -> str:
        """The items of a list of that length."""
        self.expect_type(thing, list)
        self.expect_length(thing, length)
        return self.items(thing, list)

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

    def _float(self, position: int) -> str:
        place = self.add(f"getelementptr inbounds double, ptr @out_buffer, i64 {position}")
        number = self.add(f"load double, ptr {place}")
        return self.add(f"call ptr {function_of_python('PyFloat_FromDouble')}(double {number})")


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
        # what is called keeps results, and the machine code alive, whoever made another entry
        held = ([*containers.NOTHING], module, program)
        self.call: Any = make(ctypes.addressof(self.definition), held, None)


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
    return cpython.available() and several < SEVERAL
