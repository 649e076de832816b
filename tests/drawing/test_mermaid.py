"""Mermaid: what stands in the text, what is escaped, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value, scope
from tinygrad_scalar.drawing import to_mermaid
from tinygrad_scalar.drawing.labels import visible
from tinygrad_scalar.drawing.mermaid import mermaid_text


def test_nodes_edges_and_operations():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    z = x * y
    z.backward()
    assert to_mermaid(z).splitlines() == [
        "flowchart LR",
        '  u1["x<br>2.0<br>grad 3.0"]',
        '  u2["y<br>3.0<br>grad 2.0"]',
        '  u3(["×<br>6.0<br>grad 1.0"])',
        '  u1 -- "3.0" --> u3',
        '  u2 -- "2.0" --> u3',
    ]


def test_scopes_are_nested_subgraphs_and_can_be_closed():
    with scope("outer"):
        x = Value(2.0) * 2.0
        with scope("inner"):
            y = x * x
    z = y + 1.0
    lines = [line.strip() for line in to_mermaid(z).splitlines()]
    opened = [line for line in lines if line.startswith(("subgraph", "end"))]
    assert opened == ['subgraph s1["outer"]', 'subgraph s2["inner"]', "end", "end"]
    assert 'b1[["inner<br>1 nodes"]]' in to_mermaid(z, depth=1)
    assert '  u2 -. "2 edges" .-> b1' in to_mermaid(z, depth=1)


def test_what_mermaid_cannot_draw_is_refused_with_the_reason():
    z = Value(0.0)
    for _ in range(500):
        z = z + 1.0
    assert to_mermaid(z).count("-->") == 500
    with pytest.raises(ValueError, match=r"501 edges, and Mermaid draws at most 500: .*depth=.*"):
        to_mermaid(z + 1.0)
    with pytest.raises(ValueError, match=r"50\d+ characters, and Mermaid draws at most 50000"):
        to_mermaid(Value(0.0, label="a" * 50_000))
    with pytest.raises(TypeError, match=r"^to_mermaid: z is a Value"):
        to_mermaid(1.0)


def test_a_graph_that_is_far_too_large_is_refused_before_it_is_counted():
    z = Value(0.0)
    for _ in range(200_000):
        z = z + 1.0
    with pytest.raises(ValueError, match=r"^to_mermaid: at least 501 edges, .* at most 500: "):
        to_mermaid(z)


@given(st.text())
def test_any_label_comes_through(text):
    coded = mermaid_text(text)
    assert not set('"<>`*_[]{}()|\\$&;') & set(re.sub(r"#\d+;|<br>", "", coded))
    decoded = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), coded.replace("<br>", "\n"))
    shown = decoded.replace("\u200b", "").replace("\u00a0", " ")
    assert shown == visible(text).replace("\u200b", "").replace("\u00a0", " ")


@pytest.mark.parametrize("text", ["+ a", "- a", "1. a", "  a", "a\n- b"])
def test_nothing_is_taken_for_a_list(text):
    assert not re.search(r"(^|>) *([+-]|\d+\.) ", mermaid_text(text))
