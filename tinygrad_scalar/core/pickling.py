"""Pickling and deep copying a graph of any depth, without recursion.

A pickle writes the inner nodes down in columns, parents first. Leaves are objects of their own, so
that what is pickled together keeps sharing them; inner nodes of one root keep all sharing because
they stand in the same columns. A deep copy shares whatever is copied together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.provenance import Provenance

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_KEPT = ("data", "grad", "primitive", "_a", "_b", "_x", "_y", "_provenance")


def parents_first(root: Value) -> list[Value]:
    """`graph.topological_order` of a Value: the same order, without a container per node."""
    order: list[Value] = []
    stack: list[Value] = []
    node, seen = root, {id(root)}
    rest: dict[int, Iterator[Value]] = {}  # of nodes of many operands
    while True:
        a, b = node._a, node._b
        parent = None
        if a is not None and id(a) not in seen:
            parent = a
        elif b is not None and id(b) not in seen:
            parent = b
        elif a is b is None and node.primitive is not None:
            left = rest.setdefault(id(node), iter(node.parents))
            parent = next((each for each in left if id(each) not in seen), None)
        if parent is not None:
            seen.add(id(parent))
            stack.append(node)
            node = parent
            continue
        order.append(node)
        if not stack:
            return order
        node = stack.pop()


def copied(node: Value) -> Value:
    """A node of the same kind with the same parents; label and gradient come along. O(1)."""
    kind = type(node)
    twin: Value = kind.__new__(kind)
    for slot in _KEPT:
        if hasattr(node, slot):
            setattr(twin, slot, getattr(node, slot))
    twin._sweep = None
    if hasattr(node, "__dict__"):  # of a subclass
        twin.__dict__.update(node.__dict__)
    return twin


def deep_copied(root: Value, memo: dict[int, Any]) -> Value:
    """A graph of new nodes; rows, which never change, are shared. O(nodes)."""
    twins: dict[int, Any] = memo
    for node in parents_first(root):
        if id(node) in twins:
            continue
        if node.primitive is None:
            make, about, state = flattened(node)
            twins[id(node)] = twin = make(*about)
            if state:
                twin.__dict__.update(copy.deepcopy(state, memo))
            continue
        twins[id(node)] = twin = copied(node)
        if node._a is node._b is None:
            twin._y = tuple([None if p is None else twins[id(p)] for p in node._y])
        else:
            twin._a = None if node._a is None else twins[id(node._a)]
            twin._b = None if node._b is None else twins[id(node._b)]
    return twins[id(root)]  # type: ignore[no-any-return]


def flattened(root: Value) -> tuple[Any, ...]:
    """What `__reduce_ex__` gives: a function and its arguments, without nesting. O(nodes)."""
    if root.primitive is None:
        made = type(root), root.data, root.grad, getattr(root, "_provenance", None)
        return _leaf, made, getattr(root, "__dict__", None)
    order = parents_first(root)
    leaves = [node for node in order if node.primitive is None]
    inner = [node for node in order if node.primitive is not None]
    place = {id(node): i for i, node in enumerate([*leaves, *inner])}
    rows: dict[Primitive, int] = {}
    wide = {
        i: [place.get(id(parent)) for parent in node._y]
        for i, node in enumerate(inner)
        if node._a is node._b is None
    }
    columns = (
        [rows.setdefault(node.primitive, len(rows)) for node in inner],  # type: ignore[arg-type]
        [node.data for node in inner],
        [node.grad for node in inner],
        [place.get(id(node._a)) for node in inner],
        [place.get(id(node._b)) for node in inner],
        [node._x for node in inner],
        [None if i in wide else node._y for i, node in enumerate(inner)],
    )
    found = [getattr(node, "_provenance", None) for node in inner]
    noted = {i: provenance for i, provenance in enumerate(found) if provenance is not None}
    return _graph, (type(root), leaves, list(rows), columns, wide, noted)


def _leaf(kind: type[Value], data: Any, grad: Any, noted: Provenance | None) -> Value:
    leaf = _node(kind, None, data, grad, noted)
    leaf._a = leaf._b = leaf._x = None
    leaf._y = context.runs
    tracker = context.settings().tracker
    if tracker is not None:
        tracker.made(leaf)
    return leaf


def _node(
    kind: type[Value], row: Primitive | None, data: Any, grad: Any, noted: Provenance | None
) -> Value:
    node: Value = kind.__new__(kind)
    node.primitive, node.data, node.grad, node._sweep = row, data, grad, None
    if noted is not None:
        node._provenance = noted
    return node


def _graph(
    kind: type[Value],
    leaves: Sequence[Value],
    rows: Sequence[Primitive],
    columns: Sequence[Sequence[Any]],
    wide: dict[int, list[int | None]],
    noted: dict[int, Provenance],
) -> Value:
    nodes: list[Any] = list(leaves)
    for i, (row, data, grad, a, b, x, y) in enumerate(zip(*columns, strict=True)):
        node = _node(kind, rows[row], data, grad, noted.get(i))
        node._a = None if a is None else nodes[a]
        node._b = None if b is None else nodes[b]
        node._x = x
        node._y = y if i not in wide else tuple([None if p is None else nodes[p] for p in wide[i]])
        nodes.append(node)
    return nodes[-1]  # type: ignore[no-any-return]
