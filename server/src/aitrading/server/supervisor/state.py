"""What the supervisor tells about the platform: `state.json` and `aitrading status --json`."""

from collections.abc import Iterable
from typing import Final

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.supervisor.demo.report import DemoReport

_WORST_FIRST: Final = (
    ComponentState.FAILED,
    ComponentState.STOPPED,
    ComponentState.STOPPING,
    ComponentState.NEW,
    ComponentState.STARTING,
    ComponentState.DEGRADED,
    ComponentState.HEALTHY,
)
_RANK: Final = {state.value: rank for rank, state in enumerate(_WORST_FIRST)}
_UNKNOWN_RANK: Final = _RANK["DEGRADED"]
"""Of a word of somebody else, as UNKNOWN: not well, and nobody knows how bad."""


def worse(state: str, than: str) -> bool:
    """Whether one state is worse than another."""
    return _RANK.get(state, _UNKNOWN_RANK) < _RANK.get(than, _UNKNOWN_RANK)


def overall(states: Iterable[ComponentState]) -> ComponentState:
    """As the page says it: FAILED with a part that is down, HEALTHY only when all are."""
    found = set(states)
    if found & {ComponentState.FAILED, ComponentState.STOPPED}:
        return ComponentState.FAILED
    return ComponentState.HEALTHY if found <= {ComponentState.HEALTHY} else ComponentState.DEGRADED


class ChildState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One engine, service or client."""

    state: ComponentState
    port: int | None = None
    pid: int | None = None
    rss_mb: float | None = None
    restarts: int = 0
    ready_after_s: float | None = None
    message: str = ""


class ChainState(msgspec.Struct, frozen=True, kw_only=True):
    """One way that data takes through the parts, as the api-gateway measured it."""

    state: str
    since: str | None = None
    fault: str = ""


class PlatformState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `aitrading status` shows."""

    ready: bool
    """Every engine and service does its work, perhaps with less than everything it wants."""
    started_in_s: float | None
    services: dict[str, ChildState]
    engines: dict[str, ChildState]
    clients: dict[str, ChildState] = {}
    chains: dict[str, ChainState] = {}
    """Known only when the api-gateway was asked."""
    home: str = ""
    url: str | None = None
    version: str = ""
    environment: str = ""
    demo: bool = False
    since: str = ""
    pid: int | None = None
    ca_fingerprint: str | None = None
    status: ComponentState = ComponentState.HEALTHY
    """HEALTHY only while every engine and service is, and no chain has failed."""
    problems: tuple[str, ...] = ()
    """What is wrong with the platform as a whole."""
    warnings: tuple[str, ...] = ()
    """What will become a problem if nobody acts."""


class ReadyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `aitrading up` has to tell once the platform is ready."""

    state: PlatformState
    demo: DemoReport | None = None
