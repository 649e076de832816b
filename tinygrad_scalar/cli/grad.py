"""The command `grad`: value and gradients of an expression that is typed."""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from tinygrad_scalar.cli.terminal import fitted, tell, width
from tinygrad_scalar.core.grad_table import GradTable, show
from tinygrad_scalar.core.printable import shortened
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.expression import CONSTANTS, FUNCTIONS, Expression
from tinygrad_scalar.nn.files import pack

_FILES = {  # options that name one
    "--svg": "draw the graph into this file",
    "--steps": "write a page on which to step through the computation and its gradients",
}
_FORMS = {
    "--latex": "print the formulas of the value and of its derivatives instead, in LaTeX",
    "--json": "print value and gradients instead as an object of JSON, for programs",
}


def add_grad(commands: Any) -> None:
    """The command `grad`."""
    command = commands.add_parser(
        "grad",
        help="value and gradients of an expression",
        description="Print the value of an expression and its gradient with respect to every name "
        'in it, as in: grad "(x*m + y*n)*t" x=100 m=2 y=150 n=3 t=1.1',
        epilog=f"Operators: + - * / // % ** and brackets. Constants: {', '.join(CONSTANTS)}. "
        f"Functions: {', '.join(sorted(FUNCTIONS))}. A choice is written "
        "where(x > 0, x, -x). Lists: sum([x, y, z]), and so prod, mean, logsumexp, softmax; "
        "dot([x, y], [2, 3]); cross_entropy([x, y], 0).",
        allow_abbrev=False,
    )
    command.add_argument("expression", metavar="EXPRESSION", help='quoted: "sin(x)**2 + y"')
    command.add_argument("values", metavar="NAME=NUMBER", nargs="*", help="a value for each name")
    for name, about in _FILES.items():
        command.add_argument(name, metavar="FILE", type=Path, help=about)
    forms = command.add_mutually_exclusive_group()
    for name, about in _FORMS.items():
        forms.add_argument(name, action="store_true", help=about)
    command.set_defaults(run=grad)


def grad(options: argparse.Namespace) -> None:
    """Value and gradients: a table, formulas or JSON, and files if asked."""
    expression = Expression(options.expression)
    given = _assigned(options.values)
    _check_names(expression, given)
    leaves = {name: Value(number, label=name) for name, number in given.items()}
    value = expression(leaves)
    output = value if isinstance(value, Value) else Value(value)
    table = output.backward(create_graph=options.latex)
    form = _latex if options.latex else _json if options.json else _table
    print(form(expression, table, leaves))
    for path, drawn, told in (
        (options.svg, "draw", "The graph is drawn in"),
        (options.steps, "steps", "The page to step through is"),
    ):
        if path is not None:
            getattr(import_module("tinygrad_scalar.drawing"), drawn)(output).save(path)
            if form is _table:
                print(f"\n{told} {path}.")
            else:
                tell(f"{told} {path}.")  # a program reads what is printed


# ── the forms ─────────────────────────────────────────────────────────────────────────────────
def _table(expression: Expression, table: GradTable, leaves: dict[str, Value]) -> str:
    """Value and table, with the gradients that a long one may have cut out of its middle."""
    result, text = f" = {show(next(iter(table)).data)}", fitted(table)
    lines = [shortened(expression.text, max(20, width() - len(result))) + result, "", text]
    if "more …" in text:
        lines += [f"{name}  {show(table.get(leaf, 0.0))}" for name, leaf in leaves.items()]
    return "\n".join(lines)


def _json(expression: Expression, table: GradTable, leaves: dict[str, Value]) -> str:
    """An object with expression, value and gradients; what is not finite is a string."""
    value, *gradients = pack(
        [next(iter(table)).data, *(table.get(leaf, 0.0) for leaf in leaves.values())]
    )
    named = dict(zip(leaves, gradients, strict=True))
    found = {"expression": expression.text, "value": value, "gradients": named}
    return json.dumps(found, ensure_ascii=False, allow_nan=False)


def _latex(_expression: Expression, table: GradTable, leaves: dict[str, Value]) -> str:
    """The formula of the value, and below it those of its derivatives."""
    from tinygrad_scalar.drawing import to_latex

    output = next(iter(table))
    if output.primitive is not None:
        output.label = next((name for name in "zfyw" if name not in leaves), "value")
    slopes = {leaf: table.get(leaf, Value(0.0)) for leaf in leaves.values()}
    return to_latex(output) + ("\n" + to_latex({output: table[output], **slopes}) if leaves else "")


# ── what is typed ─────────────────────────────────────────────────────────────────────────────
def with_expressions_spared(arguments: list[str]) -> list[str]:
    """A space before an expression that starts with a minus, or argparse takes it for an option."""
    if arguments[:1] != ["grad"]:
        return arguments
    options = {"-h", "--help", "--", *_FILES, *_FORMS}
    options -= {"-h" for argument in arguments if argument.startswith("h=")}  # then it is -(h)
    return [
        " " + argument
        if argument.startswith("-")
        and argument.partition("=")[0] not in options
        and before not in _FILES
        else argument
        for before, argument in pairwise(["", *arguments])
    ]


def _assigned(texts: Iterable[str]) -> dict[str, float]:
    """`x=2` and the like as names and numbers."""
    given: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.strip().partition("=")
        name = unicodedata.normalize("NFKC", name.strip())  # as Python reads the expression
        if not equals or not name.isidentifier():
            what = shortened(repr(text.strip()))
            raise ValueError(f"{what}: give values as NAME=NUMBER, as in x=2")
        if name in given:
            raise ValueError(f"{shortened(name)} is given twice")
        try:
            given[name] = float(number)
        except ValueError:
            what = f"{shortened(name)}={shortened(number)}"
            raise ValueError(f"{what}: give a number, as in x=2") from None
    return given


def _check_names(expression: Expression, given: Iterable[str]) -> None:
    """Every name has a number, and every number is asked for."""
    known = {*given, *CONSTANTS}
    missing = [name for name in expression.names if name not in known]
    if missing:
        needed = " ".join(f"{name}=NUMBER" for name in missing)
        raise ValueError(f"no value for {', '.join(missing)}: add {needed}")
    idle = [name for name in given if name not in expression.names]
    if idle:
        raise ValueError(f"{', '.join(idle)} is not in the expression: leave it out")
