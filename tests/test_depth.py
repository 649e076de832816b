"""Depth 50,000 in every mode, without recursion.

For second derivatives the chain is shorter: the graph of its derivative is several times as deep.
"""

import math

import pytest

from tinygrad_scalar import (
    Value,
    checkpoint,
    checkpoint_chain,
    custom,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    primitive,
    sin,
    sum_over_paths,
    taylor,
    vjp,
)

DEPTH, DEPTH_OF_SECOND = 50_000, 10_000
START = 0.5
pair = primitive("pair", lambda x: (math.sin(x), x), (lambda y, x: sin(x + math.pi / 2),), (1,))
own_sine = custom(math.sin, lambda y, x: sin(x + math.pi / 2))


def sines(x, depth=DEPTH, step=sin):
    for _ in range(depth // 2):
        x = -step(x)
    return x


def shorter(x):
    return sines(x, DEPTH_OF_SECOND)


def exact(depth):
    """The chain rule along the chain by plain floats: first and second derivative."""
    x, first, second = START, 1.0, 0.0
    for _ in range(depth // 2):
        slope, bend = -math.cos(x), math.sin(x)
        first, second, x = slope * first, bend * first * first + slope * second, -math.sin(x)
    return first, second


FIRST, SECOND = exact(DEPTH)[0], exact(DEPTH_OF_SECOND)[1]


def by_checkpoint():
    x = Value(START)
    return checkpoint(sines, x).backward()[x]


def by_checkpoint_to_second_order():
    x = Value(START)
    return checkpoint(shorter, x).backward(create_graph=True)[x].backward(inputs=x)[x]


def by_many_checkpoints():
    x = Value(START)
    y = x
    for _ in range(DEPTH // 10):
        y = checkpoint(lambda u: sines(u, 10), y)
    return y.backward()[x]


def by_paths():
    x = Value(START)
    gradient, paths = sum_over_paths(sines(x), x)
    assert paths == 1
    return gradient


MODES = {
    "grad": (lambda: grad(sines)(START), FIRST),
    "vjp": (lambda: vjp(sines, START)[1](1.0), FIRST),
    "jvp": (lambda: jvp(sines, (START,), (1.0,))[1], FIRST),
    "jacobian": (lambda: jacobian(sines)(START), FIRST),
    "checkpoint": (by_checkpoint, FIRST),
    "a chain of checkpoints": (by_many_checkpoints, FIRST),
    "sum over paths": (by_paths, FIRST),
    "own rows": (lambda: grad(lambda x: sines(x, step=lambda s: pair(s)[0]))(START), FIRST),
    "custom": (lambda: grad(lambda x: sines(x, step=own_sine))(START), FIRST),
    "every policy": (lambda: grad(sines, undefined="raise")(START), FIRST),
    "grad of grad": (lambda: grad(grad(shorter))(START), SECOND),
    "hessian": (lambda: hessian(shorter)(START), SECOND),
    "sparse hessian": (lambda: hessian(shorter, sparse=True)(START)[2][0], SECOND),
    "hvp": (lambda: hvp(shorter, (START,), (1.0,)), SECOND),
    "taylor": (lambda: taylor(shorter, 2)(START)[2], SECOND),
    "checkpoint to second order": (by_checkpoint_to_second_order, SECOND),
}


@pytest.mark.parametrize(("compute", "expected"), MODES.values(), ids=MODES)
def test_a_long_chain_of_operations(compute, expected):
    # each of up to 50,000 factors is rounded, at most by 1e-16 of itself
    assert math.isclose(compute(), expected, rel_tol=1e-10)


def test_a_checkpoint_chain_of_10000_steps():
    x = Value(START)
    slope = checkpoint_chain(lambda u: -sin(u), x, 10_000).backward()[x]
    assert math.isclose(slope, grad(lambda u: sines(u, 20_000))(START), rel_tol=1e-11)


def test_grad_in_a_loop():
    """Descent that is differentiated through: an inner gradient does not walk the outer graph."""

    def descended(rate):
        x = 1.0
        for _ in range(2000):
            x = x - rate * grad(lambda u: u * u)(x)
        return x

    # x = (1 − 2 r)^n
    assert math.isclose(grad(descended)(1e-3), -4000 * 0.998**1999, rel_tol=1e-11)
