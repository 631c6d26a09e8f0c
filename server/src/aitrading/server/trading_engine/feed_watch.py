"""What the engine knows about feeds: risk may only trust a symbol whose feed is LIVE."""

from collections import OrderedDict
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import FeedStateChanged
from aitrading.core.kit.ids import TenantId

MAX_FEEDS: Final = 100_000


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """The last state a bridge reported for one symbol of one device."""

    device: UUID
    symbol: str
    state: str
    reason: str
    since_ns: int


class FeedWatch:
    """Follows `FeedStateChanged`; beyond `MAX_FEEDS` the longest unchanged is forgotten.

    A feed that was never reported is unknown, and unknown is not LIVE.
    """

    def __init__(self) -> None:
        self._feeds: OrderedDict[tuple[TenantId | None, UUID, str], Feed] = OrderedDict()

    async def on_change(self, event: FeedStateChanged, envelope: EventEnvelope) -> None:
        """Take over what a bridge says; the tenant comes from the envelope."""
        key = (envelope.tenant, event.device, event.symbol)
        self._feeds[key] = Feed(
            device=event.device,
            symbol=event.symbol,
            state=event.state,
            reason=event.reason,
            since_ns=envelope.occurred_ns,
        )
        self._feeds.move_to_end(key)
        if len(self._feeds) > MAX_FEEDS:
            self._feeds.popitem(last=False)

    def forget_all(self) -> None:
        """Know nothing again, as after losing the bus: changes may have been missed."""
        self._feeds.clear()

    def of_tenant(self, tenant: TenantId) -> list[Feed]:
        """The tenant's feeds in order of symbol."""
        found = [feed for (owner, _, _), feed in self._feeds.items() if owner == tenant]
        return sorted(found, key=lambda feed: (feed.symbol, feed.device))
