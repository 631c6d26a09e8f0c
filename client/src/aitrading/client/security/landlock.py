"""Landlock, the part of the Linux kernel in which a program gives up rights for good.

A set of rules names what is barred and what of it stays allowed. It holds for the thread that asks
and for every thread and process that this one starts later; nothing takes it back. Sets add up.
"""

import ctypes
import os
from collections.abc import Mapping
from contextlib import suppress
from enum import IntFlag
from pathlib import Path
from typing import Any, Final

from aitrading.client.security.measures import UnreadableError

FILES_SINCE: Final = 3
"""Earlier versions forbid every move to another folder, and let files be cut."""
NETWORK_SINCE: Final = 4
SIGNALS_SINCE: Final = 6
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_TELL_VERSION: Final = 1
_BENEATH_PATH: Final = 1


class Files(IntFlag):
    """What can be done with files and folders; the kernel's numbers."""

    EXECUTE = 1 << 0
    WRITE = 1 << 1
    READ = 1 << 2
    LIST = 1 << 3
    REMOVE_FOLDER = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHARACTER_DEVICE = 1 << 6
    MAKE_FOLDER = 1 << 7
    MAKE_FILE = 1 << 8
    MAKE_SOCKET = 1 << 9
    MAKE_PIPE = 1 << 10
    MAKE_BLOCK_DEVICE = 1 << 11
    MAKE_LINK = 1 << 12
    MOVE = 1 << 13
    CUT = 1 << 14


class Network(IntFlag):
    """What can be done with TCP."""

    LISTEN = 1 << 0
    CONNECT = 1 << 1


class Scope(IntFlag):
    """What reaches only processes that are confined alike, or more."""

    ABSTRACT_SOCKETS = 1 << 0
    SIGNALS = 1 << 1


LOOKING: Final = Files.EXECUTE | Files.READ | Files.LIST
CHANGING: Final = ~LOOKING & Files((1 << 15) - 1)
OF_ONE_FILE: Final = Files.EXECUTE | Files.READ | Files.WRITE | Files.CUT
"""The rest is about folders; a rule for a file must not name it."""


class _Barred(ctypes.Structure):
    """landlock_ruleset_attr; kernels that know less take it while the rest is zero."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scope", ctypes.c_uint64),
    )


class _Allowed(ctypes.Structure):
    """landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("files", ctypes.c_uint64), ("folder", ctypes.c_int32))


def require(version: int) -> None:
    """Raise `UnreadableError` where the kernel has no Landlock, or an older one."""
    try:
        found = _call(_CREATE_RULESET, None, 0, _TELL_VERSION)
    except OSError as exc:
        raise UnreadableError(f"this kernel has no Landlock: {exc.strerror}") from exc
    if found < version:
        raise UnreadableError(f"this kernel has Landlock {found}, and it takes {version} for this")


def bar(
    *,
    files: Files = Files(0),  # noqa: B008 - a constant
    network: Network = Network(0),  # noqa: B008 - a constant
    scope: Scope = Scope(0),  # noqa: B008 - a constant
    allowed: Mapping[Path, Files] | None = None,
) -> None:
    """Give up rights for good, but for what is allowed in a file or beneath a folder.

    What does not exist is left out. Raises `OSError`, also when threads run already: they would keep
    their rights.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise OSError(f"{threads - 1} other threads run already and would stay unconfined")
    barred = _Barred(files=files, network=network, scope=scope)
    rules = _call(_CREATE_RULESET, ctypes.byref(barred), ctypes.sizeof(barred), 0)
    try:
        for path, rights in (allowed or {}).items():
            with suppress(FileNotFoundError):
                _allow(rules, path, files & rights)
        _call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: Files) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = rights if path.is_dir() else rights & OF_ONE_FILE
        rule = _Allowed(files=rights, folder=folder)
        _call(_ADD_RULE, rules, _BENEATH_PATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)


def _call(number: int, *given: Any) -> int:
    libc: Any = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    plain = [ctypes.c_long(one) if isinstance(one, int) else one for one in given]
    answer = int(libc.syscall(ctypes.c_long(number), *plain))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
