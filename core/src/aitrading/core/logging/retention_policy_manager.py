"""How long a log line stays and where: retention by level, tier by age. Pure.

Numbers come from outside; here is only what they mean. A legal hold wins over every retention.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

RETENTION_DAYS_MAX: Final = 2_557
"""Seven years, with two leap days."""
COMPLIANCE_DAYS_MIN: Final = 365
COST_MAX: Final = Decimal("999999.9999")

LOG_POLICY_INVALID: Final = ErrorSpec(
    code="LOG_POLICY_INVALID",
    category=Category.DENIED,
    message="The log policy is not accepted: {problems}.",
    why="A value is outside of its bounds, or names something that does not exist.",
    remedy="Correct everything named and send it again; nothing was changed.",
    http_status=422,
    severity=Severity.INFO,
)


class LogLevel(StrEnum):
    """The five levels, by rising weight."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, kw_only=True)
class LevelPolicy:
    """What holds for one level."""

    retention_days: int
    legal_hold: bool = False


@dataclass(frozen=True, kw_only=True)
class StorageTier:
    """Lines at least `from_day` days old live here, until the next tier begins."""

    name: str
    from_day: int
    cost_per_gb_month: Decimal


class RetentionPolicyManager:
    """Answers for one set of policies; raises `LOG_POLICY_INVALID` for one that has holes."""

    def __init__(
        self, policies: Mapping[LogLevel, LevelPolicy], tiers: Iterable[StorageTier]
    ) -> None:
        self.policies = dict(policies)
        self.tiers = tuple(sorted(tiers, key=lambda tier: tier.from_day))
        missing = [str(level) for level in LogLevel if level not in self.policies]
        if missing:
            raise LOG_POLICY_INVALID.error(problems=f"no policy for {', '.join(missing)}")
        if not self.tiers or self.tiers[0].from_day != 0:
            raise LOG_POLICY_INVALID.error(problems="no active tier begins at day 0")

    def tier_of(self, age_days: int) -> StorageTier:
        """Where a line of this age lives; one from the future counts as of today."""
        age_days = max(0, age_days)
        return next(tier for tier in reversed(self.tiers) if tier.from_day <= age_days)

    def is_expired(self, level: LogLevel, age_days: int) -> bool:
        """The line's last day is over and nothing holds it."""
        policy = self.policies[level]
        return not policy.legal_hold and age_days > policy.retention_days

    def may_delete(self, newest_age_days: Mapping[LogLevel, int]) -> bool:
        """A file may go when every level in it has expired, by its newest line; never under hold."""
        return bool(newest_age_days) and all(
            self.is_expired(level, age) for level, age in newest_age_days.items()
        )

    def days_in_tiers(self, retention_days: int) -> dict[str, int]:
        """How many of its days a line spends in each tier."""
        ends = [tier.from_day for tier in self.tiers[1:]] + [retention_days]
        return {
            tier.name: max(0, min(end, retention_days) - tier.from_day)
            for tier, end in zip(self.tiers, ends, strict=True)
        }


def retention_problems(retention_days: int, *, compliance_required: bool) -> list[str]:
    """Everything that is wrong with a retention; empty when it is sound."""
    problems: list[str] = []
    if not 1 <= retention_days <= RETENTION_DAYS_MAX:
        problems.append(f"retention_days is {retention_days}, not 1 to {RETENTION_DAYS_MAX}")
    if compliance_required and retention_days < COMPLIANCE_DAYS_MIN:
        problems.append(f"what compliance requires stays {COMPLIANCE_DAYS_MIN} days or longer")
    return problems


def cost_problems(name: str, cost: Decimal) -> list[str]:
    """Everything that is wrong with a price."""
    if not cost.is_finite():
        return [f"{name} is not a number"]
    if not 0 <= cost <= COST_MAX:
        return [f"{name} is {cost}, not 0 to {COST_MAX}"]
    exponent = cost.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -4:  # noqa: PLR2004 - DECIMAL(10,4)
        return [f"{name} has more than four decimals"]
    return []
