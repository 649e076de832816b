"""`Value.backward`: which of the two sweeps runs, and what is written where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import PRODUCTS
from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.graph import NOTHING, active_nodes, consumers_first, nodes_below
from tinygrad_scalar.core.reverse import propagate
from tinygrad_scalar.core.sweep import (
    alone,
    check_leaves,
    nodes_in_order,
    running,
    sweep,
    totals,
)
from tinygrad_scalar.core.undefined import Policy, check_policy, plain
from tinygrad_scalar.core.underflow import larger_sweep, mended
from tinygrad_scalar.numbers import flags
from tinygrad_scalar.numbers.precision import is_number, like, quietly

if TYPE_CHECKING:
    from tinygrad_scalar.core.value import Value


def backward(
    output: Value,
    seed: Any,
    inputs: Value | Iterable[Value] | None,
    create_graph: bool,
    undefined: Policy,
) -> GradTable:
    """See `Value.backward`."""
    if type(seed) is not type(output.data) or type(seed) is not float:
        seed = _checked_seed(output, seed, create_graph)
    asked = None if inputs is None else _checked_inputs(output, inputs)
    table = None
    if undefined == "subgradient" and not create_graph and type(output.data) is float:
        table = alone(sweep, output, seed, asked)  # None if it is not sure of them
    if table is None:
        check_policy(undefined)
        table = _by_the_book(output, seed, asked, undefined, create_graph)
    return table if context.plain else _counted(table)


def _checked_seed(output: Value, seed: Any, create_graph: bool) -> Any:
    if is_number(seed):
        return like(seed, output.data)
    if create_graph and isinstance(seed, Carrier):
        return seed
    raise TypeError(
        f"backward: seed is the gradient of the output, a number, not {type(seed).__name__}"
        + ("" if create_graph else "; a Value is taken with create_graph=True")
    )


def _checked_inputs(output: Value, inputs: Any) -> list[Value]:
    several = isinstance(inputs, Iterable) and not isinstance(inputs, Carrier)
    asked: list[Any] = list(inputs) if several else [inputs]
    for node in asked:
        if not isinstance(node, Carrier) or node.level != output.level:
            raise TypeError(
                "backward: inputs are the Values whose gradient is asked, "
                f"not {type(node).__name__}"
            )
    return list({id(node): node for node in asked}.values())


def gradients(
    outputs: Sequence[Value],
    seeds: Sequence[Any],
    inputs: Sequence[Value],
    *,
    graph: bool = False,
    undefined: Policy = "subgradient",
    cut: bool = False,
    private: bool = False,
    structural: bool = False,
) -> list[Any]:
    """The gradient of Σ seed · output with respect to each input; 0 where there is none.

    Writes no `.grad`. With `cut`, nothing is followed below the inputs. `private` promises that
    no other sweep can see the nodes, so that this one may run inside another. With `structural`,
    None stands for a zero that constants alone decide.
    """
    plainly = not (graph or structural) and undefined == "subgradient" and bool(outputs)
    table = None
    if plainly and _floats(outputs):
        table = _total_at_speed(outputs, seeds, inputs, private)
    if table is None:
        ids = frozenset(map(id, inputs)) if cut else NOTHING
        larger = _by_a_larger_seed(outputs, seeds, inputs) if plainly else None
        order, found = larger or _table(outputs, seeds, inputs, undefined, graph, ids)
        if structural:
            reached = {id(node): gradient for node, gradient in zip(order, found, strict=True)}
            return [reached.get(id(node)) for node in inputs]
        table = GradTable(order, _filled(outputs, found), inputs, _zero(outputs))
    if not context.plain:
        _counted(table)
    return [table[node] for node in inputs]


def leaves_of(outputs: Sequence[Value]) -> list[Value]:
    """The leaves that the outputs depend on, each once. O(edges)."""
    found = alone(nodes_in_order, outputs)
    if found is None:
        return [node for node in nodes_below(*outputs) if node.primitive is None]
    return found[1]  # type: ignore[no-any-return]


def _total_at_speed(
    outputs: Sequence[Value], seeds: Sequence[float], inputs: Sequence[Value], private: bool
) -> GradTable | None:
    with context.uncounted(), context.recorded():
        total = outputs[0] if len(outputs) == 1 else PRODUCTS(*outputs, *map(float, seeds))
    seed = float(seeds[0]) if len(outputs) == 1 else 1.0
    if private:
        return sweep(total, seed, inputs, False)
    return alone(sweep, total, seed, inputs, False)  # type: ignore[no-any-return]


def _table(
    outputs: Sequence[Value],
    seeds: Sequence[Any],
    asked: Sequence[Value] | None,
    undefined: Policy,
    graph: bool,
    cut: Collection[int] = NOTHING,
) -> tuple[list[Value], list[Any]]:
    """Algorithm 6.2 on any carrier: nodes, consumers first, and their gradients."""
    active = None if asked is None else active_nodes(outputs, asked, cut)
    found = alone(nodes_in_order, outputs) if graph and active is None and not cut else None
    order = consumers_first(outputs, active, cut) if found is None else [*found[0], *found[1]]
    start: dict[int, Any] = {}
    for output, seed in zip(outputs, seeds, strict=True):
        carried = seed if isinstance(seed, Carrier) else like(seed, output.data)
        start[id(output)] = start[id(output)] + carried if id(output) in start else carried
    check_leaves(node for node in order if node.primitive is None)

    def again(start: dict[int, Any]) -> list[Any]:
        return quietly(propagate, order, start, active, cut, undefined, graph, asked)  # type: ignore[no-any-return]

    flags.lower()
    found = again(start)
    if flags.underflowed() and _floats(outputs):
        larger = again if graph else None
        found = mended(order, found, start, active, cut, undefined, asked, larger)
    return order, found


def _by_a_larger_seed(
    outputs: Sequence[Value], seeds: Sequence[Any], asked: Sequence[Value] | None
) -> tuple[list[Value], list[float]] | None:
    if len(outputs) > 1 or not _floats(outputs):
        return None
    return alone(larger_sweep, outputs[0], float(seeds[0]), asked)  # type: ignore[no-any-return]


def _floats(outputs: Sequence[Value]) -> bool:
    return all(output.data.__class__ is float for output in outputs)


def _filled(outputs: Sequence[Value], found: Sequence[Any]) -> list[Any]:
    """Gradients with 0 for structural zeros."""
    zero = _zero(outputs)
    return [zero if gradient is None else gradient for gradient in found]


def _zero(outputs: Sequence[Value]) -> Any:
    return like(0.0, outputs[0].data) if outputs else 0.0


def _by_the_book(
    output: Value,
    seed: Any,
    asked: Sequence[Value] | None,
    undefined: Policy,
    graph: bool,
) -> GradTable:
    """`.grad` is written only when all of it has succeeded."""
    plainly = undefined == "subgradient" and not graph
    larger = _by_a_larger_seed([output], [seed], asked) if plainly else None
    order, found = larger or _table([output], [seed], asked, undefined, graph)
    found = _filled([output], found)
    wanted = None if asked is None else {id(node) for node in asked}
    with running:  # what stands in `.grad` is read and added to
        _write(order, found, wanted)
    zero, kind = _zero([output]), type(output)
    if graph:
        found = [output._leaf(x) if type(x) is not kind and is_number(x) else x for x in found]
        zero = output._leaf(zero)
    return GradTable(order, found, asked or (), zero)


def _write(order: Sequence[Value], found: Sequence[Any], wanted: set[int] | None) -> None:
    kind = type(order[0]) if order else None
    inner, results, leaves, parts = [], [], [], []
    for node, gradient in zip(order, found, strict=True):
        number = gradient.data if type(gradient) is kind else plain(gradient)
        if type(number) is not float and not is_number(number):
            continue  # of a checkpointed call, which gathers its outputs' ones
        if wanted is None and node.primitive is not None:
            inner.append(node)
            results.append(number)
        elif wanted is None or id(node) in wanted:
            leaves.append(node)
            parts.append(number)
    sums = totals(leaves, parts)  # of which none may fail once the first is written
    assign([*inner, *leaves], "grad", chain(results, sums))


def _counted(table: GradTable) -> GradTable:
    for counter in context.settings().counters:
        counter.propagated(table.edges)
    return table
