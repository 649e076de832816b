"""`compile(f, batch=False)`: an array is one point, results have the shapes of the eager modes."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit, least_squares, minimize, root, rosen, rosen_hess

from tinygrad_scalar import (
    TraceError,
    Value,
    compile,
    engines,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    load_compiled,
    maximum,
    sin,
    softmax,
    value_and_grad,
)

EVERY = pytest.mark.parametrize("engine", [name for name in engines() if name != "cuda"])
X0 = np.array([-1.2, 1.0, 0.5])


def alike(found, expected):
    """The same structure, shapes and types, and the same numbers."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            alike(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            alike(*pair)
    elif isinstance(expected, np.ndarray):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-6 if found.itemsize == 4 else 1e-12)
    else:
        assert found == pytest.approx(expected, rel=1e-12)


# ── SciPy, as typed ───────────────────────────────────────────────────────────────────────────
def test_minimize_with_compiled_derivatives():
    found = minimize(compile(rosen, batch=False).value_and_grad, X0, jac=True)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    fast = compile(rosen, batch=False)
    found = minimize(fast, X0, jac=fast.grad, hess=fast.hessian, method="Newton-CG")
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    np.testing.assert_allclose(fast.hessian(X0), rosen_hess(X0), rtol=1e-13)


def test_root_least_squares_and_curve_fit():
    @compile(batch=False)
    def equations(x):
        return np.array([x[0] + 0.5 * x[1] - 1, exp(-x[0]) - x[1]])

    for solve in (root, least_squares):
        found = solve(equations, np.zeros(2), jac=equations.jacobian)
        np.testing.assert_allclose(found.x[0] + 0.5 * math.exp(-found.x[0]), 1.0, rtol=1e-8)

    def decay(t, size, rate):
        return size * np.exp(-rate * t)

    frame = pd.DataFrame({"t": np.linspace(0.0, 3.0, 20)})
    frame["y"] = decay(frame["t"], 2.0, 0.7)
    fast = compile(decay, argnums=(1, 2), batch=False)
    found, _ = curve_fit(decay, frame["t"], frame["y"], p0=(1.0, 1.0), jac=fast.jacobian)
    np.testing.assert_allclose(found, [2.0, 0.7], rtol=1e-8)


# ── shapes ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("engine", [name for name in engines() if name != "cuda"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 2, 1)])
def test_every_method_has_the_shapes_of_the_eager_mode(engine, dtype, shape):
    x = (np.arange(math.prod(shape)) + 1).reshape(shape).astype(dtype)
    v = np.ones(shape, dtype)

    def f(x):
        return (x * x * x).sum() / 8 + np.sin(x).sum()

    def g(x):
        return np.exp(x / 8) * x

    one, several = (compile(each, engine=engine, batch=False) for each in (f, g))
    for _ in range(3):  # the third call finds everything made
        alike(one.grad(x), grad(f)(x))
        alike(one.value_and_grad(x)[1], value_and_grad(f)(x)[1])
        alike(one.hessian(x), hessian(f)(x))
        alike(one.hvp((x,), (v,)), hvp(f, (x,), (v,)))
        alike(several.jacobian(x), jacobian(g)(x))
        for pair in zip(several.jvp((x,), (v,)), jvp(g, (x,), (v,)), strict=True):
            alike(*pair)
        assert one(x) == pytest.approx(float(f(x)), rel=1e-6)


def test_structures_and_several_arguments():
    params = {"w": np.ones((2, 3)), "b": [1.0, 2.0], "c": 0.5}
    x = np.array([1.0, 2.0, 3.0])

    def f(p, v):
        return sum(np.exp(p["w"] @ v / 10)) + p["b"][0] * p["c"] + (v**2).sum()

    fast = compile(f, batch=False)
    alike(fast.grad(params, x), grad(f)(params, x))
    alike(fast.hessian(params, x), hessian(f)(params, x))
    by_vector = compile(f, argnums=1, batch=False)
    alike(by_vector.value_and_grad(params, x), value_and_grad(f, 1)(params, x))
    alike(
        fast.hessian({**params, "w": np.ones((1, 3))}, x)[1][1], 2 * np.eye(3) + math.exp(0.6) / 100
    )


def h(x, y):
    return [x[0] * y, {"a": np.array(x) * y}]


def test_lists_and_numbers_are_as_in_the_eager_modes():
    fast = compile(h, batch=False)
    for x in ([1.0, 2.0], np.array([1.0, 2.0])):
        alike(fast.jacobian(x, 3.0), jacobian(h)(x, 3.0))
        alike(fast(x, 3.0), [3.0, {"a": np.array([3.0, 6.0])}])
    plain = compile(lambda x, y: x * x * y, batch=False)
    assert plain.hessian(3.0, 2.0) == ((4.0, 6.0), (6.0, 0.0))


def test_single_precision_is_kept_and_may_be_asked_for():
    x = np.array([0.1, 0.2], np.float32)
    assert compile(lambda v: v.sum(), batch=False).grad(x).dtype == np.float32
    for name in (np.float32, "float32", np.dtype("float32")):
        fast = compile(lambda v: (v * v).sum(), batch=False, dtype=name)
        assert fast.dtype == "float32"
        assert fast.grad(x.astype(float)).dtype == np.float32
    assert compile(sin, dtype=float).dtype == compile(sin, dtype=np.float64).dtype == "float64"
    for wrong in ("float16", np.int32, 3):
        with pytest.raises(ValueError, match=r'^compile: dtype is "float64" or "float32", not '):
            compile(sin, dtype=wrong)


def test_arrays_of_values_go_to_the_function_itself():
    for fast in (compile(rosen, batch=False), compile(rosen)):
        np.testing.assert_allclose(grad(fast)(X0), grad(rosen)(X0))
        np.testing.assert_allclose(hessian(fast)(X0), hessian(rosen)(X0))


def test_arrays_out_of_a_batch_have_the_batch_first():
    f = compile(lambda x: [np.array([[x, 2 * x]]), x])
    found = f(np.array([1.0, 2.0, 3.0]))
    assert found[0].tolist() == [[[1.0, 2.0]], [[2.0, 4.0]], [[3.0, 6.0]]]
    assert found[1].tolist() == [1.0, 2.0, 3.0]
    assert f(1.0)[0].tolist() == [[1.0, 2.0]]


def test_leaves_closed_over_and_files(tmp_path):
    w = Value(2.0)
    f = compile(lambda v: np.array([w * v[0], v.sum()]), batch=False)
    x = np.array([1.0, 3.0])
    assert f(x).tolist() == [2.0, 4.0]
    f.save(tmp_path / "f.json")
    for again in (load_compiled(tmp_path / "f.json"), pickle.loads(pickle.dumps(f))):
        assert again.batch is False
        alike(again(x), f(x))
        alike(again.jacobian(x), f.jacobian(x))
    loss = compile(lambda v: (v * w).sum(), batch=False)
    assert loss.backward(x) == 8.0
    assert w.grad == 4.0


# ── what is refused, what passes through ──────────────────────────────────────────────────────
def test_nan_passes_through():
    value, slope = compile(lambda v: (v * v).sum(), batch=False).value_and_grad(
        np.array([math.nan, 2.0])
    )
    assert math.isnan(value)
    assert math.isnan(slope[0])
    assert slope[1] == 4.0


@pytest.mark.parametrize(
    ("f", "x", "kind", "message"),
    [
        (rosen, X0, TypeError, r"argument 0, of shape \(3,\), was taken as a batch of 3 numbers"),
        (
            lambda x: x[0] * x[5],
            np.ones((4, 2)),
            IndexError,
            r"argument 0, of shape \(4, 2\), was taken as a batch of 4 lists of 2 numbers",
        ),
        (lambda x: x.sum(), X0, AttributeError, r"argument 0, .* a batch of 3 numbers"),
    ],
    ids=["rosen", "index", "method"],
)
def test_a_batch_that_was_meant_as_a_vector(f, x, kind, message):
    hint = ": for one vector give a list or batch=False$"
    fast = compile(f)
    for method in (fast, fast.grad, fast.hessian, fast.backward):
        with pytest.raises(kind, match=message + hint):
            method(x)
    with pytest.raises((TypeError, AttributeError), match=r"Traced") as refused:
        compile(f)(1.0)
    assert "batch" not in str(refused.value)


def test_a_vector_that_was_meant_as_a_batch():
    fast = compile(lambda x, y: (x - y) ** 2)
    message = (
        r"argument 0, a list of 2, was taken as one vector; "
        r"argument 1, a list of 3, was taken as one vector: for a batch give an array$"
    )
    for method in (fast, fast.grad, fast.hessian, fast.backward):
        with pytest.raises(TypeError, match=message):
            method([1.0, 2.0], [3.0, 4.0, 5.0])
    with pytest.raises(TypeError, match=r"list' and 'list'$"):
        compile(lambda x, y: (x - y) ** 2, batch=False)([1.0], [2.0])
    with pytest.raises(TraceError, match=r"list \* x"):
        compile(lambda x, y: x * y)([1.0, 2.0], 3.0)


def test_an_error_of_another_kind_is_kept_and_told_by_a_note():
    class OwnError(Exception):
        def __init__(self, code, reason):
            super().__init__(code, reason)

    def f(x):
        raise OwnError(1, "no")

    with pytest.raises(OwnError) as raised:
        compile(f)(X0)
    assert "was taken as a batch of 3 numbers" in raised.value.__notes__[0]


def test_holes_and_wrong_kinds_of_arrays():
    f = compile(lambda v: v.sum(), batch=False)
    with pytest.raises(TypeError, match=r"argument 0: give numbers, .* not NoneType"):
        f(np.array([1.0, None]))
    with pytest.raises(TypeError, match=r"argument 0: give numbers, .* not complex"):
        f(np.array([1j]))
    with pytest.raises(TypeError, match=r"^compile: batch is True or False, not 'no'"):
        compile(sin, batch="no")


@pytest.mark.skipif(np.finfo(np.longdouble).nmant == 52, reason="no wider than a float here")
def test_digits_that_a_float_has_no_place_for_are_not_dropped():
    thirds = np.ones(2, np.longdouble) / 3
    with pytest.raises(TypeError, match=r"is an array of float\d+: give real numbers: array\.asty"):
        compile(lambda x: x * x).grad(thirds)
    with pytest.raises(TypeError, match=r"argument 0: give numbers, .* not longdouble"):
        compile(lambda v: v.sum(), batch=False).grad(thirds)
    with pytest.raises(TypeError, match=r"argument 0: at \[0\]: .* not longdouble"):
        grad(lambda v: v.sum())(thirds)


def test_errors_of_hessian_never_say_jacobian():
    for batch in (True, False):
        with pytest.raises(TypeError, match=r"^hessian: the function must return one") as refused:
            compile(lambda x: [x, x], batch=batch).hessian(1.0)
        assert "jacobian" not in str(refused.value)


def test_keyword_arguments_are_constants():
    with pytest.raises(
        TypeError,
        match=r"^compile: keyword arguments are constants of the compiled code and must be "
        r"hashable, not ndarray; pass numbers to differentiate by position",
    ):
        compile(lambda x, a=1: x * a)(1.0, a=np.ones(2))
    with pytest.raises(
        TypeError, match=r"returned 6\.0, which no Value .* by keyword are constants"
    ):
        compile(lambda x: 2 * x)(x=3.0)


@pytest.mark.parametrize("f", [exp, lambda x: maximum(x, 1.0)])
def test_functions_of_numbers_name_compile_for_an_array(f):
    with pytest.raises(TypeError, match=r"one real number, not ndarray: .* compile"):
        f(np.array([1.0, 2.0]))
    assert softmax(np.zeros(2)) == [0.5, 0.5]


# ── called again and again ────────────────────────────────────────────────────────────────────
def branching(s, v, rows):
    total = s * sum(sin(x) * x for x in v)
    for row in rows:
        total = total + row[0] * exp(row[-1]) - sum(row)
    return total if v[0] > 0 else total / s


GIVEN = {
    "lists": (0.5, [1.0, -2.0, 3.0], [[1.0, 2.0], [3.0, 4.0], [-5.0, 6.0]]),
    "lists that differ": (0.5, [1.0, -2.0], [[1.0], [3.0, 4.0], [-5.0, 6.0, 7.0]]),
    "arrays": (0.5, np.array([1.0, -2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])),
    "an array in steps": (0.5, np.arange(12.0)[1::4], np.ones((3, 2)).T),
    "whole numbers": (1, np.array([1, 2, 3]), np.array([[1, 2], [3, 4]])),
    "an array and lists": (0.5, np.array([1.0, -2.0]), [[1.0, 2.0], [3.0, 4.0]]),
    "no rows": (0.5, np.array([1.0, -2.0]), np.zeros((0, 2))),
    "tuples": (0.5, (1.0, -2.0), ([1.0, 2.0], [3.0, 4.0])),
}


def turned(arguments):
    """Others of the same structure, on the other side of the branch."""
    return (
        arguments[0] * 3,
        type(arguments[1])([-1.5, *arguments[1][1:]])
        if not isinstance(arguments[1], np.ndarray)
        else np.array([-1.5, *arguments[1][1:]]),
        arguments[2],
    )


@EVERY
@pytest.mark.parametrize("name", GIVEN)
def test_the_tenth_call_gives_what_the_first_gave(engine, name):
    f = compile(branching, batch=False, engine=engine)
    for arguments in (GIVEN[name], turned(GIVEN[name]), GIVEN[name]):
        first = f(*arguments), f.grad(*arguments), f.value_and_grad(*arguments)
        expected = value_and_grad(branching)(*arguments)
        alike(first[2], expected)
        for _ in range(4):
            alike((f(*arguments), f.grad(*arguments), f.value_and_grad(*arguments)), first)


@EVERY
def test_other_shapes_kinds_and_numbers_after_many_calls(engine):
    f = compile(lambda v: sum(x * x for x in v) / v[0], batch=False, engine=engine)
    v = np.array([2.0, 1.0])
    for _ in range(5):
        kept = f.value_and_grad(v)[1]
    v[:] = 4.0, 8.0
    assert f.value_and_grad(v)[1].tolist() == [1 - 4.0, 4.0]
    assert kept.tolist() == [0.75, 1.0]  # its own, whatever is called later
    assert f.value_and_grad([4.0, 8.0])[1] == [-3.0, 4.0]
    assert f.value_and_grad(np.array([1.0, 2.0, 3.0]))[0] == 14.0
    assert f.value_and_grad(np.array([4.0, 8.0], np.float32))[1].dtype == np.float32
    assert f.value_and_grad(np.array([4, 8]))[1].tolist() == [-3.0, 4.0]
    assert math.isnan(f.value_and_grad(np.array([math.nan, 1.0]))[0])
    assert f.value_and_grad(np.array([1e200, 1e200]))[1].tolist()[1] == pytest.approx(2.0)
    with pytest.raises(ZeroDivisionError, match="division"):
        f.value_and_grad(np.array([0.0, 1.0]))
    with pytest.raises(TypeError, match="positional argument"):
        f.value_and_grad(v, v)


def read_only(y):
    y.flags.writeable = False


def in_another_shape(y):
    y.shape = 2, 2


HOLDERS = {
    "a view": lambda y: y[1:],
    "a buffer": memoryview,
    "its numbers in an array of another type": lambda y: y.view(np.int64),
    "an iterator": iter,
    "nobody, of one that is read-only": read_only,
    "nobody, of one in another shape": in_another_shape,
    "nobody": lambda y: None,
}


@EVERY
@pytest.mark.parametrize("holder", HOLDERS)
def test_arrays_are_written_over_only_where_nobody_holds_them(engine, holder):
    """So that a result costs no fresh memory; numbers of another point would be seen else."""
    f = compile(lambda v: ([x * x for x in v], v * 3.0), batch=False, engine=engine)
    held = []
    for k in range(9):
        v = np.full(4, float(k))
        squares, threefold = f(v)
        assert (squares, threefold.tolist()) == ([k * k] * 4, [3.0 * k] * 4)
        held.append((HOLDERS[holder](threefold), 3.0 * k))
        del threefold
    for holding, number in held:
        if holding is not None:
            numbers = holding.view(float) if isinstance(holding, np.ndarray) else holding
            assert set(map(float, numbers)) == {number}


def test_a_result_that_memory_ends_at_is_an_error_and_leaves_the_function_right(monkeypatch):
    pytest.importorskip("llvmlite")
    room, left = np.empty, [0]

    def empty(*given, **options):
        left[0] -= 1
        if left[0] == 0:
            raise MemoryError("no room for this array")
        return room(*given, **options)

    monkeypatch.setattr(np, "empty", empty)
    f = compile(lambda v: ([v[0]], (v * 2.0, v[1])), batch=False, engine="llvm")
    for k in range(3):
        f(np.array([float(k), 1.0]))
    left[0] = 3
    kept, errors = [], 0
    for k in range(6):
        try:
            kept.append(f(np.array([float(k), 1.0])))
        except MemoryError:
            errors += 1
    assert errors == 1
    for (first,), (both, second) in kept:
        assert (both.tolist(), second) == ([2.0 * first, 2.0], 1.0)


@EVERY
def test_threads_do_not_share_what_they_compute(engine):
    f = compile(lambda v: sum(sin(x) for x in v), batch=False, engine=engine)
    points = [np.full(50, float(k)) for k in range(8)]
    expected = [f.grad(x).tolist() for x in points]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert [x.tolist() for x in pool.map(f.grad, points)] == expected


HOLES = {
    "hole": (
        np.array([1.0, None], object),
        r"argument 0 is an array of object: give real numbers, and at \[1\] there is None",
    ),
    "text": (np.array([[1.0, 2.0], [3.0, "a"]], object), r"and at \[1, 1\] there is 'a'"),
    "ragged": (np.array([[1.0], [2.0, 3.0]], object), "are its rows of different lengths"),
    "numbers": (np.array([1.0, 2.0], object), r"give real numbers: array\.astype\(float\)"),
}


@pytest.mark.parametrize("case", HOLES)
def test_arrays_of_objects_are_refused_with_what_is_no_number(case):
    array, told = HOLES[case]
    w = Value(2.0)
    w.grad = 7.0
    f = compile(lambda x: w * x)
    for call in (f, f.grad, f.backward):
        with pytest.raises(TypeError, match=told):
            call(array)
    assert w.grad == 7.0


def test_keyword_arguments_alone_leave_nothing_to_differentiate():
    with pytest.raises(TypeError, match=r"\(those by keyword are constants\)"):
        compile(lambda x, y: x * y).grad(x=1.0, y=2.0)


def test_tangents_and_vectors_say_which_arguments_they_belong_to():
    f = compile(lambda x, y, n: x[0] * y * n, argnums=(0, 1), engine="python")
    point = [2.0], 3.0, 4.0
    assert f.jvp(point, ([1.0], 0.0, 0.0)) == (24.0, 12.0)
    with pytest.raises(
        ValueError, match=r"^jvp: tangents: give one for each .* \[0, 1, 2\], not 2"
    ):
        f.jvp(point, ([1.0], 0.0))
    assert f.hvp(point, ([0.0], 1.0)) == ([4.0], 0.0)
    with pytest.raises(ValueError, match=r"^hvp: vectors: give one for each .* \[0, 1\], not 3 in"):
        f.hvp(point, ([0.0], 1.0, 0.0))
    for vectors in ((0.0, 1.0), ([0.0, 1.0], 1.0)):
        with pytest.raises(ValueError, match=r"^hvp: vectors: that of argument 0 has another str"):
            f.hvp(point, vectors)
    with pytest.raises(TypeError, match=r"^jvp: tangents: argument 1: give numbers"):
        f.jvp(point, ([0.0], "1", 0.0))
    with pytest.raises(TypeError, match=r"^hvp: vectors: argument 0: give numbers"):
        f.hvp(point, ([None], 1.0))
