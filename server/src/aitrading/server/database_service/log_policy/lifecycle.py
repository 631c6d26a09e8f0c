"""The job: measures what logs take, writes the day's cost, removes rotated files that are over.

A file is removed only when every line in it is older than its level's retention and no level in it
is under legal hold. The receipt is committed first, then the file goes, then the receipt says so;
killed in between, the next run finishes. A file that was rotated or written meanwhile is left.

One instance works at a time, under a lease that it renews from file to file; who lost it stops.
When a run ends, it notes that under the fence of its lease, so that no other instance repeats it
within the hour and a run that slept through its lease notes nothing.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.logging.cost_analytics import CostReport, Usage, cost_report
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.logging.retention_policy_manager import LogLevel, RetentionPolicyManager
from aitrading.server.database_service.log_policy.book import SQL, PolicyBook
from aitrading.server.database_service.log_policy.measure import MeasuredFile, measure
from aitrading.server.database_service.log_policy.shapes import (
    DayCost,
    ExpiredFile,
    LifecycleRun,
)
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.cache.types import Lease
from aitrading.server.kit.postgres import PostgresPool

FIRST_RUN_S: Final = 300.0
RUN_EVERY_S: Final = 3_600.0
CHUNK_BYTES: Final = 1 << 20
LEASE_LIFE_S: Final = 120.0
"""Longer than measuring, or removing one file, takes."""
JOB: Final = "log-lifecycle"
DONE: Final = "log-lifecycle-done"
LOG_LIFECYCLE_BUSY: Final = ErrorSpec(
    code="LOG_LIFECYCLE_BUSY",
    category=Category.RETRYABLE,
    message="Logs are being measured and tidied right now.",
    why="Another request, or another instance of the database service, is at it.",
    remedy="Wait a minute and ask again.",
    http_status=409,
    severity=Severity.INFO,
)
_log: Final = get_logger(__name__)


class LogLifecycle(LoopingComponent):
    """Runs every hour; a day that was measured is measured again and replaced."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema", "cache")

    def __init__(
        self,
        pool: PostgresPool,
        book: PolicyBook,
        bundle: ServiceBundle,
        cache: Cache,
        clock: Clock,
        errors: ErrorHandler,
    ) -> None:
        super().__init__("log-lifecycle", on_error=errors.classify)
        self._cache = cache.platform
        self._pool = pool
        self._book = book
        self._folder = bundle.home / "logs"
        self._clock = clock
        self._errors = errors

    @override
    async def start(self) -> None:
        """Begin a while after the start, when the machine has less to do."""
        self._tasks.keep(self._run_for_ever, name="run", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def run(self, *, dry_run: bool = False) -> LifecycleRun:
        """Measure, write the cost, and apply the policies unless it is a dry run.

        Raises `LOG_LIFECYCLE_BUSY`, or `CACHE_UNAVAILABLE` without a cache to agree in.
        """
        lease = await self._cache.acquire(JOB, life_s=LEASE_LIFE_S)
        if lease is None:
            raise LOG_LIFECYCLE_BUSY.error()
        try:
            done = await self._run(lease, dry_run=dry_run)
            if not dry_run:
                await self._cache.put_fenced(lease, DONE, b"1", life_s=RUN_EVERY_S / 2)
            return done
        finally:
            with suppress(AitradingError):  # it ends by itself
                await self._cache.release(lease)

    async def _run(self, lease: Lease, *, dry_run: bool) -> LifecycleRun:
        manager = await self._book.manager()
        files = await asyncio.to_thread(lambda: list(measure(self._folder)))
        today = now_utc(self._clock).date()
        cost = await self._write_cost(files, manager, today)
        expired = [each for each in files if each.is_rotated and _is_over(each, manager, today)]
        if not dry_run:
            expired = [each for each in expired if await self._remove(lease, each)]
        held = sum(_is_held(each, manager, today) for each in files if each.is_rotated)
        if not dry_run and not held:
            await self._finish()
        return LifecycleRun(
            dry_run=dry_run,
            cost=cost,
            expired=tuple(_told(each) for each in expired),
            held=held,
        )

    async def _finish(self) -> None:
        """What an earlier run decided and is not there any more was removed before it died."""
        async with self._pool.platform_tx() as tx:
            await tx.execute(SQL["finish"], now_utc(self._clock))

    async def _write_cost(
        self, files: Iterable[MeasuredFile], manager: RetentionPolicyManager, today: date
    ) -> DayCost:
        usage, days = _usage(files, manager, today)
        report = cost_report(usage, days, manager)
        cost = _day_cost(report, today)
        async with self._pool.platform_tx() as tx:
            await tx.execute(SQL["forget_usage"], today)
            await tx.execute_many(
                SQL["put_usage"],
                [(today, str(u.level), u.tier, u.line_count, u.stored_bytes) for u in usage],
            )
            await tx.execute(
                SQL["put_cost"],
                today,
                cost.total_logs_gb,
                cost.hot_storage_cost,
                cost.warm_storage_cost,
                cost.cold_storage_cost,
                cost.total_monthly_cost,
                cost.savings_vs_uniform,
            )
        return cost

    async def _remove(self, lease: Lease, file: MeasuredFile) -> bool:
        if not await self._cache.renew(lease, life_s=LEASE_LIFE_S):
            return False
        claimed = await asyncio.to_thread(_claim, file)
        if claimed is None:
            return False
        digest = await asyncio.to_thread(_digest, claimed)
        told, moment = _told(file), now_utc(self._clock)
        async with self._pool.platform_tx() as tx:
            values = told.file, told.size_bytes, told.line_count, told.newest_on, moment
            await tx.execute(SQL["decide_deletion"], digest, *values)
        claimed.unlink(missing_ok=True)
        async with self._pool.platform_tx() as tx:
            await tx.execute(SQL["deleted"], digest, now_utc(self._clock))
        _log.info("a log file is over and was removed", file=told.file, bytes=told.size_bytes)
        return True

    async def _run_for_ever(self) -> None:
        await self._clock.sleep(FIRST_RUN_S)
        while True:
            try:
                if await self._cache.get(DONE) is None:
                    await self.run()
            except (AitradingError, OSError) as exc:
                self._errors.classify(exc)
            await self._clock.sleep(RUN_EVERY_S)


def _usage(
    files: Iterable[MeasuredFile], manager: RetentionPolicyManager, today: date
) -> tuple[list[Usage], dict[LogLevel, int]]:
    """By level and tier, and over how many days each level's lines spread."""
    lines: dict[tuple[LogLevel, str], int] = {}
    stored: dict[tuple[LogLevel, str], int] = {}
    days: dict[LogLevel, int] = {}
    for file in files:
        for (level, day), count in file.lines.items():
            age = max(0, (today - day).days)
            key = level, manager.tier_of(age).name
            lines[key] = lines.get(key, 0) + count
            stored[key] = stored.get(key, 0) + file.stored[level, day]
            days[level] = max(days.get(level, 1), age + 1)
    usage = [
        Usage(level=level, tier=tier, line_count=count, stored_bytes=stored[level, tier])
        for (level, tier), count in sorted(lines.items())
    ]
    return usage, days


def _day_cost(report: CostReport, today: date) -> DayCost:
    costs = {tier: report.by_tier.get(tier, Decimal()) for tier in ("hot", "warm", "cold")}
    return DayCost(
        date=today,
        total_logs_gb=report.total_gb,
        hot_storage_cost=costs["hot"],
        warm_storage_cost=costs["warm"],
        cold_storage_cost=costs["cold"],
        total_monthly_cost=report.total,
        savings_vs_uniform=report.savings_vs_uniform,
    )


def _ages(file: MeasuredFile, today: date) -> dict[LogLevel, int]:
    return {level: (today - day).days for level, day in file.newest().items()}


def _is_over(file: MeasuredFile, manager: RetentionPolicyManager, today: date) -> bool:
    return manager.may_delete(_ages(file, today))


def _is_held(file: MeasuredFile, manager: RetentionPolicyManager, today: date) -> bool:
    """Only a hold keeps it: without holds it would be over."""
    ages = _ages(file, today)
    held = any(manager.policies[level].legal_hold for level in ages)
    return held and all(
        age > manager.policies[level].retention_days for level, age in ages.items()
    )


def _told(file: MeasuredFile) -> ExpiredFile:
    return ExpiredFile(
        file=file.path.name,
        size_bytes=file.size_bytes,
        line_count=sum(file.lines.values()),
        newest_on=max(file.newest().values()),
    )


def _claim(file: MeasuredFile) -> Path | None:
    """Take the file out of the rotation under a name of its own, if it still is the same."""
    claimed = file.path.with_name(f"{file.path.name.rpartition('.')[0]}.{file.inode}")
    try:
        file.path.rename(claimed)
    except FileNotFoundError:
        return None
    facts = claimed.stat()
    if (facts.st_ino, facts.st_size) == (file.inode, file.size_bytes):
        return claimed
    if not file.path.exists():
        claimed.rename(file.path)
    return None


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
