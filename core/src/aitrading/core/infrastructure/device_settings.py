"""Settings of an installed client that its server may set by a signed bundle.

They are declared here, where both sides see them: the server refuses what a client would refuse.
Never among them: addresses, files, credentials, whom to trust. Which files and addresses a client
reads and whom it asks is decided beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.core.domain.alert_rules import problem_of
from aitrading.core.domain.instruments import SYMBOL_BYTES_MAX
from aitrading.core.infrastructure.config_manager import ConfigManager, Setting

COLLECTED_MAX: Final = 1_000
PAIRS_MAX: Final = 64
SOURCES: Final = ("mt5", "news", "economic_calendar")


@dataclass(frozen=True, kw_only=True)
class CollectedSymbols:
    """Which symbols the connector of a client collects; how it does that is the client's own."""

    SECTION: ClassVar[str] = "connector"

    symbols: Annotated[
        tuple[str, ...],
        Setting(
            doc="Symbols to collect, in the broker's spelling; empty means those that Market Watch "
            "shows, also when they are shown later.",
            reloadable=True,
            remote=True,
        ),
    ] = ()

    def problems(self) -> Iterable[str]:
        """What is wrong with the section as a whole."""
        if len(self.symbols) > COLLECTED_MAX:
            yield (
                f"connector.symbols: {len(self.symbols)} symbols, at most {COLLECTED_MAX} are "
                "collected"
            )
        if too_long := [one for one in self.symbols if len(one.encode()) > SYMBOL_BYTES_MAX]:
            yield f"connector.symbols: {too_long[0][:80]!r} is no symbol"


@dataclass(frozen=True, kw_only=True)
class MarketMonitorSettings:
    """What the market monitor of a client watches."""

    SECTION: ClassVar[str] = "market_monitor"

    pairs: Annotated[
        tuple[str, ...],
        Setting(
            doc=f"Symbols to watch, in the broker's spelling; at most {PAIRS_MAX}.",
            reloadable=True,
            remote=True,
            env="MONITOR_PAIRS",
        ),
    ] = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
    thresholds: Annotated[
        str,
        Setting(
            doc="Rules of alerts, separated by `;`, for example `EURUSD spread>20<12; * silence>30s; "
            "XAUUSD move>0.5%/60s; * gap>150`; see docs/how-to/market-alerts.md.",
            reloadable=True,
            remote=True,
            env="ALERT_THRESHOLDS",
        ),
    ] = "* silence>2m"

    def problems(self) -> Iterable[str]:
        """What is wrong with the section as a whole."""
        if len(self.pairs) > PAIRS_MAX:
            yield f"market_monitor.pairs: {len(self.pairs)} symbols, at most {PAIRS_MAX} are watched"
        if too_long := [each for each in self.pairs if len(each.encode()) > SYMBOL_BYTES_MAX]:
            yield f"market_monitor.pairs: {too_long[0][:80]!r} is no symbol"
        if problem := problem_of(self.thresholds):
            yield f"market_monitor.thresholds: {problem}"


@dataclass(frozen=True, kw_only=True)
class DataCollectorSettings:
    """Which sources the data collector of a client reads, and how often."""

    SECTION: ClassVar[str] = "data_collector"

    sources: Annotated[
        tuple[str, ...],
        Setting(
            doc="Sources that are read: `mt5` (the connector's ticks, always), `news`, "
            "`economic_calendar`. Where the last two are is `[data_sources]`.",
            choices=SOURCES,
            reloadable=True,
            remote=True,
            env="DATA_SOURCES",
        ),
    ] = SOURCES
    interval_s: Annotated[
        int,
        Setting(
            doc="Pause between two looks at a file, or two requests to an address.",
            unit="s",
            minimum=1,
            maximum=86_400,
            reloadable=True,
            remote=True,
        ),
    ] = 60


PART_SECTIONS: Final = (MarketMonitorSettings, DataCollectorSettings)
"""Of parts with nothing of their own beside them."""
REMOTE_SECTIONS: Final = (CollectedSymbols, *PART_SECTIONS)


def check_remote(values: dict[str, object]) -> None:
    """Raise `CONFIG_INVALID` with every problem of what a bundle would set."""
    ConfigManager.load(REMOTE_SECTIONS).apply_bundle(values, "settings of devices")


def remote_settings() -> tuple[str, ...]:
    """The names a bundle may set."""
    return tuple(sorted(ConfigManager.load(REMOTE_SECTIONS).explain_all()))
