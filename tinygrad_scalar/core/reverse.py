"""Algorithm 6.2 as it stands in the book, for any carrier: a table filled edge by edge.

What is multiplied and added here may be floats, exact fractions, arbitrary precision, or `Value`s,
and then the gradients are a graph of their own. `sweep.py` does the same for floats at full speed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import Application
from tinygrad_scalar.core.undefined import Judge, Policy, is_nan, plain

_INFINITE = (math.inf, -math.inf)


def propagate(
    order: Sequence[Any],
    seeds: dict[int, Any],
    active: Collection[int] | None,
    cut: Collection[int],
    policy: Policy,
    graph: bool,
) -> list[Any]:
    """The gradient with respect to each node of `order`, which lists consumers first.

    `seeds` (by id) are the gradients to start from. One multiplication and one addition per edge
    between active nodes (all if None), none through nodes in `cut`; with `graph` the partials are
    pushed as Values, else as numbers. None stands for a structural zero.
    Source: *Deep Learning*, Algorithm 6.2.
    """
    with context.Aside(context.settings()._replace(judging=policy)):
        return _propagate(order, seeds, active, cut, Judge(policy), graph)


def _propagate(
    order: Sequence[Any],
    seeds: dict[int, Any],
    active: Collection[int] | None,
    cut: Collection[int],
    judge: Judge,
    graph: bool,
) -> list[Any]:
    table = dict(seeds)
    clashes: set[int] = set()  # nodes where ∞−∞ arose
    finite: dict[int, Any] = {}  # what else came to nodes that an infinity came to
    gradients = []
    for node in order:
        gradient = table.pop(id(node), None)
        if id(node) in clashes:
            gradient = judge.fault(node, None, "is ∞−∞")
            rest = finite.get(id(node))
            gradient = gradient if rest is None else rest + gradient
        gradients.append(gradient)
        if gradient is None or node.primitive is None or id(node) in cut:
            continue
        use: Application = node._application(graph)
        use.share(gradient)
        for i, parent in enumerate(node._slots()):
            if parent is None or (active is not None and id(parent) not in active):
                continue
            term = use.term(i, gradient, judge)
            before = table.get(id(parent))
            if term is None or before is None:
                table[id(parent)] = before if term is None else term
                continue
            table[id(parent)] = total = before + term
            if plain(total) in _INFINITE or is_nan(plain(total)):
                _keep_finite(finite, id(parent), before, term)
            if is_nan(plain(total)) and not (is_nan(plain(before)) or is_nan(plain(term))):
                clashes.add(id(parent))
    return gradients


def _keep_finite(finite: dict[int, Any], key: int, before: Any, term: Any) -> None:
    """Note what is finite of a sum that is not: it stays where the infinities cancel."""
    for part in (before, term):
        if not (plain(part) in _INFINITE or is_nan(plain(part))):
            finite[key] = finite[key] + part if key in finite else part
