"""The memory that sums over a block of points run in: made once, used again call after call."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

# Numbers from which on BLAS adds up in several threads, which beside other busy ones wait for each
# other a thousand times as long as the sum takes.
THREADED = 9_000
TURNS = 8  # sums of what must be finite, for every lane: blocks of points add to them in turn


def address(numbers: Any) -> int:
    """Where a NumPy array begins."""
    return numbers.__array_interface__["data"][0]  # type: ignore[no-any-return]


def aligned(size: int, dtype: str) -> Any:
    """Zeros that begin where a line of the cache does: lanes are in one of them then."""
    import numpy as np

    room = np.zeros(size + 64 // np.dtype(dtype).itemsize, dtype)
    start = -address(room) % 64 // room.itemsize
    return room[start : start + size]


def all_finite(numbers: Any) -> bool:
    """Whether no NaN and no ±inf is in a flat array; mostly the sum of their squares tells."""
    if len(numbers) < THREADED and math.isfinite(numbers.dot(numbers)):
        return True
    import numpy as np

    return bool(np.isfinite(numbers).all())


class Workspace:
    """Columns of inputs, parameters, sums in lanes and a mask, for a number of points.

    A column that is the same for all points has one number; the others are whole lanes long.
    """

    def __init__(
        self,
        run: Callable[..., None],
        size: int,
        lanes: int,
        varying: Sequence[bool],
        lengths: tuple[int, int, int, int],
        dtype: str,
    ) -> None:
        import numpy as np

        parameters, outputs, apart, scratch = lengths
        self.run, self.size = run, size
        whole = size + -size % lanes
        self.columns = [np.empty(whole if several else 1, dtype) for several in varying]
        self.parameters = np.empty(parameters, dtype)
        results = aligned(outputs * lanes + apart * whole, dtype)
        self.totals = results[: outputs * lanes].reshape(outputs, lanes)
        # outputs that are not summed: a block for each time all lanes are through
        self._blocks = results[outputs * lanes :].reshape(whole // lanes, apart, lanes)
        self._none = np.empty((0, size), dtype)
        self.mask = np.empty(whole, np.uint8)
        self._ones = np.ones(lanes, dtype)
        self._scratch = aligned(scratch * lanes + 1, dtype)
        self._checked = self._scratch[: TURNS * lanes]
        self._places = array("q", map(address, self.columns))  # kept alive: the code reads it
        self._arguments = (
            size, self._places.buffer_info()[0], address(self.parameters), address(results),
            address(self._scratch), address(self.mask),
        )  # fmt: skip

    def sums(self, columns: Sequence[Any], parameters: Sequence[float]) -> tuple[Any, Any]:
        """The sums of outputs over the points where the guards hold, and the last of each point.

        `mask` says where they hold.
        """
        size = self.size
        for own, column in zip(self.columns, columns, strict=True):
            if isinstance(column, float):
                own[0] = column
            else:
                own[:size] = column
                if len(own) > size:
                    own[size:] = own[size - 1]  # lanes that no point is in
        self.parameters[:] = parameters
        self.totals.fill(0.0)
        self.mask.fill(1)
        self._checked.fill(0.0)
        self.run(*self._arguments)
        blocks, apart, lanes = self._blocks.shape
        each = self._none
        if apart:
            each = self._blocks.swapaxes(0, 1).reshape(apart, blocks * lanes)[:, :size]
        return self._added(), each

    def _added(self) -> Any:
        """The sums over the lanes."""
        if self.totals.size < THREADED:
            return self.totals.dot(self._ones)
        import numpy as np

        return np.einsum("ij->i", self.totals)

    def finite(self) -> bool:
        """Whether all that was checked was finite."""
        return all_finite(self._checked)
