"""The modes against the reference, entry by entry, within what rounding allows."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from tinygrad_scalar.core.at_once import put_back
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.derivatives import Index
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.modes import MODES, Derivatives, Function, derivative_graph
from tinygrad_scalar.testing.recording import Recording, finite
from tinygrad_scalar.testing.references import Expected, expected

# The least precise function of the table is right to 5e-13.
RELATIVE = 1e-12
# Every operation may be off by a few units in the last place.
UNITS = 16 * sys.float_info.epsilon
# Where the rounding errors cannot be followed through the derivative graph. Of a higher derivative
# nothing is known there: 1/Γ(100)² underflows, and takes digits of ∂²(Γ(x)/Γ(x + ½))/∂x² with it.
UNKNOWN = 1e-9


class Disagreement(NamedTuple):
    """One derivative by one mode that is further from what was expected than `allowed`."""

    mode: str
    at: Index
    actual: Number
    expected: Number
    error: float
    allowed: float


class Comparison(NamedTuple):
    """What came out of comparing."""

    reference: str
    error: float  # the largest, relative to the largest derivative of the same order
    wrong: list[Disagreement]
    expected: dict[Index, Number]


def compare(
    function: Function,
    recording: Recording,
    order: int,
    modes: Sequence[str],
    rtol: float | None = None,
) -> Comparison:
    """Every derivative up to `order` by every mode against the best reference.

    An entry may be off by `rtol` of itself, by what rounding each result of the program to a few
    units in the last place would change in it (Σ |∂(entry)/∂v · v| over the derivative graph), and
    by the reference's own error. Cost: the modes', and one backward per entry.
    """
    actual = {mode: run(mode, function, recording.point, order) for mode in modes}
    reference = expected(recording, order)
    rounding = rounding_errors(function, recording.point, order)
    wrong, worst = [], 0.0
    for mode, found in actual.items():
        for index, value in found.items():
            if tuple(sorted(index)) not in reference.derivatives:
                continue
            wanted, doubt = reference.derivatives[tuple(sorted(index))]
            error, size = _error(value, wanted), _size(reference, len(index))
            worst = max(worst, error / size if size and finite(size) else error)
            unknown = UNKNOWN * size if len(index) == 1 else math.inf  # where slopes overflow
            allowed = (RELATIVE if rtol is None else rtol) * abs(float(wanted)) + 10 * doubt
            allowed += rounding.get(index, unknown) * recording.coarseness + _underflow(len(index))
            if math.isinf(error) or not error <= allowed:
                wrong.append(Disagreement(mode, index, value, wanted, error, allowed))
    numbers = {index: value for index, (value, _) in reference.derivatives.items()}
    if not any(isinstance(x, Fraction) for x in recording.point):  # then floats read better
        numbers = {index: float(value) for index, value in numbers.items()}
        wrong = [entry._replace(expected=float(entry.expected)) for entry in wrong]
    return Comparison(reference.reference, worst, wrong, numbers)


def run(mode: str, function: Function, point: Sequence[Any], order: int) -> Derivatives:
    """The derivatives by one mode; whatever it raises becomes a GradientError naming the mode."""
    try:
        found = MODES[mode](function, point, order)
    except GradientError:
        raise
    except Exception as error:
        raise failed(mode, error) from error
    # beside Values that the function closes over, forward mode gives Values
    return {index: x.example() if isinstance(x, Carrier) else x for index, x in found.items()}


def failed(mode: str, error: Exception) -> GradientError:
    """What to raise for anything that a mode raises."""
    return GradientError(
        f"check_grad: mode {mode} failed with {type(error).__name__}: {error}; write f and its "
        "partials in functions of tinygrad_scalar, or leave the mode out with modes="
    )


def _error(actual: Number, wanted: Number) -> float:
    if finite(actual):
        return abs(
            float(actual - wanted if isinstance(actual, Fraction) else _less(actual, wanted))
        )
    return 0.0 if actual == wanted else math.inf


def _less(actual: Number, wanted: Number) -> Number:
    """actual − wanted with one rounding, for a float and a Fraction."""
    return Fraction(float(actual)) - Fraction(wanted)


def _underflow(order: int) -> float:
    """What may be lost where products of as many partials as the order become subnormal."""
    return float(sys.float_info.min ** (1 / order))


def _size(reference: Expected, order: int) -> float:
    """The largest derivative of one order."""
    sizes = [
        abs(float(value))
        for index, (value, _) in reference.derivatives.items()
        if len(index) == order
    ]
    return max(sizes, default=0.0)


def rounding_errors(function: Function, point: Sequence[Any], order: int) -> dict[Index, float]:
    """What rounding changes in each derivative, to first order; unknown ones are left out."""
    try:
        graph = derivative_graph(function, [Value(x) for x in point], order)
        bounds = {index: UNITS * _weights(entry) for index, entry in graph.items()}
    except Exception:  # noqa: BLE001 (the mode "graph" tells what; here it only costs the bound)
        return {}
    return {index: bound for index, bound in bounds.items() if finite(bound)}


def _weights(entry: Any) -> float:
    """Σ |∂(entry)/∂v · v| over all nodes v below; leaves that others own keep their gradients."""
    if not isinstance(entry, Value):
        return 0.0
    leaves = [node for node in nodes_below(entry) if node.primitive is None]
    back = put_back(leaves, "grad")
    try:
        table = entry.backward()
    finally:
        deque(back, maxlen=0)
    return math.fsum(abs(float(slope * node.data)) for node, slope in table.items())
