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

from tinygrad_scalar.compiler.machine.cpython import NUMBER, TYPE, available, put
from tinygrad_scalar.compiler.machine.jit import Module, address, loop
from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.value import COMPILED, Value

_NOTHING = array("d", [0.0])
# What stands in the slot of leaf %k.
_SLOT = """  %leaf_place = getelementptr inbounds ptr, ptr %leaves, i64 %k
  %leaf = load ptr, ptr %leaf_place
  %place = getelementptr inbounds i8, ptr %leaf, i64 %offset
  %before = load ptr, ptr %place
"""
_NUMBER = f"""  %there = getelementptr inbounds i8, ptr %before, i64 {NUMBER}
  %number_there = load double, ptr %there
"""


def _as_far_as_floats(name: str, out: str, then: str) -> str:
    """A function that does something with the floats in the slots, and counts them.

    Up to the first that is none.
    """
    body = f"""{_SLOT}  %something = icmp ne ptr %before, null
  br i1 %something, label %look, label %done
look:
  %type_place = getelementptr inbounds i8, ptr %before, i64 {TYPE}
  %type = load i64, ptr %type_place
  %fine = icmp eq i64 %type, {id(float)}
  br i1 %fine, label %float, label %done
float:
{then}"""
    return f"""define i64 @{name}(ptr %leaves, i64 %n, i64 %offset{out}) nounwind {{
entry:
{loop(body, last="float")}  ret i64 %k
}}
"""


def text() -> str:
    """The functions `gather` and `set`."""
    read = f"""{_NUMBER}  %to = getelementptr inbounds double, ptr %out, i64 %k
  store double %number_there, ptr %to
"""
    written = f"""{_SLOT}{_NUMBER}  %from = getelementptr inbounds double, ptr %numbers, i64 %k
  %given = load double, ptr %from
  %scaled = fmul double %given, %scale
  %sum = fadd double %number_there, %scaled
  %number = select i1 %adding, double %sum, double %given
{put()}"""
    return f"""{_as_far_as_floats("floats", "", "")}
{_as_far_as_floats("gather", ", ptr %out", read)}
define i64 @set(ptr %leaves, i64 %n, i64 %offset, ptr %numbers, double %scale) nounwind {{
  %adding = fcmp une double %scale, 0.0
  %floats = call i64 @floats(ptr %leaves, i64 %n, i64 %offset)
  %all = icmp eq i64 %floats, %n
  br i1 %all, label %entry, label %none
entry:
{loop(written, last="end")}  ret i64 %n
none:
  ret i64 %floats
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
    module = Module(text(), 100)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    gather = module.function("gather", ctypes.PYFUNCTYPE(word, pointer, word, word, pointer))
    kinds = pointer, word, word, pointer, ctypes.c_double
    return gather, module.function("set", ctypes.PYFUNCTYPE(word, *kinds)), module


@functools.cache
def offset(name: str) -> int | None:
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
        there = offset(name)
        if there is None:
            return None
        for leaf in leaves if set(map(type, leaves)) != {Value} else ():  # laid out alike
            if at(id(leaf) + there).value != id(getattr(leaf, name)):
                return None
    return list(map(id, leaves))


def read(places: int, count: int, name: str) -> array[float] | None:
    """An attribute of the leaves whose addresses stand at `places`; None if one is no float."""
    functions: Any = _functions()
    numbers = _NOTHING * count
    found = functions[0](places, count, offset(name), numbers.buffer_info()[0])
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
    start = numbers.buffer_info()[0] if numbers.__class__ is array else address(numbers)
    return functools.partial(functions[1], places, count, offset(name), start, add)


class Addition(NamedTuple):
    """Numbers for the `.grad` of some leaves, which stand at `places`, None where that is unknown.

    `numbers` is a buffer of doubles where there are places; `leaves` gives the leaves themselves.
    """

    places: Any
    numbers: Any
    leaves: Callable[[], Sequence[Value]]


def _joined(kind: str, parts: Sequence[Any]) -> array[Any]:
    """The numbers of several buffers in one."""
    every = array(kind)
    for part in parts:
        every.frombytes(memoryview(part).cast("B"))
    return every


def add_to_gradients(additions: Sequence[Addition], scale: float) -> None:
    """Add all numbers, times `scale`, to the `.grad` of their leaves: all of it or nothing.

    A leaf may stand there several times.
    """
    known = [one.places for one in additions if one.places is not None]
    if len(known) == len(additions) > 0:
        places, numbers = known[0], additions[0].numbers
        if len(known) > 1 or places.__class__ is not array:
            places = _joined("q", known)
            numbers = _joined("d", [one.numbers for one in additions])
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
        self.zeros = _NOTHING * len(self.leaves)

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
