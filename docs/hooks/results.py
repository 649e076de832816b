"""The page of benchmarks: tables of every file of results, below what its script says of itself."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_MACHINE = {"python": "Python {}", "cores": "{} cores"}
Record = tuple[tuple[str, ...], dict[str, Any]]  # where it stands, what was measured

_INTRODUCTION = """\
# Benchmarks

Every table is made from a file in `benchmarks/results`, and every file by one command, which stands
above it; `python -m benchmarks` runs them all. All engines take turns within one run, after their
results were found equal, since the speed of a machine drifts: **ratios say more than times**.
`times ours` is how many times our time the other one takes. What is measured, and how, is what the
script itself says.

Most of micrograd's time is the cyclic collector's, which its graphs give work to, so its ratio
moves from run to run. Tracing and compiling a function is paid once; it takes some microseconds an
operation where stretches repeat, and some ten times that where nothing does: see `unseen` below.
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the page."""
    lines = [_INTRODUCTION]
    for path in sorted((BENCHMARKS / "results").glob("*.json")):
        script = max(
            (p for p in BENCHMARKS.glob("*.py") if path.stem.startswith(p.stem)),
            key=lambda p: len(p.stem),
        )
        lines += ["", f"## {path.stem.replace('_', ' ')}", ""]
        lines += [str(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))), ""]
        lines += _section(json.loads(path.read_text(encoding="utf-8")))
    files.append(File.generated(config, "benchmarks.md", content="\n".join(lines)))
    return files


def _section(results: dict[str, Any]) -> Iterator[str]:
    """The machine, then the tables: results that stand side by side in one of them."""
    machine = results.pop("machine", {})
    versions = machine.pop("versions", {})
    told = [_MACHINE.get(name, "{}").format(value) for name, value in machine.items()]
    told += [f"{name} {number}" for name, number in versions.items()]
    general = {k: results.pop(k) for k, v in [*results.items()] if not isinstance(v, dict | list)}
    told += [f"{_words(k)}: {_cell(v)}" for k, v in general.items()]
    if told:
        yield f"*{', '.join(told)}*"
        yield ""

    for (title, *_), records in groupby(_records(results), key=_together):
        yield from _table(title, list(records))


def _together(record: Record) -> tuple[str, ...]:
    """What records of one table have in common, their title first."""
    at, measured = record
    if "measured" in measured:
        return ("",)
    return (at[0],) if len(at) > 1 else ("", *measured)


def _records(
    found: dict[str, Any], at: tuple[str, ...] = (), above: Any = None
) -> Iterator[Record]:
    """Every innermost dictionary, with the keys on the way there and the plain entries beside."""
    plain = {k: v for k, v in found.items() if not isinstance(v, dict | list)}
    inner = {k: v for k, v in found.items() if isinstance(v, dict | list) and v}
    if not inner and plain and "unit" in plain:  # a line for each, since what is measured differs
        unit = plain.pop("unit")
        yield from (((*at, name), {"measured": f"{_cell(v)} {unit}"}) for name, v in plain.items())
    elif not inner and plain:
        yield at, {**(above or {}), **plain}
    for name, value in inner.items():
        for part in value if isinstance(value, list) else [value]:
            yield from _records(part, (*at, name), {**(above or {}), **plain})


def _table(title: str, records: list[Record]) -> Iterator[str]:
    """Records as a table of Markdown: the keys that lead to them first, then what was measured."""
    shown = [at[1:] if title else at for at, _ in records]
    keys = max(map(len, shown))
    columns = list(dict.fromkeys(name for _, record in records for name in record))
    if title:
        yield f"**{_words(title)}**"
        yield ""
    yield "| " + " | ".join([""] * keys + [_words(name) for name in columns]) + " |"
    yield "|" + "---|" * keys + "--:|" * len(columns)
    above: tuple[str, ...] = ()
    for at, (_, record) in zip(shown, records, strict=True):
        same = above[:-1] == at[:-1]
        cells = ["" if same and i < len(at) - 1 else _words(name) for i, name in enumerate(at)]
        cells += [""] * (keys - len(at)) + [_cell(record.get(name)) for name in columns]
        yield "| " + " | ".join(cells) + " |"
        above = at
    yield ""


def _words(name: str) -> str:
    return (
        name
        if name == "tinygrad_scalar"
        else name.replace("_", " ").replace("us a", "µs a").replace("|", "\\|")
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return _words(str(value))
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
