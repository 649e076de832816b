"""Files are written whole or not at all, whatever happens on the way."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_scalar import compile, load_compiled, nn, optim
from tinygrad_scalar.files import check_place, suffix_of, write_atomically

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and modes are POSIX's")


@pytest.mark.parametrize("content", ["naïve\n", b"\x00\r\n\xff"])
def test_a_file_holds_what_was_written_to_the_byte(content, tmp_path):
    path = tmp_path / "a"
    for _ in range(2):  # new, and in place of an old one
        write_atomically(path, content)
        assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(call, error, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")

    def failing(*_):
        raise error

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(type(error)) as caught:
        write_atomically(path, "new")
    if isinstance(error, OSError):
        assert str(caught.value) == f"{path} cannot be written: No space left on device"
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_folders_are_told(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        write_atomically(tmp_path, "")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent: create it first"):
        write_atomically(tmp_path / "absent" / "a", "")


def test_a_folder_that_nothing_may_be_written_to_is_told_before_long_work(tmp_path, monkeypatch):
    """Who runs the tests may be allowed everything: what the system answers is set here."""
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with pytest.raises(PermissionError, match=r"a\.txt cannot be written: nothing may be .*folder"):
        check_place(tmp_path / "a.txt")


@posix
def test_a_folder_that_cannot_be_synchronised_does_not_undo_the_write(tmp_path, monkeypatch):
    synchronise = os.fsync

    def only_files(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(22, "Invalid argument")
        synchronise(number)

    monkeypatch.setattr(os, "fsync", only_files)
    write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


@posix
def test_links_and_permissions_are_kept(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    link.symlink_to(path)
    write_atomically(link, "new")
    path.chmod(0o640)
    write_atomically(link, "newer")
    assert link.is_symlink()
    assert path.read_text() == "newer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(("name", "suffix"), [("a.SVG", "svg"), ("a", ""), ("a.tar.gz", "gz")])
def test_suffixes_are_in_small_letters(name, suffix):
    assert suffix_of(name) == suffix


# ── what is no regular file ───────────────────────────────────────────────────────────────────
def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def device(path):
    path.symlink_to(os.devnull)


def circle(path):
    path.symlink_to(path)


IRREGULAR = {
    "a pipe": pipe,
    "a socket": listening,
    "a device": device,
    "a folder": Path.mkdir,
    "Too many levels of symbolic links": circle,
}


def without_time_of_reading(path):
    """What is known of a file: to follow a link counts as reading it."""
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns


@posix
@pytest.mark.parametrize("kind", IRREGULAR)
def test_nothing_but_a_regular_file_is_replaced_or_waited_for(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may be 100 characters long
    path = Path("place")
    IRREGULAR[kind](path)
    before = without_time_of_reading(path)
    model = nn.MLP(1, [1], seed=0)
    sgd, loss = optim.SGD(model.parameters(), 0.1), nn.mean_squared_error
    compiled = compile(lambda x: x * x)
    compiled(2.0)
    for write in (
        lambda: write_atomically(path, "new"),
        lambda: nn.save(model, path),
        lambda: compiled.save(path),
        lambda: nn.fit(model, [[1.0]], [1.0], loss=loss, optimizer=sgd, steps=1, checkpoint=path),
    ):
        with pytest.raises(OSError, match=f"place.*{kind}|{kind}.*place"):
            write()
    for load in (nn.load, load_compiled):
        with pytest.raises((OSError, ValueError), match="place"):
            load(path)
    assert without_time_of_reading(path) == before
    assert [entry.name for entry in Path().iterdir()] == ["place"]


# ── what killed writers leave ─────────────────────────────────────────────────────────────────
KILLED = """
import os, signal, sys
from tinygrad_scalar.files import check_place, write_atomically
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(sys.argv[1], "half")
"""


@posix
def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    path, other = tmp_path / ("a" * 255), tmp_path / "other"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert len(list(tmp_path.iterdir())) == 1  # the second removed what the first left
    write_atomically(other, "new")
    assert len(list(tmp_path.iterdir())) == 2  # this may be another file's writer
    write_atomically(path, "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, "other"]
    assert path.read_text() == "new"


@posix
def test_writers_of_one_file_leave_each_other_alone(tmp_path, monkeypatch):
    """The second begins and ends while the first has written, and not yet moved."""
    path, synchronise = tmp_path / "a", os.fsync

    def with_another(number):
        monkeypatch.setattr(os, "fsync", synchronise)
        write_atomically(path, "second")
        synchronise(number)

    monkeypatch.setattr(os, "fsync", with_another)
    write_atomically(path, "first")
    assert path.read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
