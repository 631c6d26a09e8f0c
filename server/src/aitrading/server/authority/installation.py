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
from aitrading.core.security.config_bundle import key_message
from aitrading.core.security.crypto import SigningKey, TlsKey, VerifyKey
from aitrading.server.authority.ca import (
    LOOPBACK_HOSTS,
    AuthorityName,
    CertificateAuthority,
    IssuedCertificate,
)
from aitrading.server.authority.edge_keys import EdgeKeys
from aitrading.server.authority.key_provider import KeyProvider, LocalKeyProvider, load_or_create
from aitrading.server.authority.site_certificates import SiteCertificates
from aitrading.server.authority.token_keys import PREFIX, STATE_FILE, TokenKeyLife, next_name
from aitrading.server.authority.tokens import UserTokenIssuer

CONFIGURATION_KEY: Final = "configuration.key.pem"
EVIDENCE_KEY: Final = "evidence.key.pem"
EVIDENCE_SIGNER: Final = "database-service"
"""The one service that is given the key of statements which are verified without the platform."""
ADMIN_SERVICE: Final = "admin"
"""The identity of the host's administrator: the supervisor and, through it, the command line."""


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
        self.edge_keys: Final = EdgeKeys(provider, self.edge.vouch)
        self.site: Final = SiteCertificates(provider)

    def publish(self) -> None:
        """Write the public halves into `trust/`; doing it again changes nothing."""
        self._trust.mkdir(mode=0o755, parents=True, exist_ok=True)
        for authority in (self.edge, self.internal, self.device):
            path = self._trust / f"{authority.name}-ca.pem"
            write_file(path, authority.certificate_pem, mode=0o644)
        keys = {key.public.thumbprint(): key.public for key in self._user_keys()}
        _write_jwks(self._trust / "user-keys.jwks", keys)
        evidence = self._evidence_key().public
        _write_jwks(self.evidence_keys_file, {evidence.thumbprint(): evidence})
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

    @property
    def evidence_keys_file(self) -> Path:
        """The published key that verifies certificates of complete days."""
        return self._trust / "evidence-keys.jwks"

    def user_token_issuer(self) -> UserTokenIssuer:
        """Signs with the key that signs now."""
        return UserTokenIssuer(self.signing_user_key(), clock=self._clock, ids=self._ids)

    def stage_user_key(self) -> SigningKey:
        """A key that is published and signs nothing yet; the same one until it signs."""
        names = self._user_key_names()
        life = self._life()
        staged = life.staged(names)
        if staged is None:
            staged = next_name(names)
            self._keep_life(life)  # before there is a newer key: without the file that would sign
            self._provider.store(staged, SigningKey.generate().pem())
        self.publish()
        return self._key(staged)

    def switch_user_key(self, *, overlap: bool = True) -> SigningKey:
        """Let the staged key sign; tokens of the one before live out, unless without `overlap`."""
        names = self._user_key_names()
        life = self._life().switched(names[-1], self._clock.now_ns(), overlap=overlap)
        self._keep_life(life)
        self.publish()
        return self._key(life.signing)

    def signing_user_key(self) -> SigningKey:
        """The key that signs now, as the files say."""
        return self._key(self._life().signing)

    def retire_user_keys(self) -> bool:
        """Publish no longer what signed no living token; tells whether something changed."""
        before = self.user_keys_file.read_bytes()
        if len(json.loads(before)["keys"]) == self.published_user_keys():
            return False
        self.publish()
        return True

    def published_user_keys(self) -> int:
        """How many keys count now."""
        return len(self._life().published(self._user_key_names(), self._clock.now_ns()))

    def rotate_user_key(self) -> None:
        """Both at once, for who knows that nobody keeps the published keys for long."""
        self.stage_user_key()
        self.switch_user_key()

    def write_service(
        self, name: str, folder: Path, hosts: Iterable[str] = LOOPBACK_HOSTS
    ) -> ServiceFiles:
        """Issue a fresh identity for 24 hours, write it (0600) and publish its token key."""
        token_key = SigningKey.generate()
        files = self.renew_service(name, folder, hosts)
        write_file(files.signing_key, token_key.pem().reveal())
        if name == EVIDENCE_SIGNER:
            path = evidence_key_file(folder, name)
            write_file(path, self._evidence_key().pem().reveal())
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

    def withdraw_service(self, name: str) -> None:
        """Publish the token key of a service no longer: nobody takes its tokens from then on."""
        self._write_service_keys(self._other_service_keys(name))

    def issue_edge(self, hosts: Iterable[str]) -> EdgeCredentials:
        """Issue for the edge's names; its key stays until it is rotated, because clients pin it."""
        pem = self.edge_keys.in_use()
        issued = self.edge.issue_edge(TlsKey.from_pem(pem).public_der(), hosts)
        return EdgeCredentials(
            certificate_pem=issued.certificate_pem + self.edge.certificate_pem,
            private_key_pem=pem,
            not_after_ns=issued.not_after_ns,
        )

    def issue_device(self, csr_pem: bytes, identity: DeviceIdentity) -> IssuedCertificate:
        """Issue for a device; raises `CSR_INVALID`."""
        return self.device.issue_device(csr_pem, identity)

    def configuration_signer(self) -> tuple[SigningKey, bytes]:
        """The key that signs configurations of devices, and the edge authority's word for it."""
        pem = load_or_create(
            self._provider, CONFIGURATION_KEY, lambda: SigningKey.generate().pem()
        )
        key = SigningKey.from_pem(pem)
        return key, self.edge.vouch(key_message(key.public.raw))

    def _authority(self, name: AuthorityName) -> CertificateAuthority:
        return CertificateAuthority(
            name, provider=self._provider, clock=self._clock, ids=self._ids
        )

    def _user_key_names(self) -> list[str]:
        return [name for name in self._provider.names() if name.startswith(PREFIX)]

    def _life(self) -> TokenKeyLife:
        return TokenKeyLife.read(self._trust, self._user_key_names())

    def _keep_life(self, life: TokenKeyLife) -> None:
        write_file(self._trust / STATE_FILE, life.encoded(), mode=0o644)

    def _key(self, name: str) -> SigningKey:
        return SigningKey.from_pem(self._provider.load(name))

    def _evidence_key(self) -> SigningKey:
        pem = load_or_create(self._provider, EVIDENCE_KEY, lambda: SigningKey.generate().pem())
        return SigningKey.from_pem(pem)

    def _user_keys(self) -> list[SigningKey]:
        published = self._life().published(self._user_key_names(), self._clock.now_ns())
        return [self._key(name) for name in published]

    def _publish_service_key(self, name: str, key: VerifyKey) -> None:
        self._write_service_keys([*self._other_service_keys(name), key.public_jwk(name)])

    def _other_service_keys(self, name: str) -> list[dict[str, Any]]:
        document: dict[str, Any] = json.loads(self.service_keys_file.read_bytes())
        return [jwk for jwk in document["keys"] if jwk["kid"] != name]

    def _write_service_keys(self, keys: list[dict[str, Any]]) -> None:
        document = {"keys": sorted(keys, key=lambda jwk: jwk["kid"])}
        write_file(self.service_keys_file, json.dumps(document).encode(), mode=0o644)


def initialise(
    home: Path, clock: Clock, ids: IdFactory, *, environment: str = "development"
) -> Authority:
    """Open the authority of a home; the first time, make its keys and publish the public halves.

    Safe to repeat after a crash at any point: each key is stored whole or not at all.
    """
    provider = LocalKeyProvider(home / "keys", environment=environment)
    authority = Authority(home, provider, clock=clock, ids=ids)
    load_or_create(provider, next_name([]), lambda: SigningKey.generate().pem())
    authority.publish()
    return authority


def evidence_key_file(folder: Path, service: str) -> Path:
    """Where `Authority.write_service` puts it: beside the service's bundle."""
    return folder / f"{service}.evidence.pem"


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
