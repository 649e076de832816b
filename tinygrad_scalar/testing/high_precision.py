"""The reference by mpmath: differences with steps of 1e-30, in as many digits as that takes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.own_rows import ByFormula
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.derivatives import Derivative, Index, Unsuitable, central
from tinygrad_scalar.testing.recording import Recording

_DIGITS = 30  # the step is 1e-30, far from any edge that a float can be near
_MORE_DIGITS = 190  # where the derivative itself is small
_LARGEST = 10_000  # bits, far beyond the floats
_AMPLIFIED = 10  # digits by which a program may amplify what is cut off


@lru_cache(maxsize=1)
def _context() -> Any:
    """A context of mpmath of our own, where nothing is silently rounded to a float."""
    try:
        from mpmath import MPContext
    except ImportError:
        raise Unsuitable from None
    context = MPContext()

    def refuse(_: Any) -> float:
        raise TypeError("math.f(mpf) would round to a float")

    context.mpf.__float__ = refuse
    return context


def in_high_precision(row: Primitive) -> Callable[..., Any]:
    """The row's function in mpmath; a TypeError arises where it has none."""
    context = _context()
    if isinstance(row.mpmath, ByFormula):
        formula = row.mpmath.formula
        return lambda *x: _real(_number(formula(*map(_Precise, x))))
    if callable(row.mpmath):
        function = row.mpmath
        return lambda *x: _real(function(context, *x))
    counterpart = getattr(context, row.mpmath, None) if row.mpmath else None
    rule = counterpart or row.forward
    return lambda *x: _real(rule(*x))


class _Precise(Arithmetic):
    """An mpf of that context in a formula: every row by its function in mpmath."""

    __slots__ = ("number",)
    level = math.inf

    def __init__(self, number: Any) -> None:
        self.number = number

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        numbers = [_number(operand) for operand in operands]
        x = [x if hasattr(x, "_mpf_") else high_precision(x) for x in numbers]
        y = in_high_precision(primitive)(*x)
        return tuple(map(_Precise, y)) if isinstance(y, tuple) else _Precise(y)

    def example(self) -> Any:
        return self.number

    def chosen(self, a: Any, b: Any) -> Any:
        """a or b by this condition, as `where` in a formula asks."""
        x = a if self.number else b
        return x() if callable(x) and not isinstance(x, Carrier) else x

    __hash__ = None  # type: ignore[assignment]  # never a key

    def __bool__(self) -> bool:
        return bool(self.number)

    def __eq__(self, other: object) -> Any:
        return self.number == _number(other)

    __lt__ = lambda self, other: self.number < _number(other)  # noqa: E731
    __le__ = lambda self, other: self.number <= _number(other)  # noqa: E731
    __gt__ = lambda self, other: self.number > _number(other)  # noqa: E731
    __ge__ = lambda self, other: self.number >= _number(other)  # noqa: E731


def _number(x: Any) -> Any:
    return x.number if isinstance(x, _Precise) else x


def _real(y: Any) -> Any:
    context = _context()
    if isinstance(y, (float, context.mpc)):
        raise Unsuitable  # rounded on the way, or outside the real domain
    return y


def high_precision(x: Number) -> Any:
    """A number as an mpf, exactly."""
    numerator, denominator = _ratio(x) if hasattr(x, "_mpf_") else x.as_integer_ratio()
    return _context().mpf(numerator) / denominator


def by_mpmath(recording: Recording) -> Callable[[Index], Derivative]:
    """Derivatives of a recording whose rows all have a counterpart in mpmath."""
    rules = recording.rules(in_high_precision)

    def derivative(index: Index) -> Derivative:
        found = _with_digits(recording, rules, index, _DIGITS)
        if abs(found.value) < found.error / sys.float_info.epsilon:  # as where tanh is 1 − 1e-99
            found = _with_digits(recording, rules, index, _MORE_DIGITS)
        return found

    return derivative


def _with_digits(
    recording: Recording, rules: Sequence[Callable[..., Any]], index: Index, digits: int
) -> Derivative:
    """A central difference with steps of 10^−digits, and as many more digits as they eat.

    Beside a number smaller than 1 the step is as much smaller; x + step keeps both.
    """
    context, order = _context(), len(index)
    sizes = [abs(float(recording.point[i])) or 1.0 for i in index]
    eaten = math.ceil(sum(abs(math.log10(size)) for size in sizes))
    context.dps = (2 + order) * digits + eaten
    steps = [context.mpf(10) ** -digits * min(size, 1.0) for size in sizes]
    point, largest = [high_precision(x) for x in recording.point], context.mpf(1)

    def f(inputs: list[Any]) -> Any:
        nonlocal largest
        y = context.mpf(recording.replay(rules, inputs, high_precision))
        largest = max(largest, abs(y))
        return y

    difference = central(f, point, index, steps)
    value = _exact_fraction(difference)
    # cut off: step² · f‴, rounded: 10^−dps · f / stepⁿ; both grow where the program amplifies
    error = max(largest, abs(difference)) * context.mpf(10) ** (_AMPLIFIED - 2 * digits)
    return Derivative(value, float(_exact_fraction(error)))


def _exact_fraction(x: Any) -> Fraction:
    return Fraction(*_ratio(x))


def _ratio(x: Any) -> tuple[int, int]:
    if not _context().isfinite(x):
        raise Unsuitable
    sign, mantissa, exponent, length = x._mpf_
    if exponent + length > _LARGEST:
        raise Unsuitable
    if exponent + length < -_LARGEST:  # exp(−exp(700)) would be a fraction of 10³⁰⁴ digits
        return 0, 1
    numerator = -int(mantissa) if sign else int(mantissa)
    return (numerator << exponent, 1) if exponent >= 0 else (numerator, 1 << -exponent)


def value_in_high_precision(recording: Recording) -> Number | None:
    """The output itself by mpmath, None where it has no counterpart."""
    try:
        rules = recording.rules(in_high_precision)
        for digits in (2 * _DIGITS, 2 * _MORE_DIGITS):
            _context().dps = digits
            inputs = [high_precision(x) for x in recording.point]
            y = _context().mpf(recording.replay(rules, inputs, high_precision))
            if abs(y) > 10.0**-_DIGITS:
                break
        return _exact_fraction(y)
    except (Unsuitable, ArithmeticError, AttributeError, TypeError, ValueError):
        return None
