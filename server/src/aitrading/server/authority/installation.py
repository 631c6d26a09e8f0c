"""One installation's authority: made at the first start, opened by whoever may issue."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.secret import Secret
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.crypto import SigningKey, TlsKey, VerifyKey
from aitrading.server.authority.ca import (
    LOOPBACK_HOSTS,
    AuthorityName,
    CertificateAuthority,
    IssuedCertificate,
)
from aitrading.server.authority.key_provider import KeyProvider, LocalKeyProvider, load_or_create
from aitrading.server.authority.tokens import UserTokenIssuer

ADMIN_SERVICE: Final = "admin"
"""The identity of the host's administrator: the supervisor and, through it, the command line."""
LIVE_USER_KEYS: Final = 2
_USER_KEY: Final = "user-token-"


@dataclass(frozen=True, kw_only=True)
class ServiceFiles:
    """Where a service finds its identity."""

    certificate: Path
    private_key: Path
    ca: Path
    signing_key: Path


@dataclass(frozen=True, kw_only=True)
class EdgeCredentials:
    """What the edge presents; the certificate is followed by its authority's."""

    certificate_pem: bytes
    private_key_pem: Secret[bytes]
    not_after_ns: int


class Authority:
    """Everything that issues. Construct it with `initialise`."""

    def __init__(self, home: Path, provider: KeyProvider, *, clock: Clock, ids: IdFactory) -> None:
        self._trust = home / "trust"
        self._provider = provider
        self._clock = clock
        self._ids = ids
        self.edge: Final = self._authority(AuthorityName.EDGE)
        self.internal: Final = self._authority(AuthorityName.INTERNAL)
        self.device: Final = self._authority(AuthorityName.DEVICE)

    def publish(self) -> None:
        """Write the public halves into `trust/`; doing it again changes nothing."""
        self._trust.mkdir(mode=0o755, parents=True, exist_ok=True)
        for authority in (self.edge, self.internal, self.device):
            path = self._trust / f"{authority.name}-ca.pem"
            write_file(path, authority.certificate_pem, mode=0o644)
        keys = {key.public.thumbprint(): key.public for key in self._user_keys()}
        _write_jwks(self._trust / "user-keys.jwks", keys)
        if not self.service_keys_file.exists():
            _write_jwks(self.service_keys_file, {})

    @property
    def service_keys_file(self) -> Path:
        """The published keys of every service."""
        return self._trust / "service-keys.jwks"

    @property
    def user_keys_file(self) -> Path:
        """The published keys that verify access tokens."""
        return self._trust / "user-keys.jwks"

    def user_token_issuer(self) -> UserTokenIssuer:
        """Signs with the newest user key."""
        return UserTokenIssuer(self._user_keys()[-1], clock=self._clock, ids=self._ids)

    def rotate_user_key(self) -> None:
        """Add a signing key; the one before stays published, so that live tokens stay valid."""
        names = self._user_key_names()
        number = int(names[-1].removeprefix(_USER_KEY).removesuffix(".pem")) + 1 if names else 1
        self._provider.store(f"{_USER_KEY}{number:04d}.pem", SigningKey.generate().pem())
        self.publish()

    def write_service(
        self, name: str, folder: Path, hosts: Iterable[str] = LOOPBACK_HOSTS
    ) -> ServiceFiles:
        """Issue a fresh identity for 24 hours, write it (0600) and publish its token key."""
        token_key = SigningKey.generate()
        files = self.renew_service(name, folder, hosts)
        write_file(files.signing_key, token_key.pem().reveal())
        self._publish_service_key(name, token_key.public)
        return files

    def renew_service(
        self, name: str, folder: Path, hosts: Iterable[str] = LOOPBACK_HOSTS
    ) -> ServiceFiles:
        """Issue and write the next certificate of a service; its token key stays as it is.

        The certificate is written last: whoever watches it finds the key that belongs to it.
        """
        tls_key = TlsKey.generate()
        issued = self.internal.issue_service(name, tls_key.public_der(), hosts)
        files = ServiceFiles(
            certificate=folder / f"{name}.crt.pem",
            private_key=folder / f"{name}.key.pem",
            ca=folder / "internal-ca.pem",
            signing_key=folder / f"{name}.key",
        )
        write_file(files.ca, self.internal.certificate_pem)
        write_file(files.private_key, tls_key.pem().reveal())
        write_file(files.certificate, issued.certificate_pem)
        return files

    def issue_edge(self, hosts: Iterable[str]) -> EdgeCredentials:
        """Issue for the edge's names; its key stays the same, because clients pin it."""
        pem = load_or_create(self._provider, "edge.key.pem", lambda: TlsKey.generate().pem())
        issued = self.edge.issue_edge(TlsKey.from_pem(pem).public_der(), hosts)
        return EdgeCredentials(
            certificate_pem=issued.certificate_pem + self.edge.certificate_pem,
            private_key_pem=pem,
            not_after_ns=issued.not_after_ns,
        )

    def issue_device(self, csr_pem: bytes, identity: DeviceIdentity) -> IssuedCertificate:
        """Issue for a device; raises `CSR_INVALID`."""
        return self.device.issue_device(csr_pem, identity)

    def _authority(self, name: AuthorityName) -> CertificateAuthority:
        return CertificateAuthority(
            name, provider=self._provider, clock=self._clock, ids=self._ids
        )

    def _user_key_names(self) -> list[str]:
        return [name for name in self._provider.names() if name.startswith(_USER_KEY)]

    def _user_keys(self) -> list[SigningKey]:
        names = self._user_key_names()[-LIVE_USER_KEYS:]
        return [SigningKey.from_pem(self._provider.load(name)) for name in names]

    def _publish_service_key(self, name: str, key: VerifyKey) -> None:
        document: dict[str, Any] = json.loads(self.service_keys_file.read_bytes())
        others = [jwk for jwk in document["keys"] if jwk["kid"] != name]
        keys = sorted([*others, key.public_jwk(name)], key=lambda jwk: jwk["kid"])
        write_file(self.service_keys_file, json.dumps({"keys": keys}).encode(), mode=0o644)


def initialise(
    home: Path, clock: Clock, ids: IdFactory, *, environment: str = "development"
) -> Authority:
    """Open the authority of a home; the first time, make its keys and publish the public halves.

    Safe to repeat after a crash at any point: each key is stored whole or not at all.
    """
    provider = LocalKeyProvider(home / "keys", environment=environment)
    authority = Authority(home, provider, clock=clock, ids=ids)
    load_or_create(provider, f"{_USER_KEY}0001.pem", lambda: SigningKey.generate().pem())
    authority.publish()
    return authority


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file at once: a reader sees the old or the new content, with its final mode."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _write_jwks(path: Path, keys: dict[str, VerifyKey]) -> None:
    document = {"keys": [key.public_jwk(kid) for kid, key in sorted(keys.items())]}
    write_file(path, json.dumps(document).encode(), mode=0o644)
