"""Which nodes are drawn as one: the calls of a module on several inputs.

A module that was called n times has n copies of its operations over the same parameters. They fold
into one, and with them what was computed from each call alone, what only one call used, and the
chain that adds up the results.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.drawing.scopes import Scope


class Group(NamedTuple):
    """Nodes drawn as one, in order."""

    nodes: Sequence[Any]
    scope: Scope
    turns: bool = False  # each is computed from the one before


class Folds(NamedTuple):
    """The groups, and what the title of a folded scope says."""

    groups: list[Group]
    titles: dict[Scope, str]


Signature = Hashable


def folded_calls(order: Sequence[Any], scopes: Mapping[int, Scope]) -> Folds:
    """The calls of each module that was called several times. O(nodes + edges) a scope level."""
    found = Folds([], {})
    if not scopes:
        return found
    taken: set[int] = set()
    consumers = consumers_of(order)
    for scope, members in _by_scope(order, scopes):
        if any(scope[: len(outer)] == outer for outer in found.titles):
            continue
        calls = _calls(members, scope, scopes)
        if calls:
            found.titles[scope] = f"{scope[-1]} × {len(calls[0])}"
            groups = [Group(nodes, scopes[id(nodes[0])]) for nodes in calls]
            taken |= {id(node) for group in groups for node in group.nodes}
            found.groups.extend(groups)
            found.groups.extend(around(order, groups, taken, scopes, consumers))
    return found


def _by_scope(
    order: Sequence[Any], scopes: Mapping[int, Scope]
) -> Iterator[tuple[Scope, list[Any]]]:
    """Each scope with the operations in it, outer ones first."""
    found: dict[Scope, list[Any]] = defaultdict(list)
    for node in order:
        if node.primitive is not None:
            path = scopes[id(node)]
            for level in range(1, len(path) + 1):
                found[path[:level]].append(node)
    yield from sorted(found.items(), key=lambda item: len(item[0]))


def _calls(
    members: Sequence[Any], scope: Scope, scopes: Mapping[int, Scope]
) -> list[list[Any]] | None:
    """The operations of a scope, each with its copies by call; None unless all calls are alike.

    A module is known by a leaf of its own that every call uses.
    """
    kinds: dict[Signature, list[Any]] = defaultdict(list)
    for node in members:
        slots = tuple(parent is None for parent in node._slots())
        kinds[scopes[id(node)], node.primitive, slots].append(node)
    count = math.gcd(*map(len, kinds.values()))
    if count < 2:
        return None
    place: dict[int, tuple[Signature, int]] = {}
    copies: dict[Signature, list[Any]] = defaultdict(list)
    for kind, nodes in kinds.items():
        each = len(nodes) // count
        for i, node in enumerate(nodes):
            position = (kind, i % each)
            place[id(node)] = position, i // each
            copies[position].append(node)

    def signature(node: Any) -> tuple[Signature, ...]:
        call = place[id(node)][1]
        parts: list[Signature] = []
        for parent in node._slots():
            there = place.get(id(parent))
            own = parent is not None and parent.provenance.scope[: len(scope)] == scope
            if there is not None:
                parts.append(there[0] if there[1] == call else "outside")
            else:
                leaf = own and parent.primitive is None
                parts.append(id(parent) if leaf else "outside")
        return tuple(parts)

    signatures = {position: signature(nodes[0]) for position, nodes in copies.items()}
    alike = all(signature(n) == signatures[p] for p, nodes in copies.items() for n in nodes)
    shared = any(isinstance(part, int) for parts in signatures.values() for part in parts)
    return list(copies.values()) if alike and shared else None


# ── what belongs to one call, and what adds the calls up ──────────────────────────────────────
def around(
    order: Sequence[Any],
    groups: Sequence[Group],
    taken: set[int],
    scopes: Mapping[int, Scope],
    consumers: Mapping[int, Sequence[tuple[Any, int]]],
) -> list[Group]:
    """The groups outside a folded scope that have one member for each call."""
    of: dict[int, tuple[int, int]] = {}  # by id: which group, and of which call
    for number, group in enumerate(groups):
        of |= {id(node): (number, call) for call, node in enumerate(group.nodes)}
    count = len(groups[0].nodes)
    found = _after(order, of, taken, count, consumers, scopes)
    found += _sums(order, of, taken, count, scopes)
    return found + _before(order, of, taken, count, consumers, scopes)


def consumers_of(order: Sequence[Any]) -> dict[int, list[tuple[Any, int]]]:
    """By id: the nodes that take a node, and as which operand."""
    found: dict[int, list[tuple[Any, int]]] = defaultdict(list)
    for node in order:
        for i, parent in enumerate(node._slots()):
            if parent is not None:
                found[id(parent)].append((node, i))
    return found


def _after(
    order: Sequence[Any],
    of: dict[int, tuple[int, int]],
    taken: set[int],
    count: int,
    consumers: Mapping[int, Sequence[Any]],
    scopes: Mapping[int, Scope],
) -> list[Group]:
    """Operations computed from one call alone, where every call has its like."""
    keys: dict[int, tuple[Signature, int]] = {
        key: (("of", g), call) for key, (g, call) in of.items()
    }
    mixed: set[int] = set()
    tentative: dict[Signature, list[tuple[int, Any]]] = defaultdict(list)
    numbers: dict[Signature, int] = {}
    for node in order:
        parents = node._slots() if id(node) not in of else ()
        calls = {keys[id(p)][1] for p in parents if p is not None and id(p) in keys}
        if len(calls) != 1 or any(id(p) in mixed for p in parents) or id(node) in taken:
            if calls or any(id(p) in mixed for p in parents):
                mixed.add(id(node))
            continue
        parts = tuple(_part(parent, keys, consumers) for parent in parents)
        key = (scopes.get(id(node), ()), node.primitive, parts)
        number = numbers.setdefault(key, len(numbers))
        (call,) = calls
        keys[id(node)] = ("after", number), call
        tentative[key].append((call, node))
    return _settled(tentative, of, taken, count, scopes)


def _part(
    parent: Any, keys: Mapping[int, Any], consumers: Mapping[int, Sequence[Any]]
) -> Signature:
    if parent is None:
        return "number"
    if id(parent) in keys:
        return keys[id(parent)][0]  # type: ignore[no-any-return]
    if parent.primitive is None and len(consumers[id(parent)]) == 1:
        return "leaf of its own"
    return id(parent)


def _settled(
    tentative: Mapping[Signature, list[tuple[int, Any]]],
    of: dict[int, tuple[int, int]],
    taken: set[int],
    count: int,
    scopes: Mapping[int, Scope],
) -> list[Group]:
    """The groups that have exactly one member for each call."""
    found = []
    for members in tentative.values():
        by_call = dict(members)
        if len(members) == len(by_call) == count:
            nodes = [by_call[call] for call in range(count)]
            number = len(of)
            of |= {id(node): (number, call) for call, node in enumerate(nodes)}
            taken |= {id(node) for node in nodes}
            found.append(Group(nodes, scopes.get(id(nodes[0]), ())))
    return found


def _sums(
    order: Sequence[Any],
    of: Mapping[int, tuple[int, int]],
    taken: set[int],
    count: int,
    scopes: Mapping[int, Scope],
) -> list[Group]:
    """Chains in which each operation takes the one before and the result of the next call."""
    chains: dict[Signature, list[Any]] = defaultdict(list)
    for node in order:
        if id(node) in taken or node.primitive is None or len(node._slots()) != 2:
            continue
        for own, other in ((1, 0), (0, 1)):
            item, before = node._slots()[own], node._slots()[other]
            if item is not None and id(item) in of:
                key = (node.primitive, own, of[id(item)][0])
                chain = chains[key]
                if not chain or chain[-1] is before:
                    chain.append(node)
                    break
    found = []
    for chain in chains.values():
        if len(chain) >= max(2, count - 1) and not any(id(node) in taken for node in chain):
            taken |= {id(node) for node in chain}
            found.append(Group(chain, scopes.get(id(chain[0]), ()), turns=True))
    return found


def _before(
    order: Sequence[Any],
    of: dict[int, tuple[int, int]],
    taken: set[int],
    count: int,
    consumers: Mapping[int, Sequence[tuple[Any, int]]],
    scopes: Mapping[int, Scope],
) -> list[Group]:
    """Leaves and operations that one call alone uses, where every call has its like."""
    keys: dict[int, tuple[Signature, int]] = {key: (g, call) for key, (g, call) in of.items()}
    tentative: dict[Signature, list[tuple[int, Any]]] = defaultdict(list)
    numbers: dict[Signature, int] = {}
    for node in reversed(order):
        uses = consumers.get(id(node), ())
        if id(node) in taken or not uses or not all(id(user) in keys for user, _ in uses):
            continue
        calls = {keys[id(user)][1] for user, _ in uses}
        if len(calls) == 1:
            parts = tuple(sorted((str(keys[id(user)][0]), i) for user, i in uses))
            key = (scopes.get(id(node), ()), node.primitive, parts)
            number = numbers.setdefault(key, len(numbers))
            (call,) = calls
            keys[id(node)] = ("before", number), call
            tentative[key].append((call, node))
    return _settled(tentative, of, taken, count, scopes)
