"""Programs of the field as they are drawn without an option, or with one: they fit, in order.

Each is what a course shows: a recurrent net unrolled, attention, a cell, a filter, a price.
"""

import math
import random

import pytest
from drawing.geometry import faults_of, scale, size

from tinygrad_scalar import (
    Value,
    dot,
    logsumexp,
    nn,
    normal_cdf,
    scope,
    sigmoid,
    tanh,
    topological_order,
)
from tinygrad_scalar.drawing import draw


def recurrent(steps):
    w, u, b, h = (Value(x, label=n) for x, n in ((0.5, "w"), (-0.3, "u"), (0.1, "b"), (0.0, "h0")))
    for t in range(1, steps + 1):
        h = (w * h + u * Value(0.1 * t, label=f"x{t}") + b).tanh()
        h.label = f"h{t}"
    return h


def attention():
    source = random.Random(1)
    tokens = [
        [Value(round(source.uniform(-1, 1), 2), label=f"x{i}{j}") for j in (0, 1)] for i in range(3)
    ]
    q, k, v = Value(0.5, label="w_q"), Value(0.8, label="w_k"), Value(-0.4, label="w_v")
    scores = [
        sum((a * q) * (b * k) for a, b in zip(tokens[0], token, strict=True)) / math.sqrt(2)
        for token in tokens
    ]
    weights = [score.exp() for score in scores]
    total = sum(weights)
    return sum(w / total * (token[0] * v) for w, token in zip(weights, tokens, strict=True))


def cell():
    x, h, c = Value(0.5, label="x"), Value(0.1, label="h"), Value(0.2, label="c")

    def gate(name, activation):
        with scope(name):
            w, u, b = Value(0.3, label="w"), Value(-0.2, label="u"), Value(0.1, label="b")
            return activation(w * x + u * h + b)

    kept, new, out = (gate(name, sigmoid) for name in ("forget", "input", "output"))
    c = kept * c + new * gate("candidate", tanh)
    return out * c.tanh()


def price():
    s, k, r, sigma, t = (
        Value(x, label=n)
        for x, n in ((100.0, "S"), (105.0, "K"), (0.02, "r"), (0.3, "σ"), (1.0, "T"))
    )
    d1 = ((s / k).log() + (r + sigma**2 / 2) * t) / (sigma * t.sqrt())
    d2 = d1 - sigma * t.sqrt()
    return s * normal_cdf(d1) - k * (-r * t).exp() * normal_cdf(d2)


def kalman():
    x, p, f, q, z, r = (
        Value(n, label=name)
        for n, name in ((1.0, "x"), (0.5, "P"), (1.1, "F"), (0.1, "Q"), (1.3, "z"), (0.4, "R"))
    )
    x, p = f * x, f * p * f + q
    gain = p / (p + r)
    return [x + gain * (z - x), (1 - gain) * p]


def products(terms):
    return sum(
        Value(0.1 * i, label=f"a{i}") * Value(1 - 0.01 * i, label=f"b{i}") for i in range(terms)
    )


def logistic(steps):
    k, y = Value(0.7, label="k"), Value(0.2, label="y")
    for _ in range(steps):
        y = y + 0.01 * (k * y * (1 - y))
    return y


def residual():
    x = Value(0.5, label="x")
    for i in range(6):
        with scope(f"block{i}"):
            x = x + (Value(0.3 + 0.1 * i, label="w") * x + Value(0.1, label="b")).tanh()
    return x


def perceptron(*sizes):
    inputs, *outputs = sizes
    return nn.MLP(inputs, outputs, seed=0)([Value(0.3, label=f"x{i}") for i in range(inputs)])


def loss():
    model = nn.MLP(2, [3, 1], seed=0)
    return sum((model([i / 4, 1 - i / 4]) - 1.0) ** 2 for i in range(5)) / 5


def labelled():
    x, y = Value(1.0, label="an extremely long label " * 9), Value(2.0, label="θ̂ ∈ Θ 学習率 🎯")
    return (x * y).exp() + Value(3.0, label=r"\hat{x}_{12} <b>&amp;")


def wide():
    xs, ws = ([Value(0.1 * i, label=f"{name}{i}") for i in range(60)] for name in "xw")
    return dot(xs, ws) - logsumexp(xs)


PROGRAMS = {
    "recurrent, 4 steps": (lambda: recurrent(4), {}),
    "recurrent, 30 steps": (lambda: recurrent(30), {}),
    "attention": (attention, {}),
    "cell": (cell, {}),
    "cell, gates closed": (cell, {"depth": 0}),
    "price": (price, {}),
    "price, downwards": (price, {"direction": "TB"}),
    "price, bare": (price, {"derivatives": False, "gradients": False}),
    "kalman": (kalman, {}),
    "6 products": (lambda: products(6), {}),
    "50 products": (lambda: products(50), {}),
    "logistic growth": (lambda: logistic(100), {}),
    "residual": (residual, {}),
    "2, 3, 3": (lambda: perceptron(2, 3, 3), {}),
    "4, 8, 8, 4, 2": (lambda: perceptron(4, 8, 8, 4, 2), {}),
    "64, 32, 10": (lambda: perceptron(64, 32, 10), {}),
    "3, 4, 4, 1, open": (lambda: perceptron(3, 4, 4, 1), {"depth": 3}),
    "2, 2, 1 by colour": (lambda: perceptron(2, 2, 1), {"color": "grad"}),
    "loss": (loss, {"title": "mean squared error", "digits": 3}),
    "labels": (labelled, {}),
    "fan": (wide, {}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_fits_a_page_and_nothing_overlaps(name, browser, tmp_path):
    make, options = PROGRAMS[name]
    outputs = make()
    for z in outputs if isinstance(outputs, list) else [outputs]:
        z.backward()
    drawing = draw(outputs, **options)
    width, height = size(drawing.svg())
    assert width <= 1600
    assert height <= 1000
    assert scale(drawing.svg()) >= 0.7
    assert faults_of({name: drawing}, browser, tmp_path) == {}


def test_the_graph_of_a_derivative_and_a_neighbourhood_fit_too(browser, tmp_path):
    z = price()
    drawings = {"derivative": draw(z, derivative=z.backward(create_graph=True))}
    network = perceptron(3, 4, 4, 1)
    network.backward()
    drawings["focus"] = draw(network, focus=topological_order(network)[40], color="grad")
    for drawing in drawings.values():
        width, height = size(drawing.svg())
        assert width <= 1600
        assert height <= 1000
    assert faults_of(drawings, browser, tmp_path) == {}
