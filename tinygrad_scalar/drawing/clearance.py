"""Labels of edges off the lines: Graphviz keeps room for a label, but may lead a line through it.

In an SVG that is laid out, a label that a line crosses is moved by a few points to a place that is
free of lines, of other labels and of boxes.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from tinygrad_scalar.drawing.taken import Frame, Point, Taken

_PART = re.compile(r'<g id="[^"]*" class="(node|edge)\b[^"]*">(.*?)</g>', re.DOTALL)
_LABEL = re.compile(
    r'<text [^>]*?x="(-?[\d.]+)" y="(-?[\d.]+)"[^>]*?font-size="([\d.]+)"[^>]*>([^<]*)</text>'
)
_TITLE = re.compile(r"<title>([^<]*)</title>")
_STATEMENT = re.compile(
    r'(^\t+)(\w+ -> \w+)(\t\[[^\]]*?)\blp="([-\d.e+]+),([-\d.e+]+)"', re.MULTILINE
)
_LINE = re.compile(r'<path [^>]*?d="([^"]+)"')
_SHAPE = re.compile(r'<(?:path [^>]*?d|polygon [^>]*?points)="([^"]+)"')
_ELLIPSE = re.compile(r'<ellipse [^>]*?cx="(-?[\d.]+)" cy="(-?[\d.]+)" rx="([\d.]+)" ry="([\d.]+)"')
_NUMBER = re.compile(r"-?[\d.]+")
_MOST, _CROWD = 1000, 100  # edges, and labels that lines cross, up to which it is worth the time
_LOOKS = 50  # free places that are looked at for one to which its own line is nearest
_WIDE, _HIGH, _DEEP = 0.58, 0.9, 0.25  # of the size of letters: width, above and below their line
_MARGIN = 1.0
# Moves from the shortest to the longest, sideways less than up and down.
_MOVES = sorted(
    ((float(dx), float(dy)) for dx in range(-48, 49, 4) for dy in range(-36, 37, 2)),
    key=lambda move: abs(move[0]) * 1.5 + abs(move[1]),
)


class _Shift(NamedTuple):
    """A label of an edge that moves: where it stands in the SVG, which edge it is of, how far."""

    label: re.Match[str]
    edge: tuple[str, int]  # its ends, and which of those between them
    dx: float
    dy: float


def cleared(svg: str) -> str:
    """The SVG with every label of an edge that a line crosses moved, where there is a free place.

    O(length of the lines). Text other than the places of labels stays as it is.
    """
    pieces, end = [], 0
    for label, _, dx, dy in _shifts(svg):
        place = f'x="{float(label[1]) + dx:.2f}" y="{float(label[2]) + dy:.2f}"'
        pieces += [svg[end : label.start(1) - 3], place]
        end = label.end(2) + 1
    return "".join((*pieces, svg[end:]))


def cleared_positions(laid: str, svg: str) -> str:
    """DOT text with positions, with the labels moved that are moved in the SVG made of it."""
    far = {edge: (dx, dy) for _, edge, dx, dy in _shifts(svg)}
    seen: Counter[str] = Counter()

    def moved(statement: re.Match[str]) -> str:
        before, ends, between, x, y = statement.groups()
        ends = ends.replace(" ", "")
        dx, dy = far.get((ends, seen[ends]), (0.0, 0.0))
        seen[ends] += 1
        return f'{before}{statement[2]}{between}lp="{float(x) + dx:.2f},{float(y) - dy:.2f}"'

    return _STATEMENT.sub(moved, laid)


def _shifts(svg: str) -> list[_Shift]:
    """The moves of labels that a line crosses; none in a crowd, where all would look for places."""
    parts = list(_PART.finditer(svg))
    labels = [
        (label, i)
        for i, part in enumerate(parts)
        if part[1] == "edge"
        for label in _LABEL.finditer(svg, part.start(2), part.end(2))
    ]
    if not labels or len(parts) > 2 * _MOST:
        return []
    seen: Counter[str] = Counter()
    names: dict[int, tuple[str, int]] = {}
    for _, i in labels:
        ends = _ends(parts[i])
        names[i] = ends, seen[ends]
        seen[ends] += 1
    taken = Taken()
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
    if len(crossed) > _CROWD:
        return []
    return [
        _Shift(label, names[edge], *_move(taken, _frame_of(label), edge)) for label, edge in crossed
    ]


def _ends(part: re.Match[str]) -> str:
    found = _TITLE.search(part[2])
    return html.unescape(found[1]) if found else ""


def _move(taken: Taken, frame: Frame, edge: int) -> tuple[float, float]:
    """The shortest move to a free place, if there is one to where its own line is nearest."""
    free = (
        move
        for move in _MOVES
        if not taken.crossed(place := frame.moved(*move)) and not taken.covered(place)
    )
    found: tuple[float, float] | None = None
    for move in islice(free, _LOOKS):
        if taken.nearest(frame.moved(*move)) == edge:
            found = move
            break
        found = found or move
    move = found or (0.0, 0.0)
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
