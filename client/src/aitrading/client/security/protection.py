"""How the local half of a stored login's key is kept: chosen by name, never exchanged for another.

Each way is bound to the stored login it was made for (`bound_to`): what was wrapped for one does
not open for another.
"""

from enum import StrEnum
from typing import Final, Protocol

from aitrading.client.security.credential_errors import CREDENTIALS_KEY_REFUSED
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret

LOCAL_BYTES: Final = 32


class ProtectionKind(StrEnum):
    """The ways there are."""

    DPAPI = "dpapi"
    SECRET_SERVICE = "secret-service"  # noqa: S105  # pragma: allowlist secret
    PASSPHRASE = "passphrase"  # noqa: S105 - the name of a way


class Protection(Protocol):
    """One way; blocks, and raises `CREDENTIALS_UNPROTECTED` or `CREDENTIALS_KEY_REFUSED`."""

    def wrap(self, local: Secret[bytes], *, bound_to: bytes) -> bytes:
        """What the file keeps of the local half."""
        ...

    def unwrap(self, wrapped: bytes, *, bound_to: bytes) -> Secret[bytes]:
        """The local half."""
        ...

    def forget(self, *, bound_to: bytes) -> None:
        """Destroy what is kept outside of the file; harmless when there is nothing."""
        ...


def checked(local: bytes | None, kind: ProtectionKind, reason: str) -> Secret[bytes]:
    """The local half, or the refusal."""
    if local is None or len(local) != LOCAL_BYTES:
        raise refused(kind, reason)
    return Secret(local)


def refused(kind: ProtectionKind, reason: str) -> AitradingError:
    """It is there and does not open."""
    return CREDENTIALS_KEY_REFUSED.error(protection=str(kind), reason=reason)
