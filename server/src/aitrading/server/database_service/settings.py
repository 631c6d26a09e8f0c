"""Settings of the database service."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class ClickHouseSettings:
    """The embedded analytical engine."""

    SECTION: ClassVar[str] = "clickhouse"

    memory_mb: Annotated[
        int,
        Setting(
            doc="Most memory the embedded engine may use; a question that needs more fails.",
            unit="MB",
            minimum=256,
            maximum=1_000_000,
        ),
    ] = 1_024
    mark_cache_mb: Annotated[
        int,
        Setting(
            doc="Memory for the marks that find data on disk.",
            unit="MB",
            minimum=1,
            maximum=100_000,
        ),
    ] = 64
    readers: Annotated[
        int, Setting(doc="Questions answered at the same time.", minimum=1, maximum=64)
    ] = 2
    threads_per_query: Annotated[
        int, Setting(doc="Processor threads one question may use.", minimum=1, maximum=64)
    ] = 2
    read_timeout_s: Annotated[
        int,
        Setting(doc="After this a question is given up.", unit="s", minimum=1, maximum=60),
    ] = 30


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """Connections to PostgreSQL."""

    SECTION: ClassVar[str] = "postgres"

    max_connections: Annotated[
        int, Setting(doc="Connections of this service.", minimum=2, maximum=100)
    ] = 8
    acquire_timeout_s: Annotated[
        float,
        Setting(
            doc="How long a request waits for a free connection.",
            unit="s",
            minimum=0.1,
            maximum=60,
        ),
    ] = 5.0
    statement_timeout_ms: Annotated[
        int,
        Setting(
            doc="After this PostgreSQL cancels a statement.",
            unit="ms",
            minimum=100,
            maximum=600_000,
        ),
    ] = 30_000


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """What keeps a sick store or too much work from spreading."""

    SECTION: ClassVar[str] = "guards"

    failures: Annotated[
        int,
        Setting(doc="Failures in a row that open a store's breaker.", minimum=1, maximum=1_000),
    ] = 3
    open_s: Annotated[
        float,
        Setting(
            doc="How long an open breaker holds calls back before it probes.",
            unit="s",
            minimum=0.1,
            maximum=3_600,
        ),
    ] = 5.0
    reads: Annotated[
        int, Setting(doc="Questions about ticks that run at once.", minimum=1, maximum=64)
    ] = 2
    read_queue: Annotated[
        int, Setting(doc="Questions that may wait for their turn.", minimum=0, maximum=10_000)
    ] = 16
    write_queue: Annotated[
        int, Setting(doc="Segments that may wait to be stored.", minimum=0, maximum=1_000)
    ] = 8


@dataclass(frozen=True, kw_only=True)
class QuarantineSettings:
    """Where segments go that can never be stored."""

    SECTION: ClassVar[str] = "quarantine"

    limit_mb: Annotated[
        int,
        Setting(
            doc="Largest size of the quarantine folder; beyond it only the sender keeps a copy.",
            unit="MB",
            minimum=0,
            maximum=1_000_000,
        ),
    ] = 1_024


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """The cache of this service."""

    SECTION: ClassVar[str] = "cache"

    in_process: Annotated[
        bool,
        Setting(doc="Keep the cache inside the service; for one instance, ends with it."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """What one organisation may read."""

    SECTION: ClassVar[str] = "reads"

    pages_per_minute: Annotated[
        int,
        Setting(
            doc="Pages of ticks that all people of one organisation may read in a minute.",
            minimum=1,
            maximum=10_000_000,
            tenant=True,
        ),
    ] = 6_000


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """What is taken beside the ticks of terminals."""

    SECTION: ClassVar[str] = "sources"

    multi_source_enabled: Annotated[
        bool,
        Setting(
            doc="Whether news and economic calendars of the clients' data collectors are taken; "
            "without, they count as given up and the clients say so. Alerts are always taken.",
            env="MULTI_SOURCE_ENABLED",
        ),
    ] = True
