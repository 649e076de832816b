"""`import tinygrad_scalar` loads nothing heavy, and needs nothing that is not a dependency."""

import json
import subprocess
import sys

import pytest

HEAVY = [
    "autograd",
    "graphviz",
    "hypothesis",
    "IPython",
    "llvmlite",
    "matplotlib",
    "mpmath",
    "numba",
    "numpy",
    "pygraphviz",
    "scipy",
    "sklearn",
    "sympy",
    "tqdm",
]


def run(program, *options):
    done = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def heavy_after(program):
    """Which heavy modules a fresh interpreter has loaded after a program."""
    loaded = json.loads(run(f"{program}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"))
    return sorted({name.split(".")[0] for name in loaded} & set(HEAVY))


def test_import_loads_nothing_heavy():
    assert heavy_after("import tinygrad_scalar") == []


def test_nor_do_values_gradients_tables_and_errors():
    program = """
import copy, pickle
from tinygrad_scalar import *
x, y = Value(2.0, label="x"), Value(3.0)
table = (exp(x) * y + x / y - softplus(x) ** 2).backward()
str(table), table._repr_html_(), repr(x), f"{x:.2f}"
copy.deepcopy(x * y), pickle.dumps(x * y)
(x * y).backward(create_graph=True, undefined="warn")
try:
    Value("a")
except TypeError:
    pass
"""
    assert heavy_after(program) == []


@pytest.mark.parametrize("name", ["numpy", "mpmath", "hypothesis", "graphviz"])
def test_the_test_sees_what_is_loaded(name):
    assert name in heavy_after(f"import tinygrad_scalar, {name}")


def test_everything_works_where_nothing_else_is_installed():
    """A module that is None in `sys.modules` cannot be imported."""
    program = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
import math
import tinygrad_scalar as ts
from tinygrad_scalar import Value
from tinygrad_scalar.core.primitives import TABLE
for row in TABLE.values():
    point = [1.5] if row.name in ("acosh", "gamma") else [0.625, 1.125, 2.25, 2.5][: row.arity or 4]
    if row.name in ("polygamma", "round_to"):
        point[0 if row.name == "polygamma" else 1] = 1.0
    leaves = [Value(x) for x in point]
    for undefined in ("subgradient", "warn"):
        row(*leaves).backward(undefined=undefined)
    row(*leaves).backward(create_graph=True)
zero, one = Value(0.0), Value(1.0)
for y in (ts.sqrt(zero), ts.cbrt(zero), zero**0.5, ts.asin(one), ts.acos(one), ts.acosh(one)):
    table = y.backward()
    assert math.inf in map(abs, table.values())
far = Value(400.0)
assert ts.tanh(far).backward()[far] == 0.0
print("done")
"""
    assert run(program, "-W", "error").strip() == "done"


NEEDS = {
    "hypothesis": "import tinygrad_scalar.strategies",
    "matplotlib.figure": "from tinygrad_scalar.drawing.plots import loss_curve; loss_curve([1.0])",
    "scipy.sparse": "import tinygrad_scalar as ts; "
    "ts.hessian(lambda v: v[0] ** 2, sparse='scipy')([2.0])",
    "sklearn": "import tinygrad_scalar as ts; ts.data.wine()",
}


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_installed_and_broken_tells_its_own_error(name):
    """As a file of the user's own that has the name, or a library built for another NumPy."""
    program = f"""
import sys, types
sys.modules[{name!r}] = types.ModuleType({name!r})
try:
    {NEEDS[name]}
except ImportError as error:
    print(error)
"""
    told = run(program)
    assert told.startswith("cannot import name"), told
    assert "pip install" not in told


def test_public_names_are_there_and_documented():
    program = """
import tinygrad_scalar
missing = [n for n in tinygrad_scalar.__all__ if not hasattr(tinygrad_scalar, n)]
assert missing == [], missing
names = {}
exec("from tinygrad_scalar import *", names)
assert set(tinygrad_scalar.__all__) <= set(names)
import builtins
print(sorted(set(names) & set(dir(builtins)) - {"__builtins__"}))
"""
    assert run(program).strip() == "[]"
