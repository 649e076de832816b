"""What is held in memory, for all points of a batch at once: see `ir.memory`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.memory import SCATTER, TABLE, TAKE
from tinygrad_scalar.core.primitive import Primitive


def memory_of(xp: Any) -> dict[Primitive, Callable[..., Any]]:
    """The rows of memory over the arrays of a namespace."""
    if xp.__name__ == "numpy":
        return {TABLE: _stacked, TAKE: _taken, SCATTER: _scattered}
    return {  # by comparisons: other libraries have no gather in common
        TABLE: lambda *entries: functools.partial(_chosen, xp, entries),
        SCATTER: lambda _, *pairs: functools.partial(_summed, xp, pairs),
        TAKE: lambda i, held: held(i),
    }


def _places(i: Any, length: int) -> Any:
    """The entries that indices point to; 0 for what is no index."""
    import numpy as np

    return np.where((i >= 0) & (i < length), i, 0).astype(np.intp)


def _stacked(*entries: Any) -> Any:
    import numpy as np

    shape = np.broadcast_shapes(*map(np.shape, entries))
    held = np.empty((len(entries), *shape), getattr(entries[0], "dtype", float))
    for k, entry in enumerate(entries):
        held[k] = entry
    return held


def _taken(i: Any, held: Any) -> Any:
    import numpy as np

    places = _places(i, len(held))
    return held[places, np.arange(held.shape[1])] if held.ndim > 1 else held[places]


def _scattered(length: Any, *pairs: Any) -> Any:
    import numpy as np

    (size,) = shape = np.broadcast_shapes((1,), *map(np.shape, pairs))
    held, points = np.zeros((int(length), size)), np.arange(size)
    for i, term in zip(pairs[::2], pairs[1::2], strict=True):
        held[np.broadcast_to(_places(i, len(held)), shape), points] += term
    return held


def _chosen(xp: Any, entries: Sequence[Any], i: Any) -> Any:
    found = entries[0]
    for k, entry in enumerate(entries[1:], start=1):
        found = xp.where(i == float(k), entry, found)
    return found


def _summed(xp: Any, pairs: Sequence[Any], i: Any) -> Any:
    total = xp.zeros_like(i)
    for index, term in zip(pairs[::2], pairs[1::2], strict=True):
        total = total + xp.where(index == i, term, xp.zeros_like(term))
    return total
