"""Functions go to other processes: by their name, or with their code from a script or notebook."""

import pickle
import subprocess
import sys
import textwrap

import pytest

from tinygrad_scalar import Value, compile, derivative, exp, grad, hessian, jacobian, primitive

# What a user has in a script: every line of `CASES` is one (callable, argument, expected result).
SCRIPT = """
import functools, pickle, sys
import numpy as np
from tinygrad_scalar import *
from tinygrad_scalar import compile

w = Value(1.0)
damped = primitive("damped", formula=lambda x: exp(-x) * x)
cubed = primitive("cubed", lambda x: x**3, lambda y, x: 3 * x * x)

@compile
def f(x):
    return x * x * x

def plain(x):
    return x * x if x > 0 else -x

made, called, twice = compile(plain), compile(plain), compile(lambda x: 2 * x)
called(1.0), twice(1.0)

@compile
def weighted(x):
    return w * x

weighted(1.0)
w.data = 5.0

@compile
def with_own_rows(x):
    return damped(x) + cubed(x)

@grad
def decorated(x):
    return x * x

class Model:
    def __init__(self, factor):
        self.factor = factor

    @compile
    def loss(self, x):
        return x * x * self.factor

def job(x):
    return f.grad(x) + grad(plain)(x) + made.grad(x)

def nested():
    y = Value(3.0)
    return compile(lambda x: x * y)

CASES = [
    (job, 2.0, 20.0),
    (f, 2.0, 8.0),
    (f.grad, 2.0, 12.0),
    (made, -2.0, 2.0),
    (called.value_and_grad, -2.0, (2.0, -1.0)),
    (twice.grad, 4.0, 2.0),
    (compile(lambda x: 3 * x), 2.0, 6.0),
    (compile(grad(plain)), 2.0, 4.0),
    (nested(), 2.0, 6.0),
    (weighted.grad, 2.0, 5.0),
    (with_own_rows, 0.0, 0.0),
    (with_own_rows.grad, 0.0, 1.0),
    (grad(lambda x: damped(x)), 0.0, 1.0),
    (decorated, 2.0, 4.0),
    (Model(2.0).loss.grad, 3.0, 12.0),
    (grad(plain), 2.0, 4.0),
    (hessian(plain), 2.0, 2.0),
    (jacobian(plain, mode="forward"), 2.0, 4.0),
    (derivative(f, 2), 2.0, 12.0),
    (taylor(plain, 1), 2.0, [4.0, 4.0]),
    (functools.partial(hvp, plain), ((2.0,), (1.0,)), 2.0),
    (compile(plain, batch=False).hessian, 2.0, 2.0),
]

def compared(found):
    for (_, _, expected), y in zip(CASES, found, strict=True):
        assert y == expected, (y, expected)
    print(len(found), "right")
"""


def run(text, tmp_path, *, as_file):
    """The output of a script, from a file or as a notebook has it, in a `__main__` without one."""
    text = SCRIPT + textwrap.dedent(text)
    if as_file:
        (tmp_path / "script.py").write_text(text)
    command = [sys.executable, *(["script.py"] if as_file else ["-c", text])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("as_file", [True, False], ids=["script", "notebook"])
def test_joblib_runs_what_was_defined_in_main(tmp_path, as_file):
    told = run(
        """
        from joblib import Parallel, delayed

        def call(g, x):
            return g(*x) if isinstance(x, tuple) else g(x)

        compared(Parallel(2)(delayed(call)(g, x) for g, x, _ in CASES))
        """,
        tmp_path,
        as_file=as_file,
    )
    assert told == "22 right\n"


def test_a_pickle_of_cloudpickles_needs_nothing_of_the_script(tmp_path):
    pytest.importorskip("cloudpickle")
    told = run(
        """
        import cloudpickle, subprocess

        parts = [(g, x) for g, x, _ in CASES]
        reader = (
            "import pickle, sys\\n"
            "parts = pickle.load(sys.stdin.buffer)\\n"
            "found = [g(*x) if isinstance(x, tuple) else g(x) for g, x in parts]\\n"
            "sys.stdout.buffer.write(pickle.dumps(found))\\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", reader],
            input=cloudpickle.dumps(parts), stdout=subprocess.PIPE, check=True,
        )
        compared(pickle.loads(done.stdout))
        assert cloudpickle.loads(cloudpickle.dumps((f, f.grad)))[1].__self__.__name__ == "f"
        """,
        tmp_path,
        as_file=False,
    )
    assert told == "22 right\n"


def test_processes_of_the_standard_library_find_a_script_by_its_names(tmp_path):
    told = run(
        """
        if __name__ == "__main__":
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                named = [f, f.grad, made, job, decorated, grad(plain), compile(grad(plain))]
                found = list(pool.map(apply, named))
            assert found == [8.0, 12.0, 4.0, 20.0, 4.0, 4.0, 4.0], found
            print(f is pickle.loads(pickle.dumps(f)))
        """.replace(
            "if __name__", "def apply(g):\n            return g(2.0)\n\n        if __name__", 1
        ),
        tmp_path,
        as_file=True,
    )
    assert told == "True\n"


# ── within one process ────────────────────────────────────────────────────────────────────────
def plain(x):
    return x * x if x > 0 else -x


made = compile(plain)
anew = compile(plain)


def test_what_is_made_of_a_named_function_pickles_before_its_first_call_and_after():
    for f in (made, anew, compile(grad(plain)), compile(exp, dtype="float32", batch=False)):
        again = pickle.loads(pickle.dumps(f))
        assert (again.dtype, again.batch) == (f.dtype, f.batch)
        assert again(2.0) == f(2.0)
        assert pickle.loads(pickle.dumps(f))(2.0) == f(2.0)
    assert pickle.loads(pickle.dumps(made))(-3.0) == 3.0  # a branch that was never taken here


weight = Value(3.0)


def weighted(x):
    return x * weight


def test_values_closed_over_go_along_with_their_numbers():
    f = compile(weighted)
    f(1.0)
    weight.data = 7.0
    blob = pickle.dumps(f)
    weight.data = 3.0
    assert pickle.loads(blob)(2.0) == 14.0


def test_what_only_cloudpickle_could_take_says_what_to_do():
    with pytest.raises(TypeError, match=r"cannot be pickled yet: call it once, or give it a name"):
        pickle.dumps(compile(lambda x: x))
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"lambda"):
        pickle.dumps(grad(lambda x: x))
    row = primitive("local", lambda x: x, lambda y, x: 1.0)
    with pytest.raises(TypeError, match=r"primitive 'local' cannot be pickled: assign it to a"):
        pickle.dumps((row, hessian, jacobian, derivative))
