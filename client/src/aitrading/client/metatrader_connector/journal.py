"""Ticks on disk between terminal and server.

The journal gives every tick its sequence number and keeps it until the server has it. Two things
are on disk: a spool of batches, and a state file that sums up everything before a position of the
spool. What a crash leaves is the state plus the batches after its position, so starting and
recovering are one path.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.error_codes import (
    JOURNAL_STATE_UNREADABLE,
    STREAMS_FULL,
)
from aitrading.client.metatrader_connector.gap_ledger import GapLedger
from aitrading.client.metatrader_connector.journal_records import (
    BATCH_TICKS_MAX,
    JournalEntry,
    Taken,
    decode_batch,
    encode_batches,
)
from aitrading.client.metatrader_connector.stream_state import (
    EPOCHS_SPARE,
    REPAIRS_KEPT,
    STATE_VERSION,
    STREAMS_MAX,
    Place,
    RepairRecord,
    StateFile,
    TickStream,
    ended_record,
    next_epoch,
    stream_of,
)
from aitrading.core.domain.instruments import StreamKey
from aitrading.core.domain.market import ROW_BYTES, TickArray
from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT
from aitrading.core.protocol.tracecontext import is_followed
from aitrading.core.security.file_sealing import FileKeys, is_sealed

GROUP_TICKS_MAX: Final = 100_000
GROUPS_PER_SPOOL: Final = 16
RECORD_KIND_TICKS: Final = 1
RECORD_KIND_HISTORY: Final = 2
"""Ticks fetched again for a gap: the cursor is elsewhere, and the trace id is the gap."""
STATE_NAME: Final = "streams.json"
"""Sealed; JSON only inside, and in what was written before segments were sealed."""

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class JournalIdentity:
    """Whose ticks these are."""

    tenant: TenantId
    device: DeviceId


class TickJournal:
    """Sequences, spool and stream states of one device. Not thread-safe: one event loop."""

    def __init__(
        self,
        folder: Path,
        spool: Spool,
        *,
        identity: JournalIdentity,
        clock: Clock,
        ids: IdFactory,
        keys: FileKeys,
        batch_ticks: int = BATCH_TICKS_MAX,
    ) -> None:
        self.spool = spool
        self.offset: BrokerOffset | None = None
        self.gaps = GapLedger(folder)
        self.observers: list[Callable[[str, TickArray], None]] = []
        """Called with the symbol and the rows that were just stored; what they raise is logged."""
        self._folder = folder
        self._identity = identity
        self._clock = clock
        self._ids = ids
        self._keys = keys
        self._batch_ticks = batch_ticks
        self._streams: dict[UUID, TickStream] = {}
        self._repairs: dict[UUID, RepairRecord] = {}
        self._ended: dict[Place, TickCursor] = {}
        self._position = 0
        self._numbering = asyncio.Lock()
        """Held from a tick's number to its place on the disk: the next one's depends on both."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        identity: JournalIdentity,
        limits: SpoolLimits,
        clock: Clock,
        ids: IdFactory,
        keys: FileKeys,
        batch_ticks: int = BATCH_TICKS_MAX,
    ) -> "TickJournal":
        """Open or recover; raises `JOURNAL_STATE_UNREADABLE` or what spool and keys raise."""
        spool = await Spool.open(folder / "spool", limits=limits, clock=clock, ids=ids, keys=keys)
        journal = cls(
            folder,
            spool,
            identity=identity,
            clock=clock,
            ids=ids,
            keys=keys,
            batch_ticks=batch_ticks,
        )
        try:
            await journal._recover()
        except BaseException:
            await spool.close()
            raise
        return journal

    @property
    def streams(self) -> tuple[TickStream, ...]:
        """Every stream with something to send or to come."""
        return tuple(self._streams.values())

    def find(self, stream_id: UUID) -> TickStream | None:
        """A stream by its id."""
        return self._streams.get(stream_id)

    def active(self, broker: str, login: int, symbol: str) -> TickStream | None:
        """The stream that the terminal feeds now."""
        for stream in self._streams.values():
            if stream.active and stream.place == (broker, login, symbol):
                return stream
        return None

    async def open_stream(
        self,
        *,
        broker: str,
        login: int,
        symbol: str,
        digits: int,
        second: int,
    ) -> TickStream:
        """Begin a stream of a symbol where an earlier one ended, else at a second of the broker's time."""
        self._require_room(STREAMS_MAX)
        key = StreamKey(
            tenant=self._identity.tenant,
            device=self._identity.device,
            broker=broker,
            login=login,
            symbol=symbol,
            epoch=max([self._now_s(), *(other.key.epoch + 1 for other in self._streams.values())]),
        )
        cursor = self._ended.get((broker, login, symbol), TickCursor(second=second))
        stream = TickStream(key=key, digits=digits, cursor=cursor)
        await self._add(stream)
        return stream

    async def reopen_stream(
        self, stream: TickStream, digits: int, cursor: TickCursor | None = None
    ) -> TickStream:
        """Go on with the same symbol under a later epoch, at the same place of its history.

        A `cursor` is another place: where another life of this client has been. What was opened
        meanwhile is that later epoch.
        """
        async with self._numbering:
            later, was_active = self.active(*stream.place), stream.active
            if later is not None and later is not stream:
                return later
            self._require_room(STREAMS_MAX + EPOCHS_SPARE)
            fresh = next_epoch(stream, self._now_s(), digits)
            fresh.cursor = cursor or fresh.cursor
            stream.active = False
            try:
                await self._add(fresh)
            except BaseException:
                stream.active = was_active
                raise
        return fresh

    async def end_stream(self, stream: TickStream, cursor: TickCursor | None = None) -> None:
        """Take nothing more of it; a later stream of the symbol goes on where it stopped.

        A `cursor` is another place, as for `reopen_stream`.
        """
        async with self._numbering:
            before = stream.cursor
            stream.active, stream.cursor = False, cursor or before
            self._ended[stream.place] = stream.cursor
            while len(self._ended) > STREAMS_MAX:
                self._ended.pop(next(iter(self._ended)))
            try:
                await self.save()
            except BaseException:
                stream.active, stream.cursor = True, before
                self._ended.pop(stream.place, None)
                raise

    async def _add(self, stream: TickStream) -> None:
        """A stream that is not on disk does not exist."""
        self._streams[stream.id] = stream
        ended = self._ended.pop(stream.place, None)
        try:
            await self.save()
        except BaseException:
            del self._streams[stream.id]
            if ended is not None:
                self._ended[stream.place] = ended
            raise

    async def forget_stream(self, stream: TickStream) -> None:
        """Drop a finished epoch whose ticks the server has."""
        if not stream.active and self._streams.pop(stream.id, None):
            await self.save()

    @property
    def group_ticks_max(self) -> int:
        """Ticks that one `append` should hold, so that a nearly full spool still takes some."""
        share = self.spool.statistics().limit_bytes // GROUPS_PER_SPOOL // ROW_BYTES
        return max(1, min(GROUP_TICKS_MAX, share))

    async def note_offset(self, offset: BrokerOffset | None) -> None:
        """Remember a change of the broker's clock before any tick is stored with it."""
        was_known, self.offset = self.offset is not None, offset
        if was_known:
            await self.save()

    async def append(self, taken: Iterable[Taken]) -> int:
        """Store rows durably; only then are they counted as taken. Returns the ticks stored.

        Raises `SPOOL_FULL` and the like with nothing counted: the terminal is asked again. So it
        is of a stream that ended meanwhile: the later one goes on where that one stopped.
        """
        async with self._numbering:
            taken = [part for part in taken if len(part.rows) and part.stream.active]
            if not taken:
                return 0
            records = [record for part in taken for record in self._records(part)]
            self._position = await self.spool.append(records, kind=RECORD_KIND_TICKS)
            for part in taken:
                part.stream.take(part.rows, part.broker_offset_s)
        self._tell(taken)
        return sum(len(part.rows) for part in taken)

    def _tell(self, taken: Iterable[Taken]) -> None:
        """Whoever looks at ticks on their way must not hold them up."""
        try:
            for part in taken:
                for observer in self.observers:
                    observer(part.stream.key.symbol, part.rows)
        except Exception:  # noqa: BLE001 - the ticks are stored, whoever looks at them
            _log.exception("ticks were not looked at")

    def repair_of(self, gap: UUID) -> RepairRecord | None:
        """What was stored for a gap before, in this run or an earlier one."""
        return self._repairs.get(gap)

    async def append_history(self, part: Taken, gap: UUID) -> None:
        """Store rows that were fetched again for a gap; like `append`, without moving the cursor."""
        span = bytes.fromhex(self._ids.span_id())
        async with self._numbering:
            records = list(
                encode_batches(part, self._identity.tenant, gap.bytes, span, self._batch_ticks)
            )
            first = part.stream.next_sequence
            self._position = await self.spool.append(records, kind=RECORD_KIND_HISTORY)
            self._note_repair(gap, part.stream, first, len(part.rows))
            part.stream.take(part.rows, part.broker_offset_s, is_history=True)

    def _note_repair(self, gap: UUID, stream: TickStream, first: int, ticks: int) -> None:
        known = self._repairs.pop(gap, None)
        if known is not None and known.stream == stream.id:
            first, ticks = known.first, first + ticks - known.first
        self._repairs[gap] = RepairRecord(gap=gap, stream=stream.id, first=first, ticks=ticks)
        while len(self._repairs) > REPAIRS_KEPT:
            self._repairs.pop(next(iter(self._repairs)))

    async def read(self, position: int, max_bytes: int) -> list[JournalEntry]:
        """Stored batches from a position on; what was deleted or is damaged is passed over."""
        start = self.spool.readable_from(position)
        try:
            records = await self.spool.read(start, max_bytes)
        except AitradingError as exc:
            if exc.spec is not SEGMENT_CORRUPT:
                raise
            await self._set_aside(start, exc)
            return await self.read(position, max_bytes)
        return [
            JournalEntry(
                record.position,
                decode_batch(record.payload, is_history=record.kind == RECORD_KIND_HISTORY),
            )
            for record in records
        ]

    async def release(self, position: int) -> None:
        """Forget what the server has: every batch up to the position."""
        covered = min(position, self._position)
        if covered < self._first_sealed_end():
            return
        await self.save()
        await self.spool.delete_through(covered)

    async def save(self) -> None:
        """Write the state file; the spool up to its position is no longer needed for it."""
        known = self.offset
        state = StateFile(
            position=self._position,
            broker_offset_s=known.offset_s if known else None,
            broker_offset_before_s=known.before_s if known else None,
            broker_offset_since_ms=known.since_ms if known else 0,
            streams=tuple(stream.record() for stream in self._streams.values()),
            repairs=tuple(self._repairs.values()),
            ended=tuple(ended_record(place, cursor) for place, cursor in self._ended.items()),
        )
        sealed = self._keys.seal(msgspec.json.encode(state), name=self._state_name)
        await asyncio.to_thread(write_atomically, self._state_path, sealed)

    async def close(self) -> None:
        """Make the state current and close the spool."""
        await self.save()
        await self.spool.close()

    async def _set_aside(self, position: int, exc: AitradingError) -> None:
        """Isolate a damaged segment; raises when it is the open one, which must be sealed first."""
        for segment in self.spool.sealed():
            if segment.first_position <= position <= segment.last_position:
                path = await self.spool.quarantine(segment)
                _log.critical("a damaged segment was set aside", path=str(path), error=exc)
                return
        raise exc

    @property
    def _state_path(self) -> Path:
        return self._folder / STATE_NAME

    @property
    def _state_name(self) -> str:
        """What the state is sealed for: the same file of another device does not open."""
        return f"{self._identity.device}/{self._state_path.name}"

    def _first_sealed_end(self) -> int:
        sealed = self.spool.sealed()
        return sealed[0].last_position if sealed else self.spool.next_position

    def _records(self, part: Taken) -> Iterator[bytes]:
        trace, span = bytes.fromhex(self._ids.trace_id()), bytes.fromhex(self._ids.span_id())
        if is_followed(trace):
            with bind_context(trace_id=trace.hex(), span_id=span.hex()):
                symbol, ticks = part.stream.key.symbol, len(part.rows)
                _log.info(
                    "ticks read", symbol=symbol, ticks=ticks, first=part.stream.next_sequence
                )
        return encode_batches(part, self._identity.tenant, trace, span, self._batch_ticks)

    async def _recover(self) -> None:
        state = await asyncio.to_thread(self._load)
        identity = self._identity
        for record in state.streams:
            stream = stream_of(record, identity.tenant, identity.device)
            self._streams[stream.id] = stream
        self.offset = state.offset
        self._repairs = {one.gap: one for one in state.repairs}
        self._ended = {one.place: one.cursor for one in state.ended}
        self._position = state.position
        await self._replay()

    async def _replay(self) -> None:
        while entries := await self.read(self._position + 1, 1 << 20):
            for entry in entries:
                self._position = entry.position
                stream, batch = self._streams.get(entry.batch.stream), entry.batch
                if stream is None or batch.last_sequence < stream.next_sequence:
                    continue
                stream.next_sequence = batch.first_sequence
                if self.offset is None:
                    self.offset = BrokerOffset(offset_s=batch.broker_offset_s)
                if batch.is_history:
                    gap = UUID(bytes=batch.trace_id)
                    self._note_repair(gap, stream, batch.first_sequence, batch.count)
                stream.take(batch.array(), batch.broker_offset_s, is_history=batch.is_history)

    def _load(self) -> StateFile:
        if not self._state_path.exists():
            return StateFile()
        data = self._state_path.read_bytes()
        if is_sealed(data):
            data = self._keys.open(data, name=self._state_name)
        try:  # an older version left it in the clear; the next save seals it
            state = msgspec.json.decode(data, type=StateFile)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise JOURNAL_STATE_UNREADABLE.error(path=str(self._state_path)) from exc
        if state.version != STATE_VERSION:
            raise JOURNAL_STATE_UNREADABLE.error(path=str(self._state_path))
        return state

    def _require_room(self, limit: int) -> None:
        if len(self._streams) >= limit:
            raise STREAMS_FULL.error(count=len(self._streams), limit=limit)

    def _now_s(self) -> int:
        return self._clock.now_ns() // NS_PER_S
