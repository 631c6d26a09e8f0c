"""Calls between services: who gets in, seen on the server's side, and what a caller learns."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.logging.optimized_log_router import bind_context
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.installation import initialise
from aitrading.server.kit import internal_client
from aitrading.server.kit.bundle import PeerAddress, TlsFiles
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.mtls import (
    RenewedTls,
    client_context,
    reload_certificate,
    server_context,
)
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving, tls_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
TAKEN = ErrorSpec(
    code="THING_TAKEN",
    category=Category.DENIED,
    message="{name} is {{taken}}.",
    why="",
    remedy="Another one.",
    http_status=409,
)


class Seen(msgspec.Struct):
    caller: str = ""
    trace_id: str = ""
    size: int = 0


class Desk:
    """What peers may ask."""

    def __init__(self) -> None:
        self.calls = 0
        self.hold = asyncio.Event()

    @endpoint("GET", "/internal/v1/who", access=peers("friend"), answer=Seen)
    async def who(self, call: Call) -> Seen:
        self.calls += 1
        return Seen(caller=call.caller.name, trace_id=call.trace.trace_id)

    @endpoint(
        "POST", "/internal/v1/size", access=peers("friend"), body=bytes, body_limit_bytes=1 << 22
    )
    async def size(self, call: Call) -> Seen:
        return Seen(size=len(await call.body()))

    @endpoint("GET", "/internal/v1/taken", access=peers("friend"))
    async def taken(self, _call: Call) -> None:
        raise TAKEN.error(name="it")

    @endpoint("GET", "/internal/v1/held", access=peers("friend"))
    async def held(self, _call: Call) -> Seen:
        self.calls += 1
        await self.hold.wait()
        return Seen()


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[InProcessServer, Desk]]:
    with socket_folder() as home:
        owner = Desk()
        async with serving(InProcessServer(Path(home), "desk", SystemClock()), [owner]) as server:
            yield server, owner


async def refusal(client: InternalClient, path: str = "/internal/v1/who") -> str:
    with pytest.raises(AitradingError) as caught:
        await client.get(path, answer=Seen)
    return caught.value.code


@async_test
async def test_a_peer_is_known_by_certificate_and_token_with_the_trace() -> None:
    async with desk() as (server, _):
        client = server.client("friend")
        with bind_context(trace_id=TRACE, span_id="b7ad6b7169203331"):
            seen = await client.get("/internal/v1/who", answer=Seen)
        assert seen == Seen(caller="friend", trace_id=TRACE)


@async_test
async def test_strangers_never_reach_a_handler() -> None:
    async with desk() as (server, owner):
        assert await refusal(server.client("stranger")) == "PEER_CALL_REFUSED"
        assert await refusal(server.client("stranger", claims="friend")) == "PEER_CALL_REFUSED"
        assert await refusal(server.client("friend", claims="stranger")) == "PEER_CALL_REFUSED"
        tokenless = server.client("friend")
        tokenless._tokens = None
        assert await refusal(tokenless) == "PEER_CALL_REFUSED"
        for_another = server.client("friend")
        source = for_another._tokens
        assert source is not None
        headers = {"authorization": f"Bearer {source.token_for('another-service')}"}
        for_another._tokens = None
        with pytest.raises(AitradingError) as caught:
            await for_another.request("GET", "/internal/v1/who", headers=headers)
        assert caught.value.code == "PEER_CALL_REFUSED"
        assert owner.calls == 0


@async_test
async def test_the_edge_cannot_reach_internal_endpoints_even_with_a_token() -> None:
    async with desk() as (server, owner):
        source = server.client("friend")._tokens
        assert source is not None
        headers = {"authorization": f"Bearer {source.token_for('desk')}"}
        answer = await server.edge("GET", "/internal/v1/who", headers=headers)
        assert (answer.status, answer.code) == (403, "PEER_CALL_REFUSED")
        assert owner.calls == 0


def handshake(listening: socket.socket, context: ssl.SSLContext) -> str:
    """Accept one connection and tell what the server side saw: a reason, or what it read."""
    connection, _ = listening.accept()
    with connection:
        connection.settimeout(10)
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                return secured.recv(100).decode()
        except ssl.SSLError as exc:
            return exc.reason or "refused"


async def knock(port: int, context: ssl.SSLContext) -> None:
    """Connect and send; the client of TLS 1.3 may believe that it worked."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(b"secret")
        await reader.read()
        writer.close()
        await writer.wait_closed()
    except (OSError, ssl.SSLError):
        return


def foreign(tls: TlsFiles, own: TlsFiles) -> ssl.SSLContext:
    """Trusts the server, shows a certificate of another authority."""
    context = client_context(own)
    context.load_verify_locations(cafile=str(tls.ca))
    return context


@async_test
async def test_the_server_refuses_no_and_foreign_certificates(tmp_path: Path) -> None:
    clock = SystemClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    ours, theirs = (initialise(tmp_path / name, clock, ids) for name in ("ours", "theirs"))
    tls = tls_of(ours.write_service("desk", tmp_path / "ours"))
    other = tls_of(theirs.write_service("desk", tmp_path / "theirs"))
    nothing = ssl.create_default_context(cafile=str(tls.ca))
    callers = (
        (nothing, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (foreign(tls, other), "CERTIFICATE_VERIFY_FAILED"),
        (client_context(tls), "secret"),
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for context, expected in callers:
            async with asyncio.TaskGroup() as tasks:
                seen = tasks.create_task(
                    asyncio.to_thread(handshake, listening, server_context(tls))
                )
                tasks.create_task(knock(port, context))
            assert seen.result() == expected


@async_test
async def test_a_device_certificate_opens_no_internal_door(tmp_path: Path) -> None:
    """The device authority signs for the edge only."""
    async with desk() as (server, owner):
        assert server.authority.device.certificate_pem != server.authority.internal.certificate_pem
        tls = tls_of(server.files("friend"))
        edge_leaf = server.authority.issue_edge(["localhost"])
        certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
        certificate.write_bytes(edge_leaf.certificate_pem)
        key.write_bytes(edge_leaf.private_key_pem.reveal())
        client = server.client("friend")
        wrong = TlsFiles(certificate=certificate, private_key=key, ca=tls.ca)
        client._tls = client_context(wrong)
        assert await refusal(client) == "PEER_UNREACHABLE"
        assert owner.calls == 0


@async_test
async def test_an_older_tls_version_is_refused() -> None:
    async with desk() as (server, owner):
        tls = tls_of(server.files("friend"))
        context = client_context(tls)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        client = server.client("friend")
        client._tls = context
        assert await refusal(client) == "PEER_UNREACHABLE"
        assert owner.calls == 0


@async_test
async def test_another_service_in_the_place_of_the_peer_gets_nothing() -> None:
    """The chain is good, the name is not: no token is sent to it."""
    async with desk() as (server, owner):
        client = server.client("friend")
        client._peer = "database-service"
        assert await refusal(client) == "PEER_PROTOCOL"
        assert owner.calls == 0


@async_test
async def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    clock = SystemClock()
    authority = initialise(tmp_path, clock, SystemIdFactory(clock, SystemRandomness()))
    tls = tls_of(authority.write_service("desk", tmp_path))
    context = server_context(tls)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]

        async def serial() -> object:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context(tls)
            )
            certificate = writer.get_extra_info("ssl_object").getpeercert()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            return certificate["serialNumber"]

        before = await serial()
        authority.write_service("desk", tmp_path)
        reload_certificate(context, tls)
        assert await serial() != before


@async_test
async def test_a_caller_shows_its_renewed_certificate_without_a_restart(tmp_path: Path) -> None:
    """A client lives for months, its first certificate for a day."""
    clock = SystemClock()
    authority = initialise(tmp_path, clock, SystemIdFactory(clock, SystemRandomness()))
    desk_files = tls_of(authority.write_service("desk", tmp_path))
    friend = tls_of(authority.write_service("friend", tmp_path))
    seen: list[object] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    context = server_context(desk_files)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        address = PeerAddress(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        client = InternalClient(peer="desk", address=address, clock=clock, tls=RenewedTls(friend))
        await client.request("GET", "/")
        await client.request("GET", "/")
        authority.renew_service("friend", tmp_path)
        await client.request("GET", "/")
        await client.close()
    assert seen[0] == seen[1] != seen[2]


@async_test
async def test_connections_are_kept_and_replaced_when_stale() -> None:
    async with desk() as (server, _):
        client = server.client("friend")
        for _round in range(5):
            await client.get("/internal/v1/who", answer=Seen)
        assert client.statistics().opened == 1
        client._idle[0]._writer.transport.abort()
        await client.get("/internal/v1/who", answer=Seen)
        assert client.statistics().opened == 2
        assert client.statistics().failures == 0


@async_test
async def test_an_old_idle_connection_is_not_used() -> None:
    async with desk() as (server, _):
        client, clock = server.client("friend"), ManualClock()
        await client.get("/internal/v1/who", answer=Seen)
        client._clock = clock
        client._idle[0].idle_since_ns = clock.monotonic_ns()
        clock._monotonic_ns += 61 * NS_PER_S
        await client.get("/internal/v1/who", answer=Seen)
        assert client.statistics().opened == 2


@async_test
async def test_large_bodies_travel_whole() -> None:
    async with desk() as (server, _):
        client = server.client("friend")
        for size in (0, 1, 1 << 20):
            seen = await client.post("/internal/v1/size", body=b"x" * size, answer=Seen)
            assert seen.size == size


@async_test
async def test_the_peers_own_error_arrives_unchanged() -> None:
    async with desk() as (server, _):
        with pytest.raises(AitradingError) as caught:
            await server.client("friend").get("/internal/v1/taken", answer=Seen)
        error = caught.value
        assert (error.code, error.message) == ("THING_TAKEN", "it is {taken}.")
        assert (error.spec.category, error.spec.http_status) == (Category.DENIED, 409)
        assert error.fields.pop("trace_id"), "the trace of the peer's answer"
        assert error.fields == {"name": "it"}
        assert error.spec.remedy == "Another one."


@async_test
async def test_a_late_answer_is_a_timeout_and_its_connection_is_dropped() -> None:
    async with desk() as (server, owner):
        client = server.client("friend")
        with pytest.raises(AitradingError) as caught:
            await client.get("/internal/v1/held", answer=Seen, timeout_s=0.1)
        assert caught.value.code == "PEER_TIMEOUT"
        assert client.statistics().idle == 0
        owner.hold.set()
        assert (await client.get("/internal/v1/who", answer=Seen)).caller == "friend"


@async_test
async def test_a_cancelled_call_leaves_no_half_read_connection() -> None:
    async with desk() as (server, owner):
        client = server.client("friend")
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(client.get("/internal/v1/held", answer=Seen))
            await eventually(lambda: owner.calls)
            call.cancel()
        owner.hold.set()
        assert client.statistics().in_use == 0
        assert (await client.get("/internal/v1/who", answer=Seen)).caller == "friend"


@async_test
async def test_too_many_calls_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internal_client, "MAX_WAITING_CALLS", 0)
    async with desk() as (server, owner):
        client = server.client("friend")
        client._room = asyncio.Semaphore(1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.get("/internal/v1/held", answer=Seen))
            await eventually(lambda: owner.calls)
            assert await refusal(client) == "PEER_BUSY"
            owner.hold.set()


@async_test
async def test_nobody_there_is_said_so() -> None:
    client = InternalClient(
        peer="desk", address=PeerAddress(host="127.0.0.1", port=1), clock=SystemClock()
    )
    assert await refusal(client) == "PEER_UNREACHABLE"
    assert "desk" in repr(client)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "PEER_UNREACHABLE"),
        (b"hello\r\n\r\n", "PEER_PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "PEER_PROTOCOL"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{", "PEER_PROTOCOL"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"size": "x"}', "PEER_PROTOCOL"),
        (b"HTTP/1.1 502 Bad\r\ncontent-length: 4\r\n\r\noops", "PEER_PROTOCOL"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", ""),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", ""),
    ],
    ids=["silence", "no http", "cut", "no json", "wrong type", "bare 502", "100 first", "to end"],
)
@async_test
async def test_a_peer_that_answers_badly_is_named(raw: bytes, code: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    with socket_folder() as folder:
        path = folder / "bad.sock"
        server = await asyncio.start_unix_server(answer, path)
        async with server:
            client = InternalClient(peer="bad", address=path, clock=SystemClock())
            if code:
                assert await refusal(client, "/x") == code
            else:
                assert await client.get("/x", answer=Seen) == Seen()
            await client.close()


@async_test
async def test_tokens_are_used_until_shortly_before_their_end(tmp_path: Path) -> None:
    clock = ManualClock()
    server = InProcessServer(tmp_path, "desk", clock)
    source = server.client("friend")._tokens
    assert source is not None
    first = source.token_for("desk")
    await clock.advance(44)
    assert source.token_for("desk") == first
    await clock.advance(2)
    second = source.token_for("desk")
    assert second != first
    assert source.token_for("other") != second
    assert server.verifier().verify_service(second, "desk").name == "friend"


def test_replaced_keys_are_noticed(tmp_path: Path) -> None:
    server = InProcessServer(tmp_path, "desk", ManualClock())
    verifier = server.verifier()
    old, new = server.client("friend")._tokens, server.client("friend")._tokens
    assert old is not None
    assert new is not None
    assert verifier.verify_service(new.token_for("desk"), "desk").name == "friend"
    with pytest.raises(AitradingError):
        verifier.verify_service(old.token_for("desk"), "desk")
