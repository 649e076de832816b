"""The commands `train` and `predict`."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any

from tinygrad_scalar.cli.tables import Standard, Table, lines_of, listed, read_table, table_task
from tinygrad_scalar.cli.tasks import TASKS, Parts, Task
from tinygrad_scalar.drawing.plots import decision_regions, loss_curve
from tinygrad_scalar.files import check_place
from tinygrad_scalar.nn.callbacks import History
from tinygrad_scalar.nn.classes import accuracy, predict
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.saving import load, save
from tinygrad_scalar.nn.training import fit, mean_loss


def add_commands(commands: Any) -> None:
    """Add `train` and `predict` to the subparsers; each sets `run`, a function of options."""
    add_train(commands)
    add_predict(commands)


def add_train(commands: Any) -> None:
    """The command `train`."""
    tasks = "; ".join(f"{name}: {task.about}" for name, task in TASKS.items())
    command = commands.add_parser(
        "train",
        help="train a network on a small task",
        description="Train a network of scalar neurons, write it to a file and draw what it "
        f"decides beside it. Tasks: {tasks}. Or a table of your own: --csv FILE --target COLUMN.",
        allow_abbrev=False,
    )
    command.add_argument("task", metavar="TASK", nargs="?", choices=TASKS, help=", ".join(TASKS))
    command.add_argument(
        "--csv", metavar="FILE", type=Path, help="a table instead: numbers, and a line of names"
    )
    command.add_argument("--target", metavar="COLUMN", help="its column of classes")
    command.add_argument("--steps", metavar="N", type=_whole, help="steps of the optimiser")
    command.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="of data, weights and order; 0 if not given",
    )
    command.add_argument(
        "--out", metavar="FILE", type=Path, help="the model's file; TASK.json or that of the table"
    )
    command.add_argument(
        "--resume", action="store_true", help="keep a checkpoint beside the file, and go on from it"
    )
    command.set_defaults(run=train)


def add_predict(commands: Any) -> None:
    """The command `predict`."""
    command = commands.add_parser(
        "predict",
        help="class and probability of new examples",
        description="Print class and probability, one line per example, by the model in a file "
        "that train or nn.save wrote.",
        allow_abbrev=False,
    )
    # argparse knows -1.5 as a number, and takes -1e-3 and -inf for options
    command._negative_number_matcher = re.compile(r"^-(\d|\.\d|inf|nan)")
    command.add_argument("model", metavar="MODEL", type=Path, help="the model's file")
    command.add_argument("x", metavar="x", nargs="*", type=float, help="the numbers of one example")
    command.add_argument(
        "--csv", metavar="FILE", type=Path, help="a table of examples, one a line, no header"
    )
    command.set_defaults(run=predictions)


def train(options: argparse.Namespace) -> None:
    """Train the task's model, save it, draw it, and tell loss and accuracy."""
    table = _table(options)
    task = TASKS[options.task] if table is None else table_task(table, options.csv.name)
    seed, recipe = options.seed, task.recipe
    out = options.out or Path(f"{options.task or options.csv.stem}.json")
    _check_out(out, options.csv)
    steps = options.steps or recipe.steps
    parts, model = task.data(seed), task.model(seed)
    standard = None if table is None else Standard.of(parts[0])
    history = fit(
        model,
        standard(parts[0]) if standard else parts[0],
        parts[2],
        loss=task.loss,
        # the same schedule for fewer steps, so that resuming with more is the longer run
        optimizer=recipe.optimizer(model.parameters(), max(steps, recipe.steps)),
        steps=steps,
        batch_size=recipe.batch_size,
        seed=seed,
        checkpoint=out.with_name(out.name + ".checkpoint") if options.resume else None,
        progress=True,
    )
    if standard:
        standard.built_into(model)
    save(model, out)
    print(f"The model is in {out}.")
    print(_drawn(model, parts, history, out.with_suffix(".png")))
    if table:
        print(f"classes: {listed([f'{k} = {name}' for k, name in enumerate(table.classes)])}")
    print(_result(task, model, parts))


def _table(options: argparse.Namespace) -> Table | None:
    """The table to learn from, None for a task; ValueError unless it is one of the two."""
    if (options.task is None) == (options.csv is None):
        raise ValueError(
            f"train: give a TASK ({', '.join(TASKS)}) or --csv FILE --target COLUMN, one of them"
        )
    if options.csv is not None:
        return read_table(options.csv, options.target)
    if options.target is not None:
        raise ValueError(f"train: --target is a column of --csv FILE, and {options.task} has none")
    return None


def _check_out(path: Path, table: Path | None) -> None:
    """Tell before training what could not be written after it, or would replace the table."""
    check_place(path)
    picture = path.with_suffix(".png")
    if path.suffix.lower() == ".png":
        raise ValueError(
            f"train: --out {path} is where the picture goes: name the model's file, such as "
            f"{path.with_suffix('.json')}"
        )
    check_place(picture)
    for written in (path, picture):
        if table is not None and written.exists() and written.samefile(table):
            raise ValueError(
                f"train: {written} is the table, which would be lost: name the model's file by "
                "--out FILE, with another stem"
            )


def _drawn(model: Module, parts: Parts, history: History, path: Path) -> str:
    """Draw the decision regions, or the losses where examples are no points of the plane."""
    X, _, y, _ = parts
    try:
        plot = decision_regions(model.eval(), X, y) if len(X[0]) == 2 else loss_curve(history)
    except ImportError as error:
        return f"No picture: {error}."
    plot.save(path)
    return f"The picture is in {path}."


def _result(task: Task, model: Module, parts: Parts) -> str:
    X_train, X_test, y_train, y_test = parts
    return (
        f"loss {mean_loss(model, task.loss, X_train, y_train):.4f} "
        f"train accuracy {accuracy(model, X_train, y_train):.4f} "
        f"test accuracy {accuracy(model, X_test, y_test):.4f}"
    )


def predictions(options: argparse.Namespace) -> None:
    """Print class and probability of every example."""
    if bool(options.x) == bool(options.csv):
        raise ValueError("predict: give the numbers of one example, or --csv FILE, one of the two")
    model = load(options.model)
    examples = [("", options.x)] if options.x else _rows(options.csv)
    for line in [_predicted(model, x, place) for place, x in examples]:
        print(line)


def _predicted(model: Module, x: list[float], place: str) -> str:
    """The line for one example; ValueError naming its place."""
    if not all(map(math.isfinite, x)):
        raise ValueError(f"predict: {place}give finite numbers")
    try:
        label, probability = predict(model, x)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"predict: {place}{error}") from None
    if math.isnan(probability):
        raise ValueError(f"predict: {place}the model's outputs are no finite numbers here")
    return f"{label} {probability:.4f}"


def _rows(path: Path) -> list[tuple[str, list[float]]]:
    """The lines of a table as numbers, each with the place it stands at."""
    rows = []
    for number, cells in lines_of(path):
        place = f"{path}, line {number}: "
        try:
            rows.append((place, [float(cell) for cell in cells]))
        except ValueError:
            raise ValueError(f"{place}numbers with commas between them, and no header") from None
    if not rows:
        raise ValueError(f"{path} is empty: give one example a line")
    return rows


def _whole(text: str) -> int:
    """A number of steps for argparse, at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"give a whole number of at least 1, not {text!r}")
    return int(text)
