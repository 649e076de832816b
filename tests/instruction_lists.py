"""Random programs with shared nodes: lists of instructions over all earlier results.

A tree of fresh leaves never finds a fault that needs a node used twice; a list of instructions
does, and shrinks it to a handful.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

import tinygrad_scalar as ts
from tinygrad_scalar import Value

# Bounded and smooth, so that neither overflow nor poles nor kinks get in the way.
SMOOTH: dict[str, tuple[int, Callable]] = {
    "add": (2, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b),
    "neg": (1, lambda a: -a),
    "div": (2, lambda a, b: a / (b * b + 2)),
    "pow": (1, lambda a: a**2),
    "sin": (1, ts.sin),
    "tanh": (1, ts.tanh),
    "exp": (1, lambda a: ts.exp(-a * a)),
    "sum": (3, lambda *x: ts.sum(x)),
    "mean": (3, lambda *x: ts.mean(x)),
    "dot": (4, lambda a, b, c, d: ts.dot([a, b], [c, d])),
    "prod": (3, lambda *x: ts.prod(x)),
    "logsumexp": (2, lambda *x: ts.logsumexp(ts.tanh(a) for a in x)),
    "constant": (1, lambda a: 2 * a + 0.5),
}
RATIONAL = ("add", "sub", "mul", "neg", "pow", "sum", "mean", "dot", "prod")


@dataclass(frozen=True)
class Instructions:
    """`inputs`, then one result per instruction: an operation and the numbers of its operands."""

    inputs: tuple[Any, ...]
    steps: tuple[tuple[str, tuple[int, ...]], ...]

    def compute(
        self, numbers: Sequence[Any], operations: dict[str, Any] | None = None
    ) -> list[Any]:
        """All results on anything with arithmetic, the inputs first."""
        results = list(numbers)
        for name, places in self.steps:
            operation = SMOOTH[name][1] if operations is None else operations[name]
            results.append(operation(*(results[place] for place in places)))
        return results

    def run(self) -> Value:
        """The last result, on Values."""
        return self.compute([Value(x) for x in self.inputs])[-1]


ALL = tuple(SMOOTH)
MODERATE = st.floats(-1.5, 1.5)


@st.composite
def programs(draw, operations=ALL, numbers=MODERATE, max_steps=12):
    inputs = tuple(draw(st.lists(numbers, min_size=1, max_size=3)))
    steps = []
    for count in range(draw(st.integers(1, max_steps))):
        name = draw(st.sampled_from(operations))
        last = len(inputs) + count - 1
        places = st.integers(0, last).map(lambda i, last=last: last - i)  # shrinks to the latest
        steps.append((name, tuple(draw(places) for _ in range(SMOOTH[name][0]))))
    return Instructions(inputs, tuple(steps))
