"""A poller over a twin of this process, and what it stored."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.poller import TickPoller
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.market.generator import TICKS_PER_SECOND_MAX
from aitrading.client.testing.desk import CLOCK, AtOnce
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.domain.market import ROW_BYTES
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.file_keys import some_file_keys

KEYS: Final = some_file_keys()


@asynccontextmanager
async def polling(
    home: Path,
    terminal: SimulatedTerminal,
    *,
    settings: ConnectorSettings | None = None,
    limits: SpoolLimits | None = None,
) -> AsyncGenerator[tuple[TickPoller, TickJournal]]:
    """A poller that runs, for the time of the block."""
    metrics = Metrics()
    errors = ErrorHandler(
        clock=CLOCK, randomness=AtOnce(), metrics=metrics, resilience=ResilienceRegistry()
    )
    journal = await TickJournal.open(
        home,
        identity=JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2))),
        limits=limits or SpoolLimits(),
        clock=CLOCK,
        ids=SystemIdFactory(CLOCK, SystemRandomness()),
        keys=KEYS,
    )
    poller = TickPoller(
        TerminalHere(terminal), journal, settings or ConnectorSettings(), clock=CLOCK, errors=errors,
        metrics=metrics,
    )  # fmt: skip
    await poller.start()
    try:
        yield poller, journal
    finally:
        await poller.stop()
        await journal.close()


def taken(journal: TickJournal) -> int:
    """How many ticks were stored."""
    return sum(stream.next_sequence - 1 for stream in journal.streams)


async def stored(journal: TickJournal, stream: UUID) -> bytes:
    """The rows of a stream that the journal holds."""
    parts: list[bytes] = []
    position = 0
    while entries := await journal.read(position, 1 << 20):
        parts += [bytes(one.batch.rows) for one in entries if one.batch.stream == stream]
        position = entries[-1].position + 1
    return b"".join(parts)


def remembered(terminal: SimulatedTerminal, stream: TickStream, data: bytes) -> bytes:
    """What the terminal itself remembers of a symbol, from the first second of `data` on.

    As much as `data` and that second hold: there is no end to ask for, and seconds may be busy.
    """
    first_s = int.from_bytes(data[:8], "little") // 1_000
    rows = len(data) // ROW_BYTES + TICKS_PER_SECOND_MAX
    ticks = terminal.copy_ticks_from(stream.key.symbol, first_s, rows, COPY_TICKS_ALL)
    return b"" if ticks is None else to_rows(ticks, stream.digits).rows.tobytes()


async def require_history(journal: TickJournal, terminal: SimulatedTerminal) -> None:
    """Every stream holds a stretch of the terminal's history without a hole or a repeat."""
    for stream in journal.streams:
        await require_stretch(journal, terminal, [stream])


async def require_stretch(
    journal: TickJournal, terminal: SimulatedTerminal, streams: Sequence[TickStream]
) -> None:
    """Streams of one symbol hold, one behind the other, a stretch of the terminal's history.

    Without a hole or a repeat, and that where one ends and the next begins as well.
    """
    terminal.initialize()
    data = b"".join([await stored(journal, stream.id) for stream in streams])
    place = remembered(terminal, streams[0], data).find(data) if data else -1
    if place < 0 or place % ROW_BYTES:
        raise AssertionError(f"{streams[0].key.symbol} is not what the terminal remembers")
