"""Arguments that are constants of the compiled code: whole numbers, names, settings.

What stands outside `argnums` and is hashable is one, unless it is a number that is not whole, or a
tuple of such. It is passed to the function as it is, and traced anew for each other one; so are all
keyword arguments.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.arrays.namespaces import namespace
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.tree import array_in, leaves, rebuild
from tinygrad_scalar.numbers.precision import is_number


class Constant(NamedTuple):
    """Stands where the structure of an argument would."""

    value: Any


def is_constant(x: Any) -> bool:
    """Whether an argument outside `argnums` is a constant.

    >>> is_constant(3), is_constant("relu"), is_constant((2, 3)), is_constant(3.0)
    (True, True, True, False)
    """
    if isinstance(x, (float, list, dict)) or array_in(x) is not None:
        return False
    parts = leaves(x)
    if any(isinstance(part, Carrier) or namespace(part) for part in parts):
        return False
    if all(map(is_number, parts)) and not all(map(_is_whole, parts)):
        return False
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _is_whole(x: Any) -> bool:
    return isinstance(x, numbers.Integral) or type(x).__name__ == "bool_"  # a truth value of NumPy


def known_as(x: Any) -> Any:
    """What a constant is looked up by: it tells 1, 1.0 and True apart, and 0.0 from -0.0.

    >>> known_as(1) == known_as(True), known_as((0.0,)) == known_as((-0.0,))
    (False, False)
    """
    kind = type(x)
    if isinstance(x, tuple):
        return (kind, *map(known_as, x))
    if isinstance(x, frozenset):
        return kind, frozenset(map(known_as, x))
    if hasattr(kind, "__dataclass_fields__"):
        compared = [name for name, field in kind.__dataclass_fields__.items() if field.compare]
        return (kind, x, *(known_as(getattr(x, name)) for name in compared))
    if isinstance(x, complex) or (is_number(x) and not isinstance(x, int)):
        return kind, repr(x), x if x == x else None  # noqa: PLR0124 (NaN is equal to nothing)
    return kind, x


def no_slope(tangents: Any) -> bool:
    """Whether there is no tangent in a structure but None and 0."""
    return all(x is None or (is_number(x) and x == 0) for x in leaves(tangents))


def arguments_like(trees: Sequence[Any], numbers: Iterator[Any]) -> list[Any]:
    """The arguments of a function, constants as they are, numbers in the structure of the rest."""
    return [tree.value if isinstance(tree, Constant) else rebuild(tree, numbers) for tree in trees]
