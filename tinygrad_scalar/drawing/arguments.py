"""The arguments that the functions of this room share, checked; errors name the function called."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from tinygrad_scalar.core.tree import is_word
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_whole

Color = Literal["grad"] | None
Direction = Literal["LR", "TB"]
Theme = Literal["auto", "light", "dark"]
_DIGITS = 17  # what a float has


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


def checked_count(name: str, count: Any, least: int, caller: str) -> int | None:
    """`count`; TypeError or ValueError unless it is None or an int of at least `least`."""
    if count is None:
        return None
    if not is_whole(count):
        raise TypeError(f"{caller}: {name} is an int or None, not {type(count).__name__}")
    if count < least:
        raise ValueError(f"{caller}: {name} is at least {least}, not {count}")
    return int(count)


def check_timeout(timeout: Any, caller: str) -> None:
    """TypeError or ValueError unless `timeout` is a positive number of seconds."""
    if not (is_whole(timeout) or isinstance(timeout, float)):
        raise TypeError(f"{caller}: timeout is a number of seconds, not {type(timeout).__name__}")
    if not 0 < timeout < math.inf:
        raise ValueError(f"{caller}: timeout is a positive number of seconds, not {timeout}")


def check_flag(name: str, flag: Any, caller: str) -> None:
    """TypeError unless `flag` is True or False."""
    if not isinstance(flag, bool):
        raise TypeError(f"{caller}: {name} is True or False, not {flag!r}")


class Look(NamedTuple):
    """How a picture is to look: the options that do not decide what is in it."""

    direction: Direction = "LR"
    digits: int = 6
    theme: Theme = "auto"
    title: str | None = None
    color: Color = None
    focus: Any = None
    derivatives: bool = True
    values: bool = True
    gradients: bool = True

    def checked(self, caller: str) -> Look:
        """The same. Errors: TypeError and ValueError that name the option."""
        _check_word("color", self.color, (None, "grad"), caller)
        _check_word("direction", self.direction, ("LR", "TB"), caller)
        _check_word("theme", self.theme, ("auto", "light", "dark"), caller)
        digits = checked_count("digits", self.digits, 1, caller) or 6
        if digits > _DIGITS:
            raise ValueError(f"{caller}: digits is at most {_DIGITS}, not {digits}")
        if self.title is not None and not isinstance(self.title, str):
            raise TypeError(f"{caller}: title is a str or None, not {type(self.title).__name__}")
        for name in ("derivatives", "values", "gradients"):
            check_flag(name, getattr(self, name), caller)
        return self._replace(digits=digits)


def _check_word(name: str, word: Any, words: tuple[str | None, ...], caller: str) -> None:
    if not is_word(word, words):
        choices = " or ".join(f'"{choice}"' if choice else "None" for choice in words)
        raise ValueError(f"{caller}: {name} is {choices}, not {word!r}")


def check_dpi(dpi: Any) -> None:
    """TypeError or ValueError unless `dpi` is a number of dots per inch that makes sense."""
    if not (is_whole(dpi) or isinstance(dpi, float)):
        raise TypeError(f"save: dpi is a number of dots per inch, not {type(dpi).__name__}")
    if not 10 <= dpi <= 2400:
        raise ValueError(f"save: dpi is between 10 and 2400, not {dpi}")
