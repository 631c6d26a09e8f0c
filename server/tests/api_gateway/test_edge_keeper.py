"""What Envoy reads is kept true: certificate, token keys; a failure leaves the last good files."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.public_authority import DAY, PublicAuthority

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.service_registry import (
    PublishedRoute,
    RegistryChange,
    RouteAccess,
    ServiceRecord,
)
from aitrading.core.kit.clock import NS_PER_S, datetime_of_ns
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.edge.assembly import RegisteredEdge
from aitrading.server.api_gateway.edge.keeper import (
    LOOK_AGAIN_S,
    PAUSE_S,
    RENEW_BEFORE_END_S,
    EdgeKeeper,
    certificate_names,
)
from aitrading.server.api_gateway.edge.site_endpoints import site_health
from aitrading.server.api_gateway.settings import GatewaySettings
from aitrading.server.authority.installation import Authority, initialise
from aitrading.server.kit.admitted_services import ADMITTED_FILE, Guest
from aitrading.server.kit.bundle import HttpListener, ServiceBundle, TlsFiles

LEAF_DAYS = 30


class Installation:
    """A home with a real authority and the keeper under test, under a manual clock."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = ManualClock()
        self.authority: Authority = initialise(
            home, self.clock, SystemIdFactory(self.clock, SystemRandomness())
        )
        self.errors = ErrorHandler(
            clock=self.clock,
            randomness=SystemRandomness(),
            metrics=Metrics(),
            resilience=ResilienceRegistry(),
        )
        self.registered: list[ServiceRecord] = []
        self.settings = GatewaySettings(hosts=("localhost", "[::1]", "trading.example"))
        self.config = RegisteredEdge(
            self.bundle(), self.settings, lambda: self.registered, self.authority.site.current
        )
        self.keeper = EdgeKeeper(
            self.config,
            self.authority.issue_edge,
            follow=self.follow,
            clock=self.clock,
            errors=self.errors,
        )

    def follow(self, listener: Any) -> Any:
        self.listener = listener
        return lambda: None

    def admit(self, *names: str) -> None:
        """Let exactly these be admitted."""
        guests = [Guest(name=name, port=0) for name in names]
        (self.home / ADMITTED_FILE).write_bytes(msgspec.json.encode(guests))

    async def register(self, *records: ServiceRecord) -> None:
        """Let exactly these be registered, and wait until the keeper has seen it."""
        self.registered = list(records)
        seen = await eventually(lambda: self.clock.sleeping, what="the keeper's first look")
        self.listener(RegistryChange(key="x", record=None))
        await eventually(lambda: self.clock.sleeping == seen + 1, what="the keeper's answer")
        await self.clock.advance(PAUSE_S)

    def resource(self, stem: str) -> Any:
        path = self.home / "envoy" / "xds" / f"{stem}.json"
        return json.loads(path.read_bytes())["resources"]

    def routed(self) -> dict[str, str]:
        """Path → cluster."""
        hosts = self.resource("rds-public")[0]["virtual_hosts"]
        routes = next(host["routes"] for host in hosts if "localhost" in host["domains"])
        return {each["name"]: each["route"]["cluster"] for each in routes if "route" in each}

    def bundle(self) -> ServiceBundle:
        nowhere = Path("unused")
        return ServiceBundle(
            service="api-gateway",
            instance="i",
            version="1",
            environment="development",
            home=self.home,
            demo=False,
            tls=TlsFiles(certificate=nowhere, private_key=nowhere, ca=nowhere),
            listener=HttpListener(
                socket=self.home / "run" / "api-gateway.sock", host="127.0.0.1", port=8002
            ),
            control_fd=None,
            peers={},
            service_keys=self.home / "trust" / "service-keys.jwks",
            user_keys=self.home / "trust" / "user-keys.jwks",
        )

    @property
    def certificate(self) -> Path:
        return self.home / "envoy" / "tls" / "edge.pem"

    def token_keys(self) -> list[str]:
        resource = json.loads((self.home / "envoy" / "xds" / "ecds.json").read_bytes())
        provider = resource["resources"][0]["typed_config"]["providers"]["user"]
        keys = json.loads(provider["local_jwks"]["inline_string"])["keys"]
        return [key["kid"] for key in keys]

    async def pass_time(self, seconds: float) -> None:
        """Let the keeper look again at that time, and wait until it has."""
        await self.clock.advance(seconds)
        await eventually(lambda: self.clock.sleeping == 1, what="the keeper's next look")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    return Installation(tmp_path)


def test_after_start_envoy_finds_everything(installation: Installation) -> None:
    async def scenario() -> None:
        await installation.keeper.start()
        await installation.keeper.stop()

    asyncio.run(scenario())
    names = {path.name for path in (installation.home / "envoy" / "xds").iterdir()}
    assert names >= {"lds.json", "cds.json", "rds-public.json", "rds-link.json", "sds.json"}
    assert installation.certificate.stat().st_mode & 0o777 == 0o600
    key = installation.certificate.with_name("edge.key.pem")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(installation.certificate, key)
    assert len(installation.token_keys()) == 1


def test_the_certificate_names_hosts_and_their_link_names(installation: Installation) -> None:
    assert set(certificate_names(installation.config())) == {
        "localhost",
        "::1",
        "trading.example",
        "link.localhost",
        "link.trading.example",
    }


def test_a_new_token_key_reaches_envoy(installation: Installation) -> None:
    async def scenario() -> None:
        await installation.keeper.start()
        await eventually(lambda: installation.clock.sleeping == 1)
        before = installation.token_keys()
        installation.authority.rotate_user_key()
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: len(installation.token_keys()) == 2)
        assert set(before) < set(installation.token_keys())
        await installation.keeper.stop()

    asyncio.run(scenario())


def test_the_certificate_is_renewed_before_it_ends_with_the_same_key(
    installation: Installation,
) -> None:
    async def scenario() -> None:
        await installation.keeper.start()
        await eventually(lambda: installation.clock.sleeping == 1)
        key = installation.certificate.with_name("edge.key.pem")
        first, first_key = installation.certificate.read_bytes(), key.read_bytes()
        await installation.pass_time(LOOK_AGAIN_S)
        assert installation.certificate.read_bytes() == first
        await installation.pass_time(LEAF_DAYS * 24 * 3600 - RENEW_BEFORE_END_S)
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: installation.certificate.read_bytes() != first)
        assert key.read_bytes() == first_key
        await installation.keeper.stop()

    asyncio.run(scenario())


def test_an_installed_certificate_is_shown_under_its_names_and_its_key_goes_with_it(
    installation: Installation,
) -> None:
    authority = PublicAuthority()
    file = installation.home / "envoy" / "site" / "site.pem"

    def chains() -> list[str]:
        return [each["name"] for each in installation.resource("lds")[0]["filter_chains"]]

    def install(name: str) -> bytes:
        site = authority.site(name)
        installation.authority.site.install(authority.chain(site), Secret(site.key_pem()))
        return authority.chain(site) + site.key_pem()

    async def scenario() -> None:
        await installation.keeper.start()
        assert (chains(), file.exists()) == (["link"], False)
        before = (installation.home / "envoy" / "xds" / "lds.json").read_bytes()
        pem = install("*.example")
        await installation.keeper.look_again()
        assert chains() == ["link", "site", "own"]
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (pem, 0o600)
        site, own = installation.resource("lds")[0]["filter_chains"][1:]
        assert site["filter_chain_match"] == {"server_names": ["trading.example"]}
        assert own["filter_chain_match"]["application_protocols"] == ["aitrading"]
        install("elsewhere.example")  # no name of ours any more
        await installation.keeper.look_again()
        assert (chains(), file.exists()) == (["link"], False)
        assert (installation.home / "envoy" / "xds" / "lds.json").read_bytes() == before
        await installation.keeper.stop()

    asyncio.run(scenario())


def test_health_tells_when_a_renewal_is_missing(installation: Installation) -> None:
    authority = PublicAuthority(moment=datetime_of_ns(installation.clock.now_ns()))
    site = authority.site("trading.example", ends=30 * DAY, begins=-60 * DAY)
    assert site_health(None, 0).state is ComponentState.HEALTHY
    installation.authority.site.install(authority.chain(site), Secret(site.key_pem()))

    def told(days: int) -> tuple[ComponentState, str]:
        now_ns = installation.clock.now_ns() + days * 24 * 3600 * NS_PER_S
        health = site_health(installation.authority.site.current(), now_ns)
        assert not health.critical
        return health.state, (health.detail or "").partition("shown ")[2].partition(" ")[0]

    assert told(8) == (ComponentState.HEALTHY, "")
    assert told(10) == (ComponentState.DEGRADED, "ends")
    assert told(31) == (ComponentState.DEGRADED, "ended")


def test_a_failure_leaves_the_last_good_files_and_shows(installation: Installation) -> None:
    async def scenario() -> None:
        await installation.keeper.start()
        await eventually(lambda: installation.clock.sleeping == 1)
        keys = installation.home / "trust" / "user-keys.jwks"
        good = installation.token_keys()
        moved = keys.rename(keys.with_suffix(".away"))
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: installation.keeper.state is ComponentState.DEGRADED)
        assert installation.token_keys() == good
        moved.rename(keys)
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: installation.keeper.state is ComponentState.HEALTHY)
        await installation.keeper.stop()

    asyncio.run(scenario())


def test_without_keys_the_edge_does_not_start(installation: Installation) -> None:
    (installation.home / "trust" / "user-keys.jwks").unlink()
    with pytest.raises(FileNotFoundError):
        asyncio.run(installation.keeper.start())


def service(name: str, *routes: PublishedRoute, started_ns: int = 1) -> ServiceRecord:
    return ServiceRecord(
        name=name,
        instance="1",
        address="127.0.0.1:8005",
        version="1",
        state=ComponentState.HEALTHY,
        lease_until_ns=1 << 62,
        started_ns=started_ns,
        routes=routes,
    )


def test_who_registers_is_routed_and_who_ends_stays_known(installation: Installation) -> None:
    """What has gone answers 503 from its cluster; 404 would say that it never existed."""

    async def scenario() -> list[dict[str, str]]:
        installation.admit("weather")
        await installation.keeper.start()
        seen = [installation.routed()]
        await installation.register(service("weather", PublishedRoute(path="/api/v1/weather")))
        seen.append(installation.routed())
        await installation.register()
        seen.append(installation.routed())
        await installation.keeper.stop()
        return seen

    before, during, after = asyncio.run(scenario())
    assert "/api/v1/weather" not in before
    assert during == before | {"/api/v1/weather": "weather"} == after
    (cluster,) = [each for each in installation.resource("cds") if each["name"] == "weather"]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    socket = installation.home / "run" / "weather.sock"
    assert endpoint["address"] == {"pipe": {"path": str(socket)}}


def test_who_was_dismissed_is_routed_no_more_though_it_still_runs(
    installation: Installation,
) -> None:
    async def scenario() -> None:
        rogue = service("rogue", PublishedRoute(path="/api/v1/rogue"))
        weather = service("weather", PublishedRoute(path="/api/v1/weather"))
        installation.admit("weather")
        await installation.keeper.start()
        house = installation.routed()
        await installation.register(rogue, weather)
        assert installation.routed() == house | {"/api/v1/weather": "weather"}, "nobody let it in"
        installation.admit()
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: installation.routed() == house, what="the dismissal")
        assert not [each for each in installation.resource("cds") if each["name"] == "weather"]
        installation.admit("weather")
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: "/api/v1/weather" in installation.routed(), what="the admission")
        await installation.keeper.stop()

    asyncio.run(scenario())


def test_a_damaged_list_of_admitted_services_leaves_the_last_routes_and_shows(
    installation: Installation,
) -> None:
    async def scenario() -> None:
        await installation.keeper.start()
        await eventually(lambda: installation.clock.sleeping == 1)
        house = installation.routed()
        (installation.home / ADMITTED_FILE).write_bytes(b"[{")
        await installation.pass_time(LOOK_AGAIN_S)
        await eventually(lambda: installation.keeper.state is ComponentState.DEGRADED)
        assert installation.routed() == house
        await installation.keeper.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("weather", PublishedRoute(path="/api/v1/auth/login")),
        ("weather", PublishedRoute(path="/api/v1/auth/login", access=RouteAccess.GUESSED)),
        ("weather", PublishedRoute(path="/")),
        ("weather", PublishedRoute(path="/api/v1", below=True)),
        ("weather", PublishedRoute(path="/internal/v1/devices")),
        ("weather", PublishedRoute(path="/link")),
        ("weather", PublishedRoute(path="/api/v1/weatherpaper")),
        ("weather", PublishedRoute(path="/api/v1/weather/../auth")),
        ("weather", PublishedRoute(path="/api/v1/weather//x")),
        ("weather", PublishedRoute(path="/api/v1/weather/%2e%2e")),
        ("weather", PublishedRoute(path="/api/v1/weather", access=RouteAccess.PUBLIC)),
        ("weather", PublishedRoute(path="/api/v1/weather", body_limit_bytes=1 << 30)),
        ("weather", PublishedRoute(path="/api/v1/weather", timeout_s=0)),
        ("weather", PublishedRoute(path="/api/v1/weather" + "/x" * 100)),
        ("data-bridge", PublishedRoute(path="/api/v1/orders")),
        ("audit", PublishedRoute(path="/api/v1/audit")),
        ("auth", PublishedRoute(path="/api/v1/auth")),
        ("../api-gateway", PublishedRoute(path="/api/v1/x")),
        ("api-gateway-ws", PublishedRoute(path="/api/v1/api-gateway-ws")),
        ("NEWS", PublishedRoute(path="/api/v1/NEWS")),
    ],
)
def test_a_registration_takes_nothing_that_is_not_its_own(
    installation: Installation, name: str, route: PublishedRoute
) -> None:
    async def scenario() -> None:
        installation.admit(name)
        await installation.keeper.start()
        before = installation.routed()
        await installation.register(service(name, route))
        await installation.keeper.stop()
        changed = {
            path for path, cluster in installation.routed().items() if before.get(path) != cluster
        }
        assert not changed

    asyncio.run(scenario())


def test_services_without_end_do_not_push_anybody_out(installation: Installation) -> None:
    def flood(prefix: str) -> list[ServiceRecord]:
        names = [f"{prefix}{number}" for number in range(200)]
        return [service(name, PublishedRoute(path=f"/api/v1/{name}")) for name in names]

    async def scenario() -> None:
        installation.admit(*(each.name for each in (*flood("a"), *flood("b"))))
        await installation.keeper.start()
        house = installation.routed()
        await installation.register(*flood("a"))
        flooded = installation.routed()
        assert house.items() <= flooded.items()
        assert len(flooded) < len(house) + 64
        await installation.register(*flood("b"))
        assert house.items() <= installation.routed().items()
        assert len(installation.resource("cds")) <= 64 + 1
        await installation.keeper.stop()

    asyncio.run(scenario())
