"""`f.backward` spread over workers: a batch in shards, each shard's sums where a worker is free.

What travels is the trace, not the function, and with every batch the numbers of the leaves closed
over. A worker that meets a point on no path known so far says so; the point is traced here, where
the function is. So all workers have the same paths in the same order, and the sums of a shard do
not depend, to the bit, on who computes them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.arguments import Argument, Call
from tinygrad_scalar.compiler.backends import check_engine
from tinygrad_scalar.compiler.dispatch import Settings, Specialisation
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.reading import path_restored
from tinygrad_scalar.compiler.storage import named_row, path_described
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.workers import Work

Run = Callable[[Work, Sequence[tuple[Any, ...]]], list[Any]]
Sums = tuple[float, list[tuple[Path, Any, Any]]]


class Sharded:
    """The paths of a loss, and how its sums are spread.

    `data`, columns of all examples, travel along; else every shard brings its own.
    """

    def __init__(self, own: Specialisation, what: str, data: Any = None) -> None:
        self.own, self.what, self.data = own, what, data
        self._sent: tuple[list[Path], Work] | None = None

    def sums(self, run: Run, shards: Sequence[Any], first: Callable[[], Sequence[float]]) -> Sums:
        """The sum of the losses, and of the gradients for each path, shard after shard.

        `first` gives the point to trace where nothing is traced yet; `run` has workers do a work.
        """
        if not self.own.paths:
            self.own.traced_at(first())
        settled: dict[bytes, int] = {}
        found: list[Any] = [None] * len(shards)
        while None in found:
            left = [k for k, sums in enumerate(found) if sums is None]
            work = self._work()
            numbers = [float(leaf.data) for leaf in self._leaves()]
            calls = [(numbers, shards[k], settled) for k in left]
            for k, (sums, point) in zip(left, run(work, calls), strict=True):
                found[k] = sums
                if sums is None:  # on the same points, whoever meets them
                    path, _ = self.own.traced_at(point)
                    path.scalar("backward")
                    settled[_known_as(point)] = self.own.paths.index(path)
        return self._together(found)

    def _leaves(self) -> list[Value]:
        leaves = {id(leaf): leaf for path in self.own.paths for leaf in path.all_leaves()}
        return list(leaves.values())

    def _work(self) -> Work:
        self.own.look_through_tables()
        paths = list(self.own.paths)
        if self._sent is None or list(map(id, self._sent[0])) != list(map(id, paths)):
            place = {id(leaf): k for k, leaf in enumerate(self._leaves())}
            for path in paths:
                path.scalar("backward")
            told = [path_described(path, place, named_row) for path in paths]
            work = Work(self.what, Shard, told, len(place), self.own.settings, self.data)
            self._sent = paths, work
        return self._sent[1]

    def _together(self, found: Sequence[tuple[float, list[tuple[int, Any]]]]) -> Sums:
        """The sums of all shards added in their order."""
        total = math.fsum(loss for loss, _ in found)
        sums = _by_path([part for _, parts in found for part in parts])
        return total, [(self.own.paths[k], gradients, looked) for k, (gradients, looked) in sums]


class _UnknownError(Exception):
    """A point is on no path that a worker has."""


class _Known(Specialisation):
    """The paths that came along, and which of them some points are on."""

    known: dict[bytes, int]

    def trace(self, point: Sequence[float]) -> Path:
        """The path of a point, where that is known."""
        k = self.known.get(_known_as(point))
        if k is None:
            raise _UnknownError(list(point))
        return self.paths[k]


class Shard:
    """What a worker keeps: the paths, around leaves of its own, and perhaps all examples."""

    def __init__(
        self, told: Sequence[dict[str, Any]], count: int, settings: Settings, data: Any
    ) -> None:
        check_engine(settings[0])  # the same everywhere, installed or told
        self.leaves, self.data = [Value(0.0) for _ in range(count)], data
        key = (("list", told[0]["inputs"]),)
        call = Call([Argument(key[0], None, ())], key, [], None)
        self.own = _Known(None, call, {}, settings)
        self.own.paths += [path_restored(path, key, self.leaves) for path in told]

    def __call__(
        self, numbers: Sequence[float], shard: Any, settled: dict[bytes, int]
    ) -> tuple[Any, Any]:
        """(sums, None) of the points of a shard; (None, the point) where a path is missing."""
        for leaf, number in zip(self.leaves, numbers, strict=True):
            leaf.data = number
        self.own.known = settled
        columns = shard if self.data is None else _columns(self.data, shard)
        try:
            total, parts = self.own.sums(columns, _size(columns), 1)
        except _UnknownError as unknown:
            return None, unknown.args[0]
        place = {id(path): k for k, path in enumerate(self.own.paths)}
        return (total, _by_path([(place[id(path)], part) for path, *part in parts])), None


def _known_as(point: Sequence[float]) -> bytes:
    """A point as the key of a dictionary, NaN too."""
    return array("d", point).tobytes()


def _columns(data: Any, shard: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(data[:, shard])


def _size(columns: Any) -> int:
    return max(len(column) for column in columns if not isinstance(column, float))


def _by_path(parts: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Gradients and what was looked up, of each path once, added in the order of the parts."""
    found: dict[int, Any] = {}
    for k, (gradients, looked_up) in parts:
        looked = [_as_rows(*one) for one in looked_up]
        if k not in found:
            found[k] = gradients, looked
            continue
        before, rows = found[k]
        found[k] = before + gradients, [_joined(*each) for each in zip(rows, looked, strict=True)]
    return sorted(found.items(), key=lambda item: item[0])


def _as_rows(index: Any, parts: Any) -> tuple[Any, Any]:
    """Indices (n,) and their gradients (n, count), for one index too; a kernel reuses its own."""
    import numpy as np

    indices = np.atleast_1d(np.array(index, float))
    return indices, np.array(parts, float).reshape(len(indices), -1)


def _joined(some: tuple[Any, Any], more: tuple[Any, Any]) -> tuple[Any, Any]:
    import numpy as np

    return np.concatenate([some[0], more[0]]), np.concatenate([some[1], more[1]])


def sliced(columns: Any, shards: Sequence[tuple[int, int]]) -> list[Any]:
    """The columns of every shard; numbers are the same for all."""
    return [[c if isinstance(c, float) else c[a:b] for c in columns] for a, b in shards]
