"""`/api/v1/logs/…` for operators, `/internal/v1/logs/…` for the host's administrator."""

from datetime import date
from typing import Final

from aitrading.core.logging.retention_policy_manager import LOG_POLICY_INVALID
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.log_policy.book import (
    LOG_POLICY_UNKNOWN,
    PolicyBook,
)
from aitrading.server.database_service.log_policy.lifecycle import LOG_LIFECYCLE_BUSY, LogLifecycle
from aitrading.server.database_service.log_policy.shapes import (
    Costs,
    LifecycleRun,
    LogPolicy,
    Policies,
    PolicyChange,
    StorageTierView,
    TierChange,
    Tiers,
)
from aitrading.server.database_service.operators import OPERATOR_NEEDED, Operators
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, proved_recently, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.idempotency import IDEMPOTENCY_KEY_REUSED, host_write_of, write_of
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE

LOGS: Final = "/api/v1/logs"
HOST_LOGS: Final = "/internal/v1/logs"
HOST: Final = peers("admin")
COSTS_MAX: Final = 366
COSTS_DEFAULT: Final = 31
REFUSALS: Final = (
    OPERATOR_NEEDED,
    LOG_POLICY_INVALID,
    LOG_POLICY_UNKNOWN,
    IDEMPOTENCY_KEY_REUSED,
)
_COSTS_QUERY: Final = (
    QueryField(name="limit", doc=f"Days per page, 1 to {COSTS_MAX}; default {COSTS_DEFAULT}."),
    QueryField(name="cursor", doc="`next_cursor` of the page before."),
)


class LogPolicyEndpoints:
    """For people who operate the platform."""

    def __init__(self, book: PolicyBook, operators: Operators) -> None:
        self._book = book
        self._operators = operators

    @endpoint(
        "GET",
        f"{LOGS}/policies",
        access=scope(Scope.ADMIN),
        answer=Policies,
        errors=(OPERATOR_NEEDED,),
    )
    async def policies(self, call: Call) -> Policies:
        """How long each level of the platform's logs stays, and where."""
        await self._operators.require(call.token)
        return Policies(policies=await self._book.policies())

    @endpoint(
        "PUT",
        f"{LOGS}/policies/{{level}}",
        access=proved_recently(scope(Scope.ADMIN)),
        body=PolicyChange,
        answer=LogPolicy,
        errors=REFUSALS,
    )
    async def set_policy(self, call: Call) -> LogPolicy:
        """Change one level's policy; needs an Idempotency-Key."""
        await self._operators.require(call.token)
        level, change = call.path("level"), await call.json(PolicyChange)
        return await self._book.change_policy(level, change, await write_of(call))

    @endpoint(
        "GET", f"{LOGS}/tiers", access=scope(Scope.ADMIN), answer=Tiers, errors=(OPERATOR_NEEDED,)
    )
    async def tiers(self, call: Call) -> Tiers:
        """The tiers logs live in, and their prices."""
        await self._operators.require(call.token)
        return Tiers(tiers=await self._book.tiers())

    @endpoint(
        "PUT",
        f"{LOGS}/tiers/{{tier}}",
        access=proved_recently(scope(Scope.ADMIN)),
        body=TierChange,
        answer=StorageTierView,
        errors=REFUSALS,
    )
    async def set_tier(self, call: Call) -> StorageTierView:
        """Change one tier's price and bounds; needs an Idempotency-Key."""
        await self._operators.require(call.token)
        tier, change = call.path("tier"), await call.json(TierChange)
        return await self._book.change_tier(tier, change, await write_of(call))

    @endpoint(
        "GET",
        f"{LOGS}/costs",
        access=scope(Scope.ADMIN),
        answer=Costs,
        query=_COSTS_QUERY,
        errors=(OPERATOR_NEEDED,),
    )
    async def costs(self, call: Call) -> Costs:
        """What logs cost by day of measurement, newest first."""
        await self._operators.require(call.token)
        return await _costs(self._book, call)


class HostLogEndpoints:
    """For the administrator of the host."""

    def __init__(self, book: PolicyBook, lifecycle: LogLifecycle) -> None:
        self._book = book
        self._lifecycle = lifecycle

    @endpoint("GET", f"{HOST_LOGS}/policies", access=HOST, answer=Policies)
    async def policies(self, call: Call) -> Policies:
        """How long each level stays, and where."""
        del call
        return Policies(policies=await self._book.policies())

    @endpoint(
        "POST",
        f"{HOST_LOGS}/policies/{{level}}",
        access=HOST,
        body=PolicyChange,
        answer=LogPolicy,
        errors=REFUSALS,
    )
    async def set_policy(self, call: Call) -> LogPolicy:
        """Change one level's policy."""
        level, change = call.path("level"), await call.json(PolicyChange)
        return await self._book.change_policy(level, change, await host_write_of(call))

    @endpoint("GET", f"{HOST_LOGS}/tiers", access=HOST, answer=Tiers)
    async def tiers(self, call: Call) -> Tiers:
        """The tiers logs live in, and their prices."""
        del call
        return Tiers(tiers=await self._book.tiers())

    @endpoint(
        "POST",
        f"{HOST_LOGS}/tiers/{{tier}}",
        access=HOST,
        body=TierChange,
        answer=StorageTierView,
        errors=REFUSALS,
    )
    async def set_tier(self, call: Call) -> StorageTierView:
        """Change one tier's price and bounds."""
        tier, change = call.path("tier"), await call.json(TierChange)
        return await self._book.change_tier(tier, change, await host_write_of(call))

    @endpoint("GET", f"{HOST_LOGS}/costs", access=HOST, answer=Costs, query=_COSTS_QUERY)
    async def costs(self, call: Call) -> Costs:
        """What logs cost by day of measurement, newest first."""
        return await _costs(self._book, call)

    @endpoint(
        "POST",
        f"{HOST_LOGS}/lifecycle",
        access=HOST,
        answer=LifecycleRun,
        query=(QueryField(name="dry_run", doc="`true` removes nothing.", required=True),),
        errors=(LOG_LIFECYCLE_BUSY, CACHE_UNAVAILABLE),
        timeout_s=120,
    )
    async def lifecycle(self, call: Call) -> LifecycleRun:
        """Measure what logs take and remove the files that are over, now."""
        call.query("dry_run")  # said, not guessed
        return await self._lifecycle.run(dry_run=call.flag("dry_run"))


async def _costs(book: PolicyBook, call: Call) -> Costs:
    limit, before = call.limit(COSTS_DEFAULT, COSTS_MAX), call.query_or("cursor", None)
    try:
        cursor = date.max if before is None else date.fromisoformat(before)
    except ValueError:
        raise REQUEST_INVALID.error(reason="`cursor` is not from an answer of this list") from None
    found = await book.costs(cursor, limit + 1)
    page = found[:limit]
    more = len(found) > len(page)
    return Costs(costs=page, next_cursor=page[-1].date.isoformat() if more else None)
