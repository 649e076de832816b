"""The systems of the lectures, rows 7 to 20: their numbers, against independent arithmetic.

NumPy and finite differences are the references here, never the library itself. The optimisers,
losses and modules have their own files; these are the systems put together from them.
"""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as ts
from tinygrad_scalar import Value, counting, data, nn, optim

EXACT = {"rel": 1e-13, "abs": 1e-15}  # a few roundings on numbers around 1


def values(numbers):
    """Leaves in the lists of `numbers`."""
    return [values(x) for x in numbers] if isinstance(numbers, list) else Value(numbers)


def numbers(things, table=None):
    """Data, or entries of `table`, as an array in the lists of `things`."""
    if isinstance(things, list):
        return np.array([numbers(x, table) for x in things])
    return things.data if table is None else table[things]


def grid(rows, columns, seed):
    source = random.Random(seed)
    return [[source.uniform(-1.0, 1.0) for _ in range(columns)] for _ in range(rows)]


# ── 7, 8: what fruit costs ────────────────────────────────────────────────────────────────────
def test_row_7_the_apples():
    apple, number, tax = Value(100.0), Value(2.0), Value(1.1)
    price = apple * number * tax
    table = price.backward()
    assert price.data == pytest.approx(220.0, rel=1e-15)
    assert [table[x] for x in (apple, number, tax)] == pytest.approx([2.2, 110.0, 200.0], rel=1e-15)


def test_row_8_apples_and_oranges():
    apple, apples, orange, oranges = (Value(x) for x in (100.0, 2.0, 150.0, 3.0))
    tax = Value(1.1)
    price = (apple * apples + orange * oranges) * tax
    table = price.backward()
    assert price.data == pytest.approx(715.0, rel=1e-15)
    leaves = (apple, apples, orange, oranges, tax)
    expected = [2.2, 110.0, 3.3, 165.0, 650.0]
    assert [table[x] for x in leaves] == pytest.approx(expected, rel=1e-15)


# ── 9: numerical against analytic ─────────────────────────────────────────────────────────────
@given(st.floats(-3.0, 3.0))
def test_row_9_the_gradient_is_the_analytic_one(x):
    leaf = Value(x)
    gradient = ts.sin((2.0 * leaf + 1.0) ** 2).backward()[leaf]
    u = 2.0 * x + 1.0
    assert gradient == pytest.approx(math.cos(u * u) * 2.0 * u * 2.0, rel=1e-13, abs=1e-13)


def test_row_9_a_difference_quotient_has_a_best_step():
    x, exact = 0.7, math.cos(2.4**2) * 2 * 2.4 * 2

    def f(x):
        return math.sin((2 * x + 1) ** 2)

    errors = {
        k: abs((f(x + 10.0**-k) - f(x - 10.0**-k)) / (2 * 10.0**-k) - exact) for k in range(1, 15)
    }
    best = min(errors, key=errors.get)
    assert best in range(4, 8)  # theory: the cube root of 2⁻⁵³, 5e-6
    assert errors[1] > 1e3 * errors[best]  # the formula's error above, h²
    assert errors[13] > 1e3 * errors[best]  # rounding below, 2⁻⁵³ / h
    assert errors[2] == pytest.approx(errors[1] / 100, rel=0.2)
    leaf = Value(x)
    assert abs(ts.sin((2 * leaf + 1) ** 2).backward()[leaf] - exact) < errors[best]


# ── 10: layers ────────────────────────────────────────────────────────────────────────────────
ONE = {  # forward, and the local derivative from (y, x)
    "Inverse": (lambda x: 1.0 / x, lambda y, x: -y * y),
    "Exp": (ts.exp, lambda y, x: y),
    "Log": (ts.log, lambda y, x: 1.0 / x),
    "ReLU": (ts.relu, lambda y, x: float(x > 0.0)),
    "Sigmoid": (ts.sigmoid, lambda y, x: y * (1.0 - y)),
}


@pytest.mark.parametrize("name", ONE)
@given(x=st.floats(0.1, 5.0), upstream=st.floats(-3.0, 3.0))
def test_row_10_layers_of_one_input(name, x, upstream):
    forward, derivative = ONE[name]
    leaf = Value(x)
    y = forward(leaf)
    assert y.backward(upstream)[leaf] == pytest.approx(upstream * derivative(y.data, x), **EXACT)


@given(a=st.floats(-5.0, 5.0), b=st.floats(-5.0, 5.0), upstream=st.floats(-3.0, 3.0))
def test_row_10_add_and_multiply(a, b, upstream):
    x, y = Value(a), Value(b)
    added, multiplied = (x + y).backward(upstream), (x * y).backward(upstream)
    assert (added[x], added[y]) == (upstream, upstream)
    assert (multiplied[x], multiplied[y]) == (upstream * b, upstream * a)


@given(st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=6))
def test_row_10_repeat_adds_and_sum_copies(upstream):
    x = Value(2.0)
    repeated = [x + 0.0 for _ in upstream]  # the same number handed to several consumers
    table = ts.dot(upstream, repeated).backward()
    assert table[x] == pytest.approx(math.fsum(upstream), abs=1e-14)
    xs = [Value(u) for u in upstream]
    table = ts.sum(xs).backward(3.0)
    assert all(table[x] == 3.0 for x in xs)


def test_row_10_affine_of_a_batch():
    affine = nn.Affine(3, 2, seed=0)
    X, G = grid(4, 3, 1), grid(4, 2, 2)
    inputs = values(X)
    outputs = affine(inputs)
    cost = ts.sum(ts.dot(g, y) for g, y in zip(G, outputs, strict=True))
    table = cost.backward()
    W = numbers(affine.W)  # outputs × inputs: the W of Y = X Wᵀ + B
    X, G = np.array(X), np.array(G)
    assert numbers(outputs) == pytest.approx(X @ W.T, **EXACT)
    assert numbers(inputs, table) == pytest.approx(G @ W, **EXACT)
    assert numbers(affine.W, table) == pytest.approx(G.T @ X, **EXACT)
    assert numbers(affine.b, table) == pytest.approx(G.sum(axis=0), **EXACT)  # the column sum


def test_row_10_softmax_with_loss_of_a_batch():
    A, T = grid(3, 4, 3), [2, 0, 3]
    logits = values(A)
    table = nn.cross_entropy(logits, T).backward()
    Y = np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)
    assert numbers(logits, table) == pytest.approx((Y - np.eye(4)[T]) / 3, **EXACT)
    one_hot = values(A)
    again = nn.cross_entropy(one_hot, np.eye(4)[T].tolist()).backward()
    assert numbers(one_hot, again) == pytest.approx((Y - np.eye(4)[T]) / 3, **EXACT)


# ── 11: stability ─────────────────────────────────────────────────────────────────────────────
def test_row_11_sigmoid_and_softmax_far_out():
    for x, y in ((1000.0, 1.0), (-1000.0, 0.0)):
        leaf = Value(x)
        out = ts.sigmoid(leaf)
        assert (out.data, out.backward()[leaf]) == (y, 0.0)
    logits = [Value(1000.0 + k) for k in range(3)]
    near = [Value(float(k)) for k in range(3)]
    far_out, near_by = ts.softmax(logits), ts.softmax(near)
    assert [y.data for y in far_out] == pytest.approx([y.data for y in near_by], rel=1e-12)
    gradients = far_out[1].backward(), near_by[1].backward()
    for a, b in zip(logits, near, strict=True):
        assert gradients[0][a] == pytest.approx(gradients[1][b], rel=1e-11)
    losses = nn.cross_entropy(logits, 0), nn.cross_entropy(near, 0)
    assert losses[0].data == pytest.approx(losses[1].data, rel=1e-12)


# ── 12: Algorithms 6.3 and 6.4 ────────────────────────────────────────────────────────────────
def algorithms_6_3_and_6_4(W, b, x, t, f, f_prime, decay):
    """J = (ŷ − t)² summed + λ Σ W², and its gradients, layer by layer as the book has it."""
    h, a = [np.array(x)], []
    for k, (weights, bias) in enumerate(zip(W, b, strict=True)):
        a.append(bias + weights @ h[k])
        h.append(f(a[k]))
    J = ((h[-1] - t) ** 2).sum() + decay * sum((weights**2).sum() for weights in W)
    g = 2.0 * (h[-1] - t)
    by_W, by_b = [], []
    for k in reversed(range(len(W))):
        g = g * f_prime(a[k])  # ∇ of a⁽ᵏ⁾
        by_b.insert(0, g)
        by_W.insert(0, np.outer(g, h[k]) + decay * 2.0 * W[k])
        g = W[k].T @ g  # on to h⁽ᵏ⁻¹⁾
    return J, by_W, by_b


ACTIVATIONS = {
    "tanh": (np.tanh, lambda a: 1.0 - np.tanh(a) ** 2),
    "relu": (lambda a: np.maximum(a, 0.0), lambda a: (a > 0.0) * 1.0),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32),
)
def test_row_12_the_engine_gives_algorithm_6_4(name, widths, decay, seed):
    layers = [
        nn.Layer(a, b, activation=name, seed=seed + i) for i, (a, b) in enumerate(pairwise(widths))
    ]
    x, t = grid(1, widths[0], seed)[0], grid(1, widths[-1], seed + 1)[0]
    h = x
    for layer in layers:
        h = [neuron(h) for neuron in layer.neurons]
    weights = [w for layer in layers for neuron in layer.neurons for w in neuron.w]
    errors = [(y - target) ** 2 for y, target in zip(h, t, strict=True)]
    cost = ts.sum(errors) + (decay * nn.l2(weights) if decay else 0.0)
    table = cost.backward()
    W = [numbers([neuron.w for neuron in layer.neurons]) for layer in layers]
    b = [numbers([neuron.b for neuron in layer.neurons]) for layer in layers]
    J, by_W, by_b = algorithms_6_3_and_6_4(W, b, x, t, *ACTIVATIONS[name], decay)
    assert cost.data == pytest.approx(J, **EXACT)
    for layer, expected_W, expected_b in zip(layers, by_W, by_b, strict=True):
        ours_W = numbers([neuron.w for neuron in layer.neurons], table)
        ours_b = numbers([neuron.b for neuron in layer.neurons], table)
        assert ours_W == pytest.approx(expected_W, rel=1e-12, abs=1e-14)
        assert ours_b == pytest.approx(expected_b, rel=1e-12, abs=1e-14)


# ── 13: equation 6.56 ─────────────────────────────────────────────────────────────────────────
def test_row_13_a_minibatch_of_equation_6_56():
    first, second = nn.Affine(3, 5, bias=False, seed=0), nn.Affine(5, 4, bias=False, seed=1)
    X, T, decay = grid(6, 3, 2), [0, 1, 2, 3, 1, 0], 0.01
    hidden = nn.ReLU()(first(X))
    logits = second(hidden)
    J_mle = nn.cross_entropy(logits, T)
    J = J_mle + decay * (nn.l2(first.parameters()) + nn.l2(second.parameters()))
    by_loss, by_cost = J_mle.backward(), J.backward()
    X, W1, W2 = np.array(X), numbers(first.W).T, numbers(second.W).T  # as the book: H = max{0, XW}
    A = X @ W1
    H = np.maximum(0.0, A)
    U = H @ W2
    G = (np.exp(U) / np.exp(U).sum(axis=1, keepdims=True) - np.eye(4)[T]) / 6
    G_below = (G @ W2.T) * (A > 0.0)
    assert numbers(logits, by_loss) == pytest.approx(G, **EXACT)
    assert pytest.approx(H.T @ G, **EXACT) == numbers(second.W, by_loss).T
    assert pytest.approx(X.T @ G_below, **EXACT) == numbers(first.W, by_loss).T
    assert pytest.approx(H.T @ G + 2 * decay * W2, **EXACT) == numbers(second.W, by_cost).T
    assert pytest.approx(X.T @ G_below + 2 * decay * W1, **EXACT) == numbers(first.W, by_cost).T


# ── 14: Jacobians of linear maps ──────────────────────────────────────────────────────────────
def test_row_14_jacobians_of_linear_maps():
    W1, W2, W3 = (
        np.array(grid(*shape, seed)) for seed, shape in enumerate([(4, 3), (2, 4), (1, 2)])
    )
    x = grid(1, 3, 9)[0]

    def map_by(W):
        return lambda v: [ts.dot(row, v) for row in W.tolist()]

    J = [ts.jacobian(map_by(W))([0.5] * W.shape[1]) for W in (W1, W2, W3)]
    for ours, W in zip(J, (W1, W2, W3), strict=True):
        assert np.array(ours).shape == W.shape  # a table of outputs × inputs
        assert np.array(ours) == pytest.approx(W, **EXACT)
    leaves = values(x)
    y = map_by(W1)(leaves)
    W2_leaves = values(W2.tolist())
    z = [ts.dot(row, y) for row in W2_leaves]
    (C,) = map_by(W3)(z)
    table = C.backward()
    assert numbers(leaves, table) == pytest.approx((W1.T @ W2.T @ W3.T)[:, 0], **EXACT)
    # ∂C/∂W⁽²⁾ = (∂C/∂z) yᵀ, which is: flatten W, multiply by the transposed Jacobian, reshape
    by_z = numbers(z, table)
    flat = ts.jacobian(
        lambda w: [ts.dot(w[4 * i : 4 * i + 4], numbers(y).tolist()) for i in range(2)]
    )
    by_flat = np.array(flat(W2.ravel().tolist())).T @ by_z
    assert numbers(W2_leaves, table) == pytest.approx(np.outer(by_z, numbers(y)), **EXACT)
    assert numbers(W2_leaves, table) == pytest.approx(by_flat.reshape(2, 4), **EXACT)


# ── 15: shared factors ────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("K", [1, 2, 5, 20])
def test_row_15_shared_factors_are_computed_once(K):
    theta = [nn.parameter(0.5 + 0.01 * k) for k in range(K)]
    h = Value(0.3)
    for parameter in theta:
        h = ts.tanh(parameter * h)
    loss = (h - 1.0) ** 2
    together = loss.backward()
    alone = [loss.backward(inputs=[parameter]) for parameter in theta]
    assert [table[p] for table, p in zip(alone, theta, strict=True)] == [together[p] for p in theta]
    # per function the edges tanh → product and product → θ, h; before them (·)² → − → tanh
    assert together.edges == 2 + 3 * K
    assert sum(table.edges for table in alone) == sum(2 + 2 * (K - k) for k in range(K))


# ── 16: forward and reverse ───────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("inputs", [1, 5, 8])
@pytest.mark.parametrize("outputs", [1, 3, 8])
def test_row_16_forward_costs_by_inputs_and_reverse_by_outputs(inputs, outputs):
    passes = []

    def f(xs):
        passes.append(xs)
        total = ts.sum(x * x for x in xs)
        return [total * (k + 1.0) for k in range(outputs)]

    x = [0.5 + i for i in range(inputs)]
    expected = np.array([[2.0 * a * (k + 1.0) for a in x] for k in range(outputs)])
    forward = ts.jacobian(f, mode="forward")(x)
    assert len(passes) == inputs
    with counting() as counted:
        reverse = ts.jacobian(f, mode="reverse")(x)
    assert len(passes) == inputs + 1
    # below each output: its own edge, one per term of the sum, two per square
    assert counted.multiplications == outputs * (1 + inputs + 2 * inputs)
    assert np.array(forward) == pytest.approx(expected, **EXACT)
    assert np.array(reverse) == pytest.approx(expected, **EXACT)
    y, slope = ts.jvp(f, (x,), ([1.0] * inputs,))
    assert slope == pytest.approx(expected.sum(axis=1).tolist(), **EXACT)
    assert len(y) == outputs


# ── 17: the two-layer net ─────────────────────────────────────────────────────────────────────
def test_row_17_the_two_layer_net_passes_the_gradient_check():
    net = nn.TwoLayerNet(4, 5, 3, weight_std=0.5, seed=0)
    X, T = grid(6, 4, 1), [0, 1, 2, 2, 1, 0]
    analytic, numerical = net.gradient(X, T), net.numerical_gradient(X, T)
    assert list(analytic) == ["W1", "b1", "W2", "b2"]
    for name, shape in {"W1": (4, 5), "b1": (5,), "W2": (5, 3), "b2": (3,)}.items():
        assert np.array(analytic[name]).shape == shape == numbers(net.params[name]).shape
        # central differences with h = 1e-4 are right to about h² of third derivatives below 1
        assert np.array(numerical[name]) == pytest.approx(np.array(analytic[name]), abs=1e-7)
    assert all(leaf.grad == 0.0 for leaf in net.parameters())


def test_row_17_predict_loss_and_accuracy_are_numpys():
    net = nn.TwoLayerNet(4, 5, 3, weight_std=0.5, seed=0)
    X, T = grid(6, 4, 1), [0, 1, 2, 2, 1, 0]
    W1, b1, W2, b2 = (numbers(net.params[name]) for name in ("W1", "b1", "W2", "b2"))
    A = np.maximum(np.array(X) @ W1 + b1, 0.0) @ W2 + b2
    Y = np.exp(A) / np.exp(A).sum(axis=1, keepdims=True)
    assert np.array(net.predict(X)) == pytest.approx(A, **EXACT)
    assert net.loss(X, T).data == pytest.approx(-np.log(Y[range(6), T]).mean(), **EXACT)
    assert net.accuracy(X, T) == (A.argmax(axis=1) == T).mean()
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    assert net.last_layer is nn.cross_entropy


def test_row_17_digits_are_learnt_from_scalars():
    pytest.importorskip("sklearn")
    X, y = data.digits()
    X_train, X_test, y_train, y_test = data.split([[x / 16 for x in row] for row in X], y)
    net = nn.TwoLayerNet(64, 32, 10, weight_std=0.15, seed=0)
    adam = optim.Adam(net.parameters(), 0.02, schedule=optim.linear_decay(400))
    nn.fit(net, X_train, y_train, loss=nn.cross_entropy, optimizer=adam, steps=400, batch_size=20)
    assert net.accuracy(X_test, y_test) >= 0.95


# ── 18: the spiral ────────────────────────────────────────────────────────────────────────────
def spiral_in_numpy(W1, W2, X, y, steps):
    """Row 18 as the lecture has it; the loss before every step."""
    X, b1, b2, losses = np.array(X), np.zeros(len(W1[0])), np.zeros(3), []
    for _ in range(steps):
        H = np.maximum(0.0, X @ W1 + b1)
        U = H @ W2 + b2
        P = np.exp(U - U.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        losses.append(-np.log(P[range(len(y)), y]).mean())
        G = (P - np.eye(3)[y]) / len(y)
        G_below = (G @ W2.T) * (H > 0.0)
        W1, b1 = W1 - X.T @ G_below, b1 - G_below.sum(axis=0)
        W2, b2 = W2 - H.T @ G, b2 - G.sum(axis=0)
    accuracy = ((np.maximum(0.0, X @ W1 + b1) @ W2 + b2).argmax(axis=1) == y).mean()
    return losses, accuracy


def test_row_18_the_first_steps_are_those_of_numpy():
    X, y = data.spirals(100)
    net = nn.TwoLayerNet(2, 100, 3, seed=0)
    W1, W2 = numbers(net.params["W1"]), numbers(net.params["W2"])
    sgd = optim.SGD(net.parameters(), 1.0)
    history = nn.fit(net, X, y, loss=nn.cross_entropy, optimizer=sgd, steps=3)
    losses, accuracy = spiral_in_numpy(W1, W2, X, y, 3)
    assert history.loss == pytest.approx(losses, rel=1e-12)
    assert nn.accuracy(net, X, y) == accuracy


def test_row_18_compiled_training_goes_the_same_way():
    pytest.importorskip("llvmlite")
    X, y = data.spirals(100)
    net = nn.TwoLayerNet(2, 100, 3, seed=0)
    W1, W2 = numbers(net.params["W1"]), numbers(net.params["W2"])
    sgd = optim.SGD(net.parameters(), 1.0)
    history = nn.fit(net, X, y, loss=nn.cross_entropy, optimizer=sgd, steps=1_000)
    losses, accuracy = spiral_in_numpy(W1, W2, X, y, 1_000)
    # roundings of 1e-16 are stretched where a relu switches; after 1,000 steps far below 1e-6
    assert history.loss == pytest.approx(losses, rel=1e-6)
    assert nn.accuracy(net, X, y) == accuracy
    assert losses[0] == pytest.approx(math.log(3), abs=1e-3)
    assert losses[-1] < 0.2


def test_row_18_ten_thousand_steps_end_as_the_lecture_says():
    X, y = data.spirals(100)
    net = nn.TwoLayerNet(2, 100, 3, seed=0)
    W1, W2 = numbers(net.params["W1"]), numbers(net.params["W2"])
    losses, accuracy = spiral_in_numpy(W1, W2, X, y, 10_000)
    assert losses[-1] == pytest.approx(0.02, abs=0.01)
    assert accuracy == pytest.approx(0.99, abs=0.01)


# ── 19: one call ──────────────────────────────────────────────────────────────────────────────
def test_row_19_minimize_descends_a_cost_in_one_call():
    model = nn.MLP(2, [3, 1], seed=0)
    twin = nn.MLP(2, [3, 1], seed=0)

    def cost(model):
        return nn.mean_squared_error([model(x) for x in ([1.0, 2.0], [-1.0, 0.5])], [1.0, -1.0])

    costs = [
        optim.GradientDescentOptimizer(0.05).minimize(cost(model)),
        optim.GradientDescentOptimizer(0.05).minimize(lambda: cost(model)),
    ]
    for expected in costs:
        loss = cost(twin)
        twin.zero_grad()
        loss.backward()
        assert loss.data == expected
        for leaf in twin.parameters():
            leaf.data -= 0.05 * leaf.grad
    assert model.state_dict() == twin.state_dict()
    assert costs[1] < costs[0]


# ── 20: vanishing gradients ───────────────────────────────────────────────────────────────────
def gradient_norms(activation, depth=10, width=8):
    """The norm of the gradient of each layer's weights, first layer first, over some inputs."""
    model = nn.MLP(width, [width] * depth + [1], activation=activation, init="he", seed=0)
    for x in grid(5, width, 1):
        model(x).backward()
    return [
        math.sqrt(math.fsum(w.grad**2 for neuron in layer.neurons for w in neuron.w))
        for layer in model.layers[:-1]
    ]


def test_row_20_gradients_vanish_through_sigmoids_and_not_through_relus():
    sigmoid, relu = gradient_norms("sigmoid"), gradient_norms("relu")
    assert sigmoid[0] < 1e-3 * sigmoid[-1]
    assert relu[0] > 0.05 * relu[-1]
    assert all(a < b for a, b in pairwise(sigmoid))  # smaller layer by layer
