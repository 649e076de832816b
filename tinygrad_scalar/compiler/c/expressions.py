"""A row of the table as an expression of C, and a number as C reads it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from tinygrad_scalar.compiler.ir.memory import MEMORY
from tinygrad_scalar.compiler.ir.tape import EVERY_ROW, GUARDS, LOAD

NATIVE = frozenset((*(row for row in EVERY_ROW if row.c), *MEMORY, LOAD, *GUARDS))
CUDA = frozenset((*(row for row in EVERY_ROW if row.cuda), *MEMORY, LOAD, *GUARDS))


def expression(pattern: str, operands: Sequence[str]) -> str:
    """What the row's `c` or `cuda` makes of operands that are written already.

    >>> expression("{0} + {1}", ["u1", "x[2]"]), expression("exp", ["u1"])
    ('u1 + x[2]', 'exp(u1)')
    """
    return pattern.format(*operands) if "{" in pattern else f"{pattern}({', '.join(operands)})"


def literal(number: float, real: str = "double") -> str:
    """A number as C reads it, to the bit; NaN and infinity by the names of <math.h>.

    >>> literal(0.1), literal(-2.0), literal(float("inf")), literal(0.1, "float")
    ('0.1', '(-2.0)', '(INFINITY)', '0.10000000149011612f')
    """
    if real == "float":
        number = _as_float(number)
    if not math.isfinite(number):
        name = "NAN" if math.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"
        return f"((float){name})" if real == "float" else f"({name})"
    text = f"{number!r}f" if real == "float" else repr(number)
    return f"({text})" if text[0] == "-" else text


def _as_float(number: float) -> float:
    """The number that a float holds; infinity beyond the largest."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)
