"""Numbers that are too small for a float on the way back: right, or told of, never just wrong.

What is right is worked out in mpmath's numbers, which have room for every product on the way.
"""

import math
import subprocess
import sys
import threading
import warnings
from fractions import Fraction
from functools import cache

import mpmath
import pytest

import tinygrad_scalar as ts
from tinygrad_scalar import UndefinedGradientError, UndefinedGradientWarning, Value

# ── by name a function that is no function of its underflowing parts, and a point ─────────────
FIRST = {
    "a quotient of a large square": (lambda x: x / (1 + x * x), 1e150),
    "small products made up for": (lambda x: x * 1e200 * 1e200 * 1e-200 * 1e-200, 1e-150),
    "a subnormal product": (lambda x: x * 1e160 * 1e155 * 1e-160 * 1e-155, 1e-10),
    "beyond a larger seed": (
        lambda x: x * 1e200 * 1e200 * 1e200 * 1e-200 * 1e-200 * 1e-200, 1e-300
    ),
    "the arctangent of a power": (lambda x: ts.atan(ts.exp2(x)), 710.0),
    "a large angle": (lambda x: 1e300 * ts.atan(x), 1e200),
    "a reciprocal": (lambda x: ts.cbrt(ts.reciprocal(x)), 1.635050144212258e164),
    "a sum of both": (lambda x: x * 1e-300 + x * 1e200 * 1e200 * 1e-200 * 1e-201 * 1e-300, 1e-99),
    "many operands": (
        lambda x: ts.dot([x, x * 1e200], [0.0, 1e-200]) * 1e-160 + ts.prod([x, 1e-200, 1e200]), 2.0
    ),
}  # fmt: skip
SECOND = {
    "the arctangent of a power": (lambda x: ts.atan(ts.exp2(x)), 710.0),
    "a large angle": (lambda x: 1e300 * ts.atan(x), 1e200),
    "a quotient of a large square": (lambda x: 1e300 * (x / (1 + x * x)), 1e150),
    "a logarithm of a large number": (lambda x: ts.log_sigmoid(-ts.acosh(x * x)), 1e150),
    "a graph beyond a larger seed": (lambda x: ts.asinh(x * 1e300 / 3) * 1e-200 + x, 1224.8),
}


def backward(f, x, **options):
    x = Value(x)
    found = f(x).backward(**options)[x]
    number = found.data if isinstance(found, Value) else found
    assert number == x.grad or number != number != x.grad != x.grad
    return number


def of_inputs(f, x):
    x = Value(x)
    return f(x).backward(inputs=[x])[x]


def twice(f, x):
    """What two sweeps have added up, and a table that is right by itself."""
    x = Value(x)
    y = f(x)
    y.backward()
    y.backward()
    return x.grad / 2


def counted(f, x):
    with ts.counting():
        return ts.grad(f)(x)


def of_two(f, x):
    """Of a sum of two numbers by one argument each."""
    return ts.grad(lambda a, b: f(a) + 0.0 * b)(x, 1.0)[0]


FIRST_ORDER = {
    "backward": backward,
    "backward by inputs": of_inputs,
    "backward twice": twice,
    "create_graph": lambda f, x: backward(f, x, create_graph=True),
    "warn": lambda f, x: backward(f, x, undefined="warn"),
    "nan": lambda f, x: backward(f, x, undefined="nan"),
    "raise": lambda f, x: ts.grad(f, undefined="raise")(x),
    "grad": lambda f, x: ts.grad(f)(x),
    "grad of two": of_two,
    "value_and_grad": lambda f, x: ts.value_and_grad(f)(x)[1],
    "vjp": lambda f, x: ts.vjp(f, x)[1](1.0),
    "vjp of lists": lambda f, x: ts.vjp(lambda v: [f(v[0]), v[0] * 0.0], [x])[1]([1.0, 0.0])[0],
    "jacobian": lambda f, x: ts.jacobian(f, mode="reverse")(x),
    "forward jacobian": lambda f, x: ts.jacobian(lambda v: [f(v)], mode="forward")(x)[0],
    "jvp": lambda f, x: ts.jvp(f, (x,), (1.0,))[1],
    "derivative": lambda f, x: ts.derivative(f)(x),
    "taylor": lambda f, x: ts.taylor(f, 1)(x)[1],
    "counting": counted,
    "checkpoint": lambda f, x: ts.grad(lambda v: ts.checkpoint(f, v))(x),
}
SECOND_ORDER = {
    "hessian": lambda f, x: ts.hessian(f)(x),
    "sparse hessian": lambda f, x: ts.hessian(lambda v: f(v[0]), sparse=True)([x])[2][0],
    "grad of grad": lambda f, x: ts.grad(ts.grad(f))(x),
    "create_graph": lambda f, x: second_of_graph(f, x),
    "derivative": lambda f, x: ts.derivative(f, 2)(x),
    "taylor": lambda f, x: ts.taylor(f, 2)(x)[2],
}


def second_of_graph(f, x):
    x = Value(x)
    slope = f(x).backward(create_graph=True)[x]
    return slope.backward(inputs=[x])[x]


@cache
def exact(f, x, order):
    """The derivative in mpmath's numbers, of 1,000 digits: nothing that f adds up is lost."""
    with mpmath.workdps(1000):
        return float(ts.derivative(f, order)(mpmath.mpf(x)))


def close(number, right):
    return number == pytest.approx(right, rel=1e-9, abs=sys.float_info.min)


FAR = ("beyond a larger seed", "a sum of both")  # too far for numbers that are a graph


@pytest.mark.parametrize("mode", FIRST_ORDER)
@pytest.mark.parametrize("name", FIRST)
def test_a_gradient_is_right_whatever_underflows_on_the_way(name, mode):
    f, x = FIRST[name]
    if mode == "create_graph" and name in FAR:
        with pytest.warns(UndefinedGradientWarning, match="products on the way back that are too"):
            FIRST_ORDER[mode](f, x)
    else:
        assert close(FIRST_ORDER[mode](f, x), exact(f, x, 1))


@pytest.mark.parametrize("mode", SECOND_ORDER)
@pytest.mark.parametrize("name", SECOND)
def test_so_is_a_second_derivative(name, mode):
    f, x = SECOND[name]
    assert close(SECOND_ORDER[mode](f, x), exact(f, x, 2))


@pytest.mark.parametrize("undefined", ["subgradient", "nan", "raise"])
def test_an_infinite_gradient_needs_no_larger_seed(undefined):
    """Of betaln(1, b) = -log b: 1 / b² is beyond all floats, and so is the smaller product here."""
    x, along = (1.0, 5e-324), (0.0, 1e-200)

    def slope(*x):
        return ts.jvp(ts.betaln, x, along, undefined=undefined)[1]

    for second in (
        ts.grad(slope, undefined=undefined)(*x),
        ts.hvp(ts.betaln, x, along, undefined=undefined),
    ):
        assert second == (pytest.approx(-(math.pi**2) / 6 * 1e-200, rel=1e-14, abs=0), math.inf)


def test_the_product_of_constants_is_that_of_fractions():
    factors = (1e200, 1e-200, 1e200, 1e150, 1e-200, 1e-250, 1e-200, 1e200)
    right = math.prod(map(Fraction, factors), start=Fraction(1))
    found = ts.grad(lambda x: math.prod(factors, start=x))(1e-100)
    assert found == pytest.approx(float(right), rel=1e-13)


# ── what is too small in truth is 0 without a word ────────────────────────────────────────────
def attention(x):
    logits = [x, -800.0 * x, -1e9 * x, 0.5]
    weights = [ts.exp(z - ts.logsumexp(logits)) for z in logits]
    return ts.dot(weights, [1.0, 2.0, 3.0, x])


def decaying(x):
    z = x
    for _ in range(1200):
        z = ts.tanh(z * 0.5)
    return z


HARMLESS = {
    "a tail of softmax": (attention, 1.0),
    "cross entropy": (lambda x: ts.cross_entropy([x, -700.0 * x, 0.0], [1.0, 0.0, 0.0]), 1.0),
    "sigmoid on the left": (ts.sigmoid, -800.0),
    "sigmoid on the right": (lambda x: ts.log(ts.sigmoid(x)), 800.0),
    "a density": (lambda x: 1e10 * ts.normal_pdf(x), 45.0),
    "gelu": (ts.gelu, -50.0),
    "erf": (lambda x: 1e6 * ts.erf(x), 30.0),
    "a chain that forgets": (decaying, 0.7),
    "a chain beside something": (lambda x: decaying(x) + 1e-9 * x, 0.7),
    "a product of tails": (lambda x: ts.exp(-x) * ts.exp(-x * x), 25.0),
    "a power": (lambda x: 5e-324**x, 1e300),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_too_small_in_truth_is_not_told_of(name):
    f, x = HARMLESS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in ("backward", "create_graph", "warn", "raise", "nan", "grad", "vjp", "jvp"):
            found = FIRST_ORDER[mode](f, x)
            assert close(found, exact(f, x, 1) if f is not decaying else 0.0), mode
        for mode in ("hessian", "grad of grad"):
            assert math.isfinite(SECOND_ORDER[mode](f, x))


def test_a_whole_graph_of_nothing_is_zero_and_keeps_other_gradients():
    x, w = Value(0.7), Value(2.0)
    table = (decaying(x) + w).backward()
    assert (x.grad, w.grad) == (0.0, 1.0)
    assert table.edges == 2402


# ── a slope that is too small for a float itself ──────────────────────────────────────────────
def lost(x):
    """1e300 · erfcx x, whose value is 5.6e99 at 1e200, and whose slope −5.6e-401 · 1e300."""
    return 1e300 * ts.erfcx(x)


TOLD = r"erfcx\(1e\+200\).* has a slope too small for a float; a gradient of -?0\.0 may be wrong"


@pytest.mark.parametrize("mode", ["backward", "create_graph", "grad", "vjp", "jvp", "derivative"])
def test_a_lost_slope_that_a_large_factor_meets_is_told_of(mode):
    with pytest.warns(UndefinedGradientWarning, match=TOLD):
        FIRST_ORDER[mode](lost, 1e200)


def test_the_policies_hold_for_it_too():
    with pytest.raises(UndefinedGradientError, match=r"erfcx\(1e\+200\) has a slope too small"):
        ts.grad(lost, undefined="raise")(1e200)
    with pytest.warns(UndefinedGradientWarning, match=TOLD):
        ts.grad(lost, undefined="warn")(1e200)
    assert math.isnan(ts.grad(lost, undefined="nan")(1e200))
    assert math.isnan(backward(lambda x: lost(x), 1e200, undefined="nan"))


def test_the_line_of_code_is_named():
    with ts.trace_lines():
        y = lost(Value(1e200))
    with pytest.warns(UndefinedGradientWarning, match=r"made in .*test_underflow\.py, line \d+"):
        y.backward()


def test_without_the_large_factor_it_is_not():
    assert ts.grad(ts.erfcx)(1e200) == 0.0


# ── what stands around it ─────────────────────────────────────────────────────────────────────
def test_a_checkpointed_function_is_run_again_once_only():
    calls = []

    def f(x):
        calls.append(x)
        return x / (1 + x * x)

    x = Value(1e150)
    ts.checkpoint(f, x).backward()
    assert close(x.grad, -1e-300)
    assert len(calls) == 2


def test_a_row_of_ones_own_takes_part():
    own = ts.primitive("own", lambda x: x / (1 + x * x), lambda y, x: -1 / x / x)
    f = lambda x: own(x * 1e10) * 1e-200 * 1e200  # noqa: E731
    assert close(ts.grad(f)(1e140), -1e-290)
    given = ts.custom(lambda x: 2 * x, lambda y, x: 2.0)
    f = lambda x: given(x * 1e200 * 1e200 * 1e-200) * 1e-200  # noqa: E731
    assert close(ts.grad(f)(1e-150), 2.0)


def test_interrupts_leave_all_or_nothing(monkeypatch):
    """At the second sweep, wherever a rule of one's own is asked."""
    calls = []

    def slope(y, x):
        calls.append(x)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1.0

    own = ts.primitive("own", lambda x: x, slope)
    x = Value(1e150)
    v = own(x)
    z = v / (1 + v * v)
    with pytest.raises(KeyboardInterrupt):
        z.backward()
    assert (x.grad, v.grad, z.grad) == (0.0, 0.0, 0.0)
    z.backward()
    assert close(x.grad, -1e-300)
    assert z.grad == 1.0


def test_other_threads_have_flags_of_their_own():
    found = []

    def run():
        found.append([ts.grad(f)(x) for f, x in FIRST.values()])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = [exact(f, x, 1) for f, x in FIRST.values()]
    assert all(close(a, b) for numbers in found for a, b in zip(numbers, right, strict=True))


def test_what_underflowed_before_is_no_reason_to_run_a_function_again():
    """Nor while another thread is in the midst of a forward pass."""
    begun, ended, runs = threading.Event(), threading.Event(), []

    def waiting(x):
        begun.set()
        ended.wait()
        return x * x

    def square(x):
        runs.append(x)
        return x * x

    thread = threading.Thread(target=ts.jvp, args=(waiting, (1.0,), (1.0,)))
    thread.start()
    try:
        begun.wait()
        ts.exp(-740.0)  # too small for all its digits
        assert ts.jvp(square, (3.0,), (1.0,)) == (9.0, 6.0)
        assert ts.jvp(lambda x: ts.jvp(square, (x,), (1.0,))[1] * ts.exp(-740.0), (3.0,), (1.0,))[0]
    finally:
        ended.set()
        thread.join()
    assert len(runs) == 3  # the last one twice, since there something underflowed in it


def test_gradients_need_no_ctypes():
    """Where the C library cannot be asked nothing is looked for, and all else is as ever."""
    program = """
import sys
sys.modules["ctypes"] = None
from tinygrad_scalar import Value, grad, hessian, jvp, taylor
x = Value(3.0)
(x * x / 2).backward()
assert x.grad == 3.0 == grad(lambda x: x * x / 2)(3.0)
assert jvp(lambda x: x * x / 2, (3.0,), (1.0,))[1] == 3.0
assert hessian(lambda x: x * x / 2)(3.0) == 1.0 == taylor(lambda x: x * x / 2, 2)(3.0)[2]
assert grad(lambda x: x * 1e-300 * 1e-300, undefined="raise")(1.0) == 0.0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
