"""What a function closes over, at one point: read before its machine code runs, added to after it.

Both happen within the built-in function of `entry`, so that a step of training at one point runs no
line of Python, and no interrupt comes between the gradients of two leaves.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import slots
from tinygrad_scalar.compiler.machine.cpython import item, words
from tinygrad_scalar.compiler.machine.jit import address, loop
from tinygrad_scalar.core.value import COMPILED, Value


class _Told(NamedTuple):
    """What the code is told in front of the lookups: offsets, addresses, numbers of leaves."""

    data: int
    grad: int
    places: int  # of the leaves, room for those that are looked up, and for a number of each
    leaves: int
    looked_up: int
    inputs: int  # behind them stands what is looked up
    added_to: int  # how many leaves gradients are added to: all or none
    lookups: int  # how many


class _Lookup(NamedTuple):
    """A lookup: the input that is the index, and the addresses of the leaves of all rows.

    They are 0 for a row that nothing has pointed to so far.
    """

    place: int
    rows: int
    width: int
    addresses: int


def text() -> str:
    """`fetched` reads the numbers of leaves, `added` adds to their gradients.

    They give false, with no gradient changed, where one is no float; and `fetched` for an index
    that points to no row, or to one that is not known yet.
    """
    told = f"""{words(_Told._fields, "%closure")}\
  %first = getelementptr inbounds i64, ptr %closure, i64 {len(_Told._fields)}
  %own = inttoptr i64 %places to ptr
  %reached = getelementptr inbounds ptr, ptr %own, i64 %leaves
"""
    copy = f"""{item("leaf", "%row", "%j")}\
  %there = getelementptr inbounds ptr, ptr %to, i64 %j
  store ptr %leaf, ptr %there
"""
    size = len(_Lookup._fields)
    look = f"""  %lookup = getelementptr inbounds [{size} x i64], ptr %first, i64 %k
{words(_Lookup._fields, "%lookup")}{item("number", "%x", "%place", "double")}\
  %end = sitofp i64 %rows to double
  %high = fcmp olt double %number, %end
  %low = fcmp oge double %number, 0.0
  %inside = and i1 %low, %high
  br i1 %inside, label %within, label %fail
within:
  %whole = fptosi double %number to i64
  %back = sitofp i64 %whole to double
  %same = fcmp oeq double %back, %number
  %skipped = mul i64 %whole, %width
  %table = inttoptr i64 %addresses to ptr
  %row = getelementptr inbounds ptr, ptr %table, i64 %skipped
  %address = load ptr, ptr %row
  %seen = icmp ne ptr %address, null
  %known = and i1 %same, %seen
  br i1 %known, label %copy, label %fail
copy:
{loop(copy, k="j", n="%width", before="copy", last="j.body")}\
  %following = getelementptr inbounds ptr, ptr %to, i64 %width
"""
    carried = "  %to = phi ptr [ %reached, %entry ], [ %following, %j.done ]\n"
    return f"""define internal i1 @fetched(ptr %closure, ptr %x, ptr %p) nounwind {{
entry:
{told}{loop(look, n="%lookups", carried=carried, last="j.done")}\
  %behind = getelementptr inbounds double, ptr %x, i64 %inputs
  %a = call i64 @gather(ptr %own, i64 %leaves, i64 %data, ptr %p)
  %b = call i64 @gather(ptr %reached, i64 %looked_up, i64 %data, ptr %behind)
  %found = add i64 %a, %b
  %asked = add i64 %leaves, %looked_up
  %all = icmp eq i64 %found, %asked
  ret i1 %all
fail:
  ret i1 false
}}
define internal i1 @added(ptr %closure, ptr %gradients) nounwind {{
{words(_Told._fields, "%closure")}  %own = inttoptr i64 %places to ptr
  %n = add i64 %leaves, %looked_up
  %room = getelementptr inbounds ptr, ptr %own, i64 %n
  %written = call i64 \
@set(ptr %own, i64 %added_to, i64 %grad, ptr %gradients, double 1.0, ptr %room)
  %all = icmp eq i64 %written, %added_to
  ret i1 %all
}}
{slots.text()}"""


class Closure:
    """Leaves that are read, and tables in which inputs look others up; see `text`."""

    def __init__(
        self,
        leaves: Sequence[Value],
        places: Sequence[int],
        lookups: Sequence[tuple[int, Any]],
        inputs: int,
        adding: bool,
    ) -> None:
        known = [(place, table.addresses) for place, table in lookups]
        looked_up = sum(rows.shape[1] for _, rows in known)
        own = array("q", [*places, *[0] * (len(places) + 2 * looked_up)])
        data, grad, start = slots.offset("data"), slots.offset("grad"), own.buffer_info()[0]
        assert data is not None is not grad  # noqa: S101 (the leaves have addresses)
        added_to = adding * (len(places) + looked_up)
        told = _Told(data, grad, start, len(places), looked_up, inputs, added_to, len(lookups))
        rest = [_Lookup(place, len(rows), rows.shape[1], address(rows)) for place, rows in known]
        self.words = array("q", [*told, *(word for each in rest for word in each)])
        self.held = [*leaves], own, known, lookups  # their addresses are used

    @classmethod
    def of(
        cls,
        leaves: Sequence[Value],
        lookups: Sequence[tuple[int, Any]],
        inputs: int,
        *,
        adding: bool,
    ) -> Closure | None:
        """The leaves, and the inputs that look up rows of tables; None if they cannot be reached.

        The `addresses` of a table are those of its leaves, a row each. With `adding`, gradients
        are added to all of them.
        """
        places = None if COMPILED else slots.addresses(leaves)
        return None if places is None else cls(leaves, places, lookups, inputs, adding)
