"""`points_for` of structures, `check_grad` of several outputs and arrays, `check_derivative`."""

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import find, given, settings

from tinygrad_scalar import cos, custom, log, primitive, sin
from tinygrad_scalar.strategies import points_for
from tinygrad_scalar.testing import (
    GradientError,
    OutsideDomainError,
    check_derivative,
    check_grad,
    check_primitive,
)

bad = primitive("bad", math.sin, lambda y, x: -cos(x))


def rosen(x):
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


@settings(max_examples=20)
@given(points_for(rosen, like=[0.0] * 5, min_value=-2, max_value=2))
def test_points_in_the_structure_of_the_argument_and_within_bounds(point):
    (x,) = point
    assert type(x) is list
    assert len(x) == 5
    assert all(-2 <= each <= 2 for each in x)
    check_grad(rosen, *point)


def line(x, p):
    return log(x) * p["w"][0] + p["b"]


@given(points_for(line, like=(1.0, {"w": np.ones(2), "b": 0.0}), min_value=3.0, max_value=1e6))
def test_points_of_several_arguments_with_dicts_and_arrays(point):
    x, p = point
    assert 3.0 <= x <= 1e6
    assert p["w"].shape == (2,)
    assert p["w"].dtype == np.float64
    check_grad(line, *point)


def test_what_points_for_refuses():
    for options, kind, message in (
        ({"min_value": 2, "max_value": 1}, ValueError, "min_value=2 is above max_value=1"),
        ({"min_value": math.inf}, TypeError, "min_value is a finite number, not inf"),
        ({"like": [0.0], "n": 1}, TypeError, "give n= or like="),
        ({"like": ["x"]}, TypeError, "like is a point of numbers"),
        ({"like": []}, TypeError, "like is a point of numbers"),
    ):
        with pytest.raises(kind, match=f"^points_for: {re.escape(message)}"):
            points_for(rosen, **options)


def test_every_output_is_checked_and_the_wrong_one_named():
    found = check_grad(lambda x, y: [x * y, {"a": sin(x)}], 1.0, 2.0)
    assert [check.derivatives[0,] for check in found.outputs] == [2.0, pytest.approx(math.cos(1.0))]
    with pytest.raises(
        GradientError, match=r"wrong at v\[0\]=1\.0, v\[1\]=2\.0\n(.*\n)*.*∂f\[1\]/∂v"
    ):
        check_grad(lambda v: (v[0], bad(v[1])), [1.0, 2.0])


def test_arrays_in_and_out():
    assert check_grad(lambda v: (v * v).sum(), np.array([1.0, 2.0])).derivatives == {
        (0,): 2.0,
        (1,): 4.0,
    }
    found = check_grad(lambda m: np.exp(m) * m, np.array([[1.0, 2.0]]))
    assert len(found.outputs) == 2
    with pytest.raises(GradientError, match=r"∂f\[0\]\[1\]/∂m\[0\]\[1\]"):
        check_grad(lambda m: np.array([[m[0, 0], bad(m[0, 1])]], dtype=object), np.ones((1, 2)))


def price(spot, strike):
    """A call option, one year, 20 %, in plain floats (Black and Scholes 1973)."""
    d = math.log(spot / strike) / 0.2 + 0.1
    cdf = [(1 + math.erf(z / math.sqrt(2))) / 2 for z in (d, d - 0.2)]
    return spot * cdf[0] - strike * cdf[1]


def price_by_hand(spot, strike):
    d = math.log(spot / strike) / 0.2 + 0.1
    cdf = [(1 + math.erf(z / math.sqrt(2))) / 2 for z in (d, d - 0.2)]
    return cdf[0], -cdf[1]


@given(points_for(lambda x, y: x * y, min_value=80, max_value=120))
def test_a_derivative_by_hand_of_plain_float_code(point):
    check_derivative(price, price_by_hand, *point)
    with pytest.raises(GradientError, match=r"^check_derivative: the derivative is wrong at spot="):
        check_derivative(
            price, lambda *x: (price_by_hand(*x)[0] + 1e-3, price_by_hand(*x)[1]), *point
        )


def test_numpy_does_not_warn_of_points_that_the_checks_choose():
    find(points_for(lambda x: float(np.log(float(x)))), lambda point: True)
    root = check_derivative(lambda x: float(np.sqrt(float(x))), lambda x: 0.5 / x**0.5, 1e-9)
    assert root.derivatives[0,] == pytest.approx(0.5e4 * 10**0.5)
    check_primitive(primitive("growth", lambda x: float(np.exp(x)), lambda y, x: y))


def test_derivatives_by_hand_of_lists_arrays_and_library_functions():
    check_derivative(
        lambda v: math.hypot(*v), lambda v: [x / math.hypot(*v) for x in v], [3.0, 4.0]
    )
    check_derivative(
        lambda v: float(np.linalg.norm(v.astype(float))), lambda v: v / 5, np.array([3.0, 4.0])
    )
    found = check_derivative(lambda x: sin(x), lambda x: math.cos(x), 0.5)
    assert found.reference == "complex step"


@pytest.mark.parametrize("x", [2e-3, 0.3, 1.0, 1.7, 20.0])
def test_derivatives_by_hand_of_code_in_float32(x):
    """Such code gives one number for millions of floats: no slope, and a jump beside it."""

    def single(x):
        return float(np.float32(math.exp(float(x))))

    found = check_derivative(single, math.exp, x)
    assert found.kinks == ()
    assert found.derivatives[0,] == pytest.approx(math.exp(x), rel=1e-4)
    with pytest.raises(GradientError, match="the derivative is wrong"):
        check_derivative(single, lambda x: 1.001 * math.exp(x), x)


def test_digits_that_code_over_floats_loses_are_no_fault_of_its_derivative():
    def lost(x):
        return 1 - math.cos(x)

    checked = check_grad(custom(lost, lambda y, x: sin(x)), 1e-3)
    assert checked.reference == "Richardson extrapolation"
    with pytest.raises(GradientError, match="the derivative is wrong"):
        check_grad(custom(lost, lambda y, x: 1.0001 * sin(x)), 1e-3)


def test_a_float32_array_is_differentiated_in_floats():
    point = np.array([0.3, 0.7], np.float32)
    found = check_derivative(lambda a: math.sin(float(a[0])) * float(a[1]), _slopes, point)
    assert found.kinks == ()
    with pytest.raises(GradientError, match=r"∂f/∂a\[1\]"):
        check_derivative(
            lambda a: math.sin(float(a[0])) * float(a[1]), lambda a: _slopes(a) * [1, 1.01], point
        )


def _slopes(a):
    return np.array([math.cos(a[0]) * a[1], math.sin(a[0])])


def test_a_derivative_by_hand_of_a_function_with_subnormal_values():
    found = check_derivative(
        lambda x: 1e-310 * math.exp(float(x)), lambda x: 1e-310 * math.exp(x), 0.7
    )
    assert found.reference == "Richardson extrapolation of floats"


def test_a_derivative_by_hand_gets_floats_of_its_own():
    """As f does: an int has no negative powers in NumPy, and what is written stays inside."""
    point = np.array([2, 4])

    def derivative(a):
        a **= -2
        return -a

    check_derivative(lambda a: 1 / a[0] + 1 / a[1], derivative, point)
    assert point.tolist() == [2, 4]


def test_where_a_derivative_by_hand_cannot_be_checked():
    assert check_derivative(math.fabs, lambda x: 1.0, 0.0).kinks
    assert check_derivative(math.sqrt, lambda x: math.inf, 0.0).kinks
    with pytest.raises(OutsideDomainError, match=r"the domain of f: (math domain|expected a)"):
        check_derivative(math.log, lambda x: 1 / x, -1.0)
    with pytest.raises(GradientError, match=r"give what grad\(f\) gives"):
        check_derivative(price, lambda *x: price_by_hand(*x)[0], 100.0, 100.0)


def _pytest_of(folder, text):
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_lines_of_the_readme_run_as_they_stand(tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = [
        each for each in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "given" in each
    ]
    done = _pytest_of(tmp_path, block)
    assert "1 passed" in done.stdout, done.stdout


def test_a_failure_shows_frames_of_the_user_only(tmp_path):
    done = _pytest_of(
        tmp_path,
        "import math\n"
        "from tinygrad_scalar import cos, primitive\n"
        "from tinygrad_scalar.testing import check_grad, check_primitive\n"
        "bad = primitive('bad', math.sin, lambda y, x: -cos(x))\n"
        "def boom(x): return x.no_such\n"
        "def test_wrong(): check_grad(bad, 1.0)\n"
        "def test_row(): check_primitive(bad)\n"
        "def test_no_number(): check_grad(lambda x: None, 1.0)\n"
        "def test_raised(): check_grad(boom, 1.0)\n",
    )
    assert "4 failed" in done.stdout, done.stdout
    places = set(re.findall(r"^(\S+\.py):\d+: ", done.stdout, re.MULTILINE))
    assert places == {"test_it.py"}
