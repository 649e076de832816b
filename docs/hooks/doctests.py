"""Examples in docstrings, which begin with >>> after an empty line, as blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

# A paragraph whose first line is a prompt; <BLANKLINE> keeps an empty line of output inside it.
_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


def fenced(text: str) -> str:
    """The text with every example between fences."""
    return _EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```", text)


class FencedExamples(griffe.Extension):
    """Fences the examples of every docstring that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once an object has its docstring."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
