"""Labels of edges off the lines: Graphviz keeps room for a label, but may lead a line through it.

In an SVG that is laid out, a label that a line crosses is moved by a few points to a place that is
free of lines, of other labels and of boxes.
"""

from __future__ import annotations

import html
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
    ((float(dx), float(dy)) for dx in range(-48, 49, 4) for dy in range(-36, 37, 2)),
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


class _Taken:
    """What is taken already, looked up by square."""

    def __init__(self) -> None:
        self._points: dict[tuple[int, int], list[tuple[float, float, int]]] = defaultdict(list)
        self._frames: dict[tuple[int, int], list[Frame]] = defaultdict(list)

    def add_line(self, points: list[Point], edge: int) -> None:
        for x, y in _along(points):
            self._points[int(x // _CELL), int(y // _CELL)].append((x, y, edge))

    def add_frame(self, frame: Frame) -> None:
        for cell in _cells(frame):
            self._frames[cell].append(frame)

    def crossed(self, frame: Frame) -> bool:
        return any(
            frame.left < x < frame.right and frame.top < y < frame.bottom
            for cell in _cells(frame)
            for x, y, _ in self._points.get(cell, ())
        )

    def covered(self, frame: Frame) -> bool:
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


def cleared(svg: str) -> str:
    """The SVG with every label of an edge that a line crosses moved, where there is a free place.

    O(length of the lines). Text other than the places of labels stays as it is.
    """
    parts = list(_PART.finditer(svg))
    labels = [
        (label, i)
        for i, part in enumerate(parts)
        if part[1] == "edge"
        for label in _LABEL.finditer(svg, part.start(2), part.end(2))
    ]
    if not labels or len(parts) > 2 * _MOST:
        return svg
    taken = _Taken()
    for i, part in enumerate(parts):
        for frame in _frames(part[2]) if part[1] == "node" else ():
            taken.add_frame(frame)
        for line in _LINE.finditer(part[2]) if part[1] == "edge" else ():
            taken.add_line(_points(line[1]), i)
    crossed = []
    for label, edge in labels:
        if taken.crossed(_frame_of(label)):
            crossed.append((label, edge))
        else:
            taken.add_frame(_frame_of(label))
    pieces, end = [], 0
    for label, edge in crossed:
        dx, dy = _move(taken, _frame_of(label), edge)
        place = f'x="{float(label[1]) + dx:.2f}" y="{float(label[2]) + dy:.2f}"'
        pieces += [svg[end : label.start(1) - 3], place]
        end = label.end(2) + 1
    return "".join((*pieces, svg[end:]))


def _move(taken: _Taken, frame: Frame, edge: int) -> tuple[float, float]:
    """The shortest move to a free place, to one where its own line is nearest if there is any."""
    free = [
        move
        for move in _MOVES
        if not taken.crossed(place := frame.moved(*move)) and not taken.covered(place)
    ]
    own = (move for move in free if taken.nearest(frame.moved(*move)) == edge)
    move = next(own, free[0] if free else (0.0, 0.0))
    taken.add_frame(frame.moved(*move))
    return move


def _frame_of(label: re.Match[str]) -> Frame:
    """The room of a label that stands around its x, a little more than it takes."""
    x, y, size = (float(label[i]) for i in (1, 2, 3))
    half = _WIDE * size * len(html.unescape(label[4])) / 2 + _MARGIN
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
