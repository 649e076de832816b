"""A rule written down once, on an empty tape, and copied wherever its row occurs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.tape import Tape
from tinygrad_scalar.compiler.ir.trace import Recording, Traced, tracer
from tinygrad_scalar.core import context
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value


class Template(NamedTuple):
    """Lines of code over some operands, and which line is the result; or a constant result."""

    lines: Sequence[tuple[Primitive | None, Any]]  # None and a number for a constant
    result: int
    number: float | None = None

    def placed(self, tape: Tape, operands: tuple[int, ...]) -> int:
        """The line of the result, with the template's lines written on a tape. O(lines)."""
        if self.result < len(operands):
            return operands[self.result]
        places, emit = list(operands), tape.emit
        place, at = places.append, places.__getitem__
        for row, inner in self.lines:
            place(tape.constant(inner) if row is None else emit(row, tuple(map(at, inner))))
        return places[self.result]


def template(
    rule: Callable[..., Any],
    count: int,
    prepared: Callable[[Recording], None] = lambda _: None,
    *,
    trusting: bool = True,
) -> Template | None:
    """The template of a rule of so many operands; None if it asks for numbers, or for leaves.

    A rule of this library is trusted to take comparisons as numbers.
    """
    recording = Recording()
    recording.trusting = trusting
    prepared(recording)
    tape = recording.tape
    operands = [Traced(recording, tape.input(k)) for k in range(count)]
    try:
        with context.override(tracer=tracer(recording)):
            result = rule(*operands)
    except (IndexError, ValueError, ArithmeticError):  # there are none
        return None
    finally:
        context.settings()  # lets go of the block, which holds the recording
    traced = isinstance(result, Traced)
    if recording.leaves or not recording.settled() or (isinstance(result, Value) and not traced):
        return None  # the numbers of leaves come from the tape that it is copied to
    if not isinstance(result, Traced):
        return Template([], 0, float(result))
    lines = [
        (None, tape.constants[k]) if k in tape.constants else tape.code[k]
        for k in range(count, len(tape.code))
    ]
    return Template(lines, result.index)
