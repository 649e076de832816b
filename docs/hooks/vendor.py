"""What the site needs and the repository does not keep: Pyodide, Graphviz, KaTeX, wheels.

Fetched by name from the registries when the site is built, at the versions pinned here, and put
into the site, so that whoever reads it asks no other host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = {
    "pyodide": "0.29.0",
    "@viz-js/viz": "3.31.0",
    "iframe-worker": "1.0.4",
    "katex": "0.16.22",
}
RUNTIME = ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
# The library's own hard dependencies, as pure Python wheels.
WHEELS = ("graphviz", "tqdm")


def on_post_build(config: Any, **_: Any) -> None:
    """Put everything below `vendor/` of the site, with a list of it for the page."""
    site = Path(config["site_dir"])
    vendor = site / "vendor"
    shutil.rmtree(vendor, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        modules = _npm(Path(place))
        for name in (*RUNTIME, "pyodide-lock.json"):
            _put(modules / "pyodide" / name, vendor / "pyodide" / name)
        _put(modules / "@viz-js/viz/dist/viz-global.js", vendor / "viz" / "viz-global.js")
        for name in ("katex.min.js", "katex.min.css", "contrib/auto-render.min.js"):
            _put(modules / "katex/dist" / name, vendor / "katex" / Path(name).name)
        for font in (modules / "katex/dist/fonts").glob("*.woff2"):
            _put(font, vendor / "katex/fonts" / font.name)
        _put(modules / "iframe-worker/shim/index.js", site / "assets" / "iframe-worker.js")
    wheels = _wheels(Path(config["config_file_path"]).parent, vendor / "wheels")
    runtime = [f"pyodide/{name}" for name in RUNTIME] + ["viz/viz-global.js"]
    manifest = {
        "runtime": runtime,
        "wheels": wheels,
        "bytes": sum((vendor / name).stat().st_size for name in runtime + wheels),
    }
    (vendor / "manifest.json").write_text(json.dumps(manifest))


def _npm(place: Path) -> Path:
    packages = [f"{name}@{version}" for name, version in PACKAGES.items()]
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            "the site's playground comes from npm packages: install Node.js with npm"
        )
    subprocess.run(
        [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", *packages],
        cwd=place,
        check=True,
        capture_output=True,
    )
    return place / "node_modules"


def _wheels(root: Path, place: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--wheel-dir", str(place), *WHEELS, str(root)], check=True)
    return [f"wheels/{path.name}" for path in sorted(place.glob("*.whl"))]


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
