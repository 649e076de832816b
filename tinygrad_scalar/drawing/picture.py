"""`draw`: a graph as a picture that lays itself out when it is asked for.

What lays out and writes files is imported then, so that `import tinygrad_scalar` stays light.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import Color, check_timeout, checked_color
from tinygrad_scalar.drawing.dot import scene_dot
from tinygrad_scalar.drawing.scene import scene


def draw(
    z: Value | Sequence[Value],
    *,
    depth: int | None = None,
    max_nodes: int | None = 300,
    focus: Value | None = None,
    color: Color = None,
    derivative: Any = None,
    timeout: float = 30,
) -> Drawing:
    """The graph of `z` as a picture: what was computed from what, every value and every gradient.

    Shown by itself in a notebook; `.save("graph.svg")` writes a file. Blue are the leaves, yellow
    the output; an operation stands before its Value, with its plain numbers; an edge carries the
    local derivative. Gradients are shown once a `backward` has come by.

    - `depth`: how many levels of scopes (`with scope(name):`, modules of `nn`) are open, 0 closes
      all to boxes. An edge from or to a box says how many it stands for.
    - `max_nodes`: at most so many Values and boxes; deeper and larger scopes are closed until it
      fits. None for no limit.
    - `focus`: only what is at most three edges away from this node.
    - `color="grad"`: colours by |gradient|, with a legend.
    - `derivative`: the graph of a derivative beside it, in violet: the table of
      `z.backward(create_graph=True)`, or a Value or several computed from such a table.
    - `timeout`: seconds that the layout may take.
    - `z` may be a list of Values, drawn in one picture.

    Cost O(nodes + edges); the layout, superlinear, is made when it is first needed.
    Errors: TypeError unless `z` is a Value; ValueError if it cannot be made to fit. Where the
    layout is made, ImportError without an engine, TimeoutError after `timeout`.
    Source: *Deep Learning*, section 6.5.1 and figures 6.8, 6.10, 6.11.

    >>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
    >>> draw(x * y)
    <Drawing of 3 nodes: show it in a notebook, or .save("graph.svg")>
    """
    check_timeout(timeout, "draw")
    seen = scene(z, "draw", depth=depth, max_nodes=max_nodes, focus=focus, derivative=derivative)
    source = scene_dot(seen, color=checked_color(color, "draw"), focus=focus)
    return Drawing(source, len(seen.order), timeout)


class Drawing:
    """A picture of a graph. Made by `draw`.

    `source` is its DOT text, to be had without any layout engine.
    """

    def __init__(self, source: str, nodes: int, timeout: float = 30) -> None:
        self.source = source
        self._nodes = nodes
        self._timeout = timeout

    @property
    def digraph(self) -> Any:
        """The same as a `graphviz.Digraph`, for everything that package can do with it."""
        from graphviz import Digraph

        graph = Digraph()
        graph.body = self.source.splitlines(keepends=True)[1:-1]
        return graph

    def svg(self) -> str:
        """The picture as one SVG element, self-contained; light or dark as its reader prefers."""
        return self._svg

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture; the suffix says how: .svg, .png, .pdf, or .dot for the DOT text.

        Atomic: on a failure an existing file stays as it was, and nothing else is left behind.
        Errors: ValueError for another suffix, OSError naming the path; those of the layout.
        """
        from tinygrad_scalar.files import suffix_of, write_atomically

        suffix = suffix_of(path)
        if suffix not in ("svg", "png", "pdf", "dot"):
            raise ValueError(f"{os.fspath(path)!r}: a drawing is saved as .svg, .png, .pdf or .dot")
        texts = {"dot": lambda: self.source, "svg": self.svg}
        content = texts[suffix]() if suffix in texts else self._laid_out(suffix)
        write_atomically(path, content)

    def _laid_out(self, suffix: str) -> bytes:
        from tinygrad_scalar.drawing.layout import laid_out

        return laid_out(self.source, suffix, self._timeout)

    @cached_property
    def _svg(self) -> str:
        from tinygrad_scalar.drawing.style import styled

        svg = self._laid_out("svg").decode()
        return styled(svg, f"computational graph of {self._nodes} nodes")

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        """For notebooks: inline where HTML is shown, else as an image; without an engine, why."""
        try:
            svg = self.svg()
        except (ImportError, TimeoutError) as error:
            return {"text/plain": f"{self!r}\n{error}"}
        # A wide picture scrolls rather than shrinks beyond reading.
        html = f'<div style="overflow:auto">{svg}</div>'
        return {"text/html": html, "image/svg+xml": svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f'<Drawing of {self._nodes} nodes: show it in a notebook, or .save("graph.svg")>'
