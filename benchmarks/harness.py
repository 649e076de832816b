"""What the benchmarks share: rounds in which all contenders take turns, tables, results as JSON.

A machine drifts, so contenders are timed in turns, one run each per round, and a ratio is the
median of the ratios within the rounds.
"""

import gc
import importlib.metadata
import json
import os
import platform
import sys
import time
import tracemalloc
from pathlib import Path
from statistics import median

from tinygrad_scalar.core.value import COMPILED

RESULTS = Path(__file__).parent / "results"


def in_turns(contenders, rounds):
    """`rounds` runs of each contender, taking turns: name -> the list of what its runs returned.

    The first run of each warms it up and is thrown away.
    """
    runs = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            gc.collect()  # nobody pays for the rubbish of the one before
            result = run()
            if number:
                runs[name].append(result)
    return runs


def timed(action):
    """Seconds that `action()` took, and what it returned."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def ratio(runs, ours):
    """How many times longer `runs` took than `ours`, round by round: the median."""
    return median(theirs / own for theirs, own in zip(runs, ours, strict=True))


def bytes_held(action):
    """What `action()` returned, the bytes it left allocated, and the most it had at one time."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = action()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return result, after - before, peak - before


def agree(name, actual, expected, tolerance=1e-9):
    """Nothing is timed before it is right: relative to the largest, the numbers agree."""
    scale = max(map(abs, expected))
    error = max(abs(a - b) for a, b in zip(actual, expected, strict=True)) / scale
    assert error <= tolerance, f"{name}: gradients differ by {error:.1e} of the largest"
    return error


def show(x):
    """A number for a table, in about three digits; None is a dash."""
    if x is None:
        return "–"
    if isinstance(x, str | int):
        return f"{x:,}" if isinstance(x, int) else x
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def print_table(title, header, rows):
    """Rows of anything under a title, numbers to the right; Markdown, so that it can be quoted."""
    cells = [list(map(str, header)), *([show(x) for x in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    cells.insert(1, ["-" * (w - n) + ":" * n for w, n in zip(widths, numeric, strict=True)])
    print(f"\n{title}\n")
    for row in cells:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        print(f"| {' | '.join(aligned)} |")


def version(distribution):
    """The installed version of an opponent, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine(*distributions):
    """What the numbers depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in distributions if version(name)},
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def rounded(results):
    """Numbers in four significant digits: the others are noise."""
    if isinstance(results, dict):
        return {key: rounded(value) for key, value in results.items()}
    if isinstance(results, list):
        return [rounded(value) for value in results]
    return float(f"{results:.4g}") if isinstance(results, float) else results


def write_results(name, results):
    """Write benchmarks/results/NAME.json, whole or not at all; NAME_compiled with that node."""
    RESULTS.mkdir(exist_ok=True)
    name += "_compiled" * COMPILED
    path = RESULTS / f"{name}.json"
    temporary = path.with_suffix(".part")
    temporary.write_text(
        json.dumps(rounded(results), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    temporary.replace(path)
    print(f"\nwritten: {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def note(text):
    """Progress, on standard error: a benchmark takes minutes."""
    print(text, file=sys.stderr, flush=True)
