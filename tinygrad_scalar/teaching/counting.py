"""Watching what is done: operations and nodes counted, Values from outside a function noted."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import leaves
from tinygrad_scalar.core.value import Value


class Counts:
    """What happened inside a `counting()` block so far.

    - `evaluations`: forward rules of primitives in every mode, also recomputed, also in `no_grad`
    - `nodes`: nodes recorded, leaves not; `peak_nodes`: the most of these alive at one time
    - `multiplications`, `additions`: one each per edge that a `backward` went through, and per
      operand with a tangent in forward mode where these are numbers (in a graph, or in another
      mode, they are forward rules). Coefficients of `taylor` are not counted.
    """

    def __init__(self) -> None:
        self.evaluations = self.nodes = self.peak_nodes = 0
        self.multiplications = self.additions = 0
        self._alive: set[weakref.ref[Any]] = set()

    def evaluated(self) -> None:
        """A forward rule was run."""
        self.evaluations += 1

    def recorded(self, node: object) -> None:
        """A node was recorded; it counts as alive until it is freed."""
        self.nodes += 1
        # a callback in C: of one in Python, Ctrl-C would be lost, and the node alive for ever
        self._alive.add(weakref.ref(node, self._alive.discard))
        self.peak_nodes = max(self.peak_nodes, len(self._alive))

    def propagated(self, edges: int) -> None:
        """Gradients or tangents went through so many edges."""
        self.multiplications += edges
        self.additions += edges

    def __repr__(self) -> str:
        return (
            f"<{self.evaluations} evaluations, {self.nodes} nodes (at most {self.peak_nodes} at "
            f"once), {self.multiplications} multiplications, {self.additions} additions>"
        )


def counting() -> AbstractContextManager[Counts]:
    """Count the work done in the block; blocks nest, each counting for itself.

    Cost: some µs more per operation. Source: *Deep Learning*, section 6.5.3 (the cost of
    back-propagation is one multiplication and one addition per edge).

    >>> from tinygrad_scalar import Value, counting
    >>> x = Value(3.0)
    >>> with counting() as c:
    ...     _ = (x * x + x).backward()
    >>> c.evaluations, c.nodes, c.multiplications, c.additions
    (2, 2, 4, 4)
    """
    counts = Counts()
    return context.Block(lambda outer: {"counters": (*outer.counters, counts)}, counts)


class Tracker:
    """Notes the Values that a function uses but did not make: those it closes over."""

    def __init__(self) -> None:
        self.closed_over: dict[int, Value] = {}
        self._recorded: weakref.WeakSet[Any] = weakref.WeakSet()

    def made(self, node: Any) -> None:
        """Mark a Value as made inside."""
        if node.primitive is None:
            context.tracked = True
            node._tracker = self
        else:  # recorded by a grad inside
            self._recorded.add(node)

    def used(self, operands: Sequence[Any]) -> None:
        """Note operands that come from outside."""
        for operand in operands:
            if not isinstance(operand, Value) or getattr(operand, "_tracker", None) is self:
                continue
            if operand not in self._recorded:
                self.closed_over[id(operand)] = operand


def tracked(f: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, list[Value]]:
    """f(*args) without recording, and the Values from outside that it used."""
    tracker = Tracker()
    with context.override(recording=False, tracker=tracker, tracer=None):
        outputs = f(*args)
    context.settings()  # lets go of the block, which holds the Values that were noted
    tracker.used(leaves(outputs))
    return outputs, list(tracker.closed_over.values())
