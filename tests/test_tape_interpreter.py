"""Large traces at one point: superinstructions and rows over cells, the numbers of any engine."""

import gc
import math
import pickle
import platform
import random
import weakref
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instruction_lists import programs
from tape_reference import close, points

import tinygrad_scalar as tg
from tinygrad_scalar import Value, compile, engines, primitive, value_and_grad
from tinygrad_scalar.compiler import backends, load_compiled
from tinygrad_scalar.compiler.tracing import traced

if "llvm" not in engines():
    pytest.skip("llvmlite is not installed", allow_module_level=True)

from tinygrad_scalar.compiler.ir.reroll import Loop, stretches
from tinygrad_scalar.compiler.llvm.kernel import Kernel as LlvmKernel
from tinygrad_scalar.compiler.vm.bytecode import Stream
from tinygrad_scalar.compiler.vm.kernel import Interpreter
from tinygrad_scalar.compiler.vm.superinstructions import Unsupported


@pytest.fixture
def everything(monkeypatch):
    """Have traces of any length interpreted."""
    monkeypatch.setattr(backends, "AT_FIRST", 1)


def interpreted(path, mode, fewest=8):
    """The stream for a mode, and the kernel that runs it."""
    sizes = (path.inputs, len(path.leaves))
    stream = Stream(path.recording.tape.code, path.asked(mode), sizes, fewest)
    return stream, Interpreter(stream)


def both(function, x):
    """Value and gradient by the interpreter alone: nothing else may save them."""
    path = traced(function, [[None] * len(x)], x)
    return interpreted(path, "value_and_grad")[1].point(x, path.parameters())


def agrees(function, x):
    """Value and gradient are those of the function uncompiled."""
    value, gradient = value_and_grad(function)(x)
    close(both(function, x), [value, *gradient])


# ── functions with loops, and with loops that do not quite repeat ─────────────────────────────
def neighbours(x):
    """Each term uses two inputs."""
    return tg.sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def recurrence(x):
    """Each state depends on the two before."""
    a, b = x[0], x[-1]
    for y in x:
        a, b = b, tg.tanh(0.5 * a - b * y) + y
    return a * b


def nested(x):
    """Loops in a loop, sums of growing length, and a constant of each iteration's own."""
    total = 0.0
    for i, y in enumerate(x):
        state = y
        for k in range(10):
            state = tg.sin(state + 0.1 * k) * x[(i * 7 + k) % len(x)]
        total = total + state * 0.01 * i + tg.sum(x[: i % 5 + 1])
    return total


def shared(x):
    """What iterations share with earlier ones, and with themselves, is there only once."""
    total = x[0] * x[0]
    for i in range(len(x)):
        y = x[i % 3] * x[i]
        total = total + y * y + tg.exp(-y) * (x[0] * x[0]) + x[i] * x[i]
    return total


def every_other(x):
    """Two ways in turn, and another one now and then."""
    state = x[0]
    for i, y in enumerate(x):
        state = tg.tanh(state * y + 1.0) if i % 2 else state - y * y
        if i % 37 == 5:
            state = tg.log(2.0 + state * state)
    return state


def long_rows(x):
    """Rows of more operands than an instruction has."""
    y = [1.0 + 0.01 * a for a in x * 3]
    rows = tg.primitives.mean(*y) + tg.primitives.dot(*x, *y[: len(x)]) + tg.primitives.prod(*y)
    return rows + tg.logsumexp(x) * tg.cross_entropy(x, len(x) // 2) + tg.sum(y) ** 0.5


def powers(x):
    """Exponents that are written as products, others, and those that vary."""
    total = 0.0
    for k, y in enumerate(x):
        base = 1.5 + y
        total = total + base**3 + base**-2 + base**0.5 + base**1.7 + base**y + y ** (k % 4)
    return total


def selections(x):
    """Masks, a maximum that is carried along, and slopes that are stopped."""
    largest, total = x[0], 0.0
    for y in x:
        largest = tg.maximum(largest, y * y)
        total = total + tg.where(y > 0, y * largest, tg.relu(-y)) + y.detach() * abs(y)
    return total


def switching(x):
    """The same rows throughout, which read now the number before, now that of this iteration."""
    before, total = x[0], x[0]
    for i, y in enumerate(x):
        root, wave = tg.sqrt(2.0 + y), tg.cos(y)
        total = total + (before if i % 50 > 20 else root) * wave
        before = root
    return total


def many_long_rows(x):
    """One long row after the other."""
    state = [1.0 + 0.1 * y for y in x]
    for i in range(30):
        inner = tg.primitives.dot(*(state[:1] * 20), *[state[(i + k) % len(x)] for k in range(20)])
        state[i % len(x)] = tg.tanh(inner * 0.01) + tg.primitives.mean(*state, *state, *state)
    return tg.sum(state)


def matrices(x):
    """Products of rows and a vector of many lengths, in pieces, and with themselves."""
    state, count = [0.3 + 0.1 * y for y in x], len(x)
    for width in (8, 9, 16, 23):
        rows = [[x[(i * width + k) % count] for k in range(width)] for i in range(7)]
        vector = [*state[3:], *(0.5 * y for y in state), 1.0, *state * 8][:width]
        state += [tg.dot(row, vector) for row in rows]
        state += [tg.dot(vector, row) for row in rows[:3]]
        pair = state[:width], state[1 : width + 1]  # which overlap
        state.append(tg.dot(vector, vector) + tg.dot(*pair))
        for _ in range(5):  # each row holds the result before
            state.append(0.1 * tg.dot(state[-width:], vector))
            state.append(tg.dot(state[-width:], vector))
        state = [tg.tanh(y) for y in state]
    return tg.sum(state)


def sums_of_products(x):
    """Dot products written by hand, long and short, onto a sum, and sums that are read midway."""
    state, total = [0.3 + 0.1 * y for y in x], x[0]
    for width in (3, 5, 8, 17):
        vector = (state * 8)[:width]
        rows = [[x[(i * width + k) % len(x)] for k in range(width)] for i in range(6)]
        state += [sum(w * a for w, a in zip(row, vector, strict=True)) for row in rows]
        state += [sum(a * w for w, a in zip(row, vector, strict=True)) / 2 for row in rows]
        for a, b in zip(vector, rows[0], strict=True):
            total = total + a * b
            if width == 8:
                state.append(total)  # which nothing may skip
        state = [tg.tanh(y) for y in state]
    product = state[0] * state[1]
    return total + product * state[2] + product * state[3] + state[4] * state[4] + tg.sum(state)


FUNCTIONS = (
    neighbours, recurrence, nested, shared, every_other, long_rows, powers, selections, switching,
    many_long_rows, matrices, sums_of_products,
)  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("count", [3, 30, 200])
def test_a_point_agrees_with_the_function_uncompiled(function, count):
    agrees(function, points(count))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_mode_and_other_points(function, everything):
    f, x = compile(function, engine="llvm"), points(60)
    for seed in range(3):
        x = points(60, seed)
        value, gradient = value_and_grad(function)(x)
        close(f(x), value)
        close(f.grad(x), gradient)
        close(f.grad(x), gradient)  # by the entry
        close(f.grad(np.array([x]))[0], gradient)
        again, slopes = f.value_and_grad(x)
        close([again, *slopes], [value, *gradient])


@settings(max_examples=40)
@given(programs(), st.integers(1, 30))
def test_random_programs_repeated_agree_with_the_function_uncompiled(program, times):
    def function(x):
        numbers, total = list(x), 0.0
        for _ in range(times):
            results = program.compute(numbers)
            numbers = [tg.tanh(y) for y in results[-len(numbers) :]]
            total = total + numbers[0] * numbers[-1]
        return total + x[0]

    agrees(function, list(program.inputs))


# ── how a trace is cut up ─────────────────────────────────────────────────────────────────────
def test_a_loop_is_one_superinstruction():
    x = points(500)
    path = traced(neighbours, [[None] * 500], x)
    stream, _ = interpreted(path, "grad")
    assert stream.instructions[:, 1].tolist() == [499, 499]  # the terms and their sum
    assert stream.cells.count == 500 + 3 + 499 + 1  # numbers inside an iteration have no cell


def test_a_loop_begins_where_least_goes_over():
    def carried(x):
        first, second, third = tg.sin(x[0]), tg.cos(x[0]), tg.tanh(x[0])
        for _ in range(300):
            state = (first + second) * third
            first, second, third = state * 2.0, state * 3.0, state * 0.5
        return state

    path = traced(carried, [[None]], [0.5])
    stream, _ = interpreted(path, "value")
    assert stream.cells.count <= 300 + 20  # a state for each iteration


def test_stretches_of_numbers():
    rng = random.Random(0)
    noise = [rng.randrange(10**6) for _ in range(1000)]
    numbers = np.array([*noise, *[1, 2, 3] * 50, *noise[:30], *[4, 4, 4, 5] * 20])
    found = stretches(numbers.tolist())
    assert [(s.start, s.period, s.iterations) for s in found] == [(1000, 3, 50), (1180, 4, 20)]
    assert found[0] == Loop(1000, 3, 50)
    assert stretches(noise) == stretches([1]) == []


def test_an_outer_loop_is_preferred_to_its_inner_one():
    numbers = np.array([*[1, 2] * 9, 3, 4, 5] * 40)
    assert [(s.period, s.iterations) for s in stretches(numbers.tolist())] == [(21, 40)]


def test_few_long_iterations_are_many_short_ones():
    """Each row of a matrix that is eliminated is a loop; so are all numbers of it."""

    def eliminated(x):
        rows, total = [x[k : k + 14] for k in range(0, 196, 14)], 0.0
        while rows:
            (pivot, *top), *below = rows
            rows = [
                [a - row[0] / pivot * b for a, b in zip(row[1:], top, strict=True)] for row in below
            ]
            total = total + pivot * pivot
        return total

    x = [a + 20.0 * (k % 15 == 0) for k, a in enumerate(points(196))]
    path = traced(eliminated, [[None] * 196], x)
    value, slopes = value_and_grad(eliminated)(x)
    longest, counts = [], []
    for fewest in (8, 20, 10_000):
        stream, kernel = interpreted(path, "value_and_grad", fewest)
        close(kernel.point(x, ()), [value, *slopes])
        longest.append(max(body.width for body in stream.bodies))
        counts.append(len(stream.instructions))
    assert longest[0] > 2 * longest[1]
    assert counts[0] < counts[1] < counts[2] / 3


# ── what comes in and goes out ────────────────────────────────────────────────────────────────
def test_outputs_may_be_inputs_constants_and_the_same_twice():
    def several(x):
        total = 0.0
        for y in x:
            total = total + y * y
        return [x[1], total, Value(2.5), 1.5, total, x[1] * 1.0, x[0] + total]

    path, x = traced(several, [[None] * 40], points(40)), points(40)
    square = math.fsum(y * y for y in x)
    outputs = interpreted(path, "value")[1].point(x, path.parameters())
    close(outputs, [x[1], square, 2.5, 1.5, square, x[1], x[0] + square])


def test_outputs_that_nothing_else_reads():
    def each(x):
        return [tg.exp(y * y) * 2.0 + 1.0 for y in x]

    x = points(50)
    outputs = interpreted(traced(each, [[None] * 50], x), "value")[1].point(x, ())
    close(outputs, [math.exp(y * y) * 2 + 1 for y in x])


@pytest.mark.parametrize("chosen", [lambda x: x[1], lambda x: x[1] * 0.0 + 1.0])
def test_gradients_of_an_input_and_of_what_hardly_depends_on_it(chosen):
    agrees(chosen, points(4))


def test_gradients_along_some_inputs_only(everything):
    def product(x, y, z):
        return tg.sum(a * b + z for a, b in zip(x, y, strict=True))

    f = compile(product, engine="llvm", argnums=(2, 0))
    x, y = points(50), points(50, 1)
    slope, gradient = f.grad(x, y, 0.5)
    close(gradient, y)
    assert slope == 50.0


def test_gradients_of_leaves_are_added(everything):
    leaves = [Value(w) for w in points(90)]

    def loss(x):
        state = x
        for a, b, c in zip(*[iter(leaves)] * 3, strict=True):
            state = tg.tanh(a * state + b) * c + state
        return state * state

    f = compile(loss, engine="llvm")
    assert isinstance(interpreted(traced(loss, [None], [0.3]), "backward")[1], Interpreter)
    for x in (0.3, 0.7):
        value = f.backward(x)
        given = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = 0.0
        expected = loss(Value(x))
        expected.backward()
        close([value, *given], [expected.data, *[leaf.grad for leaf in leaves]])
        for leaf in leaves:
            leaf.data, leaf.grad = leaf.data * 0.9, 0.0


# ── branches, errors, own rows ────────────────────────────────────────────────────────────────
def branching(x):
    """A branch in each iteration, and a loop that ends by itself."""
    total = x[0]
    for y in x:
        total = total * 0.9 + y if y * y > 0.09 else total - y * y * y
    while total * total > 1e-3:
        total = total * 0.97
    return total


def test_points_take_their_own_paths(everything):
    f = compile(branching, engine="llvm")
    for seed in range(4):
        x = points(60, seed)
        value, gradient = value_and_grad(branching)(x)
        close([f(x), *f.grad(x)], [value, *gradient])
    (own,) = f._specialisations.values()
    assert len(own.paths) == 4


def test_a_guard_that_fails_gives_nothing():
    x = points(60)
    path = traced(branching, [[None] * 60], x)
    _, kernel = interpreted(path, "value_and_grad")
    assert kernel.point(x, ()) is not None
    assert kernel.point(points(60, 1), ()) is None


def test_a_stretch_of_guards_alone_hands_nothing_on():
    def bounded(x):
        if all(-2.0 < y < 2.0 for y in x):
            return tg.dot(x, x)
        return x[0]

    x = points(60)
    stream, kernel = interpreted(traced(bounded, [[None] * 60], x), "value_and_grad")
    assert 0 in [body.results for body in stream.bodies]
    close(kernel.point(x, ()), [math.fsum(y * y for y in x), *(2 * y for y in x)])
    assert kernel.point([*x[:59], 3.0], ()) is None


def test_conditions_are_not_contracted():
    def tie(x):
        total = 0.0
        differences = [a * b - product for a, b, product in zip(*[iter(x)] * 3, strict=True)]
        for a, difference in zip(x[::3], differences, strict=True):
            if difference == 0.0:  # with two roundings, but not with one
                total = total + a
        return total

    rng = random.Random(0)
    pairs = [(rng.uniform(1, 2), rng.uniform(1, 2)) for _ in range(40)]
    x = [y for a, b in pairs for y in (a, b, a * b)]
    kernel = interpreted(traced(tie, [[None] * 120], x), "value")[1]
    close(kernel.point(x, ()), math.fsum(a for a, _ in pairs))


def risky(x):
    """Rows that raise outside their domain."""
    return tg.sum(tg.sqrt(1.5 + y) / tg.exp(y) + tg.log(2.0 + y) for y in x)


def test_what_raises_does_so_as_uncompiled(everything):
    f, x = compile(risky, engine="llvm"), points(100)
    for _ in range(2):
        close(f(x), risky(list(map(Value, x))).data)
        close(f.grad(x), value_and_grad(risky)(x)[1])
    x[77] = -1.75
    for call in (f, f.grad, f.value_and_grad):
        with pytest.raises(ValueError, match="sqrt"):
            call(x)
    with np.errstate(invalid="ignore"):
        assert math.isnan(f(np.array([x]))[0])


@pytest.mark.parametrize(("bad", "name"), [(-1.0, "log"), (0.5, "acosh"), (3.0, "atanh")])
def test_what_raises_does_so_though_nothing_reads_it(bad, name, everything):
    def unread(x):
        total = 0.0
        for y in x:
            tg.log(y), tg.acosh(y + 0.5 * y * y), tg.atanh(y * 0.5)
            total = total + y
        return total

    f = compile(unread, engine="llvm")
    x = [1.0 + 0.9 * y * y for y in points(30)]
    assert f(x) == pytest.approx(math.fsum(x))
    x[20] = bad
    for call in (f, f.grad):
        with pytest.raises(ValueError, match=name):
            call(x)


def test_numbers_that_are_not_finite(everything):
    def doubled(x):
        total = 0.0
        for y in x:
            total = total + y * 2.0
        return total

    f = compile(doubled, engine="llvm")
    x = points(30)
    for odd, expected in ((math.inf, math.inf), (math.nan, math.nan), (1e308, math.inf)):
        assert f([*x, odd]) == pytest.approx(expected, nan_ok=True)
    assert f.grad([*x, math.nan]) == [2.0] * 31


def test_an_infinite_slope_behind_a_mask_in_another_instruction(everything):
    def masked(x):
        roots = [tg.sqrt(abs(y)) for y in x]
        chosen = [tg.where(y > 0, root, 0.0) for y, root in zip(x, roots, strict=True)]
        return tg.sum(chosen)

    f = compile(masked, engine="llvm")
    x = points(40)
    close(f.grad(x), value_and_grad(masked)(x)[1])
    (own,) = f._specialisations.values()
    assert own.paths[0].interpreted
    x[7] = 0.0
    expected = value_and_grad(masked)(x)[1]
    close(f.grad(np.array([x]))[0], expected)
    for _ in range(2):
        close(f.grad(x), expected)
        assert not own.paths[0].interpreted


def test_own_rows_are_called_back(everything):
    cubed = primitive("cubed", lambda x: x**3, lambda y, x: 3 * x * x)

    def function(x):
        state = x[0]
        for y in x:
            state = tg.tanh(cubed(y) - state)
        return state + cubed(x[0])

    agrees(function, points(30))
    broken = primitive("broken", lambda x: [][int(x)], 1.0)
    f = compile(lambda x: tg.sum(broken(y) for y in x), engine="llvm")
    with pytest.raises(IndexError):
        f(points(20))


def test_own_rows_are_called_once():
    calls = []
    counted = primitive("counted", lambda x: calls.append(x) or x * x, lambda y, x: 2 * x)

    def function(x):
        return tg.sum(tg.sin(counted(y)) * y for y in x)

    x = points(30)
    kernel = interpreted(traced(function, [[None] * 30], x), "grad")[1]
    calls.clear()
    kernel.point(x, ())
    assert calls == x


def test_own_rows_go_with_what_they_close_over(everything):
    def half(x):
        return x * 0.5

    for row in (primitive("half", half, 0.5), primitive("half", formula=half)):
        agrees(lambda x, row=row: tg.sum(row(y) * y for y in x), [1.0, 2.0] * 8)
    held = weakref.ref(half)
    del half, row
    gc.collect()
    assert held() is None


def test_an_own_row_whose_partial_branches_is_written_out(everything):
    bent = primitive("bent", lambda x: x * x, lambda y, x: 2 * x if x > 0 else 3 * x)

    def function(x):
        return tg.sum(bent(y) for y in x)

    x = points(20)
    path = traced(function, [[None] * 20], x)
    with pytest.raises(Unsupported):
        interpreted(path, "grad")
    close(compile(function, engine="llvm").grad(x), value_and_grad(function)(x)[1])


def test_an_own_row_that_closes_over_a_leaf_is_written_out(everything):
    w = Value(3.0)
    scaled = primitive("scaled", lambda x: 3.0 * x, lambda y, x: w + 0.0 * x)

    def function(x):
        return tg.sum(scaled(y) * y for y in x)

    x = points(20)
    with pytest.raises(Unsupported):
        interpreted(traced(function, [[None] * 20], x), "grad")
    close(compile(function, engine="llvm").grad(x), [6.0 * y for y in x])


def test_derivatives_inside_a_loop():
    def function(x):
        return tg.sum(tg.grad(lambda a, y=y: tg.sin(a * y))(y) * y for y in x)

    agrees(function, points(40))


# ── large ones ────────────────────────────────────────────────────────────────────────────────
def test_three_hundred_thousand_lines():
    def chain(x):
        for _ in range(100_000):
            x = tg.sin(x) * 0.5 + 0.3
        return x

    f, expected, slope = compile(chain, engine="llvm"), 0.8, 1.0
    for _ in range(100_000):
        expected, slope = math.sin(expected) * 0.5 + 0.3, slope * math.cos(expected) * 0.5
    assert f(0.8) == pytest.approx(expected, rel=1e-15)
    assert f.grad(0.8) == slope == 0.0
    (own,) = f._specialisations.values()
    assert {type(kernel) for kernel in own.paths[0].kernels.values()} == {Interpreter}


def irregular(x):
    rng, seen = random.Random(0), list(x)
    for _ in range(2000):
        seen.append(rng.choice((tg.sin, tg.cos))(rng.choice(seen[-9:]) * rng.choice(seen[-9:])))
    return tg.sum(seen[-9:])


def layered(x):
    """What is read of this as code is more than any cache holds."""
    rng, layer = random.Random(0), x
    for _ in range(24):
        sums = [tg.dot(rng.sample(x, len(x)), layer) for _ in x]
        layer = [rng.choice((tg.tanh, tg.sin, tg.sigmoid))(y) for y in sums]
    return tg.sum(layer)


@pytest.mark.parametrize(
    ("function", "size", "pays"),
    [(neighbours, 1000, True), (irregular, 9, True), (layered, 40, False)],
)
def test_code_of_its_own_takes_over_where_it_pays(function, size, pays):
    f, x = compile(function, engine="llvm"), points(size)
    expected = value_and_grad(function)(x)
    at_first = f.value_and_grad(x)
    for _ in range(backends.first_calls(len(f.tape)) + 5):
        value, slopes = f.value_and_grad(x)
    close([value, *slopes], [expected[0], *expected[1]])
    if not pays and platform.machine() in ("x86_64", "AMD64"):
        assert (value, slopes) == at_first  # better machine code, and all is rounded as before
    (own,) = f._specialisations.values()
    (kernel,) = own.paths[0].kernels.values()
    assert isinstance(kernel, Interpreter) is not pays
    assert kernel.left is None


@pytest.mark.parametrize(("around", "kind"), [(0, LlvmKernel), (9_000, Interpreter)])
def test_a_row_of_many_operands_is_written_in_line_only_beside_a_long_trace(around, kind):
    """Of 500 operands it is 12,000 lines of machine code, and as a loop some 30."""

    def likely(x):
        y = x[0]
        for _ in range(around):
            y = tg.sin(y)
        return tg.sum(a * a for a in tg.log_softmax([y, *x[1:]]))

    f, x = compile(likely, engine="llvm"), points(500)
    value, slopes = f.value_and_grad(x)
    expected = value_and_grad(likely)(x)
    close([value, *slopes], [expected[0], *expected[1]])
    (own,) = f._specialisations.values()
    assert [type(kernel) for kernel in own.paths[0].kernels.values()] == [kind]


def test_files_and_listings(everything, tmp_path):
    f, x = compile(recurrence, engine="llvm"), points(50)
    gradient = f.grad(x)
    f.save(tmp_path / "f.json")
    for twin in (load_compiled(tmp_path / "f.json"), pickle.loads(pickle.dumps(f))):
        assert twin.grad(x) == gradient
    assert "tanh" in f.source
    assert len(f.tape) > 200


@pytest.mark.parametrize("nested", [False, True], ids=["entered directly", "taken apart"])
def test_machine_code_takes_over_from_the_interpreter(nested):
    """No call tells where: results, guards and errors are those of the function all along."""

    def long(x):
        x = x[0] if nested else x
        total = x[0] if x[0] > 0 else -x[1]
        for k in range(600):
            total = total * 0.5 + tg.log(x[k % 7 + 2] + 2 + k) * x[k % 3]
        return total

    f = compile(long, engine="llvm")
    first = points(9, seed=3)
    other = [-abs(first[0]), *first[1:]]
    expected = {}
    for x in (first, other):
        given = [x] if nested else x
        expected[tuple(x)] = value_and_grad(long)(given)
    for k in range(backends.first_calls(3000) + 5):
        x = other if k % 50 == 7 else first
        value, slopes = f.value_and_grad([x] if nested else x)
        y, exact = expected[tuple(x)]
        close([value, *(slopes[0] if nested else slopes)], [y, *(exact[0] if nested else exact)])
    kernels = next(iter(f._specialisations.values())).paths[0].kernels.values()
    assert not any(isinstance(kernel, Interpreter) for kernel in kernels)
    bad = [*first[:2], -3.0, *first[3:]]
    with pytest.raises(ValueError, match="log"):
        f([bad] if nested else bad)
