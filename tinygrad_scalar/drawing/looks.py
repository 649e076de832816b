"""How a Value and its operation look in a drawing: text, classes and colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_scalar.drawing.colour import GradientColours
from tinygrad_scalar.drawing.labels import dot_text, number_text
from tinygrad_scalar.drawing.scene import Scene
from tinygrad_scalar.drawing.terms import operation_text

_LEAF = ' fillcolor="#ddf4ff" color="#54aeff"'
_OUTPUT = ' fillcolor="#fff8c5" color="#d4a72c"'
_DERIVATIVE = ' fillcolor="#fbefff" color="#c297ff"'
_FOCUS = " penwidth=3"


def caption_of(seen: Scene) -> Callable[[Any, str], str]:
    """The text of a Value: name, value, and the gradient once there is one.

    Where no backward has come by, a gradient of 0.0 says nothing, and is left out.
    """
    differentiated = any(root.grad for root in seen.roots)
    beside = seen.derivative

    def caption(node: Any, name: str) -> str:
        text = number_text(node.data)
        if name:
            text = f"{dot_text(name)}\\n{text}"
        gradient = node.grad
        if gradient or (differentiated and id(node) not in beside):
            return f"{text}\\ngrad {number_text(gradient)}"
        return text

    return caption


def symbol_of() -> Callable[[Any], str]:
    """The text of an operation, worked out once for each row of one operand."""
    known: dict[Any, str] = {}

    def symbol(node: Any) -> str:
        row = node.primitive
        if row.arity != 1:
            return dot_text(operation_text(node))
        if row not in known:
            known[row] = dot_text(operation_text(node))
        return known[row]

    return symbol


def look_of(seen: Scene, focus: Any) -> Callable[[Any, str], str]:
    """The classes and colours of a Value; the defaults are those of an inner node."""
    roots = {id(root) for root in seen.roots}
    special = roots | seen.derivative

    def look(node: Any, name: str) -> str:
        kind = colours = ""
        if id(node) in special:
            of_root = id(node) in roots
            kind, colours = (" output", _OUTPUT) if of_root else (" derivative", _DERIVATIVE)
        elif node.primitive is None:
            kind, colours = " leaf", _LEAF
        if node is focus:
            colours += _FOCUS
        if not (kind or name):
            return colours
        return f' class="value{kind}{" named" if name else ""}"{colours}'

    return look


def coloured(colours: GradientColours, gradient: Callable[[Any], Any]) -> Callable[[Any, str], str]:
    """The same where colours show the gradient."""
    return lambda node, name: colours(gradient(node)).attributes("value graded")
