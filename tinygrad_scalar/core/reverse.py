"""Algorithm 6.2 as it stands in the book, for any carrier: a table filled edge by edge.

What is multiplied and added here may be floats, exact fractions, arbitrary precision, or `Value`s,
and then the gradients are a graph of their own. `sweep.py` does the same for floats at full speed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import Application, product
from tinygrad_scalar.core.primitive import no_kinks
from tinygrad_scalar.core.undefined import Judge, Policy, is_nan, plain, structural_zeros

_INFINITE = (math.inf, -math.inf)


def propagate(
    order: Sequence[Any],
    seeds: dict[int, Any],
    active: Collection[int] | None,
    cut: Collection[int],
    policy: Policy,
    graph: bool,
    asked: Sequence[Any] | None = None,
) -> list[Any]:
    """The gradient with respect to each node of `order`, which lists consumers first.

    `seeds` (by id) are the gradients to start from. One multiplication and one addition per edge
    between active nodes (all if None), none through nodes in `cut`; with `graph` the partials are
    pushed as Values, else as numbers. None stands for a structural zero. Of what is undefined,
    only that is told of which could reach a node that is `asked`, any node if that is None.
    Source: *Deep Learning*, Algorithm 6.2.
    """
    with context.Aside(context.settings()._replace(judging=policy)):
        return _propagate(order, seeds, active, cut, _JudgeOnTheWay(policy, order, asked), graph)


def _propagate(
    order: Sequence[Any],
    seeds: dict[int, Any],
    active: Collection[int] | None,
    cut: Collection[int],
    judge: _JudgeOnTheWay,
    graph: bool,
) -> list[Any]:
    table = dict(seeds)
    infinities = _Infinities(judge)
    gradients = []
    for node in order:
        judge.at = node
        gradient = table.pop(id(node), None)
        if infinities.clashes or infinities.lost:
            gradient = infinities.settled(node, gradient)
        gradients.append(gradient)
        if gradient is None or node.primitive is None or id(node) in cut:
            infinities.at_end(node, gradient)
            continue
        quick = graph and context.plain and not infinities.lost
        sent = _as_values(node, gradient) if quick else None
        if sent is None:
            sent = _judged(node, gradient, active, judge, infinities, graph)
        for parent, term in sent:
            key = id(parent)
            if active is not None and key not in active:
                continue
            before = table.get(key)
            if term is None or before is None:  # None is a structural zero
                table[key] = before if term is None else term
                continue
            table[key] = total = before + term
            number = plain(total)
            if type(number) is float and number - number == 0.0:  # the commonest, and finite
                continue
            if number in _INFINITE or is_nan(number):
                infinities.added(key, before, term)
    return gradients


def _judged(
    node: Any,
    gradient: Any,
    active: Collection[int] | None,
    judge: _JudgeOnTheWay,
    infinities: _Infinities,
    graph: bool,
) -> Iterator[tuple[Any, Any]]:
    """What a node sends to its parents, whatever is undefined in it judged."""
    use: Application = node._application(graph)
    asked = [
        parent is not None and (active is None or id(parent) in active) for parent in node._slots()
    ]
    use.share(gradient, asked)
    for i, parent in enumerate(node._slots()):
        if not asked[i]:
            continue
        judge.at = parent
        term = use.term(i, gradient, judge)
        if term is not None and (infinities.lost or plain(term) in _INFINITE):
            infinities.follow(id(node), id(parent), term, use, i, gradient)
        yield parent, term


def _as_values(node: Any, gradient: Any) -> Iterable[tuple[Any, Any]] | None:
    """What a node of one or two floats sends to its parents, as Values.

    None where there is something to judge: a kink, a zero, what is no finite float, an operand
    whose data was overwritten.
    """
    row, kind, a, b = node.primitive, type(node), node._a, node._b
    if a is None and b is None:
        return None
    numbers: tuple[float, ...] = (node._x,)
    x: tuple[Any, ...] = (a,)
    if row.arity == 2:
        numbers = (node._x, node._y)
        x = (node._x if a is None else a, node._y if b is None else b)
    if row.kinks is not no_kinks and row.kinks(*numbers):
        return None
    sent = []
    unit = type(gradient) is float and gradient == 1.0  # the seed: a factor 1 makes no node
    try:
        for parent, number, pull, rule in zip((a, b), numbers, row.pulls, row.partials):  # noqa: B905
            if parent is None:
                continue
            if pull is not None and not unit:
                term = pull(gradient, node, *x)
            else:
                slope = rule(node, *x) if callable(rule) else rule
                both = type(slope) is kind is type(gradient)
                term = gradient * slope if both else product(gradient, slope)
            data = term.data if type(term) is kind else term
            if type(data) is not float or not data or data - data or parent.data != number:
                return None
            sent.append((parent, term))
    except (ArithmeticError, ValueError, TypeError):
        return None  # told by the general way
    return sent


class _JudgeOnTheWay(Judge):
    """Silent where constants alone stop what goes on to the nodes that are asked for."""

    def __init__(self, policy: Policy, order: Sequence[Any], asked: Sequence[Any] | None) -> None:
        super().__init__(policy)
        self.at: Any = None  # the node that gradients come to just now
        self._order, self._asked = order, asked
        self._live: set[int] | None = None  # found at the first fault

    def at_kink(self, use: Any, i: int, partial: Any) -> Any:
        if self.policy == "subgradient" or self._is_silent():
            return partial
        return super().at_kink(use, i, partial)

    def fault(self, use: Any, i: int | None, what: str, factor: Any = 1.0) -> Any:
        return 0.0 if self._is_silent() else super().fault(use, i, what, factor)

    def _is_silent(self) -> bool:
        if self._asked is None:
            return False
        if self._live is None:
            self._live = _live(self._order, self._asked)
        return id(self.at) not in self._live


def _live(order: Sequence[Any], asked: Sequence[Any]) -> set[int]:
    """The nodes with a way to one that is asked on which no structural zero stands, by id."""
    live = set(map(id, asked))
    for node in reversed(order):
        if node.primitive is None or id(node) in live:
            continue
        reaching = [parent is not None and id(parent) in live for parent in node._slots()]
        if any(reaching):
            zeros = structural_zeros(node.primitive, node.operands)
            if any(way and not zero for way, zero in zip(reaching, zeros, strict=True)):
                live.add(id(node))
    return live


class _Infinities:
    """Where infinite terms came from, and what stays where they cancel; nodes are told by id.

    An infinite slope leaves what else came to a node. A term that is only too large for a float
    does not: what the sum would be is not known, nor anything below it.
    """

    __slots__ = ("clashes", "doubtful", "finite", "first", "judge", "lost", "overflowed")

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.clashes: set[int] = set()  # nodes where ∞−∞ arose
        self.finite: dict[int, Any] = {}  # what else came to nodes that an infinity came to
        self.overflowed: set[int] = set()  # nodes to which came what is too large for a float
        self.lost: set[int] = set()  # nodes where such terms cancel, and those below
        self.doubtful: set[int] = set()  # nodes where a factor might have made such a term fit
        self.first: tuple[Application, int] | None = None  # where the first such term arose

    def settled(self, node: Any, gradient: Any) -> Any:
        """The gradient of a node to which all has come."""
        key = id(node)
        if key in self.clashes:
            gradient = self.judge.fault(node, None, "is ∞−∞")
            rest = self.finite.get(key)
            if key in self.overflowed:
                self.lost.add(key)
            elif rest is not None:
                gradient = rest + gradient
        elif key in self.lost and self.judge.policy != "nan":  # NaN gets there by itself
            gradient = 0.0
        return gradient

    def follow(
        self, node: int, parent: int, term: Any, use: Application, i: int, gradient: Any
    ) -> None:
        """Note what comes from a node where a term was, or is, too large for a float."""
        if node in self.lost:
            self.lost.add(parent)
        if plain(term) not in _INFINITE:
            return
        if node in self.overflowed:
            self.overflowed.add(parent)
            if node in self.doubtful or use.shrinks(i):
                self.doubtful.add(parent)
        elif use.overflows(i, gradient):
            self.overflowed.add(parent)
            self.first = self.first or (use, i)

    def at_end(self, node: Any, gradient: Any) -> None:
        """Tell once of a gradient that is given back as ±inf, and may be a float in truth.

        What is too large by itself is rightly ±inf; not so after a factor that makes it smaller.
        """
        if self.first and id(node) in self.doubtful and plain(gradient) in _INFINITE:
            self.judge.too_large(*self.first, plain(gradient))
            self.first = None

    def added(self, key: int, before: Any, term: Any) -> None:
        """Note what is finite of a sum that is not: it stays where the infinities cancel."""
        parts = [part for part in (before, term) if not is_nan(plain(part))]
        if len(parts) == 2 and is_nan(plain(before) + plain(term)):
            self.clashes.add(key)
        for part in parts:
            if plain(part) not in _INFINITE:
                self.finite[key] = self.finite[key] + part if key in self.finite else part
