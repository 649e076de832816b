"""What is done where a gradient does not exist, and the partials of a row as plain numbers.

Undefined are: kinks, points outside the open domain, and the products 0·∞ and sums ∞−∞ that arise
on the way back. An infinite slope alone (`sqrt` at 0) is no fault: it is reported as inf. Of a
number on the way that is too large or too small for a float it is told, if a gradient is in doubt.
Source: *Deep Learning*, section 6.5.6 ("complications": track undefined gradients, tell the user).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from tinygrad_scalar.core import context
from tinygrad_scalar.core.arithmetic import Arithmetic, Limit, unlimited
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.printable import shortened
from tinygrad_scalar.core.provenance import user_stacklevel
from tinygrad_scalar.core.tree import check_word
from tinygrad_scalar.numbers import flags
from tinygrad_scalar.numbers.precision import is_number, number, unboxed

Policy = Literal["subgradient", "nan", "warn", "raise"]
POLICIES = ("subgradient", "nan", "warn", "raise")


def noted() -> context.Aside:
    """What is undefined inside is put on this list: nobody is warned, and nothing is raised."""
    faults: list[str] = []
    return context.Aside(context.settings()._replace(noted=faults), faults)


def told() -> context.Aside:
    """The warnings of what is undefined inside are put on this list: nobody is warned."""
    messages: list[str] = []
    return context.Aside(context.settings()._replace(told=messages), messages)


def note(what: str = "kink") -> None:
    """Put something on the list of `noted`, if one is kept."""
    faults = context.settings().noted
    if faults is not None:
        faults.append(what)


def note_unless_finite(x: Any) -> None:
    """Put a number that is inf or NaN on the list of `noted`."""
    if not abs(plain(x)) < math.inf:
        note("not finite")


def policy_in_force() -> Any:
    """The policy of the way back under way, None where nothing is judged yet."""
    return context.settings().judging


class UndefinedGradientWarning(UserWarning):
    """A gradient that was asked for does not exist; a stated number stands in its place."""


class UndefinedGradientError(ArithmeticError):
    """A gradient that was asked for does not exist, under `undefined="raise"`."""


def check_policy(policy: str) -> None:
    """ValueError for anything but the four policies."""
    check_word(policy, "undefined", POLICIES)


def partial_at(primitive: Primitive, i: int, y: Any, x: Sequence[Any]) -> Any:
    """The number ∂y/∂x_i; at a pole its limit, at a kink the row's subgradient."""
    return by_rule(primitive, primitive.all_partials(y, x)[i], i, y, x)


def by_rule(primitive: Primitive, rule: Any, i: int, y: Any, x: Sequence[Any]) -> Any:
    """The same, by a rule of the row that is at hand."""
    if not callable(rule):
        return rule
    try:
        slope = rule(y, *x)
    except (ArithmeticError, ValueError):
        if primitive.kinks(*x) and primitive.subgradient:
            return primitive.subgradient[i]
        return limit_of(rule, y, x)
    except TypeError as error:
        raise TypeError(f"{primitive.name}: partial {i}: {error}") from error
    return checked_slope(primitive, i, slope)


def checked_slope(primitive: Primitive, i: int, slope: Any) -> Any:
    """What the rule of partial i gave; TypeError for what is no number, and nothing that is one."""
    if isinstance(slope, (int, float, Fraction, Carrier)) or primitive.opaque:
        return slope
    slope = unboxed(slope)
    if not is_number(slope):
        kind = type(slope).__name__
        raise TypeError(f"{primitive.name}: partial {i} gave {kind}; it must return a real number")
    return number(slope)  # NumPy's truth values and integers


def limit_of(rule: Any, y: Any, x: Sequence[Any]) -> Any:
    """A partial in IEEE arithmetic, where poles are infinite and the impossible is NaN."""
    several = tuple(map(Limit, y)) if isinstance(y, tuple) else Limit(y)
    return unlimited(rule(several, *map(Limit, x)))


class Unknown(Arithmetic):
    """Any number at all: what is computed from it is unknown, unless a constant zero decides it."""

    __slots__ = ()
    level = 2.0**62  # above all but an operand of a formula that is being differentiated

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """0 · unknown and 0 / unknown are 0, unknown ** 0 is 1, `where` goes by its condition."""
        for i, result in primitive.at_zero.items():
            if is_zero(operands[i]):
                return result
        if primitive.choice and not isinstance(operands[0], Carrier):
            return operands[1] if operands[0] else operands[2]
        return self

    def detach(self) -> Unknown:
        """As unknown as it is."""
        return self

    def example(self) -> float:
        """Any number of the commonest kind: only asked for the kind."""
        return 0.0

    def __eq__(self, other: object) -> Any:
        return self

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = None  # type: ignore[assignment]  # never a key

    def __bool__(self) -> bool:
        raise TypeError("what is unknown decides nothing")


def structural_zeros(primitive: Primitive, operands: Sequence[Any]) -> list[bool]:
    """For each operand whether ∂y/∂x_i is 0 by constants alone, whatever the carried ones are.

    The condition of `where` keeps its number: it is no variable, and where it stands decides.
    """
    if primitive.opaque:
        return [False] * len(operands)
    unknown = Unknown()
    y: Any = unknown
    if primitive.joint is not None:
        y = (unknown,) * len(primitive.joint.outputs)
    probe = [
        unknown if isinstance(x, Carrier) and not (primitive.choice and i == 0) else plain(x)
        for i, x in enumerate(operands)
    ]
    if primitive.joint is None:
        y = unknown.apply(primitive, probe)
    return [_decided(rule, y, probe) for rule in primitive.all_partials(y, probe)]


def _decided(rule: Any, y: Any, probe: Sequence[Any]) -> bool:
    try:
        if not callable(rule):
            return is_zero(rule)
        partial, lost = flags.watched(rule, y, *probe)
        return is_zero(partial) and not lost
    except (ArithmeticError, ValueError, TypeError):
        return False


def plain(x: Any) -> Any:
    """The number that is carried."""
    return x.example() if isinstance(x, Carrier) else x


def is_zero(x: Any) -> bool:
    """Whether `x` is the plain number 0."""
    return not isinstance(x, Carrier) and not callable(x) and bool(x == 0)


def is_nan(x: Any) -> bool:
    """NaN of any kind of number."""
    return bool(x != x)  # noqa: PLR0124 (the definition of NaN)


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are equal, or NaN both."""
    return bool(a == b) or (is_nan(a) and is_nan(b))


class Judge:
    """Applies one policy to every fault that is found on one way back."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def at_kink(self, use: Any, i: int, partial: Any) -> Any:
        """The partial to go on with at a kink."""
        if self.policy == "subgradient":
            return partial
        faults = context.settings().noted
        if faults is not None:
            faults.append("kink")
            return partial
        if self.policy == "nan":
            return self.fault(use, i, "")
        instead = f"{plain(partial)} was taken"
        return self._verdict(use, i, "has no derivative there", instead, partial)

    def fault(self, use: Any, i: int | None, what: str, factor: Any = 1.0) -> Any:
        """What stands in place of an undefined number: 0, or NaN, or nothing at all."""
        faults = context.settings().noted
        if faults is not None:
            faults.append(what)
            return 0.0
        if self.policy == "nan":  # in a derivative graph NaN again however often it is derived
            sources: list[Any] = [factor] if i is None else [factor, use.x[i]]
            carried: list[Any] = [x for x in sources if isinstance(x, Carrier)]
            return sum((x * math.nan for x in carried), math.nan)
        return self._verdict(use, i, what, "0.0 was taken", 0.0)

    def too_large(self, use: Any, i: int, number: Any) -> None:
        """Tell of a gradient that overflowed: it is ±inf, though no slope is infinite."""
        faults = context.settings().noted
        if faults is not None:
            faults.append("too large")
        elif self.policy != "nan":
            self._verdict(use, i, "makes a term too large for a float", f"{number} was taken", 0.0)

    def too_small(self, node: Any, what: str, number: float) -> None:
        """Tell of a gradient that may be wrong, since something underflowed on the way."""
        faults = context.settings().noted
        if faults is not None:
            faults.append("too small")
        else:
            use = node._application(False)
            message = f"{use!r}{_made(use)} {what}"
            self._tell(message, f"a gradient of {number} may be wrong", number)

    def _verdict(self, use: Any, i: int | None, what: str, instead: str, number: Any) -> Any:
        return self._tell(describe(use, i, what), instead, number)

    def _tell(self, message: str, instead: str, number: Any) -> Any:
        if self.policy == "raise":
            raise UndefinedGradientError(f'{message}; undefined="subgradient" would go on')
        message = f'{message}; {instead} (undefined="raise" makes this an error)'
        messages = context.settings().told
        if messages is None:
            warnings.warn(message, UndefinedGradientWarning, stacklevel=user_stacklevel())
        else:
            messages.append(message)
        return number


def describe(use: Any, i: int | None, what: str) -> str:
    """The primitive, the operands, the operand's label and the line of user code, in one line."""
    made = _made(use)
    if i is None:
        return f"the gradient of {use!r}{made} {what}"
    label = getattr(use.operands[i], "label", "")
    named = f" with respect to {shortened(repr(label))}" if label else ""
    operands = ", ".join(map(repr, use.numbers))
    return f"{use.primitive.name}({operands}){named}{made} {what}"


def _made(use: Any) -> str:
    """The line of user code, in an inset."""
    line = use.provenance.line
    return f", made in {line}," if line else ""
