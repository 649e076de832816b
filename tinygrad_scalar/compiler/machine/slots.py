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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.cpython import NUMBER, TYPE, available, field, item, put
from tinygrad_scalar.compiler.machine.jit import Module, address, loop, once
from tinygrad_scalar.core import sweep
from tinygrad_scalar.core.at_once import assign, with_added
from tinygrad_scalar.core.value import COMPILED, Value

AHEAD = 64  # leaves
_NOTHING = array("d", [0.0])
# Where numbers are saved while others are written, for all threads: one at a time does that, and
# fresh memory costs as much as it takes to write them.
_SAVED = [array("d")]
# What stands in the slot of leaf %i.
_SLOT = item("leaf", "%leaves", "%i") + field("before", "%leaf", "%offset")


def _floats(then: str, *, last: str, k: str = "") -> str:
    """A loop of %i, or of %k for %i from the end, over slots; it ends at what is no float.

    Leaves may stand anywhere in memory, so their slots are asked for long before they are read.
    """
    done = f"{k}.done" if k else "done"
    body = f"""  %ahead = {"add" if k else "sub"} i64 %i, {AHEAD}
  %any = icmp ult i64 %ahead, %n
  %later = select i1 %any, i64 %ahead, i64 %i
{item("later_leaf", "%leaves", "%later")}\
  %later_slot = getelementptr inbounds i8, ptr %later_leaf, i64 %offset
  call void @llvm.prefetch.p0(ptr %later_slot, i32 0, i32 3, i32 1)
{_SLOT}  %something = icmp ne ptr %before, null
  br i1 %something, label %look, label %{done}
look:
{field("type", "%before", TYPE, "i64")}  %is_float = icmp eq i64 %type, {id(float)}
  %nought = icmp eq ptr %before, inttoptr (i64 {id(0)} to ptr)
  %fine = or i1 %is_float, %nought
  br i1 %fine, label %float, label %{done}
float:
{field("inside", "%before", NUMBER, "double")}\
  %number_there = select i1 %nought, double 0.0, double %inside
{then}"""
    return loop(body if k else f"  %i = sub i64 %last, %k\n{body}", k=k, last=last)


def text() -> str:
    """The functions `gather` and `set`, which give how many are floats, up to one that is none.

    What was read last is written first, as it is in the cache still. Where one is no float, what
    was written before is put back: to look at all of them first takes as long as to write them.
    """
    read = """  %to = getelementptr inbounds double, ptr %out, i64 %i
  store double %number_there, ptr %to
"""
    written = f"""{item("given", "%numbers", "%i", "double")}\
  %save = getelementptr inbounds double, ptr %saved, i64 %i
  store double %number_there, ptr %save
  %scaled = fmul double %given, %scale
  %sum = fadd double %number_there, %scaled
  %number = select i1 %adding, double %sum, double %given
{put()}"""
    restored = _SLOT + item("number", "%saved", "%i", "double") + put()
    arguments = "ptr %leaves, i64 %n, i64 %offset"
    return f"""declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define i64 @gather({arguments}, ptr %out) nounwind {{
entry:
{_floats(read, k="i", last="float")}  ret i64 %i
}}
define i64 @set({arguments}, ptr %numbers, double %scale, ptr %saved) nounwind {{
entry:
  %adding = fcmp une double %scale, 0.0
  %last = sub i64 %n, 1
{_floats(written, last="end")}  %all = icmp eq i64 %k, %n
  br i1 %all, label %leave, label %restore
restore:
  %first = sub i64 %n, %k
  call void @restore({arguments}, ptr %saved, i64 %first)
  br label %leave
leave:
  ret i64 %k
}}
define internal void @restore({arguments}, ptr %saved, i64 %first) nounwind {{
entry:
{loop(restored, k="i", start="%first", last="end")}  ret void
}}
"""


@once
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


def addresses(leaves: Sequence[Value]) -> list[int] | None:
    """Where leaves stand, to be kept alive; None if their slots cannot be reached here."""
    reached = _functions() is not None and None not in map(offset, ("data", "grad"))
    if not reached or not all(map(_as_value, set(map(type, leaves)))):
        return None
    return list(map(id, leaves))


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
        places = addresses(leaves) if leaves else None
        return None if places is None else cls(array("q", places), list(leaves))

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
        if len(_SAVED[0]) < self.count:
            _SAVED[0] = _NOTHING * self.count
        functions: Any = _functions()
        saved, there = _SAVED[0], offset(name)
        call = functools.partial(
            functions[1], self.start, self.count, there, _start(numbers), add, _start(saved)
        )
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
    known = [one.slots for one in additions if one.slots is not None]
    if len(known) == len(additions) > 0:
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
