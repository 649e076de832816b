"""The naive gradient of equation 6.55, to be seen beside the table of Algorithm 6.2."""

from __future__ import annotations

from typing import Any

from tinygrad_scalar.core.graph import active_nodes
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import like


def sum_over_paths(z: Value, x: Value) -> tuple[Any, int]:
    """∂z/∂x as the sum over all paths from x to z of the product of their local derivatives.

    Gives `(gradient, number_of_paths)`: the gradient of `backward`, at a cost that grows with the
    number of paths, which is exponential in general (a chain of n diamonds has 2^n paths and 4n
    edges). Iterative, memory O(depth).
    Errors: TypeError unless both are Values. Source: *Deep Learning*, equation 6.55.

    >>> x = Value(3.0)
    >>> y = x * x
    >>> sum_over_paths(y * y, x)
    (108.0, 4)
    """
    for name, node in (("z", z), ("x", x)):
        if not isinstance(node, Value):
            raise TypeError(f"sum_over_paths: {name} is a Value, not {type(node).__name__}")
    leading = active_nodes([z], [x])
    gradient, paths = like(0, z.data), 0
    stack: list[tuple[Value, Any]] = [(z, like(1, z.data))] if id(z) in leading else []
    while stack:
        node, product = stack.pop()
        if node is x:
            gradient, paths = gradient + product, paths + 1
            continue
        for parent, derivative in zip(node.parents, node.local_derivatives, strict=True):
            if id(parent) in leading:
                stack.append((parent, product * derivative()))
    return gradient, paths
