"""Checks of what modules are given; the messages name the module and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def checked_list(x: Any, width: int, module: Any) -> None:
    """TypeError unless `x` is one list, ValueError unless it is of length `width`."""
    given = len(x) if type(x) is list or is_list(x) else -1
    rows = type(x) is list and given > 0 and type(x[0]) is list
    if given == width and not rows:
        return
    wanted = f"{_brief(module)}: x is a list of {width} number{'s' * (width != 1)}"
    if rows:
        raise TypeError(f"{wanted}, not a list of lists: [model(x) for x in X]")
    if given < 0:
        raise TypeError(f"{wanted}, not {type(x).__name__}")
    raise ValueError(f"{wanted}, and got {given}")


def check_examples_listed(name: str, things: Any) -> None:
    """TypeError unless these are a list; `name` names the operation too."""
    if not is_list(things):
        kind = type(things).__name__
        raise TypeError(f"{name} is a list, one for each example, not {kind}")


def _brief(module: Any) -> str:
    """The module in one short line: its `repr`, or only its class where that is long."""
    text = repr(module)
    return text if len(text) <= 40 else type(module).__name__


def is_list(x: Any) -> bool:
    """Whether `x` is a list of things rather than one number; a text is none, nor is a dict."""
    if isinstance(x, (str, bytes, dict)):
        return False
    if isinstance(x, Sequence):
        return True
    sized = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    return sized and getattr(x, "shape", None) != ()  # an array without axes has no length
