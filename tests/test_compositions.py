"""Second derivatives of random compositions of rows, at ordinary points and at the ends of floats.

Never a wrong finite number without a warning, in any mode. What is right is worked out in mpmath's
numbers by the rules of second order (`second_order_reference`). Floats may differ from it by

- a part of the terms that are added up, 1e-10, for terms may cancel;
- what the rounding of the values on the way changes, of which no derivative knows;
- what is lost where a product of factors is below 5e-324: it is 0 without a word, as everywhere in
  IEEE arithmetic, and nothing tells that 0 from a slope of 0 (a term too *large* is told of).

`COMPOSITIONS=1000 pytest tests/test_compositions.py` takes so many.
"""

import math
import os
import random
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
    for mode, call in second_derivatives(lambda x: run(steps, [x])[-1], x).items():
        number, told = outcome(call)
        assert told or is_right(number, [(1, (0, 0))], steps, [x], exact, 1e-10), (
            f"{[(row.name, operands) for row, operands in steps]} at {x!r}, {mode}: {number!r}, "
            f"right is {mpmath.nstr(exact.right[0, 0], 17)}"
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
