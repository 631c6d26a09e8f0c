"""What the bridge needs from the other services; the adapters are in `peers.py`."""

from typing import Protocol
from uuid import UUID

import msgspec

from aitrading.core.kit.ids import TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.server.kit.calendar_settings import CalendarWords
from aitrading.server.kit.feed_truth_api import FeedTruth, RepairOrders, TruthTaken
from aitrading.server.kit.ingest_api import LastQuotes, SegmentStored, StreamMark, StreamOpening
from aitrading.server.kit.subscription_gate import SubscriptionSource


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What identity knows about a device."""

    device: UUID
    tenant: UUID
    state: str
    subscription: str = "none"
    """How the organisation's plan stands: `active`, `none` before its first, or what stops it."""
    rates: RateClaims = NO_RATES
    """What decides how often devices of the organisation may connect."""

    @property
    def is_active(self) -> bool:
        """It may connect."""
        return self.state == "active"

    @property
    def is_suspended(self) -> bool:
        """The whole organisation is stopped, not only what it pays for."""
        return self.subscription == "suspended"

    @property
    def is_entitled(self) -> bool:
        """Nothing stops the organisation's plan; without a plan nothing was ever sold or stopped."""
        return self.subscription in {"active", "none"}


class DeviceRegister(Protocol):
    """Identity, as far as links need it."""

    async def find(self, identity: DeviceIdentity) -> DeviceStatus | None:
        """The device, or None when its tenant has no such device; raises when nobody knows now."""
        ...

    async def tell_shared(self, identity: DeviceIdentity, *, address: str) -> None:
        """Have it audited that two clients use this device's certificate."""
        ...


class TickStore(SubscriptionSource, Protocol):
    """The database service, as far as the bridge needs it."""

    async def open_streams(
        self, device: DeviceIdentity, streams: tuple[StreamOpening, ...]
    ) -> tuple[StreamMark, ...]:
        """Make streams known and tell what is stored of each, in their order."""
        ...

    async def store(self, segment: str, data: bytes) -> SegmentStored:
        """Store a sealed segment, each tick exactly once however often it is sent."""
        ...

    async def last_quotes(self, tenant: TenantId) -> LastQuotes:
        """The newest stored quotes of a tenant."""
        ...

    async def calendar(self, tenant: TenantId) -> CalendarWords:
        """What a tenant says about trading hours beside the shipped calendars."""
        ...

    async def tell_truth(self, truth: FeedTruth) -> TruthTaken:
        """Make durable what a device counted, lost and repaired."""
        ...

    async def repairs(self, device: DeviceIdentity) -> RepairOrders:
        """What the device may repair."""
        ...
