"""Whether the gradients in a graph come from one call of `backward`, or its leaves hold sums."""

from __future__ import annotations

import math

from tinygrad_scalar.core.undefined import plain
from tinygrad_scalar.drawing.gradients import Gradients
from tinygrad_scalar.drawing.scene import Scene, slopes

_SAME = 1e-6  # of the terms: rounding is far below it
_NOTE = "Σ grad: a sum over several calls of backward; draw(table) shows one call"


def sums_of_calls(seen: Scene, gradients: Gradients) -> tuple[Gradients, str]:
    """The gradients with the leaves that hold a sum, and a note for the picture if there are any.

    A leaf adds what each `backward` brings, an inner node keeps what the last one brought: where a
    leaf is not the sum over the edges of what its consumers show, it has seen several. O(edges).
    """
    if seen.derivative or not any(root.grad for root in seen.roots):
        return gradients, ""
    total: dict[int, float] = {}
    size: dict[int, float] = {}
    for node in seen.order:
        outer = node.grad
        fed = any(parent.primitive is None for parent in node.parents)
        for _, parent, slope in slopes(node) if fed else ():
            if parent.primitive is None:
                term = float(plain(outer * slope)) if outer else 0.0
                total[id(parent)] = total.get(id(parent), 0.0) + term
                size[id(parent)] = size.get(id(parent), 0.0) + abs(term)
    sums = frozenset(
        id(node)
        for node in seen.order
        if id(node) in total and _differs(float(node.grad), total[id(node)], size[id(node)])
    )
    return gradients._replace(sums=sums), _NOTE if sums else ""


def _differs(shown: float, expected: float, size: float) -> bool:
    if not shown or not (math.isfinite(shown) and math.isfinite(expected)):
        return False
    return abs(shown - expected) > _SAME * (size + abs(shown))
