"""A symbol that gives no ticks waits by itself: the others go on, and nothing of it is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from aitrading.client.metatrader_connector.error_codes import STREAMS_FULL, SYMBOL_SILENT
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.client.metatrader_connector.set_aside import (
    RETRY_FIRST_S,
    RETRY_MAX_S,
    SHOWN_MAX,
    SetAsides,
)
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.api.structs import SymbolInfo, Tick
from aitrading.client.terminal.errors import TERMINAL_SYMBOL_UNKNOWN
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.quotes import EMPTY_TICK
from aitrading.client.testing.polling import CLOCK, polling, require_history, taken
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock

BAD = "USDJPY"
ALL = ("EURUSD", "GBPUSD", BAD, "XAUUSD")


class OneBad(SimulatedTerminal):
    """Has trouble with one symbol, or has not seen a tick of it."""

    def __init__(self) -> None:
        super().__init__(CLOCK, ticks_per_s=400)
        self.trouble: ErrorOfTerminal | None = None
        self.is_unknown = self.is_quiet = self.is_described = self.is_everyone = False
        self.connections = 0

    def hide(self) -> None:
        self.world.watch.show(BAD, wanted=False)

    @override
    def initialize(self, *args: object, **kwargs: object) -> bool:
        self.connections += 1
        return super().initialize(*args, **kwargs)

    @override
    def symbol_select(self, *args: object) -> bool:
        return not self._fails(args, unknown=True) and super().symbol_select(*args)

    @override
    def symbol_info(self, *args: object) -> SymbolInfo | None:
        return None if self._fails(args, unknown=True) else super().symbol_info(*args)

    @override
    def symbol_info_tick(self, *args: object) -> Tick | None:
        if not self.is_described and self._fails(args):
            return None
        tick = super().symbol_info_tick(*args)
        return EMPTY_TICK if self.is_quiet and args[0] == BAD else tick

    @override
    def copy_ticks_from(self, *args: object) -> TickRows | None:
        if self._fails(args):
            return None
        rows = super().copy_ticks_from(*args)
        return rows[:0] if rows is not None and self.is_quiet and args[0] == BAD else rows

    def _fails(self, args: tuple[object, ...], *, unknown: bool = False) -> bool:
        is_meant = args[0] == BAD or self.is_everyone
        if not is_meant or self.trouble is None or (unknown and not self.is_unknown):
            return False
        self._error = self.trouble
        return True


def sequences(journal: TickJournal) -> dict[str, int]:
    return {stream.key.symbol: stream.next_sequence for stream in journal.streams}


def others_grew(journal: TickJournal, before: dict[str, int], ticks: int) -> bool:
    now = sequences(journal)
    return all(now[name] >= before.get(name, 1) + ticks for name in ALL if name != BAD)


Turn = Callable[[OneBad], None]


def fails(error: ErrorOfTerminal) -> Turn:
    def turn(terminal: OneBad) -> None:
        terminal.trouble = error

    return turn


def is_unlisted(terminal: OneBad) -> None:
    terminal.trouble, terminal.is_unknown = errors.NOT_FOUND, True


def is_well(terminal: OneBad) -> None:
    terminal.trouble, terminal.is_unknown = None, False
    terminal.is_everyone = False


TROUBLES = {
    "call failed": (
        fails(errors.CALL_FAILED),
        "TERMINAL_SYMBOL_SILENT, Terminal: Call failed (-1)",
    ),
    "not found": (fails(errors.NOT_FOUND), "TERMINAL_SYMBOL_UNKNOWN"),
    "says nothing": (fails(errors.SUCCESS), "TERMINAL_SYMBOL_SILENT, Success (1)"),
    "unlisted": (is_unlisted, "TERMINAL_SYMBOL_UNKNOWN"),
}


@pytest.mark.parametrize(
    ("trouble", "from_the_start"),
    [*((name, False) for name in TROUBLES), ("call failed", True), ("unlisted", True)],
)
@async_test
async def test_one_bad_symbol_stops_no_other_and_loses_nothing(
    home: Path, trouble: str, *, from_the_start: bool
) -> None:
    turn, words = TROUBLES[trouble]
    terminal = OneBad()
    if from_the_start:
        turn(terminal)
    async with polling(home, terminal, settings=ConnectorSettings(symbols=ALL)) as (
        poller,
        journal,
    ):
        if not from_the_start:
            await eventually(lambda: poller.state is ComponentState.HEALTHY)
            turn(terminal)
        await eventually(lambda: poller.statistics()["set_aside"] == f"{BAD}: {words}")
        await eventually(lambda: poller.state is ComponentState.DEGRADED)
        assert poller.symbols == ("EURUSD", "GBPUSD", "XAUUSD")
        before, connections = sequences(journal), terminal.connections
        await eventually(lambda: others_grew(journal, before, 200))
        assert poller.state is ComponentState.DEGRADED
        assert terminal.connections == connections == 1
        assert sequences(journal).get(BAD) == before.get(BAD)
        assert set(poller.silent().values()) == (set() if from_the_start else {words})
        is_well(terminal)
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        at = sequences(journal)
        await eventually(lambda: sequences(journal)[BAD] > at[BAD] + 100)
        assert poller.statistics()["set_aside"] is None
        assert terminal.connections == 1
        assert not journal.gaps.added
        await require_history(journal, terminal)


@async_test
async def test_a_symbol_that_had_no_tick_yet_is_collected_from_its_first_on(home: Path) -> None:
    terminal = OneBad()
    terminal.is_quiet = True
    async with polling(home, terminal) as (poller, journal):
        await eventually(lambda: others_grew(journal, {}, 200))
        assert poller.state is ComponentState.HEALTHY, "silence is no failure"
        assert sequences(journal)[BAD] == 1
        terminal.is_quiet = False
        await eventually(lambda: sequences(journal)[BAD] > 200)
        await require_history(journal, terminal)


@async_test
async def test_a_symbol_without_a_tick_waits_while_nobody_tells_the_brokers_time(
    home: Path,
) -> None:
    terminal = OneBad()
    terminal.is_quiet = True
    async with polling(home, terminal, settings=ConnectorSettings(symbols=(BAD,))) as (
        poller,
        journal,
    ):
        words = f"{BAD}: TERMINAL_SYMBOL_WITHOUT_TICK"
        await eventually(lambda: poller.statistics()["set_aside"] == words)
        assert not journal.streams
        terminal.is_quiet = False
        await eventually(lambda: taken(journal) > 100)
        await require_history(journal, terminal)


@async_test
async def test_a_symbol_that_is_wanted_and_hidden_is_shown_again(home: Path) -> None:
    terminal = OneBad()
    async with polling(home, terminal, settings=ConnectorSettings(symbols=ALL)) as (
        poller,
        journal,
    ):
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        terminal.hide()
        await eventually(lambda: terminal.world.watch.is_shown(BAD))
        at = sequences(journal)
        await eventually(lambda: sequences(journal)[BAD] > at[BAD] + 100)
        await require_history(journal, terminal)


@async_test
async def test_a_terminal_that_is_lost_at_every_question_is_not_asked_without_a_pause(
    home: Path,
) -> None:
    terminal = OneBad()
    async with polling(home, terminal) as (poller, journal):
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        terminal.trouble, terminal.is_described = errors.IPC_TIMEOUT, True
        terminal.is_everyone = True
        begun, started_ns = terminal.connections, CLOCK.monotonic_ns()
        await eventually(lambda: terminal.connections >= begun + 4)
        assert CLOCK.monotonic_ns() - started_ns > 1_000_000_000, "0.1, 0.2, 0.4, 0.8 s"
        assert poller.state is not ComponentState.HEALTHY, "being connected is not being well"
        is_well(terminal)
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        await require_history(journal, terminal)


@async_test
async def test_a_symbol_at_which_the_terminal_is_lost_again_and_again_is_set_aside_alone(
    home: Path,
) -> None:
    terminal = OneBad()
    async with polling(home, terminal) as (poller, journal):
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        terminal.trouble, terminal.is_described = errors.IPC_TIMEOUT, True
        words = f"{BAD}: TERMINAL_SYMBOL_SILENT, IPC timeout (-10005)"
        await eventually(lambda: poller.statistics()["set_aside"] == words)
        before = sequences(journal)
        await eventually(lambda: others_grew(journal, before, 200))
        is_well(terminal)
        await eventually(lambda: sequences(journal)[BAD] > before[BAD] + 100)
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        assert not journal.gaps.added
        await require_history(journal, terminal)


@async_test
async def test_pauses_grow_and_end_with_a_good_answer() -> None:
    clock = ManualClock()
    aside = SetAsides(clock)
    why = SYMBOL_SILENT.error(symbol=BAD, number=-1, text="Terminal: Call failed")
    assert aside.put(BAD, why), "news"
    assert not aside.put(BAD, why), "no news"
    await clock.advance(2 * RETRY_FIRST_S)
    assert aside.due() == [BAD]
    aside.try_again(BAD)
    assert aside.may_ask(BAD)
    assert aside.put(BAD, TERMINAL_SYMBOL_UNKNOWN.error(symbol=BAD)), "another reason is news"
    assert not aside.may_ask(BAD)
    for _ in range(20):
        aside.put(BAD, why)
    await clock.advance(RETRY_MAX_S - 1)
    assert not aside.due()
    await clock.advance(1)
    assert aside.due() == [BAD]
    assert aside.well(BAD)
    assert (len(aside), aside.words(), aside.well(BAD)) == (0, None, False)


def test_health_names_some_and_counts_the_rest() -> None:
    aside = SetAsides(CLOCK)
    for number in range(SHOWN_MAX + 3):
        aside.put(f"S{number}", STREAMS_FULL.error(count=1, limit=1))
    words = aside.words()
    assert words is not None
    assert words.endswith("; and 3 more")
    aside.keep({"S1", "S2"})
    assert aside.words() == "S1: STREAMS_FULL; S2: STREAMS_FULL"
