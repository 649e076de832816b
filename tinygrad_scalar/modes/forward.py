"""Forward mode: `Dual` carries a number and its tangent through the same rows; `jvp`.

Every `jvp` has a level of its own, and a newer one treats older ones as numbers, so that nesting
never mixes up whose tangent is whose ("perturbation confusion"). When it returns, its level ends:
a number that f has stored elsewhere stands for its primal from then on.
Source: Griewank and Walther, *Evaluating Derivatives*, section 3.1; Siskind and Pearlmutter 2005.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from types import NoneType
from typing import Any, ClassVar, NoReturn

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import Application, product
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier, resolved
from tinygrad_scalar.core.primitive import Joint, Primitive, no_kinks
from tinygrad_scalar.core.provenance import NOTHING, current
from tinygrad_scalar.core.rules import ON_FLOATS
from tinygrad_scalar.core.tree import aligned, carried, carried_leaves, like, mapped
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
from tinygrad_scalar.numbers import flags
from tinygrad_scalar.numbers.precision import Number, uncommon
from tinygrad_scalar.numbers.precision import like as like_number

_levels = itertools.count(2)  # Values have level 1
_running: set[float] = set()
EXACT = 2**53  # whole numbers up to here are floats


def in_new_pass(run: Callable[[float], Any]) -> Any:
    """`run(level)` with a level of its own, which ends when `run` does; see `stopped`."""
    level = next(_levels)
    _running.add(level)
    try:
        if not stopped():
            return run(level)
        with context.recorded():
            return mapped(detached, run(level))
    finally:
        _running.discard(level)


def in_watched_pass(run: Callable[[float], Any]) -> Any:
    """The same; if something underflowed in it, that is put on the list of `noted`."""
    if not _running:
        flags.lower()
    result = in_new_pass(run)
    if flags.underflowed():
        note("too small")
    return result


def stopped() -> bool:
    """Whether this is under `no_grad`; a checkpointed function records nothing at first, either.

    Derivatives taken here are what they are elsewhere, and constants to the modes around.
    """
    settings = context.settings()
    return not settings.recording and settings.tracker is None


def detached(y: Any) -> Any:
    """What is carried as a constant, anything else as it is."""
    return y.detach() if isinstance(y, Carrier) else y


class Tagged(Arithmetic):
    """A carrier around others, made by one call of a mode and ordered by that call's level."""

    # a function may set attributes of its own on a Value, and refer to it weakly
    __slots__ = ("__dict__", "__weakref__", "level")
    level: float
    argument: ClassVar[bool] = False  # of the function, and not computed in it
    aside = " (in forward mode v.detach())"

    def core(self) -> Any:
        """The number itself."""
        raise NotImplementedError

    def parts(self) -> list[Any]:
        """What is carried, the number itself first."""
        raise NotImplementedError

    def with_parts(self, parts: Sequence[Any]) -> Any:
        """The same kind and level around other parts."""
        raise NotImplementedError

    def with_core(self, core: Any) -> Any:
        """The same around another number; an argument stays one."""
        raise NotImplementedError

    def spread(self, function: Callable[[Any], Sequence[Any]], count: int) -> list[Any]:
        """`count` carriers like this, from a function that gives a number for each of each part."""
        columns = [function(part) for part in self.parts()]
        return [self.with_parts([column[i] for column in columns]) for i in range(count)]

    def resolved(self) -> Any:
        """This while its pass runs, afterwards the number at its core."""
        if self.level in _running:
            return self
        return resolved(self.core())

    def example(self) -> Number:
        """The plain number at the core."""
        core = self.core()
        return core.example() if isinstance(core, Carrier) else core

    def detach(self) -> Any:
        """The number at the core, without tangents or gradients."""
        core = self.core()
        return core.detach() if isinstance(core, Carrier) else core

    def __copy__(self) -> Any:
        """As of a Value, a node with the same parents: an argument has none, and its copy rests."""
        core = copy(self.core())
        return self._with_attributes(self.still(core) if self.argument else self.with_core(core))

    def __getstate__(self) -> object:
        """What pickles and deep copies hold: they have a graph of their own, and rest here."""
        return object.__getstate__(self._with_attributes(self.still(self.core())))

    def _with_attributes(self, twin: Any) -> Any:
        twin.__dict__.update(self.__dict__)
        return twin

    def below(self, operand: Any) -> Any:
        """The core of an operand of this level, anything else as it is."""
        return operand.core() if self.carries(operand) else operand

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The row on what the operands stand for now; under `no_grad` the result does not move."""
        operands = [resolved(x) for x in operands]
        if self.level not in _running:
            return primitive(*operands)
        if context.silent and stopped():
            y = primitive(*map(self.below, operands))
            return tuple(map(self.still, y)) if isinstance(primitive, Joint) else self.still(y)
        beside = uncommon(plain(x) for x in operands)
        return self.applied(
            primitive,
            [x if isinstance(x, Carrier) else primitive.checked(x, beside) for x in operands],
        )

    def applied(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The row on operands of this level and lower ones, as they are carried."""
        raise NotImplementedError

    def still(self, number: Any) -> Any:
        """A number that does not move with this."""
        raise NotImplementedError

    def carries(self, operand: Any) -> bool:
        """Whether the operand was made by the same call of the mode."""
        return isinstance(operand, Tagged) and operand.level == self.level

    def _compared(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        if isinstance(other, Tagged) and other.level > self.level:
            return NotImplemented
        return compare(self.core(), self.below(other))

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return self._compared(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._compared(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._compared(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._compared(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._compared(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._compared(operator.ge, other)

    def __bool__(self) -> bool:
        return bool(self.core())

    def __format__(self, spec: str) -> str:
        return format(self.example(), spec) if spec else repr(self)

    def _number(self, kind: Callable[[Any], Any], refuse: Callable[[], Any]) -> Any:
        """This as a plain number of a kind, once its pass has ended."""
        number = self.resolved()
        return refuse() if number is self else kind(number)

    def __float__(self) -> float:
        return self._number(float, super().__float__)  # type: ignore[no-any-return]

    def __int__(self) -> int:
        return self._number(int, super().__int__)  # type: ignore[no-any-return]

    def __complex__(self) -> complex:
        return self._number(complex, super().__complex__)  # type: ignore[no-any-return]


def _of_values(name: str) -> property:
    """An attribute that only a Value has: there is no graph here, and `data` has a derivative."""

    def told(*_: Any) -> NoReturn:
        raise AttributeError(
            f".{name} of a number in forward mode (jvp, hvp, taylor, derivative, "
            'jacobian(mode="forward")), which is no Value: x.detach() is the number alone, '
            "where(condition, a, b) chooses, take(table, i) looks up; grad, vjp and "
            'jacobian(mode="reverse") run a function on Values'
        )

    return property(told, told)


for _name in {"_prev", "_op", *(x for x in dir(Value) if x[0] != "_")} - {*dir(Tagged)}:
    setattr(Tagged, _name, _of_values(_name))


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

    def _quickly(self, row: Any, operands: Sequence[Any], kind: type) -> Dual | None:
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
        return Dual(y, total, self.level) if sure else None

    def _alike(self, operands: Sequence[Any], kind: type) -> tuple[list[Any], list[Any]]:
        """Primals and tangents of this level where all are of a kind; none of others."""
        x, tangents, kinds = [], [], (float, NoneType)
        for operand in operands if self.level in _running else ():
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


def check_function(f: Any, what: str) -> None:
    """TypeError unless `f` can be called."""
    if not callable(f):
        raise TypeError(f"{what} must be callable, not {type(f).__name__}")


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
    """The tangent that one call of the mode gave a number, 0.0 for a constant."""
    moving = isinstance(y, Dual) and y.level == level and y.tangent is not None
    return y.tangent if moving else 0.0
