"""Activations and the normal distribution, held to the errors that their docstrings state."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_scalar.numbers import special

UNIT = mpmath.mpf(2) ** -1074  # the distance of the subnormal numbers


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def normal_cdf(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def gelu_tanh(x):
    u = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return x * sigmoid(2 * u)


# function: (reference, stated relative error, end of the range: beyond −end it has underflowed)
STATED = {
    special.sigmoid: (sigmoid, 5e-16, 760),
    special.softplus: (lambda x: mpmath.log1p(mpmath.exp(x)), 5e-16, 760),
    special.silu: (lambda x: x * sigmoid(x), 1e-15, 760),
    special.gelu_tanh: (gelu_tanh, 5e-13, 22),
    special.normal_pdf: (mpmath.npdf, 1e-15, 39),
    special.normal_cdf: (normal_cdf, 1e-15, 39),
    special.gelu: (lambda x: x * normal_cdf(x), 1e-15, 39),
}


def assert_close(function, x, reference, relative_error):
    with mpmath.workdps(60):
        exact = reference(mpmath.mpf(x))
        assert abs(function(x) - exact) <= relative_error * abs(exact) + 2 * UNIT


@pytest.mark.parametrize("function", STATED, ids=lambda f: f.__name__)
@given(fraction=st.floats(-1, 1))
@example(fraction=0.0)
@example(fraction=1e-300)
@example(fraction=-1e-17)
@example(fraction=-0.9490234375)  # −37.01 of 39, where gelu changes its formula
@example(fraction=-0.9740234375)  # normal_cdf leaves the normal numbers
@example(fraction=-0.0254)  # normal_cdf begins to correct −x/√2
def test_the_stated_error_holds_over_the_whole_range(function, fraction):
    reference, relative_error, end = STATED[function]
    assert_close(function, fraction * end, reference, relative_error)


@pytest.mark.parametrize("function", STATED, ids=lambda f: f.__name__)
@given(x=st.floats(-6, 6))
def test_the_stated_error_holds_in_the_middle(function, x):
    reference, relative_error, _ = STATED[function]
    assert_close(function, x, reference, relative_error)


@given(x=st.floats(-1, 100))
def test_gelu_tanh_is_more_precise_where_it_is_not_small(x):
    assert_close(special.gelu_tanh, x, gelu_tanh, 1e-15)


@pytest.mark.parametrize(
    ("function", "left", "right"),
    [
        (special.sigmoid, 0.0, 1.0),
        (special.softplus, 0.0, math.inf),
        (special.silu, -0.0, math.inf),
        (special.gelu, -0.0, math.inf),
        (special.gelu_tanh, -0.0, math.inf),
        (special.normal_pdf, 0.0, 0.0),
        (special.normal_cdf, 0.0, 1.0),
    ],
)
def test_far_out_the_limits_are_taken_without_an_exception(function, left, right):
    for x in (1e3, 1e160, 1.7976931348623157e308, math.inf):
        assert math.copysign(1.0, function(-x)) == math.copysign(1.0, left)
        assert function(-x) == left
        assert function(x) == (x if right == math.inf else right)
    assert math.isnan(function(math.nan))


@pytest.mark.parametrize("function", STATED, ids=lambda f: f.__name__)
def test_zero_and_the_smallest_numbers(function):
    reference, relative_error, _ = STATED[function]
    for x in (0.0, -0.0, 5e-324, -5e-324, 2.3e-308):
        assert_close(function, x, reference, relative_error)


@pytest.mark.parametrize("function", STATED, ids=lambda f: f.__name__)
def test_numbers_in_32_bits_are_no_obstacle(function):
    for x in (-2.5, 0.0, 1.25):
        # In NumPy's arithmetic some steps are rounded to 24 bits.
        assert math.isclose(function(np.float32(x)), function(x), rel_tol=1e-6)


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=12))
@example([0.0, -50.0])
@example([-0.6931471805599453, -0.6931471805599453])
@example([-3.0, -3.0, -3.0])
def test_logsumexp_is_as_precise_as_stated(xs):
    with mpmath.workdps(800):  # e^800 beside e^−800 is 1 beside 1e-695
        largest = max(xs)
        exact = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in xs))
        # At least 2 · 2.3e-16: a single number costs no rounding, two cost more than one each.
        bound = max(2, len(xs)) * 2.3e-16 * (abs(largest) + (exact - largest))
        assert abs(special.logsumexp(xs) - exact) <= bound + UNIT


@given(x=st.floats(-745, 0))
def test_logsumexp_beside_zero_is_softplus(x):
    assert special.logsumexp([0.0, x]) == special.logsumexp([x, 0.0]) == special.softplus(x)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=6))
def test_logsumexp_is_at_least_the_largest(xs):
    assert special.logsumexp(iter(xs)) >= max(xs)


@pytest.mark.parametrize(
    ("xs", "expected"),
    [
        ([-math.inf], -math.inf),
        ([-math.inf, -math.inf], -math.inf),
        ([-math.inf, 1.5], 1.5),
        ([math.inf, -math.inf, 1.5], math.inf),
        ([math.inf, math.inf], math.inf),
        ([1e308, -1e308], 1e308),
        ([1000.0], 1000.0),
    ],
)
def test_logsumexp_at_infinity(xs, expected):
    assert special.logsumexp(xs) == expected
    assert special.logsumexp(xs[::-1]) == expected


@pytest.mark.parametrize("other", [-math.inf, 0.0, 800.0, math.inf, math.nan])
def test_logsumexp_passes_nan(other):
    assert math.isnan(special.logsumexp([other, math.nan]))
    assert math.isnan(special.logsumexp([math.nan, other]))
    assert math.isnan(special.logsumexp([0.0, math.nan, other]))


def test_logsumexp_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="logsumexp: give at least one number, got none"):
        special.logsumexp([])
