"""Batches spread over executors: the same bits whoever computes them, and clear errors."""

import math
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Threads

import dask.array as dask_array
import numpy as np
import pytest

from tinygrad_scalar import (
    Value,
    compile,
    data,
    log,
    nn,
    optim,
    primitive,
    sin,
    take,
    where,
)
from tinygrad_scalar.workers import perform

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2003, 2)), RNG.normal(size=2003)
X[7, 0] = np.nan
W = [Value(0.3), Value(-0.2)]
own = primitive("own", formula=lambda x: x * x * x)


def branching(x, y):
    """Four paths, and a kind of point that few shards have."""
    h = x[0] * W[0] + x[1] * W[1]
    h = own(h) if h > 0 else -h * W[0]
    return (h - y) ** 2 if x[0] < 2.5 else sin(h)


loss = compile(branching)


def backward(f=loss, **options):
    for leaf in W:
        leaf.grad = 1.0
    mean = f.backward(X[8:], Y[8:], **options)
    return mean, [leaf.grad for leaf in W]


class Backwards(Executor):
    """One worker that does the latest task first, when the first result is asked for."""

    def __init__(self):
        self.tasks = []

    def submit(self, call, /, *args):
        future = Lazy(self)
        self.tasks.append((future, call, pickle.dumps(args)))
        return future


class Counting(Threads):
    blobs = 0

    def submit(self, call, /, *args):
        self.blobs += args[1] is not None
        return super().submit(call, *args)


class Lazy(Future):
    def __init__(self, executor):
        super().__init__()
        self.executor = executor

    def result(self, timeout=None):
        while self.executor.tasks:
            future, call, blob = self.executor.tasks.pop()
            try:
                future.set_result(call(*pickle.loads(blob)))
            except BaseException as error:  # noqa: BLE001 (as executors do)
                future.set_exception(error)
        return super().result(timeout)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


# ── the same numbers ──────────────────────────────────────────────────────────────────────────
def test_the_numbers_depend_on_the_shards_alone(processes):
    whole = backward(compile(branching))
    for shards, given in ((1, 1), (5, 5), (8, None)):
        expected = backward(compile(branching), shards=shards)
        np.testing.assert_allclose(expected[1], whole[1], rtol=1e-12)
        assert expected[0] == pytest.approx(whole[0], rel=1e-12)
        with Threads(3) as threads, ProcessPoolExecutor(1) as one:
            for executor in (threads, one, processes, Backwards()):
                found = backward(compile(branching), shards=given, executor=executor)
                assert found == expected


@pytest.mark.parametrize("engine", ["python", "numpy"])
def test_engines_without_machine_code(engine):
    f = compile(branching, engine=engine)
    assert backward(f, shards=3, executor=Backwards()) == backward(f, shards=3)


@pytest.mark.parametrize("width", [0, 2])
def test_tables_that_an_index_looks_up(processes, width):
    rows = [Value(k / 4) for k in range(24)]
    table = [rows[k : k + 2] for k in range(0, 24, 2)] if width else rows

    def chosen(i, x):
        row = take(table, i)
        row = row[0] * row[1] if width else row
        return (row * x - 1) ** 2 if x > 0 else row

    indices = RNG.integers(0, len(table), len(Y)).astype(float)
    found = []
    for options in ({}, {"shards": 5}, {"shards": 5, "executor": processes}):
        for leaf in rows:
            leaf.grad = 0.0
        mean = compile(chosen).backward(indices, Y, **options)
        found.append((mean, [leaf.grad for leaf in rows]))
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12, atol=1e-15)
    assert found[1] == found[2]


def test_nan_at_a_point_ends_as_it_does_here():
    f = compile(branching)
    with Threads(2) as threads:
        assert np.isnan(f.backward(X, Y, executor=threads))
    for leaf in W:
        leaf.grad = 0.0


SCALE = Value(2.0)


def caught(x):
    """log x, and 3 x where that is undefined."""
    try:
        return log(x) * SCALE
    except ValueError:
        return 3 * x * SCALE


def stricter(x):
    """The same by way of a branch that raises for what is no number."""
    try:
        y = log(x)
    except ValueError:
        return 3 * x * SCALE
    if not y == y:
        raise RuntimeError
    return y * SCALE


def hidden(x):
    """The same where NaN would be chosen away."""
    try:
        y = log(x)
    except ValueError:
        y = 3 * x
    return where(y > -100, y, x) * SCALE


@pytest.mark.parametrize("f", [caught, stricter, hidden])
def test_errors_that_the_function_handles_are_handled_in_shards(processes, f):
    x = np.array([2.0, -1.0, 3.0, 4.0, 5.0, -6.0])
    expected = np.mean([math.log(v) if v > 0 else 3 * v for v in x])
    chunks = dask_array.from_array(x, chunks=2)
    for args, options in (((x,), {"shards": 3, "executor": processes}), ((chunks,), {})):
        SCALE.grad = 0.0
        assert compile(f).backward(*args, **options) == pytest.approx(2 * expected, rel=1e-14)
        assert SCALE.grad == pytest.approx(expected, rel=1e-14)


def test_numbers_of_leaves_are_read_anew_and_the_function_travels_once():
    f = compile(lambda x, y: (x * W[0] - y) ** 2)
    before = W[0].data
    with Counting(1) as executor:
        for number in (1.0, 2.0, 3.0):
            W[0].data, W[0].grad = number, 0.0
            mean = f.backward(X[8:, 0], Y[8:], shards=4, executor=executor)
            error = number * X[8:, 0] - Y[8:]
            assert mean == pytest.approx((error**2).mean())
            assert W[0].grad == pytest.approx((2 * error * X[8:, 0]).mean())
        W[0].data = before
        assert executor.blobs == 1


def test_a_branch_on_a_leaf_is_asked_anew():
    w = Value(1.0)
    f = compile(lambda x: w * x if w > 0 else 5.0 * w)
    x, executor = np.array([1.0, 2.0, 3.0]), Backwards()
    for number, mean, gradient in ((1.0, 2.0, 2.0), (-1.0, -5.0, 5.0), (2.0, 4.0, 2.0)):
        w.data, w.grad = number, 0.0
        assert f.backward(x, shards=2, executor=executor) == mean
        assert w.grad == gradient


def digits(count=200):
    images, labels = data.digits()
    return images[:count], labels[:count]


def own_loss(outputs, target):
    """None of the library's, so that it is not compiled."""
    return nn.cross_entropy(outputs, target)


def trained(loss=nn.cross_entropy, *, dropout=False, steps=12, **options):
    images, labels = digits()
    model = nn.Sequential(nn.MLP(64, [4, 10], seed=0), nn.Dropout(0.3 if dropout else 0.0))
    history = nn.fit(
        model,
        images,
        labels,
        loss=loss,
        optimizer=optim.Adam(model.parameters()),
        steps=steps,
        batch_size=180,  # and then 20: fewer than would fill the shards as before
        seed=1,
        **options,
    )
    return history.loss, [leaf.data for leaf in model.parameters()], history.compiled


@pytest.mark.parametrize(
    ("how", "compiled"),
    [
        ({}, True),
        ({"loss": own_loss, "steps": 2}, False),
        ({"dropout": True, "steps": 2}, False),
    ],
    ids=["compiled", "eager", "dropout"],
)
def test_training_gives_the_same_bits(processes, how, compiled):
    expected = trained(**how, shards=25)
    assert expected[2] == compiled
    with Threads(3) as threads:
        for executor in (threads, processes, Backwards()):
            assert trained(**how, shards=25, executor=executor) == expected
    if "dropout" not in how:
        np.testing.assert_allclose(expected[0], trained(**how)[0], rtol=1e-9)


def test_training_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    how = {"dropout": True, "shards": 3, "executor": Backwards()}
    expected = trained(**how, steps=4)
    trained(**how, steps=2, checkpoint=tmp_path / "run.json")
    assert trained(**how, steps=4, checkpoint=tmp_path / "run.json") == expected


# ── what is refused, and what dies ────────────────────────────────────────────────────────────
def unchanged(kind, message, **options):
    f = compile(lambda x, y: (x[0] * W[0] - y) ** 2)
    for leaf in W:
        leaf.grad = 7.0
    with pytest.raises(kind, match=message):
        f.backward(X[8:18], Y[8:18], **options)
    assert [leaf.grad for leaf in W] == [7.0, 7.0]


def test_bad_arguments():
    unchanged(ValueError, "^backward: 11 shards of 10 points: give at most as many", shards=11)
    unchanged(ValueError, "^backward: shards is at least 1, not 0", shards=0)
    unchanged(TypeError, "^backward: shards is a whole number, not float", shards=2.0)
    unchanged(TypeError, "executor is a concurrent.futures.Executor, not str", executor="x")
    with pytest.raises(ValueError, match=r"executor and shards spread a batch, and the arguments"):
        loss.backward([1.0, 2.0], 3.0, shards=1)
    with Threads(1) as pool, pytest.raises(ValueError, match=r"^backward: the batch is empty"):
        loss.backward(np.empty((0, 2)), np.empty(0), executor=pool)
    with pytest.raises(ValueError, match=r"^fit: 181 shards of 180 points"):
        trained(shards=181)
    images, labels = digits(10)
    model, more = nn.MLP(64, [10], seed=0), Value(1.0)
    sgd = optim.SGD([*model.parameters(), more], lr=0.1)
    with pytest.raises(ValueError, match=r"^fit: with executor= or shards= the optimiser's param"):
        nn.fit(model, images, labels, loss=own_loss, optimizer=sgd, steps=1, shards=2)


def test_an_executor_that_was_shut_down_is_named():
    with Threads(1) as threads:
        pass
    unchanged(BrokenExecutor, "backward: ThreadPoolExecutor died, or was shut", executor=threads)


def dies(outputs, target):
    os._exit(1)


def raises(outputs, target):
    if target == 3:
        raise LookupError("there is no three")
    return nn.cross_entropy(outputs, target)


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        (dies, BrokenExecutor, r"^fit: ProcessPoolExecutor died, .* No gradient was changed"),
        (raises, LookupError, "there is no three"),
    ],
)
def test_a_worker_that_dies_and_an_example_that_raises(loss, kind, message):
    images, labels = digits(20)
    model = nn.MLP(64, [10], seed=0)
    before = [leaf.data for leaf in model.parameters()]
    for leaf in model.parameters():
        leaf.grad = 7.0
    with ProcessPoolExecutor(1) as pool, pytest.raises(kind, match=message):
        nn.fit(
            model,
            images,
            labels,
            loss=loss,
            optimizer=optim.SGD(model.parameters(), lr=0.1),
            steps=1,
            executor=pool,
        )
    assert {leaf.grad for leaf in model.parameters()} == {7.0}
    assert [leaf.data for leaf in model.parameters()] == before


class Bare(Executor):
    """A worker in a Python that has nothing but the standard library."""

    def submit(self, call, /, *args):
        code = (
            "import pickle, sys\n"
            "try:\n"
            "    call, args = pickle.load(sys.stdin.buffer)\n"
            "    answer = True, call(*args)\n"
            "except BaseException as error:\n"
            "    answer = False, error\n"
            "sys.stdout.buffer.write(pickle.dumps(answer))\n"
        )
        future = Future()
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code],
            input=pickle.dumps((call, args)),
            stdout=subprocess.PIPE,
            check=True,
        )
        right, answer = pickle.loads(done.stdout)
        (future.set_result if right else future.set_exception)(answer)
        return future


def test_a_worker_without_the_package_is_named():
    unchanged(
        ModuleNotFoundError,
        "^backward: a worker of Bare has no tinygrad_scalar: install this version there",
        executor=Bare(),
    )


def test_what_cannot_be_sent_is_told_before_anything_is():
    images, labels = digits(20)
    model, lock = nn.MLP(64, [10], seed=0), threading.Lock()

    def locked(outputs, target):
        with lock:
            return nn.cross_entropy(outputs, target)

    with (
        Threads(1) as threads,
        pytest.raises(TypeError, match=r"^fit: the function cannot be"),
    ):
        nn.fit(
            model,
            images,
            labels,
            loss=locked,
            optimizer=optim.SGD(model.parameters(), lr=0.1),
            steps=1,
            executor=threads,
        )


def test_a_worker_remembers_the_latest_works_only():
    with Threads(1) as one:
        for token in "abcdef":
            blob = pickle.dumps((Constant, (token,)))
            assert one.submit(perform, token, blob, pickle.dumps([()])).result()[1] == [token]
        assert one.submit(perform, "f", None, pickle.dumps([(), ()])).result()[1] == ["f", "f"]
        assert one.submit(perform, "a", None, pickle.dumps([()])).result()[1] is None


class Constant:
    def __init__(self, what):
        self.what = what

    def __call__(self):
        return self.what
