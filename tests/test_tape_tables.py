"""Tables that a traced index looks up: what stands where it points, and gradients added there."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import TraceError, Value, engines, grad, hessian, hvp, jvp, load_compiled, take

compiled = tg.compile
EVERY = pytest.mark.parametrize("engine", [name for name in engines() if name != "cuda"])
# sums of a few products, in another order than eagerly
CLOSE = {"rtol": 1e-13, "atol": 1e-15}


def table_of(rows, width, seed=0):
    draw = random.Random(seed).gauss
    return [[Value(draw(0, 1)) for _ in range(width)] for _ in range(rows)]


def flat_of(count, seed=0):
    return [row[0] for row in table_of(count, 1, seed)]


def collected(leaves):
    """The gradients of some leaves, which are 0 from now on."""
    found = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = 0.0
    return found


ROWS, FLAT, WEIGHTS = table_of(30, 3), flat_of(40, seed=1), flat_of(3, seed=2)
LEAVES = [*itertools.chain.from_iterable(ROWS), *FLAT, *WEIGHTS]


def scored(i, x):
    row = take(ROWS, i)
    score = sum(a * b for a, b in zip(row, WEIGHTS, strict=True))
    return tg.tanh(score * x) * row[0] + take(FLAT, i) * x * x


def computed_index(i, x):
    return take(FLAT, i * 2 + 1) * tg.sin(take(ROWS, 29 - i)[2] * x)


def index_of_an_index(i, x):
    following = [float(k * 7 % 30) for k in range(30)]
    return take(ROWS, take(following, take(following, i)))[1] * x * x


def tied(i, x):
    return take(ROWS, i)[1] * ROWS[3][1] * x + ROWS[3][0] * x * x


def behind_a_branch(i, x):
    return take(ROWS, i)[0] * x * x if x > 0 else -take(FLAT, i) * x * x


def numbers_among_leaves(i, x):
    padded = [[0.0, ROWS[0][1]], *[row[:2] for row in ROWS[1:]]]
    a, b = take(padded, i)
    return (a + b * x) * x


FUNCTIONS = [scored, computed_index, index_of_an_index, tied, behind_a_branch, numbers_among_leaves]
EACH = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
INDICES = np.array([0, 3, 3, 14, 7, 3, 14, 1, 10, 3])
POINTS = np.linspace(-1.5, 1.5, 10)


@EVERY
@EACH
def test_values_and_gradients_are_those_of_the_function(engine, function):
    f = compiled(function, engine=engine)
    assert f(3.0, 0.7) == pytest.approx(function(3.0, 0.7).data, rel=1e-14)
    for i, x in ((3.0, 0.7), (14.0, -0.4), (3.0, 0.9)):
        np.testing.assert_allclose(f.grad(i, x), [0.0, grad(function, 1)(i, x).data], **CLOSE)
        _, slope = jvp(function, (i, x), (0.0, 1.0))
        np.testing.assert_allclose(f.jvp((i, x), (0.0, 1.0))[1], slope.data, **CLOSE)
        curved = [[getattr(y, "data", y) for y in row] for row in hessian(function)(i, x)]
        np.testing.assert_allclose(f.hessian(i, x), curved, **CLOSE)
        along = hvp(function, (i, x), (0.0, 2.0))
        np.testing.assert_allclose(
            f.hvp((i, x), (0.0, 2.0)), [getattr(y, "data", y) for y in along], **CLOSE
        )


@EVERY
@EACH
def test_batches_are_what_their_points_are(engine, function):
    f = compiled(function, engine=engine)
    expected = [function(int(i), float(x)).data for i, x in zip(INDICES, POINTS, strict=True)]
    np.testing.assert_allclose(f(INDICES, POINTS), expected, **CLOSE)
    slopes = [f.grad(float(i), float(x))[1] for i, x in zip(INDICES, POINTS, strict=True)]
    np.testing.assert_allclose(f.grad(INDICES, POINTS)[1], slopes, **CLOSE)
    # an index for all of them
    np.testing.assert_allclose(
        f(3.0, POINTS), [function(3, float(x)).data for x in POINTS], **CLOSE
    )


@EVERY
@EACH
def test_gradients_are_added_where_the_index_points(engine, function):
    f = compiled(function, engine=engine)
    collected(LEAVES)
    loss = f.backward(INDICES, POINTS)
    given = collected(LEAVES)
    mean = sum(function(int(i), float(x)) for i, x in zip(INDICES, POINTS, strict=True)) / 10
    mean.backward()
    np.testing.assert_allclose(loss, mean.data, **CLOSE)
    np.testing.assert_allclose(given, collected(LEAVES), **CLOSE)
    for i, x in ((3.0, 0.7), (14.0, -0.4), (3.0, 0.9)):
        f.backward(i, x)
        given = collected(LEAVES)
        function(i, x).backward()
        np.testing.assert_allclose(given, collected(LEAVES), **CLOSE)
    f.backward(3.0, POINTS)
    given = collected(LEAVES)
    (sum(function(3, float(x)) for x in POINTS) / 10).backward()
    np.testing.assert_allclose(given, collected(LEAVES), **CLOSE)


@EVERY
@EACH
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_many_points_reach_the_rows_of_a_table_once(engine, function, dtype, monkeypatch):
    from tinygrad_scalar.compiler.ir import tables

    collected(LEAVES)
    mean = sum(function(int(i), float(x)) for i, x in zip(INDICES, POINTS, strict=True)) / 10
    mean.backward()
    expected, close = (
        collected(LEAVES),
        CLOSE if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6},
    )
    monkeypatch.setattr(tables, "AT_ONCE", 1)
    f = compiled(function, engine=engine, dtype=dtype)
    many = np.tile(INDICES, 20).astype(dtype), np.tile(POINTS, 20).astype(dtype)
    np.testing.assert_allclose(f.backward(*many), mean.data, **close)
    np.testing.assert_allclose(collected(LEAVES), expected, **close)
    np.testing.assert_allclose(f(*many)[-10:], f(*(x[:10] for x in many)), rtol=0)


@EVERY
def test_what_stands_in_a_table_is_read_anew_at_each_call(engine):
    table = table_of(20, 2)
    f = compiled(lambda i: take(table, i)[0] * 2, engine=engine)
    f(4.0), f(np.array([4.0, 5.0]))
    table[4][0].data = 7.0
    assert f(4.0) == 14.0
    assert f(np.array([4.0, 4.0])).tolist() == [14.0, 14.0]


@EVERY
@pytest.mark.parametrize("table", [FLAT, ROWS], ids=["numbers", "rows"])
def test_an_index_that_is_none_raises_as_uncompiled(engine, table):
    f = compiled(lambda i: tg.sum([take(table, i)] if table is FLAT else take(table, i)),
                 engine=engine)  # fmt: skip
    f(1.0)
    last = len(table) - 1
    collected(LEAVES)
    for index in (last + 1.0, -1.0, 0.5, math.nan, math.inf):
        with pytest.raises((IndexError, ValueError)) as error:
            take(table, index)
        for call in (f, f.grad, f.backward):
            for given_index in (index, np.array([1.0, index, 2.0])):
                with pytest.raises(error.type, match=f"take: index .* give 0 to {last}"):
                    call(given_index)
    assert not any(collected(LEAVES))


STRUCTURED = {
    "an array of numbers": np.arange(60.0).reshape(20, 3),
    "an array of Values": np.array([[Value(1.0 * k), Value(2.0)] for k in range(20)]),
    "an array of matrices": np.arange(24.0).reshape(3, 2, 4),
    "rows of rows": [[[ROWS[k][0], 1.0], [2.0 * k]] for k in range(9)],
    "few rows of rows": [((FLAT[k], 1.0), 2.0 * k) for k in range(3)],
    "records": [{"a": FLAT[k], "b": [1.0 * k]} for k in range(10)],
}


@EVERY
@pytest.mark.parametrize("table", STRUCTURED.values(), ids=STRUCTURED.keys())
def test_rows_of_any_structure_are_looked_up_as_uncompiled(engine, table):
    def f(i, x):
        row = take(table, i)
        structures.append(type(row))
        numbers = tg.core.tree.leaves(row)
        return sum((k + x) * number * x for k, number in enumerate(numbers))

    structures = []
    slopes = [grad(f, 1)(i, 1.5) for i in (2.0, 0.0)]
    eager = [getattr(slope, "data", slope) for slope in slopes]
    code = compiled(f, engine=engine, argnums=1)
    assert [code.grad(i, 1.5) for i in (2.0, 0.0)] == pytest.approx(eager, rel=1e-14)
    np.testing.assert_allclose(code.grad(np.array([2.0, 0.0]), 1.5), eager, **CLOSE)
    assert len(set(structures)) == 1


def test_rows_of_different_structures_are_refused():
    table = [{"a": 1.0}] * 4 + [{"b": 1.0}]
    with pytest.raises(ValueError, match="take: rows of different structures; give rows of one"):
        compiled(lambda i: take(table, i)["a"] * i)(1.0)


@pytest.mark.parametrize("call", [lambda f: f(0.0), lambda f: compiled(f)(0.0)])
@pytest.mark.parametrize(
    ("table", "index", "error", "message"),
    [
        ([1.0, 2.0], "a", TypeError, "take: an index is a whole number or a Value, not str"),
        ([1.0, 2.0], None, TypeError, "take: an index is a whole number or a Value, not NoneType"),
        ([1.0], np.array([0, 0]), TypeError, r"not ndarray; for several write \[take\(table, i\)"),
        ([], 0, IndexError, "take: index 0 of an empty table; give a table with entries"),
        ({0: 1.0}, 0, TypeError, "take: a table is a list of numbers or of rows of them, not dict"),
        (3.0, 0, TypeError, "take: a table is a list of numbers or of rows of them, not float"),
    ],
)  # fmt: skip
def test_what_is_no_table_or_no_index_is_named(call, table, index, error, message):
    with pytest.raises(error, match=message):
        call(lambda x: take(table, index) + x)


class Weight(Value):
    """A kind of one's own."""


@EVERY
@pytest.mark.parametrize("before", [[], [2.0, 5.0]], ids=["new", "met at points"])
@pytest.mark.parametrize("odd", ["none", "tuples", "kinds", "numbers", "longer", "computed"])
def test_rows_of_all_kinds_are_looked_at_together(engine, odd, before):
    table = table_of(20, 2)
    if odd == "tuples":
        table[5:] = map(tuple, table[5:])
    if odd == "kinds":
        table[5][1] = Weight(1.5)
    if odd == "numbers":
        table[5] = [2, 0.5]
    if odd == "longer":
        table[5] = [*table[5], Value(3.0)]
    if odd == "computed":
        table[5] = [table[4][0] * 2.0, table[4][1]]
    indices = np.array([7.0, 5, 2, 5, 19, 0, 7, 7])

    def read(i, x):
        row = take(table, i)
        return row[0] * x + row[1] * row[1]

    f = compiled(read, engine=engine)
    f(0.0, 1.0)
    if odd == "longer":
        with pytest.raises(ValueError, match="rows of 2 and of 3 numbers"):
            f.backward(indices, 2.0)
        return
    for i in before:
        f.backward(i, 1.0)
    leaves = [x for row in table for x in row if isinstance(x, Value) and x.primitive is None]
    collected(leaves)
    f.backward(indices, 2.0)
    given = collected(leaves)
    (sum(read(int(i), 2.0) for i in indices) / len(indices)).backward()
    np.testing.assert_allclose(given, collected(leaves), **CLOSE)


@EVERY
@pytest.mark.parametrize("many_first", [False, True])
def test_a_leaf_that_was_looked_up_keeps_its_place(engine, many_first):
    table = table_of(20, 2)
    f = compiled(lambda i, x: take(table, i)[0] * x, engine=engine)
    f(0.0, 1.0)
    f(np.array([4.0, 4.0]) if many_first else 4.0, 1.0)
    (was, _), now = table[4], Value(7.0)
    table[4][0] = now
    others = [table[9][0], table[17][0]]
    expected = [x.data for x in (was, others[0], was, others[1])]
    f.backward(4.0, 1.0)
    f.backward(np.array([4.0, 9.0, 4.0, 17.0]), 2.0)
    assert [x.grad for x in (was, now, *others)] == [2.0, 0.0, 0.5, 0.5]
    assert f(np.array([4.0, 9.0, 4.0, 17.0]), 1.0).tolist() == expected
    assert f(4.0, 1.0) == was.data


@EVERY
def test_rows_that_are_computed_are_found_when_they_are_read(engine):
    inner = Value(3.0) * Value(2.0)

    def mixed(i, x):
        rows = [[Value(2.0), x * x] if k == 9 else [Value(1.0), Value(5.0)] for k in range(12)]
        rows[4] = [Value(1.0), inner]
        return take(rows, i)[1] * x

    f = compiled(mixed, engine=engine)
    assert (f(3.0, 2.0), f(4.0, 2.0), f(9.0, 2.0)) == (10.0, 12.0, 8.0)
    assert f.grad(9.0, 2.0) == (0.0, 12.0)
    assert f(np.array([9.0, 4.0]), np.array([3.0, 1.0])).tolist() == [27.0, 6.0]
    ragged = [[Value(1.0)] * (3 if k == 5 else 2) for k in range(10)]
    g = compiled(lambda i: take(ragged, i)[0], engine=engine)
    assert g(1.0) == 1.0
    with pytest.raises(ValueError, match="rows of 2 and of 3 numbers"):
        g(5.0)


@EVERY
@EACH
def test_files_and_pickles_hold_tables(engine, function, tmp_path):
    f = compiled(lambda i, x: function(i, x), engine=engine)
    f(3.0, 0.7), f(3.0, -0.7)
    f.save(tmp_path / "f.json")
    loaded = load_compiled(tmp_path / "f.json")
    assert [loaded(i, x) for i, x in ((3.0, 0.7), (9.0, -0.7))] == [f(3.0, 0.7), f(9.0, -0.7)]
    np.testing.assert_array_equal(loaded(INDICES, POINTS), f(INDICES, POINTS))
    assert loaded.grad(9.0, 0.3) == f.grad(9.0, 0.3)
    assert loaded.backward(INDICES, POINTS) == pytest.approx(f.backward(INDICES, POINTS), rel=1e-14)
    collected(LEAVES)
    with pytest.raises(TraceError, match="loaded without its source"):
        loaded(99.0, 0.7)


def test_a_table_is_looked_through_before_it_leaves_the_process(tmp_path):
    rows = [[Value(1.0), Value(5.0)] for _ in range(12)]
    rows[7] = [Value(1.0), Value(2.0) * Value(4.0)]
    f = compiled(lambda i, x: take(rows, i)[1] * x)
    f(3.0, 2.0)
    f.save(tmp_path / "f.json")
    assert load_compiled(tmp_path / "f.json")(7.0, 2.0) == f(7.0, 2.0) == 16.0


def test_a_derivative_by_the_table_itself_inside():
    def inner(i, x):
        return grad(lambda rows: (take(rows, i)[1] * x) ** 2)(ROWS)[3][1]

    f = compiled(inner)
    for i in (3.0, 4.0):
        assert f(i, 1.5) == pytest.approx(inner(i, 1.5), rel=1e-14)


def test_no_derivative_goes_to_an_index():
    assert jvp(lambda i, x: take(FLAT, i) * x, (1.0, 2.0), (1.0, 1.0))[1].data == FLAT[1].data


def test_neither_code_nor_calls_know_the_length():
    """A table of 50,000 rows of 16 gives the code that one of 50 gives."""
    sizes = {}
    for count in (50, 50_000):
        table = [[0.5] * 16 for _ in range(count - 1)] + [[Value(1.0)] * 16]
        table[0] = [Value(2.0)] * 16
        f = compiled(lambda i, x, table=table: tg.dot(take(table, i), [x] * 16))
        f.backward(count - 1.0, 2.0)
        sizes[count] = len(f.tape), len(f.source)
    assert sizes[50][0] == sizes[50_000][0]
    assert abs(sizes[50][1] - sizes[50_000][1]) <= 6  # the digits of the last index


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("+*-")), min_size=1, max_size=12),
    seed=st.integers(0, 2**16),
)
def test_programs_that_look_up_again_and_again(steps, seed):
    """An index of its own for every step, as an argument; every engine against the function."""
    table, draw = table_of(11, 2, seed), random.Random(seed)

    def program(indices, x):
        for (k, sign), i in zip(steps, indices, strict=True):
            a, b = take(table, i)
            x = a + b * x if sign == "+" else a * x if sign == "*" else tg.sin(x - a * b + k)
        return x

    indices = [float(draw.randrange(11)) for _ in steps]
    leaves = list(itertools.chain.from_iterable(table))
    program(indices, 0.5).backward()
    expected = collected(leaves)
    for engine in (name for name in engines() if name != "cuda"):
        f = compiled(program, engine=engine)
        assert f(indices, 0.5) == pytest.approx(program(indices, 0.5).data, rel=1e-12, abs=1e-14)
        f.backward(indices, 0.5)
        # up to a dozen steps, each rounded once more or less
        np.testing.assert_allclose(collected(leaves), expected, rtol=1e-11, atol=1e-13)


@EVERY
@pytest.mark.parametrize("rows", [1, 2, 20])
def test_an_entry_is_itself_where_nothing_is_recorded(engine, rows):
    """∂(x + x²)/∂x at 1.5, where index 0 gives x; 2x is a constant, as it is computed there."""

    def f(x, i):
        with tg.no_grad():
            y = take([x, 2.0 * x] * rows, i)
        return y + x * x

    c = compiled(f, engine=engine)
    for x, i, slope in ((1.5, 0.0, 4.0), (1.5, 1.0, 3.0)) * 2:
        assert grad(f)(x, i) == c.grad(x, i) == (slope, 0.0)
    assert c.grad(np.array([1.5, 1.5]), np.array([0.0, 1.0]))[0].tolist() == [4.0, 3.0]
