"""Pictures of a graph: drawings, a page to step through, formulas, a tree, plots."""

from tinygrad_scalar.drawing.dot import to_dot
from tinygrad_scalar.drawing.formulas import Formula, formula, to_latex, to_text
from tinygrad_scalar.drawing.mermaid import to_mermaid
from tinygrad_scalar.drawing.picture import Drawing, draw
from tinygrad_scalar.drawing.stepping import StepThrough, steps
from tinygrad_scalar.drawing.terminal import tree

__all__ = [
    "Drawing",
    "Formula",
    "StepThrough",
    "draw",
    "formula",
    "steps",
    "to_dot",
    "to_latex",
    "to_mermaid",
    "to_text",
    "tree",
]


def __dir__() -> list[str]:
    return sorted(__all__)
