"""Colours by |gradient|: order, extremes, and a legend that covers every number."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value, scope
from tinygrad_scalar.drawing import to_dot
from tinygrad_scalar.drawing.colour import _RAMP, GradientColours


@given(st.lists(st.floats(), min_size=1))
def test_larger_gradients_never_have_lighter_colours(gradients):
    colours = GradientColours(gradients)
    sizes = sorted(abs(x) for x in gradients if x and abs(x) < float("inf"))
    shades = [_RAMP.index(colours(x).fill) for x in sizes]
    assert shades == sorted(shades)
    if sizes:
        assert colours(sizes[-1]).fill == _RAMP[-1]


def test_zero_and_infinity_have_colours_of_their_own():
    colours = GradientColours([0.0, 1.0, float("inf"), float("nan")])
    assert colours(0.0).fill == "#ffffff"
    assert colours(float("inf")).fill == colours(float("nan")).fill == "#d8b9ff"
    assert "inf, nan" in colours.legend()
    assert ">0<" in colours.legend()


def test_the_legend_spans_the_gradients():
    legend = GradientColours([1e-6, 1.0]).legend()
    bounds = re.findall(r">([^<>\s]+) … ([^<>\s]+)<", legend)
    assert len(bounds) == len(_RAMP)
    assert bounds[0] == ("0.1", "1")
    assert bounds[-1] == ("1e-06", "1e-05")


@pytest.mark.parametrize(("gradients", "entry"), [([2.0, -2.0], ">2<"), ([0.0], "none yet")])
def test_a_legend_of_one_entry(gradients, entry):
    assert entry in GradientColours(gradients).legend()


def test_a_box_has_the_colour_of_its_largest_gradient():
    x = Value(1.0)
    with scope("inner"):
        y = x * 1e-3
        z = y * 1e3
    z.backward()
    source = to_dot(z + 0.0, depth=0, color="grad")
    assert re.search(rf'b1 \[label="inner\\n3 nodes".*fillcolor="{_RAMP[-1]}"', source)
