"""A whole api-gateway identity: real PostgreSQL, real listeners, a clock that tests move."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import DeviceRevoked
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import inspect_certificate
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.api_gateway.call_sites import PASSWORD_HASHING
from aitrading.server.api_gateway.identity.composition import Identity, IdentityParts
from aitrading.server.api_gateway.identity.field_key_endpoints import FieldKeyEndpoints
from aitrading.server.authority.passwords import Argon2Cost, hashing_bulkhead
from aitrading.server.engines.postgres import DATABASE
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.authentication import ACCESS_COOKIE, SESSION_COOKIE
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.login_settings import LoginSettings
from aitrading.server.kit.postgres import PoolLimits, PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.personal_data.file_keys import FileKeyFolder
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.masters import MasterFolder
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import EdgeAnswer, InProcessServer, serving
from aitrading.server.testing.personal_data import DEVELOPMENT, write_file_keys, write_masters

ORIGIN = "https://localhost:8000"
PASSWORD = "correct horse battery staple"  # noqa: S105
CHEAP = Argon2Cost(memory_kib=64, passes=1)
_numbers = itertools.count(1)


@dataclass
class Gateway:
    """A running identity and everything to look behind it."""

    server: InProcessServer
    identity: Identity
    pool: PostgresPool
    clock: ManualClock
    admin: InternalClient
    postgres: PostgresServer
    bus: MemoryBus
    broker: MemoryBroker
    ended: RevokedTokens
    revoked: list[tuple[TenantId | None, UUID]]
    keys: FieldKeys
    masters: MasterFolder
    masters_folder: Path
    database: str

    async def post(self, path: str, body: Any = None, **headers: str) -> EdgeAnswer:
        raw = b"" if body is None else msgspec.json.encode(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.server.edge("POST", f"/api/v1{path}", headers=named, body=raw)

    async def get(self, path: str, **headers: str) -> EdgeAnswer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.server.edge("GET", f"/api/v1{path}", headers=named)

    async def command(self, path: str, **body: Any) -> Any:
        """One administrative call."""
        raw = msgspec.json.encode(body)
        response = await self.admin.request(
            "POST",
            f"/internal/v1/admin/{path}",
            body=raw,
            headers={"content-type": "application/json"},
        )
        return msgspec.json.decode(response.body)

    async def listing(self, path: str, **query: str) -> Any:
        return await self.admin.get(f"/internal/v1/admin/{path}", answer=Any, query=query)

    async def tenant(self) -> str:
        """A new organisation's name."""
        name = f"tenant-{next(_numbers)}"
        await self.command("tenants", name=name)
        return name

    async def user(self, tenant: str, user: str = "trader", role: str = "trader") -> UUID:
        """A new person whose own password is `PASSWORD`."""
        made = await self.command(
            "users", tenant=tenant, user=user, display_name="T", role=role, password=PASSWORD
        )
        chosen = "UPDATE identity.users SET password_ends_at = NULL"
        self.sql(f"{chosen} WHERE id = '{made['user']}' RETURNING id")
        return UUID(made["user"])

    async def login(
        self, tenant: str, user: str = "trader", password: str = PASSWORD, **more: Any
    ) -> EdgeAnswer:
        body = {"tenant": tenant, "username": user, "password": password, **more}
        return await self.post("/auth/login", body)

    async def browser(self, tenant: str, user: str = "trader") -> dict[str, str]:
        """Log in and give the three cookies."""
        answer = await self.login(tenant, user)
        assert answer.status == 200, answer.body
        return cookies_of(answer)

    def shown(self, cookies: dict[str, str]) -> str:
        """The cookies that a browser sends with every request."""
        names = (ACCESS_COOKIE, SESSION_COOKIE)
        return "; ".join(f"{name}={cookies[name]}" for name in names)

    async def device_headers(self, enrolled: Any) -> dict[str, str]:
        """What the edge tells of a device's connection, and the device's token of it."""
        fingerprint = inspect_certificate(enrolled["certificate"].encode()).fingerprint
        uri = f"spiffe://aitrading/tenant/{enrolled['tenant']}/device/{enrolled['device']}"
        shown = {"x_forwarded_client_cert": f"Hash={fingerprint};URI={uri}"}
        given = await self.post("/devices/token", **shown)
        return {**shown, "authorization": f"Bearer {given.json['access_token']}"}

    def audit(self, action: str) -> list[Any]:
        """Audit events of one kind, above every row policy."""
        return self.sql(f"SELECT * FROM audit.pending WHERE action = '{action}' ORDER BY id")  # noqa: S608

    def sql(self, text: str) -> list[Any]:
        """Above every row policy."""
        return self.postgres.as_superuser(text, self.database)


def cookies_of(answer: EdgeAnswer) -> dict[str, str]:
    return {name: value.partition(";")[0] for name, value in answer.cookies.items()}


def errors_in_real_time() -> ErrorHandler:
    """Repeats after a moment, although the clock of the rest stands still."""
    return ErrorHandler(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )


@pytest.fixture
def gateway(postgres: PostgresServer) -> Callable[..., AbstractAsyncContextManager[Gateway]]:
    @asynccontextmanager
    async def running(
        database: str = DATABASE, access: PostgresAccess | None = None
    ) -> AsyncIterator[Gateway]:
        clock = ManualClock(SystemClock().now_ns())
        pool = PostgresPool(
            access or postgres.access("identity", database),
            application="test-identity",
            limits=PoolLimits(max_connections=16),
        )
        revoked: list[tuple[TenantId | None, UUID]] = []

        async def note(event: DeviceRevoked, envelope: EventEnvelope) -> None:
            revoked.append((envelope.tenant, event.device))

        await pool.start()
        try:
            with socket_folder() as home:
                server = InProcessServer(Path(home), "api-gateway", clock)
                broker, ended = MemoryBroker(), RevokedTokens(clock)
                bus = MemoryBus(broker, clock=clock, ids=server.ids, errors=server.errors)
                await bus.start()
                await bus.subscribe(DeviceRevoked, note)
                masters_folder = write_masters(Path(home) / "keys")
                masters = MasterFolder(masters_folder, environment=DEVELOPMENT)
                files = FileKeyFolder(
                    write_file_keys(Path(home) / "keys"), environment=DEVELOPMENT
                )
                keys = FieldKeys(masters.load)
                identity = Identity(
                    IdentityParts(
                        replay=Replay(pool, errors_in_real_time(), server.ids),
                        authority=server.authority,
                        hashing=server.errors.guard(PASSWORD_HASHING, hashing_bulkhead()),
                        bus=bus,
                        ended=ended,
                        authenticator=server.authenticator(ended),
                        on_error=server.errors.classify,
                        clock=clock,
                        ids=server.ids,
                        randomness=SystemRandomness(),
                        field_keys=keys,
                        hosts=("localhost", "127.0.0.1"),
                        login_settings=lambda _: LoginSettings(),
                        hashing_cost=CHEAP,
                    )
                )
                await identity.revocations.start()
                owners = (
                    *identity.owners(),
                    FieldKeyEndpoints(
                        pool, keys, masters, files, AuditTrail(clock=clock, ids=server.ids)
                    ),
                )
                async with serving(server, owners, ended):
                    yield Gateway(
                        server=server,
                        identity=identity,
                        pool=pool,
                        clock=clock,
                        admin=server.client("admin"),
                        postgres=postgres,
                        bus=bus,
                        broker=broker,
                        ended=ended,
                        revoked=revoked,
                        keys=keys,
                        masters=masters,
                        masters_folder=masters_folder,
                        database=database,
                    )
                await identity.revocations.stop()
                await bus.stop()
        finally:
            await pool.stop()

    return running
