"""What formulas are made of that `math` has not: a choice, a rounding error, the parts of the bits.

A *formula* is a value written once, over anything with arithmetic: on floats it runs as it stands,
and the table of primitives puts its rows in the place of these names and of those of `math`, so
that the same lines are traced, drawn, and run in lanes (see `core/primitive.py`, `on_rows`).
So it has no `if`: pieces are chosen by `where`. A branch that is a function without arguments is
called only if it is taken, where that is known.
"""

import math
from typing import Any


def where(condition: Any, a: Any, b: Any) -> Any:
    """a if the condition holds, else b; a function without arguments is called only if taken.

    >>> where(2.0 > 1.0, 5.0, lambda: 1 / 0)
    5.0
    """
    taken = a if condition else b
    return taken() if callable(taken) else taken


def product_error(a: Any, b: Any, product: Any) -> Any:
    """Exactly a·b − product, where product is a·b rounded. One instruction where there is an fma.

    Domain: |a|, |b| < 1e300. O(1), exact. Source: Dekker 1971, Numer. Math. 18, 224–242.

    >>> product_error(0.1, 0.1, 0.1 * 0.1)
    -8.326672684688674e-19
    """
    a_high = 134217729.0 * a  # 2²⁷ + 1 cuts the 53 bits in two halves
    a_high = a_high - (a_high - a)
    b_high = 134217729.0 * b
    b_high = b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    return a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low


def power_of_two(k: float) -> float:
    """2ᵏ for a whole k from −1022 to 1023.

    >>> power_of_two(-3.0)
    0.125
    """
    return math.ldexp(1.0, int(k))


def exponent(x: float) -> float:
    """The k with x = 2ᵏ m and 1 ≤ m < 2, for a positive normal x.

    >>> exponent(12.0)
    3.0
    """
    return float(math.frexp(x)[1] - 1)


def mantissa(x: float) -> float:
    """The m with x = 2ᵏ m and 1 ≤ m < 2, for a positive normal x.

    >>> mantissa(12.0)
    1.5
    """
    return 2 * math.frexp(x)[0]


def polynomial(coefficients: Any, x: Any) -> Any:
    """c₀ + c₁ x + c₂ x² + …, by Horner's rule.

    >>> polynomial((1.0, 2.0, 3.0), 10.0)
    321.0
    """
    y: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        y = y * x + coefficient
    return y
