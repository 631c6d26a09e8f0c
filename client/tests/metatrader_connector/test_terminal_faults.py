"""Whatever happens to the terminal or a worker: every tick of the twin is stored once, in its order."""

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from typing_extensions import override

from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.poller import TERMINAL_RECONNECT, TickPoller
from aitrading.client.metatrader_connector.rows import to_rows
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.broker_time import (
    SUMMER_OFFSET_S,
    WINTER_OFFSET_S,
    broker_offset_s,
)
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.faults import TICK_FAULTS, FaultKind, FaultRule
from aitrading.client.terminal.sim.market.generator import TICKS_PER_SECOND_MAX
from aitrading.client.testing.desk import AtOnce, Desk, open_desk
from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.seeded import SeededRandomness

KEYS = some_file_keys()
MANY, FEW = 400.0, 15.0
"""Ticks per second and symbol; few, where a whole hour of them is fetched at once."""
WEDGED_CALLS = 3
HOUR_NS = 3_600 * NS_PER_S
SPRING_NS = 1_772_953_200 * NS_PER_S
"""8 March 2026, 07:00 UTC: the broker's clock jumps an hour ahead."""
AUTUMN_NS = 1_793_512_800 * NS_PER_S
"""1 November 2026, 06:00 UTC: the broker's clock shows an hour again."""


class Elsewhen(SystemClock):
    """The machine's clock, at another time."""

    def __init__(self, starts_ns: int | None = None) -> None:
        self.skew_ns = 0 if starts_ns is None else starts_ns - super().now_ns()

    @override
    def now_ns(self) -> int:
        return super().now_ns() + self.skew_ns


class Feed:
    """A poller over a real worker, and what it stored."""

    def __init__(
        self, desk: Desk, poller: TickPoller, journal: TickJournal, errors: ErrorHandler
    ) -> None:
        self.desk, self.poller, self.journal = desk, poller, journal
        self._errors = errors

    @property
    def attempts(self) -> int:
        """How often the poller connected or tried to: it may have done so before one can look."""
        return self._errors.recovery_report()[TERMINAL_RECONNECT.name].acts

    @property
    def taken(self) -> int:
        return sum(stream.next_sequence - 1 for stream in self.journal.streams)

    async def goes_on(self, ticks: int = 400) -> None:
        before = self.taken
        await eventually(lambda: self.taken > before + ticks)
        await eventually(lambda: self.poller.state is ComponentState.HEALTHY)

    async def kept(self) -> dict[UUID, bytes]:
        """The rows of each stream that are stored, in order."""
        position, kept = 0, dict[UUID, bytes]()
        while entries := await self.journal.read(position, 1 << 20):
            for one in entries:
                rows = bytes(one.batch.rows)
                kept[one.batch.stream] = kept.get(one.batch.stream, b"") + rows
            position = entries[-1].position + 1
        return kept

    async def require_history(self, twin: SimulatedTerminal | None = None) -> None:
        """Each stream is a stretch of the twin's history without a hole or a repeat."""
        twin = twin or self.desk.twin
        twin.initialize()
        kept = await self.kept()
        assert len(kept) == 4
        for stream in self.journal.streams:
            data = kept[stream.id]
            count = len(data) // 24 + TICKS_PER_SECOND_MAX
            first_s = int.from_bytes(data[:8], "little") // 1_000
            ticks = twin.copy_ticks_from(stream.key.symbol, first_s, count, COPY_TICKS_ALL)
            assert ticks is not None
            assert to_rows(ticks, stream.digits).rows.tobytes().find(data) % 24 == 0

    async def require_nothing_in_silence(self) -> None:
        """Each row of the twin's history is stored once, or lies in a recorded gap."""
        twin, offset = self.desk.twin, self.journal.offset
        assert offset is not None
        twin.initialize()
        for stream_id, data in (await self.kept()).items():
            stream = self.journal.find(stream_id)
            assert stream is not None
            stored = np.frombuffer(data, TICK_DTYPE)
            assert np.all(np.diff(stored["event_ms"]) >= 0), "never back in time"
            first_s, count = int(stored["event_ms"][0]) // 1_000, 4 * len(stored)
            ticks = twin.copy_ticks_from(stream.key.symbol, first_s, count, COPY_TICKS_ALL)
            assert ticks is not None
            history = to_rows(ticks, stream.digits).rows
            begins, ends = stored["event_ms"][0], stored["event_ms"][-1]
            history = history[(history["event_ms"] > begins) & (history["event_ms"] < ends)]
            assert not Counter(stored[1:].tolist()) - Counter(
                to_rows(ticks, stream.digits).rows.tolist()
            ), "nothing twice, nothing that the terminal never gave"
            utc_ms = history["event_ms"] - offset.of(history["event_ms"]) * 1_000
            known = np.zeros(len(history), bool)
            for gap in self.journal.gaps.newest:
                if gap.stream == stream_id:
                    known |= (utc_ms >= gap.from_ms) & (utc_ms <= gap.until_ms)
            assert not Counter(history[~known].tolist()) - Counter(stored.tolist())

    async def require_true_times(self) -> None:
        """Each batch has the offset that the broker's clock had at every one of its ticks."""
        position = 0
        while entries := await self.journal.read(position, 1 << 20):
            for batch in (one.batch for one in entries):
                utc_s = batch.array()["event_ms"] // 1_000 - batch.broker_offset_s
                assert {broker_offset_s(second) for second in utc_s.tolist()} == {
                    batch.broker_offset_s
                }
            position = entries[-1].position + 1


@asynccontextmanager
async def feed(
    folder: Path,
    clock: SystemClock,
    ticks_per_s: float = MANY,
    *,
    rules: Sequence[FaultRule] = (),
    twin: SimulatedTerminal | None = None,
    settings: ConnectorSettings = ConnectorSettings(),  # noqa: B008 - frozen
) -> AsyncGenerator[Feed]:
    metrics = Metrics()
    errors = ErrorHandler(
        clock=clock, randomness=AtOnce(), metrics=metrics, resilience=ResilienceRegistry()
    )
    journal = await TickJournal.open(
        folder / "journal",
        identity=JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2))),
        limits=SpoolLimits(), clock=clock, ids=SystemIdFactory(clock, AtOnce()), keys=KEYS,
    )  # fmt: skip
    twin = twin or SimulatedTerminal(clock, ticks_per_s=ticks_per_s, faults=rules)
    patience_s = 1.0 if ticks_per_s == MANY else 20.0
    async with open_desk(folder, twin, call_timeout_s=patience_s, workers_max=1) as desk:
        poller = TickPoller(
            desk.pool, journal, settings, clock=clock, errors=errors, metrics=metrics
        )
        await poller.start()
        try:
            yield Feed(desk, poller, journal, errors)
        finally:
            await poller.stop()
            await journal.close()


@async_test
async def test_faults_of_terminal_and_worker_cost_no_tick_and_double_none(home: Path) -> None:
    async with feed(home, SystemClock()) as at:
        await at.goes_on()
        for kind in ("ipc_timeout", "reply_lost", "wedge", "restart"):
            happened, attempts = len(at.desk.twin.world.faults.happened), at.attempts
            at.desk.inject(kind=kind, call="copy_ticks_from", on_call=1)
            await eventually(
                lambda before=happened: len(at.desk.twin.world.faults.happened) > before
            )
            await eventually(lambda before=attempts: at.attempts > before)
            await at.goes_on()
        at.desk.inject(kind="slow_call", call="copy_ticks_from", on_call=1, duration_s=0.2)
        await at.goes_on()
        for _ in range(3):
            [pid] = at.desk.pool.pids
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda killed=pid: killed not in at.desk.pool.pids)
            await at.goes_on()
        assert not at.journal.gaps.added
        await at.require_history()


def rule(kind: FaultKind, **fields: Any) -> FaultRule:
    return FaultRule(kind=kind, **fields)


SCRIPTS = {
    "duplicates": [rule(FaultKind.DUPLICATE_TICK, probability=0.05)],
    "out of order": [rule(FaultKind.OUT_OF_ORDER_TICK, probability=0.05)],
    "disk full": [rule(FaultKind.DISK_FULL, call="copy_*", on_call=20, duration_s=0.5)],
    "trading disabled": [rule(FaultKind.TRADE_DISABLED, on_call=1)],
    "by seed": [
        rule(kind, call="copy_ticks_from", probability=0.02, duration_s=0.05)
        for kind in (FaultKind.IPC_TIMEOUT, FaultKind.REPLY_LOST, FaultKind.SLOW_CALL)
    ],
}


@pytest.mark.parametrize("script", sorted(SCRIPTS))
@async_test
async def test_a_script_of_faults_from_the_start_costs_no_tick(home: Path, script: str) -> None:
    """What a terminal has twice or out of order is what it has: it is stored like that."""
    rules = SCRIPTS[script]
    async with feed(home, SystemClock(), rules=rules) as at:
        await at.goes_on()
        faults = at.desk.twin.world.faults
        if not TICK_FAULTS.intersection(one.kind for one in rules):
            await eventually(lambda: bool(faults.happened))
        await at.goes_on()
        assert not at.journal.gaps.added
        lasting = [one for one in rules if one.kind in TICK_FAULTS]
        await at.require_history(
            SimulatedTerminal(SystemClock(), ticks_per_s=MANY, faults=lasting)
        )


@async_test
async def test_a_terminal_that_stays_wedged_is_degraded_until_it_answers(home: Path) -> None:
    """One worker after the other hangs and is replaced; the terminal's history keeps the ticks."""
    async with feed(home, SystemClock()) as at:
        await at.goes_on()
        attempts = at.attempts
        at.desk.inject(kind="wedge", call="copy_ticks_from", on_call=1, times=WEDGED_CALLS)
        await eventually(lambda: at.poller.state is ComponentState.DEGRADED)
        await eventually(lambda: at.attempts >= attempts + WEDGED_CALLS)
        await at.goes_on()
        assert not at.journal.gaps.added
        await at.require_history()


@async_test
async def test_a_terminal_that_is_closed_is_degraded_until_it_is_back(home: Path) -> None:
    async with feed(home, SystemClock()) as at:
        await at.goes_on()
        at.desk.twin.world.is_running = False
        await eventually(lambda: at.poller.state is ComponentState.DEGRADED)
        assert at.desk.pool.state is ComponentState.DEGRADED
        assert at.desk.pool.workers == 0
        at.desk.twin.world.is_running = True
        await at.goes_on()
        await at.require_history()


@pytest.mark.parametrize("step_s", [3_600.0, -2.0])
@async_test
async def test_a_clock_that_steps_costs_no_tick_or_is_a_recorded_gap(
    home: Path, step_s: float
) -> None:
    async with feed(home, SystemClock(), FEW) as at:
        await at.goes_on(100)
        at.desk.twin.world.clock.step(step_s)
        await at.goes_on(200)
        assert bool(at.journal.gaps.added) == (step_s < 0), "what was taken is not there any more"
        if step_s > 0:
            await at.require_history()


@async_test
async def test_a_script_of_clock_steps_and_restarts_loses_nothing_in_silence(home: Path) -> None:
    """By seed: the terminal's clock jumps while the client runs, and while it does not."""
    chance, back, clock = SeededRandomness(2), 0, SystemClock()
    twin = SimulatedTerminal(clock, ticks_per_s=FEW)
    for _ in range(4):
        async with feed(home, clock, FEW, twin=twin) as at:
            await at.goes_on(40)
            step_s = chance.uniform(-2.0, 4.0)
            twin.world.clock.step(step_s)
            await at.goes_on(40)
            back += step_s < 0
            await at.require_nothing_in_silence()
            gaps = at.journal.gaps.newest
        twin.world.clock.step(chance.uniform(-2.0, 4.0))
    assert back, "the seed has steps both ways"
    assert len({gap.noticed_ns for gap in gaps}) >= back


@pytest.mark.parametrize(
    ("moment_ns", "offset_s"), [(SPRING_NS, SUMMER_OFFSET_S), (AUTUMN_NS, WINTER_OFFSET_S)]
)
@async_test
async def test_the_night_in_which_clocks_change_costs_no_tick(
    home: Path, moment_ns: int, offset_s: int
) -> None:
    clock = Elsewhen(moment_ns - 60 * NS_PER_S)
    async with feed(home, clock, FEW) as at:
        await at.goes_on(60)
        assert at.poller.broker_offset_s == SUMMER_OFFSET_S + WINTER_OFFSET_S - offset_s
        clock.skew_ns += max(0, moment_ns - NS_PER_S - clock.now_ns())
        await eventually(lambda: clock.now_ns() > moment_ns)
        if moment_ns == AUTUMN_NS:  # nobody trades in the hour that comes twice
            clock.skew_ns += HOUR_NS
        await at.goes_on(100)
        await eventually(lambda: at.poller.broker_offset_s == offset_s)
        await at.require_history()
        await at.require_true_times()


@async_test
async def test_a_past_from_before_such_a_night_is_left_out_and_written_down(home: Path) -> None:
    """Two hours are asked for a minute after the night: what is taken has true times."""
    clock = Elsewhen(SPRING_NS + 60 * NS_PER_S)
    settings = ConnectorSettings(backfill_s=7_200)
    async with feed(home, clock, FEW, settings=settings) as at:
        await at.goes_on(200)
        assert len(at.journal.streams) == 4
        assert [gap.until_ms for gap in at.journal.gaps.newest] == [SPRING_NS // 1_000_000] * 4
        await at.require_history()
        await at.require_true_times()


@async_test
async def test_ticks_after_the_user_switched_the_account_are_the_new_ones(home: Path) -> None:
    async with feed(home, SystemClock()) as at:
        await at.goes_on()
        old = at.poller.account
        assert old is not None
        at.desk.switch_account(old.login + 1)
        await eventually(lambda: at.poller.account is not old)
        kept = {one.id: one.next_sequence for one in at.journal.streams}
        await at.goes_on()
        for stream in at.journal.streams:
            if stream.key.login == old.login:
                assert stream.next_sequence == kept[stream.id]
        assert {one.key.login for one in at.journal.streams} == {old.login, old.login + 1}
