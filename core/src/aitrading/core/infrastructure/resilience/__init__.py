"""Staying up while something else is down: limits in time, repeats, breakers, bulkheads."""

from aitrading.core.infrastructure.resilience.breaker import (
    BreakerState,
    BreakerStatistics,
    CircuitBreaker,
)
from aitrading.core.infrastructure.resilience.bulkhead import Bulkhead, BulkheadStatistics
from aitrading.core.infrastructure.resilience.fallback import (
    Fallback,
    FallbackStatistics,
    Known,
    LastKnown,
)
from aitrading.core.infrastructure.resilience.faults import is_failure, is_retryable
from aitrading.core.infrastructure.resilience.isolation import Isolation, IsolationStatistics
from aitrading.core.infrastructure.resilience.registry import (
    GuardPart,
    PartStatistics,
    ResiliencePart,
    ResilienceRegistry,
)
from aitrading.core.infrastructure.resilience.retry import Retry, RetryPolicy, RetryStatistics
from aitrading.core.infrastructure.resilience.timeouts import Timeouts, Watchdog, time_limit

__all__ = [
    "BreakerState",
    "BreakerStatistics",
    "Bulkhead",
    "BulkheadStatistics",
    "CircuitBreaker",
    "Fallback",
    "FallbackStatistics",
    "GuardPart",
    "Isolation",
    "IsolationStatistics",
    "Known",
    "LastKnown",
    "PartStatistics",
    "ResiliencePart",
    "ResilienceRegistry",
    "Retry",
    "RetryPolicy",
    "RetryStatistics",
    "Timeouts",
    "Watchdog",
    "is_failure",
    "is_retryable",
    "time_limit",
]
