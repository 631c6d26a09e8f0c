"""Enrolment and renewal against a small server over real TLS."""

import json
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.client.doctor import examine
from aitrading.client.findings import Verdict
from aitrading.client.security.certificate_keeper import CertificateKeeper, due_ns
from aitrading.client.security.device_files import DeviceFiles, ServerAddress
from aitrading.client.security.enrolment import enrol, parse_server, renew
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import AILING_S, ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import (
    Purpose,
    Validity,
    inspect_certificate,
    public_key_of_csr,
)
from aitrading.core.security.enrolment import EnrolmentCode
from aitrading.core.security.renewal import renewal_message, signed_by
from aitrading.core.security.server_pins import ServerPins, pins_message, sealed_pins
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa, validity

SECRET = b"s" * 32
CLOCK = SystemClock()


class Gateway:
    """What the server side of enrolment does, as far as a client can see."""

    def __init__(self, folder: Path) -> None:
        self.edge, self.devices = ThrowawayCa(), ThrowawayCa()
        self.shown_ca = self.edge.pem
        self.known_key: bytes | None = None
        self.life: Validity | None = None
        self.lose_answer = False
        self.pins: dict[str, str] | None = None
        self.heard: list[str] = []
        self.credential = self.edge.server(folder)
        self.port = 0

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(host="localhost", port=self.port)

    def code(self, secret: bytes = SECRET) -> str:
        pin = bytes.fromhex(inspect_certificate(self.edge.pem).fingerprint)
        code = EnrolmentCode(tenant=IDENTITY.tenant, secret=Secret(secret), ca_sha256=pin)
        return code.text().reveal()

    def get(self) -> dict[str, Any]:
        return {"edge_ca": self.shown_ca.decode()}

    def enrol(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["code"] != self.code():
            return refusal("CODE_REFUSED")
        return self._issue(body["csr"].encode())

    def renew(self, body: dict[str, Any]) -> dict[str, Any]:
        message = renewal_message(
            tenant=UUID(body["tenant"]), device=UUID(body["device"]),
            csr_pem=body["csr"].encode(), issued_ms=body["issued_ms"],
        )  # fmt: skip
        if self.known_key is None or not signed_by(self.known_key, body["signature"], message):
            return refusal("CODE_REFUSED")
        return self._issue(body["csr"].encode())

    def _issue(self, csr: bytes) -> dict[str, Any]:
        self.known_key = public_key_of_csr(csr)
        certificate = self.devices.issue(
            self.known_key, uris=(IDENTITY.uri,), purpose=Purpose.CLIENT, life=self.life
        )
        return {
            "device": str(IDENTITY.device), "tenant": str(IDENTITY.tenant),
            "certificate": certificate.decode(), "edge_ca": self.edge.pem.decode(),
            "expires_at": "2030-01-01T00:00:00Z", "pins": self.pins,
        }  # fmt: skip

    def name_keys(self, *keys: str, by: ThrowawayCa | None = None) -> None:
        """Say with the next certificate which keys this server may show."""
        pins = ServerPins(version=2, keys=keys)
        signature = (by or self.edge).key.sign(pins_message(pins.text()))
        self.pins = msgspec.to_builtins(sealed_pins(pins, signature))

    @property
    def shown_key(self) -> str:
        return inspect_certificate(self.credential.read_bytes()).spki_sha256.hex()


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "category": "denied", "remedy": "ask"}}


@contextmanager
def running(gateway: Gateway) -> Generator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(gateway.get())

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = json.loads(self.rfile.read(length))
            gateway.heard.append(self.path)
            handle = gateway.enrol if self.path.endswith("enroll") else gateway.renew
            answer = handle(body)
            if gateway.lose_answer:
                self.close_connection = True
                return
            self._answer(answer)

        def _answer(self, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(403 if "error" in answer else 200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(gateway.credential)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    gateway.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def gateway(tmp_path: Path) -> Generator[Gateway]:
    made = Gateway(tmp_path)
    with running(made):
        yield made


def test_a_code_becomes_an_identity_that_only_its_owner_can_read(
    gateway: Gateway, home: Path
) -> None:
    files = DeviceFiles(home)
    record = enrol(files, f"  {gateway.code()}\n", gateway.address)
    assert record == files.load()
    assert record.identity == IDENTITY
    assert record.trust.spki_pins
    assert files.certificate_identity() == IDENTITY
    for path in (home / "identity").iterdir():
        assert path.stat().st_mode & 0o077 == 0


class Ahead(SystemClock):
    """A machine whose clock is twelve seconds fast."""

    def now_ns(self) -> int:
        return super().now_ns() + 12 * NS_PER_S


def test_the_doctor_holds_the_machines_clock_against_the_servers(
    gateway: Gateway, home: Path
) -> None:
    enrol(DeviceFiles(home), gateway.code(), gateway.address)
    for clock, verdict in ((CLOCK, Verdict.OK), (Ahead(), Verdict.WARNING)):
        found = {one.what: one for one in examine(home, clock, TerminalKind.SIM, {})}
        assert found["server"].verdict is Verdict.OK
        assert found["clock"].verdict is verdict
    assert "ahead of" in found["clock"].found
    assert found["terminal"].verdict is Verdict.OK, "a worker tried the twin"


def test_a_server_of_another_authority_hears_no_secret(gateway: Gateway, home: Path) -> None:
    gateway.shown_ca = ThrowawayCa().pem
    with pytest.raises(AitradingError) as refused:
        enrol(DeviceFiles(home), gateway.code(), gateway.address)
    assert refused.value.code == "SERVER_NOT_TRUSTED"
    assert gateway.heard == []
    assert not DeviceFiles(home).is_enrolled


def test_a_man_in_the_middle_who_shows_the_right_authority_hears_no_secret(
    gateway: Gateway, home: Path, tmp_path: Path
) -> None:
    impostor = Gateway(tmp_path)
    impostor.shown_ca = gateway.edge.pem
    with running(impostor), pytest.raises(AitradingError) as refused:
        enrol(DeviceFiles(home), gateway.code(), impostor.address)
    assert refused.value.code == "LINK_NOT_TRUSTED"
    assert impostor.heard == []


def test_a_used_code_is_refused_with_the_servers_words(gateway: Gateway, home: Path) -> None:
    with pytest.raises(AitradingError) as refused:
        enrol(DeviceFiles(home), gateway.code(b"x" * 32), gateway.address)
    assert (refused.value.code, refused.value.spec.remedy) == ("CODE_REFUSED", "ask")
    assert not DeviceFiles(home).is_enrolled


def test_nobody_there(home: Path, gateway: Gateway) -> None:
    with pytest.raises(AitradingError) as refused:
        enrol(DeviceFiles(home), gateway.code(), ServerAddress(host="127.0.0.1", port=1))
    assert refused.value.code == "LINK_UNREACHABLE"


@pytest.mark.parametrize(
    "address",
    ["", "localhost:8000", "http://localhost:8000", "https://", "https://a/b", "https://a:x",
     "https://u@a", "https://a?x=1"],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(AitradingError) as refused:
        parse_server(address)
    assert refused.value.code == "ENROLMENT_ADDRESS_INVALID"


def test_addresses_of_servers() -> None:
    assert parse_server("https://localhost:8000").link_name == "link.localhost"
    assert parse_server("https://x.example/").port == 443
    assert parse_server("https://[::1]:8000").url == "https://[::1]:8000"


def test_a_renewal_replaces_key_and_certificate(gateway: Gateway, home: Path) -> None:
    files = DeviceFiles(home)
    record = enrol(files, gateway.code(), gateway.address)
    before = files.certificate()
    renew(files, record, CLOCK)
    after = files.certificate()
    assert after.key.public_der() == gateway.known_key != before.key.public_der()
    assert files.load() == record


def test_a_lost_answer_locks_nobody_out(gateway: Gateway, home: Path) -> None:
    """The server knows the new key already; the client must have kept it."""
    files = DeviceFiles(home)
    record = enrol(files, gateway.code(), gateway.address)
    gateway.lose_answer = True
    with pytest.raises(AitradingError):
        renew(files, record, CLOCK)
    gateway.lose_answer = False
    renew(files, record, CLOCK)
    assert files.certificate().key.public_der() == gateway.known_key
    assert files.pending() is None


def test_a_renewal_that_never_reached_the_server_is_repeated(gateway: Gateway, home: Path) -> None:
    files = DeviceFiles(home)
    record = enrol(files, gateway.code(), gateway.address)
    files.store_pending(type(files.certificate().key).generate())
    renew(files, record, CLOCK)
    assert files.certificate().key.public_der() == gateway.known_key


def test_two_thirds_of_a_life() -> None:
    assert due_ns(Validity(not_before_ns=0, not_after_ns=72)) == 48


def test_the_keeper_renews_when_it_is_due_and_says_when_it_cannot(
    gateway: Gateway, home: Path
) -> None:
    @async_test
    async def scenario() -> None:
        files = DeviceFiles(home)
        gateway.life = validity(-3_000, 600)
        record = enrol(files, gateway.code(), gateway.address)
        gateway.life = None
        errors = ErrorHandler(
            clock=CLOCK, randomness=SystemRandomness(), metrics=Metrics(),
            resilience=ResilienceRegistry(),
        )  # fmt: skip
        keeper = CertificateKeeper(files, record, clock=CLOCK, errors=errors)
        gateway.lose_answer = True
        await keeper.start()
        assert keeper.state is ComponentState.DEGRADED
        gateway.lose_answer = False
        await keeper.check()
        assert (keeper.state, keeper.renewals) == (ComponentState.HEALTHY, 1)
        await keeper.check()
        assert keeper.renewals == 1
        await keeper.stop()

    scenario()


def test_a_renewal_for_which_there_was_no_room_on_the_disk_happens_later(
    gateway: Gateway, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @async_test
    async def scenario() -> None:
        files, clock = DeviceFiles(home), ManualClock(CLOCK.now_ns())
        gateway.life = validity(-3_000, 600)
        record = enrol(files, gateway.code(), gateway.address)
        gateway.life = None
        errors = ErrorHandler(
            clock=clock, randomness=SystemRandomness(), metrics=Metrics(),
            resilience=ResilienceRegistry(),
        )  # fmt: skip
        keeper = CertificateKeeper(files, record, clock=clock, errors=errors)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        async def later(happened: Callable[[], bool]) -> bool:
            await clock.advance(1)
            return happened()

        with monkeypatch.context() as disk:
            disk.setattr(DeviceFiles, "store_pending", full)
            await keeper.start()
            assert keeper.state is ComponentState.DEGRADED
        with monkeypatch.context() as disk:  # something that nobody has foreseen
            disk.setattr(DeviceFiles, "certificate", full)
            await eventually(lambda: later(lambda: keeper._tasks.statistics().failed == 1))
        await eventually(lambda: later(lambda: keeper.renewals == 1), what="the renewal")
        await clock.advance(AILING_S)
        assert keeper.state is ComponentState.HEALTHY
        await keeper.stop()

    scenario()


@pytest.mark.parametrize("damage", ["record", "credential", "foreign", "missing"])
def test_damaged_identities_are_refused(gateway: Gateway, home: Path, damage: str) -> None:
    files = DeviceFiles(home)
    enrol(files, gateway.code(), gateway.address)
    folder = home / "identity"
    match damage:
        case "record":
            (folder / "device.json").write_text("{}")
        case "credential":
            (folder / "device.pem").write_text("garbage")
        case "foreign":
            text = (folder / "device.json").read_text()
            (folder / "device.json").write_text(
                text.replace(str(IDENTITY.device), str(UUID(int=3)))
            )
        case _:
            (folder / "device.pem").unlink()
    with pytest.raises(AitradingError) as refused:
        files.load()
    assert refused.value.code == "DEVICE_FILES_DAMAGED"


def test_the_backup_key_is_noted_with_the_one_in_use(tmp_path: Path, home: Path) -> None:
    gateway = Gateway(tmp_path)
    with running(gateway):
        gateway.name_keys(gateway.shown_key, "cd" * 32)
        record = enrol(DeviceFiles(home), gateway.code(), gateway.address)
    assert record.server_keys == (gateway.shown_key, "cd" * 32)
    assert record.pins_version == 2


@pytest.mark.parametrize("wrong", ["signer", "keys"])
def test_keys_that_are_not_the_servers_own_enrol_nothing(
    tmp_path: Path, home: Path, wrong: str
) -> None:
    gateway = Gateway(tmp_path)
    with running(gateway):
        if wrong == "signer":
            gateway.name_keys(gateway.shown_key, "cd" * 32, by=ThrowawayCa())
        else:
            gateway.name_keys("ab" * 32, "cd" * 32)
        with pytest.raises(AitradingError) as caught:
            enrol(DeviceFiles(home), gateway.code(), gateway.address)
    assert caught.value.code == "SERVER_PINS_REFUSED"
    assert not DeviceFiles(home).is_enrolled
