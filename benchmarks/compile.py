"""Compiled scalar code against C, NumPy, CasADi, JAX and PyTorch: value and gradient.

`python benchmarks/compile.py` measures the works of `python -m tinygrad_scalar bench` at their full
sizes, side by side in one run, and writes benchmarks/results/compile.json; results are checked to
1e-9 before anything is timed. Names of works choose some of them; then nothing is written.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from harness import machine, note, write_results

from tinygrad_scalar.bench.measuring import measured, table
from tinygrad_scalar.bench.works import WORKS


def main():
    """All of it."""
    chosen = [name for name in sys.argv[1:] if name in WORKS] or list(WORKS)
    results = {}
    start = time.perf_counter()
    for name in chosen:
        note(f"{name} …")
        make, size, _ = WORKS[name]
        for work in make(size):
            rows = measured(work, rounds=9, seconds=0.2)
            print(f"\n{table(work, rows)}")
            results[work.title] = {"unit": work.unit} | {row.name: row.time for row in rows}
    note(f"{time.perf_counter() - start:.0f} s")
    results["machine"] = machine("numpy", "llvmlite", "casadi", "jax", "torch")
    if chosen == list(WORKS):
        write_results("compile", results)


if __name__ == "__main__":
    main()
