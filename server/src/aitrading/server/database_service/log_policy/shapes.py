"""What the log policy's doors take and give; money is a decimal string."""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from aitrading.core.logging.retention_policy_manager import LogLevel


class LogPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long one level stays and how it is stored."""

    log_level: LogLevel
    retention_days: int
    storage_tier: str
    """The last tier its lines reach; which one they are in follows from their age."""
    compression_algo: str
    compliance_required: bool
    legal_hold: bool
    cost_per_gb_month: Decimal
    version: int
    created_at: datetime
    updated_at: datetime


class PolicyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a policy; the rest stays."""

    retention_days: int | None = None
    storage_tier: str | None = None
    compression_algo: Literal["none", "LZ4", "ZSTD", "ZSTD-max"] | None = None
    compliance_required: bool | None = None
    legal_hold: bool | None = None


class StorageTierView(msgspec.Struct, frozen=True, kw_only=True):
    """A place for logs of a certain age."""

    tier_name: str
    technology: str
    from_day: int
    max_query_latency_ms: int
    capacity_gb: int
    cost_per_gb_month: Decimal
    compression_ratio: Decimal
    is_active: bool
    version: int


class TierChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a tier; the rest stays."""

    cost_per_gb_month: Decimal | None = None
    max_query_latency_ms: int | None = None
    capacity_gb: int | None = None


class DayCost(msgspec.Struct, frozen=True, kw_only=True):
    """One day's measurement, in money per month."""

    date: date
    total_logs_gb: Decimal
    hot_storage_cost: Decimal
    warm_storage_cost: Decimal
    cold_storage_cost: Decimal
    total_monthly_cost: Decimal
    savings_vs_uniform: Decimal


class ExpiredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A rotated log file whose every line is older than its level's retention."""

    file: str
    size_bytes: int
    line_count: int
    newest_on: date


class LifecycleRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the job found and did."""

    dry_run: bool
    cost: DayCost
    expired: tuple[ExpiredFile, ...]
    """Removed, or with `dry_run` what would be."""
    held: int
    """Rotated files that would have expired and stay because of a legal hold."""


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """Every level's policy."""

    policies: tuple[LogPolicy, ...]


class Tiers(msgspec.Struct, frozen=True, kw_only=True):
    """Every tier, by age."""

    tiers: tuple[StorageTierView, ...]


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Newest day first."""

    costs: tuple[DayCost, ...]
    next_cursor: str | None
