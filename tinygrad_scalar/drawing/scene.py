"""What a picture shows: Values, boxes for what is left out, and the edges between them.

Pure bookkeeping over the graph, shared by DOT, Mermaid and the step-through page. Every Value has
the number it bears in Algorithm 6.1, u(1)…u(n), in every view of the same graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.provenance import distinct_names
from tinygrad_scalar.core.undefined import by_rule
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import check_flag, checked_count, checked_roots
from tinygrad_scalar.drawing.arrangement import arranged, has_frames
from tinygrad_scalar.drawing.beside import derivative_roots
from tinygrad_scalar.drawing.boxes import Box, Bundle, put_away
from tinygrad_scalar.drawing.choice import Choice, chosen, cut
from tinygrad_scalar.drawing.gradients import Gradients, table_gradients
from tinygrad_scalar.drawing.paging import Page
from tinygrad_scalar.drawing.scopes import Scope, scopes_of
from tinygrad_scalar.numbers.precision import like

_START, _LEFT = 5_000, 4  # Values that a large graph is judged by, and times max_nodes
_NEIGHBOURHOOD = 3  # how many edges away from `focus` a picture reaches


@dataclass
class Scene:
    """The result of `scene`; `nodes` are the Values shown, parents first."""

    roots: Sequence[Any]
    order: Sequence[Any]
    numbers: Mapping[int, int]
    nodes: Sequence[Any]
    shown: set[int]
    scopes: Mapping[int, Scope]
    boxes: Sequence[Box] = ()
    bundles: Sequence[Bundle] = ()
    names: Mapping[int, str] = field(default_factory=dict)  # ∂z/∂x, by the id of the gradient
    titles: Mapping[Scope, str] = field(default_factory=dict)  # of folded scopes: MLP × 20
    gradients: Gradients | None = None  # of the table that is drawn
    compact: bool = False  # operations stand in their Value's box
    note: str = ""  # what the picture leaves out, and how to see it
    ranks: Mapping[str, int] = field(default_factory=dict)  # by key, where there is a page
    wrapped: bool = False  # into lines
    columns: int = 0  # of a line
    shrinks: bool = False  # to the size of a page, if need be
    derivative: set[int] = field(default_factory=set)  # the ids below the derivative roots only

    def key(self, node: Any) -> str:
        """The name of a Value in DOT, SVG and Mermaid."""
        return f"u{self.numbers[id(node)]}"

    def line(self, key: str) -> int:
        """The line that a thing stands in, 0 where the picture is not wrapped."""
        return self.ranks.get(key, 0) // self.columns if self.wrapped else 0

    def name(self, node: Any) -> str:
        """The label of a Value, with its scopes where others bear it too; or its number."""
        return self._labels.get(id(node)) or f"u{self.numbers[id(node)]}"

    @cached_property
    def _labels(self) -> dict[int, str]:
        return distinct_names(self.order)


def scene(
    z: Value | Sequence[Value],
    caller: str,
    *,
    depth: int | None = None,
    max_nodes: int | None = None,
    focus: Value | None = None,
    derivative: Any = None,
    fold: bool = True,
    page: Page | None = None,
    sections: bool = False,
) -> Scene:
    """What a picture of `z` shows under these options; see `draw`. O(nodes + edges).

    `page` is what the picture should fit; with `sections`, what neither folds nor closes is closed
    in sections, so that it does.
    """
    table = z if isinstance(z, GradTable) else None
    roots = checked_roots(z if table is None else next(iter(table), None), caller)
    check_flag("fold", fold, caller)
    depth = checked_count("depth", depth, 0, caller)
    max_nodes = checked_count("max_nodes", max_nodes, 1, caller)
    gradients = derivative_roots(derivative, roots, caller)
    forward = topological_order(*roots)
    order = topological_order(*roots, *(root for _, root in gradients)) if gradients else forward
    if max_nodes is not None and focus is None:
        _check_start(order, depth, max_nodes, fold, caller)
    numbers = {id(node): number for number, node in enumerate(order, start=1)}
    kept = order if focus is None else _neighbourhood(order, focus, max_nodes, caller)
    scopes = scopes_of(order)
    choice = chosen(kept, scopes, depth, max_nodes, fold and focus is None, page)
    if max_nodes is not None and choice.shown > max_nodes:
        _refuse(f"{choice.shown} nodes", max_nodes, caller)
    paged = sections and max_nodes is not None and depth is None and focus is None
    if paged and page is not None:
        choice = cut(choice, numbers, roots, page)
    nodes = [node for node in kept if id(node) not in choice.home]
    made = Scene(roots, order, numbers, nodes, {id(node) for node in nodes}, choice.scopes)
    made.titles = choice.folds.titles
    made.gradients = None if table is None else table_gradients(table)
    if len(nodes) < len(order):
        keys = {id(node): made.key(node) for node in nodes}
        made.boxes, made.bundles = put_away(order, kept, choice, keys)
    if page is not None:
        _lay_on(made, choice, page, depth, max_nodes is not None, paged)
    if gradients:
        made.derivative = set(numbers) - {id(node) for node in forward}
        made.names = _gradient_names(made, gradients)
    return made


def _check_start(
    order: Sequence[Any], depth: int | None, max_nodes: int, fold: bool, caller: str
) -> None:
    """ValueError for a large graph by its start, since to look for all that folds takes long.

    What neither folds nor closes there is left in the whole, too, but for turns of a loop that
    begins there and what adds them up: so several times `max_nodes` may be left.
    """
    start = order[: max(_START, 2 * _LEFT * max_nodes)]
    if len(start) < len(order):
        left = chosen(start, scopes_of(start), depth, max_nodes, fold, None).shown
        if left > _LEFT * max_nodes:
            _refuse(f"of {len(order)} nodes, {left} of the first {len(start)}", max_nodes, caller)


def _refuse(left: str, max_nodes: int, caller: str) -> NoReturn:
    raise ValueError(
        f"{caller}: {left} are left with every scope closed, more than "
        f"max_nodes={max_nodes}: group nodes by `with scope(name):` so that depth= can close "
        "them, show what surrounds one node with focus=, or allow more with max_nodes="
    )


def _lay_on(
    made: Scene, choice: Choice, page: Page, depth: int | None, bounded: bool, paged: bool
) -> None:
    """Fill in what a page asks for: the form, the lines, and what the picture says below it."""
    laid = arranged(made.order, choice, page, depth, bounded)
    boxes = {choice.home[id(box.nodes[0])]: box.key for box in made.boxes if box.name}
    made.compact, made.wrapped, made.columns = laid.compact, laid.wrapped, laid.columns
    made.ranks = {boxes.get(p) or f"u{made.numbers[p]}": r for p, r in laid.ranks.items()}
    made.shrinks = paged or (bounded and laid.fits)
    if choice.sections:
        made.note = (
            f"{len(made.order)} Values in {choice.shown} boxes; focus=node shows what surrounds "
            "one, max_nodes=None every one"
        )
    elif laid.wrapped and has_frames(choice):
        made.note = "Lines leave no room for the frames of scopes; depth=1 shows them"


def slopes(node: Any) -> list[tuple[int, Any, Any]]:
    """For each parent its place, itself and the number ∂node/∂parent; all at once in O(operands).

    >>> x, y = Value(2.0), Value(3.0)
    >>> [(i, slope) for i, _, slope in slopes(x * 5.0 * y)]
    [(0, 3.0), (1, 10.0)]
    """
    row, data = node.primitive, node.data
    if row is None:
        return []
    (y, x), kind = node._seen(), data.__class__
    rules = row.all_partials(y, x)
    found = []
    for i, parent in enumerate(node._slots()):
        if parent is not None:
            rule = rules[i]
            slope = by_rule(row, rule, i, y, x) if callable(rule) else rule
            found.append((i, parent, slope if slope.__class__ is kind else like(slope, data)))
    return found


def _neighbourhood(
    order: Sequence[Any], focus: Any, max_nodes: int | None, caller: str
) -> list[Any]:
    """The nodes at most three edges away from `focus`, the nearest if these are too many."""
    if not isinstance(focus, Value):
        raise TypeError(f"{caller}: focus is a Value of the graph, not {type(focus).__name__}")
    consumers = defaultdict(list)
    for node in order:
        for parent in node.parents:
            consumers[id(parent)].append(node)
    distance = {id(focus): 0}
    reached = [focus]
    for node in reached:
        far = distance[id(node)] + 1
        for neighbour in (*node.parents, *consumers[id(node)]):
            if far <= _NEIGHBOURHOOD and id(neighbour) not in distance:
                distance[id(neighbour)] = far
                reached.append(neighbour)
    nearest = {id(node) for node in reached[:max_nodes]}
    kept = [node for node in order if id(node) in nearest]
    if not any(node is focus for node in kept):
        raise ValueError(f"{caller}: focus={focus!r} is not a node of this graph")
    return kept


def _gradient_names(made: Scene, gradients: Iterable[tuple[Any, Value]]) -> dict[int, str]:
    """What each gradient is the derivative of; every forward node has a name in such a picture."""
    z = made.roots[0]
    names = {id(node): [made.name(node)] for node in made.nodes if id(node) not in made.derivative}
    for node, gradient in gradients:
        if node is not None and id(node) in made.numbers:
            names.setdefault(id(gradient), []).append(f"∂{made.name(z)}/∂{made.name(node)}")
    return {key: " = ".join(several) for key, several in names.items()}
