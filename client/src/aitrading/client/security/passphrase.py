"""A passphrase as protection: for machines without a keyring, such as servers.

Wrapped: memory in KiB (4), passes (4), lanes (4), salt (16), then the sealed half. What a guess
costs is kept with it and bound to it, so that a later release may ask for more. A cost that was
lowered in the file is refused before anything is computed.
"""

import secrets
import struct
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from aitrading.client.security.protection import (
    Protection,
    ProtectionKind,
    checked,
    refused,
)
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey, PassphraseCost, passphrase_key

COST: Final = PassphraseCost(memory_kib=64 * 1024, passes=3, lanes=4)
"""A guess costs 64 MiB and about a third of a second of one core."""
MAX_MEMORY_KIB: Final = 1024 * 1024
MAX_PASSES: Final = 64
MAX_LANES: Final = 64
MIN_CHARS: Final = 12
SALT_BYTES: Final = 16
_COST: Final = struct.Struct(">III")


class PassphraseProtection(Protection):
    """Asks for the passphrase each time; keeps none."""

    def __init__(self, ask: Callable[[], Secret[str]], cost: PassphraseCost = COST) -> None:
        self._ask = ask
        self._cost = cost

    @override
    def wrap(self, local: Secret[bytes], *, bound_to: bytes) -> bytes:
        passphrase = self._ask()
        if len(passphrase.reveal()) < MIN_CHARS:
            raise _refused(f"it is shorter than {MIN_CHARS} characters")
        cost = self._cost
        head = _COST.pack(cost.memory_kib, cost.passes, cost.lanes)
        head += secrets.token_bytes(SALT_BYTES)
        key = passphrase_key(passphrase, salt=head[_COST.size :], cost=cost)
        return head + FieldKey(key).seal(local.reveal(), bound_to=head + bound_to)

    @override
    def unwrap(self, wrapped: bytes, *, bound_to: bytes) -> Secret[bytes]:
        end = _COST.size + SALT_BYTES
        head, sealed = wrapped[:end], wrapped[end:]
        if len(head) != end:
            raise _refused("it is cut")
        cost = PassphraseCost(**dict(zip(_FIELDS, _COST.unpack_from(head), strict=True)))
        if not self._is_sound(cost):
            raise _refused("its cost was changed")
        key = passphrase_key(self._ask(), salt=head[_COST.size :], cost=cost)
        local = FieldKey(key).open(sealed, bound_to=head + bound_to)
        return checked(local, ProtectionKind.PASSPHRASE, "the passphrase is wrong")

    @override
    def forget(self, *, bound_to: bytes) -> None:
        """Everything is in the file."""

    def _is_sound(self, cost: PassphraseCost) -> bool:
        least = self._cost
        return (
            least.memory_kib <= cost.memory_kib <= MAX_MEMORY_KIB
            and least.passes <= cost.passes <= MAX_PASSES
            and 1 <= cost.lanes <= MAX_LANES
        )


_FIELDS: Final = ("memory_kib", "passes", "lanes")


def _refused(reason: str) -> Exception:
    return refused(ProtectionKind.PASSPHRASE, reason)
