"""A trace in plain lists, as files and other processes are given it, and back.

Whatever the lists say is checked before machine code is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.arguments import as_key, key_of, named, tree_of, width_of
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import Lookup, Table, tables_of
from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    GUARD,
    HELD,
    INPUT,
    LEAF,
    LIBRARY,
    LIMIT,
    MARKERS,
    MEMORY,
    PARAMETER,
    ROWS,
    SCATTER,
    TAKE,
    Tape,
)
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.core.primitive import Primitive, importable
from tinygrad_scalar.core.primitive import _imported as imported
from tinygrad_scalar.core.value import Value


def named_row(row: Primitive) -> Any:
    """The name of a row of the library's, another row as it is."""
    return row.name if ROWS.get(row.name) is row else row


def _row_name(row: Primitive) -> Any:
    name = named_row(row)
    return list(importable(row)[1]) if name is row else name


def path_described(
    path: Path, numbers: dict[int, int], name: Callable[[Primitive], Any] = _row_name
) -> dict[str, Any]:
    """A path in plain lists; `numbers` are those of leaves by their id, `name` writes a row."""
    path.check_judges_nothing()
    code = [
        [name(row), [float(operands[0]).hex()] if row is CONSTANT else list(operands)]
        for row, operands in path.recording.tape.code
    ]
    return {
        "code": code,
        "outputs": path.outputs,
        "tree": named(key_of(path.tree)),
        "inputs": path.inputs,
        "point": [x.hex() for x in map(float, path.recording.point[: path.inputs])],
        "leaves": [numbers[id(leaf)] for leaf in path.leaves],
        **_lookups_described(path, numbers),
    }


def _lookups_described(path: Path, numbers: dict[int, int]) -> dict[str, Any]:
    """The tables, an entry the number of a leaf or a text; and which line looks up which table."""
    tables = tables_of(path.lookups)
    place = {id(table): k for k, table in enumerate(tables)}

    def entry(x: Any) -> Any:
        return numbers[id(x)] if isinstance(x, Value) else float(x).hex()

    return {
        "tables": [
            [
                table.width,
                table.after,
                [list(map(entry, table.entries(i))) for i in range(len(table))],
            ]
            for table in tables
        ],
        "lookups": [[place[id(one.table)], one.line] for one in path.lookups],
    }


# ── and back ──────────────────────────────────────────────────────────────────────────────────
def path_restored(described: dict[str, Any], key: Any, leaves: Sequence[Value]) -> Path:
    """The path that `path_described` told of, for arguments of the structure `key`.

    Errors: ValueError and what else a nonsensical description raises.
    """
    point = [float.fromhex(x) for x in described["point"]]
    inputs = sum(map(width_of, key))
    if len(point) != inputs or described["inputs"] != inputs:
        raise ValueError(f"its point has {len(point)} numbers, and its arguments have {inputs}")
    recording = Recording(point)
    recording.lookups = _lookups(described, inputs, leaves)
    width = inputs + sum(one.table.count for one in recording.lookups)
    tape = recording.tape
    for name, operands in described["code"]:
        _write(tape, _row_named(name), operands, (inputs, width))
    if tape.inputs > width or any(
        one.line >= len(tape) or _any_other(tape, [one.line]) for one in recording.lookups
    ):
        raise ValueError("it looks up what it does not compute")
    if len(tape) < inputs:
        raise ValueError("lines that read arguments are missing")
    places = described["leaves"]
    if len(places) != tape.parameters:
        raise ValueError(f"it reads {tape.parameters} leaves, and has {len(places)}")
    recording.leaves = [leaves[_place(k, len(leaves))] for k in places]
    recording.seen = [float(leaf.data) for leaf in recording.leaves]
    tree = as_key(described["tree"])
    outputs = [_place(k, len(tape)) for k in described["outputs"]]
    if len(outputs) != width_of(tree) or _any_other(tape, outputs):
        raise ValueError("its outputs are no lines of it, or do not fit their structure")
    return Path(recording, outputs, tree_of(tree), inputs)


def _lookups(described: dict[str, Any], inputs: int, leaves: Sequence[Value]) -> list[Lookup]:
    """What the path looks up, around these leaves."""
    tables = []
    for width, after, rows in described["tables"]:
        entries = [[_entry(x, leaves) for x in row] for row in rows]
        source = entries if width else [x for (x,) in entries]
        tables.append(Table(source, source, _place(after, len(described["leaves"]) + 1)))
        if tables[-1].width != width or any(len(row) != tables[-1].count for row in entries):
            raise ValueError("a table has rows of different lengths")
    found: list[Lookup] = []
    for table, line in described["lookups"]:
        one = tables[_place(table, len(tables))]
        found.append(Lookup(one, _place(line, len(described["code"])), inputs))
        inputs += one.count
    return found


def _entry(x: Any, leaves: Sequence[Value]) -> Any:
    return float.fromhex(x) if isinstance(x, str) else leaves[_place(x, len(leaves))]


def _write(tape: Tape, row: Primitive, operands: Any, sizes: tuple[int, int]) -> None:
    """One line, as tracing could have written it: the inputs first, nothing twice but leaves."""
    line, (inputs, width) = len(tape), sizes
    if line < inputs and row is not INPUT:
        raise ValueError(f"line {line + 1} is {row.name}, and the first {inputs} read arguments")
    if row is INPUT and operands == [line if line < inputs else tape.inputs] < [width]:
        written = tape.input(operands[0])
    elif row is PARAMETER and operands == [tape.parameters]:
        written = tape.parameter(tape.parameters)
    elif row is CONSTANT:
        (number,) = operands
        written = tape.constant(float.fromhex(number))
    elif row in MARKERS:
        raise ValueError(f"line {line + 1} reads {row.name} {operands}")
    else:
        places = tuple(_place(k, line) for k in operands)
        numbers = places[:1] if row is TAKE else places
        if (
            not _takes(row, len(places))
            or _any_other(tape, numbers)
            or _no_memory(tape, row, places)
            or (row is GUARD and places[1] not in tape.constants)
        ):
            raise ValueError(f"line {line + 1} is no operation {row.name} of {len(places)} lines")
        written = tape.leaf(*places) if row is LEAF else tape.line((row, places))
    if written != line:
        raise ValueError(f"line {line + 1} repeats line {written + 1}")


def _place(k: Any, end: int) -> int:
    if type(k) is not int or not 0 <= k < end:
        raise ValueError(f"{k!r} is no line or leaf before {end}")
    return k


def _any_other(tape: Tape, places: Sequence[int]) -> bool:
    """Whether one of these lines is no number."""
    return any(tape.code[k][0] is GUARD or tape.code[k][0] in HELD for k in places)


def _no_memory(tape: Tape, row: Primitive, places: Sequence[int]) -> bool:
    """Whether an operation on memory is not given what it reads or writes."""
    if row is TAKE:
        return tape.code[places[1]][0] not in HELD
    if row is not SCATTER:
        return False
    length = tape.constants.get(places[0], 0.0)
    return len(places) % 2 == 0 or not (0 < length <= LIMIT and length % 1 == 0)


def _takes(row: Primitive, count: int) -> bool:
    """Whether a row takes so many operands."""
    if row.arity is not None:
        return count == row.arity
    if not count or row not in LIBRARY or row in MEMORY:
        return count > 0
    point = [0.5] * count
    return len(row.all_partials(0.5, point)) == count and math.isfinite(row.forward(*point))


def _row_named(name: Any) -> Primitive:
    if isinstance(name, str):
        return ROWS[name]
    if isinstance(name, Primitive):
        return name
    try:
        row = imported(*name)
    except ImportError as error:
        raise ValueError(str(error)) from None
    if not isinstance(row, Primitive):
        raise TypeError(f"{name[1]} of {name[0]} is no primitive")
    return row
