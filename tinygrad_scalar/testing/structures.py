"""Arrays in the arguments and results of a function that is checked, as lists of their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number


def is_array(x: Any) -> bool:
    """An array of one axis or more: of NumPy, or of whatever else gives its numbers as lists."""
    return bool(getattr(x, "ndim", 0)) and hasattr(x, "tolist")


def as_lists(tree: Any) -> Any:
    """The structure with a nested list for every array.

    >>> import numpy as np
    >>> as_lists({"w": np.ones((2, 1)), "b": (0.5,)})
    {'w': [[1.0], [1.0]], 'b': (0.5,)}
    """
    if is_array(tree):
        return tree.tolist()
    if isinstance(tree, dict):
        return {key: as_lists(branch) for key, branch in tree.items()}
    return again(tree, map(as_lists, tree)) if isinstance(tree, (list, tuple)) else tree


def as_arrays(like: Any, tree: Any) -> Any:
    """What `as_lists` made of `like`, with other numbers, as it was: arrays of objects."""
    if is_array(like):
        import numpy as np

        array = np.empty(like.shape, dtype=object)
        array[...] = tree
        return array
    if isinstance(like, dict):
        return {key: as_arrays(branch, tree[key]) for key, branch in like.items()}
    if isinstance(like, (list, tuple)):
        return again(like, map(as_arrays, like, tree))
    return tree


def again(like: Any, branches: Iterable[Any]) -> Any:
    """A list, tuple or named tuple of the branches."""
    return type(like)(*branches) if hasattr(like, "_fields") else type(like)(branches)


def outputs(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers and Values of a result, each with the subscripts that lead to it.

    Nothing where something else stands in it.

    >>> list(outputs([1.0, {"a": (2.0,)}]))
    [('[0]', 1.0), ("[1]['a'][0]", 2.0)]
    """
    tree = as_lists(tree)
    if isinstance(tree, (dict, list, tuple)):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, branch in pairs:
            yield from outputs(branch, f"{path}[{key!r}]")
    else:
        yield path, tree


def paths_of_outputs(result: Any) -> list[str]:
    """The paths where a result has several numbers; empty where it is anything else."""
    if not isinstance(as_lists(result), (dict, list, tuple)):
        return []
    found = list(outputs(result))
    several = all(
        (isinstance(y, Value) or is_number(y)) and y.__class__ is not bool for _, y in found
    )
    return [path for path, _ in found] if several else []
