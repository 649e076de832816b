"""What is taken in a picture that is laid out, by place: lines of edges, boxes, labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

_STEP = 3.0  # points between the places of a line that are looked at
_CELL = 32.0  # points a side of the squares in which they are looked up

Point = tuple[float, float]


class Frame(NamedTuple):
    """A rectangle; y grows downwards, as in an SVG."""

    left: float
    top: float
    right: float
    bottom: float

    def moved(self, dx: float, dy: float) -> Frame:
        """The same elsewhere."""
        return Frame(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)

    def meets(self, other: Frame) -> bool:
        """Whether the two have a point in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Taken:
    """What is taken already, looked up by square."""

    def __init__(self) -> None:
        self._points: dict[tuple[int, int], list[tuple[float, float, int]]] = defaultdict(list)
        self._frames: dict[tuple[int, int], list[Frame]] = defaultdict(list)

    def add_line(self, points: list[Point], edge: int) -> None:
        """The line of an edge: a chain of Bézier curves of degree three."""
        for x, y in _along(points):
            self._points[int(x // _CELL), int(y // _CELL)].append((x, y, edge))

    def add_frame(self, frame: Frame) -> None:
        """A box, or a label."""
        for cell in _cells(frame):
            self._frames[cell].append(frame)

    def crossed(self, frame: Frame) -> bool:
        """Whether a line runs through it."""
        return any(
            frame.left < x < frame.right and frame.top < y < frame.bottom
            for cell in _cells(frame)
            for x, y, _ in self._points.get(cell, ())
        )

    def covered(self, frame: Frame) -> bool:
        """Whether a box or a label has a point in common with it."""
        return any(frame.meets(f) for cell in _cells(frame) for f in self._frames.get(cell, ()))

    def nearest(self, frame: Frame) -> int | None:
        """The edge whose line is nearest to the middle of a frame, if one is near."""
        x, y = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
        around = Frame(x - _CELL, y - _CELL, x + _CELL, y + _CELL)
        near = (
            ((px - x) ** 2 + (py - y) ** 2, edge)
            for cell in _cells(around)
            for px, py, edge in self._points.get(cell, ())
        )
        return min(near, default=(0.0, None))[1]


def _along(points: list[Point]) -> Iterator[Point]:
    """Places on a chain of Bézier curves of degree three, as Graphviz draws every line."""
    for i in range(0, len(points) - 3, 3):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[i : i + 4]
        length = abs(dx - ax) + abs(dy - ay) + abs(bx - ax) + abs(by - ay)
        steps = max(2, int(length / _STEP))
        for k in range(steps + 1):
            t = k / steps
            s = 1 - t
            p, q, r, o = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
            yield p * ax + q * bx + r * cx + o * dx, p * ay + q * by + r * cy + o * dy


def _cells(frame: Frame) -> Iterator[tuple[int, int]]:
    for column in range(int(frame.left // _CELL), int(frame.right // _CELL) + 1):
        for row in range(int(frame.top // _CELL), int(frame.bottom // _CELL) + 1):
            yield column, row
