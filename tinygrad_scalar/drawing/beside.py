"""The graph of a derivative beside the graph that it is the derivative of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_scalar.core.value import Value


def derivative_roots(
    derivative: Any, roots: Sequence[Value], caller: str
) -> list[tuple[Any, Value]]:
    """Pairs of a node (or None) and its gradient as a Value."""
    if derivative is None:
        return []
    if isinstance(derivative, Mapping):
        seeds = {id(root) for root in roots}  # ∂z/∂z = 1 is no part of the graph
        pairs = [pair for pair in derivative.items() if id(pair[0]) not in seeds]
    else:
        several = isinstance(derivative, (list, tuple))
        gradients = list(derivative) if several else [derivative]
        pairs = [(None, gradient) for gradient in gradients]
    for _, gradient in pairs:
        if not isinstance(gradient, Value):
            raise TypeError(
                f"{caller}: derivative is a Value, a list or a table of Values, not of "
                f"{type(gradient).__name__}: z.backward(create_graph=True) makes such a table"
            )
    return pairs
