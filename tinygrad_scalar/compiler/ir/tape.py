"""The flat table u(1)…u(n): instructions in order, each a row of the table and its operands.

Writing an instruction down looks first whether it is there already (common subexpressions share
one line) and whether all its operands are constants (folded). Nothing is simplified that would
change a result at NaN, ±inf or −0.

A line is a number, but those that stand for memory: `table(a, b, …)` holds the entries of a
sequence, `take(i, table)` is one of them, and `scatter(length, i, g, j, h, …)` holds zeros with g
added at i, h at j: the gradient of a table that was read at i and j.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from tinygrad_scalar.core import primitives
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number

Line = tuple[Primitive, tuple[Any, ...]]  # a row and its operands


def number_at_core(x: Any) -> Any:
    """The number at the core of what carries it; of what is traced still a line of the trace."""
    x = x.detach() if isinstance(x, Carrier) and not isinstance(x, Value) else x
    return x.data if isinstance(x, Value) else x


def place(i: Any, length: int) -> int:
    """The entry that an index points to; any for an index that is none, and fails a guard."""
    index = number_at_core(i)
    return int(index) if 0 <= index < length else 0


def places_in(indices: Any, length: int) -> Any:
    """The entries that NumPy's arrays of indices point to, as `place` says."""
    import numpy as np

    return np.where((indices >= 0) & (indices < length), indices, 0).astype(np.int64)


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


def length_of(code: Sequence[Line], line: int) -> int:
    """How many numbers a line holds."""
    row, operands = code[line]
    return len(operands) if row is TABLE else int(code[operands[0]][1][0])


def pairs_of(operands: Sequence[Any]) -> list[tuple[Any, Any]]:
    """The indices of a `scatter`, each with what is added there."""
    return list(zip(operands[1::2], operands[2::2], strict=True))


# What derivatives, reductions and simplifications are written in, on a tape and below it.
ADD, SUB, MUL, DIV = primitives.add, primitives.sub, primitives.mul, primitives.div
NEG, POW, WHERE, SQRT = primitives.neg, primitives.pow, primitives.where, primitives.sqrt
SINES = (primitives.sin, primitives.cos)
SUM, MEAN, DOT, PROD = primitives.sum, primitives.mean, primitives.dot, primitives.prod
FLOOR, ABS, COPYSIGN = primitives.floor, primitives.abs, primitives.copysign

LIMIT = 10_000_000  # operations in one trace


class TraceError(RuntimeError):
    """A function cannot be compiled: a number would be frozen, or it branches without end."""


def _no_forward(*_: Any) -> Any:
    raise AssertionError("markers of the tape are not evaluated")


# What is no operation: operands of these are not lines of the tape.
INPUT = Primitive("input", _no_forward, (), arity=None)  # (position,)
PARAMETER = Primitive("parameter", _no_forward, (), arity=None)  # (position,)
CONSTANT = Primitive("constant", _no_forward, (), arity=None)  # (number,)
MARKERS = frozenset((INPUT, PARAMETER, CONSTANT))


def _comparison(name: str, sign: str, symbol: str) -> Primitive:
    holds = getattr(operator, name)
    return Primitive(
        name,
        lambda a, b: 1.0 if holds(a, b) else 0.0,
        (0, 0),
        arity=2,
        symbol=symbol,
        c=f"{{0}} {sign} {{1}} ? 1.0 : 0.0",
        array=f"{{0}} {sign} {{1}}",
        python=f"1.0 if {{0}} {sign} {{1}} else 0.0",
        llvm=f"{'u' if name == 'ne' else 'o'}{name}",  # NaN is not equal to anything
    )


# Comparisons give 1.0 or 0.0; a guard notes whether the trace was made for 0 or another number.
LT, LE = _comparison("lt", "<", "<"), _comparison("le", "<=", "≤")
GT, GE = _comparison("gt", ">", ">"), _comparison("ge", ">=", "≥")
EQ, NE = _comparison("eq", "==", "="), _comparison("ne", "!=", "≠")
# Whether a number is not 0 is as a constant says, 1 or 0: branches that go one way or the other are
# one row, so that a loop over them repeats.
GUARD = Primitive("guard", lambda c, outcome: bool(c) == bool(outcome), (0, 0), arity=2)
COMPARISONS = {row.name: row for row in (LT, LE, GT, GE, EQ, NE)}
UNFOLDED = MEMORY | {GUARD}  # of constants they are no constant
CONDITIONS = frozenset(COMPARISONS.values())
EVERY_ROW = (*primitives.TABLE.values(), *primitives.PARTS.values(), *COMPARISONS.values())


# In C: the entry at an index, of a table that begins at a parameter, with a distance of entries.
LOAD = Primitive("load", _no_forward, (0, 0, 0), arity=3, c="(&{1})[(long)({0} * {2})]")
_ITSELF: dict[str, Any] = {"arity": 1, "formula": lambda x: x, "c": "{0}", "python": "{0}"}
DETACH = Primitive("detach", lambda x: x, (0,), **_ITSELF)
LEAF = Primitive("leaf", lambda x: x, (1,), **_ITSELF)  # where an inner grad starts
OWN = MARKERS | MEMORY | CONDITIONS | {GUARD, DETACH, LEAF}  # rows of the tape alone
ROWS: dict[str, Primitive] = {**primitives.TABLE, **{row.name: row for row in OWN}}
LIBRARY = frozenset(ROWS.values())


def index_of(i: Any, length: int) -> int:
    """An index into a table, checked: an integer, or a float without a fraction."""
    if not length:
        raise IndexError(f"take: index {i!r} of an empty table; give a table with entries")
    if isinstance(i, bool) or i % 1 != 0:  # NaN and ±inf too
        raise ValueError(f"take: index {i!r} is no whole number; give 0 to {length - 1}")
    if not 0 <= i < length:
        raise IndexError(f"take: index {i!r} of a table of {length}; give 0 to {length - 1}")
    return int(i)


def ieee(row: Primitive, x: Sequence[float]) -> Any:
    """The row on floats in IEEE arithmetic: its limit (inf, NaN) where the forward rule raises.

    Whatever that raises: a solver that does not converge has no value there, as log(-1) has none.
    """
    try:
        y = row.forward(*x)
    except Exception as error:  # the function itself raises it again, or handles it
        if not all(map(is_number, x)):  # of another library's trace
            raise
        if row.limit is not None:
            return row.limit(*x)
        return math.inf if isinstance(error, OverflowError) else math.nan
    return y[row.index] if row.joint is not None else y


def evaluated(
    code: Sequence[Line],
    x: Sequence[Any],
    p: Sequence[Any],
    apply: Callable[[Primitive, list[Any]], Any],
    before: list[Any] | None = None,
) -> list[Any]:
    """What every line is for some inputs and parameters, its rows applied by `apply`.

    Behind the values of lines `before`, if there are any.
    """
    values: list[Any] = [] if before is None else before
    for row, operands in code:
        if row is CONSTANT:
            values.append(operands[0])
        elif row is INPUT:
            values.append(x[operands[0]])
        elif row is PARAMETER:
            values.append(p[operands[0]])
        else:
            values.append(apply(row, [values[k] for k in operands]))
    return values


def _key(number: float) -> float | str:
    """What a constant is known by; −0.0 and 0.0 are two, NaN is one."""
    return number if number and number == number else str(number)  # noqa: PLR0124 (NaN)


class Tape:
    """Lines of code, each `(row, operands)`, where operands are numbers of earlier lines.

    `inputs` and `parameters` count what comes from outside: arguments of the function, and leaves
    that it closes over (their numbers are in `leaves`).
    """

    def __init__(self) -> None:
        self.code: list[Line] = []
        self.known: dict[Any, int] = {}
        self.constants: dict[int, float] = {}
        self.inputs = 0
        self.parameters = 0
        self.repeats = 0  # instructions found again: a loop that adds none must end too

    def __len__(self) -> int:
        return len(self.code)

    def copy(self) -> Tape:
        """The same lines, to go on from."""
        twin = Tape()
        twin.code, twin.known, twin.constants = [*self.code], {**self.known}, {**self.constants}
        twin.inputs, twin.parameters = self.inputs, self.parameters
        return twin

    def begin(self, code: Sequence[Line]) -> None:
        """Have the lines of a program, as they are, on an empty tape. O(lines)."""
        self.code = [*code]
        self.known = dict(zip(code, range(len(code)), strict=True))
        for line, (row, operands) in enumerate(code):
            if row is CONSTANT:
                self.constants[line] = operands[0]
                self.known[_key(operands[0])] = line

    def cut(self, length: int, known: int) -> None:
        """Forget the lines from `length` on; only the first `known` instructions are older."""
        younger = islice(reversed(self.known.items()), len(self.known) - known)
        for instruction in [key for key, line in younger if line >= length]:
            del self.known[instruction]
        for line in range(length, len(self.code)):
            self.constants.pop(line, None)
        del self.code[length:]

    def input(self, position: int) -> int:
        """The line that reads an argument."""
        self.inputs = max(self.inputs, position + 1)
        return self.line((INPUT, (position,)))

    def parameter(self, position: int) -> int:
        """The line that reads a leaf of the closure."""
        self.parameters = max(self.parameters, position + 1)
        return self.line((PARAMETER, (position,)))

    def constant(self, number: float) -> int:
        """The line of a constant; −0.0 and 0.0 are two, NaN is one."""
        number = float(number)
        key = _key(number)
        index = self.known.get(key)
        if index is None:
            index = self.known[key] = len(self.code)
            self.code.append((CONSTANT, (number,)))
            self.constants[index] = number
        return index

    def line(self, instruction: Line) -> int:
        """The line of an instruction as it is: found, or added at the end."""
        count = len(self.code)
        index = self.known.setdefault(instruction, count)
        if index == count:
            self.code.append(instruction)
        return index

    def leaf(self, line: int) -> int:
        """A line of its own for the number of another one, where a `grad` starts: never found."""
        self.code.append((LEAF, (line,)))
        return len(self.code) - 1

    def emit(self, row: Primitive, operands: tuple[int, ...]) -> int:
        """The line of `row(operands)`: found, simplified, or written. O(1) for fixed arity."""
        instruction = (row, operands)
        line = self.known.get(instruction)
        if line is None:
            line = self.known[instruction] = self.written(instruction)
            return line
        self.found()
        return line

    def found(self) -> None:
        """Count an instruction that is found again."""
        self.repeats += 1
        if self.repeats > LIMIT:
            raise self._too_long()

    def written(self, instruction: tuple[Primitive, tuple[int, ...]]) -> int:
        """A line for what stands nowhere yet: simplified, folded, or added at the end."""
        row, operands = instruction
        simpler = SIMPLER.get(row)
        line = None if simpler is None else simpler(self, operands)
        if line is None and operands[0] in self.constants and row not in UNFOLDED:
            line = self._folded(row, operands)
        if line is None:
            line = len(self.code)
            if line > LIMIT:
                raise self._too_long()
            self.code.append(instruction)
        return line

    def _folded(self, row: Primitive, operands: tuple[int, ...]) -> int | None:
        constants = self.constants
        for operand in operands:
            if operand not in constants:
                return None
        try:
            number = row.forward(*(constants[i] for i in operands))
        except Exception:  # noqa: BLE001 (a row of one's own may raise anything)
            return None  # left as it is: it raises when it is replayed, as uncompiled
        return self.constant(number[row.index] if row.joint is not None else number)

    @staticmethod
    def _too_long() -> TraceError:
        return TraceError(
            f"the trace passed {LIMIT:,} operations: does a loop end only at other numbers? "
            "write branches with where(condition, a, b), or compile the body of the loop"
        )


# ── what changes no result, whatever the operands are ─────────────────────────────────────────
Simplification = Callable[[Tape, tuple[int, ...]], "int | None"]


def _mul(tape: Tape, operands: tuple[int, ...]) -> int | None:
    a, b = operands
    constants = tape.constants
    if a not in constants and b not in constants:
        return None
    for factor, other in ((constants.get(a), b), (constants.get(b), a)):
        if factor == 1.0:
            return other
        if factor == -1.0 and other not in constants:
            return tape.emit(NEG, (other,))
        if factor == 0.0 and tape.code[other][0] in CONDITIONS:  # 0 or 1, never inf or NaN
            return tape.constant(factor)
    return None


def _pow(tape: Tape, operands: tuple[int, ...]) -> int | None:
    exponent = tape.constants.get(operands[1])
    if exponent == 1.0:
        return operands[0]
    return tape.constant(1.0) if exponent == 0.0 else None


def _neg(tape: Tape, operands: tuple[int, ...]) -> int | None:
    row, inner = tape.code[operands[0]]
    return inner[0] if row is NEG else None


def _where(tape: Tape, operands: tuple[int, ...]) -> int | None:
    condition, a, b = operands
    number = tape.constants.get(condition)
    if a == b:
        return a
    return None if number is None else (a if number else b)


SIMPLER: dict[Primitive, Simplification] = {
    primitives.identity: lambda tape, operands: operands[0],
    MUL: _mul,
    DIV: lambda tape, operands: operands[0] if tape.constants.get(operands[1]) == 1.0 else None,
    POW: _pow,
    NEG: _neg,
    WHERE: _where,
}
