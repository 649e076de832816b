"""`draw`: a graph as a picture that lays itself out when it is asked for.

What lays out and writes files is imported then, so that `import tinygrad_scalar` stays light.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import (
    Color,
    Direction,
    Look,
    Theme,
    check_dpi,
    check_flag,
    check_timeout,
)
from tinygrad_scalar.drawing.dot import scene_dot
from tinygrad_scalar.drawing.paging import Page
from tinygrad_scalar.drawing.point import applied_at
from tinygrad_scalar.drawing.scene import scene


def draw(
    z: Value | Sequence[Value] | Mapping[Value, Any] | Callable[..., Any],
    /,  # a parameter of the function drawn may be called z too
    *numbers: Any,
    depth: int | None = None,
    max_nodes: int | None = 300,
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
    timeout: float = 30,
    at: Mapping[str, Any] | None = None,
    **point: Any,
) -> Drawing:
    """The graph of `z` as a picture: what was computed from what, every value and every gradient.

    Shown by itself in a notebook; `.save("graph.svg")` writes a file. Blue are the leaves, yellow
    the output; an operation stands before its Value, with its plain numbers; an edge carries the
    local derivative. Gradients are shown once a `backward` has come by: those in `.grad`, where a
    leaf may hold the sum of several calls (the picture says so); `draw(table)` shows those of one.

    `z` is a Value, a list of them, the table that `backward` returned, or a function, which is
    drawn at a point, `draw(f, 2.0, 3.0)` or `draw(f, x=2.0, y=3.0)`, with its gradients. An option
    wins over a parameter of its name, which goes into `at`: `draw(f, at={"depth": 2.0})`.

    More than about 40 Values are drawn in a compact form, each with its operation in one box and
    the local derivatives where the edges enter; scopes close, then loops fold, until the picture
    fits 1600 × 1000 points. What is still too wide is wrapped into lines, every second of which
    runs back, without the frames of scopes unless `depth` asks for them, and what is too long for
    that is closed in sections; the picture says so.

    - `depth`: how many levels of scopes (`with scope(name):`, modules of `nn`) are open, 0 closes
      all to boxes. An edge from or to a box says how many it stands for.
    - `max_nodes`: at most so many Values and boxes, counted after closing and folding; deeper and
      larger scopes are closed until it fits. None for no limit: nothing is closed.
    - `fold`: the calls of one module on several inputs are drawn once, "× n", and so are the turns
      of a loop where it is too long for a page. False does not.
    - `focus`: only what is at most three edges away from this node.
    - `color="grad"`: colours by |gradient|, with a legend.
    - `derivative`: the graph of a derivative beside it, in violet: the table of
      `z.backward(create_graph=True)`, or a Value or several computed from such a table.
    - `direction`: "LR" or "TB"; `digits`: significant ones of each number; `title`: above it.
    - `theme`: "light", "dark", or "auto": as the page that shows it.
    - `derivatives`, `values`, `gradients`: whether these are shown.
    - `timeout`: seconds that the layout may take.

    Cost O(nodes + edges); the layout, superlinear, is made when it is first needed.
    Errors: TypeError for another `z`, or for what is neither an option nor a parameter; ValueError
    if it cannot be made to fit. Where the layout is made, ImportError without an engine,
    TimeoutError after `timeout`, ValueError before it starts if it would take far too long.
    Source: *Deep Learning*, section 6.5.1 and figures 6.8, 6.10, 6.11.

    >>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
    >>> draw(x * y)
    <Drawing of 3 nodes: show it in a notebook, or .save("graph.svg")>
    """
    check_timeout(timeout, "draw")
    shown = derivatives, values, gradients
    look = Look(direction, digits, theme, title, color, focus, *shown).checked("draw")
    seen = scene(
        applied_at(z, numbers, at, point, "draw"),
        "draw",
        depth=depth,
        max_nodes=max_nodes,
        focus=focus,
        derivative=derivative,
        fold=fold,
        page=Page(direction),
        sections=True,
    )
    return Drawing(scene_dot(seen, look), len(seen.order), timeout, theme=theme, title=title)


class Drawing:
    """A picture of a graph. Made by `draw`.

    `source` is its DOT text, to be had without any layout engine.
    """

    def __init__(
        self,
        source: str,
        nodes: int,
        timeout: float = 30,
        *,
        theme: Theme = "auto",
        title: str | None = None,
    ) -> None:
        self.source = source
        self._theme = theme
        self._description = title or f"computational graph of {nodes} nodes"
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
        """The picture as one SVG element, self-contained; light or dark as its theme says."""
        return self._svg

    def save(
        self, path: str | os.PathLike[str], dpi: float = 96, transparent: bool = False
    ) -> None:
        """Write the picture; the suffix says how: .svg, .png, .pdf, or .dot for the DOT text.

        `dpi` are the dots of a PNG for each inch of 72 points; `transparent` leaves out the ground.
        Atomic: on a failure an existing file stays as it was, and nothing else is left behind.
        Errors: ValueError for another suffix or a dpi out of 10 … 2400, OSError naming the path;
        those of the layout.
        """
        from tinygrad_scalar.drawing.layout import image
        from tinygrad_scalar.files import suffix_of, write_atomically

        suffix = suffix_of(path)
        if suffix not in ("svg", "png", "pdf", "dot"):
            raise ValueError(f"{os.fspath(path)!r}: a drawing is saved as .svg, .png, .pdf or .dot")
        check_dpi(dpi)
        check_flag("transparent", transparent, "save")
        options = ["-Gbgcolor=transparent"] if transparent else []
        if suffix == "dot":
            content: str | bytes = self.source
        elif suffix == "svg":
            content = self._styled(options) if transparent else self.svg()
        else:
            options += [f"-Gdpi={dpi:g}"] if suffix == "png" else []
            content = image(self.source, suffix, self._timeout, options)
        write_atomically(path, content)

    def view(self) -> str:
        """Open the picture in the browser; gives the path of the file that was written for it.

        Errors: those of `save`.
        """
        import tempfile
        import webbrowser
        from pathlib import Path

        path = Path(tempfile.mkdtemp(prefix="tinygrad_scalar_")) / "graph.svg"
        self.save(path)
        webbrowser.open(path.as_uri())
        return str(path)

    def _styled(self, options: Sequence[str] = ()) -> str:
        from tinygrad_scalar.drawing.layout import laid_out
        from tinygrad_scalar.drawing.style import styled

        svg = laid_out(self.source, "svg", self._timeout, options).decode()
        return styled(svg, self._description, self._theme)

    @cached_property
    def _svg(self) -> str:
        return self._styled()

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, str]:
        """For notebooks: inline where HTML is shown, else as an image; without an engine, why."""
        try:
            svg = self.svg()
        except (ImportError, TimeoutError, ValueError) as error:
            return {"text/plain": f"{self!r}\n{error}"}
        # A wide picture scrolls rather than shrinks beyond reading.
        html = f'<div style="overflow:auto">{svg}</div>'
        return {"text/html": html, "image/svg+xml": svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        nodes = f"{self._nodes} node{'s' * (self._nodes != 1)}"
        return f'<Drawing of {nodes}: show it in a notebook, or .save("graph.svg")>'
