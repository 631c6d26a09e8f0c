"""The generic cell rate algorithm keeps its promise for every schedule."""

from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.security.rate_limiter import US_PER_MINUTE, RateLimit, Wanted, grant

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


def one(paid_us: int | None, now_us: int, limit: RateLimit, number: int) -> tuple[int, int, int]:
    """Ask of one level: how many, how long to wait, and the level's new number."""
    answer, paid = grant([Wanted(paid_us=paid_us, limit=limit, number=number)], now_us)
    if answer.refused_by is not None:
        return 0, answer.retry_after_us, paid_us or 0
    return answer.numbers[0], 0, paid[0]


def granted_at(limit: RateLimit, schedule: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When how many were granted."""
    paid: int | None = None
    answers: list[tuple[int, int]] = []
    for now, wanted in sorted(schedule):
        number, _, paid = one(paid, now, limit, wanted)
        answers.append((now, number))
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
        number, wait_us, later = one(paid, 0, limit, 1)
        if number == 0:
            assert wait_us > 0
            assert one(paid, wait_us - 1, limit, 1)[0] == 0
            assert one(paid, wait_us, limit, 1)[0] == 1
            return
        paid = later
    assert used <= limit.burst


@given(limit=LIMITS, back=st.integers(min_value=1, max_value=10**15))
def test_a_clock_that_steps_back_grants_nothing_more_and_locks_nobody_out(
    limit: RateLimit, back: int
) -> None:
    now = 10 * US_PER_MINUTE + 10**15
    number, _, paid = one(None, now, limit, limit.burst)
    assert number == limit.burst
    number, wait_us, _ = one(paid, now - back, limit, 1)
    assert number == 0
    assert 0 < wait_us <= limit.interval_us


def test_nobody_gets_more_than_wanted_and_less_when_less_is_left() -> None:
    limit = RateLimit(per_minute=60, burst=10)
    first, _, paid = one(None, 0, limit, 4)
    second, _, paid = one(paid, 0, limit, 100)
    assert (first, second) == (4, 6)
    assert one(paid, 2_500_000, limit, 100)[0] == 2


@given(levels=st.lists(LIMITS, min_size=1, max_size=6), schedule=SCHEDULES)
def test_every_level_keeps_its_promise_and_a_refusal_takes_nothing(
    levels: list[RateLimit], schedule: list[tuple[int, int]]
) -> None:
    paid: tuple[int, ...] = ()
    totals = [0] * len(levels)
    for now, wanted in sorted(schedule):
        asked = [
            Wanted(paid_us=paid[at] if paid else None, limit=limit, number=wanted)
            for at, limit in enumerate(levels)
        ]
        answer, later = grant(asked, now)
        if answer.refused_by is None:
            assert all(1 <= number <= wanted for number in answer.numbers)
            paid = later
            totals = [total + number for total, number in zip(totals, answer.numbers, strict=True)]
        else:
            assert later == ()
            refusing = grant([asked[answer.refused_by]], now)[0]
            assert refusing.retry_after_us == answer.retry_after_us > 0
        for limit, total in zip(levels, totals, strict=True):
            assert total <= limit.burst + now // limit.interval_us
