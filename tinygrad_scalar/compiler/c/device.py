"""The door to the device: CuPy's arrays from those of other libraries and back, streams, memory.

Only this module knows CuPy; without it, or without a device that answers, arrays of the device go
through their own library.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

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
    """Whether all arrays stand on a device, and their library does not follow what is done."""
    if xp is None or xp.__name__ not in LIBRARIES or not answers():
        return False
    return all(_on_device(x) and not _followed(x) for x in arrays)


def _on_device(x: Any) -> bool:
    try:
        return int(x.__dlpack_device__()[0]) == CUDA
    except Exception:  # noqa: BLE001 (a tracer of JAX, an array without DLPack)
        return False


def _followed(x: Any) -> bool:
    """Whether PyTorch records a graph of what is done to a tensor, or transforms it."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return False
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return (x.requires_grad and torch.is_grad_enabled()) or bool(wrapped(x))


@contextlib.contextmanager
def beside(x: Any) -> Iterator[None]:
    """On the device of an array, and on the stream that its library works on there."""
    import cupy

    number, stream = int(x.__dlpack_device__()[1]), contextlib.nullcontext()
    torch = sys.modules.get("torch")
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
    if xp is None or xp.__name__ == "cupy":
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
