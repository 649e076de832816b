"""`grad` and its family inside a compiled function: written on the tape as what they are."""

import numpy as np
import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import Value
from tinygrad_scalar.compiler import compile

CASES = [
    (lambda x: tg.grad(lambda a: a**3)(x) * 2, 4.0, 96.0, 48.0),
    (tg.grad(tg.sin), 1.0, np.cos(1.0), -np.sin(1.0)),
    (lambda x: tg.grad(tg.grad(lambda a: a**4))(x), 2.0, 48.0, 48.0),
    (lambda x: tg.grad(lambda a: a * tg.grad(lambda b: a * b * x)(1.0))(x), 3.0, 18.0, 12.0),
    (lambda x: tg.grad(lambda a: a * a * x)(3.0), 5.0, 30.0, 6.0),
    (lambda x: tg.grad(lambda a: a * x)(x), 3.0, 3.0, 1.0),
    (lambda x: tg.grad(lambda a, b: a * a)(3.0, x)[0] + x, 5.0, 11.0, 1.0),
    (lambda x: tg.grad(lambda a: Value(2.0) * 1)(x) + x, 3.0, 3.0, 1.0),
    (lambda x: tg.hvp(lambda a: a**3, (x,), (1.0,)), 2.0, 12.0, 6.0),
    (lambda x: tg.implicit(lambda a: a**0.5, lambda y, a: y * y - a)(x) * 2, 4.0, 4.0, 0.5),
    (lambda x: tg.grad(lambda a: a * a if a > 0 else -a)(x), -2.0, -1.0, 0.0),
]


@pytest.mark.parametrize(("g", "x", "value", "slope"), CASES)
def test_derivatives_inside_are_derivatives_on_the_tape(g, x, value, slope):
    f = compile(g)
    assert f(x) == pytest.approx(value)
    assert f.grad(x) == pytest.approx(slope)
    assert f(np.array([x, x]))[1] == pytest.approx(value)


def test_a_loss_of_slopes_trains_the_leaves():
    w = Value(2.0)

    def loss(x):
        return (tg.grad(lambda a: tg.tanh(w * a))(x) - 1) ** 2

    mean = compile(loss).backward(np.array([0.3, 0.5]))
    compiled, w.grad = w.grad, 0.0
    eager = tg.mean(loss(Value(x)) for x in (0.3, 0.5))
    eager.backward()
    assert mean == pytest.approx(eager.data)
    assert compiled == pytest.approx(w.grad)
