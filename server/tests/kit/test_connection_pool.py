"""The pool itself: nobody shares a connection, no place is lost, whatever is cut short."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import settle
from aitrading.server.kit import connection_pool
from aitrading.server.kit.connection_pool import ConnectionPool

LIMIT = 3
LONG_S = 30.0


class Line:
    """A connection as far as the pool looks at it."""

    def __init__(self) -> None:
        self.ended = False

    def is_closed(self) -> bool:
        return self.ended

    def terminate(self) -> None:
        self.ended = True

    async def close(self, **_: object) -> None:
        self.ended = True


@dataclass
class Server:
    """Opens connections, unless it is away or silent."""

    away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers.set()

    async def connect(self) -> Line:
        await self.answers.wait()
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionRefusedError
        self.lines.append(Line())
        return self.lines[-1]

    @property
    def open(self) -> int:
        return sum(not line.ended for line in self.lines)


def pool_of(server: Server, *, least: int = 0, limit: int = LIMIT) -> ConnectionPool:
    return ConnectionPool(server.connect, least=least, limit=limit)


async def code_of(pool: ConnectionPool, timeout_s: float = 0.01) -> str:
    with pytest.raises(AitradingError) as caught:
        await pool.acquire(timeout_s)
    return caught.value.code


@async_test
async def test_the_last_one_given_back_is_the_first_one_taken() -> None:
    server = Server()
    pool = pool_of(server, least=2)
    await pool.open()
    first, second = await pool.acquire(1), await pool.acquire(1)
    pool.release(second)
    pool.release(first)
    assert await pool.acquire(1) is first
    assert server.open == 2


@async_test
async def test_who_waits_is_served_in_order_and_counted() -> None:
    server = Server()
    pool = pool_of(server, limit=1)
    held = await pool.acquire(1)
    served: list[int] = []

    async def wait(number: int) -> None:
        connection = await pool.acquire(LONG_S)
        served.append(number)
        pool.release(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(wait(number))
        await eventually(lambda: pool.occupation().waiting == 5, what="five that wait")
        pool.release(held)
    assert served == [0, 1, 2, 3, 4]
    assert (server.open, pool.occupation().waiting) == (1, 0)


@pytest.mark.parametrize("clean", [True, False], ids=["connection", "place"])
@async_test
async def test_what_was_given_to_somebody_who_gave_up_goes_to_the_next(clean: bool) -> None:
    server = Server()
    pool = pool_of(server, limit=1)
    held = await pool.acquire(1)
    async with asyncio.TaskGroup() as group:
        impatient, patient = (group.create_task(pool.acquire(LONG_S)) for _ in range(2))
        await eventually(lambda: pool.occupation().waiting == 2, what="two that wait")
        pool.release(held, clean=clean)
        impatient.cancel()
        await eventually(patient.done, what="the other one being served")
    assert (patient.result() is held) is clean
    assert (server.open, pool.occupation().waiting) == (1, 0)


@async_test
async def test_a_full_pool_and_a_silent_server_are_told_apart() -> None:
    server = Server()
    pool = pool_of(server, limit=1)
    held = await pool.acquire(1)
    assert await code_of(pool) == "DATABASE_POOL_EXHAUSTED"
    pool.release(held, clean=False)
    server.answers.clear()
    assert await code_of(pool) == "DATABASE_CONNECTION_LOST"
    assert pool.occupation().timeouts == 2
    server.answers.set()
    pool.release(await pool.acquire(1))
    assert pool.occupation().idle == 1


@async_test
async def test_a_dirty_a_dead_or_an_expired_connection_is_never_lent_again() -> None:
    server = Server()
    pool = pool_of(server)
    dirty = await pool.acquire(1)
    pool.release(dirty, clean=False)
    dead = await pool.acquire(1)
    pool.release(dead)
    dead.ended = True
    idle, busy = await pool.acquire(1), await pool.acquire(1)
    pool.release(idle)
    pool.expire()
    assert idle.ended
    assert not busy.ended, "whoever has it may finish"
    pool.release(busy)
    assert {dirty.ended, dead.ended, busy.ended} == {True}
    assert await pool.acquire(1) not in (dirty, dead, idle, busy)


@async_test
async def test_a_connection_is_made_anew_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    pool = pool_of(server, least=1)
    await pool.open()
    monkeypatch.setattr(connection_pool, "LIFE_S", 0.0)
    old = await pool.acquire(1)
    pool.release(old)
    assert old.ended
    assert await pool.acquire(1) is not old


@async_test
async def test_closing_refuses_who_waits_and_cuts_off_who_stays() -> None:
    server = Server()
    pool = pool_of(server, limit=1)
    kept = await pool.acquire(1)
    async with asyncio.TaskGroup() as group:
        waits = group.create_task(code_of(pool, LONG_S))
        await eventually(lambda: pool.occupation().waiting, what="somebody who waits")
        await pool.close(0.01)
    assert waits.result() == "DATABASE_CLOSED"
    assert kept.ended
    pool.release(kept)
    assert pool.occupation().size == 0
    assert await code_of(pool) == "DATABASE_CLOSED"


class Crowd:
    """Many who take, give back, spoil and give up, in any order."""

    def __init__(self, group: asyncio.TaskGroup, random: Any) -> None:
        self.server = Server()
        self.pool = pool_of(self.server)
        self._group = group
        self._random = random
        self._takers: list[asyncio.Task[None]] = []
        self._held: list[Any] = []

    async def take(self) -> None:
        try:
            connection = await self.pool.acquire(LONG_S)
        except AitradingError:
            return
        assert not any(connection is other for other in self._held)
        self._held.append(connection)

    def step(self, what: str) -> None:
        match what:
            case "take":
                self._takers.append(self._group.create_task(self.take()))
            case "give" | "spoil":
                if self._held:
                    self.pool.release(self._any_of(self._held), clean=what == "give")
            case "cancel":
                if self._takers:
                    self._any_of(self._takers).cancel()
            case "expire":
                self.pool.expire()
            case _:
                self.server.away = what == "away"

    async def go_home(self) -> None:
        self.server.away = False
        while self._held or any(not taker.done() for taker in self._takers):
            await settle()
            while self._held:
                self.pool.release(self._held.pop())

    def _any_of(self, things: list[Any]) -> Any:
        return things.pop(self._random.randrange(len(things)))


STEPS = st.sampled_from(["take", "take", "give", "spoil", "cancel", "expire", "away", "back"])


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEPS, max_size=60), random=st.randoms(use_true_random=False))
def test_no_order_of_events_loses_a_place_or_lends_a_connection_twice(
    steps: list[str], random: Any
) -> None:
    @async_test
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            crowd = Crowd(group, random)
            for step in steps:
                crowd.step(step)
                for _ in range(random.randrange(3)):
                    await asyncio.sleep(0)
                assert crowd.server.open <= LIMIT
            await crowd.go_home()
        occupation = crowd.pool.occupation()
        assert (occupation.in_use, occupation.waiting) == (0, 0)
        assert occupation.size == crowd.server.open
        everybody = [await crowd.pool.acquire(1) for _ in range(LIMIT)]
        assert len({id(line) for line in everybody}) == LIMIT

    scenario()
