"""The graph as DOT text: pure functions from text to text, iterative and linear in the graph.

A Value is a rounded box with label, value and gradient; its operation a small ellipse before it,
which also shows the operands that are plain numbers; an edge into it carries the local derivative.
Classes (`value leaf`, `operation`, …) pass through Graphviz into the SVG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import Color, checked_color
from tinygrad_scalar.drawing.colour import GradientColours
from tinygrad_scalar.drawing.labels import dot_text, number_text
from tinygrad_scalar.drawing.looks import caption_of, coloured, look_of, symbol_of
from tinygrad_scalar.drawing.scene import Box, Scene, scene, slopes
from tinygrad_scalar.drawing.scopes import Scope, nested

Blocks = dict[Scope, tuple[list[str], list[str]]]  # by scope: the Values, and their operations

_FONT = "Helvetica,Arial,sans-serif"
_HEADER = f"""\
  graph [rankdir=LR nodesep=0.2 RANKSEP fontname="{_FONT}" fontsize=11 fontcolor="#59636e"]
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


def to_dot(
    z: Value | Sequence[Value],
    *,
    depth: int | None = None,
    max_nodes: int | None = None,
    focus: Value | None = None,
    color: Color = None,
    derivative: Any = None,
    timeout: float | None = None,
) -> str:
    r"""The graph of `z` as DOT text, by a pure function: no layout engine is needed.

    The options are those of `draw`, without a limit on the nodes unless one is given. `timeout` is
    taken and has no effect: nothing is laid out here. O(nodes + edges), without recursion.

    Errors: TypeError unless `z` is a Value or a list of them; those of the options.
    Source: *Deep Learning*, section 6.5.1 and figure 6.8.

    >>> x = Value(2.0, label="x")
    >>> [line for line in to_dot(x * 3.0).splitlines() if "->" in line]
    ['  u1 -> f2 [label="3.0"]', '  f2 -> u2']
    """
    del timeout
    seen = scene(z, "to_dot", depth=depth, max_nodes=max_nodes, focus=focus, derivative=derivative)
    return scene_dot(seen, color=checked_color(color, "to_dot"), focus=focus)


def scene_dot(
    seen: Scene,
    *,
    color: Color = None,
    focus: Any = None,
    caption: Callable[[Any, str], str] | None = None,
    gradient: Callable[[Any], Any] = lambda node: node.grad,
    ids: bool = False,
) -> str:
    """The DOT text of a scene; `caption` gives a Value's text, `ids` ask for ids in the SVG."""
    colours = _colours(seen, gradient) if color == "grad" else None
    look = look_of(seen, focus) if colours is None else coloured(colours, gradient)
    blocks, results = _blocks(seen, caption or caption_of(seen), look, ids)
    for box in seen.boxes:
        text = _box(box) if colours is None else _coloured_box(box, colours, gradient)
        blocks.setdefault(box.scope, ([], []))[0].append(text)
    legend = [] if colours is None else [colours.legend()]
    # Labels push edges apart. Between fully connected boxes they are set beside the layout instead.
    dense = len(seen.bundles) > _DENSE * (len(seen.nodes) + len(seen.boxes))
    header = _HEADER.replace("RANKSEP", "ranksep=1.2" if dense else "ranksep=0.35")
    label = "xlabel" if dense else "label"
    edges = (*_edges(seen, label, ids), *_bundles(seen, label, ids), _RESULTS, *results)
    return "".join(("digraph {\n", header, *_clusters(blocks), *legend, *edges, "}\n"))


# ── Values, operations, boxes and clusters ────────────────────────────────────────────────────
def _blocks(
    seen: Scene, caption: Callable[[Any, str], str], look: Callable[[Any, str], str], ids: bool
) -> tuple[Blocks, list[str]]:
    """Values and operations by scope, and the edges from each operation to its Value."""
    symbol = symbol_of()
    blocks: Blocks = {(): ([], [])}
    results = []
    for node in seen.nodes:
        number = seen.numbers[id(node)]
        scope = seen.scopes.get(id(node), ()) if seen.scopes else ()
        values, operations = blocks.get(scope) or blocks.setdefault(scope, ([], []))
        name = (seen.names and seen.names.get(id(node))) or node.label
        mark = f" id=u{number}" if ids else ""
        values.append(f'  u{number} [label="{caption(node, name)}"{look(node, name)}{mark}]\n')
        if node.primitive is not None:
            mark = f" id=f{number}" if ids else ""
            operations.append(f'  f{number} [label="{symbol(node)}"{mark}]\n')
            mark = f" [id=r{number}]" if ids else ""
            results.append(f"  f{number} -> u{number}{mark}\n")
    return blocks, results


def _box(box: Box, look: str = _BOX) -> str:
    if not box.name:
        more = len({id(node) for node in box.nodes})
        return f'  {box.key} [label="… {more} more"{_OMITTED} id={box.key}]\n'
    size = f"{len(box.nodes)} node{'s' * (len(box.nodes) != 1)}"
    return f'  {box.key} [label="{dot_text(box.name)}\\n{size}"{look} id={box.key}]\n'


def _coloured_box(box: Box, colours: GradientColours, gradient: Callable[[Any], Any]) -> str:
    """A box has the colour of the largest gradient in it."""
    look = colours(_steepest(box, gradient)).attributes("value box graded")
    return _box(box, f' style="rounded,filled,bold"{look}')


def _steepest(box: Box, gradient: Callable[[Any], Any]) -> Any:
    return max(map(gradient, box.nodes), key=abs)


def _colours(seen: Scene, gradient: Callable[[Any], Any]) -> GradientColours:
    gradients = [gradient(node) for node in seen.nodes]
    return GradientColours(gradients + [_steepest(box, gradient) for box in seen.boxes if box.name])


def _clusters(blocks: Blocks) -> Iterator[str]:
    """The blocks, each scope a Graphviz cluster inside that of the scope around it."""
    numbers = count(1)
    for scope, opens in nested(blocks):
        if not opens:
            yield "}\n" if scope else ""
            continue
        if scope:
            yield f"subgraph cluster_{next(numbers)} {{\n"
            yield f'  graph [label="{dot_text(scope[-1])}" {_CLUSTER}]\n'
        values, operations = blocks.get(scope, ((), ()))
        yield from values
        if operations:
            yield from (_OPERATIONS, *operations, "}\n")


# ── edges ─────────────────────────────────────────────────────────────────────────────────────
def _edges(seen: Scene, label: str, ids: bool) -> Iterator[str]:
    """From each Value shown to the operations that it goes into."""
    numbers, shown = seen.numbers, seen.shown
    for node in seen.nodes:
        target = numbers[id(node)]
        look = ' color="#c297ff"' if id(node) in seen.derivative else ""
        for i, parent, slope in slopes(node):
            if id(parent) in shown:
                text = number_text(slope)
                name = f" id=e{target}_{i}" if ids else ""
                yield f'  u{numbers[id(parent)]} -> f{target} [{label}="{text}"{look}{name}]\n'


def _bundles(seen: Scene, label: str, ids: bool) -> Iterator[str]:
    """Edges from and to boxes carry how many they are; a single one into a Value its slope."""
    for bundle in seen.bundles:
        target = f"f{bundle.target[1:]}" if bundle.target[0] == "u" else bundle.target
        node, i = bundle.edges[0]
        text = f"{len(bundle.edges)} edges"
        if len(bundle.edges) == 1:
            text = number_text(node._partial(i)) if target[0] == "f" else ""
        look = f'{label}="{text}" ' if text else ""
        name = f" id=e{bundle.source}_{bundle.target}" if ids else ""
        yield f"  {bundle.source} -> {target} [{look}style=dashed class=bundle{name}]\n"
