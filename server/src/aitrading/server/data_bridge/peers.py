"""The other services as the bridge calls them: over mutual TLS, behind one breaker per peer."""

from typing import Final, TypeVar
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.resilience import CircuitBreaker, Timeouts
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.data_bridge.ports import DeviceRegister, DeviceStatus, TickStore
from aitrading.server.kit.calendar_settings import CALENDAR_PATH, CalendarWords
from aitrading.server.kit.feed_truth_api import (
    REPAIRS_PATH,
    TRUTH_PATH,
    FeedTruth,
    RepairOrders,
    TruthTaken,
)
from aitrading.server.kit.ingest_api import (
    QUOTES_PATH,
    SEGMENT_PATH,
    STREAMS_PATH,
    LastQuotes,
    OpenStreams,
    SegmentStored,
    StreamMark,
    StreamMarks,
    StreamOpening,
)
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.peer_errors import PEER_PROTOCOL
from aitrading.server.kit.shared_device_api import SHARED_DEVICE_PATH, SharedDevice
from aitrading.server.kit.user_subscriptions import USER_SUBSCRIPTION_PATH, SubscriptionAnswer

DEVICE_PATH: Final = "/internal/v1/devices/{device}"
UNKNOWN_STATUS: Final = 404
SUBSCRIPTION_TIMEOUT_S: Final = 2.0
"""Quotes wait for it."""
T = TypeVar("T")


class IdentityPeer(DeviceRegister):
    """The api-gateway."""

    def __init__(self, client: InternalClient, breaker: CircuitBreaker) -> None:
        self._client = client
        self._breaker = breaker

    @override
    async def find(self, identity: DeviceIdentity) -> DeviceStatus | None:
        path = DEVICE_PATH.format(device=identity.device)
        try:
            return await self._breaker.run(
                lambda: self._client.get(
                    path,
                    answer=DeviceStatus,
                    query={"tenant": str(identity.tenant)},
                    timeout_s=Timeouts.FAST,
                )
            )
        except AitradingError as exc:
            if exc.spec.category is Category.DENIED and exc.spec.http_status == UNKNOWN_STATUS:
                return None
            raise

    @override
    async def tell_shared(self, identity: DeviceIdentity, *, address: str) -> None:
        path = SHARED_DEVICE_PATH.format(device=identity.device)
        told = SharedDevice(tenant=identity.tenant, address=address)
        await self._breaker.run(
            lambda: self._client.request(
                "POST",
                path,
                body=msgspec.json.encode(told),
                headers={"content-type": "application/json"},
                timeout_s=Timeouts.FAST,
            )
        )


class DatabasePeer(TickStore):
    """The database service."""

    def __init__(self, client: InternalClient, breaker: CircuitBreaker) -> None:
        self._client = client
        self._breaker = breaker

    @override
    async def open_streams(
        self, device: DeviceIdentity, streams: tuple[StreamOpening, ...]
    ) -> tuple[StreamMark, ...]:
        opening = OpenStreams(tenant=device.tenant, device=device.device, streams=streams)
        answer = await self._breaker.run(
            lambda: self._json("PUT", STREAMS_PATH, opening, StreamMarks)
        )
        return answer.marks

    @override
    async def store(self, segment: str, data: bytes) -> SegmentStored:
        """Past the breaker: whoever hands over repeats with pauses, and waits for no other's failure."""
        path = SEGMENT_PATH.format(segment=segment)
        return await self._client.post(
            path, body=data, answer=SegmentStored, timeout_s=Timeouts.NORMAL
        )

    @override
    async def last_quotes(self, tenant: TenantId) -> LastQuotes:
        return await self._breaker.run(
            lambda: self._client.get(
                QUOTES_PATH,
                answer=LastQuotes,
                query={"tenant": str(tenant)},
                timeout_s=Timeouts.FAST,
            )
        )

    @override
    async def calendar(self, tenant: TenantId) -> CalendarWords:
        return await self._breaker.run(
            lambda: self._client.get(
                CALENDAR_PATH,
                answer=CalendarWords,
                query={"tenant": str(tenant)},
                timeout_s=Timeouts.FAST,
            )
        )

    @override
    async def tell_truth(self, truth: FeedTruth) -> TruthTaken:
        return await self._breaker.run(lambda: self._json("POST", TRUTH_PATH, truth, TruthTaken))

    @override
    async def repairs(self, device: DeviceIdentity) -> RepairOrders:
        return await self._breaker.run(
            lambda: self._client.get(
                REPAIRS_PATH,
                answer=RepairOrders,
                query={"tenant": str(device.tenant), "device": str(device.device)},
                timeout_s=Timeouts.NORMAL,
            )
        )

    @override
    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        return await self._breaker.run(
            lambda: self._client.get(
                USER_SUBSCRIPTION_PATH.format(user=user),
                answer=SubscriptionAnswer,
                query={"tenant": str(tenant)},
                timeout_s=SUBSCRIPTION_TIMEOUT_S,
            )
        )

    async def _json(self, method: str, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        response = await self._client.request(
            method,
            path,
            body=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
            timeout_s=Timeouts.FAST,
        )
        try:
            return msgspec.json.decode(response.body, type=answer)
        except (msgspec.ValidationError, msgspec.DecodeError) as exc:
            raise PEER_PROTOCOL.error(peer="database-service", path=path, reason=str(exc)) from exc
