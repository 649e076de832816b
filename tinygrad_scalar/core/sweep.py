"""Algorithm 6.2 on floats, at full speed: the gradients stand in the nodes while it runs.

Two passes over the graph and no container per node: `_count` notes in each node how many consumers
it has below the output, `_fire` lets each node send its gradient on once all of these have sent
theirs. What is *meant* is `reverse.propagate`, and a test holds the two together.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.undefined import by_rule, is_nan
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
# One sweep at a time: the counts and gradients under way stand in nodes that threads may share.
# So a partial of one's own must not wait for the backward of another thread.
running = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child has no other thread, which would never be done
    os.register_at_fork(
        before=running.acquire, after_in_parent=running.release, after_in_child=running.release
    )
Saved = list[tuple["Value", float]]


def sweep(
    output: Value, seed: float, inputs: Sequence[Value] | None
) -> tuple[list[Value], list[float]] | None:
    """The nodes in the order in which they became final, and their gradients.

    Writes `.grad` as `Value.backward` says. None, and nothing written to a leaf, if a gradient is
    NaN: whether something undefined arose is for `reverse.propagate` to judge.
    """
    reached, saved = _count(output, inputs is not None or context.own_rows)
    try:
        check_leaves([node for node, _ in saved])
        wanted = None if inputs is None else _restrict(output, reached, inputs)
        order = [] if wanted == [] else _fire(output, seed)
        gradients = [node.grad for node in order]
    except BaseException:
        for node in reached:
            node._pending, node.grad = 0, 0.0
        _restore(saved)
        raise
    if wanted is None:
        saved = [entry for entry in saved if entry[0].primitive is None]
        wanted = [node for node, _ in saved]
    else:
        for node in reached:
            node._pending = 0
    received = [node.grad for node in wanted]
    _restore(saved)
    if any(map(is_nan, received)):
        return None
    totals = list(map(added, wanted, received))  # all of them, before any is written
    for node, total in zip(wanted, totals, strict=True):
        node.grad = total
    return order, gradients


def added(node: Value, gradient: Any) -> Any:
    """What stands in `.grad` with `gradient` added to it; TypeError if that is no number."""
    before = node.grad
    if type(before) is float is gradient.__class__:
        return before + gradient
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
    leaves: dict[int, Value] = {}
    for output in outputs:
        reached, saved = _count(output, True)
        for node in reached:
            node._pending = 0
            if node.primitive is None:
                leaves[id(node)] = node
        _restore(saved)
    return list(leaves.values())


def _restore(saved: Saved) -> None:
    for node, gradient in saved:
        node.grad = gradient


def _count(output: Value, save_all: bool) -> tuple[list[Value], Saved]:
    """Note in each node below `output` its consumers there, and start its gradient at 0.

    Gives the nodes, and what stood in `.grad` of the leaves (or of all).
    """
    saved: Saved = []
    reached = [output]
    for node in reached:
        a = node._a
        b = node._b
        if a is not None:
            consumers = a._pending
            a._pending = consumers + 1
            if not consumers:
                reached.append(a)
        if b is not None:
            consumers = b._pending
            b._pending = consumers + 1
            if not consumers:
                reached.append(b)
        elif a is None:
            leaf = node.primitive is None
            if leaf and not save_all:
                saved.append((node, node.grad))
            for parent in () if leaf else node._y:
                if parent is not None:
                    consumers = parent._pending
                    parent._pending = consumers + 1
                    if not consumers:
                        reached.append(parent)
        if save_all:
            saved.append((node, node.grad))
        node.grad = 0.0
    return reached, saved


def _restrict(output: Value, reached: list[Value], inputs: Sequence[Value]) -> list[Value]:
    """Count only consumers on a way to one of `inputs`; all other nodes never become ready.

    Gives those of the inputs that `output` depends on.
    """
    asked = {id(node): node for node in inputs}
    if all(node.primitive is not None or id(node) in asked for node in reached):
        below = set(map(id, reached))  # every leaf is asked: every node is on a way
        return [node for key, node in asked.items() if key in below]
    order = [output]
    edges = []
    for node in order:
        parents = node.parents
        edges.append((node, parents))
        for parent in parents:
            parent._pending -= 1
            if not parent._pending:
                order.append(parent)
    active: set[int] = set()
    for node, parents in reversed(edges):
        if id(node) in asked or not active.isdisjoint(map(id, parents)):
            active.add(id(node))
    for node, parents in edges:
        if id(node) not in active:
            node._pending = -1
            continue
        for parent in parents:
            if id(parent) in active:
                parent._pending += 1
    return [node for key, node in asked.items() if key in active]


def _fire(output: Value, seed: float) -> list[Value]:
    """Send every gradient on to the parents, a node once all its consumers have sent theirs."""
    mul, add, sub, div, neg, relu, power = _MUL, _ADD, _SUB, _DIV, _NEG, _RELU, _POW
    on_floats = _ON_FLOATS if context.plain else {}  # else what they evaluate may be counted
    output.grad = seed
    order = [output]
    for node in order:
        gradient = node.grad
        row: Any = node.primitive
        a = node._a
        b = node._b
        if a is None and b is None:
            if row is not None:
                _fire_many(node, gradient, order)
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
                    to_a, to_b = _by_rules(node, gradient)
            else:
                rule = row.pulls[0]
                if rule is not None:
                    to_a = on_floats.get(rule, rule)(gradient, node._y, node._x)
                else:
                    rule = row.partials[0]
                    to_a = gradient * on_floats.get(rule, rule)(node._y, node._x)
        except (ArithmeticError, ValueError, TypeError):  # a pole, a kink, a constant
            to_a, to_b = _by_rules(node, gradient)
        if a is not None:
            a.grad += to_a
            a._pending = consumers = a._pending - 1
            if not consumers:
                order.append(a)
        if b is not None:
            b.grad += to_b
            b._pending = consumers = b._pending - 1
            if not consumers:
                order.append(b)
    return order


def _by_rules(node: Value, gradient: float) -> tuple[float, float]:
    """What goes to one or two parents by the rules of the row, each only if it is asked for."""
    return tuple(  # type: ignore[return-value]
        0.0 if parent is None or parent._pending < 1 else _by_rule(node, i, gradient)
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


def _fire_many(node: Value, gradient: float, order: list[Value]) -> None:
    """The gradients of a node of many operands."""
    row: Any = node.primitive
    y, *x = node._x
    if row.arity is None:
        terms = _pulled(row, gradient, y, x)
    else:
        terms = [gradient * slope for slope in _asked_slopes(node, y, x)]
    for parent, term in zip(node._y, terms, strict=True):
        if parent is None:
            continue
        consumers = parent._pending - 1
        if consumers >= 0:  # else not on a way to what was asked
            parent.grad += term
            parent._pending = consumers
            if not consumers:
                order.append(parent)


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


def _asked_slopes(node: Value, y: float, x: Sequence[float]) -> list[float]:
    """The partials that are on a way to what was asked; 0.0 stands for the others."""
    row: Any = node.primitive
    return [
        0.0 if parent is None or parent._pending < 1 else by_rule(row, rule, i, y, x)
        for i, (parent, rule) in enumerate(zip(node._y, row.partials, strict=True))
    ]
