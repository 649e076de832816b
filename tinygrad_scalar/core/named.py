"""What a pickle says of a function: its name, where that leads to it, or its code."""

from __future__ import annotations

import pickle
import sys
from types import FrameType, FunctionType
from typing import Any


def found_by_name(thing: Any) -> bool:
    """Whether the name that a wrapper took from its function leads to it, here and in a pickle.

    Not in a pickle of cloudpickle's where it was defined in a script or a notebook: the process
    that reads it has another `__main__`, and the function has to go along.
    """
    home = getattr(thing, "__module__", None)
    found: Any = sys.modules.get(home or "")
    for part in getattr(thing, "__qualname__", "?").split("."):
        found = getattr(found, part, None)
    return found is thing and not (home == "__main__" and functions_by_value())


def functions_by_value() -> bool:
    """Whether what is being pickled is pickled by cloudpickle, or by joblib's copy of it.

    It carries the code of a function that has no name elsewhere. A pickler has no way to say so to
    the objects that it meets, but its own `dump` is always among the callers.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        home = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "dump" and home.endswith("cloudpickle"):
            return True
        frame = frame.f_back
    return False


def pickles(function: Any) -> bool:
    """Whether a function can be pickled by its name, or any other callable as it is."""
    if isinstance(function, FunctionType):
        return found_by_name(function)
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True
