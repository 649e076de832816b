"""The form of small pictures: an operation is a circle before its Value, with its plain numbers.

An edge into it carries the local derivative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tinygrad_scalar.drawing.boxes import Box, Bundle
from tinygrad_scalar.drawing.forms import Blocks, Form
from tinygrad_scalar.drawing.labels import dot_text, in_lines, number_text, width_of
from tinygrad_scalar.drawing.lines import edge
from tinygrad_scalar.drawing.looks import look_of, symbol_of
from tinygrad_scalar.drawing.scene import slopes

LARGE = 120  # Values with their operations, from which Graphviz is told to hurry
_SHORT = 10  # letters of a name that has room in bold, whatever the font
_BOX = ' class="value box" style="rounded,filled,bold" fillcolor="#eaeef2" color="#59636e"'
_RESULTS = "  edge [arrowhead=none weight=8 class=result]\n"


class Circles(Form):
    """Values as boxes, operations as circles."""

    def blocks(self) -> Blocks:
        """Values, operations and boxes by scope."""
        seen, ids = self.seen, self.ids
        symbol, look = symbol_of(self.look.digits), look_of(self)
        found: Blocks = {(): ([], [])}
        alone = self._used_once()
        for node in seen.nodes:
            number = seen.numbers[id(node)]
            scope = seen.scopes.get(id(node), ()) if seen.scopes else ()
            values, operations = found.get(scope) or found.setdefault(scope, ([], []))
            name = in_lines(self.name(node)) if seen.columns else self.name(node)
            mark = f" id=u{number}" if ids else ""
            if len(name) > _SHORT:
                widest = max(width_of(line, 11) for line in name.split("\n"))
                mark += f" width={widest / 72:.2f}"
            text = self.caption(node, name)
            values.append(f'  u{number} [label="{text}"{look(node, name)}{mark}]\n')
            if node.primitive is not None:
                mark = f" id=f{number}" if ids else ""
                if alone and len(node.parents) > 1 and alone.issuperset(map(id, node.parents)):
                    mark += " ordering=in"
                operations.append(f'  f{number} [label="{symbol(node)}"{mark}]\n')
        for box in seen.boxes:
            found.setdefault(box.scope, ([], []))[0].append(self._box(box))
        return found

    def _used_once(self) -> set[int]:
        """What one operation alone takes can stand in the order of its operands; in a page."""
        if not self.seen.columns or self.seen.wrapped or len(self.seen.nodes) > LARGE:
            return set()
        uses = Counter(id(parent) for node in self.seen.order for parent in node.parents)
        return {key for key, times in uses.items() if times == 1}

    def _box(self, box: Box) -> str:
        if not box.name:
            return self.omitted(box)
        size = f"{len(box.nodes)} node{'s' * (len(box.nodes) != 1)}"
        look = self.paint(_BOX)
        if self.colours is not None:
            colour = self.colours(self.steepest(box)).attributes("value box graded")
            look = f' style="rounded,filled,bold"{colour}'
        text = f"{dot_text(self.title(box))}\\n{size}"
        return f'  {box.key} [label="{text}"{look} id={box.key}]\n'

    def edges(self) -> Iterator[str]:
        """From each Value to the operations that it goes into, and from these to their Values."""
        label = "xlabel" if self.dense else "label"
        if len(self.seen.nodes) > LARGE and not self.dense and self.seen.wrapped:
            label = "headlabel"
        yield from self._operands(label)
        yield from self._bundles(label)
        yield _RESULTS
        for node in self.seen.nodes:
            if node.primitive is not None:
                number = self.seen.numbers[id(node)]
                mark = f"id=r{number}" if self.ids else ""
                yield edge(self.seen, f"f{number}", f"u{number}", mark)

    def _operands(self, label: str) -> Iterator[str]:
        seen, look, ids = self.seen, self.look, self.ids
        numbers, shown, digits = seen.numbers, seen.shown, look.digits
        violet = self.paint(' color="#c297ff" class=beside')
        for node in seen.nodes:
            target = numbers[id(node)]
            mark = violet if id(node) in seen.derivative else ""
            for i, parent, slope in slopes(node):
                if id(parent) in shown:
                    text = f'{label}="{number_text(slope, digits)}"' if look.derivatives else ""
                    name = f" id=e{target}_{i}" if ids else ""
                    inside = f"{text}{mark}{name}".strip()
                    yield edge(seen, f"u{numbers[id(parent)]}", f"f{target}", inside)

    def _bundles(self, label: str) -> Iterator[str]:
        """Edges from and to boxes carry how many they are; one alone into a Value its slope."""
        grouped = {box.key for box in self.seen.boxes if box.group}
        for bundle in self.seen.bundles:
            plain = self.look.derivatives and grouped.isdisjoint((bundle.source, bundle.target))
            text = self._bundle_text(bundle) if plain else ""
            mark = f'{label}="{text}" ' if text else ""
            name = f" id=e{bundle.source}_{bundle.target}" if self.ids else ""
            target = f"f{bundle.target[1:]}" if bundle.target[0] == "u" else bundle.target
            inside = f"{mark}style=dashed class=bundle{name}"
            yield edge(self.seen, bundle.source, target, inside)

    def _bundle_text(self, bundle: Bundle) -> str:
        node, i = bundle.edges[0]
        if len(bundle.edges) > 1:
            return f"{len(bundle.edges)} edges"
        return number_text(node._partial(i), self.look.digits) if bundle.target[0] == "u" else ""
