"""`f.tape`: the flat table u(1)…u(n) to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygrad_scalar.compiler.ir.tables import tables_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT, INPUT, PARAMETER
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.core.value import Value

SHOWN = 60  # lines before the text is cut


class Listing:
    """The instructions of one trace: a sequence of (name, operands), shown as lines of text.

    >>> from tinygrad_scalar import compile
    >>> f = compile(lambda x: x * x + 1.0)
    >>> f(3.0)
    10.0
    >>> print(f.tape)
    u1 = input 0
    u2 = mul(u1, u1)
    u3 = 1.0
    u4 = add(u2, u3)
    return u4
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return len(self._path.recording.tape.code)

    def __iter__(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for row, operands in self._path.recording.tape.code:
            yield row.name, operands

    def __getitem__(self, i: int) -> tuple[str, tuple[Any, ...]]:
        row, operands = self._path.recording.tape.code[i]
        return row.name, operands

    def __repr__(self) -> str:
        code = self._path.recording.tape.code
        tables = tables_of(self._path.lookups)
        looked_up = {
            one.position + k: f"take(table {tables.index(one.table)}, u{one.line + 1})[{k}]"
            for one in self._path.lookups
            for k in range(one.table.count)
        }
        lines = []
        for i, (row, operands) in enumerate(code[:SHOWN]):
            if row is CONSTANT:
                text = repr(operands[0])
            elif row is INPUT and operands[0] in looked_up:
                text = looked_up[operands[0]]
            elif row in (INPUT, PARAMETER):
                text = f"{row.name} {operands[0]}"
            else:
                text = f"{row.name}({', '.join(f'u{k + 1}' for k in operands)})"
            lines.append(f"u{i + 1} = {text}")
        if len(code) > SHOWN:
            lines.append(f"… {len(code) - SHOWN} more")
        return "\n".join([*lines, f"return {', '.join(f'u{k + 1}' for k in self._path.outputs)}"])

    def output(self) -> Value:
        """The (first) output as a graph of Values at the point of the trace."""
        path = self._path
        inputs = [Value(x, label=f"x{k}") for k, x in enumerate(path.recording.point)]
        y = path.replayed(inputs, path.leaves)[0]
        return y if isinstance(y, Value) else Value(y)
