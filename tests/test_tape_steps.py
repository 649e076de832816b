"""`backward` at one point, again and again: what stands in leaves, tables and lists changes."""

import math
import threading
from fractions import Fraction

import numpy as np
import pytest

from tinygrad_scalar import TraceError, Value, compile, engines, exp, log, take, value_and_grad
from tinygrad_scalar.core.tree import leaves

EVERY = pytest.mark.parametrize("engine", [name for name in engines() if name != "cuda"])
ROWS, WIDTH = 12, 3


class Model:
    """Leaves, some of which stand in a table too, and a loss with a branch."""

    def __init__(self, count, *, looked_up):
        self.w = [Value(0.3 * k - 0.7) for k in range(count)]
        self.table = [[Value(0.1 * k + j) for j in range(WIDTH)] for k in range(ROWS)]
        self.table[5][1] = self.table[6][2] = self.w[0]  # one leaf in several places
        self.looked_up = looked_up

    @property
    def leaves(self):
        every = [*self.w, *(x for row in self.table for x in row)]
        return list({id(x): x for x in every}.values())

    def loss(self, x, i, inner):
        row = take(self.table, i) if self.looked_up else self.table[2]
        second = take(self.table, inner[1])[0] if self.looked_up else self.w[1]
        total = sum(w * a for w, a in zip(row, (x, inner[0], 1.0), strict=True))
        total = total + sum(w * (0.1 * k + x) for k, w in enumerate(self.w))
        if x > 0.5:
            return log(total * total) + second
        return exp(total * 0.01) * second + self.w[0]


def grads_after(model, action):
    """What an action gives or raises, and the gradients then, bit by bit."""
    try:
        result = action()
    except (ArithmeticError, ValueError, TypeError, IndexError) as error:
        result = type(error)
    return result, [(type(x.grad), float(x.grad).hex()) for x in model.leaves]


def assign(k, name, number):
    return lambda model: setattr(model.leaves[k], name, number)


NOTHING = lambda model: None  # noqa: E731
STEPS = [  # what is done to the leaves, and where backward is run
    *[(NOTHING, (1.0, 2.0, [0.4, 3.0]))] * 4,
    (NOTHING, (1.5, 7.0, [0.4, 0.0])),  # rows that nobody has looked up so far
    (NOTHING, (1.5, 7.0, [0.4, 0.0])),
    (NOTHING, (1.5, 5.0, [0.4, 6.0])),  # the leaf in several places, with its row's others
    (NOTHING, (1.5, 6.0, [0.4, 5.0])),
    (NOTHING, (0.1, 6.0, [0.4, 5.0])),  # another branch
    *[(NOTHING, (0.2, 1.0, [-0.4, 5.0]))] * 3,
    (NOTHING, (0.9, 1.0, [-0.4, 5.0])),
    (assign(1, "data", 2.25), (0.9, 1.0, [-0.4, 1.0])),
    (assign(1, "data", 3), (0.9, 1.0, [-0.4, 1.0])),  # no float: the plain way
    (assign(1, "data", 0.5), (0.9, 1.0, [-0.4, 1.0])),
    (assign(-1, "grad", 0), (0.9, 11.0, [-0.4, 1.0])),
    (assign(0, "grad", Fraction(1, 4)), (0.9, 11.0, [-0.4, 1.0])),
    (assign(0, "grad", 0.0), (0.9, 11.0, [-0.4, 1.0])),
    (assign(0, "data", 1e200), (0.9, 2.0, [-0.4, 1.0])),  # total² overflows
    (assign(0, "data", -0.7), (0.9, 2.0, [-0.4, 1.0])),
    (NOTHING, (0.9, float("nan"), [0.4, 0.0])),  # no indices
    (NOTHING, (0.9, 2.5, [0.4, 0.0])),
    (NOTHING, (0.9, -1.0, [0.4, 0.0])),
    (NOTHING, (0.9, 1e300, [0.4, 0.0])),
    (NOTHING, (0.9, -0.0, [0.4, float(ROWS)])),
    (NOTHING, (0.9, -0.0, [0.4, 11.0])),
    (NOTHING, (1, 2, [0, 3])),  # whole numbers
    (NOTHING, (0.9, 2.0, (0.4, 3.0))),  # another structure
    (NOTHING, (0.9, 2.0, [0.4, 3.0])),
]


@EVERY
@pytest.mark.parametrize("count", [2, 40], ids=["few", "many"])
@pytest.mark.parametrize("looked_up", [False, True], ids=["leaves", "tables too"])
def test_each_step_is_the_eager_one(engine, count, looked_up):
    ours, theirs = (Model(count, looked_up=looked_up) for _ in range(2))
    f = compile(ours.loss, engine=engine)
    for k, (change, (x, i, inner)) in enumerate(STEPS):
        change(ours), change(theirs)
        found, grads = grads_after(ours, lambda: f.backward(x, i, inner))  # noqa: B023
        result, expected = grads_after(theirs, lambda: eager(theirs, x, i, inner))  # noqa: B023
        if isinstance(result, type):
            assert found is result, k
        else:
            assert found == pytest.approx(result, rel=1e-13), k
        assert numbers(grads) == pytest.approx(numbers(expected), rel=1e-12, abs=1e-14), k
        read, unchanged = grads_after(ours, lambda: f.value_and_grad(x, i, inner))  # noqa: B023
        assert unchanged == grads
        right = grads_after(theirs, lambda: value_and_grad(theirs.loss)(x, i, inner))[0]  # noqa: B023
        if isinstance(right, type):
            assert read is right, k
        else:
            flat = [getattr(z, "data", z) for z in leaves(right)]
            assert list(leaves(read)) == pytest.approx(flat, rel=1e-12), k
            assert f(x, i, inner) == pytest.approx(flat[0], rel=1e-13), k


def eager(model, x, i, inner):
    loss = model.loss(Value(x), Value(i), [Value(z) for z in inner])
    loss.backward()
    return loss.data


def numbers(grads):
    return [float.fromhex(text) for _, text in grads]


@EVERY
def test_a_gradient_that_somebody_keeps_is_left_as_it_is(engine):
    w = [Value(float(k + 1)) for k in range(3)]
    f = compile(lambda x: w[0] * x + w[1] * w[2], engine=engine)
    f.backward(2.0), f.backward(2.0), f.backward(2.0)
    kept = [leaf.grad for leaf in w]
    w[2].grad = w[1].grad  # one float in two slots
    f.backward(2.0)
    assert kept == [6.0, 9.0, 6.0]
    assert [leaf.grad for leaf in w] == [8.0, 12.0, 11.0]


def test_leaves_of_a_table_live_as_long_as_the_code_may_reach_them():
    table = [[Value(float(k)), Value(1.0)] for k in range(10)]
    f = compile(lambda i: take(table, i)[0] * take(table, i)[1])
    for k in range(10):
        f.backward(float(k))
    table.clear()  # the trace keeps what it has met
    f.function = None
    for _ in range(100):
        assert f.backward(4.0) == 4.0


def test_a_row_stays_what_it_was_when_an_index_first_pointed_to_it():
    table = [[Value(float(k)), Value(1.0)] for k in range(10)]
    f = compile(lambda i: take(table, i)[0] * take(table, i)[1])
    assert f(4.0) == 4.0
    table[4][0] = Value(100.0)
    table[5][0] = Value(200.0)  # nothing has pointed there
    for _ in range(3):
        assert (f(4.0), f(5.0)) == (4.0, 200.0)
        assert f(np.array([4.0, 5.0, 6.0])).tolist() == [4.0, 200.0, 6.0]
        assert f.backward(4.0) == 4.0


def test_leaves_that_are_read_are_never_frozen_in_another_trace():
    w = Value(3.0)
    f = compile(lambda x: w * x * x)
    for _ in range(4):
        assert (f(2.0), f.grad(2.0)) == (12.0, 12.0)
    g = compile(lambda x: f(2.0) * x)
    h = compile(lambda x: f.grad(2.0) * x)
    assert g(1.0) == 12.0
    with pytest.raises(TraceError, match="would freeze their numbers"):
        h(1.0)
    w.data = 4.0
    assert (f(2.0), f.grad(2.0), g(1.0)) == (16.0, 16.0, 16.0)


shared = Value(3.0)


@pytest.mark.parametrize("inside", [lambda x: shared * x, lambda x: x * x], ids=["leaf", "none"])
@pytest.mark.parametrize("x", [2.0, [2.0], np.array([2.0])], ids=["number", "list", "array"])
def test_backward_is_refused_in_another_trace_however_often_it_was_called(inside, x):
    f = compile(lambda x: inside(x[0]) if isinstance(x, list) else inside(x))
    g = compile(lambda z: f.backward(x) * z)
    for _ in range(5):
        before = shared.grad
        with pytest.raises(TraceError, match="would be run once, while that is traced"):
            g(1.0)
        assert shared.grad == before
        f.backward(x)


def with_and_without(count):
    """The same step eagerly, at a point, and twice in a batch; and the leaves it adds 1 to."""
    w = [Value(0.0) for _ in range(count)]
    f = compile(lambda x: sum(a * x for a in w))
    return w, [
        lambda: sum(a * 1.0 for a in w).backward(),
        lambda: f.backward(1.0),
        lambda: f.backward(np.ones(4)),
    ]


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("count", [1, 5, 50])
def test_steps_of_several_threads_all_count(count):
    w, steps = with_and_without(count)
    for _ in range(3):
        steps[1](), steps[2]()
    times = 300
    threads = [
        threading.Thread(target=lambda step=step: [step() for _ in range(times)]) for step in steps
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.grad for a in w] == [6.0 + 3 * times] * count


class Told(Value):
    """A leaf whose class hears of each gradient, and has bounds for its number."""

    least = 1.0

    @property
    def data(self):
        return max(Value.data.__get__(self), self.least)

    @data.setter
    def data(self, x):
        Value.data.__set__(self, x)

    @property
    def grad(self):
        return Value.grad.__get__(self)

    @grad.setter
    def grad(self, x):
        Value.grad.__set__(self, min(x, 100.0))


class Doubled(Value):
    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        return 2.0 * found if name == "data" and Value.grad.__get__(self) else found


class Heard(Value):
    def __setattr__(self, name, x):
        super().__setattr__(name, min(x, 100.0) if name == "grad" else x)


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("kind", [Told, Doubled, Heard])
def test_attributes_that_a_class_of_leaves_makes_its_own_are_used(kind, count):
    w = [kind(0.5 * k + 1.0) for k in range(count)]
    f = compile(lambda x: sum(leaf * leaf * x for leaf in w))
    for least in (1.0, 1.0, 1.0, 1.0, 3.0, 3.0):
        for leaf in w:
            leaf.least = least
        data, before = [leaf.data for leaf in w], [leaf.grad for leaf in w]
        assert f.backward(5.0) == pytest.approx(sum(5.0 * x * x for x in data))
        sums = [g + 10.0 * x for x, g in zip(data, before, strict=True)]  # (5 x²)′ = 10 x
        limit = math.inf if kind is Doubled else 100.0
        assert [leaf.grad for leaf in w] == pytest.approx([min(g, limit) for g in sums])


@EVERY
@pytest.mark.parametrize("grad", [None, "1", 0, 1, True, Fraction(1, 3), np.float64(0.1)])
def test_what_else_stands_in_a_gradient_is_added_to_as_eagerly(engine, grad):
    def outcome(step):
        w[0].grad, w[1].grad = 0.5, grad
        try:
            step()
        except TypeError as error:
            assert (w[0].grad, w[1].grad) == (0.5, grad)
            return str(error)
        return w[0].grad, w[1].grad, type(w[1].grad)

    w = [Value(2.0), Value(3.0)]
    f = compile(lambda x: w[0] * w[1] * x, engine=engine)
    right = outcome(lambda: (w[0] * w[1] * 0.7).backward())
    for _ in range(4):
        assert outcome(lambda: f.backward(0.7)) == right
        assert outcome(lambda: f.backward(np.array([0.7]))) == right
