"""What the edge costs: a request with its token, limits and record, over a plain route beside it.

One Envoy with the configuration that the api-gateway writes and, as the floor, a second listener
that only ends TLS and passes on; both lead to the same upstream over the same kind of connection.
Processor time of Envoy per request is compared, in interleaved rounds, medians counting: the client
is slower than what is measured, so wall time would tell of the client.
"""

import asyncio
import ssl
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast
from uuid import UUID

import msgspec
import uvloop
from typing_extensions import override

from aitrading.core.infrastructure.files import write_atomically
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import ISSUER, USER_AUDIENCE, Authentication, Scope
from aitrading.server.api_gateway.edge.config import (
    EdgeConfig,
    RateLimit,
    Route,
    TokenRules,
    Upstream,
)
from aitrading.server.api_gateway.edge.json_types import Resource, extension, typed
from aitrading.server.api_gateway.edge.keeper import certificate_names
from aitrading.server.api_gateway.edge.listener import SERVER_SECRET, file_source
from aitrading.server.api_gateway.edge.xds import resources, write_resources
from aitrading.server.authority.installation import initialise
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.benchmarks.quote_requests import quotes_per_s
from aitrading.server.engines.envoy import EnvoyEngine, EnvoySetup
from aitrading.server.engines.proc import use_of
from aitrading.server.kit.authentication import ACCESS_COOKIE
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import running, socket_folder

ROUNDS: Final = 7
REQUESTS: Final = 3_000
LONG_FACTOR: Final = 5
PIPELINED: Final = 50
US_PER_S: Final = 1_000_000
PATH: Final = "/api/v1/quotes"
PROBE: Final = "/health/live"
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}"
)
_GOOD: Final = b"HTTP/1.1 200"
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


class _Upstream(asyncio.Protocol):
    """Answers every head of a request with the same two bytes."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER * data.count(b"\r\n\r\n"))


async def run(*, long: bool = False) -> Figures:
    """What the edge costs, then a whole platform that answers quotes."""
    with TemporaryDirectory() as folder, socket_folder() as sockets:
        requests = REQUESTS * (LONG_FACTOR if long else 1)
        figures = await _measured(Path(folder), sockets, requests)
    return {**figures, "gateway.get_per_s": round(await quotes_per_s())}


async def _measured(folder: Path, sockets: Path, requests: int) -> Figures:
    clock = SystemClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    authority = initialise(folder, clock, ids)
    jwks = (folder / "trust" / "user-keys.jwks").read_text(encoding="utf-8")
    config = _config(folder, sockets, jwks)
    issued = authority.issue_edge(certificate_names(config))
    config.certificate.parent.mkdir(parents=True)
    write_atomically(config.private_key, issued.private_key_pem.reveal())
    write_atomically(config.certificate, issued.certificate_pem)
    floor_port = free_port()
    _write(config, floor_port)
    grant = TokenGrant(
        tenant=TenantId(UUID(int=1)),
        user=UserId(UUID(int=2)),
        session=UUID(int=3),
        scopes=frozenset({Scope.READ}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=clock.now_ns(),
    )
    token = authority.user_token_issuer().issue(grant).token.reveal()
    head = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\n"
    full = f"{head}authorization: Bearer {token}\r\n\r\n".encode()
    plain = f"{head}\r\n".encode()
    trust = ssl.create_default_context(cafile=str(folder / "trust" / "edge-ca.pem"))
    engine = EnvoyEngine(_setup(folder, sockets, config))
    loop = asyncio.get_running_loop()
    async with (
        await loop.create_unix_server(_Upstream, str(config.upstreams[0].socket)),
        running(engine, folder) as envoy,
    ):
        edge_us: list[float] = []
        floor_us: list[float] = []
        for _ in range(ROUNDS):
            for port, request, spent in (
                (config.port, full, edge_us),
                (floor_port, plain, floor_us),
            ):
                began = use_of([envoy.pid]).cpu_s
                await _ask(port, trust, request, requests)
                spent.append((use_of([envoy.pid]).cpu_s - began) * US_PER_S / requests)
    edge, floor = statistics.median(edge_us), statistics.median(floor_us)
    return {
        "gateway.edge_us": edge,
        "gateway.floor_us": floor,
        "gateway.edge_ratio": edge / max(floor, 1.0),
    }


async def _ask(port: int, trust: ssl.SSLContext, request: bytes, requests: int) -> None:
    """So many at once on one connection; raises when one is not answered well."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname="localhost"
    )
    try:
        for _ in range(requests // PIPELINED):
            writer.write(request * PIPELINED)
            for _ in range(PIPELINED):
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(_GOOD):
                    raise RuntimeError(f"the edge answered {head[:64]!r}")
                await reader.readexactly(2)
    finally:
        writer.close()
        await writer.wait_closed()


def _config(folder: Path, sockets: Path, jwks: str) -> EdgeConfig:
    unlimited = RateLimit(burst=1 << 24, per_minute=1_200 << 14)
    return EdgeConfig(
        address="127.0.0.1",
        port=free_port(),
        hosts=("localhost",),
        certificate=folder / "envoy" / "tls" / "edge.pem",
        private_key=folder / "envoy" / "tls" / "edge.key.pem",
        device_ca=folder / "trust" / "device-ca.pem",
        xds_folder=folder / "envoy" / "xds",
        token=TokenRules(issuer=ISSUER, audience=USER_AUDIENCE, cookie=ACCESS_COOKIE, jwks=jwks),
        upstreams=(Upstream(name="upstream", socket=sockets / "upstream.sock"),),
        routes=(Route(path=PATH, upstream="upstream"),),
        link_upstream="upstream",
        limit_per_address=unlimited,
    )


def _setup(folder: Path, sockets: Path, config: EdgeConfig) -> EnvoySetup:
    return EnvoySetup(
        run_folder=sockets,
        xds_folder=config.xds_folder,
        host="127.0.0.1",
        port=config.port,
        server_name="localhost",
        probe_path=PROBE,
        edge_ca=folder / "trust" / "edge-ca.pem",
    )


def _write(config: EdgeConfig, floor_port: int) -> None:
    write_resources(config)
    both = [*resources(config)["lds"], _floor(config, floor_port)]
    write_atomically(config.xds_folder / "lds.json", msgspec.json.encode({"resources": both}))


def _floor(config: EdgeConfig, port: int) -> Resource:
    """TLS, and everything to the one upstream: nothing is checked, limited or recorded."""
    everything: Resource = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    http = extension(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="floor",
        route_config={
            "name": "floor",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}],
        },
        http_filters=[
            extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
        ],
    )
    tls = extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificate_sds_secret_configs": [
                {"name": SERVER_SECRET, "sds_config": file_source(config, "sds")}
            ]
        },
    )
    return typed(
        "config.listener.v3.Listener",
        name="floor",
        address={"socket_address": {"address": config.address, "port_value": port}},
        filter_chains=[{"transport_socket": tls, "filters": [http]}],
    )
