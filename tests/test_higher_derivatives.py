"""Second to fourth derivatives of every row of the table, mixed ones too, against mpmath.

A row that is new in the table is checked without a line here.
"""

import math

import mpmath
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mpf
from table_reference import LARGEST, UNDERFLOW, exact_derivative, reference

from tinygrad_scalar import derivative, grad, hessian, hvp, jacobian, taylor
from tinygrad_scalar.core.primitives import TABLE

# Rows that are constant between their jumps, and operands that choose a branch or an order.
FLAT = ("sign", "step", "floor", "ceil", "trunc", "round", "round_to", "floordiv")
NO_NUMBER = {("polygamma", 0), ("round_to", 1), ("where", 0)}
BRANCHES = ("abs", "relu", "leaky_relu", "elu", "maximum", "minimum", "clip", "where", "copysign")
ROWS = [row for row in TABLE.values() if row.name not in FLAT]
ANALYTIC = [row for row in ROWS if row.name not in BRANCHES]
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
EACH_ANALYTIC_ROW = pytest.mark.parametrize("row", ANALYTIC, ids=lambda row: row.name)

MIDDLE = st.integers(-250, 250).map(lambda k: k / 100)
AT = {
    "pow": st.tuples(st.integers(20, 250).map(lambda k: k / 100), MIDDLE),
    "where": st.tuples(st.sampled_from([0.0, 1.0]), MIDDLE, MIDDLE),
    "clip": st.tuples(MIDDLE, st.just(-1.005), st.just(1.005)),
    "polygamma": st.tuples(
        st.integers(0, 3).map(float), st.integers(20, 600).map(lambda k: k / 100)
    ),
}


def inside(interval):
    """Points of moderate size, a little away from the edges of an interval."""
    low, high = max(interval.low, -2.5), min(interval.high, 2.5)
    return st.integers(5, 95).map(lambda k: low + (high - low) * (k / 100 + 0.001))


def points(row):
    """Points of the open domain, away from kinks and poles."""
    if row.name in AT:
        anywhere = AT[row.name]
    elif row.arity is None:
        anywhere = st.lists(MIDDLE, min_size=4, max_size=4).map(tuple)
    else:
        anywhere = st.tuples(*map(inside, row.domain))
    return anywhere.filter(lambda x: not row.kinks(*x) and all(abs(v) > 0.04 for v in x))


def size(row, point, *by):
    """The terms of which a derivative is a sum may be as large as its neighbours: the largest."""
    low = [exact_derivative(row, point, *by[:k]) for k in range(1, len(by) + 1)]
    return max([1.0, *(abs(float(x)) for x in low)])


def numeric(row, count):
    return [i for i in range(count) if (row.name, i) not in NO_NUMBER]


@EACH_ROW
def test_second_derivatives_are_those_of_mpmath(row):
    @settings(max_examples=8)
    @given(points(row))
    def holds(point):
        matrix = rows_of(hessian(row)(*point))
        forward = rows_of(jacobian(jacobian(row, mode="forward"), mode="forward")(*point))
        products = [
            as_tuple(hvp(row, point, tuple(float(k == j) for k in range(len(point)))))
            for j in range(len(point))
        ]
        operands = numeric(row, len(point))
        for i in operands:
            for j in operands:
                exact = float(exact_derivative(row, point, i, j))
                bound = 1e-10 * max(abs(exact), size(row, point, i), size(row, point, j))
                for mode, got in (
                    ("hessian", matrix[i][j]),
                    ("forward", forward[i][j]),
                    ("hvp", products[j][i]),
                ):
                    assert abs(got - exact) <= bound, f"{row.name}{point} {i}{j} {mode}: {got!r}"

    holds()


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def rows_of(matrix):
    return [as_tuple(row) for row in as_tuple(matrix)]


@EACH_ANALYTIC_ROW
def test_third_and_fourth_derivatives_are_those_of_mpmath(row):
    @settings(max_examples=4)
    @given(points(row))
    def holds(point):
        for i in numeric(row, len(point)):
            f = lambda x, i=i: row(*point[:i], x, *point[i + 1 :])  # noqa: E731
            exact = [float(exact_derivative(row, point, *[i] * k)) for k in range(5)]
            by_series = taylor(f, 4)(point[i])
            third = grad(grad(grad(f)))
            nested = [third(point[i]), grad(third)(point[i])]
            bound = 1e-10 * max(1.0, *map(abs, exact))
            assert all(abs(a - b) <= bound for a, b in zip(by_series, exact, strict=True)), (
                f"{row.name}{point} by operand {i}, taylor: {by_series} for {exact}"
            )
            assert all(abs(a - b) <= bound for a, b in zip(nested, exact[3:], strict=True)), (
                f"{row.name}{point} by operand {i}, nested: {nested} for {exact[3:]}"
            )

    holds()


# What is 0 there by chance, an operand or a value (normal_ppf is at 1/2), is no constant.
# At 0 some have a pole, of the value or of slopes, and softsign has two third derivatives.
NOT_AT_0 = ("reciprocal", "cbrt", "gamma", "lgamma", "digamma", "softsign")
ROUND = [
    (row, x)
    for row in ANALYTIC
    for x in (0.0, 0.5, 1.0)
    if row.arity == 1 and row.domain[0].interior(x) and not row.kinks(x)
    if x or row.name not in NOT_AT_0
]


@pytest.mark.parametrize(("row", "x"), ROUND, ids=lambda x: getattr(x, "name", x))
def test_third_derivatives_at_round_numbers_are_those_of_mpmath(row, x):
    exact = float(exact_derivative(row, (x,), 0, 0, 0))
    bound = 1e-10 * max(1.0, abs(exact))
    for third in (grad(grad(grad(row))), hessian(grad(row)), derivative(row, 3)):
        assert abs(third(x) - exact) <= bound


# A derivative may be small beside the value and beside those of lower order: the third of silu is
# −x/2 near 0.
# mpmath takes its time over these; test_tails has log Φ.
LENGTHY = ("gamma", "lgamma", "digamma", "erf", "erfc", "erfcx", "erfinv")
LENGTHY += ("normal_cdf", "normal_ppf", "log_normal_cdf")
FAR = [
    (row, x)
    for row in ANALYTIC
    for x in (-700.0, -30.0, -6.0, 1e-17, 30.0, 700.0)
    if row.arity == 1 and row.domain[0].interior(x) and not row.kinks(x)
    if row.name not in LENGTHY
]


@pytest.mark.parametrize(("row", "x"), FAR, ids=lambda x: getattr(x, "name", x))
def test_small_derivatives_keep_their_digits_too(row, x):
    got = taylor(row, 5)(x)
    for n in (3, 4, 5):
        exact, beyond = (exact_derivative(row, (x,), *[0] * k) for k in (n, n + 1))
        if abs(exact) < LARGEST:
            bound = 1e-10 * (abs(exact) + abs(x * beyond)) + UNDERFLOW
            assert abs(got[n] - exact) <= bound, f"order {n}: {got[n]!r} for {exact}"


# Mixed derivatives of higher order, by operands named one after the other.
MIXED = {
    "mul": (0, 1, 1),
    "div": (0, 1, 1),
    "pow": (0, 1, 0),
    "hypot": (0, 1, 1),
    "atan2": (1, 0, 1),
    "prod": (0, 2, 3),
    "logsumexp": (0, 1, 2),
    "cross_entropy": (0, 1, 2),
    "elu": (0, 0, 1),
}


@pytest.mark.parametrize(("name", "by"), MIXED.items(), ids=MIXED)
def test_mixed_third_derivatives_are_those_of_mpmath(name, by):
    row = TABLE[name]
    point = (-0.4, 0.7, 1.3, 0.9)[: row.arity or 4] if name == "elu" else (0.4, 0.7, 1.3, 0.9)
    point = point[: row.arity or 4]
    f = row
    for i in by:
        f = grad(f, i)
    orders = tuple(by.count(i) for i in range(len(point)))
    with mpmath.workdps(60):
        at = tuple(map(mpf, point))
        exact = float(mpmath.diff(reference(row), at, orders, h=mpf("1e-15")))
    assert math.isclose(f(*point), exact, rel_tol=1e-10, abs_tol=1e-10)


@pytest.mark.parametrize("name", FLAT)
def test_rows_that_are_flat_between_their_jumps(name):
    row = TABLE[name]
    point = (2.3, 1.7)[: row.arity]
    assert all(x == 0.0 for rows in rows_of(hessian(row)(*point)) for x in rows)
    assert taylor(lambda x: row(x, *point[1:]), 4)(2.3)[1:] == [0.0] * 4


@pytest.mark.parametrize("x", [-1.7, 1.7])
@pytest.mark.parametrize("name", ["abs", "relu", "leaky_relu", "copysign", "maximum", "clip"])
def test_rows_that_are_linear_between_their_kinks(name, x):
    row = TABLE[name]
    rest = {"copysign": (2.0,), "maximum": (0.5,), "clip": (-1.0, 1.0)}.get(name, ())
    rest = (0.1,) if name == "leaky_relu" else rest
    assert taylor(lambda u: row(u, *rest), 4)(x)[2:] == [0.0] * 3
    assert grad(grad(lambda u: row(u, *rest)))(x) == 0.0


@settings(max_examples=40)
@given(st.integers(-300, 300).map(lambda k: k / 10))
def test_second_derivatives_far_out_stay_finite(x):
    """Where the first derivative has saturated, the second has no NaN for company."""
    for name in ("sigmoid", "tanh", "softplus", "silu", "gelu", "gelu_tanh", "erf", "normal_cdf"):
        assert math.isfinite(grad(grad(TABLE[name]))(10.0 * x)), name
    assume(abs(x) > 0.1)
    for name in ("atan", "asinh", "cbrt", "digamma"):
        if name != "digamma" or x > 0:
            assert math.isfinite(grad(grad(TABLE[name]))(x)), name


@pytest.mark.parametrize("mode", [derivative, lambda f, n: taylor(f, n)], ids=["one", "all"])
def test_keyword_arguments_pass_through_undifferentiated(mode):
    def f(x, *, n, undefined=1.0):
        return undefined * x**n

    expected = mode(lambda x: 2.0 * x**3, 2)(3.0)
    assert mode(f, 2)(3.0, n=3, undefined=2.0) == expected


@pytest.mark.parametrize(("mode", "name"), [(derivative, "derivative"), (taylor, "taylor")])
def test_what_is_no_function_of_one_number_is_named(mode, name):
    for args in ((), (1.0, 2.0)):
        with pytest.raises(TypeError, match=rf"^{name}: f is a function of one number, not of"):
            mode(lambda *x: sum(x), 2)(*args)
    with pytest.raises(TypeError, match=rf"^{name}: x: a Value carries one real number, not list"):
        mode(lambda x: x[0], 2)([1.0])
    with pytest.raises(TypeError, match=rf"^{name}: f must return one number, not list; take one"):
        mode(lambda x: [x], 2)(1.0)
