"""Functions whose derivative is given: by a rule, or by an equation that the result solves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial as bind
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.tree import leaves
from tinygrad_scalar.core.undefined import plain, policy_in_force
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.derived import check_function
from tinygrad_scalar.modes.run import Run
from tinygrad_scalar.modes.tagged import Tagged
from tinygrad_scalar.numbers.precision import is_number
from tinygrad_scalar.teaching.counting import tracked


def custom(f: Callable[..., Any], derivative: Callable[..., Any]) -> Callable[..., Any]:
    """f with the partials that `derivative(y, *x)` gives: a tuple or array, or one number.

    `f` gets plain numbers and may be any code; `derivative` is written in this library's functions
    if it is to be differentiated again. One node per call, valid in every mode. What `f` closes
    over is constant: a Value that the result depends on must be an operand.
    Errors: ValueError if the number of partials is not that of the operands; TypeError if a
    partial at plain numbers is none, because `derivative` closes over a Value.

    >>> from tinygrad_scalar import Value, exp
    >>> clipped = custom(lambda x: min(x, 10.0), lambda y, x: 1.0)  # straight through
    >>> x = Value(12.0)
    >>> clipped(x).data, clipped(x).backward()[x]
    (10.0, 1.0)
    """
    name = _name_of(f, "custom")
    check_function(f, "custom: f")
    check_function(derivative, "custom: derivative")

    def partials(y: Any, *x: Any) -> Any:
        given = derivative(y, *x)
        found = leaves(given)  # an array of partials too
        if len(found) != len(x):
            raise ValueError(
                f"custom {name!r}: derivative(y, *x) gave {len(found)} partials for {len(x)} "
                "operands; give one each"
            )
        at_numbers = not any(isinstance(each, Carrier) for each in (y, *x))
        for partial in found:
            if isinstance(partial, Carrier) and at_numbers:
                raise TypeError(
                    f"custom {name!r}: derivative closes over {partial!r}, which would get no "
                    "gradient: make it an operand, or use its .data as a constant"
                )
            if not isinstance(partial, Carrier) and not is_number(partial):
                raise TypeError(
                    f"custom {name!r}: a partial is a number, not {type(partial).__name__}"
                )
        return found

    return Primitive(name, f, (partials,), arity=None, mpmath="", opaque=True)


def _name_of(f: Callable[..., Any], otherwise: str) -> str:
    """What a row is called that is made of a function: its name, if it has one."""
    name: str = getattr(f, "__name__", "<lambda>")
    return otherwise if name == "<lambda>" else name


def implicit(solve: Callable[..., Any], residual: Callable[..., Any]) -> Callable[..., Any]:
    """The function y(*params) that solves `residual(y, *params) = 0`, without unrolling the solver.

    `solve(*params)` finds y, one number, on plain numbers, by any means (bisection, Newton, a fixed
    point). The gradient comes from the implicit function theorem, ∂y/∂p = −(∂r/∂p) / (∂r/∂y), at
    the solution; as precise as the solution is. Differentiable again. Values that `residual` closes
    over get their gradients too. Cost: one residual per call (to see these), and one gradient of
    it. Errors: ZeroDivisionError where ∂r/∂y = 0, where y is no function of the parameters;
    TypeError if `solve` gives no single number, or if `residual` closes over a number of forward
    mode or of a function being compiled; RuntimeError if the data of a Value closed over was
    overwritten before the way back.
    Source: the implicit function theorem; Griewank and Walther, section 15.

    >>> from tinygrad_scalar import Value
    >>> root = implicit(lambda a: a**0.5, lambda y, a: y * y - a)
    >>> a = Value(9.0)
    >>> root(a).backward()[a] == 1 / 6
    True
    """
    check_function(solve, "implicit: solve")
    check_function(residual, "implicit: residual")

    return _Implicit(solve, residual)


class _Implicit(Primitive):
    """The row of an implicit function."""

    __slots__ = ("residual",)

    def __init__(self, solve: Callable[..., Any], residual: Callable[..., Any]) -> None:
        name = _name_of(solve, "implicit")
        rule = bind(_slopes, residual, ())
        super().__init__(name, solve, (rule,), arity=None, mpmath="", opaque=True)
        self.residual = residual

    def __call__(self, *params: Any) -> Any:
        """The solution; what the residual closes over becomes an operand beside the parameters."""
        y = super().__call__(*params)
        settings = context.settings()
        if not settings.recording and settings.tracker is None:
            return y
        others = _closed_over(self.residual, [_number(x) for x in (y, *params)])
        if not others:
            return y
        if any(map(_is_traced, (y, *params))):
            raise TypeError(
                f"implicit: residual closes over {others[0]!r}, which gets no gradient inside a "
                "compiled function: make it a parameter"
            )
        number, rule = plain(y), bind(_slopes, self.residual, others)
        row = Primitive(self.name, lambda *_: number, (rule,), arity=None, mpmath="", opaque=True)
        return row(*params, *others)


def _slopes(residual: Callable[..., Any], others: Sequence[Value], y: Any, *x: Any) -> list[Any]:
    """−(∂r/∂x) / (∂r/∂y) for every operand: the parameters, and the Values closed over."""
    count = len(x) - len(others)
    _check_unchanged(others, x[count:])
    run = Run(residual, (y, *x[:count]), {}, None, "implicit: residual")
    run.graph = any(
        _is_traced(leaf) or not isinstance(leaf, Value) or leaf.parents for leaf in run.inputs
    )
    run.inputs = [*run.inputs, *others]
    output = run.single_output("implicit: residual")
    policy = policy_in_force() or context.settings().undefined
    by_solution, *by_operands = run.pull(output, 1.0, policy)
    if by_solution == 0:
        raise ZeroDivisionError(
            f"implicit: the residual does not depend on the solution at {_number(y)!r} (its slope "
            "is 0), so the solution is no function of the parameters there"
        )
    return [-slope / by_solution for slope in by_operands]


def _check_unchanged(others: Sequence[Value], seen: Sequence[Any]) -> None:
    for value, number in zip(others, map(plain, seen), strict=True):
        if value.data != number:
            raise RuntimeError(
                f"implicit: the data of {value!r}, which residual closes over, was {number!r} "
                "when the solution was computed; compute it again before the way back"
            )


def _closed_over(residual: Callable[..., Any], numbers: Sequence[Any]) -> list[Value]:
    """The Values that `residual` uses besides its arguments."""
    output, found = tracked(residual, numbers)
    if isinstance(output, Carrier) and not isinstance(output, Value):
        raise TypeError(
            f"implicit: residual closes over a {type(output).__name__}, a number of forward mode "
            "or of a function being compiled: make it a parameter"
        )
    return found


def _is_traced(x: Any) -> bool:
    """Whether `x` is a number of a function being compiled."""
    return hasattr(_core(x), "recording")


def _number(x: Any) -> Any:
    """The plain number carried, in a function being compiled that of the point of the trace."""
    core = _core(x)
    return core.recording.number(core.index) if _is_traced(core) else plain(core)


def _core(x: Any) -> Any:
    while isinstance(x, Tagged):
        x = x.parts()[0]
    return x
