"""What every node can do: tell what it was computed from, compare, copy, differentiate itself."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial as bind
from itertools import repeat
from typing import Any, NoReturn

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import Application
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.pickling import copied, deep_copied, flattened
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.provenance import NOTHING, Provenance
from tinygrad_scalar.core.provenance import current as current_provenance
from tinygrad_scalar.core.undefined import partial_at, same
from tinygrad_scalar.numbers.precision import Number, is_number, like, together, uncommon

_MICROGRADS = {"add": "+", "mul": "*", "relu": "ReLU"}


# What an operation saw: its result, or all of several; its operands' numbers; the Values among
# these by position, None for a plain number.
Operation = tuple[Any, tuple[Number, ...], tuple[Any, ...]]


def refuse(what: str, error: type[Exception] = AttributeError) -> NoReturn:
    """What only micrograd's inside has, and what to write instead."""
    raise error(
        f'{what}: an operation of your own is a row, primitive("cube", lambda x: x**3, '
        "lambda y, x: 3 * x * x), and parents tells what a Value came from; "
        'see "Coming from micrograd" in the documentation'
    )


def refused(name: str) -> property:
    """An attribute that micrograd's Value has, for a class that has none."""
    return property(
        lambda _: refuse(f"Value: {name} is not kept"),
        lambda _, __: refuse(f"Value: {name} cannot be set"),
    )


class Recorded(Arithmetic):
    """All of a `Value` but how it is stored and made; `Value` says what its slots are."""

    level = 1
    __slots__ = ()

    @property
    def provenance(self: Any) -> Provenance:
        """Label, scope and line of user code; shared and empty unless something was noted."""
        return getattr(self, "_provenance", None) or NOTHING

    @property
    def label(self: Any) -> str:
        """The name shown in tables and pictures; empty unless given."""
        label: str = self.provenance.label
        return label

    @label.setter
    def label(self: Any, label: str) -> None:
        self._provenance = self.provenance.relabelled(label)

    @property
    def latex(self: Any) -> str:
        """How formulas in LaTeX write the label; empty unless given."""
        latex: str = self.provenance.latex
        return latex

    @latex.setter
    def latex(self: Any, latex: str) -> None:
        self._provenance = self.provenance.typeset(latex)

    @property
    def operands(self: Any) -> tuple[Any, ...]:
        """Everything this was computed from, in order: Values, and plain numbers as numbers."""
        _, values, parents = self._operation()
        return tuple(
            value if parent is None else parent
            for value, parent in zip(values, parents, strict=True)
        )

    @property
    def local_derivatives(self: Any) -> tuple[Callable[[], Number], ...]:
        """One callable per parent, giving ∂(this)/∂(parent) for the numbers the operation saw.

        >>> from tinygrad_scalar import Value
        >>> x, y = Value(2.0), Value(3.0)
        >>> [derivative() for derivative in (x * y).local_derivatives]
        [3.0, 2.0]
        """
        if self.primitive is None:
            return ()
        partial = self._partial if self.primitive.arity else self._application(graph=False).partial
        return tuple(
            bind(partial, i) for i, parent in enumerate(self._slots()) if parent is not None
        )

    def zero_grad(self: Any) -> None:
        """Set the gradient of every node below this one, and its own, to 0.0. O(nodes)."""
        assign(list(nodes_below(self)), "grad", repeat(0.0))

    def detach(self: Any) -> Any:
        """A leaf with the same data: what is computed from it sends no gradient here.

        While a function is being compiled, what is traced instead, so that no number is frozen.
        """
        tracer = None if context.plain else context.settings().tracer
        return self._leaf(self.data) if tracer is None else tracer(self).detach()

    # ── copies keep the graph ─────────────────────────────────────────────────────────────────
    def __copy__(self: Any) -> Any:
        tracer = None if context.plain else context.settings().tracer
        if tracer is None:
            return copied(self)
        return tracer(self) if self.parents else tracer(self).detach()

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        tracer = None if context.plain else context.settings().tracer
        return deep_copied(self, memo) if tracer is None else tracer(self).detach()

    def __reduce_ex__(self: Any, protocol: Any) -> tuple[Any, ...]:
        return flattened(self)

    # ── comparisons look at the data, hashing at the identity ─────────────────────────────────
    def __hash__(self) -> int:
        return object.__hash__(self)

    def __eq__(self, other: object) -> Any:
        return _compared(operator.eq, self, other)

    def __ne__(self, other: object) -> Any:
        return _compared(operator.ne, self, other)

    def __lt__(self, other: Any) -> Any:
        return _compared(operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return _compared(operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return _compared(operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return _compared(operator.ge, self, other)

    def __bool__(self) -> bool:
        return bool(_compared(operator.ne, self, 0.0))

    def __repr__(self: Any) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value({self.data!r}, grad={self.grad!r}{label})"

    def __format__(self: Any, specification: str) -> str:
        return format(self.data, specification) if specification else repr(self)

    def example(self: Any) -> Number:
        """The number carried."""
        return self.data

    # ── as micrograd has it ───────────────────────────────────────────────────────────────────
    @property
    def _prev(self: Any) -> set[Any]:
        """The parents, each once."""
        return set(self.parents)

    @property
    def _op(self: Any) -> str:
        """What made it: '' for a leaf, '+', '*', '**2.0', 'ReLU', else the row's name."""
        if self.primitive is None:
            return ""
        name: str = self.primitive.name
        _, x, parents = self._operation()
        if name == "pow" and parents[1] is None:
            return f"**{x[1]}"
        return _MICROGRADS.get(name, name)

    _backward, _children = refused("_backward"), refused("_children")

    def _seen(self: Any) -> tuple[Any, tuple[Number, ...]]:
        """The result and the operands' numbers as the operation saw them."""
        y, x, _ = self._operation()
        return y, x

    def _slots(self: Any) -> tuple[Any, ...]:
        """The parents by position, None where a plain number stands."""
        _, _, parents = self._operation()
        return parents  # type: ignore[no-any-return]

    def _partial(self: Any, i: int) -> Number:
        """The number ∂(this)/∂(operand i), for the operands that the operation saw."""
        y, x, _ = self._operation()
        return like(partial_at(self.primitive, i, y, x), self.data)

    def _application(self: Any, graph: bool) -> Application:
        """The use of the row that this is, over the operands' own nodes or over numbers."""
        row: Any = self.primitive
        if not graph:
            y, numbers, _ = self._operation()
            return Application(row, y, numbers, self.operands, self.provenance)
        if any(map(callable, row.partials)):
            self._check_unchanged()
        whole = self if row.joint is None else self._siblings()
        return Application(row, whole, self.operands, self.operands, self.provenance)

    def _check_unchanged(self: Any) -> None:
        """RuntimeError if an operand's `data` was overwritten since then."""
        _, numbers, parents = self._operation()
        for i, (parent, seen) in enumerate(zip(parents, numbers, strict=True)):
            if parent is not None and not same(like(parent.data, seen), seen):
                name = self.primitive.name if self.primitive else ""
                raise RuntimeError(
                    f"{name}: the data of {parent!r} (operand {i}) was {seen!r} when this was "
                    "computed; compute it again before backward(create_graph=True)"
                )

    def _siblings(self: Any) -> tuple[Any, ...]:
        """All outputs of the operation with several outputs that this is one of."""
        row: Any = self.primitive
        outputs = list(row.joint(*self.operands))
        outputs[row.index] = self
        return tuple(outputs)


# ── making nodes ──────────────────────────────────────────────────────────────────────────────
def record(primitive: Primitive, operands: Sequence[Any]) -> Any:
    """The general way to make a node: evaluate, then note operands and what they were.

    While a function is being compiled, what it computes from closed-over Values is traced instead.
    """
    settings = context.settings()
    if settings.tracer is not None:
        closed_over = next(x for x in operands if isinstance(x, Recorded))
        return settings.tracer(closed_over).apply(primitive, operands)
    parents: Any = tuple(x if isinstance(x, Recorded) else None for x in operands)
    beside = uncommon(parent.data for parent in parents if parent is not None)
    values = together(
        primitive.checked(x, beside) if parent is None else parent.data
        for x, parent in zip(operands, parents, strict=True)
    )
    try:
        y = primitive.evaluate(values)
    except TypeError:
        for parent in parents:
            check_data(parent, primitive.name)
        raise
    if settings.tracker is not None:
        settings.tracker.used(operands)
    if isinstance(primitive, Joint):
        return tuple(
            node_of(row, data, parents, values, y)
            for row, data in zip(primitive.outputs, y, strict=True)
        )
    return node_of(primitive, y, parents, values, y)


def check_data(node: Any, operation: str) -> None:
    """TypeError for a node to whose `data` something else than a number was written."""
    if node is not None and not is_number(node.data):
        raise TypeError(
            f"{operation}: the data of {node.label or 'an operand'} is of type "
            f"{type(node.data).__name__}: write numbers to it, as in w.data -= 0.1 * w.grad"
        )


def node_of(
    primitive: Primitive, data: Number, parents: tuple[Any, ...], values: tuple[Any, ...], y: Any
) -> Any:
    """A node of any row: its data, its parents by position, the numbers seen and the result."""
    node = next(parent for parent in parents if parent is not None)._leaf(data)
    settings = context.settings()
    if not settings.recording:
        return node
    node._computed(primitive, data, node.grad, (y, values, parents))
    for counter in settings.counters:
        counter.recorded(node)
    if settings.tracker is not None:
        settings.tracker.made(node)
    return node


def noted(node: Any) -> None:
    """Note scope and line on a node made inside a block that asks for it."""
    settings = context.settings()
    if settings.tracker is not None:
        settings.tracker.made(node)
    if settings.scope or settings.lines:
        node._provenance = current_provenance(node.label)._replace(latex=node.provenance.latex)


def _compared(compare: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    tracer = None if context.plain else context.settings().tracer
    if tracer is not None and (isinstance(b, Carrier) or is_number(b)):
        return compare(tracer(a), b)
    x: Any = a.data
    y: Any = getattr(b, "data", b) if isinstance(b, Recorded) else b
    if y.__class__ is not x.__class__:
        if not is_number(y):
            return NotImplemented
        x, y = together((x, y))
    return bool(compare(x, y))
