"""The client's own journal and uplink on the bridge's socket, with a hand on every byte between.

What is left out is what other tests are about: the terminal, TLS, and the pauses before a client
comes back. So a hundred cuts take a second.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from picows import WSError, WSMsgType

from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.metatrader_connector.uplink import TickUplink
from aitrading.client.security.link_connection import LinkConnection
from aitrading.core.domain.market import TickArray
from aitrading.core.infrastructure.lifecycle import TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.link.events import ClientEvent, PeerClosed
from aitrading.core.protocol.link.session import ClientProfile, ClientSession, SessionState
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.server.testing.bridge import connect_as_edge
from aitrading.server.testing.probe_device import OFFSET_S, forwarded, ticks

KEYS = some_file_keys()
CHUNK = 64 * 1024
POLL_S = 0.05
PATIENCE_S = 60.0


@dataclass
class Budget:
    """Bytes that a connection may carry each way before it is cut; None is without end."""

    up: int | None = None
    down: int | None = None


class CutWire:
    """A Unix socket in front of the bridge's."""

    def __init__(self, upstream: Path, place: Path) -> None:
        self.place = place
        self.budget = Budget()
        """Of the next connection."""
        self.carried = {"up": 0, "down": 0}
        """By the newest connection."""
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, str(self.place))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        budget, self.carried = self.budget, {"up": 0, "down": 0}
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._upstream))
        try:
            with suppress(OSError, asyncio.CancelledError):
                async with asyncio.TaskGroup() as pipes:
                    up = pipes.create_task(self._pipe("up", reader, up_writer, budget.up))
                    down = pipes.create_task(self._pipe("down", up_reader, writer, budget.down))
                    up.add_done_callback(lambda _: down.cancel())
                    down.add_done_callback(lambda _: up.cancel())
        finally:
            for one in (writer, up_writer):
                one.transport.abort()
            self._tasks.discard(task)

    async def _pipe(
        self,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        budget: int | None,
    ) -> None:
        carried = self.carried
        while data := await reader.read(CHUNK):
            if budget is not None and carried[way] + len(data) >= budget:
                writer.write(data[: budget - carried[way]])
                await writer.drain()
                return
            writer.write(data)
            carried[way] += len(data)


@dataclass
class Desk:
    """A client that takes ticks from the test instead of from a terminal."""

    identity: DeviceIdentity
    journal: TickJournal
    uplink: TickUplink
    stream: TickStream
    clock: SystemClock
    taken: list[TickArray] = field(default_factory=list)
    """Everything that was ever taken, in order: place n has sequence n + 1."""
    closed: list[str] = field(default_factory=list)
    """The codes with which the server ended links."""
    _connection: LinkConnection | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: TaskSet = field(default_factory=lambda: TaskSet("desk"))

    @property
    def session(self) -> ClientSession | None:
        connection = self._connection
        if connection is None or connection.session.state is not SessionState.OPEN:
            return None
        return connection.session

    @property
    def is_linked(self) -> bool:
        """The socket and its session live."""
        return self._connection is not None

    @property
    def is_writable(self) -> bool:
        return self._connection is not None and not self._connection.is_paused

    @property
    def acknowledged(self) -> int:
        """What the server said it has."""
        return self.stream.next_sequence - 1 - self.uplink.pending_ticks

    def flush(self) -> None:
        if self._connection is not None:
            self._connection.flush()

    async def take(self, count: int) -> None:
        """Store ticks, as if the terminal had given them."""
        rows = ticks(count, first=self.stream.next_sequence)
        part = Taken(
            stream=self.stream,
            rows=rows,
            receive_ns=self.clock.now_ns(),
            broker_offset_s=OFFSET_S,
        )
        await self.journal.append([part])
        self.taken.append(rows)

    async def connect(self, place: Path) -> bool:
        """Come to the bridge; False when that failed."""
        connection = LinkConnection(
            ClientSession(self.clock, ClientProfile(software="test")), self._on_event
        )
        connection.on_writable = self.uplink.on_writable
        try:
            await connect_as_edge(place, "/link", connection, forwarded(self.identity))
        except (OSError, WSError):
            return False
        if not connection.is_connected:  # picows does not tell a loss before its handshake's end
            return False
        self._connection = connection
        connection.greet(self.uplink.declarations())
        self._tasks.start(self._live(connection), name="link")
        return True

    def raw(self, message: bytes) -> None:
        """Send any bytes as one message of the link."""
        transport = self._connection._transport if self._connection else None
        assert transport is not None
        transport.send(WSMsgType.BINARY, message)

    def cut(self) -> None:
        """Hang up without a word."""
        if self._connection is not None:
            self._connection.abort()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that news of the link brings, without a pause between."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as exc:
            raise AssertionError(f"{what} never came") from exc

    async def until_acknowledged(self) -> None:
        """Wait until the server has everything."""
        await self.until(lambda: self.uplink.pending_ticks == 0, "the acknowledgement")

    async def until_lost(self) -> None:
        """Wait for the link's end."""
        await self.until(lambda: not self.is_linked, "the end of the link")

    async def close(self) -> None:
        """Hang up and stop; what is not acknowledged stays in the journal."""
        self.cut()
        await self._tasks.close()
        await self.uplink.stop()
        await self.journal.close()

    async def _live(self, connection: LinkConnection) -> None:
        with suppress(AitradingError):
            await connection.greeted(POLL_S)
            await connection.live(POLL_S)
        if self._connection is connection:
            self._connection = None
            self.uplink.on_lost()
            self._news.set()

    def _on_event(self, event: ClientEvent) -> None:
        if isinstance(event, PeerClosed):
            self.closed.append(event.notice.code)
        self.uplink.on_event(event)
        self._news.set()


@asynccontextmanager
async def open_desk(
    folder: Path, identity: DeviceIdentity, *, limits: SpoolLimits | None = None
) -> AsyncGenerator[Desk]:
    """A client's home with one stream."""
    clock = SystemClock()
    journal = await TickJournal.open(
        folder,
        identity=JournalIdentity(tenant=identity.tenant, device=identity.device),
        limits=limits or SpoolLimits(),
        clock=clock,
        ids=SystemIdFactory(clock, SystemRandomness()),
        keys=KEYS,
    )
    journal.offset = BrokerOffset(offset_s=OFFSET_S)
    stream = (
        journal.streams[0]
        if journal.streams
        else await journal.open_stream(
            broker="Simulated-Demo", login=50_000_001, symbol="EURUSD", digits=5, second=0
        )
    )
    desk = Desk(
        identity, journal, TickUplink(journal, clock=clock, metrics=Metrics()), stream, clock
    )
    desk.uplink.link = desk
    await desk.uplink.start()
    try:
        yield desk
    finally:
        await desk.close()
