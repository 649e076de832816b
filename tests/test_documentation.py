"""What help shows of the rows: names, docstrings with examples that run, signatures."""

import doctest
import inspect
import pickle
import pydoc
import re

import pytest

import tinygrad_scalar as tg
from tinygrad_scalar import Value, log, primitive, sin
from tinygrad_scalar.core.primitives import TABLE

each_row = pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
each_method = pytest.mark.parametrize(
    "name", [n for n in TABLE if hasattr(Value, n) and TABLE[n].arity is not None]
)


@each_row
def test_every_row_has_names_and_says_formula_domain_derivative_and_kinks(row):
    assert row.__name__ == row.__qualname__ == row.name
    lines = row.__doc__.splitlines()
    head, meaning = lines[0].split(": ", 1)
    assert head.startswith(f"{row.name}(")
    assert meaning not in {"", "."}
    assert "only its function knows" not in row.__doc__
    assert "rule of its own" not in row.__doc__
    assert "the row says so" not in row.__doc__
    assert lines[2].startswith("Domain: ")
    slopes = [line for line in lines if line.startswith(("Derivative: ", "∂/∂"))]
    assert len(slopes) == (row.arity or 1)
    assert sum(line.startswith("Kinks: ") for line in lines) == 1


@pytest.mark.parametrize("row", [row for row in TABLE.values() if row.public], ids=repr)
def test_the_derivative_of_a_function_is_told_in_functions_that_people_can_call(row):
    slopes = [x for x in row.__doc__.splitlines() if x.startswith(("Derivative: ", "∂/∂"))]
    named = set(re.findall(r"(\w+)\(", " ".join(slopes)))
    assert named <= set(dir(tg))


@pytest.mark.parametrize(
    ("row", "told"),
    [("reciprocal", "x ≠ 0"), ("mod", "b ≠ 0"), ("remainder", "b ≠ 0"), ("fmod", "b ≠ 0"),
     ("gamma", "poles at 0, −1"), ("lgamma", "poles at 0, −1"), ("digamma", "poles at 0, −1"),
     ("pow", "below 0 only whole powers"), ("silu", "SiLU")],
)  # fmt: skip
def test_what_an_interval_does_not_say_of_a_domain_stands_beside_it(row, told):
    assert told in TABLE[row].__doc__.splitlines()[0]


def run_example(text, row):
    test = doctest.DocTestParser().get_doctest(text, {row.name: row}, row.name, None, None)
    assert test.examples
    failures = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert failures == []


@each_row
def test_the_example_of_every_row_runs(row):
    run_example(row.__doc__, row)


@each_row
def test_signatures_name_the_operands(row):
    parameters = inspect.signature(row).parameters
    if row.arity is None:
        assert [str(p) for p in parameters.values()] == ["*x"]
        return
    assert len(parameters) == row.arity
    defaults = [p.default for p in parameters.values() if p.default is not p.empty]
    assert tuple(defaults) == row.defaults


@each_method
def test_methods_of_values_have_the_same(name):
    method, bound = getattr(Value, name), getattr(Value(0.5), name)
    assert method.__name__ == bound.__name__ == name
    assert method.__qualname__.split(".")[-1] == name
    assert inspect.getdoc(bound) == inspect.getdoc(method)
    assert len(inspect.getdoc(method)) > 20
    inspect.signature(method), inspect.signature(bound)


@pytest.mark.parametrize("name", sorted({*tg.functions.__all__} | {"fabs", "dist", "gcd", "ulp"}))
def test_every_public_function_has_a_docstring_and_a_signature(name):
    function = getattr(tg, name)
    assert function.__name__
    assert function.__qualname__
    assert len(inspect.getdoc(function)) > 20
    assert inspect.signature(function).parameters


def test_functions_of_lists_take_them_by_the_names_that_are_promised():
    xs, ys = [1.0, 2.0], [3.0, 4.0]
    assert tg.dot(xs=xs, ys=ys) == 11.0
    assert tg.softmax(xs=xs) == tg.softmax(xs)
    assert tg.log_softmax(xs=xs) == tg.log_softmax(xs)


def test_help_shows_them():
    shown = pydoc.plain(pydoc.render_doc(sin))
    for part in ("sin(x, /)", "the sine of x", "Domain: x in (−∞, ∞)", "Derivative: cos(x)"):
        assert part in shown
    assert "Derivative: cos(x)" in pydoc.render_doc(Value.sin)
    assert "Derivative: 1 + y * y" in pydoc.render_doc(Value.tan)


def test_the_class_of_rows_keeps_its_own():
    assert tg.Primitive.__doc__.startswith("One operation")
    assert list(inspect.signature(tg.Primitive).parameters)[:2] == ["name", "forward"]


def test_a_row_of_ones_own_is_documented_from_what_it_says():
    row = primitive("ramp", formula=lambda t: log(1 + t) * t, kinks=(0.0,))
    assert row.__doc__.splitlines()[:1] == ["ramp(t): log(1 + t) * t."]
    assert "Kinks: t = 0; that of one side there." in row.__doc__
    assert str(inspect.signature(row)) == "(t, /)"

    def forward(x):
        """The number itself."""
        return float(x)

    opaque = primitive("opaque", forward, lambda y, x: 1 if x > 0 else unknown)  # noqa: F821
    assert opaque.__doc__.startswith("opaque(x): the number itself.")


def test_the_help_of_a_long_formula_is_no_longer_work_than_its_steps():
    """Written out, the derivative of 20,000 steps would be 400,000,000 long, and copied often."""

    def power(x):
        y = x
        for _ in range(20_000):
            y = y * x
        return y

    row = primitive("power", formula=power)
    assert row.__doc__.startswith("power(x): an operation whose value only its function knows.")
    assert "Derivative: by a rule of its own." in row.__doc__


def test_help_looks_at_nothing_else():
    """A rule may raise, or count what it is asked: help counts no operation and never fails."""
    row = primitive("strange", lambda x: 1 / 0, lambda y, x: 1 / 0)
    assert "by a rule of its own" in row.__doc__
    with tg.counting() as counts:
        help_text = sin.__doc__
    assert help_text
    assert counts.evaluations == 0


def test_bound_methods_are_pickled_with_their_value():
    assert pickle.loads(pickle.dumps(Value(0.5).tan))().data == tg.tan(0.5)
