"""What a function closes over, and looks up there: read before its code runs, added to after it."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

from tinygrad_scalar.compiler.backends import kernel
from tinygrad_scalar.compiler.ir.program import Program, pruned
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import tables_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARD, INPUT, number_at_core, place
from tinygrad_scalar.compiler.machine.entry import Closure
from tinygrad_scalar.compiler.machine.slots import Addition, Slots, add_to_gradients, reachable
from tinygrad_scalar.core.recorded import check_data
from tinygrad_scalar.core.value import COMPILED, Value
from tinygrad_scalar.numbers.precision import quietly

FEW = 16  # leaves that Python reads as fast


class ClosedOver:
    """The leaves that a trace reads, and the tables in which it looks others up.

    Behind the `inputs` comes in what they look up, `width` numbers in all.
    """

    def __init__(self, recording: Recording, inputs: int) -> None:
        self.recording, self.inputs = recording, inputs
        self.leaves = recording.leaves
        self.lookups = recording.lookups or []
        self.closes_over = bool(self.leaves or self.lookups)
        self.width = inputs + sum(one.table.count for one in self.lookups)  # numbers that come in
        self._indices: dict[int, Any] = {}  # kernels for indices that are computed
        code = recording.tape.code
        plain = [code[one.line][1][0] for one in self.lookups if code[one.line][0] is INPUT]
        every = len(plain) == len(self.lookups) and max(plain, default=-1) < inputs
        self._plain = plain if every else None  # inputs that index

    def parameters(self) -> Sequence[float]:
        """What stands in the leaves of the closure now."""
        return numbers_in(self.leaves, self.slots) if self.leaves else ()

    # ── what is looked up ─────────────────────────────────────────────────────────────────────
    def complete(self, x: Sequence[Any]) -> Sequence[Any]:
        """The inputs, of a point or in columns, and behind them what they look up.

        A column is a float, or an array of one number per point.
        """
        if not self.lookups:
            return x
        full = list(x[: self.inputs])
        for one in self.lookups:
            index = self._index(one.line, full)
            if isinstance(index, float):
                full += [float(leaf.data) for leaf in one.table.at(index)]
            else:
                full += list(one.table.columns(index))
        return [*full, *x[self.inputs :]]

    def complete_values(self, x: Sequence[Any]) -> Sequence[Any]:
        """The same for numbers that something carries: the leaves themselves are looked up."""
        found = self.looked_up_at([float(number_at_core(y)) for y in x]) if self.lookups else []
        return [*x[: self.inputs], *found, *x[self.inputs :]]

    def looked_up_at(self, x: Sequence[float]) -> list[Value]:
        """The leaves that are looked up at a point."""
        full = self.complete(x)
        rows = (one.table.at(self._index(one.line, full)) for one in self.lookups)
        return [leaf for row in rows for leaf in row]

    def _index(self, line: int, full: Any) -> Any:
        """An index at a point, or at all points, from the inputs in front of it."""
        row, operands = self.recording.tape.code[line]
        if row is INPUT:
            return full[operands[0]]
        size = next((len(column) for column in full if not isinstance(column, float)), None)
        key = line if size is None else ~line
        if key not in self._indices:
            varying = None if size is None else ()
            self._indices[key] = kernel("numpy", self.index_program(line), "float64", varying)
        if size is None:
            return self._indices[key].program.at_limits(full, self.parameters())[0][0]
        return self._indices[key].batch(full, self.parameters(), size)[0][0]

    def index_program(self, line: int) -> Program:
        """The program of a line that a table is looked up by; it decides nothing."""
        code = [
            (CONSTANT, (0.0,)) if row is GUARD else (row, operands)
            for row, operands in self.recording.tape.code[: line + 1]
        ]
        return pruned(code, [line], inputs=self.width, parameters=len(self.leaves))

    @functools.cached_property
    def slots(self) -> Slots | None:
        """The numbers of the leaves at once, where it pays."""
        return Slots.of(self.leaves) if len(self.leaves) >= FEW else None

    @functools.cached_property
    def _closure(self) -> Closure | None:
        if self._plain is None or COMPILED or not reachable(map(type, self.leaves)):
            return None
        tables = [one.table for one in self.lookups]
        return Closure(self.leaves, [*zip(self._plain, tables, strict=True)], self.inputs)

    def closure_at(self, x: Sequence[float]) -> Closure | None:
        """What is closed over, for machine code that reads it, and adds to it, by itself.

        It knows the rows that have been looked up at points which this was told of.
        """
        if self._closure is not None:
            for one, k in zip(self.lookups, self._plain or (), strict=True):
                one.table.reached([place(x[k], len(one.table))])
        return self._closure

    def additions(self, gradients: Any, looked_up: Any) -> list[Addition]:
        """What gradients, one per leaf, add to `.grad`.

        `looked_up` are, for each lookup, its index or the indices of points, and their gradients;
        of several shards one behind the other.
        """
        if isinstance(gradients, list):
            gradients = array("d", gradients)
        elif self.slots is not None and not isinstance(gradients, array):
            import numpy as np

            gradients = np.ascontiguousarray(gradients, float)
        found = [Addition(self.slots, gradients, lambda: self.leaves)] if self.leaves else []
        for one, (index, parts) in zip(cycle(self.lookups), looked_up, strict=False):
            found.append(one.table.additions(index, parts))
        return found

    def parted(self, x: Sequence[Any], gradients: Any) -> list[tuple[Any, Any]]:
        """Gradients of all that was looked up, one behind the other, by lookups; see above.

        A number each, or for batches an array of one number per point.
        """
        parts = []
        for one in self.lookups:
            index, start = self._index(one.line, x), one.position - self.inputs
            part = gradients[start : start + one.table.count]
            if isinstance(index, float) and getattr(part, "ndim", 1) > 1:
                part = quietly(part.sum, 1)
            parts.append((index, part if isinstance(index, float) else part.T))
        return parts

    def all_leaves(self) -> list[Value]:
        """The leaves, each once, in the order of their first use; a table's row by row."""
        found: list[Value] = []
        met = 0
        for table in tables_of(self.lookups):
            found += self.leaves[met : table.after]
            met = table.after
            rows = map(table.entries, range(len(table)))
            found += [x for row in rows for x in row if isinstance(x, Value)]
        found += self.leaves[met:]
        return list({id(leaf): leaf for leaf in found}.values())


def numbers_in(leaves: Sequence[Value], slots: Slots | None) -> array[float]:
    """What stands in leaves now, read from their slots where they have any."""
    numbers = None if slots is None else slots.read("data")
    if numbers is not None:
        return numbers
    try:
        return array("d", [leaf.data for leaf in leaves])
    except TypeError:
        for leaf in leaves:
            check_data(leaf, "compile")
        raise


def leaves_of(paths: Iterable[ClosedOver]) -> list[Value]:
    """All leaves of several paths, each once."""
    return list({id(leaf): leaf for path in paths for leaf in path.all_leaves()}.values())


def places_of(leaves: Iterable[Value]) -> dict[int, int]:
    """Where leaves stand, by their id."""
    return {id(leaf): k for k, leaf in enumerate(leaves)}


def add_gradients(parts: Sequence[tuple[ClosedOver, Any, Any]], scale: float) -> None:
    """Add the gradients of paths, as `ClosedOver.additions` takes them: all or none."""
    add_to_gradients([one for path, *found in parts for one in path.additions(*found)], scale)
