"""What a picture does not show one by one: boxes, and the bundles of edges that end in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.drawing.choice import Choice
from tinygrad_scalar.drawing.folding import Group
from tinygrad_scalar.drawing.scopes import Scope
from tinygrad_scalar.drawing.terms import operation_text


class Box(NamedTuple):
    """A closed scope; or like nodes drawn as one; or, without a name, what `focus` leaves out."""

    key: str
    name: str
    scope: Scope
    nodes: Sequence[Any]
    group: Group | None = None  # where the nodes are alike


class Bundle(NamedTuple):
    """The edges between two shown things of which at least one is a box."""

    source: str
    target: str
    edges: Sequence[tuple[Any, int]]  # the consumer, and which of its operands


def put_away(
    order: Sequence[Any], kept: Sequence[Any], choice: Choice, keys: dict[int, str]
) -> tuple[list[Box], list[Bundle]]:
    """The boxes and bundles of a choice; `keys` are the names of the Values shown, by id."""
    members: dict[Any, list[Any]] = {}
    for node in kept:
        if id(node) in choice.home:
            members.setdefault(choice.home[id(node)], []).append(node)
    boxes = []
    for i, (place, nodes) in enumerate(members.items(), start=1):
        if isinstance(place, tuple):
            boxes.append(Box(f"b{i}", place[-1], place[:-1], nodes))
        else:
            group = choice.folds.groups[place]
            boxes.append(Box(f"b{i}", _group_name(group), group.scope, nodes, group))
    place_of = {id(node): box.key for box in boxes for node in box.nodes} | keys
    found: dict[tuple[str, str], list[tuple[Any, int]]] = {}
    for node in order:
        for i, parent in enumerate(node._slots()):
            if parent is None or (id(node) in keys and id(parent) in keys):
                continue
            source, target = place_of.get(id(parent)), place_of.get(id(node))
            if source != target:
                ends = source or f"before_{target}", target or f"after_{source}"
                found.setdefault(ends, []).append((node, i))
    bundles = [Bundle(*ends, edges) for ends, edges in found.items()]
    return boxes + _left_out(bundles), bundles


def _group_name(group: Group) -> str:
    """What like nodes have in common: a label, or the operation."""
    first = group.nodes[0]
    labels = {node.label for node in group.nodes}
    if len(labels) == 1 and first.label:
        return str(first.label)
    texts = {operation_text(node) for node in group.nodes} if first.primitive else set()
    if len(texts) == 1:
        return texts.pop()
    if first.primitive is not None:
        return str(first.primitive.symbol or first.primitive.name)
    stems = {label.rstrip("0123456789_[]") for label in labels}
    return stems.pop() or "leaves" if len(stems) == 1 else "leaves"


def _left_out(bundles: Iterable[Bundle]) -> list[Box]:
    """The boxes without a name, one on each side of a node whose neighbours are left out."""
    boxes = []
    for bundle in bundles:
        if bundle.source.startswith("before"):
            nodes = [node._slots()[i] for node, i in bundle.edges]
            boxes.append(Box(bundle.source, "", (), nodes))
        elif bundle.target.startswith("after"):
            boxes.append(Box(bundle.target, "", (), [node for node, _ in bundle.edges]))
    return boxes
