"""Reading and writing `.data` and `.grad` of many leaves at once, in machine code.

A step of training touches every parameter: at 30 to 60 ns per attribute, Python would spend more
time on that than the machine code on the whole batch. The places of the attributes are probed,
not assumed; where anything looks different, `Slots.of` gives None and plain Python does it.

A number that only its slot holds is written over in place; any other is left to its holders, and
the slot gets a new one. Programs set gradients to 0, so that whole number is read as 0.0.
"""

from __future__ import annotations

import ctypes
import functools
from array import array
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.jit import Module, once
from tinygrad_scalar.compiler.machine.objects import (
    NUMBER,
    address,
    available,
    had_memory,
    is_float,
    put,
)
from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.core import sweep
from tinygrad_scalar.core.at_once import assign, with_added
from tinygrad_scalar.core.value import COMPILED, Value

AHEAD = 64  # leaves
_NOTHING = array("d", [0.0])
# Where numbers are saved while others are written, for all threads: one at a time does that, and
# fresh memory costs as much as it takes to write them.
_SAVED = [array("d")]


def _slot(leaves: Register, index: Register, offset: Register) -> tuple[Register, Register]:
    """The place of an attribute, and what stands there."""
    place = leaves.item(index, "ptr").at(offset)
    return place, place.load()


def _float(
    leaves: Register, n: Register, offset: Register, i: Register, ahead: int, end: str
) -> tuple[Register, Register, Register]:
    """The slot of leaf i, what stands in it and its number; on to `end` where that is no float.

    Leaves may stand anywhere in memory, so their slots are asked for long before they are read.
    """
    text, later = leaves.text, i + ahead
    inside = text.new("i1", f"icmp ult {later}, {n.name}")
    slot = leaves.item(text.select(inside, later, i), "ptr").at(offset)
    text.call("@llvm.prefetch.p0", slot, "i32 0, i32 3, i32 1", gives="void")
    place, before = _slot(leaves, i, offset)
    text.need(before != "null", end)
    nought = before == f"inttoptr (i64 {id(0)} to ptr)"
    text.need(is_float(before) | nought, end)
    number = before.at(NUMBER).load("double")
    return place, before, text.select(nought, text.constant("double", 0.0), number)


_LEAVES = "ptr %leaves, i64 %n, i64 %offset"


def _gather() -> str:
    text, arguments = Text(), f"{_LEAVES}, ptr %out"
    leaves, n, offset, out = text.arguments(arguments)
    with text.loop(n) as loop:
        *_, number = _float(leaves, n, offset, loop.k, AHEAD, loop.done)
        out.at(loop.k, "double").store(number)
    text.give(loop.k)
    return text.defined(f"i64 @gather({arguments})")


def _set() -> str:
    """What was read last is written first, as it is in the cache still.

    Where one is no float, or memory ends, what was written before is put back: to look at all of
    them first takes as long as to write them.
    """
    text, arguments = Text(), f"{_LEAVES}, ptr %numbers, double %scale, ptr %saved"
    leaves, n, offset, numbers, scale, saved = text.arguments(arguments)
    adding, last = scale != 0.0, n - 1
    with text.loop(n) as loop:
        i = last - loop.k
        place, before, number = _float(leaves, n, offset, i, -AHEAD, loop.done)
        saved.at(i, "double").store(number)
        given = numbers.item(i, "double")
        put(text.select(adding, number + given * scale, given), place, before)
    written = text.select(had_memory(text), loop.k, text.constant("i64", 0))
    with text.when(written != n), text.loop(n, n - loop.k) as back:
        place, before = _slot(leaves, back.k, offset)
        put(saved.item(back.k, "double"), place, before)
    text.give(written)
    return text.defined(f"i64 @set({arguments})")


def functions() -> str:
    """The functions `gather` and `set`, which give how many are floats, up to one that is none."""
    return f"declare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n{_gather()}\n{_set()}"


@once
def _functions() -> tuple[Any, Any, Any] | None:
    """`gather`, `set`, and the module that they live in; the compiled node has its own.

    None where neither LLVM nor the expected layout of objects is at hand.
    """
    if COMPILED:
        from tinygrad_scalar.core import value

        return value.gather, value.scatter, value
    if not available() or not find_spec("llvmlite"):
        return None
    module = Module(functions(), 100)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    gather = module.function("gather", ctypes.PYFUNCTYPE(word, pointer, word, word, pointer))
    kinds = pointer, word, word, pointer, ctypes.c_double, pointer
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


def reachable(kinds: Iterable[type]) -> bool:
    """Whether slots of leaves of all kinds can be reached by ids, which are their addresses."""
    reached = _functions() is not None and None not in map(offset, ("data", "grad"))
    return reached and all(map(_as_value, set(kinds)))


def addresses(leaves: Iterable[Value]) -> Any:
    """The ids of leaves that are reachable: an array of objects holds them."""
    import numpy as np

    return np.frombuffer(np.fromiter(leaves, object), np.int64)  # a fifth of the time of id(leaf)


def _as_value(kind: type) -> bool:
    """Whether both attributes of a class are those of Value, and no code of its own is asked."""
    names = "data", "grad", "__getattribute__", "__setattr__"
    return all(getattr(kind, name) is getattr(Value, name) for name in names)


class Slots:
    """Leaves held together by their addresses: all their numbers are read or written at once.

    For as long as all of them are floats; a call that meets another kind gives None or False.
    `leaves` are kept alive: their addresses are used.
    """

    def __init__(self, addresses: Any, leaves: Sequence[Value] = ()) -> None:
        self.addresses, self.leaves = addresses, leaves
        self.start, self.count = _start(addresses), memoryview(addresses).nbytes // 8

    @classmethod
    def of(cls, leaves: Sequence[Value]) -> Slots | None:
        """The slots of these leaves, None if they cannot be reached here."""
        if not leaves or not reachable(map(type, leaves)):
            return None
        return cls(array("q", map(id, leaves)), list(leaves))

    @functools.cached_property
    def zeros(self) -> array[float]:
        """As many zeros."""
        return _NOTHING * self.count

    def read(self, name: str) -> array[float] | None:
        """The numbers of an attribute, None if one of them is no float."""
        functions: Any = _functions()
        numbers = _NOTHING * self.count
        found = functions[0](self.start, self.count, offset(name), _start(numbers))
        return numbers if found == self.count else None

    def write(self, name: str, numbers: Any, add: float = 0.0) -> bool:
        """Set an attribute of every leaf from a buffer of doubles; False if one is no float.

        With `add` the numbers are multiplied by it and added to what stands there.
        """
        if memoryview(numbers).nbytes != 8 * self.count:
            return False
        return bool(self.writing(name, numbers, add)() == self.count)

    def writing(self, name: str, numbers: Any, add: float = 0.0) -> Callable[[], int]:
        """That as a call of C, see `at_once`, for attributes that are floats.

        It gives how many are, up to one that is none; `numbers` must live until then.
        """
        functions: Any = _functions()
        given: Any = self.start, self.count, offset(name), _start(numbers), add
        if COMPILED:  # its own function looks at all numbers before it writes
            return functools.partial(functions[1], *given)
        if len(_SAVED[0]) < self.count:
            _SAVED[0] = _NOTHING * self.count
        saved = _SAVED[0]
        call = functools.partial(functions[1], *given, _start(saved))
        call.saved = saved  # type: ignore[attr-defined]  # kept alive with it
        return call

    def __reduce__(self) -> Any:
        return Slots.of, (self.leaves,)


def _start(numbers: Any) -> int:
    """Where a buffer begins."""
    return numbers.buffer_info()[0] if numbers.__class__ is array else address(numbers)


class Addition(NamedTuple):
    """Numbers for the `.grad` of some leaves, which their `slots` reach; None if these are unknown.

    `numbers` is a buffer of doubles where there are slots; `leaves` gives the leaves themselves.
    """

    slots: Slots | None
    numbers: Any
    leaves: Callable[[], Sequence[Value]]

    def reached(self) -> Addition:
        """The same with slots, where there are any."""
        if self.slots is not None:
            return self
        return Addition(Slots.of(self.leaves()), array("d", self.numbers), self.leaves)


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
    if any(one.slots for one in additions):
        additions = [one.reached() for one in additions]
    known: list[Any] = [one.slots for one in additions]
    if known and all(known):
        slots, numbers = known[0], additions[0].numbers
        if len(known) > 1:
            slots = Slots(_joined("q", [one.addresses for one in known]))
            numbers = _joined("d", [one.numbers for one in additions])
        if slots.write("grad", numbers, scale):
            return
    leaves = [leaf for one in additions for leaf in one.leaves()]
    numbers = [float(x) * scale for one in additions for x in one.numbers]
    sums = with_added(leaves, numbers)
    if sums is not None:
        assign(leaves, "grad", sums)
        return
    parts: dict[Value, float] = {}
    for leaf, number in zip(leaves, numbers, strict=True):
        parts[leaf] = parts.get(leaf, 0.0) + number
    with sweep.running:  # what stands in `.grad` is read and added to
        assign(parts, "grad", list(map(sweep.added, parts, parts.values())))


def running() -> bool:
    """Whether the machine code is loaded already; it takes some 100 ms the first time."""
    return COMPILED or _functions.cache_info().currsize > 0
