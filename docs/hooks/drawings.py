"""Drawings on pages: a block of DOT becomes a picture, laid out and painted as the library's own.

The first line of a block is its description, `// …`, which a screen reader tells.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError

_BLOCK = re.compile(
    r"^```dot\n// (?P<description>[^\n]+)\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL
)
# The looks of the library's pictures; `leaf`, `output` and `box` are their classes.
_LOOKS = """
graph [rankdir=LR bgcolor=transparent nodesep=0.25 ranksep=0.4 fontname="Helvetica,Arial,sans-serif"
  fontsize=11]
node [shape=box style="rounded,filled" class=value fillcolor="#ffffff" color="#818b98"
  fontname="Helvetica,Arial,sans-serif" fontsize=11 fontcolor="#1f2328"]
edge [color="#818b98" fontname="Helvetica,Arial,sans-serif" fontsize=9 fontcolor="#59636e"
  arrowsize=0.6]
"""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put a picture in the place of every block of DOT; whoever builds is told where one fails."""
    try:
        return _BLOCK.sub(lambda found: _drawn(found["source"], found["description"]), markdown)
    except (ImportError, RuntimeError, ValueError) as error:
        raise PluginError(f"{page.file.src_uri}: a drawing fails: {error}") from None


def _drawn(source: str, description: str) -> str:
    from tinygrad_scalar.drawing.layout import laid_out
    from tinygrad_scalar.drawing.style import styled

    opening, brace, rest = source.partition("{")
    svg = laid_out(f"{opening}{brace}{_LOOKS}{rest}", "svg", timeout=60).decode()
    return in_page(styled(svg, description))


def in_page(svg: str) -> str:
    """An SVG inline, so that it follows the page's scheme; wider than the page it is scrolled.

    Markdown ends a block of HTML at an empty line, and knows comments only between blocks.
    """
    line = " ".join(line for line in svg.splitlines() if line and not line.startswith("<!--"))
    return f'<div class="picture" tabindex="0">{line}</div>'
