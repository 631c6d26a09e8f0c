"""The installer's record in a real registry: closed, read back, and told when somebody opened it."""

import ctypes
import sys
from collections.abc import Generator
from typing import Any

import pytest

from aitrading.client.security import registration as module
from aitrading.client.security.registration import close_registration, registration

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows: make test-windows")
KEY = r"SOFTWARE\aitrading\client-test"
ALL_ACCESS = 0xF003F | 0x100


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A record beside the installed one, as an installer writes it; gives the key."""
    registry: Any = pytest.importorskip("winreg")
    monkeypatch.setattr(module, "KEY", KEY)
    try:
        key = registry.CreateKeyEx(registry.HKEY_LOCAL_MACHINE, KEY, 0, ALL_ACCESS | 0xC0000)
    except PermissionError:
        pytest.skip("needs an administrator: UNVERIFIED on this Windows")
    with key:
        for name, value in {"Folder": "C:\\x", "Version": "1", "ReleaseKey": "00"}.items():
            registry.SetValueEx(key, name, 0, registry.REG_SZ, value)
        yield key
    registry.DeleteKeyEx(registry.HKEY_LOCAL_MACHINE, KEY, 0x100, 0)


def let_everybody_in(key: Any) -> None:
    loader: Any = ctypes  # only Windows has it
    advapi32, wanted = loader.WinDLL("advapi32"), ctypes.c_void_p()
    advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        "D:P(A;;KA;;;SY)(A;;KA;;;BA)(A;;KA;;;BU)", 1, ctypes.byref(wanted), None
    )
    assert advapi32.RegSetKeySecurity(ctypes.c_void_p(int(key)), 4, wanted) == 0


def test_it_is_closed_and_an_opened_one_is_told(record: Any) -> None:
    close_registration()
    told = registration()
    assert told is not None
    assert (told.folder, told.version, told.release_key) == ("C:\\x", "1", "00")
    assert told.writers == ()
    let_everybody_in(record)
    opened = registration()
    assert opened is not None
    assert opened.writers == ("BU",)
    close_registration()
    closed = registration()
    assert closed is not None
    assert closed.writers == ()


def test_without_an_installer_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEY", r"SOFTWARE\aitrading\nobody-wrote-this")
    assert registration() is None
