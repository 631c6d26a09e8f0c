"""The desktop's keyring (Secret Service over D-Bus): open while its user is logged in.

The keyring keeps a key of its own for each stored login; the file keeps the local half sealed
under it. A locked keyring is refused, never asked to unlock: a client that runs has no window.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from aitrading.client.security.credential_errors import CREDENTIALS_UNPROTECTED
from aitrading.client.security.protection import (
    Protection,
    ProtectionKind,
    checked,
    refused,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import sha256
from aitrading.core.security.crypto_fields import FieldKey

if TYPE_CHECKING:
    from secretstorage import Collection

LABEL: Final = "aitrading: key of a stored broker login"
APPLICATION: Final = "aitrading-client"


class SecretServiceProtection(Protection):
    """Wraps with a key in the default collection."""

    @override
    def wrap(self, local: Secret[bytes], *, bound_to: bytes) -> bytes:
        key = FieldKey.generate()
        with _collection() as collection:
            collection.create_item(LABEL, _attributes(bound_to), key.reveal(), replace=True)
        return FieldKey(key).seal(local.reveal(), bound_to=bound_to)

    @override
    def unwrap(self, wrapped: bytes, *, bound_to: bytes) -> Secret[bytes]:
        with _collection() as collection:
            item = next(iter(collection.search_items(_attributes(bound_to))), None)
            if item is None:
                raise refused(ProtectionKind.SECRET_SERVICE, "the keyring has no key for it")
            key = Secret(item.get_secret())
        local = FieldKey(key).open(wrapped, bound_to=bound_to)
        return checked(local, ProtectionKind.SECRET_SERVICE, "the keyring's key does not fit")

    @override
    def forget(self, *, bound_to: bytes) -> None:
        with _collection() as collection:
            for item in collection.search_items(_attributes(bound_to)):
                item.delete()


def _attributes(bound_to: bytes) -> dict[str, str]:
    return {"application": APPLICATION, "login": sha256(bound_to).hex()}


@contextmanager
def _collection() -> "Generator[Collection]":
    if sys.platform != "linux":
        raise _unprotected(f"{sys.platform} has no Secret Service")
    import secretstorage  # noqa: PLC0415 - not on every system

    try:
        connection: Any = secretstorage.dbus_init()
    except secretstorage.SecretServiceNotAvailableException as exc:
        raise _unprotected("there is no session bus") from exc
    try:
        collection = secretstorage.get_default_collection(connection)
        if collection.is_locked():
            raise _unprotected("the keyring is locked; log in to the desktop")
        yield collection
    except secretstorage.SecretStorageException as exc:
        raise _unprotected(str(exc) or repr(exc)) from exc
    finally:
        connection.close()


def _unprotected(reason: str) -> AitradingError:
    kind = str(ProtectionKind.SECRET_SERVICE)
    return CREDENTIALS_UNPROTECTED.error(protection=kind, reason=reason)
