"""`train` and `predict`: what they print, write and refuse."""

import argparse
import re
import subprocess
import sys

import pytest

from tinygrad_scalar import data, nn
from tinygrad_scalar.cli import tables
from tinygrad_scalar.cli import train as command
from tinygrad_scalar.cli.tasks import TASKS

LAST = re.compile(r"^loss \d+\.\d{4} train accuracy [01]\.\d{4} test accuracy [01]\.\d{4}$")


def run(*arguments):
    """The command as the command line runs it."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_commands(parser.add_subparsers())
    options = parser.parse_args(list(map(str, arguments)))
    options.run(options)


def train(tmp_path, task="xor", **options):
    given = {"--steps": 3, "--out": tmp_path / "model.json", **options}
    run("train", task, *(x for pair in given.items() for x in pair if x is not None))
    return nn.load(given["--out"])


def test_training_tells_loss_and_accuracy_and_writes_model_and_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    model = train(tmp_path, **{"--steps": 150})
    shown = capsys.readouterr()
    *lines, last = shown.out.splitlines()
    assert lines == [
        f"The model is in {tmp_path / 'model.json'}.",
        f"The picture is in {tmp_path / 'model.png'}.",
    ]
    assert LAST.match(last)
    loss, train_accuracy, test_accuracy = (float(word) for word in last.split()[1::3])
    assert loss < 0.1
    assert min(train_accuracy, test_accuracy) >= 0.95
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")
    assert [nn.predict(model, corner)[0] for corner in ([0, 0], [0, 1], [1, 0], [1, 1])] == [
        *[0, 1, 1, 0]
    ]
    assert shown.err.splitlines()[-1].startswith("step 150 of 150: loss 0.0")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.png"]


def test_a_seed_gives_the_same_model_and_another_seed_another(tmp_path):
    first, second = train(tmp_path), train(tmp_path)
    assert first.state_dict() == second.state_dict()
    assert first.state_dict() != train(tmp_path, **{"--seed": 1}).state_dict()


def test_without_matplotlib_the_run_succeeds_and_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    train(tmp_path)
    out = capsys.readouterr().out
    assert 'No picture: plots are drawn by matplotlib: pip install "tinygrad_scalar[plot]".' in out
    assert LAST.match(out.splitlines()[-1])
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]


def test_resume_goes_on_from_the_checkpoint_beside_the_file(tmp_path, capsys):
    whole = train(tmp_path, **{"--steps": 40})
    train(tmp_path, **{"--steps": 20, "--resume": None})  # anew, since there is no checkpoint
    assert (tmp_path / "model.json.checkpoint").exists()
    capsys.readouterr()
    resumed = train(tmp_path, **{"--steps": 20, "--resume": None})
    assert "step" not in capsys.readouterr().err  # all 20 steps were done
    assert resumed.state_dict() != whole.state_dict()
    resumed = train(tmp_path, **{"--steps": 40, "--resume": None})  # and 20 more
    assert resumed.state_dict() == whole.state_dict()


def test_a_resumed_run_is_the_run(tmp_path, monkeypatch):
    whole = train(tmp_path, **{"--steps": 120})
    step = nn.training._Run._step

    def dying(self, history):
        if history.steps == 110:
            raise KeyboardInterrupt
        step(self, history)

    monkeypatch.setattr(nn.training._Run, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **{"--steps": 120, "--resume": None})
    monkeypatch.undo()
    resumed = train(tmp_path, **{"--steps": 120, "--resume": None})
    assert resumed.state_dict() == whole.state_dict()


def test_the_file_is_named_after_the_task_if_not_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("train", "moons", "--steps", "1")
    assert (tmp_path / "moons.json").exists()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_begins(name, tmp_path):
    if name == "digits":
        pytest.importorskip("sklearn")
    task = TASKS[name]
    X_train, X_test, y_train, y_test = task.data(0)
    assert (len(X_train), len(X_test)) == (len(y_train), len(y_test))
    model = task.model(0)
    assert task.loss(model(X_train[0]), y_train[0]).data > 0.0
    nn.save(model, tmp_path / "m.json")
    assert repr(nn.load(tmp_path / "m.json")) == repr(model)


# ── a table of one's own ──────────────────────────────────────────────────────────────────────
@pytest.fixture
def irises(tmp_path):
    """The irises as somebody keeps them: names of columns and kinds, another column in front."""
    X, y = data.iris()
    kinds = ["setosa", "versicolor", "virginica"]
    lines = [
        f"{kinds[label]},{a},{b},{1000 + 1000 * c},{d}\n"
        for (a, b, c, d), label in zip(X, y, strict=True)
    ]
    header = "kind,sepal length,sepal width,petal length in µm,petal width\n"
    path = tmp_path / "irises.csv"
    path.write_text(header + "".join(lines), encoding="utf-8-sig")
    return path


def test_train_takes_a_table_and_predict_takes_its_numbers_as_they_are(
    irises, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run("train", "--csv", irises, "--target", "kind")
    *_, classes, last = capsys.readouterr().out.splitlines()
    assert classes == "classes: 0 = setosa, 1 = versicolor, 2 = virginica"
    assert LAST.match(last)
    assert min(float(word) for word in last.split()[4::3]) >= 0.9  # both accuracies
    assert {"irises.json", "irises.png"} <= {file.name for file in tmp_path.iterdir()}
    X, y = data.iris()
    scaled = [[a, b, 1000 + 1000 * c, d] for a, b, c, d in X]
    assert nn.accuracy(nn.load("irises.json"), scaled, y) >= 0.95
    run("predict", "irises.json", "5.1", "3.5", "2400", "0.2")
    assert capsys.readouterr().out.startswith("0 ")


def test_a_column_that_is_the_same_everywhere_does_no_harm(irises, tmp_path):
    """123.456 / 120, 120 times, is not 123.456: what is left is rounding, and no deviation."""
    header, *lines = irises.read_text(encoding="utf-8-sig").splitlines()
    irises.write_text("\n".join([f"{header},place", *(f"{line},123.456" for line in lines)]))
    run("train", "--csv", irises, "--target", "kind", "--out", tmp_path / "m.json")
    model = nn.load(tmp_path / "m.json")
    assert max(abs(neuron.w[4].data) for neuron in model.layers[0].neurons) < 10.0
    X, y = data.iris()
    scaled = [[a, b, 1000 + 1000 * c, d, 123.456] for a, b, c, d in X]
    assert nn.accuracy(model, scaled, y) >= 0.95


def test_classes_may_have_any_names(tmp_path, capsys):
    lines = [f"{x},{name}" for x, name in enumerate(["--1", "10", "-2", "²", "9"] * 4)]
    (tmp_path / "t.csv").write_text("\n".join(["x,kind", *lines]), encoding="utf-8")
    out = tmp_path / "t.json"
    run("train", "--csv", tmp_path / "t.csv", "--target", "kind", "--out", out, "--steps", "1")
    assert "classes: 0 = -2, 1 = 9, 2 = 10, 3 = --1, 4 = ²" in capsys.readouterr().out


def test_a_run_on_a_table_goes_on_from_its_checkpoint(irises, tmp_path):
    def trained(out, steps):
        run("train", "--csv", irises, "--target", "kind", "--steps", steps, "--out", out, *more)
        return nn.load(out).state_dict()

    more = ["--seed", "3"]
    whole = trained(tmp_path / "whole.json", 40)
    more += ["--resume"]
    assert trained(tmp_path / "parts.json", 20) != whole
    assert trained(tmp_path / "parts.json", 40) == whole


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_what_stands_between_cells(between, tmp_path):
    lines = " \r\nb|a|c\r\n-10|.5|10\r\n\r\n  \r\n 2 |1e3|x\r\n7|0|9\r\n" + "0|0|9\r\n" * 3
    (tmp_path / "x.csv").write_bytes(lines.replace("|", between).encode())
    table = tables.read_table(tmp_path / "x.csv", "c")
    assert table.X[:3] == [[-10.0, 0.5], [2.0, 1000.0], [7.0, 0.0]]
    assert (table.classes, table.y) == (["9", "10", "x"], [1, 2, 0, 0, 0, 0])


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\r\n\n"])
def test_what_is_quoted_does_not_stand_between_cells(before, between, tmp_path):
    lines = '"a, b,; ""c"", d\t\t"|c\n' + '1|"x; y, z"\n2|w\n' * 3
    (tmp_path / "x.csv").write_bytes((before + lines.replace("|", between)).encode())
    table = tables.read_table(tmp_path / "x.csv", "c")
    assert (table.X, table.classes) == ([[1.0], [2.0]] * 3, ["w", "x; y, z"])


ROWS = "a,b,c\n" + "1,2,x\n2,3,y\n" * 3
TABLES = {
    "no such column": (ROWS, "d", r"x\.csv: there is no column 'd': the first line names a, b, c"),
    "no target": (ROWS, None, r"x\.csv: give --target COLUMN: the first line names a, b, c"),
    "empty": ("", "c", r"x\.csv: there is no column 'c': the first line names none"),
    "header alone": ("a,b,c\n", "c", r"x\.csv: 0 lines below the header: give at least 5"),
    "word": (ROWS + "1,red,x\n", "c", r"x\.csv, line 8, column 'b': 'red' is no number"),
    "hole": (ROWS + ",1,x\n", "c", r"x\.csv, line 8, column 'a': the cell is empty: give a number"),
    "no class": (ROWS + "1,1,\n", "c", r"x\.csv, line 8, column 'c': the cell is empty: give a cl"),
    "decimal comma": (
        ROWS.replace(",", ";") + "1,5;2;x\n",
        "c",
        r"line 8, column 'a': '1,5' is no",
    ),
    "nan": (ROWS + "nan,1,x\n", "c", r"x\.csv, line 8, column 'a': nan is not finite"),
    "short": (ROWS + "1,x\n", "c", r"x\.csv, line 8: 2 cells, and the header has 3"),
    "long": (ROWS + "1,2,x,\n", "c", r"x\.csv, line 8: 4 cells, and the header has 3"),
    "after blank lines": (ROWS + '\n\n1,"a\nb",x\n', "c", r"x\.csv, line 11, column 'b': 'a"),
    "quote that is not closed": (
        ROWS + '1,2,"x\n' + "2,3,y\n" * 9,
        "c",
        r"x\.csv, after line 7: no table .*unexpected end of data",
    ),
    "quote closed by the next": (
        ROWS + '1,2,"x\n2,3,y\n1,2,"y"\n',
        "c",
        r"x\.csv, after line 7: no table",
    ),
    "no name": (",b,c\n", "c", r"x\.csv, line 1: column 1 has no name: .*to_csv\(index=False\)"),
    "twice": ("a,b,a\n", "a", r"x\.csv, line 1: two columns are named 'a'"),
    "alone": ("c\nx\ny\n", "c", r"x\.csv has the column 'c' alone: give others"),
    "one class": ("a,c\n" + "1,x\n" * 5, "c", r"column 'c' has 'x' in every line"),
    "quantity": ("a,c\n" + "1,2.5\n2,3\n" * 3, "c", r"column 'c' has 2 different .* quantity"),
    "a class each": ("a,c\n1,a\n2,b\n3,c\n4,d\n5,e\n", "c", r"5 different values in 5 lines"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_refused_with_line_and_column(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, target, told = TABLES[case]
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        run("train", "--csv", "x.csv", *([] if target is None else ["--target", target]))
    assert capsys.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize("out", ["irises.csv", "../{0}/irises.csv"])
def test_the_table_is_not_replaced_by_the_model(irises, out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = irises.read_bytes()
    with pytest.raises(ValueError, match=r"is the table, which would be lost: name the model's"):
        run("train", "--csv", irises, "--target", "kind", "--out", out.format(tmp_path.name))
    assert irises.read_bytes() == before


def test_a_task_or_a_table(irises, tmp_path):
    for arguments, told in (
        ([], r"give a TASK \(moons, spiral, digits, xor\) or --csv FILE --target COLUMN"),
        (["xor", "--csv", irises, "--target", "kind"], "--target COLUMN, one of them"),
        (["xor", "--target", "kind"], "--target is a column of --csv FILE, and xor has none"),
    ):
        with pytest.raises(ValueError, match=told):
            run("train", *arguments)
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(ValueError, match=r"x\.csv: no table of numbers with commas"):
        run("train", "--csv", tmp_path / "x.csv", "--target", "b")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run("train", "--csv", tmp_path / "nowhere.csv", "--target", "b")


# ── predict ───────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def model(tmp_path):
    """A file whose model takes the larger of two numbers."""
    made = nn.Affine(2, 2, init=lambda nin, nout: 0.0)
    made.W[0][0].data = made.W[1][1].data = 1.0
    nn.save(made, tmp_path / "model.json")
    return tmp_path / "model.json"


def test_predict_prints_class_and_probability(model, capsys):
    run("predict", model, "-1", "1e-3")
    assert capsys.readouterr().out == "1 0.7313\n"
    run("predict", model, "-1e-3", "-2.5E1")
    assert capsys.readouterr().out == "0 1.0000\n"


def test_predict_reads_a_table(model, tmp_path, capsys):
    table = tmp_path / "x.csv"
    table.write_text("1,0\n\n-1.5, 2\n", encoding="utf-8")
    run("predict", model, "--csv", table)
    assert capsys.readouterr().out == "0 0.7311\n1 0.9707\n"


PREDICT = {
    "nothing": ([], "", "give the numbers of one example, or --csv FILE, one of the two"),
    "both": (["1", "2", "--csv"], "1,2\n", "or --csv FILE, one of the two"),
    "width": (["1"], "", r"predict: Affine\(2, 2\): x is a list of 2 numbers, and got 1"),
    "nan": (["1", "nan"], "", "predict: give finite numbers"),
    "header": (
        ["--csv"],
        "a,b\n1,2\n",
        r"x\.csv, line 1: numbers with commas between them, and no",
    ),
    "short": (["--csv"], "1,2\n3\n", r"x\.csv, line 2: Affine\(2, 2\): x is a list of 2 numbers"),
    "not finite": (["--csv"], "1,2\n1e308,-1e308\n-1.7e308,nan\n", r"x\.csv, line 3: give finite"),
    "empty": (["--csv"], "", r"x\.csv is empty: give one example a line"),
}


@pytest.mark.parametrize("case", PREDICT)
def test_predict_refuses(case, model, tmp_path, capsys):
    arguments, table, text = PREDICT[case]
    (tmp_path / "x.csv").write_text(table, encoding="utf-8")
    if "--csv" in arguments:
        arguments = [*arguments, tmp_path / "x.csv"]
    with pytest.raises(ValueError, match=text):
        run("predict", model, *arguments)
    assert capsys.readouterr().out == ""


def test_predict_tells_tables_that_are_no_text_and_outputs_that_are_no_numbers(tmp_path, model):
    (tmp_path / "x.csv").write_bytes(b"1,2\n\xff\n")
    with pytest.raises(ValueError, match=r"x\.csv: no table of numbers with commas"):
        run("predict", model, "--csv", tmp_path / "x.csv")
    nn.save(nn.MLP(2, [1], init=lambda nin, nout: 10.0), tmp_path / "large.json")
    with pytest.raises(ValueError, match="predict: the model's outputs are no finite numbers"):
        run("predict", tmp_path / "large.json", "1e308", "-1e308")


def test_missing_and_foreign_files_are_told(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run("predict", tmp_path / "nowhere.json", "1")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run("predict", model, "--csv", tmp_path / "nowhere.csv")
    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.json: not a model written by tinygrad_scalar"):
        run("predict", tmp_path / "x.json", "1")
    nn.save(nn.GPT(vocabulary=3, context=2, dim=4), tmp_path / "gpt.json")
    with pytest.raises(ValueError, match="predict: Embedding: index is a whole number"):
        run("predict", tmp_path / "gpt.json", "1")


def test_what_cannot_be_written_is_told_before_training(tmp_path, capsys):
    for name, error, text in (
        ("nowhere/model.json", FileNotFoundError, "there is no folder .*nowhere: create it first"),
        ("", IsADirectoryError, "is a folder: name a file in it"),
        ("model.PNG", ValueError, r"is where the picture goes: .*, such as .*model\.json"),
    ):
        with pytest.raises(error, match=text):
            train(tmp_path, **{"--out": tmp_path / name})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model.png").mkdir()
    with pytest.raises(IsADirectoryError, match=r"model\.png is a folder: name a file in it"):
        train(tmp_path)
    assert capsys.readouterr() == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == ["model.png"]


@pytest.mark.parametrize("arguments", [["cube"], ["xor", "--steps", "0"], ["xor", "--seed", "a"]])
def test_train_refuses(arguments):
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        run("train", *arguments)


def test_the_commands_load_nothing_heavy():
    code = (
        "import sys; import tinygrad_scalar.cli.train;"
        "print(sorted({'numpy', 'matplotlib', 'sklearn', 'tqdm'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="devices are POSIX's")
def test_a_device_without_end_is_no_table(tmp_path):
    train(tmp_path)
    for arguments in (("predict", tmp_path / "model.json"), ("train", "--target", "y")):
        with pytest.raises(ValueError, match=r"^/dev/zero is a device: name a file$"):
            run(*arguments, "--csv", "/dev/zero")
