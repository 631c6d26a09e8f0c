"""The third part of `crypto`: small values under a long-lived key, and keys made from keys.

Loaded by what seals fields of rows; the library's modules are imported when they are used.
"""

import hashlib
import hmac
import importlib
import secrets
from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.secret import Secret

FIELD_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class FieldKey:
    """AES-256-GCM with a random nonce per value, safe for 2^32 values under one key."""

    def __init__(self, key: Secret[bytes]) -> None:
        aead = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
        self._cipher = aead.AESGCM(key.reveal())

    @staticmethod
    def generate() -> Secret[bytes]:
        """Draw a key."""
        return Secret(secrets.token_bytes(FIELD_KEY_BYTES))

    def seal(self, plain: bytes | bytearray | memoryview, *, bound_to: bytes) -> bytes:
        """Nonce, ciphertext and tag; opens with the same `bound_to` only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + bytes(self._cipher.encrypt(nonce, plain, bound_to))

    def open(self, sealed: bytes | memoryview, *, bound_to: bytes) -> bytes | None:
        """What was sealed; None when anything about it is not as it was."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            return None
        invalid_tag = importlib.import_module("cryptography.exceptions").InvalidTag
        nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return bytes(self._cipher.decrypt(nonce, body, bound_to))
        except invalid_tag:
            return None

    def open_into(self, sealed: bytes, *, bound_to: bytes) -> bytearray | None:
        """Like `open`, into memory that the caller can wipe."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            return None
        invalid_tag = importlib.import_module("cryptography.exceptions").InvalidTag
        nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        plain = bytearray(len(body) - TAG_BYTES)
        try:
            self._cipher.decrypt_into(nonce, body, bound_to, plain)
        except invalid_tag:
            return None
        return plain


@dataclass(frozen=True, kw_only=True)
class PassphraseCost:
    """What one guess costs (Argon2id)."""

    memory_kib: int
    passes: int
    lanes: int


def passphrase_key(passphrase: Secret[str], *, salt: bytes, cost: PassphraseCost) -> Secret[bytes]:
    """A key from what a person typed; slow on purpose."""
    argon2 = importlib.import_module("cryptography.hazmat.primitives.kdf.argon2")
    function = argon2.Argon2id(
        salt=salt,
        length=FIELD_KEY_BYTES,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return Secret(bytes(function.derive(passphrase.reveal().encode())))


def derived_key(key: Secret[bytes], *, purpose: bytes) -> Secret[bytes]:
    """A key for one purpose (HKDF-SHA256); it tells nothing about the key or its sisters."""
    hkdf = importlib.import_module("cryptography.hazmat.primitives.kdf.hkdf")
    hashes = importlib.import_module("cryptography.hazmat.primitives.hashes")
    expand = hkdf.HKDFExpand(hashes.SHA256(), FIELD_KEY_BYTES, purpose)
    return Secret(bytes(expand.derive(key.reveal())))


def keyed_digest(key: Secret[bytes], data: bytes) -> bytes:
    """The same 32 bytes for the same data, and nothing to guess from without the key."""
    return hmac.new(key.reveal(), data, hashlib.sha256).digest()
