"""Counting what is done: forward rules, recorded nodes, multiplications and additions."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygrad_scalar import context


class Counts:
    """What happened inside a `counting()` block so far.

    - `evaluations`: forward rules of primitives in every mode, also recomputed, also in `no_grad`
    - `nodes`: nodes recorded, leaves not; `peak_nodes`: the most of these alive at one time
    - `multiplications`, `additions`: one each per edge that a `backward` went through
    """

    def __init__(self) -> None:
        self.evaluations = self.nodes = self.peak_nodes = 0
        self.multiplications = self.additions = 0
        self._watches: dict[int, weakref.ref[Any]] = {}

    def evaluated(self) -> None:
        """A forward rule was run."""
        self.evaluations += 1

    def recorded(self, node: object) -> None:
        """A node was recorded; it counts as alive until it is freed."""
        self.nodes += 1
        key = id(node)
        self._watches[key] = weakref.ref(node, lambda _: self._freed(key))
        self.peak_nodes = max(self.peak_nodes, len(self._watches))

    def _freed(self, key: int) -> None:
        self._watches.pop(key, None)

    def propagated(self, edges: int) -> None:
        """A backward went through so many edges."""
        self.multiplications += edges
        self.additions += edges

    def __repr__(self) -> str:
        return (
            f"<{self.evaluations} evaluations, {self.nodes} nodes (at most {self.peak_nodes} at "
            f"once), {self.multiplications} multiplications, {self.additions} additions>"
        )


@contextmanager
def counting() -> Iterator[Counts]:
    """Count the work done in the block; blocks nest, each counting for itself.

    Cost: about 1 µs more per operation. Source: *Deep Learning*, section 6.5.3 (the cost of
    back-propagation is one multiplication and one addition per edge).

    >>> from tinygrad_scalar import Value, counting
    >>> x = Value(3.0)
    >>> with counting() as c:
    ...     _ = (x * x + x).backward()
    >>> c.evaluations, c.nodes, c.multiplications, c.additions
    (2, 2, 4, 4)
    """
    counts = Counts()
    with context.override(counters=(*context.settings().counters, counts)):
        yield counts
