"""The types that users see: mypy and pyright, strict, on right and on wrong programs."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
WRONG = {
    number
    for number, line in enumerate((HERE / "typing/wrong.py").read_text("utf-8").splitlines(), 1)
    if line.endswith("# wrong")
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs in a folder of a user's own, without the settings of this project.

    Beside it stands the package as pip would lay it: checkers hold what is installed to its
    `py.typed` and `__all__`, and are lenient with what they take for the user's own.
    """
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(ROOT / "tinygrad_scalar", folder / "site" / "tinygrad_scalar")
    for name in ("right.py", "wrong.py"):
        shutil.copy(HERE / "typing" / name, folder)
    return folder


def run(folder, *command):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MYPY")}
    environment["PYTHONPATH"] = str(folder / "site")
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def by_mypy(folder):
    done = run(folder, "mypy", "--strict", "--no-color-output", "right.py", "wrong.py")
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    for line in done.stdout.splitlines():
        if ": error:" in line:
            name, number, message = line.split(":", 2)
            yield name, int(number), message


def by_pyright(folder):
    settings = {
        "typeCheckingMode": "strict",
        "include": ["*.py"],
        "reportUnusedExpression": False,
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    done = run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    try:
        found = json.loads(done.stdout)["generalDiagnostics"]
    except ValueError:
        pytest.skip(f"pyright does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
    for each in found:
        if each["severity"] == "error":
            yield Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"]


@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_right_programs_pass_and_wrong_ones_do_not(checker, programs):
    found = list(checker(programs))
    assert [each for each in found if each[0] != "wrong.py"] == []
    assert {number for _, number, _ in found} == WRONG, found


def test_the_stubs_are_those_of_the_table():
    specification = importlib.util.spec_from_file_location("stubs", ROOT / "tools/stubs.py")
    stubs = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(stubs)
    for place, made in stubs.STUBS.items():
        written = (ROOT / "tinygrad_scalar" / place).read_text("utf-8")
        assert lines(written) == lines(made()), "run: python tools/stubs.py"


def lines(stub):
    """The types: docstrings take sentences from `math`, which each Python words its way."""
    return re.sub(r'""".*?"""', "", stub, flags=re.DOTALL).splitlines()
