"""The CUDA source, run on the host; on a device it is benchmarks/gpu.py that checks it."""

from itertools import pairwise

import numpy as np
import pytest
from cuda_on_the_host import COMPILER, HostKernel

import tinygrad_scalar as tg
from tinygrad_scalar import Value, compile, engines
from tinygrad_scalar.compiler.c.cuda import Column, Layout

pytestmark = pytest.mark.skipif(not COMPILER, reason="neither g++ nor clang++ is installed")


def smooth(x, y):
    return tg.normal_cdf(x) * tg.tanh(y) + tg.log1p(x * x) / (1 + y * y) ** 1.5


@pytest.mark.parametrize(("real", "tolerance"), [("double", 1e-13), ("float", 1e-5)])
def test_value_and_gradient(real, tolerance, tmp_path):
    f = compile(smooth)
    X, Y = np.random.default_rng(0).normal(size=(2, 50))
    value, slopes = f.value_and_grad(X, Y)
    kernel = HostKernel(f._latest.program("value_and_grad"), tmp_path, real=real)
    found, first = kernel([X, Y])
    assert np.max(np.abs(found - np.stack([value, *slopes], 1))) <= tolerance
    assert first == 2**63 - 1  # no point is left


@pytest.mark.parametrize("table", [0, 12])
def test_slopes_along_tangents_of_programs_that_fetch_tables(table, tmp_path):
    w = [Value(0.1 * k) for k in range(max(table, 1))]

    def f(x, y, i):
        return smooth(x, y) * (tg.take(w, i) if table else w[0] + i)

    made = compile(f, argnums=(0, 1))
    X, Y, I = np.random.default_rng(0).normal(size=(3, 20))  # noqa: E741 (an index)
    I = np.arange(20.0) % 5  # noqa: E741
    along = X + 1.0, Y - 2.0, 0.0 * I
    made(X, Y, I)
    path = made._latest
    places = {id(leaf): k for k, leaf in enumerate(path.all_leaves())}
    for mode, expected in (
        ("jvp", made.jvp((X, Y, I), along)),
        ("hvp", made.hvp((X, Y, I), along[:2])),
    ):
        tangents = along if mode == "jvp" else along[:2]
        program = path.program_in_memory(mode, places)
        assert program.inputs == 3 + len(tangents)
        found, _ = HostKernel(program, tmp_path)(
            [X, Y, I, *tangents], [leaf.data for leaf in path.all_leaves()]
        )
        assert found == pytest.approx(np.stack(expected, 1), rel=1e-12, abs=1e-12)


def test_rows_side_by_side_and_a_number_for_all(tmp_path):
    f = compile(lambda x, s: tg.logsumexp(x) * s + x[0] * x[3])
    X = np.random.default_rng(0).normal(size=(30, 4))
    value, (rows, slope) = f.value_and_grad(X, 1.5)
    layout = Layout(
        (*[Column(0, k, 4) for k in range(4)], Column(1, 0, 0)),
        (Column(0, 0, 1), *[Column(1, k, 4) for k in range(4)], Column(2, 0, 1)),
    )
    kernel = HostKernel(f._latest.program("value_and_grad"), tmp_path, layout)
    found, _ = kernel([X, [1.5]])
    expected = np.column_stack([value, rows, slope])
    assert np.max(np.abs(found - expected)) <= 1e-13


def test_a_sparse_jacobian(tmp_path):
    f = compile(lambda x: [a * b for a, b in pairwise(x)])
    X = np.random.default_rng(0).normal(size=(30, 20))
    expected = f.jacobian(X).reshape(30, -1)
    apart = HostKernel(f._latest.program("jacobian"), tmp_path)
    found, _ = apart(list(X.T))
    assert np.array_equal(found, expected)
    layout = Layout(
        tuple(Column(0, k, 20) for k in range(20)), tuple(Column(0, k, 380) for k in range(380))
    )
    found, _ = HostKernel(f._latest.program("jacobian"), tmp_path, layout)([X])
    assert np.array_equal(found, expected)


def test_points_off_the_path_are_left(tmp_path):
    f = compile(lambda x: tg.exp(x) if x > 0 else x * x)
    f(1.0)
    kernel = HostKernel(f._latest.program("value_and_grad"), tmp_path)
    X, left = np.array([1.0, -2.0, 3.0, -4.0]), np.ones(4, np.uint8)
    found, first = kernel([X], left=left)
    assert first == 1
    assert list(left) == [0, 1, 0, 1]
    assert np.isnan(found[[1, 3]]).all()
    assert np.allclose(found[[0, 2], 0], np.exp([1.0, 3.0]), rtol=1e-15)
    kernel([X], left=left, point=[-2.0])  # a point where the path was traced is on it
    assert list(left) == [0, 0, 0, 1]


def test_sums_of_gradients_by_loops(tmp_path):
    w = [Value(0.05 * k - 1) for k in range(40)]

    def loss(x, y):
        total = 0.0
        for a, b in zip(w[::2], w[1::2], strict=True):
            total = total + tg.relu(a * x + b) * b
        return (total - y) * (total - y) if x > -1.0 else x * w[0]

    f = compile(loss)
    X, Y = np.random.default_rng(0).normal(size=(2, 100))
    X = np.maximum(X, -0.9)
    mean = f.backward(X, Y)
    kernel = HostKernel(f._latest.program("backward"), tmp_path, sums=True)
    found, _ = kernel([X, Y], [leaf.data for leaf in w])
    expected = [mean, *(leaf.grad for leaf in w)]
    assert np.allclose(found / 100, expected, rtol=1e-12, atol=1e-13)


def test_without_a_device_it_is_named():
    if "cuda" in engines():
        pytest.skip("a device answers here")
    with pytest.raises(ImportError, match=r"tinygrad_scalar\[gpu\]"):
        compile(smooth, engine="cuda")
