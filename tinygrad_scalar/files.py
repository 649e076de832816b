"""Files that are as they were or complete: written beside their place, then moved into it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write the file at once: whatever fails, an existing one stays as it was, and nothing is left.

    Temporary file, fsync, rename: a crash leaves the old file or the new one. A new file gets the
    usual permissions, an existing one keeps its own; a link keeps pointing to what is written.
    Errors: OSError naming the path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a.txt", "done")
    ...     [entry.name for entry in Path(folder).iterdir()]
    ['a.txt']
    """
    check_place(path)
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{os.urandom(8).hex()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(f"{os.fspath(path)} cannot be written: {reason}") from error
    finally:
        beside.unlink(missing_ok=True)


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise what `write_atomically` would for a folder that is missing, or stands at `path`.

    For those who work long before they write.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fspath(path)} is a folder: name a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{os.fspath(path)} cannot be written: there is no folder {target.parent}: "
            "create it first"
        )


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix in small letters, without its point.

    >>> suffix_of("graph.SVG")
    'svg'
    """
    return Path(path).suffix.lower().removeprefix(".")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a crash, where the system can do that."""
    with suppress(OSError, AttributeError):  # no O_DIRECTORY on Windows
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
