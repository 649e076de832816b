"""`grad`, `value_and_grad`, `vjp` and `jacobian`: what goes in, what comes out, what is refused."""

import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from modes_reference import all_close, exact_gradient, function_of, moderate_programs

import tinygrad_scalar
from tinygrad_scalar import (
    TraceError,
    UndefinedGradientError,
    UndefinedGradientWarning,
    Value,
    checkpoint,
    checkpoint_chain,
    counting,
    custom,
    derivative,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    maximum,
    no_grad,
    scope,
    sin,
    sqrt,
    taylor,
    trace_lines,
    value_and_grad,
    vjp,
    where,
)
from tinygrad_scalar.modes import grad as modes_grad


class Point(NamedTuple):
    x: Any
    y: Any


def norm(x):
    return sqrt(x[0] ** 2 + x[1] ** 2)


# ── grad ──────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=60)
@given(moderate_programs())
def test_gradient_of_random_programs_is_that_of_mpmath_in_every_mode(program):
    f, point = function_of(program), list(program.inputs)
    exact = exact_gradient(program)
    assert all_close(grad(f)(point), exact)
    assert all_close(vjp(f, point)[1](1.0), exact)
    for mode in ("forward", "reverse", None):
        assert all_close(jacobian(f, mode=mode)(point), exact)


def test_one_argument_gives_its_gradient_bare_and_several_a_tuple():
    assert grad(lambda x: x * x)(3.0) == 6.0
    assert grad(lambda x, y: x * y)(2.0, 3.0) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 3.0),
        (1, 2.0),
        (-1, 2.0),
        ((0,), (3.0,)),
        ((1, 0), (2.0, 3.0)),
        ([1], (2.0,)),
        ((), ()),
        (None, (3.0, 2.0)),
    ],
)
def test_argnums_narrow_the_gradient(argnums, expected):
    assert grad(lambda x, y: x * y, argnums)(2.0, 3.0) == expected


def test_argnums_not_asked_for_stay_what_they_are():
    def f(x, name):
        assert isinstance(name, str)
        return x * len(name)

    assert grad(f, 0)(2.0, "four") == 4.0


def test_structure_of_the_arguments_is_mirrored():
    def f(p, q):
        return p["w"][0] * q.x + p["w"][1] * p["b"][0][0] * q.y

    slopes = grad(f)({"w": [2.0, 3.0], "b": ((5.0,), 7.0)}, Point(11.0, 13.0))
    assert slopes == ({"w": [11.0, 65.0], "b": ((39.0,), 0.0)}, Point(2.0, 15.0))
    assert isinstance(slopes[1], Point)
    assert list(slopes[0]) == ["w", "b"]


def test_an_argument_that_is_not_used_has_gradient_zero():
    assert grad(lambda x, y: x * x)(1.0, {"a": [1, 2.0], "b": ()}) == (
        2.0,
        {"a": [0.0, 0.0], "b": ()},
    )


def test_a_constant_function_has_gradient_zero():
    assert grad(lambda x: 5)(1.0) == 0.0
    assert value_and_grad(lambda x: 5.0)(1.0) == (5.0, 0.0)


def test_the_identity_has_gradient_one():
    assert value_and_grad(lambda x: x)(3.0) == (3.0, 1.0)


@pytest.mark.parametrize("rule", [grad, value_and_grad, jacobian, hessian])
def test_keyword_arguments_alone_leave_nothing_to_differentiate(rule):
    name = "grad" if rule is value_and_grad else rule.__name__
    told = f"^{name}: there is no argument by position, and keyword arguments are constants"
    with pytest.raises(TypeError, match=told):
        rule(lambda x, y: x * y)(x=2.0, y=3.0)


def test_an_argument_that_is_no_number_is_named_without_a_place_in_it():
    with pytest.raises(TypeError, match=r"hessian: argument 0: a Value carries .* not str"):
        hessian(lambda x: x)("a")


def test_keyword_arguments_pass_through_undifferentiated():
    def f(x, *, scale, names=()):
        return x * scale["k"] + len(names)

    assert grad(f)(2.0, scale={"k": 3.0}, names=["a"]) == 3.0


def test_results_are_plain_numbers():
    value, slope = value_and_grad(exp)(0.0)
    assert type(value) is float
    assert type(slope) is float
    assert all(type(x) is float for x in jacobian(lambda x: [x, 2 * x])(1))


def test_names_and_docstrings_are_those_of_the_function():
    def energy(x):
        """In joule."""
        return x * x

    for made in (grad(energy), value_and_grad(energy), jacobian(energy), hessian(energy)):
        assert (made.__name__, made.__doc__) == ("energy", "In joule.")


def test_values_that_f_closes_over_keep_their_grad():
    w = Value(3.0)
    w.grad = 7.0
    assert grad(lambda x: w * x)(2.0) == 3.0
    assert w.grad == 7.0


def test_a_value_as_argument_gives_values_connected_to_it():
    x = Value(2.0)
    slope = grad(lambda u: u**3)(x)
    assert isinstance(slope, Value)
    assert slope.data == 12.0
    assert slope.backward()[x] == 12.0
    assert x.grad == 12.0  # of the second order only: grad itself writes no `.grad`


def test_no_grad_around_does_not_concern_the_derivative_taken_inside():
    with no_grad():
        assert grad(lambda x: x**3)(2.0) == 12.0
        assert grad(grad(lambda x: x**3))(2.0) == 12.0


def test_no_grad_around_does_not_concern_a_pull_of_several_outputs():
    """Their weighted sum, by which they are one sweep, was not recorded: the gradient was 0."""
    _, pull = vjp(lambda x: [x[0] * x[1], x[0]], [2.0, 3.0])
    with no_grad():
        assert pull([1.0, 1.0]) == [4.0, 2.0]
        assert hessian(lambda x: x[0] * x[1], sparse=True)([2.0, 3.0]) == ([0, 1], [1, 0], [1, 1])


def test_no_grad_inside_cuts():
    def f(x):
        with no_grad():
            constant = x * x
        return constant * x

    assert grad(f)(2.0) == 4.0


def test_an_error_in_f_leaves_nothing_behind():
    def fails(x):
        return 1 / (x - x)

    for slope in (grad(fails), jacobian(fails), grad(grad(fails))):
        with pytest.raises(ZeroDivisionError, match=r"div\(1.0, 0.0\)"):
            slope(1.0)
    slope = grad(lambda x: x * x)(3.0)
    assert type(slope) is float


def test_branches_of_python_are_followed():
    def f(x):
        return x * x if x > 0 else -x

    assert grad(f)(3.0) == 6.0
    assert grad(f)(-3.0) == -1.0


@pytest.mark.parametrize(
    ("result", "kind"), [([1.0], "list"), ((1.0, 2.0), "tuple"), ({"a": 1.0}, "dict")]
)
def test_a_function_with_several_outputs_is_refused(result, kind):
    with pytest.raises(TypeError, match=rf"grad: f must return one number, not {kind}; use jaco"):
        grad(lambda x: result)(1.0)


def test_a_function_that_returns_no_number_is_refused():
    with pytest.raises(TypeError, match=r"grad: what f returned: .* not NoneType"):
        grad(lambda x: None)(1.0)
    with pytest.raises(TypeError, match=r"grad: what f returned: .* not str"):
        value_and_grad(lambda x: "x")(1.0)


def test_an_argument_that_is_no_number_is_named():
    with pytest.raises(TypeError, match=r"grad: argument 1: .* not str"):
        grad(lambda x, y: x)(1.0, "2")
    with pytest.raises(TypeError, match=r"vjp: argument 0: .* not NoneType"):
        vjp(lambda x: x, [1.0, None])
    with pytest.raises(TypeError, match=r"jacobian: argument 0: .* not complex"):
        jacobian(lambda x: x)(1j)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2)])
@pytest.mark.parametrize(
    ("derivative", "name"),
    [(grad, "grad"), (value_and_grad, "grad"), (jacobian, "jacobian"), (hessian, "hessian")],
)
def test_argnums_out_of_range_are_named(derivative, name, argnums):
    wrong = argnums if isinstance(argnums, int) else argnums[1]
    message = rf"{name}: argnums {wrong} is out of range for 2 positional arguments"
    with pytest.raises(ValueError, match=message):
        derivative(lambda x, y: x * y, argnums)(1.0, 2.0)


@pytest.mark.parametrize("argnums", ["x", "", 1.0, (0.0,), ("x",), {0}])
@pytest.mark.parametrize(
    ("derivative", "name"),
    [
        (grad, "grad"),
        (value_and_grad, "grad"),
        (jacobian, "jacobian"),
        (hessian, "hessian"),
        (tinygrad_scalar.compile, "compile"),
    ],
)
def test_argnums_that_are_no_integers_are_refused_before_the_first_call(derivative, name, argnums):
    with pytest.raises(TypeError, match=f"{name}: argnums is an int or ints, not"):
        derivative(lambda x, y: x * y, argnums=argnums)


def test_argnums_of_a_decorator_are_refused_before_it_decorates():
    with pytest.raises(TypeError, match="compile: argnums is an int or ints, not str"):
        tinygrad_scalar.compile(argnums="x")


@pytest.mark.parametrize("argnums", [(1, 1), (1, -1)])
def test_an_argument_asked_for_twice_is_refused(argnums):
    with pytest.raises(ValueError, match=r"grad: argnums .* twice"):
        grad(lambda x, y: x * y, argnums)(1.0, 2.0)


# ── vjp ───────────────────────────────────────────────────────────────────────────────────────
def test_vjp_gives_the_value_and_a_pull_that_can_be_used_again():
    y, pull = vjp(lambda a, b: {"product": a * b, "list": [a, b * b]}, 2.0, 3.0)
    assert y == {"product": 6.0, "list": [2.0, 9.0]}
    assert pull({"product": 1.0, "list": [0.0, 0.0]}) == (3.0, 2.0)
    assert pull({"product": 0.0, "list": [1.0, 0.0]}) == (1.0, 0.0)
    assert pull({"product": 1, "list": [1, 10]}) == (4.0, 62.0)


def test_vjp_mirrors_the_arguments():
    _, pull = vjp(lambda p: p["a"] * p["b"][0], {"a": 2.0, "b": [3.0, 4.0]})
    assert pull(1.0) == {"a": 3.0, "b": [2.0, 0.0]}


def test_vjp_of_outputs_that_do_not_depend_on_the_inputs():
    y, pull = vjp(lambda x: [5.0, x], 2.0)
    assert y == [5.0, 2.0]
    assert pull([1.0, 0.0]) == 0.0


def test_vjp_of_no_outputs():
    y, pull = vjp(lambda v: [], [2.0, 3.0])
    assert (y, pull([])) == ([], [0.0, 0.0])


@pytest.mark.parametrize("n", [30, 60])
def test_a_pull_of_many_outputs_is_one_backward(n):
    def powers(x):
        found = [x]
        for _ in range(n):
            found.append(found[-1] * x)
        return found

    _, pull = vjp(powers, 1.0)
    with counting() as c:
        assert pull([1.0] * (n + 1)) == sum(range(1, n + 2))
    assert c.multiplications <= 2 * n + n + 1  # an edge each, and one for each output

    def outer(x):
        y, pull = vjp(powers, x)
        return pull(y)  # whose cotangent is a function of x: Σ k · x**(2k - 1)

    slope = sum(k * (2 * k - 1) for k in range(1, n + 2))
    assert all_close(grad(outer)(1.0), slope)
    with counting() as c:
        assert all_close(jvp(outer, (1.0,), (1.0,))[1], slope)
    assert c.multiplications <= 20 * n  # and two for a tangent


@pytest.mark.parametrize("undefined", ["raise", "nan"])
def test_an_infinite_slope_does_not_meet_a_cotangent_that_stays(undefined):
    """d/dt of pull([t, 1]): the second cotangent does not move, which makes no 0·∞."""

    def pulled(t):
        _, pull = vjp(lambda x: [x * x, sqrt(x)], 0.0, undefined=undefined)
        return pull([t, 1.0])

    assert jvp(pulled, (2.0,), (1.0,), undefined=undefined)[1] == 0.0


def test_vjp_without_arguments():
    y, pull = vjp(lambda: 5.0)
    assert (y, pull(1.0)) == (5.0, ())


def test_vjp_takes_a_cotangent_by_the_keys_of_its_dict():
    _, pull = vjp(lambda x, y: {"a": x * y, "b": x}, 2.0, 3.0)
    assert pull({"b": 1.0, "a": 0.0}) == (1.0, 0.0)


@pytest.mark.parametrize(
    "cotangent",
    [1.0, [1.0], [1.0, 2.0, 3.0], [1.0, 2.0], {"a": 1.0}, {"a": 1.0, "c": 2.0}, {"a": [1.0, 2.0]}],
)
def test_vjp_refuses_a_cotangent_of_another_structure(cotangent):
    _, pull = vjp(lambda x: {"a": x * x, "b": x}, 2.0)
    with pytest.raises(ValueError, match=r"vjp: .*cotangent.* structure"):
        pull(cotangent)


def test_vjp_refuses_a_cotangent_that_is_no_number():
    _, pull = vjp(lambda x: [x, x], 2.0)
    with pytest.raises((TypeError, ValueError), match=r"vjp: .*cotangent"):
        pull([1.0, "1"])


# ── jacobian ──────────────────────────────────────────────────────────────────────────────────
MODES = pytest.mark.parametrize("mode", ["forward", "reverse", None])


@MODES
def test_jacobian_has_the_output_outside_and_the_arguments_inside(mode):
    def f(p, q):
        return {"s": p[0] * q, "t": (p[1], q * q)}

    assert jacobian(f, mode=mode)([2.0, 3.0], 5.0) == {
        "s": ([5.0, 0.0], 2.0),
        "t": (([0.0, 1.0], 0.0), ([0.0, 0.0], 10.0)),
    }


@MODES
def test_jacobian_narrowed_by_argnums(mode):
    def f(a, b, c):
        return [a * b, b * c]

    assert jacobian(f, 1, mode)(2.0, 3.0, 5.0) == [2.0, 5.0]
    assert jacobian(f, (2, 0), mode)(2.0, 3.0, 5.0) == [(0.0, 3.0), (3.0, 0.0)]


@MODES
def test_jacobian_of_a_function_of_one_number(mode):
    assert jacobian(lambda x: x**3, mode=mode)(2.0) == 12.0


@MODES
def test_jacobian_of_constant_outputs(mode):
    assert jacobian(lambda x: [x, 3.0, 4], mode=mode)(2.0) == [1.0, 0.0, 0.0]


@MODES
def test_jacobian_without_outputs_or_inputs(mode):
    assert jacobian(lambda x: [], mode=mode)(2.0) == []
    assert jacobian(lambda x: [3.0], mode=mode)([]) == [[]]


@MODES
def test_jacobian_passes_keyword_arguments_through(mode):
    assert jacobian(lambda x, k: [k * x], 0, mode)(2.0, k=3.0) == [3.0]


def test_jacobian_takes_the_cheaper_mode(monkeypatch):
    forward = []
    original = modes_grad._forward_jacobian
    monkeypatch.setattr(
        modes_grad, "_forward_jacobian", lambda *args: forward.append(args) or original(*args)
    )
    jacobian(lambda x: sum(map(sin, x)))([0.1 * i for i in range(20)])
    assert not forward
    jacobian(lambda x: [sin(k * x) for k in range(1, 21)])(0.5)
    assert len(forward) == 1


def test_jacobian_refuses_another_mode_at_once():
    with pytest.raises(
        ValueError, match="jacobian: mode is one of 'forward', 'reverse', None, not 3"
    ):
        jacobian(lambda x: x, mode=3)


@MODES
def test_jacobian_refuses_outputs_that_are_no_numbers(mode):
    with pytest.raises(TypeError, match=r"jacobian: what f returned: .* not NoneType"):
        jacobian(lambda x: [x, None], mode=mode)(1.0)


# ── undefined= ────────────────────────────────────────────────────────────────────────────────
def tie(x, y):
    return maximum(x, y)


FIRST_ORDER = pytest.mark.parametrize(
    "derivative",
    [
        grad,
        lambda f, **options: lambda *x: value_and_grad(f, **options)(*x)[1],
        lambda f, **options: jacobian(f, mode="forward", **options),
        lambda f, **options: jacobian(f, mode="reverse", **options),
    ],
    ids=["grad", "value_and_grad", "forward jacobian", "reverse jacobian"],
)


@FIRST_ORDER
def test_a_kink_under_each_policy(derivative):
    assert derivative(tie)(1.0, 1.0) == (0.5, 0.5)
    assert derivative(tie, undefined="subgradient")(1.0, 1.0) == (0.5, 0.5)
    assert all(map(math.isnan, derivative(tie, undefined="nan")(1.0, 1.0)))
    with pytest.warns(UndefinedGradientWarning, match=r"maximum\(1.0, 1.0\) has no derivative"):
        assert derivative(tie, undefined="warn")(1.0, 1.0) == (0.5, 0.5)
    with pytest.raises(UndefinedGradientError, match=r"maximum\(1.0, 1.0\) has no derivative"):
        derivative(tie, undefined="raise")(1.0, 1.0)


@FIRST_ORDER
def test_zero_times_infinity_under_each_policy(derivative):
    """The norm at the origin: the chain rule says 0 · ∞, the function has a kink."""
    for policy in ("subgradient", "warn"):
        with pytest.warns(UndefinedGradientWarning, match=r"0·∞.*0.0 was taken"):
            assert derivative(norm, undefined=policy)([0.0, 0.0]) == [0.0, 0.0]
    assert all(map(math.isnan, derivative(norm, undefined="nan")([0.0, 0.0])))
    with pytest.raises(UndefinedGradientError, match="0·∞"):
        derivative(norm, undefined="raise")([0.0, 0.0])


@FIRST_ORDER
def test_infinity_minus_infinity_under_each_policy(derivative):
    def f(x):
        return sqrt(x) - sqrt(2 * x)

    for policy in ("subgradient", "warn"):
        with pytest.warns(UndefinedGradientWarning, match="∞−∞"):
            assert derivative(f, undefined=policy)(0.0) == 0.0
    assert math.isnan(derivative(f, undefined="nan")(0.0))
    with pytest.raises(UndefinedGradientError, match="∞−∞"):
        derivative(f, undefined="raise")(0.0)


@FIRST_ORDER
def test_outside_the_open_domain_under_each_policy(derivative):
    def f(x, y):
        return x**y

    with pytest.warns(UndefinedGradientWarning, match=r"pow\(-2.0, 3.0\) .*open domain"):
        assert derivative(f)(-2.0, 3.0) == (12.0, 0.0)
    by_base, by_exponent = derivative(f, undefined="nan")(-2.0, 3.0)
    assert by_base == 12.0
    assert math.isnan(by_exponent)
    with pytest.raises(UndefinedGradientError, match=r"pow\(-2.0, 3.0\)"):
        derivative(f, undefined="raise")(-2.0, 3.0)


@FIRST_ORDER
@pytest.mark.parametrize("policy", ["subgradient", "nan", "warn", "raise"])
def test_what_is_no_fault_under_any_policy(derivative, policy):
    for f, x, expected in (
        (sqrt, 0.0, math.inf),  # a one-sided slope
        (lambda x: 0 * sqrt(x), 0.0, 0.0),
        (lambda x: where(x > 0, sqrt(x), 0.0), 0.0, 0.0),
        (lambda x: where(x > 0, sqrt(x), x), 0.0, 1.0),
        (lambda x: where(x > 0, lambda: 1 / x, lambda: x * x), 0.0, 0.0),
    ):
        assert derivative(f, undefined=policy)(x) == expected


@FIRST_ORDER
def test_the_message_names_label_and_line(derivative):
    def f(x):
        return maximum(x, 1.0)  # the line that is named

    line = f.__code__.co_firstlineno + 1
    with (
        trace_lines(),
        pytest.raises(UndefinedGradientError, match=rf"maximum.*{__file__}, line {line}\b"),
    ):
        derivative(f, undefined="raise")(1.0)


@pytest.mark.parametrize("derivative", [grad, value_and_grad, jacobian, hessian])
def test_another_policy_is_refused_at_once(derivative):
    with pytest.raises(ValueError, match="undefined is one of 'subgradient', 'nan', 'warn', 'rais"):
        derivative(norm, undefined="ignore")


@pytest.mark.parametrize("options", [{}, {"sparse": True}], ids=["dense", "sparse"])
def test_second_derivatives_under_each_policy(options):
    def values(policy):
        found = hessian(f, undefined=policy, **options)(0.0)
        return found[2][0] if options else found

    def f(x):
        return abs(x) * x

    assert values("subgradient") == 0.0
    assert math.isnan(values("nan"))
    with pytest.warns(UndefinedGradientWarning, match=r"(abs|sign)\(0.0\) has no deri"):
        values("warn")
    with pytest.raises(UndefinedGradientError, match=r"abs\(0.0\) has no derivative"):
        values("raise")


def test_second_derivatives_of_the_norm_at_the_origin():
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        assert hessian(norm)([0.0, 0.0]) == [[0.0, 0.0], [0.0, 0.0]]
    rows = hessian(norm, undefined="nan")([0.0, 0.0])
    assert all(math.isnan(x) for row in rows for x in row)
    with pytest.raises(UndefinedGradientError, match="0·∞"):
        hessian(norm, undefined="raise")([0.0, 0.0])


def test_second_derivatives_of_a_branch_not_taken_are_no_fault():
    f = lambda x: where(x > 0, sqrt(x), x * x)  # noqa: E731
    assert hessian(f, undefined="raise")(0.0) == 2.0
    assert grad(grad(f, undefined="raise"), undefined="raise")(0.0) == 2.0


def test_the_policy_of_the_outer_derivative_does_not_reach_into_the_inner_one():
    def inner(x):
        return grad(lambda y: abs(y) * x)(0.0) + x * x

    assert grad(inner, undefined="raise")(3.0) == 6.0
    assert jvp(inner, (3.0,), (1.0,)) == (9.0, 6.0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: grad(3), "grad: f"),
        (lambda: value_and_grad(3), "grad: f"),
        (lambda: jacobian(3), "jacobian: f"),
        (lambda: hessian(3), "hessian: f"),
        (lambda: hvp(3, (1.0,), (1.0,)), "hvp: f"),
        (lambda: jvp(3, (1.0,), (1.0,)), "jvp: f"),
        (lambda: vjp(3, 1.0), "vjp: f"),
        (lambda: taylor(3, 2), "taylor: f"),
        (lambda: derivative(3), "derivative: f"),
        (lambda: checkpoint(3, 1.0), "checkpoint: f"),
        (lambda: checkpoint_chain(3, 1.0, 2), "checkpoint_chain: step"),
        (lambda: custom(math.exp, 3), "custom: derivative"),
    ],
)
def test_what_is_no_function_is_refused_at_once(call, argument):
    with pytest.raises(TypeError, match=f"{argument} must be callable, not int"):
        call()


# ── compiled functions give numbers ───────────────────────────────────────────────────────────
def squared_times(x):
    return tinygrad_scalar.compile(lambda y: y * y * x)


@pytest.mark.parametrize(
    "derived",
    [
        lambda: grad(lambda x: squared_times(x)(3.0))(2.0),
        lambda: grad(lambda x: squared_times(x).grad(3.0))(2.0),
        lambda: grad(lambda x: x * squared_times(x)(3.0))(2.0),
        lambda: grad(lambda x: squared_times(2 * x)(3.0))(2.0),
        lambda: grad(lambda x, z: z * squared_times(x)(3.0))(2.0, 5.0),
        lambda: grad(lambda x: squared_times(x)(3.0))(Value(2.0)),
        lambda: vjp(lambda x: [x * squared_times(x)(3.0)], 2.0)[1]([1.0]),
        lambda: jacobian(lambda x: [x * squared_times(x)(3.0), x, x])([2.0]),
        lambda: hessian(lambda x: x * squared_times(x)(3.0))(2.0),
    ],
)
def test_no_gradient_is_lost_in_a_compiled_function_that_closes_over_the_argument(derived):
    """It gives plain numbers: the gradient was 0, right is 9 for the first, where y² x is y²."""
    with pytest.raises((TypeError, TraceError), match=r"compiled function|compile:"):
        derived()


def test_a_compiled_function_in_a_gradient_takes_the_argument_as_one():
    f, w = tinygrad_scalar.compile(lambda y, x: y * y * x), Value(4.0)
    assert grad(lambda x: f(3.0, x))(2.0) == 9.0
    assert grad(lambda x: x * squared_times(x.detach())(3.0))(2.0) == 18.0
    assert grad(lambda x: x * squared_times(w)(3.0))(2.0) == 36.0
    assert grad(lambda x: x * w)(2.0).data == 4.0


@pytest.mark.parametrize(
    "derived",
    [
        lambda f: grad(f)(5.0),
        lambda f: value_and_grad(f)(5.0)[1],
        lambda f: jacobian(f)(5.0),
        lambda f: hessian(f)(5.0) + 16.0,
        lambda f: grad(grad(f))(5.0) + 16.0,
        lambda f: vjp(f, 5.0)[1](1.0),
    ],
)
def test_a_leaf_made_in_a_function_and_closed_over_by_a_compiled_one_leaves_gradients_numbers(
    derived,
):
    """They were Values, as of a leaf made before the call: 2 · x · w is 20, its slope 4."""

    def f(x):
        w = Value(2.0)
        return x * x * w + tinygrad_scalar.compile(lambda y: y * w)(3.0)

    assert repr(derived(f)) == "20.0"


def test_what_a_compiled_function_closes_over_in_forward_mode_or_a_checkpoint_is_refused():
    def f(x):
        return x * squared_times(2 * x)(3.0)

    for derived in (derivative(f), lambda x: jvp(f, (x,), (1.0,)), lambda x: taylor(f, 2)(x)):
        with pytest.raises(TypeError, match=r"closes over a .*pass it as an argument"):
            derived(2.0)
    y = checkpoint(f, Value(2.0))
    with pytest.raises(TypeError, match="checkpoint: a compiled function closes over number 0"):
        y.backward()


# ── blocks that are left open inside of others ────────────────────────────────────────────────
def held_open(block):
    """A generator that stands inside a block until it is closed."""

    def inside():
        with block:
            yield

    generator = inside()
    next(generator)
    return generator


def test_a_block_ends_although_another_was_left_open_inside_of_it():
    with no_grad():
        kept = held_open(scope("left open"))
    x = Value(2.0)
    assert (x * 3).parents == (x,)
    assert (x * 3).provenance.scope == ("left open",)
    kept.close()
    assert (x * 3).provenance.scope == ()


@pytest.mark.parametrize("made", [no_grad, counting, trace_lines, lambda: scope("a")])
def test_a_block_is_entered_once(made):
    block, x = made(), Value(2.0)
    with block:
        with pytest.raises(RuntimeError, match=r"^with: .* is entered once: make another"):
            block.__enter__()
        assert (x * x).data == 4.0  # inside itself, it was searched for ever
    with pytest.raises(RuntimeError, match=r"^with: .* is entered once: make another"), block:
        pass
    assert (x * x).parents == (x, x)


def test_what_was_opened_inside_stays_in_force():
    with scope("ended"), counting() as c:
        kept = held_open(no_grad())
    x = Value(2.0)
    assert (x * 3).parents == ()
    assert c.evaluations == 0
    kept.close()
    assert (x * 3).parents == (x,)


def test_a_compiled_function_that_leaves_a_block_open_traces_nothing_behind():
    kept = []

    def f(x):
        kept.append(held_open(scope("open")))
        return x * 2

    assert tinygrad_scalar.compile(f)(3.0) == 6.0
    assert type(Value(2.0) * 3) is Value
    assert grad(lambda x: x * x)(3.0) == 6.0


def test_a_forward_mode_whose_function_leaves_a_block_open_judges_nothing_behind():
    kept = []

    def f(x):
        kept.append(held_open(scope("open")))
        return x * 2

    assert jvp(f, (3.0,), (1.0,), undefined="nan") == (6.0, 2.0)
    with pytest.warns(UndefinedGradientWarning, match="0·∞"):
        grad(lambda x: sqrt(x) * sqrt(x))(0.0)


# ── what stops a gradient stops it in every mode ──────────────────────────────────────────────
SLOPES = {
    "grad": lambda f, x: grad(f)(x),
    "vjp": lambda f, x: vjp(f, x)[1](1.0),
    "jvp": lambda f, x: jvp(f, (x,), (1.0,))[1],
    "derivative": lambda f, x: derivative(f)(x),
    "taylor": lambda f, x: taylor(f, 2)(x)[1],
    "forward jacobian": lambda f, x: jacobian(f, mode="forward")(x),
    "hvp": lambda f, x: hvp(lambda a: f(a) * f(a) / 2, (x,), (1.0,)) ** 0.5,
    "compiled grad": lambda f, x: tinygrad_scalar.compile(f).grad(x),
    "compiled jvp": lambda f, x: tinygrad_scalar.compile(f).jvp((x,), (1.0,))[1],
}


@pytest.mark.parametrize("mode", SLOPES)
def test_what_is_computed_under_no_grad_is_constant_in_every_mode(mode):
    """Forward modes went through it: the slope of 4 · x where 4 is x² is 4, and they gave 12."""

    def f(x):
        with no_grad():
            y = (x * x).sqrt() * x  # methods still go
        return y * x

    assert SLOPES[mode](f, 2.0) == pytest.approx(4.0)
    with no_grad():  # which is not meant for derivatives inside it
        assert SLOPES[mode](lambda x: x * 4.0, 2.0) == pytest.approx(4.0)


@pytest.mark.parametrize("inner", sorted({*SLOPES} - {"hvp"}))
@pytest.mark.parametrize("mode", SLOPES)
def test_a_derivative_taken_under_no_grad_is_constant_in_every_mode(mode, inner):
    """The slope of 3 · 2² · x is 12; forward modes went through, inside and around: 36."""

    def f(x):
        with no_grad():
            slope = SLOPES[inner](lambda y: y**3, x)
        return slope * x

    assert SLOPES[mode](f, 2.0) == pytest.approx(12.0)


@pytest.mark.parametrize("mode", ["jvp", "derivative", "taylor", "forward jacobian"])
def test_a_number_in_place_of_what_is_undefined_makes_no_pass_raise(mode):
    """In forward modes the inner gradient, NaN, is 0 at first, by which the function divides."""

    def f(x):
        slope = grad(lambda a: sqrt(a) * sqrt(a), undefined="nan")(x)
        return x * 3.0 if str(1.0 / (slope + 0.0 * x)) == "never" else x * 2.0

    assert SLOPES[mode](f, 0.0) == SLOPES["grad"](f, 0.0) == 2.0
