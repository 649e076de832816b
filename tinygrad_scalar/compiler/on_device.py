"""A compiled function on arrays of the device: a kernel for each path, the points each is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import Call
from tinygrad_scalar.compiler.arrays.namespaces import RowColumn, is_single
from tinygrad_scalar.compiler.c import device
from tinygrad_scalar.compiler.c.body import NoFormulaError
from tinygrad_scalar.compiler.c.cuda import COPIES, Column, Layout, kernel_source
from tinygrad_scalar.compiler.paths import BACKWARD, Path, Request

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation

PER_NUMBER, WIDE = 32, 64  # bytes that are reckoned for a number, and numbers beside the inputs
NOWHERE = 2**63 - 1  # no point is left


def applies(call: Call) -> bool:
    """Whether a call's arrays are run by generated kernels."""
    return call.size is not None and device.takes(call.xp, _arrays_of(call.columns))


def _arrays_of(columns: Sequence[Any]) -> list[Any]:
    found: dict[int, Any] = {}
    for column in columns:
        if not isinstance(column, float):
            array = column.array if isinstance(column, RowColumn) else column
            found[id(array)] = array
    return list(found.values())


class Batch:
    """The columns of a call as arrays of CuPy's, and where each input stands in them."""

    def __init__(self, columns: Sequence[Any], size: int, dtype: str) -> None:
        import cupy

        sources = _arrays_of(columns)
        self.size, self.dtype = size, "float32" if is_single(sources, dtype) else "float64"
        self.arrays = [device.taken(x, self.dtype) for x in sources]
        number = {id(x): k for k, x in enumerate(sources)}
        alone = [c for c in columns if isinstance(c, float)]
        places, count = [], 0
        for column in columns:
            if isinstance(column, float):
                places.append(Column(len(sources), count, 0))
                count += 1
            elif isinstance(column, RowColumn):
                places.append(Column(number[id(column.array)], column.k, column.array.shape[1]))
            else:
                places.append(Column(number[id(column)], 0, 1 if column.ndim else 0))
        if alone:
            self.arrays.append(cupy.asarray(alone, self.dtype))
        self.inputs = tuple(places)

    def point(self, k: int) -> list[float]:
        """The coordinates of one point."""
        return [
            float(self.arrays[c.array].reshape(-1)[k * c.width + c.column]) for c in self.inputs
        ]


def evaluated(own: Specialisation, request: Request, call: Call) -> Any:
    """Some path, and the outputs: arrays of the caller's, or columns of one."""
    with device.beside(_arrays_of(call.columns)[0]):
        batch = Batch(call.columns, call.size or 0, own.dtype)
        path, results, groups = _results(own, request, call, batch)
        outputs: list[Any] = []
        for y, count in zip(results, groups, strict=True):
            array = device.given_back(y, call.xp)
            outputs += [RowColumn(array, k) for k in range(count)] if count else [array]
        return path, outputs


def _groups(own: Specialisation, request: Request, call: Call, count: int) -> list[int]:
    """The outputs that stand side by side in one array, how many; 0 for one that stands alone."""
    if not call.arguments or request.mode in ("hessian", "jacobian"):
        return [count]
    if request.mode in ("value", "jvp"):
        return [0] * count
    groups = [0] * request.values(1)
    for one in (call.arguments[i] for i in own.chosen):
        groups += [len(one.columns)] if one.rows else [0] * len(one.columns)
    return groups


def _results(own: Specialisation, request: Request, call: Call, batch: Batch) -> Any:
    size = batch.size
    if not own.paths:
        own.traced_at(batch.point(0))
    groups = _groups(own, request, call, len(own.paths[0].program(request).outputs))
    each = sum(count or 1 for count in groups) * (8 if batch.dtype == "float64" else 4)
    shapes = [(size, count) if count else (size,) for count in groups]
    results = [device.room(shape, batch.dtype, each) for shape in shapes]
    outputs = tuple(
        Column(k, column, count or 1)
        for k, count in enumerate(groups)
        for column in range(count or 1)
    )
    layout = Layout(batch.inputs, outputs)
    taken: Path | None = None
    for path, _ in _runs(own, request, batch, layout, lambda _: results):
        taken = taken or path
    return taken, results, groups


def sums(own: Specialisation, call: Call) -> tuple[float, list[tuple[Path, Any, Any]]]:
    """The sum of the loss over the batch, and the sums of the gradients for each path taken."""
    import cupy

    with device.beside(_arrays_of(call.columns)[0]):
        batch = Batch(call.columns, call.size or 0, own.dtype)

        def made(path: Path) -> list[Any]:
            if path.lookups:
                raise NoFormulaError("gradients of tables are added up on the host")
            return [cupy.zeros((COPIES, 1 + len(path.leaves)))]

        total, parts = 0.0, []
        for path, (found,) in _runs(own, BACKWARD, batch, Layout(batch.inputs), made):
            numbers = found.sum(axis=0).get()
            total += float(numbers[0])
            parts.append((path, numbers[1:], ()))
        return total, parts


def _runs(own: Specialisation, request: Request, batch: Batch, layout: Layout, made: Any) -> Any:
    """Run every path for the points that are left; give it and what `made` made for its results."""
    import cupy

    left: Any = None
    first: Any = None
    tried = place = 0
    while True:
        point = None
        if tried >= len(own.paths):
            coordinates = batch.point(place)
            path, new = own.traced_at(coordinates)
            point = cupy.asarray(coordinates, batch.dtype)
            tried = len(own.paths) if new else tried
        else:
            path = own.paths[tried]
            tried += 1
        if left is None and path.program(request).guards:
            left = cupy.ones(batch.size, "uint8")
        if left is not None:
            first = cupy.full(1, NOWHERE, "uint64")
        numbers = _numbers(path)
        parameters = cupy.asarray(numbers, batch.dtype) if numbers else None
        results = made(path)
        key = (request, layout, batch.dtype)
        run = own.once(path, key, _made, path, *key)
        device.launch(run, batch.size, [*batch.arrays, parameters, point, left, first, *results])
        yield path, results
        if left is None:
            return
        place = int(first.get()[0])
        if place >= NOWHERE:
            return


def _numbers(path: Path) -> list[float]:
    """What the kernel reads as parameters."""
    if not path.lookups:
        return list(path.parameters())
    return [float(leaf.data) for leaf in path.all_leaves()]


def _made(path: Path, request: Request, layout: Layout, dtype: str) -> Any:
    real = "double" if dtype == "float64" else "float"
    return device.compiled(kernel_source(path.program_in_memory(request), layout, real))


def host_batch(own: Specialisation, request: Request, call: Call) -> tuple[Path, Any]:
    """NumPy's columns on the device, in pieces that fit there; the outputs as an array (m, N)."""
    import cupy
    import numpy as np

    size, taken, parts = call.size or 0, None, []
    piece = max(1, device.free() // (PER_NUMBER * (len(call.columns) + WIDE)))
    for start in range(0, size, piece):
        rows = slice(start, min(size, start + piece))
        columns = [c if isinstance(c, float) else cupy.asarray(c[rows]) for c in call.columns]
        batch = Batch(columns, rows.stop - start, own.dtype)
        path, results, _ = _results(own, request, call._replace(arguments=[]), batch)
        taken = taken or path
        parts.append([y.reshape(rows.stop - start, -1).T.get() for y in results])
    assert taken is not None  # noqa: S101 (empty batches do not come here)
    return taken, np.concatenate([np.concatenate(part) for part in parts], axis=1)


__all__ = ["NoFormulaError", "applies", "evaluated", "host_batch", "sums"]
