"""Wrapped pictures: lines below each other, every second one runs back, so that the next is near.

What a thing is computed from then stands in its own line or just above it, and an edge between two
lines is short.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinygrad_scalar.drawing.scene import Scene


def turned(seen: Scene, key: str) -> bool:
    """Whether a thing stands in a line that runs backwards."""
    return seen.lines.get(key, 0) % 2 == 1


def edge(
    seen: Scene, source: str, target: str, inside: str = "", leaves: str = "", arrives: str = ""
) -> str:
    """An edge in DOT, with its attributes; from the side `leaves` of source to `arrives` of target.

    Graphviz orders by the direction in which an edge is written. One between two lines orders
    nothing.
    """
    ends = f"{source}{leaves} -> {target}{arrives}"
    if seen.lines:
        lines = {seen.lines.get(key.replace("f", "u")) for key in (source, target)}
        if len(lines) > 1:
            inside = f"{inside} constraint=false".strip()
        elif turned(seen, target.replace("f", "u")):
            ends = f"{target}{arrives} -> {source}{leaves}"
            inside = f"{inside.replace('headlabel', 'taillabel')} dir=back".strip()
    return f"  {ends} [{inside}]\n" if inside else f"  {ends}\n"


def by_line(blocks: Mapping[Any, Any], seen: Scene, operations_of: str) -> Iterator[str]:
    """The blocks of a wrapped picture by line; frames of scopes would run over several."""
    lines: dict[int, list[str]] = {}
    for values, operations in blocks.values():
        for text in values:
            lines.setdefault(_line_of(seen, text), []).append(text)
        for text in operations:
            inside = (operations_of, text, "}\n")
            lines.setdefault(_line_of(seen, text), []).extend(inside)
    for line, texts in sorted(lines.items()):
        yield from (f"subgraph cluster_{line} {{\n  graph [style=invis]\n", *texts, "}\n")


def _line_of(seen: Scene, text: str) -> int:
    """The line that a node stands in, from its text in DOT."""
    key = text.split(maxsplit=1)[0]
    return seen.lines.get(key.replace("f", "u"), 0)


def beginnings(seen: Scene) -> str:
    """What keeps the lines of a wrapped picture below each other, beginning at the sides."""
    fed = {*_fed_in_line(seen)}
    computed = {seen.key(node) for node in seen.nodes if node.primitive and not seen.compact}
    chain = " -> ".join(f"line{line}" for line in range(max(seen.lines.values()) + 1))
    text = [f"  {{rank=same node [shape=point style=invis width=0.01]\n  {chain} [style=invis]}}\n"]
    for key, line in seen.lines.items():
        if key not in fed:
            head = f"f{key[1:]}" if key in computed else key
            far = seen.columns * (1 if seen.compact else 2)
            place = f"minlen={far}" if turned(seen, key) else "weight=4"
            text.append(f"  line{line} -> {head} [style=invis {place}]\n")
    return "".join(text)


def _fed_in_line(seen: Scene) -> Iterator[str]:
    """What stands behind another thing in its own line."""
    for node in seen.nodes:
        key = seen.key(node)
        if any(
            id(p) in seen.shown and seen.lines.get(seen.key(p)) == seen.lines.get(key)
            for p in node.parents
        ):
            yield key
    for bundle in seen.bundles:
        if seen.lines.get(bundle.source) == seen.lines.get(bundle.target):
            yield bundle.target
