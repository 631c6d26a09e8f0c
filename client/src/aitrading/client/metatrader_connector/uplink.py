"""Sends what the journal holds, in order, and forgets what the server has made durable."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from typing_extensions import override

from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.error_codes import STREAMS_FULL
from aitrading.client.metatrader_connector.feed_truth import FeedTruth
from aitrading.client.metatrader_connector.gap_ledger import GapRecord
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.journal_records import JournalEntry
from aitrading.client.metatrader_connector.metrics import (
    TICKS_MISSING,
    TICKS_PENDING,
    TICKS_SENT,
)
from aitrading.client.metatrader_connector.standing import Standing, Standings, Verdict
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.security.secure_websocket_client import LinkUser, SecureWebSocketClient
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock, now_ms
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.error_codes import (
    LINK_SUBSCRIPTION_INACTIVE,
    LINK_UNCHECKED,
)
from aitrading.core.protocol.link.events import (
    Acknowledged,
    ClientEvent,
    RepairAsked,
    StreamAhead,
    StreamOpened,
    StreamRefused,
)
from aitrading.core.protocol.link.messages import (
    FEATURE_TRUTH,
    Repair,
    StreamDeclaration,
    StreamGrant,
)
from aitrading.core.protocol.link.session import ClientSession

HOLDS: Final = frozenset((LINK_SUBSCRIPTION_INACTIVE.code, LINK_UNCHECKED.code))
"""With these the server takes no ticks for a while; any other refusal is for good."""
READ_BYTES: Final = 1 << 20
RELEASE_EVERY_S: Final = 1.0
PAUSE_S: Final = 1.0
TRUTH_EVERY_S: Final = 2.0
AGAIN_FIRST_S: Final = 5.0
AGAIN_MAX_S: Final = 600.0
REASON_RESTORED: Final = "this client was restored, and nobody can tell what had been sent"
REASON_SHARED: Final = "another client with this device's key sent other ticks"

_log = get_logger(__name__)


class TickUplink(LinkUser):
    """Between journal and link.

    Every batch of the journal is sent after the one before it. The server's grants and
    acknowledgements move the `released` position: what lies before it may be deleted.
    """

    def __init__(self, journal: TickJournal, *, clock: Clock, metrics: Metrics) -> None:
        self.name = "uplink"
        self.refused: dict[str, str] = {}
        """Symbols whose stream the server does not take, and why; each is offered again later."""
        self.held: str | None = None
        """Why the server takes no ticks on this link; they stay in the journal."""
        self.link: SecureWebSocketClient | None = None
        self.on_repair: Callable[[Repair], None] = lambda _repair: None
        self.truth = FeedTruth(journal, clock)
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._tasks = TaskSet(self.name)
        self._state = ComponentState.NEW
        self._wake = asyncio.Event()
        self._released = 0
        self._next = 1
        self._handles: dict[UUID, int] = {}
        self._streams: dict[int, UUID] = {}
        self._granted: set[int] = set()
        self._dropped: set[UUID] = set()
        self._acknowledged: dict[UUID, int] = {}
        self._waiting: deque[tuple[int, UUID, int]] = deque()
        self._standings = Standings(journal, clock)
        self._refusals: Counter[str] = Counter()

    @property
    def state(self) -> ComponentState:
        """What it is doing now; DEGRADED while the server takes no ticks of some symbol."""
        is_kept = self.held is not None or bool(self.refused)
        is_less = is_kept and self._state is ComponentState.HEALTHY
        return self._tasks.judged(ComponentState.DEGRADED if is_less else self._state)

    @property
    def released(self) -> int:
        """The journal position up to which the server has everything."""
        return self._released

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        return {
            "pending_ticks": self.pending_ticks,
            "released_position": self._released,
            "held": self.held,
            "refused_streams": ", ".join(f"{name}: {code}" for name, code in self.refused.items()),
        }

    @property
    def pending_ticks(self) -> int:
        """Ticks stored here that the server has not confirmed."""
        return sum(
            self._behind(stream, self._standings.durable(stream.id))
            for stream in self._journal.streams
        )

    def _behind(self, stream: TickStream, known: int = 0) -> int:
        if stream.id in self._dropped:
            return 0
        done = max(known, self._acknowledged.get(stream.id, 0))
        return max(0, stream.next_sequence - 1 - done)

    async def start(self) -> None:
        """Send whatever the journal holds, from now on."""
        self._journal.spool.on_durable = lambda _position: self._wake.set()
        self._tasks.start(self._run(), name="send")
        self._tasks.keep(self._release, name="release", clock=self._clock)
        self._tasks.keep(self._tell_truth, name="truth", clock=self._clock)
        self._tasks.keep(self._journal.spool.maintain, name="seal", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop sending; what is not acknowledged stays on disk."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        await self._journal.release(self._released)
        self._state = ComponentState.STOPPED

    @override
    def declarations(self) -> Sequence[StreamDeclaration]:
        self._handles = {
            stream.id: handle for handle, stream in enumerate(self._journal.streams, start=1)
        }
        self._streams = {handle: stream for stream, handle in self._handles.items()}
        self._granted.clear()
        return [stream.declaration(self._handles[stream.id]) for stream in self._journal.streams]

    @override
    def on_event(self, event: ClientEvent) -> None:
        match event:
            case StreamOpened():
                self._welcome(event.declaration.symbol)
                self._opened(event.declaration, event.grant)
            case Acknowledged():
                self._settle(event.handle, event.sequence)
            case StreamRefused() if event.code in HOLDS:
                self._hold(event.declaration, event.code)
            case StreamRefused():
                self._refuse(event.declaration, event.code)
            case RepairAsked():
                self.on_repair(event.repair)
            case StreamAhead():
                self._opened(event.declaration, event.grant, is_ahead=True)
            case _:
                return
        self._wake.set()

    @override
    def on_lost(self) -> None:
        self._waiting.clear()
        self._next = self._released + 1
        self._granted.clear()
        self._standings.clear()
        self.held = None
        self.truth.forget()

    @override
    def on_writable(self) -> None:
        self._wake.set()

    def stream_of(self, handle: int) -> TickStream | None:
        """The stream behind a handle of this connection."""
        stream_id = self._streams.get(handle)
        return self._journal.find(stream_id) if stream_id is not None else None

    async def _tell_truth(self) -> None:
        """What was counted and lost, as often as it changes and at most every few seconds."""
        while True:
            session, link = self._session(), self.link
            if session is not None and link is not None and FEATURE_TRUTH in session.features:
                handles = {
                    stream: handle
                    for stream, handle in self._handles.items()
                    if handle in self._granted
                }
                self.truth.tell(session, handles)
                link.flush()
            await self._clock.sleep(TRUTH_EVERY_S)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._send_some():
                    pass
            except Exception as exc:  # noqa: BLE001 - whatever it was, ticks wait behind it
                await self._pause(exc)
            else:
                self._state = ComponentState.HEALTHY

    async def _insist(self, act: Callable[[], Awaitable[object]]) -> None:
        """Something that must be on disk before anything else is true."""
        while True:
            try:
                await act()
            except Exception as exc:  # noqa: BLE001 - whatever it was, it is tried until it is done
                await self._pause(exc)
            else:
                return

    async def _pause(self, exc: Exception) -> None:
        """Sending never ends in silence: tell, wait a little, go on where it stopped."""
        self._state = ComponentState.DEGRADED
        _log.error("sending paused", error=exc)
        await self._clock.sleep(PAUSE_S)
        self._wake.set()

    async def _send_some(self) -> bool:
        """Send one read's worth; False when there is nothing to do until woken."""
        session = self._session()
        if session is None or self.held is not None:
            return False
        await self._judge(session)
        entries = await self._journal.read(self._next, READ_BYTES)
        for entry in entries:
            session = self._session()
            if session is None or entry.position < self._next:
                return False
            if not await self._send(session, entry):
                return False
            self._next = entry.position + 1
        return bool(entries)

    async def _send(self, session: ClientSession, entry: JournalEntry) -> bool:
        """Send one batch; False when it has to wait for a grant, an ACK or the socket."""
        batch = entry.batch
        stream = self._journal.find(batch.stream)
        if stream is None:
            await self._lose(entry)
        known = self._standings.durable(batch.stream)
        if stream is None or self._is_done(batch.stream, batch.last_sequence, known):
            self._note(entry)
            return True
        handle, link = self._granted_handle(session, stream), self.link
        if handle is None or link is None or not self._has_room(session, batch.count):
            return False
        missing = batch.first_sequence - session.next_sequence(handle)
        if missing > 0:
            await self._gap(stream, batch.first_sequence, missing)
        if self._session() is not session or handle not in self._granted:
            return False
        session.send_ticks(handle, batch, after_gap=missing > 0)
        link.flush()
        self._note(entry)
        self._metrics.increment(TICKS_SENT, batch.count)
        return True

    def _is_done(self, stream: UUID, last_sequence: int, known: int = 0) -> bool:
        done = max(known, self._acknowledged.get(stream, 0))
        return stream in self._dropped or last_sequence <= done

    def _granted_handle(self, session: ClientSession, stream: TickStream) -> int | None:
        handle = self._handles.get(stream.id)
        if handle is None:
            self._declare(session, stream)
        return handle if handle in self._granted else None

    def _has_room(self, session: ClientSession, ticks: int) -> bool:
        return self.link is not None and self.link.is_writable and session.room() >= ticks

    def _session(self) -> ClientSession | None:
        return self.link.session if self.link is not None else None

    def _declare(self, session: ClientSession, stream: TickStream) -> None:
        handle = max(self._streams, default=0) + 1
        self._handles[stream.id] = handle
        self._streams[handle] = stream.id
        session.open_streams([stream.declaration(handle)])
        if self.link is not None:
            self.link.flush()

    def _note(self, entry: JournalEntry) -> None:
        """It was sent, or is not to be; it is over when the server has up to its last number."""
        batch = entry.batch
        is_over = self._journal.find(batch.stream) is None or self._standings.passes(batch)
        needs = 0 if is_over else batch.last_sequence
        self._waiting.append((entry.position, batch.stream, needs))
        self._advance()

    def _opened(
        self, declaration: StreamDeclaration, grant: StreamGrant, *, is_ahead: bool = False
    ) -> None:
        """Send what follows, once it is certain that the numbers mean the same ticks."""
        stream = self._journal.find(self._streams[declaration.handle])
        if stream is None or not self._standings.add(
            stream, declaration.handle, grant, is_ahead=is_ahead
        ):
            self._granted.add(declaration.handle)
            self._settle(declaration.handle, grant.durable_sequence)

    async def _judge(self, session: ClientSession) -> None:
        for standing, verdict in await self._standings.judge(self._released + 1):
            if self._session() is not session:
                return
            if verdict is not Verdict.GOES_ON:
                await self._renew(standing, verdict)
            elif standing.stream.id not in self._dropped:
                if standing.is_ahead:
                    session.resume(standing.handle)
                self._granted.add(standing.handle)
                self._settle(standing.handle, standing.grant.durable_sequence)
            self._standings.settle(standing)
            self._advance()

    def _settle(self, handle: int, sequence: int) -> None:
        stream = self._streams[handle]
        self._standings.prove(stream, sequence)
        self._acknowledged[stream] = max(sequence, self._acknowledged.get(stream, 0))
        self._advance()

    def _advance(self) -> None:
        while self._waiting:
            position, stream, needs = self._waiting[0]
            if not self._is_done(stream, needs):
                return
            self._waiting.popleft()
            self._released = position

    def _hold(self, declaration: StreamDeclaration, code: str) -> None:
        """Keep everything; the server makes the link anew when it takes ticks again."""
        self._granted.discard(declaration.handle)
        if self.held is None:
            self.held = code
            _log.warning("ticks are kept here", error_code=self.held)

    def _refuse(self, declaration: StreamDeclaration, code: str) -> None:
        stream_id = self._streams[declaration.handle]
        self._dropped.add(stream_id)
        self.refused[declaration.symbol] = code
        self._granted.discard(declaration.handle)
        stream = self._journal.find(stream_id)
        if stream is not None:
            self._tasks.start(self._give_up(stream), name="give-up")
        _log.error("stream refused", symbol=declaration.symbol, error_code=code)
        self._advance()

    async def _give_up(self, stream: TickStream) -> None:
        """Take nothing more of it, and write down what of it will never be sent."""
        if stream.active:
            await self._insist(lambda: self._journal.end_stream(stream))
        first = self._acknowledged.get(stream.id, 0) + 1
        if (count := stream.next_sequence - first) > 0:
            missing = (first, count)
            await self._insist(
                lambda: self._record(stream.id, stream.key.symbol, missing, "stream refused")
            )
        await self._offer_again(stream)

    async def _offer_again(self, stream: TickStream) -> None:
        """A symbol is not silent for ever: its next epoch goes on where the terminal was left."""
        symbol = stream.key.symbol
        self._refusals[symbol] += 1
        await self._clock.sleep(again_after_s(self._refusals[symbol]))
        await self._reopen(stream)

    def _welcome(self, symbol: str) -> None:
        if self.refused.pop(symbol, None) is not None:
            _log.info("stream taken after all", symbol=symbol)
        self._refusals.pop(symbol, None)

    async def _renew(self, standing: Standing, verdict: Verdict) -> None:
        """Another life of this client gave the numbers: never reuse that epoch."""
        stream = standing.stream
        _log.warning(
            "the server has ticks of another life of this client; opening a later epoch",
            symbol=stream.key.symbol,
            verdict=verdict,
        )
        if stream.active:
            behind = standing.behind if verdict is Verdict.MOVED else None
            await self._insist(lambda: self._begin_later(stream, behind))
        if verdict is Verdict.LOST:
            await self._insist(lambda: self._journal.gaps.add(self._doubt(standing)))
        self._dropped.add(stream.id)
        self._wake.set()

    async def _begin_later(self, stream: TickStream, behind: TickCursor | None) -> None:
        """A later epoch, now or when there is room: nothing may wait here for what sending frees."""
        try:
            await self._journal.reopen_stream(stream, stream.digits, behind)
        except AitradingError as exc:
            if exc.spec is not STREAMS_FULL:
                raise
            await self._journal.end_stream(stream, behind)
            self._tasks.start(self._reopen(stream), name="reopen")

    async def _reopen(self, stream: TickStream) -> None:
        """Go on where an ended stream stopped, unless the terminal's side has done so already."""
        await self._insist(lambda: self._journal.reopen_stream(stream, stream.digits))

    def _doubt(self, standing: Standing) -> GapRecord:
        """The time of which nobody can tell what the server has."""
        grant, stream = standing.grant, standing.stream
        newest_ms = self._standings.newest_ms(stream)
        begins = [one for one in (standing.begins_ms, grant.durable_ms, newest_ms) if one]
        ends_ms = newest_ms if grant.durable_digest else now_ms(self._clock)
        return GapRecord(
            stream=stream.id,
            symbol=stream.key.symbol,
            first_missing=0,
            last_missing=0,
            reason=REASON_SHARED if standing.is_own else REASON_RESTORED,
            noticed_ns=self._clock.now_ns(),
            from_ms=min(begins, default=ends_ms),
            until_ms=max(ends_ms, *begins, 1),
        )

    async def _lose(self, entry: JournalEntry) -> None:
        """A batch of a stream whose state is gone: nobody can tell what it belongs to."""
        batch = entry.batch
        if batch.stream in self._dropped:  # forgotten, and what it lost was told
            return
        missing = (batch.first_sequence, batch.count)
        await self._record(batch.stream, "unknown", missing, "the stream's state was lost")

    async def _gap(self, stream: TickStream, first_present: int, missing: int) -> None:
        first = first_present - missing
        await self._record(stream.id, stream.key.symbol, (first, missing), "lost on this disk")

    async def _record(
        self, stream: UUID, symbol: str, missing: tuple[int, int], reason: str
    ) -> None:
        first, count = missing
        self._metrics.increment(TICKS_MISSING, count, reason=reason)
        await self._journal.gaps.add(
            GapRecord(
                stream=stream,
                symbol=symbol,
                first_missing=first,
                last_missing=first + count - 1,
                reason=reason,
                noticed_ns=self._clock.now_ns(),
            )
        )

    async def _release(self) -> None:
        while True:
            await self._clock.sleep(RELEASE_EVERY_S)
            if self._standings.is_waiting:
                self._wake.set()
            try:
                await self._forget_released()
            except (AitradingError, OSError) as exc:  # a full disk; tried again next time
                _log.error("released ticks could not be forgotten", error=exc)
            self._metrics.set(TICKS_PENDING, self.pending_ticks)

    async def _forget_released(self) -> None:
        await self._journal.release(self._released)
        for stream in self._journal.streams:
            if not stream.active and not self._behind(stream):
                await self._journal.forget_stream(stream)


def again_after_s(refusals: int) -> float:
    """How long a symbol that was refused so often in a row waits before it is offered again."""
    return min(AGAIN_MAX_S, AGAIN_FIRST_S * 2.0 ** min(refusals - 1, 16))
