"""Settings of the data bridge."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

from aitrading.core.domain.tick_doubts import DoubtRules
from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class BridgeSettings:
    """Links from devices and the spool behind them."""

    SECTION: ClassVar[str] = "bridge"

    spool_limit_mb: Annotated[
        int,
        Setting(
            doc="Largest size of the spool; when it is reached nothing is acknowledged.",
            unit="MB",
            minimum=1,
            maximum=10_000_000,
        ),
    ] = 4_096
    segment_mb: Annotated[
        int,
        Setting(
            doc="Size at which a segment is handed to the database service.",
            unit="MB",
            minimum=1,
            maximum=32,
        ),
    ] = 8
    segment_age_ms: Annotated[
        int,
        Setting(
            doc="Age at which a segment is handed over even if it is not full.",
            unit="ms",
            minimum=10,
            maximum=60_000,
        ),
    ] = 200
    small_segment_kb: Annotated[
        int,
        Setting(
            doc="A segment below this size waits longer: storing many small ones costs the most.",
            unit="KB",
            minimum=0,
            maximum=32_768,
        ),
    ] = 64
    small_segment_age_ms: Annotated[
        int,
        Setting(
            doc="Age at which a small segment is handed over.",
            unit="ms",
            minimum=10,
            maximum=60_000,
        ),
    ] = 1_000
    window_ticks: Annotated[
        int,
        Setting(
            doc="Ticks a device may have sent and not yet acknowledged.",
            unit="ticks",
            minimum=4_096,
            maximum=10_000_000,
        ),
    ] = 131_072
    ping_interval_s: Annotated[
        int, Setting(doc="Heartbeat of the link.", unit="s", minimum=1, maximum=600)
    ] = 15
    mt5_websocket_enabled: Annotated[
        bool,
        Setting(
            doc="Whether devices may connect at all; without, terminals deliver nothing and "
            "their clients keep the ticks.",
            env="MT5_WEBSOCKET_ENABLED",
        ),
    ] = True
    links_max: Annotated[
        int, Setting(doc="Devices that may be connected.", minimum=1, maximum=100_000)
    ] = 2_000
    device_recheck_s: Annotated[
        float,
        Setting(
            doc="How often a connected device's right to be here is checked again; after a minute "
            "without an answer its ticks are not taken.",
            unit="s",
            minimum=1,
            maximum=50,
        ),
    ] = 30.0
    shared_quiet_s: Annotated[
        float,
        Setting(
            doc="Of two clients with one device's key, the one that was replaced is taken again when "
            "the other was away for so long.",
            unit="s",
            minimum=1,
            maximum=86_400,
        ),
    ] = 300.0
    faults_limit: Annotated[
        int,
        Setting(
            doc="Malformed frames in a row after which a device is kept out.",
            minimum=1,
            maximum=100,
        ),
    ] = 3
    isolate_s: Annotated[
        float,
        Setting(doc="How long such a device is kept out.", unit="s", minimum=1, maximum=86_400),
    ] = 60.0
    event_interval_ms: Annotated[
        int,
        Setting(
            doc="Shortest time between two MarketDataReceived events of a stream.",
            unit="ms",
            minimum=100,
            maximum=60_000,
        ),
    ] = 1_000


@dataclass(frozen=True, kw_only=True)
class FeedSettings:
    """When a feed counts as late; see the feed states in the glossary."""

    SECTION: ClassVar[str] = "feed"

    delayed_after_s: Annotated[
        float,
        Setting(
            doc="Age of the newest tick from which a feed is DELAYED.",
            unit="s",
            minimum=0.1,
            maximum=3_600,
            reloadable=True,
        ),
    ] = 10.0
    stale_after_s: Annotated[
        float,
        Setting(
            doc="Age of the newest tick from which a feed is STALE.",
            unit="s",
            minimum=0.2,
            maximum=86_400,
            reloadable=True,
        ),
    ] = 60.0
    dead_after_s: Annotated[
        float,
        Setting(
            doc="Age of the newest tick, or of the lost link, from which a feed is DEAD.",
            unit="s",
            minimum=0.3,
            maximum=604_800,
            reloadable=True,
        ),
    ] = 900.0
    forget_after_s: Annotated[
        float,
        Setting(
            doc="How long after its last tick and its last link a feed is listed no more and frees its "
            "place; what was stored of it stays, and it comes back with its device.",
            unit="s",
            minimum=1,
            maximum=31_622_400,
            reloadable=True,
        ),
    ] = 604_800.0

    def problems(self) -> list[str]:
        """The states follow each other."""
        if self.delayed_after_s < self.stale_after_s < self.dead_after_s:
            return []
        return ["delayed_after_s, stale_after_s and dead_after_s must grow in this order"]


@dataclass(frozen=True, kw_only=True)
class DoubtSettings:
    """Which ticks are not believed: stored, and left out of quotes and bars."""

    SECTION: ClassVar[str] = "doubt"

    jump_percent: Annotated[
        float,
        Setting(
            doc="Largest change of a price from one tick to the next that is believed at once.",
            unit="%",
            minimum=0.1,
            maximum=100,
            reloadable=True,
        ),
    ] = 20.0
    confirm_ticks: Annotated[
        int,
        Setting(
            doc="Ticks in a row that agree with each other before a new level of the price, or an "
            "earlier time, is believed.",
            minimum=1,
            maximum=10_000,
            reloadable=True,
        ),
    ] = 5
    confirm_s: Annotated[
        float,
        Setting(
            doc="For how long, by their own times, these ticks must agree.",
            unit="s",
            minimum=0,
            maximum=3_600,
            reloadable=True,
        ),
    ] = 5.0

    @cached_property
    def rules(self) -> DoubtRules:
        """As ticks are judged by them."""
        return DoubtRules(
            jump=self.jump_percent / 100,
            confirm_ticks=self.confirm_ticks,
            confirm_ms=round(self.confirm_s * 1_000),
        )


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """The WebSocket with live quotes."""

    SECTION: ClassVar[str] = "stream"

    subscribers_max: Annotated[
        int, Setting(doc="Open sockets over all tenants.", minimum=1, maximum=100_000)
    ] = 5_000
    conflation_ms: Annotated[
        int,
        Setting(
            doc="Pause between two rounds of quotes to the subscribers; of a symbol that "
            "moved several times in it, the newest quote is sent.",
            unit="ms",
            minimum=0,
            maximum=10_000,
            reloadable=True,
        ),
    ] = 25
    heartbeat_s: Annotated[
        int,
        Setting(
            doc="Longest silence before the subscriber is pinged.",
            unit="s",
            minimum=1,
            maximum=600,
        ),
    ] = 20
