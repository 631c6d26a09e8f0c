"""Call sites patched out, one at a time, and what a test needs to see the difference.

A scenario brings real components into a fault and asserts what the site promises there. It must
hold as it is, and fail when the strategy at that one site is replaced by letting everything pass.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aitrading.core.infrastructure.call_sites import CallSite, Guard, RecoveryStrategy
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.health import HealthRegistry, publish_health
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    ResilienceRegistry,
)
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.manual_clock import ManualClock
from harness.probes import SiteView, site_view

PROMISE_TIMEOUT_S = 30.0
BROKEN_PROMISE_S = 3.0
"""How long is waited for what a site that is patched out does not do: all of it, each time."""


class QuickRandomness(SystemRandomness):
    """Draws the shortest waits that are still waits."""

    def uniform(self, low: float, high: float) -> float:
        return min(high, low + 0.01)


@dataclass
class Process:
    """What every process of the platform has."""

    errors: ErrorHandler
    health: HealthRegistry
    metrics: Metrics

    @classmethod
    def make(cls, clock: Clock) -> "Process":
        metrics, resilience = Metrics(), ResilienceRegistry()
        errors = ErrorHandler(
            clock=clock, randomness=QuickRandomness(), metrics=metrics, resilience=resilience
        )
        health = HealthRegistry(
            service="test",
            instance="1",
            version="0",
            clock=clock,
            resilience=resilience,
            errors=errors,
        )
        publish_health(health, metrics)
        return cls(errors=errors, health=health, metrics=metrics)

    def view(self, site: CallSite) -> SiteView:
        return site_view(site, self.health.report(), self.metrics.render().decode())


@dataclass
class Room:
    """Where a scenario happens: a short folder of its own, and its own process."""

    folder: Path
    patience_s: float = PROMISE_TIMEOUT_S
    """How long a promise may take."""
    manual: ManualClock = field(default_factory=ManualClock)
    clock: SystemClock = field(default_factory=SystemClock)


Scenario = Callable[[Room], Coroutine[Any, Any, Process]]
SCENARIOS: dict[str, tuple[CallSite, Scenario]] = {}


def promised_by(site: CallSite) -> Callable[[Scenario], Scenario]:
    """Register the scenario of a site; it gives the process in which the site stood."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS[site.name] = (site, scenario)
        return scenario

    return register


def patched_out(site: CallSite) -> AbstractContextManager[object]:
    """For the time of the block everything passes through this one site, as if it were not there."""
    match site.strategy:
        case Guard.BREAKER:
            return patch.object(CircuitBreaker, "guard", _open_door(site, CircuitBreaker.guard))
        case Guard.BULKHEAD:
            return patch.object(Bulkhead, "slot", _open_door(site, Bulkhead.slot))
        case Guard.FALLBACK:
            return patch.object(Fallback, "run", _pass_fallback(site))
        case RecoveryStrategy.HALT:
            return patch.object(ErrorHandler, "halt", _go_on(site))
        case strategy:
            return patch.object(ErrorHandler, strategy, _pass(site, strategy))


def _stands_at(site: CallSite, part: str) -> bool:
    return part == site.name or part.startswith(f"{site.name}.")


def _open_door(site: CallSite, original: Any) -> Any:
    def enter(self: Any) -> Any:
        if not _stands_at(site, self.name):
            return original(self)
        return _Door()

    return enter


class _Door(nullcontext[None]):
    """Lets everybody in, with and without `async`."""


def _pass_fallback(site: CallSite) -> Any:
    original = Fallback.run

    async def run(self: Fallback, operation: Any, substitute: Any) -> Any:
        if not _stands_at(site, self.name):
            return await original(self, operation, substitute)
        return await operation()

    return run


def _pass(site: CallSite, strategy: str) -> Any:
    original = getattr(ErrorHandler, strategy)

    async def passing(self: ErrorHandler, at: CallSite, *rest: Any) -> Any:
        if at is not site:
            return await original(self, at, *rest)
        operation = rest[1] if strategy == RecoveryStrategy.ISOLATE else rest[0]
        return await operation()

    return passing


def _go_on(site: CallSite) -> Any:
    original = ErrorHandler.halt

    async def halt(self: ErrorHandler, at: CallSite, reason: str) -> None:
        if at is not site:
            await original(self, at, reason)

    return halt
