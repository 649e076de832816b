"""The programs that are timed, as the package's own benchmark has them."""

from tinygrad_scalar.bench.programs import ARITHMETIC, FUNCTIONS, Program

__all__ = ["ARITHMETIC", "FUNCTIONS", "Program"]
