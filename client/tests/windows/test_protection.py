"""DPAPI, and the stored login under it, on Windows itself (`make test-windows` brings one)."""

import secrets
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from typing_extensions import override

from aitrading.client.security import dpapi
from aitrading.client.security.credential_file import BrokerLogin
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_files import DeviceRecord, ServerAddress
from aitrading.client.security.dpapi import DpapiProtection
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.kit.clock import SystemClock, now_utc
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.device_requests import DevicePurpose

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows: make test-windows")
CANARY = "canary-Ω-77aa"
GONE = ErrorSpec(
    code="CREDENTIAL_SHARE_GONE", category=Category.DENIED, message="x", why="", remedy=""
)


def refused(call: Any, *arguments: Any, **names: Any) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the code is looked at
        call(*arguments, **names)
    return str(getattr(caught.value, "code", caught.value))


def test_what_dpapi_wraps_opens_for_the_same_purpose_alone() -> None:
    local, protection = FieldKey.generate(), DpapiProtection()
    wrapped = protection.wrap(local, bound_to=b"one login")
    assert local.reveal() not in wrapped
    assert protection.unwrap(wrapped, bound_to=b"one login").reveal() == local.reveal()
    code = refused(protection.unwrap, wrapped, bound_to=b"another login")
    assert code == "CREDENTIALS_KEY_REFUSED"


def test_no_changed_byte_of_a_wrapped_key_opens() -> None:
    local, protection = FieldKey.generate(), DpapiProtection()
    wrapped = protection.wrap(local, bound_to=b"one login")
    for place in range(0, len(wrapped), 3):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        try:
            opened = protection.unwrap(bytes(changed), bound_to=b"one login")
        except Exception as exc:  # noqa: BLE001 - any refusal will do
            assert "CREDENTIALS_KEY_REFUSED" in str(getattr(exc, "code", exc))  # noqa: PT017
        else:  # the description beside the key is not sealed; the key itself is right
            assert opened.reveal() == local.reveal()


def test_never_for_every_user_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    loader: Any = dpapi.ctypes  # only Windows has it
    real = loader.WinDLL

    class Watched:
        def __init__(self, library: Any) -> None:
            self._library = library

        def __getattr__(self, name: str) -> Any:
            function = getattr(self._library, name)

            def call(*arguments: Any) -> Any:
                given.append(arguments[5])
                return function(*arguments)

            return call if name.startswith("Crypt") else function

    monkeypatch.setattr(
        loader,
        "WinDLL",
        lambda name, **more: Watched(real(name, **more)),
    )
    wrapped = DpapiProtection().wrap(FieldKey.generate(), bound_to=b"x")
    DpapiProtection().unwrap(wrapped, bound_to=b"x")
    local_machine = 0x4
    assert [flags & local_machine for flags in given] == [0, 0]


@dataclass
class Shares:
    """The server's half, as its API answers."""

    known: dict[str, str] = field(default_factory=dict[str, str])

    def ask(self, purpose: DevicePurpose, path: str, content: Any, answer: Any) -> Any:
        del path
        if purpose is DevicePurpose.NEW_SHARE:
            made = str(UUID(bytes=secrets.token_bytes(16)))
            self.known[made] = secrets.token_hex(32)
            return msgspec.convert({"id": made, "share": self.known[made]}, answer)
        if purpose is DevicePurpose.FORGET:
            count = len(self.known)
            self.known.clear()
            return msgspec.convert({"shares": count}, answer)
        wanted = content["id"]
        if wanted not in self.known:
            raise GONE.error()
        self.known = {wanted: self.known[wanted]}
        ends = now_utc(SystemClock()) + timedelta(hours=24)
        told = {"share": self.known[wanted], "expires_at": ends.isoformat(), "rotate": False}
        return msgspec.convert(told, answer)


def test_a_stored_login_lives_and_dies_under_dpapi(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()
    shares = Shares()
    record = DeviceRecord(
        tenant=UUID(int=1), device=UUID(int=2), server=ServerAddress(host="x", port=1),
        server_ca="", server_keys=(),
    )  # fmt: skip

    def manager() -> CredentialManager:
        calls: Any = shares
        return CredentialManager(
            tmp_path, record, calls, protection=lambda _: DpapiProtection(), clock=SystemClock()
        )

    login = BrokerLogin(login=7, server="Broker-Demo", password=SecretBuffer.of(CANARY))
    manager().store(login, ProtectionKind.DPAPI)
    file = tmp_path / "identity" / "broker-login.sealed"
    older = file.read_bytes()
    assert CANARY.encode() not in older
    manager().rotate()
    opened = manager().open()
    with opened.password as password:
        assert (opened.login, password.text()) == (7, CANARY)
    assert opened.password.is_wiped
    newer = file.read_bytes()
    file.write_bytes(older)
    assert refused(manager().open) == "CREDENTIAL_SHARE_GONE"
    for place in range(0, len(newer), 11):
        changed = bytearray(newer)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert refused(manager().open) == "CREDENTIALS_DAMAGED"
    file.write_bytes(newer)
    manager().forget()
    assert not file.exists()
    assert shares.known == {}


def test_a_lost_key_of_windows_is_told_and_the_login_can_be_stored_again(tmp_path: Path) -> None:
    """A password that an administrator resets takes DPAPI's keys away; here another key took it."""
    (tmp_path / "identity").mkdir()
    shares: Any = Shares()
    record = DeviceRecord(
        tenant=UUID(int=1), device=UUID(int=2), server=ServerAddress(host="x", port=1),
        server_ca="", server_keys=(),
    )  # fmt: skip

    class Lost(DpapiProtection):
        @override
        def unwrap(self, wrapped: bytes, *, bound_to: bytes) -> Secret[bytes]:
            return super().unwrap(wrapped, bound_to=b"keys of before" + bound_to)

    def manager(protection: DpapiProtection) -> CredentialManager:
        return CredentialManager(
            tmp_path, record, shares, protection=lambda _: protection, clock=SystemClock()
        )

    def login() -> BrokerLogin:
        return BrokerLogin(login=7, server="Broker-Demo", password=SecretBuffer.of(CANARY))

    manager(DpapiProtection()).store(login(), ProtectionKind.DPAPI)
    assert refused(manager(Lost()).open) == "CREDENTIALS_KEY_REFUSED"
    manager(Lost()).forget()
    manager(DpapiProtection()).store(login(), ProtectionKind.DPAPI)
    manager(DpapiProtection()).open().password.wipe()
