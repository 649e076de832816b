"""The CUDA source compiled as C++ for the host, where the threads of a grid run one by one."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np

from tinygrad_scalar.compiler.c.cuda import COPIES, Layout, columns, kernel_source

COMPILER = shutil.which("g++") or shutil.which("clang++")
NUMBERS = itertools.count()
SHIM = """
#include <cmath>
using namespace std;
#define __global__
#define __device__
#define __restrict__
static struct { unsigned x; } blockIdx, blockDim, gridDim, threadIdx;
extern "C" void become(unsigned block, unsigned thread, unsigned threads, unsigned blocks) {
  blockIdx.x = block, threadIdx.x = thread, blockDim.x = threads, gridDim.x = blocks;
}
static double __shfl_xor_sync(unsigned, double, int) { return 0.0; }
static void atomicAdd(double *sum, double x) { *sum += x; }
typedef unsigned long long index_type;
static void atomicMin(index_type *least, index_type k) { if (k < *least) *least = k; }
template <class T> static T normcdf(T x) { return erfc(-x * (T)0.7071067811865476) / 2; }
"""


BLOCKS, THREADS = 3, 4


def launched(library, arguments, sums):
    """Run all threads of a grid; where they add up, blocks of one thread: that is its own warp."""
    threads = 1 if sums else THREADS
    for block, thread in itertools.product(range(BLOCKS), range(threads)):
        library.become(block, thread, threads, BLOCKS)
        library.run(*arguments)


class HostKernel:
    """A kernel's source, run by a loop over all points."""

    def __init__(self, program, folder, layout=None, real="double", sums=False):
        self.layout = layout or columns(program)
        if sums:
            self.layout = Layout(self.layout.inputs, (None,) * len(program.outputs))
        self.sums, self.outputs = sums, len(program.outputs)
        self.dtype = np.float64 if real == "double" else np.float32
        source = folder / f"k{next(NUMBERS)}.cpp"
        source.write_text(SHIM + kernel_source(program, self.layout, real))
        target = source.with_suffix(".so")
        command = [COMPILER, "-std=c++17", "-O1", "-w", "-shared", "-fPIC", source, "-o", target]
        subprocess.run(command, check=True)
        self.library = ctypes.CDLL(str(target))

    def __call__(self, arrays, p=(), point=None, left=None):
        """The outputs (or their sums), and the first point that is left."""
        arrays = [np.ascontiguousarray(x, self.dtype) for x in arrays]
        size = max(len(x) for x in arrays)
        first = np.full(1, 2**63 - 1, np.uint64)
        numbers = np.asarray([*p, 0.0], self.dtype)
        if self.sums:
            results = [np.zeros((COPIES, self.outputs))]
        else:
            widths = {c.array: c.width for c in self.layout.outputs}
            results = [np.full((size, width), np.nan, self.dtype) for width in widths.values()]
        point = None if point is None else np.asarray(point, self.dtype)
        given = [*arrays, numbers, point, left, first, *results]
        pointers = [None if x is None else x.ctypes.data_as(ctypes.c_void_p) for x in given]
        launched(self.library, [ctypes.c_longlong(size), *pointers], self.sums)
        outputs = results[0].sum(axis=0) if self.sums else np.concatenate(results, axis=1)
        return outputs, int(first[0])
