"""A device and its server, as far as the vault can see them: real TLS, real signatures."""

import json
import secrets
import ssl
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.security.device_calls import TOKEN_PATH, DeviceCalls
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.client.security.passphrase import PassphraseProtection
from aitrading.client.security.protection import Protection, ProtectionKind
from aitrading.core.kit.clock import NS_PER_S, SystemClock, datetime_of_ns
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import TlsKey, inspect_certificate
from aitrading.core.security.crypto_fields import PassphraseCost
from aitrading.core.security.device_reports import Exposure
from aitrading.core.security.device_requests import DevicePurpose, DeviceRequest, is_by
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa

CHEAP = PassphraseCost(memory_kib=64, passes=1, lanes=1)
PURPOSES = {
    "/api/v1/devices/credentials/share": DevicePurpose.NEW_SHARE,
    "/api/v1/devices/credentials/lease": DevicePurpose.LEASE,
    "/api/v1/devices/credentials/forget": DevicePurpose.FORGET,
    "/api/v1/devices/security": DevicePurpose.SECURITY,
}


@dataclass
class ShareServer:
    """Keeps shares as the api-gateway does: the newest that was leased, and one that waits."""

    device_key: bytes
    shares: dict[str, str] = field(default_factory=dict[str, str])
    is_revoked: bool = False
    wants_rotation: bool = False
    is_down: bool = False
    heard: list[str] = field(default_factory=list[str])
    port: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    exposure: Exposure = field(default_factory=lambda: Exposure(barred=False))

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == TOKEN_PATH:
            ends = datetime_of_ns(SystemClock().now_ns() + 900 * NS_PER_S)
            return {"access_token": "token", "expires_at": ends.isoformat()}
        request = msgspec.json.decode(body, type=DeviceRequest)
        self.heard.append(path)
        if self.is_revoked or not is_by(self.device_key, PURPOSES[path], request):
            return refusal("DEVICE_REQUEST_REFUSED")
        return self._handlers()[PURPOSES[path]](json.loads(request.content))

    def _handlers(self) -> dict[DevicePurpose, Callable[[dict[str, Any]], dict[str, Any]]]:
        return {
            DevicePurpose.NEW_SHARE: self._new,
            DevicePurpose.LEASE: self._lease,
            DevicePurpose.FORGET: self._forget,
            DevicePurpose.SECURITY: self._report,
        }

    def _new(self, _content: dict[str, Any]) -> dict[str, Any]:
        share_id = str(UUID(bytes=secrets.token_bytes(16)))
        self.shares[share_id] = secrets.token_hex(32)
        return {"id": share_id, "share": self.shares[share_id]}

    def _lease(self, content: dict[str, Any]) -> dict[str, Any]:
        wanted = content["id"]
        if wanted not in self.shares:
            return refusal("CREDENTIAL_SHARE_GONE")
        order = list(self.shares)
        for older in order[: order.index(wanted)]:
            del self.shares[older]
            self.wants_rotation = False
        ends = datetime_of_ns(SystemClock().now_ns() + 24 * 3600 * NS_PER_S)
        return {
            "share": self.shares[wanted], "expires_at": ends.isoformat(),
            "rotate": self.wants_rotation,
        }  # fmt: skip

    def _report(self, content: dict[str, Any]) -> dict[str, Any]:
        self.reports.append(content)
        return {"barred": self.exposure.barred, "reason": self.exposure.reason}

    def _forget(self, _content: dict[str, Any]) -> dict[str, Any]:
        count = len(self.shares)
        self.shares.clear()
        return {"shares": count}


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "category": "denied", "remedy": "ask"}}


@dataclass
class Desk:
    """An enrolled client and what it needs to keep a login."""

    home: Path
    record: DeviceRecord
    server: ShareServer
    clock: ManualClock
    passphrase: str = "a passphrase of the desk"  # noqa: S105

    @property
    def file(self) -> Path:
        return self.home / "identity" / "broker-login.sealed"

    def protection(self, kind: ProtectionKind) -> Protection:
        assert kind is ProtectionKind.PASSPHRASE
        return PassphraseProtection(lambda: Secret(self.passphrase), CHEAP)

    def manager(self) -> CredentialManager:
        """As after a start: nothing in memory."""
        calls = DeviceCalls(DeviceFiles(self.home), self.record, SystemClock())
        return CredentialManager(
            self.home, self.record, calls, protection=self.protection, clock=self.clock
        )


@pytest.fixture
def desk(home: Path, tmp_path: Path) -> Generator[Desk]:
    ca, key = ThrowawayCa(), TlsKey.generate()
    credential = ca.server(tmp_path)
    server = ShareServer(device_key=key.public_der())
    with serving(server, credential):
        pin = inspect_certificate(credential.read_bytes().split(b"PRIVATE KEY-----\n")[-1])
        record = DeviceRecord(
            tenant=IDENTITY.tenant, device=IDENTITY.device,
            server=ServerAddress(host="localhost", port=server.port),
            server_ca=ca.pem.decode(), server_keys=(pin.spki_sha256.hex(),),
        )  # fmt: skip
        DeviceFiles(home).store(record, key, ca.device(key))
        yield Desk(home, record, server, ManualClock(start_ns=SystemClock().now_ns()))


class serving:  # noqa: N801 - used like a function
    """Answers over TLS for the time of the block."""

    def __init__(self, server: ShareServer, credential: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if server.is_down:
                    self.close_connection = True
                    return
                answer = server.answer(self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(403 if "error" in answer else 200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(credential)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
