"""How a Value and its operation look in a drawing: text, classes and colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_scalar.drawing.arguments import Look
from tinygrad_scalar.drawing.gradients import Gradients
from tinygrad_scalar.drawing.labels import dot_text, number_text
from tinygrad_scalar.drawing.scene import Scene
from tinygrad_scalar.drawing.terms import operation_text

_EDGES = {"": "#818b98", " leaf": "#54aeff", " output": "#d4a72c", " derivative": "#c297ff"}
_FILLS = {"": "#ffffff", " leaf": "#ddf4ff", " output": "#fff8c5", " derivative": "#fbefff"}
_FOCUS = " penwidth=3"


def caption_of(look: Look, gradients: Gradients) -> Callable[[Any, str], str]:
    """The text of a Value: name, value, and the gradient once there is one."""
    of, known, sums = gradients
    digits, values, shown = look.digits, look.values, look.gradients

    def caption(node: Any, name: str) -> str:
        text = number_text(node.data, digits) if values else ""
        if name:
            text = f"{dot_text(name)}\\n{text}" if text else dot_text(name)
        if shown and known(node):
            sign = "Σ grad" if id(node) in sums else "grad"
            gradient = f"{sign} {number_text(of(node), digits)}"
            return f"{text}\\n{gradient}" if text else gradient
        return text

    return caption


def symbol_of(digits: int = 6) -> Callable[[Any], str]:
    """The text of an operation, worked out once for each row of one operand."""
    known: dict[Any, str] = {}

    def symbol(node: Any) -> str:
        row = node.primitive
        if row.arity != 1:
            return dot_text(operation_text(node, digits))
        if row not in known:
            known[row] = dot_text(operation_text(node, digits))
        return known[row]

    return symbol


def kind_of(seen: Scene) -> Callable[[Any], str]:
    """The class that a Value's role gives it: leaf, output, derivative, or none."""
    roots = {id(root) for root in seen.roots}
    special = roots | seen.derivative

    def kind(node: Any) -> str:
        if id(node) in special:
            return " output" if id(node) in roots else " derivative"
        return " leaf" if node.primitive is None else ""

    return kind


def look_of(made: Any) -> Callable[[Any, str], str]:
    """The classes and colours of a Value in a form; the defaults are those of an inner node."""
    colours, gradient, kind_, focus = made.colours, made.gradients.of, made.kind, made.look.focus
    paint = made.paint

    def look(node: Any, name: str) -> str:
        kind = kind_(node)
        wide = _FOCUS if node is focus else ""
        if not (kind or name or colours):
            return wide
        classes = f"{kind} named" if name else kind
        if colours is not None:  # the line tells the role
            shade = colours(gradient(node)).attributes(f"value graded{classes}")
            line = paint(f' color="{_EDGES[kind]}"')
            return f"{shade}{line}{wide}"
        fill = f' fillcolor="{_FILLS[kind]}" color="{_EDGES[kind]}"' if kind else ""
        return f' class="value{classes}"{paint(fill)}{wide}'

    return look


def role_colours(kind: str) -> tuple[str, str]:
    """The ground and the line of a role."""
    return _FILLS[kind], _EDGES[kind]
