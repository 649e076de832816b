"""A trace as a stream of instructions over cells of memory, with tables of their indices.

Stretches that repeat are superinstructions with an iteration each; what stands alone is an
instruction of its own row, so that any trace is a stream, in time linear in its length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from operator import not_
from typing import Any

import numpy as np

from tinygrad_scalar.compiler.ir import tape
from tinygrad_scalar.compiler.ir.reroll import FEWEST, Loop, stretches
from tinygrad_scalar.compiler.ir.tape import CONSTANT, SCATTER, TABLE, Line
from tinygrad_scalar.compiler.vm.operations import (
    Array,
    Cells,
    Wanted,
    aligned,
    operations,
    patterns,
    sources,
    uniform,
)
from tinygrad_scalar.compiler.vm.reductions import (
    DOTS,
    NAMES,
    SUMS,
    Chains,
    chains,
    dot_products,
    dots,
)
from tinygrad_scalar.compiler.vm.superinstructions import Superinstruction, Unsupported, of_row
from tinygrad_scalar.core.primitive import Primitive

LONGEST, SHORT = 2048, 16  # operations of a superinstruction; of one instead of a longer one
LARGEST = 1024  # operands of a row that is neither a sum nor a product


class Stream:
    """The instructions for a trace: (body, iterations, where its indices begin), in order.

    `asked` are the lines of values, the line to differentiate, and by what of all that comes in;
    `sizes` the numbers of inputs and parameters. From `fewest` iterations on a superinstruction is
    worth it, and up to `largest` operands a row that is neither a sum nor a product. Unsupported:
    see `superinstructions`.
    """

    def __init__(
        self,
        code: Sequence[Line],
        asked: tuple[Sequence[int], int | None, Wanted],
        sizes: tuple[int, int],
        fewest: int = FEWEST,
        largest: int = LARGEST,
    ) -> None:
        self.asked, self.sizes, self.fewest, self.largest = asked, sizes, fewest, largest
        values, loss, wanted = asked
        outputs = [*values] if loss is None else [*values, loss]
        self.code, self.trace = code, operations(code, wanted, sizes[0])
        if any(row.joint is not None or row is SCATTER for row in self.trace.rows):
            raise Unsupported
        # behind those of sums, and of sums of products, which are there already
        self.bodies: list[Superinstruction] = []
        self._known: dict[Any, int] = {}
        self.pattern = patterns(self.trace)
        runs = self._chained(outputs)
        members = [some.members for some in self.chains]
        self.cells = Cells(self.trace, runs, outputs, bool(len(wanted)), sizes, members)
        self._instructions = [np.empty((0, 4), int)]  # in front where in the trace
        self._tables = [np.zeros(1, np.int32)]
        self._length = 1
        self._list_tables()
        self._singles(runs)
        for run in runs:
            self._run(run)
        self._dots()
        wide = self.pattern < 0
        for rows in members:
            wide[rows] = False
        for operation in np.flatnonzero(wide).tolist():
            self._wide(operation)
        instructions = np.concatenate(self._instructions)
        order = np.argsort(instructions[:, 0], kind="stable")
        self.instructions = np.ascontiguousarray(instructions[order, 1:])
        self.table = np.concatenate(self._tables)

    def _chained(self, outputs: Sequence[int]) -> list[Loop]:
        """The runs, and besides sums of products: long ones in any case, others outside of runs."""
        self.chains = list[Chains]()
        short = list[Chains]()
        for some in chains(self.trace, outputs):
            self._set_aside(some.some(some.long))
            short.append(some.some(~some.long))
        runs = self._runs()
        free = np.ones(len(self.pattern), bool)
        for run in runs:
            free[run.start : run.stop] = False
        for some in short:
            self._set_aside(some.some(free[some.members].all(axis=1)))
        return runs

    def _set_aside(self, some: Chains) -> None:
        """Have these sums of products worked out as dot products."""
        if len(some.start):
            members = some.members
            self.pattern[members] = -1 - members
            self.chains.append(some)

    def _runs(self) -> list[Loop]:
        """Stretches of alike iterations; where a long one is not worth it, the short ones in it."""
        runs, others = self._worth(stretches(self.pattern.tolist(), longest=LONGEST))
        inner = list[Loop]()
        for run in others:
            found = stretches(self.pattern[run.start : run.stop].tolist(), longest=SHORT)
            inner += [each._replace(start=run.start + each.start) for each in found]
        return sorted([*runs, *self._worth(inner)[0]])

    def _worth(self, stretched: Sequence[Loop]) -> tuple[list[Loop], list[Loop]]:
        """Runs with iterations enough, counted over all that have the same rows, and the others."""
        trace = self.trace
        found = [aligned(trace, stretch) for stretch in stretched if stretch.period > 1]
        runs = [run for stretch in found for run in uniform(trace, stretch)]
        rows = [self.pattern[run.start : run.start + run.period].tobytes() for run in runs]
        total = Counter[bytes]()
        for key, run in zip(rows, runs, strict=True):
            total[key] += run.iterations
        which = [total[key] >= self.fewest for key in rows]
        return list(compress(runs, which)), list(compress(runs, map(not_, which)))

    def _list_tables(self) -> None:
        """The cells of the entries of every table, behind how many there are.

        What stands for the cell of the table itself is where they are listed.
        """
        for line, (row, entries) in enumerate(self.code if TABLE in self.trace.rows else ()):
            if row is TABLE:
                cells = np.append(len(entries), self.cells.of_line[list(entries)])
                self.cells.of_line[line] = self._length
                self._tables.append(cells.astype(np.int32))
                self._length += 1 + len(entries)

    # ── what is written down ──────────────────────────────────────────────────────────────────
    def _body(self, key: Any, made: Callable[[], Superinstruction]) -> int:
        if key not in self._known:
            self._known[key] = len(NAMES) + len(self.bodies)
            self.bodies.append(made())
        return self._known[key]

    def _add(self, starts: Any, bodies: Any, iterations: Any, table: Array, at: Any = 0) -> None:
        """Instructions: where in the trace, and where their indices begin in a table."""
        columns = np.broadcast_arrays(starts, bodies, iterations, self._length + np.asarray(at))
        self._instructions.append(np.stack(columns, axis=-1).reshape(-1, 4))
        self._tables.append(table.ravel().astype(np.int32))
        self._length += table.size

    def _operation(self, k: int) -> tuple[Primitive, Array]:
        """The row of an operation, and what it reads."""
        trace = self.trace
        return trace.rows[trace.row[k]], trace.operands[trace.start[k] : trace.start[k + 1]]

    def _row(self, row: Primitive, active: Sequence[bool]) -> int:
        return self._body((row, tuple(active)), lambda: of_row(row, active))

    # ── operations that do not repeat ─────────────────────────────────────────────────────────
    def _singles(self, runs: Sequence[Loop]) -> None:
        """One instruction for each operation, or for several in a row with the same pattern."""
        trace = self.trace
        mine = self.pattern >= 0
        for run in runs:
            mine[run.start : run.stop] = False
        alone = np.flatnonzero(mine)
        if not len(alone):
            return
        own, counts = self.pattern[alone], np.diff(trace.start)
        first = np.append(True, (own[1:] != own[:-1]) | (np.diff(alone) != 1)).nonzero()[0]
        ends = np.cumsum(counts[alone] + 1)
        lines = np.empty(int(ends[-1]), np.int64)
        result = np.zeros(len(lines), bool)
        result[ends - 1] = True
        lines[result] = trace.line[alone]
        lines[~result] = trace.operands[np.repeat(mine, counts)]
        _, example, kind = np.unique(own[first], return_index=True, return_inverse=True)
        bodies = np.array([self._single(k) for k in alone[first[example]].tolist()])
        iterations = np.diff(np.append(first, len(alone)))
        offsets = (ends - counts[alone] - 1)[first]
        self._add(alone[first], bodies[kind], iterations, self.cells.of_line[lines], offsets)

    def _single(self, operation: int) -> int:
        row, lines = self._operation(operation)
        return self._row(row, (~self.trace.passive[lines]).tolist())

    # ── runs ──────────────────────────────────────────────────────────────────────────────────
    def _run(self, run: Loop) -> None:
        """A superinstruction with its iterations."""
        trace, cells = self.trace, self.cells
        read, given, slots = self._sources(run)
        one = slice(run.start, run.start + run.period)
        results = np.flatnonzero(cells.read[one]).tolist()
        active = [k for k, column in enumerate(slots) if not trace.passive[read[0, column]]]
        key = self.pattern[one].tobytes(), repr(given), repr(results)

        def made() -> Superinstruction:
            left = iter(given)
            counts = np.diff(trace.start[run.start : run.start + run.period + 1]).tolist()
            names = [trace.rows[k] for k in trace.row[one].tolist()]
            rows = [
                (row, [next(left) for _ in range(count)])
                for row, count in zip(names, counts, strict=True)
            ]
            return Superinstruction(rows, len(slots), active, results)

        lines = trace.line[run.start : run.stop].reshape(-1, run.period)[:, results or [0]]
        lines = np.concatenate([read[:, slots], lines], axis=1)
        self._add(run.start, self._body(key, made), run.iterations, cells.of_line[lines])

    def _sources(self, run: Loop) -> tuple[Array, list[int | float], list[int]]:
        """The lines that iterations read; of each column what it is; those that are operands."""
        read, inside = sources(self.trace, run)
        slots: list[int] = []
        given: list[int | float] = []
        for column, place in enumerate(inside[0].tolist()):
            line = int(read[0, column])
            if place >= 0:
                given.append(place)
            elif self.code[line][0] is CONSTANT and (read[:, column] == line).all():
                given.append(float(self.code[line][1][0]))
            else:
                slot = next((k for k in slots if _same(read, k, column)), column)
                if slot == column:
                    slots.append(slot)
                given.append(run.period + slots.index(slot))
        return read, given, slots

    # ── rows of many operands ─────────────────────────────────────────────────────────────────
    def _wide(self, operation: int) -> None:
        """As sums and rows of two where that can be."""
        row, lines = self._operation(operation)
        x, own = self.cells.of_line[lines], self.cells.of_line[self.trace.line[operation]]
        fresh = self.cells.fresh
        if row is tape.SUM:
            self._add(operation, SUMS, len(x), np.append(x, own))
        elif row is tape.MEAN:
            total, divided = fresh(1), [(tape.DIV, (1, float(len(x))))]
            self._add(operation, SUMS, len(x), np.append(x, total))
            body = self._body(repr(divided), lambda: Superinstruction(divided, 1, [0], [0]))
            self._add(operation, body, 1, np.append(total, own))
        elif row is tape.PROD:
            products = np.append(fresh(len(x) - 2), own)
            body, factors = self._row(tape.MUL, (True, True)), np.append(x[0], products[:-1])
            self._add(operation, body, len(x) - 1, np.stack([factors, x[1:], products], axis=1))
        elif row in (TABLE, tape.DOT):
            return  # a list of cells, see `_list_tables`; and see `_dots`
        elif len(x) <= self.largest:
            self._add(operation, self._single(operation), 1, np.append(x, own))
        else:
            raise Unsupported

    def _dots(self) -> None:
        """Dot products, and sums of products, by where their operands begin."""
        wide = np.flatnonzero(self.pattern < 0)
        for alike in (*self.chains, *dot_products(self.trace, wide)):
            found = dots(alike, self.trace, self.cells.of_line)
            self._add(found.places, DOTS, found.counts, np.array(found.indices), found.begin)


def _same(read: Array, k: int, column: int) -> bool:
    """Whether two columns are the same lines; most are not, at the first."""
    return bool(read[0, k] == read[0, column]) and np.array_equal(read[:, k], read[:, column])
