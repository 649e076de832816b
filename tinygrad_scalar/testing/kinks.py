"""Points without a derivative, told from forward rules: where a slope jumps, or a domain ends.

A kink is looked for at every operation, not at the inputs only: `relu(x * x - 1)` has one at 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.testing.recording import Recording, finite, real

# How near is too near: well above rounding, well below any step that a user could see.
MARGIN = 1e-6
_EPSILON = sys.float_info.epsilon
_LEAST_JUMP = 1e-3  # of the slope: what curvature does not do within the margin
_PIECES = 32
_SPACINGS = 1024  # of the floats at x: closer than that, rounding hides every slope


def kinks(recording: Recording, margin: float = MARGIN) -> dict[int, str]:
    """The operations within `margin` of a kink, by number, and where that is in words."""
    found = {}
    for i, (primitive, sources, seen) in enumerate(recording.operations):
        varying = [k for k, source in enumerate(sources) if source is not None]
        if near_kink(primitive, seen, varying, margin):
            found[i] = describe(recording.nodes[i])
    return found


def near_kink(
    primitive: Primitive, x: Sequence[Any], varying: Collection[int], margin: float = MARGIN
) -> bool:
    """Whether a row has a kink within `margin` of the operands `x`, of which some vary.

    A kink that the row states counts even where it is slight, but not where nothing bends in what
    varies: x⁰ is constant at 0, though a⁰ᵇ has a kink at a = b = 0. `where` turns at 0 even where
    both sides have the same value.
    """
    if primitive.choice and 0 in varying and abs(x[0]) <= margin:
        return True
    stated = bool(primitive.kinks(*x))
    return any(_kink_along(primitive, x, k, margin, stated=stated) for k in varying)


def describe(node: Value) -> str:
    """An operation with its operands: relu(0.0), with the label of the operand if there is one."""
    name = node.primitive.name if node.primitive else "leaf"
    operands = ", ".join(map(repr, node._seen()[1]))
    labels = [parent.label for parent in node.parents if parent.label]
    of = f" of {', '.join(labels)}" if labels else ""
    return f"{name}({operands}){of}"


def _kink_along(
    primitive: Primitive, seen: Sequence[Any], k: int, margin: float, *, stated: bool
) -> bool:
    others = [float(x) for x in seen]  # float32 would round what is looked for

    def along(x: float) -> float:
        operands = [*others[:k], x, *others[k + 1 :]]
        y = primitive.forward(*operands)
        return float(real(y if primitive.joint is None else y[primitive.index]))

    x = others[k]
    if not finite(x):
        return False
    return at_edge(along, x) or bends(along, x, margin) or (stated and not _straight(along, x))


def at_edge(g: Callable[[float], Any], x: float) -> bool:
    """Whether the domain ends here: the next number on one side, or on both, is outside."""
    return any(_fails(g, math.nextafter(x, side)) for side in (-math.inf, math.inf))


def _fails(g: Callable[[float], Any], x: float) -> bool:
    try:
        g(x)
    except (ArithmeticError, ValueError):
        return True
    return False


def bends(g: Callable[[float], float], x: float, margin: float = MARGIN) -> bool:
    """Whether the slope of g jumps near x: a jump stays as the interval shrinks, curvature goes."""
    margin = max(margin, _SPACINGS * math.ulp(x))
    try:
        half = margin / 2
        points = [g(x + k * half) for k in range(-2, 3)]
        # the outer two see a vertical tangent at x itself, which is symmetric
        coarse = max(
            _slope_jump(points[::2], margin, x),
            _slope_jump(points[:3], half, x),
            _slope_jump(points[2:], half, x),
        )
        if not coarse:
            return False
        fine = margin / _PIECES
        values = [g(x + k * fine) for k in range(-_PIECES, _PIECES + 1)]
    except (ArithmeticError, ValueError):
        return False
    triples = zip(values, values[1:], values[2:], strict=False)
    return max(_slope_jump(triple, fine, x) for triple in triples) > coarse / 4


def _straight(g: Callable[[float], float], x: float) -> bool:
    """Whether g is constant or linear around x, as far as that can be seen."""
    below, here, above = g(x - MARGIN), g(x), g(x + MARGIN)
    return abs(above - 2 * here + below) <= 8 * _EPSILON * max(abs(below), abs(here), abs(above))


def _slope_jump(values: Sequence[float], width: float, x: float) -> float:
    """The difference of the slopes between three equidistant points; 0 if it may be rounding."""
    left, right = (values[1] - values[0]) / width, (values[2] - values[1]) / width
    jump = abs(right - left)
    steepest = max(abs(left), abs(right))
    rounding = (64 * _EPSILON * max(map(abs, values)) + 2 * math.ulp(x) * steepest) / width
    return jump if jump > max(rounding, _LEAST_JUMP * steepest) else 0.0
