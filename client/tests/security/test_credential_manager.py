"""The stored broker login: opens here, today and with the server's help, or tells why not."""

import asyncio
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitrading.client.metatrader_connector.stored_login import StoredLogin
from aitrading.client.security.credential_file import BrokerLogin, read
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import sha256
from aitrading.core.testing.async_test import async_test

SIMULATED_LOGIN = 1_000_001
CANARY = "canary-Ω-5d1f"
PASSPHRASE = ProtectionKind.PASSPHRASE


def login(password: str = CANARY) -> BrokerLogin:
    return BrokerLogin(
        login=SIMULATED_LOGIN, server="Simulated-Demo", password=SecretBuffer.of(password)
    )


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(AitradingError) as refused:
        call(*arguments)
    assert CANARY not in str(refused.value)
    return refused.value.code


def stored(desk: Any) -> CredentialManager:
    manager: CredentialManager = desk.manager()
    manager.store(login(), PASSPHRASE)
    return manager


def test_what_was_stored_is_opened_again(desk: Any) -> None:
    stored(desk)
    opened = desk.manager().open()
    assert (opened.login, opened.server) == (SIMULATED_LOGIN, "Simulated-Demo")
    with opened.password as password:
        assert password.text() == CANARY
    assert opened.password.is_wiped
    assert CANARY not in repr(opened)
    assert desk.file.stat().st_mode & 0o077 == 0
    assert CANARY.encode() not in desk.file.read_bytes()


def test_a_stored_login_is_not_replaced_by_accident(desk: Any) -> None:
    manager = stored(desk)
    assert code_of(manager.store, login("another one"), PASSPHRASE) == "CREDENTIALS_EXIST"
    with desk.manager().open().password as password:
        assert password.text() == CANARY


@pytest.mark.parametrize(
    ("number", "server", "password"),
    [(0, "s", "p"), (-1, "s", "p"), (2**63, "s", "p"), (1, "", "p"), (1, "s" * 129, "p"),
     (1, "s", ""), (1, "s", "p" * 257)],
)  # fmt: skip
def test_what_is_no_login_is_refused(desk: Any, number: int, server: str, password: str) -> None:
    bad = BrokerLogin(login=number, server=server, password=SecretBuffer.of(password))
    assert code_of(desk.manager().store, bad, PASSPHRASE) == "CREDENTIALS_INVALID"
    assert desk.server.heard == []


def test_without_the_server_a_start_opens_nothing(desk: Any) -> None:
    stored(desk)
    desk.server.is_down = True
    assert code_of(desk.manager().open) == "CREDENTIALS_LEASE_MISSING"
    assert desk.server.shares, "the file alone has no use: the share is here only"
    whole = b"".join(path.read_bytes() for path in desk.home.rglob("*") if path.is_file())
    for share in desk.server.shares.values():
        assert bytes.fromhex(share) not in whole
        assert share.encode() not in whole


@async_test
async def test_a_lease_lasts_a_day_whatever_the_clock_is_set_to(desk: Any) -> None:
    manager = stored(desk)
    desk.server.is_down = True
    await desk.clock.advance(23 * 3600)
    manager.open().password.wipe()
    desk.clock.step_wall(-20 * 3600)
    await desk.clock.advance(3600)
    assert code_of(manager.open) == "CREDENTIALS_LEASE_ENDED"
    desk.server.is_down = False
    manager.open().password.wipe()


def test_a_revoked_device_opens_nothing_any_more(desk: Any) -> None:
    manager = stored(desk)
    desk.server.is_revoked = True
    assert code_of(desk.manager().open) == "DEVICE_REQUEST_REFUSED"
    assert code_of(manager.renew_lease) == "DEVICE_REQUEST_REFUSED"
    assert manager.lease is None
    assert code_of(manager.open) == "DEVICE_REQUEST_REFUSED"


def test_rotating_makes_older_copies_worthless(desk: Any) -> None:
    manager = stored(desk)
    older = desk.file.read_bytes()
    manager.rotate()
    with desk.manager().open().password as password:
        assert password.text() == CANARY
    manager.rotate(SecretBuffer.of("another one"))
    with desk.manager().open().password as password:
        assert password.text() == "another one"
    desk.file.write_bytes(older)
    assert code_of(desk.manager().open) == "CREDENTIAL_SHARE_GONE"
    assert code_of(manager.open) == "CREDENTIAL_SHARE_GONE", "also where a lease is remembered"


@pytest.mark.parametrize("lost", ["share", "lease"])
def test_a_rotation_that_is_cut_leaves_one_login_that_opens(desk: Any, lost: str) -> None:
    manager = stored(desk)
    ask = manager._calls.ask
    paths: list[str] = []

    def cut(purpose: Any, path: str, content: Any, answer: Any) -> Any:
        paths.append(path)
        if path.endswith(lost):
            desk.server.is_down = True
        return ask(purpose, path, content, answer)

    manager._calls.ask = cut  # type: ignore[method-assign]
    assert code_of(manager.rotate, SecretBuffer.of("another one")) in {
        "LINK_UNREACHABLE", "CREDENTIALS_LEASE_MISSING"
    }  # fmt: skip
    desk.server.is_down = False
    with desk.manager().open().password as password:
        assert password.text() == (CANARY if lost == "share" else "another one")


def test_a_wrong_passphrase_is_told_as_such(desk: Any) -> None:
    stored(desk)
    desk.passphrase = "another passphrase"  # noqa: S105
    assert code_of(desk.manager().open) == "CREDENTIALS_KEY_REFUSED"
    desk.passphrase = "short"  # noqa: S105
    desk.file.unlink()
    assert code_of(desk.manager().store, login(), PASSPHRASE) == "CREDENTIALS_KEY_REFUSED"
    assert not desk.file.exists()


def test_a_file_of_another_device_is_told_as_such(desk: Any) -> None:
    stored(desk)
    data = desk.file.read_bytes()
    desk.file.write_bytes(forged(data, str(desk.record.device), str(desk.record.tenant)))
    assert code_of(desk.manager().open) == "CREDENTIALS_OF_ANOTHER_DEVICE"


def forged(data: bytes, old: str, new: str) -> bytes:
    """Change the header and mend length and checksum, as an attacker would."""
    end = 12 + struct.unpack_from(">I", data, 8)[0]
    text = data[12:end].replace(old.encode(), new.encode())
    body = data[:8] + struct.pack(">I", len(text)) + text + data[end:-32]
    return body + sha256(body)


def test_a_header_that_was_changed_with_its_checksum_does_not_open(desk: Any) -> None:
    stored(desk)
    data = desk.file.read_bytes()
    header = read(data).header
    desk.file.write_bytes(forged(data, f'"stored_ms":{header.stored_ms}', '"stored_ms":1'))
    assert code_of(desk.manager().open) == "CREDENTIALS_DAMAGED"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 2**16), bit=st.integers(0, 7), cut=st.booleans())
def test_no_changed_byte_goes_unnoticed(desk: Any, place: int, bit: int, cut: bool) -> None:
    if not desk.file.exists():
        stored(desk)
    whole = desk.file.read_bytes()
    place %= len(whole)
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    try:
        desk.file.write_bytes(whole[:place] if cut else changed)
        assert code_of(desk.manager().open) == "CREDENTIALS_DAMAGED"
    finally:
        desk.file.write_bytes(whole)


def test_forgetting_destroys_both_halves(desk: Any) -> None:
    manager = stored(desk)
    copy = desk.file.read_bytes()
    manager.forget()
    assert not desk.file.exists()
    assert desk.server.shares == {}
    assert code_of(manager.open) == "CREDENTIALS_MISSING"
    desk.file.write_bytes(copy)
    assert code_of(desk.manager().open) == "CREDENTIAL_SHARE_GONE"


def test_a_damaged_file_can_be_forgotten(desk: Any) -> None:
    stored(desk)
    desk.file.write_bytes(b"garbage")
    desk.manager().forget()
    assert not desk.manager().is_stored


class WatchedTerminal(SimulatedTerminal):
    """Remembers what it was given."""

    given: dict[str, Any]

    def initialize(self, *args: Any, **kwargs: Any) -> bool:
        assert args == ()
        self.given = kwargs
        return super().initialize()


def test_the_terminal_gets_the_login_once(desk: Any) -> None:
    manager = stored(desk)
    terminal = WatchedTerminal(SystemClock())
    account = asyncio.run(StoredLogin(manager)(TerminalHere(terminal)))
    assert account.login == SIMULATED_LOGIN
    assert terminal.given == {
        "login": SIMULATED_LOGIN, "password": CANARY, "server": "Simulated-Demo"
    }  # fmt: skip


def test_a_login_of_another_account_is_not_used(desk: Any) -> None:
    manager = desk.manager()
    manager.store(
        BrokerLogin(login=7, server="Simulated-Demo", password=SecretBuffer.of(CANARY)), PASSPHRASE
    )
    terminal = WatchedTerminal(SystemClock())
    log_in = StoredLogin(manager)(TerminalHere(terminal))
    assert code_of(asyncio.run, log_in) == "CREDENTIALS_OTHER_ACCOUNT"
