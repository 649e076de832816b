"""Docstrings as pages show them: examples as blocks of code, facts as paragraphs of their own."""

from __future__ import annotations

import re
from typing import Any

import griffe

# A paragraph whose first line is a prompt; <BLANKLINE> keeps an empty line of output inside it.
_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
# A line that begins with what it is about, as all docstrings here do.
_FACT = re.compile(r"\n(Domain|Derivative|∂/∂\w+|Kinks|Cost|Errors|Source)(?=:| O\()")


def fenced(text: str) -> str:
    """The text with every example between fences, and every fact in a paragraph of its own."""
    text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```", text)
    return _FACT.sub(r"\n\n**\1**", text)


class FencedExamples(griffe.Extension):
    """Fences the examples of every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once an object has its docstring."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
