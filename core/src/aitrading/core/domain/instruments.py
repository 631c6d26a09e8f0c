"""What is traded and where its ticks belong."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.domain.error_codes import INSTRUMENT_MALFORMED
from aitrading.core.domain.price import DIGITS_MAX

SYMBOL_BYTES_MAX: Final = 64
"""A symbol's UTF-8 bytes; MetaTrader 5 allows 31 characters."""
BROKER_BYTES_MAX: Final = 128
"""A broker server's UTF-8 bytes."""
LOGIN_MAX: Final = (1 << 63) - 1
EPOCH_MAX: Final = (1 << 32) - 1
_STREAM_ID_LABEL: Final = b"aitrading stream id v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """A broker's symbol and the digits its prices have."""

    broker: str
    symbol: str
    digits: int

    def __post_init__(self) -> None:
        require_name("broker", self.broker, BROKER_BYTES_MAX)
        require_name("symbol", self.symbol, SYMBOL_BYTES_MAX)
        require_range("digits", self.digits, 0, DIGITS_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamKey:
    """What makes a stream one stream: device, account, instrument and epoch.

    `epoch` fixes everything that gives a row its meaning (digits above all). It grows: a client
    that lost its state, or sees other digits, opens a later epoch (the Unix second of opening is
    a good number) and starts at sequence 1 again.
    """

    tenant: UUID
    device: UUID
    broker: str
    login: int
    symbol: str
    epoch: int

    def __post_init__(self) -> None:
        require_name("broker", self.broker, BROKER_BYTES_MAX)
        require_name("symbol", self.symbol, SYMBOL_BYTES_MAX)
        require_range("login", self.login, 0, LOGIN_MAX)
        require_range("epoch", self.epoch, 1, EPOCH_MAX)

    def stream_id(self) -> UUID:
        """The stream's id: both sides derive it, so nobody can claim another device's stream.

        A version 8 UUID (RFC 9562) from SHA-256 over the fields; texts carry their length.
        """
        digest = hashlib.sha256(_STREAM_ID_LABEL + self.tenant.bytes + self.device.bytes)
        for text in (self.broker, self.symbol):
            raw = text.encode()
            digest.update(len(raw).to_bytes(2, "big") + raw)
        digest.update(self.login.to_bytes(8, "big") + self.epoch.to_bytes(4, "big"))
        value = int.from_bytes(digest.digest()[:16], "big")
        value &= ~(0xF << 76 | 0x3 << 62)
        return UUID(int=value | 0x8 << 76 | 0x2 << 62)


def require_name(field: str, text: str, bytes_max: int) -> None:
    """Accept a printable name of 1 to `bytes_max` UTF-8 bytes; raise otherwise."""
    printable = text.isprintable() and text == text.strip() and _is_normal(text)
    if not (text and printable and len(text.encode()) <= bytes_max):
        expected = f"1 … {bytes_max} bytes of printable text in normal form C"
        raise INSTRUMENT_MALFORMED.error(field=field, expected=expected, actual=ascii(text[:40]))


def require_range(field: str, value: int, low: int, high: int) -> None:
    """Accept a number in [low, high]; raise otherwise."""
    if not low <= value <= high:
        raise INSTRUMENT_MALFORMED.error(field=field, expected=f"{low} … {high}", actual=value)


def _is_normal(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)
