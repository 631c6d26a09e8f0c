"""RESIL-02: backoff from 1 s to 30 s with full jitter, and nothing repeated in vain."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.resilience import Retry, RetryPolicy
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.seeded import SeededRandomness

FATAL = ErrorSpec(
    code="TEST_FATAL", category=Category.FATAL, message="Broken.", why="A test.", remedy="None."
)


class Flaky:
    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error or ConnectionError("down")

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return "done"


class Longest(SeededRandomness):
    """Draws the upper end, so that a test can wait exactly as long."""

    def uniform(self, low: float, high: float) -> float:
        return max(low, high)


def retry(clock: ManualClock, policy: RetryPolicy | None = None) -> Retry:
    return Retry("call", policy or RetryPolicy(), clock=clock, randomness=Longest())


def test_the_ceiling_doubles_from_1_s_to_30_s() -> None:
    policy = RetryPolicy()
    assert [policy.ceiling_s(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert policy.ceiling_s(10_000) == 30


@given(failures=st.integers(1, 200), seed=st.integers(0, 1_000))
def test_the_delay_is_drawn_from_zero_to_the_ceiling(failures: int, seed: int) -> None:
    policy = RetryPolicy()
    assert 0 <= policy.delay_s(failures, SeededRandomness(seed)) <= policy.ceiling_s(failures)


def test_two_thousand_that_failed_together_come_back_spread_out() -> None:
    policy, clients = RetryPolicy(), 2_000
    for failures in (1, 3, 5, 9):
        ceiling_s = policy.ceiling_s(failures)
        waits = [policy.delay_s(failures, SeededRandomness(seed)) for seed in range(clients)]
        tenths = Counter(int(wait * 10 / ceiling_s) for wait in waits)
        assert set(tenths) == set(range(10))
        assert max(tenths.values()) < clients / 10 * 1.3


@async_test
async def test_it_waits_between_attempts_and_gives_the_first_success() -> None:
    clock = ManualClock()
    subject, operation = retry(clock), Flaky(2)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(subject.run(operation))
        await settle()
        assert (operation.calls, subject.statistics().waiting) == (1, 1)
        await clock.advance(0.999)
        assert operation.calls == 1
        await clock.advance(0.001)
        assert operation.calls == 2
        await clock.advance(2)
    assert running.result() == "done"
    statistics = subject.statistics()
    assert (statistics.attempts, statistics.recovered, statistics.waiting) == (3, 1, 0)


@async_test
async def test_it_gives_up_after_its_attempts_with_the_last_cause() -> None:
    clock = ManualClock()
    subject, operation = retry(clock, RetryPolicy(attempts=3)), Flaky(99)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_caught(subject.run(operation)))
        await settle()
        await clock.advance(100)
    error = running.result()
    assert isinstance(error, AitradingError)
    assert error.code == "RETRIES_EXHAUSTED"
    assert error.fields["attempts"] == operation.calls == 3
    assert isinstance(error.__cause__, ConnectionError)


@async_test
async def test_what_is_not_worth_a_repeat_passes_at_once() -> None:
    subject, operation = retry(ManualClock()), Flaky(1, FATAL.error())
    with pytest.raises(AitradingError, match="TEST_FATAL"):
        await subject.run(operation)
    assert operation.calls == 1
    assert subject.statistics().refused == 1


@async_test
async def test_without_a_number_of_attempts_it_goes_on_until_cancelled() -> None:
    clock = ManualClock()
    subject, operation = retry(clock, RetryPolicy(attempts=None)), Flaky(10_000)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(subject.run(operation))
        await settle()
        await clock.advance(3_600)
        assert operation.calls > 100
        running.cancel()
    assert subject.statistics().waiting == 0


@async_test
async def test_every_failure_is_told() -> None:
    clock, seen = ManualClock(), list[str]()
    subject = retry(clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            subject.run(Flaky(2), on_failure=lambda exc: seen.append(type(exc).__name__))
        )
        await settle()
        await clock.advance(10)
    assert seen == ["ConnectionError", "ConnectionError"]


async def _caught(work: object) -> BaseException:
    try:
        await work  # type: ignore[misc]
    except Exception as exc:  # noqa: BLE001 - the test looks at it
        return exc
    raise AssertionError("it did not fail")
