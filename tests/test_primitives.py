"""Every row of the table against mpmath: value and partials, over the domain and at kinks."""

import itertools
import math
import pickle
import string
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from table_reference import (
    DERIVATIVES,
    between,
    check_partials,
    exact_derivative,
    exact_value,
    points,
    reference,
    settled,
)

import tinygrad_scalar
from tinygrad_scalar import Interval, Value
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.numbers.precision import evaluate

ROWS = list(TABLE.values())
UNARY = [row for row in ROWS if row.arity == 1]

# Operands that are no real number: an order, a condition, a number of digits.
NOT_REAL = (("polygamma", 0), ("where", 0), ("round_to", 1))


def each(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


# ── first derivatives ─────────────────────────────────────────────────────────────────────────
@each(ROWS)
def test_value_and_partials_are_those_of_mpmath_over_the_whole_domain(row):
    @settings(max_examples=20)
    @given(points(row))
    def holds(point):
        check_partials(row, point)

    holds()


SPECIAL = [0.0, 0.5, 1.0, -1.0, 1.5, 2.0, 2.5, 3.0]
# The points where a derivative does not exist, and the partials that stand for it.
KINKS = {
    "pow": [((0.0, 0.0), (0.0, 0.0))],
    "hypot": [((0.0, 0.0), (0.0, 0.0))],
    "sign": [((0.0,), (0.0,))],
    "step": [((0.0,), (0.0,))],
    "abs": [((0.0,), (0.0,))],
    "floor": [((2.0,), (0.0,))],
    "ceil": [((2.0,), (0.0,))],
    "trunc": [((2.0,), (0.0,)), ((-1.0,), (0.0,))],
    "round": [((2.5,), (0.0,)), ((-0.5,), (0.0,))],
    "floordiv": [((3.0, 1.5), (0.0, 0.0))],
    # the slope of one side
    "mod": [((6.0, 2.0), (1.0, -3.0)), ((-6.0, 2.0), (1.0, 3.0))],
    "remainder": [((3.0, 2.0), (1.0, -2.0)), ((1.0, -2.0), (1.0, 0.0))],
    "fmod": [((6.0, 2.0), (1.0, -3.0)), ((-6.0, 2.0), (1.0, 3.0))],
    "maximum": [((2.0, 2.0), (0.5, 0.5)), ((math.inf, math.inf), (0.5, 0.5))],
    "minimum": [((2.0, 2.0), (0.5, 0.5)), ((-math.inf, -math.inf), (0.5, 0.5))],
    "clip": [((1.0, 1.0, 2.0), (1.0, 0.0, 0.0)), ((2.0, 1.0, 2.0), (1.0, 0.0, 0.0))],
    "copysign": [((0.0, 2.0), (0.0, 0.0)), ((2.0, 0.0), (1.0, 0.0)), ((2.0, -0.0), (-1.0, 0.0))],
    "atan2": [((0.0, 0.0), (0.0, 0.0))],
    "relu": [((0.0,), (0.0,)), ((-0.0,), (0.0,))],
    "hardtanh": [((-1.0,), (1.0,)), ((1.0,), (1.0,))],
    "selu": [((0.0,), (1.7580993408473766,))],
    "leaky_relu": [((0.0, 0.01), (0.01, 0.0)), ((0.0, 0.25), (0.25, 0.0))],
    "elu": [((0.0, 0.5), (0.5, 0.0)), ((0.0, 2.0), (2.0, 0.0))],
}


def test_every_row_with_kinks_is_listed_here():
    found = set()
    for row in ROWS:
        for point in itertools.product(SPECIAL, repeat=row.arity or 2):
            try:
                row(*point)
            except (ArithmeticError, ValueError):
                continue
            if row.kinks(*point):
                found.add(row.name)
    assert found == set(KINKS)


@each([TABLE[name] for name in KINKS])
def test_at_a_kink_the_stated_number_stands_for_the_derivative(row):
    for point, expected in KINKS[row.name]:
        assert row.kinks(*point)
        leaves = [Value(x) for x in point]
        table = row(*leaves).backward()
        assert tuple(table[leaf] for leaf in leaves) == expected, point


@pytest.mark.parametrize(
    ("name", "slope"),
    [("leaky_relu", 1.0), ("elu", 1.0)],
)
def test_where_the_pieces_meet_smoothly_there_is_no_kink(name, slope):
    x = Value(0.0)
    assert not TABLE[name].kinks(0.0, slope)
    assert TABLE[name](x, slope).backward(undefined="raise")[x] == 1.0


@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        (tinygrad_scalar.sqrt, 0.0, math.inf),
        (tinygrad_scalar.sqrt, -0.0, math.inf),
        (lambda x: x**0.5, -0.0, math.inf),
        (tinygrad_scalar.cbrt, 0.0, math.inf),
        (lambda x: x**0.5, 0.0, math.inf),
        (lambda x: x ** Value(0.5), 0.0, math.inf),
        (tinygrad_scalar.asin, 1.0, math.inf),
        (tinygrad_scalar.asin, -1.0, math.inf),
        (tinygrad_scalar.acos, 1.0, -math.inf),
        (tinygrad_scalar.acos, -1.0, -math.inf),
        (tinygrad_scalar.acosh, 1.0, math.inf),
    ],
)
def test_at_a_closed_edge_the_slope_is_infinite(function, x, slope):
    leaf = Value(x)
    y = function(leaf)
    gradient = y.backward()[leaf]
    assert (gradient, leaf.grad) == (slope, slope)
    assert type(gradient) is type(leaf.grad) is float
    assert y.local_derivatives[0]() == slope


def test_the_sizes_of_exponent_and_slope_do_not_matter():
    """A slope as large as 1e17 must not cancel the 1 of the positive side."""
    for slope in (1e3 / 3, 1e17, -1e300):
        x = Value(2.0)
        assert tinygrad_scalar.leaky_relu(x, slope).backward()[x] == 1.0


# ── points in the middle ──────────────────────────────────────────────────────────────────────
AWAY_FROM_0 = st.one_of(between(0.1, 4.0), between(-4.0, -0.1))
BETWEEN_POLES = between(0.1, 4.0) | st.sampled_from([-0.4, -1.7, -2.2])
CALM = {
    "pow": st.tuples(between(0.1, 4.0), between(-3.0, 3.0)),
    "polygamma": st.tuples(st.integers(0, 3).map(float), between(0.2, 4.0)),
    "round_to": st.tuples(between(-4.0, 4.0), st.just(1.0)),
    "clip": st.tuples(between(-4.0, 4.0), between(-4.0, -1.0), between(1.0, 4.0)),
    "dot": st.tuples(*[between(-4.0, 4.0)] * 4),
    "cross_entropy": st.tuples(*[between(-4.0, 4.0)] * 4),
    "gamma": st.tuples(BETWEEN_POLES),
    "lgamma": st.tuples(BETWEEN_POLES),
    "digamma": st.tuples(BETWEEN_POLES),
}


def calm_operand(domain):
    if domain == Interval():
        return AWAY_FROM_0
    return between(max(domain.low, -4.0) + 0.1, min(domain.high, 4.0) - 0.1)


def calm(row):
    """Points in the middle of the domain, away from poles, where 1e-10 can be asked."""
    if row.name in CALM:
        return CALM[row.name]
    if row.arity is None:
        return st.tuples(*[between(-4.0, 4.0)] * 3)
    return st.tuples(*map(calm_operand, row.domain))


# ── what else stands in a row ─────────────────────────────────────────────────────────────────
@each(ROWS)
def test_the_row_in_mpmath_is_the_same_function(row):
    @settings(max_examples=5)
    @given(calm(row))
    def holds(point):
        with mpmath.workdps(40):
            got = evaluate(row.forward, [mpf(x) for x in point], row.mpmath)
            exact = reference(row)(*map(mpf, point))
            assert isinstance(got, mpf)
            assert abs(got - exact) <= mpf("1e-36") * (1 + abs(exact))

    holds()


@each(ROWS)
def test_partials_at_40_digits(row):
    """No constant of a rule, and no step on the way, falls back to 53 bits."""

    @settings(max_examples=3)
    @given(calm(row).filter(lambda point: not row.kinks(*point)))
    def holds(point):
        with mpmath.workdps(40):
            leaves = [Value(mpf(x)) for x in point]
            y = row(*leaves)
            assert isinstance(y.data, mpf)
            table = y.backward()
            for i, leaf in enumerate(leaves):
                exact = mpf(0) if (row.name, i) in NOT_REAL else exact_derivative(row, point, i)
                assert isinstance(table[leaf], mpf)
                assert abs(table[leaf] - exact) <= mpf("1e-34") * (1 + abs(exact)), (point, i)

    holds()


@each(ROWS)
def test_partials_in_32_bits(row):
    @settings(max_examples=3)
    @given(calm(row).filter(lambda point: not row.kinks(*point)))
    def holds(point):
        leaves = [Value(np.float32(x)) for x in point]
        rounded = tuple(float(leaf.data) for leaf in leaves)
        y = row(*leaves)
        assert type(y.data) is np.float32
        table = y.backward()
        for i, leaf in enumerate(leaves):
            exact = mpf(0) if (row.name, i) in NOT_REAL else exact_derivative(row, rounded, i)
            assert type(table[leaf]) is np.float32
            assert abs(float(table[leaf]) - exact) <= 2e-5 * (1 + abs(exact)), (point, i)

    holds()


@each(ROWS)
def test_the_reference_of_explicit_derivatives_is_a_derivative(row):
    """The closed forms in `table_reference` against difference quotients."""
    for name, i in DERIVATIVES:
        if name == row.name and row.arity is not None and i < row.arity and i < 2:
            point = {1: (2.3,), 2: (2.3, 1.7), 3: (1.0, 2.3, 1.7)}[row.arity]
            if (name, i) in NOT_REAL:
                continue
            if not row.domain[0].interior(point[0]):
                point = (0.3, *point[1:])
            if name == "polygamma":
                point = (2.0, 1.7)
            exact = DERIVATIVES[name, i](*map(mpf, point))
            orders = tuple(int(i == j) for j in range(row.arity))
            assert mpmath.almosteq(
                mpmath.diff(reference(TABLE[name]), tuple(map(mpf, point)), orders),
                exact,
                1e-10,
                1e-10,
            )


@each(ROWS)
def test_a_row_says_what_drawings_and_formulas_need(row):
    assert TABLE[row.name] is row
    assert isinstance(row.symbol, str)
    assert 1 <= row.precedence <= 9
    fields = {field for _, field, _, _ in string.Formatter().parse(row.latex) if field is not None}
    wanted = {"all"} if row.arity is None else {str(i) for i in range(row.arity)}
    assert fields == wanted or (row.arity is None and fields <= wanted)
    assert row.latex.format(*"xyz", all="x, y").count("{") == row.latex.format(
        *"xyz", all="x, y"
    ).count("}")
    if row.arity is not None:
        assert len(row.partials) == len(row.domain) == row.arity
        assert len(row.subgradient) in (0, row.arity)  # none: the slope of one side
    assert repr(row) == f"<primitive {row.name}>"
    assert pickle.loads(pickle.dumps(row)) is row


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "text"),
    [
        (Interval(), [0.0, 1e308], [math.inf, math.nan], "(−∞, ∞)"),
        (Interval(0.0), [5e-324], [0.0, -1.0], "(0, ∞)"),
        (Interval(0.0, closed_low=True), [0.0], [-5e-324], "[0, ∞)"),
        (
            Interval(-1.0, 1.0, closed_low=True, closed_high=True),
            [-1.0, 1.0, Fraction(1, 3)],
            [1.0000000000000002],
            "[−1, 1]",
        ),
    ],
)
def test_an_interval_knows_its_edges(interval, inside, outside, text):
    assert all(x in interval for x in inside)
    assert not any(x in interval for x in outside)
    assert not any(map(interval.interior, outside))
    assert repr(interval) == text


@each(UNARY)
def test_nan_passes_through_forward_and_backward(row):
    x = Value(math.nan)
    y = row(x)
    assert math.isnan(y.data)
    for table in (y.backward(), y.backward(undefined="warn")):
        constant = row.name in ("degrees", "radians")  # in the precision of the operand
        assert math.isnan(table[x]) or constant or table[x] == row.partials[0]


IN_MATH = [row for row in UNARY if hasattr(math, row.name) and row.name != "lgamma"]


@each(IN_MATH)
@pytest.mark.parametrize(
    "x", [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, 1e3, -1e3, 1e308, math.inf, -math.inf]
)
def test_a_row_does_what_math_does(row, x):
    def outcome(function):
        try:
            return float(function(x))
        except (ArithmeticError, ValueError) as error:
            return type(error)

    expected = outcome(getattr(math, row.name))
    if row.name in ("floor", "ceil", "trunc") and math.isinf(x):
        expected = x  # a float, and so no integer too large
    for got in (outcome(row), outcome(lambda x: row(Value(x)).data)):
        assert got == expected
        if isinstance(got, float):
            assert math.copysign(1.0, got) == math.copysign(1.0, expected) or row.name in (
                "floor",
                "ceil",
                "trunc",
            )


@each(ROWS)
def test_the_value_at_a_point_is_independent_of_what_carries_it(row):
    @settings(max_examples=10)
    @given(calm(row))
    def holds(point):
        plain = row(*point)
        assert row(*map(Value, point)).data == plain
        mixed = [Value(x) if i % 2 else x for i, x in enumerate(point)]
        result = row(*mixed)
        assert (result.data if isinstance(result, Value) else result) == plain

    holds()


def test_the_reference_notices_a_wrong_value():
    wrong = iter(range(1, 100))
    with pytest.raises(AssertionError, match="does not settle"):
        settled(lambda: mpf(next(wrong)))
    assert exact_value(TABLE["exp"], (1.0,)) != exact_value(TABLE["exp2"], (1.0,))


def test_a_comparison_in_a_partial_is_a_number_of_the_kind_carried():
    for kind in (float, np.float32, Fraction):
        x = Value(kind(2))
        for y in (TABLE["clip"](x, 0, 5), TABLE["where"](True, x, 1.0), TABLE["maximum"](x, 1)):
            assert type(y.local_derivatives[0]()) is kind
            assert y.local_derivatives[0]() == 1
            assert type(y.backward(undefined="warn")[x]) is kind
        assert TABLE["maximum"](x, 1).backward(create_graph=True)[x].parents == ()


def test_masks_of_the_largest_numbers():
    """No difference is taken that could overflow, and no 0 · ∞."""
    x, y = Value(1.7e308), Value(-1.7e308)
    for name, expected in (("maximum", (1.0, 0.0)), ("minimum", (0.0, 1.0))):
        table = TABLE[name](x, y).backward()
        assert (table[x], table[y]) == expected
    x = Value(math.inf)
    assert TABLE["elu"](x, 1.0).backward()[x] == 1.0
    assert TABLE["leaky_relu"](x, 0.1).backward()[x] == 1.0


CORNERS = (0.0, -0.0, 0.5, -1.0, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan)


@each([row for row in TABLE.values() if row.total])
def test_a_total_row_raises_for_no_floats(row):
    for x in itertools.product(CORNERS, repeat=row.arity or 4):
        assert isinstance(row.forward(*x), float)
