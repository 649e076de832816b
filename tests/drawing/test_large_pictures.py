"""Pictures of ordinary larger graphs: their size, what folds and wraps, and their geometry.

Sizes are in points, of a page of 1600 × 1000. The geometry is read by a browser from the SVG.
"""

import random
import re
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from drawing.geometry import faults_of, scale, size
from mpmath import mpf

from tinygrad_scalar import (
    Value,
    compile,
    dot,
    logsumexp,
    maximum,
    nn,
    scope,
    square,
    topological_order,
)
from tinygrad_scalar.drawing import draw, steps, to_dot, to_latex
from tinygrad_scalar.drawing.clearance import cleared
from tinygrad_scalar.drawing.layout import image
from tinygrad_scalar.drawing.sections import cuts

# Letters shrink to 0.7 at most where a machine has Helvetica, or what is as wide. DejaVu Sans,
# which stands for it where there is nothing else, is up to a tenth wider.
READABLE = 0.7 / 1.1


def newton(steps=30):
    a, x = Value(2.0, label="a"), Value(1.0, label="x")
    for _ in range(steps):
        x = (x + a / x) * 0.5
    return x


def deep(nodes, seed=0):
    """A chain with local sharing: each operation takes the last result and a recent one."""
    source = random.Random(seed)
    made = [Value(0.5, label="x"), Value(1.5, label="y")]
    while len(made) < nodes:
        a, b = made[-1], made[max(0, len(made) - source.randint(1, 12))]
        choices = (
            lambda a, b: a + b,
            lambda a, b: a * b,
            lambda a, b: a.sin(),
            lambda a, b: a.tanh(),
        )
        made.append(source.choice(choices)(a, b))
    return made[-1]


def network(nin, nouts):
    model = nn.MLP(nin, nouts, seed=0)
    return model([Value(0.1 * i + 0.3, label=f"x{i}") for i in range(nin)])


def mean_loss(examples=20):
    model, source = nn.MLP(2, [4, 1], seed=0), random.Random(0)
    total = Value(0.0)
    for _ in range(examples):
        x = [source.uniform(-1, 1) for _ in range(2)]
        total = total + (model(x) - source.choice([-1.0, 1.0])) ** 2
    return total / examples


def chain(turns):
    x = Value(0.3, label="x")
    for _ in range(turns):
        x = x.sin() + 0.1
    return x


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (newton, "30 × div, add, mul"),
        (lambda: network(3, [4, 4, 1]), "neurons[3]"),
        (lambda: network(8, [16, 16, 1]), "neurons[15]"),
        (mean_loss, "MLP × 20"),
        (lambda: chain(500), "500 × sin, add"),
    ],
)
def test_by_default_a_picture_fits_a_page(make, shown):
    z = make()
    z.backward()
    svg = draw(z).svg()
    width, height = size(svg)
    assert width <= 1600
    assert height <= 1000
    assert shown in texts(svg)


def wide(leaves):
    """Sums of products over many leaves, without a loop in it."""
    source = random.Random(1)
    xs = [Value(source.random(), label=f"x{i}") for i in range(leaves)]
    products = [source.choice(xs) * source.choice(xs) for _ in xs]
    pairs = [(source.choice(products) + source.choice(products)).tanh() for _ in xs]
    return sum(pairs)


@pytest.mark.parametrize(
    "make", [*(lambda n=n: deep(n, seed=n) for n in (41, 60, 90, 120, 200, 490)), lambda: wide(100)]
)
def test_what_cannot_fold_wraps_and_is_cut_into_sections_until_it_fits(make):
    z = make()
    z.backward()
    drawing = draw(z, max_nodes=1000)
    width, height = size(drawing.svg())
    assert width <= 1600
    assert height <= 1000
    assert scale(drawing.svg()) >= 0.7  # letters of ten points are still to be read
    assert drawing.svg().count('class="node') <= 100


def test_a_chain_of_few_values_wraps_with_its_operations_as_circles():
    drawing = draw(chain(18))
    width, _ = size(drawing.svg())
    assert width <= 1.25 * 1600
    assert drawing.svg().count('class="node operation"') == 36
    assert "dir=back" in drawing.source
    assert "class=operation" not in draw(deep(30)).source  # circles would be in knots


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("nodes", [12, 18, 24, 30, 36, 40])
def test_few_values_fit_a_page_too_whatever_they_are_joined_by(nodes, direction):
    for z in (deep(nodes), tangled(nodes, nodes, "short"), tangled(nodes, nodes, "long")):
        z.backward()
        svg = draw(z, direction=direction).svg()
        width, height = size(svg)
        assert width <= 1600
        assert height <= 1000
        assert scale(svg) >= READABLE


def test_what_fits_keeps_its_operations_as_circles():
    for z in (deep(10), newton(3), chain(10), network(2, [3, 1])):
        assert 'class="node operation"' in draw(z).svg()


def test_a_picture_in_sections_says_how_to_see_the_rest():
    z = deep(490)
    source = draw(z, max_nodes=1000).source
    boxes = len(re.findall(r"^  [ub]\d+ \[", source, re.MULTILINE))
    assert f"490 Values in {boxes} boxes; focus=node shows what surrounds one" in source
    assert " Values in " not in draw(z, max_nodes=None).source
    assert " Values in " not in draw(deep(41)).source


def test_sections_are_cut_where_few_numbers_pass():
    x = Value(0.5, label="x")
    for _ in range(4):  # blocks of 20 operations with much in common, joined by one Value
        inside = [x]
        for _ in range(19):
            inside.append(inside[-1] * inside[0] + inside[len(inside) // 2])
        x = inside[-1].tanh()
    nodes = topological_order(x)
    before = {id(node) for section in cuts(nodes, 4)[:1] for node in section}
    passing = {id(p) for node in nodes if id(node) not in before for p in node.parents} & before
    assert len(passing) == 1


def test_layers_are_columns_in_order(tmp_path):
    svg = draw(network(3, [4, 4, 1])).svg()
    places = re.findall(r'x="([\d.-]+)" y="([\d.-]+)"[^>]*>((?:neurons\[\d\]|x\d))<', svg)
    columns = {}
    for x, y, name in places:
        columns.setdefault(round(float(x) / 40), []).append((float(y), name))
    found = [[name for _, name in sorted(column)] for _, column in sorted(columns.items())]
    neurons = [f"neurons[{i}]" for i in range(4)]
    assert found == [["x0", "x1", "x2"], neurons, neurons, ["neurons[0]"]]


def heights(svg, names):
    """The names in the order in which they stand, from top to bottom."""
    places = re.findall(r'y="([\d.-]+)"[^>]*>([^<]*)<', svg)
    return [name for y, name in sorted((float(y), name) for y, name in places) if name in names]


def test_operands_stand_in_their_order():
    a, b, c, d = (Value(x, label=name) for x, name in enumerate("abcd", start=2))
    assert heights(draw((a - b) / (c - d)).svg(), "abcd") == list("abcd")
    xs = [Value(float(i), label=f"x{i}") for i in range(6)]
    names = [x.label for x in xs]
    assert heights(draw(sum(xs)).svg(), names) == names


@pytest.mark.parametrize("sizes", [[2, 1], [3, 1], [2, 2, 1], [4, 4, 1]])
@pytest.mark.parametrize("inputs", [[0.5, -1.0], [Value(0.5, label="x0"), Value(-1.0, label="x1")]])
def test_neurons_stand_in_their_order_in_small_and_large_pictures(sizes, inputs):
    svg = draw(nn.MLP(2, sizes, seed=0)(inputs)).svg()
    places = re.findall(r'x="([\d.-]+)" y="([\d.-]+)"[^>]*>(neurons\[\d\]|w\[\d\])<', svg)
    columns = {}
    for x, y, name in places:
        columns.setdefault((name[0], round(float(x) / 30)), []).append((float(y), name))
    found = [[name for _, name in sorted(column)] for _, column in sorted(columns.items())]
    neurons = [column for column in found if column[0].startswith("neurons")]
    assert [f"neurons[{i}]" for i in range(sizes[0])] in neurons
    weights = heights(svg, ["w[0]", "w[1]"])
    assert all(column == sorted(column) for column in neurons)
    assert not weights or weights[:2] == ["w[0]", "w[1]"]


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("nouts", [2, 3, 4, 10])
def test_several_outputs_and_what_goes_into_them_stand_in_their_order(nouts, direction):
    xs = [Value(0.5, label="x0"), Value(-1.0, label="x1")]
    svg = draw(nn.Layer(2, nouts, seed=0)(xs), direction=direction).svg()
    places = re.findall(r'x="([\d.-]+)" y="([\d.-]+)"[^>]*>(neurons\[\d\]|x\d)<', svg)
    along = 1 if direction == "LR" else 0
    found = [name for *_, name in sorted(places, key=lambda place: float(place[along]))]
    assert [name for name in found if name[0] == "n"] == [f"neurons[{i}]" for i in range(nouts)]
    assert [name for name in found if name[0] == "x"] == ["x0", "x1"]


@pytest.mark.parametrize("depth", [2, 3])
def test_inputs_of_a_frame_stand_in_their_order_at_every_depth(depth):
    assert heights(draw(network(3, [4, 4, 1]), depth=depth).svg(), ["x0", "x1", "x2"]) == [
        "x0",
        "x1",
        "x2",
    ]


def test_operands_stand_in_their_order_where_others_take_them_too():
    logits = [Value(x, label=f"logit{i}") for i, x in enumerate([1.0, 2.0, 0.5, -1.0])]
    names = [x.label for x in logits]
    assert heights(draw(logsumexp(logits) - logits[1]).svg(), names) == names


def test_frames_stand_in_the_order_of_what_they_give():
    x, h, c = Value(0.5, label="x"), Value(0.1, label="h"), Value(0.2, label="c")
    gates = {}
    for name in ("forget", "input", "candidate", "output"):
        with scope(name):
            gates[name] = (Value(0.3, label="w") * x + Value(-0.2, label="u") * h).tanh()
    cell = gates["forget"] * c + gates["input"] * gates["candidate"]
    assert heights(draw(gates["output"] * cell.tanh()).svg(), gates) == list(gates)


def test_leaves_in_large_numbers_fold():
    xs, ws = ([Value(float(i), label=f"{name}{i}") for i in range(60)] for name in "xw")
    svg = draw(dot(xs, ws)).svg()
    assert heights(svg, ["x × 60", "w × 60"]) == ["x × 60", "w × 60"]
    assert "x59" in draw(dot(xs, ws), fold=False, max_nodes=None).source


@pytest.mark.parametrize("direction", ["LR", "TB"])
def test_the_legend_stands_beside_frames(direction):
    z = network(2, [2, 1])
    z.backward()
    svg = draw(z, color="grad", direction=direction).svg()
    frame = re.search(r'class="cluster scope">.*?<path [^>]*d="M([^"]*)"', svg, re.DOTALL)[1]
    xs = [float(x) for x in re.findall(r"([\d.-]+),[\d.-]+", frame)]
    legend = float(re.search(r'x="([\d.-]+)"[^>]*>\|gradient\|<', svg)[1])
    assert not min(xs) <= legend <= max(xs)


@pytest.mark.parametrize("options", [{}, {"color": "grad"}, {"direction": "TB"}])
def test_outputs_that_a_neighbourhood_leaves_out_are_not_drawn(options):
    z = deep(60)
    z.backward()
    outputs = [z, z * 2.0]
    source = draw(outputs, focus=topological_order(z)[20], **options).source
    drawn = set(re.findall(r"^  (\w+) \[", source, re.MULTILINE))
    ends = re.findall(r"^  (\w+)(?::\w+)* -> (\w+)", source, re.MULTILINE)
    assert {end for pair in ends for end in pair} <= drawn


def test_titles_of_frames_stand_above_them_also_over_a_note():
    z = network(2, [2, 1])
    z.backward()
    z.backward()
    svg = draw(z).svg()
    assert (
        heights(
            svg,
            [
                "MLP",
                "w[0]",
                "Σ grad: a sum over several calls of backward; draw(table) shows one call",
            ],
        )[0]
        == "MLP"
    )


@pytest.mark.parametrize("label", ["a word " * 30, "unbroken" * 30, "w" * 1000])
def test_a_long_label_takes_several_lines(label):
    svg = draw(Value(1.0, label=label) * 2.0).svg()
    assert size(svg)[0] <= 1000
    shown = "".join(texts(svg)).replace(" ", "")
    assert label.replace(" ", "") in shown


def test_calls_fold_unless_asked_not_to():
    assert "MLP × 20" in to_dot(mean_loss())
    assert "× 20" not in to_dot(mean_loss(), fold=False)


def test_what_is_alike_by_chance_does_not_fold():
    """Two operations of one scope over leaves of their own are no two calls."""
    with scope("layer"):
        a, b = Value(1.0) * Value(2.0), Value(3.0) * Value(4.0)
    assert '× 2"' not in to_dot(a + b)


def test_a_module_called_on_its_own_result_folds():
    cell = nn.MLP(1, [1], seed=0)
    h = Value(0.5, label="h")
    for _ in range(5):
        h = cell([h])
    assert "MLP × 5" in to_dot(h)


def test_steps_of_a_large_graph_show_every_value():
    page = steps(deep(300), max_nodes=1000).html()
    assert page.count('<tr id="row-') > 250


# ── honesty ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", [float, np.float32, Fraction, mpf])
def test_after_two_calls_the_picture_says_that_leaves_hold_sums(kind):
    x = Value(kind(3), label="x")
    z = x * x
    z.backward()
    assert "Σ" not in draw(z).source
    table = z.backward()
    source = draw(z).source
    assert re.search(r"Σ grad 12(\.0)?\b", source)
    assert "draw(table) shows one call" in source
    assert re.search(r"grad 6(\.0)?\b", draw(table).source)
    assert "Σ" not in draw(table).source


# ── options ───────────────────────────────────────────────────────────────────────────────────
def test_a_function_is_drawn_at_a_point_with_its_gradients():
    w = Value(5.0, label="w")
    source = draw(lambda x, depth: x * depth + w, x=2.0, at={"depth": 3.0}).source
    assert 'label="x\\n2.0\\ngrad 3.0"' in source
    assert 'label="depth\\n3.0\\ngrad 2.0"' in source
    assert w.grad == 0.0
    with pytest.raises(TypeError, match=r"draw: y is neither option nor parameter; the function"):
        draw(lambda x: x * 2.0, x=1.0, y=2.0)
    with pytest.raises(TypeError, match=r"takes x; give the point: draw\(f, x=1\.0\)"):
        draw(lambda x: x * 2.0)
    with pytest.raises(TypeError, match=r"draw: colour is no option"):
        draw(w * 2.0, colour=1.0)


def test_a_point_that_was_taken_for_an_option_is_asked_for_where_it_belongs():
    with pytest.raises(TypeError, match=r"or in at=\{'depth': 1\.0\} where an option bears the"):
        draw(lambda x, depth: x * depth, x=2.0, depth=1)


def test_a_parameter_of_any_name_but_an_options_is_given_by_it():
    source = draw(lambda x, z, numbers: x * z * numbers, x=2.0, z=3.0, numbers=5.0).source
    assert 'label="z\\n3.0\\ngrad 10.0"' in source


class Pair(NamedTuple):
    first: float
    second: float


@pytest.mark.parametrize("kind", [list, np.array, lambda p: Pair(*p), lambda p: {0: p[0], 1: p[1]}])
def test_a_function_is_drawn_at_a_point_of_any_structure(kind):
    source = draw(lambda p: p[0] * p[1], p=kind([2.0, 3.0])).source
    assert 'label="p[0]\\n2.0\\ngrad 3.0"' in source
    assert 'label="p[1]\\n3.0\\ngrad 2.0"' in source
    with pytest.raises(TypeError, match=r"draw: p\[1\] is a number, or a list.* not str"):
        draw(lambda p: p[0], p=[1.0, "2"])


# what takes its operands by position alone, or for constants by name
@pytest.mark.parametrize("f", [square, compile(lambda x: x * x), lambda x, /: x * x])
def test_a_function_is_drawn_whose_arguments_have_no_names(f):
    assert 'label="x\\n3.0\\ngrad 6.0"' in draw(f, x=3.0).source
    assert draw(f, 3.0).source == draw(f, x=3.0).source


def test_a_model_is_drawn_at_an_input_and_a_function_at_any_number_of_numbers():
    model = nn.MLP(2, [1], seed=0)
    source = draw(model, [2.0, 3.0]).source
    assert source == draw(model, x=[2.0, 3.0]).source
    assert 'label="x[1]\\n3.0\\n' in source
    source = draw(lambda a, *xs: a * dot(xs, xs), 1.0, 2.0, 3.0).source
    assert 'label="a\\n1.0\\ngrad 13.0"' in source
    assert 'label="xs_1\\n3.0\\ngrad 6.0"' in source
    assert 'label="self\\n0.0\\ngrad 1.0"' in draw(Value.sin, 0.0).source
    with pytest.raises(TypeError, match=r"draw: the function takes x; give the point"):
        draw(model)


def test_a_function_is_drawn_at_numbers_by_position_and_by_name():
    expected = draw(lambda x, y: x * y, x=2.0, y=3.0).source
    assert draw(lambda x, y: x * y, 2.0, 3.0).source == expected
    assert draw(lambda x, y: x * y, 2.0, y=3.0).source == expected
    with pytest.raises(TypeError, match=r"draw: the function takes x, y; give the point: .*y=1\.0"):
        draw(lambda x, y: x * y, 2.0)


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({"direction": "TB"}, "rankdir=TB", "rankdir=LR"),
        ({"digits": 3}, "0.333", "0.3333"),
        ({"title": 'The "title"'}, 'label="The \\"title\\""', "labelloc=b"),
        ({"derivatives": False}, "grad", '[label="1.0"]'),
        ({"values": False}, "grad", "0.333"),
        ({"gradients": False}, "0.333", "grad"),
        ({"theme": "dark"}, "#0d1117", "#ddf4ff"),
    ],
)
def test_options_of_the_look(options, present, absent):
    z = Value(1.0, label="x") + Value(-2.0 / 3.0)
    z.backward()
    source = draw(z, **options).source
    assert present in source
    assert absent not in source


@pytest.mark.parametrize("color", [None, "grad"])
@pytest.mark.parametrize("operations", [2, 18])  # in one line, and wrapped into several
def test_the_dark_theme_leaves_no_light_colour_of_a_role(operations, color):
    z = Value(0.5, label="x")
    for _ in range(operations):
        z = (1.1 * z).sin()
    z.backward()
    light, dark = (draw(z, color=color, theme=theme).source for theme in ("light", "dark"))
    for colour in ("#f6f8fa", "#54aeff", "#d4a72c"):  # an operation, the lines of leaf and output
        assert (colour in light, colour in dark) == (True, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "RL"}, 'direction is "LR" or "TB", not \'RL\''),
        ({"theme": "blue"}, 'theme is "auto" or "light" or "dark", not \'blue\''),
        ({"digits": 0}, "digits is at least 1, not 0"),
        ({"digits": 18}, "digits is at most 17, not 18"),
        ({"title": 1}, "title is a str or None, not int"),
        ({"values": 1}, "values is True or False, not 1"),
        ({"at": 1}, "at is a dict of parameters and numbers, not int"),
    ],
)
def test_options_of_the_look_are_checked(options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(f"draw: {message}")):
        draw(Value(1.0) + 1.0, **options)


def test_dpi_and_transparency(tmp_path):
    drawing = draw(Value(1.0) + 1.0)
    small, large = tmp_path / "a.png", tmp_path / "b.png"
    drawing.save(small)
    drawing.save(large, dpi=192, transparent=True)
    width = [int.from_bytes(path.read_bytes()[16:20], "big") for path in (small, large)]
    assert width[1] == pytest.approx(2 * width[0], abs=2)
    drawing.save(tmp_path / "c.svg", transparent=True)
    assert 'fill="white"' not in (tmp_path / "c.svg").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"save: dpi is between 10 and 2400, not 1"):
        drawing.save(small, dpi=1)


def test_view_opens_a_file_in_the_browser(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    path = draw(Value(1.0) + 1.0).view()
    assert opened == [f"file://{path}"]


def test_minus_zero_is_zero():
    assert "-0.0" not in to_dot(Value(-0.0, label="x") * 1.0)


def test_a_layout_that_would_never_end_is_refused_with_what_fits():
    z = Value(0.0)
    for i in range(50_000):
        z = z + float(i)
    with pytest.raises(ValueError, match=r"\d+ edges would be laid out .*about \d+ fit: "):
        draw(z, max_nodes=None).svg()


def test_greek_labels_and_latex_of_ones_own():
    z = Value(1.0, label="alpha") * Value(2.0, label="w_12") + Value(
        3.0, label="x", latex=r"\hat{x}"
    )
    assert to_latex(z) == r"\alpha \cdot w_{12} + \hat{x}"


# ── geometry ──────────────────────────────────────────────────────────────────────────────────
def pictures():
    x, y = Value(2.0, label="x"), Value(3.0, label="a rather long name of a leaf")
    small = (x * y + x.exp()).tanh() / 3.0
    graphs = [small, newton(), newton(3), mean_loss(), mean_loss(3), chain(500), chain(10)]
    graphs += [
        network(3, [4, 4, 1]),
        network(8, [16, 16, 1]),
        network(2, [3, 1]),
        network(2, [6, 2, 1]),
    ]
    graphs += [deep(n, seed=n) for n in (10, 20, *range(65, 235, 10))]
    for z in graphs:
        z.backward()
    return [draw(z) for z in graphs]


def tangled(nodes, seed, named):
    """A program whose operands come from near or from anywhere, with short names or long ones."""
    source = random.Random(seed)
    leaf, inner = {
        "": ("", ""),
        "short": ("x", "v"),
        "long": ("weight_of_input_", "a_longer_name_"),
    }[named]
    made = [Value(round(source.uniform(-2, 2), 2), label=leaf and f"{leaf}{i}") for i in range(4)]
    while len(made) < nodes:
        a = made[-1] if source.random() < 0.6 else source.choice(made)
        b = source.choice(made[-(3, 6, 12, 40)[seed % 4] :])
        operation = source.choice("+*-mst2")
        z = {
            "+": lambda a, b: a + b,
            "*": lambda a, b: a * b,
            "-": lambda a, b: a - b,
            "m": maximum,
            "s": lambda a, b: a.sin(),
            "t": lambda a, b: b.tanh(),
            "2": lambda a, b: a * 2.0,
        }[operation](a, b)
        z.label = inner and f"{inner}{len(made)}"
        made.append(z)
    used = {id(parent) for node in made for parent in node.parents}
    z = sum(node for node in made if id(node) not in used)
    z.backward()
    return z


def test_nothing_overlaps_in_thirty_pictures(browser, tmp_path):
    drawings = pictures()
    assert len(drawings) == 30
    assert faults_of(dict(enumerate(drawings)), browser, tmp_path) == {}


@pytest.mark.parametrize("named", ["", "short", "long"])
def test_nothing_overlaps_in_tangled_pictures(browser, tmp_path, named):
    sizes = (12, 18, 22, 25, 28, 30, 33, 36, 40, 44)
    drawings = {n: draw(tangled(n, seed, named)) for seed, n in enumerate(sizes)}
    assert faults_of(drawings, browser, tmp_path) == {}


def test_images_have_their_labels_off_lines_too(browser, tmp_path):
    graphs = {n: tangled(n, seed, "short") for seed, n in enumerate((12, 16, 20, 24))}
    graphs |= {"network": network(2, [3, 1]), "folded": mean_loss(3)}
    for z in graphs.values():
        z.backward()
    drawings = {name: draw(z) for name, z in graphs.items()}

    def as_image(drawing):  # as a PNG or PDF is made
        svg = image(drawing.source, "svg", 30).decode()
        return svg[svg.index("<svg") :]

    assert faults_of(drawings, browser, tmp_path, as_image) == {}


def svg_edge(i, line, label):
    return (
        f'<g id="edge{i}" class="edge"><title>a&#45;&gt;b</title><path fill="none" d="{line}"/>'
        f'<text text-anchor="middle" {label} font-size="9.00" fill="#59636e">1.0</text></g>'
    )


def test_a_label_in_the_way_of_a_line_is_moved_and_no_other():
    free = svg_edge(1, "M0,0C30,0 60,0 90,0", 'x="45" y="-5"')
    crossed = svg_edge(2, "M0,40C30,40 60,40 90,40", 'x="45" y="42"')
    moved = cleared(free + crossed)
    assert moved.startswith(free)
    x, y = map(float, re.search(r'x="([\d.-]+)" y="([\d.-]+)"', moved[len(free) :]).groups())
    assert x == 45
    assert 3 <= abs(y - 42) <= 12
    assert cleared(moved) == moved


def test_labels_in_a_crowd_stay_where_they_are():
    """Each looks at a thousand places, with all the lines around: minutes, for some hundreds."""
    text = svg_edge(1, "M0,0C300,0 600,0 900,0", 'x="450" y="2"')
    assert cleared(text * 10) != text * 10
    assert cleared(text * 101) == text * 101


def test_a_light_page_shows_a_light_picture_to_a_reader_in_the_dark(browser, tmp_path):
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    (tmp_path / "page.html").write_text(draw(Value(1.0) + 1.0).svg(), encoding="utf-8")
    for theme, expected in (("", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")):
        browser.get((tmp_path / "page.html").as_uri())
        browser.execute_script("document.body.dataset.theme = arguments[0]", theme)
        ground = browser.execute_script(
            "return getComputedStyle(document.querySelector('.graph > polygon')).fill"
        )
        assert ground == expected
