"""Formulas of logarithms and activations that keep their relative precision in both tails.

Errors stated were measured against mpmath and are held by the tests. What a formula is stands in
`parts`.
"""

import math
from math import atanh, copysign, exp, expm1, log, log1p, sin
from typing import Any

from tinygrad_scalar.numbers.parts import where
from tinygrad_scalar.numbers.special import softplus

LN2 = math.log(2.0)
SELU, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def log_sigmoid(x: Any) -> Any:
    """log σ(x) = −softplus(−x). Domain: all reals. Relative error below 5e-16, no errors.

    >>> log_sigmoid(1000.0), log_sigmoid(-1000.0)
    (-0.0, -1000.0)
    """
    return -softplus(-x)


def logit(x: Any) -> Any:
    """log(x / (1 − x)), the inverse of σ; near ½ as 2 artanh(2x − 1), which does not cancel there.

    Domain: 0 < x < 1, else ValueError. Relative error below 1e-15.

    >>> logit(0.5), f"{logit(1e-300):.9f}"
    (0.0, '-690.775527898')
    """
    near = (x > 0.25) & (x < 0.75)
    return where(near, lambda: 2.0 * atanh(2.0 * x - 1.0), lambda: log(x) - log1p(-x))


def logaddexp(a: Any, b: Any) -> Any:
    """log(eᵃ + eᵇ), without overflow. Domain: all reals; no errors.

    >>> f"{logaddexp(1000.0, 1000.0):.9f}", logaddexp(-math.inf, -math.inf)
    ('1000.693147181', -inf)
    """
    apart = where(a == b, 0.0, abs(a - b))
    return where(a >= b, a, where(b > a, b, a + b)) + log1p(exp(-apart))


def xlogy(x: Any, y: Any) -> Any:
    """x · log y, and 0 where x is 0, whatever y is (NaN passes).

    Domain: y > 0, else ValueError unless x is 0.

    >>> xlogy(0.0, 0.0), xlogy(2.0, 1.0)
    (0.0, 0.0)
    """
    return where(x == 0.0, where(y == y, 0.0, y), lambda: x * log(y))


def log1mexp(x: Any) -> Any:
    """log(1 − e⁻ˣ). Domain: x > 0, else ValueError. Relative error below 1e-15.

    Source: Mächler 2012, "Accurately computing log(1 − exp(−|a|))".

    >>> f"{log1mexp(1e-300):.9f}", f"{log1mexp(100.0):.12e}"
    ('-690.775527898', '-3.720075976021e-44')
    """
    return where(x < LN2, lambda: log(-expm1(-x)), lambda: log1p(-exp(-x)))


def sinc(x: Any) -> Any:
    """sin x / x, 1 at 0. Domain: all reals; 0 at ±inf is not taken: sin raises there.

    >>> sinc(0.0), sinc(math.pi / 2) == 2 / math.pi
    (1.0, True)
    """
    return where(x == 0.0, 1.0, lambda: sin(x) / x)


def softsign(x: Any) -> Any:
    """x / (1 + |x|), the sign of x at ±inf. Domain: all reals, no errors.

    >>> softsign(1.0), softsign(-math.inf)
    (0.5, -1.0)
    """
    size = abs(x)
    return where(size == math.inf, lambda: copysign(1.0, x), lambda: x / (1.0 + size))


def hardtanh(x: Any) -> Any:
    """x, but at least −1 and at most 1. Domain: all reals, exact, no errors.

    >>> hardtanh(0.5), hardtanh(-3.0)
    (0.5, -1.0)
    """
    return where(x < -1.0, -1.0, where(x > 1.0, 1.0, x))


def mish(x: Any) -> Any:
    """x · tanh(log(1 + eˣ)). Domain: all reals, no errors; −0.0 at −inf.

    Relative error below 2e-15. Written in w = e^−|x|, which neither overflows nor cancels.
    Source: Misra 2019, arXiv:1908.08681.

    >>> mish(0.0), mish(1000.0), f"{mish(-1.0):.12f}"
    (0.0, 1000.0, '-0.303401461374')
    """
    root = exp(-0.5 * abs(x))
    w = root * root
    right = x * ((1.0 + 2.0 * w) / (1.0 + 2.0 * w + 2.0 * w * w))
    left = lambda: where(  # noqa: E731
        x < -1500.0, -0.0, x * root * root * ((w + 2.0) / (w * w + 2.0 * w + 2.0))
    )
    return where(x >= 0.0, right, left)


def selu(x: Any) -> Any:
    """λ x where x > 0, else λ α (eˣ − 1), λ and α such that means 0 and variances 1 are kept.

    Domain: all reals, no errors. Source: Klambauer et al. 2017, arXiv:1706.02515.

    >>> selu(1.0), round(selu(-1.0), 12)
    (1.0507009873554805, -1.111330737813)
    """
    return where(x > 0.0, SELU * x, lambda: SELU * SELU_ALPHA * expm1(where(x > 0.0, 0.0, x)))
