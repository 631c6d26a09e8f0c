"""Limits shrink with load in steps, within their bounds, and come back: for every sequence of loads."""

from hypothesis import given
from hypothesis import strategies as st

from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.load_governor import WHOLE, LoadGovernor
from aitrading.server.policy import limits_policy

POLICY = limits_policy().load
LAST = len(POLICY.shares) - 1
WAITS = st.floats(0, 10 * POLICY.overloaded_ms)
SHRINKING = ("general", "identity", "connections")
WHOLE_ALWAYS = ("links", "trading", "health", "host")


def after(waits: list[float]) -> LoadGovernor:
    governor = LoadGovernor(POLICY)
    for wait_ms in waits:
        governor.observe(wait_ms)
    return governor


@given(st.lists(WAITS, max_size=60))
def test_whatever_the_load_no_limit_falls_below_its_floor_and_trading_keeps_the_whole(
    waits: list[float],
) -> None:
    governor = LoadGovernor(POLICY)
    for wait_ms in waits:
        before = governor.step
        governor.observe(wait_ms)
        assert 0 <= governor.step <= LAST
        assert abs(governor.step - before) <= 1, "in steps"
        for kind in SHRINKING:
            assert 0 < POLICY.floors[kind] <= governor.share(kind) <= WHOLE
            assert governor.share(kind) <= governor.share(kind, is_quiet=True) <= WHOLE
        assert {governor.share(kind) for kind in WHOLE_ALWAYS} == {WHOLE}


@given(st.lists(st.tuples(WAITS, WAITS), max_size=60))
def test_more_load_never_leaves_more(pairs: list[tuple[float, float]]) -> None:
    less, more = LoadGovernor(POLICY), LoadGovernor(POLICY)
    for one, other in pairs:
        less.observe(min(one, other))
        more.observe(max(one, other))
        assert less.step <= more.step
        for quiet in (False, True):
            left = [
                (less.share(kind, is_quiet=quiet), more.share(kind, is_quiet=quiet))
                for kind in LimitKind
            ]
            assert all(one >= other for one, other in left)


@given(st.lists(WAITS, max_size=60), st.lists(st.floats(0, POLICY.relaxed_ms), min_size=1))
def test_calm_brings_back_the_whole_and_keeps_it(waits: list[float], calm: list[float]) -> None:
    governor = after(waits)
    for second in range(POLICY.lower_after_s * governor.step):
        governor.observe(calm[second % len(calm)])
    assert (governor.step, governor.quiet_step) == (0, 0)


def test_the_quiet_keep_the_whole_until_all_else_was_tried_and_not_for_longer() -> None:
    governor = LoadGovernor(POLICY)
    seen = list[tuple[int, int]]()
    for _second in range(2 * LAST * POLICY.raise_after_s):
        governor.observe(POLICY.overloaded_ms)
        seen.append((governor.share("general"), governor.share("general", is_quiet=True)))
    first, then = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert {quiet for _, quiet in first} == {WHOLE}
    assert {loud for loud, _ in then} == {POLICY.floors["general"]} == {first[-1][0]}
    assert then[-1][1] == POLICY.floors["general"], "what is too much is shared in the end"


def test_a_load_between_both_marks_moves_nothing() -> None:
    busy = [float(POLICY.overloaded_ms)] * POLICY.raise_after_s
    between = [(POLICY.relaxed_ms + POLICY.overloaded_ms) / 2] * 100
    assert after(busy).step == after(busy + between).step == 1
    flapping = [float(POLICY.overloaded_ms), 0.0] * 50
    assert after(flapping).step == 0, "one bad second is no overload"


def test_every_kind_that_counts_has_a_floor() -> None:
    assert set(POLICY.floors) == set(LimitKind) - {LimitKind.EXEMPT}
