"""Text of users as a terminal, and XML, can carry it."""

from __future__ import annotations

import re

# What XML and a terminal cannot carry is shown by its picture: ␀ for NUL, ␛ for escape, and so on.
_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}
del _PICTURES[ord("\t")], _PICTURES[ord("\n")]
_NO_CHARACTERS = re.compile("[\ud800-\udfff\ufffe\uffff]")


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
