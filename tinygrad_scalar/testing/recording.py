"""What a function computed at a point, as a list of operations that other arithmetics can replay.

Only forward rules are replayed, so a derivative taken from a replay owes nothing to the partials
that it is compared with.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.graph import active_nodes, topological_order
from tinygrad_scalar.precision import Number, is_number
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.provenance import trace_lines
from tinygrad_scalar.structure import leaves, like
from tinygrad_scalar.testing.errors import OutsideDomainError, UncheckableError
from tinygrad_scalar.value import Value


class Operation(NamedTuple):
    """One step: its row, and for each operand the earlier result it is, or None for a constant."""

    primitive: Primitive
    sources: tuple[int | None, ...]
    seen: tuple[Number, ...]


class Recording:
    """The operations between `inputs` and `output`, in order; whatever else they use is constant.

    Results are numbered: first the inputs, then one per operation. O(nodes).
    """

    def __init__(self, inputs: Sequence[Value], output: Any) -> None:
        self.inputs, self.output = tuple(inputs), output
        self.point = tuple(leaf.data for leaf in inputs)
        number = {id(leaf): i for i, leaf in enumerate(inputs)}
        self.nodes: list[Value] = []
        self.operations: list[Operation] = []
        if isinstance(output, Value):
            active = active_nodes((output,), self.inputs)
            for node in topological_order(output):
                if id(node) in active and id(node) not in number:
                    self._add(node, number)
        self.result = number.get(id(output))  # None: the output is a constant

    def _add(self, node: Value, number: dict[int, int]) -> None:
        row: Any = node.primitive  # a leaf never gets here
        sources = tuple(number.get(id(parent)) for parent in node._slots())
        self.operations.append(Operation(row, sources, tuple(node._seen()[1])))
        number[id(node)] = len(number)
        self.nodes.append(node)

    def rules(self, choose: Callable[[Primitive], Callable[..., Any]]) -> list[Callable[..., Any]]:
        """One forward rule per operation, chosen by its row."""
        return [choose(operation.primitive) for operation in self.operations]

    def replay(
        self,
        rules: Sequence[Callable[..., Any]],
        inputs: Sequence[Any],
        constant: Callable[[Number], Any] = lambda x: x,
    ) -> Any:
        """The output with other inputs and other forward rules; `constant` converts constants."""
        if self.result is None:
            return constant(self.output.data if isinstance(self.output, Value) else self.output)
        results = list(inputs)
        for (primitive, sources, seen), rule in zip(self.operations, rules, strict=True):
            operands = [
                constant(x) if source is None else results[source]
                for source, x in zip(sources, seen, strict=True)
            ]
            result = rule(*operands)
            results.append(result if primitive.joint is None else result[primitive.index])
        return results[self.result]

    def in_floats(self, inputs: Sequence[Number]) -> Number:
        """The output with other inputs, by the rows' own forward rules."""
        return self.replay(self.rules(lambda row: row.forward), inputs)

    def shape(self) -> list[tuple[str, tuple[int | None, ...]]]:
        """The operations without their numbers: equal for equal control flow."""
        return [(primitive.name, sources) for primitive, sources, _ in self.operations]

    def alone(self, i: int) -> tuple[Callable[..., Any], tuple[Number, ...]]:
        """Operation `i` as a function of those operands that are not constant, and its point."""
        primitive, sources, seen = self.operations[i]
        varying = [k for k, source in enumerate(sources) if source is not None]

        def operation(*numbers: Any) -> Any:
            operands = list(seen)
            for k, number in zip(varying, numbers, strict=True):
                operands[k] = number
            if primitive.joint is not None:
                return primitive.joint(*operands)[primitive.index]
            return primitive(*operands)

        return operation, tuple(seen[k] for k in varying)


class Flat:
    """A function of structures as a function of the numbers in them, each with a name.

    Errors: UncheckableError if it returns no single number or leaves its domain.
    """

    def __init__(self, f: Callable[..., Any], point: Sequence[Any]) -> None:
        if not callable(f):
            raise UncheckableError(f"check_grad: f must be callable, not {type(f).__name__}")
        self.f, self.given = f, tuple(point)
        self.point = [float(x) if isinstance(x, int) else x for x in leaves(self.given)]
        for x in self.point:
            if not is_number(x):
                raise UncheckableError(
                    f"check_grad: the point holds {x!r}; give plain numbers, in lists if f takes "
                    "lists (for a Value give its .data)"
                )
        self.names = _names(f, self.given)

    def __call__(self, *numbers: Any) -> Any:
        """The function of its numbers, put back into their structures."""
        return self.f(*like(self.given, numbers))

    def at(self) -> str:
        """The point as text, `x=1.5, y=2.0`."""
        pairs = zip(self.names, self.point, strict=True)
        return ", ".join(f"{name}={value!r}" for name, value in pairs)

    def recorded(self, point: Sequence[Any]) -> Recording:
        """The recording of one call on fresh labelled leaves."""
        inputs = [Value(x, label=name) for x, name in zip(point, self.names, strict=True)]
        try:
            with trace_lines():
                output = self(*inputs)
        except (ArithmeticError, ValueError) as error:
            raise OutsideDomainError(
                f"check_grad: ({self.at()}) is outside the domain of f: {error}; draw points with "
                "tinygrad_scalar.strategies.points_for(f)"
            ) from error
        if isinstance(output, bool) or not (isinstance(output, Value) or is_number(output)):
            raise UncheckableError(
                f"check_grad: f returned {_what(output)}, not one number; let it return a Value, "
                "one output at a time"
            )
        if any(leaf.data is not x for leaf, x in zip(inputs, point, strict=True)):
            raise UncheckableError(
                "check_grad: f changes the data of its arguments (mutates state); let it compute "
                "from them only"
            )
        return Recording(inputs, output)


def _what(output: Any) -> str:
    if output is None:
        return "None (is a return missing?)"
    size = f" of {len(output)}" if isinstance(output, (list, tuple)) else ""
    return f"a {type(output).__name__}{size}"


def _names(f: Callable[..., Any], given: Sequence[Any]) -> list[str]:
    """The parameters' names, with positions where an argument is a structure."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = names[: len(given)]
    names += [f"x{i}" for i in range(len(names), len(given))]
    return [
        name if argument is numbers else f"{name}[{k}]"
        for name, argument in zip(names, given, strict=True)
        for k, numbers in enumerate(leaves(argument))
    ]


def finite(x: Any) -> bool:
    """Neither infinite nor NaN, for any kind of number."""
    return bool(-math.inf < x < math.inf)
