"""Data to learn from: seeded generators without dependencies, small real tables, minibatches.

Every data set is `(X, y)`: X a list of lists of floats, y a list of class numbers 0, 1, …
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tinygrad_scalar.checks import not_negative, real, whole
from tinygrad_scalar.core.tree import by_position
from tinygrad_scalar.seeds import Seed, generator

__all__ = [
    "batches",
    "breast_cancer",
    "circles",
    "digits",
    "iris",
    "line",
    "moons",
    "names",
    "spirals",
    "split",
    "wine",
    "xor",
]


def __dir__() -> list[str]:
    return sorted(__all__)


Data = tuple[list[list[float]], list[int]]
Item = TypeVar("Item")
Target = TypeVar("Target")


# ── points in the plane ───────────────────────────────────────────────────────────────────────
def moons(n: int, noise: float = 0.1, seed: Seed = 0) -> Data:
    """Two interleaving half circles of radius 1: the upper is class 0, the lower class 1.

    `noise` is the standard deviation of normal noise on both coordinates. O(n).
    Errors: ValueError for n < 1 or noise < 0. Source: scikit-learn, `make_moons` (the same curves).

    >>> X, y = moons(4, noise=0.0)
    >>> [[round(a, 3), round(b, 3)] for a, b in X], y
    ([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [2.0, 0.5]], [0, 0, 1, 1])
    """
    points = []
    for label, count in enumerate(_halves(n, "moons")):
        for angle in _spaced(0.0, math.pi, count):
            x, y = math.cos(angle), math.sin(angle)
            points.append(([x, y] if label == 0 else [1.0 - x, 0.5 - y], label))
    return _noisy(points, noise, seed, "moons")


def circles(n: int, noise: float = 0.1, seed: Seed = 0, *, factor: float = 0.5) -> Data:
    """A circle of radius 1, class 0, around one of radius `factor`, class 1. O(n).

    Errors: ValueError for n < 1, noise < 0 or factor outside 0 … 1.
    Source: scikit-learn, `make_circles` (the same curves).

    >>> X, y = circles(4, noise=0.0)
    >>> [round(math.hypot(*x), 3) for x in X], y
    ([1.0, 1.0, 0.5, 0.5], [0, 0, 1, 1])
    """
    if not 0.0 < real(factor, "circles: factor") < 1.0:
        raise ValueError(f"circles: factor is between 0 and 1, not {factor!r}")
    points = []
    for label, count in enumerate(_halves(n, "circles")):
        radius = 1.0 if label == 0 else factor
        for i in range(count):
            angle = 2.0 * math.pi * i / count
            points.append(([radius * math.cos(angle), radius * math.sin(angle)], label))
    return _noisy(points, noise, seed, "circles")


def xor(n: int, noise: float = 0.1, seed: Seed = 0) -> Data:
    """The corners (0, 0), (0, 1), (1, 0), (1, 1) in turn, class 1 where one coordinate is 1. O(n).

    Errors: ValueError for n < 1 or noise < 0. Source: *Deep Learning*, section 6.1 (XOR).

    >>> xor(4, noise=0.0)
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    """
    corners = [(i >> 1 & 1, i & 1) for i in range(whole(n, "xor: n"))]
    points = [([float(a), float(b)], a ^ b) for a, b in corners]
    return _noisy(points, noise, seed, "xor")


def spirals(n: int, noise: float = 0.2, seed: Seed = 0) -> Data:
    """Three arms of a spiral with n points each: classes 0, 1, 2. `noise` is on the angle. O(n).

    Errors: ValueError for n < 1 or noise < 0.
    Source: Karpathy, CS231n, "Minimal neural network case study" (radius 0 … 1, angle 4j … 4j + 4).

    >>> X, y = spirals(2, noise=0.0)
    >>> y, [round(math.hypot(*x), 3) for x in X]
    ([0, 0, 1, 1, 2, 2], [0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    """
    n = whole(n, "spirals: n")
    noise, source = not_negative(noise, "spirals: noise"), generator(seed)
    X, y = [], []
    for label in range(3):
        angles = _spaced(4.0 * label, 4.0 * (label + 1), n)
        for radius, angle in zip(_spaced(0.0, 1.0, n), angles, strict=True):
            turned = angle + noise * source.gauss(0.0, 1.0)
            X.append([radius * math.sin(turned), radius * math.cos(turned)])
            y.append(label)
    return X, y


def line(n: int, noise: float = 0.1, seed: Seed = 0) -> Data:
    """Points of the square −1 … 1, class 1 above the line x₂ = x₁ / 2; a neuron can tell them.

    `noise` moves the points after they were labelled. O(n).
    Errors: ValueError for n < 1 or noise < 0. Source: *Deep Learning*, section 6.1 (linear models).

    >>> X, y = line(3, noise=0.0)
    >>> y == [int(b > a / 2) for a, b in X]
    True
    """
    source = generator(seed)
    points = []
    for _ in range(whole(n, "line: n")):
        a, b = source.uniform(-1.0, 1.0), source.uniform(-1.0, 1.0)
        points.append(([a, b], int(b > a / 2)))
    return _noisy(points, noise, source, "line")


def _halves(n: int, of: str) -> tuple[int, int]:
    """How many points each of two classes has."""
    n = whole(n, f"{of}: n")
    return (n + 1) // 2, n // 2


def _spaced(first: float, last: float, n: int) -> list[float]:
    """`n` numbers from first to last, equally far apart."""
    return [first + (last - first) * i / max(n - 1, 1) for i in range(n)]


def _noisy(points: list[tuple[list[float], int]], noise: float, seed: Seed, of: str) -> Data:
    noise, source = not_negative(noise, f"{of}: noise"), generator(seed)
    X = [[x + noise * source.gauss(0.0, 1.0) for x in point] for point, _ in points]
    return X, [label for _, label in points]


# ── tables ────────────────────────────────────────────────────────────────────────────────────
def iris() -> Data:
    """Fisher's irises: 150 flowers, sepal length and width, petal length and width in cm.

    Classes: 0 setosa, 1 versicolor, 2 virginica, 50 each, in this order. Stands in the package;
    source and licence beside it in `datasets/README.md`.
    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems".

    >>> X, y = iris()
    >>> X[0], y[0], len(X), len(y)
    ([5.1, 3.5, 1.4, 0.2], 0, 150, 150)
    """
    rows = list(csv.reader(_file("iris.csv").splitlines()))[1:]
    return [[float(x) for x in row[:-1]] for row in rows], [int(row[-1]) for row in rows]


def names() -> list[str]:
    """Given names in small letters a to z, for language models of single characters.

    >>> len(names()) > 300, all(name.isascii() and name.islower() for name in names())
    (True, True)
    """
    return _file("names.txt").split()


def digits() -> Data:
    """Handwritten digits: 1,797 pictures of 8 × 8 pixels from 0 to 16, row by row; 10 classes.

    Errors: ImportError without scikit-learn. Source: scikit-learn, `load_digits`; Alpaydin, Kaynak
    1998, UCI Machine Learning Repository.
    """
    return _from_sklearn("digits")


def wine() -> Data:
    """Wines of three growers: 178 bottles, 13 measurements.

    Errors: ImportError without scikit-learn. Source: scikit-learn, `load_wine`; Aeberhard, Forina
    1991, UCI Machine Learning Repository.
    """
    return _from_sklearn("wine")


def breast_cancer() -> Data:
    """Tumours, 0 malignant or 1 benign: 569 cases, 30 measurements.

    Errors: ImportError without scikit-learn. Source: scikit-learn, `load_breast_cancer`; Wolberg,
    Mangasarian, Street, Street 1993, UCI Machine Learning Repository.
    """
    return _from_sklearn("breast_cancer")


def _file(name: str) -> str:
    """The text of a file of the package."""
    from importlib import resources  # 3 ms, for those who ask for a file

    return (resources.files("tinygrad_scalar") / "datasets" / name).read_text(encoding="utf-8")


def _from_sklearn(name: str) -> Data:
    try:
        from sklearn import datasets
    except ModuleNotFoundError:
        raise ImportError(
            f'data.{name} comes with scikit-learn: pip install "tinygrad_scalar[data]"'
        ) from None
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return [[float(x) for x in row] for row in X.tolist()], [int(label) for label in y.tolist()]


# ── parts of a data set ───────────────────────────────────────────────────────────────────────
def batches(
    X: Sequence[Item], y: Sequence[Target], size: int, seed: Seed = 0
) -> Iterator[tuple[list[Item], list[Target]]]:
    """One epoch in minibatches: every example once, in an order drawn by `seed`.

    The last minibatch holds what is left, and may be shorter. O(n).
    Errors: ValueError for different lengths, no examples or size < 1.
    Source: *Deep Learning*, section 8.1.3.

    >>> [y for X, y in batches([[1.0], [2.0], [3.0]], [1, 2, 3], size=2, seed=0)]
    [[1, 3], [2]]
    """
    X, y = by_position(X), by_position(y)
    order = shuffled(_checked_pair(X, y, "batches"), seed)
    size = whole(size, "batches: size")
    parts = (order[start : start + size] for start in range(0, len(order), size))
    return (([X[i] for i in part], [y[i] for i in part]) for part in parts)


def split(
    X: Sequence[Item], y: Sequence[Target], test: float = 0.2, seed: Seed = 0
) -> tuple[list[Item], list[Item], list[Target], list[Target]]:
    """X_train, X_test, y_train, y_test: a share `test` of the examples, rounded, drawn by `seed`.

    O(n). Errors: ValueError for different lengths, a share outside 0 … 1, or one that leaves a
    part without examples. Source: *Deep Learning*, section 5.3.

    >>> X_train, X_test, y_train, y_test = split([[1.0], [2.0], [3.0], [4.0]], [1, 2, 3, 4], 0.25)
    >>> len(X_train), len(X_test), sorted(y_train + y_test)
    (3, 1, [1, 2, 3, 4])
    """
    X, y = by_position(X), by_position(y)
    n = _checked_pair(X, y, "split")
    if not 0.0 < real(test, "split: test") < 1.0:
        raise ValueError(f"split: test is the share of the test set, between 0 and 1, not {test!r}")
    held_out = round(n * test)
    if not 0 < held_out < n:
        raise ValueError(f"split: test={test} of {n} examples leaves {held_out} to test")
    order = shuffled(n, seed)
    train, tested = order[held_out:], order[:held_out]
    return (
        [X[i] for i in train],
        [X[i] for i in tested],
        [y[i] for i in train],
        [y[i] for i in tested],
    )


def shuffled(n: int, seed: Seed) -> list[int]:
    """0 … n − 1 in an order drawn by `seed`."""
    order = list(range(n))
    generator(seed).shuffle(order)
    return order


def _checked_pair(X: Sequence[Any], y: Sequence[Any], of: str) -> int:
    for name, things in (("X", X), ("y", y)):
        listed = hasattr(things, "__len__") and hasattr(things, "__getitem__")
        if not listed or isinstance(things, dict):
            kind = type(things).__name__
            raise TypeError(f"{of}: {name} is a list, one for each example, not {kind}")
    if len(X) != len(y):
        raise ValueError(f"{of}: X has {len(X)} examples and y {len(y)}; give one target each")
    if not len(X):
        raise ValueError(f"{of}: X is empty: give at least one example")
    return len(X)
