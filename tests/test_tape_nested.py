"""`grad` and its family inside a compiled function: written on the tape as what they are."""

import math
import pickle
import warnings

import numpy as np
import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import Value
from tinygrad_scalar.compiler import compile
from tinygrad_scalar.core.tree import leaves

cube = tg.primitive("cube", lambda a: a**3, lambda y, a: 3 * a * a)
product = tg.primitive("product", formula=lambda a, b: a * b)
root = tg.implicit(math.cbrt, lambda y, a: y * y * y - a)
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
    (lambda x: tg.derivative(root, 2)(x), 8.0, -1 / 144, 5 / 3456),
    (lambda x: tg.taylor(root, 3)(x)[3] * x, 8.0, 5 / 432, -25 / 10368),
    (lambda x: tg.grad(lambda a: a * a if a > 0 else -a)(x), -2.0, -1.0, 0.0),
    # constants, as derivatives of what is linear are
    (lambda x: 5.0, 2.0, 5.0, 0.0),
    (tg.derivative(lambda a: 3 * a), 2.0, 3.0, 0.0),
    (lambda x: tg.jvp(lambda a: a, (x,), (2.0,))[1], 3.0, 2.0, 0.0),
    (tg.jacobian(lambda a: 3 * a, mode="forward"), 2.0, 3.0, 0.0),
    (lambda x: tg.hvp(lambda a: 3 * a, (x,), (1.0,)), 2.0, 0.0, 0.0),
    # a row of one's own of a derivative that is the same everywhere
    (lambda x: cube(tg.grad(lambda a: 3 * a)(x)) + x, 2.0, 29.0, 1.0),
    (lambda x: product(tg.hessian(lambda a: a * a)(x), 3.0) * x, 2.0, 12.0, 6.0),
    # 12 x + 8 x²
    (lambda x: sum(tg.hessian(lambda a, b: a**4 * b / x, sparse=True)(x, 1)[2]), 3.0, 108.0, 60.0),
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


# ── methods of a compiled function inside other modes ─────────────────────────────────────────
def polynomial(a, b):
    return a**3 * b**2 + tg.sin(b) * a


def flat(tree):
    return [x for branch in tree for x in flat(branch)] if hasattr(tree, "__iter__") else [tree]


COMPILED = compile(polynomial)
ALONG = compile(polynomial, argnums=1)
METHODS = {
    "grad": (COMPILED.grad, tg.grad(polynomial)),
    "value_and_grad": (COMPILED.value_and_grad, tg.value_and_grad(polynomial)),
    "hessian": (COMPILED.hessian, tg.hessian(polynomial)),
    "jacobian": (COMPILED.jacobian, tg.jacobian(polynomial)),
    "as one point": (
        compile(polynomial, batch=False).hessian,
        tg.hessian(polynomial),
    ),
    "jvp": (
        lambda a, b: COMPILED.jvp((a, b), (b, 1.0)),
        lambda a, b: tg.jvp(polynomial, (a, b), (b, 1.0)),
    ),
    "hvp": (
        lambda a, b: COMPILED.hvp((a, b), (1.0, a)),
        lambda a, b: tg.hvp(polynomial, (a, b), (1.0, a)),
    ),
    "grad argnums": (ALONG.grad, tg.grad(polynomial, 1)),
    "hessian argnums": (ALONG.hessian, tg.hessian(polynomial, 1)),
    "jvp argnums": (
        lambda a, b: ALONG.jvp((a, b), (2.0, 1.0)),
        lambda a, b: tg.jvp(polynomial, (a, b), (2.0, 1.0)),
    ),
    "hvp argnums": (
        lambda a, b: ALONG.hvp((a, b), (2.0,)),
        lambda a, b: tg.hvp(lambda b: polynomial(a, b), (b,), (2.0,)),
    ),
}
OUTER = {
    "grad": lambda f: tg.grad(f)(2.0, 3.0),
    "jvp": lambda f: tg.jvp(f, (2.0, 3.0), (1.0, -1.0)),
    "hessian": lambda f: tg.hessian(f)(2.0, 3.0),
    "taylor": lambda f: tg.taylor(lambda x: f(x, 3.0), 3)(2.0),
    "compile": lambda f: compile(f).hessian(2.0, 3.0),
    "backward": lambda f: f(x := Value(2.0), Value(3.0)).backward()[x],
}


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_a_compiled_function_inside_another_mode(method, outer):
    compiled, plain = METHODS[method]
    found, right = (OUTER[outer](lambda a, b, f=f: sum(flat(f(a, b)))) for f in (compiled, plain))
    assert flat(found) == pytest.approx(flat(right), rel=1e-13)


def test_a_whole_number_outside_argnums_stays_one_inside_another_mode():
    power = compile(lambda x, n: sum(x**k for k in range(n)), argnums=0)
    assert tg.grad(lambda x: power.jvp((x, 4), (1.0, None))[1])(2.0) == 14.0  # 2 + 6x
    assert tg.grad(lambda x: power.grad(x, 4))(2.0) == 14.0


def test_a_loaded_function_takes_no_values_in_any_mode(tmp_path):
    f = compile(lambda x: x * x)
    f(1.0)
    f.save(tmp_path / "f")
    loaded = tg.load_compiled(tmp_path / "f")
    for mode in (loaded, loaded.grad, lambda x: loaded.jvp((x,), (1.0,))):
        with pytest.raises(TypeError, match=r"takes numbers and arrays, .* compile the function"):
            mode(Value(1.0))


def test_derivatives_at_one_argument_are_saved_and_pickled(tmp_path):
    f = compile(lambda x: tg.grad(tg.sin)(x) * tg.grad(lambda a: a**3)(x))
    f(2.0)
    f.save(tmp_path / "f")
    for copy in (tg.load_compiled(tmp_path / "f"), pickle.loads(pickle.dumps(f))):
        assert copy(2.0) == pytest.approx(12 * math.cos(2.0), rel=1e-14)
        assert copy.grad(2.0) == pytest.approx(12 * math.cos(2.0) - 12 * math.sin(2.0), rel=1e-14)


# ── policies of derivatives inside, and what is undefined in them ─────────────────────────────
INSIDE = {
    "grad": lambda g, x, undefined: tg.grad(g, undefined=undefined)(x),
    "value_and_grad": lambda g, x, undefined: tg.value_and_grad(g, undefined=undefined)(x)[1],
    "vjp": lambda g, x, undefined: tg.vjp(g, x, undefined=undefined)[1](1.0),
    "jvp": lambda g, x, undefined: tg.jvp(g, (x,), (1.0,), undefined=undefined)[1],
    "jacobian": lambda g, x, undefined: tg.jacobian(g, undefined=undefined)(x),
    "derivative": lambda g, x, undefined: tg.derivative(g, undefined=undefined)(x),
    "taylor": lambda g, x, undefined: tg.taylor(g, 1, undefined=undefined)(x)[1],
    "hvp": lambda g, x, undefined: tg.hvp(lambda y: g(y) * y, (x,), (0.5,), undefined=undefined),
}
AT_ZERO = {"kink": abs, "0·∞": lambda x: tg.sqrt(x) * tg.sqrt(x)}


def told(call):
    """The result, or its error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except tg.UndefinedGradientError as error:
            result = error
        result = result.data if isinstance(result, Value) else result
    return str(result), sorted({str(each.message) for each in caught})


@pytest.mark.parametrize("undefined", ["subgradient", "nan", "warn", "raise"])
@pytest.mark.parametrize("mode", INSIDE)
@pytest.mark.parametrize("name", AT_ZERO)
def test_a_derivative_inside_is_judged_as_uncompiled(name, mode, undefined):
    """Used or not, its policy was not looked at, and nobody was told of a kink."""

    def inside(x):
        return INSIDE[mode](AT_ZERO[name], x, undefined)

    def beside(x):  # at a number that nothing is traced from
        return inside(0.0) * x + x * x

    for f in (lambda x: inside(x) + x * x, lambda x: (inside(x), x * x)[1], beside):
        c = compile(f)
        for _ in range(3):  # later calls may go by another way
            assert told(lambda f=f: f(Value(0.0))) == told(lambda c=c: c(0.0))
            assert told(lambda f=f: tg.grad(f)(0.0)) == told(lambda c=c: c.grad(0.0))
    c = compile(lambda x: inside(x) + x * x)
    expected = told(lambda: c(0.0))[0]
    found = str(c(np.array([0.0, 4.0]))[0])  # nobody is warned there, and nothing is raised
    assert found == (expected if undefined != "raise" else "nan")


def test_a_policy_inside_goes_nowhere_without_the_function(tmp_path):
    c = compile(lambda x: tg.grad(abs, undefined="nan")(x) * x)
    assert c(2.0) == 2.0
    for write in (lambda: c.save(tmp_path / "f.json"), lambda: c.to_c(tmp_path / "f")):
        with pytest.raises(tg.TraceError, match="has a policy"):
            write()


ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])


def squared(w, x, y):
    """The square of what a line misses; `x + x` of a list has the numbers twice."""
    return (tg.dot(w + w, x + x) / 2 - y) ** 2


@pytest.mark.parametrize("mode", [tg.grad, lambda f: compile(f).grad])
def test_rows_are_a_batch_among_values_as_they_are_by_themselves(mode):
    f, w = compile(squared), [0.5, 0.25]
    slopes = f.grad(w, ROWS, ROWS[:, 0])[0]
    found = mode(lambda w: np.mean(f(w, ROWS, ROWS[:, 0])))(w)
    np.testing.assert_allclose(found, np.mean(slopes, axis=1))
    assert tg.value_and_grad(lambda w: np.sum(f(w, ROWS, 1.0)))(w)[0] == np.sum(f(w, ROWS, 1.0))
    with pytest.raises(ValueError, match="a batch of 2 points, one before it of 3; the first axes"):
        tg.grad(lambda w: np.sum(f(w, ROWS, ROWS[0])))(w)
    with pytest.raises(ValueError, match="a batch of 3 points, one before it of 0; the first axes"):
        tg.grad(lambda w: np.sum(f(w, ROWS[:0], ROWS[:, 0])))(w)


@pytest.mark.parametrize("mode", [tg.grad, lambda f: compile(f).grad])
def test_numbers_in_an_array_are_a_batch_among_values(mode):
    f, x = compile(lambda k, x: tg.exp(-k * x) if x > 1 else k), np.array([1.0, 2.0])
    assert mode(lambda k: np.sum(f(k, x)))(1.0) == pytest.approx(np.sum(f.grad(1.0, x)[0]))


@pytest.mark.parametrize("method", ["grad", "value_and_grad", "hessian", "jacobian"])
def test_derivatives_of_rows_have_the_same_shapes_among_values(method):
    f, point = compile(squared), ([0.5, 0.25], ROWS, ROWS[:, 0])
    expected = leaves(getattr(f, method)(*point))
    inside = tg.jvp(
        lambda s: leaves(getattr(f, method)(point[0], ROWS, point[2] * s)), (1.0,), (1.0,)
    )
    np.testing.assert_allclose(inside[0], expected)


@pytest.mark.parametrize("method", ["jvp", "hvp"])
def test_directions_of_rows_are_a_batch_among_values(method):
    f, point = compile(squared), ([0.5, 0.25], ROWS, ROWS[:, 0])
    along = ([1.0, 2.0], ROWS * 0.5, np.ones(3))
    expected = leaves(getattr(f, method)(point, along))
    inside = tg.jvp(
        lambda s: leaves(getattr(f, method)((point[0], ROWS * s, point[2]), along)), (1.0,), (1.0,)
    )
    np.testing.assert_allclose(inside[0], expected)
