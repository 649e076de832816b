"""Exact derivatives of rational programs: fractions with nilpotent units ε₁, ε₂, … (ε² = 0).

Seeding x_i + ε₁ and x_j + ε₂ leaves ∂²f/∂x_i∂x_j in front of ε₁ε₂. Only + − × ÷ and whole powers
exist here: a program that needs anything else raises TypeError and so shows that it is not
rational. Source: Fike and Alonso 2011, *The development of hyper-dual numbers*.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

# A fraction doubles in length with each multiplication: about a dozen of these in a row.
LONGEST = 1 << 17
HIGHEST = 1000


class HyperDual:
    """Σ c_S ε_S over sets S of units, kept as {bit mask of S: c_S}; compared by its standard part.

    >>> x = HyperDual({0: Fraction(3), 1: Fraction(1)})
    >>> (x * x / 2).parts[1]
    Fraction(3, 1)
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Any) -> None:
        self.parts: dict[int, Fraction] = parts if isinstance(parts, dict) else {0: Fraction(parts)}

    @property
    def standard(self) -> Fraction:
        """The part without a unit, which comparisons look at."""
        return self.parts.get(0, Fraction(0))

    def __add__(self, other: Any) -> HyperDual:
        total = dict(self.parts)
        for mask, b in _parts(other).items():
            total[mask] = total.get(mask, Fraction(0)) + b
        return HyperDual(total)

    def __mul__(self, other: Any) -> HyperDual:
        product: dict[int, Fraction] = {}
        for s, a in self.parts.items():
            for t, b in _parts(other).items():
                if not s & t:
                    product[s | t] = product.get(s | t, Fraction(0)) + a * b
        for c in product.values():
            if c.numerator.bit_length() + c.denominator.bit_length() > LONGEST:
                raise OverflowError("too long to stay exact")
        return HyperDual(product)

    def __truediv__(self, other: Any) -> HyperDual:
        parts = dict(_parts(other))
        standard = parts.pop(0, Fraction(0))
        # 1 / (c + n) = 1/c − n/c² + n²/c³ − …, which ends since n is nilpotent
        step = HyperDual({mask: -c / standard for mask, c in parts.items()})
        term = self * (1 / standard)
        total = term
        while term.parts:
            term = term * step
            total = total + term
        return total

    def __pow__(self, exponent: Any) -> HyperDual:
        wanted = HyperDual(exponent) if not isinstance(exponent, HyperDual) else exponent
        if any(wanted.parts[mask] for mask in wanted.parts if mask) or wanted.standard % 1:
            raise TypeError("not a rational power")
        if abs(wanted.standard) > HIGHEST:
            raise OverflowError("too long to stay exact")
        result: HyperDual = HyperDual(1)
        for _ in range(abs(int(wanted.standard))):
            result = result * self
        return HyperDual(1) / result if wanted.standard < 0 else result

    def __neg__(self) -> HyperDual:
        return HyperDual({mask: -c for mask, c in self.parts.items()})

    def __sub__(self, other: Any) -> HyperDual:
        return self + -HyperDual(_parts(other))

    def __rsub__(self, other: Any) -> HyperDual:
        return HyperDual(_parts(other)) + -self

    def __rtruediv__(self, other: Any) -> HyperDual:
        return HyperDual(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __abs__(self) -> HyperDual:
        return -self if self < 0 else self

    def __eq__(self, other: object) -> bool:
        return bool(self._above(other) == 0)

    def __lt__(self, other: Any) -> bool:
        return bool(self._above(other) < 0)

    def __le__(self, other: Any) -> bool:
        return bool(self._above(other) <= 0)

    def __gt__(self, other: Any) -> bool:
        return bool(self._above(other) > 0)

    def __ge__(self, other: Any) -> bool:
        return bool(self._above(other) >= 0)

    def __bool__(self) -> bool:
        return self != 0

    def _above(self, other: Any) -> Any:
        """The standard part of self − other; a branch that a unit alone would decide is refused."""
        if isinstance(other, float) and math.isinf(other):
            return -other
        difference = self - other
        if not difference.standard and any(difference.parts.values()):
            raise TypeError("a branch turns here: no rational function nearby")
        return difference.standard

    __hash__ = None  # type: ignore[assignment]  # compared by the standard part, never a key


def _parts(x: Any) -> dict[int, Fraction]:
    return x.parts if isinstance(x, HyperDual) else {0: Fraction(x)}
