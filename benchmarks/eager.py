"""Eager mode: build and differentiate 10,000 mixed operations, beside other scalar engines.

Run `python benchmarks/eager.py` after `pip install -e ".[bench]"`; opponents that are not installed
are left out. With `TINYGRAD_SCALAR_COMPILED=1` before `pip` the compiled node is measured.
It measures, and writes into benchmarks/results/eager.json (or eager_compiled.json),

1. nanoseconds per operation to build, to differentiate and to release, engines taking turns;
2. bytes per operation that the graph holds after backward;
3. a chain of 1,000,000 operations: built, differentiated, drawn into DOT, pickled, copied, freed;
   time and memory per operation must be those of a chain of 100,000;
4. the time of `import tinygrad_scalar`, and that it loads nothing heavy;
5. wide graphs, a chain and a step of a GPT beside a plain `Value` of thirty lines; `grad` beside
   Values by hand; `create_graph` beside a naive pass over Values; a row of one's own in a batch
   beside the same written inline (see against_plain.py). Medians are nanoseconds an operation of
   wide graphs, microseconds a gradient, milliseconds a `create_graph` or a batch.
"""

import argparse
import copy
import gc
import pickle
import subprocess
import sys
import time
from statistics import median

from against_plain import measured, print_measured
from harness import (
    agree,
    bytes_held,
    in_turns,
    machine,
    note,
    print_table,
    ratio,
    timed,
    version,
    write_results,
)

import tinygrad_scalar
from tinygrad_scalar import Value
from tinygrad_scalar.bench.programs import ARITHMETIC, FUNCTIONS, Program

OPERATIONS = 10_000
GRAPHS = 5
CHAINS = (100_000, 1_000_000)
HEAVY = ("numpy", "graphviz", "pygraphviz", "hypothesis", "matplotlib", "mpmath", "scipy", "tqdm")


# ── the engines: a run gives (seconds to build, seconds to differentiate, value, gradients) ───
def ours(program):
    names = {name: getattr(tinygrad_scalar, name) for name in ("exp", "log", "sin", "tanh")}
    run = program.compiled(relu="{a}.relu()", **names)
    return lambda: closures(Value, run, program.inputs)


def micrograd(program):
    from micrograd.engine import Value as Theirs

    sys.setrecursionlimit(10**6)  # its backward recurses over the graph
    run = program.compiled(relu="{a}.relu()")
    return lambda: closures(Theirs, run, program.inputs)


def closures(kind, run, inputs):
    start = time.perf_counter()
    leaves = [kind(x) for x in inputs]
    output = run(leaves)
    built = time.perf_counter()
    output.backward()
    done = time.perf_counter()
    return built - start, done - built, output.data, [leaf.grad for leaf in leaves]


def xad(program):
    import xad.math
    from xad.adj_1st import Real, Tape

    names = {name: getattr(xad.math, name) for name in ("exp", "log", "sin", "tanh", "max")}
    run = program.compiled(relu="max({a}, 0.0)", **names)

    def once():
        start = time.perf_counter()
        with Tape() as tape:
            leaves = [Real(x) for x in program.inputs]
            tape.registerInputs(leaves)
            tape.newRecording()
            output = run(leaves)
            tape.registerOutput(output)
            output.setDerivative(1.0)
            built = time.perf_counter()
            tape.computeAdjoints()
            done = time.perf_counter()
            gradients = [leaf.getDerivative() for leaf in leaves]
            return built - start, done - built, output.getValue(), gradients

    return once


def autograd(program):
    import autograd.numpy as np
    from autograd import value_and_grad

    names = {name: getattr(np, name) for name in ("exp", "log", "sin", "tanh", "maximum")}
    both = value_and_grad(program.compiled(relu="maximum({a}, 0.0)", **names))

    def once():  # builds and differentiates in one call
        seconds, (value, gradients) = timed(lambda: both(program.inputs))
        return seconds, 0.0, float(value), list(map(float, gradients))

    return once


# ── 1. speed ──────────────────────────────────────────────────────────────────────────────────
def speed(program, opponents, rounds):
    """Nanoseconds per operation of each engine, and how many times ours.

    A turn is a loop over GRAPHS graphs, so that an engine pays for releasing its graphs, by itself
    or through the cyclic collector, as it does in a training loop.
    """
    engines = {"tinygrad_scalar": ours(program)}
    engines |= {
        engine.__name__: engine(program) for engine in opponents if version(engine.__name__)
    }
    _, _, value, gradients = engines["tinygrad_scalar"]()
    for name, once in engines.items():
        _, _, their_value, their_gradients = once()
        agree(name, [their_value, *their_gradients], [value, *gradients])
    runs = in_turns({name: turn(once) for name, once in engines.items()}, rounds)
    totals = {name: [total for total, _, _ in results] for name, results in runs.items()}
    scale = 1e9 / program.operations / GRAPHS
    return {
        name: {
            "total_ns": median(totals[name]) * scale,
            **parts_ns(results, scale),
            "times_ours": ratio(totals[name], totals["tinygrad_scalar"]),
        }
        for name, results in runs.items()
    }


def parts_ns(results, scale):
    """Building and differentiating apart, where the engine does them apart."""
    _, builds, backwards = zip(*results, strict=True)
    if not any(backwards):
        return {"build_ns": None, "backward_ns": None}
    return {"build_ns": median(builds) * scale, "backward_ns": median(backwards) * scale}


def turn(once):
    """A function that runs `once` GRAPHS times: seconds in all, to build, to differentiate."""

    def run():
        total, parts = timed(lambda: [once()[:2] for _ in range(GRAPHS)])
        return total, sum(build for build, _ in parts), sum(backward for _, backward in parts)

    return run


def print_speed(title, results, held):
    header = ("engine", "build, ns", "backward, ns", "and release, ns", "times ours", "bytes")
    columns = ("build_ns", "backward_ns", "total_ns", "times_ours")
    rows = [
        [name, *(row[column] for column in columns), held.get(name)]
        for name, row in results.items()
    ]
    print_table(title, header, rows)


# ── 2. memory ─────────────────────────────────────────────────────────────────────────────────
def memory(program):
    """Bytes per operation held by the graph after backward, the table released."""
    kinds = {"tinygrad_scalar": Value}
    if version("micrograd"):
        from micrograd.engine import Value as Theirs

        kinds["micrograd"] = Theirs
    run = program.compiled(relu="{a}.relu()")

    def graph(kind):
        output = run([kind(x) for x in program.inputs])
        output.backward()
        return output

    held = {}
    for name, kind in kinds.items():
        _, total, _ = bytes_held(lambda kind=kind: graph(kind))
        held[name] = total / program.operations
    if version("xad"):
        held["xad"] = _bytes_of_xad(program)
    return held


def _bytes_of_xad(program):
    """Its tape lives outside Python; the tape itself tells."""
    import xad.math
    from xad.adj_1st import Real, Tape

    run = program.compiled(relu="max({a}, 0.0)", max=xad.math.max)
    with Tape() as tape:
        leaves = [Real(x) for x in program.inputs]
        tape.registerInputs(leaves)
        tape.newRecording()
        run(leaves)
        return tape.getMemory() / program.operations


# ── 3. a long chain ───────────────────────────────────────────────────────────────────────────
def chain(operations):
    x = Value(0.5, label="x")
    v = x
    for _ in range(operations // 2):
        v = v * x + 0.25
    return v


def stages():
    """What is done to a chain, each a function of its output."""
    actions = {
        "backward": lambda v: v.backward(),
        "pickle": pickle.dumps,
        "unpickle": lambda v: pickle.loads(pickle.dumps(v)),  # noqa: S301 (made on this line)
        "deep copy": copy.deepcopy,
    }
    try:
        from tinygrad_scalar.drawing import to_dot
    except ImportError:
        return actions
    return actions | {"DOT text": to_dot}


def long_chain(operations):
    """Nanoseconds per operation of each stage."""
    seconds, v = timed(lambda: chain(operations))
    results = {"build": seconds * 1e9 / operations}
    for name, action in stages().items():
        note(f"chain of {operations:,}: {name}")
        seconds, _ = timed(lambda action=action, v=v: action(v))
        results[name] = seconds * 1e9 / operations
    results["unpickle"] -= results["pickle"]
    start = time.perf_counter()
    del v
    results["free"] = (time.perf_counter() - start) * 1e9 / operations
    return results


def memory_of_chain(operations):
    """Bytes per operation at the peak of each stage, and those left after all is freed."""
    note(f"chain of {operations:,}: memory")
    v, held, _ = bytes_held(lambda: chain(operations))
    results = {"build": held / operations}
    for name, action in stages().items():
        _, _, peak = bytes_held(lambda action=action, v=v: action(v))
        results[name] = peak / operations
    del v
    gc.disable()  # a cycle would be left behind now
    _, left, _ = bytes_held(lambda: bool(chain(operations).backward()))
    gc.enable()
    return results | {"free": left / operations}


def print_chain(results):
    header = ["stage", *(f"{n:,}: {unit}" for unit in ("ns", "bytes") for n in CHAINS)]
    rows = [
        [stage, *(results[str(n)][unit][stage] for unit in ("ns", "bytes") for n in CHAINS)]
        for stage in results[str(CHAINS[0])]["ns"]
    ]
    print_table("A chain, per operation (bytes at the peak of the stage)", header, rows)


# ── 4. import ─────────────────────────────────────────────────────────────────────────────────
def importing(rounds=11):
    """Milliseconds of `import tinygrad_scalar` in a fresh interpreter; the heavy modules loaded."""
    code = (
        "import sys, time; start = time.perf_counter(); import tinygrad_scalar;"
        "print(time.perf_counter() - start, *(m for m in sys.argv[1:] if m in sys.modules))"
    )
    times, loaded = [], set()
    for _ in range(rounds):
        command = [sys.executable, "-c", code, *HEAVY]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        times.append(float(told[0]) * 1e3)
        loaded.update(told[1:])
    return {"milliseconds": median(times), "runs": rounds, "heavy_modules": sorted(loaded)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns per engine (9)")
    rounds = parser.parse_args().rounds
    arithmetic, functions = Program(ARITHMETIC, OPERATIONS), Program(FUNCTIONS, OPERATIONS)
    note("beside a plain Value")
    beside = measured(rounds)
    note("speed")
    results = {
        "machine": machine("tinygrad_scalar", "micrograd", "xad", "autograd", "numpy"),
        "operations": OPERATIONS,
        "rounds": rounds,
        **beside,
        "arithmetic": speed(arithmetic, (micrograd, xad, autograd), rounds),
        "functions": speed(functions, (xad, autograd), rounds),
        "bytes_per_operation": memory(arithmetic),
        "import": importing(),
        "chain": {str(n): {"ns": long_chain(n), "bytes": memory_of_chain(n)} for n in CHAINS},
    }
    print_measured(results)
    held = results["bytes_per_operation"]
    title = f"{OPERATIONS:,} operations, per operation: + − × ÷ square neg relu"
    print_speed(title, results["arithmetic"], held)
    print_speed("The same with exp, log, sin, tanh", results["functions"], {})
    print_chain(results["chain"])
    told = results["import"]
    print(f"\nimport tinygrad_scalar: {told['milliseconds']:.0f} ms (median of {told['runs']})")
    print(f"heavy modules loaded by it: {', '.join(told['heavy_modules']) or 'none'}")
    write_results("eager", results)


if __name__ == "__main__":
    main()
