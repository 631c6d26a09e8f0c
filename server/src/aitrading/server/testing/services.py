"""Runs a service as a real process with certificates of its own: for tests and tools.

::

    world = ServiceWorld(tmp_path)
    with world.start(world.bundle("data-bridge"), "-m", "aitrading.server.data_bridge") as running:
        await running.until_ready()
        status, body = await running.get("/api/v1/feeds")
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.eventually import eventually
from aitrading.server.authority.installation import Authority, initialise
from aitrading.server.kit.bundle import (
    HttpListener,
    PeerAddress,
    ServiceBundle,
    TlsFiles,
    encode_bundle,
)
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.service_control import GO
from aitrading.server.kit.service_runner import BUNDLE_VARIABLE
from aitrading.server.testing.personal_data import write_file_keys, write_masters

END_TIMEOUT_S: Final = 90.0
HTTP_OK: Final = 200


@dataclass
class RunningService:
    """A service in its own process."""

    process: subprocess.Popen[bytes]
    bundle: ServiceBundle
    log: Path
    control_fd: int | None

    def go(self) -> None:
        """What the supervisor says when the dependencies work."""
        if self.control_fd is not None:
            os.write(self.control_fd, GO)

    def hang_up(self) -> None:
        """Close the supervisor's end of the pipe, as its death does."""
        if self.control_fd is not None:
            os.close(self.control_fd)
            self.control_fd = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the service."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end and give the exit code."""
        return await asyncio.to_thread(self.process.wait, END_TIMEOUT_S)

    async def until_ready(self) -> None:
        """Wait until it serves; raises `NeverHappenedError` with its log when it does not."""
        await eventually(self.is_ready, timeout_s=END_TIMEOUT_S, what=f"readiness of {self}")

    async def is_ready(self) -> bool:
        """What the supervisor asks."""
        if self.process.poll() is not None:
            return False
        status, _ = await self.get("/health/ready")
        return status == HTTP_OK

    async def get(self, path: str) -> tuple[int, Any]:
        """Ask over the Unix socket, as the edge does; gives the status and the decoded JSON."""
        socket = str(self.bundle.listener.socket)
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        is_json = b"application/json" in head.lower()
        return int(head.split()[1]), json.loads(body) if is_json else body.decode()

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far, one entry per line."""
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def messages(self) -> str:
        """The messages of its log so far."""
        return "\n".join(str(line["msg"]) for line in self.lines())

    def port(self) -> int:
        """The TCP port it listens on; `LookupError` before it listens."""
        for line in self.lines():
            if "port" in line["fields"]:
                return int(line["fields"]["port"])
        raise LookupError(f"{self.bundle.service} does not listen yet")


class ServiceWorld:
    """One home with an authority, in which services can be started one by one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = SystemClock()
        self.ids = SystemIdFactory(self.clock, SystemRandomness())
        self.authority: Authority = initialise(home, self.clock, self.ids)
        self._bundles = home / "run" / "bundles"
        self._bundles.mkdir(parents=True, exist_ok=True)

    def bundle(self, service: str, **changes: Any) -> ServiceBundle:
        """A bundle with a fresh identity, a free port and no engines; `changes` are its fields."""
        files = self.authority.write_service(service, self._bundles)
        plain = ServiceBundle(
            service=service,
            instance=f"{service}-1",
            version="0.1.0",
            environment="development",
            home=self.home,
            demo=False,
            tls=TlsFiles(
                certificate=files.certificate, private_key=files.private_key, ca=files.ca
            ),
            listener=HttpListener(
                socket=self.home / "run" / f"{service}.sock", host="127.0.0.1", port=0
            ),
            control_fd=None,
            peers={},
            service_keys=self.authority.service_keys_file,
            user_keys=self.authority.user_keys_file,
            field_keys=write_masters(self.home / "keys"),
            file_keys=write_file_keys(self.home / "keys"),
        )
        return msgspec.structs.replace(plain, **changes)

    def client(self, caller: str, running: RunningService) -> InternalClient:
        """A peer of the running service, with an identity of its own."""
        peer = running.bundle.service
        address = PeerAddress(host=running.bundle.listener.host, port=running.port())
        bundle = self.bundle(caller, peers={peer: address})
        return InternalClient.of(bundle, peer, self.clock, self.ids)

    @contextmanager
    def start(
        self,
        bundle: ServiceBundle,
        *arguments: str,
        controlled: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> Generator[RunningService]:
        """Run `python -I <arguments>`; with `controlled` it waits for `go`. Killed at the end."""
        read_end, write_end = os.pipe() if controlled else (None, None)
        bundle = msgspec.structs.replace(bundle, control_fd=read_end)
        path = self._bundles / f"{bundle.service}.json"
        path.write_bytes(encode_bundle(bundle))
        log = self.home / f"{bundle.instance}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", *arguments],
                env={BUNDLE_VARIABLE: str(path), **(environ or {})},
                stderr=stderr,
                pass_fds=() if read_end is None else (read_end,),
            )
        if read_end is not None:
            os.close(read_end)
        running = RunningService(process, bundle, log, write_end)
        try:
            yield running
        finally:
            process.kill()
            process.wait()
            running.hang_up()
