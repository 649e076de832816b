"""What the forward modes carry: a number and more, made by one call of a mode, with its level.

Every call has a level of its own, and a newer one treats older ones as numbers, so that nesting
never mixes up whose tangent is whose ("perturbation confusion"). When it returns, its level ends:
a number that f has stored elsewhere stands for its primal from then on.
Source: Siskind and Pearlmutter 2005.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, ClassVar, NoReturn

from tinygrad_scalar.core import context
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier, resolved
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.tree import mapped
from tinygrad_scalar.core.undefined import note, plain
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers import flags
from tinygrad_scalar.numbers.precision import Number, uncommon

_levels = itertools.count(2)  # Values have level 1
running: set[float] = set()


def in_new_pass(run: Callable[[float], Any]) -> Any:
    """`run(level)` with a level of its own, which ends when `run` does; see `stopped`."""
    level = next(_levels)
    try:
        running.add(level)
        constant = stopped()
        with context.recorded():  # a checkpointed function records nothing at first either
            result = run(level)
        return mapped(detached, result) if constant else result
    finally:
        running.discard(level)


def in_watched_pass(run: Callable[[float], Any]) -> Any:
    """The same; if something underflowed in it, that is put on the list of `noted`."""
    result, lost = flags.watched(in_new_pass, run)
    if lost:
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
        if self.level in running:
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
        if self.level not in running:
            return primitive(*operands)
        if context.unrecorded and stopped():
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
