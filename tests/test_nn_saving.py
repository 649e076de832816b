"""Model files: what is written is read back to the bit; damaged and foreign files load nothing."""

import json
import math
import os
import random
import stat
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value, nn, optim
from tinygrad_scalar.nn import files

MODELS = {
    "MLP": nn.MLP(2, [3, 1], activation="tanh", seed=0),
    "Layer": nn.Layer(2, 3, nonlin=False, seed=0),
    "Neuron": nn.Neuron(2, activation="sigmoid", seed=0),
    "Sequential": nn.Sequential(
        nn.Scale(0.5),
        nn.Affine(2, 3, seed=0),
        nn.LayerNorm(3),
        nn.Activation("sin"),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Sequential(nn.Affine(3, 2, bias=False, seed=1), nn.RMSNorm(2, eps=0.5)),
    ),
    "TwoLayerNet": nn.TwoLayerNet(2, 4, 3, seed=0),
}


def outputs(model, x):
    given = model.eval()(x)
    return [y.data for y in given] if isinstance(given, list) else given.data


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_read_back_to_the_bit(name, tmp_path):
    model, path = MODELS[name], tmp_path / "model.json"
    nn.save(model, path)
    again = nn.load(path)
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    assert again.state_dict() == model.state_dict()
    assert outputs(again, [0.5, -2.0]) == outputs(model, [0.5, -2.0])
    assert all(nn.is_parameter(leaf) for leaf in again.parameters())


def test_a_gpt_is_read_back(tmp_path):
    model = nn.GPT(vocabulary=4, context=3, dim=4, heads=2, layers=2, activation="gelu", seed=0)
    nn.save(model, tmp_path / "gpt.json")
    again = nn.load(tmp_path / "gpt.json")
    assert repr(again) == repr(model)
    assert [y.data for y in again([1, 2])[1]] == [y.data for y in model([1, 2])[1]]


@given(st.lists(st.floats(), min_size=3, max_size=3))
def test_every_float_survives(numbers):
    state = files.unpack(json.loads(json.dumps(files.pack(numbers), allow_nan=False)))
    assert [x.hex() for x in state] == [x.hex() for x in numbers]


def test_loading_into_a_model_keeps_its_leaves(tmp_path):
    model, other = nn.MLP(2, [3, 1], seed=0), nn.MLP(2, [3, 1], seed=1)
    leaves = other.parameters()
    nn.save(model, tmp_path / "m.json")
    assert nn.load(tmp_path / "m.json", into=other) is other
    assert other.state_dict() == model.state_dict()
    assert all(a is b for a, b in zip(leaves, other.parameters(), strict=True))


def test_loading_draws_no_random_numbers_from_anyone_else(tmp_path):
    nn.save(nn.MLP(2, [3, 1]), tmp_path / "m.json")
    before = random.getstate()
    nn.load(tmp_path / "m.json")
    assert random.getstate() == before


class Own(nn.Module):
    def __init__(self):
        self.affine = nn.Affine(1, 1, seed=0)

    def forward(self, x):
        return self.affine(x)[0]


@pytest.mark.parametrize(
    "make",
    [
        Own,
        lambda: nn.MLP(1, [2, 1], activation=lambda x: x * x),
        lambda: nn.Sequential(nn.Affine(1, 1), Own()),
    ],
)
def test_a_model_of_your_own_making_is_loaded_into_one(make, tmp_path):
    model, path = make(), tmp_path / "own.json"
    nn.save(model, path)
    again = nn.load(path, into=make())
    assert again.state_dict() == model.state_dict()
    with pytest.raises(
        ValueError, match=r"own\.json: the architecture is not recorded, .*into=mode"
    ):
        nn.load(path)


def another_layer():
    model = nn.MLP(2, [3, 2], seed=0)
    model.layers[1] = nn.Layer(3, 2, activation="tanh", seed=1)
    return model


def another_activation():
    model = nn.MLP(2, [3, 3, 1], seed=0)
    model.layers[1].neurons[2].activation = "sin"
    return model


def a_linear_neuron():
    model = nn.Layer(2, 3, seed=0)
    model.neurons[1].nonlin = False
    return model


def another_eps():
    model = nn.Sequential(nn.Scale(1.0), nn.Block(2, seed=0))
    model[1].before_attention.eps = 1.0
    return model


def tied_weights():
    model = nn.GPT(3, 2, dim=2, heads=1, seed=0)
    model.logits.W = model.tokens.rows
    return model


def one_layer_twice():
    affine = nn.Affine(2, 2, seed=0)
    return nn.Sequential(affine, nn.ReLU(), affine)


def no_biases():
    model = nn.TwoLayerNet(2, 2, 2, seed=0)
    model.layers["Affine2"].b = []
    return model


def one_more_parameter():
    model = nn.Affine(2, 2, seed=0)
    model.temperature = nn.parameter(1.0)
    return model


@pytest.mark.parametrize(
    "make",
    [
        another_layer,
        another_activation,
        a_linear_neuron,
        another_eps,
        tied_weights,
        one_layer_twice,
        no_biases,
        one_more_parameter,
    ],
)
def test_a_model_whose_parts_were_replaced_is_not_taken_for_another(make, tmp_path):
    """The arguments of its class would make one that computes something else."""
    model, path = make(), tmp_path / "m.json"
    for leaf in model.parameters():
        leaf.data += 0.5
    nn.save(model, path)
    with pytest.raises(ValueError, match=r"not recorded, .* shared or replaced: build the model"):
        nn.load(path)
    again = nn.load(path, into=make())
    assert again.state_dict() == model.state_dict()


def test_the_file_is_json_and_says_what_it_is(tmp_path):
    nn.save(nn.MLP(1, [1], seed=0), tmp_path / "m.json")
    record = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert record["format"] == "tinygrad_scalar model"
    assert record["version"] == 1
    assert len(record["sha256"]) == 64
    assert record["content"]["architecture"]["class"] == "MLP"


def test_weights_that_are_not_finite_are_kept(tmp_path):
    model = nn.MLP(2, [1], seed=0)
    model.parameters()[0].data, model.parameters()[1].data = math.inf, -math.inf
    model.parameters()[2].data = math.nan
    nn.save(model, tmp_path / "m.json")
    state = list(nn.load(tmp_path / "m.json").state_dict().values())
    assert state[:2] == [math.inf, -math.inf]
    assert math.isnan(state[2])


# ── damaged, foreign, missing ─────────────────────────────────────────────────────────────────
def damaged(path, change):
    text = change(path.read_text(encoding="utf-8"))
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def one_digit_changed(text):
    at = text.index("0.", text.index('"numbers"')) + 2
    return text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


DAMAGE = {
    "empty": (lambda text: "", "no JSON, so truncated or no model"),
    "truncated": (lambda text: text[: len(text) // 2], "no JSON, so truncated"),
    "short of its last character": (lambda text: text[:-1], "the checksum does not fit"),
    "one digit": (
        one_digit_changed,
        "the checksum does not fit, so the file was damaged or changed",
    ),
    "one name": (lambda text: text.replace('"MLP"', '"GPT"'), "the checksum does not fit"),
    "no checksum": (lambda text: text.replace("sha256", "sha255"), "the checksum does not fit"),
    "NaN": (
        lambda text: text.replace('"numbers":[', '"numbers":[NaN,'),
        "the checksum does not fit",
    ),
    "inf": (lambda text: text.replace('"numbers":[', '"numbers":[1e999,'), "checksum does not fit"),
    "a pickle": (lambda text: b"\x80\x04\x95\x0a\x00", "no JSON, so truncated or no model"),
    "another JSON": (lambda text: '{"weights": [1.0]}', "not a model written by tinygrad_scalar"),
    "a list": (lambda text: "[1, 2]", "not a model written by tinygrad_scalar"),
    "deep": (lambda text: "[" * 100_000, "no JSON, so truncated"),
    "a huge number": (lambda text: "1" * 5_000, "no JSON|not a model"),
    "later": (lambda text: text.replace('"version": 1', '"version": 2'), "version 2 of the format"),
    "a checkpoint": (
        lambda text: text.replace("tinygrad_scalar model", "tinygrad_scalar checkpoint"),
        "not a model written by tinygrad_scalar",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_told_and_loads_nothing(case, tmp_path):
    change, text = DAMAGE[case]
    path = tmp_path / "model.json"
    nn.save(nn.MLP(2, [3, 1], seed=0), path)
    damaged(path, change)
    model = nn.MLP(2, [3, 1], seed=1)
    before = model.state_dict()
    for into in (None, model):
        with pytest.raises(ValueError, match=rf"model\.json: .*({text})"):
            nn.load(path, into=into)
    assert model.state_dict() == before


def rewritten(path, change):
    """The file with another content and a checksum that fits it."""
    content = files.read(path, "model")
    change(content)
    files.write(path, "model", content)


CONTENTS = {
    "class": (lambda c: c["architecture"].update({"class": "Net"}), "which this release does not"),
    "argument": (lambda c: c["architecture"]["arguments"].update(nin=0), "nin is at least 1"),
    "unknown": (lambda c: c["architecture"]["arguments"].update(depth=3), "unexpected keyword"),
    "name": (lambda c: c["state"]["names"].__setitem__(0, "w"), "missing layers.0.neurons.0.w.0"),
    "short": (lambda c: c["state"]["numbers"].pop(), "shorter"),
    "text": (
        lambda c: c["state"]["numbers"].__setitem__(0, "1"),
        "'1' stands where a float should",
    ),
    "int": (lambda c: c["state"]["numbers"].__setitem__(0, 1), "1 stands where a float should"),
    "no state": (lambda c: c.pop("state"), "state"),
    "no architecture": (lambda c: c.pop("architecture"), "architecture"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_a_content_that_is_no_model_is_told(case, tmp_path):
    change, text = CONTENTS[case]
    path = tmp_path / "model.json"
    nn.save(nn.MLP(2, [3, 1], seed=0), path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=rf"model\.json: .*{text}"):
        nn.load(path)


def test_another_architecture_is_told_and_changes_nothing(tmp_path):
    nn.save(nn.MLP(2, [3, 1], seed=0), tmp_path / "model.json")
    for other in (nn.MLP(2, [4, 1], seed=1), nn.MLP(2, [3], seed=1)):
        before = other.state_dict()
        with pytest.raises(ValueError, match=r"model\.json: load_state_dict: .* another model"):
            nn.load(tmp_path / "model.json", into=other)
        assert other.state_dict() == before


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nn.load(tmp_path / "nowhere.json")


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"save: model is an nn\.Module"):
        nn.save([1.0], tmp_path / "m.json")
    nn.save(nn.MLP(1, [1]), tmp_path / "m.json")
    with pytest.raises(TypeError, match=r"load: into is an nn\.Module, not type"):
        nn.load(tmp_path / "m.json", into=nn.MLP)
    from fractions import Fraction

    model = nn.MLP(1, [1])
    model.parameters()[0].data = Fraction(1, 3)
    with pytest.raises(TypeError, match=r"save: layers.0.neurons.0.w.0 is a Fraction, and files"):
        nn.save(model, tmp_path / "m.json")


def test_whole_numbers_and_numpys_floats_are_saved_as_floats(tmp_path):
    model = nn.Affine(2, 1, seed=0)
    model.W[0][0].data, model.W[0][1].data, model.b[0].data = 1, np.float64(0.1), np.int64(3)
    nn.save(model, tmp_path / "m.json")
    state = nn.load(tmp_path / "m.json").state_dict()
    assert state == {"W.0.0": 1.0, "W.0.1": 0.1, "b.0": 3.0}
    assert {type(data) for data in state.values()} == {float}
    for wrong in (np.float32(1.0), None, Fraction(1, 3)):
        model.b[0].data = wrong
        kind = type(wrong).__name__
        with pytest.raises(TypeError, match=rf"save: b\.0 is a {kind}, and files carry floats"):
            nn.save(model, tmp_path / "m.json")


def test_leaves_that_would_be_left_out_are_told(tmp_path):
    class Micro(nn.Module):
        """A module in micrograd's manner: plain Values, told by a method of its own."""

        def __init__(self):
            self.w = [Value(1.0), Value(2.0)]

        def parameters(self):
            return self.w

        def forward(self, x):
            return self.w[0] * x + self.w[1]

    path = tmp_path / "m.json"
    model = Micro()
    with pytest.raises(
        TypeError, match=r"save: Micro\.parameters\(\) gives leaves that state_dict"
    ):
        nn.save(model, path)
    sgd, loss = optim.SGD(model.parameters(), 0.1), nn.mean_squared_error
    with pytest.raises(TypeError, match=r"make them with nn\.parameter\(data\)"):
        nn.fit(model, [1.0], [2.0], loss=loss, optimizer=sgd, steps=1, checkpoint=path)
    assert list(tmp_path.iterdir()) == []
    assert [leaf.data for leaf in model.w] == [1.0, 2.0]
    assert nn.fit(model, [1.0], [2.0], loss=loss, optimizer=sgd, steps=1).loss == [1.0]


# ── atomic ────────────────────────────────────────────────────────────────────────────────────
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    nn.save(nn.MLP(1, [1], seed=0), path)
    old = path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"m\.json cannot be written: No space left on device"):
        nn.save(nn.MLP(1, [1], seed=1), path)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["m.json"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/m\.json"):
        nn.save(nn.MLP(1, [1]), tmp_path / "nowhere" / "m.json")


def test_an_existing_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "m.json"
    nn.save(nn.MLP(1, [1], seed=0), path)
    path.chmod(0o640)
    nn.save(nn.MLP(1, [1], seed=1), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
