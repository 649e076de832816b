"""Derivatives of random compositions of rows, at ordinary points and at the ends of floats.

Never a wrong finite number without a warning, in any mode. What is right is worked out in mpmath's
numbers by the rules of second order (`second_order_reference`). Floats may differ from it by

- a part of the terms that are added up, 1e-10, for terms may cancel;
- what the rounding of the values on the way changes, of which no derivative knows;
- what is lost where a product of factors is below 5e-324, in second derivatives: compiled code does
  not look for it, nor does `hvp` in its forward pass, nor eager mode where a graph of first
  derivatives holds such products. In first derivatives of eager modes nothing is lost.

`COMPOSITIONS=1000 pytest tests/test_compositions.py` takes so many.
"""

import math
import os
import random
import sys
import warnings

import mpmath
import pytest
from second_order_reference import exactly, faithful, is_right, run

import tinygrad_scalar as ts
from tinygrad_scalar.core.primitives import TABLE

COUNT = int(os.environ.get("COMPOSITIONS", "60"))
ENGINES = [engine for engine in ts.engines() if engine != "cuda"]
ONE = [row for row in TABLE.values() if row.arity == 1]
TWO = [row for row in TABLE.values() if row.arity == 2 and not row.whole]
HARD = (
    5e-324, 1e-310, 2.3e-308, 1e-300, 1e-160, 1e-80, 1e-17, 30.0, 38.0, 710.0, 745.0, 1e17, 1e80,
    1e160, 1e300, 1.7e308,
)  # fmt: skip
CONSTANTS = (2.0, -1.0, 0.5, 3.0, -2.5, 1e10, 1e-10)


def composition(chosen):
    """Two to four rows, each mostly of the value before it."""
    steps = []
    for k in range(chosen.randint(2, 4)):
        earlier = chosen.choice((k, chosen.randint(0, k)))
        if chosen.random() < 0.5:
            steps.append((chosen.choice(ONE), (earlier,)))
        else:
            other = chosen.choice((chosen.choice(CONSTANTS), chosen.randint(0, k)))
            steps.append((chosen.choice(TWO), (earlier, other)))
    return steps


def point(chosen):
    """Of any size, and more often than not an ordinary one or an end of the floats."""
    sizes = chosen.choice(HARD), 10.0 ** chosen.uniform(-308, 308), math.exp(chosen.uniform(-3, 3))
    return chosen.choice((1.0, -1.0)) * chosen.choice(sizes)


def outcome(mode):
    """The number, and whether it is told that it may be another: by a warning or an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            number = float(mode())
        except (ArithmeticError, ValueError):
            return math.nan, True
    return number, bool(caught) or not math.isfinite(number)


def second_derivatives(f, x):
    """By mode a call that gives f″(x)."""
    modes = {
        "hessian": lambda: ts.hessian(f)(x),
        "grad of grad": lambda: ts.grad(ts.grad(f))(x),
        "hvp": lambda: ts.hvp(f, (x,), (1.0,)),
        "taylor": lambda: ts.taylor(f, 2)(x)[2],
    }
    for engine in ENGINES:
        compiled = ts.compile(f, engine=engine)
        modes[engine] = lambda compiled=compiled: compiled.hessian(x)[0][0]
    return modes


def slopes(f, x):
    """By mode a call that gives f′(x)."""

    def backward(**options):
        leaf = ts.Value(x)
        f(leaf).backward(**options)
        return leaf.grad

    return {
        "backward": backward,
        "create_graph": lambda: backward(create_graph=True),
        "grad": lambda: ts.grad(f)(x),
        "grad, undefined=warn": lambda: ts.grad(f, undefined="warn")(x),
        "vjp": lambda: ts.vjp(f, x)[1](1.0),
        "jvp": lambda: ts.jvp(f, (x,), (1.0,))[1],
        "derivative": lambda: ts.derivative(f)(x),
    }


def known(steps, x):
    """What is right where floats can tell: no kink, no value that has underflowed; else None."""
    f = lambda x: run(steps, [x])[-1]  # noqa: E731
    try:
        values = run(steps, [x])
        ts.grad(f, undefined="raise")(x)
    except (ArithmeticError, ValueError):
        return None
    exact = exactly(steps, [x])
    if exact is None or not faithful(exact, values):
        return None
    # NaN is 0 · ∞ of a step whose result is not used: nothing is asked there
    finite = abs(exact.right[0, 0]) <= 1.7e308 and mpmath.isfinite(exact.lost[0, 0])
    return exact if finite else None


def check(steps, x, exact):
    """Every mode gives what is right, or tells that it may not."""
    held(second_derivatives, (0, 0), steps, x, exact)


def check_slopes(steps, x, exact):
    """The same for first derivatives, which lack no more than what is below the normal floats."""
    exact.lost = dict.fromkeys(exact.lost, mpmath.mpf(sys.float_info.min))
    if abs(exact.right[0,]) <= sys.float_info.max:
        held(slopes, (0,), steps, x, exact)


def held(modes, place, steps, x, exact):
    for mode, call in modes(lambda x: run(steps, [x])[-1], x).items():
        number, told = outcome(call)
        assert told or is_right(number, [(1, place)], steps, [x], exact, 1e-10), (
            f"{[(row.name, operands) for row, operands in steps]} at {x!r}, {mode}: {number!r}, "
            f"right is {mpmath.nstr(exact.right[place], 17)}"
        )


# Drawn by Python's random: Hypothesis draws by the modules that are loaded, and where terms cancel
# so that no float tells, another draw may ask for more than the reference allows.
@pytest.mark.parametrize("seed", range(COUNT))
def test_no_mode_gives_a_wrong_number_without_a_word(seed):
    chosen, exact = random.Random(seed), None
    while exact is None:
        steps, x = composition(chosen), point(chosen)
        exact = known(steps, x)
    check(steps, x, exact)
    check_slopes(steps, x, exact)


ROWS = str.split("""
    neg square reciprocal sqrt cbrt exp exp2 expm1 log log1p atan asinh tanh sigmoid softplus
    softsign erf erfcx normal_cdf sinc gelu add sub mul div hypot pow atan2 logaddexp mul div mul
""")
FACTORS = (1e150, 1e-150, 1e200, 1e-200, 1e300, 1e-300, 2.0, 0.5, -1.0, 3.0, 1.0)
FAR = (1e150, 1e-150, 3e155, 1e200, 1e-200, 1e300, 1e-300, 30.0, 700.0, 710.0, 745.0)


def far_apart(chosen):
    """Up to six rows with factors of any size, whose products may underflow on the way back."""
    steps = []
    for k in range(chosen.randint(2, 6)):
        row = TABLE[chosen.choice(ROWS)]
        operands = [chosen.choice((k, k, chosen.randint(0, k)))]
        if row.arity == 2:
            other = chosen.choice(FACTORS), chosen.randint(0, k)
            operands.append(chosen.choice(other))
            chosen.shuffle(operands)
        steps.append((row, tuple(operands)))
    return steps


@pytest.mark.parametrize("seed", range(COUNT))
def test_no_mode_gives_a_wrong_slope_where_factors_are_far_apart(seed):
    chosen, exact = random.Random(-1 - seed), None
    while exact is None:
        steps, x = far_apart(chosen), chosen.choice((1.0, -1.0)) * chosen.choice(FAR)
        exact = known(steps, x)
    check_slopes(steps, x, exact)


ROW = {row.name: row for row in (*ONE, *TWO)}
FOUND = {  # what was wrong once
    "a power times a small factor": (
        [("sqrt", (0,)), ("pow", (0, 1)), ("add", (2, 2)), ("mul", (3, 0))],
        3.1423489280607885e-221,
    ),
    "the logarithm of a tail": ([("mul", (0, 2.0)), ("log_normal_cdf", (1,))], -1e153),
    "softplus written out": (
        [("neg", (0,)), ("exp", (1,)), ("add", (2, 1.0)), ("log", (3,))],
        -500.0,
    ),
    "log of Φ": ([("normal_cdf", (0,)), ("log", (1,))], -30.0),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_composition_that_was_wrong_is_right(name):
    steps, x = FOUND[name]
    steps = [(ROW[row], operands) for row, operands in steps]
    check(steps, x, known(steps, x))
