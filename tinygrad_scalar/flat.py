"""Pickling and deep copying a graph of any depth: written down as a flat list, parents first.

Leaves are written as objects of their own, so that what is pickled or copied together keeps
sharing them; inner nodes of one root keep all sharing because they stand in one list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_scalar.graph import topological_order
from tinygrad_scalar.provenance import Provenance

if TYPE_CHECKING:
    from tinygrad_scalar.value import Value

_SLOTS = ("data", "grad", "_x", "_y")


def flattened(root: Value) -> tuple[Any, ...]:
    """What `__reduce_ex__` gives: a function and its arguments, without nesting. O(nodes)."""
    if root.primitive is None:
        return _leaf, (type(root), root.data, root.grad, root.provenance)
    order = topological_order(root)
    number = {id(node): i for i, node in enumerate(order)}
    leaves = [node for node in order if node.primitive is None]
    entries: list[Any] = []
    for node in order:
        if node.primitive is None:
            entries.append(None)
            continue
        slots = node._slots()
        parents = tuple(None if p is None else number[id(p)] for p in slots)
        y = node._y if node._y is not slots else None
        entries.append(
            (node.primitive, node.data, node.grad, node._x, y, parents, tuple(node.provenance))
        )
    return _graph, (type(root), entries, leaves)


def _leaf(kind: type[Value], data: Any, grad: Any, provenance: Any) -> Value:
    leaf = kind(data)
    leaf.grad = grad
    if any(provenance) or provenance.__class__ not in (tuple, Provenance):  # a kind of its own
        known = isinstance(provenance, Provenance)
        leaf._provenance = provenance if known else Provenance(*provenance)
    return leaf


def _graph(kind: type[Value], entries: list[Any], leaves: list[Value]) -> Value:
    remaining = iter(leaves)
    nodes: list[Value] = []
    for entry in entries:
        if entry is None:
            nodes.append(next(remaining))
            continue
        primitive, data, grad, x, y, parents, provenance = entry
        node = _leaf(kind, data, grad, provenance)
        node.primitive, node._x, node._y = primitive, x, y
        slots = tuple(None if p is None else nodes[p] for p in parents)
        if len(slots) == 1 and primitive.arity == 1:
            node._a = slots[0]
        elif y is None:
            node._y = slots
        else:
            node._a, node._b = slots
        nodes.append(node)
    return nodes[-1]
