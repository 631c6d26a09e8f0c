"""Setting aside what can never be stored, so that everything behind it goes on."""

import asyncio
import os
from pathlib import Path
from typing import Final

import msgspec

from aitrading.core.kit.clock import Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.security.file_sealing import FileKeys, is_sealed

COPY_SUFFIX: Final = ".segment"
NOTE_SUFFIX: Final = ".json"
FILES_MAX: Final = 1_000
"""Most segments kept; a folder with more is a sign that nobody looks."""


class QuarantineNote(msgspec.Struct, frozen=True, kw_only=True):
    """Why a segment was set aside."""

    segment: str
    cause: str
    message: str
    set_aside: str
    fields: dict[str, FieldValue] = {}


class Quarantine:
    """A bounded folder of sealed segments with a note, in the clear, of what is wrong with each."""

    def __init__(self, folder: Path, keys: FileKeys, *, limit_bytes: int, clock: Clock) -> None:
        self._folder = folder
        self._keys = keys
        self._limit_bytes = limit_bytes
        self._clock = clock

    async def keep(self, name: str, body: bytes, cause: AitradingError) -> bool:
        """Keep a copy and say whether there was room; keeping one again changes nothing.

        The sender has the original: a copy that cannot be written is not a reason to fail.
        """
        try:
            return await asyncio.to_thread(self._write, name, body, cause)
        except OSError:
            return False

    def _write(self, name: str, body: bytes, cause: AitradingError) -> bool:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = self._folder / f"{name}{COPY_SUFFIX}"
        kept = [path for path in self._folder.iterdir() if path.suffix == COPY_SUFFIX]
        if target in kept:
            return True
        used = sum(path.stat().st_size for path in kept)
        if len(kept) >= FILES_MAX or used + len(body) > self._limit_bytes:
            return False
        note = QuarantineNote(
            segment=name,
            cause=cause.code,
            message=cause.message,
            fields=dict(cause.fields),
            set_aside=rfc3339_of_ns(self._clock.now_ns()),
        )
        _write_private(self._folder / f"{name}{NOTE_SUFFIX}", msgspec.json.encode(note))
        _write_private(target, self._keys.seal(body, name=name))
        return True


def notes_of(folder: Path) -> list[QuarantineNote]:
    """What was set aside in a folder, the oldest first; a note that cannot be read says so."""
    return sorted(map(_note, folder.glob(f"*{COPY_SUFFIX}")), key=lambda note: note.set_aside)


def opened_copy(folder: Path, segment: str, keys: FileKeys) -> bytes:
    """A copy as it was sent; raises what `FileKeys.open` raises. Older copies lie in the clear."""
    content = (folder / f"{segment}{COPY_SUFFIX}").read_bytes()
    return keys.open(content, name=segment) if is_sealed(content) else content


def _note(copy: Path) -> QuarantineNote:
    try:
        return msgspec.json.decode(copy.with_suffix(NOTE_SUFFIX).read_bytes(), type=QuarantineNote)
    except (OSError, msgspec.MsgspecError) as exc:
        return QuarantineNote(segment=copy.stem, cause="?", message=str(exc), set_aside="")


def _write_private(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.rename(path)
