"""Which numbers are carried, and how a forward rule is evaluated in each kind of number.

| what comes in | what is carried | how functions are evaluated |
|---|---|---|
| `float`, `int`, `bool`, `numpy.float64`, NumPy integers and booleans | `float` | `math` |
| `fractions.Fraction` | `Fraction`, exact in rational operations; else `float` | as written |
| `numpy.float32` | `numpy.float32` | in 64 bits, rounded once to 32 |
| `mpmath.mpf` | `mpf` at the working precision of mpmath | mpmath's function of the row |

A plain `int` beside one of these is neutral: it takes their kind. Beside an `mpf` every number
does, a `Fraction` too. Neither NumPy nor mpmath is imported here: a number of theirs can only come
in after its module was loaded.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from fractions import Fraction
from typing import Any

Number = Any  # float, Fraction, numpy.float32 or mpmath.mpf: anything with arithmetic

_FIX = {
    "str": "convert it with float(...) first",
    "NoneType": "give a number; a function without `return` gives None, and a masked array holds "
    "it where it is masked",
    "complex64": "only real numbers are carried; take .real or .imag",
    "complex128": "only real numbers are carried; take .real or .imag",
    "complex": "only real numbers are carried; take .real or .imag",
    "timedelta64": "divide it by a unit: x / numpy.timedelta64(1, 's')",
    "Decimal": "convert it with float(...), or with fractions.Fraction(...) to stay exact",
    "list": "build one Value per number: [Value(x) for x in ...]",
    "tuple": "build one Value per number: [Value(x) for x in ...]",
    "ndarray": "build one Value per number: [Value(x) for x in array.tolist()], or compile the "
    "function around it: tinygrad_scalar.compile(f) takes arrays",
    "Series": "give its numbers, x.to_numpy(), to a function of this library that takes arrays, "
    "as grad(f), or tinygrad_scalar.compile(f) for a batch of them",
    "Value": "it is a Value already; copy.copy(v) gives a second node, v.detach() a leaf",
}


def is_number(x: object) -> bool:
    """Whether `x` is a plain number that can stand beside a Value."""
    return isinstance(x, (int, float, Fraction)) or _foreign(x) is not None


def is_whole(x: Any) -> bool:
    """Whether it is an int or one of NumPy's, and no bool; `int` makes it Python's."""
    return hasattr(x, "__index__") and is_number(x) and not isinstance(x, bool)


_whole: dict[str, Any] = {}  # modules that are imported to their end


def loaded(name: str) -> Any:
    """A module that was imported, None else, and while another thread is still about to do it.

    A module half imported lacks its names; there is no number of it so far, either.
    """
    return _whole.get(name) or _asked_for(name)


def _asked_for(name: str) -> Any:
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return _whole.setdefault(name, module)


def is_single(x: object) -> bool:
    """Whether `x` is a number of 32 bits."""
    numpy = loaded("numpy")
    return numpy is not None and isinstance(x, numpy.float32)


def uncommon(values: Iterable[Any]) -> Number | None:
    """The first of the values that is carried as something else than a float, if any."""
    for value in values:
        if value.__class__ is not float and not isinstance(value, (int, float)):
            return value
    return None


def number(x: Any, beside: Number | None = None) -> Number:
    """`x` as it is carried; TypeError for anything else.

    Beside a Fraction an `int` is exact too, also NumPy's; beside an `mpf` every plain number is
    an `mpf`.
    """
    exact = beside is not None and isinstance(beside, Fraction)
    if exact and (isinstance(x, int) or is_whole(x)):
        return Fraction(int(x))
    if isinstance(x, (int, float)):
        if beside is not None and hasattr(beside, "context"):
            return beside.context.mpf(x)
        return _float(x)
    if isinstance(x, Fraction):
        return x
    carried = _foreign(x)
    if carried is None:
        name = x.__class__.__name__  # what is traced stands for a Value
        fix = _FIX.get(name, "give an int, a float or a fractions.Fraction")
        if name == "ndarray" and not x.ndim:
            fix = "take its number with .item()"
        raise TypeError(f"a Value carries one real number, not {name}: {fix}")
    return carried


def unlisted(x: object) -> bool:
    """Whether an error for `x` names the numbers that are taken, having no other advice."""
    return type(x).__name__ not in _FIX and not is_number(x)


def _float(x: float) -> float:
    try:
        return float(x)
    except OverflowError:
        raise OverflowError(
            "an int above 1.8e308 is too large for a float: "
            "use fractions.Fraction to carry it exactly"
        ) from None


def _foreign(x: object) -> Number | None:
    """A number of NumPy or mpmath as it is carried, None for anything else."""
    numpy = loaded("numpy")
    if numpy is not None:
        if isinstance(x, numpy.float32):
            return x
        if isinstance(x, (numpy.integer, numpy.bool_)) and not isinstance(x, numpy.timedelta64):
            return float(x)  # a span of time is an integer to NumPy
    mpmath = loaded("mpmath")
    return x if mpmath is not None and isinstance(x, mpmath.mpf) else None


def unboxed(x: Any) -> Any:
    """A number; one in an array without axes, as NumPy's functions may give it, taken out."""
    numpy = loaded("numpy")
    return x[()] if numpy is not None and isinstance(x, numpy.ndarray) else x


def as_single(x: float) -> float:
    """The number that 32 bits hold; ±inf beyond the largest.

    >>> as_single(0.1), as_single(-1e39)
    (0.10000000149011612, -inf)
    """
    try:
        return struct.unpack("f", struct.pack("f", x))[0]  # type: ignore[no-any-return]
    except OverflowError:
        return math.copysign(math.inf, x)


def evaluate(
    forward: Callable[..., Any], values: Sequence[Number], mpmath_name: str | Callable[..., Any]
) -> Any:
    """`forward(*values)` in the kind of number that `values` are (see the module's table)."""
    if all(value.__class__ is float for value in values):
        return _each(_result, forward(*values))
    mpmath = loaded("mpmath")
    values = together(values)
    if mpmath is not None and _first(mpmath.mpf, values) is not None:
        if callable(mpmath_name):
            result = mpmath_name(mpmath, *values)
        else:
            result = getattr(mpmath, mpmath_name, forward)(*values)
        if isinstance(result, mpmath.mpc):
            raise ValueError("math domain error")
        return _each(mpmath.mpf, result)
    numpy = loaded("numpy")
    if numpy is not None and _first(numpy.float32, values) is not None:
        result = forward(*(float(value) for value in values))
        return quietly(_each, numpy.float32, result)
    if Fraction in {value.__class__ for value in values}:
        return _each(lambda y: Fraction(y) if isinstance(y, int) else y, forward(*values))
    return _each(_result, forward(*map(number, values)))


def _first(kind: type, values: Iterable[Any]) -> Number | None:
    return next((value for value in values if isinstance(value, kind)), None)


def together(values: Iterable[Number]) -> tuple[Number, ...]:
    """The numbers of one operation: beside an `mpf` all are `mpf`."""
    values, mpmath = tuple(values), loaded("mpmath")
    example = None if mpmath is None else _first(mpmath.mpf, values)
    return values if example is None else tuple(like(value, example) for value in values)


def quietly(function: Callable[..., Any], *args: Any) -> Any:
    """What it gives where NumPy's numbers overflow to inf as a float does, without a warning.

    In a copy of the context, where NumPy keeps this setting: that is left whatever happens, while
    Ctrl-C may come before the first line of what ends `numpy.errstate`.
    """
    numpy = loaded("numpy")
    if numpy is None:
        return function(*args)

    def quiet() -> Any:
        numpy.seterr(all="ignore")
        return function(*args)

    return copy_context().run(quiet)


def _result(y: Any) -> Number:
    """What a forward rule on floats gave: a float, or a TypeError."""
    if y.__class__ is float:
        return y
    if isinstance(y, tuple):
        raise TypeError("the forward rule gave a tuple in a tuple; give one number per output")
    y = unboxed(y)
    if not is_number(y):
        raise TypeError(f"the forward rule gave {type(y).__name__}; it must return a real number")
    return number(y)


def _each(convert: Callable[[Any], Any], result: Any) -> Any:
    """`convert` on a result, or on every one of several results."""
    return tuple(map(convert, result)) if isinstance(result, tuple) else convert(result)


def like(x: Number, example: Number) -> Number:
    """The neutral number `x` (a seed, a unit partial) in the kind of `example`."""
    kind = example.__class__
    if kind is float:
        return _float(x) if is_number(x) else x
    if x.__class__ is kind:
        return x
    if is_single(x) and hasattr(example, "context"):
        x = float(x)
    if not isinstance(x, (int, float, Fraction)):
        return x
    if kind is Fraction:
        return Fraction(x) if math.isfinite(x) else x
    if isinstance(x, Fraction) and hasattr(example, "context"):  # mpf takes no Fraction
        return kind(x.numerator) / kind(x.denominator)
    return x if _foreign(example) is None else kind(float(x))
