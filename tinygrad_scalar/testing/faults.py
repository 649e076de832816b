"""Where a wrong derivative comes from: one operation, or how a mode puts them together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.testing.comparison import Comparison, compare, run
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.recording import Recording
from tinygrad_scalar.testing.references import expected
from tinygrad_scalar.testing.report import Fault

# What modes may differ by where there is no reference, of the largest derivative.
BETWEEN_MODES = 1e-9


def alone(
    recording: Recording,
    order: int,
    modes: Sequence[str],
    rtol: float | None,
    left_out: Collection[int] = (),
) -> Iterator[tuple[Comparison, Fault | None]]:
    """Every operation compared on its own, and its fault if it has one."""
    for i, node in enumerate(recording.nodes):
        if i in left_out:
            continue
        operation, point = recording.alone(i)
        inputs = [Value(x) for x in point]
        itself = Recording(inputs, operation(*inputs))
        try:
            local = compare(operation, itself, order, modes, rtol)
        except GradientError:
            local = compare(operation, itself, order, _able(operation, point, order, modes), rtol)
        names = [parent.label or f"operand {k}" for k, parent in enumerate(node.parents)]
        yield local, Fault(node, names, local.wrong, local.reference) if local.wrong else None


def _able(
    operation: Callable[..., Any], point: Sequence[Any], order: int, modes: Sequence[str]
) -> list[str]:
    """The modes in which an operation runs by itself; a checkpoint does not on the tape."""
    able = []
    for mode in modes:
        with suppress(GradientError):
            run(mode, operation, point, order)
            able.append(mode)
    return able


def wrong_sum(recording: Recording, gradients: Mapping[Value, Any], modes: Sequence[str]) -> str:
    """Where every operation is right: the first node whose sum over its consumers is wrong."""
    text = (
        "every local derivative is right: the fault lies in how "
        f"{', '.join(modes)} put{'s' * (len(modes) == 1)} them together"
    )
    if "reverse" not in modes:
        return text
    for node, gradient in gradients.items():
        derivatives = expected(Recording([node], recording.output), 1).derivatives
        wanted = derivatives[0,].value if derivatives else gradient
        if not abs(float(gradient - wanted)) <= BETWEEN_MODES * abs(float(wanted)):
            return (
                f"{text}; the first node whose gradient is wrong is {node!r}: "
                f"{gradient!r} instead of {float(wanted)!r}"
            )
    return text
