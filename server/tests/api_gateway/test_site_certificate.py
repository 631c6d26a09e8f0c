"""A certificate of a public authority at the edge: a real Envoy, real chains, real connections."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from harness.public_authority import Certified, PublicAuthority

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.secret import Secret
from aitrading.core.security.own_authority import ask_for_own_certificate
from aitrading.server.api_gateway.edge.config import Site
from aitrading.server.api_gateway.edge.xds import write_resources

pytestmark = pytest.mark.integration
NAME = "trading.example"
TICK = bytes([0x81, 0x84]) + bytes(4) + b"tick"


@pytest.fixture(scope="module")
def edge(run_edge: Any, serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("edge")
    with run_edge(folder, {"gateway": serving, "bridge": serving}) as edge:
        yield edge


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def authority() -> PublicAuthority:
    return PublicAuthority()


def install(edge: Any, authority: PublicAuthority, site: Certified, *names: str) -> None:
    """As the keeper does it: the certificate first, then what names it."""
    pem = authority.chain(site) + site.key_pem()
    config = replace(edge.config, site=Site(names=names or (NAME,), pem=Secret(pem)))
    make_private_folder(config.site_file.parent)
    write_atomically(config.site_file, pem)
    write_resources(config)


def shown(edge: Any, sni: str, context: ssl.SSLContext | None = None) -> bytes:
    """The certificate that a new connection is shown."""
    with edge.connect(sni, context or anything()) as tls:
        return tls.getpeercert(binary_form=True) or b""


def anything() -> ssl.SSLContext:
    """Like a browser's greeting, believing everything."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def upgraded(edge: Any, sni: str) -> ssl.SSLSocket:
    context = anything()
    context.set_alpn_protocols(["http/1.1"])
    tls: ssl.SSLSocket = edge.connect(sni, context)
    token = edge.bearer()["authorization"]
    lines = (
        "GET /api/v1/stream HTTP/1.1",
        f"host: {sni}",
        f"authorization: {token}",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    tls.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += tls.recv(4096)
    assert answer.split()[1] == b"101"
    return tls


def still_echoes(stream: ssl.SSLSocket) -> bool:
    stream.sendall(TICK)
    return stream.recv(64)[2:] == b"tick"


def test_browsers_are_shown_it_by_name_and_everybody_else_the_own_one(
    edge: Any, authority: PublicAuthority, until: Any, stack: ExitStack
) -> None:
    uri = x509.UniformResourceIdentifier("spiffe://aitrading/tenant/t-1/device/d-1")
    device = edge.pki.issue("device", uri)
    own = shown(edge, NAME, ask_for_own_certificate(anything()))
    write_resources(edge.config)
    assert until(lambda: shown(edge, NAME) == own), "what another test installed is gone"
    first, second = authority.site(NAME), authority.site(NAME, key="RSA-2048")
    streams = [stack.enter_context(upgraded(edge, NAME))]
    install(edge, authority, first)
    assert until(lambda: shown(edge, NAME) == first.der)
    streams.append(stack.enter_context(upgraded(edge, NAME)))
    install(edge, authority, second)
    assert until(lambda: shown(edge, NAME) == second.der)
    streams.append(stack.enter_context(upgraded(edge, NAME)))
    assert shown(edge, NAME, ask_for_own_certificate(anything())) == own
    assert shown(edge, "localhost") == own
    assert shown(edge, f"link.{NAME}", edge.context(device)) == own
    assert edge.request("/link", sni=f"link.{NAME}", device=device).status != 421
    with edge.connect(NAME, trusting(authority)) as tls:
        assert tls.selected_alpn_protocol() is None
    write_resources(edge.config)
    assert until(lambda: shown(edge, NAME) == own)
    for stream in streams:
        assert still_echoes(stream), "no change of the certificate ends a stream"
    assert "rejected" not in edge.output.read_text()


def trusting(authority: PublicAuthority) -> ssl.SSLContext:
    """Knows the root and nobody else, and checks the name: as a browser does."""
    return ssl.create_default_context(cadata=authority.root.pem.decode())


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-4096"])
def test_every_kind_of_key_that_is_taken_can_be_shown(
    edge: Any, authority: PublicAuthority, until: Any, kind: str
) -> None:
    site = authority.site(NAME, key=kind)
    install(edge, authority, site)
    assert until(lambda: shown(edge, NAME) == site.der)
    assert shown(edge, NAME) == site.der
    with edge.connect(NAME, trusting(authority)) as tls:
        assert tls.version() == "TLSv1.3"
