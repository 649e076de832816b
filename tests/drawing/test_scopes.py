"""Which nodes a picture shows: scopes, boxes, neighbourhoods, and that no edge is lost."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import Value, scope
from tinygrad_scalar.drawing import draw, to_dot
from tinygrad_scalar.drawing.scene import scene
from tinygrad_scalar.drawing.scopes import closed_scopes, outermost, scopes_of


def two_layers():
    """x → layer1 (two neurons) → layer2 → z, with a weight in each neuron."""
    x = Value(1.0, label="x")
    with scope("layer1"):
        with scope("neuron1"):
            a = x * Value(2.0, label="w1") + 1.0
        with scope("neuron2"):
            b = x * Value(3.0, label="w2") + 2.0
    with scope("layer2"):
        y = a * b
    return y * y


def shown(z, **options):
    """Names of the boxes, and how many Values are shown."""
    seen = scene(z, "draw", **options)
    return sorted(box.name for box in seen.boxes), len(seen.nodes)


def titles(source):
    return re.findall(r'graph \[label="(\w+)"', source)


def test_open_scopes_are_nested_clusters():
    source = to_dot(two_layers())
    assert titles(source) == ["layer1", "neuron1", "neuron2", "layer2"]
    assert source.count("subgraph cluster_") == 4
    inner = source[source.index("neuron1") : source.index("neuron2")]
    assert 'label="w1' in inner
    assert 'label="w2' not in inner


@pytest.mark.parametrize(
    ("depth", "boxes", "values"),
    [
        (0, ["layer1", "layer2"], 1),
        (1, ["neuron1", "neuron2"], 3),
        (2, [], 9),
        (None, [], 9),
    ],
)
def test_depth_is_the_number_of_levels_that_are_open(depth, boxes, values):
    assert shown(two_layers(), depth=depth) == (boxes, values)


def test_edges_between_boxes_carry_their_number():
    source = to_dot(two_layers(), depth=0)
    assert '  b1 -> b2 [label="2 edges"' in source
    assert '  b2 -> f9 [label="2 edges"' in source
    assert 'b1 [label="layer1\\n7 nodes"' in source
    assert 'b2 [label="layer2\\n1 node"' in source


def test_a_single_edge_from_a_box_into_a_value_keeps_its_local_derivative():
    with scope("inner"):
        y = Value(2.0) * 3.0
    assert '  b1 -> f3 [label="5.0"' in to_dot(y * 5.0, depth=0)


def test_scopes_are_closed_until_it_fits_the_deepest_first():
    z = two_layers()
    assert shown(z, max_nodes=9) == ([], 9)
    assert shown(z, max_nodes=8) == (["neuron1", "neuron2"], 3)
    assert shown(z, max_nodes=5) == (["neuron1", "neuron2"], 3)
    assert shown(z, max_nodes=4) == (["layer1", "layer2"], 1)
    assert shown(z, depth=2, max_nodes=4) == (["layer1", "layer2"], 1)


def test_small_scopes_of_another_kind_stay_open():
    x = Value(1.0)
    for i in range(10):
        with scope(f"block{i}"):
            for _ in range(50):
                x = x + 1.0
    with scope("loss"):
        loss = x * x
    names, values = shown(loss, max_nodes=300)
    assert names == [f"block{i}" for i in range(10)]
    assert values == 1  # the loss; the leaf belongs to the first block


def test_too_many_edges_close_scopes_too_where_depth_is_free():
    rows = [[Value(1.0) for _ in range(20)]]
    for i in range(3):
        with scope(f"layer{i}"):
            row = []
            for j in range(20):
                with scope(f"neuron{j}"):
                    row.append(tg.sum(rows[-1]))
            rows.append(row)
    z = tg.sum(rows[-1])
    assert shown(z, max_nodes=305) == ([], 81)  # with 3 · 400 + 20 edges, 4 for each of 305
    assert shown(z, max_nodes=304) == (["layer0", "layer1", "layer2"], 1)
    assert shown(z, max_nodes=304, depth=2) == ([], 81)


def test_what_cannot_be_made_to_fit_is_an_error_that_says_what_to_do():
    z = Value(1.0)
    for i in range(400):
        z = z + float(i)  # no two alike: nothing folds
    with pytest.raises(ValueError, match=r"draw: 401 nodes .*max_nodes=300: .*depth=.*focus=.*"):
        scene(z, "draw", max_nodes=300)


def test_scopes_of_one_name_are_one_box():
    x = Value(1.0)
    for _ in range(3):
        with scope("block"):
            x = x * 2.0 + 1.0
    assert shown(x, depth=0) == (["block"], 0)


# ── leaves ────────────────────────────────────────────────────────────────────────────────────
def test_a_leaf_is_drawn_with_its_consumers():
    shared, only = Value(1.0), Value(2.0)
    with scope("outer"):
        with scope("a"):
            y = shared * only
        with scope("b"):
            z = y + shared
    found = scopes_of([shared, only, y, z])
    assert found[id(shared)] == ("outer",)
    assert found[id(only)] == ("outer", "a")


def test_a_leaf_with_a_scope_of_its_own_stays_there():
    with scope("layer"):
        w = Value(1.0)
        y = w * 2.0
    z = y + w * w  # weight decay, outside
    assert scopes_of([w, y, *z.parents, z])[id(w)] == ("layer",)


# ── focus ─────────────────────────────────────────────────────────────────────────────────────
def chain(n):
    nodes = [Value(0.0, label="start")]
    for _ in range(n):
        nodes.append(nodes[-1] + 1.0)
    return nodes


def test_focus_shows_three_edges_to_each_side_and_says_how_much_is_left_out():
    nodes = chain(1_000)
    seen = scene(nodes[-1], "draw", focus=nodes[500])
    assert seen.nodes == nodes[497:504]
    source = to_dot(nodes[-1], focus=nodes[500])
    assert source.count('[label="… 1 more"') == 2
    assert "before_u498 -> f498" in source
    assert "u504 -> after_u504" in source


def test_focus_on_a_hub_shows_its_nearest_neighbours():
    hub = Value(1.0)
    z = Value(0.0)
    for i in range(200):
        z = z + hub * float(i)
    seen = scene(z, "draw", focus=hub, max_nodes=50)
    assert len(seen.nodes) == 50
    assert hub in seen.nodes


def test_focus_outside_the_graph():
    with pytest.raises(ValueError, match=r"draw: focus=Value\(5.0, grad=0.0\) is not a node of"):
        scene(Value(1.0) + 1.0, "draw", focus=Value(5.0))


# ── a derivative beside its graph ─────────────────────────────────────────────────────────────
def test_the_derivative_graph_is_drawn_in_another_colour_and_named():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    z = x * y
    z.label = "z"
    table = (z * z).backward(create_graph=True)
    source = to_dot(z, derivative=table[x])
    assert source.count("derivative") == 2  # 2z·y: one product by z, already a node, and one by y
    source = to_dot(z, derivative=z.backward(create_graph=True))
    assert 'label="y = ∂z/∂x' in source
    assert 'label="x = ∂z/∂y' in source


def test_several_roots_share_their_nodes():
    x = Value(2.0)
    assert len(scene([x * 2.0, x * 3.0], "draw").nodes) == 3


# ── properties ────────────────────────────────────────────────────────────────────────────────
@st.composite
def scoped_programs(draw):
    """A graph with shared nodes, each made in a random scope up to three levels deep."""
    nodes = [Value(1.0), Value(2.0)]
    names = st.sampled_from("abc")
    for _ in range(draw(st.integers(1, 12))):
        i, j = (draw(st.integers(0, len(nodes) - 1)) for _ in range(2))
        path = draw(st.lists(names, max_size=3))
        node = nodes[i] + nodes[j]
        node._provenance = node.provenance._replace(scope=tuple(path))
        nodes.append(node)
    return nodes[-1]


@given(scoped_programs(), st.none() | st.integers(0, 3), st.none() | st.integers(1, 12))
def test_every_edge_is_shown_counted_or_inside_a_box(z, depth, max_nodes):
    try:
        seen = scene(z, "draw", depth=depth, max_nodes=max_nodes)
    except ValueError:
        assert max_nodes is not None
        return
    assert max_nodes is None or len(seen.nodes) + len(seen.boxes) <= max_nodes
    members = [
        {id(node) for node in seen.nodes},
        *({id(n) for n in box.nodes} for box in seen.boxes),
    ]
    assert sorted(key for ids in members for key in ids) == sorted(id(node) for node in seen.order)
    home = {key: i for i, ids in enumerate(members) for key in ids}
    inside = direct = 0
    for node in seen.order:
        for parent in node.parents:
            here, there = home[id(node)], home[id(parent)]
            inside += here == there != 0
            direct += here == there == 0
    bundled = sum(len(bundle.edges) for bundle in seen.bundles)
    assert inside + direct + bundled == sum(len(node.parents) for node in seen.order)


@given(
    st.dictionaries(st.lists(st.sampled_from("ab"), max_size=4).map(tuple), st.integers(1, 9)),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(1, 30),
)
def test_the_count_of_what_closed_scopes_leave_is_right(sizes, depth, max_nodes):
    closed, total = closed_scopes(Counter(sizes), depth, max_nodes)
    hiding = [outermost(path, closed) for path in sizes]
    values = sum(size for size, hidden in zip(sizes.values(), hiding, strict=True) if not hidden)
    assert total == values + len({hidden for hidden in hiding if hidden})
    if depth is not None:
        assert all(hidden for path, hidden in zip(sizes, hiding, strict=True) if len(path) > depth)


def recurrent(turns):
    h, w = Value(0.0, label="h"), Value(0.5, label="w")
    for turn in range(turns):
        with scope(f"turn {turn}"):
            h = (w * h + Value(0.1, label=f"x{turn}")).tanh()
    return h


def test_a_picture_in_lines_says_that_it_has_no_frames():
    told = "the frames of scopes; depth=1 shows them"
    source = draw(recurrent(5)).source
    assert "turn 0" not in source
    assert told in source
    assert told not in draw(recurrent(2)).source  # fits the page, with frames


def test_scopes_that_are_asked_for_are_framed_however_wide_that_is():
    found = draw(recurrent(5), depth=1).source
    assert sorted(re.findall(r'label="turn (\d)"', found)) == list("01234")
    assert "the frames of scopes" not in found
