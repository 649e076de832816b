"""Files altered with a checksum that fits: whatever they say, a ValueError names the path."""

import copy
import hashlib
import json
import math
import random
from contextlib import suppress

import pytest

from tinygrad_scalar import (
    Value,
    compile,
    cross_entropy,
    dot,
    load_compiled,
    logsumexp,
    nn,
    optim,
    sum,
    take,
    where,
)
from tinygrad_scalar.nn import files

COUNT = 1000
ODD = (None, True, 0, 1, -1, 2**63, 10**400, 0.5, -0.0, math.inf, "", "nan", "0x1p3", [], {}, [0])
ODD += (
    "a" * 10_000,
    "\x1b[31m",
    "\x00\n",
    [0] * 1000,
    "add",
    "input",
    "dot",
    "holds",
    "MLP",
    "llvm",
    [[]],
    {"a": 1},
)


def places(document):
    """The way to everything inside, by keys and positions."""
    found, stack = [], [((), document)]
    while stack:
        way, thing = stack.pop()
        found.append(way)
        if isinstance(thing, (dict, list)):
            pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
            stack += [((*way, key), branch) for key, branch in pairs]
    return found[1:]


def at(document, way):
    for key in way:
        document = document[key]
    return document


def altered(document, chosen):
    """A copy with one thing changed, left out, doubled, reversed or put elsewhere."""
    document = copy.deepcopy(document)
    ways = places(document)
    *before, last = chosen.choice(ways)
    around = at(document, before)
    thing = around[last]
    if isinstance(thing, list) and thing and chosen.random() < 0.5:
        chosen.choice((thing.reverse, thing.pop, lambda: thing.append(thing[0])))()
    elif chosen.random() < 0.2:
        del around[last]
    elif type(thing) in (int, float) and chosen.random() < 0.5:
        around[last] = thing + chosen.choice((1, -1, 1000, 0.5))
    else:
        other = copy.deepcopy(at(document, chosen.choice(ways)))
        around[last] = chosen.choice((*ODD, other))
    return document


def all_told(path, documents, write, load):
    """Alter and load; how many were refused, each by a ValueError that names the path."""
    chosen, refused = random.Random(0), 0
    for _ in range(COUNT):
        try:
            write(path, altered(chosen.choice(documents), chosen))
        except ValueError:  # inf, which no file can hold
            continue
        try:
            load(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 (others are counted)
            assert len(str(error)) < 500  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
            refused += 1
    return refused


# ── compiled functions ────────────────────────────────────────────────────────────────────────
WEIGHT = Value(0.5)
COMPILED = (
    (lambda x, y: where(x > 1, y, WEIGHT) * x.exp() if x > 0 else -x, [(2.0, 3.0), (-1.0, 2.0)]),
    (lambda v: {"a": sum(v), "b": [dot(v, v), take(v, 1)]}, [([1.0, 2.0, 3.0],)]),
    (lambda v: logsumexp([v[0] * WEIGHT, v[1]]) + cross_entropy(v, 1), [([1.0, 2.0],)]),
)


def body_of(path):
    return json.loads(json.loads(path.read_text(encoding="utf-8"))["body"])


def write_compiled(path, body):
    text = json.dumps(body)
    digest = hashlib.sha256(text.encode()).hexdigest()
    document = {"format": "tinygrad_scalar compiled 1", "checksum": digest, "body": text}
    path.write_text(json.dumps(document), encoding="utf-8")


def test_compiled_functions(tmp_path):
    path, documents = tmp_path / "f.json", []
    for function, calls in COMPILED:
        compiled = compile(function)
        for call in calls:
            compiled(*call)
        compiled.save(path)
        documents.append(body_of(path))

    def load_and_call(path):
        loaded = load_compiled(path)
        for call in [call for _, calls in COMPILED for call in calls]:
            for method in (loaded, loaded.value_and_grad):
                # another function perhaps, on numbers that it may not take
                with suppress(ArithmeticError, RuntimeError, TypeError, ValueError):
                    method(*call)

    assert all_told(path, documents, write_compiled, load_and_call) > COUNT / 2


@pytest.mark.parametrize(
    "alter",
    [
        lambda path: path["outputs"].__setitem__(0, 10**6),
        lambda path: path["outputs"].__setitem__(0, -1),
        lambda path: path["code"][-1][1].__setitem__(0, len(path["code"])),
        lambda path: path["code"][-1][1].append(0),
        lambda path: path["code"].insert(1, ["input", [7]]),
        lambda path: path["code"].append(["constant", ["0x1.0p+1"]]),
        lambda path: path["leaves"].append(0),
        lambda path: path["point"].pop(),
        lambda path: path.update(inputs=5),
        lambda path: path["code"][-1].__setitem__(0, ["json", "JSONDecoder", None]),
        lambda path: path["code"][-1].__setitem__(0, ["no_such_module", "row", None]),
    ],
)
def test_a_trace_that_cannot_have_been_written_is_refused(alter, tmp_path):
    path, compiled = tmp_path / "f.json", compile(lambda x: x * 2.0 + x.exp())
    compiled(1.0)
    compiled.save(path)
    body = body_of(path)
    alter(body["structures"][0]["paths"][0])
    write_compiled(path, body)
    with pytest.raises(ValueError, match=r"f\.json is no undamaged file of a compiled function"):
        load_compiled(path)


def test_a_deep_file_is_refused(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"f\.json is no undamaged file"):
        load_compiled(path)


# ── models and checkpoints ────────────────────────────────────────────────────────────────────
def test_models(tmp_path):
    path, documents = tmp_path / "m.json", []
    for model in (
        nn.MLP(2, [3, 1], seed=0),
        nn.Sequential(nn.Affine(2, 3, seed=0), nn.LayerNorm(3), nn.ReLU(), nn.Dropout(0.25)),
        nn.GPT(vocabulary=4, context=3, dim=4, heads=2, layers=1, seed=0),
    ):
        nn.save(model, path)
        documents.append(files.read(path, "model"))
    assert all_told(path, documents, lambda p, d: files.write(p, "model", d), nn.load) > COUNT / 2


def test_checkpoints_and_nothing_has_changed(tmp_path):
    path = tmp_path / "c.json"

    def run(path):
        model = nn.Sequential(nn.Affine(1, 1, seed=0), nn.Dropout(0.1, seed=2))
        before = random.getstate(), model.state_dict()
        try:
            nn.fit(
                model,
                [[1.0], [2.0]],
                [[1.0], [2.0]],
                loss=nn.mean_squared_error,
                optimizer=optim.Adam(model.parameters()),
                steps=2,
                checkpoint=path,
            )
        except ValueError:
            assert (random.getstate(), model.state_dict()) == before
            raise

    run(path)
    document = files.read(path, "checkpoint")
    for state in document["random"]:
        del state[1][3:-3]  # of 625 numbers: else hardly anything but these was altered
    state = random.getstate()
    whole = files.read(path, "checkpoint")

    def write(path, altered):
        states = altered.get("random")
        pairs = zip(states if isinstance(states, list) else (), whole["random"], strict=False)
        for state, full in pairs:
            if isinstance(state, list) and len(state) == 3 and isinstance(state[1], list):
                state[1][3:3] = full[1][3:-3]
        files.write(path, "checkpoint", altered)

    try:
        assert all_told(path, [document], write, run) > COUNT / 4
    finally:
        random.setstate(state)


@pytest.mark.parametrize("number", [2**32, -1, 10**30, 0.5, None])
def test_a_random_state_that_is_none_is_told(number, tmp_path):
    path, model = tmp_path / "c.json", nn.MLP(1, [1], seed=0)
    sgd, loss = optim.SGD(model.parameters(), 0.1), nn.mean_squared_error

    def run():
        nn.fit(model, [[1.0]], [1.0], loss=loss, optimizer=sgd, steps=1, checkpoint=path)

    run()
    document = files.read(path, "checkpoint")
    document["random"][0][1][5] = number
    files.write(path, "checkpoint", document)
    with pytest.raises(ValueError, match=r"c\.json: .*to start anew"):
        run()


@pytest.mark.parametrize("arguments", [{"nin": 10**6}, {"nouts": [10**9, 1]}, {"nin": 10**30}])
def test_an_architecture_that_its_numbers_do_not_fill_is_not_built(arguments, tmp_path):
    path = tmp_path / "m.json"
    nn.save(nn.MLP(2, [3, 1], seed=0), path)
    document = files.read(path, "model")
    document["architecture"]["arguments"].update(arguments)
    files.write(path, "model", document)
    with pytest.raises(ValueError, match=r"m\.json: .*more parameters than there are numbers"):
        nn.load(path)


@pytest.mark.parametrize("into", [None, nn.MLP(2, [3, 1], seed=1)])
def test_parameter_names_in_another_order_are_told(into, tmp_path):
    path = tmp_path / "m.json"
    nn.save(nn.MLP(2, [3, 1], seed=0), path)
    document = files.read(path, "model")
    document["state"]["names"].reverse()
    files.write(path, "model", document)
    with pytest.raises(ValueError, match=r"m\.json: the parameters stand in another order"):
        nn.load(path, into=into)


@pytest.mark.parametrize("kind", [optim.Adam, optim.RMSProp])
def test_a_mean_square_below_0_is_none(kind):
    """Its root would end the next step in a math domain error."""
    optimizer = kind(nn.MLP(1, [1], seed=0).parameters())
    state = optimizer.state_dict()
    state["mean_square"][0] = -1.0
    with pytest.raises(ValueError, match="a mean_square is below 0"):
        optimizer.load_state_dict(state)
