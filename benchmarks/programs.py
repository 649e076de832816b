"""Programs that nothing was tuned for, as one finds them: see `unseen.py`, which measures them."""

import itertools
import random

import tinygrad_scalar as tg
from tinygrad_scalar import Value, take


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
