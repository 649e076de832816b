"""A quick run takes the first case of every test, and nothing that takes long."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LONG

TESTS = Path(__file__).parent
CASES = """
import pytest

@pytest.mark.parametrize("x", [1, 2, 3])
def test_of_cases(x):
    assert x == 1

def test_of_one():
    pass

class TestClass:
    def test_of_one(self):
        pass
"""


def pytest_run(place, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "quick"]
    return subprocess.run(
        [*command, *options], cwd=place, capture_output=True, text=True, check=False
    ).stdout


def test_the_first_case_of_every_test_is_run(tmp_path):
    for name in ("conftest.py", "long.txt"):
        shutil.copy(TESTS / name, tmp_path)
    for name in ("test_of_mine.py", "test_mutation.py"):
        (tmp_path / name).write_text(CASES)
    assert "3 passed, 7 deselected" in pytest_run(tmp_path)


def test_it_is_a_part_of_the_suite():
    said = pytest_run(TESTS.parent, "--collect-only", "tests/drawing")
    run, of = map(int, re.search(r"(\d+)/(\d+) tests collected", said).groups())
    assert of / 10 < run < of


@pytest.mark.parametrize("name", LONG)
def test_what_is_named_as_long_is_there(name):
    file, _, test = name.partition("::")
    (path,) = TESTS.rglob(f"{file}.py")
    assert not test or f"\ndef {test}(" in path.read_text(encoding="utf-8")
