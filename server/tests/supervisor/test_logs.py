"""The last words of a child for a person, and lines that no crash and no full disk joins."""

import os
from pathlib import Path

import msgspec
import pytest

from aitrading.server.supervisor.logs import RotatingLog


def said(folder: Path, *lines: bytes) -> str:
    log = RotatingLog(folder / "part.log")
    log.write(b"".join(line + b"\n" for line in lines))
    log.close()
    return log.tail()


def test_records_are_told_as_sentences_and_errors_alone_where_there_are_any(
    tmp_path: Path,
) -> None:
    begun = msgspec.json.encode({"level": "INFO", "msg": "listening", "fields": {"a": "b" * 900}})
    failed = msgspec.json.encode(
        {"level": "ERROR", "msg": "The disk is full.", "error_code": "DISK", "stack": "s" * 3_000}
    )
    assert said(tmp_path, begun, failed, begun, failed) == "The disk is full. (DISK)"


def test_without_an_error_every_line_is_told_as_a_person_reads_it(tmp_path: Path) -> None:
    begun = msgspec.json.encode({"level": "INFO", "msg": "listening"})
    assert said(tmp_path, b"FATAL: no space", begun) == "FATAL: no space\nlistening"


def test_the_line_behind_one_that_a_crash_tore_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    said(tmp_path, b"whole")
    path.write_bytes(path.read_bytes() + b'{"level":"IN')
    said(tmp_path, b"after the start")
    assert path.read_bytes().split(b"\n") == [b"whole", b'{"level":"IN', b"after the start", b""]


def test_the_line_behind_one_that_a_full_disk_tore_is_a_line_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.log"
    log = RotatingLog(path)
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:4]))
        log.write(b"half of this\n")
    assert log.lost_bytes == len(b" of this\n")
    log.write(b"there is room\n")
    log.close()
    assert path.read_bytes() == b"half\nthere is room\n"
