"""How large a picture will be, before it is laid out.

Columns are ranks: a thing stands one to the right of the last of its operands, a leaf one to the
left of the first operation that it goes into. From top to bottom, they stand below each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.drawing.labels import width_of

WIDTH, HEIGHT = 1600.0, 1000.0  # points of a page
SMALL = 40  # Values that are drawn one by one, with operations as circles where these fit
SHRUNK = 0.75  # of their size at which the letters of a picture can still be read

_BETWEEN, _CROSSING = 70.0, 14.0  # between the lines of a wrapped picture, for each edge there
_NAME, _SIZE, _LETTERS = 75.0, 10.0, 28  # the room for a name in a box, and its letters


class _Room(NamedTuple):
    """Points that a column takes, a thing in it, the frame of a scope, and a column of a line."""

    column: float
    row: float
    frame: float
    wrapped: float


# By direction, and whether operations stand in their Value's box.
_ROOM = {
    ("LR", True): _Room(142.0, 50.0, 30.0, 150.0),
    ("LR", False): _Room(190.0, 95.0, 60.0, 240.0),
    ("TB", True): _Room(85.0, 120.0, 30.0, 90.0),
    ("TB", False): _Room(125.0, 120.0, 60.0, 160.0),
}
Place = Any  # the id of an open Value, the number of a group, or a closed scope


class Page(NamedTuple):
    """What a picture should fit, by the direction in which it runs."""

    direction: str = "LR"

    def fits(
        self,
        nodes: Sequence[Any],
        home: Mapping[int, Place],
        scopes: Mapping[int, Any],
        scale: float = 1.0,
        compact: bool = True,
    ) -> bool:
        """Whether a picture of these things will probably fit, all in one line."""
        rank, room = ranks(nodes, home), _ROOM[self.direction, compact]
        columns = Counter(rank.values())
        frames: dict[int, set[Any]] = defaultdict(set)
        for node in nodes:
            place = home.get(id(node), id(node))
            scope = place[:-1] if isinstance(place, tuple) else scopes.get(id(node), ())
            if scope:
                frames[rank[place]].add(scope)
        named = [node for node in nodes if id(node) not in home]
        along = (room.column + self._names(named)) * len(columns)
        across = [room.row * n + room.frame * len(frames[r]) for r, n in columns.items()]
        length, breadth = self._sides()
        return along * scale <= length and max(across, default=0.0) * scale <= breadth

    def fits_wrapped(
        self,
        nodes: Sequence[Any],
        home: Mapping[int, Place],
        columns: int,
        compact: bool = True,
    ) -> bool:
        """Whether it will probably fit in lines, a little smaller if need be."""
        rank = ranks(nodes, home)
        line = {place: r // columns for place, r in rank.items()}
        rows: dict[int, int] = defaultdict(int)
        for r, n in Counter(rank.values()).items():
            rows[r // columns] = max(rows[r // columns], n)
        crossing = between_lines(nodes, home, line)
        row = _ROOM[self.direction, compact].row
        across = sum(row * n + _BETWEEN for n in rows.values()) + _CROSSING * len(crossing)
        return across * SHRUNK <= self._sides()[1]

    def columns(self, nodes: Sequence[Any], compact: bool) -> int:
        """How many columns a line has."""
        room = _ROOM[self.direction, compact].wrapped + self._names(nodes)
        return max(2, int(self._sides()[0] / room))

    def _names(self, nodes: Sequence[Any]) -> float:
        """What names longer than a box add to a column."""
        if self.direction == "TB":
            return 0.0
        widths = [width_of(node.label[:_LETTERS], _SIZE) for node in nodes if node.label]
        return sum(max(0.0, width - _NAME) for width in widths) / max(len(widths), 1)

    def _sides(self) -> tuple[float, float]:
        return (WIDTH, HEIGHT) if self.direction == "LR" else (HEIGHT, WIDTH)


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
