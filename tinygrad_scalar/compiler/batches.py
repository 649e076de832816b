"""A batch: every path for the points that are left for it, and points that it cannot decide.

Where a row raises, or a result is NaN or ±inf, the function may handle an exception, or a gradient
may be undefined: such points are given to the function itself. The kernels only tell that there is
one; which ones they are is asked of a second program, and they are taken one by one, at the cost of
the eager mode.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_scalar.compiler.arguments import Call, at, is_array
from tinygrad_scalar.compiler.closed_over import add_gradients
from tinygrad_scalar.compiler.dispatch import Specialisation
from tinygrad_scalar.compiler.machine.jit import all_finite
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.uncompiled import silently
from tinygrad_scalar.numbers.precision import quietly
from tinygrad_scalar.workers import pieces

SMALLEST_SHARE = 1024  # points for which a thread is worth starting
SHORT = 2**14  # points whose sums are worked out at a time
ROOM = 1_000_000  # numbers that are kept at once for sums


def outputs_of(own: Specialisation, mode: str, columns: Any, size: int) -> tuple[Path, Any]:
    """Some path, and the outputs of all points as an array (m, size)."""
    if size == 1 and own.engine == "llvm":
        alone = _alone(own, mode, columns)
        if alone is not None:
            return alone
    shares = _shares(own, mode, columns, size)
    path, _, _, results, _ = next(shares)
    for _, _, places, outputs, mask in shares:  # where a guard failed, later paths write over it
        kept = slice(None) if mask is None else mask
        results[:, places[kept]] = outputs[:, kept]
    return path, results


def _alone(own: Specialisation, mode: str, columns: Any) -> tuple[Path, Any] | None:
    """A batch of one, by the code for one point; None if no path so far is for it.

    None too where not all is finite: that is for the code for batches to tell of.
    """
    if own.every and mode != "value":
        return None
    x = array("d", columns.tobytes() if is_array(columns) else at(columns, 0))
    for path, fresh in own.in_turn(lambda: x):
        try:
            numbers = own.kernel(path, mode, None).point(path.complete(x), path.parameters())
        except Exception:  # noqa: BLE001 (a row of one's own may raise anything)
            break
        if numbers is not None and all_finite(numbers) and not path.recording.judges:
            return path, np.array(numbers).reshape(-1, 1)
        if numbers is not None or fresh:
            break
    return None


def sums_of(own: Specialisation, columns: Any, size: int) -> tuple[float, list[Any]]:
    """The sum of the loss over the batch, and for each path taken (path, gradients, looked_up).

    Gradients are sums too; what was looked up is as `Path.additions` takes it.
    """
    total, parts = 0.0, []
    for path, given, _, (sums, each), mask in _shares(own, "backward", columns, size):
        if mask is not None and not mask.any():  # no point takes it
            continue
        looked_up: Any = ()
        if path.lookups:
            here = slice(None) if mask is None else mask
            looked_up = path.parted(at(given, here), each[:, here])
        total += float(sums[0])
        parts.append((path, sums[1:], looked_up))
    return total, parts


def _shares(
    own: Specialisation, mode: str, columns: Any, size: int
) -> Iterator[tuple[Path, Any, Any, Any, Any]]:
    """What each path gives, until no point is left: outputs, or sums for "backward".

    The path, its columns with what is looked up, which points they are, None for all, the results,
    and the mask of the points where its guards hold, None for all of them.
    """
    places: Any = None

    def first_left() -> array[float]:
        return array("d", at(columns, 0))

    for path, fresh in own.in_turn(first_left):
        run = Run(own, path, mode, columns, size)
        results, mask = run.sums() if mode == "backward" else run.outputs()
        if mask is not None and mask.all():
            mask = None
        yield path, run.given, places, results, mask
        if mask is None:
            return
        if fresh and not mask[0]:  # a guard so close that the engine's rounding turns it
            point, varying = first_left(), [c for c in columns if not isinstance(c, float)]
            bits = np.array(varying, float).view(np.int64)
            here = (bits == bits[:, :1]).all(0)  # equal ones too, at once
            numbers = np.array([silently(own, path, mode, point)])
            results = np.repeat(numbers.T, np.count_nonzero(here), axis=1)
            if mode == "backward":
                results = summed(results, None, path.program(mode).apart)
            of_point = np.flatnonzero(here) if places is None else places[here]
            yield path, path.complete(point), of_point, results, None
            mask |= here
        failing = np.flatnonzero(~mask)
        places = failing if places is None else places[failing]
        columns, size = at(columns, failing), len(failing)
        if not size:
            return


class Run:
    """One path on some points of a batch."""

    def __init__(
        self, own: Specialisation, path: Path, mode: str, columns: Sequence[Any], size: int
    ) -> None:
        self.own, self.path, self.mode = own, path, mode
        self.columns, self.size, self.threads = columns, size, own.settings["threads"]
        self.given = path.complete(columns)  # with what is looked up
        self.parameters = path.parameters()
        self.varying = tuple([not isinstance(column, float) for column in self.given])
        self.every = (own.every and mode != "value") or path.recording.judges
        self.made = own.kernel(path, mode, self.varying)

    def outputs(self) -> tuple[Any, Any]:
        """The outputs, and the mask of the points where the guards hold, None for all."""
        results, mask, finite = self._in_pieces("batch")
        if self.mode == "backward":  # else they are looked at by the kernel
            finite = finite and bool(np.isfinite(results).all())
        if self.every or not finite:
            self._settle(self._doubtful(results, mask).tolist(), results)
        return results, mask

    def sums(self) -> tuple[Any, Any]:
        """The same for the sums of the outputs, with those that are wanted for every point."""
        if self.own.engine == "llvm" and not self.every:
            (totals, each), mask, finite = self._in_pieces("sums")
            alone = each if mask is None else each[:, mask]
            if finite and all_finite(totals) and all_finite(alone.ravel()):
                return (totals, each), mask
        return self._summed_outputs()

    def _summed_outputs(self) -> tuple[Any, Any]:
        """The same by the outputs themselves, not too many of them at a time."""
        program, results, masks = self.made.program, [], []
        for a, b in pieces(self.size, -(-self.size * len(program.outputs) // ROOM)):
            some = at(self.columns, slice(a, b))
            outputs, mask = Run(self.own, self.path, self.mode, some, b - a).outputs()
            results.append(summed(outputs, mask, program.apart))
            masks.append((mask, b - a))
        return _added(results), _joined(masks)

    def _doubtful(self, results: Any, mask: Any) -> Any:
        """The places of the points that have to be looked at, of those where the guards hold."""
        chosen = np.full(self.size, self.every)
        if not self.every:
            made = self.own.kernel(self.path, self.mode, self.varying, telling=True)
            found = made.batch(self.given, self.parameters, self.size)[0]
            for output in (*found, *results):
                chosen |= ~np.isfinite(output)
        return np.flatnonzero(chosen if mask is None else chosen & mask)

    def _settle(self, places: Sequence[int], outputs: Any) -> None:
        """Write the outputs at some places, as the function itself has them.

        Unless all points are asked, they stay where NaN is among the arguments and nothing raises.
        """
        known: dict[bytes, Any] = {}
        for place in places:
            point = array("d", at(self.columns, place))
            key = point.tobytes()  # many a batch has the same odd point many times
            if key not in known:
                known[key] = outputs[:, place].tolist()
                if self.every or not any(map(math.isnan, point)) or self._raises(point):
                    known[key] = silently(self.own, self.path, self.mode, point, known[key])
            quietly(outputs.__setitem__, (slice(None), place), known[key])

    def _raises(self, point: array[float]) -> bool:
        """Whether a row raises at a point, which the function may handle."""
        made = self.own.kernel(self.path, "value", None)
        try:
            made.point(self.path.complete(point[: self.path.inputs]), self.parameters)
        except Exception:  # noqa: BLE001 (a row of one's own may raise anything)
            return True
        return False

    def _in_pieces(self, how: str) -> tuple[Any, Any, bool]:
        """What the kernel gives for all points; in threads, and sums for some points at a time."""
        run, size = getattr(self.made, how), self.size
        count = min(self.threads, size // SMALLEST_SHARE)
        if how == "sums":
            count = max(count, -(-size // SHORT))
        if count <= 1:
            return run(self.given, self.parameters, size)  # type: ignore[no-any-return]
        room = self.made.room(size) if how == "batch" and self.own.engine == "llvm" else None

        def piece(ends: tuple[int, int]) -> tuple[Any, Any, bool]:
            a, b = ends
            into = () if room is None else (room[:, a:b],)
            some = at(self.given, slice(a, b))
            return run(some, self.parameters, b - a, *into)  # type: ignore[no-any-return]

        ends = pieces(size, count)
        if self.threads == 1:
            parts = list(map(piece, ends))
        else:
            from concurrent.futures import ThreadPoolExecutor  # refused at the end of a program

            with ThreadPoolExecutor(self.threads) as pool:
                parts = list(pool.map(piece, ends))
        results, masks, fine = zip(*parts, strict=True)
        mask = _joined([(mask, b - a) for mask, (a, b) in zip(masks, ends, strict=True)])
        if how == "sums":
            return _added(results), mask, all(fine)
        if room is None:
            room = np.concatenate(results, axis=1)
        return room, mask, all(fine)


def summed(outputs: Any, mask: Any, apart: int) -> tuple[Any, Any]:
    """The sums of outputs over the points, and the last ones as they are for every point."""
    count = len(outputs) - apart
    counted = outputs[:count] if mask is None else outputs[:count, mask]
    return quietly(counted.sum, 1), outputs[count:]


def _added(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The same for all points from what it is for pieces of them."""
    totals, each = zip(*parts, strict=True)
    return quietly(np.sum, totals, 0), np.concatenate(each, axis=1)


def _joined(masks: Sequence[tuple[Any, int]]) -> Any:
    """The mask of all points from those of pieces, each with its length; None where all hold."""
    if all(mask is None for mask, _ in masks):
        return None
    return np.concatenate([np.ones(n, bool) if mask is None else mask for mask, n in masks])


# ── once more ──────────────────────────────────────────────────────────────────────────────────
class BatchEntry:
    """Calls the kernel of the only path with floats, and arrays of so many columns."""

    def __init__(self, own: Specialisation, call: Call) -> None:
        self.own, self.path = own, own.paths[0]
        # the shape of a point in each array, None for a float
        self.shapes = [
            None if one.size is None else (len(one.columns),) * one.rows for one in call.arguments
        ]
        varying = tuple([not isinstance(column, float) for column in call.columns])
        self.kernel = own.kernel(self.path, "backward", varying)
        self.most = SHORT if own.settings["threads"] == 1 else SMALLEST_SHARE

    @staticmethod
    def suits(own: Specialisation, call: Call) -> bool:
        """Whether there is one path, and arguments are floats and arrays of NumPy."""
        (path, *others), arguments = own.paths, call.arguments
        undecided = others or path.lookups or path.recording.judges or own.every
        plain = all(one.rows or one.key == 0 for one in arguments)
        return own.engine == "llvm" and plain and not undecided

    def call(self, *args: Any) -> float | None:
        """The mean loss, with the mean gradient added."""
        columns: list[Any] = []
        size = self._size(args, columns) if len(self.own.paths) == 1 else 0
        if not 0 < size <= self.most:
            return None
        (totals, _), mask, finite = self.kernel.sums(columns, self.path.parameters(), size)
        if mask is not None or not finite:
            return None
        gradients, slots = totals[1:], self.path.slots  # written at once: the general way is dear
        if slots is None or not slots.write("grad", gradients, 1 / size):
            add_gradients([(self.path, gradients, ())], 1 / size)
        return float(totals[0]) / size

    def _size(self, args: Sequence[Any], columns: list[Any]) -> int:
        """How many points there are, 0 for arguments of other kinds; their columns, by arrays."""
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
            columns.append(arg.T)
        return size
