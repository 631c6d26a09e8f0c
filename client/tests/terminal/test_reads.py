"""What is remembered of the terminal, for how long, and what never is."""

from collections import Counter

import pytest

from aitrading.client.benchmarks.reads import measure_reads
from aitrading.client.terminal import reads as module
from aitrading.client.terminal.calls import Answer, Call, Lane, call
from aitrading.client.terminal.reads import AGES_S, RememberedReads
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.kit.clock import SystemClock
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock

INFO = call("symbol_info", "EURUSD")


class Counting(TerminalHere):
    """A terminal of this process that counts its calls."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(SimulatedTerminal(clock))
        self.calls: Counter[str] = Counter()
        self.terminal.initialize()

    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        self.calls.update(one.name for one in calls)
        return await super().ask(*calls, lane=lane)


@async_test
async def test_an_answer_is_remembered_until_its_age_and_not_longer() -> None:
    clock = ManualClock()
    terminal = Counting(clock)
    reads = RememberedReads(terminal, clock)
    [first] = await reads.ask(INFO)
    await clock.advance(AGES_S["symbol_info"] - 0.01)
    assert await reads.ask(INFO) == [first]
    assert terminal.calls["symbol_info"] == 1
    await clock.advance(0.02)
    [later] = await reads.ask(INFO)
    assert terminal.calls["symbol_info"] == 2
    assert later.value.time > first.value.time


@async_test
async def test_an_answer_on_its_way_while_all_is_forgotten_is_not_remembered() -> None:
    class Switching(Counting):
        async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
            answers = await super().ask(*calls, lane=lane)
            if self.calls["symbol_info"] == 1:
                reads.forget()
            return answers

    reads = RememberedReads(terminal := Switching(clock := ManualClock()), clock)
    for _ in range(3):
        await reads.ask(INFO)
    assert terminal.calls["symbol_info"] == 2


@pytest.mark.parametrize(
    "one",
    [call("symbol_info_tick", "EURUSD"), call("account_info"), call("positions_get"),
     call("order_check", {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0}),
     call("copy_ticks_from", "EURUSD", 0, 1, -1), call("symbol_info", "NOPE")],
)  # fmt: skip
@async_test
async def test_what_an_order_depends_on_and_failures_are_never_remembered(one: Call) -> None:
    terminal = Counting(clock := ManualClock())
    reads = RememberedReads(terminal, clock)
    await reads.ask(one)
    await reads.ask(one)
    assert terminal.calls[one.name] == 2


@async_test
async def test_whoever_asks_for_an_order_gets_it_from_the_terminal() -> None:
    terminal = Counting(clock := ManualClock())
    reads = RememberedReads(terminal, clock)
    await reads.ask(INFO)
    await reads.ask(INFO, lane=Lane.ORDERS)
    assert terminal.calls["symbol_info"] == 2


@async_test
async def test_what_comes_again_and_again_is_asked_ahead_until_nobody_wants_it() -> None:
    terminal = Counting(clock := ManualClock())
    reads = RememberedReads(terminal, clock)
    await reads.start()
    for _ in range(100):
        await reads.ask(INFO, call("symbol_info", "GBPUSD"))
        await clock.advance(0.5)
    assert reads.counts.rate is not None
    assert reads.counts.misses == 2, "only the first of each had to wait"
    assert reads.counts.ahead >= 18
    await clock.advance(60)
    before = terminal.calls["symbol_info"]
    await clock.advance(60)
    assert terminal.calls["symbol_info"] == before
    await reads.stop()


@async_test
async def test_memory_is_bounded_by_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ANSWERS_MAX", 2)
    terminal = Counting(clock := ManualClock())
    reads = RememberedReads(terminal, clock)
    for symbol in ("EURUSD", "GBPUSD", "EURUSD", "USDJPY"):
        await reads.ask(call("symbol_info", symbol))
        await clock.advance(0.1)
    assert reads.counts.forgotten == 1
    await reads.ask(INFO)
    assert terminal.calls["symbol_info"] == 3, "EURUSD is still known, GBPUSD is not"


@async_test
async def test_the_benchmark_measures_what_memory_saves() -> None:
    figures = await measure_reads(SystemClock(), rounds=4)
    assert figures["reads.remembered_calls"] < figures["reads.floor_calls"]
    assert figures["reads.hit_rate"] > 0
