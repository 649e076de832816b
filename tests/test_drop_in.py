"""Programs written for micrograd and microgpt, unchanged: only the class `Value` is ours.

The numbers under `FROM_MICROGRAD` were computed once with micrograd 0.1.0 from PyPI. `Textbook` is
a second, independent engine of the same kind, small enough to be checked by reading.
"""

import math
import random

import pytest
from graphviz import Digraph
from hypothesis import assume, given
from instruction_lists import programs

from tinygrad_scalar import Value


class Textbook:
    """What these programs were written for, as plainly as it can be put."""

    tape: list = []  # noqa: RUF012 (one tape for all, emptied by each backward)

    def __init__(self, data, children=(), local=()):
        self.data, self.grad = data, 0
        self.children, self.local = children, local
        Textbook.tape.append(self)

    def __add__(self, other):
        other = other if isinstance(other, Textbook) else Textbook(other)
        return Textbook(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Textbook) else Textbook(other)
        return Textbook(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, exponent):
        slope = exponent * self.data ** (exponent - 1)
        return Textbook(self.data**exponent, (self,), (slope,))

    def exp(self):
        return Textbook(math.exp(self.data), (self,), (math.exp(self.data),))

    def log(self):
        return Textbook(math.log(self.data), (self,), (1 / self.data,))

    def relu(self):
        return Textbook(max(0.0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other**-1

    def __radd__(self, other):
        return self + other

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __rtruediv__(self, other):
        return other * self**-1

    def backward(self):
        self.grad = 1
        for node in reversed(Textbook.tape[: Textbook.tape.index(self) + 1]):
            for child, slope in zip(node.children, node.local, strict=True):
                child.grad += slope * node.grad
        Textbook.tape.clear()


def assert_close_to_the_largest(got, expected):
    largest = max(map(abs, expected))
    assert len(got) == len(expected)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= 1e-13 * largest


# ── the programs ──────────────────────────────────────────────────────────────────────────────
def few_uses(make):
    """+ − × negation and constant powers; no node has more than two uses."""
    rng = random.Random(2)
    leaves = [make(rng.uniform(-1.5, 1.5)) for _ in range(6)]
    nodes = [[leaf, 0] for leaf in leaves]

    def take():
        free = [node for node in nodes[-9:] if node[1] < 2] or [n for n in nodes if n[1] < 2]
        node = rng.choice(free)
        node[1] += 1
        return node[0]

    for step in range(40):
        choice = step % 6
        if choice == 0:
            result = take() + take()
        elif choice == 1:
            result = take() * take()
        elif choice == 2:
            result = take() - 0.25 * take()
        elif choice == 3:
            result = -take() + 1
        elif choice == 4:
            result = (take() * 0.5) ** 2
        else:
            result = 1.5 - take() * take()
        nodes.append([result, 0])
    total = sum(node for node, uses in nodes if uses < 2)
    total.backward()
    return [total.data, *(leaf.grad for leaf in leaves)]


def mixed(make):
    """Everything the class offers: relu, quotients, negative powers, plain numbers on the left."""
    a, b = make(-4.0), make(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    h = (2 - g) / (a * a + 3.0) + e ** (-1) + 1.0 / (b + 0.5)
    h.backward()
    return [h.data, a.grad, b.grad, c.grad, e.grad]


class Neuron:
    def __init__(self, make, rng, nin, nonlin=True):
        self.w = [make(rng.uniform(-1, 1)) for _ in range(nin)]
        self.b = make(0)
        self.nonlin = nonlin

    def __call__(self, x):
        act = sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b)
        return act.relu() if self.nonlin else act

    def parameters(self):
        return [*self.w, self.b]


class MLP:
    def __init__(self, make, rng, nin, nouts):
        sizes = [nin, *nouts]
        self.layers = [
            [Neuron(make, rng, sizes[i], i != len(nouts) - 1) for _ in range(sizes[i + 1])]
            for i in range(len(nouts))
        ]

    def __call__(self, x):
        for layer in self.layers:
            x = [neuron(x) for neuron in layer]
        return x[0] if len(x) == 1 else x

    def parameters(self):
        return [p for layer in self.layers for neuron in layer for p in neuron.parameters()]

    def zero_grad(self):
        for p in self.parameters():
            p.grad = 0


def moons_demo(make):
    """Three steps of a small network: hinge loss, weight decay, gradient descent."""
    rng = random.Random(1337)
    model = MLP(make, rng, 2, [4, 4, 1])
    points = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(8)]
    labels = [1 if x * y > 0 else -1 for x, y in points]
    history = []
    for step in range(3):
        scores = [model(list(map(make, point))) for point in points]
        losses = [(1 + -yi * score).relu() for yi, score in zip(labels, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        loss = data_loss + 1e-2 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        history.append(loss.data)
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * step / 100) * 0.1 * p.grad
        correct = sum(
            (yi > 0) == (score.data > 0) for yi, score in zip(labels, scores, strict=True)
        )
        history.append(float(correct))
    return [*history, *(p.grad for p in model.parameters())]


def tiny_transformer(make):
    """One attention head over four tokens, root-mean-square norm, softmax, Adam."""
    rng = random.Random(42)
    size, vocabulary, tokens = 4, 5, [0, 3, 1, 4, 2]

    def matrix(nout, nin):
        return [[make(rng.gauss(0, 0.3)) for _ in range(nin)] for _ in range(nout)]

    state = {name: matrix(size, size) for name in ("query", "key", "value", "out")}
    state["tokens"], state["places"] = matrix(vocabulary, size), matrix(8, size)
    state["head"], state["up"], state["down"] = (
        matrix(vocabulary, size),
        matrix(2 * size, size),
        matrix(size, 2 * size),
    )
    parameters = [p for rows in state.values() for row in rows for p in row]

    def linear(x, w):
        return [sum(wi * xi for wi, xi in zip(row, x, strict=True)) for row in w]

    def softmax(logits):
        largest = max(value.data for value in logits)
        exps = [(value - largest).exp() for value in logits]
        total = sum(exps)
        return [e / total for e in exps]

    def norm(x):
        mean_square = sum(xi * xi for xi in x) / len(x)
        scale = (mean_square + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def step_through(token, place, keys, values):
        x = [t + p for t, p in zip(state["tokens"][token], state["places"][place], strict=True)]
        residual, x = x, norm(x)
        query = linear(x, state["query"])
        keys.append(linear(x, state["key"]))
        values.append(linear(x, state["value"]))
        scores = [sum(q * k for q, k in zip(query, key, strict=True)) / size**0.5 for key in keys]
        weights = softmax(scores)
        x = [sum(w * v[j] for w, v in zip(weights, values, strict=True)) for j in range(size)]
        x = [a + b for a, b in zip(linear(x, state["out"]), residual, strict=True)]
        residual, x = x, norm(x)
        x = linear([xi.relu() for xi in linear(x, state["up"])], state["down"])
        return linear([a + b for a, b in zip(x, residual, strict=True)], state["head"])

    m, v = [0.0] * len(parameters), [0.0] * len(parameters)
    history = []
    for step in range(2):
        keys, values, losses = [], [], []
        for place in range(len(tokens) - 1):
            probabilities = softmax(step_through(tokens[place], place, keys, values))
            losses.append(-probabilities[tokens[place + 1]].log())
        loss = (1 / len(losses)) * sum(losses)
        loss.backward()
        history += [loss.data, *(p.grad for p in parameters)]
        for i, p in enumerate(parameters):
            m[i] = 0.9 * m[i] + 0.1 * p.grad
            v[i] = 0.95 * v[i] + 0.05 * p.grad**2
            p.data -= (
                1e-2
                * (m[i] / (1 - 0.9 ** (step + 1)))
                / ((v[i] / (1 - 0.95 ** (step + 1))) ** 0.5 + 1e-8)
            )
            p.grad = 0
    return history


class WithMoments:
    """A course's optimiser that keeps its moments on the parameters themselves."""

    def __init__(self, parameters):
        self.parameters, self.steps = parameters, 0
        for p in parameters:
            p.m, p.v = 0.0, 0.0

    def step(self):
        self.steps += 1
        for p in self.parameters:
            p.m = 0.9 * p.m + 0.1 * p.grad
            p.v = 0.999 * p.v + 0.001 * p.grad**2
            m, v = p.m / (1 - 0.9**self.steps), p.v / (1 - 0.999**self.steps)
            p.data -= 0.05 * m / (v**0.5 + 1e-8)
            p.grad = 0.0


def moments_on_parameters(make):
    rng = random.Random(7)
    model = MLP(make, rng, 2, [3, 1])
    optimizer, history = WithMoments(model.parameters()), []
    for _ in range(4):
        outputs = [model([make(x), make(1 - x)]) for x in (0.1, 0.5, 0.9)]
        loss = sum((y - t) ** 2 for y, t in zip(outputs, (1.0, 0.0, 1.0), strict=True))
        loss.backward()
        history += [loss.data, *(p.grad for p in model.parameters())]
        optimizer.step()
    return history


FROM_MICROGRAD: dict[str, str] = {
    "few_uses": """
        0x1.7d70461adaf40p+2 0x1.a7ec8fd2dd694p+1 0x1.5281cafa6d76fp+0 0x1.d587d8132e726p+1
        0x1.0000000000000p+0 0x1.7d5c1a7eb9bd4p-1 -0x1.0fc27772685e4p+2
    """,
    "mixed": """
        -0x1.e02879de3bb95p-1 -0x1.d9baa72bd8435p+2 -0x1.01eb17b57f156p+5 0x1.6138ff7d4518cp-2
        0x1.6138ff7d4518cp-2
    """,
    "moons_demo": """
        0x1.0fbaa71138845p+0 0x1.4000000000000p+2 0x1.072dd94efed24p+0 0x1.4000000000000p+2
        0x1.ff463a62fbc5ep-1 0x1.4000000000000p+2 -0x1.1f360036bc4f7p-7 -0x1.56d6720f2332ap-4
        -0x1.025f5100f01a2p-4 0x1.547786ce48f7cp-9 0x1.614bfb132912ep-7 -0x1.c56e8d1d256aep-3
        -0x1.0905754f94c2ep-3 -0x1.05a48ee7ac130p-3 -0x1.f49edfb416465p-3 -0x1.bcaf90f158d08p-8
        0x1.6b1f7536e1438p-12 -0x1.baf0d18f47e46p-6 -0x1.5afddfec9e330p-11 -0x1.51250a3af84b0p-7
        -0x1.4847ffa45f1e0p-8 -0x1.94888d6698638p-5 -0x1.529b987e5c2edp-4 0x1.1d9b68eb40d88p-10
        0x1.685f86680ad34p-7 -0x1.0365d6be6440bp-5 -0x1.cd061f03b3055p-9 -0x1.266587b16b7a5p-4
        -0x1.0864be26ff167p-8 -0x1.1bb93af2e27f1p-6 0x1.041151c56421fp-7 -0x1.8c9b8d1f7cc45p-8
        0x0.0p+0 -0x1.c9fdd603d0b8ep-6 0x1.10c31e7cfcdb8p-9 -0x1.69b1959f628c8p-6
        -0x1.749a1a9798b76p-5 -0x1.d38f6e3df97d3p-3 -0x1.aba6b33df8f32p-7 -0x1.6f8af2758d5d6p-6
        -0x1.9802afdd3e811p-10 -0x1.3f23ea5ff7a1ap-5 -0x1.fdf69742f493bp-3
    """,
}


# ── the tests ─────────────────────────────────────────────────────────────────────────────────
def from_micrograd(name):
    return [float.fromhex(number) for number in FROM_MICROGRAD[name].split()]


def test_bit_equal_where_no_node_has_more_than_two_uses():
    assert [x.hex() for x in few_uses(Value)] == FROM_MICROGRAD["few_uses"].split()


@pytest.mark.parametrize("program", [mixed, moons_demo], ids=lambda f: f.__name__)
def test_programs_for_micrograd(program):
    assert_close_to_the_largest(program(Value), from_micrograd(program.__name__))


@pytest.mark.parametrize(
    "program",
    [few_uses, mixed, moons_demo, tiny_transformer, moments_on_parameters],
    ids=lambda f: f.__name__,
)
def test_programs_for_either(program):
    Textbook.tape.clear()
    assert_close_to_the_largest(program(Value), program(Textbook))


@given(programs(("add", "sub", "mul", "neg", "pow", "constant"), max_steps=20))
def test_bit_equal_gradients_of_any_such_program(program):
    """The numbers of + − × negation and constant powers, to the last bit."""
    uses = [place for _, places in program.steps for place in places]
    assume(all(uses.count(place) <= 2 for place in uses))
    results = []
    for make in (Value, Textbook):
        Textbook.tape.clear()
        leaves = [make(x) for x in program.inputs]
        z = program.compute(leaves)[-1]
        z.backward()
        results.append((z.data, [leaf.grad for leaf in leaves]))
    assert results[0] == results[1]


# ── the lecture's picture: nodes and edges by `_prev`, operations by `_op` ────────────────────
def trace(root):
    nodes, edges = set(), set()

    def build(v):
        if v not in nodes:
            nodes.add(v)
            for child in v._prev:
                edges.add((child, v))
                build(child)

    build(root)
    return nodes, edges


def draw_dot(root):
    dot = Digraph(format="svg", graph_attr={"rankdir": "LR"})
    nodes, edges = trace(root)
    for n in nodes:
        uid = str(id(n))
        dot.node(
            name=uid,
            label="{ %s | data %.4f | grad %.4f }" % (n.label, n.data, n.grad),  # noqa: UP031
            shape="record",
        )
        if n._op:
            dot.node(name=uid + n._op, label=n._op)
            dot.edge(uid + n._op, uid)
    for a, b in edges:
        dot.edge(str(id(a)), str(id(b)) + b._op)
    return dot


def test_the_lectures_picture_of_a_neuron():
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1, x2w2 = x1 * w1, x2 * w2
    n = x1w1 + x2w2 + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    o.backward()
    nodes, edges = trace(o)
    assert (len(nodes), len(edges)) == (10, 9)
    # tanh of arsinh(1) is 1/√2 and its slope ½, up to the 17 digits of b
    assert [round(v.grad, 10) for v in (o, n, x1, w1, x2, w2)] == [1.0, 0.5, -1.5, 1.0, 0.5, 0.0]
    source = draw_dot(o).source
    for shown in (
        "{ o | data 0.7071 | grad 1.0000 }",
        "{ w1 | data -3.0000 | grad 1.0000 }",
        "label=tanh",
        'label="*"',
    ):
        assert shown in source
    assert source.count('label="+"') == source.count('label="*"') == 2
    assert source.count("->") == 9 + 5


def test_the_lectures_own_order_of_nodes():
    a, b = Value(-2.0), Value(3.0)
    e = (a * b) * (a + b)
    order, visited = [], set()

    def build(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build(child)
            order.append(v)

    build(e)
    assert order[-1] is e
    assert len(order) == 5
    with pytest.raises(AttributeError, match="_backward is not kept"):
        order[-1]._backward()


def test_gradients_accumulate_over_calls_as_they_do_there():
    w = Value(2.0)
    (w * 3).backward()
    (w * 4).backward()
    assert w.grad == 7.0
    w.grad = 0
    (w * 4).backward()
    assert w.grad == 4.0


def test_the_numbers_above_are_of_the_right_programs():
    assert set(FROM_MICROGRAD) == {"few_uses", "mixed", "moons_demo"}
    for name, numbers in FROM_MICROGRAD.items():
        assert len(numbers.split()) == len(globals()[name](Value))
