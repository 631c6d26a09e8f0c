"""The health of a process as Prometheus readings, taken at each scrape."""

from collections.abc import Generator
from typing import Any, Final

import msgspec

from aitrading.core.infrastructure.health.registry import ComponentHealth, HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading

PROCESS_INFO: Final = Metric(
    name="aitrading_process_info",
    kind=MetricKind.GAUGE,
    help="Always 1; the labels say which process answers.",
    labels=("service", "instance", "version"),
)
PROCESS_UPTIME: Final = Metric(
    name="aitrading_process_uptime_s",
    kind=MetricKind.GAUGE,
    help="Seconds since the process began.",
)
PROCESS_READY: Final = Metric(
    name="aitrading_process_ready",
    kind=MetricKind.GAUGE,
    help="1 when the process is ready for traffic.",
)
COMPONENT_STATE: Final = Metric(
    name="aitrading_component_state",
    kind=MetricKind.GAUGE,
    help="1 for the state a component is in, 0 for the others.",
    labels=("component", "state"),
)
COMPONENT_STATISTIC: Final = Metric(
    name="aitrading_component_statistic",
    kind=MetricKind.GAUGE,
    help="Numbers a component tells about itself, as in /health.",
    labels=("component", "statistic"),
)
RESILIENCE_STATISTIC: Final = Metric(
    name="aitrading_resilience_statistic",
    kind=MetricKind.GAUGE,
    help="Numbers of each retry, breaker, bulkhead, fallback and isolation, as in /health.",
    labels=("kind", "name", "statistic"),
)
BREAKER_STATE: Final = Metric(
    name="aitrading_breaker_state",
    kind=MetricKind.GAUGE,
    help="0 closed, 1 half open (probing), 2 open (refusing).",
    labels=("breaker",),
)
RECOVERY_ACTIVE: Final = Metric(
    name="aitrading_recovery_active",
    kind=MetricKind.GAUGE,
    help="1 while a call site acts on a fault.",
    labels=("site", "strategy"),
)
HALTED: Final = Metric(
    name="aitrading_halted",
    kind=MetricKind.GAUGE,
    help="1 for each capability that is halted.",
    labels=("capability",),
)

_BREAKER_LEVELS: Final = {"CLOSED": 0.0, "HALF_OPEN": 1.0, "OPEN": 2.0}


def publish_health(health: HealthRegistry, metrics: Metrics) -> None:
    """Include this process's health in every scrape."""
    metrics.add_source(lambda: _readings(health))


def _readings(health: HealthRegistry) -> Generator[Reading]:
    yield Reading(PROCESS_INFO, 1.0, (health.service, health.instance, health.version))
    yield Reading(PROCESS_UPTIME, health.uptime_s)
    yield Reading(PROCESS_READY, float(health.ready()))
    for name, component in health.components().items():
        yield from _component_readings(name, component)
    for site, recovery in health.errors.recovery_report().items():
        yield Reading(RECOVERY_ACTIVE, float(recovery.active), (site, recovery.strategy))
    for capability in health.errors.halts:
        yield Reading(HALTED, 1.0, (capability,))
    for part in health.resilience.parts():
        yield from _part_readings(part.kind, part.name, msgspec.to_builtins(part.statistics()))


def _component_readings(name: str, component: ComponentHealth) -> Generator[Reading]:
    for state in ComponentState:
        yield Reading(COMPONENT_STATE, float(state is component.state), (name, state.value))
    for statistic, value in component.fields.items():
        if isinstance(value, int | float):
            yield Reading(COMPONENT_STATISTIC, float(value), (name, statistic))


def _part_readings(kind: str, name: str, statistics: dict[str, Any]) -> Generator[Reading]:
    if kind == "breaker":
        yield Reading(BREAKER_STATE, _BREAKER_LEVELS[statistics["state"]], (name,))
    for statistic, value in statistics.items():
        if isinstance(value, int | float):
            yield Reading(RESILIENCE_STATISTIC, float(value), (kind, name, statistic))
