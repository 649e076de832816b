"""A derivative by a reference, and the differences that two of the references are made of."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.numbers.precision import Number

Index = tuple[int, ...]  # ∂²f/∂x₀∂x₂ is (0, 2)


class Derivative(NamedTuple):
    """A derivative by a reference, and a bound of the reference's own error."""

    value: Number
    error: float = 0.0


class Unsuitable(Exception):  # noqa: N818 (asked, not raised at anyone)
    """This reference cannot be used for this program."""


def indices(inputs: int, order: int) -> Iterator[Index]:
    """The mixed derivatives of orders 1 to `order`, each once."""
    for k in range(1, order + 1):
        yield from itertools.combinations_with_replacement(range(inputs), k)


def central(
    f: Callable[[list[Any]], Any], point: Sequence[Any], index: Index, steps: Sequence[Any]
) -> Any:
    """The central difference for a mixed derivative: one factor (f(x + h) − f(x − h)) / 2h each.

    `steps` holds an h for each entry of the index, the same one wherever the input is the same.
    Equal points are one: (0, 0, 0) looks at x ± 3h and x ± h, with the weights ±1 and ∓3.
    """
    orders, widths = Counter(index), dict(zip(index, steps, strict=True))
    total = 0
    for turned in itertools.product(*(range(order + 1) for order in orders.values())):
        inputs, weight = list(point), 1
        for (i, order), k in zip(orders.items(), turned, strict=True):
            inputs[i] = inputs[i] + (order - 2 * k) * widths[i]
            weight *= (-1) ** k * math.comb(order, k)
        total = total + weight * f(inputs)
    for step in steps:
        total = total / (2 * step)
    return total
