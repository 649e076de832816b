"""Copies and pickles of a graph: sharing, labels, gradients, any depth, any process."""

import copy
import math
import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from instruction_lists import programs

import tinygrad_scalar as ts
from tinygrad_scalar import Value, cos, primitive, scope, topological_order, trace_lines

cubed = primitive("cubed", lambda x: x * x * x, lambda y, x: 3 * x * x)
circle = primitive(
    "circle",
    lambda x: (math.sin(x), math.cos(x)),
    (lambda y, x: y[1],),
    (lambda y, x: -y[0],),
)

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def pickled(x, protocol=None):
    return pickle.loads(pickle.dumps(x, protocol))


MAKE = [copy.deepcopy, pickled]
each_way = pytest.mark.parametrize("make", MAKE, ids=["deepcopy", "pickle"])


def assert_same_graph(one, other):
    """Node by node: the same numbers, operations, labels, edges and sharing; no node in common."""
    nodes, twins = topological_order(one), topological_order(other)
    assert len(nodes) == len(twins)
    number = {id(node): i for i, node in enumerate(nodes)}
    of_twin = {id(node): i for i, node in enumerate(twins)}
    for node, twin in zip(nodes, twins, strict=True):
        assert twin is not node
        assert repr(twin) == repr(node)
        assert twin.primitive is node.primitive
        assert twin.provenance == node.provenance
        assert [of_twin[id(p)] for p in twin.parents] == [number[id(p)] for p in node.parents]
        plain = [x for x in node.operands if not isinstance(x, Value)]
        assert [x for x in twin.operands if not isinstance(x, Value)] == plain


@each_way
@given(programs())
def test_a_graph_comes_back_as_it_was(make, program):
    z = program.run()
    twin = make(z)
    assert_same_graph(z, twin)
    expected, got = z.backward(), twin.backward()
    assert [*map(repr, got.values())] == [*map(repr, expected.values())]
    assert got.edges == expected.edges


@each_way
def test_labels_gradients_scopes_and_lines_come_along(make):
    with scope("layer"), trace_lines():
        x = Value(2.0, label="x")
        z = x * x + 3.0
    z.label = "z"
    z.backward()
    twin = make(z)
    assert_same_graph(z, twin)
    assert twin.label == "z"
    assert twin.grad == 1.0
    assert twin.provenance.scope == ("layer",)
    leaf = topological_order(twin)[0]
    assert (leaf.label, leaf.grad) == ("x", 4.0)


@each_way
def test_the_copy_is_independent(make):
    x = Value(2.0)
    z = x * x
    twin = make(z)
    twin.backward()
    assert x.grad == 0.0
    twin_x = twin.parents[0]
    assert twin_x is twin.parents[1]
    twin_x.data = 50.0
    assert x.data == 2.0


@each_way
def test_what_the_operation_saw_comes_along(make):
    x = Value(2.0)
    z = ts.exp(x) * x
    x.data = 50.0
    twin = make(z)
    expected = z.backward()[x]
    twin_x = topological_order(twin)[0]
    assert twin_x.data == 50.0
    assert twin.backward()[twin_x] == expected


@each_way
def test_leaves_are_shared_between_roots_that_travel_together(make):
    x = Value(2.0)
    a, b = x * x, ts.sin(x)
    c, d, y = make([a, b, x])
    assert c.parents[0] is d.parents[0] is y
    c.backward()
    d.backward()
    assert y.grad == 4.0 + math.cos(2.0)


@each_way
def test_a_leaf_of_its_own(make):
    x = Value(2.0, label="x")
    x.grad = 3.0
    twin = make(x)
    assert twin is not x
    assert (twin.data, twin.grad, twin.label, twin.parents) == (2.0, 3.0, "x", ())


@each_way
@pytest.mark.parametrize("data", [Fraction(1, 3), np.float32(0.1), math.nan, -0.0, math.inf])
def test_kinds_of_numbers_come_along(make, data):
    x = Value(data)
    twin = make(x + x if data == data else x)
    assert type(twin.data) is type(data)
    assert repr(make(x).data) == repr(data)


@each_way
def test_nan_is_no_overwritten_number(make):
    z = make(Value(math.nan) * 2.0 + ts.exp(Value(math.nan)))
    assert math.isnan(z.data)
    assert len(z.backward(create_graph=True)) == 5


@each_way
def test_nodes_of_many_operands_and_of_several_outputs(make):
    x, y = Value(2.0), Value(3.0)
    with_constant = ts.sum([x, 1.0, y, x]) * ts.clip(y, 0.0, 5.0) + ts.logsumexp([x, y])
    assert_same_graph(with_constant, make(with_constant))
    sine, cosine = circle(x)
    both = sine * cosine + cubed(y)
    twin = make(both)
    assert_same_graph(both, twin)
    assert [*twin.backward().values()] == [*both.backward().values()]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol(protocol):
    x = Value(2.0)
    z = ts.exp(x) * x
    assert_same_graph(z, pickled(z, protocol))


@each_way
def test_second_derivatives_of_a_copy(make):
    x = Value(0.7)
    twin = make(ts.sin(x) * x)
    leaf = topological_order(twin)[0]
    first = twin.backward(create_graph=True)[leaf]
    second = first.backward(inputs=[leaf])[leaf]
    assert math.isclose(second, 2 * math.cos(0.7) - 0.7 * math.sin(0.7), rel_tol=1e-14)


def test_copy_of_a_node():
    x = Value(2.0, label="x")
    for node in (x, x * x, ts.exp(x), ts.sum([x, x, 1.0]), circle(x)[0]):
        twin = copy.copy(node)
        assert twin is not node
        assert twin.parents == node.parents
        assert all(a is b for a, b in zip(twin.parents, node.parents, strict=True))
        assert (twin.data, twin.label, twin.primitive) == (node.data, node.label, node.primitive)
        if node.parents:
            assert twin.backward(inputs=[x])[x] == node.backward(inputs=[x])[x]


def test_a_primitive_that_cannot_be_imported_is_an_error_that_says_so():
    local = primitive("local", lambda x: x, 1)
    z = local(Value(1.0))
    with pytest.raises(
        TypeError, match=r"primitive 'local' cannot be pickled: assign it to a name"
    ):
        pickle.dumps(z)
    assert_same_graph(z, copy.deepcopy(z))  # which stays in the process, and shares the row


def test_rows_of_the_library_are_looked_up_in_the_library():
    """Not where a script happens to have imported them: another process has no such script."""
    module = sys.modules[__name__]
    assert module.cos is ts.cos
    blob = pickle.dumps(cos(Value(1.0)))
    assert b"__main__" not in blob
    assert __name__.encode() not in blob


def test_a_pickle_made_in_a_script_is_read_in_another_process():
    write = """
import pickle, sys
from tinygrad_scalar import *
x = Value(2.0, label="x")
sys.stdout.buffer.write(pickle.dumps(exp(x) * x))
"""
    read = """
import pickle, sys
print(pickle.load(sys.stdin.buffer))
"""
    blob = subprocess.run([sys.executable, "-c", write], capture_output=True, check=True).stdout
    done = subprocess.run(
        [sys.executable, "-c", read], input=blob, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.stdout.decode().strip() == repr(Value(math.exp(2.0) * 2.0))


def test_a_chain_of_50000_operations():
    x = Value(1.0)
    z = x
    for _ in range(50_000):
        z = z * 1.000001
    expected = z.backward()[x]
    for make in MAKE:
        twin = make(z)
        leaf = topological_order(twin)[0]
        assert twin.data == z.data
        assert twin.backward()[leaf] == expected
        del twin, leaf


def test_inside_a_list_a_dict_and_an_object():
    x = Value(2.0)
    state = {"parameters": [x, Value(3.0)], "loss": x * x}
    for make in MAKE:
        twin = make(state)
        assert twin["loss"].parents[0] is twin["parameters"][0]


def test_a_deep_copy_shares_inner_nodes_between_roots_too():
    x = Value(2.0)
    shared = x * x
    first, second = copy.deepcopy([shared + 1.0, ts.exp(shared)])
    assert first.parents[0] is second.parents[0]


def test_a_deep_copy_of_all_nodes_of_a_graph_walks_it_once():
    def lines_run(n):
        states = [Value(0.5)]
        for _ in range(n):
            states.append(ts.sin(states[-1]) + states[0])
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            twins = copy.deepcopy(states)
        finally:
            sys.settrace(before)
        assert twins[2].parents[0].parents == (twins[1],)
        return count

    assert lines_run(100) < 3 * lines_run(50)


# ── subclasses ────────────────────────────────────────────────────────────────────────────────
class Weight(Value):
    """With a constructor and an attribute of its own."""

    def __init__(self):
        super().__init__(3.0, label="w")
        self.history = [1.0]


@pytest.mark.parametrize("make", [copy.copy, *MAKE], ids=["copy", "deepcopy", "pickle"])
def test_a_subclass_stays_one(make):
    w = Weight()
    w.grad = 2.0
    twin = make(w)
    assert type(twin) is Weight
    assert repr(twin) == repr(w)
    assert twin.history == [1.0]
    assert (twin.history is w.history) == (make is copy.copy)


@each_way
def test_a_leaf_of_a_subclass_stays_one_in_a_graph(make):
    w = Weight()
    twin = make(w * w + 1.0)
    assert [type(node) for node in topological_order(twin)] == [Weight, Value, Value]
    assert twin.parents[0].parents[0].history == [1.0]


# ── tables ────────────────────────────────────────────────────────────────────────────────────
@each_way
@given(programs())
def test_a_table_comes_back_with_its_graph(make, program):
    z = program.run()
    table = z.backward()
    twin, twins = make((z, table))
    for node, other in zip(topological_order(z), topological_order(twin), strict=True):
        assert repr(twins[other]) == repr(table[node])
    assert [*map(repr, twins)] == [*map(repr, table)]
    assert str(twins) == str(table)
    assert twins.edges == table.edges


@each_way
def test_a_table_of_asked_inputs_comes_back(make):
    x, stranger = Value(2.0), Value(5.0)
    inner = x * x
    z = ts.exp(inner) + Value(1.0)
    twin, table, y, other = make((z, z.backward(inputs=[inner, x, stranger]), x, stranger))
    assert table[y] == 4.0 * math.exp(4.0)
    assert table[twin.parents[0].parents[0]] == math.exp(4.0)
    assert table[other] == 0.0
    nothing, lonely = make((z.backward(inputs=[stranger]), stranger))
    assert [*nothing.items()] == [(lonely, 0.0)]


@each_way
def test_a_table_of_values_comes_back_differentiable(make):
    x = Value(0.7)
    z = ts.sin(x) * x
    made = z.backward(create_graph=True), x
    with ts.no_grad():
        table, y = make(made)
    second = table[y].backward(inputs=[y])[y]
    assert math.isclose(second, 2 * math.cos(0.7) - 0.7 * math.sin(0.7), rel_tol=1e-14)


@each_way
def test_a_sum_of_very_many_products(make):
    """In a time that grows as their number does: with its square it would be ten minutes."""
    x, count = Value(2.0), 100_000
    z = make(ts.sum([x * k for k in range(count)]))
    (leaf,) = {id(p): p for node in z.parents for p in node.parents}.values()
    assert z.backward()[leaf] == count * (count - 1) / 2


def test_a_table_of_values_is_pickled_once_not_once_per_gradient():
    x = Value(1.0)
    sizes = []
    for operations in (100, 200):
        z = x
        for _ in range(operations):
            z = ts.sin(z) * x
        sizes.append(len(pickle.dumps(z.backward(create_graph=True))))
    assert sizes[1] < 2.2 * sizes[0]


# ── in forward mode ───────────────────────────────────────────────────────────────────────────
# The gradient of a copy goes to the leaves of the copy: one that has a graph of its own rests.
# By name a function, and its derivatives at 2: the copied factor is a constant, or not.
COPIES = {
    "deepcopy": (lambda x: copy.deepcopy(x * x) * x, [8.0, 4.0, 0.0]),
    "pickle": (lambda x: pickled(x * x) * x, [8.0, 4.0, 0.0]),
    "in a list": (lambda x: copy.deepcopy([x, x * x])[1] * x, [8.0, 4.0, 0.0]),
    "an argument": (lambda x: copy.deepcopy(x) * x, [4.0, 2.0, 0.0]),
    "copy of an argument": (lambda x: copy.copy(x) * x, [4.0, 2.0, 0.0]),
    "copy": (lambda x: copy.copy(x * x) * x, [8.0, 12.0, 12.0]),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_connected_alike_in_every_mode(name):
    f, expected = COPIES[name]
    _, first, second = expected
    assert ts.grad(f)(2.0) == ts.vjp(f, 2.0)[1](1.0) == first
    assert ts.jvp(f, (2.0,), (1.0,)) == tuple(expected[:2])
    assert ts.jacobian(f, mode="forward")(2.0) == ts.derivative(f)(2.0) == first
    assert ts.taylor(f, 2)(2.0) == expected
    assert ts.grad(ts.grad(f))(2.0) == ts.hessian(f)(2.0) == ts.hvp(f, (2.0,), (1.0,)) == second
    assert ts.grad(lambda x: ts.jvp(f, (x,), (1.0,))[1])(2.0) == second
    assert ts.jvp(ts.grad(f), (2.0,), (1.0,)) == (first, second)
    assert ts.derivative(ts.derivative(f))(2.0) == ts.derivative(ts.grad(f))(2.0) == second


# The argument of the mode inside, y = x², is to it a leaf, whose copy c moves with x alone:
# d(c y)/dy = c = x².
INSIDE = {
    "grad": lambda f, y: ts.grad(f)(y),
    "vjp": lambda f, y: ts.vjp(f, y)[1](1.0),
    "jvp": lambda f, y: ts.jvp(f, (y,), (1.0,))[1],
    "derivative": lambda f, y: ts.derivative(f)(y),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_copy_in_a_mode_inside_moves_with_what_that_was_given(name):
    def slope(x):
        return INSIDE[name](lambda y: copy.copy(y) * y, x * x)

    assert ts.grad(slope)(2.0) == ts.jvp(slope, (2.0,), (1.0,))[1] == 4.0
    assert ts.taylor(slope, 2)(2.0) == [4.0, 4.0, 2.0]


def test_a_copy_of_what_numpy_calls_positive_is_connected():
    assert ts.grad(lambda x: copy.copy(np.positive(x)) * x)(2.0) == 2.0  # x is a leaf
    assert ts.grad(lambda x: copy.copy(np.positive(x * x)) * x)(2.0) == 12.0


def test_compiled_code_refuses_to_copy_the_argument_of_a_mode_inside():
    with pytest.raises(ts.TraceError, match="a copy"):
        ts.compile(ts.grad(lambda x: copy.copy(x) * x))(2.0)


def test_copies_in_forward_mode_have_the_attributes():
    def f(x):
        y = x * x
        y.m = [1.0]
        copies = copy.copy(y), copy.deepcopy(y), pickled(y)
        assert [each.m for each in copies] == [[1.0]] * 3
        assert [each.m is y.m for each in copies] == [True, False, False]
        return y

    assert ts.jvp(f, (2.0,), (1.0,)) == (4.0, 4.0)
    assert ts.taylor(f, 2)(2.0) == [4.0, 4.0, 2.0]
