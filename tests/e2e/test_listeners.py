"""Every port of a running platform is one that the policy knows, and speaks TLS as it says."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from harness.platform import Platform

from aitrading.server.policy import tls_policy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
LISTENING: Final = "0A"
MUTUAL: Final = ("api-gateway", "data-bridge", "trading-engine", "database-service")


def sockets_of(pid: int) -> set[str]:
    """Inodes of a process's sockets."""
    found: set[str] = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


def listening(pid: int) -> Iterator[tuple[str, int]]:
    """Address in hex, and port, of each TCP listener of a process."""
    own = sockets_of(pid)
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == LISTENING and part[9] in own:
                address, port = part[1].split(":")
                yield address, int(port, 16)


def pids(platform: Platform) -> dict[str, int]:
    told = platform.told()
    kinds = ("services", "engines", "clients")
    return {name: int(part["pid"]) for kind in kinds for name, part in told[kind].items()}


def ports(platform: Platform) -> dict[str, set[int]]:
    return {name: {port for _, port in listening(pid)} for name, pid in pids(platform).items()}


def context(platform: Platform, name: str | None = None) -> ssl.SSLContext:
    """As somebody who trusts anything, and shows the certificate of a service."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if name is not None:
        folder = platform.home / "run" / "bundles"
        made.load_cert_chain(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
    return made


def handshake(port: int, made: ssl.SSLContext, *, greets: bool) -> tuple[str, str]:
    """Version and cipher that were agreed on; NATS speaks a line of its own first."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        if greets:
            assert plain.recv(65_536).startswith(b"INFO ")
        with made.wrap_socket(plain, server_hostname="localhost") as tls:
            cipher = tls.cipher()
            assert cipher is not None
            return str(tls.version()), cipher[0]


def test_nothing_listens_that_nobody_knows_of_and_nothing_on_the_network(
    platform: Platform,
) -> None:
    found = ports(platform)
    speaking = {name for name, open_ports in found.items() if open_ports}
    assert speaking == {*MUTUAL, "nats", "envoy", "demo-client"}
    several = {name: len(found[name]) for name in speaking if len(found[name]) != 1}
    assert several == {"demo-client": 4}, "one for each of its parts"
    loopback = {"0100007F", "00000000000000000000000001000000"}
    everywhere = {address for pid in pids(platform).values() for address, _ in listening(pid)}
    assert everywhere <= loopback


@pytest.mark.parametrize("name", [*MUTUAL, "nats", "envoy"])
def test_a_listener_speaks_tls_as_the_policy_says(platform: Platform, name: str) -> None:
    (port,) = ports(platform)[name]
    greets = name == "nats"
    version, cipher = handshake(port, context(platform, "admin"), greets=greets)
    assert version == f"TLSv{tls_policy().maximum}"
    assert cipher in tls_policy().ciphers
    older = context(platform, "admin")
    older.minimum_version = ssl.TLSVersion.TLSv1_2
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(port, older, greets=greets)


@pytest.mark.parametrize("name", MUTUAL)
def test_without_a_certificate_a_peer_s_listener_says_nothing(
    platform: Platform, name: str
) -> None:
    """With TLS 1.3 the refusal comes at the first read."""
    (port,) = ports(platform)[name]
    answer = b""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context(platform).wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = tls.recv(4096)
    assert answer == b""


@pytest.mark.parametrize("name", [*MUTUAL, "envoy"])
def test_plain_text_is_not_answered(platform: Platform, name: str) -> None:
    (port,) = ports(platform)[name]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = b""
        with suppress(OSError):
            answer = plain.recv(4096)
    assert not answer.startswith(b"HTTP/")
