"""Watches the ground the client stands on, and tells the server what it sees."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from aitrading.client.security.confinement import is_unconfined
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.installation import FilesReport, Installation
from aitrading.client.security.measures import Outcome, Standing
from aitrading.client.security.observations import Observations, observe
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.device_reports import (
    MAX_ITEMS,
    REPORT_PATH,
    Exposure,
    FilesState,
    ReportedMeasure,
    SecurityReport,
    TerminalMonth,
    fitted,
    fitting,
)
from aitrading.core.security.device_requests import DevicePurpose

LOOK_S: Final = 60.0
TELL_S: Final = 3600

_log = get_logger(__name__)


class SecurityKeeper:
    """Looks every minute; tells the server what changed, and once an hour in any case.

    While the server bars this device it is told each time: its answer says when that is over.

    DEGRADED while files are altered, a debugger is attached, or the server bars this device. The
    client goes on: closing and reducing positions must stay possible. What it bars is new exposure.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        standings: Callable[[], Sequence[Standing]],
        *,
        software: str,
        clock: Clock,
        errors: ErrorHandler,
        installation: Installation | None = None,
        availability: Callable[[], tuple[TerminalMonth, ...]] = tuple,
    ) -> None:
        self.name = "security"
        self.depends_on = ("certificate",)
        self.told = 0
        self._calls = calls
        self._standings = standings
        self._software = software
        self._clock = clock
        self._errors = errors
        self._installation = installation or Installation()
        self._availability = availability
        self._tasks = TaskSet(self.name)
        self._is_running = False
        self._files = FilesReport(state=FilesState.UNSIGNED)
        self._seen = Observations()
        self._exposure = Exposure(barred=False)
        self._last: SecurityReport | None = None
        self._told_ns = 0

    @property
    def state(self) -> ComponentState:
        """HEALTHY while nothing speaks against it."""
        if not self._is_running:
            return ComponentState.STOPPED
        bad = self.barred_by or self._seen.debugger
        return self._tasks.judged(ComponentState.DEGRADED if bad else ComponentState.HEALTHY)

    @property
    def barred_by(self) -> str:
        """Why nothing new may be opened; empty when it may."""
        if self._files.bars_exposure:
            return "files of the client are not the released ones"
        return self._exposure.reason if self._exposure.barred else ""

    def statistics(self) -> dict[str, FieldValue]:
        """For health, the page and the doctor."""
        standings = self._standings()
        failed = [each.name for each in standings if each.outcome is Outcome.REFUSED]
        return {
            "new_exposure": "barred" if self.barred_by else "allowed",
            "barred_by": self.barred_by,
            "files": str(self._files.state),
            "release": self._files.version,
            "findings": "; ".join(self._files.findings),
            "debugger": self._seen.debugger,
            "environment": " ".join(self._seen.environment),
            "foreign_code": "; ".join(self._seen.foreign[:MAX_ITEMS]),
            "measures_hold": sum(each.holds for each in standings),
            "measures": len(standings),
            "measures_refused": " ".join(failed),
            "unconfined": "; ".join(
                f"{each.name}: {each.why}" for each in standings if is_unconfined(each)
            ),
            "reports_told": self.told,
        }

    async def start(self) -> None:
        """Hash every file before anything else runs; tell from now on."""
        self._is_running = True
        await asyncio.to_thread(self._look, whole=True)
        self._tasks.keep(self._run, name="look", clock=self._clock)

    async def stop(self) -> None:
        """Look no more."""
        await self._tasks.close()
        self._is_running = False

    async def check(self) -> None:
        """Look once, and tell the server if there is something to tell."""
        await asyncio.to_thread(self._look)
        await self._tell()

    def report(self) -> SecurityReport:
        """What is told."""
        report = SecurityReport(
            software=self._software,
            system=sys.platform,
            files=self._files.state,
            release=fitted(self._files.version),
            findings=tuple(fitted(each) for each in self._files.findings[:MAX_ITEMS]),
            debugger=fitted(self._seen.debugger),
            environment=self._seen.environment,
            foreign=tuple(fitted(Path(each).name) for each in self._seen.foreign[:MAX_ITEMS]),
            measures=tuple(
                ReportedMeasure(
                    name=each.name, outcome=str(each.outcome), why=fitted(each.why)
                )
                for each in self._standings()[:MAX_ITEMS]
            ),
        )  # fmt: skip
        return fitting(report)

    def _look(self, *, whole: bool = False) -> None:
        before = self._files.state
        self._files = self._installation.check(whole=whole)
        before_seen, self._seen = self._seen, observe()
        if set(self._seen.foreign) - set(before_seen.foreign):
            _log.warning("foreign code is loaded", files="; ".join(self._seen.foreign[:MAX_ITEMS]))
        if self._files.bars_exposure and before is not FilesState.ALTERED:
            _log.critical("files altered", findings="; ".join(self._files.findings))

    async def _tell(self) -> None:
        """What grows by itself is told with the rest, and once an hour."""
        report, now_ns = self.report(), self._clock.monotonic_ns()
        is_due = self._exposure.barred or now_ns - self._told_ns >= TELL_S * NS_PER_S
        if report == self._last and not is_due:
            return
        try:
            self._exposure = await asyncio.to_thread(self._ask, report)
        except AitradingError as exc:
            self._errors.classify(exc)
            return
        self._last, self._told_ns = report, now_ns
        self.told += 1

    def _ask(self, report: SecurityReport) -> Exposure:
        report = fitting(msgspec.structs.replace(report, terminals=self._availability()))
        return self._calls.ask(DevicePurpose.SECURITY, REPORT_PATH, report, Exposure)

    async def _run(self) -> None:
        await self._tell()
        while True:
            await self._clock.sleep(LOOK_S)
            await self.check()
