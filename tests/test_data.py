"""Data: shapes of the generators, tables against their sources, minibatches and splits."""

import hashlib
import math
import subprocess
import sys
from collections import Counter
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import data

PLANE = (data.moons, data.circles, data.xor, data.line)
GENERATORS = (*PLANE, data.spirals)


@pytest.mark.parametrize("make", GENERATORS)
@given(n=st.integers(1, 40), seed=st.integers())
def test_generators_give_lists_of_pairs_and_labels(make, n, seed):
    X, y = make(n, seed=seed)
    classes = 3 if make is data.spirals else 2
    assert len(X) == len(y) == (3 * n if make is data.spirals else n)
    assert all(len(x) == 2 and all(type(a) is float and math.isfinite(a) for a in x) for x in X)
    assert all(type(label) is int and 0 <= label < classes for label in y)


@pytest.mark.parametrize("make", GENERATORS)
def test_numpys_whole_numbers_give_pythons_floats(make):
    X, y = make(np.int64(3))
    assert repr((X, y)) == repr(make(3))


@pytest.mark.parametrize("make", GENERATORS)
def test_a_seed_gives_the_same_points_and_another_seed_others(make):
    assert make(20, seed=3) == make(20, seed=3)
    assert make(20, seed=3)[0] != make(20, seed=4)[0]
    assert make(20) == make(20, seed=0)


@pytest.mark.parametrize("make", GENERATORS)
def test_noise_has_the_standard_deviation_asked_for(make):
    clean, noisy = make(2_000, noise=0.0, seed=1)[0], make(2_000, noise=0.01, seed=1)[0]
    if make is data.spirals:  # there the noise is on the angle
        moved = [
            math.dist(a, b) / math.hypot(*a) for a, b in zip(clean, noisy, strict=True) if any(a)
        ]
    else:
        moved = [a[i] - b[i] for a, b in zip(clean, noisy, strict=True) for i in (0, 1)]
    deviation = math.sqrt(math.fsum(d * d for d in moved) / len(moved))
    assert deviation == pytest.approx(0.01, rel=0.1)  # five standard errors of 2,000 draws are 8 %


def test_moons_lie_on_two_half_circles():
    X, y = data.moons(100, noise=0.0)
    assert Counter(y) == {0: 50, 1: 50}
    for (a, b), label in zip(X, y, strict=True):
        centre = (1.0, 0.5) if label else (0.0, 0.0)
        assert math.dist((a, b), centre) == pytest.approx(1.0)
        assert (b <= 0.5 + 1e-12) if label else (b >= -1e-12)


def test_circles_have_two_radii():
    X, y = data.circles(60, noise=0.0, factor=0.3)
    assert {round(math.hypot(*x), 9) for x, label in zip(X, y, strict=True) if label} == {0.3}
    assert {round(math.hypot(*x), 9) for x, label in zip(X, y, strict=True) if not label} == {1.0}


def test_xor_is_the_truth_table():
    X, y = data.xor(4, noise=0.0)
    assert {tuple(x): label for x, label in zip(X, y, strict=True)} == {
        (0.0, 0.0): 0,
        (0.0, 1.0): 1,
        (1.0, 0.0): 1,
        (1.0, 1.0): 0,
    }


def test_spirals_are_those_of_the_lecture():
    X, y = data.spirals(100, noise=0.0)
    assert Counter(y) == {0: 100, 1: 100, 2: 100}
    for label in range(3):
        for i in (0, 37, 99):
            radius, angle = i / 99, 4 * label + 4 * i / 99
            expected = [radius * math.sin(angle), radius * math.cos(angle)]
            assert X[100 * label + i] == pytest.approx(expected)


def test_a_line_separates_the_line_data():
    X, y = data.line(200, noise=0.0)
    assert all(label == (b > a / 2) for (a, b), label in zip(X, y, strict=True))
    assert 50 < sum(y) < 150


def test_generators_leave_pythons_random_numbers_alone():
    import random

    random.seed(1)
    before = random.getstate()
    for make in GENERATORS:
        data.split(*make(10, seed=5), seed=5)
    assert random.getstate() == before


# ── tables ────────────────────────────────────────────────────────────────────────────────────
def test_iris_is_the_table_of_its_source():
    X, y = data.iris()
    assert (len(X), {len(x) for x in X}) == (150, {4})
    assert y == [0] * 50 + [1] * 50 + [2] * 50
    # the means in the source's own description, which has cut 3.057 to 3.05
    means = [round(math.fsum(x[i] for x in X) / 150, 2) for i in range(4)]
    assert means == [5.84, 3.06, 3.76, 1.2]
    ranges = [(min(x[i] for x in X), max(x[i] for x in X)) for i in range(4)]
    assert ranges == [(4.3, 7.9), (2.0, 4.4), (1.0, 6.9), (0.1, 2.5)]
    # Fisher's paper, where UCI's file has other numbers: flowers 35 and 38
    assert (X[34], X[37]) == ([4.9, 3.1, 1.5, 0.2], [4.9, 3.6, 1.4, 0.1])


def test_the_files_of_the_package_are_whole_and_their_sources_named():
    folder = resources.files("tinygrad_scalar") / "datasets"
    digest = hashlib.sha256((folder / "iris.csv").read_bytes()).hexdigest()
    assert digest == "81269defbe7c559bfe8c9c79a46698e32ef1dd3dbdf9d9c91a42a039bf85df2d"
    note = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("iris.csv", "names.txt", "BSD 3-Clause", "Fisher", "CC BY 4.0", "MIT"):
        assert words in note


def test_names_are_words_of_small_letters():
    names = data.names()
    assert len(names) == len(set(names)) > 300
    assert names == sorted(names)
    assert all(
        2 <= len(name) <= 12 and set(name) <= set("abcdefghijklmnopqrstuvwxyz") for name in names
    )


@pytest.mark.parametrize(
    ("name", "examples", "width", "classes"),
    [("digits", 1797, 64, 10), ("wine", 178, 13, 3), ("breast_cancer", 569, 30, 2)],
)
def test_tables_of_scikit_learn(name, examples, width, classes):
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = getattr(data, name)()
    assert (len(X), {len(x) for x in X}, set(y)) == (examples, {width}, set(range(classes)))
    assert {type(a) for x in X for a in x} == {float}
    assert {type(label) for label in y} == {int}
    source = getattr(datasets, f"load_{name}")()
    assert source.data.tolist() == X
    assert source.target.tolist() == y


@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer"])
def test_without_scikit_learn_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=rf'data\.{name} .*pip install "tinygrad_scalar\[data\]"'):
        getattr(data, name)()


def test_data_needs_no_numpy():
    code = (
        "import sys; from tinygrad_scalar import data; data.iris(); data.moons(5); data.names();"
        "print(sorted({'numpy', 'sklearn', 'tqdm'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# ── batches and splits ────────────────────────────────────────────────────────────────────────
@given(n=st.integers(1, 50), size=st.integers(1, 60), seed=st.integers())
def test_batches_visit_every_example_once_with_its_target(n, size, seed):
    X, y = [[float(i)] for i in range(n)], list(range(n))
    epoch = list(data.batches(X, y, size, seed))
    assert [len(part) for part, _ in epoch] == [size] * (n // size) + (
        [n % size] if n % size else []
    )
    assert all(
        x == [float(t)] for part, targets in epoch for x, t in zip(part, targets, strict=True)
    )
    assert sorted(t for _, targets in epoch for t in targets) == y
    assert epoch == list(data.batches(X, y, size, seed))


def test_batches_come_in_another_order_for_another_seed():
    X, y = [[float(i)] for i in range(30)], list(range(30))
    orders = {
        tuple(t for _, part in data.batches(X, y, 7, seed) for t in part) for seed in range(5)
    }
    assert len(orders) == 5


@given(n=st.integers(2, 60), test=st.floats(0.05, 0.95), seed=st.integers())
def test_split_parts_the_examples(n, test, seed):
    X, y = [[float(i)] for i in range(n)], list(range(n))
    if not 0 < round(n * test) < n:
        with pytest.raises(ValueError, match=r"split: test=.* leaves"):
            data.split(X, y, test, seed)
        return
    X_train, X_test, y_train, y_test = data.split(X, y, test, seed)
    assert len(X_test) == len(y_test) == round(n * test)
    assert sorted(y_train + y_test) == y
    assert [[float(t)] for t in y_train + y_test] == X_train + X_test
    assert data.split(X, y, test, seed) == (X_train, X_test, y_train, y_test)


REFUSED = {
    "n 0": (lambda: data.moons(0), ValueError, "moons: n is at least 1, not 0"),
    "n fractional": (lambda: data.spirals(2.5), TypeError, "spirals: n is a whole number, not fl"),
    "noise": (lambda: data.xor(4, noise=-1), ValueError, "xor: noise is a number of at least 0"),
    "factor": (lambda: data.circles(4, factor=1), ValueError, "circles: factor is between 0 and 1"),
    "no data": (lambda: data.batches([], [], 1), ValueError, "batches: X is empty: give at least"),
    "lengths": (lambda: data.batches([[1.0]], [], 1), ValueError, "X has 1 examples and y 0; give"),
    "size": (lambda: data.batches([[1.0]], [0], 0), ValueError, "batches: size is at least 1, not"),
    "share 0": (
        lambda: data.split([[1.0]] * 3, [0] * 3, 0),
        ValueError,
        "split: test is the share",
    ),
    "share 2": (lambda: data.split([[1.0]] * 3, [0] * 3, 2), ValueError, "between 0 and 1, not 2"),
    "share text": (
        lambda: data.split([[1.0]] * 3, [0] * 3, "a"),
        TypeError,
        "test is a number, not",
    ),
    "a set": (lambda: data.split({1.0, 2.0}, [0, 1]), TypeError, "split: X is a list, .* not set"),
    "a dict": (lambda: data.batches({0: 1.0}, [0], 1), TypeError, "batches: X is a list, .* dict"),
    "too few": (lambda: data.split([[1.0]], [0]), ValueError, "test=0.2 of 1 examples leaves 0 to"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    call, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        call()
