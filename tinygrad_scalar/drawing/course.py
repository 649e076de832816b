"""The course of both propagations over a scene, step by step, as text: what the page plays.

Forward is Algorithm 6.1, one step an operation; then the seed; then Algorithm 6.2, one step an
edge, the nodes in reverse order. A closed box takes one step forward, and one for each bundle of
edges into it. Nothing is written to the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.core import grad_table
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.printable import visible
from tinygrad_scalar.drawing.boxes import Box, Bundle
from tinygrad_scalar.drawing.labels import number_text
from tinygrad_scalar.drawing.scene import Scene, slopes
from tinygrad_scalar.drawing.terms import ATOM, TEXT, applied
from tinygrad_scalar.numbers.precision import like

_OPERANDS = 8  # written out in a forward step
_NOT_SHOWN = "nodes not shown"


class Row(NamedTuple):
    """A line of the table: a Value or box, and its value once that is computed."""

    key: str
    name: str
    value: str
    given: bool  # a leaf: its value is there from the beginning


class Step(NamedTuple):
    """One step: what fires, what it feeds by which edge, the new entry there, and the line."""

    phase: str  # "forward", "seed" or "backward"
    fires: str
    feeds: str
    edge: str  # the id of the edge in the SVG, "" if none
    entry: str  # the new text of the value (forward) or of the gradient of what is fed
    symbols: str
    numbers: str
    total: str = ""  # where there was an entry: it, and what comes, and what is there now
    slopes: Sequence[int] = ()  # the places of the local derivatives of what fires that are used


class Item:
    """A Value, a box or what is left out, with what it depends on; these can be put in order."""

    def __init__(self, key: str, thing: Any) -> None:
        self.key = key
        self.thing = thing
        self.parents: list[Item] = []
        self.bundles: list[Bundle] = []  # of edges that end here

    @property
    def box(self) -> Box | None:
        """The box, None for a Value."""
        return self.thing if isinstance(self.thing, Box) else None


class Course:
    """All rows and steps of a scene with one output. O(nodes + edges)."""

    def __init__(self, seen: Scene) -> None:
        self._seen = seen
        self._output = seen.roots[0]
        self._slopes: dict[tuple[int, int], Any] = {}  # by edge: its local derivative
        self._terms: dict[tuple[int, int], Any] = {}  # by edge: what it carries back
        self.gradients = self._propagated()
        self._items = _in_order(seen)
        self._boxes = {box.key: box for box in seen.boxes}
        self._values = {seen.key(node): node for node in seen.nodes}
        self.rows = [row for item in self._items for row in self._row(item)]
        self.steps = [*self._forward(), self._seed(), *self._backward()]

    def _propagated(self) -> dict[int, Any]:
        """The gradient of every node below the output, by Algorithm 6.2 in reverse order."""
        seed = like(1.0, self._output.data)
        gradients = {id(node): like(0.0, self._output.data) for node in self._seen.order}
        gradients[id(self._output)] = seed
        for node in reversed(self._seen.order):
            for i, parent, slope in slopes(node):
                self._slopes[id(node), i] = slope
                self._terms[id(node), i] = term = _product(gradients[id(node)], slope)
                gradients[id(parent)] = gradients[id(parent)] + term
        return gradients

    def _row(self, item: Item) -> Iterator[Row]:
        if item.box is None:
            name = visible(self._seen.name(item.thing))
            yield Row(item.key, name, show(item.thing.data), item.thing.primitive is None)
        elif item.box.name:
            name = visible("/".join((*item.box.scope, item.box.name)))
            yield Row(item.key, name, _counted(item.box.nodes, "node"), given=False)

    def _name(self, node: Any) -> str:
        """How the line of a step calls a Value."""
        return TEXT.name(self._seen.name(node))

    # ── forward ───────────────────────────────────────────────────────────────────────────────
    def _forward(self) -> Iterator[Step]:
        for item in self._items:
            key, box = item.key, item.box
            if box is None:
                if item.thing.primitive is not None:
                    entry = show(item.thing.data)
                    yield Step("forward", key, key, "", entry, *self._operation(item.thing))
            elif box.name and any(node.primitive is not None for node in box.nodes):
                size = _counted(box.nodes, "node")
                yield Step("forward", key, key, "", size, self._title(key), f"computes {size}")

    def _operation(self, node: Any) -> tuple[str, str]:
        """z = x × y, and = 2.0 × 3.0 = 6.0."""
        row, operands, value = node.primitive, node.operands, show(node.data)
        name = self._name(node)
        if len(operands) > _OPERANDS:
            return f"{name} = {row.name} of {len(operands)} operands", f"= {value}"
        names = [
            (self._name(x), ATOM) if isinstance(x, Carrier) else TEXT.number(x) for x in operands
        ]
        numbers = [TEXT.number(x) for x in node._seen()[1]]
        return f"{name} = {applied(row, names, TEXT)}", f"= {applied(row, numbers, TEXT)} = {value}"

    # ── backward ──────────────────────────────────────────────────────────────────────────────
    def _seed(self) -> Step:
        name, one = self._name(self._output), show(self.gradients[id(self._output)])
        holds = (
            item.key
            for item in self._items
            if item.thing is self._output
            or (item.box and any(node is self._output for node in item.box.nodes))
        )
        key = next(holds, "")
        return Step("seed", key, key, "", one, f"grad {name} = ∂{name}/∂{name}", f"= {one}")

    def _backward(self) -> Iterator[Step]:
        """The nodes in reverse order, each edge below a node adding to the entry it feeds."""
        sums: dict[str, Any] = {}
        for item in reversed(self._items):
            for i, parent in self._edges_shown(item):
                key, edge = self._seen.key(parent), f"e{item.key[1:]}_{i}"
                entry, total = _added(sums, key, self._terms[id(item.thing), i])
                line = self._product_rule(item.thing, i, parent)
                places = [_place(item.thing, i)]
                yield Step("backward", item.key, key, edge, entry, *line, total, places)
            for bundle in item.bundles:
                term = sum(self._terms[id(node), i] for node, i in bundle.edges)
                entry, total = _added(sums, bundle.source, term)
                box = self._boxes.get(bundle.source)
                if box is not None:
                    entry, total = self._norm(box), ""
                edge, line = f"e{bundle.source}_{bundle.target}", self._sum_rule(bundle, show(term))
                places = [_place(node, i) for node, i in bundle.edges if item.box is None]
                ends = bundle.target, bundle.source
                yield Step("backward", *ends, edge, entry, *line, total, places)

    def _edges_shown(self, item: Item) -> Iterator[tuple[int, Any]]:
        """The operands of a Value that are drawn, with their places."""
        for i, parent in enumerate(item.thing._slots() if item.box is None else ()):
            if parent is not None and id(parent) in self._seen.shown:
                yield i, parent

    def _product_rule(self, node: Any, i: int, parent: Any) -> tuple[str, str]:
        """The chain rule along one edge."""
        z, x = self._name(node), self._name(parent)
        gradient, term = show(self.gradients[id(node)]), show(self._terms[id(node), i])
        slope = _bracketed(self._slopes[id(node), i])
        return f"grad {x} += grad {z} · ∂{z}/∂{x}", f"= {gradient} × {slope} = {term}"

    def _sum_rule(self, bundle: Bundle, term: str) -> tuple[str, str]:
        """Many edges at once: what a Value receives by them, or between which boxes they run."""
        edges = _counted(bundle.edges, "edge")
        if bundle.source in self._values:
            x = self._name(self._values[bundle.source])
            return f"grad {x} += Σ over {edges} from {self._title(bundle.target)}", f"= {term}"
        return f"{edges} from {self._title(bundle.target)} to {self._title(bundle.source)}", ""

    def _title(self, key: str) -> str:
        if key in self._values:
            return self._name(self._values[key])
        return TEXT.name(self._boxes[key].name) if self._boxes[key].name else _NOT_SHOWN

    def _norm(self, box: Box) -> str:
        """What the table shows for a box: the length of the gradient of all in it."""
        norm = math.hypot(*(float(self.gradients[id(node)]) for node in box.nodes))
        return f"norm {number_text(norm)}"


def _in_order(seen: Scene) -> list[Item]:
    """Everything shown, what it depends on first; where boxes depend on each other, as it comes."""
    items = {seen.key(node): Item(seen.key(node), node) for node in seen.nodes}
    items |= {box.key: Item(box.key, box) for box in seen.boxes}
    for node in seen.nodes:
        here = items[seen.key(node)]
        here.parents = [items[seen.key(p)] for p in node.parents if id(p) in seen.shown]
    for bundle in seen.bundles:
        here = items[bundle.target]
        here.parents.append(items[bundle.source])
        here.bundles.append(bundle)
    return topological_order(*items.values())


def _added(sums: dict[str, Any], key: str, term: Any) -> tuple[str, str]:
    """The new entry; and, where there was one: what was there + what comes = what is there now."""
    before = sums.get(key)
    sums[key] = term if before is None else before + term
    now = show(sums[key])
    return now, "" if before is None else f"{show(before)} + {_bracketed(term)} = {now}"


def show(x: Any) -> str:
    """A number as in the tables; a zero has no sign, which would only ask for an explanation."""
    return grad_table.show(0.0 if x.__class__ is float and not x else x)


def _bracketed(x: Any) -> str:
    text = show(x)
    return f"({text})" if text.startswith("-") else text


def _place(node: Any, i: int) -> int:
    """Which of the local derivatives of a node belongs to its operand `i`."""
    return sum(parent is not None for parent in node._slots()[:i])


def _product(gradient: Any, partial: Any) -> Any:
    """gradient · partial, where 0 · ∞ is 0 as in `backward`."""
    product = gradient * partial
    undefined = product != product and gradient == gradient and partial == partial  # noqa: PLR0124
    return like(0.0, product) if undefined else product


def _counted(things: Any, what: str) -> str:
    return f"{len(things)} {what}{'s' * (len(things) != 1)}"
