"""What people get wrong first, and what they are told: operation, argument, next step."""

import math
import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest

from tinygrad_scalar import (
    Value,
    asin,
    clip,
    comb,
    compile,
    cross_entropy,
    data,
    dist,
    dot,
    draw,
    exp,
    fmod,
    fsum,
    grad,
    hypot,
    isclose,
    isnan,
    jacobian,
    jvp,
    log,
    log_softmax,
    mean,
    modf,
    nn,
    no_grad,
    optim,
    pow,
    primitive,
    relu,
    softmax,
    steps,
    to_text,
)
from tinygrad_scalar import sum as add_up

x, y = Value(2.0, label="x"), Value(3.0)


def written(what, label="w"):
    """A leaf to whose `data` something was written."""
    w = Value(1.0, label=label)
    w.data = what
    return w


@pytest.mark.parametrize(
    "operation",
    [
        lambda w: w * 3,
        lambda w: 3 * w,
        lambda w: w - y,
        lambda w: w**2,
        lambda w: -w,
        exp,
        lambda w: dot([w, y], [y, y]),
        lambda w: add_up([w, y]),
    ],
)
def test_a_value_written_to_data_is_told_where_it_is_used(operation):
    w = written(x - 0.1)  # w.data = w - 0.1 * w.grad
    told = r"^\w+: the data of w is of type Value: write numbers to it, as in w.data -= 0.1 \* w.g"
    with pytest.raises(TypeError, match=told):
        operation(w)


def test_so_is_what_is_no_number_at_all():
    for what, kind in ((None, "NoneType"), ([1.0], "list"), (1j, "complex"), ("1.5", "str")):
        with pytest.raises(TypeError, match=f"mul: the data of an operand is of type {kind}: "):
            written(what, label="") * 2.0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: relu([x, y]), r"relu: one number, not list: \[relu\(x\) for x in \.\.\.\]"),
        (lambda: exp((x, y)), r"exp: one number, not tuple: \[exp\(x\) for x in \.\.\.\]"),
        (lambda: softmax([[x], [y]]), r"softmax: one list .* \[softmax\(row\) for row in rows\]"),
        (lambda: log_softmax([x, "a"]), r"log_softmax: a Value carries one real number, not str"),
        (
            lambda: nn.MLP(2, [3, 1])([[1.0, 2.0], [3.0, 4.0]]),
            r"MLP: .*: \[model\(x\) for x in X\]",
        ),
        (lambda: nn.MLP(2, [3, 1])([[1.0, 2.0]]), r"MLP: .*: \[model\(x\) for x in X\]"),
        (
            lambda: cross_entropy([[x, y]], [0]),
            r"cross_entropy: .* not of lists: nn\.cross_entropy",
        ),
    ],
)
def test_a_list_where_a_number_is_meant_and_rows_where_a_list_is(call, told):
    with pytest.raises(TypeError, match=told):
        call()


@pytest.mark.parametrize("entropy", [cross_entropy, nn.cross_entropy])
@pytest.mark.parametrize("label", ["a", "ab", "cat"])  # as many letters as logits, or not
def test_a_label_in_words_is_no_distribution(entropy, label):
    with pytest.raises(TypeError, match=rf"cross_entropy: target is '{label}': number the classes"):
        entropy([x, y, y], label)


def test_nor_is_it_in_training():
    X, _ = data.xor(4)
    model = nn.MLP(2, [2], seed=0)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="cross_entropy: target is 'no': number the classes from 0"):
        nn.fit(model, X, ["no", "yes"] * 2, loss=nn.cross_entropy, optimizer=sgd, steps=1)


def test_nor_is_it_ever_right():
    with pytest.raises(TypeError, match=r"accuracy: target 1 is 'no': number the classes from 0"):
        nn.accuracy(nn.MLP(2, [2]), [[0.0, 1.0], [1.0, 1.0]], [0, "no"])


@pytest.mark.parametrize("mode", [grad, jacobian])
def test_a_function_without_return_is_told(mode):
    def forgetful(x):
        x * x

    with pytest.raises(
        TypeError, match=r"what f returned: .* a function without `return` gives None"
    ):
        mode(forgetful)(1.0)


def test_a_row_without_a_name_is_told():
    with pytest.raises(TypeError, match="primitive: the name comes first"):
        primitive(math.sin, lambda y, x: math.cos(x))


# ── every function by its own name, with what to give instead ─────────────────────────────────
def saved(path):
    compiled = compile(lambda x: x * x)
    compiled(2.0)
    compiled.save(path)


async def later():
    return x * y


def one_by_one():
    yield x * y


@dataclass
class Point:
    x: float = 2.0


TOLD = {
    "log 0": (lambda: log(0.0), ValueError, r"^log\(0\.0\): .*: give x in \(0, ∞\)$"),
    "log of a Value": (lambda: log(Value(-1.0)), ValueError, r": give x in \(0, ∞\)$"),
    "asin": (lambda: asin(2), ValueError, r"^asin\(2\.0\): .*: give x in \[−1, 1\]$"),
    "an own domain": (
        lambda: primitive("root", math.sqrt, lambda y, x: 0.5 / y, domain=(0, 9))(-1.0),
        ValueError,
        r"^root\(-1\.0\): .*: give x in \(0, 9\)$",
    ),
    "too large": (
        lambda: pow(-10.0, 999),
        OverflowError,
        r"^pow\(-10\.0, 999\.0\): [^:]*: give an mpmath.mpf, which has no largest number$",
    ),
    "by zero": (lambda: x / 0, ZeroDivisionError, r"^div\(2\.0, 0\.0\): [^:]*: give b ≠ 0$"),
    "a remainder by zero": (
        lambda: fmod(x, 0),
        ValueError,
        r"^fmod\(2\.0, 0\.0\): [^:]*: give b ≠ 0$",
    ),
    "0 by zero": (
        lambda: Value(0) % 0,
        ZeroDivisionError,
        r"^mod\(0\.0, 0\.0\): [^:]*: give b ≠ 0$",
    ),
    "a pole": (lambda: pow(0, -1), ZeroDivisionError, r"^pow\(0\.0, -1\.0\): [^:]*: give a ≠ 0$"),
    "too large an int": (lambda: exp(10**400), OverflowError, "^exp: an int above 1.8e308 is too"),
    "clip": (
        lambda: clip(0.0, 2.0, 1.0),
        ValueError,
        r"^clip\(0.0, 2.0, 1.0\): lo=2.0 is greater than hi=1.0; exchange the two bounds$",
    ),
    "an own reason": (
        lambda: primitive("own", lambda x: int("a"), (1,))(0.0),
        ValueError,
        r"^own\(0\.0\): invalid literal for int\(\) with base 10: 'a'$",
    ),
    "hypot": (lambda: hypot(None, 1.0, 2.0), TypeError, "^hypot: a Value carries .* not NoneType"),
    "isnan": (lambda: isnan("a"), TypeError, "^isnan: a Value carries one real number, not str"),
    "isclose": (
        lambda: isclose(1, 2, rel_tol="a"),
        TypeError,
        "^isclose: a Value .*not str",
    ),
    "modf": (lambda: modf(None), TypeError, "^modf: must be real number, not NoneType"),
    "comb": (lambda: comb("5", 2), TypeError, "^comb: 'str' object cannot be interpreted"),
    "fsum": (lambda: fsum(["a"]), TypeError, "^fsum: must be real number, not str"),
    "dist": (lambda: dist([[1.0]], [y]), TypeError, "^dist: unsupported .* 'list' and 'Value'"),
    "no axes": (lambda: mean(np.array(1.0)), TypeError, "^mean takes an iterable .* not ndarray"),
    "log_softmax": (lambda: log_softmax([]), ValueError, "^log_softmax of no logits is undefined"),
    "cross_entropy": (
        lambda: cross_entropy([], 0),
        ValueError,
        "^cross_entropy of no logits is undefined: give at least one$",
    ),
    "to a table": (
        lambda: (x * y).backward().__setitem__(x, 1.0),
        TypeError,
        r"^a GradTable is read-only: dict\(table\) is a copy",
    ),
    "from a table": (
        lambda: (x * y).backward().__delitem__(x),
        TypeError,
        "^a GradTable is read-only",
    ),
    "a table asked by a list": (
        lambda: (x * y).backward()[[x]],
        KeyError,
        r"is no node: .* as in table\[x\]",
    ),
    "latex": (
        lambda: setattr(Value(1.0), "latex", 3),
        TypeError,
        "^latex is a str, not int",
    ),
    "nothing decorated": (
        lambda: no_grad()(None),
        TypeError,
        r"^no_grad\(\) and other blocks decorate a function, not NoneType",
    ),
    "a coroutine function decorated": (
        lambda: no_grad()(later),
        TypeError,
        "would be over before later, a coroutine or generator function, begins: open one inside",
    ),
    "a generator function decorated": (
        lambda: no_grad()(one_by_one),
        TypeError,
        "would be over before one_by_one, a coroutine or generator function, begins",
    ),
    "a large argument": (
        lambda: grad(exp)(10**400),
        OverflowError,
        "^grad: argument 0: an int above 1.8e308 is too large for a float: use fractions",
    ),
    "a large seed": (lambda: (x * y).backward(10**400), OverflowError, "^an int above 1.8e308 is"),
    "a partial of a derivative": (
        lambda: primitive("half", lambda x: x / 2, lambda y, x: "½")(x).backward(create_graph=True),
        TypeError,
        "^half: partial 0 gave str; it must return a real number",
    ),
    "a dataclass": (
        lambda: grad(lambda p: p.x)(Point()),
        TypeError,
        "^grad: argument 0: .* not Point: .*, or lists, tuples, dicts or arrays of these$",
    ),
    "a deque": (
        lambda: jvp(exp, (deque([1.0]),), (1.0,)),
        TypeError,
        "not deque: .*, or lists, tuples, dicts or arrays of these$",
    ),
    "a word that is an array": (
        lambda: grad(exp, undefined=np.ones(2)),
        ValueError,
        "^undefined is one of 'subgradient', .*, not array",
    ),
    "mode": (lambda: jacobian(exp, mode=2), ValueError, "^jacobian: mode is one of 'forward', "),
    "engine": (lambda: compile(exp, engine=[]), ValueError, "^compile: engine is one of 'python"),
    "operands of a domain": (
        lambda: primitive("cube", formula=lambda x: x**3, domain=[(0, 1), (0, 1)]),
        TypeError,
        "^primitive 'cube': domain is for 2 operands, and partials for 1: give one interval for al",
    ),
    "no operand of a domain": (
        lambda: primitive("cube", formula=lambda x: x**3, domain=[]),
        TypeError,
        "^primitive 'cube': domain is for 0 operands",
    ),
    "drawn at too many": (lambda: draw(exp, 2.0, 3), TypeError, "takes x by position, .* 2.0, 3$"),
    "drawn at one twice": (lambda: draw(exp, 2.0, x=3), TypeError, ", each once, and got 2.0, x$"),
    "a Value at a number": (lambda: draw(x, 2.0), TypeError, r"^draw: 2.0 is no .*x=2\.0\)"),
    "steps of a function": (lambda: steps(exp), TypeError, r": give .*, steps\(f\(x\)\)$"),
    "fold": (lambda: draw(x * y, fold="no"), TypeError, "^draw: fold is True or False, not 'no'"),
    "color": (lambda: draw(x * y, color=[]), ValueError, r'^draw: color is None or "grad", not \['),
    "a formula of nothing": (lambda: to_text({}), ValueError, "^to_text: there is nothing to draw"),
    "a formula of words": (lambda: to_text({"a": 1.0}), TypeError, "^to_text: z is a Value, .*str"),
    "a path": (lambda: draw(x * y).save(1), TypeError, "^path is the name of a file, a str or a P"),
    "a path of compiled": (
        lambda: saved([]),
        TypeError,
        "^path is the name .* not list",
    ),
    "a seed": (lambda: data.moons(4, seed=[1]), TypeError, "^seed is an int, a str, .* not list"),
    "a class": (
        lambda: nn.Sequential(nn.Affine(2, 2), nn.ReLU),
        TypeError,
        r"^Sequential: ReLU is a class: give a module of it, ReLU\(…\)",
    ),
    "no input": (lambda: nn.Neuron(2)(None), TypeError, r"^ReLUNeuron\(2\): x is a list of 2 numb"),
    "a text": (lambda: nn.ReLU()("abc"), TypeError, "^relu: a Value carries .* not str"),
    "a dict of inputs": (
        lambda: nn.Affine(2, 1)({0: 1.0, 1: 2.0}),
        TypeError,
        "2 numbers, not dict",
    ),
    "a set of inputs": (lambda: nn.MLP(2, [1])({1.0, 2.0}), TypeError, "2 numbers, not set"),
    "a set for a neuron": (lambda: nn.Neuron(2)({1.0, 2.0}), TypeError, "2 numbers, not set"),
    "a dict for a layer": (lambda: nn.Layer(1, 2)({0: 1.0}), TypeError, "1 number, not dict"),
    "a dict of logits": (
        lambda: nn.cross_entropy({"a": x}, 0),
        TypeError,
        "^cross_entropy: logits is a list, one number per class, not dict",
    ),
    "nout": (lambda: nn.Neuron(2, nout="a"), TypeError, "^Neuron: nout is a whole number, not str"),
    "init": (
        lambda: nn.MLP(1, [1], init=lambda nin, nout: None),
        TypeError,
        r"^what init\(nin, nout\) returned: .* not NoneType: give a number; a function",
    ),
    "a large timeout": (
        lambda: draw(x * y, timeout=-(10**400)),
        ValueError,
        "^draw: timeout is a p",
    ),
    "no tokens": (
        lambda: nn.GPT(5, 4)(3),
        TypeError,
        "^GPT: tokens is a list of whole",
    ),
    "eps": (lambda: nn.LayerNorm(2, eps=math.inf), ValueError, "^LayerNorm: eps is a positive num"),
    "no model": (
        lambda: nn.predict(3, [1.0]),
        TypeError,
        "^predict: model is an nn.Module",
    ),
    "no model to rate": (
        lambda: nn.accuracy(None, [[1.0]], [0]),
        TypeError,
        "^accuracy: model is an nn.Module, not NoneType",
    ),
    "no examples": (
        lambda: nn.accuracy(nn.MLP(1, [1]), None, [0]),
        TypeError,
        "^accuracy: X is a list, one for each example, not None",
    ),
    "no loss": (
        lambda: nn.mean_loss(nn.MLP(1, [1]), "mse", [[1.0]], [0]),
        TypeError,
        "^mean_loss: loss is a function of outputs and target, .* not str",
    ),
    "no pair": (lambda: data.split(None, [1]), TypeError, "^split: X is a list, one for each exam"),
    "factor": (
        lambda: data.circles(4, factor="a"),
        TypeError,
        "^circles: factor is a number",
    ),
    "no loss below": (
        lambda: nn.parameters_below([x]),
        TypeError,
        "^parameters_below: output is one Value, such as a loss, not list",
    ),
    "a large rate": (
        lambda: optim.Adam([x], lr=10**400),
        OverflowError,
        "^Adam: lr is too large",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_errors_name_the_operation_and_what_to_give(case):
    call, error, told = TOLD[case]
    with pytest.raises(error, match=told):
        call()


@pytest.mark.parametrize(
    "make", [lambda name: nn.MLP(2, [2, 1], name), lambda name: nn.Block(4, 2, activation=name)]
)
def test_a_model_that_is_refused_draws_no_numbers(make):
    before = random.getstate()
    with pytest.raises(ValueError, match="activation is a function of one number"):
        make("rely")
    assert random.getstate() == before


def test_another_progress_is_told():
    model = nn.MLP(1, [1])
    sgd = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="fit: progress is True, False or None, not 'bar'"):
        nn.fit(model, [[1.0]], [1], loss=nn.hinge, optimizer=sgd, steps=1, progress="bar")


def test_one_node_is_no_nodes():
    assert repr(draw(Value(1.0))).startswith("<Drawing of 1 node: ")
