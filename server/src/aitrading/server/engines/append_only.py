"""What a power cut does to Valkey's append-only file, undone before the next start.

A file system may keep the new length of a file and lose its last bytes, which then read as zeros.
Valkey forgives a command that is cut off at the end, but refuses to start with zeros there, and the
wheel brings no tool that repairs a file of several parts.
"""

import os
import re
from pathlib import Path
from typing import Final

FOLDER: Final = "appendonlydir"
TAIL_BYTES: Final = 1 << 20
"""Zeros are looked for in this much of the end; Valkey syncs each second, so less is at risk."""
_PART: Final = re.compile(r".*\.(?P<number>\d+)\.incr\.aof")
_LENGTH: Final = re.compile(rb"(?P<kind>[*$])(?P<length>\d{1,10})\r\n")
_COMMENT: Final = re.compile(rb"#[^\r\n]*\r\n")


def cut_unwritten_tail(data_folder: Path) -> int:
    """Cut the newest part behind its last whole command if zeros follow; gives the bytes cut."""
    parts = {
        int(match["number"]): path
        for path in (data_folder / FOLDER).glob("*.incr.aof")
        if (match := _PART.fullmatch(path.name))
    }
    if not parts:
        return 0
    newest = parts[max(parts)]
    with newest.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        if b"\0" not in file.read():
            return 0
        file.seek(0)
        whole = whole_commands(file.read())
        file.truncate(whole)
        os.fsync(file.fileno())
    return size - whole


def whole_commands(content: bytes) -> int:
    """How many bytes from the start are complete commands."""
    whole = position = 0
    while position < len(content):
        if comment := _COMMENT.match(content, position):
            whole = position = comment.end()
            continue
        end = _end_of_command(content, position)
        if end is None:
            break
        whole = position = end
    return whole


def _end_of_command(content: bytes, position: int) -> int | None:
    """Where the command that begins here ends; None unless all of it is there."""
    head = _LENGTH.match(content, position)
    if head is None or head["kind"] != b"*":
        return None
    position = head.end()
    for _ in range(int(head["length"])):
        argument = _LENGTH.match(content, position)
        if argument is None or argument["kind"] != b"$":
            return None
        position = argument.end() + int(argument["length"]) + 2
        if content[position - 2 : position] != b"\r\n":
            return None
    return position
