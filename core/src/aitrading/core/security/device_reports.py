"""What a client tells its server about the ground it stands on.

A changed client can say anything. So bad news is believed and good news changes nothing: a device
that reported damage may open nothing new until an administrator allows it again.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from aitrading.core.protocol.storable import STORABLE, storable

REPORT_PATH: Final = "/api/v1/devices/security"
MAX_ITEMS: Final = 64
MAX_TEXT_CHARS: Final = 200
MAX_REPORT_BYTES: Final = 10 * 1024
"""Of a report as it is signed; the rest of what could be told is left away."""
HOLDING: Final = frozenset({"enforced", "verified"})
AVAILABILITY_WANTED: Final = 0.999
"""The share of the measured time that a terminal is to be up."""
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=32 * 86_400)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS, pattern=STORABLE)]


class FilesState(StrEnum):
    """What can be said about a client's own files."""

    INTACT = "intact"
    ALTERED = "altered"
    UNSIGNED = "unsigned"
    """Nobody signed a list of them: an installation from source. Nothing can be said."""


class ReportedMeasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one measure of hardening stands, as reading it back showed."""

    name: _Text
    outcome: _Text
    why: _Text = ""


class MeasuredTime:
    """What follows from seconds up, wedged and away."""

    __slots__ = ()
    up_s: float
    wedged_s: float
    away_s: float

    @property
    def measured_s(self) -> float:
        """All of it."""
        return self.up_s + self.wedged_s + self.away_s

    @property
    def share(self) -> float | None:
        """The part that it was up; None before anything was measured."""
        return self.up_s / self.measured_s if self.measured_s else None


class TerminalMonth(
    MeasuredTime, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """How much of a month a terminal was there: all that was measured of it so far.

    Only what is on the client's disk is told, so a restart takes nothing back; a later report takes
    the place of this one, so telling it twice changes nothing.
    """

    terminal: _Text
    month: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}\Z")]
    up_s: _Seconds
    wedged_s: _Seconds
    away_s: _Seconds
    failures: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class SecurityReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client at one moment."""

    software: _Text
    system: _Text
    files: FilesState
    release: _Text
    """The release that its files are listed for; empty without a list."""
    findings: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_ITEMS)]
    """Files that were changed, added, or are missing."""
    debugger: _Text
    environment: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_ITEMS)]
    """Names of variables that let foreign code in."""
    measures: Annotated[tuple[ReportedMeasure, ...], msgspec.Meta(max_length=MAX_ITEMS)]
    terminals: Annotated[tuple[TerminalMonth, ...], msgspec.Meta(max_length=MAX_ITEMS)] = ()
    """The newest months of each terminal, the newest first."""
    foreign: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MAX_ITEMS)] = ()
    """Names of libraries and modules that were loaded from elsewhere."""

    @property
    def holding(self) -> int:
        """How many measures hold."""
        return sum(each.outcome in HOLDING for each in self.measures)


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server lets the device open anything new."""

    barred: bool
    reason: str = ""


def fitting(report: SecurityReport) -> SecurityReport:
    """As much of a report as is certainly taken; that files are altered is in it whatever happens."""
    while len(msgspec.json.encode(report)) > MAX_REPORT_BYTES:
        whole = report
        if report.foreign:  # whoever loads much must not push out that files are altered
            report = msgspec.structs.replace(
                report, foreign=report.foreign[: len(report.foreign) // 2]
            )
            continue
        report = msgspec.structs.replace(
            report,
            findings=report.findings[: len(report.findings) // 2],
            environment=report.environment[: len(report.environment) // 2],
            measures=report.measures if report.findings else report.measures[:-1],
            terminals=report.terminals[: len(report.terminals) // 2],
        )
        if report == whole:
            break
    return report


def fitted(text: str) -> str:
    """A text as a report carries it."""
    text = storable(text)
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
