"""Plots by matplotlib: loss curves, decision regions, gradient norms, difference quotients.

Each function gives a `Plot`, which shows itself in a notebook and saves itself, or draws on the
`axes` it is given. No global state of matplotlib is touched and no display is needed.
"""

from __future__ import annotations

import io
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tinygrad_scalar.core.context import no_grad
from tinygrad_scalar.core.tree import array_in, by_position
from tinygrad_scalar.core.value import Value

_COLOURS = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#9a6700", "#cf222e", "#0a7a83", "#6e7781")
_DOTS = 150  # per inch of a PNG, in notebooks and files
_STRIP = 4  # times as long as it is wide: a plane with more of it is drawn in two scales
_GRID = 60  # points a side at which a model is asked


class Plot:
    """A matplotlib figure, `figure`, and the `axes` that were drawn on."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes
        self.figure = axes.figure

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure, atomically, as .png, .svg or .pdf by the suffix.

        Errors: ValueError for another suffix, OSError naming the path.
        """
        from tinygrad_scalar.files import suffix_of, write_atomically

        suffix = suffix_of(path)
        if suffix not in ("png", "svg", "pdf"):
            raise ValueError(f"{os.fspath(path)!r}: a plot is saved as .png, .svg or .pdf")
        write_atomically(path, self._rendered(suffix))

    def _rendered(self, suffix: str) -> bytes:
        picture = io.BytesIO()
        self.figure.savefig(picture, format=suffix, dpi=_DOTS)
        return picture.getvalue()

    def _repr_png_(self) -> bytes:
        return self._rendered("png")


def loss_curve(losses: Any, *, axes: Any = None) -> Plot:
    """The loss by step, on a logarithmic scale while all of it is positive.

    `losses` is a sequence of numbers, a mapping from names to such sequences, or a `History` of
    `nn.fit` (its loss, and its validation loss if there is one).
    Errors: ImportError without matplotlib, ValueError if there is no loss at all.
    Source: *Deep Learning*, section 8.1.

    >>> loss_curve([2.0, 0.5, 0.25]).axes.get_yscale()
    'log'
    """
    curves = _curves(losses)
    if not any(curves.values()):
        raise ValueError("loss_curve: there are no losses; give one number for each step")
    plot = Plot(_axes(axes, "step", "loss"))
    for (name, curve), colour in zip(curves.items(), _cycled(len(curves)), strict=True):
        plot.axes.plot(range(1, len(curve) + 1), curve, label=name, color=colour, linewidth=1.5)
    if all(x > 0 for curve in curves.values() for x in curve):
        plot.axes.set_yscale("log")
    return _with_legend(plot, len(curves) > 1)


def decision_regions(
    model: Callable[[list[float]], Any],
    X: Any,
    y: Any,
    *,
    axes: Any = None,
) -> Plot:
    """The plane coloured by the class that `model` gives each point, with the examples on it.

    `X` and `y` are lists, arrays, or a frame and a column of pandas; classes count from 0.
    `model` takes a list of two numbers and gives a class index (an int), a list of scores, one per
    class, or a single score, positive for class 1. The border between two classes is where their
    scores are equal, drawn smoothly between the points asked; of class indices alone it has steps.
    Both axes have one scale, unless that would make a strip of the plane.
    Cost: 3,600 forwards, nothing is recorded.
    Errors: ImportError without matplotlib; ValueError unless `X` holds pairs, as many as `y`, and
    `y` classes.
    Source: *Deep Learning*, figure 6.1.
    """
    X, y = by_position(X), by_position(y)
    if not len(X) or len(X) != len(y) or any(len(x) != 2 for x in X):
        raise ValueError(
            "decision_regions: X is a list of pairs of numbers, points of the plane, and y a class "
            "index for each"
        )
    for t in y:
        if isinstance(t, str) or t < 0 or t % 1 != 0:
            raise ValueError(
                f"decision_regions: {t} in y is no class index: 0, 1, … (of labels −1 and 1, "
                "[int(t > 0) for t in y])"
            )
    plot = Plot(_axes(axes, "x₁", "x₂"))
    across, up = (_span([float(x[i]) for x in X]) for i in (0, 1))
    with no_grad():
        asked = [[_scores(model([a, b])) for a in across] for b in up]
    classes = max(1 + max(map(int, y)), *(len(scores) for row in asked for scores in row))
    for label, colour in enumerate(_cycled(classes)):
        lead = [[_lead(scores, label) for scores in row] for row in asked]
        if any(x >= 0 for row in lead for x in row):
            plot.axes.contourf(across, up, lead, levels=[0, math.inf], colors=[colour], alpha=0.25)
        points = [x for x, t in zip(X, y, strict=True) if int(t) == label]
        style = {"s": 16, "color": colour, "edgecolors": "white", "linewidths": 0.5, "zorder": 3}
        name = {"label": f"class {label}"} if points else {}
        plot.axes.scatter([x[0] for x in points], [x[1] for x in points], **style, **name)
    wide, high = across[-1] - across[0], up[-1] - up[0]
    plot.axes.set_aspect("equal" if max(wide, high) < _STRIP * min(wide, high) else "auto")
    plot.axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return plot


def gradient_norms(networks: Mapping[str, Sequence[Iterable[Value]]], *, axes: Any = None) -> Plot:
    """The length of the gradient of each layer, for several networks side by side, by depth.

    A network is a list of layers, the one next to the inputs first, and a layer the Values in it,
    such as `layer.parameters()`, after a `backward`: √Σ grad². Logarithmic; a gradient of 0 is
    left out. Errors: ImportError without matplotlib, ValueError for no networks or no layers.
    Source: *Deep Learning*, sections 6.3.2 and 8.2.5 (vanishing gradients).

    >>> weights = [[Value(1.0)], [Value(1.0)]]
    >>> weights[0][0].grad, weights[1][0].grad = 0.01, 1.0
    >>> (line,) = gradient_norms({"sigmoid": weights}).axes.lines
    >>> [float(norm) for norm in line.get_ydata()]
    [0.01, 1.0]
    """
    if not networks or not all(networks.values()):
        raise ValueError("gradient_norms: give each network as a list of layers, at least one")
    plot = Plot(_axes(axes, "layer", "norm of the gradient"))
    for (name, layers), colour in zip(networks.items(), _cycled(len(networks)), strict=True):
        norms = [math.hypot(*(float(value.grad) for value in layer)) for layer in layers]
        shown = [norm or math.nan for norm in norms]
        style = {"marker": "o", "markersize": 4, "linewidth": 1.5}
        plot.axes.plot(range(1, len(norms) + 1), shown, label=name, color=colour, **style)
    plot.axes.set_yscale("log")
    plot.axes.xaxis.get_major_locator().set_params(integer=True)
    return _with_legend(plot, shown=True)


def difference_quotient(
    f: Callable[[Any], Any], x: float, *, steps: Sequence[float] | None = None, axes: Any = None
) -> Plot:
    """The error of difference quotients of `f` at `x` against their step, on logarithmic scales.

    One-sided (f(x + h) − f(x)) / h and central (f(x + h) − f(x − h)) / 2h, compared with the
    gradient by back-propagation. Truncation falls with h, rounding grows as h falls: the best
    steps, near √ε and ∛ε, are marked. Errors: ImportError without matplotlib; those of `f`.
    Source: *Deep Learning*, section 11.5 (checking derivatives by finite differences).

    >>> from tinygrad_scalar import sin
    >>> plot = difference_quotient(lambda x: sin((2 * x + 1) ** 2), 0.5)
    >>> [line.get_label() for line in plot.axes.lines[:2]]
    ['one-sided', 'central']
    """
    steps = steps if steps is not None else [10 ** (-k / 8) for k in range(8, 8 * 15 + 1)]
    leaf = Value(x)
    exact = float(f(leaf).backward(inputs=[leaf])[leaf])
    plot = Plot(_axes(axes, "step h", "error"))
    with no_grad():
        here = _number(f(x))
        ahead = [_number(f(x + h)) for h in steps]
        behind = [_number(f(x - h)) for h in steps]
    one_sided = [(a - here) / h for a, h in zip(ahead, steps, strict=True)]
    central = [(a - b) / (2 * h) for a, b, h in zip(ahead, behind, steps, strict=True)]
    for name, quotients, colour in (
        ("one-sided", one_sided, _COLOURS[1]),
        ("central", central, _COLOURS[0]),
    ):
        errors = [abs(quotient - exact) or math.nan for quotient in quotients]
        plot.axes.loglog(steps, errors, label=name, color=colour, linewidth=1.5)
    for power, name, colour in ((1 / 2, "√ε", _COLOURS[1]), (1 / 3, "∛ε", _COLOURS[0])):
        best = 2.0 ** (-52 * power)
        plot.axes.axvline(best, color=colour, linewidth=0.8, linestyle=":")
        place = plot.axes.get_xaxis_transform()
        plot.axes.text(best, 1.01, name, color=colour, ha="center", transform=place)
    return _with_legend(plot, shown=True)


# ── what the plots share ──────────────────────────────────────────────────────────────────────
def _axes(axes: Any, across: str, up: str) -> Any:
    """The axes given, or those of a figure of its own that needs no display; with their names."""
    if axes is None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            raise ImportError(
                'plots are drawn by matplotlib: pip install "tinygrad_scalar[plot]"'
            ) from None
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return axes


def _with_legend(plot: Plot, shown: bool) -> Plot:
    if shown:
        plot.axes.legend(frameon=False)
    return plot


def _curves(losses: Any) -> dict[str, list[float]]:
    if hasattr(losses, "loss"):
        named = {"training": losses.loss, "validation": getattr(losses, "val_loss", None)}
    else:
        named = dict(losses) if isinstance(losses, Mapping) else {"loss": losses}
    curves = {name: [] if x is None else list(map(_number, x)) for name, x in named.items()}
    return {name: curve for name, curve in curves.items() if curve}


def _scores(result: Any) -> list[float]:
    """One score a class, from a list of them, a single score of class 1, or a class index."""
    if isinstance(result, (list, tuple)) or array_in(result) is not None:
        return [_number(score) for score in result]
    if not isinstance(result, Value) and hasattr(result, "__index__"):
        return [-1.0] * operator.index(result) + [1.0]
    score = _number(result)
    return [-score, score]


def _lead(scores: Sequence[float], label: int) -> float:
    """By how much a class is ahead of all others; not at all where it has no score."""
    if label >= len(scores):
        return -1.0
    others = [score for i, score in enumerate(scores) if i != label]
    return scores[label] - max(others, default=scores[label] - 1.0)


def _number(x: Any) -> float:
    return float(x.data if isinstance(x, Value) else x)


def _span(numbers: Sequence[float]) -> list[float]:
    """Equally spaced numbers from a little below the smallest to a little above the largest."""
    low, high = min(numbers), max(numbers)
    margin = 0.1 * (high - low) or 1.0
    return [low - margin + (high - low + 2 * margin) * i / (_GRID - 1) for i in range(_GRID)]


def _cycled(n: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(n)]
