"""The doctor finds each way in which a platform cannot start, and says what to do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness.public_authority import DAY, PublicAuthority
from msgspec import structs

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.installation import initialise
from aitrading.server.cli.doctor import doctor
from aitrading.server.dashboard.report import ChainLine, HopLine
from aitrading.server.engines import binaries
from aitrading.server.engines.process import process_id
from aitrading.server.policy import edge_policy
from aitrading.server.supervisor import home as home_module
from aitrading.server.supervisor.doctor import chains, edge, running
from aitrading.server.supervisor.doctor.finding import Verdict
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.leftovers import remember_children
from aitrading.server.supervisor.state import ChildState

Examine = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def home(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A prepared home whose ports are free."""
    for name in ("DATA_BRIDGE", "API_GATEWAY", "TRADING_ENGINE", "DATABASE_SERVICE", "CLIENT"):
        monkeypatch.setenv(f"AITRADING_PORTS_{name}", "0")
    monkeypatch.setenv("AITRADING_PORTS_NATS", "0")
    monkeypatch.setenv("AITRADING_GATEWAY_PORT", "0")
    made = Home(short_folder / "home")
    made.create()
    made.prepare()
    return made


@pytest.fixture
def examine(home: Home) -> Examine:
    def run(*, ok: bool) -> dict[str, dict[str, Any]]:
        done = CliRunner().invoke(doctor, ["--json", "--home", str(home.root)])
        answer = json.loads(done.stdout)
        assert answer["ok"] is ok, [
            each for each in answer["findings"] if each["verdict"] == "problem"
        ]
        assert done.exit_code == (0 if ok else 1)
        for finding in answer["findings"]:
            if finding["verdict"] == "problem":
                assert finding["cause"], finding
                assert finding["remedy"], finding
        return {finding["check"]: finding for finding in answer["findings"]}

    return run


def test_a_sound_home_has_no_problem_and_says_what_it_did_not_check(examine: Examine) -> None:
    findings = examine(ok=True)
    assert findings["program postgres"]["verdict"] == "ok"
    assert findings["terminal"]["verdict"] == "unverified"
    assert findings["platform"]["verdict"] == "unverified"


def test_a_missing_engine(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_scripts", lambda: Path("/nowhere"))
    finding = examine(ok=False)["program nats"]
    assert finding["code"] == "ENGINE_BINARY_MISSING"
    assert "/nowhere/nats-server" in finding["finding"]


def test_a_taken_port(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("AITRADING_GATEWAY_PORT", str(port))
        finding = examine(ok=False)[f"port {port}"]
    assert finding["code"] == "PORT_TAKEN"
    assert str(os.getpid()) in finding["finding"]


def test_a_wrong_configuration(examine: Examine, home: Home) -> None:
    home.config_file.write_text('[gateway]\nport = "many"\n')
    assert "gateway.port" in examine(ok=False)["configuration"]["finding"]


def test_a_corrupt_configuration_file(examine: Examine, home: Home) -> None:
    home.config_file.write_text("[gateway\n")
    assert "not valid TOML" in examine(ok=False)["configuration"]["finding"]


def test_plaintext_to_a_server(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://nats.example.com:4222")
    assert examine(ok=False)["servers by URL"]["code"] == "DATABASE_PLAINTEXT_REFUSED"


def test_a_backup_by_the_clock_of_a_server(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://chief:secret@db.example.com/firm")
    for name, value in (("EVERY_H", "1"), ("FOLDER", "/b"), ("RECOVERY_KEY", "/k.pub")):
        monkeypatch.setenv(f"AITRADING_BACKUP_{name}", value)
    assert examine(ok=False)["servers by URL"]["code"] == "BACKUP_SCHEDULE_ELSEWHERE"


def test_a_clock_behind(examine: Examine, home: Home) -> None:
    home.stamp_file.write_text(str(SystemClock().now_ns() + 3_600 * NS_PER_S))
    assert examine(ok=False)["clock"]["code"] == "CLOCK_BEHIND"


def test_a_full_disk(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "FREE_SPACE_MIN_MB", 1 << 40)
    assert examine(ok=False)["disk"]["code"] == "DISK_SPACE_LOW"


def test_keys_that_others_can_read(examine: Examine, home: Home) -> None:
    exposed = home.keys / "edge.key.pem"
    exposed.write_text("")
    exposed.chmod(0o644)
    assert str(exposed) in examine(ok=False)["keys"]["finding"]


def test_data_of_another_version(examine: Examine, home: Home) -> None:
    home.postgres.mkdir()
    (home.postgres / "engine.json").write_text('{"engine":"postgres","major":17}')
    assert examine(ok=False)["data of postgres"]["code"] == "ENGINE_DATA_VERSION"


def test_an_expired_certificate(examine: Examine, home: Home) -> None:
    two_days_ago = ManualClock(SystemClock().now_ns() - 2 * 86_400 * NS_PER_S)
    ids = SystemIdFactory(two_days_ago, SystemRandomness())
    authority = initialise(home.root, two_days_ago, ids)
    authority.write_service("data-bridge", home.bundles)
    finding = examine(ok=False)["certificate data-bridge.crt.pem"]
    assert "expired" in finding["finding"]


def test_a_certificate_for_browsers_that_nobody_renewed(examine: Examine, home: Home) -> None:
    authority = PublicAuthority()
    path = home.envoy / "site" / "site.pem"
    path.parent.mkdir(parents=True)

    def told(days: float, *, ok: bool) -> str:
        site = authority.site("trading.example", begins=-89 * DAY, ends=days * DAY)
        path.write_bytes(authority.chain(site) + site.key_pem())
        return str(examine(ok=ok)["certificate for browsers"]["finding"])

    assert "Valid until" in told(22, ok=True)
    assert " ends " in told(20, ok=False)
    assert " ended " in told(-1, ok=False)
    path.write_bytes(b"nothing")
    assert "cannot be read" in examine(ok=False)["certificate for browsers"]["finding"]


def test_processes_left_by_a_killed_supervisor(
    examine: Examine, home: Home, sleeper: "subprocess.Popen[bytes]"
) -> None:
    remember_children(home.children_file, {"valkey": process_id(sleeper.pid)})
    finding = examine(ok=False)["leftovers"]
    assert "valkey" in finding["finding"]
    assert str(sleeper.pid) in finding["finding"]


def test_a_home_of_somebody_else(examine: Examine, home: Home) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(home.root, 65534, 65534)
    assert examine(ok=False)["home"]["code"] == "HOME_NOT_USABLE"


def test_a_platform_that_runs_and_one_that_was_killed(
    toy_platform: Callable[..., Any], examine: Examine, home: Home
) -> None:
    platform = toy_platform("well", "well", home=home.root)
    platform.wait_ready()
    findings = examine(ok=True)
    assert findings["platform"]["verdict"] == "ok"
    assert findings["a"]["verdict"] == findings["b"]["verdict"] == "ok"
    assert findings["chains"]["verdict"] == "unverified"
    assert findings["edge connections"]["verdict"] == "unverified"

    child = platform.children()["a"]
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while platform.children().get("a") in (child, None):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    findings = examine(ok=False)
    assert findings["a"]["verdict"] == "problem"
    assert findings["b"]["verdict"] == "ok"


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


def test_one_end_is_told_as_one(short_folder: Path) -> None:
    home = Home(short_folder)
    ended = [
        running.part_finding("nats", ChildState(state=ComponentState.HEALTHY, restarts=n), home)
        for n in (1, 2)
    ]
    assert "ended once since" in ended[0].finding
    assert "ended 2 times since" in ended[1].finding


def test_a_chain_that_failed_is_a_problem_and_names_its_hop() -> None:
    hop = HopLine(
        name="bridge-database", service="data-bridge", kind="call", state="FAILED",
        reason="data arrives before this hop and does not pass it", count=0, failed=0,
        p50_ms=None, p99_ms=None, last_seen=None, last_trace_id=None,
    )  # fmt: skip
    failed = ChainLine(name="market-data", description="", state="FAILED", hops=(hop,))
    well = ChainLine(name="orders", description="", state="HEALTHY")
    [found] = chains.judge((failed, well))
    assert found.verdict is Verdict.PROBLEM
    assert (found.check, "bridge-database" in found.finding) == ("chain market-data", True)
    assert "data-bridge: data arrives" in found.cause
    assert "aitrading chains show market-data" in found.remedy
    assert [each.verdict for each in chains.judge((well,))] == [Verdict.OK]


def test_an_edge_without_room_is_named_and_who_was_turned_away_counted() -> None:
    limits = structs.replace(
        edge_policy().limits, max_public_connections=100, max_link_connections=50
    )

    def stats(public: int, link: int, turned_away: int) -> str:
        told = {("active", "public"): public, ("active", "link"): link}
        told[("limited", "public")] = turned_away
        return "# TYPE a counter\n" + "".join(
            f'envoy_connection_limit_{what}_connections{{envoy_connection_limit_prefix="{chain}"}}'
            f" {number}\n"
            for (what, chain), number in told.items()
        )

    [full] = edge.judge(stats(90, 44, 0), limits)
    assert full.verdict is Verdict.PROBLEM
    assert full.check == "edge connections (public)"
    assert "90 of 100" in full.finding
    assert "docs/how-to/edge.md" in full.remedy
    [calm] = edge.judge(stats(89, 44, 7), limits)
    assert (calm.verdict, "7 were turned away" in calm.finding) == (Verdict.OK, True)
    assert len([*edge.judge(stats(100, 50, 0), limits)]) == 2
