"""A path as a CUDA kernel, and the door to the device that runs it: arrays, streams, memory.

A thread takes points one after another, for their outputs or sums. Only what stands behind the door
knows CuPy; without it, or without a device that answers, arrays of the device go through their own
library.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.c.body import Body, Places
from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.numbers.precision import loaded


class Column(NamedTuple):
    """Where a number of point k stands: `array[k * width + column]`; width 0 is for all points."""

    array: int
    column: int
    width: int


class Layout(NamedTuple):
    """Where inputs and outputs stand; None for the first outputs asks for sums over the points."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column | None, ...]


def columns(program: Program) -> Layout:
    """An array of its own for every input and output."""
    inputs = tuple(Column(k, 0, 1) for k in range(program.inputs))
    return Layout(inputs, tuple(Column(k, 0, 1) for k in range(len(program.outputs))))


_START, _STEP = "blockIdx.x * (long long)blockDim.x", "(long long)blockDim.x * gridDim.x"
_HEAD = """/* One path of a compiled function. Written by tinygrad_scalar. */
#ifndef INFINITY
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#define NAN __longlong_as_double(0x7ff8000000000000LL)
#endif
static __device__ bool same(REAL a, REAL b) { return a == b || (a != a && b != b); }
static __device__ long long least(long long a, long long b) { return a < b ? a : b; }
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
        self.sums = None in layout.outputs  # then all threads of a warp go through all lines
        self.ahead = range(len(layout.inputs) if len(layout.inputs) <= AHEAD else 0)

    def read(self, position: int) -> str:
        return f"x_{position}" if position in self.ahead else self.loaded(position, "k")

    def loaded(self, position: int, point: str) -> str:
        """An input of a point, from memory."""
        column = self.layout.inputs[position]
        return _at("x", column, str(column.column), point)

    def read_ahead(self, kind: str) -> list[str]:
        """Statements that have the inputs of the point `next` brought."""
        return [f"{kind}next_{i} = {self.loaded(i, 'next')};" for i in self.ahead]

    def read_at(self, positions: Sequence[int], index: str) -> str | None:
        return self._indexed("x", self.layout.inputs, positions, index)

    def written(self, position: int, value: str) -> str:
        column = self.layout.outputs[position]
        if column is None:
            return f"add(sums + {position}, live, {value});"
        return f"{self.alive()}{_at('y', column, str(column.column))} = {value};"

    def written_at(self, positions: Sequence[int], index: str, value: str) -> str | None:
        if all(self.layout.outputs[k] is None for k in positions):
            return f"add(sums + ({index}), live, {value});"
        place = self._indexed("y", self.layout.outputs, positions, index)
        return None if place is None else f"{self.alive()}{place} = {value};"

    def alive(self) -> str:
        """What goes before a statement that only a point on the path makes."""
        return "if (live) " if self.sums else ""

    @staticmethod
    def _indexed(
        name: str, found: Sequence[Column | None], positions: Sequence[int], index: str
    ) -> str | None:
        """Positions that go with the columns of one array; None for others."""
        first = found[positions[0]]
        if first is None:
            return None
        offset = first.column - positions[0]
        for k in positions:
            if found[k] != (first.array, k + offset, first.width):
                return None
        return _at(name, first, f"{offset} + ({index})" if offset else index)

    def guarded(self, fails: str) -> str:
        condition = f"live && {fails}" if self.sums else fails
        ending = "live = false;" if self.sums else "continue;"
        return (
            f"if ({condition}) if (!ALIKE) {{ atomicMin(first, (unsigned long long)k); {ending} }}"
        )

    def before_loop(self) -> list[str]:
        return ["#pragma unroll 1"]  # registers are worth more than what unrolling saves

    def settled(self) -> list[str]:
        return [f"{self.alive()}if (left) left[k] = 0;"]


def _at(name: str, column: Column, index: str, point: str = "k") -> str:
    if column.width == 0:
        return f"{name}{column.array}[{index}]"
    row = point if column.width == 1 else f"{point} * {column.width}"
    return (
        f"{name}{column.array}[{row}]" if index == "0" else f"{name}{column.array}[{row} + {index}]"
    )


def kernel_source(program: Program, layout: Layout, real: str) -> str:
    """The kernel `run(n, x0 …, p, point, left, first, y0 …, sums)`, without sums if there are none.

    `left` (or null) tells the points that are still wanted; where all guards hold it is made 0,
    and elsewhere `first` becomes the least such k. A point alike to `point` is on the path. What
    a thread reads for its next point is on its way while it works on this one.
    """
    places = _Kernel(layout, real)
    body = Body(program, places)
    pointers = [f"const {real} *__restrict__ x{i}" for i in _arrays(layout.inputs)]
    pointers += [f"const {real} *__restrict__ p", f"const {real} *__restrict__ point"]
    pointers += ["unsigned char *left", "unsigned long long *first"]
    pointers += [f"{real} *__restrict__ y{i}" for i in _arrays(layout.outputs)]
    pointers += ["double *sums"] if places.sums else []
    alike = " && ".join(
        ["point", *(f"same({places.read(k)}, point[{k}])" for k in range(len(layout.inputs)))]
    )
    head = (_HEAD + (_SUM if places.sums else "")).replace("REAL", real)
    tables = "".join(f"{line}\n" for line in body.declared_tables())
    lines = "\n".join([*_loop(places), *(f"  {line}" for line in body.lines), "}"])
    return (
        f"{head}#define ALIKE ({alike})\n{tables}"
        f'extern "C" __global__ void run(long long n, {", ".join(pointers)}) {{\n{lines}\n}}\n'
    )


def _loop(places: _Kernel) -> list[str]:
    """The beginning of the loop over the points of a thread."""
    summed = places.layout.outputs.count(None)
    return [
        *([f"sums += (blockIdx.x % {COPIES}) * {summed};"] if places.sums else []),
        f"long long next = least({_START} + threadIdx.x, n - 1);",
        *places.read_ahead(f"{places.real} "),
        f"for (long long base = {_START}; base < n; base += {_STEP}) {{",
        "  const long long k = least(base + threadIdx.x, n - 1);",
        "  bool live = base + threadIdx.x < n && !(left && !left[k]);",
        *(f"  const {places.real} x_{i} = next_{i};" for i in places.ahead),
        f"  next = least(k + {_STEP}, n - 1);",
        *(f"  {line}" for line in places.read_ahead("")),
        *([] if places.sums else ["  if (!live) continue;"]),
    ]


AHEAD = 16  # inputs at most that are read a point ahead: each takes registers
COPIES = 64  # of the sums, so that not all blocks add to the same ones


def _arrays(places: Sequence[Column | None]) -> list[int]:
    return sorted({column.array for column in places if column is not None})


CUDA = 2  # DLPack's number for memory of a CUDA device
BLOCK, BLOCKS = 64, 128  # threads; blocks for each multiprocessor: measured on an H100
LIBRARIES = ("cupy", "torch", "jax.numpy")


@functools.cache
def answers() -> bool:
    """Whether CuPy is installed and a device answers."""
    if not find_spec("cupy"):
        return False
    try:
        import cupy

        return int(cupy.cuda.runtime.getDeviceCount()) > 0
    except Exception:  # noqa: BLE001 (whatever the driver says, there is none to be used)
        return False


def takes(xp: Any, arrays: Sequence[Any]) -> bool:
    """Whether all arrays stand on a device, and are of a library whose memory is at hand."""
    if xp is None or xp.__name__ not in LIBRARIES or not answers():
        return False
    return all(map(_on_device, arrays))


def _on_device(x: Any) -> bool:
    try:
        return int(x.__dlpack_device__()[0]) == CUDA
    except Exception:  # noqa: BLE001 (a tracer of JAX, an array without DLPack)
        return False


@contextlib.contextmanager
def beside(x: Any) -> Iterator[None]:
    """On the device of an array, and on the stream that its library works on there."""
    import cupy

    number, stream = int(x.__dlpack_device__()[1]), contextlib.nullcontext()
    torch = loaded("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(number).cuda_stream, number)
    with cupy.cuda.Device(number), stream:
        yield


def taken(x: Any, dtype: str) -> Any:
    """An array of any library as a contiguous one of CuPy's, in place where it is that already."""
    import cupy

    if isinstance(x, cupy.ndarray):
        found = x
    else:
        found = cupy.from_dlpack(x.detach() if hasattr(x, "detach") else x)
    return cupy.ascontiguousarray(found, dtype)


def given_back(y: Any, xp: Any) -> Any:
    """An array of CuPy's in the caller's library, without a copy."""
    if xp.__name__ == "cupy":
        return y
    if xp.__name__ == "torch":
        return xp.from_dlpack(y)
    import jax

    return jax.dlpack.from_dlpack(y)


def compiled(source: str) -> Any:
    """A kernel's source as a function of the device. Errors: RuntimeError with NVRTC's words."""
    import cupy

    try:
        return cupy.RawModule(code=source, options=("--std=c++17",)).get_function("run")
    except cupy.cuda.compiler.CompileException as error:
        raise RuntimeError(f"the CUDA kernel could not be compiled: {error}") from error


def launch(run: Any, size: int, arguments: Sequence[Any]) -> None:
    """Run a kernel over so many points; null pointers for None."""
    import cupy
    import numpy as np

    blocks = min(-(-size // BLOCK), BLOCKS * _multiprocessors(cupy.cuda.Device().id))
    run(
        (blocks,),
        (BLOCK,),
        (np.int64(size), *[np.uint64(0) if a is None else a for a in arguments]),
    )


@functools.cache
def _multiprocessors(number: int) -> int:
    """Of a device, which CuPy asks for all of its attributes each time."""
    import cupy

    return int(cupy.cuda.Device(number).attributes["MultiProcessorCount"])


def room(shape: tuple[int, ...], dtype: str, each: int) -> Any:
    """Memory for results. MemoryError telling how many points fit, each of so many bytes."""
    import cupy

    try:
        return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        fitting = free() // max(each, 1)
        raise MemoryError(
            f"the results of {shape[0]:,} points need {each * shape[0]:,} bytes on the device, "
            f"which has {free():,} left: about {fitting:,} points fit; call in pieces, or with "
            'dtype="float32"'
        ) from error


def free() -> int:
    """Bytes of the device that can still be had."""
    import cupy

    pool = cupy.get_default_memory_pool()
    return int(cupy.cuda.Device().mem_info[0]) + int(pool.free_bytes())
