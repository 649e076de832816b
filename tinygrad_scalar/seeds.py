"""Where random numbers come from: Python's own generator, or one of a seed."""

from __future__ import annotations

import operator
import random
from typing import Any

Seed = int | str | random.Random | None


def generator(seed: Seed) -> Any:
    """The source of random numbers for `seed`; Python's own `random` without one.

    A generator is given back as it is, so that the parts of a model draw from one source. O(1).
    Errors: TypeError for anything else.

    >>> generator(0).random() == generator(0).random(), generator(None) is random
    (True, True)
    """
    if seed is None:
        return random
    if isinstance(seed, random.Random):
        return seed
    try:
        return random.Random(operator.index(seed) if hasattr(seed, "__index__") else seed)
    except TypeError:
        kind = type(seed).__name__
        raise TypeError(f"seed is an int, a str, a random.Random or None, not {kind}") from None
