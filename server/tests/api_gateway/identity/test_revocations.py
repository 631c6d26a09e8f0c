"""An ended session is refused in every process, also in one that starts later or was cut off."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.memory_bus import MemoryBus
from aitrading.server.api_gateway.identity.revocations import Revocations
from aitrading.server.kit import ended_sessions
from aitrading.server.kit.ended_sessions import REMEMBER_S, EndedSessions
from aitrading.server.kit.revocation_feed import RevocationFeed

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def other_service(gate: Any) -> AsyncIterator[EndedSessions]:
    """What another process knows."""
    bus = MemoryBus(gate.broker, clock=gate.clock, ids=gate.server.ids, errors=gate.server.errors)
    await bus.start()
    ended = EndedSessions(gate.clock)
    feed = RevocationFeed(bus, ended)
    await feed.start()
    yield ended
    await feed.stop()
    await bus.stop()


async def logged_in(gate: Any) -> tuple[Any, dict[str, str]]:
    """A person's verified token, and the header that carries it."""
    tenant = await gate.tenant()
    await gate.user(tenant)
    given = await gate.command("tokens", tenant=tenant, user="trader")
    token = gate.server.verifier().verify_user(given["token"])
    return token, {"authorization": f"Bearer {given['token']}"}


@async_test
async def test_a_logout_reaches_every_service(gateway: Running) -> None:
    async with gateway() as gate, other_service(gate) as ended:
        token, headers = await logged_in(gate)
        assert not ended.is_revoked(token)
        await gate.post("/auth/logout", **headers)
        await eventually(lambda: ended.is_revoked(token))


@async_test
async def test_a_service_that_was_not_there_learns_it(gateway: Running) -> None:
    async with gateway() as gate:
        token, headers = await logged_in(gate)
        gate.broker.stop()
        assert (await gate.post("/auth/logout", **headers)).status == 204
        assert gate.ended.is_revoked(token)
        gate.broker.start()
        async with other_service(gate) as ended:
            await gate.clock.advance(10)
            await eventually(lambda: ended.is_revoked(token))


@async_test
async def test_a_restart_forgets_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        token, headers = await logged_in(gate)
        await gate.post("/auth/logout", **headers)
        ended = EndedSessions(gate.clock)
        again = Revocations(
            gate.pool, gate.bus, ended, clock=gate.clock, on_error=gate.server.errors.classify
        )
        await again.start()
        assert ended.is_revoked(token)
        await again.stop()


@async_test
async def test_housekeeping_forgets_what_is_over_and_nothing_else(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        await gate.command("login-link", tenant=tenant, user="trader")
        await gate.command("devices/invite", tenant=tenant, name="desk")
        await gate.browser(tenant)
        assert await gate.identity.housekeeping.clean() == 0
        gate.clock.step_wall(2 * 24 * 3600 + 60)
        fresh = await gate.browser(tenant)
        cleaned = await gate.identity.housekeeping.clean()
        assert cleaned >= 2
        gate.clock.step_wall(6.5 * 24 * 3600)
        header = f"__Secure-aitrading-refresh={fresh['__Secure-aitrading-refresh']}"
        origin = "https://localhost:8000"
        assert await gate.identity.housekeeping.clean() >= 1
        assert (await gate.post("/auth/refresh", cookie=header, origin=origin)).status == 200


def test_memory_is_bounded_in_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_sessions, "MAX_ENDED_SESSIONS", 100)
    clock = ManualClock()
    ended = EndedSessions(clock)
    ended.add(UUID(int=n) for n in range(1000))
    assert len(ended) == 100
    assert ended.recent(3) == (UUID(int=999), UUID(int=998), UUID(int=997))
    clock._monotonic_ns += (REMEMBER_S + 1) * 10**9
    assert ended.recent(100) == ()
