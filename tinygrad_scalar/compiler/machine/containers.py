"""Results of machine code: lists and tuples of floats, new ones or those of an earlier call.

Making and freeing a float takes several times as long as writing a number into it. So the latest
results are kept, and one that nobody else holds any more, nor any list or tuple in it, is given
numbers anew. Two are kept, for `y = f(x)` holds the one before while the next is worked out.
"""

from __future__ import annotations

from typing import Any

from tinygrad_scalar.compiler.machine.cpython import Instructions, function_of_python, put
from tinygrad_scalar.compiler.machine.jit import loop

NOTHING = [None, None]  # what is kept before the first call


class Container(Instructions):
    """Instructions about results of one structure, whose leaves are the places of its numbers."""

    def check(self, thing: str, tree: Any) -> None:
        """Give up unless an object is as such a result was made, and held but once."""
        kind = _kind(tree)
        self.expect_type(thing, kind)
        self.go_on_if(self.add(f"icmp eq i64 {self.add(f'load i64, ptr {thing}')}, 1"))
        self.expect_length(thing, len(tree))
        items = self.items(thing, kind)
        if isinstance(tree, range):
            counter, top, after = self.loop()
            self.expect_type(self.item(items, counter), float)
            self.end_loop(counter, top, after, len(tree))
            return
        for k, branch in enumerate(tree):
            if isinstance(branch, int):
                self.expect_type(self.item(items, k), float)
            else:
                self.check(self.item(items, k), branch)

    def made(self, tree: Any) -> str:
        """A new one, with any numbers."""
        kind = _kind(tree)
        make = function_of_python("PyTuple_New" if kind is tuple else "PyList_New")
        thing = self.add(f"call ptr {make}(i64 {len(tree)})")
        items = self.items(thing, kind)
        if isinstance(tree, range):
            self.lines.append(f"  call void @floats(ptr {items}, i64 {len(tree)})")
            return thing
        for k, branch in enumerate(tree):
            place = self.place(items, k)
            if isinstance(branch, int):
                self.lines.append(f"  call void @floats(ptr {place}, i64 1)")
            else:
                self.lines.append(f"  store ptr {self.made(branch)}, ptr {place}")
        return thing

    def fill(self, thing: str, tree: Any, numbers: str) -> None:
        """Give it its numbers."""
        items = self.items(thing, _kind(tree))
        if isinstance(tree, range):
            self._put(items, tree.start, len(tree), numbers)
            return
        for k, branch in enumerate(tree):
            if isinstance(branch, int):
                self._put(self.place(items, k), branch, 1, numbers)
            else:
                self.fill(self.item(items, k), branch, numbers)

    def _put(self, items: str, start: int, count: int, numbers: str) -> None:
        first = self.add(f"getelementptr inbounds double, ptr {numbers}, i64 {start}")
        self.lines.append(f"  call void @put(ptr {items}, ptr {first}, i64 {count})")


def _kind(tree: Any) -> type:
    return tuple if isinstance(tree, tuple) else list


def functions(tree: Any) -> str:
    """The function `@result`: a kept one that nobody else holds, or a new one, which is kept.

    It is told where the kept ones stand, and gives a reference to its result.
    """
    check, new = Container(), Container()
    check.check("%thing", tree)
    thing = new.made(tree)
    floats = f"""  %place = getelementptr inbounds ptr, ptr %items, i64 %k
  %made = call ptr {function_of_python("PyFloat_FromDouble")}(double 0.0)
  store ptr %made, ptr %place
"""
    numbers = f"""  %from = getelementptr inbounds double, ptr %numbers, i64 %k
  %number = load double, ptr %from
  %place = getelementptr inbounds ptr, ptr %items, i64 %k
  %before = load ptr, ptr %place
{put()}"""
    return _FUNCTIONS.format(
        floats=loop(floats), put=loop(numbers, last="end"), check="\n".join(check.lines),
        make="\n".join(new.lines), thing=thing, hold=function_of_python("Py_IncRef"),
        drop=function_of_python("Py_DecRef"),
    )  # fmt: skip


_FUNCTIONS = """
define internal void @floats(ptr %items, i64 %n) nounwind {{
entry:
{floats}  ret void
}}
define internal void @put(ptr %items, ptr %numbers, i64 %n) nounwind {{
entry:
{put}  ret void
}}
define internal i1 @unheld(ptr %thing) nounwind {{
entry:
{check}
  ret i1 true
fail:
  ret i1 false
}}
define internal ptr @result(ptr %kept) nounwind {{
entry:
  %second = getelementptr inbounds ptr, ptr %kept, i64 1
  br label %loop
loop:
  %place = phi ptr [ %kept, %entry ], [ %second, %other ]
  %thing = load ptr, ptr %place
  %free = call i1 @unheld(ptr %thing)
  br i1 %free, label %again, label %other
again:
  call void {hold}(ptr %thing)
  ret ptr %thing
other:
  %first = icmp eq ptr %place, %kept
  br i1 %first, label %loop, label %new
new:
{make}
  call void {hold}(ptr {thing})
  %before = load ptr, ptr %kept
  %last = load ptr, ptr %second
  store ptr %before, ptr %second
  store ptr {thing}, ptr %kept
  call void {drop}(ptr %last)
  ret ptr {thing}
}}"""
