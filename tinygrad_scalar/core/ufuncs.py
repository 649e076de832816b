"""NumPy's and SciPy's functions on Values: `np.sin(v)`, `np.float64(2) * v`, `ndtr(v)`, arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitives import TABLE

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
# What stands for a ufunc, by its name; a name that is NumPy's before one of the table's.
_SPELT = {name: row for row in TABLE.values() for name in row.numpy}
RULES: dict[str, Any] = {**TABLE, **_SPELT, **_COMPARISONS, "positive": operator.pos}


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A ufunc with a Value among its operands: a Value, or an object array of Values.

    Errors: TypeError for a ufunc that is not in the table of primitives.
    """
    import numpy

    name = ufunc.__name__
    if name == "divmod" and method == "__call__" and not options:
        return numpy.floor_divide(*inputs), numpy.remainder(*inputs)
    rule = RULES.get(name)
    if rule is not None and method == "reduce":  # np.sum(v), of one number as of an array of one
        return ufunc.reduce(_boxed(numpy, inputs[0]), **options)
    if rule is None or method != "__call__":
        what = name if method == "__call__" else f"{name}.{method}"
        library = "numpy." if hasattr(numpy, name) else ""
        raise TypeError(
            f"{library}{what} is not differentiated here: use a function of tinygrad_scalar, "
            "or v.data for the number alone"
        )
    if all(isinstance(x, Carrier) or numpy.ndim(x) == 0 for x in inputs) and not options:
        # a float32, and dates, of which some would be ints; their own == would ask this again
        keep = "" if name in _COMPARISONS else "fmM"
        return rule(*(x if isinstance(x, Carrier) else _item(x, keep) for x in inputs))
    boxed = [_boxed(numpy, x) if isinstance(x, Carrier) else numpy.asanyarray(x) for x in inputs]
    result = numpy.frompyfunc(rule, len(inputs), 1)(*boxed, **options)
    return result.astype(bool) if name in _COMPARISONS else result


def _item(x: Any, keep: str) -> Any:
    """A NumPy scalar or 0-d array as a number that stands beside a Value."""
    if isinstance(x, float):  # a numpy.float64 too
        return float(x)
    if getattr(x, "mask", False):
        return x  # behind a mask there is no number, which the row says
    return x.item() if hasattr(x, "dtype") and x.dtype.char not in keep else x


def _boxed(numpy: Any, value: Carrier) -> Any:
    """A 0-d object array holding the Value: NumPy broadcasts it without looking inside."""
    box = numpy.empty((), dtype=object)
    box[()] = value
    return box
