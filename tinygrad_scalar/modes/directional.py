"""`jvp`: the derivative in a direction, by forward mode; where it is undefined, by reverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.tree import aligned, carried, mapped
from tinygrad_scalar.core.undefined import Policy, check_policy
from tinygrad_scalar.modes.derived import check_function
from tinygrad_scalar.modes.forward import Dual, attempted, dual_arguments, tangent_of
from tinygrad_scalar.modes.run import Run, summed
from tinygrad_scalar.modes.tagged import in_watched_pass


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    undefined: Policy = "subgradient",
) -> tuple[Any, Any]:
    """f(*primals) and its derivative in the direction `tangents`, in one forward pass.

    Both are sequences with one entry per positional argument of f, of the same structure (numbers,
    lists, tuples, dicts); both results have the structure of f's. Cost: about three times f's,
    whatever the number of inputs. Nests with itself and with `grad`. Where something undefined may
    arise, an infinite slope, or a number too small for a float, f is run again and reverse mode
    decides, by the policy `undefined`. Here and in all forward modes f gets numbers that may be no
    Values, so that f shall not choose by `isinstance(x, Value)`.
    Errors: TypeError or ValueError naming the argument where primals and tangents do not match.
    Source: *Deep Learning*, section 6.5.9 (forward mode accumulation).

    >>> from tinygrad_scalar import jvp, sin
    >>> jvp(lambda x, y: x * sin(y), (2.0, 0.0), (0.0, 1.0))
    (0.0, 2.0)
    """
    check_function(f, "jvp: f")
    check_policy(undefined)

    def pass_(level: float) -> tuple[Any, Any]:
        output = f(*dual_arguments(primals, tangents, level, "jvp"))
        return (
            mapped(lambda y: _split(y, level)[0], output),
            mapped(lambda y: _split(y, level)[1], output),
        )

    result: tuple[Any, Any] | None = attempted(lambda: in_watched_pass(pass_), undefined)
    return slope_by_reverse(f, primals, tangents, undefined) if result is None else result


def slope_by_reverse(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], undefined: Policy
) -> tuple[Any, Any]:
    """What `jvp` gives, from the gradients of reverse mode: Σ gradient · tangent.

    Inputs whose tangent is the plain number 0 do not move, and nothing is judged there.
    """
    run = Run(f, tuple(primals), {}, None, "jvp")
    along = [
        t for p, tangent in zip(primals, tangents, strict=True) for t in aligned(p, tangent, "")
    ]
    moving = [i for i, t in enumerate(along) if isinstance(t, Carrier) or t != 0]
    run.inputs = [run.inputs[i] for i in moving]
    directions = [along[i] for i in moving]

    def slope(y: Any) -> Any:
        y = carried(y, "jvp: what f returned")
        with context.recorded() if run.graph else nullcontext():
            return summed(run.pull(y, 1.0, undefined), directions, undefined)

    return mapped(run.finished, run.output), mapped(slope, run.output)


def _split(y: Any, level: float) -> tuple[Any, Any]:
    y = carried(y, "jvp: what f returned")
    primal = y.primal if isinstance(y, Dual) and y.level == level else y
    return primal, tangent_of(y, level)
