"""What stands in one column in its order: operands, neurons, outputs.

Graphviz orders a column by the crossings that it counts. An invisible edge from one thing to the
next keeps them in order.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tinygrad_scalar.drawing.scene import Scene
from tinygrad_scalar.drawing.scopes import Scope

_DIGITS = re.compile(r"[0-9]+")
_NET = 24  # edges between closed scopes that make a net


def net(seen: Scene) -> bool:
    """Whether closed scopes are joined by so many edges that straight lines show them best."""
    boxes = any(box.group is None and box.name for box in seen.boxes)
    return seen.compact and boxes and not seen.wrapped and len(seen.bundles) > _NET


def in_order(seen: Scene, direction: str) -> Iterator[tuple[Scope, str]]:
    """By scope, DOT text for two things of a column of which one stands above the other."""
    pairs = dict.fromkeys((*_operands(seen), *_likes(seen)))
    for scope, *pair in pairs:
        # From left to right, Graphviz stacks what stands in a frame from the bottom to the top.
        ordered = reversed(pair) if scope and direction == "LR" else pair
        yield scope, f"  {{rank=same {' -> '.join(ordered)} [style=invis]}}\n"


def _operands(seen: Scene) -> Iterator[tuple[Scope, str, str]]:
    """Operands next to each other that share a column, in the order in which they are first met.

    Of what several operations take, the leaves alone: more would bring crossings.
    """
    operands = _by_target(seen)
    uses = Counter(source for sources in operands.values() for source in sources)
    met = {source: i for i, source in enumerate(uses)}
    leaves = {seen.key(node) for node in seen.nodes if node.primitive is None}
    scope_of = {seen.key(node): seen.scopes.get(id(node), ()) for node in seen.nodes}
    scope_of |= {box.key: box.scope for box in seen.boxes}
    for sources in operands.values():
        for one, other in pairwise(sources):
            free = all(uses[key] == 1 or key in leaves for key in (one, other))
            beside = scope_of[one] == scope_of[other] and seen.ranks[one] == seen.ranks[other]
            if free and beside and met[one] < met[other]:
                yield scope_of[one], one, other


def _by_target(seen: Scene) -> dict[str, list[str]]:
    """The operands of each thing, in order."""
    found: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for node in seen.nodes:
        for i, parent in enumerate(node._slots()):
            if parent is not None and id(parent) in seen.shown:
                found[seen.key(node)].append((seen.numbers[id(node)], i, seen.key(parent)))
    for source, target, edges in seen.bundles:
        if source in seen.ranks and target in seen.ranks:
            node, i = edges[0]
            found[target].append((seen.numbers[id(node)], i, source))
    return {
        target: list(dict.fromkeys(source for *_, source in sorted(sources)))
        for target, sources in found.items()
    }


def _likes(seen: Scene) -> Iterator[tuple[Scope, str, str]]:
    """Closed scopes of a column whose names differ in numbers: neurons[0], neurons[1]."""
    families: dict[tuple[Scope, str, int], list[tuple[list[int], str]]] = defaultdict(list)
    for box in seen.boxes:
        if box.group is None and box.name:
            numbers = [int(digits) for digits in _DIGITS.findall(box.name)]
            kind = box.scope, _DIGITS.sub("", box.name), seen.ranks[box.key]
            families[kind].append((numbers, box.key))
    for (scope, *_), family in families.items():
        keys = [key for _, key in sorted(family, key=lambda pair: pair[0])]
        yield from ((scope, one, other) for one, other in pairwise(keys))
