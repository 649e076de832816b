"""Rows of one's own by their formula: every mode and engine, without a callback."""

import math

import numpy as np
import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import (
    UndefinedGradientWarning,
    Value,
    checkpoint,
    compile,
    derivative,
    engines,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    log,
    primitive,
    sin,
    sqrt,
    sum,
    taylor,
    value_and_grad,
    vjp,
    where,
)
from tinygrad_scalar.testing import check_primitive


def wave(x):
    return where(x == 0, 1.0, sin(x) / where(x == 0, 1.0, x))


def cell(x, y):
    return exp(-x * y) * sin(y) + x**3


WAVE, CELL = primitive("wave", formula=wave), primitive("cell", formula=cell)


def test_without_a_value_it_is_a_function_on_floats():
    assert WAVE(2.0) == math.sin(2.0) / 2.0
    assert WAVE(0.0) == 1.0
    assert CELL(1.0, 2.0) == math.exp(-2.0) * math.sin(2.0) + 1.0


@pytest.mark.parametrize("x", [-3.0, 0.25, 2.0])
def test_partials_are_those_of_the_formula_written_inline(x):
    assert grad(WAVE)(x) == pytest.approx(grad(wave)(x), rel=1e-13)
    assert grad(CELL)(x, 1.5) == pytest.approx(grad(cell)(x, 1.5), rel=1e-13)
    np.testing.assert_allclose(hessian(CELL)(x, 1.5), hessian(cell)(x, 1.5), rtol=1e-12)
    assert jvp(CELL, (x, 1.5), (1.0, 2.0)) == pytest.approx(jvp(cell, (x, 1.5), (1.0, 2.0)))
    assert derivative(CELL_OF_ONE, 4)(x) == pytest.approx(derivative(lambda t: cell(t, t), 4)(x))


def CELL_OF_ONE(x):  # noqa: N802 (the function of the row above)
    return CELL(x, x)


@pytest.mark.parametrize("engine", engines())
def test_every_engine_runs_it_without_asking_python(engine):
    f = compile(lambda x, y: CELL(x, y) * WAVE(x), engine=engine)
    g = compile(lambda x, y: cell(x, y) * wave(x), engine=engine)
    x, y = np.linspace(-3.0, 3.0, 50), np.linspace(0.5, 2.0, 50)
    np.testing.assert_allclose(f(x, y), g(x, y), rtol=1e-13)
    for mine, inline in zip(f.grad(x, y), g.grad(x, y), strict=True):
        np.testing.assert_allclose(mine, inline, rtol=1e-12)
    assert f(1.0, 2.0) == pytest.approx(g(1.0, 2.0), rel=1e-14)


def test_in_lanes_no_callback_is_left():
    pytest.importorskip("llvmlite")
    from tinygrad_scalar.compiler.ir.lower import alone
    from tinygrad_scalar.compiler.llvm.builder import NATIVE

    assert WAVE not in {row for row, _ in alone(WAVE, NATIVE).code}


def test_beside_mpmath_it_has_its_digits():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        assert abs(WAVE(mpmath.mpf(2)) - mpmath.sin(2) / 2) < mpmath.mpf(10) ** -49


def test_given_partials_and_stated_numbers_at_kinks_count():
    row = primitive("hinge", None, lambda y, x: 7.0, formula=lambda x: where(x > 0, x, 0.0))
    assert grad(row)(2.0) == 7.0
    row = primitive("root", formula=lambda x: sqrt(x * x), kinks=(0.0,), subgradient=(0.5,))
    assert grad(row)(0.0) == 0.5
    assert grad(row)(-2.0) == -1.0


def test_an_error_names_the_row():
    with pytest.raises(ValueError, match=r"shifted\(-2.0\): .*domain"):
        primitive("shifted", formula=lambda x: log(1 + x))(-2.0)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (
            lambda x: x if x > 0 else -x,
            "primitive 'bad': a formula has no branches: choose by",
        ),
        (lambda *x: x[0], "primitive 'bad': a formula names its operands"),
        (3.0, r"primitive 'bad': formula is a function \(\*x\) of one output, not 3.0"),
        (lambda x: (x, x), "primitive 'bad': a formula gives one number, not tuple"),
        (lambda x: None, "primitive 'bad': a formula gives one number, not NoneType"),
        (lambda x: x * LEAF, "primitive 'bad': a formula reads its operands alone: pass Value"),
    ],
)
def test_what_is_no_formula_is_refused(formula, message):
    with pytest.raises(TypeError, match=message):
        primitive("bad", formula=formula)


LEAF = Value(2.0)


def test_without_forward_and_formula_there_is_no_row():
    with pytest.raises(TypeError, match="neither a function nor a constant partial"):
        primitive("nothing")


def test_the_structural_zero_of_where_silences_what_is_behind():
    row = primitive("safe_root", formula=lambda x: where(x > 0, sqrt(x), 0.0))
    assert grad(row)(0.0) == 0.0
    assert tg.compile(row, engine="python").grad(0.0) == 0.0


def test_the_precision_of_a_row_is_checked_by_its_formula_in_mpmath():
    from tinygrad_scalar.testing import GradientError, check_primitive

    tg_exp, tg_log, cosine = tg.exp, tg.log, tg.cos
    bell = primitive("bell", formula=lambda x: tg_exp(-x * x / 2))
    assert check_primitive(bell).precision == "checked"
    softened = primitive("softened", formula=lambda x, y: x * tg.tanh(where(y > 0.5, y, y)))
    assert check_primitive(softened).precision == "checked"
    without = primitive("without", math.sin, lambda y, x: cosine(x))
    assert check_primitive(without).precision == "not checked"
    # (1 − cos x) / x² is 0.5 − x² / 24 near 0: 0.49999995833… at 0.001
    lossy = primitive("lossy", formula=lambda x: (1 - cosine(x)) / (x * x))
    with pytest.raises(
        GradientError, match=r"lossy\(0\.001\): the value .*in mpmath 0\.4999999583333"
    ):
        check_primitive(lossy)
    partial = primitive(
        "partial",
        lambda x: math.log1p(math.exp(x)),
        lambda y, x: 1 - 1 / (1 + tg_exp(x)),
        formula=lambda x: tg_log(1 + tg_exp(x)),
    )
    with pytest.raises(GradientError, match=r"partial\(.*lost digits"):
        check_primitive(partial)


MODES = {
    "value_and_grad": lambda f: value_and_grad(f)(0.75, 1.5),
    "vjp": lambda f: vjp(f, 0.75, 1.5)[1](2.0),
    "hvp": lambda f: hvp(f, (0.75, 1.5), (1.0, -2.0)),
    "jacobian, forward": lambda f: jacobian(f, mode="forward")(0.75, 1.5),
    "jacobian, reverse": lambda f: jacobian(f, mode="reverse")(0.75, 1.5),
    "taylor": lambda f: taylor(lambda t: f(t, t * t), 5)(0.75),
    "checkpoint": lambda f: grad(lambda x, y: checkpoint(f, x, y) * y)(0.75, 1.5),
    "create_graph": lambda f: grad(lambda x, y: grad(f)(x, y)[0])(0.75, 1.5),
    "compiled hessian": lambda f: compile(f).hessian(0.75, 1.5),
    "compiled jvp": lambda f: compile(f).jvp((0.75, 1.5), (1.0, -2.0)),
}


def flat(structure):
    if isinstance(structure, (list, tuple)):
        return [x for part in structure for x in flat(part)]
    return [structure]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_what_it_gives_for_the_formula_inline(mode):
    found, inline = MODES[mode](CELL), MODES[mode](cell)
    assert flat(found) == pytest.approx(flat(inline), rel=1e-12)


@pytest.mark.parametrize("target", ["c", "cuda"])
def test_in_c_and_cuda_it_is_written_inline(target):
    f = compile(lambda x, y: CELL(x, y), engine="python")
    f(0.75, 1.5)
    assert "sin(" in f.source_for(target)


def test_the_check_of_rows_holds_it_to_its_own_digits():
    row = primitive("damped", formula=lambda x: exp(-x) * sin(x))
    assert check_primitive(row).precision == "checked"


def test_a_choice_in_a_formula_is_no_branch_of_its_derivatives():
    """Σ max(x, 0)², whose gradient is 2 max(x, 0), in one path for all signs of 20 numbers."""
    row = primitive("positive_square", formula=lambda x: where(x > 0, x * x, 0.0))
    f = compile(lambda v: sum(row(x) for x in v), max_paths=1)
    points = np.random.default_rng(0).normal(size=(50, 20))
    right = 2 * np.maximum(points, 0)
    assert f.grad(points) == pytest.approx(right)
    assert f.hvp((points,), (points,)) == pytest.approx(right)
    assert f.jvp((points,), (points,))[1] == pytest.approx((right * points).sum(axis=1))


def test_a_choice_in_a_formula_makes_no_zero_that_silences():
    """Its slope 0 is a number: 0·∞ is told of, and 0·NaN is NaN, compiled as uncompiled."""
    row = primitive("positive_part", formula=lambda x: where(x > 0, x, 0.0))
    compiled = compile(lambda x: row(sqrt(x)))
    with pytest.warns(UndefinedGradientWarning, match="makes 0·∞"):
        assert grad(lambda x: row(sqrt(x)))(0.0) == 0.0
    with pytest.warns(UndefinedGradientWarning, match="makes 0·∞"):
        assert compiled.grad(0.0) == 0.0
    assert math.isnan(compiled.grad(math.nan))
