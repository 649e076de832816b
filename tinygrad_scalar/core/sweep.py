"""Algorithm 6.2 on floats, at full speed: gradients under way stand in the nodes.

`parents_first` finds an order, `fire` lets each node send its gradient on, consumers first, and
`settle` writes `.grad` once all has succeeded. A sweep that was interrupted leaves only stamps
behind that no other one knows, and gradients under way that no one reads. What is *meant* is
`reverse.propagate`, and a test holds the two together.
The compiled node compiles this as it stands, with C doubles: see sweep.pxd.
"""

from __future__ import annotations

import operator
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.at_once import assign, is_nought, with_added
from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.rules import ON_FLOATS, NoFloat, send_by_rules
from tinygrad_scalar.core.undefined import checked_slope
from tinygrad_scalar.numbers import flags
from tinygrad_scalar.numbers.precision import evaluate, is_number

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_COMPILED = not __file__.endswith(".py")
_ROOM: Any = array("d", [0.0]) if _COMPILED else []  # times a count: where so many gradients go
_ADD, _SUB, _MUL = primitives.add, primitives.sub, primitives.mul
_DIV, _NEG, _POW = primitives.div, primitives.neg, primitives.pow
_stamps = count(1)  # a node is made with 0
# One sweep at a time: what is under way stands in nodes that threads may share.
# So a partial of one's own must not wait for the backward of another thread.
running = threading.RLock()
_sweeping = False  # guarded by `running`: a rule of a sweep under way may ask for its own backward
# How many sweeps have found the flag of underflow up. After some it is lowered before a sweep too:
# the program underflows on the way forward, and to lower it costs more than to look at it.
_found_up = 0
_raised: Callable[[int], int]  # whether the flag is up: C's function, after the first question
_UNDERFLOW = 0
if hasattr(os, "register_at_fork"):  # a child has no other thread, which would never be done
    os.register_at_fork(
        before=running.acquire, after_in_parent=running.release, after_in_child=running.release
    )


def alone(action: Callable[..., Any], *args: Any) -> Any:
    """What it gives while no other sweep is under way; None inside of one."""
    global _sweeping
    with running:
        if _sweeping:
            return None
        try:
            _sweeping = True
            return action(*args)
        finally:
            _sweeping = False


def sweep(
    output: Value, seed: float, inputs: Sequence[Value] | None = None, keep: bool = True
) -> GradTable | None:
    """The gradients of all nodes below, or of those between it and `inputs`.

    Writes `.grad` as `Value.backward` says, all at the end, or none without `keep`. None, and
    nothing written, for others to judge: a gradient is not finite, or too much was rounded to 0.
    """
    stamp = next(_stamps)
    inner: list[Value] = []
    leaves: list[Value] = []
    parents_first(output, stamp, inner, leaves)
    if context.tracked:
        check_leaves(leaves)
    wanted = leaves
    if inputs is not None:
        wanted, inner, leaves, stamp = restrict(inner, leaves, inputs, stamp)
    inner.reverse()
    try:
        gradients = fire(output, seed, inner, stamp)
    except NoFloat:
        return None
    asked = received(wanted, stamp)
    lost = fetestexcept(FE_UNDERFLOW) if _COMPILED else _raised(_UNDERFLOW)  # type: ignore[name-defined]  # noqa: F821
    if not _all_finite(asked) or (lost and _may_be_felt(asked, wanted, inner)):
        return None
    if keep and inputs is None:
        settle(inner, gradients, leaves, asked)
    elif keep:
        settle([], received([], stamp), wanted, asked)
    gradients += asked if inputs is None else received(leaves, stamp)
    inner += leaves
    return GradTable(inner, gradients, inputs or ())


def sweep_inputs(output: Value, inputs: Sequence[Value], started: int) -> Sequence[float] | None:
    """The gradients of inputs, no `.grad` written.

    None where that would not be all: a leaf was made before run `started`, or as `sweep`.
    """
    stamp = next(_stamps)
    inner: list[Value] = []
    leaves: list[Value] = []
    parents_first(output, stamp, inner, leaves)
    if strange(leaves, started):
        return None
    inner.reverse()
    try:
        fire(output, 1.0, inner, stamp)
    except NoFloat:
        return None
    gradients: Sequence[float] = received(inputs, stamp)
    lost = fetestexcept(FE_UNDERFLOW) if _COMPILED else _raised(_UNDERFLOW)  # type: ignore[name-defined]  # noqa: F821
    sure = _all_finite(gradients) and not (lost and _may_be_felt(gradients, inputs, inner))
    return gradients if sure else None


def _all_finite(numbers: Sequence[float]) -> bool:
    total = sum(numbers)  # which overflows at times where none of them is infinite
    return total - total == 0.0 or not any(x - x != 0.0 for x in numbers)


def _first_question(_unknown: int) -> int:
    """Find the flag, for the questions to come too."""
    global _raised, _UNDERFLOW
    raised, _, _UNDERFLOW = flags.functions()
    _raised = raised  # last: an interrupt before it is made good at the next question
    return raised(_UNDERFLOW)


_raised = _first_question


def _may_be_felt(numbers: Sequence[float], nodes: Sequence[Value], inner: list[Value]) -> bool:
    """Whether what underflowed may be more than a part of 1e-9 of a gradient that was asked for.

    A product loses 5e-324 at most, and a slope, times a gradient, 5e-16. That reaches a leaf x by
    some ∂v/∂x, and x · ∂v/∂x is about v, a float, if not a hundred times as much: a gradient, and
    it times x, that are above 1e-4 have not lost that part. So long chains whose gradients fade
    cost no more. What is checkpointed is taken as it is: its function would be run again.
    """
    global _found_up
    _found_up += 1
    flags.lower()
    if all(abs(x) > 1e-4 < abs(x * node.data) for x, node in zip(numbers, nodes, strict=True)):
        return False
    return not any(runs_a_function(node.primitive) for node in inner)


def parents_first(output: Value, stamp: int, inner: list[Value], leaves: list[Value]) -> None:
    """Gather the nodes below `output`, those that were computed after all of their parents.

    Depth first. Each gets this sweep's stamp, so that whatever another one left in it means
    nothing, and a gradient of 0 to start from.
    """
    output._sweep = stamp
    output._sent = 0.0
    if output.primitive is None:
        leaves.append(output)
        return
    found = leaves.append
    done = inner.append
    path: list[Value] = []  # the nodes from the output down to `node`
    push, pop = path.append, path.pop
    rest: dict[int, Iterator[Value | None]] = {}  # of nodes of many operands
    node = output
    while True:
        a = node._a
        b = node._b
        if a is not None and a._sweep != stamp:
            a._sweep = stamp
            a._sent = 0.0
            if a.primitive is not None:
                push(node)
                node = a
                continue
            found(a)
        if b is not None:
            if b._sweep != stamp:
                b._sweep = stamp
                b._sent = 0.0
                if b.primitive is not None:
                    push(node)
                    node = b
                    continue
                found(b)
        elif a is None:
            a = _next_inner(rest.setdefault(id(node), iter(node._rest[2])), stamp, leaves)
            if a is not None:
                push(node)
                node = a
                continue
        done(node)
        if not path:
            return
        node = pop()


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


def fire(output: Value, seed: float, order: list[Value], stamp: int) -> Any:
    """Send every gradient on to the parents, consumers first; what each node had to send.

    The operators, nearly all that programs consist of, are spelled out; a test holds them to
    their rows.
    """
    mul, add, sub, div, neg, power = _MUL, _ADD, _SUB, _DIV, _NEG, _POW
    on_floats = ON_FLOATS if context.plain else {}  # else what they evaluate may be counted
    if _found_up > 3:
        flags.lower()
    gradients = _ROOM * len(order)
    sent: Any = None if _COMPILED else gradients.append
    i = 0
    output._sent = seed
    for node in order:
        gradient = node._sent
        if _COMPILED:
            gradients.data.as_doubles[i] = gradient
            i += 1
        else:
            sent(gradient)
        row: Any = node.primitive
        a = node._a
        b = node._b
        if a is None and b is None:
            send_by_rules(node, gradient, stamp)
            continue
        try:
            if row is mul:
                to_a, to_b = gradient * node._y, gradient * node._x
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
                    send_by_rules(node, gradient, stamp)
                    continue
                to_a = node._x ** (y - 1.0)  # in which y − 1 is exact
                if to_a - to_a != 0.0:  # in C no error tells that it overflows
                    send_by_rules(node, gradient, stamp)
                    continue
                to_a = gradient * (y * to_a)
            elif row.pulls[0] is not None:
                rule = row.pulls[0]
                to_a = on_floats.get(rule, rule)(gradient, node._result, node._x)
            else:
                rule = row.partials[0]
                slope = on_floats.get(rule, rule)(node._result, node._x)
                if type(slope) is not float:  # of an own row; a carrier refuses to be one
                    slope = float(checked_slope(row, 0, slope))
                to_a = gradient * slope
        except (ArithmeticError, ValueError, TypeError):  # a pole, a kink, a constant
            send_by_rules(node, gradient, stamp)
            continue
        if a is not None:
            a._sent += to_a
        if b is not None:
            b._sent += to_b
    return gradients


def received(nodes: Sequence[Value], stamp: int) -> Any:
    """The gradients that have come to nodes which send none on; 0 to those not reached."""
    if not _COMPILED:
        return [node._sent if node._sweep == stamp else 0.0 for node in nodes]
    gradients = _ROOM * len(nodes)
    for i, node in enumerate(nodes):
        gradients.data.as_doubles[i] = node._sent if node._sweep == stamp else 0.0
    return gradients


def settle(inner: Sequence[Value], gradients: Any, leaves: Sequence[Value], below: Any) -> None:
    """Write the gradients of inner nodes, and add those of leaves, all of it or none."""
    if _COMPILED:
        _settle_doubles(inner, gradients, leaves, below)
        return
    assign(chain(inner, leaves), "grad", chain(gradients, totals(leaves, below)))


def _settle_doubles(
    inner: Sequence[Any], gradients: Any, leaves: Sequence[Any], below: Any
) -> None:
    """The same in C, where no interrupt comes."""
    others = {}
    for i, node in enumerate(leaves):
        if not keeps_grad(node):  # type: ignore[name-defined]  # noqa: F821 (in value.pxd)
            before = node.grad
            if type(before) is not float and not is_nought(before):
                others[i] = added(node, below[i])
    for i, node in enumerate(inner):
        if is_value(node):  # type: ignore[name-defined]  # noqa: F821
            set_grad(node, gradients.data.as_doubles[i])  # type: ignore[name-defined]  # noqa: F821
        else:
            node.grad = gradients[i]
    for i, node in enumerate(leaves):
        if i in others:
            node.grad = others[i]
        elif keeps_grad(node):  # type: ignore[name-defined]  # noqa: F821
            add_to_grad(node, below.data.as_doubles[i])  # type: ignore[name-defined]  # noqa: F821
        else:  # read only now: nothing is lost that a handler of signals has added
            node.grad = node.grad + below[i]


def totals(nodes: Sequence[Value], gradients: Sequence[Any]) -> Iterable[Any]:
    """What stands in `.grad` with gradients added; no node twice. Floats: as they are used up.

    See `at_once.with_added`; TypeError where something is no number.
    """
    found = with_added(nodes, gradients)
    return list(map(added, nodes, gradients)) if found is None else found


def added(node: Value, gradient: Any) -> Any:
    """What stands in `.grad` with `gradient` added to it; TypeError if that is no number."""
    before = node.grad
    if not is_number(before):
        raise TypeError(
            f"backward: the grad of {node!r} is {type(before).__name__}, not a number to add to: "
            "set it to 0.0, as zero_grad() does"
        )
    return evaluate(operator.add, (before, gradient), "") if before else gradient


def nodes_in_order(outputs: Sequence[Value]) -> tuple[list[Value], list[Value]]:
    """The computed nodes below the outputs, consumers first, and the leaves. O(edges)."""
    stamp = next(_stamps)
    inner: list[Value] = []
    leaves: list[Value] = []
    for output in outputs:
        if output._sweep != stamp:
            parents_first(output, stamp, inner, leaves)
    inner.reverse()
    return inner, leaves


def restrict(
    inner: list[Value], leaves: list[Value], inputs: Sequence[Value], stamp: int
) -> tuple[list[Value], list[Value], list[Value], int]:
    """Those of `inputs` that were reached, and the nodes on a way to one, with a stamp of theirs.

    `inner` lists parents first, so that one pass finds what depends on an input.
    """
    wanted = [node for node in inputs if node._sweep == stamp]
    if set(map(id, leaves)) <= set(map(id, wanted)):
        return wanted, inner, leaves, stamp  # every leaf is asked: every node is on a way
    way = next(_stamps)
    for node in wanted:
        node._sweep = way
    active = []
    for node in inner:
        if node._sweep != way:
            if not any(parent._sweep == way for parent in node.parents):
                continue
            node._sweep = way
        active.append(node)
    return wanted, active, [leaf for leaf in leaves if leaf._sweep == way], way


def strange(leaves: Sequence[Value], started: int) -> bool:
    """Whether a leaf was made before run `started` began, or by a checkpointed function."""
    for leaf in leaves:
        if leaf._made < started:
            return True
    return context.tracked and let_out(leaves) is not None


def runs_a_function(row: Any) -> bool:
    """Whether the pull of a row runs a function of the user's: a checkpointed one."""
    return row.opaque and row.pulls[0] is not None


def let_out(leaves: Iterable[Value]) -> Value | None:
    """The first that a checkpointed function made and let out other than by returning it."""
    for leaf in leaves:
        if leaf._tracker is not None:
            return leaf
    return None


def check_leaves(leaves: Iterable[Value]) -> None:
    """RuntimeError for a Value that a checkpointed function let out other than by returning it."""
    if context.settings().tracker is not None:
        return  # inside such a function they are at home
    stranger = let_out(leaves)
    if stranger is not None:
        raise RuntimeError(
            f"checkpoint: {stranger!r} was made inside a checkpointed function and used outside, "
            "where its history is not known: return it from that function"
        )
