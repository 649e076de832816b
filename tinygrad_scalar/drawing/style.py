"""The SVG as it is shown: without Graphviz's prologue, with a name, a style sheet and a title."""

from __future__ import annotations

import re

from tinygrad_scalar.drawing.clearance import cleared
from tinygrad_scalar.drawing.labels import html_text
from tinygrad_scalar.drawing.theme import style

_OPENING = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_ANONYMOUS_TITLE = re.compile(r"<title>%\d+</title>\n?")
_SLOPE = re.compile(r'<text ([^>]*font-size="8\.00")')  # local derivatives alone are so small


def styled(svg: str, description: str, theme: str = "auto") -> str:
    """Graphviz's SVG as a self-contained element, ready for a file and for the inside of a page.

    What Graphviz puts before the element refers to a document type in the net, and goes.
    """
    opening = _OPENING.search(svg)
    if opening is None:
        raise RuntimeError("draw: the layout gave no SVG")
    name = f'class="tinygrad-scalar" role="img" aria-label="{html_text(description)}"'
    body = _ANONYMOUS_TITLE.sub("", svg[opening.end() :], count=1)
    body = _SLOPE.sub(r'<text class="slope" \1', body)
    return f"{opening.group()[:-1]} {name}>\n<style>{style(theme)}</style>{cleared(body)}"
