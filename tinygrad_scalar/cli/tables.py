"""A table of one's own: a CSV file with a header, one of whose columns the others are to tell."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tinygrad_scalar import data
from tinygrad_scalar.cli.tasks import Recipe, Task, adam
from tinygrad_scalar.files import read_text
from tinygrad_scalar.nn.layers import MLP
from tinygrad_scalar.nn.losses import cross_entropy

_LEAST = 5  # examples, of which one is for the test
_HIDDEN = 16  # neurons
_NAMED = 20  # columns or classes that a message lists


class Table(NamedTuple):
    """Examples with their class numbers, and what those numbers mean."""

    classes: list[str]
    X: list[list[float]]
    y: list[int]


def table_task(table: Table, name: str) -> Task:
    """What `train` does with a table: 16 hidden neurons, which learn from four fifths of it."""
    widths = [_HIDDEN, len(table.classes)]
    return Task(
        name,
        lambda seed: data.split(table.X, table.y, seed=seed),
        lambda seed: MLP(len(table.X[0]), widths, init="he", seed=seed),
        cross_entropy,
        Recipe(500, 20, adam(0.02)),
    )


class Standard(NamedTuple):
    """Numbers less the mean of their column, over its standard deviation; 1 where all are equal.

    Their mean is rounded, so that the deviation is not 0 then, but as small as rounding is.
    """

    means: list[float]
    deviations: list[float]

    @classmethod
    def of(cls, X: Sequence[Sequence[float]]) -> Self:
        """The means and deviations of the columns.

        >>> Standard.of([[1.0, 5.0], [3.0, 5.0]])
        Standard(means=[2.0, 5.0], deviations=[1.0, 1.0])
        """
        columns, size = list(zip(*X, strict=True)), len(X)
        means = [math.fsum(x / size for x in column) for column in columns]
        deviations = [_deviation(*pair) for pair in zip(columns, means, strict=True)]
        return cls(means, deviations)

    def __call__(self, X: Sequence[Sequence[float]]) -> list[list[float]]:
        """The examples in these units."""
        return [
            [(x - mean) / deviation for x, mean, deviation in zip(row, *self, strict=True)]
            for row in X
        ]

    def built_into(self, model: Any) -> None:
        """Give the first layer the weights with which it takes numbers as they are in the table."""
        for neuron in model.layers[0].neurons:
            for w, mean, deviation in zip(neuron.w, *self, strict=True):
                w.data /= deviation
                neuron.b.data -= w.data * mean


def _deviation(column: Sequence[float], mean: float) -> float:
    if max(column) == min(column):
        return 1.0
    return math.hypot(*(x - mean for x in column)) / math.sqrt(len(column)) or 1.0


# ── reading ───────────────────────────────────────────────────────────────────────────────────
def read_table(path: Path, target: str | None) -> Table:
    """The examples in a CSV file: `target` is the column of the classes, the others hold numbers.

    The first line names the columns. Classes are words or whole numbers, numbered in their order.
    Errors: ValueError naming file, line and column; OSError for a file that cannot be read.
    """
    (_, header), *lines = lines_of(path) or [(1, [])]
    place = _place(path, header, target)
    if len(lines) < _LEAST:
        raise ValueError(f"{path}: {len(lines)} lines below the header: give at least {_LEAST}")
    found = [_example(cells, header, place, f"{path}, line {number}") for number, cells in lines]
    labels = [label for _, label in found]
    classes = _classes(labels, f"{path}, column {target!r}")
    number_of = {name: k for k, name in enumerate(classes)}
    return Table(classes, [numbers for numbers, _ in found], [number_of[x] for x in labels])


def lines_of(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a CSV file that are not blank, each with its number, cells without blanks.

    Commas, semicolons or tabs stand between them, whichever the first line has most of outside of
    quotes.
    Errors: ValueError for what is no text or no table.
    """
    line = ""
    try:
        text = read_text(path)
        first = re.sub('"[^"]*"', "", re.sub(r"^\s*\n", "", text)).partition("\n")[0]
        between = max(",;\t", key=first.count)
        # strict: a quote that nobody closes would take the lines below it for one cell
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
        lines = []
        for cells in reader:
            lines.append((reader.line_num, [cell.strip() for cell in cells]))
            line = f", after line {reader.line_num}"
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}{line}: no table of numbers with commas between them ({error})"
        ) from None
    return [(number, cells) for number, cells in lines if cells not in ([], [""])]


def listed(names: Sequence[str]) -> str:
    """Names with commas between them, of many the first."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _place(path: Path, header: Sequence[str], target: str | None) -> int:
    """Where the column of the classes stands in a header that names every column once."""
    for k, name in enumerate(header):
        if not name:
            raise ValueError(
                f"{path}, line 1: column {k + 1} has no name: give it one, or leave it out "
                "(of pandas, to_csv(index=False))"
            )
        if name in header[:k]:
            raise ValueError(f"{path}, line 1: two columns are named {name!r}: rename one")
    if target not in header:
        missing = "give --target COLUMN" if target is None else f"there is no column {target!r}"
        raise ValueError(f"{path}: {missing}: the first line names {listed(header) or 'none'}")
    if len(header) == 1:
        raise ValueError(f"{path} has the column {target!r} alone: give others to tell it from")
    return header.index(target)


def _example(
    cells: Sequence[str], header: Sequence[str], place: int, where: str
) -> tuple[list[float], str]:
    """The numbers of a line, and its class."""
    if len(cells) != len(header):
        raise ValueError(f"{where}: {len(cells)} cells, and the header has {len(header)}")
    numbers = [
        _number(cell, f"{where}, column {name!r}")
        for k, (cell, name) in enumerate(zip(cells, header, strict=True))
        if k != place
    ]
    if not cells[place]:
        raise ValueError(f"{where}, column {header[place]!r}: the cell is empty: give a class")
    return numbers, cells[place]


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        what = f"{cell!r} is no number" if cell else "the cell is empty"
        raise ValueError(f"{where}: {what}: give a number, or leave line or column out") from None
    if not math.isfinite(number):
        raise ValueError(f"{where}: {cell} is not finite: give a number, or leave the line out")
    return number


def _classes(labels: Sequence[str], where: str) -> list[str]:
    """The different labels in order, whole numbers by size."""
    found = set(labels)
    if len(found) < 2:
        raise ValueError(f"{where} has {labels[0]!r} in every line: give two classes or more")
    if len(found) > max(2, len(labels) // 2) or any(map(_is_measured, found)):
        raise ValueError(
            f"{where} has {len(found)} different values in {len(labels)} lines: train tells "
            "classes apart; for a quantity use nn.fit in Python, with nn.mean_squared_error"
        )
    return sorted(
        found, key=lambda x: (float(x) if x.removeprefix("-").isdecimal() else math.inf, x)
    )


def _is_measured(label: str) -> bool:
    """Whether it is a number with a fraction."""
    try:
        return not float(label).is_integer()
    except (OverflowError, ValueError):
        return False
