"""What the two forms of a picture share: operations as circles, and operations in their boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_scalar.drawing.arguments import Look
from tinygrad_scalar.drawing.boxes import Box
from tinygrad_scalar.drawing.colour import GradientColours
from tinygrad_scalar.drawing.gradients import Gradients
from tinygrad_scalar.drawing.looks import kind_of
from tinygrad_scalar.drawing.scene import Scene
from tinygrad_scalar.drawing.scopes import Scope
from tinygrad_scalar.drawing.theme import painted

Blocks = dict[Scope, tuple[list[str], list[str]]]  # by scope: the Values, and their operations


class Form:
    """A scene, and how it is to look: what the blocks and edges of its DOT text are made from."""

    def __init__(
        self,
        seen: Scene,
        look: Look,
        gradients: Gradients,
        caption: Callable[[Any, str], str],
        ids: bool,
    ) -> None:
        self.seen, self.look, self.gradients = seen, look, gradients
        self.caption = caption  # the text of a Value with this name
        self.ids = ids  # whether everything has a name of its own in the SVG
        self.kind = kind_of(seen)
        self.paint = painted(look.theme)
        self.colours = None if look.color is None else GradientColours(self._sizes())

    def _sizes(self) -> list[Any]:
        boxes = (self.steepest(box) for box in self.seen.boxes if box.name)
        return [*map(self.gradients.of, self.seen.nodes), *boxes]

    def steepest(self, box: Box) -> Any:
        """The largest gradient in a box, whose colour it has."""
        return max(map(self.gradients.of, box.nodes), key=abs)

    def name(self, node: Any) -> str:
        """What stands in bold in the box of a Value: a label, ∂z/∂x, or nothing."""
        return (self.seen.names and self.seen.names.get(id(node))) or node.label

    def title(self, box: Box) -> str:
        """The name of a box, with how many things it stands for where they are alike."""
        if box.group is not None:
            return f"{box.name} × {len(box.nodes)}"
        return self.seen.titles.get((*box.scope, box.name), box.name)

    def omitted(self, box: Box) -> str:
        """What stands for the nodes that `focus` leaves out."""
        more = len({id(node) for node in box.nodes})
        return self.paint(
            f'  {box.key} [label="… {more} more" class=omitted shape=plaintext style=solid '
            f'fontcolor="#59636e" id={box.key}]\n'
        )

    @property
    def dense(self) -> bool:
        """Whether boxes are joined by so many edges that labels would push them apart."""
        return len(self.seen.bundles) > _DENSE * (len(self.seen.nodes) + len(self.seen.boxes))


_DENSE = 3  # edges from and to boxes, for each thing shown
