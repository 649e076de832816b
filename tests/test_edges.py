"""Second derivatives on the edge of a domain, at ties and at infinity, of every row of two numbers.

There rules are asked for more than their own number: what they are computed from is differentiated.
"""

import itertools
import math
import warnings

import mpmath
import numpy as np
import pytest

import tinygrad_scalar as ts
from tinygrad_scalar.core.primitives import TABLE

ROWS = {name: row for name, row in TABLE.items() if row.arity == 2 and not row.whole}
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, math.inf, -math.inf, math.nan)
ENGINES = ("python", "llvm")
# of numbers that are rounded in another order
PRECISION = 1e-14


def outcome(run):
    """The numbers or the kind of error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = np.ravel(np.asarray(run(), dtype=float)).tolist()
        except (ArithmeticError, ValueError) as error:
            return type(error), []
    return found, [str(w.message) for w in caught]


def same(a, b):
    if isinstance(a, type) or isinstance(b, type):
        return a is b
    return all(
        (x != x and y != y) or x == y or abs(x - y) <= PRECISION * max(1.0, abs(x))
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("name", ROWS)
def test_the_hessian_is_symmetric_and_compiled_code_gives_it_too(name):
    row = ROWS[name]
    compiled = [ts.compile(row, engine=engine) for engine in ENGINES]
    along = (2.0, -1.0)
    for point in itertools.product(NUMBERS, repeat=2):
        hessian = outcome(lambda p=point: ts.hessian(row)(*p))
        numbers, told = hessian
        if not told and isinstance(numbers, list):
            assert same(numbers[1:2], numbers[2:3]), (point, numbers)
        product = outcome(lambda p=point: ts.hvp(row, p, along))
        for c in compiled:
            for expected, run in (
                (hessian, lambda c=c, p=point: c.hessian(*p)),
                (product, lambda c=c, p=point: c.hvp(p, along)),
            ):
                found = outcome(run)
                assert same(expected[0], found[0]), (point, c.engine, expected, found)
                assert expected[1] == found[1], (point, c.engine)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_powers_of_zero_move_as_those_beside_it(zero, exponent):
    """∂²(a^b)/∂a∂b goes where mpmath's, at a = 1e−10000, is on the way to."""
    with mpmath.workdps(50):
        a, b = mpmath.mpf(10) ** -10000, mpmath.mpf(exponent)
        beside = a ** (b - 1) * (1 + b * mpmath.log(a))
    expected = -math.inf if beside < -1 else 0.0
    (_, mixed), (again, curved) = outcome_of_hessian(zero, exponent)
    assert (mixed, again, curved) == (expected, expected, 0.0)


def outcome_of_hessian(*point):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ts.UndefinedGradientWarning)
        return ts.hessian(ts.pow)(*point)


@pytest.mark.parametrize(("a", "b"), [(1e-300, 1.5), (1e-310, 1.25), (1e-200, 2.5)])
def test_the_mixed_slope_of_a_power_that_underflows(a, b):
    with mpmath.workdps(50):
        expected = float(mpmath.mpf(a) ** (mpmath.mpf(b) - 1) * (1 + b * mpmath.log(a)))
    (_, mixed), (again, _) = ts.hessian(ts.pow)(a, b)
    assert mixed == pytest.approx(expected, rel=1e-13)
    assert again == pytest.approx(expected, rel=1e-13)


def test_the_curvature_of_a_length_along_its_longer_side():
    """∂²hypot/∂b² = a²/y³, whose square of a/y underflows; value by mpmath."""
    a, b = 3e-310, 2e-130
    with mpmath.workdps(50):
        exact = float(mpmath.mpf(a) ** 2 / mpmath.hypot(a, b) ** 3)
    for found in (ts.hessian(ts.hypot), ts.compile(ts.hypot, engine="python").hessian):
        assert found(a, b)[1][1] == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("row", [ts.elu, ts.leaky_relu])
@pytest.mark.parametrize("x", [math.inf, 3.0])
def test_the_steepness_of_what_is_not_taken_is_nothing(row, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ts.grad(row)(x, 0.25) == (1.0, 0.0)


# The gradient has something undefined in it, whose derivative is finite.
HIDDEN = {
    "xlogy": (lambda x: ts.xlogy(0.0 * x, x), -1.0),
    "mod": (lambda x: ts.mod(1 / x, 3.0) * x, 0.0),
    "0·∞ in a mask": (lambda x: ts.leaky_relu(-5.0 - ts.sqrt(x), 0.0), 0.0),
    "a clip": (lambda x: ts.clip(0.0, -5.0 - ts.sqrt(x), 1.0), 0.0),
    "inner gradient": (
        lambda x: ts.where(ts.grad(lambda a: ts.sqrt(a) * ts.sin(a) * 0.0 * a)(x) >= 0, x, -x),
        0.0,
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", HIDDEN)
def test_what_the_eager_mode_tells_of_a_gradient_is_told_of_the_second_one(name, engine):
    f, x = HIDDEN[name]
    c = ts.compile(f, engine=engine)
    for method in ("grad", "hessian"):
        numbers, told = outcome(lambda m=method: getattr(ts, m)(f)(x))
        found = outcome(lambda m=method: getattr(c, m)(x))
        assert same(numbers, found[0])
        assert told == found[1]
    along = outcome(lambda: ts.hvp(f, (x,), (1.0,)))
    assert outcome(lambda: c.hvp((x,), (1.0,))) == along


@pytest.mark.parametrize("engine", ENGINES)
def test_compiled_modes_along_tangents_know_rules_that_branch(engine):
    """y² = |a| + 1 by a: the rule of `implicit` asks whether a slope is 0; y′ = 1 / (2 y)."""
    root = ts.implicit(lambda a: math.sqrt(abs(a) + 1), lambda y, a: y * y - abs(a) - 1)
    c = ts.compile(lambda x, y: root(y) * x, engine=engine)
    point, along, y = (3.0, 0.25), (2.0, -1.0), math.sqrt(1.25)
    for _ in range(3):
        assert c.jvp(point, along) == pytest.approx((3 * y, 2 * y - 1.5 / y), rel=1e-14)
        assert c.hvp(point, along) == pytest.approx((-0.5 / y, 1 / y + 0.75 / y**3), rel=1e-14)
