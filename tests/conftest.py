"""What holds for every test: how hypothesis draws its examples."""

from hypothesis import HealthCheck, settings

# Under names of our own, since hypothesis has a profile "ci" already. No deadline and no check of
# drawing speed: a busy machine is no failure.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The same examples in every run, so that a failure in one place is a failure everywhere.
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)

# `--hypothesis-profile` is read after this line and has the last word.
settings.load_profile("suite")

# Programs for type checkers, wrong ones among them: test_typing.py hands them over.
collect_ignore = ["typing"]
