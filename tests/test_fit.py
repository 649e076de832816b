"""Training: the gradient it descends, minibatches, validation, stopping, and being killed."""

import concurrent.futures
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tinygrad_scalar import Value, data, nn, optim
from tinygrad_scalar.nn import callbacks, replay, training

X, Y = data.moons(12, noise=0.05)
POINTS = [[float(i), 1.0] for i in range(10)]


def model_and_optimizer(seed=0, lr=0.1, width=3):
    model = nn.MLP(2, [width, 1], activation="tanh", seed=seed)
    return model, optim.Adam(model.parameters(), lr)


def fit(model, optimizer, X=X, y=Y, **options):
    options.setdefault("loss", nn.binary_cross_entropy)
    return nn.fit(model, X, y, optimizer=optimizer, **options)


# ── what a step is ────────────────────────────────────────────────────────────────────────────
def test_a_full_batch_step_descends_the_mean_loss():
    model, twin = nn.MLP(2, [3, 1], seed=0), nn.MLP(2, [3, 1], seed=0)
    history = fit(model, optim.SGD(model.parameters(), 0.5), steps=1)
    mean = nn.binary_cross_entropy([twin(x) for x in X], Y)
    mean.backward()
    assert history.loss == [pytest.approx(mean.data, rel=1e-14)]
    for leaf, expected in zip(model.parameters(), twin.parameters(), strict=True):
        assert leaf.data == pytest.approx(expected.data - 0.5 * expected.grad, rel=1e-13)


def test_the_loss_of_a_step_is_that_before_it():
    model, optimizer = model_and_optimizer()
    before = nn.mean_loss(model, nn.binary_cross_entropy, X, Y)
    history = fit(model, optimizer, steps=2)
    assert history.loss[0] == pytest.approx(before, rel=1e-14)
    assert history.loss[1] != history.loss[0]


class Watched(nn.Module):
    """Notes which examples it sees."""

    def __init__(self):
        self.w, self.seen = nn.parameter(0.0), []

    def forward(self, x):
        self.seen.append(x[0])
        return self.w * x[0]


def seen_in(**options):
    model = Watched()
    nn.fit(
        model,
        POINTS,
        [0.0] * 10,
        loss=nn.mean_squared_error,
        optimizer=optim.SGD(model.parameters(), 1e-6),
        **options,
    )
    return model.seen


def test_every_epoch_visits_every_example_once_in_another_order():
    seen = seen_in(epochs=3, batch_size=4)
    epochs = [seen[10 * e : 10 * (e + 1)] for e in range(3)]
    assert all(sorted(epoch) == [float(i) for i in range(10)] for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert seen == seen_in(epochs=3, batch_size=4)
    assert seen != seen_in(epochs=3, batch_size=4, seed=1)


def test_steps_and_epochs_count_minibatches():
    assert len(seen_in(epochs=2, batch_size=4)) == 20
    assert len(seen_in(steps=2, batch_size=4)) == 8
    assert len(seen_in(steps=3, batch_size=4)) == 10  # the last batch of an epoch is the rest
    assert len(seen_in(steps=2, batch_size=100)) == len(seen_in(steps=2)) == 20


def test_targets_stay_with_their_examples():
    pairs = []

    def loss(output, target):
        pairs.append((output.data, target))
        return nn.mean_squared_error(output, target)

    model = Watched()
    model.w.data = 1.0
    nn.fit(
        model,
        POINTS,
        [float(i) for i in range(10)],
        loss=loss,
        optimizer=optim.SGD(model.parameters(), 0.1),
        epochs=2,
        batch_size=3,
    )
    assert all(output == pytest.approx(target) for output, target in pairs)


def test_training_leaves_no_gradient_of_earlier_steps():
    model, _ = model_and_optimizer()
    for leaf in model.parameters():
        leaf.grad = 1e6
    twin, _ = model_and_optimizer()
    for each in (model, twin):
        fit(each, optim.SGD(each.parameters(), 0.1), steps=2)
    assert model.state_dict() == twin.state_dict()


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_an_example_that_fails_leaves_no_gradient_of_those_before_it(error):
    model, _ = model_and_optimizer()
    before = model.state_dict()
    for leaf in model.parameters():
        leaf.grad = 1.0

    def loss(output, target):
        if target == 2.0:
            raise error("the third example")
        return (output - target) ** 2

    sgd = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(error):
        nn.fit(model, POINTS[:3], [0.0, 1.0, 2.0], loss=loss, optimizer=sgd, steps=1)
    assert [leaf.grad for leaf in model.parameters()] == [0.0] * len(model.parameters())
    assert model.state_dict() == before


def test_dropout_is_on_in_training_and_off_in_validation():
    modes = []

    class Mode(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    model = nn.Sequential(Mode(), nn.MLP(2, [1], seed=0)).eval()
    fit(model, optim.SGD(model.parameters(), 0.1), steps=1, validation=(X[:3], Y[:3]))
    assert modes == [True] * 12 + [False] * 3
    assert not model.training


# ── history, validation, callbacks ────────────────────────────────────────────────────────────
def test_validation_is_measured_after_every_epoch_and_at_the_end():
    model, optimizer = model_and_optimizer()
    history = fit(model, optimizer, steps=8, batch_size=4, validation=(X[:5], Y[:5]))
    assert len(history.loss) == 8
    assert len(history.val_loss) == 3  # after steps 3, 6 and 8
    last = nn.mean_loss(model, nn.binary_cross_entropy, X[:5], Y[:5])
    assert history.val_loss[-1] == last


def test_callbacks_are_told_of_every_step_and_may_stop():
    calls = []

    def stop_at_3(step, history):
        calls.append((step, len(history.loss)))
        return step == 3

    later = []
    history = fit(
        *model_and_optimizer(), steps=10, callbacks=[stop_at_3, lambda step, _: later.append(step)]
    )
    assert calls == [(1, 1), (2, 2), (3, 3)]
    assert later == [1, 2, 3]
    assert history.steps == 3


def test_early_stopping_waits_for_patience_and_counts_validations():
    stop = nn.EarlyStopping(2)
    losses = [0.9, 0.5, 0.6, 0.4, 0.4, 0.7, 0.1]
    history = callbacks.History()
    told = []
    for step, loss in enumerate(losses, start=1):
        history.loss.append(loss)
        told.append(stop(step, history))
    assert told == [False, False, False, False, False, True, False]
    assert nn.EarlyStopping(2)(6, callbacks.History(losses[:6]))
    assert not nn.EarlyStopping(2)(9, callbacks.History([0.1, 0.2, 0.3], [0.5]))
    assert nn.EarlyStopping(1, min_delta=0.2)(2, callbacks.History([0.5, 0.4]))


def test_early_stopping_waits_for_the_first_validation():
    """The losses of single minibatches do not count where there is validation."""
    model, optimizer = model_and_optimizer()
    stop = nn.EarlyStopping(1)
    options = {"batch_size": 1, "validation": (X, Y), "callbacks": [stop]}
    rising = fit(model, optimizer, epochs=1, **options)
    assert any(b >= a for a, b in zip(rising.loss, rising.loss[1:], strict=False))
    assert (rising.steps, len(rising.val_loss)) == (12, 1)


def test_early_stopping_ends_a_run_that_no_longer_improves():
    model = Watched()
    model.w.data = 1.0
    history = nn.fit(
        model,
        [[1.0]],
        [1.0],
        loss=nn.mean_squared_error,
        optimizer=optim.SGD(model.parameters(), 0.1),
        steps=100,
        callbacks=[nn.EarlyStopping(4)],
    )
    assert history.loss == [0.0] * 5


# ── progress ──────────────────────────────────────────────────────────────────────────────────
class Terminal:
    """Standard error as a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize(("progress", "shown"), [(None, True), (True, True), (False, False)])
def test_a_terminal_shows_a_bar_with_the_loss(progress, shown, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    history = fit(*model_and_optimizer(), steps=5, progress=progress)
    assert ("5/5" in terminal.text) is shown
    assert (f"loss {history.loss[-1]:.4f}" in terminal.text) is shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_of_unknown_width_shows_the_bar_too():
    import pty

    ours, theirs = pty.openpty()  # 0 columns, as told by many that are no windows
    code = (
        "from tinygrad_scalar import nn, optim; model = nn.MLP(1, [1]);"
        "sgd = optim.SGD(model.parameters(), 0.1);"
        "nn.fit(model, [[1.0]], [1.0], loss=nn.hinge, optimizer=sgd, steps=5)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"5/5" not in shown:
            shown += os.read(ours, 1024)  # an error at its end
    finally:
        os.close(ours)
        run.wait()


@pytest.mark.parametrize("progress", [None, True, False])
def test_without_a_console_training_goes_on(progress, monkeypatch):
    """`sys.stderr` is None under pythonw, and in a service that has closed it."""
    monkeypatch.setattr(sys, "stderr", None)
    assert fit(*model_and_optimizer(), steps=2, progress=progress).steps == 2


@pytest.mark.parametrize(("progress", "lines"), [(None, 0), (True, 10), (False, 0)])
def test_a_log_has_a_few_plain_lines(progress, lines, capsys):
    history = fit(*model_and_optimizer(), steps=30, progress=progress, validation=(X[:2], Y[:2]))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == lines
    if lines:
        last = f"loss {history.loss[-1]:.4f}, validation loss {history.val_loss[-1]:.4f}"
        assert told[-1] == f"step 30 of 30: {last}"


# ── the place of the compiled tape ────────────────────────────────────────────────────────────
def replayed(monkeypatch):
    """The minibatches that go the compiled way from now on."""
    pytest.importorskip("llvmlite")
    seen = []
    backward = replay.Replay.backward

    def noting(self, batch):
        seen.append(len(batch))
        return backward(self, batch)

    monkeypatch.setattr(replay.Replay, "backward", noting)
    monkeypatch.setattr(replay, "_WORTH_IT", 0)
    return seen


CASES = {
    "moons": (lambda: nn.MLP(2, [3, 1], seed=0), nn.binary_cross_entropy, X, Y),
    "hinge": (lambda: nn.MLP(2, [3, 1], seed=0), nn.hinge, X, [2 * t - 1 for t in Y]),
    "classes": (lambda: nn.TwoLayerNet(2, 4, 2, seed=0), nn.cross_entropy, X, Y),
    "distributions": (
        lambda: nn.Sequential(nn.Affine(2, 4, seed=0), nn.LayerNorm(4), nn.GELU()),
        nn.cross_entropy,
        X,
        [[0.1, 0.2, 0.3, 0.4]] * 12,
    ),
    "regression": (
        lambda: nn.MLP(2, [3, 2], activation="tanh", seed=0),
        nn.mean_squared_error,
        X,
        X,
    ),
    "tokens": (
        lambda: nn.Sequential(nn.Embedding(3, 4, seed=0), nn.Affine(4, 3, seed=0)),
        nn.cross_entropy,
        [0, 1, 2, 1, 0, 2],
        [1, 2, 0, 2, 1, 0],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_compiled_training_is_eager_training_to_rounding(case, monkeypatch):
    make, loss, X, y = CASES[case]
    courses = []
    for compiling in (False, True):
        seen = replayed(monkeypatch) if compiling else []
        model = make()
        sgd = optim.SGD(model.parameters(), 0.1)
        history = nn.fit(model, X, y, loss=loss, optimizer=sgd, steps=6, batch_size=4)
        assert bool(seen) is history.compiled is compiling
        assert repr(history).endswith(", compiled)") is compiling
        courses.append((history.loss, list(model.state_dict().values())))
    assert courses[1][0] == pytest.approx(courses[0][0], rel=1e-12)
    assert courses[1][1] == pytest.approx(courses[0][1], rel=1e-12, abs=1e-14)


class Twice(nn.Module):
    def forward(self, x):
        return [2.0 * a for a in x]


EAGER = {
    "dropout": (nn.Sequential(nn.Dropout(0.5, seed=0), nn.MLP(2, [1])), nn.binary_cross_entropy),
    "own module": (nn.Sequential(Twice(), nn.MLP(2, [1])), nn.binary_cross_entropy),
    "own activation": (nn.MLP(2, [2, 1], activation=lambda x: x * x), nn.binary_cross_entropy),
    "own loss": (nn.MLP(2, [1]), lambda output, target: (output - target) ** 2),
}


@pytest.mark.parametrize("case", EAGER)
def test_what_one_forward_may_not_stand_for_is_eager(case, monkeypatch):
    seen = replayed(monkeypatch)
    model, loss = EAGER[case]
    sgd = optim.SGD(model.parameters(), 0.1)
    assert not nn.fit(model, X, Y, loss=loss, optimizer=sgd, steps=1).compiled
    assert seen == []


def replaced_weight(model):
    model.layers[0].neurons[0].w[1] = nn.parameter(0.3)


def replaced_layer(model):
    model.layers[0] = nn.Layer(2, 3, seed=5)


def other_activation(model):
    model.layers[0].neurons[1].activation = "sin"


def own_neuron(model):
    neuron = nn.Neuron(2, activation=lambda x: x * x * x, seed=1)
    model.layers[0].neurons[1] = neuron


def computed_weight(model):
    """A weight that keeps its number, whatever becomes of what it was computed from."""
    neuron = model.layers[1].neurons[0]
    neuron.w[0] = neuron.w[1] * 2.0


CHANGES = [replaced_weight, replaced_layer, other_activation, own_neuron, computed_weight]


@pytest.mark.parametrize("change", CHANGES)
def test_a_callback_that_changes_the_model_is_followed(change, monkeypatch):
    courses = []
    for compiling in (False, True):
        seen = replayed(monkeypatch) if compiling else []
        model, _ = model_and_optimizer()
        sgd = optim.SGD(model.parameters(), 0.1)

        def callback(step, history, model=model):
            if step == 2:
                change(model)

        history = fit(model, sgd, steps=5, callbacks=[nn.EarlyStopping(9), callback])
        assert not history.compiled
        assert len(seen) == 3 * compiling  # the first is a trial
        courses.append([*history.loss, *model.state_dict().values()])
    assert courses[1] == pytest.approx(courses[0], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_was_changed_before_is_trained_as_it_stands(change, monkeypatch):
    courses = []
    for compiling in (False, True):
        if compiling:
            replayed(monkeypatch)
        model, _ = model_and_optimizer()
        change(model)
        history = fit(model, optim.SGD(model.parameters(), 0.1), steps=5)
        assert history.compiled is (compiling and change not in (own_neuron, computed_weight))
        courses.append([*history.loss, *model.state_dict().values()])
    assert courses[1] == pytest.approx(courses[0], rel=1e-12, abs=1e-14)


def test_workers_follow_a_callback_that_changes_the_model():
    courses = []
    for executor in (None, concurrent.futures.ThreadPoolExecutor(2)):
        model, _ = model_and_optimizer()
        sgd = optim.SGD(model.parameters(), 0.1)

        def callback(step, history, model=model):
            if step == 2:
                other_activation(model)

        options = {"executor": executor, "shards": 3, "loss": lambda y, t: (y - t) ** 2}
        history = fit(model, sgd, steps=5, callbacks=[callback], **options)
        courses.append(history.loss)
        if executor is not None:
            executor.shutdown()
    model, _ = model_and_optimizer()
    sgd = optim.SGD(model.parameters(), 0.1)
    fit(model, sgd, steps=2, loss=lambda y, t: (y - t) ** 2)
    other_activation(model)
    alone = fit(model, sgd, steps=3, loss=lambda y, t: (y - t) ** 2)
    assert courses[0] == courses[1]
    assert courses[0][2:] == pytest.approx(alone.loss, rel=1e-12)


def test_short_runs_and_ragged_examples_are_eager(monkeypatch):
    seen = replayed(monkeypatch)
    monkeypatch.setattr(replay, "_WORTH_IT", 49)
    fit(*model_and_optimizer(), steps=4)
    assert seen == []
    fit(*model_and_optimizer(), steps=5)
    assert seen == [1] + [12] * 5
    gpt = nn.GPT(vocabulary=3, context=3, dim=4, heads=1, seed=0)
    sgd = optim.SGD(gpt.parameters(), 0.1)
    texts = [[0, 1], [0, 1, 2]] * 9
    nn.fit(gpt, texts, texts, loss=nn.cross_entropy, optimizer=sgd, steps=3)
    assert len(seen) == 6


def test_wrong_labels_are_told_before_anything_is_compiled(monkeypatch):
    replayed(monkeypatch)
    with pytest.raises(ValueError, match="target 0 is 2, give a number from 0 to 1"):
        fit(*model_and_optimizer(), y=[0] * 11 + [2], steps=5)
    model = nn.TwoLayerNet(2, 3, 2)
    sgd = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="class 5 of 2; give 0 to 1"):
        fit(model, sgd, y=[0] * 11 + [5], steps=5, loss=nn.cross_entropy)


@pytest.mark.parametrize(
    ("loss", "target", "told"),
    [
        (nn.cross_entropy, [1.0, 1.0], "probabilities that sum to 1, not"),
        (nn.binary_cross_entropy, [1, 2], "target 1 is 2, give a number from 0 to 1"),
        (nn.hinge, [1, 0], "target 1 is 0, give −1 or 1"),
    ],
)
def test_so_is_a_wrong_list_among_right_ones(loss, target, told, monkeypatch):
    replayed(monkeypatch)
    model = nn.TwoLayerNet(2, 3, 2)
    sgd = optim.SGD(model.parameters(), 0.1)
    before = model.state_dict()
    right = [-1, 1] if loss is nn.hinge else [0, 1]
    with pytest.raises(ValueError, match=told):
        fit(model, sgd, y=[right] * 11 + [target], steps=5, loss=loss)
    assert model.state_dict() == before


def test_a_compiled_run_goes_on_to_the_same_bits(monkeypatch, tmp_path):
    seen = replayed(monkeypatch)
    model, optimizer = model_and_optimizer()
    whole = fit(model, optimizer, steps=9, batch_size=5)

    def die(step, history):
        if step == 5:
            raise KeyboardInterrupt

    options = {"steps": 9, "batch_size": 5, "checkpoint": tmp_path / "c", "checkpoint_every": 2}
    with pytest.raises(KeyboardInterrupt):
        fit(*model_and_optimizer(), callbacks=[die], **options)
    other, optimizer = model_and_optimizer(seed=7)
    assert fit(other, optimizer, **options) == whole
    assert other.state_dict() == model.state_dict()
    assert len(seen) == 3 + 9 + 5 + 5  # the trial of each run, and their steps


# ── checkpoints ───────────────────────────────────────────────────────────────────────────────
SCRIPT = """
import os, random, signal, sys
from tinygrad_scalar import data, nn, optim

path, model_path, kill_at, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
random.seed(int(sys.argv[5]))  # each process starts elsewhere; only the first start may count
X, y = data.moons(14, noise=0.1)
model = nn.Sequential(nn.MLP(2, [3], seed=None), nn.Dropout(0.3), nn.Dropout(0.2, seed=4),
                      nn.MLP(3, [1], seed=1))
optimizer = optim.{optimizer}

def kill(step, history):
    if step == kill_at and how == "callback":
        os.kill(os.getpid(), signal.SIGKILL)

if how == "write":  # die in the middle of a checkpoint: written, but not yet renamed
    renamed, real = [0], os.replace
    from pathlib import Path
    replace = Path.replace
    def die(self, target):
        renamed[0] += 1
        if renamed[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)
    os.replace = die

history = nn.fit(model, X, y, loss=nn.binary_cross_entropy, optimizer=optimizer, steps=17,
                 batch_size=4, validation=(X[:4], y[:4]), callbacks=[kill],
                 checkpoint=path, checkpoint_every=3)
nn.save(model, model_path)
print([x.hex() for x in history.loss], [x.hex() for x in history.val_loss], random.random())
"""


def run_training(folder, optimizer, kill_at=0, how="never", seed=1):
    """One process that trains from the checkpoint in `folder`, if there is one."""
    return subprocess.run(
        [
            *(sys.executable, "-c", SCRIPT.replace("{optimizer}", optimizer)),
            *(str(folder / "run.checkpoint"), str(folder / "model.json")),
            *(str(kill_at), how, str(seed)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process by SIGKILL")
@pytest.mark.parametrize(
    "optimizer",
    [
        "SGD(model.parameters(), 0.1, momentum=0.9, schedule=optim.cosine_decay(20))",
        "Adam(model.parameters(), 0.05)",
    ],
)
def test_a_killed_run_ends_with_the_bits_of_one_never_killed(optimizer, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    never = run_training(whole, optimizer)
    assert never.returncode == 0, never.stderr
    # before the first checkpoint; between two; while a checkpoint is written; just after one
    deaths = [(2, "callback"), (8, "callback"), (1, "write"), (13, "callback"), (16, "callback")]
    for i, (kill_at, how) in enumerate(deaths):
        seed = 1 if i < 2 else 100 + i  # from the first checkpoint on, its random state counts
        died = run_training(killed, optimizer, kill_at, how, seed)
        assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = run_training(killed, optimizer, seed=999)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == never.stdout
    ours, theirs = (json.loads((each / "model.json").read_text()) for each in (killed, whole))
    assert ours["content"]["state"] == theirs["content"]["state"]


class Shaken(nn.Module):
    """Random numbers from generators that stand in a dict and a list."""

    def __init__(self, make):
        self.w = nn.parameter(1.0)
        self.sources = {"a": make(3), "b": [make(4)]}

    def forward(self, x):
        a, (b,) = self.sources.values()
        normal = a.normalvariate if isinstance(a, random.Random) else a.normal
        return self.w * x[0] + normal(0, 1) - b.random()


SOURCES = {
    "Python": random.Random,
    "RandomState": np.random.RandomState,
    **{
        kind.__name__: lambda seed, kind=kind: np.random.Generator(kind(seed))
        for kind in (
            np.random.PCG64,
            np.random.PCG64DXSM,
            np.random.MT19937,
            np.random.Philox,
            np.random.SFC64,
        )
    },
}


@pytest.mark.parametrize("name", SOURCES)
def test_generators_that_stand_in_the_model_go_on_too(name, tmp_path):
    def trained(file, steps, make=SOURCES[name]):
        model = Shaken(make)
        sgd = optim.SGD(model.parameters(), 0.1)
        options = {"loss": nn.mean_squared_error, "checkpoint": tmp_path / file}
        history = nn.fit(model, [[1.0], [2.0]], [1.0, 2.0], optimizer=sgd, steps=steps, **options)
        return history.loss, model.w.data

    whole = trained("whole", 5)
    trained("parts", 3)
    assert trained("parts", 5) == whole
    other = random.Random if name != "Python" else np.random.RandomState
    with pytest.raises(ValueError, match=r"parts: .*; remove the file"):
        trained("parts", 7, other)


@pytest.mark.parametrize("name", SOURCES)
def test_generators_on_workers_do_not_depend_on_them(name):
    courses = []
    for workers in (None, 1, 3):
        executor = concurrent.futures.ThreadPoolExecutor(workers) if workers else None
        model = Shaken(SOURCES[name])
        sgd = optim.SGD(model.parameters(), 0.1)
        options = {"loss": square, "executor": executor, "shards": 4, "progress": False}
        history = nn.fit(model, POINTS, [0.0] * 10, optimizer=sgd, steps=3, **options)
        courses.append(history.loss)
        if executor:
            executor.shutdown()
    assert courses[0] == courses[1] == courses[2]


def square(output, target):
    return (output - target) ** 2


def test_a_run_that_is_over_is_only_read(tmp_path):
    path = tmp_path / "c"
    model, optimizer = model_and_optimizer()
    first = fit(model, optimizer, steps=4, checkpoint=path)
    before = path.read_bytes()
    other, optimizer = model_and_optimizer(seed=5)
    again = fit(other, optimizer, steps=4, checkpoint=path)
    assert again == first
    assert other.state_dict() == model.state_dict()
    assert optimizer.steps == 4
    assert path.read_bytes() == before


def test_a_run_goes_on_for_more_steps(tmp_path):
    model, optimizer = model_and_optimizer()
    whole = fit(model, optimizer, steps=7, batch_size=5)
    for steps in (3, 7):
        other, optimizer = model_and_optimizer(seed=steps)
        if steps == 3:
            other, optimizer = model_and_optimizer()
        history = fit(other, optimizer, steps=steps, batch_size=5, checkpoint=tmp_path / "c")
    assert history.loss == whole.loss
    assert other.state_dict() == model.state_dict()


def test_a_run_that_a_callback_stopped_stays_stopped(tmp_path):
    def stop_at_2(step, history):
        return step == 2

    model, optimizer = model_and_optimizer()
    fit(model, optimizer, steps=9, callbacks=[stop_at_2], checkpoint=tmp_path / "c")
    other, optimizer = model_and_optimizer(seed=1)
    history = fit(other, optimizer, steps=9, callbacks=[stop_at_2], checkpoint=tmp_path / "c")
    assert history.steps == 2
    assert other.state_dict() == model.state_dict()


def test_an_optimizer_without_a_state_is_told_before_the_first_step(tmp_path):
    class Descent:
        def __init__(self, params):
            self.params = params

        def zero_grad(self):
            for leaf in self.params:
                leaf.grad = 0.0

        def step(self):
            for leaf in self.params:
                leaf.data -= 0.1 * leaf.grad

    model, _ = model_and_optimizer()
    before = model.state_dict()
    with pytest.raises(
        TypeError, match=r"give Descent state_dict\(\) and load_state_dict\(state\)"
    ):
        fit(model, Descent(model.parameters()), steps=2, checkpoint=tmp_path / "c")
    assert model.state_dict() == before
    assert fit(model, Descent(model.parameters()), steps=2).steps == 2


def test_checkpoints_come_every_so_many_steps_and_at_the_end(tmp_path, monkeypatch):
    written = []
    write = training.Checkpoint.write

    def noting(self, history, *, stopped):
        written.append(history.steps)
        write(self, history, stopped=stopped)

    monkeypatch.setattr(training.Checkpoint, "write", noting)
    fit(*model_and_optimizer(), steps=8, checkpoint=tmp_path / "c", checkpoint_every=3)
    assert written == [3, 6, 8]
    assert [file.name for file in tmp_path.iterdir()] == ["c"]


def checkpoint_of(path, **options):
    model, optimizer = model_and_optimizer()
    fit(model, optimizer, steps=2, batch_size=4, checkpoint=path, **options)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 1}, "the checkpoint is of a run with seed 0, and this one has 1"),
        ({"batch_size": 5}, "the checkpoint is of a run with batch size 4, and this one has 5"),
        (
            {"X": X[:9], "y": Y[:9]},
            "the checkpoint is of a run with examples 12, and this one has 9",
        ),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(change, text, tmp_path):
    checkpoint_of(tmp_path / "c")
    model, optimizer = model_and_optimizer(seed=1)
    before = model.state_dict()
    with pytest.raises(ValueError, match=rf"c: {text}; remove the file"):
        fit(model, optimizer, **{"steps": 2, "batch_size": 4, **change}, checkpoint=tmp_path / "c")
    assert model.state_dict() == before


def test_the_checkpoint_of_another_model_or_optimizer_is_refused(tmp_path):
    checkpoint_of(tmp_path / "c")
    model, optimizer = model_and_optimizer(width=4)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"c: load_state_dict: .* another model .*; remove the f"):
        fit(model, optimizer, steps=3, batch_size=4, checkpoint=tmp_path / "c")
    assert (model.state_dict(), optimizer.steps) == (before, 0)
    model, _ = model_and_optimizer()
    with pytest.raises(ValueError, match=r"c: .* with optimizer Adam, and this one has SGD"):
        fit(
            model,
            optim.SGD(model.parameters(), 0.1),
            steps=3,
            batch_size=4,
            checkpoint=tmp_path / "c",
        )
    nn.save(model, tmp_path / "m")
    with pytest.raises(ValueError, match="m: not a checkpoint written by tinygrad_scalar"):
        fit(*model_and_optimizer(), steps=3, checkpoint=tmp_path / "m")


def test_a_damaged_checkpoint_changes_nothing(tmp_path):
    checkpoint_of(tmp_path / "c")
    text = (tmp_path / "c").read_text()
    (tmp_path / "c").write_text(text[:-40])
    model, optimizer = model_and_optimizer(seed=1)
    state, before = model.state_dict(), random.getstate()
    with pytest.raises(ValueError, match="c: no JSON, so truncated or no checkpoint"):
        fit(model, optimizer, steps=3, batch_size=4, checkpoint=tmp_path / "c")
    assert (model.state_dict(), random.getstate()) == (state, before)


# ── what is refused ───────────────────────────────────────────────────────────────────────────
NAN, INF = math.nan, math.inf
REFUSED = {
    "nothing": ({"X": [], "y": [], "steps": 1}, ValueError, "fit: X is empty: give at least one"),
    "lengths": ({"X": X, "y": Y[:3], "steps": 1}, ValueError, "X has 12 examples and y 3 targets"),
    "nan": (
        {"X": [[0.0, NAN]], "y": [0], "steps": 1},
        ValueError,
        r"fit: X\[0\]\[1\] is nan, give fi",
    ),
    "inf": (
        {"X": [[0.0, 1.0]], "y": [INF], "steps": 1},
        ValueError,
        r"fit: y\[0\] is inf, give finit",
    ),
    "neither": ({}, ValueError, "fit: give steps or epochs, one of the two"),
    "both": ({"steps": 1, "epochs": 1}, ValueError, "fit: give steps or epochs, one of the two"),
    "no steps": ({"steps": 0}, ValueError, "fit: steps is at least 1, not 0"),
    "half": ({"epochs": 0.5}, TypeError, "fit: epochs is a whole number, not float"),
    "batch": ({"steps": 1, "batch_size": 0}, ValueError, "fit: batch_size is at least 1, not 0"),
    "width": (
        {"X": [[1.0]], "y": [0], "steps": 1},
        ValueError,
        "MLP: x is a list of 2 numbers, and g",
    ),
    "label": ({"y": [2] * 12, "steps": 1}, ValueError, "target 0 is 2, give a number from 0 to 1"),
    "no validation": (
        {"steps": 1, "validation": ([], [])},
        ValueError,
        r"fit: validation\[0\] is empty",
    ),
    "validation": (
        {"steps": 1, "validation": X},
        TypeError,
        r"fit: validation is a pair of lists \(X, y\)",
    ),
    "narrow inf": (
        {"X": np.array([[0.0, INF]] * 12, np.float32), "steps": 1},
        ValueError,
        r"fit: X\[0\]\[1\] is inf",
    ),
    "Value": (
        {"X": [[Value(NAN), 1.0]] * 12, "steps": 1},
        ValueError,
        r"fit: X\[0\]\[0\] is nan",
    ),
    "a generator": (
        {"X": iter(X), "steps": 1},
        TypeError,
        "fit: X is a list, one for each example, not list_iterator",
    ),
    "a seed that moves on": (
        {"seed": random.Random(0), "steps": 1},
        TypeError,
        "fit: seed is an int or a str, .*, not Random",
    ),
    "loss": ({"loss": "hinge", "steps": 1}, TypeError, "fit: loss is a function .*, not str"),
    "a callback": (
        {"callbacks": lambda step, history: False, "steps": 1},
        TypeError,
        r"write callbacks=\[callback\]",
    ),
    "no callback": (
        {"callbacks": [None], "steps": 1},
        TypeError,
        r"fit: callbacks\[0\] is a function of step and history, not NoneType",
    ),
    "no Value": (
        {"steps": 1, "loss": lambda output, target: output.data},
        TypeError,
        r"loss\(outputs, target\) should give a Value that depends on the parameters, not float",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    options, error, text = REFUSED[case]
    model, optimizer = model_and_optimizer()
    before = model.state_dict()
    with pytest.raises(error, match=text):
        fit(model, optimizer, **options)
    assert model.state_dict() == before


def test_model_and_optimizer_are_checked():
    model, optimizer = model_and_optimizer()
    with pytest.raises(TypeError, match=r"fit: model is an nn\.Module, not function"):
        fit(lambda x: x, optimizer, steps=1)
    with pytest.raises(TypeError, match=r"fit: optimizer is an optimiser, .* not NoneType"):
        fit(model, None, steps=1)
    with pytest.raises(TypeError, match=r"fit: optimizer is an optimiser, .* not the class Adam"):
        fit(model, optim.Adam, steps=1)
    stranger, _ = model_and_optimizer()
    with pytest.raises(ValueError, match="fit: optimizer has no parameter of this model"):
        fit(stranger, optimizer, steps=1)


def test_whole_numbers_of_numpy_serve():
    model = nn.MLP(np.int64(2), [np.int64(3), np.int8(1)], seed=0)
    sgd = optim.SGD(model.parameters(), 0.1)
    history = fit(model, sgd, steps=np.int64(2), batch_size=np.int32(5))
    assert history.steps == 2


def test_frames_and_columns_are_read_by_position_whatever_their_labels():
    frame = pd.DataFrame(
        {"a": [0.0, 0.0, 1.0, 1.0], "b": [0.0, 1.0, 0.0, 1.0], "t": [0, 1, 1, 0]},
        index=[3, 1, 0, 7],
    )
    X, y = frame[["a", "b"]], frame["t"]

    def trained(X, y, **options):
        model = nn.MLP(2, [3, 1], activation="tanh", seed=0)
        history = nn.fit(
            model,
            X,
            y,
            loss=nn.binary_cross_entropy,
            optimizer=optim.SGD(model.parameters(), lr=1.0),
            steps=40,
            batch_size=2,
            validation=(X, y),
        )
        measured = nn.accuracy(model, X, y), nn.mean_loss(model, nn.binary_cross_entropy, X, y)
        return history.loss, history.val_loss, measured

    lists = X.to_numpy().tolist(), y.tolist()
    assert trained(X, y) == trained(*lists) == trained(X.to_numpy(), y)
    assert data.split(lists[0], y, seed=1)[2:] == data.split(*lists, seed=1)[2:]
    found, expected = (list(data.batches(lists[0], t, 3, seed=1)) for t in (y, lists[1]))
    assert found == expected


def test_mean_loss_names_itself():
    with pytest.raises(ValueError, match="mean_loss: X is empty"):
        nn.mean_loss(nn.MLP(2, [1]), nn.hinge, [], [])


def test_a_diverging_run_is_stopped_with_the_step():
    model = Watched()
    with pytest.raises(
        ArithmeticError, match=r"fit: the loss is (inf|nan) in step \d+: lower the l"
    ):
        nn.fit(
            model,
            [[1e60]],
            [0.0],
            loss=lambda output, target: (output + 1.0) * (output + 1.0),
            optimizer=optim.SGD(model.parameters(), 1.0),
            steps=20,
        )
    assert math.isfinite(model.w.data)


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path):
    model, optimizer = model_and_optimizer()
    before = model.state_dict()
    for path, error in ((tmp_path / "nowhere" / "c", FileNotFoundError), (tmp_path, OSError)):
        with pytest.raises(error, match=path.name):
            fit(model, optimizer, steps=1, checkpoint=path)
    assert model.state_dict() == before  # told before the first step


def test_a_plain_value_output_suits_any_loss():
    w = nn.parameter(0.0)

    class Constant(nn.Module):
        def __init__(self):
            self.w = w

        def forward(self, x):
            return self.w + Value(0.0)

    nn.fit(
        Constant(),
        [0, 1],
        [3.0, 5.0],
        loss=nn.mean_squared_error,
        optimizer=optim.SGD([w], 0.25),
        steps=30,
    )
    assert w.data == pytest.approx(4.0)
