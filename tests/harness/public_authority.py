"""An authority as public ones are: a root, an intermediate that issues, and certificates of sites."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aitrading.core.kit.clock import SystemClock, datetime_of_ns

KEYS: Final[dict[str, Callable[[], Any]]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "RSA-4096": lambda: rsa.generate_private_key(65537, 4096),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
DAY: Final = timedelta(days=1)


@dataclass
class Certified:
    """A certificate with its key; whoever has both may issue."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_pem(self, passphrase: bytes = b"") -> bytes:
        sealed = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption()
        )
        return bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed
            )
        )


def now() -> datetime:
    return datetime_of_ns(SystemClock().now_ns())


@dataclass
class PublicAuthority:
    """Nobody knows its root until a test says so."""

    name: str = "Test Authority"
    moment: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        self.root = self.certify(f"{self.name} Root", ca=True)
        self.intermediate = self.certify(f"{self.name} R1", issuer=self.root, ca=True)

    def site(self, *names: str, key: str = "P-256", **changes: Any) -> Certified:
        """A certificate of a site with these names, issued by the intermediate."""
        return self.certify(names[0], names=names, key=key, issuer=self.intermediate, **changes)

    def chain(self, site: Certified, *, root: bool = False) -> bytes:
        """As `fullchain.pem` is."""
        return site.pem + self.intermediate.pem + (self.root.pem if root else b"")

    def write(self, folder: Path, site: Certified, *, root: bool = True) -> tuple[Path, Path]:
        """Both files, as an ACME client leaves them."""
        chain, key = folder / "fullchain.pem", folder / "privkey.pem"
        chain.write_bytes(self.chain(site, root=root))
        key.write_bytes(site.key_pem())
        return chain, key

    def certify(  # noqa: PLR0913 - everything about a certificate can be wrong
        self,
        name: str,
        *,
        issuer: Certified | None = None,
        names: tuple[str, ...] = (),
        key: str = "P-256",
        ca: bool = False,
        begins: timedelta = -DAY,
        ends: timedelta = 90 * DAY,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        digest: Any = None,
    ) -> Certified:
        """Issue anything; without an issuer it is signed by itself."""
        private = KEYS[key]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.moment + begins)
            .not_valid_after(self.moment + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([usage]), critical=False
            ).add_extension(
                x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
            )
        signer = issuer.key if issuer else private
        plain = isinstance(signer, ed25519.Ed25519PrivateKey)
        return Certified(
            builder.sign(signer, None if plain else digest or hashes.SHA256()), private
        )
