"""Reading and writing `.data` and `.grad` of many leaves at once, in machine code.

A step of training touches every parameter: at 30 to 60 ns per attribute, Python would spend more
time on that than the machine code on the whole batch. The places of the attributes are probed,
not assumed; where anything looks different, `Slots.of` gives None and plain Python does it.

A number that only its slot holds is written over in place; any other is left to its holders, and
the slot gets a new one.
"""

from __future__ import annotations

import ctypes
import functools
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.cpython import (
    NUMBER,
    TYPE,
    available,
    function_of_python,
)
from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.value import COMPILED, Value

_TEXT = """
define i64 @gather(ptr %leaves, i64 %n, i64 %offset, ptr %out) nounwind {{
entry:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %read ]
  %place = getelementptr inbounds ptr, ptr %leaves, i64 %i
  %leaf = load ptr, ptr %place
  %slot = getelementptr inbounds i8, ptr %leaf, i64 %offset
  %thing = load ptr, ptr %slot
  %there = icmp ne ptr %thing, null
  br i1 %there, label %look, label %done
look:
  %type_place = getelementptr inbounds i8, ptr %thing, i64 {type}
  %type = load i64, ptr %type_place
  %fine = icmp eq i64 %type, {float}
  br i1 %fine, label %read, label %done
read:
  %number_place = getelementptr inbounds i8, ptr %thing, i64 {number}
  %number = load double, ptr %number_place
  %to = getelementptr inbounds double, ptr %out, i64 %i
  store double %number, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  %read_count = phi i64 [ 0, %entry ], [ %i, %loop ], [ %i, %look ], [ %next, %read ]
  ret i64 %read_count
}}
define i64 @set(ptr %leaves, i64 %n, i64 %offset, ptr %numbers, double %scale) nounwind {{
entry:
  %adding = fcmp une double %scale, 0.0
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %check, label %done
check:
  %k = phi i64 [ 0, %entry ], [ %after.k, %checked ]
  %place.k = getelementptr inbounds ptr, ptr %leaves, i64 %k
  %leaf.k = load ptr, ptr %place.k
  %slot.k = getelementptr inbounds i8, ptr %leaf.k, i64 %offset
  %thing = load ptr, ptr %slot.k
  %there.it.is = icmp ne ptr %thing, null
  br i1 %there.it.is, label %look, label %done
look:
  %type_place = getelementptr inbounds i8, ptr %thing, i64 {type}
  %type = load i64, ptr %type_place
  %fine = icmp eq i64 %type, {float}
  br i1 %fine, label %checked, label %done
checked:
  %after.k = add i64 %k, 1
  %unseen = icmp slt i64 %after.k, %n
  br i1 %unseen, label %check, label %loop
loop:
  %i = phi i64 [ 0, %checked ], [ %next, %end ]
  %place = getelementptr inbounds ptr, ptr %leaves, i64 %i
  %leaf = load ptr, ptr %place
  %slot = getelementptr inbounds i8, ptr %leaf, i64 %offset
  %before = load ptr, ptr %slot
  %from = getelementptr inbounds double, ptr %numbers, i64 %i
  %given = load double, ptr %from
  %number_place = getelementptr inbounds i8, ptr %before, i64 {number}
  %there = load double, ptr %number_place
  %scaled = fmul double %given, %scale
  %sum = fadd double %there, %scaled
  %number = select i1 %adding, double %sum, double %given
  %references = load i64, ptr %before
  %own = icmp eq i64 %references, 1
  br i1 %own, label %again, label %fresh
again:
  store double %number, ptr %number_place
  br label %end
fresh:
  %after = call ptr {make}(double %number)
  store ptr %after, ptr %slot
  call void {drop}(ptr %before)
  br label %end
end:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  %count = phi i64 [ 0, %entry ], [ %k, %check ], [ %k, %look ], [ %next, %end ]
  ret i64 %count
}}
"""


@functools.cache
def _functions() -> tuple[Any, Any, Any] | None:
    """`gather`, `set`, and the module that they live in; the compiled node has its own."""
    if COMPILED:
        from tinygrad_scalar.core import value

        return value.gather, value.scatter, value
    if not available():
        return None
    from tinygrad_scalar.compiler.machine.jit import Module

    text = _TEXT.format(
        type=TYPE, float=id(float), number=NUMBER,
        make=function_of_python("PyFloat_FromDouble"), drop=function_of_python("Py_DecRef"),
    )  # fmt: skip
    module = Module(text, 100)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    gather = module.function("gather", ctypes.PYFUNCTYPE(word, pointer, word, word, pointer))
    kinds = pointer, word, word, pointer, ctypes.c_double
    return gather, module.function("set", ctypes.PYFUNCTYPE(word, *kinds)), module


@functools.cache
def _offset(name: str) -> int | None:
    """Where the attribute of a Value stands in it: probed with a number of its own."""
    if COMPILED:
        return int(name == "grad")  # what its own functions are told
    probe, number = Value(0.0), float("1.25e300")
    setattr(probe, name, number)
    words = range(16, Value.__basicsize__, 8)
    read = ctypes.c_ssize_t.from_address
    found = [offset for offset in words if read(id(probe) + offset).value == id(number)]
    return found[0] if len(found) == 1 else None


def addresses(leaves: Sequence[Value]) -> list[int] | None:
    """Where leaves stand, to be kept alive; None if their slots cannot be reached here."""
    if _functions() is None:
        return None
    if COMPILED:
        return list(map(id, leaves))
    at = ctypes.c_ssize_t.from_address
    for name in ("data", "grad"):
        offset = _offset(name)
        if offset is None:
            return None
        for leaf in leaves if set(map(type, leaves)) != {Value} else ():  # laid out alike
            if at(id(leaf) + offset).value != id(getattr(leaf, name)):
                return None
    return list(map(id, leaves))


def read(places: int, count: int, name: str) -> array[float] | None:
    """An attribute of the leaves whose addresses stand at `places`; None if one is no float."""
    functions: Any = _functions()
    numbers = array("d", bytes(8 * count))
    found = functions[0](places, count, _offset(name), numbers.buffer_info()[0])
    return numbers if found == count else None


def write(places: int, count: int, name: str, numbers: Any, add: float = 0.0) -> int:
    """Set an attribute of these leaves from a buffer of doubles, of none unless all are floats.

    With `add` the numbers are multiplied by it and added to what stands there. How many are floats,
    up to the first that is none.
    """
    if memoryview(numbers).nbytes != 8 * count:
        return 0
    return int(writing(places, count, name, numbers, add)())


def writing(
    places: int, count: int, name: str, numbers: Any, add: float = 0.0
) -> Callable[[], int]:
    """The same as a call that runs no Python code; `numbers` must live until then."""
    functions: Any = _functions()
    start = ctypes.addressof((ctypes.c_char * (8 * count)).from_buffer(numbers))
    return functools.partial(functions[1], places, count, _offset(name), start, add)


class Addition(NamedTuple):
    """Numbers for the `.grad` of some leaves, which stand at `places`, None where that is unknown.

    `numbers` is a buffer of doubles where there are places; `leaves` gives the leaves themselves.
    """

    places: array[int] | None
    numbers: Any
    leaves: Callable[[], Sequence[Value]]


def add_to_gradients(additions: Sequence[Addition], scale: float) -> None:
    """Add all numbers, times `scale`, to the `.grad` of their leaves: all of it or nothing.

    A leaf may stand there several times.
    """
    known = [one.places for one in additions if one.places is not None]
    if len(known) == len(additions) > 0:
        places, numbers = known[0], additions[0].numbers
        if len(known) > 1:
            places = array("q", b"".join(map(bytes, known)))
            numbers = array("d", b"".join(bytes(memoryview(one.numbers)) for one in additions))
        base, count = places.buffer_info()
        if write(base, count, "grad", numbers, scale) == count:
            return
    leaves: dict[int, Value] = {}
    totals: dict[int, Any] = {}
    for one in additions:
        for leaf, number in zip(one.leaves(), one.numbers, strict=True):
            key = id(leaves.setdefault(id(leaf), leaf))
            totals[key] = totals.get(key, leaf.grad) + float(number) * scale
    assign(list(leaves.values()), "grad", totals.values())


class Slots:
    """The leaves of a closure, held together so that all their numbers are read or written at once.

    For as long as all of them are floats; a call that meets another kind gives None or False.
    """

    def __init__(self, leaves: Sequence[Value], places: Sequence[int]) -> None:
        self.leaves = list(leaves)  # kept alive: their addresses are used
        self.addresses = array("q", places)
        self.zeros = array("d", bytes(8 * len(self.leaves)))

    @classmethod
    def of(cls, leaves: Sequence[Value]) -> Slots | None:
        """The slots of these leaves, None if they cannot be reached here."""
        places = addresses(leaves) if leaves else None
        return None if places is None else cls(leaves, places)

    def read(self, name: str) -> array[float] | None:
        """The numbers of an attribute, None if one of them is no float."""
        return read(*self.addresses.buffer_info(), name)

    def write(self, name: str, numbers: Any) -> bool:
        """Set an attribute of every leaf from a buffer of doubles; False if one is no float."""
        return write(*self.addresses.buffer_info(), name, numbers) == len(self.addresses)

    def writing(self, name: str, numbers: Any) -> Callable[[], int]:
        """That as a call of C, for attributes that are floats; see `at_once`."""
        return writing(*self.addresses.buffer_info(), name, numbers)

    def __reduce__(self) -> Any:
        return Slots.of, (self.leaves,)


def running() -> bool:
    """Whether the machine code is loaded already; it takes some 100 ms the first time."""
    return COMPILED or _functions.cache_info().currsize > 0
