"""Formulas of the error function and of the scaled one, e^(x²) erfc x, with its derivatives.

`erf` and `erfc` are for lanes: on floats `math` is quicker and more exact. Errors of these against
the C library, measured and held by the tests: at most 4 ulps.
Source: Shepherd and Laframboise 1981, Math. Comp. 36, 249–253 (the error function in
(x − 3) / (x + 3), with coefficients of our own).
"""

from math import copysign, exp, sqrt
from typing import Any

from tinygrad_scalar.numbers.parts import polynomial, product_error, where

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


ONE_OVER_ROOT_PI = 0.5641895835477563
ERFCX_OVERFLOW = 26.628735713751  # beyond −this, 2 e^(x²) is no float


def _erfc_right(a: Any) -> Any:
    """erfc for ½ ≤ a < 28; the rounding of a², which e^(−a²) would multiply, is undone."""
    square = a * a
    small = exp(-square)
    small = small - small * product_error(a, a, square)
    return small * _erfcx_right(a)


def _erfcx_right(a: Any) -> Any:
    """e^(a²) erfc a for a ≥ ½."""
    near = _up_to(1e300, a)  # no ∞ / ∞
    return 0.5 * polynomial(ERFC, (near - 3.0) / (near + 3.0)) / (0.5 + a)


def _up_to(limit: float, a: Any) -> Any:
    return where(a < limit, a, limit)


def erf(x: Any) -> Any:
    """The error function: a polynomial up to 1, and 1 − erfc beyond."""
    a = abs(x)
    near = x * polynomial(ERF, _up_to(1.0, x * x))
    far = copysign(1.0 - _erfc_right(_up_to(28.0, a)), x)
    return where(a < 1.0, near, where(x == x, far, x))


def erfc(x: Any) -> Any:
    """The complement 1 − erf x, without cancellation on the right."""
    a = abs(x)
    near = 1.0 - x * polynomial(ERF, _up_to(1.0, x * x))
    right = _erfc_right(_up_to(28.0, a))
    far = where(x > 0.0, right, 2.0 - right)
    return where(a < 0.5, near, where(x == x, far, x))


def erfcx(x: Any) -> Any:
    """The scaled complement e^(x²) erfc x, which neither underflows nor cancels on the right.

    Domain: all reals; OverflowError below −26.6. O(1), relative error below 1e-15.

    >>> erfcx(0.0), f"{erfcx(1e10):.12e}", f"{erfcx(-26.0):.12e}"
    (1.0, '5.641895835478e-11', '7.657724931491e+293')
    """
    a, square = abs(x), _up_to(1.0, x * x)
    middle = lambda: exp(square) * (1.0 - x * polynomial(ERF, square))  # noqa: E731
    far = lambda: where(  # noqa: E731
        x > 0.0, lambda: _erfcx_right(a), lambda: _twice_exp_square(a) - _erfcx_right(a)
    )
    return where(x == x, lambda: where(a < 0.5, middle, far), x)


def _twice_exp_square(a: Any) -> Any:
    """2 e^(a²), with the rounding of a² undone."""
    inside = a < ERFCX_OVERFLOW
    near = where(inside, a, 1.0)
    square = near * near
    return 2.0 * exp(where(inside, square, 1e3)) * (1.0 + product_error(near, near, square))


def erfcx_derivative(n: float, x: Any) -> Any:
    """The n-th derivative of erfcx, 2/√π ∫ (−2t)ⁿ e^(−t² − 2tx) dt over t > 0, for whole n ≥ 1.

    Domain: all reals. O(n), relative error below 1e-14 up to the third.
    Source: DLMF 7.18.7 for the recurrence f⁽ᵏ⁺¹⁾ = 2x f⁽ᵏ⁾ + 2k f⁽ᵏ⁻¹⁾, which cancels on the right;
    there the ratios of neighbours are its continued fraction, from where it settled.

    >>> f"{erfcx_derivative(1, 0.0):.12f}", f"{erfcx_derivative(1, 1e10):.12e}"
    ('-1.128379167096', '-5.641895835478e-21')
    """
    order = int(n)
    return where(
        x < 1.5, lambda: _by_recurrence(order, x), lambda: _by_continued_fraction(order, x)
    )


def _by_recurrence(order: int, x: Any) -> Any:
    before: Any = erfcx(x)
    now = 2.0 * x * before - 2.0 * ONE_OVER_ROOT_PI
    for k in range(1, order):
        before, now = now, 2.0 * x * now + 2.0 * k * before
    return now


def _by_continued_fraction(order: int, x: Any) -> Any:
    product: Any = erfcx(x)
    for ratio in decays(order, x):
        product = product * -ratio
    return product


def decays(order: int, x: Any) -> list[Any]:
    """−f⁽ᵏ⁾/f⁽ᵏ⁻¹⁾ for k from the order down to 1, where f is erfcx and x is at least 1.5."""
    last = float(order + 50)
    start = x + 0.5 / sqrt(x * x + 2.0 * last)
    ratio = 2.0 * last / (start + sqrt(start * start + 2.0 * last))
    ratios = []
    for k in range(order + 49, 0, -1):
        ratio = k / (x + 0.5 * ratio)
        if k <= order:
            ratios.append(ratio)
    return ratios
