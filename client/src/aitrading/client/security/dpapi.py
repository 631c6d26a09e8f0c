"""Windows DPAPI in user scope: only the same Windows user on the same machine opens it.

`CRYPTPROTECT_LOCAL_MACHINE` would let every local user open it and appears nowhere here. The
entropy is bound to the stored login: another program of the same user needs the file as well.
"""

import ctypes
import sys
from typing import Any, Final

from typing_extensions import override

from aitrading.client.security.credential_errors import CREDENTIALS_UNPROTECTED
from aitrading.client.security.protection import (
    Protection,
    ProtectionKind,
    checked,
    refused,
)
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import sha256

CRYPTPROTECT_UI_FORBIDDEN: Final = 0x1
ENTROPY_LABEL: Final = b"aitrading/dpapi/v1\0"


class _Blob(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.POINTER(ctypes.c_char)))

    @classmethod
    def of(cls, data: bytes) -> "_Blob":
        buffer = ctypes.create_string_buffer(data, len(data))
        return cls(len(data), ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char)))


class DpapiProtection(Protection):
    """Wraps with `CryptProtectData`."""

    @override
    def wrap(self, local: Secret[bytes], *, bound_to: bytes) -> bytes:
        wrapped, number = _call("CryptProtectData", local.reveal(), bound_to)
        if wrapped is None:
            raise refused(ProtectionKind.DPAPI, f"error {number} while wrapping")
        return wrapped

    @override
    def unwrap(self, wrapped: bytes, *, bound_to: bytes) -> Secret[bytes]:
        local, number = _call("CryptUnprotectData", wrapped, bound_to)
        return checked(local, ProtectionKind.DPAPI, f"error {number}")

    @override
    def forget(self, *, bound_to: bytes) -> None:
        """Everything is in the file."""


def _call(function: str, data: bytes, bound_to: bytes) -> tuple[bytes | None, int]:
    """The answer of one of the two functions, or None with the error's number."""
    if sys.platform != "win32":
        raise CREDENTIALS_UNPROTECTED.error(
            protection=str(ProtectionKind.DPAPI), reason=f"{sys.platform} is not Windows"
        )
    crypt32: Any = ctypes.WinDLL("crypt32", use_last_error=True)
    kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.LocalFree.argtypes = [ctypes.c_void_p]
    given, entropy = _Blob.of(data), _Blob.of(sha256(ENTROPY_LABEL + bound_to))
    answer = _Blob()
    done = getattr(crypt32, function)(
        ctypes.byref(given), None, ctypes.byref(entropy), None, None,
        CRYPTPROTECT_UI_FORBIDDEN, ctypes.byref(answer),
    )  # fmt: skip
    if not done:
        return None, ctypes.get_last_error()
    try:
        return ctypes.string_at(answer.data, answer.size), 0
    finally:
        ctypes.memset(answer.data, 0, answer.size)
        kernel32.LocalFree(ctypes.cast(answer.data, ctypes.c_void_p))
