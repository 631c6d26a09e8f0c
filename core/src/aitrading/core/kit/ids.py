"""Identifiers: time-ordered ids for records, W3C ids for traces."""

from typing import NewType, Protocol
from uuid import UUID

from typing_extensions import override

from aitrading.core.kit.clock import Clock, now_ms
from aitrading.core.kit.randomness import Randomness

TenantId = NewType("TenantId", UUID)
UserId = NewType("UserId", UUID)
DeviceId = NewType("DeviceId", UUID)
AccountId = NewType("AccountId", UUID)

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8


class IdFactory(Protocol):
    """Makes ids; a test injects one that counts."""

    def new(self) -> UUID:
        """A UUIDv7: unique, and ordered by the time of its making."""
        ...

    def trace_id(self) -> str:
        """32 hexadecimal digits, never all zero (W3C trace context)."""
        ...

    def span_id(self) -> str:
        """16 hexadecimal digits, never all zero (W3C trace context)."""
        ...


class SystemIdFactory(IdFactory):
    """Ids from an injected clock and injected randomness."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._randomness = randomness

    @override
    def new(self) -> UUID:
        return uuid7(now_ms(self._clock), self._randomness.token(10))

    @override
    def trace_id(self) -> str:
        return _non_zero_hex(self._randomness, TRACE_ID_BYTES)

    @override
    def span_id(self) -> str:
        return _non_zero_hex(self._randomness, SPAN_ID_BYTES)


def uuid7(unix_ms: int, entropy: bytes) -> UUID:
    """Lay out RFC 9562 version 7 from 48 bits of time and 74 of the 80 bits given."""
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10], "big")
    value &= ~(0xF << 76 | 0x3 << 62)
    return UUID(int=value | 0x7 << 76 | 0x2 << 62)


def _non_zero_hex(randomness: Randomness, size_bytes: int) -> str:
    while not any(raw := randomness.token(size_bytes)):
        pass
    return raw.hex()
