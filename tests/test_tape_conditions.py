"""Comparisons and numbers in compiled code are those of an uncompiled run, however looked at."""

import copy
import functools
import itertools
import math
import operator
import pickle
import random
import re
import threading
import weakref
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import TraceError, Value, where
from tinygrad_scalar.compiler import compile, engines

EVERY = pytest.mark.parametrize("engine", engines())
X = [-1.5, 0.0, 0.5, 1.5]

# `~` of a bool, which a comparison in compiled code stands for, is to go in Python 3.16
pytestmark = pytest.mark.filterwarnings("ignore:Bitwise inversion")


def match_pair(x):
    match (x > 0, x > 1):
        case (True, False):
            return 3 * x
        case (True, True):
            return 5 * x
        case _:
            return x * x


def match_alone(x):
    match x > 0:
        case True:
            return 3 * x
        case False:
            return x * x


def match_type(x):
    match x > 0:
        case bool():
            return 3 * x
        case _:
            return x * x


def is_true(condition):
    return condition is True


def turned(condition):
    """The condition looked at and handed on: what comes out is not what went in."""
    return (not condition) if condition is False else condition


def looked_at_while_it_waits(x):
    c = x > 0
    y = where(c, x, 3 * x)
    return 7 * y if c is True else y


def both_looked_at(x):
    c, d = x > 0, x > 1
    y = where(c, x, 3 * x) + where(d, x, 5 * x)
    return 7 * y if c is True and d is True else y


def named_inside(x):
    y = where((c := x > 0), x, 3 * x)
    return 7 * y if c is True else y


def until(x):
    y = x
    while not is_true(y > 2):
        y = y + 1
    return y


def by_type(x):
    return x if type(x > 0) is bool else x * x


KEYS = {True: 2.0, False: 3.0}
LOOKS = [
    match_pair,
    match_alone,
    match_type,
    looked_at_while_it_waits,
    both_looked_at,
    named_inside,
    until,
    by_type,
    lambda x: {True: x}.get(x > 0, x * x),
    lambda x: KEYS[x > 0] * x,
    lambda x: {(True, False): x, (True, True): 2 * x}.get((x > 0, x > 1), x * x),
    lambda x: x if (x > 0) is True else x * x,
    lambda x: x if (x > 0) is not False else x * x,
    lambda x: x if operator.is_(x > 0, True) else x * x,
    lambda x: x if is_true(x > 0) else x * x,
    lambda x: where(turned(x > 0), x, 3 * x),
    lambda x: where(functools.reduce(lambda _, c: turned(c), [x > 0], 0), x, 3 * x),
    lambda x: x if isinstance(x > 0, bool) else x * x,
    lambda x: x if isinstance(x > 0, int) else x * x,
    lambda x: x * len({x > 0, True}),
    lambda x: x * len({x > 0, x > 1, x > 2}),
    lambda x: x * int(x > 0) + float(x > 1),
    lambda x: [x, x * x][x > 0],
    lambda x: x * [2.0, 3.0, 4.0][(x > 0) + (x > 1)],
    lambda x: {0: x, 1: 2 * x, 2: 3 * x}[(x > 0) + (x > 1)],
    lambda x: x * {0: 5.0, 1: 6.0}.get(sum(x > t for t in (0, 1, 2)), 7.0),
    lambda x: where((x > 0) ^ (x > 1), x, 3 * x),
    lambda x: where((x > 0) & (x < 1) | (x > 1.2), x, 3 * x),
    lambda x: where(~(x > 0), x, 3 * x),
    lambda x: x * ((x > 0) & 3),
    lambda x: where(True ^ (x > 0), x, 3 * x),
    lambda x: where((x > 0) == (x > 1), x, 3 * x),
    lambda x: where((x > 0) == True, x, 3 * x),  # noqa: E712
    lambda x: where(0 < x < 1, x, 3 * x),
    lambda x: where(x > 0 and x < 1, x, 3 * x),
    lambda x: where(x < 2 if x > 1 else x < 0, x, 3 * x),
    lambda x: where(*[x > 0, x, 3 * x]),
    lambda x: x if str(x > 0) == "True" else x * x,
    lambda x: x if f"{x > 0}" == "True" else x * x,
    lambda x: x * len(repr(x > 0)),
    lambda x: x * (x > 0) - (x > 1) * 2 + 1.0 * (x > 0.2),
    lambda x: x * ((x > 0) / 2 + (x > 1) // 1 + (x > 0) % 2 + (x > 1) ** 2),
    lambda x: x * [False, True].index(x > 0),
    lambda x: x * (True in [x > 0, x > 1]),
    lambda x: x * max(x > 0, x > 1),
    lambda x: x * sorted([x > 0, x > 1, x > 2])[1],
    lambda x: x * any([x > 0, x > 1]) + all([x > 0, x > 1]),
    lambda x: x * (x > 0).bit_length(),
    lambda x: x * (x > 0).real,
    lambda x: x * ((x > 0) << 2 | (x > 1) << 1 | 1),
    lambda x: x * (6 >> (x > 0)) + (2 << (x > 0) + (x > 1)) + ((x > 0) << (x > 1)),
    lambda x: x * round(x > 0) + abs(x > 1) - (-(x > 0)),
    lambda x: x * next(itertools.compress([2.0, 3.0], [x > 0, True])),
    lambda x: x * {1.0: 2.0}.get(where(x > 0, 1.0, 0.0), 5.0),
    lambda x: x * [4.0, 5.0, 6.0][int(where(x > 0, 1.0, 2.0))],
    lambda x: x * (2.0 if isinstance(where(x > 0, 1.0, 2.0), float) else 3.0),
    lambda x: x * len(f"{where(x > 0, 1.0, 12.0):.0f}"),
    lambda x: x * tg.exp(1.0 * (x > 0)) + tg.maximum(x > 0, 0.5),
    lambda x: x if isinstance(x * 2, (Value, float)) else x * x,
    lambda x: [x, 2 * x, 3 * x][math.floor(1.5 * (x > 0)) + math.ceil((x > 1) / 2)],
    lambda x: np.where(np.array([x, 2 * x], dtype=object) > 1, 3.0, 4.0).sum() * x,
]  # fmt: skip


@EVERY
@pytest.mark.parametrize("number", range(len(LOOKS)))
def test_a_comparison_is_the_bool_it_stands_for_however_it_is_looked_at(engine, number):
    f = LOOKS[number]
    # a multiplication and an addition may be contracted to one rounding
    expected = pytest.approx([f(Value(x)).data for x in X], rel=1e-15)
    assert compile(f, engine=engine)(np.array(X)).tolist() == expected
    compiled = compile(f, engine=engine)
    assert [compiled(x) for x in X] == expected
    assert [compiled.grad(x) for x in X] == [tg.grad(f)(x) for x in X]


@EVERY
@pytest.mark.parametrize(
    "count",
    [
        lambda c: -c,
        lambda c: c * -1,
        lambda c: np.int64(-1) * c,
        lambda c: c % -2,
        lambda c: c // -2,
        lambda c: -(c - c),
        lambda c: math.trunc(c * -0.5),
        lambda c: math.ceil(-0.5 - c),
        lambda c: round(c * -0.5),
        lambda c: math.floor(-c * 0.0),
        lambda c: c**3 * -c,
        lambda c: -tg.sqrt(c),
        lambda c: c * -1.0,
    ],
)
def test_ints_have_one_zero_and_floats_two(engine, count):
    def f(x):
        return tg.copysign(x, count(x > 0))

    expected = [f(Value(x)).data for x in X]
    compiled = compile(f, engine=engine)
    assert [compiled(x) for x in X] == compiled(np.array(X)).tolist() == expected


@pytest.mark.parametrize(
    "f",
    [
        lambda x: where(x > 0, x, 3 * x),
        lambda x: where((x > 0) & (x < 1), x, 3 * x) + x * (x > 1),
        lambda x: where((x > 0) ^ (x > 1), where(x > 0.2, x, 2 * x), 3 * x),
        lambda x: 1.0 * (x > 0) * x + (2 * (x > 1) - 1) * x,
        lambda x: x * (1 - where(x > 0, 1.0, 0.0)),
    ],
)
def test_a_condition_that_goes_straight_on_is_no_branch(f):
    expected = [f(Value(x)).data for x in X]
    assert compile(f, max_paths=1)(np.array(X)).tolist() == expected


def test_rows_of_ones_own_see_bools_in_their_partials():
    row = tg.primitive(
        "leaning",
        lambda x: abs(x),
        lambda y, x: 2.0 if (x > 0) is True else where(x > 1, 5.0, -3.0),
    )
    f = compile(lambda x: row(x) * x)
    assert [f.grad(x) for x in X] == [tg.grad(lambda x: row(x) * x)(x) for x in X]
    assert f.grad(np.array(X)).tolist() == [f.grad(x) for x in X]


# ── numbers of computed Values ────────────────────────────────────────────────────────────────
w = Value(3.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * (w * 3).data,
        lambda x: x * float(f"{w * 3:.17g}"),
        lambda x: x * max(v.data for v in [w * 2, w * 3]),
        lambda x: x * (w.exp()).data,
        lambda x: x * tg.sum([w, w]).data,
        lambda x: x * w.detach().data,
        lambda x: x * (-w).data + x * w.relu().data,
        lambda x: x * int((w * 3).data),
        lambda x: x * compile(lambda y: w * y).grad(2.0),
        lambda x: x * pickle.loads(pickle.dumps(x)),
        lambda x: x * copy.deepcopy(x),
        lambda x: x * copy.copy(x),
    ],
)
def test_data_of_what_is_computed_from_leaves_would_be_frozen(f):
    with pytest.raises(TraceError, match=r"freeze"):
        compile(f)(1.0)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * (w * 3),
        lambda x: x * w * 3 if w * 3 > 10 else x,
        lambda x: x * [w, w * w][w * 3 > 10],
        lambda x: x * (w if (w > 4) is True else 2 * w),
        lambda x: x * tg.take([2.0, 3.0, 4.0, 5.0, 6.0, 7.0], w),
        lambda x: x * compile(lambda y: w * y)(2.0),
        lambda x: x * tg.checkpoint(lambda y: w * y, w),
        lambda x: x * tg.grad(lambda v: v * w * v)(w),
        lambda x: x * tg.grad(lambda v: v * w * v)(2.0),
        lambda x: x * tg.jvp(lambda v: v * w * v, (w,), (1.0,))[1],
        lambda x: x * tg.custom(lambda a: a * a, lambda y, a: 2 * a)(w),
        lambda x: x * (w * 3 if isinstance(w * 3, Value) else 5.0),
        lambda x: x * {True: 2.0}.get(w > 4, 3.0),
        lambda x: x * copy.copy(w),
        lambda x: x * copy.deepcopy(w) + x * copy.copy(w * 2),
    ],
)
def test_what_is_computed_from_leaves_is_followed(f):
    try:
        w.data = 3.0
        compiled = compile(f)
        for number in (3.0, 5.0, 4.0, 2.0):
            w.data = number
            assert compiled(2.0) == f(Value(2.0)).data
            assert compiled(np.array([2.0, 4.0]))[0] == compiled(2.0)
    finally:
        w.data = 3.0


def test_a_softmax_of_leaves_less_the_largest_datum_is_refused():
    logits = [Value(0.1), Value(0.2)]

    def loss():
        scaled = [v * 10 for v in logits]
        largest = max(v.data for v in scaled)
        exps = [(v - largest).exp() for v in scaled]
        return -(exps[0] / sum(exps)).log()

    with pytest.raises(TraceError, match="detach"):
        compile(loss)()


# ── refusals and errors that the function handles ─────────────────────────────────────────────
def handled(x):
    try:
        return x * x.data
    except Exception:  # noqa: BLE001
        return 5 * x


def suppressed(x):
    with suppress(RuntimeError):
        x = x * float(x)
    return 5 * x


@pytest.mark.parametrize(
    "f",
    [
        handled,
        suppressed,
        lambda x: x * x if hasattr(x, "data") else 5 * x,
        lambda x: x * len((x * x).operands) if hasattr(x, "operands") else 5 * x,
        lambda x: x * x if x.primitive is None else 5 * x,
        lambda x: x * x if getattr(x, "_op", "") == "" else 5 * x,
        lambda x: x * len((2 * x).parents),
        lambda x: x * (2 * x).local_derivatives[0](),
    ],
)
def test_a_refusal_ends_the_trace_also_where_the_function_handles_it(f):
    with pytest.raises(TraceError):
        compile(f)(2.0)


def masked(x):
    return tg.sum(2 * v if random.random() < 0.5 else 0.0 for v in [x] * 20)


@EVERY
@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * random.random(),
        lambda x: x * np.random.rand(),  # noqa: NPY002
        lambda x: x + Value(random.gauss(0, 1)),
        masked,
    ],
)
def test_random_numbers_are_not_frozen(engine, f):
    for argument in (2.0, np.array([2.0, 3.0])):
        with pytest.raises(TraceError, match="the function draws random numbers"):
            compile(f, engine=engine)(argument)


def test_random_numbers_that_do_not_matter():
    def seeded(x):
        noise = random.Random(0)
        random.seed(1)
        return x * noise.random() + random.random()

    def elsewhere(x):
        other = threading.Thread(target=random.random)  # meanwhile, as in another thread
        other.start()
        other.join()
        return x * tg.custom(lambda a: a * a, lambda y, a: (2 * a,))(x) * Value(3.0)

    expected = 2 * random.Random(0).random() + random.Random(1).random()
    assert compile(seeded)(2.0) == expected
    assert compile(elsewhere)(2.0) == 24.0


def test_what_no_value_has_is_an_attribute_error():
    assert compile(lambda x: x * x if hasattr(x, "shape") else 5 * x)(2.0) == 10.0
    with pytest.raises(AttributeError, match="'Value' object has no attribute 'shape'"):
        compile(lambda x: x.shape)(2.0)
    with pytest.raises(AttributeError, match="_backward cannot be set"):
        compile(lambda x: setattr(x * x, "_backward", None))(2.0)


def test_a_value_of_a_traced_number_is_told_to_be_one_already():
    with pytest.raises(TypeError, match="not Value: it is a Value already"):
        compile(lambda x: Value(x) * 2)(1.0)


@pytest.mark.parametrize("look", [tg.tree, tg.to_text, tg.draw, tg.steps, lambda x: x.parents])
def test_looking_at_the_nodes_of_a_traced_number_says_where_there_are_some(look):
    """Some said that `grad` cannot be traced."""
    with pytest.raises(TraceError, match=r"there are no nodes to look at or draw: .* f\.tape"):
        compile(lambda x: x * len(str(look(x * x))))(2.0)


def test_attributes_of_ones_own_may_be_set():
    def f(x):
        x.times, y = 3.0, weakref.ref(x)
        return x * y().times * len(vars(x))

    assert compile(f)(2.0) == f(Value(2.0)).data == 6.0


def looked_up(x):
    try:
        return x * tg.take([10.0, 20.0], x)
    except (IndexError, ValueError):
        return -x


@EVERY
def test_an_index_out_of_range_that_is_handled_is_a_branch(engine):
    points = [5.0, 0.0, 0.5, 1.0, -1.0]
    expected = [looked_up(Value(x)).data for x in points]
    compiled = compile(looked_up, engine=engine)
    assert [compiled(x) for x in points] == expected
    assert compile(looked_up, engine=engine)(np.array(points)).tolist() == expected


def strict(x):
    y = tg.log(x)
    if y != y:
        raise RuntimeError("no number")
    return y * x


def halved(x):
    y, count = tg.sqrt(x), 0
    while not y < 1:
        y, count = y / 2, count + 1
        if count > 20:
            raise RuntimeError("does not converge")
    return y


def read_at(x):
    return x * tg.take([1.0, 2.0], tg.floor(abs(tg.sin(1 / x))))


@EVERY
@pytest.mark.parametrize("before", [(), (2.0,), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize(
    ("f", "x", "message"),
    [(strict, -1.0, r"log\(-1"), (halved, -1.0, r"sqrt\(-1"), (read_at, 0.0, "division by zero")],
)
@pytest.mark.parametrize("mode", ["__call__", "grad", "value_and_grad", "hessian", "backward"])
def test_what_raises_first_is_told_of_and_handled(engine, before, f, x, message, mode):
    """Not what becomes of its NaN behind it, which no uncompiled run sees."""
    scale = Value(3.0)

    def handling(x):
        try:
            return f(x) * scale
        except (ArithmeticError, ValueError):
            return 5 * x * x * scale

    raising, compiled = compile(f, engine=engine), compile(handling, engine=engine)
    for point in before:
        getattr(raising, mode)(point)
        getattr(compiled, mode)(point)
    scale.grad = 0.0
    for _ in range(2):
        with pytest.raises((ArithmeticError, ValueError), match=message):
            getattr(raising, mode)(x)
        value, slope, curve = 15 * x * x, 30 * x, [[30.0]]
        expected = {"grad": slope, "value_and_grad": (value, slope), "hessian": curve}
        assert getattr(compiled, mode)(x) == expected.get(mode, value)
    assert scale.grad == (2 * 5 * x * x if mode == "backward" else 0.0)


@EVERY
def test_what_raises_first_is_handled_in_a_batch(engine):
    ours, theirs = Value(1.0), Value(2.0)

    def f(x):
        try:
            return strict(x) * ours
        except ValueError:
            return 7 * x * theirs

    compiled = compile(f, engine=engine)
    x = np.array([-1.0, 2.0, -3.0, -1.0, 4.0])
    expected = [math.log(v) * v if v > 0 else 14 * v for v in x]
    assert compiled(x) == pytest.approx(expected, rel=1e-15)
    assert compiled.grad(x) == pytest.approx([math.log(v) + 1 if v > 0 else 14 for v in x])
    assert compiled.backward(x) == pytest.approx(np.mean(expected), rel=1e-15)
    assert ours.grad == pytest.approx((math.log(2) * 2 + math.log(4) * 4) / 5, rel=1e-15)
    assert theirs.grad == pytest.approx(-7.0, rel=1e-15)


@pytest.mark.parametrize(
    "number", [2**53 + 1, 2**53 + 3, 10**400, -(10**400), Fraction(1, 3), Fraction(1, 10), 7]
)
@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_a_comparison_with_a_number_that_is_no_float_is_exact(name, number):
    """Python's floats compare exactly; 2**53 is the nearest float to 2**53 + 1."""
    compare = getattr(operator, name)
    points = [2.0**53, 2.0**53 + 2, 2.0**53 + 4, 1 / 3, 0.1, 7.0, -1.0, np.inf, -np.inf, np.nan]
    for f in (
        lambda x: where(compare(x, number), 1.0, x * 0 + 2),
        lambda x: x * 0 + compare(x, number),
    ):
        compiled = compile(f)
        assert [compiled(x) for x in points] == pytest.approx(
            [f(Value(x)).data for x in points], nan_ok=True
        )


@EVERY
@pytest.mark.parametrize("x", [np.inf, np.nan, -np.inf])
def test_a_class_index_stays_one_where_the_function_itself_is_run(engine, x):
    """Of log Σ exp the result is not finite; −log(1 / (1 + e)) else."""

    def f(a, b, index):
        return tg.cross_entropy([a, b], index)

    compiled = compile(f, engine=engine, undefined="nan")
    expected = f(Value(x), 1.0, 1).data
    assert compiled(x, 1.0, 1.0) == pytest.approx(expected, nan_ok=True)
    slopes = tg.grad(f, undefined="nan")(x, 1.0, 1)
    assert compiled.grad(x, 1.0, 1.0) == pytest.approx(slopes, nan_ok=True)
    batch = compiled(np.array([x, 0.0]), 1.0, np.array([1.0, 0.0]))
    assert batch.tolist() == pytest.approx([expected, np.log(1 + np.e)], nan_ok=True)


@EVERY
def test_a_class_index_is_carried_and_closed_over_as_a_number(engine):
    """The slopes are those of log(1 + e): σ(1) and −σ(1); none goes to the index."""
    slope, index = 1 / (1 + np.exp(-1.0)), Value(0.0)

    def inside(a, b, t):
        return tg.jvp(lambda u, v: tg.cross_entropy([u, b], v), (a, t), (1.0, 1.0))

    assert inside(1.0, 2.0, 0.0) == pytest.approx((np.log1p(np.e), -slope))
    assert compile(inside, engine=engine)(1.0, 2.0, 0.0) == pytest.approx((np.log1p(np.e), -slope))
    closed = compile(lambda a, b: tg.cross_entropy([a, b], index), engine=engine)
    assert closed.grad(1.0, 2.0) == pytest.approx((-slope, slope))
    index.data = 1.0  # read anew
    assert closed.grad(1.0, 2.0) == pytest.approx((1 - slope, slope - 1))
    closed.backward(1.0, 2.0)
    assert index.grad == 0.0


# ── texts ─────────────────────────────────────────────────────────────────────────────────────
def negative_refused(x):
    if x < 0:
        raise ValueError(f"{x} is negative")
    return x * 2


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * len(repr(x)),
        lambda x: x * float(str(x).split("(")[1].split(",")[0]),
        lambda x: x * 2 if "3.0" in f"{x!s:>40}" else x * 3,
        lambda x: x * 2 if ascii([x]) > "[Value(1" else x * 3,
        lambda x: math.copysign(1.0, float(repr(x)[6:].partition(",")[0])) * x,
        lambda x: {"Value(0.25, grad=0.0)": x}.get(str(x * x), x * 5),
        negative_refused,
    ],
)
def test_the_text_of_a_traced_number_is_that_of_the_value(f):
    """It was `Traced(u(1))`, whatever the number."""
    compiled = compile(f)
    for x in (3.0, 0.5, -0.5, 12345.678, 0.0, -0.0, 3.0, math.nan):
        try:
            expected = f(Value(x)).data, tg.grad(f)(x)
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error))):
                compiled(x)
        else:
            assert str((compiled(x), compiled.grad(x))) == str(expected)


class DivergedError(Exception):
    def __init__(self, step, state):
        super().__init__(step)
        self.state = state


@pytest.mark.parametrize("raised", [lambda y: DivergedError(7, [y]), lambda y: KeyError((y, 7))])
def test_what_an_error_of_the_function_holds_are_values(raised):
    """A caller reads the last state off it; it held `Traced(u(2))`, of no use behind the trace."""

    def f(x):
        y = x * x
        if y > 4.0:
            raise raised(y)
        return y

    compiled, expected = compile(f), raised(Value(9.0))
    for ask in (compiled, compiled.grad, compiled.hessian, compiled):
        for x in (3.0, np.array([3.0, 1.0])):
            with pytest.raises(type(expected)) as told:
                ask(x)
            assert str(told.value) == str(expected)
            assert str(vars(expected)).strip("{}") in str(vars(told.value))  # beside notes
        assert compiled(2.0) == 4.0


def test_after_the_trace_its_text_says_what_it_is():
    kept = []
    compile(lambda x: kept.append(x) or x * 2)(3.0)
    assert repr(kept[0]) == "Traced(u(1))"


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x > 3, lambda x: x == x, lambda x: x and 1, lambda x: x * 2, lambda x: 2.0 / x,
        lambda x: x + Value(1.0), lambda x: -x, lambda x: x**2, tg.exp, tg.sum, lambda x: x.data,
        lambda x: tg.where(x > 0, 1.0, 2.0), lambda x: x.detach(), float, copy.copy, copy.deepcopy,
        lambda x: f"{x:.2f}", lambda x: x.backward(), lambda x: np.ones(2) * x,
        lambda x: tg.grad(lambda y: y * x)(2.0), lambda x: compile(lambda y: y * x)(2.0),
    ],
)  # fmt: skip
def test_what_a_function_keeps_of_a_trace_is_refused_from_then_on(use):
    """It would be that of the point of the trace for ever, and further lines those of the path."""
    kept = []

    def g(x):
        kept.append([x * x, x * x * 2])
        if x > 5:
            raise ArithmeticError("too large")
        return x * x

    f = compile(g)
    assert f(1.0) == 1.0
    with pytest.raises(ArithmeticError, match="too large"):
        f(6.0)
    lines = len(f.tape)
    for each in [*kept[0], *kept[1]]:
        with pytest.raises(TraceError, match="outside the call that traced it: return it"):
            use([each] if use is tg.sum else each)
    assert len(f.tape) == lines
    assert f.grad(-3.0) == -6.0


# ── rules of one's own, which get numbers in one mode and carriers in another ─────────────────
def or_seven(ask):
    """What it gives, 7 where it raises."""
    with suppress(Exception):
        return ask()
    return 7.0


@pytest.mark.parametrize("make", [tg.primitive, tg.custom])
@pytest.mark.parametrize(
    "rule",
    [
        lambda y, x: 2 * float(x),
        lambda y, x: 2 * x.data if isinstance(x, Value) else 2 * x,
        lambda y, x: math.sin(x),
        lambda y, x: x * len(str(x)),
        lambda y, x: or_seven(lambda: 2 * float(x)),
        lambda y, x: or_seven(lambda: 2 * math.log(x)),
        lambda y, x: x * int(x),
    ],
)
def test_a_rule_that_asks_for_its_number_is_refused_in_compiled_code(rule, make):
    row = make("asking", lambda x: x * x, rule) if make is tg.primitive else make(lambda x: x, rule)
    with pytest.raises(TraceError, match="of a traced value"):
        compile(lambda x: row(x) * x).grad(3.0)


@EVERY
@pytest.mark.parametrize("formula", [lambda x: 3.0, lambda x: 3, lambda x: tg.sin(1.0)])
def test_a_formula_that_is_constant(formula, engine):
    """Code of LLVM and C took the operand for its result."""
    row = tg.primitive("constant", formula=formula)
    f = compile(lambda x: row(x) * x, engine=engine)
    assert f(-1.5) == row(-1.5) * -1.5
    assert f.grad(-1.5) == row(-1.5)
    assert f(np.array([-1.5, 2.0])).tolist() == [row(-1.5) * -1.5, row(2.0) * 2.0]


def test_a_derivative_by_an_operand_of_a_formula_is_refused():
    """It was 0."""
    with pytest.raises(TypeError, match=r"formula=.*write the derivative out"):
        tg.primitive("slope", formula=lambda x: tg.grad(lambda a: a * a)(x))


# ── rows of one's own that raise ──────────────────────────────────────────────────────────────
class NoSolutionError(Exception):
    pass


KINDS = pytest.mark.parametrize("kind", [NoSolutionError, KeyError, RuntimeError, ValueError])


def root_or(kind):
    """A square root that raises an error of this kind below 0."""

    def root(x):
        if x < 0:
            raise kind("no root")
        return math.sqrt(x)

    return tg.primitive("root", root, lambda y, x: 0.5 / y)


@EVERY
@KINDS
def test_a_row_may_raise_anything_at_points_where_that_does_not_matter(engine, kind):
    """On another branch, or handled: a solver, or a table, that has nothing there."""
    row = root_or(kind)

    def branching(x):
        return row(x) * 3.0 if x > 0 else -x

    def handling(x):
        try:
            return row(x) * 3.0
        except kind:
            return -x

    points = np.array([4.0, -1.0, 9.0, -2.0])
    for f in (branching, handling):
        for xs in (points, points[1:2], points[::-1], points[[1, 3]]):
            compiled = compile(f, engine=engine)
            for _ in range(2):
                assert compiled(xs).tolist() == [3 * math.sqrt(x) if x > 0 else -x for x in xs]
                expected = [1.5 / math.sqrt(x) if x > 0 else -1.0 for x in xs]
                assert compiled.grad(xs) == pytest.approx(expected)
                assert [compiled(x) for x in xs.tolist()] == compiled(xs).tolist()


@EVERY
@KINDS
def test_a_value_does_not_need_the_slope_of_a_row_that_raises_there(engine, kind):
    def slope(_, x):
        if x < 0:
            raise kind("no slope")
        return 2.0 * x

    row = tg.primitive("squared", lambda x: x * x, slope)
    compiled = compile(lambda x: row(x) * 3.0, engine=engine)
    for _ in range(3):
        assert (compiled(-2.0), compiled(2.0), compiled.grad(2.0)) == (12.0, 12.0, 12.0)
        assert compiled(np.array([-2.0, 1.0])).tolist() == [12.0, 3.0]
    if kind is not ValueError:  # that says where there is no slope: see the policies
        with pytest.raises(kind, match="no slope"):
            compiled.grad(-2.0)


@EVERY
@pytest.mark.parametrize("kind", [NoSolutionError, KeyError, RuntimeError])
def test_what_a_row_raises_where_it_matters_is_raised_for_a_batch(engine, kind):
    row = root_or(kind)
    compiled = compile(lambda x: row(x) * 3.0, engine=engine)
    points = np.array([4.0, -1.0, 9.0])
    assert compiled(points[::2]).tolist() == [6.0, 9.0]
    for ask in (compiled, compiled.grad, compiled.hessian):
        for xs in (points, points[1:2], -1.0):
            with pytest.raises(kind, match="no root"):
                ask(xs)
