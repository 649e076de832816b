"""Programs of plain arguments that nothing was tuned for: see `unseen.py`, which measures them."""

import itertools
import random

import tinygrad_scalar as tg
from tinygrad_scalar.bench.works import black_scholes


def numbers(count, low=-1.0, high=1.0, seed=0):
    draw = random.Random(seed).uniform
    return [draw(low, high) for _ in range(count)]


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


def pendulum(angle, speed, length, gravity, friction, steps=400, h=0.01):
    """A pendulum by the method of Euler and Cromer, and the squares of its angles."""
    total = 0.0
    for _ in range(steps):
        speed = speed + h * (-gravity / length * tg.sin(angle) - friction * speed)
        angle = angle + h * speed
        total = total + angle * angle * h
    return total


def oscillators(phases, couplings):
    """The order of Kuramoto's oscillators: how far every pair is apart."""
    total = 0.0
    for i in range(len(phases)):
        for j in range(i):
            total = total + couplings[i] * couplings[j] * tg.cos(phases[i] - phases[j])
    return total


def thomas(lower, diagonal, upper, right):
    """Thomas's algorithm again, eliminating in place: each division waits for the one before."""
    n, diagonal, right = len(diagonal), list(diagonal), list(right)
    for k in range(1, n):
        factor = lower[k] / diagonal[k - 1]
        diagonal[k] = diagonal[k] - factor * upper[k - 1]
        right[k] = right[k] - factor * right[k - 1]
    x = [0.0] * n
    x[-1] = right[-1] / diagonal[-1]
    for k in reversed(range(n - 1)):
        x[k] = (right[k] - upper[k] * x[k + 1]) / diagonal[k]
    return sum(a * a for a in x)


def lstm_of_one_unit(inputs, inner, outer, biases):
    """An LSTM with a state of one number, which tells its input."""
    h = c = loss = 0.0
    for x in inputs:
        sums = [v * x + u * h + b for v, u, b in zip(inner, outer, biases, strict=True)]
        forget, enter, leave = map(tg.sigmoid, sums[:3])
        c = forget * c + enter * tg.tanh(sums[3])
        h = leave * tg.tanh(c)
        loss = loss + (h - x) ** 2
    return loss


def logistic_regression(weights, bias, samples, labels):
    """Its loss over samples of two classes, 1 and -1; they are numbers like others."""
    return sum(
        tg.softplus(-y * (sum(w * a for w, a in zip(weights, x, strict=True)) + bias))
        for x, y in zip(samples, labels, strict=True)
    )


def trajectory(count, seed):
    return [0.1 * k + x for k, x in enumerate(numbers(count, seed=seed))]


SYMBOLS = [random.Random(5).randrange(6) for _ in range(60)]
POINTS = {
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
    "pendulum": (pendulum, (1.0, 0.0, 1.0, 9.8, 0.1)),
    "oscillators": (oscillators, (numbers(30, -3, 3), numbers(30, seed=1))),
    "Thomas, 60": (
        thomas, (numbers(60), numbers(60, 3, 4), numbers(60, seed=1), numbers(60, seed=2))
    ),
    "Thomas, 500": (
        thomas, (numbers(500), numbers(500, 3, 4), numbers(500, seed=1), numbers(500, seed=2))
    ),
    "LSTM of one unit": (
        lstm_of_one_unit, (numbers(120), numbers(4), numbers(4, seed=1), numbers(4, seed=2))
    ),
    "logistic regression": (
        logistic_regression,
        (numbers(12), 0.1, [numbers(12, seed=k) for k in range(60)], [1.0, -1.0] * 30),
    ),
    "Black–Scholes": (black_scholes, (100.0, 105.0, 1.0, 0.03, 0.2)),
}  # fmt: skip
