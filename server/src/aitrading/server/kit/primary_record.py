"""Which primary was the newest: remembered beyond the life of a process, and never backwards.

A promotion raises the timeline, so of two servers that both believe to be the primary the one of
the lower timeline is outdated. All processes of an installation share one file, written before the
first use of a newer primary. Only the operator's word (`replace`) lets it go back.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aitrading.core.infrastructure.files import write_atomically
from aitrading.server.kit.database_errors import PRIMARY_RECORD_UNUSABLE


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One primary: which cluster it belongs to, and how many promotions it has behind it."""

    cluster: int
    timeline: int


class PrimaryRecord:
    """The newest primary seen; without a file, only by this process.

    Raises `PRIMARY_RECORD_UNUSABLE` where the file cannot be read or written.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: Standing | None = None
        self._read_of: tuple[int, int] | None = None

    def known(self) -> Standing | None:
        """The newest one; costs one look at the folder when nothing has changed."""
        if self._file is not None:
            seen = _stamp(self._file)
            if seen != self._read_of:
                self._known, self._read_of = _read(self._file), seen
        return self._known

    def note(self, found: Standing) -> Standing:
        """Remember a newer one, on disk when this returns; gives the newest.

        Another cluster is never noted over a known one: that is for `replace`.
        """
        with self._turn():
            known = self.known()
            if known is None or (
                known.cluster == found.cluster and known.timeline < found.timeline
            ):
                self._write(found)
                return found
            return known

    def replace(self, wanted: Standing) -> Standing | None:
        """Count from this one on, whatever was seen; gives what was known before."""
        with self._turn():
            try:
                before = self.known()
            except Exception:  # noqa: BLE001 - a damaged record is what an operator replaces
                before = None
            self._write(wanted)
            return before

    def _write(self, standing: Standing) -> None:
        if self._file is not None:
            try:
                write_atomically(self._file, msgspec.json.encode(standing))
            except OSError as exc:
                raise _unusable(self._file, exc) from exc
            self._read_of = _stamp(self._file)
        self._known = standing

    @contextmanager
    def _turn(self) -> Generator[None]:
        """One process at a time; a killed one lets go by itself."""
        if self._file is None:
            yield
            return
        lock = self._file.with_name(f".{self._file.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise _unusable(self._file, exc) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _stamp(file: Path) -> tuple[int, int] | None:
    """Changes with each replacement of the file; None while there is none."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unusable(file, exc) from exc
    return facts.st_ino, facts.st_mtime_ns


def _read(file: Path) -> Standing | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Standing)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise _unusable(file, exc) from exc


def _unusable(file: Path, exc: Exception) -> Exception:
    problem = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return PRIMARY_RECORD_UNUSABLE.error(path=str(file), problem=problem)
