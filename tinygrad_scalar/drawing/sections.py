"""A long computation in sections: stretches of operations, each drawn as one box.

What neither folds nor stands in scopes may still be too much for a page. It is cut where the
fewest numbers pass from one part to the next, so that a box is followed by few edges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tinygrad_scalar.drawing.scopes import Scope

_SLACK = 3  # a cut is looked for within one third of a section of where equal ones would have it


def cuts(nodes: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """The nodes, operands first, in `count` sections of nearly equal size. O(nodes + edges)."""
    passing = _passing(nodes)
    size = len(nodes) / count
    slack = int(size / _SLACK)
    places = [0]
    for i in range(1, count):
        middle = round(i * size)
        near = range(max(middle - slack, places[-1] + 1), middle + slack + 1)
        places.append(min(near, key=lambda k: (passing[k], abs(k - middle))))
    return [nodes[a:b] for a, b in pairwise([*places, len(nodes)])]


def _passing(nodes: Sequence[Any]) -> list[int]:
    """For each place between two nodes, how many of those before it are operands of later ones."""
    index = {id(node): i for i, node in enumerate(nodes)}
    last: dict[int, int] = {}
    for i, node in enumerate(nodes):
        for parent in node.parents:
            if id(parent) in index:
                last[index[id(parent)]] = i
    change = [0] * (len(nodes) + 1)
    for start, end in last.items():
        change[start + 1] += 1
        change[end + 1] -= 1
    found, passing = [], 0
    for step in change:
        passing += step
        found.append(passing)
    return found


def sections(
    nodes: Sequence[Any], scopes: Mapping[int, Scope], numbers: Mapping[int, int], count: int
) -> dict[int, Scope]:
    """The section of each node that shares one, a scope inside its own: ("layer", "u3 … u20")."""
    by_scope: dict[Scope, list[Any]] = defaultdict(list)
    for node in nodes:
        by_scope[scopes.get(id(node), ())].append(node)
    found: dict[int, Scope] = {}
    for scope, members in by_scope.items():
        share = max(1, round(count * len(members) / len(nodes)))
        for section in cuts(members, min(share, len(members))):
            if len(section) > 1:
                ends = (f"u{numbers[id(node)]}" for node in (section[0], section[-1]))
                name = (*scope, " … ".join(ends))
                found |= {id(node): name for node in section}
    return found
