"""`import tinygrad_scalar as math`."""

import inspect
import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import tinygrad_scalar as tg
from tinygrad_scalar import Value, testing


def test_every_name_of_math_is_there():
    names = {name for name in vars(math) if not name.startswith("_")}
    assert names - set(dir(tg)) - {"fma", "fmax", "fmin"} == set()


@pytest.mark.parametrize(
    "name", ["comb", "factorial", "gcd", "isqrt", "lcm", "perm", "frexp", "nextafter", "ulp"]
)
def test_functions_of_math_show_its_parameters(name):
    assert inspect.signature(getattr(tg, name)) == inspect.signature(getattr(math, name))


@pytest.mark.parametrize("name", ["pi", "e", "tau", "inf"])
def test_constants(name):
    assert getattr(tg, name) == getattr(math, name)


@pytest.mark.parametrize("x", [0.0, -2.5, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_predicates_look_at_the_data(name, x):
    expected = getattr(math, name)(x)
    assert getattr(tg, name)(x) is expected
    assert getattr(tg, name)(Value(x)) is expected


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "isclose"])
@pytest.mark.parametrize("x", ["1.0", None, 1j])
def test_predicates_refuse_what_is_no_number(name, x):
    with pytest.raises(TypeError, match="a Value carries one real number, not"):
        getattr(tg, name)(*[x, x] if name == "isclose" else [x])


NUMBERS = [0.0, 1.0, 1.0 + 1e-12, -1.0, 1e-12, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("a", NUMBERS)
@pytest.mark.parametrize("b", NUMBERS)
@pytest.mark.parametrize("options", [{}, {"abs_tol": 1e-9}, {"rel_tol": 0.0}])
def test_isclose_is_that_of_math(a, b, options):
    expected = math.isclose(a, b, **options)
    assert tg.isclose(a, b, **options) is expected
    assert tg.isclose(Value(a), b, **options) is expected
    assert tg.isclose(a, Value(b), **options) is expected


def test_isclose_refuses_negative_tolerances():
    with pytest.raises(ValueError, match="tolerances must be non-negative"):
        tg.isclose(1.0, 1.0, rel_tol=-1.0)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("gcd", (12, 18)),
        ("lcm", (4, 6)),
        ("isqrt", (17,)),
        ("comb", (5, 2)),
        ("perm", (5, 2)),
        ("factorial", (5,)),
    ],
)
def test_functions_of_whole_numbers_look_at_the_data(name, numbers):
    expected = getattr(math, name)(*numbers)
    assert getattr(tg, name)(*numbers) == expected
    found = getattr(tg, name)(*map(Value, numbers))
    assert (found, type(found)) == (expected, int)
    with pytest.raises(TypeError, match="integer"):
        getattr(tg, name)(Value(2.5), *numbers[1:])


@pytest.mark.parametrize(
    ("name", "numbers"), [("frexp", (6.0,)), ("ulp", (1.0,)), ("nextafter", (1.0, 2.0))]
)
def test_what_is_about_bits_refuses_values(name, numbers):
    assert getattr(tg, name)(*numbers) == getattr(math, name)(*numbers)
    with pytest.raises(TypeError, match=rf"{name}\(\) of a Value .*: use v\.data"):
        getattr(tg, name)(*map(Value, numbers))


@pytest.mark.parametrize("x", [2.5, -2.5, 3.0, -0.5, 1e300, Fraction(-7, 2), 4, True])
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc"])
def test_whole_parts_of_plain_numbers_are_ints(name, x):
    found, expected = getattr(tg, name)(x), getattr(math, name)(x)
    assert (found, type(found)) == (expected, int)
    kept = getattr(tg, name)(Value(x))
    assert isinstance(kept, Value)
    assert kept.data == expected


@pytest.mark.parametrize("x", [10**30, -(2**53) - 1, 10**400, np.int64(2**62 + 1)])
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc"])
def test_whole_parts_of_ints_are_these_ints(name, x):
    """Also of those that are no floats."""
    found = getattr(tg, name)(x)
    assert (found, type(found)) == (x, int)


def test_whole_parts_of_what_is_not_finite_stay_what_they_are():
    for function in (tg.floor, tg.ceil, tg.trunc):
        assert function(math.inf) == math.inf
        assert math.isnan(function(math.nan))


PROGRAM = """
def table(step):
    return [math.sin(k * step) for k in range(math.ceil(2 / step) + 1)]

def looked_up(t, step=0.25):
    values, k = table(step), math.floor(math.fmod(math.fabs(t), 2) / step)
    return values[k] + (values[k + 1] - values[k]) * (t / step - k)

def great_circle(lat1, lon1, lat2, lon2):
    a, b, c = math.radians(lat1), math.radians(lat2), math.radians(lon2 - lon1)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(c / 2) ** 2
    return 6371 * 2 * math.atan2(math.sqrt(h), math.sqrt(1 - h))

def kepler(mean, eccentricity):
    anomaly = math.pi if eccentricity > 0.8 else mean
    while True:
        step = (anomaly - eccentricity * math.sin(anomaly) - mean) / (
            1 - eccentricity * math.cos(anomaly)
        )
        anomaly -= step
        if math.isclose(step, 0.0, abs_tol=1e-14) or math.isnan(step):
            return anomaly

def series(x):
    terms = ((-1) ** k * x ** (2 * k) / math.factorial(2 * k) for k in range(12))
    return math.fsum([*terms, math.comb(5, 2) * math.hypot(x, 1, 2), math.dist((x, 0), (1, 1))])

def spread(x, y):
    return math.prod([math.exp2(x), math.log1p(y), math.cbrt(y), math.pow(y, x)]) + max(
        math.copysign(x, y), math.ldexp(y, -2), math.modf(y)[0], math.degrees(x) / math.tau
    )
"""


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("looked_up", (0.6,)),
        ("great_circle", (52.5, 13.4, 48.1, 11.6)),
        ("kepler", (1.0, 0.3)),
        ("series", (0.7,)),
        ("spread", (0.7, 1.3)),
    ],
)
def test_programs_that_use_math_freely(name, point):
    theirs, ours = {"math": math}, {"math": tg}
    for namespace in (theirs, ours):
        exec(PROGRAM, namespace)  # noqa: S102 (the text above)
    expected, found = theirs[name](*point), ours[name](*point)
    assert (found, type(found)) == (expected, type(expected))
    if name == "looked_up":  # an index is a number
        return
    assert ours[name](*map(Value, point)).data == pytest.approx(expected, rel=1e-15)
    slopes = tg.grad(ours[name], argnums=tuple(range(len(point))))(*point)
    testing.check_derivative(theirs[name], lambda *x: slopes if len(x) > 1 else slopes[0], *point)


def test_what_has_a_derivative_keeps_it():
    x, y, z = Value(1.0), Value(2.0), Value(2.0)
    length = tg.hypot(x, y, z)
    length.backward()
    assert (length.data, x.grad, y.grad, z.grad) == pytest.approx((3.0, 1 / 3, 2 / 3, 2 / 3))
    assert tg.grad(lambda t: tg.dist([t, 0.0], [1.0, 3.0]))(5.0) == pytest.approx(0.8)
    assert tg.grad(lambda t: tg.ldexp(t, 3))(5.0) == 8.0
    assert tg.grad(lambda t: tg.modf(t)[0])(2.5) == 1.0
    assert tg.grad(lambda t: tg.modf(t)[1])(2.5) == 0.0
    assert tg.grad(lambda t: tg.fsum([t, t, 1.0]))(2.0) == 2.0
    assert tg.grad(lambda t: tg.sumprod([t, 3.0], [t, 1.0]))(2.0) == 4.0
    assert tg.ldexp(Value(1e300), -1070).data == math.ldexp(1e300, -1070)


@pytest.mark.parametrize("x", [math.inf, -math.inf, 2.5, -0.0])
def test_the_parts_of_any_number_are_those_of_math(x):
    expected = repr([*math.modf(x)])  # with the signs of zeros
    assert repr([part.data for part in tg.modf(Value(x))]) == expected
    for engine in tg.engines():
        compiled = tg.compile(lambda x: [*tg.modf(x)], engine=engine)
        assert repr(compiled(x)) == expected
        parts = compiled(np.array([0.5, x]))
        assert repr([float(part[1]) for part in parts]) == expected


@pytest.mark.parametrize("n", range(5))
def test_of_any_number_of_coordinates(n):
    assert tg.hypot(*range(n)) == math.hypot(*range(n))
    assert tg.hypot(*map(Value, range(n))) == pytest.approx(math.hypot(*range(n)))


@pytest.mark.parametrize("undefined", ["subgradient", "nan", "raise"])
def test_hypot_of_three_has_a_derivative_where_one_of_them_is_0(undefined):
    slopes = tg.grad(tg.hypot, undefined=undefined)(0.0, 3.0, 4.0)
    assert slopes == pytest.approx((0.0, 0.6, 0.8))


# Along z, √(x² + y² + z²) has the second derivatives 1/z by x and y, 0 by z.
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_hypot_of_three_has_second_derivatives_on_an_axis(order):
    def length(x, y, z):
        return tg.hypot(*[(x, y, z)[k] for k in order])

    right = ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.0))
    point = 0.0, 0.0, 2.0
    assert tg.grad(length, undefined="raise")(*point) == (0.0, 0.0, 1.0)
    assert tg.hessian(length, undefined="raise")(*point) == right
    assert tg.hvp(length, point, (1.0, 0.0, 3.0), undefined="raise") == right[0]
    assert tg.taylor(lambda t: length(t, t, 2.0), 2, undefined="raise")(0.0) == [2.0, 0.0, 1.0]
    compiled = tg.compile(length, max_paths=1)
    assert compiled.hessian(*point) == [list(row) for row in right]
    assert compiled(*map(np.array, zip(point, (3.0, 4.0, 0.0), strict=True))).tolist() == [2.0, 5.0]


def test_hypot_of_three_keeps_the_kind_of_number():
    with mpmath.workdps(40):
        length = tg.hypot(mpf(1), mpf(2), mpf(3))
        assert mpmath.almosteq(length, mpmath.sqrt(14))
        assert tg.dist([mpf(1), mpf(2), mpf(3)], [mpf(0)] * 3) == length
    assert isinstance(tg.hypot(*map(np.float32, (1, 2, 3))), np.float32)


@pytest.mark.parametrize("others", [(), (Value(1.0),), (Value(1.0), 2.0)])
def test_hypot_names_itself_when_it_refuses(others):
    with pytest.raises(TypeError, match=r"hypot: .*not str"):
        tg.hypot(*others, "a")


def test_distances_and_sums_refuse_unequal_lengths():
    with pytest.raises(ValueError, match="dist: 1 coordinates against 2"):
        tg.dist([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="1 numbers against 2"):
        tg.sumprod([1.0], [1.0, 2.0])


@pytest.mark.parametrize("room", ["data", "drawing", "nn", "optim", "strategies", "testing"])
def test_completion_in_the_rooms_shows_public_names_only(room):
    found = dir(getattr(tg, room))
    assert found
    assert not {"Any", "annotations", "csv", "math", "modules", "rules", "scene"} & set(found)
    assert all(hasattr(getattr(tg, room), name) for name in found)


def test_completion_shows_public_names_only():
    assert not {"import_module", "sys", "core", "functions", "plain", "Any"} & set(dir(tg))
    assert set(tg.__all__) <= set(dir(tg))
