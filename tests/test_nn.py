"""Modules: micrograd's interface and numbers, parameters, names, modes, errors."""

import copy
import math
import pickle
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar
from tinygrad_scalar import Value, nn, no_grad, optim
from tinygrad_scalar.core import primitives as table


# ── micrograd's interface ─────────────────────────────────────────────────────────────────────
def test_an_mlp_is_put_together_and_shown_like_micrograds():
    model = nn.MLP(3, [4, 4, 1])
    assert repr(model) == (
        "MLP of [Layer of [ReLUNeuron(3), ReLUNeuron(3), ReLUNeuron(3), ReLUNeuron(3)], "
        "Layer of [ReLUNeuron(4), ReLUNeuron(4), ReLUNeuron(4), ReLUNeuron(4)], "
        "Layer of [LinearNeuron(4)]]"
    )
    assert len(model.parameters()) == 41
    neuron = model.layers[1].neurons[2]
    assert len(neuron.w) == 4
    assert neuron.b.data == 0.0
    assert model.parameters()[16 + 2 * 5 : 16 + 3 * 5] == [*neuron.w, neuron.b]
    assert all(-1.0 <= w.data <= 1.0 for w in neuron.w)


def test_weights_are_drawn_from_pythons_random_as_micrograd_draws_them():
    random.seed(1337)
    model = nn.MLP(2, [16, 16, 1])
    random.seed(1337)
    for layer in model.layers:
        for neuron in layer.neurons:
            assert [w.data for w in neuron.w] == [random.uniform(-1, 1) for _ in neuron.w]


def test_one_output_is_a_value_and_several_are_a_list():
    assert isinstance(nn.MLP(2, [3, 1])([1.0, 2.0]), Value)
    assert isinstance(nn.Layer(2, 1)([1.0, 2.0]), Value)
    assert isinstance(nn.Neuron(2)([1.0, 2.0]), Value)
    assert [type(y) for y in nn.MLP(2, [3, 2])([1.0, 2.0])] == [Value, Value]
    assert isinstance(nn.MLP(2, [1, 1])([1.0, 2.0]), Value)


def by_hand(model, x):
    """The outputs in operators alone, as micrograd computes them."""
    for depth, layer in enumerate(model.layers, start=1):
        x = [sum((w * a for w, a in zip(n.w, x, strict=True)), n.b) for n in layer.neurons]
        x = x if depth == len(model.layers) else [a.relu() for a in x]
    return x


@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_values_and_gradients_are_those_of_the_operators(widths, seed):
    model = nn.MLP(widths[0], widths[1:], seed=seed)
    source = random.Random(seed)
    x = [Value(source.uniform(-1, 1)) for _ in range(widths[0])]
    leaves = [*model.parameters(), *x]
    given = model(x)
    ours = sum(given) if isinstance(given, list) else given
    theirs = sum(by_hand(model, x))
    assert ours.data == pytest.approx(theirs.data, rel=1e-13, abs=1e-14)
    actual, expected = ours.backward(inputs=leaves), theirs.backward(inputs=leaves)
    largest = max(abs(expected[leaf]) for leaf in leaves)
    assert all(abs(actual[leaf] - expected[leaf]) <= 1e-13 * largest for leaf in leaves)


def test_the_demo_of_micrograd_runs_word_for_word():
    random.seed(1)
    model = nn.MLP(2, [16, 16, 1])
    X = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(20)]
    y = [1 if a * b > 0 else -1 for a, b in X]

    def loss():
        inputs = [list(map(Value, xrow)) for xrow in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in model.parameters())
        total_loss = data_loss + reg_loss
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(y, scores, strict=True)]
        return total_loss, sum(accuracy) / len(accuracy)

    course = []
    for k in range(30):
        total_loss, acc = loss()
        model.zero_grad()
        total_loss.backward()
        learning_rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= learning_rate * 0.1 * p.grad
        course.append(total_loss.data)
    assert course[-1] < 0.3 * course[0]
    assert acc >= 0.9


def test_a_neuron_is_three_nodes():
    x = [Value(1.0), Value(2.0)]
    y = nn.Neuron(2)(x)
    product = y.parents[0].parents[0]
    assert (y.primitive, y.parents[0].primitive) == (table.relu, table.add)
    assert product.primitive is table.dot
    assert product.parents[2:] == (x[0], x[1])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("tanh", math.tanh(2.5)),
        ("sigmoid", 1 / (1 + math.exp(-2.5))),
        ("identity", 2.5),
        ("leaky_relu", 2.5),
        (lambda t: t * t, 6.25),
        (tinygrad_scalar.sin, math.sin(2.5)),
    ],
)
def test_activations_by_name_and_by_callable(activation, expected):
    neuron = nn.Neuron(2, activation=activation)
    neuron.w[0].data, neuron.w[1].data, neuron.b.data = 1.0, -1.0, 0.5
    assert neuron([3.0, 1.0]).data == pytest.approx(expected, rel=1e-15)
    linear = nn.Neuron(2, nonlin=False, activation=activation)
    linear.load_state_dict(neuron.state_dict())
    assert linear([3.0, 1.0]).data == 2.5


def test_what_is_written_to_a_neuron_counts_from_the_next_call():
    neuron = nn.Neuron(1, init=lambda nin, nout: -1.0)
    neuron.nonlin = False  # as micrograd reads it
    assert neuron([2.0]).data == -2.0
    neuron.nonlin, neuron.activation = True, "tanh"
    assert neuron([2.0]).data == pytest.approx(math.tanh(-2.0), rel=1e-15)
    assert repr(neuron) == "TanhNeuron(1)"
    with pytest.raises(ValueError, match="not 'tan2'"):
        neuron.activation = "tan2"
    assert neuron.activation == "tanh"
    for twin in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron))):
        assert twin([2.0]).data == neuron([2.0]).data


def test_inputs_may_be_numbers_values_tuples_and_arrays():
    model = nn.MLP(2, [3, 1], seed=0)
    expected = model([0.5, -1.0]).data
    for x in ([Value(0.5), -1], (0.5, -1.0), np.array([0.5, -1.0]), np.array([0.5, -1.0]).tolist()):
        assert model(x).data == expected


# ── initialisation ────────────────────────────────────────────────────────────────────────────
def test_a_seed_gives_the_same_model_and_leaves_pythons_random_alone():
    random.seed(5)
    before = random.getstate()
    first, second = nn.MLP(3, [4, 2], seed=7), nn.MLP(3, [4, 2], seed=7)
    assert first.state_dict() == second.state_dict() != nn.MLP(3, [4, 2], seed=8).state_dict()
    assert random.getstate() == before
    assert len(set(first.state_dict().values())) == 3 * 4 + 4 * 2 + 1  # biases share their 0.0


@pytest.mark.parametrize(
    ("init", "deviation", "bound"),
    [
        ("uniform", 1 / math.sqrt(3), 1.0),
        ("normal", 1.0, math.inf),
        ("he", math.sqrt(2 / 50), math.inf),
        ("glorot", math.sqrt(2 / (50 + 200)), math.sqrt(6 / (50 + 200))),
    ],
)
def test_initial_weights_have_the_documented_spread(init, deviation, bound):
    model = nn.MLP(50, [200], init=init, seed=1)
    weights = [w.data for neuron in model.layers[0].neurons for w in neuron.w]
    n = len(weights)
    assert abs(math.fsum(weights) / n) < 5 * deviation / math.sqrt(n)
    spread = math.sqrt(math.fsum(w * w for w in weights) / n)
    assert spread == pytest.approx(deviation, rel=5 / math.sqrt(2 * n))
    assert max(map(abs, weights)) <= bound
    assert all(neuron.b.data == 0.0 for neuron in model.layers[0].neurons)


def test_a_callable_init_gets_the_widths():
    asked = set()

    def init(nin, nout):
        asked.add((nin, nout))
        return 0.25

    model = nn.MLP(3, [4, 2], init=init)
    assert asked == {(3, 4), (4, 2)}
    assert {w.data for layer in model.layers for n in layer.neurons for w in n.w} == {0.25}


# ── parameters and names ──────────────────────────────────────────────────────────────────────
class Tied(nn.Module):
    """Parameters in every kind of place, one of them twice."""

    def __init__(self):
        self.scale = nn.parameter(2.0)
        self.table = {"a": nn.parameter(3.0), "b": [nn.parameter(4.0)]}
        self.inner = (nn.Affine(1, 1, seed=0), nn.ReLU())
        self.again = self.scale
        self.constant = Value(9.0)
        self.cache = None

    def forward(self, x):
        self.cache = self.scale * x
        return self.cache


def test_parameters_are_found_once_and_named_by_their_place():
    model = Tied()
    model(1.0)
    names = ["scale", "table.a", "table.b.0", "inner.0.W.0.0", "inner.0.b.0"]
    assert [name for name, _ in model.named_parameters()] == names
    by_name = dict(model.named_parameters())
    assert all(a is b for a, b in zip(model.parameters(), by_name.values(), strict=True))
    assert model.parameters()[0] is model.scale
    assert list(model.state_dict()) == names
    assert [type(m).__name__ for _, m in model.named_modules()] == ["Tied", "Affine", "ReLU"]


def calls_made_by(work):
    """How many functions of Python run until `work` has."""
    calls = []
    sys.setprofile(lambda frame, event, given: calls.append(event) if event == "call" else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(calls)


def test_parameters_are_not_looked_for_in_what_a_call_notes():
    model = nn.MLP(2, [4, 1], seed=0)
    before = calls_made_by(model.parameters)
    model([1.0, 2.0])
    assert calls_made_by(model.parameters) == before


@pytest.mark.parametrize(
    ("make", "attribute", "leaves"),
    [
        (lambda: nn.Neuron(2), "w", lambda: [Value(1.0), Value(2.0)]),  # as with micrograd's
        (lambda: nn.Neuron(2), "b", lambda: Value(1.0)),
        (lambda: nn.Affine(2, 1), "W", lambda: [[Value(1.0), Value(2.0)]]),
        (lambda: nn.Embedding(1, 2), "rows", lambda: [[Value(1.0), Value(2.0)]]),
        (lambda: nn.LayerNorm(2), "gain", lambda: [Value(1.0), Value(2.0)]),
        (lambda: nn.RMSNorm(2), "gain", lambda: [Value(1.0), Value(2.0)]),
    ],
)
def test_any_leaf_in_the_place_of_a_weight_is_a_parameter(make, attribute, leaves):
    model = nn.Sequential(make())
    names = list(model.state_dict())
    setattr(model[0], attribute, leaves())
    assert list(model.state_dict()) == names
    assert 1.0 in model.state_dict().values()
    assert len(model.parameters()) == len(names)
    model[0].constant = Value(3.0)  # elsewhere it is none
    assert len(model.parameters()) == len(names)


def test_what_a_weight_was_computed_from_is_the_parameter():
    neuron = nn.Neuron(2, seed=0)
    neuron.theta = nn.parameter(0.5)
    neuron.w = [neuron.theta * 2.0, neuron.theta + 1.0]
    assert neuron.parameters() == [neuron.b, neuron.theta]


class Own(nn.Module):
    """A module in micrograd's way: its leaves are Values, and `parameters` tells of them."""

    def __init__(self, *inside):
        self.w, self.inside = Value(2.0), inside

    def __call__(self, x):
        return self.w * x[0]

    def parameters(self):
        return [*super().parameters(), self.w]


def test_a_module_that_tells_its_parameters_is_asked_wherever_it_stands():
    class Frozen(nn.Neuron):
        def parameters(self):
            return []

    own, affine = Own(), nn.Affine(1, 1, seed=0)
    assert nn.Sequential(affine, own).parameters() == [*affine.parameters(), own.w]
    outer = Own(nn.Sequential(own))
    assert [leaf is own.w for leaf in outer.parameters()] == [True, False]
    layer = nn.Layer(2, 3, seed=0)
    layer.neurons[1] = Frozen(2, seed=0)
    assert layer.parameters() == [leaf for i in (0, 2) for leaf in layer.neurons[i].parameters()]
    assert len(layer.state_dict()) == 9
    layer.zero_grad()
    first, second = Own(), Own()
    first.inside, second.inside = [second], [first]  # each would ask the other for ever
    assert [leaf is first.w for leaf in first.parameters()] == [True]


def test_a_neuron_of_ones_own_is_called_in_its_own_way():
    class Tangent(nn.Neuron):
        def __call__(self, x):
            return sum((w * a for w, a in zip(self.w, x, strict=True)), self.b).tanh()

    layer = nn.Layer(2, 2, nonlin=False, init=lambda nin, nout: 0.5)
    layer.neurons[1] = Tangent(2, init=lambda nin, nout: 0.5)
    expected = [3.0, math.tanh(3.0)]
    assert [y.data for y in layer([2.0, 4.0])] == pytest.approx(expected, rel=1e-15)
    with no_grad():
        assert [y.data for y in layer([2.0, 4.0])] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("nouts", [(3, 1), np.array([3, 1])])
def test_widths_may_stand_in_a_tuple_or_an_array(nouts):
    assert repr(nn.MLP(2, nouts)) == repr(nn.MLP(2, [3, 1]))


def test_parameters_in_arrays_of_objects_are_found():
    class Matrix(nn.Module):
        def __init__(self):
            self.W = np.array([[nn.parameter(i + 2.0 * j) for i in range(2)] for j in range(2)])
            self.floats = np.ones(3)
            self.layers = np.array([nn.Affine(1, 1, seed=0), None])

        def forward(self, x):
            return list(self.W @ np.array(x))

    model = Matrix()
    names = ["W.0.0", "W.0.1", "W.1.0", "W.1.1", "layers.0.W.0.0", "layers.0.b.0"]
    assert list(model.state_dict()) == names
    assert [leaf.data for leaf in model.parameters()][:4] == [0.0, 1.0, 2.0, 3.0]
    assert nn.mean_squared_error(model([1.0, 2.0]), [1.0, 4.0]).backward()[model.W[1, 1]] == 8.0
    optim.SGD(model.parameters(), 0.5).step()
    assert model.W[1, 1].data == -1.0


def test_a_model_may_be_a_function_of_its_weights_compiled_too():
    def loss(weights):
        model, rest = nn.MLP(2, [2, 1], activation="tanh", seed=0), iter(weights)
        for neuron in (neuron for layer in model.layers for neuron in layer.neurons):
            neuron.w, neuron.b = [next(rest) for _ in neuron.w], next(rest)
        assert not any(type(leaf) is not Value for leaf in model.parameters())
        return nn.binary_cross_entropy(model([0.5, -0.25]), 1)

    model = nn.MLP(2, [2, 1], activation="tanh", seed=3)
    nn.binary_cross_entropy(model([0.5, -0.25]), 1).backward()
    weights = [leaf.data for leaf in model.parameters()]
    expected = [leaf.grad for leaf in model.parameters()]
    for gradient in (tinygrad_scalar.grad(loss), tinygrad_scalar.compile(loss).grad):
        assert gradient(weights) == pytest.approx(expected, rel=1e-14)


def test_modules_that_hold_each_other_are_walked_once():
    outer, inner = Tied(), Tied()
    outer.inner, inner.owner = inner, outer
    assert len(outer.parameters()) == 8
    assert len(list(outer.named_modules())) == 4
    assert "..." in repr(outer)


def test_zero_grad_touches_every_parameter():
    model = nn.MLP(2, [3, 1], seed=0)
    model([1.0, 2.0]).backward()
    assert any(leaf.grad for leaf in model.parameters())
    model.zero_grad()
    assert all(leaf.grad == 0.0 for leaf in model.parameters())


def test_state_goes_from_one_model_to_another():
    first, second = nn.MLP(2, [3, 1], seed=0), nn.MLP(2, [3, 1], seed=1)
    second.load_state_dict(first.state_dict())
    assert second([0.5, 0.25]).data == first([0.5, 0.25]).data


def test_a_state_that_does_not_fit_changes_nothing():
    model = nn.MLP(2, [3, 1], seed=0)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"missing layers\.0\.neurons\.0\.w\.0, .* and 10 more$"):
        model.load_state_dict({})
    state = {**before, "layers.9.b": 1.0}
    with pytest.raises(ValueError, match=r"another model than this MLP; unknown layers\.9\.b$"):
        model.load_state_dict(state)
    state = {**before, "layers.1.neurons.0.b": "1"}
    with pytest.raises(TypeError, match=r"layers\.1\.neurons\.0\.b is str, give a number"):
        model.load_state_dict(state)
    with pytest.raises(TypeError, match="the state is a dict of names and numbers, not list"):
        model.load_state_dict([1.0] * 13)
    assert model.state_dict() == before


def test_models_are_copied_and_pickled_with_what_makes_them_trainable():
    model = nn.MLP(2, [3, 1], seed=0)
    model([1.0, 1.0])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_dict() == model.state_dict()
        assert twin([0.5, 2.0]).data == model([0.5, 2.0]).data
        twin.parameters()[0].data = 100.0
        assert model.parameters()[0].data != 100.0


def test_parameters_are_told_from_other_leaves():
    w, x = nn.parameter(1.0, label="w"), Value(2.0)
    y = w * x
    assert [nn.is_parameter(v) for v in (w, x, y, 1.0, nn.MLP(1, [1]).parameters()[0])] == [
        True,
        False,
        False,
        False,
        True,
    ]
    w.label = "weight"
    assert nn.is_parameter(w)
    assert nn.is_parameter(copy.copy(w))
    assert not nn.is_parameter(w.detach())
    assert nn.parameters_below(y * y) == [w]
    with pytest.raises(TypeError, match="a Value carries one real number, not str"):
        nn.parameter("1")


# ── modules between layers ────────────────────────────────────────────────────────────────────
def test_affine_takes_one_list_or_a_batch():
    affine = nn.Affine(3, 2, seed=0)
    W = np.array([[w.data for w in row] for row in affine.W])
    affine.b[0].data, affine.b[1].data = 0.5, -0.5
    X = np.arange(12.0).reshape(4, 3)
    expected = X @ W.T + [0.5, -0.5]
    batch = affine(X.tolist())
    assert np.array([[y.data for y in row] for row in batch]) == pytest.approx(expected)
    assert [y.data for y in affine(X[1].tolist())] == pytest.approx(expected[1].tolist())
    assert nn.Affine(3, 2, bias=False).b == []
    assert repr(nn.Affine(3, 2, bias=False)) == "Affine(3, 2, bias=False)"


def test_sequential_runs_its_modules_in_order():
    model = nn.Sequential(nn.Affine(2, 3, seed=0), nn.Tanh(), nn.Affine(3, 1, seed=1))
    inner = [tinygrad_scalar.tanh(y) for y in model[0]([1.0, 2.0])]
    assert model([1.0, 2.0])[0].data == model[2](inner)[0].data
    assert len(model) == 3
    assert len(model.parameters()) == 9 + 4
    assert repr(model) == "Sequential(Affine(2, 3), Tanh(), Affine(3, 1))"


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (nn.ReLU(), tinygrad_scalar.relu),
        (nn.LeakyReLU(), tinygrad_scalar.leaky_relu),
        (nn.Tanh(), math.tanh),
        (nn.Sigmoid(), tinygrad_scalar.sigmoid),
        (nn.GELU(), tinygrad_scalar.gelu),
        (nn.SiLU(), tinygrad_scalar.silu),
        (nn.Softplus(), tinygrad_scalar.softplus),
        (nn.Activation("sin"), math.sin),
    ],
)
def test_activation_modules_work_on_nested_lists_and_bare_numbers(module, function):
    assert module([[-1.0, 2.0], [0.5]]) == [[function(-1.0), function(2.0)], [function(0.5)]]
    assert module(0.25) == function(0.25)
    x = Value(0.75)
    assert module([x])[0].data == function(0.75)


def test_dropout_drops_in_training_only():
    dropout = nn.Dropout(0.25, seed=3)
    ones = [1.0] * 4_000
    dropped = dropout(ones)
    assert set(dropped) == {0.0, 1 / 0.75}
    share = dropped.count(0.0) / 4_000
    assert share == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 4_000))
    assert dropout(ones) != dropped
    dropout.eval()
    assert dropout(ones) is ones
    assert nn.Dropout(0.0)(ones) is ones


@pytest.mark.parametrize("seed", [None, 0])
def test_dropout_in_training_is_not_compiled(seed):
    """It draws anew at each call, and compiled code would repeat one mask."""
    model = nn.Sequential(nn.Dropout(0.5, seed=seed))
    loss = tinygrad_scalar.compile(lambda x: tinygrad_scalar.sum(model([x] * 5)))
    with pytest.raises(tinygrad_scalar.TraceError, match=r"Dropout draws anew .* model\.eval\(\)"):
        loss(1.0)
    model.eval()
    assert loss(1.0) == 5.0


def test_dropout_passes_the_gradient_where_it_did_not_drop():
    xs = [Value(1.0) for _ in range(20)]
    ys = nn.Dropout(0.5, seed=0)(xs)
    gradient = tinygrad_scalar.sum(ys).backward()
    assert [gradient[x] for x in xs] == [y.data for y in ys]
    assert {0.0, 2.0} == {y.data for y in ys}


def test_dropout_without_a_seed_draws_from_pythons_random():
    random.seed(11)
    first = nn.Dropout()([1.0] * 30)
    random.seed(11)
    assert nn.Dropout()([1.0] * 30) == first


def test_train_and_eval_reach_every_module():
    model = nn.Sequential(nn.Affine(1, 1), nn.Sequential(nn.Dropout(0.5)))
    assert model.eval() is model
    assert [module.training for _, module in model.named_modules()] == [False] * 4
    model.train()
    assert all(module.training for _, module in model.named_modules())


# ── errors ────────────────────────────────────────────────────────────────────────────────────
MODEL = nn.MLP(2, [3, 1])
REFUSED = {
    "short": (lambda: MODEL([1.0]), ValueError, "MLP: x is a list of 2 numbers, and got 1"),
    "long": (lambda: MODEL([1.0] * 3), ValueError, "MLP: x is a list of 2 numbers, and got 3"),
    "bare": (lambda: MODEL(1.0), TypeError, "MLP: x is a list of 2 numbers, not float"),
    "neuron": (lambda: nn.Neuron(2)([1.0]), ValueError, r"ReLUNeuron\(2\): x is a list of 2 numb"),
    "affine": (lambda: nn.Affine(2, 1)([1.0]), ValueError, r"Affine\(2, 1\): x is a list of 2"),
    "batch": (lambda: nn.Affine(2, 1)([[1.0]]), ValueError, r"Affine\(2, 1\): x is a list of 2"),
    "empty": (lambda: nn.Affine(2, 1)([]), ValueError, r"x is a list of 2 numbers, and got 0"),
    "text": (lambda: MODEL(["a", "b"]), TypeError, "not str: convert it with float"),
    "nin 0": (lambda: nn.MLP(0, [1]), ValueError, "MLP: nin is at least 1, not 0"),
    "nouts": (lambda: nn.MLP(2, []), ValueError, "MLP: nouts is empty: give the width of at leas"),
    "nouts int": (lambda: nn.MLP(2, 3), TypeError, "MLP: nouts is a list of widths, not int"),
    "nout 0": (lambda: nn.MLP(2, [3, 0]), ValueError, "MLP: nouts is at least 1, not 0"),
    "nout 1.5": (lambda: nn.MLP(2, [1.5]), TypeError, "MLP: nouts is a whole number, not float"),
    "activation": (
        lambda: nn.MLP(2, [1], activation="rleu"),
        ValueError,
        "activation is a function of one number in the table of primitives, .* not 'rleu'",
    ),
    "binary": (lambda: nn.Neuron(2, activation="mul"), ValueError, "one number .* not 'mul'"),
    "activation 3": (lambda: nn.Neuron(2, activation=3), TypeError, "a callable, not int"),
    "init": (
        lambda: nn.MLP(2, [1], init="xavier"),
        ValueError,
        "init is one of 'uniform', 'normal', 'he', 'glorot' or a callable .* not 'xavier'",
    ),
    "init 1": (lambda: nn.MLP(2, [1], init=1.0), TypeError, "init is a name or a callable"),
    "p": (lambda: nn.Dropout(1.0), ValueError, "Dropout: p is the probability of dropping, 0 ≤ p"),
    "p text": (lambda: nn.Dropout("a"), TypeError, "p is the probability of dropping, not str"),
    "no modules": (nn.Sequential, ValueError, "Sequential: there are no modules"),
    "a list": (lambda: nn.Sequential([nn.ReLU()]), TypeError, r"write Sequential\(\*modules\)"),
    "scale": (lambda: nn.Scale("2"), TypeError, "Scale: factor is a number, not str"),
    "forward": (lambda: nn.Module()(1), NotImplementedError, r"Module: define forward\(self, ..."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    call, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        call()


def test_without_recording_a_model_makes_leaves():
    model = nn.MLP(2, [3, 2], seed=0)
    with no_grad():
        outputs = model([1.0, 2.0])
    assert all(y.primitive is None for y in outputs)
    assert [y.data for y in outputs] == [y.data for y in model([1.0, 2.0])]


# ── classes ───────────────────────────────────────────────────────────────────────────────────
def test_predict_and_accuracy():
    model = nn.Affine(2, 3, init=lambda nin, nout: 1.0)
    model.b[2].data = 1.0
    label, probability = nn.predict(model, [0.5, 0.5])
    assert label == 2
    assert probability == pytest.approx(math.e / (2 + math.e))
    single = nn.MLP(1, [1], init=lambda nin, nout: 1.0)
    assert nn.predict(single, [1000.0]) == (1, 1.0)
    assert nn.predict(single, [-3.0]) == (0, pytest.approx(1 / (1 + math.exp(-3.0))))
    assert nn.accuracy(single, [[1.0], [-1.0], [2.0], [3.0]], [1, 0, 1, 0]) == 0.75
    with pytest.raises(ValueError, match="accuracy: 1 examples and 0 targets"):
        nn.accuracy(single, [[1.0]], [])
    with pytest.raises(TypeError, match="predict: the model gives a list, and no list of logits"):
        nn.predict(nn.Affine(1, 2), [[1.0], [2.0]])


@pytest.mark.parametrize(
    ("outputs", "targets", "told"),
    [
        (1, [1, -1], "target 1 is -1, and the model tells classes 0 to 1"),  # as `hinge` takes them
        (1, [1, 2], "target 1 is 2, and the model tells classes 0 to 1"),
        (3, [0, 3], "target 1 is 3, and the model tells classes 0 to 2"),
        (3, [0.5, 1], "target 0 is 0.5, and the model tells classes 0 to 2"),
        (2, [[0, 1], [1, 0]], r"target 0 is \[0, 1\], and the model tells classes 0 to 1"),
    ],
)
def test_a_target_that_is_none_of_the_classes_is_not_counted_as_wrong(outputs, targets, told):
    with pytest.raises(ValueError, match="accuracy: " + told):
        nn.accuracy(nn.MLP(1, [outputs], seed=0), [[1.0], [-1.0]], targets)


def test_accuracy_of_the_two_layer_net_is_that_of_any_model():
    net = nn.TwoLayerNet(2, 3, 2, seed=0)
    X = [[1.0, 2.0], [-1.0, 0.5]]
    assert net.accuracy(X, [1, 1]) == nn.accuracy(net, X, [1, 1])
    for targets in ([1, 5], [[0, 1], [1, 0]], np.eye(2)):
        with pytest.raises(ValueError, match="the model tells classes 0 to 1"):
            net.accuracy(X, targets)
    with pytest.raises(ValueError, match="accuracy: 0 examples and 0 targets"):
        net.accuracy([], [])


def test_the_gradient_of_the_two_layer_net_leaves_what_was_added_up():
    net = nn.TwoLayerNet(1, 1, 2, seed=0)
    for leaf in net.parameters():
        leaf.grad = 7.0
    gradient = net.gradient([[1.0]], [0])
    assert gradient["b2"] == pytest.approx([-0.5, 0.5], rel=1e-3)
    assert {leaf.grad for leaf in net.parameters()} == {7.0}


def test_predict_looks_in_evaluation_and_changes_no_mode():
    model = nn.Sequential(nn.Dropout(0.9, seed=0), nn.Affine(1, 2, seed=0))
    model[1].eval()
    modes = [module.training for _, module in model.named_modules()]
    assert len({nn.predict(model, [1.0]) for _ in range(10)}) == 1
    assert [module.training for _, module in model.named_modules()] == modes


def test_a_parameter_without_a_label_stays_trainable_when_copied():
    w = nn.parameter(1.0)
    assert nn.is_parameter(copy.deepcopy(w))
    assert nn.is_parameter(pickle.loads(pickle.dumps(w)))
