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
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.derivatives import Derivative, Index, Unsuitable, indices
from tinygrad_scalar.testing.high_precision import by_mpmath
from tinygrad_scalar.testing.hyperdual import HyperDual
from tinygrad_scalar.testing.recording import Recording, finite
from tinygrad_scalar.testing.richardson import by_richardson


class Expected(NamedTuple):
    """All derivatives of one recording up to an order, and the name of where they come from."""

    reference: str
    derivatives: dict[Index, Derivative]


def expected(recording: Recording, order: int) -> Expected:
    """Every derivative up to `order`, by the first reference that can give them all.

    Where none can, up to the highest order that has one: 0² log 0 is no second derivative.
    """
    for lower, (name, reference) in itertools.product(range(order, 0, -1), _REFERENCES.items()):
        try:
            derivative = reference(recording)
            found = {index: derivative(index) for index in indices(len(recording.inputs), lower)}
        except (Unsuitable, ArithmeticError, AttributeError, TypeError, ValueError):
            continue
        if all(_representable(value) for value, _ in found.values()):
            return Expected(name, found)
    return Expected("none: every reference left the domain", {})


def _representable(x: Number) -> bool:
    try:
        return finite(float(x))
    except OverflowError:
        return False


def _rational_rule(row: Primitive) -> Callable[..., Any]:
    """The forward rule; not of a row whose formula only comes close to what mpmath computes."""
    if row.formula is not None and row.mpmath:
        raise Unsuitable
    # the row's own power asks whether the base is 0, which nilpotent units make hard to tell
    return operator.pow if row is TABLE["pow"] else row.forward


def _exact(recording: Recording) -> Callable[[Index], Derivative]:
    rules = recording.rules(_rational_rule)

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
_STEP = 2.0**-500  # its square is below every rounding error
_CUT_OFF = 1e10 * _STEP**2  # step² · f‴ / 6
# Where the program's numbers or its slope are smaller, slope · step underflows on the way, and so
# does step / number where they are larger.
_LEAST_NUMBER, _LARGEST_NUMBER, _LEAST_SLOPE = 1e-100, 1e100, 1e-130


def _power(a: complex, b: complex) -> complex:
    if b.imag == 0 and b.real == math.floor(b.real):
        return complex(a ** int(b.real))
    if a.real <= 0:
        raise Unsuitable
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
    raise Unsuitable


def _complex_step(recording: Recording) -> Callable[[Index], Derivative]:
    rules = recording.rules(_complex_rule)
    numbers = [*recording.point, *(node.data for node in recording.nodes)]
    if any(x and not _LEAST_NUMBER <= abs(float(x)) <= _LARGEST_NUMBER for x in numbers):
        raise Unsuitable
    point = [complex(x) for x in recording.point]

    def derivative(index: Index) -> Derivative:
        if len(index) > 1:
            raise Unsuitable
        inputs = list(point)
        inputs[index[0]] += 1j * _STEP
        y = complex(recording.replay(rules, inputs, complex))
        slope = y.imag / _STEP
        if abs(slope) < _LEAST_SLOPE:
            raise Unsuitable
        return Derivative(slope, _CUT_OFF * max(1.0, abs(y)))

    return derivative


_REFERENCES: dict[str, Callable[[Recording], Callable[[Index], Derivative]]] = {
    "exact rational arithmetic": _exact,
    "complex step": _complex_step,
    "mpmath differentiation": by_mpmath,
    "Richardson extrapolation": by_richardson,
}
