"""Programs that nothing was tuned for: how soon the first result is there, and what a call costs.

`python benchmarks/unseen.py` takes two dozen programs as one finds them (`programs.py`,
`networks.py`), some in several spellings: value and gradient by all their numbers, of networks a
step with `backward`, at one point or over a batch. For each it gives the operations of the trace,
the CPU time of the first result in a process that has compiled before (trace, derivative and
machine code), µs an operation; a call, once it has been called so often that it gets no faster; and
how often eager mode takes its time.

Then the same traces in CasADi, called on its buffers, where the numbers stand already, beside ours,
which take them out of lists or arrays and put gradients into such; a step of the spiral's network
beside NumPy by hand, its loss in four spellings; and an embedding of 50 rows of 16 numbers beside
one of 50,000: what an index points to, scored by a neuron; first results, calls and the memory that
compiling holds. The worst stands first, beside the bar where there is one. Results are held to
eager ones before anything is timed. Names choose some programs; then
benchmarks/results/unseen.json is not written.
"""

import functools
import math
import operator
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from harness import agree, bytes_held, in_turns, machine, note, print_table, ratio, write_results
from networks import STEPS, affine, weights
from programs import POINTS, heat_equation, numbers

import tinygrad_scalar as tg
from tinygrad_scalar import take, value_and_grad
from tinygrad_scalar.bench import opponents
from tinygrad_scalar.bench.works import scalar_spiral
from tinygrad_scalar.compiler.backends import first_calls
from tinygrad_scalar.compiler.llvm.kernel import IN_ALL
from tinygrad_scalar.core.tree import leaves

ROUNDS = 7
FIRST, FROM = 30, 2_000  # µs a line at most to a first result, from so many lines on
CALL, LONG_LISTS, LONG = 0.35, 0.7, 500  # times CasADi at most; on lists of more numbers than LONG


def best(action, rounds=ROUNDS, seconds=0.05):
    """CPU seconds of a run, the least of several rounds of so many runs."""
    start = time.process_time()
    action()
    count = max(1, int(seconds / max(time.process_time() - start, 1e-7) / rounds))
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            action()
        times.append((time.process_time() - start) / count)
    return min(times)


def first(make):
    """CPU seconds until the first result of a function compiled afresh, the least of three."""
    times = []
    for _ in range(3):
        f, call = make()
        start = time.process_time()
        call(f)
        times.append(time.process_time() - start)
    return min(times), f, call


def settle(f, call, points=None):
    """Call it until it gets no faster: code that is ready soon gives way to better code."""
    for _ in range(first_calls(len(f.tape)) + 3 if points is None else IN_ALL // points + 3):
        call()


def point(function, arguments):
    """One program of plain arguments."""
    spent, f, call = first(lambda: (tg.compile(function), lambda f: f.value_and_grad(*arguments)))
    expected = value_and_grad(function)(*arguments)
    flat = [float(getattr(x, "data", x)) for x in leaves(expected)]
    error = agree(function.__name__, list(leaves(call(f))), flat, 1e-8)
    settle(f, lambda: call(f))
    eager = best(lambda: value_and_grad(function)(*arguments), rounds=2, seconds=0)
    return len(f.tape), spent, best(lambda: call(f)), eager, error


def step(make):
    """One step of a network, a point or a batch."""
    function, arguments, parts = make()
    parameters = list(leaves(parts))
    spent, f, call = first(lambda: (tg.compile(function), lambda f: f.backward(*arguments)))

    def gradients(run):
        for p in parameters:
            p.grad = 0.0
        run()
        return [p.grad for p in parameters]

    def eagerly():
        if not hasattr(arguments[0], "shape"):
            function(*arguments).backward()
            return
        pairs = zip(*(x.tolist() for x in arguments), strict=True)
        (sum(function(*pair) for pair in pairs) / len(arguments[0])).backward()

    settle(f, lambda: call(f), len(arguments[0]) if hasattr(arguments[0], "shape") else None)
    error = agree("step", gradients(lambda: call(f)), gradients(eagerly))
    eager = best(eagerly, rounds=2, seconds=0)
    return len(f.tape), spent, best(lambda: call(f)), eager, error


# ── beside others ─────────────────────────────────────────────────────────────────────────────
def by_casadi(tape, x):
    """A trace operation by operation in CasADi, called on its buffers: the run, its gradient."""
    import casadi

    def logsumexp(*terms):
        largest = functools.reduce(casadi.fmax, terms)
        return largest + casadi.log(sum(casadi.exp(a - largest) for a in terms))

    def dot(*terms):
        half = len(terms) // 2
        return sum(a * b for a, b in zip(terms[:half], terms[half:], strict=True))

    rows = {name: getattr(operator, name) for name in ("add", "sub", "mul", "neg", "pow")}
    rows |= {name: getattr(casadi, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tanh")}
    rows |= {"div": operator.truediv, "maximum": casadi.fmax, "square": lambda a: a * a}
    rows |= {"sum": lambda *terms: sum(terms), "dot": dot, "logsumexp": logsumexp}
    rows |= {
        "sigmoid": lambda a: 1 / (1 + casadi.exp(-a)),
        "softplus": lambda a: casadi.log1p(casadi.exp(a)),
        "normal_cdf": lambda a: 0.5 * (1 + casadi.erf(a * 0.5**0.5)),
    }
    inputs = [casadi.SX.sym(f"x{k}") for k in range(len(x))]
    values = []
    for name, operands in tape:
        if name in ("holds", "fails"):  # which way a comparison went
            continue
        if name == "input":
            values.append(inputs[operands[0]])
        elif name == "constant":
            values.append(operands[0])
        else:
            values.append(rows[name](*(values[k] for k in operands)))
    together = casadi.vertcat(*inputs)
    gradient = casadi.gradient(values[-1], together)
    function = casadi.Function("f", [together], [gradient, values[-1]])
    return opponents.casadi_buffer(function, x)


def turns(runs, theirs):
    """How many times as long as theirs the others take: CPU time, taking turns."""
    measured = {name: partial(best, run, rounds=1, seconds=0.02) for name, run in runs.items()}
    times = in_turns(measured, 7)
    return {name: ratio(times[name], times[theirs]) for name in runs if name != theirs}


def beside_casadi(chosen):
    """A call of each program on lists and on arrays, over CasADi's on its buffers."""
    results = {}
    for name in chosen:
        note(f"{name} beside CasADi …")
        function, arguments = POINTS[name]
        f, on_arrays = tg.compile(function), tg.compile(function, batch=False)
        arrays = [np.array(a) if isinstance(a, list) else a for a in arguments]
        f.value_and_grad(*arguments)
        settle(f, partial(f.value_and_grad, *arguments))
        settle(f, partial(on_arrays.value_and_grad, *arrays))
        found = f.value_and_grad(*arguments)
        x = [float(a) for a in leaves(list(arguments))]
        run, gradient = by_casadi(f.tape, x)
        agree(name, [float(a) for a in leaves(found[1])], gradient, 1e-8)
        runs = {
            "lists": partial(f.value_and_grad, *arguments),
            "arrays": partial(on_arrays.value_and_grad, *arrays),
            "CasADi": run,
        }
        bar = LONG_LISTS if len(x) > LONG else CALL
        results[name] = {"numbers": len(x)} | turns(runs, "CasADi") | {"bar of lists": bar}

    def missed(result):
        return max(result["lists"] / result["bar of lists"], result["arrays"] / CALL)

    results = dict(sorted(results.items(), key=lambda pair: -missed(pair[1])))
    rows = [[name, *result.values()] for name, result in results.items()]
    title = f"A call over CasADi's on buffers, CPU time (bar of arrays: {CALL})"
    print_table(title, ["program", "numbers", "lists", "arrays", "bar of lists"], rows)
    return results


LOSSES = {
    "cross_entropy": tg.cross_entropy,
    "logsumexp(s) - take(s, t)": lambda s, t: tg.logsumexp(s) - take(s, t),
    "-take(log_softmax(s), t)": lambda s, t: -take(tg.log_softmax(s), t),
    "-log(take(softmax(s), t))": lambda s, t: -tg.log(take(tg.softmax(s), t)),
}


def beside_numpy():
    """A full-batch step of the spiral's network, 300 points, over the same by hand in NumPy."""
    X, Y = map(np.asarray, tg.data.spirals(100, seed=0))
    runs = {}
    for name, loss in LOSSES.items():
        note(f"spiral, {name} …")
        step, matrices = scalar_spiral(X, Y, "llvm", loss, rate=1e-9)
        w1, w2 = (np.array([[v.data for v in row] for row in part]) for part in matrices)
        by_hand = opponents.numpy_spiral(X, Y, w1, w2, 1e-9)
        for _ in range(3):
            agree(name, [step()], [by_hand()])
        settle(None, step, len(X))
        runs[name] = step
    results = turns(runs | {"NumPy": by_hand}, "NumPy")
    title = "A step of the spiral's network over NumPy's by hand, CPU time"
    print_table(title, ["loss", "times NumPy"], [list(result) for result in results.items()])
    return results


def embedding(rows, points=1000, width=16):
    """Times and bytes of one table; the points look up rows at random."""
    table, neuron = weights(rows, width, 0, 0.1), weights(1, width, 1)

    def score(i, x):
        return tg.tanh(affine(neuron, take(table, i))[0] * x) ** 2

    draw = np.random.default_rng(0)
    batch = draw.integers(0, rows, points).astype(float), np.linspace(-1, 1, points)
    few = draw.integers(0, 50, points).astype(float), batch[1]  # as many rows in every table
    first_ones = [
        first(lambda: (tg.compile(score), lambda f: f.backward(3.0, 0.5)))[0],
        first(lambda: (tg.compile(score), lambda f: f.backward(*batch)))[0],
    ]
    f = tg.compile(score)
    _, held, _ = bytes_held(lambda: f.backward(3.0, 0.5))
    f.backward(*batch)
    eager = sum(score(int(i), x) for i, x in zip(*(c.tolist() for c in batch), strict=True))
    found = float(f(*batch).sum())
    assert abs(found - eager.data) <= 1e-12 * abs(eager.data)
    calls = [(3.0, 0.5), few, batch]
    times = []
    for run in (f, f.backward):
        settle(f, partial(run, *batch), points)
        times += [best(partial(run, *given)) for given in calls]
    return [*first_ones, *times, held]


def tables():
    """Two lengths beside each other."""
    names = ["first backward, a point", "first backward, 1,000 points"]
    for name in ("value", "backward"):
        names += [f"{name}, a point", f"{name}, 1,000 points in 50 rows"]
        names += [f"{name}, 1,000 points anywhere"]
    names += ["bytes held after the first backward"]
    short, long = embedding(50), embedding(50_000)
    times = [
        [name, a * 1e6, b * 1e6, b / a] for name, a, b in zip(names, short[:-1], long, strict=False)
    ]
    times.append([names[-1], short[-1], long[-1], long[-1] / short[-1]])
    print_table("An embedding, µs", ["", "50 rows", "50,000 rows", "ratio"], times)
    return {name: {"50": a, "50000": b, "ratio": r} for name, a, b, r in times}


def main():
    chosen = [name for name in sys.argv[1:] if name in POINTS or name in STEPS]
    warm = tg.compile(lambda x, y: tg.sin(x) * tg.exp(y) + tg.tanh(x))
    warm.value_and_grad(1.0, 2.0)
    point(heat_equation, (numbers(120), 0.2))  # the interpreter of large traces too
    results, rows = {}, []
    for name in chosen or [*POINTS, *STEPS]:
        note(f"{name} …")
        measured = step(STEPS[name]) if name in STEPS else point(*POINTS[name])
        operations, spent, call, eager, error = measured
        results[name] = {
            "lines": operations, "first_us_a_line": spent / operations * 1e6, "call_us": call * 1e6,
            "eager_over_call": eager / call, "error": error,
        }  # fmt: skip
        rows.append([name, operations, *list(results[name].values())[1:4]])
    rows.sort(key=lambda row: -row[2])
    header = ["program", "lines", "first result, µs a line", "call, µs", "eager / call"]
    title = (
        f"Programs that nothing was tuned for, CPU time (bar: {FIRST} µs from {FROM:,} lines on)"
    )
    print_table(title, header, rows)
    assert all(math.isfinite(row[3]) for row in rows)
    results["machine"] = machine("numpy", "llvmlite", "casadi")
    others = [name for name in chosen or POINTS if name in POINTS]
    if find_spec("casadi") and others:
        results["times CasADi's buffers"] = beside_casadi(others)
    if not chosen:
        results["spiral, times NumPy"] = beside_numpy()
        results["embedding of 16 columns"] = tables()
        write_results("unseen", results)


if __name__ == "__main__":
    main()
