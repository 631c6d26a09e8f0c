"""What an installer left in the registry: which release was put where, and by whose key.

The client itself keeps nothing there. A machine-wide installer writes one key below
HKEY_LOCAL_MACHINE and closes it: administrators alone may change it, which the user's own registry
could not promise. So a client whose files were replaced together with the key pinned in them is
still told by a record that who replaced them could not reach.
"""

import ctypes
import re
import sys
from dataclasses import dataclass
from typing import Final

from aitrading.client.security.measures import UnreadableError
from aitrading.client.security.windows_library import advapi32, kernel32

KEY: Final = r"SOFTWARE\aitrading\client"
CLOSED: Final = "O:BAD:P(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KR;;;BU)"
"""System and administrators have it; users read it; nothing is inherited from above."""
ADMINISTRATORS: Final = frozenset({
    "SY", "BA", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
})  # fmt: skip
"""The system, its administrators, and the service that installs Windows."""
_OWNER_AND_RIGHTS: Final = 0x1 | 0x4
_MAX_BYTES: Final = 16 * 1024
_ENTRY: Final = re.compile(r"\(([^;)]*);([^;)]*);([^;)]*);[^;)]*;[^;)]*;([^;)]*)[^)]*\)")
_OWNER: Final = re.compile(r"O:(S-[\d-]+|[A-Z]{2})")
_READS: Final = frozenset({"KR", "KX", "GR", "GX", "RC", "CC", "SW", "RP"})
_READING_MASK: Final = 0x20019 | 0x80000000 | 0x20000000


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The installer's record."""

    folder: str
    version: str
    release_key: str
    """Public, hexadecimal; empty when the installer pinned none."""
    writers: tuple[str, ...]
    """Who but an administrator may change it, as Windows writes identities."""


def registration() -> Registration | None:
    """The record of this machine, if an installer left one; raises `OSError`."""
    if sys.platform != "win32":
        return None
    import winreg  # noqa: PLC0415 - only Windows has it

    access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
    try:
        key = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, KEY, 0, access)
    except FileNotFoundError:
        return None
    with key:
        folder, version, release_key = (
            _text(winreg.QueryValueEx(key, name)[0])
            for name in ("Folder", "Version", "ReleaseKey")
        )
        return Registration(
            folder=folder, version=version, release_key=release_key,
            writers=foreign_writers(_rights_of(int(key))),
        )  # fmt: skip


def close_registration() -> None:
    """Let administrators alone change it and read that back; raises `OSError`."""
    if sys.platform != "win32":
        raise UnreadableError(f"{sys.platform} is not Windows")
    import winreg  # noqa: PLC0415 - only Windows has it

    access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY | 0x40000 | 0x80000  # rights and owner
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, KEY, 0, access) as key:
        wanted, library = ctypes.c_void_p(), advapi32()
        library.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            CLOSED, 1, ctypes.byref(wanted), None
        )
        library.RegSetKeySecurity(ctypes.c_void_p(int(key)), _OWNER_AND_RIGHTS, wanted)
        kernel32().LocalFree(wanted)
        writers = foreign_writers(_rights_of(int(key)))
    if writers:
        raise OSError(f"the registration can still be changed by {', '.join(writers)}")


def foreign_writers(rights: str) -> tuple[str, ...]:
    """Who but an administrator may change something with these rights, written as SDDL."""
    owner = _OWNER.search(rights)
    found = [owner[1] if owner else "an unknown owner"]
    _, told, entries = rights.partition("D:")
    if not told or "NO_ACCESS_CONTROL" in entries:
        return ("everybody",)
    found += [
        who
        for kind, flags, allowed, who in _ENTRY.findall(entries)
        if not kind.endswith("D") and "IO" not in flags and _may_change(allowed)
    ]
    return tuple(dict.fromkeys(who for who in found if who not in ADMINISTRATORS))


def _may_change(allowed: str) -> bool:
    """Anything beyond reading; what is not understood counts."""
    if allowed.startswith("0x"):
        return bool(int(allowed, 16) & ~_READING_MASK)
    pairs = {allowed[place : place + 2] for place in range(0, len(allowed), 2)}
    return not pairs <= _READS


def _rights_of(key: int) -> str:
    """Owner and rights of an open key, as SDDL."""
    library, size = advapi32(), ctypes.c_uint32(_MAX_BYTES)
    buffer, text = (ctypes.c_ubyte * _MAX_BYTES)(), ctypes.c_wchar_p()
    number = library.RegGetKeySecurity(
        ctypes.c_void_p(key), _OWNER_AND_RIGHTS, buffer, ctypes.byref(size)
    )
    if number:
        raise OSError(f"Windows does not tell who may change the registration: error {number}")
    library.ConvertSecurityDescriptorToStringSecurityDescriptorW(
        buffer, 1, _OWNER_AND_RIGHTS, ctypes.byref(text), None
    )
    told = text.value or ""
    kernel32().LocalFree(text)
    return told


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


if __name__ == "__main__":
    close_registration()
