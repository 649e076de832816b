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
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import closure, cpython
from tinygrad_scalar.compiler.machine.closure import Closure
from tinygrad_scalar.compiler.machine.cpython import ITEMS, function_of_python, hold, let_go
from tinygrad_scalar.compiler.machine.jit import Module, once
from tinygrad_scalar.compiler.machine.structures import Plan, Structure, named
from tinygrad_scalar.compiler.machine.text import Register, Text

FOREVER = 2**62  # calls
LANES = 8  # numbers that are looked at together
LARGEST = 2**26  # bytes of arrays that are kept
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


def _give(kept: Register, plan: Register, rows: Register, numbers: Register) -> None:
    """Give a kept result that nobody else holds, or a new one, which is kept.

    While it is made no line of Python runs, which might call this very entry.
    """
    text, structure = kept.text, Structure(plan, rows, numbers)
    for k, other in enumerate(("second", "neither")):
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
    told = named(Told, words)
    rows, tree, plan = (words.at(at, "i64") for at in (told.rows, told.tree, len(Told._fields)))
    x, p, out, s, m, run, closure = (
        register.to("inttoptr", "ptr")
        for register in (told.x, told.p, told.out, told.s, told.m, told.run, told.closure)
    )
    text.need(n == told.arguments)
    words.at(Told._fields.index("left"), "i64").store(told.left - 1)
    text.need(told.left >= 1)
    rows.store(args)
    Structure(plan, rows, x).read("fail")
    with text.when(closure != "null"):
        text.need(text.call("@fetched", closure, x, p, gives="i1"))
    m.store(text.constant("i8", 1))
    s.store(text.constant("double", 0.0))
    text.call(run, x, p, out, s, m, gives="void")
    text.need((m.load("i8") != 0) & (s.load("double") == 0.0))
    text.need(_finite(out, told.results))
    with text.when(closure != "null"):
        text.need(text.call("@added", closure, out.at(1, "double"), gives="i1"))
    _give(kept, tree, rows, out)
    text.begin("fail")
    text.call(function_of_python("PyErr_Clear"), gives="void")  # of an array that could not be read
    text.give(_none(text))
    return text.defined(f"ptr @entry({arguments})")


@once
def _module() -> Module:
    """The code of all entries."""
    copy = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    return Module(f"{copy}\n{_entry()}\n{closure.functions()}", 0)


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
        held = [None, None], words, kernel.module, room, closure, given.held, tree.held
        self.call: Any = make(ctypes.addressof(self.definition), held, None)

    @classmethod
    def of(
        cls, kernel: Any, arguments: Sequence[Any], tree: Any, closure: Closure | None
    ) -> Entry | None:
        """The entry for structures of numbers; None where objects or structures are others."""
        given, result = Plan.of(arguments, (list,)), Plan.of([tree], (list, tuple))
        if given is None or result is None or not cpython.available():
            return None
        arrays = given.arrays or result.arrays
        if arrays and not (cpython.arrays_available() and result.size * 8 <= LARGEST):
            return None
        return cls(kernel, len(arguments), given, result, closure)
