"""What comes before a check: whether f is a function, and has a derivative here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.undefined import same, told
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.comparison import failed
from tinygrad_scalar.testing.errors import GradientError, OutsideDomainError, UncheckableError
from tinygrad_scalar.testing.kinks import MARGIN, kinks
from tinygrad_scalar.testing.modes import derivative_graph
from tinygrad_scalar.testing.recording import Flat, Recording, finite

# Of the largest number in the program: what f(x + h) and its replay may differ by through rounding.
_ROUNDING = 1e-13


class Examined(NamedTuple):
    """A recording, and why there may be no derivative: no reasons where all is well."""

    recording: Recording
    at_kinks: dict[int, str]  # by number of the operation
    turns: tuple[str, ...]  # of the control flow
    undefined: tuple[str, ...]  # products 0·∞ and the like

    @property
    def reasons(self) -> tuple[str, ...]:
        """All of them, in words."""
        return tuple(dict.fromkeys((*self.at_kinks.values(), *self.turns, *self.undefined)))


def examine(flat: Flat) -> Examined:
    """The recording of f at its point, after making sure that it can be compared.

    Errors: UncheckableError for a function that gives no number, not always the same one, or
    changes what it uses; GradientError where part of the gradient is lost.
    """
    recording = repeatable(flat)
    if not finite(_value(recording)):
        raise OutsideDomainError(
            f"check_grad: f is {_value(recording)} at ({flat.at()}), which has no derivative; draw "
            "points with tinygrad_scalar.strategies.points_for(f)"
        )
    turns = tuple(_turns(flat, recording))
    return Examined(recording, kinks(recording), turns, tuple(_undefined(recording)))


def repeatable(flat: Flat, times: int = 2) -> Recording:
    """The recording of f at its point, after calling it several times; an error if they differ."""
    first = flat.recorded(flat.point)
    leaves = [node for node in _nodes(first) if node.primitive is None]
    before = [leaf.data for leaf in leaves]
    for _ in range(times - 1):
        again = flat.recorded(flat.point)
        for leaf, data in zip(leaves, before, strict=True):
            if not same(leaf.data, data):
                raise UncheckableError(
                    f"check_grad: f changes {leaf!r}, whose data was {data!r} before (mutates "
                    "state); let it compute from its arguments only"
                )
        if not same(_value(first), _value(again)) or first.shape() != again.shape():
            raise UncheckableError(
                f"check_grad: f gives {_value(first)!r} and then {_value(again)!r} at the same "
                "point, or gets there in another way: it is random or keeps state; seed it inside "
                "f, or pass what varies as an argument"
            )
    return first


def _turns(flat: Flat, recording: Recording) -> Iterator[str]:
    """Inputs near which f takes another branch; an error where f changes and its graph does not."""
    largest = max((abs(float(node.data)) for node in _nodes(recording)), default=0.0)
    rounding = _ROUNDING * recording.coarseness * max(largest, abs(float(_value(recording))))
    for i, (name, x) in enumerate(zip(flat.names, flat.point, strict=True)):
        step = MARGIN * max(1.0, abs(float(x)))
        sides = [_unrecorded(flat, recording, i, x + type(x)(side)) for side in (-step, step)]
        below, above = (0.0 if side is None else side for side in sides)
        if below == above == 0.0 and None not in sides:
            continue
        if below * above < 0 and abs(below + above) < abs(above - below) / 2 and None not in sides:
            if min(abs(below), abs(above)) > rounding:
                raise GradientError(
                    f"check_grad: part of the gradient is lost: f changes with {name} by about "
                    f"{(above - below) / (2 * step):.6g} per unit more than its graph records; "
                    "f reads .data, calls detach(), no_grad() or backward(), or returns a number"
                )
        elif None in sides or max(abs(below), abs(above)) > rounding:
            yield f"f takes another branch within {step:g} of {name}={x!r}"


def _unrecorded(flat: Flat, recording: Recording, i: int, x: Number) -> float | None:
    """f(x) less the replay of the recording; None if f takes another branch there."""
    point = [*flat.point[:i], x, *flat.point[i + 1 :]]
    try:
        other = flat.recorded(point)
        replayed = recording.in_floats(point)
    except (UncheckableError, ArithmeticError, TypeError, ValueError):
        return 0.0  # beyond the edge of the domain, where a power is complex
    if other.shape() != recording.shape():
        return None
    return float(_value(other) - replayed)


def _undefined(recording: Recording) -> Iterator[str]:
    with told() as messages:
        try:
            recording.gradients()
        except Exception as error:
            raise failed("reverse", error) from error
    for message in messages:
        yield message.partition("; ")[0]


def kinks_of_derivatives(flat: Flat, order: int) -> tuple[int, tuple[str, ...]]:
    """Up to which order there are derivatives, and what is in the way of the next.

    x·|x| has a slope at 0 whose own slope jumps: a kink of its derivative graph.
    """
    inputs = [Value(x, label=name) for x, name in zip(flat.point, flat.names, strict=True)]
    try:
        graph = derivative_graph(flat, inputs, order - 1)
    except Exception:  # noqa: BLE001 (the mode "graph" tells what; without it nothing is known)
        return order, ()
    for index, slope in graph.items():  # lower orders first
        found = kinks(Recording(inputs, slope)) if isinstance(slope, Value) else {}
        if found:
            where = f"in a derivative of order {len(index)}"
            return len(index), tuple(f"{where}: {text}" for text in dict.fromkeys(found.values()))
    return order, ()


def _nodes(recording: Recording) -> list[Value]:
    output = recording.output
    return list(nodes_below(output)) if isinstance(output, Value) else []


def _value(recording: Recording) -> Any:
    output = recording.output
    return output.data if isinstance(output, Value) else output
