"""RESIL-07 to 09: time limits, bulkhead, fallback, last known values, isolation, registry."""

import asyncio

import pytest

from aitrading.core.infrastructure.resilience import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Isolation,
    LastKnown,
    ResilienceRegistry,
    Timeouts,
    Watchdog,
    time_limit,
)
from aitrading.core.infrastructure.resilience import isolation as isolation_module
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle

DENIED = ErrorSpec(
    code="TEST_DENIED", category=Category.DENIED, message="No.", why="A test.", remedy="None."
)


async def give(value: str) -> str:
    return value


async def fail() -> str:
    raise ConnectionError("down")


async def hang() -> None:
    await asyncio.Event().wait()


def test_resil_07_the_three_classes_of_patience() -> None:
    assert [limit.value for limit in Timeouts] == [5, 30, 60]


@async_test
async def test_a_time_limit_cancels_and_says_what_took_too_long() -> None:
    with pytest.raises(AitradingError, match=r"The query did not finish within 0\.01 s"):
        async with time_limit(0.01, what="The query"):
            await hang()


@async_test
async def test_a_timeout_of_the_body_itself_is_not_ours() -> None:
    async def own_timeout() -> None:
        async with time_limit(60, what="The query"):
            raise TimeoutError("the socket's")

    with pytest.raises(TimeoutError, match="socket"):
        await own_timeout()


@async_test
async def test_a_watchdog_cancels_work_that_hangs_and_lets_the_next_work_run() -> None:
    watchdog = Watchdog(0.01, what="The handler")
    for _ in range(2):
        with pytest.raises(AitradingError, match="TIMED_OUT"), watchdog:
            await hang()
    with watchdog:
        assert await give("quick") == "quick"


@async_test
async def test_a_watchdog_does_not_swallow_a_cancellation_from_outside() -> None:
    watchdog = Watchdog(60, what="The handler")

    async def work() -> None:
        with watchdog:
            await hang()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await settle()
        task.cancel()
    assert task.cancelled()


@async_test
async def test_resil_08_a_bulkhead_runs_some_queues_some_and_refuses_the_rest() -> None:
    bulkhead = Bulkhead("reports", limit=2, queue_limit=1)
    release, order = asyncio.Event(), list[int]()

    async def work(number: int) -> None:
        order.append(number)
        await release.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(bulkhead.run(lambda number=number: work(number)))
        await settle()
        statistics = bulkhead.statistics()
        assert (statistics.running, statistics.waiting, order) == (2, 1, [0, 1])
        with pytest.raises(AitradingError, match="BULKHEAD_FULL"):
            await bulkhead.run(lambda: work(9))
        release.set()
    statistics = bulkhead.statistics()
    assert order == [0, 1, 2]
    assert (statistics.running, statistics.entered, statistics.refused) == (0, 3, 1)
    assert statistics.peak_running == 2


@async_test
async def test_a_cancelled_waiter_leaves_the_queue_of_a_bulkhead() -> None:
    bulkhead = Bulkhead("reports", limit=1, queue_limit=1)
    release = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(bulkhead.run(release.wait))
        await settle()
        waiter = group.create_task(bulkhead.run(release.wait))
        await settle()
        waiter.cancel()
        await settle()
        assert bulkhead.statistics().waiting == 0
        release.set()
    assert await bulkhead.run(lambda: give("free again")) == "free again"


@async_test
async def test_resil_09_a_fallback_answers_while_the_source_fails_and_says_so() -> None:
    clock = ManualClock()
    fallback = Fallback("quotes", clock=clock)

    async def substitute(exc: Exception) -> str:
        return f"instead of {type(exc).__name__}"

    assert await fallback.run(fail, substitute) == "instead of ConnectionError"
    since = fallback.active_since_ns
    await clock.advance(5)
    await fallback.run(fail, substitute)
    assert fallback.active_since_ns == since
    assert fallback.statistics().active
    assert await fallback.run(lambda: give("real"), substitute) == "real"
    statistics = fallback.statistics()
    assert (statistics.active, statistics.substituted, statistics.primary) == (False, 2, 1)


@async_test
async def test_a_refusal_is_not_replaced_by_a_fallback() -> None:
    fallback = Fallback("quotes", clock=ManualClock())

    async def refuse() -> str:
        raise DENIED.error()

    with pytest.raises(AitradingError, match="TEST_DENIED"):
        await fallback.run(refuse, lambda _: give("other"))
    assert not fallback.statistics().active


@async_test
async def test_when_the_substitute_fails_too_both_errors_are_kept() -> None:
    fallback = Fallback("quotes", clock=ManualClock())

    async def worse(_: Exception) -> str:
        raise LookupError("nothing cached")

    with pytest.raises(LookupError) as failure:
        await fallback.run(fail, worse)
    assert isinstance(failure.value.__cause__, ConnectionError)
    assert fallback.statistics().failed == 1


@async_test
async def test_the_last_known_value_is_given_with_its_age() -> None:
    clock = ManualClock()
    known = LastKnown[str](Fallback("health", clock=clock), clock=clock)
    with pytest.raises(ConnectionError):
        await known.get(fail)
    fresh = await known.get(lambda: give("up"))
    assert (fresh.value, fresh.stale_since_ns) == ("up", None)
    await clock.advance(3)
    stale = await known.get(fail)
    assert (stale.value, stale.known_at_ns) == ("up", fresh.known_at_ns)
    assert stale.stale_since_ns == clock.now_ns()


@async_test
async def test_a_key_with_faults_in_a_row_is_kept_out_and_the_others_go_on() -> None:
    clock = ManualClock()
    isolation = Isolation("devices", clock=clock, faults_limit=2, isolate_s=60)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await isolation.run("bad", fail)
    with pytest.raises(AitradingError, match="bad is isolated by devices"):
        await isolation.run("bad", lambda: give("?"))
    assert await isolation.run("good", lambda: give("ok")) == "ok"
    statistics = isolation.statistics()
    assert statistics.isolated_keys == ("bad",)
    assert (statistics.faults, statistics.refused, statistics.times_isolated) == (2, 1, 1)


@async_test
async def test_one_trial_decides_about_an_isolated_key() -> None:
    clock = ManualClock()
    isolation = Isolation("devices", clock=clock, faults_limit=1, isolate_s=60)
    with pytest.raises(ConnectionError):
        await isolation.run("bad", fail)
    assert isolation.is_isolated("bad")
    await clock.advance(60)
    with pytest.raises(ConnectionError):
        await isolation.run("bad", fail)
    assert isolation.is_isolated("bad")
    assert isolation.times_isolated == 2
    await clock.advance(60)
    assert await isolation.run("bad", lambda: give("better")) == "better"
    assert not isolation.is_isolated("bad")
    assert isolation.statistics().suspects == 0


@async_test
async def test_isolation_remembers_a_bounded_number_of_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolation_module, "MAX_SUSPECTS", 3)
    isolation = Isolation("devices", clock=ManualClock(), faults_limit=1)
    for key in "abcde":
        with pytest.raises(ConnectionError):
            await isolation.run(key, fail)
    statistics = isolation.statistics()
    assert (statistics.suspects, statistics.forgotten) == (3, 2)
    assert statistics.isolated_keys == ("c", "d", "e")


def test_the_registry_reports_by_kind_and_name_and_refuses_a_second_name() -> None:
    clock, registry = ManualClock(), ResilienceRegistry()
    breaker = registry.add(CircuitBreaker("database", clock=clock))
    registry.add(Bulkhead("database", limit=1, queue_limit=0))
    report = registry.report()
    assert report["breaker"]["database"]["state"] == "CLOSED"
    assert report["bulkhead"]["database"]["limit"] == 1
    with pytest.raises(ValueError, match="registered already"):
        registry.add(breaker)
