"""DOT to SVG, PNG or PDF, by Graphviz's `dot` on the PATH or else pygraphviz, in its own process.

A process, because layout takes superlinear time (36 s for 10,000 nodes) and only a process can be
stopped; and because pygraphviz lets warnings about fonts through to standard error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_LARGE = 3000  # edges that are tried whatever the time
_SECONDS = 0.4  # for 1,000 edges; it grows with their square
_LONGEST = 16_000  # characters of a label; Graphviz stops within a few hundred of that
_LABELLED = re.compile(r' -> \w+ \[[^\]]*label="')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ORDERED = "ordering=in"
_PATIENCE = 2  # times the time allowed, from which on it is not tried

# Run with -I -S: half the start-up time, and nothing in the current folder can get in between.
_PYGRAPHVIZ = """\
import sys
sys.path.append(sys.argv[1])
from pygraphviz import AGraph
graph = AGraph(string=sys.stdin.buffer.read().decode())
_, _, engine, format, *options = sys.argv
sys.stdout.buffer.write(graph.draw(format=format, prog=engine, args=" ".join(options)))
"""


def laid_out(
    source: str,
    format: str,  # noqa: A002 (Graphviz's word)
    timeout: float,
    options: Sequence[str] = (),
    engine: str = "dot",
) -> bytes:
    """The DOT text laid out and rendered, with further options of the command line.

    The engine "nop2" draws what has positions already.
    Errors: ValueError before it starts if that would take far too long; ImportError if there is no
    engine, naming both remedies; TimeoutError after `timeout` seconds; RuntimeError with Graphviz's
    own words if it fails.
    """
    if sys.platform == "emscripten":  # in a browser there are no processes: its page lays out
        return bytes(import_module("js").layout(source, format), "utf-8")
    _check_work(source, timeout)
    command = _command(format, [*options], engine)
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
        if _ORDERED in source:  # Graphviz 14 aborts at times: "list.c: index out of bounds"
            return laid_out(source.replace(_ORDERED, ""), format, timeout, options, engine)
        _check_labels(source)
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise RuntimeError(f"draw: the layout failed, {Path(command[0]).name} says: {words}")
    return done.stdout


def image(
    source: str,
    format: str,  # noqa: A002 (Graphviz's word)
    timeout: float,
    options: Sequence[str] = (),
) -> bytes:
    """A PNG or PDF with the labels of edges off the lines, as in an SVG.

    Positions are computed once, and drawn after the labels have moved. Errors as `laid_out`.
    """
    from tinygrad_scalar.drawing.clearance import cleared_positions

    if not _LABELLED.search(source):
        return laid_out(source, format, timeout, options)
    laid = laid_out(source, "dot", timeout).decode()
    svg = laid_out(laid, "svg", timeout, engine="nop2").decode()
    return laid_out(cleared_positions(laid, svg), format, timeout, options, engine="nop2")


def _check_work(source: str, timeout: float) -> None:
    """ValueError for a text whose layout would take many times as long as it may."""
    edges = source.count(" -> ")
    seconds = _SECONDS * (edges / 1000) ** 2
    if edges > _LARGE and seconds > _PATIENCE * timeout:
        fitting = int(1000 * (timeout / _SECONDS) ** 0.5)
        raise ValueError(
            f"draw: {edges} edges would be laid out for more than {timeout:g} seconds; about "
            f"{fitting} fit: show less with depth= (closes scopes), focus= (what surrounds a node) "
            "or max_nodes=, or allow more with timeout="
        )


def _check_labels(source: str) -> None:
    """ValueError for a text that Graphviz refuses because a label in it is too long."""
    longest = max(map(len, _QUOTED.findall(source)), default=0)
    if longest > _LONGEST:
        raise ValueError(
            f"draw: a label of {longest} characters is longer than Graphviz reads, about "
            f"{_LONGEST}: shorten it"
        )


def _command(format: str, options: list[str], engine: str) -> list[str]:  # noqa: A002
    dot = shutil.which("dot")
    if dot is not None:
        return [dot, f"-T{format}", *([] if engine == "dot" else [f"-K{engine}"]), *options]
    package = find_spec("pygraphviz")
    if package is not None and package.origin is not None and sys.executable:
        folder = str(Path(package.origin).parents[1])
        return [sys.executable, "-I", "-S", "-c", _PYGRAPHVIZ, folder, engine, format, *options]
    raise ImportError(
        "draw: no layout engine was found, neither Graphviz's dot on the PATH nor pygraphviz: "
        'install Graphviz (https://graphviz.org/download) or pip install "tinygrad_scalar[svg]"; '
        'the DOT text needs none: drawing.source, or drawing.save("graph.dot")'
    )
