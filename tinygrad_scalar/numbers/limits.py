"""Values at poles as IEEE arithmetic has them, and mpmath's counterparts of a few rows.

Rows name these as `limit=` (asked only where the forward rule raises) and `mpmath=`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
    if x <= 0 and not x % 1 > 0:  # at −∞ too
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
    if abs(u) > 10**6:  # σ is 0 or 1 to a million digits, of which mpmath would work out many
        return x if u > 0 else 0 * x
    return x / (1 + m.exp(-2 * u))


def mpmath_cross_entropy(m: Any, *x: Any) -> Any:
    """Σ t (logsumexp(logits) − logit), logits first, targets second."""
    logits, targets = x[: len(x) // 2], x[len(x) // 2 :]
    total = m.log(m.fsum(m.exp(a) for a in logits))
    return m.fsum(t * (total - a) for a, t in zip(logits, targets, strict=True))


def mpmath_erfcx(m: Any, x: Any) -> Any:
    """e^(x²) erfc x."""
    return mpmath_erfcx_derivative(m, 0, x)


def mpmath_erfcx_derivative(m: Any, n: Any, x: Any) -> Any:
    """Its n-th derivative: by DLMF 7.18.11, or on the left by the recurrence, which is stable."""
    order = int(n)
    if x > 1:
        return (
            (-1) ** order
            * m.factorial(order)
            / m.sqrt(m.pi)
            * m.hyperu(m.mpf(order + 1) / 2, m.mpf(1) / 2, x * x)
        )
    with m.workprec(m.mp.prec + 10 * order + 20):
        before = m.exp(x * x) * m.erfc(x)
        now = 2 * x * before - 2 / m.sqrt(m.pi)
        for k in range(1, order):
            before, now = now, 2 * x * now + 2 * k * before
    return +now if order else +before


def mpmath_log_normal_cdf(m: Any, x: Any) -> Any:
    """log Φ(x), by erfcx, whose argument may be large."""
    scaled = mpmath_erfcx(m, abs(x) / m.sqrt(2)) / 2
    return m.log1p(-scaled * m.exp(-x * x / 2)) if x > 0 else m.log(scaled) - x * x / 2


def mpmath_inverse_mills_ratio(m: Any, x: Any) -> Any:
    """φ(x) / Φ(x), by erfcx, whose argument may be large."""
    if x > 0:
        return m.npdf(x) / m.ncdf(x)
    return m.sqrt(2 / m.pi) / mpmath_erfcx(m, -x / m.sqrt(2))


def mpmath_log_normal_cdf_derivative(m: Any, n: Any, x: Any) -> Any:
    """The n-th derivative of log Φ, n ≥ 1, with the digits more that cancel on the left."""
    order = int(n)
    with m.workprec(m.mp.prec + 30 + 10 * order + 2 * order * max(m.mag(x), 0)):
        ratio = mpmath_inverse_mills_ratio(m, x)
        slopes, excesses = [ratio], [x + ratio]
        for k in range(order - 1):
            parts = (m.binomial(k, j) * slopes[j] * excesses[k - j] for j in range(k + 1))
            slopes.append(-m.fsum(parts))
            excesses.append(slopes[-1] + (k == 0))
    return +slopes[-1]


def mpmath_erfinv(m: Any, x: Any) -> Any:
    """The y with erf y = x."""
    if abs(x) < 0.5:
        scale = m.sqrt(m.pi) / 2
        return _newton(m, x * scale, lambda y: (m.erf(y) - x) * scale * m.exp(y * y))
    return m.sign(x) * _mpmath_erfc_inverse(m, 1 - abs(x))


def mpmath_normal_ppf(m: Any, p: Any) -> Any:
    """The y with Φ(y) = p."""
    if 0.25 < p < 0.75:
        return m.sqrt(2) * mpmath_erfinv(m, 2 * p - 1)
    y = m.sqrt(2) * _mpmath_erfc_inverse(m, 2 * min(p, 1 - p))
    return y if p > 0.5 else -y


def _mpmath_erfc_inverse(m: Any, c: Any) -> Any:
    """The y with erfc y = c, for c up to ½: Newton's method on the logarithm, which is concave."""
    goal, scale = m.log(c), m.sqrt(m.pi) / 2
    return _newton(
        m, m.sqrt(-goal), lambda y: (goal - m.log(m.erfc(y))) * mpmath_erfcx(m, y) * scale
    )


def _newton(m: Any, y: Any, step: Callable[[Any], Any]) -> Any:
    """A zero by Newton's method: at few digits until it settles, then at twice as many a step."""
    goal, precision = m.mp.prec, 60
    with m.workprec(precision):
        for _ in range(100):
            change = step(y)
            y -= change
            if abs(change) <= abs(y) * 2.0**-40:
                break
    while precision < goal + 20:
        precision = min(2 * precision - 20, goal + 20)
        with m.workprec(precision):
            y -= step(y)
    return +y


def mpmath_betaln(m: Any, a: Any, b: Any) -> Any:
    """log B(a, b), with the digits more that cancel for large arguments."""
    with m.workprec(m.mp.prec + 30 + max(m.mag(a), m.mag(b), 0)):
        y = m.loggamma(a) + m.loggamma(b) - m.loggamma(a + b)
    return +y


def mpmath_polygamma(m: Any, n: Any, x: Any) -> Any:
    """ψ⁽ⁿ⁾(x); left of −1 by reflection, for mpmath's own goes up from there one by one.

    Source: DLMF 5.15.6, for x and for its distance from the whole number below.
    """
    order = int(n)
    if order == 0 or not -m.inf < x < -1 or m.isint(x):
        return m.psi(order, x)
    rest = x - m.floor(x)
    difference = m.psi(order, 1 - x) - m.psi(order, 1 - rest)
    return m.psi(order, rest) + (-difference if order % 2 else difference)


def mpmath_polygamma_difference(m: Any, n: Any, a: Any, b: Any) -> Any:
    """ψ⁽ⁿ⁾(a + b) − ψ⁽ⁿ⁾(a), with the digits more that cancel where b is small beside a."""
    with m.workprec(m.mp.prec + 30 + max(m.mag(a) - m.mag(b), 0)):
        y = m.psi(int(n), a + b) - m.psi(int(n), a)
    return +y
