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
    count = len(args[0]) if mode in PAIRS else 0
    template = _template(compiled, mode, [_empty(x) for x in flat], count, options)
    size, function = len(_arrays(template)), dask.delayed(_Travelling(compiled), pure=False)
    compute = dask.delayed(_computed, nout=size, pure=False)
    tasks = [compute(function, mode, each, count, options) for each in _blocks(flat)]
    lengths = next(x for x in flat if is_lazy(x)).chunks[0]
    found = [
        [
            da.from_delayed(task[k], (length, *empty.shape[1:]), dtype=empty.dtype)
            for task, length in zip(tasks, lengths, strict=True)
        ]
        for k, empty in enumerate(_arrays(template))
    ]
    return _filled(template, map(da.concatenate, found))


class _Travelling:
    """A compiled function on its way to a worker, with the numbers of the leaves closed over."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled

    def __reduce__(self) -> Any:
        return _Travelling, (with_numbers(self.compiled),)


def _computed(
    function: _Travelling, mode: str, flat: list[Any], count: int, options: dict[str, Any]
) -> tuple[Any, ...]:
    """The results of one chunk, in a row."""
    return tuple(_arrays(_called(function.compiled, mode, flat, count, options)))


def _called(
    compiled: Compiled, mode: str, flat: list[Any], count: int, options: dict[str, Any]
) -> Any:
    args = (tuple(flat[:count]), tuple(flat[count:])) if mode in PAIRS else flat
    return (compiled if mode == "value" else getattr(compiled, mode))(*args, **options)


def _template(
    compiled: Compiled, mode: str, flat: list[Any], count: int, options: dict[str, Any]
) -> Any:
    """Empty arrays in the structure of the results, which a trace at ones tells."""
    call, own = compiled._prepared(flat[:count] if mode in PAIRS else flat, options)
    if not own.paths:
        try:
            own.traced_at([1.0] * sum(own.widths))
        except Exception:  # noqa: BLE001 (told when it is computed; until then it is one number)
            return _called(compiled, mode, flat, count, options)
    if mode not in ("value", "jvp"):
        return _called(compiled, mode, flat, count, options)
    import numpy as np

    path = own.paths[0]
    value = returned(path.tree, [np.empty(0, compiled.dtype) for _ in path.outputs], call)
    return (value, value) if mode == "jvp" else value


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
