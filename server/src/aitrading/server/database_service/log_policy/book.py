"""Policies and tiers as operators read and change them, each change with its audit event."""

from datetime import date
from typing import Final, TypeVar

import msgspec

from aitrading.core.kit.errors import Category, ErrorSpec, FieldValue, Severity
from aitrading.core.logging.retention_policy_manager import (
    LOG_POLICY_INVALID,
    LevelPolicy,
    LogLevel,
    RetentionPolicyManager,
    StorageTier,
    cost_problems,
    retention_problems,
)
from aitrading.server.database_service.log_policy.shapes import (
    DayCost,
    LogPolicy,
    PolicyChange,
    StorageTierView,
    TierChange,
)
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.idempotency import IdempotentWrites, Write
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction, Transaction

SQL: Final = Queries.load("aitrading.server.database_service.log_policy", "log_policy.sql")
LATENCY_MS_MAX: Final = 60_000
CAPACITY_GB_MAX: Final = 1_000_000
T = TypeVar("T", bound=msgspec.Struct)

LOG_POLICY_UNKNOWN: Final = ErrorSpec(
    code="LOG_POLICY_UNKNOWN",
    category=Category.DENIED,
    message="There is no {kind} `{name}`.",
    why="It is misspelt: levels and tiers are fixed.",
    remedy="List them: `aitrading logs policy show`.",
    http_status=404,
    severity=Severity.INFO,
)


class PolicyBook:
    """The tables `log_policy` and `storage_tier`, and what was measured."""

    def __init__(self, pool: PostgresPool, writes: IdempotentWrites, audit: AuditTrail) -> None:
        self._pool = pool
        self._writes = writes
        self._audit = audit

    async def policies(self) -> tuple[LogPolicy, ...]:
        """Every level, shortest retention first."""
        async with self._pool.platform_read() as tx:
            return await _policies(tx)

    async def tiers(self) -> tuple[StorageTierView, ...]:
        """Every tier, youngest first."""
        async with self._pool.platform_read() as tx:
            return await _tiers(tx)

    async def costs(self, before: date, limit: int) -> tuple[DayCost, ...]:
        """Measured days, newest first."""
        async with self._pool.platform_read() as tx:
            rows = await tx.fetch(SQL["costs"], before, limit)
        return tuple(DayCost(**dict(row)) for row in rows)

    async def manager(self) -> RetentionPolicyManager:
        """What the tables say now, as rules."""
        async with self._pool.platform_read() as tx:
            policies, tiers = await _policies(tx), await _tiers(tx)
        return RetentionPolicyManager(
            {
                each.log_level: LevelPolicy(
                    retention_days=each.retention_days, legal_hold=each.legal_hold
                )
                for each in policies
            },
            [
                StorageTier(
                    name=each.tier_name,
                    from_day=each.from_day,
                    cost_per_gb_month=each.cost_per_gb_month,
                )
                for each in tiers
                if each.is_active
            ],
        )

    async def change_policy(self, level: str, change: PolicyChange, by: Write) -> LogPolicy:
        """Change one level; raises `LOG_POLICY_INVALID` with every problem, or `…_UNKNOWN`."""

        async def apply(tx: TenantTransaction) -> LogPolicy:
            known = {str(each.log_level): each for each in await _policies(tx)}
            if level not in known:
                raise LOG_POLICY_UNKNOWN.error(kind="level", name=level[:32])
            new = _changed(known[level], change)
            tiers = {each.tier_name for each in await _tiers(tx)}
            _require_sound(new, tiers)
            await tx.execute(
                SQL["set_policy"],
                level,
                new.retention_days,
                new.storage_tier,
                new.compression_algo,
                new.compliance_required,
                new.legal_hold,
            )
            await self._audit.add(
                tx, _event(by, AuditAction.LOG_POLICY_CHANGED, f"log_policy:{level}", change)
            )
            return next(each for each in await _policies(tx) if str(each.log_level) == level)

        return await self._writes.once(by, apply, LogPolicy)

    async def change_tier(self, name: str, change: TierChange, by: Write) -> StorageTierView:
        """Change one tier's price and bounds; the same refusals."""

        async def apply(tx: TenantTransaction) -> StorageTierView:
            known = {each.tier_name: each for each in await _tiers(tx)}
            if name not in known:
                raise LOG_POLICY_UNKNOWN.error(kind="tier", name=name[:32])
            new = _changed(known[name], change)
            problems = cost_problems("cost_per_gb_month", new.cost_per_gb_month)
            problems += _bounds("max_query_latency_ms", new.max_query_latency_ms, LATENCY_MS_MAX)
            problems += _bounds("capacity_gb", new.capacity_gb, CAPACITY_GB_MAX)
            if problems:
                raise LOG_POLICY_INVALID.error(problems="; ".join(problems))
            values = new.cost_per_gb_month, new.max_query_latency_ms, new.capacity_gb
            await tx.execute(SQL["set_tier"], name, *values)
            await self._audit.add(
                tx, _event(by, AuditAction.LOG_TIER_CHANGED, f"storage_tier:{name}", change)
            )
            return next(each for each in await _tiers(tx) if each.tier_name == name)

        return await self._writes.once(by, apply, StorageTierView)


def _event(by: Write, action: AuditAction, subject: str, change: msgspec.Struct) -> AuditEvent:
    given: dict[str, FieldValue] = {
        name: str(value)
        for name, value in msgspec.structs.asdict(change).items()
        if value is not None
    }
    return AuditEvent(actor=by.actor, action=action, subject=subject, details=given)


def _changed(old: T, change: msgspec.Struct) -> T:
    given = {k: v for k, v in msgspec.structs.asdict(change).items() if v is not None}
    return msgspec.structs.replace(old, **given)


def _require_sound(new: LogPolicy, tiers: set[str]) -> None:
    problems = retention_problems(new.retention_days, compliance_required=new.compliance_required)
    if new.storage_tier not in tiers:
        problems.append(f"storage_tier is none of {', '.join(sorted(tiers))}")
    if new.log_level is LogLevel.CRITICAL and not new.compliance_required:
        problems.append("CRITICAL holds evidence: compliance_required stays true")
    if problems:
        raise LOG_POLICY_INVALID.error(problems="; ".join(problems))


def _bounds(name: str, value: int, limit: int) -> list[str]:
    return [] if 1 <= value <= limit else [f"{name} is {value}, not 1 to {limit}"]


async def _policies(tx: Transaction) -> tuple[LogPolicy, ...]:
    rows = await tx.fetch(SQL["policies"])
    return tuple(msgspec.convert(dict(row), LogPolicy, strict=False) for row in rows)


async def _tiers(tx: Transaction) -> tuple[StorageTierView, ...]:
    rows = await tx.fetch(SQL["tiers"])
    return tuple(StorageTierView(**dict(row)) for row in rows)
