"""Where something undefined arises, all modes give one number, one kind of warning or error.

Reverse mode decides (the interface: policies, structural zeros and warnings hold alike).
"""

import math
import warnings

import pytest
from modes_reference import flat

import tinygrad_scalar as ts
from tinygrad_scalar import UndefinedGradientError, Value

POLICIES = ["subgradient", "nan", "warn", "raise"]
# a function, a point, and f′ there under "subgradient" by the rules of the interface
CASES = {
    "where": (lambda x: ts.where(x > 0, ts.sqrt(x), 0.0), 0.0, 0.0),
    "0 times": (lambda x: 0.0 * ts.sqrt(x), 0.0, 0.0),
    "dot with 0": (lambda x: ts.dot([0.0, 1.0], [ts.sqrt(x), x]), 0.0, 1.0),
    "prod with 0": (lambda x: ts.prod([0.0, ts.sqrt(x)]), 0.0, 0.0),
    "floor": (lambda x: ts.floor(ts.sqrt(x)), 0.0, 0.0),
    "cancelled": (lambda x: ts.sqrt(x - x) + x, 1.0, 1.0),  # ∞−∞ is 0, and x stays
    "square root of a square": (lambda x: ts.sqrt(x * x), 0.0, 0.0),
    "product": (lambda x: ts.sqrt(x) * x, 0.0, 0.0),
    "vanishing factor": (lambda x: ts.sqrt(x * (1 - x)), 0.0, math.inf),
    "two slopes": (lambda x: ts.sqrt(2 * x - x), 0.0, 0.0),  # ∞−∞ on the way back
    "infinite": (ts.sqrt, 0.0, math.inf),
    "kink": (ts.abs, 0.0, 0.0),
    "tie": (lambda x: ts.maximum(x, 3 * x), 0.0, 2.0),
    "smooth": (lambda x: ts.exp(ts.sin(x)), 0.5, math.exp(math.sin(0.5)) * math.cos(0.5)),
    "kink of a constant": (lambda x: ts.clip(x**0, -1.0, 1.0) * x, 2.0, 1.0),
    "product before a zero": (lambda x: ts.sqrt(0.0 * x) * ts.sqrt(0.0 * x) + x, 2.0, 1.0),
    "power 0 of NaN": (lambda x: x**0 * x, math.nan, 1.0),  # x⁰ is 1, as IEEE 754 has pow
    "0 times NaN": (lambda x: 0.0 * x + ts.where(x > 0, x, 2.0), math.nan, 0.0),
}


def outcome(mode, *args):
    """A number, or an error's kind; and whether there was a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = mode(*args)
        except UndefinedGradientError:
            return "error", False
    return ("nan" if found != found else round(found, 12)), bool(caught)


def checkpointed(f, x, undefined):
    leaf = Value(x)
    y = ts.checkpoint(f, leaf)
    return y.backward(undefined=undefined)[leaf] if y.parents else 0.0


FIRST = {
    "jvp": lambda f, x, u: ts.jvp(f, (x,), (1.0,), undefined=u)[1],
    "vjp": lambda f, x, u: ts.vjp(f, x, undefined=u)[1](1.0),
    "derivative": lambda f, x, u: ts.derivative(f, undefined=u)(x),
    "taylor": lambda f, x, u: ts.taylor(f, 1, undefined=u)(x)[1],
    "forward": lambda f, x, u: ts.jacobian(f, mode="forward", undefined=u)(x),
}
SECOND = {
    "hvp": lambda f, x, u: ts.hvp(f, (x,), (1.0,), undefined=u),
    "derivative": lambda f, x, u: ts.derivative(f, 2, undefined=u)(x),
}


@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_first_derivatives_are_those_of_reverse_mode(name, undefined):
    f, x, stated = CASES[name]
    expected = outcome(lambda: ts.grad(f, undefined=undefined)(x))
    if undefined in ("subgradient", "warn"):
        assert expected[0] == round(stated, 12)
    for mode, function in FIRST.items():
        assert outcome(function, f, x, undefined) == expected, mode
    assert outcome(checkpointed, f, x, undefined) == expected


@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_those_of_reverse_mode(name, undefined):
    f, x, _ = CASES[name]
    expected = outcome(lambda: ts.hessian(f, undefined=undefined)(x))
    for mode, function in SECOND.items():
        assert outcome(function, f, x, undefined) == expected, mode


def test_checkpoint_goes_by_the_policy():
    x = Value(0.0)
    y = ts.checkpoint(ts.abs, x)
    assert y.backward()[x] == 0.0
    with pytest.raises(UndefinedGradientError, match="abs"):
        y.backward(undefined="raise")
    assert math.isnan(y.backward(undefined="nan")[x])


def test_a_partial_that_chooses_keeps_its_choice_where_the_other_overflows():
    ramp = ts.primitive("ramp", lambda x: x, lambda y, x: ts.where(x > 0, 1.0, ts.exp(x)))
    x = Value(800.0)
    assert ramp(x).backward()[x] == 1.0
    assert ts.checkpoint(ramp, x).backward()[x] == 1.0


def test_checkpoint_multiplies_by_the_gradient_first():
    x = Value(1e-310)
    y = ts.checkpoint(ts.log, x) * 1e-10
    assert y.backward()[x] == pytest.approx(1e300)  # though 1/x is no float


def test_implicit_functions_go_by_the_policy():
    absolute = ts.implicit(abs, lambda y, a: y - ts.abs(a))
    x = Value(0.0)
    assert absolute(x).backward()[x] == 0.0
    with pytest.raises(UndefinedGradientError, match=r"abs\(0.0\)"):
        absolute(x).backward(undefined="raise")
    with pytest.warns(ts.UndefinedGradientWarning, match=r"abs\(0.0\)"):
        absolute(x).backward(undefined="warn")
    assert math.isnan(absolute(x).backward(undefined="nan")[x])
    for undefined in POLICIES:
        expected = outcome(lambda u=undefined: ts.grad(absolute, undefined=u)(0.0))
        for mode, function in FIRST.items():
            assert outcome(function, absolute, 0.0, undefined) == expected, mode


TOO_LARGE = {  # f″ fits a float, and an inner term on the way back does not
    "1/(x*x)": (lambda x: 1 / (x * x), 1e-70),
    "1/x**2": (lambda x: 1 / x**2, 1e-70),
    "quotient": (lambda x: ts.exp(x) / (x * x), 1e-70),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_term_too_large_for_a_float_is_told_of(name):
    f, x = TOO_LARGE[name]
    for mode in (
        lambda u: ts.hessian(f, undefined=u)(x),
        lambda u: ts.hvp(f, (x,), (1.0,), undefined=u),
        lambda u: ts.grad(ts.grad(f, undefined=u), undefined=u)(x),
        lambda u: ts.jvp(ts.grad(f, undefined=u), (x,), (1.0,), undefined=u)[1],
    ):
        with pytest.warns(ts.UndefinedGradientWarning, match="too large for a float; -?inf was"):
            found = mode("subgradient")
        assert math.isinf(found)
        with pytest.raises(UndefinedGradientError, match="too large for a float"):
            mode("raise")


def test_a_gradient_that_is_infinite_rightly_is_not_told_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ts.grad(ts.sqrt)(0.0) == math.inf
        assert ts.grad(lambda x: x * math.inf)(2.0) == math.inf
        assert ts.grad(lambda x: x * x)(math.inf) == math.inf
        assert ts.grad(lambda x: 0.0 * ts.log(x))(5e-324) == 0.0  # a structural zero
        assert ts.grad(ts.log)(5e-324) == math.inf  # 2e323
        assert ts.hessian(ts.log)(1e-200) == -math.inf  # −1e400
        assert ts.hessian(lambda x: 1 / x)(1e-120) == math.inf  # 2e360
        assert ts.hessian(ts.sqrt)(1e-250) == -math.inf
        assert ts.grad(lambda x: ts.exp(x) * ts.exp(x))(400.0) == math.inf


def test_taylor_warns_where_the_graph_of_its_derivatives_is_too_large():
    def f(x):
        return ts.sqrt(x) * ts.exp(ts.sin(x * x + 1) / (1 + x))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = ts.taylor(f, 10)(0.0)
    assert found[1] == math.inf
    assert math.isnan(found[-1])
    assert any("has more than 100,000 nodes; nan was taken" in str(w.message) for w in caught)


def test_a_policy_of_another_name_is_refused():
    for call in (
        lambda: ts.jvp(ts.sin, (0.0,), (1.0,), undefined="no"),
        lambda: ts.vjp(ts.sin, 0.0, undefined="no"),
        lambda: ts.hvp(ts.sin, (0.0,), (1.0,), undefined="no"),
        lambda: ts.taylor(ts.sin, 1, undefined="no"),
        lambda: ts.derivative(ts.sin, undefined="no"),
    ):
        with pytest.raises(ValueError, match="undefined is one of"):
            call()


# ── compiled functions at numbers ─────────────────────────────────────────────────────────────
EVERY = pytest.mark.parametrize("engine", ts.engines())
# a compiled function's method, and the eager mode that it stands for
METHODS = {
    "call": (lambda c, x: c(x), lambda f, x, u: f(Value(x))),
    "grad": (lambda c, x: c.grad(x), lambda f, x, u: ts.grad(f, undefined=u)(x)),
    "value_and_grad": (
        lambda c, x: c.value_and_grad(x),
        lambda f, x, u: ts.value_and_grad(f, undefined=u)(x),
    ),
    "jvp": (
        lambda c, x: c.jvp((x,), (2.0,)),
        lambda f, x, u: ts.jvp(f, (x,), (2.0,), undefined=u),
    ),
    "hvp": (
        lambda c, x: c.hvp((x,), (2.0,)),
        lambda f, x, u: ts.hvp(f, (x,), (2.0,), undefined=u),
    ),
    "jacobian": (lambda c, x: c.jacobian(x), lambda f, x, u: ts.jacobian(f, undefined=u)(x)),
    "hessian": (lambda c, x: c.hessian(x), lambda f, x, u: ts.hessian(f, undefined=u)(x)),
}
# points at which a row raises, or a result is not finite without anything undefined
MORE = {
    "power": (lambda x: x * x**0.5, 0.0),
    "square of a root": (lambda x: ts.sqrt(x) ** 2, 0.0),
    "length": (lambda x: ts.hypot(x, x - x), 0.0),
    "angle": (lambda x: ts.atan2(x, x), 0.0),
    "end of the domain": (lambda x: ts.acos(ts.erf(x)), 700.0),
    "silu at infinity": (ts.silu, math.inf),
    "quotient": (lambda x: x / x, -1e-300),
    "NaN": (lambda x: ts.exp(x) * x, math.nan),
    "pole": (lambda x: 1 / x, 0.0),
    "logarithm": (ts.log, -1.0),
    "not used": (lambda x: (ts.log(x), x * 2.0)[1], -1.0),
    "own derivative": (
        ts.primitive("cube_by_parts", lambda x: x**3, lambda y, x: 3 * y / x),
        0.0,
    ),
    "too large twice derived": (lambda x: 1 / (x * x), 1e-70),
    "infinite rightly": (lambda x: ts.exp(x) * ts.exp(x), 400.0),
    "exception handled": (lambda x: handled(lambda: 1 / x, lambda: x + 7.0), 0.0),
    "other exception handled": (lambda x: handled(lambda: ts.log(x), lambda: x * 0 - 1), -2.0),
}


def handled(attempt, otherwise):
    try:
        return attempt()
    except (ArithmeticError, ValueError):
        return otherwise()


def seen(mode, *args):
    """The numbers, or the error; and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = mode(*args)
        except (ArithmeticError, ValueError) as error:
            found = (type(error), str(error))
        else:
            found = [y.data if isinstance(y, Value) else y for y in flat(found)]
            found = ["nan" if y != y else round(y, 12) for y in found]
    return found, [(w.category, str(w.message)) for w in caught]


@EVERY
@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_compiled_functions_are_as_their_eager_modes(name, undefined, engine):
    f, x = (MORE.get(name) or CASES[name])[:2]
    c = ts.compile(f, engine=engine, undefined=undefined)
    for method, (compiled, eager) in METHODS.items():
        expected = seen(eager, f, x, undefined)
        for _ in range(3):  # the second call makes machine code, the third runs it
            assert seen(compiled, c, x) == expected, method


@EVERY
def test_one_bad_point_changes_no_other(engine):
    c = ts.compile(lambda x: handled(lambda: 1 / x, lambda: x + 7.0), engine=engine)
    for _ in range(3):
        assert (c(2.0), c(0.0), c.grad(2.0), c.grad(0.0)) == (0.5, 7.0, -0.25, 1.0)


@EVERY
def test_results_keep_their_structure_where_the_function_itself_is_run(engine):
    def f(x, p):
        return ts.sqrt(x * x) + p["a"][0] * p["a"][1] + ts.hypot(x, x)

    c = ts.compile(f, engine=engine, argnums=(1,))
    assert c.grad(0.0, {"a": [2.0, 3.0]}) == ({"a": [3.0, 2.0]},)
    c = ts.compile(f, engine=engine, undefined="nan")
    slopes = c.grad(0.0, {"a": [2.0, 3.0]})
    assert math.isnan(slopes[0])
    assert slopes[1] == {"a": [3.0, 2.0]}
    rows = ts.compile(lambda x: {"a": ts.sqrt(x * x), "b": [x, 3 * x]}, engine=engine)
    with pytest.warns(ts.UndefinedGradientWarning):
        assert rows.jvp((0.0,), (1.0,)) == (
            {"a": 0.0, "b": [0.0, 0.0]},
            {"a": 0.0, "b": [1.0, 3.0]},
        )
    with pytest.warns(ts.UndefinedGradientWarning):
        assert rows.jacobian(0.0) == [[0.0], [1.0], [3.0]]


@EVERY
@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("name", CASES)
def test_functions_from_files_keep_their_policy(name, undefined, engine, tmp_path):
    f, x, _ = CASES[name]
    c = ts.compile(f, engine=engine, undefined=undefined)
    c(x)
    c.save(tmp_path / "f.json")
    loaded = ts.load_compiled(tmp_path / "f.json")
    for method in ("grad", "jvp", "hessian"):
        compiled, eager = METHODS[method]
        assert seen(compiled, loaded, x)[0] == seen(eager, f, x, undefined)[0], method


@EVERY
def test_backward_goes_by_the_policy(engine):
    w = Value(0.0)
    c = ts.compile(lambda x: ts.abs(w) * x, engine=engine, undefined="raise")
    with pytest.raises(UndefinedGradientError, match="abs"):
        c.backward(2.0)
    assert w.grad == 0.0
    ts.compile(lambda x: ts.abs(w) * x, engine=engine).backward(2.0)
    assert w.grad == 0.0


def test_a_compiled_policy_of_another_name_is_refused():
    for call in (lambda: ts.compile(ts.sin, undefined="no"), lambda: ts.compile(undefined="no")):
        with pytest.raises(ValueError, match="undefined is one of"):
            call()
