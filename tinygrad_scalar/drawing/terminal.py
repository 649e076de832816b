"""The graph as an indented tree, for a terminal."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from tinygrad_scalar.core.provenance import distinct_names
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import checked_count, checked_roots
from tinygrad_scalar.drawing.labels import number_text, one_line
from tinygrad_scalar.drawing.terms import operation_text

_BOLD, _BLUE, _GREY, _PLAIN = "\x1b[1m", "\x1b[34m", "\x1b[90m", "\x1b[0m"


class Tree(str):
    """Text that a prompt shows as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def tree(z: Value, depth: int | None = 8) -> str:
    """The graph of `z` as a tree to print: what it was computed from stands below it, indented.

    A node that is used more than once is written out where it first appears and afterwards only
    named, by its label or a number. What lies more than `depth` levels down is cut off and marked
    by dots; None cuts nothing. In colour if standard output is a terminal and NO_COLOR is not set.

    Cost O(lines), and the indentation.
    Errors: TypeError unless `z` is a Value and `depth` an int, ValueError for a negative one.

    >>> x = Value(2.0, label="x")
    >>> y = x + 1.0
    >>> tree(y * y)
    9.0 = ×
    ├─ #1 3.0 = + 1.0
    │  └─ x 2.0
    └─ #1 (above)
    """
    (root,) = checked_roots([z], "tree")
    depth = checked_count("depth", depth, 0, "tree")
    return Tree("\n".join(_lines(root, depth, _Style(_on_a_terminal()))))


def _on_a_terminal() -> bool:
    screen = sys.stdout  # None without a console, as under pythonw
    return screen is not None and screen.isatty() and not os.environ.get("NO_COLOR")


class _Style:
    """Colours, or none."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if self.coloured and text else text


def _lines(root: Any, depth: int | None, style: _Style) -> Iterator[str]:
    entries = list(_entries(root, depth))
    times = Counter(id(entry.node) for entry in entries)
    numbers = count(1)
    labels = distinct_names(entry.node for entry in entries)
    names: dict[int, str] = {}
    for head, node, again, cut in entries:
        if id(node) not in names:
            shared = node.primitive is not None and times[id(node)] > 1
            names[id(node)] = one_line(labels.get(id(node), "")) or (
                f"#{next(numbers)}" if shared else ""
            )
        name = style(names[id(node)], _BOLD)
        if again:
            yield f"{head}{name} {style('(above)', _GREY)}"
        else:
            text = _described(node, name, bool(root.grad), style)
            yield f"{head}{text}{style(' …', _GREY) if cut else ''}"


class _Entry(NamedTuple):
    """A line of the tree: what stands before the node, and what is left out below it."""

    head: str
    node: Any
    again: bool  # it stands, with what is below it, further up
    cut: bool


def _entries(root: Any, depth: int | None) -> Iterator[_Entry]:
    """The lines from top to bottom. O(lines), and the indentation."""
    written: set[int] = set()
    # a node, what stands before its line and what before the lines below it, its level
    stack: list[tuple[Any, str, str, int]] = [(root, "", "", 0)]
    while stack:
        node, head, indent, level = stack.pop()
        parents = node.parents
        again = bool(parents) and id(node) in written
        cut = depth is not None and level >= depth and bool(parents)
        yield _Entry(head, node, again, cut)
        if again or cut:
            continue
        written.add(id(node))
        for i in reversed(range(len(parents))):
            last = i == len(parents) - 1
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            stack.append((parents[i], indent + branch, indent + below, level + 1))


def _described(node: Any, name: str, differentiated: bool, style: _Style) -> str:
    parts = [name] if name else []
    parts.append(number_text(node.data))
    if node.primitive is not None:
        parts += ["=", style(operation_text(node), _BLUE)]
    if differentiated or node.grad:
        parts.append(style(f"grad {number_text(node.grad)}", _GREY))
    return " ".join(parts)
