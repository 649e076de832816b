"""Formulas of log B and of polygamma, and differences of it that do not cancel.

Errors were measured against mpmath and are held by the tests. What a formula is stands in `parts`.
An order `n` is a plain number.
"""

import math
from math import log, log1p
from typing import Any

from tinygrad_scalar.numbers.numerics import floor, maximum, minimum
from tinygrad_scalar.numbers.parts import polynomial, where
from tinygrad_scalar.numbers.polygamma import (
    BERNOULLI_BY_FACTORIAL,
    digamma,
)

HALF_LOG_TWO_PI = 0.9189385332046728
# log Γ(1 + d) / (d (d − 1)) in powers of 2d − 1, for d from 0 to 1.
LOG_GAMMA = (
    0.4831289505409809, -0.07297994795715304, 0.01572785026864542, -0.003913560937627712,
    0.0010498186643114226, -0.00029455070147065866, 8.510090557578434e-05,
    -2.5094329288815257e-05, 7.511379855481206e-06, -2.274243403133106e-06,
    6.948877197562772e-07, -2.138781508158277e-07, 6.613648184278213e-08, -2.0587178010528767e-08,
    6.5744295616983814e-09, -2.0645205106753336e-09, 5.338892309612246e-10,
    -1.6832632347974095e-10, 1.0811060848639768e-10, -3.44138388395326e-11,
)  # fmt: skip
# B₂ₖ / (2k (2k − 1)) of Stirling's series.
STIRLING = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400,
)  # fmt: skip
FAR = 10.0  # from where Stirling's series is exact to the last digit


def _log_gamma(x: Any) -> Any:
    """Log Γ(x) for x > 0, with its relative precision kept at the zeros 1 and 2.

    Source: Γ(x + 1) = x Γ(x) down to 1 ≤ x ≤ 2, Stirling's series from 10.
    """
    return where(x < FAR, lambda: _log_gamma_near(x), lambda: _log_gamma_far(x))


def _log_gamma_near(x: Any) -> Any:
    small = x < 1.0
    over: Any = 1.0
    for k in range(1, int(FAR) - 1):
        over = over * where(x >= k + 1.0, x - k, 1.0)
    d = where(small, x, x - floor(x))
    shift = log(where(small, x, over))
    return where(small, -shift, shift) + d * (d - 1.0) * polynomial(LOG_GAMMA, 2.0 * d - 1.0)


def _log_gamma_far(x: Any) -> Any:
    return (x - 0.5) * (log(x) - 1.0) + (HALF_LOG_TWO_PI - 0.5) + _stirling(x)


def _stirling(x: Any) -> Any:
    """Log Γ(x) less (x − ½) log x − x + ½ log 2π, for x ≥ 10."""
    inverse = 1.0 / x
    return inverse * polynomial(STIRLING, inverse * inverse)


def betaln(a: Any, b: Any) -> Any:
    """Log B(a, b) = log Γ(a) + log Γ(b) − log Γ(a + b), which cancel for large arguments.

    Domain: a > 0, b > 0, else ValueError; −inf where an argument is inf. O(1). Error below 1e-14
    of the result, and near its zeros of 1.
    Source: DiDonato and Morris 1992, ACM TOMS 18, 360–373 (Stirling's series of all three at once).

    >>> betaln(1.0, 1.0), f"{betaln(1e10, 1e10):.9f}", f"{betaln(0.5, 1e10):.12f}"
    (0.0, '-13862943621.446319580', '-10.940560522033')
    """
    small, large = minimum(a, b), maximum(a, b)
    near = lambda: _log_gamma(small) + (_log_gamma(large) - _log_gamma(small + large))  # noqa: E731
    one_far = lambda: _log_gamma(small) + _log_gamma_ratio(small, large)  # noqa: E731
    both_far = lambda: _log_beta_far(small, large)  # noqa: E731
    far = lambda: where(small < FAR, one_far, both_far)  # noqa: E731
    finite = lambda: where(large < FAR, near, far)  # noqa: E731
    inside = lambda: where(large == math.inf, -math.inf, finite)  # noqa: E731
    return where(small > 0.0, inside, lambda: log(-1.0 + 0.0 * small))


def _log_gamma_ratio(a: Any, b: Any) -> Any:
    """Log Γ(b) − log Γ(a + b) for b ≥ 10."""
    corrections = _stirling(b) - _stirling(a + b)
    return corrections - (b + a - 0.5) * log1p(a / b) - a * (log(b) - 1.0)


def _log_beta_far(a: Any, b: Any) -> Any:
    ratio = a / b
    corrections = _stirling(a) + (_stirling(b) - _stirling(a + b))
    powers = (a - 0.5) * log(ratio / (1.0 + ratio)) - b * log1p(ratio)
    return powers + (HALF_LOG_TWO_PI - 0.5 * log(b)) + corrections


def polygamma(n: float, x: Any) -> Any:
    """ψ⁽ⁿ⁾(x), as `polygamma.polygamma`, NaN at the poles and for an n that is no order."""
    if not (n >= 0 and float(n).is_integer()):
        return math.nan
    order = int(n)
    if order == 0:
        return digamma(x)
    odd = order % 2 == 1

    def left() -> Any:
        distance = -x - floor(-x)
        inside = where(distance > 0.0, distance, math.nan)
        below = _factorial_zeta(order, inside) - _factorial_zeta(order, 1.0 - x)
        return _factorial_zeta(order, 1.0 - inside) + (below if odd else -below)

    total = where(x > 0.0, lambda: _factorial_zeta(order, x), left)
    return total if odd else -total


def _factorial_zeta(n: int, x: Any) -> Any:
    """Sum n!/(x + k)ⁿ⁺¹ over k ≥ 0 for x > 0, by Euler and Maclaurin beyond n + 11."""
    power = n + 1
    total: Any = 0.0
    for k in range(power + 10):
        total = total + _whole_power(x / (x + k), power)
    start = x + (power + 10.0)
    tail, rising = start / n + 0.5, power / start
    for k, coefficient in enumerate(BERNOULLI_BY_FACTORIAL, start=1):
        tail = tail + coefficient * rising
        rising = rising * ((power + 2 * k - 1) / start * ((power + 2 * k) / start))
    factor = (total + _whole_power(x / start, power) * tail) / x
    for k in range(1, power):  # downward, or upward, all the way: only the result can overflow
        factor = factor * (k / x)
    return where(x == math.inf, 0.0, factor)


def _whole_power(x: Any, power: int) -> Any:
    result: Any = 1.0
    for bit in f"{power:b}":
        result = result * result
        result = result * x if bit == "1" else result
    return result


def polygamma_difference(n: float, a: Any, b: Any) -> Any:
    """ψ⁽ⁿ⁾(a + b) − ψ⁽ⁿ⁾(a), which cancel where b is small beside a: each term's own difference.

    Domain: whole n ≥ 0, a > 0, b > 0. O(n). Relative error below 1e-14 for n ≤ 4.
    Source: as `_factorial_zeta`, with pᵐ − qᵐ = (p − q) (pᵐ⁻¹ + pᵐ⁻² q + … + qᵐ⁻¹).

    >>> f"{polygamma_difference(0, 1e10, 1.0):.12e}", f"{polygamma_difference(1, 1e10, 1.0):.12e}"
    ('1.000000000000e-10', '-1.000000000000e-20')
    """
    order = int(n)
    power, count = order + 1, order + 11
    total: Any = 0.0
    for k in range(count):
        p, q = 1.0 / (a + k), 1.0 / (a + k + b)
        total = total + b * q * p * _last_mixed_power(p, q, power)
    start = a + count
    p, q = 1.0 / start, 1.0 / (start + b)
    mixed: Any = 1.0  # Σ pⁱ qᵐ⁻¹⁻ⁱ over i < m, and pᵐ, where m is 1
    p_power = p
    tail: Any = 0.0
    rising = 1.0
    for m in range(1, order + 2 * len(BERNOULLI_BY_FACTORIAL) + 1):
        k, odd = divmod(m - order, 2)
        if m == order:
            tail = tail + mixed / order
        elif m == power:
            tail = tail + 0.5 * mixed
        elif m > power and not odd:
            tail = tail + BERNOULLI_BY_FACTORIAL[k - 1] * rising * mixed
        rising = rising * m if m >= power else rising  # m! / n!
        mixed, p_power = mixed * q + p_power, p_power * p
    total = (total + b * q * p * tail) * math.factorial(order)
    total = total if order else total + log1p(b / start)
    return -total if order % 2 else total


def _last_mixed_power(p: Any, q: Any, m: int) -> Any:
    """Σ pⁱ qᵐ⁻¹⁻ⁱ over i < m."""
    mixed: Any = 1.0
    p_power = p
    for _ in range(1, m):
        mixed, p_power = mixed * q + p_power, p_power * p
    return mixed
