"""What people get wrong first, and what they are told: operation, argument, next step."""

import math

import pytest

from tinygrad_scalar import (
    Value,
    cross_entropy,
    data,
    dot,
    draw,
    exp,
    grad,
    jacobian,
    log_softmax,
    nn,
    optim,
    primitive,
    relu,
    softmax,
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
    for what, kind in ((None, "NoneType"), ([1.0], "list"), (1j, "complex")):
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


def test_one_node_is_no_nodes():
    assert repr(draw(Value(1.0))).startswith("<Drawing of 1 node: ")
