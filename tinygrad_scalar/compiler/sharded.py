"""Batches spread over workers: `f.backward` in shards, and every mode on the chunks of Dask arrays.

What travels for `backward` is the trace, not the function, and with every batch the numbers of the
leaves closed over. A worker that meets a point on no path known so far says so; the point is traced
here, where the function is. So all workers have the same paths in the same order, and the sums of a
shard do not depend, to the bit, on who computes them. A shard in which an operation raises, or that
is not finite, is computed here: the function may handle that. On Dask arrays a mode is lazy: one
task a chunk of the first axis.
"""

from __future__ import annotations

import functools
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import at, taken_apart
from tinygrad_scalar.compiler.backends import Settings, check_engine
from tinygrad_scalar.compiler.closed_over import leaves_of, places_of
from tinygrad_scalar.compiler.description import named_row, path_described, path_restored
from tinygrad_scalar.compiler.dispatch import Specialisation
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.storage import with_numbers
from tinygrad_scalar.core.tree import each
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import loaded, quietly
from tinygrad_scalar.workers import Work, perform, tell

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.compiled import Compiled


Run = Callable[[Work, Sequence[tuple[Any, ...]]], list[Any]]
Sums = tuple[float, list[tuple[Path, Any, Any]]]
ShardSums = tuple[float, list[tuple[int, Any, Any]]]  # with places of paths


class Sharded:
    """The paths of a loss, and how its sums are spread.

    `data`, columns of all examples, travel along; else every shard brings its own.
    """

    def __init__(self, own: Specialisation, what: str, data: Any = None) -> None:
        self.own, self.what, self.data = own, what, data
        self._sent: tuple[list[Path], Work] | None = None

    def sums(
        self,
        run: Run,
        shards: Sequence[Any],
        first: Callable[[], Sequence[float]],
        columns: Callable[[Any], Sequence[Any]] | None = None,
    ) -> Sums:
        """The sum of the losses, and of the gradients for each path, shard after shard.

        `first` gives the point to trace where nothing is traced yet; `run` has workers do a work;
        `columns` are those of a shard, where it holds others.
        """
        columns = columns or functools.partial(_columns, self.data)
        if not self.own.paths:
            self.own.traced_at(first())
        found: list[Any] = [None] * len(shards)
        while None in found:
            left = [k for k, sums in enumerate(found) if sums is None]
            paths, work = self._sent_by_now()
            numbers = [float(leaf.data) for leaf in leaves_of(paths)]
            calls = [(numbers, shards[k]) for k in left]
            for k, (sums, point) in zip(left, run(work, calls), strict=True):
                found[k] = sums
                # a path that was sent: the engine's rounding turned a guard
                if sums is None and (point is None or self.own.traced_at(point) in paths):
                    found[k] = _sums(self.own, columns(shards[k]))
        total = sum(loss for loss, _ in found)
        return total, self._by_path([part for _, parts in found for part in parts])

    def _by_path(self, parts: Sequence[tuple[int, Any, Any]]) -> list[tuple[Path, Any, Any]]:
        """The gradients of each path added up, in the order of the parts."""
        import numpy as np

        sums: dict[int, Any] = {}
        looked_up: dict[int, list[Any]] = {}
        for k, gradients, found in parts:
            sums[k] = quietly(np.add, sums[k], gradients) if k in sums else gradients
            looked_up[k] = [*looked_up.get(k, ()), *found]
        return [(self.own.paths[k], sums[k], looked_up[k]) for k in sums]

    def _sent_by_now(self) -> tuple[list[Path], Work]:
        self.own.look_through_tables()
        paths = list(self.own.paths)
        if self._sent is None or self._sent[0] != paths:
            place = places_of(leaves_of(paths))
            for path in paths:
                path.scalar("backward")
            told = [path_described(path, place, named_row) for path in paths]
            settings = {**self.own.settings, "engine": self.own.engine, "threads": 1}
            work = Work(self.what, Shard, told, len(place), settings, self.data)
            self._sent = paths, work
        return self._sent


def check_size(size: int) -> None:
    """ValueError for a batch of no points."""
    if not size:
        raise ValueError("backward: the batch is empty, and the mean of no losses is undefined")


class _NotHereError(Exception):
    """A shard is to be computed where the function is: told of a point that is on no path, or None.

    None where an operation raised, which the function may handle.
    """


class _Known(Specialisation):
    """The paths that came along, without the function."""

    def trace(self, point: Sequence[float]) -> Path:
        """Have it traced where the function is."""
        raise _NotHereError(list(point))

    def raised(self) -> None:
        """Have the shard computed there."""
        raise _NotHereError(None)


class Shard:
    """What a worker keeps: the paths, around leaves of its own, and perhaps all examples."""

    def __init__(
        self, told: Sequence[dict[str, Any]], count: int, settings: Settings, data: Any
    ) -> None:
        check_engine(settings["engine"])  # the same everywhere, installed or told
        self.leaves, self.data = [Value(0.0) for _ in range(count)], data
        key = (("list", told[0]["inputs"]),)
        self.own = _Known(None, key, (), {}, settings)
        self.own.paths += [path_restored(path, key, self.leaves) for path in told]

    def __call__(self, numbers: Sequence[float], shard: Any) -> tuple[Any, Any]:
        """(sums, None) of the points of a shard; (None, the point) where a path is missing.

        (None, None) where an operation raises, or a sum is not finite.
        """
        for leaf, number in zip(self.leaves, numbers, strict=True):
            leaf.data = number
        try:
            sums = _sums(self.own, _columns(self.data, shard))
        except _NotHereError as error:
            return None, error.args[0]
        return (sums if _finite(sums) else None), None


def _columns(data: Any, shard: Any) -> Any:
    """The columns of a shard; of all examples, where these are there."""
    if data is None:
        return shard
    import numpy as np

    return np.ascontiguousarray(data[:, shard])


def _sums(own: Specialisation, columns: Any) -> ShardSums:
    """The sum of the losses, and parts: the place of a path, gradients and what it looks up."""
    from tinygrad_scalar.compiler.batches import sums_of

    size = max(len(column) for column in columns if not isinstance(column, float))
    total, parts = sums_of(own, columns, size)
    place = {id(path): k for k, path in enumerate(own.paths)}
    return total, [(place[id(path)], *part) for path, *part in parts]


def _finite(sums: ShardSums) -> bool:
    """Whether a loss and its gradients are."""
    import numpy as np

    total, parts = sums
    numbers = [x for _, gradients, rows in parts for x in (gradients, *(row[1] for row in rows))]
    return math.isfinite(total) and all(np.isfinite(x).all() for x in numbers)


# ── Dask ──────────────────────────────────────────────────────────────────────────────────────
PAIRS = ("jvp", "hvp")  # modes of two tuples of arguments


def in_a_row(mode: str, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a mode, those of two tuples one behind the other."""
    return [*args[0], *args[1]] if mode in PAIRS else args


def as_given(mode: str, flat: Sequence[Any], count: int) -> Sequence[Any]:
    """Arguments in a row as the mode takes them: in two tuples, the first one of `count`."""
    return (tuple(flat[:count]), tuple(flat[count:])) if mode in PAIRS else flat


def is_lazy(x: Any) -> bool:
    """Whether this is a Dask array."""
    arrays = loaded("dask.array")
    return arrays is not None and isinstance(x, arrays.Array)


def holds_lazy(args: Sequence[Any]) -> bool:
    """Whether a Dask array is among the arguments."""
    return "dask.array" in sys.modules and any(map(is_lazy, args))


def lazily(compiled: Any, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """What the mode gives, with a Dask array for every array; nothing is computed yet.

    Errors: ValueError for arrays of unknown chunks or other lengths, and without batches.
    """
    import dask
    import dask.array as da

    name = getattr(compiled, "__name__", "compile") + ("" if mode == "value" else f".{mode}")
    flat = _chunked(in_a_row(mode, args), compiled, name)
    method = _Method(compiled, mode, len(args[0]) if mode in PAIRS else 0, options)
    template = method.template([_empty(x) for x in flat])
    size, function = len(_arrays(template)), dask.delayed(method, pure=False)
    compute = dask.delayed(_computed, nout=size, pure=False)
    tasks = [compute(function, each) for each in _blocks(flat)]
    lengths = next(filter(is_lazy, flat)).chunks[0]
    found = [
        [
            da.from_delayed(task[k], (length, *empty.shape[1:]), dtype=empty.dtype)
            for task, length in zip(tasks, lengths, strict=True)
        ]
        for k, empty in enumerate(_arrays(template))
    ]
    results = map(da.concatenate, found)
    return each(lambda _: next(results), template)


class _Method:
    """A mode of a compiled function; it travels with the numbers of the leaves closed over.

    The first `count` arguments are primals, where the mode takes two tuples.
    """

    def __init__(self, compiled: Compiled, mode: str, count: int, options: dict[str, Any]) -> None:
        self.compiled, self.mode, self.count, self.options = compiled, mode, count, options

    def __reduce__(self) -> Any:
        return _Method, (with_numbers(self.compiled), self.mode, self.count, self.options)

    def called(self, flat: list[Any]) -> Any:
        """What it gives for arguments in a row."""
        count, compiled = self.count, self.compiled
        method = compiled if self.mode == "value" else getattr(compiled, self.mode)
        return method(*as_given(self.mode, flat, count), **self.options)

    def template(self, flat: list[Any]) -> Any:
        """Empty arrays in the structure of the results, which a trace at ones tells."""
        primals = flat[: self.count] if self.mode in PAIRS else flat
        _, own = self.compiled._prepared(primals, self.options)
        if not own.paths:
            with suppress(Exception):  # told when it is computed; until then one number
                own.traced_at([1.0] * sum(own.widths))
        return self.called(flat)


def _computed(method: _Method, flat: list[Any]) -> tuple[Any, ...]:
    """The results of one chunk, in a row."""
    return tuple(_arrays(method.called(flat)))


# ── chunks ────────────────────────────────────────────────────────────────────────────────────
def _chunked(flat: Sequence[Any], compiled: Compiled, name: str) -> list[Any]:
    """The arguments with all arrays in the chunks of the first; other axes whole."""
    import dask.array as da

    if not compiled.batch:
        raise ValueError(f"{name}: a Dask array is a batch, and batch=False takes one point")
    for i, x in enumerate(flat):
        if is_lazy(x) and any(math.isnan(size) for sizes in x.chunks for size in sizes):
            raise ValueError(
                f"{name}: argument {i} is a Dask array of unknown chunks: call its "
                ".compute_chunk_sizes() first"
            )
        if is_lazy(x) and not x.ndim:
            raise TypeError(f"{name}: argument {i} is a Dask array without axes: .compute() it")
    lengths = next(filter(is_lazy, flat)).chunks[0]
    found = []
    for i, x in enumerate(flat):
        if not getattr(x, "ndim", 0):
            found.append(x)
            continue
        if len(x) != sum(lengths):
            raise ValueError(
                f"{name}: argument {i} has a batch of {len(x)} points, another of {sum(lengths)}; "
                "the first axes of all arrays must agree"
            )
        lazy = x if is_lazy(x) else da.asarray(x)
        found.append(lazy.rechunk((lengths, *[-1] * (x.ndim - 1))))
    return found


def _blocks(flat: Sequence[Any]) -> list[list[Any]]:
    """The arguments of every chunk, each array as what will be its block."""
    found = [x.to_delayed().ravel() if is_lazy(x) else repeat(x) for x in flat]
    return list(map(list, zip(*found, strict=False)))


def _empty(x: Any) -> Any:
    import numpy as np

    return np.empty((0, *x.shape[1:]), x.dtype) if is_lazy(x) else x


def _arrays(tree: Any) -> list[Any]:
    """The arrays of a structure, in order."""
    found: list[Any] = []
    each(found.append, tree)
    return found


# ── backward ──────────────────────────────────────────────────────────────────────────────────
def sums_of_chunks(compiled: Any, args: Sequence[Any], options: dict[str, Any]) -> tuple[int, Sums]:
    """How many points there are, and the sums of losses and gradients, chunk after chunk."""
    import dask

    flat = _chunked(args, compiled, "backward")
    size = len(next(filter(is_lazy, flat)))
    check_size(size)
    constants = compiled._constants(flat)
    _, own = compiled._prepared([_empty(x) for x in flat], options, constants)

    def run(work: Work, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        blob, compute = dask.delayed(work.blob, pure=False), dask.delayed(_summed, pure=False)
        try:
            tasks = [compute(work.token, blob, constants, *each) for each in calls]
            return list(dask.compute(*tasks))
        except BaseException as error:
            tell(error, "backward", "Dask", "not all")
            raise

    def first() -> list[float]:
        rows = dask.compute(*[x[:1] if is_lazy(x) else x for x in flat])
        return at(taken_apart(rows, "backward", constants).columns, 0)

    def columns(block: Any) -> Sequence[Any]:
        return list(taken_apart(dask.compute(*block), "backward", constants).columns)

    return size, compiled._sharded_by(own).sums(run, _blocks(flat), first, columns)


def _summed(token: str, blob: bytes, constants: Any, numbers: list[float], block: list[Any]) -> Any:
    columns = list(taken_apart(block, "backward", constants).columns)
    _, found = perform(token, blob, pickle.dumps([(numbers, columns)]))
    assert found is not None  # noqa: S101 (the work came along)
    return found[0]
