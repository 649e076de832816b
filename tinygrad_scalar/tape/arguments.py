"""Arguments of a compiled function: numbers and lists for one point, arrays for a batch of points.

The first axis of an array is the batch: (N,) is a batch of numbers, (N, d) of lists of d numbers.
What stands beside arrays is the same for every point.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.precision import is_number
from tinygrad_scalar.primitive import Carrier
from tinygrad_scalar.structure import leaves, like

Key = Any  # what the structure of an argument is known by


class Argument(NamedTuple):
    """One argument taken apart: its structure, and a number or a column per place in it."""

    key: Key
    tree: Any  # the structure to mirror, with anything in the places
    columns: Any  # a sequence of floats, or of arrays of one number per point
    rows: bool = False  # an (N, d) array, whose results are (N, d) too

    def mirrored(self, entries: Sequence[Any]) -> Any:
        """Results, one per place, in the structure of the argument."""
        if self.rows:
            import numpy as np

            return np.ascontiguousarray(np.asarray(entries).T)
        return like(self.tree, list(entries))


class Call(NamedTuple):
    """All arguments of a call: their common structure, columns, and the size of the batch."""

    arguments: list[Argument]
    key: Key
    columns: Sequence[Any]
    size: int | None  # None for a single point


def taken_apart(args: Sequence[Any], name: str = "compile") -> Call:
    """The arguments of a call, checked; TypeError or ValueError names the one that is wrong."""
    args = [as_numpy(arg) for arg in args]
    arguments = [argument(arg, f"{name}: argument {i}") for i, arg in enumerate(args)]
    if len(arguments) == 1:
        columns = arguments[0].columns
    else:
        columns = [column for one in arguments for column in one.columns]
    size: int | None = None
    for i in range(len(arguments)):
        length = _length(args[i])
        if length is None:
            continue
        if size is not None and length != size:
            raise ValueError(
                f"{name}: argument {i} has a batch of {length} points, one before it of {size}; "
                "the first axes of all arrays must agree"
            )
        size = length
    return Call(arguments, tuple(one.key for one in arguments), columns, size)


def _length(arg: Any) -> int | None:
    return int(arg.shape[0]) if is_array(arg) and arg.ndim else None


def has_carrier(args: Sequence[Any]) -> bool:
    """Whether a Value, Dual or Traced stands among the arguments."""
    for arg in args:
        if isinstance(arg, Carrier):
            return True
        if isinstance(arg, (list, tuple, dict)) and any(
            isinstance(x, Carrier) for x in leaves(arg)
        ):
            return True
    return False


def as_numpy(x: Any) -> Any:
    """Arrays of other libraries (JAX, PyTorch, CuPy, pandas) as NumPy's; anything else as it is."""
    if x.__class__ is float or not hasattr(x, "__array__") or not getattr(x, "ndim", 0):
        return x
    if is_array(x):
        return x
    import numpy as np

    return np.asarray(x)


def is_array(x: Any) -> bool:
    """Whether `x` is a NumPy array."""
    np = sys.modules.get("numpy")
    return np is not None and isinstance(x, np.ndarray)


def argument(arg: Any, what: str) -> Argument:
    """One argument taken apart; errors name it as `what`."""
    if arg.__class__ is float:
        return Argument(0, None, (arg,))
    if arg.__class__ is list:
        try:
            return Argument(("list", len(arg)), arg, array("d", arg))
        except (TypeError, ValueError):
            pass  # nested, or wrong: told below
    if is_array(arg):
        return _array(arg, what)
    if isinstance(arg, (list, tuple, dict)):
        numbers = [_number(leaf, what) for leaf in leaves(arg)]
        return Argument(_key(arg), arg, numbers)
    return Argument(0, None, (_number(arg, what),))


def _number(x: Any, what: str) -> float:
    if is_array(x) and x.ndim:
        raise TypeError(
            f"{what} is a list with arrays in it: give one (N, d) array, or a list of numbers"
        )
    if not is_number(x) and not (is_array(x) and x.dtype.kind in "biuf"):
        raise TypeError(
            f"{what}: give numbers, a list of numbers, or arrays of them, not {type(x).__name__}"
        )
    return float(x)


def _key(tree: Any) -> Key:
    if isinstance(tree, dict):
        return ("dict", *((key, _key(branch)) for key, branch in tree.items()))
    if isinstance(tree, (list, tuple)):
        name = "list" if isinstance(tree, list) else type(tree).__qualname__
        inner = [_key(branch) for branch in tree]
        return (name, len(inner)) if not any(inner) else (name, *inner)
    return 0


def _array(arg: Any, what: str) -> Argument:
    if arg.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} is an array of {arg.dtype}: give real numbers"
            + ("; are its rows of different lengths?" if arg.dtype.kind == "O" else "")
        )
    if arg.ndim == 0:
        return Argument(0, None, (float(arg),))
    if arg.ndim == 1:
        return Argument(0, None, (arg,))
    if arg.ndim > 2:
        raise ValueError(
            f"{what} has {arg.ndim} axes: give (N,), a batch of numbers, or (N, d), a batch of "
            "lists; array.reshape(len(array), -1) makes one"
        )
    import numpy as np

    width = arg.shape[1]
    columns = np.ascontiguousarray(arg.T, dtype=float)  # one pass over memory for all columns
    return Argument(("list", width), [0.0] * width, columns, rows=True)
