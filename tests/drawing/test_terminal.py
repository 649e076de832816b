"""The tree for the terminal: shape, sharing, depth, and no control characters."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value
from tinygrad_scalar.drawing import tree


def test_the_apples():
    apple, count, tax = Value(100, label="apple"), Value(2, label="count"), Value(1.1, label="tax")
    price = apple * count * tax
    price.label = "price"
    price.backward()
    assert tree(price).splitlines() == [
        "price 220.0 = × grad 1.0",
        "├─ 200.0 = × grad 1.1",
        "│  ├─ apple 100.0 grad 2.2",
        "│  └─ count 2.0 grad 110.0",
        "└─ tax 1.1 grad 200.0",
    ]


def test_shared_nodes_are_written_once_and_referred_to():
    z = Value(1.0)
    for _ in range(50):
        z = z * z
    lines = tree(z, depth=100).splitlines()
    assert len(lines) == 1 + 2 * 50
    assert lines[1] == "├─ #1 1.0 = ×"
    assert lines[-1] == "└─ #1 (above)"


def test_what_lies_deeper_is_cut_off_and_marked():
    z = Value(1.0, label="x")
    for _ in range(1_000):
        z = z + 1.0
    assert len(tree(z).splitlines()) == 9
    assert tree(z, depth=2).splitlines()[-1] == "   └─ 999.0 = + 1.0 …"
    assert tree(z, depth=0) == "1001.0 = + 1.0 …"
    assert tree(Value(1.0, label="x"), depth=0) == "x 1.0"
    assert len(tree(z, depth=None).splitlines()) == 1_001


def test_what_was_cut_off_is_written_out_where_there_is_room():
    x = Value(1.0, label="x")
    shared = x + 1.0
    z = (shared * 2.0) * shared
    assert tree(z, depth=2).splitlines() == [
        "8.0 = ×",
        "├─ 4.0 = × 2.0",
        "│  └─ #1 2.0 = + 1.0 …",
        "└─ #1 2.0 = + 1.0",
        "   └─ x 1.0",
    ]


def test_colour_only_on_a_terminal(monkeypatch):
    z = Value(1.0, label="x") * 2.0
    assert "\x1b" not in tree(z)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mx\x1b[0m" in tree(z)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in tree(z)


def test_no_colour_without_a_console(monkeypatch):
    z = Value(1.0, label="x") * 2.0
    shown = tree(z)
    monkeypatch.setattr(sys, "stdout", None)
    assert tree(z) == shown


@given(st.text())
def test_a_label_cannot_control_the_terminal(label):
    assert all(line.isprintable() for line in tree(Value(1.0, label=label) + 1.0).split("\n"))


def test_arguments_are_checked():
    with pytest.raises(TypeError, match=r"^tree: z is a Value"):
        tree(1.0)
    with pytest.raises(TypeError, match=r"^tree: depth is an int or None, not float"):
        tree(Value(1.0), depth=1.5)
    with pytest.raises(ValueError, match=r"^tree: depth is at least 0, not -1"):
        tree(Value(1.0), depth=-1)
