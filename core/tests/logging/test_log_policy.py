"""Retention by level, tier by age, what it costs: the rules as the plan states them."""

from decimal import Decimal

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.logging.cost_analytics import Usage, cost_report, savings_vs_uniform
from aitrading.core.logging.retention_policy_manager import (
    LevelPolicy,
    LogLevel,
    RetentionPolicyManager,
    StorageTier,
    cost_problems,
    retention_problems,
)

DAYS = {"DEBUG": 7, "INFO": 30, "WARNING": 90, "ERROR": 180, "CRITICAL": 365}
TIERS = (
    StorageTier(name="cold", from_day=31, cost_per_gb_month=Decimal("0.18")),
    StorageTier(name="hot", from_day=0, cost_per_gb_month=Decimal("0.90")),
    StorageTier(name="warm", from_day=4, cost_per_gb_month=Decimal("0.425")),
)


def manager(*held: LogLevel) -> RetentionPolicyManager:
    policies = {
        level: LevelPolicy(retention_days=DAYS[level], legal_hold=level in held)
        for level in LogLevel
    }
    return RetentionPolicyManager(policies, TIERS)


def test_the_tier_follows_from_age_alone() -> None:
    rules = manager()
    ages = (-1, 0, 3, 4, 30, 31, 4_000)
    names = ["hot", "hot", "hot", "warm", "warm", "cold", "cold"]
    assert [rules.tier_of(age).name for age in ages] == names


@pytest.mark.parametrize("level", list(LogLevel))
def test_retention_follows_from_the_level_and_its_last_day_counts(level: LogLevel) -> None:
    assert not manager().is_expired(level, DAYS[level])
    assert manager().is_expired(level, DAYS[level] + 1)
    assert not manager(level).is_expired(level, 100_000), "a legal hold wins"


def test_a_file_goes_when_everything_in_it_is_over() -> None:
    ages = {LogLevel.DEBUG: 31, LogLevel.INFO: 31}
    assert manager().may_delete(ages)
    assert not manager().may_delete({**ages, LogLevel.CRITICAL: 31})
    assert not manager(LogLevel.DEBUG).may_delete(ages)
    assert not manager().may_delete({}), "an empty file proves nothing"


def test_the_plans_figures_are_the_price_of_its_volumes() -> None:
    """50, 200 and 500 GB at the three prices: 220 a month."""
    sizes = {"hot": 50, "warm": 200, "cold": 500}
    usage = [
        Usage(level=LogLevel.ERROR, tier=tier, line_count=1, stored_bytes=size * 10**9)
        for tier, size in sizes.items()
    ]
    report = cost_report(usage, {LogLevel.ERROR: 180}, manager())
    assert report.by_tier == {"hot": 45, "warm": 85, "cold": 90}
    assert (report.total, report.total_gb) == (220, 750)


def test_savings_compare_with_everything_kept_as_long_as_the_longest() -> None:
    days = manager().days_in_tiers(365)
    assert days == {"hot": 4, "warm": 27, "cold": 334}
    assert manager().days_in_tiers(7) == {"hot": 4, "warm": 3, "cold": 0}
    one_gb_of_debug_a_day = {LogLevel.DEBUG: Decimal(1)}
    expected = 24 * Decimal("0.425") + 334 * Decimal("0.18")
    assert savings_vs_uniform(one_gb_of_debug_a_day, manager()) == expected
    assert savings_vs_uniform({LogLevel.CRITICAL: Decimal(9)}, manager()) == 0


def test_rules_with_holes_are_refused() -> None:
    with pytest.raises(AitradingError, match="INFO"):
        RetentionPolicyManager({LogLevel.DEBUG: LevelPolicy(retention_days=1)}, TIERS)
    with pytest.raises(AitradingError, match="day 0"):
        RetentionPolicyManager(manager().policies, TIERS[:1])


def test_bounds() -> None:
    assert not retention_problems(1, compliance_required=False)
    assert len(retention_problems(0, compliance_required=True)) == 2
    assert retention_problems(2_558, compliance_required=True)
    for bad in ("NaN", "Infinity", "-0.0001", "1000000", "0.00001"):
        assert cost_problems("price", Decimal(bad)), bad
    assert not cost_problems("price", Decimal("0.425"))
