"""Losses: values against mpmath and PyTorch, the lectures' gradients, ±1000, what is refused."""

import math

import mpmath
import pytest
import torch_reference as torch
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar
from tinygrad_scalar import Value, nn

logit = st.floats(-30.0, 30.0)
rows = st.integers(1, 5).flatmap(
    lambda k: st.lists(st.lists(logit, min_size=k, max_size=k), min_size=1, max_size=4)
)


def leaves(numbers):
    return [Value(x) for x in numbers]


def softmax(logits):
    """Probabilities with 40 digits."""
    weights = [mpmath.exp(a) for a in logits]
    return [w / mpmath.fsum(weights) for w in weights]


# ── softmax with cross-entropy ────────────────────────────────────────────────────────────────
@given(rows, st.data())
def test_cross_entropy_of_rows_has_the_gradient_y_minus_t_over_n(rows, data):
    classes = [data.draw(st.integers(0, len(row) - 1)) for row in rows]
    logits = [leaves(row) for row in rows]
    loss = nn.cross_entropy(logits, classes)
    table = loss.backward()
    with mpmath.workdps(40):
        expected = mpmath.fsum(
            -mpmath.log(softmax(row)[t]) for row, t in zip(rows, classes, strict=True)
        ) / len(rows)
        assert loss.data == pytest.approx(float(expected), rel=1e-13, abs=1e-15)
        for row, values, t in zip(rows, logits, classes, strict=True):
            for j, (y, leaf) in enumerate(zip(softmax(row), values, strict=True)):
                gradient = float((y - (j == t)) / len(rows))
                # y comes from e^(a − logsumexp), whose exponent is rounded at a's size, up to 30
                assert table[leaf] == pytest.approx(gradient, rel=1e-12, abs=30 * 2.3e-16)


@given(st.lists(logit, min_size=2, max_size=5), st.data())
def test_cross_entropy_with_a_distribution(row, data):
    weights = data.draw(st.lists(st.floats(0.1, 1.0), min_size=len(row), max_size=len(row)))
    target = [w / math.fsum(weights) for w in weights]
    logits = leaves(row)
    loss = nn.cross_entropy(logits, target)
    table = loss.backward()
    with mpmath.workdps(40):
        y = softmax(row)
        expected = -mpmath.fsum(t * mpmath.log(p) for t, p in zip(target, y, strict=True))
        assert loss.data == pytest.approx(float(expected), rel=1e-13)
        for leaf, p, t in zip(logits, y, target, strict=True):
            assert table[leaf] == pytest.approx(float(p - t), rel=1e-9, abs=1e-14)


def test_cross_entropy_is_pytorchs():
    frozen = torch.CROSS_ENTROPY
    logits = [leaves(row) for row in frozen["logits"]]
    loss = nn.cross_entropy(logits, frozen["classes"])
    table = loss.backward()
    assert loss.data == pytest.approx(frozen["loss"], rel=1e-14)
    for row, gradient in zip(logits, frozen["gradient"], strict=True):
        assert [table[leaf] for leaf in row] == pytest.approx(gradient, rel=1e-13)


@pytest.mark.parametrize("around", [1000.0, -1000.0, 0.0])
def test_cross_entropy_is_finite_and_right_around_1000(around):
    near, far = leaves([around, around + 1.0]), leaves([around, around + 2000.0])
    loss = nn.cross_entropy(near, 0)
    table = loss.backward()
    assert loss.data == pytest.approx(math.log1p(math.e), rel=1e-12)
    assert table[near[0]] == pytest.approx(-1 / (1 + math.exp(-1)), rel=1e-12)
    loss = nn.cross_entropy(far, 0)
    table = loss.backward()
    assert loss.data == 2000.0
    assert (table[far[0]], table[far[1]]) == (-1.0, 1.0)


# ── binary cross-entropy ──────────────────────────────────────────────────────────────────────
@given(st.lists(st.tuples(logit, st.sampled_from([0, 1, 0.25, 1.0])), min_size=1, max_size=5))
def test_binary_cross_entropy_has_the_gradient_sigmoid_minus_t_over_n(pairs):
    logits, targets = leaves(a for a, _ in pairs), [t for _, t in pairs]
    loss = nn.binary_cross_entropy(logits, targets)
    table = loss.backward()
    with mpmath.workdps(40):
        total = 0
        for leaf, (a, t) in zip(logits, pairs, strict=True):
            y = 1 / (1 + mpmath.exp(-a))
            total -= t * mpmath.log(y) + (1 - t) * mpmath.log(1 - y)
            gradient = float((y - t) / len(pairs))
            assert table[leaf] == pytest.approx(gradient, rel=1e-12, abs=1e-16)
        assert loss.data == pytest.approx(float(total / len(pairs)), rel=1e-13)


def test_binary_cross_entropy_is_pytorchs():
    frozen = torch.BINARY_CROSS_ENTROPY
    logits = leaves(frozen["logits"])
    loss = nn.binary_cross_entropy(logits, frozen["targets"])
    table = loss.backward()
    assert loss.data == pytest.approx(frozen["loss"], rel=1e-14)
    assert [table[leaf] for leaf in logits] == pytest.approx(frozen["gradient"], rel=1e-13)


@pytest.mark.parametrize(
    ("a", "t", "loss", "gradient"),
    [
        (1000.0, 1, 0.0, 0.0),
        (1000.0, 0, 1000.0, 1.0),
        (-1000.0, 0, 0.0, 0.0),
        (-1000.0, 1, 1000.0, -1.0),
        (1000.0, 0.5, 500.0, 0.5),
        (-1000.0, 0.5, 500.0, -0.5),
    ],
)
def test_binary_cross_entropy_at_1000(a, t, loss, gradient):
    leaf = Value(a)
    value = nn.binary_cross_entropy(leaf, t)
    assert value.data == loss
    assert value.backward()[leaf] == gradient


def test_a_target_may_be_a_value():
    logits = leaves([1.0, 2.0, 0.5])
    assert nn.cross_entropy(logits, Value(2.0)).data == nn.cross_entropy(logits, 2).data
    a, t = Value(0.5), Value(0.25)
    plain = nn.binary_cross_entropy(Value(0.5), 0.25)
    value = nn.binary_cross_entropy(a, t)
    assert value.data == pytest.approx(plain.data, rel=1e-15)
    assert value.backward()[t] == pytest.approx(-0.5)  # softplus(−a) − softplus(a) = −a


# ── hinge and squared error ───────────────────────────────────────────────────────────────────
@given(st.lists(st.tuples(st.floats(-3.0, 3.0), st.sampled_from([-1, 1])), min_size=1, max_size=6))
def test_hinge_has_the_gradient_minus_t_over_n_inside_the_margin(pairs):
    scores, targets = leaves(s for s, _ in pairs), [t for _, t in pairs]
    loss = nn.hinge(scores, targets)
    table = loss.backward()
    expected = math.fsum(max(0.0, 1.0 - t * s) for s, t in pairs) / len(pairs)
    assert loss.data == pytest.approx(expected, abs=1e-15)
    for leaf, (s, t) in zip(scores, pairs, strict=True):
        assert table[leaf] == pytest.approx(-t / len(pairs) if t * s < 1 else 0.0)


def test_hinge_at_1000():
    scores = leaves([1000.0, -1000.0])
    loss = nn.hinge(scores, [1, 1])
    table = loss.backward()
    assert (loss.data, table[scores[0]], table[scores[1]]) == (500.5, 0.0, -0.5)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=6))
def test_mean_squared_error_has_the_gradient_2_times_difference_over_n(pairs):
    outputs, targets = leaves(y for y, _ in pairs), [t for _, t in pairs]
    loss = nn.mean_squared_error(outputs, targets)
    table = loss.backward()
    n = len(pairs)
    assert loss.data == pytest.approx(math.fsum((y - t) ** 2 for y, t in pairs) / n, rel=1e-13)
    for leaf, (y, t) in zip(outputs, pairs, strict=True):
        assert table[leaf] == pytest.approx(2 * (y - t) / n, rel=1e-13)


def test_losses_take_one_of_each_and_rows():
    assert nn.mean_squared_error(3.0, 1.0) == nn.mean_squared_error([3.0], 1.0) == 4.0
    assert nn.mean_squared_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 4.0]]) == 13.0 / 4
    assert nn.hinge(0.5, 1) == nn.hinge([0.5], [1]) == 0.5
    assert nn.binary_cross_entropy([0.0], 1) == math.log(2.0)
    assert isinstance(nn.cross_entropy([Value(1.0), Value(2.0)], 0), Value)


# ── regularisers ──────────────────────────────────────────────────────────────────────────────
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6))
def test_regularisers_and_their_gradients(weights):
    params = leaves(weights)
    absolute, squared = nn.l1(params), nn.l2(params)
    assert absolute.data == pytest.approx(math.fsum(map(abs, weights)))
    assert squared.data == pytest.approx(math.fsum(w * w for w in weights))
    signs, doubles = absolute.backward(), squared.backward()
    for leaf, w in zip(params, weights, strict=True):
        assert signs[leaf] == (w > 0) - (w < 0)
        assert doubles[leaf] == 2 * w


def test_the_gradient_of_a_regularised_cost_is_the_sum():
    model = nn.MLP(2, [3, 1], seed=0)
    loss, penalty = model([1.0, -1.0]) ** 2, nn.l2(model.parameters())
    apart = loss.backward(), penalty.backward()
    together = (loss + 0.1 * penalty).backward()
    for leaf in model.parameters():
        assert together[leaf] == pytest.approx(apart[0][leaf] + 0.1 * apart[1][leaf], abs=1e-15)


# ── what is refused ───────────────────────────────────────────────────────────────────────────
REFUSED = {
    "lengths": (
        lambda: nn.hinge([1.0] * 3, [1] * 4),
        ValueError,
        "hinge: 3 outputs against 4 targ",
    ),
    "one": (
        lambda: nn.mean_squared_error([1.0, 2.0], 1.0),
        ValueError,
        "2 outputs against 1 target;",
    ),
    "nested": (
        lambda: nn.mean_squared_error([[1.0]], [[1.0, 2.0]]),
        ValueError,
        "1 output against 2",
    ),
    "empty": (
        lambda: nn.mean_squared_error([], []),
        ValueError,
        "mean_squared_error: the batch is",
    ),
    "nan": (
        lambda: nn.mean_squared_error([1.0], [math.nan]),
        ValueError,
        "target 0 is NaN, give a",
    ),
    "text": (
        lambda: nn.mean_squared_error([1.0], ["one"]),
        TypeError,
        "mean_squared_error: target 0 is a str, give a number or a Value",
    ),
    "no output": (
        lambda: nn.hinge([1.0, None], [1, -1]),
        TypeError,
        "hinge: output 1 is None, give a number",
    ),
    "hinge 0": (
        lambda: nn.hinge([1.0, 2.0], [1, 0]),
        ValueError,
        "hinge: target 1 is 0, give −1 or 1",
    ),
    "bce 2": (
        lambda: nn.binary_cross_entropy([1.0], [2]),
        ValueError,
        "target 0 is 2, give a number",
    ),
    "class 2": (lambda: nn.cross_entropy([1.0, 2.0], 2), ValueError, "class 2 of 2; give 0 to 1"),
    "class −1": (
        lambda: nn.cross_entropy([1.0, 2.0], -1),
        ValueError,
        "class -1 of 2; give 0 to 1",
    ),
    "class 0.5": (lambda: nn.cross_entropy([1.0, 2.0], 0.5), TypeError, "class index or a list of"),
    "mass": (lambda: nn.cross_entropy([1.0, 2.0], [1, 1]), ValueError, r"sum to 1, not \[1, 1\]"),
    "negative": (lambda: nn.cross_entropy([1.0, 2.0], [2.0, -1.0]), ValueError, "sum to 1, not"),
    "width": (
        lambda: nn.cross_entropy([1.0, 2.0], [1.0]),
        ValueError,
        "1 target probabilities for 2",
    ),
    "no logits": (lambda: nn.cross_entropy([], 0), ValueError, "cross_entropy: logits is empty"),
    "bare": (lambda: nn.cross_entropy(Value(1.0), 0), TypeError, "logits is a list, .* not Value"),
    "rows": (
        lambda: nn.cross_entropy([[1.0, 2.0], [1.0, 2.0]], [0]),
        ValueError,
        "2 rows of logits, and for them 1 target$",
    ),
    "rows, one": (
        lambda: nn.cross_entropy([[1.0, 2.0]], 0),
        ValueError,
        "1 row of logits, and for them int",
    ),
    "l1": (lambda: nn.l1([]), ValueError, "l1: there are no parameters: give at least one"),
    "l2": (lambda: nn.l2(Value(1.0)), TypeError, "l2: parameters is a list, not one Value"),
    "l2 of a model": (lambda: nn.l2(nn.MLP(1, [1])), TypeError, "model.parameters.., not MLP"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    call, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("number", [1.0, Value(1.0)])
def test_one_number_for_many_is_refused_by_name(name, number):
    kind = type(number).__name__
    text = rf"^{name} takes an iterable of numbers, as \[x, y\], not {kind}$"
    with pytest.raises(TypeError, match=text):
        getattr(tinygrad_scalar, name)(number)
    with pytest.raises(TypeError, match=r"^cross_entropy takes an iterable"):
        tinygrad_scalar.cross_entropy(number, 0)
