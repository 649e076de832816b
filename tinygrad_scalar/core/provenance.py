"""Where a node comes from: its label, its scope, the line of user code that made it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from itertools import takewhile
from types import FrameType
from typing import Any, NamedTuple

from tinygrad_scalar.core import context

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 (pathlib: 2 ms)


class Provenance(NamedTuple):
    """What is known of a node beside its numbers; all of it optional."""

    label: str = ""
    scope: tuple[str, ...] = ()
    line: str = ""
    latex: str = ""

    def relabelled(self, label: str) -> Provenance:
        """The same with another label; TypeError if that is no text."""
        if not isinstance(label, str):
            raise TypeError(f"label is a str, not {type(label).__name__}: use str(...)")
        return self._replace(label=label)

    def typeset(self, latex: str) -> Provenance:
        """The same with another LaTeX form of the label; TypeError if that is no text."""
        if not isinstance(latex, str):
            raise TypeError(f'latex is a str, not {type(latex).__name__}: write r"\\hat{{x}}"')
        return self._replace(latex=latex)


NOTHING = Provenance()


def current(label: str = "") -> Provenance:
    """What is to be noted of a node made now."""
    settings = context.settings()
    return Provenance(label, settings.scope, _user_line() if settings.lines else "")


def distinct_names(nodes: Iterable[Any]) -> dict[int, str]:
    """The label of each labelled node by its id; a label that several bear, with their scopes.

    What all scopes have in common at the beginning is left out. O(nodes).

    >>> from tinygrad_scalar import Value
    >>> with scope("layer"):
    ...     with scope("a"):
    ...         x = Value(1.0, label="w")
    ...     with scope("b"):
    ...         y = Value(2.0, label="w")
    >>> list(distinct_names([x, y, Value(3.0, label="z")]).values())
    ['a.w', 'b.w', 'z']
    """
    found: dict[int, str] = {}
    alike: dict[str, dict[int, tuple[str, ...]]] = {}
    for node in nodes:
        label, scope_, _, _ = node.provenance
        if label:
            found[id(node)] = label
            alike.setdefault(label, {})[id(node)] = scope_
    several = [paths for paths in alike.values() if len(paths) > 1]
    levels = zip(*(path for paths in several for path in paths.values()), strict=False)
    common = len([*takewhile(lambda names: len({*names}) == 1, levels)])
    for paths in several:
        for key, path in paths.items():
            found[key] = ".".join((*path[common:], found[key]))
    return found


def trace_lines() -> context.Block:
    """Note for every node made in the block the line of user code that made it.

    Warnings and errors about undefined gradients then name the line. Cost: some ten µs per node.

    >>> from tinygrad_scalar import Value, trace_lines
    >>> with trace_lines():
    ...     y = Value(2.0) ** 2
    >>> y.provenance.line.endswith(", line 2")
    True
    """
    return context.override(lines=True)


def scope(name: str) -> context.Block:
    """Group the nodes made in the block: drawings show them in a box called `name`. Scopes nest.

    >>> from tinygrad_scalar import Value, scope
    >>> with scope("layer"), scope("neuron"):
    ...     y = Value(2.0) ** 2
    >>> y.provenance.scope
    ('layer', 'neuron')
    """
    if not isinstance(name, str):
        raise TypeError(f"scope: name is a str, not {type(name).__name__}")
    return context.Block(lambda outer: {"scope": (*outer.scope, name)})


def _user_frame() -> tuple[FrameType, int]:
    """The nearest frame outside this package, and how many frames up it stands."""
    frame, level = sys._getframe(1), 1
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return frame, level


def _user_line() -> str:
    frame, _ = _user_frame()
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"


def user_stacklevel() -> int:
    """The `stacklevel` that makes a warning point at the user's line, for the caller of this."""
    return _user_frame()[1] - 1
