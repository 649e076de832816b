"""Algorithm 6.2 on floats, at full speed: gradients under way stand in the nodes.

A sweep that was interrupted leaves only stamps behind that no other one knows, and gradients under
way that no one reads. What is *meant* is `reverse.propagate`, and a test holds the two together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from tinygrad_scalar.core import context
from tinygrad_scalar.core.passes import (
    NoFloat,
    fire,
    let_out,
    parents_first,
    received,
    settle,
    strange,
)

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_stamps = count(1)  # a node is made with 0
# One sweep at a time: what is under way stands in nodes that threads may share.
# So a partial of one's own must not wait for the backward of another thread.
running = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child has no other thread, which would never be done
    os.register_at_fork(
        before=running.acquire, after_in_parent=running.release, after_in_child=running.release
    )


def sweep(
    output: Value, seed: float, inputs: Sequence[Value] | None, *, keep: bool = True
) -> tuple[list[Value], list[float]] | None:
    """The nodes, consumers first, and their gradients.

    Writes `.grad` as `Value.backward` says, all of it at the end, or none with `keep=False`. None,
    and nothing written, if a gradient is NaN or infinite: whether something undefined arose, or one
    was only too large for a float, is for `reverse.propagate` to judge.
    """
    stamp = next(_stamps)
    inner: list[Value] = []
    leaves: list[Value] = []
    parents_first(output, stamp, inner, leaves)
    check_leaves(leaves)
    wanted = leaves
    if inputs is not None:
        wanted, inner, leaves, stamp = _restrict(inner, leaves, inputs, stamp)
        if not wanted:
            return [], []
    inner.reverse()
    try:
        gradients = fire(output, seed, inner, stamp)
    except NoFloat:
        return None
    below = received(leaves, stamp)
    asked = below if inputs is None else received(wanted, stamp)
    if not _all_finite(asked):
        return None
    if keep and inputs is None:
        settle(inner, gradients, leaves, below)
    elif keep:
        settle([], [], wanted, asked)
    order = inner
    order += leaves
    gradients += below
    return order, gradients


def sweep_inputs(output: Value, inputs: Sequence[Value], started: int) -> list[float] | None:
    """The gradients of inputs, no `.grad` written; None if a leaf is strange, or one not finite."""
    stamp = next(_stamps)
    inner: list[Value] = []
    leaves: list[Value] = []
    parents_first(output, stamp, inner, leaves)
    if strange(leaves, started):
        return None
    inner.reverse()
    try:
        fire(output, 1.0, inner, stamp)
    except NoFloat:
        return None
    gradients = received(inputs, stamp)
    return gradients if _all_finite(gradients) else None


def _all_finite(numbers: Sequence[float]) -> bool:
    total = sum(numbers)  # which overflows at times where none of them is infinite
    return total - total == 0.0 or not any(x - x != 0.0 for x in numbers)


def check_leaves(leaves: Iterable[Value]) -> None:
    """RuntimeError for a Value that a checkpointed function let out other than by returning it."""
    if context.settings().tracker is not None:
        return  # inside such a function they are at home
    stranger = let_out(leaves)
    if stranger is not None:
        raise RuntimeError(
            f"checkpoint: {stranger!r} was made inside a checkpointed function and used outside, "
            "where its history is not known: return it from that function"
        )


def leaves_below(outputs: Sequence[Value]) -> list[Value]:
    """The leaves that the outputs depend on, each once. O(edges)."""
    stamp = next(_stamps)
    leaves: list[Value] = []
    for output in outputs:
        if output._sweep != stamp:
            parents_first(output, stamp, [], leaves)
    return leaves


def _restrict(
    inner: list[Value], leaves: list[Value], inputs: Sequence[Value], stamp: int
) -> tuple[list[Value], list[Value], list[Value], int]:
    """Those of `inputs` that were reached, and the nodes on a way to one, with a stamp of theirs.

    `inner` lists parents first, so that one pass finds what depends on an input.
    """
    wanted = [node for node in inputs if node._sweep == stamp]
    if set(map(id, leaves)) <= set(map(id, wanted)):
        return wanted, inner, leaves, stamp  # every leaf is asked: every node is on a way
    way = next(_stamps)
    for node in wanted:
        node._sweep = way
    active = []
    for node in inner:
        if node._sweep != way:
            if not any(parent._sweep == way for parent in node.parents):
                continue
            node._sweep = way
        active.append(node)
    return wanted, active, [leaf for leaf in leaves if leaf._sweep == way], way
