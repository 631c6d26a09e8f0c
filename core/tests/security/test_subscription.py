"""What a person is entitled to: the two agreements, time, and who is suspended."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.subscription import (
    Entitlement,
    SubscriptionState,
    UserSubscription,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
PLAN = Entitlement(
    tier="pro",
    features=frozenset({"ticks", "signals"}),
    state=SubscriptionState.ACTIVE,
    valid_from=NOON,
    valid_to=NOON + timedelta(days=30),
    version=3,
)
OWN = replace(PLAN, tier="basic", features=frozenset({"ticks", "admin"}), version=2)
BOTH = UserSubscription(
    tenant=UUID(int=1), user=UUID(int=2), plan=PLAN, own=OWN, is_suspended=False, as_of=NOON
)


def test_the_plan_is_the_ceiling() -> None:
    assert BOTH.is_active()
    assert BOTH.tier == "basic"
    assert BOTH.get_features() == {"ticks"}, "a person gets nothing the organisation lacks"
    assert BOTH.version == 5
    inherited = replace(BOTH, own=None)
    assert (inherited.tier, inherited.get_features()) == ("pro", PLAN.features)


def test_the_earlier_end_counts_and_is_the_first_moment_that_does_not() -> None:
    end = NOON + timedelta(days=1)
    found = replace(BOTH, own=replace(OWN, valid_to=end))
    assert found.expires_at == end
    assert found.is_active(end - TICK)
    assert found.state_at(end) is SubscriptionState.EXPIRED
    assert replace(BOTH, as_of=PLAN.valid_to or NOON).state is SubscriptionState.EXPIRED


def test_a_future_start_does_not_count_before_its_moment() -> None:
    assert BOTH.state_at(NOON - TICK) is SubscriptionState.NOT_STARTED
    assert BOTH.is_active(NOON)


def test_zones_change_nothing() -> None:
    tokyo = timezone(timedelta(hours=9))
    moved = replace(PLAN, valid_from=NOON.astimezone(tokyo))
    assert moved.state_at(NOON) is SubscriptionState.ACTIVE
    assert moved.state_at(NOON - TICK) is SubscriptionState.NOT_STARTED


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"plan": None}, SubscriptionState.NONE),
        ({"is_suspended": True}, SubscriptionState.SUSPENDED),
        ({"plan": replace(PLAN, state=SubscriptionState.ENDED)}, SubscriptionState.ENDED),
        ({"own": replace(OWN, state=SubscriptionState.PAUSED)}, SubscriptionState.PAUSED),
    ],
)
def test_what_does_not_count_gives_nothing_and_says_why(
    change: dict[str, object], state: SubscriptionState
) -> None:
    found = replace(BOTH, **change)  # type: ignore[arg-type]
    assert found.state is state
    assert not found.get_features()
    with pytest.raises(AitradingError) as refused:
        found.require_active()
    assert refused.value.code == "SUBSCRIPTION_INACTIVE"
    assert refused.value.fields == {"state": str(state)}
