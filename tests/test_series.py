"""Derivatives of any order in one variable: `taylor` and `derivative`."""

import gc
import math

import mpmath
import pytest
from hypothesis import given, settings
from modes_reference import all_close, function_of, moderate_programs

from tinygrad_scalar import (
    Value,
    atan,
    cosh,
    counting,
    custom,
    derivative,
    exp,
    gelu,
    grad,
    hypot,
    lgamma,
    log,
    mean,
    minimum,
    primitive,
    prod,
    relu,
    sigmoid,
    sin,
    softmax,
    softplus,
    sqrt,
    tanh,
    taylor,
    where,
)


def nested(f, n):
    for _ in range(n):
        f = grad(f)
    return f


def evaluations(f):
    with counting() as c:
        f()
    return c.evaluations


def test_taylor_gives_derivatives_not_coefficients():
    assert taylor(lambda x: x**3, 4)(2.0) == [8.0, 12.0, 12.0, 6.0, 0.0]
    assert taylor(exp, 5)(0.0) == [1.0] * 6


def test_derivative_is_the_last_of_taylor():
    assert derivative(lambda x: x**3)(2.0) == 12.0
    assert derivative(lambda x: x**3, 2)(2.0) == 12.0
    assert derivative(lambda x: x**3, 0)(2.0) == 8.0
    assert derivative(sin, 7)(0.5) == taylor(sin, 7)(0.5)[7]


def test_a_constant_and_the_identity():
    assert taylor(lambda x: 3, 3)(1.0) == [3.0, 0.0, 0.0, 0.0]
    assert taylor(lambda x: x, 3)(2) == [2.0, 1.0, 0.0, 0.0]
    assert taylor(lambda x: x, 0)(2) == [2.0]


def test_results_are_plain_numbers():
    assert all(type(y) is float for y in taylor(lambda x: x * x, 3)(2))


ANALYTIC = {
    "x sin x / (1 + x²)": (
        lambda x: x * sin(x) / (1 + x * x),
        lambda x: x * mpmath.sin(x) / (1 + x * x),
    ),
    "log, sqrt and powers": (
        lambda x: log(x) * sqrt(1 + x) ** 3 / x**2.5,
        lambda x: mpmath.log(x) * mpmath.sqrt(1 + x) ** 3 / x ** mpmath.mpf(2.5),
    ),
    "x to the x": (lambda x: x**x, lambda x: x**x),
    "tanh of exp": (lambda x: tanh(exp(-x * x)), lambda x: mpmath.tanh(mpmath.exp(-x * x))),
    "atan, hypot": (
        lambda x: atan(x) * hypot(x, 2.0),
        lambda x: mpmath.atan(x) * mpmath.sqrt(x * x + 4),
    ),
    "gamma": (lambda x: exp(lgamma(x)), mpmath.gamma),
    "gelu": (gelu, lambda x: x * mpmath.ncdf(x)),
    "softmax": (
        lambda x: softmax([x, 2 * x, 1.0])[1],
        lambda x: mpmath.exp(2 * x) / (mpmath.exp(x) + mpmath.exp(2 * x) + mpmath.e),
    ),
    "rows of many operands": (
        lambda x: prod([x, sin(x), 3.0]) * mean([x, x, 1.0]),
        lambda x: 3 * x * mpmath.sin(x) * (2 * x + 1) / 3,
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), ANALYTIC.values(), ids=ANALYTIC)
def test_ten_derivatives_are_those_of_mpmath(ours, theirs):
    for x in (0.7, 1.9):
        with mpmath.workdps(40):
            exact = [c * mpmath.factorial(k) for k, c in enumerate(mpmath.taylor(theirs, x, 10))]
        for k, (got, wanted) in enumerate(zip(taylor(ours, 10)(x), exact, strict=True)):
            # as the coefficients are sums whose rounding errors are carried on from order to order
            assert abs(got - wanted) <= 1e-12 * math.factorial(k) * max(
                abs(c) / mpmath.factorial(j) for j, c in enumerate(exact[: k + 1])
            ), k


@settings(max_examples=40)
@given(moderate_programs(max_steps=8))
def test_taylor_agrees_with_nested_gradients(program):
    first, *others = program.inputs
    f = lambda x: function_of(program)([x, *others])  # noqa: E731
    wanted = [nested(f, n)(first) for n in range(5)]
    assert all_close(taylor(f, 4)(first), wanted, 1e-9)


def test_branches_and_piecewise_functions():
    assert taylor(lambda x: x**3 if x > 1 else x, 3)(2.0) == [8.0, 12.0, 12.0, 6.0]
    assert taylor(lambda x: relu(x) ** 3, 3)(2.0) == [8.0, 12.0, 12.0, 6.0]
    assert taylor(lambda x: relu(x) ** 3, 3)(-2.0) == [0.0, 0.0, 0.0, 0.0]
    assert taylor(lambda x: minimum(x**3, 100.0), 3)(2.0) == [8.0, 12.0, 12.0, 6.0]
    assert taylor(lambda x: where(x > 1, x**3, x), 3)(2.0) == [8.0, 12.0, 12.0, 6.0]
    assert taylor(lambda x: abs(x) ** 3, 3)(-2.0) == [8.0, -12.0, 12.0, -6.0]
    assert taylor(lambda x: x % 1.5, 2)(2.0) == [0.5, 1.0, 0.0]
    assert taylor(lambda x: x // 1.5, 2)(2.0) == [1.0, 0.0, 0.0]


def test_integer_powers_at_zero_and_of_negative_numbers():
    assert taylor(lambda x: x**3, 4)(0.0) == [0.0, 0.0, 0.0, 6.0, 0.0]
    assert taylor(lambda x: x**2, 3)(-3.0) == [9.0, -6.0, 2.0, 0.0]
    assert taylor(lambda x: x**0, 2)(0.0) == [1.0, 0.0, 0.0]
    assert taylor(lambda x: x**1, 3)(0.0) == [0.0, 1.0, 0.0, 0.0]
    assert taylor(lambda x: x**-2, 2)(2.0) == [0.25, -0.25, 0.375]


def test_custom_functions():
    cube = custom(lambda x: x**3, lambda y, x: 3 * x * x)
    assert taylor(cube, 4)(2.0) == [8.0, 12.0, 12.0, 6.0, 0.0]


def test_an_infinite_slope_is_reported_as_it_is_by_the_other_modes():
    assert derivative(sqrt)(0.0) == math.inf
    assert derivative(abs)(0.0) == 0.0


def test_values_that_f_closes_over_stay_connected():
    w = Value(3.0)
    third = derivative(lambda x: w * x**3, 3)(2.0)
    assert third.data == 18.0
    assert third.backward()[w] == 6.0


# ── cost ──────────────────────────────────────────────────────────────────────────────────────
PROGRAMS = {
    "sin · exp": lambda x: sin(x) * exp(x),
    "quotient": lambda x: sin(x) / (1 + x * x),
    "log": log,
    "sqrt": sqrt,
    "atan": atan,
    "hypot": lambda x: hypot(x, 2.0),
    "power": lambda x: x**x,
    "gelu": lambda x: gelu(x, "tanh"),
    "sigmoid": sigmoid,
    "softplus": softplus,
    "cosh": cosh,
}


@pytest.mark.parametrize("f", PROGRAMS.values(), ids=PROGRAMS)
def test_the_cost_is_no_more_than_cubic_in_the_order(f):
    """Doubling the order costs at most 2³ times as much."""
    costs = [evaluations(lambda n=n: taylor(f, n)(0.7)) for n in (4, 8, 16)]
    assert costs[1] <= 8 * costs[0]
    assert costs[2] <= 8 * costs[1]


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"power"}))
def test_the_cost_is_quadratic_where_partials_are_made_of_a_few_operations(name):
    """Doubling the order costs 4 times as much, and a little more for terms of lower order.

    By Griewank and Walther, section 13.2. A partial of x^p is x^(p−1), of another power each time.
    The coefficients are Values, whose multiplications are counted.
    """
    f = PROGRAMS[name]
    costs = [evaluations(lambda n=n: taylor(f, n)(Value(0.7))) for n in (16, 32)]
    assert costs[1] < 5 * costs[0]


def test_orders_of_some_hundreds():
    """Sine and cosine need each other at every order, which is no recursion."""
    with mpmath.workdps(30):
        x = mpmath.mpf("0.5")
        exact = [mpmath.sin(x), mpmath.cos(x), -mpmath.sin(x), -mpmath.cos(x)]
        got = taylor(sin, 400)(x)
        assert all(abs(y - exact[k % 4]) < mpmath.mpf(10) ** -25 for k, y in enumerate(got))


@pytest.mark.parametrize("f", PROGRAMS.values(), ids=PROGRAMS)
def test_nothing_is_left_to_the_collector(f):
    taylor(f, 3)(0.7)
    gc.collect()
    gc.disable()
    try:
        taylor(f, 3)(0.7)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_cost_grows_less_than_that_of_nesting():
    """Nested gradients double, at least, with every order."""
    f = PROGRAMS["sin · exp"]
    by_nesting = [evaluations(lambda n=n: nested(f, n)(0.7)) for n in (2, 4, 6)]
    by_series = [evaluations(lambda n=n: taylor(f, n)(0.7)) for n in (2, 4, 6)]
    assert by_series[2] / by_series[0] < by_nesting[2] / by_nesting[0]
    assert by_series[2] < by_nesting[2] / 10


# ── what is refused ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("n", [-1, 1.0, "2", None, True])
def test_an_order_that_is_no_integer_from_0_on_is_refused_at_once(n):
    with pytest.raises(ValueError, match=r"(taylor|derivative): the order is an integer from 0 on"):
        taylor(sin, n)
    with pytest.raises(ValueError, match=r"(taylor|derivative): the order is an integer from 0 on"):
        derivative(sin, n)


def test_arguments_and_results_are_single_numbers():
    with pytest.raises(TypeError, match=r"taylor: x: .* not list"):
        taylor(lambda x: x[0], 2)([1.0])
    with pytest.raises(TypeError, match=r"taylor: what f returned: .* not NoneType"):
        taylor(lambda x: None, 2)(1.0)


def test_domain_errors_are_those_of_the_function():
    with pytest.raises(ValueError, match=r"log\(-1.0\)"):
        taylor(log, 2)(-1.0)
    with pytest.raises(ZeroDivisionError, match=r"div\(1.0, 0.0\)"):
        taylor(lambda x: 1 / x, 2)(0.0)


# The third derivative of x^2.5 is 1.875 / √x, and infinite at 0, where every mode that meets
# an infinite slope leaves the decision to reverse mode.
@pytest.mark.parametrize("outer", [1, 2, 3])
@pytest.mark.parametrize("mode", [derivative, lambda f, n: lambda x: taylor(f, n)(x)[n]])
def test_an_infinite_derivative_is_seen_through_a_series_inside_a_series(mode, outer):
    def inner(x):
        return mode(lambda y: y**2.5, 3 - outer)(x)

    assert mode(inner, outer)(0.0) == math.inf
    assert mode(lambda x: inner(x) + x**3, outer)(0.0) == math.inf
    assert mode(inner, outer)(4.0) == pytest.approx(0.9375, rel=1e-13)


def test_orders_whose_factorial_is_no_float():
    assert taylor(exp, 170)(0.3)[-1] == pytest.approx(math.exp(0.3), rel=1e-12)
    assert mpmath.almosteq(taylor(exp, 200)(mpmath.mpf(1))[-1], mpmath.e, rel_eps=1e-13)
    for x in (0.3, Value(0.3)):
        with pytest.raises(OverflowError, match=r"taylor: order 171 is too high for floats.*mpf"):
            taylor(exp, 171)(x)
    with pytest.raises(OverflowError, match=r"derivative: order 171 is too high for floats"):
        derivative(sin, 171)(0.3)


# ── rows whose partials are long computations ─────────────────────────────────────────────────
LONG = 3000


def to_the(n):
    def power(x):
        y = x
        for _ in range(n - 1):
            y = y * x
        return y

    return power


LONG_ROWS = {
    "formula": primitive("power", formula=to_the(LONG)),
    "custom": custom(lambda x: x**LONG, lambda y, x: (LONG * to_the(LONG - 1)(x),)),
    "product": lambda x: prod([x] * LONG),
}


@pytest.mark.parametrize("f", LONG_ROWS.values(), ids=LONG_ROWS)
def test_partials_may_be_long_computations(f):
    """Without recursion over their steps: x^n, whose k-th derivative at 1 is n! / (n − k)!."""
    exact = [float(math.perm(LONG, k)) for k in range(4)]
    assert taylor(f, 3)(1.0) == pytest.approx(exact, rel=1e-12)
    assert derivative(f, 3)(1.0) == pytest.approx(exact[3], rel=1e-12)
