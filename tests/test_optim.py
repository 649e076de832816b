"""Optimisers: PyTorch's numbers, the documented formulas at 40 digits, and what is refused."""

import copy
import math
import pickle
import random
import subprocess
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch_reference as torch
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import TraceError, Value, compile, nn, no_grad, optim

# a handful of roundings a step, over ten steps, on numbers around 1
CLOSE = {"rel": 1e-13, "abs": 1e-13}


def trained(make, gradients=torch.GRADIENTS, after=None):
    """The parameters after each number of steps."""
    params = [nn.parameter(x) for x in torch.START]
    optimizer = make(params)
    course = {}
    for t, row in enumerate(gradients, start=1):
        for leaf, gradient in zip(params, row, strict=True):
            leaf.grad = gradient
        optimizer.step()
        course[t] = [leaf.data for leaf in params]
    return course


def made_by(text):
    """The optimiser that a line of the table stands for."""
    name, _, options = text.partition("(")
    options = eval(f"dict({options}", {})  # noqa: S307 (our own table)
    if name == "SGD":
        return lambda params: optim.SGD(params, **options)
    return lambda params: getattr(optim, name)(params, **options)


@pytest.mark.parametrize("text", torch.OPTIMIZERS)
def test_the_steps_are_pytorchs(text):
    course = trained(made_by(text))
    for step, expected in torch.OPTIMIZERS[text].items():
        assert course[step] == pytest.approx(expected, **CLOSE), step


@pytest.mark.parametrize("text", torch.SCHEDULES)
def test_the_schedules_are_pytorchs(text):
    schedule = eval(f"optim.{text}", {"optim": optim})  # noqa: S307 (our own table)
    course = trained(lambda params: optim.SGD(params, 0.1, schedule=schedule))
    for step, expected in torch.SCHEDULES[text].items():
        assert course[step] == pytest.approx(expected, **CLOSE), step


def test_schedules_get_the_steps_taken_so_far():
    asked = []
    trained(lambda params: optim.SGD(params, 0.1, schedule=lambda t: asked.append(t) or 1.0))
    assert asked == list(range(10))


# ── the rules as they are documented, written down a second time in 40 digits ─────────────────
def sgd(x, g, memory, t, *, lr, momentum, decay, nesterov):
    g = g + decay * x
    if momentum:
        memory["v"] = v = g if t == 1 else momentum * memory["v"] + g
        g = g + momentum * v if nesterov else v
    return x - lr * g


def adam(x, g, memory, t, *, lr, beta1, beta2, eps, decay, decoupled):
    x, g = (x * (1 - lr * decay), g) if decoupled else (x, g + decay * x)
    memory["m"] = m = beta1 * memory.get("m", 0) + (1 - beta1) * g
    memory["v"] = v = beta2 * memory.get("v", 0) + (1 - beta2) * g**2
    return x - lr * (m / (1 - beta1**t)) / (mpmath.sqrt(v / (1 - beta2**t)) + eps)


def rmsprop(x, g, memory, t, *, lr, alpha, eps):
    memory["v"] = v = alpha * memory.get("v", 0) + (1 - alpha) * g**2
    return x - lr * g / (mpmath.sqrt(v) + eps)


rates = st.floats(1e-4, 1.0)
fractions = st.floats(0.0, 0.999)
gradients = st.lists(
    st.lists(st.floats(-10.0, 10.0), min_size=3, max_size=3), min_size=1, max_size=6
)


def assert_follows(rule, course, gradients, **options):
    """Every parameter goes the way of the rule."""
    with mpmath.workdps(40):
        options = {name: x if isinstance(x, bool) else mpmath.mpf(x) for name, x in options.items()}
        for i, start in enumerate(torch.START):
            x, memory, reach = mpmath.mpf(start), {}, 10.0
            for t, row in enumerate(gradients, start=1):
                x = rule(x, mpmath.mpf(row[i]), memory, t, **options)
                reach = max(reach, abs(float(x)))
            assert course[len(gradients)][i] == pytest.approx(
                float(x), rel=1e-11, abs=1e-13 * reach
            )


@given(gradients, rates, fractions, fractions, st.booleans())
def test_sgd_follows_its_formula(gradients, lr, momentum, decay, nesterov):
    nesterov = nesterov and momentum > 0
    course = trained(lambda params: optim.SGD(params, lr, momentum, nesterov, decay), gradients)
    assert_follows(sgd, course, gradients, lr=lr, momentum=momentum, decay=decay, nesterov=nesterov)


@given(gradients, rates, fractions, fractions, st.floats(1e-8, 1.0), fractions, st.booleans())
def test_adam_and_adamw_follow_their_formulas(gradients, lr, beta1, beta2, eps, decay, decoupled):
    kind = optim.AdamW if decoupled else optim.Adam
    course = trained(lambda params: kind(params, lr, (beta1, beta2), eps, decay), gradients)
    assert_follows(
        adam,
        course,
        gradients,
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        decay=decay,
        decoupled=decoupled,
    )


@given(gradients, rates, fractions, st.floats(1e-8, 1.0))
def test_rmsprop_follows_its_formula(gradients, lr, alpha, eps):
    course = trained(lambda params: optim.RMSProp(params, lr, alpha, eps), gradients)
    assert_follows(rmsprop, course, gradients, lr=lr, alpha=alpha, eps=eps)


# ── clipping ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("max_norm", torch.CLIPPED)
def test_clipping_is_pytorchs(max_norm):
    params = [nn.parameter(x) for x in torch.START]
    for leaf, gradient in zip(params, torch.GRADIENTS[0], strict=True):
        leaf.grad = gradient
    norm, expected = torch.CLIPPED[max_norm]
    assert optim.clip_grad_norm(params, max_norm) == pytest.approx(norm, rel=1e-15)
    assert [leaf.grad for leaf in params] == pytest.approx(expected, rel=1e-15)


def test_clipping_does_not_overflow_and_refuses_what_is_not_finite():
    a, b = nn.parameter(0.0), nn.parameter(0.0)
    a.grad = b.grad = 1e200
    assert optim.clip_grad_norm([a, b], 1.0) == pytest.approx(math.sqrt(2) * 1e200)
    assert math.hypot(a.grad, b.grad) == pytest.approx(1.0)
    a.grad, b.grad = math.nan, 3.0
    with pytest.raises(ValueError, match="clip_grad_norm: the norm of the gradients is nan"):
        optim.clip_grad_norm([a, b], 1.0)
    assert b.grad == 3.0
    with pytest.raises(ValueError, match="max_norm is a positive number, not 0"):
        optim.clip_grad_norm([a], 0)


# ── minimize ──────────────────────────────────────────────────────────────────────────────────
def test_minimize_moves_trainable_leaves_and_leaves_no_gradient():
    w, b, x = nn.parameter(2.0), nn.parameter(-1.0), Value(3.0)
    cost = (w * x + b) ** 2
    assert optim.GradientDescentOptimizer(0.01).minimize(cost) == 25.0
    assert (w.data, b.data, x.data) == pytest.approx((2.0 - 0.01 * 30.0, -1.0 - 0.01 * 10.0, 3.0))
    assert (w.grad, b.grad, x.grad) == (0.0, 0.0, 0.0)


def test_minimize_takes_a_callable_and_chosen_leaves():
    w, b = nn.parameter(2.0), nn.parameter(-1.0)
    w.grad = 5.0  # left over from elsewhere: not part of this step
    optimizer = optim.GradientDescentOptimizer(0.1)
    for _ in range(3):
        optimizer.minimize(lambda: w * w + b * b, params=[w])
    assert (w.data, b.data, w.grad) == (pytest.approx(2.0 * 0.8**3), -1.0, 0.0)


def test_minimize_needs_something_to_move():
    x = Value(1.0)
    with pytest.raises(ValueError, match="minimize: there are no parameters"):
        optim.GradientDescentOptimizer(0.1).minimize(x * x)
    with pytest.raises(TypeError, match="minimize: cost is a Value, not float"):
        optim.GradientDescentOptimizer(0.1).minimize(1.0)
    with pytest.raises(TypeError, match="minimize: cost is a Value, not int"):
        optim.GradientDescentOptimizer(0.1).minimize(lambda: 1)
    assert optim.GradientDescentOptimizer(0.1).minimize(x * x, [x]) == 1.0  # any leaf, if named


# ── state ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("text", torch.OPTIMIZERS)
def test_an_optimizer_goes_on_from_its_state(text):
    make, half = made_by(text), 4
    whole = trained(make)[10]
    params = [nn.parameter(x) for x in torch.START]
    optimizer = make(params)
    for t, row in enumerate(torch.GRADIENTS):
        if t == half:
            state, optimizer = optimizer.state_dict(), make(params)
            optimizer.load_state_dict(state)
        for leaf, gradient in zip(params, row, strict=True):
            leaf.grad = gradient
        optimizer.step()
    assert [leaf.data for leaf in params] == whole


@pytest.mark.parametrize("text", torch.SCHEDULES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_an_optimizer_goes_on_from_its_copy(text, copied):
    schedule = eval(f"optim.{text}", {"optim": optim})  # noqa: S307 (our own table)
    params = [nn.parameter(x) for x in torch.START]
    optimizer = optim.SGD(params, 0.1, schedule=schedule)
    for row in torch.GRADIENTS:
        params, optimizer = copied((params, optimizer))
        for leaf, gradient in zip(params, row, strict=True):
            leaf.grad = gradient
        optimizer.step()
    whole = trained(lambda params: optim.SGD(params, 0.1, schedule=schedule))
    assert [leaf.data for leaf in params] == whole[len(torch.GRADIENTS)]


NO_STATES = {
    "nothing": (lambda state: None, "Adam: the state is a dict, .*, not NoneType"),
    "no list": (lambda state: {**state, "mean": None}, "Adam: mean is a list of numbers, not None"),
    "text": (lambda state: {**state, "mean": ["a", 0.0]}, r"Adam: mean\[0\] is a number, not str"),
    "half a step": (lambda state: {**state, "steps": 1.5}, "Adam: steps is a whole number, not fl"),
}


@pytest.mark.parametrize("case", NO_STATES)
def test_what_is_no_state_is_refused(case):
    make, text = NO_STATES[case]
    adam = optim.Adam([nn.parameter(1.0), nn.parameter(2.0)])
    before = adam.state_dict()
    with pytest.raises(TypeError, match=text):
        adam.load_state_dict(make(before))
    assert adam.state_dict() == before


# ── all parameters at once ────────────────────────────────────────────────────────────────────
SIZES = (0.0, -0.0, 1e-310, 1e-3, 1.0, 1e3, 1e200, 1e308, math.inf, math.nan)
MANY = 64


@pytest.fixture
def machine_code():
    """Compiled code runs in this process from now on."""
    pytest.importorskip("llvmlite")
    from tinygrad_scalar.compiler.machine.slots import Slots, running

    assert Slots.of([Value(1.0)]) is not None
    assert running()


def walked(make, seed, between=None):
    """Bits of parameters and memory after steps from a seed, however they were made."""
    source = random.Random(seed)
    params = [nn.parameter(source.uniform(-1.0, 1.0)) for _ in range(MANY)]
    optimizer = make(params)
    bits = []
    for t in range(6):
        for leaf in params:
            size = source.choice(SIZES) if seed else 1.0
            leaf.grad = source.uniform(-1.0, 1.0) * size
        if between is not None:
            between(t, optimizer, params)
        optimizer.step()
        bits.append((list(map(repr, [leaf.data for leaf in params])), repr(optimizer.state_dict())))
    optimizer.zero_grad()
    assert all(leaf.grad == 0.0 and type(leaf.data) is float for leaf in params)
    return bits


@pytest.mark.parametrize("text", torch.OPTIMIZERS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_parameters_at_once_move_by_the_same_bits(text, seed, machine_code, monkeypatch):
    moved = []
    at_once = optim.Optimizer._move_at_once
    monkeypatch.setattr(
        optim.Optimizer,
        "_move_at_once",
        lambda self, lr: moved.append(at_once(self, lr)) or moved[-1],
    )
    fast = walked(made_by(text), seed)
    assert moved == [True] * 6
    monkeypatch.setattr(optim.Optimizer, "_move_at_once", lambda self, lr: False)
    monkeypatch.setattr(optim.Optimizer, "_slots", None)
    assert walked(made_by(text), seed) == fast


def test_a_parameter_of_another_kind_is_moved_one_by_one(machine_code):
    """A step with a Fraction among the gradients, between two without."""

    def other(t, optimizer, params):
        if t == 3:
            params[5].grad = Fraction(1, 4)

    def same(t, optimizer, params):
        if t == 3:
            params[5].grad = 0.25

    for text in torch.OPTIMIZERS:
        assert walked(made_by(text), 0, other) == walked(made_by(text), 0, same)


def test_optimizers_are_copied_with_their_parameters(machine_code):
    def copied(t, optimizer, params):
        if t != 3:
            return
        twin = copy.deepcopy(optimizer)
        before = [repr(leaf.data) for leaf in params]  # NaN too
        twin.step()
        assert [repr(leaf.data) for leaf in params] == before
        assert [repr(leaf.data) for leaf in twin.params] != before
        assert optimizer.steps == 3

    for text in torch.OPTIMIZERS:
        assert walked(made_by(text), 1, copied) == walked(made_by(text), 1)


def test_other_parameters_move_once_they_are_given(machine_code):
    first, second = ([nn.parameter(1.0) for _ in range(MANY)] for _ in range(2))
    optimizer = optim.SGD(first, 0.5)
    for _ in range(2):
        for leaf in optimizer.params:
            leaf.grad = 1.0
        optimizer.step()
        optimizer.params = tuple(second)
    assert [leaf.data for leaf in [*first, *second]] == [0.5] * 2 * MANY
    optimizer.zero_grad()
    assert {leaf.grad for leaf in second} == {0.0}


def test_numbers_held_elsewhere_stay_as_they_are(machine_code):
    params = [nn.parameter(float(i)) for i in range(MANY)]
    shared = [leaf.data for leaf in params]
    params[1].data = params[2].data  # one number in two slots
    product = params[3] * params[4]
    for leaf in params:
        leaf.grad = 1.0
    one = params[0].grad
    optimizer = optim.SGD(params, 0.5)
    for _ in range(2):
        optimizer.step()
    optimizer.zero_grad()
    assert one == 1.0
    assert shared == [float(i) for i in range(MANY)]
    assert [leaf.data for leaf in params] == [-1.0, 1.0, 1.0, *(i - 1.0 for i in range(3, MANY))]
    assert [f() for f in product.local_derivatives] == [4.0, 3.0]


def test_a_gradient_that_is_not_there_is_told(machine_code):
    params = [nn.parameter(float(i)) for i in range(MANY)]
    optimizer = optim.SGD(params, 0.5)
    optimizer.zero_grad()
    del params[3].grad
    with pytest.raises((AttributeError, TypeError), match=r"grad|NoneType"):  # compiled: None
        optimizer.step()
    assert [leaf.data for leaf in params] == [float(i) for i in range(MANY)]
    optimizer.zero_grad()
    assert [leaf.grad for leaf in params] == [0.0] * MANY


@pytest.mark.parametrize("gradient", [None, "1.0", Value(1.0)])
def test_a_gradient_that_is_no_number_is_told(gradient, machine_code):
    params = [nn.parameter(float(i)) for i in range(MANY)]
    params[3].grad = gradient  # None: as PyTorch's zero_grad leaves it
    kind = type(gradient).__name__
    for call, name in (
        (optim.SGD(params, 0.5).step, "SGD"),
        (optim.SGD(params[2:5], 0.5).step, "SGD"),
        (lambda: optim.clip_grad_norm(params, 1.0), "clip_grad_norm"),
    ):
        with pytest.raises(
            TypeError, match=rf"{name}: the grad of Value\(3\.0.* is {kind}, not a n"
        ):
            call()
    assert [leaf.data for leaf in params] == [float(i) for i in range(MANY)]


def test_eager_training_loads_no_machine_code():
    code = (
        "import sys; from tinygrad_scalar import nn, optim;"
        "model = nn.MLP(8, [8, 1]); sgd = optim.Adam(model.parameters());"
        "model([1.0] * 8).backward(); sgd.step(); sgd.zero_grad();"
        "print(sorted({'numpy', 'llvmlite', 'tinygrad_scalar.compiler'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_state_of_another_optimizer_is_refused():
    w = [nn.parameter(1.0)]
    adam, sgd = optim.Adam(w), optim.SGD(w, 0.1)
    with pytest.raises(ValueError, match="SGD: the state is of another optimiser"):
        sgd.load_state_dict(adam.state_dict())
    with pytest.raises(ValueError, match="Adam: the state is of another optimiser or of other"):
        adam.load_state_dict(optim.Adam([*w, nn.parameter(2.0)]).state_dict())
    assert adam.steps == 0


def test_zero_grad():
    params = [nn.parameter(1.0), nn.parameter(2.0)]
    optimizer = optim.SGD(params, 0.1)
    (params[0] * params[1]).backward()
    optimizer.zero_grad()
    assert [leaf.grad for leaf in params] == [0.0, 0.0]


def test_a_parameter_given_twice_moves_once():
    w = nn.parameter(1.0)
    w.grad = 1.0
    optim.SGD([w, w], 0.5).step()
    assert w.data == 0.5


@pytest.mark.parametrize("data", [None, "1.0", Value(1.0), 1j])
def test_a_parameter_to_which_no_number_was_written_is_told(data, machine_code):
    params = [nn.parameter(float(i)) for i in range(MANY)]
    for leaf in params:
        leaf.grad = 1.0
    params[3].data = data
    cost = params[0] * params[4]
    for call, name in (
        (optim.SGD(params, 0.5).step, "SGD"),
        (optim.Adam(params[2:5]).step, "Adam"),
        (lambda: optim.GradientDescentOptimizer(0.1).minimize(cost, params), "minimize"),
    ):
        told = f"{name}: the data of .* is {type(data).__name__}, not a number: write numbers to it"
        with pytest.raises(TypeError, match=told):
            call()
    assert [leaf.data for leaf in params[:3]] == [0.0, 1.0, 2.0]
    assert params[4].data == 4.0
    assert params[4].grad == 1.0


@pytest.mark.parametrize(
    ("lr", "error", "told"),
    [
        (Value(0.1), TypeError, "lr is a number, not Value"),
        (1j, TypeError, "lr is a number, not complex"),
        (math.nan, ValueError, "lr is a number of at least 0, not nan"),
        (10**400, OverflowError, "lr is too large for a float: give a number below 1.8e308"),
    ],
)
def test_a_rate_written_later_is_checked_before_anything_moves(lr, error, told):
    w = nn.parameter(1.0)
    w.grad = 1.0
    sgd, descent = optim.SGD([w], 0.1), optim.GradientDescentOptimizer(0.1)
    sgd.lr = descent.lr = lr
    with pytest.raises(error, match=f"SGD: {told}"):
        sgd.step()
    with pytest.raises(error, match=f"minimize: {told}"):
        descent.minimize(w * w)
    assert (w.data, w.grad, sgd.steps) == (1.0, 1.0, 0)


@pytest.mark.parametrize("wrong", [Value(0.5), 0.5j, math.nan, -0.5, "0.5", None, np.array([0.5])])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (optim.SGD, "momentum"),
        (optim.SGD, "weight_decay"),
        (optim.Adam, "eps"),
        (optim.Adam, "betas"),
        (optim.AdamW, "weight_decay"),
        (optim.RMSProp, "alpha"),
        (optim.RMSProp, "eps"),
    ],
)
def test_a_setting_written_later_is_checked_as_at_first(kind, name, wrong):
    w = nn.parameter(1.0)
    w.grad = 1.0
    optimizer = kind([w], 0.1)
    setattr(optimizer, name, (0.5, wrong) if name == "betas" else wrong)
    with pytest.raises((TypeError, ValueError), match=rf"{kind.__name__}: {name}(\[1\])? is"):
        optimizer.step()
    assert (w.data, w.grad, optimizer.steps) == (1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("kind", "name"), [(optim.SGD, "weight_decay"), (optim.SGD, "momentum"), (optim.Adam, "eps")]
)
def test_a_setting_of_another_kind_counts_as_a_float(kind, name):
    """A float32 beside a float would make a parameter one of 32 bits."""
    moved = []
    for setting in (np.float32(0.25), 0.25):
        w = nn.parameter(1.0)
        optimizer = kind([w], 0.1)
        setattr(optimizer, name, setting)
        for _ in range(2):
            w.grad = 0.3
            optimizer.step()
        moved.append(w.data)
    assert {type(data) for data in moved} == {float}
    assert moved[0] == moved[1]


def test_a_generator_of_parameters_is_used_up_once():
    w = nn.parameter(1.0)
    optimizer = optim.SGD((leaf for leaf in [w]), 0.5)
    for _ in range(2):
        w.grad = 1.0
        optimizer.step()
    assert w.data == 0.0


# ── what is refused ───────────────────────────────────────────────────────────────────────────
W = nn.parameter(1.0)
REFUSED = {
    "lr 0": (lambda: optim.SGD([W], 0), ValueError, "SGD: lr is a positive number, not 0"),
    "lr < 0": (lambda: optim.Adam([W], -1.0), ValueError, "Adam: lr is a positive number, not -1"),
    "lr nan": (lambda: optim.SGD([W], math.nan), ValueError, "SGD: lr is a positive .* not nan"),
    "lr inf": (lambda: optim.AdamW([W], math.inf), ValueError, "AdamW: lr is .*, not inf"),
    "lr text": (lambda: optim.RMSProp([W], "1"), TypeError, "RMSProp: lr is a number, not str"),
    "lr Value": (lambda: optim.SGD([W], W), TypeError, "SGD: lr is a number, not Value"),
    "lr 0 to minimize": (
        lambda: optim.GradientDescentOptimizer(0),
        ValueError,
        "GradientDescentOptimizer: lr is a positive number, not 0",
    ),
    "nothing": (lambda: optim.SGD([], 0.1), ValueError, "SGD: there are no parameters: nn.param"),
    "a Value": (lambda: optim.SGD(W, 0.1), TypeError, "list of Values, not one Value: write"),
    "numbers": (lambda: optim.SGD([1.0], 0.1), TypeError, "SGD: parameters .* holds a float"),
    "a model": (
        lambda: optim.SGD(nn.MLP(1, [1]), 0.1),
        TypeError,
        r"SGD: parameters .*, such as model\.parameters\(\), not MLP",
    ),
    "computed": (lambda: optim.SGD([W * 2], 0.1), ValueError, "was computed by mul and cannot"),
    "momentum": (lambda: optim.SGD([W], 0.1, -0.1), ValueError, "momentum is a number of at leas"),
    "nesterov": (
        lambda: optim.SGD([W], 0.1, nesterov=True),
        ValueError,
        "nesterov needs a momentum above 0",
    ),
    "decay": (
        lambda: optim.SGD([W], 0.1, weight_decay=-1),
        ValueError,
        "weight_decay is a number of at least 0, not -1",
    ),
    "beta": (
        lambda: optim.Adam([W], betas=(0.9, 1.0)),
        ValueError,
        r"Adam: betas\[1\] is at least",
    ),
    "betas": (lambda: optim.Adam([W], betas=0.9), TypeError, "Adam: betas is a pair of numbers"),
    "eps": (lambda: optim.Adam([W], eps=0), ValueError, "Adam: eps is a positive number, not 0"),
    "alpha": (
        lambda: optim.RMSProp([W], alpha=1.5),
        ValueError,
        "RMSProp: alpha is at least 0 and",
    ),
    "schedule": (
        lambda: optim.SGD([W], 0.1, schedule=0.5),
        TypeError,
        "SGD: schedule is a function of the step, not float",
    ),
    "every": (lambda: optim.step_decay(0), ValueError, "step_decay: every is at least 1, not 0"),
    "steps": (lambda: optim.cosine_decay(1.5), TypeError, "cosine_decay: steps is a whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused(case):
    call, error, text = REFUSED[case]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("factor", [-1.0, math.nan, None])
def test_a_bad_schedule_is_told_before_anything_moves(factor):
    w = nn.parameter(1.0)
    w.grad = 1.0
    optimizer = optim.SGD([w], 0.1, schedule=lambda t: factor)
    with pytest.raises(ValueError, match=r"SGD: schedule\(0\) gives .*a factor of the learning"):
        optimizer.step()
    assert w.data == 1.0
    assert optimizer.steps == 0


def test_a_step_records_no_graph():
    w = nn.parameter(1.0)
    (w * w).backward()
    optim.SGD([w], 0.1).step()
    assert w.primitive is None
    with no_grad():
        assert nn.is_parameter(w)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda w, x: optim.SGD([w], 0.1).step(), r"step\(\)"),
        (lambda w, x: optim.SGD([w], 0.1).zero_grad(), r"zero_grad\(\)"),
        (lambda w, x: optim.clip_grad_norm([w], 0.5), "clip_grad_norm"),
        (lambda w, x: optim.GradientDescentOptimizer(0.1).minimize(w * x), "minimize"),
    ],
)
def test_what_would_happen_once_in_a_compiled_function_is_refused(call, name):
    w = nn.parameter(2.0)
    w.grad = 1.0

    def step(x):
        call(w, x)
        return w * x

    for _ in range(2):
        with pytest.raises(TraceError, match=f"^{name} in a compiled function would happen once"):
            compile(step)(3.0)
    assert (w.data, w.grad) == (2.0, 1.0)
