"""Arrays of other libraries: the namespace with their functions, and the ways there and back.

A namespace is what the Array-API standard (https://data-apis.org/array-api) calls so: the module
with the functions for one kind of arrays. PyTorch has one without saying so.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.core.tree import leaves, rebuild
from tinygrad_scalar.numbers.precision import loaded

UNSAID = ("torch", "cupy")  # whose arrays may not name their namespace
NUMBERS = frozenset((float, int, bool))
# What libraries raise for the number of an array that is itself being traced or mapped.
UNKNOWN = (TypeError, RuntimeError, ValueError)


class RowColumn(NamedTuple):
    """A column of an (N, d) array, taken out of it where it is needed alone."""

    array: Any
    k: int


def namespace(x: Any) -> Any:
    """The module with the functions for an array; None for numbers and everything else."""
    numpy = loaded("numpy")
    if numpy is not None and x.__class__ is numpy.ndarray:
        return numpy if x.ndim else None
    if x.__class__ in NUMBERS or not hasattr(x, "ndim"):
        return None
    named = getattr(x, "__array_namespace__", None)
    if named is None:
        root = type(x).__module__.partition(".")[0]
        return sys.modules[root] if root in UNSAID else None
    xp = named()
    return xp if x.ndim or xp.__name__ != "numpy" else None  # a scalar of NumPy's is a number


def shared_namespace(args: Sequence[Any], name: str) -> Any:
    """The namespace of the arrays among the arguments; None for NumPy's, and if there are none.

    Errors: TypeError naming both, if there are two.
    """
    found: Any = None
    for i, arg in enumerate(args):
        if NUMBERS.issuperset(map(type, arg) if arg.__class__ is list else (type(arg),)):
            continue
        numbers = leaves(arg) if isinstance(arg, (list, tuple, dict)) else (arg,)
        for x in () if NUMBERS.issuperset(map(type, numbers)) else numbers:
            xp = namespace(x)
            if xp is None:
                continue
            found = found or xp
            if xp is not found:
                raise TypeError(
                    f"{name}: argument {i} is an array of {xp.__name__}, one before it of "
                    f"{found.__name__}; give arrays of one library"
                )
    return None if found is None or found.__name__ == "numpy" else found


def kind(x: Any) -> str:
    """The name of the type of an array's numbers: "float64", "int32", "bool"."""
    return _named(x.dtype.__class__, x.dtype)


@functools.lru_cache
def _named(_: Any, dtype: Any) -> str:  # types of two libraries are never compared
    # NumPy's are the same in any order of bytes; it takes ten microseconds to name them
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


def gives_single(arrays: Sequence[Any], dtype: str) -> bool:
    """Whether results are float32: where that is asked for, or all floating arrays are."""
    kinds = set(map(kind, arrays))
    return dtype == "float32" or ("float64" not in kinds and any("float" in name for name in kinds))


def converted(xp: Any, columns: Sequence[Any], dtype: str) -> tuple[list[Any], Any]:
    """Columns of one floating type, and an array of ones of the shape of the results.

    Their own type, float32 or float64, is kept where `dtype` is "float64"; whole numbers become
    what the library makes of a Python float.
    """
    columns = [c.array[:, c.k] if isinstance(c, RowColumn) else c for c in columns]
    arrays = [c for c in columns if not isinstance(c, float)]
    if gives_single(arrays, dtype):
        target = xp.float32
    else:
        target = xp.float64 if "float64" in map(kind, arrays) else xp.asarray(1.0).dtype
    columns = [c if isinstance(c, float) else typed(xp, c, target) for c in columns]
    largest = max((c for c in columns if not isinstance(c, float)), key=lambda c: c.ndim)
    return columns, xp.ones_like(largest)


def typed(xp: Any, x: Any, dtype: Any) -> Any:
    """An array with numbers of that type."""
    if x.dtype == dtype:
        return x
    return xp.astype(x, dtype) if hasattr(xp, "astype") else x.to(dtype)


def stacked(xp: Any, columns: Sequence[Any], *shape: int) -> Any:
    """Results in the last axes: an array of the shape of a column and then `shape`.

    Of the namespace, of NumPy's where that is None.
    """
    if xp is None:
        import numpy as np

        rows = np.ascontiguousarray(np.asarray(columns).T)
        return rows.reshape(len(rows), *shape)
    first = columns[0] if columns else None
    if isinstance(first, RowColumn):  # they stand side by side already
        return xp.reshape(first.array, (*first.array.shape[:1], *shape))
    together = xp.stack(list(columns), axis=-1)
    return xp.reshape(together, (*together.shape[:-1], *shape))


def arranged(tree: Any, columns: Sequence[Any], xp: Any = None) -> Any:
    """Columns in a structure; the arrays in it have the batch as their first axis."""

    def make(some: list[Any], shape: tuple[int, ...], **_: Any) -> Any:
        return stacked(xp, some, *shape)

    return rebuild(tree, iter(columns), make)


def number(x: Any) -> float | None:
    """The number in an array of one, None while it is being traced or mapped."""
    try:
        return float(x.detach() if hasattr(x, "detach") else x)
    except UNKNOWN:
        return None


def followed(x: Any) -> bool:
    """Whether PyTorch records what is done to a tensor, carries its slope along, or maps it."""
    torch = loaded("torch")
    if torch is None or not isinstance(x, torch.Tensor):
        return False
    if x.requires_grad and torch.is_grad_enabled():
        return True
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return bool(wrapped(x)) or torch.autograd.forward_ad.unpack_dual(x).tangent is not None


def readable(x: Any) -> bool:
    """Whether the numbers of an array can be read, and nothing is lost by it."""
    return not followed(x) and number(x[(0,) * x.ndim]) is not None


def holds_somewhere(xp: Any, mask: Any) -> bool:
    """Whether an array of truth values holds one that is true; TraceError while it is traced."""
    try:
        return bool(xp.any(mask))
    except UNKNOWN:
        raise unknown() from None


def unknown() -> TraceError:
    """What is raised where a branch would have to know a number that is itself being traced."""
    return TraceError(
        "the compiled function branches on its arguments, and inside a transformation (jax.jit, "
        "jax.vmap, torch.func) their numbers are not known: choose with where(condition, a, b) "
        "instead of if, or call it outside"
    )


def on_host(x: Any) -> Any:
    """An array of another library as one of NumPy's, without its gradient; else as it is."""
    xp = namespace(x)
    if xp is None or xp.__name__ == "numpy":
        return x
    import numpy as np

    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x if hasattr(np, kind(x)) else x.float()  # NumPy has no bfloat16
    return x.get() if hasattr(x, "get") else np.asarray(x)


def from_host(y: Any, sample: Any) -> Any:
    """An array of NumPy's as one of the library, type and device of a sample."""
    return namespace(sample).asarray(y, dtype=sample.dtype, device=sample.device)
