"""A path as a CUDA kernel: a thread takes points one after another, for their outputs or sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tinygrad_scalar.compiler.c.body import Body, Places
from tinygrad_scalar.compiler.ir.program import Program


class Column(NamedTuple):
    """Where a number of point k stands: `array[k * width + column]`; width 0 is for all points."""

    array: int
    column: int
    width: int


class Layout(NamedTuple):
    """Where inputs and outputs stand; without outputs their sums over the points are wanted."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] = ()


def columns(program: Program) -> Layout:
    """An array of its own for every input and output."""
    inputs = tuple(Column(k, 0, 1) for k in range(program.inputs))
    return Layout(inputs, tuple(Column(k, 0, 1) for k in range(len(program.outputs))))


_START, _STEP = "blockIdx.x * (long long)blockDim.x", "(long long)blockDim.x * gridDim.x"
_POINTS = f"for (long long k = {_START} + threadIdx.x; k < n; k += {_STEP}) {{"
_WARPS = f"for (long long base = {_START}; base < n; base += {_STEP}) {{"
_HEAD = """/* One path of a compiled function. Written by tinygrad_scalar. */
#ifndef INFINITY
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#define NAN __longlong_as_double(0x7ff8000000000000LL)
#endif
static __device__ bool same(REAL a, REAL b) { return a == b || (a != a && b != b); }
"""
_SUM = """static __device__ void add(double *sum, bool live, REAL value) {
  double total = live ? (double)value : 0.0;
  for (int offset = 16; offset; offset >>= 1) total += __shfl_xor_sync(0xffffffffu, total, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(sum, total);
}
"""


class _Kernel(Places):
    """Inputs and outputs by their columns; a point off the path is left for another kernel."""

    language, table = "cuda", "static __device__ const"

    def __init__(self, layout: Layout, real: str) -> None:
        self.layout, self.real = layout, real

    def read(self, position: int) -> str:
        return _at("x", self.layout.inputs[position], str(self.layout.inputs[position].column))

    def read_at(self, positions: Sequence[int], index: str) -> str | None:
        return self._indexed("x", self.layout.inputs, positions, index)

    def written(self, position: int, value: str) -> str:
        if not self.layout.outputs:
            return f"add(sums + {position}, live, {value});"
        column = self.layout.outputs[position]
        return f"{_at('y', column, str(column.column))} = {value};"

    def written_at(self, positions: Sequence[int], index: str, value: str) -> str | None:
        if not self.layout.outputs:
            return f"add(sums + ({index}), live, {value});"
        place = self._indexed("y", self.layout.outputs, positions, index)
        return None if place is None else f"{place} = {value};"

    @staticmethod
    def _indexed(
        name: str, found: Sequence[Column], positions: Sequence[int], index: str
    ) -> str | None:
        """Positions that go with the columns of one array; None for others."""
        first = found[positions[0]]
        offset = first.column - positions[0]
        for k in positions:
            if found[k] != (first.array, k + offset, first.width):
                return None
        return _at(name, first, f"{offset} + ({index})" if offset else index)

    def guarded(self, fails: str) -> str:
        alone = bool(self.layout.outputs)
        condition = fails if alone else f"live && {fails}"
        ending = "continue;" if alone else "live = false;"
        return (
            f"if ({condition}) if (!ALIKE) {{ atomicMin(first, (unsigned long long)k); {ending} }}"
        )

    def before_loop(self) -> list[str]:
        return ["#pragma unroll 1"]  # registers are worth more than what unrolling saves

    def settled(self) -> list[str]:
        return [f"if ({'' if self.layout.outputs else 'live && '}left) left[k] = 0;"]


def _at(name: str, column: Column, index: str) -> str:
    if column.width == 0:
        return f"{name}{column.array}[{index}]"
    row = "k" if column.width == 1 else f"k * {column.width}"
    return (
        f"{name}{column.array}[{row}]" if index == "0" else f"{name}{column.array}[{row} + {index}]"
    )


def kernel_source(program: Program, layout: Layout, real: str = "double") -> str:
    """The kernel `run(n, x0 …, p, point, left, first, y0 … or sums)`.

    `left` (or null) tells the points that are still wanted; where all guards hold it is made 0,
    and elsewhere `first` becomes the least such k. A point alike to `point` is on the path.
    """
    places = _Kernel(layout, real)
    body = Body(program, places)
    sums = not layout.outputs
    pointers = [f"const {real} *__restrict__ x{i}" for i in _arrays(layout.inputs)]
    pointers += [f"const {real} *__restrict__ p", f"const {real} *__restrict__ point"]
    pointers += ["unsigned char *left", "unsigned long long *first"]
    results = [f"{real} *__restrict__ y{i}" for i in _arrays(layout.outputs)]
    pointers += ["double *sums"] if sums else results
    alike = " && ".join(
        ["point", *(f"same({places.read(k)}, point[{k}])" for k in range(len(layout.inputs)))]
    )
    start = [_WARPS, "  long long k = base + threadIdx.x;", "  bool live = k < n;",
             "  if (!live) k = n - 1;", "  if (left && !left[k]) live = false;"]  # fmt: skip
    if not sums:
        start = [_POINTS, "  if (left && !left[k]) continue;"]
    head = (_HEAD + (_SUM if sums else "")).replace("REAL", real)
    tables = "".join(f"{line}\n" for line in body.declared_tables())
    lines = "\n".join([*start, *(f"  {line}" for line in body.lines), "}"])
    offset = f"sums += (blockIdx.x % COPIES) * {len(program.outputs)};\n" if sums else ""
    return (
        f"{head}#define COPIES {COPIES}\n#define ALIKE ({alike})\n{tables}"
        f'extern "C" __global__ void run(long long n, {", ".join(pointers)}) {{\n'
        f"{offset}{lines}\n}}\n"
    )


COPIES = 64  # of the sums, so that not all blocks add to the same ones


def _arrays(places: Sequence[Column]) -> list[int]:
    return sorted({column.array for column in places})


__all__ = ["COPIES", "Column", "Layout", "columns", "kernel_source"]
