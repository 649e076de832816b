"""`assert_grads_close`: two gradients of any structure, compared entry by entry."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.numbers.precision import Number, is_number
from tinygrad_scalar.testing.errors import GradientError, check_tolerance
from tinygrad_scalar.testing.recording import finite

_SHOWN = 8


def assert_grads_close(actual: Any, expected: Any, rtol: float = 1e-9) -> None:
    """Compare gradients: numbers, Values, or lists, tuples, dicts, tables and arrays of them.

    Each entry may be off by `rtol` of what is expected, or by 16 roundings of the largest entry,
    which is what an entry that cancels keeps. NaN equals NaN, infinities their equals.
    Errors: GradientError naming the entries that differ, and where structures do; ValueError for
    another `rtol`.

    >>> assert_grads_close([1.0, {"b": 2.0}], (1.0, {"b": 2.0 + 1e-12}))
    >>> assert_grads_close({"w": [1.0, 2.0]}, {"w": [1.0, 3.0]})
    Traceback (most recent call last):
        ...
    tinygrad_scalar.testing.errors.GradientError: gradients differ: ['w'][1]: expected 3.0, ...
    """
    check_tolerance(rtol, "assert_grads_close")
    names: dict[tuple[str, Any], str] = {}
    found, wanted = dict(_entries(actual, names)), dict(_entries(expected, names))
    if found.keys() != wanted.keys():
        lacking = [path or "the whole" for path in wanted.keys() ^ found.keys()]
        raise GradientError(
            f"gradients differ in structure: only one has {', '.join(sorted(lacking)[:_SHOWN])}"
        )
    largest = max((abs(float(x)) for x in wanted.values() if finite(x)), default=0.0)
    lines = []
    for path, x in wanted.items():
        error, allowed = _distance(found[path], x), 16 * sys.float_info.epsilon * largest
        allowed = max(allowed, rtol * abs(float(x))) if finite(x) else 0.0
        if not error <= allowed:
            lines.append(
                f"{path + ': ' if path else ''}expected {x!r}, actual {found[path]!r}, "
                f"error {error:.1e}, allowed {allowed:.1e}"
            )
    if lines:
        more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise GradientError(f"gradients differ: {'; '.join(lines[:_SHOWN])}{more}")


def _entries(
    tree: Any, names: dict[tuple[str, Any], str], path: str = ""
) -> Iterator[tuple[str, Number]]:
    """The numbers of a structure, each with the subscripts that lead to it.

    A key goes by one name in both structures, `names`, and no two by one: Values may look alike.
    """
    if hasattr(tree, "tolist"):
        tree = tree.tolist()
    if isinstance(tree, Mapping):
        alike: Counter[str] = Counter()
        for key, branch in tree.items():
            name = f"{path}[{key!r}]"
            alike[name] += 1
            again = f", {alike[name]} of this look" if alike[name] > 1 else ""
            yield from _entries(branch, names, names.setdefault((path, key), name + again))
    elif isinstance(tree, (list, tuple)):
        for i, branch in enumerate(tree):
            yield from _entries(branch, names, f"{path}[{i}]")
    else:
        number = tree.example() if isinstance(tree, Carrier) else tree
        if not is_number(number):
            raise TypeError(
                f"assert_grads_close: {path or 'a gradient'} is {tree!r}, not a number; give "
                "numbers, or lists, tuples and dicts of them"
            )
        yield path, number


def _distance(a: Number, b: Number) -> float:
    if finite(a) and finite(b):
        return abs(float(a - b))
    same = a == b or (a != a and b != b)  # noqa: PLR0124 (NaN)
    return 0.0 if same else float("inf")
