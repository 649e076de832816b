"""Work spread over the workers of an executor: it travels to each once, then only its arguments.

An executor is a `concurrent.futures.Executor`: threads, processes, Dask's `client.get_executor()`,
mpi4py's pool. A worker keeps what it was sent; one that does not know it yet says so, and gets it.
Results come in the order of the arguments, whoever computed them and when.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from itertools import pairwise
from typing import Any

from tinygrad_scalar.checks import whole

USUAL = 8  # shards where no number is given: the same on every machine
_PROTOCOL = 5  # which copies arrays once
_SHORT = 0.1  # seconds of a batch for which messages count
_KEPT = 4  # works that a thread of a worker remembers, the latest
_known = threading.local()


class Work:
    """`make(*about)` gives the function that workers call; both are pickled, once.

    Errors: TypeError naming `what` where they cannot be pickled.
    """

    def __init__(self, what: str, make: Callable[..., Any], *about: Any) -> None:
        self.what, self.blob = what, _pickled(what, (make, about))
        self.token = hashlib.sha256(self.blob).hexdigest()
        self.workers: set[Any] = set()  # who has answered
        self.seconds = math.inf  # that it took the last time

    def packed(self, arguments: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """The arguments in the parts that are sent: alone, unless sending takes longer than work.

        Then one for every worker. The results are the same. Pickled here, an executor does not look
        through them, which takes longer yet.
        """
        count = len(arguments)
        if self.seconds < _SHORT:
            count = min(count, len(self.workers))
        ends = pieces(len(arguments), count)
        return [pickle.dumps(arguments[a:b], _PROTOCOL) for a, b in ends]


def _pickled(what: str, thing: Any) -> bytes:
    """By pickle; with the code of functions, by cloudpickle, where they have no name elsewhere."""
    try:
        blob = pickle.dumps(thing)
        if b"__main__" not in blob:
            return blob
    except Exception as error:  # noqa: BLE001 (whatever an object of the caller's raises)
        blob, failed = b"", error
    try:
        import cloudpickle

        return cloudpickle.dumps(thing)  # type: ignore[no-any-return]
    except ImportError:
        if blob:
            return blob
        raise TypeError(
            f"{what}: the function cannot be pickled ({failed}): define it in a module, or "
            "pip install cloudpickle, which sends its code"
        ) from failed
    except Exception as error:
        raise TypeError(f"{what}: the function cannot be pickled: {error}") from error


def perform(token: str, blob: bytes | None, packed: bytes) -> tuple[Any, list[Any] | None]:
    """Who this is, and the results for pickled arguments; None for a work that did not come."""
    who = socket.gethostname(), threading.get_native_id()
    works: dict[str, Any] = _known.__dict__
    call = works.pop(token, None)
    if call is None:
        if blob is None:
            return who, None
        make, about = pickle.loads(blob)  # noqa: S301 (from the process that asked for it)
        call = make(*about)
        for old in list(works)[: 1 - _KEPT]:
            del works[old]
    works[token] = call  # the latest last
    return who, [call(*arguments) for arguments in pickle.loads(packed)]  # noqa: S301 (the same)


def spread(executor: Any, work: Work, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The results for all arguments, in their order; computed here if `executor` is None.

    Errors: what the work raises, of the first arguments that fail; BrokenExecutor naming the
    executor if that dies, and ModuleNotFoundError if a worker lacks this package.
    """
    if executor is None:
        return perform(work.token, work.blob, pickle.dumps(arguments))[1] or []
    start, groups = time.monotonic(), work.packed(arguments)
    results: dict[int, list[Any]] = {}
    blobs: list[bytes | None] = []
    while len(results) < len(groups):
        left = [k for k in range(len(groups)) if k not in results]
        blobs += [None] * (len(left) - len(blobs))
        calls = [(work.token, blob, groups[k]) for blob, k in zip(blobs, left, strict=False)]
        strangers = set()
        for k, (who, found) in zip(left, _gathered(executor, work.what, calls), strict=True):
            work.workers.add(who)
            if found is None:
                strangers.add(who)
            else:
                results[k] = found
        blobs = [work.blob] * len(strangers)  # one for each that does not know it yet
    work.seconds = time.monotonic() - start
    return [result for k in range(len(groups)) for result in results[k]]


def _gathered(executor: Any, what: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    futures: list[Any] = []
    found: list[Any] = []
    try:
        for call in calls:
            futures.append(executor.submit(perform, *call))  # noqa: PERF401 (what an error leaves)
        for future in futures:
            found.append(future.result())  # noqa: PERF401 (the same)
    except BaseException as error:
        for future in futures:
            future.cancel()
        tell(error, what, type(executor).__name__, f"{len(found)} of {len(calls)}")
        raise
    return found


def tell(error: BaseException, what: str, executor: str, done: str) -> None:
    """Raise anew what tells of the executor and its workers, not of the work."""
    cause: BaseException | None = error
    while cause is not None:
        missing = isinstance(cause, ModuleNotFoundError) and (cause.name or "").split(".")[0]
        if missing == "tinygrad_scalar":
            raise ModuleNotFoundError(
                f"{what}: a worker of {executor} has no tinygrad_scalar: install this version "
                "there. No gradient was changed",
                name=missing,
            ) from error
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (BrokenExecutor, CancelledError)) or _refused(error):
        raise BrokenExecutor(
            f"{what}: {executor} died, or was shut down, when {done} parts were done "
            f"({type(error).__name__}: {error}). No gradient was changed: call again with a new one"
        ) from error


def _refused(error: BaseException) -> bool:
    """Whether an executor takes no more work, or Dask gave up on it."""
    if type(error) is RuntimeError and "shutdown" in str(error):
        return True
    return type(error).__module__.split(".")[0] == "distributed"


def shards_of(shards: Any, size: int, what: str) -> list[tuple[int, int]]:
    """The first and the last but one example of every shard, as equal as can be.

    Errors: TypeError or ValueError unless it is a whole number of at least 1, at most `size`.
    """
    count = min(USUAL, size) if shards is None else whole(shards, f"{what}: shards")
    if count > size:
        raise ValueError(f"{what}: {count} shards of {size} points: give at most as many shards")
    return pieces(size, count)


def pieces(size: int, count: int) -> list[tuple[int, int]]:
    """The first and the last but one of every piece of a whole, as equal as can be.

    >>> pieces(5, 2)
    [(0, 2), (2, 5)]
    """
    return list(pairwise([size * k // count for k in range(count + 1)]))


def check_executor(executor: Any, what: str) -> None:
    """TypeError unless this is an executor."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        hint = "; of a Dask client, client.get_executor()" if hasattr(executor, "scheduler") else ""
        raise TypeError(
            f"{what}: executor is a concurrent.futures.Executor, not "
            f"{type(executor).__name__}{hint}"
        )
