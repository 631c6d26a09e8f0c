"""Every stream the bridge has heard of since its start, and how far each one is."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import numpy as np

from aitrading.core.domain.instruments import StreamKey
from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE
from aitrading.core.domain.stream_days import NO_TICK, TickMark, mark_of
from aitrading.core.domain.tick_doubts import TickJudge
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.error_codes import (
    LINK_LIMIT_EXCEEDED,
    LINK_STREAM_CONFLICT,
    SEGMENT_CORRUPT,
)
from aitrading.core.protocol.ingest import IngestRecord, decode_record
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.protocol.link.session import Refusal, StreamPosition
from aitrading.core.protocol.segment import KIND_TICKS, record_bytes
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.data_bridge.ports import TickStore
from aitrading.server.data_bridge.shares import Shares, SpoolShares
from aitrading.server.kit.ingest_api import StreamOpening

_log: Final = get_logger(__name__)
RECOVERY_READ_BYTES: Final = 4 * 1024 * 1024
STREAMS_PER_DEVICE_MAX: Final = 4_096
"""Streams, old epochs included, that one device may open between two starts of the bridge."""


class StreamLink(Protocol):
    """The link that feeds a stream."""

    def acknowledge(self, stream: "BridgeStream") -> None:
        """Everything of the stream up to its durable position is safe; told with `flush`."""
        ...

    def flush(self) -> None:
        """Send what is queued."""
        ...

    def close(self, spec: ErrorSpec, *, retry_after_ms: int = 0) -> None:
        """End in order."""
        ...


class FeedKey(NamedTuple):
    """One symbol of one account on one device, whatever the epoch."""

    symbol: str
    device: DeviceId
    broker: str
    login: int


class LastTick(NamedTuple):
    """The row of a stream's highest sequence; its digest is made when somebody asks."""

    sequence: int
    row: bytes
    broker_offset_s: int

    def mark(self) -> TickMark:
        """How a client knows the tick again."""
        return mark_of(self.sequence, np.frombuffer(self.row, TICK_DTYPE), self.broker_offset_s)


@dataclass(eq=False)
class BridgeStream:
    """One stream: what it is, how far it is, and the link that feeds it now."""

    id: UUID
    device: DeviceIdentity
    declaration: StreamDeclaration
    durable: int = 0
    """Everything up to here is on disk here or in the database."""
    received: int = 0
    """Everything up to here was taken; what is above `durable` waits for its sync."""
    last: "LastTick | TickMark" = NO_TICK
    """The newest tick that is durable, as far as it is known."""
    link: StreamLink | None = None
    """The link that feeds it now; set by `fed_by`."""
    handle: int = 0
    spooled: int = 0
    """Position in the bridge's spool of its newest batch there; 0 before the first."""
    judge: TickJudge = field(default_factory=TickJudge)
    """What is believed of its ticks, since the bridge's start."""
    why_silent: str = ""
    """What the client says, on this link, of ticks that do not come; set by `silent_for`."""
    on_change: "Callable[[BridgeStream], None]" = field(default=lambda _: None, repr=False)
    """Told when its link or its client's words are others."""

    def fed_by(self, link: StreamLink, handle: int) -> None:
        """A link feeds it from now on, under this handle."""
        self.link, self.handle, self.why_silent = link, handle, ""
        self.on_change(self)

    def cut_from(self, link: StreamLink) -> None:
        """The link feeds it no more; nothing happens when another one does."""
        if self.link is link:
            self.link = None
            self.on_change(self)

    def silent_for(self, why: str) -> None:
        """The client says why no ticks come; empty when they come."""
        self.why_silent = why
        self.on_change(self)

    @property
    def symbol(self) -> str:
        """The broker's spelling."""
        return self.declaration.symbol

    @property
    def feed_key(self) -> "FeedKey":
        """What stays the same over the stream's epochs."""
        return feed_key_of(self.device, self.declaration)

    @property
    def position(self) -> StreamPosition:
        """What a client must know to go on."""
        known = self.last if self.last.sequence == self.durable else NO_TICK
        mark = known.mark() if isinstance(known, LastTick) else known
        return StreamPosition(self.durable, self.received, mark)


class StreamDirectory:
    """Streams by id.

    A stream that is opened for the first time since the start is registered at the database
    service; its position is the higher one of the stored mark and what the spool still holds.
    An organisation has so many feeds; one more is refused until one is forgotten.
    """

    def __init__(self, store: TickStore, shares: Shares) -> None:
        self._store = store
        self._shares = shares
        self._streams: dict[UUID, BridgeStream] = {}
        self._feeds: dict[FeedKey, list[BridgeStream]] = {}
        """All epochs of each feed."""
        self._held: Counter[TenantId] = Counter()
        """Feeds."""
        self._opening: Counter[TenantId] = Counter()
        """Feeds that are being registered."""
        self._first_kept: Callable[[], int] = lambda: 1
        self._recovered_up_to = 0
        self._recovered: dict[UUID, LastTick] = {}
        self._per_device: Counter[UUID] = Counter()
        self.on_change: Callable[[BridgeStream], None] = lambda _: None
        """Told of a stream that is new, and of everything but ticks that happens to one."""

    async def recover(self, spool: Spool, shares: SpoolShares) -> None:
        """Learn from the spool what was acknowledged before the restart.

        A damaged segment is set aside and told of; what follows it is not held up.
        """
        if spool.recovery.torn_bytes:
            _log.warning(
                "the spool ended in the middle of a write; the rest was cut off",
                torn_bytes=spool.recovery.torn_bytes,
            )
        self._first_kept = lambda: spool.first_position
        position = spool.first_position
        while True:
            try:
                records = await spool.read(position, RECOVERY_READ_BYTES)
            except AitradingError as exc:
                position = await _behind_damage(spool, position, exc)
                continue
            if not records:
                return
            for record in records:
                if record.kind == KIND_TICKS:
                    ingested = decode_record(record.payload)
                    size = {TenantId(ingested.header.tenant): record_bytes(len(record.payload))}
                    shares.found(size, record.position)
                    self.learn([ingested])
            self._recovered_up_to = records[-1].position
            position = self._recovered_up_to + 1

    def learn(self, records: Iterable[IngestRecord]) -> None:
        """Count these batches as durable."""
        for record in records:
            header = record.header
            known = self._recovered.get(header.stream)
            if known is None or known.sequence < header.last_sequence:
                self._recovered[header.stream] = LastTick(
                    header.last_sequence,
                    bytes(record.rows[-ROW_BYTES:]),
                    header.broker_offset_s,
                )

    def __iter__(self) -> Iterator[BridgeStream]:
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    async def open(
        self, device: DeviceIdentity, declarations: Iterable[StreamDeclaration]
    ) -> dict[int, BridgeStream | Refusal]:
        """Find or register the declared streams, by handle.

        A refusal concerns one stream; when the database service cannot answer, its error is
        raised and nothing is opened.
        """
        by_handle = {
            declaration.handle: (_key(device, declaration), declaration)
            for declaration in declarations
        }
        unknown = {key: said for key, said in by_handle.values() if key not in self._streams}
        if self._per_device[device.device] + len(unknown) > STREAMS_PER_DEVICE_MAX:
            refusals = dict.fromkeys(unknown, Refusal(LINK_LIMIT_EXCEEDED.code))
        else:
            refusals = await self._register_within(device, unknown) if unknown else {}
        return {
            handle: refusals.get(key) or self._known(key, said)
            for handle, (key, said) in by_handle.items()
        }

    def _known(self, key: UUID, said: StreamDeclaration) -> BridgeStream | Refusal:
        stream = self._streams[key]
        if stream.declaration.digits != said.digits:
            return Refusal(LINK_STREAM_CONFLICT.code)
        stream.on_change(stream)  # it is wanted: not to be forgotten before its link feeds it
        return stream

    def feeds_of(self, tenant: TenantId) -> int:
        """How many feeds of the organisation are kept here."""
        return self._held[tenant]

    def forget(self, feed: FeedKey) -> TenantId | None:
        """Let a feed go with all its epochs, and tell whose it was.

        None while it is in use, or something of it is here and not in the database yet.
        """
        streams = self._feeds.get(feed, [])
        if not streams or not all(self._may_go(stream) for stream in streams):
            return None
        for stream in streams:
            del self._streams[stream.id]
            self._per_device[stream.device.device] -= 1
        del self._feeds[feed]
        tenant = streams[0].device.tenant
        self._held[tenant] -= 1
        return tenant

    def _may_go(self, stream: BridgeStream) -> bool:
        """The database has all of it: whoever opens it again goes on where it stopped."""
        is_stored = stream.received <= stream.durable and stream.spooled < self._first_kept()
        return stream.link is None and is_stored

    async def _register_within(
        self, device: DeviceIdentity, unknown: dict[UUID, StreamDeclaration]
    ) -> dict[UUID, Refusal]:
        """As many as its organisation has room for; another epoch of a feed needs none."""
        tenant, fresh = device.tenant, set[FeedKey]()
        wanted: dict[UUID, StreamDeclaration] = {}
        refusals: dict[UUID, Refusal] = {}
        for key, said in unknown.items():
            feed = feed_key_of(device, said)
            if feed not in self._feeds and feed not in fresh:
                others = self._held[tenant] + self._opening[tenant] + len(fresh)
                try:
                    self._shares.require_feed(tenant, others)
                except AitradingError as exc:
                    refusals[key] = Refusal(exc.code)
                    continue
                fresh.add(feed)
            wanted[key] = said
        self._opening[tenant] += len(fresh)
        try:
            return refusals | (await self._register(device, wanted) if wanted else {})
        finally:
            self._opening[tenant] -= len(fresh)

    async def _register(
        self, device: DeviceIdentity, unknown: dict[UUID, StreamDeclaration]
    ) -> dict[UUID, Refusal]:
        """All at once; when one is refused, one by one to find out which."""
        try:
            await self._register_all(device, unknown)
        except AitradingError as exc:
            if exc.spec.category is not Category.DENIED:
                raise
            if len(unknown) == 1:
                return dict.fromkeys(unknown, Refusal(exc.code))
        else:
            return {}
        refusals: dict[UUID, Refusal] = {}
        for key, said in unknown.items():
            refusals |= await self._register(device, {key: said})
        return refusals

    async def _register_all(
        self, device: DeviceIdentity, unknown: dict[UUID, StreamDeclaration]
    ) -> None:
        openings = tuple(_opening(said) for said in unknown.values())
        marks = await self._store.open_streams(device, openings)
        stored = {
            mark.stream: TickMark(mark.last_sequence, mark.last_ms, mark.last_digest)
            for mark in marks
        }
        for key, said in unknown.items():
            known = stored.get(key, NO_TICK), self._recovered.pop(key, NO_TICK)
            last = max(known, key=lambda one: one.sequence)
            fresh = BridgeStream(
                key, device, said, durable=last.sequence, received=last.sequence, last=last
            )
            if isinstance(known[1], LastTick):
                fresh.spooled = self._recovered_up_to
            if key not in self._streams:
                self._add(fresh)

    def _add(self, stream: BridgeStream) -> None:
        self._per_device[stream.device.device] += 1
        self._streams[stream.id] = stream
        if stream.feed_key not in self._feeds:
            self._held[stream.device.tenant] += 1
        self._feeds.setdefault(stream.feed_key, []).append(stream)
        stream.on_change = self.on_change
        stream.on_change(stream)


def feed_key_of(device: DeviceIdentity, said: StreamDeclaration) -> FeedKey:
    """The feed that a declared stream is an epoch of."""
    return FeedKey(said.symbol, device.device, said.broker, said.login)


def _key(device: DeviceIdentity, said: StreamDeclaration) -> UUID:
    return StreamKey(
        tenant=device.tenant,
        device=device.device,
        broker=said.broker,
        login=said.login,
        symbol=said.symbol,
        epoch=said.epoch,
    ).stream_id()


def _opening(said: StreamDeclaration) -> StreamOpening:
    return StreamOpening(
        broker=said.broker,
        login=said.login,
        symbol=said.symbol,
        epoch=said.epoch,
        digits=said.digits,
    )


async def _behind_damage(spool: Spool, position: int, damage: AitradingError) -> int:
    """Set the segment of a position aside and give the position behind it; raises what is no damage."""
    found = [
        each for each in spool.sealed() if each.first_position <= position <= each.last_position
    ]
    if damage.spec is not SEGMENT_CORRUPT or not found:
        raise damage
    (segment,) = found
    path = await spool.quarantine(segment)
    _log.critical(
        "a segment of acknowledged ticks is damaged and was set aside",
        segment=segment.token,
        path=str(path),
        records=segment.records,
        reason=damage.message,
    )
    return segment.last_position + 1
