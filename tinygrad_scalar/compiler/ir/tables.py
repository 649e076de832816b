"""Tables that a traced index looks up: memory, read where the index points and nowhere else.

A trace notes which table is looked up, and by which line. What stands there is a further input of
the code: it is fetched before the code is run, and gradients for it are added to where it was
fetched. So the length of a table costs nothing, neither compiled nor run, and code that is
differentiated, rolled up or run in lanes knows of no tables. C and CUDA, which stand alone, fetch
it themselves (`in_memory`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter, is_
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    INPUT,
    LOAD,
    PARAMETER,
    TABLE,
    TAKE,
    Line,
    Tape,
    place,
    places_in,
)
from tinygrad_scalar.compiler.machine import slots
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number

_primitive = attrgetter("primitive")
AT_ONCE = 2**14  # indices that are looked up at once: addresses are as large as what stands there
FEWEST = 8  # rows; among fewer a comparison for each is chosen quicker
WHOLE = "tables line by line"  # what a trace is told where a table must be written out


class UnevenError(Exception):
    """A row holds what the rows seen before it do not: something computed, or another length."""


def _leaf_or_number(x: Any) -> bool:
    """Whether an entry is a leaf closed over or a plain number; nothing that was computed."""
    kind = type(x)
    if issubclass(kind, Value):
        return x.primitive is None
    return kind is float or (is_number(x) and not isinstance(x, Value))  # as what is traced is


class Table:
    """The rows of a sequence as they stood when it was first looked up; `width` 0 if it has none.

    A row is looked at when an index first points to it. A plain number is the leaf of nobody.
    """

    def __init__(self, source: Any, rows: Sequence[Any], after: int) -> None:
        self.source = source  # kept, so that its id stays its own
        self.rows, self.after = list(rows), after  # how many leaves the trace has met before
        self.width = len(rows[0]) if isinstance(rows[0], (list, tuple)) else 0
        self.count = self.width or 1  # numbers in a row
        self._leaves: dict[Any, tuple[Value, ...]] = {}
        self._kinds: set[type] = {Value}  # of these leaves
        self._reachable = True

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, source: Any, rows: Sequence[Any], after: int) -> Table | None:
        """The table; None for one that is short, or whose first row holds what is computed."""
        if len(rows) < FEWEST:
            return None
        made = cls(source, rows, after)
        with suppress(UnevenError):
            made.entries(0)
            return made
        return None

    def same(self, source: Any, rows: Sequence[Any]) -> bool:
        """Whether a sequence is this one, with its rows as they were."""
        if source is not self.source or len(rows) != len(self.rows):
            return False
        return all(map(is_, rows, self.rows))

    def entries(self, i: int) -> tuple[Any, ...]:
        """What stands in a row. UnevenError: see there."""
        row = self.rows[i]
        if isinstance(row, (list, tuple)) != bool(self.width):
            raise UnevenError
        entries = tuple(row) if self.width else (row,)
        leaves = set(map(type, entries)) == {Value} and not any(map(_primitive, entries))
        if len(entries) != self.count or not (leaves or all(map(_leaf_or_number, entries))):
            raise UnevenError
        return entries

    def leaves(self, i: int) -> tuple[Value, ...]:
        """The leaves of a row."""
        found = self._leaves.get(i)
        if found is None:
            entries = self.entries(i)
            found = tuple([x if isinstance(x, Value) else Value(x) for x in entries])
            self._kinds.update(map(type, found))
            self._leaves[i] = found
        return found

    def at(self, index: float) -> tuple[Value, ...]:
        """The leaves that an index points to; of any row for one that is none: see `place`."""
        found = self._leaves.get(index)
        return self.leaves(place(index, len(self.rows))) if found is None else found

    # ── many rows at once ─────────────────────────────────────────────────────────────────────
    @functools.cached_property
    def addresses(self) -> Any:
        """Those of the leaves of all rows, an array (rows, count); 0 in rows not looked at yet."""
        import numpy as np

        return np.zeros((len(self.rows), self.count), np.int64)

    def reached(self, rows: Any) -> Any:
        """The addresses of the leaves of rows, an array (rows, count); None if they have none."""
        import numpy as np

        found = self.addresses.take(rows, 0)  # three times as fast as by `[rows]`
        if self._reachable and not found[:, 0].all():
            unknown = np.unique(np.asarray(rows)[found[:, 0] == 0]).tolist()
            leaves = chain.from_iterable(self._looked_at(unknown))
            self._reachable = slots.reachable(self._kinds)
            if self._reachable:
                self.addresses[unknown] = slots.addresses(leaves).reshape(-1, self.count)
                found = self.addresses.take(rows, 0)
        return found if self._reachable else None

    def _looked_at(self, places: Sequence[int]) -> list[tuple[Value, ...]]:
        """The leaves of rows, noted at once where these hold nothing else, as is most often so."""
        known, rows = self._leaves.get, self.rows
        found = [known(i) or (rows[i] if self.width else (rows[i],)) for i in places]
        if {list, tuple}.issuperset(map(type, found)):
            found = list(map(tuple, found))
            # in one loop, as leaves stand anywhere in memory
            odd = [x for row in found for x in row if type(x) is not Value or x.primitive]
            if not odd and set(map(len, found)) == {self.count}:
                self._leaves.update(zip(places, found, strict=True))
                return found
        return list(map(self.leaves, places))

    def numbers(self, rows: Any) -> Any:
        """What stands in rows, an array (rows, count)."""
        import numpy as np

        rows = np.asarray(rows)
        places = self.reached(rows)
        if places is not None:
            found = slots.Slots(places).read("data")
            if found is not None:
                return np.frombuffer(found).reshape(-1, self.count)
        known = {i: [float(leaf.data) for leaf in self.leaves(i)] for i in set(rows.tolist())}
        return np.array([known[i] for i in rows.tolist()]).reshape(-1, self.count)

    def columns(self, indices: Any) -> Any:
        """What indices point to, an array (count, indices)."""
        import numpy as np

        rows = places_in(indices, len(self.rows))
        found = np.empty((self.count, len(rows)))
        if self._often(rows):
            used, known = self._used(rows), np.empty((len(self.rows), self.count))
            known[used] = self.numbers(used)
            return np.take(known.T, rows, 1, found, "clip")  # which, unlike "raise", copies once
        for start in range(0, len(rows), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            found[:, some] = self.numbers(rows[some]).T
        return found

    def additions(self, index: Any, gradients: Any) -> slots.Addition:
        """Gradients (n, count) for the leaves that indices point to, or (count,) for one index."""
        if isinstance(index, float):
            return slots.Addition(None, gradients, lambda: self.at(index))
        import numpy as np

        rows = places_in(index, len(self.rows))
        if self._often(rows):
            used, size = self._used(rows), len(self.rows)
            sums = [np.bincount(rows, part, size)[used] for part in gradients.T]
            rows, gradients = used, np.array(sums).T
        reached = self.reached(rows)
        return slots.Addition(
            None if reached is None else slots.Slots(reached),
            np.ascontiguousarray(gradients, float).ravel(),
            lambda: [leaf for i in rows.tolist() for leaf in self.leaves(i)],
        )

    def _often(self, rows: Any) -> bool:
        """Whether so many indices point to so few rows that each is better reached once."""
        return len(rows) > max(len(self.rows), AT_ONCE)

    def _used(self, rows: Any) -> Any:
        """The rows among these, each once."""
        import numpy as np

        return np.bincount(rows, minlength=len(self.rows)).nonzero()[0]


class Lookup(NamedTuple):
    """A row of a table looked up by a line: the inputs from `position` on are what stands there."""

    table: Table
    line: int
    position: int


def tables_of(lookups: Sequence[Lookup]) -> list[Table]:
    """The tables that are looked up, each once, in the order of their first use."""
    return list({id(one.table): one.table for one in lookups}.values())


# ── C and CUDA ────────────────────────────────────────────────────────────────────────────────
def in_memory(
    code: Sequence[Any],
    lines: Sequence[int],
    lookups: Sequence[Lookup],
    inputs: int,
    leaves: Sequence[Value],
    place_of: Mapping[int, int],
) -> tuple[Tape, list[int]]:
    """Code that fetches what it looks up from the parameters: O(lines + entries of tables).

    `leaves` are those that the code reads, and `place_of` says where a leaf stands among the
    parameters, by its id.
    """
    loads = {one.position + k: (one, k) for one in lookups for k in range(one.table.count)}
    tape, at = Tape(), list[int]()

    @functools.cache
    def columns(table: Table) -> list[Line]:
        rows = map(table.entries, range(len(table)))
        return [_column(tape, each, place_of) for each in zip(*rows, strict=True)]

    for row, operands in code:
        if row is INPUT and operands[0] in loads:
            one, k = loads[operands[0]]
            fetch, where = columns(one.table)[k]
            at.append(tape.line((fetch, (at[one.line], *where))))
        elif row is INPUT:  # behind what is looked up stand the tangents
            position = operands[0]
            at.append(tape.input(position if position < inputs else position - len(loads)))
        elif row is PARAMETER:
            at.append(tape.parameter(place_of[id(leaves[operands[0]])]))
        elif row is CONSTANT:
            at.append(tape.constant(operands[0]))
        else:
            at.append(tape.line((row, tuple([at[k] for k in operands]))))
    return tape, [at[line] for line in lines]


def _column(tape: Tape, entries: Sequence[Any], place_of: Mapping[int, int]) -> Line:
    """The row that fetches one of the entries, and its operands behind the index.

    From the place of the first entry by the distance between entries, or out of a list of them.
    """
    places = [place_of[id(x)] if isinstance(x, Value) else -1 for x in entries]
    first, step = places[0], places[1] - places[0]
    if min(places) >= 0 and places == [first + step * i for i in range(len(places))]:
        return LOAD, (tape.parameter(first), tape.constant(float(step)))
    listed = tuple(
        tape.parameter(place) if place >= 0 else tape.constant(float(x))
        for place, x in zip(places, entries, strict=True)
    )
    return TAKE, (tape.line((TABLE, listed)),)
