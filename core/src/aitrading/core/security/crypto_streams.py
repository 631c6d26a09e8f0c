"""The second half of `crypto`: streams under one key, and the ways to such a key.

Loaded by what seals files; the library's modules are imported when they are used.
"""

import hashlib
import importlib
import secrets
from typing import Any, Final

from aitrading.core.kit.secret import Secret
from aitrading.core.security.errors import KEY_INVALID

STREAM_KEY_BYTES: Final = 32


class StreamKey:
    """AES-256-GCM over numbered chunks (the STREAM construction).

    The nonce is the chunk's number and whether it is the last one: a chunk opens at its own place
    only, and a stream that was cut is not mistaken for a whole one. One key seals one stream.
    """

    OVERHEAD_BYTES: Final = 16

    def __init__(self, key: Secret[bytes]) -> None:
        aead = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        self._cipher = aead.AESGCM(key.reveal())

    @staticmethod
    def generate() -> Secret[bytes]:
        """Draw a key for one stream."""
        return Secret(secrets.token_bytes(STREAM_KEY_BYTES))

    def seal(self, chunk: bytes, *, number: int, last: bool, bound_to: bytes) -> bytes:
        """The chunk, readable at this place of this stream only."""
        return bytes(self._cipher.encrypt(_stream_nonce(number, last=last), chunk, bound_to))

    def open(self, sealed: bytes, *, number: int, last: bool, bound_to: bytes) -> bytes | None:
        """The chunk; None when anything about it is not as it was sealed."""
        try:
            return bytes(self._cipher.decrypt(_stream_nonce(number, last=last), sealed, bound_to))
        except _invalid_tag():
            return None


def passphrase_key(
    passphrase: Secret[str], salt: bytes, *, cost: int, block: int = 8
) -> Secret[bytes]:
    """A key from what a person can remember (scrypt); `cost` is a power of two."""
    return Secret(
        hashlib.scrypt(
            passphrase.reveal().encode(),
            salt=salt,
            n=cost,
            r=block,
            p=1,
            maxmem=256 * cost * block,
            dklen=STREAM_KEY_BYTES,
        )
    )


class RecoveryKey:
    """An X25519 key pair whose private half opens what was sealed to the public one (HPKE)."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self.public: Final[bytes] = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "RecoveryKey":
        """Draw a new pair."""
        return cls(_x25519().X25519PrivateKey.generate())

    @classmethod
    def from_raw(cls, raw: Secret[bytes]) -> "RecoveryKey":
        """Read what `raw()` gave; raises `KEY_INVALID`."""
        try:
            return cls(_x25519().X25519PrivateKey.from_private_bytes(raw.reveal()))
        except ValueError as exc:
            raise KEY_INVALID.error(expected="32 bytes of an X25519 private key") from exc

    def raw(self) -> Secret[bytes]:
        """The private half; whoever stores it protects it."""
        return Secret(self._key.private_bytes_raw())

    def open(self, sealed: bytes, *, purpose: bytes) -> Secret[bytes] | None:
        """What was sealed to this key for this purpose; None for anything else."""
        try:
            return Secret(bytes(_hpke_suite().decrypt(sealed, self._key, purpose)))
        except (_invalid_tag(), ValueError):
            return None


def seal_to(public: bytes, content: Secret[bytes], *, purpose: bytes) -> bytes:
    """Seal to the public half of a `RecoveryKey`; raises `KEY_INVALID`."""
    try:
        key = _x25519().X25519PublicKey.from_public_bytes(public)
    except ValueError as exc:
        raise KEY_INVALID.error(expected="32 bytes of an X25519 public key") from exc
    return bytes(_hpke_suite().encrypt(content.reveal(), key, purpose))


def _stream_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _x25519() -> Any:
    return importlib.import_module("cryptography.hazmat.primitives.asymmetric.x25519")


def _invalid_tag() -> type[Exception]:
    return importlib.import_module("cryptography.exceptions").InvalidTag


def _hpke_suite() -> Any:
    hpke = importlib.import_module("cryptography.hazmat.primitives.hpke")
    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
