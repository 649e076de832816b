"""Sums of products as instructions: found in a trace, their indices, and their machine code.

The operands of a dot product mostly stand side by side in memory, the row of a matrix, the numbers
of a layer: they are told by where they begin, in as many parts as it takes. Gradients are added to
several cells at once, each by itself; values are added up strictly from left to right.

Sums of products may be written one by one, as `sum(w * a for w, a in …)`. Where each product, and
each sum but the last, is read but once, the whole is worked out at its last addition, as a dot
product is, in the same order and with the same roundings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.tape import ADD, DOT, MUL
from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.compiler.vm.operations import LONG, NOTHING, Array, Operations
from tinygrad_scalar.compiler.vm.superinstructions import ARGUMENTS, add_to, cell, index

FEWEST = 3  # terms


class Chains(NamedTuple):
    """Sums of so many products each, in the order of the trace: a row for each."""

    start: Array  # the lines that the products are added to
    members: Array  # operations: products, and then sums; a dot product is a sum as it stands
    factors: Array  # lines, those on the left before those on the right

    def some(self, which: Array) -> Chains:
        """Those of a mask."""
        return Chains(*(field[which] for field in self))

    @property
    def long(self) -> Array:
        """Which have many products, with most factors at one distance from the next."""
        steps, count = np.diff(self.factors, axis=1), self.factors.shape[1]
        in_step = 4 * (steps[:, 1:] != steps[:, :-1]).sum(axis=1) <= count
        return in_step & (count >= 2 * LONG)


def dot_products(trace: Operations, which: Array) -> Iterator[Chains]:
    """Those among some operations, by lengths."""
    own = which[trace.row[which] == trace.rows.index(DOT)] if DOT in trace.rows else which[:0]
    counts = np.diff(trace.start)[own]
    for count in np.unique(counts).tolist():
        sums = own[counts == count, None]
        factors = trace.operands[trace.start[sums] + np.arange(count)]
        yield Chains(np.full(len(sums), NOTHING), sums, factors)


def chains(trace: Operations, outputs: Sequence[int]) -> list[Chains]:
    """Those that are as long as can be, by lengths. O(operations)."""
    if not {ADD, MUL} <= set(trace.rows):
        return []
    count, first = len(trace.row), trace.start[:-1]
    uses = np.bincount(trace.place[trace.operands] + 1, minlength=count + 1)[1:]
    asked = trace.place[np.asarray(outputs, int)]
    uses[asked[asked >= 0]] += 2
    additions = np.flatnonzero(trace.row == trace.rows.index(ADD))
    product = trace.place[trace.operands[first[additions] + 1]]
    fits = (product >= 0) & (trace.row[product] == trace.rows.index(MUL)) & (uses[product] == 1)
    links, product = additions[fits], product[fits]
    before = trace.place[trace.operands[first[links]]]
    growing: dict[int, list[int]] = {}  # by the last addition so far, its links
    for k, (link, last) in enumerate(zip(links.tolist(), before.tolist(), strict=True)):
        chain = growing.pop(last, []) if last >= 0 and uses[last] == 1 else []
        chain.append(k)
        growing[link] = chain
    lengths: dict[int, list[list[int]]] = {}
    for chain in growing.values():
        if len(chain) >= FEWEST:
            lengths.setdefault(len(chain), []).append(chain)
    found = []
    for alike in lengths.values():
        which = np.array(alike)
        products, sums = product[which], links[which]
        start, members = trace.operands[first[sums[:, 0]]], np.concatenate([products, sums], axis=1)
        factors = [trace.operands[first[products] + side] for side in (0, 1)]
        found.append(Chains(start, members, np.concatenate(factors, axis=1)))
    return found


# Bodies, by number, and the functions that are these, forwards and backwards.
SUMS, DOTS = 0, 1
LANES, ROWS = (16, 8, 4, 1), 4  # numbers gradients are added to at once; dot products at once
NAMES = (("sum_forward", "sum_reverse"), ("dot_forward", "dot_reverse"))


class Instructions(NamedTuple):
    """Where in the trace each stands, its iterations, where its indices begin in all of them."""

    places: list[int]
    counts: list[int]
    begin: list[int]
    indices: list[int]

    def add(self, place: int, head: Sequence[int], rows: Sequence[Sequence[int]]) -> None:
        """One more."""
        self.places.append(place)
        self.counts.append(len(rows))
        self.begin.append(len(self.indices))
        self.indices.extend(itertools.chain(head, *rows))


def dots(some: Chains, trace: Operations, cell: Array) -> Instructions:
    """Their instructions.

    Those that follow each other, share an operand and are cut in parts alike share an instruction,
    unless one reads another: a matrix by a vector. The indices are the number of parts, for each
    its length and where the shared operand begins, and then by rows the result, the start, and
    where the other operand begins in each part.
    """
    cells, start, last = cell[some.factors], cell[some.start], some.members[:, -1]
    first, result = some.members.min(axis=1), cell[trace.line[last]]
    whole = last - first + 1 == some.members.shape[1]  # with no other operation in between
    half = cells.shape[1] // 2
    left, right = cells[:, :half], cells[:, half:]
    if len(cells) > 1 and 2 * (left[1:] == left[:-1]).all(axis=1).sum() > len(cells):
        left, right = right, left
    cuts = (np.diff(left) != 1) | (np.diff(right) != 1)
    alike = (cuts[1:] == cuts[:-1]).all(axis=1) & (right[1:] == right[:-1]).all(axis=1)
    alike &= whole[1:] & (first[1:] == last[:-1] + 1)
    found = Instructions([], [], [], [])
    # lists from here on: most groups are small, and each would be a dozen calls of NumPy
    ends = np.column_stack([result, start]).tolist()
    firsts, places = left.tolist(), last.tolist()
    reads = np.column_stack([start, cells]).tolist()
    for a, b in pairwise([0, *(np.flatnonzero(~alike) + 1).tolist(), len(cells)]):
        starts = [0, *(cuts[a].nonzero()[0] + 1).tolist()]
        lengths = [after - before for before, after in pairwise([*starts, half])]
        shared = right[a, starts].tolist()
        head = [len(starts), *itertools.chain(*zip(lengths, shared, strict=True))]
        rows = [[*ends[k], *[firsts[k][at] for at in starts]] for k in range(a, b)]
        results = {own for own, _ in ends[a:b]}
        if b - a == 1 or all(map(results.isdisjoint, reads[a:b])):
            found.add(places[a], head, rows)
        else:
            for place, row in zip(places[a:b], rows, strict=True):
                found.add(place, head, [row])
    return found


# ── the machine code ──────────────────────────────────────────────────────────────────────────
def functions() -> list[str]:
    """Of sums and of dot products, forwards and backwards."""
    return [_sums(), _slopes(), _Dots("dot_forward").values(), _Dots("dot_reverse").gradients()]


def _sums() -> str:
    """A sum; the indices are those of its terms, and then of the result."""
    text = Text()
    t, n, v, *_ = text.arguments(ARGUMENTS)
    with text.loop(n) as loop:
        total = loop.carry(text.constant("double", -0.0))
        total.next = total + cell(v, t, loop.k).load("double")
    cell(v, t, n).store(total)
    return text.defined(f"void @sum_forward({ARGUMENTS})")


def _slopes() -> str:
    text = Text()
    t, n, _, a, *_ = text.arguments(ARGUMENTS)
    slope = cell(a, t, n).load("double")
    with text.loop(n) as loop:
        add_to(cell(a, t, loop.k), slope)
    return text.defined(f"void @sum_reverse({ARGUMENTS})")


class _Dots:
    """The text of a function for dot products that share an operand; see `dots` for the indices."""

    def __init__(self, name: str) -> None:
        self.text, self.header = Text(), f"void @{name}({ARGUMENTS})"
        self.t, self.n, self.v, self.a, *_ = self.text.arguments(ARGUMENTS)
        self.parts = index(self.t, 0)
        self.first, self.stride = self.t.at(self.parts * 2 + 1, "i32"), self.parts + 2

    def _row(self, k: Register) -> Register:
        return self.first.at(k * self.stride, "i32")

    def _part(self, k: Register) -> tuple[Register, Register]:
        """The length of a part, and where the shared operand begins."""
        part = self.t.at(k, "[2 x i32]")
        return index(part, 1), index(part, 2)

    def values(self) -> str:
        """Several rows at once while there are as many, each from left to right."""
        groups = self.n & -ROWS
        self._rows(0, groups, ROWS)
        self._rows(groups, self.n, 1)
        return self.text.defined(self.header)

    def _rows(self, start: Any, end: Register, count: int) -> None:
        """A loop over rows, so many in an iteration."""
        text, v = self.text, self.v
        with text.loop(end, start, count) as group:
            rows = [self._row(group.k + i) for i in range(count)]
            firsts = [cell(v, row, 1).load("double") for row in rows]
            with text.loop(self.parts) as part:
                totals = [part.carry(first) for first in firsts]
                length, shared = self._part(part.k)
                own = [v.at(index(row, part.k + 2), "double") for row in rows]
                y = v.at(shared, "double")
                with text.loop(length) as loop:
                    number = y.item(loop.k, "double")
                    sums = [loop.carry(total) for total in totals]
                    for total, x in zip(sums, own, strict=True):
                        total.next = total + x.item(loop.k, "double") * number
                for total, after in zip(totals, sums, strict=True):
                    total.next = after
            for row, total in zip(rows, totals, strict=True):
                cell(v, row, 0).store(total)

    def gradients(self) -> str:
        """Column by column, several at once: those of the shared operand are added up over rows."""
        text, last = self.text, self.n - 1
        with text.loop(self.n) as loop:
            row = self._row(last - loop.k)
            add_to(cell(self.a, row, 1), cell(self.a, row, 0).load("double"))
        with text.loop(self.parts) as part:
            length, shared = self._part(part.k)
            start: Any = 0
            for lanes in LANES:
                whole = length & -lanes
                with text.loop(whole, start, lanes) as column:
                    self._columns(lanes, last, part.k, column.k, shared)
                start = whole
        return text.defined(self.header)

    def _columns(
        self, lanes: int, last: Register, part: Register, column: Register, shared: Register
    ) -> None:
        """Some columns of a part; the rows in reverse, as their operations are."""
        text, kind = self.text, f"<{lanes} x double>"
        place = shared + column
        number = self.v.at(place, "double").load(kind)
        with text.loop(self.n) as loop:
            total = loop.carry(text.constant(kind, "zeroinitializer"))
            row = self._row(last - loop.k)
            slopes = text.spread(cell(self.a, row, 0).load("double"), lanes)
            own = index(row, part + 2) + column
            total.next = total + self.v.at(own, "double").load(kind) * slopes
            add_to(self.a.at(own, "double"), number * slopes)
        add_to(self.a.at(place, "double"), total)
