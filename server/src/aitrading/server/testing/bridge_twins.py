"""Stand-ins for the services behind the bridge, for tests and benchmarks.

They keep the promises of the ports: what was stored stays stored over any restart, a segment is
stored once however often it comes, and a mark never runs ahead of the data.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
from typing_extensions import override

from aitrading.core.domain.instruments import StreamKey
from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE
from aitrading.core.domain.stream_days import NO_TICK, TickMark, mark_of
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.ingest import IngestRecord, decode_record
from aitrading.core.protocol.segment import read_segment
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.subscription import SubscriptionState
from aitrading.server.data_bridge.ports import DeviceRegister, DeviceStatus, TickStore
from aitrading.server.kit.calendar_settings import CalendarWords
from aitrading.server.kit.feed_truth_api import (
    FeedTruth,
    RepairOrder,
    RepairOrders,
    TruthTaken,
)
from aitrading.server.kit.ingest_api import (
    LastQuotes,
    SegmentStored,
    StreamMark,
    StreamOpening,
)
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer


class FolderTickStore(TickStore):
    """Keeps whole segments as files; `failure`, when set, is raised by every call."""

    def __init__(self, folder: Path) -> None:
        self.failure: Exception | None = None
        self.quotes = LastQuotes(source="store", quotes=())
        self.truths: list[FeedTruth] = []
        self.orders: list[RepairOrder] = []
        self.words: dict[TenantId, CalendarWords] = {}
        self.subscriptions: dict[tuple[TenantId, UUID], SubscriptionState] = {}
        """How a person's stands; without a word there never was one."""
        self.calls = 0
        self.offered = 0
        """Segments that came, stored or not."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @override
    async def open_streams(
        self, device: DeviceIdentity, streams: tuple[StreamOpening, ...]
    ) -> tuple[StreamMark, ...]:
        self._call()
        marks = self._marks()
        found = [
            (stream, marks.get(stream, NO_TICK))
            for stream in (_stream_id(device, opening) for opening in streams)
        ]
        return tuple(
            StreamMark(
                stream=stream,
                last_sequence=mark.sequence,
                missing=0,
                last_ms=mark.utc_ms,
                last_digest=mark.digest,
            )
            for stream, mark in found
        )

    @override
    async def store(self, segment: str, data: bytes) -> SegmentStored:
        self.offered += 1
        self._call()
        path = self._folder / segment
        repeated = path.exists()
        rows = sum(record.header.count for record in _records(data))
        if not repeated:
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            fresh.replace(path)
        inserted = 0 if repeated else rows
        return SegmentStored(segment=segment, repeated=repeated, rows=rows, inserted=inserted)

    @override
    async def last_quotes(self, tenant: TenantId) -> LastQuotes:
        self._call()
        return self.quotes

    @override
    async def calendar(self, tenant: TenantId) -> CalendarWords:
        self._call()
        return self.words.get(tenant, CalendarWords())

    @override
    async def tell_truth(self, truth: FeedTruth) -> TruthTaken:
        self._call()
        self.truths.append(truth)
        return TruthTaken(gaps=0)

    @override
    async def repairs(self, device: DeviceIdentity) -> RepairOrders:
        self._call()
        return RepairOrders(orders=tuple(self.orders))

    @override
    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        self._call()
        state = self.subscriptions.get((tenant, user), SubscriptionState.NONE)
        return SubscriptionAnswer(
            user=user,
            state=state,
            active=state is SubscriptionState.ACTIVE,
            tier=None,
            expires_at=None,
            features=(),
            version=1,
        )

    def rows(self) -> dict[UUID, dict[int, bytes]]:
        """What is stored: row bytes by stream and sequence.

        Raises `ValueError` when one sequence stands for two different rows.
        """
        found: dict[UUID, dict[int, bytes]] = {}
        for record in self._all_records():
            stream = found.setdefault(record.header.stream, {})
            for index in range(record.header.count):
                row = bytes(record.rows[index * ROW_BYTES : (index + 1) * ROW_BYTES])
                sequence = record.header.first_sequence + index
                if stream.setdefault(sequence, row) != row:
                    raise ValueError(f"sequence {sequence} has two different rows")
        return found

    def copies(self) -> int:
        """How many rows were sent more than once, in segments of their own."""
        total = sum(record.header.count for record in self._all_records())
        return total - sum(len(rows) for rows in self.rows().values())

    def _marks(self) -> dict[UUID, TickMark]:
        newest: dict[UUID, IngestRecord] = {}
        for record in self._all_records():
            header = record.header
            known = newest.setdefault(header.stream, record)
            if header.last_sequence > known.header.last_sequence:
                newest[header.stream] = record
        return {stream: _last_mark(record) for stream, record in newest.items()}

    def _all_records(self) -> Iterator[IngestRecord]:
        for path in sorted(self._folder.iterdir()):
            if path.suffix != ".new":
                yield from _records(path.read_bytes())

    def _call(self) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure


class MemoryDeviceRegister(DeviceRegister):
    """Devices by id; `failure`, when set, is raised by every question."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.shared: list[DeviceIdentity] = []
        self._devices: dict[DeviceId, DeviceStatus] = {}

    def add(
        self,
        identity: DeviceIdentity,
        state: str = "active",
        subscription: str = "none",
        rates: RateClaims = NO_RATES,
    ) -> None:
        """Know a device, or change its state."""
        self._devices[identity.device] = DeviceStatus(
            device=identity.device,
            tenant=identity.tenant,
            state=state,
            subscription=subscription,
            rates=rates,
        )

    @override
    async def find(self, identity: DeviceIdentity) -> DeviceStatus | None:
        if self.failure is not None:
            raise self.failure
        status = self._devices.get(identity.device)
        return status if status and status.tenant == identity.tenant else None

    @override
    async def tell_shared(self, identity: DeviceIdentity, *, address: str) -> None:
        self.shared.append(identity)


def _records(data: bytes) -> list[IngestRecord]:
    return [decode_record(record.payload) for record in read_segment(data).records]


def _last_mark(record: IngestRecord) -> TickMark:
    header, rows = record.header, np.frombuffer(record.rows, TICK_DTYPE)
    return mark_of(header.last_sequence, rows[-1:], header.broker_offset_s)


def _stream_id(device: DeviceIdentity, opening: StreamOpening) -> UUID:
    return StreamKey(
        tenant=device.tenant,
        device=device.device,
        broker=opening.broker,
        login=opening.login,
        symbol=opening.symbol,
        epoch=opening.epoch,
    ).stream_id()
