"""The fourth part of `crypto`: chains of certificates that somebody else issued, and their key.

Loaded by what takes such a chain; the library's modules are imported when they are used.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Final

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import (
    FOREIGN_INPUT,
    CertificateInfo,
    inspect_certificate,
    sha256,
)
from aitrading.core.security.errors import CERTIFICATE_INVALID, KEY_INVALID

MAX_CHAIN: Final = 10
MAX_CHAIN_BYTES: Final = 48 * 1024
_X509: Final = "cryptography.x509"
_SERIALIZATION: Final = "cryptography.hazmat.primitives.serialization"


@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """One certificate of a chain."""

    info: CertificateInfo
    key: str
    """Of which kind its key is: `RSA-2048`, `secp256r1`, `Ed25519`, …"""
    digest: str
    """What its issuer signed: `sha256`, …; empty where the signature has none of its own."""
    issuer: bytes
    """The name of who issued it, as DER."""
    der: bytes

    @property
    def self_signed(self) -> bool:
        """Whether it is the end of a chain by itself."""
        return issued_by(self, self)


def read_der(der: bytes) -> ChainLink:
    """One certificate; raises `CERTIFICATE_INVALID`."""
    try:
        return _link(importlib.import_module(_X509).load_der_x509_certificate(der))
    except FOREIGN_INPUT as exc:
        raise CERTIFICATE_INVALID.error(reason="it cannot be read") from exc


def read_chain(pem: bytes) -> tuple[ChainLink, ...]:
    """Every certificate of a PEM file in its order; raises `CERTIFICATE_INVALID`."""
    if len(pem) > MAX_CHAIN_BYTES:
        reason = f"it has {len(pem)} bytes, the limit is {MAX_CHAIN_BYTES}"
        raise CERTIFICATE_INVALID.error(reason=reason)
    try:
        found = importlib.import_module(_X509).load_pem_x509_certificates(pem)
        if len(found) > MAX_CHAIN:
            reason = f"it has {len(found)} certificates, the limit is {MAX_CHAIN}"
            raise CERTIFICATE_INVALID.error(reason=reason)
        return tuple(_link(each) for each in found)
    except FOREIGN_INPUT as exc:
        raise CERTIFICATE_INVALID.error(reason="it cannot be read") from exc


def issued_by(child: ChainLink, issuer: ChainLink) -> bool:
    """Tell whether the issuer's name and key are those that signed the child."""
    load = importlib.import_module(_X509).load_der_x509_certificate
    try:
        load(child.der).verify_directly_issued_by(load(issuer.der))
    except FOREIGN_INPUT:
        return False
    return True


def public_of_private(pem: Secret[bytes]) -> bytes:
    """SHA-256 of the public half of a private key in PEM without a passphrase; `KEY_INVALID`."""
    serialization = importlib.import_module(_SERIALIZATION)
    try:
        key = serialization.load_pem_private_key(pem.reveal(), password=None)
    except FOREIGN_INPUT as exc:
        raise KEY_INVALID.error(expected="a private key in PEM without a passphrase") from exc
    return sha256(
        key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _link(certificate: Any) -> ChainLink:
    der = certificate.public_bytes(importlib.import_module(_SERIALIZATION).Encoding.DER)
    digest = certificate.signature_hash_algorithm
    return ChainLink(
        info=inspect_certificate(der),
        key=_kind(certificate.public_key()),
        digest=digest.name if digest else "",
        issuer=certificate.issuer.public_bytes(),
        der=der,
    )


def _kind(key: Any) -> str:
    if curve := getattr(key, "curve", None):
        return str(curve.name)
    family = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return f"RSA-{key.key_size}" if family == "RSA" else family
