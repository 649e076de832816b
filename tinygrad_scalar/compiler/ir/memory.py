"""Memory inside of code: lines that hold many numbers, and what an index reads or adds to there.

`table(a, b, …)` holds the entries of a sequence, `take(i, table)` is one of them, and
`scatter(length, i, g, j, h, …)` holds zeros with g added at i, h at j: the gradient of a table that
was read at i and j. All other lines are numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value


def place(i: Any, length: int) -> int:
    """The entry that an index points to; 0 for an index that is none, and fails a guard."""
    x = i.detach() if isinstance(i, Carrier) and not isinstance(i, Value) else i
    index = x.data if isinstance(x, Value) else x
    return int(index) if 0 <= index < length and index % 1 == 0 else 0


def _taken(i: Any, table: Sequence[Any]) -> Any:
    return table[place(i, len(table))]


def _scattered(length: float, *pairs: Any) -> list[Any]:
    sums: list[Any] = [0.0] * int(length)
    for i, term in zip(pairs[::2], pairs[1::2], strict=True):
        k = place(i, len(sums))
        sums[k] = sums[k] + term
    return sums


TABLE = Primitive("table", lambda *entries: entries, (), arity=None)
SCATTER = Primitive("scatter", _scattered, (), arity=None)
TAKE = Primitive("take", _taken, (0, 0), arity=2)
HELD = frozenset((TABLE, SCATTER))  # rows whose lines hold many numbers
MEMORY = HELD | {TAKE}


def length_of(code: Sequence[tuple[Primitive, tuple[Any, ...]]], line: int) -> int:
    """How many numbers a line holds."""
    row, operands = code[line]
    return len(operands) if row is TABLE else int(code[operands[0]][1][0])


def pairs_of(operands: Sequence[Any]) -> list[tuple[Any, Any]]:
    """The indices of a `scatter`, each with what is added there."""
    return list(zip(operands[1::2], operands[2::2], strict=True))
