"""The C that `to_c` writes: compiled by gcc and clang without a warning, held against eager."""

import ctypes
import itertools
import math
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import TraceError, UndefinedGradientWarning, Value, compile, grad, take
from tinygrad_scalar.compiler.ir.tape import ieee
from tinygrad_scalar.core.primitive import no_kinks
from tinygrad_scalar.core.primitives import TABLE

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
compiled_c = pytest.mark.skipif(not COMPILERS, reason="neither gcc nor clang is installed")
NUMBERS = itertools.count()


class Library:
    """What `to_c` wrote, compiled and loaded."""

    def __init__(self, f, folder, mode="value_and_grad", compiler=None):
        name = f"f{next(NUMBERS)}"
        f.to_c(folder / f"{name}.c", mode=mode)
        self.header = (folder / f"{name}.h").read_text()
        self.source = (folder / f"{name}.c").read_text()
        for each in [compiler] if compiler else COMPILERS:
            target = folder / f"{name}_{each}.so"
            command = [each, *STRICT, "-O1", "-shared", "-fPIC", folder / f"{name}.c"]
            subprocess.run([*command, "-o", target, "-lm"], check=True)
        loaded = ctypes.CDLL(str(target))
        self.one, self.many = loaded[name], loaded[f"{name}_batch"]
        self.many.argtypes = [ctypes.c_size_t, *[ctypes.c_void_p] * 3]
        self.one.argtypes = [ctypes.c_void_p] * 3
        sizes = [line.split() for line in self.header.splitlines() if line.startswith("#define F")]
        found = {words[1].rpartition("_")[2]: int(words[2]) for words in sizes if len(words) == 3}
        self.inputs, self.parameters = found["INPUTS"], found["PARAMETERS"]
        self.outputs = found["OUTPUTS"]

    def __call__(self, x, p=()):
        """What is returned, and the outputs, −7 where none was written."""
        x, p = np.asarray(x, float), np.asarray(p, float)
        assert (len(x), len(p)) == (self.inputs, self.parameters)
        out = np.full(self.outputs, -7.0)
        return self.one(x.ctypes.data, p.ctypes.data, out.ctypes.data), list(out)

    def batch(self, X, p=()):
        X, p = np.ascontiguousarray(X, float), np.asarray(p, float)
        out = np.full((len(X), self.outputs), -7.0)
        return self.many(len(X), X.ctypes.data, p.ctypes.data, out.ctypes.data), out


def ulps(actual, expected):
    """The distance in units of the last place; below the normal numbers in units of 2.2e-308."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    with np.errstate(all="ignore"):
        unit = np.spacing(np.maximum(np.abs(expected), np.finfo(float).tiny))
        distance = np.abs(actual - expected) / unit
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return float(np.max(np.where(same, 0.0, distance), initial=0.0))


def same_signs(actual, expected):
    """Zeros have the sign that they have in eager code."""
    zero = np.asarray(expected) == 0.0
    return np.array_equal(
        np.signbit(np.asarray(actual)[zero]), np.signbit(np.asarray(expected)[zero])
    )


# ── the table ─────────────────────────────────────────────────────────────────────────────────
SPECIAL_NUMBERS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.5,
    math.inf,
    -math.inf,
    math.nan,
    1e300,
    -1e300,
    5e-324,
    -745.0,
)


def points_of(row, count):
    """Points of a row inside and outside of its domain, the special numbers in every operand."""
    rng = np.random.default_rng(0)
    points = [rng.normal(size=count) * rng.choice([0.1, 1.0, 30.0]) for _ in range(200)]
    for k, number in itertools.product(range(count), SPECIAL_NUMBERS):
        point = rng.normal(size=count)
        point[k] = number
        points.append(point)
    points += [np.array(pair) for pair in itertools.product(SPECIAL_NUMBERS, repeat=2)][
        : 200 * (count == 2)
    ]
    return np.array(points)


# Rows that no formula tells, for digits that vary: `to_c` refuses them by name.
OPAQUE = ("round_to",)


@compiled_c
@pytest.mark.parametrize("name", sorted(n for n, row in TABLE.items() if not row.whole))
def test_every_row_of_the_table(name, tmp_path):
    row = TABLE[name]
    count = row.arity or 4
    f = compile(lambda *x: row(*x))
    f(*[1.25 if name == "acosh" else 0.5] * count)
    library = Library(f, tmp_path, "value")
    points = points_of(row, count)
    missed, out = library.batch(points)
    assert not missed
    expected = np.array([[ieee(row, list(map(float, x)))] for x in points])
    if name in ("gamma", "lgamma"):  # C gives the poles their infinities, where eager raises
        kept = np.isfinite(expected) & np.isfinite(out)
        out, expected = out[kept], expected[kept]
    # lgamma loses digits at its zeros 1 and 2 in C: the row keeps them
    assert ulps(out, expected) <= (32 if name == "lgamma" else 16)
    assert same_signs(out, expected)


@compiled_c
@pytest.mark.parametrize("name", sorted(n for n, row in TABLE.items() if row.kinks is not no_kinks))
def test_the_number_that_stands_for_the_derivative_at_a_kink(name, tmp_path):
    row = TABLE[name]
    count = row.arity or 2
    f = compile(lambda *x: row(*x))
    f(*[1.25] * count)
    every, expected = tuple(range(count)), {}
    for point in itertools.product((0.0, 0.5, -0.5, 1.0, -1.0, 2.0), repeat=count):
        try:
            stated = grad(row, argnums=every, undefined="subgradient")(*point)
        except (ValueError, ZeroDivisionError, UndefinedGradientWarning):  # no number is stated
            continue
        if row.kinks(*point):
            expected[point] = stated
    _, out = Library(f, tmp_path, "grad").batch(list(expected))
    assert dict(zip(expected, map(tuple, out.tolist()), strict=True)) == expected


@compiled_c
@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_an_order_of_polygamma_is_written_out(order, tmp_path):
    row = TABLE["polygamma"]
    f = compile(lambda x: row(order, x))
    f(0.5)
    points = np.array([[x] for x in (1e-3, 0.3, 1.7, 30.0, 1e10, -0.3, -7.5, math.inf)])
    missed, out = Library(f, tmp_path, "value").batch(points)
    assert not missed
    assert ulps(out, [[row(order, float(x))] for (x,) in points]) <= 16


@compiled_c
@pytest.mark.parametrize("digits", [0, 2, 22, -2])
def test_rounding_to_places_is_as_exact_as_pythons(digits, tmp_path):
    f = compile(lambda x: TABLE["round_to"](x, digits))
    f(0.5)
    numbers = [2.675, 1.005, 1.115, -0.285, 0.5, -2.5, 1234.5, -149.5, 250.0, 1e300, 5e-324, -0.0]
    missed, out = Library(f, tmp_path, "value").batch(np.array([[x] for x in numbers]))
    expected = [[round(x, digits)] for x in numbers]
    assert not missed
    assert out.tolist() == expected
    assert same_signs(out, expected)


@pytest.mark.parametrize("name", OPAQUE)
def test_rows_without_a_formula_are_refused_by_name(name, tmp_path):
    row = TABLE[name]
    f = compile(lambda x: row(x) if row.arity == 1 else row(1.0, x))
    f(1.5)
    with pytest.raises(TraceError, match=rf"{name}.*formula="):
        f.to_c(tmp_path / "f.c", mode="value")
    assert not list(tmp_path.iterdir())


@compiled_c
@pytest.mark.parametrize("mode", ["value", "grad", "value_and_grad", "jacobian", "hessian"])
def test_every_mode(mode, tmp_path):
    f = compile(lambda x, y: tg.exp(x[0] * y) + tg.sin(x[1]) / (1 + y * y))
    x, y = [0.3, -0.7], 1.25
    f(x, y)
    expected = {
        "value": lambda: [f(x, y)],
        "grad": lambda: [*f.grad(x, y)[0], f.grad(x, y)[1]],
        "value_and_grad": lambda: [f(x, y), *f.grad(x, y)[0], f.grad(x, y)[1]],
        "jacobian": lambda: f.jacobian(x, y)[0],
        "hessian": lambda: [number for line in f.hessian(x, y) for number in line],
    }[mode]()
    status, out = Library(f, tmp_path, mode)([*x, y])
    assert status == 0
    assert ulps(out, expected) <= 8  # a contraction of the other engine rounds once


@compiled_c
def test_paths_parameters_and_points_on_no_path(tmp_path):
    a, b = Value(2.0), Value(-3.0)
    f = compile(lambda x: a * x if x > 1 else (tg.exp(b * x) + a if x < 0 else x * x))
    f(2.0)
    f(-1.0)
    library = Library(f, tmp_path)
    assert library([2.0], [2.0, -3.0]) == (0, [4.0, 2.0])
    status, out = library([-1.0], [5.0, 0.5])  # a first, then b, as they were first used
    assert status == 0
    assert ulps(out, [math.exp(-0.5) + 5.0, 0.5 * math.exp(-0.5)]) <= 4
    assert library([0.5], [2.0, -3.0]) == (1, [-7.0, -7.0])
    missed, rows = library.batch([[2.0], [0.5], [0.25], [-1.0]], [2.0, -3.0])
    assert missed == 2
    assert np.isnan(rows[1:3]).all()
    assert not np.isnan(rows[[0, 3]]).any()


@compiled_c
def test_an_index_out_of_range_is_on_no_path(tmp_path):
    table = [Value(float(k) ** 2) for k in range(5)]
    f = compile(lambda i, x: take(table, i) * x + take([1.0, 2.0, 4.0, 8.0, 16.0], i))
    f(3.0, 2.0)
    library = Library(f, tmp_path, "value")
    parameters = [leaf.data for leaf in table]
    assert library([3.0, 2.0], parameters) == (0, [26.0])
    assert [library([float(k), 0.5], parameters)[1] for k in (0, 1)] == [[1.0], [2.5]]
    for index in (5.0, -1.0, 1.5, math.nan):
        assert library([index, 2.0], parameters) == (1, [-7.0])


@compiled_c
@pytest.mark.parametrize("length", [3, 30])
def test_leaves_of_a_table_are_parameters_row_by_row(length, tmp_path):
    rows = [[Value(k + 0.25), Value(-k)] for k in range(length)]
    f = compile(lambda i, x: take(rows, i)[1] + take(rows, i)[0] * x)
    f(2.0, 1.0)
    library = Library(f, tmp_path, "value")
    parameters = [leaf.data for row in rows for leaf in row]
    for k in (0.0, 1.0, length - 1.0):
        assert library([k, 4.0], parameters) == (0, [4 * (k + 0.25) - k])


@compiled_c
def test_tables_are_loads_whatever_their_order(tmp_path):
    rows = [[Value(float(3 * k + c)) for c in range(3)] for k in range(12)]
    squares = [float(k * k) for k in range(12)]
    w, mixed = Value(0.5), [*[row[1] for row in rows[::-1]], 7.0, rows[2][2]]

    def looked_up(i, j, x):
        total = w * take(rows, i)[2] * x
        for _ in range(40):
            total = total * 0.5 + take(rows, j)[0] * x
        backwards = take([row[1] for row in rows[::-1]], i)
        return total + take(squares, i) * x + take(mixed, j) * rows[3][1] + backwards * x

    f = compile(looked_up)
    f(3.0, 5.0, 2.0)
    library = Library(f, tmp_path, "value_and_grad")
    assert library.source.count("\n") < 200
    leaves = [*[leaf for row in rows for leaf in row], w]
    for i, j in ((3.0, 5.0), (11.0, 0.0), (0.0, 11.0)):
        value, slopes = f.value_and_grad(i, j, 2.0)
        status, out = library([i, j, 2.0], [leaf.data for leaf in leaves])
        assert status == 0
        assert ulps(out, [value, *slopes]) <= 16  # forty steps, fused here and not there


@compiled_c
@pytest.mark.parametrize("mode", ["value", "value_and_grad"])
def test_loops_give_what_straight_lines_give(mode, tmp_path):
    w = [Value(0.01 * k) for k in range(60)]

    def recurrence(x, y):
        a, b, total = x, y, 0.0
        for k in range(60):
            a, b = tg.sin(a * w[k] + b), a - b * 0.5
            total = total + a * b
        return total

    f = compile(recurrence)
    expected = f.value_and_grad(0.7, -0.2)
    library = Library(f, tmp_path, mode)
    assert "for (i = 0;" in library.source
    status, out = library([0.7, -0.2], [leaf.data for leaf in w])
    flat = [expected[0], *expected[1]][: library.outputs]
    assert status == 0
    # sixty steps, each rounded once more or less, in sums of about one
    assert np.max(np.abs(np.array(out) - flat)) <= 1e-13


@compiled_c
@pytest.mark.parametrize("count", [3, 60])
def test_a_sparse_hessian(count, tmp_path):
    f = compile(lambda x: tg.sum(a**3 for a in x) if x[0] > 0 else x[1])
    x = [0.1 * k + 0.1 for k in range(count)]
    f(x)
    library = Library(f, tmp_path, "hessian")
    status, out = library(x)
    assert status == 0
    assert np.reshape(out, (count, count)) == pytest.approx(np.diag(x) * 6, rel=1e-15)
    assert library([-a for a in x]) == (1, [-7.0] * count**2)  # on no path, nothing is written


@compiled_c
def test_many_outputs_that_are_one_line_need_no_memory(tmp_path):
    """∂(xᵢ cos x₀)/∂xᵢ = cos x₀ for all i but 0."""
    f = compile(lambda x: [a * tg.cos(x[0]) for a in x])
    x = [0.1 * k + 0.1 for k in range(20)]
    f(x)
    library = Library(f, tmp_path, "jacobian")
    expected = np.diag([math.cos(x[0])] * 20)
    expected[:, 0] -= np.multiply(x, math.sin(x[0]))
    assert np.reshape(library(x)[1], (20, 20)) == pytest.approx(expected, rel=1e-15)
    assert "s[" not in library.source


@compiled_c
@pytest.mark.parametrize("mode", ["value", "jacobian"])
@pytest.mark.parametrize("deep", [None, 5, 350])
def test_long_programs_are_several_functions(deep, mode, tmp_path):
    w = [Value(0.3), Value(-0.2)]

    def program(x):
        rng, v = np.random.default_rng(0), list(x)
        for k in range(400):
            a, b = (v[-1 - i] for i in rng.integers(0, 4, 2))
            v.append(rng.choice([tg.sin, tg.tanh])(a * w[k % 2] + b) * 0.9 + a)
            if k == deep and not v[-1] * 0.0 + x[0] > 0:  # a guard on what is computed there
                return [x[1], x[1], x[1], x[1]]
        for k in range(100):  # a loop
            v.append(tg.cos(v[-1]) * w[0] + k)
        return [v[300], v[-1], x[0], sum(v[-40:])]

    f, x = compile(program), [0.4, -0.7, 0.2, 0.9]
    values = f(x)
    library = Library(f, tmp_path, mode)
    assert library.source.count("static int") > 2
    status, out = library(x, [leaf.data for leaf in w])
    slopes = [getattr(dy, "data", dy) for dy in np.ravel(tg.jacobian(program)(x)).tolist()]
    # some hundreds of operations, of which some are fused in one of the two
    assert (status, out) == (0, pytest.approx(values if mode == "value" else slopes, rel=1e-11))
    if deep is not None:
        assert library([-0.4, *x[1:]], [leaf.data for leaf in w]) == (1, [-7.0] * library.outputs)


@compiled_c
def test_functions_of_a_long_program_may_hand_nothing_on(tmp_path):
    """Outputs by the dozen that are one number, and loops behind them that do not read it."""
    names = str.split(
        "sin cos tan asin acos atan sinh cosh tanh asinh exp expm1 log1p sqrt erf erfc"
    )

    def program(module, x):
        ends = [y for k in range(90) for y in [getattr(module, names[k % 15])(x[k])] * 14]
        return ends + [a * x[k + q] for q in range(9) for k, a in enumerate(x[:100])]

    f, x = compile(lambda x: program(tg, x)), [0.0005 * k for k in range(1100)]
    f(x)
    library = Library(f, tmp_path, "value")
    assert library.source.count("static int f") > 2
    assert library(x) == (0, pytest.approx(program(math, x), rel=1e-15))


@compiled_c
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_programs(seed, tmp_path_factory):
    rng = np.random.default_rng(seed)
    names = [n for n, row in TABLE.items() if row.total and row.arity in (1, 2)]
    chosen = rng.choice(names, 10)

    def program(x, y):
        values = [x, y]
        for k, name in enumerate(chosen):
            row = TABLE[name]
            values.append(row(*[tg.tanh(values[-1 - (k + j) % 2]) for j in range(row.arity)]))
        return values[-1] + values[-2] * values[-3]

    f = compile(program, engine="python")
    points = rng.normal(size=(20, 2))
    expected = [[y, *slopes] for y, slopes in (f.value_and_grad(*map(float, x)) for x in points)]
    library = Library(f, tmp_path_factory.mktemp("c"), compiler=COMPILERS[seed % len(COMPILERS)])
    missed, out = library.batch(points)
    assert not missed
    scale = np.maximum(1.0, np.abs(expected))
    # ten operations of at most a few ulps each; at a jump of floor or sign nothing is compared
    wrong = np.abs(out - expected) > 1e-12 * scale
    assert not np.any(wrong & np.isfinite(expected)) or {"floor", "ceil", "sign", "round"} & {
        *chosen
    }


@compiled_c
def test_there_is_no_policy_what_arises_from_an_infinite_slope_is_nan(tmp_path):
    f = compile(lambda x: (x * x).sqrt())
    f(1.0)
    _, out = Library(f, tmp_path, "value_and_grad").batch(np.array([[0.0], [2.0]]))
    assert np.isnan(out[0, 1])
    assert out[1].tolist() == [2.0, 1.0]


@compiled_c
def test_where_there_is_no_value_the_value_says_so(tmp_path):
    f = compile(lambda x: x.log())
    f(1.0)
    missed, out = Library(f, tmp_path, "value_and_grad").batch(np.array([[-1.0], [2.0]]))
    assert not missed
    assert np.isnan(out[0, 0])
    assert out[1].tolist() == [math.log(2.0), 0.5]


# ── names and files ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "name",
    ["for", "2x", "a-b", "", "naïve", "exp", "sinf", "printf", "_x", "NAN", "float_t", "linux"],
)
def test_names_that_c_does_not_allow(name, tmp_path):
    f = compile(lambda x: x * x)
    f(1.0)
    with pytest.raises(ValueError, match=r"^to_c: '.*' is .*: give name="):
        f.to_c(tmp_path / "f.c", name=name)
    assert not list(tmp_path.iterdir())


@compiled_c
def test_names_of_the_variables_that_the_code_has_itself(tmp_path):
    f = compile(lambda x, y: x * y if x > 0 else y)
    f(1.0, 2.0)
    f(-1.0, 2.0)
    names = ("x", "p", "out", "n", "i", "j", "row", "missed", "u2")
    for name in names:
        f.to_c(tmp_path / f"{name}.c", mode="value")
    files = [tmp_path / f"{name}.c" for name in names]
    for compiler in COMPILERS:
        subprocess.run([compiler, *STRICT, "-fsyntax-only", *files], check=True)


def test_files_modes_and_errors(tmp_path):
    f = compile(lambda x: [x, x * x])
    with pytest.raises(TraceError, match="call it once first"):
        f.to_c(tmp_path / "f")
    f(1.0)
    with pytest.raises(ValueError, match="'jacobian'"):
        f.to_c(tmp_path / "f", mode="gradient")
    with pytest.raises(TypeError, match="jacobian"):
        f.to_c(tmp_path / "f")
    with pytest.raises(ValueError, match=r"to_c: .my-model., the stem of the file, is no"):
        f.to_c(tmp_path / "my-model.c", mode="value")
    with pytest.raises(FileNotFoundError):
        f.to_c(tmp_path / "none" / "f.c", mode="value")
    assert not list(tmp_path.iterdir())
    f.to_c(tmp_path / "my-model.c", mode="value", name="model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my-model.c", "my-model.h"]
    assert '#include "my-model.h"' in (tmp_path / "my-model.c").read_text()
    for target in ("python", "llvm", "c", "cuda"):
        assert f.source_for(target)
    with pytest.raises(ValueError, match="source_for"):
        f.source_for("fortran")
