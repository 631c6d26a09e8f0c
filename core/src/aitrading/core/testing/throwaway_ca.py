"""A certificate authority for one test: what a client or server needs to meet another one."""

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.crypto import (
    Issuer,
    LeafSpec,
    Purpose,
    TlsKey,
    Validity,
    create_ca,
    issue_leaf,
)

CLOCK: Final = SystemClock()
IDENTITY: Final = DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
_serials = count(1)


def validity(from_s: float = -60, to_s: float = 3_600) -> Validity:
    """A life around now, in seconds from now."""
    now_ns = CLOCK.now_ns()
    return Validity(
        not_before_ns=now_ns + round(from_s * NS_PER_S),
        not_after_ns=now_ns + round(to_s * NS_PER_S),
    )


@dataclass
class ThrowawayCa:
    """A certificate authority of its own."""

    key: TlsKey = field(default_factory=TlsKey.generate)

    def __post_init__(self) -> None:
        self.pem: bytes = create_ca(
            self.key, common_name="test", serial=next(_serials), validity=validity()
        )

    def issue(
        self,
        public_der: bytes,
        *,
        hosts: tuple[str, ...] = (),
        uris: tuple[str, ...] = (),
        purpose: Purpose = Purpose.SERVER,
        life: Validity | None = None,
    ) -> bytes:
        """A leaf certificate, PEM."""
        spec = LeafSpec(
            common_name="leaf",
            serial=next(_serials),
            validity=life or validity(),
            purposes=frozenset({purpose}),
            uris=uris,
            dns_names=hosts,
        )
        return issue_leaf(Issuer(certificate_pem=self.pem, key=self.key), spec, public_der)

    def server(
        self, folder: Path, *, life: Validity | None = None, key: TlsKey | None = None
    ) -> Path:
        """One PEM file with key and certificate of `localhost` and its link name."""
        key = key or TlsKey.generate()
        hosts = ("localhost", "link.localhost")
        leaf = self.issue(key.public_der(), hosts=hosts, life=life)
        path = folder / f"server-{next(_serials)}.pem"
        path.write_bytes(key.pem().reveal() + leaf)
        return path

    def device(self, key: TlsKey, *, life: Validity | None = None) -> bytes:
        """The certificate of device `IDENTITY`, PEM."""
        return self.issue(
            key.public_der(), uris=(IDENTITY.uri,), purpose=Purpose.CLIENT, life=life
        )
