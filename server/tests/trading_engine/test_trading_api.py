"""The trading API without an engine: truthful, tenant by tenant, and no order passes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from typing_extensions import override

from aitrading.core.infrastructure.events import FeedStateChanged
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.field_encryption import TenantFields
from aitrading.core.security.subscription import SubscriptionState
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.subscription_gate import SubscriptionGate, SubscriptionSource
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer
from aitrading.server.personal_data.catalogue import ACCOUNT_LOGIN, ACCOUNT_NAME
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import EdgeAnswer, InProcessServer, serving
from aitrading.server.testing.personal_data import MASTERS
from aitrading.server.trading_engine.accounts import PostgresAccountBook
from aitrading.server.trading_engine.call_sites import BUS_HALT, DATABASE_HALT
from aitrading.server.trading_engine.device_gate import DeviceGate
from aitrading.server.trading_engine.endpoints import TradingEndpoints
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.guard import EngineGuard
from aitrading.server.trading_engine.kill_switch import KillSwitches
from aitrading.server.trading_engine.trading_switch import (
    TRADING,
    TradingState,
    TradingSwitch,
    trading_health,
)

pytestmark = pytest.mark.integration
DEMO, OTHER = TenantId(UUID(int=0xD0)), TenantId(UUID(int=0x07))
HURT, WHOLE = TenantId(UUID(int=0xDA)), TenantId(UUID(int=0xDB))
DEVICE = DeviceId(UUID(int=5))
ORDER = b'{"symbol":"EURUSD","side":"buy","volume":"0.1"}'
EVERYTHING = frozenset(Scope)
ACCOUNT_SQL = """
    INSERT INTO identity.tenants (id, name, created_at)
        VALUES ('{tenant}', '{name}', now()) ON CONFLICT DO NOTHING;
    INSERT INTO app.tenant_keys (tenant_id, master, wrapped)
        VALUES ('{tenant}', {master}, '\\x{wrapped}');
    INSERT INTO identity.accounts
        (tenant_id, id, name_sealed, broker_server, login_sealed, login_index, currency, margin_mode,
         simulated, created_at)
        VALUES ('{tenant}', '{account}', '\\x{name_sealed}', 'Simulated', '\\x{login_sealed}',
                '\\x{login_index}', 'USD', 'hedging', true, now());
"""
FIELD_KEYS = FieldKeys(lambda: MASTERS)


def account_sql(tenant: TenantId, name: str) -> str:
    """An organisation with a key of its own and one account."""
    account, key = UUID(int=tenant.int + 1000), FieldKey.generate()
    fields = TenantFields(tenant, key)
    master, wrapped = MASTERS.wrap(tenant, key)
    return ACCOUNT_SQL.format(
        tenant=tenant,
        name=name,
        account=account,
        master=master,
        wrapped=wrapped.hex(),
        name_sealed=fields.seal(ACCOUNT_NAME, account, name).hex(),
        login_sealed=fields.seal(ACCOUNT_LOGIN, account, "1").hex(),
        login_index=fields.index(ACCOUNT_LOGIN, "Simulated", "1").hex(),
    )


class Answers(SubscriptionSource):
    """The database service as a test wants it."""

    def __init__(self, state: SubscriptionState = SubscriptionState.ACTIVE) -> None:
        self.state = state
        self.expires_at: datetime | None = None
        self.fault: AitradingError | None = None
        self.asked = 0

    @override
    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        del tenant
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return SubscriptionAnswer(
            user=user,
            state=self.state,
            active=self.state is SubscriptionState.ACTIVE,
            tier="pro",
            expires_at=self.expires_at,
            features=(),
            version=1,
        )


@dataclass(kw_only=True)
class Engine:
    """The engine's parts around a real database, a real listener and the bus's proven twin."""

    server: InProcessServer
    pool: PostgresPool
    broker: MemoryBroker
    bus: MemoryBus
    switch: TradingSwitch
    guard: EngineGuard
    health: HealthRegistry
    subscriptions: Answers

    async def ask(
        self,
        method: str,
        path: str,
        *,
        tenant: TenantId = DEMO,
        scopes: frozenset[Scope] = EVERYTHING,
        body: bytes = b"",
    ) -> EdgeAnswer:
        grant = TokenGrant(
            tenant=tenant,
            user=UserId(UUID(int=9)),
            session=UUID(int=8),
            scopes=scopes,
            authentication=Authentication.PASSWORD,
            authenticated_ns=self.server.clock.now_ns(),
        )
        issued = self.server.authority.user_token_issuer().issue(grant)
        headers = {"authorization": f"Bearer {issued.token.reveal()}"}
        return await self.server.edge(method, f"/api/v1/{path}", headers=headers, body=body)

    @property
    def reasons(self) -> set[str]:
        return {reason.name for reason in self.switch.reasons}


Running = Callable[[], AbstractAsyncContextManager[Engine]]


@pytest.fixture
def engine(postgres: PostgresServer) -> Running:
    @asynccontextmanager
    async def running() -> AsyncIterator[Engine]:
        pool = PostgresPool(postgres.access("trading"), application="test-trading")
        await pool.start()
        with socket_folder() as folder:
            server = InProcessServer(Path(folder), "trading-engine", SystemClock())
            broker = MemoryBroker()
            bus = MemoryBus(broker, clock=server.clock, ids=server.ids, errors=server.errors)
            await bus.start()
            switch, feeds, source = TradingSwitch(), FeedWatch(), Answers()
            guard = EngineGuard(
                bus=bus,
                pool=pool,
                feeds=feeds,
                switch=switch,
                errors=server.errors,
                clock=server.clock,
            )
            await guard.start()
            switches = KillSwitches(Path(folder) / "trading", server.clock)
            endpoints = TradingEndpoints(
                switch,
                switches,
                feeds,
                PostgresAccountBook(pool, FIELD_KEYS),
                SubscriptionGate(source=source, bus=bus, clock=server.clock),
                DeviceGate(pool),
            )
            health = _health(server, switch)
            async with serving(server, [endpoints]):
                yield Engine(
                    server=server,
                    pool=pool,
                    broker=broker,
                    bus=bus,
                    switch=switch,
                    guard=guard,
                    health=health,
                    subscriptions=source,
                )
            await guard.stop()
            await bus.stop()
            await pool.stop()

    return running


def _health(server: InProcessServer, switch: TradingSwitch) -> HealthRegistry:
    health = HealthRegistry(
        service="trading-engine",
        instance="test",
        version="0",
        clock=server.clock,
        resilience=server.resilience,
        errors=server.errors,
    )
    health.probe(TRADING, lambda: trading_health(switch))
    return health


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "orders"), ("DELETE", "orders/1")],
)
def test_no_order_passes(engine: Running, method: str, path: str) -> None:
    async def scenario() -> None:
        async with engine() as running:
            answer = await running.ask(method, path, body=ORDER if method == "POST" else b"")
            assert answer.status == 409
            error = answer.json["error"]
            assert error["code"] == "TRADING_NOT_AVAILABLE"
            assert error["category"] == "denied"
            assert "HALTED" in error["message"]
            assert error["remedy"]

    asyncio.run(scenario())


def test_a_volume_that_is_none_is_refused_before_anything_else(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            for volume in ("NaN", "sNaN", "Infinity", "-Infinity", "1e400", "0", "-0.1", "1e-400"):
                body = ORDER.replace(b"0.1", volume.encode())
                answer = await running.ask("POST", "orders", body=body)
                assert (answer.status, answer.code) == (400, "REQUEST_INVALID"), volume
                assert "volume" in answer.json["error"]["message"]

    asyncio.run(scenario())


BARRED_SQL = """
    INSERT INTO identity.devices (tenant_id, id, name_sealed, name_index, created_at)
        VALUES ('{tenant}', '{device}', '', '\\x{device_hex}{device_hex}', now());
    UPDATE identity.accounts SET device_id = '{device}' WHERE tenant_id = '{tenant}';
    INSERT INTO identity.device_reports
        (tenant_id, device_id, reported_at, report, files, debugger, barred_at, barred_reason)
        VALUES ('{tenant}', '{device}', now(), '', 'altered', false, now(), 'altered files');
"""


def test_a_barred_device_opens_nothing_new_and_lets_everything_out(
    engine: Running, postgres: PostgresServer
) -> None:
    for tenant, name in ((HURT, "engine-hurt"), (WHOLE, "engine-whole")):
        postgres.as_superuser(account_sql(tenant, name))
    barred = BARRED_SQL.format(tenant=HURT, device=DEVICE, device_hex=DEVICE.hex)
    postgres.as_superuser(barred)
    account = str(UUID(int=HURT.int + 1000))

    async def scenario() -> None:
        async with engine() as running:

            async def order(tenant: TenantId, **names: str) -> EdgeAnswer:
                wanted = {"symbol": "EURUSD", "side": "buy", "volume": "0.1", **names}
                body = msgspec.json.encode(wanted)
                return await running.ask("POST", "orders", tenant=tenant, body=body)

            for answer in (await order(HURT, account=account), await order(HURT)):
                assert (answer.status, answer.code) == (403, "DEVICE_BARRED")
                assert str(DEVICE) in answer.json["error"]["message"]
            elsewhere = await order(HURT, account=str(UUID(int=7)))
            assert elsewhere.code == "TRADING_NOT_AVAILABLE", "another account is not concerned"
            whole = await order(WHOLE)
            assert whole.code == "TRADING_NOT_AVAILABLE", "another tenant is not concerned"
            told = await running.ask("GET", "risk/devices", tenant=HURT)
            assert [each["device"] for each in told.json["items"]] == [str(DEVICE)]
            assert (await running.ask("GET", "risk/devices", tenant=WHOLE)).json["items"] == []
            out = await running.ask("DELETE", "orders/1", tenant=HURT)
            assert out.code == "TRADING_NOT_AVAILABLE", "out is always possible"
            assert (await running.ask("POST", "kill", tenant=HURT)).status == 200
            await running.pool.stop()
            unsure = await order(HURT)
            assert (unsure.status, unsure.code) == (503, "DEVICE_UNKNOWN")

    asyncio.run(scenario())


@pytest.mark.parametrize("state", list(SubscriptionState))
def test_new_exposure_needs_a_subscription_that_counts(
    engine: Running, state: SubscriptionState
) -> None:
    async def scenario() -> None:
        async with engine() as running:
            running.subscriptions.state = state
            answer = await running.ask("POST", "orders", body=ORDER)
            if state in {SubscriptionState.ACTIVE, SubscriptionState.NONE}:
                assert answer.code == "TRADING_NOT_AVAILABLE"
            else:
                assert (answer.status, answer.code) == (403, "SUBSCRIPTION_INACTIVE")

    asyncio.run(scenario())


def test_without_an_answer_there_is_no_new_exposure_and_a_way_out(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            running.subscriptions.fault = PEER_UNREACHABLE.error(peer="x", reason="test")
            for _ in range(2):
                answer = await running.ask("POST", "orders", body=ORDER)
                assert (answer.status, answer.code) == (503, "SUBSCRIPTION_UNKNOWN")
            asked = running.subscriptions.asked
            assert asked == 2, "a failure is not remembered"
            assert (await running.ask("DELETE", "orders/1")).code == "TRADING_NOT_AVAILABLE"
            assert (await running.ask("POST", "kill")).status == 200
            assert running.subscriptions.asked == asked

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["orders", "positions", "signals"])
def test_an_empty_list_says_why(engine: Running, path: str) -> None:
    async def scenario() -> None:
        async with engine() as running:
            answer = (await running.ask("GET", path)).json
            assert answer["items"] == []
            assert answer["trading"] == "HALTED"
            assert answer["reasons"][0]["name"] == "engine"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("method", "path", "missing"),
    [
        ("POST", "orders", Scope.TRADE),
        ("GET", "risk", Scope.READ),
        ("POST", "kill", Scope.KILL),
        ("DELETE", "kill", Scope.KILL),
    ],
)
def test_each_scope_is_needed(engine: Running, method: str, path: str, missing: Scope) -> None:
    async def scenario() -> None:
        async with engine() as running:
            answer = await running.ask(method, path, scopes=EVERYTHING - {missing})
            assert answer.status == 403
            assert answer.code == "SCOPE_MISSING"

    asyncio.run(scenario())


def test_accounts_are_those_of_the_tenant_alone(engine: Running, postgres: PostgresServer) -> None:
    for tenant, name in ((DEMO, "engine-demo"), (OTHER, "engine-other")):
        postgres.as_superuser(account_sql(tenant, name))

    async def scenario() -> None:
        async with engine() as running:
            for tenant, name in ((DEMO, "engine-demo"), (OTHER, "engine-other")):
                items = (await running.ask("GET", "accounts", tenant=tenant)).json["items"]
                assert [item["name"] for item in items] == [name]
                assert items[0]["trading"] == "HALTED"

    asyncio.run(scenario())


def test_the_kill_switch_engages_one_tenant_and_is_not_released(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            assert (await running.ask("POST", "kill")).json["engaged"] is True
            assert (await running.ask("GET", "kill")).json["engaged"] is True
            assert (await running.ask("GET", "kill", tenant=OTHER)).json["engaged"] is False
            released = await running.ask("DELETE", "kill")
            assert released.status == 409
            assert released.code == "KILL_RELEASE_NOT_AVAILABLE"
            assert (await running.ask("GET", "risk")).json["kill"]["engaged"] is True

    asyncio.run(scenario())


def test_the_host_engages_any_organisation_s_switch(engine: Running) -> None:
    """People of a suspended organisation cannot log in; stopping must still be possible."""

    async def scenario() -> None:
        async with engine() as running:
            admin = running.server.client("admin")
            path = "/internal/v1/admin/kill"
            body = {"content-type": "application/json"}
            for tenant, code in (
                ("nobody", "TENANT_MALFORMED"),
                (str(PLATFORM), "TENANT_MALFORMED"),
            ):
                sent = msgspec.json.encode({"tenant": tenant})
                with pytest.raises(AitradingError) as refused:
                    await admin.request("POST", path, body=sent, headers=body)
                assert refused.value.code == code
            sent = msgspec.json.encode({"tenant": str(DEMO)})
            await admin.request("POST", path, body=sent, headers=body)
            state = (await running.ask("GET", "kill")).json
            assert (state["engaged"], state["engaged_by"]) == (True, "host:admin")
            assert (await running.ask("GET", "kill", tenant=OTHER)).json["engaged"] is False

    asyncio.run(scenario())


def test_risk_follows_the_feeds_of_its_tenant(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            changed = FeedStateChanged(
                device=DEVICE,
                symbol="EURUSD",
                previous=None,
                state="LIVE",
                reason="ticks arrive in time",
                last_event_ms=None,
            )
            await running.bus.publish(changed, tenant=DEMO)

            async def feeds(tenant: TenantId) -> list[Any]:
                answer = await running.ask("GET", "risk", tenant=tenant)
                return list(answer.json["feeds"])

            (feed,) = await eventually(lambda: feeds(DEMO))
            assert (feed["symbol"], feed["state"]) == ("EURUSD", "LIVE")
            assert await feeds(OTHER) == []

    asyncio.run(scenario())


def test_a_lost_bus_halts_and_its_return_resumes(engine: Running) -> None:
    """Halt: without the bus a dead feed could look alive, so every feed is unknown again."""

    async def scenario() -> None:
        async with engine() as running:
            await running.guard.look()
            assert running.reasons == {"engine"}
            running.broker.stop()
            await running.guard.look()
            assert running.reasons == {"engine", "bus"}
            assert BUS_HALT.capability in running.server.errors.halts
            assert running.health.state() is ComponentState.FAILED
            assert (await running.ask("POST", "kill")).json["engaged"] is True
            running.broker.start()
            await running.guard.look()
            assert running.reasons == {"engine"}
            assert running.server.errors.halts == {}
            assert running.health.ready()

    asyncio.run(scenario())


def test_a_lost_database_halts_and_the_kill_switch_still_works(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            await running.pool.stop()
            await running.guard.look()
            assert running.reasons == {"engine", "database"}
            assert DATABASE_HALT.capability in running.server.errors.halts
            assert (await running.ask("POST", "kill")).json["engaged"] is True
            await running.pool.start()
            await running.guard.look()
            assert running.reasons == {"engine"}

    asyncio.run(scenario())


def test_health_says_that_trading_is_halted_and_why(engine: Running) -> None:
    async def scenario() -> None:
        async with engine() as running:
            trading = running.health.report()["components"]["trading"]
            assert trading["fields"] == {"trading": TradingState.HALTED}
            assert "no order engine" in trading["detail"]
            assert running.health.ready()

    asyncio.run(scenario())
