"""The cache over the Redis protocol: Valkey, Redis and Dragonfly, by the subset they share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from typing_extensions import override

from aitrading.core.security.rate_limiter import Granted, RateLimit
from aitrading.server.kit.cache import scripts
from aitrading.server.kit.cache.backend import CacheBackend
from aitrading.server.kit.cache.types import Scored, Spent
from aitrading.server.kit.valkey import Argument, ValkeyClient

Door = Callable[[], AbstractContextManager[object]]
"""Lets a call through or raises; a breaker's `guard`."""


class ServedCache(CacheBackend):
    """Every operation is one round trip through the breaker."""

    def __init__(self, client: ValkeyClient, door: Door) -> None:
        self._client = client
        self._door = door

    @override
    async def get(self, key: str) -> bytes | None:
        return await self._ask("GET", key)

    @override
    async def put(self, key: str, value: bytes, life_ms: int, *, absent: bool) -> bool:
        only: tuple[Argument, ...] = ("NX",) if absent else ()
        return await self._ask("SET", key, value, "PX", life_ms, *only) is not None

    @override
    async def delete(self, key: str) -> bool:
        return await self._ask("DEL", key) == 1

    @override
    async def life_ms(self, key: str) -> int | None:
        left_ms = int(await self._ask("PTTL", key))
        return left_ms if left_ms >= 0 else None

    @override
    async def spend(self, key: str, amount: int, *, limit: int, window_ms: int) -> Spent:
        accepted, total, left_ms = await self._run(
            scripts.SPEND, (key,), (amount, limit, window_ms)
        )
        return Spent(accepted=accepted == 1, total=total, resets_in_s=left_ms / 1_000)

    @override
    async def grant(self, wanted: Mapping[str, tuple[RateLimit, int]]) -> Granted:
        arguments = [
            part
            for limit, number in wanted.values()
            for part in (limit.interval_us, limit.burst, number)
        ]
        by, wait_us, *pairs = await self._run(scripts.GRANT, tuple(wanted), tuple(arguments))
        if by:
            return Granted(refused_by=by - 1, retry_after_us=wait_us)
        return Granted(numbers=tuple(pairs[::2]), left=tuple(pairs[1::2]))

    @override
    async def acquire(self, lock: str, fence: str, owner: str, life_ms: int, floor: int) -> int:
        return int(await self._run(scripts.ACQUIRE, (lock, fence), (owner, life_ms, floor)))

    @override
    async def renew(self, lock: str, owner: str, life_ms: int) -> bool:
        return await self._run(scripts.RENEW, (lock,), (owner, life_ms)) == 1

    @override
    async def release(self, lock: str, owner: str) -> bool:
        return await self._run(scripts.RELEASE, (lock,), (owner,)) == 1

    @override
    async def put_fenced(
        self, key: str, mark: str, value: bytes, *, life_ms: int, mark_life_ms: int, fence: int
    ) -> bool:
        arguments = (value, life_ms, mark_life_ms, fence)
        return await self._run(scripts.PUT_FENCED, (key, mark), arguments) == 1

    @override
    async def put_fields(self, key: str, fields: Mapping[str, bytes], life_ms: int) -> None:
        pairs = [part for pair in fields.items() for part in pair]
        await self._all([("HSET", key, *pairs), ("PEXPIRE", key, life_ms)])

    @override
    async def fields(self, key: str) -> dict[str, bytes]:
        flat = await self._ask("HGETALL", key)
        return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}

    @override
    async def raise_scores(self, key: str, by: Mapping[str, float], life_ms: int) -> None:
        commands = [("ZINCRBY", key, repr(score), member) for member, score in by.items()]
        await self._all([*commands, ("PEXPIRE", key, life_ms)])

    @override
    async def set_score(self, key: str, member: str, score: float, life_ms: int) -> None:
        await self._all([("ZADD", key, repr(score), member), ("PEXPIRE", key, life_ms)])

    @override
    async def top(self, key: str, number: int) -> list[Scored]:
        return _scored(await self._ask("ZREVRANGE", key, 0, number - 1, "WITHSCORES"))

    @override
    async def between(self, key: str, low: float, high: float, number: int) -> list[Scored]:
        limits = (repr(low), repr(high), "WITHSCORES", "LIMIT", 0, number)
        return _scored(await self._ask("ZRANGEBYSCORE", key, *limits))

    @override
    async def trim(self, key: str, keep: int) -> int:
        return int(await self._ask("ZREMRANGEBYRANK", key, 0, -keep - 1))

    async def _run(
        self, script: str, keys: tuple[str, ...], arguments: tuple[Argument, ...]
    ) -> Any:
        return await self._ask("EVAL", script, len(keys), *keys, *arguments)

    async def _ask(self, *command: Argument) -> Any:
        return (await self._all([command]))[0]

    async def _all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        with self._door():
            return await self._client.calls(commands)


def _scored(flat: Sequence[bytes]) -> list[Scored]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Scored(member=member.decode(), score=float(score)) for member, score in pairs]
