"""One platform that is hurt in many ways, and an episode for each way.

Every episode happens once, when the first test asks for it; the tests of all sites that it
concerns judge the same episode. An episode never asserts: it records, and leaves the platform well.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from harness.episode import (
    CLIENT,
    REST_TIMEOUT_S,
    Episode,
    Place,
    look,
    patiently,
    probe,
    quotes,
    quotes_move,
    ticks_are_stored,
)
from harness.faults import broken_folder, damage, frozen, held, outage
from harness.link import (
    fill,
    fill_segments,
    is_all_of,
    malformed,
    refused_greetings,
    segments,
)
from harness.platform import BIN, Platform, clean_environment, running_platform, wait_until
from harness.probes import UnixConnection, ask, is_at_rest
from harness.program import Program

from aitrading.client.metatrader_connector.poller import TERMINAL_RECONNECT
from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.secure_websocket_client import LINK_RECONNECT
from aitrading.core.infrastructure.central_hub import REGISTRY_LOST
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.segments import sealed_segment
from aitrading.server.api_gateway.call_sites import (
    HEALTH_LAST_KNOWN,
    PASSWORD_HASHING,
    PEER_BREAKER,
)
from aitrading.server.data_bridge import call_sites as bridge
from aitrading.server.database_service import call_sites as database
from aitrading.server.kit.bundle import load_bundle
from aitrading.server.kit.ingest_api import SEGMENT_PATH, SegmentStored, segment_name
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.nats_connection import BUS_RECONNECT
from aitrading.server.kit.rate_limits import BLOCKS_PER_LIMIT, RATE_LIMITS_DEGRADE
from aitrading.server.kit.replay import POSTGRES_REPLAY
from aitrading.server.kit.used_proofs import USED_PROOFS_DEGRADE
from aitrading.server.trading_engine import call_sites as engine

SERVICES = ("data-bridge", "database-service", "trading-engine", "api-gateway")
ASKED_A_MINUTE = 200
SETTINGS = {
    "bridge.spool_limit_mb": 1,
    "limits.spool_per_cent": 100,
    "bridge.isolate_s": 5,
    "guards.open_s": 1,
    "guards.reads": 1,
    "guards.read_queue": 1,
    "guards.write_queue": 1,
    "gateway.health_period_ms": 500,
    "limits.identity_per_minute": ASKED_A_MINUTE,
}
GUEST = "guest"
ORDERS = "/api/v1/orders"
NO_SESSION = f"/api/v1/auth/sessions/{UUID(int=404)}"
NOBODY = DeviceIdentity(tenant=TenantId(UUID(int=404)), device=DeviceId(UUID(int=404)))
BABBLER = DeviceIdentity(tenant=TenantId(UUID(int=405)), device=DeviceId(UUID(int=405)))
"""Has attempts to connect of its own: who has none left is refused before it can send nonsense."""
ANSWER_S = 60.0
"""For an answer that comes when the fault is over."""
STORM = 60
"""Logins at once: more than hash and wait at the same time."""


@pytest.fixture(scope="session")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform that all episodes of this folder happen to."""
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    with running_platform(tmp_path_factory.mktemp("hurt") / "home", *settings) as platform:
        for person in ("demo/trader", "other/owner"):
            platform.token(person)
        wait_until(lambda: quotes(platform).get("EURUSD"), what="quotes")
        wait_until(lambda: len(platform.history("EURUSD")), what="history")
        enrol_guest(platform)
        yield platform


def enrol_guest(platform: Platform) -> None:
    """A second client, of a tenant of its own: now, since an outage could refuse it later."""
    platform.cli_json("tenant", "create", GUEST)
    code = platform.cli_json("device", "invite", "guest-terminal", "--tenant", GUEST)["code"]
    client = [str(BIN / "aitrading-client"), "enroll", code, "--server", platform.url]
    home = ["--home", str(home_of_guest(platform))]
    done = subprocess.run(
        [*client, *home], check=False, capture_output=True, text=True, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr


def home_of_guest(platform: Platform) -> Path:
    """Beside the platform's own."""
    return platform.home.parent / GUEST / "home"


@pytest.fixture(scope="session")
def guest(hurt: Platform) -> Path:
    """The home of the second client."""
    return home_of_guest(hurt)


@pytest.fixture(scope="session")
def guest_identity(guest: Path) -> DeviceIdentity:
    return DeviceFiles(guest).load().identity


@pytest.fixture(scope="session")
def database_service_lost(hurt: Platform) -> Episode:
    """The database service is killed and stays away for a while."""
    told = Episode(
        hurt,
        (
            Place("data-bridge", bridge.SEGMENT_HANDOVER),
            Place("data-bridge", bridge.DATABASE_BREAKER),
            Place("data-bridge", bridge.QUOTES_LAST_KNOWN),
            Place("data-bridge", bridge.VIEWER_PLAN),
            Place("api-gateway", PEER_BREAKER),
            Place("api-gateway", HEALTH_LAST_KNOWN),
        ),
    )
    with outage(hurt, "database-service"):
        told.facts["quotes"] = hurt.get("/api/v1/quotes", person="other/owner")
        told.while_it_lasts()
        told.facts["quotes move"] = quotes_move(hurt)
        told.facts["services"] = hurt.get("/api/v1/services")["items"]
    wait_until(
        lambda: hurt.get("/api/v1/quotes", person="other/owner")["source"] != "unavailable",
        what="an answer for a tenant without feeds",
    )
    told.afterwards()
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def postgres_lost(hurt: Platform) -> Episode:
    """PostgreSQL is killed and stays away for a while."""
    told = Episode(
        hurt,
        (
            Place("database-service", database.POSTGRES_BREAKER),
            Place("api-gateway", POSTGRES_REPLAY),
            Place("database-service", database.VECTORS_BREAKER),
            Place("database-service", database.GRAPH_BREAKER),
            Place("trading-engine", engine.DATABASE_HALT),
        ),
    )
    questions = ("/api/v1/errors/similar?to=full", "/api/v1/chain-graph/impact?of=postgres")
    with outage(hurt, "postgres"):
        told.facts["lookups"] = [hurt.request("GET", q)[0] for q in questions for _ in range(4)]
        told.facts["a change"], _ = hurt.request("DELETE", NO_SESSION)
        told.while_it_lasts(ask=lambda: [hurt.request("GET", q) for q in questions])
        told.facts["quotes move"] = quotes_move(hurt)
        told.facts["engine ready"] = probe(hurt, "trading-engine", "/health/ready").status
        told.facts["risk"] = hurt.get("/api/v1/risk")
    for question in questions:
        wait_until(lambda q=question: hurt.request("GET", q)[0] == 200, what=question)
    told.afterwards()
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


def hub_of(platform: Platform) -> Any:
    """What one service's hub says of itself."""
    return probe(platform, "data-bridge", "/health").json()["components"]["central-hub"]


@pytest.fixture(scope="session")
def nats_lost(hurt: Platform) -> Episode:
    """NATS is killed and stays away for a while."""
    told = Episode(
        hurt,
        (
            *(Place(service, BUS_RECONNECT) for service in SERVICES),
            *(Place(service, REGISTRY_LOST) for service in SERVICES),
            Place("trading-engine", engine.BUS_HALT),
        ),
    )
    # A part that a test before killed is listed until its lease ends, and then once.
    assert patiently(lambda: hub_of(hurt)["fields"]["services"] == len(SERVICES), 60)
    with outage(hurt, "nats"):
        told.while_it_lasts()
        told.facts["quotes move"] = quotes_move(hurt)
        told.facts["ticks are stored"] = ticks_are_stored(hurt)
        told.facts["engine"] = probe(hurt, "trading-engine", "/health").json()
        told.facts["hub"] = hub_of(hurt)
    told.afterwards()
    return told


@pytest.fixture(scope="session")
def valkey_lost(hurt: Platform) -> Episode:
    """The cache is killed and stays away for a while."""
    counting = Place("api-gateway", RATE_LIMITS_DEGRADE)
    program = Program(hurt)
    told = Episode(
        hurt,
        (
            Place("database-service", database.CACHE_DEGRADE),
            Place("database-service", database.CACHE_BREAKER),
            Place("database-service", database.READ_BUDGET_DEGRADE),
            counting,
            Place("trading-engine", USED_PROOFS_DEGRADE),
        ),
    )
    with outage(hurt, "valkey"):
        proven = program.proven("GET", ORDERS)
        told.facts["a proof, and again"] = [
            program.send("GET", ORDERS, proven)[0] for _ in range(2)
        ]
        _, refused = program.send("POST", ORDERS, program.proven("POST", ORDERS), {})
        told.facts["an order with a proof"] = refused["error"]["code"]
        hurt.history("EURUSD")
        block = ASKED_A_MINUTE // BLOCKS_PER_LIMIT
        told.facts["limit"] = ASKED_A_MINUTE
        told.facts["admitted of more than a block"] = who_am_i(hurt, block + 1)
        began_ns = SystemClock().monotonic_ns()
        told.facts["admitted of too many"] = who_am_i(hurt, ASKED_A_MINUTE + 2 * block)
        told.facts["asked for"] = (SystemClock().monotonic_ns() - began_ns) / NS_PER_S
        told.while_it_lasts(ask=lambda: hurt.history("EURUSD"))
        told.facts["busiest"] = hurt.request("GET", "/api/v1/ticks/busiest")[0]
        told.facts["ticks are stored"] = ticks_are_stored(hurt)
    told.facts["busiest is back"] = patiently(
        lambda: hurt.request("GET", "/api/v1/ticks/busiest")[0] == 200, REST_TIMEOUT_S
    )

    def ask() -> None:
        """Each that counted or remembered alone finds the cache again when it is next asked."""
        hurt.history("EURUSD")
        program.get(ORDERS)
        if not is_at_rest(look(hurt, counting)):
            who_am_i(hurt, block + 1, "other/owner")

    told.afterwards(ask=ask)
    return told


def who_am_i(platform: Platform, times: int, person: str = "demo/trader") -> int:
    """Ask as often; gives how many were answered."""
    codes = [platform.request("GET", "/api/v1/auth/me", person=person)[0] for _ in range(times)]
    assert set(codes) <= {200, 429}
    return codes.count(200)


@pytest.fixture(scope="session")
def api_gateway_lost(hurt: Platform) -> Episode:
    """The api-gateway is killed while a device wants to connect."""
    told = Episode(hurt, (Place("data-bridge", bridge.IDENTITY_BREAKER),))
    socket = bridge_socket(hurt)
    with outage(hurt, "api-gateway"):
        told.facts["refusals"] = asyncio.run(refused_greetings(socket, NOBODY, times=6))
        told.while_it_lasts()
        told.facts["quotes move"] = quotes_move(hurt)
    told.facts["is checked again"] = patiently(
        lambda: asyncio.run(refused_greetings(socket, NOBODY, times=1)) == ["LINK_DEVICE_REFUSED"],
        REST_TIMEOUT_S,
    )
    told.afterwards()
    return told


@pytest.fixture(scope="session")
def edge_lost(hurt: Platform) -> Episode:
    """The edge is killed: no device has a way to the server."""
    told = Episode(hurt, (Place(CLIENT, LINK_RECONNECT),))
    with outage(hurt, "envoy"):
        told.while_it_lasts()
        told.facts["client"] = probe(hurt, CLIENT, "/health").json()["components"]
    told.afterwards()
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def bridge_restarted_alone(hurt: Platform) -> Episode:
    """The data bridge restarts while no terminal delivers."""
    with frozen(hurt, CLIENT):
        with outage(hurt, "data-bridge"):
            pass
        with held(hurt.process.pid):
            told = Episode(hurt, (Place("data-bridge", bridge.QUOTE_FALLBACK),))
            told.facts["quotes"] = wait_until(lambda: known_quotes(hurt), what="an answer")
            told.while_it_lasts()
    wait_until(lambda: hurt.get("/api/v1/quotes")["source"] == "live", what="live quotes")
    told.afterwards()
    return told


def known_quotes(platform: Platform) -> Any:
    """The demo's quotes, once the new process found somebody who knows them."""
    answer = platform.get("/api/v1/quotes")
    return answer if answer["source"] != "unavailable" else None


@pytest.fixture(scope="session")
def hostile_device(hurt: Platform) -> Episode:
    """A device sends nonsense again and again."""
    told = Episode(hurt, (Place("data-bridge", bridge.DEVICE_ISOLATION),))
    socket = bridge_socket(hurt)

    def kept_out() -> list[str]:
        """Who connects too often is refused before the bridge reads anything: then once more."""
        asyncio.run(malformed(socket, BABBLER, times=1))
        health = probe(hurt, "data-bridge", "/health").json()
        return list(
            health["resilience"]["isolation"][bridge.DEVICE_ISOLATION.name]["isolated_keys"]
        )

    told.facts["isolated"] = wait_until(kept_out, what="isolation", timeout_s=90)
    told.while_it_lasts()
    told.facts["refusals"] = asyncio.run(refused_greetings(socket, BABBLER, times=1))
    told.facts["quotes move"] = quotes_move(hurt)
    told.afterwards()
    return told


@pytest.fixture(scope="session")
def spool_filled(hurt: Platform, guest_identity: DeviceIdentity) -> Episode:
    """The database service hangs while a device sends more than the spool holds."""
    told = Episode(hurt, (Place("data-bridge", bridge.SPOOL_HALT),))
    with ExitStack() as stack:

        def block() -> None:
            stack.enter_context(frozen(hurt, "database-service"))

        told.facts["device"] = asyncio.run(fill(bridge_socket(hurt), guest_identity, block))
        told.while_it_lasts()
        told.facts["bridge ready"] = probe(hurt, "data-bridge", "/health/ready").status
        told.facts["quotes"] = hurt.get("/api/v1/quotes")
    told.afterwards()
    told.facts["bridge ready later"] = probe(hurt, "data-bridge", "/health/ready").status
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def segment_damaged_in_spool(hurt: Platform, guest_identity: DeviceIdentity) -> Episode:
    """A segment in the bridge's spool is damaged before it could be handed over."""
    told = Episode(hurt, (Place("data-bridge", bridge.SEGMENT_QUARANTINE),))
    folder = hurt.home / "spool" / "data-bridge"
    with ExitStack() as stack:

        def block() -> None:
            stack.enter_context(frozen(hurt, CLIENT, "database-service"))

        asyncio.run(fill_segments(bridge_socket(hurt), guest_identity, block, folder))
        damage(next(path for path in segments(folder)[1:-1] if is_all_of(path, guest_identity)))
    told.while_it_lasts()
    told.facts["set aside"] = len([*folder.glob("*.corrupt")])
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def segment_damaged_on_the_way(hurt: Platform) -> Episode:
    """The same damaged segment is handed over twice."""
    told = Episode(hurt, (Place("database-service", database.SEGMENT_ISOLATION),))
    name = segment_name(UUID(int=13), 1)
    answers = told.facts["answers"] = list[str]()
    for _ in range(2):
        hand_over(hurt, {name: b"no segment at all"}, answers)
    told.while_it_lasts()
    told.facts["kept"] = len([*(hurt.home / "quarantine").glob(f"{name}.segment")])
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def many_questions(hurt: Platform) -> Episode:
    """Many questions about ticks arrive while PostgreSQL hangs."""
    told = Episode(hurt, (Place("database-service", database.READ_BULKHEAD),))
    headers = {"authorization": f"Bearer {hurt.token()}"}

    def question(_: int) -> int:
        socket = UnixConnection(hurt.home / "run" / "database-service.sock", ANSWER_S)
        return ask(socket, "/api/v1/ticks?symbol=EURUSD&limit=10", headers=headers).status

    # An organisation's settings are read again after five seconds, and a connection is waited for as
    # long: with fresh ones who is refused is refused at once, and who got room still has it then.
    hurt.renew_tokens()
    wait_until(lambda: question(0) == 200, what="fresh settings")
    with ThreadPoolExecutor(8) as threads:
        with frozen(hurt, "postgres"):
            answers = [threads.submit(question, number) for number in range(8)]
            told.while_it_lasts()
            wait_until(lambda: sum(each.done() for each in answers) >= 6, what="the refusals")
        told.facts["answers"] = sorted(answer.result() for answer in answers)
    told.afterwards()
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def many_segments(hurt: Platform) -> Episode:
    """Segments arrive while PostgreSQL hangs."""
    told = Episode(hurt, (Place("database-service", database.WRITE_BULKHEAD),))
    spool, answers = SystemRandomness().token(16), list[str]()
    segments = {
        segment_name(UUID(bytes=spool), number): sealed_segment(UUID(bytes=spool), number, ())
        for number in range(1, 9)
    }
    with ThreadPoolExecutor(1) as threads:
        with frozen(hurt, "postgres"):
            handed = threads.submit(hand_over, hurt, segments, answers)
            told.while_it_lasts()
            wait_until(lambda: answers, what="the first refusal")
        handed.result()
        told.facts["answers"] = answers
    told.afterwards()
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


@pytest.fixture(scope="session")
def clickhouse_broken(hurt: Platform) -> Episode:
    """ClickHouse can neither write nor read: something else stands where its table was."""
    told = Episode(
        hurt,
        (
            Place("database-service", database.CLICKHOUSE_WRITE_BREAKER),
            Place("database-service", database.CLICKHOUSE_READ_BREAKER),
        ),
    )
    table = hurt.home / "clickhouse" / "data" / "data" / "market" / "ticks"
    with broken_folder(hurt, "database-service", table):
        told.facts["questions"] = [ask_for_ticks(hurt) for _ in range(4)]
        told.while_it_lasts(ask=lambda: ask_for_ticks(hurt))
        told.facts["quotes move"] = quotes_move(hurt)
    told.afterwards()
    told.facts["questions later"] = ask_for_ticks(hurt)
    told.facts["ticks are stored"] = ticks_are_stored(hurt)
    return told


def ask_for_ticks(platform: Platform) -> int:
    """The status of a question that ClickHouse has to answer."""
    return platform.request("GET", "/api/v1/ticks?symbol=EURUSD")[0]


@pytest.fixture(scope="session")
def login_storm(hurt: Platform) -> Episode:
    """Many people, or one machine, try to log in at once."""
    told = Episode(hurt, (Place("api-gateway", PASSWORD_HASHING),))

    def login(number: int) -> int:
        body = {"tenant": "demo", "username": f"nobody-{number}", "password": "not the password"}
        socket = UnixConnection(hurt.home / "run" / "api-gateway.sock", 60)
        return ask(socket, "/api/v1/auth/login", method="POST", body=body).status

    with ThreadPoolExecutor(STORM) as threads:
        answers = [threads.submit(login, number) for number in range(STORM)]
        told.while_it_lasts()
        told.facts["quotes move"] = quotes_move(hurt)
        told.facts["answers"] = sorted(answer.result() for answer in answers)
    told.afterwards()
    return told


@pytest.fixture(scope="session")
def terminal_closed(hurt: Platform, guest: Path) -> Episode:
    """The terminal of a second client is closed for a while."""
    flag = guest / "terminal-closed"
    program = Path(__file__).with_name("wavering_client.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(guest), str(flag)],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            return follow_terminal(hurt, Place(port, TERMINAL_RECONNECT), flag)
        finally:
            process.terminate()


def follow_terminal(hurt: Platform, place: Place, flag: Path) -> Episode:
    """Close the terminal, and open it again, while its client tells what it does."""
    wait_until(lambda: is_at_rest(look(hurt, place)), what="the terminal being connected")
    told = Episode(hurt, (place,))
    flag.touch()
    told.while_it_lasts()
    told.facts["quotes move"] = quotes_move(hurt)
    flag.unlink()
    told.afterwards()
    return told


def bridge_socket(platform: Platform) -> Path:
    """Where the edge hands links over."""
    return platform.home / "run" / "data-bridge-ws.sock"


def hand_over(platform: Platform, segments: dict[str, bytes], answers: list[str]) -> None:
    """Hand segments over to the database service at once, as the bridge does; notes the codes."""

    async def one(client: InternalClient, name: str, body: bytes) -> None:
        path = SEGMENT_PATH.format(segment=name)
        try:
            await client.post(path, body=body, answer=SegmentStored, timeout_s=ANSWER_S)
        except AitradingError as exc:
            answers.append(exc.code)
        else:
            answers.append("stored")

    async def everything() -> None:
        bundle = load_bundle(platform.home / "run" / "bundles" / "data-bridge.json")
        clock = SystemClock()
        ids = SystemIdFactory(clock, SystemRandomness())
        client = InternalClient.of(bundle, "database-service", clock, ids)
        try:
            async with asyncio.TaskGroup() as group:
                for name, body in segments.items():
                    group.create_task(one(client, name, body))
        finally:
            await client.close()

    asyncio.run(everything())
