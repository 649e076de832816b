"""One point at full speed: built-in functions in machine code, Python's floats in and out.

The code takes floats and lists apart and puts results together itself, so that a call costs little
more than the arithmetic. It does so only for the layout of objects that is probed; for anything
else, and wherever a guard fails or a result is not finite, it gives None, and the call goes the
general way. It is the same for all functions: what it is told of one is a row of whole numbers, a
plan of the structures among them.

Making and freeing a float takes several times as long as writing a number into it. So the latest
results are kept, and one that nobody else holds any more, nor any list or tuple in it, is given
numbers anew. Two are kept, for `y = f(x)` holds the one before while the next is worked out.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import closure, cpython
from tinygrad_scalar.compiler.machine.closure import Closure
from tinygrad_scalar.compiler.machine.cpython import (
    ITEMS,
    LENGTH,
    NUMBER,
    TYPE,
    field,
    function_of_python,
    item,
    put,
    words,
)
from tinygrad_scalar.compiler.machine.jit import Module, loop, once

FOREVER = 2**62  # calls
LANES = 8  # numbers that are looked at together
_FASTCALL = 0x80


class Told(NamedTuple):
    """What the code is told in front of the plans of the arguments: numbers, and addresses."""

    arguments: int
    left: int  # calls, until the entry gives up
    results: int  # how many
    tree: int  # where the plan of the result begins
    closure: int  # what `closure` is told, 0 if nothing is closed over
    run: int  # the program, and where it finds its numbers
    x: int
    p: int
    out: int
    s: int  # 0 where all is finite
    m: int  # 1 where the guards hold


NUMBERS = Told._fields.index("closure")  # that stand in front of the addresses


def plan(tree: Any, kinds: Sequence[type] = (list, tuple)) -> list[int] | None:
    """The plan of a structure of numbers, which are None there; None for one of other kinds.

    That of a number is 0. That of a list or tuple is its type, its length, whether all its items
    are numbers, and the plans of the items: one for all where they are numbers.
    """
    if tree is None:
        return [0]
    if tree.__class__ not in kinds:
        return None
    head = [id(tree.__class__), len(tree)]
    if tree and all(branch is None for branch in tree):  # as most, so at once
        return [*head, 1, 0]
    inner = [plan(branch, kinds) for branch in tree]
    if None in inner:
        return None
    return [*head, 0, *(word for each in inner for word in each or ())]


# ── the machine code ──────────────────────────────────────────────────────────────────────────
def _items() -> str:
    """Where the items of %thing stand, whose type is %type."""
    return f"""{field("listed", "%thing", ITEMS)}  %is_list = icmp eq i64 %type, {id(list)}
  %items = select i1 %is_list, ptr %listed, ptr %listed.place
"""


# What is to be done with the numbers of a structure, or whether it may be given others.
READ, CHECK, WRITE = range(3)


def _walk() -> str:
    """`walk`: the numbers of what stands at a place, as a plan says, read to a row or written.

    It gives where the plan ends, null for what is not as it says, and moves on in the row. To
    `CHECK` reads them too, and wants that nobody else holds any list or tuple.
    """
    read = f"""{item("float", "%from", "%i")}{field("kind", "%float", TYPE, "i64")}\
  %fine = icmp eq i64 %kind, {id(float)}
  br i1 %fine, label %copy, label %fail
copy:
{field("found", "%float", NUMBER, "double")}\
  %to = getelementptr inbounds double, ptr %row, i64 %i
  store double %found, ptr %to
"""
    write = item("before", "%from", "%k") + item("number", "%row", "%k", "double") + put()
    return f"""define internal ptr @walk(ptr %where, ptr %plan, ptr %at, i64 %how) nounwind {{
entry:
  %writing = icmp eq i64 %how, {WRITE}
  %type = load i64, ptr %plan
  %single = icmp eq i64 %type, 0
  %behind = getelementptr inbounds i64, ptr %plan, i64 1
  br i1 %single, label %numbers, label %container
container:
{words(("length", "flat"), "%plan", 1)}  %thing = load ptr, ptr %where
{field("own_type", "%thing", TYPE, "i64")}  %same = icmp eq i64 %own_type, %type
  br i1 %same, label %alike, label %fail
alike:
{field("size", "%thing", LENGTH, "i64")}  %long = icmp eq i64 %size, %length
  %held = load i64, ptr %thing
  %alone = icmp eq i64 %held, 1
  %careless = icmp ne i64 %how, {CHECK}
  %free = or i1 %alone, %careless
  %right = and i1 %long, %free
  br i1 %right, label %fitted, label %fail
fitted:
{_items()}  %nested = icmp eq i64 %flat, 0
  %inner = getelementptr inbounds i64, ptr %plan, i64 3
  %end_of_plan = getelementptr inbounds i64, ptr %plan, i64 4
  br i1 %nested, label %branches, label %numbers
branches:
  %through = call ptr @each(ptr %items, i64 %length, ptr %inner, ptr %at, i64 %how)
  ret ptr %through
numbers:
  %from = phi ptr [ %where, %entry ], [ %items, %fitted ]
  %n = phi i64 [ 1, %entry ], [ %length, %fitted ]
  %result = phi ptr [ %behind, %entry ], [ %end_of_plan, %fitted ]
  %row = load ptr, ptr %at
  %moved = getelementptr inbounds double, ptr %row, i64 %n
  store ptr %moved, ptr %at
  br i1 %writing, label %write, label %read
read:
{loop(read, k="i", before="read", last="copy")}  ret ptr %result
write:
{loop(write, before="write", last="end")}  ret ptr %result
fail:
  ret ptr null
}}"""


def _each() -> str:
    """`each`: `walk` for things side by side, whose plans are."""
    body = """  %thing = getelementptr inbounds ptr, ptr %things, i64 %k
  %following = call ptr @walk(ptr %thing, ptr %plan, ptr %at, i64 %how)
  %fits = icmp ne ptr %following, null
  br i1 %fits, label %fitting, label %fail
fitting:
"""
    carried = "  %plan = phi ptr [ %plans, %entry ], [ %following, %fitting ]\n"
    return f"""define internal ptr @each(\
ptr %things, i64 %n, ptr %plans, ptr %at, i64 %how) nounwind {{
entry:
{loop(body, carried=carried, last="fitting")}  ret ptr %plan
fail:
  ret ptr null
}}"""


def _made() -> str:
    """`made`: a new structure as a plan says, with any numbers; where the plan ends is stored."""
    children = """  %item = getelementptr inbounds ptr, ptr %items, i64 %k
  %part = call ptr @made(ptr %child, ptr %behind)
  store ptr %part, ptr %item
  %following = load ptr, ptr %behind
  %other = select i1 %alike, ptr %child, ptr %following
"""
    carried = "  %child = phi ptr [ %inner, %container ], [ %other, %body ]\n"
    return f"""define internal ptr @made(ptr %plan, ptr %behind) nounwind {{
entry:
  %type = load i64, ptr %plan
  %single = icmp eq i64 %type, 0
  br i1 %single, label %number, label %container
number:
  %after = getelementptr inbounds i64, ptr %plan, i64 1
  store ptr %after, ptr %behind
  %float = call ptr {function_of_python("PyFloat_FromDouble")}(double 0.0)
  ret ptr %float
container:
{words(("n", "flat"), "%plan", 1)}  %inner = getelementptr inbounds i64, ptr %plan, i64 3
  store ptr %inner, ptr %behind
  %alike = icmp ne i64 %flat, 0
  %listing = icmp eq i64 %type, {id(list)}
  %make = select i1 %listing, ptr {function_of_python("PyList_New")}, \
ptr {function_of_python("PyTuple_New")}
  %thing = call ptr %make(i64 %n)
{_items()}{loop(children, before="container", carried=carried)}  ret ptr %thing
}}"""


def _result() -> str:
    """`result`: a kept one that nobody else holds, or a new one, which is kept; a reference."""
    return f"""define internal ptr @result(ptr %kept, ptr %tree, ptr %outputs) nounwind {{
entry:
  %at = alloca ptr
  %second = getelementptr inbounds ptr, ptr %kept, i64 1
  br label %look
look:
  %place = phi ptr [ %kept, %entry ], [ %second, %other ]
  store ptr %outputs, ptr %at
  %fits = call ptr @walk(ptr %place, ptr %tree, ptr %at, i64 {CHECK})
  %free = icmp ne ptr %fits, null
  br i1 %free, label %again, label %other
again:
  %thing = load ptr, ptr %place
  call void {function_of_python("Py_IncRef")}(ptr %thing)
  ret ptr %thing
other:
  %first = icmp eq ptr %place, %kept
  br i1 %first, label %look, label %fresh
fresh:
  %new = call ptr @made(ptr %tree, ptr %at)
  call void {function_of_python("Py_IncRef")}(ptr %new)
  %before = load ptr, ptr %kept
  %last = load ptr, ptr %second
  store ptr %before, ptr %second
  store ptr %new, ptr %kept
  call void {function_of_python("Py_DecRef")}(ptr %last)
  ret ptr %new
}}"""


def _finite() -> str:
    """`finite`: whether all outputs are: x − x is 0 for these, and NaN for the others."""

    def summed(k: str, kind: str, before: str, **bounds: Any) -> str:
        body = f"""  %{k}.place = getelementptr inbounds double, ptr %out, i64 %{k}
  %{k}.number = load {kind}, ptr %{k}.place, align 8
  %{k}.nothing = fsub {kind} %{k}.number, %{k}.number
  %{k}.total = fadd {kind} %{k}.sum, %{k}.nothing
"""
        sums = (
            f"  %{k}.sum = phi {kind} [ zeroinitializer, %{before} ], [ %{k}.total, %{k}.body ]\n"
        )
        text = loop(body, k=k, before=before, carried=sums, last=f"{k}.body", **bounds)
        return f"{text}  %{k}.fine = fcmp ord {kind} %{k}.sum, %{k}.sum\n"

    return f"""define internal i1 @finite(ptr %out, i64 %results) nounwind {{
entry:
  %whole = and i64 %results, {-LANES}
{summed("v", f"<{LANES} x double>", "entry", n="%whole", step=LANES)}\
{summed("j", "double", "v.done", n="%results", start="%whole")}\
  %each = bitcast <{LANES} x i1> %v.fine to i{LANES}
  %every = icmp eq i{LANES} %each, -1
  %fine = and i1 %every, %j.fine
  ret i1 %fine
}}"""


def _entry() -> str:
    """`entry`: a built-in function. Its %self begins with the kept results and what it is told.

    Lists are made before the buffers are used: that may run the garbage collector, so that what it
    finalizes, or another thread meanwhile, calls this very entry.
    """
    return f"""define ptr @entry(ptr %self, ptr %args, i64 %n) nounwind {{
entry:
  %at = alloca ptr
  %slot = alloca ptr
{field("list", "%self", ITEMS)}{field("kept", "%list", ITEMS)}\
{field("array", "%self", ITEMS + 8)}{field("told", "%array", ITEMS)}\
{words(Told._fields[:NUMBERS], "%told")}\
{words(Told._fields[NUMBERS:], "%told", NUMBERS, "ptr")}\
  %closed = icmp ne ptr %closure, null
  %plans = getelementptr inbounds i64, ptr %told, i64 {len(Told._fields)}
  %result_plan = getelementptr inbounds i64, ptr %told, i64 %tree
  %as_many = icmp eq i64 %n, %arguments
  br i1 %as_many, label %counted, label %nothing
counted:
  %fewer = sub i64 %left, 1
  store i64 %fewer, ptr %left.place
  %going = icmp sgt i64 %left, 0
  br i1 %going, label %begin, label %nothing
begin:
  %type = load i64, ptr %result_plan
  %single = icmp eq i64 %type, 0
  br i1 %single, label %take, label %structure
structure:
  %container = call ptr @result(ptr %kept, ptr %result_plan, ptr %out)
  br label %take
take:
  %result = phi ptr [ null, %begin ], [ %container, %structure ]
  store ptr %result, ptr %slot
  store ptr %x, ptr %at
  %taken = call ptr @each(ptr %args, i64 %n, ptr %plans, ptr %at, i64 {READ})
  %fits = icmp ne ptr %taken, null
  br i1 %fits, label %read, label %fail
read:
  br i1 %closed, label %fetch, label %compute
fetch:
  %fetched = call i1 @fetched(ptr %closure, ptr %x, ptr %p)
  br i1 %fetched, label %compute, label %fail
compute:
  store i8 1, ptr %m
  store double 0.0, ptr %s
  call void %run(ptr %x, ptr %p, ptr %out, ptr %s, ptr %m)
  %flag = load i8, ptr %m
  %holds = icmp ne i8 %flag, 0
  %checked = load double, ptr %s
  %quiet = fcmp oeq double %checked, 0.0
  %right = and i1 %holds, %quiet
  br i1 %right, label %computed, label %fail
computed:
  %fine = call i1 @finite(ptr %out, i64 %results)
  br i1 %fine, label %good, label %fail
good:
  br i1 %closed, label %add, label %give
add:
  %slopes = getelementptr inbounds double, ptr %out, i64 1
  %added = call i1 @added(ptr %closure, ptr %slopes)
  br i1 %added, label %give, label %fail
give:
  br i1 %single, label %bare, label %filled
bare:
  %only = load double, ptr %out
  %float = call ptr {function_of_python("PyFloat_FromDouble")}(double %only)
  ret ptr %float
filled:
  store ptr %out, ptr %at
  %ready = call ptr @walk(ptr %slot, ptr %result_plan, ptr %at, i64 {WRITE})
  ret ptr %result
fail:
  call void {function_of_python("Py_DecRef")}(ptr %result)
  br label %nothing
nothing:
  %none = inttoptr i64 {id(None)} to ptr
  call void {function_of_python("Py_IncRef")}(ptr %none)
  ret ptr %none
}}"""


@once
def _module() -> Module:
    """The code of all entries."""
    parts = _walk(), _each(), _made(), _result(), _finite(), closure.text(), _entry()
    return Module("\n".join(parts), 0)


class _Definition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


class Entry:
    """The built-in function, with all that must live as long as it does.

    `plans` are those of the arguments and of the result, `room` is where the kernel finds its
    numbers. With a `closure`, gradients of what it closes over stand behind the value.
    """

    def __init__(
        self, kernel: Any, plans: Sequence[list[int]], closure: Closure | None = None
    ) -> None:
        *arguments, tree = plans
        self.room = room = kernel.buffer()
        x, p, out, finite, mask = room[2]
        left = FOREVER if kernel.left is None else kernel.left
        over = 0 if closure is None else closure.words.buffer_info()[0]
        words = [word for each in arguments for word in each]
        end = len(Told._fields) + len(words)
        point, outputs = kernel.module.addresses["point"], len(kernel.program.outputs)
        told = Told(len(arguments), left, outputs, end, over, point, x, p, out, finite, mask)
        self.definition = _Definition(b"replay", _module().addresses["entry"], _FASTCALL, None)
        # read when a built-in function is freed, at the interpreter's very end too: kept for ever
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.definition))
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        # what is called keeps results, and the machine code alive, whoever made another entry
        held = ([None, None], array("q", [*told, *words, *tree]), kernel.module, room, closure)
        self.call: Any = make(ctypes.addressof(self.definition), held, None)

    @classmethod
    def of(
        cls, kernel: Any, arguments: Sequence[Any], tree: Any, closure: Closure | None
    ) -> Entry | None:
        """The entry for structures of numbers; None where objects or structures are others."""
        plans = [*(plan(each, (list,)) for each in arguments), plan(tree)]
        if None in plans or not cpython.available():
            return None
        return cls(kernel, plans, closure)  # type: ignore[arg-type]
