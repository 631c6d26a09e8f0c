"""The configuration on disk: what is in use, and the highest version that ever was.

`configuration/bundle.sealed` and `identity/configuration.seen` lie apart and are sealed under one
key, so that an older copy of the bundle is recognised. Who restores both is told apart by the
server: it sees an older version than it signed, and signs a new one.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from aitrading.client.config_manager.errors import CONFIGURATION_UNREADABLE
from aitrading.client.config_manager.settings import BY_FILE, ConfigurationSettings
from aitrading.client.security.device_files import FOLDER, DeviceRecord
from aitrading.client.security.file_keys import client_file_keys
from aitrading.client.security.protection import LOCAL_BYTES, Protection, ProtectionKind
from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.config_bundle import SignedBundle
from aitrading.core.security.file_sealing import FileKeys

CONFIGURATION: Final = "configuration"
BUNDLE_NAME: Final = "bundle.sealed"
KEY_NAME: Final = "key.json"
SEEN_NAME: Final = "configuration.seen"
MAX_BYTES: Final = 256 * 1024
T = TypeVar("T", bound=msgspec.Struct)
_LABEL: Final = b"aitrading/configuration-file/v1\0"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The highest version that was ever in use, and what it set."""

    version: int = 0
    digest: str = ""


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protection: ProtectionKind
    wrapped: bytes


class BundleStore:
    """The two files of one home; everything blocks. Open it with `opened`."""

    def __init__(self, home: Path, record: DeviceRecord, keys: FileKeys) -> None:
        self._bundle = home / CONFIGURATION / BUNDLE_NAME
        self._seen = home / FOLDER / SEEN_NAME
        self._device = str(record.device)
        self._keys = keys

    @classmethod
    def opened(
        cls,
        home: Path,
        record: DeviceRecord,
        settings: ConfigurationSettings,
        protection: Callable[[ProtectionKind], Protection],
    ) -> "BundleStore":
        """With the key as the settings protect it; raises what the protection raises."""
        for folder in (CONFIGURATION, FOLDER):
            make_private_folder(home / folder)
        if settings.protect == BY_FILE:
            return cls(home, record, client_file_keys(home))
        secret = _protected_key(home, record, ProtectionKind(settings.protect), protection)
        return cls(home, record, FileKeys(lambda: [secret]))

    def seen(self) -> Seen:
        """The highest version; raises `CONFIGURATION_UNREADABLE` when it was changed."""
        data = self._read(self._seen)
        return Seen() if data is None else _decoded(data, Seen, self._seen)

    def bundle(self) -> SignedBundle | None:
        """What was in use; raises `CONFIGURATION_UNREADABLE` when it was changed."""
        data = self._read(self._bundle)
        return None if data is None else _decoded(data, SignedBundle, self._bundle)

    def keep(self, bundle: SignedBundle, seen: Seen) -> None:
        """Write both, the bundle first: a crash in between leaves a newer bundle, never an older.

        When it raises, the bundle before is back in its place, unless the disk refuses that too.
        """
        before = self._bundle.read_bytes() if self._bundle.exists() else None
        self._write(self._bundle, msgspec.json.encode(bundle))
        try:
            self._write(self._seen, msgspec.json.encode(seen))
        except BaseException:
            if before is None:
                self._bundle.unlink()
            else:
                write_atomically(self._bundle, before)
            raise

    def note(self, seen: Seen) -> None:
        """Write the highest version alone."""
        self._write(self._seen, msgspec.json.encode(seen))

    def _write(self, path: Path, plain: bytes) -> None:
        write_atomically(path, self._keys.seal(plain, name=self._name(path)))

    def _read(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                sealed = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise CONFIGURATION_UNREADABLE.error(file=path.name, reason=str(exc)) from exc
        try:
            return self._keys.open(sealed, name=self._name(path))
        except AitradingError as exc:
            raise CONFIGURATION_UNREADABLE.error(file=path.name, reason=exc.message) from exc

    def _name(self, path: Path) -> str:
        """What a file is sealed for: of another device, or in the other's place, it does not open."""
        return f"{self._device}/{path.name}"


def _decoded(data: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CONFIGURATION_UNREADABLE.error(file=path.name, reason="unknown form") from exc


def _protected_key(
    home: Path,
    record: DeviceRecord,
    kind: ProtectionKind,
    protection: Callable[[ProtectionKind], Protection],
) -> Secret[bytes]:
    """The key, made and wrapped at its first use."""
    path = home / CONFIGURATION / KEY_NAME
    bound_to = _LABEL + record.tenant.bytes + record.device.bytes
    if path.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise CONFIGURATION_UNREADABLE.error(file=KEY_NAME, reason="unknown form") from exc
        if kept.protection is kind:
            return protection(kind).unwrap(kept.wrapped, bound_to=bound_to)
    local = Secret(secrets.token_bytes(LOCAL_BYTES))
    wrapped = protection(kind).wrap(local, bound_to=bound_to)
    write_atomically(path, msgspec.json.encode(_KeyFile(protection=kind, wrapped=wrapped)))
    return local
