"""Loops that the compiled engine rolls up again: the same numbers as the function uncompiled."""

import math
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tape_reference import close, points

from tinygrad_scalar import (
    Value,
    compile,
    cos,
    engines,
    exp,
    grad,
    hvp,
    jacobian,
    log,
    maximum,
    primitive,
    relu,
    sigmoid,
    sin,
    sqrt,
    sum,
    take,
    tanh,
    value_and_grad,
    where,
)
from tinygrad_scalar.compiler.ir.program import pruned
from tinygrad_scalar.compiler.ir.reroll import loops
from tinygrad_scalar.compiler.ir.schedule import scheduled
from tinygrad_scalar.compiler.ir.tape import Tape
from tinygrad_scalar.core.primitives import add, mul

pytestmark = pytest.mark.skipif("llvm" not in engines(), reason="llvmlite is not installed")
rng = random.Random(0)
SHUFFLED = rng.sample(range(400), 400)
WEIGHTS = [rng.uniform(-1, 1) for _ in range(400)]


def neighbours(x):
    """Each term uses two inputs."""
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def recurrence(x):
    """Each state depends on the two before."""
    a, b = x[0], x[1]
    for y in x[2:]:
        a, b = b, tanh(0.5 * a - b * y) + y
    return a * b


def shuffled(x):
    """Inputs in an order of no system, each with a constant of its own."""
    return sum(WEIGHTS[i] * sin(x[i]) * x[-1 - i] for i in SHUFFLED if i < len(x))


def branches(x):
    """Selections, and a maximum that is carried along."""
    largest, total = x[0], 0.0
    for y in x:
        largest = maximum(largest, y * y)
        total = total + where(y > 0, y * largest, relu(-y))
    return total


def two_ways(x):
    """A loop forth and one back over the same numbers."""
    states = [x[0]]
    for y in x[1:]:
        states.append(states[-1] * 0.9 + cos(y))
    total = 0.0
    for state, y in zip(reversed(states), x, strict=True):
        total = total + state * y / (1.0 + state * state)
    return total


def risky(x):
    """Rows that raise outside their domain."""
    return sum(sqrt(1.5 + y) / exp(y) + log(2.0 + y) for y in x)


FUNCTIONS = (neighbours, recurrence, shuffled, branches, two_ways, risky)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("count", [3, 30, 150, 400])
def test_a_point_agrees_with_the_function_uncompiled(function, count):
    f, x = compile(function, engine="llvm"), points(count)
    value, gradient = f.value_and_grad(x)
    expected, slopes = value_and_grad(function)(x)
    close([value, *gradient], [expected, *slopes])
    other = points(count, seed=1)
    close(f.grad(other), grad(function)(other))
    close(f.hvp([x], [other]), hvp(function, [x], [other]))
    close(f.jvp([x], [other])[1], math.fsum(a * b for a, b in zip(slopes, other, strict=True)))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_batches_agree_with_points(function, rows):
    f, X = compile(function, engine="llvm"), np.array([points(90, seed=k) for k in range(rows)])
    close(f.grad(X), [grad(function)(list(map(float, row))) for row in X])
    close(f(X), [function([Value(float(a)) for a in row]).data for row in X])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_of_leaves_are_summed_over_the_batch(function):
    leaves = [Value(number) for number in points(120)]
    f = compile(lambda t: function([leaf * t for leaf in leaves]), engine="llvm")
    scales = np.linspace(0.1, 1.0, 13)
    mean = f.backward(scales)
    given = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = 0.0
    total = 0.0
    for t in scales:
        y = function([leaf * float(t) for leaf in leaves])
        y.backward()
        total += y.data
    close(mean, total / len(scales))
    close(given, [leaf.grad / len(scales) for leaf in leaves])


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
def test_any_number_of_points_is_summed_whatever_their_branch(dtype, close):
    """Numbers of points around those of one vector, and of several, of any machine."""
    weights, table = [Value(0.01 * k) for k in range(90)], [Value(0.1 * k) for k in range(5)]

    def f(i, x):
        entry = take(table, i)
        if x > 0.3:
            return sum(tanh(w * x) for w in weights) * entry
        return entry * x

    compiled = compile(f, engine="llvm", dtype=dtype)
    rng = np.random.default_rng(0)
    for count in (*range(1, 70), 129, 1000):
        i, x = rng.integers(0, 5, count), rng.uniform(0, 1, count)
        entries, above = 0.1 * i, x > 0.3
        hidden = np.tanh(x[:, None] * (0.01 * np.arange(90)))
        factor = np.where(above, hidden.sum(axis=1), x)
        inner = (above * entries * x)[:, None] * (1 - hidden**2)
        mean = compiled.backward(i, x)
        assert mean == pytest.approx(np.mean(factor * entries), rel=close)
        assert [w.grad for w in weights] == pytest.approx(inner.mean(axis=0), rel=close, abs=close)
        slopes = np.bincount(i, factor, 5) / count
        assert [entry.grad for entry in table] == pytest.approx(slopes, rel=close, abs=close)
        for leaf in (*weights, *table):
            leaf.grad = 0.0


def test_a_network_of_many_equal_neurons():
    rng = random.Random(3)
    layers = [(2, 60), (60, 40), (40, 1)]
    weights = [[[Value(rng.gauss(0, 0.3)) for _ in range(n)] for _ in range(m)] for n, m in layers]

    def network(x, target):
        for k, layer in enumerate(weights):
            x = [sum(w * a for w, a in zip(row, x, strict=True)) + row[0] for row in layer]
            x = [relu(a) for a in x] if k < 2 else x
        return (sigmoid(x[0]) - target) ** 2

    f = compile(network, engine="llvm")
    X, Y = np.array([points(2, seed=k) for k in range(20)]), np.arange(20.0) % 2
    mean = f.backward(X, Y)
    leaves = [w for layer in weights for row in layer for w in row]
    given = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = 0.0
    losses = [network(list(map(float, x)), float(y)) for x, y in zip(X, Y, strict=True)]
    sum(losses).backward()
    close(mean, math.fsum(loss.data for loss in losses) / 20)
    close(given, [leaf.grad / 20 for leaf in leaves])


def test_guards_and_tables_in_front_of_a_loop():
    table = [Value(number) for number in points(50)]

    def looked_up(i, x):
        start = take(table, i)
        if start > 0:
            start = -start
        total = start
        for leaf in table:
            total = total * 0.5 + leaf * x * start
        return total

    f = compile(looked_up, engine="llvm")
    indices, x = np.arange(50), np.linspace(-1, 1, 50)
    expected = [looked_up(int(i), float(t)) for i, t in zip(indices, x, strict=True)]
    close(f(indices, x), [y.data for y in expected])
    f.backward(indices, x)
    given = [leaf.grad for leaf in table]
    for leaf in table:
        leaf.grad = 0.0
    sum(expected).backward()
    close(given, [leaf.grad / 50 for leaf in table])


def pooled(x):
    """The larger of every two, each found by a branch of its own."""
    states = [tanh(a * b + 0.1 * a) for a, b in pairwise(x)]
    return sum(max(a, b) * c for a, b, c in zip(states, states[1:], x, strict=False))


def quantile(x):
    """Errors above and below count differently."""
    return sum((0.9 if y > 0 else -0.1) * tanh(y * y - y) for y in x)


def test_branches_that_go_either_way_are_one_loop():
    """The code is as long for twice as many."""
    lengths = []
    for count in (200, 400):
        f, x = compile(quantile, engine="llvm"), points(count)
        value, slopes = value_and_grad(quantile)(x)
        close([f(x), *f.grad(x)], [value, *slopes])
        assert len({y > 0 for y in x}) == 2
        lengths.append(len(f.source_for("llvm").splitlines()))
    assert lengths[1] < 1.1 * lengths[0]


@pytest.mark.parametrize("function", [pooled, quantile])
@pytest.mark.parametrize("rows", [3, 40])
def test_points_leave_a_loop_of_branches_at_each_of_them(rows, function):
    """Those that go another way are on another path, and no sum counts them where they are not."""
    rng = np.random.default_rng(0)
    X = np.array([points(120)] * rows) * rng.uniform(0.9, 1.1, (rows, 1))
    for k in range(0, rows, 9):  # another path or two
        X[k, 3 * k] = -X[k, 3 * k]
    f = compile(function, engine="llvm")
    each = [value_and_grad(function)(row.tolist()) for row in X]
    close(f(X), [value for value, _ in each])
    close(f.grad(X), [slopes for _, slopes in each])
    leaves = [Value(number) for number in points(120)]
    scales = rng.uniform(-1, 1, rows)  # a negative one turns every branch
    f = compile(lambda t: function([leaf * t for leaf in leaves]), engine="llvm")
    mean = f.backward(scales)
    each = [value_and_grad(function)([leaf.data * t for leaf in leaves]) for t in scales.tolist()]
    close(mean, math.fsum(value for value, _ in each) / rows)
    slopes = np.array([slopes for _, slopes in each]) * scales[:, None]
    close([leaf.grad for leaf in leaves], slopes.mean(axis=0))


def test_what_raises_in_a_loop_raises_as_uncompiled():
    f, x = compile(risky, engine="llvm"), points(200)
    f(x)
    x[77] = -1.75
    with pytest.raises(ValueError, match="sqrt"):
        f(x)
    with pytest.raises(ValueError, match="sqrt"):
        f.grad(x)
    with np.errstate(invalid="ignore"):
        assert math.isnan(f(np.array([x]))[0])


def test_every_line_of_a_loop_can_be_an_output():
    def running(x):
        totals = [x[0]]
        for y in x[1:]:
            totals.append(totals[-1] + y * y)
        return totals

    f, x = compile(running, engine="llvm"), points(300)
    close(f(x), [y.data for y in running([Value(a) for a in x])])
    assert f([x[0]] * 300)[299] == pytest.approx(x[0] + 299 * x[0] ** 2)


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("count", [3, 18, 60])
def test_a_sparse_jacobian_is_as_uncompiled(count, engine):
    def products(x):
        return [a * b for a, b in pairwise(x)]

    f, X = compile(products, engine=engine), np.array([points(count, seed=k) for k in range(11)])
    expected = [jacobian(products)(list(map(float, x))) for x in X]
    assert f.jacobian(list(map(float, X[0]))) == pytest.approx(np.array(expected[0]), rel=1e-15)
    assert f.jacobian(X) == pytest.approx(np.array(expected), rel=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_leaves_that_share_a_gradient_get_it_from_the_points_that_count(dtype):
    leaves = [Value(0.5) for _ in range(40)]
    f = compile(lambda x: sum(leaves) * x if x > 0 else sum(leaves) * x * x, dtype=dtype)
    X = np.array(points(37))
    f.backward(X)
    expected = np.where(X > 0, X, X * X).mean()
    assert [leaf.grad for leaf in leaves] == pytest.approx([expected] * 40, rel=1e-6)


@pytest.mark.parametrize("target", ["c", "llvm"])
def test_many_outputs_that_are_one_number_are_written_by_one_loop(target):
    def lines(count):
        f = compile(lambda x: x[0] * x[1])
        f([0.5] * count)
        return len(f.source_for(target).splitlines())

    assert lines(200) == lines(100)


@pytest.mark.parametrize("count", [1, 3, 8, 50])
@pytest.mark.parametrize(
    "laid_out",
    [np.ascontiguousarray, np.asfortranarray, lambda X: np.repeat(X, 2, 1)[:, ::2], np.rint],
    ids=["by rows", "by columns", "every second", "whole numbers"],
)
def test_columns_of_an_array_are_read_however_they_stand_in_memory(count, laid_out):
    weights = [Value(0.1 * k - 0.2) for k in range(5)]

    def loss(x, t):
        return (sum(w * a for w, a in zip(weights, x, strict=True)) - t) ** 2

    rng = np.random.default_rng(0)
    X, t = laid_out(rng.uniform(-2, 2, (count, 5))), rng.uniform(-1, 1, count)
    errors = X @ [w.data for w in weights] - t
    f = compile(loss, engine="llvm")
    for _ in range(3):  # the second is called directly
        close(f.backward(X, t), (errors**2).mean())
        close([w.grad for w in weights], 2 * errors @ X / count)
        for w in weights:
            w.grad = 0.0
    close(f.backward(X.astype(np.int64), t), f(X.astype(np.int64), t).mean())


def test_float32_batches():
    f = compile(neighbours, engine="llvm", dtype="float32")
    X = np.array([points(100, seed=k) for k in range(9)])
    expected = [neighbours([Value(float(a)) for a in row]).data for row in X]
    np.testing.assert_allclose(f(X), expected, rtol=1e-4)  # 100 sums of 24 bits each


def test_a_loop_over_numbers_and_columns_reads_each_as_it_is():
    def mixed(numbers, columns):
        return sum(sin(y) * y for y in [*numbers, *columns])

    f, shared = compile(mixed, engine="llvm"), points(100)
    X = np.array([points(100, seed=k) for k in range(9)])
    close(
        f(shared, X), [mixed([Value(y) for y in shared], list(map(float, row))).data for row in X]
    )


def test_a_first_iteration_with_another_operand_does_not_hide_the_loop():
    tape = Tape()
    total = tape.constant(0.0)
    for k in range(200):
        y = tape.input(k)
        total = tape.emit(add, (total, tape.emit(mul, (y, y))))
    found = loops(pruned(tape.code, [total], inputs=200, parameters=0), 0)
    assert [(loop.period, loop.iterations) for loop in found] == [(2, 199)]


def test_iterations_that_read_otherwise_are_a_loop_of_their_own():
    tape = Tape()
    squares = [tape.emit(mul, (y, y)) for y in map(tape.input, range(300))]
    total = squares[0]
    for y in squares[1:]:
        total = tape.emit(add, (total, y))
    doubled = [tape.emit(add, (y, y)) for y in squares]
    found = loops(pruned(tape.code, [total, *doubled], inputs=300, parameters=0), 0)
    assert [(loop.period, loop.iterations) for loop in found] == [(1, 300), (1, 299), (1, 300)]


@pytest.mark.parametrize(
    ("count", "apart", "short", "long"),
    [
        (100, False, [(2, 99)], [(2, 99)]),
        (100, True, [], [(1, 100), (1, 99)]),  # a loop would round each product
        (300, True, [(1, 300), (1, 299)], [(1, 300), (1, 299)]),  # as it does where it is long
    ],
)
def test_a_short_loop_does_not_part_a_product_from_its_sum(count, apart, short, long):
    tape = Tape()
    x = [tape.input(k) for k in range(count)]
    products = [tape.emit(mul, (y, y)) for y in x] if apart else []
    total = tape.constant(0.0)
    for k, y in enumerate(x):
        term = products[k] if apart else tape.emit(mul, (y, y))
        total = tape.emit(add, (total, term)) if k or not apart else term
    program = pruned(tape.code, [total], inputs=count, parameters=0)
    for fused, expected in ((True, short), (False, long)):
        found = loops(program, shortest=64, fused=fused)
        assert [(loop.period, loop.iterations) for loop in found] == expected


def periods(program):
    return [(loop.period, loop.iterations) for loop in loops(program, 0)]


def written(*rows):
    """A program whose outputs are all lines of some rows, each of which is made of those before."""
    tape = Tape()
    inputs = [tape.input(k) for k in range(300)]
    made = []
    for row in rows:
        made.append(row(tape, inputs, made))
    return pruned(tape.code, [line for lines in made for line in lines], inputs=300, parameters=0)


def squares(tape, x, _):
    return [tape.emit(mul, (y, y)) for y in x]


def doubled(tape, _, made):
    return [tape.emit(add, (y, y)) for y in made[0]]


def products(tape, _, made):
    """Each is that before, times a number."""
    lines = made[-1][:1]
    for y in made[0]:
        lines.append(tape.emit(mul, (lines[-1], y)))
    return lines[1:]


def crossed(tape, x, made):
    """Two terms of each number, one row after the other; they read the same lines."""
    lines = [tape.emit(mul, (x[0], y)) for y in made[0]]
    return lines + [tape.emit(mul, (x[1], y)) for y in made[0]]


def by_factors(tape, x, made):
    """Three terms of each number, by factors that are products as two of the terms are."""
    lines = [tape.emit(mul, (y, z)) for y, z in pairwise(made[0][:3])]
    for y, z in zip(x, made[0], strict=True):
        lines += [tape.emit(mul, (lines[1], y)), tape.emit(mul, (lines[1], z))]
    return lines + [tape.emit(mul, (lines[0], z)) for z in made[0]]


def backwards(tape, x, made):
    return [tape.emit(mul, (y, z)) for y, z in zip(x, reversed(made[0]), strict=True)]


@pytest.mark.parametrize(
    ("rows", "apart", "together"),
    [
        ((squares, doubled), [(1, 300)] * 2, [(2, 300)]),
        ((squares, doubled, products), [(1, 300)] * 3, [(3, 299)]),  # the first reads otherwise
        ((squares, crossed), [(1, 300), (1, 600)], [(3, 300)]),
        ((squares, by_factors), [(1, 300), (2, 300), (1, 300)], [(1, 300), (3, 300)]),
        ((squares, backwards), [(1, 300)] * 2, [(1, 300)] * 2),
        ((squares, backwards, doubled), [(1, 300)] * 3, [(2, 300), (1, 300)]),
    ],
)
def test_loops_are_fused_where_no_iteration_needs_a_later_one(rows, apart, together):
    program = written(*rows)
    after = scheduled(program)
    assert periods(program) == apart
    assert periods(after) == together
    markers = program.markers
    for line, (_, operands) in enumerate(after.code[markers:], markers):
        assert max(operands) < line
    x = points(300)
    assert evaluated(after, x) == evaluated(program, x)


def evaluated(program, x):
    values = []
    for row, operands in program.code:
        values.append(row.forward(*[values[k] for k in operands]) if row in (add, mul) else None)
        if values[-1] is None:
            values[-1] = x[operands[0]]
    return [values[line] for line in program.outputs]


def test_a_loop_whose_iterations_all_read_otherwise_stays_one():
    tape = Tape()
    lines = [tape.emit(mul, (y, y)) for y in map(tape.input, range(40))]
    for k in range(1000):  # now what was computed right before, now what is farther away
        lines.append(tape.emit(add, (lines[-1 - k % 7], lines[SHUFFLED[k % 400] % 40])))
    found = loops(pruned(tape.code, lines, inputs=40, parameters=0), 0)
    assert max(loop.size for loop in found) > 900


def test_own_rows_in_a_long_loop_do_not_use_up_the_stack():
    doubled = primitive("doubled", lambda x: 2.0 * x, 2.0)

    def repeated(x):
        for _ in range(50_000):
            x = doubled(x) * 0.5
        return x

    f, results = compile(repeated, engine="llvm"), []
    f(np.array([0.5, 0.25]))
    stack = threading.stack_size(2**18)  # a room per iteration would need six times as much
    try:
        worker = threading.Thread(target=lambda: results.append(f(np.array([0.75, 1.5]))))
        worker.start()
        worker.join()
    finally:
        threading.stack_size(stack)
    assert [*results[0]] == [0.75, 1.5]


def test_own_rows_whose_partials_use_each_other():
    sine = primitive("sine", math.sin, lambda y, x: cosine(x))
    cosine = primitive("cosine", math.cos, lambda y, x: -sine(x))
    power = primitive("power", lambda x, n: x**n, lambda y, x, n: n * power(x, n - 1.0), 0.0)

    def function(x):
        return sine(x) * power(x, 3.0)

    f = compile(function, engine="llvm")
    close([f(0.3), f.grad(0.3)], value_and_grad(function)(0.3))
    close(f.hvp((0.3,), (1.0,)), hvp(function, (0.3,), (1.0,)))


def test_second_partials_of_own_rows_may_branch():
    inner = primitive("inner", lambda x: x * x, lambda y, x: x * x if x > 0 else -7.0 * x)
    outer = primitive("outer", lambda x: x**3, lambda y, x: 3 * inner(x))
    f, x = compile(outer, engine="llvm"), [1.0, -1.0, 2.0, -2.0]
    expected = [hvp(outer, (y,), (1.0,)) for y in x]
    close([f.hvp((y,), (1.0,)) for y in x], expected)
    close(f.hvp((np.array(x),), (1.0,)), expected)


def test_what_only_a_partial_raises_the_value_does_not():
    pole = primitive("pole", lambda x: x * x, lambda y, x: 1.0 / (x - 1.0) if x > 0 else 0.0)
    f = compile(lambda x: pole(x) + 1.0, engine="llvm")
    assert [f(2.0), f(1.0), f(-1.0), f.grad(2.0)] == [5.0, 2.0, 2.0, 1.0]
    assert "div" not in str(f.tape)


STEPS = (
    "{a} + {b}",
    "{a} - {b} * {c}",
    "sin({a})",
    "{a} * {b}",
    "where({a} > {b}, {a}, {c})",
    "-{a}",
)


@st.composite
def bodies(draw):
    """A loop over x: some statements on what is there, the state carried to the next iteration."""
    names, lines = ["y", "state", "older", "constant", "x[0]"], []
    for k in range(draw(st.integers(1, 6))):
        operands = {key: draw(st.sampled_from(names)) for key in "abc"}
        lines.append(f"  t{k} = {draw(st.sampled_from(STEPS)).format(**operands)}")
        names.append(f"t{k}")
    following = draw(st.sampled_from(names[5:]))
    return "\n".join(
        [
            "def function(x):",
            " state, older, total = x[1], x[2], 0.0",
            " for i, y in enumerate(x):",
            "  constant = 0.001 * (i % 7)",
            *lines,
            f"  state, older = tanh({following}), state",
            f"  total = total + {draw(st.sampled_from(names))}",
            " return total * state + y",
        ]
    )


@settings(max_examples=25)
@given(bodies(), st.sampled_from([40, 131]))
def test_random_loops_agree_with_the_function_uncompiled(body, count):
    scope = {"sin": sin, "tanh": tanh, "where": where}
    exec(body, scope)  # noqa: S102 (our own text)
    function, x = scope["function"], points(count)
    value, gradient = compile(function, engine="llvm").value_and_grad(x)
    expected, slopes = value_and_grad(function)(x)
    close([value, *gradient], [expected, *slopes])
    X = np.array([x, points(count, seed=1), points(count, seed=2)])
    close(
        compile(function, engine="llvm").grad(X),
        [grad(function)(list(map(float, row))) for row in X],
    )


def test_threads_share_one_function():
    def branching(x):
        total = x[0]
        for k, y in enumerate(x):
            total = total * 0.5 + y if y > 0.1 * k - 0.4 else total + y * y
        return total

    rows = [points(8, seed=k) for k in range(24)]
    expected = [grad(branching)(row) for row in rows]
    for _ in range(3):
        f = compile(branching, engine="llvm")

        def work(k, f=f):
            close(f.grad(rows[k]), expected[k])
            close(f.grad(np.array(rows[k:])), expected[k:])
            close(f.grad(rows[k]), expected[k])
            return True

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(len(rows))))


def test_time_steps_are_one_loop_in_lists_and_over_whole_arrays():
    """What is written is one time step of either, not forty: signs stand where a sum takes them."""

    def in_lists(u, k):
        for _ in range(40):
            inner = [b + k * (a - 2 * b + c) for a, b, c in zip(u, u[1:], u[2:], strict=False)]
            u = [u[0], *inner, u[-1]]
        return sum([x * x for x in u])

    def over_arrays(u, k):
        u = np.array(u)
        for _ in range(40):
            inner = u[1:-1] + k * (u[:-2] - 2 * u[1:-1] + u[2:])
            u = np.concatenate([u[:1], inner, u[-1:]])
        return u @ u

    start = np.sin(np.arange(50.0)).tolist()
    made = [compile(f) for f in (in_lists, over_arrays)]
    values = [f(start, 0.2) for f in made]
    assert values[0] == pytest.approx(values[1], rel=1e-13)
    lists, arrays = (len(f.source_for("llvm")) for f in made)
    assert arrays < 2 * lists
