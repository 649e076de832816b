"""GradBench's evals: its protocol, and values against NumPy, closed forms and published ones."""

import importlib.util
import itertools
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")
SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gradbench.py"
# the parents of the bones of a hand: wrist, four joints of five fingers, forearm
PARENTS = [-1, *(0 if k % 4 == 0 else k for k in range(20)), 0]
RNG = np.random.default_rng(31337)


@pytest.fixture(scope="module")
def gradbench():
    spec = importlib.util.spec_from_file_location("gradbench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def evaluate(gradbench):
    def run(module, function, runs=2, **given):
        output, times = gradbench.evaluated(module, function, given | {"min_runs": runs})
        assert len(times) == runs
        return json.loads(json.dumps(output))

    return run


def close(actual, expected, rtol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


def slopes(f, x, h=1e-6):
    """Central differences."""
    x = np.asarray(x, float)
    steps = h * np.eye(len(x))
    return np.stack([(f(x + e) - f(x - e)) / (2 * h) for e in steps], axis=-1)


def test_the_protocol_is_a_line_of_json_for_each_message():
    messages = [
        {"id": 0, "kind": "start", "eval": "hello"},
        {"id": 1, "kind": "define", "module": "hello"},
        {"id": 2, "kind": "evaluate", "module": "hello", "function": "square", "input": 3},
        {"id": 3, "kind": "analysis", "of": 2, "valid": True},
        {"id": 4, "kind": "evaluate", "module": "hello", "function": "double", "input": 9.0},
        {"id": 5, "kind": "evaluate", "module": "hello", "function": "cube", "input": 9.0},
        {"id": 6, "kind": "define", "module": "nonesuch"},
    ]
    lines = "\n".join(map(json.dumps, messages))
    shown = subprocess.run(
        [sys.executable, str(SCRIPT)], input=lines, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(7))
    assert answers[0]["tool"] == "tinygrad_scalar"
    assert [answers[k]["success"] for k in (1, 2, 4, 5, 6)] == [True, True, True, False, False]
    assert (answers[2]["output"], answers[4]["output"]) == (9.0, 18.0)
    assert [timing["name"] for timing in answers[2]["timings"]] == ["evaluate"]
    assert answers[3] == {"id": 3}
    assert "KeyError: 'cube'" in answers[5]["error"]


@pytest.mark.parametrize("size", [2, 5, 7])
def test_det(evaluate, size):
    matrix = RNG.random((size, size))
    given = {"A": matrix.ravel().tolist(), "ell": size}
    close(evaluate("det", "primal", **given), np.linalg.det(matrix))
    cofactors = np.linalg.det(matrix) * np.linalg.inv(matrix).T
    close(evaluate("det", "gradient", **given), cofactors.ravel())


def test_lse(evaluate):
    x = RNG.uniform(-100, 100, 50)
    weights = np.exp(x - x.max())
    close(evaluate("lse", "primal", x=x.tolist()), x.max() + math.log(weights.sum()))
    close(evaluate("lse", "gradient", x=x.tolist()), weights / weights.sum())


def test_ode(evaluate):
    """Up to the fourth power of t the method is exact: yᵢ(2) = x₀·…·xᵢ · 2ⁱ⁺¹ / (i + 1)!."""
    x = RNG.random(4)
    exact = [np.prod(x[: i + 1]) * 2 ** (i + 1) / math.factorial(i + 1) for i in range(4)]
    close(evaluate("ode", "primal", x=x.tolist(), s=3), exact)
    close(evaluate("ode", "gradient", x=x.tolist(), s=3), exact[3] / x)


def test_ode_beyond_the_order_of_the_method(evaluate):
    """The gradient of the steps themselves, in fractions: every entry is y / xᵢ.

    GradBench's own answer is the gradient of the exact solution there, 1.8e-8 off.
    """
    x = [Fraction(k, 16) for k in (9, 14, 11, 7, 13, 15, 10, 12, 8, 11)]
    h, y = Fraction(2, 3), [Fraction(0)] * len(x)

    def slope(y):
        return [x[0], *(a * b for a, b in zip(x[1:], y, strict=False))]

    for _ in range(3):
        a = slope(y)
        b = slope([s + h / 2 * k for s, k in zip(y, a, strict=True)])
        c = slope([s + h / 2 * k for s, k in zip(y, b, strict=True)])
        d = slope([s + h * k for s, k in zip(y, c, strict=True)])
        slopes = zip(y, a, b, c, d, strict=True)
        y = [s + h * (i + 2 * j + 2 * k + m) / 6 for s, i, j, k, m in slopes]
    given = {"x": list(map(float, x)), "s": 3}
    found = evaluate("ode", "gradient", **given)
    np.testing.assert_allclose(found, [float(y[-1] / a) for a in x], rtol=1e-14)


def test_llsq(evaluate):
    x, n = RNG.random(5), 40
    times = np.linspace(-1, 1, n)
    powers = times[:, None] ** np.arange(5)
    rest = np.sign(times) - powers @ x
    close(evaluate("llsq", "primal", x=x.tolist(), n=n), 0.5 * rest @ rest)
    close(evaluate("llsq", "gradient", x=x.tolist(), n=n), -powers.T @ rest)


def log_posterior(flat, d, k, x, m, gamma):
    """As the eval's page defines it, by matrices and determinants."""
    parts = np.split(flat, np.cumsum([k, k * d, k * d]))
    alpha, mu, q, below = [part.reshape(k, -1) for part in parts]
    shares = np.exp(alpha.ravel()) / np.exp(alpha).sum()
    freedom, likelihood, prior = d + m + 1, np.zeros(len(x)), 0.0
    for which, share in enumerate(shares):
        root = np.diag(np.exp(q[which]))
        root.T[np.triu_indices(d, 1)] = below[which]  # column by column
        precision = root.T @ root
        y = x - mu[which]
        squares = np.einsum("ni,ij,nj->n", y, precision, y)
        density = np.exp(-0.5 * squares) * np.sqrt(np.linalg.det(precision) / (2 * np.pi) ** d)
        likelihood += share * density
        gammas = math.fsum(math.lgamma((freedom - j) / 2) for j in range(d))
        prior += (
            0.5 * m * np.log(np.linalg.det(precision))
            - 0.5 * gamma**2 * np.trace(precision)
            + freedom * d * np.log(gamma / np.sqrt(2))
            - gammas
            - 0.25 * d * (d - 1) * np.log(np.pi)
        )
    return np.log(likelihood).sum() + prior


def test_gmm(evaluate):
    d, k, n, m, gamma = 3, 4, 20, 2, 1.5
    sizes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2)}
    given = {name: 0.5 * RNG.normal(size=shape) for name, shape in sizes.items()}
    x = RNG.normal(size=(n, d))
    flat = np.concatenate([part.ravel() for part in given.values()])
    given = {name: part.tolist() for name, part in given.items()}
    given |= {"d": d, "k": k, "n": n, "x": x.tolist(), "m": m, "gamma": gamma}
    settings = (d, k, x, m, gamma)
    close(evaluate("gmm", "objective", **given), log_posterior(flat, *settings), 1e-11)
    found = evaluate("gmm", "jacobian", **given)
    assert list(found) == ["alpha", "mu", "q", "l"]
    got = np.concatenate([np.ravel(found[name]) for name in sizes])
    close(got, slopes(lambda p: log_posterior(p, *settings), flat), 1e-7)  # differences


def test_kmeans(evaluate):
    """Newton's step takes a centroid to the mean of the points that are nearest to it."""
    points = RNG.random((60, 3))
    centroids = points[-4:] + 1e-3
    nearest = ((points[:, None] - centroids) ** 2).sum(axis=-1)
    given = {"points": points.tolist(), "centroids": centroids.tolist()}
    close(evaluate("kmeans", "cost", **given), nearest.min(axis=1).sum())
    means = [points[nearest.argmin(axis=1) == k].mean(axis=0) for k in range(4)]
    close(evaluate("kmeans", "dir", **given), centroids - means, 1e-11)


def residual(numbers, feature):
    """The rotation by the powers of its matrix."""
    camera, x, w = numbers[:11], numbers[11:14], numbers[14]
    a, b, c = camera[:3]
    cross = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    theta = np.sqrt(a * a + b * b + c * c)
    turn = np.eye(3) + np.sin(theta) / theta * cross
    turn = turn + (1 - np.cos(theta)) / theta**2 * cross @ cross
    seen = turn @ (x - camera[3:6])
    seen = seen[:2] / seen[2]
    bent = seen * (1 + camera[9] * (seen @ seen) + camera[10] * (seen @ seen) ** 2)
    return w * (bent * camera[6] + camera[7:9] - feature)


def test_ba(evaluate):
    camera = [-0.76, -1.1, -0.85, 34.6, 39.7, 53.9, 419.2, 5.9, -8.5, 0.088, 0.0027]
    x, w, feature, (n, m, p) = [7.2, 0.001, 3.0], 0.417, [271.8, 834.2], (3, 5, 20)
    given = {"n": n, "m": m, "p": p, "cam": camera, "x": x, "w": w, "feat": feature}
    numbers = np.array([*camera, *x, w])
    found = evaluate("ba", "objective", **given)
    close(found["reproj_error"]["elements"], residual(numbers, feature))
    assert (found["reproj_error"]["repeated"], found["w_err"]["repeated"]) == (p, p)
    close(found["w_err"]["element"], 1 - w * w)
    found = evaluate("ba", "jacobian", **given)
    block = slopes(lambda y: residual(y, feature), numbers)
    # differences, of numbers up to 1e4
    np.testing.assert_allclose(found["vals"][:30], block.ravel(), rtol=1e-6, atol=1e-3)
    close(found["vals"][-1], -2 * w)
    own = [*range(11), *range(33, 36), 33 + 15]
    assert found["cols"] == [*own, *own, 33 + 15 + p - 1]
    assert found["rows"] == [*range(0, 450, 15), 31 * p]


def network_loss(flat, size, layers, state, sequence):
    rows, total = flat.reshape(-1, size), 0.0
    state = np.array(state)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for given, expected in itertools.pairwise(np.array(sequence)):
        y = given * rows[-3]
        for k in range(layers):
            (a, b, c, d), (e, f, g, h) = rows[8 * k : 8 * k + 4], rows[8 * k + 4 : 8 * k + 8]
            hidden, cell = state[2 * k], state[2 * k + 1]
            cell = cell * sigmoid(y * a + e) + sigmoid(hidden * b + f) * np.tanh(hidden * d + h)
            y = sigmoid(y * c + g) * np.tanh(cell)
            state[2 * k], state[2 * k + 1] = y, cell
        y = y * rows[-2] + rows[-1]
        total += expected @ (y - np.log(2 + np.exp(y).sum()))
    return -total / (size * (len(sequence) - 1))


def test_lstm(evaluate):
    size, layers, length = 4, 2, 9
    given = {
        "main_params": RNG.random((2 * layers, 4 * size)).tolist(),
        "extra_params": RNG.random((3, size)).tolist(),
        "state": RNG.random((2 * layers, size)).tolist(),
        "sequence": RNG.integers(0, 2, (length, size)).tolist(),
    }
    flat = np.concatenate([np.ravel(given["main_params"]), np.ravel(given["extra_params"])])
    settings = (size, layers, given["state"], given["sequence"])
    close(evaluate("lstm", "objective", **given), network_loss(flat, *settings))
    found = evaluate("lstm", "jacobian", **given)
    close(found, slopes(lambda p: network_loss(p, *settings), flat), 1e-8)  # differences


def skin_distance(theta, us, data):
    """By matrices: joints turned about z, y and x, one after another down the fingers."""

    def about(axis, angle):
        turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
        sign = -1 if axis == 1 else 1
        turn[[i, i, j, j], [i, j, i, j]] = (
            np.cos(angle), -sign * np.sin(angle), sign * np.sin(angle), np.cos(angle)
        )  # fmt: skip
        return turn

    model, placed, angles = data["model"], [], iter(theta[6:])
    poses = np.zeros((22, 3))
    for finger, joint in itertools.product(range(5), range(3)):
        poses[2 + 4 * finger + joint, : 2 if joint == 0 else 1] = [
            next(angles) for _ in range(2 if joint == 0 else 1)
        ]
    for pose, base, parent in zip(poses, model["base_relatives"], model["parents"], strict=True):
        turn = np.eye(4)
        turn[:3, :3] = about(2, pose[1]) @ about(1, pose[2]) @ about(0, pose[0])
        own = np.array(base) @ turn
        placed.append(own if parent < 0 else placed[parent] @ own)
    moved = [
        np.array(model["base_positions"]) @ (a @ np.array(b)).T
        for a, b in zip(placed, model["inverse_base_absolutes"], strict=True)
    ]
    vertices = np.einsum("bvi,vb->vi", np.array(moved), np.array(model["weights"]))[:, :3]
    x, y, z = theta[:3]
    cross, angle = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.linalg.norm(theta[:3])
    turn = np.eye(3) + np.sin(angle) / angle * cross
    turn += (1 - np.cos(angle)) / angle**2 * cross @ cross
    vertices = vertices @ turn.T + theta[3:6]
    if len(us):
        shares = np.column_stack([us, 1 - np.sum(us, axis=1)])
        corners = np.array(model["triangles"])[data["correspondences"]]
        places = np.einsum("nk,nki->ni", shares, vertices[corners])
    else:
        places = vertices[data["correspondences"]]
    return (np.array(data["points"]) - places).ravel()


@pytest.mark.parametrize("complicated", [False, True])
def test_ht(evaluate, complicated):
    count, vertices = 5, 12

    def transforms():
        made = np.tile(np.eye(4), (22, 1, 1))
        made[:, :3] += 0.3 * RNG.normal(size=(22, 3, 4))
        return made.tolist()

    model = {
        "bone_count": 22, "bone_names": list("abcdefghijklmnopqrstuv"), "parents": PARENTS,
        "base_relatives": transforms(), "inverse_base_absolutes": transforms(),
        "base_positions": np.insert(RNG.normal(size=(vertices, 3)), 3, 1.0, axis=1).tolist(),
        "weights": RNG.dirichlet(np.ones(22), vertices).tolist(),
        "triangles": RNG.integers(0, vertices, (8, 3)).tolist(), "is_mirrored": False,
    }  # fmt: skip
    data = {
        "model": model,
        "correspondences": RNG.integers(0, 8, count).tolist(),
        "points": RNG.normal(size=(count, 3)).tolist(),
    }
    theta, us = RNG.normal(size=26), RNG.random((count, 2)) if complicated else np.zeros((0, 2))
    given = {"theta": theta.tolist(), "us": us.tolist(), "data": data}
    close(evaluate("ht", "objective", **given), skin_distance(theta, us, data), 1e-11)
    found = np.array(evaluate("ht", "jacobian", **given))
    by_angles = slopes(lambda t: skin_distance(t, us, data), theta)
    close(found[:, -26:], by_angles, 1e-7)  # differences
    if complicated:
        by_shares = slopes(lambda u: skin_distance(theta, u.reshape(-1, 2), data), us.ravel())
        blocks = [by_shares[3 * k : 3 * k + 3, 2 * k : 2 * k + 2] for k in range(count)]
        close(found[:, :2], np.concatenate(blocks), 1e-7)


@pytest.mark.parametrize("modes", ["ff", "fr", "rf", "rr"])
def test_saddle(evaluate, modes):
    """The published result."""
    close(evaluate("saddle", modes, start=[1.0, 1.0]), [8.246324826140356e-06] * 4, 1e-9)


@pytest.mark.parametrize("modes", ["rf"])  # the others take the same steps, more slowly
def test_particle(evaluate, modes):
    """The published result."""
    close(evaluate("particle", modes, runs=1, w=0.0), 0.2071918746486116)
