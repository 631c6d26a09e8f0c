"""Requests counted over all processes, in blocks; and what happens without the cache."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_S, Clock, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.rate_limiter import Granted, RateLimit
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.limit_levels import Device, Held, LimitKind, LimitLevels, customer_of
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.rate_limits import (
    BLOCKS_PER_LIMIT,
    SHARES,
    STAND_BACK_NS,
    RateLimits,
)
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient
from aitrading.server.policy import limits_policy
from aitrading.server.testing.engines import running_valkey

TENANT = TenantId(UUID(int=7))
SMALL = LimitSettings(
    user_per_minute=200, identity_per_minute=40, tenant_per_minute=300, connections_per_minute=20
)


class Counted(InProcessCache):
    """Counts how often it is asked, and can go away."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked = 0
        self.away = False

    def flush(self) -> None:
        """Forget everything, as `FLUSHALL` does."""
        self._entries.clear()

    @override
    async def grant(self, wanted: Mapping[str, tuple[RateLimit, int]]) -> Granted:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise CACHE_UNAVAILABLE.error(reason="test")
        return await super().grant(wanted)


@dataclass(frozen=True)
class Caller:
    """Whose requests are counted."""

    tenant: TenantId
    user: UserId
    rates: RateClaims = NO_RATES


def caller(user: int = 1, tenant: TenantId = TENANT, **rates: Any) -> Caller:
    return Caller(tenant, UserId(UUID(int=user)), RateClaims(**rates))


def process(
    together: Any,
    clock: Clock,
    settings: LimitSettings = SMALL,
    metrics: Metrics | None = None,
    *,
    shared: bool = True,
    **more: Any,
) -> RateLimits:
    """One service's limits; several share the cache they are given, if it is `shared` at all."""
    metrics = metrics or Metrics()
    ids = SystemIdFactory(clock, SystemRandomness())
    cache = Cache(LIMITS, together, clock, ids)
    return RateLimits(
        cache,
        Cache(LIMITS, InProcessCache(clock), clock, ids) if shared else cache,
        levels=LimitLevels(lambda: settings),
        client=None,
        errors=ErrorHandler(
            clock=clock,
            randomness=SystemRandomness(),
            metrics=metrics,
            resilience=ResilienceRegistry(),
        ),
        metrics=metrics,
        clock=clock,
        **more,
    )


async def admitted(limits: RateLimits, times: int, kind: LimitKind, user: int = 1) -> int:
    """How many of so many requests came through."""
    refused: list[AitradingError] = []
    for _ in range(times):
        try:
            await limits.admit(caller(user), kind)
        except AitradingError as exc:
            refused.append(exc)
    assert {exc.code for exc in refused} <= {"RATE_LIMIT_EXCEEDED"}
    assert all(0 < exc.fields["retry_after_s"] <= 60 for exc in refused)
    return times - len(refused)


@async_test
async def test_one_process_admits_the_limit_and_asks_in_blocks() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock)
    assert await admitted(limits, 100, LimitKind.IDENTITY) == SMALL.identity_per_minute
    assert together.asked <= 2 * (BLOCKS_PER_LIMIT + 2), "once a block, and not for each refusal"
    await clock.advance(1.5)
    assert await admitted(limits, 5, LimitKind.IDENTITY) == 1, "one is paid back in 1.5 s"


@async_test
async def test_several_processes_share_one_limit_exact_to_a_twentieth() -> None:
    clock = ManualClock()
    large = LimitSettings(user_per_minute=800, tenant_per_minute=10**6)
    together = Counted(clock)
    several = [process(together, clock, large) for _ in range(SHARES)]
    for each in several:  # blocks that lie about unspent
        await each.admit(caller(), LimitKind.GENERAL)
    total = SHARES + await admitted(several[0], 1_200, LimitKind.GENERAL)
    assert 0.95 * large.user_per_minute <= total <= large.user_per_minute
    for each in several[1:]:
        total += await admitted(each, 1_200, LimitKind.GENERAL)
    assert total == large.user_per_minute, "and what lay about is not lost"


@pytest.mark.integration
@async_test
async def test_processes_that_ask_a_real_cache_at_once_get_the_limit_together(
    tmp_path: Path,
) -> None:
    clock = SystemClock()
    async with running_valkey(tmp_path) as valkey:
        services = ("api-gateway", "data-bridge", "trading-engine", "database-service")
        clients = [ValkeyClient(valkey.access(name)) for name in services]
        several = [process(ServedCache(each, nullcontext), clock) for each in clients]
        async with asyncio.TaskGroup() as group:
            counts = [
                group.create_task(admitted(each, 60, LimitKind.IDENTITY)) for each in several
            ]
        total = sum(each.result() for each in counts)
        for each in clients:
            await each.stop()
    assert SMALL.identity_per_minute * 0.95 <= total <= SMALL.identity_per_minute * 1.05 + 1
    assert {each.state for each in several} == {ComponentState.NEW}, "none counted alone"


@async_test
async def test_organisations_and_persons_have_limits_of_their_own() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    assert await admitted(limits, 250, LimitKind.GENERAL, user=1) == SMALL.user_per_minute
    left = SMALL.tenant_per_minute - SMALL.user_per_minute
    assert await admitted(limits, 250, LimitKind.GENERAL, user=2) == left
    other = caller(1, TenantId(UUID(int=8)))
    await limits.admit(other, LimitKind.GENERAL)


@async_test
async def test_what_stops_and_reduces_is_always_admitted() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock)
    await admitted(limits, 250, LimitKind.GENERAL)
    together.away = True
    assert await admitted(limits, 1_000, LimitKind.EXEMPT) == 1_000


@async_test
async def test_without_the_cache_each_counts_alone_with_its_share_and_says_so() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock)
    await limits.start()
    together.away = True
    share = SMALL.identity_per_minute // SHARES
    assert await admitted(limits, 100, LimitKind.IDENTITY) == share
    assert together.asked == 1, "a cache that is away is left alone"
    assert limits.state is ComponentState.DEGRADED
    together.away = False
    await clock.advance(STAND_BACK_NS / NS_PER_S)
    assert limits.state is ComponentState.HEALTHY
    await admitted(limits, 1, LimitKind.IDENTITY, user=3)
    assert together.asked > 1


@async_test
async def test_connections_are_counted_by_device_and_person() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    device = DeviceId(UUID(int=5))
    for _ in range(SMALL.connections_per_minute):
        await limits.admit_link(Device(TENANT, device))
        await limits.admit_stream(caller())
    for attempt in (limits.admit_link(Device(TENANT, device)), limits.admit_stream(caller())):
        with pytest.raises(AitradingError, match="RATE_LIMIT_EXCEEDED"):
            await attempt
    await limits.admit_link(Device(TENANT, DeviceId(UUID(int=6))))


@async_test
async def test_a_million_strangers_do_not_fill_the_memory() -> None:
    clock, few = ManualClock(), 100
    limits = process(Counted(clock), clock, keys_max=few)
    for user in range(200):
        await limits.admit_stream(caller(user, TenantId(UUID(int=user))))
    assert limits.keys == few


@async_test
async def test_refusals_are_counted_by_limit_and_name_nobody() -> None:
    clock, metrics = ManualClock(), Metrics()
    limits = process(Counted(clock), clock, metrics=metrics)
    await admitted(limits, SMALL.identity_per_minute + 3, LimitKind.IDENTITY)
    text = metrics.render().decode()
    assert 'aitrading_rate_limited_total{kind="identity",level="user"} 3' in text
    assert str(UUID(int=1)) not in text


@async_test
async def test_one_question_walks_all_levels_and_names_the_one_that_refused() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock, LimitSettings(user_per_minute=5, tenant_per_minute=7))
    await limits.admit(caller(), LimitKind.GENERAL, address="192.0.2.1")
    assert together.asked == 1, "platform, address, organisation and person at once"
    refusals = [await refusal_of(limits, user) for user in (1, 2)]
    assert [(each.fields["level"], each.fields["limit"]) for each in refusals] == [
        ("user", 5), ("tenant", 7),
    ]  # fmt: skip
    assert "for one organisation" in str(refusals[1])


async def refusal_of(limits: RateLimits, user: int, **rates: Any) -> AitradingError:
    """Ask until it is refused."""
    one = caller(user, **rates)
    try:
        while True:
            await limits.admit(one, LimitKind.GENERAL, address="192.0.2.1")
    except AitradingError as exc:
        return exc


@async_test
async def test_the_plan_decides_a_persons_own_tier_narrows_and_what_was_granted_wins() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock, LimitSettings())
    tiers = limits_policy().tiers
    assert {"basic", "standard", "pro"} == set(tiers)
    expected = {
        1: ({}, tiers["standard"].user.general),
        2: ({"plan": "pro"}, tiers["pro"].user.general),
        3: ({"plan": "pro", "tier": "basic"}, tiers["basic"].user.general),
        4: ({"plan": "no such plan"}, tiers["standard"].user.general),
        5: ({"plan": "pro", "granted": {"user_per_minute": 17}}, 17),
    }
    for user, (rates, limit) in expected.items():
        refused = await refusal_of(limits, user, **rates)
        assert (refused.fields["level"], refused.fields["limit"]) == ("user", limit)


def test_what_an_organisation_may_hold_follows_its_plan_and_what_was_granted_wins() -> None:
    tiers = limits_policy().tiers
    levels = LimitLevels(lambda: LimitSettings(streams_max=7))
    assert levels.held(Held.LINKS, NO_RATES) == tiers["standard"].holds.links_max
    assert levels.held(Held.SPOOL, RateClaims(plan="pro")) == tiers["pro"].holds.spool_per_cent
    granted = RateClaims(plan="basic", granted={"links_max": 3, "streams_max": 9})
    assert levels.held(Held.LINKS, granted) == 3
    assert (levels.held(Held.STREAMS, granted), levels.held(Held.STREAMS, NO_RATES)) == (9, 7)


@async_test
async def test_many_persons_from_one_address_share_its_limit_whatever_the_last_bits() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock, LimitSettings(connections_per_minute=0))
    limit = limits_policy().address.connections
    several = [caller(user, TenantId(UUID(int=user))) for user in range(limit + 1)]
    for one in several[:limit]:
        await limits.admit_stream(one, address=f"2001:db8:0:1::{one.user.int:x}")
    with pytest.raises(AitradingError, match="from one address"):
        await limits.admit_stream(several[limit], address="2001:db8:0:1::ffff")
    await limits.admit_stream(caller(), address="2001:db8:0:2::1")
    await limits.admit_stream(caller(), address="192.0.2.7")


def test_addresses_of_one_customer_are_one() -> None:
    assert customer_of("2001:db8::1") == customer_of("2001:db8::ffff:1:2:3")
    assert customer_of("2001:db8:0:1::1") != customer_of("2001:db8::1")
    assert customer_of("::ffff:192.0.2.1") == customer_of("192.0.2.1") == "192.0.2.1"
    assert customer_of("unknown") == customer_of("") == customer_of("1.2.3.4, 5.6.7.8") == ""


@async_test
async def test_another_organisation_spends_nothing_of_mine_under_the_same_name() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    assert await admitted(limits, 250, LimitKind.GENERAL, user=1) == SMALL.user_per_minute
    other = TenantId(UUID(int=8))
    for _ in range(SMALL.user_per_minute):
        await limits.admit(caller(1, other), LimitKind.GENERAL)


@async_test
async def test_reading_takes_nothing_from_orders() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    assert await admitted(limits, 250, LimitKind.GENERAL) == SMALL.user_per_minute
    assert await admitted(limits, 100, LimitKind.TRADING) == 100


@async_test
async def test_a_flushed_cache_gives_one_burst_and_never_no_limit() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock)
    assert await admitted(limits, 100, LimitKind.IDENTITY) == SMALL.identity_per_minute
    together.flush()
    await clock.advance(1.5)
    assert await admitted(limits, 100, LimitKind.IDENTITY) == SMALL.identity_per_minute
    assert await admitted(limits, 100, LimitKind.IDENTITY) == 0


@async_test
async def test_processes_alone_together_pass_no_limit() -> None:
    clock = ManualClock()
    together = Counted(clock)
    together.away = True
    several = [process(together, clock) for _ in range(SHARES)]
    total = sum([await admitted(each, 100, LimitKind.IDENTITY) for each in several])
    assert 0.95 * SMALL.identity_per_minute <= total <= SMALL.identity_per_minute


@async_test
async def test_with_postgresql_alone_each_process_counts_by_itself_and_tells_how_much_that_is() -> (
    None
):
    clock = ManualClock()
    several = [process(Counted(clock), clock, shared=False) for _ in range(SHARES)]
    total = sum([await admitted(each, 100, LimitKind.IDENTITY) for each in several])
    (times,) = {each.statistics().times_of_limit for each in several}
    assert total == times * SMALL.identity_per_minute
    assert process(Counted(clock), clock).statistics().times_of_limit == 1


@async_test
async def test_those_who_wait_for_a_block_are_asked_for_at_once() -> None:
    clock = ManualClock()
    together = Counted(clock)
    limits = process(together, clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(SMALL.identity_per_minute):
            group.create_task(limits.admit(caller(), LimitKind.IDENTITY))
    assert together.asked <= 4


@async_test
async def test_strangers_and_login_names_are_counted_before_anybody_is_known() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    for _ in range(limits_policy().account.identity):
        await limits.admit_account("one name, one network")
    with pytest.raises(AitradingError, match="for one login name"):
        await limits.admit_account("one name, one network")
    await limits.admit_account("one name, another network")
    for _ in range(limits_policy().address.identity):
        await limits.admit(None, LimitKind.IDENTITY, address="192.0.2.9")
    with pytest.raises(AitradingError, match="from one address"):
        await limits.admit(None, LimitKind.IDENTITY, address="192.0.2.9")


@async_test
async def test_an_answer_tells_of_the_callers_own_level_only() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    first = await limits.admit(caller(), LimitKind.IDENTITY)
    assert first is not None
    assert (first.level, first.per_minute, first.left, first.restored_s) == ("user", 40, 39, 2)
    assert await limits.admit(None, LimitKind.IDENTITY, address="192.0.2.9") is None
    assert await limits.admit(caller(), LimitKind.EXEMPT) is None
