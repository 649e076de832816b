"""Constants of compiled code: hashable arguments outside `argnums`, and keyword arguments."""

import dataclasses
import functools
import math
import pickle
from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_scalar as ts
from tinygrad_scalar import TraceError, Value

EVERY = pytest.mark.parametrize("engine", ts.engines())


def powers(x, n):
    """Σ xⁱ below n, by n as only an int can be used."""
    return sum(x**i for i in range(n))


def picked(v, i):
    return v[i] * v[i]


@EVERY
@pytest.mark.parametrize(("f", "x", "constant"), [(powers, 2.0, 3), (picked, [1.0, 2.0, 3.0], 1)])
def test_every_method_takes_an_int_outside_argnums(f, x, constant, engine):
    c = ts.compile(f, argnums=0, engine=engine)
    one = [1.0] * len(x) if isinstance(x, list) else 1.0
    for _ in range(3):  # the second call would make machine code, the third run it
        assert c(x, constant) == f(x, constant)
        assert c.grad(x, constant) == ts.grad(f, argnums=0)(x, constant)
        assert c.value_and_grad(x, constant) == ts.value_and_grad(f, argnums=0)(x, constant)
        alone = lambda x: f(x, constant)  # noqa: E731
        assert c.hvp((x, constant), (one,)) == ts.hvp(alone, (x,), (one,))
        assert c.hessian(x, constant) == ts.compile(alone).hessian(x)
        assert c.jacobian(x, constant) == ts.compile(alone).jacobian(x)
        assert c.jvp((x, constant), (one, None)) == ts.jvp(alone, (x,), (one,))
        assert c.jvp((x, constant), (one, 0.0)) == ts.jvp(alone, (x,), (one,))


@EVERY
def test_each_constant_has_a_trace_of_its_own(engine):
    c = ts.compile(powers, argnums=0, engine=engine)
    slopes = [c.grad(2.0, n) for n in (1, 2, 3, True, 4, 3)]
    assert slopes == [0.0, 1.0, 5.0, 0.0, 17.0, 5.0]  # of 1 + x + x² + x³ from its start


@EVERY
def test_constants_stand_beside_arrays(engine):
    c = ts.compile(powers, argnums=0, engine=engine)
    x = np.array([1.0, 2.0, 3.0])
    assert c(x, 3).tolist() == [3.0, 7.0, 13.0]
    assert c.grad(x, 3).tolist() == [3.0, 5.0, 7.0]
    assert c.hessian(x, 3).tolist() == [[[2.0]]] * 3
    assert c.jvp((x, 3), (x, None))[1].tolist() == [3.0, 10.0, 21.0]
    rows = ts.compile(picked, argnums=0, engine=engine).grad(np.array([[1.0, 2.0], [3.0, 4.0]]), 1)
    assert rows.tolist() == [[0.0, 4.0], [0.0, 8.0]]
    empty = c.grad(np.array([]), 3)
    assert empty.shape == (0,)


def test_backward_takes_constants():
    w = Value(2.0)
    c = ts.compile(lambda x, n: w * powers(x, n), argnums=0)
    assert c.backward(2.0, 3) == 14.0
    assert w.grad == 7.0
    assert c.backward(np.array([1.0, 2.0]), 2) == 5.0  # 2 · (2 + 3) / 2
    assert w.grad == 9.5


def test_what_is_a_constant():
    kinds = []
    c = ts.compile(lambda x, other: kinds.append(type(other)) or x * 1.0, argnums=0)

    class Mode(NamedTuple):
        name: str
        scale: float

    names = "relu", None, ("relu", 0.5), Mode("a", 1.0), math.sin
    constants = [1, True, (2, 3), np.int64(3), *names]
    for constant in constants:
        assert c.grad(2.0, constant) == 1.0
        assert kinds.pop() is type(constant), constant
    for number in (1.5, np.float64(1.5), np.float32(1.5)):
        c.grad(2.0, number)
    assert len(kinds) == 1  # traced once for all of them


def test_numbers_of_other_types_are_other_constants():
    @dataclasses.dataclass(frozen=True)
    class Settings:
        base: float

    text = ts.compile(lambda x, key: x * len(repr(key)), argnums=0)
    assert [text(1.0, key) for key in (1, True, (1,), (True,))] == [1.0, 4.0, 4.0, 7.0]
    named = ts.compile(lambda x, *, key: x * len(repr(key)))
    assert [named(1.0, key=key) for key in (1, True, 1.0, -0.0)] == [1.0, 4.0, 3.0, 4.0]
    angle = ts.compile(lambda x, *, a: ts.atan2(a.base if isinstance(a, Settings) else a, x))
    assert [angle(-1.0, a=a) for a in (0.0, -0.0)] == [math.pi, -math.pi]
    assert [angle(-1.0, a=Settings(a)) for a in (0.0, -0.0)] == [math.pi, -math.pi]
    assert [angle(-1.0, a=np.float32(a)) for a in (0.0, -0.0)] == [math.pi, -math.pi]
    traces = []
    nan = ts.compile(lambda x, *, a: traces.append(a) or x * 2.0)
    assert [nan(1.0, a=float("nan")) for _ in range(3)] == [2.0] * 3
    assert len(traces) == 1


def test_the_tangent_of_a_constant():
    c = ts.compile(lambda x, n: x * n, argnums=0)
    assert c.jvp((2.0, 3), (1.0, 0)) == (6.0, 3.0)
    assert c.jvp((2.0, 3), (1.0, 1.0)) == (6.0, 5.0)  # a number then, as it always was
    with pytest.raises(TraceError, match="outside argnums"):
        ts.compile(powers, argnums=0).jvp((2.0, 3), (1.0, 1.0))


def test_without_argnums_positions_are_numbers():
    with pytest.raises(TraceError, match="an int outside argnums, or by keyword, is a constant"):
        ts.compile(powers)(2.0, 3)
    assert ts.compile(powers).grad(2.0, n=3) == 5.0
    with pytest.raises(TypeError, match="not str; what is no number is a constant by keyword"):
        ts.compile(lambda x, _: x)(2.0, "relu")
    with pytest.raises(TypeError, match="hashable"):
        ts.compile(lambda x, _: x, argnums=0)(2.0, ["relu"])


def test_a_file_holds_no_constants(tmp_path):
    c = ts.compile(lambda x, n: x**n, argnums=0)
    c(2.0, 3)
    for keep in (lambda: c.save(tmp_path / "f.json"), lambda: pickle.dumps(c)):
        with pytest.raises(TraceError, match=r"constants .* alone: pass floats, or bind the const"):
            keep()
    assert not list(tmp_path.iterdir())
    c(2.0, 3.0)
    c.save(tmp_path / "f.json")
    loaded = ts.load_compiled(tmp_path / "f.json")
    assert loaded(3.0, 2.0) == pickle.loads(pickle.dumps(c))(3.0, 2.0) == 9.0
    with pytest.raises(TraceError, match="loaded without its source"):
        loaded(2.0, 3)
    bound = ts.compile(functools.partial(lambda x, n: x**n, n=3))
    assert bound(2.0) == 8.0
    bound.save(tmp_path / "bound.json")
    assert ts.load_compiled(tmp_path / "bound.json")(3.0) == 27.0


def test_an_undefined_point_gets_its_constant():
    c = ts.compile(lambda x, n: ts.sqrt(x) ** n, argnums=0)
    with pytest.warns(ts.UndefinedGradientWarning):
        assert c.grad(0.0, 2) == 0.0
