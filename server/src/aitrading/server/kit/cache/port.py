"""The cache as services see it: `cache.of(tenant)` for a tenant's data, `cache.platform` for ours.

A key is `<service>:t:<tenant>:<kind>:<name>` or `<service>:p:<kind>:<name>`. The part before the
name has a fixed length and is made here from verified values, and a name is only ever appended:
no string makes one tenant's view reach another's key. The kind keeps values, counters, locks,
tables and sets of one name apart. The embedded engine's ACL holds every service to its prefix.

The cache is never the only place of a truth: everything in it has an end, and every caller says
what it does without it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.rate_limiter import Granted, RateLimit
from aitrading.server.kit.cache.backend import CacheBackend
from aitrading.server.kit.cache.errors import (
    CACHE_ARGUMENT_INVALID,
    CACHE_NAME_INVALID,
    CACHE_VALUE_TOO_LARGE,
)
from aitrading.server.kit.cache.types import Lease, Scored, Spent
from aitrading.server.kit.tenancy import tenant_setting

LIMITS: Final = "limits"
"""The one part of the cache that all services share: how often somebody asked any of them."""
NAME_MAX_BYTES: Final = 256
VALUE_MAX_BYTES: Final = 1 << 20
LIFE_MIN_S: Final = 0.001
LIFE_MAX_S: Final = 30 * 86_400
MEMBERS_MAX: Final = 1_000
"""Most members one question about a sorted set may give."""
WINDOW_MAX_US: Final = 86_400 * 1_000_000
"""Longest time in which a burst may be paid back."""
EXACT_MAX: Final = 1 << 53
"""Numbers up to here are exact in every script engine."""
LEVELS_MAX: Final = 8
"""Rates that one question may ask of at once."""
MARK_LIFE_S: Final = 7 * 86_400
"""How long the highest fence that wrote is remembered; far longer than any holder sleeps."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How many are wanted of one key's rate; a key is a tenant's or the platform's."""

    tenant: TenantId | None
    name: str
    limit: RateLimit
    number: int


class Keyspace:
    """Typed operations on one tenant's, or the platform's, part of the cache."""

    def __init__(self, prefix: str, backend: CacheBackend, clock: Clock, ids: IdFactory) -> None:
        self._prefix = prefix
        self._backend = backend
        self._clock = clock
        self._ids = ids

    async def get(self, name: str) -> bytes | None:
        """The value, or None when there is none any more."""
        return await self._backend.get(self.key("v", name))

    async def put(self, name: str, value: bytes, *, life_s: float) -> None:
        """Keep a value for a while."""
        await self._backend.put(self.key("v", name), _sized(value), _ms(life_s), absent=False)

    async def put_if_absent(self, name: str, value: bytes, *, life_s: float) -> bool:
        """Keep a value unless there is one; gives whether it was kept."""
        return await self._backend.put(
            self.key("v", name), _sized(value), _ms(life_s), absent=True
        )

    async def delete(self, name: str) -> bool:
        """Forget a value; gives whether there was one."""
        return await self._backend.delete(self.key("v", name))

    async def life_s(self, name: str) -> float | None:
        """How long a value still lives; None when there is none."""
        left_ms = await self._backend.life_ms(self.key("v", name))
        return None if left_ms is None else left_ms / 1_000

    async def spend(self, name: str, amount: int, *, limit: int, window_s: float) -> Spent:
        """Take from a budget of `limit` a window; what would pass the limit changes nothing."""
        _within("amount", amount, 1, EXACT_MAX)
        _within("limit", limit, 0, EXACT_MAX)
        key = self.key("c", name)
        return await self._backend.spend(key, amount, limit=limit, window_ms=_ms(window_s))

    async def acquire(self, name: str, *, life_s: float) -> Lease | None:
        """Take a lock that nobody holds; its fence is above all earlier ones.

        The wall clock is the fence's floor: a cache that lost everything does not begin at 1.
        """
        owner = str(self._ids.new())
        fence = await self._backend.acquire(
            self.key("l", name),
            self.key("f", name),
            owner,
            _ms(life_s),
            self._clock.now_ns() // NS_PER_MS,
        )
        return Lease(name=name, owner=owner, fence=fence) if fence else None

    async def renew(self, lease: Lease, *, life_s: float) -> bool:
        """Hold a lock longer; False means that it was lost, and its work must end."""
        return await self._backend.renew(self.key("l", lease.name), lease.owner, _ms(life_s))

    async def release(self, lease: Lease) -> bool:
        """Free a lock; harmless when somebody else holds it by now."""
        return await self._backend.release(self.key("l", lease.name), lease.owner)

    async def put_fenced(self, lease: Lease, name: str, value: bytes, *, life_s: float) -> bool:
        """Write as the holder of a lease; refused once a later holder of any lease wrote."""
        return await self._backend.put_fenced(
            self.key("v", name),
            self.key("m", name),
            _sized(value),
            life_ms=_ms(life_s),
            mark_life_ms=_ms(MARK_LIFE_S),
            fence=lease.fence,
        )

    async def put_fields(self, name: str, fields: Mapping[str, bytes], *, life_s: float) -> None:
        """Set fields of a table; the table lives anew."""
        if fields:
            checked = {_named(field): _sized(value) for field, value in fields.items()}
            await self._backend.put_fields(self.key("h", name), checked, _ms(life_s))

    async def fields(self, name: str) -> dict[str, bytes]:
        """Every field of a table."""
        return await self._backend.fields(self.key("h", name))

    async def raise_scores(self, name: str, by: Mapping[str, float], *, life_s: float) -> None:
        """Add to the scores of members, which begin at 0; the set lives anew."""
        if by:
            checked = {_named(member): _finite(score) for member, score in by.items()}
            await self._backend.raise_scores(self.key("z", name), checked, _ms(life_s))

    async def set_score(self, name: str, member: str, score: float, *, life_s: float) -> None:
        """Put a member where it belongs; the set lives anew."""
        key = self.key("z", name)
        await self._backend.set_score(key, _named(member), _finite(score), _ms(life_s))

    async def top(self, name: str, number: int) -> list[Scored]:
        """The members with the highest scores, highest first."""
        _within("number", number, 1, MEMBERS_MAX)
        return await self._backend.top(self.key("z", name), number)

    async def between(
        self, name: str, low: float, high: float, *, number: int = MEMBERS_MAX
    ) -> list[Scored]:
        """Members with a score from low to high, both included, lowest first."""
        _within("number", number, 1, MEMBERS_MAX)
        key = self.key("z", name)
        return await self._backend.between(key, _finite(low), _finite(high), number)

    async def trim(self, name: str, keep: int) -> int:
        """Keep only so many of the highest; gives how many went."""
        _within("keep", keep, 0, EXACT_MAX)
        return await self._backend.trim(self.key("z", name), keep)

    def key(self, kind: str, name: str) -> str:
        """The complete key of a name; raises `CACHE_NAME_INVALID`."""
        return f"{self._prefix}{kind}:{_named(name)}"


class Cache:
    """One service's part of the cache, or the shared one of `LIMITS`."""

    def __init__(self, service: str, backend: CacheBackend, clock: Clock, ids: IdFactory) -> None:
        self._service = service
        self._backend = backend
        self._clock = clock
        self._ids = ids

    def of(self, tenant: TenantId) -> Keyspace:
        """What belongs to one tenant; there is no other way to a tenant's keys."""
        return self._view(f"t:{UUID(hex=tenant_setting(tenant))}:")

    @property
    def platform(self) -> Keyspace:
        """What belongs to nobody: locks of jobs, figures of the platform."""
        return self._view("p:")

    async def grant(self, asked: Sequence[Ask]) -> Granted:
        """At every key as many of the wanted ones as its rate leaves room for, or none at all."""
        wanted: dict[str, tuple[RateLimit, int]] = {}
        for each in asked:
            limit = each.limit
            _within("wanted", each.number, 1, limit.burst)
            _within("limit", limit.burst * limit.interval_us, 1, WINDOW_MAX_US)
            space = self.platform if each.tenant is None else self.of(each.tenant)
            wanted[space.key("r", each.name)] = (limit, each.number)
        _within("levels", len(wanted), 1, LEVELS_MAX)
        return await self._backend.grant(wanted)

    def _view(self, part: str) -> Keyspace:
        return Keyspace(f"{self._service}:{part}", self._backend, self._clock, self._ids)


def _named(name: str) -> str:
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can carry
        size_bytes = 0
    if not 1 <= size_bytes <= NAME_MAX_BYTES:
        raise CACHE_NAME_INVALID.error(size_bytes=size_bytes, limit_bytes=NAME_MAX_BYTES)
    return name


def _sized(value: bytes) -> bytes:
    if len(value) > VALUE_MAX_BYTES:
        raise CACHE_VALUE_TOO_LARGE.error(size_bytes=len(value), limit_bytes=VALUE_MAX_BYTES)
    return value


def _ms(life_s: float) -> int:
    if not LIFE_MIN_S <= life_s <= LIFE_MAX_S:  # NaN is outside too
        expected = f"a life of {LIFE_MIN_S} to {LIFE_MAX_S} s"
        raise CACHE_ARGUMENT_INVALID.error(argument="life_s", actual=life_s, expected=expected)
    return round(life_s * 1_000)


def _within(argument: str, actual: int, low: int, high: int) -> None:
    if not low <= actual <= high:
        expected = f"{low} to {high}"
        raise CACHE_ARGUMENT_INVALID.error(argument=argument, actual=actual, expected=expected)


def _finite(score: float) -> float:
    if not math.isfinite(score):
        expected = "a finite number"
        raise CACHE_ARGUMENT_INVALID.error(argument="score", actual=score, expected=expected)
    return float(score)
