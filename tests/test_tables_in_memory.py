"""Tables of arguments and of what is computed: read at an index, gradients added there."""

import ctypes
import math
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from cuda_on_the_host import COMPILER, HostKernel
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import Value, engines, grad, hessian, hvp, jvp, load_compiled, take
from tinygrad_scalar.core.tree import leaves

compiled = tg.compile
ENGINES = [name for name in engines() if name != "cuda"]
EVERY = pytest.mark.parametrize("engine", ENGINES)
# sums of a few products, in another order than eagerly
CLOSE = {"rtol": 1e-12, "atol": 1e-13}
COUNT = 11
T = np.random.default_rng(5).uniform(-1, 1, COUNT).tolist()
INDICES = np.array([0.0, 3, 10, 3, 7, 5, 1, 2, 9, 4, 8, 6])


def flat(x):
    return [float(y.data if isinstance(y, Value) else y) for y in leaves(x)]


def same(actual, expected):
    np.testing.assert_allclose(flat(actual), flat(expected), **CLOSE)


def of_arguments(t, i):
    return tg.sin(take(t, i)) * take(t, 10 - i) + t[2] * take(t[::-1], i)


def computed(t, i):
    products = [tg.exp(a * 0.3) * b for a, b in zip(t, t[1:] + t[:1], strict=True)]
    return take(products, i) ** 2 * take(products, 10 - i) + tg.sum(products)


def of_tables(t, i):
    """An index out of a table, rows, numbers and closed-over leaves among the entries."""
    order = [float(k * 7 % COUNT) + 0.0 * tg.floor(x) for k, x in enumerate(t)]
    rows = [[x, x * x, 2.0 if k % 3 else x] for k, x in enumerate(t)]
    a, b, c = take(rows, take(order, i))
    return a * b + c * take([*t[:9], SHIFT, 0.5], i)


def in_a_loop(t, i):
    s = t[0]
    for k in range(70):
        s = tg.tanh(s * 0.9 + take(t, (i + k) % COUNT) * t[k % COUNT])
    return s


def read_while_it_grows(t, i):
    states = [x * 0.5 for x in t]
    for _ in range(4):
        states.append(tg.tanh(take(states, i) + take(states, len(states) - 1 - i) * t[1]))
    return tg.sum(states[-4:])


def differentiated_inside(t, i):
    slopes = grad(lambda rows: (take(rows, i) * t[1]) ** 2 * take(rows, 10 - i))(t)
    return take(slopes, i) * t[3] + slopes[5] ** 2


def where_the_slope_is_zero(t, i):
    """A gradient of 0 that moves: no structural zero."""
    return (take([x * x for x in t], i) - T[3] ** 2) ** 2


SHIFT = Value(0.25)
FUNCTIONS = [
    of_arguments, computed, of_tables, in_a_loop, read_while_it_grows, differentiated_inside,
    where_the_slope_is_zero,
]  # fmt: skip
EACH = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
along = (T[::-1], 0.0)


@EVERY
@EACH
def test_points_are_those_of_the_function(engine, function):
    f = compiled(function, engine=engine)
    for i in (3.0, 0.0, 10.0):
        same(f(T, i), function(T, i))
        same(f.grad(T, i), grad(function)(T, i))
        same(f.jvp((T, i), along), jvp(function, (T, i), along))
        same(f.hvp((T, i), along), hvp(function, (T, i), along))
        curved = hessian(lambda v: function(v[:-1], v[-1]))([*T, i])
        same(f.hessian(T, i), curved)


@EVERY
@EACH
def test_batches_are_what_their_points_are(engine, function):
    f, size = compiled(function, engine=engine), len(INDICES)
    tables = np.array([np.roll(T, k) for k in range(size)])
    pairs = [(row.tolist(), float(i)) for row, i in zip(tables, INDICES, strict=True)]
    same(f(tables, INDICES).tolist(), [function(*pair) for pair in pairs])
    same(f.grad(tables, INDICES)[0].tolist(), [grad(function)(*pair)[0] for pair in pairs])
    # a table for all points, an index for all points
    same(f(T, INDICES).tolist(), [function(T, float(i)) for i in INDICES])
    slopes = np.array(f.grad(T, INDICES)[0]).T.tolist()
    same(slopes, [grad(function)(T, float(i))[0] for i in INDICES])
    same(f(tables, 3.0).tolist(), [function(row, 3.0) for row, _ in pairs])
    same(f.hessian(tables, INDICES).tolist(), [f.hessian(*pair) for pair in pairs])


@EVERY
@pytest.mark.parametrize("function", [of_arguments, computed], ids=lambda f: f.__name__)
def test_what_is_no_index_raises_as_uncompiled(engine, function):
    f = compiled(function, engine=engine)
    f(T, 1.0)
    for index in (11.0, -1.0, 0.5, math.nan, math.inf, -math.inf):
        with pytest.raises((IndexError, ValueError)) as error:
            function(T, index)
        for call in (f, f.grad):
            for tried in (index, np.array([1.0, index, 2.0])):
                with pytest.raises(error.type, match=r"take: index .* give 0 to 10"):
                    call(T, tried)


@EVERY
def test_special_numbers_are_entries_like_others(engine):
    f = compiled(lambda t, i: take(t, i) + 0.0 * take(t, 8 - i), engine=engine)
    plain = compiled(lambda t, i: take(t, i), engine=engine)
    entries = [math.inf, -0.0, 1.0, math.nan, -math.inf, 5e-324, 0.0, 1e308, 2.0]
    f(entries, 2.0)
    for k, x in enumerate(entries):
        np.testing.assert_array_equal(plain(entries, float(k)), x)
        assert math.copysign(1.0, plain(entries, float(k))) == math.copysign(1.0, x)
    found = plain(entries, np.arange(9.0))
    np.testing.assert_array_equal(found, entries)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(entries))


@EVERY
def test_no_slope_goes_through_what_was_not_read(engine):
    """Behind it stands an infinite slope, which a product with 0 would make NaN."""
    f = compiled(lambda t, i: take([tg.sqrt(x) for x in t], i), engine=engine)
    roots = [0.0, 4.0, *[1.0] * 7]
    assert f.grad(roots, 1.0)[0] == [0.0, 0.25, *[0.0] * 7]
    assert f.grad(np.array([roots]), np.array([1.0]))[0].tolist() == [[0.0, 0.25, *[0.0] * 7]]


@EVERY
def test_gradients_of_leaves_in_tables_that_are_computed(engine):
    own = [Value(x) for x in T]

    def loss(i, x):
        return take([w * x for w in own], i) ** 2 + take([tg.sin(w) for w in own], 10 - i)

    def collected():
        found = [leaf.grad for leaf in own]
        for leaf in own:
            leaf.grad = 0.0
        return found

    f, X = compiled(loss, engine=engine), np.linspace(-1, 1, 12)
    sum(loss(float(i), float(x)) for i, x in zip(INDICES, X, strict=True)).backward()
    expected = collected()
    f.backward(INDICES, X)
    np.testing.assert_allclose(np.multiply(collected(), 12), expected, **CLOSE)
    for i, x in zip(INDICES, X, strict=True):
        f.backward(float(i), float(x))
    np.testing.assert_allclose(collected(), expected, **CLOSE)


@EVERY
@pytest.mark.parametrize("width", [1, 2])
def test_gradients_of_what_many_points_look_up(engine, width):
    table = [[Value(k + j + 1.0) for j in range(width)] for k in range(COUNT)]
    rng = np.random.default_rng(6)
    x, i = rng.normal(size=40_000), rng.integers(0, COUNT, 40_000)
    f = compiled(lambda x, i: x * tg.sum(w * w for w in take(table, i)), engine=engine)
    f.backward(x, i)
    slopes = np.bincount(i, x) / len(x)  # of Σ x·w² where the row is read, without its 2·w
    expected = [2 * w.data * slopes[k] for k, row in enumerate(table) for w in row]
    # sums of 40,000 numbers of about one, rounded once each
    np.testing.assert_allclose([w.grad for row in table for w in row], expected, atol=1e-11)


@EVERY
@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor])
def test_no_point_of_a_batch_takes_a_branch_that_looks_rows_up(engine, executor):
    left, right = [[Value(k + 1.0) for k in range(COUNT)] for _ in range(2)]
    f = compiled(lambda x, i: x * take(left if x > 0 else right, i), engine=engine)
    x, i = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0])
    means = np.array([1 / 3, 5 / 3] + [0.0] * (COUNT - 2))  # of x where the row is read
    with executor(1) if executor else nullcontext() as pool:
        shards = {"executor": pool, "shards": 2} if executor else {}
        f.backward(np.append(x, -x), np.append(i, i), **shards)
        same([w.grad for w in left], means / 2)
        for sign, table in ((1, left), (-1, right)):
            for leaf in left + right:
                leaf.grad = 0.0
            f.backward(sign * x, i, **shards)
            same([w.grad for w in table], means * sign)
            assert sum(abs(w.grad) for w in left + right) == pytest.approx(2.0)


@EVERY
@EACH
def test_files_hold_them(engine, function, tmp_path):
    f = compiled(lambda t, i: function(t, i), engine=engine)
    f(T, 3.0)
    f.save(tmp_path / "f.json")
    loaded = load_compiled(tmp_path / "f.json")
    assert loaded(T, 3.0) == f(T, 3.0)
    assert loaded.grad(T, 3.0) == f.grad(T, 3.0)


@EACH
@pytest.mark.skipif(not COMPILER, reason="neither g++ nor clang++ is installed")
def test_in_c_and_cuda(function, tmp_path):
    f, size = compiled(lambda t, i: function(t, i)), len(INDICES)
    tables = np.array([np.roll(T, k) for k in range(size)])
    for i in INDICES:
        f(T, i)
    value, (slopes, last) = f.value_and_grad(tables, INDICES)
    f.to_c(tmp_path / "f.c")
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-shared"]
    source, target = tmp_path / "f.c", tmp_path / "f.so"
    subprocess.run([*command, "-fPIC", source, "-o", target, "-lm"], check=True)
    run = ctypes.CDLL(str(target)).f
    run.argtypes = [ctypes.c_void_p] * 3
    leaf = np.array([0.25, 0.0])
    for table, i, expected in zip(tables, INDICES, value, strict=True):
        x, out = np.append(table, i), np.zeros(COUNT + 2)
        assert run(x.ctypes.data, leaf.ctypes.data, out.ctypes.data) == 0
        same(out[0], expected)
        same(out[1:].tolist(), f.grad(table.tolist(), float(i)))
    path, places = f._latest, {id(SHIFT): 0}
    program = path.program_in_memory("value_and_grad", places)
    columns = [*tables.T, INDICES]
    left = np.ones(size, np.uint8)
    found, _ = HostKernel(program, tmp_path)(columns, leaf[:1], left=left)
    here = left == 0
    assert here.any()
    same(found[here].tolist(), np.column_stack([value, slopes, last])[here].tolist())


def test_neither_code_nor_its_derivative_knows_how_often_a_table_is_read():
    """5,000 numbers that are read 500 times: lines for each number and for each reading."""
    f = compiled(lambda t, indices: tg.sum(take(t, i) * 2.0 for i in indices))
    table, indices = [0.001 * k for k in range(5000)], [float(k * 37 % 5000) for k in range(500)]
    value, (slopes, _) = f.value_and_grad(table, indices)
    assert value == pytest.approx(2 * math.fsum(table[int(i)] for i in indices), rel=1e-13)
    expected = np.zeros(5000)
    np.add.at(expected, np.array(indices, int), 2.0)
    assert slopes == expected.tolist()
    assert len(f.tape) <= 5500 + 10 * 500
    assert sum(len(operands) for _, operands in f.tape) < 2 * 5000 + 20 * 500


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["read", "push", "mix", "row"]), st.integers(0, 9)),
        min_size=1, max_size=10,
    ),
    index=st.integers(0, 8),
)  # fmt: skip
def test_programs_that_read_what_they_have_written(steps, index):
    """Every engine against the function, at a point and in a batch."""

    def program(t, i):
        table, x = list(t), t[0]
        for what, k in steps:
            if what == "read":
                x = x + take(table, i) * 0.5
            elif what == "push":
                table[k % len(table)] = tg.sin(x + table[k % len(table)])
            elif what == "mix":
                table = [
                    a * 0.9 + b * 0.1 for a, b in zip(table, table[1:] + table[:1], strict=True)
                ]
            else:
                a, b = take([[u, u * x] for u in table], (i + k) % 9)
                x = tg.tanh(a - b)
        return x + take(table, i)

    t, i = T[:9], float(index)
    for engine in ENGINES:
        f = compiled(program, engine=engine)
        same(f.value_and_grad(t, i), tg.value_and_grad(program)(t, i))
        batch = np.array([t, t[::-1]]), np.array([i, i])
        found = f.grad(*batch)[0].tolist()
        same(found, [grad(program)(row.tolist(), i)[0] for row in batch[0]])
