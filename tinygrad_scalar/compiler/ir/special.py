"""The error function, roots and remainders in simpler rows, for engines that lack them.

Written like the other formulas, over anything with arithmetic. Errors against the C library,
measured and held by the tests: at most 4 ulps; `fmod` and `remainder` are exact.
Sources: Shepherd and Laframboise 1981, Math. Comp. 36, 249–253 (the error function in
(x − 3) / (x + 3), with coefficients of our own); IEEE 754-2019, 5.3.1 (remainder).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.tape import COMPARISONS
from tinygrad_scalar.core import primitives as p
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.special import _product_error

EQ, GE, GT, LT = (COMPARISONS[name] for name in ("eq", "ge", "gt", "lt"))
where: Any = p.where

# erf(x) / x in powers of x², for x up to 1.
ERF = (
    1.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792,
    0.0052239776248180145, -0.000854832698083379, 0.0001205533111164271,
    -1.4925595266831182e-05, 1.6461000484121368e-06, -1.6350312701054695e-07,
    1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11,
)  # fmt: skip
# (1 + 2x) e^(x²) erfc(x) in powers of (x − 3) / (x + 3), for x from ½.
ERFC = (
    1.2530080582697296, -0.1356211061245812, -0.04756229435345113, 0.12964515870276463,
    -0.11927366341527468, 0.06830802734382649, -0.02377051491972935, 0.0025293918188247794,
    0.001888690375555504, -0.0007798323014462081, -0.0001051599365097246,
    0.00012509955426271118, 4.950173560521449e-06, -2.0101508706745832e-05,
    -7.33686426065499e-07, 3.4754123465335582e-06, 3.6111326505816053e-07,
    -6.230702404690642e-07, -1.464210882999557e-07, 1.1067996426745221e-07,
    4.404797875133832e-08, -2.030202389500691e-08, -7.763887917930938e-09,
    3.4067993470325632e-09,
)  # fmt: skip

# The rounding error of a product; a native instruction for an engine that has fma.
PRODUCT_ERROR = Primitive("product_error", _product_error, (0, 0, 0), arity=3)


def product_error(a: Any, b: Any, product: Any) -> Any:
    """a·b − product exactly (Dekker 1971), where there is no fused multiply-add."""
    a_high = 134217729.0 * a
    a_high = a_high - (a_high - a)
    b_high = 134217729.0 * b
    b_high = b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    return a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    y: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        y = y * x + coefficient
    return y


def _erfc_right(a: Any) -> Any:
    """erfc for ½ ≤ a < 28; the rounding of a², which e^(−a²) would multiply, is undone."""
    square = a * a
    small = p.exp(-square)
    small = small - small * PRODUCT_ERROR(a, a, square)
    return small * (_polynomial(ERFC, (a - 3.0) / (a + 3.0)) / (1.0 + 2.0 * a))


def _up_to(limit: float, a: Any) -> Any:
    return where(LT(a, limit), a, limit)


def erf(x: Any) -> Any:
    """The error function: a polynomial up to 1, and 1 − erfc beyond."""
    a = p.abs(x)
    near = x * _polynomial(ERF, _up_to(1.0, x * x))
    far = p.copysign(1.0 - _erfc_right(_up_to(28.0, a)), x)
    return where(LT(a, 1.0), near, where(EQ(x, x), far, x))


def erfc(x: Any) -> Any:
    """The complement 1 − erf x, without cancellation on the right."""
    a = p.abs(x)
    near = 1.0 - x * _polynomial(ERF, _up_to(1.0, x * x))
    right = _erfc_right(_up_to(28.0, a))
    far = where(GT(x, 0.0), right, 2.0 - right)
    return where(LT(a, 0.5), near, where(EQ(x, x), far, x))


def cbrt(x: Any) -> Any:
    """The cube root: a power, then one step of Newton's method."""
    a = p.abs(x)
    root = a ** (1.0 / 3.0)
    root = root - (root - a / (root * root)) / 3.0
    ordinary = where(GT(a, 0.0), LT(a, math.inf), 0.0)
    return where(ordinary, p.copysign(root, x), x)


def fmod(a: Any, b: Any) -> Any:
    """C's remainder, with the sign of a, by Python's."""
    return p.copysign(p.mod(p.abs(a), p.abs(b)), a)


def remainder(a: Any, b: Any) -> Any:
    """IEEE's remainder: of the two next to 0 the smaller, at a tie that of the even quotient."""
    size = p.abs(b)
    rest = p.fmod(p.abs(a), size + size)
    once = rest - size
    twice = where(GE(once, size - once), once - size, once)
    nearest = where(GT(rest, size - rest), twice, rest)
    return p.copysign(1.0, a) * nearest


SPECIAL: dict[Primitive, Callable[..., Any]] = {
    PRODUCT_ERROR: product_error,
    p.erf: erf,
    p.erfc: erfc,
    p.exp2: lambda x: p.pow(2.0, x),
    p.cbrt: cbrt,
    p.fmod: fmod,
    p.remainder: remainder,
}
