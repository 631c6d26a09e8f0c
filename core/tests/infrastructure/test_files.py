"""Files are replaced whole or not at all, and are private."""

import os
import stat
from pathlib import Path

import pytest

from aitrading.core.infrastructure import files


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two" * 100_000)
    assert path.read_bytes() == b"two" * 100_000
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_what_was_asked_for_whatever_it_was(tmp_path: Path) -> None:
    path = tmp_path / "trust.pem"
    path.write_bytes(b"old")
    path.chmod(0o666)
    files.write_atomically(path, b"secret")
    assert mode_of(path) == 0o600
    old_mask = os.umask(0o077)
    try:
        files.write_atomically(path, b"public", mode=0o644)
    finally:
        os.umask(old_mask)
    assert mode_of(path) == 0o644


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"untouched")
    link.symlink_to(target)
    files.write_atomically(link, b"new")
    assert target.read_bytes() == b"untouched"
    assert not link.is_symlink()


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    files.write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_not_a_surprise(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_atomically(tmp_path / "missing" / "x", b"")


def test_folders_are_private_and_removal_may_repeat(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_private_folder(folder)
    files.make_private_folder(folder)
    assert mode_of(folder) == 0o700
    files.write_atomically(folder / "x", b"1")
    files.remove_durably(folder / "x")
    files.remove_durably(folder / "x")
    assert list(folder.iterdir()) == []


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    first = files.try_lock(tmp_path / "lock")
    assert first is not None
    assert files.try_lock(tmp_path / "lock") is None
    os.close(first)
    again = files.try_lock(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_a_file_of_lines_is_opened_behind_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for had, has in ((b"", b""), (b"one\n", b"one\n"), (b"one\ntw", b"one\ntw\n")):
        path.write_bytes(had)
        os.close(files.open_lines(path))
        assert path.read_bytes() == has
    path.unlink()
    os.close(files.open_lines(path))
    assert mode_of(path) == 0o600
