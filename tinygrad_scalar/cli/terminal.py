"""What the commands print, and where: in the lines of the terminal, one line for an error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tinygrad_scalar.core.grad_table import GradTable

PROGRAM = "tinygrad-scalar"


def width() -> int:
    """The columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


def fitted(table: GradTable) -> str:
    """The table in the width of the terminal."""
    return table.text(width=width())


def tell(what: str) -> None:
    """A line on standard error, where there is one: `print` takes None for standard output."""
    if sys.stderr is not None:
        print(f"{PROGRAM}: {what}", file=sys.stderr)


@contextmanager
def printing() -> Iterator[None]:
    """A block at whose end all that was printed is written: a full disk or a closed pipe is told.

    Python would write what waits at its own end, where nobody catches what goes wrong.
    """
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            # what still waits has nowhere to go, and is not tried again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def replace_what_the_terminal_cannot_show() -> None:
    """Letters that the encoding of the terminal lacks are question marks, and no error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def one_line(message: object) -> str:
    """A message without line ends."""
    return " ".join(str(message).split()) or type(message).__name__
