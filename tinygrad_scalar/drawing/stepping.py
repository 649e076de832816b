"""`steps`: a page, in one file, on which forward and backward propagation are stepped through."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import (
    Color,
    Direction,
    Look,
    Theme,
    check_timeout,
)
from tinygrad_scalar.drawing.course import Course, Row
from tinygrad_scalar.drawing.dot import scene_dot
from tinygrad_scalar.drawing.gradients import Gradients
from tinygrad_scalar.drawing.labels import html_text
from tinygrad_scalar.drawing.looks import caption_of
from tinygrad_scalar.drawing.paging import SMALL, Page
from tinygrad_scalar.drawing.scene import scene

_HEIGHT = 680  # of the frame in a notebook, in pixels


def steps(
    z: Value,
    *,
    depth: int | None = None,
    max_nodes: int | None = 500,
    focus: Value | None = None,
    fold: bool = True,
    color: Color = None,
    direction: Direction = "LR",
    digits: int = 6,
    theme: Theme = "auto",
    title: str | None = None,
    derivatives: bool = True,
    values: bool = True,
    gradients: bool = True,
    timeout: float = 30,
) -> StepThrough:
    """A page on which a learner steps through the computation of `z` and of all its gradients.

    Forward, one operation a step (Algorithm 6.1); then the seed; then backward, one edge a step
    (Algorithm 6.2): the node that fires and the edge it feeds light up, the table fills, and the
    chain rule of the step stands below with its symbols and its numbers. One HTML file without
    network or server; by mouse, keyboard or screen reader, light or dark, on a phone too; `f` fills
    the screen, for a wall. Shown by itself in a notebook.

    The options are those of `draw`; a closed scope takes one step, its edges one a bundle. The
    gradients are computed here, `.grad` is neither read nor written.
    Cost O(nodes + edges), and the layout.

    Errors: TypeError unless `z` is a Value, ValueError for a leaf or what cannot be made to fit;
    where the page is made, ImportError without an engine, TimeoutError after `timeout`.
    Source: *Deep Learning*, Algorithms 6.1 and 6.2.

    >>> x = Value(2.0, label="x")
    >>> steps(x * x + 1.0)
    <steps through 2 operations and 3 edges: show it in a notebook, or .save("steps.html")>
    """
    check_timeout(timeout, "steps")
    if not isinstance(z, Value):
        raise TypeError(
            f"steps: z is a Value, the output of an expression, not {type(z).__name__}"
            + ": give what it returns, steps(f(x))" * callable(z)
        )
    if z.primitive is None:
        raise ValueError(
            f"steps: {z!r} is a leaf, there is nothing to step through: give the output of an "
            "expression"
        )
    flags = derivatives, values, gradients
    look = Look(direction, digits, theme, title, color, focus, *flags).checked("steps")
    seen = scene(
        z, "steps", depth=depth, max_nodes=max_nodes, focus=focus, fold=fold, page=Page(direction)
    )
    course = Course(seen)

    shown = Gradients(lambda node: course.gradients[id(node)], lambda _: True)
    plain = caption_of(look, shown)

    def caption(node: Any, name: str) -> str:
        numbered = not seen.compact or (len(seen.order) <= SMALL and not node.label)
        return plain(node, name or (seen.name(node) if numbered else ""))

    source = scene_dot(seen, look, caption=caption, gradients=shown, ids=True)
    return StepThrough(source, title or seen.name(z), course, timeout, theme)


class StepThrough:
    """The page, laid out when it is first asked for. Made by `steps`."""

    def __init__(
        self, source: str, name: str, course: Course, timeout: float, theme: Theme
    ) -> None:
        self._source = source
        self._name = name
        self._timeout = timeout
        self._theme = theme
        self._rows = course.rows
        self._steps = course.steps

    def html(self) -> str:
        """The whole page, self-contained."""
        return self._html

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, atomically: on a failure an existing file stays as it was.

        Errors: ValueError unless the suffix is .html, OSError naming the path; those of the layout.
        """
        from tinygrad_scalar.files import suffix_of, write_atomically

        if suffix_of(path) not in ("html", "htm"):
            raise ValueError(f"{os.fspath(path)!r}: a page of steps is saved as .html")
        write_atomically(path, self.html())

    @cached_property
    def _html(self) -> str:
        from tinygrad_scalar.drawing.layout import laid_out
        from tinygrad_scalar.drawing.style import styled

        svg = laid_out(self._source, "svg", self._timeout).decode()
        parts = {
            "TITLE": html_text(f"{self._name}, step by step"),
            "PICTURE": styled(svg, f"computational graph of {self._name}", self._theme),
            "ROWS": "\n".join(_rows(self._rows)),
            "LAST": str(len(self._steps)),
            "STEPS": _json({"rows": self._rows, "steps": self._steps}),
            "STYLE": _resource("steps.css"),
            "SCRIPT": _resource("steps.js"),
        }
        # In one pass, so that nothing that looks like a place in a label is taken for one.
        return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _resource("steps.html"))

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame of its own, so that neither styles the other."""
        try:
            page = html_text(self.html())
        except (ImportError, TimeoutError, ValueError) as error:
            return f"<pre>{html_text(str(error))}</pre>"
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="{html_text(self._name)}, '
            f'step by step" style="width:100%;height:{_HEIGHT}px;border:0"></iframe>'
        )

    def __repr__(self) -> str:
        forward = sum(step.phase == "forward" for step in self._steps)
        edges = sum(step.phase == "backward" for step in self._steps)
        return (
            f"<steps through {forward} operations and {edges} edges: show it in a notebook, or "
            '.save("steps.html")>'
        )


def _rows(rows: Iterable[Row]) -> Iterable[str]:
    """The table without a script: names and values, no gradients."""
    for row in rows:
        yield (
            f'<tr id="row-{row.key}"><td role="rowheader">{html_text(row.name)}</td>'
            f"<td>{html_text(row.value)}</td><td></td></tr>"
        )


def _json(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in a label can close it."""
    import json

    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for c in "<>&\u2028\u2029":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return text


def _resource(name: str) -> str:
    from importlib.resources import files

    return files("tinygrad_scalar.drawing").joinpath("page", name).read_text(encoding="utf-8")
