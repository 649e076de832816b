"""Compiled functions on a CUDA device: checked, then measured, in under five minutes.

`python benchmarks/gpu.py` holds every row, random programs, guards and all modes in float64 and
float32 against the CPU, and times Black and Scholes's formula, the Lorenz system and the gradients
of the spiral's network and of an embedding, beside a copy of the same bytes and beside PyTorch and
JAX where they are installed. `ready` is the time to a first result: trace, kernel and NVRTC, kept
on no disk. What is missing is named as skipped. Results go to benchmarks/results/gpu.json.
"""

import importlib
import os
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from harness import machine, note, print_table, write_results

import tinygrad_scalar as tg
from tinygrad_scalar import compile, engines, nn
from tinygrad_scalar.core.primitives import TABLE

SKIPPED, FAILED, RESULTS = [], [], {}
BATCHES = {"float64": 1e-11, "float32": 2e-3}


def optional(name):
    """A library to compare with, or None, noted as skipped."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        SKIPPED.append(f"{name}: {error}")
        return None


# ── checks ────────────────────────────────────────────────────────────────────────────────────
def check(name, action):
    """Run one check; a failure is noted, and the others go on."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 (all are told at the end)
        FAILED.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")


def close(actual, expected, tolerance):
    """Nested results, device against host, relative to the size of each number."""
    if isinstance(expected, (tuple, list)):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            close(a, b, tolerance)
        return
    a = actual.get() if hasattr(actual, "get") else np.asarray(actual)
    b = np.asarray(expected)
    assert a.shape == b.shape, (a.shape, b.shape)
    with np.errstate(all="ignore"):
        wrong = np.abs(a - b) > tolerance * (1e-3 + np.abs(b))
        same = (a == b) | (np.isnan(a) & np.isnan(b))
    wrong &= ~same
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size}: {a[wrong][:3]} for {b[wrong][:3]}"


def rows(cp):
    """Every row of the table at ordinary points inside its domain."""
    rng = np.random.default_rng(0)
    for name, row in sorted(TABLE.items()):
        count = row.arity or 4
        low = [max(d.low, -3.0) if d.low > -9e9 else -3.0 for d in row.domain[:count]]
        high = [min(d.high, 3.0) for d in row.domain[:count]]
        low, high = (low * count)[:count], (high * count)[:count]
        X = [rng.uniform(a + 0.01, b - 0.01, 1000) for a, b in zip(low, high, strict=True)]
        if name in ("gamma", "lgamma", "pow"):
            X[0] = np.abs(X[0]) + 0.1

        def one(row=row, X=X):
            f = compile(lambda *x: row(*(2.0 if i in row.whole else a for i, a in enumerate(x))))
            close(f(*map(cp.asarray, X)), f(*X), 1e-12)

        check(f"row {name}", one)


def branchy(x, y):
    """Three paths."""
    if x > y:
        return tg.exp(x) * y if x > 1.0 else tg.sin(x * y)
    return tg.where(y > 0.5, x * x, tg.atan2(y, x)) + x


def smooth(x, y):
    """Some functions of several tails."""
    return tg.normal_cdf(x) * tg.tanh(y) + tg.log1p(x * x) / (1 + y * y) ** 1.5 - tg.erfc(x - y)


def modes(cp, dtype):
    """All modes on one-dimensional arrays and on rows, with and without guards."""
    rng, tolerance = np.random.default_rng(1), BATCHES[dtype]
    X, Y = rng.normal(size=(2, 5000)).astype(dtype)
    R = rng.normal(size=(700, 4)).astype(dtype)
    for function in (smooth, branchy):
        f, host = compile(function), compile(function, dtype="float64")
        on = (cp.asarray(X), cp.asarray(Y))
        off = (X.astype(float), Y.astype(float))
        for mode in ("__call__", "grad", "value_and_grad", "hessian", "jacobian"):
            check(
                f"{mode} of {function.__name__}, {dtype}",
                lambda m=mode, f=f, host=host, on=on, off=off: close(
                    getattr(f, m)(*on), getattr(host, m)(*off), tolerance
                ),
            )
        for mode in ("jvp", "hvp"):
            check(
                f"{mode} of {function.__name__}, {dtype}",
                lambda m=mode, f=f, host=host, on=on, off=off: close(
                    getattr(f, m)(on, on), getattr(host, m)(off, off), tolerance
                ),
            )

    def rows_of_four():
        def g(x, s):
            return tg.logsumexp(x) * s + x[0] * x[3]

        f = compile(g)
        close(
            f.value_and_grad(cp.asarray(R), 1.5), f.value_and_grad(R.astype(float), 1.5), tolerance
        )
        close(f.hessian(cp.asarray(R), 1.5), f.hessian(R.astype(float), 1.5), tolerance)

    check(f"rows, {dtype}", rows_of_four)

    def single_row():
        f = compile(lambda x: x[0] * x[0])
        close(f.grad(cp.asarray(R[:, :1])), f.grad(R[:, :1].astype(float)), tolerance)

    check(f"rows of one, {dtype}", single_row)


def programs(cp):
    """Programs of rows drawn at random."""
    rng = np.random.default_rng(5)
    names = [n for n, r in TABLE.items() if r.total and r.arity in (1, 2) and (r.formula or r.cuda)]
    for _ in range(12):
        chosen = rng.choice(names, 8)

        def program(x, y, chosen=chosen):
            values = [x, y]
            for k, name in enumerate(chosen):
                row = TABLE[name]
                values.append(row(*[tg.tanh(values[-1 - (k + j) % 2]) for j in range(row.arity)]))
            return values[-1] + values[-2] * values[-3]

        X = rng.normal(size=(2, 2000))

        def run(program=program, X=X):
            f = compile(program)
            close(f.value_and_grad(*map(cp.asarray, X)), f.value_and_grad(*X), 1e-9)

        check(f"program {' '.join(chosen)}", run)


def network(width=100):
    """The spiral's network, with 100 neurons 603 parameters, and its loss."""
    model = nn.MLP(2, [width, 3], seed=0)

    def loss(x, y, t):
        s = model([x, y])
        return tg.logsumexp(s) - tg.where(t == 0.0, s[0], tg.where(t == 1.0, s[1], s[2]))

    return model, compile(loss)


def vectors(rows, width=16):
    """An embedding and a neuron over it, and the loss of what an index looks up."""
    rng = np.random.default_rng(0)
    table = [[tg.Value(x) for x in row] for row in rng.normal(size=(rows, width)).tolist()]
    weights = [tg.Value(0.1 * k) for k in range(width)]

    def loss(i, y):
        return (tg.tanh(tg.dot(tg.take(table, i), weights)) - y) ** 2

    return [*weights, *(x for row in table for x in row)], compile(loss)


def backward(cp):
    """Gradients of parameters, summed on the device, against the CPU; guards and tables too."""
    model, f = network(width=99)
    rng = np.random.default_rng(2)
    X, Y, T = rng.normal(size=3001), rng.normal(size=3001), rng.integers(0, 3, 3001).astype(float)

    def both():
        found = []
        for given in ((X, Y, T), tuple(map(cp.asarray, (X, Y, T)))):
            for leaf in model.parameters():
                leaf.grad = 0.0
            found.append([f.backward(*given), *(leaf.grad for leaf in model.parameters())])
        close(np.array(found[1]), np.array(found[0]), 1e-10)

    check("backward", both)
    w = tg.Value(0.7)
    g = compile(lambda x: w * x if x > 0.1 else tg.exp(w * x))

    def guarded():
        found = []
        for given in (X, cp.asarray(X)):
            w.grad = 0.0
            found.append([g.backward(given), w.grad])
        close(np.array(found[1]), np.array(found[0]), 1e-10)

    check("backward with guards", guarded)
    leaves, h = vectors(200)

    def looked_up():
        found = []
        index = rng.integers(0, 100, X.size).astype(float)
        for given in ((index, X), (cp.asarray(index), cp.asarray(X))):
            for leaf in leaves:
                leaf.grad = 0.0
            found.append([h.backward(*given), *(leaf.grad for leaf in leaves)])
        close(np.array(found[1]), np.array(found[0]), 1e-10)

    check("backward with a table", looked_up)


def libraries(torch, jax):
    """Results in the caller's library, on its device, without a copy; its gradients go through."""
    rng = np.random.default_rng(3)
    X, Y, R = rng.normal(size=1000), rng.normal(size=1000), rng.normal(size=(500, 3))
    f, g = compile(branchy), compile(lambda x: tg.sigmoid(x[0] * x[1]) + x[2])
    expected, rows_expected = f.value_and_grad(X, Y), g.value_and_grad(R)
    if torch:

        def with_torch():
            x, y, r = (torch.tensor(a, device="cuda") for a in (X, Y, R))
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                value, (dx, dy) = f.value_and_grad(x * 1.0, y)
                rows = g.value_and_grad(r)
            stream.synchronize()
            assert value.is_cuda
            close([value.cpu(), dx.cpu(), dy.cpu()], [expected[0], *expected[1]], 1e-11)
            close([rows[0].cpu(), rows[1].cpu()], list(rows_expected), 1e-11)

        check("PyTorch", with_torch)

        def torch_gradient():
            class Ours(torch.autograd.Function):
                @staticmethod
                def forward(context, x):
                    value, slope = g.value_and_grad(x)
                    context.save_for_backward(slope)
                    return value

                @staticmethod
                def backward(context, upstream):
                    return upstream[:, None] * context.saved_tensors[0]

            r = torch.tensor(R, device="cuda", requires_grad=True)
            Ours.apply(r).sum().backward()
            close(r.grad.cpu(), rows_expected[1], 1e-11)

        check("PyTorch's autograd", torch_gradient)
    if jax:
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        def with_jax():
            value, (dx, dy) = f.value_and_grad(jnp.asarray(X), jnp.asarray(Y))
            rows = g.value_and_grad(jnp.asarray(R))
            assert isinstance(value, jax.Array)
            close([np.asarray(a) for a in (value, dx, dy)], [expected[0], *expected[1]], 1e-11)
            close([np.asarray(a) for a in rows], list(rows_expected), 1e-11)

        check("JAX", with_jax)

        def jax_gradient():
            @jax.custom_vjp
            def ours(x):
                return g(x)

            ours.defvjp(g.value_and_grad, lambda slope, upstream: (upstream[:, None] * slope,))
            found = jax.jit(jax.grad(lambda x: ours(x).sum()))(jnp.asarray(R))
            close(np.asarray(found), rows_expected[1], 1e-11)

        check("jax.jit and jax.grad", jax_gradient)


def memory(cp):
    """Results that do not fit: an error says how many points would. Host arrays in pieces."""

    def too_many():
        f = compile(lambda x, y: [x * y + float(k) for k in range(400)])
        x = cp.zeros(60_000_000)
        try:
            f(x, x)
        except MemoryError as error:
            assert "points fit" in str(error), error  # noqa: PT017 (no pytest on the device)
        else:
            raise AssertionError("192 GB of results did fit")
        finally:
            cp.get_default_memory_pool().free_all_blocks()

    check("out of memory", too_many)

    def host():
        f, own = compile(smooth, engine="cuda"), compile(smooth)
        X, Y = np.random.default_rng(0).normal(size=(2, 100_000))
        close(f.value_and_grad(X, Y), own.value_and_grad(X, Y), 1e-11)
        assert isinstance(f(0.5, 0.25), float)

    check("NumPy's arrays", host)


# ── measuring ─────────────────────────────────────────────────────────────────────────────────
def timed(cp, action, rounds=7, inner=8):
    """Milliseconds of a call, several in a row as programs make them; the median of the rounds."""
    for _ in range(2):
        action()
    times = []
    for _ in range(rounds):
        cp.cuda.Device().synchronize()
        start = time.perf_counter()
        for _ in range(inner):
            action()
        cp.cuda.Device().synchronize()
        times.append(1e3 * (time.perf_counter() - start) / inner)
    return median(times)


def first(cp, action):
    """Seconds until the first result is there."""
    start = time.perf_counter()
    action()
    cp.cuda.Device().synchronize()
    return time.perf_counter() - start


def record(work, name, **numbers):
    """A row of the tables."""
    RESULTS.setdefault(work, {})[name] = numbers


def black_scholes(spot, strike, rate, volatility, maturity):
    """The price of a call; its gradient are five sensitivities."""
    spread = volatility * maturity**0.5
    up = (tg.log(spot / strike) + (rate + volatility * volatility / 2) * maturity) / spread
    return spot * tg.normal_cdf(up) - strike * tg.exp(-rate * maturity) * tg.normal_cdf(up - spread)


def black_scholes_in(xp, cdf, s, k, r, v, t):
    """The same in another library's functions."""
    spread = v * xp.sqrt(t)
    up = (xp.log(s / k) + (r + v * v / 2) * t) / spread
    return s * cdf(up) - k * xp.exp(-r * t) * cdf(up - spread)


def prices(cp, torch, jax, dtype, size=10_000_000):
    """Black and Scholes, value and five sensitivities."""
    work, rng = f"Black-Scholes, {size:,} points, {dtype}", cp.random.default_rng(0)
    low, high = (80, 80, 0.0, 0.1, 0.2), (120, 120, 0.1, 0.5, 2.0)
    X = [(a + (b - a) * rng.random(size)).astype(dtype) for a, b in zip(low, high, strict=True)]
    f = compile(black_scholes)
    ready = first(cp, lambda: f.value_and_grad(*X))
    ours = timed(cp, lambda: f.value_and_grad(*X))
    host = compile(black_scholes).value_and_grad(*[x[:1000].get().astype(float) for x in X])
    check(work, lambda: close([y[:1000] for y in _flat(f.value_and_grad(*X))], _flat(host),
                              1e-10 if dtype == "float64" else 1e-2))  # fmt: skip
    source = cp.concatenate([*X, X[0]])[: size * 11 // 2]
    target = cp.empty_like(source)
    copy = timed(cp, lambda: cp.copyto(target, source))
    record(work, "tinygrad_scalar", ms=ours, ready_s=ready)
    record(work, "copy of the same bytes", ms=copy)
    if torch:
        T = [torch.from_dlpack(x).clone().requires_grad_() for x in X]

        def by_torch():
            y = black_scholes_in(torch, torch.special.ndtr, *T)
            return torch.autograd.grad(y.sum(), T)

        record(work, "PyTorch, eager", ms=timed(cp, by_torch, 3, 3))
        del T
        torch.cuda.empty_cache()
    if jax:
        import jax.numpy as jnp
        from jax.scipy.stats import norm

        J = [jax.dlpack.from_dlpack(x) for x in X]
        g = jax.jit(jax.vmap(jax.value_and_grad(
            lambda *x: black_scholes_in(jnp, norm.cdf, *x), argnums=(0, 1, 2, 3, 4))))  # fmt: skip

        def by_jax():
            jax.block_until_ready(g(*J))

        numbers = {"ready_s": first(cp, by_jax), "ms": timed(cp, by_jax, 5)}
        record(work, "jax.jit(vmap(value_and_grad))", **numbers)


def _flat(result):
    return [result[0], *result[1]]


def lorenz(x, y, z):
    """Twenty steps of the classical Runge-Kutta method."""

    def slope(x, y, z):
        return 10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z

    def moved(state, h, k):
        return [a + h * b for a, b in zip(state, k, strict=True)]

    state = [x, y, z]
    for _ in range(20):
        a = slope(*state)
        b = slope(*moved(state, 0.005, a))
        c = slope(*moved(state, 0.005, b))
        d = slope(*moved(state, 0.01, c))
        state = [
            s + 0.01 / 6.0 * (p + 2.0 * q + 2.0 * r + t)
            for s, p, q, r, t in zip(state, a, b, c, d, strict=True)
        ]
    return state[0] * state[0] + state[1] + state[2]


def orbits(cp, jax, size=1_000_000):
    """The Lorenz system: value and gradient."""
    work, rng = f"Lorenz, 20 steps, {size:,} points, float64", cp.random.default_rng(0)
    X = [rng.random(size) for _ in range(3)]
    f = compile(lorenz)
    ready = first(cp, lambda: f.value_and_grad(*X))
    record(work, "tinygrad_scalar", ms=timed(cp, lambda: f.value_and_grad(*X)), ready_s=ready)
    host = compile(lorenz).value_and_grad(*[x[:100].get() for x in X])
    check(work, lambda: close([y[:100] for y in _flat(f.value_and_grad(*X))], _flat(host), 1e-9))
    if jax:
        J = [jax.dlpack.from_dlpack(x) for x in X]
        g = jax.jit(jax.vmap(jax.value_and_grad(lorenz, argnums=(0, 1, 2))))

        def by_jax():
            jax.block_until_ready(g(*J))

        numbers = {"ready_s": first(cp, by_jax), "ms": timed(cp, by_jax, 5)}
        record(work, "jax.jit(vmap(value_and_grad))", **numbers)


def spiral(cp, torch, size=1_000_000):
    """Mean loss and gradients of all parameters."""
    work, rng = f"spiral, 603 parameters, {size:,} points, float64", cp.random.default_rng(0)
    _, f = network()
    X, Y = rng.random(size), rng.random(size)
    T = rng.integers(0, 3, size).astype("float64")
    ready = first(cp, lambda: f.backward(X, Y, T))
    record(work, "tinygrad_scalar", ms=timed(cp, lambda: f.backward(X, Y, T), 5), ready_s=ready)
    if torch:
        net = torch.nn.Sequential(torch.nn.Linear(2, 100), torch.nn.ReLU(), torch.nn.Linear(100, 3))
        net = net.double().cuda()
        Z = torch.stack([torch.from_dlpack(X), torch.from_dlpack(Y)], 1).clone()
        t = torch.from_dlpack(T).long()

        def by_torch():
            net.zero_grad()
            torch.nn.functional.cross_entropy(net(Z), t).backward()

        record(work, "PyTorch, eager", ms=timed(cp, by_torch, 5, 3))


def embedding(cp, torch, size=1_000_000, rows=50_000):
    """Mean loss, gradients of a neuron and of the rows of a table that the points look up."""
    work = f"embedding of {rows:,} rows of 16, {size:,} points, float64"
    rng = cp.random.default_rng(0)
    leaves, f = vectors(rows)
    index, Y = rng.integers(0, rows, size), rng.random(size)
    I = index.astype("float64")  # noqa: E741 (an index)
    ready = first(cp, lambda: f.backward(I, Y))
    record(work, "tinygrad_scalar", ms=timed(cp, lambda: f.backward(I, Y), 5, 2), ready_s=ready)
    if torch:
        table = torch.tensor([leaf.data for leaf in leaves[16:]], device="cuda")
        table = table.double().reshape(rows, 16).requires_grad_()
        weights = torch.tensor([leaf.data for leaf in leaves[:16]], device="cuda").double()
        weights.requires_grad_()
        i, y = torch.from_dlpack(index), torch.from_dlpack(Y)

        def by_torch():
            table.grad = weights.grad = None
            ((torch.tanh(table[i] @ weights) - y) ** 2).mean().backward()

        record(work, "PyTorch, eager", ms=timed(cp, by_torch, 5, 3))


def main():
    """All of it."""
    start = time.perf_counter()
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # so that kernels are made each time
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the card is shared here
    cp = optional("cupy")
    if cp is None or "cuda" not in engines():
        sys.exit('all skipped: no CuPy or no device; pip install "tinygrad_scalar[gpu]"')
    torch, jax = optional("torch"), optional("jax")
    works = [
        lambda: rows(cp), lambda: modes(cp, "float64"), lambda: modes(cp, "float32"),
        lambda: programs(cp), lambda: backward(cp), lambda: libraries(torch, jax),
        lambda: memory(cp), lambda: prices(cp, torch, jax, "float64"),
        lambda: prices(cp, torch, jax, "float32"), lambda: orbits(cp, jax),
        lambda: spiral(cp, torch), lambda: embedding(cp, torch),
    ]  # fmt: skip
    names = "rows float64 float32 programs backward libraries memory prices prices32 orbits"
    for name, work in zip([*names.split(), "spiral", "embedding"], works, strict=True):
        note(f"{name} … {time.perf_counter() - start:.0f} s")
        check(name, work)
    for work, found in RESULTS.items():
        lines = [(name, n.get("ms"), n.get("ready_s")) for name, n in found.items()]
        print_table(work, ("", "ms", "ready, s"), lines)
    print("\nskipped:", *(SKIPPED or ["nothing"]), sep="\n  ")
    print("\nfailed:", *(FAILED or ["nothing"]), sep="\n  ")
    about = machine("numpy", "cupy", "torch", "jax")
    about["device"] = cp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    write_results("gpu", {**RESULTS, "skipped": SKIPPED, "failed": FAILED, "machine": about})
    sys.exit(bool(FAILED))


if __name__ == "__main__":
    main()
