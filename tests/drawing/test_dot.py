"""The DOT text: what stands in it, that any label is safe, and that its length is linear."""

import math
import re
import subprocess
import sys
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_scalar import Value, maximum, primitive, scope, sum
from tinygrad_scalar.drawing import draw, steps, to_dot
from tinygrad_scalar.drawing.labels import dot_text, number_text, one_line, visible


def labels(source):
    """Every node with its text, as Graphviz reads it."""
    found = re.findall(r'^ {2}(\w+) \[label="((?:\\.|[^"\\])*)"', source, re.MULTILINE)
    return {key: text.replace("\\n", "\n") for key, text in found}


def edges(source):
    """Every edge that goes into an operation, with its local derivative."""
    return re.findall(r'^ {2}(u\d+) -> (f\d+) \[label="([^"]*)"', source, re.MULTILINE)


def test_values_operations_and_edges_of_the_apples():
    apple, count, tax = Value(100, label="apple"), Value(2, label="count"), Value(1.1, label="tax")
    price = apple * count * tax
    price.label = "price"
    price.backward()
    source = to_dot(price)
    assert labels(source) == {
        "u1": "apple\n100.0\ngrad 2.2",
        "u2": "count\n2.0\ngrad 110.0",
        "u3": "200.0\ngrad 1.1",
        "u4": "tax\n1.1\ngrad 200.0",
        "u5": "price\n220.0\ngrad 1.0",
        "f3": "×",
        "f5": "×",
    }
    assert edges(source) == [
        ("u1", "f3", "2.0"),
        ("u2", "f3", "100.0"),
        ("u3", "f5", "1.1"),
        ("u4", "f5", "200.0"),
    ]
    assert "  f3 -> u3\n" in source
    assert "  f5 -> u5\n" in source


def test_a_node_used_twice_by_one_operation_has_two_edges():
    x = Value(3.0)
    assert edges(to_dot(x * x)) == [("u1", "f2", "3.0"), ("u1", "f2", "3.0")]


def test_nodes_of_equal_value_stay_apart():
    source = to_dot(Value(1.0) + Value(1.0))
    assert labels(source) == {"u1": "1.0", "u2": "1.0", "u3": "2.0", "f3": "+"}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda x: x * 2, "× 2.0"),
        (lambda x: 2 - x, "2.0 −"),
        (lambda x: x**2, "^ 2.0"),
        (lambda x: 1 / x, "1.0 ÷"),
        (lambda x: x.clip(0.0, 1.0), "clip(·, 0.0, 1.0)"),
        (lambda x: sum([x, 1.0, 2.0, 3.0, 4.0]), "Σ, 4 constants"),
        (lambda x: x.sigmoid(), "σ"),
    ],
)
def test_constants_are_shown_on_their_operation_and_are_no_nodes(make, text):
    found = labels(to_dot(make(Value(0.5))))
    assert found["f2"] == text
    assert set(found) == {"u1", "u2", "f2"}


def test_a_gradient_is_shown_only_once_there_is_one():
    x, y = Value(2.0, label="x"), Value(0.0, label="y")
    z = x * y
    assert "grad" not in to_dot(z)
    z.backward()
    assert labels(to_dot(z))["u1"] == "x\n2.0\ngrad 0.0"  # now a zero is a result
    w = x + 1.0
    w.backward(inputs=x)
    assert labels(to_dot(w)) == {"u1": "x\n2.0\ngrad 1.0", "u2": "3.0", "f2": "+ 1.0"}


def test_a_bare_leaf_is_a_picture_of_one_node():
    assert labels(to_dot(Value(2.0, label="x"))) == {"u1": "x\n2.0"}


def test_several_outputs_of_one_operation():
    sincos = primitive(
        "sincos",
        lambda x: (math.sin(x), math.cos(x)),
        (lambda y, x: y[1],),
        (lambda y, x: -y[0],),
    )
    s, c = sincos(Value(0.0, label="x"))
    found = labels(to_dot([s, c]))
    assert sorted(found.values()) == ["0.0", "1.0", "sincos[0]", "sincos[1]", "x\n0.0"]


def test_other_kinds_of_numbers():
    assert labels(to_dot(Value(Fraction(1, 3)) * 2))["u2"] == "2/3"
    assert labels(to_dot(Value(mpmath.mpf(2)) * 2))["u2"] == "4.0"


def test_a_local_derivative_at_a_pole_is_infinite():
    assert edges(to_dot(Value(0.0).sqrt())) == [("u1", "f2", "inf")]


def test_a_deep_chain_needs_no_recursion():
    z = Value(1.0)
    for _ in range(100_000):
        z = z + 1.0
    assert to_dot(z).count("->") == 200_000


def test_the_text_is_linear_in_the_graph_whatever_is_shared():
    def doubled(n):
        z = Value(1.0)
        for _ in range(n):
            z = z - z
        return to_dot(z)

    assert doubled(60).count("\n") - doubled(30).count("\n") == 30 * 5


def test_no_module_of_an_engine_is_loaded():
    program = (
        "import sys; from tinygrad_scalar import Value; from tinygrad_scalar.drawing import draw;"
        "draw(Value(1.0) * 2).source; print({'graphviz', 'pygraphviz', 'numpy', 'subprocess',"
        " 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("z", [2.0, "z", None, [1.0], (Value(1.0), 2.0)])
def test_only_values_are_drawn(z):
    with pytest.raises(TypeError, match=r"^to_dot: z is a Value, the output of an expression, not"):
        to_dot(z)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match=r"^to_dot: there is nothing to draw"):
        to_dot([])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depth": -1}, ValueError, "to_dot: depth is at least 0, not -1"),
        ({"depth": 1.0}, TypeError, "to_dot: depth is an int or None, not float"),
        ({"depth": True}, TypeError, "to_dot: depth is an int or None, not bool"),
        ({"max_nodes": 0}, ValueError, "to_dot: max_nodes is at least 1, not 0"),
        ({"color": "red"}, ValueError, "to_dot: color is None or \"grad\", not 'red'"),
        ({"focus": "x"}, TypeError, "to_dot: focus is a Value of the graph, not str"),
        ({"derivative": 1.0}, TypeError, "to_dot: derivative is a Value, a list or a table"),
        ({"derivative": {Value(1.0): 2.0}}, TypeError, "not of float: z.backward(create_graph="),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        to_dot(Value(1.0) + 1.0, **options)


# ── texts ─────────────────────────────────────────────────────────────────────────────────────
def read_by_graphviz(inside):
    """What Graphviz shows for the inside of a quoted string: escapes and entities resolved."""
    assert re.fullmatch(r'(?:\\.|[^"\\])*', inside, re.DOTALL)
    text = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], inside, flags=re.DOTALL)
    assert "&" not in text.replace("&amp;", "")
    return text.replace("&amp;", "&")


@given(st.text())
def test_any_text_comes_through_dot(text):
    shown = "\n".join(line or " " for line in visible(text).split("\n"))
    assert read_by_graphviz(dot_text(text)) == shown


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])))
def test_ordinary_text_is_shown_as_it_is(text):
    assert visible(text) == text


@given(st.text(st.characters()))
def test_one_line_is_printable_and_keeps_its_length(text):
    assert one_line(text).isprintable()
    assert len(one_line(text)) == len(text)


@given(st.floats())
def test_numbers_keep_six_digits_and_look_like_floats(x):
    text = number_text(x)
    if math.isfinite(x):
        assert math.isclose(float(text), x, rel_tol=5.1e-6)  # half a unit of the sixth digit
        assert "." in text or "e" in text
    else:
        assert text in ("inf", "-inf", "nan")


def test_a_fraction_too_long_for_a_box_is_rounded():
    x = Value(Fraction(1, 3), label="x")
    source = to_dot(x**50)
    assert 'label="1/3' not in source
    assert "≈ 1.39296e-24" in source


# ── large graphs ──────────────────────────────────────────────────────────────────────────────
def irregular(size):
    """A graph in which nothing repeats: operations and operands by the digits of √2."""
    values, state = [Value(float(i)) for i in range(20)], 1
    for _ in range(size):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        a, b = values[-1 - (state >> 33) % 3], values[-1 - (state >> 45) % 20]
        values.append((a + b, a - b, maximum(a, b), b - a)[state >> 60 & 3])
    return values[-1]


@pytest.mark.parametrize("show", [draw, steps, lambda z: to_dot(z, max_nodes=300)])
def test_a_large_graph_that_neither_folds_nor_closes_is_refused_by_its_start(show):
    with pytest.raises(ValueError, match=r"of \d+ nodes, \d+ of the first 5000 are left .*focus="):
        show(irregular(12_000))


def test_a_large_graph_that_folds_or_closes_is_drawn():
    z = Value(1.0)
    for _ in range(12_000):
        z = z * 0.5 + 1.0
    assert "12000 ×" in draw(z).source
    with scope("all"):
        z = irregular(12_000)
    assert "all" in draw(z).source
