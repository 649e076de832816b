"""Pictures: DOT text of large graphs, the SVG beside Graphviz alone, the page of steps.

Run `python benchmarks/drawing.py` after `pip install -e ".[svg]"`. It measures, and writes into
benchmarks/results/drawing.json,

1. the DOT text of mixed operations, 10,000 to 1,000,000 nodes, before and after backward: linear,
   and under a second for 100,000;
2. the SVG of a network of about 1,000 nodes as `draw` makes it, in a process of its own, beside
   pygraphviz called in this process on the same DOT text: what the process costs;
3. the page of steps of about 500 nodes, and, where Chromium and selenium are, how long it takes to
   open: until its script has run;
4. the default picture of ordinary larger graphs: seconds from the graph to the SVG, and its size.
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from harness import in_turns, machine, note, print_table, ratio, timed, version, write_results

import tinygrad_scalar
from tinygrad_scalar import Value, nn, topological_order
from tinygrad_scalar.bench.programs import FUNCTIONS, Program
from tinygrad_scalar.drawing import draw, steps, to_dot

SIZES = (10_000, 100_000, 1_000_000)


def mixed(operations):
    """The output of a program of mixed operations."""
    program = Program(FUNCTIONS, operations, seed=1)
    names = {name: getattr(tinygrad_scalar, name) for name in ("relu", "exp", "log", "sin", "tanh")}
    return program.compiled(**names)([Value(x) for x in program.inputs])


def network(hidden):
    """The loss of an MLP with two hidden layers on one example."""
    model = nn.MLP(3, [hidden, hidden, 1], seed=0)
    return model([Value(0.5), Value(-1.0), Value(2.0)]).tanh()


def seconds_of_dot(z, rounds):
    """Of this process alone: what else the machine does has no part in a pure function."""

    def once():
        begin = time.process_time()
        to_dot(z)
        return time.process_time() - begin

    return median(in_turns({"": once}, rounds)[""])


def dot_text(rounds, sizes):
    rows = []
    for size in sizes:
        note(f"DOT text of {size:,} operations")
        z = mixed(size)
        nodes = len(topological_order(z))
        before = seconds_of_dot(z, rounds)
        after = None
        if size <= 100_000:  # the gradients of a longer program overflow
            z.backward()
            after = seconds_of_dot(z, rounds)
        rows.append([nodes, before, after, 1e6 * before / nodes])
    print_table("DOT text", ["nodes", "before backward, s", "after, s", "before, µs a node"], rows)
    return [dict(zip(("nodes", "before", "after", "us_a_node"), row, strict=True)) for row in rows]


def svg(rounds):
    from pygraphviz import AGraph

    z = network(26)
    z.backward()
    source = draw(z, max_nodes=None).source
    path, os.environ["PATH"] = os.environ["PATH"], ""  # so that draw takes pygraphviz too

    def alone():
        return timed(lambda: AGraph(string=source).draw(format="svg", prog="dot"))[0]

    def ours():
        return timed(lambda: draw(z, max_nodes=None, timeout=600).svg())[0]

    note("SVG of about 1,000 nodes")
    runs = in_turns({"draw": ours, "pygraphviz alone": alone}, rounds)
    os.environ["PATH"] = path
    nodes = len(topological_order(z))
    times = {name: median(seconds) for name, seconds in runs.items()}
    overhead = 1 / ratio(runs["pygraphviz alone"], runs["draw"])
    rows = [[name, seconds] for name, seconds in times.items()]
    print_table(f"SVG of {nodes:,} nodes: {overhead:.2f} times", ["", "s"], rows)
    return {"nodes": nodes, **times, "ratio": overhead}


def page(rounds):
    z = deep(490)
    note("page of steps of about 500 nodes")
    runs = in_turns({"": lambda: timed(lambda: steps(z).html())}, rounds)[""]
    seconds, html = median(run[0] for run in runs), runs[0][1]
    nodes = len(topological_order(z))
    opened = seconds_to_open(html, rounds)
    row = [nodes, seconds, len(html), opened]
    print_table("Page of steps", ["nodes", "s", "bytes", "s to open"], [row])
    return dict(zip(("nodes", "seconds", "bytes", "opened"), row, strict=True))


def seconds_to_open(html, rounds):
    """From asking for the page to the end of its script, in a browser without a window."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver and version("selenium")):
        return None
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in ("--headless", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "steps.html"
        page.write_text(html, encoding="utf-8")
        chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            runs = [timed(lambda: chromium.get(page.as_uri()))[0] for _ in range(rounds)]
        finally:
            chromium.quit()
    return median(runs)


def newton():
    a, x = Value(2.0, label="a"), Value(1.0, label="x")
    for _ in range(30):
        x = (x + a / x) * 0.5
    return x


def deep(nodes):
    """A chain with local sharing: each operation takes the last result and a recent one."""
    source = random.Random(0)
    made = [Value(0.5, label="x"), Value(1.5, label="y")]
    while len(made) < nodes:
        a, b = made[-1], made[max(0, len(made) - source.randint(1, 12))]
        made.append(source.choice([a + b, a * b, a.sin(), a.tanh()]))
    return made[-1]


def one_example(nin, nouts):
    return nn.MLP(nin, nouts, seed=0)([Value(0.1 * i + 0.3, label=f"x{i}") for i in range(nin)])


def mean_loss():
    model, source = nn.MLP(2, [4, 1], seed=0), random.Random(0)
    total = Value(0.0)
    for _ in range(20):
        x = [source.uniform(-1, 1) for _ in range(2)]
        total = total + (model(x) - source.choice([-1.0, 1.0])) ** 2
    return total / 20


def chain():
    x = Value(0.3, label="x")
    for _ in range(500):
        x = x.sin() + 0.1
    return x


ORDINARY = {
    "Newton's square root, 30 steps": newton,
    "deep program, 490 nodes": lambda: deep(490),
    "deep program, 300 nodes": lambda: deep(300),
    "MLP(3, [4, 4, 1])": lambda: one_example(3, [4, 4, 1]),
    "MLP(8, [16, 16, 1])": lambda: one_example(8, [16, 16, 1]),
    "mean loss of 20 examples": mean_loss,
    "500 × (sin, + 0.1)": chain,
}


def ordinary(rounds):
    rows = []
    for name, make in ORDINARY.items():
        note(name)
        z = make()
        z.backward()
        runs = in_turns({"": lambda z=z: timed(lambda: draw(z, max_nodes=1000).svg())}, rounds)[""]
        svg = runs[0][1]
        width, height = re.search(r'<svg width="(\d+)pt" height="(\d+)pt"', svg).groups()
        nodes = len(topological_order(z))
        rows.append([name, nodes, median(run[0] for run in runs), int(width), int(height)])
    header = ["picture", "nodes", "seconds", "width", "height"]
    print_table("Default pictures, in points", header, rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="without the million, two rounds")
    options = parser.parse_args()
    rounds, sizes = (2, SIZES[:2]) if options.quick else (options.rounds, SIZES)
    results = {"machine": machine("pygraphviz"), "dot": dot_text(rounds, sizes)}
    if version("pygraphviz"):
        results |= {"svg": svg(rounds), "steps": page(rounds), "ordinary": ordinary(rounds)}
    else:
        print("\npygraphviz is not installed: no SVG, no page", file=sys.stderr)
    if not options.quick:
        write_results("drawing", results)


if __name__ == "__main__":
    main()
