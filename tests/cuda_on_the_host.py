"""The CUDA source compiled as C++ for the host: one thread, which is block, warp and grid."""

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
static const struct { long long x; } blockIdx = {0}, blockDim = {1}, gridDim = {1};
static const struct { int x; } threadIdx = {0};
static double __shfl_xor_sync(unsigned, double, int) { return 0.0; }
static void atomicAdd(double *sum, double x) { *sum += x; }
typedef unsigned long long index_type;
static void atomicMin(index_type *least, index_type k) { if (k < *least) *least = k; }
template <class T> static T normcdf(T x) { return erfc(-x * (T)0.7071067811865476) / 2; }
"""


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
        self.run = ctypes.CDLL(str(target)).run

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
        self.run(ctypes.c_longlong(size), *pointers)
        outputs = results[0].sum(axis=0) if self.sums else np.concatenate(results, axis=1)
        return outputs, int(first[0])
