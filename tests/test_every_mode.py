"""Random programs over kinks, masks, poles and infinite slopes, in every mode, by every policy.

Reverse mode decides; numbers, warnings and errors of all others are its own.
"""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modes_reference import flat
from second_order_reference import exactly, faithful, is_right, run

import tinygrad_scalar as ts
from tinygrad_scalar import UndefinedGradientWarning, Value

POLICIES = ("subgradient", "nan", "warn", "raise")
QUIET = {"warn": "subgradient", "raise": "nan"}  # what arrays take in their place


def handling(a):
    try:
        return 1 / a
    except ZeroDivisionError:
        return 3 * a


def shrinking(a):
    for _ in range(3):
        a = a * a if a < 2 else a / 2
    return a


# Rows of one's own by their rules alone and by a formula, and given derivatives.
own_root = ts.primitive("own_root", math.sqrt, lambda y, a: 0.5 / y, domain=(0, math.inf))
own_abs = ts.primitive("own_abs", abs, lambda y, a: ts.sign(a), kinks=(0.0,))
own_branch = ts.primitive(
    "own_branch", lambda a: a * a if a > 0 else -a, lambda y, a: 2 * a if a > 0 else -1
)
own_larger = ts.primitive(
    "own_larger",
    max,
    lambda y, a, b: ts.where(a > b, 1, 0),
    lambda y, a, b: ts.where(a > b, 0, 1),
)
own_mask = ts.primitive("own_mask", formula=lambda a: ts.where(a > 0, ts.sqrt(ts.abs(a)), 0.0))
own_length = ts.primitive("own_length", formula=lambda a, b: ts.sqrt(a * a + b * b))
inverse = ts.custom(lambda a: 1 / a, lambda y, a: (-y * y,))
quotient = ts.custom(lambda a: a, lambda y, a: (a / a,))  # no derivative at 0
cube_root = ts.implicit(lambda a: math.cbrt(a), lambda y, a: y * y * y - a)
# Rows of one and of two operands: smooth, with kinks, poles, infinite slopes, masks.
ONE = {
    "neg": lambda a: -a,
    "sin": ts.sin,
    "exp": ts.exp,
    "tanh": ts.tanh,
    "square": lambda a: a * a,
    "abs": ts.abs,
    "relu": ts.relu,
    "floor": ts.floor,
    "clip": lambda a: ts.clip(a, -1.0, 1.0),
    "hardtanh": ts.hardtanh,
    "sqrt": ts.sqrt,
    "cbrt": ts.cbrt,
    "acos": ts.acos,
    "log": ts.log,
    "reciprocal": lambda a: 1 / a,
    "half power": lambda a: ts.pow(a, 0.5),
    "power 0": lambda a: ts.pow(a, 0.0),
    "power -2": lambda a: ts.pow(a, -2.0),
    "0 times": lambda a: 0.0 * a,
    "1 minus": lambda a: 1.0 - a,
    "mask": lambda a: ts.where(a > 0, a, 0.0),
    "masked root": lambda a: ts.where(a > 0, ts.sqrt(ts.abs(a)), 0.0),
    "sum": lambda a: ts.sum([a, 2.0, a]),
    "prod": lambda a: ts.prod([a, 0.0, a]),
}
TWO = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": ts.pow,
    "maximum": ts.maximum,
    "minimum": ts.minimum,
    "hypot": ts.hypot,
    "atan2": ts.atan2,
    "copysign": ts.copysign,
    "where": lambda a, b: ts.where(a > b, a, b),
    "step": lambda a, b: (a > b) * b,
    "dot": lambda a, b: ts.dot([a, 0.0, b], [b, a, 1.0]),
    "logsumexp": lambda a, b: ts.logsumexp([a, b]),
}
ROWS = (*ONE, *TWO)  # the library's own
ONE |= {
    "own root": own_root,
    "own abs": own_abs,
    "own branch": own_branch,
    "own mask": own_mask,
    "custom": inverse,
    "custom quotient": quotient,
    "implicit": cube_root,
    "checkpoint": lambda a: ts.checkpoint(lambda v: ts.sqrt(v) * v, a),
    "checkpointed branch": lambda a: ts.checkpoint(lambda v: v * v if v > 0 else -v, a),
    "take": lambda a: ts.take([a, 0.0, ts.exp(a)], ts.where(a > 1, 2, 0)),
    "exception": handling,
    "loop": shrinking,
    "int": lambda a: a * int(a > 0),
    "own of a slope": lambda a: own_branch(ts.grad(lambda v: 3.0 * v)(a)) * a,
    "inner jvp": lambda a: ts.jvp(lambda v: v * ts.sqrt(v * v), (a,), (1.0,))[1],
    "inner grad": lambda a: ts.grad(lambda v: v * ts.abs(v))(a),
    "inner derivative at 0": lambda a: ts.derivative(lambda v: ts.sqrt(v * v) * a)(0.0) + a,
    "inner derivative": lambda a: ts.derivative(lambda v: ts.relu(v) * v)(a),
}
TWO |= {
    "own larger": own_larger,
    "own length": own_length,
    "checkpoint of two": lambda a, b: ts.checkpoint(lambda v, w: ts.sqrt(v) * w, a, b),
    "take of rows": lambda a, b: ts.take([[a, b], [b, a * b]], ts.where(a > b, 0, 1))[1],
    "branch": lambda a, b: a * b if a > b else a - b,
    "index": lambda a, b: (b, a)[a > b],
    "sorted": lambda a, b: sorted([a, b, 0.25])[1],
}
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, -0.25)
# Where some of the factors of a product leave the range of floats, though all together do not.
ENDS = tuple(
    sign * size for size in (5e-324, 1e-310, 2.3e-308, 1e-160, 1e160, 1e300) for sign in (1, -1)
)
# The numbers of modes that multiply in another order are compared to this part of them.
PRECISION = 1e-9


class Program:
    """Instructions (row, operand, operand) over two inputs and all results before."""

    def __init__(self, instructions):
        self.instructions = instructions
        self.steps = []
        for k, (name, *places) in enumerate(self.instructions, start=2):
            a, b = (k - 1 - place % k for place in places)
            self.steps.append((ONE[name], (a,)) if name in ONE else (TWO[name], (a, b)))
        # a Value whatever the program is
        self.steps.append((lambda y, x: y + 0.0 * x, (len(self.steps) + 1, 0)))

    def __call__(self, x, y):
        return run(self.steps, (x, y))[-1]

    def __repr__(self):
        return f"Program({self.instructions!r})"


def programs(names):
    """Programs of up to six operations of these names."""
    places = st.integers(0, 9)
    instructions = st.tuples(st.sampled_from(names), places, places)
    return st.lists(instructions, min_size=1, max_size=6).map(Program)


points = st.sampled_from(NUMBERS)


def outcome(run):
    """The numbers or the error of a mode, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = run()
        except (ArithmeticError, ValueError) as error:
            return (type(error), str(error)), ()
    parts = [y.data if isinstance(y, Value) else y for y in flat(found)]
    numbers = [float(y) for part in parts for y in np.ravel(part)]
    messages = tuple(str(w.message) for w in caught if w.category is UndefinedGradientWarning)
    assert len(messages) == len(caught), caught
    return numbers, messages


def same(a, b):
    """Whether two lists of numbers agree, or two errors."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        return a == b
    return len(a) == len(b) and all(
        (x != x and y != y) or x == y or abs(x - y) <= PRECISION * max(1.0, abs(x), abs(y))
        for x, y in zip(a, b, strict=True)
    )


def agree(one, other):
    """Two modes: the same numbers or kind of error, and a warning of both or of neither."""
    (a, warned), (b, told) = one, other
    if isinstance(a, tuple) and isinstance(b, tuple):
        return a[0] is b[0]
    return same(a, b) and bool(warned) == bool(told)


def eager_modes(f, x, y, u):
    """(what it is compared with, name, outcome) of all that differentiates f(·, y) at x."""
    h = lambda v: f(v, y)  # noqa: E731

    def backward(graph=False):
        leaf = Value(x)
        return h(leaf).backward(inputs=leaf, create_graph=graph, undefined=u)[leaf]

    def checkpointed():
        leaf = Value(x)
        return ts.checkpoint(h, leaf).backward(inputs=leaf, undefined=u)[leaf]

    def sparse():
        return ts.hessian(h, sparse=True, undefined=u)(x)[2] or [0.0]

    first = ts.grad(h, undefined=u)
    second = ts.hessian(h, undefined=u)
    return {
        "first": (
            lambda: first(x),
            {
                "backward": backward,
                "backward, recorded": lambda: backward(graph=True),
                "value_and_grad": lambda: ts.value_and_grad(h, undefined=u)(x)[1],
                "jvp": lambda: ts.jvp(h, (x,), (1.0,), undefined=u)[1],
                "vjp": lambda: ts.vjp(h, x, undefined=u)[1](1.0),
                "jacobian, forward": lambda: ts.jacobian(h, mode="forward", undefined=u)(x),
                "jacobian, reverse": lambda: ts.jacobian(h, mode="reverse", undefined=u)(x),
                "derivative": lambda: ts.derivative(h, undefined=u)(x),
                "taylor": lambda: ts.taylor(h, 1, undefined=u)(x)[1],
                "checkpoint": checkpointed,
            },
        ),
        "second": (
            lambda: second(x),
            {
                "grad of grad": lambda: ts.grad(first, undefined=u)(x),
                "hessian, sparse": sparse,
                "hvp": lambda: ts.hvp(h, (x,), (1.0,), undefined=u),
                "derivative": lambda: ts.derivative(h, 2, undefined=u)(x),
                "taylor": lambda: ts.taylor(h, 2, undefined=u)(x)[2],
            },
        ),
    }


def methods(f, c, x, y, u):
    """(eager, compiled, compiled on a batch of one) by name, of f at (x, y)."""
    t, s = (2.0, -1.0), (np.array([2.0]), np.array([-1.0]))
    a, b = np.array([x]), np.array([y])
    return {
        "call": (lambda u: f(Value(x), Value(y)), lambda: c(x, y), lambda: c(a, b)),
        "grad": (
            lambda u: ts.grad(f, undefined=u)(x, y),
            lambda: c.grad(x, y),
            lambda: c.grad(a, b),
        ),
        "value_and_grad": (
            lambda u: ts.value_and_grad(f, undefined=u)(x, y),
            lambda: c.value_and_grad(x, y),
            lambda: c.value_and_grad(a, b),
        ),
        "jvp": (
            lambda u: ts.jvp(f, (x, y), t, undefined=u),
            lambda: c.jvp((x, y), t),
            lambda: c.jvp((a, b), s),
        ),
        "hvp": (
            lambda u: ts.hvp(f, (x, y), t, undefined=u),
            lambda: c.hvp((x, y), t),
            lambda: c.hvp((a, b), s),
        ),
        "jacobian": (
            lambda u: ts.jacobian(f, undefined=u)(x, y),
            lambda: c.jacobian(x, y),
            lambda: c.jacobian(a, b)[0],
        ),
        "hessian": (
            lambda u: ts.hessian(f, undefined=u)(x, y),
            lambda: c.hessian(x, y),
            lambda: c.hessian(a, b)[0],
        ),
    }


def disagreements(f, x, y, u):
    """Every mode that gives another number, warning or error than it should."""
    found = []
    for order, (reference, others) in eager_modes(f, x, y, u).items():
        expected = outcome(reference)
        for name, mode in others.items():
            got = outcome(mode)
            if not agree(expected, got):
                found.append((f"{order}, {name}", expected, got))
    for engine in ts.engines():
        c = ts.compile(f, engine=engine, undefined=u)
        for name, (eager, compiled, batched) in methods(f, c, x, y, u).items():
            expected = outcome(lambda eager=eager: eager(u))
            for _ in range(3):  # machine code is made at the second call and run at the third
                got = outcome(compiled)
                if not (same(expected[0], got[0]) and expected[1] == got[1]):
                    found.append((f"compiled {name}, {engine}", expected, got))
            quiet = outcome(lambda eager=eager: eager(QUIET.get(u, u)))[0]
            got = outcome(batched)
            if isinstance(quiet, list) and (x != x or y != y):  # documented: NaN may stand there
                quiet = [b if b != b else a for a, b in zip(quiet, got[0], strict=True)]
            if got[1] or (isinstance(quiet, list) and not same(quiet, got[0])):
                found.append((f"batch {name}, {engine}", (quiet, expected[1]), got))
    return found


@pytest.mark.parametrize("undefined", POLICIES)
@settings(max_examples=8, derandomize=True, deadline=None)
@given(f=programs((*ONE, *TWO)), x=points, y=points)
def test_all_modes_and_methods_agree(undefined, f, x, y):
    assert not disagreements(f, x, y, undefined)


# Found by longer runs: a policy of the outer mode inside an inner one, warnings of an inner mode in
# batches, a mask in a formula of one's own, a rule that raises where its operation is not used.
KNOWN = (
    ([("inner derivative", 1, 0)], 0.0, 1.0),
    ([("inner jvp", 0, 0)], 1.0, 0.0),
    ([("inner jvp", 0, 0)], 1.0, -math.inf),
    ([("sqrt", 1, 0), ("own mask", 0, 0)], 0.0, 1.0),
    ([("acos", 1, 0), ("own mask", 0, 0)], math.nan, 1.0),
    ([("custom quotient", 0, 0), ("acos", 2, 0)], 0.5, 0.0),
)


@pytest.mark.parametrize("undefined", POLICIES)
@pytest.mark.parametrize("number", range(len(KNOWN)))
def test_all_modes_and_methods_agree_where_they_once_did_not(undefined, number):
    instructions, x, y = KNOWN[number]
    assert not disagreements(Program(instructions), x, y, undefined)


SLOPES, CURVES = [(0,), (1,)], [(0, 0), (0, 1), (1, 0), (1, 1)]
# The numbers that a mode gives, each a sum of factors times entries of value, gradient or Hessian.
GIVES = {
    "first": [[(1, (0,))]],
    "second": [[(1, (0, 0))]],
    "call": [[(1, ())]],
    "grad": [[(1, place)] for place in SLOPES],
    "value_and_grad": [[(1, place)] for place in [(), *SLOPES]],
    "jvp": [[(1, ())], [(2, (0,)), (-1, (1,))]],
    "hvp": [[(2, (i, 0)), (-1, (i, 1))] for i in (0, 1)],
    "jacobian": [[(1, place)] for place in SLOPES],
    "hessian": [[(1, place)] for place in CURVES],
}


def told(outcome):
    """Whether a mode tells that its numbers may not be right, or are none."""
    numbers, warned = outcome
    return isinstance(numbers, tuple) or bool(warned) or not all(map(math.isfinite, numbers))


def right(outcome, mode, f, point, exact):
    """Whether all numbers of a mode are what mpmath gives."""
    return all(
        is_right(number, places, f.steps, point, exact, PRECISION)
        for number, places in zip(outcome[0], GIVES[mode], strict=True)
    )


@pytest.mark.parametrize("undefined", POLICIES)
@settings(max_examples=6, derandomize=True, deadline=None)
@given(
    f=programs(ROWS),
    x=st.sampled_from(ENDS),
    y=st.sampled_from((*ENDS, *filter(math.isfinite, NUMBERS))),
    turned=st.booleans(),
)
def test_all_modes_and_methods_agree_at_the_ends_of_floats(undefined, f, x, y, turned):
    """Two answers are right where a term leaves the range of floats, and both are taken.

    A mode that multiplies by it first tells of it, or gives an infinity or NaN; one that multiplies
    by the small factors first gives the right number without a word. So modes may differ only if
    each gives what mpmath gives, or tells. Where mpmath's function is another one, because a value
    in floats is 0 or infinite that is not, or has no derivative, one of the two must tell.
    """
    point = (y, x) if turned else (x, y)
    differ = disagreements(f, *point, undefined)
    exact = exactly(f.steps, point) if differ else None
    comparable = exact is not None and faithful(exact, run(f.steps, point))
    for name, *outcomes in differ:
        mode = name.replace(",", "").split()
        mode = mode[mode[0] in ("compiled", "batch")]
        if comparable:
            fine = all(told(each) or right(each, mode, f, point, exact) for each in outcomes)
        else:
            fine = any(map(told, outcomes))
        assert fine, (name, outcomes)


@pytest.mark.parametrize("mode", ["jvp", "hvp"])
def test_a_mode_with_another_policy_is_found(monkeypatch, mode):
    right = getattr(ts, mode)
    f = Program([("sqrt", 1, 0), ("mul", 0, 2)])  # √x · x, which makes 0·∞ at 0
    assert not disagreements(f, 0.0, 1.0, "nan")
    monkeypatch.setattr(ts, mode, lambda *args, undefined: right(*args))
    names = {name for name, *_ in disagreements(f, 0.0, 1.0, "nan")}
    assert names & {f"first, {mode}", f"second, {mode}"}
