"""The last words of a child, for a person."""

from pathlib import Path

import msgspec

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
