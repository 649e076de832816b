"""A mode inside a mode, where one number is 0: what another mode carries is no constant.

References: mpmath's derivatives of the same function.
"""

import mpmath
import pytest

import tinygrad_scalar as ts

# t is the inner variable, b the outer one.
FUNCTIONS = {
    "t b²": lambda f, t, b: t * (b * b),
    "sin(t) b²": lambda f, t, b: f.sin(t) * b * b,
    "t √(t + b)": lambda f, t, b: t * f.sqrt(t + b),
    "t / b": lambda f, t, b: t / b + t / (b * b),
    "b^t": lambda f, t, b: b**t * b,
    "e^(t b)": lambda f, t, b: f.exp(t * b) * (t + b),
    "t³ b + (t b)²": lambda f, t, b: t * t * t * b + (t * b) * (t * b) + t * b,
}
INNER = {
    "grad": lambda h, t: ts.grad(h)(t),
    "value_and_grad": lambda h, t: ts.value_and_grad(h)(t)[1],
    "jvp": lambda h, t: ts.jvp(h, (t,), (1.0,))[1],
    "vjp": lambda h, t: ts.vjp(h, t)[1](1.0),
    "derivative": lambda h, t: ts.derivative(h)(t),
    "taylor": lambda h, t: ts.taylor(h, 1)(t)[1],
    "jacobian": lambda h, t: ts.jacobian(h, mode="forward")(t),
}
OUTER = {
    "grad": lambda g, b: [ts.grad(g)(b), ts.grad(ts.grad(g))(b)],
    "jvp": lambda g, b: [ts.jvp(g, (b,), (1.0,))[1]],
    "derivative": lambda g, b: [ts.derivative(g)(b), ts.derivative(g, 2)(b)],
    "taylor": lambda g, b: ts.taylor(g, 2)(b)[1:],
    "hessian": lambda g, b: [ts.grad(g)(b), ts.hessian(g)(b)],
    "hvp": lambda g, b: [ts.jvp(g, (b,), (1.0,))[1], ts.hvp(g, (b,), (1.0,))],
    "checkpoint": lambda g, b: [ts.grad(lambda x: ts.checkpoint(g, x))(b)],
    "compiled": lambda g, b: [_compiled(g).grad(b), _compiled(g).hessian(b)[0][0]],
}


def _compiled(g):
    return ts.compile(g, engine="python")


@pytest.mark.parametrize("t", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_zero_that_another_mode_carries_is_no_constant(name, inner, t):
    f = FUNCTIONS[name]
    b = 2.0
    with mpmath.workdps(40):
        right = [float(mpmath.diff(lambda t, b: f(mpmath, t, b), (t, b), (1, k))) for k in (1, 2)]
    for outer, mode in OUTER.items():
        found = mode(lambda b: INNER[inner](lambda t: f(ts, t, b), t), b)
        assert found == pytest.approx(right[: len(found)], rel=1e-12, abs=1e-12), outer
