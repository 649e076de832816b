"""Random numbers that a function draws while it is traced: its code would repeat them for ever."""

from __future__ import annotations

import pickle
import sys
from typing import Any


def state() -> Any:
    """What Python's and NumPy's shared generators are about to draw from; others are not known."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    return (
        None if python is None else python.getstate(),
        None if numpy is None else pickle.dumps(numpy.get_state(legacy=False)),
    )
