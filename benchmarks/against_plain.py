"""Measured beside the engine that everybody writes; see `plain_value.py`, and `eager.py` runs it.

Processor time with the cyclic collector off, all contenders taking turns; nothing is timed before
it is right.
"""

import gc
import math
import time
from statistics import median

import numpy as np
from harness import agree, in_turns, print_table, ratio, version
from modes import black_scholes, network, point, rosenbrock
from plain_value import OF_MICROGRAD, WIDE, PlainValue

from tinygrad_scalar import Value, compile, engines, grad, primitive, sin, value_and_grad

SMALL = 2_000  # operations in a turn over functions, at least


def processor_seconds(action, times=1):
    """Seconds of the processor per call, with the collector off."""
    gc.disable()
    try:
        start = time.process_time()
        for _ in range(times):
            action()
        return (time.process_time() - start) / times
    finally:
        gc.enable()


def compared(contenders, ours, scale, rounds, times=1):
    """name -> median time in the unit of `scale`, and how many times that of `ours`."""
    actions = {
        name: lambda action=action: processor_seconds(action, times)
        for name, action in contenders.items()
    }
    runs = in_turns(actions, rounds)
    return {
        name: {"median": median(seconds) * scale, "times_ours": ratio(seconds, runs[ours])}
        for name, seconds in runs.items()
    }


def operations_below(output):
    """How many nodes were computed, counted in the graph of `PlainValue`."""
    seen, stack = set(), [output]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += node.children
    return sum(bool(node.children) for node in seen)


# ── whole graphs: built, differentiated and released ──────────────────────────────────────────
def wide_graphs(rounds):
    """Nanoseconds per operation of each engine in each program."""
    return {program.__name__: wide_graph(program, rounds) for program in WIDE}


def wide_graph(program, rounds):
    kinds = {"tinygrad_scalar": Value, "plain Value": PlainValue}
    if version("micrograd") and program in OF_MICROGRAD:
        from micrograd.engine import Value as Theirs

        kinds["micrograd"] = Theirs
    expected = differentiated(program, Value)
    for name, kind in kinds.items():
        agree(name, differentiated(program, kind), expected)
    operations = operations_below(program(PlainValue)[0])
    actions = {name: lambda kind=kind: program(kind)[0].backward() for name, kind in kinds.items()}
    results = compared(actions, "tinygrad_scalar", 1e9 / operations, rounds)
    return {"operations": operations, **results}


def differentiated(program, kind):
    output, leaves = program(kind)
    output.backward()
    return [output.data, *(leaf.grad for leaf in leaves)]


# ── functions: `grad` against the Values that it makes ────────────────────────────────────────
def three_operations(x):
    a, b = x
    return a * b + sin(a)


def polynomial(x):
    (a,) = x
    return ((a * 2.0 + 1.0) * a - 3.0) * a + 0.5


def dot_product(x):
    half = len(x) // 2
    return sum(a * b for a, b in zip(x[:half], x[half:], strict=True))


FUNCTIONS = {  # a point, and the operations there, roughly
    three_operations: ([2.0, 3.0], 3),
    polynomial: ([0.7], 6),
    black_scholes: ([100.0, 105.0, 0.2, 0.03, 1.5], 20),
    dot_product: (point(60), 60),
    rosenbrock: (point(30), 250),
    network: (point(30), 640),
}


def on_values(f, x):
    """What `value_and_grad` gives, by hand."""
    leaves = [Value(number) for number in x]
    output = f(leaves)
    output.backward()
    return output.data, [leaf.grad for leaf in leaves]


def functions(rounds):
    """Microseconds of `grad` and `value_and_grad`, and of the same with Values by hand."""
    return {f.__name__: function(f, x, n, rounds) for f, (x, n) in FUNCTIONS.items()}


def function(f, x, operations, rounds):
    gradient, both = grad(f), value_and_grad(f)
    value, expected = on_values(f, x)
    agree(f"grad of {f.__name__}", gradient(x), expected)
    their_value, theirs = both(x)
    agree(f"value_and_grad of {f.__name__}", [their_value, *theirs], [value, *expected])
    actions = {
        "Values": lambda: on_values(f, x),
        "grad": lambda: gradient(x),
        "value_and_grad": lambda: both(x),
    }
    return compared(actions, "Values", 1e6, rounds, math.ceil(SMALL / operations))


# ── create_graph: against a pass over Values that knows four operations ───────────────────────
SLOPES = {
    "add": lambda node: (None, None),  # a factor of 1
    "mul": lambda node: node.parents[::-1],
    "sin": lambda node: (node.parents[0].cos(),),
    "tanh": lambda node: (node * node * -1.0 + 1.0,),
}


def naive_gradients(output):
    """Algorithm 6.2 with Values for gradients."""
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(parent, False) for parent in node.parents]
    table = {output: Value(1.0)}
    for node in reversed(order):
        if node.primitive is None:
            continue
        gradient = table[node]
        for parent, slope in zip(node.parents, SLOPES[node.primitive.name](node), strict=True):
            sent = gradient if slope is None else gradient * slope
            table[parent] = table[parent] + sent if parent in table else sent
    return table


def create_graph(rounds, steps=300):
    """Milliseconds for the gradients, as Values, of a graph of 1,200 operations."""
    x, w = Value(0.3), Value(0.7)
    v = x
    for _ in range(steps):
        v = (sin(v * w) + x).tanh()
    actions = {
        "naive pass": lambda: naive_gradients(v),
        "create_graph": lambda: v.backward(create_graph=True),
    }
    ours, naive = ([action()[x], action()[w]] for action in actions.values())
    agree("create_graph", second_order(ours, x, w), second_order(naive, x, w))
    return {"operations": 4 * steps, **compared(actions, "naive pass", 1e3, rounds)}


def second_order(gradients, x, w):
    """The two gradients, and the gradients of each."""
    tables = [gradient.backward() for gradient in gradients]
    return [g.data for g in gradients] + [table[leaf] for table in tables for leaf in (x, w)]


# ── a row of one's own, in compiled code ──────────────────────────────────────────────────────
def squashed(x):
    return x / (1.0 + abs(x))


own = primitive("squashed", formula=squashed)


def with_row(x, y):
    return own(x) * y + own(y * 0.5)


def inline(x, y):
    return squashed(x) * y + squashed(y * 0.5)


def own_row(rounds, points=100_000):
    """Milliseconds for the value and the gradient of a batch, by each installed engine."""
    x, y = (np.linspace(low, high, points) for low, high in ((-3.0, 2.0), (-1.0, 4.0)))
    return {engine: row_beside_inline(engine, rounds, x, y) for engine in ("numpy", "llvm")}


def row_beside_inline(engine, rounds, x, y):
    ways = {f.__name__: compile(f, engine=engine).value_and_grad for f in (inline, with_row)}
    (value, expected), (theirs, given) = (way(x, y) for way in ways.values())
    agree(f"a row of one's own, {engine}", [*theirs, *given[0]], [*value, *expected[0]])
    actions = {name.replace("_", " "): lambda way=way: way(x, y) for name, way in ways.items()}
    return compared(actions, "inline", 1e3, rounds)


def measured(rounds):
    """All of it, for the file of results."""
    return {
        "own_row": own_row(rounds) if "llvm" in engines() else {},
        "wide_graphs": wide_graphs(rounds),
        "gradients_of_functions": functions(rounds),
        "create_graph": create_graph(rounds),
    }


def print_measured(results):
    rows = [
        [program.replace("_", " "), row["operations"], name, *engine.values()]
        for program, row in results["wide_graphs"].items()
        for name, engine in row.items()
        if name != "operations"
    ]
    header = ("program", "operations", "engine", "ns an operation", "times ours")
    print_table("Whole graphs: built, differentiated, released", header, rows)
    rows = [
        [f.replace("_", " "), *(x for way in row.values() for x in way.values())]
        for f, row in results["gradients_of_functions"].items()
    ]
    header = ("function", "Values, µs", "times", "grad, µs", "times", "value_and_grad, µs", "times")
    print_table("Gradients of functions, against Values and backward by hand", header, rows)
    ways = dict(results["create_graph"])
    title = f"Gradients as Values, {ways.pop('operations'):,} operations"
    rows = [[name, *way.values()] for name, way in ways.items()]
    print_table(title, ("way", "ms", "times the naive pass"), rows)
    rows = [
        [engine, name, *way.values()]
        for engine, ways in results["own_row"].items()
        for name, way in ways.items()
    ]
    title = "A row of one's own, value and gradient of 100,000 points"
    print_table(title, ("engine", "way", "ms", "times inline"), rows)
