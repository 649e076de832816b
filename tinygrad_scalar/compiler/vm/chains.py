"""Sums of products written one by one, as `sum(w * a for w, a in …)`: dot products all the same.

Where each product, and each sum but the last, is read but once, the whole is worked out at its last
addition, as a dot product is, in the same order and with the same roundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.tape import ADD, MUL
from tinygrad_scalar.compiler.vm.operations import Array, Operations

FEWEST = 3  # terms


class Chains(NamedTuple):
    """Sums of so many products each, in the order of the trace: a row for each."""

    start: Array  # the lines that the products are added to
    products: Array  # operations
    sums: Array
    factors: Array  # lines, those on the left before those on the right

    def some(self, which: Array) -> Chains:
        """Those of a mask."""
        return Chains(*(field[which] for field in self))

    @property
    def members(self) -> Array:
        """All of their operations, a row for each."""
        return np.concatenate([self.products, self.sums], axis=1)


def chains(trace: Operations, outputs: Sequence[int]) -> list[Chains]:
    """Those that are as long as can be, by lengths. O(operations)."""
    if not {ADD, MUL} <= set(trace.rows):
        return []
    count, first = len(trace.row), trace.start[:-1]
    uses = np.bincount(trace.place[trace.operands] + 1, minlength=count + 1)[1:]
    asked = trace.place[np.asarray(outputs, int)]
    uses[asked[asked >= 0]] += 2
    additions = np.flatnonzero(trace.row == trace.rows.index(ADD))
    product = trace.place[trace.operands[first[additions] + 1]]
    fits = (product >= 0) & (trace.row[product] == trace.rows.index(MUL)) & (uses[product] == 1)
    links, product = additions[fits], product[fits]
    before = trace.place[trace.operands[first[links]]]
    growing: dict[int, list[int]] = {}  # by the last addition so far, its links
    for k, (link, last) in enumerate(zip(links.tolist(), before.tolist(), strict=True)):
        chain = growing.pop(last, []) if last >= 0 and uses[last] == 1 else []
        chain.append(k)
        growing[link] = chain
    lengths: dict[int, list[list[int]]] = {}
    for chain in growing.values():
        if len(chain) >= FEWEST:
            lengths.setdefault(len(chain), []).append(chain)
    found = []
    for alike in lengths.values():
        which = np.array(alike)
        products, sums = product[which], links[which]
        factors = [trace.operands[first[products] + side] for side in (0, 1)]
        start = trace.operands[first[sums[:, 0]]]
        found.append(Chains(start, products, sums, np.concatenate(factors, axis=1)))
    return found
