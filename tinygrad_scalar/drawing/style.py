"""The SVG as it is shown: without Graphviz's prologue, with a name and colours for the dark."""

from __future__ import annotations

import re

from tinygrad_scalar.drawing.labels import html_text

# Graphviz writes the light colours into the elements; these stand against them only in the dark.
STYLE = """\
.tinygrad-scalar .named text:first-of-type{font-weight:600}
.tinygrad-scalar .cluster>text{font-weight:600}
@media (prefers-color-scheme: dark){
.tinygrad-scalar .graph>polygon{fill:#0d1117}
.tinygrad-scalar .node:not(.graded):not(.legend) text{fill:#e6edf3}
.tinygrad-scalar .edge text,.tinygrad-scalar .cluster>text,\
.tinygrad-scalar .node.omitted text{fill:#9198a1}
.tinygrad-scalar .edge path,.tinygrad-scalar .edge polygon{stroke:#6e7681}
.tinygrad-scalar .edge polygon{fill:#6e7681}
.tinygrad-scalar .value:not(.graded) path{fill:#151b23;stroke:#6e7681}
.tinygrad-scalar .value.leaf path{fill:#0c2d57;stroke:#388bfd}
.tinygrad-scalar .value.output path{fill:#3b2e0a;stroke:#d29922}
.tinygrad-scalar .value.derivative path{fill:#2b1d45;stroke:#a371f7}
.tinygrad-scalar .box:not(.graded) path{fill:#262c36;stroke:#9198a1}
.tinygrad-scalar .operation ellipse{fill:#212830;stroke:#6e7681}
.tinygrad-scalar .scope>path{fill:#ffffff08;stroke:#3d444d}
}"""
_OPENING = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_ANONYMOUS_TITLE = re.compile(r"<title>%\d+</title>\n?")


def styled(svg: str, description: str) -> str:
    """Graphviz's SVG as a self-contained element, ready for a file and for the inside of a page.

    What Graphviz puts before the element refers to a document type in the net, and goes.
    """
    opening = _OPENING.search(svg)
    if opening is None:
        raise RuntimeError("draw: the layout gave no SVG")
    name = f'class="tinygrad-scalar" role="img" aria-label="{html_text(description)}"'
    body = _ANONYMOUS_TITLE.sub("", svg[opening.end() :], count=1)
    return f"{opening.group()[:-1]} {name}>\n<style>{STYLE}</style>{body}"
