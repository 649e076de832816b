"""Text of users as a terminal, and XML, can carry it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What XML and a terminal cannot carry is shown by its picture: ␀ for NUL, ␛ for escape, and so on.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}
del _PICTURES[ord("\t")], _PICTURES[ord("\n")]
# among those that have none, 8-bit controls: U+009B begins a command to the terminal as ␛[ does
_NO_CHARACTERS = re.compile("[\x80-\x9f\ud800-\udfff\ufffe\uffff]")
_READABLE = 16  # characters of a cell that is cut, as long as there is room


def visible(text: str) -> str:
    r"""The text with every character shown: controls as their pictures, broken ones as �.

    Tabs and line ends stay what they are.

    >>> visible("a\x1b[31m")
    'a␛[31m'
    """
    if text.isprintable():
        return text
    return _NO_CHARACTERS.sub("\ufffd", text.translate(_PICTURES))


def in_a_cell(text: str) -> str:
    r"""The text in one line and without tabs, as a column of a table needs it.

    >>> in_a_cell("a\tb")
    'a␉b'
    """
    return visible(text).replace("\t", "␉").replace("\n", "␊")


def shortened(text: str, length: int = 80) -> str:
    """A text with its middle left out where it is longer than that.

    >>> shortened("abcdefghijkl", 9)
    'abcd … kl'
    """
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} … {text[3 + half - length :]}"


def reason(error: BaseException) -> str:
    r"""The text of an error about something foreign, such as a file: short, and safe to print.

    >>> reason(ValueError("no number: \x1b[31m\n")), len(reason(ValueError("b" * 1000)))
    ('no number: ␛[31m␊', 200)
    """
    return shortened(in_a_cell(str(error)), 200)


def aligned(
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    cut: Sequence[int] = (),
    width: int | None = None,
) -> list[str]:
    """The rows as lines whose columns stand below each other, those of `numbers` to the right.

    Where the lines are wider than `width`, the columns `cut` are cut in turn: a name, in the first
    one, at its beginning, which tells least.

    >>> aligned([["name", "value"], ["weight", "2.0"]], numbers=[1])
    ['name    value', 'weight    2.0']
    >>> aligned([["name", "value"], ["weight", "2.0"]], numbers=[1], cut=[0], width=11)
    ['name  value', '…ght    2.0']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    excess = 0 if width is None else sum(widths) + 2 * (len(widths) - 1) - width
    for least in (_READABLE, 4):
        for column in cut:
            less = min(excess, widths[column] - least)
            if less > 0:
                widths[column], excess = widths[column] - less, excess - less

    def cell(text: str, column: int) -> str:
        most = widths[column]
        if len(text) > most:
            return "…" + text[1 - most :] if column == 0 else text[: most - 1] + "…"
        return text.rjust(most) if column in numbers else text.ljust(most)

    return ["  ".join(cell(x, k) for k, x in enumerate(row)).rstrip() for row in rows]
