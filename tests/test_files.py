"""Files are written whole or not at all, whatever happens on the way."""

import os
import stat
import sys

import pytest

from tinygrad_scalar.files import suffix_of, write_atomically

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
