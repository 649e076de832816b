"""Gradients of floats where a product on the way back is too small for one.

`sweep` gives no such numbers. Another one starts from a larger seed, which changes no digit:
reverse mode is linear in its seed, and to multiply by a power of two rounds nothing. What is too
small even then is worked out in `Unbounded` numbers, which know what a slope of 0 may hide.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.reverse import propagate
from tinygrad_scalar.core.rules import NoFloat
from tinygrad_scalar.core.sweep import fire, nodes_in_order, restrict, runs_a_function
from tinygrad_scalar.core.undefined import Judge, Policy, plain, told
from tinygrad_scalar.numbers import flags

LARGE = 2.0**600  # leaves as much room to gradients that are large as it gives to small ones
_SMALLEST = sys.float_info.min  # with all its digits
_FELT = 2.0**50  # times what a float may lose is less than _SMALLEST
_ROOM = 2.0**900  # a float above 1 / _ROOM is far enough from what underflows
_PART = 1e-9  # of a gradient, by which it may be off without a word: far more than rounding
_FAR = 200  # binary digits: a term so much smaller than another adds nothing to it


class Unbounded(Arithmetic):
    """fraction · 2^power, of any size, and of it what may be wrong since a slope underflowed.

    `at` is a list with the node that sends just now, `source` the one whose slope was lost.
    Meets floats only: it is a gradient on its way through the rules of rows.
    """

    __slots__ = ("at", "error", "fraction", "power", "source")

    def __init__(self, x: float, at: list[Any], *, slope: bool = False) -> None:
        self.at = at
        self.fraction, self.power = math.frexp(x)
        self.error, self.source = 0.0, None
        if slope and abs(x) < _SMALLEST and self._lost():
            self.power = self.power if x else -1073
            self.error, self.source = math.ldexp(1.0, -1074 - self.power), at[0]

    def _lost(self) -> bool:
        """Whether a slope underflowed, though the value did not."""
        return abs(self.at[0].data) >= _SMALLEST and flags.underflowed()

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Unbounded:
        """What gradients are multiplied and added by; other rows on the numbers as floats."""
        factors = primitive.operator in ("*", "/")
        x = [
            each if isinstance(each, Unbounded) else Unbounded(each, self.at, slope=factors)
            for each in operands
        ]
        if primitive.operator in _WAYS and len(x) == 2:
            return _WAYS[primitive.operator](*x)
        if primitive.operator == "-":
            return x[0].negative()
        return Unbounded(primitive.evaluate([each.example() for each in x]), self.at)

    def negative(self) -> Unbounded:
        """This, negated."""
        return self._made(-self.fraction, self.error, self.power, self.source)

    def inverse(self) -> Unbounded:
        """1 / this."""
        fraction = 1 / self.fraction
        error = self.error * fraction * fraction
        return self._made(fraction, error, -self.power, self.source)

    def times(self, other: Unbounded) -> Unbounded:
        """This times another."""
        mine, its = self.error * abs(other.fraction), other.error * abs(self.fraction)
        error = mine + its + self.error * other.error
        source = self.source if mine > its else other.source
        return self._made(self.fraction * other.fraction, error, self.power + other.power, source)

    def plus(self, other: Unbounded) -> Unbounded:
        """This and another, of which the smaller adds nothing where it is far smaller."""
        small, large = (
            (other, self) if not other or (self and self.power > other.power) else (self, other)
        )
        if not small or large.power - small.power > _FAR:
            return large
        shift = small.power - large.power
        fraction, error = math.ldexp(small.fraction, shift), math.ldexp(small.error, shift)
        source = small.source if error > large.error else large.source
        return self._made(fraction + large.fraction, error + large.error, large.power, source)

    def _made(self, fraction: float, error: float, power: int, source: Any) -> Unbounded:
        made = Unbounded(0.0, self.at)
        _, shift = math.frexp(max(abs(fraction), error))
        made.fraction, made.error = math.ldexp(fraction, -shift), math.ldexp(error, -shift)
        made.power, made.source = power + shift, source
        return made

    def __bool__(self) -> bool:
        return self.fraction != 0 or self.error != 0

    def example(self) -> float:
        """The number as a float; the end of the floats where it is beyond, never 0 or inf."""
        if not self.fraction or not math.isfinite(self.fraction):
            return self.fraction
        end = _SMALLEST if self.power < -1021 else sys.float_info.max
        inside = -1021 <= self.power <= 1023
        inside_float = math.ldexp(self.fraction, self.power) if inside else end
        return math.copysign(inside_float, self.fraction)

    def rounded(self) -> float:
        """The nearest float."""
        try:
            return math.ldexp(self.fraction, self.power)
        except OverflowError:
            return math.copysign(math.inf, self.fraction)

    def known(self) -> bool:
        """Whether what may be wrong is as little as rounding, or below the normal floats."""
        below = math.frexp(self.error)[1] + self.power <= -1022
        return below or self.error <= _PART * abs(self.fraction)


_WAYS: dict[str, Callable[[Unbounded, Unbounded], Unbounded]] = {
    "*": Unbounded.times,
    "/": lambda a, b: a.times(b.inverse()),
    "+": Unbounded.plus,
    "-": lambda a, b: a.plus(b.negative()),
}


def larger_sweep(
    output: Any, seed: float, inputs: Sequence[Any] | None
) -> tuple[list[Any], list[float]] | None:
    """Nodes and gradients by a sweep from the larger seed; no `.grad` is written.

    Where gradients are too small then too, as at the end of a long chain, a last sweep tells how
    much of them could be felt: it starts with about 1 at each node that has next to none. None if
    that may be more than the smallest float, a gradient is not finite, or a function would have to
    be run again for it. Nothing of it is counted: the way back has been.
    """
    inner, leaves = nodes_in_order([output])
    stamp = output._sweep
    if inputs is not None:
        _, inner, leaves, stamp = restrict(inner[::-1], leaves, inputs, stamp)
        inner.reverse()
    if any(runs_a_function(node.primitive) for node in inner):
        return None
    nodes = [*inner, *leaves]
    with context.uncounted():
        found = _larger(output, seed, inner, nodes, stamp)
    return None if found is None else (nodes, found)


def _larger(
    output: Any, seed: float, inner: list[Any], nodes: list[Any], stamp: int
) -> list[float] | None:
    flags.lower()
    try:
        fire(output, seed * LARGE, inner, stamp)
        found = [node._sent for node in nodes]
        if not all(map(math.isfinite, found)):
            return None
        if flags.underflowed():
            for i, node in enumerate(nodes):  # not alike, or they might cancel
                node._sent = 0.5 + i * 0.618 % 1 if abs(found[i]) < 1 / _ROOM else 0.0
            fire(output, 0.0, inner, stamp)
            felt = max(abs(node._sent) for node in nodes)
            if not felt * max(map(abs, found)) < LARGE * _FELT:
                return None
    except NoFloat:
        return None
    return [x * (1 / LARGE) for x in found]


def mended(
    order: Sequence[Any],
    found: list[Any],
    start: dict[int, Any],
    active: Collection[int] | None,
    cut: Collection[int],
    policy: Policy,
    asked: Sequence[Any] | None,
    again: Callable[[dict[int, Any]], list[Any]] | None,
) -> list[Any]:
    """Gradients in place of those found while something underflowed.

    Where they are to be a graph, `again` propagates from another start. Numbers that are not finite
    stay. Judged is what slopes of 0 leave unknown, and what is wrong in a graph.
    """
    with told(), context.uncounted():
        if again is not None:
            flags.lower()
            scale = _scale(found)
            larger = again({key: seed * scale for key, seed in start.items()})
            lost = flags.underflowed()
            if all(map(_as_finite, larger, found)):
                found = [
                    _smaller(x, 1 / scale, before) for x, before in zip(larger, found, strict=True)
                ]
                if not lost:
                    return found
        if any(node.primitive and runs_a_function(node.primitive) for node in order):
            return found  # inside, the gradients are those of the function's own graph
        at: list[Any] = [None]
        begin = {key: Unbounded(plain(seed), at) for key, seed in start.items()}
        each: Any = _one_by_one(order, at)
        right = propagate(each, begin, active, cut, policy, graph=False)
    numbers = found
    if again is None:
        numbers = list(map(_better, found, right))
    wanted = {id(node) for node in (asked or order) if asked or node.primitive is None}
    for i, (node, exact) in enumerate(zip(order, right, strict=True)):
        if id(node) in wanted and not _known(numbers[i], exact):
            if policy != "nan":
                _tell(policy, exact.source, order[0], plain(numbers[i]))
                break
            numbers[i] = numbers[i] * math.nan
    return numbers


def _scale(found: Sequence[Any]) -> float:
    """The power of two by which the largest gradient comes near to what overflows."""
    sizes = [abs(plain(x)) for x in found if x is not None and math.isfinite(plain(x))]
    return math.ldexp(1.0, max(0, min(900 - math.frexp(max(sizes, default=1.0))[1], 1000)))


def _better(number: Any, exact: Any) -> Any:
    """The exact number, unless that is undefined, or a structural zero."""
    finite = isinstance(exact, Unbounded) and number is not None and math.isfinite(number)
    return exact.rounded() if finite else number


def _known(number: Any, exact: Any) -> bool:
    """Whether a gradient is right, or a number that is not finite, which is told of elsewhere."""
    if not isinstance(exact, Unbounded) or number is None or not math.isfinite(plain(number)):
        return True
    right = exact.rounded()
    off = abs(plain(number) - right)
    return exact.known() and (off <= _PART * abs(right) or off <= _SMALLEST)


def _one_by_one(order: Sequence[Any], at: list[Any]) -> Iterator[Any]:
    """The nodes, the flag lowered before each."""
    for node in order:
        flags.lower()
        at[0] = node
        yield node


def _smaller(x: Any, scale: float, before: Any) -> Any:
    """A gradient scaled back; the one before where that is not finite: nothing of it was lost."""
    return before if x is None or not math.isfinite(plain(before)) else x * scale


def _as_finite(x: Any, before: Any) -> bool:
    return x is None or math.isfinite(plain(x)) or not math.isfinite(plain(before))


def _tell(policy: Policy, source: Any, output: Any, number: float) -> None:
    what = "has products on the way back that are" if source is None else "has a slope"
    Judge(policy).too_small(source or output, f"{what} too small for a float", number)
