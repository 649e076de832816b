"""LLVM made ready once per process, and modules of machine code."""

from __future__ import annotations

import _thread
import atexit
import ctypes
import functools
import gc
import math
import os
import sys
import threading
import traceback
import weakref
from array import array
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from tinygrad_scalar.core import context, sweep

MEDIUM = 8_000  # lines up to which more is spent on the machine code
# Whether LLVM looks at all it is given before it makes code of it, as it does in the tests; wrong
# text may end the process else, and right text is ready sooner.
verifying = False
LOCK = context.lock()
Made = TypeVar("Made")
_BUILDING = threading.RLock()
# What holds the engines of code that is gone. C puts it here when they go, without a line of
# Python in which Ctrl-C could come; the next thread that works aside frees the engines.
_GONE: deque[Any] = deque()


def _aside(action: Callable[..., Any], *given: Any) -> Any:
    """What it gives, worked out in a thread of its own, which Ctrl-C does not reach.

    llvmlite frees a string twice where it is interrupted, and that ends the process; or it keeps
    its lock, for which all other threads then wait for ever. So every call of LLVM goes this way,
    also those that free what it made: a fork waits for them, see `_rest`.
    The thread and the lock are C's own: those of `threading` are Python, and Ctrl-C in the midst of
    their waiting is a RuntimeError about a lock. No garbage is collected in it: a finaliser that
    calls compiled code would wait there for the locks of the one who waits for it.
    """
    if sys.is_finalizing():  # a finaliser at the very end, when no other thread goes on
        return action(*given)
    outcome: list[Any] = []
    todo = [functools.partial(action, *given)]
    working = _thread.allocate_lock()
    working.acquire()

    def work() -> None:
        try:
            with _BUILDING:  # one that nobody waits for any more may still be at work
                _GONE.clear()
                try:
                    outcome.extend((todo.pop()(), None))  # this thread holds nothing given any more
                except BaseException as error:  # noqa: BLE001 (told to the one who waits)
                    traceback.clear_frames(error.__traceback__)  # with what they hold of LLVM
                    outcome.extend((None, error))
        finally:
            working.release()

    try:
        _thread.start_new_thread(without_collector, (work,))
    except RuntimeError as error:  # also in an isolated interpreter beside the main one
        if threading.main_thread().is_alive():
            raise RuntimeError(
                f"machine code is made in a thread of its own, and there is none ({error}): "
                'compile with engine="python"'
            ) from error
        without_collector(work)  # at the program's end Python 3.12 starts no thread
    working.acquire()
    result, raised = outcome
    if raised is not None:
        raise raised
    return result


def _rest() -> None:
    """Let LLVM come to rest before a fork: a child cannot go on with what it left half done.

    After the sweep, in which a rule may have machine code made.
    """
    sweep.running.acquire()
    _BUILDING.acquire()


def _go_on() -> None:
    _BUILDING.release()
    sweep.running.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_rest, after_in_parent=_go_on, after_in_child=_go_on)


@atexit.register
def _finish() -> None:
    """Wait for what an interrupted call left at work: LLVM must not be taken down under it."""
    with _BUILDING:
        pass


def once(make: Callable[[], Made]) -> functools._lru_cache_wrapper[Made]:
    """A function that gives what `make` gave first, made once though several threads ask together.

    `functools.cache` alone would make it twice and let go of one, with its machine code, which the
    thread that was given it goes on to call.
    """
    made = functools.cache(make)

    @functools.cache
    @functools.wraps(make)
    def asked() -> Made:
        with LOCK:
            return made()

    return asked


def without_collector(function: Callable[..., Any], *args: Any) -> Any:
    """What it gives, without garbage collection: a trace, and code made of it, leave none.

    Where it is off it is left alone: another thread may put it on meanwhile, and for good.
    """
    enabled = gc.isenabled()
    try:
        if enabled:
            gc.disable()
        return function(*args)
    finally:
        if enabled:
            gc.enable()


class Machine:
    """LLVM made ready once per process: the host, its lanes, its vector functions."""

    def __init__(self, llvm: Any) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.llvm = llvm
        self.addresses: dict[str, int | None] = {}
        features = llvm.get_host_cpu_features()
        self.features, self.cpu = features.flatten(), llvm.get_host_cpu_name()
        self.writers = [self.target_machine(level) for level in (0, 1)]
        # how the C library names its vector functions, and the bytes of their vectors
        self.prefix, self.bytes = "_ZGVb" if "x86" in llvm.get_process_triple() else "_ZGVn", 16
        if features.get("avx512f") and features.get("avx512dq"):
            self.prefix, self.bytes = "_ZGVe", 64
        elif features.get("avx2"):
            self.prefix, self.bytes = "_ZGVd", 32
        for library in ("libm.so.6", "libmvec.so.1"):
            try:
                llvm.load_library_permanently(library)
            except RuntimeError:
                continue

    def target_machine(self, level: int) -> Any:
        """What makes code, and how much is spent on it: 0 or 1.

        One that has made any holds 0.7 MB from then on: `writers` make all code. An engine owns
        another, which makes none.
        """
        target = self.llvm.Target.from_default_triple()
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=level, jit=True
        )

    def address(self, symbol: str) -> int | None:
        """Where a function of the C library is; None for an intrinsic of LLVM."""
        if symbol not in self.addresses:
            known = not symbol.startswith("llvm.")
            address = _aside(self.llvm.address_of_symbol, symbol) if known else None
            self.addresses[symbol] = address
        return self.addresses[symbol]

    def vector(self, symbol: str, arity: int) -> str | None:
        """The vector function for a C function, of the lanes here; None if there is none."""
        lanes = self.bytes // (4 if symbol.endswith("f") and symbol != "erf" else 8)
        name = f"{self.prefix}N{lanes}{'v' * arity}_{symbol}"
        return name if self.address(name) else None


@once
def machine() -> Machine:
    """The one machine of this process."""
    # Imported here, not aside: Ctrl-C in an import may leave Python's lock of imports with this
    # thread, and another one that imports would wait for it for ever.
    import llvmlite.binding

    return _aside(Machine, llvmlite.binding)  # type: ignore[no-any-return]


class _Code:
    """What keeps machine code alive: it is freed when the last who holds this lets go of it.

    The collector of garbage does not know of it. Else it would have the engine freed with all else
    in a cycle of garbage, and first call the `__del__` of others there, which may run the code.
    """

    __slots__ = ("__weakref__", "holder")
    holder: _Holder

    def __init__(self) -> None:
        self.holder = _Holder(self, _GONE.append)
        ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(self))


class _Holder(weakref.ref[_Code]):
    """A weak reference to a `_Code`, and LLVM's engine that holds it."""

    __slots__ = ("engine",)
    engine: Any


def _build(holder: _Holder, host: Machine, text: str, level: int) -> dict[str, int]:
    """Make the engine of a text, and say where its functions are."""
    nothing = host.llvm.parse_assembly("")
    parsed = host.llvm.parse_assembly(text)
    if verifying:
        parsed.verify()
    external = host.llvm.Linkage.external
    names = [f.name for f in parsed.functions if not f.is_declaration and f.linkage is external]
    # given the text, the engine would verify all of it twice: it is given the object
    code = host.writers[level].emit_object(parsed)
    engine = host.llvm.create_mcjit_compiler(nothing, host.target_machine(level))
    engine.remove_module(nothing)
    engine.add_object_file(host.llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    holder.engine = engine
    return {name: engine.get_function_address(name) for name in names}


class Module:
    """Machine code of one program, kept alive as long as it is called."""

    def __init__(self, text: str, lines: int, most: int = 1) -> None:
        self.held: Any = None  # what the code reads besides
        self.code = _Code()
        level = most if lines <= MEDIUM else 0
        with LOCK:
            # of its functions, by their names
            self.addresses: dict[str, int] = _aside(
                _build, self.code.holder, machine(), text, level
            )

    def function(self, name: str, kind: Any) -> Any:
        """A function of the module as something that can be called."""
        return kind(self.addresses[name])


# ── memory ────────────────────────────────────────────────────────────────────────────────────
SEVERAL = 100  # numbers that NumPy adds up sooner


def all_finite(numbers: Any) -> bool:
    """Whether no NaN and no ±inf is in a list or a flat array; of a few a sum tells at once."""
    if numbers.__class__ is list or (numbers.__class__ is array and len(numbers) <= SEVERAL):
        return math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers))
    import numpy as np

    return int(np.count_nonzero(np.isfinite(numbers))) == len(numbers)  # quicker than all()
