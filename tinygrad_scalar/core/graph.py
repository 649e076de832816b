"""Walks over anything with `.parents`: iterative, so that depth is no limit.

A node is *below* another if that one was computed from it; every walk here starts at the output
and goes down to the leaves. Algorithm 6.1's numbering u(1)…u(n) is `topological_order`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

Node = TypeVar("Node", bound=Any)


def nodes_below(*roots: Node) -> Iterator[Node]:
    """Every node below the roots and the roots themselves, each once. O(nodes + edges)."""
    seen = {id(root): root for root in roots}
    stack = list(seen.values())
    while stack:
        node = stack.pop()
        yield node
        for parent in node.parents:
            if id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append(parent)


def topological_order(*roots: Node, cut: Collection[int] = frozenset()) -> list[Node]:
    """The nodes numbered so that parents come first: u(1)…u(n). O(nodes + edges).

    Nodes in `cut` (by id) count as leaves: nothing is followed through them.

    Source: *Deep Learning*, Algorithm 6.1.

    >>> from tinygrad_scalar import Value
    >>> x = Value(2.0, label="x")
    >>> [node.label or node.primitive.name for node in topological_order(x * x + x)]
    ['x', 'mul', 'add']
    """
    order: list[Node] = []
    seen = set()
    stack: list[tuple[Node, Iterator[Node]]] = []
    for root in roots:
        if id(root) in seen:
            continue
        if not hasattr(root, "parents"):
            kind = type(root).__name__
            raise TypeError(f"topological_order: give Values, as in (x, y), not {kind}")
        seen.add(id(root))
        stack.append((root, iter(() if id(root) in cut else root.parents)))
        while stack:
            node, parents = stack[-1]
            for parent in parents:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    stack.append((parent, iter(() if id(parent) in cut else parent.parents)))
                    break
            else:
                stack.pop()
                order.append(node)
    return order


Nodes = Sequence[Any]
NOTHING: frozenset[int] = frozenset()


def active_nodes(outputs: Nodes, inputs: Nodes, cut: Collection[int] = NOTHING) -> set[int]:
    """The ids of the nodes below `outputs` that depend on one of `inputs`, these included.

    Nodes in `cut` (by id) count as leaves: nothing is followed through them.
    """
    wanted = {id(node) for node in inputs}
    active: set[int] = set()
    for node in topological_order(*outputs, cut=cut):
        if id(node) in wanted or (
            id(node) not in cut and any(id(parent) in active for parent in node.parents)
        ):
            active.add(id(node))
    return active


def consumers_first(
    outputs: Nodes, active: Collection[int] | None, cut: Collection[int] = NOTHING
) -> list[Any]:
    """The order of Algorithm 6.2: the outputs, then each node once all its consumers are done.

    With `active`, only these nodes (by id) and the edges between them count.
    """
    reached = [node for node in outputs if active is None or id(node) in active]
    pending = {id(node): 0 for node in reached}
    edges: list[Sequence[Any]] = []
    for node in reached:
        parents = () if id(node) in cut else node.parents
        if active is not None:
            parents = [parent for parent in parents if id(parent) in active]
        edges.append(parents)
        for parent in parents:
            consumers = pending.get(id(parent))
            if consumers is None:
                reached.append(parent)
            pending[id(parent)] = (consumers or 0) + 1
    below = dict(zip(map(id, reached), edges, strict=True))
    order = [node for node in outputs if pending.get(id(node)) == 0]
    for node in order:
        for parent in below[id(node)]:
            pending[id(parent)] = consumers = pending[id(parent)] - 1
            if not consumers:
                order.append(parent)
    return order
