"""Where knowledge about the house comes from: peers by call, the supervisor by its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.resilience import CircuitBreaker, Fallback
from aitrading.core.infrastructure.resilience.fallback import Known, LastKnown
from aitrading.core.kit.clock import Clock
from aitrading.server.api_gateway.call_sites import HEALTH_LAST_KNOWN, PEER_BREAKER
from aitrading.server.api_gateway.health.peer_report import (
    PeerReport,
    SupervisedPart,
    SupervisorReport,
)
from aitrading.server.engines.proc import rss_mb

PEER_TIMEOUT_S: Final = 2.0
FAILURES_UNTIL_OPEN: Final = 3
OPEN_S: Final = 2.0


class HealthClient(Protocol):
    """The one question; an `InternalClient` asks it."""

    async def get(self, path: str, *, answer: type[PeerReport], timeout_s: float) -> PeerReport:
        """GET and decode; raises the peer's or the network's error."""
        ...


class PeerSource:
    """One service's health: asked through a breaker, last known while it does not answer."""

    def __init__(
        self, name: str, client: HealthClient, *, clock: Clock, errors: ErrorHandler
    ) -> None:
        self.name = name
        self._client = client
        self._breaker = errors.guard(
            PEER_BREAKER,
            CircuitBreaker(
                f"{PEER_BREAKER.name}.{name}",
                clock=clock,
                failure_threshold=FAILURES_UNTIL_OPEN,
                open_s=OPEN_S,
            ),
        )
        fallback = errors.guard(
            HEALTH_LAST_KNOWN, Fallback(f"{HEALTH_LAST_KNOWN.name}.{name}", clock=clock)
        )
        self._last_known: LastKnown[PeerReport] = LastKnown(fallback, clock=clock)

    async def look(self) -> Known[PeerReport]:
        """Ask; raises the error only when nothing was ever known."""
        return await self._last_known.get(lambda: self._breaker.run(self._ask))

    async def _ask(self) -> PeerReport:
        return await self._client.get("/health", answer=PeerReport, timeout_s=PEER_TIMEOUT_S)


class SupervisorSource:
    """What the supervisor wrote at the last change; memory is measured now."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file

    def look(self) -> Known[SupervisorReport] | None:
        """None when there is no supervisor, as for a service that was started by hand."""
        try:
            written_ns = self._state_file.stat().st_mtime_ns
            report = msgspec.json.decode(self._state_file.read_bytes(), type=SupervisorReport)
        except (OSError, msgspec.DecodeError):
            return None
        return Known(value=_measured(report), known_at_ns=written_ns, stale_since_ns=None)


def _measured(report: SupervisorReport) -> SupervisorReport:
    def fresh(parts: Mapping[str, SupervisedPart]) -> dict[str, SupervisedPart]:
        return {
            name: msgspec.structs.replace(part, rss_mb=rss_mb(part.pid)) if part.pid else part
            for name, part in parts.items()
        }

    return msgspec.structs.replace(
        report,
        services=fresh(report.services),
        engines=fresh(report.engines),
        clients=fresh(report.clients),
    )
