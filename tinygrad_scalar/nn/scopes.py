"""The boxes of a drawing, noted while modules run, at little cost to what they compute.

`tinygrad_scalar.scope` has every operation in its block note where it is made, and the fast way
through the operators is closed meanwhile: 2.5 times slower on micrograd's demo, and more where the
operators are small (benchmarks/nn.py). A module is called thousands of times a step, so it does the
same from outside, at a tenth of the cost: its path is set, the operators run at full speed, and
afterwards the nodes between its outputs and its arguments are given the path, each node once.
Blocks opened inside (`scope`, `no_grad`, `counting`) see the path and extend it.
"""

from __future__ import annotations

from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.context import Settings
from tinygrad_scalar.core.provenance import NOTHING, Provenance
from tinygrad_scalar.core.value import Value


class Settled(Provenance):
    """The provenance of a node whose scope was noted, though it may be the outermost, ()."""

    __slots__ = ()


def current() -> Settings:
    """The settings here, with the path of the modules that are running."""
    return context.settings()


def settle(things: Any, provenance: Settled) -> None:
    """Note `provenance` on the computed Values in `things` and below, down to those noted before.

    `things` may be nested in lists, tuples and dicts. Each node is visited once in its life: O(1)
    amortised per node, and O(size of things) to look at these.
    """
    stack: list[Any] = [things]
    pop, push, extend = stack.pop, stack.append, stack.extend
    while stack:
        thing = pop()
        kind = type(thing)
        if kind is Value:
            if thing.primitive is None:
                continue
            before = getattr(thing, "_provenance", None) or NOTHING
            if before is NOTHING:
                thing._provenance = provenance
            elif before.scope or before.__class__ is Settled:
                continue
            else:
                thing._provenance = Settled(*before._replace(scope=provenance.scope))
            if thing._a is None is thing._b:
                extend([x for x in thing.parents if x.primitive is not None])
            else:
                push(thing._a)
                push(thing._b)
        elif kind is list or kind is tuple:
            extend(thing)
        elif kind is dict:
            extend(thing.values())
