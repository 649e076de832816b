"""The command `bench`."""

# ruff: noqa: T201 (printing is what a command does)

from __future__ import annotations

import argparse
import platform
from typing import Any

NAMES = ("black_scholes", "one_point", "spiral", "rosenbrock", "rosenbrock_100000", "mixed", "gpt",
         "first_use")  # fmt: skip


def add_bench(commands: Any) -> None:
    """The command `bench`."""
    command = commands.add_parser(
        "bench",
        help="compiled code beside C, NumPy, CasADi, JAX and PyTorch on this machine",
        description="Time compiled scalar code against eager Python and what else is installed "
        "here, results checked to 1e-9 first. Each time is a median, each ratio ours over theirs, "
        f"with the bar beside it. Works: {', '.join(NAMES)}.",
        allow_abbrev=False,
    )
    command.add_argument(
        "works", metavar="WORK", nargs="*", help="only these; all if none is given"
    )
    command.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds, in seconds"
    )
    command.set_defaults(run=bench)


def bench(options: argparse.Namespace) -> None:
    """Print a table for every work."""
    unknown = [name for name in options.works if name not in NAMES]
    if unknown:
        raise ValueError(f"{unknown[0]} is no work: give some of {', '.join(NAMES)}")
    from tinygrad_scalar.bench.measuring import measured, table
    from tinygrad_scalar.bench.works import WORKS, fastest_first

    print(f"Python {platform.python_version()} on {platform.machine()}, ", end="")
    print(f"engines: {', '.join(fastest_first())}")
    if options.quick:
        print("quick: smaller than the works that the bars are stated for")
    for name in options.works or NAMES:
        make, full, quick = WORKS[name]
        rounds, seconds = (3, 0.005) if options.quick else (5, 0.1)
        works = list(make(quick if options.quick else full))
        if not works:
            print(f'\n{name}: needs NumPy: pip install "tinygrad_scalar[fast]"')
        for work in works:
            rows = measured(work, rounds, seconds)
            if options.quick:
                rows = [row._replace(kept=None) for row in rows]
            print(f"\n{table(work, rows)}", flush=True)
