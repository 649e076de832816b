"""The two passes of the sweep over floats, and what reads and writes the gradients under way.

`parents_first` finds an order, `fire` lets each node send its gradient on, consumers first. No
container per node: what is under way stands in the nodes, under the stamp of the sweep.
The compiled node compiles these as they stand, with C doubles: see passes.pxd.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.undefined import by_rule
from tinygrad_scalar.numbers.precision import evaluate, is_number, like

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_COMPILED = not __file__.endswith(".py")
_ADD, _SUB, _MUL = primitives.add, primitives.sub, primitives.mul
_DIV, _NEG, _POW = primitives.div, primitives.neg, primitives.pow
# The partials and pulls of the library's rows with `math.cos` where the row says `cos`: a row asks
# at every call what is carried, and here that is known.
_FORWARD: dict[str, Any] = {}


def _on_floats(thing: Any) -> Any:
    if isinstance(thing, Primitive):
        return thing.forward
    ours = isinstance(thing, FunctionType) and thing.__globals__ is vars(primitives)
    return FunctionType(thing.__code__, _FORWARD) if ours else thing


_FORWARD["Fraction"] = operator.truediv
_FORWARD.update(
    (name, _on_floats(thing)) for name, thing in vars(primitives).items() if name not in _FORWARD
)
_ON_FLOATS = {
    rule: _on_floats(rule)
    for row in primitives.TABLE.values()
    for rule in (*row.partials, *row.pulls)
    if callable(rule)
}


class NoFloat(Exception):  # noqa: N818 (no error: a way of telling)
    """What flows is more than a number, and the node is compiled, with room for one only."""


def parents_first(output: Value, stamp: int, inner: list[Value], leaves: list[Value]) -> None:
    """Gather the nodes below `output`, those that were computed after all of their parents.

    Depth first. Along a path that does not branch each node is looked at once, and the path is
    taken over as it stands. Each gets this sweep's stamp, so that whatever another one left in it
    means nothing, and a gradient of 0 to start from.
    """
    output._sweep = stamp
    output._sent = 0.0
    if output.primitive is None:
        leaves.append(output)
        return
    found = leaves.append
    done = inner.append
    path: list[Value] = []  # the nodes from the output down to `node`
    push = path.append
    branches: list[int] = []  # the places there of those with another parent to see
    rest: dict[int, Iterator[Value | None]] = {}  # of nodes of many operands
    node = output
    while True:
        a = node._a
        b = node._b
        if a is not None and a._sweep != stamp:
            a._sweep = stamp
            a._sent = 0.0
            if a.primitive is None:
                found(a)
            else:
                if b is not None and b._sweep != stamp:
                    branches.append(len(path))
                push(node)
                node = a
                continue
        if b is not None:
            if b._sweep != stamp:
                b._sweep = stamp
                b._sent = 0.0
                if b.primitive is None:
                    found(b)
                else:
                    push(node)
                    node = b
                    continue
        elif a is None:
            parent = _next_inner(rest.setdefault(id(node), iter(node._rest[2])), stamp, leaves)
            if parent is not None:
                branches.append(len(path))
                push(node)
                node = parent
                continue
        done(node)
        if not branches:
            path.reverse()
            inner += path
            return
        place = branches.pop()
        while len(path) - 1 > place:
            done(path.pop())
        node = path.pop()


def _next_inner(parents: Iterator[Value | None], stamp: int, leaves: list[Value]) -> Value | None:
    """The next of many parents that was computed and is new to this sweep."""
    for parent in parents:
        if parent is not None and parent._sweep != stamp:
            parent._sweep = stamp
            parent._sent = 0.0
            if parent.primitive is not None:
                return parent
            leaves.append(parent)
    return None


def fire(output: Value, seed: float, order: list[Value], stamp: int) -> list[float]:
    """Send every gradient on to the parents, consumers first; what each node had to send.

    The operators, nearly all that programs consist of, are spelled out; a test holds them to
    their rows.
    """
    mul, add, sub, div, neg, power = _MUL, _ADD, _SUB, _DIV, _NEG, _POW
    on_floats = _ON_FLOATS if context.plain else {}  # else what they evaluate may be counted
    gradients: list[float] = []
    sent = gradients.append
    output._sent = seed
    for node in order:
        gradient = node._sent
        sent(gradient)
        row: Any = node.primitive
        a = node._a
        b = node._b
        if a is None and b is None:
            _send_by_rules(node, gradient, stamp)
            continue
        try:
            if row is mul:
                to_a = gradient * node._y
                if b is not None:
                    to_b = gradient * node._x
            elif row is add:
                to_a = to_b = gradient
            elif row is sub:
                to_a = gradient
                to_b = -gradient
            elif row is div:
                y = node._y
                to_a = gradient / y
                if b is not None:
                    to_b = -(gradient * (node._x / y) / y)
            elif row is neg:
                to_a = -gradient
            elif row.arity != 1:
                y = node._y
                if row is not power or b is not None or (y < 0.5 and y % 1.0 != 0.0):
                    _send_by_rules(node, gradient, stamp)
                    continue
                to_a = node._x ** (y - 1.0)  # in which y − 1 is exact
                if to_a - to_a != 0.0:  # in C no error tells that it overflows
                    _send_by_rules(node, gradient, stamp)
                    continue
                to_a = gradient * (y * to_a)
            elif row.pulls[0] is not None:
                rule = row.pulls[0]
                to_a = on_floats.get(rule, rule)(gradient, node._result, node._x)
            else:
                rule = row.partials[0]
                to_a = gradient * on_floats.get(rule, rule)(node._result, node._x)
        except (ArithmeticError, ValueError, TypeError):  # a pole, a kink, a constant
            _send_by_rules(node, gradient, stamp)
            continue
        if a is not None:
            a._sent += to_a
        if b is not None:
            b._sent += to_b
    return gradients


def _send_by_rules(node: Value, gradient: float, stamp: int) -> None:
    """What goes to the parents by the rules of the row, each only if it is asked for."""
    y, x, parents = node._operation()
    row: Any = node.primitive
    if row.arity is None:
        terms = _all_terms(row, gradient, y, x)
    else:
        terms = [
            0.0 if parent is None or parent._sweep != stamp else _term(row, i, gradient, y, x)
            for i, parent in enumerate(parents)
        ]
    for parent, term in zip(parents, terms, strict=True):
        if parent is not None and parent._sweep == stamp:  # on a way to what was asked
            try:
                parent._sent += term
            except TypeError:
                raise NoFloat from None


def _term(row: Any, i: int, gradient: float, y: Any, x: Sequence[float]) -> float:
    """What goes to one parent by the row's pull, or by its partial at a pole or a kink."""
    rule = row.pulls[i]
    if rule is not None:
        try:
            quick = _ON_FLOATS.get(rule, rule) if context.plain else rule
            return quick(gradient, y, *x)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            pass
    rule = row.partials[i]
    if context.plain and rule in _ON_FLOATS:
        try:
            return gradient * _ON_FLOATS[rule](y, *x)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            pass
    return gradient * like(by_rule(row, rule, i, y, x), gradient)  # type: ignore[no-any-return]


def _all_terms(row: Any, gradient: float, y: float, x: Sequence[float]) -> Sequence[float]:
    """What goes back to all operands of a row of any number of them; it comes at once."""
    rule = row.pulls[0] or row.partials[0]
    quick = _ON_FLOATS.get(rule, rule) if context.plain else rule
    if row.pulls[0] is not None:
        return quick(gradient, y, *x)  # type: ignore[no-any-return]
    return [gradient * slope for slope in quick(y, *x)]


def received(nodes: Iterable[Value], stamp: int) -> list[float]:
    """The gradients that have come to nodes which send none on; 0 to those not reached."""
    gradients = []
    for node in nodes:
        gradients.append(node._sent if node._sweep == stamp else 0.0)  # noqa: PERF401 (typed here)
    return gradients


def strange(leaves: Iterable[Value], started: int) -> bool:
    """Whether a leaf was made before run `started` began, or by a checkpointed function."""
    for leaf in leaves:  # noqa: SIM110 (compiled, `leaf` is typed here alone)
        if leaf._made < started or leaf._tracker is not None:
            return True
    return False


def added(node: Value, gradient: Any) -> Any:
    """What stands in `.grad` with `gradient` added to it; TypeError if that is no number."""
    before = node.grad
    if not is_number(before):
        raise TypeError(
            f"backward: the grad of {node!r} is {type(before).__name__}, not a number to add to: "
            "set it to 0.0, as zero_grad() does"
        )
    return evaluate(operator.add, (before, gradient), "") if before else gradient


def let_out(leaves: Iterable[Value]) -> Value | None:
    """The first that a checkpointed function made and let out other than by returning it."""
    for leaf in leaves:
        if leaf._tracker is not None:
            return leaf
    return None


def write(nodes: Iterable[Value], numbers: Iterable[Any]) -> None:
    """Set `.grad` of all of the nodes, or of none.

    Nothing that happens in C alone is interrupted: Ctrl-C comes before it or after it.
    """
    node: Any
    if _COMPILED:
        for node, number in zip(nodes, numbers, strict=False):
            node._take(number)
    else:
        deque(map(setattr, nodes, repeat("grad"), numbers), maxlen=0)


def settle(
    inner: Sequence[Value],
    gradients: Sequence[float],
    leaves: Sequence[Value],
    below: Sequence[float],
) -> None:
    """Write the gradients of inner nodes, and add those of leaves, all of it or none."""
    node: Any
    if _COMPILED:
        others = {}
        for i, node in enumerate(leaves):
            if node._other_grad is not None:
                others[i] = added(node, below[i])
        for node, number in zip(inner, gradients, strict=True):
            node._take(number)
        for i, node in enumerate(leaves):
            if i in others:
                node._take(others[i])
            else:
                node._add(below[i])
    else:
        totals = [
            before + x if type(before := node.grad) is float is type(x) else added(node, x)
            for node, x in zip(leaves, below, strict=True)
        ]
        write(chain(inner, leaves), chain(gradients, totals))
