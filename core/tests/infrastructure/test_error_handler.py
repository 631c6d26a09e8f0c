"""RESIL-03: five strategies that act, each visible under its call site."""

import asyncio
import contextlib
import io
import json
import logging

import pytest

from aitrading.core.infrastructure.error_handler import (
    CallSite,
    ErrorContext,
    ErrorHandler,
    Guard,
    Halt,
    IsolationPolicy,
    RecoveryStrategy,
)
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    ResilienceRegistry,
    RetryPolicy,
)
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.logging.optimized_log_router import configure_logging
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.seeded import SeededRandomness

DENIED = ErrorSpec(
    code="TEST_DENIED", category=Category.DENIED, message="No.", why="A test.", remedy="None."
)


def site(strategy: RecoveryStrategy | Guard, **changes: str) -> CallSite:
    return CallSite(
        name=f"test.{strategy}",
        strategy=strategy,
        service="test",
        description="A test.",
        **changes,
    )


RETRY, RECONNECT = site(RecoveryStrategy.RETRY), site(RecoveryStrategy.RECONNECT)
DEGRADE, ISOLATE = site(RecoveryStrategy.DEGRADE), site(RecoveryStrategy.ISOLATE)
HALT = site(RecoveryStrategy.HALT, capability="ingest")


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.resilience = ResilienceRegistry()
        self.context = ErrorContext()
        self.errors = ErrorHandler(
            clock=self.clock,
            randomness=SeededRandomness(),
            metrics=self.metrics,
            resilience=self.resilience,
            context=lambda: self.context,
        )

    def acts(self, at: CallSite) -> int:
        return self.errors.recovery_report()[at.name].acts

    def is_active(self, at: CallSite) -> bool:
        return self.errors.recovery_report()[at.name].active

    def metric(self, line: str) -> bool:
        return line.encode() in self.metrics.render()


@pytest.fixture
def house() -> House:
    return House()


async def give(value: str) -> str:
    return value


async def fail() -> str:
    raise ConnectionError("down")


def fails(times: int) -> "Fails":
    return Fails(times)


class Fails:
    def __init__(self, times: int) -> None:
        self._left = times

    async def __call__(self) -> str:
        if self._left:
            self._left -= 1
            raise ConnectionError("down")
        return "done"


def test_an_error_is_classified_with_the_running_tenant_and_trace(house: House) -> None:
    house.context = ErrorContext("tenant-1", "trace-1")
    record = house.errors.classify(ConnectionError("down"))
    assert (record.code, record.tenant, record.trace_id) == (
        "CONNECTION_LOST",
        "tenant-1",
        "trace-1",
    )
    assert house.errors.classify(ConnectionError("down"), tenant="tenant-2").tenant == "tenant-2"
    assert house.errors.latest()[0].count == 2
    assert house.metric('aitrading_errors_total{code="CONNECTION_LOST",severity="warning"} 2.0')


def test_repeats_are_logged_at_powers_of_ten_only(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for _ in range(100):
            house.errors.classify(ConnectionError("down"))
    assert len(caplog.records) == 3


def test_inf_12_a_classified_error_is_a_structured_line_with_code_tenant_and_trace(
    house: House,
) -> None:
    stream = io.StringIO()
    router = configure_logging(
        service="test", instance="1", clock=house.clock, stream=stream, level="DEBUG"
    )
    with contextlib.closing(router):
        house.errors.classify(ConnectionError("down"), tenant="t-1", trace_id="ab" * 16)
        house.errors.classify(ValueError("odd"))
    lost, unexpected = map(json.loads, stream.getvalue().splitlines())
    assert (lost["error_code"], lost["tenant"]) == ("CONNECTION_LOST", "t-1")
    assert (lost["trace_id"], lost["level"]) == ("ab" * 16, "WARNING")
    assert len(lost["fields"]["fingerprint"]) == 16
    assert "exception" not in lost
    assert unexpected["error_code"] == "UNEXPECTED"
    assert unexpected["exception"]


@async_test
async def test_retry_repeats_and_counts_each_failure_as_an_act() -> None:
    house = House()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(house.errors.retry(RETRY, fails(2)))
        await settle()
        await house.clock.advance(60)
    assert work.result() == "done"
    assert house.acts(RETRY) == 2
    assert house.resilience.report()["retry"]["test.retry"]["recovered"] == 1
    assert house.metric('aitrading_recovery_acts_total{site="test.retry",strategy="retry"} 2.0')


@async_test
async def test_a_site_has_one_retry_policy() -> None:
    house = House()
    await house.errors.retry(RETRY, fails(0))
    with pytest.raises(ValueError, match="another policy"):
        await house.errors.retry(RETRY, fails(0), RetryPolicy(attempts=99))


@async_test
async def test_reconnect_goes_on_whatever_the_error_and_is_active_meanwhile() -> None:
    house = House()
    tries = 0

    async def connect() -> str:
        nonlocal tries
        tries += 1
        if tries < 20:
            raise DENIED.error()
        return "connected"

    async with asyncio.TaskGroup() as group:
        work = group.create_task(house.errors.reconnect(RECONNECT, connect))
        await settle()
        assert house.is_active(RECONNECT)
        await house.clock.advance(3_600)
    assert work.result() == "connected"
    assert not house.is_active(RECONNECT)
    assert house.acts(RECONNECT) == 20


@async_test
async def test_degrade_answers_with_the_substitute_until_the_source_is_back() -> None:
    house = House()

    async def substitute(_: Exception) -> str:
        return "last known"

    assert await house.errors.degrade(DEGRADE, fail, substitute) == "last known"
    assert house.is_active(DEGRADE)
    assert house.acts(DEGRADE) == 1
    assert house.errors.recovery_report()[DEGRADE.name].last_error == "CONNECTION_LOST"
    assert await house.errors.degrade(DEGRADE, lambda: give("fresh"), substitute) == "fresh"
    assert not house.is_active(DEGRADE)
    assert house.resilience.report()["fallback"]["test.degrade"]["substituted"] == 1


@async_test
async def test_isolate_keeps_one_key_out_for_a_time() -> None:
    house = House()
    policy = IsolationPolicy(faults_limit=2, isolate_s=60)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await house.errors.isolate(ISOLATE, "device-1", fail, policy)
    with pytest.raises(AitradingError, match="ISOLATED"):
        await house.errors.isolate(ISOLATE, "device-1", lambda: give("x"), policy)
    assert await house.errors.isolate(ISOLATE, "device-2", lambda: give("ok"), policy) == "ok"
    assert house.is_active(ISOLATE)
    assert house.acts(ISOLATE) == 2
    await house.clock.advance(60)
    assert not house.is_active(ISOLATE)
    assert await house.errors.isolate(ISOLATE, "device-1", lambda: give("ok"), policy) == "ok"


@async_test
async def test_halt_runs_every_callback_once_and_stays_until_resumed() -> None:
    house, seen = House(), list[Halt]()

    async def broken(_: Halt) -> None:
        raise RuntimeError("this callback is broken")

    async def stop(halt: Halt) -> None:
        seen.append(halt)

    house.errors.on_halt("ingest", broken)
    house.errors.on_halt("ingest", stop)
    await house.errors.halt(HALT, "the disk is full")
    await house.errors.halt(HALT, "still full")
    assert [halt.reason for halt in seen] == ["the disk is full"]
    assert house.errors.halts["ingest"].site == HALT.name
    assert house.is_active(HALT)
    assert house.acts(HALT) == 1
    assert house.errors.latest()[0].code == "UNEXPECTED"
    house.errors.resume(HALT)
    house.errors.resume(HALT)
    assert not house.errors.halts
    assert not house.is_active(HALT)


@async_test
async def test_a_site_is_used_only_as_it_is_declared() -> None:
    house = House()
    with pytest.raises(ValueError, match="declared as retry"):
        await house.errors.reconnect(RETRY, fails(0))
    house.errors.declare(RETRY)
    with pytest.raises(ValueError, match="two different call sites"):
        house.errors.declare(site(RecoveryStrategy.RETRY, fault="another one"))


def test_a_declared_site_is_visible_before_it_acts(house: House) -> None:
    house.errors.declare(RETRY, HALT)
    assert house.errors.recovery_report()[HALT.name].acts == 0


@async_test
async def test_a_breaker_opens_at_its_call_site(house: House) -> None:
    at = site(Guard.BREAKER)
    breaker = house.errors.guard(
        at, CircuitBreaker("one", clock=house.clock, failure_threshold=2, open_s=5)
    )
    assert house.acts(at) == 0
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await breaker.run(fail)
    assert house.acts(at) == 1
    assert house.is_active(at)
    assert house.errors.recovery_report()[at.name].last_error == "CONNECTION_LOST"
    assert house.metric(
        'aitrading_recovery_acts_total{site="test.breaker",strategy="breaker"} 1.0'
    )
    await house.clock.advance(5)
    assert not house.is_active(at)


@async_test
async def test_a_site_with_a_breaker_per_peer_is_active_while_any_is_open(house: House) -> None:
    at = site(Guard.BREAKER)
    short, long = (
        house.errors.guard(
            at, CircuitBreaker(f"{at.name}.{s}", clock=house.clock, failure_threshold=1, open_s=s)
        )
        for s in (2, 10)
    )
    for breaker in (long, short):
        with pytest.raises(ConnectionError):
            await breaker.run(fail)
    assert house.acts(at) == 2
    await house.clock.advance(5)
    assert house.is_active(at)
    await house.clock.advance(5)
    assert not house.is_active(at)


@async_test
async def test_a_bulkhead_refuses_at_its_call_site(house: House) -> None:
    at = site(Guard.BULKHEAD)
    bulkhead = house.errors.guard(at, Bulkhead(at.name, limit=1, queue_limit=0))
    async with bulkhead.slot():
        with pytest.raises(AitradingError, match="BULKHEAD_FULL"):
            await bulkhead.run(lambda: give("no room"))
        assert house.is_active(at)
    assert house.acts(at) == 1
    assert not house.is_active(at)


@async_test
async def test_a_fallback_answers_at_its_call_site_and_is_forgotten_in_silence(
    house: House,
) -> None:
    at = site(Guard.FALLBACK)
    fallback = house.errors.guard(at, Fallback(at.name, clock=house.clock))
    assert await fallback.run(fail, lambda _exc: give("lesser")) == "lesser"
    assert house.acts(at) == 1
    assert house.is_active(at)
    await fallback.run(lambda: give("itself"), lambda _exc: give("lesser"))
    assert not house.is_active(at)
    await fallback.run(fail, lambda _exc: give("lesser"))
    await house.clock.advance(61)
    assert not house.is_active(at)


def test_a_guard_stands_at_a_site_of_its_kind(house: House) -> None:
    with pytest.raises(ValueError, match="declared as breaker"):
        house.errors.guard(site(Guard.BREAKER), Bulkhead("x", limit=1, queue_limit=0))


@async_test
async def test_a_degraded_answer_is_forgotten_when_nobody_asks_again(house: House) -> None:
    await house.errors.degrade(DEGRADE, fail, lambda _exc: give("lesser"))
    assert house.is_active(DEGRADE)
    await house.clock.advance(61)
    assert not house.is_active(DEGRADE)
