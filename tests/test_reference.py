"""Random programs with shared nodes against independent references.

Four of them: exact fractions by forward mode, autograd from PyPI, sums over all paths, and the
library's own Algorithm 6.2 by the book against the fast sweep.
"""

import math
import warnings
from collections import Counter
from fractions import Fraction

import autograd.numpy as anp
from autograd import grad
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from instruction_lists import RATIONAL, SMOOTH, programs

from tinygrad_scalar import Value, topological_order

SMALL_FRACTIONS = st.fractions(-2, 2, max_denominator=5)


# ── exact fractions ───────────────────────────────────────────────────────────────────────────
class Dual:
    """A fraction with its exact derivatives by every input: slow, obvious, and forward mode."""

    def __init__(self, value, slopes):
        self.value, self.slopes = value, slopes

    def __add__(self, other):
        if not isinstance(other, Dual):
            other = Dual(Fraction(other), [Fraction(0)] * len(self.slopes))
        slopes = [a + b for a, b in zip(self.slopes, other.slopes, strict=True)]
        return Dual(self.value + other.value, slopes)

    def __neg__(self):
        return Dual(-self.value, [-a for a in self.slopes])

    def __sub__(self, other):
        return self + -other

    def __mul__(self, other):
        slopes = [
            a * other.value + self.value * b for a, b in zip(self.slopes, other.slopes, strict=True)
        ]
        return Dual(self.value * other.value, slopes)

    def scaled(self, factor):
        return Dual(self.value * factor, [a * factor for a in self.slopes])


BY_FRACTIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "pow": lambda a: a * a,
    "sum": lambda a, b, c: a + b + c,
    "mean": lambda a, b, c: (a + b + c).scaled(Fraction(1, 3)),
    "dot": lambda a, b, c, d: a * c + b * d,
    "prod": lambda a, b, c: a * b * c,
}


def fraction_programs(max_steps):
    return programs(RATIONAL, SMALL_FRACTIONS, max_steps)


@given(fraction_programs(6))
@settings(max_examples=200)
def test_gradients_of_fractions_are_exact(program):
    count = len(program.inputs)
    inputs = [
        Dual(x, [Fraction(int(i == k)) for k in range(count)]) for i, x in enumerate(program.inputs)
    ]
    expected = program.compute(inputs, BY_FRACTIONS)[-1]
    leaves = [Value(x) for x in program.inputs]
    z = program.compute(leaves)[-1]
    table = z.backward(inputs=leaves)
    assert z.data == expected.value
    assert [table[leaf] for leaf in leaves] == expected.slopes
    assert [leaf.grad for leaf in leaves] == expected.slopes
    assert type(z.data) is Fraction


@given(fraction_programs(6))
def test_gradients_of_floats_are_those_of_fractions(program):
    """Dyadic inputs: no operation but the mean rounds, as long as 53 bits suffice."""
    assume(all(name != "mean" for name, _ in program.steps))
    dyadic = [Fraction(round(x * 4), 4) for x in program.inputs]
    exact, rounded = [Value(x) for x in dyadic], [Value(float(x)) for x in dyadic]
    results = [program.compute(leaves)[-1] for leaves in (exact, rounded)]
    expected, got = (z.backward() for z in results)
    enough = all(
        abs(number) < 2**20 and number.denominator <= 2**30
        for table in (expected,)
        for number in [*table.values(), *(node.data for node in table)]
    )
    assume(enough)
    for a, b in zip(exact, rounded, strict=True):
        assert expected.get(a, 0) == Fraction(got.get(b, 0.0))


# ── autograd ──────────────────────────────────────────────────────────────────────────────────
def logsumexp(*x):
    return anp.log(sum(anp.exp(anp.tanh(a)) for a in x))


BY_AUTOGRAD = {name: function for name, (_, function) in SMOOTH.items()} | {
    "sin": anp.sin,
    "tanh": anp.tanh,
    "exp": lambda a: anp.exp(-a * a),
    "sum": lambda a, b, c: a + b + c,
    "mean": lambda a, b, c: (a + b + c) / 3,
    "dot": lambda a, b, c, d: a * c + b * d,
    "prod": lambda a, b, c: a * b * c,
    "logsumexp": logsumexp,
}


@given(programs(max_steps=8))
@settings(max_examples=60)
def test_gradients_are_those_of_autograd(program):
    leaves = [Value(x) for x in program.inputs]
    z = program.compute(leaves)[-1]
    assume(abs(z.data) < 1e12)
    table = z.backward(inputs=leaves)

    def f(x):
        return program.compute(list(x), BY_AUTOGRAD)[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # autograd's, where the output does not depend on x
        expected = grad(f)(anp.array(program.inputs))
    assert math.isclose(z.data, f(anp.array(program.inputs)), rel_tol=1e-9, abs_tol=1e-12)
    # Rounding errors grow with the largest gradient that a program passes on its way.
    largest = max(abs(g) * max(1.0, abs(node.data)) for node, g in table.items())
    for leaf, slope in zip(leaves, expected, strict=True):
        assert math.isclose(table[leaf], slope, rel_tol=1e-9, abs_tol=1e-12 * max(1.0, largest))


# ── all paths ─────────────────────────────────────────────────────────────────────────────────
def sums_over_paths(output):
    """For every node the sum, over all paths from the output, of the products along them: 6.55."""
    sums, paths = {}, [(output, 1.0)]
    while paths:
        node, product = paths.pop()
        sums.setdefault(node, []).append(product)
        for parent, derivative in zip(node.parents, node.local_derivatives, strict=True):
            paths.append((parent, product * derivative()))
    return {node: (math.fsum(terms), math.fsum(map(abs, terms))) for node, terms in sums.items()}


@given(programs(max_steps=7))
def test_the_table_is_the_sum_over_all_paths(program):
    z = program.run()
    table, by_paths = z.backward(), sums_over_paths(z)
    assert set(table) == set(by_paths)
    for node, gradient in table.items():
        expected, size = by_paths[node]
        assert abs(gradient - expected) <= 1e-13 * size + 1e-320  # of subnormals only some bits


def test_paths_double_with_every_diamond_and_edges_do_not():
    x = Value(0.5)
    z = x
    for _ in range(10):
        z = z * 0.5 + z * 0.25
    assert len(list(paths_from(z, x))) == 2**10
    table = z.backward()
    assert table.edges == 4 * 10
    assert math.isclose(table[x], 0.75**10)


def paths_from(node, leaf):
    if node is leaf:
        yield 1
    for parent in node.parents:
        yield from paths_from(parent, leaf)


# ── the two sweeps ────────────────────────────────────────────────────────────────────────────
@given(programs(max_steps=15), st.floats(-2, 2), st.data())
@settings(max_examples=200)
def test_the_fast_sweep_is_algorithm_6_2_by_the_book(program, seed, data):
    """`undefined="warn"` goes by the book; without kinks there is nothing to warn of."""
    z = program.run()
    nodes = topological_order(z)
    inputs = data.draw(st.none() | st.lists(st.sampled_from(nodes), max_size=3))
    results = []
    for undefined in ("subgradient", "warn"):
        for node in nodes:
            node.grad = 0.25
        table = z.backward(seed, inputs=inputs, undefined=undefined)
        results.append((table, [node.grad for node in nodes]))
    (fast, fast_grads), (book, book_grads) = results
    assert fast.edges == book.edges
    assert set(fast) == set(book)
    largest = max((abs(gradient) for gradient in book.values()), default=0.0)
    for node in book:
        assert math.isclose(fast[node], book[node], rel_tol=1e-13, abs_tol=1e-14 * largest)
    for a, b in zip(fast_grads, book_grads, strict=True):
        assert math.isclose(a, b, rel_tol=1e-13, abs_tol=1e-13 * (1 + largest))


@given(programs(("add", "sub", "mul", "neg", "pow", "constant"), max_steps=15))
def test_the_two_sweeps_agree_to_the_last_bit_on_sums_and_products(program):
    z = program.run()
    uses = Counter(id(parent) for node in topological_order(z) for parent in node.parents)
    assume(max(uses.values(), default=0) <= 2)  # of three terms the order of the sum shows
    fast, book = z.backward(), z.backward(undefined="warn")
    assert set(fast) == set(book)
    assert all(fast[node] == book[node] for node in book)


@given(programs())
def test_a_program_computed_twice_gives_the_same_bits(program):
    one, other = program.run(), program.run()
    assert repr(one.data) == repr(other.data)
    assert [*map(repr, one.backward().values())] == [*map(repr, other.backward().values())]
