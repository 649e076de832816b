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
from tinygrad_scalar.drawing.arguments import Color, Direction, Look, Theme
from tinygrad_scalar.drawing.circles import LARGE, Circles
from tinygrad_scalar.drawing.columns import in_order, net
from tinygrad_scalar.drawing.compact import Compact
from tinygrad_scalar.drawing.forms import Blocks, Form
from tinygrad_scalar.drawing.gradients import Gradients, recorded_gradients
from tinygrad_scalar.drawing.labels import dot_text
from tinygrad_scalar.drawing.lines import by_line, margin
from tinygrad_scalar.drawing.looks import caption_of
from tinygrad_scalar.drawing.paging import HEIGHT, SMALL, WIDTH
from tinygrad_scalar.drawing.scene import Scene, scene
from tinygrad_scalar.drawing.scopes import nested
from tinygrad_scalar.drawing.sums import sums_of_calls

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
_CLUSTER = (
    'class=scope style="rounded,filled" fillcolor="#f6f8fa80" color="#d1d9e0" margin=10 labelloc=t'
)
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
    shown = derivatives, values, gradients
    look = Look(direction, digits, theme, title, color, focus, *shown).checked("to_dot")
    seen = scene(
        z,
        "to_dot",
        depth=depth,
        max_nodes=max_nodes,
        focus=focus,
        derivative=derivative,
        fold=fold,
    )
    return scene_dot(seen, look)


def scene_dot(
    seen: Scene,
    look: Look = Look(),  # noqa: B008 (a tuple)
    *,
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
    form = Compact if seen.compact else Circles
    made = form(seen, look, shown, caption or caption_of(look, shown), ids)
    header = [made.paint(_header(made)), _titled(look, notes)]
    legend = [] if made.colours is None else [made.colours.legend()]
    lined = [margin(seen)] if seen.wrapped else []
    parts = [*header, *_arranged(made), *lined, *legend, *made.edges(), _last(made)]
    return "".join(("digraph {\n", *parts, "}\n"))


def _last(made: Form) -> str:
    """What stands after the outputs: the legend, or something without a size; it keeps their order.

    From top to bottom, the legend stands beside the leaves by itself.
    """
    seen, legend = made.seen, made.colours is not None
    if seen.wrapped:
        return "  legend -> line0 [style=invis]\n" if legend else ""
    place = {id(node): box.key for box in seen.boxes if box.name for node in box.nodes}
    place |= {id(root): seen.key(root) for root in seen.roots if id(root) in seen.shown}
    keys = dict.fromkeys(place[id(root)] for root in seen.roots if id(root) in place)
    legend = legend and made.look.direction == "LR"
    if not (legend or (seen.columns and len(keys) > 1)):
        return ""
    name = "legend" if legend else "outputs"
    node = "" if legend else '  outputs [style=invis label="" width=0 height=0 ordering=in]\n'
    return node + "".join(f"  {key} -> {name} [style=invis]\n" for key in keys)


def _arranged(made: Circles | Compact) -> Iterator[str]:
    """The blocks, in lines where the picture is wrapped, else in frames."""
    seen = made.seen
    if seen.wrapped:
        return by_line(made.blocks(), seen, made.paint(_OPERATIONS))
    blocks = made.blocks()
    for scope, text in in_order(seen, made.look.direction) if seen.columns else ():
        blocks.setdefault(scope, ([], []))[0].append(text)
    stacked = bool(seen.columns) and made.look.direction == "LR" and not seen.compact
    return _clusters(seen, blocks, made.paint, stacked)


def _header(made: Form) -> str:
    seen, look = made.seen, made.look
    straight = net(seen)
    between = 1.4 if straight else 1.2 if made.dense else 0.3 if seen.compact else 0.35
    header = _HEADER.replace("RANKSEP", f"ranksep={between}").replace("DIRECTION", look.direction)
    if look.theme == "dark":
        header = f'  bgcolor="#fffffe"\n{header}'
    if seen.shrinks:
        header += f'  size="{WIDTH / 72:.2f},{HEIGHT / 72:.2f}"\n'
    if len(seen.order) > SMALL and (seen.compact or len(seen.nodes) > LARGE):
        header += _QUICK
    if seen.compact and not (seen.wrapped or straight):
        header += "  graph [ordering=in]\n"  # operands from top to bottom
    if seen.columns and seen.scopes:
        header += "  graph [remincross=false]\n"  # for which frames lose their order
    if straight:
        header += "  edge [arrowsize=0.4 penwidth=0.7]\n  graph [splines=line]\n"
    if seen.compact:
        header += f"  graph [nodesep={0.07 if straight else 0.14}]\n"
    return header


def _titled(look: Look, notes: Sequence[str]) -> str:
    """The title above the picture, or notes below it; both above, where there are both."""
    lines = [dot_text(line) for line in (look.title, *notes) if line]
    if not lines:
        return ""
    place = "t" if look.title else "b"
    size = 14 if look.title else 10
    text = "\\n".join(lines)
    return f'  label="{text}" labelloc={place} fontsize={size}\n'


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
