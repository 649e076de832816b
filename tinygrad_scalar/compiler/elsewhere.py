"""A batch in arrays that are not NumPy's: every path for the points that are left for it.

On a device a path is a kernel, which says for which points it was not the right one. In the arrays
of another library it runs on all points, and results are chosen by masks: only whether some point
is left, and the numbers of one such point, are read from them; all else stays where it is, on its
device and in its library's graph or trace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from tinygrad_scalar.compiler.arguments import Call
from tinygrad_scalar.compiler.arrays.kernel import Kernel
from tinygrad_scalar.compiler.arrays.namespaces import (
    RowColumn,
    converted,
    followed,
    gives_single,
    holds_somewhere,
    number,
    typed,
    unknown,
)
from tinygrad_scalar.compiler.c import cuda
from tinygrad_scalar.compiler.c.body import NoFormulaError
from tinygrad_scalar.compiler.c.cuda import Column, Layout, kernel_source
from tinygrad_scalar.compiler.closed_over import numbers_in, places_of
from tinygrad_scalar.compiler.ir.tape import INPUT
from tinygrad_scalar.compiler.machine.slots import Slots
from tinygrad_scalar.compiler.paths import MATRICES, Path, values_of
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.value import Value

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation


def evaluated(own: Specialisation, mode: str, call: Call) -> tuple[Path, list[Any]]:
    """Some path, and the outputs of all points: arrays of the caller's, or columns of one.

    By kernels where the arrays are on a device and all rows can be written.
    """
    if own.settings["engine"] in (None, "cuda") and on_device(call):
        with suppress(NoFormulaError):  # its namespace has the row, or the host
            return _by_kernels(own, mode, call)
    return _by_masks(own, mode, call)


# ── in another library ────────────────────────────────────────────────────────────────────────
def _by_masks(own: Specialisation, mode: str, call: Call) -> tuple[Path, list[Any]]:
    xp = call.xp
    columns, ones = converted(xp, call.columns, own.dtype)
    everyone = left = ones == ones  # noqa: PLR0124
    results: list[Any] = []
    place: Any = 0 if ones.ndim else ()  # of the first point that is left

    def point() -> list[Any]:
        nonlocal place
        if left is not everyone and ones.ndim:
            place = int(xp.argmax(xp.where(left, ones, 0 * ones)))
        return [_number(c, place) for c in columns]

    for path, fresh in own.in_turn(point):
        if fresh:
            seen: list[Any] = path.recording.point
            path.recording.point = [math.nan if isinstance(x, Unknown) else x for x in seen]
        key = (mode, xp.__name__)
        kernel: Kernel = own.once(path, key, Kernel, path.program(mode), own.dtype, xp)
        given = _complete(own, path, columns, ones, xp)
        outputs, held = kernel.everywhere(given, path.parameters(), ones)
        if held is None and not results:
            return path, outputs
        held = everyone if held is None else everyone & held
        if fresh and not holds_somewhere(xp, held[place]):
            held = held | _alike(columns, place, everyone)  # the engine's rounding turned a guard
        here = left & held
        pairs = zip(outputs, results or outputs, strict=True)
        results = [xp.where(here, new, old) for new, old in pairs]
        left = left & ~held
        if not holds_somewhere(xp, left):
            break
    return path, results


def _complete(own: Specialisation, path: Path, columns: list[Any], ones: Any, xp: Any) -> list[Any]:
    """The columns, and behind the inputs what they look up: of whole tables, on their device."""
    full = columns[: path.inputs]
    for one in path.lookups:
        row, operands = path.recording.tape.code[one.line]
        if row is INPUT:
            index = full[operands[0]]
        else:
            key = (one.line, xp.__name__)
            kernel = own.once(path, key, _index_kernel, path, one.line, own.dtype, xp)
            ((index,), _) = kernel.everywhere(full, path.parameters(), ones)
        if isinstance(index, float):
            full += [float(leaf.data) for leaf in one.table.at(index)]
            continue
        numbers = one.table.numbers(range(len(one.table)))
        inside = (index >= 0) & (index < len(one.table))
        places = typed(xp, xp.where(inside, index, 0 * ones), xp.int64)
        for column in numbers.T:
            whole = xp.asarray(column.tolist(), dtype=ones.dtype, device=ones.device)
            full.append(xp.reshape(xp.take(whole, xp.reshape(places, (-1,))), places.shape))
    return [*full, *columns[path.inputs :]]


def _index_kernel(path: Path, line: int, dtype: str, xp: Any) -> Kernel:
    return Kernel(path.index_program(line), dtype, xp)


# ── one point of the batch ────────────────────────────────────────────────────────────────────
def _number(column: Any, place: Any) -> Any:
    """A coordinate of the point; Unknown while it is being traced or mapped."""
    if isinstance(column, float):
        return column
    found = number(column[place] if column.ndim else column)
    return Unknown() if found is None else found


def _alike(columns: list[Any], place: Any, everyone: Any) -> Any:
    """Which points have the coordinates of this one."""
    alike = everyone
    for column in columns:
        if not isinstance(column, float) and column.ndim:
            x = column[place]
            alike = alike & ((column == x) | ((column != column) & (x != x)))  # noqa: PLR0124
    return alike


class Unknown(Arithmetic):
    """A number that nobody knows yet: to ask for it, as a branch does, is a TraceError."""

    __slots__ = ()
    level = 9.0

    def apply(self, *_: Any) -> NoReturn:
        """Refused."""
        raise unknown()

    def _refuse(self, *_: Any) -> NoReturn:
        raise unknown()

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = object.__hash__


# ── on a device ───────────────────────────────────────────────────────────────────────────────
PER_NUMBER, WIDE = 32, 64  # bytes that are reckoned for a number, and numbers beside the inputs
NOWHERE = 2**63 - 1  # no point is left


def on_device(call: Call) -> bool:
    """Whether a call's arrays are run by generated kernels."""
    arrays = _arrays_of(call.columns)
    return bool(call.size) and cuda.takes(call.xp, arrays) and not any(map(followed, arrays))


def _arrays_of(columns: Sequence[Any]) -> list[Any]:
    """The arrays that columns are, or stand in, each once."""
    arrays = [x.array if isinstance(x, RowColumn) else x for x in columns]
    return list({id(x): x for x in arrays if not isinstance(x, float)}.values())


class Batch:
    """The columns of a call as arrays of CuPy's, and where each input stands in them."""

    def __init__(self, columns: Sequence[Any], size: int, dtype: str) -> None:
        import cupy

        sources = _arrays_of(columns)
        self.size, self.dtype = size, "float32" if gives_single(sources, dtype) else "float64"
        self.itemsize = 8 if self.dtype == "float64" else 4
        self.arrays = [cuda.taken(x, self.dtype) for x in sources]
        number = {id(x): k for k, x in enumerate(sources)}
        places, alone = list[Column](), list[float]()
        for column in columns:
            if isinstance(column, float):
                places.append(Column(len(sources), len(alone), 0))
                alone.append(column)
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


def _by_kernels(own: Specialisation, mode: str, call: Call) -> tuple[Path, list[Any]]:
    with cuda.beside(_arrays_of(call.columns)[0]):
        batch = Batch(call.columns, call.size or 0, own.dtype)
        path, results = _results(own, mode, call, batch)
        outputs: list[Any] = []
        for y in results:
            array = cuda.given_back(y, call.xp)
            outputs += [RowColumn(array, k) for k in range(y.shape[1])] if y.ndim > 1 else [array]
        return path, outputs


def _axes(own: Specialisation, mode: str, call: Call, count: int) -> list[tuple[int, ...]]:
    """The axes of results behind that of the points: one where outputs stand side by side."""
    if not call.arguments or mode in MATRICES:
        return [(count,)]
    if mode in ("value", "jvp"):
        return [()] * count
    axes: list[tuple[int, ...]] = [()] * values_of(mode, 1)
    for one in (call.arguments[i] for i in own.chosen):
        width = len(one.columns)
        axes += [(width,)] if one.rows else [()] * width
    return axes


def _results(own: Specialisation, mode: str, call: Call, batch: Batch) -> Any:
    """Some path, and the arrays of the results."""
    if not own.paths:
        own.traced_at(batch.point(0))
    axes = _axes(own, mode, call, len(own.paths[0].program(mode).outputs))
    widths = list(map(math.prod, axes))
    each = sum(widths) * batch.itemsize
    results = [cuda.room((batch.size, *behind), batch.dtype, each) for behind in axes]
    outputs = [Column(k, i, width) for k, width in enumerate(widths) for i in range(width)]
    layout = Layout(batch.inputs, tuple(outputs))
    (path, _), *_ = _runs(own, mode, batch, lambda *_: layout, lambda *_: results)
    return path, results


def sums(own: Specialisation, call: Call) -> tuple[float, list[tuple[Path, Any, Any]]] | None:
    """The sum of the loss over the batch, and the sums of the gradients for each path taken.

    None where the arrays are on no device, or code for it cannot add the gradients up.
    """
    if not on_device(call):
        return None
    total, parts = 0.0, []
    with suppress(NoFormulaError), cuda.beside(_arrays_of(call.columns)[0]):
        batch = Batch(call.columns, call.size or 0, own.dtype)
        for path, (*each, found) in _runs(own, "backward", batch, _summed, _zeros):
            numbers = found.sum(axis=0).get()
            total += float(numbers[0])
            parts.append((path, numbers[1:], _scattered(path, *each) if each else ()))
        return total, parts
    return None


def _summed(path: Path, batch: Batch) -> Layout:
    """The loss and the leaves' gradients are summed; others stay as they are, with their places."""
    fetched, lookups = path.width - path.inputs, len(path.lookups)
    slopes = [Column(0, k, fetched) for k in range(fetched)]
    places = [Column(1, k, lookups) for k in range(lookups)]
    return Layout(batch.inputs, ((None,) * (1 + len(path.leaves)) + (*slopes, *places)))


def _zeros(path: Path, batch: Batch) -> list[Any]:
    """Memory for these: what no point on the path writes adds nothing, nowhere."""
    import cupy

    sums = cupy.zeros((cuda.COPIES, 1 + len(path.leaves)))
    if not path.lookups:
        return [sums]
    widths = path.width - path.inputs, len(path.lookups)
    each = sum(widths) * batch.itemsize
    slopes, places = (cuda.room((batch.size, width), batch.dtype, each) for width in widths)
    slopes.fill(0.0)
    places.fill(-1.0)
    return [slopes, places, sums]


def _scattered(path: Path, slopes: Any, places: Any) -> list[tuple[Any, Any]]:
    """For each lookup the rows that its points reach, and the sums of their gradients."""
    import cupy

    found = []
    for k, one in enumerate(path.lookups):
        start = one.position - path.inputs
        slope = slopes[:, start : start + one.table.count]
        rows, row_of = cupy.unique(places[:, k], return_inverse=True)
        total = cupy.zeros((len(rows), one.table.count))
        cupy.add.at(total, row_of.ravel(), slope.astype("float64"))
        rows, total = rows.get(), total.get()
        found.append((rows[rows >= 0.0], total[rows >= 0.0]))
    return found


def _runs(own: Specialisation, mode: str, batch: Batch, laid_out: Any, made: Any) -> Any:
    """Run every path for the points that are left; give it and what `made` made for its results.

    `laid_out` gives the layout of a path.
    """
    import cupy

    left: Any = None
    first: Any = None
    place = 0

    def first_left() -> list[float]:
        return batch.point(place)

    for path, fresh in own.in_turn(first_left):
        point = cupy.asarray(first_left(), batch.dtype) if fresh else None
        if left is None and path.program(mode).guards:
            left = cupy.ones(batch.size, "uint8")
        if left is not None:
            first = cupy.full(1, NOWHERE, "uint64")
        leaves, slots = own.once(path, ("leaves", "cuda"), _all_leaves, path)
        numbers = numbers_in(leaves, slots)
        parameters = cupy.asarray(numbers, batch.dtype) if leaves else None
        results = made(path, batch)
        key = (mode, laid_out(path, batch), batch.dtype)
        run = own.once(path, key, _made, path, leaves, *key)
        cuda.launch(run, batch.size, [*batch.arrays, parameters, point, left, first, *results])
        yield path, results
        if left is None:
            return
        place = int(first.get()[0])
        if place >= NOWHERE:
            return


def _all_leaves(path: Path) -> tuple[list[Value], Slots | None]:
    leaves = path.all_leaves()
    return leaves, Slots.of(leaves)


def _made(path: Path, leaves: Sequence[Value], mode: str, layout: Layout, dtype: str) -> Any:
    program = path.program_in_memory(mode, places_of(leaves))
    real = "double" if dtype == "float64" else "float"
    return cuda.compiled(kernel_source(program, layout, real))


def host_batch(own: Specialisation, mode: str, call: Call) -> tuple[Path, Any]:
    """NumPy's columns on the device, in pieces that fit there; the outputs as an array (m, N)."""
    import cupy
    import numpy as np

    size, parts = call.size or 0, []
    piece = max(1, cuda.free() // (PER_NUMBER * (len(call.columns) + WIDE)))
    for start in range(0, size, piece):
        rows = slice(start, min(size, start + piece))
        columns = [c if isinstance(c, float) else cupy.asarray(c[rows]) for c in call.columns]
        batch = Batch(columns, rows.stop - start, own.dtype)
        path, results = _results(own, mode, call._replace(arguments=[]), batch)
        parts.append([y.reshape(rows.stop - start, -1).T.get() for y in results])
    return path, np.concatenate([np.concatenate(part) for part in parts], axis=1)
