"""`Carrier`: the base of everything that can be pushed through a row instead of a plain number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinygrad_scalar.core.primitive import Primitive
    from tinygrad_scalar.numbers.precision import Number


class Carrier:
    """Base of everything that can be pushed through a row instead of a plain number.

    Where carriers meet, the one with the highest `level` handles the operation and treats the
    lower ones as numbers: a `Dual` may hold `Value`s, never the other way round.
    """

    __slots__ = ()
    level = 0.0

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The primitive on operands among which this has the highest level."""
        raise NotImplementedError

    def resolved(self) -> Any:
        """What this stands for now: itself, unless the pass that made it has ended."""
        return self

    def detach(self) -> Any:
        """The same number as a constant."""
        raise NotImplementedError

    def example(self) -> Number:
        """A plain number of the kind carried, for constants in the same precision."""
        raise NotImplementedError


def resolved(x: Any) -> Any:
    """What `x` stands for now; anything but a carrier stands for itself."""
    return x.resolved() if isinstance(x, Carrier) else x
