"""The graph as an indented tree, for a terminal."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tinygrad_scalar.drawing.labels import number_text, one_line
from tinygrad_scalar.drawing.scene import check_count, checked_roots
from tinygrad_scalar.drawing.terms import operation_text
from tinygrad_scalar.graph import topological_order
from tinygrad_scalar.value import Value

_BOLD, _BLUE, _GREY, _PLAIN = "\x1b[1m", "\x1b[34m", "\x1b[90m", "\x1b[0m"


def tree(z: Value, depth: int | None = 8) -> str:
    """The graph of `z` as a tree to print: what it was computed from stands below it, indented.

    A node that is used more than once is written out where it first appears and afterwards only
    named, by its label or number. What lies more than `depth` levels down is cut off and marked
    by dots; None cuts nothing. In colour if standard output is a terminal and NO_COLOR is not set.

    Cost O(nodes + edges), and the indentation.
    Errors: TypeError unless `z` is a Value and `depth` an int, ValueError for a negative one.

    >>> x = Value(2.0, label="x")
    >>> y = x + 1.0
    >>> print(tree(y * y))
    9.0 = ×
    ├─ #2 3.0 = + 1.0
    │  └─ x 2.0
    └─ #2 (above)
    """
    (root,) = checked_roots([z], "tree")
    check_count("depth", depth, 0, "tree")
    return "\n".join(_lines(root, depth, _Style(_on_a_terminal())))


def _on_a_terminal() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class _Style:
    """Colours, or none."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def __call__(self, text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if self.coloured and text else text


def _lines(root: Any, depth: int | None, style: _Style) -> Iterator[str]:
    order = topological_order(root)
    uses = Counter(id(parent) for node in order for parent in node.parents)
    names = {
        id(node): one_line(node.label) or (f"#{number}" if uses[id(node)] > 1 else "")
        for number, node in enumerate(order, start=1)
    }
    differentiated = bool(root.grad)
    written: set[int] = set()
    # a node, what stands before its line and what before the lines below it, its level
    stack: list[tuple[Any, str, str, int]] = [(root, "", "", 0)]
    while stack:
        node, head, indent, level = stack.pop()
        name = style(names[id(node)], _BOLD)
        if id(node) in written and node.primitive is not None:
            yield f"{head}{name} {style('(above)', _GREY)}"
            continue
        written.add(id(node))
        cut = depth is not None and level >= depth and bool(node.parents)
        yield head + _described(node, name, differentiated, style) + cut * style(" …", _GREY)
        if cut:
            continue
        parents = node.parents
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
