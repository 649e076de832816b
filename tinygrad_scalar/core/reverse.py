"""Algorithm 6.2 as it stands in the book, for any carrier: a table filled edge by edge.

What is multiplied and added here may be floats, exact fractions, arbitrary precision, or `Value`s,
and then the gradients are a graph of their own. `sweep.py` does the same for floats at full speed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tinygrad_scalar.core.application import Application
from tinygrad_scalar.core.undefined import Judge, Policy, is_nan, plain


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
    judge = Judge(policy)
    table = dict(seeds)
    clashes: set[int] = set()  # nodes where ∞−∞ arose
    gradients = []
    for node in order:
        gradient = table.pop(id(node), None)
        if id(node) in clashes:
            gradient = judge.fault(node, None, "is ∞−∞")
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
            if is_nan(plain(total)) and not (is_nan(plain(before)) or is_nan(plain(term))):
                clashes.add(id(parent))
    return gradients
