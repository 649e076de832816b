"""Numbers and labels as they stand in pictures, and what makes any text safe in each language."""

from __future__ import annotations

import html
from math import isqrt
from textwrap import wrap
from typing import Any

from tinygrad_scalar.core.printable import in_a_cell, visible

_LONGEST = 24  # characters of a number in a box
_LINE, _LONG, _TOWER = 32, 60, 4000  # of a label in lines, and between which it is
_AS_IT_IS: Any = {"expand_tabs": False, "replace_whitespace": False, "break_on_hyphens": False}


def number_text(x: Any, digits: int = 6) -> str:
    """A number in so many significant digits, with the point that Python gives a float.

    An exact number that is too long for a box is rounded, which ≈ says.

    >>> number_text(715.0000000000001), number_text(1e-7), number_text(1 / 3), number_text(-0.0)
    ('715.0', '1e-07', '0.333333', '0.0')
    >>> from fractions import Fraction
    >>> number_text(Fraction(1, 3)), number_text(Fraction(1, 3) ** 50)
    ('1/3', '≈ 1.39296e-24')
    """
    if isinstance(x, float):
        text = "%.*g" % (digits, x or 0.0)  # noqa: UP031 (a picture has many, and this is quick)
        return text if "." in text or "e" in text or "n" in text else text + ".0"
    text = str(x)
    return text if len(text) <= _LONGEST else _rounded(x, digits) or text


def _rounded(x: Any, digits: int) -> str:
    """An exact number in so many digits, whatever its size; "" for what is no number."""
    from decimal import Decimal, InvalidOperation

    try:
        exact = Decimal(getattr(x, "numerator", str(x))) / Decimal(getattr(x, "denominator", 1))
    except (InvalidOperation, TypeError, ValueError):
        return ""
    return f"≈ {exact:.{digits}g}"


def dot_text(text: str) -> str:
    r"""The text for the inside of a quoted DOT string that is shown verbatim.

    Graphviz reads backslash escapes (`\N` is the node's name), and HTML entities.

    >>> print(dot_text('a "b" \\N &lt;'))
    a \"b\" \\N &amp;lt;
    """
    text = visible(text)
    if text.isalnum():
        return text
    text = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    # An empty first line makes Graphviz 14.1.5 crash: a space stands for it.
    return "\\n".join(line or " " for line in text.split("\n"))


def in_lines(text: str) -> str:
    r"""The text with every line that is too long for a box broken, at a space if there is one.

    >>> print(in_lines("an activation of the second layer, after the normalisation of its inputs"))
    an activation of the second
    layer, after the normalisation
    of its inputs
    """
    if not _LONG < len(text) < _TOWER:
        return text
    width = max(_LINE, isqrt(2 * len(text)))  # so that what is very long is no tower
    lines = (wrap(line, width, **_AS_IT_IS) or [line] for line in text.split("\n"))
    return "\n".join(line for several in lines for line in several)


def html_text(text: str) -> str:
    """The text for HTML and XML, attributes included.

    >>> html_text("<b>")
    '&lt;b&gt;'
    """
    return html.escape(visible(text))


def one_line(text: str) -> str:
    r"""The text in one printable line, for a terminal: no label can move the cursor.

    >>> one_line("a\nb\x9b")
    'a␊b�'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in in_a_cell(text))


def width_of(text: str, size: float) -> float:
    """About how many points the text takes in bold at this size, with a margin on both sides.

    By the widths of Helvetica Bold, of Arial and of Liberation Sans, which share them.
    """
    narrow = sum(c in " .,:;'|!()[]{}fijlrtI/-" for c in text)
    wide = sum(c in "mwMWGOQ%@" or ord(c) > 0x2FF for c in text)
    return size * (0.6 * len(text) - 0.27 * narrow + 0.3 * wide) + 12
