"""Forward mode: `Dual` and `jvp`."""

import math
import operator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modes_reference import all_close, close, exact_gradient, function_of, moderate_programs
from table_reference import points

from tinygrad_scalar import (
    UndefinedGradientWarning,
    Value,
    compile,
    counting,
    derivative,
    exp,
    grad,
    hvp,
    jacobian,
    jvp,
    log,
    mean,
    mod,
    prod,
    remainder,
    sin,
    softmax,
    sqrt,
    where,
)
from tinygrad_scalar.core.primitives import TABLE


def slope(f, x):
    return jvp(f, (x,), (1.0,))[1]


DIRECTION = st.lists(st.integers(-3, 3), min_size=3, max_size=3)


@settings(max_examples=60)
@given(moderate_programs(), DIRECTION)
def test_the_tangent_is_the_gradient_times_the_direction(program, direction):
    f, point = function_of(program), list(program.inputs)
    direction = direction[: len(point)]
    value, tangent = jvp(f, (point,), (direction,))
    terms = [a * b for a, b in zip(exact_gradient(program), direction, strict=True)]
    assert abs(tangent - sum(terms)) <= 1e-10 * max(1.0, *map(abs, terms))
    assert close(value, f(point))


@settings(max_examples=30)
@given(moderate_programs(), DIRECTION, DIRECTION)
def test_the_tangent_is_linear_in_the_direction(program, u, v):
    f, point = function_of(program), list(program.inputs)
    n = len(point)
    both = [2.0 * a + b for a, b in zip(u, v, strict=True)]
    a, b, c = (jvp(f, (point,), (direction[:n],))[1] for direction in (u, v, both))
    assert all_close([2.0 * a, b, 2.0 * a + b], [2.0 * a, b, c])


# ── structures ────────────────────────────────────────────────────────────────────────────────
def test_arguments_and_results_may_be_lists_tuples_and_dicts():
    def f(p, q):
        return {"product": p["a"] * q[0], "rest": [q[1], (p["a"], 7.0)]}

    value, tangent = jvp(f, ({"a": 2.0}, (3.0, 5)), ({"a": 1.0}, [10.0, 100]))
    assert value == {"product": 6.0, "rest": [5.0, (2.0, 7.0)]}
    assert tangent == {"product": 23.0, "rest": [100.0, (1.0, 0.0)]}


def test_tangents_of_a_dict_are_taken_by_key():
    value, tangent = jvp(lambda p: p["a"] * p["b"], ({"a": 2.0, "b": 3.0},), ({"b": 1.0, "a": 0},))
    assert (value, tangent) == (6.0, 2.0)


def test_integers_are_floats():
    assert jvp(lambda x: x * x, (3,), (1,)) == (9.0, 6.0)
    assert all(type(x) is float for x in jvp(lambda x: x * x, (3,), (1,)))
    assert all(type(x) is float for x in jvp(lambda x: x, (3,), (1,)))


def test_a_constant_result_has_tangent_zero():
    assert jvp(lambda x: 3.0, (1.0,), (1.0,)) == (3.0, 0.0)
    assert jvp(lambda x: [x, 3], (1.0,), (1.0,)) == ([1.0, 3.0], [1.0, 0.0])


def test_the_direction_zero_gives_tangent_zero():
    assert jvp(exp, (0.0,), (0.0,)) == (1.0, 0.0)


def test_functions_of_many_numbers():
    point, direction = [0.1, 0.7, -0.4], [1.0, 2.0, -1.0]
    for f in (mean, prod, lambda x: softmax(x)[1]):
        expected = sum(a * b for a, b in zip(grad(f)(point), direction, strict=True))
        assert close(jvp(f, (point,), (direction,))[1], expected, 1e-15)


# ── what a Dual is to the code it passes through ──────────────────────────────────────────────
def seen(x=2.5, tangent=1.0):
    """A Dual, as a function under `jvp` sees it."""
    caught = []
    jvp(lambda u: caught.append(u) or u, (x,), (tangent,))
    return caught[0]


def test_comparisons_look_at_the_number():
    x = seen(2.5)
    assert x == 2.5
    assert x != 2.0
    assert x < 3
    assert x <= 2.5
    assert x > Fraction(5, 2) - 1
    assert x >= 2.5
    assert x < Value(3.0)
    assert bool(x)
    assert not seen(0.0)
    assert max(x, 1.0) is x
    assert sorted([3.0, x, 2.0])[1] is x


def test_hashing_is_by_identity():
    x, y = seen(1.0), seen(1.0)
    assert len({x, y}) == 2


def test_branches_are_followed():
    def f(x):
        return x * x if x > 1 else sin(x)

    assert slope(f, 2.0) == 4.0
    assert slope(f, 0.5) == math.cos(0.5)


def test_operators_and_methods_of_numbers():
    assert slope(lambda x: 2**x, 1.0) == 2 * math.log(2)
    assert slope(lambda x: 1 / x, 2.0) == -0.25
    assert slope(lambda x: 5 - x, 2.0) == -1.0
    assert slope(lambda x: x % 2, 2.5) == 1.0
    assert slope(lambda x: x // 2, 2.5) == 0.0
    assert slope(lambda x: divmod(x, 2)[1], 2.5) == 1.0
    assert slope(lambda x: divmod(7, x)[1], 2.5) == -2.0
    assert slope(abs, -2.0) == -1.0
    assert slope(lambda x: +x, -2.0) == 1.0
    assert slope(lambda x: -x, -2.0) == -1.0
    assert slope(lambda x: round(x, 1) + math.floor(x) + math.ceil(x) + math.trunc(x), 2.54) == 0.0
    assert slope(lambda x: x.exp() * x.log(), 1.0) == math.e
    assert slope(lambda x: log(x, 2), 1.0) == 1 / math.log(2)
    assert slope(lambda x: sum([x, x, 3]), 1.0) == 2.0


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (float, "float.* would drop the gradient"),
        (int, "int.* would drop the gradient"),
        (complex, "complex.* would drop the gradient"),
        (math.sin, "would drop the gradient.*tinygrad_scalar.sin"),
        (lambda x: [1, 2, 3][x], "index"),
    ],
)
def test_conversions_that_would_drop_the_tangent_are_refused(convert, message):
    with pytest.raises(TypeError, match=message):
        jvp(convert, (1.0,), (1.0,))


def test_strangers_are_refused():
    with pytest.raises(TypeError, match="unsupported operand"):
        jvp(lambda x: x + "1", (1.0,), (1.0,))


def test_a_repr_is_one_short_line():
    assert repr(seen(2.5, 3.0)) == "Dual(2.5, tangent=3.0)"


def test_detach_gives_the_number():
    assert slope(lambda x: x * x.detach(), 3.0) == 3.0


def test_only_the_taken_side_of_where_counts():
    assert slope(lambda x: where(x > 0, x * x, -x), 3.0) == 6.0
    assert slope(lambda x: where(x, 2 * x, -x), 3.0) == 2.0
    assert slope(lambda x: where(x > 0, lambda: sqrt(x), lambda: x), -3.0) == 1.0


def test_nothing_is_recorded():
    with counting() as c:
        jvp(lambda x: sin(x * x) + x, (0.5,), (1.0,))
    assert c.nodes == 0
    assert c.evaluations > 3  # the three of the function, and those of the partials


def test_values_that_f_closes_over_stay_connected():
    w = Value(3.0)
    value, tangent = jvp(lambda x: w * x * x, (2.0,), (1.0,))
    assert (value.data, tangent.data) == (12.0, 12.0)
    assert tangent.backward()[w] == 4.0


def test_zero_times_infinity_is_told_without_a_policy_too():
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert slope(lambda x: sqrt(x * x), 0.0) == 0.0
    with pytest.warns(UndefinedGradientWarning, match="∞−∞"):
        assert slope(lambda x: sqrt(x) - sqrt(2 * x), 0.0) == 0.0
    assert slope(sqrt, 0.0) == math.inf
    assert slope(abs, 0.0) == 0.0


# ── what is refused ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("primals", "tangents", "message"),
    [
        (1.0, (1.0,), r"jvp: primals is a tuple with one entry per argument .* write \(1.0,\)"),
        ((1.0,), 1.0, r"jvp: tangents is a tuple with one entry per argument .* write \(1.0,\)"),
        (("1",), (1.0,), "jvp: primal 0: .* not str"),
        ((1.0, None), (1.0, 1.0), "jvp: primal 1: .* not NoneType"),
        ((1.0,), ("1",), "jvp: tangent 0: .* not str"),
        (([1.0, 2.0],), ([1.0, None],), "jvp: tangent 0: .* not NoneType"),
    ],
)
def test_primals_and_tangents_of_another_type_are_refused(primals, tangents, message):
    with pytest.raises(TypeError, match=message):
        jvp(lambda *x: x[0], primals, tangents)


@pytest.mark.parametrize(
    ("primals", "tangents", "message"),
    [
        ((1.0, 2.0), (1.0,), "jvp: 2 primals but 1 tangents; give one tangent each"),
        (([1.0, 2.0],), ([1.0],), "jvp: the tangent of argument 0 has another structure"),
        ((1.0, [1.0]), (1.0, 1.0), "jvp: the tangent of argument 1 has another structure"),
        (([1.0, 2.0],), (1.0,), "jvp: the tangent of argument 0 has another structure"),
        (({"a": 1.0},), ({"b": 1.0},), "jvp: the tangent of argument 0 has another structure"),
        (({"a": 1.0},), ([1.0],), "jvp: the tangent of argument 0 has another structure"),
    ],
)
def test_tangents_that_do_not_match_are_refused(primals, tangents, message):
    with pytest.raises(ValueError, match=message):
        jvp(lambda *x: x[0], primals, tangents)


def test_a_result_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"jvp: what f returned: .* not NoneType"):
        jvp(lambda x: None, (1.0,), (1.0,))


def test_domain_errors_are_those_of_the_function():
    with pytest.raises(ValueError, match=r"log\(-1.0\)"):
        jvp(log, (-1.0,), (1.0,))
    for f, named in ((mod, "mod"), (operator.floordiv, "floordiv"), (remainder, "remainder")):
        with pytest.raises((ZeroDivisionError, ValueError), match=rf"{named}\(5.0, 0.0\): "):
            jvp(f, (5.0, 0.0), (1.0, 1.0))


def test_what_does_not_move_has_the_methods_of_a_value_too():
    def f(x, y):
        h = x.exp() * y.sign().exp()
        h.label = "h"  # only Values keep it
        return h.relu()

    e = math.e
    assert jvp(f, (1.0, 2.0), (0.0, 1.0)) == (e * e, 0.0)
    assert jvp(f, (1.0, 2.0), (1.0, 0.0)) == (e * e, e * e)
    assert jvp(f, (1.0, 2.0), (0.0, 0.0)) == (e * e, 0.0)
    g = lambda x: [x[0].exp() * x[1], x[1].relu()]  # noqa: E731
    assert jacobian(g, mode="forward")([1.0, 2.0]) == jacobian(g, mode="reverse")([1.0, 2.0])


IN_FORWARD_MODE = {
    "jvp": lambda f: jvp(f, (0.5,), (1.0,))[1],
    "jacobian": lambda f: jacobian(f, mode="forward")(0.5),
    "derivative": lambda f: derivative(f)(0.5),
    "hvp": lambda f: hvp(lambda x: f(x) * x, (0.5,), (1.0,)),
    "compiled": lambda f: compile(f, engine="python").grad(0.5),
}
EACH_MODE = pytest.mark.parametrize("slope", IN_FORWARD_MODE.values(), ids=IN_FORWARD_MODE.keys())


@EACH_MODE
def test_what_a_function_keeps_on_its_values_is_there(slope):
    def named(x):
        x.label, x.weight = "speed", 3.0
        return x * x * x.weight * len(x.label)

    assert slope(named) == slope(lambda x: x * x * 3.0 * 5)


@EACH_MODE
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "sqrt", "erf"])
def test_methods_of_value_are_functions_of_what_another_mode_carries(slope, name):
    method = getattr(Value, name)
    assert slope(method) == slope(lambda x: getattr(x, name)())
    twice, doubled = slope(lambda x: sum(map(method, [x, x]))), slope(lambda x: 2 * method(x))
    assert twice == pytest.approx(doubled, rel=1e-15)


@pytest.mark.parametrize("name", ["data", "grad", "parents", "backward", "_prev"])
@pytest.mark.parametrize("mode", ["jvp", "jacobian", "derivative", "hvp"])
def test_what_only_a_value_has_is_named_with_the_way_out(mode, name):
    with pytest.raises(
        AttributeError, match=rf"\.{name} of a number in forward mode .*x\.detach\(\)"
    ):
        IN_FORWARD_MODE[mode](lambda x: x * getattr(x, name))
    with pytest.raises(AttributeError, match="no attribute 'sine'"):
        IN_FORWARD_MODE[mode](lambda x: x.sine())


@pytest.mark.parametrize("mode", ["jvp", "jacobian", "derivative"])
def test_the_way_out_that_float_and_index_name_is_one(mode):
    slope, table = IN_FORWARD_MODE[mode], [1.0, 2.0]
    for f in (lambda x: table[x] * x, lambda x: math.sin(x), lambda x: int(x) * x):
        with pytest.raises(TypeError, match=r"the number \(in forward mode v\.detach\(\)\)"):
            slope(f)
    assert slope(lambda x: table[int(x.detach() + 0.6)] * x) == 2.0


# ── the quick way ─────────────────────────────────────────────────────────────────────────────
def along(row, t, undefined):
    """`jvp` of a row in a direction, and the gradients of what it gives."""

    def both(*x):
        return jvp(lambda *x: row(*x), x, t, undefined=undefined)

    value, tangent = (lambda *x: both(*x)[0]), (lambda *x: both(*x)[1])
    return both, grad(value, undefined=undefined), grad(tangent, undefined=undefined)


def outcome(run):
    try:
        return repr(run())
    except (ArithmeticError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.arity is not None])
@given(data=st.data())
@settings(max_examples=4)
def test_floats_go_the_quick_way_as_they_go_the_general_one(name, data):
    """To the last bit, also around Values. Where operations are counted all go the general one."""
    row = TABLE[name]
    x = data.draw(points(row))
    t = data.draw(st.tuples(*[st.sampled_from([0.0, 1.0, -0.5, 3.0, 1e-200, 1e200]) for _ in x]))
    for undefined in ("nan", "raise"):
        for run in along(row, t, undefined):
            quick = outcome(lambda run=run: run(*x))
            with counting():
                assert outcome(lambda run=run: run(*x)) == quick
