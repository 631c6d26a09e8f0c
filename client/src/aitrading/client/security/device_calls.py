"""Calls to the server in the device's name: with a token of its certificate, signed with its key.

They go to the same pinned server as everything else, under the link's name. A stolen certificate or
token is not enough, and a copy of the disk is a device that can be revoked.
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.client.security.server_api import ServerApi
from aitrading.core.kit.clock import NS_PER_S, Clock, now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request

TOKEN_PATH: Final = "/api/v1/devices/token"  # noqa: S105 - a path
RENEW_BEFORE_S: Final = 60
TOKEN_LIFE_S: Final = 15 * 60
T = TypeVar("T")


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A token and the certificate without which it is worth nothing."""

    text: str
    certificate: bytes
    until_ns: int


class DeviceCalls:
    """Signs and sends; blocks. May be used by two threads."""

    def __init__(self, files: DeviceFiles, record: DeviceRecord, clock: Clock) -> None:
        self._files = files
        self._record = record
        self._clock = clock
        self._held: _Held | None = None
        self._lock = threading.Lock()

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
        with self._lock:
            was_held = self._held is not None
            try:
                return self._api.post_with(self._token(), path, request, answer)
            except AitradingError as exc:
                if exc.spec.http_status != HTTPStatus.UNAUTHORIZED or not was_held:
                    raise
            self._held = None  # the server's keys may have changed since it was given
            return self._api.post_with(self._token(), path, request, answer)

    @property
    def _api(self) -> ServerApi:
        return ServerApi(self._record.server, self._files.record().trust, self._files.tls)

    def _token(self) -> str:
        """The token at hand, or a new one shortly before its end or with a new certificate."""
        certificate, now_ns = self._files.certificate().pem, self._clock.monotonic_ns()
        held = self._held
        if held is not None and held.certificate == certificate and now_ns < held.until_ns:
            return held.text
        given = self._api.post_with(None, TOKEN_PATH, None, _Answer)
        until_ns = now_ns + (TOKEN_LIFE_S - RENEW_BEFORE_S) * NS_PER_S
        self._held = _Held(text=given.access_token, certificate=certificate, until_ns=until_ns)
        return given.access_token
