"""The poller against the simulated terminal, on the machine's clock."""

from collections import defaultdict
from pathlib import Path
from uuid import UUID

from aitrading.client.metatrader_connector.journal import STATE_NAME
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.market.instruments import (
    FOUR_SYMBOLS,
    SimulatedInstrument,
)
from aitrading.client.testing.polling import (
    CLOCK,
    polling,
    remembered,
    require_history,
    taken,
)
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually


@async_test
async def test_every_tick_of_every_symbol_is_taken_once(home: Path) -> None:
    terminal = SimulatedTerminal(CLOCK, ticks_per_s=2_000)
    async with polling(home, terminal) as (poller, journal):
        await eventually(lambda: taken(journal) > 10_000)
        assert poller.state is ComponentState.HEALTHY
        assert poller.broker_offset_s == broker_offset_s(CLOCK.now_ns() // NS_PER_S)
        assert len(journal.streams) == 4
    async with polling(home, terminal) as (_, journal):
        before = taken(journal)
        await eventually(lambda: taken(journal) > before + 5_000)
        await require_history(journal, terminal)


@async_test
async def test_a_long_past_does_not_keep_the_brokers_clock_from_being_found(home: Path) -> None:
    """Before the offset is known nothing is taken, so each answer is as long as the one before."""
    settings = ConnectorSettings(poll_ticks=100, backfill_s=60, symbols=("EURUSD",))
    terminal = SimulatedTerminal(CLOCK, seed=3, ticks_per_s=200)
    async with polling(home, terminal, settings=settings) as (poller, journal):
        await eventually(lambda: taken(journal) > 1_000)
        assert poller.broker_offset_s is not None
        await require_history(journal, terminal)


@async_test
async def test_a_terminal_that_dies_costs_no_tick(home: Path) -> None:
    terminal = SimulatedTerminal(CLOCK, ticks_per_s=500)
    async with polling(home, terminal) as (poller, journal):
        await eventually(lambda: taken(journal) > 500)
        for _ in range(3):
            before = taken(journal)
            terminal.shutdown()
            await eventually(lambda before=before: taken(journal) > before + 500)
        assert poller.state is ComponentState.HEALTHY
        await require_history(journal, terminal)


@async_test
async def test_a_full_spool_pauses_and_costs_no_tick(home: Path) -> None:
    terminal = SimulatedTerminal(CLOCK, ticks_per_s=2_000)
    limits = SpoolLimits(limit_bytes=300_000, segment_bytes=20_000)
    async with polling(home, terminal, limits=limits) as (poller, journal):
        kept: dict[UUID, bytes] = defaultdict(bytes)
        position = 0
        while sum(map(len, kept.values())) < 2 * limits.limit_bytes:
            await eventually(lambda: poller.paused_by == "SPOOL_FULL")
            assert poller.state is ComponentState.DEGRADED
            while entries := await journal.read(position, 1 << 20):
                for one in entries:
                    kept[one.batch.stream] += bytes(one.batch.rows)
                position = entries[-1].position + 1
            before = taken(journal)
            await journal.release(journal.spool.durable_position)
            await eventually(lambda before=before: taken(journal) > before)
        for stream in journal.streams:
            data = kept[stream.id]
            assert remembered(terminal, stream, data).find(data) % 24 == 0


class OtherDigits(SimulatedTerminal):
    """A broker that changes the digits of its symbols over night."""

    def change(self, digits: int) -> None:
        changed = [
            SimulatedInstrument(
                name=one.name, digits=digits, price_points=one.price_points * 100,
                step_points=one.step_points, spread_points=one.spread_points,
            )
            for one in FOUR_SYMBOLS
        ]  # fmt: skip
        SimulatedTerminal.__init__(self, CLOCK, ticks_per_s=200, instruments=changed)
        self.initialize()


@async_test
async def test_other_digits_open_a_later_epoch(home: Path) -> None:
    terminal = OtherDigits(CLOCK, ticks_per_s=200)
    settings = ConnectorSettings(symbols=("EURUSD",))
    async with polling(home, terminal, settings=settings) as (_, journal):
        await eventually(lambda: taken(journal) > 50)
        terminal.change(7)
        fresh = await eventually(
            lambda: next((one for one in journal.streams if one.digits == 7), None)
        )
        await eventually(lambda: fresh.next_sequence > 50)
        old = next(one for one in journal.streams if one.digits == 5)
        assert not old.active
        assert fresh.key.epoch > old.key.epoch


@async_test
async def test_a_state_that_cannot_be_written_is_told_and_costs_no_tick(home: Path) -> None:
    terminal = OtherDigits(CLOCK, ticks_per_s=200)
    settings = ConnectorSettings(symbols=("EURUSD",))
    async with polling(home, terminal, settings=settings) as (poller, journal):
        await eventually(lambda: taken(journal) > 50)
        state = home / STATE_NAME
        state.unlink()
        state.mkdir()  # nothing can be written in its place
        terminal.change(7)
        await eventually(lambda: poller.paused_by is not None)
        assert poller.state is ComponentState.DEGRADED
        assert [(one.digits, one.active) for one in journal.streams] == [(5, True)]
        state.rmdir()
        await eventually(
            lambda: len(journal.streams) == 2 and journal.streams[1].next_sequence > 50
        )
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        assert poller.paused_by is None


@async_test
async def test_an_unknown_symbol_is_told_and_tried_again(home: Path) -> None:
    terminal = SimulatedTerminal(CLOCK)
    settings = ConnectorSettings(symbols=("EURUSDm",))
    async with polling(home, terminal, settings=settings) as (poller, journal):
        await eventually(lambda: poller.account is not None)
        assert not journal.streams
        assert poller.state is not ComponentState.HEALTHY
