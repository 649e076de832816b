"""One point at full speed: built-in functions in machine code, Python's floats in and out.

The code takes floats, lists and arrays apart and puts results together itself, so that a call
costs little more than the arithmetic. It does so only for the layout of objects that is probed; for
anything else, and wherever a guard fails or a result is not finite, it gives None, and the call
goes the general way. It is the same for all functions: what it is told of one is a row of whole
numbers, the plans of the structures among them.

Making and freeing a float takes several times as long as writing a number into it. So the latest
results are kept, and one that nobody else holds any more, nor anything in it but floats, is given
numbers anew. Two are kept, for `y = f(x)` holds the one before while the next is worked out.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from functools import partial
from typing import Any

from tinygrad_scalar.compiler.machine import objects, slots
from tinygrad_scalar.compiler.machine.jit import Module, once
from tinygrad_scalar.compiler.machine.objects import (
    ITEMS,
    Plan,
    Structure,
    address,
    function_of_python,
    hold,
    let_go,
)
from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.core.value import Value

FOREVER = 2**62  # calls
LANES = 8  # numbers that are looked at together
LARGEST = 2**26  # bytes of arrays that are kept
_FASTCALL = 0x80


# What the code is told: whole numbers, or the registers that hold them. In front of the plans: how
# many arguments; the calls until it gives up; how many outputs; where the plan of the result and
# the room for rows of objects begin, in words; addresses, of what is told of the closure (0 where
# nothing is closed over), of the program, and of where it finds its numbers; `s` is 0 where all is
# finite, `m` is 1 where the guards hold; whether gradients are added to what is closed over.
_TOLD = (
    "arguments", "left", "outputs", "tree", "rows", "closure", "run", "x", "p", "out", "s", "m",
    "adding",
)  # fmt: skip
# Of the closure, in front of the lookups: where the numbers of a leaf are in it; the addresses of
# the leaves, with room for those that are looked up and for a number of each; how many there are;
# behind how many inputs the numbers go of what is looked up; how many lookups.
_CLOSED = "data", "grad", "places", "leaves", "looked_up", "inputs", "lookups"
# Of a lookup: the input that is the index, the leaves of all rows by their addresses, which are 0
# for a row that nothing has pointed to so far.
_LOOKUP = "place", "rows", "width", "addresses"


def _give(kept: Register, plan: Register, rows: Register, numbers: Register) -> None:
    """Give a kept result that nobody else holds, or a new one, which is kept.

    While it is made no line of Python runs, which might call this very entry.
    """
    text, structure = kept.text, Structure(plan, rows, numbers)
    for k, other in enumerate(("second", "neither")):  # in a loop a call would take 13 ns longer
        place = kept.at(k, "ptr")
        rows.store(place)
        structure.write(other)
        text.give(hold(place.load()))
        text.begin(other)
    last = place.load()
    place.store(kept.load())
    kept.store(text.constant("ptr", "null"))
    rows.store(kept)
    _make(kept, structure)
    new = hold(kept.load())
    let_go(last)  # which may run Python, and this entry in it
    text.give(new)


def _make(kept: Register, structure: Structure) -> None:
    """Make a new result; or leave the code with the error where memory ends, and let go of it."""
    text = kept.text
    _forget_error(text)
    collecting = text.call(function_of_python("PyGC_Disable"), gives="i32") != 0
    structure.make("spent")
    on = partial(text.call, function_of_python("PyGC_Enable"), gives="i32")
    text.do("br label %made")
    text.begin("spent")
    with text.when(collecting):
        on()
    part = kept.load()
    kept.store(_none(text))
    let_go(part)
    text.give("ptr null")
    text.begin("made")
    with text.when(collecting):
        on()


def _forget_error(text: Text) -> None:
    """That memory ended where a number was to be put: it is done in another way."""
    text.call(function_of_python("PyErr_Clear"), gives="void")


def _none(text: Text) -> Register:
    return hold(text.constant("ptr", f"inttoptr (i64 {id(None)} to ptr)"))


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
    told = words.named(_TOLD)
    rows, tree, plan = (words.at(at, "i64") for at in (told.rows, told.tree, len(_TOLD)))
    text.need(n == told.arguments)
    words.at(_TOLD.index("left"), "i64").store(told.left - 1)
    text.need(told.left >= 1)
    rows.store(args)
    _give(kept, tree, rows, _computed(told, plan, rows))
    text.begin("fail")
    _forget_error(text)
    text.give(_none(text))
    return text.defined(f"ptr @entry({arguments})")


def _computed(told: Any, plan: Register, rows: Register) -> Register:
    """Where the outputs stand, after all is read, the program has run, and gradients are added."""
    text, numbers = plan.text, (told.x, told.p, told.out, told.s, told.m, told.run, told.closure)
    x, p, out, s, m, run, closure = (number.to("inttoptr", "ptr") for number in numbers)
    Structure(plan, rows, x).read("fail")
    with text.when(closure != "null"):
        text.need(text.call("@fetched", closure, x, p, gives="i1"))
    m.store(text.constant("i8", 1))
    s.store(text.constant("double", 0.0))
    text.call(run, x, p, out, s, m, gives="void")
    text.need((m.load("i8") != 0) & (s.load("double") == 0.0))
    text.need(_finite(out, told.outputs))
    with text.when(told.adding != 0):
        text.need(text.call("@added", closure, out.at(1, "double"), gives="i1"))
    return out  # type: ignore[no-any-return]


# ── what is closed over ───────────────────────────────────────────────────────────────────────
def _fetched() -> str:
    """`fetched` reads the numbers of leaves; false where one is no float.

    And for an index that points to no row, or to one that is not known yet.
    """
    text, arguments = Text(), "ptr %closure, ptr %x, ptr %p"
    closure, x, p = text.arguments(arguments)
    told = closure.named(_CLOSED)
    own = told.places.to("inttoptr", "ptr")
    reached, lookups = own.at(told.leaves, "ptr"), closure.at(len(_CLOSED), "i64")
    with text.loop(told.lookups) as loop:
        to = loop.carry(reached)
        each = lookups.at(loop.k, f"[{len(_LOOKUP)} x i64]").named(_LOOKUP)
        row = _row(each, x.item(each.place, "double"))
        with text.loop(each.width) as inner:
            to.at(inner.k, "ptr").store(row.item(inner.k, "ptr"))
        to.next = to.at(each.width, "ptr")
    behind = x.at(told.inputs, "double")
    gather = partial(text.call, "@gather", gives="i64")
    found = gather(own, told.leaves, told.data, p)
    found += gather(reached, told.looked_up, told.data, behind)
    text.give(found == told.leaves + told.looked_up)
    text.begin("fail")
    text.give("i1 false")
    return text.defined(f"internal i1 @fetched({arguments})")


def _row(lookup: Any, number: Register) -> Register:
    """The addresses of the leaves that a number points to."""
    text = number.text
    text.need((number >= 0.0) & (number < lookup.rows.to("sitofp", "double")))
    whole = number.to("fptosi", "i64")
    row: Register = lookup.addresses.to("inttoptr", "ptr").at(whole * lookup.width, "ptr")
    text.need((whole.to("sitofp", "double") == number) & (row.load() != "null"))
    return row


def _added() -> str:
    """`added` adds to their gradients; false, with none changed, where one is no float."""
    text, arguments = Text(), "ptr %closure, ptr %gradients"
    closure, gradients = text.arguments(arguments)
    told = closure.named(_CLOSED)
    own, count = told.places.to("inttoptr", "ptr"), told.leaves + told.looked_up
    given = own, count, told.grad, gradients, "double 1.0", own.at(count, "ptr")
    text.give(text.call("@set", *given, gives="i64") == count)
    return text.defined(f"internal i1 @added({arguments})")


@once
def _module() -> Module:
    """The code of all entries."""
    copy = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    return Module(f"{copy}\n{_entry()}\n{_fetched()}\n{_added()}\n{slots.functions()}", 0)


class Closure:
    """Leaves that are read, and tables in which inputs look others up: what `_CLOSED` names.

    The `addresses` of a table are those of its leaves, a row each.
    """

    def __init__(
        self, leaves: Sequence[Value], lookups: Sequence[tuple[int, Any]], inputs: int
    ) -> None:
        known = [(place, table.addresses) for place, table in lookups]
        looked_up = sum(rows.shape[1] for _, rows in known)
        own = array("q", [*map(id, leaves), *[0] * (len(leaves) + 2 * looked_up)])
        data, grad, start = slots.offset("data"), slots.offset("grad"), own.buffer_info()[0]
        assert data is not None is not grad  # noqa: S101 (the leaves have addresses)
        told = data, grad, start, len(leaves), looked_up, inputs, len(lookups)
        rest = [(place, len(rows), rows.shape[1], address(rows)) for place, rows in known]
        self.words = array("q", [*told, *(word for each in rest for word in each)])
        self.held = [*leaves], own, known, lookups  # their addresses are used


class _Definition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def entry(
    kernel: Any, arguments: Sequence[Any], tree: Any, closure: Closure | None, *, adding: bool
) -> Any:
    """A built-in function of structures of numbers, None for each here, and what it gives.

    Where it is `adding`, gradients of what the `closure` closes over stand behind the value. None
    where objects or structures are others.
    """
    given, result = Plan.of(arguments, (list,)), Plan.of([tree], (list, tuple))
    if given is None or result is None or not objects.available():
        return None
    arrays = given.arrays or result.arrays
    if arrays and not (objects.arrays_available() and result.size * 8 <= LARGEST):
        return None
    room, left = kernel.buffer(), FOREVER if kernel.left is None else kernel.left
    over = 0 if closure is None else closure.words.buffer_info()[0]
    plans = [given.words(), result.words()]
    behind = len(_TOLD) + len(plans[0])
    told = (
        len(arguments), left, len(kernel.program.outputs), behind, behind + len(plans[1]), over,
        kernel.module.addresses["point"], *room[2], int(adding and closure is not None),
    )  # fmt: skip
    rows = [0] * (1 + max(len(given.containers), len(result.containers)))
    words = array("q", [*told, *plans[0], *plans[1], *rows])
    return _built_in([None, None], words, kernel.module, room, closure, given.held, result.held)


# Its types are said once: said anew while it is at work, as in a finaliser that the collector calls
# meanwhile, they are freed under it.
_make_built_in = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
)(("PyCFunction_NewEx", ctypes.pythonapi))


def _built_in(*held: Any) -> Any:
    """The function, which keeps its results, what it is told, and what it runs alive."""
    definition = _Definition(b"replay", _module().addresses["entry"], _FASTCALL, None)
    # read when a built-in function is freed, at the interpreter's very end too: kept for ever
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    return _make_built_in(ctypes.addressof(definition), held, None)
