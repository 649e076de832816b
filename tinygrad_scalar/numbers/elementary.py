"""Formulas of exp, log and their kin in multiplications and additions, for lanes.

On floats `math` is quicker; these vectorise on every platform, and `tanh` is machine code's at one
point too. Errors against the C library, measured and held by the tests: at most 4 ulps.
Sources: Muller, *Elementary Functions*, 3rd edition, chapters 5 and 11 (reduction by 2ᵏ in two
parts of log 2, series for exp on ±½ log 2 and for 2 artanh of (m − 1)/(m + 1)).
"""

import math
from math import copysign
from typing import Any

from tinygrad_scalar.numbers.numerics import floor
from tinygrad_scalar.numbers.parts import exponent, mantissa, polynomial, power_of_two, where

LOG2_E = 1.4426950408889634
LN2, LN2_REST = 0.6931471803691238, 1.9082149292705877e-10  # k · LN2 is exact
LOG10_2, LOG10_2_REST = 0.3010299956513336, 1.2647602381650425e-11  # the same for log10
LOG10_E = 0.4342944819032518
OVERFLOW, UNDERFLOW = 709.782712893384, -745.1332191019412
TANH = (675675.0, 45045.0, 594.0, 1.0), (2027025.0, 945945.0, 51975.0, 630.0, 1.0)
SUBNORMAL, LIFT = 2.2250738585072014e-308, 2.0**54


def _reduced(x: Any) -> tuple[Any, Any, Any]:
    """(k, eʳ − 1, x) with x = k log 2 + r, where x is 0 wherever eˣ is none or no number."""
    x = where(abs(x) < 746.0, x, 0.0)
    k = round(x * LOG2_E)
    r = (x - k * LN2) - k * LN2_REST
    series: Any = 1 / math.factorial(14)
    for n in range(13, 1, -1):
        series = series * r + 1 / math.factorial(n)
    return k, r + r * r * series, x


def exp(x: Any) -> Any:
    """e^x; two factors 2^k, so that the subnormal numbers are reached."""
    k, small, _ = _reduced(x)
    half = floor(0.5 * k)
    y = (1.0 + small) * power_of_two(half) * power_of_two(k - half)
    finite = where(x > OVERFLOW, math.inf, where(x < UNDERFLOW, 0.0, y))
    return where(x == x, finite, x)


def expm1(x: Any) -> Any:
    """e^x − 1, as 2^k (e^r − 1) + (2^k − 1)."""
    near = where(abs(x) < 40.0, x, 0.0)
    k, small, _ = _reduced(near)
    scale = power_of_two(k)
    far = where(x > 0.0, exp(x), where(x == x, -1.0, x))
    close = where(k == 0.0, small, scale * small + (scale - 1.0))
    return where(x == 0.0, x, where(abs(x) < 40.0, close, far))


def _parts_of_log(x: Any) -> tuple[Any, Any]:
    """(k, log m) with x = 2ᵏ m and m between √½ and √2."""
    small = x < SUBNORMAL
    lifted = where(small, x * LIFT, x)
    k, m = exponent(lifted), mantissa(lifted)
    high = m > math.sqrt(2.0)
    k = where(high, k + 1.0, k) - where(small, 54.0, 0.0)
    f = where(high, 0.5 * m, m) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series: Any = 2 / 23
    for n in range(21, 1, -2):
        series = series * z + 2 / n
    # 2 s = f − s f: the rounding of s touches only the small part
    return k, f - s * (f - z * series)


def _at_the_ends(x: Any, y: Any) -> Any:
    """A logarithm at 0, at inf, and where there is none."""
    inside = where(x < math.inf, y, x)
    return where(x > 0.0, inside, where(x == 0.0, -math.inf, math.nan))


def log(x: Any) -> Any:
    """The natural logarithm."""
    k, y = _parts_of_log(x)
    return _at_the_ends(x, k * LN2 + (y + k * LN2_REST))


def log2(x: Any) -> Any:
    """The logarithm to base 2, exact at powers of 2."""
    k, y = _parts_of_log(x)
    return _at_the_ends(x, k + y * LOG2_E)


def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    k, y = _parts_of_log(x)
    return _at_the_ends(x, k * LOG10_2 + (y * LOG10_E + k * LOG10_2_REST))


def log1p(x: Any) -> Any:
    """log(1 + x), with what the rounding of 1 + x loses put back."""
    w = 1.0 + x
    y = log(w)
    corrected = y + (x - (w - 1.0)) / w
    ordinary = (w > 0.0) & (w < math.inf)
    return where(w == 1.0, x, where(ordinary, corrected, y))


def tanh(x: Any) -> Any:
    """a − a³ p(a²) / q(a²) near 0, else 1 − 2s / (1 + s) with s = e^(−2a), where a = |x|; its sign.

    The quotient of polynomials is the seventh convergent of Lambert's continued fraction
    x / (1 + x² / (3 + x² / (5 + …))). It is at most 2 ulps off, as the C library is, in half the
    time, and e^(−a) is in the slope too. Source: DLMF 4.39.1.
    """
    a = abs(x)
    small = exp(-a)
    s, z = small * small, x * x
    p, q = z * polynomial(TANH[0], z), polynomial(TANH[1], z)
    near = a < 0.55
    part = where(near, a * p, s + s) / where(near, q, 1.0 + s)
    return copysign(where(near, a, 1.0) - part, x)


def exp2(x: Any) -> Any:
    """2^x, as a power."""
    return 2.0**x


def cbrt(x: Any) -> Any:
    """The cube root: a power, then one step of Newton's method."""
    a = abs(x)
    root = a ** (1.0 / 3.0)
    root = root - (root - a / (root * root)) / 3.0
    ordinary = (a > 0.0) & (a < math.inf)
    return where(ordinary, copysign(root, x), x)
