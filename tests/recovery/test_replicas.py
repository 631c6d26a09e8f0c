"""A whole platform on a PostgreSQL with two standbys, over TLS, that loses one server and another."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from harness.episode import REST_TIMEOUT_S, Episode, Place, patiently, probe, quotes_move
from harness.platform import ORDER, Platform, running_platform, wait_until
from harness.probes import sample

from aitrading.core.infrastructure.files import make_private_folder
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.cli.host import Host
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.shared import EngineLoop
from aitrading.server.kit.pool_reports import POSTGRES_REPLICA, PRIMARY_SWITCHES, REPLICA_READS
from aitrading.server.kit.primary_record import PrimaryRecord
from aitrading.server.kit.replay import UNDONE
from aitrading.server.supervisor.home import Home
from aitrading.server.testing.engines import ThrowawayAuthority, socket_folder
from aitrading.server.testing.postgres_cluster import ClusterNode, RunningCluster, running_cluster
from aitrading.server.testing.postgres_tls_front import PostgresTlsFront, url_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
OWNER = "demo/owner"
DEVICES = "/api/v1/store/devices"
DATABASE = "database-service"
CERTAINLY_UNDONE = {spec.code for spec in UNDONE} | {"BREAKER_OPEN"}


@dataclass
class Replicated:
    """A platform, the servers below it, and what each is reached through."""

    platform: Platform
    cluster: RunningCluster
    fronts: list[PostgresTlsFront]
    loop: EngineLoop

    def node(self, role: str) -> ClusterNode:
        """The primary, or a standby, as it is now."""
        return next(
            node
            for node in self.cluster.nodes
            if self.loop.run(node.ask("SELECT pg_is_in_recovery()")) is (role == "standby")
        )

    def server(self, node: ClusterNode) -> str:
        """Its address in metrics."""
        return f"localhost:{self.fronts[self.cluster.nodes.index(node)].port}"

    def metric(self, name: str, **labels: str) -> float:
        """A metric of the database service."""
        text = probe(self.platform, DATABASE, "/metrics").body.decode()
        return sample(text, name, {"role": "database", **labels})

    def served_by(self, node: ClusterNode) -> float:
        return self.metric(REPLICA_READS.name, server=self.server(node), outcome="served")

    def read(self) -> int:
        """A question that a replica may answer."""
        return self.platform.request("GET", DEVICES, person=OWNER)[0]

    def status(self) -> str:
        return str(self.platform.get("/api/v1/health", person=None)["status"])


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """The passwords of the roles are those of the home, as an operator would set them."""
    folder = tmp_path_factory.mktemp("replicated")
    home = Home(folder / "home")
    home.create()
    make_private_folder(home.keys)
    passwords = PasswordStore(home.keys / "passwords", SystemRandomness())
    with ExitStack() as stack:
        short = stack.enter_context(socket_folder())
        files = ThrowawayAuthority(short / "ca").issue("db")
        loop = EngineLoop()
        stack.callback(loop.close)
        cluster = _entered(stack, loop, running_cluster(folder, passwords))
        fronts = _entered(stack, loop, cluster.over_tls(files))
        url = url_of(fronts, passwords.get("postgres", "migrator").reveal(), files.ca)
        platform = stack.enter_context(
            running_platform(
                home.root, "--set=gateway.health_period_ms=500", servers={"POSTGRES_URL": url}
            )
        )
        wait_until(lambda: platform.history("EURUSD"), what="history")
        yield Replicated(platform, cluster, fronts, loop)


def _entered(stack: ExitStack, loop: EngineLoop, manager: Any) -> Any:
    entered = loop.enter(manager)
    stack.callback(loop.leave, manager)
    return entered


@pytest.fixture(scope="module")
def replica_lost(replicated: Replicated) -> Episode:
    """One of two replicas dies while people read, and comes back."""
    told = Episode(replicated.platform, (Place(DATABASE, POSTGRES_REPLICA),))
    dead = replicated.node("standby")
    replicated.loop.run(dead.kill())
    told.facts["answers"] = [replicated.read() for _ in range(8)]
    told.while_it_lasts(ask=replicated.read)
    served = replicated.served_by(dead)
    replicated.loop.run(dead.start())
    told.facts["serves again"] = patiently(
        lambda: replicated.read() == 200 and replicated.served_by(dead) > served, REST_TIMEOUT_S
    )
    told.afterwards()
    return told


def test_postgres_replica_is_not_asked_while_it_is_away(replica_lost: Episode) -> None:
    replica_lost.require(POSTGRES_REPLICA)
    assert set(replica_lost.facts["answers"]) == {200}
    assert replica_lost.facts["serves again"]


@dataclass
class Administrator:
    """Creates organisations one after the other, and notes what it was told of each."""

    host: Host
    made: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        ended = threading.Event()

        def work() -> None:
            for number in count():
                if ended.is_set():
                    return
                self._create(f"kept-{number}")

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _create(self, name: str) -> None:
        try:
            self.host.post("tenants", {"name": name}, Any)
        except AitradingError as exc:
            (self.refused if exc.code in CERTAINLY_UNDONE else self.unknown).append(name)
        else:
            self.made.append(name)


def test_a_platform_that_loses_its_primary_says_so_and_loses_nothing_else(
    replicated: Replicated, replica_lost: Episode
) -> None:
    """After the loss of a replica, so that both standbys were seen to follow."""
    assert replica_lost.facts["serves again"]
    platform, loop = replicated.platform, replicated.loop
    switches = replicated.metric(PRIMARY_SWITCHES.name)
    wait_until(lambda: replicated.status() == "HEALTHY", what="a healthy platform")
    platform.token("other/owner")
    admin = Administrator(Host(platform.home))
    old = replicated.node("primary")
    with admin.at_work():
        wait_until(lambda: len(admin.made) > 3, what="organisations")
        loop.run(old.kill())
        wait_until(lambda: replicated.status() != "HEALTHY", what="the platform saying so")
        assert quotes_move(platform)
        status, order = platform.request("POST", "/api/v1/orders", body=ORDER)
        assert (status, order["error"]["code"]) == (503, "SUBSCRIPTION_UNKNOWN")
        assert platform.get("/api/v1/risk")["reasons"]
        assert platform.request("POST", "/api/v1/kill", person="other/owner")[1]["engaged"]
        loop.run(replicated.cluster.promote_newest())
        before = len(admin.made)
        wait_until(lambda: len(admin.made) > before + 3, what="organisations", timeout_s=60)
    wait_until(lambda: replicated.status() == "HEALTHY", what="health", timeout_s=60)
    kept = organisations(platform)
    assert set(admin.made) <= kept
    assert not kept & set(admin.refused)
    stored = platform.history("EURUSD")
    more = wait_until(
        lambda: (found := platform.history("EURUSD"))[-1] > stored[-1] and found, what="ticks"
    )
    assert more == list(range(1, len(more) + 1)), "no acknowledged tick is lost or doubled"
    assert platform.get("/api/v1/kill", person="other/owner")["engaged"]
    assert replicated.metric(PRIMARY_SWITCHES.name) == switches + 1
    known = PrimaryRecord(Home(platform.home).primary_record).known()
    assert known is not None
    assert known.timeline == 2
    wait_until(lambda: states_of_relational(platform) == {"ok"}, what="a whole examination")
    loop.run(old.start())
    pid = platform.kill("api-gateway")
    platform.wait_back("api-gateway", pid)
    names = wait_until(lambda: organisations(platform), what="an answer of the new process")
    assert set(admin.made) <= names, "who starts beside the old primary takes the new one"


def organisations(platform: Platform) -> set[str]:
    return {tenant["name"] for tenant in Host(platform.home).get("tenants", list[dict[str, Any]])}


def states_of_relational(platform: Platform) -> set[str]:
    """How the doctor's steps through PostgreSQL went."""
    stores = json.loads(platform.cli("doctor", "--databases", "--json").stdout)["stores"]
    return {
        step["state"] for each in stores if each["store"] == "relational" for step in each["steps"]
    }


def test_the_doctor_calls_nobody_safe_who_only_hangs_up(replicated: Replicated) -> None:
    """What stands in front of these servers speaks TLS and says nothing to who does not."""
    examined = json.loads(replicated.platform.cli("doctor", "--databases", "--json").stdout)
    plaintext = {each["check"]: each for each in examined["findings"]}["postgres plaintext"]
    assert plaintext["verdict"] == "unverified"
    assert all(f"localhost:{front.port} " in plaintext["finding"] for front in replicated.fronts)


def test_the_pools_of_every_service_tell_how_full_they_are(replicated: Replicated) -> None:
    for service, role in ((DATABASE, "database"), ("api-gateway", "identity")):
        text = probe(replicated.platform, service, "/metrics").body.decode()
        labels = {"role": role, "server": "primary"}
        size = sum(
            sample(text, "aitrading_postgres_connections", {**labels, "state": state})
            for state in ("idle", "in_use")
        )
        assert 0 <= size <= sample(text, "aitrading_postgres_connection_limit", labels)
        assert sample(text, "aitrading_postgres_waiting", labels) >= 0
        assert sample(text, "aitrading_postgres_acquire_s_count", labels) > 0
        assert sample(text, "aitrading_postgres_acquire_timeouts_total", labels) >= 0
