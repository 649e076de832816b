"""The compact form of large pictures: a Value and its operation in one box.

Each operand has its place on the side where edges come in, in order, with the local derivative
there. So no label stands on a line, no label takes a column, and the layout is quick.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from tinygrad_scalar.drawing.boxes import Box, Bundle
from tinygrad_scalar.drawing.columns import net
from tinygrad_scalar.drawing.contents import contents
from tinygrad_scalar.drawing.forms import Blocks, Form
from tinygrad_scalar.drawing.labels import html_text, number_text, width_of
from tinygrad_scalar.drawing.lines import edge, turned
from tinygrad_scalar.drawing.looks import role_colours
from tinygrad_scalar.drawing.scene import slopes
from tinygrad_scalar.drawing.terms import operation_text

_PLACES = 8  # operands that have a place of their own
SIDES = {"LR": (":e", ":w"), "TB": (":s", ":n")}  # where the edges of a net leave and arrive
_TAG = re.compile(r"<[^>]*>")
_SLOPE = "#bc4c00"  # of local derivatives
_LONGEST = 28  # letters of a line


class Compact(Form):
    """The boxes and edges of a scene in DOT."""

    def __init__(self, *sheet: Any) -> None:
        super().__init__(*sheet)
        seen = self.seen
        self._net = net(seen)
        # From left to right, Graphviz stacks what stands in frames from the bottom to the top.
        straight = self.look.direction == "TB" or seen.wrapped or self._net
        self._upwards = bool(seen.scopes) and not straight
        self._scope_of = {seen.key(node): seen.scopes.get(id(node), ()) for node in seen.nodes} | {
            box.key: box.scope for box in seen.boxes
        }
        self._with_leaves = {
            self._scope_of[seen.key(node)] for node in seen.nodes if node.primitive is None
        } - {()}
        self._slopes = {id(node): slopes(node) for node in seen.nodes}

    def blocks(self) -> Blocks:
        """The boxes by scope."""
        found: Blocks = defaultdict(lambda: ([], []))
        for node in self.seen.nodes:
            found[self.seen.scopes.get(id(node), ())][0].append(self._value(node))
        for box in self.seen.boxes:
            found[box.scope][0].append(self._box(box))
        return dict(reversed(found.items())) if self._upwards else found

    def edges(self) -> Iterator[str]:
        """Edges go to the place of their operand."""
        ordered = reversed if self._upwards else iter
        for node in ordered(self.seen.nodes):
            yield from self._operands(node)
        for bundle in ordered(self.seen.bundles):
            yield self._bundle(bundle)

    def _operands(self, node: Any) -> Iterator[str]:
        target, placed = self.seen.key(node), self._placed(node)
        side = SIDES[self.look.direction][0 if turned(self.seen, target) else 1]
        operands = self._slopes[id(node)]
        for i, parent, _ in reversed(operands) if self._upwards else operands:
            if id(parent) in self.seen.shown:
                source = self.seen.key(parent)
                port = f":p{i}{side}" if placed else ""
                name = f"id=e{target[1:]}_{i}" if self.ids else ""
                inside = f"{name}{self._gap(source, target)}".strip()
                yield edge(self.seen, source, target, inside, "", port)

    def _bundle(self, bundle: Bundle) -> str:
        source, target, edges = bundle
        turn, turns = self._turns.get(target), self._turns.get(source)
        back = turn is not None and turns is not None and turns > turn
        name = f"id=e{source}_{target} " if self.ids else ""
        tip = f'tooltip="{len(edges)} edge{"s" * (len(edges) > 1)}"'
        more = " style=dashed constraint=false" if back else self._gap(source, target)
        sides = SIDES[self.look.direction] if self._net else ("", "")
        return edge(self.seen, source, target, f"{name}class=bundle {tip}{more}", *sides)

    @cached_property
    def _turns(self) -> dict[str, int]:
        """By box: the place of what a loop computes in a turn; an edge back is the next turn's."""
        return {
            box.key: self.seen.numbers[id(box.nodes[-1])]
            for box in self.seen.boxes
            if box.group is not None and box.group.turns
        }

    def _gap(self, source: str, target: str) -> str:
        """Room for the leaves of a scope between it and what comes before: layers are columns."""
        if self.seen.wrapped:
            return ""
        here, there = self._scope_of.get(source, ()), self._scope_of.get(target, ())
        return " minlen=2" if here != there and there in self._with_leaves else ""

    # ── boxes ─────────────────────────────────────────────────────────────────────────────────
    def _placed(self, node: Any) -> bool:
        """Whether the operands have places: there are few, and the derivatives are wanted."""
        return self.look.derivatives and 0 < len(self._slopes[id(node)]) <= _PLACES

    def _value(self, node: Any) -> str:
        key, kind = self.seen.key(node), self.kind(node)
        name = self.name(node)
        first = f"<B>{html_text(shortened(name))}</B>" if name else ""
        if node.primitive is not None:
            symbol = html_text(shortened(operation_text(node, self.look.digits)))
            first = f"{first}  {symbol}" if first else symbol
        rest = [html_text(line) for line in self.caption(node, "").split("\\n") if line]
        fill, line = role_colours(kind)
        width = 3 if node is self.look.focus else 1
        classes, ink = f"value{kind}", ""
        if self.colours is not None:
            shade = self.colours(self.gradients.of(node))
            fill, ink, classes = shade.fill, shade.text, f"value graded{kind}"
        places = self._places(node, ink or _SLOPE) if self._placed(node) else ""
        return self._node(key, classes, places, [first, *rest], (fill, line, ink), width)

    def _places(self, node: Any, ink: str) -> str:
        texts = [
            (i, number_text(slope, self.look.digits)) for i, _, slope in self._slopes[id(node)]
        ]
        cells = [
            f'<TD PORT="p{i}"><FONT POINT-SIZE="8" COLOR="{ink}">{html_text(text)}</FONT></TD>'
            for i, text in texts
        ]
        if self.look.direction == "TB":
            inside = f"<TR>{''.join(cells)}</TR>"
        else:
            inside = "".join(f"<TR>{cell}</TR>" for cell in cells)
        return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{inside}</TABLE>'

    def _node(
        self,
        key: str,
        classes: str,
        places: str,
        lines: Sequence[str],
        colours: tuple[str, str, str],
        border: int = 1,
    ) -> str:
        fill, line, ink = colours
        text = "<BR/>".join(one for one in lines if one) or " "
        if ink:
            text = f'<FONT COLOR="{ink}">{text}</FONT>'
        width = max(map(_width, lines), default=0)
        body = f'<TD CELLPADDING="3" WIDTH="{width:.0f}">{text}</TD>'
        cells = [f"<TD>{places}</TD>", body] if places else [body]
        if turned(self.seen, key):
            cells.reverse()
        joined = "</TR><TR>" if self.look.direction == "TB" else ""
        rows = f"<TR>{joined.join(cells)}</TR>"
        opening = (
            f'<TABLE BORDER="{border}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1" '
            f'STYLE="ROUNDED" COLOR="{line}" BGCOLOR="{fill}">'
        )
        mark = f" id={key}"
        return self.paint(
            f'  {key} [shape=plain style=solid class="{classes}" fontsize=10 '
            f"label=<{opening}{rows}</TABLE>>{mark}]\n"
        )

    def _box(self, box: Box) -> str:
        if not box.name:
            return self.omitted(box)
        classes, fill, line, ink = "value box", "#eaeef2", "#59636e", ""
        if box.group is not None:
            kind = self.kind(box.nodes[0])
            classes, (fill, line) = f"value{kind}", role_colours(kind)
        if self.colours is not None:
            shade = self.colours(self.steepest(box))
            fill, ink, classes = shade.fill, shade.text, "value box graded"
        name = f"<B>{html_text(shortened(self.title(box)))}</B>"
        lines = map(html_text, contents(box, self.seen, self.look, self.gradients, self.caption))
        return self._node(box.key, classes, "", [name, *lines], (fill, line, ink))

    def title(self, box: Box) -> str:
        """Without "× n" where a frame around the box says it already."""
        framed = not self.seen.wrapped and any(
            box.scope[:level] in self.seen.titles for level in range(1, len(box.scope) + 1)
        )
        return box.name if box.group is not None and framed else super().title(box)


def _width(line: str) -> float:
    """Points that a line of a label takes, whatever the font that it is measured with."""
    return width_of(html.unescape(_TAG.sub("", line)), 10)


def shortened(text: str) -> str:
    """The text in one line of a box; Graphviz passes over a tab, and over a box of it alone."""
    text = text.replace("\n", " ").replace("\t", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
