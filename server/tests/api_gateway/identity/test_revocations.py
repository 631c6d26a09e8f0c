"""An ended session is refused in every process, also in one that starts later or was cut off."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.events import RaisedEpoch
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.claims import Scope
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.memory_bus import MemoryBus
from aitrading.server.api_gateway.identity.revocations import REPEAT_S, Revocations
from aitrading.server.kit import revoked_tokens
from aitrading.server.kit.authentication import RequestHead
from aitrading.server.kit.bundle import PeerAddress
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.mtls import client_context
from aitrading.server.kit.revocation_feed import SILENCE_S, RevocationFeed
from aitrading.server.kit.revoked_tokens import (
    REMEMBER_S,
    UNCERTAIN_AFTER_S,
    Revocation,
    RevokedTokens,
)
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.http import tls_of

pytestmark = pytest.mark.integration
NEW = "another horse battery staple"
Running = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def other_service(gate: Any, *, asks: bool = True) -> AsyncIterator[RevokedTokens]:
    """What another process knows; without `asks` the source is out of its reach."""
    bus = MemoryBus(gate.broker, clock=gate.clock, ids=gate.server.ids, errors=gate.server.errors)
    await bus.start()
    revoked = RevokedTokens(gate.clock)
    source = gate.server.client("data-bridge")
    if not asks:
        source = InternalClient(
            peer="api-gateway",
            address=PeerAddress(host="127.0.0.1", port=free_port()),
            clock=gate.clock,
            tls=client_context(tls_of(gate.server.files("data-bridge"))),
        )
    feed = RevocationFeed(bus, revoked, source, clock=gate.clock, metrics=Metrics())
    await feed.start()
    yield revoked
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
async def test_a_service_that_was_not_there_learns_it_with_or_without_the_bus(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        token, headers = await logged_in(gate)
        gate.broker.stop()
        assert (await gate.post("/auth/logout", **headers)).status == 204
        assert gate.ended.is_revoked(token)
        async with other_service(gate) as revoked:
            await eventually(lambda: revoked.is_revoked(token) and revoked.is_certain)


@async_test
async def test_a_service_that_missed_one_asks_for_it(gateway: Running) -> None:
    async with gateway() as gate, other_service(gate) as revoked:
        token, headers = await logged_in(gate)
        await eventually(lambda: revoked.is_certain)
        gate.broker.stop()
        await gate.post("/auth/logout", **headers)
        assert not revoked.is_revoked(token)
        await gate.clock.advance(SILENCE_S + 0.1)
        await eventually(lambda: revoked.is_revoked(token) and revoked.is_certain)


@async_test
async def test_a_number_that_is_missing_is_noticed_at_the_next_beat(gateway: Running) -> None:
    async with gateway() as gate, other_service(gate) as revoked:
        token, headers = await logged_in(gate)
        await eventually(lambda: revoked.is_certain)
        gate.broker.stop()
        await gate.post("/auth/logout", **headers)
        gate.broker.start()
        assert not revoked.is_revoked(token)
        await gate.clock.advance(REPEAT_S + 0.1)
        await eventually(lambda: revoked.is_revoked(token) and revoked.is_certain)


@async_test
async def test_who_hears_nothing_and_reaches_nobody_refuses_to_trade(gateway: Running) -> None:
    async with gateway() as gate, other_service(gate, asks=False) as revoked:
        given = await logged_in(gate)
        head = RequestHead(headers={**given[1], "host": "localhost:8000"})
        door = gate.server.authenticator(revoked)
        with pytest.raises(AitradingError) as unknown:  # nothing was heard yet
            await door.person(head, Scope.TRADE)
        assert unknown.value.code == "REVOCATIONS_UNKNOWN"
        for scope in (Scope.READ, Scope.KILL):
            assert await door.person(head, scope)
        async with other_service(gate) as knows:
            await eventually(lambda: knows.is_certain)
            assert await gate.server.authenticator(knows).person(head, Scope.TRADE)
            gate.broker.stop()
            await gate.clock.advance(UNCERTAIN_AFTER_S + 0.1)
            await eventually(lambda: knows.is_certain)  # it asks the source instead


@async_test
async def test_a_raised_epoch_refuses_every_older_token_everywhere(gateway: Running) -> None:
    async with gateway() as gate, other_service(gate) as revoked:
        tenant, other = await gate.tenant(), await gate.tenant()
        for each in (tenant, other):
            for user in ("trader", "second"):
                await gate.user(each, user)

        async def token(of: str, user: str) -> VerifiedToken:
            given = await gate.command("tokens", tenant=of, user=user)
            return gate.server.verifier().verify_user(given["token"])

        mine, colleague, stranger = [
            await token(*who)
            for who in ((tenant, "trader"), (tenant, "second"), (other, "trader"))
        ]
        await gate.command("users/password", tenant=tenant, user="trader", password=NEW)
        await eventually(lambda: revoked.is_revoked(mine))
        assert not revoked.is_revoked(colleague)
        assert not revoked.is_revoked(await token(tenant, "trader"))
        await gate.command("tenants/state", tenant=tenant, state="suspended")
        await eventually(lambda: revoked.is_revoked(colleague))
        assert not revoked.is_revoked(stranger)
        await gate.command("tenants/state", tenant=tenant, state="active")
        fresh = await token(tenant, "second")
        assert not revoked.is_revoked(fresh)
        again, known = await restarted(gate)
        assert [known.is_revoked(each) for each in (mine, colleague, stranger, fresh)] == [
            True,
            True,
            False,
            False,
        ]
        await again.stop()


@async_test
async def test_an_epoch_alone_refuses_whatever_session_a_token_names(gateway: Running) -> None:
    async with gateway() as gate:
        token, _ = await logged_in(gate)
        for key in (token.user, token.tenant):
            revoked = RevokedTokens(gate.clock)
            revoked.apply(Revocation(users=(RaisedEpoch(id=key, epoch=1),)))
            assert revoked.is_revoked(token)
            revoked.apply(Revocation(users=(RaisedEpoch(id=key, epoch=0),)))
            assert revoked.is_revoked(token)  # an older message undoes nothing


async def restarted(gate: Any) -> tuple[Revocations, RevokedTokens]:
    """What a new process of the gateway knows."""
    revoked = RevokedTokens(gate.clock)
    again = Revocations(
        gate.pool,
        gate.bus,
        revoked,
        clock=gate.clock,
        ids=gate.server.ids,
        on_error=gate.server.errors.classify,
    )
    await again.start()
    return again, revoked


@async_test
async def test_a_restart_forgets_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        token, headers = await logged_in(gate)
        await gate.post("/auth/logout", **headers)
        again, revoked = await restarted(gate)
        assert revoked.is_revoked(token)
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
        header = "; ".join(f"{name}={value}" for name, value in fresh.items())
        origin = "https://localhost:8000"
        assert await gate.identity.housekeeping.clean() >= 1
        assert (await gate.post("/auth/refresh", cookie=header, origin=origin)).status == 200


def test_memory_is_bounded_in_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoked_tokens, "MAX_ENDED_SESSIONS", 100)
    clock = ManualClock()
    ended = RevokedTokens(clock)
    ended.add(UUID(int=n) for n in range(1000))
    assert len(ended) == 100
    assert ended.recent(3) == (UUID(int=999), UUID(int=998), UUID(int=997))
    clock._move_to((REMEMBER_S + 1) * 10**9)
    assert ended.recent(100) == ()
