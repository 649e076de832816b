"""`counting`, and what is counted: the cost of gradients beside that of their functions."""

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from modes_reference import moderate_programs
from table_reference import points

import tinygrad_scalar
from tinygrad_scalar import (
    Value,
    checkpoint,
    counting,
    exp,
    grad,
    jvp,
    maximum,
    no_grad,
    primitive,
    sin,
    taylor,
    topological_order,
    where,
)
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.strategies import expressions


def counted(action):
    with counting() as c:
        action()
    return c


# ── what the counters count ───────────────────────────────────────────────────────────────────
def test_one_evaluation_and_one_node_per_operation():
    x = Value(3.0)
    c = counted(lambda: (x * x + x) * 2.0)
    assert (c.evaluations, c.nodes, c.peak_nodes) == (3, 3, 3)
    assert (c.multiplications, c.additions) == (0, 0)


def test_leaves_are_no_nodes():
    c = counted(lambda: [Value(1.0) for _ in range(5)])
    assert (c.evaluations, c.nodes) == (0, 0)


def test_one_multiplication_and_one_addition_per_edge():
    x = Value(3.0)
    z = x * x + x  # the factors 1 of the sum count as well
    c = counted(z.backward)
    assert (c.multiplications, c.additions) == (4, 4)
    assert c.evaluations == 0


def test_the_counts_are_those_of_the_table():
    x, y = Value(3.0), Value(2.0)
    z = sin(x * y) + exp(x)
    for inputs in (None, (x,), (y,), ()):
        tables = []
        c = counted(lambda: tables.append(z.backward(inputs=inputs)))  # noqa: B023
        assert c.multiplications == c.additions == tables[0].edges


def test_evaluations_count_in_every_mode():
    def f(x):
        return sin(x) * x

    assert counted(lambda: f(0.5)).evaluations == 1  # float times float is not ours
    assert counted(lambda: f(Value(0.5))).evaluations == 2
    assert counted(lambda: jvp(f, (0.5,), (1.0,))).evaluations >= 3  # sin, cos, ×
    assert counted(lambda: taylor(f, 2)(0.5)).evaluations >= 3
    assert counted(lambda: grad(f)(0.5)).evaluations == 3  # sin, ×, and cos on the way back


def test_evaluations_count_where_nothing_is_recorded():
    x = Value(0.5)

    def unrecorded():
        with no_grad():
            return sin(x) * x

    c = counted(unrecorded)
    assert (c.evaluations, c.nodes) == (2, 0)


def test_recomputation_counts():
    x = Value(0.5)
    c = counted(lambda: checkpoint(lambda u: sin(u) * u, x).backward())
    assert c.evaluations == 5  # sin and × twice, cos once


def test_an_operation_with_several_outputs_is_one_evaluation_and_a_node_for_each():
    both = primitive("both", lambda x: (x, -x), (1,), (-1,))
    x = Value(0.5)
    c = counted(lambda: both(x))
    assert (c.evaluations, c.nodes) == (1, 2)


def test_a_branch_that_is_not_called_is_not_counted():
    x = Value(0.5)
    c = counted(lambda: where(x > 0, lambda: sin(x), lambda: exp(x) * 2))
    assert c.evaluations == 1


def test_peak_nodes_are_those_alive_at_one_time():
    def forgets():
        for _ in range(100):
            sin(Value(0.5)) * 2.0

    c = counted(forgets)
    assert c.nodes == 200
    assert c.peak_nodes == 2


def test_blocks_nest_each_counting_for_itself():
    x = Value(0.5)
    with counting() as outer:
        sin(x)
        with counting() as inner:
            sin(x)
        sin(x)
    sin(x)
    assert (inner.evaluations, outer.evaluations) == (1, 3)


def test_counting_ends_with_the_block_however_it_ends():
    with pytest.raises(ZeroDivisionError, match="div"), counting() as c:
        Value(1.0) / Value(0.0)
    before = c.evaluations
    sin(Value(1.0))
    assert c.evaluations == before


def test_the_counts_read_well():
    x = Value(3.0)
    with counting() as c:
        (x * x).backward()
    assert repr(c) == (
        "<1 evaluations, 1 nodes (at most 1 at once), 2 multiplications, 2 additions>"
    )


def test_counting_changes_no_result():
    def run():
        x = Value(0.7)
        z = tinygrad_scalar.tanh(x * x) / (x + 1.0) - maximum(x, 0.2) ** 3
        return z.data, z.backward()[x]

    with counting():
        observed = run()
    assert observed == run()


def test_forward_mode_counts_a_multiplication_and_an_addition_per_operand():
    c = counted(lambda: jvp(lambda x, y: sin(x * y) + x * 2.0, (0.5, 3.0), (1.0, 1.0)))
    assert (c.nodes, c.multiplications, c.additions) == (0, 6, 6)
    direction = counted(lambda: jvp(lambda x, y: sin(x * y) + x * 2.0, (0.5, 3.0), (0.0, 1.0)))
    assert direction.multiplications == 3  # x is a constant then: × by y, sin, +


def test_tangents_that_are_values_count_as_what_they_are():
    x = Value(0.5)
    c = counted(lambda: jvp(lambda u: sin(u), (x,), (x,)))
    assert (c.evaluations, c.nodes, c.multiplications) == (3, 3, 0)  # sin, cos, ×


# ── the cheap gradient principle ──────────────────────────────────────────────────────────────
# Rows that are more than their n − 1 operations on n numbers: a function of a quotient, a multiple
# of a function (their gradients by both operands cost 5 and 7), and sums of a function of each.
TWO_IN_ONE, ONE_FOR_EACH = ("atan2", "elu"), ("logsumexp", "cross_entropy")
# Rows that are functions of functions: log of a sum of two exp, x times the tanh of a softplus,
# sin over x, x times the sigmoid of a cubic; and the logarithm behind a sum of exp.
NESTED = {
    "logaddexp": 2, "mish": 3, "sinc": 2, "gelu_tanh": 2,
    "log_normal_cdf": 2, "betaln": 2,  # a logarithm of normal_cdf; of a product of gammas
}  # fmt: skip


def operations(*results):
    """What the operations of a graph cost: one each, n − 1 for one that takes n numbers."""
    return sum(weight(node) for node in topological_order(*results) if node.primitive)


def weight(node):
    name, count = node.primitive.name, len(node.operands)
    if name in NESTED:
        return NESTED[name]
    if name in TWO_IN_ONE + ONE_FOR_EACH:
        return count + (name == "cross_entropy")
    return max(1, count - 1)


def back(z):
    """Rules inside partials, and a multiply-add per edge: all that a backward does."""
    c = counted(z.backward)
    assert c.additions == c.multiplications
    return c.evaluations + c.multiplications


@settings(max_examples=200)
@given(moderate_programs(max_steps=30))
def test_the_way_back_costs_at_most_two_multiply_adds_per_operation(program):
    z = program.run()
    assert counted(z.backward).multiplications <= 2 * operations(z)


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_gradient_of_a_row_costs_at_most_four_of_it(row):
    @settings(max_examples=10)
    @given(points(row))
    def holds(point):
        try:
            z = row(*map(Value, point))
        except OverflowError:
            return
        assume(all(math.isfinite(slope()) for slope in z.local_derivatives))
        assert operations(z) + back(z) <= 4 * operations(z)

    holds()


@settings(max_examples=200)
@given(expressions(max_ops=20))
def test_a_gradient_costs_at_most_four_functions(program):
    """Programs over the whole table, all that is done counted."""
    z = program.run()
    assume(all(map(math.isfinite, z.backward().values())))
    assert operations(z) + back(z) <= 4 * operations(z)


def test_the_cost_does_not_depend_on_the_number_of_inputs():
    ratios = []
    for n in (10, 100, 1000):
        point = [0.5 + 0.001 * i for i in range(n)]

        def f(x):
            return sum(sin(a * b) for a, b in itertools.pairwise(x))

        function = counted(lambda: f(list(map(Value, point))))  # noqa: B023
        gradient = counted(lambda: grad(f)(point))  # noqa: B023
        ratios.append((gradient.evaluations + gradient.multiplications) / function.evaluations)
    assert max(ratios) <= 4.0
    assert max(ratios) - min(ratios) <= 0.1
