"""The functions people call: rows of the table under their own names, and what is built on them.

Given only plain numbers they return plain numbers: a drop-in for `math`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core import primitives as table
from tinygrad_scalar.core.arithmetic import gelu  # noqa: F401 (one of these functions)
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.undefined import plain
from tinygrad_scalar.core.value import several
from tinygrad_scalar.numbers.precision import is_number, uncommon

identity = table.identity  # a node of its own, for a Value that a mode passes on


def log(x: Any, base: Any = None) -> Any:
    """log x, the natural logarithm; with a base log x / log base.

    Domain: x > 0. A plain number beside an mpf is one, so that both logarithms have its precision.
    Cost O(1). Errors: ValueError for x ≤ 0. Source: dlog x/dx = 1/x.

    >>> log(1.0), log(8.0, 2.0)
    (0.0, 3.0)
    """
    if base is None:
        return table.log(x)
    kind = uncommon((plain(x), plain(base)))
    over, under = (y if isinstance(y, Carrier) else table.log.checked(y, kind) for y in (x, base))
    return table.div(table.log(over), table.log(under))


def hypot(*coordinates: Any) -> Any:
    """√(x₁² + … + xₙ²), the length of a vector, without overflow; 0.0 for no coordinates.

    Cost O(n). At the origin there is no derivative; 0 stands for it.

    >>> hypot(3.0, 4.0), hypot(1.0, 2.0, 2.0)
    (5.0, 3.0)
    """
    if len(coordinates) == 2:
        return table.hypot(*coordinates)
    if uncommon(coordinates) is None and None not in coordinates:
        return math.hypot(*coordinates)
    kind = uncommon(map(plain, coordinates))
    xs = [x if isinstance(x, Carrier) else table.hypot.checked(x, kind) for x in coordinates]
    return functools.reduce(table.hypot, _largest_first(xs)) if xs[1:] else table.abs(*xs)


def _largest_first(xs: Sequence[Any]) -> list[Any]:
    """Numbers, one of the largest size in front: no part of their length is 0 where it is not."""
    largest, *rest = xs
    found = []
    for x in rest:
        largest, smaller = _by_size(largest, x)
        found.append(smaller)
    return [largest, *found]


def _by_size(a: Any, b: Any) -> tuple[Any, Any]:
    if context.settings().tracer is None:
        return (b, a) if abs(plain(b)) >= abs(plain(a)) else (a, b)
    first = table.step(abs(a) - abs(b))  # a number: on a bool compiled code would branch here
    return where(first, a, b), where(first, b, a)


def clip(x: Any, lo: Any, hi: Any) -> Any:
    """x, but at least lo and at most hi; the gradient passes on the closed interval.

    Cost O(1). Errors: ValueError if lo > hi.

    >>> clip(2.5, 0.0, 1.0)
    1.0
    """
    return table.clip(x, lo, hi)


def floor(x: Any) -> Any:
    """⌊x⌋, the largest whole number that is not above x; of a plain number an int, as in `math`.

    The derivative is 0, at the kinks, whole x, too. ±inf and NaN stay what they are. Cost O(1).

    >>> floor(2.5), floor(-2.5)
    (2, -3)
    """
    return _whole(table.floor, x)


def ceil(x: Any) -> Any:
    """⌈x⌉, the smallest whole number that is not below x; of a plain number an int, as in `math`.

    The derivative is 0, at the kinks, whole x, too. ±inf and NaN stay what they are. Cost O(1).

    >>> ceil(2.5), list(range(ceil(2.5)))
    (3, [0, 1, 2])
    """
    return _whole(table.ceil, x)


def trunc(x: Any) -> Any:
    """The whole part of x, rounded toward zero; of a plain number an int, as in `math`.

    The derivative is 0, at the kinks, whole x, too. ±inf and NaN stay what they are. Cost O(1).

    >>> trunc(2.5), trunc(-2.5)
    (2, -2)
    """
    return _whole(table.trunc, x)


def _whole(rounding: Any, x: Any) -> Any:
    """A whole number as an int, unless it is carried, infinite or NaN; an int as it is."""
    if isinstance(x, Integral):
        return int(x)
    y = rounding(x)
    return y if isinstance(y, Carrier) or y - y != 0 else int(y)


def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """x where x > 0, else slope · x; at 0 the derivative is the slope. Cost O(1).

    >>> leaky_relu(-2.0), leaky_relu(-2.0, slope=0.5)
    (-0.02, -1.0)
    """
    return table.leaky_relu(x, slope)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where x > 0, else alpha · (e^x − 1). Cost O(1). Source: Clevert et al. 2015.

    >>> elu(2.0), elu(0.0, alpha=3.0)
    (2.0, 0.0)
    """
    return table.elu(x, alpha)


def where(c: Any, a: Any, b: Any) -> Any:
    """a if the condition c holds, else b; the gradient goes to the branch that was taken.

    Both branches are computed (an error in either stays an error) unless a branch is a callable
    without arguments, which is called only if taken.

    >>> where(2.0 > 1.0, 5.0, lambda: 1 / 0)
    5.0
    """
    if (callable(a) and not isinstance(a, Carrier)) or (callable(b) and not isinstance(b, Carrier)):
        taken = a if c else b
        return taken() if callable(taken) else taken
    return table.where(c, a, b)


def _all(values: Iterable[Any], name: str, *, empty: float | None = None) -> Any:
    """The n-ary row `name` on an iterable; `empty` for none, or a ValueError."""
    operands = values if type(values) is list else _listed(values, name)
    if not operands:
        if empty is None:
            raise ValueError(f"{name} of no values is undefined: give at least one")
        return empty
    node = several(table.TABLE[name], operands)
    return table.TABLE[name](*operands) if node is None else node


def _listed(values: Any, name: str) -> list[Any]:
    try:
        found = iter(values)
    except TypeError:  # also of an array without axes, which says that it is an Iterable
        kind = type(values).__name__
        raise TypeError(f"{name} takes an iterable of numbers, as [x, y], not {kind}") from None
    return list(found)


def sum(values: Iterable[Any]) -> Any:
    """x₁ + … + xₙ from left to right, as one node; 0.0 for no values. Cost O(n).

    >>> sum([1.0, 2.0, 3.0])
    6.0
    """
    return _all(values, "sum", empty=0.0)


def prod(values: Iterable[Any]) -> Any:
    """x₁ · … · xₙ as one node; 1.0 for no values. All partials in O(n), right at zeros too.

    >>> prod([2.0, 3.0, 4.0])
    24.0
    """
    return _all(values, "prod", empty=1.0)


def mean(values: Iterable[Any]) -> Any:
    """(x₁ + … + xₙ) / n as one node. Cost O(n). Errors: ValueError for no values.

    >>> mean([1.0, 2.0, 6.0])
    3.0
    """
    return _all(values, "mean")


def logsumexp(values: Iterable[Any]) -> Any:
    """log(e^x₁ + … + e^xₙ) as one node, without overflow. Cost O(n).

    Errors: ValueError for no values. Source: *Deep Learning*, section 4.1.

    >>> f"{logsumexp([1000.0, 1000.0]):.6f}"
    '1000.693147'
    """
    return _all(values, "logsumexp")


def dot(xs: Iterable[Any], ys: Iterable[Any]) -> Any:
    """x₁ y₁ + … + xₙ yₙ as one node. Cost O(n). Errors: ValueError for unequal lengths or none.

    >>> dot([1.0, 2.0], [3.0, 4.0])
    11.0
    """
    left = xs if type(xs) is list else _listed(xs, "dot")
    right = ys if type(ys) is list else _listed(ys, "dot")
    if len(left) != len(right):
        raise ValueError(f"dot: {len(left)} numbers against {len(right)}; give as many of each")
    return _all([*left, *right], "dot")


def softmax(xs: Iterable[Any]) -> list[Any]:
    """[e^x₁, …, e^xₙ] / (e^x₁ + … + e^xₙ), as a list; finite for any finite logits. Cost O(n).

    The slope of a probability p in its own logit, p (1 − p), has the digits that 1 − p has in
    floats, and is 0 where p is 1.0.

    Errors: ValueError for no logits. Source: *Deep Learning*, equation 6.29.

    >>> softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    weights = [table.exp(x) for x in _shifted(xs, "softmax")]
    total = sum(weights)
    return [weight / total for weight in weights]


def log_softmax(xs: Iterable[Any]) -> list[Any]:
    """log softmax(x) = x − logsumexp(x), as a list. Cost O(n).

    Errors: ValueError for no logits. Source: *Deep Learning*, equation 6.30.

    >>> log_softmax([0.0, 1000.0])
    [-1000.0, 0.0]
    """
    shifted = _shifted(xs, "log_softmax")
    total = logsumexp(shifted)
    return [x - total for x in shifted]


def _shifted(logits: Iterable[Any], name: str) -> list[Any]:
    """Logits less a constant, the largest: softmax stays the same, and no exponential overflows."""
    values = _some(logits, name)
    try:
        shift = detach(table.largest(*values))
    except TypeError as error:
        rows = any(isinstance(x, (list, tuple)) for x in values)
        told = f"one list of numbers, not of lists: [{name}(row) for row in rows]"
        raise TypeError(f"{name}: {told if rows else str(error).partition(': ')[2]}") from None
    return [x - shift for x in values]


def _some(logits: Iterable[Any], name: str) -> list[Any]:
    """The logits as a list, which is not empty."""
    values = _listed(logits, name)
    if not values:
        raise ValueError(f"{name} of no logits is undefined: give at least one")
    return values


def detach(x: Any) -> Any:
    """x as a constant: the same number, through which no gradient flows."""
    return x.detach() if isinstance(x, Carrier) else x


def cross_entropy(logits: Iterable[Any], target: Any) -> Any:
    """−log softmax(logits)[target] as one node, stable for any logits; the gradient is y − t.

    `target` is a class index (a whole number, to which no gradient flows) or a distribution (one
    probability per logit). Cost O(n).
    Errors: ValueError for no logits, an index out of range or a distribution of another length;
    TypeError for an index that is no whole number. Source: *Deep Learning*, section 6.2.2.3.

    >>> f"{cross_entropy([0.0, 0.0], 1):.6f}", cross_entropy([0.0, 1000.0], [0.5, 0.5])
    ('0.693147', 500.0)
    """
    values = _some(logits, "cross_entropy")
    target = detach(target)
    if hasattr(target, "item") and getattr(target, "ndim", 1) == 0:  # a label out of an array
        target = target.item()
    if isinstance(values[0], (list, tuple)):
        raise TypeError(
            "cross_entropy: logits is one list of numbers, not of lists: nn.cross_entropy takes "
            "rows of logits and their targets"
        )
    if isinstance(target, Iterable) and not isinstance(target, (Carrier, str)):
        weights = list(target)
        if len(weights) != len(values):
            raise ValueError(
                f"cross_entropy: {len(weights)} target probabilities for {len(values)} logits"
            )
    elif hasattr(target, "one_hot"):
        weights = target.one_hot(len(values))  # a traced class index
    else:
        weights = [0.0] * len(values)
        weights[class_index(target, len(values))] = 1.0
    return _all([*values, *weights], "cross_entropy")


def class_index(target: Any, classes: int) -> int:
    """A class index checked: a whole number from 0 to classes − 1."""
    number = plain(target)
    whole = hasattr(number, "__index__") or (is_number(number) and number % 1 == 0)
    if isinstance(number, bool) or not whole:
        if isinstance(number, str):
            raise TypeError(f"cross_entropy: target is {number!r}: number the classes from 0")
        found = number if is_number(number) else type(target).__name__
        raise TypeError(
            f"cross_entropy: target is a class index or a list of probabilities, not {found}"
        )
    index = int(number)
    if not 0 <= index < classes:
        raise ValueError(f"cross_entropy: class {index} of {classes}; give 0 to {classes - 1}")
    return index


# The other rows are functions as they are.
__all__ = ["log_softmax", "softmax", "where"]
for _name, _row in table.TABLE.items():
    if _row.public:
        globals().setdefault(_name, _row)
        __all__ += [_name]  # noqa: PLE0604 (a name)
