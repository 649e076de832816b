"""Profiles of Hypothesis under the names that people look for, where Hypothesis is installed.

| profile | examples | |
|---|---|---|
| `dev` | 25 | while writing |
| `ci` | 200 | the same examples in every run, no deadline |
| `thorough` | 5,000 | over night, no deadline |

Choose one with `settings.load_profile("thorough")`, or with `pytest --hypothesis-profile=thorough`
if `conftest.py` imports `tinygrad_scalar.testing`: pytest asks for it before it reads the tests.
"""

from __future__ import annotations

from importlib.util import find_spec


def register() -> None:
    """Register the profiles; nothing is loaded, and nothing happens without Hypothesis."""
    if find_spec("hypothesis") is None:
        return
    from hypothesis import HealthCheck, currently_in_test_context, settings

    if currently_in_test_context():  # imported by a test that runs: its profile is chosen already
        return

    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("dev", patient, max_examples=25)
    settings.register_profile("ci", settings.get_profile("ci"), max_examples=200)
    settings.register_profile("thorough", patient, max_examples=5000)
