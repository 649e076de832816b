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
    return seen.line(key) % 2 == 1


def edge(
    seen: Scene, source: str, target: str, inside: str = "", leaves: str = "", arrives: str = ""
) -> str:
    """An edge in DOT, with its attributes; from the side `leaves` of source to `arrives` of target.

    Graphviz orders by the direction in which an edge is written. One between two lines orders
    nothing.
    """
    ends = f"{source}{leaves} -> {target}{arrives}"
    if seen.wrapped:
        line = seen.line(target.replace("f", "u"))
        if seen.line(source.replace("f", "u")) != line:
            inside = f"{inside} constraint=false".strip()
        elif line % 2:
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
    return seen.line(text.split(maxsplit=1)[0].replace("f", "u"))


def margin(seen: Scene) -> str:
    """What keeps the lines of a wrapped picture below each other: points on the left, in order.

    What stands first on the left of a line is as far from its point as the line has it; and so is
    what stands first on the right, where a line that runs back begins.
    """
    feeds, fed = _in_line(seen)
    computed = {seen.key(node) for node in seen.nodes if node.primitive and not seen.compact}
    last = max(map(seen.line, seen.ranks))
    chain = " -> ".join(f"line{line}" for line in range(last + 1))
    text = [f"  {{rank=same node [shape=point style=invis width=0.01]\n  {chain} [style=invis]}}\n"]
    begins: dict[int, tuple[int, str]] = {}  # by line: the place and the name of what is leftmost
    for place, key in sorted((_place(seen, key), key) for key in seen.ranks):
        line, back = seen.line(key), turned(seen, key)
        if key not in fed or (back and key not in feeds):
            name = f"f{key[1:]}" if key in computed and not back else key
            # Graphviz ranks each line by itself, and then keeps it as it is.
            start, first = begins.setdefault(line, (place, name))
            if place == start:
                start, first = 0, f"line{line}"
            text.append(f"  {first} -> {name} [style=invis weight=4 minlen={place - start}]\n")
    return "".join(text)


def _place(seen: Scene, key: str) -> int:
    """How far from the left a thing stands, in ranks of Graphviz."""
    column = seen.ranks[key] % seen.columns
    if turned(seen, key):
        column = seen.columns - 1 - column
    return (1 if seen.compact else 2) * column + 1


def _in_line(seen: Scene) -> tuple[set[str], set[str]]:
    """What is an operand of another thing in its own line, and what has one there."""
    edges = [
        (seen.key(parent), seen.key(node))
        for node in seen.nodes
        for parent in node.parents
        if id(parent) in seen.shown
    ]
    edges += [(bundle.source, bundle.target) for bundle in seen.bundles]
    inside = [
        (source, target) for source, target in edges if seen.line(source) == seen.line(target)
    ]
    return {source for source, _ in inside}, {target for _, target in inside}
