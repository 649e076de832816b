"""What comes in and goes out of a compiled function: numbers and lists for one point, or batches.

The first axis of an array is the batch: (N,) is a batch of numbers, (N, d) of lists of d numbers.
What stands beside arrays is the same for every point. Arrays may be those of another library,
all of the same one; its arrays without axes are numbers. Where nothing is a batch, an array is a
structure like a list, with a shape.

Constants of the compiled code are whole numbers, names, settings: what stands outside `argnums` and
is hashable, unless it is a number that is not whole, or a tuple of such. A constant is passed to
the function as it is, and traced anew for each other one; so are all keyword arguments.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.arrays.namespaces import (
    NUMBERS,
    RowColumn,
    kind,
    namespace,
    shared_namespace,
    stacked,
)
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.tree import (
    array_in,
    array_of,
    holds_array,
    is_structure,
    leaves,
    like,
    rebuild,
)
from tinygrad_scalar.numbers.precision import is_number, loaded


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
    whole = (isinstance(x, numbers.Integral) or type(x).__name__ == "bool_" for x in parts)
    if all(map(is_number, parts)) and not all(whole):  # bool_: a truth value of NumPy
        return False
    try:
        hash(x)
    except TypeError:
        return False
    return True


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


_FLOAT = frozenset((float,))
_WIDER = ("float96", "float128")  # digits that a float has no place for: NumPy's longdouble
Key = Any  # what the structure of an argument is known by


class Argument(NamedTuple):
    """One argument taken apart: its structure, and a number or a column per place in it."""

    key: Key
    tree: Any  # the structure to mirror, with anything in the places
    columns: Any  # a sequence of floats, or of arrays of one number per point
    size: int | None = None  # points, of an array that is a batch
    rows: bool = False  # an (N, d) array, whose results are (N, d) too
    single: bool = False  # float32, at a point whose results keep that

    def mirrored(self, entries: Sequence[Any], xp: Any = None) -> Any:
        """Results, one per place, in the structure of the argument."""
        return stacked(xp, entries, len(entries)) if self.rows else like(self.tree, list(entries))


class Call(NamedTuple):
    """All arguments of a call: their common structure, columns, the batch's size and namespace."""

    arguments: list[Argument]
    key: Key
    columns: Sequence[Any]
    size: int | None  # None for a single point
    xp: Any = None  # the namespace of the arrays if they are not NumPy's


def at(columns: Sequence[Any], places: Any) -> list[Any]:
    """The columns at some places; the numbers of one point for a single place."""
    return [c if isinstance(c, float) else c[places] for c in columns]


def taken_apart(
    args: Sequence[Any], name: str, constants: Collection[int], *, batch: bool = True
) -> Call:
    """The arguments of a call, checked; TypeError or ValueError names the one that is wrong.

    Those at the positions `constants` have no columns. Without `batch` all are one point.
    """
    plain = not batch or _plain(args)
    xp = None if plain else shared_namespace(args, name)
    if xp is None and not plain:
        args = [as_numpy(arg) for arg in args]
    arguments: list[Argument] = []
    size: int | None = None
    for i, arg in enumerate(args):
        what = f"{name}: argument {i}"
        if i in constants:
            arguments.append(Argument(("constant", known_as(arg)), Constant(arg), ()))
            continue
        one = argument(arg, what, xp) if batch else point(arg, what)
        arguments.append(one)
        if one.size is not None:
            size = agreed(size, one.size, what)
    key, parts = tuple([one.key for one in arguments]), [one.columns for one in arguments]
    columns = parts[0] if len(parts) == 1 else [column for part in parts for column in part]
    return Call(arguments, key, columns, size, xp)


def agreed(size: int | None, other: int, what: str) -> int:
    """The size of a batch, of which one array more has another size or the same."""
    if size is not None and other != size:
        raise ValueError(
            f"{what} has a batch of {other} points, one before it of {size}; "
            "the first axes of all arrays must agree"
        )
    return other


def _plain(args: Sequence[Any]) -> bool:
    """Whether all are floats and arrays of NumPy's own, as in most batches."""
    np = loaded("numpy")
    return np is not None and {float, np.ndarray}.issuperset(map(type, args))


def has_carrier(args: Sequence[Any]) -> bool:
    """Whether a Value, Dual or Traced stands among the arguments."""
    kinds = Carrier, list, tuple, dict
    some = [x for x in args if isinstance(x, kinds) or (is_array(x) and x.dtype == object)]
    return any(isinstance(x, Carrier) for x in leaves(some))


def as_numpy(x: Any) -> Any:
    """What NumPy takes for an array (a column of pandas) as one of NumPy's; else as it is."""
    if x.__class__ is float:
        return x
    found = array_in(x)
    if found is not None:
        return found
    if not hasattr(x, "__array__") or not getattr(x, "ndim", 0):
        return x
    import numpy as np

    return np.asarray(x)


def is_array(x: Any) -> bool:
    """Whether `x` is a NumPy array."""
    np = loaded("numpy")
    return np is not None and isinstance(x, np.ndarray)


def argument(arg: Any, what: str, xp: Any = None) -> Argument:
    """One argument taken apart; errors name it as `what`."""
    if arg.__class__ is float:
        return Argument(0, None, (arg,))
    if arg.__class__ is list and xp is None and _all_plain(arg):
        try:
            return Argument(("list", len(arg)), arg, array("d", arg))
        except OverflowError:  # told below
            pass
    if is_array(arg) or namespace(arg):
        return _array(arg, what, xp)
    if isinstance(arg, (list, tuple, dict)):
        if holds_array(arg):
            raise _arrays_inside(what, arg)
        return Argument(key_of(arg), arg, _numbers(leaves(arg), what))
    return Argument(0, None, (_number(arg, what),))


def point(arg: Any, what: str) -> Argument:
    """One argument of a call without batches taken apart, arrays as structures."""
    if arg.__class__ is float or (arg.__class__ is list and not any(map(is_structure, arg))):
        return argument(arg, what)
    whole = array_in(arg)
    if whole is not None and whole.dtype.kind in "biuf" and is_real(whole):
        columns, single = array("d", whole.astype(float).tobytes()), whole.dtype.char == "f"
        return Argument(key_of(whole), whole, columns, single=single)
    numbers = leaves(arg)
    for x in numbers:
        if getattr(x, "ndim", 0):
            raise TypeError(f"{what} is an array of {type(x).__module__}: give one of NumPy")
    single = any(type(x).__name__ == "float32" for x in numbers)
    return Argument(key_of(arg), arg, _numbers(numbers, what), single=single)


def _numbers(found: list[Any], what: str) -> list[Any]:
    return found if _FLOAT.issuperset(map(type, found)) else [_number(x, what) for x in found]


def _number(x: Any, what: str) -> Any:
    """A number as a float; an array without axes of another library as it is."""
    if getattr(x, "ndim", 0) and namespace(x):
        raise _arrays_inside(what, [x])
    if is_number(x) or (is_array(x) and is_real(x)):
        return _float(x, what)
    if namespace(x) and is_real(x):
        return x
    raise TypeError(
        f"{what}: give numbers, a list of numbers, or arrays of them, not {type(x).__name__}; "
        "what is no number is a constant by keyword, or outside argnums if it is hashable"
    )


def _float(x: Any, what: str) -> float:
    try:
        return float(x)
    except OverflowError:
        raise OverflowError(
            f"{what}: {reprlib.repr(x)} is too large for a float, and compiled code computes in "
            "floats"
        ) from None


def _arrays_inside(what: str, arg: Any) -> TypeError:
    return TypeError(
        f"{what} is a {type(arg).__name__} with arrays in it: give one (N, d) array, or a list of "
        "numbers, or let batch=False take all of it as one point"
    )


def _all_plain(numbers: list[Any]) -> bool:
    """Whether numbers go into an array of floats as they are."""
    return all(issubclass(kind, (float, int)) for kind in set(map(type, numbers)))


def is_real(x: Any) -> bool:
    """Whether an array holds numbers that floats hold, too."""
    name = kind(x)
    return name not in _WIDER and name.startswith(("float", "bfloat", "int", "uint", "bool"))


def key_of(tree: Any) -> Key:
    """What a structure is known by.

    >>> key_of([1.0, 2.0]), key_of({"a": 1.0, "b": [1.0, 2.0]})
    (('list', 2), ('dict', ('a', 0), ('b', ('list', 2))))
    """
    if isinstance(tree, dict):
        return ("dict", *((key, key_of(branch)) for key, branch in tree.items()))
    if isinstance(tree, (list, tuple)):
        name: Any = "list" if isinstance(tree, list) else "tuple"
        if hasattr(tree, "_fields"):
            name = type(tree)  # two may have one name
        if NUMBERS.issuperset(map(type, tree)):  # as most lists
            return (name, len(tree))
        inner = [key_of(branch) for branch in tree]
        return (name, len(inner)) if not any(inner) else (name, *inner)
    whole = array_in(tree)
    return 0 if whole is None else ("array", *whole.shape)


def named(key: Any) -> Any:
    """The structure with the names of its named tuples, whose classes a file does not hold."""
    if isinstance(key, tuple):
        return tuple(map(named, key))
    return key.__qualname__ if isinstance(key, type) else key


def as_key(described: Any) -> Key:
    """The key that a file holds as lists."""
    return tuple(map(as_key, described)) if isinstance(described, list) else described


def tree_of(key: Key) -> Any:
    """A structure known by a key, which `width_of` has looked at; None in its places.

    >>> tree_of(("dict", ("a", 0), ("b", ("list", 2))))
    {'a': None, 'b': [None, None]}
    """
    if key == 0:
        return None
    name, *inner = key
    if name == "dict":
        return {branch: tree_of(part) for branch, part in inner}
    if name == "array":
        return array_of([None] * math.prod(inner), tuple(inner))
    parts = [0] * inner[0] if inner and type(inner[0]) is int and len(inner) == 1 else inner
    branches = [tree_of(part) for part in parts]
    return branches if name == "list" else tuple(branches)


def width_of(key: Key) -> int:
    """How many numbers an argument of this structure holds. ValueError and others for no structure.

    >>> width_of(0), width_of(("list", 3)), width_of(("dict", ("a", 0), ("b", ("list", 2))))
    (1, 3, 3)
    """
    if key == 0 and type(key) is int:
        return 1
    name, *inner = key
    if name == "constant":
        return 0
    if name == "dict":
        return sum(width_of(branch) for _, branch in inner)
    if name != "array" and not (len(inner) == 1 and type(inner[0]) is int):
        return sum(map(width_of, inner))
    if not all(type(size) is int and size >= 0 for size in inner):
        raise ValueError(f"{inner} are no lengths")
    return math.prod(inner)


def _hole(arg: Any) -> str:
    """What is no number in an array of objects, and where; little of other arrays."""
    if kind(arg) != "object":
        return ": array.astype(float)" if kind(arg) in _WIDER else ""
    import numpy as np

    for place, x in np.ndenumerate(arg):
        if isinstance(x, (list, tuple)):
            return "; are its rows of different lengths?"
        if not is_number(x):
            return f", and at {list(place)} there is {reprlib.repr(x)}"
    return ": array.astype(float)"


def _array(arg: Any, what: str, xp: Any) -> Argument:
    if not is_real(arg):
        raise TypeError(f"{what} is an array of {kind(arg)}: give real numbers{_hole(arg)}")
    if arg.ndim == 0:
        return Argument(0, None, (float(arg) if is_array(arg) else arg,))
    size = int(arg.shape[0])
    if arg.ndim == 1:
        return Argument(0, None, (arg,), size)
    if arg.ndim > 2:
        raise ValueError(
            f"{what} has {arg.ndim} axes: give (N,), a batch of numbers, or (N, d), a batch of "
            "lists; array.reshape(len(array), -1) makes one"
        )
    width = arg.shape[1]
    key, tree = ("list", width), [0.0] * width
    if xp:
        return Argument(key, tree, [RowColumn(arg, k) for k in range(width)], size, rows=True)
    import numpy as np

    columns = np.ascontiguousarray(arg.T, dtype=float)  # one pass over memory for all columns
    return Argument(key, tree, columns, size, rows=True)


# ── primals and tangents ──────────────────────────────────────────────────────────────────────
def several(args: Any, what: str) -> tuple[Any, ...]:
    """Primals or tangents, one entry per argument."""
    if not isinstance(args, (list, tuple)):
        raise TypeError(f"{what} is a tuple with one entry per argument, not {type(args).__name__}")
    return tuple(args)


def joined(call: Call, along: Call, chosen: Sequence[int], what: str) -> Call:
    """The columns of primals and tangents in one call; these belong to the arguments chosen.

    Errors: ValueError for another structure or number of points, TypeError for another library.
    """
    if len(along.key) != len(chosen):
        count = len(along.key)
        raise ValueError(f"{what}: give one for each argument of {[*chosen]}, not {count} in all")
    for i, key in zip(chosen, along.key, strict=True):
        if key != call.arguments[i].key:
            raise ValueError(f"{what}: that of argument {i} has another structure than this")
    sizes = {size for size in (call.size, along.size) if size is not None}
    if len(sizes) > 1:
        raise ValueError(f"the batches have {call.size} and {along.size} points; they must agree")
    kinds = [one.xp for one in (call, along) if one.xp is not None or one.size is not None]
    if len(set(kinds)) > 1:
        first, second = (xp.__name__ if xp else "numpy" for xp in kinds)
        raise TypeError(f"primals of {first} and tangents of {second}: give arrays of one library")
    columns, size = [*call.columns, *along.columns], sizes.pop() if sizes else None
    return call._replace(columns=columns, size=size, xp=kinds[0] if kinds else None)
