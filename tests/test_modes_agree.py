"""Where something undefined arises, the eager modes give one number, one kind of warning or error.

Reverse mode decides (the interface: policies, structural zeros and warnings hold alike).
"""

import math
import warnings

import pytest

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
    if name != "two slopes":  # see `_Call.gradients`: the sweep judges nothing inside the call
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
