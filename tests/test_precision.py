"""Every kind of number through every mode: exact fractions, 32 bits, arbitrary precision."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_lists import RATIONAL, programs
from modes_reference import flat, function_of
from mpmath import mpf
from table_reference import reference

from tinygrad_scalar import (
    Value,
    checkpoint,
    checkpoint_chain,
    custom,
    derivative,
    exp,
    grad,
    hessian,
    hvp,
    implicit,
    jacobian,
    jvp,
    primitive,
    sin,
    sum_over_paths,
    taylor,
    value_and_grad,
    vjp,
)
from tinygrad_scalar.core.primitives import TABLE


def unit(i, x):
    return [int(i == j) for j in range(len(x))]


def along(f, x, i):
    return lambda u: f([*x[:i], u, *x[i + 1 :]])


def by_graph(f, x):
    leaves = [Value(v) for v in x]
    table = f(leaves).backward(create_graph=True, inputs=leaves)
    return [table[leaf].data for leaf in leaves]


# The gradient of f at a point, as a list, by each mode that gives one.
GRADIENTS = {
    "grad": lambda f, x: grad(f)(x),
    "value_and_grad": lambda f, x: value_and_grad(f)(x)[1],
    "vjp": lambda f, x: vjp(f, x)[1](1),
    "vjp, seed 1.0": lambda f, x: vjp(f, x)[1](1.0),
    "jvp": lambda f, x: [jvp(f, (x,), (unit(i, x),))[1] for i in range(len(x))],
    "jvp, tangents of floats": lambda f, x: [
        jvp(f, (x,), ([float(u) for u in unit(i, x)],))[1] for i in range(len(x))
    ],
    "forward jacobian": lambda f, x: jacobian(f, mode="forward")(x),
    "reverse jacobian": lambda f, x: jacobian(f, mode="reverse")(x),
    "taylor": lambda f, x: [taylor(along(f, x, i), 1)(x[i])[1] for i in range(len(x))],
    "derivative": lambda f, x: [derivative(along(f, x, i))(x[i]) for i in range(len(x))],
    "checkpoint": lambda f, x: grad(lambda u: checkpoint(f, u))(x),
    "create_graph": by_graph,
}
HESSIANS = {
    "hessian": lambda f, x: hessian(f)(x),
    "sparse": lambda f, x: dense(hessian(f, sparse=True)(x), x),
    "hvp": lambda f, x: [hvp(f, (x,), (unit(i, x),)) for i in range(len(x))],
    "forward over forward": lambda f, x: jacobian(jacobian(f, mode="forward"), mode="forward")(x),
    "reverse over forward": lambda f, x: jacobian(jacobian(f, mode="forward"), mode="reverse")(x),
    "forward over reverse": lambda f, x: jacobian(grad(f), mode="forward")(x),
    "checkpoint": lambda f, x: hessian(lambda u: checkpoint(f, u))(x),
}


def dense(found, x):
    matrix = [[0 * a for a in x] for _ in x]
    for i, j, value in zip(*found, strict=True):
        matrix[i][j] = value
    return matrix


def of_kind(kind, structure):
    """Whether all numbers are of the kind, zeros where nothing is reached too."""
    return all(type(x) is kind for x in flat(structure))


# ── Fraction: no rounding anywhere, so that all modes agree to the last digit ─────────────────
BY_SYMPY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "pow": lambda a: a**2,
    "sum": lambda a, b, c: a + b + c,
    "mean": lambda a, b, c: (a + b + c) / 3,
    "dot": lambda a, b, c, d: a * c + b * d,
    "prod": lambda a, b, c: a * b * c,
}
FRACTIONS = programs(RATIONAL, st.fractions(-2, 2, max_denominator=5), max_steps=5)


def exactly(program, *by):
    """A derivative by SymPy, at the inputs of the program."""
    names = sympy.symbols(f"x:{len(program.inputs)}")
    expression = program.compute(names, BY_SYMPY)[-1]
    for i in by:
        expression = sympy.diff(expression, names[i])
    point = [sympy.Rational(x.numerator, x.denominator) for x in program.inputs]
    value = sympy.sympify(expression).subs(dict(zip(names, point, strict=True)))
    return Fraction(int(value.p), int(value.q))


@settings(max_examples=30)
@given(FRACTIONS)
def test_fractions_are_exact_in_all_modes(program):
    f, point = function_of(program), list(program.inputs)
    n = range(len(point))
    first = [exactly(program, i) for i in n]
    for name, mode in GRADIENTS.items():
        found = mode(f, point)
        assert found == first, name
        assert of_kind(Fraction, found), name
    second = [[exactly(program, i, j) for j in n] for i in n]
    for name, mode in HESSIANS.items():
        found = mode(f, point)
        assert found == second, name
        assert of_kind(Fraction, found), name


@settings(max_examples=30)
@given(FRACTIONS)
def test_fractions_are_exact_in_higher_orders(program):
    f, point = function_of(program), list(program.inputs)
    found = taylor(along(f, point, 0), 4)(point[0])
    assert found == [exactly(program, *[0] * k) for k in range(5)]
    assert of_kind(Fraction, found)


def quotient(x):
    """With integers and a division: 1 + 2 (x₀² + 3) / (x₁ − x₀)."""
    return 1 + 2 * (x[0] ** 2 + 3) / (x[1] - x[0])


THIRD, FIFTH = Fraction(1, 3), Fraction(1, 5)


@pytest.mark.parametrize("mode", GRADIENTS.values(), ids=GRADIENTS)
def test_integers_beside_fractions_keep_them_exact(mode):
    # u = x₁ − x₀ = −2/15, v = x₀² + 3 = 28/9: 4 x₀ / u + 2 v / u², −2 v / u²
    found = mode(quotient, [THIRD, FIFTH])
    assert found == [340, -350]
    assert of_kind(Fraction, found)


@pytest.mark.parametrize("mode", HESSIANS.values(), ids=HESSIANS)
def test_second_derivatives_of_quotients_are_exact(mode):
    u, v, x = FIFTH - THIRD, THIRD**2 + 3, THIRD
    by_x = 4 / u + 8 * x / u**2 + 4 * v / u**3
    mixed = -4 * x / u**2 - 4 * v / u**3
    found = mode(quotient, [THIRD, FIFTH])
    assert found == [[by_x, mixed], [mixed, 4 * v / u**3]]
    assert of_kind(Fraction, found)


def test_other_functions_on_fractions_are_exact_too():
    x = Value(THIRD)
    assert sum_over_paths(x * x / 3, x) == (Fraction(2, 9), 2)
    assert checkpoint_chain(lambda s: s * s / 3, x, 3).backward()[x] == 8 * THIRD**7 / 3**7
    assert grad(implicit(lambda a: a / 3, lambda y, a: 3 * y - a))(THIRD) == THIRD
    assert grad(custom(lambda a: a * a, lambda y, a: 2 * a))(THIRD) == Fraction(2, 3)
    assert taylor(lambda a: 1 / (1 + a), 3)(THIRD) == [
        Fraction(3, 4),
        Fraction(-9, 16),
        Fraction(27, 32),
        Fraction(-243, 128),
    ]
    slope = grad(lambda a: a * grad(lambda b: a * b * b)(FIFTH))(THIRD)
    assert (slope, type(slope)) == (4 * THIRD * FIFTH, Fraction)


def test_a_function_that_leaves_the_fractions_gives_floats():
    assert type(grad(exp)(THIRD)) is float
    assert all(type(x) is float for x in jvp(sin, (THIRD,), (1,)))


# ── numpy.float32 is kept as such ─────────────────────────────────────────────────────────────
def mixture(x):
    return exp(x[0]) * x[1] / 3 + sin(x[0] * x[1]) ** 2 - 2 * x[1] + 1.5


@pytest.mark.parametrize("mode", GRADIENTS.values(), ids=GRADIENTS)
def test_32_bits_stay_32_bits(mode):
    point = [np.float32(0.3), np.float32(0.7)]
    found = mode(mixture, point)
    assert of_kind(np.float32, found)
    expected = grad(mixture)([float(x) for x in point])
    assert all(abs(a - b) <= 1e-6 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("mode", HESSIANS.values(), ids=HESSIANS)
def test_32_bits_stay_32_bits_in_second_order(mode):
    point = [np.float32(0.3), np.float32(0.7)]
    found = mode(mixture, point)
    assert of_kind(np.float32, found)
    expected = hessian(mixture)([float(x) for x in point])
    assert all(abs(a - b) <= 1e-5 for a, b in zip(flat(found), flat(expected), strict=True))


def test_values_and_higher_orders_stay_32_bits_too():
    x = np.float32(0.3)
    f = lambda u: mixture([u, 0.7])  # noqa: E731
    assert of_kind(np.float32, taylor(f, 4)(x))
    assert of_kind(np.float32, value_and_grad(f)(x))
    assert of_kind(np.float32, jvp(f, (x,), (1.0,)))
    assert of_kind(np.float32, vjp(f, x)[0])
    assert of_kind(np.float32, grad(grad(grad(f)))(x))
    sincos = primitive(
        "sincos", lambda u: (np.sin(u), np.cos(u)), (lambda y, u: y[1],), (lambda y, u: -y[0],)
    )
    assert of_kind(np.float32, jacobian(sincos)(x))


def test_64_bit_numbers_of_numpy_are_floats():
    assert of_kind(float, grad(mixture)([np.float64(0.3), np.int64(1)]))
    assert of_kind(float, taylor(exp, 2)(np.float64(0.3)))
    assert of_kind(float, jvp(exp, (np.float64(0.3),), (np.float64(1.0),)))


# ── mpmath.mpf: as many digits as mpmath works with ───────────────────────────────────────────
@pytest.mark.parametrize("mode", GRADIENTS.values(), ids=GRADIENTS)
def test_fifty_digits_through_all_modes(mode):
    with mpmath.workdps(50):
        x, y = mpf(3) / 10, mpf(7) / 10
        found = mode(mixture, [x, y])
        wave = mpmath.sin(2 * x * y)
        by_x = mpmath.exp(x) * y / 3 + wave * y
        by_y = mpmath.exp(x) / 3 + wave * x - 2
        assert of_kind(mpf, found)
        assert max(abs(found[0] - by_x), abs(found[1] - by_y)) < mpf("1e-48")


@pytest.mark.parametrize("mode", HESSIANS.values(), ids=HESSIANS)
def test_fifty_digits_through_all_modes_of_second_order(mode):
    with mpmath.workdps(50):
        x, y = mpf(3) / 10, mpf(7) / 10
        found = mode(mixture, [x, y])
        cosine, wave = 2 * mpmath.cos(2 * x * y), mpmath.sin(2 * x * y)
        mixed = mpmath.exp(x) / 3 + cosine * x * y + wave
        wanted = [[mpmath.exp(x) * y / 3 + cosine * y**2, mixed], [mixed, cosine * x**2]]
        assert of_kind(mpf, found)
        errors = [abs(a - b) for a, b in zip(flat(found), flat(wanted), strict=True)]
        assert max(errors) < mpf("1e-48")


# The numbers at which each row is tried: (3/10, 7/10, …), with these exceptions.
AT = {
    "acosh": (1.7,),
    "clip": (0.3, 0.1, 1.2),
    "polygamma": (2.0, 1.3),
    "round_to": (0.37, 1.0),
    "where": (1.0, 0.3, 0.7),
    "cross_entropy": (0.3, 0.7, 0.4, 0.6),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_every_row_has_fifty_digits(row):
    """Value, first and second derivatives of every row, at numbers that no float can hold."""
    default = (0.3, 0.7, 1.2, 0.45)[: row.arity or 4]
    with mpmath.workdps(50):
        tail = mpf("1e-20") / 3
        point = [mpf(x) + (0 if x == round(x) else tail) for x in AT.get(row.name, default)]
        function = reference(row)
        smooth = [i for i in range(len(point)) if (row.name, i) not in CHOICES]
        assert abs(row(*point) - function(*point)) < mpf("1e-46"), "value"
        slopes = grad(lambda x: row(*x))(point)
        for i in smooth:
            orders = tuple(int(i == k) for k in range(len(point)))
            exact = difference(function, point, orders)
            assert abs(slopes[i] - exact) < mpf("1e-44"), f"partial {i}"
            twice = grad(lambda u, i=i: grad(along(lambda x: row(*x), point, i))(u))(point[i])
            exact = difference(function, point, tuple(2 * k for k in orders))
            assert abs(twice - exact) < mpf("1e-40"), f"second derivative by operand {i}"


CHOICES = {("polygamma", 0), ("round_to", 1), ("where", 0)}


def difference(function, point, orders):
    with mpmath.workdps(160):
        return mpmath.diff(function, tuple(point), orders, h=mpf("1e-55"))


def test_taylor_at_fifty_digits():
    with mpmath.workdps(50):
        x = mpf(3) / 10
        exact = [mpmath.sin(x), mpmath.cos(x), -mpmath.sin(x), -mpmath.cos(x)]
        found = taylor(sin, 3)(x)
        assert of_kind(mpf, found)
        assert all(abs(a - b) < mpf("1e-48") for a, b in zip(found, exact, strict=True))


def test_the_kinds_may_meet():
    """A plain float beside an mpf or a float32 takes its kind; seeds and tangents do, too."""
    with mpmath.workdps(50):
        assert type(grad(lambda x: x * 0.5)(mpf(1) / 3)) is mpf
        assert type(jvp(lambda x: x * x, (mpf(1) / 3,), (0.5,))[1]) is mpf
    assert type(jvp(lambda x: x * x, (np.float32(0.3),), (0.5,))[1]) is np.float32
    assert type(vjp(lambda x: x * x, np.float32(0.3))[1](0.5)) is np.float32
    assert type(vjp(lambda x: x * x, THIRD)[1](2)) is Fraction


TWO = ["add", "sub", "mul", "div", "pow", "mod", "floordiv", "fmod", "remainder"]
TWO += ["maximum", "minimum", "hypot", "atan2", "copysign"]


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("third", ["a", "b"])
@pytest.mark.parametrize("kind", [Fraction, np.float32])
def test_every_number_beside_an_mpf_is_one(name, third, kind):
    """Data and gradient are those of two mpf, in any order and in every sweep."""
    row = TABLE[name]
    with mpmath.workdps(40):
        exact = kind(Fraction(7, 3))
        near = mpf(7) / 3 if kind is Fraction else mpf(float(exact))
        other = mpf(2) / 3
        kinds = (exact, other), (near, other)
        if third == "b":
            kinds = (other, exact), (other, near)
        mixed, alike = ([Value(x) for x in numbers] for numbers in kinds)
        z, expected = row(*mixed), row(*alike)
        assert type(z.data) is mpf
        assert z.data == expected.data
        table, reference = z.backward(), expected.backward()
        for x, y in zip(mixed, alike, strict=True):
            assert table[x] == reference[y]
        assert row(kinds[0][0], mixed[1]).data == expected.data  # a plain number beside it
        assert row(*kinds[0]) == expected.data  # and both


@pytest.mark.parametrize("name", ["sub", "mul", "div", "maximum", "minimum", "hypot", "atan2"])
def test_a_fraction_beside_an_mpf_has_a_derivative_graph(name):
    x, y = Value(Fraction(7, 3)), Value(mpf(2) / 3)
    z = TABLE[name](x, y)
    table = z.backward()
    graph = z.backward(create_graph=True)
    assert [graph[x].data, graph[y].data] == pytest.approx([table[x], table[y]], rel=1e-15)
    assert x > y
    assert not y >= x


def test_gradients_of_two_kinds_add_up():
    x = Value(Fraction(1, 3))
    (x * x).backward()
    (x * mpf(2)).backward()
    assert type(x.grad) is mpf
    assert x.grad == mpf(2) / 3 + 2


@pytest.mark.parametrize("a", [np.float32(3e38), 3e38])
def test_32_bits_overflow_without_a_warning(a):
    """As floats do; warnings are errors here."""
    for x in (Value(a), a):
        v = Value(np.float32(3e38))
        for z in (x * v, v * x, x + v, x - (-v), v * v * v):
            assert z.data == np.float32("inf")
            assert type(z.data) is np.float32
            z.backward()
            z.backward(create_graph=True)
    x, v = Value(a), Value(np.float32(3e38))
    (x * v * v).backward()
    assert x.grad == np.float32("inf")


def test_a_float_meets_32_bits_in_64():
    """And is rounded once, however the operation is written."""
    x, y = 0.1, np.float32(3.3)
    for z in (Value(x) * Value(y), Value(y) * Value(x), x * Value(y), Value(x) * y):
        assert z.data == np.float32(x * float(y))
