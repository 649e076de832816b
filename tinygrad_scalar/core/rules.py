"""What a node sends to its parents by the rules of its row, where the sweep does not spell it out.

The rules of the library's rows are called over floats with `math.cos` where the row says `cos`: a
row asks at every call what is carried, and in the sweep over floats that is known.
Compiled as it stands for the compiled node: see rules.pxd.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.undefined import by_rule
from tinygrad_scalar.numbers.precision import like

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value

_FORWARD: dict[str, Any] = {}


def _on_floats(thing: Any) -> Any:
    if isinstance(thing, Primitive):
        return thing.forward
    ours = isinstance(thing, FunctionType) and thing.__globals__ is vars(primitives)
    return FunctionType(thing.__code__, _FORWARD) if ours else thing


_FORWARD["Fraction"] = operator.truediv
_FORWARD.update(
    (name, _on_floats(thing)) for name, thing in vars(primitives).items() if name not in _FORWARD
)
ON_FLOATS: dict[Callable[..., Any], Callable[..., Any]] = {
    rule: _on_floats(rule)
    for row in primitives.TABLE.values()
    for rule in (*row.partials, *row.pulls)
    if callable(rule)
}


class NoFloat(Exception):  # noqa: N818 (no error: a way of telling)
    """What flows is for the general way.

    A rule raises, which may not matter behind a structural zero; or what flows is more than a
    number, and a node has room for one only.
    """


def send_by_rules(node: Value, gradient: float, stamp: int) -> None:
    """What goes to the parents by the rules of the row, each only if it is asked for."""
    y, x, parents = node._operation()
    row: Any = node.primitive
    try:
        if row.opaque and row.pulls[0] is not None:  # a checkpointed function
            asked = [parent is not None and parent._sweep == stamp for parent in parents]
            terms = row.pulls[0](gradient, y, *x, asked=asked)
        elif row.arity is None:
            terms = _all_terms(row, gradient, y, x)
        else:
            terms = [
                0.0 if parent is None or parent._sweep != stamp else _term(row, i, gradient, y, x)
                for i, parent in enumerate(parents)
            ]
    except (ArithmeticError, ValueError):
        raise NoFloat from None
    for parent, term in zip(parents, terms, strict=True):
        if parent is not None and parent._sweep == stamp:  # on a way to what was asked
            try:
                parent._sent += term if type(term) is float else float(term)
            except TypeError:
                raise NoFloat from None


def _term(row: Any, i: int, gradient: float, y: Any, x: Sequence[float]) -> float:
    """What goes to one parent by the row's pull, or by its partial at a pole or a kink."""
    pull, rule = row.pulls[i], row.partials[i]
    on_floats = ON_FLOATS if context.plain else {}
    try:
        if pull is not None:
            return on_floats.get(pull, pull)(gradient, y, *x)  # type: ignore[no-any-return]
        if rule in on_floats:
            return gradient * on_floats[rule](y, *x)  # type: ignore[no-any-return]
    except (ArithmeticError, ValueError):
        pass
    return gradient * like(by_rule(row, rule, i, y, x), gradient)  # type: ignore[no-any-return]


def _all_terms(row: Any, gradient: float, y: float, x: Sequence[float]) -> Sequence[float]:
    """What goes back to all operands of a row of any number of them; it comes at once."""
    rule = row.pulls[0] or row.partials[0]
    quick = ON_FLOATS.get(rule, rule) if context.plain else rule
    if row.pulls[0] is not None:
        return quick(gradient, y, *x)  # type: ignore[no-any-return]
    return [gradient * slope for slope in quick(y, *x)]
