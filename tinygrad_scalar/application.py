"""One use of a row: its partials at the operands it had, and their products with what flows by.

The way back multiplies partials with gradients, forward mode with tangents; what is undefined, and
what is structurally zero, is judged here for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tinygrad_scalar import context
from tinygrad_scalar.precision import like
from tinygrad_scalar.primitive import Carrier, Primitive
from tinygrad_scalar.provenance import NOTHING, Provenance
from tinygrad_scalar.undefined import Judge, by_rule, is_nan, plain, structural_zeros

_INFINITIES = (math.inf, -math.inf)


class Application:
    """A row at a point: `y` its result, `x` what its partials get, `operands` what was passed."""

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

    @cached_property
    def numbers(self) -> list[Any]:
        """The operands as plain numbers."""
        return [plain(x) for x in self.x]

    @cached_property
    def at_kink(self) -> bool:
        """Whether the row has no derivative here."""
        return bool(self.primitive.kinks(*self.numbers))

    @cached_property
    def _rules(self) -> Sequence[Any]:
        return self.primitive.all_partials(self.y, self.x)

    @cached_property
    def _zeros(self) -> Sequence[bool]:
        return structural_zeros(self.primitive, self.operands)

    def partial(self, i: int) -> Any:
        """∂y/∂x_i: a number on numbers, else whatever the operands carry."""
        rule = self._rules[i]
        first = self.y[0] if isinstance(self.y, tuple) else self.y
        if any(isinstance(x, Carrier) for x in self.x) and callable(rule):
            rule = self._carried(rule, i)
        else:
            rule = by_rule(self.primitive, rule, i, self.y, self.x)
        return rule if isinstance(rule, Carrier) else like(rule, plain(first))

    def _carried(self, rule: Any, i: int) -> Any:
        try:
            return rule(self.y, *self.x)
        except (ArithmeticError, ValueError):
            if self.at_kink and self.primitive.subgradient:
                return self.primitive.subgradient[i]
            with context.override(ieee=True):
                return rule(self.y, *self.x)

    def term(self, i: int, factor: Any, judge: Judge) -> Any:
        """∂y/∂x_i · factor, None if that is structurally zero."""
        partial = self.partial(i)
        number = plain(partial)
        constant = number == 0 and self._zeros[i]
        if self.at_kink and not (constant and callable(self._rules[i])):
            partial = judge.at_kink(self, i, partial)
            return None if constant and partial == 0 else product(factor, partial)
        if constant:
            return None
        if is_nan(number) and not any(map(is_nan, self.numbers)) and not is_nan(plain(factor)):
            partial = judge.fault(self, i, "has no derivative there (outside its open domain)")
        elif _zero_times_infinity(number, plain(factor)):
            return judge.fault(self, i, "makes 0·∞ on the way")
        return product(factor, partial)


def _zero_times_infinity(a: Any, b: Any) -> bool:
    return bool((a == 0 and b in _INFINITIES) or (b == 0 and a in _INFINITIES))


def product(a: Any, b: Any) -> Any:
    """a · b, but factors 1 and −1 that are plain numbers make no node."""
    pairs: tuple[tuple[Any, Any], ...] = ((a, b), (b, a))
    for factor, other in pairs:
        if isinstance(other, Carrier) and not isinstance(factor, Carrier):
            if factor == 1:
                return other
            if factor == -1:
                return -other  # type: ignore[operator]
    return a * b
