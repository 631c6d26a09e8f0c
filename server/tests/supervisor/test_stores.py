"""Servers by URL: the engine stays away, the bundle carries the address, plaintext is refused."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.bundle import ServiceBundle, load_bundle
from aitrading.server.supervisor.assembly import Assembly
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.stores import BUS_RIGHTS, given_servers
from aitrading.server.testing.assembly import assembled
from aitrading.server.testing.engines import running_nats


async def bundle_of(assembly: Assembly, home: Home, service: str) -> ServiceBundle:
    await assembly.plan.specs[service].program.prepare()
    return load_bundle(home.bundles / f"{service}.json")


@async_test
async def test_everything_is_embedded_by_default(short_folder: Path) -> None:
    home = Home(short_folder / "home")
    assembly = assembled(home, {})
    assert {"postgres", "valkey", "nats"} < set(assembly.plan.specs)
    hanging_for_ever = [name for name, spec in assembly.plan.specs.items() if spec.alive is None]
    assert not hanging_for_ever
    bundle = await bundle_of(assembly, home, "database-service")
    assert set(bundle.postgres) == {"migrator", "database"}
    assert bundle.postgres["database"].host == str(home.run / "pg")
    assert bundle.postgres["database"].primary_record is None
    assert bundle.clickhouse is not None
    assert bundle.clickhouse.path == home.clickhouse


@async_test
async def test_a_server_by_url_replaces_one_engine_and_leaves_the_others(
    short_folder: Path,
) -> None:
    home = Home(short_folder / "home")
    url = "postgresql://chief:geheim@db.example.com:5433,db2.example.com/firm?sslmode=verify-full"
    assembly = assembled(home, {"POSTGRES_URL": url})
    assert "postgres" not in assembly.plan.specs
    assert "postgres" not in assembly.plan.specs["database-service"].depends_on
    assert "nats" in assembly.plan.specs["database-service"].depends_on
    bundle = await bundle_of(assembly, home, "database-service")
    migrator, database = bundle.postgres["migrator"], bundle.postgres["database"]
    assert (migrator.host, migrator.port, migrator.database) == ("db.example.com", 5433, "firm")
    assert migrator.tls
    assert [(each.host, each.port) for each in database.servers] == [
        ("db.example.com", 5433),
        ("db2.example.com", 5432),
    ]
    assert (migrator.user, migrator.password) == ("chief", "geheim")
    assert migrator.primary_record == database.primary_record == home.primary_record
    assert database.user == "database"
    assert database.password != "geheim"  # noqa: S105 - that it differs is the point


@async_test
async def test_a_url_reaches_the_bundle_whole(short_folder: Path) -> None:
    home = Home(short_folder / "home")
    url = "https://reader:geheim@clickhouse.example.com:8443/ticks"
    cache = "rediss://cache.example.com:6380/0?sslrootcert=/etc/ca.pem"
    assembly = assembled(home, {"CLICKHOUSE_URL": url, "DRAGONFLYDB_URL": cache})
    assert "valkey" not in assembly.plan.specs
    bundle = await bundle_of(assembly, home, "database-service")
    assert bundle.clickhouse is not None
    assert bundle.clickhouse.url == url
    assert bundle.clickhouse.path is None
    assert bundle.valkey is not None
    assert (bundle.valkey.url, bundle.valkey.user) == (cache, "database-service")


@async_test
async def test_a_service_is_told_only_what_it_needs(short_folder: Path) -> None:
    home = Home(short_folder / "home")
    assembly = assembled(home, {})
    bridge = await bundle_of(assembly, home, "data-bridge")
    assert bridge.postgres == {}
    assert bridge.clickhouse is None
    assert bridge.websocket_socket == home.run / "data-bridge-ws.sock"
    gateway = await bundle_of(assembly, home, "api-gateway")
    assert set(gateway.postgres) == {"identity"}
    assert gateway.websocket_socket is None


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("POSTGRES_URL", "postgresql://db.example.com/x?sslmode=disable"),
        ("CLICKHOUSE_URL", "http://clickhouse.example.com:8123"),
        ("DRAGONFLYDB_URL", "redis://cache.example.com:6379"),
        ("WEAVIATE_URL", "http://weaviate.example.com"),
        ("ARANGODB_URL", "http://arango.example.com:8529"),
        ("NATS_URL", "nats://nats.example.com:4222"),
    ],
)
def test_plaintext_to_a_host_is_refused(variable: str, url: str) -> None:
    with pytest.raises(AitradingError) as refusal:
        given_servers({variable: url})
    assert refusal.value.code == "DATABASE_PLAINTEXT_REFUSED"


@async_test
async def test_servers_of_vectors_and_graph_reach_only_the_database_service(
    short_folder: Path,
) -> None:
    home = Home(short_folder / "home")
    urls = {
        "WEAVIATE_URL": "https://:k@weaviate.example.com",
        "ARANGODB_URL": "https://u:p@arango.example.com:8529/aitrading",
    }
    assembly = assembled(home, urls)
    bundle = await bundle_of(assembly, home, "database-service")
    assert bundle.vectors is not None
    assert bundle.vectors.url == urls["WEAVIATE_URL"]
    assert bundle.graph is not None
    assert bundle.graph.url == urls["ARANGODB_URL"]
    gateway = await bundle_of(assembly, home, "api-gateway")
    assert (gateway.vectors, gateway.graph) == (None, None)


@pytest.mark.integration
@pytest.mark.parametrize("what", ["device.revoked", "identity.subscription_changed"])
@async_test
async def test_only_the_gateway_decides_about_access(tmp_path: Path, what: str) -> None:
    subject = f"ait.01890000-0000-7000-8000-000000000000.{what}"
    async with running_nats(tmp_path, BUS_RIGHTS) as server:
        heard: list[str] = []
        listener = await server.client("data-bridge")
        await listener.subscribe(subject, cb=_noting(heard))
        await listener.flush()
        for user in ("data-bridge", "trading-engine", "database-service", "api-gateway"):
            speaker = await server.client(user)
            await speaker.publish(subject, user.encode())
            await speaker.flush()
            await speaker.close()
        await eventually(lambda: heard, what="the gateway's word")
        await listener.close()
    assert heard == ["api-gateway"]


def _noting(heard: list[str]) -> Callable[[Msg], Awaitable[None]]:
    async def note(message: Msg) -> None:
        heard.append(message.data.decode())

    return note
