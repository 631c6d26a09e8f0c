"""The three certificate authorities of an installation and what each may sign.

The edge authority signs the name people and clients connect to, the internal one signs services,
the device one signs clients. A certificate of one is worthless where another is asked for.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.secret import Secret
from aitrading.core.security.certificates import DeviceIdentity, ServiceIdentity
from aitrading.core.security.crypto import (
    Issuer,
    LeafSpec,
    Purpose,
    TlsKey,
    Validity,
    create_ca,
    inspect_certificate,
    issue_leaf,
    public_key_of_csr,
    sha256,
)
from aitrading.server.authority.errors import AUTHORITY_MISMATCH
from aitrading.server.authority.key_provider import KeyProvider, load_or_create

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
AUTHORITY_LIFETIME_S: Final = 3650 * DAY_S
SERVICE_LIFETIME_S: Final = 24 * HOUR_S
DEVICE_LIFETIME_S: Final = 72 * HOUR_S
EDGE_LIFETIME_S: Final = 30 * DAY_S
BACKDATE_S: Final = 300
"""A certificate begins in the past, so that a clock a little behind accepts it."""
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class AuthorityName(StrEnum):
    """Which authority."""

    EDGE = "edge"
    INTERNAL = "internal"
    DEVICE = "device"


@dataclass(frozen=True, kw_only=True)
class IssuedCertificate:
    """A leaf in PEM with what its holder must know about it."""

    certificate_pem: bytes
    fingerprint: str
    not_after_ns: int


class CertificateAuthority:
    """One authority: key and certificate from the provider, made at the first use."""

    def __init__(
        self, name: AuthorityName, *, provider: KeyProvider, clock: Clock, ids: IdFactory
    ) -> None:
        self.name: Final = name
        self._clock = clock
        self._ids = ids
        key = TlsKey.from_pem(
            load_or_create(provider, f"{name}-ca.key.pem", lambda: TlsKey.generate().pem())
        )
        certificate = load_or_create(
            provider, f"{name}-ca.crt.pem", lambda: Secret(self._self_signed(key))
        )
        self.certificate_pem: Final = certificate.reveal()
        info = inspect_certificate(self.certificate_pem)
        if info.spki_sha256 != sha256(key.public_der()):
            raise AUTHORITY_MISMATCH.error(authority=str(name))
        self.fingerprint: Final = info.fingerprint
        self._issuer = Issuer(certificate_pem=self.certificate_pem, key=key)

    def issue_service(
        self, name: str, public_der: bytes, hosts: Iterable[str] = LOOPBACK_HOSTS
    ) -> IssuedCertificate:
        """24 hours for a service, as server and as client."""
        identity = ServiceIdentity(name=name)
        both = frozenset({Purpose.SERVER, Purpose.CLIENT})
        return self._issue(name, public_der, SERVICE_LIFETIME_S, both, (identity.uri,), hosts)

    def issue_edge(self, public_der: bytes, hosts: Iterable[str]) -> IssuedCertificate:
        """30 days for the names that the edge answers to."""
        names = tuple(hosts)
        purposes = frozenset({Purpose.SERVER})
        return self._issue(names[0], public_der, EDGE_LIFETIME_S, purposes, (), names)

    def issue_device(self, csr_pem: bytes, identity: DeviceIdentity) -> IssuedCertificate:
        """72 hours for a client's key; every name comes from `identity`, none from the request."""
        public_der = public_key_of_csr(csr_pem)
        purposes = frozenset({Purpose.CLIENT})
        name = str(identity.device)
        return self._issue(name, public_der, DEVICE_LIFETIME_S, purposes, (identity.uri,), ())

    def vouch(self, message: bytes) -> bytes:
        """Sign a labelled message; whoever pinned this authority can check it (`crypto`)."""
        return self._issuer.key.sign(message)

    def _issue(
        self,
        common_name: str,
        public_der: bytes,
        lifetime_s: int,
        purposes: frozenset[Purpose],
        uris: tuple[str, ...],
        hosts: Iterable[str],
    ) -> IssuedCertificate:
        dns_names, addresses = _split_hosts(hosts)
        validity = self._validity(lifetime_s)
        spec = LeafSpec(
            common_name=common_name,
            serial=self._ids.new().int,
            validity=validity,
            purposes=purposes,
            uris=uris,
            dns_names=dns_names,
            ip_addresses=addresses,
        )
        pem = issue_leaf(self._issuer, spec, public_der)
        return IssuedCertificate(
            certificate_pem=pem,
            fingerprint=inspect_certificate(pem).fingerprint,
            not_after_ns=validity.not_after_ns,
        )

    def _self_signed(self, key: TlsKey) -> bytes:
        return create_ca(
            key,
            common_name=f"aitrading {self.name} authority",
            serial=self._ids.new().int,
            validity=self._validity(AUTHORITY_LIFETIME_S),
        )

    def _validity(self, lifetime_s: int) -> Validity:
        now_ns = self._clock.now_ns()
        return Validity(
            not_before_ns=now_ns - BACKDATE_S * NS_PER_S,
            not_after_ns=now_ns + lifetime_s * NS_PER_S,
        )


def _split_hosts(hosts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names: list[str] = []
    addresses: list[str] = []
    for host in hosts:
        (addresses if _is_address(host) else names).append(host)
    return tuple(names), tuple(addresses)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
