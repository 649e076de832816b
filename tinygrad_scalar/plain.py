"""The names of `math` that are no rows of the table: constants, predicates, whole numbers.

With them `import tinygrad_scalar as math` is enough. Predicates and the functions of whole numbers
look at the data and give plain results; what has a derivative gives Values for Values.
"""

# mypy: disable-error-code="overload-overlap"
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import update_wrapper, wraps
from typing import Any, ParamSpec, TypeVar, overload

from tinygrad_scalar import functions
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.core.value import Value

__all__ = [
    "comb", "dist", "e", "fabs", "factorial", "frexp", "fsum", "gcd", "inf", "isclose", "isfinite",
    "isinf", "isnan", "isqrt", "lcm", "ldexp", "modf", "nan", "nextafter", "perm", "pi", "sumprod",
    "tau", "ulp",
]  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")
Operand = Value | float | Fraction
_PYTHONS = (TypeError, ValueError, OverflowError)  # not what derives from them
pi, e, tau, inf, nan = math.pi, math.e, math.tau, math.inf, math.nan
fabs = functions.abs


def _told(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with its own name in front of what `math` or a row says in its errors."""

    @wraps(function)
    def named(*numbers: P.args, **options: P.kwargs) -> R:
        try:
            return function(*numbers, **options)
        except (TypeError, ValueError, OverflowError) as error:
            name, (row, _, told) = function.__name__, str(error).partition(": ")
            if str(error).startswith(name) or type(error) not in _PYTHONS:
                raise
            raise type(error)(f"{name}: {told if row in TABLE else error}") from None

    return named


@_told
def isnan(x: Any) -> bool:
    """Whether x is no number (NaN). Looks at the data.

    >>> isnan(nan), isnan(1.0)
    (True, False)
    """
    size = functions.abs(x)
    return bool(size != size)  # noqa: PLR0124 (the definition of NaN)


@_told
def isinf(x: Any) -> bool:
    """Whether x is inf or −inf. Looks at the data.

    >>> isinf(-inf), isinf(1.0)
    (True, False)
    """
    return bool(functions.abs(x) == inf)


@_told
def isfinite(x: Any) -> bool:
    """Whether x is neither infinite nor NaN. Looks at the data.

    >>> isfinite(1.0), isfinite(nan)
    (True, False)
    """
    return bool(functions.abs(x) < inf)


@_told
def isclose(a: Any, b: Any, *, rel_tol: float = 1e-09, abs_tol: float = 0.0) -> bool:
    """Whether |a − b| ≤ max(rel_tol · max(|a|, |b|), abs_tol). Looks at the data.

    Errors: ValueError for a negative tolerance. Source: PEP 485.

    >>> isclose(1.0, 1.0 + 1e-12), isclose(1.0, 1.1)
    (True, False)
    """
    if functions.minimum(rel_tol, abs_tol) < 0.0:
        raise ValueError("isclose: tolerances must be non-negative")
    size = functions.maximum(functions.abs(a), functions.abs(b))
    if bool(a == b):
        return True
    if isinf(size):
        return False
    return bool(functions.abs(a - b) <= functions.maximum(rel_tol * size, abs_tol))


@overload
def fsum(values: Iterable[float]) -> float: ...
@overload
def fsum(values: Iterable[Operand]) -> Value: ...
@_told
def fsum(values: Iterable[Any]) -> Any:
    """The sum: of plain numbers as exact as `math.fsum`, of Values one node. Cost O(n).

    >>> fsum([0.1] * 10)
    1.0
    """
    terms = list(values)
    return functions.sum(terms) if _carried(terms) else math.fsum(terms)


@overload
def sumprod(p: Iterable[float], q: Iterable[float]) -> float: ...
@overload
def sumprod(p: Iterable[Operand], q: Iterable[Operand]) -> Value: ...
@_told
def sumprod(p: Iterable[Any], q: Iterable[Any]) -> Any:
    """p₁ q₁ + … + pₙ qₙ, 0 for none. Cost O(n). Errors: ValueError for unequal lengths.

    >>> sumprod([1.0, 2.0], [3.0, 4.0])
    11.0
    """
    left, right = list(p), list(q)
    return functions.dot(left, right) if left or right else 0


@overload
def dist(p: Iterable[float], q: Iterable[float]) -> float: ...
@overload
def dist(p: Iterable[Operand], q: Iterable[Operand]) -> Value: ...
@_told
def dist(p: Iterable[Any], q: Iterable[Any]) -> Any:
    """The Euclidean distance of two points. Cost O(n). Errors: ValueError for unequal lengths.

    >>> dist([1.0, 1.0], [4.0, 5.0])
    5.0
    """
    left, right = list(p), list(q)
    if len(left) != len(right):
        raise ValueError(
            f"dist: {len(left)} coordinates against {len(right)}; give as many of each"
        )
    return functions.hypot(*(a - b for a, b in zip(left, right, strict=True)))


@overload
def modf(x: Value) -> tuple[Value, Value]: ...
@overload
def modf(x: float) -> tuple[float, float]: ...
@_told
def modf(x: Any) -> tuple[Any, Any]:
    """The fractional and the whole part of x, both with its sign; the derivatives are 1 and 0.

    >>> modf(-2.5)
    (-0.5, -2.0)
    """
    if not _carried([x]):
        return math.modf(x)
    part = functions.copysign(0.0, x) if isinf(x) else functions.fmod(x, 1.0)
    return part, functions.trunc(x)


@overload
def ldexp(x: Value, i: int) -> Value: ...
@overload
def ldexp(x: float, i: int) -> float: ...
@_told
def ldexp(x: Any, i: int) -> Any:
    """x · 2ⁱ, with the derivative 2ⁱ.

    >>> ldexp(1.5, 2)
    6.0
    """
    if not isinstance(x, Carrier):
        return math.ldexp(x, i)
    half = i // 2  # 2ⁱ alone may be out of range where the product is not
    product: Any = x
    return product * math.ldexp(1.0, half) * math.ldexp(1.0, i - half)


def _carried(values: Iterable[Any]) -> bool:
    return any(isinstance(x, Carrier) for x in values)


def _of_data(original: Callable[..., int]) -> Callable[..., int]:
    """A function of `math` on whole numbers, which looks at the data of Values."""

    def function(*numbers: Any) -> int:
        return original(*map(_whole, numbers))

    return _named(function, original, "Looks at the data, and gives a plain number.")


def _whole(x: Any) -> Any:
    if not isinstance(x, Carrier):
        return x
    number: Any = x.data  # type: ignore[attr-defined]
    return int(number) if number % 1 == 0 else number


def _on_numbers(original: Callable[P, R]) -> Callable[P, R]:
    """A function of `math` about the bits of a number, which has no derivative."""

    def function(*numbers: P.args, **options: P.kwargs) -> R:
        if _carried(numbers):
            raise TypeError(
                f"{original.__name__}() of a Value has no derivative: use v.data for the number"
            )
        return original(*numbers, **options)

    return _named(function, original, "TypeError for a Value: take v.data.")


def _named(function: Callable[P, R], original: Callable[..., R], note: str) -> Callable[P, R]:
    update_wrapper(function, original, ("__name__", "__qualname__"), updated=())
    function.__doc__ = f"{original.__doc__}\n\n{note}"
    return _told(function)


comb, factorial, gcd = _of_data(math.comb), _of_data(math.factorial), _of_data(math.gcd)
isqrt, lcm, perm = _of_data(math.isqrt), _of_data(math.lcm), _of_data(math.perm)
frexp, nextafter, ulp = _on_numbers(math.frexp), _on_numbers(math.nextafter), _on_numbers(math.ulp)
