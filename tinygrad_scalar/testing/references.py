"""Derivatives from forward rules alone: what the modes are compared with.

| reference | where | error |
|---|---|---|
| exact rational arithmetic | only + − × ÷ and branches, fractions stay short | none |
| complex step | every row has a complex counterpart; first derivatives | a few roundings |
| mpmath differentiation | every row has a counterpart in mpmath, which is installed | 1e-50 |
| Richardson extrapolation | otherwise | estimated, about 1e-10 |

The first that can be used is. Source: Squire and Trapp 1998 (complex step); Ridders 1982
(extrapolation of differences).
"""

from __future__ import annotations

import cmath
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from tinygrad_scalar.precision import Number
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.primitives import TABLE
from tinygrad_scalar.testing.hyperdual import HyperDual
from tinygrad_scalar.testing.recording import Recording, finite

Index = tuple[int, ...]  # ∂²f/∂x₀∂x₂ is (0, 2)


class Derivative(NamedTuple):
    """A derivative by a reference, and a bound of the reference's own error."""

    value: Number
    error: float = 0.0


class Expected(NamedTuple):
    """All derivatives of one recording up to an order, and the name of where they come from."""

    reference: str
    derivatives: dict[Index, Derivative]


class _Unsuitable(Exception):  # noqa: N818 (asked, not raised at anyone)
    """This reference cannot be used for this program."""


def indices(inputs: int, order: int) -> Iterator[Index]:
    """The mixed derivatives of orders 1 to `order`, each once."""
    for k in range(1, order + 1):
        yield from itertools.combinations_with_replacement(range(inputs), k)


def expected(recording: Recording, order: int) -> Expected:
    """Every derivative up to `order`, by the first reference that can give them all."""
    for name, reference in _REFERENCES.items():
        try:
            derivative = reference(recording)
            found = {index: derivative(index) for index in indices(len(recording.inputs), order)}
        except (_Unsuitable, ArithmeticError, AttributeError, TypeError, ValueError):
            continue
        if all(_representable(value) for value, _ in found.values()):
            return Expected(name, found)
    return Expected("none: every reference left the domain", {})


def _representable(x: Number) -> bool:
    try:
        return finite(float(x))
    except OverflowError:
        return False


def _exact(recording: Recording) -> Callable[[Index], Derivative]:
    rules = recording.rules(lambda row: row.forward)

    def derivative(index: Index) -> Derivative:
        inputs = []
        for i, x in enumerate(recording.point):
            units = {1 << k: Fraction(1) for k, seeded in enumerate(index) if seeded == i}
            inputs.append(HyperDual({0: Fraction(x), **units}))
        output = recording.replay(rules, inputs, Fraction)
        parts = output.parts if isinstance(output, HyperDual) else {}
        return Derivative(parts.get((1 << len(index)) - 1, Fraction(0)))

    return derivative


# ── the complex step ──────────────────────────────────────────────────────────────────────────
_STEP = 2.0**-300  # its square is below every rounding error


def _power(a: complex, b: complex) -> complex:
    if b.imag == 0 and b.real == math.floor(b.real):
        return complex(a ** int(b.real))
    if a.real <= 0:
        raise _Unsuitable
    return cmath.exp(b * cmath.log(a))


_ANALYTIC: dict[str, Callable[..., Any]] = {
    name: TABLE[name].forward
    for name in [
        "identity",
        "neg",
        "add",
        "sub",
        "mul",
        "div",
        "square",
        "reciprocal",
        "sum",
        "prod",
        "mean",
        "dot",
    ]
} | {
    name: getattr(cmath, name)
    for name in ["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt"]
}
_ANALYTIC |= {
    name: getattr(cmath, name) for name in ["asin", "acos", "atan", "asinh", "acosh", "atanh"]
}
_ANALYTIC |= {"pow": _power, "sigmoid": lambda z: 1 / (1 + cmath.exp(-z))}


def _complex_rule(row: Primitive) -> Callable[..., Any]:
    if row.name in _ANALYTIC and row.forward is TABLE[row.name].forward:
        return _ANALYTIC[row.name]
    raise _Unsuitable


def _complex_step(recording: Recording) -> Callable[[Index], Derivative]:
    rules = recording.rules(_complex_rule)
    point = [complex(x) for x in recording.point]

    def derivative(index: Index) -> Derivative:
        if len(index) > 1:
            raise _Unsuitable
        inputs = list(point)
        inputs[index[0]] += 1j * _STEP
        return Derivative(complex(recording.replay(rules, inputs, complex)).imag / _STEP)

    return derivative


# ── high precision ────────────────────────────────────────────────────────────────────────────
_DIGITS = 30  # the step is 1e-30, far from any edge that a float can be near
_MORE_DIGITS = 190  # where the derivative itself is small
_AMPLIFIED = 10  # digits by which a program may amplify what is cut off


@lru_cache(maxsize=1)
def _context() -> Any:
    """A context of mpmath of our own, where nothing is silently rounded to a float."""
    try:
        from mpmath import MPContext
    except ImportError:
        raise _Unsuitable from None
    context = MPContext()

    def refuse(_: Any) -> float:
        raise TypeError("math.f(mpf) would round to a float")

    context.mpf.__float__ = refuse
    return context


def in_high_precision(row: Primitive) -> Callable[..., Any]:
    """The row's function in mpmath; a TypeError arises where it has none."""
    context = _context()
    if callable(row.mpmath):
        function = row.mpmath
        return lambda *x: _real(function(context, *x))
    counterpart = getattr(context, row.mpmath, None) if row.mpmath else None
    rule = counterpart or row.forward
    return lambda *x: _real(rule(*x))


def _real(y: Any) -> Any:
    context = _context()
    if isinstance(y, (float, context.mpc)):
        raise _Unsuitable  # rounded on the way, or outside the real domain
    return y


def high_precision(x: Number) -> Any:
    """A number as an mpf, exactly."""
    numerator, denominator = x.as_integer_ratio()
    return _context().mpf(numerator) / denominator


def _by_mpmath(recording: Recording) -> Callable[[Index], Derivative]:
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
    """A central difference with the step 10^−digits, and as many more digits as it eats."""
    context, order = _context(), len(index)
    context.dps = (2 + order) * digits
    point, largest = [high_precision(x) for x in recording.point], context.mpf(1)

    def f(inputs: list[Any]) -> Any:
        nonlocal largest
        y = context.mpf(recording.replay(rules, inputs, high_precision))
        largest = max(largest, abs(y))
        return y

    value = _exact_fraction(_central(f, point, index, context.mpf(10) ** -digits))
    # cut off: step² · f‴, rounded: 10^−dps · f / stepⁿ; both grow where the program amplifies
    error = largest * context.mpf(10) ** (_AMPLIFIED - 2 * digits)
    return Derivative(value, float(_exact_fraction(error)))


def _exact_fraction(x: Any) -> Fraction:
    return Fraction(*_ratio(x))


def _ratio(x: Any) -> tuple[int, int]:
    if not _context().isfinite(x):
        raise _Unsuitable
    sign, mantissa, exponent, _ = x._mpf_
    numerator = -int(mantissa) if sign else int(mantissa)
    return (numerator << exponent, 1) if exponent >= 0 else (numerator, 1 << -exponent)


def _central(f: Callable[[list[Any]], Any], point: Sequence[Any], index: Index, step: Any) -> Any:
    """The central difference for a mixed derivative: one factor (f(x + h) − f(x − h)) / 2h each."""
    total = 0
    for signs in itertools.product((1, -1), repeat=len(index)):
        inputs = list(point)
        for i, sign in zip(index, signs, strict=True):
            inputs[i] = inputs[i] + sign * step
        total = total + math.prod(signs) * f(inputs)
    return total / (2 * step) ** len(index)


# ── differences of floats ─────────────────────────────────────────────────────────────────────
def _richardson(recording: Recording) -> Callable[[Index], Derivative]:
    point = [float(x) for x in recording.point]

    def derivative(index: Index) -> Derivative:
        scale = max(1.0, *(abs(point[i]) for i in index))
        best = None
        for first in (1e-7, 1e-5, 0.001, 0.01, 0.1):  # the small ones where an edge is near
            try:
                found = _extrapolated(recording, point, index, first * scale)
            except (ArithmeticError, ValueError):
                continue
            # stairs look like a slope from afar: a wider look must confirm what a closer one saw
            if best is None or (
                found.error < best.error and abs(found.value - best.value) <= 10 * best.error
            ):
                best = found
        if best is None:
            raise _Unsuitable
        return best

    return derivative


def _extrapolated(
    recording: Recording, point: Sequence[float], index: Index, step: float
) -> Derivative:
    """Ridders' tableau: the entry that differs least from its neighbours, rounding included."""
    best, row = Derivative(math.nan, math.inf), list[float]()
    largest = 0.0

    def f(inputs: list[float]) -> float:
        nonlocal largest
        y = float(recording.in_floats(inputs))
        largest = max(largest, abs(y))
        return y

    for k in range(10):
        width = step / 1.6**k
        previous, row = row, [_central(f, point, index, width)]
        rounding = 8 * sys.float_info.epsilon * largest / width ** len(index)
        factor = 1.0
        for before in previous:
            factor *= 1.6**2
            row.append((row[-1] * factor - before) / (factor - 1))
            error = rounding + max(abs(row[-1] - row[-2]), abs(row[-1] - before))
            if error < best.error:
                best = Derivative(row[-1], error)
    return best


_REFERENCES: dict[str, Callable[[Recording], Callable[[Index], Derivative]]] = {
    "exact rational arithmetic": _exact,
    "complex step": _complex_step,
    "mpmath differentiation": _by_mpmath,
    "Richardson extrapolation": _richardson,
}


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
    except (_Unsuitable, ArithmeticError, AttributeError, TypeError, ValueError):
        return None
