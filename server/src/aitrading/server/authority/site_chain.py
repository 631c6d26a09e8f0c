"""Whether a chain and a key from outside can be shown to browsers; looked at before they are kept."""

import ssl
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from aitrading.core.kit.clock import rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import CertificateInfo, Purpose
from aitrading.core.security.crypto_chains import (
    ChainLink,
    issued_by,
    public_of_private,
    read_chain,
    read_der,
)
from aitrading.server.authority.site_errors import (
    SITE_CERTIFICATE_NOT_VALID_NOW,
    SITE_CERTIFICATE_OF_OTHERS,
    SITE_CERTIFICATE_UNREADABLE,
    SITE_CERTIFICATE_WEAK,
    SITE_CHAIN_BROKEN,
    SITE_KEY_MISMATCH,
)

KEYS: Final = frozenset({"secp256r1", "secp384r1", "RSA-2048", "RSA-3072", "RSA-4096"})
DIGESTS: Final = frozenset({"sha256", "sha384", "sha512"})
MAX_KEY_BYTES: Final = 8 * 1024

Roots = Callable[[], Iterable[bytes]]


def require_showable(
    chain_pem: bytes, key_pem: Secret[bytes], hosts: Iterable[str], now_ns: int, roots: Roots
) -> CertificateInfo:
    """Give the certificate if browsers can take it for one of the hosts; raises `SITE_…`."""
    chain = _read(chain_pem)
    leaf = chain[0].info
    _require_key(leaf, key_pem)
    for link in chain:
        _require_strong(link)
        _require_valid(link.info, now_ns)
    _require_order(chain, roots)
    _require_ours(leaf, hosts)
    return leaf


def covered(hosts: Iterable[str], dns_names: Iterable[str]) -> tuple[str, ...]:
    """Which hosts a certificate with these names is for, as browsers decide it (RFC 6125)."""
    names = {name.lower() for name in dns_names}
    return tuple(host for host in hosts if host.lower() in names or _wildcard(host) in names)


def system_roots() -> Iterator[bytes]:
    """What this machine trusts, as DER: from its one file, else from its folder."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        yield from ssl.create_default_context(cafile=paths.cafile).get_ca_certs(binary_form=True)
    elif paths.capath:
        for path in sorted(Path(paths.capath).glob("*.0")):
            yield ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii", errors="ignore"))


def _wildcard(host: str) -> str:
    return f"*.{host.lower().partition('.')[2]}"


def _read(pem: bytes) -> tuple[ChainLink, ...]:
    try:
        return read_chain(pem)
    except AitradingError as exc:
        problem = str(exc.fields.get("reason"))
        raise SITE_CERTIFICATE_UNREADABLE.error(what="chain", problem=problem) from exc


def _require_key(leaf: CertificateInfo, pem: Secret[bytes]) -> None:
    if len(pem.reveal()) > MAX_KEY_BYTES:
        problem = f"it has more than {MAX_KEY_BYTES} bytes"
        raise SITE_CERTIFICATE_UNREADABLE.error(what="key", problem=problem)
    try:
        public = public_of_private(pem)
    except AitradingError as exc:
        problem = "it is no private key in PEM, or needs a passphrase"
        raise SITE_CERTIFICATE_UNREADABLE.error(what="key", problem=problem) from exc
    if public != leaf.spki_sha256:
        raise SITE_KEY_MISMATCH.error(subject=_subject(leaf))


def _require_strong(link: ChainLink) -> None:
    problem = ""
    if not link.info.is_ca and link.key not in KEYS:
        problem = f"its key is {link.key}"
    elif link.digest not in DIGESTS and not link.self_signed:
        problem = f"it is signed with {link.digest or 'an algorithm that browsers do not take'}"
    if problem:
        raise SITE_CERTIFICATE_WEAK.error(subject=_subject(link.info), problem=problem)


def _require_valid(info: CertificateInfo, now_ns: int) -> None:
    if not info.validity.not_before_ns <= now_ns < info.validity.not_after_ns:
        raise SITE_CERTIFICATE_NOT_VALID_NOW.error(
            subject=_subject(info),
            begins=rfc3339_of_ns(info.validity.not_before_ns),
            ends=rfc3339_of_ns(info.validity.not_after_ns),
        )


def _require_order(chain: tuple[ChainLink, ...], roots: Roots) -> None:
    for child, issuer in pairwise(chain):
        if not (issuer.info.is_ca and issued_by(child, issuer)):
            problem = f"{_subject(child.info)} was not issued by {_subject(issuer.info)}"
            raise SITE_CHAIN_BROKEN.error(problem=problem)
    last = chain[-1]
    if (len(chain) > 1 and last.self_signed) or _trusted(last, roots()):
        return
    problem = f"nothing here knows {last.info.issuer_name or 'the authority'}, which issued {_subject(last.info)}"
    raise SITE_CHAIN_BROKEN.error(problem=problem)


def _trusted(last: ChainLink, roots: Iterable[bytes]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the machine's roots are what they are
        known = [read_der(der) for der in roots if last.issuer in der]
        return any(root.info.is_ca and issued_by(last, root) for root in known)


def _require_ours(leaf: CertificateInfo, hosts: Iterable[str]) -> None:
    problem = ""
    if leaf.is_ca:
        problem = "it is an authority's"
    elif leaf.purposes and Purpose.SERVER not in leaf.purposes:
        problem = "it is not for servers"
    elif not covered(hosts, leaf.dns_names):
        names = ", ".join(leaf.dns_names) or "no name"
        problem = f"it is for {names}, and `gateway.hosts` has none of them"
    if problem:
        raise SITE_CERTIFICATE_OF_OTHERS.error(subject=_subject(leaf), problem=problem)


def _subject(info: CertificateInfo) -> str:
    return info.common_name or ", ".join(info.dns_names) or "the certificate"
