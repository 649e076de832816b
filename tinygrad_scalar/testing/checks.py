"""`check_grad`: every mode against the best reference, and the operation that is at fault."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygrad_scalar.precision import Number
from tinygrad_scalar.tape import TraceError
from tinygrad_scalar.testing.comparison import Comparison, Disagreement, compare, run
from tinygrad_scalar.testing.derivatives import Index
from tinygrad_scalar.testing.errors import GradientError
from tinygrad_scalar.testing.examination import (
    Examined,
    examine,
    kinks_of_derivatives,
    undefined_gradients_ignored,
)
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import Flat, Recording, finite
from tinygrad_scalar.testing.references import expected
from tinygrad_scalar.testing.report import Fault, explained, verdict
from tinygrad_scalar.value import Value

# Near a kink there is no reference; what the modes may then differ by, of the largest derivative.
_BETWEEN_MODES = 1e-9
_CARRIED = ("forward", "tape")  # the modes that push something other than Values through f


@dataclass(frozen=True)
class GradientCheck:
    """What `check_grad` found where nothing is wrong.

    - `reference`: the name of what the modes were compared with.
    - `error`: the largest, relative to the largest derivative of its order.
    - `kinks`: why there is no derivative within 1e-6 of the point, in words. If there are any,
      the modes were compared with each other, and the other operations with a reference; where
      only higher derivatives have kinks, the lower ones were.
    - `modes`: those compared.
    - `derivatives`: by the reference; (0, 1) is ∂²f/∂x₀∂x₁, numbers counted through structures.
    """

    reference: str
    error: float
    kinks: tuple[str, ...]
    modes: tuple[str, ...]
    derivatives: dict[Index, Number]


class _Check(NamedTuple):
    """What was asked."""

    flat: Flat
    order: int
    modes: tuple[str, ...]
    rtol: float | None


def check_grad(
    f: Callable[..., Any],
    *point: Any,
    order: int = 1,
    modes: Collection[str] | None = None,
    rtol: float | None = None,
) -> GradientCheck:
    """Check the derivatives of f at a point, up to `order`, in every mode.

    f takes numbers (or lists, tuples and dicts of them) and returns one number; `modes` is a
    subset of ("reverse", "forward", "graph", "tape"), by default all. The reference is chosen by
    the program: exact rational arithmetic, the complex step, differentiation in mpmath, or
    Richardson extrapolation. The tolerance follows the conditioning of the program; `rtol`, of
    each derivative, replaces the 1e-12 in it. Points near a kink are reported, not failed.

    Cost: some dozens of evaluations of f per derivative.
    Errors: GradientError (an AssertionError) with expected, actual, error, the reference, and the
    first operation whose local derivative is wrong; also where f returns no number, is random,
    changes its arguments or is outside its domain. ValueError for an unknown mode or order.
    Source: *Deep Learning*, section 11.5 (compare back-propagated with numerical derivatives).

    >>> from tinygrad_scalar import exp
    >>> check = check_grad(lambda x, y: x * exp(-y), 2.0, 0.5)
    >>> check.reference, check.error < 1e-15, check.kinks
    ('complex step', True, ())
    """
    if order.__class__ is not int or order < 1:
        raise ValueError(f"check_grad: order is a whole number from 1 up, not {order!r}")
    flat, asked = Flat(f, point), None if modes is None else _chosen(modes)
    with undefined_gradients_ignored():
        examined = examine(flat)
        modes = _possible(flat, examined.recording) if asked is None else asked
        outcome = _near_kinks if examined.reasons else _compared
        found = outcome(_Check(flat, order, modes, rtol), examined)
    if isinstance(found, GradientError):
        raise found  # from one place, so that Hypothesis sees one failure and shrinks all into it
    return found


def _chosen(modes: Collection[str]) -> tuple[str, ...]:
    """The modes asked for; ValueError for any that does not exist."""
    asked = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in asked:
        if mode not in MODES:
            raise ValueError(f"check_grad: mode {mode!r} is none of {', '.join(MODES)}")
    if not asked:
        raise ValueError(f"check_grad: modes is empty; choose from {', '.join(MODES)}")
    return asked


def _possible(flat: Flat, recording: Recording) -> tuple[str, ...]:
    """All modes but those for which f asks its arguments what only a Value can tell."""
    if recording.result is None:  # a constant leaves nothing to trace
        return tuple(mode for mode in MODES if mode != "tape")
    return tuple(mode for mode in MODES if mode not in _CARRIED or _runs(flat, mode))


def _runs(flat: Flat, mode: str) -> bool:
    try:
        MODES[mode](flat, flat.point, 1)
    except (AttributeError, TraceError):
        return False
    except Exception:  # noqa: BLE001 (told when the derivatives are taken)
        return True
    return True


def _compared(check: _Check, examined: Examined) -> GradientCheck | GradientError:
    """All modes against the reference."""
    flat, _, modes, rtol = check
    order, reasons = kinks_of_derivatives(flat, check.order)
    result = compare(flat, examined.recording, order, modes, rtol)
    if result.wrong:
        return _failure(check._replace(order=order), examined.recording, result)
    return GradientCheck(result.reference, result.error, reasons, modes, result.expected)


# ── where there is no derivative ──────────────────────────────────────────────────────────────
def _near_kinks(check: _Check, examined: Examined) -> GradientCheck | GradientError:
    """The modes against each other, and the operations away from kinks one by one.

    First derivatives only: higher ones have no meaning here.
    """
    recording, worst = examined.recording, 0.0
    for i, operation, alone in _operations(recording, examined.at_kinks):
        comparison = compare(operation, alone, 1, check.modes, check.rtol)
        if comparison.wrong:
            fault = _fault(recording, i, comparison)
            return GradientError(
                f"check_grad: the derivative is wrong at {check.flat.at()} (near a kink: "
                f"{'; '.join(examined.reasons)})\n\n{verdict(fault)}",
                fault.node,
            )
        worst = max(worst, comparison.error)
    disagreement = None if examined.undefined else _disagreement(check, recording)
    if disagreement is not None:
        return disagreement
    return GradientCheck("each operation alone", worst, examined.reasons, check.modes, {})


def _disagreement(check: _Check, recording: Recording) -> GradientError | None:
    """The error for two modes that disagree in the gradient, if there are any."""
    first, *others = check.modes
    wanted = run(first, check.flat, recording.point, 1)
    size = max((abs(float(x)) for x in wanted.values() if finite(x)), default=0.0)
    for mode in others:
        found = run(mode, check.flat, recording.point, 1)
        wrong = [
            Disagreement(mode, index, x, wanted[index], abs(float(x - wanted[index])), allowed)
            for index, x in found.items()
            for allowed in (_BETWEEN_MODES * size,)
            if finite(wanted[index]) and not abs(float(x - wanted[index])) <= allowed
        ]
        if wrong:
            where = "every operation may be right on its own: the point is near a kink"
            text = explained(check.flat.at(), check.flat.names, wrong, f"mode {first}", where)
            return GradientError(text)
    return None


# ── where it is wrong ─────────────────────────────────────────────────────────────────────────
def _failure(check: _Check, recording: Recording, comparison: Comparison) -> GradientError:
    """The error to raise, with the first operation that is wrong on its own, if there is one."""
    modes = tuple(dict.fromkeys(entry.mode for entry in comparison.wrong))
    node, where = None, _wrong_sum(recording, modes)
    for i, operation, alone in _operations(recording):
        local = compare(operation, alone, check.order, modes, check.rtol)
        if local.wrong:
            fault = _fault(recording, i, local)
            node, where = fault.node, verdict(fault)
            break
    text = explained(
        check.flat.at(), check.flat.names, comparison.wrong, comparison.reference, where
    )
    return GradientError(text, node)


def _operations(
    recording: Recording, left_out: Collection[int] = ()
) -> Iterator[tuple[int, Callable[..., Any], Recording]]:
    """Every operation alone: its number, as a function, and the recording of it."""
    for i in range(len(recording.nodes)):
        if i not in left_out:
            operation, point = recording.alone(i)
            inputs = [Value(x) for x in point]
            yield i, operation, Recording(inputs, operation(*inputs))


def _fault(recording: Recording, i: int, local: Comparison) -> Fault:
    node = recording.nodes[i]
    names = [parent.label or f"operand {k}" for k, parent in enumerate(node.parents)]
    return Fault(node, names, local.wrong, local.reference)


def _wrong_sum(recording: Recording, modes: Sequence[str]) -> str:
    """Where every operation is right: the first node whose sum over its consumers is wrong."""
    text = (
        "every local derivative is right: the fault lies in how "
        f"{', '.join(modes)} put{'s' * (len(modes) == 1)} them together"
    )
    if "reverse" not in modes:
        return text
    table = recording.output.backward(inputs=[*recording.nodes, *recording.inputs])
    for node, gradient in table.items():
        derivatives = expected(Recording([node], recording.output), 1).derivatives
        wanted = derivatives[0,].value if derivatives else gradient
        if not abs(float(gradient - wanted)) <= _BETWEEN_MODES * abs(float(wanted)):
            return (
                f"{text}; the first node whose gradient is wrong is {node!r}: "
                f"{gradient!r} instead of {float(wanted)!r}"
            )
    return text
