"""Backward over a batch of NumPy's arrays once more, for a function with one path.

The general way looks at every argument, and at every path, as if it saw them for the first time.
For a few hundred points that takes longer than the machine code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_scalar.compiler.arguments import Call
from tinygrad_scalar.compiler.batches import SHORT, SMALLEST_SHARE
from tinygrad_scalar.compiler.dispatch import Specialisation
from tinygrad_scalar.compiler.machine.jit import all_finite
from tinygrad_scalar.compiler.paths import BACKWARD, add_gradients


class BatchEntry:
    """Calls the kernel of the only path with floats, and arrays of so many columns.

    `call` gives the mean loss. Anything else, a guard that fails or what is not finite gives None,
    with nothing changed, and the call goes the general way.
    """

    def __init__(self, own: Specialisation, call: Call) -> None:
        self.own, self.path = own, own.paths[0]
        # the shape of a point in each array, None for a float
        self.shapes = [
            None if isinstance(one.columns[0], float) else (len(one.columns),) * one.rows
            for one in call.arguments
        ]
        varying = tuple([not isinstance(column, float) for column in call.columns])
        self.kernel = own.kernel(self.path, BACKWARD, varying)
        self.most = SHORT if own.settings["threads"] == 1 else SMALLEST_SHARE

    @classmethod
    def of(cls, own: Specialisation, call: Call) -> BatchEntry | None:
        """The entry for calls like one that went the general way; None if all are to go it."""
        path = own.paths[0]
        if len(own.paths) > 1 or path.lookups or path.recording.judges or own.every:
            return None
        if call.xp is not None or not all(one.rows or one.key == 0 for one in call.arguments):
            return None
        made = cls(own, call)
        return made if hasattr(made.kernel, "sums") else None

    def call(self, *args: Any) -> float | None:
        """The mean loss, with the mean gradient added; None if it takes the general way."""
        columns: list[Any] = []
        size = self._size(args, columns) if len(self.own.paths) == 1 else 0
        if not 0 < size <= self.most:
            return None
        (totals, _), mask, finite = self.kernel.sums(columns, self.path.parameters(), size)
        if mask is not None or not finite or not all_finite(totals):
            return None
        add_gradients([(self.path, totals[1:], ())], 1 / size)
        return float(totals[0]) / size

    def _size(self, args: Sequence[Any], columns: list[Any]) -> int:
        """How many points there are, 0 for arguments of other kinds; their columns."""
        size = 0
        if len(args) != len(self.shapes):
            return 0
        for arg, shape in zip(args, self.shapes, strict=True):
            if shape is None:
                if arg.__class__ is not float:
                    return 0
                columns.append(arg)
                continue
            if arg.__class__ is not np.ndarray or arg.dtype.kind not in "biuf":
                return 0
            count, *rest = arg.shape or (0,)
            if not count or tuple(rest) != shape or size not in (0, count):
                return 0
            size = count
            columns.extend(arg.T if shape else (arg,))
        return size
