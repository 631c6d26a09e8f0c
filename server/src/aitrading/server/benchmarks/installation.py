"""A whole platform for a benchmark: started as a person starts it, with devices and tokens.

Nothing of the demo runs in it. What is measured goes through the edge like everybody else's.
"""

import asyncio
import http.client
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, TypeVar
from uuid import UUID

import msgspec
from picows import WSError

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.link.messages import StreamDeclaration
from aitrading.core.security.certificates import DeviceIdentity, parse_device
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate
from aitrading.server.authority.installation import Authority, initialise
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.engines.proc import use_of
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.bundles import SERVICES
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import PlatformState
from aitrading.server.testing.probe_device import Device

AITRADING: Final = (str(Path(sys.executable).with_name("aitrading")),)
FREE_PORTS: Final = {
    "gateway.port": "0",
    "ports.nats": "0",
    **{f"ports.{service.port_setting}": "0" for service in SERVICES},
}
ENROL_PATH: Final = "/api/v1/devices/enroll"
ADMIN_PATH: Final = "/internal/v1/admin"
TENANT: Final = "bench"
BRIDGE: Final = "data-bridge"
ENVOY: Final = "envoy"
PEOPLE: Final = 32
"""Different persons; tokens of more are theirs again."""
CALL_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 60.0
CONNECT_AGAIN_S: Final = 0.1
T = TypeVar("T")


class _Tenant(msgspec.Struct):
    id: UUID


class _Invitation(msgspec.Struct):
    code: str


class _Person(msgspec.Struct):
    user: UUID


class _Enrolled(msgspec.Struct):
    certificate: str


@dataclass(frozen=True, kw_only=True)
class BenchDevice:
    """An enrolled device and the TLS context that proves it."""

    identity: DeviceIdentity
    context: ssl.SSLContext


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A running platform with one organisation that may do everything."""

    home: Home
    folder: Path
    """For the benchmark's own files."""
    state: PlatformState
    tenant: TenantId
    authority: Authority
    clock: SystemClock = field(default_factory=SystemClock)
    people: dict[int, UserId] = field(default_factory=dict[int, UserId])

    @property
    def port(self) -> int:
        """Where the edge listens."""
        port = self.state.engines[ENVOY].port
        if port is None:
            raise LookupError("the edge has no port")
        return port

    @property
    def trust(self) -> Path:
        """The authority that signs the edge's certificate."""
        return self.home.root / "trust" / "edge-ca.pem"

    def pid(self, name: str) -> int:
        """The process of a service or an engine."""
        child = (self.state.services | self.state.engines)[name]
        if child.pid is None:
            raise LookupError(f"{name} does not run")
        return child.pid

    def cpu_s(self, name: str) -> float:
        """Processor time that a service or an engine has used."""
        return use_of([self.pid(name)]).cpu_s

    def invitation(self, name: str) -> str:
        """A one-time code for a device."""
        wanted = {"tenant": TENANT, "name": name}
        return _administer(self.home, "devices/invite", wanted, _Invitation).code

    def device(self, name: str) -> BenchDevice:
        """Invite and enrol a device, as its client would."""
        code = self.invitation(name)
        key = TlsKey.generate()
        csr = create_csr(key, common_name="aitrading device").decode()
        enrolled = self._post(ENROL_PATH, {"code": code, "csr": csr}, _Enrolled)
        certificate, private = (self.folder / f"{name}.{end}" for end in ("crt", "key"))
        certificate.write_text(enrolled.certificate, encoding="utf-8")
        private.write_bytes(key.pem().reveal())
        context = ssl.create_default_context(cafile=str(self.trust))
        context.load_cert_chain(certificate, private)
        identity = parse_device(inspect_certificate(enrolled.certificate.encode()).uris[0])
        return BenchDevice(identity=identity, context=context)

    async def connected(self, enrolled: BenchDevice, *streams: StreamDeclaration) -> Device:
        """Its link; the edge may find out a moment after the start that the bridge is there."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while True:
                device = Device(enrolled.identity)
                try:
                    await device.connect_to_edge(self.port, enrolled.context, *streams)
                except WSError:
                    await self.clock.sleep(CONNECT_AGAIN_S)
                else:
                    return device

    def token(self, number: int = 0) -> str:
        """A token to read with, of one of the organisation's persons."""
        user = self._person(number % PEOPLE)
        grant = TokenGrant(
            tenant=self.tenant,
            user=user,
            session=user,
            scopes=frozenset({Scope.READ}),
            authentication=Authentication.PASSWORD,
            authenticated_ns=self.clock.now_ns(),
        )
        return self.authority.user_token_issuer().issue(grant).token.reveal()

    def _person(self, number: int) -> UserId:
        """Quotes are shown to those alone of whom identity knows."""
        if number not in self.people:
            name = f"person-{number}"
            wanted = {"tenant": TENANT, "user": name, "display_name": name, "role": "viewer"}
            self.people[number] = UserId(_administer(self.home, "users", wanted, _Person).user)
        return self.people[number]

    def get(self, path: str, answer: type[T]) -> T | None:
        """What a person of the organisation is answered; None for what does not exist (yet)."""
        headers = {"authorization": f"Bearer {self.token()}"}
        status, said = self._exchange("GET", path, None, headers)
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise RuntimeError(f"{path} answered {status}: {said[:300]!r}")
        return msgspec.json.decode(said, type=answer)

    def _post(self, path: str, body: Mapping[str, object], answer: type[T]) -> T:
        headers = {"content-type": "application/json", "idempotency-key": str(body["code"])}
        status, said = self._exchange("POST", path, msgspec.json.encode(body), headers)
        if status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{path} answered {status}: {said[:300]!r}")
        return msgspec.json.decode(said, type=answer)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        trust = ssl.create_default_context(cafile=str(self.trust))
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=trust, timeout=CALL_TIMEOUT_S
        )
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()


@contextmanager
def running_installation(settings: Mapping[str, str] | None = None) -> Generator[Installation]:
    """Start a platform on an empty home, make the organisation, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="ait-bench-") as folder:
        home = Home(Path(folder) / "home")
        with command_up(home, {**FREE_PORTS, **(settings or {})}):
            yield _furnished(home, Path(folder))


@contextmanager
def command_up(home: Home, settings: Mapping[str, str]) -> Generator[None]:
    """`aitrading up` as our own child, ready; at the end it stops in order."""
    options = [f"--set={name}={value}" for name, value in settings.items()]
    command = [*AITRADING, "up", "--json", f"--home={home.root}", *options]
    with tempfile.TemporaryFile() as told, _child(command, told) as process:
        if process.stdout is None or not process.stdout.readline():
            told.seek(0)
            raise RuntimeError(f"the platform did not start: {told.read().decode()[-500:]}")
        yield


@contextmanager
def _child(command: list[str], told: IO[bytes]) -> Generator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told) as process:  # noqa: S603 - our own command
        try:
            yield process
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


def platform_state(home: Home) -> PlatformState:
    """What the running platform says of itself."""
    return AdminClient(home).request("status", PlatformState)


def _furnished(home: Home, folder: Path) -> Installation:
    made = _administer(home, "tenants", {"name": TENANT}, _Tenant)
    plan = {"tenant": TENANT, "plan": "pro", "features": ("ticks", "quotes")}
    _administer(home, "subscriptions", plan, msgspec.Raw)
    clock = SystemClock()
    return Installation(
        home=home,
        folder=folder,
        state=platform_state(home),
        tenant=TenantId(made.id),
        authority=initialise(home.root, clock, SystemIdFactory(clock, SystemRandomness())),
        clock=clock,
    )


def _administer(home: Home, path: str, body: Mapping[str, object], answer: type[T]) -> T:
    """Ask the api-gateway in the name of the host's administrator."""
    call = {"peer": "api-gateway", "method": "POST", "path": f"{ADMIN_PATH}/{path}"}
    return AdminClient(home).request("call", answer, **call, body=dict(body))
