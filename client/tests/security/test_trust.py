"""Real handshakes with right and wrong servers; a wrong one never hears a byte of ours."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aitrading.client.security.trust import ServerTrust, client_context
from aitrading.core.security.crypto import TlsKey, sha256
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.throwaway_ca import ThrowawayCa, validity


class Server:
    def __init__(self, port: int) -> None:
        self.port = port
        self.heard = b""


@asynccontextmanager
async def serving(
    credential: Path, *, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncGenerator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = highest
    context.load_cert_chain(credential)
    server = Server(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server.heard += await reader.read(100)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


async def talk(server: Server, context: ssl.SSLContext, name: str = "localhost") -> None:
    """Connect and send at once, as a client that believes in its connection does."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=context, server_hostname=name
    )
    writer.write(b"secret")
    await writer.drain()
    writer.close()


def trust(authority: ThrowawayCa, *keys: TlsKey) -> ServerTrust:
    pins = frozenset(sha256(key.public_der()) for key in keys)
    return ServerTrust(ca_pem=authority.pem.decode(), spki_pins=pins)


@async_test
async def test_the_right_server_is_believed(tmp_path: Path) -> None:
    authority, key = ThrowawayCa(), TlsKey.generate()
    async with serving(authority.server(tmp_path, key=key)) as server:
        await talk(server, client_context(trust(authority, key, TlsKey.generate())))
        await talk(server, client_context(trust(authority)), "link.localhost")
        await eventually(lambda: server.heard == b"secretsecret", what="what both said")


@pytest.mark.parametrize(
    "wrong", ["authority", "name", "expired", "not yet", "key", "old protocol", "self-signed"]
)
def test_a_wrong_server_hears_nothing(tmp_path: Path, wrong: str) -> None:
    authority, key = ThrowawayCa(), TlsKey.generate()
    life = {"expired": validity(-100, -10), "not yet": validity(100, 200)}.get(wrong)
    credential = authority.server(tmp_path, key=key, life=life)
    believed = trust(authority, key)
    highest = ssl.TLSVersion.TLSv1_3
    match wrong:
        case "authority":
            believed = trust(ThrowawayCa())
        case "key":
            believed = trust(authority, TlsKey.generate())
        case "old protocol":
            highest = ssl.TLSVersion.TLSv1_2
        case "self-signed":
            credential = ThrowawayCa(key=key).server(tmp_path, key=key)
        case _:
            pass

    @async_test
    async def scenario() -> None:
        name = "elsewhere" if wrong == "name" else "localhost"
        async with serving(credential, highest=highest) as server:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await talk(server, client_context(believed), name)
            assert server.heard == b""

    scenario()


def test_the_systems_authorities_are_never_asked() -> None:
    context = client_context(trust(ThrowawayCa()))
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.options & ssl.OP_NO_TICKET
