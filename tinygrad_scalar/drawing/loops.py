"""Loops without scopes: a stretch of operations that repeats, with the same numbers and leaves.

Operands are told by how far back they stand, so that every turn of a loop looks the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_scalar.drawing.folding import Folds, Group, Signature, around, consumers_of
from tinygrad_scalar.drawing.scopes import Scope

_LONGEST = 64  # operations in the body of a loop that is looked for
_TURNS = 3  # at least, for a loop
_MANY = 8  # leaves of an operation, that are drawn as one
_NAMED = 4  # operations of a body that its title names


def folded_loops(order: Sequence[Any], scopes: Mapping[int, Scope]) -> Folds:
    """Stretches of operations that repeat at least three times. O(nodes + edges) a length."""
    operations = [node for node in order if node.primitive is not None]
    index = {id(node): i for i, node in enumerate(operations)}
    consumers = consumers_of(order)
    signatures = [
        _signature(node, i, index, consumers, scopes) for i, node in enumerate(operations)
    ]
    found, taken = Folds([], {}), set[int]()
    for start, length, turns in _stretches(signatures):
        body = operations[start : start + length]
        names = ", ".join(node.primitive.name for node in body)
        title = f"{turns} × {names if length <= _NAMED else f'{length} operations'}"
        outer = scopes.get(id(body[0]), ())
        scope = (*outer, title)
        groups = [
            Group(operations[start + j : start + length * turns : length], scope, turns=True)
            for j in range(length)
        ]
        found.titles[scope] = title
        taken |= {id(node) for group in groups for node in group.nodes}
        found.groups.extend(groups)
        if turns > 2:
            found.groups.extend(around(order, groups, taken, scopes, consumers))
    return found


def folded_leaves(order: Sequence[Any], scopes: Mapping[int, Scope]) -> Folds:
    """Many leaves that go into the same operations and are named alike: x0, x1, x2."""
    consumers = consumers_of(order)
    families: dict[Signature, list[Any]] = defaultdict(list)
    for node in order:
        if node.primitive is None:
            users = frozenset(id(user) for user, _ in consumers[id(node)])
            stem = node.label.rstrip("0123456789_[]")
            families[scopes.get(id(node), ()), users, stem].append(node)
    return Folds(
        [
            Group(nodes, scopes.get(id(nodes[0]), ()))
            for nodes in families.values()
            if len(nodes) >= _MANY
        ],
        {},
    )


def _signature(
    node: Any,
    i: int,
    index: Mapping[int, int],
    consumers: Mapping[int, Sequence[Any]],
    scopes: Mapping[int, Scope],
) -> tuple[Signature, ...]:
    """The row, and where each operand comes from: how far back, which number, which leaf."""
    numbers = node._seen()[1]
    parts: list[Signature] = [node.primitive, scopes.get(id(node), ())]
    for parent, x in zip(node._slots(), numbers, strict=True):
        if parent is None:
            parts.append(("number", repr(x)))
        elif id(parent) in index:
            parts.append(i - index[id(parent)])
        else:
            alone = len(consumers[id(parent)]) == 1
            parts.append("leaf of its own" if alone else ("leaf", id(parent)))
    return tuple(parts)


def _stretches(signatures: Sequence[tuple[Signature, ...]]) -> list[tuple[int, int, int]]:
    """Start, length and turns of loops that do not overlap, the longest in all first."""
    found = []
    n = len(signatures)
    for length in range(1, min(_LONGEST, n // _TURNS) + 1):
        i = 0
        while i + length < n:
            end = i
            while end + length < n and signatures[end] == signatures[end + length]:
                end += 1
            if end - i >= length:
                start = _first_turn(signatures, i, length)
                turns = (end + length - start) // length
                if turns >= _TURNS:
                    found.append((start, length, turns))
            i = max(end, i + 1)
    chosen: list[tuple[int, int, int]] = []
    covered = [False] * n
    for start, length, turns in sorted(found, key=lambda s: (-s[1] * s[2], s[1])):
        if not any(covered[start : start + length * turns]):
            covered[start : start + length * turns] = [True] * (length * turns)
            chosen.append((start, length, turns))
    return chosen


def _first_turn(signatures: Sequence[tuple[Signature, ...]], start: int, length: int) -> int:
    """Where the first turn begins: there, what later turns take from the one before is given."""
    bound, begin = 0, start
    for i in range(start - 1, max(start - length, 0) - 1, -1):
        here, there = signatures[i], signatures[i + length]
        if i < bound or len(here) != len(there):
            break
        other = [b for a, b in zip(here, there, strict=True) if a != b]
        if not all(isinstance(b, int) for b in other):
            break
        bound = max([bound, *(i - b + 1 for b in other if isinstance(b, int))])
        if i < bound:
            break
        begin = i
    return begin
