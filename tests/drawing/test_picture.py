"""`draw`: layout by either engine, files that are whole or untouched, and what notebooks show."""

import os
import re
import stat
import sys
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_scalar import Value
from tinygrad_scalar.drawing import Drawing, draw, layout
from tinygrad_scalar.drawing.labels import visible
from tinygrad_scalar.drawing.layout import laid_out
from tinygrad_scalar.drawing.style import styled

SVG = "{http://www.w3.org/2000/svg}"


def product():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    return x * y


def parse(svg):
    return ET.fromstring(svg)  # noqa: S314 (made by this library a line before)


def texts(svg):
    return [text.text for text in parse(svg).iter(f"{SVG}text")]


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    """A machine with neither dot on the PATH nor pygraphviz."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(layout, "find_spec", lambda name: None)


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """A machine where pygraphviz must do it."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def fake_dot(monkeypatch, tmp_path):
    """Puts a `dot` of one's own on the PATH: a shell script."""
    if sys.platform == "win32":
        pytest.skip("a shell script stands in for dot")

    def install(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        dot = folder / "dot"
        dot.write_text(f"#!/bin/sh\n{script}\n")
        dot.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


# ── layout ────────────────────────────────────────────────────────────────────────────────────
def test_the_svg_is_one_element_with_every_text():
    z = product()
    z.backward()
    svg = draw(z).svg()
    assert svg.startswith("<svg ")
    assert "DOCTYPE" not in svg
    assert sorted(texts(svg)) == sorted(
        ["x", "2.0", "grad 3.0", "y", "3.0", "grad 2.0", "×", "3.0", "2.0", "6.0", "grad 1.0"]
    )
    assert parse(svg).get("aria-label") == "computational graph of 3 nodes"


def test_pygraphviz_lays_out_without_dot(no_dot, capfd):
    assert "<svg" in draw(product()).svg()
    assert capfd.readouterr() == ("", "")


def test_dot_on_the_path_comes_first(fake_dot):
    fake_dot("cat >&2; echo \"<svg width='1' height='1' $*></svg>\" | tr -d -- -")
    assert draw(product()).svg().startswith("<svg width='1' height='1' Tsvg class=")


def test_without_an_engine_the_error_names_both_remedies(no_engine, tmp_path):
    drawing = draw(product())
    with pytest.raises(ImportError, match=r"^draw: no layout engine was found") as caught:
        drawing.svg()
    for remedy in ("https://graphviz.org", 'pip install "tinygrad_scalar[svg]"', "drawing.source"):
        assert remedy in str(caught.value)
    drawing.save(tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text(encoding="utf-8") == drawing.source


def test_a_layout_that_takes_too_long_is_stopped(fake_dot):
    fake_dot("exec tail -f /dev/null")
    with pytest.raises(
        TimeoutError, match=r"more than 0\.05 seconds: .*depth=.*focus=.*max_nodes="
    ):
        draw(product(), timeout=0.05).svg()


def test_a_layout_that_fails_tells_why(fake_dot):
    fake_dot("echo 'no fonts today' >&2; exit 3")
    with pytest.raises(RuntimeError, match=r"^draw: the layout failed, dot says: no fonts today$"):
        draw(product()).svg()


def test_a_layout_that_gives_nothing_is_a_failure(fake_dot):
    fake_dot("cat >/dev/null")
    with pytest.raises(RuntimeError, match=r"dot says: exit code 0"):
        draw(product()).svg()
    with pytest.raises(RuntimeError, match=r"the layout gave no SVG"):
        styled("nothing", "")


def test_the_layout_is_made_once(fake_dot, tmp_path):
    fake_dot(f"cat >/dev/null; echo '<svg></svg>'; echo run >>{tmp_path}/runs")
    drawing = draw(product())
    assert not (tmp_path / "runs").exists()
    assert drawing.svg() == drawing.svg()
    assert (tmp_path / "runs").read_text() == "run\n"


def test_an_order_at_which_graphviz_aborts_is_given_up():
    """Graphviz 14.1.5 ends with "list.c: index out of bounds" where operands are to be ordered."""
    source = """digraph {
      graph [ordering=in]
      sum [shape=record label="{{<p0>|<p1>|<p2>|<p3>}|sum}"]
      subgraph cluster_1 { b }
      u2 -> sum:p3:w
      u1 -> sum:p1:w
      u2 -> sum:p0:w
      u1 -> u2:p0:w
      u1 -> b
    }"""
    assert b">sum</text>" in laid_out(source, "svg", 30)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_timeouts_that_make_no_sense(timeout):
    with pytest.raises(ValueError, match=r"draw: timeout is a positive number of seconds, not"):
        draw(product(), timeout=timeout)
    with pytest.raises(TypeError, match=r"draw: timeout is a number of seconds, not str"):
        draw(product(), timeout="30")


hostile = st.text() | st.sampled_from(
    ["</text><script>alert(1)</script>", "&lt;b&gt;", "\\N\\G\\l", 'a"b', "{a|<b>}", "]]>", "\\"]
)


@settings(max_examples=20)
@given(st.lists(hostile, min_size=8, max_size=8))
def test_any_label_is_shown_verbatim(labels):
    z = Value(0.0)
    for label in labels:
        z = z + Value(1.0, label=label)
    found = texts(draw(z).svg())
    for label in labels:
        for line in visible(label).split("\n"):
            if line.strip(" \t"):  # Graphviz makes no element for an empty line
                assert line.replace(" ", "\u00a0") in [
                    (text or "").replace(" ", "\u00a0") for text in found
                ]


@pytest.mark.parametrize(("label", "shown"), [("\t", " "), ("a\tb", "a b"), ("a\nb", "a b")])
def test_a_label_takes_one_line_of_a_compact_box(label, shown):
    """Graphviz passes over a tab there, and over all of a box that has no other letter in bold."""
    z = Value(2.0, label=label)
    for _ in range(45):
        z = z.cos()
    drawing = draw(z, fold=False)
    assert "<TABLE" in drawing.source
    assert texts(drawing.svg())[:2] == [shown, "2.0"]


def test_the_legend_of_colours_is_drawn():
    z = product()
    z.backward()
    found = texts(draw(z, color="grad").svg())
    assert "|gradient|" in found
    assert "2.5 … 3" in found


# ── files ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("g.svg", b"<svg "),
        ("g.PNG", b"\x89PNG"),
        ("g.pdf", b"%PDF"),
        ("g.dot", b"digraph {\n"),
    ],
)
def test_the_suffix_says_how_it_is_saved(tmp_path, name, beginning):
    draw(product()).save(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["graph", "graph.jpg", "graph.svg.gz", ".svg"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"a drawing is saved as \.svg, \.png, \.pdf or \.dot"):
        draw(product()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, no_engine, monkeypatch):
    path = tmp_path / "graph.svg"
    path.write_text("old")
    with pytest.raises(ImportError, match=r"draw: no layout engine was found"):
        draw(product()).save(path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    dot = tmp_path / "graph.dot"
    dot.write_text("old")
    with pytest.raises(OSError, match=r"graph\.dot cannot be written: No space left on device"):
        draw(product()).save(dot)
    assert path.read_text() == dot.read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["graph.dot", "graph.svg"]


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw(product()).save(tmp_path / "graph.dot")
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent: create it first"):
        draw(product()).save(tmp_path / "absent" / "graph.dot")
    (tmp_path / "folder.dot").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.dot is a folder: name a file in it"):
        draw(product()).save(tmp_path / "folder.dot")


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes are POSIX's")
def test_links_and_permissions_are_kept(tmp_path):
    target, link = tmp_path / "target.dot", tmp_path / "link.dot"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    draw(product()).save(link)
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("digraph")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    draw(product()).save(tmp_path / "new.dot")
    (tmp_path / "plain").touch()
    assert (tmp_path / "new.dot").stat().st_mode == (tmp_path / "plain").stat().st_mode


# ── what notebooks and other packages see ─────────────────────────────────────────────────────
def test_a_notebook_gets_html_and_an_image():
    bundle = draw(product())._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    assert bundle["image/svg+xml"] in bundle["text/html"]


def test_a_notebook_without_an_engine_gets_the_reason(no_engine):
    bundle = draw(product())._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert "no layout engine" in bundle["text/plain"]


def test_the_digraph_has_the_same_source():
    graphviz = pytest.importorskip("graphviz")
    drawing = draw(product())
    assert isinstance(drawing.digraph, graphviz.Digraph)
    assert drawing.digraph.source == drawing.source


def test_the_repr_is_one_short_line():
    assert repr(draw(product())) == (
        '<Drawing of 3 nodes: show it in a notebook, or .save("graph.svg")>'
    )
    assert isinstance(draw(product()), Drawing)


def test_a_drawing_is_made_of_at_most_300_nodes_unless_told_otherwise():
    z = Value(0.0)
    for i in range(300):
        z = z + float(i)  # no two alike: nothing folds
    with pytest.raises(ValueError, match=r"^draw: 301 nodes"):
        draw(z)
    edges = re.findall(r"u\d+ -> f\d+|f\d+ -> u\d+", draw(z, max_nodes=None).source)
    assert len(edges) == 600


def test_the_drawing_shows_what_was_when_it_was_made():
    z = product()
    drawing = draw(z)
    z.backward()
    assert "grad" not in drawing.source


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_label_longer_than_graphviz_reads_is_told_in_our_words(tmp_path, suffix):
    z = Value(2.0, label="a" * 1_000_000) * 3.0
    with pytest.raises(ValueError, match=r"^draw: a label of 1\d{6} characters is longer than "):
        draw(z).save(tmp_path / f"z.{suffix}")
    assert not list(tmp_path.iterdir())
    assert "a" * 10_000 in draw(Value(2.0, label="a" * 10_000) * 3.0).svg()
