"""DOT to SVG, PNG or PDF, by Graphviz's `dot` on the PATH or else pygraphviz, in its own process.

A process, because layout takes superlinear time (36 s for 10,000 nodes) and only a process can be
stopped; and because pygraphviz lets warnings about fonts through to standard error.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_DOTS_PER_INCH = "192"  # of a PNG: sharp on screens of double density

# Run with -I -S: half the start-up time, and nothing in the current folder can get in between.
_PYGRAPHVIZ = """\
import sys
sys.path.append(sys.argv[1])
from pygraphviz import AGraph
graph = AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[2], prog="dot", args=" ".join(sys.argv[3:])))
"""


def laid_out(source: str, format: str, timeout: float) -> bytes:  # noqa: A002 (Graphviz's word)
    """The DOT text laid out by `dot` and rendered.

    Errors: ImportError if there is no engine, naming both remedies; TimeoutError after `timeout`
    seconds; RuntimeError with Graphviz's own words if it fails.
    """
    options = [f"-Gdpi={_DOTS_PER_INCH}"] if format == "png" else []
    command = _command(format, options)
    try:
        done = subprocess.run(
            command, input=source.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"draw: the layout took more than {timeout:g} seconds: show less with depth= (closes "
            "scopes), focus= (what surrounds a node) or max_nodes=, or allow more with timeout="
        ) from None
    if done.returncode or not done.stdout:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise RuntimeError(f"draw: the layout failed, {Path(command[0]).name} says: {words}")
    return done.stdout


def _command(format: str, options: list[str]) -> list[str]:  # noqa: A002 (Graphviz's word)
    dot = shutil.which("dot")
    if dot is not None:
        return [dot, f"-T{format}", *options]
    package = find_spec("pygraphviz")
    if package is not None and package.origin is not None and sys.executable:
        folder = str(Path(package.origin).parents[1])
        return [sys.executable, "-I", "-S", "-c", _PYGRAPHVIZ, folder, format, *options]
    raise ImportError(
        "draw: no layout engine was found, neither Graphviz's dot on the PATH nor pygraphviz: "
        'install Graphviz (https://graphviz.org/download) or pip install "tinygrad_scalar[svg]"; '
        'the DOT text needs none: drawing.source, or drawing.save("graph.dot")'
    )
