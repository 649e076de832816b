"""`checkpoint` and `checkpoint_chain`: the same gradients, fewer nodes, more evaluations."""

import itertools
import math
import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from modes_reference import all_close, function_of, moderate_programs

from tinygrad_scalar import (
    UndefinedGradientError,
    Value,
    checkpoint,
    checkpoint_chain,
    counting,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    logsumexp,
    no_grad,
    sin,
    tanh,
    taylor,
)


def f(x, w):
    return tanh(x * w) * exp(x)


def results(make):
    """Data, table entries and `.grad` of leaves x and w under what `make(x, w)` gives."""
    x, w = Value(0.5, label="x"), Value(1.5, label="w")
    z = make(x, w)
    table = z.backward()
    return z.data, table[x], table[w], x.grad, w.grad


def with_first(u):
    return lambda w: checkpoint(lambda v: f(u, v), w)


def with_difference(u, w):
    """u − w, of which the gradient of w must not count what goes through u twice."""
    return lambda x: checkpoint(lambda v: f(v, u - w), x)


# ── the same gradients ────────────────────────────────────────────────────────────────────────
WAYS = {
    "arguments": lambda x, w: checkpoint(f, x, w),
    "closed over": lambda x, w: checkpoint(lambda u: f(u, w), x),
    "all closed over": lambda x, w: checkpoint(lambda: f(x, w)),
    "argument and closed over": lambda x, w: checkpoint(lambda u, v: f(u, w) + 0.0 * v, x, w),
    "structures": lambda x, w: checkpoint(lambda d: {"z": [f(*d["xw"])]}, {"xw": (x, w)})["z"][0],
    "constants": lambda x, w: checkpoint(lambda u, one, v: f(u, v) * one, x, 1, w),
    "one node twice": lambda x, w: checkpoint(lambda a, b, v: f(a, v) + 0.0 * b, x, x, w),
    "inner nodes": lambda x, w: checkpoint(f, x * 1.0, w + 0.0),
    "inner nodes closed over": lambda x, w: with_first(x * 1.0)(w),
    "a leaf and a node made of it, closed over": lambda x, w: with_difference(2.0 * w, w)(x),
    "nested": lambda x, w: checkpoint(lambda a, b: checkpoint(f, a * 1.0, b), x, w),
    "nested, closed over": lambda x, w: checkpoint(lambda: checkpoint(lambda: f(x, w))),
    "nested three times": lambda x, w: checkpoint(
        lambda a: checkpoint(lambda b: checkpoint(lambda c: f(c, w), b), a), x
    ),
    "arguments returned": lambda x, w: f(*checkpoint(lambda a, b: (a, b), x, w)),
    "closed over and returned": lambda x, w: f(*checkpoint(lambda: [x, w])),
    "several outputs": lambda x, w: math.prod(checkpoint(lambda a, b: (tanh(a * b), exp(a)), x, w)),
    "one of several outputs": lambda x, w: checkpoint(lambda a, b: (a * b, f(a, b)), x, w)[1],
    "an output that is a constant": lambda x, w: math.prod(
        checkpoint(lambda a, b: [f(a, b), 1.0], x, w)
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_value_table_and_grad_are_those_without_checkpoint(way):
    assert all_close(results(way), results(f), 1e-15)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_second_order_is_that_without_checkpoint(way):
    def second(make):
        x, w = Value(0.5), Value(1.5)
        slopes = make(x, w).backward(create_graph=True)
        return [[slopes[u].backward(inputs=(x, w))[v] for v in (x, w)] for u in (x, w)]

    assert all_close(second(way), second(f), 1e-14)
    assert all_close(hessian(way)(0.5, 1.5), hessian(f)(0.5, 1.5), 1e-14)
    assert all_close(dense(hessian(way, sparse=True)(0.5, 1.5)), hessian(f)(0.5, 1.5), 1e-14)
    direction = (1.0, -2.0)
    assert all_close(hvp(way, (0.5, 1.5), direction), hvp(f, (0.5, 1.5), direction), 1e-14)


def dense(found):
    matrix = [[0.0, 0.0], [0.0, 0.0]]
    for i, j, value in zip(*found, strict=True):
        matrix[i][j] = value
    return matrix


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_third_order_and_forward_modes_are_those_without_checkpoint(way):
    def along(make):
        return lambda t: make(0.5 + t, 1.5 - 2.0 * t)

    third = grad(grad(grad(along(f))))(0.1)
    assert all_close(grad(grad(grad(along(way))))(0.1), third, 1e-13)
    assert all_close(taylor(along(way), 3)(0.1), taylor(along(f), 3)(0.1), 1e-13)
    assert all_close(jvp(way, (0.5, 1.5), (1.0, 2.0)), jvp(f, (0.5, 1.5), (1.0, 2.0)), 1e-15)
    for mode in ("forward", "reverse"):
        found = jacobian(way, mode=mode)(0.5, 1.5)
        assert all_close(found, jacobian(f, mode=mode)(0.5, 1.5), 1e-15)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_forward_mode_around_a_gradient_where_only_the_rest_moves(way):
    def beside(make):
        return grad(lambda x, w, z: make(x, w) * z * z)

    at, along = (0.5, 1.5, 2.0), (0.0, 0.0, 1.0)
    assert all_close(jvp(beside(way), at, along), jvp(beside(f), at, along), 1e-15)


@settings(max_examples=40)
@given(moderate_programs())
def test_checkpointed_random_programs(program):
    run, point = function_of(program), list(program.inputs)

    def halves(x):
        y = checkpoint(lambda u: [run(u), u[0] * u[-1]], x)
        return checkpoint(lambda u, v: sin(u) * v, *y)

    def plain(x):
        return sin(run(x)) * (x[0] * x[-1])

    assert all_close(grad(halves)(point), grad(plain)(point), 1e-14)
    assert all_close(hessian(halves)(point), hessian(plain)(point), 1e-12)


def test_a_gradient_inside_a_checkpoint():
    def g(x):
        return x * grad(lambda y: x * y * y)(2.0)  # 4x²

    x = Value(3.0)
    assert checkpoint(g, x).backward()[x] == 24.0
    assert grad(lambda u: checkpoint(g, u))(3.0) == 24.0
    assert grad(grad(lambda u: checkpoint(g, u)))(3.0) == 8.0
    assert type(checkpoint(grad(g), 3.0)) is float


def test_repeated_backward_adds_up():
    x, u = Value(0.5), Value(0.5)
    y, z = checkpoint(lambda v: sin(v) * v, x), sin(u) * u
    for _ in range(3):
        y.backward()
        z.backward()
    assert x.grad == u.grad


def test_only_what_is_asked_for_is_given():
    x, w = Value(0.5), Value(1.5)
    y = checkpoint(f, x, w)
    table = y.backward(inputs=x)
    assert table[x] == f(x, w).backward(inputs=x)[x]
    assert w not in table
    assert w.grad == 0.0


def test_plain_numbers_give_plain_numbers():
    assert checkpoint(lambda x: x * 2, 3.0) == 6.0
    assert type(checkpoint(lambda x: x * 2, 3)) is float
    assert checkpoint(lambda x: {"a": [x, 2]}, 3.0) == {"a": [3.0, 2.0]}


def test_a_constant_result_has_gradient_zero():
    x = Value(1.0)
    y = checkpoint(lambda u: 3.0, x)
    assert y == 3.0
    assert (x * y).backward()[x] == 3.0


def test_labels_and_grads_of_arguments_are_left_alone():
    x = Value(0.5, label="x")
    x.grad = 7.0
    checkpoint(sin, x)
    assert (x.grad, x.label) == (7.0, "x")


def test_nothing_is_recorded_under_no_grad():
    x = Value(0.5)
    with no_grad():
        y = checkpoint(sin, x)
        state = checkpoint_chain(sin, x, 5)
    assert y.parents == state.parents == ()


def test_the_operation_saw_the_number_of_then():
    """As elsewhere: overwriting a leaf's data changes no recorded gradient, or it is an error."""
    x, w = Value(1.0), Value(2.0)
    y = checkpoint(lambda u: u * w, x)
    x.data = 3.0
    assert y.backward()[w] == 1.0


# ── counts ────────────────────────────────────────────────────────────────────────────────────
def test_fewer_nodes_are_stored_and_more_operations_done():
    """Equations 6.50 to 6.52: store or recompute."""

    def work(x):
        for _ in range(50):
            x = sin(x)
        return x

    x = Value(0.5)
    with counting() as stored:
        y = work(x)
    with counting() as stored_back:
        y.backward()
    del y
    with counting() as recomputed:
        y = checkpoint(work, x)
    with counting() as recomputed_back:
        y.backward()
    assert (stored.evaluations, stored.nodes) == (50, 50)
    assert recomputed.evaluations == 50
    assert recomputed.nodes <= 1
    assert recomputed_back.evaluations == stored_back.evaluations + 50
    assert recomputed_back.nodes == 50
    assert recomputed_back.multiplications >= stored_back.multiplications


def test_one_rerun_serves_all_outputs():
    calls = []

    def several(u):
        calls.append(u)
        return [sin(u * k) for k in range(1, 6)]

    x = Value(0.5)
    total = sum(checkpoint(several, x))
    assert len(calls) == 1
    total.backward()
    assert len(calls) == 2


@pytest.mark.parametrize("nothing", [[], {}, ((), [])], ids=str)
def test_a_checkpointed_function_may_give_nothing(nothing):
    assert checkpoint(lambda x: nothing, Value(2.0)) == nothing
    assert checkpoint_chain(lambda state: state, nothing, 5) == nothing


def test_derivatives_inside_round_otherwise_in_32_bits_too():
    def f(x):
        return grad(lambda t: t * t)(x) * 1.1 + 0.3

    for x in np.linspace(-2, 2, 41, dtype=np.float32):
        slope = grad(lambda x: checkpoint(f, x))(x)
        assert type(slope) is np.float32
        assert slope == pytest.approx(2.2, rel=1e-6)


def test_inner_checkpoints_are_rerun_once_for_each_outer_one():
    calls = []

    def inner(u):
        calls.append(u)
        return sin(u)

    x = Value(0.5)
    checkpoint(lambda u: checkpoint(inner, u) * u, x).backward()
    assert len(calls) <= 3


# ── chains ────────────────────────────────────────────────────────────────────────────────────
def plain_chain(step, state, n):
    for _ in range(n):
        state = step(state)
    return state


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 31, 100])
def test_a_chain_is_its_steps(n):
    def run(chain):
        x, w = Value(0.5), Value(0.9)
        y = chain(lambda s: sin(s) * w + 0.1, x, n)
        table = y.backward(inputs=(x, w))
        return y.data, table[x], table[w], x.grad, w.grad

    assert all_close(run(checkpoint_chain), run(plain_chain), 1e-14)


def test_the_state_of_a_chain_may_be_a_structure():
    def step(state):
        return {"a": [state["b"] * 0.5], "b": sin(state["a"][0])}

    def run(chain):
        return hessian(lambda a, b: chain(step, {"a": [a], "b": b}, 7)["b"])(0.3, 0.8)

    assert all_close(run(checkpoint_chain), run(plain_chain), 1e-14)


def test_chains_in_all_modes():
    def run(chain):
        g = lambda x: chain(lambda s: sin(s) * 1.1, x, 6)  # noqa: E731
        return [grad(g)(0.5), grad(grad(g))(0.5), *jvp(g, (0.5,), (1.0,)), *taylor(g, 3)(0.5)]

    assert all_close(run(checkpoint_chain), run(plain_chain), 1e-13)


@cache
def peak(n):
    """The most nodes alive at one time, from the first step to the last gradient."""
    x = Value(0.5)
    with counting() as c:
        checkpoint_chain(lambda s: sin(s) * 1.1, x, n).backward()
    return c


def test_a_chain_holds_a_logarithmic_number_of_nodes():
    """Twice as many steps, at most so many nodes more, however long the chain is."""
    peaks = [peak(2**k).peak_nodes for k in range(2, 11)]
    assert peaks[-1] <= 6 * 10
    steps = [b - a for a, b in itertools.pairwise(peaks)]
    assert max(steps) <= 6
    with counting() as c:
        x = Value(0.5)
        plain_chain(lambda s: sin(s) * 1.1, x, 1024).backward()
    assert c.peak_nodes == 2 * 1024


def test_a_chain_costs_n_log_n_evaluations():
    for k in (4, 7, 10):
        n = 2**k
        # two operations a step, and the cosine of each on the way back
        assert peak(n).evaluations <= 2 * n * (k + 2)


# ── what is refused ───────────────────────────────────────────────────────────────────────────
def test_a_function_that_depends_on_chance_is_refused():
    x, rng = Value(1.0), random.Random(1)
    y = checkpoint(lambda u: u * rng.random(), x)
    with pytest.raises(RuntimeError, match=r"checkpoint: f gave 0.13.*when it was run again"):
        y.backward()


def test_data_written_in_between_is_refused():
    x, w = Value(1.0), Value(2.0)
    y = checkpoint(lambda u: u * w, x)
    w.data = 3.0
    with pytest.raises(RuntimeError, match=r"checkpoint: f gave 2.0, and 3.0 when it was run aga"):
        y.backward()
    assert (x.grad, w.grad) == (0.0, 0.0)


def test_data_written_by_the_function_is_refused():
    x, w = Value(1.0), Value(2.0)

    def counts_up(u):
        w.data += 1
        return u * w

    y = checkpoint(counts_up, x)
    with pytest.raises(RuntimeError, match=r"checkpoint: .*"):
        y.backward()


def test_nodes_that_leak_out_are_refused():
    """They were not recorded: their gradient would be lost without a word."""
    x, kept = Value(1.0), []

    def leaks(u):
        kept.append(u * 2)
        return kept[-1] * kept[-1]

    y = checkpoint(leaks, x)
    with pytest.raises(RuntimeError, match=r"checkpoint: .*return"):
        (y + kept[0]).backward()


def test_a_sum_collected_outside_is_refused():
    x, total = Value(1.0), [Value(0.0)]

    def collects(u):
        total[0] = total[0] + u
        return u * 2

    y = checkpoint(collects, x)
    with pytest.raises(RuntimeError, match=r"checkpoint: .*"):
        (y + total[0]).backward()


def test_another_structure_the_second_time_is_refused():
    x = Value(1.0)
    for results_ in ([[1.0, 2.0], [1.0]], [[1.0], {"a": 1.0}]):
        remaining = iter(results_)
        y = checkpoint(lambda u, r=remaining: scaled(u, next(r)), x)
        with pytest.raises(RuntimeError, match=r"checkpoint: .*structure"):
            y[0].backward()


def scaled(u, tree):
    if isinstance(tree, dict):
        return {key: u * c for key, c in tree.items()}
    return [u * c for c in tree]


def test_arguments_and_results_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match=r"checkpoint: an argument: .* not str"):
        checkpoint(lambda x: x, "x")
    with pytest.raises(TypeError, match=r"checkpoint: what f returned: .* not NoneType"):
        checkpoint(lambda x: None, Value(1.0))


@pytest.mark.parametrize("n", [-1, 2.0, "3", None, True])
def test_a_length_that_is_no_integer_from_0_on_is_refused(n):
    with pytest.raises(ValueError, match="checkpoint_chain: n is an integer from 0 on, not"):
        checkpoint_chain(sin, Value(1.0), n)


def test_an_error_in_the_function_is_its_own_and_leaves_nothing_behind():
    x = Value(0.0)
    with pytest.raises(ZeroDivisionError, match="div"):
        checkpoint(lambda u: 1 / u, x)
    assert (x * x).parents == (x, x)  # recording again


@pytest.mark.parametrize("name", ["data", "grad"])
def test_a_function_that_changes_a_value_outside_is_refused(name):
    x, w = Value(2.0), Value(1.0, label="w")

    def f(v):
        setattr(w, name, getattr(w, name) + 1.0)
        return v * w.detach() + 0 * w

    z = checkpoint(f, x)
    with pytest.raises(RuntimeError, match=rf"f changed \.{name} of Value.*'w'.* run again"):
        z.backward()
    assert x.grad == 0.0


@pytest.mark.parametrize(
    "f",
    [
        lambda x: hessian(lambda v: sin(v * v) / v * exp(v))(x),
        lambda x: grad(lambda v: logsumexp([v, v * v, 1.0]) * tanh(v) / (v + 3))(x),
    ],
    ids=["hessian", "grad"],
)
def test_a_derivative_inside_may_round_otherwise_when_it_is_recorded(f):
    """The first run computes it without a graph: in some 50 of 100 numbers the last bit differs."""
    for k in range(1, 100):
        x = Value(k / 40)
        expected = f(x).backward(inputs=x)[x]
        assert checkpoint(f, x).backward(inputs=x)[x] == pytest.approx(expected, rel=1e-12)


def test_an_argument_is_nothing_that_the_function_closes_over():
    x, w, b = Value(2.0), Value(3.0), Value(1.0)
    alone = checkpoint(lambda a: sin(a) * a, x)
    assert alone.parents == (x,)
    table = alone.backward()
    assert list(table) == [alone, x]
    assert table.edges == 1
    beside = checkpoint(lambda p: p["x"] * p["w"] + b, {"x": x, "w": w})
    assert [id(parent) for parent in beside.parents] == [id(x), id(w), id(b)]
    same, _ = checkpoint(lambda a, c: (a, c), x, 1.0)  # what comes back as it came
    assert {id(leaf) for leaf in same.backward() if leaf.primitive is None} == {id(x)}


@pytest.mark.parametrize("undefined", ["subgradient", "nan", "warn", "raise"])
@pytest.mark.parametrize("given", [True, False])
def test_what_is_not_asked_is_not_judged(undefined, given):
    """∂(x²)/∂2 is not defined at −1.25, and nobody asks for it: warnings are errors here."""
    w = Value(2.0)

    def f(x):
        return checkpoint(pow, x, w) if given else checkpoint(lambda a: a**w, x)

    assert grad(f, undefined=undefined)(-1.25) == -2.5
    x = Value(-1.25)
    assert f(x).backward(inputs=x, undefined=undefined)[x] == -2.5
    assert f(x).backward(inputs=x, undefined=undefined, create_graph=True)[x] == -2.5
    with pytest.raises(UndefinedGradientError, match="pow"):
        f(x).backward(undefined="raise")
