"""The gamma family: lgamma and polygamma in plain floats, digamma as a formula.

The errors stated were measured against mpmath and are held by the tests. At the poles
(0, −1, −2, …) the functions raise `ValueError`, as `math.gamma` and `math.lgamma` do.
"""

import math
from collections.abc import Sequence
from math import copysign, exp, fmod, log, tan
from typing import Any

from tinygrad_scalar.numbers.parts import where

# The positive zero of digamma in two parts; its Taylor coefficients there, from the first.
ROOT, ROOT_REST = 1.4616321449683622, 9.549995429965697e-17
DIGAMMA_AT_ROOT = (
    0.9676722454476212, -0.4427631689835921, 0.258499760955651, -0.16394270544240652,
    0.10782405069126237, -0.07219956125645471, 0.04880428816414311, -0.03316112647484736,
    0.022597648232218104, -0.01542476590494896, 0.010538791616612175, -0.007204534386356869,
    0.004926781395729853, -0.003369801655439328,
)  # fmt: skip
# The Taylor coefficients of log Γ at 2, from the first: 1 − γ, then (−1)ᵏ (ζ(k) − 1) / k.
LOG_GAMMA_AT_2 = (
    0.42278433509846713, 0.3224670334241132, -0.0673523010531981, 0.020580808427784546,
    -0.007385551028673986, 0.0028905103307415234, -0.001192753911703261, 0.0005096695247430425,
    -0.00022315475845357939, 9.945751278180853e-05, -4.492623673813314e-05, 2.050721277567069e-05,
    -9.439488275268397e-06, 4.374866789907488e-06, -2.039215753801366e-06, 9.55141213040742e-07,
    -4.492469198764566e-07,
)  # fmt: skip
# With B the Bernoulli numbers: B₂ₖ / 2k for k = 1 … 8, and B₂ₖ / (2k)! for k = 1 … 10.
BERNOULLI_BY_INDEX = (
    1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160,
)  # fmt: skip
BERNOULLI_BY_FACTORIAL = (
    0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07,
    2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15, -2.174868698558062e-16,
)  # fmt: skip


def _power_series(coefficients: Sequence[float], x: Any) -> Any:
    """c₁ x + c₂ x² + …, by Horner's rule."""
    total: Any = 0.0
    for coefficient in reversed(coefficients):
        total = (total + coefficient) * x
    return total


def lgamma(x: float) -> float:
    """Log |Γ(x)|, as `math.lgamma`, with its relative precision kept at the zeros 1 and 2.

    Domain: all reals but 0, −1, −2, …; inf at ±inf. Types: float. O(1).
    Relative error below 2e-14 for x > 0, where `math.lgamma` has lost half its digits at 1 + 1e-8
    and all at 1 + 1e-15; for x < 0 `math.lgamma` itself, absolute error below 3e-14 on (−20, 0).
    Errors: `ValueError` at the poles, `OverflowError` above 2.5e305.
    Source: Abramowitz and Stegun 6.1.33, around 2 and, by Γ(x + 1) = x Γ(x), around 1.

    >>> lgamma(1.0), lgamma(2.0), f"{lgamma(1 + 2**-40):.12e}"
    (0.0, 0.0, '-5.249745890076e-13')
    """
    if 1.75 < x < 2.25:
        return float(_power_series(LOG_GAMMA_AT_2, x - 2.0))
    if 0.75 < x < 1.25:
        return float(_power_series(LOG_GAMMA_AT_2, x - 1.0)) - math.log1p(x - 1.0)
    return math.lgamma(x)


def digamma(x: Any) -> Any:
    """ψ(x) = Γ′(x) / Γ(x).

    Domain: all reals but 0, −1, −2, … and −inf; inf at inf. Types: float. O(1).
    Relative error below 2e-14 for x > 0, at the zero 1.4616 too. For x < 0 there is a zero between
    any two poles: absolute error below 1e-15 · (1 + |ψ(1 − x)| + |π cot πx|).
    Errors: `ValueError` at the poles, `OverflowError` nearer to 0 than 5.6e-309.
    Source: DLMF 5.5.2 (upward to 10), 5.11.2 (beyond), 5.5.4 (reflection, with the whole part of x
    taken off exactly); a Taylor series around the zero.

    >>> f"{digamma(1.0):.12f}", f"{digamma(-0.5):.12f}", f"{digamma(1.4616321449683622):.6e}"
    ('-0.577215664902', '0.036489973979', '-9.241266e-17')
    """
    size = abs(x)
    # so near to 0, −1/x is no float; at 0 there is no value, and on floats the logarithm raises
    pole = lambda: where(  # noqa: E731
        size > 0.0, lambda: -copysign(exp(1e3 + size), x), lambda: log(size - 1.0)
    )
    left = lambda: _digamma_right(1.0 - x) - _pi_cotangent(x)  # noqa: E731
    ordinary = lambda: where(x > 0.0, lambda: _digamma_right(x), left)  # noqa: E731
    inside = lambda: where(size < 5.562684646268e-309, pole, ordinary)  # noqa: E731
    return where(x == x, inside, x)


def _digamma_right(x: Any) -> Any:
    rest = x - ROOT
    at_root = lambda: _power_series(DIGAMMA_AT_ROOT, rest - ROOT_REST)  # noqa: E731
    return where(abs(rest) < 0.125, at_root, lambda: _digamma_by_series(x))


def _digamma_by_series(x: Any) -> Any:
    below: Any = 0.0
    for _ in range(10):
        small = x < 10.0
        below = below + where(small, 1.0 / x, 0.0)
        x = where(small, x + 1.0, x)
    tail = _power_series(BERNOULLI_BY_INDEX, 1.0 / (x * x))
    return log(x) - 0.5 / x - tail - below


def _pi_cotangent(x: Any) -> Any:
    """π cot πx; the period is taken off before π, both exactly."""
    rest = fmod(x, 1.0)
    rest = where(rest > 0.5, rest - 1.0, where(rest < -0.5, rest + 1.0, rest))
    size = abs(rest)
    flat = lambda: math.pi * tan(math.pi * (0.5 - size))  # noqa: E731
    steep = lambda: math.pi / tan(math.pi * size)  # noqa: E731
    between = lambda: copysign(1.0, rest) * where(size > 0.25, flat, steep)  # noqa: E731
    return where(size > 0.0, between, lambda: log(size - 1.0))  # at the poles it raises, on floats


def polygamma(n: float, x: float) -> float:
    """ψ⁽ⁿ⁾(x), the n-th derivative of digamma: (−1)ⁿ⁺¹ n! Σ 1/(x + k)ⁿ⁺¹ over k ≥ 0 if n > 0.

    Domain: whole n ≥ 0 (int or float); all real x but 0, −1, −2, … and −inf.
    Types: float. O(n). For 1 ≤ n ≤ 10 (beyond, the errors grow in proportion to n): relative error
    below 1e-14 for x > 0, and for x < 0 and odd n; for x < 0 and even n, where there are zeros,
    1e-14 times the sum of the absolute values of the terms 1/(x + k)ⁿ⁺¹ and n!. n = 0: see digamma.
    Errors: `ValueError` at the poles and for other n, `OverflowError` too near to a pole.
    Source: DLMF 25.11.12, 25.11.43 and, for x < 0, 25.11.3 from both sides of zero.

    >>> f"{polygamma(1, 1.0):.12f}", f"{polygamma(2, 0.25):.9f}", f"{polygamma(3, -0.5):.9f}"
    ('1.644934066848', '-129.327739938', '193.409091034')
    """
    if not (n >= 0 and float(n).is_integer()):
        raise ValueError(f"polygamma: give a whole order n of at least 0, got {n!r}")
    order = int(n)
    if order == 0:
        return float(digamma(x))
    odd = order % 2 == 1
    if x > 0:
        total = _factorial_zeta(order, x)
    else:
        distance = math.fmod(-x, 1.0)  # from x up to the next whole number; exact
        if distance == 0.0:
            raise ValueError("math domain error")
        left = _factorial_zeta(order, distance) - _factorial_zeta(order, 1.0 - x)
        total = _factorial_zeta(order, 1.0 - distance) + (left if odd else -left)
    return total if odd else -total


def _factorial_zeta(n: int, x: float) -> float:
    """Sum n!/(x + k)ⁿ⁺¹ over k ≥ 0 for x > 0, by Euler and Maclaurin beyond n + 11."""
    if x == math.inf:
        return 0.0
    power = n + 1
    total, start = 0.0, x
    while start < power + 10:
        total += (x / start) ** power
        start += 1.0
    tail, rising = start / n + 0.5, power / start
    for k, coefficient in enumerate(BERNOULLI_BY_FACTORIAL, start=1):
        tail += coefficient * rising
        rising *= (power + 2 * k - 1) / start * ((power + 2 * k) / start)
    return _times_factorial_over_power(total + (x / start) ** power * tail, n, x)


def _times_factorial_over_power(factor: float, n: int, x: float) -> float:
    """Give factor · n! / xⁿ⁺¹; with its exponent kept apart only the result can overflow."""
    base, base_exponent = math.frexp(x)
    mantissa, exponent = math.frexp(factor)
    mantissa /= base
    for k in range(1, n + 1):
        mantissa, shift = math.frexp(mantissa * k / base)
        exponent += shift
    return math.ldexp(mantissa, exponent - (n + 1) * base_exponent)
