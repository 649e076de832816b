"""One use of a row: its partials at the operands it had, and their products with what flows by.

The way back multiplies partials with gradients, forward mode with tangents; what is undefined, and
what is structurally zero, is judged here for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive, no_kinks
from tinygrad_scalar.core.provenance import NOTHING, Provenance
from tinygrad_scalar.core.undefined import (
    Judge,
    by_rule,
    checked_slope,
    is_nan,
    plain,
    structural_zeros,
)
from tinygrad_scalar.numbers.precision import like, together

_INFINITIES = (math.inf, -math.inf)
# What a mode adds up is, and is told of as, these rows.
ADDITION, PRODUCTS = primitives.sum, primitives.dot


class Application:
    """A row at a point: `y` its result, `x` what its partials get, `operands` what was passed."""

    __slots__ = ("_all", "_carried", "_shared", "_zeros", "at_kink", "numbers", "operands",
                 "primitive", "provenance", "x", "y")  # fmt: skip

    def __init__(
        self,
        primitive: Primitive,
        y: Any,
        x: Sequence[Any],
        operands: Sequence[Any],
        provenance: Provenance = NOTHING,
    ) -> None:
        self.primitive, self.y, self.x = primitive, y, x
        self.operands, self.provenance = operands, provenance
        self._carried = any(isinstance(each, Carrier) for each in x)
        self.numbers: Sequence[Any] = together([plain(each) for each in x]) if self._carried else x
        self.at_kink = primitive.kinks is not no_kinks and bool(primitive.kinks(*self.numbers))
        self._all: Sequence[Any] | None = None if primitive.arity is None else primitive.partials
        self._zeros: Sequence[bool] | None = None
        self._shared: Sequence[Any] | None = None  # what the pull of such a row gave

    def __repr__(self) -> str:
        return f"{self.primitive.name}({', '.join(map(repr, self.numbers))})"

    @property
    def _rules(self) -> Sequence[Any]:
        """One number or function per operand; of a row of any number of them all come at once."""
        if self._all is None:
            self._all = tuple(self.primitive.all_partials(self.y, self.x))
        return self._all

    def _structurally_zero(self, i: int) -> bool:
        if self._zeros is None:
            self._zeros = structural_zeros(self.primitive, self.operands)
        return self._zeros[i]

    def partial(self, i: int) -> Any:
        """∂y/∂x_i: a number on numbers, else whatever the operands carry."""
        rule = self._rules[i]
        first = self.y[0] if isinstance(self.y, tuple) else self.y
        if self._carried and callable(rule):
            rule = checked_slope(self.primitive, i, self._on_carriers(rule, i))
        else:
            rule = by_rule(self.primitive, rule, i, self.y, self.x)
            if self.at_kink and is_nan(rule) and self.primitive.subgradient:  # a tie of infinities
                rule = self.primitive.subgradient[i]
        return rule if isinstance(rule, Carrier) else like(rule, plain(first))

    def _on_carriers(self, rule: Any, i: int) -> Any:
        try:
            return rule(self.y, *self.x)
        except (ArithmeticError, ValueError):
            if self.at_kink and self.primitive.subgradient:
                return self.primitive.subgradient[i]
            with context.override(ieee=True):
                return rule(self.y, *self.x)

    def term(self, i: int, factor: Any, judge: Judge) -> Any:
        """∂y/∂x_i · factor, None if that is structurally zero.

        What the row's pull gives is taken; where that is NaN or infinite, or none is stated, the
        partial tells whether something undefined stands behind it.
        """
        if self._shared is not None and self.primitive.opaque:
            return self._shared[i]  # it has judged by itself, structural zeros too
        pulled = None if self._is_unit(factor) else self._by_pull(i, factor)
        if pulled is not None:
            return None if plain(pulled) == 0 and self._structurally_zero(i) else pulled
        partial = self.partial(i)
        number = plain(partial)
        # a NaN is one too: x ** 0 is the constant 1 whatever x is
        constant = (number == 0 or is_nan(number)) and self._structurally_zero(i)
        if self.at_kink and not (constant and callable(self._rules[i])):
            partial = judge.at_kink(self, i, partial)
            constant = constant and partial == 0
        elif is_nan(number) and not constant and not self._from_nan(factor):
            return judge.fault(self, i, "has no derivative there (outside its open domain)", factor)
        if constant:
            return None
        if zero_times_infinity(plain(partial), plain(factor)):
            return judge.fault(self, i, "makes 0·∞ on the way", factor)
        return product(factor, partial)

    def _from_nan(self, factor: Any) -> bool:
        """Whether a NaN went into it."""
        return any(map(is_nan, (*self.numbers, plain(factor))))

    def overflows(self, i: int, factor: Any) -> bool:
        """Whether an infinite term of operand i is only too large for a float: no pole."""
        if self.primitive.opaque:  # it does not tell
            return False
        several = isinstance(self.y, tuple)
        y = tuple(map(plain, self.y)) if several else (plain(self.y),)
        if not all(map(math.isfinite, (*y, *self.numbers, plain(factor)))):
            return False
        rule = None if self.primitive.arity is None else self.primitive.partials[i]
        try:
            if callable(rule):
                rule(y if several else y[0], *self.numbers)
        except OverflowError:
            return True
        except (ArithmeticError, ValueError):
            return False
        return True

    def shrinks(self, i: int) -> bool:
        """Whether the partial of operand i makes smaller what it is multiplied with."""
        return self.primitive.opaque or bool(abs(plain(self.partial(i))) < 1)

    def share(self, factor: Any, asked: Sequence[bool]) -> None:
        """All operands get the same factor: a row of any number of them pulls once.

        `asked` tells for which operands: the others of a checkpointed function are not judged.
        """
        row = self.primitive
        if row.arity is None and row.pulls[0] is not None:
            if row.opaque:
                self._shared = row.pulls[0](factor, self.y, *self.x, asked=asked)
            elif not self._is_unit(factor):
                self._shared = self._attempted(row.pulls[0], factor)

    def _is_unit(self, factor: Any) -> bool:
        """Whether this is the plain 1 of a seed, with which a graph multiplies nothing."""
        return self._carried and not isinstance(factor, Carrier) and bool(factor == 1)

    def _by_pull(self, i: int, factor: Any) -> Any:
        """The same by the row's pull; None where it states none, or gives no finite number.

        One that overflows on its way may be the product of a finite partial all the same.
        """
        if self.at_kink:
            return None
        if self.primitive.arity is None:
            pulled = None if self._shared is None else self._shared[i]
        else:
            rule = self.primitive.pulls[i]
            pulled = None if rule is None else self._attempted(rule, factor)
        if pulled is None or is_nan(number := plain(pulled)) or number in _INFINITIES:
            return None
        return pulled if isinstance(pulled, Carrier) else like(pulled, plain(self.y))

    def _attempted(self, rule: Any, factor: Any) -> Any:
        try:
            return rule(factor, self.y, *self.x)
        except (ArithmeticError, ValueError):  # a pole
            return None


def zero_times_infinity(a: Any, b: Any) -> bool:
    """Whether a product is 0·∞."""
    return bool((a == 0 and b in _INFINITIES) or (b == 0 and a in _INFINITIES))


def product(a: Any, b: Any) -> Any:
    """a · b, but factors 1 and −1 that are plain numbers make no node."""
    if isinstance(a, Carrier) != isinstance(b, Carrier):
        factor, carried = (b, a) if isinstance(a, Carrier) else (a, b)
        if factor == 1:
            return carried
        if factor == -1:
            return -carried  # type: ignore[operator]
    return a * b
