"""Points of a batch where something undefined arises, or a row raises, are as by themselves.

Only nothing is raised and nobody is warned: where the function itself raises, the numbers are those
of IEEE arithmetic.
"""

import math
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from modes_reference import flat
from test_modes_agree import CASES, EVERY, METHODS, MORE, POLICIES, handled

import tinygrad_scalar as ts
from tinygrad_scalar import TraceError, Value

# a compiled function's method on a batch
BATCHED = {
    "call": lambda c, x: c(x),
    "grad": lambda c, x: c.grad(x),
    "value_and_grad": lambda c, x: c.value_and_grad(x),
    "jvp": lambda c, x: c.jvp((x,), (np.full(x.shape, 2.0),)),
    "hvp": lambda c, x: c.hvp((x,), (np.full(x.shape, 2.0),)),
    "jacobian": lambda c, x: c.jacobian(x)[:, 0, 0],
    "hessian": lambda c, x: c.hessian(x)[:, 0, 0],
}
QUIET = {"warn": "subgradient", "raise": "nan"}
ORDINARY = [0.5, 0.75]  # in the open domain of all the functions


def eager(f, method, x, undefined):
    """The numbers of the eager mode, None where it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = METHODS[method][1](f, x, QUIET.get(undefined, undefined))
        except (ArithmeticError, ValueError):
            return None
    return [float(y.data) if isinstance(y, Value) else float(y) for y in flat(found)]


def batched(c, method, points):
    """The numbers of a batch, a list for each point; nobody may be warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = BATCHED[method](c, np.array(points))
    parts = found if isinstance(found, tuple) else (found,)
    return np.array(parts).T.tolist()


@pytest.mark.parametrize(
    ("engine", "undefined"),  # a quiet policy is as another one by how it is read, in one place
    [(e, u) for e in ts.engines() for u in POLICIES if u not in QUIET or e == ts.engines()[-1]],
)
@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_points_of_a_batch_are_as_by_themselves(name, undefined, engine):
    f, x = (MORE.get(name) or CASES[name])[:2]
    c = ts.compile(f, engine=engine, undefined=undefined)
    for method in BATCHED:
        points = [ORDINARY[0], x, ORDINARY[1], x]
        for found, point in zip(batched(c, method, points), points, strict=True):
            expected = eager(f, method, point, undefined)
            if expected is None:  # as IEEE arithmetic has it, or without what is not used
                assert name == "not used" or not all(map(math.isfinite, found)), method
            else:
                assert found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), method
        for _ in range(2):  # one point by itself, also by the code for one point
            (alone,) = batched(c, method, [x])
            (among,) = batched(c, method, [ORDINARY[0], x])[1:]
            assert alone == pytest.approx(among, rel=1e-12, abs=1e-300, nan_ok=True), method


# what raises on the way gives a finite number all the same in IEEE arithmetic
HANDLED = {
    "tanh(1/x)": (lambda x: ts.tanh(handled(lambda: 1 / x, lambda: x - 3.0)), 0.0),
    "1/(1/x)": (lambda x: 1 / handled(lambda: 1 / x, lambda: x + 2.0), 0.0),
    "exp(-exp(x))": (lambda x: ts.exp(-handled(lambda: ts.exp(x), lambda: x / 1000)), 1000.0),
    "where": (lambda x: ts.where(x < 0, 2.0, handled(lambda: ts.log(x), lambda: x)), -1.0),
    "root": (lambda x: ts.maximum(1.0, handled(lambda: ts.sqrt(x), lambda: 7 - x)), -2.0),
}


@EVERY
@pytest.mark.parametrize("name", HANDLED)
def test_an_exception_is_handled_though_the_result_would_be_finite(name, engine):
    f, x = HANDLED[name]
    c = ts.compile(f, engine=engine)
    for method in BATCHED:
        for points in ([0.5, x, 2.0], [x], [x, x]):
            for found, point in zip(batched(c, method, points), points, strict=True):
                expected = eager(f, method, point, "subgradient")
                assert found == pytest.approx(expected, rel=1e-12, abs=1e-300), method


@EVERY
def test_what_is_not_used_does_not_matter(engine):
    def f(x, y):
        ts.log(y - 1.0)
        return ts.hypot(x, x - x) + y

    c = ts.compile(f, engine=engine)
    x, y = np.array([0.0, 3.0, 0.0]), np.array([1.0, -5.0, 9.0])
    assert c(x, y).tolist() == [1.0, -2.0, 9.0]
    slopes = c.grad(x, y)
    assert [part.tolist() for part in slopes] == [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]


@EVERY
def test_lists_beside_arrays_rows_and_branches(engine):
    def f(v, p):
        if v[0] > 1.0:
            return ts.sqrt(v[1] * v[1]) * p[0]
        return ts.hypot(v[0], v[1]) + handled(lambda: p[1] / v[0], lambda: v[0] + p[1])

    c = ts.compile(f, engine=engine)
    rows = [[0.0, 0.0], [2.0, 0.0], [2.0, -3.0], [0.5, 1.0], [0.0, 2.0], [0.0, 0.0]]
    p = [3.0, 4.0]
    value, (slopes, parameters) = c.value_and_grad(np.array(rows), p)
    for k, v in enumerate(rows):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, (by_v, by_p) = ts.value_and_grad(f)(v, p)
        assert value[k] == pytest.approx(expected)
        assert slopes[k] == pytest.approx(by_v)
        assert [part[k] for part in parameters] == pytest.approx(by_p)


@EVERY
def test_the_mean_gradient_counts_every_point_as_by_itself(engine):
    w, v = Value(2.0), Value(3.0)

    def f(x):
        root = handled(lambda: w / x, lambda: w + v)
        return ts.tanh(root) + v * ts.hypot(x, x - x)

    batch = [0.5, 0.0, 2.0, 0.0, -1.0]
    c = ts.compile(f, engine=engine)
    loss = c.backward(np.array(batch))
    found = (w.grad, v.grad)
    w.grad = v.grad = 0.0
    (ts.sum(f(Value(x)) for x in batch) / len(batch)).backward()
    assert loss == pytest.approx(sum(f(x).data for x in batch) / len(batch))
    assert found == pytest.approx((w.grad, v.grad))
    w.grad = v.grad = 0.0
    assert c.backward(0.0) == pytest.approx(f(0.0).data)
    assert (w.grad, v.grad) == pytest.approx((1 - math.tanh(5.0) ** 2,) * 2)


@EVERY
def test_backward_refuses_leaves_that_only_an_exception_brings_in(engine):
    w, v = Value(2.0), Value(3.0)
    c = ts.compile(lambda x: handled(lambda: w / x, lambda: v * x + v), engine=engine)
    assert c.backward(np.array([1.0, 2.0])) == 1.5
    w.grad = 0.0
    for x in (0.0, np.array([1.0, 0.0])):
        with pytest.raises(TraceError, match="handles an exception"):
            c.backward(x)
        assert (w.grad, v.grad) == (0.0, 0.0)


@EVERY
def test_policies_of_backward_on_arrays(engine):
    w = Value(1.0)

    def f(x):
        return ts.abs(x) * w + ts.sqrt(w * x) * w

    batch = np.array([0.0, 1.0])
    ts.compile(f, engine=engine).backward(batch)
    assert w.grad == pytest.approx((0.0 + 2.5) / 2)  # at 0: 0 and the product 0·∞
    w.grad = 0.0
    for undefined in ("nan", "raise"):
        ts.compile(f, engine=engine, undefined=undefined).backward(batch)
        assert math.isnan(w.grad)
        w.grad = 0.0


@EVERY
def test_threads_and_many_points(engine):
    x = np.linspace(-1.0, 1.0, 4001)
    x[[3, 2000, 3999]] = 0.0
    f = lambda x: ts.hypot(x, x - x) + handled(lambda: 1 / x, lambda: x)  # noqa: E731
    one, two = (ts.compile(f, engine=engine, threads=threads) for threads in (1, 2))
    expected = np.sign(x) - 1 / np.where(x == 0, 1.0, x * x)
    expected[x == 0] = 1.0  # 0 by the row of hypot, and x itself
    for c in (one, two):
        assert c.grad(x) == pytest.approx(expected, rel=1e-12)
    done = []
    threads = [threading.Thread(target=lambda: done.append(one.grad(x))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((found == done[0]).all() for found in done)
    assert len(done) == 3


@EVERY
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_threads_add_up_every_branch_on_its_own_points(engine, threads, sign):
    """The first threads meet one branch alone, the last ones the other: mean of ∂ by hand."""
    w = Value(2.0)
    x = sign * np.concatenate([np.linspace(1.0, 2.0, 1500), np.linspace(-2.0, -1.0, 3500)])
    f = ts.compile(lambda x: w * x * x if x > 0 else w * w * x, engine=engine, threads=threads)
    assert f.backward(x) == pytest.approx(np.where(x > 0, 2.0 * x * x, 4.0 * x).mean(), rel=1e-12)
    assert w.grad == pytest.approx(np.where(x > 0, x * x, 4.0 * x).mean(), rel=1e-12)


@EVERY
@pytest.mark.parametrize("method", BATCHED)
@pytest.mark.parametrize("x", [0.5, 0.0, 4.0, math.inf])
def test_a_first_batch_of_one_is_as_its_point(engine, method, x):
    def f(x):
        return handled(lambda: 1.0 / x, lambda: x * 2.0) if x < 3.0 else x * x * x

    c, expected = ts.compile(f, engine=engine), eager(f, method, x, "subgradient")
    for _ in range(2):
        (found,) = batched(c, method, [x])
        found = found if isinstance(found, list) else [found]
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_same_odd_point_is_settled_once():
    calls = []
    c = ts.compile(lambda x: calls.append(x) or x * ts.sqrt(x))
    x = np.zeros(1000)
    x[::2] = 4.0
    assert c.grad(x).tolist() == [3.0, 0.0] * 500
    assert len(calls) == 2  # the trace, and 0


@EVERY
def test_nan_among_the_arguments_stays_in_its_point(engine):
    c = ts.compile(lambda x, y: x * y + ts.hypot(x, x - x), engine=engine)
    x, y = np.array([math.nan, 0.0, 2.0]), np.array([1.0, 5.0, math.nan])
    by_x, by_y = c.grad(x, y)
    assert by_y[1:].tolist() == [0.0, 2.0]
    assert by_x[1] == 5.0
    assert np.isnan(by_x[[0, 2]]).all()
    assert np.isnan(by_y[0])


@EVERY
def test_nan_beside_an_exception_that_is_handled_leaves_no_slope_of_another_branch(
    engine,
):
    def f(x, y):
        try:
            z = ts.minimum(1.0 / y, 5.0)  # its slope at 1/0 would be 0
        except ZeroDivisionError:
            z = 2.0 * y
        return x * 3.0 + z

    c = ts.compile(f, engine=engine)
    value, (by_x, by_y) = c.value_and_grad(np.array([math.nan, 1.0]), np.array([0.0, 0.0]))
    assert [*map(str, value.tolist())] == ["nan", "3.0"]
    assert by_x.tolist() == [3.0, 3.0]
    assert by_y.tolist() == [2.0, 2.0]  # that of 2 y, as the function itself has it


@EVERY
def test_what_is_too_large_has_its_sign(engine):
    c = ts.compile(ts.erfcx, engine=engine)
    assert c.grad(np.array([-30.0, -1e200])).tolist() == [-np.inf, -np.inf]
    assert c.hessian(np.array([-30.0])).tolist() == [[[np.inf]]]


@EVERY
def test_functions_from_files_decide_by_their_trace(engine, tmp_path):
    c = ts.compile(lambda x: ts.hypot(x, x - x) if x < 1 else x * x, engine=engine)
    c(np.array([0.0, 2.0]))
    c.save(tmp_path / "f.json")
    loaded = ts.load_compiled(tmp_path / "f.json")
    assert loaded.grad(np.array([0.0, 2.0, -3.0])).tolist() == [0.0, 4.0, -1.0]


@EVERY
def test_float32_is_settled_in_double_precision(engine):
    c = ts.compile(lambda x: 1e-30 * ts.exp(x), engine=engine, dtype="float32")
    found = c(np.array([1.0, 100.0]))
    assert found.dtype == np.float32
    assert found == pytest.approx(1e-30 * np.exp([1.0, 100.0]), rel=1e-6)


@EVERY
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [1, 2, 20, 20_000])
def test_nobody_is_warned_of_numbers_that_are_too_large(engine, dtype, count):
    large = {"float64": 1e308, "float32": 1e38}[dtype]
    points, leaf, table = np.full(count, large), Value(1.0), [Value(1.0), Value(2.0)]
    mean = pytest.approx(large, rel=1e-7)  # or inf, where the sum is
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = ts.compile(lambda x: leaf * x, engine=engine, dtype=dtype)
        for _ in range(2):  # the general way, and the fast one
            assert f.backward(points) in ([mean] if count == 1 else [mean, np.inf])
        assert leaf.grad == pytest.approx(2 * large, rel=1e-7) or leaf.grad == np.inf
        looked_up = ts.compile(lambda i, x: ts.take(table, i) * x, engine=engine, dtype=dtype)
        for index in (0.0, np.zeros(count)):
            assert looked_up.backward(index, points) in [mean, np.inf]
        if count > 1:
            with ThreadPoolExecutor(1) as pool:
                f.backward(points, executor=pool, shards=2)
        too_large = ts.compile(lambda x, y: x * y, engine=engine, dtype=dtype)
        for x, y in ((1e200, 1e200), (1e300, 1.0), (1.0, 1e300)):
            found = too_large(np.full(count, x), y)
            assert found.dtype == dtype
            inf = dtype == "float32" or x * y == np.inf
            assert (found == (np.inf if inf else 1e300)).all()


@EVERY
def test_what_an_index_looks_up_gets_its_gradient_there_too(engine):
    table = [Value(0.5 * k) for k in range(12)]

    def f(i, x):
        entry = ts.take(table, i)
        return ts.tanh(handled(lambda: entry / x, lambda: entry * 2.0)) + ts.hypot(x, x - x)

    i, x = [3.0, 5.0, 3.0, 7.0], [0.0, 2.0, 4.0, 0.0]
    c = ts.compile(f, engine=engine)
    loss = c.backward(np.array(i), np.array(x))
    found = [leaf.grad for leaf in table]
    for leaf in table:
        leaf.grad = 0.0
    (ts.sum(f(int(k), Value(y)) for k, y in zip(i, x, strict=True)) / 4).backward()
    assert found == pytest.approx([leaf.grad for leaf in table])
    assert loss == pytest.approx(sum(f(int(k), y).data for k, y in zip(i, x, strict=True)) / 4)
    slope = table[3].grad
    assert c.backward(3.0, 0.0) == pytest.approx(math.tanh(3.0))
    assert table[3].grad - slope == pytest.approx(2 / math.cosh(3.0) ** 2)


# arguments of `backward` for (N, 2) and (N,), the first of them the usual ones
ROWS = np.array([[0.5, 1.0], [2.0, -3.0], [0.25, 0.5]])
AGAIN = {
    "the same": (ROWS, np.array([1.0, 2.0, 3.0])),
    "other numbers": (-ROWS, np.array([3, 2, 1])),
    "columns in memory": (np.asfortranarray(ROWS), np.array([True, False, True])),
    "single precision": (ROWS.astype("f"), np.arange(3, dtype="i1")),
    "more points": (np.concatenate([ROWS] * 30), np.linspace(0, 1, 90)),
    "many points": (np.concatenate([ROWS] * 1000), np.linspace(0, 1, 3000)),
    "one point of lists": ([0.5, 1.0], 2.0),
    "one number for all": (ROWS, 2.0),
    "an array of no axes": (ROWS, np.array(2.0)),
    "not a number": (ROWS * [[1.0], [math.nan], [1.0]], np.ones(3)),
    "not finite": (ROWS * [[1.0], [1e200], [1.0]], np.ones(3)),
    "an exception that is handled": (ROWS * [[0.0], [1.0], [0.0]], np.ones(3)),
    "three columns": (np.ones((3, 3)), np.ones(3)),
    "no points": (ROWS[:0], np.ones(0)),
    "no points beside three": (ROWS[:0], np.ones(3)),
    "another length": (ROWS, np.ones(4)),
    "text": (ROWS, np.array(["a", "b", "c"])),
    "objects": (ROWS.astype(object), np.ones(3)),
    "a mask": (np.ma.masked_array(ROWS, mask=ROWS > 1.5), np.ones(3)),
    "too few": (ROWS,),
    "nothing": (),
    "two paths": (ROWS * [[1.0], [20.0], [1.0]], np.ones(3)),
    "another path": (ROWS + 10.0, np.ones(3)),
}


@EVERY
def test_backward_once_more_is_as_for_the_first_time(engine):
    def made():
        leaves = [Value(0.1 * k) for k in range(40)]

        def f(x, y):
            if x[0] > 5.0:
                return y * leaves[1] * x[1]
            z = ts.sum(w * x[0] for w in leaves) + handled(lambda: leaves[0] / x[1], lambda: y)
            return (z - x[1] * y) ** 2 + ts.hypot(y, y - y)

        return ts.compile(f, engine=engine), leaves

    def done(c, leaves, args):
        for k, leaf in enumerate(leaves):
            leaf.data, leaf.grad = 0.2 * k, 1.0
        try:
            with np.errstate(all="ignore"):
                loss = c.backward(*args)
        except (TypeError, ValueError) as error:
            return type(error), str(error), [leaf.grad for leaf in leaves]
        return pytest.approx([loss, *[leaf.grad for leaf in leaves]], rel=1e-12, nan_ok=True)

    for name, args in AGAIN.items():
        again, its_leaves = made()
        expected = done(*made(), args)
        for _ in range(2):
            again.backward(*AGAIN["the same"])
            found = done(again, its_leaves, args)
            assert getattr(found, "expected", found) == expected, name
