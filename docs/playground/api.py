"""What the playground asks of the library: plain functions, strings in, JSON out.

Runs in the browser, inside Pyodide, and, for the tests, in Python anywhere. Nothing a visitor types
is evaluated by Python here but at the prompt, which is Python: `Expression` is a whitelist.
"""

from __future__ import annotations

import code
import contextlib
import io
import json
import re
import traceback
import warnings
from typing import Literal

import tinygrad_scalar
from tinygrad_scalar import Value, data, draw, nn, optim, steps, to_text
from tinygrad_scalar.expression import CONSTANTS, Expression

LONGEST = (
    1000  # characters: a browser gives Python little room to nest, and stops it for good there
)
FAILURES = (ArithmeticError, ImportError, LookupError, RuntimeError, TypeError, ValueError)


def _output(text: str, at: dict[str, float]) -> tuple[Expression, Value, dict[str, Value]]:
    """The expression, its output, and the leaf of each name; a name without a number is 1."""
    if len(text) > LONGEST:
        raise ValueError(
            f"at most {LONGEST:,} characters are read here, and this has {len(text):,}"
        )
    expression = Expression(text)
    names = [name for name in expression.names if name not in CONSTANTS or name in at]
    leaves = {name: Value(float(at.get(name, 1.0)), label=name) for name in names}
    value = expression(leaves)
    return expression, value if isinstance(value, Value) else Value(float(value)), leaves


def _row(number: int, node: Value, gradient: float) -> list[str]:
    """Name, operation, value, local derivatives and gradient of a node."""
    operation = node.primitive.name if node.primitive is not None else ""
    slopes = ", ".join(f"{slope():.6g}" for slope in node.local_derivatives)
    return [node.label or f"#{number}", operation, f"{node.data:.10g}", slopes, f"{gradient:.10g}"]


# The label of a node or an edge in DOT text.
_LABEL = re.compile(r'^(\s*\w+(?: -> \w+)? )\[label="((?:[^"\\]|\\.)*)"', re.MULTILINE)


class Picture:
    """The picture of an expression, laid out anew only where more than its numbers change."""

    def __init__(self) -> None:
        self.shown = ""  # the DOT text of what is laid out, without labels

    def change(self, output: Value, moving: bool) -> dict[str, object]:
        """What the page needs: `svg`, or while a slider moves the `labels` that are to be put in.

        The layout is most of the work, and boxes that stay where they are can be read better.
        """
        drawing = draw(output)
        labels = [
            (part.strip(), text.split("\\n")) for part, text in _LABEL.findall(drawing.source)
        ]
        shape = _LABEL.sub(r"\1", drawing.source)
        if moving and shape == self.shown:
            return {"labels": labels}
        self.shown = shape
        return {"svg": drawing.svg()}


_picture = Picture()


def evaluate(text: str, at: str, moving: bool = False) -> str:
    """Value, gradient table, picture and formula of an expression, or the error it ends in."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _, output, leaves = _output(text, json.loads(at))
            table = output.backward()
        picture = _picture.change(output, moving)
    except FAILURES as error:
        return json.dumps({"error": str(error)})
    return json.dumps(
        {
            "value": repr(output.data),
            "names": {name: leaf.data for name, leaf in leaves.items()},
            "gradients": {name: repr(table.get(leaf, 0.0)) for name, leaf in leaves.items()},
            "table": [_row(i, node, table[node]) for i, node in enumerate(table, 1)],
            "edges": table.edges,
            **picture,
            "formula": to_text(output),
            "warnings": [str(warning.message) for warning in caught],
            "steps": output.primitive is not None,
        }
    )


def steps_page(text: str, at: str, theme: Literal["light", "dark"]) -> str:
    """The page to step through back-propagation, as HTML, or the error it ends in."""
    try:
        _, output, _ = _output(text, json.loads(at))
        return json.dumps({"html": steps(output, theme=theme, title=text).html()})
    except FAILURES as error:
        return json.dumps({"error": str(error)})


class Prompt:
    """A Python prompt that gives what was printed, and whether it waits for more lines."""

    def __init__(self) -> None:
        self.console = code.InteractiveConsole({"__name__": "__console__"})
        self.push("from tinygrad_scalar import *")

    def push(self, line: str) -> str:
        """One line typed; gives JSON with `text` and `more`."""
        written = io.StringIO()
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            try:
                more = self.console.push(line)
            except SystemExit:
                more = False
            except BaseException:  # noqa: BLE001 (a prompt shows whatever a line ends in)
                traceback.print_exc()
                more = False
        return json.dumps({"text": written.getvalue(), "more": bool(more)})


class Training:
    """A small network on two half moons, a few steps at a time, with its regions on a grid."""

    def __init__(self, points: int = 60, hidden: int = 8, seed: int = 1) -> None:
        self.X, self.y = data.moons(points, noise=0.1, seed=seed)
        self.model = nn.MLP(2, [hidden, hidden, 1], activation="tanh", seed=seed)
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        # The picture asks for many more points than a step: ten times as fast, the same numbers.
        self.score = tinygrad_scalar.compile(lambda a, b: self.model([a, b]), engine="python")
        self.done = 0

    def points(self) -> str:
        """The data, as JSON."""
        return json.dumps({"X": self.X, "y": self.y})

    def step(self, count: int = 1) -> str:
        """Train on all points `count` times; gives loss, accuracy and steps done as JSON."""
        for _ in range(count):
            self.optimizer.zero_grad()
            scores = [self.model(x) for x in self.X]
            loss = nn.binary_cross_entropy(scores, self.y)
            loss.backward()
            self.optimizer.step()
            self.done += 1
        hits = [
            (score.data > 0) == (label == 1) for score, label in zip(scores, self.y, strict=True)
        ]
        right = hits.count(True)
        return json.dumps({"loss": loss.data, "accuracy": right / len(self.y), "steps": self.done})

    def regions(self, columns: int, rows: int, box: str) -> str:
        """The score of class 1 at the middle of each cell of a grid over `box`, row by row."""
        left, right, low, high = json.loads(box)
        scores = [
            self.score(
                left + (right - left) * (i + 0.5) / columns,
                high - (high - low) * (j + 0.5) / rows,
            )
            for j in range(rows)
            for i in range(columns)
        ]
        return json.dumps(scores)
