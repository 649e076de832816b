"""`Value.backward` and its `GradTable`, sentence by sentence of the interface."""

import gc
import math
import os
import re
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruction_lists import programs

import tinygrad_scalar as ts
from tinygrad_scalar import GradTable, Value, no_grad, primitive, topological_order

POLICIES = ["subgradient", "nan", "warn", "raise"]
# The sweep on floats runs under the default policy alone; every other one goes by the book.
each_sweep = pytest.mark.parametrize("undefined", ["subgradient", "warn"], ids=["fast", "book"])


def apples_and_oranges():
    leaves = [
        Value(x, label=label)
        for x, label in (
            (100.0, "apple"),
            (2.0, "apples"),
            (150.0, "orange"),
            (3.0, "oranges"),
            (1.1, "tax"),
        )
    ]
    apple, apples, orange, oranges, tax = leaves
    return (apple * apples + orange * oranges) * tax, leaves


@each_sweep
def test_apples_and_oranges(undefined):
    price, leaves = apples_and_oranges()
    table = price.backward(undefined=undefined)
    assert math.isclose(price.data, 715.0)
    expected = [2.2, 110.0, 3.3, 165.0, 650.0]
    assert all(map(math.isclose, [table[v] for v in leaves], expected))
    assert [v.grad for v in leaves] == [table[v] for v in leaves]


# ── the table ─────────────────────────────────────────────────────────────────────────────────
@each_sweep
@given(programs())
def test_entries_stand_in_the_order_in_which_they_became_final(undefined, program):
    z = program.run()
    table = z.backward(undefined=undefined)
    assert isinstance(table, GradTable)
    assert isinstance(table, Mapping)
    order = list(table)
    assert order[0] is z
    place = {id(node): i for i, node in enumerate(order)}
    assert len(place) == len(order) == len(table)
    assert {id(node) for node in topological_order(z)} == set(place)
    for node in order:
        assert all(place[id(parent)] > place[id(node)] for parent in node.parents)
    assert [table[node] for node in order] == list(table.values())
    assert [*table.items()] == [*zip(order, table.values(), strict=True)]


@each_sweep
@given(programs())
def test_one_multiplication_and_one_addition_per_edge(undefined, program):
    z = program.run()
    table = z.backward(undefined=undefined)
    edges = sum(len(node.parents) for node in topological_order(z))
    assert table.edges == table.multiplications == table.additions == edges


def test_edges_count_whether_or_not_a_factor_was_skipped():
    x = Value(2.0)
    assert (x + x).backward().edges == 2
    assert (x * 1.0).backward().edges == 1
    assert ts.where(True, x, x).backward().edges == 2
    assert ts.sum([x, x, x, 1.0]).backward().edges == 3
    assert x.backward().edges == 0
    assert (x * x).backward(create_graph=True).edges == 2


def test_edges_lie_between_the_output_and_what_was_asked():
    x, y = Value(2.0), Value(3.0)
    u = x * y
    z = ts.sin(u) + y * y
    assert z.backward().edges == 7
    assert z.backward(inputs=[x]).edges == 3
    assert z.backward(inputs=[y]).edges == 6
    assert z.backward(inputs=[u]).edges == 2
    assert z.backward(inputs=[z]).edges == 0
    assert z.backward(inputs=[Value(1.0)]).edges == 0
    assert z.backward(inputs=[]).edges == 0


def test_the_table_is_read_only():
    x = Value(2.0)
    table = (x * x).backward()
    with pytest.raises(TypeError):  # noqa: PT011 (Python's own words)
        table[x] = 1.0
    with pytest.raises(TypeError):  # noqa: PT011
        del table[x]
    for name in ("edges", "multiplications", "additions"):
        with pytest.raises(AttributeError):
            setattr(table, name, 1)
    assert table[x] == 4.0


def test_the_table_keeps_what_it_says():
    """Nothing that happens later to the nodes changes a table that was returned."""
    x = Value(2.0)
    z = x * x
    table = z.backward()
    z.backward()
    z.backward(5.0)
    x.data, x.grad, z.grad = 7.0, 9.0, 9.0
    z.zero_grad()
    assert (table[x], table[z]) == (4.0, 1.0)


def test_an_unreached_node_is_a_key_error_that_says_so():
    x, other = Value(2.0), Value(3.0, label="other")
    table = (x * x).backward()
    with pytest.raises(KeyError) as caught:
        table[other]
    message = caught.value.args[0]
    assert "label='other'" in message
    assert "was not reached by backward" in message
    assert "inputs=" in message
    assert other not in table
    assert table.get(other) is None
    assert x in table
    for key in ("x", 2.0, None):
        with pytest.raises(KeyError, match="is no node: the table is asked by Values"):
            table[key]
        assert key not in table


def test_an_equal_number_is_another_node():
    x, twin = Value(2.0), Value(2.0)
    table = (x * x).backward()
    assert x == twin
    assert twin not in table


@each_sweep
def test_an_unreached_node_named_in_inputs_has_the_gradient_0(undefined):
    x, other = Value(2.0), Value(3.0)
    table = (x * x).backward(inputs=[x, other], undefined=undefined)
    assert (table[x], table[other]) == (4.0, 0.0)
    assert other in table
    table = (x * x).backward(inputs=[other], undefined=undefined)
    assert table[other] == 0.0
    assert other.grad == 0.0
    assert x.grad == 4.0


def test_an_unreached_input_of_a_graph_is_a_value_too():
    x, other = Value(2.0), Value(3.0)
    table = (x * x).backward(inputs=[x, other], create_graph=True)
    assert isinstance(table[other], Value)
    assert table[other].data == 0.0


@each_sweep
def test_a_node_below_counts_as_reached_even_behind_structural_zeros(undefined):
    x, y = Value(2.0), Value(3.0)
    for z in (x * 0.0 + y, ts.where(False, x, y), ts.sign(x) + y, ts.floor(x * x + 0.5) * y):
        table = z.backward(undefined=undefined)
        assert table[x] == 0.0
        assert type(table[x]) is float
        assert z.backward(create_graph=True)[x].data == 0.0


# ── how it prints ─────────────────────────────────────────────────────────────────────────────
def test_the_table_prints_as_a_table():
    price, _ = apples_and_oranges()
    price.label = "price"
    assert str(price.backward()) == (
        "node     operation  value  local derivatives  gradient\n"
        "price    mul        715.0  1.1, 650.0              1.0\n"
        "#2       add        650.0  1.0, 1.0                1.1\n"
        "tax                   1.1                        650.0\n"
        "#4       mul        200.0  2.0, 100.0              1.1\n"
        "#5       mul        450.0  3.0, 150.0              1.1\n"
        "apple               100.0                          2.2\n"
        "apples                2.0                        110.0\n"
        "orange              150.0                          3.3\n"
        "oranges               3.0                        165.0\n"
        "8 edges: 8 multiplications, 8 additions"
    )


def test_long_tables_are_cut_in_the_middle():
    z = Value(1.0, label="start")
    for _ in range(1000):
        z = z * 1.001
    lines = str(z.backward()).splitlines()
    assert len(lines) < 30
    assert sum("more" in line for line in lines) == 1
    assert "981" in next(line for line in lines if "more" in line)
    assert lines[-2].startswith("start")
    assert lines[-1] == "1000 edges: 1000 multiplications, 1000 additions"


def test_at_a_prompt_the_table_is_shown():
    x = z = Value(2.0)
    table = (x * x).backward()
    assert repr(table) == str(table)
    for nodes in range(2, 40):
        z = z * 1.5
        assert len(repr(z.backward()).splitlines()) == (nodes + 2 if nodes < 18 else 19)


def test_html_is_a_table_with_everything_escaped():
    x = Value(2.0, label='<b>&"x"</b>')
    html = (x * x).backward()._repr_html_()
    assert html.count("<tr>") == 3
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html
    assert "<th>gradient</th>" in html
    assert "2 edges" in html


def test_printing_a_table_at_poles_and_kinks_and_of_other_numbers():
    zero, third = Value(0.0), Value(Fraction(1, 3))
    assert "inf" in str(ts.sqrt(zero).backward())
    assert "1/3" in str((third * third).backward())
    assert "0.5" in str((Value(np.float32(0.5)) * 2).backward())
    assert "2.0" in str((zero + 2.0).backward(create_graph=True))
    many = ts.sum([Value(float(i)) for i in range(10)])
    assert "1.0, 1.0, 1.0, 1.0, …" in str(many.backward())


# ── inputs ────────────────────────────────────────────────────────────────────────────────────
@each_sweep
def test_with_inputs_only_theirs_changes_added_to(undefined):
    x, y = Value(2.0), Value(3.0)
    u = x * y
    z = ts.sin(u) + y
    for node in (x, y, u, z):
        node.grad = 10.0
    table = z.backward(inputs=[x], undefined=undefined)
    assert x.grad == 10.0 + table[x]
    assert (y.grad, u.grad, z.grad) == (10.0, 10.0, 10.0)
    z.backward(inputs=[u], undefined=undefined)
    z.backward(inputs=[u], undefined=undefined)
    assert u.grad == 10.0 + math.cos(6.0) + math.cos(6.0)
    assert (y.grad, z.grad) == (10.0, 10.0)
    z.backward(inputs=[z], undefined=undefined)
    assert z.grad == 11.0


@each_sweep
def test_an_inner_node_in_inputs_does_not_cut_the_graph(undefined):
    x = Value(0.5)
    u = ts.sin(x)
    z = u * x
    table = z.backward(inputs=[x, u], undefined=undefined)
    assert table[u] == 0.5
    assert math.isclose(table[x], math.sin(0.5) + 0.5 * math.cos(0.5))
    assert math.isclose(x.grad, table[x])
    assert u.grad == 0.5


@each_sweep
def test_no_work_is_done_for_what_was_not_asked(undefined):
    asked = []

    def partial(y, x):
        asked.append(x)
        return 1.0

    probe = primitive("probe", lambda x: x, partial)
    x, y = Value(1.0), Value(2.0)
    z = probe(x) * probe(y)
    table = z.backward(inputs=[y], undefined=undefined)
    assert set(asked) == {2.0}
    assert x not in table
    assert len(table) == 3


def test_inputs_may_be_one_value_any_iterable_and_repeat():
    x, y = Value(2.0), Value(3.0)
    z = x * y
    assert z.backward(inputs=x)[x] == 3.0
    assert z.backward(inputs=(v for v in (x, y)))[y] == 2.0
    assert z.backward(inputs={x: 1})[x] == 3.0
    x.grad = 0.0
    z.backward(inputs=[x, x, x])
    assert x.grad == 3.0
    assert len(z.backward(inputs=[])) == 0


@pytest.mark.parametrize("inputs", [3, "ab", [1.0], [None], 2.5])
def test_other_inputs_are_a_type_error(inputs):
    x = Value(2.0)
    with pytest.raises(TypeError, match="backward: inputs are the Values whose gradient is asked"):
        (x * x).backward(inputs=inputs)
    assert x.grad == 0.0


@each_sweep
@given(programs(), st.data())
def test_with_inputs_the_gradients_are_the_same(undefined, program, data):
    z = program.run()
    full = z.backward(undefined=undefined)
    nodes = topological_order(z)
    asked = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    table = z.backward(inputs=asked, undefined=undefined)
    assert all(table[node] == full[node] for node in asked)


# ── seeds ─────────────────────────────────────────────────────────────────────────────────────
@each_sweep
@pytest.mark.parametrize("seed", [2.0, 2, np.float64(2.0), Fraction(2), np.int64(2)])
def test_a_seed_is_the_gradient_of_the_output(undefined, seed):
    x = Value(3.0)
    z = x * x
    table = z.backward(seed, undefined=undefined)
    assert (table[z], table[x]) == (2.0, 12.0)
    assert type(table[z]) is type(table[x]) is float
    assert z.backward(seed=0.0, undefined=undefined)[x] == 0.0
    assert math.isnan(z.backward(seed=math.nan, undefined=undefined)[x])
    assert z.backward(seed=-math.inf, undefined=undefined)[x] == -math.inf


@pytest.mark.parametrize("seed", ["a", None, 1j, [1.0]])
def test_another_seed_is_a_type_error(seed):
    x = Value(2.0)
    with pytest.raises(TypeError, match=r"backward: seed is .*not " + type(seed).__name__):
        (x * x).backward(seed)
    assert x.grad == 0.0


def test_a_value_as_seed_needs_create_graph():
    x, seed = Value(3.0), Value(2.0)
    with pytest.raises(TypeError, match="create_graph=True"):
        (x * x).backward(seed)
    table = (x * x).backward(seed, create_graph=True)
    assert table[x].data == 12.0
    assert table[x].backward(inputs=[seed])[seed] == 6.0


def test_another_policy_is_a_value_error():
    x = Value(2.0)
    with pytest.raises(ValueError, match="'subgradient', 'nan', 'warn', 'raise', not 'ignore'"):
        (x * x).backward(undefined="ignore")
    with pytest.raises(TypeError, match="positional"):
        (x * x).backward(1.0, [x])


# ── what is written where ─────────────────────────────────────────────────────────────────────
@each_sweep
def test_leaves_accumulate_and_inner_nodes_do_not(undefined):
    x = Value(3.0)
    y = x * x
    z = y * 2.0
    for call in range(1, 4):
        table = z.backward(undefined=undefined)
        assert x.grad == 12.0 * call
        assert (y.grad, z.grad) == (2.0, 1.0)
        assert (table[x], table[y]) == (12.0, 2.0)


@each_sweep
def test_minibatches_accumulate_in_shared_leaves(undefined):
    w = Value(2.0)
    for x in (1.0, 2.0, 3.0):
        (w * x).backward(undefined=undefined)
    assert w.grad == 6.0
    w.grad = 0
    (w * 5.0).backward(undefined=undefined)
    assert w.grad == 5.0


@each_sweep
def test_inner_nodes_keep_what_the_last_backward_gave_them(undefined):
    x = Value(3.0)
    u = x * x
    a, b = u * 2.0, u * 5.0
    a.backward(undefined=undefined)
    assert u.grad == 2.0
    b.backward(undefined=undefined)
    assert u.grad == 5.0
    assert a.grad == 1.0
    assert x.grad == 42.0


@each_sweep
def test_the_output_itself(undefined):
    leaf = Value(3.0)
    leaf.grad = 5.0
    table = leaf.backward(undefined=undefined)
    assert table[leaf] == 1.0
    assert leaf.grad == 6.0
    z = leaf * 2.0
    z.grad = 5.0
    z.backward(undefined=undefined)
    assert z.grad == 1.0


@each_sweep
def test_grad_is_always_a_number(undefined):
    x, other = Value(2.0), Value(3.0)
    z = ts.sign(x) + 0.0 * other
    assert [n.grad for n in topological_order(z)] == [0.0] * len(topological_order(z))
    z.backward(undefined=undefined)
    assert all(type(n.grad) is float for n in topological_order(z))


def test_zero_grad_between_steps_of_a_descent():
    w = Value(5.0)
    for _ in range(100):
        loss = (w - 3.0) ** 2
        loss.zero_grad()
        loss.backward()
        w.data -= 0.1 * w.grad
    assert math.isclose(w.data, 3.0, rel_tol=1e-8)


@pytest.mark.parametrize("policy", POLICIES)
def test_leaves_overwritten_between_forward_and_backward_change_nothing(policy):
    x, y = Value(2.0), Value(3.0)
    z = (
        x * y
        + x / y
        + x**y
        + ts.exp(x)
        + ts.relu(x)
        + ts.hypot(x, y)
        + ts.prod([x, y, x])
        + ts.dot([x, y], [y, 2.0])
        + ts.logsumexp([x, y])
        + ts.where(x > y, x, y)
    )
    expected = [z.backward(undefined=policy)[v] for v in (x, y)]
    x.data, y.data = -1e3, 0.0
    assert [z.backward(undefined=policy)[v] for v in (x, y)] == expected
    assert all(v.data in (-1e3, 0.0) for v in (x, y))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: x**y,
        lambda x, y: ts.sin(x) + y,
        ts.hypot,
        lambda x, y: ts.prod([x, y]),
        lambda x, y: ts.logsumexp([x, y]),
    ],
)
def test_under_create_graph_an_overwritten_leaf_is_right_or_an_error_naming_it(compute):
    x, y = Value(2.0, label="width"), Value(3.0)
    z = compute(x, y)
    expected = z.backward(inputs=[x, y])
    x.data = 50.0
    message, table = outcome(z, [x, y])
    if table is None:
        assert re.search(r"width.* was 2\.0 when .* compute it again", message)
    else:
        assert (table[x].data, table[y].data) == (expected[x], expected[y])


def outcome(z, inputs):
    """The message of the error, or the table."""
    try:
        return "", z.backward(inputs=inputs, create_graph=True)
    except RuntimeError as error:
        return str(error), None


def test_an_overwritten_inner_node_is_right_or_an_error_too():
    x = Value(2.0)
    y = ts.exp(x)
    z = y * y
    expected = z.backward()[x]
    y.data = 50.0
    assert z.backward()[x] == expected
    message, table = outcome(z, [x])
    assert "compute it again" in message or table[x].data == expected


@each_sweep
@pytest.mark.parametrize("grad", [None, "0", [0.0], 0j])
def test_a_grad_that_is_no_number_is_an_error_and_no_leaf_is_written(undefined, grad):
    leaves = [Value(2.0), Value(3.0, label="w"), Value(4.0)]
    z = ts.prod(leaves)
    leaves[1].grad = grad
    message = (
        rf"backward: the grad of Value\(3.0, grad={re.escape(repr(grad))}, label='w'\) is "
        rf"{type(grad).__name__}, not a number to add to: set it to 0.0, as zero_grad\(\) does"
    )
    for inputs in (None, leaves):
        with pytest.raises(TypeError, match=message):
            z.backward(undefined=undefined, inputs=inputs)
        assert [leaf.grad for leaf in leaves] == [0.0, grad, 0.0]
    z.zero_grad()
    z.backward(undefined=undefined)
    assert [leaf.grad for leaf in leaves] == [12.0, 8.0, 6.0]


@each_sweep
@pytest.mark.parametrize("grad", [1, True, Fraction(1, 2), np.float64(0.5), np.float32(0.5)])
def test_any_number_in_grad_is_added_to(undefined, grad):
    x = Value(2.0)
    x.grad = grad
    (x * x).backward(undefined=undefined)
    assert x.grad == 4.0 + grad


@pytest.mark.parametrize(
    ("compute", "operands"),
    [
        (lambda x, y: x + y, 2),
        (lambda x, y: x - y, 2),
        (lambda x, y: 5.0 + x, 1),
        (lambda x, y: x - 5.0, 1),
        (lambda x, y: -x, 1),
        (lambda x, y: x.relu(), 1),
    ],
)
def test_whatever_stands_in_a_leaf_later_constant_slopes_are_as_they_were(compute, operands):
    x, y = Value(2.0), Value(3.0)
    z = compute(x, y)
    data, slopes = z.data, [derivative() for derivative in z.local_derivatives]
    for number in (-50.0, Fraction(1, 3), math.nan):
        x.data = number
        assert z.data == data
        assert z.parents == (x, y)[:operands]
        assert len(z.operands) == z.primitive.arity
        assert [derivative() for derivative in z.local_derivatives] == slopes
        assert z.backward()[x] == z.backward(inputs=[x, y])[x] == slopes[0]
        assert z.backward(undefined="warn")[x] == slopes[0]
        if z.primitive.name != "relu":  # whose slope is no constant: that is an error
            assert z.backward(create_graph=True)[x].data == slopes[0]


# ── under create_graph ────────────────────────────────────────────────────────────────────────
def test_the_table_holds_values_and_grad_the_numbers():
    x = Value(3.0)
    y = x * x
    table = (y * x).backward(create_graph=True)
    assert all(isinstance(gradient, Value) for gradient in table.values())
    assert (table[x].data, x.grad, y.grad) == (27.0, 27.0, 3.0)
    assert type(x.grad) is float


def test_nesting_gives_higher_orders():
    x = Value(2.0)
    y = x**5
    derivatives = []
    for _ in range(6):
        y = y.backward(inputs=[x], create_graph=True)[x]
        derivatives.append(y.data)
    assert derivatives == [80.0, 160.0, 240.0, 240.0, 120.0, 0.0]


def test_a_hessian_is_symmetric():
    x, y = Value(0.3), Value(0.7)
    first = (ts.sin(x * y) * ts.exp(x) + y / x).backward(inputs=[x, y], create_graph=True)
    xy = first[x].backward(inputs=[y])[y]
    yx = first[y].backward(inputs=[x])[x]
    assert math.isclose(xy, yx, rel_tol=1e-13)


@given(programs())
def test_first_derivatives_of_the_graph_are_those_of_the_sweep(program):
    z = program.run()
    leaves = [node for node in topological_order(z) if not node.parents]
    expected, table = z.backward(), z.backward(create_graph=True)
    largest = max(abs(expected[v]) for v in leaves)
    for v in leaves:
        assert math.isclose(table[v].data, expected[v], rel_tol=1e-12, abs_tol=1e-13 * largest)


def graph_size(*nodes):
    return len(topological_order(*nodes))


@pytest.mark.parametrize(
    ("compute", "most"),
    [
        (lambda x: x + 1.0, 1),
        (lambda x: x + x, 2),
        (lambda x: x * 1.0, 1),
        (ts.floor, 1),
        (ts.exp, 2),
        (ts.sin, 3),
    ],
)
def test_factors_0_and_1_add_no_node(compute, most):
    x = Value(0.5)
    z = compute(x)
    gradient = z.backward(create_graph=True)[x]
    assert graph_size(gradient) <= most


def test_the_derivative_graph_grows_by_a_constant_per_edge():
    sizes = []
    for n in (10, 20, 40):
        x = Value(0.5)
        z = x
        for _ in range(n):
            z = ts.sin(z) * x
        before = graph_size(z)
        gradient = z.backward(inputs=[x], create_graph=True)[x]
        sizes.append(graph_size(gradient, z) - before)
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
    edges_per_round = 3
    assert sizes[1] - sizes[0] <= 10 * edges_per_round * 3


# ── what is no node ───────────────────────────────────────────────────────────────────────────
def test_an_order_is_asked_by_values():
    x = Value(2.0, label="x")
    z = x * x
    with pytest.raises(TypeError, match=r"topological_order: give Values, as in \(x, y\), not int"):
        topological_order(3)
    with pytest.raises(TypeError, match=r"topological_order: .* not list"):
        topological_order([x, z])
    assert topological_order(x, z) == [x, z]


# ── nothing below, nothing recorded ───────────────────────────────────────────────────────────
def test_detach_sends_no_gradient():
    x = Value(3.0)
    z = x * x.detach()
    assert z.backward()[x] == 3.0


def test_inside_no_grad_there_is_nothing_to_go_back_to():
    x = Value(3.0)
    with no_grad():
        z = x * x
    table = z.backward()
    assert x not in table
    assert x.grad == 0.0
    with no_grad():
        table = (y := x * 2.0).backward()
    assert list(table) == [y]


def test_backward_works_inside_no_grad():
    x = Value(3.0)
    z = x * x
    with no_grad():
        assert z.backward()[x] == 6.0


# ── errors on the way back ────────────────────────────────────────────────────────────────────
@each_sweep
@pytest.mark.parametrize("inputs", [False, True])
def test_an_exception_in_a_partial_writes_nothing(undefined, inputs):
    def fail(y, x):
        raise RuntimeError("no derivative today")

    bad = primitive("bad", lambda x: x, fail)
    x = Value(1.0)
    y = x * 2.0
    z = bad(y) * x
    for i, node in enumerate((x, y, z)):
        node.grad = float(i + 5)
    with pytest.raises(RuntimeError, match="no derivative today"):
        z.backward(undefined=undefined, inputs=[x] if inputs else None)
    assert [x.grad, y.grad, z.grad] == [5.0, 6.0, 7.0]
    assert (x * x).backward()[x] == 2.0
    assert (y * x).backward()[y] == 1.0


def test_backward_within_backward():
    """A partial may itself go back through a graph, its own or one that shares the leaves."""
    shared = Value(0.5)

    def partial(y, x):
        inner = Value(float(x.data) if isinstance(x, Value) else float(x))
        return (ts.sin(inner) * shared.data).backward(inputs=[inner])[inner]

    row = primitive("row", lambda x: math.sin(x) * 0.5, partial)
    x = Value(0.7)
    z = row(x * shared) + x * shared
    table = z.backward()
    slope = 0.5 * math.cos(0.35) + 1.0
    assert math.isclose(table[x], 0.5 * slope)
    assert math.isclose(table[shared], 0.7 * slope)
    assert math.isclose(shared.grad, 0.7 * slope)


def test_an_inner_backward_over_nodes_of_the_outer_graph():
    x = Value(0.7)
    u = x * x

    def partial(y, a):
        u.backward()
        return 1.0

    row = primitive("row", lambda a: a, partial)
    z = row(u) * u
    table = z.backward()
    assert math.isclose(table[u], 2 * u.data)
    assert math.isclose(table[x], 4 * 0.7**3)


# ── threads ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("undefined", ["subgradient", "warn"], ids=["fast", "book"])
@pytest.mark.parametrize("inputs", [False, True])
def test_threads_may_share_leaves(undefined, inputs):
    """Every table is right, and no gradient is lost or counted twice."""
    leaves = [Value(float(i + 1)) for i in range(15)]
    threads, rounds, wrong = 4, 60, []

    def work():
        for _ in range(rounds):
            z = 0.0
            for v in leaves:
                z = z + v * v
            table = z.backward(undefined=undefined, inputs=leaves if inputs else None)
            wrong.extend(v.data for v in leaves if table[v] != 2 * v.data)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert [v.grad for v in leaves] == [2 * v.data * threads * rounds for v in leaves]


@pytest.mark.usefixtures("restless")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_during_the_backward_of_another_thread_can_go_back_itself():
    program = """
import os, threading
from tinygrad_scalar import Value, primitive

begun, go = threading.Event(), threading.Event()

def slow(y, x):
    begun.set()
    go.wait()
    return 1.0

row = primitive("row", lambda x: x, slow)
thread = threading.Thread(target=lambda: row(Value(1.0)).backward())
thread.start()
begun.wait()
os.register_at_fork(before=go.set)  # the last one registered is the first one called
child = os.fork()
if not child:
    x = Value(3.0)
    (x * x).backward()
    os._exit(int(x.grad))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "6\n"


def test_no_grad_is_a_matter_of_one_thread():
    x, stop, recorded = Value(2.0), threading.Event(), []

    def off_and_on():
        while not stop.is_set():
            with no_grad():
                recorded.append(len((x * x).parents))

    other = threading.Thread(target=off_and_on)
    other.start()
    here = {len((x * x).parents) for _ in range(2000)}
    stop.set()
    other.join()
    assert here == {2}
    assert set(recorded) <= {0}


# ── size and memory ───────────────────────────────────────────────────────────────────────────
def chain(n):
    x = Value(1.0)
    z = x
    for _ in range(n):
        z = z * 1.0000001
    return x, z


def test_a_chain_of_1000000_operations():
    """Built, differentiated and freed, without recursion."""
    x, z = chain(1_000_000)
    table = z.backward()
    assert math.isclose(table[x], z.data, rel_tol=1e-9)
    z.zero_grad()
    assert x.grad == 0.0
    del table
    gone = weakref.ref(z)
    del z
    assert gone() is None


def test_a_deep_chain_by_the_book_as_a_graph_and_in_print():
    x, z = chain(50_000)
    table = z.backward()
    expected = table[x]
    assert len(str(table).splitlines()) < 30
    assert z.backward(undefined="raise")[x] == expected
    assert math.isclose(z.backward(create_graph=True)[x].data, expected, rel_tol=1e-9)
    assert z.backward(inputs=[x])[x] == expected
    assert len(topological_order(z)) == 50_001


def test_a_wide_node():
    leaves = [Value(1.0) for _ in range(20_000)]
    for function in (ts.sum, ts.mean, ts.logsumexp, ts.prod):
        table = function(leaves).backward()
        assert len(table) == 20_001
        assert table.edges == 20_000


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("undefined", POLICIES)
def test_nothing_waits_for_the_cyclic_collector(create_graph, undefined):
    x, y = Value(0.5), Value(2.0)
    z = ts.sin(x) * y + ts.sum([x, y, x]) / ts.hypot(x, y) + ts.exp(x) ** 2 - ts.relu(x)
    table = z.backward(create_graph=create_graph, undefined=undefined)
    str(table), table._repr_html_(), table.edges, [d() for d in z.local_derivatives]
    watched = [weakref.ref(node) for node in topological_order(z)]
    watched += [weakref.ref(g) for g in table.values() if isinstance(g, Value)]
    watched.append(weakref.ref(table))
    del x, y, z, table
    assert [ref() for ref in watched] == [None] * len(watched)


@pytest.mark.usefixtures("no_collector")
def test_nothing_is_kept_after_an_error_either():
    x = Value(0.0)
    z = ts.relu(x) * 2.0
    with pytest.raises(ts.UndefinedGradientError):
        z.backward(undefined="raise")
    with pytest.raises(ZeroDivisionError, match="div"):
        z / 0
    watched = [weakref.ref(x), weakref.ref(z)]
    del x, z
    assert [ref() for ref in watched] == [None, None]


def test_memory_per_operation_is_bounded():
    """At most 260 bytes per operation held after build and backward, the table released."""
    n = 20_000
    x = [Value(0.5), Value(1.5)]
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    z = x[0]
    for i in range(n // 5):
        a, b = x[i % 2], x[(i + 1) % 2]
        z = ((z * a + b) / 2.0).tanh() - a
    z.backward()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held / n <= 260


def test_a_label_with_controls_stays_in_its_cell():
    """NUL, escape, tabs and line ends would reach the terminal, and break the table."""
    table = str((Value(1.0, label="a\tb\x00c\x1b[31m\nd") * 2.0).backward())
    assert "a␉b␀c␛[31m␊d  " in table
    assert table.count("\n") == 3


def test_eight_bit_controls_do_not_reach_a_terminal():
    """U+009B is ␛[ in one character (ECMA-48, 8-bit form)."""
    assert "a�31mb" in str((Value(1.0, label="a\x9b31mb") * 2.0).backward())
