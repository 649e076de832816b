"""Pages made when the site is built: notebooks, the table of functions, benchmarks, the changelog.

Each is made from what it shows (the notebook that is run, the row, the file of results), so that no
page can tell another story than the code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: Any) -> Files:
    """Add what is made to what stands in docs/."""
    for uri, content in (*_notebooks(), *_functions(), *_benchmarks(), _changelog()):
        files.append(File.generated(config, uri, content=content))
    return files


# ── notebooks, run ────────────────────────────────────────────────────────────────────────────
def _notebooks() -> Iterator[tuple[str, str | bytes]]:
    import nbclient
    import nbformat
    from nbconvert import MarkdownExporter

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        try:
            nbclient.execute(notebook, cwd=str(path.parent), timeout=600, kernel_name="python3")
        except nbclient.exceptions.CellExecutionError as error:
            raise PluginError(f"notebooks/{path.name}: {error}") from None
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                _prefer_what_can_be_read(output)
        body, resources = MarkdownExporter().from_notebook_node(
            notebook, {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        )
        body = re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", body)
        body += f"\n\n[The notebook itself](../{path.stem}.ipynb){{ download }}\n"
        yield f"notebooks/{path.stem}.md", body.replace(f"../{path.stem}.ipynb", f"{path.name}")
        yield f"notebooks/{path.name}", path.read_bytes()
        for name, data in resources.get("outputs", {}).items():
            yield f"notebooks/{name}", data


def _prefer_what_can_be_read(output: Any) -> None:
    """Pages and pictures inline as HTML stay, of other outputs the plainest kind of picture."""
    data = output.get("data", {})
    if "image/svg+xml" in data or "image/png" in data:
        data.pop("text/html", None)


# ── the functions, from their rows ────────────────────────────────────────────────────────────
def _functions() -> Iterator[tuple[str, str | bytes]]:
    import tinygrad_scalar
    from tinygrad_scalar import primitives

    lines = [
        "# Functions",
        "",
        (
            "Every row of the table, made from the row itself: formula, domain, the number that "
            "stands for the derivative at kinks, and value (blue) and derivative (orange)."
        ),
        "",
        "| function | formula | domain | derivative, subgradient at kinks | |",
        "|---|---|---|---|---|",
    ]
    for name, row in sorted(primitives.TABLE.items()):
        if not hasattr(tinygrad_scalar, name):
            continue
        picture = ""
        if row.arity == 1:
            yield f"reference/functions/{name}.svg", _plot(row)
            picture = f"![{name} and its derivative](functions/{name}.svg){{ width=180 }}"
        domain = " × ".join(map(str, row.domain)) if row.arity else "(−∞, ∞) each"
        slopes = ", ".join(f"{x:g}" for x in row.subgradient) if _has_kinks(row) else ""
        lines.append(
            f"| `{name}` | ${_formula(row)}$ | {domain} | "
            f"{f'at kinks {slopes}' if slopes else ''} | {picture} |"
        )
    yield "reference/functions.md", "\n".join([*lines, "", *_members()])


def _members() -> Iterator[str]:
    yield "## Each function"
    yield ""
    yield "::: tinygrad_scalar.functions"
    yield "    options:"
    yield "      show_root_heading: false"
    yield "      show_root_toc_entry: false"


def _formula(row: Any) -> str:
    names = ["x", "y", "z", "w"]
    if row.arity is None:
        return str(row.latex.format("x_1", "x_2", all=r"x_1, \ldots, x_n"))
    operands = names[: row.arity]
    return str(row.latex.format(*operands, all=", ".join(operands)))


def _has_kinks(row: Any) -> bool:
    points = (0.0, 0.5, 1.0, -1.0, 2.0)
    try:
        return any(bool(row.kinks(*[p] * (row.arity or 2))) for p in points)
    except (ArithmeticError, TypeError, ValueError):
        return False


def _plot(row: Any) -> str:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    from tinygrad_scalar import Value

    interval = row.domain[0]
    low, high = max(interval.low, -4.0), min(interval.high, 4.0)
    xs, ys, slopes = [], [], []
    for i in range(401):
        x = Value(low + (high - low) * i / 400)
        try:
            y = row(x)
            slope = y.backward(undefined="nan")[x]
        except (ArithmeticError, ValueError):
            continue
        xs.append(x.data)
        ys.append(y.data if abs(y.data) < 8 else math.nan)
        slopes.append(slope if abs(slope) < 8 else math.nan)
    figure, axes = plt.subplots(figsize=(2.6, 1.6))
    axes.plot(xs, ys, color="#0969da", linewidth=1.4)
    axes.plot(xs, slopes, color="#bc4c00", linewidth=1.1)
    axes.axhline(0, color="#818b98", linewidth=0.5)
    axes.tick_params(labelsize=6)
    text = StringIO()
    figure.savefig(text, format="svg", transparent=False, bbox_inches="tight")
    plt.close(figure)
    return text.getvalue()


# ── benchmarks and changes ────────────────────────────────────────────────────────────────────
def _benchmarks() -> Iterator[tuple[str, str]]:
    lines = [
        "# Benchmarks",
        "",
        (
            "Made from the files of results in `benchmarks/results`; the machine has two cores. "
            "Every table is of one run, since the speed of a machine drifts; its commands stand in "
            "`benchmarks/`: `python -m benchmarks` runs all of them."
        ),
    ]
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        lines += ["", f"## {path.stem.replace('_', ' ')}", ""]
        lines += _table(json.loads(path.read_text(encoding="utf-8")))
    yield "benchmarks.md", "\n".join(lines)


def _table(results: Any, title: str = "") -> list[str]:
    """Nested results as Markdown: plain entries in one table, nested ones below their title."""
    if not isinstance(results, dict):
        return [str(results)]
    plain = {k: v for k, v in results.items() if not isinstance(v, dict | list)}
    lines = [f"**{title}**", ""] if title else []
    if plain:
        lines += ["| | |", "|---|--:|", *(f"| {k} | {_cell(v)} |" for k, v in plain.items()), ""]
    for key, value in results.items():
        if isinstance(value, dict):
            lines += _table(value, key)
    return lines


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _changelog() -> tuple[str, str]:
    return "changelog.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
