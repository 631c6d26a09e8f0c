"""The generic cell rate algorithm keeps its promise for every schedule."""

from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.security.rate_limiter import US_PER_MINUTE, RateLimit, grant

LIMITS = st.builds(
    RateLimit,
    per_minute=st.integers(min_value=1, max_value=100_000),
    burst=st.integers(min_value=1, max_value=500),
)
SCHEDULES = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=3 * US_PER_MINUTE),
        st.integers(min_value=1, max_value=50),
    ),
    max_size=60,
)


def granted_at(limit: RateLimit, schedule: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When how many were granted."""
    paid: int | None = None
    answers: list[tuple[int, int]] = []
    for now, wanted in sorted(schedule):
        answer, later = grant(paid, now, limit, wanted)
        if later is not None:
            paid = later
        answers.append((now, answer.number))
    return answers


@given(limit=LIMITS, schedule=SCHEDULES)
def test_no_window_is_granted_more_than_rate_and_burst(
    limit: RateLimit, schedule: list[tuple[int, int]]
) -> None:
    answers = granted_at(limit, schedule)
    for first, (since, _) in enumerate(answers):
        total = 0
        for until, number in answers[first:]:
            total += number
            assert total <= limit.burst + (until - since) // limit.interval_us


@given(limit=LIMITS, used=st.integers(min_value=0, max_value=1_000))
def test_whoever_waits_as_long_as_told_is_granted_and_not_before(
    limit: RateLimit, used: int
) -> None:
    paid: int | None = None
    for _ in range(used):
        answer, later = grant(paid, 0, limit, 1)
        if later is None:
            assert answer.retry_after_us > 0
            early, _ = grant(paid, answer.retry_after_us - 1, limit, 1)
            on_time, _ = grant(paid, answer.retry_after_us, limit, 1)
            assert (early.number, on_time.number) == (0, 1)
            return
        paid = later
    assert used <= limit.burst


@given(limit=LIMITS, back=st.integers(min_value=1, max_value=US_PER_MINUTE))
def test_a_clock_that_steps_back_grants_nothing_more(limit: RateLimit, back: int) -> None:
    now = 10 * US_PER_MINUTE
    everything, paid = grant(None, now, limit, limit.burst)
    assert everything.number == limit.burst
    assert grant(paid, now - back, limit, 1)[0].number == 0


def test_nobody_gets_more_than_wanted_and_less_when_less_is_left() -> None:
    limit = RateLimit(per_minute=60, burst=10)
    first, paid = grant(None, 0, limit, 4)
    second, paid = grant(paid, 0, limit, 100)
    assert (first.number, second.number) == (4, 6)
    third, _ = grant(paid, 2_500_000, limit, 100)
    assert third.number == 2
