"""The derivative as a graph of its own: how large it is, and that it is one like any other."""

import pytest
from hypothesis import given, settings
from instruction_lists import programs
from modes_reference import DECIMALS, all_close, moderate_programs

from tinygrad_scalar import (
    Value,
    counting,
    exp,
    grad,
    jvp,
    maximum,
    prod,
    relu,
    sin,
    sqrt,
    to_text,
    topological_order,
    where,
)
from tinygrad_scalar import sum as total
from tinygrad_scalar.core.primitives import TABLE


def nodes_of(action):
    with counting() as c:
        action()
    return c.nodes


def of_partials(node):
    """The nodes that the partials of a node's row make, pushed through once on Values."""
    row = node.primitive
    operands = [Value(x.data) if isinstance(x, Value) else x for x in node.operands]
    y = row(*operands)

    def push():
        for rule, operand in zip(row.all_partials(y, operands), operands, strict=True):
            if callable(rule) and isinstance(operand, Value):
                rule(y, *operands)

    return nodes_of(push)


@settings(max_examples=100)
@given(moderate_programs(max_steps=20))
def test_the_graph_grows_by_the_partial_and_one_multiply_add_per_edge(program):
    z = program.run()
    edges = sum(len(node.parents) for node in topological_order(z))
    partials = sum(of_partials(node) for node in topological_order(z) if node.primitive)
    assert nodes_of(lambda: z.backward(create_graph=True)) <= partials + 2 * edges


def test_one_node_per_node_and_one_edge_per_edge():
    """Before anything is left out: a product of n factors, written as n − 1 multiplications."""
    x = [Value(1.5 + k) for k in range(10)]
    z = x[0]
    for factor in x[1:]:
        z = z * factor
    # behind the seed 1, one product for each of the two edges of each operation; no sums
    assert nodes_of(lambda: z.backward(create_graph=True)) == 2 * 9 - 2


@pytest.mark.parametrize(
    ("f", "most"),
    [
        (lambda x: x + 1.0, 0),
        (lambda x: x - 1.0, 0),
        (lambda x: 1.0 * x, 0),
        (lambda x: x + x + x, 2),  # its sums
        (lambda x: total([x, 2.0, 3.0]), 0),
        (TABLE["floor"], 0),
        (lambda x: where(x > 0, x, 1.0), 0),
        (lambda x: where(x > 0, 1.0, x), 0),
        (exp, 0),  # its derivative is the node itself
        (lambda x: -x, 0),
        (lambda x: 3.0 * x, 0),  # the number 3
        (sin, 1),
    ],
)
def test_factors_0_and_1_add_no_nodes(f, most):
    x = Value(0.5)
    z = f(x)
    assert nodes_of(lambda: z.backward(create_graph=True)) <= most


def test_what_was_not_asked_for_adds_nothing():
    x, y = Value(0.5), Value(0.7)
    z = sin(x) * x + exp(y) * sin(y * y)
    alone = nodes_of(lambda: (sin(x) * x).backward(create_graph=True))
    built = nodes_of(lambda: sin(x) * x)
    assert nodes_of(lambda: z.backward(inputs=x, create_graph=True)) <= alone - built


def test_the_derivative_graph_leads_to_the_same_leaves():
    x, y = Value(0.5, label="x"), Value(0.7, label="y")
    slopes = (sin(x * y) * x).backward(create_graph=True)
    for slope in (slopes[x], slopes[y]):
        assert isinstance(slope, Value)
        leaves = [node for node in topological_order(slope) if node.primitive is None]
        assert {x, y} <= set(leaves)


def test_the_number_of_nodes_doubles_at_most_so_often_with_each_order():
    """The third derivative of a chain is large, but linear in its length."""
    sizes = []
    for n in (5, 10, 20):

        def f(x, n=n):
            for _ in range(n):
                x = sin(x)
            return x

        sizes.append(nodes_of(lambda f=f: grad(grad(f))(0.5)))
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])


@settings(max_examples=60)
@given(moderate_programs(max_steps=8))
def test_the_graph_holds_the_numbers_of_the_sweep(program):
    leaves = [Value(v) for v in program.inputs]
    z = program.compute(leaves)[-1]
    numbers = z.backward(inputs=leaves)
    values = z.backward(inputs=leaves, create_graph=True)
    assert all_close([values[v].data for v in leaves], [numbers[v] for v in leaves], 1e-13)


@settings(max_examples=60)
@given(programs(numbers=DECIMALS, max_steps=6))
def test_the_forward_graph_is_left_as_it_was(program):
    z = program.run()
    before = [(node, node.parents, node.data) for node in topological_order(z)]
    z.backward(create_graph=True)
    assert [(node, node.parents, node.data) for node in topological_order(z)] == before


def test_a_seed_that_is_a_value_is_differentiated_too():
    x, seed = Value(3.0), Value(2.0)
    slope = (x * x).backward(seed, create_graph=True)[x]
    assert slope.data == 12.0
    assert slope.backward(inputs=(x, seed))[seed] == 6.0


def test_reverse_twice_is_forward():
    """The transposed map is linear in its seed, so its own gradient by the seed is a jvp."""

    def f(x):
        return sin(x) * x

    x, seed = Value(0.7), Value(0.0)
    pulled = f(x).backward(seed, create_graph=True, inputs=x)[x]
    assert all_close([pulled.backward(inputs=seed)[seed]], [jvp(f, (0.7,), (1.0,))[1]], 1e-15)


def test_piecewise_rows_and_rows_of_many_operands_in_a_derivative_graph():
    x, y = Value(2.0), Value(3.0)
    z = maximum(x * x, y) * relu(x) + prod([x, y, sqrt(x)]) * total([x, y])
    slopes = z.backward(create_graph=True)
    # 3x² + 5/2 y x^1.5 + 3/2 y² x^0.5, whose derivative by y is 5/2 x^1.5 + 3 y x^0.5
    assert all_close([slopes[x].data], [12.0 + 7.5 * 2**1.5 + 13.5 * 2**0.5], 1e-14)
    by_y = slopes[x].backward(inputs=y)[y]
    assert all_close([by_y], [2.5 * 2**1.5 + 9 * 2**0.5], 1e-14)


@pytest.mark.parametrize(
    "row", [r for r in TABLE.values() if r.arity != 3 and not r.whole], ids=lambda r: r.name
)
def test_a_factor_of_one_makes_no_node(row):
    """By the partial or by the pull of a row: the seed is 1."""
    first = row.domain[0]
    x = [Value(0.5 if 0.5 in first else 2.0, label="a"), Value(1.5, label="b")][: row.arity]
    table = row(*x).backward(create_graph=True)
    for leaf in x:
        if isinstance(table[leaf], Value):
            assert "1.0 ×" not in to_text(table[leaf])


def test_a_row_of_any_number_of_operands_goes_back_once():
    x = Value(0.0)
    z = prod([x, x, x])
    assert nodes_of(lambda: z.backward(create_graph=True)) <= of_partials(z) + 2 * len(z.parents)
