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


def by_machine_code(method: Method) -> Method:
    """The method; what machine code has an entry for goes there at once."""
    mode = "value" if method.__name__ == "__call__" else method.__name__

    @functools.wraps(method)
    def run(self: Calls, *args: Any, **options: Any) -> Any:
        entry = (self._entries if context.plain else self._within).get(mode)
        if entry is not None and not options:
            result = entry(*args)
            if result is not None:
                return result
        return method(self, *args, **options)

    return run  # type: ignore[return-value]


def _keep(calls: Calls, mode: str, entry: Callable[..., Any], *, reads: bool) -> None:
    """Call this directly from now on; within a block only if it `reads` no leaves.

    It gives the result, or None, with nothing changed, for what goes the general way.
    """
    calls._entries[mode] = entry
    if not reads:  # in a trace, numbers of leaves would be frozen
        calls._within[mode] = entry


def keep_point(
    calls: Calls, own: Specialisation, request: Request, call: Call, path: Path, count: int
) -> None:
    """Keep an entry for one point of this structure, which gives `count` outputs.

    At the second call: many a function is called but once.
    """
    kernel = own.kernel(path, request, None)
    if kernel.entry is None:
        kernel.entry = () if _may_have_one(own, request, call, path) else False
        return
    if kernel.entry is False or call.xp is not None:
        return
    closure = None
    if path.closes_over:
        closure = path.closure_at(call.columns, adding=request is BACKWARD)
        if closure is None:
            return
    if kernel.entry == ():
        arguments = [one.mirrored([None] * len(one.columns)) for one in call.arguments]
        tree = None
        if request is not BACKWARD:
            tree = calls._shaped(own, request, call, path, [None] * count)
        kernel.enter(arguments, tree, closure)
    if kernel.entry:
        reads = closure is not None or request is BACKWARD
        _keep(calls, request.mode, kernel.entry.call, reads=reads)


def _may_have_one(own: Specialisation, request: Request, call: Call, path: Path) -> bool:
    """Whether machine code gives all that the function does, for floats and lists of them."""
    return (
        own.dtype == "float64"
        and not path.recording.judges
        and (request is VALUE or own.undefined == "subgradient")
        and not any(isinstance(one.tree, Constant) for one in call.arguments)
    )


def keep_batch(calls: Calls, own: Specialisation, call: Call) -> None:
    """Keep an entry for `backward` on arrays of NumPy like these, where there is one path."""
    from tinygrad_scalar.compiler.batches import BatchEntry

    path = own.paths[0]
    if len(own.paths) > 1 or path.lookups or path.recording.judges or own.every:
        return
    if own.engine == "llvm" and all(one.rows or one.key == 0 for one in call.arguments):
        _keep(calls, "backward", BatchEntry(own, call).call, reads=True)
