"""Where the numbers of a large trace stand: cells of memory for what is read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_scalar.compiler.ir.reroll import Loop
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARDS, INPUT, PARAMETER
from tinygrad_scalar.compiler.vm.operations import Array, Operations


class Cells:
    """The inputs, the parameters, the constants, and then what operations hand on.

    What only its own iteration of a run reads has no cell, unless it is `kept` for the way back; an
    operation outside of `runs` has one.
    """

    def __init__(
        self,
        trace: Operations,
        runs: Sequence[Loop],
        outputs: Sequence[int],
        kept: Array,
        sizes: tuple[int, int],
    ) -> None:
        self.read = _read(trace, runs, outputs)
        self.kept = kept & ~self.read
        self.of_line = np.zeros(len(trace.place), np.int64)
        self.constants = np.empty(0)
        self.count = sum(sizes)
        for kind, base in ((INPUT, 0), (PARAMETER, sizes[0])):
            if kind in trace.markers:
                lines, positions = trace.markers[kind]
                self.of_line[lines] = positions.astype(int) + base
        if CONSTANT in trace.markers:
            lines, self.constants = trace.markers[CONSTANT]
            self.of_line[lines] = self.fresh(len(lines))
        lines = trace.line[self.read | self.kept]
        self.of_line[lines] = self.fresh(len(lines))

    def fresh(self, count: int) -> Array:
        """So many further cells."""
        self.count += count
        return np.arange(self.count - count, self.count)


def _read(trace: Operations, runs: Sequence[Loop], outputs: Sequence[int]) -> Array:
    """Which operations others read; in a run all iterations are alike in that."""
    guards = [k for k, row in enumerate(trace.rows) if row in GUARDS]
    read = ~np.isin(trace.row, guards)
    unit = np.arange(len(read))  # the first operation of the iteration
    for run in runs:
        read[run.start : run.stop] = False
        first = np.arange(run.start, run.stop, run.period)
        unit[run.start : run.stop] = np.repeat(first, run.period)
    reader = np.repeat(unit, np.diff(trace.start))
    producer = trace.place[trace.operands]
    read[producer[(producer >= 0) & (unit[producer] != reader)]] = True
    places = trace.place[np.asarray(outputs, int)]
    read[places[places >= 0]] = True
    for run in runs:
        part = read[run.start : run.stop].reshape(-1, run.period)
        part[:] = part.any(axis=0)
    return read
