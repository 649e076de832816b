"""Values at poles as IEEE arithmetic has them, and mpmath's counterparts of a few rows.

Rows name these as `limit=` (asked only where the forward rule raises) and `mpmath=`.
"""

from __future__ import annotations

import math
from typing import Any

NAN, INFINITY = math.nan, math.inf


def divide(a: Any, b: Any) -> float:
    """a / 0: signed infinity, NaN for 0 / 0.

    >>> divide(-1.0, 0.0), divide(0.0, 0.0)
    (-inf, nan)
    """
    if not a or a != a:
        return NAN
    return math.copysign(INFINITY, a) * math.copysign(1.0, b)


def power(a: Any, b: Any) -> float:
    """a ** b where it raises: a pole at 0, no real value for a negative base, or overflow.

    >>> power(0.0, -0.5), power(-0.0, -3.0), power(-2.0, 0.5), power(-10.0, 999.0)
    (inf, -inf, nan, -inf)
    """
    odd = b % 2 == 1
    if a == 0:
        return math.copysign(INFINITY, a) if odd else INFINITY
    if a < 0:
        return (-INFINITY if odd else INFINITY) if b == math.floor(b) else NAN
    return INFINITY


def log(x: Any) -> float:
    """log 0 is -inf, of anything negative NaN.

    >>> log(0.0), log(-1.0)
    (-inf, nan)
    """
    return -INFINITY if x == 0 else NAN


def pole_at_zero(x: Any, sign: int, order: int = 1) -> float:
    """sign / x^order where that overflows near 0; NaN at the poles themselves.

    >>> pole_at_zero(5e-324, -1), pole_at_zero(-5e-324, -1), pole_at_zero(-2.0, 1)
    (-inf, inf, nan)
    """
    if x <= 0 and x % 1 == 0:
        return NAN
    return math.copysign(INFINITY, sign) * (math.copysign(1.0, x) if order % 2 else 1.0)


def mpmath_cbrt(m: Any, x: Any) -> Any:
    """The real cube root; mpmath's own is complex for negative numbers."""
    return m.sign(x) * m.cbrt(abs(x))


def mpmath_remainder(m: Any, a: Any, b: Any) -> Any:
    """IEEE remainder: a − n b with n the integer nearest to a / b, even at ties."""
    return a - m.nint(a / b) * b


def mpmath_fmod(m: Any, a: Any, b: Any) -> Any:
    """C's remainder, with the sign of a."""
    return m.sign(a) * m.fmod(abs(a), abs(b))


def mpmath_lgamma(m: Any, x: Any) -> Any:
    """log |Γ(x)|."""
    return m.loggamma(x).real if x > 0 else m.log(abs(m.gamma(x)))


def mpmath_gelu_tanh(m: Any, x: Any) -> Any:
    """x σ(2u) with u = √(2/π) (x + 0.044715 x³)."""
    u = m.sqrt(2 / m.pi) * (x + m.mpf(44715) / 10**6 * x**3)
    return x / (1 + m.exp(-2 * u))


def mpmath_cross_entropy(m: Any, *x: Any) -> Any:
    """Σ t (logsumexp(logits) − logit), logits first, targets second."""
    logits, targets = x[: len(x) // 2], x[len(x) // 2 :]
    total = m.log(m.fsum(m.exp(a) for a in logits))
    return m.fsum(t * (total - a) for a, t in zip(logits, targets, strict=True))
