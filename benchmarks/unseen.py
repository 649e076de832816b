"""Programs that nothing was tuned for: how soon the first result is there, and what a call costs.

`python benchmarks/unseen.py` takes a dozen kinds of programs as one finds them, some in several
spellings: value and gradient by all their numbers, of networks a step with `backward`. For each it
gives the operations of the trace, the CPU time of the first result in a process that has compiled
before (trace, derivative and machine code), µs an operation; a call; and how often eager mode takes
its time. Then an embedding of 50 rows of 16 numbers beside one of 50,000: what an index points to,
scored by a neuron; first results, calls and the memory that compiling holds. Results are held to
eager ones before anything is timed. Names choose some programs; then benchmarks/results/unseen.json
is not written.
"""

import itertools
import math
import random
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import agree, bytes_held, machine, note, print_table, write_results

import tinygrad_scalar as tg
from tinygrad_scalar import Value, take, value_and_grad
from tinygrad_scalar.compiler.backends import FIRST_CALLS
from tinygrad_scalar.core.tree import leaves

ROUNDS = 7


def numbers(count, low=-1.0, high=1.0, seed=0):
    draw = random.Random(seed).uniform
    return [draw(low, high) for _ in range(count)]


def weights(rows, columns, seed, scale=None):
    draw = random.Random(seed).gauss
    scale = columns**-0.5 if scale is None else scale
    return [[Value(draw(0.0, scale)) for _ in range(columns)] for _ in range(rows)]


# ── of plain arguments ────────────────────────────────────────────────────────────────────────
def binomial_tree(spot, strike, rate, volatility, years, steps=80):
    """An American put on a tree of prices."""
    dt = years / steps
    up = tg.exp(volatility * tg.sqrt(dt))
    grow, down = tg.exp(rate * dt), 1 / up
    p, discount = (grow - down) / (up - down), 1 / grow
    prices = [spot * up ** (2 * k - steps) for k in range(steps + 1)]
    values = [tg.maximum(strike - price, 0.0) for price in prices]
    for _ in range(steps):
        values = [discount * (p * high + (1 - p) * low) for low, high in itertools.pairwise(values)]
    return values[0]


def ordinary_differential_equation(x, y, z, sigma, rho, beta, steps=100, h=0.01):
    """Lorenz's equations by the method of Runge and Kutta."""

    def slope(x, y, z):
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    def moved(state, k, length):
        return [a + length * b for a, b in zip(state, k, strict=True)]

    state = [x, y, z]
    for _ in range(steps):
        a = slope(*state)
        b = slope(*moved(state, a, h / 2))
        c = slope(*moved(state, b, h / 2))
        d = slope(*moved(state, c, h))
        terms = zip(state, a, b, c, d, strict=True)
        state = [s + h / 6 * (i + 2 * j + 2 * k + m) for s, i, j, k, m in terms]
    return state[0] * state[0] + state[1] + state[2]


def kalman_filter(data, q, r):
    """The likelihood of a track with position and speed."""
    x, v, p, s, w = data[0], 0.0, 1.0, 0.0, 1.0
    total = 0.0
    for y in data[1:]:
        x, p, s, w = x + v, p + 2 * s + w + q, s + w, w + q
        spread = p + r
        error = y - x
        total = total + tg.log(spread) + error * error / spread
        gain, other = p / spread, s / spread
        x, v = x + gain * error, v + other * error
        p, s, w = (1 - gain) * p, (1 - gain) * s, w - other * s
    return 0.5 * total


def mixture(data, centres, widths, shares):
    """The likelihood of a mixture of normal distributions."""
    whole = tg.logsumexp(shares)
    total = 0.0
    for x in data:
        terms = [
            a - tg.log(w) - 0.5 * ((x - m) / w) ** 2
            for m, w, a in zip(centres, widths, shares, strict=True)
        ]
        total = total + tg.logsumexp(terms) - whole
    return total


def n_bodies(x, y, z, masses):
    """The potential energy of every pair."""
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            squares = (x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2 + (z[i] - z[j]) ** 2
            total = total - masses[i] * masses[j] / tg.sqrt(squares + 0.01)
    return total


def tridiagonal_solve(lower, diagonal, upper, right):
    """Thomas's algorithm, and the sum of the squares of the solution."""
    n = len(diagonal)
    c, d = [upper[0] / diagonal[0]], [right[0] / diagonal[0]]
    for k in range(1, n):
        pivot = diagonal[k] - lower[k] * c[-1]
        c.append(upper[k] / pivot)
        d.append((right[k] - lower[k] * d[-1]) / pivot)
    x = [d[-1]]
    for k in range(n - 2, -1, -1):
        x.append(d[k] - c[k] * x[-1])
    return tg.sum(a * a for a in x)


def hidden_markov(symbols, starts, moves, emits):
    """The forward algorithm over logarithms, for symbols that are known."""
    n = len(starts)
    alpha = [starts[k] + emits[k][symbols[0]] for k in range(n)]
    for symbol in symbols[1:]:
        alpha = [
            tg.logsumexp([alpha[i] + moves[i][k] for i in range(n)]) + emits[k][symbol]
            for k in range(n)
        ]
    return tg.logsumexp(alpha)


def cholesky(matrix):
    """The logarithm of the determinant of A·Aᵀ + n, from its factor."""
    n = len(matrix)
    a = [
        [tg.dot(matrix[i], matrix[j]) + (n if i == j else 0.0) for j in range(i + 1)]
        for i in range(n)
    ]
    factor = []
    for i in range(n):
        row = []
        for j in range(i + 1):
            rest = a[i][j] - sum(row[k] * (row if i == j else factor[j])[k] for k in range(j))
            row.append(tg.sqrt(rest) if i == j else rest / factor[j][j])
        factor.append(row)
    return 2 * sum(tg.log(factor[i][i]) for i in range(n))


def heat_equation(start, conductivity, steps=60):
    """An explicit scheme in one dimension, and the squares at the end."""
    u = start
    for _ in range(steps):
        u = [
            u[0],
            *[u[k] + conductivity * (u[k - 1] - 2 * u[k] + u[k + 1]) for k in range(1, len(u) - 1)],
            u[-1],
        ]
    return tg.sum(a * a for a in u)


# ── networks ──────────────────────────────────────────────────────────────────────────────────
def affine(matrix, x):
    return [sum(w * a for w, a in zip(row, x, strict=True)) for row in matrix]


def affine_by_dot(matrix, x):
    return [tg.dot(row, x) for row in matrix]


def lstm(size=8, steps=10, product=affine):
    gates = [weights(size, 2 * size + 1, seed) for seed in range(4)]
    readout = weights(1, size, 9)

    def step(inputs, targets):
        h = c = [0.0] * size
        loss = 0.0
        for t in range(steps):
            x = [*inputs[t * size : (t + 1) * size], *h, 1.0]
            forget, enter, leave, fresh = (product(gate, x) for gate in gates)
            c = [
                tg.sigmoid(f) * old + tg.sigmoid(i) * tg.tanh(g)
                for f, i, g, old in zip(forget, enter, fresh, c, strict=True)
            ]
            h = [tg.sigmoid(o) * tg.tanh(s) for o, s in zip(leave, c, strict=True)]
            loss = loss + (product(readout, h)[0] - targets[t]) ** 2
        return loss

    return step, (numbers(size * steps), numbers(steps, seed=1)), [*gates, readout]


def normalised(x):
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def softmax_by_hand(scores):
    exponentials = [tg.exp(score) for score in scores]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def gpt(vocabulary=27, dim=16, heads=4, length=8, product=affine, softmax=softmax_by_hand):
    """microgpt: one layer, a step over a name; the tokens are arguments."""
    tokens, positions = weights(vocabulary, dim, 0, 0.1), weights(length, dim, 1, 0.1)
    q, k, v, o = (weights(dim, dim, seed, 0.1) for seed in range(2, 6))
    inner, outer = weights(4 * dim, dim, 6, 0.1), weights(dim, 4 * dim, 7, 0.1)
    head, size = weights(vocabulary, dim, 8, 0.1), dim // heads

    def logits_of(x, keys, values):
        residual, x = x, normalised(x)
        keys.append(product(k, x))
        values.append(product(v, x))
        query, attended = product(q, x), []
        for start in range(0, dim, size):
            part = slice(start, start + size)
            shares = softmax([
                sum(a * b for a, b in zip(query[part], key[part], strict=True)) / size**0.5
                for key in keys
            ])  # fmt: skip
            attended += [
                sum(s * value[start + j] for s, value in zip(shares, values, strict=True))
                for j in range(size)
            ]
        x = [a + b for a, b in zip(product(o, attended), residual, strict=True)]
        hidden = [tg.relu(a) for a in product(inner, normalised(x))]
        return product(head, [a + b for a, b in zip(product(outer, hidden), x, strict=True)])

    def step(name):
        keys, values, losses = [], [], []
        for place in range(length):
            x = [a + b for a, b in zip(take(tokens, name[place]), positions[place], strict=True)]
            logits = logits_of(normalised(x), keys, values)
            losses.append(-tg.log(take(softmax(logits), name[place + 1])))
        return sum(losses) / length

    name = [float(random.Random(3).randrange(vocabulary)) for _ in range(length + 1)]
    return step, (name,), [tokens, positions, q, k, v, o, inner, outer, head]


def spiral(loss, examples=96, sizes=(2, 24, 16, 3)):
    """A network of three classes, a step over a batch."""
    layers = [
        (weights(m, n, seed), weights(m, 1, seed + 9))
        for seed, (n, m) in enumerate(itertools.pairwise(sizes))
    ]

    def step(x, target):
        for k, (matrix, biases) in enumerate(layers):
            sums = [a + b[0] for a, b in zip(affine(matrix, x), biases, strict=True)]
            x = [tg.tanh(a) for a in sums] if k < len(layers) - 1 else sums
        return loss(x, target)

    import numpy as np

    draw = np.random.default_rng(0)
    batch = draw.uniform(-1, 1, (examples, 2)), draw.integers(0, 3, examples)
    return step, batch, [part for layer in layers for part in layer]


def trajectory(count, seed):
    return [0.1 * k + x for k, x in enumerate(numbers(count, seed=seed))]


SYMBOLS = [random.Random(5).randrange(6) for _ in range(60)]
POINTS = {  # functions of their arguments
    "binomial tree": (binomial_tree, (100.0, 105.0, 0.03, 0.2, 1.0)),
    "ODE": (ordinary_differential_equation, (1.0, 1.0, 1.0, 10.0, 28.0, 8 / 3)),
    "Kalman filter": (kalman_filter, (trajectory(150, 1), 0.1, 0.3)),
    "mixture": (
        mixture, (numbers(120, -3, 3), numbers(4, -2, 2), numbers(4, 0.5, 1), numbers(4, seed=1))
    ),
    "n bodies": (n_bodies, [*(numbers(25, seed=k) for k in range(3)), numbers(25, 1, 2)]),
    "tridiagonal solve": (
        tridiagonal_solve,
        (numbers(400), numbers(400, 3, 4), numbers(400, seed=1), numbers(400, seed=2)),
    ),
    "HMM": (
        lambda starts, moves, emits: hidden_markov(SYMBOLS, starts, moves, emits),
        (
            numbers(5),
            [numbers(5, seed=k) for k in range(5)],
            [numbers(6, seed=k) for k in range(5, 10)],
        ),
    ),
    "Cholesky": (cholesky, ([numbers(24, seed=k) for k in range(24)],)),
    "heat equation": (heat_equation, (numbers(60), 0.2)),
}  # fmt: skip
STEPS = {  # networks: a step with `backward`
    "LSTM": lstm,
    "LSTM, dot": lambda: lstm(product=affine_by_dot),
    "GPT": gpt,
    "GPT, dot": lambda: gpt(product=affine_by_dot),
    "GPT, softmax": lambda: gpt(softmax=tg.softmax),
    "spiral, logsumexp(s) - take(s, t)": lambda: spiral(lambda s, t: tg.logsumexp(s) - take(s, t)),
    "spiral, cross_entropy": lambda: spiral(tg.cross_entropy),
    "spiral, -log(take(softmax(s), t))": lambda: spiral(
        lambda s, t: -tg.log(take(tg.softmax(s), t))
    ),
}


def best(action, rounds=ROUNDS, seconds=0.05):
    """CPU seconds of a run, the least of several rounds of so many runs."""
    start = time.process_time()
    action()
    count = max(1, int(seconds / max(time.process_time() - start, 1e-7) / rounds))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            action()
        times.append((time.process_time() - start) / count)
    return min(times)


def first(make):
    """CPU seconds until the first result of a function compiled afresh, the least of three."""
    times = []
    for _ in range(3):
        f, call = make()
        start = time.process_time()
        call(f)
        times.append(time.process_time() - start)
    return min(times), f, call


def point(function, arguments):
    """One program of plain arguments."""
    spent, f, call = first(lambda: (tg.compile(function), lambda f: f.value_and_grad(*arguments)))
    expected = value_and_grad(function)(*arguments)
    flat = [float(getattr(x, "data", x)) for x in leaves(expected)]
    error = agree(function.__name__, list(leaves(call(f))), flat, 1e-8)
    for _ in range(FIRST_CALLS + 3):  # whatever it settles on
        call(f)
    eager = best(lambda: value_and_grad(function)(*arguments), rounds=2, seconds=0)
    return len(f.tape), spent, best(lambda: call(f)), eager, error


def step(make):
    """One step of a network, a point or a batch."""
    function, arguments, parts = make()
    parameters = list(leaves(parts))
    spent, f, call = first(lambda: (tg.compile(function), lambda f: f.backward(*arguments)))

    def gradients(run):
        for p in parameters:
            p.grad = 0.0
        run()
        return [p.grad for p in parameters]

    def eagerly():
        if not hasattr(arguments[0], "shape"):
            function(*arguments).backward()
            return
        pairs = zip(*(x.tolist() for x in arguments), strict=True)
        (sum(function(*pair) for pair in pairs) / len(arguments[0])).backward()

    for _ in range(FIRST_CALLS if "shape" not in dir(arguments[0]) else 3):
        call(f)
    error = agree("step", gradients(lambda: call(f)), gradients(eagerly))
    eager = best(eagerly, rounds=2, seconds=0)
    return len(f.tape), spent, best(lambda: call(f)), eager, error


def embedding(rows, points=1000, width=16):
    """Times and bytes of one table; the points look up rows at random."""
    table, neuron = weights(rows, width, 0, 0.1), weights(1, width, 1)

    def score(i, x):
        return tg.tanh(affine(neuron, take(table, i))[0] * x) ** 2

    import numpy as np

    draw = np.random.default_rng(0)
    batch = draw.integers(0, rows, points).astype(float), np.linspace(-1, 1, points)
    few = draw.integers(0, 50, points).astype(float), batch[1]  # as many rows in every table
    first_ones = [
        first(lambda: (tg.compile(score), lambda f: f.backward(3.0, 0.5)))[0],
        first(lambda: (tg.compile(score), lambda f: f.backward(*batch)))[0],
    ]
    f = tg.compile(score)
    _, held, _ = bytes_held(lambda: f.backward(3.0, 0.5))
    f.backward(*batch)
    eager = sum(score(int(i), x) for i, x in zip(*(c.tolist() for c in batch), strict=True))
    found = float(f(*batch).sum())
    assert abs(found - eager.data) <= 1e-12 * abs(eager.data)
    calls = [(3.0, 0.5), few, batch]
    forward = [best(partial(f, *given)) for given in calls]
    return [*first_ones, *forward, *(best(partial(f.backward, *given)) for given in calls), held]


def tables():
    """Two lengths beside each other."""
    names = ["first backward, a point", "first backward, 1,000 points"]
    for name in ("value", "backward"):
        names += [f"{name}, a point", f"{name}, 1,000 points in 50 rows"]
        names += [f"{name}, 1,000 points anywhere"]
    names += ["bytes held after the first backward"]
    short, long = embedding(50), embedding(50_000)
    times = [
        [name, a * 1e6, b * 1e6, b / a] for name, a, b in zip(names, short[:-1], long, strict=False)
    ]
    times.append([names[-1], short[-1], long[-1], long[-1] / short[-1]])
    print_table("An embedding, µs", ["", "50 rows", "50,000 rows", "ratio"], times)
    return {name: {"50": a, "50000": b, "ratio": r} for name, a, b, r in times}


def main():
    chosen = [name for name in sys.argv[1:] if name in POINTS or name in STEPS]
    warm = tg.compile(lambda x, y: tg.sin(x) * tg.exp(y) + tg.tanh(x))
    warm.value_and_grad(1.0, 2.0)
    point(heat_equation, (numbers(120), 0.2))  # the interpreter of large traces too
    results, rows = {}, []
    for name in chosen or [*POINTS, *STEPS]:
        note(f"{name} …")
        measured = step(STEPS[name]) if name in STEPS else point(*POINTS[name])
        operations, spent, call, eager, error = measured
        results[name] = {
            "lines": operations, "first_us_a_line": spent / operations * 1e6, "call_us": call * 1e6,
            "eager_over_call": eager / call, "error": error,
        }  # fmt: skip
        rows.append([name, operations, *list(results[name].values())[1:4]])
    header = ["program", "lines", "first result, µs a line", "call, µs", "eager / call"]
    print_table("Programs that nothing was tuned for, CPU time", header, rows)
    assert all(math.isfinite(row[3]) for row in rows)
    results["machine"] = machine("numpy", "llvmlite")
    if not chosen:
        results["embedding of 16 columns"] = tables()
        write_results("unseen", results)


if __name__ == "__main__":
    main()
