"""The command line: `python -m tinygrad_scalar`, also installed as `tinygrad-scalar`.

Every failure is one line on standard error and exit code 2. A room adds a command of its own with
a function that takes argparse's subparsers, named in `COMMANDS`; the command sets `run`, a function
of the parsed arguments.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import tinygrad_scalar
from tinygrad_scalar.bench.command import add_bench
from tinygrad_scalar.core.grad_table import GradTable, show
from tinygrad_scalar.core.undefined import UndefinedGradientWarning
from tinygrad_scalar.core.value import COMPILED, Value
from tinygrad_scalar.expression import CONSTANTS, FUNCTIONS, Expression
from tinygrad_scalar.nn.command import add_commands

PROGRAM = "tinygrad-scalar"
_LONGEST = 160  # characters of an error: two lines of a terminal
# What wrong input or a full disk raises; anything else is a bug and shows itself.
_FAILURES = (
    ArithmeticError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (those of the process if None) and give the exit code.

    Without arguments the demo. Errors: SystemExit with code 2 for arguments that cannot be parsed,
    and with 0 after `--help` and `--version`; everything else is told and returned as 2.

    >>> main(["grad", "x*y", "x=2", "y=3"])
    x*y = 6.0
    <BLANKLINE>
    node  operation  value  local derivatives  gradient
    #1    mul          6.0  3.0, 2.0                1.0
    x                  2.0                          3.0
    y                  3.0                          2.0
    2 edges: 2 multiplications, 2 additions
    0
    """
    _replace_what_the_terminal_cannot_show()
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(_with_expressions_spared(given))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UndefinedGradientWarning)
            options.run(options)
    except _FAILURES as error:
        # what to install stands at the end of a longer sentence, in which nothing is the user's
        text = _one_line(error)
        _tell(f"error: {text if isinstance(error, ImportError) else _shortened(text, _LONGEST)}")
        return 2
    except KeyboardInterrupt:
        return 130
    for warning in caught:
        _tell(f"warning: {_one_line(warning.message)}")
    return 0


# ── the commands ──────────────────────────────────────────────────────────────────────────────
def demo(_options: argparse.Namespace) -> None:
    """What apples and oranges cost, and what the price depends on; drawn into graph.svg."""
    apple, apple_number = Value(100.0, label="apple"), Value(2.0, label="apple number")
    orange, orange_number = Value(150.0, label="orange"), Value(3.0, label="orange number")
    tax = Value(1.1, label="tax")
    apples, oranges = apple * apple_number, orange * orange_number
    cost = apples + oranges
    price = cost * tax
    for node, label in ((apples, "apples"), (oranges, "oranges"), (cost, "cost"), (price, "price")):
        node.label = label
    table = price.backward()
    print("(apple × apple number + orange × orange number) × tax")
    print(f"= (100 × 2 + 150 × 3) × 1.1 = {price.data:g}\n")
    print(table)
    print(f"\nOne more apple would add {table[apple_number]:g} to the price.")
    print(_drawn_or_described(price))


def grad(options: argparse.Namespace) -> None:
    """Value and gradients of an expression, as a table and, if asked, as a picture."""
    expression = Expression(options.expression)
    given = _assigned(options.values)
    _check_names(expression, given)
    leaves = {name: Value(number, label=name) for name, number in given.items()}
    value = expression(leaves)
    output = value if isinstance(value, Value) else Value(value)
    table = output.backward()
    print(f"{_shortened(expression.text)} = {show(output.data)}\n")
    print(table)
    _print_gradients_cut_off(table, leaves.values())
    if options.svg is not None:
        from tinygrad_scalar.drawing import draw

        draw(output).save(options.svg)
        print(f"\nThe graph is drawn in {options.svg}.")


def add_grad(commands: Any) -> None:
    """The command `grad`."""
    command = commands.add_parser(
        "grad",
        help="value and gradients of an expression",
        description="Print the value of an expression and its gradient with respect to every name "
        'in it, as in: grad "(x*m + y*n)*t" x=100 m=2 y=150 n=3 t=1.1',
        epilog=f"Operators: + - * / // % ** and brackets. Constants: {', '.join(CONSTANTS)}. "
        f"Functions: {', '.join(sorted(FUNCTIONS))}. where, sum, prod, mean, logsumexp, dot, "
        "softmax and cross_entropy are written where(x > 0, x, -x), sum([x, y, z]), "
        "dot([x, y], [2, 3]).",
        allow_abbrev=False,
    )
    command.add_argument("expression", metavar="EXPRESSION", help='quoted: "sin(x)**2 + y"')
    command.add_argument("values", metavar="NAME=NUMBER", nargs="*", help="a value for each name")
    command.add_argument("--svg", metavar="FILE", type=Path, help="draw the graph into this file")
    command.set_defaults(run=grad)


COMMANDS: tuple[Callable[[Any], None], ...] = (add_grad, add_commands, add_bench)


# ── what the commands share ───────────────────────────────────────────────────────────────────
class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {_shortened(message, _LONGEST)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Derivatives of scalar expressions by back-propagation. "
        "Without a command: what two apples and three oranges cost, differentiated and drawn.",
        allow_abbrev=False,
    )
    version = f"tinygrad_scalar {tinygrad_scalar.__version__}{' (compiled node)' * COMPILED}"
    parser.add_argument("--version", action="version", version=version)
    parser.set_defaults(run=demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser


def _with_expressions_spared(arguments: list[str]) -> list[str]:
    """A space before an expression that starts with a minus, or argparse takes it for an option."""
    if arguments[:1] != ["grad"]:
        return arguments
    options = {"-h", "--help", "--svg", "--"}
    options -= {"-h" for argument in arguments if argument.startswith("h=")}  # then it is -(h)
    return [
        " " + argument
        if argument.startswith("-")
        and argument.partition("=")[0] not in options
        and before != "--svg"
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
            what = _shortened(repr(text.strip()))
            raise ValueError(f"{what}: give values as NAME=NUMBER, as in x=2")
        if name in given:
            raise ValueError(f"{_shortened(name)} is given twice")
        try:
            given[name] = float(number)
        except ValueError:
            what = f"{_shortened(name)}={_shortened(number)}"
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


def _print_gradients_cut_off(table: GradTable, leaves: Iterable[Value]) -> None:
    """The gradients asked for, where the printed table may have cut them out of its middle."""
    text = str(table)
    if "more …" in text:
        print(*(f"{leaf.label}  {show(table.get(leaf, 0.0))}" for leaf in leaves), sep="\n")


def _drawn_or_described(output: Value) -> str:
    """Draw into graph.svg, or without a layout engine into graph.dot; what to tell of it."""
    from tinygrad_scalar.drawing import draw

    drawing = draw(output)
    try:
        drawing.save("graph.svg")
    except ImportError:
        drawing.save("graph.dot")
        return (
            "The graph is in graph.dot. For graph.svg install an engine that lays it out, by "
            'pip install "tinygrad_scalar[svg]" or from https://graphviz.org, and run this again.'
        )
    return "The graph is drawn in graph.svg."


def _replace_what_the_terminal_cannot_show() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _tell(what: str) -> None:
    print(f"{PROGRAM}: {what}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


def _shortened(text: str, length: int = 80) -> str:
    """A text with its middle left out where it is longer than that."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} … {text[3 - half :]}"
