"""Pickling and deep copying a graph of any depth, without recursion.

A pickle writes the inner nodes down in columns, parents first. Leaves are objects of their own, so
that what is pickled together keeps sharing them; inner nodes of one root keep all sharing because
they stand in the same columns. A deep copy shares whatever is copied together.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.provenance import Provenance

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value


def parents_first(root: Value, done: Container[int] = ()) -> list[Value]:
    """`graph.topological_order` of a Value: the same order, without a container per node.

    Nothing is looked for at and below what is `done`, by id.
    """
    order: list[Value] = []
    stack: list[Value] = []
    node, seen = root, {id(root)}
    rest: dict[int, Iterator[Value]] = {}  # of nodes of many operands
    while True:
        parent = None
        if node.primitive is not None:
            a, b = node._a, node._b
            if a is not None and id(a) not in seen and id(a) not in done:
                parent = a
            elif b is not None and id(b) not in seen and id(b) not in done:
                parent = b
            elif a is b is None:
                if id(node) not in rest:  # asking for the parents takes as long as there are
                    rest[id(node)] = iter(node.parents)
                left = rest[id(node)]
                fresh = (p for p in left if id(p) not in seen and id(p) not in done)
                parent = next(fresh, None)
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
    """A node of the same kind with the same parents; label and gradient come along. O(1).

    What a mode passes on to a function is copied as what it was given: an argument is a leaf, also
    where a mode outside has made it.
    """
    origin = node
    while origin.primitive is not None and origin.primitive.python == "{0}":  # it is its operand
        (origin,) = origin.parents
    if origin.primitive is None:
        twin = _leaf(type(node), node.data, node.grad, getattr(node, "_provenance", None))
    else:
        twin = _twin(origin, origin._operation()[2])
    twin.__dict__.update(node.__dict__)
    return twin


def _twin(node: Value, parents: tuple[Value | None, ...]) -> Value:
    """A copy of what was computed, with other parents."""
    kind: Any = type(node)
    twin = kind.__new__(kind)
    twin._computed(node.primitive, node.data, node.grad, (*node._operation()[:2], parents))
    noted = getattr(node, "_provenance", None)
    if noted is not None:
        twin._provenance = noted
    return twin  # type: ignore[no-any-return]


def deep_copied(root: Value, memo: dict[int, Any]) -> Value:
    """A graph of new nodes; rows, which never change, are shared. O(nodes)."""
    twins: dict[int, Any] = memo
    for node in parents_first(root, twins):
        if id(node) in twins:
            continue
        if node.primitive is None:
            make, about, own = flattened(node)
            twins[id(node)] = twin = make(*about)
        else:
            parents = [None if p is None else twins[id(p)] for p in node._operation()[2]]
            twins[id(node)] = twin = _twin(node, tuple(parents))
            own = node.__dict__
        if own:
            twin.__dict__.update(copy.deepcopy(own, memo))
    return twins[id(root)]  # type: ignore[no-any-return]


def flattened(root: Value) -> tuple[Any, ...]:
    """What `__reduce_ex__` gives: a function and its arguments, without nesting. O(nodes)."""
    if root.primitive is None:
        made = type(root), root.data, root.grad, getattr(root, "_provenance", None)
        return _leaf, made, root.__dict__ or None
    order = parents_first(root)
    leaves = [node for node in order if node.primitive is None]
    inner = [node for node in order if node.primitive is not None]
    place = {id(node): i for i, node in enumerate([*leaves, *inner])}
    rows: dict[Primitive, int] = {}
    seen = [node._operation() for node in inner]
    columns = (
        [rows.setdefault(node.primitive, len(rows)) for node in inner],  # type: ignore[arg-type]
        [node.data for node in inner],
        [node.grad for node in inner],
        [y for y, _, _ in seen],
        [x for _, x, _ in seen],
        [tuple([place.get(id(p)) for p in parents]) for _, _, parents in seen],
    )
    found = [(getattr(node, "_provenance", None), node.__dict__ or None) for node in inner]
    about = dict(compress(enumerate(found), map(any, found)))
    return _graph, (type(root), leaves, list(rows), columns, about)


def _leaf(kind: type[Value], data: Any, grad: Any, noted: Provenance | None) -> Value:
    leaf: Value = kind.__new__(kind)
    leaf.data, leaf.grad, leaf.primitive = data, grad, None
    leaf._made, leaf._sweep, leaf._tracker = context.runs, 0, None
    if noted is not None:
        leaf._provenance = noted
    tracker = context.settings().tracker
    if tracker is not None:
        tracker.made(leaf)
    return leaf


def _graph(
    kind: type[Value],
    leaves: Sequence[Value],
    rows: Sequence[Primitive],
    columns: Sequence[Sequence[Any]],
    about: dict[int, tuple[Provenance | None, dict[str, Any] | None]],
) -> Value:
    nodes: list[Any] = list(leaves)
    for i, (row, data, grad, y, x, places) in enumerate(zip(*columns, strict=True)):
        parents = tuple([None if place is None else nodes[place] for place in places])
        node = kind.__new__(kind)._computed(rows[row], data, grad, (y, x, parents))
        if i in about:
            noted, own = about[i]
            if noted is not None:
                node._provenance = noted
            node.__dict__.update(own or {})
        nodes.append(node)
    return nodes[-1]  # type: ignore[no-any-return]
