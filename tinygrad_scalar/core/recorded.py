"""What a node remembers: its operands, the numbers it saw, and the local derivatives at these."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from functools import partial as bind
from itertools import repeat
from typing import Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.application import Application
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.provenance import NOTHING, Provenance
from tinygrad_scalar.core.ufuncs import apply_ufunc
from tinygrad_scalar.core.undefined import is_nan, partial_at
from tinygrad_scalar.numbers.precision import Number, evaluate, is_number, like, together

PAIRS = frozenset((primitives.add, primitives.sub, primitives.mul, primitives.div, primitives.pow))


class Recorded(Arithmetic):
    """All of a `Value` but how it is made: its slots, and what is read out of them."""

    # A node holds what its local derivatives need, by the number of its operands:
    #   leaf                 primitive None, _x its Tracker or None, _y context.runs when made
    #   one                  _a its parent, _x the number seen there, _y the result
    #   two (+ − × ÷ **)     _a and _b the parents (None for a plain number), _x and _y the numbers
    #   any other            _x the result and then the numbers seen, _y the parents (or None)
    # _sweep is the stamp of the last sweep that came by and _sent its gradient under way (unset
    # before); _provenance is unset (or None) until it is noted.
    __slots__ = (
        "__weakref__",
        "_a",
        "_b",
        "_provenance",
        "_sent",
        "_sweep",
        "_x",
        "_y",
        "data",
        "grad",
        "primitive",
    )
    data: Number
    grad: Number
    primitive: Primitive | None
    _a: Any
    _b: Any
    _x: Any
    _y: Any
    _sweep: object
    _sent: Any
    _provenance: Provenance

    @property
    def provenance(self) -> Provenance:
        """Label, scope and line of user code; shared and empty unless something was noted."""
        return getattr(self, "_provenance", None) or NOTHING

    @property
    def label(self) -> str:
        """The name shown in tables and pictures; empty unless given."""
        return self.provenance.label

    @label.setter
    def label(self, label: str) -> None:
        self._provenance = self.provenance.relabelled(label)

    @property
    def parents(self) -> tuple[Any, ...]:
        """The Values this was computed from, in order and with repetition; () for a leaf."""
        a, b = self._a, self._b
        if a is not None:
            return (a,) if b is None else (a, b)
        if b is not None:
            return (b,)
        if self.primitive is None:
            return ()
        return tuple(parent for parent in self._y if parent is not None)

    @property
    def operands(self) -> tuple[Any, ...]:
        """Everything this was computed from, in order: Values, and plain numbers as numbers."""
        values, parents = self._seen()[1], self._slots()
        return tuple(
            value if parent is None else parent
            for value, parent in zip(values, parents, strict=True)
        )

    @property
    def local_derivatives(self) -> tuple[Callable[[], Number], ...]:
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

    def zero_grad(self) -> None:
        """Set the gradient of every node below this one, and its own, to 0.0. O(nodes)."""
        nodes = list(nodes_below(self))
        # one call of C, so that Ctrl-C comes before it or after it
        deque(map(vars(Recorded)["grad"].__set__, nodes, repeat(0.0)), maxlen=0)

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

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value({self.data!r}, grad={self.grad!r}{label})"

    def __format__(self, specification: str) -> str:
        return format(self.data, specification) if specification else repr(self)

    def example(self) -> Number:
        """The number carried."""
        return self.data

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, options)

    def _slots(self) -> tuple[Any, ...]:
        """The parents by position, None where a plain number stands."""
        if self.primitive is None:
            return ()
        if self.primitive.arity == 1:
            return (self._a,)
        return (self._a, self._b) if self.primitive in PAIRS else self._y

    def _seen(self) -> tuple[Any, tuple[Number, ...]]:
        """The result and the operands' numbers as the operation saw them."""
        row = self.primitive
        if row is None:
            return self.data, ()
        if row.arity == 1:
            return self._y, (self._x,)
        if row in PAIRS:
            values = self._x, self._y
            try:
                return evaluate(row.forward, values, row.mpmath), values
            except ArithmeticError:  # a quotient made under ieee
                return self.data, values
        return self._x[0], self._x[1:]

    def _partial(self, i: int) -> Number:
        """The number ∂(this)/∂(operand i), for the operands that the operation saw."""
        y, x = self._seen()
        return like(partial_at(self.primitive, i, y, x), self.data)  # type: ignore[arg-type]

    def _application(self, graph: bool) -> Application:
        """The use of the row that this is, over the operands' own nodes or over numbers."""
        row: Any = self.primitive
        if not graph:
            y, numbers = self._seen()
            return Application(row, y, numbers, self.operands, self.provenance)
        if any(map(callable, row.partials)):
            self._check_unchanged()
        whole = self if row.joint is None else self._siblings()
        return Application(row, whole, self.operands, self.operands, self.provenance)

    def _check_unchanged(self) -> None:
        """RuntimeError if an operand's `data` was overwritten since then."""
        for i, (parent, seen) in enumerate(zip(self._slots(), self._seen()[1], strict=True)):
            if parent is not None and not _same(like(parent.data, seen), seen):
                name = self.primitive.name if self.primitive else ""
                raise RuntimeError(
                    f"{name}: the data of {parent!r} (operand {i}) was {seen!r} when this was "
                    "computed; compute it again before backward(create_graph=True)"
                )

    def _siblings(self) -> tuple[Any, ...]:
        """All outputs of the operation with several outputs that this is one of."""
        row: Any = self.primitive
        outputs = list(row.joint(*self.operands))
        outputs[row.index] = self
        return tuple(outputs)


def _same(a: Any, b: Any) -> bool:
    """Equal, or NaN both."""
    return a is b or bool(a == b) or (is_nan(a) and is_nan(b))


def _compared(compare: Callable[[Any, Any], Any], a: Recorded, b: Any) -> Any:
    tracer = None if context.plain else context.settings().tracer
    if tracer is not None and (isinstance(b, Carrier) or is_number(b)):
        return compare(tracer(a), b)
    x, y = a.data, b.data if isinstance(b, Recorded) else b
    if y.__class__ is not x.__class__:
        if not is_number(y):
            return NotImplemented
        x, y = together((x, y))
    return bool(compare(x, y))
