"""Which probes this service has: those of the stores it was given."""

from contextlib import nullcontext

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.server.database_service.cache.composition import in_process
from aitrading.server.database_service.chain_graph.arangodb import ArangoChainGraph
from aitrading.server.database_service.chain_graph.mirrored import MirroredChainGraph
from aitrading.server.database_service.chain_graph.port import ChainGraph
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine
from aitrading.server.database_service.examination.derived import GraphProbe, VectorsProbe
from aitrading.server.database_service.examination.examiner import Examiner
from aitrading.server.database_service.examination.probes import (
    CacheProbe,
    ClickHouseProbe,
    InProcessCacheProbe,
    PostgresProbe,
)
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.settings import CacheSettings
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.kit.valkey import ValkeyClient


class Examined:
    """The ports of the running service."""

    def __init__(
        self,
        pool: PostgresPool,
        clickhouse: ClickHouseEngine,
        cache: ValkeyClient,
        index: ErrorIndex,
        graph: ChainGraph,
    ) -> None:
        self.pool = pool
        self.clickhouse = clickhouse
        self.cache = cache
        self.index = index
        self.graph = graph


def make_examiner(
    bundle: ServiceBundle,
    stores: Examined,
    settings: CacheSettings,
    choice: StoreSettings,
    clock: Clock,
    ids: IdFactory,
) -> Examiner:
    """Over the same ports as everything else here, but past the breakers in front of them."""
    assert bundle.valkey is not None  # noqa: S101 - the supervisor always writes it
    backend = InProcessCache(clock) if in_process(settings, choice) else None
    cache = (
        InProcessCacheProbe(bundle.valkey, backend, clock, ids)
        if backend
        else CacheProbe(bundle.valkey, ServedCache(stores.cache, nullcontext), clock, ids)
    )
    clickhouse = ClickHouseProbe(stores.clickhouse, bundle.clickhouse and bundle.clickhouse.url)
    return Examiner(
        (
            PostgresProbe(stores.pool, bundle.postgres["database"], ids),
            *(() if choice.postgres_alone else (clickhouse,)),
            cache,
            VectorsProbe(stores.index, stores.pool),
            GraphProbe(stores.graph, _server_of(stores.graph)),
        ),
        clock,
    )


def _server_of(graph: ChainGraph) -> ArangoChainGraph | None:
    if isinstance(graph, MirroredChainGraph) and isinstance(graph.walker, ArangoChainGraph):
        return graph.walker
    return None
