"""`GradientDescentOptimizer`: gradient descent in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial as bind
from typing import Any

from tinygrad_scalar.checks import not_negative, positive
from tinygrad_scalar.core.at_once import at_once
from tinygrad_scalar.core.backward import gradients
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.parameter import (
    checked_parameters,
    numbers_in,
    outside_traces,
    parameters_below,
)


class GradientDescentOptimizer:
    """Gradient descent in one call: `GradientDescentOptimizer(lr).minimize(cost)`.

    Errors: ValueError for lr ≤ 0. Source: *Deep Learning*, section 4.3.

    >>> from tinygrad_scalar import nn
    >>> w = nn.parameter(1.0)
    >>> GradientDescentOptimizer(0.1).minimize(w * w)
    1.0
    >>> w.data, w.grad
    (0.8, 0.0)
    """

    def __init__(self, lr: float) -> None:
        self.lr = positive(lr, "GradientDescentOptimizer: lr")

    def minimize(
        self, cost: Value | Callable[[], Value], params: Iterable[Value] | None = None
    ) -> Any:
        """One backward and one step, and the cost before it; gradients are left at zero.

        `cost` is a Value, or a callable without arguments that gives one; `params` are by default
        the trainable leaves below it. Cost O(nodes + edges).
        Errors: TypeError unless the cost is a Value, ValueError without trainable leaves.
        """
        outside_traces("minimize")
        if not isinstance(cost, Value) and callable(cost):
            cost = cost()
        if not isinstance(cost, Value):
            raise TypeError(f"minimize: cost is a Value, not {type(cost).__name__}")
        leaves = checked_parameters(
            parameters_below(cost) if params is None else params, "minimize"
        )
        lr, data = not_negative(self.lr, "minimize: lr"), numbers_in(leaves, "data", "minimize")
        slopes = gradients([cost], [1.0], leaves)
        moved = [x - lr * slope for x, slope in zip(data, slopes, strict=True)]
        move = [bind(setattr, leaf, "data", x) for leaf, x in zip(leaves, moved, strict=True)]
        at_once([*move, *[bind(setattr, leaf, "grad", 0.0) for leaf in leaves]])
        return cost.data
