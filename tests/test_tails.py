"""The tails of the normal distribution and of log B, and the parts that their derivatives need.

The references are mpmath's functions at many digits; bounds are in units of the last place, or
the 1e-13 that is promised.
"""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

import tinygrad_scalar as ts
from tinygrad_scalar import Value, grad
from tinygrad_scalar.core.primitives import PARTS, TABLE
from tinygrad_scalar.numbers import limits

SIZES = st.floats(-300.0, 0.0).map(lambda k: 10.0**k)
PROBABILITIES = SIZES | st.floats(0.01, 0.99) | st.floats(-15.0, -1.0).map(lambda k: 1 - 10.0**k)
ARGUMENTS = st.floats(-20.0, 12.0).map(lambda k: 10.0**k) | st.floats(0.1, 30.0) | st.just(1e10)


def error(got, function, *x, digits=60):
    with mpmath.workdps(digits):
        exact = function(mpmath, *map(mpf, x))
        return abs(mpf(got) - exact) / abs(exact)


@given(p=PROBABILITIES.filter(lambda p: 0 < p < 1 and p != 0.5))
def test_quantiles_keep_their_digits_in_both_tails(p):
    assert error(ts.normal_ppf(p), limits.mpmath_normal_ppf, p, digits=340) <= 1e-15
    assert error(ts.erfinv(p), limits.mpmath_erfinv, p) <= 1e-15
    assert ts.normal_ppf(p) == ts.normal_ppf(Value(p)).data


@given(x=st.floats(-26.6, 30.0) | SIZES.map(lambda x: 1 / x))
def test_the_scaled_complement_and_its_derivatives(x):
    assert error(ts.erfcx(x), limits.mpmath_erfcx, x) <= 1e-15
    for n in (1, 2, 3):
        derivative = PARTS["erfcx_derivative"](n, x)
        if 1e-300 < abs(derivative) < math.inf:
            assert error(derivative, limits.mpmath_erfcx_derivative, n, x) <= 1e-14


@given(
    x=st.floats(-1e6, 37.0).filter(bool) | st.floats(-3.0, 3.0) | SIZES.map(lambda x: -(x**-0.5))
)
def test_the_logarithm_of_the_normal_distribution(x):
    assert error(ts.log_normal_cdf(x), limits.mpmath_log_normal_cdf, x) <= 1e-15


def slopes_of_log_cdf(x, n):
    """The derivatives of log Φ up to the n-th: of ρ = φ/Φ by the product rule on ρ′ = −xρ − ρ²."""
    with mpmath.workdps(200):
        made = [mpmath.npdf(mpf(x)) / mpmath.ncdf(mpf(x))]
        for k in range(n - 1):
            products = (mpmath.binomial(k, j) * made[j] * made[k - j] for j in range(k + 1))
            made.append(-x * made[k] - k * (made[k - 1] if k else 0) - mpmath.fsum(products))
    return made


@given(x=st.floats(-1000.0, 8.0) | st.floats(-6.0, 3.0))
def test_derivatives_of_the_logarithm_of_the_normal_distribution(x):
    """Nearly a parabola on the left: the third derivative is 2 / |x|³ where the slope is |x|."""
    exact = slopes_of_log_cdf(x, 7)
    series, third = ts.taylor(ts.log_normal_cdf, 6)(x), grad(grad(grad(ts.log_normal_cdf)))(x)
    for n, got in [*enumerate(series[1:], 1), (3, third)]:
        bound = (1e-13 if n < 4 else 1e-10) * (abs(exact[n - 1]) + abs(x * exact[n]))
        assert abs(got - exact[n - 1]) <= bound, f"order {n}: {got!r} for {exact[n - 1]}"


@given(a=ARGUMENTS, b=ARGUMENTS)
def test_log_beta_and_the_differences_of_polygamma(a, b):
    with mpmath.workdps(60):
        exact = limits.mpmath_betaln(mpmath, mpf(a), mpf(b))
        assert abs(ts.betaln(a, b) - exact) <= 1e-14 * (1 + abs(exact))
    for n in (0, 1, 2):
        difference = PARTS["polygamma_difference"](n, a, b)
        if 1e-300 < abs(difference) < 1e300:
            assert error(difference, limits.mpmath_polygamma_difference, n, a, b) <= 1e-14


def test_log_beta_keeps_its_digits_at_large_arguments():
    for a, b in ((1e10, 1e10), (0.5, 1e10), (1e10, 3.0), (1e10, 1e-10), (2e10, 1e9)):
        assert error(ts.betaln(a, b), limits.mpmath_betaln, a, b) <= 1e-13
        slopes = grad(ts.betaln)(a, b)
        for slope, (x, y) in zip(slopes, ((a, b), (b, a)), strict=True):
            minus = error(-slope, limits.mpmath_polygamma_difference, 0, x, y)
            assert minus <= 1e-13


@pytest.mark.parametrize(
    ("f", "x", "kind", "message"),
    [
        (ts.erfinv, (1.0,), ValueError, r"erfinv\(1\.0\)"),
        (ts.erfinv, (-1.5,), ValueError, r"erfinv\(-1\.5\)"),
        (ts.normal_ppf, (0.0,), ValueError, r"normal_ppf\(0\.0\)"),
        (ts.normal_ppf, (1.0,), ValueError, r"normal_ppf\(1\.0\)"),
        (ts.normal_ppf, (1.5,), ValueError, r"normal_ppf\(1\.5\)"),
        (ts.betaln, (0.0, 1.0), ValueError, r"betaln\(0\.0, 1\.0\)"),
        (ts.betaln, (2.0, -1.0), ValueError, r"betaln\(2\.0, -1\.0\)"),
        (ts.erfcx, (-30.0,), OverflowError, r"erfcx\(-30\.0\)"),
        (ts.digamma, (1e-310,), OverflowError, r"digamma\(1e-310\)"),
    ],
)
def test_outside_of_the_domain_the_error_names_the_operation(f, x, kind, message):
    with pytest.raises(kind, match=message):
        f(*x)


def test_the_ends_and_what_is_no_number():
    assert ts.log_normal_cdf(-math.inf) == -math.inf
    assert (ts.log_normal_cdf(math.inf), ts.erfcx(math.inf)) == (0.0, 0.0)
    assert ts.betaln(math.inf, 3.0) == ts.betaln(1e300, math.inf) == -math.inf
    for name, count in (("erfcx", 1), ("erfinv", 1), ("normal_ppf", 1), ("betaln", 2)):
        assert math.isnan(TABLE[name](*[math.nan] * count))


@pytest.mark.parametrize("engine", [engine for engine in ts.engines() if engine != "cuda"])
def test_engines_write_an_order_out_and_give_what_eager_code_gives(engine):
    polygamma = TABLE["polygamma"]
    f = ts.compile(lambda x: polygamma(2, x) + ts.digamma(x) * ts.betaln(x, 1e10), engine=engine)
    eager = grad(lambda x: polygamma(2, x) + ts.digamma(x) * ts.betaln(x, 1e10))
    for x in (0.3, 4.5, 1e3):
        assert math.isclose(f.grad(x), eager(x), rel_tol=1e-13)


LENGTHS = [
    (1.7e308, 1.7e308), (-1.5e308, 1.2e308), (1e305, -1.7976e308), (5e-324, 5e-324), (3.0, 4.0),
    (5e-324, -3e-323), (1e-310, 2e-310), (0.0, 5e-324), (3e-320, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "point"),
    [(ts.hypot, point) for point in LENGTHS] + [(ts.atan2, point) for point in LENGTHS[:3]],
)
def test_slopes_of_lengths_that_are_no_float_or_have_lost_their_digits(row, point):
    """hypot(1.7e308, 1.7e308) is infinite, and its slopes √½ were 0; those at 5e-324 were 1."""
    a, b = point
    with mpmath.workdps(50):
        length = mpmath.hypot(a, b)
        of_hypot = a / length, b / length
        of_atan2 = b / length**2, -a / length**2
    exact = [float(slope) for slope in (of_hypot if row is ts.hypot else of_atan2)]
    found = {"grad": ts.grad(row)(a, b)}
    x, y = Value(a), Value(b)
    table = row(x, y).backward(create_graph=True)
    found["graph"] = table[x].data, table[y].data
    found["jvp"] = tuple(ts.jvp(row, (a, b), unit)[1] for unit in ((1.0, 0.0), (0.0, 1.0)))
    for engine in (engine for engine in ts.engines() if engine != "cuda"):
        c = ts.compile(row, engine=engine)
        found[engine] = c.grad(a, b)
        found[f"{engine} batch"] = tuple(s[0] for s in c.grad(np.array([a]), np.array([b])))
    for name, slopes in found.items():  # a few roundings, subnormal ones too
        assert slopes == pytest.approx(exact, rel=1e-15, abs=2e-323), name
