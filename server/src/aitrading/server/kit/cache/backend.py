"""What an adapter must do: typed operations on complete keys.

Only `Keyspace` calls this; it makes the keys and checks the arguments, so that adapters agree on
them. Every adapter passes the contract suite in `server/tests/kit/cache`.
"""

from collections.abc import Mapping
from typing import Protocol

from aitrading.core.security.rate_limiter import Granted, RateLimit
from aitrading.server.kit.cache.types import Scored, Spent


class CacheBackend(Protocol):
    """One cache; every operation is atomic, and raises `CACHE_UNAVAILABLE` when it is away."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none any more."""
        ...

    async def put(self, key: str, value: bytes, life_ms: int, *, absent: bool) -> bool:
        """Keep the value; with `absent` only where there is none. Gives whether it was kept."""
        ...

    async def delete(self, key: str) -> bool:
        """Gives whether there was one."""
        ...

    async def life_ms(self, key: str) -> int | None:
        """How long it still lives; None when there is none."""
        ...

    async def spend(self, key: str, amount: int, *, limit: int, window_ms: int) -> Spent:
        """Add to a counter unless it would pass the limit; the window begins with the first."""
        ...

    async def grant(self, wanted: Mapping[str, tuple[RateLimit, int]]) -> Granted:
        """At each key as many as its rate leaves room for, or none at all; by one own clock."""
        ...

    async def acquire(self, lock: str, fence: str, owner: str, life_ms: int, floor: int) -> int:
        """Take a free lock; gives a fence above every earlier one and not below the floor, or 0."""
        ...

    async def renew(self, lock: str, owner: str, life_ms: int) -> bool:
        """Give a lock that the owner holds a new life."""
        ...

    async def release(self, lock: str, owner: str) -> bool:
        """Free a lock that the owner holds."""
        ...

    async def put_fenced(
        self, key: str, mark: str, value: bytes, *, life_ms: int, mark_life_ms: int, fence: int
    ) -> bool:
        """Keep the value unless a higher fence wrote before."""
        ...

    async def put_fields(self, key: str, fields: Mapping[str, bytes], life_ms: int) -> None:
        """Set fields of a table; it lives anew."""
        ...

    async def fields(self, key: str) -> dict[str, bytes]:
        """Every field of a table."""
        ...

    async def raise_scores(self, key: str, by: Mapping[str, float], life_ms: int) -> None:
        """Add to scores of members, which begin at 0; the set lives anew."""
        ...

    async def set_score(self, key: str, member: str, score: float, life_ms: int) -> None:
        """Put a member where it belongs; the set lives anew."""
        ...

    async def top(self, key: str, number: int) -> list[Scored]:
        """The highest scores first; equal scores in falling order of their members' bytes."""
        ...

    async def between(self, key: str, low: float, high: float, number: int) -> list[Scored]:
        """Members with a score from low to high, both included, lowest first."""
        ...

    async def trim(self, key: str, keep: int) -> int:
        """Keep only so many of the highest; gives how many went."""
        ...
