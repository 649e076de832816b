"""Formulas that keep their relative precision in both tails of the normal distribution.

The inverse of the error function is a rational function in the middle, and in the tails another
one and a step of Halley's method on the logarithm, which neither underflows nor cancels. Errors
were measured against mpmath and are held by the tests. What a formula is stands in `parts`.
"""

import math
from math import comb, copysign, log, log1p, sqrt
from typing import Any

from tinygrad_scalar.numbers.error_function import decays, erfcx
from tinygrad_scalar.numbers.numerics import minimum
from tinygrad_scalar.numbers.parts import polynomial, where
from tinygrad_scalar.numbers.special import INVERSE_ROOT_2, normal_cdf, normal_pdf

ROOT_2 = 1.4142135623730951
ROOT_PI, HALF_ROOT_PI = 1.772453850905516, 0.886226925452758
ROOT_HALF_PI, ROOT_2_OVER_PI = 1.2533141373155003, 0.7978845608028654
# erf⁻¹(x) / x = MIDDLE(½ − x²), each a quotient of two polynomials.
MIDDLE = (
    (1.051795860165225, 5.271379328231904, 9.608721949766485, 7.760984438933659,
     2.6930555303778023, 0.32091058967091324, 0.005956286482412541),
    (1.0, 5.476790469256894, 11.192595198623472, 10.552207749384896, 4.585060430914165,
     0.7929394403309237, 0.035098866004272776),
)  # fmt: skip
# erfc⁻¹(c) / r = TAIL((r − 4) / (r + 4)) to 3e-7, for r = √(−log c) from 1.1 to 27.4.
TAIL = (
    (0.9378397663182477, 0.9850254693952647, -0.5275334598521232, -0.5721581716755804,
     0.016031208204392678),
    (1.0, 0.8498260415109816, -0.4593666162366243, -0.551239842734318),
)  # fmt: skip
LAST = 27.4  # √(−log c) of every float


def log_normal_cdf(x: Any) -> Any:
    """log Φ(x), the logarithm of the probability that a normal variable is at most x.

    Domain: all reals, −inf where x² is no float; no errors. O(1), relative error below 1e-15.

    >>> f"{log_normal_cdf(-1e10):.12e}", f"{log_normal_cdf(10.0):.12e}"
    ('-5.000000000000e+19', '-7.619853024161e-24')
    """

    def left() -> Any:
        t = -x * INVERSE_ROOT_2
        return log(0.5 * erfcx(where(t < 1e160, t, 1e160))) - 0.5 * (x * x)

    return where(x < -0.5, left, lambda: log1p(-normal_cdf(-x)))


def inverse_mills_ratio(x: Any) -> Any:
    """φ(x) / Φ(x), the slope of log Φ; on the left as √(2/π) / erfcx(−x/√2), for both underflow.

    >>> f"{inverse_mills_ratio(0.0):.12f}", f"{inverse_mills_ratio(-1e300):.12e}"
    ('0.797884560803', '1.000000000000e+300')
    """
    left = lambda: ROOT_2_OVER_PI / erfcx(-x * INVERSE_ROOT_2)  # noqa: E731
    return where(x < 0.0, left, lambda: normal_pdf(x) / normal_cdf(x))


def log_normal_cdf_derivative(n: float, x: Any) -> Any:
    """The n-th derivative of log Φ, for whole n ≥ 2.

    O(n²), relative error below 1e-12 up to the fourth.

    On the right by the product rule on r′ = −r (x + r), where r = φ/Φ, which cancels on the left.
    There log Φ(x) + x²/2 generates the cumulants of the t > 0 with density e^(xt − t²/2), whose
    moments are products of `decays`: their sum cancels alike everywhere.

    >>> f"{log_normal_cdf_derivative(2, 0.0):.12f}", f"{log_normal_cdf_derivative(3, -1e5):.12e}"
    ('-0.636619772368', '1.999999997600e-15')
    """
    order = int(n)
    far = x < -1.5 * ROOT_2
    return where(
        far,
        lambda: _cumulant(order, where(far, -x * INVERSE_ROOT_2, 1.5)) - (order == 2),
        lambda: _by_product_rule(order, x),
    )


def _cumulant(order: int, u: Any) -> Any:
    """That of the t > 0 with density e^(−√2 u t − t²/2), from its moments."""
    moments: list[Any] = [1.0]
    for ratio in reversed(decays(order, u)):
        moments.append(moments[-1] * (ratio * INVERSE_ROOT_2))
    cumulants: list[Any] = [0.0]
    for k in range(1, order + 1):
        parts = (comb(k - 1, j - 1) * cumulants[j] * moments[k - j] for j in range(1, k))
        cumulants.append(moments[k] - sum(parts))
    return cumulants[order]


def _by_product_rule(order: int, x: Any) -> Any:
    ratio = inverse_mills_ratio(x)
    slopes, excesses = [ratio], [x + ratio]
    for k in range(order - 1):
        parts = (comb(k, j) * slopes[j] * excesses[k - j] for j in range(k + 1))
        slopes.append(-sum(parts))
        excesses.append(slopes[-1] + (k == 0))
    return slopes[-1]


def erfinv(x: Any) -> Any:
    """The y with erf y = x. Domain: −1 < x < 1, else ValueError. Relative error below 1e-15.

    >>> erfinv(0.0), f"{erfinv(-0.5):.12f}", f"{erfinv(1.0 - 2.0**-53):.12f}"
    (0.0, '-0.476936276204', '5.863584748755')
    """
    return where(
        abs(x) < INVERSE_ROOT_2,
        lambda: x * _quotient(MIDDLE, 0.5 - x * x),
        lambda: copysign(_erfc_inverse(1.0 - abs(x)), x),
    )


def normal_ppf(p: Any) -> Any:
    """The quantile of the normal distribution: the x with Φ(x) = p.

    Domain: 0 < p < 1, else ValueError. O(1), relative error below 1e-15.

    >>> normal_ppf(0.5), f"{normal_ppf(0.975):.12f}", f"{normal_ppf(1e-300):.12f}"
    (0.0, '1.959963984540', '-37.047096299361')
    """
    x = 2.0 * p - 1.0
    return where(
        abs(x) < INVERSE_ROOT_2,
        lambda: ROOT_2 * (x * _quotient(MIDDLE, 0.5 - x * x)),
        lambda: copysign(ROOT_2 * _erfc_inverse(2.0 * minimum(p, 1.0 - p)), x),
    )


def normal_ppf_slope(x: Any, p: Any) -> Any:
    """1 / φ(x) for x = normal_ppf(p), as √(π/2) erfcx(|x|/√2) / p in whose tail x may be rounded.

    >>> f"{normal_ppf_slope(0.0, 0.5):.12f}"
    '2.506628274631'
    """
    return ROOT_HALF_PI * erfcx(abs(x) * INVERSE_ROOT_2) / minimum(p, 1.0 - p)


def _quotient(polynomials: Any, x: Any) -> Any:
    above, below = polynomials
    return polynomial(above, x) / polynomial(below, x)


def _erfc_inverse(c: Any) -> Any:
    """The y with erfc y = c, for c up to 0.3; inf for 0."""
    logarithm = log(c)
    r = sqrt(-logarithm)
    r = where(r < LAST, r, LAST)
    y = r * _quotient(TAIL, (r - 4.0) / (r + 4.0))
    scaled = erfcx(y)
    step = (log(scaled) - y * y - logarithm) * (HALF_ROOT_PI * scaled)
    y = y + step / (1.0 - step * (y - 1.0 / (ROOT_PI * scaled)))
    return where(c == 0.0, math.inf, y)
