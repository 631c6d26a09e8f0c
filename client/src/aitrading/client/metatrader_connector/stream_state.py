"""What the client remembers about its streams between two runs."""

from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import msgspec

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.core.domain.instruments import StreamKey
from aitrading.core.domain.market import TickArray
from aitrading.core.domain.stream_days import DayTotal, days_of
from aitrading.core.protocol.link.messages import StreamDeclaration

STATE_VERSION: Final = 1
Place = tuple[str, int, str]
"""Broker, login and symbol: what stays the same over epochs."""
STREAMS_MAX: Final = 1_000
"""Streams one client may hold, finished epochs with unsent ticks included."""
EPOCHS_SPARE: Final = 24
"""Later epochs of such streams beyond that: an old one ends as a later one begins. A link has room."""

DAYS_KEPT: Final = 8
"""Newest days of a stream whose ticks are counted."""
REPAIRS_KEPT: Final = 256
"""Newest repairs that are remembered, so that none is made twice."""


class DayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of one day."""

    day: int
    ticks: int
    digest: str


class RepairRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks that were fetched again for one gap: their stream and sequences."""

    gap: UUID
    stream: UUID
    first: int
    ticks: int


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stream in the state file."""

    broker: str
    login: int
    symbol: str
    epoch: int
    digits: int
    next_sequence: int
    second: int
    taken: int
    checksum: int
    last_ms: int
    active: bool
    days: tuple[DayRecord, ...] = ()
    is_rewound: bool = False
    counted_from: int = 0
    """First sequence that was counted into days; 0 in a file from before that."""


class EndedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where a symbol stopped whose stream ended without a later one."""

    broker: str
    login: int
    symbol: str
    second: int
    taken: int
    checksum: int
    last_ms: int
    is_rewound: bool = False

    @property
    def place(self) -> "Place":
        """Whose it is."""
        return self.broker, self.login, self.symbol

    @property
    def cursor(self) -> TickCursor:
        """Where a later stream goes on."""
        return TickCursor(
            second=self.second,
            taken=self.taken,
            checksum=self.checksum,
            last_ms=self.last_ms,
            is_rewound=self.is_rewound,
        )


def ended_record(place: "Place", cursor: TickCursor) -> EndedRecord:
    """The form of the state file."""
    broker, login, symbol = place
    return EndedRecord(
        broker=broker,
        login=login,
        symbol=symbol,
        second=cursor.second,
        taken=cursor.taken,
        checksum=cursor.checksum,
        last_ms=cursor.last_ms,
        is_rewound=cursor.is_rewound,
    )


class StateFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file: true for everything in the spool up to `position`."""

    version: int = STATE_VERSION
    position: int = 0
    broker_offset_s: int | None = None
    broker_offset_before_s: int | None = None
    broker_offset_since_ms: int = 0
    streams: tuple[StreamRecord, ...] = ()
    repairs: tuple[RepairRecord, ...] = ()
    ended: tuple[EndedRecord, ...] = ()

    @property
    def offset(self) -> BrokerOffset | None:
        """The broker's clock as it was known."""
        if self.broker_offset_s is None:
            return None
        return BrokerOffset(
            offset_s=self.broker_offset_s,
            before_s=self.broker_offset_before_s,
            since_ms=self.broker_offset_since_ms,
        )


@dataclass
class TickStream:
    """One stream in memory; `active` means that the terminal still feeds this epoch."""

    key: StreamKey
    digits: int
    cursor: TickCursor
    next_sequence: int = 1
    active: bool = True
    days: dict[int, DayTotal] = field(default_factory=dict)
    counted_from: int = 1

    def __post_init__(self) -> None:
        self.id: UUID = self.key.stream_id()

    @property
    def place(self) -> Place:
        """What stays the same over its epochs."""
        return self.key.broker, self.key.login, self.key.symbol

    def take(self, rows: TickArray, broker_offset_s: int, *, is_history: bool = False) -> None:
        """Count these rows as taken: sequences move on, and the cursor unless they are history."""
        if not is_history:
            self.cursor = self.cursor.advance(rows)
        for day, total in days_of(self.next_sequence, rows, broker_offset_s).items():
            self.days[day] = self.days.get(day, DayTotal()).plus(total)
        for day in sorted(self.days)[:-DAYS_KEPT]:
            del self.days[day]
        self.next_sequence += len(rows)

    def declaration(self, handle: int) -> StreamDeclaration:
        """How the stream introduces itself on a link."""
        return StreamDeclaration(
            handle=handle,
            broker=self.key.broker,
            login=self.key.login,
            symbol=self.key.symbol,
            epoch=self.key.epoch,
            digits=self.digits,
            last_sequence=self.next_sequence - 1,
        )

    def record(self) -> StreamRecord:
        """The form of the state file."""
        return StreamRecord(
            broker=self.key.broker,
            login=self.key.login,
            symbol=self.key.symbol,
            epoch=self.key.epoch,
            digits=self.digits,
            next_sequence=self.next_sequence,
            second=self.cursor.second,
            taken=self.cursor.taken,
            checksum=self.cursor.checksum,
            last_ms=self.cursor.last_ms,
            is_rewound=self.cursor.is_rewound,
            active=self.active,
            days=tuple(
                DayRecord(day=day, ticks=total.ticks, digest=total.digest)
                for day, total in sorted(self.days.items())
            ),
            counted_from=self.counted_from,
        )


def stream_of(record: StreamRecord, tenant: UUID, device: UUID) -> TickStream:
    """Read one stream of the state file."""
    key = StreamKey(
        tenant=tenant,
        device=device,
        broker=record.broker,
        login=record.login,
        symbol=record.symbol,
        epoch=record.epoch,
    )
    cursor = TickCursor(
        second=record.second,
        taken=record.taken,
        checksum=record.checksum,
        last_ms=record.last_ms,
        is_rewound=record.is_rewound,
    )
    return TickStream(
        key=key,
        digits=record.digits,
        cursor=cursor,
        next_sequence=record.next_sequence,
        active=record.active,
        days={one.day: DayTotal.of(one.ticks, one.digest) for one in record.days},
        counted_from=record.counted_from or record.next_sequence,
    )


def next_epoch(stream: TickStream, now_s: int, digits: int) -> TickStream:
    """The same symbol under a later epoch; the place in the terminal's history stays."""
    key = replace(stream.key, epoch=max(now_s, stream.key.epoch + 1))
    return TickStream(key=key, digits=digits, cursor=stream.cursor)
