"""What neither `math` nor `operator` has: rounding, pieces, powers and sums.

Every function here is built from operators and from the type of its argument, so that a number
comes back as it went in: `float`, `fractions.Fraction`, `numpy.float32`, `mpmath.mpf`. NaN passes
through. `special` holds the functions that need an approximation.

Sums run strictly from left to right and start at their first term. The builtin `sum` compensates
its rounding errors since Python 3.12; here every interpreter and every engine gives the same bits.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from math import expm1
from typing import Any, TypeVar

from tinygrad_scalar.numbers.parts import where

# The kind of number that comes in comes out. numpy.float32 and mpmath.mpf are kinds too, but their
# packages are not imported for a name.
Kind = TypeVar("Kind", float, Fraction)


class PoleError(ZeroDivisionError, ValueError):
    """A pole was hit: `0 ** -1` is a division by zero for Python and a domain error for `math`.

    >>> issubclass(PoleError, ZeroDivisionError) and issubclass(PoleError, ValueError)
    True
    """


def _rounded(x: Kind, rule: Callable[[Kind], int]) -> Kind:
    """Apply `rule` and go back to the type of x; inf and NaN have no integer and pass through."""
    if not -math.inf < x < math.inf:
        return x
    whole = rule(x)
    return type(x)(whole or 0 * x)  # 0 * x keeps the sign of a zero


def _floor(x: Kind) -> int:
    # int(x) is exact for every carrier; math.floor would send an mpf through a float.
    toward_zero = int(x)
    return toward_zero - (toward_zero > x)


def _ceil(x: Kind) -> int:
    toward_zero = int(x)
    return toward_zero + (toward_zero < x)


def _half_even(x: Kind) -> int:
    below = _floor(x)
    rest = x - below
    if rest == 0.5:
        return below + below % 2
    return below + (rest > 0.5)


def floor(x: Kind) -> Kind:
    """⌊x⌋, the largest whole number that is not above x, in the type of x.

    Domain: all reals. Types: any carrier. inf, NaN and −0.0 pass through. O(1), exact, no errors.
    Source: IEEE 754-2019, 5.9, roundToIntegralTowardNegative.

    >>> floor(-2.5), floor(Fraction(7, 2))
    (-3.0, Fraction(3, 1))
    """
    return _rounded(x, _floor)


def ceil(x: Kind) -> Kind:
    """⌈x⌉, the smallest whole number that is not below x, in the type of x.

    Domain: all reals. Types: any carrier. inf, NaN and −0.0 pass through, and −½ gives −0.0.
    O(1), exact, no errors. Source: IEEE 754-2019, 5.9, roundToIntegralTowardPositive.

    >>> ceil(-2.5), ceil(Fraction(7, 2)), ceil(-0.5)
    (-2.0, Fraction(4, 1), -0.0)
    """
    return _rounded(x, _ceil)


def truncate(x: Kind) -> Kind:
    """The whole part of x, rounded toward zero, in the type of x.

    Domain: all reals. Types: any carrier. inf, NaN and −0.0 pass through, and −½ gives −0.0.
    O(1), exact, no errors. Source: IEEE 754-2019, 5.9, roundToIntegralTowardZero.

    >>> truncate(-2.5), truncate(Fraction(7, 2))
    (-2.0, Fraction(3, 1))
    """
    return _rounded(x, int)


def round_half_even(x: Kind) -> Kind:
    """The whole number nearest to x, in the type of x; halves go to the even neighbour.

    Domain: all reals. Types: any carrier. inf, NaN and −0.0 pass through, and −½ gives −0.0.
    O(1), exact, no errors. Source: IEEE 754-2019, 5.9, roundToIntegralTiesToEven.

    >>> round_half_even(2.5), round_half_even(-3.5), round_half_even(Fraction(5, 2))
    (2.0, -4.0, Fraction(2, 1))
    """
    return _rounded(x, _half_even)


def sign(x: Kind) -> Kind:
    """−1, 0 or 1 by the sign of x, in the type of x; 0 at both zeros, NaN at NaN.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.

    >>> sign(-2.5), sign(0.0), sign(Fraction(1, 3))
    (-1.0, 0.0, Fraction(1, 1))
    """
    if x > 0:
        return type(x)(1)
    if x < 0:
        return type(x)(-1)
    return type(x)(0) if x == 0 else x


def step(x: Kind) -> Kind:
    """The unit step: 1 where x > 0, else 0, in the type of x; NaN at NaN.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.

    >>> step(2.5), step(0.0), step(Fraction(-1, 3))
    (1.0, 0.0, Fraction(0, 1))
    """
    if x > 0:
        return type(x)(1)
    return type(x)(0) if x <= 0 else x


def relu(x: Kind) -> Kind:
    """max(0, x): x where x > 0, else 0, in the type of x; NaN at NaN.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.
    Source: Deep Learning, section 6.3.1.

    >>> relu(2.5), relu(-2.5), relu(Fraction(-1, 3))
    (2.5, 0.0, Fraction(0, 1))
    """
    if x > 0:
        return x
    return type(x)(0) if x <= 0 else x


def leaky_relu(x: Kind, slope: float | Fraction = 0.01) -> Kind:
    """Leaky relu: x where x > 0, else slope · x, in the type of x; NaN at NaN.

    Domain: all reals. Types: any carrier; beside a Fraction a float slope counts at its exact
    binary value. O(1), one rounding, no errors. Source: Deep Learning, section 6.3.1.

    >>> leaky_relu(2.5), leaky_relu(-2.0, 0.25), leaky_relu(Fraction(-1, 3), Fraction(1, 2))
    (2.5, -0.5, Fraction(-1, 6))
    """
    return x if x > 0 else _like(x, slope) * x


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """Exponential linear unit: x where x > 0, else alpha · (eˣ − 1); NaN at NaN.

    Domain: all reals. Types: float. O(1), relative error below 5e-16, no errors.
    Source: Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289, equation 15.

    >>> elu(2.5), round(elu(-1.0), 12), elu(-math.inf, 0.5)
    (2.5, -0.632120558829, -0.5)
    """
    return where(x > 0.0, x, lambda: alpha * expm1(where(x > 0.0, 0.0, x)))


def _like(x: Any, number: Any) -> Any:
    """`number` in the type of x; beside an int it stays what it is, for int(0.5) would be 0."""
    return number if isinstance(x, int) else type(x)(number)


def maximum(a: Any, b: Any) -> Any:
    """The larger of a and b, the first of equals; NaN if either is NaN.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.
    Source: IEEE 754-2019, 9.6, but for the order of −0 and +0, which are equals here.

    >>> maximum(1.0, 2.0), maximum(math.nan, 2.0), maximum(2.0, math.nan)
    (2.0, nan, nan)
    """
    return where(a >= b, a, lambda: where(b > a, b, a + b))  # else one is NaN, and so is the sum


def minimum(a: Any, b: Any) -> Any:
    """The smaller of a and b, the first of equals; NaN if either is NaN.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.
    Source: IEEE 754-2019, 9.6, but for the order of −0 and +0, which are equals here.

    >>> minimum(1.0, 2.0), minimum(math.nan, 2.0), minimum(2.0, math.nan)
    (1.0, nan, nan)
    """
    return where(a <= b, a, lambda: where(b < a, b, a + b))


def clip(x: Kind, lo: Any, hi: Any) -> Kind:
    """Clipped x: at least lo and at most hi, in the type of x; NaN if one of the three is NaN.

    Domain: lo ≤ hi, else `ValueError`. Types: any carrier. O(1), exact.

    >>> clip(2.5, -1.0, 1.0), clip(0.5, -1.0, 1.0), clip(Fraction(-7, 2), -1, 1)
    (1.0, 0.5, Fraction(-1, 1))
    """
    if lo > hi:
        raise ValueError(f"lo={lo!r} is greater than hi={hi!r}; exchange the two bounds")
    if lo <= x <= hi:
        return x
    clipped: Kind
    if x < lo <= hi:
        clipped = _like(x, lo)
    elif x > hi >= lo:
        clipped = _like(x, hi)
    else:
        clipped = x + lo + hi  # unordered: one of the three is NaN, and so is the sum
    return clipped


def power(base: Any, exponent: Any) -> Any:
    """Base to the power of exponent, as Python's `**` but never complex.

    Domain: base > 0; base = 0 with exponent ≥ 0; base < 0 with a whole exponent. NaN and infinite
    operands follow `math.pow`.
    Types: any carrier; a Fraction to the power of a whole int or Fraction stays exact, to any
    other power it gives a float; NumPy's own scalars overflow to inf with NumPy's warning.
    O(1) on floats, as precise as the C library's pow.
    Errors: `ValueError` for a negative base with a fractional exponent, `PoleError` (which is a
    `ZeroDivisionError` and a `ValueError`) for 0 to a negative power, `OverflowError`.

    >>> power(2.0, 0.5), power(-2.0, 3.0), power(Fraction(2, 3), -2)
    (1.4142135623730951, -8.0, Fraction(9, 4))
    """
    if not base > 0 and -math.inf < exponent < math.inf:
        if base == 0 and exponent < 0:
            raise PoleError("math domain error")
        if -math.inf < base < 0 and exponent % 1 != 0:
            raise ValueError("math domain error")
    try:
        return base**exponent
    except OverflowError:
        raise OverflowError("math range error") from None


def add_all(xs: Iterable[Kind]) -> Kind | float:
    """((x₁ + x₂) + x₃) + …, strictly from left to right; 0.0 for no terms.

    Domain: all reals. Types: any carrier. O(n), one rounding per addition, no errors.

    >>> add_all([0.1] * 10), add_all([Fraction(1, 3), Fraction(1, 6)]), add_all([])
    (0.9999999999999999, Fraction(1, 2), 0.0)
    """
    terms = iter(xs)
    return functools.reduce(operator.add, terms, next(terms, 0.0))


def multiply_all(xs: Iterable[Kind]) -> Kind | float:
    """((x₁ · x₂) · x₃) · …, strictly from left to right; 1.0 for no factors.

    Domain: all reals. Types: any carrier. O(n), one rounding per multiplication, no errors.

    >>> multiply_all([2.0, 3.0, 4.0]), multiply_all([Fraction(1, 3), 6]), multiply_all([])
    (24.0, Fraction(2, 1), 1.0)
    """
    factors = iter(xs)
    return functools.reduce(operator.mul, factors, next(factors, 1.0))


def dot_all(xs: Sequence[Kind]) -> Kind:
    """Σ aᵢ · bᵢ from left to right, where xs is a₁ … aₙ followed by b₁ … bₙ.

    Domain: all reals. Types: any carrier. O(n), one rounding per multiplication and per addition.
    Errors: `ValueError` for an odd or empty list.

    >>> dot_all([1.0, 2.0, 3.0, 4.0]), dot_all([Fraction(1, 3), 6])
    (11.0, Fraction(2, 1))
    """
    half, odd = divmod(len(xs), 2)
    if odd or not half:
        raise ValueError(f"dot: give two lists of equal length, not empty; got {len(xs)} numbers")
    result: Kind = functools.reduce(operator.add, map(operator.mul, xs[:half], xs[half:]))
    return result


def round_to(x: Kind, digits: float) -> Kind:
    """x rounded to `digits` decimal places, half to even, as Python's `round`, in the type of x.

    Domain: all reals; inf and NaN pass through. Types: any carrier. O(1), no errors.

    >>> round_to(2.675, 2), round_to(1234.0, -2), round_to(Fraction(1, 3), 1)
    (2.67, 1200.0, Fraction(3, 10))
    """
    return type(x)(round(x, int(digits)))


def copysign(a: Kind, b: Any) -> Kind:
    """|a| with the sign of b, −0.0 counting as negative, in the type of a.

    Domain: all reals. Types: any carrier. O(1), exact, no errors.

    >>> copysign(2.0, -0.0), copysign(Fraction(1, 2), -3)
    (-2.0, Fraction(-1, 2))
    """
    return -abs(a) if math.copysign(1.0, b) < 0 else abs(a)
