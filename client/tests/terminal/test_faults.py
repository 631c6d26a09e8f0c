"""Faults happen where their script says, and the same run happens again."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.broker_time import broker_offset_s
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.faults import FaultKind, FaultRule, Gate, read_faults
from aitrading.client.terminal.sim.from_settings import simulated_terminal
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock

START_S = 1_700_000_000
NOW_S = START_S + broker_offset_s(START_S)
OPEN = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0}


class ClockGate(Gate):
    """Waiting moves the clock instead."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    @override
    def wait(self, seconds: float | None) -> None:
        self._clock.step_wall(seconds or 1.0)


def twin(*rules: FaultRule, seed: int = 0) -> tuple[SimulatedTerminal, ManualClock]:
    clock = ManualClock()
    terminal = SimulatedTerminal(clock, seed=seed, faults=rules, gate=ClockGate(clock))
    terminal.initialize()
    return terminal, clock


def rule(kind: FaultKind, **fields: object) -> FaultRule:
    return FaultRule(kind=kind, **fields)  # type: ignore[arg-type]


def test_a_lost_reply_leaves_an_executed_order_behind() -> None:
    terminal, _ = twin(rule(FaultKind.REPLY_LOST, call="order_send", on_call=1))
    assert terminal.order_send(OPEN) is None
    assert terminal.last_error() == (-10005, "IPC timeout")
    assert terminal.positions_total() == 1


def test_a_timeout_before_execution_leaves_nothing() -> None:
    terminal, _ = twin(rule(FaultKind.IPC_TIMEOUT, call="order_send", on_call=1))
    assert terminal.order_send(OPEN) is None
    assert terminal.last_error() == (-10005, "IPC timeout")
    assert terminal.positions_total() == 0
    assert terminal.order_send(OPEN) is not None, "once only"


def test_a_restart_needs_initialize_and_keeps_the_account() -> None:
    terminal, _ = twin(rule(FaultKind.RESTART, call="symbol_info", on_call=2))
    assert terminal.order_send(OPEN)
    assert terminal.symbol_info("EURUSD")
    assert terminal.symbol_info("EURUSD") is None
    assert terminal.last_error() == (-10004, "No IPC connection")
    assert terminal.positions_total() is None
    assert terminal.initialize()
    assert terminal.positions_total() == 1


def test_trading_is_disabled_for_a_while() -> None:
    terminal, clock = twin(
        rule(FaultKind.TRADE_DISABLED, call="terminal_info", on_call=1, duration_s=30)
    )
    info = terminal.terminal_info()
    assert info is not None
    assert not info.trade_allowed
    result = terminal.order_send(OPEN)
    assert result is not None
    assert (result.retcode, result.comment) == (10027, "AutoTrading disabled by client")
    clock.step_wall(31)
    result = terminal.order_send(OPEN)
    assert result is not None
    assert result.retcode == 10009


def test_an_order_at_market_is_requoted_once_and_a_check_does_not_use_it_up() -> None:
    terminal, _ = twin(rule(FaultKind.REQUOTE, call="order_check", on_call=1))
    checked = terminal.order_check(OPEN)
    assert checked is not None
    assert checked.retcode == 0
    tick = terminal.symbol_info_tick("EURUSD")
    assert tick is not None
    waits = terminal.order_send(OPEN | {"action": 5, "type": 2, "price": tick.ask - 0.01})
    assert waits is not None
    assert waits.retcode == c.TRADE_RETCODE_DONE, "only an order at market has a price to ask"
    result = terminal.order_send(OPEN)
    assert result is not None
    assert (result.retcode, result.price, result.deal) == (c.TRADE_RETCODE_REQUOTE, tick.ask, 0)
    assert terminal.positions_total() == 0
    again = terminal.order_send(OPEN)
    assert again is not None
    assert again.retcode == c.TRADE_RETCODE_DONE


def test_a_full_disk_stops_history_and_nothing_else() -> None:
    terminal, _ = twin(rule(FaultKind.DISK_FULL, at_s=0))
    assert terminal.symbol_info_tick("EURUSD")
    assert terminal.copy_ticks_from("EURUSD", NOW_S - 9, 9, COPY_TICKS_ALL) is None
    assert terminal.last_error() == (-1, "Terminal: Call failed")
    terminal.world.faults.lift(FaultKind.DISK_FULL)
    assert terminal.copy_ticks_from("EURUSD", NOW_S - 9, 9, COPY_TICKS_ALL) is not None


def test_the_clock_begins_where_it_is_told_and_runs_as_fast_as_it_is_told() -> None:
    clock = ManualClock()
    friday_s = 1_699_041_600  # 23:00 on the broker's clock
    described = SimulatedTerminalSettings(
        clock_starts_s=friday_s, clock_speed=3_600.0, keeps_hours=True, ticks_per_s=1.0
    )
    terminal = simulated_terminal(described, clock)
    assert terminal.initialize()
    opened = terminal.order_send(OPEN)
    clock.step_wall(2.0)  # two hours later it is Saturday on the broker's clock
    late = terminal.order_send(OPEN)
    tick = terminal.symbol_info_tick("EURUSD")
    assert opened is not None
    assert late is not None
    assert tick is not None
    assert (opened.retcode, late.retcode) == (c.TRADE_RETCODE_DONE, c.TRADE_RETCODE_MARKET_CLOSED)
    assert 3_000 < tick.time - broker_offset_s(friday_s) - friday_s < 3_600


def test_a_clock_step_moves_the_market() -> None:
    terminal, _ = twin(rule(FaultKind.CLOCK_STEP, call="version", on_call=1, step_s=3_600))
    before = terminal.symbol_info_tick("EURUSD")
    terminal.version()
    after = terminal.symbol_info_tick("EURUSD")
    assert before is not None
    assert after is not None
    assert 3_500_000 < after.time_msc - before.time_msc < 3_700_000


@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE_TICK, FaultKind.OUT_OF_ORDER_TICK])
def test_bad_ticks_are_in_history_and_stay_there(kind: FaultKind) -> None:
    ask = ("EURUSD", NOW_S - 600, 10_000, COPY_TICKS_ALL)
    good, _ = twin()
    bad, _ = twin(rule(kind, call="EUR*", probability=0.05))
    sound, told = good.copy_ticks_from(*ask), bad.copy_ticks_from(*ask)
    assert sound is not None
    assert told is not None
    again = bad.copy_ticks_from(*ask)
    assert again is not None
    assert told.tobytes() == again.tobytes() != sound.tobytes()
    near = bad.copy_ticks_from("EURUSD", NOW_S - 2, 10_000, COPY_TICKS_ALL)
    assert near is not None
    assert told.tobytes().endswith(near.tobytes()), "however it is asked"
    if kind is FaultKind.DUPLICATE_TICK:
        assert 0 < len(told) - len(sound) < len(sound) / 5
    else:
        assert (np.diff(told["time_msc"]) < 0).any()
    others = (good.symbol_info_tick("GBPUSD"), bad.symbol_info_tick("GBPUSD"))
    assert others[0] == others[1], "other symbols are as they were"


@async_test
async def test_a_wedged_call_returns_when_it_is_released() -> None:
    terminal = SimulatedTerminal(
        ManualClock(), faults=[rule(FaultKind.WEDGE, call="positions_get", on_call=1)]
    )
    terminal.initialize()
    answers: list[object] = []
    wedged = threading.Thread(target=lambda: answers.append(terminal.positions_get()))
    wedged.start()
    await eventually(lambda: len(terminal.world.faults.happened) == 1)
    assert wedged.is_alive()
    await eventually(lambda: terminal.world.faults.gate.release() or not wedged.is_alive())
    assert answers == [None]
    assert terminal.last_error() == (-10005, "IPC timeout")


RULES = st.builds(
    lambda kind, chance, mask: FaultRule(
        kind=kind, probability=chance, call=mask, duration_s=2.0, step_s=-1.0
    ),
    st.sampled_from(sorted(FaultKind)),
    st.floats(0.05, 1),
    st.sampled_from(["*", "symbol_*", "order_send", "EUR*"]),
)


@settings(max_examples=12, deadline=None)
@given(rules=st.lists(RULES, max_size=4), seed=st.integers(0, 9))
def test_the_same_seed_and_script_make_the_same_run(rules: list[FaultRule], seed: int) -> None:
    def run() -> list[object]:
        terminal, clock = twin(*rules, seed=seed)
        seen: list[object] = []
        for _ in range(6):
            clock.step_wall(0.7)
            ticks = terminal.copy_ticks_from("EURUSD", NOW_S - 3, 50, COPY_TICKS_ALL)
            seen += [terminal.initialize(), terminal.symbol_info("EURUSD"),
                     terminal.order_send(OPEN), terminal.positions_get(),
                     ticks is None or ticks.tobytes(), terminal.last_error()]  # fmt: skip
        return [*seen, *terminal.world.faults.happened]

    assert run() == run()


@pytest.mark.parametrize(
    "script",
    [
        "[[fault]]\nkind = 'earthquake'\non_call = 1",
        "[[fault]]\nkind = 'wedge'",
        "[[fault]]\nkind = 'wedge'\non_call = 1\nat_s = 2.0",
        "[[fault]]\nkind = 'wedge'\non_call = 0",
        "[[fault]]\nkind = 'duplicate_tick'\non_call = 1",
        "[[fault]]\nkind = 'wedge'\non_call = 1\nnonsense = 1",
        "[[fault]]\nkind = 'wedge'\non_call = 1\nduration_s = inf",
        "[[fault]]\nkind = 'clock_step'\non_call = 1\nstep_s = nan",
        "[[fault]]\nkind = 'clock_step'\non_call = 1\nstep_s = -1e12",
        "faults",
    ],
)
def test_a_script_that_makes_no_sense_is_refused(tmp_path: Path, script: str) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(script)
    with pytest.raises(AitradingError, match="not understood"):
        read_faults(file)


def test_a_script_is_read(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text("[[fault]]\nkind = 'slow_call'\ncall = 'order_*'\nat_s = 3\nduration_s = 0.5")
    (read,) = read_faults(file)
    assert (read.kind, read.at_s, read.duration_s) == (FaultKind.SLOW_CALL, 3.0, 0.5)
