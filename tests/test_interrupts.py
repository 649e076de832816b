"""Ctrl-C at any moment leaves every Value and every block as before or as after."""

import gc
import linecache
import random
import signal
import sys
from pathlib import Path

import pytest

import tinygrad_scalar
from tinygrad_scalar import (
    Value,
    checkpoint,
    counting,
    exp,
    grad,
    no_grad,
    primitive,
    scope,
    sum,
    trace_lines,
)
from tinygrad_scalar.core import context

TRIES = 1_500


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted():
    """A function that runs another one and interrupts it with a real signal after some seconds."""
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # other packages' callbacks at a collection would swallow the interrupt

    def run(action, seconds):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                action()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            return True
        return False

    yield run
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    gc.enable()


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


def in_block(block):
    def action():
        x = Value(1.0)
        for _ in range(10):
            with block():
                _ = x * x

    return action


ACTIONS = {name: in_block(block) for name, block in BLOCKS.items()} | {
    "checkpoint": lambda: checkpoint(lambda a: a.exp() * a, Value(0.4) * 1).backward(),
    "grad": lambda: grad(grad(lambda a: a.exp() * a))(0.4),
    "no_grad grad": lambda: no_grad()(grad(lambda a: a.exp() * a))(0.4),
}


def assert_nothing_is_on():
    assert context.settings() == context.Settings()
    y = Value(2.0)
    z = y * 3.0
    assert context.plain
    assert z.parents == (y,)
    assert z.backward()[y] == 3.0


@pytest.mark.parametrize("name", ACTIONS)
def test_an_interrupted_block_is_closed(interrupted, name):
    rng = random.Random(2)
    hits = 0
    for _ in range(TRIES):
        hits += interrupted(ACTIONS[name], rng.uniform(1e-5, 2e-4))
        assert_nothing_is_on()
    assert hits


PACKAGE = str(Path(tinygrad_scalar.__file__).parent)


def line_of(frame):
    """The source of the line that is run."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


def at_line(action, number):
    """Run it, with KeyboardInterrupt at the given line of the package; whether that was reached."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return trace
        # Python looks for signals after calls: never on the way back to a `with`, to leave it
        if event == "line" and not line_of(frame).startswith("with "):
            count += 1
            if count == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


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
    assert number > 50


@pytest.mark.parametrize("name", ACTIONS)
def test_an_interrupt_at_any_line_of_a_block(name):
    number = 1
    while at_line(ACTIONS[name], number):
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
