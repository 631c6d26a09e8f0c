"""Which proofs of possession were used: shared by all services through the cache.

Every process also remembers its own, and a proof names its address, which one service answers: so
without the cache a proof is still refused a second time by the process that saw it. What that
cannot see is another instance or a restart. Therefore trading and administration are refused until
the cache answers again; reading, stopping and reducing go on.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from typing_extensions import override

from aitrading.core.infrastructure.call_sites import CallSite, RecoveryStrategy
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.core.security.possession import LEEWAY_S, PROOF_LIFETIME_S, Proof
from aitrading.server.kit.both_clocks import Until
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.valkey import CACHE_UNAVAILABLE, ValkeyClient

REMEMBERED_S: Final = PROOF_LIFETIME_S + 2 * LEEWAY_S + 1
"""As long as it may be accepted: its time counts in whole seconds, so nearly one more."""
MAX_OWN_PROOFS: Final = 100_000
"""Beyond, the oldest are left to the cache alone."""
STAND_BACK_NS: Final = 2 * NS_PER_S
"""How long a cache that did not answer is left alone."""
_USED: Final = b"1"

USED_PROOFS_DEGRADE: Final = CallSite(
    name="used-proofs",
    strategy=RecoveryStrategy.DEGRADE,
    service="every service",
    fault="The cache in which used proofs of possession are kept for all services does not answer.",
    description="Each process refuses what it saw itself, and asks the cache again after two "
    "seconds. Trading and administration are refused meanwhile to who comes with a proof.",
)
PROOF_UNCHECKED: Final = ErrorSpec(
    code="PROOF_UNCHECKED",
    category=Category.RETRYABLE,
    message="Whether this proof was used before cannot be told now.",
    why="The cache, in which used proofs are kept for all services, does not answer.",
    remedy="Try again in a few seconds with a new proof; reading, the kill switch and reducing a "
    "position work meanwhile. On the host: `aitrading doctor --databases`.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.TRADING,
)


@dataclass(frozen=True, kw_only=True)
class SharedCache:
    """The part of the cache that all services share, and its stand-in in this process."""

    together: Cache
    alone: Cache
    client: ValkeyClient | None
    """To be closed by who keeps it; None where the installation has no cache."""


class UsedProofs(Protocol):
    """Remembers uses."""

    async def spend(self, proof: Proof, *, strict: bool) -> None:
        """Note a use; raises `TOKEN_REFUSED` for the second.

        With `strict` also raises `PROOF_UNCHECKED` when only this process could be asked.
        """
        ...


class CachedUsedProofs(UsedProofs):
    """Notes each use in the shared cache, and in this process."""

    def __init__(self, shared: SharedCache, *, errors: ErrorHandler, clock: Clock) -> None:
        self._shared = shared
        self._errors = errors
        self._clock = clock
        self._own: OrderedDict[str, Until] = OrderedDict()
        self._away_until_ns = 0
        errors.declare(USED_PROOFS_DEGRADE)

    @override
    async def spend(self, proof: Proof, *, strict: bool) -> None:
        self._note_here(proof)
        first = await self._errors.degrade(
            USED_PROOFS_DEGRADE, lambda: self._note_together(proof), _known_here_alone
        )
        if first is None and strict:
            raise PROOF_UNCHECKED.error()
        if first is False:
            raise TOKEN_REFUSED.error()

    async def _note_together(self, proof: Proof) -> bool | None:
        """Whether nobody used it before."""
        if self._clock.monotonic_ns() < self._away_until_ns:
            raise CACHE_UNAVAILABLE.error(reason="it did not answer a moment ago")
        try:
            return await self._shared.together.platform.put_if_absent(
                f"proof:{proof.use}", _USED, life_s=REMEMBERED_S
            )
        except Exception:
            self._away_until_ns = self._clock.monotonic_ns() + STAND_BACK_NS
            raise

    def _note_here(self, proof: Proof) -> None:
        while self._own:
            oldest = next(iter(self._own))
            if len(self._own) < MAX_OWN_PROOFS and not self._own[oldest].is_over(self._clock):
                break
            del self._own[oldest]
        if proof.use in self._own:
            raise TOKEN_REFUSED.error()
        self._own[proof.use] = Until.after(self._clock, REMEMBERED_S)


async def _known_here_alone(_: Exception) -> bool | None:
    """Not seen by this process; whether another saw it cannot be told."""
    return None
