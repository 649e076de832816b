"""Rows written in simpler rows, for engines that have no function of that name.

Each formula is Python over anything with arithmetic, without branches: pieces are chosen by
`where` and comparisons. They hold at NaN, ±inf and −0 too, and keep the relative precision of the
row's own forward rule in both tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_scalar.compiler.ir.elementary import ELEMENTARY
from tinygrad_scalar.compiler.ir.special import PRODUCT_ERROR, SPECIAL
from tinygrad_scalar.compiler.ir.tape import COMPARISONS, TAKE
from tinygrad_scalar.compiler.ir.trace import DETACH, LEAF
from tinygrad_scalar.core import primitives as p
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers import special

EQ, GE, GT, LE, LT, NE = (COMPARISONS[name] for name in ("eq", "ge", "gt", "le", "lt", "ne"))
where: Any = p.where


def _sign(x: Any) -> Any:
    return where(GT(x, 0.0), 1.0, where(LT(x, 0.0), -1.0, where(EQ(x, 0.0), 0.0, x)))


def _step(x: Any) -> Any:
    return where(GT(x, 0.0), 1.0, where(LE(x, 0.0), 0.0, x))


def _relu(x: Any) -> Any:
    return where(LE(x, 0.0), 0.0, x)


def _maximum(a: Any, b: Any) -> Any:
    return where(GE(a, b), a, where(GT(b, a), b, a + b))


def _minimum(a: Any, b: Any) -> Any:
    return where(LE(a, b), a, where(LT(b, a), b, a + b))


def _clip(x: Any, low: Any, high: Any) -> Any:
    inside = where(LT(x, low), low, where(GT(x, high), high, x + 0 * (low + high)))
    ordinary = where(GE(x, low), where(LE(x, high), x, inside), inside)
    return where(LE(low, high), ordinary, math.nan)


def _sigmoid(x: Any) -> Any:
    small = p.exp(-p.abs(x))
    return where(GE(x, 0.0), 1.0, small) / (1.0 + small)


def _sech(x: Any) -> Any:
    small = p.exp(-p.abs(x))
    return 2.0 * small / (1.0 + small * small)


def _softplus(x: Any) -> Any:
    return _relu(x) + p.log1p(p.exp(-p.abs(x)))


def _times_sigmoid(x: Any, t: Any) -> Any:
    """x σ(t) for x and t of one sign; a halved exponential keeps the digits of the tail."""
    root = p.exp(-0.5 * p.abs(t))
    small = root * root
    right = x / (1.0 + small)
    left = where(LT(t, -1500.0), -0.0, x * root * root / (1.0 + small))
    return where(GE(t, 0.0), right, left)


def _silu(x: Any) -> Any:
    return _times_sigmoid(x, x)


def _gelu_tanh(x: Any) -> Any:
    return _times_sigmoid(x, special.TWICE_ROOT_2_OVER_PI * (x + 0.044715 * x * x * x))


def _normal_pdf(x: Any) -> Any:
    square = x * x
    density = special.INVERSE_ROOT_2_PI * p.exp(-0.5 * square)
    precise = density - density * (0.5 * PRODUCT_ERROR(x, x, square))
    return where(GT(p.abs(x), 39.0), 0.0, precise)


def _normal_cdf(x: Any) -> Any:
    """½ erfc(−x/√2), with the rounding of −x/√2 undone as in `special`."""
    z = -x * special.INVERSE_ROOT_2
    error = PRODUCT_ERROR(-x, special.INVERSE_ROOT_2, z) - x * special.INVERSE_ROOT_2_REST
    half = 0.5 * p.erfc(z)
    slope = special.ONE_OVER_ROOT_PI * p.exp(-0.5 * (x * x))  # shared with the density
    inside = where(GT(z, 0.7), LT(z, 28.0), 0.0)
    return where(inside, half - slope * error, half)


def _elu(x: Any, alpha: Any) -> Any:
    return where(GT(x, 0.0), x, alpha * p.expm1(where(GT(x, 0.0), 0.0, x)))


def _leaky_relu(x: Any, slope: Any) -> Any:
    return where(GT(x, 0.0), x, slope * x)


def _mod(a: Any, b: Any) -> Any:
    rest = p.fmod(a, b)
    moved = where(EQ(LT(b, 0.0), LT(rest, 0.0)), rest, rest + b)
    return where(EQ(rest, 0.0), p.copysign(0.0, b), moved)


def _floordiv(a: Any, b: Any) -> Any:
    rest = _mod(a, b)
    quotient = where(EQ(rest, b), -1.0, (a - rest) / b)  # the whole of an infinite b is left
    below = p.floor(quotient)
    nearest = where(GT(quotient - below, 0.5), below + 1.0, below)
    zero = p.copysign(0.0, a / b)
    return where(EQ(b, 0.0), math.nan, where(EQ(quotient, 0.0), zero, nearest))


def _copysign(a: Any, b: Any) -> Any:
    return where(LT(b, 0.0), -p.abs(a), p.abs(a))


def _sum(*x: Any) -> Any:
    total = x[0]
    for term in x[1:]:
        total = total + term
    return total


def _prod(*x: Any) -> Any:
    total = x[0]
    for factor in x[1:]:
        total = total * factor
    return total


def _dot(*x: Any) -> Any:
    half = len(x) // 2
    return _sum(*(a * b for a, b in zip(x[:half], x[half:], strict=True)))


def _largest(x: Any) -> Any:
    largest = x[0]
    for other in x[1:]:
        largest = p.maximum(largest, other)
    return largest


def _rest(x: Any, largest: Any) -> Any:
    """Σ e^(xᵢ − m) without the first of the largest."""
    found: Any = 0.0
    rest: Any = 0.0
    for a in x:
        here = where(found, 0.0, EQ(a, largest))
        rest = rest + where(here, 0.0, p.exp(a - largest))
        found = where(found, 1.0, here)
    return rest


def _logsumexp(*x: Any) -> Any:
    largest = _largest(x)
    finite = LT(p.abs(largest), math.inf)
    return where(finite, largest + p.log1p(_rest(x, where(finite, largest, 0.0))), largest)


def _cross_entropy(*x: Any) -> Any:
    half = len(x) // 2
    logits, targets = x[:half], x[half:]
    largest = _largest(logits)
    spread = p.log1p(_rest(logits, largest))
    return _sum(*(t * (spread + (largest - a)) for a, t in zip(logits, targets, strict=True)))


def _take(i: Any, *table: Any) -> Any:
    chosen = table[0]
    for j, entry in enumerate(table[1:], start=1):
        chosen = where(EQ(i, float(j)), entry, chosen)
    return chosen


FORMULAS: dict[Primitive, Callable[..., Any]] = {
    p.sign: _sign,
    p.step: _step,
    p.relu: _relu,
    p.maximum: _maximum,
    p.minimum: _minimum,
    p.clip: _clip,
    p.square: lambda x: x * x,
    p.reciprocal: lambda x: 1.0 / x,
    p.sech: _sech,
    p.sigmoid: _sigmoid,
    p.softplus: _softplus,
    p.silu: _silu,
    p.gelu_tanh: _gelu_tanh,
    p.gelu: lambda x: where(GE(x, -37.0), x * _normal_cdf(x), _gelu_left(x)),
    p.normal_pdf: _normal_pdf,
    p.normal_cdf: _normal_cdf,
    p.elu: _elu,
    p.leaky_relu: _leaky_relu,
    p.mod: _mod,
    p.floordiv: _floordiv,
    p.sum: _sum,
    p.prod: _prod,
    p.mean: lambda *x: _sum(*x) / float(len(x)),
    p.dot: _dot,
    p.logsumexp: _logsumexp,
    p.cross_entropy: _cross_entropy,
    p.identity: lambda x: x,
    DETACH: lambda x: x,
    LEAF: lambda x: x,
    **ELEMENTARY,
    **SPECIAL,
    TAKE: _take,
}


def _gelu_left(x: Any) -> Any:
    """x Φ(x) far to the left, by DLMF 7.12.1, where Φ has left the normal numbers."""
    inverse = 1.0 / (x * x)
    tail: Any = 1.0
    for odd in (11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        tail = 1.0 - odd * inverse * tail
    return -_normal_pdf(x) * tail


__all__ = ["FORMULAS", "PRODUCT_ERROR"]
