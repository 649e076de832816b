"""`Value`: a number that remembers how it was computed. Storage, operators, making of nodes.

The hot path of the library. The operators are made from one text, `_OPERATORS`; all it knows beside
their rows is that two floats are the commonest operands, and a test holds it to the general way.
`value.pyx` beside it is the same for the compiled node, with C doubles in place of the slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial as bind
from typing import Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.backward import backward
from tinygrad_scalar.core.documentation import NodeSignature, docstring
from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.recorded import Operation, Recorded, noted, record, refuse
from tinygrad_scalar.core.undefined import Policy
from tinygrad_scalar.numbers.precision import Number, is_number, number

_NEG = primitives.neg
COMPILED = False  # whether this runs as machine code, see hatch_build.py


class Value(Recorded):
    """A real number in an expression, with the gradient of the last output that was differentiated.

    `data` is an int, float, bool, NumPy number, `Fraction` or mpmath `mpf`; what is carried stands
    in `numbers/precision.py`. `grad` is 0.0 until a `backward` comes by: a leaf adds up over calls,
    other nodes keep the last one's. Both may be written. Every operation makes a new node that
    knows its operands and, in `primitive`, its row; of a leaf that is None.
    Comparisons look at the data, hashing at the identity: `v in list` and `list.index(v)` find any
    node of equal data; a set, a dict or `any(v is x for x in list)` find this one.
    A program's own attributes may be set on it, and are copied and pickled with it.
    Cost O(1) per operation, about 200 bytes.

    Errors: TypeError for anything but a real number.
    Source: *Deep Learning*, section 6.5.1 (computational graphs).

    >>> apples, number, tax = Value(100.0), Value(2.0), Value(1.1)
    >>> price = apples * number * tax
    >>> table = price.backward()
    >>> round(price.data, 12), round(table[apples], 12), tax.grad
    (220.0, 2.2, 200.0)
    """

    # `_rest` is what every node keeps that is no operation on one or two floats; `_result`, `_a`,
    # `_b`, `_x`, `_y` are the same for those: the result, the parents (None for a plain number),
    # the numbers seen there. `_sweep` is the stamp of the last sweep that came by, `_sent` its
    # gradient under way. Of a leaf, `_made` tells when it was made, see `origin.py`, and `_tracker`
    # is the checkpointed function inside which it was made. `_provenance` is unset until something
    # is noted.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_a",
        "_b",
        "_made",
        "_provenance",
        "_rest",
        "_result",
        "_sent",
        "_sweep",
        "_tracker",
        "_x",
        "_y",
        "data",
        "grad",
        "primitive",
    )
    data: Number
    grad: Number
    primitive: Primitive | None
    _a: Value | None
    _b: Value | None
    _x: float
    _y: float
    _rest: Operation

    __signature__ = NodeSignature()

    def __init__(
        self, data: Any, _children: Any = None, _op: Any = None, *, label: str = "", latex: str = ""
    ) -> None:
        if _children is not None or _op is not None:
            refuse('Value: one number (a name is label="x"), no _children or _op', TypeError)
        self.data = data if type(data) is float else number(data)
        self.grad = 0.0
        self.primitive = None
        self._made = context.runs
        self._sweep = 0
        self._tracker = None
        if label:
            self.label = label
        if latex:
            self.latex = latex
        if not context.plain:
            noted(self)

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
        return backward(self, seed, inputs, create_graph, undefined)

    def _leaf(self, data: Any) -> Value:
        """A leaf of the kind that operations make."""
        return Value(data)

    def _computed(self, row: Primitive, data: Number, grad: Number, seen: Operation) -> Value:
        """This, which is blank, as a node that an operation made."""
        self.data, self.grad, self.primitive, self._sweep = data, grad, row, 0
        y, x, parents = seen
        self._a = self._b = None
        if row.arity not in (1, 2) or {type(data), type(y), *map(type, x)} != {float}:
            self._rest = seen
            return self
        self._result, self._x, self._a = y, x[0], parents[0]
        if row.arity == 2:
            self._y, self._b = x[1], parents[1]
        return self

    def _operation(self) -> Operation:
        """What the operation saw, whatever has become of its operands."""
        row = self.primitive
        if row is None:
            return self.data, (), ()
        if self._a is None is self._b:
            return self._rest
        if row.arity == 1:
            return self._result, (self._x,), (self._a,)
        return self._result, (self._x, self._y), (self._a, self._b)

    @property
    def parents(self) -> tuple[Any, ...]:
        """The Values this was computed from, in order and with repetition; () for a leaf."""
        if self.primitive is None:
            return ()
        a, b = self._a, self._b
        if a is not None:
            return (a,) if b is None else (a, b)
        if b is not None:
            return (b,)
        return tuple([parent for parent in self._rest[2] if parent is not None])

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The primitive on Values and plain numbers: a new node, or several."""
        if primitive.arity == 1 and primitive.__class__ is Primitive:
            return unary(primitive, operands[0])
        node = several(primitive, operands)
        return record(primitive, operands) if node is None else node

    def log(self, base: Any = None) -> Any:
        """log x, or log x / log base."""
        fast = base is None and type(self) is Value
        return unary(primitives.log, self) if fast else Arithmetic.log(self, base)

    def __neg__(self) -> Any:
        x = self.data
        if context.plain and type(x) is float:
            node = _blank()
            node.data = node._result = -x
            node.grad = 0.0
            node.primitive = _NEG
            node._a = self
            node._b = None
            node._x = x
            node._sweep = 0
            return node
        return unary(_NEG, self)


_blank = bind(Value.__new__, Value)  # a call with no argument is the quickest


# The operators, written once for all of them: a call of the row's float function in place of the
# operator itself would be an eighth of the time that the whole operation takes.
_OPERATORS = """
def {name}(self, other{modulo}):
    x = self.data
    try:
        if type(other) is Value:
            b = other
            y = other.data
        else:
            b = None
            y = float(other) if type(other) is int else other
        if context.plain and type(x) is float and type(y) is float:
            result = x {symbol} y
            if {taken}:
                node = blank()
                node.data = node._result = result
                node.grad = 0.0
                node.primitive = row
                node._a = self
                node._b = b
                node._x = x
                node._y = y
                node._sweep = 0
                return node
        elif type(x) is float and type(y) is float and context.settings().silent:
            result = x {symbol} y
            if {taken}:
                return unrecorded(result, (self, other))
    except ArithmeticError:
        pass  # told the general way
    return general(row, self, other{given})

def reflected(self, other{modulo}):
    y = self.data
    try:
        x = float(other) if type(other) is int else other
        if context.plain and type(x) is float and type(y) is float:
            result = x {symbol} y
            if {taken}:
                return node_of_two(row, result, None, self, x, y)
        elif type(x) is float and type(y) is float and context.settings().silent:
            result = x {symbol} y
            if {taken}:
                return unrecorded(result, (self,))
    except ArithmeticError:
        pass
    return general(row, other, self{given})
"""


def _node(row: Primitive, y: float, a: Value | None, b: Value | None, x: float, z: float) -> Value:
    """A node of one or two floats, as `_OPERATORS` makes it."""
    node = _blank()
    node.data = node._result = y
    node.grad = 0.0
    node.primitive = row
    node._a = a
    node._b = b
    node._x = x
    node._y = z
    node._sweep = 0
    return node


def _unrecorded(y: float, operands: Sequence[Any]) -> Value:
    """The leaf that an operation gives where nothing is recorded; Value(y) asks for more."""
    node = _blank()
    node.data, node.grad, node.primitive = y, 0.0, None
    node._made, node._sweep, node._tracker = context.runs, 0, None
    tracker = context.settings().tracker
    if tracker is not None:
        tracker.used(operands)
        tracker.made(node)
    return node


def unary(row: Primitive, operand: Value) -> Any:
    """A node of one operand."""
    x = operand.data
    recorded = context.plain
    if type(x) is not float:
        x = _as_float(x)
    if type(x) is not float or not (recorded or context.settings().silent):
        return record(row, (operand,))
    try:
        y = row.forward(x)
    except TypeError:
        return record(row, (operand,))  # told there
    except (ArithmeticError, ValueError) as error:
        raise row.explained(error, (x,)) from None
    if type(y) is not float:  # an own row that gives an int, a numpy.float64, no number
        return record(row, (operand,))
    if not recorded:
        return _unrecorded(y, (operand,))
    node = _blank()
    node.data = node._result = y
    node.grad = 0.0
    node.primitive = row
    node._a = operand
    node._b = None
    node._x = x
    node._sweep = 0
    return node


def _as_float(x: Any) -> Any:
    """An int, a bool, a numpy.float64, also one written to `.data`, as a float; else as it is."""
    try:
        return float(x) if isinstance(x, (int, float)) else x
    except OverflowError:
        return x  # told the general way


def several(row: Primitive, operands: Sequence[Any]) -> Any:
    """A node of several Values and floats; None where one is neither, or no node is due."""
    values: Any = [x.data if type(x) is Value else x for x in operands]
    recorded = context.plain
    mine = row.__class__ is Primitive and Value in map(type, operands)
    if not mine or not (recorded or context.settings().silent):
        return None
    if set(map(type, values)) != {float}:
        values = [_as_float(x) for x in values]
        if set(map(type, values)) != {float}:
            return None
    try:
        y = row.forward(*values)
    except TypeError:
        return None  # told the general way
    except (ArithmeticError, ValueError) as error:
        raise row.explained(error, values) from None
    if type(y) is not float or not recorded:
        return _unrecorded(y, operands) if type(y) is float else None
    parents = tuple([x if type(x) is Value else None for x in operands])
    if row.arity == 2:
        return _node(row, y, parents[0], parents[1], values[0], values[1])
    return _blank()._computed(row, y, 0.0, (y, tuple(values), parents))


def _general(row: Primitive, a: Any, b: Any, modulo: Any = None) -> Any:
    """An operator the general way; NotImplemented for strangers and carriers of a higher level."""
    if modulo is not None:
        raise TypeError("pow of a Value takes no third argument: write pow(x, y) % z")
    if issubclass(type(b), Arithmetic) and not issubclass(type(b), Value):
        return NotImplemented  # at once: every weight times an input of a trace comes by
    node = several(row, (a, b))  # of a bool or a numpy.float64
    if node is not None:
        return node
    for x in (a, b):  # a traced number passes for a Value where only isinstance is asked
        if not issubclass(type(x), Value) and not is_number(x):
            return NotImplemented
    return record(row, (a, b))


def _method(row: Primitive) -> Callable[..., Any]:
    """A function of one operand as a method, which knows what carries it."""

    def method(self: Value, *more: Any) -> Any:
        # the row refuses more, and takes what another mode carries: map(Value.exp, numbers)
        return unary(row, self) if type(self) is Value and not more else row(self, *more)

    method.__name__, method.__qualname__ = row.name, f"Value.{row.name}"
    method.__doc__ = docstring(row, method=True)
    return method


_POWER = {  # may be complex, and `pow` passes it a third operand, to be refused
    "modulo": ", modulo=None",
    "given": ", modulo",
    "taken": "type(result) is float and modulo is None",
}
for _row, _name, _symbol, _more in (
    (primitives.add, "add", "+", {}),
    (primitives.sub, "sub", "-", {}),
    (primitives.mul, "mul", "*", {}),
    (primitives.div, "truediv", "/", {}),
    (primitives.pow, "pow", "**", _POWER),
):
    _made = {"Value": Value, "blank": _blank, "general": _general, "node_of_two": _node}
    _made |= {"context": context, "row": _row, "unrecorded": _unrecorded}
    _about = {"modulo": "", "given": "", "taken": "True", **_more}
    _text = _OPERATORS.format(name=f"__{_name}__", symbol=_symbol, **_about)
    exec(compile(_text, f"{__file__} (operators)", "exec"), _made)  # noqa: S102 (the text above)
    setattr(Value, f"__{_name}__", _made[f"__{_name}__"])
    setattr(Value, f"__r{_name}__", _made["reflected"])
for _row in primitives.TABLE.values():
    if _row.arity == 1 and getattr(Value, _row.name, None) is _row:
        setattr(Value, _row.name, _method(_row))
