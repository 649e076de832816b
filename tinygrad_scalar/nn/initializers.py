"""Where weights start: one random number per weight, seeded.

| name | distribution | source |
|---|---|---|
| `"uniform"` | U(−1, 1) | as in micrograd |
| `"normal"` | N(0, 1) | |
| `"he"` | N(0, 2 / nin), for relu | He et al. 2015, arXiv:1502.01852, equation 10 |
| `"glorot"` | U(−a, a), a = √(6 / (nin + nout)) | Glorot, Bengio 2010; Deep Learning, eq. 8.23 |

A callable `(nin, nout)` that gives one weight serves as well. Biases start at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_scalar.core.tree import carried

Initializer = str | Callable[[int, int], Any]

_NAMED: dict[str, Callable[[Any, int, int], float]] = {
    "uniform": lambda source, nin, nout: source.uniform(-1.0, 1.0),
    "normal": lambda source, nin, nout: source.gauss(0.0, 1.0),
    "he": lambda source, nin, nout: source.gauss(0.0, math.sqrt(2.0 / nin)),
    "glorot": lambda source, nin, nout: source.uniform(-1.0, 1.0) * math.sqrt(6.0 / (nin + nout)),
}


def initializer(init: Initializer, nin: int, nout: int, source: Any) -> Callable[[], Any]:
    """A function without arguments that draws one weight of a layer of nin inputs, nout outputs.

    Errors: ValueError for an unknown name, TypeError for what is neither a name nor callable.

    >>> import random
    >>> draw = initializer("uniform", 2, 1, random.Random(0))
    >>> draw() == random.Random(0).uniform(-1.0, 1.0)
    True
    """
    if callable(init):
        return lambda: carried(init(nin, nout), "what init(nin, nout) returned")
    if not isinstance(init, str):
        raise TypeError(f"init is a name or a callable (nin, nout), not {type(init).__name__}")
    if init not in _NAMED:
        names = ", ".join(map(repr, _NAMED))
        raise ValueError(f"init is one of {names} or a callable (nin, nout), not {init!r}")
    distribution = _NAMED[init]
    return lambda: distribution(source, nin, nout)
