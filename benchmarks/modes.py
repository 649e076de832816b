"""What the modes of differentiation cost, in counted operations and in seconds.

Run `python benchmarks/modes.py`. It measures, and writes into benchmarks/results/modes.json,

1. gradient against function, for programs of several kinds (the bar: at most 4);
2. `hvp` against function, Rosenbrock's and a small network, n = 10 … 1,000 (at most 10);
3. the sparse Hessian of Rosenbrock's function, n = 100 … 10,000, and the dense one where it ends;
4. the n-th derivative by `taylor` and by nested `grad`;
5. `checkpoint_chain` of n steps, n = 16 … 4,096: nodes held at one time, and evaluations.

A counted operation is a forward rule, or one multiplication with one addition on an edge of a
backward, or for a tangent of forward mode. Rules inside partials count.
"""

import argparse
import math
from itertools import pairwise
from statistics import median

from harness import agree, in_turns, machine, note, print_table, ratio, timed, write_results

from tinygrad_scalar import (
    Value,
    checkpoint_chain,
    counting,
    exp,
    grad,
    hessian,
    hvp,
    log,
    normal_cdf,
    sin,
    sqrt,
    tanh,
    taylor,
)
from tinygrad_scalar.bench.programs import ARITHMETIC, FUNCTIONS, Program

SIZES = (10, 30, 100, 300, 1_000)
SPARSE_SIZES = (100, 1_000, 10_000)
DENSE_SIZES = (100, 1_000)
ORDERS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
LARGEST_NESTING = 6
STEPS = tuple(2**k for k in range(4, 13))


def rosenbrock(x):
    """Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)²: a Hessian with three diagonals."""
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x))


def network(x):
    """Ten units of tanh over all inputs, and the sum of their squares."""
    units = [tanh(sum(0.1 * math.sin(i + j) * v for j, v in enumerate(x))) for i in range(10)]
    return sum(unit * unit for unit in units)


def black_scholes(x):
    """The price of a European call."""
    spot, strike, volatility, rate, years = x
    spread = volatility * sqrt(years)
    d = (log(spot / strike) + (rate + volatility * volatility / 2) * years) / spread
    return spot * normal_cdf(d) - strike * exp(-rate * years) * normal_cdf(d - spread)


def point(n):
    return [0.5 + 0.3 * math.sin(i) for i in range(n)]


def counted(action):
    """Forward rules and multiply-adds of `action()`."""
    with counting() as c:
        action()
    return c.evaluations + c.multiplications


def on_values(f, x):
    return lambda: f([Value(v) for v in x])


def in_seconds(contenders, rounds):
    """Median seconds of each contender, and each one's ratio to the first, round by round."""
    timing = {name: lambda run=run: timed(run)[0] for name, run in contenders.items()}
    runs = in_turns(timing, rounds)
    first = runs[next(iter(runs))]
    return {
        name: {"seconds": median(seconds), "times_function": ratio(seconds, first)}
        for name, seconds in runs.items()
    }


# ── 1. the cheap gradient principle ───────────────────────────────────────────────────────────
def cheap_gradients(rounds):
    arithmetic, functions = Program(ARITHMETIC, 2_000), Program(FUNCTIONS, 2_000)
    names = {"exp": exp, "log": log, "sin": sin, "tanh": tanh}
    programs = {
        "+ − × ÷ square neg relu, mixed": (
            arithmetic.compiled(relu="{a}.relu()"),
            arithmetic.inputs,
        ),
        "the same with exp, log, sin, tanh": (
            functions.compiled(relu="{a}.relu()", **names),
            functions.inputs,
        ),
        "Rosenbrock, n = 1,000": (rosenbrock, point(1_000)),
        "network, n = 100": (network, point(100)),
        "Black–Scholes": (black_scholes, [100.0, 95.0, 0.2, 0.05, 1.5]),
    }
    results = {}
    for name, (f, x) in programs.items():
        note(f"gradient: {name}")
        function = counted(on_values(f, x))
        contenders = {"function": on_values(f, x), "gradient": lambda f=f, x=x: grad(f)(x)}
        times = in_seconds(contenders, rounds)
        results[name] = {
            "operations": function,
            "counted_ratio": counted(contenders["gradient"]) / function,
            "seconds_ratio": times["gradient"]["times_function"],
        }
    return results


# ── 2. Hessian times vector ───────────────────────────────────────────────────────────────────
def hessian_vector_products(rounds):
    results = {}
    for name, f in (("Rosenbrock", rosenbrock), ("network", network)):
        for n in SIZES:
            note(f"hvp: {name}, n = {n:,}")
            x, direction = point(n), [math.cos(i) for i in range(n)]
            function = on_values(f, x)
            contenders = {
                "function": function,
                "gradient": lambda f=f, x=x: grad(f)(x),
                "hvp": lambda f=f, x=x, direction=direction: hvp(f, (x,), (direction,)),
            }
            operations = counted(function)
            times = in_seconds(contenders, rounds)
            results[f"{name}, n = {n:,}"] = {
                "n": n,
                "operations": operations,
                "gradient_ratio": counted(contenders["gradient"]) / operations,
                "hvp_ratio": counted(contenders["hvp"]) / operations,
                "hvp_seconds_ratio": times["hvp"]["times_function"],
                "hvp_seconds": times["hvp"]["seconds"],
            }
    return results


# ── 3. sparse Hessians ────────────────────────────────────────────────────────────────────────
def sparse_hessians(rounds):
    results = {}
    for n in SPARSE_SIZES:
        note(f"sparse Hessian: n = {n:,}")
        x = point(n)
        contenders = {
            "function": on_values(rosenbrock, x),
            "sparse": lambda x=x: hessian(rosenbrock, sparse=True)(x),
        }
        found = contenders["sparse"]()
        check_tridiagonal(found, x)
        times = in_seconds(contenders, rounds)
        results[f"n = {n:,}"] = {
            "entries": len(found[2]),
            "counted_ratio": counted(contenders["sparse"]) / counted(contenders["function"]),
            "seconds": times["sparse"]["seconds"],
            "times_function": times["sparse"]["times_function"],
            "dense_seconds": dense_seconds(x) if n in DENSE_SIZES else None,
        }
    return results


def dense_seconds(x):
    note(f"dense Hessian: n = {len(x):,}")
    return timed(lambda: hessian(rosenbrock)(x))[0]


def check_tridiagonal(found, x):
    """Nothing is timed before it is right: against the formula."""
    n = len(x)
    actual, expected = [], []
    for i, j, value in zip(*found, strict=True):
        actual.append(value)
        if i == j:
            inner = 1200 * x[i] ** 2 - 400 * x[i + 1] + 2 if i < n - 1 else 0.0
            expected.append(inner + (200 if i else 0))
        else:
            expected.append(-400 * x[min(i, j)])
    assert len(actual) == 3 * n - 2
    agree("sparse Hessian", actual, expected)


# ── 4. derivatives of order n ─────────────────────────────────────────────────────────────────
def f_of_one(x):
    return sin(x) * exp(x / 2) / (1 + x * x)


def nested(n):
    f = f_of_one
    for _ in range(n):
        f = grad(f)
    return f(0.7)


def orders(rounds):
    results = {}
    for n in ORDERS:
        note(f"derivative of order {n}")
        contenders = {"taylor": lambda n=n: taylor(f_of_one, n)(0.7)[n]}
        if n <= LARGEST_NESTING:
            contenders["nested grad"] = lambda n=n: nested(n)
            agree(f"order {n}", [contenders["taylor"]()], [nested(n)])
        times = in_seconds(contenders, rounds)
        results[str(n)] = {
            name: {"operations": counted(run), "seconds": times[name]["seconds"]}
            for name, run in contenders.items()
        }
    return results


# ── 5. chains under checkpoints ───────────────────────────────────────────────────────────────
def step(state):
    """One of Euler's for s′ = sin s: three operations, and a slope that neither dies nor grows."""
    return state + 1e-3 * sin(state)


def plain_chain(state, n):
    for _ in range(n):
        state = step(state)
    return state


def chains():
    results = {}
    for n in STEPS:
        note(f"chain of {n:,} steps")
        row = {}
        for name, chain in (
            ("stored", plain_chain),
            ("checkpointed", lambda state, n: checkpoint_chain(step, state, n)),
        ):
            x = Value(0.5)
            with counting() as c:
                slope = chain(x, n).backward()[x]
            seconds, _ = timed(lambda chain=chain, n=n: chain(Value(0.5), n).backward())
            row[name] = {
                "peak_nodes": c.peak_nodes,
                "evaluations": c.evaluations,
                "seconds": seconds,
                "slope": slope,
            }
        agree(f"chain of {n}", [row["checkpointed"]["slope"]], [row["stored"]["slope"]])
        results[str(n)] = row
    return results


# ── tables ────────────────────────────────────────────────────────────────────────────────────
def show(results):
    print_table(
        "A gradient, in functions",
        ("program", "operations", "counted", "in seconds"),
        [
            [name, row["operations"], row["counted_ratio"], row["seconds_ratio"]]
            for name, row in results["gradient"].items()
        ],
    )
    print_table(
        "A Hessian times a vector, in functions",
        ("program", "operations", "gradient, counted", "hvp, counted", "hvp, in seconds"),
        [
            [
                name,
                row["operations"],
                row["gradient_ratio"],
                row["hvp_ratio"],
                row["hvp_seconds_ratio"],
            ]
            for name, row in results["hvp"].items()
        ],
    )
    print_table(
        "The sparse Hessian of Rosenbrock's function",
        ("size", "entries", "functions, counted", "functions, in seconds", "s", "dense, s"),
        [
            [
                name,
                row["entries"],
                row["counted_ratio"],
                row["times_function"],
                row["seconds"],
                row["dense_seconds"],
            ]
            for name, row in results["sparse"].items()
        ],
    )
    print_table(
        "The n-th derivative of sin(x) e^(x/2) / (1 + x²)",
        ("n", "taylor, operations", "taylor, ms", "nested, operations", "nested, ms"),
        [
            [n, *parts(row.get("taylor")), *parts(row.get("nested grad"))]
            for n, row in results["orders"].items()
        ],
    )
    print_table(
        "A chain of n steps of three operations",
        ("n", *(f"{name}, {what}" for name in ("stored", "checkpointed") for what in HELD)),
        [
            [n, *(row[name][key] for name in ("stored", "checkpointed") for key in HELD.values())]
            for n, row in results["chains"].items()
        ],
    )


HELD = {"nodes at once": "peak_nodes", "evaluations": "evaluations", "s": "seconds"}


def parts(row):
    return [row["operations"], row["seconds"] * 1e3] if row else [None, None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns per contender (7)")
    rounds = parser.parse_args().rounds
    results = {
        "machine": machine("tinygrad_scalar"),
        "rounds": rounds,
        "gradient": cheap_gradients(rounds),
        "hvp": hessian_vector_products(rounds),
        "sparse": sparse_hessians(rounds),
        "orders": orders(rounds),
        "chains": chains(),
    }
    show(results)
    write_results("modes", results)


if __name__ == "__main__":
    main()
