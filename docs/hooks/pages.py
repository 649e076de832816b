"""Pages made when the site is built: notebooks, which are run for it, and the changelog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: Any) -> Files:
    """Add what is made to what stands in docs/."""
    for uri, content in (*_notebooks(), _changelog()):
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
            nbclient.execute(
                notebook,
                cwd=str(path.parent),
                timeout=600,
                kernel_name="python3",
                coalesce_streams=True,  # what a cell prints over time is one output
            )
        except nbclient.exceptions.CellExecutionError as error:
            raise PluginError(f"notebooks/{path.name}: {error}") from None
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                _prefer_what_can_be_read(output)
        body, resources = MarkdownExporter().from_notebook_node(
            notebook, {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        )
        body = re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", body)
        body += f"\n\n[The notebook itself]({path.name}){{ download }}\n"
        yield f"notebooks/{path.stem}.md", body
        yield f"notebooks/{path.name}", path.read_bytes()
        for name, data in resources.get("outputs", {}).items():
            yield f"notebooks/{name}", data


def _prefer_what_can_be_read(output: Any) -> None:
    """Pages and pictures inline as HTML stay, of other outputs the plainest kind of picture."""
    data = output.get("data", {})
    if "image/svg+xml" in data or "image/png" in data:
        data.pop("text/html", None)


def _changelog() -> tuple[str, str]:
    return "changelog.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
