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


def picture(name):
    make, options = PICTURES[name]
    z = make()
    z.backward()
    if "focus" in options:
        options = {"focus": topological_order(z)[options["focus"]]}
    return structure(draw(z, **options).svg())


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_what_the_stored_one_has(name):
    assert picture(name) == json.loads(STORED.read_text(encoding="utf-8"))[name]


if __name__ == "__main__":
    made = {name: picture(name) for name in PICTURES}
    STORED.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
