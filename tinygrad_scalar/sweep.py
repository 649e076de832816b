"""Algorithm 6.2 on floats, at full speed: the gradients stand in the nodes while it runs.

Two passes over the graph and no container per node: `_count` notes in each node how many consumers
it has below the output, `_fire` lets each node send its gradient on once all of these have sent
theirs. What is *meant* is `reverse.propagate`, and a test holds the two together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar import context, primitives
from tinygrad_scalar.undefined import by_rule, is_nan

if TYPE_CHECKING:
    from tinygrad_scalar.value import Value

_ADD, _SUB, _MUL = primitives.add, primitives.sub, primitives.mul
_DIV, _NEG, _POW = primitives.div, primitives.neg, primitives.pow
_RELU = primitives.relu
# One sweep at a time: the counts and gradients under way stand in nodes that threads may share.
running = threading.RLock()
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
    for node, gradient in zip(wanted, received, strict=True):
        node.grad += gradient
    return order, gradients


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
    save = saved.append
    if save_all or output.primitive is None:
        save((output, output.grad))
    reached = [output]
    reach = reached.append
    for node in reached:
        a = node._a
        if a is not None:
            consumers = a._pending
            a._pending = consumers + 1
            if not consumers:
                if save_all or a.primitive is None:
                    save((a, a.grad))
                a.grad = 0.0
                reach(a)
        b = node._b
        if b is not None:
            consumers = b._pending
            b._pending = consumers + 1
            if not consumers:
                if save_all or b.primitive is None:
                    save((b, b.grad))
                b.grad = 0.0
                reach(b)
        elif a is None and node.primitive is not None:
            for parent in node._y:
                if parent is not None:
                    parent._pending += 1
                    if parent._pending == 1:
                        if save_all or parent.primitive is None:
                            save((parent, parent.grad))
                        parent.grad = 0.0
                        reach(parent)
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
    output.grad = seed
    order = [output]
    ready = order.append
    for node in order:
        gradient = node.grad
        row = node.primitive
        a = node._a
        b = node._b
        if row is _MUL:
            if a is not None:
                a.grad += gradient * node._y
            if b is not None:
                b.grad += gradient * node._x
        elif row is _ADD:
            if a is not None:
                a.grad += gradient
            if b is not None:
                b.grad += gradient
        elif row is _SUB:
            if a is not None:
                a.grad += gradient
            if b is not None:
                b.grad -= gradient
        elif row is _DIV:
            x, y = node._x, node._y
            try:
                if a is not None:
                    a.grad += gradient / y
                if b is not None:
                    b.grad -= gradient * (x / y / y)
            except ZeroDivisionError:  # a quotient made under ieee: a second order at a pole
                _fire_pole(node, gradient)
        elif row is None:
            continue
        elif a is None and b is None:
            _fire_many(node, gradient, ready)
            continue
        elif row is _NEG:
            a.grad -= gradient
        elif row is _RELU:
            x = node._x  # 0 · gradient is no shortcut: ∞ makes it NaN, to be judged
            a.grad += gradient if x > 0.0 else gradient * (x if x != x else 0.0)  # noqa: PLR0124
        elif row is _POW:
            _fire_power(node, gradient)
        else:
            rule = row.partials[0]
            try:
                a.grad += gradient * rule(node._y, node._x)
            except (ArithmeticError, ValueError, TypeError):  # a pole, a kink, a constant
                slope = by_rule(row, rule, 0, node._y, (node._x,))
                a.grad += gradient * slope
        if a is not None:
            consumers = a._pending - 1
            a._pending = consumers
            if not consumers:
                ready(a)
        if b is not None:
            consumers = b._pending - 1
            b._pending = consumers
            if not consumers:
                ready(b)
    return order


def _fire_pole(node: Value, gradient: float) -> None:
    for i, parent in enumerate((node._a, node._b)):
        if parent is not None:
            parent.grad += gradient * node._partial(i)


def _fire_power(node: Value, gradient: float) -> None:
    """The gradients of x ** y: the exponent's is only taken if it is asked for."""
    a, b, x, y = node._a, node._b, node._x, node._y
    by_base, by_exponent = _POW.partials
    if a is not None:
        try:
            a.grad += gradient * (y * x ** (y - 1.0))
        except ArithmeticError:
            a.grad += gradient * by_rule(_POW, by_base, 0, None, (x, y))
    if b is not None and b._pending > 0:
        b.grad += gradient * by_rule(_POW, by_exponent, 1, _POW.forward(x, y), (x, y))


def _fire_many(node: Value, gradient: float, ready: Callable[[Value], None]) -> None:
    """The gradients of a node of many operands; all partials of such a row come at once."""
    row: Any = node.primitive
    y, *x = node._x
    rules = row.all_partials(y, x)
    for i, parent in enumerate(node._y):
        if parent is None or parent._pending < 0:  # a number, or not on a way to what was asked
            continue
        rule = rules[i]
        parent.grad += gradient * (by_rule(row, rule, i, y, x) if callable(rule) else rule)
        parent._pending -= 1
        if not parent._pending:
            ready(parent)
