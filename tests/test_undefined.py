"""Gradients that do not exist, sentence by sentence of the interface's section on them."""

import math
import re
import warnings
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as ts
from tinygrad_scalar import (
    UndefinedGradientError,
    UndefinedGradientWarning,
    Value,
    primitive,
    trace_lines,
)

POLICIES = ["subgradient", "nan", "warn", "raise"]


def outcome(function, *data, undefined="subgradient", **options):
    """The gradients, and the messages of warnings and of an error."""
    leaves = [Value(x) for x in data]
    z = function(*leaves)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = z.backward(undefined=undefined, **options)
        except UndefinedGradientError as error:
            return None, [str(error)]
    assert all(w.category is UndefinedGradientWarning for w in caught)
    gradients = [getattr(table[v], "data", table[v]) for v in leaves]
    assert gradients == [v.grad for v in leaves] or any(map(math.isnan, gradients))
    return gradients, [str(w.message) for w in caught]


def assert_silent(function, *data, gradients):
    """Under every policy these gradients, and not a word."""
    for undefined in POLICIES:
        for create_graph in (False, True):
            got = outcome(function, *data, undefined=undefined, create_graph=create_graph)
            assert got == (gradients, []), (undefined, create_graph)


def assert_undefined(function, *data, gradients, message):
    """0 with a warning, NaN, or an error, as the policy says; `message` is in all of them."""
    for create_graph in (False, True):
        for undefined in ("subgradient", "warn"):
            got, messages = outcome(function, *data, undefined=undefined, create_graph=create_graph)
            assert got == gradients, (undefined, create_graph)
            assert messages
            assert re.search(message, messages[0]), messages
        got, messages = outcome(function, *data, undefined="nan", create_graph=create_graph)
        assert messages == []
        assert any(map(math.isnan, got))
        got, messages = outcome(function, *data, undefined="raise", create_graph=create_graph)
        assert got is None
        assert re.search(message, messages[0]), messages


# ── infinite slopes ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        (ts.sqrt, 0.0, math.inf),
        (lambda x: -ts.sqrt(x), 0.0, -math.inf),
        (lambda x: 3.0 * ts.sqrt(x), 0.0, math.inf),
        (lambda x: ts.sqrt(x) + x, 0.0, math.inf),
        (lambda x: ts.sqrt(2.0 * x), 0.0, math.inf),
        (lambda x: x**0.5, 0.0, math.inf),
        (ts.asin, 1.0, math.inf),
        (ts.acosh, 1.0, math.inf),
        (ts.cbrt, 0.0, math.inf),
    ],
)
def test_an_infinite_slope_alone_is_no_fault(function, x, slope):
    assert_silent(function, x, gradients=[slope])


def test_two_infinite_slopes_of_one_sign_add_up():
    assert_silent(lambda x: ts.sqrt(x) + ts.sqrt(x), 0.0, gradients=[math.inf])


def test_zero_times_infinity():
    assert_undefined(lambda x: ts.sqrt(x) * x, 0.0, gradients=[0.0], message=r"sqrt\(0\.0\).* 0·∞")
    assert_undefined(lambda x: ts.sqrt(x * x), 0.0, gradients=[0.0], message=r"mul\(.* 0·∞")
    assert_undefined(lambda x: ts.sqrt(ts.square(x)), 0.0, gradients=[0.0], message="0·∞")
    assert_undefined(lambda x: ts.sqrt(ts.relu(x)), -1.0, gradients=[0.0], message="relu.*0·∞")
    assert_undefined(lambda x: ts.sqrt(x) ** 2, 0.0, gradients=[0.0], message="0·∞")
    assert_undefined(
        lambda x, y: ts.sqrt(x) * y, 0.0, 0.0, gradients=[0.0, 0.0], message=r"sqrt\(0\.0\).* 0·∞"
    )


@pytest.mark.parametrize(
    "kink",
    [ts.abs, ts.relu, lambda x: ts.hypot(x, 0), lambda x: ts.copysign(x, 1)],
    ids=["abs", "relu", "hypot", "copysign"],
)
def test_a_kink_with_an_infinite_slope_above_it_is_0_times_infinity(kink):
    def f(x):
        return ts.sqrt(kink(x))

    for options in ({}, {"create_graph": True}):
        got, messages = outcome(f, 0.0, **options)
        assert got == [0.0]
        assert re.search("0·∞", "".join(messages))
        got, messages = outcome(f, 0.0, undefined="warn", **options)
        assert got == [0.0]
        assert [re.search("no derivative|0·∞", each)[0] for each in messages] == [
            "no derivative",
            "0·∞",
        ]
        assert math.isnan(outcome(f, 0.0, undefined="nan", **options)[0][0])
        assert outcome(f, 0.0, undefined="raise", **options)[0] is None
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert ts.jacobian(f, mode="forward")(0.0) == 0.0


def test_outside_the_open_domain_an_infinite_slope_above_it_changes_nothing():
    cliff = primitive("cliff", lambda x: 0.0, lambda y, x: x * math.nan)
    for options in ({}, {"create_graph": True}):
        got, messages = outcome(lambda x: ts.sqrt(cliff(x)), 1.0, **options)
        assert got == [0.0]
        assert ["open domain" in each for each in messages] == [True]


def test_the_norm_at_the_origin():
    assert_undefined(
        lambda x, y: ts.sqrt(x * x + y * y), 0.0, 0.0, gradients=[0.0, 0.0], message="0·∞"
    )


def test_a_value_that_happens_to_be_0_is_not_structural():
    """0 · ∞ with a Value is reported, with a constant it is silent."""
    assert_undefined(
        lambda x, zero: ts.sqrt(x) * zero, 0.0, 0.0, gradients=[0.0, 0.0], message="0·∞"
    )
    assert_silent(lambda x: ts.sqrt(x) * 0.0, 0.0, gradients=[0.0])


def test_infinity_minus_infinity():
    for function in (
        lambda x: ts.sqrt(x) - ts.sqrt(x),
        lambda x: ts.sqrt(x) - x**0.5,
        lambda x: ts.asin(1 - x) + ts.sqrt(x),
        lambda x: ts.sum([ts.sqrt(x), -ts.sqrt(x)]),
    ):
        assert_undefined(function, 0.0, gradients=[0.0], message="∞−∞")


def test_a_seed_of_0_or_infinity_is_judged_as_a_product():
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert ts.sqrt(x := Value(0.0)).backward(0.0)[x] == 0.0
    y, zero = Value(1.0), Value(0.0)
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert (y * zero).backward(math.inf)[y] == 0.0
    assert math.isnan((y * zero).backward(math.inf, undefined="nan")[y])


def test_overflow_on_the_way_back_is_an_infinity_like_any_other():
    x, zero = Value(1e200), Value(0.0)
    big = x * 1e200
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert (big * big * zero).backward()[x] == 0.0


# ── structural zeros ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "function",
    [
        lambda x: ts.sqrt(x) * 0.0,
        lambda x: 0 * ts.sqrt(x),
        lambda x: (ts.sqrt(x) + 1.0) * 0.0 + x * 0.0,
        lambda x: 0.0 / (ts.sqrt(x) + 1.0),
        lambda x: (ts.sqrt(x) + 1.0) ** 0,
        lambda x: ts.sqrt(x) ** 0,
        lambda x: ts.sign(ts.sqrt(x) - 1.0),
        lambda x: ts.floor(ts.sqrt(x) + 0.5),
        lambda x: ts.where(False, ts.sqrt(x), 1.0),
        lambda x: ts.where(x > 1.0, ts.sqrt(x), 1.0),
        lambda x: ts.where(Value(0.0), ts.sqrt(x), 1.0),
        lambda x: ts.where(ts.sqrt(x), 1.0, 2.0),
        lambda x: ts.dot([ts.sqrt(x), 1.0], [0.0, 2.0]) + 0.0 * x,
        lambda x: ts.prod([ts.sqrt(x), 0.0, Value(3.0)]),
        lambda x: ts.sqrt(x) * Value(2.0) * 0.0,
    ],
)
def test_a_structural_zero_silences_whatever_lies_behind_it(function):
    assert_silent(function, 0.0, gradients=[0.0])


def test_the_mask_of_where_silences_the_branch_that_was_not_taken():
    assert_silent(lambda x: ts.where(x > 0.0, ts.sqrt(x), x), 0.0, gradients=[1.0])
    assert_silent(lambda x: ts.where(x > 0.0, ts.sqrt(x), 2.0 * x), 0.0, gradients=[2.0])
    assert_silent(lambda x: ts.where(x >= 0.0, ts.sqrt(x), x), 0.0, gradients=[math.inf])
    assert_silent(lambda x: ts.where(x > 0.0, ts.abs(x), ts.relu(x)) * 0.0, 0.0, gradients=[0.0])


def test_kinks_behind_a_structural_zero_are_silent():
    assert_silent(lambda x: ts.relu(x) * 0.0, 0.0, gradients=[0.0])
    assert_silent(lambda x: ts.where(False, ts.abs(x), x), 0.0, gradients=[1.0])


def test_a_constant_power_0_is_no_kink():
    assert_silent(lambda x: x**0, 0.0, gradients=[0.0])
    assert_silent(lambda x: x**0 + x, 0.0, gradients=[1.0])


def test_a_power_is_smooth_at_0_where_its_exponent_is_a_constant():
    assert_silent(lambda x: x**2, 0.0, gradients=[0.0])
    assert_silent(lambda x: x**1, 0.0, gradients=[1.0])
    assert_silent(lambda x: x**1.5, 0.0, gradients=[0.0])
    assert_silent(lambda x: x**3, -2.0, gradients=[12.0])


# ── kinks ─────────────────────────────────────────────────────────────────────────────────────
KINKS = [
    ("relu", (0.0,), (0.0,)),
    ("abs", (0.0,), (0.0,)),
    ("sign", (0.0,), (0.0,)),
    ("step", (0.0,), (0.0,)),
    ("floor", (1.0,), (0.0,)),
    ("ceil", (1.0,), (0.0,)),
    ("trunc", (1.0,), (0.0,)),
    ("round", (0.5,), (0.0,)),
    ("maximum", (2.0, 2.0), (0.5, 0.5)),
    ("minimum", (2.0, 2.0), (0.5, 0.5)),
    ("copysign", (0.0, 1.0), (0.0, 0.0)),
    ("hypot", (0.0, 0.0), (0.0, 0.0)),
    ("atan2", (0.0, 0.0), (0.0, 0.0)),
    ("mod", (6.0, 2.0), (1.0, -3.0)),
    ("remainder", (3.0, 2.0), (1.0, -2.0)),
    ("fmod", (6.0, 2.0), (1.0, -3.0)),
    ("clip", (1.0, 1.0, 2.0), (1.0, 0.0, 0.0)),
    ("leaky_relu", (0.0, 0.25), (0.25, 0.0)),
    ("elu", (0.0, 2.0), (2.0, 0.0)),
]
each_kink = pytest.mark.parametrize(("name", "point", "stated"), KINKS, ids=str)
each_carrier = pytest.mark.parametrize("create_graph", [False, True], ids=["numbers", "graph"])


@each_kink
@each_carrier
def test_at_a_kink_each_policy_does_what_it_says(name, point, stated, create_graph):
    function, options = getattr(ts, name), {"create_graph": create_graph}
    operands = ", ".join(map(repr, point))

    got, messages = outcome(function, *point, undefined="subgradient", **options)
    assert (tuple(got), messages) == (stated, [])

    got, messages = outcome(function, *point, undefined="warn", **options)
    assert tuple(got) == stated
    assert messages
    for message in messages:
        assert message.startswith(f"{name}({operands})")
        assert "has no derivative there" in message
    told = [float(re.search(r"(\S+) was taken", message)[1]) for message in messages]
    assert set(told) <= set(stated)

    got, messages = outcome(function, *point, undefined="nan", **options)
    assert messages == []
    assert any(map(math.isnan, got))

    got, messages = outcome(function, *point, undefined="raise", **options)
    assert got is None
    assert messages[0].startswith(f"{name}({operands})")
    assert 'undefined="subgradient"' in messages[0]


@each_kink
def test_beside_a_kink_nothing_is_said(name, point, stated):
    moved = tuple(x + 0.125 * (i + 1) for i, x in enumerate(point))
    if name == "clip":
        moved = (1.5, 1.0, 2.0)
    for undefined in POLICIES:
        got, messages = outcome(getattr(ts, name), *moved, undefined=undefined)
        assert messages == []
        assert not any(map(math.isnan, got))


def test_only_the_operands_that_are_asked_for_are_judged():
    x, y = Value(0.0), Value(3.0)
    z = ts.relu(x) + y * y
    assert z.backward(inputs=[y], undefined="raise")[y] == 6.0
    with pytest.raises(UndefinedGradientError, match="relu"):
        z.backward(inputs=[x], undefined="raise")


def test_constants_at_a_kink_are_not_judged():
    """Only operands that are Values have a derivative to lose."""
    x = Value(3.0)
    assert ts.maximum(x, 2.0).backward(undefined="raise")[x] == 1.0
    with pytest.raises(UndefinedGradientError, match=r"maximum\(3\.0, 3\.0\)"):
        ts.maximum(x, 3.0).backward(undefined="raise")


# ── outside the open domain ───────────────────────────────────────────────────────────────────
def test_the_exponent_of_a_negative_base():
    assert_undefined(
        lambda a, b: a**b, -2.0, 3.0, gradients=[12.0, 0.0], message=r"pow\(-2\.0, 3\.0\)"
    )
    assert_undefined(lambda b: (-2.0) ** b, 3.0, gradients=[0.0], message=r"pow\(-2\.0, 3\.0\)")
    x, y = Value(-2.0), Value(3.0)
    assert (x**y).backward(inputs=[x], undefined="raise")[x] == 12.0


def test_a_base_of_0_with_an_exponent_that_is_a_value():
    """0 ** b is 0 to the right of b = 0, and so is its derivative."""
    got, messages = outcome(lambda a, b: a**b, 0.0, 2.0)
    assert (got, messages) == ([0.0, 0.0], [])


# ── what is said ──────────────────────────────────────────────────────────────────────────────
def warned(function, undefined="subgradient"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function().backward(undefined=undefined)
    return caught


def test_a_message_names_primitive_operands_and_the_label_of_the_operand():
    x = Value(0.0, label="width")
    (warning,) = warned(lambda: ts.sqrt(x) * Value(0.0))
    text = str(warning.message)
    assert text.startswith("sqrt(0.0) with respect to 'width'")
    assert "0.0 was taken" in text
    assert 'undefined="raise"' in text
    (warning,) = warned(lambda: ts.relu(x), "warn")
    assert str(warning.message).startswith("relu(0.0) with respect to 'width'")
    with pytest.raises(UndefinedGradientError, match=r"^relu\(0\.0\) with respect to 'width'"):
        ts.relu(x).backward(undefined="raise")
    (warning,) = warned(lambda: ts.sqrt(x) - ts.sqrt(x))
    assert "width" in str(warning.message)


def test_the_numbers_in_a_message_are_those_the_operation_saw():
    x = Value(0.0)
    z = ts.relu(x)
    x.data = 7.0
    with pytest.raises(UndefinedGradientError, match=r"relu\(0\.0\)"):
        z.backward(undefined="raise")


def test_under_trace_lines_the_line_is_named():
    with trace_lines():
        x = Value(0.0)
        z = ts.relu(x)  # this line
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = 1 + lines.index("        z = ts.relu(x)  # this line")
    with pytest.raises(
        UndefinedGradientError, match=rf"made in .*test_undefined\.py, line {number}\b"
    ):
        z.backward(undefined="raise")
    with pytest.raises(UndefinedGradientError) as caught:
        ts.relu(Value(0.0)).backward(undefined="raise")
    assert "made in" not in str(caught.value)


def test_the_warning_points_at_the_line_of_the_user():
    (warning,) = warned(lambda: ts.sqrt(x := Value(0.0)) * x)
    assert warning.filename == __file__
    x = Value(0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ts.relu(x).backward(undefined="warn", create_graph=True)
    assert caught[0].filename == __file__


def test_a_script_whose_name_begins_like_the_package_is_the_users(tmp_path):
    """/path/tinygrad_scalar_demo.py is not inside /path/tinygrad_scalar/."""
    package = ts.__file__.rsplit("/", 1)[0].rsplit("\\", 1)[0]
    path = f"{package}_demo.py"
    source = "with trace_lines():\n    y = Value(0.0) * 2\n"
    names = {"trace_lines": trace_lines, "Value": Value}
    exec(compile(source, path, "exec"), names)  # noqa: S102 (a file of that name, without making one)
    assert names["y"].provenance.line == f"{path}, line 2"


def test_the_classes():
    assert issubclass(UndefinedGradientError, ArithmeticError)
    assert issubclass(UndefinedGradientWarning, UserWarning)


# ── what is left behind ───────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("inputs", [False, True])
def test_an_error_writes_nothing(inputs):
    x, y = Value(0.0), Value(3.0)
    u = ts.relu(x)
    z = u * y + y
    for i, node in enumerate((x, y, u, z)):
        node.grad = float(i + 5)
    with pytest.raises(UndefinedGradientError):
        z.backward(undefined="raise", inputs=[x, y] if inputs else None)
    assert [node.grad for node in (x, y, u, z)] == [5.0, 6.0, 7.0, 8.0]


def test_a_warning_that_is_an_error_writes_nothing_to_leaves():
    x = Value(0.0)
    z = ts.sqrt(x) * x
    x.grad = 5.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UndefinedGradientWarning):
            z.backward()
    assert x.grad == 5.0
    with pytest.warns(UndefinedGradientWarning):
        assert z.backward()[x] == 0.0
    assert x.grad == 5.0


def test_nan_in_the_operands_is_no_fault():
    """NaN passes through as it does in floats: nobody is warned of what was put in."""
    for undefined in POLICIES:
        got, messages = outcome(lambda x, y: x * y, math.nan, 2.0, undefined=undefined)
        assert got[0] == 2.0
        assert math.isnan(got[1])
        assert messages == []
        got, messages = outcome(lambda x: ts.relu(x) * 2, math.nan, undefined=undefined)
        assert math.isnan(got[0])
        assert messages == []
    for function in (lambda x, y: x * y + x * 2, lambda x, y: x * 2 + x * y):
        for undefined in POLICIES:
            got, messages = outcome(function, 1.0, math.nan, undefined=undefined)
            assert math.isnan(got[0])
            assert messages == []
    x = Value(1.0)
    assert math.isnan((x * x).backward(math.nan, undefined="raise")[x])


def test_own_primitives_are_judged_too():
    ramp = primitive(
        "ramp", lambda x: max(x, 0.0), lambda y, x: ts.step(x), kinks=(0.0,), subgradient=(0.25,)
    )
    got, messages = outcome(ramp, 0.0)
    assert (got, messages) == ([0.25], [])
    got, messages = outcome(ramp, 0.0, undefined="warn")
    assert got == [0.25]
    assert "ramp(0.0)" in messages[0]
    assert "0.25 was taken" in messages[0]
    nowhere = primitive("nowhere", lambda x: x, lambda y, x: math.nan)
    assert_undefined(nowhere, 1.0, gradients=[0.0], message=r"nowhere\(1\.0\)")


def test_an_operation_with_several_outputs_is_judged_too():
    both = primitive("both", lambda x: (math.sqrt(x), 2 * x), (lambda y, x: 1 / (2 * y[0]),), (2,))
    assert_silent(lambda x: both(x)[0], 0.0, gradients=[math.inf])
    assert_silent(lambda x: both(x)[0] * 0.0 + both(x)[1], 0.0, gradients=[2.0])
    assert_undefined(
        lambda x: both(x)[0] * both(x)[1], 0.0, gradients=[0.0], message=r"both\S*\(0\.0\).* 0·∞"
    )


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_without_kinks_all_policies_agree(a, b):
    def f(x, y):
        return ts.sin(x * y) + ts.exp(x) / (1.5 + ts.tanh(y)) + ts.softplus(x - y) ** 2

    results = [outcome(f, a, b, undefined=undefined) for undefined in POLICIES]
    assert all(messages == [] for _, messages in results)
    for got, _ in results[1:]:
        for x, y in zip(got, results[0][0], strict=True):
            assert math.isclose(x, y, rel_tol=1e-13, abs_tol=1e-13)


# ── second derivatives at poles ───────────────────────────────────────────────────────────────
@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("function", [ts.sqrt, lambda x: x**0.5, lambda x: x ** Value(0.5)])
def test_the_derivative_of_an_infinite_slope_is_infinite(function, undefined):
    x = Value(0.0)
    first = function(x).backward(inputs=[x], create_graph=True)[x]
    assert first.data == math.inf
    assert first.backward(inputs=[x], undefined=undefined)[x] == -math.inf


def test_a_message_shortens_a_long_label():
    y = Value(0.0, label="x" * 100_000).sqrt()
    with pytest.raises(UndefinedGradientError) as caught:
        (y * y).backward(undefined="raise")
    assert "xxx … xxx" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("order", [1, 2])
def test_a_fraction_at_a_kink_has_nan_too(order):
    """No fraction is NaN: the float stands for it, as in reverse mode."""
    f = lambda x: ts.relu(x) * x + ts.relu(x)  # noqa: E731
    found = ts.derivative(f, order, undefined="nan")(Fraction(0))
    assert isinstance(found, float)
    assert math.isnan(found)
    assert math.isnan(ts.grad(f, undefined="nan")(Fraction(0)))


# ── kinks of what one mode carries for another ────────────────────────────────────────────────
# The third derivative of x²/(1 + |x|) is −6 sign(x) / (1 + |x|)⁴: at 0 there is none. Where a row
# has a kink in its derivative alone, only the way back of the mode inside comes upon it.
def bent(x):
    return ts.softsign(x) * x


SECOND = {
    "grad of grad": lambda x: ts.grad(ts.grad(bent))(x),
    "jvp of jvp": lambda x: ts.jvp(lambda y: ts.jvp(bent, (y,), (1.0,))[1], (x,), (1.0,))[1],
    "jvp of grad": lambda x: ts.jvp(ts.grad(bent), (x,), (1.0,))[1],
    "grad of jvp": lambda x: ts.grad(lambda y: ts.jvp(bent, (y,), (1.0,))[1])(x),
    "derivative": lambda x: ts.derivative(bent, 2)(x),
    "hvp": lambda x: ts.hvp(bent, (x,), (1.0,)),
    "hessian": lambda x: ts.hessian(bent)(x),
    "vjp": lambda x: ts.vjp(ts.grad(bent), x)[1](1.0),
}
THIRD = {
    "grad": lambda f, policy: ts.grad(f, undefined=policy)(0.0),
    "jvp": lambda f, policy: ts.jvp(f, (0.0,), (1.0,), undefined=policy)[1],
    "jacobian": lambda f, policy: ts.jacobian(f, mode="forward", undefined=policy)(0.0),
    "derivative": lambda f, policy: ts.derivative(f, undefined=policy)(0.0),
    "compiled jvp": lambda f, policy: ts.compile(f, undefined=policy).jvp((0.0,), (1.0,))[1],
}


@pytest.mark.parametrize("outer", THIRD)
@pytest.mark.parametrize("inner", SECOND)
def test_a_kink_is_seen_through_a_mode_inside(inner, outer):
    f, mode = SECOND[inner], THIRD[outer]
    assert f(0.0) == 2.0
    assert mode(f, "subgradient") == 0.0
    assert math.isnan(mode(f, "nan"))
    with pytest.raises(UndefinedGradientError, match=r"sign\(0\.0\)|abs\(0\.0\)"):
        mode(f, "raise")
    with pytest.warns(UndefinedGradientWarning):
        assert mode(f, "warn") == 0.0


# What moves and is 0 by chance, in its number or its slope, is no constant to a mode inside. The
# second derivative of softsign, −2 sign(x) / (1 + |x|)³, does not exist at 0.
MOVING = {
    "slope, argument": lambda inner, x: inner(ts.softsign, x * x),
    "slope, closed over": lambda inner, x: inner(lambda t: ts.softsign(t + x * x), 0.0),
    "number and slope": lambda inner, x: inner(lambda t: ts.softsign(t * (x * x)), 1.0),
    "slope of a difference": lambda inner, x: inner(ts.softsign, x - x),
}
FIRST = {
    "grad": lambda f, x: ts.grad(f)(x),
    "vjp": lambda f, x: ts.vjp(f, x)[1](1.0),
    "jvp": lambda f, x: ts.jvp(f, (x,), (1.0,))[1],
    "derivative": lambda f, x: ts.derivative(f)(x),
}


@pytest.mark.parametrize("outer", THIRD)
@pytest.mark.parametrize("inner", FIRST)
@pytest.mark.parametrize("moving", MOVING)
def test_what_is_0_by_chance_silences_no_kink_of_a_mode_inside(moving, inner, outer):
    def f(x):
        return MOVING[moving](FIRST[inner], x)

    assert THIRD[outer](f, "subgradient") == 0.0
    assert math.isnan(THIRD[outer](f, "nan"))
    with pytest.raises(UndefinedGradientError, match=r"sign\(0\.0\)|abs\(0\.0\)"):
        THIRD[outer](f, "raise")


@pytest.mark.parametrize("outer", THIRD)
@pytest.mark.parametrize("inner", FIRST)
def test_a_constant_0_silences_the_kink_of_a_mode_inside(inner, outer):
    assert THIRD[outer](lambda x: FIRST[inner](ts.softsign, x * 0.0), "raise") == 0.0
