"""The graph as DOT text: pure functions from text to text, iterative and linear in the graph.

A Value is a rounded box with label, value and gradient; its operation a small ellipse before it,
which also shows the operands that are plain numbers; an edge into it carries the local derivative.
In the compact form, of large pictures, all of that stands in one box (`compact.py`).
Classes (`value leaf`, `operation`, …) pass through Graphviz into the SVG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import (
    Color,
    Direction,
    Look,
    Theme,
    checked_color,
    checked_look,
)
from tinygrad_scalar.drawing.colour import GradientColours
from tinygrad_scalar.drawing.compact import Boxes, box_name, net
from tinygrad_scalar.drawing.gradients import Gradients, recorded_gradients
from tinygrad_scalar.drawing.labels import dot_text, number_text, width_of
from tinygrad_scalar.drawing.lines import by_line, edge, margin
from tinygrad_scalar.drawing.looks import caption_of, coloured, look_of, symbol_of
from tinygrad_scalar.drawing.scene import Box, Bundle, Scene, scene, slopes
from tinygrad_scalar.drawing.scopes import Scope, nested
from tinygrad_scalar.drawing.sums import sums_of_calls
from tinygrad_scalar.drawing.theme import painted

Blocks = dict[Scope, tuple[list[str], list[str]]]  # by scope: the Values, and their operations

_FONT = "Helvetica,Arial,sans-serif"
_HEADER = f"""\
  graph [rankdir=DIRECTION nodesep=0.2 RANKSEP fontname="{_FONT}" fontsize=11 fontcolor="#59636e"]
  node [shape=box style="rounded,filled" class=value fillcolor="#ffffff" color="#818b98" \
fontname="{_FONT}" fontsize=11 fontcolor="#1f2328" height=0.3 margin="0.1,0.06"]
  edge [color="#818b98" fontname="{_FONT}" fontsize=9 fontcolor="#59636e" arrowsize=0.6]
"""
_OPERATIONS = (
    '{node [shape=ellipse class=operation style=filled fillcolor="#f6f8fa" fontsize=12 '
    'width=0.3 margin="0.03,0"]\n'
)
_RESULTS = "  edge [arrowhead=none weight=8 class=result]\n"
_CLUSTER = 'class=scope style="rounded,filled" fillcolor="#f6f8fa80" color="#d1d9e0" margin=10'
_BOX = ' class="value box" style="rounded,filled,bold" fillcolor="#eaeef2" color="#59636e"'
_DENSE = 3  # edges from and to boxes, for each thing shown
_OMITTED = ' class=omitted shape=plaintext style=solid fontcolor="#59636e"'
# Where Graphviz would search longest for a better picture of a large graph.
_QUICK = "  graph [nslimit=2 nslimit1=2]\n"


def to_dot(
    z: Value | Sequence[Value] | Any,
    *,
    depth: int | None = None,
    max_nodes: int | None = None,
    focus: Value | None = None,
    fold: bool = True,
    color: Color = None,
    derivative: Any = None,
    direction: Direction = "LR",
    digits: int = 6,
    theme: Theme = "auto",
    title: str | None = None,
    derivatives: bool = True,
    values: bool = True,
    gradients: bool = True,
    timeout: float | None = None,
) -> str:
    r"""The graph of `z` as DOT text, by a pure function: no layout engine is needed.

    The options are those of `draw`, without a limit on the nodes unless one is given. `timeout` is
    taken and has no effect: nothing is laid out here. O(nodes + edges), without recursion.

    Errors: TypeError unless `z` is a Value, a list of them or a table; those of the options.
    Source: *Deep Learning*, section 6.5.1 and figure 6.8.

    >>> x = Value(2.0, label="x")
    >>> [line for line in to_dot(x * 3.0).splitlines() if "->" in line]
    ['  u1 -> f2 [label="3.0"]', '  f2 -> u2']
    """
    del timeout
    shown = {"derivatives": derivatives, "values": values, "gradients": gradients}
    look = checked_look("to_dot", direction, digits, theme, title, shown)
    seen = scene(
        z,
        "to_dot",
        depth=depth,
        max_nodes=max_nodes,
        focus=focus,
        derivative=derivative,
        fold=fold,
    )
    return scene_dot(seen, look=look, color=checked_color(color, "to_dot"), focus=focus)


def scene_dot(
    seen: Scene,
    *,
    look: Look = Look(),  # noqa: B008 (a tuple)
    color: Color = None,
    focus: Any = None,
    caption: Callable[[Any, str], str] | None = None,
    gradients: Gradients | None = None,
    ids: bool = False,
) -> str:
    """The DOT text of a scene; `caption` gives a Value's text, `ids` ask for ids in the SVG."""
    shown = gradients or seen.gradients or recorded_gradients(seen)
    notes = [seen.note]
    if gradients is None and seen.gradients is None and look.gradients:
        shown, note = sums_of_calls(seen, shown)
        notes.append(note)
    colours = _colours(seen, shown.of) if color == "grad" else None
    paint = painted(look.theme)
    text = caption or caption_of(look, shown)
    if seen.compact:
        parts = Boxes(seen, look, shown, text, colours, focus, paint, ids)
        blocks, edges = parts.blocks(), [*parts.edges()]
    else:
        blocks, edges = _detailed(seen, look, shown, text, colours, focus, paint, ids)
    legend = [] if colours is None else [colours.legend()]
    lined = [margin(seen)] if seen.ranks else []
    if seen.ranks:
        clusters = by_line(blocks, seen, _OPERATIONS)
    else:
        stacked = bool(seen.columns) and look.direction == "LR" and not seen.compact
        clusters = _clusters(seen, blocks, paint, stacked)
    header = [paint(_header(seen, look)), _titled(look, notes)]
    return "".join(("digraph {\n", *header, *clusters, *lined, *legend, *edges, "}\n"))


def _header(seen: Scene, look: Look) -> str:
    ranksep = "ranksep=0.3" if seen.compact else "ranksep=0.35"
    if _dense(seen):
        ranksep = "ranksep=1.2"
    if net(seen):
        ranksep = "ranksep=1.4"
    header = _HEADER.replace("RANKSEP", ranksep).replace("DIRECTION", look.direction)
    if look.theme == "dark":
        header = f'  bgcolor="#fffffe"\n{header}'
    if seen.page:
        header += '  size="{:.2f},{:.2f}"\n'.format(*(points / 72 for points in seen.page))
    if seen.compact or len(seen.nodes) > _LARGE:
        header += _QUICK
    if not seen.compact and len(seen.nodes) <= _LARGE and not seen.ranks:
        header += "  graph [ordering=in]\n"  # operands from top to bottom
    if seen.compact:
        order = "" if seen.ranks or net(seen) else " ordering=in"
        splines = " splines=line remincross=false" if net(seen) else ""
        header += "  edge [arrowsize=0.4 penwidth=0.7]\n" if splines else ""
        header += f"  graph [nodesep={0.07 if splines else 0.14}{splines}{order}]\n"
    return header


_LARGE = 120  # Values with their operations, from which Graphviz is told to hurry


def _titled(look: Look, notes: Sequence[str]) -> str:
    """The title above the picture, or notes below it; both above, where there are both."""
    lines = [dot_text(line) for line in (look.title, *notes) if line]
    if not lines:
        return ""
    place = "t" if look.title else "b"
    size = 14 if look.title else 10
    text = "\\n".join(lines)
    return f'  label="{text}" labelloc={place} fontsize={size}\n'


def _dense(seen: Scene) -> bool:
    """Whether boxes are joined by so many edges that labels would push them apart."""
    return len(seen.bundles) > _DENSE * (len(seen.nodes) + len(seen.boxes))


# ── Values, operations, boxes and clusters ────────────────────────────────────────────────────
def _detailed(
    seen: Scene,
    look: Look,
    gradients: Gradients,
    caption: Callable[[Any, str], str],
    colours: GradientColours | None,
    focus: Any,
    paint: Callable[[str], str],
    ids: bool,
) -> tuple[Blocks, list[str]]:
    """The form in which operations stand for themselves."""
    of = gradients.of
    looks = look_of(seen, focus) if colours is None else coloured(colours, of)
    dark = look.theme == "dark"
    painter = (lambda node, name: paint(looks(node, name))) if dark else looks
    blocks, results = _blocks(seen, caption, painter, look, ids)
    for box in seen.boxes:
        text = paint(_box(seen, box)) if colours is None else _coloured_box(seen, box, colours, of)
        blocks.setdefault(box.scope, ([], []))[0].append(text)
    label = "xlabel" if _dense(seen) else "label"
    if len(seen.nodes) > _LARGE and not _dense(seen) and seen.ranks:
        label = "headlabel"
    edges = [*_edges(seen, look, label, paint, ids), *_bundles(seen, look, label, ids)]
    return blocks, [*edges, _RESULTS, *results]


def _blocks(
    seen: Scene,
    caption: Callable[[Any, str], str],
    look: Callable[[Any, str], str],
    options: Look,
    ids: bool,
) -> tuple[Blocks, list[str]]:
    """Values and operations by scope, and the edges from each operation to its Value."""
    symbol = symbol_of(options.digits)
    blocks: Blocks = {(): ([], [])}
    results = []
    for node in seen.nodes:
        number = seen.numbers[id(node)]
        scope = seen.scopes.get(id(node), ()) if seen.scopes else ()
        values, operations = blocks.get(scope) or blocks.setdefault(scope, ([], []))
        name = (seen.names and seen.names.get(id(node))) or node.label
        mark = f" id=u{number}" if ids else ""
        if len(name) > _SHORT:
            mark += f" width={width_of(name, 11) / 72:.2f}"
        values.append(f'  u{number} [label="{caption(node, name)}"{look(node, name)}{mark}]\n')
        if node.primitive is not None:
            mark = f" id=f{number}" if ids else ""
            operations.append(f'  f{number} [label="{symbol(node)}"{mark}]\n')
            mark = f"id=r{number}" if ids else ""
            results.append(edge(seen, f"f{number}", f"u{number}", mark))
    return blocks, results


_SHORT = 10  # letters of a name that has room in bold, whatever the font


def _box(seen: Scene, box: Box, look: str = _BOX) -> str:
    if not box.name:
        more = len({id(node) for node in box.nodes})
        return f'  {box.key} [label="… {more} more"{_OMITTED} id={box.key}]\n'
    name = box_name(seen, box)
    size = f"{len(box.nodes)} node{'s' * (len(box.nodes) != 1)}"
    return f'  {box.key} [label="{dot_text(name)}\\n{size}"{look} id={box.key}]\n'


def _coloured_box(
    seen: Scene, box: Box, colours: GradientColours, gradient: Callable[[Any], Any]
) -> str:
    """A box has the colour of the largest gradient in it."""
    look = colours(_steepest(box, gradient)).attributes("value box graded")
    return _box(seen, box, f' style="rounded,filled,bold"{look}')


def _steepest(box: Box, gradient: Callable[[Any], Any]) -> Any:
    return max(map(gradient, box.nodes), key=abs)


def _colours(seen: Scene, gradient: Callable[[Any], Any]) -> GradientColours:
    gradients = [gradient(node) for node in seen.nodes]
    return GradientColours(gradients + [_steepest(box, gradient) for box in seen.boxes if box.name])


def _clusters(
    seen: Scene, blocks: Blocks, paint: Callable[[str], str], stacked: bool
) -> Iterator[str]:
    """The blocks, each scope a Graphviz cluster inside that of the scope around it.

    From left to right, Graphviz stacks what stands in a frame from the bottom to the top, and what
    stands in frames on every second level; `stacked` gives them the other way round.
    """
    numbers = count(1)
    cluster, operations_of = paint(_CLUSTER), paint(_OPERATIONS)
    for scope, opens in nested(blocks, stacked):
        if not opens:
            yield "}\n" if scope else ""
            continue
        if scope:
            yield f"subgraph cluster_{next(numbers)} {{\n"
            title = seen.titles.get(scope, scope[-1])
            yield f'  graph [label="{dot_text(title)}" {cluster}]\n'
        values, operations = blocks.get(scope, ((), ()))
        yield from reversed(values) if stacked and scope else values
        if operations:
            yield from (operations_of, *operations, "}\n")


# ── edges ─────────────────────────────────────────────────────────────────────────────────────
def _edges(
    seen: Scene, look: Look, label: str, paint: Callable[[str], str], ids: bool
) -> Iterator[str]:
    """From each Value shown to the operations that it goes into."""
    numbers, shown = seen.numbers, seen.shown
    violet = paint(' color="#c297ff" class=beside')
    for node in seen.nodes:
        target = numbers[id(node)]
        mark = violet if id(node) in seen.derivative else ""
        for i, parent, slope in slopes(node):
            if id(parent) in shown:
                source = numbers[id(parent)]
                text = f'{label}="{number_text(slope, look.digits)}"' if look.derivatives else ""
                name = f" id=e{target}_{i}" if ids else ""
                inside = f"{text}{mark}{name}".strip()
                yield edge(seen, f"u{source}", f"f{target}", inside)


def _bundles(seen: Scene, look: Look, label: str, ids: bool) -> Iterator[str]:
    """Edges from and to boxes carry how many they are; a single one into a Value its slope."""
    for bundle in seen.bundles:
        target = f"f{bundle.target[1:]}" if bundle.target[0] == "u" else bundle.target
        text = _bundle_text(seen, bundle, look)
        mark = f'{label}="{text}" ' if text else ""
        name = f" id=e{bundle.source}_{bundle.target}" if ids else ""
        inside = f"{mark}style=dashed class=bundle{name}"
        yield edge(seen, bundle.source, target, inside)


def _bundle_text(seen: Scene, bundle: Bundle, look: Look) -> str:
    grouped = {box.key for box in seen.boxes if box.group}
    if bundle.source in grouped or bundle.target in grouped or not look.derivatives:
        return ""
    node, i = bundle.edges[0]
    if len(bundle.edges) > 1:
        return f"{len(bundle.edges)} edges"
    return number_text(node._partial(i), look.digits) if bundle.target[0] == "u" else ""
