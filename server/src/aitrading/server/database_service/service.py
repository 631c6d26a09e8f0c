"""The composition root: what the database service is made of."""

from collections.abc import AsyncIterator
from typing import Final

from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.database_service.audit.endpoints import AuditEndpoints
from aitrading.server.database_service.audit.service_changes import ServiceChangeEndpoints
from aitrading.server.database_service.audit.trail import AuditGauge, AuditReader
from aitrading.server.database_service.backups.book import BackupBook
from aitrading.server.database_service.backups.endpoints import BackupEndpoints
from aitrading.server.database_service.backups.watch import BackupWatch
from aitrading.server.database_service.bars.endpoints import BarEndpoints
from aitrading.server.database_service.bars.keeper import BarKeeper
from aitrading.server.database_service.bars.reader import BarReader
from aitrading.server.database_service.bars.settings import BarSettings
from aitrading.server.database_service.cache.busiest import Busiest
from aitrading.server.database_service.cache.composition import in_process, make_cache
from aitrading.server.database_service.cache.quotes import QuoteCache
from aitrading.server.database_service.cache.read_budget import ReadBudget
from aitrading.server.database_service.calendar_endpoints import CalendarEndpoints
from aitrading.server.database_service.chain_graph.arangodb import ArangoChainGraph
from aitrading.server.database_service.chain_graph.endpoints import ChainEndpoints
from aitrading.server.database_service.chain_graph.keeper import ChainKeeper
from aitrading.server.database_service.chain_graph.mirrored import MirroredChainGraph
from aitrading.server.database_service.chain_graph.port import ChainGraph
from aitrading.server.database_service.chain_graph.postgres import PostgresChainGraph
from aitrading.server.database_service.clickhouse.absent import AbsentClickHouse, AbsentSchema
from aitrading.server.database_service.clickhouse.embedded import (
    EmbeddedClickHouse,
    EngineLimits,
)
from aitrading.server.database_service.clickhouse.endpoints import ClickHouseEndpoints
from aitrading.server.database_service.clickhouse.port import ClickHouse, ClickHouseEngine
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import (
    ServedClickHouse,
    ServerLimits,
)
from aitrading.server.database_service.device_notes.book import NoteBook
from aitrading.server.database_service.device_notes.endpoints import DeviceNoteEndpoints
from aitrading.server.database_service.endpoints import SegmentEndpoints, TickEndpoints
from aitrading.server.database_service.examination.composition import Examined, make_examiner
from aitrading.server.database_service.examination.endpoints import ExaminationEndpoints
from aitrading.server.database_service.feed_truth.book import GapBook
from aitrading.server.database_service.feed_truth.certificates import Certificates
from aitrading.server.database_service.feed_truth.endpoints import (
    CertificateEndpoints,
    FeedTruthEndpoints,
)
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.catalogue import ErrorCatalogue
from aitrading.server.database_service.known_errors.endpoints import ErrorEndpoints
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.index_weaviate import WeaviateErrorIndex
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.database_service.known_errors.recorder import ErrorRecorder
from aitrading.server.database_service.log_policy.book import PolicyBook
from aitrading.server.database_service.log_policy.endpoints import (
    HostLogEndpoints,
    LogPolicyEndpoints,
)
from aitrading.server.database_service.log_policy.lifecycle import LogLifecycle
from aitrading.server.database_service.metrics_history.endpoints import (
    HistoryEndpoints,
    HostHistoryEndpoints,
)
from aitrading.server.database_service.metrics_history.keeper import HistoryKeeper
from aitrading.server.database_service.metrics_history.place import (
    make_catalogue,
    make_history_place,
)
from aitrading.server.database_service.metrics_history.reader import HistoryReader
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.metrics_history.sources import Sources
from aitrading.server.database_service.operators import Operators
from aitrading.server.database_service.organisations import Organisations
from aitrading.server.database_service.postgres_schema import (
    PostgresSchema,
    migrations,
    runner_of,
)
from aitrading.server.database_service.records.book import RecordBook
from aitrading.server.database_service.records.endpoints import StoreEndpoints
from aitrading.server.database_service.settings import (
    CacheSettings,
    ClickHouseSettings,
    GuardSettings,
    PoolSettings,
    QuarantineSettings,
    ReadSettings,
    SourceSettings,
)
from aitrading.server.database_service.subscriptions.endpoints import SubscriptionEndpoints
from aitrading.server.database_service.tenant_settings.book import SettingsBook
from aitrading.server.database_service.tenant_settings.endpoints import TenantSettingsEndpoints
from aitrading.server.database_service.ticks.intake import SegmentIntake
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.database_service.ticks.reader import TickReader
from aitrading.server.database_service.ticks.streams import StreamBook
from aitrading.server.database_service.ticks.tidier import Tidier
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.database_service.time_series import (
    TimeSeriesPlace,
    make_bar_store,
    make_tick_store,
)
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.collector import TraceCollector
from aitrading.server.database_service.traces.endpoints import TraceEndpoints
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.database_service.usage.book import UsageBook
from aitrading.server.database_service.usage.endpoints import UsageEndpoints
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.bundle import ClickHouseAccess, ServiceBundle
from aitrading.server.kit.calendar_settings import CalendarSettings
from aitrading.server.kit.evidence_key import evidence_key_of
from aitrading.server.kit.idempotency import IdempotentWrites
from aitrading.server.kit.log_tail import EDGE_LOG, LogTail
from aitrading.server.kit.login_settings import LoginSettings
from aitrading.server.kit.pool_reports import PoolReports
from aitrading.server.kit.postgres import PoolLimits, PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.service_spec import ServiceSpec
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.tenant_settings import TenantSettings
from aitrading.server.kit.user_subscriptions import UserSubscriptions
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.personal_data.file_keys import file_keys_of
from aitrading.server.personal_data.service import field_keys_of

NAME: Final = "database-service"
WRITER_MAY_WAIT_MS: Final = 120_000
"""A transaction stays open while ClickHouse writes; it may take as long as a request, twice."""
QUARANTINE_FOLDER: Final = "quarantine"

_READ_BY_PEOPLE: Final = (
    Organisations,
    RecordBook,
    StoreEndpoints,
    AuditReader,
    AuditGauge,
    AuditEndpoints,
    ServiceChangeEndpoints,
    TenantSettings,
    SettingsBook,
    TenantSettingsEndpoints,
    CalendarEndpoints,
    evidence_key_of,
    GapBook,
    Certificates,
    FeedTruthEndpoints,
    CertificateEndpoints,
    NoteBook,
    DeviceNoteEndpoints,
    TraceBook,
    TraceEndpoints,
    UsageBook,
    UsageEndpoints,
)


def _providers(manager: ImportManager) -> None:
    for source in (
        _pool,
        runner_of,
        field_keys_of,
        file_keys_of,
        _clickhouse,
        _port,
        _schema,
        _valkey,
        _quarantine,
        _edge_log,
        _index,
        _graph,
        make_cache,
        make_examiner,
        make_tick_store,
        make_bar_store,
        make_history_place,
        make_catalogue,
        PoolReports,
        PostgresSchema,
        Replay,
        Guards,
        TimeSeriesPlace,
        TickWriter,
        TickReader,
        StreamBook,
        SegmentIntake,
        Busiest,
        ReadBudget,
        QuoteCache,
        Tidier,
        SegmentEndpoints,
        TickEndpoints,
        AuditTrail,
        IdempotentWrites,
        UserSubscriptions,
        SubscriptionEndpoints,
        BackupBook,
        BackupWatch,
        BackupEndpoints,
        Operators,
        PolicyBook,
        LogLifecycle,
        LogPolicyEndpoints,
        HostLogEndpoints,
        ErrorLookup,
        ErrorCatalogue,
        ErrorEndpoints,
        ChainKeeper,
        ChainEndpoints,
        Examined,
        ExaminationEndpoints,
        BarReader,
        BarKeeper,
        BarEndpoints,
        Sources,
        HistoryKeeper,
        HistoryReader,
        HistoryEndpoints,
        HostHistoryEndpoints,
        ClickHouseEndpoints,
        *_READ_BY_PEOPLE,
    ):
        manager.provide(source)


async def _graph(
    bundle: ServiceBundle, pool: PostgresPool, audit: AuditTrail
) -> AsyncIterator[ChainGraph]:
    here = PostgresChainGraph(pool, audit)
    if bundle.graph is None:
        yield here
        return
    server = ArangoChainGraph(accept_url(Store.GRAPH, bundle.graph.url))
    try:
        yield MirroredChainGraph(here, server)
    finally:
        server.close()


async def _index(
    bundle: ServiceBundle, pool: PostgresPool, ids: IdFactory
) -> AsyncIterator[ErrorIndex]:
    index: ErrorIndex = PostgresErrorIndex(pool)
    if bundle.vectors is not None:
        index = WeaviateErrorIndex(accept_url(Store.VECTORS, bundle.vectors.url), ids)
    try:
        yield index
    finally:
        index.close()


def _pool(bundle: ServiceBundle, settings: PoolSettings, reports: PoolReports) -> PostgresPool:
    return PostgresPool(
        bundle.postgres["database"],
        application=NAME,
        limits=PoolLimits(
            max_connections=settings.max_connections,
            acquire_timeout_s=settings.acquire_timeout_s,
            statement_timeout_ms=settings.statement_timeout_ms,
            idle_in_transaction_timeout_ms=WRITER_MAY_WAIT_MS,
        ),
        reports=reports,
    )


def _clickhouse(
    bundle: ServiceBundle, settings: ClickHouseSettings, stores: StoreSettings
) -> ClickHouseEngine:
    """A server's URL wins over the embedded engine, and is never mixed with it."""
    if stores.postgres_alone:
        return AbsentClickHouse()
    access = bundle.clickhouse or ClickHouseAccess(path=bundle.home / "clickhouse")
    if access.url is not None:
        target = accept_url(Store.CLICKHOUSE, access.url)
        limits = ServerLimits(readers=settings.readers, read_timeout_s=settings.read_timeout_s)
        return ServedClickHouse(target, limits=limits)
    return EmbeddedClickHouse(
        access.path or bundle.home / "clickhouse",
        limits=EngineLimits(
            memory_mb=settings.memory_mb,
            mark_cache_mb=settings.mark_cache_mb,
            readers=settings.readers,
            read_timeout_s=settings.read_timeout_s,
            threads_per_query=settings.threads_per_query,
        ),
    )


def _port(engine: ClickHouseEngine) -> ClickHouse:
    return engine


def _schema(engine: ClickHouseEngine, stores: StoreSettings) -> ClickHouseSchema:
    kind = AbsentSchema if stores.postgres_alone else ClickHouseSchema
    return kind(
        engine,
        migrations("clickhouse"),
        depends_on=(engine.name, TimeSeriesPlace.name),
        when_applied=engine.release_start_up_memory,
    )


def _valkey(bundle: ServiceBundle, settings: CacheSettings, stores: StoreSettings) -> ValkeyClient:
    assert bundle.valkey is not None  # noqa: S101 - the supervisor always writes it
    return ValkeyClient(bundle.valkey, used=not in_process(settings, stores))


def _edge_log(bundle: ServiceBundle) -> LogTail:
    return LogTail(bundle.home / EDGE_LOG)


def _quarantine(
    bundle: ServiceBundle, keys: FileKeys, settings: QuarantineSettings, clock: Clock
) -> Quarantine:
    return Quarantine(
        bundle.home / QUARANTINE_FOLDER, keys, limit_bytes=settings.limit_mb << 20, clock=clock
    )


SPEC: Final = ServiceSpec(
    name=NAME,
    depends_on=("postgres", "valkey", "nats"),
    sections=(
        ClickHouseSettings,
        PoolSettings,
        GuardSettings,
        QuarantineSettings,
        CacheSettings,
        ReadSettings,
        SourceSettings,
        BarSettings,
        HistorySettings,
        TraceSettings,
        CalendarSettings,
        LoginSettings,
    ),
    providers=_providers,
    components=(
        PostgresPool,
        PostgresSchema,
        TimeSeriesPlace,
        ClickHouseEngine,
        ClickHouseSchema,
        ValkeyClient,
        QuoteCache,
        Tidier,
        BarKeeper,
        HistoryKeeper,
        LogLifecycle,
        ChainKeeper,
        BackupWatch,
    ),
    bus_components=(ErrorRecorder, TraceCollector),
    endpoints=(
        SegmentEndpoints,
        TickEndpoints,
        BarEndpoints,
        HistoryEndpoints,
        HostHistoryEndpoints,
        ClickHouseEndpoints,
        SubscriptionEndpoints,
        BackupEndpoints,
        LogPolicyEndpoints,
        HostLogEndpoints,
        ErrorEndpoints,
        ChainEndpoints,
        ExaminationEndpoints,
        StoreEndpoints,
        AuditEndpoints,
        ServiceChangeEndpoints,
        TenantSettingsEndpoints,
        CalendarEndpoints,
        FeedTruthEndpoints,
        CertificateEndpoints,
        DeviceNoteEndpoints,
        TraceEndpoints,
        UsageEndpoints,
    ),
    merges_chains=True,
)
