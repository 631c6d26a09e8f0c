"""The authority: made once, never half, issues exactly what each certificate is for."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.security.crypto import (
    Purpose,
    TlsKey,
    create_csr,
    inspect_certificate,
)
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.security.jwt_manager import JwtVerifier
from aitrading.core.security.server_pins import open_pins
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.installation import Authority, initialise, write_file
from aitrading.server.authority.key_provider import LocalKeyProvider
from aitrading.server.authority.token_keys import OVERLAP_S, STATE_FILE, TokenKeyLife
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.service_tokens import FileKeySet

HOUR_NS = 3600 * NS_PER_S
DEVICE = DeviceIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
GRANT = TokenGrant(
    tenant=TenantId(UUID(int=1)),
    user=UserId(UUID(int=2)),
    session=UUID(int=3),
    scopes=frozenset({Scope.READ}),
    authentication=Authentication.PASSWORD,
    authenticated_ns=0,
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Callable[[], Authority]:
    ids = SystemIdFactory(clock, SystemRandomness())
    return lambda: initialise(tmp_path, clock, ids)


def public_files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "trust").iterdir()}


def verifier(home: Path, clock: ManualClock) -> JwtVerifier:
    keys = FileKeySet(home / "trust" / "user-keys.jwks")
    return JwtVerifier(clock=clock, user_keys=keys, service_keys=keys)


def test_the_first_start_makes_what_the_second_finds(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    opened()
    before = public_files(tmp_path)
    assert set(before) == {
        "edge-ca.pem",
        "internal-ca.pem",
        "device-ca.pem",
        "user-keys.jwks",
        "service-keys.jwks",
        "evidence-keys.jwks",
    }
    opened()
    assert public_files(tmp_path) == before


def test_private_keys_are_private_and_public_files_hold_none(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    opened().write_service("data-bridge", tmp_path)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in ("data-bridge.key", "data-bridge.key.pem", "data-bridge.crt.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert b"PRIVATE" not in b"".join(public_files(tmp_path).values())


def test_an_interrupted_first_start_is_completed(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    """Whatever prefix of the keys exists, the next start adds the rest and changes nothing."""
    opened()
    names = sorted((tmp_path / "keys").iterdir(), key=lambda path: path.stat().st_ino)
    kept = {path: path.read_bytes() for path in names}
    for missing in names[::-1]:
        if missing.name.endswith("-ca.key.pem"):
            continue
        missing.unlink()
        opened()
        others = {path: path.read_bytes() for path in names if path != missing}
        assert others == {path: data for path, data in kept.items() if path != missing}
        kept[missing] = missing.read_bytes()


def test_an_authority_whose_key_is_gone_is_not_replaced(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    opened()
    (tmp_path / "keys" / "device-ca.key.pem").unlink()
    with pytest.raises(AitradingError) as caught:
        opened()
    assert caught.value.code == "AUTHORITY_MISMATCH"


def test_the_edge_shows_its_backup_after_a_rotation_and_devices_know_it_before(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    authority = opened()
    shown = shown_by(authority)
    before = open_pins(
        authority.edge_keys.signed_pins(), authority_pem=authority.edge.certificate_pem
    )
    assert (before.version, before.keys[0]) == (2, shown)
    after = authority.edge_keys.rotate()
    assert (after.version, after.keys[0]) == (3, before.keys[1])
    assert shown not in after.keys
    for again in (authority, opened()):
        assert shown_by(again) == after.keys[0]
        signed = again.edge_keys.signed_pins()
        assert open_pins(signed, authority_pem=again.edge.certificate_pem) == after
    (tmp_path / "keys" / "edge-3.key.pem").unlink()
    assert opened().edge_keys.pins() == before, "as a backup from before has it"


def shown_by(authority: Authority) -> str:
    return inspect_certificate(
        authority.issue_edge(("localhost",)).certificate_pem
    ).spki_sha256.hex()


def test_production_refuses_keys_in_files(tmp_path: Path) -> None:
    with pytest.raises(AitradingError) as caught:
        LocalKeyProvider(tmp_path / "keys", environment="production")
    assert caught.value.code == "KEY_PROVIDER_REFUSED"
    assert not (tmp_path / "keys").exists()


def expose_file(keys: Path) -> None:
    (keys / "edge-ca.key.pem").chmod(0o640)


def expose_folder(keys: Path) -> None:
    keys.chmod(0o755)


def link_elsewhere(keys: Path) -> None:
    target = keys / "edge-ca.key.pem"
    target.rename(keys.parent / "stolen.pem")
    target.symlink_to(keys.parent / "stolen.pem")


def make_a_folder(keys: Path) -> None:
    (keys / "edge-ca.key.pem").unlink()
    (keys / "edge-ca.key.pem").mkdir(mode=0o700)


def make_a_pipe(keys: Path) -> None:
    (keys / "edge-ca.key.pem").unlink()
    os.mkfifo(keys / "edge-ca.key.pem", 0o600)


def give_away(keys: Path) -> None:
    os.chown(keys / "edge-ca.key.pem", 12345, 12345)


@pytest.mark.parametrize(
    "attack", [expose_file, expose_folder, link_elsewhere, make_a_folder, make_a_pipe, give_away]
)
def test_a_key_that_others_can_reach_is_refused(
    attack: Callable[[Path], None], opened: Callable[[], Authority], tmp_path: Path
) -> None:
    if attack is give_away and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    opened()
    attack(tmp_path / "keys")
    with pytest.raises(AitradingError) as caught:
        opened()
    assert caught.value.code == "KEY_EXPOSED"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    provider = LocalKeyProvider(tmp_path / "keys", environment="development")
    provider.store("one", Secret(b"first"))
    with pytest.raises(AitradingError) as caught:
        provider.store("one", Secret(b"second"))
    assert caught.value.code == "KEY_EXISTS"
    assert provider.load("one").reveal() == b"first"
    assert provider.names() == ["one"]
    with pytest.raises(AitradingError) as caught:
        provider.load("two")
    assert caught.value.code == "KEY_MISSING"


def test_a_service_certificate(
    opened: Callable[[], Authority], tmp_path: Path, clock: ManualClock
) -> None:
    files = opened().write_service("data-bridge", tmp_path)
    info = inspect_certificate(files.certificate.read_bytes())
    assert info.uris == ("spiffe://aitrading/service/data-bridge",)
    assert info.dns_names == ("localhost",)
    assert info.ip_addresses == ("127.0.0.1", "::1")
    assert info.purposes == frozenset(Purpose)
    assert info.validity.not_after_ns == clock.now_ns() + 24 * HOUR_NS
    assert info.validity.not_before_ns < clock.now_ns()
    assert not info.is_ca
    assert info.issuer_name == "aitrading internal authority"


def test_a_device_certificate(opened: Callable[[], Authority], clock: ManualClock) -> None:
    issued = opened().issue_device(create_csr(TlsKey.generate(), common_name="admin"), DEVICE)
    info = inspect_certificate(issued.certificate_pem)
    assert info.uris == (DEVICE.uri,)
    assert (info.dns_names, info.ip_addresses) == ((), ())
    assert info.common_name == str(DEVICE.device)
    assert info.purposes == {Purpose.CLIENT}
    assert info.validity.not_after_ns == issued.not_after_ns == clock.now_ns() + 72 * HOUR_NS
    assert info.fingerprint == issued.fingerprint
    assert info.issuer_name == "aitrading device authority"


def test_the_edge_keeps_its_key_when_its_certificate_changes(
    opened: Callable[[], Authority], clock: ManualClock
) -> None:
    hosts = ["localhost", "link.localhost", "127.0.0.1"]
    first = opened().issue_edge(hosts)
    clock.step_wall(3600)
    second = opened().issue_edge(hosts)
    before, after = (inspect_certificate(leaf_of(each)) for each in (first, second))
    assert before.spki_sha256 == after.spki_sha256
    assert before.serial != after.serial
    assert after.purposes == {Purpose.SERVER}
    assert after.dns_names == ("localhost", "link.localhost")
    assert second.certificate_pem.count(b"BEGIN CERTIFICATE") == 2


def leaf_of(credentials: object) -> bytes:
    pem: bytes = credentials.certificate_pem  # type: ignore[attr-defined]
    return pem[: pem.index(b"-----END CERTIFICATE-----") + 26]


def test_a_user_key_can_be_replaced_without_logging_anybody_out(
    opened: Callable[[], Authority], tmp_path: Path, clock: ManualClock
) -> None:
    authority = opened()
    checker = verifier(tmp_path, clock)
    tokens = [authority.user_token_issuer().issue(GRANT).token.reveal()]
    for _rotation in range(2):
        authority.rotate_user_key()
        tokens.append(authority.user_token_issuer().issue(GRANT).token.reveal())
    for token in tokens:
        assert checker.verify_user(token)
    published = published_keys(tmp_path)
    assert len(published) == 3
    assert {key["alg"] for key in published} == {"EdDSA"}
    clock.step_wall(OVERLAP_S + 1)
    assert authority.retire_user_keys()
    assert len(published_keys(tmp_path)) == 1
    assert not authority.retire_user_keys()
    assert checker.verify_user(opened().user_token_issuer().issue(GRANT).token.reveal())


def published_keys(home: Path) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = json.loads((home / "trust/user-keys.jwks").read_bytes())["keys"]
    return keys


def test_a_staged_key_is_published_and_signs_nothing_until_it_is_switched_to(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    authority = opened()
    staged = authority.stage_user_key()
    assert authority.stage_user_key().public.raw == staged.public.raw
    assert len(published_keys(tmp_path)) == 2
    for process in (authority, opened()):  # killed here, the old one goes on signing
        kid = kid_of(process.user_token_issuer().issue(GRANT).token.reveal())
        assert kid != staged.public.thumbprint()
    authority.switch_user_key()
    kid = kid_of(opened().user_token_issuer().issue(GRANT).token.reveal())
    assert kid == staged.public.thumbprint()


def kid_of(token: str) -> str:
    return str(json.loads(base64url_decode(token.partition(".")[0]))["kid"])


def test_a_leaked_key_opens_nothing_from_then_on_also_where_its_token_is_remembered(
    opened: Callable[[], Authority], tmp_path: Path, clock: ManualClock
) -> None:
    authority = opened()
    checker = verifier(tmp_path, clock)
    token = authority.user_token_issuer().issue(GRANT).token.reveal()
    assert checker.verify_user(token)
    authority.stage_user_key()
    authority.switch_user_key(overlap=False)
    assert len(published_keys(tmp_path)) == 1
    with pytest.raises(AitradingError):
        checker.verify_user(token)
    assert checker.verify_user(authority.user_token_issuer().issue(GRANT).token.reveal())


def test_a_service_key_is_replaced_by_name(
    opened: Callable[[], Authority], tmp_path: Path
) -> None:
    authority = opened()
    for name in ("b", "a", "b"):
        authority.write_service(name, tmp_path)
    published = json.loads(authority.service_keys_file.read_bytes())["keys"]
    assert [key["kid"] for key in published] == ["a", "b"]


def test_a_token_lives_exactly_fifteen_minutes(
    opened: Callable[[], Authority], tmp_path: Path, clock: ManualClock
) -> None:
    issued = opened().user_token_issuer().issue(GRANT)
    assert issued.expires_ns == clock.now_ns() + 900 * NS_PER_S
    token = verifier(tmp_path, clock).verify_user(issued.token.reveal())
    assert token.token_id == issued.token_id
    assert token.authentication == "pwd"
    assert issued.token.reveal() not in repr(issued)


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"signing": "user-token-0001.pem"}',
        b'{"signing": 1, "retiring": {}}',
        b'{"signing": "user-token-0001.pem", "retiring": {"x": "soon"}}',
        b'{"signing": "user-token-0001.pem", "retiring": {}, "more": 1}',
    ],
)
def test_a_damaged_file_of_token_keys_is_named_with_its_remedy(
    tmp_path: Path, content: bytes
) -> None:
    """Guessing would publish a key again that was taken back after a leak."""
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(AitradingError) as refused:
        TokenKeyLife.read(tmp_path, ["user-token-0001.pem", "user-token-0002.pem"])
    assert refused.value.code == "TOKEN_KEYS_DAMAGED"
    assert refused.value.fields["path"] == str(tmp_path / STATE_FILE)
    (tmp_path / STATE_FILE).unlink()
    newest = TokenKeyLife.read(tmp_path, ["user-token-0001.pem", "user-token-0002.pem"])
    assert newest.published(["user-token-0001.pem", "user-token-0002.pem"], 0) == [
        "user-token-0002.pem"
    ]
