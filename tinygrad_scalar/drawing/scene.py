"""What a picture shows: Values, boxes for what is left out, and the edges between them.

Pure bookkeeping over the graph, shared by DOT, Mermaid and the step-through page. Every Value has
the number it bears in Algorithm 6.1, u(1)…u(n), in every view of the same graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.provenance import distinct_names
from tinygrad_scalar.core.undefined import by_rule
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import check_count, checked_roots
from tinygrad_scalar.drawing.choice import Choice, chosen, cut
from tinygrad_scalar.drawing.folding import Group
from tinygrad_scalar.drawing.gradients import Gradients, table_gradients
from tinygrad_scalar.drawing.paging import SMALL, between_lines, columns_of, ranks
from tinygrad_scalar.drawing.scopes import Scope, scopes_of
from tinygrad_scalar.drawing.terms import operation_text
from tinygrad_scalar.numbers.precision import like

_OVER = 1.5  # times a page, up to which a small picture is left in one line
_KNOTS = 1.5  # edges between lines, for each line, that a small picture bears
_NEIGHBOURHOOD = 3  # how many edges away from `focus` a picture reaches


class Box(NamedTuple):
    """A closed scope; or like nodes drawn as one; or, without a name, what `focus` leaves out."""

    key: str
    name: str
    scope: Scope
    nodes: Sequence[Any]
    group: Group | None = None  # where the nodes are alike


class Bundle(NamedTuple):
    """The edges between two shown things of which at least one is a box."""

    source: str
    target: str
    edges: Sequence[tuple[Any, int]]  # the consumer, and which of its operands


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
    ranks: Mapping[str, int] = field(default_factory=dict)  # by key, of what is wrapped into lines
    columns: int = 0  # of a line
    page: tuple[float, float] | None = None  # the width and height that it is made to keep
    derivative: set[int] = field(default_factory=set)  # the ids below the derivative roots only

    def key(self, node: Any) -> str:
        """The name of a Value in DOT, SVG and Mermaid."""
        return f"u{self.numbers[id(node)]}"

    def line(self, key: str) -> int:
        """The line that a thing stands in, 0 where the picture is not wrapped."""
        return self.ranks.get(key, 0) // self.columns if self.ranks else 0

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
    page: tuple[float, float] | None = None,
    sections: bool = False,
) -> Scene:
    """What a picture of `z` shows under these options; see `draw`. O(nodes + edges).

    `page` is a width and a height in points that the picture should fit; with `sections`, what
    neither folds nor closes is closed in sections, so that it does.
    """
    table = z if isinstance(z, GradTable) else None
    roots = checked_roots(z if table is None else next(iter(table), None), caller)
    check_count("depth", depth, 0, caller)
    check_count("max_nodes", max_nodes, 1, caller)
    gradients = _derivative_roots(derivative, roots, caller)
    forward = topological_order(*roots)
    order = topological_order(*roots, *(root for _, root in gradients)) if gradients else forward
    numbers = {id(node): number for number, node in enumerate(order, start=1)}
    kept = order if focus is None else _neighbourhood(order, focus, max_nodes, caller)
    scopes = scopes_of(order)
    choice = chosen(kept, scopes, depth, max_nodes, fold and focus is None, page)
    _check_total(choice.shown, max_nodes, caller)
    paged = sections and max_nodes is not None and depth is None and focus is None
    if paged and page is not None:
        choice = cut(choice, numbers, roots, page)
    nodes = [node for node in kept if id(node) not in choice.home]
    made = Scene(roots, order, numbers, nodes, {id(node) for node in nodes}, choice.scopes)
    made.titles = choice.folds.titles
    made.gradients = None if table is None else table_gradients(table)
    if len(nodes) < len(order):
        _put_away(made, kept, choice)
    if page is not None:
        large = len(order) > SMALL and (depth is None or choice.shown > SMALL)
        _lay_on(made, choice, page, large and max_nodes is not None, paged)
    if gradients:
        made.derivative = set(numbers) - {id(node) for node in forward}
        made.names = _gradient_names(made, gradients)
    return made


def _check_total(total: int, max_nodes: int | None, caller: str) -> None:
    """ValueError if more would be drawn than may be."""
    if max_nodes is not None and total > max_nodes:
        raise ValueError(
            f"{caller}: {total} nodes are left with every scope closed, more than "
            f"max_nodes={max_nodes}: group nodes by `with scope(name):` so that depth= can close "
            "them, show what surrounds one node with focus=, or allow more with max_nodes="
        )


def _lay_on(
    made: Scene, choice: Choice, page: tuple[float, float], compact: bool, paged: bool
) -> None:
    """Fill in what a page asks for: the form, the lines, and what the picture says below it."""
    made.compact = compact
    made.columns = columns_of(made.nodes, page[0], compact)
    made.ranks = _wrapped(made, choice)
    made.page = page if paged and compact else None
    if choice.sections:
        made.note = (
            f"{len(made.order)} Values in {choice.shown} boxes; focus=node shows what surrounds "
            "one, max_nodes=None every one"
        )


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


def _put_away(made: Scene, kept: Sequence[Any], choice: Choice) -> None:
    """Fill in the boxes, and the bundles of edges that begin or end in one."""
    members: dict[Any, list[Any]] = {}
    for node in kept:
        if id(node) in choice.home:
            members.setdefault(choice.home[id(node)], []).append(node)
    boxes = []
    for i, (place, nodes) in enumerate(members.items(), start=1):
        if isinstance(place, tuple):
            boxes.append(Box(f"b{i}", place[-1], place[:-1], nodes))
        else:
            group = choice.folds.groups[place]
            boxes.append(Box(f"b{i}", _group_name(group), group.scope, nodes, group))
    place_of = {id(node): made.key(node) for node in made.nodes}
    place_of |= {id(node): box.key for box in boxes for node in box.nodes}
    bundles: dict[tuple[str, str], list[tuple[Any, int]]] = {}
    for node in made.order:
        for i, parent in enumerate(node._slots()):
            if parent is None or (id(node) in made.shown and id(parent) in made.shown):
                continue
            source, target = place_of.get(id(parent)), place_of.get(id(node))
            if source != target:
                ends = source or f"before_{target}", target or f"after_{source}"
                bundles.setdefault(ends, []).append((node, i))
    made.bundles = [Bundle(*ends, edges) for ends, edges in bundles.items()]
    made.boxes = boxes + _left_out(made.bundles)


def _wrapped(made: Scene, choice: Choice) -> dict[str, int]:
    """The rank of each thing where the picture is too wide for one line.

    A small picture stays in one line where it is little wider than a page, or would be in knots.
    """
    rank = ranks(choice.nodes, choice.home)
    last = max(rank.values(), default=0)
    small = len(made.order) <= SMALL
    if last < made.columns * (_OVER if small else 1.0):
        return {}
    lines = {place: r // made.columns for place, r in rank.items()}
    knots = _KNOTS * (1 + last // made.columns)
    if small and len(between_lines(choice.nodes, choice.home, lines)) > knots:
        return {}
    boxes = {choice.home[id(box.nodes[0])]: box.key for box in made.boxes if box.name}
    return {boxes.get(place) or f"u{made.numbers[place]}": r for place, r in rank.items()}


def _group_name(group: Group) -> str:
    """What like nodes have in common: a label, or the operation."""
    first = group.nodes[0]
    labels = {node.label for node in group.nodes}
    if len(labels) == 1 and first.label:
        return str(first.label)
    texts = {operation_text(node) for node in group.nodes} if first.primitive else set()
    if len(texts) == 1:
        return texts.pop()
    if first.primitive is not None:
        return str(first.primitive.symbol or first.primitive.name)
    stems = {label.rstrip("0123456789_[]") for label in labels}
    return stems.pop() or "leaves" if len(stems) == 1 else "leaves"


def _left_out(bundles: Iterable[Bundle]) -> list[Box]:
    """The boxes without a name, one on each side of a node whose neighbours are left out."""
    boxes = []
    for bundle in bundles:
        if bundle.source.startswith("before"):
            nodes = [node._slots()[i] for node, i in bundle.edges]
            boxes.append(Box(bundle.source, "", (), nodes))
        elif bundle.target.startswith("after"):
            boxes.append(Box(bundle.target, "", (), [node for node, _ in bundle.edges]))
    return boxes


def _derivative_roots(
    derivative: Any, roots: Sequence[Value], caller: str
) -> list[tuple[Any, Value]]:
    """Pairs of a node (or None) and its gradient as a Value."""
    if derivative is None:
        return []
    if isinstance(derivative, Mapping):
        seeds = {id(root) for root in roots}  # ∂z/∂z = 1 is no part of the graph
        pairs = [pair for pair in derivative.items() if id(pair[0]) not in seeds]
    else:
        several = isinstance(derivative, (list, tuple))
        gradients = list(derivative) if several else [derivative]
        pairs = [(None, gradient) for gradient in gradients]
    for _, gradient in pairs:
        if not isinstance(gradient, Value):
            raise TypeError(
                f"{caller}: derivative is a Value, a list or a table of Values, not of "
                f"{type(gradient).__name__}: z.backward(create_graph=True) makes such a table"
            )
    return pairs


def _gradient_names(made: Scene, gradients: Iterable[tuple[Any, Value]]) -> dict[int, str]:
    """What each gradient is the derivative of; every forward node has a name in such a picture."""
    z = made.roots[0]
    names = {id(node): [made.name(node)] for node in made.nodes if id(node) not in made.derivative}
    for node, gradient in gradients:
        if node is not None and id(node) in made.numbers:
            names.setdefault(id(gradient), []).append(f"∂{made.name(z)}/∂{made.name(node)}")
    return {key: " = ".join(several) for key, several in names.items()}
