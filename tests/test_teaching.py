"""The naive sum over paths of equation 6.55 beside the table of Algorithm 6.2."""

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from modes_reference import all_close, moderate_programs

from tinygrad_scalar import Value, cos, exp, sin, sum_over_paths


def test_each_path_is_the_product_of_its_local_derivatives():
    x = Value(3.0)
    y = x * x
    assert sum_over_paths(y * y, x) == (108.0, 4)
    assert sum_over_paths(y + y, x) == (12.0, 4)
    assert sum_over_paths(sin(x), x) == (sin(x).backward()[x], 1)


def test_a_chain_of_n_diamonds_has_2_to_the_n_paths_and_4n_edges():
    x = Value(0.5)
    z = x
    for n in range(1, 13):
        z = sin(z) + cos(z)
        table = z.backward()
        gradient, paths = sum_over_paths(z, x)
        assert (paths, table.edges) == (2**n, 4 * n)
        assert all_close([gradient], [table[x]], 1e-13)


@settings(max_examples=60)
@given(moderate_programs(max_steps=8))
def test_the_sum_over_paths_is_the_gradient(program):
    leaves = [Value(v) for v in program.inputs]
    results = program.compute(leaves)
    z = results[-1]
    table = z.backward(inputs=[*leaves, *results])
    found = [sum_over_paths(z, node) for node in results]
    assert all_close([g for g, _ in found], [table[node] for node in results], 1e-12)
    for (_, paths), node in zip(found, results, strict=True):
        assert (paths == 0) <= (table[node] == 0.0)


def test_a_node_and_itself_have_one_empty_path():
    x = Value(3.0)
    assert sum_over_paths(x, x) == (1.0, 1)


def test_no_path_at_all():
    x, y = Value(3.0), Value(4.0)
    assert sum_over_paths(y * 2, x) == (0.0, 0)


def test_paths_to_an_inner_node_go_no_further():
    x = Value(3.0)
    y = x * x
    assert sum_over_paths(y * x, y) == (3.0, 1)


def test_exact_and_arbitrary_precision():
    x = Value(Fraction(1, 3))
    gradient, _ = sum_over_paths(x * x * x, x)
    assert (gradient, type(gradient)) == (Fraction(1, 3), Fraction)
    with mpmath.workdps(50):
        x = Value(mpmath.mpf(1) / 3)
        gradient, _ = sum_over_paths(exp(x), x)
        assert abs(gradient - mpmath.exp(mpmath.mpf(1) / 3)) < mpmath.mpf("1e-48")


@pytest.mark.parametrize("name", ["z", "x"])
def test_only_values_have_paths(name):
    nodes = {"z": Value(1.0), "x": Value(2.0)} | {name: 3.0}
    with pytest.raises(TypeError, match=f"sum_over_paths: {name} is a Value, not float"):
        sum_over_paths(**nodes)
