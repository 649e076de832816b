"""`Value`: a number that remembers how it was computed, and the sweep that differentiates it.

The hot path of the library, kept plain: slots, at most two parents beside the n-ary case, no
cleverness. `_record` is the one general way to make a node; the operators + − × ÷ ** spell it out
for speed (benchmarks/eager.py measures what that brings), and a test holds them to the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial as bind
from typing import Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.backward import backward
from tinygrad_scalar.core.documentation import docstring
from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.pickling import copied, deep_copied, flattened
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.provenance import current as current_provenance
from tinygrad_scalar.core.recorded import PAIRS, Recorded
from tinygrad_scalar.core.undefined import Policy
from tinygrad_scalar.numbers.precision import Number, is_number, number, together, uncommon

_ADD, _SUB, _MUL = primitives.add, primitives.sub, primitives.mul
_DIV, _POW, _NEG = primitives.div, primitives.pow, primitives.neg
_RELU = primitives.relu
_EXACT = 2**53  # an int below is a float exactly
COMPILED = not __file__.endswith(".py")  # whether this runs as machine code, see hatch_build.py


def _method(row: Primitive) -> Callable[[Any], Any]:
    """A function of one operand as a method, which knows what carries it."""

    def method(self: Value, *more: Any) -> Any:
        return row(self, *more) if more else _unary(row, self)  # the row refuses more

    method.__name__, method.__qualname__ = row.name, f"Value.{row.name}"
    method.__doc__ = docstring(row, method=True)
    return method


class Value(Recorded):
    """A real number in an expression, with the gradient of the last output that was differentiated.

    `data` is an int, float, bool, NumPy number, `Fraction` or mpmath `mpf`; what is carried stands
    in `numbers/precision.py`. Every operation makes a new node that knows its operands.
    Comparisons look at the data, hashing at the identity: `v in list` and `list.index(v)` find any
    node of equal data; a set, a dict or `any(v is x for x in list)` find this one.
    Cost O(1) per operation, about 140 bytes.

    Errors: TypeError for anything but a real number.
    Source: *Deep Learning*, section 6.5.1 (computational graphs).

    >>> apples, number, tax = Value(100.0), Value(2.0), Value(1.1)
    >>> price = apples * number * tax
    >>> table = price.backward()
    >>> round(price.data, 12), round(table[apples], 12), tax.grad
    (220.0, 2.2, 200.0)
    """

    __slots__ = ()
    level = 1

    def __init__(self, data: Any, *, label: str = "", latex: str = "") -> None:
        self.data = data if type(data) is float else number(data)
        self.grad = 0.0
        self.primitive = None
        self._a = self._b = self._x = None
        self._y = context.runs
        self._sweep = None
        if label:
            self.label = label
        if latex:
            self._provenance = self.provenance.typeset(latex)
        if not context.plain:
            _note(self)

    def detach(self) -> Any:
        """A leaf with the same data: what is computed from it sends no gradient here.

        While a function is being compiled, what is traced instead, so that no number is frozen.
        """
        tracer = None if context.plain else context.settings().tracer
        return Value(self.data) if tracer is None else tracer(self).detach()

    # ── the operators that carry almost every program, spelled out ────────────────────────────
    def __add__(self, other: Any) -> Any:
        x = self.data
        if context.plain and type(x) is float:
            if type(other) is Value:
                y = other.data
                b = other
            else:
                y = other
                b = None
            if type(y) is float:
                node = _blank()
                node.data = x + y
                node.grad = 0.0
                node.primitive = _ADD
                node._a = self
                node._b = b
                node._x = x
                node._y = y
                node._sweep = None
                return node
            return _with_int(_ADD, self, other)
        return _general(_ADD, self, other)

    def __sub__(self, other: Any) -> Any:
        x = self.data
        if context.plain and type(x) is float:
            if type(other) is Value:
                y = other.data
                b = other
            else:
                y = other
                b = None
            if type(y) is float:
                node = _blank()
                node.data = x - y
                node.grad = 0.0
                node.primitive = _SUB
                node._a = self
                node._b = b
                node._x = x
                node._y = y
                node._sweep = None
                return node
            return _with_int(_SUB, self, other)
        return _general(_SUB, self, other)

    def __mul__(self, other: Any) -> Any:
        x = self.data
        if context.plain and type(x) is float:
            if type(other) is Value:
                y = other.data
                b = other
            else:
                y = other
                b = None
            if type(y) is float:
                node = _blank()
                node.data = x * y
                node.grad = 0.0
                node.primitive = _MUL
                node._a = self
                node._b = b
                node._x = x
                node._y = y
                node._sweep = None
                return node
            return _with_int(_MUL, self, other)
        return _general(_MUL, self, other)

    def __truediv__(self, other: Any) -> Any:
        x = self.data
        if context.plain and type(x) is float:
            if type(other) is Value:
                y = other.data
                b = other
            else:
                y = other
                b = None
            if type(y) is float and y:
                node = _blank()
                node.data = x / y
                node.grad = 0.0
                node.primitive = _DIV
                node._a = self
                node._b = b
                node._x = x
                node._y = y
                node._sweep = None
                return node
        return _general(_DIV, self, other)

    def __pow__(self, exponent: Any, modulo: Any = None) -> Any:
        if modulo is not None:
            return super().__pow__(exponent, modulo)
        x = self.data
        plain = context.plain and type(x) is float
        if plain and (type(exponent) is float or type(exponent) is int):
            try:
                exponent = float(exponent)
                data = x**exponent
            except ArithmeticError:
                pass  # told the general way
            else:
                if type(data) is float:  # else complex
                    return _node(_POW, data, self, None, x, exponent)
        return _general(_POW, self, exponent)

    def __neg__(self) -> Value:
        x = self.data
        if context.plain and type(x) is float:
            node = _blank()
            node.data = node._y = -x
            node.grad = 0.0
            node.primitive = _NEG
            node._a = self
            node._b = None
            node._x = x
            node._sweep = None
            return node
        return _record(_NEG, (self,))  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> Any:
        if context.plain and type(other) is float and type(self.data) is float:
            return _node(_ADD, other + self.data, None, self, other, self.data)
        return _with_int(_ADD, other, self)

    def __rmul__(self, other: Any) -> Any:
        if context.plain and type(other) is float and type(self.data) is float:
            return _node(_MUL, other * self.data, None, self, other, self.data)
        return _with_int(_MUL, other, self)

    def relu(self) -> Value:
        """The larger of this and 0."""
        x = self.data
        if context.plain and type(x) is float and x == x:  # noqa: PLR0124 (NaN goes below)
            node = _blank()
            node.data = node._y = x if x > 0.0 else 0.0  # noqa: FURB136 (max is slower)
            node.grad = 0.0
            node.primitive = _RELU
            node._a = self
            node._b = None
            node._x = x
            node._sweep = None
            return node
        return _unary(_RELU, self)

    exp, sqrt, sigmoid = map(_method, (primitives.exp, primitives.sqrt, primitives.sigmoid))
    sin, cos, tanh = map(_method, (primitives.sin, primitives.cos, primitives.tanh))

    def log(self, base: Any = None) -> Any:
        """log x, or log x / log base."""
        return _unary(primitives.log, self) if base is None else super().log(base)

    # ── copies keep the graph ─────────────────────────────────────────────────────────────────
    def __copy__(self) -> Value:
        return copied(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        return deep_copied(self, memo)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return flattened(self)

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The primitive on Values and plain numbers: a new node, or several."""
        if primitive.arity == 1 and primitive.__class__ is Primitive:
            return _unary(primitive, operands[0])
        return _record(primitive, operands)

    def backward(
        self,
        seed: Any = 1.0,
        *,
        inputs: Value | Iterable[Value] | None = None,
        create_graph: bool = False,
        undefined: Policy = "subgradient",
    ) -> GradTable:
        """Back-propagation: the gradient of this value with respect to every node below it.

        Algorithm 6.2 by topological order, without recursion: one multiplication and one addition
        per edge, O(edges) time, O(nodes) memory. Leaves get it added to their `.grad`, inner nodes
        keep this call's. With `inputs`, leaves or inner nodes, only what lies between is worked
        on, and only their `.grad` changes (added to).

        - `seed`: the gradient of this value itself.
        - `create_graph`: the table holds Values, computed by the same rows and differentiable.
        - `undefined`: what to do at kinks and undefined products, see `core/undefined.py`.

        Errors: TypeError for a seed or inputs of another type, ValueError for another `undefined`,
        UndefinedGradientError under `undefined="raise"`; nothing is written then.
        Threads: one at a time goes back over floats, so that a partial of your own must not wait
        for the backward of another thread.
        Source: *Deep Learning*, Algorithm 6.2.

        >>> x = Value(3.0, label="x")
        >>> (x * x + x).backward()[x]
        7.0
        """
        return backward(self, seed, inputs, create_graph, undefined, Value)


# ── making nodes ──────────────────────────────────────────────────────────────────────────────
def _blank() -> Value:
    """A node with nothing in it yet."""
    return Value.__new__(Value)


# Interpreted, a call with no argument is quickest; compiled, `_blank` is a C function.
globals().update(_blank=bind(Value.__new__, Value))
_USUAL = {Value, float}


def _node(
    primitive: Primitive, data: Number, a: Value | None, b: Value | None, x: Any, y: Any
) -> Value:
    """A node of two or more operands; for the meaning of the slots see `Recorded`."""
    node = _blank()
    node.data = data
    node.grad = 0.0
    node.primitive = primitive
    node._a = a
    node._b = b
    node._x = x
    node._y = y
    node._sweep = None
    return node


def _unary(primitive: Primitive, operand: Value) -> Value:
    """A node of one operand."""
    x = operand.data
    if not context.plain or type(x) is not float:
        return _record(primitive, (operand,))  # type: ignore[no-any-return]
    try:
        y = primitive.forward(x)
    except TypeError:
        return _record(primitive, (operand,))  # type: ignore[no-any-return]  # told there
    except (ArithmeticError, ValueError) as error:
        raise primitive.explained(error, (x,)) from None
    if type(y) is not float:  # an own row that gives an int, a numpy.float64, no number
        return _record(primitive, (operand,))  # type: ignore[no-any-return]
    node = _blank()
    node.data = node._y = y
    node.grad = 0.0
    node.primitive = primitive
    node._a = operand
    node._b = None
    node._x = x
    node._sweep = None
    return node


def many(primitive: Primitive, operands: Sequence[Any]) -> Any:
    """A row of any number of Values and floats at speed, of anything else as ever."""
    kinds = set(map(type, operands))
    if not context.plain or Value not in kinds or not kinds <= _USUAL:
        return primitive(*operands)
    values = [x.data if type(x) is Value else x for x in operands]
    if set(map(type, values)) != {float}:
        return primitive(*operands)
    try:
        y = primitive.forward(*values)
    except (ArithmeticError, ValueError) as error:
        raise primitive.explained(error, values) from None
    parents = tuple([x if type(x) is Value else None for x in operands])
    return _node(primitive, y, None, None, (y, *values), parents)


def _with_int(primitive: Primitive, a: Any, b: Any) -> Any:
    """+ − × of a float Value and a small int at speed (`2 * x`, and `sum` starts at 0)."""
    if context.plain:
        if type(b) is int and -_EXACT < b < _EXACT and type(a.data) is float:
            y = float(b)
            return _node(primitive, primitive.forward(a.data, y), a, None, a.data, y)
        if type(a) is int and -_EXACT < a < _EXACT and type(b.data) is float:
            x = float(a)
            return _node(primitive, primitive.forward(x, b.data), None, b, x, b.data)
    return _general(primitive, a, b)


def _general(primitive: Primitive, a: Any, b: Any) -> Any:
    """An operator the general way; NotImplemented for strangers and carriers of a higher level."""
    for x in (a, b):  # a traced number passes for a Value where only isinstance is asked
        if not issubclass(type(x), Value) and not is_number(x):
            return NotImplemented
    return _record(primitive, (a, b))


def _record(primitive: Primitive, operands: Sequence[Any]) -> Any:
    """The general way to make a node: evaluate, then note operands and what they were.

    While a function is being compiled, what it computes from closed-over Values is traced instead.
    """
    tracer = context.settings().tracer
    if tracer is not None:
        return next(tracer(x) for x in operands if isinstance(x, Value)).apply(primitive, operands)
    parents = tuple(x if isinstance(x, Value) else None for x in operands)
    beside = uncommon(parent.data for parent in parents if parent is not None)
    values = together(
        primitive.checked(x, beside) if parent is None else parent.data
        for x, parent in zip(operands, parents, strict=True)
    )
    y = primitive.evaluate(values)
    tracker = context.settings().tracker
    if tracker is not None:
        tracker.used(operands)
    if isinstance(primitive, Joint):
        return tuple(
            node_of(row, data, parents, values, y)
            for row, data in zip(primitive.outputs, y, strict=True)
        )
    return node_of(primitive, y, parents, values, y)


def node_of(
    primitive: Primitive, data: Number, parents: tuple[Any, ...], values: tuple[Any, ...], y: Any
) -> Any:
    """A node of any row: its data, its parents by position, the numbers seen and the result."""
    node = Value(data)
    settings = context.settings()
    if not settings.recording:
        return node
    node.primitive = primitive
    if primitive.arity == 1:
        node._a, node._x, node._y = parents[0], values[0], y
    elif primitive in PAIRS:
        (node._a, node._b), (node._x, node._y) = parents, values
    else:
        node._x, node._y = (y, *values), parents
    for counter in settings.counters:
        counter.recorded(node)
    if settings.tracker is not None:
        settings.tracker.made(node)
    return node


def _note(node: Value) -> None:
    """Note scope and line on a node made inside a block that asks for it."""
    settings = context.settings()
    if settings.tracker is not None:
        settings.tracker.made(node)
    if settings.scope or settings.lines:
        node._provenance = current_provenance(node.label)._replace(latex=node.provenance.latex)
