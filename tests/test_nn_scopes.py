"""The boxes that modules note: right for every node, also around and inside blocks of users."""

import threading

import pytest

from tinygrad_scalar import Value, nn, no_grad, scope, topological_order, trace_lines
from tinygrad_scalar.core import context


def scopes(output):
    """Operation or label, and scope, of every node, parents first."""
    return [
        (node.label or (node.primitive.name if node.primitive else "leaf"), node.provenance.scope)
        for node in topological_order(output)
    ]


def test_an_mlp_is_a_box_of_layers_of_neurons():
    model = nn.MLP(1, [2, 1], seed=0)
    x = Value(0.5, label="x")
    y = model([x])
    loss = (y - 1.0) ** 2
    first, second, last = (
        ("MLP", "layers[0]", "neurons[0]"),
        ("MLP", "layers[0]", "neurons[1]"),
        ("MLP", "layers[1]", "neurons[0]"),
    )
    made = scopes(loss)
    for box in (first, second):
        weights = [("w[0]", box), ("b", box)]
        assert set(made) >= {*weights, ("dot", box), ("add", box), ("relu", box)}
    assert set(made) >= {("w[0]", last), ("w[1]", last), ("b", last), ("dot", last), ("add", last)}
    assert [entry for entry in made if not entry[1]] == [("x", ()), ("sub", ()), ("pow", ())]
    assert loss.provenance.scope == loss.parents[0].provenance.scope == ()


def test_what_was_computed_before_the_call_stays_outside():
    x = Value(0.5)
    h = x * 2.0
    named = h + 1.0
    named.label = "named"
    y = nn.MLP(2, [1], seed=0)([h, named])
    assert h.provenance.scope == named.provenance.scope == ()
    assert y.provenance.scope == ("MLP", "layers[0]", "neurons[0]")
    again = nn.Affine(1, 1, seed=0)([named])  # used a second time, by another module
    assert named.provenance.scope == ()
    assert named.label == "named"
    assert again[0].provenance.scope == ("Affine",)


class Residual(nn.Module):
    """Nodes of its own before, between and after two modules."""

    def __init__(self):
        self.inner = [nn.Affine(1, 1, seed=0), nn.Affine(1, 1, seed=1)]

    def forward(self, x):
        self.before = [a * 3.0 for a in x]
        (self.first,) = self.inner[0](self.before)
        self.between = self.first + 1.0
        self.between.label = "between"
        (self.second,) = self.inner[1]([self.between])
        return {"sum": self.second + x[0], "kept": (self.between,)}


def test_nodes_belong_to_the_innermost_module_that_made_them():
    block = Residual()
    x = Value(2.0)
    outputs = block([x])
    assert block.before[0].provenance.scope == ("Residual",)
    assert block.between.provenance.scope == ("Residual",)
    assert block.between.label == "between"
    assert block.first.provenance.scope == ("Residual", "inner[0]")
    assert block.second.provenance.scope == ("Residual", "inner[1]")
    assert outputs["sum"].provenance.scope == ("Residual",)
    assert block.inner[1].b[0].provenance.scope == ("Residual", "inner[1]")
    assert x.provenance.scope == ()


def test_user_scopes_around_a_model_are_kept():
    model = nn.MLP(1, [1], seed=0)
    with scope("encoder"):
        y = model([Value(1.0)])
    assert y.provenance.scope == ("encoder", "MLP", "layers[0]", "neurons[0]")
    assert model.layers[0].neurons[0].b.provenance.scope == y.provenance.scope
    again = model([Value(1.0)])  # the next call is outside again, parameters included
    assert again.provenance.scope == ("MLP", "layers[0]", "neurons[0]")
    assert model.layers[0].neurons[0].b.provenance.scope == again.provenance.scope


def test_user_scopes_inside_a_model_extend_its_path():
    class Headed(nn.Module):
        def __init__(self):
            self.inner = nn.Affine(1, 1, seed=0)

        def forward(self, x):
            with scope("head"):
                squares = [a * a for a in x]
                return self.inner(squares)[0] + 1.0

    y = Headed()([Value(3.0)])
    assert y.provenance.scope == ("Headed", "head")
    affine = y.parents[0]
    assert affine.provenance.scope == ("Headed", "head", "inner")
    square = affine.parents[0].parents[1]
    assert square.provenance.scope == ("Headed", "head")


def test_lines_are_traced_through_models():
    model = nn.MLP(1, [1], seed=0)
    with trace_lines():
        y = model([Value(1.0)])
    assert y.provenance.scope == ("MLP", "layers[0]", "neurons[0]")
    assert "test_nn_scopes.py" in y.provenance.line


def test_a_call_leaves_the_operators_fast_and_the_path_empty():
    model = nn.Sequential(nn.Affine(1, 2, seed=0), nn.Activation(lambda x: x * int(context.plain)))
    assert [y.data for y in model([1.0])] != [0.0, 0.0]  # every operator went the fast way
    assert context.settings().scope == ()
    with pytest.raises(ValueError, match="x is a list of 1 number"):
        model([1.0, 2.0])
    assert context.settings().scope == ()


def test_without_recording_nothing_is_noted():
    model = nn.MLP(1, [1], seed=0)
    with no_grad():
        assert model([Value(1.0)]).provenance.scope == ()


def test_threads_have_paths_of_their_own():
    model, seen = nn.MLP(1, [2, 1], seed=0), {}

    def work(name):
        with scope(name):
            seen[name] = {model([Value(1.0)]).provenance.scope[0] for _ in range(50)}

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a": {"a"}, "b": {"b"}, "c": {"c"}}


def test_a_custom_activation_is_noted_with_its_neuron_and_nothing_else():
    shift = Value(1.0)
    outside = shift * 2.0
    model = nn.MLP(1, [1, 1], activation=lambda t: outside + t.exp(), seed=0)
    y = model([Value(1.0)])
    hidden = y.parents[0].parents[1]
    assert hidden.primitive.name == "add"
    assert hidden.provenance.scope == ("MLP", "layers[0]", "neurons[0]")
    assert shift.provenance.scope == ()


def test_drawings_show_the_boxes():
    drawing = pytest.importorskip("tinygrad_scalar.drawing")
    model = nn.MLP(2, [2, 1], seed=0)
    text = drawing.to_dot(model([Value(1.0), Value(2.0)]), depth=3)
    for name in ("MLP", "layers[0]", "neurons[1]"):
        assert name in text
