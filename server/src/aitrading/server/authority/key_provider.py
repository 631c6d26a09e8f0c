"""Where private keys live. A provider gives and keeps them; nothing else in the server opens them.

`LocalKeyProvider` keeps them in files and is for development: it refuses to work in production.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from typing_extensions import override

from aitrading.core.kit.secret import Secret
from aitrading.server.authority.errors import (
    KEY_EXISTS,
    KEY_EXPOSED,
    KEY_MISSING,
    KEY_NOT_STORED,
    KEY_PROVIDER_REFUSED,
)

PRODUCTION: Final = "production"
MAX_KEY_BYTES: Final = 64 * 1024
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077


class KeyProvider(Protocol):
    """Named secrets that survive a restart."""

    def names(self) -> list[str]:
        """Every stored name, sorted."""
        ...

    def load(self, name: str) -> Secret[bytes]:
        """Give one secret; raises `KEY_MISSING` or `KEY_EXPOSED`."""
        ...

    def store(self, name: str, value: Secret[bytes]) -> None:
        """Keep a new secret durably; raises `KEY_EXISTS` instead of overwriting."""
        ...

    def remove(self, name: str) -> None:
        """Forget a secret durably; nothing happens when it is not there."""
        ...


class LocalKeyProvider(KeyProvider):
    """Secrets as files of mode 0600 in a folder of mode 0700; refuses AITRADING_ENV=production."""

    def __init__(self, folder: Path, *, environment: str) -> None:
        if environment == PRODUCTION:
            raise KEY_PROVIDER_REFUSED.error(environment=environment)
        self._folder = folder
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _require_private(folder, folder.lstat(), stat.S_ISDIR)

    @override
    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir() if path.suffix != ".new")

    @override
    def load(self, name: str) -> Secret[bytes]:
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise KEY_MISSING.error(name=name, folder=str(self._folder)) from exc
        except OSError as exc:
            raise KEY_EXPOSED.error(path=str(path), found=exc.strerror) from exc
        try:
            _require_private(path, os.fstat(descriptor), stat.S_ISREG)
            return Secret(os.read(descriptor, MAX_KEY_BYTES))
        finally:
            os.close(descriptor)

    @override
    def store(self, name: str, value: Secret[bytes]) -> None:
        path = self._folder / name
        fresh = self._folder / f"{name}.{os.getpid()}.new"
        try:
            _write_durably(fresh, value.reveal())
            os.link(fresh, path)
        except FileExistsError as exc:
            raise KEY_EXISTS.error(name=name) from exc
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise KEY_NOT_STORED.error(name=name, folder=str(self._folder), reason=reason) from exc
        finally:
            fresh.unlink(missing_ok=True)
        _sync_folder(self._folder)

    @override
    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        _sync_folder(self._folder)


def load_or_create(
    provider: KeyProvider, name: str, make: Callable[[], Secret[bytes]]
) -> Secret[bytes]:
    """Give the secret, making and keeping it at its first use."""
    if name not in provider.names():
        provider.store(name, make())
    return provider.load(name)


def _write_durably(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_private(path: Path, found: os.stat_result, kind: Callable[[int], bool]) -> None:
    if not kind(found.st_mode):
        raise KEY_EXPOSED.error(path=str(path), found="it is something else")
    if found.st_uid != os.geteuid():
        raise KEY_EXPOSED.error(path=str(path), found=f"it belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise KEY_EXPOSED.error(path=str(path), found=f"its mode is {mode:04o}")
