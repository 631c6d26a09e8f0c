"""The real platform: started as a person does, every process killed, ended without a trace."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aitrading.server.engines.proc import descendants
from aitrading.server.engines.process import ProcessId
from aitrading.server.supervisor.admin_client import AdminClient
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.leftovers import read_children
from aitrading.server.supervisor.state import ChildState, PlatformState

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(480)]
AITRADING = Path(sys.executable).with_name("aitrading")
PATIENCE_S = 180.0
PARTS = (
    "postgres",
    "valkey",
    "nats",
    "envoy",
    "database-service",
    "api-gateway",
    "data-bridge",
    "trading-engine",
    "demo-client",
)
FREE_PORTS = (
    "gateway.port",
    "ports.nats",
    "ports.data_bridge",
    "ports.api_gateway",
    "ports.trading_engine",
    "ports.database_service",
    "ports.client",
)


def command(home: Home, *words: str) -> list[str]:
    options = [f"--set={name}=0" for name in FREE_PORTS] if words[0] == "up" else []
    return [str(AITRADING), *words, f"--home={home.root}", *options]


def run(home: Home, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(home, *words), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.05)


def state_of(home: Home) -> PlatformState:
    return AdminClient(home).request("status", PlatformState)


def parts_of(state: PlatformState) -> dict[str, ChildState]:
    return {**state.engines, **state.services, **state.clients}


def processes(home: Home) -> list[ProcessId]:
    return [record.process for record in read_children(home.children_file)]


def none_left(children: list[ProcessId]) -> bool:
    return not any(child.alive for child in children)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """The home of a running demo."""
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        place = Home(Path(folder) / "home")
        started = run(place, "up", "--demo", "--detach", "--json")
        assert started.returncode == 0, started.stderr
        yield place
        children = processes(place)
        stopped = run(place, "down")
        assert stopped.returncode == 0, stopped.stderr
        assert none_left(children), "something runs on after `aitrading down`"


@pytest.fixture
def other_home() -> Iterator[Home]:
    """A home for a platform that does not live long."""
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        place = Home(Path(folder) / "home")
        yield place
        if place.holder() is not None:
            run(place, "down")


def test_status_tells_what_scripts_rely_on(home: Home) -> None:
    until(lambda: run(home, "status").returncode == 0, "health")
    answer = json.loads(run(home, "status", "--json").stdout)
    assert answer["ready"] is True
    assert answer["started_in_s"] > 0
    assert set(answer["engines"]) == {"postgres", "valkey", "nats", "envoy"}
    bridge = answer["services"]["data-bridge"]
    assert bridge["state"] == "HEALTHY"
    assert bridge["port"] > 0
    assert bridge["pid"] > 0
    assert bridge["rss_mb"] > 1


def test_a_second_up_is_refused_and_harms_nothing(home: Home) -> None:
    done = run(home, "up")
    assert done.returncode == 3
    assert "HOME_IN_USE" in done.stderr
    assert str(state_of(home).pid) in done.stderr


def test_the_doctor_examines_every_store(home: Home) -> None:
    until(lambda: state_of(home).ready, "readiness")
    five = ("relational", "time series", "cache", "error vectors", "chains' graph")
    checks = ("postgres settings", "row security", "migrations", "bus", "edge connections")
    answer: dict[str, Any] = {}

    def all_ok() -> bool:
        """A store that another test killed may be kept from questions for a few seconds."""
        answer.update(json.loads(run(home, "doctor", "--databases", "--json").stdout))
        found = {finding["check"]: finding["verdict"] for finding in answer["findings"]}
        return {found[check] for check in (*checks, *(f"{one} store" for one in five))} == {"ok"}

    until(all_ok, "every store being well")
    assert [store["store"] for store in answer["stores"]] == list(five)
    assert "FAILED" not in run(home, "doctor", "--databases").stdout


def test_renewed_certificates_are_used_without_a_restart(home: Home) -> None:
    until(lambda: state_of(home).ready, "readiness")
    before = {name: part.pid for name, part in parts_of(state_of(home)).items()}
    port = state_of(home).services["data-bridge"].port
    assert port is not None
    old = certificate_at(home, port)
    AdminClient(home).request("renew-certificates", type(None))
    until(lambda: certificate_at(home, port) != old, "the new certificate")
    assert {name: part.pid for name, part in parts_of(state_of(home)).items()} == before
    until(
        lambda: all(part.state == "HEALTHY" for part in parts_of(state_of(home)).values()),
        "health",
    )


def certificate_at(home: Home, port: int) -> bytes:
    """What a service presents to a peer that identifies itself."""
    context = ssl.create_default_context(cafile=str(home.trust / "internal-ca.pem"))
    context.load_cert_chain(home.bundles / "admin.crt.pem", home.bundles / "admin.key.pem")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        presented = secured.getpeercert(binary_form=True)
    assert presented is not None
    return presented


@pytest.mark.parametrize("name", PARTS)
def test_a_part_killed_comes_back_and_all_works_again(home: Home, name: str) -> None:
    before = parts_of(state_of(home))[name]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)

    def recovered() -> bool:
        now = parts_of(state_of(home))
        healthy = all(part.state == "HEALTHY" for part in now.values())
        return healthy and now[name].restarts > before.restarts

    until(recovered, f"the recovery of {name}")
    assert state_of(home).ready


def test_engines_that_hang_are_ended_and_everything_works_again_by_itself(home: Home) -> None:
    hung = ("postgres", "nats", "envoy")
    until(lambda: state_of(home).ready, "readiness")
    before = {name: state_of(home).engines[name] for name in hung}
    for part in before.values():
        assert part.pid is not None
        os.kill(part.pid, signal.SIGSTOP)
    database = state_of(home).services["database-service"].pid
    assert database is not None
    os.kill(database, signal.SIGKILL)

    def recovered() -> bool:
        now = parts_of(state_of(home))
        ended = all(now[name].restarts > part.restarts for name, part in before.items())
        return ended and all(part.state == "HEALTHY" for part in now.values())

    until(recovered, "the end of what hangs, and health")


def test_kill_9_of_the_supervisor_leaves_no_process_and_the_next_up_works(
    other_home: Home,
) -> None:
    assert run(other_home, "up", "--detach").returncode == 0
    children = processes(other_home)
    supervisor = state_of(other_home).pid
    assert supervisor is not None
    assert len(children) == 8
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: none_left(children), "the end of every orphan")
    again = run(other_home, "up", "--detach")
    assert again.returncode == 0, again.stderr
    assert run(other_home, "down").returncode == 0


def test_ctrl_c_during_the_start_ends_everything(other_home: Home) -> None:
    with subprocess.Popen(
        command(other_home, "up"), stderr=subprocess.PIPE, text=True
    ) as starting:
        until(lambda: len(processes(other_home)) >= 5, "the first processes")
        children = processes(other_home)
        starting.send_signal(signal.SIGINT)
        _, said = starting.communicate(timeout=PATIENCE_S)
    assert starting.returncode == 3
    assert "Interrupted; all is ended." in said
    assert none_left(children)
    assert other_home.holder() is None


def test_ctrl_c_at_once_ends_with_the_same_sentence_and_code(other_home: Home) -> None:
    with subprocess.Popen(
        command(other_home, "up"), stderr=subprocess.PIPE, text=True
    ) as starting:
        until(lambda: len(descendants(starting.pid)) > 1, "the nursery")
        starting.send_signal(signal.SIGINT)
        _, said = starting.communicate(timeout=PATIENCE_S)
    assert starting.returncode == 3
    assert said.splitlines() == ["Interrupted; all is ended."]
