"""What an organisation used, by day: its own and nobody else's, and only for who may know."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest

from aitrading.core.kit.clock import NS_PER_S, SystemClock, now_utc
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.database_service.feed_truth.book import GapBook
from aitrading.server.database_service.organisations import Organisations
from aitrading.server.database_service.usage.book import Usage, UsageBook
from aitrading.server.database_service.usage.endpoints import UsageEndpoints
from aitrading.server.kit.feed_truth_api import DayTold, FeedTruth
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import EdgeAnswer, InProcessServer, serving

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
DAY = date(2026, 11, 2)
EPOCH = date(1970, 1, 1)


def counted(stream: UUID, day: date, ticks: int, *, over: bool = True) -> DayTold:
    return DayTold(
        stream=stream, day=(day - EPOCH).days, ticks=ticks, digest="0" * 32,
        last_sequence=ticks, counted_from=1, is_over=over,
    )  # fmt: skip


async def open_streams(w: Any, tenant: TenantId, device: str, *names: tuple[str, int]) -> Any:
    """Streams of a device: symbol and epoch."""
    streams = tuple(
        StreamOpening(broker="Demo", login=7, symbol=symbol, epoch=epoch, digits=5)
        for symbol, epoch in names
    )
    request = OpenStreams(tenant=tenant, device=uuid5(tenant, device), streams=streams)
    return [mark.stream for mark in (await w.book.open(request)).marks]


async def tell(w: Any, tenant: TenantId, device: str, *days: DayTold) -> None:
    truth = FeedTruth(tenant=tenant, device=uuid5(tenant, device), days=days)
    await GapBook(w.pool, w.store, w.guards).take(truth)


def figures(usage: Usage) -> list[tuple[object, ...]]:
    return [
        (day.day, day.ticks, day.streams, day.symbols, day.devices, day.is_final)
        for day in usage.days
    ]


@async_test
async def test_each_day_and_the_whole_count_each_thing_once(world: Any, tenants: Tenants) -> None:
    alpha, beta = tenants
    async with world() as w:
        early, late, gold = await open_streams(
            w, alpha, "one", ("EURUSD", 1), ("EURUSD", 2), ("XAUUSD", 1)
        )
        (second,) = await open_streams(w, alpha, "two", ("EURUSD", 1))
        (foreign,) = await open_streams(w, beta, "one", ("EURUSD", 1))
        tomorrow = DAY + timedelta(days=1)
        await tell(
            w, alpha, "one", counted(early, DAY, 100), counted(late, DAY, 20),
            counted(gold, DAY, 3), counted(gold, tomorrow, 5, over=False),
            counted(early, DAY - timedelta(days=1), 9), counted(early, tomorrow, 0),
        )  # fmt: skip
        await tell(w, alpha, "two", counted(second, DAY, 1_000))
        await tell(w, beta, "one", counted(foreign, DAY, 7))
        await w.send(alpha, await w.open(alpha), 1, 250)
        book = UsageBook(w.pool, w.guards, SystemClock())
        usage = await book.of(alpha, DAY, tomorrow)
        assert figures(usage) == [
            ("2026-11-02", 1_123, 3, 2, 2, True),
            ("2026-11-03", 5, 1, 1, 1, False),
        ]
        total = usage.total
        assert (total.ticks, total.streams, total.devices, total.is_final) == (1_128, 3, 2, False)
        assert usage.ticks_stored == 250
        assert figures(await book.of(beta, DAY, tomorrow)) == [("2026-11-02", 7, 1, 1, 1, True)]
        empty = await book.of(beta, tomorrow, tomorrow)
        assert (empty.days, empty.total.ticks, empty.total.devices) == ((), 0, 0)
        assert empty.ticks_stored == 0
        assert not empty.total.is_final


@async_test
async def test_nothing_is_final_before_its_last_day_is_over(world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    today = DAY + timedelta(days=1)
    clock = ManualClock((today - EPOCH).days * 86_400 * NS_PER_S)
    async with world() as w:
        (stream,) = await open_streams(w, alpha, "one", ("EURUSD", 1))
        await tell(w, alpha, "one", counted(stream, DAY, 9), counted(stream, today, 1))
        book = UsageBook(w.pool, w.guards, clock)
        assert (await book.of(alpha, DAY, DAY)).total.is_final
        running = await book.of(alpha, DAY, today)
        assert [day.is_final for day in running.days] == [True, False]
        assert not running.total.is_final
        for first in (today, today + timedelta(days=1)):
            assert not (await book.of(alpha, first, date(2199, 12, 31))).total.is_final


@dataclass
class Desk:
    """The endpoints, asked by persons of two organisations."""

    server: InProcessServer

    async def ask(self, tenant: TenantId, query: str, *scopes: Scope) -> EdgeAnswer:
        grant = TokenGrant(
            tenant=tenant,
            user=UserId(uuid5(tenant, "person")),
            session=uuid5(tenant, "session"),
            scopes=frozenset({Scope.READ, *scopes}),
            authentication=Authentication.PASSWORD,
            authenticated_ns=time.time_ns(),
            entitlement_version=1,
        )
        token = self.server.authority.user_token_issuer().issue(grant).token.reveal()
        headers = {"authorization": f"Bearer {token}"}
        return await self.server.edge("GET", f"/api/v1/usage{query}", headers=headers)


@asynccontextmanager
async def desk_of(w: Any) -> AsyncIterator[Desk]:
    clock = SystemClock()
    endpoints = UsageEndpoints(
        UsageBook(w.pool, w.guards, SystemClock()), Organisations(w.pool), clock
    )
    with socket_folder() as home:
        server = InProcessServer(Path(home), "database-service", clock)
        async with serving(server, (endpoints,), RevokedTokens(clock)):
            yield Desk(server)


@async_test
async def test_who_administers_or_audits_sees_the_own_organisation_and_nobody_else_anything(
    world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    today = now_utc(SystemClock()).date()
    async with world() as w, desk_of(w) as desk:
        (stream,) = await open_streams(w, alpha, "one", ("EURUSD", 1))
        await tell(w, alpha, "one", counted(stream, today, 42))
        for right in (Scope.ADMIN, Scope.AUDIT):
            answer = await desk.ask(alpha, "", right)
            assert answer.status == 200
            assert answer.json["total"]["ticks"] == 42
            assert answer.json["first_day"] == today.replace(day=1).isoformat()
            assert (await desk.ask(beta, "", right)).json["total"]["ticks"] == 0
            assert (await desk.ask(beta, f"?tenant={alpha}", right)).status == 400
        refused = await desk.ask(alpha, "", Scope.TRADE)
        assert (refused.status, refused.json["error"]["code"]) == (403, "SCOPE_MISSING")
        for wrong in (
            "?from=yesterday", "?from=2026-02-02&to=2026-02-01", "?from=2020-01-01",
            "?from=9999-12-31&to=9999-12-31",
        ):  # fmt: skip
            answer = await desk.ask(alpha, wrong, Scope.ADMIN)
            assert (answer.status, answer.json["error"]["code"]) == (400, "REQUEST_INVALID")
