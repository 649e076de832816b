"""`check_grad`, `check_primitive`, `assert_grads_close`: what they find, and what they say."""

import math
import os
import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_scalar
from tinygrad_scalar import (
    Interval,
    Value,
    checkpoint,
    cos,
    custom,
    erf,
    exp,
    log,
    maximum,
    no_grad,
    primitive,
    relu,
    scope,
    sign,
    sin,
    softmax,
    sqrt,
    tanh,
    where,
)
from tinygrad_scalar import (
    abs as absolute,
)
from tinygrad_scalar.strategies import expressions
from tinygrad_scalar.testing import (
    GradientError,
    UncheckableError,
    assert_grads_close,
    check_derivative,
    check_grad,
    check_primitive,
    high_precision,
)
from tinygrad_scalar.testing.modes import MODES

cube = primitive("cube", lambda x: math.exp(math.log(x) * 3), lambda y, x: 3 * x * x)
wrong = primitive("wrong", math.sin, lambda y, x: -cos(x))
wrong_in_second_order = primitive(
    "second", math.sin, lambda y, x: cos(x.detach() if isinstance(x, Value) else x)
)


# ── the reference is chosen by the program ────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("f", "point", "reference", "error"),
    [
        (lambda x, y: x * y / (1 + x * x), (2.0, 0.5), "exact rational arithmetic", 1e-15),
        (lambda x: relu(x) * abs(x) ** 3, (-0.5,), "exact rational arithmetic", 1e-15),
        (lambda x: tanh(x * exp(sin(x))), (0.7,), "complex step", 1e-15),
        (lambda x: erf(x) * tinygrad_scalar.gamma(x), (1.7,), "mpmath differentiation", 1e-14),
        (lambda x: cube(x) + sin(x), (1.7,), "Richardson extrapolation", 1e-9),
    ],
    ids=["rational", "piecewise", "analytic", "special", "own"],
)
def test_reference(f, point, reference, error):
    check = check_grad(f, *point)
    assert check.reference == reference
    assert check.error < error
    assert check.kinks == ()
    assert check.modes == ("reverse", "forward", "graph", "tape")


def test_a_long_rational_program_is_not_checked_exactly():
    def f(x):
        for _ in range(40):
            x = x * x + 0.25
        return x

    assert check_grad(f, 0.3).reference == "complex step"


def test_exact_numbers_are_checked_exactly():
    check = check_grad(lambda x, y: x**3 / y, Fraction(1, 3), Fraction(2, 7), modes=["reverse"])
    assert (check.reference, check.error) == ("exact rational arithmetic", 0.0)
    assert check.derivatives == {(0,): Fraction(7, 6), (1,): Fraction(-49, 108)}


@pytest.mark.parametrize("kind", ["float64", "float32", "int64"])
def test_numbers_of_numpy(kind):
    number = getattr(pytest.importorskip("numpy"), kind)(2)
    assert check_grad(lambda x: x * sin(x), number).error < 1e-15


def test_a_weight_in_single_precision_costs_its_digits_only():
    weight = Value(pytest.importorskip("numpy").float32(0.3))
    off = custom(math.sin, lambda y, x: cos(x) * 1.001)
    assert check_grad(lambda x: sin(weight * x) * weight + relu(x), 0.7, order=2).kinks == ()
    with pytest.raises(GradientError):
        check_grad(lambda x: off(weight * x), 0.7)


def test_numbers_of_mpmath():
    point = pytest.importorskip("mpmath").mpf("0.3")
    assert check_grad(lambda x: erf(x) * x, point).reference == "mpmath differentiation"


def test_without_mpmath_differences_are_extrapolated(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    high_precision._context.cache_clear()
    try:
        check = check_grad(erf, 0.7)
    finally:
        high_precision._context.cache_clear()
    assert check.reference == "Richardson extrapolation"
    assert check.error < 1e-10


def test_all_orders_are_compared():
    check = check_grad(lambda x, y: x**3 * sin(y), 1.5, 0.5, order=3)
    assert check.derivatives[0, 0, 1] == pytest.approx(6 * 1.5 * math.cos(0.5), rel=1e-15)
    assert len(check.derivatives) == 2 + 3 + 4


@settings(max_examples=40)
@given(expressions(max_ops=5))
def test_random_programs_pass_to_second_order(program):
    check_grad(program, *program.inputs, order=2)


@settings(max_examples=60)
@given(expressions(max_ops=6, kinks=True))
def test_random_programs_with_kinks_pass(program):
    check_grad(program, *program.inputs)


def test_structures_and_values_closed_over():
    weight = Value(3.0)
    weight.grad = 5.0
    check = check_grad(
        lambda p, x: softmax(p["w"])[0] * weight + p["b"] * x, {"w": [1.0, 2.0], "b": 0.5}, 4.0
    )
    assert set(check.derivatives) == {(0,), (1,), (2,), (3,)}
    assert weight.grad == 5.0


def test_a_function_without_arguments_and_a_constant():
    assert check_grad(lambda: Value(2.0) * 3.0).error == 0.0
    assert check_grad(lambda x: 4.0, 1.0).derivatives == {(0,): 0}


@pytest.mark.parametrize(
    "f", [sin, tinygrad_scalar.asinh, erf, lambda x: tinygrad_scalar.cosh(x) - 1]
)
def test_a_derivative_of_zero_is_no_error_of_the_reference(f):
    """What a step cuts off is all that is left of f³ and f² where f is 0."""
    assert check_grad(lambda x: f(x) ** 3 + f(x) * f(x), 0.0, order=2).error < 1e-15


@pytest.mark.parametrize(
    ("f", "point"),
    [
        (lambda x, y: exp(-x * x) * log(y - 3), (-19.55, 40.37)),
        (lambda x: exp(-x) * exp(x), (400.0,)),
        (lambda x: exp(-x * x) * 1e300, (19.0,)),
        (tanh, (300.0,)),
        (lambda x: (1 - tanh(x)) * 1e90, (300.0,)),
        (lambda x: sin(1e-200 * x), (1.0,)),
        (lambda x: exp(-exp(x)), (700.0,)),
        (lambda x: tinygrad_scalar.gamma(x) / tinygrad_scalar.gamma(x + 0.5), (100.0,)),
    ],
)
def test_tiny_numbers_are_no_fault(f, point):
    """A complex step of 2⁻⁵⁰⁰ times a slope of e⁻³⁸² has few digits left, or none."""
    assert check_grad(f, *point, order=2).kinks == ()


def test_a_function_that_makes_its_rows_anew_at_each_call():
    assert check_grad(lambda x: custom(math.exp, lambda y, x: y)(x) * x, 0.5).error < 1e-9


def test_a_deep_program():
    def f(x):
        for _ in range(5000):
            x = sin(x)
        return x

    assert check_grad(f, 0.5).error < 1e-12


@pytest.mark.parametrize("mode", ["reverse", "forward", "graph", "tape"])
def test_one_mode_alone(mode):
    assert check_grad(lambda x: x * sin(x), 2.0, modes=[mode]).modes == (mode,)


@pytest.mark.parametrize("mode", ["reverse", "forward", "graph", "tape"])
def test_every_mode_goes_to_any_order(mode):
    third = primitive("third", lambda x: 12 * x * x, lambda y, x: 25 * x)
    second = primitive("second", lambda x: 4 * x**3, lambda y, x: third(x))
    first = primitive("first", lambda x: x**4, lambda y, x: second(x))
    assert check_grad(first, 2.0, modes=[mode], order=2).error == 0.0
    with pytest.raises(GradientError, match=f"∂³f/∂x∂x∂x +{mode} +48.0 +50.0"):
        check_grad(lambda x: first(x) + 2 * x, 2.0, modes=[mode], order=3)


def test_a_function_for_values_only_is_checked_in_the_modes_of_values():
    check = check_grad(lambda x: x * 2.0 if x.data > 0 else x, 1.0)
    assert check.modes == ("reverse", "graph")


def test_arguments_are_checked():
    with pytest.raises(
        ValueError, match="mode 'backward' is none of reverse, forward, graph, tape"
    ):
        check_grad(sin, 1.0, modes=["backward"])
    with pytest.raises(ValueError, match="modes is empty"):
        check_grad(sin, 1.0, modes=[])
    with pytest.raises(TypeError, match="modes is a list of reverse, forward, graph, tape, not 3"):
        check_grad(sin, 1.0, modes=3)
    with pytest.raises(ValueError, match="order is a whole number from 1 up, not 0"):
        check_grad(sin, 1.0, order=0)
    with pytest.raises(UncheckableError, match="must be callable, not float"):
        check_grad(3.0, 1.0)
    with pytest.raises(UncheckableError, match=r"give its \.data"):
        check_grad(sin, Value(1.0))
    with pytest.raises(UncheckableError, match="check_derivative: f must be callable, not float"):
        check_derivative(3.0, cos, 1.0)
    with pytest.raises(UncheckableError, match="check_derivative: derivative must be callable"):
        check_derivative(sin, 1.0, 1.0)


@pytest.mark.parametrize("rtol", [-1, math.nan, math.inf, "1e-9"])
def test_a_tolerance_is_checked(rtol):
    for check in (
        lambda: check_grad(sin, 1.0, rtol=rtol),
        lambda: check_derivative(sin, cos, 1.0, rtol=rtol),
        lambda: assert_grads_close(1.0, 1.0, rtol=rtol),
    ):
        with pytest.raises(ValueError, match="rtol is a finite number of at least 0, not"):
            check()


# ── what is wrong is told ─────────────────────────────────────────────────────────────────────
def test_the_message_names_everything():
    def model(weight, x):
        with scope("model"), scope("layer"):
            hidden = weight * x
            hidden.label = "hidden"
            out = wrong(hidden)
            out.label = "activation"
        return exp(out) * 2.0

    with pytest.raises(GradientError) as caught:
        check_grad(model, 0.5, 3.0)
    message = str(caught.value)
    assert message.startswith("check_grad: the derivative is wrong at weight=0.5, x=3.0\n")
    for word in ("expected", "actual", "error", "reference: Richardson extrapolation"):
        assert word in message
    assert "∂f/∂weight" in message
    named = "disagrees is wrong, labelled 'activation', in model/layer, made in "
    assert f"the first node whose local derivative {named}{__file__}, line " in message
    assert "∂wrong/∂hidden" in message
    assert f"{math.cos(1.5):.9f}"[:10] in message
    assert "└─ hidden 1.5" in message  # the picture
    assert caught.value.node.label == "activation"


def test_the_picture_shows_the_gradients_that_were_compared():
    with pytest.raises(GradientError) as caught:
        check_grad(lambda x: wrong(x) * x, 0.5)
    actual = math.sin(0.5) - 0.5 * math.cos(0.5)
    assert f"└─ x 0.5 grad {actual:.6g}" in str(caught.value)
    assert caught.value.node.parents[0].grad == pytest.approx(actual)


def test_arguments_in_structures_are_named_by_their_subscripts():
    with pytest.raises(
        GradientError, match=r"at p\['w'\]\[0\]=0\.5, x=2\.0(.|\n)*∂f/∂p\['w'\]\[0\]"
    ):
        check_grad(lambda p, x: wrong(p["w"][0]) * x, {"w": [0.5]}, 2.0)


def test_the_first_of_two_faults_is_named():
    def f(x):
        first = wrong(x)
        first.label = "first"
        second = exp(wrong(wrong(first * 3.0)))
        second.label = "second"
        return second

    with pytest.raises(GradientError, match="disagrees is wrong, labelled 'first'") as caught:
        check_grad(f, 0.5)
    assert caught.value.node.label == "first"


def test_a_second_derivative_alone_can_be_wrong():
    assert check_grad(wrong_in_second_order, 0.5, modes=["reverse"]).error < 1e-9
    with pytest.raises(GradientError, match=r"∂²second/∂x∂x|∂²second/∂operand 0∂operand 0|∂²f/∂"):
        check_grad(wrong_in_second_order, 0.5, order=2, modes=["reverse"])


def test_one_mode_alone_can_be_wrong(monkeypatch):
    right = MODES["forward"]
    monkeypatch.setitem(
        MODES, "forward", lambda *a: {index: 2 * x for index, x in right(*a).items()}
    )
    with pytest.raises(GradientError, match=r"∂f/∂x0 +forward ") as caught:
        check_grad(lambda *x: x[0] * sin(x[1]), 0.5, 1.5)
    assert "reverse" not in str(caught.value).partition("\n\n")[2].partition("first node")[0]


def test_a_fault_between_the_operations_is_told_from_one_in_them(monkeypatch):
    """The derivative of x·x by an engine that forgets what a second edge brings."""

    def forgetful(f, point, order):
        inputs = [Value(x) for x in point]
        output = f(*inputs)
        gradients = {id(output): 1.0}
        for node in tinygrad_scalar.topological_order(output)[::-1]:
            for parent, slope in zip(node.parents, node.local_derivatives, strict=True):
                gradients[id(parent)] = gradients[id(node)] * slope()
        return {(i,): gradients.get(id(x), 0.0) for i, x in enumerate(inputs)}

    def f(x):
        inner = sin(x)
        return inner * exp(inner)

    monkeypatch.setitem(MODES, "reverse", forgetful)
    with pytest.raises(GradientError, match="every local derivative is right: the fault lies in"):
        check_grad(f, 0.5, modes=["reverse"])


def test_a_mode_that_raises_is_told():
    by_math = primitive("by_math", math.sin, lambda y, x: math.cos(x))
    assert check_grad(by_math, 0.5, modes=["reverse"]).error < 1e-9
    with pytest.raises(
        GradientError, match=r"mode graph failed with TypeError: .*write f and its partials in"
    ):
        check_grad(by_math, 0.5, modes=["graph"])


def test_straight_through_is_a_wrong_derivative():
    with pytest.raises(GradientError, match="disagrees is"):
        check_grad(custom(lambda x: x * 0.5, lambda y, x: 1.0), 0.3)


# ── the tolerance ─────────────────────────────────────────────────────────────────────────────
def test_the_tolerance_follows_the_conditioning():
    """sin(10⁸ x) keeps half of its digits, and the check knows."""
    assert check_grad(lambda x: sin(1e8 * x), 0.7, order=2).error > 1e-10
    assert check_grad(lambda x: (x + 1e12) * (x - 1e12) + 1e24, 0.5).kinks == ()


def test_a_small_error_in_a_well_conditioned_program_is_found():
    off = primitive("off", lambda x: x * x, lambda y, x: 2 * x * (1 + 1e-10))
    with pytest.raises(GradientError):
        check_grad(off, 0.7)
    assert check_grad(off, 0.7, rtol=1e-9).error == pytest.approx(1e-10, rel=1e-3)


def test_a_thousandth_is_found_whatever_the_reference():
    for row in (sin, erf, tanh, cube):
        off = custom(row.forward, lambda y, x, row=row: row.partials[0](y, x) * 1.001)
        with pytest.raises(GradientError):
            check_grad(off, 0.7, modes=["reverse"])


# ── kinks are reported, not failed ────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("f", "point", "kink"),
    [
        (relu, (0.0,), "relu(0.0)"),
        (relu, (1e-9,), "relu(1e-09)"),
        (lambda x: relu(x * x - 1), (1.0,), "relu(0.0)"),
        (maximum, (0.5, 0.5), "maximum(0.5, 0.5) of a, b"),
        (maximum, (0.5, 0.5 + 1e-8), "maximum"),
        (tinygrad_scalar.floor, (3.0000001,), "floor"),
        (sqrt, (0.0,), "sqrt(0.0)"),
        (lambda x: sqrt(x * x), (0.0,), "sqrt(0.0)"),
        (lambda x: absolute(sin(x)), (math.pi,), "abs"),
        (lambda x: x if x > 0 else -x, (0.0,), "takes another branch within 1e-06 of x=0.0"),
        (lambda x: where(x > 2.0, x * x, 4 * x), (2.0,), "takes another branch"),
    ],
)
def test_kinks_are_reported(f, point, kink):
    check = check_grad(f, *point)
    assert kink in check.kinks[0]
    assert check.reference == "each operation alone"


@pytest.mark.parametrize(
    ("f", "point"),
    [
        (relu, (1e-4,)),
        (lambda x: x**4, (0.0,)),
        (lambda x: relu(x * x - 1), (1.001,)),
        (lambda x: x if x > 0 else -x, (0.1,)),
        (lambda x: 1 / x, (1e-3,)),
        (log, (1e-7,)),
        (lambda x: exp(50 * x), (1.0,)),
        (tinygrad_scalar.asin, (0.9999,)),
    ],
)
def test_no_kink_is_seen_where_there_is_none(f, point):
    assert check_grad(f, *point).kinks == ()


def test_the_rest_of_a_program_is_checked_near_a_kink():
    with pytest.raises(GradientError, match=r"near a kink: relu\(0\.0\)(.|\n)*disagrees is wrong"):
        check_grad(lambda x: relu(x) + wrong(x + 1), 0.0)


def test_modes_may_differ_by_their_rounding_near_a_kink():
    """At 1e-5 the division of 5e-11 by 1e-10 is near its pole, and seven digits are lost."""
    assert check_grad(lambda x: (1 - cos(x)) / x**2, 1e-5).kinks


def test_undefined_products_are_reported():
    check = check_grad(lambda x: sqrt(x * x + 0 * x), 0.0)
    assert any("0·∞" in kink for kink in check.kinks)


def test_where_there_is_no_reference_the_lower_orders_are_compared():
    """∂²(xʸ)/∂y² = xʸ log² x has no value at x = 0, where ∂(xʸ)/∂x = y·xʸ⁻¹ has one."""
    check = check_grad(pow, 0.0, 2.0, order=2)
    assert set(check.derivatives) == {(0,), (1,)}
    assert check.kinks == ("no reference has a derivative of order 2 here",)


def test_where_turns_even_between_equal_values():
    assert check_grad(lambda x: where(x, x, 0.0), 0.0).kinks == ("where(0.0, 0.0, 0.0) of x, x",)
    assert check_grad(lambda x: where(0.0, x * x, x), 2.0).kinks == ()


@pytest.mark.parametrize("near", [0.0, 1.0], ids=["near a kink", "smooth"])
def test_a_checkpoint_beside_other_operations(near):
    def f(x, fault):
        inner = checkpoint(lambda a: sin(a) * a, x)
        return inner * relu(x - 2.0 + near) + (wrong(x) if fault else x)

    assert bool(check_grad(lambda x: f(x, False), 2.0).kinks) == (not near)
    with pytest.raises(GradientError, match="disagrees is wrong"):
        check_grad(lambda x: f(x, True), 2.0)


def test_no_warning_escapes(recwarn):
    check_grad(lambda x: sqrt(x * x), 0.0)
    assert not recwarn.list


# ── what is no function of its arguments ──────────────────────────────────────────────────────
count = iter(range(10**6))
shared = Value(1.0, label="shared")


def edits_a_weight(x):
    shared.data += 1.0
    return x * shared


def edits_its_argument(x):
    y = x * x
    x.data = 3.0
    return y


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: None, r"returned None \(is a return missing\?\), not one number"),
        (lambda x: [x, "y"], "returned a list of 2, not one number; .* lists, tuples, dicts"),
        (lambda x: [], "returned a list of 0, not one number"),
        (lambda x: "x", "returned a str, not one number"),
        (lambda x: x > 1, "returned a bool, not one number"),
        (lambda x: log(-x), r"\(x=1.5\) is outside the domain of f: log\(-1.5\).*points_for"),
        (lambda x: x * 1e308 * 1e308, r"f is inf at \(x=1.5\), which has no derivative"),
        (
            lambda x: x * random.random(),
            "then .* at the same point, .*: it is random or keeps state",
        ),
        (lambda x: x + next(count), "it is random or keeps state; seed it inside f"),
        (edits_a_weight, r"changes Value\(3.0, .*'shared'\), whose data was 2.0 .*mutates state"),
        (edits_its_argument, r"changes the data of its arguments \(mutates state\)"),
        (lambda x: x * x.data, "part of the gradient is lost: f changes with x by about 1.5 "),
        (lambda x: [x * 2, x + x][next(count) % 2], "3.0 and then 3.0 .* or gets there in another"),
        (lambda x: x.data * 2.0, "part of the gradient is lost"),
        (lambda x: (x * x).backward()[x] * x, "lost: .* calls detach.., no_grad.. or backward.."),
        (lambda x: x * x.detach(), "detach"),
    ],
)
def test_what_cannot_be_checked_is_told(f, message):
    shared.data = 1.0
    with pytest.raises(GradientError, match=message):
        check_grad(f, 1.5)


@pytest.mark.parametrize(
    ("f", "point"),
    [
        (lambda p: p.append(p[0]) or p[0] * 2, [1.0]),
        (lambda p: p.reverse() or p[0] * 2, [1.0, 2.0]),
        (lambda p: p.update(a=p["a"] * 2) or p["a"], {"a": 1.0}),
    ],
)
def test_a_changed_argument_is_told(f, point):
    with pytest.raises(UncheckableError, match=r"changes the lists that it is given \(mut"):
        check_grad(f, point)


@pytest.mark.parametrize("number", range(20))
def test_what_is_random_is_no_kink_and_no_fault(number):
    """A coin that falls the same way twice is thrown again before anything is said."""
    coin = random.Random(number)
    with pytest.raises(UncheckableError, match="it is random or keeps state"):
        check_grad(lambda x: x * x if coin.random() < 0.5 else sin(x), 1.3)


def test_what_f_itself_raises_is_left_alone():
    with pytest.raises(KeyError) as caught:
        check_grad(lambda x: {}[x], 1.5)
    assert caught.value.__notes__ == ["check_grad: raised by f at (x=1.5)"]


@pytest.mark.parametrize("partial", [lambda y, x: "2x", lambda y, x: None, lambda y, x: {}[x]])
def test_a_partial_that_gives_no_number_is_told(partial):
    with pytest.raises(
        GradientError, match=r"mode reverse failed with (TypeError|KeyError): .*modes="
    ):
        check_grad(primitive("odd", lambda x: x * x, partial), 1.5)


def test_a_gradient_lost_under_no_grad():
    def f(x):
        with no_grad():
            y = x * x
        return x * y

    with pytest.raises(GradientError, match="part of the gradient is lost"):
        check_grad(f, 1.5)


def test_what_cannot_be_checked_is_a_type_and_a_value_error_too():
    for kind in (AssertionError, TypeError, ValueError):
        with pytest.raises(kind, match="not one number"):
            check_grad(lambda x: None, 1.0)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────
step = tinygrad_scalar.step


@pytest.mark.parametrize(
    "row",
    [
        primitive(
            "damped", lambda x: math.exp(-x) * math.sin(x), lambda y, x: exp(-x) * cos(x) - y
        ),
        primitive(
            "sincos",
            lambda x: (math.sin(x), math.cos(x)),
            (lambda y, x: y[1],),
            (lambda y, x: -y[0],),
        ),
        primitive(
            "late", lambda x: math.log(x - 5), lambda y, x: 1 / (x - 5), domain=Interval(5.0)
        ),
        primitive(
            "larger",
            max,
            lambda y, a, b: step(a - b),
            lambda y, a, b: step(b - a),
            kinks=lambda a, b: a == b,
            subgradient=(0.5, 0.5),
        ),
        custom(lambda a, b: a * b + a, lambda y, a, b: (b + 1, a)),
        (Value(2.0) * Value(3.0)).primitive,
    ],
    ids=lambda row: row.name,
)
def test_good_rows_pass(row):
    check_primitive(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (wrong, r"check_primitive: wrong\(0\.7\): the derivative is wrong"),
        (wrong_in_second_order, "∂²"),
        (
            primitive("by_math", math.sin, lambda y, x: math.cos(x)),
            "write f and its partials in functions of tinygrad_scalar",
        ),
        (
            primitive("digits", math.tanh, lambda y, x: 1 - y * y, mpmath="tanh"),
            r"digits\(12\.0\): the partial of operand 0 has lost digits",
        ),
        (
            primitive("value", lambda x: math.exp(x) - 1, lambda y, x: exp(x), mpmath="expm1"),
            r"value\(.*\): the value is .*, in mpmath",
        ),
        (
            primitive("kinky", max, lambda y, a, b: step(a - b), lambda y, a, b: step(b - a)),
            r"slopes by operand 0 are 0 before and 1 behind this point: state it in kinks=",
        ),
        (
            primitive(
                "low", abs, lambda y, x: tinygrad_scalar.sign(x), kinks=(0.0,), subgradient=(-2,)
            ),
            r"low\(0\.0\): the row states subgradient \(-2,\)",
        ),
        (
            primitive(
                "steep", abs, lambda y, x: where(x, tinygrad_scalar.sign(x), 2), kinks=(0.0,)
            ),
            r"steep\(0\.0\): the partial of operand 0 is 2\.0 at this kink, where the slopes",
        ),
        (
            primitive(
                "closed", lambda x: 1 / x, lambda y, x: -y * y, domain=Interval(0.0, 9.0, True)
            ),
            r"closed\(0\.0,\) failed .* at a closed end of its domain \[0, 9\)",
        ),
        (
            primitive("wide", math.log, lambda y, x: 1 / x, domain=Interval(-9.0)),
            r"wide\(-1\.3,\) has no value inside the domain that the row states, \(−9, ∞\)",
        ),
        (
            primitive("nowhere", lambda x: math.sqrt(-1 - x * x), lambda y, x: 1.0),
            "nowhere gives no number at any point of its domain .*; state where it does",
        ),
        (
            primitive("unstated", math.log, lambda y, x: 1 / x),
            r"unstated has no value where operand 0 is -1\.3, or .*, and states no domain: .*",
        ),
        (
            primitive(
                "of_nan",
                lambda x: math.asin(x) if abs(x) < 1 else math.nan,
                lambda y, x: 1 / sqrt(1 - x * x),
            ),
            r"of_nan has no value where operand 0 is .*domain=\(low, high\)",
        ),
        (
            primitive(
                "second",
                lambda a, b: a * math.sqrt(b),
                lambda y, a, b: sqrt(b),
                lambda y, a, b: a / (2 * sqrt(b)),
            ),
            "second has no value where operand 1 is -",
        ),
        (
            primitive("complex", lambda x: x**0.5, lambda y, x: 0.5 / y),
            "not a real number; raise ValueError outside the domain",
        ),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_bad_rows_do_not(row, message):
    with pytest.raises(GradientError, match=message):
        check_primitive(row)


@pytest.mark.parametrize("thing", [len, tinygrad_scalar.clip, "sin", None])
def test_only_rows_are_rows(thing):
    with pytest.raises(TypeError, match=r"takes a row: a node's \.primitive or what primitive\(\)"):
        check_primitive(thing)


# ── closeness ─────────────────────────────────────────────────────────────────────────────────
def test_close_gradients():
    x = Value(2.0)
    table = (x * x).backward()
    assert_grads_close(table[x], 4.0)
    assert_grads_close([Value(1.0), (2.0, {"b": 3.0})], [1.0, [2.0, {"b": 3.0 + 1e-12}]])
    assert_grads_close([math.nan, math.inf, 0.0], [math.nan, math.inf, 0.0])
    assert_grads_close([1.0, 1e-17], [1.0, 0.0])  # what is left of an entry that cancels
    assert_grads_close(1.01, 1.0, rtol=0.02)
    numpy = pytest.importorskip("numpy")
    assert_grads_close(numpy.array([[1.0, 2.0]]), [[1.0, 2.0]])


def test_gradients_of_values_that_look_alike_are_told_apart():
    a, b = Value(2.0), Value(2.0)
    assert_grads_close({a: 1.0, b: 2.0}, {b: 2.0, a: 1.0})
    assert_grads_close({Value(2.0): 1.0, Value(2.0): 3.0}, {a: 1.0, b: 3.0})
    with pytest.raises(GradientError, match=r"2\.0, grad=0\.0\)\]: expected 3\.0, actual 1\.0"):
        assert_grads_close({a: 1.0, b: 2.0}, {a: 3.0, b: 2.0})
    with pytest.raises(GradientError, match="structure: only one has"):
        assert_grads_close({a: 1.0, b: 1.0}, {b: 1.0})


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (1.0, 1.001, r"gradients differ: expected 1.001, actual 1.0, error 1.0e-03"),
        ([1.0, 2.0], [1.0, -2.0], r"\[1\]: expected -2.0, actual 2.0, error 4.0e\+00"),
        ({"w": [1.0]}, {"w": [math.nan]}, r"\['w'\]\[0\]: expected nan"),
        ([1.0, 1e-9], [1.0, 0.0], r"\[1\]"),
        (math.inf, 1.0, "expected 1.0, actual inf"),
        ([1.0], [1.0, 2.0], r"structure: only one has \[1\]"),
        ({"a": 1.0}, {"b": 1.0}, r"structure: only one has \['a'\], \['b'\]"),
        (1.0, [1.0], r"structure: only one has \[0\], the whole"),
        ([0.0] * 20, [1.0] * 20, "and 12 more"),
    ],
)
def test_gradients_that_are_not_close(actual, expected, message):
    with pytest.raises(GradientError, match=message):
        assert_grads_close(actual, expected)


def test_only_numbers_are_compared():
    with pytest.raises(TypeError, match=r"\[0\] is 'x', not a number"):
        assert_grads_close(["x"], ["x"])


@given(st.lists(st.floats(), max_size=5))
def test_every_gradient_is_close_to_itself(numbers):
    assert_grads_close(numbers, list(numbers), rtol=0.0)


# ── the habit ─────────────────────────────────────────────────────────────────────────────────
def test_profiles_are_registered():
    examples = [settings.get_profile(name).max_examples for name in ("dev", "ci", "thorough")]
    assert examples == sorted(examples)
    assert settings.get_profile("ci").derandomize
    assert settings.get_profile("ci").deadline is settings.get_profile("thorough").deadline is None


def test_the_recipe_works_as_printed(tmp_path):
    printed = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (recipe,) = (
        part for part in re.findall(r"```python\n(.*?)```", printed, re.DOTALL) if "given" in part
    )
    (tmp_path / "test_right.py").write_text(recipe)
    wrong = (
        "import math, tinygrad_scalar\nexp = tinygrad_scalar.custom(math.exp, lambda y, x: -y)\n"
    )
    (tmp_path / "test_wrong.py").write_text(recipe.replace("def growth", f"{wrong}def growth"))
    (tmp_path / "conftest.py").write_text("import tinygrad_scalar.testing\n")
    done = subprocess.run(
        [*f"{sys.executable} -m pytest -p no:cacheprovider --hypothesis-profile=ci".split(), "."],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "the first node whose local derivative disagrees is exp, made in" in done.stdout
    assert "point=(" in done.stdout


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_tools_work_without_hypothesis_mpmath_and_numpy():
    printed = run(
        "import sys\n"
        "for name in ('hypothesis', 'mpmath', 'numpy'): sys.modules[name] = None\n"
        "from tinygrad_scalar import erf\n"
        "from tinygrad_scalar.testing import check_grad, check_primitive\n"
        "check_primitive(erf)\n"
        "print(check_grad(erf, 0.5).reference)\n"
    )
    assert printed == "Richardson extrapolation"


# ── rows that are wrong far out, or that only look wrong ──────────────────────────────────────
WRONG_FAR_OUT = {
    "a slope above 1e6": ((lambda x: x * x, lambda y, x: where(x > 1e6, x, 2 * x)), {}),
    "a slope above 1e100": ((lambda x: x * x, lambda y, x: where(x > 1e100, x, 2 * x)), {}),
    "a slope below 1e-200": (
        (lambda x: x + 0 * x, lambda y, x: where(absolute(x) > 1e-200, 1, 2)),
        {},
    ),
    "a value below 1e-307": (
        (lambda x: x if abs(x) > 1e-307 else 0.0, 1),
        {"mpmath": lambda m, x: x},
    ),
    "0/0 where exp overflows": (
        (
            lambda x: 1 / (1 + math.exp(-x)) if x > -700 else math.exp(x),
            lambda y, x: exp(-x) / (1 + exp(-x)) ** 2,
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", WRONG_FAR_OUT)
def test_a_row_that_is_wrong_in_its_tails_is_accused(name):
    rules, about = WRONG_FAR_OUT[name]
    with pytest.raises(GradientError, match=r"^check_primitive: wrong"):
        check_primitive(primitive("wrong", *rules, **about))


RIGHT = {
    "Huber's loss, whose slope bends": (
        (),
        {"formula": lambda x: where(absolute(x) < 1, x * x / 2, absolute(x) - 0.5)},
    ),
    "a partial that branches and bends": (
        (lambda x: x * x if x > 0 else -x * x, lambda y, x: 2 * x if x > 0 else -2 * x),
        {},
    ),
    "complex outside its domain": (
        (lambda x: x**1.5, lambda y, x: 1.5 * sqrt(x)),
        {"domain": (0, math.inf)},
    ),
    "two operands": (
        (lambda a, b: a * math.sqrt(b), lambda y, a, b: sqrt(b), lambda y, a, b: a / (2 * sqrt(b))),
        {"domain": [(-math.inf, math.inf), (0, math.inf)]},
    ),
    "a pole that no domain states": ((lambda x: 1 / x, lambda y, x: -y * y), {}),
    "a gap that no domain states": (
        (lambda x: math.sqrt(x * x - 1), lambda y, x: x / sqrt(x * x - 1)),
        {},
    ),
    "an underflow on the way": ((), {"formula": lambda a, b: a / (1 + b * b)}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_row_that_is_right_is_not_accused(name):
    rules, about = RIGHT[name]
    check_primitive(primitive("right", *rules, **about))


def test_a_bent_slope_is_still_compared():
    with pytest.raises(GradientError, match=r"^check_primitive: right\(1\.0\): "):
        check_primitive(
            primitive(
                "right",
                lambda x: x * x / 2 if abs(x) < 1 else abs(x) - 0.5,
                lambda y, x: where(absolute(x) < 1, x, where(x == 1, 3.0, sign(x))),
            )
        )


@pytest.mark.parametrize("domain", [(0, 1, 2), ("a", "b"), [(0, 1), 3], 5.0])
def test_a_domain_is_pairs_or_intervals(domain):
    with pytest.raises(TypeError, match="domain is a pair"):
        primitive("r", lambda a, b: a * b, lambda y, a, b: b, lambda y, a, b: a, domain=domain)


def test_the_complex_step_is_large_enough_beside_a_large_number():
    """(x log x)′ = log x + 1; a step of 2⁻⁵⁰⁰ is nothing beside 1e200."""
    check_grad(lambda x: x * log(x), 1e200)
