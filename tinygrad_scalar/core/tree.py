"""Arguments and results that are lists, tuples and dicts of numbers: apart and together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.numbers.precision import number

_NUMBERS = frozenset((float, int, type(None)))


def leaves(tree: Any) -> list[Any]:
    """The numbers of a structure, in order: lists and tuples by position, dicts by insertion."""
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    return [tree]


def rebuild(tree: Any, values: Iterator[Any]) -> Any:
    """The structure of `tree` with its numbers taken from `values`."""
    if isinstance(tree, dict):
        return {key: rebuild(branch, values) for key, branch in tree.items()}
    if isinstance(tree, list):
        if _NUMBERS.issuperset(map(type, tree)):  # as most lists
            return list(islice(values, len(tree)))
        return [rebuild(branch, values) for branch in tree]
    if isinstance(tree, tuple):
        branches = [rebuild(branch, values) for branch in tree]
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    return next(values)


def like(tree: Any, values: Sequence[Any]) -> Any:
    """`rebuild` from a list.

    >>> like([1.0, {"b": (2.0,)}], [10, 20])
    [10, {'b': (20,)}]
    """
    return rebuild(tree, iter(values))


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The structure with the function of every number."""
    return like(tree, [function(leaf) for leaf in leaves(tree)])


def carried(leaf: Any, what: str) -> Any:
    """One number of an argument as it is carried; a TypeError names the argument."""
    if isinstance(leaf, Carrier):
        return leaf.resolved()
    try:
        return number(leaf)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None


def aligned(tree: Any, other: Any, what: str) -> list[Any]:
    """The numbers of `other` in the order of `tree`, dicts by key; ValueError if they differ."""
    if not same_structure(tree, other):
        raise ValueError(f"{what} has another structure; give a number for every number")
    if isinstance(tree, dict):
        return [x for key, branch in tree.items() for x in aligned(branch, other[key], what)]
    if isinstance(tree, (list, tuple)):
        pairs = zip(tree, other, strict=True)
        return [x for branch, twin in pairs for x in aligned(branch, twin, what)]
    return [other]


def same_structure(a: Any, b: Any) -> bool:
    """Whether two structures have the same containers, keys and lengths."""
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
    return not isinstance(b, (dict, list, tuple))
