"""The modes of differentiation under one name each: every derivative of f up to an order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler import compile
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.directional import jvp
from tinygrad_scalar.modes.grad import grad
from tinygrad_scalar.testing.derivatives import Index

Function = Callable[..., Any]
Derivatives = dict[Index, Any]


def derivative_graph(f: Function, inputs: Sequence[Value], order: int) -> Derivatives:
    """`backward(create_graph=True)` again and again; the derivatives as Values where they are."""
    found: Derivatives = {}
    level: Derivatives = {(): f(*inputs)}
    for _ in range(order):
        level = {
            (*index, i): slope
            for index, value in level.items()
            for i, slope in enumerate(_slopes(value, inputs, create_graph=True))
        }
        found |= level
    return found


def _slopes(value: Any, inputs: Sequence[Value], *, create_graph: bool) -> list[Any]:
    if not isinstance(value, Value):
        return [0.0] * len(inputs)
    table = value.backward(inputs=inputs, create_graph=create_graph)
    return [table[leaf] for leaf in inputs]


def _graph(f: Function, point: Sequence[Any], order: int) -> Derivatives:
    return derivative_graph(f, [Value(x) for x in point], order)


def _reverse(f: Function, point: Sequence[Any], order: int) -> Derivatives:
    """Every order by one plain `backward`, of the derivative graph one order below."""
    inputs = [Value(x) for x in point]
    found: Derivatives = {}
    level: Derivatives = {(): f(*inputs)}
    for k in range(order):
        for index, value in level.items():
            slopes = _slopes(value, inputs, create_graph=False)
            found |= {(*index, i): slope for i, slope in enumerate(slopes)}
        if k + 1 < order:
            level = {
                (*index, i): slope
                for index, value in level.items()
                for i, slope in enumerate(_slopes(value, inputs, create_graph=True))
            }
    return found


def _forward(f: Function, point: Sequence[Any], order: int) -> Derivatives:
    """As many nested `jvp` as the order."""

    def along(index: Index) -> Function:
        if not index:
            return f
        unit = tuple(float(i == index[0]) for i in range(len(point)))
        return lambda *x: jvp(along(index[1:]), x, unit)[1]

    everywhere = range(len(point))
    return {
        index: along(index)(*point)
        for k in range(1, order + 1)
        for index in itertools.product(everywhere, repeat=k)
    }


def _tape(f: Function, point: Sequence[Any], order: int) -> Derivatives:
    """The compiled function's gradient and Hessian, by the engine that compiles at once.

    Above that, the Hessians of compiled derivatives.
    """
    numbers, everywhere = [float(x) for x in point], range(len(point))

    def slope(index: Index) -> Function:
        if not index:
            return f
        below = grad(slope(index[1:]), argnums=index[0])
        return lambda *x: below(*x) + 0.0 * x[0]  # a constant alone could not be traced

    if not numbers:
        return {}
    compiled = compile(f, engine="python")
    gradient = compiled.grad(*numbers)
    slopes = gradient if isinstance(gradient, tuple) else (gradient,)
    found: Derivatives = {(i,): slope for i, slope in enumerate(slopes)}
    for k in range(order - 1):
        for index in itertools.product(everywhere, repeat=k):
            compiled = compile(slope(index), engine="python") if index else compiled
            rows = compiled.hessian(*numbers)
            found |= {(i, j, *index): x for i, row in enumerate(rows) for j, x in enumerate(row)}
    return found


MODES: dict[str, Callable[[Function, Sequence[Any], int], Derivatives]] = {
    "reverse": _reverse,
    "forward": _forward,
    "graph": _graph,
    "tape": _tape,
}
