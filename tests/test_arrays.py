"""NumPy arrays in the eager modes: array in, array of the same shape out; SciPy as it is typed."""

import ast
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from scipy.integrate import solve_ivp
from scipy.optimize import curve_fit, least_squares, minimize, root, rosen, rosen_der, rosen_hess

from tinygrad_scalar import (
    Value,
    checkpoint,
    derivative,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    sin,
    taylor,
    value_and_grad,
    vjp,
)
from tinygrad_scalar.compiler import compile
from tinygrad_scalar.testing import check_grad

X0 = np.array([-1.2, 1.0, 0.5])


def kind_of(array):
    assert type(array) is np.ndarray
    return array.dtype, array.shape


# ── SciPy, as typed ───────────────────────────────────────────────────────────────────────────
def test_newton_on_scipys_own_rosen():
    found = minimize(rosen, X0, jac=grad(rosen), hess=hessian(rosen), method="Newton-CG")
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    np.testing.assert_allclose(grad(rosen)(X0), rosen_der(X0), rtol=1e-14)
    np.testing.assert_allclose(hessian(rosen)(X0), rosen_hess(X0), rtol=1e-14)


def test_value_and_gradient_at_once_and_products_with_the_hessian():
    found = minimize(value_and_grad(rosen), X0, jac=True)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    found = minimize(
        rosen, X0, jac=grad(rosen), hessp=lambda x, p: hvp(rosen, (x,), (p,)), method="trust-ncg"
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


def test_the_lines_of_the_readme():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (block,) = [each for each in blocks if "scipy" in each]
    namespace, found = {}, []
    for node in ast.parse(block).body:
        line = ast.unparse(node)
        if isinstance(node, ast.Expr):
            found.append(eval(line, namespace))  # noqa: S307
        else:
            exec(line, namespace)  # noqa: S102
    assert len(found) == 2
    for each in found:
        np.testing.assert_allclose(each.x, 1.0, atol=1e-4)


def equations(x):
    return [x[0] + 0.5 * x[1] - 1, exp(-x[0]) - x[1]]


def test_root_and_least_squares():
    for solve in (root, least_squares):
        found = solve(lambda x: np.array(equations(x)), np.zeros(2), jac=jacobian(equations))
        np.testing.assert_allclose(found.x[0] + 0.5 * math.exp(-found.x[0]), 1.0, rtol=1e-8)


def decay(t, size, rate):
    return size * np.exp(-rate * t)


@pytest.mark.parametrize("column", [np.asarray, pd.Series], ids=["array", "pandas"])
@pytest.mark.parametrize("method", ["lm", "trf"])
def test_curve_fit(column, method):
    t = np.linspace(0.0, 3.0, 20)
    frame = pd.DataFrame({"t": t, "y": decay(t, 2.0, 0.7)})
    found, _ = curve_fit(
        decay,
        column(frame["t"]),
        column(frame["y"]),
        p0=(1.0, 1.0),
        jac=jacobian(decay, argnums=(1, 2)),
        method=method,
    )
    np.testing.assert_allclose(found, [2.0, 0.7], rtol=1e-8)


def test_solve_ivp_with_a_stiff_equation():
    def stiff(t, y):
        return [-1000 * y[0] + y[1], sin(t) - y[1]]

    found = solve_ivp(stiff, (0, 1), np.ones(2), method="Radau", jac=jacobian(stiff, argnums=1))
    # y₁' = sin t − y₁ has the solution (sin t − cos t)/2 + 3/2 e^−t
    exact = (math.sin(1) - math.cos(1)) / 2 + 1.5 * math.exp(-1)
    assert found.success
    assert found.y[1, -1] == pytest.approx(exact, rel=1e-3)


def test_a_whole_number_start_and_bounds():
    found = minimize(
        rosen, np.array([2, 2]), jac=grad(rosen), bounds=[(0, 3)] * 2, method="L-BFGS-B"
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


def test_every_other_caller_of_a_gradient_in_scipy():
    assert scipy.optimize.check_grad(rosen, grad(rosen), X0) < 1e-4
    found = scipy.optimize.root_scalar(
        lambda x: x**3 - 2, x0=1.0, fprime=derivative(lambda x: x**3 - 2), method="newton"
    )
    assert found.root == pytest.approx(2 ** (1 / 3))


# ── shapes and kinds ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 2, 2), (0,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_, object])
def test_shapes_and_types_of_every_mode(shape, dtype):
    x = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    if dtype is object:
        x = np.array([float(each) for each in x.flat], object).reshape(shape)
    out = np.dtype(np.float32 if dtype is np.float32 else np.float64)

    def f(v):
        assert v.shape == shape
        return (v * v * v).sum() * 0.5

    def g(v):
        return np.exp(v * v)

    assert kind_of(grad(f)(x)) == (out, shape)
    assert kind_of(value_and_grad(f)(x)[1]) == (out, shape)
    assert kind_of(hessian(f)(x)) == (out, shape + shape)
    assert kind_of(hvp(f, (x,), (x,))) == (out, shape)
    assert [kind_of(each) for each in jvp(g, (x,), (x,))] == [(out, shape)] * 2
    y, pull = vjp(g, x)
    assert kind_of(y) == kind_of(pull(y)) == (out, shape)
    for mode in ("forward", "reverse", None):
        assert kind_of(jacobian(g, mode=mode)(x)) == (out, shape + shape)
    plain = x.astype(float)
    np.testing.assert_allclose(grad(f)(x), 1.5 * plain**2, rtol=1e-6)
    np.testing.assert_allclose(
        jacobian(g)(x).reshape(x.size, x.size),
        np.diag((2 * plain * np.exp(plain**2)).ravel()),
        rtol=1e-6,
    )


def test_slices_iteration_and_functions_of_numpy():
    def f(v):
        a, *rest = v
        return np.dot(v[1:], v[:-1]) + np.sum(np.sin(v[::2])) + v.mean() + a * sum(rest) + v.max()

    x = np.array([0.5, -1.0, 2.0])
    assert check_grad(f, x).error < 1e-12
    expected = np.array(grad(lambda p: f(np.array(p, dtype=object)))(x.tolist()))
    np.testing.assert_array_equal(grad(f)(x), expected)


def test_structures_with_arrays_in_them():
    params = {"w": np.ones((2, 3)), "b": [1.0, 2.0], "c": 0.5}
    x = np.array([1.0, 2.0, 3.0])

    def f(p, v):
        return sum(np.exp(p["w"] @ v / 10)) + p["b"][0] * p["c"] + (v**2).sum()

    by_params, by_vector = grad(f)(params, x)
    np.testing.assert_allclose(by_params["w"], np.exp(0.6) * np.stack([x, x]) / 10)
    assert by_params["b"] == [0.5, 0.0]
    assert by_params["c"] == 1.0
    assert by_vector.shape == (3,)
    second = hessian(f)(params, x)
    assert second[0]["w"][0]["w"].shape == (2, 3, 2, 3)
    assert second[0]["w"][1].shape == (2, 3, 3)
    assert second[0]["b"][0][0]["c"] == 1.0
    np.testing.assert_allclose(second[1][0]["w"], np.moveaxis(second[0]["w"][1], 2, 0))
    assert check_grad(f, params, x).error < 1e-10


def test_jacobians_are_one_array_where_flat_lists_meet_an_array():
    x = np.array([2.0, 3.0])
    for f in (lambda v: [v[0] * v[1], v[0]], lambda v: (v[0] * v[1], v[0])):
        np.testing.assert_array_equal(jacobian(f)(x), [[3.0, 2.0], [1.0, 0.0]])
    found = jacobian(lambda v: {"a": v[0] * v[1], "b": v * 2})(x)
    assert found["a"].tolist() == [3.0, 2.0]
    assert found["b"].tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert jacobian(lambda a, b: np.array([a, b, a * b]))(2.0, 3.0).tolist() == [
        [1.0, 0.0],
        [0.0, 1.0],
        [3.0, 2.0],
    ]
    rows, columns, values = hessian(lambda v: v[0] * v[1], sparse=True)(x)
    assert (rows, columns, values) == ([0, 1], [1, 0], [1.0, 1.0])


def test_lists_stand_for_arrays_in_directions():
    x = np.array([1.0, 2.0])
    assert jvp(lambda v: v[0] * v[1], (x,), ([1.0, 0.0],)) == (2.0, 2.0)
    _, pull = vjp(lambda v: [v[0], v[1]], x)
    assert pull(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="tangent of argument 0 has another structure"):
        jvp(lambda v: v[0], (x,), (np.ones(3),))


def test_numbers_that_numpy_boxed():
    assert grad(lambda x: np.array(x * x))(3.0) == 6.0
    assert grad(lambda x: np.where(x > 0, x, 0 * x))(np.array(3.0)) == 1.0


def test_nested_modes_and_recomputation():
    def energy(v):
        return np.sum(v**4)

    x = np.array([1.0, 2.0])
    twice = grad(lambda v: np.sum(grad(energy)(v)))(x)
    np.testing.assert_array_equal(twice, 12 * x**2)
    np.testing.assert_array_equal(grad(lambda v: checkpoint(energy, v))(x), 4 * x**3)
    p = Value(2.0)
    gradient = grad(lambda v: np.sum(v * p))(x)
    assert [type(each) for each in gradient] == [Value, Value]
    gradient[0].backward()
    assert p.grad == 1.0


def test_columns_of_pandas_are_arrays():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})

    def f(a, b):
        assert type(a) is type(b) is np.ndarray
        return (a * b).mean()

    by_a, by_b = grad(f)(frame["a"], frame["b"])
    assert by_a.tolist() == [1.5, 2.0]
    assert by_b.tolist() == [0.5, 1.0]
    assert grad(lambda m: m.sum())(frame).shape == (2, 2)


# ── what is refused, what passes through ──────────────────────────────────────────────────────
def test_nan_passes_through():
    x = np.array([math.nan, 2.0])
    value, slope = value_and_grad(lambda v: (v * v).sum())(x)
    assert math.isnan(value)
    assert math.isnan(slope[0])
    assert slope[1] == 4.0


@pytest.mark.parametrize(
    ("hole", "message"),
    [
        (np.array([1.0, None]), r"argument 0: at \[1\]: .* not NoneType: give a number"),
        (np.array([[1.0], ["2"]], object), r"argument 0: at \[1\]\[0\]: .* not str"),
        (np.array([1j]), r"argument 0: at \[0\]: .* not complex: only real numbers"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), r"argument 0: at \[1\]: .* it is masked"),
    ],
    ids=["None", "text", "complex", "masked"],
)
def test_holes_are_named_and_no_gradient_changes(hole, message):
    p = Value(2.0)
    p.grad = 7.0
    for mode, name in ((grad, "grad"), (jacobian, "jacobian"), (hessian, "hessian")):
        with pytest.raises(TypeError, match=f"^{name}: {message}"):
            mode(lambda v: v.sum() * p)(hole)
    with pytest.raises(TypeError, match=r"^jvp: primal 0: at "):
        jvp(lambda v: v.sum() * p, (hole,), (hole,))
    for batch in (True, False):
        f = compile(lambda v: v * p if batch else v.sum() * p, batch=batch)  # noqa: B023
        with pytest.raises(TypeError, match=r"argument 0.* (not|is None|is an array of) "):
            f.backward(hole)
    assert p.grad == 7.0


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", [np.matrix, np.ma.array], ids=["matrix", "nothing masked"])
def test_arrays_of_another_class_are_read_as_plain_ones(kind):
    array = kind([[1.0, 2.0]])

    def f(x):
        return (x * x).sum() if hasattr(x, "sum") else x[0] * x[0] + x[1] * x[1]

    for mode in (grad, lambda f: compile(f).grad, lambda f: compile(f, batch=False).grad):
        slope = mode(f)(array)
        assert type(slope) is np.ndarray
        np.testing.assert_array_equal(slope, [[2.0, 4.0]])


@pytest.mark.parametrize("mode", [grad, derivative, lambda f: lambda x: taylor(f, 2)(x)[1]])
def test_an_array_without_axes_is_one_number(mode):
    cube = mode(lambda x: np.tensordot([x, x], [x * x, x * x], 1))  # 2x³
    assert cube(3.0) == 54.0


@pytest.mark.parametrize("f", [lambda v: v * v, lambda v: [v[0]]], ids=["array", "list"])
def test_several_outputs_where_one_is_due(f):
    with pytest.raises(TypeError, match=r"grad: f must return one number, .* use jacobian for"):
        grad(f)(X0)
    with pytest.raises(TypeError, match=r"^hessian: f must return one number, not ") as refused:
        hessian(f)(X0)
    assert "jacobian" not in str(refused.value)


@pytest.mark.parametrize("mode", [grad, hessian, lambda f: compile(f, batch=False).grad])
def test_one_number_in_an_array_is_to_be_taken_out(mode):
    with pytest.raises(TypeError, match="for several outputs, and return the one number that is"):
        mode(lambda x: (x - 1.5) ** 2)(np.zeros(1))  # as SciPy passes a number


# ── pickles ───────────────────────────────────────────────────────────────────────────────────
def cube(x):
    return x * x * x


@grad
def decorated(x):
    return x * x


class Model:
    def loss(self, x):
        return x * x

    slope = grad(loss, argnums=1)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (grad(cube), 12.0),
        (value_and_grad(cube), (8.0, 12.0)),
        (jacobian(cube), 12.0),
        (jacobian(cube, mode="forward"), 12.0),
        (hessian(cube), 12.0),
        (hessian(cube, sparse=True), ([0], [0], [12.0])),
        (grad(grad(cube)), 12.0),
        (derivative(cube, 2), 12.0),
        (taylor(cube, 2), [8.0, 12.0, 12.0]),
        (decorated, 4.0),
    ],
    ids=lambda x: repr(x) if callable(x) else "",
)
def test_what_the_modes_return_is_pickled(made, expected):
    again = pickle.loads(pickle.dumps(made))
    assert again(2.0) == made(2.0) == expected
    assert again.__name__ == made.__name__


def test_a_mode_in_a_class_body_is_a_method():
    assert Model().slope(3.0) == 6.0
    assert pickle.loads(pickle.dumps(decorated)) is decorated
