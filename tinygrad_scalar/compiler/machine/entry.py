"""One point at full speed: built-in functions in machine code, Python's floats in and out.

The code takes floats and lists apart and puts results together itself, so that a call costs little
more than the arithmetic. It does so only for the layout of objects that is probed; for anything
else, and wherever a guard fails or a result is not finite, it gives None, and the call goes the
general way. It is the same for all functions: what it is told of one is a row of whole numbers, the
plans of the structures among them.

Making and freeing a float takes several times as long as writing a number into it. So the latest
results are kept, and one that nobody else holds any more, nor any list or tuple in it, is given
numbers anew. Two are kept, for `y = f(x)` holds the one before while the next is worked out.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import closure, cpython
from tinygrad_scalar.compiler.machine.closure import Closure
from tinygrad_scalar.compiler.machine.cpython import (
    ITEMS,
    LENGTH,
    NUMBER,
    TYPE,
    fresh,
    function_of_python,
    hold,
    is_a,
    let_go,
    put,
)
from tinygrad_scalar.compiler.machine.jit import Module, once
from tinygrad_scalar.compiler.machine.text import Register, Text

FOREVER = 2**62  # calls
LANES = 8  # numbers that are looked at together
_FASTCALL = 0x80


class Told(NamedTuple):
    """What the code is told in front of the plans: whole numbers, or the registers that hold them.

    Where plans and rows begin is told in words, all else by addresses.
    """

    arguments: Any
    left: Any  # calls, until the entry gives up
    results: Any  # how many
    tree: Any  # the plan of the result
    rows: Any  # room for the addresses of the rows of a structure
    closure: Any  # what `closure` is told, 0 if nothing is closed over
    run: Any  # the program, and where it finds its numbers
    x: Any
    p: Any
    out: Any
    s: Any  # 0 where all is finite
    m: Any  # 1 where the guards hold


class _Container(NamedTuple):
    """A list or tuple of a structure: in which row of objects it is, where there, what it is."""

    row: Any
    index: Any
    kind: Any
    length: Any


class _Run(NamedTuple):
    """Numbers that stand side by side: in which row of objects, from where on, how many."""

    row: Any
    start: Any
    count: Any


class Plan(NamedTuple):
    """Where the numbers of a structure stand, in order: in the row that is given, or further ones.

    These are the items of the containers; each container comes behind the one that it is in.
    """

    containers: list[_Container]
    runs: list[_Run]

    def words(self) -> list[int]:
        """What the code is told of it."""
        each = [word for one in (*self.containers, *self.runs) for word in one]
        return [len(self.containers), len(self.runs), *each]

    @classmethod
    def of(cls, trees: Sequence[Any], kinds: Sequence[type]) -> Plan | None:
        """That of structures side by side, with None for a number; None where a kind is another."""
        plan = cls([], [])
        return plan if plan._add(trees, kinds, 0) else None

    def _add(self, trees: Sequence[Any], kinds: Sequence[type], row: int) -> bool:
        others, start = [i for i, tree in enumerate(trees) if tree is not None], 0
        for i in [*others, len(trees)]:
            if i > start:
                self.runs.append(_Run(row, start, i - start))
            start = i + 1
            if i == len(trees):
                return True
            if trees[i].__class__ not in kinds:
                return False
            self.containers.append(_Container(row, i, id(trees[i].__class__), len(trees[i])))
            if not self._add(trees[i], kinds, len(self.containers)):
                return False
        return True


# ── the machine code ──────────────────────────────────────────────────────────────────────────
def _told(kind: Any, place: Register) -> Any:
    """Whole numbers that stand side by side, by their names."""
    return kind(*(place.item(k, "i64") for k in range(len(kind._fields))))


def _containers(plan: Register, rows: Register, found: Callable[..., Register]) -> None:
    """Note the rows of all lists and tuples, which are found at their places."""
    text = plan.text
    with text.loop(plan.load("i64")) as loop:
        one = _told(_Container, plan.at(2, "i64").at(loop.k, "[4 x i64]"))
        thing = found(one, rows.item(one.row, "ptr").at(one.index, "ptr"))
        items = thing.at(ITEMS)
        row = text.select(one.kind == id(list), items.load(), items)
        rows.at(loop.k + 1, "ptr").store(row)


def _numbers(plan: Register, rows: Register, numbers: Register, do: Callable[..., None]) -> None:
    """Do something for every place of a number, and where it stands among `numbers`."""
    text = plan.text
    runs = plan.at(2, "i64").at(plan.load("i64"), "[4 x i64]")
    with text.loop(plan.item(1, "i64")) as loop:
        to = loop.carry(numbers)
        one = _told(_Run, runs.at(loop.k, "[3 x i64]"))
        places = rows.item(one.row, "ptr").at(one.start, "ptr")
        with text.loop(one.count) as inner:
            do(places.at(inner.k, "ptr"), to.at(inner.k, "double"))
        to.next = to.at(one.count, "double")


def _walk(given: Sequence[Register], holders: int, do: Callable[..., None], other: str) -> None:
    """Do something for the floats of a structure that so many hold at most; go on at a label where
    it is not as its plan says.
    """  # noqa: D205
    plan, rows, numbers = given

    def found(one: Any, place: Register) -> Register:
        thing = place.load()
        plan.text.need(thing.at(TYPE).load("i64") == one.kind, other)
        fits = thing.at(LENGTH).load("i64") == one.length
        plan.text.need(fits & (thing.load("i64") < holders + 1), other)
        return thing

    def each(place: Register, number: Register) -> None:
        there = place.load()
        plan.text.need(is_a(there, float), other)
        do(place, there, number)

    _containers(plan, rows, found)
    _numbers(plan, rows, numbers, each)


def _read(_: Register, there: Register, number: Register) -> None:
    number.store(there.at(NUMBER).load("double"))


def _write(place: Register, there: Register, number: Register) -> None:
    put(number.load("double"), place, there)


def _made(given: Sequence[Register]) -> None:
    """A new structure with these numbers. No line of Python runs meanwhile."""
    (plan, rows, numbers), text = given, given[0].text
    make = [text.constant("ptr", function_of_python(f"Py{name}_New")) for name in ("List", "Tuple")]

    def found(one: Any, place: Register) -> Register:
        thing = text.call(text.select(one.kind == id(list), *make), one.length)
        place.store(thing)
        return thing

    collecting = text.call(function_of_python("PyGC_Disable"), gives="i32")
    _containers(plan, rows, found)
    _numbers(plan, rows, numbers, lambda place, number: place.store(fresh(number.load("double"))))
    with text.when(collecting != 0):
        text.call(function_of_python("PyGC_Enable"), gives="i32")


def _give(kept: Register, given: Sequence[Register]) -> None:
    """Give a kept result that nobody else holds, or a new one, which is kept."""
    text, (_, rows, _) = kept.text, given
    for k, other in enumerate(("second", "neither")):
        place = kept.at(k, "ptr")
        rows.store(place)
        _walk(given, 1, _write, other)
        text.give(hold(place.load()))
        text.begin(other)
    last = place.load()
    place.store(kept.load())
    rows.store(kept)
    _made(given)
    thing = hold(kept.load())
    let_go(last)
    text.give(thing)


def _finite(numbers: Register, n: Register) -> Register:
    """Whether all of so many numbers are: x − x is 0 for these, and NaN for the others."""
    text, whole, kind = n.text, n & -LANES, f"<{LANES} x double>"
    with text.loop(whole, step=LANES) as loop:
        sums = loop.carry(text.constant(kind, "zeroinitializer"))
        several = numbers.at(loop.k, "double").load(kind)
        sums.next = sums + (several - several)
    each = text.new(f"<{LANES} x i1>", f"fcmp ord {sums}, zeroinitializer")
    every = each.to("bitcast", f"i{LANES}") == -1
    with text.loop(n, whole) as loop:
        fine, number = loop.carry(every), numbers.item(loop.k, "double")
        fine.next = fine & (number - number == 0.0)
    return fine


def _entry() -> str:
    """`entry`: a built-in function. Its %self begins with the kept results and what it is told."""
    text, arguments = Text(), "ptr %self, ptr %args, i64 %n"
    self, args, n = text.arguments(arguments)
    kept, words = (self.at(ITEMS + 8 * k).load().at(ITEMS).load() for k in (0, 1))
    told = _told(Told, words)
    rows, tree, plan = (words.at(at, "i64") for at in (told.rows, told.tree, len(Told._fields)))
    x, p, out, s, m, run, closure = (
        register.to("inttoptr", "ptr")
        for register in (told.x, told.p, told.out, told.s, told.m, told.run, told.closure)
    )
    text.need(n == told.arguments)
    words.at(Told._fields.index("left"), "i64").store(told.left - 1)
    text.need(told.left >= 1)
    rows.store(args)
    _walk((plan, rows, x), FOREVER, _read, "fail")
    with text.when(closure != "null"):
        text.need(text.call("@fetched", closure, x, p, gives="i1"))
    m.store(text.constant("i8", 1))
    s.store(text.constant("double", 0.0))
    text.call(run, x, p, out, s, m, gives="void")
    text.need((m.load("i8") != 0) & (s.load("double") == 0.0))
    text.need(_finite(out, told.results))
    with text.when(closure != "null"):
        text.need(text.call("@added", closure, out.at(1, "double"), gives="i1"))
    _give(kept, (tree, rows, out))
    text.begin("fail")
    text.give(hold(text.constant("ptr", f"inttoptr (i64 {id(None)} to ptr)")))
    return text.defined(f"ptr @entry({arguments})")


@once
def _module() -> Module:
    """The code of all entries."""
    return Module(f"{_entry()}\n{closure.functions()}", 0)


class _Definition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


class Entry:
    """The built-in function, with all that must live as long as it does.

    There are plans of so many arguments and of the result; `room` is where the kernel finds its
    numbers. With a `closure`, gradients of what it closes over stand behind the value.
    """

    def __init__(
        self, kernel: Any, count: int, given: Plan, tree: Plan, closure: Closure | None
    ) -> None:
        self.room = room = kernel.buffer()
        left = FOREVER if kernel.left is None else kernel.left
        over = 0 if closure is None else closure.words.buffer_info()[0]
        plans = [given.words(), tree.words()]
        behind = len(Told._fields) + len(plans[0])
        rows = [0] * (1 + max(len(given.containers), len(tree.containers)))
        told = Told(
            count, left, len(kernel.program.outputs), behind, behind + len(plans[1]), over,
            kernel.module.addresses["point"], *room[2],
        )  # fmt: skip
        words = array("q", [*told, *plans[0], *plans[1], *rows])
        self.definition = _Definition(b"replay", _module().addresses["entry"], _FASTCALL, None)
        # read when a built-in function is freed, at the interpreter's very end too: kept for ever
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.definition))
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        # what is called keeps results, and the machine code alive, whoever made another entry
        held = ([None, None], words, kernel.module, room, closure)
        self.call: Any = make(ctypes.addressof(self.definition), held, None)

    @classmethod
    def of(
        cls, kernel: Any, arguments: Sequence[Any], tree: Any, closure: Closure | None
    ) -> Entry | None:
        """The entry for structures of numbers; None where objects or structures are others."""
        given, result = Plan.of(arguments, (list,)), Plan.of([tree], (list, tuple))
        if given is None or result is None or not cpython.available():
            return None
        return cls(kernel, len(arguments), given, result, closure)
