"""What a function computed at a point, as a list of operations that other arithmetics can replay.

Only forward rules are replayed, so a derivative taken from a replay owes nothing to the partials
that it is compared with.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.core.graph import active_nodes, topological_order
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.provenance import trace_lines
from tinygrad_scalar.core.tree import array_of, is_structure, leaves, placed, rebuild
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import Number, is_number, number, unboxed
from tinygrad_scalar.testing.errors import OutsideDomainError, UncheckableError

_FLOAT32 = 2.0**29  # roundings of a float32 in those of a float


class Operation(NamedTuple):
    """One step: its row, and for each operand the earlier result it is, or None for a constant."""

    primitive: Primitive
    sources: tuple[int | None, ...]
    seen: tuple[Number, ...]


class Recording:
    """The operations between `inputs` and `output`, in order; whatever else they use is constant.

    Results are numbered: first the inputs, then one per operation. `coarseness` is that of the
    numbers carried, 1 for floats. O(nodes).
    """

    def __init__(self, inputs: Sequence[Value], output: Any) -> None:
        self.inputs, self.output = tuple(inputs), output
        self.point = tuple(leaf.data for leaf in inputs)
        number = {id(leaf): i for i, leaf in enumerate(inputs)}
        self.nodes: list[Value] = []
        self.operations: list[Operation] = []
        self.coarseness = 1.0
        if isinstance(output, Value):
            active = active_nodes((output,), self.inputs)
            for node in topological_order(output):
                if id(node) in active and id(node) not in number:
                    self._add(node, number)
        self.result = number.get(id(output))  # None: the output is a constant

    def _add(self, node: Value, number: dict[int, int]) -> None:
        row: Any = node.primitive  # a leaf never gets here
        sources = tuple(number.get(id(parent)) for parent in node._slots())
        seen = tuple(node._seen()[1])
        if any(map(_is_float32, (*seen, node.data))):
            self.coarseness = _FLOAT32
        self.operations.append(Operation(row, sources, tuple(map(_widened, seen))))
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
            results.append(unboxed(result if primitive.joint is None else result[primitive.index]))
        return results[self.result]

    def in_floats(self, inputs: Sequence[Number]) -> Number:
        """The output with other inputs, by the rows' own forward rules."""
        return real(self.replay(self.rules(lambda row: row.forward), inputs))

    def gradients(self) -> Mapping[Value, Number]:
        """The gradient of every node between inputs and output, which `.grad` holds as well."""
        if not isinstance(self.output, Value):
            return {}
        between = [*self.nodes, *self.inputs]
        for node in between:
            node.grad = 0.0
        return self.output.backward(inputs=between)

    def shape(self) -> list[tuple[str, tuple[int | None, ...]]]:
        """The operations without their numbers: equal for equal control flow."""
        return [(primitive.name, sources) for primitive, sources, _ in self.operations]

    def alone(self, i: int) -> tuple[Callable[..., Any], tuple[Number, ...]]:
        """Operation `i` as a function of those operands that are not constant, and its point."""
        primitive, sources, seen = self.operations[i]
        varying = [k for k, source in enumerate(sources) if source is not None]
        return along(primitive, seen, varying), tuple(seen[k] for k in varying)


def along(row: Primitive, point: Sequence[Any], varying: Sequence[int]) -> Callable[..., Any]:
    """The row as a function of those of its operands that vary; the others are as at the point."""

    def function(*numbers: Any) -> Any:
        operands = list(point)
        for k, x in zip(varying, numbers, strict=True):
            operands[k] = x
        y = (row.joint or row)(*operands)
        return y if row.joint is None else y[row.index]

    return function


class SeveralOutputs(UncheckableError):  # noqa: N818 (asked, not raised at anyone)
    """f returned several numbers; `paths` lead to them."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"check_grad: f has {len(paths)} outputs, {', '.join(paths[:3])} …")
        self.paths = paths


class Flat:
    """A function of structures as a function of the numbers in them, each with a name.

    `path` is that of the output that counts, where f has several.
    Errors: UncheckableError if it returns no single number or leaves its domain; SeveralOutputs.
    """

    def __init__(self, f: Callable[..., Any], point: Sequence[Any], path: str = "") -> None:
        if not callable(f):
            raise UncheckableError(f"check_grad: f must be callable, not {type(f).__name__}")
        self.f, self.given, self.path = f, tuple(point), path
        for x in leaves(self.given):
            if not is_number(x):
                raise UncheckableError(
                    f"check_grad: the point holds {x!r}; give plain numbers, in lists if f takes "
                    "lists (for a Value give its .data)"
                )
        self.point = [_widened(number(x)) for x in leaves(self.given)]
        self.names = _names(f, self.given)

    def __call__(self, *numbers: Any) -> Any:
        """The function of its numbers, put back into their structures."""
        return self._chosen(self.f(*self.arguments(numbers)))

    def arguments(self, numbers: Sequence[Any]) -> tuple[Any, ...]:
        """The numbers in the structures of the arguments, arrays of float32 as arrays of floats.

        In float32 a step of the differences would be rounded to none, or to another.
        """
        return rebuild(self.given, iter(numbers), _array)  # type: ignore[no-any-return]

    def _chosen(self, output: Any) -> Any:
        """The output that counts."""
        if not self.path:
            return unboxed(output)
        found = dict(placed(output))
        if self.path not in found:
            raise UncheckableError(
                f"check_grad: f gives an output {self.path} and then none at the same point: it is "
                "random or keeps state"
            )
        return found[self.path]

    def at(self) -> str:
        """The point as text, `x=1.5, y=2.0`."""
        pairs = zip(self.names, self.point, strict=True)
        return ", ".join(f"{name}={value!r}" for name, value in pairs)

    def recorded(self, point: Sequence[Any]) -> Recording:
        """The recording of one call on fresh labelled leaves."""
        inputs = [Value(x, label=name) for x, name in zip(point, self.names, strict=True)]
        arguments = self.arguments(inputs)
        try:
            with trace_lines():
                output = self._chosen(self.f(*arguments))
        except UncheckableError:
            raise
        except (ArithmeticError, ValueError) as error:
            raise OutsideDomainError(
                f"check_grad: ({self.at()}) is outside the domain of f: {error}; draw points with "
                "tinygrad_scalar.strategies.points_for(f)"
            ) from error
        except Exception as error:
            error.add_note(f"check_grad: raised by f at ({self.at()})")
            raise
        if paths := _several(output):
            raise SeveralOutputs(paths)
        if isinstance(output, bool) or not (isinstance(output, Value) or is_number(output)):
            raise UncheckableError(
                f"check_grad: f returned {_what(output)}, not one number; let it return a Value, "
                "or lists, tuples, dicts and arrays of them"
            )
        left = leaves(arguments)
        if len(left) != len(inputs) or any(map(operator.is_not, left, inputs)):
            raise UncheckableError(
                "check_grad: f changes the lists that it is given (mutates state); let it work on "
                "a copy"
            )
        if any(leaf.data != x == x for leaf, x in zip(inputs, point, strict=True)):  # noqa: PLR0124 (NaN)
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
    """The parameters' names, with subscripts where an argument is a structure."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = names[: len(given)]
    names += [f"x{i}" for i in range(len(names), len(given))]
    pairs = zip(names, given, strict=True)
    return [name + path for name, argument in pairs for path, _ in placed(argument)]


def _several(output: Any) -> list[str]:
    """The paths where a result has several numbers; empty where it is anything else."""
    if not is_structure(output):
        return []
    found = list(placed(output))
    numbers = all(
        (isinstance(y, Value) or is_number(y)) and y.__class__ is not bool for _, y in found
    )
    return [path for path, _ in found] if numbers else []


def _is_float32(x: Number) -> bool:
    return type(x).__name__ == "float32"


def _array(numbers: list[Any], shape: tuple[int, ...], *, single: bool) -> Any:
    del single
    return array_of(numbers, shape)


def _widened(x: Number) -> Number:
    """A float32 as a float, which holds it exactly."""
    return float(x) if _is_float32(x) else x


def finite(x: Any) -> bool:
    """Neither infinite nor NaN, for any kind of number."""
    return bool(-math.inf < x < math.inf)


def real(y: Any) -> Any:
    """A number as it is; where it is complex, as a power of a negative one, as `math` has it."""
    if isinstance(y, complex):
        raise ValueError("math domain error")  # noqa: TRY004
    return y
