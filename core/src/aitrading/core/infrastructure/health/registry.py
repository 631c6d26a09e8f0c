"""Health: what a process knows about itself, for people, probes and Prometheus.

`HealthRegistry.report()` is the JSON of `/health`::

    {"service": "data-bridge", "instance": "…", "version": "0.1.0", "state": "DEGRADED",
     "live": true, "ready": true, "since": "2026-11-21T03:00:00.000000Z",
     "components": {"bus": {"state": "HEALTHY", "critical": true, "detail": null,
                            "fields": {"reconnects": 0}}},
     "resilience": {"breaker": {"database": {"state": "CLOSED", …}}, "bulkhead": {…},
                    "retry": {…}, "fallback": {…}, "isolation": {…},
                    "recovery": {"bus.reconnect": {"strategy": "reconnect", "acts": 0, …}},
                    "halted": {"ingest": {"reason": "the spool is full", …}}},
     "errors": [{"code": "…", "fingerprint": "…", "count": 3, "rate_per_min": 0.4, …}]}

Times inside are nanoseconds since the Unix epoch (`_ns`), `since` is RFC 3339.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from aitrading.core.infrastructure.call_sites import Guard
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import Clock, rfc3339_of_ns
from aitrading.core.kit.errors import FieldValue

MAX_COMPONENTS: Final = 1_000
MAX_ERRORS_SHOWN: Final = 20

_FIELD_TYPES: Final = (str, int, float, bool, type(None))
_WORST_FIRST: Final = (
    ComponentState.FAILED,
    ComponentState.STOPPING,
    ComponentState.STOPPED,
    ComponentState.STARTING,
    ComponentState.NEW,
    ComponentState.DEGRADED,
    ComponentState.HEALTHY,
)


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a component is; `detail` is a sentence for a person, `fields` are numbers."""

    state: ComponentState
    critical: bool = True
    """Without a critical component the process is not ready."""
    detail: str | None = None
    fields: dict[str, FieldValue] = {}


class HasState(Protocol):
    """Any component of the process."""

    @property
    def name(self) -> str:
        """Its name in the report."""
        ...

    @property
    def state(self) -> ComponentState:
        """Its state now."""
        ...


Probe = Callable[[], ComponentHealth]


class HealthRegistry:
    """The one place that knows how this process is; asked on every probe, so probes are cheap.

    The process is live while it can answer at all. It is ready when no critical component is
    other than HEALTHY or DEGRADED and nothing is halted. A probe that raises counts as FAILED.
    While a call site acts the process is DEGRADED, except for fallbacks: a lesser answer says so
    itself, and nothing else is worse for it.
    """

    def __init__(
        self,
        *,
        service: str,
        instance: str,
        version: str,
        clock: Clock,
        resilience: ResilienceRegistry,
        errors: ErrorHandler,
    ) -> None:
        self.service = service
        self.instance = instance
        self.version = version
        self.resilience = resilience
        self.errors = errors
        self._clock = clock
        self._since_ns = clock.now_ns()
        self._probes: dict[str, Probe] = {}

    @property
    def since_ns(self) -> int:
        """When this process began."""
        return self._since_ns

    @property
    def uptime_s(self) -> float:
        """Seconds since then by the wall clock."""
        return max(0, self._clock.now_ns() - self._since_ns) / 1e9

    def watch(self, component: HasState, *, critical: bool = True) -> None:
        """Include a component by its own state and, where it has them, its `statistics()`."""
        self.probe(
            component.name,
            lambda: ComponentHealth(
                state=component.state, critical=critical, fields=_statistics_of(component)
            ),
        )

    def probe(self, name: str, probe: Probe) -> None:
        """Include whatever the function tells; a second one of that name is a mistake."""
        if name in self._probes:
            raise ValueError(f"health knows a component named {name!r} already")
        if len(self._probes) >= MAX_COMPONENTS:
            raise ValueError(f"more than {MAX_COMPONENTS} components in health")
        self._probes[name] = probe

    def components(self) -> dict[str, ComponentHealth]:
        """Every component's answer now."""
        return {name: self._ask(probe) for name, probe in self._probes.items()}

    def state(self) -> ComponentState:
        """The process as a whole."""
        return self._overall(self.components())

    def ready(self) -> bool:
        """Whether traffic may be sent here."""
        return self.state().is_serving

    def report(self) -> dict[str, Any]:
        """The shape in this module's docstring."""
        components = self.components()
        state = self._overall(components)
        return {
            "service": self.service,
            "instance": self.instance,
            "version": self.version,
            "state": state.value,
            "live": True,
            "ready": state.is_serving,
            "since": rfc3339_of_ns(self._since_ns),
            "components": msgspec.to_builtins(components),
            "resilience": self._resilience_report(),
            "errors": _as_json_has_it(self.errors.latest(MAX_ERRORS_SHOWN)),
        }

    def _resilience_report(self) -> dict[str, Any]:
        return {
            **self.resilience.report(),
            "recovery": msgspec.to_builtins(self.errors.recovery_report()),
            "halted": msgspec.to_builtins(self.errors.halts),
        }

    def _overall(self, components: Mapping[str, ComponentHealth]) -> ComponentState:
        if self.errors.halts:
            return ComponentState.FAILED
        states = {_contribution(health) for health in components.values()}
        sites = self.errors.recovery_report().values()
        if any(site.active and site.strategy != Guard.FALLBACK for site in sites):
            states.add(ComponentState.DEGRADED)
        return next((state for state in _WORST_FIRST if state in states), ComponentState.HEALTHY)

    def _ask(self, probe: Probe) -> ComponentHealth:
        try:
            return probe()
        except Exception as exc:  # noqa: BLE001 - health must answer whatever a probe does
            record = self.errors.classify(exc)
            return ComponentHealth(state=ComponentState.FAILED, detail=record.message)


def _statistics_of(component: HasState) -> dict[str, FieldValue]:
    statistics: Callable[[], object] | None = getattr(component, "statistics", None)
    if statistics is None:
        return {}
    fields: dict[str, Any] = msgspec.to_builtins(statistics())
    return {name: value for name, value in fields.items() if isinstance(value, _FIELD_TYPES)}


def _contribution(health: ComponentHealth) -> ComponentState:
    if health.critical or health.state is ComponentState.HEALTHY:
        return health.state
    return ComponentState.DEGRADED


def _as_json_has_it(value: object) -> Any:
    """Lists instead of tuples, so that a report equals its own copy from the wire."""
    return msgspec.json.decode(msgspec.json.encode(value))
