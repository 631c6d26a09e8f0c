"""Calls to the server in the device's name, signed with its key.

They go to the same pinned server as everything else. A stolen certificate is not enough, and a
copy of the disk is a device that can be revoked.
"""

from typing import Any, TypeVar

import msgspec

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.server_api import ServerApi
from aitrading.core.kit.clock import Clock, now_ms
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request

T = TypeVar("T")


class DeviceCalls:
    """Signs and sends; blocks."""

    def __init__(self, files: DeviceFiles, record: DeviceRecord, clock: Clock) -> None:
        self._files = files
        self._record = record
        self._clock = clock

    def ask(
        self,
        purpose: DevicePurpose,
        path: str,
        content: dict[str, Any] | msgspec.Struct,
        answer: type[T],
    ) -> T:
        """The server's answer; raises its refusal, or `LINK_…`."""
        asking = Asking(
            purpose=purpose,
            tenant=self._record.tenant,
            device=self._record.device,
            issued_ms=now_ms(self._clock),
        )
        key = self._files.certificate().key
        request = signed_request(asking, msgspec.json.encode(content).decode(), key)
        return ServerApi(self._record.server, self._record.trust).post(path, request, answer)
