"""`take`: what stands in a table where an index points, which may be traced.

Leaves and numbers come in as further inputs of the code (see `tables`); what is computed is read
from memory, or chosen by comparisons where it is little.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import FEWEST, WHOLE, Lookup, Table
from tinygrad_scalar.compiler.ir.tape import TABLE, TAKE, WHERE, index_of
from tinygrad_scalar.compiler.ir.trace import Plain, Traced, written
from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.tree import is_structure, leaves, like, same_structure
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number

T = TypeVar("T")


@overload
def take(table: Sequence[Value], i: Any) -> Value: ...
@overload
def take(table: Sequence[float], i: Any) -> float: ...
@overload
def take(table: Sequence[Sequence[T]], i: Any) -> list[T]: ...
@overload
def take(table: Sequence[Any], i: Any) -> Any: ...
def take(table: Sequence[Any], i: Any) -> Any:
    """table[i], where `i` is an int, a whole float or a Value, traced or not.

    `table` is a sequence of numbers or Values, or of rows of them of one length: lists, arrays,
    also nested ones, all of one structure. No gradient flows to `i`. Cost O(1), compiled too: an
    entry is read from memory, and its gradient added there.
    Errors: IndexError out of range, ValueError for a fractional or negative index or ragged rows,
    TypeError for what is no table or no number.

    >>> take([10.0, 20.0, 30.0], 1.0), take([[1.0, 2.0], [3.0, 4.0]], 1)
    (20.0, [3.0, 4.0])
    """
    rows = table if isinstance(table, list) else _rows(table)
    tracing = context.settings().tracer
    if isinstance(i, Carrier) and not isinstance(i, (Value, Plain)):
        i = i.detach()  # no derivative goes to an index
    if isinstance(i, Value) and tracing is not None:
        i = tracing(i)
    if not isinstance(i, Traced) or getattr(i, "kind", None) is bool:
        entry = rows[index_of(i.data if isinstance(i, Value) else _plain_index(i), len(rows))]
        return list(entry) if isinstance(entry, (list, tuple)) else entry
    i.checked_index(len(rows))
    first = rows[0]
    if is_structure(first) and not (isinstance(first, (list, tuple)) and _is_flat(first)):
        if not all(same_structure(first, row) for row in rows):
            raise ValueError("take: rows of different structures; give rows of one shape")
        found = take([leaves(row) for row in rows], i)
        return like(list(first) if isinstance(first, tuple) else first, found)
    found = _looked_up(table, rows, i)
    if found is not None:
        return found
    if rows and isinstance(rows[0], (list, tuple)):
        lengths = sorted({len(row) for row in rows})
        if len(lengths) > 1:
            raise ValueError(f"take: rows of {lengths[0]} and of {lengths[-1]} numbers")
        return [_read(i, column) for column in zip(*rows, strict=True)]
    return _read(i, rows)


def _rows(table: Any) -> list[Any]:
    """What stands in a table that is no list."""
    if isinstance(table, (Mapping, str)) or not isinstance(table, Iterable):
        kind = table.__class__.__name__
        raise TypeError(f"take: a table is a list of numbers or of rows of them, not {kind}")
    return list(table)


def _plain_index(i: Any) -> Any:
    """An index that is no Value as a number."""
    try:
        number = operator.pos(i)  # of NumPy's arrays without axes what is in them
    except TypeError:
        number = None
    if not is_number(number):
        raise TypeError(
            f"take: an index is a whole number or a Value, not {type(i).__name__}; "
            "for several write [take(table, i) for i in indices]"
        )
    return number


def _is_flat(row: Sequence[Any]) -> bool:
    """Whether a row holds numbers alone, and no rows of its own."""
    return not any(map(is_structure, {type(x): x for x in row}.values()))


def _looked_up(source: Any, rows: Sequence[Any], i: Traced) -> Any:
    """What a traced index looks up in a table of leaves and numbers, as further inputs.

    None for a table that is short, or of what is computed: there every entry is an operand.
    """
    recording = i.recording
    line = recording.line(i)
    if recording.lookups is None or WHOLE in recording.decided or line in recording.tape.constants:
        return None
    table = next((one.table for one in recording.lookups if one.table.same(source, rows)), None)
    table = table or Table.of(source, rows, len(recording.leaves))
    if table is None:
        if len(rows) < FEWEST:  # leaves come in as they stand here, as those of a long table do
            for leaf in leaves(rows):
                if isinstance(leaf, Value):
                    recording.line(leaf)
        return None
    known = (one for one in recording.lookups if one.table is table and one.line == line)
    found = next(known, None)
    if found is None:
        found = Lookup(table, line, recording.tape.inputs)
        recording.point += [float(x.data) for x in table.at(recording.number(line))]
        recording.lookups.append(found)
    inputs = range(found.position, found.position + table.count)
    entries = [Traced(recording, recording.tape.input(k)) for k in inputs]
    return entries if table.width else entries[0]


def _read(i: Traced, entries: Sequence[Any]) -> Any:
    """An entry of what is computed: from memory, or among few by comparisons.

    What another mode carries is chosen by comparisons too, which that mode knows how to take.
    """
    recording = i.recording
    held = _held(recording, entries)
    with context.recorded():  # uncompiled it is the entry itself, under no_grad too
        if held is not None:
            return written(recording, TAKE, (recording.line(i), held))
        chosen = entries[0]
        for k, entry in enumerate(entries[1:], start=1):
            chosen = WHERE(i.equals(float(k)), entry, chosen)
        return chosen


def _held(recording: Recording, entries: Sequence[Any]) -> int | None:
    """The line of a table of these; None for few of them, and for what another mode carries."""
    if len(entries) < FEWEST:
        return None
    key = tuple(map(id, entries))
    if key not in recording.held:
        if any(isinstance(x, Carrier) and x.level > Traced.level for x in entries):
            return None
        line = recording.tape.emit(TABLE, tuple(map(recording.line, entries)))
        recording.held[key] = line, list(entries)
    return recording.held[key][0]
