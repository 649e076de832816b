"""Algorithm 6.2 on floats, at full speed: gradients under way stand in the nodes.

Two passes over the graph and no container per node: `_parents_first` finds an order, `_fire` lets
each node send its gradient on, consumers first. A sweep that was interrupted leaves only stamps
behind that no other one knows, and gradients under way that no one reads. What is *meant* is
`reverse.propagate`, and a test holds the two together.
"""

from __future__ import annotations

import operator
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.undefined import by_rule
from tinygrad_scalar.numbers.precision import evaluate, is_number

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_ADD, _SUB, _MUL = primitives.add, primitives.sub, primitives.mul
_DIV, _NEG, _POW = primitives.div, primitives.neg, primitives.pow
_RELU, _DOT, _SUM, _MEAN = primitives.relu, primitives.dot, primitives.sum, primitives.mean
# The partials and pulls of the library's rows with `math.cos` where the row says `cos`: a row asks
# at every call what is carried, and here that is known.
_FORWARD: dict[str, Any] = {}


def _on_floats(thing: Any) -> Any:
    if isinstance(thing, Primitive):
        return thing.forward
    ours = isinstance(thing, FunctionType) and thing.__globals__ is vars(primitives)
    return FunctionType(thing.__code__, _FORWARD) if ours else thing


_FORWARD.update((name, _on_floats(thing)) for name, thing in vars(primitives).items())
_ON_FLOATS = {
    rule: _on_floats(rule)
    for row in primitives.TABLE.values()
    for rule in (*row.partials, *row.pulls)
    if callable(rule)
}
# One sweep at a time: what is under way stands in nodes that threads may share.
# So a partial of one's own must not wait for the backward of another thread.
running = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child has no other thread, which would never be done
    os.register_at_fork(
        before=running.acquire, after_in_parent=running.release, after_in_child=running.release
    )


def sweep(
    output: Value, seed: float, inputs: Sequence[Value] | None, *, keep: bool = True
) -> tuple[list[Value], list[float]] | None:
    """The nodes, consumers first, and their gradients.

    Writes `.grad` as `Value.backward` says, all of it at the end, or none with `keep=False`. None,
    and nothing written, if a gradient is NaN or infinite: whether something undefined arose, or one
    was only too large for a float, is for `reverse.propagate` to judge.
    """
    stamp = object()
    inner: list[Value] = []
    leaves: list[Value] = []
    _parents_first(output, stamp, inner, leaves)
    check_leaves(leaves)
    wanted = leaves
    if inputs is not None:
        wanted, inner, leaves, stamp = _restrict(inner, leaves, inputs, stamp)
        if not wanted:
            return [], []
    inner.reverse()
    gradients = _fire(output, seed, inner, stamp)
    order = inner
    order += leaves
    below = [node._sent for node in leaves]
    received = below if inputs is None else [node._sent for node in wanted]
    total = sum(received)
    if total - total != 0.0 and any(x - x != 0.0 for x in received):
        return None
    if keep:
        totals = [
            before + x if type(before := node.grad) is float is type(x) else added(node, x)
            for node, x in zip(wanted, received, strict=True)
        ]
        if inputs is None:
            write(order, chain(gradients, totals))
        else:
            write(wanted, totals)
    gradients += below
    return order, gradients


def write(nodes: Sequence[Value], numbers: Iterable[Any]) -> None:
    """Set `.grad` of all of the nodes, or of none.

    One call of C that runs no Python code, so that Ctrl-C comes before it or after it.
    """  # setattr is quicker here than the `__set__` of the slot
    deque(map(setattr, nodes, repeat("grad"), numbers), maxlen=0)


def added(node: Value, gradient: Any) -> Any:
    """What stands in `.grad` with `gradient` added to it; TypeError if that is no number."""
    before = node.grad
    if not is_number(before):
        raise TypeError(
            f"backward: the grad of {node!r} is {type(before).__name__}, not a number to add to: "
            "set it to 0.0, as zero_grad() does"
        )
    return evaluate(operator.add, (before, gradient), "") if before else gradient


def check_leaves(nodes: Iterable[Value]) -> None:
    """RuntimeError for a Value that a checkpointed function let out other than by returning it."""
    if context.settings().tracker is not None:
        return  # inside such a function they are at home
    for node in nodes:
        if node.primitive is None and node._x is not None:
            raise RuntimeError(
                f"checkpoint: {node!r} was made inside a checkpointed function and used outside, "
                "where its history is not known: return it from that function"
            )


def leaves_below(outputs: Sequence[Value]) -> list[Value]:
    """The leaves that the outputs depend on, each once. O(edges)."""
    stamp = object()
    leaves: list[Value] = []
    for output in outputs:
        if output._sweep is not stamp:
            _parents_first(output, stamp, [], leaves)
    return leaves


def _parents_first(output: Value, stamp: object, inner: list[Value], leaves: list[Value]) -> None:
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
        if a is not None and a._sweep is not stamp:
            a._sweep = stamp
            a._sent = 0.0
            if a.primitive is None:
                found(a)
            else:
                if b is not None and b._sweep is not stamp:
                    branches.append(len(path))
                push(node)
                node = a
                continue
        if b is not None:
            if b._sweep is not stamp:
                b._sweep = stamp
                b._sent = 0.0
                if b.primitive is None:
                    found(b)
                else:
                    push(node)
                    node = b
                    continue
        elif a is None:
            parent = _next_inner(rest.setdefault(id(node), iter(node._y)), stamp, leaves)
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


def _next_inner(
    parents: Iterator[Value | None], stamp: object, leaves: list[Value]
) -> Value | None:
    """The next of many parents that was computed and is new to this sweep."""
    for parent in parents:
        if parent is not None and parent._sweep is not stamp:
            parent._sweep = stamp
            parent._sent = 0.0
            if parent.primitive is not None:
                return parent
            leaves.append(parent)
    return None


def _restrict(
    inner: list[Value], leaves: list[Value], inputs: Sequence[Value], stamp: object
) -> tuple[list[Value], list[Value], list[Value], object]:
    """Those of `inputs` that were reached, and the nodes on a way to one, with a stamp of theirs.

    `inner` lists parents first, so that one pass finds what depends on an input.
    """
    wanted = [node for node in inputs if node._sweep is stamp]
    if set(map(id, leaves)) <= set(map(id, wanted)):
        return wanted, inner, leaves, stamp  # every leaf is asked: every node is on a way
    way = object()
    for node in wanted:
        node._sweep = way
    active = []
    for node in inner:
        if node._sweep is not way:
            if not any(parent._sweep is way for parent in node.parents):
                continue
            node._sweep = way
        active.append(node)
    return wanted, active, [leaf for leaf in leaves if leaf._sweep is way], way


def _fire(output: Value, seed: float, order: list[Value], stamp: object) -> list[float]:
    """Send every gradient on to the parents, consumers first; what each node had to send."""
    mul, add, sub, div, neg, relu, power = _MUL, _ADD, _SUB, _DIV, _NEG, _RELU, _POW
    on_floats = _ON_FLOATS if context.plain else {}  # else what they evaluate may be counted
    output._sent = seed
    for node in order:
        gradient = node._sent
        row: Any = node.primitive
        a = node._a
        b = node._b
        if a is None and b is None:
            _fire_many(node, gradient, stamp)
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
            elif row is relu:
                x = node._x  # 0 · gradient is no shortcut: ∞ makes it NaN, to be judged
                to_a = gradient if x > 0.0 else gradient * (x if x != x else 0.0)  # noqa: PLR0124
            elif row is power:
                y = node._y
                if b is None and (y >= 0.5 or y % 1.0 == 0.0):  # then y - 1 is exact
                    to_a = gradient * (y * node._x ** (y - 1.0))
                else:
                    to_a, to_b = _by_rules(node, gradient, stamp)
            else:
                rule = row.pulls[0]
                if rule is not None:
                    to_a = on_floats.get(rule, rule)(gradient, node._y, node._x)
                else:
                    rule = row.partials[0]
                    to_a = gradient * on_floats.get(rule, rule)(node._y, node._x)
        except (ArithmeticError, ValueError, TypeError):  # a pole, a kink, a constant
            to_a, to_b = _by_rules(node, gradient, stamp)
        if a is not None:
            a._sent += to_a
        if b is not None:
            b._sent += to_b
    return [node._sent for node in order]


def _by_rules(node: Value, gradient: float, stamp: object) -> tuple[float, float]:
    """What goes to one or two parents by the rules of the row, each only if it is asked for."""
    return tuple(  # type: ignore[return-value]
        0.0 if parent is None or parent._sweep is not stamp else _by_rule(node, i, gradient)
        for i, parent in enumerate((node._a, node._b))
    )


def _by_rule(node: Value, i: int, gradient: float) -> float:
    """What goes to one parent by the row's pull, or by its partial at a pole or a kink."""
    rule = node.primitive.pulls[i]  # type: ignore[union-attr]
    if rule is not None:
        try:
            y, x = node._seen()
            return _ON_FLOATS.get(rule, rule)(gradient, y, *x)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            pass
    slope: float = node._partial(i)
    return gradient * slope


def _fire_many(node: Value, gradient: float, stamp: object) -> None:
    """The gradients of a node of many operands."""
    row: Any = node.primitive
    y, *x = node._x
    if row.arity is None:
        terms = _pulled(row, gradient, y, x)
    else:
        terms = [gradient * slope for slope in _asked_slopes(node, y, x, stamp)]
    for parent, term in zip(node._y, terms, strict=True):
        if parent is not None and parent._sweep is stamp:  # on a way to what was asked
            parent._sent += term


def _pulled(row: Any, gradient: float, y: float, x: Sequence[float]) -> Sequence[float]:
    """What goes back to all operands of a row of any number of them; it comes at once."""
    count = len(x)
    if row is _DOT:
        return [gradient * slope for slope in (*x[count // 2 :], *x[: count // 2])]
    if row is _SUM or row is _MEAN:
        return [gradient * (1.0 if row is _SUM else 1.0 / count)] * count
    rule = row.pulls[0] or row.partials[0]
    quick = _ON_FLOATS.get(rule, rule) if context.plain else rule
    if row.pulls[0] is not None:
        return quick(gradient, y, *x)  # type: ignore[no-any-return]
    return [gradient * slope for slope in quick(y, *x)]


def _asked_slopes(node: Value, y: float, x: Sequence[float], stamp: object) -> list[float]:
    """The partials that are on a way to what was asked; 0.0 stands for the others."""
    row: Any = node.primitive
    return [
        0.0 if parent is None or parent._sweep is not stamp else by_rule(row, rule, i, y, x)
        for i, (parent, rule) in enumerate(zip(node._y, row.partials, strict=True))
    ]
