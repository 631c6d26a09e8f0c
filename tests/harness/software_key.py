"""A security key in software, for tests that have no finger to touch one with."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

ORIGIN: Final = "https://localhost:8000"
PRESENT, VERIFIED, NEW_KEY = 0x01, 0x04, 0x40


@dataclass
class SoftwareKey:
    """A key of one name in a browser: what it tells, and where it is used, can be bent."""

    origin: str = ORIGIN
    host: str = "localhost"
    count: int = 0
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    def made(self, options: Any, **client: Any) -> dict[str, Any]:
        """What `navigator.credentials.create` gives."""
        numbers = self._private.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        new = bytes(16) + len(self.id).to_bytes(2) + self.id + encode_cbor(public)
        told = self._told(PRESENT | NEW_KEY) + new
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": told})
        response = {
            "clientDataJSON": self._client("webauthn.create", options, client),
            "attestationObject": bytes_to_base64url(attestation),
            "transports": ["usb"],
        }
        return self._credential(response)

    def signed(self, options: Any, **client: Any) -> dict[str, Any]:
        """What `navigator.credentials.get` gives."""
        self.count += 1
        told = self._told(PRESENT | VERIFIED)
        data = self._client("webauthn.get", options, client)
        plain = hashlib.sha256(base64url_to_bytes(data)).digest()
        signature = self._private.sign(told + plain, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": data,
            "authenticatorData": bytes_to_base64url(told),
            "signature": bytes_to_base64url(signature),
            "userHandle": None,
        }
        return self._credential(response)

    def _told(self, flags: int) -> bytes:
        return (
            hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)
        )

    def _client(self, kind: str, options: Any, changes: dict[str, Any]) -> str:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return bytes_to_base64url(json.dumps({**told, **changes}).encode())

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        spelled = bytes_to_base64url(self.id)
        return {
            "id": spelled,
            "rawId": spelled,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }
