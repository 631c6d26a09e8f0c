"""The database service as a process: over mTLS for the bridge, with a token for people."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.segments import sealed_segment
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.database_service.ticks.quarantine import notes_of, opened_copy
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.bundle import ClickHouseAccess
from aitrading.server.kit.ingest_api import (
    MARKS_PATH,
    QUOTES_PATH,
    SEGMENT_PATH,
    STREAMS_PATH,
    LastQuotes,
    OpenStreams,
    SegmentStored,
    StreamMarks,
    StreamOpening,
    segment_name,
)
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.personal_data.file_keys import file_keys_of
from aitrading.server.testing.engines import running_valkey
from aitrading.server.testing.services import RunningService, ServiceWorld

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
Tenants = tuple[TenantId, TenantId]
Payload = Callable[..., bytes]
SPACE = UUID(int=0xABCD)


@dataclass
class Stack:
    """A running service and its callers."""

    world: ServiceWorld
    service: RunningService
    bridge: InternalClient
    spool: UUID
    numbers: int = 0

    async def open(self, tenant: TenantId, symbol: str = "EURUSD") -> UUID:
        opening = StreamOpening(broker="Demo", login=7, symbol=symbol, epoch=1, digits=5)
        request = OpenStreams(tenant=tenant, device=uuid5(tenant, "device"), streams=(opening,))
        answer = await self.bridge.request(
            "PUT",
            STREAMS_PATH,
            body=msgspec.json.encode(request),
            headers={"content-type": "application/json"},
        )
        return msgspec.json.decode(answer.body, type=StreamMarks).marks[0].stream

    async def send(self, *payloads: bytes, name: str = "") -> SegmentStored:
        self.numbers += 1
        body = sealed_segment(self.spool, self.numbers, payloads)
        path = SEGMENT_PATH.format(segment=name or segment_name(self.spool, self.numbers))
        return await self.bridge.post(path, body=body, answer=SegmentStored)

    def token(self, tenant: TenantId, *scopes: Scope) -> str:
        return (
            self.world.authority.user_token_issuer().issue(grant(tenant, *scopes)).token.reveal()
        )

    async def get(self, path: str, token: str = "") -> tuple[int, Any]:
        socket = str(self.service.bundle.listener.socket)
        reader, writer = await asyncio.open_unix_connection(socket)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}Connection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)


def grant(tenant: TenantId, *scopes: Scope) -> TokenGrant:
    return TokenGrant(
        tenant=tenant,
        user=UserId(uuid5(tenant, "user")),
        session=uuid5(tenant, "session"),
        scopes=frozenset(scopes),
        authentication=Authentication.PASSWORD,
        authenticated_ns=time.time_ns(),
        entitlement_version=1,
    )


@asynccontextmanager
async def stack_of(
    postgres: PostgresServer, folder: Path, **settings: str
) -> AsyncIterator[Stack]:
    async with running_valkey(folder) as valkey:
        world = ServiceWorld(folder / "home")
        bundle = world.bundle(
            "database-service",
            postgres={role: postgres.access(role) for role in ("migrator", "database")},
            valkey=valkey.access("database-service"),
            clickhouse=ClickHouseAccess(path=folder / "clickhouse"),
            settings=settings,
        )
        with world.start(bundle, "-m", "aitrading.server.database_service") as service:
            await service.until_ready()
            bridge = world.client("data-bridge", service)
            try:
                yield Stack(world, service, bridge, uuid5(SPACE, str(folder)))
            finally:
                await bridge.close()


@async_test
async def test_from_a_segment_to_a_page(
    postgres: PostgresServer, tmp_path: Path, tenants: Tenants, payload: Payload
) -> None:
    alpha, beta = tenants
    async with stack_of(postgres, tmp_path) as stack:
        stream = await stack.open(alpha)
        stored = await stack.send(payload(alpha, stream, 1, 2_500, broker_offset_s=7_200))
        assert (stored.rows, stored.inserted, stored.repeated) == (2_500, 2_500, False)
        assert stored.marks[0].last_sequence == 2_500
        marks = await stack.bridge.get(
            MARKS_PATH,
            answer=StreamMarks,
            query={"tenant": str(alpha), "device": str(uuid5(alpha, "device"))},
        )
        assert marks.marks == stored.marks

        token = stack.token(alpha, Scope.READ)
        sequences, cursor, pages = [], "", 0
        while cursor is not None:
            status, page = await stack.get(
                f"/api/v1/ticks?symbol=EURUSD&limit=1000{cursor and '&cursor=' + cursor}", token
            )
            assert status == 200, page
            sequences += [tick["sequence"] for tick in page["items"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert (sequences, pages) == (list(range(1, 2_501)), 3)
        first = (await stack.get("/api/v1/ticks?symbol=EURUSD&limit=1", token))[1]["items"][0]
        assert first == {
            "time": "2023-11-14T20:13:21.000000Z",
            "bid": "1.08346",
            "ask": "1.08352",
            "last": None,
            "flags": 6,
            "sequence": 1,
            "stream": str(stream),
        }

        quotes = await eventually(lambda: cached_quotes(stack, alpha), what="the cache to fill")
        assert quotes.quotes[0].sequence == 2_500
        assert (await quotes_of(stack, beta)).quotes == ()
        status, page = await stack.get(
            "/api/v1/ticks?symbol=EURUSD", stack.token(beta, Scope.READ)
        )
        assert (status, page["error"]["code"]) == (404, "SYMBOL_UNKNOWN")


async def quotes_of(stack: Stack, tenant: TenantId) -> LastQuotes:
    return await stack.bridge.get(QUOTES_PATH, answer=LastQuotes, query={"tenant": str(tenant)})


async def cached_quotes(stack: Stack, tenant: TenantId) -> LastQuotes | None:
    quotes = await quotes_of(stack, tenant)
    return quotes if quotes.source == "cache" else None


@async_test
async def test_who_may_ask_what(
    postgres: PostgresServer, tmp_path: Path, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with stack_of(postgres, tmp_path) as stack:
        assert (await stack.get("/api/v1/ticks?symbol=X"))[0] == 401
        assert (await stack.get("/api/v1/ticks?symbol=X", stack.token(alpha, Scope.KILL)))[
            0
        ] == 403
        token = stack.token(alpha, Scope.READ)
        for path in (MARKS_PATH, QUOTES_PATH):
            assert (await stack.get(f"{path}?tenant={alpha}", token))[0] in {401, 403}
        stranger = stack.world.client("trading-engine", stack.service)
        with pytest.raises(AitradingError) as caught:
            await stranger.get(QUOTES_PATH, answer=LastQuotes, query={"tenant": str(alpha)})
        assert caught.value.spec.http_status == 403
        await stranger.close()


@async_test
async def test_a_damaged_segment_is_set_aside_and_others_go_on(
    postgres: PostgresServer, tmp_path: Path, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with stack_of(postgres, tmp_path) as stack:
        stream = await stack.open(alpha)
        good = payload(alpha, stream, 1, 10)
        name = segment_name(stack.spool, 99)
        for body in (b"garbage", sealed_segment(stack.spool, 99, [good])[:-1]):
            with pytest.raises(AitradingError) as caught:
                await stack.bridge.post(
                    SEGMENT_PATH.format(segment=name), body=body, answer=SegmentStored
                )
            assert caught.value.code == "SEGMENT_QUARANTINED"
            assert caught.value.spec.http_status == 422
        assert (await stack.send(good)).inserted == 10
        kept = stack.world.home / "quarantine" / f"{name}.segment"
        assert b"garbage" not in kept.read_bytes()
        keys = file_keys_of(stack.service.bundle)
        assert keys.open(kept.read_bytes(), name=name) == b"garbage"
        assert kept.stat().st_mode & 0o777 == 0o600
        (note,) = notes_of(kept.parent)
        assert (note.segment, note.cause) == (name, "SEGMENT_CORRUPT")
        assert opened_copy(kept.parent, name, keys) == b"garbage"
        _, health = await stack.service.get("/health")
        assert health["ready"]
        assert health["resilience"]["recovery"]["database-segment"]["acts"] >= 1
        assert name in health["resilience"]["isolation"]["database-segment"]["isolated_keys"]


@async_test
async def test_it_stops_on_a_signal_and_starts_where_it_was(
    postgres: PostgresServer, tmp_path: Path, tenants: Tenants, payload: Payload
) -> None:
    alpha, _ = tenants
    async with stack_of(postgres, tmp_path) as stack:
        stream = await stack.open(alpha)
        await stack.send(payload(alpha, stream, 1, 10))
        stack.service.signal(signal.SIGTERM)
        assert await stack.service.ended() == 0
    async with stack_of(postgres, tmp_path) as stack:
        stack.numbers = 1
        assert (await stack.send(payload(alpha, stream, 1, 20))).inserted == 10
        stack.service.signal(signal.SIGKILL)
        assert await stack.service.ended() == -signal.SIGKILL
    async with stack_of(postgres, tmp_path) as stack:
        stack.numbers = 2
        assert (await stack.send(payload(alpha, stream, 1, 20))).inserted == 0


@async_test
async def test_its_memory_holds_no_dataframe_library(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with stack_of(postgres, tmp_path) as stack:
        process = Path("/proc") / str(stack.service.process.pid)
        maps = await asyncio.to_thread((process / "maps").read_text)
        assert "_chdb" in maps
        assert "pandas" not in maps
        assert "pyarrow" not in maps
