r"""LaTeX for terms, from the templates in the rows: `\frac{{{0}}}{{{1}}}`, `\sin\left({0}\right)`.

What a template says of its places is read off the text around them: between brackets an operand
needs none of its own, below an exponent it needs them unless it is a name or a call.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from tinygrad_scalar.core.grad_table import show
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.printable import visible
from tinygrad_scalar.drawing.terms import ATOM, SIGNED, Notation, Slot, Template

_CALL = 9.5  # \sin\left(x\right): may stand below an exponent as it is
_BASE = 9.2  # what stands below an exponent
_STRICTLY = 0.5
_OPEN = ("(", "{", "[", "|", ",", r"\lfloor", r"\lceil")
_CLOSE = (")", "}", "]", "|", ",", r"\right")
_CHARACTERS = {
    "\\": r"\backslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\hat{\ }",
    "~": r"\tilde{\ }",
    " ": r"\ ",
    "\n": r"\ ",
    "\t": r"\ ",
    "-": r"\text{-}",
}
_PIECE = re.compile(r"\{\{|\}\}|\{\d+\}|\{all\}|[^{}]+|[{}]")
_LETTERS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
"""
_GREEK = {name: f"\\{name}" for name in _LETTERS.split()}
_SUBSCRIPT = re.compile(rf"([^\W\d_]|{'|'.join(_GREEK)})_(\w+)")


class Latex(Notation):
    r"""LaTeX as MathJax, KaTeX and amsmath read it."""

    brackets = (r"\left(", r"\right)")
    shared = "t_{}"

    def template(self, row: Primitive, count: int) -> Template:
        """The row's own template, cut at its places."""
        texts, places = _cut(row, count)
        parts: list[str | Slot] = [texts[0]]
        enclosed = True
        for i, place in enumerate(places):
            least = _least(row, place, texts[i], texts[i + 1])
            enclosed = enclosed and least == 0
            parts += [Slot(place, least), texts[i + 1]]
        return Template(parts, _precedence(row, texts[0], texts[-1], enclosed))

    def derivative(self, output: str, node: str) -> str:
        """The partial derivative as a fraction."""
        return rf"\frac{{\partial {output}}}{{\partial {node}}}"

    def name(self, label: str) -> str:
        r"""x, x_1 and alpha as in print, any other label upright; `\mathrm{apple\ number}`."""
        subscript = _SUBSCRIPT.fullmatch(label)
        if subscript is not None:
            return f"{_GREEK.get(subscript[1], subscript[1])}_{{{_escaped(subscript[2])}}}"
        if label in _GREEK:
            return _GREEK[label]
        text = _escaped(label)
        return text if len(label) == 1 and label.isalpha() else rf"\mathrm{{{text}}}"

    def name_of(self, node: Any) -> str:
        """The LaTeX that a Value was given, else its label."""
        return node.provenance.latex or super().name_of(node)

    def number(self, x: Any) -> tuple[str, float]:
        r"""2 for 2.0, 10^{-7} in full, \infty; a fraction as one."""
        text = show(x).removesuffix(".0")
        sign = SIGNED if text.startswith("-") else ATOM
        if "e" in text:
            digits, _, exponent = text.partition("e")
            return rf"{digits} \cdot 10^{{{int(exponent)}}}", min(sign, 2.0)
        if "/" in text:
            top, _, bottom = text.lstrip("-").partition("/")
            return rf"{'-' * (sign == SIGNED)}\frac{{{top}}}{{{bottom}}}", min(sign, 9.0)
        return text.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}"), sign


LATEX = Latex()


def _cut(row: Primitive, count: int) -> tuple[list[str], list[int]]:
    """A row's template as texts and, between them, operands; ValueError unless all are there."""
    texts = [""]
    places: list[int] = []
    for piece in _PIECE.findall(row.latex):
        if piece == "{all}":
            half = count // 2 if row.paired else 0  # two lists, as it is called
            texts[-1] += "[" * bool(half)
            texts += ["], [" if i == half else ", " for i in range(1, count)] + ["]" * bool(half)]
            places += range(count)
        elif piece[0] == "{" and piece[1:-1].isdigit():
            texts.append("")
            places.append(int(piece[1:-1]))
        else:
            texts[-1] += piece[:1] if piece in ("{{", "}}") else piece
    if set(places) != set(range(count)):
        raise ValueError(
            f"to_latex: latex={row.latex!r} of primitive {row.name!r} does not show its {count} "
            "operands, each once or more: write {0}, {1} or {all} for them, other braces twice"
        )
    return texts, places


def _least(row: Primitive, place: int, before: str, after: str) -> float:
    """What an operand between these two texts must have at least to stand without brackets."""
    if after.startswith("}^"):
        return _BASE
    if before.rstrip().endswith(_OPEN) and after.lstrip().startswith(_CLOSE):
        return 0
    return row.precedence + (_STRICTLY if place else 0)


def _precedence(row: Primitive, first: str, last: str, enclosed: bool) -> float:
    """The precedence of the whole: a template that encloses its operands is like a call."""
    if first.startswith("-"):
        return SIGNED
    if enclosed and last.endswith(r"\right)"):
        return _CALL
    if enclosed and last.endswith(("}", r"\right|", r"\right\rfloor")):
        return max(row.precedence, 9)
    return row.precedence


def _escaped(text: str) -> str:
    return "".join(map(_character, visible(text)))


def _character(c: str) -> str:
    if c.isascii() or c.isalpha() or unicodedata.combining(c):
        return _CHARACTERS.get(c, c)
    return rf"\text{{{c}}}"  # MathJax 3 knows no upright €
