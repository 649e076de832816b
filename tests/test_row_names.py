"""What is true of a row stands in the row: few modules beside the table know one by its name.

A module names a row where it takes it from the table (`primitives.mul`, `TABLE["mul"]`), or where
it imports the table and has the row's name as text. A function that people call is no such name.
"""

import ast
from pathlib import Path

import pytest

import tinygrad_scalar
from tinygrad_scalar.core.primitives import PARTS, TABLE

PACKAGE = Path(tinygrad_scalar.__file__).parent
HOME = "tinygrad_scalar.core.primitives"
ROWS = {*TABLE, *PARTS}
REASONS = {
    "core.arithmetic": "Python's operators",
    "core.value": "the operators that are spelled out for speed",
    "core.sweep": "the pulls that are spelled out for speed",
    "functions": "functions that take more than their row: lists, a base, a condition",
    "core.application": "what a mode adds up is, and is told of as, a sum or a dot product",
    "compiler.ir.tape": "the operations that derivatives and reductions are written in",
    "nn.activations": "the names of layers, ReLU and others",
    "testing.references": "the rows that complex steps may be taken through",
}


def names_a_row(source):
    """The rows that a module names, each with its line."""
    tree = ast.parse(source)
    tables, text = set(), False
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == HOME:
            names = {alias.name for alias in node.names}
            yield from ((node.lineno, name) for name in names & ROWS)
            text = text or bool(names & {"TABLE", "PARTS"})
        elif isinstance(node, ast.ImportFrom):
            imported = {a.asname or a.name for a in node.names if a.name == "primitives"}
            tables |= (
                imported if node.module in {"tinygrad_scalar", "tinygrad_scalar.core"} else set()
            )
        elif isinstance(node, ast.Import):
            tables |= {a.asname for a in node.names if a.name == HOME and a.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in tables and node.attr in ROWS:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Constant) and node.value in ROWS and (text or tables):
            yield node.lineno, node.value


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), path


def test_few_modules_name_rows_and_each_has_its_reason():
    found = {
        module: sorted(names_a_row(path.read_text(encoding="utf-8")))
        for module, path in modules()
        if module not in {"core.primitives", "__init__"}  # the table; the names that it exports
    }
    naming = {module for module, names in found.items() if names}
    unknown = {module: found[module] for module in naming - set(REASONS)}
    assert not unknown, (
        f"say it in the row (a property that it states), or give a reason: {unknown}"
    )
    assert naming == set(REASONS), f"no longer needed: {set(REASONS) - naming}"
    assert len(REASONS) <= 8


# ── the test of the test ──────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_scalar.core.primitives import mul",
        "from tinygrad_scalar.core import primitives as p\nif row is p.mul: pass",
        "from tinygrad_scalar.core import primitives\nprimitives.mul(2, 3)",
        "from tinygrad_scalar.core.primitives import TABLE\nTABLE['mul']",
        "from tinygrad_scalar.core import primitives\nrow.name == 'mul'",
        "import tinygrad_scalar.core.primitives as rows\nrows.mul",
    ],
)
def test_a_row_that_is_named_is_found(source):
    assert [name for _, name in names_a_row(source)] == ["mul"]


@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_scalar.functions import sigmoid",
        "from tinygrad_scalar.core.primitives import TABLE\nTABLE[name].operator == '*'",
        "write('sum')",
    ],
)
def test_what_names_no_row_is_none(source):
    assert not list(names_a_row(source))
