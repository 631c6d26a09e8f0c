"""Over HTTP: one's own traces, the platform's for operators, and questions that make no sense."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from uuid import UUID, uuid5

import pytest

from aitrading.core.infrastructure.tracing import Outcome, Span, SpanKind, TracePart
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.operators import Operators
from aitrading.server.database_service.organisations import Organisations
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.endpoints import TraceEndpoints
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import EdgeAnswer, InProcessServer, serving

pytestmark = pytest.mark.integration
OPERATING = TenantId(UUID(int=0x9A7F))
CUSTOMER = TenantId(UUID("01890000-0000-7000-8000-0000000dace0"))


@dataclass
class Desk:
    server: InProcessServer
    book: TraceBook

    async def ask(
        self, path: str, tenant: TenantId, *scopes: Scope, headers: dict[str, str] | None = None
    ) -> EdgeAnswer:
        grant = TokenGrant(
            tenant=tenant,
            user=UserId(uuid5(tenant, "somebody")),
            session=uuid5(tenant, "session"),
            scopes=frozenset({Scope.READ, *scopes}),
            authentication=Authentication.PASSWORD,
            authenticated_ns=time.time_ns(),
            entitlement_version=1,
        )
        token = self.server.authority.user_token_issuer().issue(grant).token.reveal()
        given = {"authorization": f"Bearer {token}", **(headers or {})}
        return await self.server.edge("GET", f"/api/v1/traces{path}", headers=given)


@asynccontextmanager
async def a_desk(postgres: PostgresServer) -> AsyncIterator[Desk]:
    for tenant, name in ((OPERATING, "platform"), (CUSTOMER, "customer-of-traces")):
        postgres.as_superuser(
            "INSERT INTO identity.tenants (id, name, created_at)"  # noqa: S608
            f" VALUES ('{tenant}', '{name}', now()) ON CONFLICT DO NOTHING"
        )
    clock = SystemClock()
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    try:
        with socket_folder() as home:
            server = InProcessServer(Path(home), "database-service", clock)
            guards = Guards(GuardSettings(), clock, server.errors)
            book = TraceBook(pool, guards, clock, TraceSettings())
            endpoints = TraceEndpoints(book, Operators(pool), Organisations(pool))
            async with serving(server, [endpoints], RevokedTokens(clock)):
                yield Desk(server, book)
    finally:
        await pool.stop()


def failed(began_ns: int) -> TracePart:
    root = Span(
        id=token_hex(8),
        kind=SpanKind.REQUEST,
        name="GET /x",
        began_ns=began_ns,
        took_ns=1_000_000,
        outcome=Outcome.FAILED,
        code="SOME_CODE",
    )
    return TracePart(trace_id=token_hex(16), service="api-gateway", spans=(root,))


@async_test
async def test_the_platforms_own_traces_are_for_operators(postgres: PostgresServer) -> None:
    async with a_desk(postgres) as desk:
        kept = failed(time.time_ns())
        await desk.book.keep(PLATFORM, [kept])
        path = f"/{kept.trace_id}"
        answer = await desk.ask(path, OPERATING, Scope.ADMIN)
        assert (answer.status, answer.json["spans"][0]["name"]) == (200, "GET /x")
        listed = await desk.ask("?of=platform&outcome=failed", OPERATING, Scope.ADMIN)
        assert kept.trace_id in {each["trace_id"] for each in listed.json["items"]}
        for tenant, scopes in ((CUSTOMER, (Scope.ADMIN,)), (OPERATING, ())):
            hidden = await desk.ask(path, tenant, *scopes)
            assert (hidden.status, hidden.code) == (404, "TRACE_NOT_KEPT")
            refused = await desk.ask("?of=platform", tenant, *scopes)
            assert (refused.status, refused.code) == (403, "OPERATOR_NEEDED")


@async_test
async def test_questions_that_make_no_sense_are_refused(postgres: PostgresServer) -> None:
    async with a_desk(postgres) as desk:
        for query in (
            "outcome=bad",
            "least_ms=-1",
            "least_ms=99999999999999999999",
            f"least_ms={'0' * 12}{'9' * 30}",
            "least_ms=86400001",
            "least_ms=1.5",
            "of=everybody",
            "cursor=9-1-x",
            f"cursor=1-999999999999999999-{'a' * 32}",
            "limit=0",
            "slow=1",
        ):
            answer = await desk.ask(f"?{query}", CUSTOMER)
            assert (answer.status, answer.code) == (400, "REQUEST_INVALID"), query
        for trace_id in ("x", "A" * 32, "0" * 31, "%00", "a" * 4_000):
            answer = await desk.ask(f"/{trace_id}", CUSTOMER)
            assert answer.status in {400, 404}, trace_id


@async_test
async def test_a_request_of_a_service_leaves_its_part(postgres: PostgresServer) -> None:
    async with a_desk(postgres) as desk:
        backlog = desk.server.tracer.backlog
        assert backlog is not None
        backlog.take(1_000)
        answer = await desk.ask("", CUSTOMER)
        (part,) = backlog.take(1_000)
        assert part.trace_id == answer.headers["traceparent"].split("-")[1]
        assert (part.root.name, part.tenant) == ("GET /api/v1/traces", str(CUSTOMER))
        assert [each.name for each in part.spans[1:]] == [
            "user general",
            "connection",
            "traces.page",
            "COMMIT",
        ]
