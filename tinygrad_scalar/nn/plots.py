"""Pictures of training, by matplotlib: decision regions and the loss by step."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygrad_scalar.nn.classes import predictions
from tinygrad_scalar.nn.files import replace_file
from tinygrad_scalar.nn.module import Module

_GRID = 60  # points a side at which the model is asked
_COLOURS = ("#4878cf", "#d65f5f", "#6acc65", "#b47cc7", "#c4ad66", "#77bedb")


def decision_regions(
    model: Module, X: Sequence[Sequence[float]], y: Sequence[int], axes: Any = None
) -> Any:
    """The plane coloured by the class that `model` gives each point, and the examples on it.

    Draws on matplotlib `axes`, or on a figure of its own; gives the figure. Cost: 3,600 forwards.
    Errors: ImportError without matplotlib; ValueError unless the examples are pairs of numbers.
    """
    if any(len(x) != 2 for x in X):
        raise ValueError("decision_regions: X is a list of pairs of numbers, points of the plane")
    axes = axes if axes is not None else _axes()
    across, up = (_span([x[i] for x in X]) for i in (0, 1))
    regions = [[label for label, _ in predictions(model, [[a, b] for a in across])] for b in up]
    classes = 1 + max(*map(max, regions), *y)
    for label in range(classes):
        colour = _COLOURS[label % len(_COLOURS)]
        inside = [[float(region == label) for region in row] for row in regions]
        if any(map(any, inside)):
            axes.contourf(across, up, inside, levels=[0.5, 1.5], colors=[colour], alpha=0.3)
        points = [x for x, t in zip(X, y, strict=True) if t == label]
        axes.scatter([x[0] for x in points], [x[1] for x in points], s=12, color=colour, zorder=3)
    axes.set_aspect("equal")
    return axes.figure


def loss_curve(losses: Sequence[float], axes: Any = None) -> Any:
    """The loss by step, on a logarithmic scale. Errors: ImportError without matplotlib."""
    axes = axes if axes is not None else _axes()
    axes.semilogy(range(1, len(losses) + 1), losses, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    return axes.figure


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the suffix, whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:] or "png", dpi=120)
    replace_file(path, picture.getvalue())


def _axes() -> Any:
    """Axes of a figure that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            'pictures come with matplotlib: pip install "tinygrad_scalar[plot]"'
        ) from None
    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _span(numbers: Sequence[float]) -> list[float]:
    """Equally spaced numbers from a little below the smallest to a little above the largest."""
    low, high = min(numbers), max(numbers)
    margin = 0.1 * (high - low) or 1.0
    return [low - margin + (high - low + 2 * margin) * i / (_GRID - 1) for i in range(_GRID)]
