"""The command line: `python -m tinygrad_scalar`, also installed as `tinygrad-scalar`.

Every failure is one line on standard error and exit code 2. A room adds a command of its own with
a function that takes argparse's subparsers, named in `COMMANDS`; the command sets `run`, a function
of the parsed arguments.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import tinygrad_scalar
from tinygrad_scalar.bench.command import add_bench
from tinygrad_scalar.cli.grad import add_grad, with_expressions_spared
from tinygrad_scalar.cli.terminal import (
    PROGRAM,
    fitted,
    one_line,
    printing,
    replace_what_the_terminal_cannot_show,
    tell,
)
from tinygrad_scalar.cli.train import add_commands
from tinygrad_scalar.core.printable import shortened
from tinygrad_scalar.core.undefined import UndefinedGradientWarning
from tinygrad_scalar.core.value import COMPILED, Value

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
    replace_what_the_terminal_cannot_show()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with printing(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UndefinedGradientWarning)
            options = _parser().parse_args(with_expressions_spared(given))
            options.run(options)
    except _FAILURES as error:
        # what to install stands at the end of a longer sentence, in which nothing is the user's
        text = one_line(error)
        tell(f"error: {text if isinstance(error, ImportError) else shortened(text, _LONGEST)}")
        return 2
    except KeyboardInterrupt:
        return 130
    for text in dict.fromkeys(one_line(warning.message) for warning in caught):
        tell(f"warning: {text}")
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
    print(fitted(table))
    print(f"\nOne more apple would add {table[apple_number]:g} to the price.")
    print(_drawn_or_described(price))


COMMANDS: tuple[Callable[[Any], None], ...] = (add_grad, add_commands, add_bench)


# ── what the commands share ───────────────────────────────────────────────────────────────────
class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {shortened(message, _LONGEST)}\n")


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
