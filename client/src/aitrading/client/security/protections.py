"""Which way a name stands for, and where a passphrase comes from."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aitrading.client.security.credential_errors import CREDENTIALS_UNPROTECTED
from aitrading.client.security.dpapi import DpapiProtection
from aitrading.client.security.passphrase import PassphraseProtection
from aitrading.client.security.protection import Protection, ProtectionKind
from aitrading.client.security.secret_service import SecretServiceProtection
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
MAX_BYTES: Final = 1024


def protections(ask: Callable[[], Secret[str]]) -> Callable[[ProtectionKind], Protection]:
    """The way of each name; `ask` is called for a passphrase and for nothing else."""

    def chosen(kind: ProtectionKind) -> Protection:
        match kind:
            case ProtectionKind.DPAPI:
                return DpapiProtection()
            case ProtectionKind.SECRET_SERVICE:
                return SecretServiceProtection()
            case ProtectionKind.PASSPHRASE:
                return PassphraseProtection(ask)

    return chosen


def passphrase_in(path: str) -> Callable[[], Secret[str]]:
    """Reads the passphrase from a file each time; refuses one that others may read."""

    def read() -> Secret[str]:
        if not path:
            raise _unprotected("no `terminal_login.passphrase_file` is set and nobody can type")
        file = Path(path)
        try:
            mode = file.stat().st_mode
            text = file.read_bytes()[:MAX_BYTES].decode().strip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise _unprotected(f"{path} cannot be read") from exc
        if sys.platform != "win32" and mode & OTHERS:
            raise _unprotected(f"{path} is readable by others (chmod 600)")
        return Secret(text)

    return read


def _unprotected(reason: str) -> AitradingError:
    kind = str(ProtectionKind.PASSPHRASE)
    return CREDENTIALS_UNPROTECTED.error(protection=kind, reason=reason)
