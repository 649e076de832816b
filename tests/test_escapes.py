"""Numbers of forward mode that a function keeps beyond its pass: they stand for the primal.

Source of the first: JuliaDiff/ForwardDiff.jl, issue 443.
"""

import itertools
import math
import threading

import pytest

from tinygrad_scalar import (
    Value,
    compile,
    derivative,
    exp,
    grad,
    hvp,
    jacobian,
    jvp,
    maximum,
    sin,
    sum,
    taylor,
    vjp,
    where,
)

FORWARD = {
    "jvp": lambda f: lambda x: jvp(f, (x,), (1.0,))[1],
    "derivative": derivative,
    "taylor": lambda f: lambda x: taylor(f, 3)(x)[1],
    "forward jacobian": lambda f: jacobian(f, mode="forward"),
}
MODES = {
    **FORWARD,
    "grad": grad,
    "vjp": lambda f: lambda x: vjp(f, x)[1](1.0),
    "second derivative": lambda f: lambda x: hvp(lambda u: f(u) * u, (x,), (1.0,)) / 2,
}
LEAVING = pytest.mark.parametrize("inner", FORWARD.values(), ids=FORWARD)
AROUND = pytest.mark.parametrize("outer", MODES.values(), ids=MODES)


def kept(inner, x, f=lambda u: u * u):
    """What a function left behind that was differentiated at `x`: its f(x)."""
    box = []

    def leaving(u):
        box.append(f(u))
        return box[0]

    inner(leaving)(x)
    return box[0]


@AROUND
@LEAVING
def test_an_inner_function_that_keeps_its_state_leaves_the_outer_derivative_right(inner, outer):
    """The state is x · 1 · 1, whose derivative is 1."""

    def around(x):
        box = [x]

        def f(y):
            box[0] = box[0] * y
            return box[0]

        inner(f)(1.0)
        return inner(f)(1.0)

    assert outer(around)(1.0) == 1.0


@AROUND
@LEAVING
def test_what_escaped_is_a_constant_to_the_next_derivative(inner, outer):
    """d/dx (9 x) = 9, and a plain number."""
    number = kept(inner, 3.0)
    for f in (lambda x: x * number, lambda x: number * x, lambda x: sum([number, x * number])):
        found = outer(f)(5.0)
        assert (found, type(found)) == (9.0, float)


@LEAVING
def test_what_escaped_of_an_outer_derivative_still_counts_in_that(inner):
    """d/dx (6 x) = 6, kept while an inner derivative by y ran."""
    for outer in MODES.values():
        assert outer(lambda x: kept(inner, 1.0, lambda y: 6 * x * y))(3.0) == 6.0


@LEAVING
def test_functions_and_operators_give_plain_numbers(inner):
    number = kept(inner, 3.0)
    found = [
        number + 1,
        2 / number,
        number**0.5,
        -number,
        sin(number),
        maximum(number, 1.0),
        where(number > 2, number, 0.0),
    ]
    assert found == [10.0, 2 / 9, 3.0, -9.0, math.sin(9.0), 9.0, 9.0]
    assert set(map(type, found)) == {float}
    assert (float(number), int(number), complex(number)) == (9.0, 9, 9 + 0j)
    assert math.exp(number) == math.exp(9.0)
    assert f"{number:.2f}" == "9.00"
    assert number == 9.0
    assert not number < 9.0


@LEAVING
def test_it_can_be_an_argument_and_a_result(inner):
    number = kept(inner, 3.0)
    assert jvp(lambda x: x * x, (number,), (1.0,)) == (81.0, 18.0)
    assert jvp(lambda x: x * x, (1.0,), (number,)) == (1.0, 18.0)
    assert jvp(lambda x: number, (1.0,), (1.0,)) == (9.0, 0.0)
    assert taylor(lambda x: number, 2)(1.0) == [9.0, 0.0, 0.0]
    assert taylor(exp, 1)(number) == [math.exp(9.0)] * 2
    results = [
        *jvp(lambda x: number, (1.0,), (1.0,)),
        grad(lambda x: number)(1.0),
        grad(lambda x: x * x)(number),
        vjp(lambda x: number, 1.0)[0],
        *taylor(lambda x: number, 2)(number),
    ]
    assert set(map(type, results)) == {float}


@LEAVING
def test_it_meets_values_and_compiled_functions_as_a_number(inner):
    number, x = kept(inner, 3.0), Value(2.0)
    y = number * x
    assert (y.data, y.backward()[x]) == (18.0, 9.0)
    assert y.operands[0] == 9.0
    assert compile(lambda x: x * number).value_and_grad(2.0) == (18.0, 9.0)


@LEAVING
def test_a_pull_that_outlives_the_pass_around_it_gives_numbers(inner):
    box = []

    def f(x):
        y, pull = vjp(lambda u: u * u * u, x)
        box.append(pull)
        return y

    inner(f)(2.0)
    assert (box[0](1.0), type(box[0](1.0))) == (12.0, float)


@LEAVING
def test_the_pass_ends_where_f_raises(inner):
    box = []

    def f(x):
        box.append(x)
        raise KeyError("x")

    with pytest.raises(KeyError):
        inner(f)(3.0)
    assert (box[0] * 2, type(box[0] * 2)) == (6.0, float)


@LEAVING
def test_while_the_pass_runs_numbers_stay_refused_and_formats_show_the_data(inner):
    shown = []

    def f(x):
        with pytest.raises(TypeError, match=r"use v\.data"):
            float(x)
        shown.append(f"{x:.3f}")
        return x

    inner(f)(3.0)
    assert shown == ["3.000"]


def test_passes_of_other_threads_go_on():
    """One thread's pass ends while another's still runs."""
    started, ended = threading.Event(), threading.Event()
    found = []

    def f(x):
        started.set()
        ended.wait(60)
        return x * x

    thread = threading.Thread(target=lambda: found.append(jvp(f, (3.0,), (1.0,))))
    thread.start()
    started.wait(60)
    for outer in itertools.islice(FORWARD.values(), 2):
        assert outer(lambda x: x * x)(2.0) == 4.0
    ended.set()
    thread.join()
    assert found == [(9.0, 6.0)]
