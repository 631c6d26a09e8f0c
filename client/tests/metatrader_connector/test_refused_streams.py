"""A symbol that the server refuses loses nothing that the gap ledger does not know."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from aitrading.client.metatrader_connector import uplink as uplink_module
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.journal_records import Taken
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.metatrader_connector.uplink import TickUplink
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.testing.desk import CLOCK
from aitrading.client.testing.polling import polling, require_stretch, taken
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

CODE = "LINK_LIMIT_EXCEEDED"
ONE = ConnectorSettings(symbols=("EURUSD",))


def terminal() -> SimulatedTerminal:
    return SimulatedTerminal(CLOCK, ticks_per_s=200)


def uplink_of(journal: TickJournal) -> TickUplink:
    uplink = TickUplink(journal, clock=CLOCK, metrics=Metrics())
    uplink.declarations()
    return uplink


@async_test
async def test_collecting_anew_goes_on_where_a_refused_stream_stopped(home: Path) -> None:
    """While the refused symbol waits, nobody opens it at the newest tick."""
    twin = terminal()
    async with polling(home, twin, settings=ONE) as (poller, journal):
        await eventually(lambda: taken(journal) > 5)
        [stream] = journal.streams
        uplink = uplink_of(journal)
        uplink._refuse(stream.declaration(1), CODE)
        await eventually(lambda: not stream.active)
        now_ms = CLOCK.now_ns() // 1_000_000
        await eventually(lambda: CLOCK.now_ns() // 1_000_000 > now_ms + 1_500)
        poller.collect(("EURUSD", "GBPUSD"))
        await eventually(lambda: len([one for one in journal.streams if one.active]) == 2)
        fresh = journal.active(*stream.place)
        assert fresh is not None
        await eventually(lambda: fresh.next_sequence > 100)
        await require_stretch(journal, twin, [stream, fresh])
        await uplink.stop()


@async_test
async def test_a_restart_goes_on_where_a_refused_stream_stopped(home: Path) -> None:
    async with polling(home, terminal(), settings=ONE) as (_, journal):
        await eventually(lambda: taken(journal) > 5)
        [stream] = journal.streams
        uplink = uplink_of(journal)
        uplink._refuse(stream.declaration(1), CODE)
        await eventually(lambda: not stream.active)
        await journal.forget_stream(stream)
        await uplink.stop()
    async with polling(home, terminal(), settings=ONE) as (_, journal):
        fresh = await eventually(lambda: journal.active(*stream.place))
        assert fresh is not None
        assert fresh.cursor.second <= stream.cursor.second + 1


@async_test
async def test_rows_that_were_asked_for_before_a_refusal_are_not_stored_behind_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "AGAIN_FIRST_S", 0.1)
    twin = terminal()
    async with polling(home, twin, settings=ONE) as (_, journal):
        await eventually(lambda: taken(journal) > 5)
        [stream] = journal.streams
        uplink, original, refused = uplink_of(journal), journal.append, list[int]()

        async def append(parts: Iterable[Taken]) -> int:
            parts = list(parts)
            if parts and not refused:
                refused.append(stream.next_sequence)
                uplink._refuse(stream.declaration(1), CODE)
                await eventually(lambda: not stream.active)
            return await original(parts)

        monkeypatch.setattr(journal, "append", append)
        await eventually(lambda: refused and not stream.active)
        fresh = await eventually(lambda: journal.active(*stream.place))
        assert fresh is not None
        await eventually(lambda: fresh.next_sequence > 20)
        assert stream.next_sequence == refused[0]
        [gap] = await eventually(lambda: list(journal.gaps.newest))
        assert (gap.first_missing, gap.last_missing) == (1, refused[0] - 1)
        await require_stretch(journal, twin, [stream, fresh])
        await uplink.stop()
