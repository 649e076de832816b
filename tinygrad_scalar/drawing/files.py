"""Files that are as they were or complete: written beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write the file at once: on any failure an existing one stays as it was, and nothing is left.

    A new file gets the usual permissions, an existing one keeps its own; a link keeps pointing to
    what is written. Errors: OSError naming the path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a.txt", "done")
    ...     [entry.name for entry in Path(folder).iterdir()]
    ['a.txt']
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    beside = target.with_name(f".{os.urandom(8).hex()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, beside)
        beside.replace(target)
    except OSError as error:
        raise _about(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix in small letters, without its point.

    >>> suffix_of("graph.SVG")
    'svg'
    """
    return Path(path).suffix.lower().removeprefix(".")


def _about(path: str | os.PathLike[str], error: OSError) -> OSError:
    """The same kind of error, about the path that was asked for."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        reason = f"there is no folder {Path(path).parent}: create it first"
    return type(error)(f"{os.fspath(path)} cannot be written: {reason}")
