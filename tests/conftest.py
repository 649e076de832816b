"""What holds for every test: how hypothesis draws, what a quick run is, and real interrupts."""

import gc
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tinygrad_scalar.compiler.machine import jit

# Machine code that reads what is not there yet is a failure here, not the end of the process.
jit.verifying = True

# Under names of our own, since hypothesis has a profile "ci" already. No deadline and no check of
# drawing speed: a busy machine is no failure.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The same examples in every run, so that a failure in one place is a failure everywhere.
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)

# `--hypothesis-profile` is read after this line and has the last word.
settings.load_profile("suite")

# Programs for type checkers, wrong ones among them: test_typing.py hands them over.
collect_ignore = ["typing"]

# `pytest -m quick` is the first case of every test, random ones with few examples. Left out are the
# files that start processes, clusters, compilers and browsers, train for long or try every fault,
# and the tests that took about a second of a processor when they were last measured: long.txt.
settings.register_profile("quick", settings.get_profile("suite"), max_examples=5)
LONG = Path(__file__).with_name("long.txt").read_text(encoding="utf-8").split()


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "quick: the first case of every test that does not take long"
    )
    if config.option.markexpr == "quick" and config.getoption("--hypothesis-profile") is None:
        settings.load_profile("quick")


@pytest.hookimpl(tryfirst=True)  # before pytest picks the tests by their marks
def pytest_collection_modifyitems(items):
    seen = set()
    for item in items:
        file, test = item.path.stem, item.nodeid.partition("[")[0]
        named = f"{file}::{test.rpartition('::')[2]}"
        if test not in seen and not {file, named}.intersection(LONG):
            item.add_marker("quick")
        seen.add(test)


def pytest_collection_finish():
    gc.freeze()  # a collection in a test need not go over thousands of tests


@pytest.fixture
def restless():
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted():
    """A function that runs another one and interrupts it with a real signal after some seconds.

    On a fast machine the action may end before most of them: they come sooner while none hits.
    """
    before = signal.signal(signal.SIGALRM, interrupt)
    gc.disable()  # other packages' callbacks at a collection would swallow the interrupt

    def run(action, seconds):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(1e-6, run.share * seconds))  # 0: never
                action()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt as error:
            run.kept = error  # as a notebook keeps the last traceback, and with it all its frames
            run.share = min(1.0, run.share * 1.1)
            return True
        run.share *= 0.9
        return False

    run.share = 1.0
    yield run
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    gc.enable()
