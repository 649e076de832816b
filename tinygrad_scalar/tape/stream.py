"""A trace as a stream of instructions over cells of memory, with tables of their indices.

Stretches that repeat are superinstructions with an iteration each; what stands alone is an
instruction of its own row, so that any trace is a stream, in time linear in its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_scalar import primitives
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.code import CONSTANT, GUARDS, INPUT, PARAMETER
from tinygrad_scalar.tape.program import Line
from tinygrad_scalar.tape.repeats import (
    Array,
    Operations,
    Stretch,
    aligned,
    exponent_of,
    operations,
    patterns,
    sources,
    stretches,
    uniform,
)
from tinygrad_scalar.tape.superinstructions import Superinstruction, Unsupported

LARGEST = 1024  # operands of a row that is neither a sum nor a product
FEW = 10  # operations to an instruction that make a stream as fast as lines written out
SUM = 0  # the body of sums of any length


class Stream:
    """Instructions (body, iterations, where its indices begin) in order; `bodies[0]` is the sum.

    Cells hold the inputs, the parameters, the constants, and then what operations hand on.
    """

    def __init__(
        self,
        code: Sequence[Line],
        outputs: Sequence[int],
        wanted: tuple[Primitive, Sequence[int]],
        sizes: tuple[int, int],
    ) -> None:
        self.code = code
        # what makes each body, once it is clear that the stream is run; the sum is there already
        self.bodies: list[Callable[[], Superinstruction] | None] = [None]
        self._known: dict[Any, int] = {}
        self.trace = trace = operations(code, wanted)
        self.guarded = not GUARDS.isdisjoint(trace.rows)
        if any(row.joint is not None for row in trace.rows):
            raise Unsupported
        pattern = patterns(trace)
        found = [aligned(trace, stretch) for stretch in stretches(pattern) if stretch.period > 1]
        runs = [run for stretch in found for run in uniform(trace, stretch)]
        alone = np.ones(len(pattern), bool)
        for run in runs:
            alone[run.start : run.stop] = False
        handed = self._handed_on(runs, alone, outputs)
        self.constants = np.empty(0)
        self.cell = self._cells(handed, *sizes)
        self._starts: list[Array] = []
        self._instructions: list[Array] = []
        self._tables: list[Array] = []
        self._length = 0
        self._singles(pattern, np.flatnonzero(alone & (pattern >= 0)))
        for run in runs:
            self._run(pattern, run, handed)
        for operation in np.flatnonzero(pattern < 0).tolist():
            self._wide(operation)
        order = np.argsort(np.concatenate([*self._starts, np.empty(0, int)]), kind="stable")
        self.instructions = np.concatenate([*self._instructions, np.empty((0, 3), int)])[order]
        self.table = np.concatenate([*self._tables, np.zeros(1, np.int32)])

    @property
    def repeats(self) -> bool:
        """Whether most operations stand in long superinstructions, or in many iterations of one."""
        return len(self.instructions) * FEW <= len(self.trace.line)

    # ── memory ────────────────────────────────────────────────────────────────────────────────
    def _handed_on(self, runs: Sequence[Stretch], alone: Array, outputs: Sequence[int]) -> Array:
        """Which operations have a cell: those that others read than their own iteration."""
        trace = self.trace
        handed = alone.copy()
        guards = [k for k, row in enumerate(trace.rows) if row in GUARDS]
        handed[np.isin(trace.row, guards)] = False
        unit = np.arange(len(alone))
        for run in runs:
            first = np.arange(run.start, run.stop, run.period)
            unit[run.start : run.stop] = np.repeat(first, run.period)
        reader = np.repeat(unit, np.diff(trace.start))
        producer = trace.place[trace.operands]
        others = producer[(producer >= 0) & (unit[producer] != reader)]
        handed[others] = True
        places = trace.place[np.asarray(outputs, int)]
        handed[places[places >= 0]] = True
        for run in runs:
            part = handed[run.start : run.stop].reshape(-1, run.period)
            part[:] = part.any(axis=0)
        return handed

    def _cells(self, handed: Array, inputs: int, parameters: int) -> Array:
        """The cell of each line that has one."""
        trace = self.trace
        cell = np.zeros(len(trace.place), np.int64)
        for kind, base in ((INPUT, 0), (PARAMETER, inputs)):
            if kind in trace.markers:
                lines, positions = trace.markers[kind]
                cell[lines] = positions.astype(int) + base
        self.cells = inputs + parameters
        if CONSTANT in trace.markers:
            lines, self.constants = trace.markers[CONSTANT]
            cell[lines] = self._fresh(len(lines))
        count = int(handed.sum())
        cell[trace.line[handed]] = self._fresh(count)
        return cell

    def _fresh(self, count: int) -> Array:
        self.cells += count
        return np.arange(self.cells - count, self.cells)

    # ── instructions ──────────────────────────────────────────────────────────────────────────
    def _body(self, key: Any, made: Callable[[], Superinstruction]) -> int:
        if key not in self._known:
            self._known[key] = len(self.bodies)
            self.bodies.append(made)
        return self._known[key]

    def _add(self, start: int, body: int, iterations: int, table: Array) -> None:
        self._starts.append(np.array([start]))
        self._instructions.append(np.array([[body, iterations, self._length]]))
        self._tables.append(table.ravel().astype(np.int32))
        self._length += table.size

    def _row(self, row: Primitive, active: Sequence[bool], second: float | None = None) -> int:
        """The body of a single row; its second operand may be a constant that belongs to it."""
        count = len(active)
        code: list[Line] = [(INPUT, (k,)) for k in range(count)]
        given = list(range(count))
        if second is not None:
            given[1] = count
            code.append((CONSTANT, (second,)))
        code.append((row, tuple(given)))
        results = [] if row in GUARDS else [len(code) - 1]
        places = [k for k in range(count) if active[k]]
        return self._body(
            (row, tuple(active), second),
            lambda: Superinstruction(code, count, places, results),
        )

    def _singles(self, pattern: Array, alone: Array) -> None:
        """What does not repeat: one instruction for each line, or for equal ones in a row."""
        if not len(alone):
            return
        trace = self.trace
        own = pattern[alone]
        begins = np.ones(len(alone), bool)
        begins[1:] = (own[1:] != own[:-1]) | (np.diff(alone) != 1)
        first = np.flatnonzero(begins)
        count = np.diff(trace.start)[alone]
        ends = np.cumsum(count + 1)
        table = np.empty(int(ends[-1]), np.int32)
        result = np.zeros(len(table), bool)
        result[ends - 1] = True
        mine = np.zeros(len(pattern), bool)
        mine[alone] = True
        table[~result] = self.cell[trace.operands[np.repeat(mine, np.diff(trace.start))]]
        table[result] = self.cell[trace.line[alone]]
        _, example, kind = np.unique(own[first], return_index=True, return_inverse=True)
        bodies = np.array([self._single(int(alone[first[k]])) for k in example])
        iterations = np.diff([*first.tolist(), len(alone)])
        offsets = (ends - count - 1)[first] + self._length
        self._starts.append(alone[first])
        self._instructions.append(np.stack([bodies[kind], iterations, offsets], axis=1))
        self._tables.append(table)
        self._length += len(table)

    def _single(self, operation: int) -> int:
        trace = self.trace
        lines = trace.operands[trace.start[operation] : trace.start[operation + 1]]
        row = trace.rows[trace.row[operation]]
        active = (~trace.passive[lines]).tolist()
        return self._row(row, active, exponent_of(self.code, row, lines.tolist()))

    def _run(self, pattern: Array, run: Stretch, handed: Array) -> None:
        """A superinstruction with its iterations."""
        trace = self.trace
        read, inside = sources(trace, run)
        slots: list[int] = []  # columns of `read`, one for each operand
        given: list[Any] = []  # of each column: an operation inside, a constant, an operand
        for column, source in enumerate(inside[0].tolist()):
            if source >= 0:
                given.append(("inside", source))
                continue
            line = int(read[0, column])
            if self.code[line][0] is CONSTANT and (read[:, column] == line).all():
                given.append(("constant", self.code[line][1][0]))
                continue
            slot = next((k for k in slots if _same(read, k, column)), None)
            if slot is None:
                slots.append(slot := column)
            given.append(("operand", slots.index(slot)))
        results = np.flatnonzero(handed[run.start : run.start + run.period]).tolist()
        active = [k for k, column in enumerate(slots) if not trace.passive[read[0, column]]]
        key = (pattern[run.start : run.start + run.period].tobytes(), repr(given), repr(results))
        body = self._body(
            key, lambda: self._superinstruction(run, given, len(slots), active, results)
        )
        lines = trace.line[run.start : run.stop].reshape(-1, run.period)[:, results]
        columns = [self.cell[read[:, slots]], self.cell[lines]]
        table = np.concatenate(columns, axis=1)
        if not results:
            table = np.pad(table, ((0, 0), (0, 1)))
        self._add(run.start, body, run.iterations, table)

    def _superinstruction(
        self,
        run: Stretch,
        given: Sequence[tuple[str, Any]],
        operands: int,
        active: Sequence[int],
        results: Sequence[int],
    ) -> Superinstruction:
        trace = self.trace
        code: list[Line] = [(INPUT, (k,)) for k in range(operands)]
        places: list[int] = []
        sources = iter(given)
        for operation in range(run.start, run.start + run.period):
            lines: list[int] = []
            for _ in range(trace.start[operation], trace.start[operation + 1]):
                kind, what = next(sources)
                if kind == "constant":
                    code.append((CONSTANT, (what,)))
                    what = len(code) - 1
                lines.append(places[what] if kind == "inside" else what)
            places.append(len(code))
            code.append((trace.rows[trace.row[operation]], tuple(lines)))
        return Superinstruction(code, operands, active, [places[k] for k in results])

    def _wide(self, operation: int) -> None:
        """A row of many operands, as sums and rows of two."""
        trace = self.trace
        row = trace.rows[trace.row[operation]]
        lines = trace.operands[trace.start[operation] : trace.start[operation + 1]]
        x = self.cell[lines]
        own = self.cell[trace.line[operation]]
        both = (True, True)
        if row is primitives.sum:
            self._add(operation, SUM, len(x), np.append(x, own))
        elif row is primitives.mean:
            total = self._fresh(1)
            self._add(operation, SUM, len(x), np.append(x, total))
            body = self._row(primitives.div, (True, False), float(len(x)))
            self._add(operation, body, 1, np.array([total[0], 0, own]))
        elif row is primitives.dot:
            half = len(x) // 2
            products = self._fresh(half)
            table = np.stack([x[:half], x[half:], products], axis=1)
            self._add(operation, self._row(primitives.mul, both), half, table)
            self._add(operation, SUM, half, np.append(products, own))
        elif row is primitives.prod:
            products = np.append(self._fresh(len(x) - 2), own)
            table = np.stack([np.append(x[0], products[:-1]), x[1:], products], axis=1)
            self._add(operation, self._row(primitives.mul, both), len(x) - 1, table)
        elif len(x) <= LARGEST:
            body = self._row(row, (~trace.passive[lines]).tolist())
            self._add(operation, body, 1, np.append(x, own))
        else:
            raise Unsupported


def _same(read: Array, k: int, column: int) -> bool:
    """Whether two columns are the same lines; most are not, at the first."""
    return bool(read[0, k] == read[0, column]) and np.array_equal(read[:, k], read[:, column])
