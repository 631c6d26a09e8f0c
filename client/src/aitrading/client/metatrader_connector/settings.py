"""Settings of the connector."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.client.metatrader_connector.journal_records import BATCH_TICKS_MAX
from aitrading.core.infrastructure.config_manager import Setting
from aitrading.core.infrastructure.device_settings import CollectedSymbols


@dataclass(frozen=True, kw_only=True)
class ConnectorSettings(CollectedSymbols):
    """What is taken from the terminal, and how often."""

    poll_interval_ms: Annotated[
        int,
        Setting(
            doc="From one question to the terminal to the next while ticks come; the terminal "
            "rests at least half as long as the last one took.",
            unit="ms",
            minimum=1,
            maximum=10_000,
        ),
    ] = 5
    poll_quiet_ms: Annotated[
        int,
        Setting(
            doc="The longest such time, reached when several questions in a row found nothing new: how "
            "late a tick of a quiet market may be noticed.",
            unit="ms",
            minimum=1,
            maximum=10_000,
        ),
    ] = 40
    poll_ticks: Annotated[
        int,
        Setting(
            doc="Most new ticks taken of one symbol per question.",
            unit="ticks",
            minimum=100,
            maximum=1_000_000,
        ),
    ] = 20_000
    backfill_s: Annotated[
        int,
        Setting(
            doc="How far back the first question about a new symbol reaches; 0 begins with "
            "its newest tick.",
            unit="s",
            minimum=0,
            maximum=30 * 86_400,
        ),
    ] = 0
    broker_offset_s: Annotated[
        int | None,
        Setting(
            doc="Broker time minus UTC; without it the offset is inferred from fresh ticks.",
            unit="s",
            minimum=-43_200,
            maximum=50_400,
        ),
    ] = None
    probe_port: Annotated[
        int,
        Setting(
            doc="Loopback port of the connector's health and metrics; 0 takes a free one.",
            minimum=0,
            maximum=65_535,
        ),
    ] = 9_001


@dataclass(frozen=True, kw_only=True)
class ClientSpoolSettings:
    """The ticks kept on disk until the server has them."""

    SECTION: ClassVar[str] = "client_spool"

    limit_mb: Annotated[
        int,
        Setting(
            doc="Largest size on disk; when it is reached, the terminal's own history keeps "
            "the ticks.",
            unit="MB",
            minimum=1,
            maximum=1_000_000,
        ),
    ] = 512
    segment_mb: Annotated[
        int, Setting(doc="Size at which a spool file is closed.", unit="MB", minimum=1, maximum=64)
    ] = 8
    batch_ticks: Annotated[
        int,
        Setting(
            doc="Most ticks of one symbol that are stored and sent together; fewer are taken "
            "together when fewer have come.",
            unit="ticks",
            minimum=1,
            maximum=BATCH_TICKS_MAX,
        ),
    ] = BATCH_TICKS_MAX
