"""From a link to the disk: judged in bulk, appended, and acknowledged after the group sync.

Every tick that arrives is stored. Of a batch with ticks in doubt the rows carry why, and only the
others go on to quotes, feeds and subscribers.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from aitrading.core.domain.market import ROW_BYTES, TickBatch
from aitrading.core.domain.tick_doubts import (
    Doubt,
    DoubtRules,
    Doubts,
    TickJudge,
    counts_of,
    first_of,
)
from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import (
    BRIDGE_SPOOL,
    CONNECTOR_LINK,
    LINK_BRIDGE,
    MARKET_DATA,
    TERMINAL_CONNECTOR,
)
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.protocol.ingest import IngestHeader, encode_header
from aitrading.core.protocol.link.events import TicksReceived
from aitrading.core.protocol.segment import record_bytes
from aitrading.core.protocol.tracecontext import is_followed
from aitrading.server.data_bridge.metrics import (
    TICKS_DURABLE,
    TICKS_QUARANTINED,
    TICKS_RECEIVED,
)
from aitrading.server.data_bridge.shares import SpoolShares
from aitrading.server.data_bridge.streams import BridgeStream, LastTick, StreamLink

FUTURE_MS: Final = 36 * 3_600 * 1_000
"""A broker's clock and a wrong machine clock together stay below this."""
STRETCHES_MAX: Final = 16
"""Of a batch that doubts cut to pieces so many are shown to people, the newest; all are stored."""
NS_PER_US: Final = 1_000
HOPS_BEFORE: Final = (TERMINAL_CONNECTOR, CONNECTOR_LINK, LINK_BRIDGE)

_log = get_logger(__name__)
BatchListener = Callable[[BridgeStream, TickBatch], None]
DoubtListener = Callable[[BridgeStream, int, Doubt], None]
"""Told how many ticks of a stream are in doubt, and why the newest of them is."""
FailureListener = Callable[[AitradingError, "list[BridgeStream]"], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch between append and sync."""

    stream: BridgeStream
    last_sequence: int
    count: int
    received_ns: int
    trace_id: bytes
    size_bytes: int
    last: LastTick


class TickIngest:
    """Takes batches of all links and makes them durable in groups.

    `take` collects, `commit` appends what was collected; a link calls `commit` once per piece of
    data from its socket, which may hold many batches. What is measured is measured per commit.
    `on_failure` is told what was not stored; it must end the links.
    """

    def __init__(
        self,
        spool: Spool,
        shares: SpoolShares,
        *,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
        chains: ChainRegistry,
    ) -> None:
        self.on_batch: BatchListener = lambda _stream, _batch: None
        self.on_doubt: DoubtListener = lambda _stream, _ticks, _newest: None
        self.is_unknown: Callable[[BridgeStream], bool] = lambda _stream: False
        self.rules: Callable[[], DoubtRules] = DoubtRules
        self.on_failure: FailureListener = lambda _error, _streams: None
        self._spool = spool
        self._shares = shares
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._chains = chains
        self._records: list[bytes] = []
        self._collected: list[_Waiting] = []
        self._hops: tuple[int, int, int] = (0, 0, 0)
        self._now_ns = 0
        self._span_id = b""
        self._waiting: deque[tuple[int, _Waiting]] = deque()
        spool.on_durable = self._durable
        spool.on_failure = self._failed

    def take(self, stream: BridgeStream, event: TicksReceived) -> None:
        """Collect a batch and tell of what is in it."""
        if not self._records:
            self._now_ns = self._clock.now_ns()
            self._span_id = bytes.fromhex(self._ids.span_id())
        batch = event.batch
        doubts = self._doubts(stream, batch)
        header = IngestHeader(
            tenant=stream.device.tenant,
            stream=stream.id,
            first_sequence=batch.first_sequence,
            count=batch.count,
            receive_ns=self._now_ns,
            broker_offset_s=batch.broker_offset_s,
            trace_id=batch.trace_id,
            span_id=self._span_id,
            row_bytes=ROW_BYTES,
        )
        record = encode_header(header) + _marked(batch, doubts)
        self._records.append(record)
        self._collected.append(
            _Waiting(
                stream,
                batch.last_sequence,
                batch.count,
                self._clock.monotonic_ns(),
                batch.trace_id,
                record_bytes(len(record)),
                LastTick(
                    batch.last_sequence, bytes(batch.rows[-ROW_BYTES:]), batch.broker_offset_s
                ),
            )
        )
        stream.received = batch.last_sequence
        if doubts is not None:
            self._tell_doubts(stream, doubts)
        for part in (batch,) if doubts is None else _believed(batch, doubts):
            self._hops = self._latencies(event, int(part.array()["event_ms"][-1]))
            if not batch.is_history:
                self.on_batch(stream, part)

    def commit(self) -> None:
        """Append what was collected; what does not fit is told to `on_failure`."""
        if not self._records:
            return
        records, self._records = self._records, []
        collected, self._collected = self._collected, []
        ticks = sum(waiting.count for waiting in collected)
        self._metrics.increment(TICKS_RECEIVED, ticks)
        trace_id = _followed(collected)
        for hop, latency_ns in zip(HOPS_BEFORE, self._hops, strict=True):
            self._chains.record(MARKET_DATA, hop, latency_ns, trace_id=trace_id, count=ticks)
        sizes = _sizes(collected)
        try:
            self._shares.require_room(sizes)
            last = self._spool.append_nowait(records)
        except AitradingError as exc:
            self._lose(exc, collected)
            return
        self._shares.appended(sizes)
        first = last - len(records) + 1
        self._waiting.extend(enumerate(collected, start=first))

    def _durable(self, position: int) -> None:
        """Everything up to a position of the spool survives a crash: acknowledge it."""
        stored: list[_Waiting] = []
        while self._waiting and self._waiting[0][0] <= position:
            at, waiting = self._waiting.popleft()
            waiting.stream.spooled = at
            stored.append(waiting)
        if not stored:
            return
        self._shares.stored(_sizes(stored), position)
        for waiting in stored:
            if waiting.last_sequence > waiting.stream.durable:
                waiting.stream.durable, waiting.stream.last = waiting.last_sequence, waiting.last
        ticks = sum(waiting.count for waiting in stored)
        self._metrics.increment(TICKS_DURABLE, ticks)
        waited_ns = self._clock.monotonic_ns() - stored[0].received_ns
        trace_id = _followed(stored)
        if trace_id is not None:
            _tell(stored)
        self._chains.record(MARKET_DATA, BRIDGE_SPOOL, waited_ns, trace_id=trace_id, count=ticks)
        _acknowledge({waiting.stream for waiting in stored})

    def _failed(self, error: AitradingError) -> None:
        """The spool forgot what is not durable; so do we, and the devices send it again.

        What was collected behind it goes too: stored alone it would hide what is missing.
        """
        lost = [waiting for _, waiting in self._waiting] + self._collected
        self._waiting.clear()
        self._shares.lost()
        self._collected, self._records = [], []
        self._lose(error, lost)

    def _lose(self, error: AitradingError, lost: list[_Waiting]) -> None:
        for waiting in lost:
            waiting.stream.received = waiting.stream.durable
        for _, waiting in self._waiting:  # appended before and still on its way to the disk
            waiting.stream.received = waiting.last_sequence
        for waiting in lost:
            self._chains.record(MARKET_DATA, BRIDGE_SPOOL, 0, ok=False, count=waiting.count)
        self.on_failure(error, [waiting.stream for waiting in lost])

    def _doubts(self, stream: BridgeStream, batch: TickBatch) -> Doubts | None:
        """Why rows cannot be believed; history is held against itself, not against today."""
        if self.is_unknown(stream):
            return np.full(batch.count, Doubt.UNKNOWN_SYMBOL, np.uint16)
        judge = TickJudge() if batch.is_history else stream.judge
        return judge.doubts(
            batch.first_sequence,
            batch.array(),
            offset_ms=batch.broker_offset_s * 1_000,
            latest_ms=self._now_ns // NS_PER_MS + FUTURE_MS,
            rules=self.rules(),
        )

    def _tell_doubts(self, stream: BridgeStream, doubts: Doubts) -> None:
        for doubt, ticks in counts_of(doubts).items():
            self._metrics.increment(TICKS_QUARANTINED, ticks, reason=str(doubt.name))
        doubted = doubts[doubts != 0]
        self.on_doubt(stream, len(doubted), first_of(int(doubted[-1])))

    def _latencies(self, event: TicksReceived, newest_ms: int) -> tuple[int, int, int]:
        """The hops before the bridge, as far as three clocks agree."""
        batch, delay_ns = event.batch, event.link_delay_us * NS_PER_US
        event_ns = (newest_ms - batch.broker_offset_s * 1_000) * NS_PER_MS
        return (
            max(0, batch.receive_ns - event_ns),
            delay_ns,
            max(0, self._now_ns - batch.receive_ns - delay_ns),
        )


def _sizes(batches: list[_Waiting]) -> Counter[TenantId]:
    sizes: Counter[TenantId] = Counter()
    for waiting in batches:
        sizes[waiting.stream.device.tenant] += waiting.size_bytes
    return sizes


def _marked(batch: TickBatch, doubts: Doubts | None) -> bytes:
    """The rows as they are stored: what the terminal gave, and the server's word on each."""
    rows = batch.array()
    if doubts is None and not rows["doubt"].any():
        return bytes(batch.rows)
    marked = rows.copy()
    marked["doubt"] = 0 if doubts is None else doubts
    return marked.tobytes()


def _believed(batch: TickBatch, doubts: Doubts) -> Iterator[TickBatch]:
    """The newest stretches without doubt, each as a batch of its own."""
    edges = np.flatnonzero(np.diff(doubts == 0, prepend=False, append=False))
    begins, ends = edges[::2][-STRETCHES_MAX:], edges[1::2][-STRETCHES_MAX:]
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        part = batch.after(batch.first_sequence + begin - 1)
        if part is not None:
            yield part.up_to(end - begin)


def _followed(batches: list[_Waiting]) -> str | None:
    """The newest of these traces whose way is logged."""
    for waiting in reversed(batches):
        if is_followed(waiting.trace_id):
            return waiting.trace_id.hex()
    return None


def _tell(stored: list[_Waiting]) -> None:
    for waiting in stored:
        if is_followed(waiting.trace_id):
            tenant = waiting.stream.device.tenant
            with bind_context(tenant=tenant, trace_id=waiting.trace_id.hex()):
                _log.info(
                    "ticks on the bridge's disk",
                    symbol=waiting.stream.symbol,
                    ticks=waiting.count,
                    last=waiting.last_sequence,
                )


def _acknowledge(streams: set[BridgeStream]) -> None:
    links: set[StreamLink] = set()
    for stream in streams:
        if stream.link is not None:
            stream.link.acknowledge(stream)
            links.add(stream.link)
    for link in links:
        link.flush()
