"""A batch in the arrays of another library: every path on all points, the results chosen by masks.

Only whether some point is left, and the numbers of one such point, are read from the arrays; all
else stays where they are, on their device and in their library's graph or trace.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from tinygrad_scalar.compiler.arguments import Call
from tinygrad_scalar.compiler.arrays.kernel import Kernel
from tinygrad_scalar.compiler.arrays.namespaces import converted, holds_somewhere, number, unknown
from tinygrad_scalar.compiler.ir.tape import INPUT
from tinygrad_scalar.compiler.paths import Path, Request
from tinygrad_scalar.core.arithmetic import Arithmetic

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation


def evaluated(own: Specialisation, request: Request, call: Call) -> tuple[Path, list[Any]]:
    """Some path, and the outputs of all points, each an array of the shape of the batch."""
    xp = call.xp
    columns, ones = converted(xp, call.columns, own.dtype)
    everyone = left = ones == ones  # noqa: PLR0124
    results: list[Any] = []
    tried = 0
    while True:
        place = None
        if tried >= len(own.paths):
            place = _first(xp, left, ones) if tried else _places(ones)
            path = _traced_at(own, [_number(c, place) for c in columns])
        else:
            path = own.paths[tried]
        tried += 1
        key = (request, xp.__name__)
        kernel: Kernel = own.once(path, key, Kernel, path.program(request), own.dtype, xp)
        given = _complete(own, path, columns, ones, xp)
        outputs, held = kernel.everywhere(given, path.parameters(), ones)
        if held is None and not results:
            return path, outputs
        held = everyone if held is None else everyone & held
        if place is not None and not holds_somewhere(xp, held[place]):
            held = held | _alike(columns, place, everyone)  # the engine's rounding turned a guard
        here = left & held
        pairs = zip(outputs, results or outputs, strict=True)
        results = [xp.where(here, new, old) for new, old in pairs]
        left = left & ~held
        if not holds_somewhere(xp, left):
            return path, results


def _complete(own: Specialisation, path: Path, columns: list[Any], ones: Any, xp: Any) -> list[Any]:
    """The columns, and behind the inputs what they look up: of whole tables, on their device."""
    full = columns[: path.inputs]
    for one in path.lookups:
        row, operands = path.recording.tape.code[one.line]
        if row is INPUT:
            index = full[operands[0]]
        else:
            kernel = Kernel(path.index_program(one.line), own.dtype, xp)
            ((index,), _) = kernel.everywhere(full, path.parameters(), ones)
        if isinstance(index, float):
            full += [float(leaf.data) for leaf in one.table.at(index)]
            continue
        numbers = one.table.numbers(range(len(one.table)))
        inside = (index >= 0) & (index < len(one.table))
        places = xp.where(inside, index, 0 * ones)
        places = xp.astype(places, xp.int64) if hasattr(xp, "astype") else places.to(xp.int64)
        for column in numbers.T:
            whole = xp.asarray(column.tolist(), dtype=ones.dtype, device=ones.device)
            full.append(xp.reshape(xp.take(whole, xp.reshape(places, (-1,))), places.shape))
    return [*full, *columns[path.inputs :]]


# ── one point of the batch ────────────────────────────────────────────────────────────────────
def _places(ones: Any) -> Any:
    """Where the first point of the batch stands."""
    return 0 if ones.ndim else ()


def _first(xp: Any, left: Any, ones: Any) -> Any:
    """Where the first point that is left stands."""
    return int(xp.argmax(xp.where(left, ones, 0 * ones))) if ones.ndim else ()


def _number(column: Any, place: Any) -> Any:
    """A coordinate of the point; Unknown while it is being traced or mapped."""
    if isinstance(column, float):
        return column
    found = number(column[place] if column.ndim else column)
    return Unknown() if found is None else found


def _alike(columns: list[Any], place: Any, everyone: Any) -> Any:
    """Which points have the coordinates of this one."""
    alike = everyone
    for column in columns:
        if not isinstance(column, float) and column.ndim:
            x = column[place]
            alike = alike & ((column == x) | ((column != column) & (x != x)))  # noqa: PLR0124
    return alike


def _traced_at(own: Specialisation, point: list[Any]) -> Path:
    path, _ = own.traced_at(point)
    seen: list[Any] = path.recording.point
    path.recording.point = [math.nan if isinstance(x, Unknown) else x for x in seen]
    return path


class Unknown(Arithmetic):
    """A number that nobody knows yet: to ask for it, as a branch does, is a TraceError."""

    __slots__ = ()
    level = 9.0

    def apply(self, *_: Any) -> NoReturn:
        """Refused."""
        raise unknown()

    def _refuse(self, *_: Any) -> NoReturn:
        raise unknown()

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = object.__hash__


__all__ = ["evaluated"]
