"""Real worker processes: what happens to calls that do not return, and to processes that end."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from aitrading.client.terminal.api.constants import COPY_TICKS_ALL
from aitrading.client.terminal.availability import FILE_NAME, read_availability
from aitrading.client.terminal.calls import Asks, Lane, call
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.pool.slot import Slot
from aitrading.client.terminal.pool.worker import WorkerProcess
from aitrading.client.terminal.port import AccountInfo
from aitrading.client.terminal.reads import RememberedReads
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.testing.desk import AtOnce, Desk
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

Open = Callable[..., AbstractAsyncContextManager[Desk]]
ORDER = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0}
SEND = call("order_send", ORDER)
NOW_S = SystemClock().now_ns() // NS_PER_S
HISTORY = call("copy_ticks_from", "EURUSD", NOW_S - 60, 1_000, COPY_TICKS_ALL)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not only waiting to be buried."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@async_test
async def test_a_call_that_wedges_costs_the_worker_and_not_the_caller(
    desk: Open, tmp_path: Path
) -> None:
    async with desk(call_timeout_s=1.5) as at:
        [before] = at.pool.pids
        at.inject(kind="wedge", call="symbol_info", on_call=1)
        asked = asyncio.ensure_future(at.pool.ask(call("symbol_info", "EURUSD")))
        await eventually(lambda: at.pool.wedges == 1)
        assert not is_alive(before)
        await at.pool.connected()
        [answer] = await asked
        assert answer.value.name == "EURUSD", "what only reads is asked once more"
        assert before not in at.pool.pids
        await at.pool.ask(call("account_info"), lane=Lane.TICKS)
    [months] = read_availability(tmp_path / FILE_NAME).values()
    [month] = months.values()
    assert month.failures == 1
    assert month.wedged_s >= 1.5, "from the question on that had no answer"
    assert month.up_s > 0


@async_test
async def test_an_order_that_wedges_has_an_unknown_outcome_and_is_not_repeated(desk: Open) -> None:
    async with desk(order_timeout_s=0.5) as at:
        at.inject(kind="wedge", call="order_send", on_call=1)
        with pytest.raises(AitradingError) as told:
            await at.pool.ask(SEND, lane=Lane.ORDERS, key="EURUSD")
        assert told.value.code == "TERMINAL_OUTCOME_UNKNOWN"
        at.release()
        await at.pool.connected()
        [total] = await at.pool.ask(call("positions_total"))
        assert total.value == 0, "the wedge was before the broker, and nobody sent it again"


@async_test
async def test_a_worker_killed_after_the_broker_executed_leaves_one_position(desk: Open) -> None:
    async with desk() as at:
        [pid] = at.pool.pids
        at.inject(kind="slow_call", call="order_send", on_call=1, duration_s=60.0)
        sent = asyncio.ensure_future(at.pool.ask(SEND, lane=Lane.ORDERS))
        await eventually(lambda: len(at.twin.world.faults.happened) == 1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(AitradingError) as told:
            await sent
        assert told.value.code == "TERMINAL_OUTCOME_UNKNOWN"
        at.release()
        await at.pool.connected()
        await eventually(lambda: at.twin.positions_total() == 1)
        [total] = await at.pool.ask(call("positions_total"))
        assert total.value == 1


@pytest.mark.parametrize(
    ("kind", "code", "positions"),
    [("ipc_timeout", "TERMINAL_OUTCOME_UNKNOWN", 0), ("reply_lost", "TERMINAL_OUTCOME_UNKNOWN", 1),
     ("restart", "TERMINAL_CALL_NOT_SENT", 0)],
)  # fmt: skip
@async_test
async def test_what_the_terminal_says_of_an_order_is_told_as_it_is(
    desk: Open, kind: str, code: str, positions: int
) -> None:
    async with desk() as at:
        at.inject(kind=kind, call="order_send", on_call=1)
        with pytest.raises(AitradingError) as told:
            await at.pool.ask(SEND, lane=Lane.ORDERS)
        assert told.value.code == code
        await at.pool.connected()
        [total] = await at.pool.ask(call("positions_total"))
        assert total.value == positions


@async_test
async def test_an_order_that_found_no_worker_was_not_executed(desk: Open) -> None:
    async with desk(workers_max=1, wait_s=0.3) as at:
        at.inject(kind="slow_call", call="symbol_info", on_call=1, duration_s=5.0)
        slow = asyncio.ensure_future(at.pool.ask(call("symbol_info", "EURUSD")))
        await eventually(lambda: len(at.twin.world.faults.happened) == 1)
        with pytest.raises(AitradingError) as told:
            await at.pool.ask(SEND, lane=Lane.ORDERS)
        assert told.value.code == "TERMINAL_CALL_NOT_SENT"
        at.release()
        await slow
        assert at.twin.positions_total() == 0


@async_test
async def test_history_never_goes_in_front_of_ticks_and_orders(desk: Open) -> None:
    """Proved by order: the heavy read is not over when everything else is."""
    async with desk() as at:
        at.inject(kind="wedge", call="copy_ticks_from", on_call=1)
        heavy = asyncio.ensure_future(at.pool.ask(HISTORY, lane=Lane.HISTORY))
        await eventually(lambda: len(at.twin.world.faults.happened) == 1)
        assert at.pool.workers >= 2, "it has a worker of its own"
        more = asyncio.ensure_future(at.pool.ask(HISTORY, lane=Lane.HISTORY))
        for _ in range(20):
            [ticks] = await at.pool.ask(HISTORY, lane=Lane.TICKS)
            assert len(ticks.value)
            [done] = await at.pool.ask(SEND, lane=Lane.ORDERS, key="EURUSD")
            assert done.value.retcode == 10009
        assert not heavy.done()
        at.release()
        await heavy
        assert len((await more)[0].value)


@async_test
async def test_orders_of_one_key_keep_their_order_over_five_workers(desk: Open) -> None:
    async with desk(workers_min=5) as at:
        await eventually(lambda: at.pool.workers == 5)
        sends = [
            at.pool.ask(call("order_send", ORDER | {"magic": number}), lane=Lane.ORDERS, key="A")
            for number in range(1, 31)
        ]
        async with asyncio.TaskGroup() as group:
            for send in sends:
                group.create_task(send)
        positions = at.twin.positions_get() or ()
        by_ticket = sorted(positions, key=lambda one: one.ticket)
        assert [one.magic for one in by_ticket] == list(range(1, 31))


@async_test
async def test_each_connection_is_tried_and_a_dead_one_replaced(desk: Open) -> None:
    async with desk(workers_min=2, health_every_s=0.1) as at:
        await eventually(lambda: at.pool.workers == 2)
        await eventually(lambda: at.pool.health_checks >= 4)
        first, second = at.pool.pids
        os.kill(second, signal.SIGKILL)
        await eventually(lambda: at.pool.workers == 2 and second not in at.pool.pids)
        assert at.pool.pids[0] == first, "the other one was not touched"


@async_test
async def test_a_clean_stop_leaves_no_process(desk: Open) -> None:
    async with desk(workers_min=3) as at:
        await eventually(lambda: at.pool.workers == 3)
        at.inject(kind="wedge", call="symbol_info", on_call=1)
        wedged = asyncio.ensure_future(at.pool.ask(call("symbol_info", "EURUSD")))
        pids = at.pool.pids
        await eventually(lambda: len(at.twin.world.faults.happened) == 1)
        await at.pool.stop()
        assert not any(map(is_alive, pids))
        with pytest.raises(AitradingError):
            await wedged


async def forever(_: WorkerProcess) -> int:
    return await asyncio.Event().wait() and 0


async def buried(pid: int) -> None:
    await eventually(lambda: not Path(f"/proc/{pid}").exists())


def watchers() -> list[str]:
    return [name for task in asyncio.all_tasks() if "/watch-" in (name := task.get_name())]


@async_test
async def test_a_further_worker_that_the_system_refuses_is_tried_again(
    desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = asyncio.create_subprocess_exec
    full = OSError(errno.EMFILE, "Too many open files")
    refusals: list[Exception] = [full, ValueError("refused"), full]

    async def refusing(*command: str, **options: Any) -> asyncio.subprocess.Process:
        if refusals:
            raise refusals.pop()
        return await start(*command, **options)

    async with desk(grow_after_ms=60_000) as at:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", refusing)
        with pytest.raises(AitradingError) as told:
            await WorkerProcess.start(
                Opening.of(TerminalKind.SIM, SimulatedTerminalSettings(), SystemClock())
            )
        assert told.value.code == "TERMINAL_WORKER_LOST"
        [ticks] = await at.pool.ask(HISTORY, lane=Lane.HISTORY)
        assert len(ticks.value)
        assert not refusals


@async_test
async def test_history_gets_another_worker_than_one_that_never_comes(
    desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WorkerProcess.start

    async def not_the_second(opening: Opening) -> WorkerProcess:
        task = asyncio.current_task()
        if task is not None and task.get_name().endswith("/tend-1"):
            await asyncio.sleep(0.01)
            raise OSError("never")
        return await start(opening)

    monkeypatch.setattr(WorkerProcess, "start", not_the_second)
    async with desk(grow_after_ms=60_000) as at:
        [ticks] = await at.pool.ask(HISTORY, lane=Lane.HISTORY)
        assert len(ticks.value)


@async_test
async def test_ticks_of_a_worker_that_is_gone_are_answered_at_once(
    desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerProcess, "wait", forever)
    async with desk(wait_s=60.0) as at:
        [pid] = at.pool.pids
        os.kill(pid, signal.SIGKILL)
        await buried(pid)
        with pytest.raises(AitradingError) as told:
            async with asyncio.timeout(30.0):
                await at.pool.ask(HISTORY, lane=Lane.TICKS)
        assert told.value.code == "TERMINAL_UNAVAILABLE"


@pytest.mark.parametrize("is_killed", [True, False])
@async_test
async def test_an_order_whose_caller_has_gone_is_never_executed(
    desk: Open, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    monkeypatch.setattr(WorkerProcess, "wait", forever)
    async with desk(workers_min=2) as at:
        await eventually(lambda: at.pool.workers == 2)
        if is_killed:
            last = at.pool.pids[-1]
            os.kill(last, signal.SIGKILL)
            await buried(last)
        sent = asyncio.ensure_future(at.pool.ask(SEND, lane=Lane.ORDERS))
        await asyncio.sleep(0)  # it is given to the last worker
        sent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sent
        [total] = await at.pool.ask(call("positions_total"), lane=Lane.TICKS)
        assert total.value == 0
        assert at.twin.positions_total() == 0


@async_test
async def test_the_end_of_a_process_is_waited_for_once(desk: Open) -> None:
    async with desk() as at:
        before = at.pool.pids
        for _ in range(3):
            at.inject(kind="ipc_timeout", call="symbol_info", on_call=1)
            await at.pool.ask(call("symbol_info", "EURUSD"))
            await at.pool.connected()
        assert at.pool.pids == before, "the process lives on"
        assert len(watchers()) == 1


@async_test
async def test_a_pool_that_has_stopped_opens_nothing(desk: Open) -> None:
    async with desk() as at:
        await at.pool.stop()
        with pytest.raises(AitradingError) as told:
            await at.pool.connected()
        assert told.value.code == "TERMINAL_CALL_NOT_SENT"
        assert not at.pool.pids


@async_test
async def test_a_stop_during_the_log_in_leaves_no_process(desk: Open) -> None:
    async with desk() as at:
        at.inject(kind="ipc_timeout", call="symbol_info", on_call=1)
        at.inject(kind="wedge", call="initialize", on_call=1)
        await at.pool.ask(call("symbol_info", "EURUSD"))
        opening = asyncio.ensure_future(at.pool.connected())
        await eventually(lambda: len(at.twin.world.faults.happened) == 2)
        [pid] = at.pool.pids
        await at.pool.stop()
        assert not is_alive(pid)
        with pytest.raises(AitradingError):
            await opening
        assert not at.pool.pids


@async_test
async def test_a_log_in_whose_worker_has_gone_can_be_cancelled() -> None:
    """As when the client stops: whoever waits for the end of the log-in must see it end."""
    opening = Opening.of(TerminalKind.SIM, SimulatedTerminalSettings(), SystemClock())
    slot = Slot(0, opening, TerminalPoolSettings(), SystemClock(), AtOnce())
    is_gone = asyncio.Event()

    async def log_in(_terminal: Asks) -> AccountInfo:
        assert slot.process is not None
        await slot.process.kill()
        slot.disturb()
        is_gone.set()
        return await asyncio.Future[AccountInfo]()

    logging_in = asyncio.ensure_future(slot.open(log_in, None))
    await is_gone.wait()
    logging_in.cancel()
    with pytest.raises(asyncio.CancelledError):
        await logging_in


@pytest.mark.parametrize("lane", [Lane.TICKS, Lane.HISTORY])
@async_test
async def test_nothing_of_another_account_is_taken_for_the_old_one(desk: Open, lane: Lane) -> None:
    async with desk(workers_min=2) as at:
        await eventually(lambda: at.pool.workers == 2)
        reads = RememberedReads(at.pool, SystemClock())
        at.pool.forget_with(reads.forget)
        await reads.ask(call("symbol_info", "EURUSD"))
        assert reads.statistics()["answers"] == 1
        before = await at.pool.connected()
        at.switch_account(before.login + 1)
        with pytest.raises(AitradingError):
            await at.pool.ask(HISTORY, lane=Lane.TICKS)
        assert reads.statistics()["answers"] == 0
        assert at.pool.workers == 0, "no other may be asked either"
        with pytest.raises(AitradingError):
            await at.pool.ask(HISTORY, lane=Lane.TICKS)
        assert (await at.pool.connected()).login == before.login + 1
        await eventually(lambda: at.pool.workers == 2)
        [ticks] = await at.pool.ask(HISTORY, lane=lane)
        assert len(ticks.value)


@async_test
async def test_an_account_that_was_switched_is_noticed_without_any_question(desk: Open) -> None:
    async with desk(workers_min=2, health_every_s=0.1) as at:
        await eventually(lambda: at.pool.workers == 2)
        before = await at.pool.connected()
        at.switch_account(before.login + 1)
        await eventually(lambda: at.pool.state is ComponentState.DEGRADED)
        assert (await at.pool.connected()).login == before.login + 1
        await eventually(lambda: at.pool.workers == 2)
        checks = at.pool.health_checks
        await eventually(lambda: at.pool.health_checks > checks + 2)


PARENT = """
import asyncio, pathlib, sys
from aitrading.client.testing.desk import open_desk
from aitrading.client.terminal.calls import call

async def main():
    async with open_desk(pathlib.Path(sys.argv[1]), workers_min=2) as at:
        while at.pool.workers < 2:
            await asyncio.sleep(0.01)
        at.inject(kind="wedge", call="symbol_info", on_call=1)
        print(*at.pool.pids, flush=True)
        await at.pool.ask(call("symbol_info", "EURUSD"))

asyncio.run(main())
"""


def started(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PARENT, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.integration
@async_test
async def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        parent.kill()
    await eventually(lambda: not any(map(is_alive, pids)))
