"""The operators and methods that all carriers share, each a row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core import primitives as table
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.ufuncs import apply_ufunc
from tinygrad_scalar.numbers.precision import is_number


def _operand(x: Any) -> bool:
    """Whether an operator takes it; strangers get NotImplemented and so their own chance."""
    return isinstance(x, Carrier) or is_number(x)


class Arithmetic(Carrier):
    """What a carrier can do: everything in the table, as operators and as methods."""

    __slots__ = ()
    aside = ""  # of what carries a number without `data`, how it is asked for there

    @property
    def label(self) -> str:
        """The name that a function gave it, as on a Value; nothing but that function reads it."""
        return getattr(self, "__dict__", {}).get("label", "")  # type: ignore[no-any-return]

    @label.setter
    def label(self, label: str) -> None:
        getattr(self, "__dict__", {})["label"] = label

    def __add__(self, other: Any) -> Any:
        return table.add(self, other) if _operand(other) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return table.add(other, self) if _operand(other) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return table.sub(self, other) if _operand(other) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return table.sub(other, self) if _operand(other) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        return table.mul(self, other) if _operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> Any:
        return table.mul(other, self) if _operand(other) else NotImplemented

    def __truediv__(self, other: Any) -> Any:
        return table.div(self, other) if _operand(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Any:
        return table.div(other, self) if _operand(other) else NotImplemented

    def __floordiv__(self, other: Any) -> Any:
        return table.floordiv(self, other) if _operand(other) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Any:
        return table.floordiv(other, self) if _operand(other) else NotImplemented

    def __mod__(self, other: Any) -> Any:
        return table.mod(self, other) if _operand(other) else NotImplemented

    def __rmod__(self, other: Any) -> Any:
        return table.mod(other, self) if _operand(other) else NotImplemented

    def __pow__(self, exponent: Any, modulo: Any = None) -> Any:
        if modulo is not None:
            raise TypeError("pow of a Value takes no third argument: write pow(x, y) % z")
        return table.pow(self, exponent) if _operand(exponent) else NotImplemented

    def __rpow__(self, base: Any, modulo: Any = None) -> Any:
        return table.pow(base, self) if modulo is None and _operand(base) else NotImplemented

    def __divmod__(self, other: Any) -> Any:
        quotient = self.__floordiv__(other)
        return NotImplemented if quotient is NotImplemented else (quotient, self % other)

    def __rdivmod__(self, other: Any) -> Any:
        quotient = self.__rfloordiv__(other)
        return NotImplemented if quotient is NotImplemented else (quotient, other % self)

    def __neg__(self) -> Any:
        return table.neg(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return table.abs(self)

    def __round__(self, digits: int | None = None) -> Any:
        return table.round(self) if digits is None else table.round_to(self, index(digits))

    def __floor__(self) -> Any:
        return table.floor(self)

    def __ceil__(self) -> Any:
        return table.ceil(self)

    def __trunc__(self) -> Any:
        return table.trunc(self)

    def log(self, base: Any = None) -> Any:
        """log x, or log x / log base."""
        return table.log(self) if base is None else table.log(self) / table.log(base)

    def gelu(self, approximate: str = "none") -> Any:
        """x Φ(x), or its approximation by tanh."""
        return gelu(self, approximate)

    def leaky_relu(self, slope: Any = 0.01) -> Any:
        """x, or slope · x where x is negative."""
        return table.leaky_relu(self, slope)

    def elu(self, alpha: Any = 1.0) -> Any:
        """x, or alpha · (e^x − 1) where x is negative."""
        return table.elu(self, alpha)

    def clip(self, lo: Any, hi: Any, out: None = None) -> Any:
        """At least lo and at most hi; `out` is for numpy.clip and must be None."""
        if out is not None:
            raise TypeError("clip: a Value cannot be written into; leave out= away")
        return table.clip(self, lo, hi)

    def conjugate(self) -> Any:
        """This itself, as for floats; numpy.var asks for it."""
        return self

    @property
    def real(self) -> Any:
        """This itself."""
        return self

    @property
    def imag(self) -> float:
        """0: what is carried is real."""
        return 0.0

    def _refuse(self, what: str, instead: str) -> Any:
        number = f"the number{self.aside}"
        raise TypeError(f"{what} would drop the gradient: use v.data for {number}{instead}")

    def __float__(self) -> float:
        """Refused: `math.sin(v)` and `float(v)` would lose the gradient without a word."""
        return self._refuse(  # type: ignore[no-any-return]
            "float() of a Value (or a function of math or statistics on it)",
            ", or this library's function, such as tinygrad_scalar.sin or tinygrad_scalar.mean; "
            "an array that is to hold Values has dtype=object",
        )

    def __int__(self) -> int:
        return self._refuse(  # type: ignore[no-any-return]
            "int() of a Value", ", or math.floor, math.trunc and round, which give Values"
        )

    def __index__(self) -> int:
        return self._refuse(  # type: ignore[no-any-return]
            "a Value as an index, an integer, or how often a list is repeated", ": int(v.data)"
        )

    def as_integer_ratio(self) -> tuple[int, int]:
        """Refused: what `statistics` asks of numbers."""
        return self._refuse(  # type: ignore[no-any-return]
            "a Value as a ratio of integers (statistics.mean)", ", or tinygrad_scalar.mean"
        )

    def __complex__(self) -> complex:
        return self._refuse("complex() of a Value", "")  # type: ignore[no-any-return]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, options)


def _methods() -> dict[str, Primitive]:
    """The rows that are methods, by name; under NumPy's spellings too, which its ufuncs call."""
    rows = [row for row in table.TABLE.values() if row.public and row.arity is not None]
    spelt = {name: row for row in rows for name in row.numpy}
    return {**spelt, **{row.name: row for row in rows}}


METHODS = _methods()
if __file__.endswith(".py"):  # to a compiled class value.pyx gives them
    for _name in METHODS.keys() - vars(Arithmetic).keys():
        setattr(Arithmetic, _name, METHODS[_name])


def gelu(x: Any, approximate: str = "none") -> Any:
    """gelu(x) = x Φ(x); with `approximate="tanh"` the formula by tanh.

    Errors: ValueError for another `approximate`. Source: Hendrycks and Gimpel 2016, section 2.

    >>> gelu(1.0)
    0.841344746068543
    """
    if approximate == "none":
        return table.gelu(x)
    if approximate == "tanh":
        return table.gelu_tanh(x)
    raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')


class Limit(Arithmetic):
    """A number in IEEE arithmetic, where 1/0 is inf and log(-1) NaN: for partials at poles.

    Level 0 meets only plain numbers: it is wrapped around these, used and unwrapped at once.
    """

    __slots__ = ("number",)

    def __init__(self, number: Any) -> None:
        self.number = number

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Limit:
        """The row with its limits instead of its exceptions."""
        with context.override(ieee=True):
            return Limit(primitive.evaluate([unlimited(x) for x in operands]))

    def example(self) -> Any:
        """The number itself."""
        return self.number

    def __eq__(self, other: object) -> bool:
        return bool(self.number == unlimited(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.number < unlimited(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.number <= unlimited(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.number > unlimited(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.number >= unlimited(other))

    __hash__ = None  # type: ignore[assignment]  # compared by number, never a key


def unlimited(x: Any) -> Any:
    """The number inside a `Limit`, anything else as it is."""
    return x.number if isinstance(x, Limit) else x
