"""How a process is: one registry, read by people, probes and Prometheus."""

from aitrading.core.infrastructure.health.probes import ProbeAnswer, answer_probe, probe_app
from aitrading.core.infrastructure.health.readings import publish_health
from aitrading.core.infrastructure.health.registry import (
    ComponentHealth,
    HasState,
    HealthRegistry,
    Probe,
)

__all__ = [
    "ComponentHealth",
    "HasState",
    "HealthRegistry",
    "Probe",
    "ProbeAnswer",
    "answer_probe",
    "probe_app",
    "publish_health",
]
