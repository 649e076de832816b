"""A stand-in for CuPy on the host: arrays of NumPy's, kernels compiled as C++ and run in a loop."""

import ctypes
import itertools
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
from cuda_on_the_host import COMPILER, SHIM, launched

CUDA = 2  # DLPack's number for memory of a CUDA device
NUMBERS = itertools.count()


class ndarray(np.ndarray):  # noqa: N801 (CuPy's name)
    """An array that says it stands on a device."""

    def get(self):
        return np.array(self)

    def __dlpack_device__(self):
        return CUDA, 0

    def __array_namespace__(self):
        return sys.modules["cupy"]


class OutOfMemoryError(Exception):
    pass


class Device:
    """The only one."""

    id = 0
    attributes = types.MappingProxyType({"MultiProcessorCount": 1})

    def __init__(self, number=0):
        assert number == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def made(function):
    """A function of NumPy's that makes arrays, of arrays of the device."""
    return lambda *args, **options: function(*args, **options).view(ndarray)


def module(folder, memory):
    """The module, with kernels in a folder, and so many bytes of memory."""
    Device.mem_info = memory, memory

    class RawModule:
        def __init__(self, code, options):
            assert options == ("--std=c++17",)
            source = folder / f"{next(NUMBERS)}.cpp"
            source.write_text(SHIM + code)
            target = source.with_suffix(".so")
            command = [
                COMPILER,
                "-std=c++17",
                "-O0",
                "-w",
                "-shared",
                "-fPIC",
                source,
                "-o",
                target,
            ]
            subprocess.run(command, check=True)
            self.library, self.sums = ctypes.CDLL(str(target)), "double *sums" in code

        def get_function(self, name):
            assert name == "run"

            def run(blocks, threads, arguments):
                size, *arrays = arguments
                places = [a.ctypes.data_as(ctypes.c_void_p) if a.ndim else None for a in arrays]
                launched(self.library, [ctypes.c_longlong(int(size)), *places], self.sums)

            return run

    def empty(shape, dtype):
        numbers = np.full(shape, np.nan, dtype)
        if numbers.nbytes > memory:
            raise OutOfMemoryError
        return numbers.view(ndarray)

    runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.ndarray, cupy.RawModule, cupy.empty = ndarray, RawModule, empty
    for name in ("asarray", "ones", "zeros", "full", "ascontiguousarray", "stack", "ones_like"):
        setattr(cupy, name, made(getattr(np, name)))
    cupy.reshape, cupy.float64, cupy.float32 = np.reshape, np.float64, np.float32
    cupy.unique, cupy.add = np.unique, np.add
    cupy.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    memories = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    compilers = types.SimpleNamespace(CompileException=RuntimeError)
    cupy.cuda = types.SimpleNamespace(
        Device=Device, runtime=runtime, memory=memories, compiler=compilers
    )
    return cupy
