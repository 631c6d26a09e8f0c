"""Every cryptographic operation of the platform, but for streams (`crypto_streams`).

Nothing else imports `cryptography`.

Everything else gets typed operations. Key material is drawn from the operating system's generator
and never from an injected one: no seed may ever replay a key.
"""

import hashlib
import hmac
import importlib
import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, datetime_of_ns
from aitrading.core.kit.secret import Secret
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.errors import CERTIFICATE_INVALID, CSR_INVALID, KEY_INVALID

if TYPE_CHECKING:
    from cryptography import x509
else:

    class _Lazy:
        """Loads a module at its first use: x509 costs 90 ms that most processes never need."""

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("cryptography.x509"), name)

    x509 = _Lazy()

MAX_CSR_BYTES: Final = 8 * 1024
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
ED25519_KEY_BYTES: Final = 32
FOREIGN_INPUT: Final = (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature)
"""What the library raises for a key or certificate that is not what it should be."""


def sha256(data: bytes) -> bytes:
    """The digest behind every fingerprint and stored code."""
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """32 bytes that tell nothing about the message or the key."""
    return hmac.digest(key, message, "sha256")


def same(left: bytes, right: bytes) -> bool:
    """Compare two values without telling by time where they differ."""
    return hmac.compare_digest(left, right)


class VerifyKey:
    """An Ed25519 public key."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
        except ValueError as exc:
            raise KEY_INVALID.error(expected="32 bytes of an Ed25519 public key") from exc
        self.raw: Final = raw

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Tell whether this key signed exactly this message; never raises for bad input."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def thumbprint(self) -> str:
        """The RFC 7638 thumbprint, a stable key id."""
        canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{base64url_encode(self.raw)}"}}'
        return base64url_encode(sha256(canonical.encode()))

    def public_jwk(self, kid: str) -> dict[str, str]:
        """The JWK that a key set publishes; pinned to `EdDSA`, the name Envoy accepts."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url_encode(self.raw),
            "kid": kid,
            "alg": "EdDSA",
            "use": "sig",
        }

    @override
    def __repr__(self) -> str:
        return f"VerifyKey({self.thumbprint()})"


class SigningKey:
    """An Ed25519 private key."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key
        self.public: Final = VerifyKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> "SigningKey":
        """Draw a new key."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: Secret[bytes]) -> "SigningKey":
        """Read what `pem()` wrote; raises `KEY_INVALID`."""
        key = _private_key(pem, "an Ed25519 private key in PKCS#8 PEM")
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KEY_INVALID.error(expected="an Ed25519 private key")
        return cls(key)

    def pem(self) -> Secret[bytes]:
        """Unencrypted PKCS#8 PEM; whoever stores it protects it."""
        return _pkcs8(self._key)

    def sign(self, message: bytes) -> bytes:
        """64 bytes that only this key can make."""
        return self._key.sign(message)


class TlsKey:
    """An ECDSA P-256 private key, the kind every TLS stack and browser accepts."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> "TlsKey":
        """Draw a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: Secret[bytes]) -> "TlsKey":
        """Read what `pem()` wrote; raises `KEY_INVALID`."""
        key = _private_key(pem, "a P-256 private key in PKCS#8 PEM")
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.curve):
            raise KEY_INVALID.error(expected="a P-256 private key")
        return cls(key)

    def pem(self) -> Secret[bytes]:
        """Unencrypted PKCS#8 PEM; whoever stores it protects it."""
        return _pkcs8(self._key)

    def public_der(self) -> bytes:
        """The public half as SubjectPublicKeyInfo."""
        return _spki(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature over SHA-256, DER-encoded."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256()))

    def handle(self) -> ec.EllipticCurvePrivateKey:
        """The library's own object; for this module only."""
        return self._key


def verify_p256(public_der: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether a P-256 key signed exactly this message; never raises for bad input."""
    try:
        key = serialization.load_der_public_key(public_der)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def verify_with_certificate(data: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether the P-256 key of a certificate (PEM) signed exactly this message; never raises."""
    try:
        public = x509.load_pem_x509_certificate(data).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return verify_p256(der, signature, message)


class Purpose(StrEnum):
    """What a leaf certificate may prove."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True)
class Validity:
    """The life of a certificate in nanoseconds since the epoch."""

    not_before_ns: int
    not_after_ns: int


@dataclass(frozen=True, kw_only=True)
class LeafSpec:
    """Everything an issuer decides about a leaf certificate; nothing is taken from a request."""

    common_name: str
    serial: int
    validity: Validity
    purposes: frozenset[Purpose]
    uris: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """A certificate authority's certificate and key."""

    certificate_pem: bytes
    key: TlsKey


@dataclass(frozen=True, kw_only=True)
class CertificateInfo:
    """What a certificate says about itself; says nothing about whether to trust it."""

    common_name: str
    issuer_name: str
    serial: int
    validity: Validity
    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    purposes: frozenset[Purpose]
    is_ca: bool
    fingerprint: str
    """SHA-256 of the DER form, 64 hexadecimal digits, as Envoy writes it into `Hash=`."""
    spki_sha256: bytes


def create_csr(key: TlsKey, *, common_name: str) -> bytes:
    """A PEM certificate request that proves possession of the key; the issuer decides the names."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key.handle(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def public_key_of_csr(pem: bytes) -> bytes:
    """Check a request from a stranger and give its public key as SubjectPublicKeyInfo.

    Raises `CSR_INVALID` for anything but a small, correctly self-signed request of a P-256 key.
    """
    if len(pem) > MAX_CSR_BYTES:
        raise CSR_INVALID.error(reason=f"it has {len(pem)} bytes, the limit is {MAX_CSR_BYTES}")
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise CSR_INVALID.error(reason="it cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
        raise CSR_INVALID.error(reason="its key is not P-256")
    if not signed:
        raise CSR_INVALID.error(reason="its signature is wrong")
    return _spki(key)


def create_ca(key: TlsKey, *, common_name: str, serial: int, validity: Validity) -> bytes:
    """A self-signed authority that may sign leaves and nothing else, in PEM."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = _builder(name, name, key.handle().public_key(), serial, validity)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
    signed = builder.sign(key.handle(), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def issue_leaf(issuer: Issuer, spec: LeafSpec, public_der: bytes) -> bytes:
    """Sign a leaf for the public key with exactly the names of the specification, in PEM."""
    authority = x509.load_pem_x509_certificate(issuer.certificate_pem)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, spec.common_name)])
    public = serialization.load_der_public_key(public_der)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise CERTIFICATE_INVALID.error(reason="the key is not P-256")
    builder = _builder(subject, authority.subject, public, spec.serial, spec.validity)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_usages(spec.purposes)), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(_names(spec)), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.handle().public_key()),
        critical=False,
    )
    signed = builder.sign(issuer.key.handle(), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def inspect_certificate(data: bytes) -> CertificateInfo:
    """Read a PEM or DER certificate; raises `CERTIFICATE_INVALID` when it is neither."""
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise CERTIFICATE_INVALID.error(reason="it is too large")
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        return _describe(load(data))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CERTIFICATE_INVALID.error(reason="it cannot be read") from exc


def _describe(certificate: "x509.Certificate") -> CertificateInfo:
    names = _extension(certificate, x509.SubjectAlternativeName)
    constraints = _extension(certificate, x509.BasicConstraints)
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    der = certificate.public_bytes(serialization.Encoding.DER)
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return CertificateInfo(
        common_name=_common_name(certificate.subject),
        issuer_name=_common_name(certificate.issuer),
        serial=certificate.serial_number,
        validity=Validity(
            not_before_ns=int(certificate.not_valid_before_utc.timestamp()) * NS_PER_S,
            not_after_ns=int(certificate.not_valid_after_utc.timestamp()) * NS_PER_S,
        ),
        uris=_values(names, x509.UniformResourceIdentifier),
        dns_names=_values(names, x509.DNSName),
        ip_addresses=_values(names, x509.IPAddress),
        purposes=frozenset(p for p in Purpose if usages and _usages(frozenset({p}))[0] in usages),
        is_ca=bool(constraints and constraints.ca),
        fingerprint=sha256(der).hex(),
        spki_sha256=sha256(spki),
    )


def _private_key(pem: Secret[bytes], expected: str) -> object:
    try:
        return serialization.load_pem_private_key(pem.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KEY_INVALID.error(expected=expected) from exc


def _pkcs8(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> Secret[bytes]:
    return Secret(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)


def _builder(
    subject: "x509.Name",
    issuer: "x509.Name",
    public: ec.EllipticCurvePublicKey,
    serial: int,
    validity: Validity,
) -> "x509.CertificateBuilder":
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(datetime_of_ns(validity.not_before_ns))
        .not_valid_after(datetime_of_ns(validity.not_after_ns))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> "x509.KeyUsage":
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _usages(purposes: frozenset[Purpose]) -> "list[x509.ObjectIdentifier]":
    known = {
        Purpose.SERVER: x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,
        Purpose.CLIENT: x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    return [known[purpose] for purpose in sorted(purposes)]


def _names(spec: LeafSpec) -> "list[x509.GeneralName]":
    return [
        *(x509.UniformResourceIdentifier(uri) for uri in spec.uris),
        *(x509.DNSName(name) for name in spec.dns_names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in spec.ip_addresses),
    ]


def _extension(certificate: "x509.Certificate", kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _values(names: Any, kind: Any) -> tuple[str, ...]:
    return tuple(str(value) for value in names.get_values_for_type(kind)) if names else ()


def _common_name(name: "x509.Name") -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
