"""What runs, and who waits for whom: derived from what each part declares."""

import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aitrading.core.infrastructure.lifecycle import dependency_order
from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.engines.process import Launch

READY_TIMEOUT_S = 30.0
WATCH_S = 5.0
"""How often a child that works is asked whether it still does."""
RECOVERY_LIMIT_S = 600.0
"""An engine may read its files after a crash for so long, as long as it answers."""
SILENCE_LIMIT_S = 30.0
"""A child that answers nothing at all for so long hangs."""


class Kind(StrEnum):
    """The three sorts of children; the values are the headings of `aitrading status`."""

    ENGINE = "engines"
    SERVICE = "services"
    CLIENT = "clients"


class Program(Protocol):
    """How one child is prepared, started and asked whether it works."""

    async def prepare(self) -> None:
        """Make what the process needs before it starts; repeating it changes nothing."""
        ...

    def launch(self) -> Launch:
        """The process to start."""
        ...

    async def ready(self) -> bool:
        """Ask once, over the path its users take."""
        ...

    async def settle(self) -> None:
        """Do what needs it running, before others may use it."""
        ...


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """One child as the plan knows it."""

    name: str
    kind: Kind
    program: Program
    depends_on: tuple[str, ...] = ()
    starts_early: bool = False
    """It is started at once and waits on its control pipe until its dependencies work."""
    gate: Callable[[], Awaitable[None]] | None = None
    """Something besides other children that must be there first."""
    renew_signal: signal.Signals | None = None
    """Sent when certificates were renewed, if the program does not watch its files itself."""
    port: int | None = None
    ready_timeout_s: float = READY_TIMEOUT_S
    busy_limit_s: float = 0.0
    """How long a start may take while it answers "not yet", as an engine that recovers does."""
    alive: Callable[[], Awaitable[bool]] | None = None
    """Whether it answers anything, ready or not; one that does not, for long, is killed."""
    told: Callable[[], Awaitable[PeerReport | None]] | None = None
    """What it says of itself, for parts that say more than yes and no."""
    watch_s: float = WATCH_S
    silence_limit_s: float = SILENCE_LIMIT_S


class Plan:
    """The children in an order in which each finds its dependencies before it.

    Raises the lifecycle's error, with the path, for a missing or circular dependency.
    """

    def __init__(self, specs: Iterable[ChildSpec]) -> None:
        by_name = {spec.name: spec for spec in specs}
        order = dependency_order({name: spec.depends_on for name, spec in by_name.items()})
        self.specs: Mapping[str, ChildSpec] = {name: by_name[name] for name in order}

    def users_of(self, name: str) -> tuple[str, ...]:
        """Who depends on `name` directly; they stop before it."""
        return tuple(spec.name for spec in self.specs.values() if name in spec.depends_on)
