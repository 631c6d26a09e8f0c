"""Transactions that are run again when that is safe, and never when it is not.

| what happened | is it repeated? |
|---|---|
| serialisation failure, deadlock | yes: the server undid everything |
| connection lost, or no primary, before COMMIT was sent | yes: nothing can have been committed |
| connection lost while COMMIT was under way | with a receipt, or where a repeat recognises itself; else `DATABASE_COMMIT_UNKNOWN` |
| anything else | no |

A receipt is a row that the transaction itself writes first. A repeat meets it exactly if the
earlier attempt was committed (it waits for one that is still being committed), and gives that
attempt's answer instead of acting twice. Acknowledged on a primary whose replica is promoted
before it got the change, both receipt and effect are gone, and the repeat is right again.

Which writer does what is decided one by one in `docs/explanation/stores.md`; a test compares.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar
from uuid import UUID

from aitrading.core.infrastructure.call_sites import CallSite, RecoveryStrategy
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.resilience import RetryPolicy
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.server.kit.database_errors import (
    DATABASE_CLUSTER_FOREIGN,
    DATABASE_COMMIT_UNKNOWN,
    DATABASE_CONNECTION_LOST,
    DATABASE_DEADLOCK,
    DATABASE_DONE_BEFORE,
    DATABASE_NO_PRIMARY,
    DATABASE_PRIMARY_OUTDATED,
    DATABASE_SERIALISATION_FAILURE,
    DATABASE_SERVER_UNTRUSTED,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction

T = TypeVar("T")
POSTGRES_REPLAY: Final = CallSite(
    name="postgres-replay",
    strategy=RecoveryStrategy.RETRY,
    service="every service",
    fault="A transaction met a concurrent one, or its connection was lost: PostgreSQL restarts, "
    "or another server became the primary.",
    description="The whole transaction runs again within seconds. One that was lost during its "
    "commit runs again only where a receipt tells whether it is done; else the answer is "
    "DATABASE_COMMIT_UNKNOWN.",
)
UNDONE: Final = frozenset(
    {
        DATABASE_SERIALISATION_FAILURE,
        DATABASE_DEADLOCK,
        DATABASE_CONNECTION_LOST,
        DATABASE_NO_PRIMARY,
        DATABASE_PRIMARY_OUTDATED,
        DATABASE_CLUSTER_FOREIGN,
        DATABASE_SERVER_UNTRUSTED,
    }
)
"""After these the transaction has certainly not happened."""
_SQL: Final = Queries.load(__package__ or "", "replay.sql")


REPEATED: Final = RetryPolicy(
    first_s=0.05, max_s=1.0, attempts=10, retryable=lambda exc: isinstance(exc, AitradingError)
)
"""About four seconds: a restart, or a promotion that was prepared; a request can wait so long."""


class Replay:
    """Runs whole transactions of a pool, again where needed."""

    def __init__(self, pool: PostgresPool, errors: ErrorHandler, ids: IdFactory) -> None:
        errors.declare(POSTGRES_REPLAY)
        self._pool = pool
        self._errors = errors
        self._ids = ids

    @property
    def pool(self) -> PostgresPool:
        """Where it repeats, for what only reads."""
        return self._pool

    async def once(self, tenant: TenantId, work: Callable[[TenantTransaction], Awaitable[T]]) -> T:
        """Make a change exactly once: `run` with a receipt that nobody else needs to know."""
        return await self.run(tenant, work, receipt=self._ids.new())

    async def run(
        self,
        tenant: TenantId,
        work: Callable[[TenantTransaction], Awaitable[T]],
        *,
        receipt: UUID | None = None,
        idempotent: bool = False,
        serializable: bool = False,
    ) -> T:
        """Give what `work` gives, after its transaction is committed.

        `work` may run several times and must do nothing but use its transaction. `receipt` is an
        id made for this change; `idempotent` work needs none, because it meets its own effect
        and gives the same answer. Raises the last error when repeating did not help, and
        `DATABASE_DONE_BEFORE` for a receipt that an earlier run had left.
        """
        change = _Change(self._pool, tenant, work, receipt, serializable=serializable)
        change.repeatable = idempotent or receipt is not None
        try:
            refusal = await self._errors.retry(POSTGRES_REPLAY, change.attempt, REPEATED)
        except AitradingError as exc:
            raise change.verdict(exc.__cause__ or exc) from exc
        if refusal is not None:
            raise refusal
        return change.answer


class _Change(Generic[T]):
    """One change on its way; remembers an attempt whose commit is unknown, and its answer."""

    answer: T
    repeatable = False
    """Whether it may run again although it may be done already."""

    def __init__(
        self,
        pool: PostgresPool,
        tenant: TenantId,
        work: Callable[[TenantTransaction], Awaitable[T]],
        receipt: UUID | None,
        *,
        serializable: bool,
    ) -> None:
        self._pool = pool
        self._tenant = tenant
        self._work = work
        self._receipt = receipt
        self._serializable = serializable
        self._unknown: AitradingError | None = None

    async def attempt(self) -> AitradingError | None:
        """Raise what can be repeated; give back what must not be, or None when it is done."""
        try:
            async with self._pool.tenant_tx(self._tenant, serializable=self._serializable) as tx:
                if not await self._is_done(tx):
                    self.answer = await self._work(tx)
        except AitradingError as exc:
            if exc.spec is DATABASE_COMMIT_UNKNOWN:
                self._unknown = exc
            elif exc.spec in UNDONE:
                raise
            if self._unknown is None or not self.repeatable:
                return exc
            raise
        self._unknown = None
        return None

    async def _is_done(self, tx: TenantTransaction) -> bool:
        """Whether the receipt is there already; it waits for one that is being committed."""
        if self._receipt is None:
            return False
        if await tx.execute(_SQL["take"], self._receipt):
            await tx.execute(_SQL["forget"])
            self._unknown = None
            return False
        if self._unknown is None:
            raise DATABASE_DONE_BEFORE.error()
        return True

    def verdict(self, last: BaseException) -> BaseException:
        """What the caller is told: a commit that is still unknown outweighs what came after."""
        return self._unknown or last
