"""The gamma family, held to the errors that the docstrings state."""

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tinygrad_scalar.numbers.polygamma import ROOT, digamma, lgamma, polygamma

POSITIVE = st.floats(1e-300, 1e300) | st.floats(1e-3, 30) | st.floats(1, 2)
NEGATIVE = st.floats(-60, 0) | st.floats(-3, 0)
# The poles, at the zeros of the floats and far out, where every float is a whole number.
POLES = [0.0, -0.0, -1.0, -2.0, -170.0, -4503599627370497.0, -1e300]


@given(x=POSITIVE)
@example(x=1.0)
@example(x=2.0)
@example(x=0.9999999999999999)
@example(x=2.0000000000000004)
@example(x=0.7500000000000001)
@example(x=1.75)
def test_lgamma_keeps_its_relative_precision_at_its_zeros(x):
    with mpmath.workdps(60):
        exact = mpmath.loggamma(mpmath.mpf(x))
        assert abs(lgamma(x) - exact) <= 2e-14 * abs(exact)


@given(x=st.floats(-20, 0, exclude_max=True))
def test_lgamma_of_negative_numbers(x):
    assume(x != math.floor(x))
    with mpmath.workdps(60):
        exact = mpmath.log(abs(mpmath.gamma(mpmath.mpf(x))))
        assert abs(lgamma(x) - exact) <= 3e-14 + 1e-15 * abs(exact)


def test_lgamma_at_the_edges():
    assert lgamma(math.inf) == lgamma(-math.inf) == math.inf
    assert math.isnan(lgamma(math.nan))
    assert math.isfinite(lgamma(2.5e305))
    with pytest.raises(OverflowError, match="math range error"):
        lgamma(2.6e305)


@given(x=POSITIVE)
@example(x=ROOT)
@example(x=math.nextafter(ROOT, 2.0))
@example(x=ROOT - 0.125)
@example(x=ROOT + 0.125)
@example(x=ROOT + 0.12500001)
@example(x=9.999999999999998)
def test_digamma_is_as_precise_as_stated(x):
    with mpmath.workdps(60):
        exact = mpmath.digamma(mpmath.mpf(x))
        assert abs(digamma(x) - exact) <= 2e-14 * abs(exact)


@given(x=NEGATIVE | st.floats(-1e15, -60) | st.floats(-1e-290, -1e-307))
@example(x=-0.5040830082644554)
@example(x=-1.5734984731623904)
@example(x=-0.4999999999999999)
@example(x=-0.25)
@example(x=-0.75)
@example(x=-2.9999999999999996)
@example(x=-4503599627370495.5)
def test_digamma_left_of_zero_is_as_precise_as_stated(x):
    assume(x < -1e-307)
    assume(x != math.floor(x))
    with mpmath.workdps(60):
        right = mpmath.digamma(1 - mpmath.mpf(x))
        cotangent = mpmath.pi * mpmath.cot(mpmath.pi * mpmath.mpf(x))
        bound = 1e-15 * (1 + abs(right) + abs(cotangent))
        assert abs(digamma(x) - (right - cotangent)) <= bound


@given(x=st.floats(-0.52, -0.48))
def test_digamma_is_at_its_best_around_its_first_negative_zero(x):
    with mpmath.workdps(60):
        # ψ(1 − x) and π cot πx are below 0.1 here, and so are the errors of their last places.
        assert abs(digamma(x) - mpmath.digamma(mpmath.mpf(x))) <= 3e-16


def exact_polygamma(n, x):
    """The sum of the definition and the sum of its absolute values, for any x."""
    x = mpmath.mpf(x)
    count = max(0, math.ceil(-x)) + 1
    terms = [(x + k) ** -(n + 1) for k in range(count)]
    rest = abs(mpmath.psi(n, x + count))
    factorial, sign = mpmath.factorial(n), (-1) ** (n + 1)
    return (
        sign * (factorial * mpmath.fsum(terms) + rest),
        factorial * mpmath.fsum(map(abs, terms)) + rest,
    )


@given(n=st.integers(1, 10), x=st.floats(1e-20, 1e20) | st.floats(1e-3, 30))
@example(n=10, x=20.999999999999996)
@example(n=1, x=12.0)
def test_polygamma_is_as_precise_as_stated(n, x):
    with mpmath.workdps(60):
        exact = mpmath.psi(n, mpmath.mpf(x))
        assert abs(polygamma(n, x) - exact) <= 1e-14 * abs(exact)


@given(n=st.integers(1, 10), x=NEGATIVE)
@example(n=2, x=-0.5)
@example(n=10, x=-59.5)
def test_polygamma_left_of_zero_is_as_precise_as_stated(n, x):
    assume(x < -1e-20)
    assume(x != math.floor(x))
    with mpmath.workdps(60):
        exact, absolute = exact_polygamma(n, x)
        assert abs(polygamma(n, x) - exact) <= 1e-14 * (abs(exact) if n % 2 else absolute)


@pytest.mark.parametrize("x", [-1e9 - 0.25, -123456.0625, -1e15 - 0.125])
def test_polygamma_far_left_costs_no_more(x):
    with mpmath.workdps(60):
        angle = mpmath.pi * mpmath.mpf(x)
        first = (mpmath.pi / mpmath.sin(angle)) ** 2 - mpmath.psi(1, 1 - mpmath.mpf(x))
        turn = 2 * mpmath.pi**3 * mpmath.cot(angle) / mpmath.sin(angle) ** 2
        second = mpmath.psi(2, 1 - mpmath.mpf(x)) - turn
        assert abs(polygamma(1, x) - first) <= 1e-14 * first
        assert abs(polygamma(2, x) - second) <= 1e-14 * abs(second)


@pytest.mark.parametrize(
    ("n", "x"), [(25, 377.88), (60, 897.77), (200, 1000.0), (170, 3.3), (400, 500.0), (100, 0.2)]
)
def test_high_orders_neither_overflow_nor_underflow_on_the_way(n, x):
    with mpmath.workdps(400):
        exact = mpmath.psi(n, mpmath.mpf(x))
        # The errors of the n factors of n! / xⁿ⁺¹ add up: two roundings of half a unit each.
        assert abs(polygamma(n, x) - exact) <= (1e-14 + n * 2.3e-16) * abs(exact)


@given(x=st.floats(0.01, 50))
def test_order_zero_is_digamma_and_float_orders_count(x):
    assert polygamma(0, x) == polygamma(0.0, x) == digamma(x)
    assert polygamma(3.0, x) == polygamma(3, x)


DOMAIN = "math domain error|expected a "  # `math` in Python 3.14 says what it expected


@pytest.mark.parametrize("pole", POLES)
def test_poles_are_domain_errors(pole):
    for function in (lgamma, digamma, lambda x: polygamma(1, x), lambda x: polygamma(2, x)):
        with pytest.raises(ValueError, match=DOMAIN):
            function(pole)


def test_infinity_and_nan():
    assert digamma(math.inf) == polygamma(0, math.inf) == math.inf
    for n in (1, 2):
        assert polygamma(n, math.inf) == 0.0
        assert math.copysign(1.0, polygamma(n, math.inf)) == (-1.0) ** (n + 1)
    for n in range(3):
        assert math.isnan(polygamma(n, math.nan))
        with pytest.raises(ValueError, match="math domain error"):
            polygamma(n, -math.inf)


@pytest.mark.parametrize("x", [5e-309, -5e-309, 5e-324, -5e-324])
def test_beside_a_pole_the_range_ends(x):
    for n in range(4):
        with pytest.raises(OverflowError, match="math range error"):
            polygamma(n, x)


@pytest.mark.parametrize("n", [-1, -1.0, 0.5, math.inf, -math.inf, math.nan])
def test_orders_are_whole_numbers(n):
    with pytest.raises(ValueError, match="polygamma: give a whole order n of at least 0, got"):
        polygamma(n, 1.0)


def test_fractions_are_no_obstacle():
    half = Fraction(1, 2)
    assert math.isclose(digamma(half), digamma(0.5), rel_tol=1e-14)
    assert math.isclose(polygamma(1, half), math.pi**2 / 2, rel_tol=1e-14)
