"""exp, log and their kin in multiplications and additions, for lanes without a vector library.

Written like the other formulas, over anything with arithmetic, so that they vectorise on every
platform. Errors against the C library, measured and held by the tests: at most 4 ulps.
Sources: Muller, *Elementary Functions*, 3rd edition, chapters 5 and 11 (reduction by 2ᵏ in two
parts of log 2, series for exp on ±½ log 2 and for 2 artanh of (m − 1)/(m + 1)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_scalar.compiler.ir.tape import COMPARISONS
from tinygrad_scalar.core import primitives as p
from tinygrad_scalar.core.primitive import Primitive

EQ, GT, LT = (COMPARISONS[name] for name in ("eq", "gt", "lt"))
where: Any = p.where

LOG2_E = 1.4426950408889634
LN2, LN2_REST = 0.6931471803691238, 1.9082149292705877e-10  # k · LN2 is exact
LOG10_2, LOG10_2_REST = 0.3010299956513336, 1.2647602381650425e-11  # the same for log10
LOG10_E = 0.4342944819032518
OVERFLOW, UNDERFLOW = 709.782712893384, -745.1332191019412
SUBNORMAL, LIFT = 2.2250738585072014e-308, 2.0**54

# The parts of a number's bits: engines that have them in one instruction know these rows.
POWER_OF_TWO = Primitive("power_of_two", lambda k: math.ldexp(1.0, int(k)), (0,), arity=1)
EXPONENT = Primitive("exponent", lambda x: float(math.frexp(x)[1] - 1), (0,), arity=1)
MANTISSA = Primitive("mantissa", lambda x: 2 * math.frexp(x)[0], (0,), arity=1)
BITS = frozenset((POWER_OF_TWO, EXPONENT, MANTISSA))


def _reduced(x: Any) -> tuple[Any, Any, Any]:
    """(k, eʳ − 1, x) with x = k log 2 + r, where x is 0 wherever eˣ is none or no number."""
    x = where(LT(p.abs(x), 746.0), x, 0.0)
    k = p.round(x * LOG2_E)
    r = (x - k * LN2) - k * LN2_REST
    series: Any = 1 / math.factorial(14)
    for n in range(13, 1, -1):
        series = series * r + 1 / math.factorial(n)
    return k, r + r * r * series, x


def exp(x: Any) -> Any:
    """e^x; two factors 2^k, so that the subnormal numbers are reached."""
    k, small, _ = _reduced(x)
    half = p.floor(0.5 * k)
    y = (1.0 + small) * POWER_OF_TWO(half) * POWER_OF_TWO(k - half)
    finite = where(GT(x, OVERFLOW), math.inf, where(LT(x, UNDERFLOW), 0.0, y))
    return where(EQ(x, x), finite, x)


def expm1(x: Any) -> Any:
    """e^x − 1, as 2^k (e^r − 1) + (2^k − 1)."""
    near = where(LT(p.abs(x), 40.0), x, 0.0)
    k, small, _ = _reduced(near)
    scale = POWER_OF_TWO(k)
    far = where(GT(x, 0.0), exp(x), where(EQ(x, x), -1.0, x))
    close = where(EQ(k, 0.0), small, scale * small + (scale - 1.0))
    return where(EQ(x, 0.0), x, where(LT(p.abs(x), 40.0), close, far))


def _parts_of_log(x: Any) -> tuple[Any, Any]:
    """(k, log m) with x = 2ᵏ m and m between √½ and √2."""
    small = LT(x, SUBNORMAL)
    lifted = where(small, x * LIFT, x)
    k, m = EXPONENT(lifted), MANTISSA(lifted)
    high = GT(m, math.sqrt(2.0))
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
    inside = where(LT(x, math.inf), y, x)
    return where(GT(x, 0.0), inside, where(EQ(x, 0.0), -math.inf, math.nan))


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
    ordinary = where(GT(w, 0.0), LT(w, math.inf), 0.0)
    return where(EQ(w, 1.0), x, where(ordinary, corrected, y))


def tanh(x: Any) -> Any:
    """−t / (2 + t) with t = e^(−2|x|) − 1, with the sign of x."""
    t = expm1(-2.0 * p.abs(x))
    return p.copysign(-t / (2.0 + t), x)


ELEMENTARY: dict[Primitive, Callable[..., Any]] = {
    p.exp: exp,
    p.expm1: expm1,
    p.log: log,
    p.log2: log2,
    p.log10: log10,
    p.log1p: log1p,
    p.tanh: tanh,
}
