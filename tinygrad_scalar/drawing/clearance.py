"""Labels of edges off the lines: Graphviz keeps room for a label, but may lead a line through it.

In an SVG that is laid out, a label that a line crosses is moved by a few points to a place that is
free of lines, of other labels and of boxes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

_PART = re.compile(r'<g id="[^"]*" class="(node|edge)\b[^"]*">(.*?)</g>', re.DOTALL)
_LABEL = re.compile(
    r'<text [^>]*?x="(-?[\d.]+)" y="(-?[\d.]+)"[^>]*?font-size="([\d.]+)"[^>]*>([^<]*)</text>'
)
_LINE = re.compile(r'<path [^>]*?d="([^"]+)"')
_SHAPE = re.compile(r'<(?:path [^>]*?d|polygon [^>]*?points)="([^"]+)"')
_ELLIPSE = re.compile(r'<ellipse [^>]*?cx="(-?[\d.]+)" cy="(-?[\d.]+)" rx="([\d.]+)" ry="([\d.]+)"')
_NUMBER = re.compile(r"-?[\d.]+")
_MOST = 1000  # edges up to which it is worth the time
_STEP = 3.0  # points between the places of a line that are looked at
_CELL = 32.0  # points a side of the squares in which they are looked up
_WIDE, _HIGH, _DEEP = 0.58, 0.9, 0.25  # of the size of letters: width, above and below their line
_MARGIN = 1.0
# Moves from the shortest to the longest, sideways less than up and down.
_MOVES = sorted(
    ((dx, dy) for dx in range(-40, 41, 4) for dy in range(-30, 31, 2)),
    key=lambda move: abs(move[0]) * 1.5 + abs(move[1]),
)

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


class _Free:
    """What is taken already, looked up by square."""

    def __init__(self) -> None:
        self._points: dict[tuple[int, int], list[Point]] = defaultdict(list)
        self._frames: dict[tuple[int, int], list[Frame]] = defaultdict(list)

    def add_line(self, points: list[Point]) -> None:
        for x, y in _along(points):
            self._points[int(x // _CELL), int(y // _CELL)].append((x, y))

    def add_frame(self, frame: Frame) -> None:
        for cell in _cells(frame):
            self._frames[cell].append(frame)

    def crossed(self, frame: Frame) -> bool:
        return any(
            frame.left < x < frame.right and frame.top < y < frame.bottom
            for cell in _cells(frame)
            for x, y in self._points.get(cell, ())
        )

    def covered(self, frame: Frame) -> bool:
        return any(frame.meets(f) for cell in _cells(frame) for f in self._frames.get(cell, ()))


def cleared(svg: str) -> str:
    """The SVG with every label of an edge that a line crosses moved, where there is a free place.

    O(length of the lines). Text other than the places of labels stays as it is.
    """
    parts = list(_PART.finditer(svg))
    labels = [
        label
        for part in parts
        if part[1] == "edge"
        for label in _LABEL.finditer(svg, part.start(2), part.end(2))
    ]
    if not labels or len(parts) > 2 * _MOST:
        return svg
    free = _Free()
    for part in parts:
        if part[1] == "node":
            for frame in _frames(part[2]):
                free.add_frame(frame)
        for line in _LINE.finditer(part[2]) if part[1] == "edge" else ():
            free.add_line(_points(line[1]))
    crossed = []
    for label in labels:
        frame = _frame_of(label)
        if free.crossed(frame):
            crossed.append(label)
        else:
            free.add_frame(frame)
    pieces, end = [], 0
    for label in crossed:
        frame = _frame_of(label)
        moves = (m for m in _MOVES if not free.crossed(frame.moved(*m)))
        dx, dy = next((m for m in moves if not free.covered(frame.moved(*m))), (0, 0))
        free.add_frame(frame.moved(dx, dy))
        place = f'x="{float(label[1]) + dx:.2f}" y="{float(label[2]) + dy:.2f}"'
        pieces += [svg[end : label.start(1) - 3], place]
        end = label.end(2) + 1
    return "".join((*pieces, svg[end:]))


def _frame_of(label: re.Match[str]) -> Frame:
    """The room of a label that stands around its x, a little more than it takes."""
    x, y, size = (float(label[i]) for i in (1, 2, 3))
    half = _WIDE * size * len(label[4]) / 2 + _MARGIN
    return Frame(x - half, y - _HIGH * size - _MARGIN, x + half, y + _DEEP * size + _MARGIN)


def _frames(node: str) -> Iterator[Frame]:
    for cx, cy, rx, ry in (map(float, found.groups()) for found in _ELLIPSE.finditer(node)):
        yield Frame(cx - rx, cy - ry, cx + rx, cy + ry)
    for shape in _SHAPE.finditer(node):
        points = _points(shape[1])
        xs, ys = [x for x, _ in points], [y for _, y in points]
        yield Frame(min(xs), min(ys), max(xs), max(ys))


def _points(text: str) -> list[Point]:
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


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
