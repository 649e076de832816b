"""What is switched on while an expression is computed: recording, counting, line tracing, scopes.

Every block (`with no_grad():` …) is a change of one immutable record in a `ContextVar`, so threads
and coroutines never see each other's. The hot operators must not pay for a look-up that is almost
never needed: they read the plain module attribute `plain`, which is False while any block is open
in any thread, and only then take the way that asks `settings()`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import wraps
from io import BytesIO
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar
from weakref import ref

P = ParamSpec("P")
R = TypeVar("R")


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
    judging: Any = None  # the policy of the way back under way
    noted: list[str] | None = None  # takes what is undefined, instead of a warning or an error
    told: list[str] | None = None  # takes the text of warnings of what is undefined
    counters: tuple[Counter, ...] = ()
    tracker: Any = None  # notes which Values a checkpointed function uses
    # while a function is compiled: a number or Value as one that is traced
    tracer: Callable[[Any], Any] | None = None
    silent: bool = False  # nothing is recorded, and at most the tracker told; said by `put_into`


plain: bool = True  # False while a block is open, and until this is noticed after the last ended
watchers: list[Callable[[bool], None]] = []  # told of it: the compiled node, which reads it in C
tracked = False  # whether a checkpointed function has made a leaf, ever
unrecorded = 0  # open blocks, in any thread, in which nothing is recorded
runs = (
    0  # calls of grad and the like so far: a leaf notes the number, and so tells what it predates
)
_default = Settings()
_LATER = 0x2A0  # flags of code that runs after the call: generators, coroutines, both at once
# Weak references to those of `lock`, which go in C: Ctrl-C in a `WeakSet` would be swallowed.
_locks = set[ref[Any]]()


def lock() -> Any:
    """A lock between threads that a forked child finds free: who held it is not there.

    One that its own thread holds stays held there. A handler of signals, or a finaliser, may use
    the library meanwhile, so the same thread may take it once more.
    """
    made = threading.RLock()
    _locks.add(ref(made, _locks.discard))
    return made


def _free_locks() -> None:
    for each in [one() for one in _locks]:
        if each is not None and not each._is_owned():
            each._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)
_lock = lock()


class Block(BytesIO):
    """Settings with some changes, as long as this is open: a `with` block opens and closes it.

    Whether it is open is for the base class to know, a file in memory, because leaving a `with`
    block then closes it in C: no signal comes between the end of the block and its effect, as one
    may at the start of any `__exit__` written in Python. Those who ask pass over closed blocks,
    also over one around a block that was left open, as in a generator not run to its end.
    A function can be decorated with it: each call is a block of its own.
    """

    settings: Settings
    outer: Block | None

    def __init__(self, changes: Callable[[Settings], dict[str, Any]], given: Any = None) -> None:
        self._changes, self._given = changes, given

    def __enter__(self) -> Any:
        global _open, plain
        if "outer" in vars(self):  # it would stand inside itself, or stay closed
            raise RuntimeError(
                "with: a block of no_grad(), scope(name), counting() or trace_lines() is entered "
                "once: make another, as in `with no_grad():`"
            )
        try:
            outer = _innermost()
            self.put_into(outer)
            if self.settings != _default:  # else nobody need ask
                with _lock:
                    _open = [*_open, self]
                    plain = False
                    _tell(False)
            _settle()
            _current.set(self)
            return self._given  # noqa: TRY300 (guarded to the end)
        except BaseException:
            self.close()
            raise

    def put_into(self, outer: Block | None) -> None:
        """Change the settings of another block."""
        before = _default if outer is None else outer.settings
        changed = before._replace(**self._changes(before), silent=False)
        asked = changed.ieee or changed.lines or changed.scope or changed.counters
        silent = not (changed.recording or asked or changed.tracer)
        self.settings = changed._replace(silent=silent)
        self.outer = outer

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, run in a block like this one."""
        if not callable(function):
            raise TypeError(
                f"no_grad() and other blocks decorate a function, not {type(function).__name__}"
            )
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & _LATER:
            raise TypeError(
                f"no_grad() and other blocks would be over before {function.__name__}, a coroutine "
                "or generator function, begins: open one inside of it"
            )

        @wraps(function)
        def inside(*args: P.args, **options: P.kwargs) -> R:
            with Block(self._changes, self._given):
                return function(*args, **options)

        return inside


class Aside(Block):
    """Settings that the operators need not ask for: their fast way stays open."""

    def __init__(self, settings: Settings, given: Any = None) -> None:
        self.settings, self._given = settings, given

    def __enter__(self) -> Any:
        try:
            self.put_into(_innermost())
            _current.set(self)
            return self._given  # noqa: TRY300
        except BaseException:
            self.close()
            raise

    def put_into(self, outer: Block | None) -> None:
        """Stand inside another block; all settings were given."""
        self.outer = outer


_current: ContextVar[Block | None] = ContextVar("tinygrad_scalar_block", default=None)
_open: list[Block] = []  # in any thread; some may have ended without being noticed


def _innermost() -> Block | None:
    """The block in force here, with the changes of open blocks only."""
    chain: list[Block] = []
    block = _current.get()
    while block is not None:
        if not block.closed:
            chain.append(block)
        block = block.outer
    outer, moved = None, False
    for block in reversed(chain):
        moved = moved or block.outer is not outer
        if moved:
            block.put_into(outer)
        outer = block
    return outer


def settings() -> Settings:
    """The record in force here."""
    block = outer = _current.get()
    while outer is not None and not outer.closed:
        outer = outer.outer
    if block is None or outer is not None:
        if block is not None:
            block = _innermost()
            _current.set(block)  # let go of what ended
        _settle()
    return _default if block is None else block.settings


def _settle() -> None:
    """Notice which blocks have ended."""
    global _open, plain, unrecorded
    if not plain:
        with _lock:
            _open = _not_closed()
            unrecorded = sum(not block.settings.recording for block in _open)
            _tell(not _open)  # before `plain`: an interrupt between them is made good next time
            plain = not _open


def _tell(state: bool) -> None:
    for watcher in watchers:
        watcher(state)


def _not_closed() -> list[Block]:
    # Apart from the lock: Python 3.13 can be interrupted on the way back to the start of a loop as
    # if no `with` were around it, which then keeps the lock.
    return [block for block in _open if not block.closed]


def override(**changes: Any) -> Block:
    """Settings with `changes` inside the block, restored however it ends."""
    return Block(lambda _: changes)


def recorded() -> AbstractContextManager[object]:
    """An outer `no_grad` is not meant for the derivatives that are taken inside it."""
    return nullcontext() if plain or settings().recording else override(recording=True)


def uncounted() -> AbstractContextManager[object]:
    """What is computed inside is nobody's operation, and fails as ever."""
    return nullcontext() if plain else override(counters=(), ieee=False)


def no_grad() -> Block:
    """Compute without recording: results inside the block are leaves, in forward modes constants.

    Cost O(1). Usable as a decorator too.

    >>> from tinygrad_scalar import Value, no_grad
    >>> x = Value(3.0)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.parents
    (9.0, ())
    """
    return override(recording=False)
