"""What the supervisor tells about the platform: `state.json` and `aitrading status --json`."""

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.supervisor.demo.report import DemoReport


class ChildState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One engine, service or client."""

    state: ComponentState
    port: int | None = None
    pid: int | None = None
    rss_mb: float | None = None
    restarts: int = 0
    ready_after_s: float | None = None
    message: str = ""


class PlatformState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `aitrading status` shows."""

    ready: bool
    started_in_s: float | None
    services: dict[str, ChildState]
    engines: dict[str, ChildState]
    clients: dict[str, ChildState] = {}
    home: str = ""
    url: str | None = None
    version: str = ""
    environment: str = ""
    demo: bool = False
    since: str = ""
    pid: int | None = None
    ca_fingerprint: str | None = None
    warnings: tuple[str, ...] = ()
    """What will become a problem if nobody acts."""


class ReadyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `aitrading up` has to tell once the platform is ready."""

    state: PlatformState
    demo: DemoReport | None = None
