"""The desktop's keyring, really run: a session bus and a gnome-keyring of the test's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aitrading.client.security.credential_file import BrokerLogin
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.client.security.secret_service import SecretServiceProtection
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto_fields import FieldKey

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        sys.platform != "linux" or not shutil.which("gnome-keyring-daemon")
        or not shutil.which("dbus-daemon"),
        reason="needs dbus-daemon and gnome-keyring (Debian: apt-get install dbus gnome-keyring)",
    ),
]  # fmt: skip
CANARY = "canary-Ω-91ce"
BUS = "DBUS_SESSION_BUS_ADDRESS"


@dataclass
class Desktop:
    """A session of somebody who is logged in."""

    folder: Path
    environ: dict[str, str]

    @contextmanager
    def keyring(self, password: str = "login") -> Generator[None]:  # noqa: S107 - of the test
        """A keyring that the login unlocked; one with a wrong password stays locked."""
        with subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock"],
            env=self.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as daemon:  # fmt: skip
            try:
                assert daemon.stdin is not None
                assert daemon.stdout is not None
                daemon.stdin.write(password.encode())
                daemon.stdin.close()
                daemon.stdout.readline()
                yield
            finally:
                daemon.terminate()


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Desktop]:
    folder = tmp_path / "d"
    folder.mkdir(mode=0o700)
    with subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1",
         f"--address=unix:dir={folder}"],
        stdout=subprocess.PIPE, text=True,
    ) as bus:  # fmt: skip
        try:
            assert bus.stdout is not None
            address = bus.stdout.readline().strip()
            monkeypatch.setenv(BUS, address)
            own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), BUS: address,
                   "XDG_DATA_HOME": str(folder / "data")}  # fmt: skip
            yield Desktop(folder, {**os.environ, **own})
        finally:
            bus.terminate()


def code_of(call: Any, *arguments: Any, **names: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        call(*arguments, **names)
    return caught.value.code


def test_a_keyring_keeps_the_key_of_one_stored_login(desktop: Desktop) -> None:
    local, protection = FieldKey.generate(), SecretServiceProtection()
    with desktop.keyring():
        wrapped = protection.wrap(local, bound_to=b"one")
        assert protection.unwrap(wrapped, bound_to=b"one").reveal() == local.reveal()
        other = protection.wrap(FieldKey.generate(), bound_to=b"two")
        assert code_of(protection.unwrap, wrapped, bound_to=b"two") == "CREDENTIALS_KEY_REFUSED"
        assert code_of(protection.unwrap, other, bound_to=b"none") == "CREDENTIALS_KEY_REFUSED"
    with desktop.keyring():
        assert protection.unwrap(wrapped, bound_to=b"one").reveal() == local.reveal()
        protection.forget(bound_to=b"one")
        assert code_of(protection.unwrap, wrapped, bound_to=b"one") == "CREDENTIALS_KEY_REFUSED"
        protection.unwrap(other, bound_to=b"two")


def test_a_locked_keyring_is_refused_and_nobody_is_asked(desktop: Desktop) -> None:
    protection = SecretServiceProtection()
    with desktop.keyring():
        wrapped = protection.wrap(FieldKey.generate(), bound_to=b"one")
    with desktop.keyring(password="another"):  # noqa: S106 - of the test
        assert code_of(protection.unwrap, wrapped, bound_to=b"one") == "CREDENTIALS_UNPROTECTED"
        code = code_of(protection.wrap, FieldKey.generate(), bound_to=b"two")
        assert code == "CREDENTIALS_UNPROTECTED"


def test_without_a_keyring_nothing_weaker_is_taken(desktop: Desktop) -> None:
    del desktop
    code = code_of(SecretServiceProtection().wrap, FieldKey.generate(), bound_to=b"one")
    assert code == "CREDENTIALS_UNPROTECTED"


def test_a_stored_login_lives_and_dies_in_the_keyring(desk: Any, desktop: Desktop) -> None:
    def manager() -> CredentialManager:
        calls = DeviceCalls(DeviceFiles(desk.home), desk.record, SystemClock())
        return CredentialManager(
            desk.home, desk.record, calls, protection=lambda _: SecretServiceProtection(),
            clock=desk.clock,
        )  # fmt: skip

    with desktop.keyring():
        login = BrokerLogin(login=7, server="Broker", password=SecretBuffer.of(CANARY))
        manager().store(login, ProtectionKind.SECRET_SERVICE)
        manager().rotate()
        with manager().open().password as password:
            assert password.text() == CANARY
        for path in (*desk.home.rglob("*"), *desktop.folder.rglob("*")):
            if path.is_file():
                assert CANARY.encode() not in path.read_bytes()
    with desktop.keyring():
        manager().forget()
    assert desk.server.shares == {}
