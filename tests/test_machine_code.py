"""Where LLVM is missing `compile` says so once, and nowhere else anything is said."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from tinygrad_scalar import {names}
f = compile(lambda x: x * x)
@compile
def g(x):
    return x * x
print(f.grad(3.0), g.grad(3.0), f.engine)
"""
SAID = "NoMachineCodeWarning: compile: LLVM is not installed here, and the engine "


def run(missing, *options, names="compile", program=PROGRAM):
    text = program.format(missing=missing, names=names)
    return subprocess.run(
        [sys.executable, *options, "-c", text], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("missing", "engine"), [(["llvmlite"], "numpy"), (["llvmlite", "numpy"], "python")]
)
def test_it_is_said_once_with_the_extra_that_brings_it(missing, engine):
    done = run(missing)
    assert done.stdout == f"6.0 6.0 {engine}\n"
    assert done.stderr.count("Warning") == 1
    assert f"<string>:5: {SAID}'{engine}' runs the code: pip install" in done.stderr
    assert '"tinygrad_scalar[fast]" makes it machine code' in done.stderr


def test_an_engine_that_is_asked_for_needs_no_words():
    program = PROGRAM.replace("lambda x: x * x", "lambda x: x * x, engine='numpy'")
    done = run(["llvmlite"], "-W", "error", program=program.replace("@compile", "@(lambda g: f)"))
    assert (done.stdout, done.stderr) == ("6.0 6.0 numpy\n", "")


def test_it_has_a_class_of_its_own_to_be_filtered_by():
    program = "import warnings\n" + PROGRAM.replace(
        "f = compile", 'warnings.simplefilter("ignore", NoMachineCodeWarning)\nf = compile'
    )
    done = run(["llvmlite"], names="NoMachineCodeWarning, compile", program=program)
    assert (done.stdout, done.stderr) == ("6.0 6.0 numpy\n", "")


def test_what_the_library_compiles_itself_says_nothing():
    program = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from tinygrad_scalar import {names}
X, y = [[0.0], [1.0]] * 20, [0, 1] * 20
model = nn.MLP(1, [2, 1], seed=0)
sgd = optim.SGD(model.parameters(), lr=0.1)
nn.fit(model, X, y, loss=nn.binary_cross_entropy, optimizer=sgd, steps=60)
print(testing.check_grad(lambda x: x * x, 3.0).modes)
"""
    done = run(["llvmlite"], "-W", "error", names="nn, optim, testing", program=program)
    assert (done.stdout, done.stderr) == ("('reverse', 'forward', 'graph', 'tape')\n", "")


def test_tables_and_many_leaves_are_read_and_added_to_without_it():
    program = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
import numpy as np
from tinygrad_scalar import {names}
table, many = [[Value(float(k)) for k in range(20)] for _ in range(2)]
f = compile(lambda i, x: take(table, i) * x + sum(many), engine="numpy")
i, x = np.array([1.0, 11.0, 1.0]), np.array([1.0, 2.0, 3.0])
print(f(i, x).tolist(), f.backward(i, x, shards=1), f.backward(i, x), f.backward(1.0, 3.0))
print(table[1].grad, many[7].grad)
"""
    done = run(["llvmlite"], "-W", "error", names="Value, compile, sum, take", program=program)
    mean = (191.0 + 212.0 + 193.0) / 3
    grad = 0.0 + 4.0 / 3 + 4.0 / 3 + 3.0
    assert done.stdout == f"[191.0, 212.0, 193.0] {mean} {mean} 193.0\n{grad} 3.0\n"
    assert done.stderr == ""


def test_where_it_is_installed_nothing_is_said():
    done = run([], "-W", "error")
    assert (done.stdout, done.stderr) == ("6.0 6.0 llvm\n", "")


def test_threads_may_be_the_first_to_call_machine_code():
    """What they call is made once: of two, one would be freed while it is called."""
    pytest.importorskip("llvmlite")
    program = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from tinygrad_scalar import compile
def f(x):
    total = x[0]
    for y in x:
        total = total * 0.5 + y if y > 0.0 else total + y * y
    return total
f = compile(f, engine="llvm")
rows = [[0.2 * k - 0.1 * place * place for place in range(8)] for k in range(32)]
def work(k):
    f.grad(rows[k])
    f.grad(np.array(rows[k:]))
    f.grad(rows[k])
    return f.grad(rows[k])
with ThreadPoolExecutor(6) as pool:
    print(len(list(pool.map(work, range(32)))))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("32\n", "", 0)


def test_wrong_machine_code_is_found_before_it_is_made():
    """LLVM takes a use in front of its definition as text, and ends the process over it."""
    pytest.importorskip("llvmlite")
    from tinygrad_scalar.compiler.machine.jit import Module

    wrong = """define double @wrong(double %x) {
  %y = fadd double %z, %x
  %z = fadd double %x, %x
  ret double %y
}"""
    with pytest.raises(RuntimeError, match="does not dominate all uses"):
        Module(wrong, 1)


def test_where_no_thread_can_be_started_the_other_engine_is_named():
    """As in an isolated interpreter beside the main one."""
    program = """
import _thread
from {names} import compile
def none(*given):
    raise RuntimeError("can't start new thread")
start, _thread.start_new_thread = _thread.start_new_thread, none
f = compile(lambda x: x * x, engine="llvm")
try:
    f(3.0)
except RuntimeError as error:
    print(error)
print(compile(lambda x: x * x, engine="python").grad(3.0))
_thread.start_new_thread = start
print(f.grad(3.0))
"""
    done = run([], names="tinygrad_scalar.compiler", program=program)
    said, *numbers = done.stdout.split("\n")
    assert "can't start new thread" in said
    assert 'compile with engine="python"' in said
    assert numbers == ["6.0", "6.0", ""]
