"""How often anybody may ask, counted at every level over all services together.

The shared cache decides; a process takes its permissions in small blocks, all levels that need one
in a single question, so that the cache is asked once per block and what processes hold unspent is
together at most a twentieth of a limit. While the cache is away a process counts alone, with its
share of each limit: never without one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.call_sites import CallSite, RecoveryStrategy
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.tracing import SpanKind, span
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId, UserId
from aitrading.core.security.claims import RateClaims
from aitrading.core.security.rate_limiter import RATE_LIMIT_EXCEEDED, Granted, RateLimit
from aitrading.server.kit.cache.port import Ask, Cache
from aitrading.server.kit.limit_levels import (
    WHOM,
    Device,
    Level,
    LevelName,
    LimitKind,
    LimitLevels,
    Person,
)
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient

SHARES: Final = 4
"""Processes that count; alone, each admits its share, so that together they pass no limit."""
BLOCKS_PER_LIMIT: Final = 20 * SHARES
"""What all processes hold together is a twentieth of a limit."""
KEYS_MAX: Final = 20_000
STAND_BACK_NS: Final = 2 * NS_PER_S
"""How long a cache that did not answer is left alone."""
NS_PER_US: Final = 1_000
WINDOW_S: Final = 60

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
    help="Requests and connections refused because they came too often, by level and kind.",
    labels=("level", "kind"),
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an answer may tell: of the caller's own level alone, what others do is theirs."""

    level: LevelName
    per_minute: int
    left: int
    """About as many more, as far as this process knows."""

    @property
    def restored_s(self) -> int:
        """After how long without a request there are as many as ever."""
        return -(-(self.per_minute - self.left) * WINDOW_S // self.per_minute)


class LimitStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """For health."""

    keys: int
    times_of_limit: int
    """How often all processes together may grant a limit: once where they share a cache, also while
    it is away; as often as there are processes in an installation with PostgreSQL alone."""


class _Block:
    """Permissions that this process holds for one key, or until when there are none."""

    __slots__ = ("asked", "elsewhere", "left", "refused_until_ns", "waiting")

    def __init__(self) -> None:
        self.left = 0
        self.elsewhere = 0
        """As many more were left in the cache."""
        self.refused_until_ns = 0
        self.waiting = 0
        self.asked: asyncio.Event | None = None
        """Set when the question that is on its way was answered."""


_Counter = tuple[Level, _Block]
_Asker = tuple[TenantId, UserId, LimitKind, str]
_Basis = tuple[RateClaims, LimitSettings, int]
"""What the numbers were made from."""


class RateLimits(Component):
    """Admits or refuses; a service asks it before it does anything for a caller."""

    critical: ClassVar[bool] = False
    depends_on: tuple[str, ...] = ()

    def __init__(
        self,
        together: Cache,
        alone: Cache,
        *,
        levels: LimitLevels,
        client: ValkeyClient | None,
        errors: ErrorHandler,
        metrics: Metrics,
        clock: Clock,
        keys_max: int = KEYS_MAX,
    ) -> None:
        self._keys_max = keys_max
        self._together = together
        self._alone = alone
        self._levels = levels
        self._client = client
        self._errors = errors
        self._metrics = metrics
        self._clock = clock
        self._blocks: OrderedDict[tuple[TenantId | None, str], _Block] = OrderedDict()
        self._paths: OrderedDict[_Asker, tuple[_Basis, Sequence[_Counter]]] = OrderedDict()
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
        """How many addresses, persons, devices and organisations this process remembers."""
        return len(self._blocks)

    def statistics(self) -> LimitStatistics:
        """For health."""
        by_itself = self._together is self._alone
        return LimitStatistics(keys=self.keys, times_of_limit=SHARES if by_itself else 1)

    @override
    async def start(self) -> None:
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPED
        if self._client is not None:
            await self._client.stop()

    async def admit(
        self, person: Person | None, kind: LimitKind, *, address: str = ""
    ) -> Standing | None:
        """Count one request; raises `RATE_LIMIT_EXCEEDED` with the time to wait."""
        if kind is LimitKind.EXEMPT:
            return None
        if person is None:
            return await self._take(self._found(self._levels.of_stranger(kind, address)))
        return await self._take(self._path(person, kind, address))

    async def admit_account(self, account: str) -> None:
        """Count one attempt to log in to an account; raises `RATE_LIMIT_EXCEEDED`."""
        await self._take(self._found(self._levels.of_account(account)))

    async def admit_link(self, device: Device, *, address: str = "") -> None:
        """Count one connection of a device; raises `RATE_LIMIT_EXCEEDED`."""
        await self._take(self._found(self._levels.of_device(device, address)))

    async def admit_device(self, tenant: TenantId, device: DeviceId) -> None:
        """Count one request that a device proved to be its own; raises `RATE_LIMIT_EXCEEDED`."""
        await self._take(self._found(self._levels.of_device_request(Device(tenant, device))))

    async def admit_trading(self, tenant: TenantId, account: str) -> None:
        """Count one order for a broker account, whoever places it; raises `RATE_LIMIT_EXCEEDED`."""
        await self._take(self._found(self._levels.of_trading_account(tenant, account)))

    async def admit_stream(self, person: Person, *, address: str = "") -> None:
        """Count one open stream of a person; raises `RATE_LIMIT_EXCEEDED`."""
        await self._take(self._path(person, LimitKind.CONNECTIONS, address))

    def _path(self, person: Person, kind: LimitKind, address: str) -> Sequence[_Counter]:
        """The counters of a request; remembered, because most requests are like the last one."""
        key = (person.tenant, person.user, kind, address)
        basis = (person.rates, self._levels.settings, self._levels.load_version)
        known = self._paths.get(key)
        if known is not None and _is_same(known[0], basis):
            self._paths.move_to_end(key)
            return known[1]
        found = self._found(self._levels.of_person(person, kind, address))
        self._paths[key] = (basis, found)
        if len(self._paths) > self._keys_max:
            self._paths.popitem(last=False)
        return found

    def _found(self, levels: Sequence[Level]) -> Sequence[_Counter]:
        return [(level, self._block(level)) for level in levels]

    async def _take(self, counters: Sequence[_Counter]) -> Standing | None:
        """One permission of every level, or of none."""
        if not counters:
            return None
        last = counters[-1][0]
        for level, _ in counters:
            self._levels.note(level)
        with span(SpanKind.LIMIT, f"{last.name} {last.kind}"):
            return await self._taken(counters)

    async def _taken(self, counters: Sequence[_Counter]) -> Standing | None:
        while empty := [counter for counter in counters if counter[1].left <= 0]:
            now_ns = self._clock.monotonic_ns()
            for level, block in empty:
                if now_ns < block.refused_until_ns:
                    raise self._refusal(level, block.refused_until_ns - now_ns)
            await self._ask_or_wait(empty)
        for _, block in counters:
            block.left -= 1
        if counters[-1][0].name is not LevelName.USER:
            return None
        last, block = counters[-1]
        left = min(last.per_minute, block.left + block.elsewhere)
        return Standing(level=last.name, per_minute=last.per_minute, left=left)

    async def _ask_or_wait(self, empty: Sequence[_Counter]) -> None:
        """One question for all who wait for a block; it asks for as many as they are."""
        for _, block in empty:
            if block.asked is not None:
                block.waiting += 1
                try:
                    await block.asked.wait()
                finally:
                    block.waiting -= 1
                return
        answered = asyncio.Event()
        for _, block in empty:
            block.asked = answered
        try:
            await self._fill(empty)
        finally:
            for _, block in empty:
                block.asked = None
            answered.set()

    async def _fill(self, empty: Sequence[_Counter]) -> None:
        async def together() -> Granted:
            return await self._ask_cache([_ask(level, block, 1) for level, block in empty])

        async def alone(_: Exception) -> Granted:
            return await self._alone.grant([_ask(level, block, SHARES) for level, block in empty])

        granted = await self._errors.degrade(RATE_LIMITS_DEGRADE, together, alone)
        if granted.refused_by is not None:
            _, block = empty[granted.refused_by]
            wait_ns = max(1, granted.retry_after_us) * NS_PER_US
            block.refused_until_ns = self._clock.monotonic_ns() + wait_ns
            return
        for (_, block), number, left in zip(empty, granted.numbers, granted.left, strict=True):
            block.left, block.elsewhere = number, left

    async def _ask_cache(self, asked: Sequence[Ask]) -> Granted:
        if self._clock.monotonic_ns() < self._away_until_ns:
            raise CACHE_UNAVAILABLE.error(reason="it did not answer a moment ago")
        try:
            return await self._together.grant(asked)
        except Exception:
            self._away_until_ns = self._clock.monotonic_ns() + STAND_BACK_NS
            raise

    def _refusal(self, level: Level, wait_ns: int) -> AitradingError:
        self._metrics.increment(REFUSED_TOTAL, level=str(level.name), kind=str(level.kind))
        return RATE_LIMIT_EXCEEDED.error(
            limit=level.per_minute,
            whom=WHOM[level.name],
            level=str(level.name),
            retry_after_s=wait_ns / NS_PER_S,
        )

    def _block(self, level: Level) -> _Block:
        """The oldest keys are forgotten; the cache, not this process, remembers what they took."""
        key = (level.tenant, level.key)
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = _Block()
            if len(self._blocks) > self._keys_max:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(key)
        return block


def _is_same(one: _Basis, other: _Basis) -> bool:
    return one[0] is other[0] and one[1] is other[1] and one[2] == other[2]


def _ask(level: Level, block: _Block, shares: int) -> Ask:
    per_minute = max(1, level.per_minute // shares)
    number = max(1, level.per_minute // BLOCKS_PER_LIMIT, block.waiting + 1)
    return Ask(
        tenant=level.tenant,
        name=level.key,
        limit=RateLimit(per_minute=per_minute, burst=per_minute),
        number=min(number, per_minute),
    )
