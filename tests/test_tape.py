"""`compile`: every engine gives what the function gives, on every branch, or says why not."""

import copy
import math
import pickle
import random
import sys
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import Value
from tinygrad_scalar.compiler import TraceError, compile, engines, load_compiled, take
from tinygrad_scalar.core.primitives import TABLE

EVERY = pytest.mark.parametrize("engine", engines())


def close(actual, expected, rtol=1e-13):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-300)


@compile
def module_level(x, y):
    return x * y + tg.sin(x)


# ── the face ──────────────────────────────────────────────────────────────────────────────────
@EVERY
def test_numbers_give_what_grad_and_its_family_give(engine):
    def g(x, y):
        return tg.exp(x * y) + tg.sin(x) / y

    f = compile(g, engine=engine)
    assert f(0.5, 2.0) == pytest.approx(g(0.5, 2.0), rel=1e-15)
    value, gradient = f.value_and_grad(0.5, 2.0)
    close(gradient, tg.grad(g)(0.5, 2.0))
    assert value == f(0.5, 2.0)
    assert f.grad(0.5, 2.0) == gradient
    close(f.hessian(0.5, 2.0), tg.hessian(g)(0.5, 2.0))
    close(f.jvp((0.5, 2.0), (1.0, 3.0)), tg.jvp(g, (0.5, 2.0), (1.0, 3.0)))
    close(f.hvp((0.5, 2.0), (1.0, 3.0)), tg.hvp(g, (0.5, 2.0), (1.0, 3.0)))
    close(f.jacobian(0.5, 2.0), [gradient])
    assert all(type(x) is float for x in (value, *gradient))


@EVERY
def test_batches_agree_with_points_and_have_the_shapes_of_the_arguments(engine):
    f = compile(lambda x, w, c: tg.tanh(x[0] * w[0] + x[1] * w[1]) * c, engine=engine)
    X, w, c = np.random.default_rng(0).normal(size=(11, 2)), [0.5, -0.25], np.linspace(1, 2, 11)
    values, (dx, dw, dc) = f.value_and_grad(X, w, c)
    assert values.shape == (11,)
    assert dx.shape == (11, 2)
    assert [d.shape for d in dw] == [(11,), (11,)]
    assert dc.shape == (11,)
    for k in range(11):
        value, (gx, gw, gc) = f.value_and_grad(X[k].tolist(), w, float(c[k]))
        close([values[k], *dx[k], dw[0][k], dw[1][k], dc[k]], [value, *gx, *gw, gc])
    assert f.hessian(X, w, c).shape == (11, 5, 5)
    assert f.jacobian(X, w, c).shape == (11, 1, 5)
    close(f.hessian(X, w, c)[3], f.hessian(X[3].tolist(), w, float(c[3])), rtol=1e-12)


@EVERY
def test_argnums_structures_and_keywords(engine):
    f = compile(lambda p, n: p["a"] * p["b"][1] ** n, argnums=0, engine=engine)
    assert f.grad({"a": 2.0, "b": (3.0, 4.0)}, 2.0) == {"a": 16.0, "b": (0.0, 16.0)}
    f = compile(lambda x, *, scale: x * x * scale, engine=engine)
    assert f.grad(3.0, scale=2.0) == 12.0
    assert f.grad(3.0, scale=1.0) == 6.0
    f = compile(lambda x, y: {"sum": x + y, "pair": (x, y * y)}, engine=engine)
    assert f(1.0, 2.0) == {"sum": 3.0, "pair": (1.0, 4.0)}
    assert f.jacobian(1.0, 2.0) == [[1.0, 1.0], [1.0, 0.0], [0.0, 4.0]]


@EVERY
def test_integer_strided_and_empty_arrays(engine):
    f = compile(lambda x: x * x * x, engine=engine)
    close(f(np.arange(20)[::3]), np.arange(20)[::3] ** 3.0)
    assert f(np.empty(0)).shape == (0,)
    assert f.grad(np.empty((0, 4))).shape == (0, 4)
    x = np.ones(3)
    assert f(x) is not x
    assert compile(lambda x: x, engine=engine)(x) is not x
    assert not np.shares_memory(compile(lambda x: x * 1, engine=engine)(x), x)


@EVERY
@pytest.mark.parametrize("kind", [">f8", ">f4", ">i4", ">u2"])
def test_arrays_in_any_order_of_bytes(engine, kind):
    f = compile(lambda x, y: x * x * y, engine=engine)
    x = np.arange(1.0, 7.0)
    given = x.astype(kind)
    value, slopes = f.value_and_grad(given, 3 * given)
    close(value, 3 * x**3)
    close(slopes[0], 6 * x**2)
    assert value.dtype is slopes[1].dtype is np.dtype(float)  # the machine's own order
    close(f.grad(given[::2], 2.0)[0], 4 * x[::2])


@EVERY
@pytest.mark.parametrize("nothing", [[], (), {}])
def test_matrices_of_no_inputs(engine, nothing):
    def g(numbers, x):
        return tg.sum(numbers) + x * x

    rows, alike = (compile(g, argnums=0, engine=engine, batch=batch) for batch in (True, False))
    assert (rows.hessian(nothing, 3.0), rows.jacobian(nothing, 3.0)) == ([], [[]])
    assert alike.hessian(nothing, 3.0) == tg.hessian(g, 0)(nothing, 3.0) == nothing
    assert alike.jacobian(nothing, 3.0) == tg.jacobian(g, 0)(nothing, 3.0) == nothing
    points = np.zeros((5, 0)), np.arange(5.0)
    assert (rows.hessian(*points).shape, rows.jacobian(*points).shape) == ((5, 0, 0), (5, 1, 0))


@EVERY
def test_backward_of_a_batch_of_lists_without_numbers(engine):
    w = Value(2.0)
    f = compile(lambda numbers, x: tg.sum(numbers) + w * w * x, engine=engine)
    for size in (3, 1, 3):
        w.grad = 0.0
        assert f.backward(np.zeros((size, 0)), np.full(size, 5.0)) == 20.0
        assert (f.backward(np.zeros((size, 0)), 5.0), w.grad) == (20.0, 40.0)


@EVERY
def test_arguments_without_numbers_may_give_a_constant(engine):
    f = compile(lambda numbers: tg.prod(numbers), engine=engine)
    assert (f([]), f.grad([]), f.value_and_grad(())) == (1.0, [], (1.0, ()))
    assert (f.hessian([]), f([3.0, 2.0]), f([])) == ([], 6.0, 1.0)
    assert f(np.zeros((2, 0))).tolist() == [1.0, 1.0]
    assert f.grad(np.zeros((2, 0))).shape == (2, 0)


@EVERY
def test_an_empty_batch_has_the_structure_that_was_returned_before(engine):
    f = compile(lambda x: [x, {"a": x * x}], engine=engine)
    assert f(2.0) == [2.0, {"a": 4.0}]
    first, second = f(np.empty(0))
    assert first.shape == second["a"].shape == (0,)


@EVERY
def test_a_list_of_another_length_is_traced_anew(engine):
    f = compile(lambda xs: tg.sum(x * x for x in xs), engine=engine)
    assert f.grad([1.0, 2.0]) == [2.0, 4.0]
    assert f.grad([1.0, 2.0, 3.0]) == [2.0, 4.0, 6.0]
    assert f.grad((1.0, 2.0)) == (2.0, 4.0)


@EVERY
def test_named_tuples_of_one_name_are_told_apart(engine, tmp_path):
    class Pair(NamedTuple):
        a: float
        b: float

    one = Pair

    class Pair(NamedTuple):
        b: float
        a: float

    other = Pair
    f = compile(lambda pair: pair.a - 2 * pair.b, engine=engine)
    for _ in range(3):
        assert f(one(3.0, 1.0)) == 1.0
        assert f(other(3.0, 1.0)) == -5.0
        assert f.grad(other(3.0, 1.0)) == other(a=1.0, b=-2.0)
    with pytest.raises(TypeError, match="different classes and one name"):
        f.save(tmp_path / "pairs")
    f = compile(lambda pair: pair.a - 2 * pair.b, engine=engine)
    f(one(3.0, 1.0))
    f.save(tmp_path / "pairs")
    assert load_compiled(tmp_path / "pairs").grad(one(5.0, 4.0)) == one(1.0, -2.0)


@EVERY
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (Decimal("1.5"), TypeError, "not Decimal"),
        (np.complex128(1 + 1j), TypeError, "not complex128"),
        (np.array([1.0]), TypeError, "argument 0 is a .* with arrays in it"),
        (10**400, OverflowError, "argument 0: 1000.* is too large for a float"),
    ],
)
def test_what_is_no_number_is_refused_wherever_it_stands(engine, x, error, words):
    f = compile(lambda v: v[0] * v[1], engine=engine)
    for structure in ([x, 2.0], (x, 2.0), {0: x, 1: 2.0}):
        for _ in range(3):
            with pytest.raises(error, match=words):
                f(structure)
        f.grad([1.0, 2.0])


@EVERY
def test_float32(engine):
    f = compile(lambda x: tg.exp(x) * x, engine=engine, dtype="float32")
    x = np.linspace(-2, 2, 37)
    assert f(x).dtype == np.float32
    np.testing.assert_allclose(f(x), np.exp(x) * x, rtol=1e-6)
    assert f(1.0) == float(np.float32(math.e))


@EVERY
def test_threads_give_the_same(engine):
    def g(x, y):
        return tg.log(1 + x * x) * tg.where(y > 0, y, x)

    X, Y = np.random.default_rng(1).normal(size=(2, 5000))
    assert np.array_equal(
        compile(g, engine=engine)(X, Y), compile(g, engine=engine, threads=3)(X, Y)
    )


# ── leaves of the closure ─────────────────────────────────────────────────────────────────────
@EVERY
def test_backward_is_the_mean_over_the_batch_and_adds_to_the_leaves(engine):
    w, b = Value(0.7), Value(-0.1)
    double = w * 2.0  # an inner Value: its graph comes along

    def loss(x, y):
        return (tg.tanh(double * x + b) - y) ** 2

    f = compile(loss, engine=engine)
    X, Y = np.random.default_rng(2).normal(size=(2, 13))
    for _ in range(2):
        w.grad, b.grad = 1.0, 0.0
        mean = f.backward(X, Y)
        expected = [Value(w.data), Value(b.data)]
        eager = tg.mean(
            (tg.tanh(expected[0] * 2.0 * x + expected[1]) - y) ** 2
            for x, y in zip(X.tolist(), Y.tolist(), strict=True)
        )
        eager.backward()
        close([mean, w.grad - 1.0, b.grad], [eager.data, *(v.grad for v in expected)], 1e-12)
        w.data, b.data = 0.2, 0.3  # read anew at each call
    w.grad = 0.0
    assert f.backward(0.5, 1.0) == pytest.approx(float(f(0.5, 1.0)))
    assert w.grad != 0.0


@EVERY
def test_guards_on_leaves_are_checked_again(engine):
    w = Value(1.0)
    f = compile(lambda x: x * w if w > 0 else x - w, engine=engine)
    assert f(3.0) == 3.0
    w.data = -2.0
    assert f(3.0) == 5.0
    assert f(np.array([1.0, 2.0])).tolist() == [3.0, 4.0]


@EVERY
def test_an_error_in_backward_leaves_every_gradient(engine):
    w = Value(1.0)
    f = compile(lambda x: tg.log(x) * w, engine=engine)
    with pytest.raises(ValueError, match=r"log\(-1.0\)"):
        f.backward(-1.0)
    with pytest.raises(ValueError, match="batch is empty"):
        f.backward(np.empty(0))
    assert w.grad == 0.0


# ── branches ──────────────────────────────────────────────────────────────────────────────────
@EVERY
def test_every_point_of_a_batch_takes_its_own_branch(engine):
    def g(x, y):
        if x > y:
            return x * y
        steps = 0
        while x < 1 and steps < 5:
            x, steps = x * 2 + 0.5, steps + 1
        return min(x, y) * x

    X, Y = np.random.default_rng(3).uniform(-1, 1, size=(2, 200))
    f = compile(g, engine=engine)
    values, (dx, dy) = f.value_and_grad(X, Y)
    for k in range(200):
        value, gradient = tg.value_and_grad(g)(float(X[k]), float(Y[k]))
        close([values[k], dx[k], dy[k]], [value, *gradient])
        close(f(float(X[k]), float(Y[k])), value)


@EVERY
def test_newton_converges_at_every_point(engine):
    @compile(engine=engine)
    def root(a):
        x = a
        while abs(x * x - a) > 1e-12 * a:
            x = (x + a / x) / 2
        return x

    A = np.linspace(0.5, 50, 40)
    close(root(A), np.sqrt(A), 1e-11)
    close(root.grad(A), 0.5 / np.sqrt(A), 1e-6)


@EVERY
def test_backward_adds_up_over_branches(engine):
    w = Value(2.0)
    f = compile(lambda x: w * x if x > 0 else w * w * x, engine=engine)
    X = np.random.default_rng(4).normal(size=50)
    total = f.backward(X)
    close(total, np.where(X > 0, 2 * X, 4 * X).mean(), 1e-12)
    close(w.grad, np.where(X > 0, X, 4 * X).mean(), 1e-12)


@EVERY
def test_where_is_no_branch_and_silences_what_was_not_taken(engine):
    f = compile(
        lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1.0)), 0.0), engine=engine, max_paths=1
    )
    close(f.grad(np.array([4.0, 0.0, -1.0])), [0.25, 0.0, 0.0])
    g = compile(lambda x: tg.where(x > 0, tg.sqrt(x), 0.0 * x + 2), engine=engine, max_paths=1)
    assert g.grad(np.array([0.0, -1.0])).tolist() == [0.0, 0.0]


@EVERY
def test_too_many_paths_propose_where(engine):
    def g(x):
        steps = 0
        while x > 0:
            x, steps = x - 1, steps + 1
        return x * steps

    f = compile(g, engine=engine, max_paths=4)
    with pytest.raises(TraceError, match=r"max_paths=4.*where"):
        f(np.arange(10.0))


def test_a_loop_without_end_is_stopped(monkeypatch):

    from tinygrad_scalar.compiler.ir import tape

    monkeypatch.setattr(tape, "LIMIT", 1000)

    def g(x):
        while x < x + 1:
            x = x * 1.5
        return x

    with pytest.raises(TraceError, match=r"passed .* operations.*where"):
        compile(g)(0.0)


@EVERY
def test_branches_of_different_structure_are_refused(engine):
    f = compile(lambda x: [x, x] if x > 0 else x, engine=engine)
    f(1.0)
    with pytest.raises(TypeError, match="different structures"):
        f(-1.0)


@EVERY
def test_a_branch_may_return_a_plain_number(engine):
    f = compile(lambda x: x * x if x > 0 else 0.0, engine=engine)
    assert f.grad(np.array([2.0, -2.0])).tolist() == [4.0, 0.0]


# ── what would freeze a number ────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "g",
    [
        lambda x: x * x.data,
        math.sin,
        lambda x: x + int(x),
        lambda x: [1.0, 2.0][x],
        lambda x: x * x.grad,
        lambda x: setattr(x, "data", 1.0),
        lambda x: setattr(x, "grad", 1.0),
    ],
)
def test_freezing_a_number_names_detach(g):
    with pytest.raises(TraceError, match="detach"):
        compile(g)(1.0)


@EVERY
def test_detach_stops_the_gradient_but_not_the_value(engine):
    f = compile(lambda x: x * x.detach(), engine=engine)
    assert f.grad(np.array([2.0, 3.0])).tolist() == [2.0, 3.0]
    f = compile(lambda xs: tg.softmax(xs)[0], engine=engine)
    share = 1 / (1 + math.exp(0.1))
    close(f.grad([0.1, 0.2]), [share * (1 - share), -share * (1 - share)])


def test_data_of_a_leaf_is_frozen_and_writing_it_is_an_error():
    w = Value(2.0)
    f = compile(lambda x: x * w.data)
    assert f(3.0) == 6.0
    w.data = 5.0
    assert f(4.0) == 8.0

    def writes(x):
        y = x * w
        w.data = 7.0
        return y

    with pytest.raises(TraceError, match="wrote to the data"):
        compile(writes)(1.0)


@pytest.mark.parametrize("name", ["data", "grad"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_leaf_keeps_its_number_where_a_traced_one_was_written_to_it(name, fails):
    """A step of descent, `w.data = w.data - …`, in the compiled function."""
    w, v = Value(2.0), Value(3.0)

    def step(x):
        y = x * w * v
        for leaf in (w, v):
            setattr(leaf, name, getattr(leaf, name) - 0.1 * x)
        if fails:
            raise LookupError("afterwards")
        return y

    told = LookupError if fails else TraceError
    with pytest.raises(told, match="afterwards" if fails else f"wrote to the {name} of"):
        compile(step)(5.0)
    assert (w.data, v.data, w.grad, v.grad) == (2.0, 3.0, 0.0, 0.0)
    assert compile(lambda x: x * w * v)(5.0) == 30.0


def test_a_gradient_that_stood_in_a_leaf_before_is_kept_whatever_it_is():
    """Also a Value, of a table with `create_graph`: the function did not write that."""
    w, v = Value(2.0), Value(3.0)
    kept = w.grad, v.grad = Fraction(1, 4), Value(1.5)

    def writes(x):
        y = x * w * v
        w.grad = v.grad = y
        return y

    assert compile(lambda x: x * w * v)(5.0) == 30.0
    with pytest.raises(TraceError, match="wrote to the grad of"):
        compile(writes)(5.0)
    assert (w.grad, v.grad) == kept
    assert v.grad is kept[1]


@EVERY
@pytest.mark.parametrize("data", [None, "one", Value(1.0)], ids=["None", "text", "Value"])
@pytest.mark.parametrize("called", [0, 3])
def test_data_that_are_no_number_are_told_of(engine, data, called):
    w = Value(2.0)
    f = compile(lambda x: x * w, engine=engine)
    points = np.array([1.0, 2.0])
    for _ in range(called):
        assert (f(3.0), *f(points)) == (6.0, 2.0, 4.0)
        f.backward(3.0)
    w.data = data
    for ask in (f, f.grad, f.backward):
        for x in (3.0, points):
            with pytest.raises(TypeError, match="the data of an operand is of type"):
                ask(x)
    w.data = 5.0
    assert (f(3.0), *f(points)) == (15.0, 5.0, 10.0)


# ── take ──────────────────────────────────────────────────────────────────────────────────────
@EVERY
def test_take_indexes_by_a_traced_number(engine):
    table = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)], [Value(5.0), Value(6.0)]]
    f = compile(lambda i: take(table, i)[0] * take(table, i)[1], engine=engine)
    assert f(np.array([0, 2, 2, 1])).tolist() == [2.0, 30.0, 30.0, 12.0]
    f.backward(np.array([0, 2, 2, 1]))
    assert [[v.grad for v in row] for row in table] == [[0.5, 0.25], [1.0, 0.75], [3.0, 2.5]]
    for index, error in (
        (3, IndexError),
        (-1, IndexError),
        (0.5, ValueError),
        (math.nan, ValueError),
    ):
        with pytest.raises(error, match="take: index"):
            f(np.array([0.0, index]))
        with pytest.raises(error, match="take: index"):
            f(float(index))


def test_take_works_uncompiled():
    xs = [Value(1.0), Value(2.0)]
    assert take(xs, 1) is xs[1]
    assert take(xs, Value(1.0)) is xs[1]
    for index, error in ((2, IndexError), (-1, IndexError), (0.5, ValueError)):
        with pytest.raises(error, match="give 0 to 1"):
            take(xs, index)


# ── errors are those of the function itself ───────────────────────────────────────────────────
@EVERY
@pytest.mark.parametrize(
    ("g", "x"),
    [
        (tg.log, -1.0),
        (lambda x: 1 / x, 0.0),
        (tg.exp, 1000.0),
        (lambda x: x**0.5, -1.0),
        (lambda x: x**2.0, 1e200),
        (lambda x: tg.where(x > 0, x, tg.log(x)) * 0.0 + 1, 0.0),
        (lambda x: (tg.log(x), x * 2.0)[1], -1.0),  # needed or not
        (lambda x: x % 0.0, 1.0),
        (lambda x: tg.clip(x, 2.0, 1.0), 1.0),
        (tg.gamma, -1.0),
    ],
)
def test_numbers_raise_what_the_function_raises_and_arrays_never(engine, g, x):
    with pytest.raises((ArithmeticError, ValueError)) as expected:  # noqa: PT012
        y = g(Value(x))
        assert y is None
    f = compile(g, engine=engine)
    with pytest.raises(type(expected.value)) as raised:
        f(x)
    assert str(raised.value) == str(expected.value)
    assert f(np.array([x, x])).shape == (2,)


@EVERY
def test_undefined_gradients_of_numbers_are_those_of_eager(engine):
    f = compile(tg.hypot, engine=engine)
    assert f.grad(0.0, 0.0) == (0.0, 0.0)
    assert compile(tg.sqrt, engine=engine).grad(0.0) == math.inf
    assert compile(lambda x: tg.maximum(x, 2.0), engine=engine).grad(2.0) == 0.5


@EVERY
def test_a_bad_point_spoils_no_other(engine):
    f = compile(lambda x: tg.log(x) + 1 / x, engine=engine)
    x = np.array([1.0, 0.0, -1.0, math.nan, 2.0, math.inf])
    with np.errstate(all="raise"):
        y = f(x)
    assert y[0] == 1.0
    assert np.isnan(y[1:4]).all()
    close(y[4], math.log(2) + 0.5)
    assert y[5] == math.inf


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ((np.ones(3), np.ones(4)), ValueError, "3 points|4 points"),
        ((np.array([1, "a"], dtype=object), 1.0), TypeError, "real numbers"),
        ((np.array(["a"]), 1.0), TypeError, "real numbers"),
        (("1", 1.0), TypeError, "not str"),
        ((None, 1.0), TypeError, "not NoneType"),
        (([np.ones(2)], 1.0), TypeError, "arrays in it"),
        ((np.ones((2, 2, 2)), 1.0), ValueError, "3 axes"),
        ((1j, 1.0), TypeError, "not complex"),
        ((1.0,), TypeError, "argument"),
        ((1.0, 2.0, 3.0), TypeError, "argument"),
    ],
)
def test_bad_arguments(args, error, words):
    with pytest.raises(error, match=words):
        compile(lambda x, y: x * y)(*args)


@pytest.mark.parametrize("g", [lambda x: None, lambda x: "y", lambda x: [x, None]])
def test_functions_that_return_no_numbers_are_refused(g):
    with pytest.raises(TypeError, match="compile: the function returned"):
        compile(g)(1.0)


def test_bad_settings():
    with pytest.raises(TypeError, match="give a function"):
        compile(3.0)
    with pytest.raises(ValueError, match="engine is one of"):
        compile(tg.exp, engine="fortran")
    with pytest.raises(ValueError, match="dtype"):
        compile(tg.exp, dtype="float16")
    with pytest.raises(ValueError, match="threads"):
        compile(tg.exp, threads=0)
    with pytest.raises(TypeError, match="one number"):
        compile(lambda x: [x, x]).grad(1.0)


def test_a_missing_engine_names_the_command(monkeypatch):
    from tinygrad_scalar.compiler import backends as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "_told", [])
    assert engines() == ["python"]
    with pytest.raises(ImportError, match=r'pip install "tinygrad_scalar\[fast\]"'):
        compile(tg.exp, engine="llvm")
    with pytest.warns(tg.NoMachineCodeWarning, match=r"tinygrad_scalar\[fast\]"):
        assert compile(tg.exp).engine == "python"


@pytest.mark.parametrize(("engine", "extra"), [("llvm", "fast"), ("cuda", "gpu")])
def test_a_file_that_names_an_engine_that_is_missing_says_what_helps(
    engine, extra, monkeypatch, tmp_path
):
    find = "tinygrad_scalar.compiler.backends.find_spec"
    answers = "tinygrad_scalar.compiler.c.cuda.answers"
    monkeypatch.setattr(answers, lambda: True)
    f = compile(lambda x: x * x, engine=engine)
    f(3.0)
    f.save(tmp_path / "f.json")
    monkeypatch.setattr(answers, lambda: False)
    monkeypatch.setattr(find, lambda name: None)
    with pytest.raises(ImportError, match="names an engine") as error:
        load_compiled(tmp_path / "f.json")
    for part in (str(tmp_path), f"'{engine}'", f"tinygrad_scalar[{extra}]", "without engine="):
        assert part in str(error.value)


# ── files ─────────────────────────────────────────────────────────────────────────────────────
def test_pickles_by_name_or_by_tape():
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    w = Value(3.0)
    f = compile(lambda x: x * w if x > 0 else -x)
    with pytest.raises(TypeError, match="call it once"):
        pickle.dumps(f)
    f(np.array([1.0, -1.0]))
    twin, leaf = pickle.loads(pickle.dumps((f, w)))
    assert twin(np.array([2.0, -2.0])).tolist() == [6.0, 2.0]
    leaf.data = 10.0  # shared with the twin's tape
    assert twin(2.0) == 20.0


def test_save_and_load(tmp_path):
    w, path = Value(3.0), tmp_path / "f.json"
    f = compile(lambda x, y: [x * w + y, tg.exp(-y)])
    with pytest.raises(TraceError, match="call it once"):
        f.save(path)
    f(1.0, 2.0)
    f.save(path)
    assert list(tmp_path.iterdir()) == [path]
    g = load_compiled(path)
    assert g(2.0, 0.5) == f(2.0, 0.5)
    assert g.jacobian(2.0, 0.5) == f.jacobian(2.0, 0.5)
    with pytest.raises(TraceError, match="without its source"):
        g([1.0], 2.0)
    text = path.read_text()
    for broken in ("", text[:-9], text.replace("mul", "add"), "[]", "{}"):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"f\.json"):
            load_compiled(path)
    with pytest.raises(FileNotFoundError):
        load_compiled(tmp_path / "none.json")


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_a_loaded_function_pickles_with_its_traces(tmp_path, dumps):
    f = compile(lambda x: x * x if x > 0 else -x)
    f(3.0), f(-3.0)
    f.save(tmp_path / "f.json")
    twin = pickle.loads(dumps(load_compiled(tmp_path / "f.json")))
    assert (twin(3.0), twin.grad(3.0), twin(-3.0), twin.grad(-3.0)) == (9.0, 6.0, 3.0, -1.0)
    assert pickle.loads(dumps(twin))(3.0) == 9.0


def test_source_and_tape_show_what_was_made():
    f = compile(lambda x: tg.exp(x) * x)
    with pytest.raises(TraceError, match="call it once"):
        f.source
    f(1.0)
    assert "exp(" in f.source
    assert list(f.tape)[1][0] == "exp"
    assert len(f.tape) == 3


def test_the_tape_tells_which_way_a_branch_went():
    f = compile(lambda x: x * x if x > 1.0 else -x)
    for point, guard in ((2.0, "holds"), (0.5, "fails")):
        f(point)
        (condition,) = (k for k, (name, _) in enumerate(f.tape) if name == "gt")
        assert (guard, (condition,)) in list(f.tape)
        assert f"{guard}(u{condition + 1})" in str(f.tape)


def test_values_and_other_traces_go_through_uncompiled():
    f = compile(lambda x: x * x)
    x = Value(3.0)
    y = f(x)
    y.backward()
    assert x.grad == 6.0
    assert compile(lambda x: f(x) + x).grad(3.0) == 7.0
    assert tg.grad(tg.grad(lambda x: f(x) * x))(2.0) == 12.0


# ── all engines agree, over the table and over random programs ────────────────────────────────
def _points(row, count):
    """Points inside the domain, away from the kinks."""
    rng = random.Random(0)
    arity = row.arity or 4
    points = []
    while len(points) < count:
        x = [rng.uniform(-3, 3) for _ in range(arity)]
        for k, domain in enumerate(row.domain[:arity]):
            low, high = max(domain.low, -3.0), min(domain.high, 3.0)
            x[k] = rng.uniform(low + 1e-3, high - 1e-3) if low > -3 or high < 3 else x[k]
        if row.name == "polygamma":
            x = [1.0, abs(x[1]) + 0.1]
        if row.name == "round_to":
            x[1] = 2.0
        if row.name == "clip":
            x[1], x[2] = sorted(x[1:])
        if row.name == "cross_entropy":
            x[2:] = [0.25, 0.75]
        if row.name in ("gamma", "lgamma", "digamma"):
            x = [abs(x[0]) + 0.1]
        if not row.kinks(*x):
            points.append(x)
    return points


@EVERY
@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_agrees_with_eager(engine, name):
    row = TABLE[name]
    points = _points(row, 21)

    def g(xs):
        return row(*xs) * 1.25

    f = compile(g, engine=engine)
    values, gradients = f.value_and_grad(np.array(points))
    for x, value, gradient in zip(points, values, gradients, strict=True):
        leaves = [Value(number) for number in x]
        y = g(leaves)
        table = y.backward(inputs=leaves)
        expected = [table[leaf] for leaf in leaves]
        scale = 1 + max(map(abs, expected))
        kept = 5e-14 if name == "mish" else 2e-14  # the slope of mish has a zero among the points
        close([value, *gradient / scale], [y.data, *(e / scale for e in expected)], kept)
        point_value, point_gradient = f.value_and_grad(x)
        close([point_value, *point_gradient], [y.data, *expected], 1e-13)


OPERATIONS = (
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1),
    lambda a, b: tg.tanh(a), lambda a, b: tg.sigmoid(a), lambda a, b: tg.sin(a),
    lambda a, b: tg.where(a > b, a, b * 0.5), tg.maximum,
    lambda a, b: tg.log1p(a * a), lambda a, b: tg.sqrt(a * a + 1), lambda a, b: tg.softplus(b),
    lambda a, b: (min(b, a)) * 0.9, lambda a, b: tg.atan2(a, b + 3), lambda a, b: -a,
)  # fmt: skip


@EVERY
@given(
    st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=25,
    )
)
def test_random_programs_agree_with_eager(engine, program):
    def g(x, y):
        values = [x, y]
        for operation, i, j in program:
            values.append(operation(values[i % len(values)], values[j % len(values)]))
        return values[-1] + 0 * x

    f = compile(g, engine=engine)
    X, Y = [0.3, -1.2, 0.8], [0.7, 0.4, -0.6]
    values, (dx, dy) = f.value_and_grad(np.array(X), np.array(Y))
    for k in range(3):
        value, gradient = tg.value_and_grad(g)(X[k], Y[k])
        np.testing.assert_allclose(
            [values[k], dx[k], dy[k]], [value, *gradient], rtol=1e-11, atol=1e-12
        )


@EVERY
def test_a_deep_chain_of_a_hundred_thousand_is_no_recursion(engine):
    if engine != "python":
        pytest.skip("the trace and the derivative are the same for every engine")

    def g(x):
        for _ in range(20_000):
            x = x * 0.9999 + 0.0001
        return x

    assert compile(g, engine=engine).grad(1.0) == pytest.approx(0.9999**20_000)


@EVERY
def test_under_no_grad_undefined_products_are_what_they_are_elsewhere(engine):
    def g(x):
        return tg.sqrt(x * x) + 3 * x

    w = Value(0.0)
    f, h = compile(g, engine=engine), compile(lambda x: g(w) * x, engine=engine)
    with tg.no_grad():
        with pytest.warns(tg.UndefinedGradientWarning):
            assert f.value_and_grad(0.0) == (0.0, 3.0)
        with pytest.warns(tg.UndefinedGradientWarning):
            h.backward(2.0)
    assert w.grad == 6.0


@EVERY
def test_own_primitives_compile(engine):
    damped = tg.primitive(
        "damped", lambda x: math.exp(-x) * math.sin(x), lambda y, x: tg.exp(-x) * tg.cos(x) - y
    )
    sincos = tg.primitive(
        "sincos", lambda x: (math.sin(x), math.cos(x)),
        (lambda y, x: y[1],), (lambda y, x: -y[0],),
    )  # fmt: skip

    def g(x):
        s, c = sincos(x)
        return damped(x) * s + c

    f = compile(g, engine=engine)
    X = np.linspace(0.1, 2, 9)
    close(f.grad(X), [tg.grad(g)(x) for x in X.tolist()], 1e-12)
    close(f.grad(0.5), tg.grad(g)(0.5), 1e-12)


@EVERY
def test_an_exception_of_another_kind_in_a_forward_rule_comes_through(engine):
    def forward(x):
        if x > 1:
            raise KeyError("lost")
        return x

    lost = tg.primitive("lost", forward, 1)
    f = compile(lambda x: lost(x) * 2, engine=engine)
    assert f(0.5) == 1.0
    with pytest.raises(KeyError, match="lost"):
        f(2.0)
    with pytest.raises(KeyError, match="lost"):
        f(np.array([0.5, 2.0]))


@EVERY
def test_limits_at_infinity_and_minus_zero_are_kept(engine):
    def g(x):
        return [x * 0.0, x - 0.0, 0.0 + x, x * 1.0, -(-x), x / 1.0, x + 0.0, x**1.0, x**0.0, x - x]  # noqa: B002

    f = compile(g, engine=engine)
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 2.0])
    with np.errstate(invalid="ignore"):
        expected = np.array(g(x))
        actual = np.array(f(x))
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(np.signbit(actual)[:9], np.signbit(expected)[:9])


class Squared:
    def __init__(self, weight):
        self.weight = Value(weight)

    @compile
    def loss(self, x):
        return self.weight * x * x


def test_a_compiled_method_belongs_to_its_instance():
    a, b = Squared(2.0), Squared(3.0)
    assert (a.loss(3.0), b.loss(3.0), a.loss.grad(3.0)) == (18.0, 27.0, 12.0)
    b.loss.backward(np.array([1.0, 2.0]))
    assert (a.weight.grad, b.weight.grad) == (0.0, 2.5)
    assert a.loss is a.loss


class Shifted(Squared):
    @compile
    def loss(self, x):
        return super().loss(x) + 1

    def plain(self, x):
        return self.weight * x

    fast = compile(plain)
    doubled, tripled = compile(lambda self, x: 2 * x), compile(lambda self, x: 3 * x)


class Tenfold(Shifted):
    def plain(self, x):
        return 10 * self.weight * x


def test_compiled_methods_are_those_of_their_class():
    """With super(), under another name, and beside another one of the same name."""
    a = Tenfold(2.0)
    for _ in range(3):
        assert (a.loss(3.0), a.loss.grad(3.0)) == (19.0, 12.0)
        assert (a.fast(3.0), a.plain(3.0)) == (6.0, 60.0)
        assert (a.doubled(3.0), a.tripled(3.0)) == (6.0, 9.0)
    assert a.doubled is a.doubled


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="a classmethod wraps functions only")
def test_a_compiled_function_under_classmethod():
    class Ten:
        factor = 10.0

        @classmethod
        @compile
        def scaled(cls, x):
            return cls.factor * x * x

    class Hundred(Ten):
        factor = 100.0

    assert (Ten.scaled(3.0), Hundred.scaled(3.0), Hundred().scaled(1.0)) == (90.0, 900.0, 100.0)
    assert Hundred.scaled is Hundred.scaled is not Ten.scaled
    assert Hundred.scaled.grad(2.0) == 400.0


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_compiled_method_of_a_copy_is_its_own(copied):
    one = Squared(2.0)
    assert one.loss(3.0) == one.loss(3.0) == 18.0
    other = copied(one)
    other.weight = Value(5.0)
    assert (one.loss(3.0), other.loss(3.0), one.loss.backward(1.0)) == (18.0, 45.0, 2.0)
    assert (one.weight.grad, other.weight.grad) == (1.0, 0.0)


@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_the_function_as_python_copies_functions(copied, called):
    w = Value(3.0)
    f = compile(lambda x: w * x if x > 0 else w * w * x)
    if called:
        assert f(1.0) == 3.0
    twin = copied({"f": f})["f"]
    assert (twin.grad(2.0), twin.grad(-2.0)) == (3.0, 9.0)
    assert (twin.backward(2.0), w.grad) == (6.0, 2.0)


def test_a_deep_copy_has_its_own_of_an_object_that_is_called():
    class Scaled:
        def __init__(self):
            self.weight, self.compiled = Value(2.0), compile(self)

        def __call__(self, x):
            return self.weight * x

    one = Scaled()
    assert one.compiled(1.0) == 2.0
    other = copy.deepcopy(one)
    other.weight.data = 5.0
    assert (one.compiled(1.0), other.compiled(1.0), other.compiled.grad(3.0)) == (2.0, 5.0, 5.0)


@EVERY
def test_no_grad_inside_stops_the_gradient(engine):
    w = Value(5.0)

    def g(x):
        with tg.no_grad():
            y = x * x + w
        return y * x

    f = compile(g, engine=engine)
    assert f.grad(4.0) == 21.0
    assert f(4.0) == 84.0


@EVERY
@pytest.mark.parametrize("mode", ["hvp", "hessian"])
def test_no_grad_around_does_not_stop_what_is_compiled_inside(engine, mode):
    """Rules were written down without their own slopes, and kept so: σ″ was 0 from then on."""
    own = tg.primitive("own", formula=lambda x: tg.exp(-x) * x)  # ″ is (x − 2) e^−x

    def slope(f, x):
        return f.hvp((x,), (1.0,)) if mode == "hvp" else f.hessian(x)[0][0]

    f = compile(own, engine=engine)
    g = compile(lambda x: tg.logsumexp([x, 0.0]), engine=engine)  # ″ is σ (1 − σ)
    with tg.no_grad():
        assert f.grad(0.5) == pytest.approx(0.5 * math.exp(-0.5), rel=1e-14)
        assert g.grad(0.5) == pytest.approx(1 / (1 + math.exp(-0.5)), rel=1e-14)
        inside = slope(f, 0.5), slope(g, 0.5)
    expected = -1.5 * math.exp(-0.5), 0.25 / math.cosh(0.25) ** 2
    assert inside == pytest.approx(expected, rel=1e-13)
    again = [slope(compile(h.function, engine=engine), 0.5) for h in (f, g)]
    assert again == pytest.approx(expected, rel=1e-13)


@EVERY
@pytest.mark.parametrize(
    "inner",
    [
        lambda f, x: tg.grad(f)(x),
        lambda f, x: tg.value_and_grad(f)(x)[1],
        lambda f, x: tg.vjp(f, x)[1](1.0),
        lambda f, x: tg.jacobian(f)(x),
        lambda f, x: tg.hvp(f, (x,), (1.0,)),
        lambda f, x: tg.hessian(f)(x),
    ],
    ids=["grad", "value_and_grad", "vjp", "jacobian", "hvp", "hessian"],
)
def test_a_derivative_taken_inside_under_no_grad_is_constant(engine, inner):
    """As uncompiled: the slopes of 3x²·x and 6x·x at 2 are 12 with the first factor constant."""

    def f(x):
        with tg.no_grad():
            slope = inner(lambda y: tg.prod([y, y]) * y, x)
        return slope * x

    assert tg.grad(f)(2.0) == compile(f, engine=engine).grad(2.0) == 12.0


def test_other_modes_inside_a_compiled_function():
    assert compile(lambda x: tg.jvp(lambda a: a**3, (x,), (1.0,))[1]).grad(4.0) == 24.0
    assert compile(lambda x: tg.checkpoint(lambda a: a * a, x) * 2).grad(3.0) == 12.0
    square = tg.custom(lambda a: a * a, lambda y, a: (2 * a,))
    assert compile(lambda x: square(x) + 1).grad(3.0) == 6.0


def test_formatting_a_traced_value_names_detach():
    with pytest.raises(TraceError, match="detach"):
        compile(lambda x: x * float(f"{x:.2f}"))(1.0)


def test_arrays_of_other_libraries_come_in():
    class Foreign:
        ndim, shape = 1, (3,)

        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0, 3.0], dtype=dtype)

    assert compile(lambda x: x * x)(Foreign()).tolist() == [1.0, 4.0, 9.0]


def test_a_sum_of_many_terms_is_differentiated_in_linear_time():
    f = compile(lambda xs: tg.sum(x * x for x in xs) * tg.prod(xs), engine="python")
    xs = [1.0] * 5000
    assert f.grad(xs)[:2] == [5002.0, 5002.0]


def test_the_picture_of_what_was_traced():
    f = compile(lambda x, y: x * y + tg.exp(x))
    f(1.0, 2.0)
    assert "exp" in f.draw().source


@pytest.mark.parametrize("engine", tg.engines())
def test_own_partials_may_branch_at_every_point_of_a_batch(engine):
    bent = tg.primitive("bent", lambda x: x, lambda y, x: 2.0 if x > 0 else 3.0 * x)
    f = compile(lambda x: bent(x) * x, engine=engine)
    x = np.array([1.0, -1.0, 2.0, -2.0])
    assert f.grad(x).tolist() == [3.0, 2.0, 6.0, 10.0]
    assert [f.grad(float(a)) for a in x] == [3.0, 2.0, 6.0, 10.0]
    assert f(x).tolist() == [1.0, 1.0, 4.0, 4.0]


@pytest.mark.parametrize("engine", tg.engines())
@pytest.mark.parametrize("partial", [lambda w: w, lambda w: w * 1.0, lambda w: w.exp().log()])
def test_a_partial_may_be_a_closed_over_value_alone(engine, partial):
    w = Value(3.0)
    scaled = tg.primitive("scaled", lambda x: w.data * x, lambda y, x: partial(w))
    f = compile(lambda x: scaled(x) * 2, engine=engine)
    assert (f(1.0), f.grad(1.0)) == (6.0, pytest.approx(6.0))
    w.data = 5.0
    assert (f(1.0), f.grad(1.0)) == (10.0, pytest.approx(10.0))


@pytest.mark.parametrize("engine", tg.engines())
def test_own_rows_of_one_name_are_told_apart(engine):
    def both(x):
        add = tg.custom(lambda x: x + 1, lambda y, x: (1.0,))
        scale = tg.custom(lambda x: x * 100, lambda y, x: (100.0,))
        return add(x) * 10 + scale(x)

    f = compile(both, engine=engine)
    assert f(np.array([1.0, 2.0])).tolist() == [120.0, 230.0]
    assert f.grad(np.array([1.0, 2.0])).tolist() == [110.0, 110.0]
    assert f(1.0) == 120.0


def test_a_partial_that_is_replaced_is_seen(monkeypatch):
    twice = tg.primitive("twice", lambda x: 2 * x, lambda y, x: 2.0)
    row = twice(Value(1.0)).primitive
    assert compile(lambda x: twice(x)).grad(1.0) == 2.0
    with monkeypatch.context() as patch:
        patch.setattr(row, "partials", (lambda y, x: 3.0,))
        assert compile(lambda x: twice(x)).grad(1.0) == 3.0
    assert compile(lambda x: twice(x)).grad(1.0) == 2.0


@pytest.mark.parametrize("engine", tg.engines())
def test_a_check_of_constants_is_kept_in_the_derivative(engine):
    f = compile(lambda x: tg.clip(x, 2.0, 1.0), engine=engine)
    for call in (f, f.grad, f.value_and_grad):
        with pytest.raises(ValueError, match="clip"):
            call(0.0)


@EVERY
def test_detached_leaves_of_the_closure_are_read_at_every_call(engine):
    w = Value(2.0)

    def f(x):
        with tg.no_grad():
            square = w * w
        return w.detach() * x + square * w.detach() * x

    compiled = compile(f, engine=engine)
    for data in (2.0, 5.0):
        w.data = data
        assert compiled(3.0) == pytest.approx(3.0 * data + 3.0 * data**3, rel=1e-15)
    compiled.backward(3.0)
    assert w.grad == 0.0


ENDS = [-math.inf, -0.0, 0.0, 5e-324, 1e-300, 1e-160, 0.3, 1e205, 1.7e308, math.inf, math.nan]


@pytest.mark.parametrize("engine", sorted(set(tg.engines()) - {"cuda", "python"}))
@pytest.mark.parametrize("exponent", [-1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0])
def test_powers_by_a_constant_are_those_of_the_c_library_to_the_ends(engine, exponent):
    def right(x):
        try:
            return math.pow(x, exponent)
        except OverflowError:
            return math.inf
        except ValueError:  # a pole
            return math.copysign(math.inf, x) if exponent == -1 else math.inf

    found = compile(lambda x: x**exponent, engine=engine)(np.array(ENDS))
    np.testing.assert_allclose(found, [right(x) for x in ENDS], rtol=5e-16)
