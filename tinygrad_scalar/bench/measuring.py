"""Contenders taking turns, their medians, and a table with the bar beside each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

TOLERANCE = 1e-9  # of the largest number: nothing is timed before it is right


class Contender(NamedTuple):
    """Somebody's way to do a work: a run to be timed, or the seconds it took already."""

    name: str
    run: Callable[[], Any] | None = None
    amount: float = 1.0  # points or operations of a run
    seconds: float | None = None
    ratio: float | None = None  # the bar: ours takes at most this many times its time
    limit: float | None = None  # the bar: it takes at most this, in the unit of the work


class Work(NamedTuple):
    """A work: its title, its unit of time, who does it (ours first), and who is not here."""

    title: str
    unit: str
    per_second: float
    contenders: list[Contender]
    missing: Sequence[str] = ()


class Row(NamedTuple):
    """What was measured: a time in the unit, ours over it, the bar, and whether it is kept."""

    name: str
    time: float
    ours: float | None
    bar: str
    kept: bool | None


def agree(name: str, actual: Iterable[Any], expected: Iterable[Any]) -> None:
    """ArithmeticError unless every row of numbers is within 1e-9 of its largest."""
    for ours, theirs in zip(actual, expected, strict=True):
        if hasattr(theirs, "shape"):
            error = float(abs(ours - theirs).max() / abs(theirs).max())
        else:
            scale = max(map(abs, theirs))
            errors = [abs(a - b) / scale for a, b in zip(ours, theirs, strict=True)]
            error = max(errors, key=lambda x: (x != x, x))  # a NaN is the worst  # noqa: PLR0124
        if not error <= TOLERANCE:
            raise ArithmeticError(f"{name}: its results are off by {error:.1e} of the largest")


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `action()` took, and what it returned."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def medians(runs: Sequence[Callable[[], Any]], rounds: int, seconds: float) -> list[float]:
    """The median time of each in seconds: in every round each runs for about `seconds`."""
    calls = []
    for run in runs:
        run()  # warms up, and builds what is built at the first call
        calls.append(max(1, int(seconds / max(timed(run)[0], 1e-8))))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, count, own in zip(runs, calls, times, strict=True):
            start = time.perf_counter()
            for _ in range(count):
                run()
            own.append((time.perf_counter() - start) / count)
    return [median(own) for own in times]


def measured(work: Work, rounds: int = 5, seconds: float = 0.05) -> list[Row]:
    """A row for every contender, the times in the work's unit."""
    runs = [contender.run for contender in work.contenders if contender.run is not None]
    found = iter(medians(runs, rounds, seconds))
    times = [
        work.per_second * (next(found) / one.amount if one.seconds is None else one.seconds)
        for one in work.contenders
    ]
    return [_row(one, own, times[0]) for one, own in zip(work.contenders, times, strict=True)]


def _row(contender: Contender, own: float, ours: float) -> Row:
    if contender.limit is not None:
        return Row(contender.name, own, None, f"≤ {contender.limit:g}", own <= contender.limit)
    over = None if own == ours else ours / own
    if contender.ratio is None or over is None:
        return Row(contender.name, own, over, "", None)
    return Row(contender.name, own, over, f"≤ {contender.ratio:.3g} ×", over <= contender.ratio)


def _shown(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def table(work: Work, rows: Sequence[Row]) -> str:
    """The rows of a work as a table in Markdown, with those not here named below."""
    cells = [["", work.unit, "ours is", "bar", ""], ["-", "-:", "-:", "-:", "-"]]
    for row in rows:
        verdict = {True: "kept", False: "missed", None: ""}[row.kept]
        over = "" if row.ours is None else f"{_shown(row.ours)} ×"
        cells.append([row.name, _shown(row.time), over, row.bar, verdict])
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    text = [f"{work.title}", ""]
    for k, line in enumerate(cells):
        padded = []
        for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
            number = cells[1][i] == "-:"
            if k == 1:
                padded.append("-" * (width - 1) + (":" if number else "-"))
            else:
                padded.append(cell.rjust(width) if number else cell.ljust(width))
        text.append(f"| {' | '.join(padded)} |")
    if work.missing:
        text += ["", f"not installed: {', '.join(work.missing)}"]
    return "\n".join(text)
