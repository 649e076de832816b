"""Rounding, pieces, powers and sums: exact rules, so most comparisons here are of bits."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tinygrad_scalar.numbers import numerics

CARRIERS = (float, Fraction, np.float32, mpmath.mpf)
REALS = st.floats(allow_nan=False, allow_infinity=False)
SMALL = st.fractions(-1000, 1000, max_denominator=64)  # exact in every carrier, where halved
DYADIC = st.integers(-4096, 4096).map(lambda n: Fraction(n, 8))

ROUNDING = {
    numerics.floor: (np.floor, math.floor),
    numerics.ceil: (np.ceil, math.ceil),
    numerics.truncate: (np.trunc, math.trunc),
    numerics.round_half_even: (np.rint, round),
}


def same(a, b):
    """Equal to the bit, the sign of zero included; one NaN is as good as another."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b and math.copysign(1.0, a) == math.copysign(1.0, b)


@pytest.mark.parametrize("function", ROUNDING, ids=lambda f: f.__name__)
@given(x=st.floats())
@example(x=-0.0)
@example(x=-0.5)
@example(x=2.5)
@example(x=0.49999999999999994)
@example(x=-math.inf)
@example(x=math.nan)
def test_rounding_gives_the_bits_that_numpy_gives(function, x):
    result = function(x)
    assert type(result) is float
    assert same(result, float(ROUNDING[function][0](x)))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("function", ROUNDING, ids=lambda f: f.__name__)
@given(x=DYADIC)
def test_rounding_keeps_the_carrier(function, carrier, x):
    carried = carrier(x) if carrier is Fraction else carrier(float(x))
    result = function(carried)
    assert type(result) is carrier
    assert result == ROUNDING[function][1](x)


@pytest.mark.parametrize("carrier", [float, np.float32, mpmath.mpf])
@pytest.mark.parametrize("function", ROUNDING, ids=lambda f: f.__name__)
@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_rounding_passes_what_is_not_finite(function, carrier, x):
    carried = carrier(x)
    assert function(carried) is carried


def test_rounding_keeps_the_sign_of_a_zero_in_32_bits():
    assert math.copysign(1.0, numerics.ceil(np.float32(-0.5))) == -1.0


def test_rounding_does_not_send_an_mpf_through_a_float():
    with mpmath.workdps(50):
        x = mpmath.mpf(10) ** 30 + mpmath.mpf("0.75")
        assert numerics.floor(x) == 10**30
        assert numerics.ceil(x) == numerics.round_half_even(x) == 10**30 + 1
        assert numerics.truncate(-x) == -(10**30)


@pytest.mark.parametrize("carrier", CARRIERS)
@given(x=DYADIC)
def test_pieces_keep_the_carrier(carrier, x):
    carried = carrier(x) if carrier is Fraction else carrier(float(x))
    expected = {
        numerics.sign: (x > 0) - (x < 0),
        numerics.step: int(x > 0),
        numerics.relu: max(x, 0),
        lambda a: numerics.leaky_relu(a, 0.25): x if x > 0 else x / 4,
        lambda a: numerics.clip(a, -1.5, 2): min(max(x, Fraction(-3, 2)), 2),
        lambda a: numerics.maximum(a, carrier(1)): max(x, 1),
        lambda a: numerics.minimum(a, carrier(1)): min(x, 1),
    }
    for function, value in expected.items():
        result = function(carried)
        assert type(result) is carrier
        assert result == value


@pytest.mark.parametrize("carrier", [float, np.float32, mpmath.mpf])
def test_pieces_pass_nan(carrier):
    nan, one = carrier(math.nan), carrier(1)
    results = [
        numerics.sign(nan),
        numerics.step(nan),
        numerics.relu(nan),
        numerics.leaky_relu(nan),
        numerics.maximum(nan, one),
        numerics.maximum(one, nan),
        numerics.minimum(nan, one),
        numerics.minimum(one, nan),
        numerics.clip(nan, -1.0, 1.0),
        numerics.clip(carrier(-2), nan, one),
        numerics.clip(carrier(2), -one, nan),
    ]
    assert [type(result) for result in results] == [carrier] * len(results)
    assert all(result != result for result in results)
    assert math.isnan(numerics.elu(math.nan))


def test_the_pieces_of_zero_are_positive_zero():
    for zero in (0.0, -0.0):
        for function in (numerics.sign, numerics.step, numerics.relu):
            assert same(function(zero), 0.0)
    assert same(numerics.leaky_relu(-0.0), -0.0)
    assert same(numerics.elu(-0.0), -0.0)


def test_pieces_at_infinity():
    assert numerics.sign(-math.inf) == -1.0
    assert numerics.step(math.inf) == 1.0
    assert same(numerics.relu(-math.inf), 0.0)
    assert numerics.relu(math.inf) == numerics.leaky_relu(math.inf) == math.inf
    assert numerics.leaky_relu(-math.inf) == -math.inf
    assert numerics.elu(-math.inf, 2.0) == -2.0
    assert numerics.clip(-math.inf, -1.0, 1.0) == -1.0


@given(x=st.floats(-745, 0), alpha=st.floats(0.125, 8.0))
def test_elu_is_as_precise_as_stated(x, alpha):
    with mpmath.workdps(40):
        exact = alpha * mpmath.expm1(mpmath.mpf(x))
        # A subnormal product is rounded to a multiple of 5e-324, whatever the formula.
        assert abs(numerics.elu(x, alpha) - exact) <= 5e-16 * abs(exact) + mpmath.mpf(2) ** -1074


@given(a=st.floats(), b=st.floats())
def test_maximum_and_minimum_follow_numpy_but_at_ties(a, b):
    assume(a != b)  # NumPy leaves the sign of max(−0, +0) to the processor
    assert same(numerics.maximum(a, b), float(np.maximum(a, b)))
    assert same(numerics.minimum(a, b), float(np.minimum(a, b)))


def test_the_first_of_equals_is_taken():
    for a, b in ((0.0, -0.0), (-0.0, 0.0)):
        assert same(numerics.maximum(a, b), a)
        assert same(numerics.minimum(a, b), a)


@given(x=st.floats(), lo=st.floats(allow_nan=False), hi=st.floats(allow_nan=False))
def test_clip_follows_numpy(x, lo, hi):
    assume(lo <= hi)
    assert numerics.clip(x, lo, hi) == float(np.clip(x, lo, hi)) or math.isnan(x)


def test_clip_keeps_a_plain_int_right_and_a_huge_fraction_exact():
    assert numerics.clip(0, 0.5, 2.0) == 0.5
    assert numerics.clip(Fraction(10) ** 400, -math.inf, 5) == Fraction(5)
    assert math.isnan(numerics.clip(Fraction(1), math.nan, 5))


def test_clip_refuses_crossed_bounds():
    message = r"^lo=2\.0 is greater than hi=1\.0; exchange the two bounds"
    with pytest.raises(ValueError, match=message):
        numerics.clip(0.0, 2.0, 1.0)


def outcome(function, *operands):
    """The result, or the kind of exception: what a caller can tell apart."""
    try:
        return function(*operands)
    except OverflowError as error:
        return OverflowError, str(error)
    except ValueError as error:
        return ValueError, str(error)


@given(base=st.floats(), exponent=st.floats() | st.integers(-9, 9).map(float))
@example(base=-8.0, exponent=1 / 3)
@example(base=-2.0, exponent=3.0)
@example(base=-math.inf, exponent=0.5)
@example(base=-8.0, exponent=math.inf)
@example(base=-8.0, exponent=math.nan)
@example(base=math.nan, exponent=0.0)
@example(base=0.0, exponent=-1.0)
@example(base=0.0, exponent=-math.inf)
@example(base=1e200, exponent=2.0)
@example(base=-1e200, exponent=3.0)
def test_power_is_the_power_of_math(base, exponent):
    ours, reference = (outcome(f, base, exponent) for f in (numerics.power, math.pow))
    if isinstance(reference, tuple):
        assert ours == reference
    else:
        assert type(ours) is float
        assert same(ours, reference)


@pytest.mark.parametrize("zero", [0.0, -0.0, 0, Fraction(0), np.float32(0), mpmath.mpf(0)])
@pytest.mark.parametrize("exponent", [-1, -0.5, Fraction(-1, 2)])
def test_a_pole_is_both_a_division_by_zero_and_a_domain_error(zero, exponent):
    for kind in (numerics.PoleError, ZeroDivisionError, ValueError):
        with pytest.raises(kind, match="math domain error"):
            numerics.power(zero, exponent)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("exponent", [0.5, -1.5, Fraction(1, 3)])
def test_power_is_never_complex(carrier, exponent):
    with pytest.raises(ValueError, match="math domain error"):
        numerics.power(carrier(-2), exponent)


@given(base=SMALL, exponent=st.integers(-5, 5))
def test_whole_powers_of_fractions_are_exact(base, exponent):
    assume(base or exponent >= 0)
    expected = math.prod([base if exponent > 0 else 1 / (base or 1)] * abs(exponent))
    for whole in (exponent, Fraction(exponent)):
        result = numerics.power(base, whole)
        assert type(result) is Fraction
        assert result == expected


def test_other_powers_of_fractions_are_floats():
    for exponent in (2.0, 0.5, Fraction(1, 2)):
        result = numerics.power(Fraction(1, 4), exponent)
        assert type(result) is float
        assert result == 0.25 ** float(exponent)
    with pytest.raises(OverflowError, match="math range error"):
        numerics.power(Fraction(10) ** 400, 0.5)


def test_power_keeps_the_carrier():
    assert type(numerics.power(np.float32(3), 2)) is np.float32
    with mpmath.workdps(40):
        assert numerics.power(mpmath.mpf(2), 0.5) == mpmath.sqrt(2)


@given(st.lists(REALS.filter(lambda x: abs(x) < 1e100), max_size=12))
def test_sums_and_products_go_from_left_to_right(xs):
    total, product = (xs[0], xs[0]) if xs else (0.0, 1.0)
    for x in xs[1:]:
        total += x
        product *= x
    assert same(numerics.add_all(xs), total)
    assert same(numerics.add_all(iter(xs)), total)
    assert same(numerics.multiply_all(xs), product)


def test_of_nothing_the_sum_is_zero_and_the_product_one():
    empty = [numerics.add_all([]), numerics.multiply_all([])]
    assert empty == [0.0, 1.0]
    assert [type(x) for x in empty] == [float, float]


def test_sums_are_not_compensated_and_start_at_their_first_term():
    assert numerics.add_all([1e16, 1.0, -1e16]) == 0.0
    assert same(numerics.add_all([-0.0]), -0.0)
    assert same(numerics.dot_all([0.0, -1.0]), -0.0)


@given(st.lists(SMALL, min_size=1, max_size=6), st.data())
def test_sums_of_fractions_are_exact(xs, data):
    ys = data.draw(st.lists(SMALL, min_size=len(xs), max_size=len(xs)))
    results = [numerics.add_all(xs), numerics.multiply_all(xs), numerics.dot_all(xs + ys)]
    assert [type(result) for result in results] == [Fraction] * 3
    assert results == [sum(xs), math.prod(xs), sum(x * y for x, y in zip(xs, ys, strict=True))]


@given(st.lists(st.tuples(REALS, REALS), min_size=1, max_size=8))
def test_dot_rounds_every_product_and_every_sum(pairs):
    xs, ys = zip(*pairs, strict=True)
    expected = xs[0] * ys[0]
    for x, y in pairs[1:]:
        expected = expected + x * y
    assert same(numerics.dot_all(xs + ys), expected)


@pytest.mark.parametrize("xs", [[], [1.0], [1.0, 2.0, 3.0]])
def test_dot_refuses_unequal_halves(xs):
    message = f"dot: give two lists of equal length, not empty; got {len(xs)} numbers"
    with pytest.raises(ValueError, match=message):
        numerics.dot_all(xs)
