"""What is called directly, where a call is like those before it: the machine code itself.

The general way looks at every argument, and at every path, as if it saw them for the first time.
For a point, and for a batch of a few hundred, that takes longer than the machine code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import Call, Constant
from tinygrad_scalar.compiler.dispatch import Method, Specialisation
from tinygrad_scalar.compiler.paths import BACKWARD, VALUE, Path, Request
from tinygrad_scalar.core import context

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.calls import Calls

Entry = Callable[..., Any]  # the result; None, with nothing changed, for what goes the general way


class Entries(dict[str, Entry]):
    """The entries for what was called last, by mode; `within` a block those that read no leaves.

    In a trace, numbers of leaves would be frozen.
    """

    def __init__(self) -> None:
        self.within: dict[str, Entry] = {}

    def keep(self, mode: str, entry: Entry, *, reads: bool) -> None:
        """Call this directly from now on; whether it `reads` leaves."""
        self[mode] = entry
        if not reads:
            self.within[mode] = entry


def by_machine_code(method: Method) -> Method:
    """The method; what machine code has an entry for goes there at once."""
    mode = "value" if method.__name__ == "__call__" else method.__name__

    @functools.wraps(method)
    def run(self: Calls, *args: Any, **options: Any) -> Any:
        entry = (self._entries if context.plain else self._entries.within).get(mode)
        if entry is not None and not options:
            result = entry(*args)
            if result is not None:
                return result
        return method(self, *args, **options)

    return run  # type: ignore[return-value]


def keep_point(
    entries: Entries,
    own: Specialisation,
    request: Request,
    call: Call,
    path: Path,
    shaped: Callable[[], Any],
) -> None:
    """Keep an entry for one point of this structure; the result is to be like what `shaped` gives.

    At the second call: many a function is called but once.
    """
    if (
        call.size is not None
        or call.xp is not None
        or any(isinstance(one.tree, Constant) for one in call.arguments)
        or own.engine != "llvm"
        or own.dtype != "float64"
        or path.recording.judges
        or (request is not VALUE and own.undefined != "subgradient")
    ):
        return
    made = path.entries  # these, although another thread may have the path written out
    if request not in made:
        made[request] = ()  # called once
        return
    closure = None
    if path.closes_over:
        closure = path.closure_at(call.columns, adding=request is BACKWARD)
        if closure is None:
            return
    if made[request] == ():
        arguments = [one.mirrored([None] * len(one.columns)) for one in call.arguments]
        made[request] = own.kernel(path, request, None).entry(arguments, shaped(), closure)
    if made[request] is not None:
        reads = closure is not None or request is BACKWARD
        entries.keep(request.mode, made[request].call, reads=reads)


def keep_batch(entries: Entries, own: Specialisation, call: Call) -> None:
    """Keep an entry for `backward` on arrays of NumPy like these, where there is one path."""
    from tinygrad_scalar.compiler.batches import BatchEntry

    path = own.paths[0]
    if len(own.paths) > 1 or path.lookups or path.recording.judges or own.every:
        return
    if call.xp is not None or not all(one.rows or one.key == 0 for one in call.arguments):
        return
    made = BatchEntry(own, call)
    if hasattr(made.kernel, "sums"):
        entries.keep("backward", made.call, reads=True)
