"""Batches spread over processes: how much of two cores is work, and what a step costs beside it.

Run `python benchmarks/workers.py` after `pip install -e ".[dask,fast]"`. It measures, and writes
into benchmarks/results/workers.json,

1. the efficiency of two processes, for steps of a second and more: the time of a step here, in one
   process, over twice the time of the same step with two; for training without compiled code, and
   for `backward` of compiled code that computes much with few numbers;
2. what a step costs beside the work: a training step of next to no work, its eight shards in one
   worker process, less the same shards here; and by a Dask cluster of one process.

Both are given twice. On the clock they are true only of a machine that has nothing else to do. By
processor time the efficiency is what the clock would say with a core for each process: the work
over twice the longest worker's share plus what this process does for the step while the workers
wait; and the cost is what this process does, with Dask's scheduler in it.
"""

import argparse
import os
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from itertools import pairwise
from statistics import median

import numpy as np
from harness import in_turns, machine, note, print_table, timed, write_results

from tinygrad_scalar import Value, compile, data, nn, optim, sin

SHARDS = 8
BARS = {"efficiency": 0.8, "cost_ms": 10.0}


class Watched(Executor):
    """An executor that notes how much processor time each of its processes spends on the tasks."""

    def __init__(self, executor):
        self.executor, self.spent = executor, {}

    def submit(self, call, /, *args):
        """As `Executor.submit`."""
        return Answer(self, self.executor.submit(watched, call, *args))


class Answer:
    """A future that tells its executor what the task took."""

    def __init__(self, executor, future):
        self.executor, self.future = executor, future

    def result(self):
        """What the task gave."""
        process, seconds, found = self.future.result()
        self.executor.spent[process] = self.executor.spent.get(process, 0.0) + seconds
        return found

    def cancel(self):
        """As `Future.cancel`."""
        return self.future.cancel()


def watched(call, *args):
    start = time.process_time()
    found = call(*args)
    return os.getpid(), time.process_time() - start, found


# ── works: each gives a function of the executor that does one step ───────────────────────────
def own_loss(outputs, target):
    """None of the library's, so that training is not compiled."""
    return nn.cross_entropy(outputs, target)


def training():
    images, labels = data.digits()
    model = nn.MLP(64, [16, 10], seed=0)

    def step(executor):
        nn.fit(
            model,
            images,
            labels,
            loss=own_loss,
            optimizer=optim.SGD(model.parameters(), lr=1e-3),
            steps=3,
            shards=SHARDS,
            executor=executor,
        )

    return step


def backward():
    w = [Value(0.1 + k / 100) for k in range(200)]

    @compile
    def loss(x, y):
        for each in w:
            x = sin(x * each + y)
        return x * x

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2_000_000))
    return lambda executor: loss.backward(x, y, shards=SHARDS, executor=executor)


def efficiency(make, rounds):
    """On the clock and by processor time, and the seconds of a step here."""
    step = make()
    with ProcessPoolExecutor(2) as pool:

        def spread():
            executor, start = Watched(pool), time.process_time()
            clock, _ = timed(lambda: step(executor))
            return clock, time.process_time() - start, max(executor.spent.values())

        def here():
            start = time.process_time()
            clock, _ = timed(lambda: step(None))
            return clock, time.process_time() - start

        runs = in_turns({"here": here, "spread": spread}, rounds)
    pairs = list(zip(runs["here"], runs["spread"], strict=True))
    return {
        "work_s": median(work for _, work in runs["here"]),
        "efficiency_by_clock": median(one[0] / (2 * two[0]) for one, two in pairs),
        "efficiency_by_processor_time": median(
            one[1] / (2 * (two[1] + two[2])) for one, two in pairs
        ),
    }


# ── what a step costs ─────────────────────────────────────────────────────────────────────────
def steps(executor, count=150):
    """Milliseconds of a compiled step on sixteen images: 1,210 parameters, next to no work."""
    images, labels = data.digits()
    model = nn.MLP(64, [16, 10], seed=0)
    clock, own = [], []

    def note_time(*_):
        clock.append(time.perf_counter())
        own.append(time.process_time())

    nn.fit(
        model,
        images[:160],
        labels[:160],
        loss=nn.cross_entropy,
        optimizer=optim.SGD(model.parameters(), lr=1e-3),
        steps=count,
        batch_size=16,
        shards=SHARDS,
        executor=executor,
        callbacks=[note_time],
    )
    each = [[1e3 * (b - a) for a, b in pairwise(times[5:])] for times in (clock, own)]
    return [median(times) for times in each]


def cost(rounds):
    from dask.distributed import Client, LocalCluster

    with (
        ProcessPoolExecutor(1) as pool,
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        executors = {"here": None, "processes": pool, "dask": client.get_executor()}
        runs = in_turns(
            {name: lambda each=each: steps(each) for name, each in executors.items()}, rounds
        )
    here = runs["here"]
    return {
        name: {
            "step_ms": median(clock for clock, _ in times),
            "cost_ms": median(a[0] - b[0] for a, b in zip(times, here, strict=True)),
            "own_ms": None if name == "here" else median(own for _, own in times),
        }
        for name, times in runs.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    results = {"machine": machine("numpy", "llvmlite", "dask", "distributed"), "bars": BARS}
    results["efficiency"] = {}
    for name, make in (("training, three steps", training), ("compiled backward", backward)):
        note(f"{name} …")
        results["efficiency"][name] = efficiency(make, rounds)
    print_table(
        f"Two processes, {SHARDS} shards (bar: {BARS['efficiency']})",
        ("work", "s", "efficiency, clock", "efficiency, processor time"),
        [[name, *row.values()] for name, row in results["efficiency"].items()],
    )
    note("the cost of a step …")
    results["cost"] = cost(rounds)
    print_table(
        f"A step of {SHARDS} shards beside its work (bar: {BARS['cost_ms']} ms)",
        ("where", "step, ms", "beside the work, ms", "processor time of this process, ms"),
        [[name, *row.values()] for name, row in results["cost"].items()],
    )
    results["load_average"] = os.getloadavg()[0]
    write_results("workers", results)


if __name__ == "__main__":
    main()
