"""What happens when the spool takes no more: nothing is acknowledged, and everybody can see it."""

import os
from pathlib import Path
from typing import Final, NewType

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.infrastructure.spool_errors import SPOOL_BACKLOG
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import LINK_OVERLOADED, LINK_SHARE_FULL
from aitrading.server.data_bridge.call_sites import SPOOL_HALT
from aitrading.server.data_bridge.ingest import TickIngest
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.metrics import SPOOL_BYTES
from aitrading.server.data_bridge.shares import SpoolShares
from aitrading.server.data_bridge.streams import BridgeStream

CHECK_S: Final = 0.5
COME_BACK_MS: Final = 3_000
RESUME_BELOW: Final = 0.9
"""Share of the spool's limit below which taking ticks goes on; what was refused must fit too."""
RESUME_FREE_BYTES: Final = 1024 * 1024
"""Free space on the disk above which taking ticks goes on."""


SpoolFolder = NewType("SpoolFolder", Path)
"""Where acknowledged ticks wait for the database service."""


class SpoolGuard(LoopingComponent):
    """Halts tick ingest when the spool fails or is full and resumes it when there is room.

    A backlog, a disk that is merely slow, and the full share of one organisation only send back the
    devices whose ticks did not fit.
    """

    def __init__(
        self,
        spool: Spool,
        folder: SpoolFolder,
        *,
        ingest: TickIngest,
        links: DeviceLinks,
        shares: SpoolShares,
        errors: ErrorHandler,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        super().__init__("spool-guard", on_error=errors.classify)
        self._spool = spool
        self._folder = folder
        self._links = links
        self._shares = shares
        self._errors = errors
        self._metrics = metrics
        self._clock = clock
        self._refused_bytes = 0
        ingest.on_failure = self._on_failure

    @property
    @override
    def state(self) -> ComponentState:
        """FAILED after a disk error that only a restart can repair."""
        if self._spool.statistics().failed:
            return ComponentState.FAILED
        return super().state

    @override
    async def start(self) -> None:
        """Watch the spool."""
        self._errors.declare(SPOOL_HALT)
        self._tasks.keep(self._watch, name="watch", clock=self._clock)
        self._state = ComponentState.HEALTHY

    def _on_failure(self, error: AitradingError, lost: list[BridgeStream]) -> None:
        self._errors.classify(error)
        if error.spec in (SPOOL_BACKLOG, LINK_SHARE_FULL):
            spec = LINK_SHARE_FULL if error.spec is LINK_SHARE_FULL else LINK_OVERLOADED
            for link in {stream.link for stream in lost}:
                if link is not None:
                    link.close(spec, retry_after_ms=COME_BACK_MS)
            return
        self._refused_bytes = int(error.fields.get("wanted_bytes") or 0)
        self._tasks.start(self._errors.halt(SPOOL_HALT, error.message), name="halt")
        self._links.close_all(LINK_OVERLOADED, retry_after_ms=COME_BACK_MS)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(CHECK_S)
            self._shares.let_go()
            self._metrics.set(SPOOL_BYTES, self._spool.used_bytes)
            if SPOOL_HALT.capability in self._errors.halts and self._has_room():
                self._errors.resume(SPOOL_HALT)

    def _has_room(self) -> bool:
        statistics = self._spool.statistics()
        limit = statistics.limit_bytes
        wanted = min(self._refused_bytes, limit // 2)
        if statistics.failed or statistics.used_bytes + wanted > limit * RESUME_BELOW:
            return False
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize >= RESUME_FREE_BYTES
