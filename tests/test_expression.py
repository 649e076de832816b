"""Expressions: what is read, what is refused and where, and that its limits are those stated."""

import ast
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_scalar import Value, functions
from tinygrad_scalar.expression import LENGTH, NESTING, Expression, ExpressionError

NAMES = {"x": 0.75, "y": -2.5, "z": 3.0}


def read(text, **values):
    return Expression(text)(NAMES | values)


# ── what is read ──────────────────────────────────────────────────────────────────────────────
# Expressions by the grammar, fully bracketed or not, as Python would read them too.
TEXTS = st.recursive(
    st.sampled_from(["x", "y", "z", "2", "0.5", "1e-3", "3."]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", " - ", " * "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        inner.map("+{}".format),
        inner.map("({})**2".format),
        inner.map("sin({})".format),
        st.tuples(inner, inner).map(lambda pair: "maximum({}, {})".format(*pair)),
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(TEXTS)
def test_an_expression_means_what_it_means_in_python_on_values_too(text):
    expected = eval(text, {"sin": math.sin, "maximum": max} | NAMES)  # noqa: S307 (own grammar)
    assert read(text) == pytest.approx(expected, rel=1e-14, abs=1e-300, nan_ok=True)
    leaves = {name: Value(number, label=name) for name, number in NAMES.items()}
    output = Expression(text)(leaves)
    data = output.data if isinstance(output, Value) else output
    assert data == read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-2**2", -4.0),
        ("2**-1", 0.5),
        ("2**3**2", 512.0),
        ("7 // 2 + 7 % 4", 6.0),
        ("1_000 + 0x10", 1016.0),
        ("  x  ", 0.75),
        ("x\n+\ty\u00a0", -1.75),
        ("where(x < y < z, 1, 2)", 2.0),
        ("where(y < x < z, 1, 2)", 1.0),
        ("where(x != y, x, y)", 0.75),
        ("sum([x, y, z]) + dot((x, y), (z, 1))", 1.0),
        ("log(z**2, z)", 2.0),
        ("cross_entropy([0, x - x], 1)", math.log(2.0)),
        ("cos(pi) + log(e)", 0.0),
        ("1e999", math.inf),
    ],
)
def test_readings(text, expected):
    assert read(text) == pytest.approx(expected, rel=1e-15)


def test_every_function_of_the_library_can_be_called():
    for name in functions.__all__:
        assert Expression(f"{name}(x)").names == ("x",)


def test_given_names_come_before_the_constants():
    assert read("e * pi", e=2.0, pi=3.0) == 6.0


def test_names_stand_in_the_order_of_the_text_and_once():
    assert Expression("b*a + sin(c)/b + pi").names == ("b", "a", "c", "pi")


def test_a_name_is_what_python_makes_of_it():
    assert Expression("ﬁ + \u00b5").names == ("fi", "\u03bc")


def test_numbers_are_floats_from_the_start():
    assert type(read("3")) is float
    with pytest.raises(OverflowError, match=r"pow\(9\.0, 387420489\.0\)"):
        read("9**9**9")


# ── what is refused, and where ────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^the expression is empty$"),
        (" \n ", "^the expression is empty$"),
        ("x.real", "^column 1: attribute access is not allowed here$"),
        ("z + x.real", "^column 5: attribute access"),
        ("π + x.real", "^column 5: attribute access"),
        ("().__class__", "^column 1: attribute access"),
        ("x[0]", "^column 1: indexing"),
        ("foo(x)", "^column 1: unknown function foo; did you mean floor"),
        ("max(x, 1)", r"^column 1: unknown function max; did you mean \w+ or maximum\?$"),
        ("__import__('os')", "^column 1: unknown function __import__$"),
        ("eval(x)", "^column 1: unknown function eval"),
        ("sin()", "^column 1: sin needs an operand$"),
        ("sin(*[x])", "^column 5: a starred operand"),
        ("sin(x=2)", r"^column 1: a call other than name\(operand, …\)"),
        ("sin(**x)", r"^column 1: a call other than name\(operand, …\)"),
        ("(lambda: 1)()", r"^column 1: a call other than name\(operand, …\)"),
        ("lambda: 1", "^column 1: lambda"),
        ("x + 2x", r"^column 5: invalid decimal literal \(a product is written 2\*x\)$"),
        ("x ^ 2", r"^column 1: the operator \^ \(a power is written \*\*\)"),
        ("x @ y", "^column 1: the operator MatMult"),
        ("~x", "^column 1: the operator Invert"),
        ("not x", "^column 1: not is not allowed"),
        ("x and y", "^column 1: and, or"),
        ("x is y", "^column 1: the operator Is"),
        ("1 if x else 2", r"^column 1: if \(a choice is written where\(condition, a, b\)\)"),
        ("(x := 1)", "^column 2: assignment"),
        ("[a for a in x]", "^column 1: ListComp"),
        ("{x}", "^column 1: Set"),
        ("f'{x}'", "^column 1: text"),
        ("'x'", "^column 1: a constant other than a number"),
        ("True", "^column 1: a constant other than a number"),
        ("1j", "^column 1: a constant other than a number"),
        ("...", "^column 1: a constant other than a number"),
        ("9" * 400, "^column 1: the number is too large for a float$"),
        ("9" * 5000, "limit"),
        ("x y", "^column 3: invalid syntax"),
        ("x +", "invalid syntax"),
        ("x; y", "^column 2: invalid syntax"),
        ("x − y", "^column 3: invalid character"),
        ("(x", "^column 1: .*never closed"),
        ("x\0", "null"),
        ("import os", "invalid syntax"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ExpressionError, match=message):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x < y", "true or false"),
        ("[x, y]", "a list"),
        ("x, y", "a list"),
        ("softmax([x])", "a li"),
    ],
)
def test_the_value_is_one_number(text, what):
    with pytest.raises(ExpressionError, match=f"^the expression gives {what}"):
        read(text)


def test_nothing_of_the_syntax_is_let_through_by_mistake():
    """Each kind of expression in Python's grammar is either read, or refused by name."""
    read_kinds = {ast.Name, ast.Constant, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Call}
    read_kinds |= {ast.List, ast.Tuple}
    samples = {
        ast.BoolOp: "x or y",
        ast.NamedExpr: "(x := y)",
        ast.Lambda: "lambda: x",
        ast.IfExp: "x if y else z",
        ast.Dict: "{x: y}",
        ast.Set: "{x}",
        ast.ListComp: "[x for x in y]",
        ast.SetComp: "{x for x in y}",
        ast.DictComp: "{x: x for x in y}",
        ast.GeneratorExp: "(x for x in y)",
        ast.Await: "await x",
        ast.Yield: "(yield x)",
        ast.YieldFrom: "(yield from x)",
        ast.JoinedStr: "f''",
        ast.FormattedValue: "f'{x}'",
        ast.Attribute: "x.y",
        ast.Subscript: "x[y]",
        ast.Starred: "sum(*x)",
        ast.Slice: "x[y:z]",
    }
    for text in samples.values():
        with pytest.raises(ExpressionError):
            Expression(text)
    grammar = set(ast.expr.__subclasses__())
    newer = {kind for kind in grammar if kind.__name__ in {"TemplateStr", "Interpolation"}}
    old = {kind for kind in grammar if kind.__name__ in {"Num", "Str", "Bytes", "Ellipsis"}}
    assert grammar - read_kinds - set(samples) - newer - old == set()


# ── limits ────────────────────────────────────────────────────────────────────────────────────
LEVELS = [("(", ")"), ("-", ""), ("+", ""), ("sin(", ")"), ("", "**1"), ("sum([", "])")]


@pytest.mark.parametrize(("before", "after"), LEVELS)
def test_nesting_up_to_the_limit_is_read_and_no_further(before, after):
    per_level = 2 if before == "sum([" else 1  # a call and a bracket
    limit = NESTING // per_level
    assert isinstance(read(before * limit + "x" + after * limit), float)
    with pytest.raises(ExpressionError, match=f"more than {NESTING} levels"):
        Expression(before * (limit + 1) + "x" + after * (limit + 1))


def test_levels_of_all_kinds_add_up():
    quarter = NESTING // 4
    text = "(-sin(" * quarter + "x" + "))**1" * quarter  # bracket, sign, call, power
    assert isinstance(read(text), float)
    with pytest.raises(ExpressionError, match=f"more than {NESTING} levels"):
        Expression(f"-{text}")


def test_what_stands_side_by_side_does_not_nest():
    assert read("+".join(["sin(-(x**2))"] * 500)) == pytest.approx(500 * math.sin(-(0.75**2)))


@pytest.mark.parametrize("text", ["-" * 9999 + "x", "x" + "**x" * 3333, "(" * 9999, "~" * 9999])
def test_nesting_far_beyond_the_limit_is_refused_all_the_same(text):
    with pytest.raises(ExpressionError, match=f"more than {NESTING} levels|not allowed"):
        Expression(text)


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="3.12.1 reads 3,000 terms at most")
@pytest.mark.parametrize("sign", ["+", "-", "*", "/"])
def test_a_flat_expression_may_be_as_long_as_the_text_may(sign):
    text = sign.join(["x"] * (LENGTH // 2))
    x = Value(1.0)
    before = sys.getrecursionlimit()
    output = Expression(text)({"x": x})
    assert sys.getrecursionlimit() == before
    expected = {"+": LENGTH // 2, "-": 2 - LENGTH // 2, "*": 1.0, "/": 1.0}[sign]
    assert output.data == expected


def test_length():
    assert read("x" + " " * LENGTH) == 0.75  # what is stripped does not count
    long = "x+" * (LENGTH // 2) + "1"
    with pytest.raises(ExpressionError, match=r"^10001 characters; at most 10000 are read$"):
        Expression(long)


@given(st.text(alphabet="xy01.+-*/()[],<=> eπ'\n\\{}#", max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text):
    message = ""
    try:
        names = Expression(text).names
    except ExpressionError as error:
        message = str(error)
        names = ()
    assert "\n" not in message
    assert all(name.isidentifier() for name in names)
