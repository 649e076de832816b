"""Rows of one's own: `primitive` with one output and several, `custom`, `implicit`."""

import gc
import math
import weakref
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from modes_reference import all_close, close

import tinygrad_scalar
from tinygrad_scalar import (
    Interval,
    UndefinedGradientError,
    Value,
    atan2,
    checkpoint,
    cos,
    counting,
    custom,
    exp,
    floor,
    grad,
    hessian,
    hvp,
    hypot,
    implicit,
    jacobian,
    jvp,
    log,
    maximum,
    no_grad,
    primitive,
    sin,
    sqrt,
    taylor,
    vjp,
    where,
)
from tinygrad_scalar.core import primitives
from tinygrad_scalar.testing import check_derivative, check_grad

damped = primitive(
    "damped", lambda x: math.exp(-x) * math.sin(x), lambda y, x: exp(-x) * cos(x) - y
)
product = primitive("product", lambda a, b: a * b, lambda y, a, b: b, lambda y, a, b: a)
sincos = primitive(
    "sincos",
    lambda x: (math.sin(x), math.cos(x)),
    (lambda y, x: y[1],),
    (lambda y, x: -y[0],),
)
quotient_and_rest = primitive("divmod", divmod, (0, 0), (1, lambda y, a, b: -y[0]))
polar = primitive(
    "polar",
    lambda a, b: (math.hypot(a, b), math.atan2(b, a)),
    (lambda y, a, b: cos(y[1]), lambda y, a, b: sin(y[1])),
    (lambda y, a, b: -sin(y[1]) / y[0], lambda y, a, b: cos(y[1]) / y[0]),
)
largest = primitive(
    "largest",
    lambda *x: (max(x), float(x.index(max(x)))),
    tuple(lambda y, *x, i=i: where(y[1] == i, 1.0, 0.0) for i in range(3)),
    (0, 0, 0),
)


def scored(value, index, c):
    return value * value * (index + 1) + c * value


# A function made of own rows, the same one in the library's, and a point.
PROGRAMS = {
    "damped": (lambda x: damped(x) * x, lambda x: exp(-x) * sin(x) * x, (0.7,)),
    "product": (lambda a, b: product(product(a, b), b), lambda a, b: a * b * b, (0.7, 1.3)),
    "sincos": (
        lambda x: sincos(x)[0] ** 2 * sincos(2 * x)[1],
        lambda x: sin(x) ** 2 * cos(2 * x),
        (0.7,),
    ),
    "sincos, both outputs": (
        lambda x: math.prod(sincos(x * x)) * x,
        lambda x: sin(x * x) * cos(x * x) * x,
        (0.7,),
    ),
    "sincos of sincos": (
        lambda x: sincos(sincos(x)[1])[0] + sincos(sincos(x)[0])[1],
        lambda x: sin(cos(x)) + cos(sin(x)),
        (0.7,),
    ),
    "divmod": (
        lambda a, b: quotient_and_rest(a, b)[0] * a + quotient_and_rest(a, b)[1] ** 2 * b,
        lambda a, b: (a // b) * a + (a % b) ** 2 * b,
        (7.5, 2.0),
    ),
    "polar": (
        lambda a, b: math.prod(polar(a, b)) * polar(a, b)[1],
        lambda a, b: hypot(a, b) * atan2(b, a) ** 2,
        (0.6, 1.2),
    ),
    "value and index of the largest": (
        lambda a, b, c: scored(*largest(a * a, b * b, c), c),
        lambda a, b, c: 2 * maximum(a * a, b * b) ** 2 + c * maximum(a * a, b * b),
        (1.0, 3.0, 2.0),
    ),
    "custom": (
        custom(lambda a, b: a * a * b, lambda y, a, b: (2 * a * b, a * a)),
        lambda a, b: a * a * b,
        (0.7, 1.3),
    ),
    "custom, from its result": (
        custom(math.exp, lambda y, x: y),
        exp,
        (0.7,),
    ),
    "implicit by Newton": (
        implicit(lambda a: newton(lambda y: y**3 - a, lambda y: 3 * y * y), lambda y, a: y**3 - a),
        lambda a: exp(log(a) / 3),
        (2.0,),
    ),
    "implicit fixed point": (
        implicit(
            lambda a, b: fixed_point(lambda y: math.cos(a * y) + b),
            lambda y, a, b: cos(a * y) + b - y,
        ),
        lambda a, b: fixed_point(lambda y: cos(a * y) + b),
        (0.4, 0.3),
    ),
}
EACH = pytest.mark.parametrize(("ours", "plain", "point"), PROGRAMS.values(), ids=PROGRAMS)


def newton(f, slope):
    y = 1.0
    for _ in range(50):
        y -= f(y) / slope(y)
    return y


def fixed_point(step):
    y = 1.0
    for _ in range(60):
        y = step(y)
    return y


# ── in all modes ──────────────────────────────────────────────────────────────────────────────
@EACH
def test_first_order(ours, plain, point):
    expected = jacobian(plain)(*point)
    assert close(ours(*point), plain(*point), 1e-13)
    for mode in ("forward", "reverse"):
        assert all_close(jacobian(ours, mode=mode)(*point), expected, 1e-13)
    assert all_close(grad(ours)(*point), expected, 1e-13)
    assert all_close(vjp(ours, *point)[1](1.0), expected, 1e-13)
    direction = (1.0, -2.0, 3.0)[: len(point)]
    assert all_close(jvp(ours, point, direction), jvp(plain, point, direction), 1e-13)
    assert all_close(grad(lambda *x: checkpoint(ours, *x))(*point), expected, 1e-13)


@EACH
def test_second_order(ours, plain, point):
    expected = hessian(plain)(*point)
    assert all_close(hessian(ours)(*point), expected, 1e-12)
    for outer in ("forward", "reverse"):
        for inner in ("forward", "reverse"):
            both = jacobian(jacobian(ours, mode=inner), mode=outer)(*point)
            assert all_close(both, expected, 1e-12), (outer, inner)
    direction = (1.0, -2.0, 3.0)[: len(point)]
    assert all_close(hvp(ours, point, direction), hvp(plain, point, direction), 1e-12)
    assert all_close(hessian(lambda *x: checkpoint(ours, *x))(*point), expected, 1e-12)
    rows, columns, values = hessian(ours, sparse=True)(*point)
    n = len(point)
    matrix = [[expected[i][j] for j in range(n)] for i in range(n)] if n > 1 else [[expected]]
    found = dict(zip(zip(rows, columns, strict=True), values, strict=True))
    assert all_close([[found.get((i, j), 0.0) for j in range(n)] for i in range(n)], matrix, 1e-12)


@EACH
def test_higher_orders(ours, plain, point):
    def along(f):
        return lambda x: f(x, *point[1:])

    assert all_close(taylor(along(ours), 5)(point[0]), taylor(along(plain), 5)(point[0]), 1e-11)
    third = grad(grad(grad(along(plain))))(point[0])
    assert all_close(grad(grad(grad(along(ours))))(point[0]), third, 1e-11)


# ── primitive ─────────────────────────────────────────────────────────────────────────────────
def test_a_row_says_what_it_was_told():
    row = primitive(
        "half_log",
        lambda x: math.log(x) / 2,
        lambda y, x: 1 / (2 * x),
        domain=Interval(0.0),
        symbol="½log",
        latex=r"\tfrac12\log {0}",
    )
    z = row(Value(2.0))
    assert z.primitive is row
    assert (row.name, row.symbol, row.domain) == ("half_log", "½log", (Interval(0.0),))
    assert row.latex == r"\tfrac12\log {0}"


def test_a_row_of_ones_own_is_not_in_the_library_s_table():
    assert "damped" not in primitives.TABLE


def test_plain_numbers_give_plain_numbers():
    assert damped(0.0) == 0.0
    assert sincos(0) == (0.0, 1.0)
    assert custom(math.exp, lambda y, x: y)(0) == 1.0
    assert implicit(lambda a: a, lambda y, a: y - a)(2) == 2.0


def test_constant_partials_are_numbers():
    triple = primitive("triple", lambda a, b: 3 * a + b, 3, 1)
    assert grad(triple)(1.0, 2.0) == (3.0, 1.0)
    assert hessian(triple)(1.0, 2.0) == ((0.0, 0.0), (0.0, 0.0))


def test_only_the_partials_that_are_asked_for_are_computed():
    def refuse(y, a, b):
        raise AssertionError("not asked for")

    row = primitive("row", lambda a, b: a * b, lambda y, a, b: b, refuse)
    x = Value(2.0)
    assert row(x, 3.0).backward()[x] == 3.0
    assert row(x, Value(3.0)).backward(inputs=x)[x] == 3.0
    assert jvp(lambda u: row(u, 3.0), (2.0,), (1.0,)) == (6.0, 3.0)


def test_kinks_are_judged():
    bend = primitive("bend", lambda x: max(x, 0.0), lambda y, x: where(x > 0, 1, 0), kinks=(0.0,))
    assert grad(bend)(0.0) == 0.0
    with pytest.raises(UndefinedGradientError, match=r"bend\(0.0\) has no derivative there"):
        grad(bend, undefined="raise")(0.0)


def test_errors_name_the_row_and_its_operands():
    row = primitive("inverse", lambda x: 1 / x, lambda y, x: -y * y)
    with pytest.raises(ZeroDivisionError, match=r"inverse\(0.0\): "):
        row(Value(0.0))
    with pytest.raises(TypeError, match="sincos takes 1 operand, got 2"):
        sincos(Value(1.0), 2.0)
    with pytest.raises(TypeError, match=r"damped: .* not str"):
        damped("1")


def test_a_row_works_on_exact_and_arbitrary_numbers():
    assert grad(product)(Fraction(1, 3), Fraction(2, 7)) == (Fraction(2, 7), Fraction(1, 3))
    both = primitive("both", lambda x: (x * x, x + 1), (lambda y, x: 2 * x,), (1,))
    assert jacobian(both)(Fraction(1, 3)) == (Fraction(2, 3), 1)
    assert type(jacobian(lambda x: both(x)[0])(Fraction(1, 3))) is Fraction


def test_a_tuple_of_values_comes_back_in_order():
    quotient, rest = quotient_and_rest(Value(7.5), 2.0)
    assert (quotient.data, rest.data) == (3.0, 1.5)
    assert isinstance(sincos(Value(0.5)), tuple)


def test_one_forward_rule_serves_all_outputs():
    calls = []
    row = primitive("row", lambda x: calls.append(x) or (x, 2 * x), (1,), (2,))
    x = Value(1.0)
    with counting() as c:
        a, b = row(x)
    assert (len(calls), c.evaluations, c.nodes) == (1, 1, 2)
    assert (a + b).backward()[x] == 3.0
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 1), "primitive 'row': 3 is neither a function nor a constant partial"),
        ((abs, "x"), "primitive 'row': 'x' is neither a function nor a constant partial"),
        ((abs,), r"primitive 'row': give one partial \(y, \*x\) per operand"),
        ((divmod, (1, 0), (1,)), "primitive 'row': every output needs 2 partials"),
        ((divmod, (1, 0), 1), "primitive 'row': "),
        (
            (abs, lambda x: 2 * x),
            r"'row': a partial takes \(y, \*x\), .* given 2 numbers, too many",
        ),
        ((abs, 1, 1), "'row': forward takes an operand for each partial; given 2 numbers, "),
        ((lambda a, b: a, lambda y, a, b: b), "'row': forward .* given 1 number, missing"),
        ((divmod, (1, 0), (1, cos)), r"'row': a partial takes \(y, \*x\), .* given 3 numbers"),
    ],
)
def test_a_row_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        primitive("row", *arguments)


def test_a_row_of_a_function_without_a_name_is_called_by_how_it_was_made():
    x = Value(4.0)
    assert custom(lambda x: x, lambda y, x: (1.0,))(x).primitive.name == "custom"
    assert implicit(lambda a: a**0.5, lambda y, a: y * y - a)(x).primitive.name == "implicit"
    assert custom(math.sqrt, lambda y, x: (0.5 / y,))(x).primitive.name == "sqrt"
    with pytest.raises(TypeError, match=r"^implicit: the forward rule gave list; it must ret"):
        implicit(lambda a: [a], lambda y, a: y)(x)


def test_functions_of_any_number_of_operands_and_of_c_serve():
    rows = (
        primitive("row", np.sin, lambda *y_and_x: cos(y_and_x[1])),
        primitive("row", math.sin, lambda y, x, scale=1.0: scale * cos(x)),
        primitive("row", lambda *x: math.sin(*x), lambda y, *x: cos(*x)),
    )
    assert [grad(row)(0.0) for row in rows] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"domain": (3, 1)}, ValueError, r"domain \(3, 1\) is empty: give low < high"),
        ({"kinks": "a"}, TypeError, "kinks is a list of numbers, not 'a'"),
        ({"kinks": None}, TypeError, "kinks is a list of numbers, not None"),
        ({"subgradient": 0.0}, TypeError, "subgradient is a list of numbers, not 0.0"),
        ({"subgradient": (0, 0)}, ValueError, "subgradient holds one number per operand, 1, not 2"),
        ({"symbol": 3}, TypeError, "symbol is a str, not int"),
        ({"latex": 3}, TypeError, "latex is a str, not int"),
        (
            {"mpmath": 3},
            TypeError,
            r"mpmath is a name in mpmath or a function \(mpmath, \*x\), not in",
        ),
        (
            {"mpmath": lambda x: x},
            TypeError,
            r"mpmath is a function \(mpmath, \*x\); given 2 numbers, too many positional arg",
        ),
    ],
)
def test_what_is_said_of_a_row_is_checked_when_it_is_made(options, error, message):
    with pytest.raises(error, match=f"primitive 'row': {message}"):
        primitive("row", abs, 1, **options)


@pytest.mark.parametrize("operand", [1.0, Value(1.0)], ids=["number", "Value"])
@pytest.mark.parametrize("result", [(1.0, 2.0, 3.0), (1.0,), 1.0, None])
def test_another_number_of_outputs_than_declared_is_refused(result, operand):
    row = primitive("row", lambda x: result, (1,), (1,))
    with pytest.raises((TypeError, ValueError), match=r"row.*2"):
        row(operand)


@pytest.mark.parametrize("operand", [1.0, Value(1.0)], ids=["number", "Value"])
def test_several_outputs_that_were_not_declared_are_refused(operand):
    row = primitive("row", lambda x: (x, x), 1)
    with pytest.raises(TypeError, match="row: "):
        row(operand)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda y, x: None, "partial 0 gave NoneType; it must return a real number"),
        (lambda y, x: "2", "partial 0 gave str; it must return a real number"),
    ],
)
def test_a_partial_that_gives_no_number_is_named(rule, message):
    twice = primitive("twice", lambda x: 2 * x, rule)
    with pytest.raises(TypeError, match=f"twice: {message}"):
        twice(Value(1.0)).backward()
    with pytest.raises(TypeError, match=f"twice: {message}"):
        jvp(twice, (1.0,), (1.0,))


# ── custom ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "slope",
    [np.float32(0.1), np.float64(0.1), np.int8(3), np.bool_(True), Fraction(1, 10), 3, True],
    ids=lambda slope: type(slope).__name__,
)
def test_gradients_of_floats_are_floats_whatever_number_a_partial_gives(slope):
    x = Value(1.1)
    table = (primitive("own", lambda x: 2.0 * x, lambda y, x: slope)(x) * 0.7 + x / 3.0).backward()
    assert {type(table[x]), type(x.grad)} == {float}
    assert x.grad == pytest.approx(0.7 * float(slope) + 1.0 / 3.0, rel=1e-15)


def test_no_partial_makes_grad_another_thing_than_a_number():
    x, w = Value(1.1), Value(3.0)
    with pytest.raises(TypeError, match="own: partial 0 gave complex"):
        primitive("own", lambda x: 2.0 * x, lambda y, x: 1j)(x).backward()
    assert x.grad == 0.0
    primitive("own", lambda x: 2.0 * x, lambda y, x: w)(x).backward()
    assert x.grad == 3.0
    assert type(x.grad) is float


def test_a_straight_through_estimator():
    clipped = custom(lambda x: min(x, 10.0), lambda y, x: 1.0)
    x = Value(12.0)
    z = clipped(x) ** 2
    assert (z.data, z.backward()[x]) == (100.0, 20.0)


def test_the_given_derivative_is_believed():
    wrong = custom(lambda x: x * x, lambda y, x: 7.0)
    assert grad(wrong)(3.0) == 7.0
    assert grad(grad(wrong))(3.0) == 0.0
    assert taylor(wrong, 2)(3.0) == [9.0, 7.0, 0.0]


def test_any_code_may_compute_it():
    def count_upwards(x):
        steps = 0
        while steps * steps < x:
            steps += 1
        return float(steps)

    root = custom(count_upwards, lambda y, x: 1 / (2 * y))
    assert grad(root)(16.0) == 0.125


def test_numbers_may_come_in_arrays_without_axes():
    """As SciPy's splines give them."""
    cube = custom(lambda x: np.array(x**3), lambda y, x: square(x))
    square = primitive("square", lambda x: np.array(3 * x * x), lambda y, x: np.array(6.0) * x)
    assert grad(cube)(2.0) == 12.0
    assert taylor(cube, 2)(2.0) == [8.0, 12.0, 12.0]
    assert tinygrad_scalar.compile(cube)(np.array([2.0, 3.0])).tolist() == [8.0, 27.0]
    assert check_grad(cube, 2.0, order=2).kinks == ()
    assert check_derivative(lambda x: np.array(float(x) ** 3), lambda x: 3 * x * x, 2.0)


def test_a_custom_function_is_one_node():
    x = Value(2.0)
    with counting() as c:
        z = custom(lambda u: u * u * u, lambda y, u: 3 * u * u)(x)
    assert (c.nodes, z.parents) == (1, (x,))


@pytest.mark.parametrize("together", [list, np.array])
def test_partials_may_come_as_a_list_or_an_array(together):
    product = custom(lambda a, b: a * b, lambda y, a, b: together([b, a]))
    assert grad(product)(2.0, 3.0) == (3.0, 2.0)
    assert hessian(product)(2.0, 3.0) == ((0.0, 1.0), (1.0, 0.0))


def test_custom_errors():
    with pytest.raises(TypeError, match="custom: f must be callable, not int"):
        custom(3, lambda y, x: 1.0)
    with pytest.raises(TypeError, match="custom: derivative must be callable, not float"):
        custom(math.exp, 1.0)
    two = custom(math.exp, lambda y, x: (1.0, 2.0))
    with pytest.raises(ValueError, match=r"custom 'exp': derivative\(y, \*x\) gave 2 partials for"):
        grad(two)(1.0)
    with pytest.raises(TypeError, match=r"custom 'exp': .* not str"):
        grad(custom(math.exp, lambda y, x: "1"))(1.0)
    with pytest.raises(TypeError, match=r"square_of: .*NoneType"):
        custom(square_of, lambda y, x: 2 * x)(Value(1.0))


def square_of(x):
    """Forgets to return."""


# ── implicit ──────────────────────────────────────────────────────────────────────────────────
def test_the_solver_is_not_unrolled_and_sees_plain_numbers():
    seen = []

    def solve(a):
        seen.append(a)
        return math.sqrt(a)

    root = implicit(solve, lambda y, a: y * y - a)
    a = Value(9.0)
    with counting() as c:
        y = root(a)
    assert (c.nodes, seen) == (1, [9.0])
    assert close(y.backward()[a], 1 / 6)
    assert seen == [9.0]


def test_kepler_s_equation_to_third_order():
    """E − e sin E = M: the eccentric anomaly by the mean anomaly and the eccentricity."""

    def solve(mean, eccentricity):
        y = mean
        for _ in range(50):
            y -= (y - eccentricity * math.sin(y) - mean) / (1 - eccentricity * math.cos(y))
        return y

    anomaly = implicit(solve, lambda y, m, e: y - e * sin(y) - m)

    def exact(m, e):
        return mpmath.findroot(lambda y: y - e * mpmath.sin(y) - m, m)

    with mpmath.workdps(60):
        for order in ((1, 0), (0, 1), (1, 1), (2, 0), (0, 2), (2, 1), (3, 0)):
            f = anomaly
            for argument, count in enumerate(order):
                for _ in range(count):
                    f = grad(f, argument)
            reference = mpmath.diff(exact, (0.8, 0.3), order, h=mpmath.mpf("1e-12"))
            assert close(f(0.8, 0.3), float(reference), 1e-12), order


def test_an_implicit_function_inside_a_larger_one():
    root = implicit(math.sqrt, lambda y, a: y * y - a)

    def f(x, y):
        return root(x * x + y * y) * root(x)

    def plain(x, y):
        return sqrt(x * x + y * y) * sqrt(x)

    assert all_close(hessian(f)(0.7, 1.3), hessian(plain)(0.7, 1.3), 1e-13)


def test_a_parameter_that_does_not_matter():
    root = implicit(lambda a, b: math.sqrt(a), lambda y, a, b: y * y - a)
    assert grad(root)(4.0, 7.0) == (0.25, 0.0)


def test_a_singular_equation_is_refused():
    root = implicit(lambda a: 0.0, lambda y, a: y * y - a)
    with pytest.raises(ZeroDivisionError, match=r"implicit: .*residual"):
        grad(root)(0.0)


def test_a_residual_with_several_outputs_is_refused():
    with pytest.raises(TypeError, match="must return one number, not list"):
        grad(implicit(math.sqrt, lambda y, a: [y * y - a]))(4.0)


def test_arbitrary_precision_through_an_implicit_function():
    root = implicit(mpmath.sqrt, lambda y, a: y * y - a)
    with mpmath.workdps(50):
        a = mpmath.mpf(2)
        assert abs(grad(root)(a) - 1 / (2 * mpmath.sqrt(2))) < mpmath.mpf("1e-48")
        assert abs(grad(grad(root))(a) + 1 / (4 * mpmath.sqrt(8))) < mpmath.mpf("1e-48")


# ── what is closed over ───────────────────────────────────────────────────────────────────────
def scaled_root(w):
    """√(a w), by an equation that closes over w."""
    return implicit(lambda a: math.sqrt(a * 3.0), lambda y, a: y * y - a * w)


def plain_root(a, w):
    return sqrt(a * w)


def test_values_that_the_residual_closes_over_get_their_gradients():
    a, w = Value(12.0), Value(3.0)
    z = scaled_root(w)(a)
    assert (z.data, z.parents) == (6.0, (a, w))
    z.backward()
    assert (a.grad, w.grad) == grad(plain_root)(12.0, 3.0)
    assert type(a.grad) is type(w.grad) is float
    assert grad(lambda v: scaled_root(v)(12.0))(3.0) == w.grad


def test_to_every_order():
    a, w = Value(12.0), Value(3.0)
    table = scaled_root(w)(a).backward(create_graph=True)
    found = [[table[p].backward(inputs=(a, w))[q] for q in (a, w)] for p in (a, w)]
    assert all_close(found, hessian(plain_root)(12.0, 3.0), 1e-14)
    third = grad(grad(grad(lambda v: scaled_root(v)(12.0))))(3.0)
    assert close(third, grad(grad(grad(lambda v: plain_root(12.0, v))))(3.0))


def test_inner_nodes_that_are_closed_over():
    u = Value(1.5)
    v = u * 2.0
    z = scaled_root(v)(12.0)
    table = z.backward()
    assert (z.parents, table[v], table[u]) == ((v,), 1.0, 2.0)


def test_forward_modes_around_a_closed_over_value():
    w = Value(3.0)
    root = scaled_root(w)
    expected = taylor(lambda a: plain_root(a, 3.0), 3)(12.0)
    assert all_close([c.data for c in taylor(root, 3)(12.0)], expected, 1e-14)
    value, slope = jvp(root, (12.0,), (1.0,))
    assert (value.data, slope.data) == (6.0, 0.25)
    by_w = slope.backward()[w]
    assert close(by_w, grad(lambda v: grad(lambda a: plain_root(a, v))(12.0))(3.0))


def test_a_checkpointed_function_sees_them_too():
    a, w = Value(12.0), Value(3.0)
    z = checkpoint(lambda u: scaled_root(w)(u) * 2, a)
    table = z.backward()
    assert (table[a], table[w]) == (0.5, 2.0)


def test_a_number_of_forward_mode_that_is_closed_over_is_refused():
    with pytest.raises(TypeError, match=r"residual closes over a Dual.*make it a parameter"):
        jvp(lambda v: scaled_root(v)(12.0), (3.0,), (1.0,))


def test_data_of_a_closed_over_value_must_stay():
    a, w = Value(12.0), Value(3.0)
    z = scaled_root(w)(a)
    w.data = 5.0
    with pytest.raises(RuntimeError, match=r"residual closes over, was 3.0 when the solution"):
        z.backward()
    assert a.grad == 0.0


def test_a_compiled_function_refuses_a_closed_over_value():
    w = Value(3.0)
    with pytest.raises(TypeError, match="no gradient inside a compiled function: make it a param"):
        tinygrad_scalar.compile(lambda a: scaled_root(w)(a), engine="python")(12.0)


def test_graphs_of_implicit_functions_are_freed_at_once():
    a, w = Value(12.0), Value(3.0)
    z = scaled_root(w)(a)
    watch = weakref.ref(w)
    gc.disable()
    try:
        del z, w
        assert watch() is None
    finally:
        gc.enable()


def test_no_grad_around_an_implicit_function():
    with no_grad():
        z = scaled_root(Value(3.0))(Value(12.0))
    assert (z.data, z.parents) == (6.0, ())


def test_a_derivative_that_closes_over_a_value_is_refused():
    w = Value(3.0, label="w")
    scale = custom(lambda x: x * w.data, lambda y, x: w)
    with pytest.raises(TypeError, match=r"derivative closes over Value\(3.0.*make it an operand"):
        scale(Value(2.0)).backward()
    both = custom(lambda x, w: x * w, lambda y, x, w: (w, x))
    assert grad(lambda x: both(x, w).data * x)(2.0) == 6.0
    assert hessian(both)(2.0, 3.0) == ((0.0, 1.0), (1.0, 0.0))


@pytest.mark.parametrize(("solve", "residual", "name"), [(3, abs, "solve"), (abs, 4, "residual")])
def test_implicit_takes_functions(solve, residual, name):
    with pytest.raises(TypeError, match=f"implicit: {name} must be callable, not int"):
        implicit(solve, residual)


def test_derivatives_of_high_order_of_an_implicit_function_of_values():
    """A solution stands in its own partials: its later coefficients are no function of its leaf."""
    root = implicit(math.sqrt, lambda y, a: y * y - a)
    expected = taylor(sqrt, 4)(4.0)
    assert all_close(taylor(root, 4)(4.0), expected, 1e-14)
    assert all_close([c.data for c in taylor(root, 4)(Value(4.0))], expected, 1e-14)
    assert close(grad(lambda a: taylor(root, 3)(a)[3])(4.0), expected[4])
    assert close(jvp(lambda a: taylor(root, 3)(a)[3], (4.0,), (1.0,))[1], expected[4])
    inside = checkpoint(lambda a: taylor(root, 4)(a), Value(4.0))  # where nothing is recorded
    assert all_close([c.data for c in inside], expected, 1e-14)
    assert close(grad(lambda a: checkpoint(lambda b: taylor(root, 3)(b)[3], a))(4.0), expected[4])


# ── rules that raise, behind what is structurally zero ────────────────────────────────────────
def refusing(*_):
    raise ZeroDivisionError("no slope here")


RAISING = {
    "implicit": implicit(lambda a: 0.0, lambda y, a: y * y - a),
    "custom": custom(lambda x: x, refusing),
    "primitive": primitive("refused", lambda x: x, refusing),
}
BEHIND = {
    "unused": lambda raising, x: (raising(x), x * x)[1],
    "times 0": lambda raising, x: 0.0 * raising(x) + x * x,
    "not taken": lambda raising, x: where(x > 5.0, raising(x), x * x),
}
SLOPES = {
    "grad": (lambda f: grad(f)(0.0), lambda c: c.grad(0.0), 0.0),
    "jvp": (lambda f: jvp(f, (0.0,), (1.0,))[1], lambda c: c.jvp((0.0,), (1.0,))[1], 0.0),
    "hvp": (lambda f: hvp(f, (0.0,), (1.0,)), lambda c: c.hvp((0.0,), (1.0,)), 2.0),
    "hessian": (lambda f: hessian(f)(0.0), lambda c: c.hessian(0.0)[0][0], 2.0),
    "grad of grad": (
        lambda f: grad(grad(f))(0.0),
        lambda c: tinygrad_scalar.compile(grad(c.function)).grad(0.0),
        2.0,
    ),
    "jvp of jvp": (
        lambda f: jvp(lambda x: jvp(f, (x,), (1.0,))[1], (0.0,), (1.0,))[1],
        lambda c: tinygrad_scalar.compile(lambda x: jvp(c.function, (x,), (1.0,))[1]).grad(0.0),
        2.0,
    ),
    "batch": (lambda f: hvp(f, (0.0,), (1.0,)), lambda c: c.hessian(np.zeros(1))[0, 0, 0], 2.0),
}


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", RAISING)
def test_a_rule_that_raises_does_not_matter_behind_a_structural_zero(name, behind, slope):
    """The slope of x² at 0 is 0, its curvature 2: some modes raised, others gave these."""
    eager, compiled, expected = SLOPES[slope]

    def f(x):
        return BEHIND[behind](RAISING[name], x)

    assert eager(f) == expected
    assert compiled(tinygrad_scalar.compile(f)) == expected


@pytest.mark.parametrize("slope", [name for name in SLOPES if name != "batch"])
@pytest.mark.parametrize("name", RAISING)
def test_where_it_matters_the_rule_raises_in_every_mode(name, slope):
    eager, compiled, _ = SLOPES[slope]
    with pytest.raises(ZeroDivisionError, match="slope"):
        eager(RAISING[name])
    with pytest.raises(ZeroDivisionError, match="slope"):
        compiled(tinygrad_scalar.compile(lambda x: RAISING[name](x)))


def test_in_a_batch_the_slope_of_a_rule_that_raises_is_nan():
    c = tinygrad_scalar.compile(RAISING["custom"])
    assert str(c.grad(np.array([0.0]))) == "[nan]"

    def f(x):  # what floor makes undefined goes on to the rule under this policy
        return floor(RAISING["custom"](x)) * x * x

    assert tinygrad_scalar.compile(f).grad(np.array([2.0])).tolist() == [8.0]
    assert str(tinygrad_scalar.compile(f, undefined="nan").grad(np.array([2.0]))) == "[nan]"


def test_a_value_may_be_closed_over_by_a_residual_and_a_compiled_function():
    w = Value(3.0)
    root = implicit(lambda a: math.sqrt(a * 3.0), lambda y, a: y * y - a * w)
    tinygrad_scalar.compile(lambda x: x * w)(2.0)
    assert grad(root)(12.0).data == 0.25
