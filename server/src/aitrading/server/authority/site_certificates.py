"""The certificate of a public authority that browsers are shown, if the firm gave one.

It is kept with its key as one numbered secret, and the newest counts: a certificate is replaced
wholly or not at all, also by a process that is killed.
"""

from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import CertificateInfo, Validity
from aitrading.core.security.crypto_chains import read_chain
from aitrading.server.authority.key_provider import KeyProvider

PREFIX: Final = "site-"
SUFFIX: Final = ".pem"
WARN_BEFORE_END_NS: Final = 21 * 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class SiteCertificate:
    """What browsers are shown."""

    info: CertificateInfo
    pem: Secret[bytes]
    """The chain, then the key."""


def warns_from_ns(validity: Validity) -> int:
    """From when a missing renewal is told: 21 days before the end, or a third of a short life."""
    life_ns = validity.not_after_ns - validity.not_before_ns
    return validity.not_after_ns - min(WARN_BEFORE_END_NS, life_ns // 3)


class SiteCertificates:
    """Keeps one or none."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider

    def current(self) -> SiteCertificate | None:
        """The one to show; raises `CERTIFICATE_INVALID` or what the provider raises."""
        names = self._names()
        if not names:
            return None
        pem = self._provider.load(names[-1])
        return SiteCertificate(info=read_chain(pem.reveal())[0].info, pem=pem)

    def install(self, chain_pem: bytes, key_pem: Secret[bytes]) -> None:
        """Keep what was found showable, and forget the one before."""
        before = self._names()
        number = 1 + max(map(_number, before), default=0)
        pem = chain_pem.rstrip() + b"\n" + key_pem.reveal().strip() + b"\n"
        self._provider.store(f"{PREFIX}{number}{SUFFIX}", Secret(pem))
        self._forget(before)

    def remove(self) -> bool:
        """Forget it; tells whether there was one."""
        names = self._names()
        self._forget(names)
        return bool(names)

    def _forget(self, names: list[str]) -> None:
        for name in names:
            self._provider.remove(name)  # the newest last: until then it counts

    def _names(self) -> list[str]:
        return sorted(filter(_number, self._provider.names()), key=_number)


def _number(name: str) -> int:
    """The number in a name; 0 when it names no certificate."""
    text = name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return int(text) if name == f"{PREFIX}{text}{SUFFIX}" and text.isdecimal() else 0
