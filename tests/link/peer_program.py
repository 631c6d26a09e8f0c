"""The bridge's peers as one real process each: `python peer_program.py database-service`.

They answer over mutual TLS what the database service and identity answer, from the twins. The
devices that may connect are in `HOME/devices.json`.
"""

import sys
from pathlib import Path
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.import_manager import ImportManager
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.server.data_bridge.ports import DeviceStatus
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.ingest_api import (
    SEGMENT_BYTES_MAX,
    SEGMENT_PATH,
    STREAMS_PATH,
    OpenStreams,
    SegmentStored,
    StreamMarks,
)
from aitrading.server.kit.service_runner import ServiceSpec, run_service
from aitrading.server.testing.bridge_twins import FolderTickStore


class Peers:
    def __init__(self, bundle: ServiceBundle) -> None:
        self._store = FolderTickStore(bundle.home / "stored")
        self._devices: Path = bundle.home / "devices.json"

    @endpoint(
        "PUT", STREAMS_PATH, access=peers("data-bridge"), summary="streams", body=OpenStreams
    )  # fmt: skip
    async def streams(self, call: Call) -> StreamMarks:
        opening = await call.json(OpenStreams)
        device = DeviceIdentity(tenant=TenantId(opening.tenant), device=DeviceId(opening.device))
        return StreamMarks(marks=await self._store.open_streams(device, opening.streams))

    @endpoint(
        "POST", SEGMENT_PATH, access=peers("data-bridge"), summary="segment",
        body=bytes,
        body_limit_bytes=SEGMENT_BYTES_MAX,
    )  # fmt: skip
    async def segment(self, call: Call) -> SegmentStored:
        return await self._store.store(call.path("segment"), await call.body())

    @endpoint(
        "GET", "/internal/v1/devices/{device}", access=peers("data-bridge"), summary="device"
    )
    async def device(self, call: Call) -> DeviceStatus:
        known = msgspec.json.decode(self._devices.read_bytes(), type=list[DeviceStatus])
        asked = (UUID(call.path("device")), UUID(call.query("tenant")))
        for status in known:
            if (status.device, status.tenant) == asked:
                return status
        raise REQUEST_INVALID.error(reason="no such device")


def providers(manager: ImportManager) -> None:
    manager.provide(Peers)


if __name__ == "__main__":
    run_service(ServiceSpec(name=sys.argv[1], providers=providers, endpoints=(Peers,)))
