"""The works: what is computed, the check of all results to 1e-9, and the bars.

The first contender of a work is the fastest engine installed here. A full work has the size that
its bar is stated for; a quick one is smaller, and its bars are only a hint.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any

import tinygrad_scalar as tg
from tinygrad_scalar import Value, data, optim
from tinygrad_scalar.bench import opponents
from tinygrad_scalar.bench.measuring import Contender, Work, agree, timed
from tinygrad_scalar.bench.models import SmallGPT
from tinygrad_scalar.bench.programs import FUNCTIONS, Program

OPTIONS = ((80.0, 120.0), (80.0, 120.0), (0.5, 2.0), (0.0, 0.1), (0.1, 0.4))  # S, K, T, r, v
SLOW = {"python": 1 / 500, "eager": 1 / 5000}  # of a million points, for those that loop


def black_scholes(S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
    """The price of a European call, written with scalars."""
    width = v * tg.sqrt(T)
    d1 = (tg.log(S / K) + (r + v * v / 2) * T) / width
    return S * tg.normal_cdf(d1) - K * tg.exp(-r * T) * tg.normal_cdf(d1 - width)


def rosenbrock(x: Any) -> Any:
    """Σ 100 (x₊ − x²)² + (1 − x)²."""
    return tg.sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def ours(engine: str) -> str:
    """How an engine is called in the tables."""
    return f"compile, engine {engine}"


def fastest_first() -> list[str]:
    """The engines installed here."""
    return tg.engines()[::-1]


def absent(**modules: str) -> list[str]:
    """Those of these opponents that are not installed."""
    return [name for name, found in opponents.here(**modules).items() if not found]


# ── Black–Scholes ─────────────────────────────────────────────────────────────────────────────
def batch(points: int) -> Iterator[Work]:
    """Price and five sensitivities at many points, one thread."""
    if "numpy" not in tg.engines():
        return
    import numpy as np

    rng = np.random.default_rng(0)
    inputs = [rng.uniform(low, high, points) for low, high in OPTIONS]
    contenders: list[Contender] = []
    results: list[Any] = []
    for engine in fastest_first():
        count = max(1, round(points * SLOW.get(engine, 1)))
        part, f = [x[:count] for x in inputs], tg.compile(black_scholes, engine=engine)
        value, gradient = f.value_and_grad(*part)
        results = results or [value, *gradient]
        agree(ours(engine), [x[:count] for x in results], [value, *gradient])
        contenders.append(Contender(ours(engine), partial(f.value_and_grad, *part), count))
    count = max(1, round(points * SLOW["eager"]))
    some = [tuple(float(x[k]) for x in inputs) for k in range(count)]
    eager = tg.value_and_grad(black_scholes)
    contenders.append(Contender("eager", lambda: [eager(*x) for x in some], count))
    found = opponents.c_black_scholes(inputs)
    missing = absent(SciPy="scipy", JAX="jax", PyTorch="torch") + ["gcc"] * (found is None)
    others: list[tuple[str, Any, float | None]] = [
        ("C, gcc -O3 -march=native -ffast-math", found, 1.3)
    ]
    if "SciPy" not in missing:
        hand = opponents.numpy_black_scholes
        others.append(("NumPy by hand", (lambda: hand(*inputs), hand(*inputs)), None))
    if "JAX" not in missing:
        others.append(("JAX, jit(vmap)", opponents.jax_black_scholes(inputs), 1.0))
    if "PyTorch" not in missing:
        others.append(("PyTorch", opponents.torch_black_scholes(inputs), 1.0))
    for name, pair, bar in others:
        if pair is not None:
            run, theirs = pair
            run()  # which writes the outputs of C
            agree(name, results, theirs)
            contenders.append(Contender(name, run, points, ratio=bar))
    title = f"Black–Scholes price and five sensitivities, {points:,} points"
    yield Work(title, "ns a point", 1e9, contenders, missing)


def one_point(_: int) -> Iterator[Work]:
    """The same, floats in and floats out."""
    x = [random.Random(0).uniform(low, high) for low, high in OPTIONS]
    value, gradient = tg.value_and_grad(black_scholes)(*x)
    contenders: list[Contender] = []
    for engine in fastest_first():
        f = tg.compile(black_scholes, engine=engine)
        a, b = f.value_and_grad(*x)
        agree(ours(engine), [[a], b], [[value], gradient])
        limit = None if contenders else 1.5
        contenders.append(Contender(ours(engine), partial(f.value_and_grad, *x), limit=limit))
    eager = tg.value_and_grad(black_scholes)
    contenders.append(Contender("eager", lambda: eager(*x)))
    missing = absent(CasADi="casadi")
    if not missing:
        run, theirs = opponents.casadi_black_scholes(x)
        agree("CasADi", [[value], gradient], theirs)
        contenders.append(Contender("CasADi's call", run, ratio=1.0))
    yield Work("the same at one point", "µs", 1e6, contenders, missing)


# ── the spiral ────────────────────────────────────────────────────────────────────────────────
def spiral(points: int) -> Iterator[Work]:
    """A full-batch step on three arms, 100 hidden neurons: loss, gradients, step."""
    if "numpy" not in tg.engines():
        return
    import numpy as np

    X, Y = map(np.asarray, data.spirals(points // 3, seed=0))
    contenders: list[Contender] = []
    for engine in fastest_first():
        step, weights = scalar_spiral(X, Y, engine)
        w1, w2 = (np.array([[v.data for v in row] for row in part]) for part in weights)
        by_hand = opponents.numpy_spiral(X, Y, w1, w2, 1.0)
        for _ in range(3):
            agree(ours(engine), [[step()]], [[by_hand()]])
        agree(ours(engine), [[v.data for row in weights[0] for v in row]], [w1.ravel().tolist()])
        contenders.append(Contender(ours(engine), step))
    contenders.append(Contender("NumPy by hand", by_hand, ratio=0.5))
    yield Work(f"spiral, full-batch step, {len(Y)} points, 100 hidden", "µs", 1e6, contenders)


def scalar_spiral(
    X: Any,
    Y: Any,
    engine: str,
    spelled: Callable[[Any, Any], Any] = tg.cross_entropy,
    rate: float = 1.0,
) -> tuple[Callable[[], float], Any]:
    """A step of a network over single Values, and its two matrices."""
    rng, hidden = random.Random(0), 100
    W1 = [[Value(0.01 * rng.gauss(0, 1)) for _ in range(hidden)] for _ in range(2)]
    W2 = [[Value(0.01 * rng.gauss(0, 1)) for _ in range(3)] for _ in range(hidden)]
    b1, b2 = [Value(0.0) for _ in range(hidden)], [Value(0.0) for _ in range(3)]

    def loss(x: Any, y: Any) -> Any:
        h = [tg.relu(x[0] * W1[0][j] + x[1] * W1[1][j] + b1[j]) for j in range(hidden)]
        scores = [tg.sum(h[j] * W2[j][k] for j in range(hidden)) + b2[k] for k in range(3)]
        return spelled(scores, y)

    f = tg.compile(loss, engine=engine)
    optimizer = optim.SGD([v for row in (*W1, b1, *W2, b2) for v in row], lr=rate)

    def step() -> float:
        mean: float = f.backward(X, Y)
        optimizer.step()
        optimizer.zero_grad()
        return mean

    return step, (W1, W2)


# ── large graphs at one point ─────────────────────────────────────────────────────────────────
def rosenbrock_gradient(n: int) -> Iterator[Work]:
    """A chain of n variables, and how long it takes to trace and compile."""
    rng = random.Random(0)
    x = [rng.uniform(-1, 1) for _ in range(n)]
    f = tg.compile(rosenbrock)
    ready, gradient = timed(lambda: f.grad(x))
    contenders = [Contender(ours(f.engine), lambda: f.grad(x))]
    compiling = [Contender(ours(f.engine), seconds=ready)]
    if "numpy" in tg.engines():
        run = opponents.numpy_rosenbrock(x)
        agree("NumPy", [gradient], [run().tolist()])
        contenders.append(Contender("NumPy by hand", run))
        point = import_module("numpy").array([x])
        name = f"{ours(f.engine)}, arrays in and out"
        contenders.append(Contender(name, lambda: f.grad(point)))
    missing = absent(CasADi="casadi")
    if not missing:
        theirs, function = timed(lambda: opponents.casadi_rosenbrock(n))
        run, numbers = opponents.casadi_buffer(function, x)
        agree("CasADi", [gradient], [numbers])
        bar = 1.0 if n >= 100_000 else 1 / 3
        contenders.append(Contender("CasADi's call", lambda: function(x), ratio=bar))
        contenders.append(Contender("CasADi, on buffers", run))
        compiling.append(Contender("CasADi, traced by scalars", seconds=theirs, ratio=0.1))
    yield Work(f"Rosenbrock gradient, n = {n:,}", "µs", 1e6, contenders, missing)
    yield Work(f"Rosenbrock gradient, n = {n:,}: trace and compile", "s", 1.0, compiling, missing)


def mixed(operations: int) -> Iterator[Work]:
    """Mixed operations at one point, value and gradient."""
    program = Program(FUNCTIONS, operations)
    names = ("relu", "exp", "log", "sin", "tanh")
    g, x = program.compiled(**{name: getattr(tg, name) for name in names}), program.inputs
    f, eager = tg.compile(g), tg.value_and_grad(g)
    ready, (value, gradient) = timed(lambda: f.value_and_grad(x))
    expected = eager(x)
    agree(ours(f.engine), [[value], gradient], [[expected[0]], expected[1]])
    count = program.operations
    contenders = [
        Contender(ours(f.engine), lambda: f.value_and_grad(x), count, limit=6.0),
        Contender("eager", lambda: eager(x), count),
    ]
    missing = absent(CasADi="casadi")
    if not missing:
        run, numbers = opponents.casadi_buffer(opponents.casadi_program(program), x)
        agree("CasADi", [gradient], [numbers])
        contenders.append(Contender("CasADi, on buffers", run, count, ratio=0.5))
    title = f"{operations:,} mixed operations at one point"
    yield Work(title, "ns an operation", 1e9, contenders, missing)
    compiling = [Contender(ours(f.engine), seconds=ready / count, limit=40.0)]
    yield Work(f"{title}: trace and compile", "µs an operation", 1e6, compiling)


def gpt_step(length: int) -> Iterator[Work]:
    """Forward and backward of a small GPT, `.grad` of every leaf written."""
    model, text = SmallGPT(), [1, 5, 9, 13, 17, 2, 8, 3, 0][: length + 1]
    f = tg.compile(lambda: model.loss(text))
    mean = f.backward()
    compiled = [v.grad for v in model.leaves]

    def eager() -> float:
        for leaf in model.leaves:
            leaf.grad = 0.0
        loss = model.loss(text)
        loss.backward()
        return float(loss.data)

    agree("eager", [[mean]], [[eager()]])
    agree("eager", [compiled], [[v.grad for v in model.leaves]])
    contenders = [Contender(ours(f.engine), f.backward), Contender("eager", eager, ratio=1 / 50)]
    yield Work(f"a GPT step, {len(f.tape):,} operations", "ms", 1e3, contenders)


FIRST_USE = """
import sys, time
start = time.perf_counter()
import tinygrad_scalar as tg
f = tg.compile(lambda x, y: sum(tg.sin(x * k + y) for k in range(10)))
f.value_and_grad(0.5, 1.0)
first, start = time.perf_counter() - start, time.perf_counter()
g = tg.compile(lambda x, y: sum(tg.cos(x * k - y) for k in range(10)))
g.value_and_grad(0.5, 1.0)
print(first, time.perf_counter() - start)
"""


def first_use(_: int) -> Iterator[Work]:
    """A 40-operation function, from nothing to its first result, in a new process."""
    command = [sys.executable, "-c", FIRST_USE]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    first, following = map(float, result.stdout.split())
    contenders = [
        Contender("import, and the first one", seconds=first, limit=1000.0),
        Contender("the next one", seconds=following, limit=50.0),
    ]
    yield Work("a function of 40 operations ready", "ms", 1e3, contenders)


# Each work by name: its maker, and the full and the quick size.
WORKS: dict[str, tuple[Callable[[int], Iterator[Work]], int, int]] = {
    "black_scholes": (batch, 1_000_000, 20_000),
    "one_point": (one_point, 1, 1),
    "spiral": (spiral, 300, 30),
    "rosenbrock": (rosenbrock_gradient, 1_000, 100),
    "rosenbrock_100000": (rosenbrock_gradient, 100_000, 1_000),
    "mixed": (mixed, 10_000, 1_000),
    "gpt": (gpt_step, 8, 2),
    "first_use": (first_use, 1, 1),
}
