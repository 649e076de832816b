"""Plots: what is drawn where, on whose axes, and how they are saved."""

import math
import sys

import numpy as np
import pandas as pd
import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import Value
from tinygrad_scalar.drawing import plots

matplotlib = pytest.importorskip("matplotlib", reason='pip install "tinygrad_scalar[plot]"')


def lines(plot):
    return {line.get_label(): list(map(float, line.get_ydata())) for line in plot.axes.lines}


class History:
    loss = (3.0, 1.0)
    val_loss = (4.0, 2.0)


@pytest.mark.parametrize(
    ("losses", "drawn"),
    [
        ([2.0, 1.0], {"loss": [2.0, 1.0]}),
        ([Value(2.0), 1], {"loss": [2.0, 1.0]}),
        (np.array([2.0, 1.0]), {"loss": [2.0, 1.0]}),
        (
            pd.DataFrame({"loss": [2.0, 1.0], "val_loss": [3.0, 1.0]}),
            {"training": [2.0, 1.0], "validation": [3.0, 1.0]},
        ),
        ({"SGD": [1.0], "Adam": [0.5]}, {"SGD": [1.0], "Adam": [0.5]}),
        (History(), {"training": [3.0, 1.0], "validation": [4.0, 2.0]}),
    ],
)
def test_loss_curves(losses, drawn):
    plot = plots.loss_curve(losses)
    assert lines(plot) == drawn
    assert plot.axes.get_yscale() == "log"
    assert (plot.axes.get_legend() is not None) == (len(drawn) > 1)


def test_a_loss_of_zero_is_no_matter_for_a_logarithm():
    assert plots.loss_curve([1.0, 0.0]).axes.get_yscale() == "linear"
    with pytest.raises(ValueError, match=r"loss_curve: there are no losses; give one number"):
        plots.loss_curve([])


@pytest.mark.parametrize(
    "model",
    [
        lambda x: int(x[0] > 0),
        lambda x: [Value(0.0), Value(x[0])],
        lambda x: Value(x[0]) * 2.0,
        lambda x: x[0],
        lambda x: np.int64(x[0] > 0),
        lambda x: np.array([-x[0], x[0]]),
        lambda x: np.array([Value(0.0), Value(x[0])]),
    ],
)
def test_decision_regions_take_classes_scores_and_a_score(model):
    plot = plots.decision_regions(model, [[-1.0, 0.0], [1.0, 0.0]], [0, 1])
    left, right = plot.axes.collections[1], plot.axes.collections[3]
    assert left.get_offsets().tolist() == [[-1.0, 0.0]]
    assert right.get_offsets().tolist() == [[1.0, 0.0]]
    reached = [plot.axes.collections[i].get_datalim(plot.axes.transData) for i in (0, 2)]
    assert reached[0].x1 == pytest.approx(0.0, abs=0.05)
    assert reached[1].x0 == pytest.approx(0.0, abs=0.05)


def test_borders_between_scores_are_smooth_and_classes_are_named():
    """Where scores are linear, interpolation between the points asked finds the border itself."""
    X, y = [[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]], [0, 1, 1]
    plot = plots.decision_regions(lambda x: [0.0, x[0] - 0.37 * x[1] + 0.1], X, y)
    region = plot.axes.collections[0].get_paths()[0].vertices
    edges = (plot.axes.get_xlim(), plot.axes.get_ylim())
    inside = [
        (x1, x2)
        for x1, x2 in region
        if all(low + 1e-9 < x < high - 1e-9 for x, (low, high) in zip((x1, x2), edges, strict=True))
    ]
    assert len(inside) > 50
    assert all(abs(x1 - 0.37 * x2 + 0.1) < 1e-9 for x1, x2 in inside)  # rounding
    legend = plot.axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["class 0", "class 1"]


@pytest.mark.parametrize(("high", "aspect"), [(0.5, 1.0), (3.0, 1.0), (4.5, "auto"), (9e4, "auto")])
def test_a_plane_much_longer_than_wide_is_no_strip(high, aspect):
    """Age and income: on one scale nothing is to be seen of the younger of the two."""
    plot = plots.decision_regions(lambda x: x[0], [[0.0, 0.0], [1.0, high]], [0, 1])
    assert plot.axes.get_aspect() == aspect


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame])
def test_decision_regions_take_arrays_and_frames(kind):
    X, y = kind([[-1.0, 0.0], [1.0, 0.0]]), np.array([0.0, 1.0])
    plot = plots.decision_regions(lambda x: x[0], X, y)
    assert plot.axes.collections[3].get_offsets().tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("y", [[-1, 1], [0, 0.5], np.array([-1, 1]), ["no", "yes"]])
def test_decision_regions_name_labels_that_are_no_classes(y):
    with pytest.raises(ValueError, match=r"(-1|0\.5|no) in y is no class index: 0, 1, … \(of"):
        plots.decision_regions(lambda x: x[0], [[-1.0, 0.0], [1.0, 0.0]], y)


def test_decision_regions_record_nothing():
    w = Value(1.0)
    seen = []
    plots.decision_regions(lambda x: seen.append(w * x[0]) or 0, [[0.0, 1.0], [2.0, 3.0]], [0, 0])
    assert {node.parents for node in seen} == {()}


@pytest.mark.parametrize(("X", "y"), [([], []), ([[1.0, 2.0]], [0, 1]), ([[1.0, 2.0, 3.0]], [0])])
def test_decision_regions_need_points_of_the_plane(X, y):
    with pytest.raises(ValueError, match=r"^decision_regions: X is a list of pairs of numbers"):
        plots.decision_regions(lambda x: 0, X, y)


def test_gradient_norms_by_layer():
    def layer(*gradients):
        values = [Value(1.0) for _ in gradients]
        for value, gradient in zip(values, gradients, strict=True):
            value.grad = gradient
        return values

    plot = plots.gradient_norms({"a": [layer(3.0, 4.0), layer(0.1)], "b": [layer(0.0), layer(2.0)]})
    assert lines(plot)["a"] == [5.0, 0.1]
    assert math.isnan(lines(plot)["b"][0])
    assert plot.axes.get_yscale() == "log"
    with pytest.raises(ValueError, match=r"^gradient_norms: give each network as a list of layers"):
        plots.gradient_norms({"a": []})


def test_vanishing_gradients_of_sigmoids_beside_relu():
    """Row 20 of the lecture material: a chain of layers, the norm of each weight's gradient."""

    def chain(activation):
        weights = [Value(1.0) for _ in range(10)]
        h = Value(0.5)
        for w in weights:
            h = activation(w * h)
        h.backward()
        return [[w] for w in weights]

    drawn = lines(plots.gradient_norms({"σ": chain(tg.sigmoid), "ReLU": chain(tg.relu)}))
    assert drawn["σ"][0] < 1e-5 < drawn["σ"][-1]
    assert drawn["ReLU"] == [0.5] * 10


def test_the_error_of_a_difference_quotient_against_its_step():
    """Row 9: sin((2x + 1)²), whose derivative is cos((2x + 1)²)·2(2x + 1)·2."""
    steps = [1e-2, 1e-3]
    plot = plots.difference_quotient(lambda x: tg.sin((2 * x + 1) ** 2), 0.5, steps=steps)
    drawn = lines(plot)

    def f(x):
        return math.sin((2 * x + 1) ** 2)

    exact = math.cos(4.0) * 2 * 2 * 2
    for i, h in enumerate(steps):
        one_sided = abs((f(0.5 + h) - f(0.5)) / h - exact)
        central = abs((f(0.5 + h) - f(0.5 - h)) / (2 * h) - exact)
        assert drawn["one-sided"][i] == pytest.approx(one_sided, rel=1e-6)
        assert drawn["central"][i] == pytest.approx(central, rel=1e-6)
    assert drawn["one-sided"][0] / drawn["one-sided"][1] == pytest.approx(10, rel=0.1)  # order h
    assert drawn["central"][0] / drawn["central"][1] == pytest.approx(100, rel=0.1)  # order h²


def test_axes_of_ones_own_are_drawn_on():
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 2)
    plot = plots.loss_curve([1.0], axes=axes[1])
    assert plot.axes is axes[1]
    assert not axes[0].lines


@pytest.mark.parametrize(
    ("name", "beginning"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")]
)
def test_saving(tmp_path, name, beginning):
    plot = plots.loss_curve([1.0, 0.5])
    plot.save(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    assert plot._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a plot is saved as \.png, \.svg or \.pdf"):
        plot.save(tmp_path / "p.txt")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_pyplot_is_left_alone():
    plots.loss_curve([1.0])
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "tinygrad_scalar\[plot\]"'):
        plots.loss_curve([1.0])
