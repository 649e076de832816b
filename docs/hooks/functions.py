"""The page of all functions: a table made from the rows, with a plot of value and derivatives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from io import StringIO
from itertools import pairwise
from typing import Any

from mkdocs.structure.files import File, Files

# Legible on white and on black alike.
_BLUE, _ORANGE = ("#2f81f7", "#d9730d")
_GREY = "#818b98"
_OTHERS = (1.5, 0.5, 2.5)  # where the operands stand that are not moved
_POINTS = 400
_EDGE = 8.0

_INTRODUCTION = """\
# Functions

Every row of the table of operations, told by the row itself. Of a `Value` each makes a `Value`, of
plain numbers a plain number; all but those of a list are methods of `Value` too. The plot shows the
<span style="color:#2f81f7">**value in blue**</span> and the
<span style="color:#d9730d">**derivative in orange**</span>; of several operands the first one
moves, and the line below the plot says where the others stand.

"""
_MEMBERS = """

## Each function

::: tinygrad_scalar.functions
    options:
      show_root_heading: false
      show_root_toc_entry: false

## The rest of `math`

The constants `pi`, `e`, `tau`, `inf` and `nan`, and `fabs`, which is `abs`. `comb`, `factorial`,
`gcd`, `isqrt`, `lcm` and `perm` look at the data and give plain numbers; `frexp`, `nextafter` and
`ulp` take plain numbers only.

::: tinygrad_scalar.plain
    options:
      show_root_heading: false
      show_root_toc_entry: false
      heading_level: 3
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the page and its plots."""
    for uri, content in pages():
        files.append(File.generated(config, uri, content=content))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """The plot of every row that people write, and last the page."""
    import tinygrad_scalar
    from tinygrad_scalar.core.primitives import TABLE

    lines = []
    for name, row in sorted(TABLE.items()):
        public = hasattr(tinygrad_scalar, name)
        if public or row.operator:
            svg, caption = _plot(row)
            yield f"reference/functions/{name}.svg", svg
            lines.append(_line(row, public, caption))
    table = "\n".join(['<table class="functions"><tbody>', *lines, "</tbody></table>"])
    yield "reference/functions.md", f"{_INTRODUCTION}{table}{_MEMBERS}"


# ── the table ─────────────────────────────────────────────────────────────────────────────────
def _line(row: Any, public: bool, caption: str) -> str:
    """A row of the page: name and formula, what is known of it, its plot."""
    lines = row.__doc__.split("\n\n>>>")[0].splitlines()
    head, meaning = _called(row) if public else lines[0].split(": ", 1)
    name = f"<code>{escape(head)}</code>"
    if public:
        name = f'<a href="#tinygrad_scalar.functions.{row.name}">{name}</a>'
    else:
        name += f", the operator <code>{escape(row.operator)}</code>"
    facts = [line.split(": ", 1) for line in lines[1:] if ": " in line]
    told = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    formula = f'<span class="arithmatex">\\({escape(_formula(row))}\\)</span>'
    image = (
        f'<img src="functions/{row.name}.svg" loading="lazy" width="220" height="132" '
        f'alt="{escape(row.name)} and its derivative"><small>{escape(caption)}</small>'
    )
    return (
        f'<tr><th scope="row">{name}<br>{formula}<br><small>{escape(meaning)}</small></th>'
        f"<td><dl>{told}</dl></td><td>{image}</td></tr>"
    )


def _called(row: Any) -> tuple[str, str]:
    """How people call it and what it gives: the row itself, or a function that knows more."""
    import inspect

    import tinygrad_scalar

    function = getattr(tinygrad_scalar, row.name)
    if function is row:
        head, meaning = row.__doc__.splitlines()[0].split(": ", 1)
        return head, meaning
    shown = [x.replace(annotation=x.empty) for x in inspect.signature(function).parameters.values()]
    told = inspect.getdoc(function).split("\n\n")[0]
    return f"{row.name}({', '.join(map(str, shown))})", " ".join(told.split())


def _formula(row: Any) -> str:
    if row.arity is None:
        return str(row.latex.format("x_1", "x_2", all=r"x_1, \ldots, x_n"))
    operands = _operands(row)
    return str(row.latex.format(*operands, all=", ".join(operands)))


def _operands(row: Any) -> list[str]:
    return str(row.__doc__).partition("(")[2].partition(")")[0].split(", ")


# ── the plots ─────────────────────────────────────────────────────────────────────────────────
def _plot(row: Any) -> tuple[str, str]:
    """An SVG of value and derivative over the first operand, and where the others stand."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    xs, ys, slopes, others = _sampled(row)
    lowest, highest = _reach(ys, slopes)
    style = {"svg.fonttype": "none", "svg.hashsalt": row.name, "font.family": ["sans-serif"]}
    text = StringIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=(2.2, 1.32))
        axes = figure.subplots()
        axes.axhline(0, color=_GREY, linewidth=0.4)
        axes.plot(xs, ys, color=_BLUE, linewidth=1.5)
        axes.plot(xs, slopes, color=_ORANGE, linewidth=1.2)
        axes.set_ylim(lowest, highest)
        axes.tick_params(labelsize=6, colors=_GREY, length=2, width=0.4)
        for side in ("left", "bottom"):
            axes.spines[side].set(color=_GREY, linewidth=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        figure.subplots_adjust(left=0.12, right=0.98, bottom=0.13, top=0.97)
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    if row.arity is None:
        return text.getvalue(), f"the others: {', '.join(f'{x:g}' for x in others)}"
    named = zip(_operands(row)[1:], others, strict=True)
    return text.getvalue(), ", ".join(f"{name} = {x:g}" for name, x in named)


def _sampled(row: Any) -> tuple[Any, ...]:
    """Points, values and derivatives with NaN where either jumps, and the other operands."""
    from tinygrad_scalar import Value

    others = sorted(_OTHERS[: (row.arity or (4 if row.paired else 3)) - 1])
    interval = row.domain[0]
    low, high = max(interval.low, -4.0), min(interval.high, 4.0)
    xs = [low + (high - low) * i / _POINTS for i in range(_POINTS + 1)]
    ys, slopes = [], []
    for x in map(Value, xs):
        try:
            y = row(x, *others)
            slope = y.backward(undefined="nan").get(x, 0.0)
        except (ArithmeticError, ValueError):
            ys.append(math.nan)
            slopes.append(math.nan)
        else:
            ys.append(y.data)
            slopes.append(slope)
    return xs, _parted(ys), _parted(slopes), others


def _parted(ys: Sequence[float]) -> list[float]:
    """The same with NaN before a jump: a difference ten times those on both sides of it."""
    steps = [abs(b - a) for a, b in pairwise(ys)]
    parted = list(ys)
    for i in range(1, len(steps) - 1):
        around = max(
            [s for s in (steps[i - 1], steps[i + 1]) if math.isfinite(s)], default=math.inf
        )
        if steps[i] > 0.05 + 10 * around or (ys[i] * ys[i + 1] < 0 and steps[i] > 2 * _EDGE):
            parted[i] = math.nan
    return parted


def _reach(ys: Sequence[float], slopes: Sequence[float]) -> tuple[float, float]:
    """What the axis shows: nine tenths of the finite numbers, not far beyond ±8, with a margin."""
    kept = sorted(x for x in (*ys, *slopes) if math.isfinite(x))
    edge = max(_EDGE, 1.2 * min(abs(x) for x in slopes if math.isfinite(x)))
    rare = len(kept) // 20
    low, high = max(-edge, min(kept[rare], 0.0)), min(edge, max(kept[-1 - rare], 0.0))
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin
