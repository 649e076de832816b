"""Colours for the size of gradients, in equal ratios from smallest to largest, and their legend."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

_RAMP = ("#fff1c9", "#ffdd94", "#fdba5f", "#f08a3c", "#cf5a2a", "#9c3320")
_ZERO, _UNBOUNDED = "#ffffff", "#d8b9ff"
_DARK_TEXT, _LIGHT_TEXT = "#1f2328", "#ffffff"
_QUIET = "#818b98"  # to be read on white and on black
_FLOOR = 1e-9  # of the largest: what is smaller shares the lightest colour


class Fill(NamedTuple):
    """The colour of a node, and one for text on it."""

    fill: str
    text: str

    def attributes(self, classes: str) -> str:
        """For a node in DOT of these classes; `graded` keeps the colour in a dark scheme too."""
        return f' class="{classes}" fillcolor="{self.fill}" fontcolor="{self.text}"'


class GradientColours:
    """|gradient| to colour. White is 0, violet is infinite or NaN.

    >>> colours = GradientColours([0.01, 0.1, 1.0])
    >>> colours(1.0).fill, colours(0.01).fill, colours(0.0).fill
    ('#9c3320', '#fff1c9', '#ffffff')
    """

    def __init__(self, gradients: Iterable[Any]) -> None:
        sizes = [abs(float(x)) for x in gradients]
        finite = [x for x in sizes if x and math.isfinite(x)]
        self.high = max(finite, default=0.0)
        self.low = max(min(finite, default=0.0), self.high * _FLOOR)
        self.has_zero = 0.0 in sizes
        self.has_unbounded = not all(map(math.isfinite, sizes))

    def __call__(self, gradient: Any) -> Fill:
        """The colour of a gradient."""
        size = abs(float(gradient))
        if not math.isfinite(size):
            return Fill(_UNBOUNDED, _DARK_TEXT)
        if size == 0.0:
            return Fill(_ZERO, _DARK_TEXT)
        return _shade(self._class(size))

    def _class(self, size: float) -> int:
        """Which colour of the ramp; the largest has the last one, even if all are equal."""
        if size >= self.high:
            return len(_RAMP) - 1
        if size <= self.low:
            return 0
        share = math.log(size / self.low) / math.log(self.high / self.low)
        return min(int(share * len(_RAMP)), len(_RAMP) - 1)

    def legend(self) -> str:
        """A node in DOT that shows each colour with the numbers it stands for."""
        cells = [_cell("<I>|gradient|</I>", Fill("", _QUIET)), *self._entries()]
        rows = "".join(f"<TR>{cell}</TR>" for cell in cells)
        table = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="3">{rows}</TABLE>'
        return f"  legend [class=legend shape=plain style=solid fontsize=9 label=<{table}>]\n"

    def _entries(self) -> list[str]:
        cells = []
        if self.has_unbounded:
            cells.append(_cell("inf, nan", Fill(_UNBOUNDED, _DARK_TEXT)))
        if self.low < self.high:
            ratio = (self.high / self.low) ** (1 / len(_RAMP))
            for i in reversed(range(len(_RAMP))):
                bounds = f"{self.low * ratio**i:.2g} … {self.low * ratio ** (i + 1):.2g}"
                cells.append(_cell(bounds, _shade(i)))
        elif self.high:
            cells.append(_cell(f"{self.high:.3g}", _shade(len(_RAMP) - 1)))
        if self.has_zero and self.high:
            cells.append(_cell("0", Fill(_ZERO, _DARK_TEXT)))
        return cells or [_cell("none yet: call backward()", Fill("", _QUIET))]


def _shade(i: int) -> Fill:
    return Fill(_RAMP[i], _LIGHT_TEXT if i >= len(_RAMP) - 2 else _DARK_TEXT)


def _cell(text: str, fill: Fill) -> str:
    colour = f' BGCOLOR="{fill.fill}"' if fill.fill else ""
    return f'<TD{colour}><FONT COLOR="{fill.text}">{text}</FONT></TD>'
