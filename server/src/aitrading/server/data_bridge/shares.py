"""What one organisation may hold of the bridge, so that none takes the place of the others."""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import bind_context, get_logger
from aitrading.core.protocol.error_codes import (
    LINK_DEVICES_FULL,
    LINK_FEEDS_FULL,
    LINK_SHARE_FULL,
)
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.server.data_bridge.errors import STREAM_SHARE_FULL
from aitrading.server.data_bridge.metrics import HELD_BACK, SHARES_REFUSED
from aitrading.server.kit.limit_levels import Held, LimitLevels

ORGANISATIONS_MAX: Final = 10_000
"""Whose limits are remembered."""
PIECE_BYTES: Final = 64 * 1024
"""Of what is counted together and leaves together: an organisation's sum is exact to so much."""
RESUME_AT: Final = 0.9
"""Part of its share to which an organisation must fall before its ticks are taken again."""
WHOLE_PER_CENT: Final = 100
EVERYTHING_BYTES: Final = 1 << 62
"""The share of one that may fill the spool: the spool itself refuses what does not fit."""
Sizes = Mapping[TenantId, int]
"""Bytes by organisation."""

_log = get_logger(__name__)


class Shares:
    """Numbers of links, streams and feeds; what decides about them is what identity said last."""

    def __init__(self, limits: LimitLevels, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._known: OrderedDict[TenantId, RateClaims] = OrderedDict()

    def remember(self, tenant: TenantId, rates: RateClaims) -> None:
        """What identity says of an organisation; before it said anything it counts as `standard`."""
        self._known[tenant] = rates
        self._known.move_to_end(tenant)
        if len(self._known) > ORGANISATIONS_MAX:
            self._known.popitem(last=False)

    def rates_of(self, tenant: TenantId) -> RateClaims:
        """What identity said last."""
        return self._known.get(tenant, NO_RATES)

    def of(self, what: Held, tenant: TenantId) -> int:
        """How much of it the organisation may hold."""
        return self._limits.held(what, self.rates_of(tenant))

    def require_link(self, tenant: TenantId, others: int, *, times: int = 1) -> None:
        """Raise `LINK_DEVICES_FULL` when there is no room beside its other links."""
        limit = self.of(Held.LINKS, tenant) * times
        if others >= limit:
            self.refused(Held.LINKS)
            raise LINK_DEVICES_FULL.error(count=others, limit=limit)

    def require_stream(self, rates: RateClaims, others: int) -> None:
        """Raise `STREAM_SHARE_FULL` when there is no room beside the other streams."""
        limit = self._limits.held(Held.STREAMS, rates)
        if others >= limit:
            self.refused(Held.STREAMS)
            raise STREAM_SHARE_FULL.error(count=others, limit=limit)

    def feeds_of(self, rates: RateClaims) -> int:
        """How many feeds an organisation may have."""
        return self._limits.held(Held.FEEDS, rates)

    def require_feed(self, tenant: TenantId, others: int) -> None:
        """Raise `LINK_FEEDS_FULL` when there is no room beside its other feeds."""
        limit = self.of(Held.FEEDS, tenant)
        if others >= limit:
            self.refused(Held.FEEDS)
            raise LINK_FEEDS_FULL.error(count=others, limit=limit)

    def refused(self, what: Held) -> None:
        """Count a refusal."""
        self._metrics.increment(SHARES_REFUSED, what=what.name.lower())


@dataclass
class _Piece:
    """Neighbours in the spool."""

    last_position: int
    sizes: Counter[TenantId] = field(default_factory=Counter[TenantId])
    size_bytes: int = 0


class SpoolShares:
    """Who holds how much of the spool.

    An organisation may hold so many per cent of its own and the free room together. Alone it may
    fill most of the spool; of several that flood it each gets as much, and some room is always left
    for one that does not.
    """

    def __init__(self, spool: Spool, shares: Shares, metrics: Metrics) -> None:
        self._spool = spool
        self._shares = shares
        self._metrics = metrics
        self._limit_bytes = spool.statistics().limit_bytes
        self._held: Counter[TenantId] = Counter()
        self._waiting: Counter[TenantId] = Counter()
        """Of `_held`, what is not on the disk yet."""
        self._pieces: deque[_Piece] = deque()
        self._held_back: set[TenantId] = set()

    def held_by(self, tenant: TenantId) -> int:
        """Bytes of the organisation in the spool."""
        self._forget_what_left()
        return self._held[tenant]

    def require_room(self, wanted: Sizes) -> None:
        """Raise `LINK_SHARE_FULL` when one of the organisations has no room for so much."""
        self._forget_what_left()
        for tenant, size in wanted.items():
            own_bytes, share_bytes = self._held[tenant] + size, self._share_of(tenant)
            if own_bytes > share_bytes:
                self._hold_back(tenant)
                raise LINK_SHARE_FULL.error(own_bytes=own_bytes, share_bytes=share_bytes)

    def require_not_held_back(self, tenant: TenantId) -> None:
        """Raise `LINK_SHARE_FULL` while the organisation has to wait."""
        if tenant in self._held_back:
            raise LINK_SHARE_FULL.error(own_bytes=self._held[tenant])

    def let_go(self) -> None:
        """Let organisations that were held back come again when they have room; call it often."""
        self._forget_what_left()
        for tenant in tuple(self._held_back):
            if self._held[tenant] <= self._share_of(tenant) * RESUME_AT:
                self._held_back.discard(tenant)
                with bind_context(tenant=str(tenant)):
                    _log.info("ticks of the organisation are taken again")
        self._metrics.set(HELD_BACK, len(self._held_back))

    def appended(self, sizes: Sizes) -> None:
        """So much is on its way to the disk."""
        self._held.update(sizes)
        self._waiting.update(sizes)

    def stored(self, sizes: Sizes, last_position: int) -> None:
        """So much of what was appended is on the disk, up to a position."""
        self._waiting.subtract(sizes)
        self._waiting += Counter()  # keeps what is above zero
        self._put(sizes, last_position)

    def found(self, sizes: Sizes, last_position: int) -> None:
        """So much was in the spool when it was opened, up to a position."""
        self._held.update(sizes)
        self._put(sizes, last_position)

    def lost(self) -> None:
        """What was on its way to the disk did not get there."""
        self._held.subtract(self._waiting)
        self._waiting.clear()

    def _put(self, sizes: Sizes, last_position: int) -> None:
        if not self._pieces or self._pieces[-1].size_bytes >= PIECE_BYTES:
            self._pieces.append(_Piece(last_position))
        newest = self._pieces[-1]
        newest.last_position = last_position
        newest.sizes.update(sizes)
        newest.size_bytes += sum(sizes.values())

    def _forget_what_left(self) -> None:
        first = self._spool.first_position
        while self._pieces and self._pieces[0].last_position < first:
            self._held.subtract(self._pieces.popleft().sizes)
            self._held += Counter()

    def _share_of(self, tenant: TenantId) -> int:
        """Of its own and the free room; what others fill makes it smaller."""
        free_bytes = max(0, self._limit_bytes - self._spool.used_bytes)
        per_cent = self._shares.of(Held.SPOOL, tenant)
        if per_cent >= WHOLE_PER_CENT:
            return EVERYTHING_BYTES
        return (self._held[tenant] + free_bytes) * per_cent // WHOLE_PER_CENT

    def _hold_back(self, tenant: TenantId) -> None:
        self._shares.refused(Held.SPOOL)
        if tenant in self._held_back:
            return
        self._held_back.add(tenant)
        self._metrics.set(HELD_BACK, len(self._held_back))
        with bind_context(tenant=str(tenant)):
            _log.warning(
                "the organisation's share of the spool is full; its ticks wait on its devices",
                own_bytes=self._held[tenant],
                share_bytes=self._share_of(tenant),
            )
