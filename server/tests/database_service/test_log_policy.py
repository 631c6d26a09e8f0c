"""Log policies over HTTP, and the job that applies them to real files."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.kit.clock import SystemClock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.database_service.log_policy.book import PolicyBook
from aitrading.server.database_service.log_policy.endpoints import (
    HostLogEndpoints,
    LogPolicyEndpoints,
)
from aitrading.server.database_service.log_policy.lifecycle import DONE, JOB, LogLifecycle
from aitrading.server.database_service.operators import Operators
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.idempotency import IdempotentWrites
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import RevokedTokens
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import EdgeAnswer, InProcessServer, serving

pytestmark = pytest.mark.integration
PLATFORM_ID = TenantId(UUID(int=0x9A7F))
CUSTOMER = TenantId(UUID(int=0x9A80))
LOGS = "/api/v1/logs"


@dataclass(frozen=True)
class HomeOnly:
    """As much of a bundle as the job looks at."""

    home: Path


@dataclass
class Desk:
    """An operator's desk: HTTP, the job, and the folder of logs."""

    server: InProcessServer
    job: LogLifecycle
    postgres: PostgresServer
    folder: Path
    cache: Cache

    def token(self, tenant: TenantId, *scopes: Scope) -> str:
        grant = TokenGrant(
            tenant=tenant,
            user=UserId(uuid5(tenant, "operator")),
            session=uuid5(tenant, "session"),
            scopes=frozenset(scopes),
            authentication=Authentication.PASSWORD,
            authenticated_ns=time.time_ns(),
            entitlement_version=1,
        )
        return self.server.authority.user_token_issuer().issue(grant).token.reveal()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str = "",
        tenant: TenantId = PLATFORM_ID,
        scopes: tuple[Scope, ...] = (Scope.ADMIN,),
    ) -> EdgeAnswer:
        headers = {"authorization": f"Bearer {self.token(tenant, *scopes)}"}
        if key:
            headers["idempotency-key"] = key
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.server.edge(
            method, path, headers=headers, body=b"" if body is None else raw
        )

    def file(self, name: str, *lines: tuple[str, int]) -> Path:
        """A log file of (level, age in days) lines."""
        today = now_utc(SystemClock())
        path = self.folder / name
        days = [(level, (today - timedelta(days=age)).isoformat()) for level, age in lines]
        path.write_text("".join(f'{{"ts":"{ts}","level":"{lv}"}}\n' for lv, ts in days))
        return path


@asynccontextmanager
async def desk_of(postgres: PostgresServer, folder: Path) -> AsyncIterator[Desk]:
    for tenant, name in ((PLATFORM_ID, "platform"), (CUSTOMER, "customer-of-logs")):
        postgres.as_superuser(
            "INSERT INTO identity.tenants (id, name, created_at)"  # noqa: S608
            f" VALUES ('{tenant}', '{name}', now()) ON CONFLICT DO NOTHING"
        )
    postgres.as_superuser("UPDATE app.log_policy SET legal_hold = false")
    (folder / "logs").mkdir()
    clock = SystemClock()
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    try:
        with socket_folder() as home:
            server = InProcessServer(Path(home), "database-service", clock)
            replay = Replay(pool, server.errors, server.ids)
            book = PolicyBook(
                pool, IdempotentWrites(replay), AuditTrail(clock=clock, ids=server.ids)
            )
            bundle: Any = HomeOnly(folder)
            cache = Cache("database", InProcessCache(clock), clock, server.ids)
            job = LogLifecycle(pool, book, bundle, cache, clock, server.errors)
            owners = (LogPolicyEndpoints(book, Operators(pool)), HostLogEndpoints(book, job))
            async with serving(server, owners, RevokedTokens(clock)):
                yield Desk(server, job, postgres, folder / "logs", cache)
    finally:
        await pool.stop()


VIEWS = {
    "log_retention_policies": {
        "log_level": "text",
        "retention_days": "integer",
        "storage_tier": "text",
        "compression_algo": "text",
        "compliance_required": "boolean default false",
        "cost_per_gb_month": "numeric(10,4)",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
    },
    "storage_tiers": {
        "tier_name": "text",
        "technology": "text",
        "max_query_latency_ms": "integer",
        "cost_per_gb_month": "numeric(10,4)",
        "compression_ratio": "numeric(3,1)",
        "is_active": "boolean default true",
    },
    "log_cost_metrics": {
        "date": "date",
        "total_logs_gb": "numeric(18,9)",
        "hot_storage_cost": "numeric(18,6)",
        "warm_storage_cost": "numeric(18,6)",
        "cold_storage_cost": "numeric(18,6)",
        "total_monthly_cost": "numeric(18,6)",
        "savings_vs_uniform": "numeric(18,6)",
    },
}
"""Every column in its order; the first is the key."""
COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod)
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') AS said
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = 'app.{view}'::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""
KEYS = """
SELECT table_name::text || '.' || a.attname AS key
  FROM information_schema.view_table_usage u
  JOIN pg_index i ON i.indrelid = (u.table_schema || '.' || u.table_name)::regclass
   AND i.indisprimary AND i.indnatts = 1
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
 WHERE u.view_schema = 'app' AND u.view_name = '{view}'
"""
TABLES = {
    "log_retention_policies": {"log_policy.log_level", "storage_tier.tier_name"},
    "storage_tiers": {"storage_tier.tier_name"},
    "log_cost_metrics": {"log_cost.date"},
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_exactly_the_planned_names_types_and_defaults(
    view: str, postgres: PostgresServer
) -> None:
    rows = postgres.as_superuser(COLUMNS.format(view=view))
    assert {row["name"]: row["said"] for row in rows} == VIEWS[view]
    assert [row["name"] for row in rows] == list(VIEWS[view])


@pytest.mark.parametrize("view", VIEWS)
def test_the_first_column_of_a_view_is_its_key(view: str, postgres: PostgresServer) -> None:
    """A view has no keys: the table under it has one on that column, and a join adds no rows."""
    key = next(iter(VIEWS[view]))
    found = {row["key"] for row in postgres.as_superuser(KEYS.format(view=view))}
    assert found == TABLES[view]
    if view == "log_cost_metrics":
        postgres.as_superuser(
            "INSERT INTO app.log_cost SELECT day, 1, 1, 1, 1, 3, 1"
            " FROM unnest(ARRAY['2001-01-01', '2001-01-02']::date[]) AS day ON CONFLICT DO NOTHING"
        )
    (counted,) = postgres.as_superuser(
        f"SELECT count(*) AS rows, count(DISTINCT {key}) AS keys FROM app.{view}"  # noqa: S608
    )
    assert counted["rows"] == counted["keys"] > 1


@async_test
async def test_only_operators_read_and_write(postgres: PostgresServer, tmp_path: Path) -> None:
    """The owner of a customer's organisation has `admin` too, and is refused."""
    async with desk_of(postgres, tmp_path) as desk:
        ours = await desk.ask("GET", f"{LOGS}/policies")
        assert [each["retention_days"] for each in ours.json["policies"]] == [7, 30, 90, 180, 365]
        tiers = (await desk.ask("GET", f"{LOGS}/tiers")).json["tiers"]
        assert [each["cost_per_gb_month"] for each in tiers] == ["0.9000", "0.4250", "0.1800"]
        for method, path in (
            ("GET", f"{LOGS}/policies"),
            ("GET", f"{LOGS}/costs"),
            ("PUT", f"{LOGS}/policies/INFO"),
            ("PUT", f"{LOGS}/tiers/hot"),
        ):
            refused = await desk.ask(method, path, {}, key="12345678", tenant=CUSTOMER)
            assert refused.code == "OPERATOR_NEEDED", path
            reader = await desk.ask(method, path, {}, key="12345678", scopes=(Scope.READ,))
            assert reader.status == 403, path


@async_test
async def test_a_write_happens_once_and_leaves_its_audit(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        key, path = str(desk.server.ids.new()), f"{LOGS}/policies/WARNING"
        first = await desk.ask("PUT", path, {"retention_days": 91}, key=key)
        again = await desk.ask("PUT", path, {"retention_days": 91}, key=key)
        assert first.json == again.json
        assert first.json["retention_days"] == 91
        other = await desk.ask("PUT", path, {"retention_days": 92}, key=key)
        assert other.code == "IDEMPOTENCY_KEY_REUSED"
        assert (await desk.ask("PUT", path, {"retention_days": 90})).code == "REQUEST_INVALID"
        back = await desk.ask("PUT", path, {"retention_days": 90}, key=str(desk.server.ids.new()))
        assert back.json["version"] == first.json["version"] + 1
        events = postgres.as_superuser(
            "SELECT subject, details::text AS details FROM audit.pending"
            " WHERE action = 'logs.policy.changed' ORDER BY occurred_at DESC LIMIT 2"
        )
        assert [event["details"] for event in events] == [
            '{"retention_days": "90"}',
            '{"retention_days": "91"}',
        ]


@async_test
async def test_wrong_values_are_refused_with_every_problem(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        before = (await desk.ask("GET", f"{LOGS}/policies")).json
        for place, body, code in (
            ("policies/TRACE", {"retention_days": 1}, "LOG_POLICY_UNKNOWN"),
            ("policies/INFO'; DROP TABLE app.log_policy", {}, "LOG_POLICY_UNKNOWN"),
            ("policies/INFO", {"retention_days": 0}, "LOG_POLICY_INVALID"),
            ("policies/INFO", {"retention_days": 10**12}, "LOG_POLICY_INVALID"),
            ("policies/INFO", {"storage_tier": "'; --"}, "LOG_POLICY_INVALID"),
            ("policies/INFO", {"compression_algo": "rar"}, "REQUEST_INVALID"),
            ("policies/INFO", {"unknown": 1}, "REQUEST_INVALID"),
            ("policies/CRITICAL", {"retention_days": 30}, "LOG_POLICY_INVALID"),
            ("policies/CRITICAL", {"compliance_required": False}, "LOG_POLICY_INVALID"),
            ("tiers/hot", {"cost_per_gb_month": "-1"}, "LOG_POLICY_INVALID"),
            ("tiers/hot", {"cost_per_gb_month": "NaN"}, "LOG_POLICY_INVALID"),
            ("tiers/hot", b'{"cost_per_gb_month": NaN}', "REQUEST_INVALID"),
            ("tiers/hot", {"max_query_latency_ms": 0, "capacity_gb": 0}, "LOG_POLICY_INVALID"),
            ("tiers/lukewarm", {"capacity_gb": 1}, "LOG_POLICY_UNKNOWN"),
        ):
            target = f"{LOGS}/{place}".replace(" ", "%20")
            answer = await desk.ask("PUT", target, body, key=str(desk.server.ids.new()))
            assert answer.code == code, (place, body, answer.body)
        assert (await desk.ask("GET", f"{LOGS}/policies")).json == before


@async_test
async def test_what_is_over_goes_with_a_receipt_and_the_rest_stays(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        over = desk.file("a.log.1", ("INFO", 31), ("DEBUG", 8))
        evidence = desk.file("a.log.2", ("INFO", 400), ("CRITICAL", 364))
        live = desk.file("b.log", ("INFO", 4_000))
        fresh = desk.file("b.log.1", ("INFO", 30))
        foreign = desk.folder / "c.log.1"
        foreign.write_text("an engine's own words\n")
        dry = await desk.job.run(dry_run=True)
        assert [each.file for each in dry.expired] == ["a.log.1"]
        assert over.exists()
        done = await desk.job.run()
        assert [each.file for each in done.expired] == ["a.log.1"]
        assert not over.exists()
        assert all(path.exists() for path in (evidence, live, fresh, foreign))
        receipts = postgres.as_superuser(
            "SELECT line_count, deleted_at FROM app.log_deletion WHERE file = 'a.log.1'"
            " ORDER BY decided_at DESC LIMIT 1"
        )
        assert receipts[0]["line_count"] == 2
        assert receipts[0]["deleted_at"] is not None
        assert not (await desk.job.run()).expired, "once"


@async_test
async def test_a_legal_hold_wins(postgres: PostgresServer, tmp_path: Path) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        path = desk.file("held.log.1", ("DEBUG", 5_000))
        host = desk.server.client("admin")

        async def hold(*, on: bool) -> None:
            await host.request(
                "POST",
                "/internal/v1/logs/policies/DEBUG",
                body=msgspec.json.encode({"legal_hold": on}),
                headers={"content-type": "application/json"},
            )

        await hold(on=True)
        held = await desk.job.run()
        assert (held.expired, held.held) == ((), 1)
        assert path.exists()
        await hold(on=False)
        assert len((await desk.job.run()).expired) == 1
        assert not path.exists()


@async_test
async def test_a_days_cost_is_measured_and_replaced_not_added(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        sizes = [
            desk.file(f"{age}.log", *[("INFO", age)] * 1_000).stat().st_size for age in (0, 10)
        ]
        await desk.job.run()
        run = await desk.job.run(dry_run=True)
        assert run.cost.total_logs_gb * 10**9 == sum(sizes)
        hot, warm = run.cost.hot_storage_cost, run.cost.warm_storage_cost
        assert hot == sizes[0] * Decimal("0.9") / 10**9
        assert warm == sizes[1] * Decimal("0.425") / 10**9
        assert run.cost.savings_vs_uniform > 0
        listed = (await desk.ask("GET", f"{LOGS}/costs?limit=1")).json
        assert listed["costs"][0]["date"] == run.cost.date.isoformat()
        rows = postgres.as_superuser(
            "SELECT count(*) AS n FROM app.log_usage WHERE date ="
            " (SELECT max(date) FROM app.log_usage)"
        )
        assert rows[0]["n"] == 2
        for bad in ("limit=0", "limit=367", "limit=NaN", "cursor=x%27", "limit=1&limit=2"):
            assert (await desk.ask("GET", f"{LOGS}/costs?{bad}")).code == "REQUEST_INVALID"


@async_test
async def test_a_file_that_changed_meanwhile_is_left(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between measuring and removing, the rotation put another file at the same name."""
    async with desk_of(postgres, tmp_path) as desk:
        path = desk.file("x.log.1", ("DEBUG", 100))
        remove = desk.job._remove

        async def rotated_first(lease: Any, file: Any) -> bool:
            path.unlink()
            os.link(desk.file("y.log", ("CRITICAL", 0)), path)
            return await remove(lease, file)

        monkeypatch.setattr(desk.job, "_remove", rotated_first)
        assert not (await desk.job.run()).expired
        assert "CRITICAL" in path.read_text()


@async_test
async def test_one_instance_at_a_time_removes_files(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with desk_of(postgres, tmp_path) as desk:
        path = desk.file("x.log.1", ("DEBUG", 100))
        lease = await desk.cache.platform.acquire(JOB, life_s=60)
        assert lease is not None
        with pytest.raises(AitradingError) as refused:
            await desk.job.run()
        assert refused.value.code == "LOG_LIFECYCLE_BUSY"
        assert path.exists()
        await desk.cache.platform.release(lease)
        assert await desk.cache.platform.get(DONE) is None
        assert (await desk.job.run()).expired
        assert await desk.cache.platform.get(DONE) is not None


@async_test
async def test_who_lost_the_lease_removes_and_notes_nothing(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It measured for longer than its lease; meanwhile another instance finished its own run."""
    async with desk_of(postgres, tmp_path) as desk:
        path, keys = desk.file("x.log.1", ("DEBUG", 100)), desk.cache.platform
        write_cost, acquire, leases = desk.job._write_cost, keys.acquire, []

        async def seen(*arguments: Any, **more: Any) -> Any:
            leases.append(await acquire(*arguments, **more))
            return leases[-1]

        monkeypatch.setattr(desk.job._cache, "acquire", seen)

        async def slowly(*arguments: Any) -> Any:
            await keys.release(leases[0])
            other = await keys.acquire(JOB, life_s=60)
            assert other is not None
            await keys.put_fenced(other, DONE, b"the other one's", life_s=60)
            return await write_cost(*arguments)

        monkeypatch.setattr(desk.job, "_write_cost", slowly)
        assert not (await desk.job.run()).expired
        assert path.exists()
        assert await keys.get(DONE) == b"the other one's"
