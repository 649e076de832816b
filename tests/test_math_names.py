"""`import tinygrad_scalar as math`."""

import math

import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import Value


def test_every_name_of_math_is_there():
    names = {name for name in vars(math) if not name.startswith("_")}
    assert names - set(dir(tg)) - {"fma", "fmax", "fmin"} == set()


@pytest.mark.parametrize("name", ["pi", "e", "tau", "inf"])
def test_constants(name):
    assert getattr(tg, name) == getattr(math, name)


@pytest.mark.parametrize("x", [0.0, -2.5, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_predicates_look_at_the_data(name, x):
    expected = getattr(math, name)(x)
    assert getattr(tg, name)(x) is expected
    assert getattr(tg, name)(Value(x)) is expected


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


@pytest.mark.parametrize("n", range(5))
def test_of_any_number_of_coordinates(n):
    assert tg.hypot(*range(n)) == math.hypot(*range(n))
    assert tg.hypot(*map(Value, range(n))) == pytest.approx(math.hypot(*range(n)))


def test_distances_and_sums_refuse_unequal_lengths():
    with pytest.raises(ValueError, match="dist: 1 coordinates against 2"):
        tg.dist([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="1 numbers against 2"):
        tg.sumprod([1.0], [1.0, 2.0])


def test_completion_shows_public_names_only():
    assert not {"import_module", "sys", "core", "functions", "plain", "Any"} & set(dir(tg))
    assert set(tg.__all__) <= set(dir(tg))
