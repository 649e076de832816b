"""Compiled functions that are called while they are at work: by threads, finalisers, themselves."""

import _thread
import gc
import math
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from tinygrad_scalar import Value, compile, primitive, where


def together(*actions):
    """Run them in threads of their own; what was raised."""
    raised = []

    def run(action):
        try:
            action()
        except Exception as error:  # noqa: BLE001 (told below)
            raised.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def in_a_child(program):
    """What a program prints in a process of its own, which must end well, and end at all."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ── arguments that change ─────────────────────────────────────────────────────────────────────
def add_to_list(xs):
    xs.append(3.0)


def take_from_list(xs):
    xs.pop()


def rename_in_dict(d):
    d["c"] = d.pop("b")


def empty_lists_inside(d):
    d["b"].clear()


@pytest.mark.parametrize(
    ("given", "change", "other"),
    [
        ([1.0, 2.0], add_to_list, [-1.0, 2.0]),
        ([1.0, 2.0], take_from_list, [-1.0, 2.0]),
        ({"a": 1.0, "b": 2.0}, rename_in_dict, {"a": -1.0, "b": 2.0}),
        ({"a": 1.0, "b": [2.0, 3.0]}, empty_lists_inside, {"a": -1.0, "b": [2.0, 3.0]}),
    ],
)
def test_a_branch_traced_later_sees_no_change_of_an_argument_before(given, change, other):
    """Minus the first number times all numbers."""

    def function(x):
        first, *rest = x.values() if isinstance(x, dict) else x
        rest = rest[0] if isinstance(rest[0], list) else rest
        return first if first > 0 else -first * (1 + len(rest))

    count = 3 if isinstance(other, dict) and isinstance(other["b"], list) else 2
    f = compile(function)
    assert f(given) == 1.0
    change(given)
    assert f(other) == count
    slopes = f.grad(other)
    assert (slopes["a"] if isinstance(other, dict) else slopes[0]) == -count


# ── threads ───────────────────────────────────────────────────────────────────────────────────
def test_threads_with_arrays_in_another_order(restless):
    """To put these in order NumPy lets other threads run."""
    n, wrong = 25, []
    f = compile(lambda a, m: a * m[0, 0] + a * m[-1, -1], batch=False)
    arrays = [np.asfortranarray(np.full((n, n), k + 1.0)) for k in range(4)]
    for array in arrays:
        f(1.0, array)

    def work(k):
        a = 3.0 * (k + 1)
        results = {f(a, arrays[k]) for _ in range(2_000)}
        if results != {2 * a * (k + 1)}:
            wrong.append(results)

    assert together(*(lambda k=k: work(k) for k in range(4))) == []
    assert wrong == []


@pytest.mark.parametrize(
    "ordered",
    [
        lambda m: m.transpose(2, 0, 1),
        lambda m: m[::-1, ::-2, ::-1],
        lambda m: m[1:, :2, ::3],
        lambda m: np.broadcast_to(m[:, :1, :1], (3, 2, 4)),
        lambda m: np.frombuffer(b"x" + m.tobytes(), offset=1).reshape(m.shape).T,
    ],
)
def test_arrays_in_any_order_are_read_as_they_stand(ordered):
    given = ordered(np.arange(60.0).reshape(3, 4, 5))
    f = compile(lambda m, a: np.sum(m * weights) * a, batch=False)
    weights = np.arange(1.0, given.size + 1.0).reshape(given.shape)
    for a in range(1, 5):
        assert f(given + a, float(a)) == np.sum((given + a) * weights) * a
        assert f(given, float(a)) == np.sum(given * weights) * a


def test_threads_go_on_while_another_one_imports_numpy():
    """For its first machine code, say; half imported it lacks its names."""
    program = """
import sys, threading
from tinygrad_scalar import compile, hessian, softmax

sys.setswitchinterval(1e-6)
assert "numpy" not in sys.modules
f, done, results = compile(lambda x: x * x * x), threading.Event(), set()

def work():
    while not done.is_set():
        results.add((hessian(lambda x: x * x * x)(2.0), *softmax([1.0, 1.0])))

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
import numpy
print(f(2.0))
done.set()
for thread in threads:
    thread.join()
print(results)
"""
    assert in_a_child(program) == "8.0\n{(12.0, 0.5, 0.5)}\n"


def test_a_function_is_pickled_while_another_thread_calls_it_with_other_lists(restless):
    w = Value(2.0)
    f = compile(lambda xs: xs[0] * w + len(xs), engine="python")
    assert f([3.0]) == 7.0
    done = threading.Event()

    def called():
        try:
            for n in range(2, 200):
                assert f([3.0] * n) == 6.0 + n
        finally:
            done.set()

    def pickled():
        while not done.is_set():
            assert pickle.loads(pickle.dumps(f))([3.0]) == 7.0

    assert together(called, pickled, pickled) == []


def test_garbage_is_collected_after_another_thread_had_that_off(monkeypatch):
    """It was off when this thread asked, and is on again by now."""
    monkeypatch.setattr(gc, "isenabled", lambda: False)
    f = compile(lambda x: x * x)
    assert f.grad(3.0) == 6.0
    monkeypatch.undo()
    assert gc.isenabled()


# ── forks ─────────────────────────────────────────────────────────────────────────────────────
FORKED = """
import os, threading
from tinygrad_scalar import compile, sin

begun, go, end = threading.Event(), threading.Event(), threading.Event()

@compile
def f(x):
    if x > 0:
        begun.set()
        go.wait()
        return x * x
    return x * x * x

def forked(action):
    child = os.fork()
    if not child:
        go.set()
        os._exit(int(action()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def compiling():
    while not end.is_set():
        g = compile(lambda x: sin(x) * x)
        g(1.0), g.grad(2.0)
        begun.set()
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@needs_fork
def test_a_child_forked_while_another_thread_traces_can_trace():
    program = """
f(-1.0)
thread = threading.Thread(target=f, args=(2.0,))
thread.start()
begun.wait()
print(forked(lambda: f(3.0)), flush=True)
go.set()
thread.join()
print(f(4.0))
"""
    assert in_a_child(FORKED + program) == "9\n16.0\n"


@needs_fork
def test_children_forked_while_other_threads_compile_can_compile():
    program = """
threads = [threading.Thread(target=compiling) for _ in range(2)]
for thread in threads:
    thread.start()
begun.wait()
print({forked(lambda: compile(lambda x: x * x * x)(2.0)) for _ in range(20)})
end.set()
for thread in threads:
    thread.join()
"""
    assert in_a_child(FORKED + program) == "{8}\n"


def test_llvm_is_called_by_threads_alone_that_a_fork_waits_for(monkeypatch):
    """They hold nothing longer, which would be freed by who comes last: a child may be forked then,
    and find LLVM's lock taken for ever."""
    ffi = pytest.importorskip("llvmlite.binding.ffi")
    compile(lambda x: x)(1.0)
    start, works, callers = _thread.start_new_thread, [], []

    def started(function, arguments):
        works.append(arguments)
        return start(function, arguments)

    def called():
        callers.append(threading.get_ident())

    def nothing():
        pass

    monkeypatch.setattr(_thread, "start_new_thread", started)
    ffi.register_lock_callback(called, nothing)
    try:
        for power in (2, 3):  # the second frees the code of the first
            assert compile(lambda x, power=power: x**power)(2.0) == 2**power
        works.clear()
    finally:
        ffi.unregister_lock_callback(called, nothing)
    assert callers
    assert threading.get_ident() not in callers


# ── the collector of garbage ──────────────────────────────────────────────────────────────────
COLLECTED = """
import gc, sys, threading
from tinygrad_scalar import Value, compile

w, at_work, lines, main = Value(2.0), [], set(), threading.get_ident()

def check():
    f = compile(lambda x: w * x * x if x > 0 else x)
    for _ in range(3):
        assert (f(3.0), f.grad(3.0), f.value_and_grad(3.0)) == (18.0, 12.0, (18.0, 12.0))
        assert f.backward(1.0) == 2.0

def called(phase, info):
    frame = sys._getframe(1)
    line = frame.f_code, frame.f_lineno
    if {when} and not at_work and line not in lines:
        lines.add(line)
        at_work.append(phase)
        check()
        at_work.pop()

check(){first}
gc.callbacks.append(called)
gc.set_threshold(1)
check()
gc.callbacks.clear()
print(len(lines) > 9, at_work)
"""


def test_a_finaliser_may_make_what_is_being_made():
    """At any line where it may be called."""
    assert in_a_child(COLLECTED.format(when="True", first="")) == "True []\n"


def test_functions_of_python_are_left_as_others_find_them():
    """Types that are said anew while such a function is called are freed under it."""
    program = """
import ctypes
from tinygrad_scalar import compile

f = compile(lambda x: x * x)
print(f.grad(1.0), f.grad(2.0), f.grad(3.0), ctypes.pythonapi.PyCFunction_NewEx.argtypes)
"""
    assert in_a_child(program) == "2.0 4.0 6.0 None\n"


def test_no_finaliser_runs_where_machine_code_is_made():
    """It would wait there for a lock of the thread that waits for the machine code."""
    program = COLLECTED.format(when="threading.get_ident() != main", first=" if False else None")
    assert in_a_child(program) == "False []\n"


def test_a_finaliser_at_the_very_end_may_be_the_first_to_call_a_derivative():
    """No other thread goes on then, for which it would wait for ever."""
    program = """
import gc, sys
from tinygrad_scalar import compile

f = compile(lambda x: x * x)
assert f(3.0) == 9.0

def last(phase, info, sys=sys, grad=f.grad, seen=[], write=sys.stdout.write):
    if sys.is_finalizing() and not seen:
        seen.append(phase)
        write(f"{grad(3.0)}\\n")

gc.callbacks.append(last)
"""
    assert in_a_child(program) == "6.0\n"


@pytest.mark.parametrize("refusing", [False, True])
def test_a_thread_that_outlives_the_program_may_be_the_first_to_call(refusing):
    """Some of Python's modules are not to be had then, and in Python 3.12 no thread of its own."""
    program = f"""
import threading
import numpy as np
from tinygrad_scalar import compile
from tinygrad_scalar.compiler.machine import jit

f = compile(lambda x: x * x)

def refuse(*_):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def last():
    threading.main_thread().join()
    if {refusing}:
        jit._thread.start_new_thread = refuse
    print(f.grad(3.0), f.grad(np.array([3.0, 4.0])))

threading.Thread(target=last).start()
"""
    assert in_a_child(program) == "6.0 [6. 8.]\n"


# ── rows of one's own ─────────────────────────────────────────────────────────────────────────
class OfTheRowError(Exception):
    pass


@pytest.mark.parametrize("given", [3.0, np.arange(5.0)])
def test_no_error_behind_an_interrupt_takes_its_place(given):
    """Ctrl-C in one row, whose number the next one has no use for."""
    interrupting = []

    def interrupted(x):
        if interrupting:
            raise interrupting.pop()
        return x

    def refusing(x):
        if math.isnan(x):
            raise OfTheRowError
        return x

    first = primitive("interrupted", interrupted, lambda y, x: 1.0)
    second = primitive("refusing", refusing, lambda y, x: 1.0)
    f = compile(lambda x: second(first(x)) * 2.0)
    assert np.all(f(given) == 2.0 * given)
    interrupting.append(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        f(given)
    assert np.all(f(given) == 2.0 * given)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # ctypes tells of it
@pytest.mark.parametrize("given", [3.0, np.arange(1.0, 4.0)])
def test_an_interrupt_at_the_start_of_any_function_makes_no_wrong_number(given):
    row = primitive("row", lambda x: x * x + 1.0, lambda y, x: 2.0 * x)
    f = compile(lambda x: row(x) * 2.0 + row(2.0 * x))
    expected = 6.0 * given**2 + 3.0  # 2 (x² + 1) + (2 x)² + 1
    assert np.all(f(given) == expected)
    before, hits = sys.gettrace(), 0
    for until in range(200):
        calls = iter(range(until))

        def trace(frame, event, argument, calls=calls):
            if next(calls, None) is None:
                raise KeyboardInterrupt

        try:
            sys.settrace(trace)
            assert np.all(f(given) == expected)
            break
        except KeyboardInterrupt:
            hits += 1
        finally:
            sys.settrace(before)
        assert np.all(f(given) == expected)
    assert 2 < hits < 199


def test_a_row_that_calls_the_same_code_handles_its_own_errors_only():
    inside = []

    def refusing(x):
        if x > 1.0:
            raise OfTheRowError
        return x

    def calling(x):
        if inside:
            return 0.0
        inside.append(x)
        try:
            return float(f(np.array([0.25, 0.5])).sum())
        except OfTheRowError:
            return 100.0
        finally:
            inside.clear()

    first = primitive("refusing", refusing, lambda y, x: 1.0)
    second = primitive("calling", calling, lambda y, x: 0.0)
    f = compile(lambda x: where(x > 1.0, x, first(x)) + second(x))
    assert f(np.array([0.5, 1.0])).tolist() == [0.5 + 0.75, 1.0 + 0.75]
    with pytest.raises(OfTheRowError):
        f(np.array([0.5, 5.0]))
    assert f(np.array([0.5, 1.0])).tolist() == [0.5 + 0.75, 1.0 + 0.75]


# ── the end of memory ─────────────────────────────────────────────────────────────────────────
def test_where_memory_ends_nothing_is_half_written():
    """Every allocation fails in turn while results and gradients are written in place."""
    pytest.importorskip("_testcapi")
    program = """
import _testcapi
from tinygrad_scalar import Value, compile, sum

leaves = [Value(k + 0.5) for k in range(20)]
f, g = compile(lambda x, y: [x * y * 1.5, x + y + 0.25]), compile(lambda x: x * sum(leaves))
for _ in range(4):
    f(1.0, 2.0), g.backward(1.5)

def without(start, stop, action):
    _testcapi.set_nomemory(start, stop)
    try:
        return action()
    except MemoryError:
        return None
    finally:
        _testcapi.remove_mem_hooks()

for start in range(40):
    for count in (1, 2, 5):
        result = f(3.0, 4.0)
        a, b = result  # held by others: what comes next must not stand in them
        del result
        for leaf in leaves:
            leaf.grad = 1.0
        held = [leaf.grad for leaf in leaves]
        found = without(start, start + count, lambda: f(5.0, 7.0))
        assert found in (None, [52.5, 12.25])
        loss = without(start, start + count, lambda: g.backward(1.5))
        assert loss in (None, 300.0)
        assert {leaf.grad for leaf in leaves} == {1.0 if loss is None else 2.5}
        assert (a, b, held) == (18.0, 7.25, [1.0] * 20)
print("whole")
"""
    assert in_a_child(program) == "whole\n"
