"""Requests counted over all processes, in blocks; and what happens without the cache."""

import asyncio
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
from aitrading.core.security.rate_limiter import Granted, RateLimit
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.rate_limits import (
    BLOCKS_PER_LIMIT,
    KEYS_MAX,
    SHARES,
    STAND_BACK_NS,
    LimitKind,
    RateLimits,
)
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient
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

    @override
    async def grant(self, key: str, limit: RateLimit, wanted: int) -> Granted:
        self.asked += 1
        if self.away:
            raise CACHE_UNAVAILABLE.error(reason="test")
        return await super().grant(key, limit, wanted)


@dataclass(frozen=True)
class Caller:
    """Whose requests are counted."""

    tenant: TenantId
    user: UserId


def caller(user: int = 1, tenant: TenantId = TENANT) -> Caller:
    return Caller(tenant, UserId(UUID(int=user)))


def process(
    together: Any, clock: Clock, settings: LimitSettings = SMALL, metrics: Metrics | None = None
) -> RateLimits:
    """One service's limits; several share the cache they are given."""
    metrics = metrics or Metrics()
    ids = SystemIdFactory(clock, SystemRandomness())
    return RateLimits(
        Cache(LIMITS, together, clock, ids),
        Cache(LIMITS, InProcessCache(clock), clock, ids),
        settings=lambda: settings,
        client=None,
        errors=ErrorHandler(
            clock=clock,
            randomness=SystemRandomness(),
            metrics=metrics,
            resilience=ResilienceRegistry(),
        ),
        metrics=metrics,
        clock=clock,
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
async def test_several_processes_share_one_limit_exact_to_a_block_each() -> None:
    clock = ManualClock()
    together = Counted(clock)
    several = [process(together, clock) for _ in range(4)]
    total = sum([await admitted(each, 60, LimitKind.IDENTITY) for each in several])
    block = SMALL.identity_per_minute // BLOCKS_PER_LIMIT
    assert SMALL.identity_per_minute - block * len(several) <= total <= SMALL.identity_per_minute


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
    assert SMALL.identity_per_minute * 0.8 <= total <= SMALL.identity_per_minute + 8
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
        await limits.admit_link(TENANT, device)
        await limits.admit_stream(caller())
    for attempt in (limits.admit_link(TENANT, device), limits.admit_stream(caller())):
        with pytest.raises(AitradingError, match="RATE_LIMIT_EXCEEDED"):
            await attempt
    await limits.admit_link(TENANT, DeviceId(UUID(int=6)))


@async_test
async def test_a_million_strangers_do_not_fill_the_memory() -> None:
    clock = ManualClock()
    limits = process(Counted(clock), clock)
    for user in range(KEYS_MAX + 500):
        await limits.admit_stream(caller(user))
    assert limits.keys == KEYS_MAX


@async_test
async def test_refusals_are_counted_by_limit_and_name_nobody() -> None:
    clock, metrics = ManualClock(), Metrics()
    limits = process(Counted(clock), clock, metrics=metrics)
    await admitted(limits, SMALL.identity_per_minute + 3, LimitKind.IDENTITY)
    text = metrics.render().decode()
    assert 'aitrading_rate_limited_total{limit="user"} 3' in text
    assert str(UUID(int=1)) not in text
