"""What logs cost: measured bytes at the prices of their tiers, and what policies save. Exact, pure.

The saving compares two steady states of the same daily volume: each level kept as its policy says,
and every level kept as long as the longest of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from aitrading.core.logging.retention_policy_manager import LogLevel, RetentionPolicyManager

BYTES_PER_GB: Final = 10**9


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What lines of one level in one tier take."""

    level: LogLevel
    tier: str
    line_count: int
    stored_bytes: int


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Money per month."""

    total_gb: Decimal
    by_tier: dict[str, Decimal]
    savings_vs_uniform: Decimal

    @property
    def total(self) -> Decimal:
        """All tiers together."""
        return sum(self.by_tier.values(), Decimal())


def cost_report(
    usage: Iterable[Usage], days: Mapping[LogLevel, int], manager: RetentionPolicyManager
) -> CostReport:
    """The cost of what was measured; `days` says over how many days each level's lines spread."""
    prices = {tier.name: tier.cost_per_gb_month for tier in manager.tiers}
    by_tier = dict.fromkeys(prices, Decimal())
    by_level = dict.fromkeys(LogLevel, Decimal())
    for each in usage:
        size_gb = gigabytes(each.stored_bytes)
        by_tier[each.tier] += size_gb * prices[each.tier]
        by_level[each.level] += size_gb
    daily = {level: size / max(1, days.get(level, 1)) for level, size in by_level.items()}
    return CostReport(
        total_gb=sum(by_level.values(), Decimal()),
        by_tier=by_tier,
        savings_vs_uniform=savings_vs_uniform(daily, manager),
    )


def savings_vs_uniform(
    daily_gb: Mapping[LogLevel, Decimal], manager: RetentionPolicyManager
) -> Decimal:
    """What every month costs less than if each level stayed as long as the longest."""
    longest = max(policy.retention_days for policy in manager.policies.values())
    saved = Decimal()
    for level, size_gb in daily_gb.items():
        own = manager.policies[level].retention_days
        saved += size_gb * (_cost_of(longest, manager) - _cost_of(own, manager))
    return saved


def gigabytes(size_bytes: int) -> Decimal:
    """As prices count them: 10^9 bytes."""
    return Decimal(size_bytes) / BYTES_PER_GB


def _cost_of(retention_days: int, manager: RetentionPolicyManager) -> Decimal:
    """Money per month for one GB a day kept so long."""
    prices = {tier.name: tier.cost_per_gb_month for tier in manager.tiers}
    days = manager.days_in_tiers(retention_days)
    return sum((prices[name] * count for name, count in days.items()), Decimal())
