"""Points of a batch that compiled code cannot decide: they are given to the function itself.

Where a row raises, or a result is NaN or ±inf, the function may handle an exception, or a gradient
may be undefined. The kernels only tell that there is such a point; which ones it are is asked of a
second program, and they are taken one by one, at the cost of the eager mode.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

# the outputs at a point by the function itself, from the point and what compiled code gave
Settled = Callable[[Sequence[float], Sequence[float]], Sequence[float]]


def doubtful(outputs: Any, mask: Any, finite: Any) -> Any:
    """The places of the points that have to be looked at, of those where the guards hold.

    `finite` is 0 where all is finite, else NaN; None asks for all points.
    """
    import numpy as np

    if finite is None:
        chosen = np.ones(outputs.shape[1], dtype=bool)
    else:
        chosen = ~np.isfinite(finite)
        for output in outputs:
            chosen |= ~np.isfinite(output)
    return np.flatnonzero(chosen if mask is None else chosen & mask)


def settle(
    settled: Settled, columns: Sequence[Any], places: Any, outputs: Any, *, nan: bool
) -> None:
    """Write the outputs at some places, as the function itself has them.

    Unless `nan`, they stay where NaN is among the arguments.
    """
    known: dict[bytes, Any] = {}
    for place in places:
        point = array("d", [c if isinstance(c, float) else c[place] for c in columns])
        key = point.tobytes()  # many a batch has the same odd point many times
        if key not in known:
            before = outputs[:, place].tolist()
            stay = not nan and any(x != x for x in point)  # noqa: PLR0124 (NaN)
            known[key] = before if stay else settled(point, before)
        outputs[:, place] = known[key]


def without_domain(mode: str, values: Sequence[float], numbers: Sequence[float]) -> list[float]:
    """The outputs of a mode where the function raises: slopes of a value that is NaN are NaN.

    All others are those of IEEE arithmetic: ±inf at a pole, and what is computed from it.

    >>> without_domain("both", [math.nan], [math.nan, -1.0])
    [nan, nan]
    >>> without_domain("jvp", [math.nan, 2.0], [math.nan, 2.0, 0.5, 0.25])
    [nan, 2.0, nan, 0.25]
    """
    first = len(values) if mode in ("value", "jvp") else int(mode in ("both", "backward"))
    width = max(1, (len(numbers) - first) // len(values))
    return [
        x if k < first or values[(k - first) // width] == values[(k - first) // width] else math.nan
        for k, x in enumerate(numbers)
    ]
