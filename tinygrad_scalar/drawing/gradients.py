"""Which gradients a picture shows: those in `.grad`, or those of one call of `backward`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tinygrad_scalar.core.undefined import plain


class Gradients(NamedTuple):
    """What the picture shows as the gradient of a node, and of which nodes."""

    of: Callable[[Any], Any]
    known: Callable[[Any], bool]
    sums: frozenset[int] = frozenset()  # leaves that hold a sum over several calls, by id


def recorded_gradients(seen: Any) -> Gradients:
    """Those in `.grad`, once there is one: before, a gradient of 0.0 says nothing."""
    differentiated = any(root.grad for root in seen.roots)
    beside = seen.derivative

    def known(node: Any) -> bool:
        return bool(node.grad) or (differentiated and id(node) not in beside)

    return Gradients(lambda node: node.grad, known)


def table_gradients(table: Mapping[Any, Any]) -> Gradients:
    """Those of one call of `backward`."""
    found = {id(node): plain(gradient) for node, gradient in table.items()}
    return Gradients(lambda node: found.get(id(node), 0.0), lambda node: id(node) in found)
