"""Figures 6.8, 6.10 and 6.11 of *Deep Learning*, drawn by this library.

Where the book draws a matrix as one circle, a scope holds its entries, and `depth=0` closes it.
"""

import re

import pytest

from tinygrad_scalar import Value, cross_entropy, dot, relu, scope, sigmoid, sin, square, sum
from tinygrad_scalar.drawing import draw


def named(value, label):
    value.label = label
    return value


def matrix(name, rows, columns):
    with scope(name):
        return [
            [Value(0.1 * (i - j), label=f"{name}{i}{j}") for j in range(columns)]
            for i in range(rows)
        ]


def matmul(name, A, B):
    with scope(name):
        return [[dot(row, column) for column in zip(*B, strict=True)] for row in A]


def figure_6_8a():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    return draw(named(x * y, "z"))


def figure_6_8b():
    """Logistic regression: ŷ = σ(xᵀw + b)."""
    x = [Value(v, label=f"x{i}") for i, v in enumerate((1.0, 2.0))]
    w = [Value(v, label=f"w{i}") for i, v in enumerate((0.5, -0.25))]
    u1 = named(dot(x, w), "u(1)")
    u2 = named(u1 + Value(0.1, label="b"), "u(2)")
    return draw(named(sigmoid(u2), "ŷ"))


def figure_6_8c():
    """A layer of rectified linear units for a minibatch: H = max{0, XW + b}."""
    X, W = matrix("X", 3, 2), matrix("W", 2, 2)
    with scope("b"):
        b = [Value(0.1), Value(0.2)]
    U1 = matmul("U(1)", X, W)
    with scope("U(2)"):
        U2 = [[u + c for u, c in zip(row, b, strict=True)] for row in U1]
    with scope("H"):
        H = [relu(u) for row in U2 for u in row]
    return draw(H, depth=0)


def figure_6_8d():
    """Linear regression with weight decay: the weights serve the prediction and the penalty."""
    x = [Value(v, label=f"x{i}") for i, v in enumerate((1.0, 2.0))]
    w = [Value(v, label=f"w{i}") for i, v in enumerate((0.5, -0.25))]
    y = named(dot(x, w), "ŷ")
    u1 = [square(v) for v in w]
    u2 = named(sum(u1), "u(2)")
    return draw([y, named(Value(0.01, label="λ") * u2, "u(3)")])


def figure_6_10():
    """Symbol-to-symbol derivatives: z = f(f(f(w))) and, beside it, the graph of ∂z/∂w."""
    w = Value(0.5, label="w")
    x = named(sin(w), "x")
    y = named(sin(x), "y")
    z = named(sin(y), "z")
    return draw(z, derivative=z.backward(create_graph=True))


def figure_6_11():
    """The cost of an MLP with one hidden layer: cross-entropy and weight decay."""
    X, W1, W2 = matrix("X", 2, 2), matrix("W(1)", 2, 3), matrix("W(2)", 3, 2)
    U1 = matmul("U(1)", X, W1)
    with scope("H"):
        H = [[relu(u) for u in row] for row in U1]
    U2 = matmul("U(2)", H, W2)
    with scope("cross_entropy"):
        J_mle = sum([cross_entropy(row, 0) for row in U2])
    with scope("sqr, sum"):
        decay = sum([square(w) for W in (W1, W2) for row in W for w in row])
    penalty = named(Value(0.01, label="λ") * decay, "u(8)")
    return draw(named(J_mle + penalty, "J"), depth=0)


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (figure_6_8a, ["x", "y", "z", "×"]),
        (figure_6_8b, ["x0", "x1", "w0", "w1", "dot", "u(1)", "b", "+", "u(2)", "σ", "ŷ"]),
        (figure_6_8c, ["X", "W", "U(1)", "b", "U(2)", "H"]),
        (figure_6_8d, ["ŷ", "u(2)", "²", "Σ", "λ", "u(3)"]),
        (figure_6_10, ["w", "x", "y", "z", "∂z/∂y", "∂z/∂x", "∂z/∂w", "sin", "cos"]),
        (
            figure_6_11,
            [
                "X",
                "W(1)",
                "U(1)",
                "H",
                "W(2)",
                "U(2)",
                "cross_entropy",
                "sqr, sum",
                "λ",
                "u(8)",
                "J",
            ],
        ),
    ],
)
def test_figure(figure, shown):
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure().svg())
    assert [text for text in shown if text not in texts] == []


def test_the_boxes_of_6_11_are_joined_as_in_the_book():
    source = figure_6_11().source
    names = dict(re.findall(r'(b\d+) \[label="(.*?)\\n', source))
    found = re.findall(r'(b\d+) -> (b\d+) \[label="(\d+) edges"', source)
    assert {(names[a], names[b], int(n)) for a, b, n in found} == {
        ("X", "U(1)", 12),
        ("W(1)", "U(1)", 12),
        ("U(1)", "H", 6),
        ("H", "U(2)", 12),
        ("W(2)", "U(2)", 12),
        ("U(2)", "cross_entropy", 4),
        ("W(1)", "sqr, sum", 6),
        ("W(2)", "sqr, sum", 6),
    }
