"""`check_grad`: every mode against the best reference, and the operation that is at fault."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygrad_scalar.compiler import TraceError
from tinygrad_scalar.core.undefined import told
from tinygrad_scalar.numbers.precision import Number, is_whole
from tinygrad_scalar.testing.comparison import (
    Comparison,
    Disagreement,
    compare,
    rounding_errors,
    run,
)
from tinygrad_scalar.testing.derivatives import Index
from tinygrad_scalar.testing.errors import GradientError, UncheckableError, check_tolerance
from tinygrad_scalar.testing.examination import (
    Examined,
    examine,
    kinks_of_derivatives,
    repeatable,
)
from tinygrad_scalar.testing.faults import BETWEEN_MODES, alone, wrong_sum
from tinygrad_scalar.testing.modes import MODES
from tinygrad_scalar.testing.recording import Flat, Recording, SeveralOutputs, finite
from tinygrad_scalar.testing.report import explained, verdict
from tinygrad_scalar.testing.tracebacks import shown_without_ours

_CARRIED = ("forward", "tape")  # the modes that push something other than Values through f
_CALLS = 10  # before anything is said about f: what is random may look like a kink or a fault


@dataclass(frozen=True)
class GradientCheck:
    """What `check_grad` found where nothing is wrong.

    - `reference`: the name of what the modes were compared with.
    - `error`: the largest, relative to the largest derivative of its order.
    - `kinks`: why there is no derivative within 1e-6 of the point, in words. If there are any,
      the modes were compared with each other, and the other operations with a reference; where
      only higher derivatives have kinks or no reference, the lower ones were.
    - `modes`: those compared.
    - `derivatives`: by the reference; (0, 1) is ∂²f/∂x₀∂x₁, numbers counted through structures.
    - `outputs`: where f has several outputs, what was found of each, whose derivatives stand there.
    """

    reference: str
    error: float
    kinks: tuple[str, ...]
    modes: tuple[str, ...]
    derivatives: dict[Index, Number]
    outputs: tuple[GradientCheck, ...] = ()


class _Check(NamedTuple):
    """What was asked."""

    flat: Flat
    order: int
    modes: tuple[str, ...]
    rtol: float | None


@shown_without_ours
def check_grad(
    f: Callable[..., Any],
    *point: Any,
    order: int = 1,
    modes: Collection[str] | None = None,
    rtol: float | None = None,
) -> GradientCheck:
    """Check the derivatives of f at a point, up to `order`, in every mode.

    f takes and returns numbers, or lists, tuples, dicts and arrays of them; `modes` is a subset
    of ("reverse", "forward", "graph", "tape"), by default all. The reference is chosen by
    the program: exact rational arithmetic, the complex step, differentiation in mpmath, or
    Richardson extrapolation. The tolerance follows the conditioning of the program; `rtol`, of
    each derivative, replaces the 1e-12 in it. Points near a kink are reported, not failed.

    Cost: some dozens of evaluations of f per derivative.
    Errors: GradientError (an AssertionError) with expected, actual, error, the reference, and the
    first operation whose local derivative is wrong; also where f returns no number, is random,
    changes its arguments or is outside its domain. ValueError for an unknown mode, order or rtol.
    Source: *Deep Learning*, section 11.5 (compare back-propagated with numerical derivatives).

    >>> from tinygrad_scalar import exp
    >>> check = check_grad(lambda x, y: x * exp(-y), 2.0, 0.5)
    >>> check.reference, check.error < 1e-15, check.kinks
    ('complex step', True, ())
    """
    if not is_whole(order) or order < 1:
        raise ValueError(f"check_grad: order is a whole number from 1 up, not {order!r}")
    if rtol is not None:
        check_tolerance(rtol, "check_grad")
    asked = None if modes is None else _chosen(modes)
    with told():
        try:
            return _checked(Flat(f, point), order, asked, rtol)
        except SeveralOutputs as several:
            paths = several.paths
        return _together([_checked(Flat(f, point, path), order, asked, rtol) for path in paths])


def _checked(
    flat: Flat, order: int, asked: tuple[str, ...] | None, rtol: float | None
) -> GradientCheck:
    """One output checked; the error that was found is raised."""
    found = _found(flat, order, asked, rtol)
    if isinstance(found, GradientError) or found.kinks:
        repeatable(flat, _CALLS)
    if isinstance(found, GradientError):
        raise found
    return found


def _together(found: Sequence[GradientCheck]) -> GradientCheck:
    """What was found of several outputs: the worst, and all that is in the way."""
    kinks = tuple(dict.fromkeys(kink for check in found for kink in check.kinks))
    worst = max(found, key=lambda check: check.error)
    return GradientCheck(worst.reference, worst.error, kinks, worst.modes, {}, tuple(found))


def _chosen(modes: Collection[str]) -> tuple[str, ...]:
    """The modes asked for; ValueError for any that does not exist."""
    try:
        asked = (modes,) if isinstance(modes, str) else tuple(modes)
    except TypeError:
        raise TypeError(
            f"check_grad: modes is a list of {', '.join(MODES)}, not {modes!r}"
        ) from None
    for mode in asked:
        if mode not in MODES:
            raise ValueError(f"check_grad: mode {mode!r} is none of {', '.join(MODES)}")
    if not asked:
        raise ValueError(f"check_grad: modes is empty; choose from {', '.join(MODES)}")
    return asked


def _found(
    flat: Flat, order: int, asked: tuple[str, ...] | None, rtol: float | None
) -> GradientCheck | GradientError:
    """The outcome; what cannot be checked at all is raised."""
    try:
        examined = examine(flat)
        modes = _possible(flat, examined.recording) if asked is None else asked
        outcome = _near_kinks if examined.reasons else _compared
        return outcome(_Check(flat, order, modes, rtol), examined)
    except UncheckableError:
        raise
    except GradientError as error:
        return error


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
    reached = max(map(len, result.expected), default=0)
    if reached < order and flat.point:
        reasons = (*reasons, f"no reference has a derivative of order {reached + 1} here")
    disagreement = None if reached else _disagreement(check, examined.recording)
    if disagreement is not None:
        return disagreement
    return GradientCheck(result.reference, result.error, reasons, modes, result.expected)


# ── where there is no derivative ──────────────────────────────────────────────────────────────
def _near_kinks(check: _Check, examined: Examined) -> GradientCheck | GradientError:
    """The modes against each other, and the operations away from kinks one by one.

    First derivatives only: higher ones have no meaning here.
    """
    recording, worst = examined.recording, 0.0
    for local, fault in alone(recording, 1, check.modes, check.rtol, examined.at_kinks):
        if fault is not None:
            return GradientError(
                f"check_grad: the derivative is wrong at {check.flat.at()} (near a kink: "
                f"{'; '.join(examined.reasons)})\n\n{verdict(fault)}",
                fault.node,
            )
        worst = max(worst, local.error)
    disagreement = None if examined.undefined else _disagreement(check, recording)
    if disagreement is not None:
        return disagreement
    return GradientCheck("each operation alone", worst, examined.reasons, check.modes, {})


def _disagreement(check: _Check, recording: Recording) -> GradientError | None:
    """The error for two modes that disagree in the gradient, if there are any."""
    first, *others = check.modes
    wanted = run(first, check.flat, recording.point, 1)
    size = max((abs(float(x)) for x in wanted.values() if finite(x)), default=0.0)
    rounding = rounding_errors(check.flat, recording.point, 1) if others else {}
    bounds = {
        index: BETWEEN_MODES * size + recording.coarseness * x for index, x in rounding.items()
    }
    for mode in others:
        found = run(mode, check.flat, recording.point, 1)
        wrong = [
            Disagreement(mode, index, x, wanted[index], abs(float(x - wanted[index])), allowed)
            for index, x in found.items()
            for allowed in (bounds.get(index, BETWEEN_MODES * size),)
            if finite(wanted[index]) and not abs(float(x - wanted[index])) <= allowed
        ]
        if wrong:
            where = "every operation may be right on its own: the point is near a kink"
            text = explained(check.flat, wrong, f"mode {first}", where)
            return GradientError(text)
    return None


def _failure(check: _Check, recording: Recording, comparison: Comparison) -> GradientError:
    """The error to raise, with the first operation that is wrong on its own, if there is one."""
    modes = tuple(dict.fromkeys(entry.mode for entry in comparison.wrong))
    gradients = recording.gradients()  # anew, for the picture
    local = alone(recording, check.order, modes, check.rtol)
    fault = next((fault for _, fault in local if fault is not None), None)
    where = wrong_sum(recording, gradients, modes) if fault is None else verdict(fault)
    text = explained(check.flat, comparison.wrong, comparison.reference, where)
    return GradientError(text, fault and fault.node)
