"""Whatever is done to a graph, in whatever order: the engine agrees with a slow, obvious reference.

The reference keeps every node as it was computed and finds a gradient by summing over all paths
(*Deep Learning*, equation 6.55). Data are whole numbers, so that equality is exact.
"""

import copy
import operator
import pickle
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tinygrad_scalar import Value
from tinygrad_scalar.core.graph import topological_order

EXACT = 2**50  # whole numbers below are floats exactly, with room for sums
MOST_PATHS = 2000
OPERATIONS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


class Reference:
    """A node as the book has it: an operation, its operands and what they were."""

    def __init__(self, data, operation=None, operands=(), seen=()):
        self.data, self.grad = data, 0
        self.operation, self.operands, self.seen = operation, list(operands), tuple(seen)

    @classmethod
    def of(cls, operation, *operands):
        seen = [x.data if isinstance(x, Reference) else x for x in operands]
        data = -seen[0] if operation == "neg" else OPERATIONS[operation](*seen)
        return cls(data, operation, operands, seen)

    def slopes(self):
        """Pairs of operand and local derivative, one per edge."""
        a, *rest = self.seen
        b = rest[0] if rest else None
        numbers = {"neg": (-1,), "add": (1, 1), "sub": (1, -1), "mul": (b, a)}[self.operation]
        return [
            (x, slope)
            for x, slope in zip(self.operands, numbers, strict=True)
            if isinstance(x, Reference)
        ]

    def paths(self):
        """Every node with the product of local derivatives along one path to it, path by path."""
        yield self, 1
        if self.operation:
            for operand, slope in self.slopes():
                for node, product in operand.paths():
                    yield node, slope * product

    def below(self):
        found = {id(self): self}
        stack = [self]
        while stack:
            for operand in stack.pop().operands:
                if isinstance(operand, Reference) and id(operand) not in found:
                    found[id(operand)] = operand
                    stack.append(operand)
        return list(found.values())

    def count_paths(self, known=None):
        known = {} if known is None else known
        if id(self) not in known:
            parents = [x for x in self.operands if isinstance(x, Reference)]
            known[id(self)] = 1 + sum(parent.count_paths(known) for parent in parents)
        return known[id(self)]

    def gradients(self, seed=1):
        total = {}
        for node, product in self.paths():
            total[id(node)] = total.get(id(node), 0) + seed * product
        return total

    def edited(self):
        """Whether some operand's data is no longer what an operation below saw."""
        return any(
            isinstance(x, Reference) and x.data != number
            for node in self.below()
            for x, number in zip(node.operands, node.seen, strict=True)
        )


def copied(reference):
    """A reference with all that is below it, sharing kept."""
    return copy.deepcopy(reference)


class Engine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.pairs = []

    # ── building ──────────────────────────────────────────────────────────────────────────────
    @initialize(numbers=st.lists(st.integers(-3, 3), min_size=1, max_size=3))
    def start(self, numbers):
        for number in numbers:
            self.leaf(number)

    @rule(number=st.integers(-3, 3))
    def leaf(self, number):
        self.pairs.append((Value(number), Reference(number)))

    @rule(data=st.data(), name=st.sampled_from(sorted(OPERATIONS)))
    def combine(self, data, name):
        (x, a), (y, b) = self.draw(data), self.draw(data)
        self.keep(lambda: OPERATIONS[name](x, y), Reference.of(name, a, b))

    @rule(data=st.data(), name=st.sampled_from(sorted(OPERATIONS)), constant=st.integers(-3, 3))
    def combine_with_a_number(self, data, name, constant):
        x, a = self.draw(data)
        if data.draw(st.booleans(), "number first"):
            self.keep(lambda: OPERATIONS[name](constant, x), Reference.of(name, constant, a))
        else:
            self.keep(lambda: OPERATIONS[name](x, constant), Reference.of(name, a, constant))

    @rule(data=st.data())
    def negate(self, data):
        x, a = self.draw(data)
        self.keep(lambda: -x, Reference.of("neg", a))

    @rule(data=st.data())
    def detach(self, data):
        x, a = self.draw(data)
        self.pairs.append((x.detach(), Reference(a.data)))

    # ── differentiating ───────────────────────────────────────────────────────────────────────
    @rule(data=st.data(), seed=st.sampled_from([1, 1, -2, 0]))
    def backward(self, data, seed):
        z, reference = self.draw(data)
        wanted = reference.gradients(seed)
        table = z.backward(seed)
        self.check_table(z, reference, table, wanted)
        for node in reference.below():
            gradient = wanted[id(node)]
            node.grad = gradient if node.operation else node.grad + gradient

    @rule(data=st.data())
    def backward_twice(self, data):
        z, reference = self.draw(data)
        wanted = reference.gradients()
        first, second = dict(z.backward()), dict(z.backward())
        assert first == second
        for node in reference.below():
            gradient = wanted[id(node)]
            node.grad = gradient if node.operation else node.grad + 2 * gradient

    @rule(data=st.data())
    def backward_for_some(self, data):
        z, reference = self.draw(data)
        wanted = reference.gradients()
        asked = {id(x): (x, a) for x, a in [self.draw(data), self.draw(data)]}.values()
        table = z.backward(inputs=[x for x, _ in asked])
        for x, a in asked:
            assert table[x] == wanted.get(id(a), 0)
            a.grad += wanted.get(id(a), 0)

    @rule(data=st.data())
    def backward_as_a_graph(self, data):
        self.differentiate_as_a_graph(*self.draw(data))

    def differentiate_as_a_graph(self, z, reference):
        wanted = reference.gradients()
        before = [x.grad for x, _ in self.pairs]
        try:
            table = z.backward(create_graph=True)
        except RuntimeError:
            assert reference.edited()
            assert [x.grad for x, _ in self.pairs] == before
            return
        for x, a in self.pairs:
            if x in table:
                assert isinstance(table[x], Value)
                assert table[x].data == wanted[id(a)]
        for node in reference.below():
            gradient = wanted[id(node)]
            node.grad = gradient if node.operation else node.grad + gradient

    @rule(data=st.data())
    def zero(self, data):
        z, reference = self.draw(data)
        z.zero_grad()
        for node in reference.below():
            node.grad = 0

    # ── everything else that people do ────────────────────────────────────────────────────────
    @precondition(lambda self: any(a.operation is None for _, a in self.pairs))
    @rule(data=st.data(), change=st.integers(1, 3))
    def edit_a_leaf(self, data, change):
        leaves = [pair for pair in self.pairs if pair[1].operation is None]
        x, a = leaves[data.draw(st.integers(0, len(leaves) - 1), "leaf")]
        x.data += change
        a.data += change
        for z, reference in self.pairs:
            if reference.edited():
                self.differentiate_as_a_graph(z, reference)

    @rule(data=st.data())
    def copy(self, data):
        x, a = self.draw(data)
        twin = Reference(a.data, a.operation, a.operands, a.seen)
        twin.grad = a.grad
        self.pairs.append((copy.copy(x), twin))

    @rule(data=st.data(), way=st.sampled_from(["pickle", "deepcopy"]))
    def copy_with_the_graph(self, data, way):
        x, a = self.draw(data)
        made = pickle.loads(pickle.dumps(x)) if way == "pickle" else copy.deepcopy(x)
        assert len(topological_order(made)) == len(topological_order(x))
        self.pairs.append((made, copied(a)))

    @precondition(lambda self: len(self.pairs) > 1)
    @rule(data=st.data())
    def delete(self, data):
        i = data.draw(st.integers(0, len(self.pairs) - 1), "number")
        x, reference = self.pairs.pop(i)
        used = any(reference in other.below() for _, other in self.pairs)
        gone = weakref.ref(x)
        del x
        if not used:
            assert gone() is None, "a node outlived its last consumer"

    # ── what always holds ─────────────────────────────────────────────────────────────────────
    @invariant()
    def numbers_agree(self):
        for x, a in self.pairs:
            assert x.data == a.data
            assert x.grad == a.grad
            assert len(x.operands) == len(a.operands)

    def draw(self, data):
        """One of the pairs; by number, since hypothesis would keep a node that it drew alive."""
        return self.pairs[data.draw(st.integers(0, len(self.pairs) - 1), "number")]

    def keep(self, make, reference):
        """A new pair, unless numbers would stop being exact or paths too many."""
        if reference.count_paths() > MOST_PATHS or abs(reference.data) > EXACT:
            return
        if sum(abs(product) for _, product in reference.paths()) < EXACT:
            self.pairs.append((make(), reference))

    def check_table(self, z, reference, table, wanted):
        assert len(table) == len(reference.below())
        for x, a in self.pairs:
            if id(a) in wanted:
                assert table[x] == wanted[id(a)]
            else:
                with pytest.raises(KeyError, match="was not reached"):
                    table[x]
        place = {id(node): k for k, node in enumerate(table)}
        assert place[id(z)] == 0
        assert all(place[id(node)] < place[id(p)] for node in table for p in node.parents)


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
