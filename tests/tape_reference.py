"""What the tests of long compiled functions share: points, and closeness over the scale of all."""

import random

import numpy as np


def points(count, seed=0):
    """Numbers between −1 and 1."""
    rng = random.Random(seed)
    return [rng.uniform(-1, 1) for _ in range(count)]


def close(actual, expected):
    """Up to rounding, over the scale of all."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    scale = max(1.0, float(np.max(np.abs(expected))))
    # a contraction rounds once where eager rounds twice; some hundred such steps follow each other
    assert np.max(np.abs(actual - expected)) <= 1e-12 * scale
