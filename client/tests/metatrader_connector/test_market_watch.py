"""What is shown and hidden in Market Watch while the client runs."""

from pathlib import Path

import pytest

from aitrading.client.metatrader_connector import journal as journal_module
from aitrading.client.metatrader_connector import market_watch
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.market_watch import REST, MarketWatch
from aitrading.client.metatrader_connector.poller import REASON_HIDDEN
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.client.testing.polling import CLOCK, polling, remembered, require_history, stored
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.domain.market import ROW_BYTES
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock

SHOWN = ("EURUSD", "XAUUSD")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_watch, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(market_watch, "REST", 1)  # a look is slow where others work beside it


def terminal_showing(*symbols: str) -> SimulatedTerminal:
    return SimulatedTerminal(CLOCK, options=WorldOptions(ticks_per_s=400, shown=symbols))


def show(terminal: SimulatedTerminal, symbol: str, *, wanted: bool = True) -> None:
    """As a person does it in the terminal's window."""
    terminal.world.watch.show(symbol, wanted=wanted)


def of_symbol(journal: TickJournal, symbol: str) -> list[TickStream]:
    return [stream for stream in journal.streams if stream.key.symbol == symbol]


@async_test
async def test_a_symbol_that_is_shown_later_is_collected(home: Path) -> None:
    terminal = terminal_showing(*SHOWN)
    async with polling(home, terminal) as (at, journal):
        await eventually(lambda: at.symbols == SHOWN)
        show(terminal, "GBPUSD")
        await eventually(lambda: of_symbol(journal, "GBPUSD")[0].next_sequence > 100)
        assert set(at.symbols) == {*SHOWN, "GBPUSD"}
        await require_history(journal, terminal)


@async_test
async def test_a_hidden_symbol_waits_and_goes_on_where_it_stopped(home: Path) -> None:
    terminal = terminal_showing(*SHOWN)
    async with polling(home, terminal) as (at, journal):
        await eventually(lambda: at.state is ComponentState.HEALTHY)
        show(terminal, "XAUUSD", wanted=False)
        await eventually(lambda: at.hidden == ("XAUUSD",))
        assert at.symbols == ("EURUSD",)
        await eventually(lambda: at.state is ComponentState.HEALTHY)
        assert (at.statistics()["hidden"], at.statistics()["set_aside"]) == ("XAUUSD", None)
        assert not terminal.world.watch.is_shown("XAUUSD"), "who hid it meant it"
        [stream], [other] = of_symbol(journal, "XAUUSD"), of_symbol(journal, "EURUSD")
        assert at.silent() == {stream.id: REASON_HIDDEN}, "for the server"
        kept, before = stream.next_sequence, other.next_sequence
        await eventually(lambda: other.next_sequence > before + 200)
        assert (stream.next_sequence, stream.active) == (kept, True)
        show(terminal, "XAUUSD")
        await eventually(lambda: stream.next_sequence > kept + 200)
        assert (at.hidden, of_symbol(journal, "XAUUSD")) == ((), [stream])
        assert not journal.gaps.added
        await require_history(journal, terminal)


@async_test
async def test_a_hidden_symbol_gives_its_place_to_another_and_doubles_nothing_later(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "STREAMS_MAX", 2)
    terminal = terminal_showing(*SHOWN)
    async with polling(home, terminal) as (at, journal):
        await eventually(lambda: of_symbol(journal, "XAUUSD")[0].next_sequence > 100)
        [old] = of_symbol(journal, "XAUUSD")
        show(terminal, "GBPUSD")
        await eventually(lambda: at.statistics()["set_aside"] == "GBPUSD: STREAMS_FULL")
        assert old.active, "nobody waits: nobody ends"
        show(terminal, "XAUUSD", wanted=False)
        await eventually(lambda: not old.active)
        data = await stored(journal, old.id)
        await journal.forget_stream(old)  # as the uplink does when the server has all of it
        await eventually(lambda: of_symbol(journal, "GBPUSD")[0].next_sequence > 100)
        show(terminal, "GBPUSD", wanted=False)
        show(terminal, "XAUUSD")
        [other] = of_symbol(journal, "GBPUSD")
        await eventually(lambda: not other.active)
        await journal.forget_stream(other)
        await eventually(lambda: of_symbol(journal, "XAUUSD")[0].next_sequence > 100)
        [fresh] = of_symbol(journal, "XAUUSD")
        assert fresh.key.epoch > old.key.epoch
        data += await stored(journal, fresh.id)
        assert remembered(terminal, fresh, data).find(data) % ROW_BYTES == 0


@async_test
async def test_what_was_hidden_while_nobody_looked_waits_as_well(home: Path) -> None:
    terminal = terminal_showing(*SHOWN)
    async with polling(home, terminal) as (_, journal):
        await eventually(lambda: of_symbol(journal, "XAUUSD")[0].next_sequence > 100)
    show(terminal, "XAUUSD", wanted=False)
    async with polling(home, terminal) as (at, journal):
        await eventually(lambda: at.hidden == ("XAUUSD",))
        show(terminal, "XAUUSD")
        before = of_symbol(journal, "XAUUSD")[0].next_sequence
        await eventually(lambda: of_symbol(journal, "XAUUSD")[0].next_sequence > before + 100)
        await require_history(journal, terminal)


class SlowClock(ManualClock):
    """Each look takes a second: the clock is asked twice for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def monotonic_ns(self) -> int:
        self.asked += 1
        return super().monotonic_ns() + self.asked * NS_PER_S


@async_test
async def test_a_look_that_takes_long_is_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_watch, "LOOK_EVERY_S", 3.0)
    monkeypatch.setattr(market_watch, "REST", REST)
    terminal, clock, tasks = terminal_showing(*SHOWN), SlowClock(), TaskSet("test")
    here = TerminalHere(terminal)
    account = await here.connected()
    watch = MarketWatch(here, (), clock)
    tasks.start(watch.run(lambda: account), name="look")
    await eventually(lambda: clock.sleeping)
    await clock.advance(3.0)
    assert watch.news(account) == SHOWN
    assert watch.news(account) is None, "once"
    await clock.advance(REST - 1.0)
    assert watch.news(account) is None
    await clock.advance(1.0)
    assert watch.news(await here.connected()) is None, "seen at another account"
    await tasks.close()
