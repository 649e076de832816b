"""Arguments and results that are lists, tuples, dicts and arrays of numbers: apart and together.

An array is one of NumPy's; a column or frame of pandas is read as one. Neither is imported here:
an array of theirs can only come in after its module was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.numbers.precision import loaded, number, unboxed, unlisted

_NUMBERS = frozenset((float, int, type(None)))


# ── apart ─────────────────────────────────────────────────────────────────────────────────────
def array_in(tree: Any) -> Any:
    """The NumPy array of one axis or more that `tree` is, or holds as pandas does; else None."""
    numpy = loaded("numpy")
    if numpy is None:
        return None
    if isinstance(tree, numpy.ndarray):
        if not tree.ndim:
            return None
        return tree if type(tree) is numpy.ndarray else _plain(tree)
    pandas = loaded("pandas")
    if pandas is not None and isinstance(tree, (pandas.Series, pandas.DataFrame, pandas.Index)):
        return tree.to_numpy()
    return None


def _plain(array: Any) -> Any:
    """An array of a class of its own as one of NumPy's: None, which is no number, where masked."""
    import numpy as np

    if np.ma.is_masked(array):
        return np.where(np.ma.getmaskarray(array), None, array.data)
    return np.asarray(array)


def by_position(things: Any) -> Any:
    """A column or frame of pandas as an array, so that [i] is row i and no label; else as it is."""
    array = array_in(things)
    return things if array is None else array


def is_structure(tree: Any) -> bool:
    """Whether this is a list, tuple, dict or array of numbers, and not one number."""
    return isinstance(tree, (list, tuple, dict)) or array_in(tree) is not None


def holds_array(tree: Any) -> bool:
    """Whether an array stands in a list, tuple or dict."""
    branches = _branches(tree)
    if branches is None:
        return array_in(tree) is not None
    return not _NUMBERS.issuperset(map(type, branches)) and any(map(holds_array, branches))


def leaves(tree: Any) -> list[Any]:
    """The numbers of a structure in order: by position, dicts by insertion, arrays row by row."""
    if isinstance(tree, (list, tuple)) and _NUMBERS.issuperset(map(type, tree)):  # as most lists
        return list(tree)
    if tree.__class__ is float or isinstance(tree, Carrier):
        return [tree]
    branches = _branches(tree)
    if branches is not None:
        return [leaf for branch in branches for leaf in leaves(branch)]
    array = array_in(tree)
    return [unboxed(tree)] if array is None else _numbers_of(array)


def _branches(tree: Any) -> Sequence[Any] | None:
    """What stands in a list, tuple or dict; None for anything else."""
    if isinstance(tree, dict):
        return list(tree.values())
    return tree if isinstance(tree, (list, tuple)) else None


def _numbers_of(array: Any) -> list[Any]:
    """The numbers of an array as Python's, a float32 as NumPy's, which is carried as it is."""
    return list(array.ravel()) if _is_single(array) else array.ravel().tolist()


def _is_single(array: Any) -> bool:
    return array.dtype.char == "f"  # type: ignore[no-any-return]


def placed(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a structure, each with the subscripts that lead to it.

    >>> list(placed([1.0, {"a": (2.0,)}]))
    [('[0]', 1.0), ("[1]['a'][0]", 2.0)]
    """
    tree = as_lists(tree)
    if not isinstance(tree, (list, tuple, dict)):
        yield path, tree
        return
    for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from placed(branch, f"{path}[{key!r}]")


# ── together ──────────────────────────────────────────────────────────────────────────────────
def _again(tree: Any, branches: list[Any]) -> Any:
    """The same list, tuple, named tuple or dict of other branches."""
    if isinstance(tree, dict):
        return dict(zip(tree, branches, strict=True))
    if isinstance(tree, list):
        return branches
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)


def as_lists(tree: Any) -> Any:
    """The structure with a nested list for every array.

    >>> import numpy as np
    >>> as_lists({"w": np.ones((2, 1)), "b": (0.5,)})
    {'w': [[1.0], [1.0]], 'b': (0.5,)}
    """
    branches = _branches(tree)
    if branches is not None:
        return _again(tree, [as_lists(branch) for branch in branches])
    array = array_in(tree)
    if array is None:
        return tree
    return _numbers_of(array) if array.ndim == 1 else [as_lists(row) for row in array]


def rebuild(tree: Any, values: Iterator[Any], make: Callable[..., Any] | None = None) -> Any:
    """The structure of `tree` with its numbers taken from `values`; `make` makes its arrays."""
    if tree.__class__ is float:
        return next(values)
    if isinstance(tree, list) and _NUMBERS.issuperset(map(type, tree)):  # as most lists
        return list(islice(values, len(tree)))
    branches = _branches(tree)
    if branches is not None:
        return _again(tree, [rebuild(branch, values, make) for branch in branches])
    array = array_in(tree)
    if array is None:
        return next(values)
    numbers = list(islice(values, array.size))
    return (make or array_of)(numbers, array.shape, single=_is_single(array))


def array_of(values: list[Any], shape: tuple[int, ...], *, single: bool = False) -> Any:
    """An array of plain numbers, in `single` precision if asked for; of anything else as it is."""
    import numpy as np

    kinds = set(map(type, values))
    if kinds <= {float, int, bool, np.float64, np.float32}:
        single = single or (np.float32 in kinds and np.float64 not in kinds)
        return np.array(values, np.float32 if single else np.float64).reshape(shape)
    return np.fromiter(values, object, len(values)).reshape(shape)


def like(tree: Any, values: Sequence[Any]) -> Any:
    """`rebuild` from a list.

    >>> like([1.0, {"b": (2.0,)}], [10, 20])
    [10, {'b': (20,)}]
    """
    return rebuild(tree, iter(values))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The structure with the function of every number."""
    return like(tree, [function(leaf) for leaf in leaves(tree)])


def each(function: Callable[[Any], Any], tree: Any) -> Any:
    """The structure with the function of what stands in lists, tuples and dicts, arrays whole."""
    branches = _branches(tree)
    if branches is None:
        return function(tree)
    return _again(tree, [each(function, branch) for branch in branches])


def nested(outside: Any, inside: Any, rows: Sequence[Sequence[Any]]) -> Any:
    """One structure within another, as a Jacobian has the inputs within the outputs.

    `rows` holds, for every number of `outside`, one for every number of `inside`. Where one of the
    two is an array, and the other an array, a number, or a flat list or tuple, the result is one
    array with the axes of both; all other containers stay, and hold such arrays.

    >>> import numpy as np
    >>> nested([1, 2], {"a": 0.0}, [[10], [20]])
    [{'a': 10}, {'a': 20}]
    >>> nested(np.zeros(2), {"a": 0.0, "b": np.zeros(1)}, [[10, 11], [20, 21]])
    {'a': array([10., 20.]), 'b': array([[11.],
           [21.]])}
    """
    if not is_structure(outside):
        return like(inside, rows[0])
    arrays = [array_in(outside), array_in(inside)]
    axes = _axes(outside), _axes(inside)
    if any(array is not None for array in arrays) and None not in axes:
        numbers, single = [x for row in rows for x in row], arrays[1] is not None
        single = single and _is_single(arrays[1])
        return array_of(numbers, axes[0] + axes[1], single=single)  # type: ignore[operator]
    start, found = 0, []
    branches, inner = _branches(outside), _branches(inside)
    if branches is not None:
        for branch in branches:
            end = start + len(leaves(branch))
            found.append(nested(branch, inside, rows[start:end]))
            start = end
        return _again(outside, found)
    for branch in inner or ():
        end = start + len(leaves(branch))
        found.append(nested(outside, branch, [row[start:end] for row in rows]))
        start = end
    return _again(inside, found)


def _axes(tree: Any) -> tuple[int, ...] | None:
    """The axes that a structure has in an array: one for a flat list or tuple; None for none."""
    array = array_in(tree)
    if array is not None:
        return array.shape  # type: ignore[no-any-return]
    if tree.__class__ in (list, tuple):
        return None if any(map(is_structure, tree)) else (len(tree),)
    return None if is_structure(tree) else ()


# ── checked ───────────────────────────────────────────────────────────────────────────────────
def is_word(x: Any, words: Collection[str | None]) -> bool:
    """Whether `x` is one of these words, or None where that is one; an array is none."""
    return (x is None or isinstance(x, str)) and x in words


def check_word(x: Any, what: str, words: Collection[str | None]) -> None:
    """ValueError unless `x` is one of these words."""
    if not is_word(x, words):
        raise ValueError(f"{what} is one of {', '.join(map(repr, words))}, not {x!r}")


def carried(leaf: Any, what: str) -> Any:
    """One number of an argument as it is carried; a TypeError names the argument."""
    if isinstance(leaf, Carrier):
        return leaf.resolved()
    try:
        return number(leaf)
    except (TypeError, OverflowError) as error:
        listed = ", or lists, tuples, dicts or arrays of these" * unlisted(leaf)
        raise type(error)(f"{what}: {error}{listed}") from None


def carried_leaves(tree: Any, what: str) -> list[Any]:
    """All numbers of an argument as they are carried; a TypeError names argument and place."""
    found = leaves(tree)
    if set(map(type, found)) == {float}:  # as most
        return found
    try:
        return [carried(leaf, what) for leaf in found]
    except (TypeError, OverflowError):
        for path, leaf in placed(tree):
            carried(leaf, f"{what}: at {path}" if path else what)
        raise


def aligned(tree: Any, other: Any, what: str) -> list[Any]:
    """The numbers of `other` in the order of `tree`, dicts by key; ValueError if they differ.

    A list of the same shape stands for an array, and an array for a list.
    """
    tree, other = as_lists(tree), as_lists(other)
    if not same_structure(tree, other):
        raise ValueError(f"{what} has another structure; give a number for every number")
    return _in_order(tree, other)


def _in_order(tree: Any, other: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [x for key, branch in tree.items() for x in _in_order(branch, other[key])]
    if isinstance(tree, (list, tuple)):
        return [x for pair in zip(tree, other, strict=True) for x in _in_order(*pair)]
    return [unboxed(other)]


def same_structure(a: Any, b: Any) -> bool:
    """Whether two structures have the same containers, keys, lengths and axes."""
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and a.keys() == b.keys()
            and all(same_structure(x, b[key]) for key, x in a.items())
        )
    if isinstance(a, (list, tuple)):
        return (
            isinstance(b, (list, tuple))
            and len(a) == len(b)
            and all(same_structure(x, y) for x, y in zip(a, b, strict=True))
        )
    arrays = [array_in(a), array_in(b)]
    if arrays[0] is not None and arrays[1] is not None:
        return arrays[0].shape == arrays[1].shape  # type: ignore[no-any-return]
    return not is_structure(a) and not is_structure(b)
