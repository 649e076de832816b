"""Formulas: a graph as text or LaTeX, each shared subterm with a name and a line of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.provenance import distinct_names
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import checked_roots
from tinygrad_scalar.drawing.latex import LATEX
from tinygrad_scalar.drawing.terms import TEXT, Notation, written

Roots = Value | Sequence[Value] | Mapping[Any, Value]


def to_text(z: Roots) -> str:
    """The formula of `z` in plain text.

    A leaf is written by its label, or by its number if it has none; a term that is used more than
    once is named, by its label or as t1, t2, …, and defined in a line before. `z` may be a list of
    Values or the table of `z.backward(create_graph=True)`: one line for each, or for each leaf.
    O(nodes + edges), without recursion.

    Errors: TypeError unless `z` is a Value, a list or a table of them.

    >>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
    >>> s = x + y
    >>> print(to_text(s * s - x * 0.5))
    t1 = x + y
    t1 × t1 − x × 0.5
    """
    return _text(z, "to_text")


def _text(z: Roots, caller: str) -> str:
    return "\n".join(_lines(z, caller, TEXT, "="))


def to_latex(z: Roots) -> str:
    r"""The formula of `z` in LaTeX, as `to_text` writes it; for math mode, without dollar signs.

    Several lines stand in an `aligned` environment. Every row of the table brings its template.
    Errors: those of `to_text`; ValueError for a row whose template is broken.

    >>> x = Value(2.0, label="x")
    >>> print(to_latex((x + 1.0) ** 2 / x.sqrt()))
    \frac{{\left(x + 1\right)}^{2}}{\sqrt{x}}
    """
    lines = list(_lines(z, "to_latex", LATEX, "&="))
    if len(lines) == 1:
        return lines[0].replace(" &= ", " = ")
    aligned = [line if " &= " in line else f"& {line}" for line in lines]
    return "\\begin{aligned}\n" + " \\\\\n".join(aligned) + "\n\\end{aligned}"


def formula(z: Roots) -> Formula:
    """The formula of `z`, which a notebook shows in print and a terminal as text.

    Errors: those of `to_text`.

    >>> formula(Value(2.0, label="x") * 3.0)
    x × 3.0
    """
    return Formula(_text(z, "formula"), to_latex(z))


class Formula:
    """A formula in `text` and in `latex`. Made by `formula`."""

    def __init__(self, text: str, latex: str) -> None:
        self.text = text
        self.latex = latex

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex}$"

    def __repr__(self) -> str:
        return self.text


def _lines(z: Roots, caller: str, notation: Notation, equals: str) -> Iterator[str]:
    """A line for every shared term, then one for every root."""
    roots, titles = _titled(z, caller, notation)
    order = topological_order(*roots)
    shared = _names(order, notation)
    names = shared | _leaves(order, notation)
    for node in order:
        if id(node) in shared:
            yield f"{names[id(node)]} {equals} {written(node, notation, names, whole=node)}"
    for root, title in zip(roots, titles, strict=True):
        term = written(root, notation, names)
        if title != term:
            yield f"{title} {equals} {term}" if title else term


def _titled(z: Roots, caller: str, notation: Notation) -> tuple[list[Value], list[str]]:
    """The Values to write down, and what stands before each: a name, ∂z/∂x, or nothing."""
    if not isinstance(z, Mapping):
        roots = checked_roots(z, caller)
        named = [root.label if root.primitive is not None else "" for root in roots]
        return roots, [notation.name(label) if label else "" for label in named]
    leaves = [node for node in checked_roots([*z], caller) if node.primitive is None]
    names = _leaves(leaves, notation)
    output = notation.name(next(iter(z)).label or "z")
    roots = checked_roots([z[leaf] for leaf in leaves], caller)
    return roots, [notation.derivative(output, written(leaf, notation, names)) for leaf in leaves]


def _leaves(order: Sequence[Any], notation: Notation) -> dict[int, str]:
    """The names of the leaves whose label others bear too."""
    names = distinct_names(order)
    return {
        id(node): notation.name(names[id(node)])
        for node in order
        if node.primitive is None and names.get(id(node), node.label) != node.label
    }


def _names(order: Sequence[Any], notation: Notation) -> dict[int, str]:
    """A name for each inner node used more than once, none of them used for anything else."""
    uses = Counter(id(parent) for node in order for parent in node.parents)
    labels = Counter(node.label for node in order if node.label)
    fresh = (name for i in count(1) if not labels[name := notation.shared.format(i)])
    return {
        id(node): notation.name(node.label if labels[node.label] == 1 else next(fresh))
        for node in order
        if node.primitive is not None and uses[id(node)] > 1
    }
