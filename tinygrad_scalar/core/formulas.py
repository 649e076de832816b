"""What formulas of rows are written with: rows in the place of functions, and constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from tinygrad_scalar.core.carrier import Carrier


def on_rows(
    function: Callable[..., Any], rows: Mapping[str, Any], homes: dict[int, dict[str, Any]]
) -> Callable[..., Any]:
    """A formula on floats as one over anything: the rows stand for the functions of their names.

    `homes` keeps what was made of each module that formulas come from.
    """
    if not isinstance(function, FunctionType):
        return function
    home = function.__globals__
    names = homes.get(id(home))
    if names is None:
        names = homes[id(home)] = {**home, **{name: rows[name] for name in home if name in rows}}
        for name, thing in home.items():
            if name not in rows and isinstance(thing, FunctionType):
                names[name] = on_rows(thing, rows, homes)
    made = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__doc__, made.__module__ = function.__doc__, function.__module__
    return made


def constant(name: str, x: Any) -> Any:
    """The constant of that name in the precision of `x`, whatever carries it."""
    number = x.example() if isinstance(x, Carrier) else x
    arbitrary = getattr(number, "context", None)
    in_floats, precisely = _CONSTANTS[name]
    return in_floats if arbitrary is None else +precisely(arbitrary)


_CONSTANTS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "ln2": (math.log(2.0), lambda m: m.ln2),
    "ln10": (math.log(10.0), lambda m: m.ln10),
    "180/π": (180.0 / math.pi, lambda m: 180 / m.pi),
    "π/180": (math.pi / 180.0, lambda m: m.pi / 180),
    "λ": (1.0507009873554805, lambda m: m.mpf(1.0507009873554805)),
    "λα": (
        1.0507009873554805 * 1.6732632423543772,
        lambda m: m.mpf(1.0507009873554805) * m.mpf(1.6732632423543772),
    ),
    "√π/2": (math.sqrt(math.pi) / 2.0, lambda m: m.sqrt(m.pi) / 2),
    "2/√π": (2.0 / math.sqrt(math.pi), lambda m: 2 / m.sqrt(m.pi)),
    "√(8/π)": (math.sqrt(8.0 / math.pi), lambda m: m.sqrt(8 / m.pi)),
}
