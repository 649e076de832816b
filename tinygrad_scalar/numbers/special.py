"""Formulas of the activations and the normal distribution; log-sum-exp and what is built on it.

Each keeps its *relative* precision in both tails, down to the smallest normal number; below
2.3e-308, two units of 5e-324 come on top. The errors stated were measured against mpmath and are
held by the tests. inf and NaN pass through as in `math`.
`polygamma` holds the gamma family. What a formula is stands in `parts`.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from math import erfc, exp, log1p
from typing import Any

from tinygrad_scalar.numbers.numerics import add_all, maximum
from tinygrad_scalar.numbers.parts import product_error, where

INVERSE_ROOT_2 = 0.7071067811865476
INVERSE_ROOT_2_REST = -4.833646656726457e-17  # 1/√2 − INVERSE_ROOT_2
INVERSE_ROOT_2_PI = 0.3989422804014327
TWICE_ROOT_2_OVER_PI = 1.5957691216057308
ONE_OVER_ROOT_PI = 0.5641895835477563


def sigmoid(x: Any) -> Any:
    """σ(x) = 1 / (1 + e⁻ˣ).

    Domain: all reals. Types: float. O(1), relative error below 5e-16, no errors.
    Source: Deep Learning, equation 3.30; below 0 as eˣ / (1 + eˣ), which keeps the tail.

    >>> sigmoid(0.0), sigmoid(1000.0), sigmoid(-1000.0), f"{sigmoid(-100.0):.12e}"
    (0.5, 1.0, 0.0, '3.720075976021e-44')
    """
    small = exp(-abs(x))
    return where(x >= 0.0, 1.0, small) / (1.0 + small)


def logistic_pdf(x: Any) -> Any:
    """σ(x) σ(−x), the slope of the sigmoid and the density of the logistic distribution.

    Domain: all reals. Types: float. O(1), error at most 4 ulps, no errors.
    Written in e^−|x|, so that both tails keep their digits.

    >>> logistic_pdf(0.0), f"{logistic_pdf(40.0):.12e}", logistic_pdf(-1000.0)
    (0.25, '4.248354255292e-18', 0.0)
    """
    small = exp(-abs(x))
    return small / ((1.0 + small) * (1.0 + small))


def softplus(x: Any) -> Any:
    """Softplus: log(1 + eˣ), the smooth relu.

    Domain: all reals. Types: float. O(1), relative error below 5e-16, no errors.
    Source: Deep Learning, equation 3.31, as max(x, 0) + log1p(e^−|x|).

    >>> softplus(1000.0), f"{softplus(0.0):.12f}", f"{softplus(-100.0):.12e}"
    (1000.0, '0.693147180560', '3.720075976021e-44')
    """
    return where(x <= 0.0, 0.0, x) + log1p(exp(-abs(x)))


def silu(x: Any) -> Any:
    """SiLU: x · σ(x), also called swish.

    Domain: all reals. Types: float. O(1), relative error below 1e-15, no errors; −0.0 at −inf.
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415, section 2.

    >>> silu(0.0), silu(1000.0), f"{silu(-1.0):.12f}"
    (0.0, 1000.0, '-0.268941421370')
    """
    return _times_sigmoid(x, x)


def gelu_tanh(x: Any) -> Any:
    """½x · (1 + tanh u) with u = √(2/π) · (x + 0.044715 x³): GELU's approximation.

    Domain: all reals. Types: float. O(1), no errors; −0.0 at −inf. Relative error below 1e-15 for
    x > −1, below 5e-13 to the underflow at −21.7, where the rounding of u is felt. Written as
    x · σ(2u), because 1 + tanh u cancels for negative u.
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415, section 2.

    >>> gelu_tanh(0.0), gelu_tanh(1000.0), f"{gelu_tanh(-1.0):.12f}"
    (0.0, 1000.0, '-0.158808009392')
    """
    return _times_sigmoid(x, TWICE_ROOT_2_OVER_PI * (x + 0.044715 * x * x * x))


def _times_sigmoid(x: Any, t: Any) -> Any:
    """Product x · σ(t), x and t of one sign; halving the exponent keeps the digits of the tail."""
    root = exp(-0.5 * abs(t))
    small = root * root
    left = lambda: where(t < -1500.0, -0.0, x * root * root / (1.0 + small))  # noqa: E731
    return where(t >= 0.0, x / (1.0 + small), left)


def bell(x: Any) -> Any:
    """e^(−x²), to which the slope of the error function is proportional.

    Domain: all reals. Types: float. O(1), error at most 2 ulps, no errors. The rounding of x²,
    which the exponential would multiply by up to 745, is undone as in `normal_pdf`.

    >>> bell(0.0), f"{bell(23.7):.12e}", bell(1e200)
    (1.0, '1.151151436451e-244', 0.0)
    """
    near = where(abs(x) > 28.0, 28.0, x)
    square = near * near
    return exp(-square) * (1.0 - product_error(near, near, square))


def normal_pdf(x: Any) -> Any:
    """φ(x) = e^(−x²/2) / √(2π), the density of the normal distribution.

    Domain: all reals. Types: float. O(1), relative error below 1e-15, no errors.
    Source: Deep Learning, equation 3.21; x² is carried with its rounding error (Dekker 1971,
    Numer. Math. 18, 224–242), which the exponential would multiply by up to 700.

    >>> f"{normal_pdf(0.0):.12f}", f"{normal_pdf(30.0):.12e}", normal_pdf(40.0)
    ('0.398942280401', '1.473646134879e-196', 0.0)
    """
    square = x * x
    density = INVERSE_ROOT_2_PI * exp(-0.5 * square)
    precise = lambda: density - density * (0.5 * product_error(x, x, square))  # noqa: E731
    return where(abs(x) > 39.0, 0.0, precise)


def normal_cdf(x: Any) -> Any:
    """Φ(x) = ½ erfc(−x/√2), the probability that a normal variable is at most x.

    Domain: all reals. Types: float. O(1), relative error below 1e-15, no errors.
    Source: Deep Learning, section 3.9.3; DLMF 7.2.2. The rounding of −x/√2, which erfc would
    multiply by up to x² = 1,480, is undone to first order: erfc′(z) = −2/√π · e^(−z²).

    >>> normal_cdf(0.0), f"{normal_cdf(-1.0):.12f}", f"{normal_cdf(-30.0):.12e}", normal_cdf(40.0)
    (0.5, '0.158655253931', '4.906713927148e-198', 1.0)
    """
    z = -x * INVERSE_ROOT_2
    half = 0.5 * erfc(z)

    def precise() -> Any:
        error = product_error(-x, INVERSE_ROOT_2, z) - x * INVERSE_ROOT_2_REST
        return half - ONE_OVER_ROOT_PI * exp(-0.5 * (x * x)) * error  # shared with the density

    return where((z > 0.7) & (z < 28.0), precise, half)


def gelu(x: Any) -> Any:
    """GELU: x · Φ(x), the Gaussian error linear unit.

    Domain: all reals. Types: float. O(1), relative error below 1e-15, no errors; −0.0 at −inf.
    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415; below −37, where Φ leaves the normal numbers
    before x · Φ(x) does, the expansion of DLMF 7.12.1.

    >>> gelu(0.0), gelu(1000.0), f"{gelu(-1.0):.12f}"
    (0.0, 1000.0, '-0.158655253931')
    """
    return where(x >= -37.0, lambda: x * normal_cdf(x), lambda: _gelu_far_left(x))


def _gelu_far_left(x: Any) -> Any:
    inverse = 1.0 / (x * x)
    tail: Any = 1.0
    for odd in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        tail = 1.0 - odd * inverse * tail
    return -normal_pdf(x) * tail


def sech(x: Any) -> Any:
    """The hyperbolic secant 1 / cosh x = 2 e^−|x| / (1 + e^−2|x|), which never overflows.

    Domain: all reals. Types: float. O(1), error at most 2 ulps, no errors.
    Source: DLMF 4.28.6.

    >>> sech(0.0), sech(-800.0), sech(math.inf)
    (1.0, 0.0, 0.0)
    """
    small = exp(-abs(x))
    return 2.0 * small / (1.0 + small * small)


def logsumexp(xs: Iterable[float]) -> float:
    """Stable log Σ e^xᵢ = m + log1p(Σ e^(xᵢ − m)), m the largest, left out of the second sum.

    Domain: all reals; all −inf gives −inf, any inf gives inf, any NaN gives NaN.
    Types: float. O(n), from left to right. Error below n · 2.3e-16 · (|m| + log Σ e^(xᵢ − m)).
    Errors: `ValueError` for no numbers.
    Source: Deep Learning, section 4.1; Blanchard, D. J. Higham, N. J. Higham 2021, IMA J. Numer.
    Anal. 41, 2311–2330, algorithm 3.1 with their log1p.

    >>> f"{logsumexp([1000.0, 1000.0]):.9f}", logsumexp([0.0, -100.0]) == softplus(-100.0)
    ('1000.693147181', True)
    """
    numbers = list(xs)
    if not numbers:
        raise ValueError("logsumexp: give at least one number, got none")
    largest = max(numbers)
    if math.isinf(largest):
        return math.nan if any(map(math.isnan, numbers)) else largest
    position = numbers.index(largest)
    rest = 0.0
    for index, number in enumerate(numbers):
        if index != position:
            rest += math.exp(number - largest)
    return largest + math.log1p(rest)


def cross_entropy(xs: Sequence[float]) -> float:
    """Σ tᵢ (logsumexp(a) − aᵢ), where xs is the logits a₁ … aₙ followed by the targets t₁ … tₙ.

    Domain: all reals. Types: float. O(n). Each term is taken from the largest logit, so that
    logits around ±1000 lose nothing: error below n · 5e-16 · Σ tᵢ (1 + (m − aᵢ)).
    Source: Deep Learning, section 6.2.2.3.

    >>> cross_entropy([1000.0, 1000.0, 1.0, 0.0]) == math.log(2.0)
    True
    """
    half = len(xs) // 2
    logits, targets = xs[:half], xs[half:]
    largest = max(logits)
    spread = logsumexp([a - largest for a in logits])
    total = 0.0
    for a, t in zip(logits, targets, strict=True):
        if t:  # a masked logit, -inf, has no part in it
            total += t * (spread + (largest - a))
    return total


# ── the last two as formulas: on floats the loops above, which branch, take a third of the time ─
def logsumexp_formula(*x: Any) -> Any:
    """`logsumexp` of any number of operands, without branches."""
    most = largest(*x)
    return where(abs(most) < math.inf, most + log1p(_rest(x, most)), most)


def cross_entropy_formula(*x: Any) -> Any:
    """`cross_entropy` without branches."""
    half = len(x) // 2
    logits, targets = x[:half], x[half:]
    most = largest(*logits)
    spread = log1p(_rest(logits, most))
    return add_all(
        where(t, t * (spread + (most - a)), 0.0)  # a masked logit, -inf, has no part in it
        for a, t in zip(logits, targets, strict=True)
    )


def largest(*x: Any) -> Any:
    """The largest of any number of operands, without branches; NaN if one is."""
    return functools.reduce(maximum, x)


def _rest(x: Sequence[Any], most: Any) -> Any:
    """Σ e^(xᵢ − m) without the first of the largest."""
    found: Any = 0.0
    terms = []
    for a in x:
        here = where(found, 0.0, a == most)
        terms.append(where(here, 0.0, exp(a - most)))
        found = where(found, 1.0, here)
    return add_all(terms)
