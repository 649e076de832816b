"""What a function closes over, at one point: read before its machine code runs, added to after it.

Both happen within the built-in function of `entry`, so that a step of training at one point runs no
line of Python, and no interrupt comes between the gradients of two leaves.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import slots
from tinygrad_scalar.compiler.machine.jit import address
from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.core.value import COMPILED, Value


class _Told(NamedTuple):
    """What the code is told in front of the lookups: offsets, addresses, numbers of leaves."""

    data: Any  # whole numbers, or the registers that hold them
    grad: Any
    places: Any  # of the leaves, room for those that are looked up, and for a number of each
    leaves: Any
    looked_up: Any
    inputs: Any  # behind them stands what is looked up
    added_to: Any  # how many leaves gradients are added to: all or none
    lookups: Any  # how many


class _Lookup(NamedTuple):
    """A lookup: the input that is the index, and the addresses of the leaves of all rows.

    They are 0 for a row that nothing has pointed to so far.
    """

    place: Any
    rows: Any
    width: Any
    addresses: Any


def functions() -> str:
    """`fetched` reads the numbers of leaves, `added` adds to their gradients.

    They give false, with no gradient changed, where one is no float; and `fetched` for an index
    that points to no row, or to one that is not known yet.
    """
    return f"{_fetched()}\n{_added()}\n{slots.functions()}"


def _fetched() -> str:
    text, arguments = Text(), "ptr %closure, ptr %x, ptr %p"
    closure, x, p = text.arguments(arguments)
    told = _Told(*(closure.item(k, "i64") for k in range(len(_Told._fields))))
    own = told.places.to("inttoptr", "ptr")
    reached, lookups = own.at(told.leaves, "ptr"), closure.at(len(_Told._fields), "i64")
    with text.loop(told.lookups) as loop:
        to = loop.carry(reached)
        lookup = lookups.at(loop.k, f"[{len(_Lookup._fields)} x i64]")
        each = _Lookup(*(lookup.item(k, "i64") for k in range(len(_Lookup._fields))))
        row = _row(each, x.item(each.place, "double"))
        with text.loop(each.width) as inner:
            to.at(inner.k, "ptr").store(row.item(inner.k, "ptr"))
        to.next = to.at(each.width, "ptr")
    behind = x.at(told.inputs, "double")
    found = _gathered(own, told.leaves, told.data, p)
    found += _gathered(reached, told.looked_up, told.data, behind)
    text.give(found == told.leaves + told.looked_up)
    text.begin("fail")
    text.give("i1 false")
    return text.defined(f"internal i1 @fetched({arguments})")


def _row(lookup: _Lookup, number: Register) -> Register:
    """The addresses of the leaves that a number points to."""
    text = number.text
    text.need((number >= 0.0) & (number < lookup.rows.to("sitofp", "double")))
    whole = number.to("fptosi", "i64")
    row: Register = lookup.addresses.to("inttoptr", "ptr").at(whole * lookup.width, "ptr")
    text.need((whole.to("sitofp", "double") == number) & (row.load() != "null"))
    return row


def _gathered(*given: Register) -> Register:
    return given[0].text.call("@gather", *given, gives="i64")


def _added() -> str:
    text, arguments = Text(), "ptr %closure, ptr %gradients"
    closure, gradients = text.arguments(arguments)
    told = _Told(*(closure.item(k, "i64") for k in range(len(_Told._fields))))
    own = told.places.to("inttoptr", "ptr")
    room = own.at(told.leaves + told.looked_up, "ptr")
    given = own, told.added_to, told.grad, gradients, "double 1.0", room
    text.give(text.call("@set", *given, gives="i64") == told.added_to)
    return text.defined(f"internal i1 @added({arguments})")


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
        if COMPILED or not slots.reachable(leaves):
            return None
        return cls(leaves, list(map(id, leaves)), lookups, inputs, adding)
