"""The only way to PostgreSQL: a pool that hands out transactions, never connections.

Each transaction starts with `SET LOCAL app.tenant`, so a tenant cannot leak to the next user of
a connection and the pool needs no reset query in between.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import Component, ComponentState
from aitrading.core.infrastructure.metrics import Reading
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.db_security_manager import RoleFacts, require_weak_role
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.connection_pool import ConnectionPool, Occupation
from aitrading.server.kit.database_errors import (
    DATABASE_CLOSED,
    DATABASE_CLUSTER_FOREIGN,
    DATABASE_COMMIT_UNKNOWN,
    DATABASE_CONNECTION_LOST,
    DATABASE_NO_PRIMARY,
    DATABASE_POOL_EXHAUSTED,
    DATABASE_PRIMARY_OUTDATED,
    DATABASE_SERVER_UNTRUSTED,
)
from aitrading.server.kit.pool_reports import (
    PRIMARY,
    PRIMARY_SWITCHES,
    TRANSACTIONS,
    PoolReports,
    readings_of,
)
from aitrading.server.kit.postgres_cluster import PostgresCluster
from aitrading.server.kit.postgres_mapping import mapped_errors
from aitrading.server.kit.postgres_replicas import (
    BEGIN_TIMEOUT_S,
    DEFAULT_STALENESS_S,
    ReplicaReads,
)
from aitrading.server.kit.postgres_tls import ssl_of
from aitrading.server.kit.tenancy import NO_TENANT, tenant_setting
from aitrading.server.kit.transaction_run import READ_ONLY, Ended, TransactionRun
from aitrading.server.kit.transactions import (
    PlatformTransaction,
    TenantTransaction,
    Transaction,
)

T = TypeVar("T", bound=Transaction)
NETWORK_MARGIN_S = 5.0
"""How much longer than the server's own limit an answer may take before the server is given up."""
_UNREACHABLE = frozenset(
    {
        DATABASE_CONNECTION_LOST,
        DATABASE_COMMIT_UNKNOWN,
        DATABASE_NO_PRIMARY,
        DATABASE_PRIMARY_OUTDATED,
        DATABASE_CLUSTER_FOREIGN,
        DATABASE_SERVER_UNTRUSTED,
    }
)
_SERIALIZABLE: Final = " ISOLATION LEVEL SERIALIZABLE"
_POSITION = "SELECT pg_current_wal_lsn()::text"
_ROLE_FACTS = """
SELECT rolname, rolsuper, rolbypassrls, rolcreaterole,
       EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relowner = r.oid) AS owns
  FROM pg_catalog.pg_roles r
 WHERE rolname = current_user
"""


@dataclass(frozen=True, kw_only=True)
class PoolLimits:
    """How much of the database one service may use."""

    min_connections: int = 1
    max_connections: int = 8
    acquire_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0
    statement_timeout_ms: int = 30_000
    lock_timeout_ms: int = 5_000
    idle_in_transaction_timeout_ms: int = 30_000


@dataclass(frozen=True, kw_only=True)
class PoolStatistics:
    """Occupation now, and counts since the start of the process."""

    size: int
    idle: int
    waiting: int
    limit: int
    committed: int
    rolled_back: int
    refused: int
    primary_switches: int
    read_from_replicas: int


class PostgresPool(Component):
    """Connections of one role to one database.

    `start` raises `DATABASE_PLAINTEXT_REFUSED` for a network connection without TLS and
    `DATABASE_ROLE_TOO_STRONG` for a role above row security. A lost server is found again by
    the next transaction, and so is the new primary after a promotion.
    """

    def __init__(
        self,
        access: PostgresAccess,
        *,
        application: str,
        limits: PoolLimits | None = None,
        name: str = "postgres",
        depends_on: tuple[str, ...] = (),
        reports: PoolReports | None = None,
    ) -> None:
        self._name = name
        self._access = access
        self._application = application
        self._limits = limits or PoolLimits()
        self._reports = reports or PoolReports.unheard()
        self._pool: ConnectionPool | None = None
        self._cluster = PostgresCluster(access)
        self._reads = ReplicaReads(self._cluster, self._position, access.user, self._reports)
        self._state = ComponentState.NEW
        self._reachable = True
        self._committed = self._rolled_back = self._refused = 0
        self.depends_on = depends_on

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def state(self) -> ComponentState:
        """DEGRADED since the server was found unreachable, until a transaction succeeds."""
        if self._state is ComponentState.HEALTHY and not self._reachable:
            return ComponentState.DEGRADED
        return self._state

    @override
    async def start(self) -> None:
        self._state = ComponentState.STARTING
        try:
            driver = self._driver()
            self._pool = self._primary_pool(driver)
            await self._pool.open()
            if self._cluster.has_replicas:
                self._reads.open(
                    {**driver, "timeout": BEGIN_TIMEOUT_S},
                    self._limits.max_connections,
                    self._limits.acquire_timeout_s,
                )
            await self._check_role()
        except BaseException:
            self._state = ComponentState.FAILED
            await self._close()
            raise
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPING
        await self._close()
        self._state = ComponentState.STOPPED

    def tenant_tx(
        self, tenant: TenantId, *, serializable: bool = False
    ) -> AbstractAsyncContextManager[TenantTransaction]:
        """One transaction that sees this tenant's rows; commits at the end of the block."""
        return self._transaction(
            lambda connection: TenantTransaction(connection, tenant),
            tenant_setting(tenant),
            _level(serializable),
        )

    @asynccontextmanager
    async def read_tx(
        self, tenant: TenantId, *, max_staleness_s: float = DEFAULT_STALENESS_S
    ) -> AsyncGenerator[TenantTransaction]:
        """One transaction that only reads, and may read what is up to `max_staleness_s` old.

        A replica answers where one proves that it is fresh enough, else the primary does. Not
        for a decision that is written afterwards, nor to read what was written just before.
        """
        setting = tenant_setting(tenant)
        async with self._reads.begun(setting, max_staleness_s) as connection:
            if connection is not None:
                tx = TenantTransaction(connection, tenant)
                try:
                    yield tx
                finally:
                    tx.close()
                return
        async with self.tenant_read(tenant) as tx:
            yield tx

    def platform_tx(
        self, *, serializable: bool = False
    ) -> AbstractAsyncContextManager[PlatformTransaction]:
        """One transaction without a tenant: tables without tenants, or `tx.within(tenant)`."""
        return self._transaction(PlatformTransaction, NO_TENANT, _level(serializable))

    def tenant_read(self, tenant: TenantId) -> AbstractAsyncContextManager[TenantTransaction]:
        """As `tenant_tx` on the primary, and PostgreSQL itself refuses every change.

        Who opens a transaction that may change something needs a decision about its lost commit
        (`docs/explanation/stores.md`); whoever reads needs none.
        """
        return self._transaction(
            lambda connection: TenantTransaction(connection, tenant),
            tenant_setting(tenant),
            READ_ONLY,
        )

    def platform_read(self) -> AbstractAsyncContextManager[PlatformTransaction]:
        """As `platform_tx`, and PostgreSQL itself refuses every change."""
        return self._transaction(PlatformTransaction, NO_TENANT, READ_ONLY)

    def statistics(self) -> PoolStatistics:
        """Numbers for health and metrics."""
        occupation = self._occupation()
        return PoolStatistics(
            size=occupation.size,
            idle=occupation.idle,
            waiting=occupation.waiting,
            limit=self._limits.max_connections,
            committed=self._committed,
            rolled_back=self._rolled_back,
            refused=self._refused,
            primary_switches=self._cluster.switches,
            read_from_replicas=self._reads.served,
        )

    def _transaction(
        self, make: Callable[[Any], T], setting: str, mode: str
    ) -> AbstractAsyncContextManager[T]:
        return TransactionRun(self._acquire, self._count, make, setting, mode)

    def _count(self, ended: Ended, failure: BaseException | None) -> None:
        """Note how a transaction ended."""
        self._committed += ended is Ended.COMMITTED
        self._rolled_back += ended is Ended.ROLLED_BACK
        if failure is None:
            self._reachable = True
        elif isinstance(failure, AitradingError):
            self._reachable = self._reachable and failure.spec not in _UNREACHABLE
            self._refused += failure.spec is DATABASE_POOL_EXHAUSTED

    async def _acquire(self) -> tuple[Any, ConnectionPool]:
        """A connection and where it is given back, even when the pool is stopped meanwhile."""
        pool = self._pool
        if pool is None:
            raise DATABASE_CLOSED.error(what=f"the pool {self._name}")
        self._cluster.glance()
        return await pool.acquire(self._limits.acquire_timeout_s), pool

    def _primary_pool(self, driver: dict[str, Any]) -> ConnectionPool:
        pool = ConnectionPool(
            partial(self._cluster.connect_primary, **driver),
            least=self._limits.min_connections,
            limit=self._limits.max_connections,
            observe=self._reports.observer(self._access.user, PRIMARY),
        )
        self._cluster.on_switch.append(pool.expire)
        self._reports.metrics.add_source(self._readings)
        return pool

    def _occupation(self) -> Occupation:
        if self._pool is None:
            return Occupation(size=0, idle=0, waiting=0, timeouts=0)
        return self._pool.occupation()

    def _readings(self) -> Iterator[Reading]:
        role = self._access.user
        yield from readings_of(self._occupation(), self._limits.max_connections, role, PRIMARY)
        yield Reading(TRANSACTIONS, self._committed, (role, "committed"))
        yield Reading(TRANSACTIONS, self._rolled_back, (role, "rolled_back"))
        yield Reading(PRIMARY_SWITCHES, self._cluster.switches, (role,))
        yield from self._reads.readings()

    def _driver(self) -> dict[str, Any]:
        access, limits = self._access, self._limits
        return {
            "database": access.database,
            "user": access.user,
            "password": access.password,
            "ssl": ssl_of(access),
            "timeout": limits.connect_timeout_s,
            "command_timeout": limits.statement_timeout_ms / 1_000 + NETWORK_MARGIN_S,
            "server_settings": {
                "application_name": self._application,
                "search_path": "pg_catalog",
                "statement_timeout": str(limits.statement_timeout_ms),
                "lock_timeout": str(limits.lock_timeout_ms),
                "idle_in_transaction_session_timeout": str(limits.idle_in_transaction_timeout_ms),
            },
        }

    async def _position(self) -> str:
        """How far the primary has written."""
        connection, pool = await self._acquire()
        clean = False
        try:
            with mapped_errors():
                position = str(await connection.fetchval(_POSITION))
            clean = True
        finally:
            pool.release(connection, clean=clean)
        return position

    async def _check_role(self) -> None:
        async with self.platform_read() as tx:
            row = await tx.fetch_row(_ROLE_FACTS)
        if row is not None:
            name, superuser, bypasses, creates_roles, owns = row
            require_weak_role(
                RoleFacts(
                    name=name,
                    superuser=superuser,
                    bypasses_row_security=bypasses,
                    creates_roles=creates_roles,
                    owns_tables=owns,
                )
            )

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(self._limits.acquire_timeout_s)
        await self._reads.close(self._limits.acquire_timeout_s)


def _level(serializable: bool) -> str:
    return _SERIALIZABLE if serializable else ""
