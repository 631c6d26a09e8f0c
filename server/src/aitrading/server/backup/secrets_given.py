"""Passphrases and recovery keys from files and descriptors, never from a command line."""

import base64
import os
from pathlib import Path
from typing import Final

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_streams import RecoveryKey
from aitrading.server.backup.errors import SECRET_UNUSABLE

PRIVATE_BEGIN: Final = "aitrading-recovery-secret-1:"
PUBLIC_BEGIN: Final = "aitrading-recovery-1:"
PASSPHRASE_CHARS_MIN: Final = 12
SECRET_BYTES_MAX: Final = 4096


def passphrase_from_file(path: Path) -> Secret[str]:
    """The first line of a file."""
    return _first_line(_content(path), str(path))


def passphrase_from_descriptor(number: int) -> Secret[str]:
    """The first line of what an open descriptor gives."""
    try:
        return _first_line(os.read(number, SECRET_BYTES_MAX), f"descriptor {number}")
    except OSError as exc:
        raise SECRET_UNUSABLE.error(reason=f"descriptor {number}: {exc.strerror}") from exc


def checked_passphrase(passphrase: Secret[str]) -> Secret[str]:
    """Good enough to seal with; raises SECRET_UNUSABLE."""
    if len(passphrase.reveal()) < PASSPHRASE_CHARS_MIN:
        raise SECRET_UNUSABLE.error(
            reason=f"a passphrase has at least {PASSPHRASE_CHARS_MIN} characters"
        )
    return passphrase


def public_key_from_file(path: Path) -> bytes:
    """The public half of a recovery key, from either of its files."""
    text = _content(path).decode(errors="replace").strip()
    if text.startswith(PRIVATE_BEGIN):
        return private_key_from_file(path).public
    return _decoded(text, PUBLIC_BEGIN, path)


def private_key_from_file(path: Path) -> RecoveryKey:
    """What opens a backup."""
    text = _content(path).decode(errors="replace").strip()
    return RecoveryKey.from_raw(Secret(_decoded(text, PRIVATE_BEGIN, path)))


def write_new_key(path: Path) -> Path:
    """Draw a recovery key: the private half into `path`, the public one into `path`.pub."""
    public = path.with_name(path.name + ".pub")
    if path.exists() or public.exists():
        raise SECRET_UNUSABLE.error(reason=f"{path} exists already")
    key = RecoveryKey.generate()
    for place, begin, raw in (
        (path, PRIVATE_BEGIN, key.raw().reveal()),
        (public, PUBLIC_BEGIN, key.public),
    ):
        text = begin + base64.b64encode(raw).decode() + "\n"
        try:
            write_atomically(place, text.encode())
        except OSError as exc:
            raise SECRET_UNUSABLE.error(reason=f"{place}: {exc.strerror}") from exc
    return public


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SECRET_BYTES_MAX)
    except OSError as exc:
        raise SECRET_UNUSABLE.error(reason=f"{path}: {exc.strerror}") from exc


def _first_line(content: bytes, place: str) -> Secret[str]:
    line = content.decode(errors="replace").splitlines()[:1]
    if not line or not line[0]:
        raise SECRET_UNUSABLE.error(reason=f"{place} is empty")
    return Secret(line[0])


def _decoded(text: str, begin: str, path: Path) -> bytes:
    try:
        return (
            base64.b64decode(text.removeprefix(begin), validate=True)
            if text.startswith(begin)
            else _no(path)
        )
    except ValueError:
        return _no(path)


def _no(path: Path) -> bytes:
    raise SECRET_UNUSABLE.error(reason=f"{path} holds no recovery key")
