"""One path on the points of a batch, and the points of it that compiled code cannot decide.

Where a row raises, or a result is NaN or ±inf, the function may handle an exception, or a gradient
may be undefined: such points are given to the function itself. The kernels only tell that there is
one; which ones they are is asked of a second program, and they are taken one by one, at the cost of
the eager mode.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.machine.jit import all_finite
from tinygrad_scalar.compiler.paths import VALUE, Path, Request

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation

SMALLEST_SHARE = 1024  # points for which a thread is worth starting
ROOM = 1_000_000  # numbers that are kept at once for sums


class Run:
    """One path on some points of a batch."""

    def __init__(
        self,
        own: Specialisation,
        path: Path,
        request: Request,
        columns: Sequence[Any],
        size: int,
        threads: int,
    ) -> None:
        self.own, self.path, self.request = own, path, request
        self.columns, self.size, self.threads = columns, size, threads
        self.given = path.complete_columns(columns)  # with what is looked up
        self.parameters = path.parameters()
        self.varying = tuple([not isinstance(column, float) for column in self.given])
        self.every = (own.every and request is not VALUE) or path.recording.judges
        self.made = own.kernel(path, request, self.varying)

    def outputs(self) -> tuple[Any, Any]:
        """The outputs, and the mask of the points where the guards hold, None for all."""
        results, mask, finite = self._in_threads("batch", self.given, self.size)
        if self.every or not finite:
            places = self._doubtful(results, mask).tolist()
            self._settle(self.columns, places, results)
        return results, mask

    def sums(self) -> tuple[Any, Any]:
        """The same for the sums of the outputs, with those that are wanted for every point."""
        import numpy as np

        (totals, each), mask, finite = self._in_threads("sums", self.given, self.size)
        alone = each if mask is None else each[:, mask]
        finite = finite and all_finite(totals) and all_finite(alone.ravel())
        if self.every or not finite:
            places = self._doubtful(each, mask)
            fine = np.ones(self.size, dtype=bool) if mask is None else mask.copy()
            fine[places] = False
            totals = self._settled_sums(places, each)
            if fine.any():
                rest = at(self.given, fine)
                totals = totals + self._in_threads("sums", rest, int(fine.sum()))[0][0]
        return (totals, each), mask

    def _settled_sums(self, places: Any, each: Any) -> Any:
        """The sums over some points as the function itself has them, and what is not summed."""
        import numpy as np

        count = len(self.made.program.outputs) - len(each)
        totals = np.zeros(count)
        size = max(1, ROOM // (count + len(each)))
        for start in range(0, len(places), size):
            some = places[start : start + size]
            outputs = self.made.batch(at(self.given, some), self.parameters, len(some))[0]
            self._settle(at(self.columns, some), range(len(some)), outputs)
            totals = totals + outputs[:count].sum(axis=1)
            each[:, some] = outputs[count:]
        return totals

    def _doubtful(self, results: Any, mask: Any) -> Any:
        """The places of the points that have to be looked at, of those where the guards hold."""
        import numpy as np

        chosen = np.full(self.size, self.every)
        if not self.every:
            made = self.own.kernel(self.path, self.request, self.varying, telling=True)
            found = made.batch(self.given, self.parameters, self.size)[0]
            for output in (*found, *results):
                chosen |= ~np.isfinite(output)
        return np.flatnonzero(chosen if mask is None else chosen & mask)

    def _settle(self, columns: Sequence[Any], places: Sequence[int], outputs: Any) -> None:
        """Write the outputs at some places, as the function itself has them.

        Unless all points are asked, they stay where NaN is among the arguments and nothing raises.
        """
        known: dict[bytes, Any] = {}
        for place in places:
            point = array("d", [c if isinstance(c, float) else c[place] for c in columns])
            key = point.tobytes()  # many a batch has the same odd point many times
            if key not in known:
                known[key] = outputs[:, place].tolist()
                if self.every or not any(map(math.isnan, point)) or self._raises(point):
                    known[key] = self.own.settled(self.path, self.request, point, known[key])
            outputs[:, place] = known[key]

    def _raises(self, point: array[float]) -> bool:
        """Whether a row raises at a point, which the function may handle."""
        made = self.own.kernel(self.path, VALUE, None)
        try:
            made.point(self.path.complete(point[: self.path.inputs]), self.parameters)
        except (ArithmeticError, ValueError):
            return True
        return False

    def _in_threads(self, how: str, columns: Sequence[Any], size: int) -> tuple[Any, Any, bool]:
        run = getattr(self.made, how, None)
        if run is None:
            outputs, mask, finite = self._in_threads("batch", columns, size)
            return summed(outputs, mask, self.made.program.apart), mask, finite
        count = min(self.threads, max(1, size // SMALLEST_SHARE))
        if count <= 1:
            return run(columns, self.parameters, size)  # type: ignore[no-any-return]
        import numpy as np

        ends = [size * k // count for k in range(count + 1)]
        with_room = how == "batch" and hasattr(self.made, "room")
        room = self.made.room(size) if with_room else None

        def share(a: int, b: int) -> tuple[Any, Any, bool]:
            part = [c if isinstance(c, float) else c[a:b] for c in columns]
            into = () if room is None else (room[:, a:b],)
            return run(part, self.parameters, b - a, *into)  # type: ignore[no-any-return]

        with ThreadPoolExecutor(count) as pool:
            parts = list(pool.map(share, ends, ends[1:]))
        results = [part[0] for part in parts]
        masks = None if parts[0][1] is None else np.concatenate([part[1] for part in parts])
        finite = all(part[2] for part in parts)
        if how == "sums":
            totals = np.sum([total for total, _ in results], axis=0)
            each = np.concatenate([each for _, each in results], axis=1)
            return (totals, each), masks, finite
        return np.concatenate(results, axis=1) if room is None else room, masks, finite


def at(columns: Sequence[Any], places: Any) -> list[Any]:
    """The columns at some places."""
    return [c if isinstance(c, float) else c[places] for c in columns]


def summed(outputs: Any, mask: Any, apart: int) -> tuple[Any, Any]:
    """The sums of outputs over the points, and the last ones as they are for every point."""
    count = len(outputs) - apart
    counted = outputs[:count] if mask is None else outputs[:count, mask]
    return counted.sum(axis=1), outputs[count:]
