"""What is switched on while an expression is computed: recording, counting, line tracing, scopes.

Every block (`with no_grad():` …) is a change of one immutable record in a `ContextVar`, so threads
and coroutines never see each other's. The hot operators must not pay for a look-up that is almost
never needed: they read the plain module attribute `plain`, which is False while any block is open
in any thread, and only then take the way that asks `settings()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol


class Counter(Protocol):
    """What `Settings.counters` holds: told of each forward rule and each recorded node."""

    def evaluated(self) -> None: ...
    def recorded(self, node: object) -> None: ...
    def propagated(self, edges: int) -> None: ...


class Settings(NamedTuple):
    """The open blocks of this thread of control."""

    recording: bool = True  # False under no_grad()
    ieee: bool = False  # a failing forward rule gives its limit (inf, nan) instead of raising
    lines: bool = False  # note the line of user code that made each node
    scope: tuple[str, ...] = ()  # the drawing's boxes around the nodes made now
    undefined: Any = "subgradient"  # the policy of forward mode, see undefined.py
    counters: tuple[Counter, ...] = ()
    tracker: Any = None  # notes which Values a checkpointed function uses
    # a tracer is asked wherever a Value is compared or detached, by the name of what is done
    tracer: Callable[[str, Any, Any, bool], Any] | None = None


plain: bool = True
silent = 0  # open blocks, in any thread, in which nothing is recorded
runs = (
    0  # calls of grad and the like so far: a leaf notes the number, and so tells what it predates
)
own_rows = False  # whether there are rows whose rules may raise, or ask for derivatives themselves
_default = Settings()
_current: ContextVar[Settings] = ContextVar("tinygrad_scalar_settings", default=_default)
_open_blocks = 0
_lock = threading.Lock()


def settings() -> Settings:
    """The record in force here."""
    return _current.get()


def _count_block(change: int, recording: bool) -> None:
    global _open_blocks, plain, silent
    with _lock:
        _open_blocks += change
        plain = _open_blocks == 0
        silent += 0 if recording else change


@contextmanager
def override(**changes: Any) -> Iterator[Settings]:
    """Settings with `changes` inside the block, restored however it ends."""
    token = _current.set(_current.get()._replace(**changes))
    recording = changes.get("recording", True)
    _count_block(+1, recording)
    try:
        yield _current.get()
    finally:
        _count_block(-1, recording)
        _current.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: results inside the block are leaves.

    Cost O(1). Usable as a decorator too.

    >>> from tinygrad_scalar import Value, no_grad
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.parents
    (9.0, ())
    """
    with override(recording=False):
        yield
