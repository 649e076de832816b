"""Ctrl-C at any moment leaves every Value and every block as before or as after."""

import dis
import gc
import linecache
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tinygrad_scalar
from tinygrad_scalar import (
    Value,
    checkpoint,
    compile,
    counting,
    exp,
    grad,
    hessian,
    hvp,
    jvp,
    nn,
    no_grad,
    optim,
    primitive,
    scope,
    sum,
    take,
    taylor,
    trace_lines,
)
from tinygrad_scalar.core import context

TRIES = 500


def graph(x, w, own=lambda x: x.tanh()):
    """A graph with shared nodes, a node of many operands and an operation of one operand."""
    v = x
    for _ in range(25):
        v = own(v * w + x)
    return sum([v, v * x, w, exp(w)]) * 0.5


def reference(**options):
    x, w = Value(0.3), Value(0.7)
    table = graph(x, w).backward(**options)
    return [*table.values()], x.grad, w.grad


square = primitive("own_square", lambda x: x * x, lambda y, x: 2.0 * x)


@pytest.mark.parametrize("undefined", ["subgradient", "raise"])
@pytest.mark.parametrize("own", [lambda x: x.tanh(), square], ids=["library", "own row"])
def test_an_interrupted_backward_writes_all_or_nothing(interrupted, undefined, own):
    rng = random.Random(1)
    x, w = Value(0.3), Value(0.7)
    z = graph(x, w, own)
    right = list(z.backward(undefined=undefined).values())
    nodes = list(z.backward(undefined=undefined))
    hits = 0
    for _ in range(TRIES):
        z.zero_grad()
        hits += interrupted(lambda: z.backward(undefined=undefined), rng.uniform(5e-6, 2e-4))
        assert [node.grad for node in nodes] in ([0.0] * len(nodes), right)
        z.zero_grad()
        assert list(z.backward(undefined=undefined).values()) == right
    assert hits


BLOCKS = {
    "no_grad": no_grad,
    "counting": counting,
    "scope": lambda: scope("s"),
    "trace_lines": trace_lines,
}


def in_block(block, times):
    def action():
        x = Value(1.0)
        for _ in range(times):
            with block():
                _ = x * x

    return action


def kinked(a):
    return (a * a).sqrt() * a + abs(a)


own_sine = primitive("own_sine", lambda x: x, lambda y, x: exp(x) if x > 9 else 1.0 + 0.0 * x)
SHORT = {
    "checkpoint": lambda: checkpoint(lambda a: a.exp() * a, Value(0.4) * 1).backward(),
    "grad": lambda: grad(grad(lambda a: a.exp() * a))(0.4),
    "underflow": lambda: grad(lambda a: a / (1 + a * a))(1e150),
    "no_grad grad": lambda: no_grad()(grad(lambda a: a.exp() * a))(0.4),
}
ACTIONS = {name: in_block(block, 10) for name, block in BLOCKS.items()} | SHORT
# In the second of two blocks are all lines of ten.
BY_LINES = {name: in_block(block, 2) for name, block in BLOCKS.items()} | SHORT
LONG = {  # too many lines to stop at each
    "jvp": lambda: jvp(kinked, (0.0,), (1.0,), undefined="nan"),
    "hvp": lambda: hvp(kinked, (0.0,), (1.0,), undefined="nan"),
    "taylor": lambda: taylor(kinked, 3, undefined="nan")(0.0),
    "hessian": lambda: hessian(kinked, undefined="nan")(0.0),
    "hessian of what underflows": lambda: hessian(lambda a: 1e300 * a.atan())(1e200),
    "compile": lambda: compile(lambda a: own_sine(a) * sum([a, a]), engine="python").grad(0.4),
    "module": lambda: nn.MLP(2, [2, 1], seed=0)([1.0, 2.0]).backward(),
}


def assert_nothing_is_on():
    assert context.settings() == context.Settings()
    y = Value(2.0)
    z = y * 3.0
    assert context.plain
    assert z.parents == (y,)
    assert z.backward()[y] == 3.0


@pytest.mark.parametrize("name", [*ACTIONS, *LONG])
def test_an_interrupted_block_is_closed(interrupted, name):
    rng = random.Random(2)
    hits = 0
    longest = 1e-3 if name in LONG else 2e-4
    for _ in range(TRIES // 3 if name in LONG else TRIES):
        hits += interrupted((ACTIONS | LONG)[name], rng.uniform(1e-5, longest))
        assert_nothing_is_on()
    assert hits


JUMPS = ("JUMP_BACKWARD", "FOR_ITER") if sys.version_info[:2] == (3, 12) else ("JUMP_BACKWARD",)
PACKAGE = str(Path(tinygrad_scalar.__file__).parent)


@cache
def may_come(code, line, instruction):
    """Whether a signal may come there.

    Python looks for signals after calls: never on the way back to a `with`, to leave it, nor at a
    `try:`, which does nothing and stands outside of the block around it, nor where a `finally:`
    begins, which the call before it still stands in front of. What a trace raises at the jump back
    of a comprehension, or where 3.12 jumps to, passes by the `with` around it from Python 3.12 on,
    which a signal does not: it is of the jump itself.
    """
    jump = dis.opname[code.co_code[instruction]] in JUMPS
    here, before = (
        linecache.getline(code.co_filename, number).strip() for number in (line, line - 1)
    )
    return not (jump or here.startswith(("with ", "try:")) or before == "finally:")


def interrupt():
    raise KeyboardInterrupt


def at_line(action, number, handler=interrupt):
    """Run it, with a handler at the given line of the package; whether that was reached."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None  # what it calls is followed all the same
        if event == "line" and may_come(code, frame.f_lineno, frame.f_lasti):
            count += 1
            if count == number:
                handler()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return count >= number


def test_an_interrupt_at_any_line_of_a_backward():
    x, w = Value(0.3), Value(0.7)
    z = sum([x * w + exp(x), w, w * x])
    right = list(z.backward().values())
    nodes = list(z.backward())
    number = 1
    z.zero_grad()
    while at_line(z.backward, number):
        assert [node.grad for node in nodes] in ([0.0] * len(nodes), right)
        z.zero_grad()
        assert list(z.backward().values()) == right
        z.zero_grad()
        number += 1
    assert number > 10  # lines of Python; with the node compiled the sweep has none


def going_back(w):
    """Ways to add 2 and 1 to the gradients of two leaves."""

    def f(x):
        return w[0] * x + w[1]

    plain, batch = compile(f, engine="python"), compile(f)
    return {
        "eager": lambda: f(2.0).backward(),
        "policy": lambda: f(2.0).backward(undefined="nan"),
        "inputs": lambda: f(2.0).backward(inputs=w),
        "point": lambda: plain.backward(2.0),
        "batch": lambda: batch.backward(np.full(3, 2.0)),
    }


@pytest.mark.parametrize("zero", [0.0, 0])
@pytest.mark.parametrize("way", going_back([]))
def test_what_a_handler_adds_at_any_line_of_a_backward_is_not_lost(way, zero):
    w = [Value(0.3), Value(0.7)]
    action = going_back(w)[way]
    handler = compile(lambda x: w[0] * x + w[1] * x * x)
    for _ in range(3):
        action(), handler.backward(10.0)
    number, more = 1, True
    while more:
        w[0].grad = w[1].grad = zero
        more = at_line(action, number, lambda: handler.backward(10.0))
        assert [leaf.grad for leaf in w] == ([12.0, 101.0] if more else [2.0, 1.0])
        number += 1
    assert number > 5


@pytest.mark.parametrize("name", BY_LINES)
def test_an_interrupt_at_any_line_of_a_block(name):
    number = 1
    while at_line(BY_LINES[name], number):
        assert_nothing_is_on()
        number += 1
    assert number > 5


@pytest.mark.parametrize("error", [MemoryError, ValueError, ZeroDivisionError, KeyboardInterrupt])
def test_an_error_in_a_rule_leaves_every_gradient(error):
    fail = True

    def rule(_y, _x):
        if fail:
            raise error("in the rule")
        return 2.0

    double = primitive("double", lambda x: 2.0 * x, rule, mpmath="")
    x = Value(1.0)
    x.grad = 5.0
    y = double(x * 3.0)
    z = y * x
    with pytest.raises(error):
        z.backward()
    assert (x.grad, y.grad, z.grad) == (5.0, 0.0, 0.0)
    fail = False
    assert z.backward()[x] == 12.0
    assert x.grad == 17.0


# ── several writers of numbers, all of which leave everything as before or as after ───────────
def model_of(count):
    """Parameters with gradients."""
    leaves = [nn.parameter(0.1 * k) for k in range(count)]
    for leaf in leaves:
        leaf.grad = 1.0 + leaf.data
    return leaves


def state_of(leaves, optimizer):
    return [leaf.data for leaf in leaves], optimizer.state_dict()


@pytest.mark.parametrize("count", [5, 200], ids=["one by one", "at once"])
@pytest.mark.parametrize("rule", [optim.SGD, optim.Adam, optim.RMSProp])
def test_an_interrupted_step_is_taken_or_not(interrupted, rule, count):
    rng = random.Random(3)
    tinygrad_scalar.compile(lambda x: x * x)(2.0)  # so that machine code may be at hand
    leaves = model_of(count)
    optimizer = rule(leaves, lr=0.1)
    hits = 0
    for _ in range(TRIES // 2):
        before = state_of(leaves, optimizer)
        hits += interrupted(optimizer.step, rng.uniform(2e-6, 1e-4))
        found = state_of(leaves, optimizer)
        if found == before:
            continue
        twin = model_of(count)
        again = rule(twin, lr=0.1)
        for leaf, data in zip(twin, before[0], strict=True):
            leaf.data = data
        again.load_state_dict(before[1])
        again.step()
        assert found == state_of(twin, again)
    assert hits


WRITERS = {
    "zero_grad of an optimizer": lambda leaves: optim.SGD(leaves, lr=0.1).zero_grad,
    "clip_grad_norm": lambda leaves: lambda: optim.clip_grad_norm(leaves, 0.5),
    "minimize": lambda leaves: (
        lambda: optim.GradientDescentOptimizer(0.1).minimize(sum([leaf * leaf for leaf in leaves]))
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_interrupted_writers_write_all_or_nothing(interrupted, name):
    rng = random.Random(4)
    right = model_of(20)
    WRITERS[name](right)()
    after = [(leaf.data, leaf.grad) for leaf in right]
    before = [(leaf.data, leaf.grad) for leaf in model_of(20)]
    hits = 0
    for _ in range(TRIES // 2):
        leaves = model_of(20)
        hits += interrupted(WRITERS[name](leaves), rng.uniform(2e-6, 6e-5))
        assert [(leaf.data, leaf.grad) for leaf in leaves] in (before, after)
    assert hits


def test_a_module_is_zeroed_loaded_and_switched_whole(interrupted):
    rng = random.Random(5)
    model = nn.MLP(3, [4, 4, 1], seed=0)
    other = {name: x + 1.0 for name, x in model.state_dict().items()}
    right = model.state_dict()
    leaves = list(model.parameters())
    modules = [module for _, module in model.named_modules()]
    hits = 0
    for _ in range(TRIES // 2):
        for leaf in leaves:
            leaf.grad = 2.0
        hits += interrupted(model.zero_grad, rng.uniform(2e-6, 1e-4))
        assert {leaf.grad for leaf in leaves} in ({0.0}, {2.0})
        hits += interrupted(lambda: model.load_state_dict(other), rng.uniform(2e-6, 2e-4))
        assert model.state_dict() in (right, other)
        model.load_state_dict(right)
        hits += interrupted(model.eval, rng.uniform(2e-6, 1e-4))
        assert len({module.training for module in modules}) == 1
        model.train()
    assert hits


@pytest.mark.parametrize("options", [{"inputs": True}, {"create_graph": True}])
def test_an_interrupted_backward_with_options_writes_all_or_nothing(interrupted, options):
    rng = random.Random(6)
    x, w = Value(0.3), Value(0.7)
    z = graph(x, w)
    if "inputs" in options:
        options = {"inputs": [x, w]}
    z.backward(**options)
    right, nodes = [x.grad, w.grad], [x, w]
    hits = 0
    for _ in range(TRIES // 2):
        z.zero_grad()
        hits += interrupted(lambda: z.backward(**options), rng.uniform(1e-5, 2e-3))
        assert [node.grad for node in nodes] in ([0.0, 0.0], right)
    assert hits


def test_the_limit_on_parameters_ends_with_its_block(interrupted):
    from tinygrad_scalar.nn.parameter import at_most

    def action():
        with at_most(1):
            nn.parameter(1.0)

    rng = random.Random(8)
    hits = 0
    for _ in range(TRIES):
        hits += interrupted(action, rng.uniform(1e-6, 2e-5))
        nn.parameter(1.0), nn.parameter(2.0)  # no ValueError: the limit is gone
    assert hits
    with at_most(1), pytest.raises(ValueError, match="more parameters than there are numbers"):
        nn.parameter(1.0), nn.parameter(2.0)


def choosing(table, w):
    """A loss of two paths that looks rows of a table up."""

    def loss(x, i):
        row = take(table, i)
        return row[0] * x * w[0] + row[1] if x > 0 else row[1] * w[0] + x * w[1]

    return loss


# an interrupt in llvmlite's finalisers is swallowed there
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shape", ["point", "batch", "shards"])
@pytest.mark.parametrize("count", [2, 40], ids=["few", "many"])
@pytest.mark.parametrize("kind", [float, np.float32], ids=["floats", "other numbers"])
def test_gradients_of_several_paths_and_tables_are_one_write(interrupted, shape, count, kind):
    table = [[Value(0.1 * k), Value(1.0)] for k in range(20)]
    w = [Value(0.5 + k) for k in range(count)]
    leaves = [*w, *(x for row in table for x in row)]
    f = compile(lambda x, i: choosing(table, w)(x, i) + sum(w) * 0.1, engine="llvm")
    x, i = np.array([1.0, -2.0, 3.0, -4.0]), np.array([3.0, 3.0, 7.0, 9.0])
    run = {
        "point": lambda: f.backward(1.0, 3.0),
        "batch": lambda: f.backward(x, i),
        "shards": lambda: f.backward(x, i, shards=2),
    }[shape]

    def cleared():
        for leaf in leaves:
            leaf.grad = 0.0
        leaves[-1].grad = kind(0.0)

    cleared()
    run(), run()
    cleared()
    run()
    right, nothing = [leaf.grad for leaf in leaves], [0.0] * len(leaves)
    assert right != nothing
    rng, hits = random.Random(9), 0
    for _ in range(TRIES // 6):
        cleared()
        hits += interrupted(run, rng.uniform(2e-6, 4e-5 if shape == "point" else 1e-3))
        assert [leaf.grad for leaf in leaves] in (nothing, right)
    assert hits


def test_interrupted_while_other_threads_go_back(interrupted):
    """The sweep of one thread is interrupted; those of others are right, on the same graph too."""
    x, w = Value(0.3), Value(0.7)
    z = graph(x, w)
    right = list(z.backward(inputs=[x, w]).values())
    z.zero_grad()
    done, wrong = threading.Event(), []

    def others(own):
        a, b = (Value(0.3), Value(0.7)) if own else (x, w)
        y = graph(a, b) if own else z
        while not done.is_set():
            found = list(y.backward(inputs=[a, b]).values())
            if found != right:
                wrong.append(found)

    rng, hits = random.Random(10), 0
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(others, own) for own in (True, False)]
        try:
            for _ in range(TRIES // 10):
                hits += interrupted(lambda: z.backward(inputs=[]), rng.uniform(1e-5, 3e-3))
                hits += interrupted(LONG["jvp"], rng.uniform(1e-5, 3e-3))
        finally:
            done.set()
        for each in waiting:
            each.result(timeout=60)
    assert hits
    assert not wrong
    assert_nothing_is_on()


# ── errors raised in rules of one's own, wherever they are asked ──────────────────────────────
CALLS = {
    "backward": lambda f, x: f(x).backward(),
    "backward, recorded": lambda f, x: f(x).backward(create_graph=True),
    "grad": lambda f, x: grad(f)(0.5),
    "jvp": lambda f, x: jvp(f, (0.5,), (1.0,)),
    "hvp": lambda f, x: hvp(f, (0.5,), (1.0,)),
    "taylor": lambda f, x: taylor(f, 2)(0.5),
    "hessian": lambda f, x: hessian(f)(0.5),
    "checkpoint": lambda f, x: checkpoint(f, x).backward(),
    "compiled": lambda f, x: compile(lambda v: f(v) * x, engine="python").grad(0.5),
    "compiled backward": lambda f, x: compile(lambda v: f(v * x), engine="python").backward(0.5),
}


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", CALLS)
def test_an_error_in_a_rule_leaves_all_as_it_was(name, error):
    failing = [True]

    def slope(_y, x):
        if failing[0]:
            raise error("in the rule")
        return 2.0 * x

    own = primitive("own_square_again", lambda x: x * x, slope)
    x = Value(0.5)
    x.grad = 3.0
    with pytest.raises(error):
        CALLS[name](lambda v: own(v) * v, x)
    assert x.grad == 3.0
    assert_nothing_is_on()
    failing[0] = False
    found = []
    for f in (lambda v: own(v) * v, lambda v: square(v) * v):
        x.grad = 0.0
        result = CALLS[name](f, x)
        if hasattr(result, "edges"):
            result = [getattr(g, "data", g) for g in result.values()]
        found.append((x.grad, result))
    assert found[0] == found[1]


def test_llvm_is_never_called_where_an_interrupt_comes():
    """An interrupt in llvmlite may keep its lock, and all other threads waited for it for ever."""
    llvm = pytest.importorskip("llvmlite.binding")
    threads, w = [], Value(2.0)
    gc.collect()  # of LLVM's objects only those made here are looked at

    def note():
        threads.append(threading.current_thread())

    llvm.ffi.register_lock_callback(note, int)
    try:
        f = compile(lambda x: exp(x) * x + w if x > 0 else x.tanh(), engine="llvm")
        for x in (1.0, 1.0, 1.0, -1.0, np.array([1.0, 2.0, -3.0] * 10)):
            f(x), f.grad(x), f.backward(x)
        f = None
        compile(lambda x: x * x, engine="llvm")(3.0)  # frees what is gone by now
    finally:
        llvm.ffi.unregister_lock_callback(note, int)
    assert threads
    assert threading.main_thread() not in threads


def test_no_interrupt_leaves_the_sweep_locked():
    """After all of the above another thread can go back."""
    x = Value(3.0)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: (x * x).backward()[x]).result(timeout=60) == 6.0


# ── what has a state of its own ───────────────────────────────────────────────────────────────
def test_the_state_of_an_optimizer_is_loaded_whole(interrupted):
    rng = random.Random(11)
    optimizer = optim.Adam(model_of(30), lr=0.1)
    states = [optimizer.state_dict()]
    optimizer.step()
    states.append(optimizer.state_dict())
    hits = 0
    for _ in range(TRIES):
        optimizer.load_state_dict(states[0])
        hits += interrupted(lambda: optimizer.load_state_dict(states[1]), rng.uniform(2e-6, 2e-5))
        assert optimizer.state_dict() in states
    assert hits


def test_early_stopping_counts_no_loss_twice(interrupted):
    rng = random.Random(12)
    history = nn.History([1.0, *[2.0] * 60])
    hits = 0
    for _ in range(TRIES):
        stop = nn.EarlyStopping(61)
        hits += interrupted(lambda stop=stop: stop(61, history), rng.uniform(2e-6, 1e-5))
        assert stop(61, history) is False
    assert hits


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file half open
def test_both_files_of_c_are_written_or_none(interrupted, tmp_path):
    def texts():
        return [(tmp_path / f"f.{suffix}").read_text() for suffix in "ch"]

    rng = random.Random(13)
    functions = compile(lambda x: x * x), compile(lambda x, y: x * y)
    right = []
    for f, x in zip(functions, ([2.0], [2.0, 3.0]), strict=True):
        f(*x)
        f.to_c(tmp_path / "f")
        right.append(texts())
    hits = 0
    for _ in range(TRIES // 10):
        functions[0].to_c(tmp_path / "f")
        hits += interrupted(lambda: functions[1].to_c(tmp_path / "f"), rng.uniform(2e-6, 1e-2))
        assert texts() in right
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f.c", "f.h"]
    assert hits


def test_compiled_code_that_was_interrupted_while_it_was_made_is_made_anew(interrupted):
    def f(x):
        return (x * x if x > 0 else -x) * exp(x * 0.1)

    rng, points = random.Random(14), [0.5, -0.5, 2.0]
    right = [(f(x), grad(f)(x)) for x in points]
    hits = 0
    for _ in range(TRIES // 10):
        c = compile(f, engine="python")
        action = lambda c=c: [(c(x), c.grad(x)) for x in points] + [c(np.array(points))]  # noqa: E731
        hits += interrupted(action, rng.uniform(2e-6, 1e-2))
        assert_nothing_is_on()
        for (value, slope), x in zip(right, points, strict=True):
            assert (c(x), c.grad(x)) == pytest.approx((value, slope), rel=1e-14)
        assert c(np.array(points)).tolist() == [c(x) for x in points]
    assert hits
