"""`compile` on the arrays of other libraries: computed there, as NumPy computes it.

`array_api_strict` has the standard's functions and refuses everything else, so that what runs on
it runs on any namespace. JAX and PyTorch are tried where they are installed.
"""

import importlib
import math
import pickle
import sys
from importlib.util import find_spec

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import Value
from tinygrad_scalar.compiler import TraceError, compile, engines, load_compiled, take
from tinygrad_scalar.compiler.ir.tape import ieee
from tinygrad_scalar.core.primitives import TABLE

EVERY = pytest.mark.parametrize("engine", engines())


HEAVY = {"torch": "torch", "jax": "jax.numpy"}  # left out of the test extra for their size
INSTALLED = [module for name, module in HEAVY.items() if find_spec(name)]


@pytest.mark.parametrize("name", HEAVY)
def test_the_heavy_libraries_are_tried(name):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed (hundreds of megabytes): its arrays are not tried")


@pytest.fixture(params=["array_api_strict", *INSTALLED])
def xp(request):
    """The namespace of one library."""
    module = importlib.import_module(request.param)
    if request.param == "jax.numpy":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return module


def leaves(tree):
    """The arrays of a structure in order, NumPy's too."""
    return [x for part in tree for x in leaves(part)] if type(tree) in (list, tuple) else [tree]


def same(actual, expected, rtol=1e-13):
    """Arrays of the other library where NumPy has arrays, of its type and with its numbers."""
    for ours, theirs in zip(leaves(actual), leaves(expected), strict=True):
        assert not isinstance(ours, np.ndarray)
        assert tuple(ours.shape) == theirs.shape
        assert str(ours.dtype).endswith(str(theirs.dtype))
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=rtol, atol=1e-300)


def bent(x, y):
    """Two branches, and a few functions that not every namespace has."""
    if x > 0:
        return tg.exp(x * y) + tg.sin(x) / y
    return tg.erf(x) * y + tg.cbrt(y) * tg.where(y > 1.5, x, tg.exp2(x))


X, Y = np.linspace(-2, 2, 9), np.linspace(1, 2, 9)


# ── the face ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("method", ["__call__", "grad", "value_and_grad", "hessian", "jacobian"])
def test_every_method_gives_what_numpy_gives(xp, method):
    f = getattr(compile(bent, engine="numpy"), method)
    same(f(xp.asarray(X), xp.asarray(Y)), f(X, Y))
    same(f(xp.asarray(X), 1.25), f(X, 1.25))


def test_tangents_too(xp):
    f = compile(bent, engine="numpy")
    x, y = xp.asarray(X), xp.asarray(Y)
    same(f.jvp((x, y), (y, x)), f.jvp((X, Y), (Y, X)))
    same(f.hvp((x, y), (y, x)), f.hvp((X, Y), (Y, X)))
    same(f.jvp((0.5, 2.0), (x, y)), f.jvp((0.5, 2.0), (X, Y)))
    same(f.hvp((0.5, 2.0), (x, y)), f.hvp((0.5, 2.0), (X, Y)))


@EVERY
def test_with_every_engine_named(engine):
    f = compile(bent, engine=engine)
    same(f.grad(strict.asarray(X), strict.asarray(Y)), f.grad(X, Y))


def test_lists_rows_and_structures(xp):
    f = compile(lambda p, n: {"a": p["a"] * n[1], "b": [p["b"][0], n[0] ** 2]}, engine="numpy")
    rows = np.arange(1.0, 7.0).reshape(3, 2)
    arguments = ({"a": 2.0, "b": (3.0,)}, rows)
    ours = f({"a": 2.0, "b": (3.0,)}, xp.asarray(rows))
    theirs = f(*arguments)
    same([ours["a"], *ours["b"]], [theirs["a"], *theirs["b"]])
    h = compile(lambda w, x: (w[0] * x[0] + x[1]) ** 2, engine="numpy")
    same(h.grad([0.5, 1.0], xp.asarray(rows)), h.grad([0.5, 1.0], rows))
    same(h.hessian([0.5, 1.0], xp.asarray(rows)), h.hessian([0.5, 1.0], rows))


def test_arrays_without_axes_are_numbers(xp):
    f = compile(lambda x, y: x[0] * x[1] + y, engine="numpy")
    x, y = [xp.asarray(2.0, dtype=xp.float64), 3.0], xp.asarray(0.5, dtype=xp.float64)
    value, ((a, b), c) = f.value_and_grad(x, y)
    assert [float(z) for z in (value, a, b, c)] == [6.5, 3.0, 2.0, 1.0]
    assert [z.shape for z in (value, a, b, c)] == [()] * 4
    assert f.hessian(x, y).shape == (3, 3)
    assert f.jacobian(x, y).shape == (1, 3)
    branches = compile(lambda x: x * x if x > 0 else -x, engine="numpy")
    assert [float(branches.grad(xp.asarray(z))) for z in (3.0, -3.0)] == [6.0, -1.0]


@pytest.mark.parametrize("number", [np.array(2.0), np.array(2), np.float32(2), np.int64(2)])
def test_numbers_of_numpy_beside_them(xp, number):
    f = compile(lambda x, y: x * y)
    x = xp.asarray(X.tolist(), dtype=xp.float64)
    same(f.value_and_grad(x, number), f.value_and_grad(X, 2.0))
    same(f.jvp((number, x), (number, x)), f.jvp((2.0, X), (2.0, X)))


def test_no_points(xp):
    f = compile(lambda x, y: x[0] * x[1] + y, engine="numpy")
    x, y = np.empty((0, 2)), np.empty(0)
    ours = (xp.asarray(x), xp.asarray(y))
    for method in ("__call__", "grad", "value_and_grad", "hessian", "jacobian"):
        same(getattr(f, method)(*ours), getattr(f, method)(x, y))
    same(f.jvp(ours, ours), f.jvp((x, y), (x, y)))


def test_results_are_arrays_of_their_own(xp):
    f = compile(lambda x: [x, x * 1.0, x, 2.0, -0.0, x * 2, x * 2], engine="numpy")
    x = xp.asarray(X)
    results = f(x)
    assert all(result.shape == (9,) for result in results)
    assert len({id(array) for array in (x, *results)}) == 8
    assert all(math.copysign(1, float(z)) == -1 for z in results[4])


def test_types_are_kept(xp):
    f = compile(lambda x, y: tg.sin(x) * y + tg.normal_cdf(x), engine="numpy")

    def result(a, b):
        return str(f(xp.asarray([1.0], dtype=a), xp.asarray([2.0], dtype=b)).dtype)

    assert result(xp.float32, xp.float32).endswith("float32")
    assert result(xp.float64, xp.float32).endswith("float64")
    narrow = compile(lambda x: x * 0.5, engine="numpy", dtype="float32")
    assert str(narrow(xp.asarray([1.0], dtype=xp.float64)).dtype).endswith("float32")
    halves = compile(lambda x: x * 0.5, engine="numpy")(xp.asarray([1, 2]))
    assert halves.dtype == xp.asarray(1.0).dtype
    assert [float(x) for x in halves] == [0.5, 1.0]
    single = f.grad(xp.asarray(X, dtype=xp.float32), xp.asarray(Y, dtype=xp.float32))
    for ours, theirs in zip(single, f.grad(X, Y), strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=2e-6, atol=1e-6)


def test_on_the_device_of_the_arguments():
    device = strict.Device("device1")
    x, y = (strict.asarray(z, device=device) for z in (X, Y))
    w = Value(0.5)
    f = compile(lambda x, y: bent(x, y) * tg.atan2(y, 2.0) + w)
    for result in leaves([f(x, y), f.grad(x, y), f.hessian(x, 2.0)]):
        assert result.device == device


# ── branches ──────────────────────────────────────────────────────────────────────────────────
def test_every_point_takes_its_own_branch(xp):
    def root(a):
        x = a
        while abs(x * x - a) > 1e-12 * a:
            x = (x + a / x) / 2
        return x

    f = compile(root, engine="numpy")
    a = np.random.default_rng(0).uniform(0.1, 50, 200)
    np.testing.assert_allclose(np.asarray(f(xp.asarray(a))), np.sqrt(a), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(f.grad(xp.asarray(a))), 0.5 / np.sqrt(a), rtol=1e-9)


@pytest.mark.parametrize("point", [0.1, 0.3, math.nan, -0.0])
def test_a_guard_that_rounding_turns_ends_all_the_same(point, monkeypatch):
    from tinygrad_scalar.compiler.arrays.kernel import Kernel

    everywhere = Kernel.everywhere

    def turned(self, columns, p, ones):
        outputs, held = everywhere(self, columns, p, ones)
        return outputs, held & (ones != ones)

    monkeypatch.setattr(Kernel, "everywhere", turned)
    f = compile(lambda x, y: x * y if x < 0.2 else x - y)
    X, Y = np.array([point, 0.1, 0.7, point]), np.array([3.0, 3.0, 2.0, 4.0])
    same(f(strict.asarray(X), strict.asarray(Y)), np.where(X < 0.2, X * Y, X - Y))


def test_guards_on_leaves_and_tables(xp):
    w = Value(1.0)
    f = compile(lambda x: x * w if w > 0 else x - w, engine="numpy")
    x = xp.asarray(X)
    same(f(x), X)
    w.data = -1.0
    same(f(x), X + 1)
    table = compile(lambda i: take([10.0, 20.0, w], i) * i, engine="numpy")
    same(table(xp.asarray([0.0, 2.0, 1.0], dtype=xp.float64)), np.array([0.0, -2.0, 20.0]))
    with pytest.raises(IndexError, match=r"index 3\.0 of a table of 3"):
        table(xp.asarray([0.0, 3.0]))


def test_too_many_paths():
    f = compile(lambda x: tg.where(x > 0, x, 1.0) if x > 0 else x, max_paths=1)
    with pytest.raises(TraceError, match="more than 1 paths"):
        f(strict.asarray(X))


# ── leaves of the closure, files ──────────────────────────────────────────────────────────────
@EVERY
def test_backward_takes_them_too(xp, engine):
    w = Value(0.5)
    f = compile(lambda x, y: (w * x - y) ** 2, engine=engine)
    expected = f.backward(X, Y)
    gradient, w.grad = w.grad, 0.0
    assert f.backward(xp.asarray(X), xp.asarray(Y)) == expected
    assert w.grad == gradient
    assert f.backward(xp.asarray(2.0), 1.0) == 0.0


@pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float8_e5m2"])
def test_backward_takes_types_of_torch_that_numpy_lacks(kind):
    torch = importlib.import_module("torch")
    w = Value(0.5)
    f = compile(lambda x: w * x)
    assert f.backward(torch.tensor([1.0, 2.0], dtype=getattr(torch, kind))) == 0.75
    assert w.grad == 1.5


def test_traces_are_shared_with_numpy_and_saved(tmp_path):
    f = compile(bent)
    f.grad(X, Y)
    f.save(tmp_path / "f.json")
    loaded = load_compiled(tmp_path / "f.json")
    same(loaded.grad(strict.asarray(X), strict.asarray(Y)), f.grad(X, Y))
    again = pickle.loads(pickle.dumps(f))
    same(again(strict.asarray(X), strict.asarray(Y)), f(X, Y))
    assert "exp" in f.draw().source


# ── all rows, and random programs ─────────────────────────────────────────────────────────────
BINARY = ["atan2", "copysign", "div", "elu", "floordiv", "fmod", "hypot", "leaky_relu", "maximum",
          "minimum", "mod", "pow", "remainder"]  # fmt: skip
SPECIAL = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1.0,
    -1.0,
    2.0,
    -3.0,
    0.5,
    5e-324,
    1e300,
    710.0,
]


def distance(actual, expected):
    """The largest error in units of the last place, of 2.2e-308 at least; inf where one is NaN."""
    with np.errstate(all="ignore"):
        unit = np.spacing(np.maximum(np.abs(expected), sys.float_info.min))
        ulps = np.abs(actual - expected) / unit
    agree = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    agree &= np.isnan(expected) | (np.signbit(actual) == np.signbit(expected))
    return np.nan_to_num(np.where(agree | ((ulps > 0) & (ulps < 100)), ulps, np.inf), nan=0.0).max()


@pytest.mark.parametrize("name", sorted(n for n, row in TABLE.items() if row.arity == 1))
def test_rows_of_one_operand_are_a_few_ulps_from_the_table(name):
    row = TABLE[name]
    rng = np.random.default_rng(0)
    count = 200 if "gamma" in name else 3000
    x = np.concatenate([rng.uniform(-40, 40, count), rng.normal(size=count), SPECIAL])
    with np.errstate(invalid="ignore"):
        x = x[np.isnan(x) | ((x >= row.domain[0].low) & (x <= row.domain[0].high))]
    actual = np.asarray(compile(lambda a: row(a), engine="numpy")(strict.asarray(x)))
    assert distance(actual, np.array([ieee(row, [float(a)]) for a in x])) <= 4


@pytest.mark.parametrize("name", BINARY)
def test_rows_of_two_operands_are_a_few_ulps_from_the_table(name):
    row = TABLE[name]
    a, b = np.random.default_rng(1).normal(size=(2, 2000)) * 10
    halves = np.arange(-20, 20) / 2  # the ties of the remainders
    a = np.concatenate([a, np.repeat(SPECIAL, len(SPECIAL)), halves])
    b = np.concatenate([b, np.tile(SPECIAL, len(SPECIAL)), np.ones(len(halves))])
    actual = compile(lambda a, b: row(a, b), engine="numpy")(strict.asarray(a), strict.asarray(b))
    expected = [ieee(row, [float(x), float(y)]) for x, y in zip(a, b, strict=True)]
    assert distance(np.asarray(actual), np.array(expected)) <= 4


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_and_its_slopes_agree_with_numpy(xp, name):
    row = TABLE[name]
    x = np.random.default_rng(2).uniform(0.1, 0.9, size=(7, row.arity or 4))
    if name == "acosh":
        x += 1
    if name == "clip":
        x[:, 1:] = [0.3, 0.6]
    if name in ("round_to", "polygamma"):
        x[:, name == "round_to"] = 2.0
    f = compile(lambda xs: row(*xs) * 1.25, engine="numpy")
    for ours, theirs in zip(f.value_and_grad(xp.asarray(x)), f.value_and_grad(x), strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-12, atol=1e-13)


OPERATIONS = (
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (b * b + 1),
    lambda a, b: tg.tanh(a), lambda a, b: tg.where(a > b, a, b * 0.5), tg.maximum,
    lambda a, b: (a < b) * a - (b >= 0) * b, lambda a, b: min(b, a) * 0.9, lambda a, b: -a,
    lambda a, b: tg.atan2(a, 2.0) + tg.hypot(b, 1.0), lambda a, b: (a > 0) & (b > 0),
)  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 99), st.integers(0, 99)),
        min_size=1,
        max_size=25,
    )
)
def test_random_programs_agree_with_numpy(program):
    def g(x, y):
        values = [x, y]
        for operation, i, j in program:
            values.append(operation(values[i % len(values)], values[j % len(values)]))
        return values[-1] + 0 * x

    f = compile(g, engine="numpy")
    same(f.value_and_grad(strict.asarray(X), strict.asarray(Y)), f.value_and_grad(X, Y), 1e-12)


def test_masked_logits_are_left_out(xp):
    f = compile(lambda a, b, i: tg.cross_entropy([a, b, 0.5], 0) + tg.cross_entropy([b, a], i))
    points = [np.array(x) for x in ([1.0, 2.0], [-math.inf, 2.0], [1.0, 0.0])]
    given = [xp.asarray(x.tolist(), dtype=xp.float64) for x in points]
    assert f(1.0, -math.inf, 1.0) == math.log1p(math.exp(-0.5))
    same(f.value_and_grad(*given), f.value_and_grad(*points))


def test_own_primitives_run_on_the_host(xp):
    damped = tg.primitive("damped", lambda x: math.exp(-x), lambda y, x: -y)
    f = compile(lambda x: damped(x) * 2, engine="numpy")
    same(f.value_and_grad(xp.asarray(X)), f.value_and_grad(X))


def test_a_point_that_only_the_function_itself_knows_is_nan(xp):
    """It raises before a branch that raises again, and handles it: no trace has that."""

    def f(x):
        try:
            y = tg.log(x)
        except ValueError:
            return 3 * x
        if not y == y:
            raise RuntimeError
        return y

    x = xp.asarray([-1.0, 1.0, -1.0, 4.0], dtype=xp.float64)
    value, slope = compile(f).value_and_grad(x)
    same(value, np.array([math.nan, 0.0, math.nan, math.log(4.0)]))
    same(slope[xp.asarray([1, 3])], np.array([1.0, 0.25]))


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        ((strict.asarray(X), Y), TypeError, "argument 1 is an array of numpy, .* array_api_strict"),
        ((X, strict.asarray(Y)), TypeError, "argument 1 is an array of array_api_strict, .* numpy"),
        ((strict.asarray(X), strict.asarray(Y[:3])), ValueError, "batch of 3 points, .* of 9"),
        ((strict.ones((2, 2, 2)), 1.0), ValueError, "argument 0 has 3 axes"),
        ((strict.ones(2, dtype=strict.complex128), 1.0), TypeError, "array of complex128"),
        (([strict.asarray(X)], 1.0), TypeError, "argument 0 is a list with arrays in it"),
        ((strict.asarray(X), "a"), TypeError, "not str"),
    ],
)
def test_bad_arguments(args, error, words):
    f = compile(lambda x, y: x * y)
    with pytest.raises(error, match=words):
        f(*args)


def test_tangents_of_another_library():
    f = compile(lambda x: x * x)
    with pytest.raises(TypeError, match="primals of array_api_strict and tangents of numpy"):
        f.jvp((strict.asarray(X),), (Y,))


# ── inside a transformation ───────────────────────────────────────────────────────────────────
class Sealed:
    """An array whose numbers nobody may read, as inside jax.jit."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __array_namespace__(self):
        return SEALED

    def __getitem__(self, place):
        return Sealed(self.array[place])

    def __float__(self):
        raise TypeError("the number of a traced array")

    def __array__(self, dtype=None, copy=None):
        return self.__float__()

    __bool__ = __float__
    __hash__ = None


def sealed(function):
    """A function, or an operator, from sealed arrays to sealed arrays."""

    def run(*args, **options):
        opened = [x.array if isinstance(x, Sealed) else x for x in args]
        result = function(*opened, **options)
        return Sealed(result) if isinstance(result, np.ndarray | np.generic) else result

    return run


for name in ("add", "sub", "mul", "truediv", "and", "or", "lt", "le", "gt", "ge", "eq", "ne"):
    for side in ("", "r"):
        operator = f"__{side}{name}__"
        if hasattr(np.ndarray, operator):
            setattr(Sealed, operator, sealed(getattr(np.ndarray, operator)))
for operator in ("__neg__", "__invert__"):
    setattr(Sealed, operator, sealed(getattr(np.ndarray, operator)))


class SealedNamespace:
    """NumPy's functions on sealed arrays."""

    __name__ = "sealed"

    def __getattr__(self, name):
        found = getattr(np, name)
        return found if isinstance(found, type) else sealed(found)


SEALED = SealedNamespace()


def test_without_branches_no_number_is_read():
    f = compile(lambda x, y: tg.exp(x) * y + tg.where(x > y, x, 0.0))
    for _ in range(2):
        value, (dx, dy) = f.value_and_grad(Sealed(X), Sealed(Y))
        np.testing.assert_array_equal(value.array, np.exp(X) * Y + np.where(X > Y, X, 0.0))
        np.testing.assert_array_equal(dy.array, np.exp(X))
        np.testing.assert_array_equal(dx.array, np.exp(X) * Y + (X > Y))


@pytest.mark.parametrize(
    "g",
    [
        lambda x: x if x > 0 else -x,
        lambda x: -x if tg.exp(x) * 2 == 1 else x,
        lambda x: take([1.0, 2.0], x),
        lambda x: x or -x,
        lambda x: max(x, 2.0),
    ],
)
def test_a_branch_says_what_to_write_instead(g):
    f = compile(g)
    with pytest.raises(TraceError, match=r"branches on its arguments.*where\(condition, a, b\)"):
        f(Sealed(X))
    assert f(strict.asarray(1.0)) is not None  # nothing is left behind
    with pytest.raises(TraceError, match="branches on its arguments"):
        f(Sealed(X))


def test_what_runs_on_the_host_says_so():
    damped = tg.primitive("damped", lambda x: math.exp(-x), lambda y, x: -y)
    with pytest.raises(TraceError, match=r"damped: sealed has no such function, .*host"):
        compile(lambda x: damped(x))(Sealed(X))


def test_backward_inside_a_transformation_says_what_to_take():
    w = Value(0.5)
    f = compile(lambda x: w * x)
    with pytest.raises(TraceError, match=r"backward: .*jax\.jit.* take value_and_grad .*outside"):
        f.backward(Sealed(X))
    assert w.grad == 0.0


@pytest.mark.skipif("jax.numpy" not in INSTALLED, reason="jax is not installed")
def test_jax_transforms_a_compiled_function():
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    f = compile(lambda x, y: tg.normal_cdf(x) * y + tg.where(x > y, x, 0.0))
    x, y = jax.numpy.asarray(X), jax.numpy.asarray(Y)
    expected = f.grad(X, Y)
    for run in (
        jax.jit(f.grad),
        jax.vmap(f.grad),
        jax.jit(jax.vmap(jax.grad(f, argnums=(0, 1)))),
        jax.grad(lambda x, y: f(x, y).sum(), argnums=(0, 1)),
    ):
        same(run(x, y), expected, 1e-12)


@pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
def test_torch_differentiates_a_compiled_function():
    torch = importlib.import_module("torch")
    f = compile(lambda x, y: tg.normal_cdf(x) * y if x < 1 else x / y)
    x, y = (torch.tensor(z, requires_grad=True) for z in (X, Y))
    same(torch.autograd.grad(f(x, y).sum(), (x, y)), f.grad(X, Y))
    smooth = compile(lambda x: tg.exp(x) * x)
    same(torch.func.vmap(torch.func.grad(smooth))(torch.tensor(X)), smooth.grad(X))


@pytest.mark.skipif("torch" not in INSTALLED, reason="torch is not installed")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # PyTorch's own
def test_what_runs_on_the_host_drops_no_gradient_of_torch():
    torch = importlib.import_module("torch")
    damped = tg.primitive("damped", lambda x: math.exp(-x), lambda y, x: -y)
    f = compile(lambda x: damped(x) * x)
    x, ones = torch.tensor(X), torch.ones(9, dtype=torch.float64)
    with (
        torch.autograd.forward_ad.dual_level(),
        pytest.raises(TraceError, match="damped: torch has no such function"),
    ):
        f(torch.autograd.forward_ad.make_dual(x, ones))
    with pytest.raises(TraceError, match="damped: torch has no such function"):
        torch.func.jvp(f, (x,), (ones,))
    with torch.no_grad():
        same(f(x.requires_grad_()), f(X))


def test_tables_of_arguments_and_of_what_is_computed(xp):
    def f(t, i):
        products = [tg.exp(a) * b for a, b in zip(t, t[1:] + t[:1], strict=True)]
        return take(products, i) * take(t, 8 - i) + products[0]

    made = compile(f)
    table = np.linspace(-1, 1, 90).reshape(10, 9)
    indices = np.arange(10.0) % 9
    given = [xp.asarray(x.tolist(), dtype=xp.float64) for x in (table, indices)]
    same(made(*given), made(table, indices))
    same(made.grad(*given)[0], made.grad(table, indices)[0])


def test_tables_whose_last_entry_is_computed(xp):
    entries = [Value(float(k)) for k in range(11)]
    made = compile(lambda x, i: take([*entries, entries[2] * entries[3]], i) * x)
    given = [xp.asarray(x, dtype=xp.float64) for x in ([1.0, 2.0, 3.0], [1.0, 11.0, 3.0])]
    same(made.grad(*given)[0], np.array([1.0, 6.0, 3.0]))
    assert made.backward(*given) == (1.0 + 12.0 + 9.0) / 3
    assert [leaf.grad for leaf in entries[:5]] == [0.0, 1 / 3, 2.0, 1.0 + 4 / 3, 0.0]


def test_slopes_along_tangents_of_what_is_looked_up(xp):
    table = [Value(0.1 * k + 1) for k in range(10)]
    made = compile(lambda x, i: take(table, i) * x * x, argnums=0)
    x, i, moved = X, np.arange(9.0), X * 0.5 - 0.2
    given = [xp.asarray(each.tolist(), dtype=xp.float64) for each in (x, i, moved, 0 * i)]
    same(made.jvp(given[:2], given[2:]), made.jvp((x, i), (moved, 0 * i)))
    same(made.hvp(given[:2], given[2:3]), made.hvp((x, i), (moved,)))


def test_an_index_that_is_computed_or_a_number_points_into_a_table(xp):
    table = [Value(0.1 * k + 1) for k in range(10)]
    made = compile(lambda x, i: take(table, tg.floor(i / 2)) * x)
    given = [xp.asarray(each.tolist(), dtype=xp.float64) for each in (X, np.arange(9.0))]
    same(made(*given), made(X, np.arange(9.0)))
    by_number = compile(lambda x, i: take(table, i) * x)
    same(by_number(given[0], 7.0), by_number(X, 7.0))
