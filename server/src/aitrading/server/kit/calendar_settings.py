"""What an installation, or one organisation, says differently about trading hours."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

import msgspec

from aitrading.core.domain.market_hours import problem_of
from aitrading.core.infrastructure.config_manager import Setting

CALENDAR_PATH: Final = "/internal/v1/calendar"


class CalendarWords(msgspec.Struct, frozen=True, kw_only=True):
    """The section `calendar` as one organisation has it."""

    symbols: str = ""
    sessions: str = ""
    closures: str = ""
    quarantine_unknown: bool = False


@dataclass(frozen=True, kw_only=True)
class CalendarSettings:
    """Trading hours beside the calendars that are shipped; see the explanation of feed states."""

    SECTION: ClassVar[str] = "calendar"

    symbols: Annotated[
        str,
        Setting(
            doc="What single symbols stand for: `SYMBOL=CLASS CANONICAL`, separated by `;`. Classes "
            "are forex, metals, indices, crypto, energies and stocks.",
            tenant=True,
            reloadable=True,
        ),
    ] = ""
    sessions: Annotated[
        str,
        Setting(
            doc="Weekly sessions of a class instead of the shipped ones: `CLASS ZONE Sun 17:05-Fri "
            "16:55` or `CLASS always`, separated by `;`. Zones are new-york, london, frankfurt, "
            "tokyo and utc.",
            tenant=True,
            reloadable=True,
        ),
    ] = ""
    closures: Annotated[
        str,
        Setting(
            doc="Further closures in the zone of the class: `CLASS "
            "2026-12-24T13:00/2026-12-25T18:00 WHY`, separated by `;`.",
            tenant=True,
            reloadable=True,
        ),
    ] = ""

    quarantine_unknown: Annotated[
        bool,
        Setting(
            doc="Whether ticks of symbols that stand for nothing known are quarantined until "
            "`calendar.symbols` says what they are.",
            tenant=True,
            reloadable=True,
        ),
    ] = False

    def problems(self) -> list[str]:
        """Words that would not be understood."""
        problem = problem_of(symbols=self.symbols, sessions=self.sessions, closures=self.closures)
        return [problem] if problem else []

    @property
    def words(self) -> CalendarWords:
        """As they travel between services."""
        return CalendarWords(
            symbols=self.symbols,
            sessions=self.sessions,
            closures=self.closures,
            quarantine_unknown=self.quarantine_unknown,
        )
