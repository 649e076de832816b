"""The command line: what it prints, and that every failure is one line and exit code 2."""

import errno
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_scalar
from tinygrad_scalar import cli, drawing
from tinygrad_scalar.core.value import COMPILED

GRAD = ["grad", "(x*m + y*n)*t", "x=100", "m=2", "y=150", "n=3", "t=1.1"]


def run(*arguments):
    """The command line in a process of its own, as a user meets it."""
    command = [sys.executable, "-m", "tinygrad_scalar", *arguments]
    root = Path(tinygrad_scalar.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )


@pytest.fixture
def grad(capsys):
    """`grad` in this process: the lines it printed."""

    def lines(*arguments):
        assert cli.main(["grad", *arguments]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.splitlines()

    return lines


@pytest.fixture
def no_layout_engine(monkeypatch):
    """A machine without Graphviz and without pygraphviz."""
    monkeypatch.setattr("tinygrad_scalar.drawing.layout.find_spec", lambda _: None)
    monkeypatch.setattr("tinygrad_scalar.drawing.layout.shutil.which", lambda _: None)


@pytest.fixture
def refused(capsys):
    """What the one line on standard error says, whether argparse or the command refuses."""

    def message(*arguments):
        try:
            code = cli.main(list(arguments))
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        assert code == 2
        assert printed.err.startswith("tinygrad-scalar")
        assert printed.err.count("\n") == 1
        return printed.err.strip()

    return message


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def gradients(lines):
    """The last column of the table, by the first."""
    return {
        fields[0]: float(fields[-1])
        for fields in (re.split(r"\s{2,}", line.strip()) for line in lines)
        if len(fields) > 2 and fields[0] != "node"
    }


# ── the demo ──────────────────────────────────────────────────────────────────────────────────
APPLES_AND_ORANGES = {
    "apple": 2.2,
    "apple number": 110.0,
    "orange": 3.3,
    "orange number": 165.0,
    "tax": 650.0,
}


def test_the_demo_prints_price_and_gradients_and_draws_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "= 715\n" in printed.out
    assert gradients(printed.out.splitlines()).items() >= APPLES_AND_ORANGES.items()
    assert "graph.svg" in printed.out
    assert names(tmp_path) == ["graph.svg"]
    assert drawn(Path("graph.svg")) == drawn(Path(__file__).parents[1] / "docs" / "price.svg")


def drawn(path):
    """The style of a picture and its texts; where they stand depends on the version of Graphviz."""
    svg = path.read_text(encoding="utf-8")
    return re.findall("<style>.*?</style>", svg, re.DOTALL), sorted(
        re.findall(">([^<]+)</text>", svg)
    )


def test_the_demo_replaces_the_picture_of_the_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("graph.svg").write_text("old", encoding="utf-8")
    assert cli.main([]) == 0
    assert "<svg" in Path("graph.svg").read_text(encoding="utf-8")


def test_without_a_layout_engine_the_demo_writes_dot_and_succeeds(
    tmp_path, monkeypatch, capsys, no_layout_engine
):
    monkeypatch.chdir(tmp_path)
    assert cli.main([]) == 0
    printed = capsys.readouterr()
    assert "= 715\n" in printed.out
    assert 'pip install "tinygrad_scalar[svg]"' in printed.out
    assert names(tmp_path) == ["graph.dot"]
    assert "digraph" in Path("graph.dot").read_text(encoding="utf-8")


def test_the_demo_tells_when_the_picture_cannot_be_written(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    Path("graph.svg").mkdir()
    assert "graph.svg" in refused()


# ── grad ──────────────────────────────────────────────────────────────────────────────────────
def test_grad_prints_value_and_table(grad):
    lines = grad(*GRAD[1:])
    assert lines[0] == "(x*m + y*n)*t = 715.0"
    assert lines[2].split() == ["node", "operation", "value", "local", "derivatives", "gradient"]
    expected = {"x": 2.2, "m": 110.0, "y": 3.3, "n": 165.0, "t": 650.0}
    assert gradients(lines).items() >= expected.items()
    assert re.fullmatch(r"8 edges: 8 multiplications, 8 additions", lines[-1])


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["-x*y", "x=2", "y=3"], -6.0),
        (["-x", "x=2"], -2.0),
        (["--x", "x=2"], 2.0),
        (["-h", "h=2"], -2.0),
        (["-2"], -2.0),
        (["--", "-x", "x=2"], -2.0),
        (["-(x)", "x=-2"], 2.0),
        (["x", "x=-inf"], float("-inf")),
        (["x", "x=1_000"], 1000.0),
        (["3*4"], 12.0),
        (["e*x", "e=3", "x=2"], 6.0),
        (["ﬁ", "ﬁ=2"], 2.0),
        (["where(x > 0, x, -x)", "x=-3"], 3.0),
    ],
)
def test_readings(grad, arguments, value):
    expression = arguments[arguments[0] == "--"]
    assert grad(*arguments)[0] == f"{expression} = {value}"


def test_every_gradient_is_told_though_a_long_table_is_cut(grad):
    lines = grad("a*b" + "+a*b" * 30, "a=2", "b=3")
    assert any("more …" in line for line in lines)
    assert lines[-2:] == ["a  93.0", "b  62.0"]


def test_a_long_expression_is_cut_in_the_middle(grad):
    first = grad("x" + "+x" * 1999, "x=1")[0]  # Python 3.12 reads no 3,000
    assert first.endswith(" = 2000.0")
    assert len(first) < 100


@pytest.mark.parametrize("expression", ["sqrt(x)", "sqrt(x*x)"])  # by one edge, or by two
def test_an_undefined_gradient_is_told_once_on_standard_error(capsys, expression):
    assert cli.main(["grad", f"{expression}*y", "x=0", "y=0"]) == 0
    printed = capsys.readouterr()
    assert gradients(printed.out.splitlines())["x"] == 0.0
    assert printed.err.startswith("tinygrad-scalar: warning: ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("before", ["missing", "there"])
def test_svg_draws(grad, tmp_path, before):
    path = tmp_path / "out.svg"
    if before == "there":
        path.write_text("old", encoding="utf-8")
    lines = grad(*GRAD[1:], "--svg", str(path))
    assert str(path) in lines[-1]
    assert names(tmp_path) == ["out.svg"]
    assert "<svg" in path.read_text(encoding="utf-8")


@pytest.fixture
def columns(monkeypatch):
    """Sets how wide the terminal is."""
    return lambda count: monkeypatch.setenv("COLUMNS", str(count))


LONG = "the_temperature_of_the_water_in_the_kettle"
WIDE = [
    f"sum([{LONG}, x, y, x, y]) + dot([x, y], [{LONG}, 1e-300]) * log_normal_cdf({LONG} / -7e-200)",
    *(f"{LONG}=1.23456789e-201", "x=-1.23456789e+101", "y=-1.23456789e-101"),
]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_tables_fit_the_terminal_and_numbers_stay_whole(grad, columns, width):
    columns(width)
    lines = grad(*WIDE)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("…") for line in lines) == (width < 140)
    columns(1000)
    uncut = grad(*WIDE)
    assert [line.split()[-1] for line in lines[3:-1]] == [line.split()[-1] for line in uncut[3:-1]]


def test_a_table_in_no_terminal_has_80_columns(grad, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert max(map(len, grad(*WIDE))) <= 80


def test_json_is_for_programs(grad):
    (line,) = grad(*GRAD[1:], "--json")
    found = json.loads(line)
    assert list(found) == ["expression", "value", "gradients"]
    assert found["expression"] == GRAD[1]
    assert found["value"] == (100 * 2 + 150 * 3) * 1.1
    expected = {"x": 2 * 1.1, "m": 100 * 1.1, "y": 3 * 1.1, "n": 150 * 1.1, "t": 650.0}
    assert found["gradients"] == expected


def test_json_tells_what_is_not_finite_as_a_string_that_float_reads(grad):
    (line,) = grad("--json", "sqrt(x) + where(x > 1, y, 0)", "x=0", "y=-inf")
    assert json.loads(line) == {
        "expression": "sqrt(x) + where(x > 1, y, 0)",
        "value": 0.0,
        "gradients": {"x": "inf", "y": 0.0},
    }
    assert json.loads(grad("2*3", "--json")[0])["gradients"] == {}


def test_latex_gives_the_formulas_of_value_and_derivatives(grad):
    assert grad("sin(x)/y", "x=1", "y=2", "--latex") == [
        r"z = \frac{\sin\left(x\right)}{y}",
        r"\begin{aligned}",
        r"\frac{\partial z}{\partial x} &= \frac{1}{y} \cdot \cos\left(x\right) \\",
        r"\frac{\partial z}{\partial y} &= -\frac{\frac{\sin\left(x\right)}{y}}{y}",
        r"\end{aligned}",
    ]
    assert grad("--latex", "-z", "z=1") == ["f = -z", r"\frac{\partial f}{\partial z} = -1"]
    assert grad("2*3", "--latex") == ["6"]
    assert grad("where(x > 0, x, y)", "x=1", "y=2", "--latex")[-2].endswith("y} &= 0")


def test_steps_writes_the_page(grad, tmp_path):
    path = tmp_path / "steps.html"
    lines = grad("--steps", str(path), "-x*y", "x=1", "y=2")
    assert lines[-1] == f"The page to step through is {path}."
    assert "<table" in path.read_text(encoding="utf-8")
    assert names(tmp_path) == ["steps.html"]


def test_files_beside_what_a_program_reads_are_told_on_standard_error(tmp_path, capsys):
    svg, page = tmp_path / "x.svg", tmp_path / "x.html"
    assert cli.main(["grad", "x*x", "x=3", "--json", "--svg", str(svg), "--steps", str(page)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["gradients"] == {"x": 6.0}
    assert [line.rsplit(maxsplit=1)[-1] for line in printed.err.splitlines()] == [
        f"{svg}.",
        f"{page}.",
    ]
    assert "grad 6" in svg.read_text(encoding="utf-8")  # once, not added up


def test_svg_may_come_first(grad, tmp_path):
    path = tmp_path / "out.svg"
    grad("--svg", str(path), "-x", "x=1")
    assert path.exists()


# ── failures ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["--fly"], "--fly"),
        (["grad"], "EXPRESSION"),
        (["grad", "x"], "no value for x: add x=NUMBER"),
        (["grad", "x+y+z", "y=1"], "no value for x, z: add x=NUMBER z=NUMBER"),
        (["grad", "x", "x=1", "y=2"], "y is not in the expression: leave it out"),
        (["grad", "x", "x=1", "x=2"], "x is given twice"),
        (["grad", "x", "x"], "'x': give values as NAME=NUMBER, as in x=2"),
        (["grad", "x", "=1"], "'=1': give values as NAME=NUMBER"),
        (["grad", "x", "x=1", "--fly"], "'--fly': give values as NAME=NUMBER"),
        (["grad", "x", "x="], "x=: give a number, as in x=2"),
        (["grad", "x", "x=two"], "x=two: give a number, as in x=2"),
        (["grad", "x", "x=1", "--svg"], "--svg: expected one argument"),
        (["grad", "x", "x=1", "--json", "--latex"], "--latex: not allowed with argument --json"),
        (["grad", "x", "x=1", "--steps", "x.html"], "is a leaf, there is nothing to step through"),
        (["grad", ""], "the expression is empty"),
        (["grad", "x.real", "x=1"], "column 1: attribute access is not allowed here"),
        (["grad", "open('x')"], "unknown function open"),
        (["grad", "9**9**9"], "pow(9.0, 387420489.0)"),
        (["grad", "1/x", "x=0"], "div(1.0, 0.0)"),
        (["grad", "log(x)", "x=-1"], "log(-1.0)"),
        (["grad", "exp(x)", "x=1000"], "exp(1000.0)"),
        (["grad", "sin(x, x)", "x=1"], "sin takes 1 operand"),
        (["grad", "sum(x)", "x=1"], "takes an iterable"),
        (["grad", "x<1", "x=1"], "gives true or false"),
        (["grad", "x" * 10_001], "10001 characters"),
        (["grad", "x\ny.z", "x=1"], "column 3"),
    ],
)
def test_refused(refused, arguments, message):
    assert message in refused(*arguments)


def test_a_name_given_twice_in_two_spellings(refused):
    assert "given twice" in refused("grad", "fi", "fi=1", "ﬁ=2")


def test_a_picture_that_cannot_be_written(refused, tmp_path):
    path = tmp_path / "nowhere" / "out.svg"
    assert "nowhere" in refused(*GRAD, "--svg", str(path))


def test_a_picture_without_an_engine(refused, tmp_path, no_layout_engine):
    path = tmp_path / "out.svg"
    path.write_text("old", encoding="utf-8")
    assert "tinygrad_scalar[svg]" in refused(*GRAD, "--svg", str(path))
    assert path.read_text(encoding="utf-8") == "old"


def test_a_full_disk_is_told(refused, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.svg")

    monkeypatch.setattr(drawing.Drawing, "save", full)
    assert "No space left on device: 'out.svg'" in refused(*GRAD, "--svg", "out.svg")


def test_an_error_is_not_told_on_standard_output(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # closed
    assert cli.main(["grad", "log(x)", "x=-1"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [GRAD, ["--version"], ["grad", "--help"]])
def test_what_waits_to_be_printed_and_cannot_be_is_told(arguments, capsys, monkeypatch):
    """Python writes it at its end, beyond any `except`: "Exception ignored", and the code 120."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:  # which must not raise at its end
        monkeypatch.setattr(sys, "stdout", closed)
        assert cli.main(arguments) == 2
    assert re.fullmatch(r"tinygrad-scalar: error: .*Broken pipe\n", capsys.readouterr().err)


# ── as a process ──────────────────────────────────────────────────────────────────────────────
def test_version():
    done = run("--version")
    node = " (compiled node)" if COMPILED else ""
    told = f"tinygrad_scalar {tinygrad_scalar.__version__}{node}\n"
    assert (done.returncode, done.stdout) == (0, told)


def test_help_names_the_commands():
    done = run("--help")
    assert done.returncode == 0
    assert "grad" in done.stdout


def test_help_of_grad_names_the_functions():
    done = run("grad", "-h")
    assert done.returncode == 0
    assert {"sin,", "normal_cdf,", "pi,"} <= set(done.stdout.split())


def test_a_failure_leaves_standard_output_empty():
    done = run("grad", "9**9**9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_the_command_is_installed_under_its_name():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="tinygrad-scalar")
    if not scripts:
        pytest.skip("the package is not installed")
    assert [script.load() for script in scripts] == [cli.main]


@pytest.mark.parametrize(
    "arguments",
    [
        ["grad", "x", "x=" + "1" * 300 + "a"],
        ["grad", "+".join(f"name{i}" for i in range(900))],
        ["w" * 4000],
    ],
)
def test_an_error_is_never_longer_than_a_few_lines_of_a_terminal(arguments, capsys):
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (2, 1)
    assert len(told) < 450


@pytest.mark.parametrize(
    ("expression", "column"),
    [("x*", 3), ("(x", 1), ("x +* y", 4), ("x)", 2), ("x @", 4), ("x@y", 1)],
)
def test_a_syntax_error_shows_the_column(expression, column, capsys):
    assert cli.main(["grad", expression, "x=1", "y=1"]) == 2
    assert f": error: column {column}: " in capsys.readouterr().err
