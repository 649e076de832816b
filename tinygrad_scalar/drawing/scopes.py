"""Which scope each node is drawn in, and which are closed to boxes so that a picture fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_EDGES = 4  # shown by default for each of `max_nodes`
_DIGITS = re.compile(r"\d+")
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


def chosen_scopes(
    kept: Sequence[Any], scopes: Mapping[int, Scope], depth: int | None, max_nodes: int | None
) -> tuple[set[Scope], int]:
    """The scopes to close of those around the nodes kept, and how many things are then shown.

    Where `depth` is free, whole levels are closed while too many edges are shown to be told apart.
    """
    if not scopes:
        return set(), len(kept)
    sizes = Counter(scopes.get(id(node), ()) for node in kept)
    closed, total = closed_scopes(sizes, depth, max_nodes)
    level = max(map(len, sizes))
    while (
        depth is None
        and max_nodes is not None
        and level > 0
        and _edges_shown(kept, scopes, closed) > _EDGES * max_nodes
    ):
        level -= 1
        closed, total = closed_scopes(sizes, level, max_nodes)
    return closed, total


def _edges_shown(kept: Sequence[Any], scopes: Mapping[int, Scope], closed: set[Scope]) -> int:
    """How many lines a picture has in which these scopes are closed."""
    hidden = {scope: outermost(scope, closed) for scope in set(scopes.values())}
    place = {id(node): hidden.get(scopes.get(id(node), ())) or id(node) for node in kept}
    ends = Counter(
        (place[id(parent)], place[id(node)])
        for node in kept
        for parent in node.parents
        if id(parent) in place
    )
    return sum(
        count if isinstance(a, int) and isinstance(b, int) else 1
        for (a, b), count in ends.items()
        if a != b
    )


def closed_scopes(
    sizes: Counter[Scope], depth: int | None, max_nodes: int | None
) -> tuple[set[Scope], int]:
    """The scopes to close, and how many nodes and boxes are then shown.

    `sizes` counts the nodes directly in each scope. Scopes deeper than `depth` are closed; then,
    until no more than `max_nodes` things are shown, others are: the deepest first, of these the
    largest, and neuron1, neuron2, … in one scope together, so that likes look alike.
    """
    shown = Counter(sizes)
    total, closed = sum(sizes.values()), set()
    for level, families in sorted(_families(sizes).items(), reverse=True):
        too_deep = depth is not None and level > depth
        for family in sorted(families, key=lambda family: -sum(shown[scope] for scope in family)):
            if too_deep or (max_nodes is not None and total > max_nodes):
                total -= sum(shown[scope] - 1 for scope in family)
                shown.update({scope: 1 - shown[scope] for scope in family})
                closed |= set(family)
            for scope in family:
                shown[scope[:-1]] += shown[scope]
    return closed, total


def _families(scopes: Iterable[Scope]) -> dict[int, list[list[Scope]]]:
    """By level: the scopes whose names differ in digits only, in order of appearance."""
    found: dict[int, dict[Scope, dict[Scope, None]]] = {}
    seen: set[Scope] = set()
    for scope in scopes:
        for level in range(len(scope), 0, -1):
            if scope[:level] in seen:  # and all around it
                break
            seen.add(scope[:level])
            *around, name = scope[:level]
            family = (*around, _DIGITS.sub("", name))
            found.setdefault(level, {}).setdefault(family, {})[scope[:level]] = None
    return {
        level: [list(family) for family in families.values()] for level, families in found.items()
    }


def outermost(scope: Scope, closed: set[Scope]) -> Scope | None:
    """The closed scope that hides what is in `scope`, None if all around it is open."""
    for level in range(1, len(scope) + 1):
        if scope[:level] in closed:
            return scope[:level]
    return None


def nested(scopes: Iterable[Scope], stacked: bool = False) -> Iterator[tuple[Scope, bool]]:
    """Every scope and those around it twice: as it opens (True) and, after all in it, closes.

    In order of appearance; `stacked` turns those of every second level round.
    """
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
            turned = stacked and len(scope) % 2 == 0
            inner = inside[scope] if turned else inside[scope][::-1]
            stack += [(one, True) for one in inner]


def _common(a: Scope, b: Scope) -> Scope:
    length = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        length += 1
    return a[:length]
