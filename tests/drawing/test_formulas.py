"""Formulas: read back by independent readers they have the value of the graph."""

import copy
import math
import re
from fractions import Fraction

import pytest
from drawing.latex_reader import evaluate_latex
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_scalar as tg
from tinygrad_scalar import Value, primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.drawing import formula, to_latex, to_text
from tinygrad_scalar.drawing.latex import LATEX

x, y = Value(2.0, label="x"), Value(-3.0, label="y")


@pytest.mark.parametrize(
    ("z", "text", "latex"),
    [
        (x * y + x, "x × y + x", r"x \cdot y + x"),
        ((x + y) * 2, "(x + y) × 2.0", r"\left(x + y\right) \cdot 2"),
        (x - (y - x), "x − (y − x)", r"x - \left(y - x\right)"),
        (x - y - x, "x − y − x", r"x - y - x"),
        (x / (y / x), "x ÷ (y ÷ x)", r"\frac{x}{\frac{y}{x}}"),
        (-(x + y), "−(x + y)", r"-\left(x + y\right)"),
        ((-x) ** 2, "(−x)^2.0", r"{\left(-x\right)}^{2}"),
        ((x**2) ** 3, "(x^2.0)^3.0", r"{\left({x}^{2}\right)}^{3}"),
        (x**-y, "x^(−y)", r"{x}^{-y}"),
        (x + -2, "x + (-2.0)", r"x + \left(-2\right)"),
        (tg.sin(x) ** 2, "sin(x)^2.0", r"{\sin\left(x\right)}^{2}"),
        (tg.exp(x + y) ** 2, "exp(x + y)^2.0", r"{\left(e^{x + y}\right)}^{2}"),
        (tg.sqrt(x + 1) / 2, "sqrt(x + 1.0) ÷ 2.0", r"\frac{\sqrt{x + 1}}{2}"),
        (tg.square(x + y), "square(x + y)", r"{\left(x + y\right)}^2"),
        (-(x % y), "−(x % y)", r"-\left(x \bmod y\right)"),
        ((x % y) * x, "(x % y) × x", r"\left(x \bmod y\right) \cdot x"),
        (x * (y // x), "x × (y // x)", r"x \cdot \left\lfloor \frac{y}{x} \right\rfloor"),
        (tg.floor(x - y), "floor(x − y)", r"\left\lfloor x - y \right\rfloor"),
        (tg.sigmoid(x) * y, "sigmoid(x) × y", r"\sigma\left(x\right) \cdot y"),
        (x * 1e-7, "x × 1e-07", r"x \cdot \left(1 \cdot 10^{-7}\right)"),
        (x * math.inf, "x × inf", r"x \cdot \infty"),
        (Value(4.0) * Value(0.5), "4.0 × 0.5", r"4 \cdot 0.5"),
        (Value(Fraction(1, 3)) * 2, "1/3 × 2", r"\frac{1}{3} \cdot 2"),
        (x, "x", "x"),
    ],
)
def test_brackets_stand_where_precedence_asks_for_them(z, text, latex):
    assert to_text(z) == text
    assert to_latex(z) == latex


def test_shared_terms_are_named_once():
    s = x * y
    z = s + s * s
    assert to_text(z) == "t1 = x × y\nt1 + t1 × t1"
    s.label, z.label = "s", "z"
    assert to_text(z) == "s = x × y\nz = s + s × s"
    assert to_latex(z) == (
        "\\begin{aligned}\ns &= x \\cdot y \\\\\nz &= s + s \\cdot s\n\\end{aligned}"
    )


def test_a_name_is_never_given_twice():
    leaf, s = Value(1.0, label="t1"), x * y
    assert to_text(leaf + s * s) == "t2 = x × y\nt1 + t2 × t2"
    s.label = "x"  # as the leaf
    assert to_text(s * s) == "t1 = x × y\nt1 × t1"


def test_a_doubled_graph_is_written_in_linear_length():
    z = Value(1.0, label="x")
    for _ in range(100):
        z = z + z
    assert to_text(z).count("\n") == 99


def test_depth_is_no_limit():
    z = Value(0.0, label="x")
    for _ in range(10_000):
        z = z + 1.0
    assert len(to_text(z)) == 1 + 10_000 * len(" + 1.0")
    z = Value(1.0, label="x")
    for _ in range(5_000):
        z = 1.0 - z
    assert to_latex(z).endswith(r"\right)" * 4_999)


def test_a_derivative_graph_has_a_line_for_each_leaf():
    a, b = Value(2.0, label="a"), Value(3.0)
    z = a * b
    z.label = "z"
    table = z.backward(create_graph=True)
    assert to_text(table) == "∂z/∂a = 3.0\n∂z/∂3.0 = a"
    assert r"\frac{\partial z}{\partial a} &= 3 \\" in to_latex(table)
    assert to_text([table[a], table[b]]) == "3.0\na"


def test_a_formula_shows_itself():
    shown = formula(x * y)
    assert repr(shown) == shown.text == "x × y"
    assert shown._repr_latex_() == r"$\displaystyle x \cdot y$"


@pytest.mark.parametrize("z", [2.0, "x", [1.0]])
def test_only_values_have_a_formula(z):
    with pytest.raises(TypeError, match=r"^to_text: z is a Value"):
        to_text(z)
    with pytest.raises(TypeError, match=r"^to_latex: z is a Value"):
        to_latex(z)
    with pytest.raises(TypeError, match=r"^formula: z is a Value"):
        formula(z)


# ── labels ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("label", "text", "latex"),
    [
        ("w", "w", "w"),
        ("w_1", "w_1", "w_{1}"),
        ("x'", "x'", r"\mathrm{x'}"),
        ("apple number", "apple number", r"\mathrm{apple\ number}"),
        ("a+b", "⟨a+b⟩", r"\mathrm{a+b}"),
        ("a-b", "⟨a-b⟩", r"\mathrm{a\text{-}b}"),
        ("}$\\end{", "⟨}$\\end{⟩", r"\mathrm{\}\$\backslash{}end\{}"),
        ("50% #1 & ^~", "⟨50% #1 & ^~⟩", r"\mathrm{50\%\ \#1\ \&\ \hat{\ }\tilde{\ }}"),
        ("a\nb", "⟨a␊b⟩", r"\mathrm{a\ b}"),
    ],
)
def test_labels_are_escaped(label, text, latex):
    leaf = Value(1.0, label=label)
    assert to_text(leaf) == text
    assert to_latex(leaf) == latex


@given(st.text())
def test_no_label_breaks_the_latex(label):
    found = LATEX.name(label)
    bare = re.sub(r"\\(?:[a-z]+|.)", "", found, flags=re.DOTALL)  # without escapes and commands
    assert not set("$&#%~^\\\n") & set(bare)
    assert bare.count("{") == bare.count("}")


# ── rows ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_shows_its_operands(name):
    row = TABLE[name]
    count = row.arity or 4
    parts = LATEX.template(row, count).parts
    places = [part.operand for part in parts if not isinstance(part, str)]
    assert set(places) == set(range(count))
    text = "".join(part if isinstance(part, str) else "x" for part in parts)
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")


def test_rows_of_ones_own():
    twice = primitive("twice", lambda a: 2 * a, 2.0, latex=r"\mathrm{twice}\left[{0}\right]")
    assert to_latex(twice(x + y)) == r"\mathrm{twice}\left[x + y\right]"
    assert to_text(twice(x + y)) == "twice(x + y)"
    broken = primitive("broken", lambda a: a, 1.0, latex=r"\heartsuit")
    with pytest.raises(ValueError, match=r"primitive 'broken' does not show its 1 operands"):
        to_latex(broken(x))


# ── read back ─────────────────────────────────────────────────────────────────────────────────
@st.composite
def programs(draw):
    """Values from random instructions over earlier results, all between −10 and 10."""
    values = [Value(2.0, label="a"), Value(0.5, label="b_1"), Value(3.0), Value(1.25, label="c")]
    operations = [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b if abs(b.data) > 0.1 else a - 1.0,
        lambda a, b: -a,
        lambda a, b: a**2,
        lambda a, b: 2.0 - b,
        lambda a, b: tg.sin(a),
        lambda a, b: tg.square(b),
        lambda a, b: tg.sqrt(a) if a.data > 0.1 else tg.cos(a),
        lambda a, b: a**b if a.data > 0.1 else a * b,
        lambda a, b: a * -1.5,
    ]
    for _ in range(draw(st.integers(1, 10))):
        a, b = (values[draw(st.integers(0, len(values) - 1))] for _ in range(2))
        result = draw(st.sampled_from(operations))(a, b)
        if abs(result.data) < 10:
            values.append(result)
    return values[-1]


def evaluate_text(text, names):
    """What `to_text` wrote, run by Python."""
    names = {**names, "sin": math.sin, "cos": math.cos, "sqrt": math.sqrt}
    names["square"] = lambda a: a * a
    for sign, operator in {"×": "*", "÷": "/", "−": "-", "^": "**"}.items():
        text = text.replace(sign, operator)
    for line in text.split("\n"):
        left, equals, right = line.rpartition(" = ")
        value = eval(right, {}, names)  # noqa: S307 (written by this library)
        if equals:
            names[left] = value
    return value


LEAVES = {"a": 2.0, "b_1": 0.5, "c": 1.25}


@given(programs())
def test_text_read_back_has_the_same_value(z):
    assert evaluate_text(to_text(z), LEAVES) == pytest.approx(z.data, rel=1e-9, abs=1e-9)


@given(programs())
def test_latex_read_back_has_the_same_value(z):
    assert evaluate_latex(to_latex(z), LEAVES) == pytest.approx(z.data, rel=1e-9, abs=1e-9)


def test_names_that_several_bear_are_told_apart_by_their_scopes():
    from tinygrad_scalar import nn
    from tinygrad_scalar.drawing import to_latex, tree

    z = nn.MLP(1, [2, 1], seed=0)([0.5])
    text = to_text(z)
    for name in (
        "layers[0].neurons[0].w[0]",
        "layers[0].neurons[1].w[0]",
        "layers[1].neurons[0].b",
    ):
        assert name in text
        assert name in to_latex(z)
        assert name in str(tree(z))
        assert name in str(z.backward())
    assert "MLP" not in text  # what all have in common goes without saying
    alone = nn.Neuron(2)([0.5, 1.0])
    assert "w[0], w[1]" in to_text(alone)


def test_two_lists_are_written_as_they_are_called():
    w, x = (
        [Value(0.5, label="w"), Value(1.0, label="v")],
        [Value(2.0, label="x"), Value(3.0, label="y")],
    )
    assert to_text(tg.dot(w, x)) == "dot([w, v], [x, y])"
    assert to_text(tg.dot(w[:1], x[:1])) == "dot([w], [x])"
    assert to_text(tg.cross_entropy(x, 1)) == "cross_entropy([x, y], [0.0, 1.0])"
    assert to_latex(tg.dot(w, x)) == r"\operatorname{dot}\left([w, v], [x, y]\right)"


def test_the_latex_of_a_label_may_be_given_later():
    x = Value(2.0, label="x")
    x.latex = r"\hat{x}"
    assert to_latex(x * 3.0) == r"\hat{x} \cdot 3"
    assert copy.deepcopy(x).latex == x.latex == r"\hat{x}"
