"""What every cache promises, whichever it is."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.rate_limiter import RateLimit
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import NAME_MAX_BYTES, VALUE_MAX_BYTES, Ask, Cache, Keyspace
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.cache.types import Lease, Scored
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import running_valkey
from aitrading.server.testing.redis import redis_missing, running_redis

pytestmark = pytest.mark.integration
SERVICE = "database-service"
A, B = TenantId(UUID(int=1)), TenantId(UUID(int=2))
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
CacheFactory = Callable[[Path], AbstractAsyncContextManager[Cache]]


@asynccontextmanager
async def over(client: ValkeyClient) -> AsyncGenerator[Cache]:
    await client.start()
    try:
        yield Cache(SERVICE, ServedCache(client, nullcontext), CLOCK, IDS)
    finally:
        await client.stop()


@asynccontextmanager
async def valkey_cache(folder: Path) -> AsyncGenerator[Cache]:
    async with (
        running_valkey(folder) as valkey,
        over(ValkeyClient(valkey.access(SERVICE))) as cache,
    ):
        yield cache


@asynccontextmanager
async def redis_cache(folder: Path) -> AsyncGenerator[Cache]:
    async with running_redis(folder, SERVICE) as access, over(ValkeyClient(access)) as cache:
        yield cache


@asynccontextmanager
async def in_process_cache(_: Path) -> AsyncGenerator[Cache]:
    yield Cache(SERVICE, InProcessCache(CLOCK), CLOCK, IDS)


every_cache = pytest.mark.parametrize(
    "opened",
    [
        pytest.param(valkey_cache, id="valkey"),
        pytest.param(in_process_cache, id="in-process"),
        pytest.param(
            redis_cache,
            id="redis-7-tls",
            marks=[
                pytest.mark.servers,
                pytest.mark.skipif(bool(redis_missing()), reason=redis_missing()),
            ],
        ),
    ],
)


async def code_of(attempt: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


async def values(mine: Keyspace) -> None:
    assert await mine.get("v") is None
    assert await mine.life_s("v") is None
    await mine.put("v", b"\x00one\r\n", life_s=60)
    assert await mine.get("v") == b"\x00one\r\n"
    assert not await mine.put_if_absent("v", b"two", life_s=60)
    assert 45 < (await mine.life_s("v") or 0) <= 60
    assert await mine.delete("v")
    assert not await mine.delete("v")
    assert await mine.put_if_absent("v", b"", life_s=0.02)
    await eventually(lambda: gone(mine, "v"), what="the end of a value")


async def gone(mine: Keyspace, name: str) -> bool:
    return await mine.get(name) is None


async def counters(mine: Keyspace) -> None:
    first = await mine.spend("c", 3, limit=5, window_s=60)
    assert (first.accepted, first.total) == (True, 3)
    refused = await mine.spend("c", 3, limit=5, window_s=60)
    assert (refused.accepted, refused.total) == (False, 3)
    assert 45 < refused.resets_in_s <= 60
    last = await mine.spend("c", 2, limit=5, window_s=60)
    assert (last.accepted, last.total) == (True, 5)
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(mine.spend("many", 1, limit=10, window_s=60)) for _ in range(30)
        ]
    assert sum(call.result().accepted for call in calls) == 10
    await mine.spend("short", 1, limit=1, window_s=0.02)

    async def again() -> bool:
        return (await mine.spend("short", 1, limit=1, window_s=0.02)).accepted

    await eventually(again, what="a new window")


async def rates(cache: Cache) -> None:
    slow = RateLimit(per_minute=1, burst=10)

    def ask(name: str, number: int, limit: RateLimit = slow) -> Ask:
        return Ask(tenant=A, name=name, limit=limit, number=number)

    asked = [await cache.grant([ask("r", number)]) for number in (4, 10, 1)]
    assert [each.numbers for each in asked] == [(4,), (6,), ()]
    assert [each.left for each in asked] == [(6,), (0,), ()]
    assert asked[-1].refused_by == 0
    assert 58_000_000 < asked[-1].retry_after_us <= 60_000_000
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(cache.grant([ask("many", 1)])) for _ in range(30)]
    assert sum(sum(call.result().numbers) for call in calls) == 10
    quick = RateLimit(per_minute=6_000, burst=1)
    assert (await cache.grant([ask("quick", 1, quick)])).numbers == (1,)

    async def again() -> bool:
        return (await cache.grant([ask("quick", 1, quick)])).numbers == (1,)

    await eventually(again, what="a request that is paid back")


async def rates_of_several_levels(cache: Cache) -> None:
    def levels(number: int = 2) -> list[Ask]:
        wide, narrow = RateLimit(per_minute=1, burst=9), RateLimit(per_minute=1, burst=3)
        return [
            Ask(tenant=None, name="all", limit=wide, number=3 * number),
            Ask(tenant=A, name="one", limit=narrow, number=number),
        ]

    assert (await cache.grant(levels())).numbers == (6, 2)
    less = await cache.grant(levels())
    assert (less.numbers, less.left) == ((3, 1), (0, 0)), "what there is"
    refused = await cache.grant(levels())
    assert (refused.refused_by, refused.numbers) == (0, ())
    other = Ask(tenant=B, name="one", limit=RateLimit(per_minute=1, burst=2), number=1)
    assert (await cache.grant([levels()[0], other])).refused_by == 0
    assert (await cache.grant([other])).left == (1,), "a refusal took nothing anywhere"


async def locks(mine: Keyspace) -> None:
    lease = await mine.acquire("l", life_s=60)
    assert lease
    assert await mine.acquire("l", life_s=60) is None
    stranger = Lease(name="l", owner="stranger", fence=lease.fence)
    assert not await mine.release(stranger)
    assert not await mine.renew(stranger, life_s=60)
    assert await mine.renew(lease, life_s=0.02)
    held: list[Lease] = []

    async def taken_over() -> bool:
        if found := await mine.acquire("l", life_s=60):
            held.append(found)
        return bool(held)

    await eventually(taken_over, what="the end of a lease")
    later = held[0]
    assert later.fence > lease.fence
    assert not await mine.renew(lease, life_s=60)
    assert not await mine.release(lease)
    assert await mine.put_fenced(lease, "job", b"before", life_s=60)
    assert await mine.put_fenced(later, "job", b"later", life_s=60)
    assert not await mine.put_fenced(lease, "job", b"stale", life_s=60)
    assert await mine.get("job") == b"later"
    assert await mine.release(later)
    assert (await mine.acquire("l", life_s=60) or lease).fence > later.fence


async def one_of_many_gets_the_lock(mine: Keyspace) -> None:
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(mine.acquire("one", life_s=60)) for _ in range(20)]
    assert sum(attempt.result() is not None for attempt in tries) == 1


async def tables(mine: Keyspace) -> None:
    assert await mine.fields("t") == {}
    await mine.put_fields("t", {"é": b"1", "b": b"2"}, life_s=60)
    await mine.put_fields("t", {"b": b"3"}, life_s=60)
    assert await mine.fields("t") == {"é": b"1", "b": b"3"}


async def sorted_sets(mine: Keyspace) -> None:
    assert await mine.top("z", 3) == []
    await mine.raise_scores("z", {"a": 1.0, "b": 2.5, "c": 2.5, "d": -1.0}, life_s=60)
    await mine.raise_scores("z", {"a": 9.0}, life_s=60)
    await mine.set_score("z", "d", 0.1, life_s=60)
    assert await mine.top("z", 3) == [
        Scored(member="a", score=10.0),
        Scored(member="c", score=2.5),
        Scored(member="b", score=2.5),
    ]
    assert [one.member for one in await mine.between("z", 0.1, 2.5)] == ["d", "b", "c"]
    assert [one.member for one in await mine.between("z", 0, 99, number=1)] == ["d"]
    assert await mine.trim("z", 2) == 2
    assert [one.member for one in await mine.top("z", 9)] == ["a", "c"]
    assert await mine.trim("z", 5) == 0


async def kinds_of_one_name_do_not_meet(mine: Keyspace) -> None:
    await mine.put("same", b"v", life_s=60)
    await mine.spend("same", 1, limit=1, window_s=60)
    await mine.put_fields("same", {"f": b"1"}, life_s=60)
    await mine.raise_scores("same", {"m": 1.0}, life_s=60)
    assert await mine.acquire("same", life_s=60)
    assert await mine.get("same") == b"v"


async def bad_arguments(mine: Keyspace) -> None:
    for life_s in (0, -1, float("nan"), float("inf"), 1e9):
        assert await code_of(mine.put("x", b"", life_s=life_s)) == "CACHE_ARGUMENT_INVALID"
    assert await code_of(mine.spend("x", 0, limit=1, window_s=1)) == "CACHE_ARGUMENT_INVALID"
    nan = float("nan")
    assert await code_of(mine.raise_scores("x", {"m": nan}, life_s=1)) == "CACHE_ARGUMENT_INVALID"
    assert await code_of(mine.top("x", 0)) == "CACHE_ARGUMENT_INVALID"
    large = bytes(VALUE_MAX_BYTES + 1)
    assert await code_of(mine.put("x", large, life_s=1)) == "CACHE_VALUE_TOO_LARGE"
    for name in ("", "x" * (NAME_MAX_BYTES + 1), "\ud800"):
        assert await code_of(mine.get(name)) == "CACHE_NAME_INVALID"


async def bad_asks(cache: Cache) -> None:
    assert await code_of(cache.grant([])) == "CACHE_ARGUMENT_INVALID"
    for number, burst in ((0, 5), (6, 5), (1, 10**9)):
        limit = RateLimit(per_minute=1, burst=burst)
        wrong = Ask(tenant=A, name="x", limit=limit, number=number)
        assert await code_of(cache.grant([wrong])) == "CACHE_ARGUMENT_INVALID"


async def tenants_are_apart(cache: Cache) -> None:
    await cache.of(B).put("secret", b"b", life_s=60)
    await cache.of(B).raise_scores("secret", {"m": 1}, life_s=60)
    prefix = cache.of(B).key("v", "secret")
    for name in ("secret", prefix, f"../{B}:v:secret", f"\r\nGET {prefix}\r\n", f"*{B}*"):
        assert await cache.of(A).get(name) is None
        assert not await cache.of(A).delete(name)
        assert await cache.platform.get(name) is None
    assert await cache.of(B).get("secret") == b"b"


@every_cache
@async_test
async def test_the_contract(opened: CacheFactory, tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        for number, promise in enumerate(
            (
                values,
                counters,
                locks,
                one_of_many_gets_the_lock,
                tables,
                sorted_sets,
                kinds_of_one_name_do_not_meet,
                bad_arguments,
            )
        ):
            await promise(cache.of(TenantId(UUID(int=100 + number))))
        await values(cache.platform)
        for whole in (rates, rates_of_several_levels, bad_asks, tenants_are_apart):
            await whole(cache)


@settings(max_examples=50, deadline=None)
@given(name=st.text(min_size=1, max_size=60), other=st.text(min_size=1, max_size=60))
def test_no_name_of_one_tenant_is_a_key_of_another(name: str, other: str) -> None:
    cache = Cache(SERVICE, InProcessCache(CLOCK), CLOCK, IDS)
    views = [cache.of(A), cache.of(B), cache.platform]
    kinds = "vclfmhzr"
    try:
        keys = [view.key(kind, each) for view in views for kind in kinds for each in {name, other}]
    except AitradingError as exc:
        assert exc.code == "CACHE_NAME_INVALID"  # noqa: PT017 - half a surrogate pair
        return
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{SERVICE}:") for key in keys)
    with pytest.raises(TypeError):
        cache.of(f"{A}:v")  # type: ignore[arg-type]


@async_test
async def test_a_cache_in_the_process_has_an_end() -> None:
    mine = Cache(SERVICE, InProcessCache(CLOCK, entries_max=200), CLOCK, IDS).of(A)
    for number in range(1_000):
        await mine.put(f"v{number}", b"", life_s=60 + number)
    kept = [number for number in range(1_000) if await mine.get(f"v{number}") is not None]
    assert len(kept) <= 200
    assert kept[-1] == 999


@pytest.mark.servers
@pytest.mark.skipif(bool(redis_missing()), reason=redis_missing())
@async_test
async def test_a_served_cache_wants_our_certificate_and_password(tmp_path: Path) -> None:
    async with running_redis(tmp_path, SERVICE) as access:
        for change in ({"password": "wrong"}, {"tls": None}):
            client = ValkeyClient(msgspec.structs.replace(access, **change))
            assert await code_of(client.call("PING")) in {"CACHE_REJECTED", "CACHE_UNAVAILABLE"}
            await client.stop()
        client = ValkeyClient(access)
        assert await code_of(client.call("GET", "api-gateway:x")) == "CACHE_REJECTED"
        await client.stop()
