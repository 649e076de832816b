"""Colours by role, in the light and in the dark: for DOT, and for the style sheet of an SVG.

A picture is written in the light colours. `theme="dark"` writes it in the dark ones; `theme="auto"`
adds a style sheet by which it follows the page that shows it, and on its own its reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# role: what it colours, light, dark
_DARK = {
    "#fffffe": "#0d1117",  # the ground
    "#ffffff": "#151b23",  # a Value
    "#1f2328": "#e6edf3",  # text
    "#59636e": "#9198a1",  # text on edges, titles
    "#818b98": "#6e7681",  # lines
    "#ddf4ff": "#0c2d57",  # a leaf
    "#54aeff": "#388bfd",
    "#fff8c5": "#3b2e0a",  # the output
    "#d4a72c": "#d29922",
    "#fbefff": "#2b1d45",  # a derivative
    "#c297ff": "#a371f7",
    "#f6f8fa": "#212830",  # an operation
    "#f6f8fa80": "#ffffff08",  # a scope
    "#d1d9e0": "#3d444d",
    "#eaeef2": "#262c36",  # a closed scope
    "#bc4c00": "#f0883e",  # a local derivative in a box
}
_COLOUR = re.compile(r'"(#[0-9a-f]{6,8})"')


def painted(theme: str) -> Callable[[str], str]:
    """What puts the colours of a theme into attributes written in the light ones."""
    if theme != "dark":
        return str
    return lambda text: _COLOUR.sub(lambda match: f'"{_DARK.get(match[1], match[1])}"', text)


def _rule(selector: str, **properties: str) -> str:
    chosen = ";".join(
        f"{name}:light-dark({light},{_DARK[light]})" for name, light in properties.items()
    )
    selectors = ",".join(f".tinygrad-scalar {one}" for one in selector.split(", "))
    return f"{selectors}{{{chosen}}}"


def _box_rule(selector: str, fill: str, stroke: str) -> str:
    """For a box; the frame of a table is drawn over its text, and has no ground of its own."""
    ground = _rule(f'{selector}:not([fill="none"])', fill=fill)
    return f"{ground}\n{_rule(selector, stroke=stroke)}"


_PLAIN = """\
.tinygrad-scalar .named text:first-of-type{font-weight:600}
.tinygrad-scalar .cluster>text{font-weight:600}"""
# `light-dark` asks for the scheme of the page; notebooks that do not tell theirs say it by a class.
_AUTO = "\n".join(
    [
        "svg.tinygrad-scalar:root{color-scheme:light dark}",
        (
            '[data-jp-theme-light="false"] .tinygrad-scalar,.vscode-dark .tinygrad-scalar,'
            '[data-theme="dark"] .tinygrad-scalar,[data-md-color-scheme="slate"] .tinygrad-scalar'
            "{color-scheme:dark}"
        ),
        (
            '[data-jp-theme-light="true"] .tinygrad-scalar,.vscode-light .tinygrad-scalar,'
            '[data-theme="light"] .tinygrad-scalar,'
            '[data-md-color-scheme="default"] .tinygrad-scalar'
            "{color-scheme:light}"
        ),
        (
            '.tinygrad-scalar .graph>polygon:not([fill="transparent"])'
            "{fill:light-dark(#ffffff,#0d1117)}"
        ),
        _rule(".node:not(.graded):not(.legend) text, .graph>text", fill="#1f2328"),
        _rule(".edge text, .cluster>text, .node.omitted text", fill="#59636e"),
        _rule(".node:not(.graded) text.slope", fill="#bc4c00"),
        _rule(".edge path", stroke="#818b98"),
        _rule(".edge polygon", stroke="#818b98", fill="#818b98"),
        _rule(".edge.beside path", stroke="#c297ff"),
        _rule(".edge.beside polygon", stroke="#c297ff", fill="#c297ff"),
        _box_rule(".value:not(.graded) path", "#ffffff", "#818b98"),
        _box_rule(".value.leaf:not(.graded) path", "#ddf4ff", "#54aeff"),
        _box_rule(".value.output:not(.graded) path", "#fff8c5", "#d4a72c"),
        _box_rule(".value.derivative:not(.graded) path", "#fbefff", "#c297ff"),
        _box_rule(".box:not(.graded) path", "#eaeef2", "#59636e"),
        _rule(".operation ellipse", fill="#f6f8fa", stroke="#818b98"),
        _rule(".scope>path", fill="#f6f8fa80", stroke="#d1d9e0"),
    ]
)


def style(theme: str) -> str:
    """The style sheet of an SVG."""
    return f"{_PLAIN}\n{_AUTO}" if theme == "auto" else _PLAIN
