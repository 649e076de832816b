"""The graph as a Mermaid flowchart, which GitHub and many editors draw in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any, NoReturn

from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.printable import visible
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing.arguments import checked_roots
from tinygrad_scalar.drawing.labels import number_text
from tinygrad_scalar.drawing.scene import Scene, scene, slopes
from tinygrad_scalar.drawing.scopes import Scope, nested
from tinygrad_scalar.drawing.terms import operation_text

_EDGES = 500  # Mermaid's own limit (maxEdges), and GitHub's
_UNUSUAL = re.compile(r"[^\w ,×−÷=·…\n.\u200b-]|[.-](?!\d)|_")
_SPACES = re.compile(r"^ | (?= |$)", re.MULTILINE)  # those that HTML would drop
_CHARACTERS = 50_000  # Mermaid's maxTextSize


def to_mermaid(
    z: Value | Sequence[Value],
    *,
    depth: int | None = None,
    max_nodes: int | None = None,
    focus: Value | None = None,
) -> str:
    """The graph of `z` as a Mermaid flowchart, for a fenced block of a README marked `mermaid`.

    Nodes and edges carry what they do in `draw`, and the three options mean what they do there,
    without a limit on the nodes unless one is given; scopes become subgraphs. O(nodes + edges).
    Errors: TypeError unless `z` is a Value or a list of them; ValueError above 500 edges or 50,000
    characters, which Mermaid refuses to draw.

    >>> print(to_mermaid(Value(2.0, label="x") * 3.0))
    flowchart LR
      u1["x<br>2.0"]
      u2(["× 3.0<br>6.0"])
      u1 -- "3.0" --> u2
    """
    if max_nodes is None and focus is None:
        _at_most_edges(_always_shown(checked_roots(z, "to_mermaid")))
    seen = scene(z, "to_mermaid", depth=depth, max_nodes=max_nodes, focus=focus)
    edges = _at_most_edges(_edges(seen))
    text = "\n".join(["flowchart LR", *_nodes(seen), *edges])
    if len(text) > _CHARACTERS:
        _refuse(f"{len(text)} characters", _CHARACTERS)
    return text


def _at_most_edges(edges: Iterable[str]) -> list[str]:
    """The edges; an error as soon as there are too many."""
    found = list(islice(edges, _EDGES + 1))
    if len(found) > _EDGES:
        _refuse(f"at least {len(found)} edges", _EDGES)
    return found


def _refuse(what: str, limit: int) -> NoReturn:
    raise ValueError(
        f"to_mermaid: {what}, and Mermaid draws at most {limit}: show less with "
        "depth=, focus= or max_nodes=, or save an SVG with draw(z).save(path)"
    )


def _always_shown(roots: Sequence[Any]) -> Iterator[str]:
    """One thing for each edge that no closing of scopes takes away: between nodes outside all."""
    for node in nodes_below(*roots):
        if not node.provenance.scope:
            for parent in node.parents:
                if parent.parents and not parent.provenance.scope:
                    yield ""


def mermaid_text(text: str) -> str:
    """The text for a quoted label of Mermaid, shown verbatim: everything unusual by its number.

    Unusual is also what Markdown would take for a list or for emphasis: `+ 1`, `1. x`, `_x_`.

    >>> mermaid_text('a "b" + 1.5')
    'a #34;b#34; #43; 1.5'
    """
    # Mermaid looks for \n and $$ after it has resolved numbers: a space of no width parts them.
    text = re.sub(r"(?<=\$)(?=\$)|(?<=\\)(?=n)", "\u200b", text)
    coded = _UNUSUAL.sub(lambda match: f"#{ord(match.group())};", visible(text))
    return _SPACES.sub("#160;", coded).replace("\n", "<br>")


def _nodes(seen: Scene) -> Iterator[str]:
    """Every Value and box, each scope a subgraph inside that of the scope around it."""
    entries: dict[Scope, list[str]] = {(): []}
    for node in seen.nodes:
        entries.setdefault(seen.scopes.get(id(node), ()), []).append(_node(seen, node))
    for box in seen.boxes:
        text = mermaid_text(f"{box.name}\n{len(box.nodes)} nodes" if box.name else "…")
        entries.setdefault(box.scope, []).append(f'  {box.key}[["{text}"]]')
    numbers = count(1)
    for scope, opens in nested(entries):
        if scope:
            title = mermaid_text(scope[-1])
            yield f'  subgraph s{next(numbers)}["{title}"]' if opens else "  end"
        if opens:
            yield from entries.get(scope, ())


def _node(seen: Scene, node: Any) -> str:
    """A leaf has corners, what was computed is round and begins with its operation."""
    differentiated = any(root.grad for root in seen.roots)
    lines = [node.label] if node.label else []
    lines.append(number_text(node.data))
    if differentiated or node.grad:
        lines.append(f"grad {number_text(node.grad)}")
    if node.primitive is None:
        return f'  {seen.key(node)}["{mermaid_text(chr(10).join(lines))}"]'
    text = "\n".join([operation_text(node), *lines])
    return f'  {seen.key(node)}(["{mermaid_text(text)}"])'


def _edges(seen: Scene) -> Iterator[str]:
    for node in seen.nodes:
        for _, parent, slope in slopes(node):
            if id(parent) in seen.shown:
                text = mermaid_text(number_text(slope))
                yield f'  {seen.key(parent)} -- "{text}" --> {seen.key(node)}'
    for bundle in seen.bundles:
        number = len(bundle.edges)
        yield f'  {bundle.source} -. "{number} edge{"s" * (number > 1)}" .-> {bundle.target}'
