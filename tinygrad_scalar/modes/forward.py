"""Forward mode: `Dual` carries a number and its tangent through the same rows.

Source: Griewank and Walther, *Evaluating Derivatives*, section 3.1.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import NoneType
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import Application, product
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Joint, Primitive, no_kinks
from tinygrad_scalar.core.provenance import NOTHING, current
from tinygrad_scalar.core.rules import ON_FLOATS
from tinygrad_scalar.core.tree import aligned, carried, carried_leaves, like
from tinygrad_scalar.core.undefined import (
    Judge,
    Policy,
    is_nan,
    is_zero,
    note,
    note_unless_finite,
    noted,
    plain,
)
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.tagged import Tagged, running
from tinygrad_scalar.numbers.precision import like as like_number

EXACT = 2**53  # whole numbers up to here are floats


class Dual(Tagged):
    """A primal and its tangent. Made by `jvp`; cost O(1) per operation and operand.

    The tangent of what does not move is None: structurally zero.
    """

    __slots__ = ("primal", "tangent")

    def __init__(self, primal: Any, tangent: Any, level: float) -> None:
        self.primal, self.tangent, self.level = primal, tangent, level

    def core(self) -> Any:
        """The primal."""
        return self.primal

    def parts(self) -> list[Any]:
        """Primal and tangent."""
        still = self.tangent is None
        return [self.primal, like_number(0, plain(self.primal)) if still else self.tangent]

    def with_parts(self, parts: Sequence[Any]) -> Dual:
        """Another primal and tangent of the same level."""
        primal, tangent = parts
        return Dual(primal, tangent, self.level)

    def with_core(self, core: Any) -> Dual:
        """Another primal that moves alike."""
        return type(self)(core, self.tangent, self.level)

    def still(self, number: Any) -> Dual:
        """The number as one of this level."""
        return Dual(number, None, self.level)

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """As of every carrier; quickly where nothing is to be judged."""
        kind = type(self.primal)
        quick = self._quickly(primitive, operands, kind) if kind in (float, Value) else None
        return super().apply(primitive, operands) if quick is None else quick

    def _quickly(self, row: Any, operands: Sequence[Any], kind: type) -> Any:
        """The same by the rules of reverse mode on floats, or on Values; None where there is more.

        That is at kinks and poles, at a slope of 0, which may be a structural zero, and where a
        result is no finite float: the general way decides.
        """
        settings = context.settings()
        asked = settings.counters or settings.ieee or settings.tracer or not settings.recording
        if asked or row.__class__ is not Primitive or row.arity is None or row.opaque:
            return None
        x, tangents = self._alike(operands, kind)
        if not x:
            return None
        rules = ON_FLOATS if kind is float else {}
        try:
            if row.kinks is not no_kinks and row.kinks(*map(plain, x)):
                return None
            y = row.forward(*x) if rules else row(*x)
            terms = [_term(row, i, t, y, x, rules) for i, t in enumerate(tangents) if t is not None]
            total = functools.reduce(operator.add, terms) if terms else None
            ends = [plain(y)] if total is None else [plain(y), plain(total)]
            sure = all(map(plain, terms)) and all(map(math.isfinite, ends))
        except (ArithmeticError, ValueError, TypeError):
            return None
        sure = sure and type(y) is kind and type(ends[0]) is float
        if not sure:
            return None
        return y if total is None and kind is Value else Dual(y, total, self.level)  # as `applied`

    def _alike(self, operands: Sequence[Any], kind: type) -> tuple[list[Any], list[Any]]:
        """Primals and tangents of this level where all are of a kind; none of others."""
        x, tangents, kinds = [], [], (float, NoneType)
        for operand in operands if self.level in running else ():
            moving = isinstance(operand, Dual) and operand.level == self.level
            number, tangent = (operand.primal, operand.tangent) if moving else (operand, None)
            if number.__class__ is int and abs(number) <= EXACT:
                number = float(number)
            constant = not moving and type(number) is float
            if not constant and (type(number) is not kind or type(tangent) not in (*kinds, kind)):
                return [], []
            if type(plain(number)) is not float:
                return [], []
            x.append(number)
            tangents.append(tangent)
        return x, tangents

    def applied(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The row on the primals, and Σ ∂y/∂x_i · tangent_i by its partials."""
        x = [self.below(operand) for operand in operands]
        if any(isinstance(each, Carrier) for each in x) and any(map(self._is_zero, operands)):
            operands = self._in_graph(operands)
            x = [self.below(operand) for operand in operands]
        y = primitive(*x)
        rows = primitive.outputs if isinstance(primitive, Joint) else (primitive,)
        outputs = y if isinstance(primitive, Joint) else (y,)
        results = []
        for row, output in zip(rows, outputs, strict=True):
            try:
                tangent = self._tangent(row, y, x, operands)
            except (ArithmeticError, ValueError):  # a given derivative that raises
                tangent = failed()
            constant = tangent is None and isinstance(output, Carrier)
            results.append(output if constant else Dual(output, tangent, self.level))
        return tuple(results) if isinstance(primitive, Joint) else results[0]

    def _is_zero(self, x: Any) -> bool:
        """Whether an operand moves, and its number or its slope is 0 by chance."""
        if not self.carries(x) or x.tangent is None:
            return False
        return is_zero(x.tangent) or is_zero(x.primal)

    def _in_graph(self, operands: Sequence[Any]) -> Sequence[Any]:
        """The operands; what moves and is the number 0 becomes a leaf where it meets Values.

        As a constant it would be a structural zero to the mode that differentiates their graph.
        """
        if context.settings().tracer is not None:
            return operands
        if not any(isinstance(x, Carrier) and isinstance(x.detach(), Value) for x in operands):
            return operands
        return [
            x.with_parts([Value(part) if is_zero(part) else part for part in x.parts()])
            if self._is_zero(x)
            else x
            for x in operands
        ]

    def _tangent(self, row: Primitive, y: Any, x: list[Any], operands: Sequence[Any]) -> Any:
        """Σ of the terms, None if all are structurally zero."""
        moving = [self.carries(x) and x.tangent is not None for x in operands]
        if not any(moving):
            return None
        made = NOTHING if context.plain else current()
        use, judge = Application(row, y, x, operands, made), Judge(context.settings().undefined)
        total, edges = None, 0
        for i, operand in enumerate(operands):
            if not moving[i]:
                continue
            term = use.term(i, operand.tangent, judge)
            note_unless_finite(0.0 if term is None else term)
            edges += not isinstance(term, Carrier)  # which has counted its own operations
            if term is None or total is None:
                total = total if term is None else term
                continue
            before, total = total, total + term
            if is_nan(plain(total)) and not (is_nan(plain(before)) or is_nan(plain(term))):
                return judge.fault(use, i, "makes ∞−∞ on the way")
        for counter in context.settings().counters:
            counter.propagated(edges)
        return total

    def __repr__(self) -> str:
        return f"Dual({self.primal!r}, tangent={self.tangent!r})"


def _term(row: Any, i: int, tangent: Any, y: Any, x: Sequence[Any], rules: Any) -> Any:
    """∂y/∂x_i · tangent by the row's pull, or by its partial."""
    rule = row.pulls[i]
    if rule is not None:
        return rules.get(rule, rule)(tangent, y, *x)
    slope = row.partials[i]
    return product(tangent, rules.get(slope, slope)(y, *x) if callable(slope) else slope)


class Argument(Dual):
    """A Dual that a function is called with."""

    __slots__ = ()
    argument = True


def failed() -> float:
    """What stands for the slope of a rule that raises: reverse mode asks it again, where it counts.

    The exception goes on where nobody would.
    """
    if context.settings().noted is None:
        raise  # noqa: PLE0704 (called where it is handled)
    note("raises")
    return 0.0


def attempted(run: Callable[[], Any], undefined: Policy) -> Any:
    """What a run in forward mode gives; None where reverse mode is to decide by the policy.

    That is where something undefined may have arisen, or a number that stands for it made f raise.
    """
    result: Any = None
    with noted() as faults, policy(undefined):
        try:
            result = run()
        except (ArithmeticError, ValueError):
            if not faults:
                raise
    return None if faults else result


def policy(undefined: Policy) -> AbstractContextManager[object]:
    """Forward mode inside judges kinks by this policy.

    Inside of another pass that has to see kinks they stay visible: its numbers run through the same
    rows. What is seen without need costs the pass a run in reverse mode, and changes nothing.
    """
    settings = context.settings()
    if settings.tracer is not None:
        settings.tracer(0.0).judged_by(undefined)
    if undefined in ("subgradient", settings.undefined):
        return nullcontext()
    return context.override(undefined=undefined)


def watched(undefined: Policy) -> Policy:
    """The policy of a mode inside of a pass: that pass has to see the kinks of what it carries."""
    settings = context.settings()
    outer: Policy = "subgradient" if settings.noted is None else settings.undefined
    return outer if undefined == "subgradient" else undefined


def dual_arguments(primals: Any, tangents: Any, level: float, name: str) -> list[Any]:
    """The arguments of f with a tangent for every number; errors speak for the function `name`."""
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (list, tuple)):
            raise TypeError(
                f"{name}: {what} is a tuple with one entry per argument of f, "
                f"not {type(given).__name__}; for one argument write ({given!r},)"
            )
    if len(primals) != len(tangents):
        raise ValueError(
            f"{name}: {len(primals)} primals but {len(tangents)} tangents; give one tangent each"
        )
    arguments = []
    for i, (primal, tangent) in enumerate(zip(primals, tangents, strict=True)):
        numbers = aligned(primal, tangent, f"{name}: the tangent of argument {i}")
        given = carried_leaves(primal, f"{name}: primal {i}")
        duals = [
            dual(p, carried(t, f"{name}: tangent {i}"), level)
            for p, t in zip(given, numbers, strict=True)
        ]
        arguments.append(like(primal, duals))
    return arguments


def dual(primal: Any, tangent: Any, level: float) -> Any:
    """A Dual; where the direction is the plain number 0, a constant."""
    if isinstance(tangent, Carrier):
        return Argument(primal, tangent, level)
    if tangent == 0:
        return primal if isinstance(primal, Carrier) else Dual(primal, None, level)
    return Argument(primal, like_number(tangent, plain(primal)), level)


def tangent_of(y: Any, level: float) -> Any:
    """The tangent that one call of the mode gave a number, 0 for a constant."""
    moving = isinstance(y, Dual) and y.level == level and y.tangent is not None
    return y.tangent if moving else like_number(0.0, plain(y))
