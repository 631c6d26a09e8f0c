"""What was refused is audited, and nobody can fill the trail with it.

The first refusal is written, then the second, the fourth, the eighth …: how often something was
tried is known within a factor of two, and n attempts leave log2(n) events. What differs in its
target is one source's once that source has used up its share, and everybody's once all have.
"""

from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.security.crypto import sha256
from aitrading.server.api_gateway.identity.throttle import network_of
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.tenancy import PLATFORM

WINDOW_S: Final = 3600
MAX_EVENTS_OF_NETWORK: Final = 20
"""In one window, of targets that this network did not try before."""
MAX_EVENTS: Final = 1000
"""In one window, likewise, of all networks together."""
SALT_BYTES: Final = 16
SOURCE_CHARS: Final = 8
_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/refusals.sql")
_Key = tuple[str, ...] | tuple[str, bytes, str]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """One refusal: of what, aimed at whom, from which address.

    An organisation that is a mere claim of the caller, and that there is not, becomes the platform.
    `target` tells attempts apart; it is what was aimed at, never what was guessed.
    """

    action: AuditAction
    tenant: TenantId
    subject: str
    target: bytes
    address: str
    kind: str
    tenant_is_claimed: bool = True


class RefusalFold:
    """Decides which refusals are written; counts in memory, for one window at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin()

    def due(self, action: str, target: bytes, network: str) -> int | None:
        """How often it was tried so far in this window, or None when this one is not written."""
        if self._clock.monotonic_ns() - self._began_ns > WINDOW_S * NS_PER_S:
            self._begin()
        key = self._key(action, target, network)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return None if count & (count - 1) else count

    def _begin(self) -> None:
        self._began_ns = self._clock.monotonic_ns()
        self._counts: dict[_Key, int] = {}
        self._new_of_network: dict[str, int] = {}
        self._new = 0

    def _key(self, action: str, target: bytes, network: str) -> _Key:
        exact, of_network = (action, target, network), (action, network)
        for known in (exact, of_network):
            if known in self._counts:
                return known
        if self._new >= MAX_EVENTS:
            return (action,)
        self._new += 1
        share = self._new_of_network.get(network, 0)
        self._new_of_network[network] = share + 1
        return exact if share < MAX_EVENTS_OF_NETWORK else of_network


class Refusals:
    """Writes them, in a transaction of their own: what was refused has none."""

    def __init__(
        self, pool: PostgresPool, *, audit: AuditTrail, clock: Clock, randomness: Randomness
    ) -> None:
        self._pool = pool
        self._audit = audit
        self._fold = RefusalFold(clock)
        self._salt = randomness.token(SALT_BYTES)

    async def note(self, refused: Refused) -> None:
        """Write the refusal, if it is due; the database's own errors pass through."""
        network = network_of(refused.address)
        attempts = self._fold.due(refused.action, refused.target, network)
        if attempts is None:
            return
        tenant = await self._tenant(refused)
        details: dict[str, FieldValue] = {
            "kind": refused.kind,
            "attempts": attempts,
            "source": self._source(network),
        }
        async with self._pool.tenant_tx(tenant) as tx:
            event = AuditEvent(
                actor="unknown",
                action=refused.action,
                subject=refused.subject,
                outcome=Outcome.DENIED,
                details=details,
            )
            await self._audit.add(tx, event)

    async def _tenant(self, refused: Refused) -> TenantId:
        if not refused.tenant_is_claimed:
            return refused.tenant
        async with self._pool.platform_read() as tx:
            exists = await tx.fetch_value(_SQL["tenant_exists"], refused.tenant)
        return refused.tenant if exists else PLATFORM

    def _source(self, network: str) -> str:
        """Tells networks apart until the next start, and leads back to none."""
        return sha256(self._salt + network.encode()).hex()[:SOURCE_CHARS]
