"""Trainable leaves: what tells a weight from any other leaf of a graph.

The mark stands in the leaf's provenance, so that copying, pickling and relabelling keep it and the
engine's `Value` needs no slot for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from io import BytesIO
from itertools import repeat
from operator import attrgetter
from typing import Any, Self

from tinygrad_scalar.core import context
from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.provenance import Provenance
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number


class at_most(BytesIO):  # noqa: N801 (a block)
    """In this block making more parameters than `count` is a ValueError.

    So a file's architecture that its numbers do not fill is not built up to the end. The base class
    closes it in C, see `context.Block`: no Ctrl-C comes in between.
    """

    def __init__(self, count: int) -> None:
        self.left = repeat(True, count)  # one item for each that may still be made

    def __enter__(self) -> Self:
        try:
            _allowed.set(self)
            return self  # noqa: TRY300 (guarded to the end)
        except BaseException:
            self.close()
            raise


_allowed: ContextVar[at_most | None] = ContextVar("_allowed", default=None)


class Trainable(Provenance):
    """The provenance of a leaf that training may change."""

    __slots__ = ()


def parameter(data: Any, *, label: str = "") -> Value:
    """A trainable leaf: a `Value` that modules collect and optimisers change.

    Domain and types: as `Value`. O(1). Errors: TypeError for anything but a real number.
    Source: *Deep Learning*, section 5.1 (the parameters θ of a model).

    >>> w = parameter(0.5, label="w")
    >>> w, is_parameter(w), is_parameter(Value(0.5))
    (Value(0.5, grad=0.0, label='w'), True, False)
    """
    allowed = _allowed.get()
    if allowed is not None and not allowed.closed and next(allowed.left, None) is None:
        raise ValueError("the architecture has more parameters than there are numbers")
    leaf = Value(data, label=label)
    leaf._provenance = Trainable(*leaf.provenance)
    return leaf


def is_parameter(thing: Any) -> bool:
    """Whether `thing` is a trainable leaf, made by `parameter` or by a module. O(1)."""
    # `isinstance` would take what is traced for a Value, as it is meant to
    return issubclass(type(thing), Value) and thing.provenance.__class__ is Trainable


def is_leaf(thing: Any) -> bool:
    """Whether `thing` is a Value that was not computed, trainable or not."""
    return issubclass(type(thing), Value) and thing.primitive is None


def parameters_below(output: Value) -> list[Value]:
    """The trainable leaves that `output` was computed from. O(nodes + edges).

    >>> w, x = parameter(2.0, label="w"), Value(3.0, label="x")
    >>> parameters_below(w * x)
    [Value(2.0, grad=0.0, label='w')]
    """
    if not isinstance(output, Value):
        raise TypeError(
            f"parameters_below: output is one Value, such as a loss, not {type(output).__name__}"
        )
    return [node for node in nodes_below(output) if is_parameter(node)]


def checked_parameters(parameters: Iterable[Any], of: str) -> list[Value]:
    """The leaves in `parameters`, each once; errors name the operation `of`.

    Errors: TypeError for anything but a Value, ValueError for none and for a computed Value.
    """
    if isinstance(parameters, Value):
        raise TypeError(f"{of}: parameters is a list of Values, not one Value: write [w]")
    if not isinstance(parameters, Iterable):
        raise TypeError(
            f"{of}: parameters is a list of Values, such as model.parameters(), "
            f"not {type(parameters).__name__}"
        )
    leaves: dict[int, Value] = {}
    for leaf in parameters:
        if not isinstance(leaf, Value):
            raise TypeError(
                f"{of}: parameters is a list of Values, such as model.parameters(), "
                f"and holds a {type(leaf).__name__}"
            )
        if leaf.primitive is not None:
            raise ValueError(
                f"{of}: {leaf!r} was computed by {leaf.primitive.name} and cannot be trained: "
                "give the leaves it was computed from"
            )
        leaves[id(leaf)] = leaf
    if not leaves:
        raise ValueError(
            f"{of}: there are no parameters: nn.parameter(data) makes a trainable leaf"
        )
    return list(leaves.values())


def outside_traces(of: str) -> None:
    """TraceError inside a function that is compiled: `of` would happen once, while it is traced."""
    if context.settings().tracer is not None:
        from tinygrad_scalar.compiler import TraceError

        raise TraceError(
            f"{of} in a compiled function would happen once, while it is traced: compile the loss "
            f"alone, and call {of} after its backward"
        )


def numbers_in(leaves: Sequence[Value], name: str, of: str) -> list[Any]:
    """The `.data` or the `.grad` of the leaves; TypeError naming `of` for what is no number."""
    found = list(map(attrgetter(name), leaves))
    if set(map(type, found)) == {float}:  # as most
        return found
    for leaf, number in zip(leaves, found, strict=True):
        if not is_number(number):
            remedy = {"grad": "set it to 0.0, as zero_grad() does", "data": "write numbers to it"}
            raise TypeError(
                f"{of}: the {name} of {leaf!r} is {type(number).__name__}, not a number: "
                f"{remedy[name]}"
            )
    return found
