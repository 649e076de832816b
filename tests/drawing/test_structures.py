"""Pictures against stored ones, by what is in them and not by where: classes, texts, colours, ends.

`python tests/drawing/test_structures.py` stores them anew, in structures.json, after a change that
is meant; the difference shows in version control what the change did to each picture.
"""

import html
import json
import re
from pathlib import Path

import pytest

from tinygrad_scalar import Value, nn, topological_order
from tinygrad_scalar.drawing import draw

STORED = Path(__file__).with_name("structures.json")
_GROUP = re.compile(r'<g id="[^"]*" class="((?:node|edge|cluster)[^"]*)">(.*?)</g>\n', re.DOTALL)


def neuron():
    x, w, b = Value(2.0, label="x"), Value(-3.0, label="w"), Value(6.5, label="b")
    return (x * w + b).tanh() * x


def network(sizes):
    return nn.MLP(2, sizes, seed=0)([Value(0.5, label="x0"), Value(-1.0, label="x1")])


def loss():
    model = nn.MLP(1, [2, 1], seed=0)
    return sum((model([i / 8]) - i) ** 2 for i in range(16))


def newton():
    a, x = Value(2.0, label="a"), Value(1.0, label="x")
    for _ in range(30):
        x = (x + a / x) * 0.5
    return x


def uneven(operations):
    """A chain in which no stretch repeats."""
    x = Value(0.5, label="x")
    for i in range(operations):
        x = x * (0.5 + i / 64) if i % 3 else x.sin()
    return x


def twice():
    z = neuron()
    z.backward()
    return z


PICTURES = {
    "a neuron": (neuron, {}),
    "a neuron, its gradients by colour": (neuron, {"color": "grad"}),
    "a neuron in the dark": (neuron, {"theme": "dark"}),
    "a neuron from top to bottom, titled": (neuron, {"direction": "TB", "title": "A neuron"}),
    "a neuron after two calls": (twice, {}),
    "a small network": (lambda: network([2, 1]), {}),
    "a small network, one level open": (lambda: network([2, 1]), {"depth": 1}),
    "a network that closes": (lambda: network([4, 4, 1]), {}),
    "a network that closes, by colour": (lambda: network([4, 4, 1]), {"color": "grad"}),
    "calls that fold": (loss, {}),
    "a loop that folds": (newton, {}),
    "a loop in the dark": (newton, {"theme": "dark"}),
    "what surrounds a node": (lambda: uneven(60), {"focus": 30}),
    "lines": (lambda: uneven(60), {}),
    "sections": (lambda: uneven(290), {}),
    "sections by colour": (lambda: uneven(290), {"color": "grad"}),
}


def structure(svg):
    """For each box, line and frame, in the order of its name: classes, texts, colours."""
    found = []
    for group in _GROUP.finditer(svg):
        title = re.search(r"<title>(.*?)</title>", group[2])[1]
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", group[2])
        fill = re.search(r'<(?:path|polygon|ellipse) [^>]*fill="(?!none)([^"]+)"', group[2])
        line = re.search(r'<(?:path|ellipse) [^>]*stroke="(?!none)([^"]+)"', group[2])
        colours = [colour[1] if colour else "" for colour in (fill, line)]
        found.append(" | ".join([group[1], title, *texts, *colours]))
    notes = re.findall(r"<text[^>]*>([^<]*)</text>", _GROUP.sub("", svg))
    return [html.unescape(line) for line in [*notes, *sorted(found)]]


def drawn(name):
    make, options = PICTURES[name]
    z = make()
    z.backward()
    if "focus" in options:
        options = {"focus": topological_order(z)[options["focus"]]}
    return draw(z, **options)


def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_what_the_stored_one_has(name):
    assert structure(drawn(name).svg()) == stored()[name]


# ── as a browser shows it ─────────────────────────────────────────────────────────────────────
# What a light colour is to a reader in the dark, for boxes, lines and frames.
DARK = {
    "#ffffff": "#151b23",
    "#818b98": "#6e7681",
    "#ddf4ff": "#0c2d57",
    "#54aeff": "#388bfd",
    "#fff8c5": "#3b2e0a",
    "#d4a72c": "#d29922",
    "#f6f8fa": "#212830",
    "#d1d9e0": "#3d444d",
    "#eaeef2": "#262c36",
    "#59636e": "#9198a1",
}
_SHOWN = """
const colour = (shapes, property) => {
  for (const shape of shapes) {
    const found = getComputedStyle(shape)[property];
    if (found !== 'none') return found;
  }
  return '';
};
return [...document.querySelectorAll('figure')].map(figure => [
  ...[...figure.querySelectorAll('.graph > text')].map(text => text.textContent),
  ...[...figure.querySelectorAll('.node, .edge, .cluster')].map(group => [
    group.getAttribute('class'),
    ...[...group.querySelectorAll('title, text')].map(text => text.textContent),
    colour(group.querySelectorAll('path, polygon, ellipse'), 'fill'),
    colour(group.querySelectorAll('path, ellipse'), 'stroke'),
  ].join(' | ')).sort(),
]);
"""
_RGB = re.compile(r"rgba?\((\d+), (\d+), (\d+)(?:, [\d.]+)?\)")


def in_hex(colour):
    red, green, blue = map(int, colour.groups())
    return f"#{red:02x}{green:02x}{blue:02x}"


def expected(line, scheme):
    """A line of a stored picture, as a reader of a page in this scheme has it."""
    classes = line.partition(" | ")[0]
    frame = classes == "cluster scope"
    note = " | " not in line
    if scheme == "light" or note or "graded" in classes or "legend" in classes:
        return line
    *texts, fill, stroke = line.split(" | ")
    ground = "#ffffff" if frame else DARK.get(fill, fill)  # a frame is a breath of white
    return " | ".join([*texts, ground, DARK.get(stroke, stroke)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_a_page_shows_the_stored_pictures_whole(browser, tmp_path, width, scheme):
    drawings = {name: drawn(name) for name in PICTURES if PICTURES[name][1].get("theme") is None}
    figures = [f"<figure>{d._repr_mimebundle_()['text/html']}</figure>" for d in drawings.values()]
    page = tmp_path / "page.html"
    head = f"<!doctype html><meta charset=utf-8><html style='color-scheme:{scheme}'>"
    page.write_text(head + "".join(figures), encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.get(page.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        shown = browser.execute_script(_SHOWN)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for name, lines in zip(drawings, shown, strict=True):
        seen = [_RGB.sub(in_hex, line) for line in lines]
        assert sorted(seen) == sorted(expected(line, scheme) for line in stored()[name]), name


if __name__ == "__main__":
    made = {name: structure(drawn(name).svg()) for name in PICTURES}
    STORED.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
