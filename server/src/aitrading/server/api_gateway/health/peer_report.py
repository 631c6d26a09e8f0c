"""The part of a service's `/health` that the platform report is made of."""

from typing import Any, Final

import msgspec

FALLBACK: Final = "fallback"
"""A lesser answer says so itself; nothing else is worse for it."""


class PeerComponent(msgspec.Struct, frozen=True, kw_only=True):
    """One component as its service tells it."""

    state: str
    critical: bool = True
    detail: str | None = None
    fields: dict[str, Any] = {}


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One service as it tells itself; members that are not needed are passed over."""

    service: str
    instance: str
    version: str
    state: str
    ready: bool
    components: dict[str, PeerComponent] = {}
    resilience: dict[str, dict[str, Any]] = {}

    def detail(self) -> str:
        """The first thing a person should know, or nothing."""
        halted: dict[str, Any] = self.resilience.get("halted", {})
        for capability, halt in halted.items():
            return f"{capability} halted: {halt.get('reason', '')}"
        for name, component in self.components.items():
            if component.state != "HEALTHY":
                return f"{name} {component.state}" + (
                    f": {component.detail}" if component.detail else ""
                )
        return "" if self.state == "HEALTHY" else self._acting()

    def _acting(self) -> str:
        """Every component is well, but a call site acts on a fault of something else."""
        for name, site in self.resilience.get("recovery", {}).items():
            if site.get("active") and site.get("strategy") != FALLBACK:
                error = site.get("last_error")
                return f"{name} acts ({site.get('strategy')})" + (f": {error}" if error else "")
        return ""


class SupervisedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One process as the supervisor tells it."""

    state: str
    port: int | None = None
    pid: int | None = None
    rss_mb: float | None = None
    restarts: int = 0
    message: str = ""


class SupervisorReport(msgspec.Struct, frozen=True, kw_only=True):
    """`run/state.json`, as far as it is shown."""

    ready: bool
    services: dict[str, SupervisedPart] = {}
    engines: dict[str, SupervisedPart] = {}
    clients: dict[str, SupervisedPart] = {}
