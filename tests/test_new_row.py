"""A new row is one line: it is exported, a method, drawn, documented, and runs in every engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEFORE = 'sinc  = row("sinc",'
ROW = (
    'haversine = row("haversine", None, lambda y, x: sin(x) / 2, '
    "mpmath=lambda m, x: m.sin(x / 2) ** 2, formula=lambda x: square(sin(0.5 * x)))"
)
CHECK = """
import importlib.util, inspect, math, sys
import tinygrad_scalar as ts
from tinygrad_scalar import Value, grad, strategies, to_dot, to_latex, haversine
from tinygrad_scalar.core.documentation import docstring
from tinygrad_scalar.testing import check_primitive

assert "haversine" in ts.__all__ and "haversine" in dir(ts)
names = {}
exec("from tinygrad_scalar import *", names)
assert names["haversine"] is haversine
x = Value(0.5)
y = x.haversine()
assert y.data == haversine(0.5) == math.sin(0.25) ** 2 and type(haversine(0.5)) is float
assert y.backward()[x] == math.sin(0.5) / 2
assert list(inspect.signature(haversine).parameters) == ["x"]
assert "sin(x)" in haversine.__doc__ and "x.haversine()" in docstring(haversine, method=True)
check_primitive(haversine)
for engine in ts.engines():
    f = ts.compile(lambda x: haversine(x * x), engine=engine)
    assert math.isclose(f.grad(0.5), grad(lambda x: haversine(x * x))(0.5)), engine
for language in ("c", "cuda", "llvm", "python"):
    assert f.source_for(language)
assert "haversine" in to_dot(y) and "haversine" in to_latex(y)
assert strategies.expressions(["haversine"]) is not None
import numpy as np
assert np.frompyfunc(haversine, 1, 1)(0.5) == haversine(0.5)

def module(path):
    specification = importlib.util.spec_from_file_location("found", path)
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    return made


stubs = module(sys.argv[1])
for place, made in stubs.STUBS.items():
    assert "haversine" in made(), place
if importlib.util.find_spec("mkdocs"):
    functions = module(sys.argv[2])
    functions._plot = lambda row: ("", "")
    *_, (name, page) = functions.pages()
    assert "<code>haversine(x)</code>" in page and "haversine and its derivative" in page
print("found")
"""


def test_one_line_brings_a_row_everywhere(tmp_path):
    for part in ("tinygrad_scalar", "tools"):
        leave = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=leave)
    table = tmp_path / "tinygrad_scalar/core/primitives.py"
    text = table.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    table.write_text(text.replace(BEFORE, f"{ROW}\n{BEFORE}"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for command in (
        ["tools/stubs.py"],
        ["-c", CHECK, "tools/stubs.py", str(ROOT / "docs/hooks/functions.py")],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "found\n"
