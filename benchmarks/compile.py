"""Compiled scalar code against C, NumPy, CasADi, JAX and PyTorch: value and gradient.

`python benchmarks/compile.py` measures, side by side in one run, what is installed; results are
checked to 1e-9 before anything is timed. `--heavy` adds the parts that take minutes.
"""

import ctypes
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import machine, note, print_table, timed, write_results
from programs import FUNCTIONS, Program

import tinygrad_scalar as tg
from tinygrad_scalar import Value

POINTS = 1_000_000


def per_call(action, seconds=0.3):
    """Seconds of one call: enough calls for a clock, the median of five such rounds."""
    action()
    once = max(timed(action)[0], 1e-8)
    count = max(1, int(seconds / 5 / once))

    def several():
        for _ in range(count):
            action()

    return median(timed(several)[0] / count for _ in range(5))


def agree(name, actual, expected):
    """The relative error of the worst number, over the scale of each row, is below 1e-9."""
    for ours, theirs in zip(actual, expected, strict=True):
        a, b = np.asarray(ours, float), np.asarray(theirs, float)
        error = float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
        assert error < 1e-9, f"{name}: off by {error:.1e}"


# ── Black–Scholes ─────────────────────────────────────────────────────────────────────────────
def black_scholes(S, K, T, r, v):
    """The price of a European call, written with scalars."""
    width = v * tg.sqrt(T)
    d1 = (tg.log(S / K) + (r + v * v / 2) * T) / width
    return S * tg.normal_cdf(d1) - K * tg.exp(-r * T) * tg.normal_cdf(d1 - width)


def in_c():
    """The C function, built here; None without a compiler."""
    if not shutil.which("gcc"):
        return None
    folder = tempfile.mkdtemp()
    library = Path(folder) / "black_scholes.so"
    source = Path(__file__).parent / "black_scholes.c"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, str(source), "-o", str(library), "-lm"], check=True)
    run = ctypes.CDLL(str(library)).black_scholes
    run.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 11
    return run


def numpy_black_scholes(S, K, T, r, v):
    """The same by hand on arrays."""
    from scipy.special import ndtr

    root = np.sqrt(T)
    width = v * root
    d1 = (np.log(S / K) + (r + v * v / 2) * T) / width
    d2 = d1 - width
    N1, N2, discount = ndtr(d1), ndtr(d2), np.exp(-r * T)
    pdf = 0.3989422804014327 * np.exp(-0.5 * d2 * d2)
    a_d2 = -K * discount * pdf
    a_d1 = S * 0.3989422804014327 * np.exp(-0.5 * d1 * d1) + a_d2
    slope, a_width = a_d1 / width, -a_d1 * d1 / width - a_d2
    return (
        S * N1 - K * discount * N2, N1 + slope / S, -discount * N2 - slope / K,
        slope * (r + v * v / 2) + K * N2 * r * discount + 0.5 * a_width * v / root,
        slope * T + K * N2 * T * discount, slope * v * T + a_width * root,
    )  # fmt: skip


def market(count):
    """Inputs for `count` options."""
    rng = np.random.default_rng(0)
    ranges = ((80, 120), (80, 120), (0.5, 2), (0.0, 0.1), (0.1, 0.4))
    return [rng.uniform(low, high, count) for low, high in ranges]


def batch():
    """A million points."""
    inputs = market(POINTS)
    f = tg.compile(black_scholes)
    ready, _ = timed(lambda: f.value_and_grad(*[x[:16] for x in inputs]))
    contenders = {f"compile ({f.engine})": lambda: f.value_and_grad(*inputs)}
    value, gradient = f.value_and_grad(*inputs)
    ours = [value, *gradient]
    run = in_c()
    if run is not None:
        outputs = [np.empty(POINTS) for _ in range(6)]
        places = [x.ctypes.data for x in (*inputs, *outputs)]
        run(POINTS, *places)
        agree("C", ours, outputs)
        contenders["C, -O3 -march=native -ffast-math"] = lambda: run(POINTS, *places)
    if find_spec("scipy"):
        agree("NumPy", ours, numpy_black_scholes(*inputs))
        contenders["NumPy by hand"] = lambda: numpy_black_scholes(*inputs)
    if find_spec("jax"):
        contenders["jax.jit(vmap)"] = jax_batch(inputs, ours)
    if find_spec("torch"):
        contenders["PyTorch"] = torch_batch(inputs, ours)
    rounds = {name: [] for name in contenders}
    for _ in range(8):
        for name, action in contenders.items():
            rounds[name].append(timed(action)[0])
    times = {name: sorted(runs)[2] / POINTS * 1e9 for name, runs in rounds.items()}
    base = times.get("C, -O3 -march=native -ffast-math")
    rows = [[name, t, None if base is None else t / base] for name, t in times.items()]
    print_table("Black–Scholes and 5 sensitivities, 10⁶ points", ["", "ns a point", "× C"], rows)
    print(f"\nready in {1e3 * ready:.0f} ms")
    return times


def jax_batch(inputs, ours):
    """JAX, compiled and mapped."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    from jax.scipy.stats import norm

    def price(S, K, T, r, v):
        width = v * jnp.sqrt(T)
        d1 = (jnp.log(S / K) + (r + v * v / 2) * T) / width
        return S * norm.cdf(d1) - K * jnp.exp(-r * T) * norm.cdf(d1 - width)

    f = jax.jit(jax.vmap(jax.value_and_grad(price, argnums=(0, 1, 2, 3, 4))))
    device = [jnp.asarray(x) for x in inputs]
    value, gradient = f(*device)
    agree("JAX", ours, [value, *gradient])
    return lambda: jax.block_until_ready(f(*device))


def torch_batch(inputs, ours):
    """PyTorch on tensors, one thread."""
    import torch

    torch.set_num_threads(1)
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]

    def run():
        S, K, T, r, v = leaves
        width = v * torch.sqrt(T)
        d1 = (torch.log(S / K) + (r + v * v / 2) * T) / width
        cdf = torch.special.ndtr
        price = S * cdf(d1) - K * torch.exp(-r * T) * cdf(d1 - width)
        return [price, *torch.autograd.grad(price.sum(), leaves)]

    agree("PyTorch", ours, [x.detach().numpy() for x in run()])
    return run


def one_point():
    """Floats in, floats out."""
    x = [float(column[0]) for column in market(1)]
    f = tg.compile(black_scholes)
    rows = [["compile", 1e6 * per_call(lambda: f.value_and_grad(*x))]]
    if find_spec("casadi"):
        import casadi

        s = [casadi.SX.sym(name) for name in "SKTrv"]
        width = s[4] * casadi.sqrt(s[2])
        d1 = (casadi.log(s[0] / s[1]) + (s[3] + s[4] * s[4] / 2) * s[2]) / width
        cdf = lambda d: 0.5 * (1 + casadi.erf(d / math.sqrt(2)))  # noqa: E731
        y = s[0] * cdf(d1) - s[1] * casadi.exp(-s[3] * s[2]) * cdf(d1 - width)
        g = casadi.Function("f", s, [y, casadi.gradient(y, casadi.vertcat(*s))])
        value, gradient = g(*x)
        ours = f.value_and_grad(*x)
        agree("CasADi", [ours[0], ours[1]], [float(value), np.array(gradient).ravel()])
        rows.append(["CasADi, call", 1e6 * per_call(lambda: g(*x))])
    run = in_c()
    if run is not None:
        rows_of = [np.array([number]) for number in x] + [np.empty(1) for _ in range(6)]
        places = [a.ctypes.data for a in rows_of]
        rows.append(["C through ctypes", 1e6 * per_call(lambda: run(1, *places))])
    print_table("the same, one point", ["", "µs a call"], rows)
    return dict(rows)


# ── the spiral ────────────────────────────────────────────────────────────────────────────────
def spiral_step():
    """A full-batch step on 300 points, hidden 100: loss, gradients, step."""
    from tinygrad_scalar import data, optim

    X, Y = map(np.asarray, data.spirals(100, seed=0))
    rng = random.Random(0)
    hidden = 100
    W1, b1, W2, b2 = (
        [[Value(0.01 * rng.gauss(0, 1)) for _ in range(hidden)] for _ in range(2)],
        [Value(0.0) for _ in range(hidden)],
        [[Value(0.01 * rng.gauss(0, 1)) for _ in range(3)] for _ in range(hidden)],
        [Value(0.0) for _ in range(3)],
    )

    def loss(x, y):
        h = [tg.relu(x[0] * W1[0][j] + x[1] * W1[1][j] + b1[j]) for j in range(hidden)]
        scores = [tg.sum(h[j] * W2[j][k] for j in range(hidden)) + b2[k] for k in range(3)]
        return tg.cross_entropy(scores, y)

    leaves = [v for row in (*W1, b1, *W2, b2) for v in row]
    f, optimizer = tg.compile(loss), optim.SGD(leaves, lr=1.0)
    w1, c1 = np.array([[v.data for v in row] for row in W1]), np.zeros(hidden)
    w2, c2 = np.array([[v.data for v in row] for row in W2]), np.zeros(3)
    everyone = np.arange(len(Y))

    def by_hand():
        h = np.maximum(0, X @ w1 + c1)
        scores = h @ w2 + c2
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = weights / weights.sum(axis=1, keepdims=True)
        mean = -np.log(p[everyone, Y]).mean()
        p[everyone, Y] -= 1
        p /= len(Y)
        g2, gc2, gh = h.T @ p, p.sum(axis=0), p @ w2.T
        gh[h <= 0] = 0
        g1, gc1 = X.T @ gh, gh.sum(axis=0)
        w1[:] -= g1
        w2[:] -= g2
        c1[:] -= gc1
        c2[:] -= gc2
        return mean

    def ours():
        mean = f.backward(X, Y)
        optimizer.step()
        optimizer.zero_grad()
        return mean

    ready, _ = timed(lambda: f.backward(X, Y))
    optimizer.zero_grad()
    for _ in range(3):
        a, b = ours(), by_hand()
        assert abs(a - b) < 1e-9 * b, (a, b)
    agree("NumPy", [[v.data for row in W1 for v in row]], [w1.ravel()])
    rows = [
        ["f.backward, opt.step, opt.zero_grad", 1e6 * per_call(ours)],
        ["f.backward alone", 1e6 * per_call(lambda: f.backward(X, Y))],
        ["NumPy by hand", 1e6 * per_call(by_hand)],
    ]
    print_table("spiral, full-batch step", ["", "µs"], rows)
    print(f"\nready in {1e3 * ready:.0f} ms")
    return dict(rows)


# ── large graphs at one point ─────────────────────────────────────────────────────────────────
def rosenbrock(x):
    """Σ 100 (x₊ − x²)² + (1 − x)²."""
    return tg.sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def rosenbrock_gradient(n):
    """A chain of n variables, floats in a list."""
    rng = random.Random(0)
    x = [rng.uniform(-1, 1) for _ in range(n)]
    f = tg.compile(rosenbrock)
    ready, gradient = timed(lambda: f.grad(x))
    rows = [["compile", 1e6 * per_call(lambda: f.grad(x)), ready]]
    a = np.array(x)

    def by_hand():
        d = a[1:] - a[:-1] ** 2
        g = np.zeros(n)
        g[:-1] = -400 * d * a[:-1] - 2 * (1 - a[:-1])
        g[1:] += 200 * d
        return g

    agree("NumPy", [gradient], [by_hand()])
    rows.append(["NumPy by hand", 1e6 * per_call(by_hand), None])
    if find_spec("casadi"):
        import casadi

        def build():
            s = casadi.SX.sym("x", n)
            y = casadi.sum1(100 * (s[1:] - s[:-1] ** 2) ** 2 + (1 - s[:-1]) ** 2)
            return casadi.Function("g", [s], [casadi.gradient(y, s)])

        vectors, g = timed(build)

        def by_scalars():
            s = [casadi.SX.sym(f"x{i}") for i in range(n)]
            y = 0
            for p, q in pairwise(s):
                y = y + 100 * (q - p * p) ** 2 + (1 - p) ** 2
            s = casadi.vertcat(*s)
            return casadi.Function("g", [s], [casadi.gradient(y, s)])

        scalars, _ = timed(by_scalars)
        agree("CasADi", [gradient], [np.array(g(x)).ravel()])
        buffer, run = g.buffer()
        out = np.zeros(n)
        buffer.set_arg(0, memoryview(a))
        buffer.set_res(0, memoryview(out))
        rows.append(["CasADi, call", 1e6 * per_call(lambda: g(a)), scalars])
        rows.append(["CasADi, buffer (vectors traced)", 1e6 * per_call(run), vectors])
    header = ["", "µs", "s to trace and compile"]
    print_table(f"Rosenbrock gradient, n = {n:,}", header, rows)
    return {name: [t, ready] for name, t, ready in rows}


def mixed_operations():
    """10,000 mixed operations, one point, value and gradient."""
    program = Program(FUNCTIONS)
    g = program.compiled(
        **{name: getattr(tg, name) for name in ("relu", "exp", "log", "sin", "tanh")}
    )
    f = tg.compile(g)
    x = program.inputs
    ready, (value, gradient) = timed(lambda: f.value_and_grad(x))
    count = program.operations
    expected = tg.value_and_grad(g)(x)
    agree("eager", [[value], gradient], [[expected[0]], expected[1]])
    rows = [["compile", 1e9 * per_call(lambda: f.value_and_grad(x)) / count, 1e6 * ready / count]]
    if find_spec("casadi"):
        import casadi

        functions = {name: getattr(casadi, name) for name in ("exp", "log", "sin", "tanh")}
        h = program.compiled(**functions, relu=lambda a: casadi.fmax(a, 0))

        def build():
            s = [casadi.SX.sym(f"x{i}") for i in range(len(x))]
            y = h(s)
            s = casadi.vertcat(*s)
            return casadi.Function("f", [s], [y, casadi.gradient(y, s)])

        built, function = timed(build)
        agree("CasADi", [gradient], [np.array(function(x)[1]).ravel()])
        buffer, run = function.buffer()
        a, y, out = np.array(x), np.zeros(1), np.zeros(len(x))
        buffer.set_arg(0, memoryview(a))
        buffer.set_res(0, memoryview(y))
        buffer.set_res(1, memoryview(out))
        rows.append(["CasADi, buffer", 1e9 * per_call(run) / count, 1e6 * built / count])
    header = ["", "ns an operation", "µs an operation to compile"]
    print_table("10,000 mixed operations, one point", header, rows)
    return {row[0]: row[1:] for row in rows}


# ── a small GPT ───────────────────────────────────────────────────────────────────────────────
class SmallGPT:
    """One layer of attention and one of neurons over single Values, after microgpt."""

    def __init__(self, vocabulary=27, width=16, heads=4, context=8, seed=0):
        rng = random.Random(seed)

        def matrix(rows, columns):
            return [[Value(rng.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

        self.width, self.heads = width, heads
        self.tokens, self.places = matrix(vocabulary, width), matrix(context, width)
        self.q, self.k, self.v, self.o = (matrix(width, width) for _ in range(4))
        self.up, self.down = matrix(4 * width, width), matrix(width, 4 * width)
        self.out = matrix(vocabulary, width)
        parts = (
            self.tokens, self.places, self.q, self.k, self.v, self.o, self.up, self.down, self.out
        )  # fmt: skip
        self.leaves = [v for part in parts for row in part for v in row]

    def loss(self, text):
        """The mean cross-entropy of each next token."""
        keys, values, losses = [], [], []
        size = self.width // self.heads
        for place, (token, following) in enumerate(pairwise(text)):
            x = [a + b for a, b in zip(self.tokens[token], self.places[place], strict=True)]
            h = normed(x)
            q = linear(self.q, h)
            keys.append(linear(self.k, h))
            values.append(linear(self.v, h))
            mixed = []
            for start in range(0, self.width, size):
                part = slice(start, start + size)
                scores = [dot(q[part], k[part]) / math.sqrt(size) for k in keys]
                weights = tg.softmax(scores)
                mixed += [dot(weights, [v[j] for v in values]) for j in range(start, start + size)]
            x = [a + b for a, b in zip(x, linear(self.o, mixed), strict=True)]
            h = [tg.relu(a) for a in linear(self.up, normed(x))]
            x = [a + b for a, b in zip(x, linear(self.down, h), strict=True)]
            losses.append(tg.cross_entropy(linear(self.out, x), following))
        return sum(losses) / len(losses)


def dot(a, b):
    """Σ aᵢ bᵢ, an operation at a time."""
    total = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        total = total + x * y
    return total


def linear(weights, x):
    """A matrix times a vector."""
    return [dot(row, x) for row in weights]


def normed(x):
    """x over its root mean square."""
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def gpt_step():
    """Forward, backward, `.grad` of every leaf written."""
    model, text = SmallGPT(), [1, 5, 9, 13, 17, 2, 8, 3, 0]
    f = tg.compile(lambda: model.loss(text))
    ready, mean = timed(f.backward)
    compiled = [v.grad for v in model.leaves]

    def eager():
        for leaf in model.leaves:
            leaf.grad = 0.0
        loss = model.loss(text)
        loss.backward()
        return loss.data

    assert abs(eager() - mean) < 1e-9
    agree("eager", [compiled], [[v.grad for v in model.leaves]])
    operations = len(f.tape)
    slow, fast = per_call(eager), per_call(f.backward)
    rows = [["eager", 1e3 * slow, 1.0], ["compile", 1e3 * fast, slow / fast]]
    print_table(f"a GPT step, {operations:,} operations", ["", "ms", "× faster"], rows)
    print(f"\nready in {ready:.1f} s, {1e6 * ready / operations:.0f} µs an operation")
    return {"eager ms": 1e3 * slow, "compile ms": 1e3 * fast, "ready s": ready}


def first_use():
    """A 40-operation function, from nothing to its first result, in a new process."""
    program = (
        "import time, sys; start = time.perf_counter(); sys.path.insert(0, sys.argv[1])\n"
        "import tinygrad_scalar as tg\n"
        "g = lambda x, y: sum(tg.sin(x * k + y) for k in range(10))\n"
        "f = tg.compile(g); f.value_and_grad(0.5, 1.0); first = time.perf_counter() - start\n"
        "start = time.perf_counter()\n"
        "h = tg.compile(lambda x, y: sum(tg.cos(x * k - y) for k in range(10)))\n"
        "h.value_and_grad(0.5, 1.0); print(first, time.perf_counter() - start)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent.parent)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    first, second = map(float, result.stdout.split())
    rows = [["import and first function", 1e3 * first], ["the next one", 1e3 * second]]
    print_table("a function of 40 operations ready", ["", "ms"], rows)
    return dict(rows)


def main():
    """All of it."""
    parts = {
        "black_scholes": batch,
        "one_point": one_point,
        "spiral": spiral_step,
        "rosenbrock": lambda: rosenbrock_gradient(1_000),
        "mixed": mixed_operations,
        "gpt": gpt_step,
        "first_use": first_use,
    }
    if "--heavy" in sys.argv:
        parts["rosenbrock_100000"] = lambda: rosenbrock_gradient(100_000)
    chosen = [name for name in sys.argv[1:] if name in parts] or list(parts)
    results = {}
    start = time.perf_counter()
    for name in chosen:
        note(f"{name} …")
        results[name] = parts[name]()
    note(f"{time.perf_counter() - start:.0f} s")
    results["machine"] = machine("numpy", "llvmlite", "casadi", "jax", "torch")
    if chosen == list(parts):
        write_results("compile", results)


if __name__ == "__main__":
    main()
