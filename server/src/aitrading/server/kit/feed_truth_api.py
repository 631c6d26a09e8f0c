"""What the data bridge and the database service say to each other about gaps and counted days.

* `POST /internal/v1/feed-truth` with `FeedTruth`: what a device counted, what is missing of its
  streams, what was repaired. Saying it again changes nothing.
* `GET /internal/v1/repairs?tenant=…&device=…` gives `RepairOrders`: what that device may repair.
"""

import hashlib
from typing import Annotated, Final
from uuid import UUID

import msgspec

from aitrading.core.protocol.link.messages import DAY_MAX, DAY_TICKS_MAX

TRUTH_PATH: Final = "/internal/v1/feed-truth"
REPAIRS_PATH: Final = "/internal/v1/repairs"
ITEMS_MAX: Final = 1_024
REASON_CHARS_MAX: Final = 200
SEQUENCE_MAX: Final = (1 << 63) - 2
"""Of the largest number there is no next one, which a range in the database needs."""
CALENDAR_MS: Final = 253_402_300_800_000
"""The year 10000, where times that people read end."""
DATABASE: Final = "database"
BRIDGE: Final = "bridge"
DEVICE: Final = "device"
HOLE: Final = "sequences are missing"


class DayTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the device counted of one stream and day; see `core.domain.stream_days`."""

    stream: UUID
    day: Annotated[int, msgspec.Meta(ge=0, le=DAY_MAX)]
    ticks: Annotated[int, msgspec.Meta(ge=0, le=DAY_TICKS_MAX)]
    digest: str
    last_sequence: int
    counted_from: int
    is_over: bool


class GapTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Missing sequences, or a stretch of UTC time; `until_ms` is open while it goes on."""

    stream: UUID
    reason: str
    recorded_by: str
    noticed_ns: int
    first: int | None = None
    last: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    repair_first: int | None = None
    repair_last: int | None = None
    """Sequences of the same stream that brought what was missed."""

    @property
    def id(self) -> UUID:
        """The same gap has the same id, whoever tells of it."""
        return gap_id(self.stream, self.first, self.last, self.from_ms)


class RepairTold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The device's answer to a repair order."""

    gap: UUID
    stream: UUID
    first: int
    last: int
    problem: str = ""


class FeedTruth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """News of one device; tenant and device come from its certificate."""

    tenant: UUID
    device: UUID
    days: Annotated[tuple[DayTold, ...], msgspec.Meta(max_length=ITEMS_MAX)] = ()
    gaps: Annotated[tuple[GapTold, ...], msgspec.Meta(max_length=ITEMS_MAX)] = ()
    repairs: Annotated[tuple[RepairTold, ...], msgspec.Meta(max_length=ITEMS_MAX)] = ()


class TruthTaken(msgspec.Struct, frozen=True, kw_only=True):
    """It is durable."""

    gaps: int
    """Gaps of the organisation that are open now."""


class RepairOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks that the device's terminal may still have; see `link.messages.Repair`."""

    gap: UUID
    stream: UUID
    symbol: str
    broker: str
    from_ms: int
    until_ms: int
    has_first: int
    has_last: int
    expected: int


class RepairOrders(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest gaps first."""

    orders: tuple[RepairOrder, ...]


def gap_id(stream: UUID, first: int | None, last: int | None, from_ms: int | None) -> UUID:
    """A version 8 UUID of what is missing: two who tell of one gap mean the same row."""
    text = f"aitrading gap v1|{stream}|{first or 0}|{last or 0}|{0 if first else from_ms or 0}"
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    value &= ~(0xF << 76 | 0x3 << 62)
    return UUID(int=value | 0x8 << 76 | 0x2 << 62)
