"""Arrays of a device, on the host: which kernels are run for which points, and what comes out."""

import sys

import numpy as np
import pytest
from cuda_on_the_host import COMPILER
from cupy_on_the_host import module

import tinygrad_scalar as tg
from tinygrad_scalar import Value, compile, engines
from tinygrad_scalar.compiler.c import cuda as device

pytestmark = pytest.mark.skipif(not COMPILER, reason="neither g++ nor clang++ is installed")
MEMORY = 64_000  # bytes: fewer than the batches below are reckoned to need
W = [Value(0.5), Value(-0.3)]
TABLE = [Value(0.1 * k) for k in range(10)]
X, Y = np.random.default_rng(0).normal(size=(2, 300))
VECTORS = [[Value(0.1 * i + j), Value(j - 0.3 * i)] for i in range(12) for j in [0.5]]
ROWS, I = np.stack([X, Y, X * Y], 1), np.arange(300.0) % 10  # noqa: E741 (an index)


@pytest.fixture
def cupy(tmp_path, monkeypatch):
    """A device that answers."""
    stand_in = module(tmp_path, MEMORY)
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    device.answers.cache_clear()
    yield stand_in
    monkeypatch.undo()
    device.answers.cache_clear()


def branching(x, y):
    return tg.sin(x) * y * W[0] + (tg.exp(y) if x > 0.2 else y * y * W[1])


def looking_up(x, i):
    return tg.sum(a * a for a in x) * tg.take(TABLE, i)


def embedding(x, i, j):
    """Two rows of one table and a number of another, on two paths."""
    a, b, c = tg.take(VECTORS, i), tg.take(VECTORS, j), tg.take(TABLE, i)
    if x < 0.0:
        return a[0] * W[0] - b[1] * x
    return x * tg.dot(a, b) * c + W[1]


def same(found, expected):
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
        return
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "function", "args"),
    [
        ("value_and_grad", branching, (X, Y)),
        ("jacobian", branching, (X, 0.7)),
        ("value_and_grad", looking_up, (ROWS, I)),
    ],
    ids=["columns", "number", "rows"],
)
def test_arrays_of_the_device_and_of_the_host(mode, function, args, cupy):
    assert "cuda" in engines()
    expected = getattr(compile(function, engine="numpy"), mode)(*args)
    same(getattr(compile(function, engine="cuda"), mode)(*args), expected)  # in pieces
    given = [cupy.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
    found = getattr(compile(function), mode)(*given)
    same(found, expected)
    value = found[0] if mode == "value_and_grad" else found
    assert isinstance(value, cupy.ndarray)


def test_tables_whose_last_entry_is_computed(cupy):
    entries = [Value(float(k)) for k in range(11)]

    def f(x, i):
        return tg.take([*entries, entries[2] * entries[3]], i) * x

    given = [cupy.asarray(x) for x in ([1.0, 2.0, 3.0], [1.0, 11.0, 3.0])]
    same(compile(f).grad(*given)[0], [1.0, 6.0, 3.0])
    assert compile(f).backward(*given) == (1.0 + 12.0 + 9.0) / 3
    assert [leaf.grad for leaf in entries[:5]] == [0.0, 1 / 3, 2.0, 1.0 + 4 / 3, 0.0]


def test_modes_along_tangents_and_no_points_at_all(cupy):
    host, made = compile(branching, engine="numpy"), compile(branching)
    along = Y - 1.0, X + 1.0
    given, tangents = map(cupy.asarray, (X, Y)), map(cupy.asarray, along)
    given, tangents = tuple(given), tuple(tangents)
    same(made.jvp(given, tangents), host.jvp((X, Y), along))
    same(made.hvp(given, tangents), host.hvp((X, Y), along))
    nothing = [x[:0] for x in given]
    same(made.hessian(*nothing), host.hessian(X[:0], Y[:0]))


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (branching, (X, Y)),
        (looking_up, (ROWS, I)),
        (embedding, (X, I, (7 * I) % 12)),
        (embedding, (X, 3.0, I)),
    ],
    ids=["branches", "a number", "rows", "a row for all"],
)
def test_backward_adds_up_on_the_device(function, args, cupy, tmp_path):
    leaves, found = [*W, *TABLE, *(x for row in VECTORS for x in row)], []
    for kind in (np.asarray, cupy.asarray):
        for leaf in leaves:
            leaf.grad = 0.0
        loss = compile(function).backward(*[x if np.isscalar(x) else kind(x) for x in args])
        found.append([loss, *(leaf.grad for leaf in leaves)])
    same(found[1], found[0])
    assert list(tmp_path.glob("*.so"))  # by kernels


def test_gradients_of_tables_that_do_not_fit_are_told_too(cupy):
    many = cupy.asarray(np.ones(10_000))
    leaves = [*W, *TABLE, *(x for row in VECTORS for x in row)]
    before = [leaf.grad for leaf in leaves]
    with pytest.raises(MemoryError, match=r"10,000 points need 640,000 bytes"):
        compile(embedding).backward(many, many, many)
    assert [leaf.grad for leaf in leaves] == before


def test_results_that_do_not_fit_are_told_with_what_fits(cupy):
    f = compile(branching)
    many = cupy.asarray(np.ones(10_000))
    with pytest.raises(MemoryError, match=r"10,000 points need 240,000 bytes .* 2,666 points fit"):
        f.value_and_grad(many, many)
