"""Functions whose derivative is given: by a rule, or by an equation that the result solves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_scalar.functional import grad
from tinygrad_scalar.precision import is_number
from tinygrad_scalar.primitive import Carrier, Primitive, own


def custom(f: Callable[..., Any], derivative: Callable[..., Any]) -> Callable[..., Any]:
    """f with the partials that `derivative(y, *x)` gives: a tuple, or a number for one operand.

    `f` gets plain numbers and may be any code; `derivative` is written in this library's functions
    if it is to be differentiated again. One node per call, valid in every mode.
    Errors: ValueError if the number of partials is not that of the operands.

    >>> from tinygrad_scalar import Value, exp
    >>> clipped = custom(lambda x: min(x, 10.0), lambda y, x: 1.0)  # straight through
    >>> x = Value(12.0)
    >>> clipped(x).data, clipped(x).backward()[x]
    (10.0, 1.0)
    """
    name = getattr(f, "__name__", "custom").strip("<>")
    for argument, function in (("f", f), ("derivative", derivative)):
        if not callable(function):
            raise TypeError(f"custom: {argument} must be callable, not {type(function).__name__}")

    def partials(y: Any, *x: Any) -> Any:
        given = derivative(y, *x)
        found = given if isinstance(given, (list, tuple)) else (given,)
        if len(found) != len(x):
            raise ValueError(
                f"custom {name!r}: derivative(y, *x) gave {len(found)} partials for {len(x)} "
                "operands; give one each"
            )
        for partial in found:
            if not isinstance(partial, Carrier) and not is_number(partial):
                raise TypeError(
                    f"custom {name!r}: a partial is a number, not {type(partial).__name__}"
                )
        return found

    return own(Primitive(name, f, (partials,), arity=None, mpmath="", opaque=True))


def implicit(solve: Callable[..., Any], residual: Callable[..., Any]) -> Callable[..., Any]:
    """The function y(*params) that solves `residual(y, *params) = 0`, without unrolling the solver.

    `solve(*params)` finds y on plain numbers, by any means (bisection, Newton, a fixed point). The
    gradient comes from the implicit function theorem, ∂y/∂p = −(∂r/∂p) / (∂r/∂y), at the solution;
    as precise as the solution is. Differentiable again. Cost of a gradient: one of the residual.
    Everything the solution depends on must be a parameter: a Value that `residual` merely closes
    over gets no gradient.
    Errors: ZeroDivisionError where ∂r/∂y = 0, where y is no function of the parameters.
    Source: the implicit function theorem; Griewank and Walther, section 15.

    >>> from tinygrad_scalar import Value
    >>> root = implicit(lambda a: a**0.5, lambda y, a: y * y - a)
    >>> a = Value(9.0)
    >>> root(a).backward()[a] == 1 / 6
    True
    """

    def derivative(y: Any, *params: Any) -> list[Any]:
        by_solution, *by_params = grad(residual)(y, *params)
        if by_solution == 0:
            raise ZeroDivisionError(
                f"implicit: the residual does not depend on the solution at {y!r} (its slope is "
                "0), so the solution is no function of the parameters there"
            )
        return [-slope / by_solution for slope in by_params]

    return custom(solve, derivative)
