"""`POST /api/v1/devices/notes`: what a device tells beside ticks, on its way to the store."""

from typing import Protocol, TypeVar

import msgspec

from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.device_notes import Notes, NotesTaken
from aitrading.core.security.claims import Scope
from aitrading.core.security.device_requests import DevicePurpose, DeviceRequest
from aitrading.server.api_gateway.identity.errors import DEVICE_REQUEST_REFUSED
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests, content_of
from aitrading.server.api_gateway.identity.vault_endpoints import own_request
from aitrading.server.kit.call import Call
from aitrading.server.kit.device_notes_api import NOTES_PATH, DeviceNotes
from aitrading.server.kit.endpoints import endpoint, scope

BODY_LIMIT_BYTES = 96 * 1024
T = TypeVar("T")


class NoteStore(Protocol):
    """The database service; an `InternalClient` asks it."""

    async def post(
        self, path: str, *, body: msgspec.Struct, answer: type[T], timeout_s: float
    ) -> T:
        """POST and decode; raises the peer's or the network's error."""
        ...


class DeviceNoteEndpoints:
    """Proved here, by the device's token and its signature, and stored there."""

    def __init__(self, requests: SignedRequests, store: NoteStore) -> None:
        self._requests = requests
        self._store = store

    @endpoint(
        "POST",
        "/api/v1/devices/notes",
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=NotesTaken,
        errors=(DEVICE_REQUEST_REFUSED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def take(self, call: Call) -> NotesTaken:
        """Take alerts and news of the device that signed; answers when they are durable."""
        request = await own_request(call)
        await self._requests.prove(request, DevicePurpose.NOTES, network=call.network)
        await call.limits.admit_device(TenantId(request.tenant), DeviceId(request.device))
        told = DeviceNotes(
            tenant=request.tenant, device=request.device, notes=content_of(request, Notes)
        )
        return await self._store.post(
            NOTES_PATH, body=told, answer=NotesTaken, timeout_s=Timeouts.FAST
        )
