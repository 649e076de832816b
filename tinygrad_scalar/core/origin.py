"""When a leaf was made, and whether a compiled function closes over it: both stand in `_made`.

It counts the calls of `grad` before the leaf was made; once a compiled function closes over the
leaf it is the complement of that count, which is negative and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tinygrad_scalar.core.recorded import Recorded


def close_over(node: Any) -> None:
    """Note that a compiled function closes over a node: a gradient by it would miss that."""
    made = getattr(node, "_made", 0)  # a computed one has none
    node._made = min(made, ~made)


def made_before(leaf: Any, run: int) -> bool:
    """Whether a leaf was made before the call of `grad` of this number began."""
    made: int = leaf._made
    return max(made, ~made) < run


def check_not_closed_over(leaves: Iterable[Any], name: str) -> None:
    """TypeError for an argument that a compiled function closes over: its results are numbers."""
    for i, leaf in enumerate(leaves):
        # what is traced has no nodes; a computed one has the mark only
        if issubclass(type(leaf), Recorded) and getattr(leaf, "_made", 0) < 0:
            raise TypeError(
                f"{name}: a compiled function closes over number {i} of the arguments, "
                "and gives plain numbers, through which no gradient flows: pass it to the "
                "compiled function as an argument, or detach() it"
            )
