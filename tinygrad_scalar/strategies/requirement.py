"""Hypothesis itself, or an error that names the extra which brings it."""

try:
    from hypothesis import strategies as st
except ModuleNotFoundError:
    raise ImportError(
        'strategies need Hypothesis: pip install "tinygrad_scalar[hypothesis]"'
    ) from None

__all__ = ["st"]
