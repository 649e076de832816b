"""Dask arrays: every mode of a compiled function lazily, one task a chunk of the first axis."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import taken_apart
from tinygrad_scalar.compiler.results import returned
from tinygrad_scalar.compiler.storage import with_numbers
from tinygrad_scalar.workers import Work, perform, tell

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.compiled import Compiled
    from tinygrad_scalar.compiler.sharded import Sums

PAIRS = ("jvp", "hvp")  # modes of two tuples of arguments


def is_lazy(x: Any) -> bool:
    """Whether this is a Dask array."""
    arrays = sys.modules.get("dask.array")
    return arrays is not None and isinstance(x, arrays.Array)


def holds_lazy(args: Sequence[Any]) -> bool:
    """Whether a Dask array is among the arguments."""
    return "dask.array" in sys.modules and any(map(is_lazy, args))


def lazily(compiled: Compiled, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """What the mode gives, with a Dask array for every array; nothing is computed yet.

    Errors: ValueError for arrays of unknown chunks or other lengths, and without batches.
    """
    import dask
    import dask.array as da

    name = getattr(compiled, "__name__", "compile") + ("" if mode == "value" else f".{mode}")
    flat = _chunked([x for arg in args for x in arg] if mode in PAIRS else args, compiled, name)
    method = _Method(compiled, mode, len(args[0]) if mode in PAIRS else 0, options)
    template = method.template([_empty(x) for x in flat])
    size, function = len(_arrays(template)), dask.delayed(method, pure=False)
    compute = dask.delayed(_computed, nout=size, pure=False)
    tasks = [compute(function, each) for each in _blocks(flat)]
    lengths = next(x for x in flat if is_lazy(x)).chunks[0]
    found = [
        [
            da.from_delayed(task[k], (length, *empty.shape[1:]), dtype=empty.dtype)
            for task, length in zip(tasks, lengths, strict=True)
        ]
        for k, empty in enumerate(_arrays(template))
    ]
    return _filled(template, map(da.concatenate, found))


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
        args = (tuple(flat[:count]), tuple(flat[count:])) if self.mode in PAIRS else flat
        method = compiled if self.mode == "value" else getattr(compiled, self.mode)
        return method(*args, **self.options)

    def template(self, flat: list[Any]) -> Any:
        """Empty arrays in the structure of the results, which a trace at ones tells."""
        primals = flat[: self.count] if self.mode in PAIRS else flat
        call, own = self.compiled._prepared(primals, self.options)
        if not own.paths:
            try:
                own.traced_at([1.0] * sum(own.widths))
            except Exception:  # noqa: BLE001 (told when it is computed; until then one number)
                return self.called(flat)
        if self.mode not in ("value", "jvp"):
            return self.called(flat)
        import numpy as np

        path = own.paths[0]
        value = returned(path.tree, [np.empty(0, own.dtype) for _ in path.outputs], call)
        return (value, value) if self.mode == "jvp" else value


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
    lengths = next(x for x in flat if is_lazy(x)).chunks[0]
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
    delayed = [x.to_delayed().ravel() if is_lazy(x) else None for x in flat]
    count = max(len(each) for each in delayed if each is not None)
    pairs = list(zip(flat, delayed, strict=True))
    return [[x if each is None else each[k] for x, each in pairs] for k in range(count)]


def _empty(x: Any) -> Any:
    import numpy as np

    return np.empty((0, *x.shape[1:]), x.dtype) if is_lazy(x) else x


def _arrays(tree: Any) -> list[Any]:
    """The arrays of a structure, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return (
        [x for branch in tree for x in _arrays(branch)] if type(tree) in (list, tuple) else [tree]
    )


def _filled(tree: Any, arrays: Iterator[Any]) -> Any:
    """The structure with other arrays."""
    if isinstance(tree, dict):
        return {key: _filled(branch, arrays) for key, branch in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)([_filled(branch, arrays) for branch in tree])
    return next(arrays)


# ── backward ──────────────────────────────────────────────────────────────────────────────────
def sums_of_chunks(
    compiled: Compiled, args: Sequence[Any], options: dict[str, Any]
) -> tuple[int, Sums]:
    """How many points there are, and the sums of losses and gradients, chunk after chunk."""
    import dask

    flat = _chunked(args, compiled, "backward")
    size = len(next(x for x in flat if is_lazy(x)))
    if not size:
        raise ValueError("backward: the batch is empty, and the mean of no losses is undefined")
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
        columns = taken_apart(rows, "backward", constants).columns
        return [c if isinstance(c, float) else float(c[0]) for c in columns]

    return size, compiled._sharded_by(own).sums(run, _blocks(flat), first)


def _summed(
    token: str, blob: bytes, constants: Any, numbers: list[float], block: list[Any], settled: Any
) -> Any:
    columns = list(taken_apart(block, "backward", constants).columns)
    _, found = perform(token, blob, pickle.dumps([(numbers, columns, settled)]))
    assert found is not None  # noqa: S101 (the work came along)
    return found[0]
