"""Which scope each node is drawn in, and which are closed to boxes so that a picture fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

Scope = tuple[str, ...]  # the names of the open blocks from the outside in: ("layer1", "neuron2")


def scopes_of(order: Iterable[Any]) -> dict[int, Scope]:
    """The scope of each node by its id; empty if nothing was made in a scope. O(nodes + edges).

    A leaf is drawn where its provenance says (`nn` writes there which module owns a parameter),
    otherwise in the common scope of its consumers.
    """
    order = list(order)
    if not any(node.provenance.scope for node in order):
        return {}
    found = {id(node): node.provenance.scope for node in order}
    free = {id(node) for node in order if node.primitive is None and not found[id(node)]}
    shared: dict[int, Scope] = {}
    for node in order:
        for parent in node.parents:
            key = id(parent)
            if key in free:
                scope = found[id(node)]
                shared[key] = _common(shared[key], scope) if key in shared else scope
    return found | shared


def closed_scopes(
    sizes: Counter[Scope], depth: int | None, max_nodes: int | None
) -> tuple[set[Scope], int]:
    """The scopes to close, and how many nodes and boxes are then shown.

    `sizes` counts the nodes directly in each scope. Scopes deeper than `depth` are closed; then,
    until no more than `max_nodes` things are shown, others are: the deepest first, and of these
    the largest.
    """
    shown = Counter(sizes)
    levels: dict[int, dict[Scope, None]] = {}  # dicts, to keep the order of appearance
    for scope in sizes:
        for level in range(1, len(scope) + 1):
            levels.setdefault(level, {})[scope[:level]] = None
    total, closed = sum(sizes.values()), set()
    for level in sorted(levels, reverse=True):
        too_deep = depth is not None and level > depth
        for scope in sorted(levels[level], key=lambda scope: -shown[scope]):
            too_many = max_nodes is not None and total > max_nodes and shown[scope] > 1
            if too_deep or too_many:
                total -= shown[scope] - 1
                shown[scope] = 1
                closed.add(scope)
            shown[scope[:-1]] += shown[scope]
    return closed, total


def outermost(scope: Scope, closed: set[Scope]) -> Scope | None:
    """The closed scope that hides what is in `scope`, None if all around it is open."""
    for level in range(1, len(scope) + 1):
        if scope[:level] in closed:
            return scope[:level]
    return None


def nested(scopes: Iterable[Scope]) -> Iterator[tuple[Scope, bool]]:
    """Every scope and those around it twice: as it opens (True) and, after all in it, closes."""
    inside: dict[Scope, list[Scope]] = {(): []}
    for scope in scopes:
        for level in range(1, len(scope) + 1):
            if scope[:level] not in inside:
                inside[scope[:level]] = []
                inside[scope[: level - 1]].append(scope[:level])
    stack: list[tuple[Scope, bool]] = [((), True)]
    while stack:
        scope, opens = stack.pop()
        yield scope, opens
        if opens:
            stack.append((scope, False))
            stack += [(inner, True) for inner in reversed(inside[scope])]


def _common(a: Scope, b: Scope) -> Scope:
    length = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        length += 1
    return a[:length]
