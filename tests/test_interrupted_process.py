"""Ctrl-C at any moment leaves what belongs to the whole process, and files, as before or as after.

That is settings of Python and NumPy, Python's random numbers, the modes of modules.
"""

import gc
import random
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from tinygrad_scalar import Value, compile, drawing, expression, nn
from tinygrad_scalar.files import write_atomically
from tinygrad_scalar.nn.training import mean_loss
from tinygrad_scalar.testing import check_grad

TRIES = 500


@pytest.fixture
def things(tmp_path):
    """What the actions use, and what they may leave changed."""
    model = nn.Sequential(nn.MLP(2, [2, 1], seed=0), nn.Dropout(0.5))
    for k, (_, module) in enumerate(model.named_modules()):
        module.training = k % 2 == 0
    file = tmp_path / "file"
    write_atomically(file, "before")
    nn.save(nn.MLP(2, [3, 1], seed=1), tmp_path / "model")
    x = Value(0.5)
    x.grad = 3.0
    by_numpy = compile(lambda a: (a * 1e300).exp().log(), engine="numpy")
    return SimpleNamespace(
        folder=tmp_path, file=file, model=model, x=x, by_numpy=by_numpy, batch=np.array([0.5, 2.0])
    )


ACTIONS = {
    "an expression": lambda t: expression._parsed("x + 2*x - 3/x"),
    "a check": lambda t: check_grad(lambda a: abs(a) * a.sqrt() * t.x, 0.25),
    "a picture": lambda t: drawing.draw(lambda a: a * t.x, a=2.0),
    "a batch": lambda t: t.by_numpy(t.batch),
    "numbers of 32 bits": lambda t: (Value(np.float32(1e38)) * np.float32(1e38)).backward(),
    "a trace": lambda t: compile(lambda a: a.exp() * a, engine="python").grad(0.4),
    "a prediction": lambda t: nn.predict(t.model, [1.0, 2.0]),
    "a loss": lambda t: mean_loss(t.model, nn.mean_squared_error, [[1.0, 2.0]], [1.0]),
    "a model loaded": lambda t: nn.load(t.folder / "model"),
    "a file written": lambda t: write_atomically(t.file, "after"),
}


def state_of(t):
    """All that must be as it was."""
    return (
        sys.getrecursionlimit(),
        list(warnings.filters),
        gc.isenabled(),
        np.geterr(),
        random.getstate(),
        [module.training for _, module in t.model.named_modules()],
        t.x.grad,
        sorted(entry.name for entry in t.folder.iterdir()),
    )


# an interrupt in llvmlite's finalisers is swallowed there
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_of_the_process_is_left_changed(interrupted, things, name):
    run = ACTIONS[name]
    run(things)
    gc.enable()
    before, hits, rng = state_of(things), 0, random.Random(name)
    for _ in range(TRIES):
        hits += interrupted(lambda: run(things), rng.uniform(5e-6, 8e-4))
        assert state_of(things) == before
        assert things.file.read_text() in ("before", "after")
    assert hits


def test_machine_code_is_made_where_an_interrupted_import_has_kept_the_lock_of_imports():
    """Python 3.11 may leave it with the main thread: others that import wait for ever."""
    program = (
        "import _imp, tinygrad_scalar\n"
        "_imp.acquire_lock()\n"
        "print(tinygrad_scalar.compile(lambda x: x * x, engine='llvm')(3.0))"
    )
    # the limit only ends a process that would never end
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=300, check=True
    )
    assert run.stdout.split() == [b"9.0"]
