"""The outside of a backup: chunks of AES-256-GCM under a key of its own, behind a plain header.

    magic (8)  length of the header (4)  header (JSON)  chunk  chunk  …  last chunk

The header names the ways to the key: derived from a passphrase, or sealed to a recovery key. Each
chunk is bound to the digest of the header, to its number and to whether it is the last. So one bit
changed, a chunk left out, moved or taken from another backup, or an end cut off, does not open.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import sha256
from aitrading.core.security.crypto_streams import (
    RecoveryKey,
    StreamKey,
    passphrase_key,
    seal_to,
)
from aitrading.server.backup.errors import (
    BACKUP_DAMAGED,
    BACKUP_KEY_WRONG,
    BACKUP_UNREADABLE,
    SECRET_UNUSABLE,
)

MAGIC: Final = b"AITBKUP1"
CHUNK_BYTES: Final = 1 << 20
HEADER_BYTES_MAX: Final = 64 << 10
SCRYPT_COST: Final = 1 << 16
SCRYPT_COST_MAX: Final = 1 << 20
SALT_BYTES: Final = 16
_PURPOSE: Final = b"aitrading backup key 1"
_LENGTH_BYTES: Final = 4


class WrappedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the key of a backup."""

    kind: str
    """`passphrase` or `recovery`."""
    wrapped: bytes
    salt: bytes = b""
    cost: int = 0
    public: bytes = b""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """All that is readable without a key."""

    chunk_bytes: Annotated[int, msgspec.Meta(ge=16, le=16 << 20)]
    keys: tuple[WrappedKey, ...]


@dataclass(frozen=True, kw_only=True)
class SealFor:
    """Who shall be able to open a backup."""

    passphrase: Secret[str] | None = None
    recovery_keys: Sequence[bytes] = ()
    """Public halves."""

    def wrap(self, key: Secret[bytes]) -> tuple[WrappedKey, ...]:
        """The key, once for each; raises SECRET_UNUSABLE when there is nobody."""
        wrapped = [_for_recovery(key, public) for public in self.recovery_keys]
        if self.passphrase is not None:
            wrapped.append(_for_passphrase(key, self.passphrase))
        if not wrapped:
            raise SECRET_UNUSABLE.error(reason="neither passphrase nor recovery key was given")
        return tuple(wrapped)


@dataclass(frozen=True, kw_only=True)
class OpenWith:
    """What is there to open a backup with."""

    passphrase: Secret[str] | None = None
    recovery_key: RecoveryKey | None = None

    @property
    def kind(self) -> str:
        """For messages."""
        return "passphrase" if self.recovery_key is None else "recovery key"

    def unwrap(self, header: Header) -> Secret[bytes] | None:
        """The key of the backup, if any of its ways is ours."""
        for way in header.keys:
            key = self._through(way)
            if key is not None:
                return key
        return None

    def _through(self, way: WrappedKey) -> Secret[bytes] | None:
        if way.kind == "recovery" and self.recovery_key is not None:
            return self.recovery_key.open(way.wrapped, purpose=_PURPOSE)
        if way.kind == "passphrase" and self.passphrase is not None and _affordable(way.cost):
            key = passphrase_key(self.passphrase, way.salt, cost=way.cost)
            opened = StreamKey(key).open(way.wrapped, number=0, last=True, bound_to=_PURPOSE)
            return None if opened is None else Secret(opened)
        return None


class SealedWriter:
    """Encrypts what is written into `file`; `finish` writes the chunk that ends it."""

    def __init__(
        self, file: BinaryIO, seal_for: SealFor, *, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        key = StreamKey.generate()
        header = msgspec.json.encode(Header(chunk_bytes=chunk_bytes, keys=seal_for.wrap(key)))
        start = MAGIC + len(header).to_bytes(_LENGTH_BYTES, "big") + header
        self._file = file
        self._key = StreamKey(key)
        self._bound_to = sha256(start)
        self._chunk_bytes = chunk_bytes
        self._pending = bytearray()
        self._number = 0
        file.write(start)

    def write(self, data: bytes) -> None:
        """Take any number of bytes; at most a chunk is kept in memory."""
        self._pending += data
        while len(self._pending) > self._chunk_bytes:
            self._put(bytes(self._pending[: self._chunk_bytes]), last=False)
            del self._pending[: self._chunk_bytes]

    def finish(self) -> None:
        """Write the last chunk; without it nobody takes the file for whole."""
        self._put(bytes(self._pending), last=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        sealed = self._key.seal(chunk, number=self._number, last=last, bound_to=self._bound_to)
        self._file.write(sealed)
        self._number += 1


class SealedReader:
    """Decrypts chunk by chunk; every byte it gives is authentic.

    Raises BACKUP_UNREADABLE, BACKUP_KEY_WRONG or BACKUP_DAMAGED.
    """

    def __init__(self, file: BinaryIO, path: Path, open_with: OpenWith) -> None:
        start, header = _read_header(file, path)
        key = open_with.unwrap(header)
        if key is None:
            raise BACKUP_KEY_WRONG.error(path=str(path), kind=open_with.kind)
        self._file = file
        self._path = path
        self._key = StreamKey(key)
        self._bound_to = sha256(start)
        self._sealed_bytes = header.chunk_bytes + StreamKey.OVERHEAD_BYTES
        self._number = 0
        self._next = file.read(self._sealed_bytes)

    def read_chunk(self) -> bytes | None:
        """The next chunk; None behind the last one."""
        sealed = self._next
        if not sealed:
            if self._number == 0:
                raise BACKUP_DAMAGED.error(
                    path=str(self._path), reason="it ends behind its header"
                )
            return None
        self._next = self._file.read(self._sealed_bytes)
        chunk = self._key.open(
            sealed, number=self._number, last=not self._next, bound_to=self._bound_to
        )
        if chunk is None:
            reason = f"chunk {self._number} is not what was written there"
            raise BACKUP_DAMAGED.error(path=str(self._path), reason=reason)
        self._number += 1
        return chunk


def _read_header(file: BinaryIO, path: Path) -> tuple[bytes, Header]:
    start = file.read(len(MAGIC) + _LENGTH_BYTES)
    if start[: len(MAGIC)] != MAGIC:
        raise BACKUP_UNREADABLE.error(path=str(path), reason="it does not begin like one")
    length = int.from_bytes(start[len(MAGIC) :], "big")
    raw = file.read(min(length, HEADER_BYTES_MAX))
    if len(raw) != length:
        raise BACKUP_UNREADABLE.error(path=str(path), reason="its header is damaged")
    try:
        return start + raw, msgspec.json.decode(raw, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BACKUP_UNREADABLE.error(path=str(path), reason="its header is damaged") from exc


def _for_recovery(key: Secret[bytes], public: bytes) -> WrappedKey:
    return WrappedKey(
        kind="recovery", public=public, wrapped=seal_to(public, key, purpose=_PURPOSE)
    )


def _for_passphrase(key: Secret[bytes], passphrase: Secret[str]) -> WrappedKey:
    salt = secrets.token_bytes(SALT_BYTES)
    derived = StreamKey(passphrase_key(passphrase, salt, cost=SCRYPT_COST))
    wrapped = derived.seal(key.reveal(), number=0, last=True, bound_to=_PURPOSE)
    return WrappedKey(kind="passphrase", salt=salt, cost=SCRYPT_COST, wrapped=wrapped)


def _affordable(cost: int) -> bool:
    """A hostile header must not make us allocate without bound."""
    return 1 < cost <= SCRYPT_COST_MAX and cost & (cost - 1) == 0
