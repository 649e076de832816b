"""`python -m tinygrad_scalar bench`: every work is checked before it is timed, at tiny sizes."""

import subprocess
import sys

import numpy as np
import pytest

from tinygrad_scalar.bench import opponents, works
from tinygrad_scalar.bench.command import NAMES
from tinygrad_scalar.bench.measuring import Contender, Row, Work, agree, measured, medians, table
from tinygrad_scalar.bench.works import WORKS
from tinygrad_scalar.cli import main

TINY = {"black_scholes": 8, "spiral": 6, "rosenbrock": 4, "rosenbrock_100000": 5, "mixed": 300}


@pytest.fixture
def tiny(monkeypatch):
    """The same works, at sizes that take no time."""
    for name, (make, _, _) in list(WORKS.items()):
        monkeypatch.setitem(WORKS, name, (make, TINY.get(name, 1), TINY.get(name, 1)))


def test_the_command_names_the_works():
    assert tuple(WORKS) == NAMES


@pytest.mark.parametrize("name", [name for name in WORKS if name != "first_use"])
def test_every_contender_of_a_work_agrees_and_can_be_timed(tiny, name):
    make, size, _ = WORKS[name]
    for work in make(size):
        rows = measured(work, rounds=1, seconds=0.0)
        assert [row.name for row in rows] == [one.name for one in work.contenders]
        assert all(row.time > 0 for row in rows)
        assert rows[0].name.startswith("compile, engine ")
        assert work.title in table(work, rows)


def test_the_command_prints_a_table(tiny, capsys):
    assert main(["bench", "--quick", "one_point", "mixed"]) == 0
    out = capsys.readouterr().out
    assert "the same at one point" in out
    assert "| compile, engine llvm" in out
    assert "≤ 1.5" in out
    assert "kept" not in out  # a quick run judges nothing
    assert "missed" not in out
    assert main(["bench", "one_point"]) == 0
    out = capsys.readouterr().out
    assert "kept" in out or "missed" in out


def test_first_use_is_tried_in_a_process_of_its_own():
    (work,) = works.first_use(1)
    assert [one.limit for one in work.contenders] == [1000.0, 50.0]
    assert all(one.seconds > 0 for one in work.contenders)


def test_an_unknown_work_is_one_line_and_code_2(capsys):
    assert main(["bench", "chess"]) == 2
    assert capsys.readouterr().err.startswith(
        "tinygrad-scalar: error: chess is no work: give some of black_scholes, one_point,"
    )


def test_wrong_results_are_one_line_and_code_2(tiny, monkeypatch, capsys):
    right = opponents.numpy_rosenbrock
    monkeypatch.setattr(opponents, "numpy_rosenbrock", lambda x: lambda: right(x)() * (1 + 1e-7))
    assert main(["bench", "rosenbrock"]) == 2
    assert capsys.readouterr().err == (
        "tinygrad-scalar: error: NumPy: its results are off by 1.0e-07 of the largest\n"
    )


def test_without_numpy_the_works_over_arrays_are_named(tiny, monkeypatch, capsys):
    monkeypatch.setattr("tinygrad_scalar.engines", lambda: ["python"])
    assert main(["bench", "--quick", "black_scholes", "one_point"]) == 0
    out = capsys.readouterr().out
    assert 'black_scholes: needs NumPy: pip install "tinygrad_scalar[fast]"' in out
    assert "compile, engine python" in out


def test_opponents_that_are_not_here_are_named(tiny, monkeypatch):
    monkeypatch.setattr(opponents, "find_spec", lambda name: None)
    monkeypatch.setattr(opponents.shutil, "which", lambda name: None)
    make, size, _ = WORKS["black_scholes"]
    (work,) = make(size)
    assert work.missing == ["SciPy", "JAX", "PyTorch", "gcc"]
    assert "not installed: SciPy, JAX, PyTorch, gcc" in table(work, measured(work, 1, 0.0))


def test_a_compiler_that_fails_is_as_good_as_none(monkeypatch, tmp_path):
    failing = tmp_path / "gcc"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(opponents.shutil, "which", lambda name: str(failing))
    assert opponents.c_black_scholes([np.ones(3)] * 5) is None


def test_subnormal_numbers_survive_the_compiler():
    if opponents.c_black_scholes([np.ones(3)] * 5) is None:
        pytest.skip("gcc is not installed")
    assert np.float64(5e-324) * np.ones(1) > 0
    assert 1e-300 * float("1e-10") > 0


def test_bars_are_judged():
    contenders = [
        Contender("ours", seconds=2e-6, limit=1.5),
        Contender("twice", seconds=4e-6, ratio=0.5),
        Contender("half", seconds=1e-6, ratio=1.0),
        Contender("other", seconds=0.01, amount=1000),
    ]
    work = Work("a work", "µs", 1e6, contenders, ["chess"])
    rows = measured(work)
    assert rows == [
        Row("ours", pytest.approx(2.0), None, "≤ 1.5", False),
        Row("twice", pytest.approx(4.0), pytest.approx(0.5), "≤ 0.5 ×", True),
        Row("half", pytest.approx(1.0), pytest.approx(2.0), "≤ 1 ×", False),
        Row("other", pytest.approx(10_000.0), pytest.approx(2e-4), "", None),
    ]
    assert table(work, rows).splitlines() == [
        "a work",
        "",
        "|       |     µs |  ours is |     bar |        |",
        "| ----- | -----: | -------: | ------: | ------ |",
        "| ours  |      2 |          |   ≤ 1.5 | missed |",
        "| twice |      4 |    0.5 × | ≤ 0.5 × | kept   |",
        "| half  |      1 |      2 × |   ≤ 1 × | missed |",
        "| other | 10,000 | 0.0002 × |         |        |",
        "",
        "not installed: chess",
    ]


def test_agreement_is_relative_to_the_largest_of_a_row():
    agree("x", [[1.0, 1e6]], [[1.0 + 1e-5, 1e6]])
    agree("x", [np.array([1.0, 1e6])], [np.array([1.0 + 1e-5, 1e6])])
    for wrong in ([1.0, 1.1e6], [1.0, float("nan")]):
        with pytest.raises(ArithmeticError, match="x: its results are off by"):
            agree("x", [[1.0, 1e6]], [wrong])
        with pytest.raises(ArithmeticError, match="x: its results are off by"):
            agree("x", [np.array([1.0, 1e6])], [np.array(wrong)])


def test_all_contenders_run_in_every_round():
    calls = []
    times = medians([lambda: calls.append("a"), lambda: calls.append("b")], rounds=3, seconds=0.0)
    assert len(times) == 2
    assert calls == ["a", "a", "b", "b", *"ab" * 3]


def test_the_command_line_stays_light():
    program = "import sys, tinygrad_scalar.cli; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
