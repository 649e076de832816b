"""A program as statements of C: straight lines, and the stretches that repeat as loops.

What a loop leaves for later stands in `s`, an array of the function itself; all else is a constant
of its own. A long program is several functions, one after the other, and what one of them leaves
for later stands there too. Nothing is reassociated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.program import Program, sines_with_cosines
from tinygrad_scalar.compiler.ir.reroll import Loop
from tinygrad_scalar.compiler.ir.rolled import UNCUT, Rolled, step_of
from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    EVERY_ROW,
    GUARD,
    HELD,
    INPUT,
    LOAD,
    MARKERS,
    MEMORY,
    PARAMETER,
    TABLE,
    TAKE,
    TraceError,
    length_of,
    pairs_of,
)
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.precision import as_single

SHORTEST = 48  # lines that are worth a loop here: a compiler unrolls it again where that is better
LONGEST = 1000  # lines of a function, for which compilers take the square of their number
NATIVE = frozenset((*(row for row in EVERY_ROW if row.c), *MEMORY, LOAD, GUARD))
CUDA = frozenset((*(row for row in EVERY_ROW if row.cuda), *MEMORY, LOAD, GUARD))


class NoFormulaError(TraceError):
    """An operation that only Python knows cannot be written as C."""


class Places:
    """Where a function finds its inputs and parameters, and puts its outputs.

    Positions are texts where they go with the iteration of a loop. `written` and `read` may refuse
    such an index, None: then the outputs are written at the end, the inputs copied first.
    """

    real, language = "double", "c"
    table = "static const"  # how a table of numbers begins that stands before the function

    def read(self, position: int) -> str:
        """An input."""
        return f"x[{position}]"

    def read_at(self, _positions: Sequence[int], index: str) -> str | None:
        """An input by an index; the positions are all that it takes."""
        return f"x[{index}]"

    def written(self, position: int, value: str) -> str:
        """The statement for an output."""
        return f"out[{position}] = {value};"

    def written_at(self, _positions: Sequence[int], index: str, value: str) -> str | None:
        """The statement for an output by an index; the positions are all that it takes."""
        return f"out[{index}] = {value};"

    def guarded(self, fails: str) -> str:
        """The statement that ends it where the condition is true."""
        return f"if ({fails}) return 1;"

    def before_loop(self) -> list[str]:
        """What stands before a loop."""
        return []

    def settled(self) -> list[str]:
        """What stands behind the last guard."""
        return []


class Body(Rolled):
    """The statements of one program."""

    carrier = "b"

    def __init__(self, program: Program, places: Places, prefix: str = "") -> None:
        native = NATIVE if places.language == "c" else CUDA
        self.program = sines_with_cosines(lowered(program, native))
        self.last_guard = self.program.last_guard
        self.places, self.prefix, self.real = places, prefix, places.real
        self.lines: list[str] = []
        self.names = {}
        # kind and entries of a table of numbers → its name
        self.tables: dict[tuple[str, tuple[str, ...]], str] = {}
        self.outputs = self.program.positions
        self.slots = {}
        self.slot_count = 0
        # by their names, what does it one after the other where it is long
        self.functions: dict[str, list[str]] = {}
        code = self.program.code
        held = any(row in HELD for row, _ in code)  # in an array of one function
        cut = len(code) > LONGEST and places.language == "c" and not held
        self.lasting = not cut
        self._write(LONGEST if cut else UNCUT)

    def _write(self, longest: int) -> None:
        for part in self._parts(shortest=SHORTEST, longest=longest):
            if not self.lasting:
                self._cut(longest)
            if part in self.sources:
                self._loop(part)
                continue
            for line in range(part.start, part.stop):
                self._line(line)
        for line in sorted(self.late):
            self._write_late(line, self.outputs[line])
        if self.functions:
            self._cut(0)
            self.lines = [f"if ({name}(x, p, out, s)) return 1;" for name in self.functions]
        if self.slot_count or self.functions:  # which take it also where they hand nothing on
            self.lines.insert(0, f"{self.real} s[{max(self.slot_count, 1)}];")

    def _cut(self, longest: int) -> None:
        """Forget the names of what a part has computed; begin a function where this one is long."""
        self.names = {}
        if len(self.lines) > longest:
            self.functions[f"{self.prefix}part{len(self.functions)}"] = self.lines
            self.lines = []

    def _waits(self, line: int) -> bool:
        return not self.lasting and line <= self.last_guard

    def _write_outputs(self, lines: Iterable[int]) -> None:
        """The outputs among some lines, but for those that come at the end."""
        for line in lines:
            if line in self.outputs and line not in self.late:
                self._write_each(line)

    def _write_each(self, line: int) -> None:
        for position in self.outputs[line]:
            self._add(self.places.written(position, self.number(line)))

    def _write_late(self, line: int, positions: Sequence[int]) -> None:
        """The outputs that a line is, one by one, or so many by a loop."""
        if self._repeated(line):
            statement = self._written_at(positions, line)
            self.lines += ["{", *self._counting(len(positions), [statement]), "}"]
        else:
            self._write_each(line)

    def _reached(self, positions: Sequence[int]) -> bool:
        return self.places.written_at(positions, "0", "") is not None

    # ── statements ────────────────────────────────────────────────────────────────────────────
    def _add(self, statement: str) -> None:
        self.lines.append(statement)

    def _line(self, line: int) -> None:
        row, given = self.program.code[line]
        if row is GUARD:
            condition, outcome = given
            sign = "==" if self.program.code[outcome][1][0] else "!="
            self._add(self.places.guarded(f"{self.number(condition)} {sign} 0.0"))
        elif row not in MARKERS:
            self._computed(line, row, given)
        if line in self.slots:
            self._add(f"s[{self.slots[line]}] = {self.number(line)};")
        if line == self.last_guard:
            self.lines += self.places.settled()
            self._write_outputs(range(line + 1))
        elif line > self.last_guard:
            self._write_outputs((line,))

    def _computed(self, line: int, row: Primitive, given: Sequence[Any]) -> None:
        """The constant that holds the result of a line."""
        pattern = getattr(row, self.places.language)
        if row in HELD:
            self._held(line, row, given)
            return
        if row is TAKE:
            right = self._taken(*given)
        elif pattern:
            right = expression(pattern, [self.number(k) for k in given])
        else:
            raise NoFormulaError(
                f"the operation {row.name!r} is known to Python only, C has no function for it: "
                "give primitive(..., formula=...), its value in functions of this library"
            )
        self.names[line] = name = f"u{line + 1}"
        self._add(f"const {self.real} {name} = {right};")

    def _held(self, line: int, row: Primitive, given: Sequence[int]) -> None:
        """Name what is held: a pattern that an index goes into, of an array that is filled here."""
        name, length = f"t{line + 1}", length_of(self.program.code, line)
        found = self._standing(given) if row is TABLE else None
        self.names[line] = found or f"{name}[{{}}]"
        if row is TABLE and found is None:
            text = ", ".join(map(self.number, given))
            self._add(f"const {self.real} {name}[{length}] = {{{text}}};")
        elif row is not TABLE:
            self._add(f"{self.real} {name}[{length}] = {{0}};")
            for index, term in pairs_of(given):
                self._add(f"{self._taken(index, line)} += {self.number(term)};")

    def _standing(self, entries: Sequence[int]) -> str | None:
        """The pattern for entries that stand in order somewhere already; None if they do not."""
        (row, *others) = {self.program.code[k][0] for k in entries}
        if others or row not in MARKERS:
            return None
        if row is CONSTANT:
            return f"{self._table(self.real, map(self.number, entries))}[{{}}]"
        positions = [self.program.code[k][1][0] for k in entries]
        index = "{}"
        if step_of(positions) != 1:
            index = f"{self._table('int', map(str, positions))}[{{}}]"
        elif positions[0]:
            index = f"{positions[0]} + {{}}"
        return f"p[{index}]" if row is PARAMETER else self.places.read_at(positions, index)

    def _taken(self, index: Any, held: int) -> str:
        """An entry; where a kernel goes on behind a guard, of an index that is valid."""
        number, length = self.number(index), length_of(self.program.code, held)
        place = f"(long){number}"
        if self.places.language != "c":
            place = f"({number} >= 0 && {number} < {length} ? {place} : 0)"
        return self.names[held].format(place)

    def _table(self, kind: str, entries: Iterable[str]) -> str:
        """The name of a table of numbers that belongs to the code."""
        return self.tables.setdefault((kind, tuple(entries)), f"{self.prefix}t{len(self.tables)}")

    def declared_tables(self) -> list[str]:
        """The tables, to stand before the function."""
        return [
            f"{self.places.table} {kind} {name}[{len(entries)}] = {{{', '.join(entries)}}};"
            for (kind, entries), name in self.tables.items()
        ]

    # ── operands ──────────────────────────────────────────────────────────────────────────────
    def number(self, line: Any) -> str:
        """A line's value as a number."""
        name = self.names.get(line)
        return self._outside(line) if name is None else name

    def _outside(self, line: int) -> str:
        """What is not computed here: constants, inputs, parameters, what a loop has left."""
        row, given = self.program.code[line]
        if row is CONSTANT:
            return literal(given[0], self.real)
        if row is PARAMETER:
            return f"p[{given[0]}]"
        return self.places.read(given[0]) if row is INPUT else f"s[{self.slots[line]}]"

    # ── loops ─────────────────────────────────────────────────────────────────────────────────
    def _loop(self, loop: Loop) -> None:
        self.carried, self.ahead = {}, list[str]()
        outer, self.lines = self.lines, []
        kept = dict(self.names)
        for place in range(loop.period):
            self._row(loop, place)
        inner, self.lines = self.lines, outer
        inner += [f"{name} = {self.number(line)};" for (_, line), name in self.carried.items()]
        self.names = kept
        self.lines += ["{", *self.ahead]
        for (first, _), name in self.carried.items():
            self._add(f"  {self.real} {name} = {self.number(first)};")
        self.lines += [*self._counting(loop.iterations, inner), "}"]

    def _counting(self, iterations: int, inner: Iterable[str]) -> list[str]:
        """The loop itself."""
        start = f"  for (i = 0; i < {iterations}; ++i) {{"
        inside = [f"    {line}" for line in inner]
        return ["  int i;", *self.places.before_loop(), start, *inside, "  }"]

    def _keep_at(self, places: Sequence[int], line: int) -> None:
        self._add(f"s[{self._indexed(places)}] = {self.number(line)};")

    def _write_at(self, positions: Sequence[int], line: int) -> None:
        self._add(self._written_at(positions, line))

    def _written_at(self, positions: Sequence[int], line: int) -> str:
        index = self._indexed(positions)
        return str(self.places.written_at(positions, index, self.number(line)))

    def _fetched(self, kind: str, numbers: Sequence[Any]) -> str:
        if kind == "constant":
            return f"{self._table(self.real, [literal(x, self.real) for x in numbers])}[i]"
        if kind == "line":
            return f"s[{self._indexed(numbers)}]"
        if kind == "parameter":
            return f"p[{self._indexed(numbers)}]"
        index = self._indexed(numbers)
        found = self.places.read_at(numbers, index)
        if found is None:  # copied ahead of the loop
            name, copied = f"c{len(self.ahead)}", ", ".join(map(self.places.read, numbers))
            self.ahead.append(f"  const {self.real} {name}[{len(numbers)}] = {{{copied}}};")
            found = f"{name}[i]"
        return found

    def _indexed(self, numbers: Sequence[int]) -> str:
        """The index of an iteration: in step with the counter, or out of a table."""
        first, step = numbers[0], step_of(numbers)
        if step == 0:
            return str(first)
        if step is not None:
            times = "i" if step == 1 else f"{step} * i"
            return f"{first} + {times}" if first else times
        return f"{self._table('int', map(str, numbers))}[i]"


def expression(pattern: str, operands: Sequence[str]) -> str:
    """What the row's `c` or `cuda` makes of operands that are written already.

    >>> expression("{0} + {1}", ["u1", "x[2]"]), expression("exp", ["u1"])
    ('u1 + x[2]', 'exp(u1)')
    """
    return pattern.format(*operands) if "{" in pattern else f"{pattern}({', '.join(operands)})"


def literal(number: float, real: str = "double") -> str:
    """A number as C reads it, to the bit; NaN and infinity by the names of <math.h>.

    >>> literal(0.1), literal(-2.0), literal(float("inf")), literal(0.1, "float")
    ('0.1', '(-2.0)', '(INFINITY)', '0.10000000149011612f')
    """
    if real == "float":
        number = as_single(number)
    if not math.isfinite(number):
        name = "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"
        return f"((float){name})" if real == "float" else f"({name})"
    text = f"{number!r}f" if real == "float" else repr(number)
    return f"({text})" if text[0] == "-" else text
