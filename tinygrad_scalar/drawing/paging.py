"""How large a picture will be, before it is laid out, and the lines of one too wide for a page.

Columns are ranks: a thing stands one to the right of the last of its operands, a leaf one to the
left of the first operation that it goes into.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tinygrad_scalar.drawing.labels import width_of

PAGE = 1600.0, 1000.0  # points
SMALL = 40  # Values that are drawn one by one, with operations as circles, on any page
_COLUMN, _ROW, _FRAME = 140.0, 50.0, 30.0  # points that a thing takes, and the frame of a scope
_BETWEEN, _CROSSING = 70.0, 14.0  # between the lines of a wrapped picture, for each edge there
_SHRUNK = 0.8  # of their size at which the letters of a picture can still be read

_BOX, _SLOPES, _CIRCLES = 90.0, 60.0, 110.0  # the width of a box, and what stands between two
_SIZE, _LETTERS = 10.0, 28  # of a name

Place = Any  # the id of an open Value, the number of a group, or a closed scope


def fits_page(
    nodes: Sequence[Any],
    home: Mapping[int, Place],
    page: tuple[float, float] | None,
    scopes: Mapping[int, Any] | None = None,
) -> bool:
    """Whether a picture of these things will probably fit; a small one always does."""
    rank = {} if page is None else ranks(nodes, home)
    if page is None or len(rank) <= SMALL:
        return True
    columns = Counter(rank.values())
    frames: dict[int, set[Any]] = defaultdict(set)
    for node in nodes:
        place = home.get(id(node), id(node))
        scope = place[:-1] if isinstance(place, tuple) else (scopes or {}).get(id(node), ())
        if scope:
            frames[rank[place]].add(scope)
    width = _COLUMN * len(columns)
    height = max(_ROW * n + _FRAME * len(frames[r]) for r, n in columns.items())
    return width <= page[0] and height <= page[1]


def fits_wrapped(
    nodes: Sequence[Any], home: Mapping[int, Place], columns: int, height: float
) -> bool:
    """Whether a picture of these things will probably fit as lines, a little smaller if need be."""
    rank = ranks(nodes, home)
    line = {place: r // columns for place, r in rank.items()}
    rows: dict[int, int] = defaultdict(int)
    for r, n in Counter(rank.values()).items():
        rows[r // columns] = max(rows[r // columns], n)
    crossing = between_lines(nodes, home, line)
    high = sum(_ROW * n + _BETWEEN for n in rows.values()) + _CROSSING * len(crossing)
    return high <= height / _SHRUNK


def between_lines(
    nodes: Sequence[Any], home: Mapping[int, Place], lines: Mapping[Place, int]
) -> set[tuple[Place, Place]]:
    """The ends of edges that lead from one line to another."""
    ends = (
        (home.get(id(parent), id(parent)), home.get(id(node), id(node)))
        for node in nodes
        for parent in node.parents
    )
    return {(a, b) for a, b in ends if a in lines and lines[a] != lines[b]}


def columns_of(nodes: Sequence[Any], width: float, compact: bool) -> int:
    """How many columns fit; a column with its operations as circles takes more."""
    widths = (width_of(node.label[:_LETTERS], _SIZE) if node.label else 0.0 for node in nodes)
    box = sum(max(_BOX, wide) for wide in widths) / max(len(nodes), 1)
    return max(2, int(width / (box + (_SLOPES if compact else _CIRCLES))))


def ranks(nodes: Sequence[Any], home: Mapping[int, Place]) -> dict[Place, int]:
    """The column of each thing, from the nodes in it, operands first. O(nodes + edges).

    Edges that come from a later thing, in a loop or between closed scopes, are left out.
    """
    rank: dict[Place, int] = {}
    used: set[Place] = set()
    fed: set[Place] = set()
    for node in nodes:
        here = home.get(id(node), id(node))
        rank.setdefault(here, 0)
        for there in {home.get(id(parent), id(parent)) for parent in node.parents}:
            if there != here and there in rank and here not in used:
                rank[here] = max(rank[here], rank[there] + 1)
                fed.add(here)
                used.add(there)
    first: dict[Place, int] = {}
    for node in nodes:
        before = rank[home.get(id(node), id(node))] - 1
        for parent in node.parents:
            there = home.get(id(parent), id(parent))
            if there in rank and there not in fed:
                first[there] = min(first.get(there, before), before)
    return {place: r if place in fed else max(first.get(place, r), 0) for place, r in rank.items()}
