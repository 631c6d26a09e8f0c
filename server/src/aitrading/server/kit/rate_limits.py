"""How often a person, a device and an organisation may ask, counted over all services together.

The shared cache decides; a process takes its permissions in blocks of a twentieth of the limit, so
that the cache is asked once per block and a limit is exact to 5 % for each process. While the cache
is away a process counts alone, with its share of each limit: never without one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, Protocol

from typing_extensions import override

from aitrading.core.infrastructure.call_sites import CallSite, RecoveryStrategy
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import DeviceId, TenantId, UserId
from aitrading.core.security.rate_limiter import RATE_LIMIT_EXCEEDED, Granted, RateLimit
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient

BLOCKS_PER_LIMIT: Final = 20
SHARES: Final = 4
"""Processes that count; alone, each admits its share, so that together they pass no limit."""
KEYS_MAX: Final = 20_000
STAND_BACK_NS: Final = 2 * NS_PER_S
"""How long a cache that did not answer is left alone."""
NS_PER_US: Final = 1_000

RATE_LIMITS_DEGRADE: Final = CallSite(
    name="rate-limits",
    strategy=RecoveryStrategy.DEGRADE,
    service="every service",
    fault="The cache that counts requests of all services does not answer.",
    description="Each process counts alone, with a quarter of each limit, and asks the cache again "
    "after two seconds.",
)
REFUSED_TOTAL: Final = Metric(
    name="aitrading_rate_limited_total",
    kind=MetricKind.COUNTER,
    help="Requests and connections refused because they came too often, by limit.",
    labels=("limit",),
)


class Person(Protocol):
    """Whose requests are counted; a verified token is one."""

    @property
    def tenant(self) -> TenantId:
        """The organisation."""
        ...

    @property
    def user(self) -> UserId:
        """The person."""
        ...


class LimitKind(StrEnum):
    """Which limit an operation counts against, besides that of the organisation."""

    GENERAL = "general"
    IDENTITY = "identity"
    """Who somebody is: sessions, devices, passwords."""
    EXEMPT = "exempt"
    """Stopping and reducing must always be possible."""


@dataclass
class _Block:
    """Permissions that this process holds for one key, or until when there are none."""

    left: int = 0
    refused_until_ns: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimits(Component):
    """Admits or refuses; a service asks it before it does anything for a caller."""

    critical: ClassVar[bool] = False
    depends_on: tuple[str, ...] = ()

    def __init__(
        self,
        together: Cache,
        alone: Cache,
        *,
        settings: Callable[[], LimitSettings],
        client: ValkeyClient | None,
        errors: ErrorHandler,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._together = together
        self._alone = alone
        self._settings = settings
        self._client = client
        self._errors = errors
        self._metrics = metrics
        self._clock = clock
        self._blocks: OrderedDict[tuple[TenantId, str], _Block] = OrderedDict()
        self._away_until_ns = 0
        self._state = ComponentState.NEW
        errors.declare(RATE_LIMITS_DEGRADE)

    @property
    @override
    def name(self) -> str:
        return "rate-limits"

    @property
    @override
    def state(self) -> ComponentState:
        """DEGRADED while this process counts alone."""
        alone = self._clock.monotonic_ns() < self._away_until_ns
        if self._state is ComponentState.HEALTHY and alone:
            return ComponentState.DEGRADED
        return self._state

    @property
    def keys(self) -> int:
        """How many persons, devices and organisations this process remembers."""
        return len(self._blocks)

    @override
    async def start(self) -> None:
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED
        if self._client is not None:
            await self._client.stop()

    async def admit(self, person: Person, kind: LimitKind) -> None:
        """Count one request; raises `RATE_LIMIT_EXCEEDED` with the time to wait."""
        if kind is LimitKind.EXEMPT:
            return
        settings = self._settings()
        identity = kind is LimitKind.IDENTITY
        own = settings.identity_per_minute if identity else settings.user_per_minute
        await self._take(person.tenant, f"user:{person.user}:{kind}", own, "for one person")
        limit = settings.tenant_per_minute
        await self._take(person.tenant, "tenant", limit, "for one organisation")

    async def admit_link(self, tenant: TenantId, device: DeviceId) -> None:
        """Count one connection of a device; raises `RATE_LIMIT_EXCEEDED`."""
        limit = self._settings().connections_per_minute
        await self._take(tenant, f"link:{device}", limit, "for connections of one device")

    async def admit_stream(self, person: Person) -> None:
        """Count one open stream of a person; raises `RATE_LIMIT_EXCEEDED`."""
        limit = self._settings().connections_per_minute
        name = f"stream:{person.user}"
        await self._take(person.tenant, name, limit, "for connections of one person")

    async def _take(self, tenant: TenantId, name: str, per_minute: int, whom: str) -> None:
        block = self._block((tenant, name))
        if block.left <= 0:
            async with block.asking:  # one question for all who wait
                if block.left <= 0:
                    await self._fill(block, tenant, name, per_minute)
        if block.left <= 0:
            self._metrics.increment(REFUSED_TOTAL, limit=name.partition(":")[0])
            wait_s = max(0, block.refused_until_ns - self._clock.monotonic_ns()) / NS_PER_S
            raise RATE_LIMIT_EXCEEDED.error(limit=per_minute, whom=whom, retry_after_s=wait_s)
        block.left -= 1

    async def _fill(self, block: _Block, tenant: TenantId, name: str, per_minute: int) -> None:
        if self._clock.monotonic_ns() < block.refused_until_ns:
            return
        limit = RateLimit(per_minute=per_minute, burst=per_minute)
        wanted = max(1, per_minute // BLOCKS_PER_LIMIT)

        async def together() -> Granted:
            return await self._ask_cache(tenant, name, limit, wanted)

        async def alone(_: Exception) -> Granted:
            share = max(1, per_minute // SHARES)
            own = RateLimit(per_minute=share, burst=share)
            return await self._alone.of(tenant).grant(name, own, wanted)

        granted = await self._errors.degrade(RATE_LIMITS_DEGRADE, together, alone)
        block.left = granted.number
        if granted.number == 0:
            wait_ns = granted.retry_after_us * NS_PER_US
            block.refused_until_ns = self._clock.monotonic_ns() + wait_ns

    async def _ask_cache(
        self, tenant: TenantId, name: str, limit: RateLimit, wanted: int
    ) -> Granted:
        if self._clock.monotonic_ns() < self._away_until_ns:
            raise CACHE_UNAVAILABLE.error(reason="it did not answer a moment ago")
        try:
            return await self._together.of(tenant).grant(name, limit, wanted)
        except Exception:
            self._away_until_ns = self._clock.monotonic_ns() + STAND_BACK_NS
            raise

    def _block(self, key: tuple[TenantId, str]) -> _Block:
        """The oldest keys are forgotten; the cache, not this process, remembers what they took."""
        block = self._blocks.setdefault(key, _Block())
        self._blocks.move_to_end(key)
        if len(self._blocks) > KEYS_MAX:
            self._blocks.popitem(last=False)
        return block
