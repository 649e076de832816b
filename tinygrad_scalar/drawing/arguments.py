"""The arguments that the functions of this room share, checked; errors name the function called."""

from __future__ import annotations

import math
from typing import Any, Literal

from tinygrad_scalar.core.value import Value

Color = Literal["grad"] | None


def checked_roots(z: Any, caller: str) -> list[Value]:
    """The Values to draw, as a list; TypeError for anything else."""
    roots = list(z) if isinstance(z, (list, tuple)) else [z]
    for root in roots:
        if not isinstance(root, Value):
            raise TypeError(
                f"{caller}: z is a Value, the output of an expression, not {type(root).__name__}"
            )
    if not roots:
        raise ValueError(f"{caller}: there is nothing to draw; give at least one Value")
    return roots


def check_count(name: str, count: Any, least: int, caller: str) -> None:
    """TypeError or ValueError unless `count` is None or an int of at least `least`."""
    if count is None:
        return
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{caller}: {name} is an int or None, not {type(count).__name__}")
    if count < least:
        raise ValueError(f"{caller}: {name} is at least {least}, not {count}")


def checked_color(color: Any, caller: str) -> Color:
    """ValueError unless `color` is None or "grad"."""
    if color not in (None, "grad"):
        raise ValueError(f'{caller}: color is None or "grad", not {color!r}')
    return color  # type: ignore[no-any-return]


def check_timeout(timeout: Any, caller: str) -> None:
    """TypeError or ValueError unless `timeout` is a positive number of seconds."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{caller}: timeout is a number of seconds, not {type(timeout).__name__}")
    if not timeout > 0 or math.isinf(timeout):
        raise ValueError(f"{caller}: timeout is a positive number of seconds, not {timeout}")
