"""RESIL-01: the breaker, by examples and against a model under random calls."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aitrading.core.infrastructure.resilience import BreakerState, CircuitBreaker
from aitrading.core.infrastructure.resilience.errors import BREAKER_OPEN
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock

DENIED = ErrorSpec(
    code="TEST_DENIED", category=Category.DENIED, message="No.", why="A test.", remedy="None."
)
THRESHOLD, OPEN_S, PROBES = 3, 10.0, 2


def breaker(clock: ManualClock, **changes: float) -> CircuitBreaker:
    settings_ = {
        "failure_threshold": THRESHOLD,
        "open_s": OPEN_S,
        "half_open_probes": PROBES,
        **changes,
    }
    return CircuitBreaker("database", clock=clock, **settings_)  # type: ignore[arg-type]


async def succeed() -> str:
    return "done"


async def fail() -> str:
    raise ConnectionError("down")


async def deny() -> str:
    raise DENIED.error()


async def fail_times(subject: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await subject.run(fail)


@async_test
async def test_it_opens_after_failures_in_a_row_and_refuses_without_calling() -> None:
    subject = breaker(ManualClock())
    await fail_times(subject, THRESHOLD - 1)
    await subject.run(succeed)
    await fail_times(subject, THRESHOLD)
    assert subject.state is BreakerState.OPEN
    with pytest.raises(AitradingError) as refusal:
        await subject.run(fail)
    assert refusal.value.spec is BREAKER_OPEN
    assert refusal.value.fields["retry_after_s"] == OPEN_S
    assert subject.statistics().refused == 1
    assert subject.statistics().last_error == "ConnectionError: down"


@async_test
async def test_after_the_open_time_probes_decide() -> None:
    clock = ManualClock()
    subject = breaker(clock)
    await fail_times(subject, THRESHOLD)
    await clock.advance(OPEN_S - 0.001)
    assert subject.state is BreakerState.OPEN
    await clock.advance(0.001)
    assert subject.state is BreakerState.HALF_OPEN
    await subject.run(succeed)
    assert subject.state is BreakerState.HALF_OPEN
    await subject.run(succeed)
    assert subject.state is BreakerState.CLOSED
    assert subject.is_spotless


@async_test
async def test_a_failing_probe_opens_it_for_another_full_time() -> None:
    clock = ManualClock()
    subject = breaker(clock)
    await fail_times(subject, THRESHOLD)
    await clock.advance(OPEN_S)
    await fail_times(subject, 1)
    assert subject.state is BreakerState.OPEN
    assert subject.statistics().retry_after_s == OPEN_S
    assert subject.opened == 2


@async_test
async def test_only_as_many_probes_as_allowed_run_at_once() -> None:
    clock = ManualClock()
    subject = breaker(clock)
    await fail_times(subject, THRESHOLD)
    await clock.advance(OPEN_S)
    release = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(PROBES):
            group.create_task(subject.run(release.wait))
        await asyncio.sleep(0)
        with pytest.raises(AitradingError, match="BREAKER_OPEN"):
            await subject.run(succeed)
        release.set()
    assert subject.state is BreakerState.CLOSED


@async_test
async def test_a_cancelled_probe_gives_its_place_back() -> None:
    clock = ManualClock()
    subject = breaker(clock, half_open_probes=1)
    await fail_times(subject, THRESHOLD)
    await clock.advance(OPEN_S)
    async with asyncio.TaskGroup() as group:
        probe = group.create_task(subject.run(asyncio.Event().wait))
        await asyncio.sleep(0)
        probe.cancel()
    assert subject.state is BreakerState.HALF_OPEN
    await subject.run(succeed)
    assert subject.state is BreakerState.CLOSED


@async_test
async def test_an_expected_refusal_is_an_answer_not_a_failure() -> None:
    subject = breaker(ManualClock())
    for _ in range(THRESHOLD * 2):
        with pytest.raises(AitradingError, match="TEST_DENIED"):
            await subject.run(deny)
    assert subject.state is BreakerState.CLOSED
    assert subject.statistics().succeeded == THRESHOLD * 2


@async_test
async def test_an_outcome_from_before_the_opening_changes_nothing() -> None:
    clock = ManualClock()
    subject = breaker(clock, half_open_probes=1)
    release = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(subject.run(release.wait))
        await asyncio.sleep(0)
        await fail_times(subject, THRESHOLD)
        await clock.advance(OPEN_S)
        await fail_times(subject, 1)
        release.set()
    assert subject.state is BreakerState.OPEN


@pytest.mark.parametrize(
    "wrong", [{"failure_threshold": 0}, {"open_s": 0}, {"half_open_probes": 0}]
)
def test_a_breaker_that_could_never_work_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="breaker"):
        breaker(ManualClock(), **wrong)


class BreakerMachine(RuleBasedStateMachine):
    """Any mix of calls that overlap, end well, badly or by cancellation, and of passing time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.subject = breaker(self.clock)
        self.state = BreakerState.CLOSED
        self.failures = 0
        self.opened_at_s = 0.0
        self.now_s = 0.0
        self.epoch = 0
        self.running: list[tuple[int, object]] = []
        self.probes_running = 0
        self.probes_succeeded = 0

    def _enter(self, state: BreakerState) -> None:
        self.state = state
        self.epoch += 1
        self.probes_running = self.probes_succeeded = 0

    @rule()
    def begin(self) -> None:
        if self.state is BreakerState.OPEN and self.now_s >= self.opened_at_s + OPEN_S:
            self._enter(BreakerState.HALF_OPEN)
        allowed = self.state is BreakerState.CLOSED or (
            self.state is BreakerState.HALF_OPEN
            and self.probes_running + self.probes_succeeded < PROBES
        )
        guard = self.subject.guard()
        if not allowed:
            with pytest.raises(AitradingError, match="BREAKER_OPEN"):
                guard.__enter__()
            return
        guard.__enter__()
        self.probes_running += self.state is BreakerState.HALF_OPEN
        self.running.append((self.epoch, guard))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(min_value=0), outcome=st.sampled_from(["good", "bad", "cancelled"]))
    def end(self, which: int, outcome: str) -> None:
        epoch, guard = self.running.pop(which % len(self.running))
        error = {"good": None, "bad": OSError("x"), "cancelled": asyncio.CancelledError()}[outcome]
        assert not guard.__exit__(error and type(error), error, None)  # type: ignore[attr-defined]
        if epoch == self.epoch:
            self.probes_running -= self.state is BreakerState.HALF_OPEN
            getattr(self, f"_{outcome}")()

    def _good(self) -> None:
        if self.state is BreakerState.HALF_OPEN:
            self.probes_succeeded += 1
            if self.probes_succeeded < PROBES:
                return
            self._enter(BreakerState.CLOSED)
        self.failures = 0

    def _bad(self) -> None:
        self.failures += 1
        if self.state is BreakerState.HALF_OPEN or self.failures >= THRESHOLD:
            self.opened_at_s = self.now_s
            self._enter(BreakerState.OPEN)

    def _cancelled(self) -> None:
        pass

    @rule(seconds=st.sampled_from([0.5, 4.0, OPEN_S]))
    def wait(self, seconds: float) -> None:
        asyncio.run(self.clock.advance(seconds))
        self.now_s += seconds

    @invariant()
    def state_is_as_the_model_says(self) -> None:
        expected = self.state
        if expected is BreakerState.OPEN and self.now_s >= self.opened_at_s + OPEN_S:
            expected = BreakerState.HALF_OPEN
        assert self.subject.state is expected
        statistics = self.subject.statistics()
        assert statistics.state is expected
        assert 0 <= statistics.retry_after_s <= OPEN_S


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
