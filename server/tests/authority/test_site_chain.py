"""Which certificates of public authorities are taken, and how the one is kept."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness.public_authority import DAY, Certified, PublicAuthority

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import Validity, sha256
from aitrading.server.authority import site_chain
from aitrading.server.authority.key_provider import LocalKeyProvider
from aitrading.server.authority.site_certificates import SiteCertificates, warns_from_ns
from aitrading.server.authority.site_chain import covered, require_showable, system_roots

HOSTS = ("localhost", "trading.example")
NAME = "trading.example"
AUTHORITY = PublicAuthority()
OTHER = PublicAuthority(name="Other Authority")
NOW_NS = int(AUTHORITY.moment.timestamp()) * NS_PER_S
SITE = AUTHORITY.site(NAME)


def taken(
    chain: bytes, key: bytes, *, hosts: tuple[str, ...] = HOSTS, roots: tuple[bytes, ...] = ()
) -> str:
    """Its fingerprint; raises the refusal."""
    known = (AUTHORITY.root.der, *roots)
    return require_showable(chain, Secret(key), hosts, NOW_NS, lambda: known).fingerprint


def refused(chain: bytes, key: bytes) -> AitradingError:
    with pytest.raises(AitradingError) as caught:
        taken(chain, key)
    return caught.value


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-3072", "RSA-4096"])
def test_a_chain_of_an_authority_that_this_machine_knows_is_taken(kind: str) -> None:
    site = AUTHORITY.site(NAME, key=kind)
    assert taken(AUTHORITY.chain(site), site.key_pem()) == sha256(site.der).hex()


def test_an_authority_of_ones_own_is_taken_with_its_root() -> None:
    site = OTHER.site("*.example")
    assert taken(OTHER.chain(site, root=True), site.key_pem())
    assert refused(OTHER.chain(site), site.key_pem()).code == "SITE_CHAIN_BROKEN"


def mixed_up(order: Callable[[Certified], bytes]) -> tuple[bytes, bytes, str]:
    return order(SITE), SITE.key_pem(), "SITE_CHAIN_BROKEN"


def other(code: str, *names: str, **changes: object) -> tuple[bytes, bytes, str]:
    site = AUTHORITY.site(*(names or (NAME,)), **changes)
    return AUTHORITY.chain(site), site.key_pem(), code


LEAF_AS_ISSUER = AUTHORITY.certify(NAME, names=(NAME,), issuer=SITE)
SELF_SIGNED = AUTHORITY.certify(NAME, names=(NAME,))
ZOO = {
    "no PEM": (b"hello", SITE.key_pem(), "SITE_CERTIFICATE_UNREADABLE"),
    "nothing": (b"", SITE.key_pem(), "SITE_CERTIFICATE_UNREADABLE"),
    "a damaged certificate": (
        SITE.pem.replace(b"MII", b"MIJ", 1),
        SITE.key_pem(),
        "SITE_CERTIFICATE_UNREADABLE",
    ),
    "too many": (SITE.pem * 11, SITE.key_pem(), "SITE_CERTIFICATE_UNREADABLE"),
    "too large": (SITE.pem + b"#" * 50_000, SITE.key_pem(), "SITE_CERTIFICATE_UNREADABLE"),
    "no key": (AUTHORITY.chain(SITE), b"", "SITE_CERTIFICATE_UNREADABLE"),
    "a key with a passphrase": (
        AUTHORITY.chain(SITE),
        SITE.key_pem(b"secret"),
        "SITE_CERTIFICATE_UNREADABLE",
    ),
    "a certificate as key": (AUTHORITY.chain(SITE), SITE.pem, "SITE_CERTIFICATE_UNREADABLE"),
    "a large key": (AUTHORITY.chain(SITE), b"#" * 9_000, "SITE_CERTIFICATE_UNREADABLE"),
    "another key": (AUTHORITY.chain(SITE), AUTHORITY.root.key_pem(), "SITE_KEY_MISMATCH"),
    "the issuer first": (
        AUTHORITY.intermediate.pem + SITE.pem,
        SITE.key_pem(),
        "SITE_KEY_MISMATCH",
    ),
    "no intermediate": mixed_up(lambda site: site.pem),
    "another intermediate": mixed_up(lambda site: site.pem + OTHER.intermediate.pem),
    "the root in between": mixed_up(
        lambda site: site.pem + AUTHORITY.root.pem + AUTHORITY.intermediate.pem
    ),
    "an issuer that is no authority": (
        LEAF_AS_ISSUER.pem + AUTHORITY.chain(SITE),
        LEAF_AS_ISSUER.key_pem(),
        "SITE_CHAIN_BROKEN",
    ),
    "signed by itself": (SELF_SIGNED.pem, SELF_SIGNED.key_pem(), "SITE_CHAIN_BROKEN"),
    "RSA of 1024 bits": other("SITE_CERTIFICATE_WEAK", key="RSA-1024"),
    "Ed25519, which no browser takes": other("SITE_CERTIFICATE_WEAK", key="Ed25519"),
    "P-521, which few browsers take": other("SITE_CERTIFICATE_WEAK", key="P-521"),
    "an old digest": other("SITE_CERTIFICATE_WEAK", digest=hashes.SHA224()),
    "ended": other("SITE_CERTIFICATE_NOT_VALID_NOW", ends=timedelta(seconds=-1)),
    "not begun": other("SITE_CERTIFICATE_NOT_VALID_NOW", begins=DAY),
    "other names": other("SITE_CERTIFICATE_OF_OTHERS", "other.example"),
    "a wildcard two levels up": other("SITE_CERTIFICATE_OF_OTHERS", "*.com"),
    "for clients": other("SITE_CERTIFICATE_OF_OTHERS", usage=ExtendedKeyUsageOID.CLIENT_AUTH),
    "an authority's": (
        AUTHORITY.intermediate.pem,
        AUTHORITY.intermediate.key_pem(),
        "SITE_CERTIFICATE_OF_OTHERS",
    ),
}


@pytest.mark.parametrize("what", ZOO)
def test_what_browsers_would_not_take_is_refused_and_says_why(what: str) -> None:
    chain, key, code = ZOO[what]
    error = refused(chain, key)
    assert error.code == code
    assert error.spec.why
    assert error.spec.remedy
    assert "{" not in error.message


def test_names_are_matched_as_browsers_do() -> None:
    hosts = ("a.example", "b.a.example", "example", "A.Example")
    assert covered(hosts, ["*.example"]) == ("a.example", "A.Example")
    assert covered(hosts, ["a.EXAMPLE"]) == ("a.example", "A.Example")
    assert covered(hosts, ["*"]) == ()


def test_roots_of_this_machine_are_found_in_its_file_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = site_chain.ssl.get_default_verify_paths()
    file, folder = tmp_path / "roots.pem", tmp_path / "roots"
    folder.mkdir()
    file.write_bytes(AUTHORITY.root.pem + OTHER.root.pem)
    (folder / "0a1b2c3d.0").write_bytes(OTHER.root.pem)
    for found, expected in (
        (paths._replace(cafile=str(file)), {AUTHORITY.root.der, OTHER.root.der}),
        (paths._replace(cafile=None, capath=str(folder)), {OTHER.root.der}),
        (paths._replace(cafile=None, capath=None), set()),
    ):
        monkeypatch.setattr(site_chain.ssl, "get_default_verify_paths", lambda found=found: found)
        assert set(system_roots()) == expected


def test_one_is_kept_with_its_key_and_replaced_wholly(tmp_path: Path) -> None:
    provider = LocalKeyProvider(tmp_path / "keys", environment="development")
    kept = SiteCertificates(provider)
    assert kept.current() is None
    assert not kept.remove()
    second = AUTHORITY.site(NAME, key="RSA-2048")
    for site in (SITE, second):
        kept.install(AUTHORITY.chain(site), Secret(site.key_pem()))
        again = SiteCertificates(provider).current()
        for current in (kept.current(), again):
            assert current is not None
            assert current.info.fingerprint == sha256(site.der).hex()
            assert current.pem.reveal() == AUTHORITY.chain(site) + site.key_pem()
    assert provider.names() == ["site-2.pem"]
    assert (tmp_path / "keys" / "site-2.pem").stat().st_mode & 0o777 == 0o600
    assert kept.remove()
    assert kept.current() is None
    assert provider.names() == []
    for site in (SITE, second):
        kept.install(AUTHORITY.chain(site), Secret(site.key_pem()))
        again = kept.current()
        assert again is not None
        assert again.info.fingerprint == sha256(site.der).hex()
        assert provider.names() == ["site-1.pem"]
        kept.remove()


class Killed(LocalKeyProvider):
    """A process that ends before it forgets anything."""

    def remove(self, name: str) -> None:
        raise OSError(name)


def test_a_process_that_is_killed_leaves_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    provider = LocalKeyProvider(folder, environment="development")
    SiteCertificates(provider).install(AUTHORITY.chain(SITE), Secret(SITE.key_pem()))
    second = AUTHORITY.site(NAME)
    with pytest.raises(OSError, match=r"site-1\.pem"):
        SiteCertificates(Killed(folder, environment="development")).install(
            AUTHORITY.chain(second), Secret(second.key_pem())
        )
    current = SiteCertificates(provider).current()
    assert current is not None
    assert current.info.fingerprint == sha256(second.der).hex()
    SiteCertificates(provider).remove()
    assert provider.names() == []


@pytest.mark.parametrize(("life_days", "warned_days"), [(90, 21), (45, 15), (6, 2)])
def test_a_missing_renewal_is_told_early_and_of_a_short_life_in_time(
    life_days: int, warned_days: int
) -> None:
    day_ns = 24 * 3600 * NS_PER_S
    validity = Validity(not_before_ns=0, not_after_ns=life_days * day_ns)
    assert validity.not_after_ns - warns_from_ns(validity) == warned_days * day_ns
